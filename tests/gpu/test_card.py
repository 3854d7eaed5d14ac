"""What a card must do as a CPU does: the same function, the same physics, the same bytes twice, less memory in more pieces, two jobs.

Skipped without a card. `CATHODE_TEST_DEVICE=cpu` rehearses everything but the card's memory on a CPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import LinearGaussian, toy_table
from sklearn.metrics import roc_auc_score

import cathode
from cathode.classifier.folds import Sample, assign_folds, cross_fit
from cathode.classifier.settings import ClassifierSettings, NetworkSettings, TreeSettings
from cathode.density.flows import FlowDensity
from cathode.density.histogram import HistogramDensity
from cathode.density.settings import FlowSettings, HistogramSettings, SplineSettings
from cathode.errors import FitError
from cathode.numerics import Gradients, resolve_device

DEVICE = os.environ.get("CATHODE_TEST_DEVICE", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        DEVICE == "cuda" and not torch.cuda.is_available(), reason="torch sees no card (its CPU build, or no driver)"
    ),
]
on_a_card = pytest.mark.skipif(DEVICE != "cuda", reason="a CPU has no memory of its own")

MODELS: dict[str, tuple[Any, Any]] = {
    "histogram": (HistogramDensity, HistogramSettings(epochs=4)),
    "maf": (FlowDensity, FlowSettings(blocks=3, hidden=32, epochs=3, batch=512, learning_rate=2e-3, keep_epochs=2)),
    "spline": (
        FlowDensity,
        SplineSettings(hidden=24, bins=8, epochs=3, batch=512),
    ),
}
TRUTH = LinearGaussian()
N = 8000


def training():
    m = TRUTH.masses(N, 1)
    return TRUTH.sample(m, 2), m


def fit(model: str, device: str, **keywords):
    cls, settings = MODELS[model]
    x, m = training()
    return cls.fit(x, m, settings=keywords.pop("settings", settings), seeds=[11, 12], device=device, **keywords)


@pytest.fixture(scope="module", autouse=True)
def ready():
    """As every step begins: the device is tried, and cuBLAS told to add up in one order."""
    assert resolve_device(DEVICE) == DEVICE


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return request.param


@pytest.fixture(scope="module")
def there(model):
    return fit(model, DEVICE)


def test_the_same_weights_compute_the_same_as_on_the_cpu(there):
    m = TRUTH.masses(20000, 3)
    x = TRUTH.sample(m, 4)
    card = there.on(DEVICE)
    inside = np.isfinite(there.log_prob(x, m, member=1))  # the published scaling has no support elsewhere
    log_prob = there.log_prob(x, m, member=1)[inside], card.log_prob(x, m, member=1)[inside]
    np.testing.assert_allclose(*log_prob, atol=1e-4 * max(1.0, np.abs(log_prob[0]).max()))
    z = there.encode(x, m, member=1)
    np.testing.assert_allclose(z, card.encode(x, m, member=1), atol=1e-4 * max(1.0, np.abs(z).max()))
    back = there.decode(z, m * 1.01, member=1)
    usual = np.abs(x - TRUTH.mean(m)).max(axis=1) < 3  # tails of a CDF magnify a rounding without end
    difference = np.abs(back - card.decode(z, m * 1.01, member=1))[usual]
    assert np.quantile(difference, 0.999) < 1e-4 * max(1.0, np.abs(back[usual]).max())


def test_the_same_seed_gives_the_same_bytes_twice(model, there):
    again = fit(model, DEVICE)
    m = TRUTH.masses(2000, 5)
    x = TRUTH.sample(m, 6)
    for member in range(2):
        np.testing.assert_array_equal(there.log_prob(x, m, member=member), again.log_prob(x, m, member=member))
        np.testing.assert_array_equal(
            there.on(DEVICE).decode(again.on(DEVICE).encode(x, m, member=member), m, member=member),
            again.on(DEVICE).decode(there.on(DEVICE).encode(x, m, member=member), m, member=member),
        )


def closure(density, device: str) -> tuple[float, np.ndarray]:
    """AUC between samples and truth at held-out masses, and truth over samples behind cuts at 0.1 and 0.01 of the samples."""
    m = TRUTH.masses(12000, 7)
    made, true = density.on(device).sample(m, member=0, seed=8), TRUTH.sample(m, 9)
    light = ClassifierSettings(folds=2, members=4, boosted_trees=TreeSettings(trees=20))
    a, b = (Sample(x, assign_folds(len(x), 2, seed=s), np.ones(len(x))) for x, s in ((true, 1), (made, 2)))
    of_true, of_made = (s.mean(axis=1) for s in cross_fit(light, a, b, [a, b], seed=3))
    auc = roc_auc_score(np.repeat([1, 0], len(m)), np.concatenate([of_true, of_made]))
    cuts = np.quantile(of_made, [0.9, 0.99])
    return float(auc), np.array([(of_true > cut).mean() / (of_made > cut).mean() for cut in cuts])


@pytest.mark.parametrize("model", ["histogram"], indirect=True)  # three epochs of a flow describe nothing yet
def test_a_density_that_was_trained_there_closes_as_well(model, there):
    (auc_here, ratio_here), (auc_there, ratio_there) = closure(fit(model, "cpu"), "cpu"), closure(there, DEVICE)
    assert auc_there - 0.5 < auc_here - 0.5 + 0.01  # ± 0.0037 for 12,000 against 12,000
    error = np.sqrt(2 / (12000 * np.array([0.1, 0.01])))
    assert np.all(np.abs(ratio_there - ratio_here) < 3 * np.sqrt(2) * error)


def test_networks_that_were_trained_there_tell_as_much(ready):
    rng = np.random.default_rng(1)
    y = np.repeat([1.0, 0.0], 6000)
    x = rng.normal(size=(12000, 3)) + 0.8 * y[:, None]
    settings = ClassifierSettings(model="network", folds=2, members=4, network=NetworkSettings(epochs=5))
    a, b = (Sample(x[y == k], assign_folds(6000, 2, seed=k), np.ones(6000)) for k in (1, 0))
    scored = [np.concatenate(cross_fit(settings, a, b, [a, b], seed=3, device=DEVICE)) for _ in range(2)]
    np.testing.assert_array_equal(*scored)
    # two normals 0.8 sqrt(3) apart: AUC = Phi(0.8 sqrt(3) / sqrt(2)) = 0.836
    assert roc_auc_score(y, scored[0].mean(axis=1)) == pytest.approx(0.8364, abs=0.012)


def test_a_hunt_finds_the_same(ready):
    keys = {
        "mass": "m", "features": ["a", "b", "c"], "window": (2800, 3200), "range": (2000, 5000), "working_points": (0.1, 0.02),
        "background": cathode.DensitySettings(bootstraps=2, seeds=2),
        "classifier": cathode.ClassifierSettings(folds=2, members=4, splits=1, boosted_trees=TreeSettings(trees=15)),
        "closure": cathode.ClosureSettings(windows=4), "progress": False, "cores": 1,
    }  # fmt: skip
    table = toy_table(8000, 120, 1)
    here, there = (cathode.hunt(table, device=device, **keys) for device in ("cpu", DEVICE))
    assert there.z > 2  # there is something to find
    for a, b in zip(here.summary.hunts, there.summary.hunts, strict=True):
        assert b.z_local == pytest.approx(a.z_local, abs=0.3)


@on_a_card
def test_too_little_memory_takes_more_pieces_and_the_result_stays(caplog):
    """20 members at 65,536 events a step want several GB; with a little above one GB they go through in pieces."""
    x, m = np.tile(training()[0], (9, 1)), np.tile(training()[1], 9)
    large = HistogramSettings(epochs=4, steps=0, batch=65536)
    keys = {"settings": large, "seeds": list(range(20)), "device": DEVICE}
    whole = HistogramDensity.fit(x, m, **keys)
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 1.2e9) / total)
    try:
        pieces = HistogramDensity.fit(x, m, **keys)
        z = pieces.on(DEVICE).encode(x, m)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    assert "the GPU's memory is not enough" in caplog.text
    np.testing.assert_allclose(pieces.w2, whole.w2, atol=2e-3)
    np.testing.assert_allclose(z, whole.encode(x, m), atol=1e-2)


def test_pieces_add_up_to_the_gradients_of_the_whole(monkeypatch, caplog):
    """The card's error, raised by hand: half the events at once, then a quarter, and the same sums."""
    w = torch.linspace(-1, 1, 5, device=DEVICE).requires_grad_()
    data = torch.arange(2000.0, device=DEVICE).reshape(400, 5) / 500
    asked: list[int] = []

    def loss(index: torch.Tensor) -> torch.Tensor:
        asked.append(len(index))
        if len(index) > 100:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return torch.tanh(data[index] @ w).sum()

    step = Gradients(loss, [w], 400, DEVICE)
    found = step(torch.arange(400, device=DEVICE))
    expected = torch.tanh(data @ w).sum()
    (gradient,) = torch.autograd.grad(expected, w)
    torch.testing.assert_close(found, expected.detach())
    torch.testing.assert_close(w.grad, gradient)
    assert asked == [400, 200, 100, 100, 100, 100]
    assert caplog.text.count("the GPU's memory is not enough") == 2
    step(torch.arange(400, device=DEVICE))
    assert asked[6:] == [100] * 4  # it does not try again

    def never(index: torch.Tensor) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(FitError, match="too little free memory for 50 events at once"):
        Gradients(never, [w], 400, DEVICE)(torch.arange(400, device=DEVICE))


JOB = """
import sys, numpy as np
sys.path.insert(0, {tests!r})
from conftest import LinearGaussian
from cathode.density.histogram import HistogramDensity
from cathode.density.settings import HistogramSettings, SplineSettings
from cathode.numerics import resolve_device
truth = LinearGaussian()
m = truth.masses(8000, 1)
x = truth.sample(m, 2)
d = HistogramDensity.fit(x, m, settings=HistogramSettings(epochs=4), seeds=[11, 12], device=resolve_device({device!r}))
print(float(d.log_prob(x, m).sum()), d.w2.sum())
"""


def test_two_jobs_share_a_card(ready):
    code = JOB.format(tests=str(Path(__file__).parents[1]), device=DEVICE)
    jobs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [job.communicate(timeout=300) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], said
    assert said[0][0] == said[1][0]
    alone = fit("histogram", DEVICE)
    x, m = training()
    assert float(said[0][0].split()[0]) == pytest.approx(float(alone.log_prob(x, m).sum()), rel=1e-9)


def test_a_job_says_which_card_it_used_and_how_much_of_it(monkeypatch):
    from cathode.running.job import describe_job

    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("PATH", "")  # no controller to ask
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
    fit("histogram", DEVICE)
    said = describe_job()
    if DEVICE == "cuda":
        assert said["gpu"] == torch.cuda.get_device_name()
        assert 1 < said["gpu_mb"] < 2000
    else:
        assert said["gpu"] is None
        assert said["gpu_mb"] is None
