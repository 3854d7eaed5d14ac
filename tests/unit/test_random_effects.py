"""Variance components recover what was planted."""

from __future__ import annotations

import numpy as np
import pytest

from cathode.stats.random_effects import nested_anova, random_effects, spread


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
    assert np.isfinite(found.mu)
    assert np.isfinite(found.sigma)
