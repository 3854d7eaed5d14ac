"""All working points of one method in one test: a weighted count, and its p-value with every uncertainty of the background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaincinv, ndtr, stdtrit

from cathode.stats.counting import p_predictive

Array = NDArray[np.float64]

_WIDER = 1.3  # proposals than the distributions they stand for
_DEFENSIVE = 0.25  # of the draws come from around the centre, whatever the modes
_STEP = 1e-5  # of differences
_LARGEST_NU = 1e5  # degrees of freedom from which on Student is Gauss


@dataclass(frozen=True, kw_only=True)
class Joint:
    """All working points of one method in one test: events in exclusive intervals of the score, weighted.

    Attributes:
        window: name of the window.
        method: name of the method.
        eps_bkg: (K) working points that take part, the loosest first.
        weights: (K) of an event that passes one and not the next.
        p: p-value of the weighted count, with every uncertainty of the background.
        z: the same in standard deviations.
    """

    window: str
    method: str
    eps_bkg: tuple[float, ...]
    weights: tuple[float, ...]
    p: float
    z: float


@dataclass(frozen=True, kw_only=True)
class Behind:
    """What is known behind one working point; `p_predictive` has the same numbers.

    Attributes:
        n: events that pass.
        b: background that the reference says, before its bias.
        m: reference events behind it.
        mu: log of the bias.
        sigma: its error as far as it is known.
        scatter: that part of its error that is estimated or declared.
        nu: degrees of freedom of the scatter.
        overdispersion: variance of the counts over Poisson.
    """

    n: float
    b: float
    m: float
    mu: float
    sigma: float
    scatter: float
    nu: float
    overdispersion: float = 1.0


def p_weighted(
    points: Sequence[Behind], weights: Sequence[float], *, step: float = 1.0, seed: int = 1, draws: int = 12_000
) -> float:
    """p-value of a weighted count T = sum_k w_k N_k over exclusive intervals of the score, from nested working points, the loosest first.

    N_k events pass working point k and not the next one. Their background is Poisson with the mean R_k = b_k F_k - b_{k+1} F_{k+1}: of the
    reference (in each interval a gamma distribution with its own effective number of events, plus 1/2 as in `p_predictive`) and of the biases F, log-normal
    with Student's tails for the scatter, marginally as in `p_predictive`. Over working points biases are random walks, sigma and scatter alike: their correlation is the
    ratio of the smaller to the larger. Overdispersed counts are Poisson in units of their overdispersion v_k, as in `p_predictive`: of rate R_k / v_k and weight w_k v_k. p = E[P(T >= t)], the inner probability by the saddlepoint (Lugannani and Rice, Adv. Appl. Probab. 12 (1980) 475), the outer by importance sampling
    around its modes, so that 5 standard deviations cost what one does. One working point gives `p_predictive`. Weights are positive and fixed beforehand: then a correlation of
    biases that is smaller than assumed is on the safe side. Working points behind which no reference event passes take no part.

    Not valid for counts of single events, for which the saddlepoint is an approximation at the percent level.
    """
    kept = [(point, w) for point, w in zip(points, weights, strict=True) if point.b > 0 and point.m > 0]
    if not kept:
        return 1.0
    points, weights = [point for point, _ in kept], [w for _, w in kept]
    if len(points) == 1:
        (one,) = points
        return p_predictive(
            one.n,
            one.m,
            one.m / one.b,
            mu=one.mu,
            sigma=one.sigma,
            scatter=one.scatter,
            nu=one.nu,
            overdispersion=one.overdispersion,
            step=step,
        )
    model = _Model(points)
    w = np.asarray(weights, dtype=float) / max(weights)
    t = float(w @ exclusive(np.array([point.n for point in points]))) - step / 2 * float(w.min())
    if t <= 0:
        return 1.0
    return model.tail(w, t, seed=seed, draws=draws)


def weighted_tail(weights: Array, rates: Array, t: float) -> Array:
    """P(sum_k w_k N_k >= t) `(...)` of Poisson counts with `rates` `(..., K)`, in the continuous limit of small steps (half of the probability of t itself).

    >>> round(float(weighted_tail(np.ones(1), np.array([9.0]), 15.0)), 4)  # P(N >= 15) is 0.0415, P(N > 15) 0.0220
    0.0309
    """
    mean, variance = rates @ weights, rates @ weights**2
    low, high = np.full(mean.shape, -60.0 / weights.min()), np.full(mean.shape, 60.0 / weights.max())
    u = np.clip((t - mean) / variance, low / 2, high / 2)
    for _ in range(200):
        tilted = rates * np.exp(np.minimum(u[..., None] * weights, 700.0))
        first, second = tilted @ weights, tilted @ weights**2
        low, high = np.where(first <= t, u, low), np.where(first > t, u, high)
        better = u - (first - t) / np.maximum(second, 1e-300)
        better = np.where((better <= low) | (better >= high), (low + high) / 2, better)
        done = np.abs(better - u).max() * weights.max() < 1e-10
        u = better
        if done:
            break
    tilted = rates * np.exp(np.minimum(u[..., None] * weights, 700.0))
    root = np.sign(u) * np.sqrt(np.maximum(2 * (u * t - (tilted - rates).sum(axis=-1)), 0.0))
    slope = u * np.sqrt(tilted @ weights**2)
    skew = (rates @ weights**3) / variance**1.5
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = ndtr(-root) + np.exp(-(root**2) / 2) / np.sqrt(2 * np.pi) * (1 / slope - 1 / root)
    centre = 0.5 - root / np.sqrt(2 * np.pi) - skew / (6 * np.sqrt(2 * np.pi))
    return np.asarray(np.clip(np.where(np.abs(root) < 1e-3, centre, whole), 0.0, 1.0))


def exclusive(cumulative: Array) -> Array:
    """What passes a working point and not the next one `(..., K)`."""
    return np.asarray(cumulative - np.concatenate([cumulative[..., 1:], np.zeros_like(cumulative[..., :1])], axis=-1))


def walk(sizes: Array) -> Array:
    """Correlation `(K, K)` of a random walk whose values have these standard deviations."""
    s = np.maximum(sizes, 1e-12)
    return np.asarray(np.minimum.outer(s, s) / np.maximum.outer(s, s))


class _Model:
    """Rates of the exclusive intervals as a function of 3 K standard normal variables: reference, known errors, scatter."""

    def __init__(self, points: Sequence[Behind]) -> None:
        def of(name: str) -> Array:
            return np.array([getattr(point, name) for point in points], dtype=float)

        b, m = of("b"), of("m")
        self._b = np.maximum(exclusive(b), 1e-9)
        # squared errors of nested counts add up
        squared = np.maximum(exclusive(b**2 / m), self._b**2 / m)
        self.overdispersion = of("overdispersion")
        self._m = np.maximum(self._b**2 / squared, 0.5) / self.overdispersion
        self._mu, self._sigma, self._scatter = of("mu"), of("sigma"), of("scatter")
        self._nu = np.minimum(of("nu"), _LARGEST_NU)
        self._known, self._estimated = (
            np.linalg.cholesky(walk(s) + 1e-9 * np.eye(len(points))) for s in (self._sigma, self._scatter)
        )

    def rates(self, z: Array) -> Array:
        """Rates `(..., K)` at `z` `(..., 3 K)`."""
        reference, known, h = np.split(z, 3, axis=-1)
        h = h @ self._estimated.T
        student = np.where(
            self._nu < _LARGEST_NU, -np.sign(h) * stdtrit(self._nu, np.maximum(ndtr(-np.abs(h)), 1e-300)), h
        )
        bias = np.exp(np.clip(self._mu + self._sigma * (known @ self._known.T) + self._scatter * student, -20, 20))
        drawn = gammaincinv(self._m + 0.5, np.clip(ndtr(reference), 1e-300, 1 - 1e-16)) / self._m
        cumulative = np.cumsum((self._b * drawn)[..., ::-1], axis=-1)[..., ::-1] * bias
        return np.maximum(exclusive(cumulative), 1e-9)

    def tail(self, w: Array, t: float, *, seed: int, draws: int) -> float:
        """E[P(T >= t)] of the count with weights `w` `(K,)`."""
        dimensions, v = 3 * len(w), self.overdispersion

        def above(z: Array) -> Array:
            return weighted_tail(w * v, self.rates(z) / v, t)

        def cost(z: Array) -> tuple[float, Array]:
            """Minus the log of the integrand, and its gradient by differences: all in one pass."""
            at = np.concatenate([z[None], z + _STEP * np.eye(dimensions)])
            values = np.square(at).sum(axis=1) / 2 - np.log(np.maximum(above(at), 1e-290))
            return float(values[0]), (values[1:] - values[0]) / _STEP

        modes: list[Array] = []
        for start in (np.zeros(dimensions), *(2.0 * np.eye(dimensions)[2 * len(w) :])):
            found = minimize(cost, start, jac=True, method="BFGS", options={"maxiter": 60}).x
            if all(np.linalg.norm(found - other) > 0.5 for other in modes):
                modes.append(found)
        centres = np.array([np.zeros(dimensions), *modes])
        share = np.array([_DEFENSIVE, *[(1 - _DEFENSIVE) / len(modes)] * len(modes)])
        rng = np.random.default_rng(seed)
        which = np.repeat(np.arange(len(centres)), np.round(share * draws).astype(int))
        z = centres[which] + _WIDER * rng.standard_normal((len(which), dimensions))
        taken = np.bincount(which) / len(which)
        proposed = [
            -0.5 * np.square((z - c) / _WIDER).sum(axis=1) + np.log(f) for c, f in zip(centres, taken, strict=True)
        ]
        log_weight = (
            -0.5 * np.square(z).sum(axis=1) - np.logaddexp.reduce(proposed, axis=0) + dimensions * np.log(_WIDER)
        )
        return min(1.0, float(np.mean(np.exp(log_weight) * above(z))))
