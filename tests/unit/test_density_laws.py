"""One law suite for every density model and every bijection."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from cathode import io
from cathode.template import SPLINE_SETTINGS, DensityEnsemble, FlowDensity, FlowSettings, HistogramDensity
from cathode.template.histogram import HistogramSettings
from cathode.template.mass import MassModel, MassSettings
from cathode.template.scaling import Gaussianiser, LogitScaler

MADE = io.Made("test", "0", {})
SMALL = {
    "histogram": HistogramSettings(epochs=6, batch=512),
    "maf": FlowSettings(blocks=3, hidden=32, epochs=6, batch=256, learning_rate=2e-3, keep_epochs=2),
    "spline": dataclasses.replace(SPLINE_SETTINGS, hidden=24, bins=8, epochs=4, batch=256),
}


@pytest.fixture(scope="module")
def training(truth):
    m = truth.masses(8000, 1)
    return truth.sample(m, 2), m


@pytest.fixture(scope="module", params=sorted(SMALL))
def fitted(request, training):
    x, m = training
    settings = SMALL[request.param]
    cls = HistogramDensity if request.param == "histogram" else FlowDensity
    weights = np.random.default_rng(3).poisson(1.0, (2, len(x))).astype(float)
    return cls.fit(settings, x, m, weights, [11, 12])


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
    w = np.exp(lp - log_q)
    expected = np.sum(w * lp) / np.sum(w)
    error = np.sqrt(np.sum((w * (lp - expected)) ** 2)) / np.sum(w) + own.std() / np.sqrt(len(own))
    assert abs(own.mean() - expected) < 4 * error + 0.01


def test_the_density_is_right_about_its_own_samples_feature_by_feature(fitted, training):
    """Samples at the training masses reproduce means, spreads and correlations of the training data."""
    x, m = training
    s = fitted.sample(m, member=0, seed=9)
    assert np.abs(s.mean(axis=0) - x.mean(axis=0)).max() < 0.12
    assert np.abs(np.corrcoef(s.T) - np.corrcoef(x.T)).max() < 0.1


def test_equal_seeds_give_equal_samples_and_others_do_not(fitted, training):
    m = training[1][:200]
    first = fitted.sample(m, member=0, seed=4)
    np.testing.assert_array_equal(first, fitted.sample(m, member=0, seed=4))
    assert not np.array_equal(first, fitted.sample(m, member=0, seed=5))
    assert not np.array_equal(first, fitted.sample(m, member=1, seed=4))


@pytest.mark.parametrize("steps", [1, 2, 3, 9, 10, 11, 20])
def test_trainings_of_a_few_steps_run(training, steps):
    x, m = training[0][:640], training[1][:640]
    settings = HistogramSettings(epochs=1, batch=640 // steps)
    d = HistogramDensity.fit(settings, x, m, np.ones((1, 640)), [1])
    assert np.isfinite(d.log_prob(x, m, member=0)).all()


def test_training_is_reproducible_to_the_bit(training):
    x, m = training
    settings = dataclasses.replace(SMALL["histogram"], epochs=1)
    a, b = (HistogramDensity.fit(settings, x, m, np.ones((1, len(x))), [3]) for _ in range(2))
    np.testing.assert_array_equal(a.w3, b.w3)


def test_a_stored_density_is_the_same_density(fitted, training, tmp_path, window):
    x, m = training
    ensemble = DensityEnsemble(fitted, 2, 1, MassModel.fit(m, window, MassSettings()))
    io.write(ensemble, tmp_path / "d.npz", MADE)
    again = io.read(tmp_path / "d.npz", DensityEnsemble)
    np.testing.assert_array_equal(
        again.density.log_prob(x[:100], m[:100], member=1), fitted.log_prob(x[:100], m[:100], member=1)
    )
    np.testing.assert_array_equal(again.mass.sample(50, seed=1), ensemble.mass.sample(50, seed=1))


def test_weights_act_as_repetitions(training):
    """A density trained with weight 0 on half of the plane does not populate it."""
    x, m = training
    weights = (x[:, 0] > 0).astype(float)[None]
    d = HistogramDensity.fit(SMALL["histogram"], x, m, weights, [1])
    assert (x[:, 0] > 0).mean() < 0.6
    assert (d.sample(m, member=0, seed=2)[:, 0] > 0).mean() > 0.93


def test_decode_undoes_encode(fitted, training):
    x, m = training
    z = fitted.encode(x[:1000], m[:1000], member=0)
    tolerance = 1e-6 if isinstance(fitted, HistogramDensity) else 2e-2  # flows run in single precision
    np.testing.assert_allclose(fitted.decode(z, m[:1000], member=0), x[:1000], atol=tolerance)


def test_encoded_training_data_are_uniform(training):
    """The conditional cumulative probabilities of data under a good model are uniform and independent of the mass."""
    x, m = training
    d = HistogramDensity.fit(SMALL["histogram"], x, m, np.ones((1, len(x))), [1])
    z = d.encode(x, m, member=0)
    assert z.min() >= 0
    assert z.max() <= 1
    assert max(kstest(z[:, j], "uniform").statistic for j in range(3)) < 0.03
    assert np.abs(np.corrcoef(np.column_stack([z, m]).T) - np.eye(4)).max() < 0.04


def test_the_flow_jacobian_agrees_with_autograd(training):
    """log p from the transform's own log-determinant equals log p through the autograd Jacobian of its inverse."""
    x, m = training
    d = FlowDensity.fit(dataclasses.replace(SMALL["spline"], epochs=1), x, m, np.ones((1, len(x))), [2])
    flow = next(iter(d._flows(0))).double()
    context = d._context(m[:3]).double()
    z = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, log_det = flow._transform.inverse(z, context=context)
    for i in range(3):
        jacobian = torch.autograd.functional.jacobian(
            lambda v, i=i: flow._transform.inverse(v[None], context=context[i : i + 1])[0][0], z[i]
        )
        assert abs(float((torch.linalg.slogdet(jacobian)[1] - log_det[i]).detach())) < 1e-6
    back, _ = flow._transform.forward(u, context=context)
    torch.testing.assert_close(back, z, atol=1e-5, rtol=1e-5)
