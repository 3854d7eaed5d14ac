"""Variance components recover what was planted."""

from __future__ import annotations

import numpy as np
import pytest

from cathode.density.ensemble import bootstrap_weights
from cathode.stats.random_effects import _freedom, nested_anova, random_effects, spread


def test_the_nested_design_recovers_planted_spreads():
    rng = np.random.default_rng(0)
    boot, init, mean = 0.08, 0.05, 400.0
    counts = []
    for _ in range(300):
        replica = rng.normal(0, boot, (10, 1))
        rate = mean * (1 + replica + rng.normal(0, init, (10, 2)))
        counts.append(rng.poisson(rate))
    found_boot, found_init = spread(np.array(counts))
    assert found_boot == pytest.approx(boot, rel=0.05)
    assert found_init == pytest.approx(init, rel=0.05)


def test_pure_poisson_noise_is_no_spread():
    rng = np.random.default_rng(1)
    boot, init = spread(rng.poisson(30.0, (500, 10, 2)))  # the noise itself is 0.18
    assert boot < 0.05
    assert init < 0.05


def test_mean_squares_equal_hand_numbers():
    between, within = nested_anova(np.array([[1.0, 3.0], [5.0, 7.0]]))
    # mean 4; within variances 2 and 2; replica means 2 and 6, variance 8, times K = 2
    assert within == pytest.approx(2 / 16)
    assert between == pytest.approx(16 / 16)


@pytest.mark.parametrize(("mu", "scatter"), [(0.0, 0.0), (0.06, 0.1), (-0.2, 0.3)])
def test_random_effects_recover_a_planted_bias(mu, scatter):
    rng = np.random.default_rng(2)
    found = []
    for _ in range(400):
        b = rng.uniform(50, 300, 12)
        known = np.full(12, 0.05)
        n = rng.poisson(b * np.exp(mu + rng.normal(0, scatter, 12) + rng.normal(0, known)))
        found.append(random_effects(n, b, known))
    assert np.mean([f.mu for f in found]) == pytest.approx(mu, abs=0.025 + 0.1 * scatter)
    assert np.mean([f.scatter for f in found]) == pytest.approx(scatter, abs=0.03 + 0.1 * scatter)
    pulls = np.array([(f.mu - mu) / f.mu_error for f in found])
    assert 0.85 < pulls.std() < 1.25


def test_large_counts_give_the_der_simonian_laird_numbers():
    """An independent implementation on log-ratios agrees where both are valid."""
    rng = np.random.default_rng(4)
    b = np.full(12, 20000.0)
    known = np.full(12, 0.02)
    n = rng.poisson(b * np.exp(0.05 + rng.normal(0, 0.08, 12)))
    y, s2 = np.log(n / b), 1 / n + known**2
    w = 1 / s2
    q = np.sum(w * (y - np.sum(w * y) / w.sum()) ** 2)
    t2 = max(0.0, (q - 11) / (w.sum() - np.sum(w**2) / w.sum()))
    mu = np.sum(y / (s2 + t2)) / np.sum(1 / (s2 + t2))
    found = random_effects(n, b, known)
    assert found.mu == pytest.approx(mu, abs=0.006)
    assert found.scatter == pytest.approx(np.sqrt(t2), rel=0.06)


def test_zeros_and_small_counts_are_not_a_bias():
    rng = np.random.default_rng(5)
    b = np.geomspace(0.3, 6, 12)
    found = [random_effects(rng.poisson(b), b, np.full(12, 0.1)).mu for _ in range(500)]
    assert abs(np.mean(np.exp(found)) - 1) < 0.03


def test_no_event_anywhere_is_cut_and_not_infinite():
    found = random_effects(np.zeros(5), np.full(5, 0.4), np.full(5, 0.1))
    assert found.mean == pytest.approx(np.log(0.5 / 2))  # half an event in total
    assert np.isfinite(found.mu)
    assert np.isfinite(found.sigma)


def covariance_of(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.abs(np.subtract.outer(x, x)))


def test_large_counts_give_the_numbers_of_universal_kriging():
    """An independent implementation: Gaussian conditioning with a mean of infinite prior variance, at the scatter that was found."""
    rng = np.random.default_rng(3)
    x = np.linspace(1.0, 6.0, 11)
    b = rng.uniform(2e5, 4e5, 11)
    known = np.full(11, 0.01)
    share = 0.4 ** np.abs(np.subtract.outer(np.arange(11), np.arange(11)))
    bias = 0.03 + rng.multivariate_normal(np.zeros(11), 0.05**2 * covariance_of(x))
    n = rng.poisson(b * np.exp(bias + rng.normal(0, known)))
    found = random_effects(n, b, known, correlation=share, position=x)
    t, noise = found.seen, share / np.sqrt(np.outer(b, b)) + np.diag(known**2)
    wide = 1e3  # prior variance of the mean
    prior = wide + t**2 * covariance_of(x)
    cross = wide + t**2 * np.exp(-np.abs(x))
    y = np.log(n / b)
    expected = cross @ np.linalg.solve(prior + noise, y)
    variance = wide + t**2 - cross @ np.linalg.solve(prior + noise, cross)
    assert found.mu == pytest.approx(expected, abs=2e-3)
    assert found.sigma == pytest.approx(np.sqrt(variance), rel=0.02)


def test_a_bias_that_follows_the_mass_is_predicted_better_by_what_lies_near():
    """Counts without noise worth the name, a straight bias: the region that is asked for lies beyond the upper end."""
    x = np.linspace(-3.0, -0.5, 8)
    b = np.full(8, 1e7)
    n = b * np.exp(0.1 + 0.05 * x)
    near, far = (random_effects(n, b, np.full(8, 1e-3), position=p) for p in (x, x - 50.0))
    assert abs(near.mu - 0.1) < 0.6 * abs(far.mu - 0.1)
    assert near.scatter < 0.9 * far.scatter
    assert far.mu == pytest.approx(far.mean, abs=1e-6)


def test_counts_that_share_events_know_less():
    b = np.full(6, 400.0)
    errors = []
    for share in (0.0, 0.5, 0.9):
        correlation = np.where(np.eye(6) == 1, 1.0, share)
        found = random_effects(b, b, np.zeros(6), correlation=correlation)
        errors.append(found.mu_error)
        assert found.mu_error == pytest.approx(np.sqrt((1 + 5 * share) / 6 / 400), rel=1e-6)
    assert np.all(np.diff(errors) > 0)


def test_a_floor_is_the_least_scatter_and_a_plain_contradiction_stands():
    rng = np.random.default_rng(8)
    b, known = np.full(12, 1e5), np.full(12, 0.005)
    quiet = random_effects(rng.poisson(b), b, known, floor=0.05)
    assert (quiet.scatter, quiet.degrees_of_freedom) == (pytest.approx(0.05), pytest.approx(31, abs=0.5))
    assert quiet.seen < 0.05
    loud = random_effects(rng.poisson(b * np.exp(rng.normal(0, 0.2, 12))), b, known, floor=0.05)
    assert loud.scatter == pytest.approx(loud.seen, rel=1e-3)
    assert loud.scatter > 0.1
    assert loud.degrees_of_freedom == pytest.approx(11 + 20 * (0.05 / loud.scatter) ** 2, abs=0.3)


def test_scatter_that_counting_alone_makes_is_not_believed():
    """Regions of twenty events, no scatter: a quarter of the samples show more than the floor, which changes neither the scatter nor its tails much."""
    rng = np.random.default_rng(9)
    found = [random_effects(rng.poisson(20.0, 11), np.full(11, 20.0), np.zeros(11), floor=0.1) for _ in range(300)]
    assert np.mean([f.seen > 0.1 for f in found]) > 0.15
    assert np.quantile([f.scatter for f in found], 0.9) < 0.13
    assert np.quantile([f.degrees_of_freedom for f in found], 0.1) > 15


@pytest.mark.parametrize("counts", [1e9, 400.0, 100.0])
def test_degrees_of_freedom_are_those_of_the_estimated_scatter(counts):
    """Var(t^2) = 2 t^4 / nu: all but nothing is known of a scatter of 0.1 behind counts of a hundred."""
    rng, regions, true = np.random.default_rng(10), 40, 0.1
    b, noise = np.full(regions, counts), np.zeros(regions)
    squares = []
    for _ in range(400):
        n = rng.poisson(b * np.exp(rng.normal(-(true**2) / 2, true, regions)))
        r = n / b - n.mean() / counts
        squares.append(r @ r / (regions - 1) - 1 / counts)  # moment estimator, not cut at 0
    freedom = _freedom(np.diag(noise + 1 / counts + true**2), np.eye(regions) * true**2)
    assert freedom == pytest.approx((regions - 1) / (1 + 1 / (counts * true**2)) ** 2)
    assert np.var(squares) == pytest.approx(2 * true**4 / freedom, rel=0.3)


@pytest.mark.parametrize("scatter", [0.0, 0.03, 0.1])
def test_predictions_for_a_new_region_have_the_error_that_is_said(scatter):
    """Correlated biases, overlapping regions: pulls of the true bias at the position have unit width where scatter is seen, less where it is declared."""
    rng = np.random.default_rng(21)
    x = np.concatenate([[0.0], np.linspace(1.5, 5.0, 11)])
    share = 0.35 ** np.abs(np.subtract.outer(np.arange(11), np.arange(11)))
    root, spread_of = np.linalg.cholesky(share), np.linalg.cholesky(covariance_of(x) + 1e-12 * np.eye(12))
    pulls = []
    for _ in range(600):
        bias = 0.05 + scatter * spread_of @ rng.standard_normal(12)
        b = np.geomspace(4000, 400, 11)
        mean = b * np.exp(bias[1:])
        n = np.maximum(np.round(mean + np.sqrt(mean) * (root @ rng.standard_normal(11))), 0)
        found = random_effects(n, b, np.full(11, 1e-4), correlation=share, position=x[1:], floor=0.03)
        pulls.append((bias[0] - found.mu) / found.sigma)
    width = np.std(pulls)
    assert abs(np.mean(pulls)) < 0.2
    assert (0.2 < width < 0.85) if scatter == 0 else (0.75 < width < 1.35), width


def test_members_that_select_from_one_sample_have_no_noise_to_subtract():
    """The default template transports recorded events: known spreads are found as they are, where subtracting Poisson's would leave nothing of the smaller."""
    rng = np.random.default_rng(0)
    counts = 400 * (1 + 0.08 * rng.normal(size=(300, 10, 1)) + 0.05 * rng.normal(size=(300, 10, 2)))
    assert spread(counts, independent=False) == pytest.approx((0.08, 0.05), rel=0.06)
    assert spread(counts)[1] < 0.02


def test_bootstrap_weights_are_one_set_per_replica_for_all_its_initialisations():
    w = bootstrap_weights(20_000, 3, 2, seed=1)
    np.testing.assert_array_equal(w[0::2], w[1::2])
    assert len(np.unique(w, axis=0)) == 3
    assert (w.mean(), w.var()) == pytest.approx((1, 1), abs=0.03)
