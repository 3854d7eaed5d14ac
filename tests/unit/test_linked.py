"""Working points that help each other: against conditioning of a joint Gaussian, and on counts of nested selections."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cathode.stats.linked import link_effects
from cathode.stats.random_effects import RandomEffects, random_effects

EPS, FLOORS = (0.1, 0.01, 0.001), (0.02, 0.05, 0.15)


def alone(mean: float, error: float, scatter: float = 0.01, share: float = 1.0, pull: float = 0.0) -> RandomEffects:
    return RandomEffects(
        mu=mean + pull, mu_error=share * error, scatter=scatter, degrees_of_freedom=9.0, seen=0.0, mean=mean, mean_error=error, p_homogeneous=0.5
    )  # fmt: skip


def conditioned(mean, error, steps):
    """The same by brute force: a random walk with a wide start, conditioned on its measurements."""
    n = len(mean)
    walk = np.full((n, n), 10.0**2)
    for i in range(n):
        for j in range(n):
            walk[i, j] += sum(s**2 for s in steps[1 : min(i, j) + 1])
    nested = np.array([[np.sqrt(min(a, b) / max(a, b)) for a in EPS] for b in EPS]) * np.outer(error, error)
    gain = walk @ np.linalg.inv(walk + nested)
    return gain @ mean, np.sqrt(np.diag(walk - gain @ walk))


@pytest.mark.parametrize("errors", [(0.02, 0.07, 0.2), (0.5, 0.01, 0.3), (0.1, 0.1, 0.1)])
def test_linked_means_are_those_of_a_conditioned_random_walk(errors):
    mean = np.array([0.03, -0.05, 0.4])
    found = link_effects([alone(m, e) for m, e in zip(mean, errors, strict=True)], EPS, FLOORS)
    expected, sigma = conditioned(mean, np.array(errors), FLOORS)
    np.testing.assert_allclose([f.mu for f in found], expected, atol=1e-5)
    np.testing.assert_allclose([f.mu_error for f in found], sigma, atol=1e-5)
    assert [(f.mean, f.mean_error, f.scatter) for f in found] == [
        (m, e, 0.01) for m, e in zip(mean, errors, strict=True)
    ]


def test_the_order_of_working_points_is_nothing():
    effects = [alone(0.03, 0.02), alone(-0.05, 0.07), alone(0.4, 0.2)]
    turned = link_effects(effects[::-1], EPS[::-1], FLOORS[::-1])[::-1]
    for a, b in zip(link_effects(effects, EPS, FLOORS), turned, strict=True):
        assert dataclasses.astuple(a) == pytest.approx(dataclasses.astuple(b), rel=1e-9)


def test_scatter_that_is_seen_lets_the_bias_walk_further_and_none_declared_links_nothing():
    effects = [alone(0.0, 0.01), alone(0.3, 0.1)]
    (_, near), (_, far) = (link_effects(e, EPS[:2], FLOORS[:2]) for e in (effects, [effects[0], alone(0.3, 0.1, 0.5)]))
    assert 0 < near.mu < 0.1 < 0.25 < far.mu < 0.3
    for floors in ((0.02, 0.0), (0.0, 0.0)):
        untouched = link_effects(effects, EPS[:2], floors)[1]
        assert (untouched.mu, untouched.mu_error) == pytest.approx((0.3, 0.1))


def test_what_near_regions_say_of_the_window_stays():
    """mu = (1 - share) of neighbours + share of the mean: only the mean is linked."""
    effects = [alone(0.0, 0.01), alone(0.3, 0.1, share=0.25, pull=-0.2)]
    whole = link_effects([effects[0], alone(0.3, 0.1)], EPS[:2], FLOORS[:2])[1]
    found = link_effects(effects, EPS[:2], FLOORS[:2])[1]
    assert found.mu - 0.1 == pytest.approx(0.25 * (whole.mu - 0.3))
    assert found.mu_error == pytest.approx(0.25 * whole.mu_error)


@pytest.mark.parametrize("events", [3_000, 30_000])
def test_pulls_of_linked_means_are_standard_for_counts_of_nested_selections(events):
    """Eight regions; a mean bias that walks by the declared steps; each tighter selection is part of the looser one."""
    rng, pulls, gained = np.random.default_rng(7), [], []
    for _ in range(400):
        true = np.cumsum(rng.normal(0, (0.02, 0.05, 0.15)))
        rates = events * np.array(EPS) * np.exp(true)
        exclusive = rng.poisson(np.clip(rates - np.append(rates[1:], 0.0), 0, None), size=(8, 3))
        n = exclusive[:, ::-1].cumsum(axis=1)[:, ::-1].astype(float)
        effects = [
            random_effects(n[:, i], np.full(8, events * eps), np.zeros(8), floor=0.0) for i, eps in enumerate(EPS)
        ]
        found = link_effects(effects, EPS, FLOORS)
        pulls.append([(f.mu - t) / f.mu_error for f, t in zip(found, true, strict=True)])
        gained.append([f.mu_error / e.mu_error for f, e in zip(found, effects, strict=True)])
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.2
    assert (np.std(pulls, axis=0) < 1.12).all()
    assert (np.std(pulls, axis=0) > 0.8).all()
    assert np.mean(gained, axis=0)[2] < (0.75 if events == 3_000 else 0.95)
