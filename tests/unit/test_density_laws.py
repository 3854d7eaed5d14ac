"""One law suite for every density model, those of others included, and every bijection."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from conftest import DEVICE
from scipy.stats import kstest

from cathode import io
from cathode.density.ensemble import DensityEnsemble, fit_ensemble
from cathode.density.flows import FlowDensity
from cathode.density.histogram import HistogramDensity
from cathode.density.registry import BUILT_IN, Density, density_class, is_transportable, settings_of
from cathode.density.scaling import Gaussianiser, LogitScaler
from cathode.density.settings import DensitySettings, FlowSettings, HistogramSettings, SplineSettings
from cathode.errors import ArtefactError, ConfigError
from cathode.events import Events
from cathode.spectrum.sideband_model import MassModel

MADE = io.Made("test", "0", {})
FOREIGN = "linear_density.LinearDensity"
SMALL = DensitySettings(
    histogram=HistogramSettings(epochs=6, batch=512),
    maf=FlowSettings(blocks=3, hidden=32, epochs=20, batch=256, learning_rate=2e-3, keep_epochs=2),
    spline=SplineSettings(hidden=24, bins=8, epochs=8, batch=256),
)
MODELS = (*BUILT_IN, FOREIGN)


def settings_for(model: str) -> DensitySettings:
    return dataclasses.replace(SMALL, model=model, settings={"order": 1} if model == FOREIGN else {})


@pytest.fixture(scope="module")
def training(truth):
    m = truth.masses(8000, 1)
    return truth.sample(m, 2), m


def fit(model: str, x, m, weights, seeds) -> Density:
    settings = settings_of(model, settings_for(model))
    return density_class(model).fit(x, m, settings=settings, weights=weights, seeds=seeds, device=DEVICE)


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(model, training):
    x, m = training
    return fit(model, x, m, np.random.default_rng(3).poisson(1.0, (2, len(x))).astype(float), [11, 12])


def test_it_is_a_density(model, fitted):
    assert isinstance(fitted, Density)
    assert fitted.n_members == 2
    assert is_transportable(model)


@pytest.mark.parametrize("bijection", [Gaussianiser, LogitScaler])
def test_a_bijection_is_undone_by_its_inverse_and_its_jacobian_is_the_slope(bijection, training):
    x, _ = training
    b = bijection.fit(x)
    inner = x[np.all((x > np.quantile(x, 0.01, axis=0)) & (x < np.quantile(x, 0.99, axis=0)), axis=1)][:500]
    np.testing.assert_allclose(b.inverse(b.forward(inner)), inner, atol=1e-9)
    step = 1e-7
    slopes = (b.forward(inner + step) - b.forward(inner - step)) / (2 * step)
    np.testing.assert_allclose(b.log_jacobian(inner), np.log(slopes).sum(axis=1), atol=5e-3)


def test_gaussianised_training_data_are_standard_normal(training):
    x, _ = training
    u = Gaussianiser.fit(x).forward(x)
    assert np.abs(u.mean(axis=0)).max() < 0.02
    assert np.abs(u.std(axis=0) - 1).max() < 0.02


def test_outliers_do_not_explode():
    """Far outside the training range the map continues with a typical slope; the spread of fresh data stays one."""
    rng = np.random.default_rng(8)
    for _ in range(20):
        g = Gaussianiser.fit(rng.normal(size=(3000, 1)))
        u = g.forward(rng.normal(size=(20000, 1)))
        assert abs(u.std() - 1) < 0.03  # a vanishing slope at the end of the table gave 1.065
        assert np.abs(u).max() < 8
        outside = np.array([[-9.0], [9.0]])
        np.testing.assert_allclose(g.inverse(g.forward(outside)), outside)


def test_a_density_integrates_to_one(fitted):
    # importance sampling from a wide normal around the data
    rng = np.random.default_rng(5)
    m = np.full(40000, 3000.0)
    sd = 1.8
    x = rng.normal([0.0, 1.0, 0.0], sd, (len(m), 3))
    log_q = (-0.5 * ((x - [0.0, 1.0, 0.0]) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)).sum(axis=1)
    weights = np.exp(fitted.log_prob(x, m, member=0) - log_q)
    assert abs(weights.mean() - 1) < 4 * weights.std() / np.sqrt(len(weights)) + 0.01


def test_samples_follow_the_density(fitted):
    # E_p[log p] estimated from samples and by importance weights of a second, independent proposal must agree
    m = np.full(30000, 3000.0)
    own = fitted.log_prob(fitted.sample(m, member=0, seed=1), m, member=0)
    rng = np.random.default_rng(6)
    x = rng.normal([0.0, 1.0, 0.0], 1.8, (len(m), 3))
    log_q = (-0.5 * ((x - [0.0, 1.0, 0.0]) / 1.8) ** 2 - np.log(1.8) - 0.5 * np.log(2 * np.pi)).sum(axis=1)
    lp = fitted.log_prob(x, m, member=0)
    w, lp = np.exp(lp - log_q), np.where(np.isfinite(lp), lp, 0.0)  # no support, no weight
    expected = np.sum(w * lp) / np.sum(w)
    error = np.sqrt(np.sum((w * (lp - expected)) ** 2)) / np.sum(w) + own.std() / np.sqrt(len(own))
    assert abs(own.mean() - expected) < 4 * error + 0.01


def test_the_density_is_right_about_its_own_samples_feature_by_feature(fitted, training):
    """Samples at the training masses reproduce means, spreads and correlations of the training data."""
    x, m = training
    s = fitted.sample(m, member=0, seed=9)
    assert np.abs(s.mean(axis=0) - x.mean(axis=0)).max() < 0.12
    assert np.abs(np.corrcoef(s.T) - np.corrcoef(x.T)).max() < 0.1


def test_it_follows_the_truth_in_its_mean_and_covariance(fitted, truth):
    """The toy is normal with a mean linear in log m. Without the mass the first mean would be off by 0.3 at one end."""
    means = []
    for centre in (2500.0, 3500.0):
        m = np.full(20000, centre)
        s = fitted.sample(m, member=1, seed=3)
        means.append(s.mean(axis=0))
        np.testing.assert_allclose(means[-1], truth.mean(m[:1])[0], atol=0.16)
        np.testing.assert_allclose(np.cov(s.T), truth.covariance(), atol=0.3)
    moved = truth.mean(np.array([3500.0]))[0] - truth.mean(np.array([2500.0]))[0]  # 0.56, -0.34, 0.22
    np.testing.assert_allclose(means[1] - means[0], moved, atol=0.2)


# measured on this toy: 0.045, 0.12, 0.097, 0.0016; a normal without the mass 0.18, with it but without correlations 0.26
KL = {"location": 0.04, "histogram": 0.07, "maf": 0.16, "spline": 0.14, FOREIGN: 0.004}


def test_its_likelihood_is_near_the_truth(model, fitted, truth):
    m = truth.masses(20000, 31)
    x = truth.sample(m, 32)
    log_prob = fitted.log_prob(x, m, member=0)
    inside = np.isfinite(log_prob)  # the published scaling has no support outside the training range
    assert inside.mean() > (0.99 if model == "maf" else 0.9999)
    assert -0.002 < float(np.mean((truth.log_prob(x, m) - log_prob)[inside])) < KL[model]


def test_equal_seeds_give_equal_samples_and_others_do_not(fitted, training):
    m = training[1][:200]
    first = fitted.sample(m, member=0, seed=4)
    np.testing.assert_array_equal(first, fitted.sample(m, member=0, seed=4))
    assert not np.array_equal(first, fitted.sample(m, member=0, seed=5))
    assert not np.array_equal(first, fitted.sample(m, member=1, seed=4))


def test_price_is_bounded_from_below_and_from_above():
    """Three passes over the demo; as many as make 600 steps of a few events; a million events are seen once, and ten millions too."""
    s = HistogramSettings()
    assert [s.passes(n) for n in (120_000, 333_000, 450_000, 1_000_000, 10_000_000)] == [3, 3, 2, 1, 1]
    for n in (600, 5_000, 40_000):
        steps = s.passes(n) * max(1, n // s.batch)
        assert 600 <= steps < 600 + max(1, n // s.batch)


@pytest.mark.parametrize("steps", [1, 2, 3, 9, 10, 11, 20])
def test_trainings_of_a_few_steps_run(training, steps):
    x, m = training[0][:640], training[1][:640]
    d = HistogramDensity.fit(x, m, settings=HistogramSettings(epochs=1, steps=0, batch=640 // steps))
    assert np.isfinite(d.log_prob(x, m, member=0)).all()


def test_training_is_reproducible_to_the_bit(model, training):
    """Also on another number of threads than the caller allows torch."""
    x, m = training[0][:2000], training[1][:2000]
    found, threads = [], torch.get_num_threads()
    for n in (1, 2):
        torch.set_num_threads(n)
        try:
            d = fit(model, x, m, np.ones((2, len(x))), [3, 4])
            found.append((d.sample(m, member=1, seed=5), d.encode(x, m, member=0), d.log_prob(x, m, member=1)))
            assert torch.get_num_threads() == n  # as the caller had it
        finally:
            torch.set_num_threads(threads)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_stored_density_is_the_same_density_and_no_other_class_is_built(model, fitted, training, tmp_path, window):
    x, m = training
    ensemble = DensityEnsemble(model, fitted, 2, 1, MassModel.fit(m, window))
    io.write(ensemble, tmp_path / "d.npz", MADE)
    again = io.read(tmp_path / "d.npz", DensityEnsemble, density_model=model)
    assert again.model == model
    if model == FOREIGN:  # only the class that the configuration names
        with pytest.raises(ArtefactError, match="found an object of class LinearDensity, expected Density"):
            io.read(tmp_path / "d.npz", DensityEnsemble)
    np.testing.assert_array_equal(
        again.density.log_prob(x[:100], m[:100], member=1), fitted.log_prob(x[:100], m[:100], member=1)
    )
    np.testing.assert_array_equal(again.mass.sample(50, seed=1), ensemble.mass.sample(50, seed=1))


def test_weights_act_as_repetitions(model, training):
    """A density trained with weight 0 on the lower half of a feature has the upper half's mean."""
    x, m = training
    upper = x[:, 0] > 0
    d = fit(model, x, m, np.stack([upper.astype(float), np.ones(len(x))]), [1, 2])
    assert d.sample(m, member=0, seed=2)[:, 0].mean() == pytest.approx(x[upper, 0].mean(), abs=0.15)  # 0.80
    assert d.sample(m, member=1, seed=2)[:, 0].mean() == pytest.approx(x[:, 0].mean(), abs=0.15)  # -0.15


def test_zero_weights_leave_their_region_empty(training):
    x, m = training
    weights = (x[:, 0] > 0).astype(float)[None]
    d = HistogramDensity.fit(x, m, settings=SMALL.histogram, weights=weights)
    assert (x[:, 0] > 0).mean() < 0.6
    assert (d.sample(m, seed=2)[:, 0] > 0).mean() > 0.93


def test_decode_undoes_encode(fitted, training):
    x, m = training
    z = fitted.encode(x[:1000], m[:1000], member=0)
    tolerance = 2e-2 if isinstance(fitted, FlowDensity) else 1e-6  # flows run in single precision
    np.testing.assert_allclose(fitted.decode(z, m[:1000], member=0), x[:1000], atol=tolerance)


def test_encoded_training_data_are_uniform(training):
    """The conditional cumulative probabilities of data under a good model are uniform and independent of the mass."""
    x, m = training
    d = HistogramDensity.fit(x, m, settings=SMALL.histogram)
    z = d.encode(x, m, member=0)
    assert z.min() >= 0
    assert z.max() <= 1
    assert max(kstest(z[:, j], "uniform").statistic for j in range(3)) < 0.03
    assert np.abs(np.corrcoef(np.column_stack([z, m]).T) - np.eye(4)).max() < 0.04


def test_the_flow_jacobian_agrees_with_autograd(training):
    """log p from the transform's own log-determinant equals log p through the autograd Jacobian of its inverse."""
    x, m = training
    d = FlowDensity.fit(x, m, settings=dataclasses.replace(SMALL.spline, epochs=1), seeds=[2])
    flow = next(iter(d.on("cpu")._flows(0))).double()
    context = torch.from_numpy((np.log(m[:3]) - d.mass_mean) / d.mass_sd)[:, None]
    z = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, log_det = flow._transform.inverse(z, context=context)
    for i in range(3):
        jacobian = torch.autograd.functional.jacobian(
            lambda v, i=i: flow._transform.inverse(v[None], context=context[i : i + 1])[0][0], z[i]
        )
        assert abs(float((torch.linalg.slogdet(jacobian)[1] - log_det[i]).detach())) < 1e-6
    back, _ = flow._transform.forward(u, context=context)
    torch.testing.assert_close(back, z, atol=1e-5, rtol=1e-5)


def test_an_ensemble_of_any_model_is_an_ensemble(model, training, window):
    x, m = training
    events = Events(("a", "b", "c"), np.arange(len(m)), m, x)
    light = settings_for(model)
    light = dataclasses.replace(
        light, histogram=HistogramSettings(epochs=1, steps=0), maf=dataclasses.replace(light.maf, epochs=1)
    )
    found = fit_ensemble(events, window, light, bootstraps=2, seeds=2, seed=1)
    assert found.density.n_members == 4
    draws = [found.density.sample(m[:500], member=e, seed=1) for e in range(4)]
    assert not np.array_equal(draws[0], draws[2])  # another bootstrap


class Lonely:
    """A density that only samples."""

    @classmethod
    def fit(cls, x, m, **keywords):
        return cls()

    n_members = 1

    def sample(self, m, *, member=0, seed=1):
        return np.zeros((len(m), 2))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("histgram", "found histgram, expected histogram, location, maf, spline, module.Class, or a name registered"),
        ("nowhere.Density", "No module named 'nowhere'"),
        ("linear_density.Linear", "linear_density has no Linear"),
        ("linear_density.Array", "is no class"),
        ("linear_density.LinearSettings", "has no fit, sample, n_members"),
    ],
)
def test_a_model_that_is_none_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        density_class(name)


def test_settings_of_a_model_are_checked_by_name():
    with pytest.raises(ConfigError, match="has no ordre, expected among order"):
        settings_of(FOREIGN, DensitySettings(model=FOREIGN, settings={"ordre": 2}))
    assert settings_of(FOREIGN, DensitySettings(model=FOREIGN, settings={"order": 2})).order == 2
    with pytest.raises(ConfigError, match=r"settings stand in background\.maf"):
        DensitySettings(model="maf", settings={"epochs": 1})


def test_a_model_that_only_samples_needs_a_sampled_template():
    from cathode.config import load_config

    tree = {"background": {"model": f"{__name__}.Lonely"}}
    with pytest.raises(ConfigError, match=r"has no encode and decode.*expected template\.base: model"):
        load_config(tree)
    assert load_config(tree | {"template": {"base": "model"}}).density_model.endswith("Lonely")
