"""The example of a hunt that is not one for dijets: from muons in an ntuple to a significance."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import uproot
from conftest import ROOT

import cathode
from cathode.classifier.settings import ClassifierSettings, TreeSettings
from cathode.config import load_config
from cathode.density.settings import HistogramSettings
from cathode.inference.counts import passing
from cathode.inference.settings import ClosureSettings
from cathode.intake.prepare import prepare_events
from cathode.spectrum.scan import scan_spectrum


def muon_pairs(m, pair_pt, iso_scale, charge_product, rng):
    """Two-body decays, isotropic in the rest frame, of pairs with a flat rapidity: one row per pair."""
    n = len(m)
    cos, phi = rng.uniform(-1, 1, n), rng.uniform(0, 2 * np.pi, n)
    sin = np.sqrt(1 - cos**2)
    rapidity, azimuth = rng.uniform(-2, 2, n), rng.uniform(-np.pi, np.pi, n)
    transverse_mass = np.hypot(m, pair_pt)
    beta = pair_pt / transverse_mass
    out: dict[str, np.ndarray] = {}
    for i, sign in ((1, 1), (2, -1)):
        px, py, pz, e = sign * sin * np.cos(phi), sign * sin * np.sin(phi), sign * cos, np.ones(n)
        gamma = transverse_mass / m
        px, e = gamma * (px + beta * e), gamma * (e + beta * px)
        pz = np.cosh(rapidity) * pz + np.sinh(rapidity) * e
        px, py, pz = m / 2 * px, m / 2 * py, m / 2 * pz
        pt = np.hypot(px, py)
        out |= {
            f"mu{i}_pt": pt, f"mu{i}_eta": np.arcsinh(pz / pt), f"mu{i}_phi": np.arctan2(py, px) + azimuth,
            f"mu{i}_iso": rng.exponential(iso_scale, n),
        }  # fmt: skip
    out |= {"mu1_charge": np.ones(n), "mu2_charge": np.asarray(charge_product, dtype=float)}
    swap = out["mu2_pt"] > out["mu1_pt"]
    for name in ("pt", "eta", "phi", "iso"):
        a, b = out[f"mu1_{name}"], out[f"mu2_{name}"]
        out[f"mu1_{name}"], out[f"mu2_{name}"] = np.where(swap, b, a), np.where(swap, a, b)
    return out


def sample(n_background, n_signal, seed):
    """A falling continuum with a step of same-sign pairs in it, and a narrow, harder and isolated resonance at 10 GeV."""
    rng = np.random.default_rng(seed)
    m = 7.5 + rng.exponential(2.5, n_background)
    background = muon_pairs(
        m, rng.exponential(8, n_background), 0.3, np.where(rng.random(n_background) < 0.2, 1, -1), rng
    )
    signal = muon_pairs(
        rng.normal(10, 0.08, n_signal), 6 + rng.exponential(10, n_signal), 0.05, -np.ones(n_signal), rng
    )
    order = rng.permutation(n_background + n_signal)
    return {k: np.concatenate([background[k], signal[k]])[order] for k in background}, np.concatenate(
        [m, np.full(n_signal, 10.0)]
    )[order]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("dimuon") / "dimuon.root"
    columns, _ = sample(80000, 250, seed=1)
    with uproot.recreate(path) as file:
        file["pairs"] = columns
    import yaml

    tree = yaml.safe_load((ROOT / "config" / "examples" / "dimuon.yaml").read_text())
    tree["data"] |= {"files": [str(path)], "key": "pairs"}
    return load_config(tree)


def test_the_example_finds_the_resonance(config):
    window = next(iter(config.regions.values()))
    events = prepare_events(config.data, config.injection, config.mass_range, seed=1).events
    columns, m = sample(80000, 250, seed=1)
    kept = (columns["mu2_charge"] < 0) & (columns["mu2_pt"] > 3) & (m >= 8) & (m < 12)
    assert len(events) == pytest.approx(kept.sum(), abs=60)  # masses of the signal are smeared in the sample
    assert np.ptp(events.features, axis=0).min() > 0
    lighter = dataclasses.replace(config.background, bootstraps=2, histogram=HistogramSettings(epochs=6, steps=0))
    classifier = ClassifierSettings(splits=1, sequential_members=0, boosted_trees=TreeSettings(trees=30, min_leaf=50))
    common = {"window": window, "seed": 1}
    points = config.working_points
    density = cathode.fit_density(events, background=lighter, **common)
    template = cathode.make_template(events, density, template=config.template, **common)
    scores = cathode.score(events, template, classifier=classifier, **common)
    closure = cathode.measure_closure(
        events, working_points=points, background=lighter, template=config.template, classifier=classifier,
        closure=ClosureSettings(windows=12), **common,
    )  # fmt: skip
    # one fold split for speed: its counts scatter more than Poisson's (as every such estimate's flag says)
    statistics = dataclasses.replace(config.statistics, overdispersion=2.0)
    estimates = cathode.estimate_background(scores, closure, working_points=points, statistics=statistics)
    hunts = cathode.infer(estimates, density, events, scores, window=window, statistics=statistics)[0].entries
    assert max(h.z for h in hunts) > 3
    is_signal = m[scores.splits[0].row] == 10
    for hunt in hunts:  # the measured signal behind each cut is the true one
        true = passing(scores.splits, hunt.eps_bkg)[is_signal].sum()
        assert true > 40
        assert abs(hunt.signal_yield.value - true) < 3 * hunt.signal_yield.sigma
    scan = scan_spectrum(events, window=window, statistics=config.statistics, seed=1)
    assert abs(scan.best_mass - 10) < 0.15


def upsilon_like(n: int = 20_000, seed: int = 4) -> pd.DataFrame:
    """A level spectrum that ends with the range, and two resonances whose features differ from it."""
    rng = np.random.default_rng(seed)
    parts = [int(0.78 * n), int(0.15 * n), n - int(0.78 * n) - int(0.15 * n)]
    m = np.concatenate(
        [rng.uniform(8, 12, parts[0]), rng.normal(9.46, 0.07, parts[1]), rng.normal(10.02, 0.07, parts[2])]
    )
    resonant = np.repeat([0, 1, 1], parts)
    return pd.DataFrame(
        {
            "m": m,
            "pt": rng.exponential(8, n) + resonant * rng.exponential(4, n),
            "dr": rng.gamma(3, 0.3, n) * (1 - 0.2 * resonant),
            "eta": rng.normal(0, 1.3, n),
        }
    )


@pytest.mark.parametrize("window", [(9.2, 9.7), (10.8, 11.3)])
def test_a_hunt_beside_resonances_ends_with_its_report(window, tmp_path):
    """Both methods, to the last figure, also where the spectrum does not fall to nothing; and the report says what is not to be believed."""
    found = cathode.hunt(
        upsilon_like(), mass="m", features=["pt", "dr", "eta"], window=window, range=(8, 12), methods=("cathode", "cwola"),
        working_points=(0.5, 0.2, 0.1), cores=1, progress=False,
        background=cathode.DensitySettings(bootstraps=2, seeds=2),
        classifier=cathode.ClassifierSettings(folds=2, splits=1, sequential_members=0, boosted_trees=TreeSettings(trees=10)),
        closure=cathode.ClosureSettings(windows=12, bootstraps=2),
    )  # fmt: skip
    assert len(found.results) == 6
    assert all(0 < r.n_bkg <= r.n_sr for r in found.results)
    page = found.report(tmp_path / "report.html").read_text()
    assert "could not be drawn" not in page
    scan = found.spectrum
    assert scan.z_local > 20
    assert abs(scan.best_mass - 9.46) < 0.1
    assert all(z < 4 for z, m in zip(scan.z, scan.masses, strict=True) if not any(a < m < b for a, b in scan.apart))
    for entry in found.results:
        if window[0] > 10:
            assert entry.z_local < 3.5  # the resonances lie beside the window
        else:  # one lies inside, and may be found; but nothing is measured or limited without a mass fit
            assert (entry.limit, entry.signal_yield) == (None, None)
            assert any("no yield and no limit" in flag for flag in entry.flags)
