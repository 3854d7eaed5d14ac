"""The joint test of all working points against brute force, against the test of one, and where it must not care."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import gammainc
from scipy.stats import norm, poisson

from cathode.stats.counting import p_predictive
from cathode.stats.joint import Behind, p_weighted, weighted_tail

LOOSE = Behind(n=1000.0, b=1000.0, m=6000.0, mu=0.02, sigma=0.02, scatter=0.02, nu=20.0)
MIDDLE = Behind(n=120.0, b=100.0, m=600.0, mu=0.0, sigma=0.04, scatter=0.05, nu=20.0)
TIGHT = Behind(n=19.0, b=10.0, m=60.0, mu=-0.05, sigma=0.1, scatter=0.15, nu=12.0)
WEIGHTS = (0.05, 0.4, 1.0)


def brute_force(points: list[Behind], weights: tuple[float, ...], toys: int, seed: int) -> float:
    """Random walks of biases, gamma references in exclusive intervals, Poisson counts: drawn as the docstring says, in its own words."""
    rng = np.random.default_rng(seed)
    exclusive = lambda values: [a - b for a, b in zip(values, [*values[1:], 0.0], strict=True)]  # noqa: E731
    known, estimated = np.zeros((2, len(points), toys))
    for drawn, name in ((known, "sigma"), (estimated, "scatter")):
        before, last = 0.0, np.zeros(toys)
        for k, point in enumerate(points):  # increments of the walk
            size = getattr(point, name)
            last = last + np.sqrt(size**2 - before**2) * rng.standard_normal(toys)
            drawn[k], before = last, size
    from scipy.stats import t as student

    cumulative, reference, above = [], np.zeros(toys), np.zeros(toys)
    m = exclusive([point.b**2 / point.m for point in points])
    b = exclusive([point.b for point in points])
    for k in reversed(range(len(points))):
        point, effective = points[k], b[k] ** 2 / m[k]
        reference = reference + b[k] * rng.gamma(effective + 0.5, 1 / effective, toys)
        tail = student.ppf(norm.cdf(estimated[k] / point.scatter), point.nu)
        cumulative.append(reference * np.exp(point.mu + known[k] + point.scatter * tail))
    t = float(np.dot(weights, exclusive([point.n for point in points])))
    total = np.zeros(toys)
    for k, value in enumerate(reversed(range(len(points)))):
        rate = np.maximum(cumulative[k] - above, 1e-9)
        above = cumulative[k]
        total += weights[value] * rng.poisson(rate)
    return float(np.mean(total > t + 1e-9) + 0.5 * np.mean(np.abs(total - t) < 1e-9))


@pytest.mark.parametrize("n", [(1000.0, 100.0, 10.0), (1010.0, 118.0, 17.0), (1050.0, 135.0, 24.0), (940.0, 80.0, 5.0)])
def test_it_is_what_toys_say(n):
    points = [dataclasses.replace(p, n=count) for p, count in zip((LOOSE, MIDDLE, TIGHT), n, strict=True)]
    toys = 1_000_000
    expected = brute_force(points, WEIGHTS, toys, 1)
    error = np.sqrt(expected * (1 - expected) / toys) / expected
    assert p_weighted(points, WEIGHTS, step=0.0, seed=2) == pytest.approx(expected, rel=0.05 + 4 * error)


@pytest.mark.parametrize(("n", "v"), [(4.0, 1.0), (10.0, 1.0), (30.0, 1.0), (60.0, 1.0), (10.0, 1.6), (30.0, 1.6)])
def test_one_working_point_is_the_primary(n, v):
    """As one point, and as the tightest of two of which the other has hardly any weight."""
    one = dataclasses.replace(TIGHT, n=n)
    one = dataclasses.replace(one, overdispersion=v)
    expected = p_predictive(n, 60.0, 6.0, mu=-0.05, sigma=0.1, scatter=0.15, nu=12.0, overdispersion=v, step=0.0)
    assert p_weighted([one], [0.3], step=0.0) == pytest.approx(expected, rel=1e-12)
    assert p_weighted([dataclasses.replace(MIDDLE, n=100.0 + n), one], [1e-5, 1.0], step=0.0) == pytest.approx(
        expected, rel=0.05
    )


def test_a_seed_hardly_matters_at_six_standard_deviations():
    points = [dataclasses.replace(p, n=n) for p, n in zip((LOOSE, MIDDLE, TIGHT), (1100.0, 200.0, 75.0), strict=True)]
    z = [norm.isf(p_weighted(points, WEIGHTS, step=0.2, seed=seed)) for seed in range(4)]
    assert 5.5 < np.mean(z) < 8
    assert np.std(z) < 0.02
    alone = norm.isf(p_predictive(75.0, 60.0, 6.0, mu=-0.05, sigma=0.1, scatter=0.15, nu=12.0, step=0.2))
    assert np.mean(z) > alone + 0.3  # two intervals say more than one


def test_points_that_nothing_is_known_behind_take_no_part():
    nothing = Behind(n=0.0, b=0.0, m=0.0, mu=0.0, sigma=0.1, scatter=0.15, nu=12.0)
    two = p_weighted([LOOSE, MIDDLE], [0.05, 0.4], step=0.0)
    assert p_weighted([LOOSE, MIDDLE, nothing], WEIGHTS, step=0.0) == two
    assert p_weighted([nothing], [1.0]) == 1.0
    assert p_weighted([dataclasses.replace(p, n=0.0) for p in (LOOSE, MIDDLE)], [0.05, 0.4]) == 1.0


@pytest.mark.parametrize(("rate", "t"), [(9.0, 3.0), (9.0, 9.0), (9.0, 20.0), (200.0, 260.0), (2.0, 6.0)])
def test_the_saddlepoint_of_one_interval_is_poisson_s_tail(rate, t):
    """Between the continuous one that the primary uses for averaged counts and half of the probability of t itself, which skewness sets apart."""
    ends = sorted([gammainc(t + 0.5, rate), poisson.sf(t, rate) + 0.5 * poisson.pmf(t, rate)])
    assert 0.98 * ends[0] < weighted_tail(np.ones(1), np.array([rate]), t) < 1.02 * ends[1]
    assert ends[1] < 1.25 * ends[0]


def test_the_saddlepoint_of_several_intervals_is_that_of_toys():
    w, rates = np.array([0.05, 0.4, 1.0]), np.array([900.0, 90.0, 10.0])
    toys = np.random.default_rng(3).poisson(rates, (4_000_000, 3)) @ w
    for t in (70.0, 91.0, 100.0, 108.0):
        expected = np.mean(toys >= t)
        assert weighted_tail(w, rates, t) == pytest.approx(expected, rel=0.02 + 4 / np.sqrt(4e6 * expected))
