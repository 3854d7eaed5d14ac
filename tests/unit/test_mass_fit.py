"""Mass fits on spectra of known truth; closed forms against independent ones."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ROOT
from iminuit import Minuit, cost
from scipy.integrate import quad
from scipy.stats import chi2

from cathode.regions import Window, count_in_bins
from cathode.spectrum.grid import MassGrid
from cathode.spectrum.loglinear import (
    LogLinearFit,
    akaike_weights,
    all_fits,
    dijet,
    fit_log_linear,
    integral,
    log_polynomial,
)
from cathode.spectrum.mass_fit import fit_families, mass_fit, sculpting, weights_of, z_profile
from cathode.spectrum.sideband_model import MassModel
from cathode.stats.counting import li_ma

INTERVAL = (3300.0, 3700.0)
EDGES = np.concatenate(
    [np.stack([np.arange(2700, 3300, 40), np.arange(2740, 3340, 40)], 1), np.stack([np.arange(3700, 4300, 40), np.arange(3740, 4340, 40)], 1)]
).astype(float)  # fmt: skip


def dijet_density(m, scale=1.0):
    """An independent spelling of the four-parameter dijet function."""
    x = m / 13000
    return scale * 0.2 * (1 - x) ** 9.0 / x ** (5.0 + 0.2 * np.log(x))


def spectrum(seed, scale=1.0, density=dijet_density):
    mu = np.array([quad(density, a, b, args=(scale,))[0] for a, b in EDGES])
    inside = quad(density, *INTERVAL, args=(scale,))[0]
    rng = np.random.default_rng(seed)
    return rng.poisson(mu).astype(float), float(rng.poisson(inside)), inside


def test_dijet_terms_are_the_function_of_the_literature():
    m = np.linspace(2700, 4300, 50)
    basis = dijet(2700, 4300, 4, 13000.0)
    _, residual, *_ = np.linalg.lstsq(basis(m), np.log(dijet_density(m)), rcond=None)
    assert residual[0] < 1e-15
    assert basis(np.array([np.sqrt(2700 * 4300)]))[0] == pytest.approx([1, 0, 0, 0], abs=1e-12)


def test_a_fit_is_the_maximum_that_minuit_finds_without_gradients():
    counts, *_ = spectrum(1)
    basis = log_polynomial(2700, 4300, 3)
    fit = fit_log_linear(EDGES, counts, basis)

    def nll(a):
        mu = np.array([quad(lambda m: np.exp(basis(np.array(m)) @ a), lo, hi)[0] for lo, hi in EDGES])
        return 2 * np.sum(mu - counts * np.log(mu))

    other = Minuit(nll, fit.coefficients + 0.05)
    other.errordef = 1
    other.migrad()
    np.testing.assert_allclose(fit.coefficients, other.values, atol=2e-3)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), other.errors, rtol=0.05)


def test_the_prediction_and_its_error_are_right_on_average():
    pulls, z = [], []
    for seed in range(200):
        counts, n, inside = spectrum(seed, scale=0.05)
        found = mass_fit(EDGES, counts, n, INTERVAL, sqrt_s=13000.0)
        assert found is not None
        pulls.append((found.chosen.expected - inside) / found.sigma)
        z.append(found.z)
    assert abs(np.mean(pulls)) < 0.3
    assert 0.7 < np.std(pulls) < 1.2
    assert abs(np.mean(z)) < 0.25
    assert 0.8 < np.std(z) < 1.15


def best_of(edges, counts, interval, family=None):
    """The function that is worth most."""
    fits = [f for f in fit_families(edges, counts, interval, sqrt_s=13000.0) if family in (None, f.family)]
    return fits[int(weights_of(fits).argmax())]


def test_more_parameters_are_taken_where_the_spectrum_needs_them():
    rich, *_ = spectrum(
        3, scale=20.0, density=lambda m, s: s * dijet_density(m) * np.exp(-2 * ((m - 3500) / 1000) ** 2)
    )
    assert best_of(EDGES, rich, INTERVAL).n_parameters >= 3
    poor, *_ = spectrum(3, scale=0.01)
    assert best_of(EDGES, poor, INTERVAL).n_parameters == 2


def test_a_signal_in_the_region_does_not_move_the_prediction():
    counts, n, _ = spectrum(5, scale=0.05)
    a, b = (mass_fit(EDGES, counts, n + s, INTERVAL, sqrt_s=13000.0) for s in (0, 100))
    assert a.chosen == b.chosen
    assert b.z > a.z + 2


def test_too_few_events_are_no_number():
    assert mass_fit(EDGES, np.zeros(len(EDGES)), 3, INTERVAL, sqrt_s=13000.0) is None


@pytest.mark.parametrize(("n", "m", "tau"), [(30, 40, 2.0), (5, 40, 4.0), (200, 100, 1.0)])
def test_z_profile_is_li_ma_in_other_letters(n, m, tau):
    b = m / tau
    assert z_profile(n, b, np.sqrt(m) / tau) == pytest.approx(li_ma(n, m, tau), abs=1e-9)
    assert z_profile(n, b, 1e-9) == pytest.approx(z_profile(n, b, 0.0), abs=1e-4)


def test_sculpting_is_seen_and_a_flat_efficiency_passes():
    rng = np.random.default_rng(7)
    m = rng.uniform(2700, 4300, 20000)
    flat = [sculpting(m, rng.random(len(m)) < 0.05, INTERVAL) for _ in range(100)]
    p = np.array([s.p_value for s in flat])
    assert abs(np.mean(p < 0.1) - 0.1) < 0.1
    assert np.std([s.slope / s.slope_error for s in flat]) == pytest.approx(1, abs=0.25)
    steep = sculpting(m, rng.random(len(m)) < 0.05 * (1 + 0.2 * (m - 3500) / 400), INTERVAL)
    assert steep.slope == pytest.approx(0.2, abs=4 * steep.slope_error)
    assert steep.p_value < 0.01
    assert sculpting(m[:50], np.zeros(50, dtype=bool), INTERVAL) is None


def test_the_integral_is_that_of_quad():
    counts, *_ = spectrum(9)
    basis = log_polynomial(2700, 4300, 3)
    fit = fit_log_linear(EDGES, counts, basis)
    expected, _ = integral(fit.coefficients, fit.covariance, basis, INTERVAL)
    assert expected == pytest.approx(
        quad(lambda m: np.exp(basis(np.array(m)) @ fit.coefficients), *INTERVAL)[0], rel=1e-5
    )


def test_the_published_dijet_spectrum_is_described_and_holds_no_resonance():
    """CMS, arXiv:1911.03947: up to four parameters describe the data, and there is no evidence for a resonance."""
    low, high, events = np.loadtxt(
        ROOT / "tests" / "data" / "cms_dijet_2020.csv", delimiter=",", skiprows=3, unpack=True
    )
    edges = np.stack([low, high], axis=1)
    whole = best_of(edges, events, (1530.0, 8752.0), "dijet")
    assert whole.p_value > 0.05
    assert whole.n_parameters <= 4
    assert whole.expected == pytest.approx(events.sum(), rel=1e-3)
    z = []
    for i in range(4, 30, 2):
        inside = slice(i, i + 3)
        rest = np.delete(np.arange(len(events)), inside)
        n = events[inside].sum()
        found = mass_fit(edges[rest], events[rest], n, (low[inside][0], high[inside][-1]), sqrt_s=13000.0)
        assert found.chosen.p_value > 0.05
        z.append(found.z)
    assert max(z) < 2.5
    assert np.std(z) == pytest.approx(1, abs=0.5)


@pytest.mark.parametrize("n_events", [300, 20000])
def test_the_binned_fit_is_the_unbinned_one(n_events):
    """iminuit's extended unbinned likelihood of the same events and function: the bins cost a tenth of the error at most."""
    rng = np.random.default_rng(12)
    mass = 2700 * (1 - rng.random(4 * n_events) * (1 - (2700 / 4340) ** 6)) ** (-1 / 6)
    mass = mass[(mass < INTERVAL[0]) | (mass >= INTERVAL[1])][:n_events]
    mass = mass[mass < EDGES.max()]
    basis = log_polynomial(EDGES.min(), EDGES.max(), 2)
    binned = fit_log_linear(EDGES, count_in_bins(mass, EDGES), basis)

    def scaled(m, a, b):
        return np.exp(basis(m) @ np.array([a, b]))

    def model(m, a, b):
        total = sum(quad(scaled, low, high, args=(a, b))[0] for low, high in ((2700, 3300), (3700, 4300)))
        return total, scaled(m, a, b)

    inside = mass[mass < 4300]
    fit = Minuit(cost.ExtendedUnbinnedNLL(inside, model), *(binned.coefficients + 0.1))
    fit.migrad()
    assert fit.valid
    found, error = integral(binned.coefficients, binned.covariance, basis, INTERVAL)
    truth = quad(scaled, *INTERVAL, args=tuple(fit.values))[0]
    assert found == pytest.approx(truth, abs=0.1 * error)


def test_a_useless_term_does_not_hide_a_useful_one():
    """A cubic term in log mass that is orthogonal to all below it: the square that comes first explains nothing of it."""
    edges = np.stack([np.linspace(2000, 4950, 60), np.linspace(2050, 5000, 60)], axis=1)
    basis = log_polynomial(2000, 5000, 4)
    terms = basis(edges.mean(axis=1))
    falling = 8000 * np.exp(-terms[:, 1])
    cubic = np.linalg.qr(terms * np.sqrt(falling)[:, None])[0][:, 3] / np.sqrt(falling)
    counts = falling * np.exp(8 * cubic / np.sqrt((falling * cubic**2).sum()))
    fits = [fit_log_linear(edges, counts, log_polynomial(2000, 5000, n)) for n in (2, 3, 4)]
    assert chi2.sf(fits[0].deviance - fits[1].deviance, 1) > 0.05, "the square alone helps"
    every = all_fits(edges, counts, lambda n: log_polynomial(2000, 5000, n), 6)
    best = every[int(akaike_weights(every).argmax())]
    assert len(best.coefficients) == 4
    assert best.deviance < 5
    assert akaike_weights(every)[:2].sum() < 1e-6
    assert fits[1].deviance > 40


def test_a_fit_that_describes_nothing_gives_no_significance():
    edges = np.stack([np.arange(2000.0, 5000, 50), np.arange(2050.0, 5050, 50)], axis=1)
    edges = edges[(edges[:, 1] <= 3300) | (edges[:, 0] >= 3700)]
    comb = 500.0 + 300 * (np.arange(len(edges)) % 2)
    fit = mass_fit(edges, comb, 5000.0, (3300.0, 3700.0), sqrt_s=13000.0)
    assert fit is not None
    assert fit.z is None
    assert "no function describes them" in fit.flags[0]


@pytest.mark.parametrize("step", [0.0, 1.0, 10.0, 20.0, 30.0, 50.0])
def test_rounded_masses_are_fitted_on_their_grid(step):
    """The signal region counts whole steps; so does what is expected there. Without the grid, 30 GeV are 7 sigma off."""
    window = Window("m3200", (3000.0, 3400.0), (2000.0, 8000.0))
    pulls, good = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        m = 2000 + rng.exponential(600, 60_000)
        m = m[m < 8000]
        m = m if step == 0 else np.round(m / step) * step
        model = MassModel.fit(m, window)
        if step:
            own = np.unique(m[window.in_signal(m)])
            assert model.counted == pytest.approx((own[0] - step / 2, own[-1] + step / 2))
        value, error = model.expected()
        pulls.append((window.in_signal(m).sum() - value) / np.hypot(error, np.sqrt(value)))
        good.append(model.p_value)
    assert abs(np.mean(pulls)) < 1.3  # standard error 0.41
    assert np.std(pulls) < 2
    assert min(good) > 1e-3


def test_a_grid_is_found_whatever_its_offset_and_the_rounding_of_its_values():
    rng = np.random.default_rng(0)
    m = 2000 + rng.exponential(600, 60_000)
    for step, offset, kind in ((30.0, 7.3, np.float64), (2.5, 0.0, np.float32), (0.5, 0.1, np.float32)):
        grid = MassGrid.of((np.round(m / step) * step + offset).astype(kind).astype(float))
        assert grid is not None
        assert grid.step == pytest.approx(step, rel=1e-5)
        edge = 3000.0
        first = min(x for x in np.round(m / step) * step + offset if x >= edge)
        assert grid.snap(np.array([edge]))[0] == pytest.approx(first - step / 2, abs=0.01)
    assert MassGrid.of(m) is None
    assert MassGrid.of(m.astype(np.float32).astype(float)) is None
    assert MassGrid.of(np.round(m[:100] / 0.01) * 0.01) is None


def test_weights_of_functions_by_hand():
    def fit(deviance, n):
        return LogLinearFit(np.zeros(n), np.eye(n), deviance)

    weights = akaike_weights([fit(30.0, 2), fit(24.0, 3), fit(23.0, 4)])
    expected = np.exp([-(34 - 30) / 2, 0.0, -(31 - 30) / 2])
    np.testing.assert_allclose(weights, expected / expected.sum())


def masses_of(seed: int, n: int, turn_on: float | None = None) -> np.ndarray:
    """A dijet spectrum from 2300 GeV on, which falls from everywhere or from a turn-on on."""
    m = np.linspace(2300, 8000, 4000)
    density = dijet_density(m) * (1 if turn_on is None else 1 / (1 + np.exp(-(m - turn_on) / 70)))
    cdf = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    rng = np.random.default_rng(seed)
    return np.interp(rng.random(rng.poisson(n)), cdf / cdf[-1], m)


@pytest.mark.parametrize(("turn_on", "centre"), [(None, 3500), (None, 4500), (2450.0, 3100)])
def test_what_the_sidebands_expect_has_the_error_that_is_said(turn_on, centre):
    """Pulls of the count: choosing one order has an rms of 1.3 here, a turn-on in the fit a mean of 1."""
    window = Window.around(centre, width=400, range=(2300, 8000))
    truth = np.mean([window.in_signal(masses_of(900 + s, 60000, turn_on)).sum() for s in range(60)])
    pulls, chosen, starts = [], [], []
    for seed in range(70):
        mass = masses_of(seed, 60000, turn_on)
        model = MassModel.fit(mass, window)
        value, error = model.expected()
        pulls.append((value - truth) / error)
        best = int(model.weights.argmax())
        alone = (model.coefficients[best][: len(model.covariances[best])], model.covariances[best])
        b, s = integral(*alone, log_polynomial(*model.fit_range, len(alone[0])), window.signal)
        chosen.append((b - truth) / s)
        starts.append(model.fit_range[0])
    assert abs(np.mean(pulls)) < 0.4
    assert 0.55 < np.std(pulls) < 1.15
    assert np.std(pulls) < np.std(chosen)
    if turn_on:
        assert min(starts) > turn_on


def test_the_average_is_between_its_orders_and_blind_to_the_region():
    window = Window.around(3500, width=400, range=(2300, 8000))
    mass = masses_of(3, 30000)
    model = MassModel.fit(mass, window)
    assert model.weights.sum() == pytest.approx(1)
    grid = np.linspace(3300, 3700, 2001)
    value, _ = model.expected()
    assert np.trapezoid(model.density(grid), grid) == pytest.approx(value, rel=1e-4)
    with_signal = MassModel.fit(np.concatenate([mass, np.full(3000, 3500.0)]), window)
    assert with_signal.expected() == model.expected()
    drawn = model.sample(50000, seed=1)
    cdf = np.cumsum(model.density(grid)) / np.sum(model.density(grid))
    assert np.abs(np.searchsorted(np.sort(drawn), grid) / 50000 - cdf).max() < 0.01
