"""Significances of a count over an estimated background. Sign convention: z > 0 for an excess, z < 0 for a deficit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, gammaincinv, xlogy

from cathode.stats.tails import normal_isf, normal_pdf, student_pdf

Array = NDArray[np.float64]


def z_value(p: float) -> float:
    """Gaussian standard deviations of a one-sided p-value: Phi^-1(1 - p). p = 0.5 gives 0.

    Reliable to p about 1e-300; p = 0 is cut there, which reads z = 37, and p = 1 at the largest number below it, which reads z = -8.2.

    >>> round(z_value(2.867e-7), 3)
    5.0
    """
    return float(normal_isf(min(max(float(p), 1e-300), 1 - 2.0**-53)))


def li_ma(n: float, m: float, tau: float) -> float:
    """Signed on-off significance of `n` events over a reference of `m` events with exposure ratio `tau`.

    Z = sqrt(2 [n ln((1+a)/a n/(n+m)) + m ln((1+a) m/(n+m))]), a = 1/tau, negative when n < m/tau.
    Source: Li and Ma, ApJ 272 (1983) 317, eq. 17. Asymptotic: within 11 % in type-I error at 3 sigma down to m/tau = 10;
    not for single counts. Statistical errors only.

    >>> round(li_ma(30, 100, 5), 3)  # 30 events over 100 / 5 expected
    1.875
    """
    alpha, total = 1.0 / tau, n + m
    if total == 0:
        return 0.0
    q = 2 * (xlogy(n, (1 + alpha) / alpha * n / total) + xlogy(m, (1 + alpha) * m / total))
    return float(np.sign(n - alpha * m) * np.sqrt(max(q, 0.0)))


def z_classical(n: float, b: float) -> float:
    """(n - b) / sqrt(b): a display quantity. Ignores every uncertainty of b; with b = 10 it rejects 8 times too often."""
    return float((n - b) / np.sqrt(b))


@dataclass(frozen=True, kw_only=True)
class GenerativeHunt:
    """The generative bump hunt: observation and background from two disjoint halves of an ensemble.

    Attributes:
        observed: mean O over the members of one half (events).
        observed_error: its training noise delta = sigma / sqrt(N/2).
        background: mean B over the members of the other half (events).
        background_error: its training noise.
    """

    observed: float
    observed_error: float
    background: float
    background_error: float

    @property
    def z(self) -> float:
        """Z = (O - B) / sqrt(delta_O^2 + delta_B^2 + B). Source: Butter et al., arXiv:2202.09375.

        Not a discovery statistic: neither the statistics of the training data nor the bias of the model is in delta, and
        both deltas vanish for large ensembles, whatever the model gets wrong.
        """
        variance = self.observed_error**2 + self.background_error**2 + self.background
        return float((self.observed - self.background) / np.sqrt(variance))


def generative_hunt(observed: Sequence[float], background: Sequence[float]) -> GenerativeHunt:
    """Means and training noise of the members' counts in two disjoint halves, N/2 members each."""
    o, b = np.asarray(observed, dtype=float), np.asarray(background, dtype=float)
    error = [float(np.sqrt(v.var(ddof=1) / len(v))) for v in (o, b)]
    return GenerativeHunt(
        observed=float(o.mean()), observed_error=error[0], background=float(b.mean()), background_error=error[1]
    )


def p_predictive(
    n: float,
    m: float,
    tau: float,
    *,
    mu: float,
    sigma: float,
    scatter: float = 0.0,
    nu: float = np.inf,
    overdispersion: float = 1.0,
    step: float = 1.0,
    nodes: int = 401,
) -> float:
    """Predictive p-value of `n` observed events: the primary statistic.

    p = E[I_{F/(F+tau)}(x, m/v + 1/2)], F = exp(mu + sigma g + scatter t): a Poisson count over a background known from m reference events of
    exposure tau, times a relative bias whose logarithm has mean `mu`. Its error has a part `sigma` that is known (g Gaussian: counts of the closure
    test, ensemble) and a `scatter` between regions that is itself estimated, with `nu` degrees of freedom (t Student's). `overdispersion` v scales the
    counting part only, for counts of correlated folds or averages of several. `step` is the spacing of possible counts: x = n for
    v = step = 1, and x = n/v + (1 - step/v)/2 in general, the continuity correction that makes the value "this count or
    a higher one" for averages too.

    A Bayes-frequentist hybrid (Jeffreys prior on the
    reference rate, predictive in the bias): close to uniform under background. Its far tail rests on a scatter that is no larger than
    declared or seen: with twice that, it rejects tens of times too often at 5 standard deviations. Returns 1 for n = 0.

    >>> round(p_predictive(30, 100, 5, mu=0.0, sigma=0.03, scatter=0.04, nu=11), 4)
    0.039
    """
    if n <= 0:
        return 1.0
    x = n / overdispersion + (1 - step / overdispersion) / 2
    scale = float(np.hypot(sigma, scatter))
    if scale == 0:
        shift = np.exp(mu)
        return float(betainc(x, m / overdispersion + 0.5, shift / (shift + tau)))
    u = np.linspace(-12.0, 12.0, nodes)
    bias = scale * 2 * np.sinh(u / 2)
    weight = _density_of_sum(bias, sigma, scatter, nu) * np.cosh(u / 2)
    weight /= weight.sum()
    shift = np.exp(np.clip(mu + bias, -30, 30))
    tail = betainc(x, m / overdispersion + 0.5, shift / (shift + tau))
    return min(1.0, float(weight @ tail))


def _density_of_sum(x: Array, sigma: float, scatter: float, nu: float) -> Array:
    """Density at `x` of a Gaussian of standard deviation `sigma` and Student's t of scale `scatter` added up.

    Student's t is a mixture of Gaussians of variances scatter^2 nu / chi2_nu, taken at the middles of equal steps of the
    quantile of chi2_nu, which become fine towards 0, where the tail comes from.
    """
    if scatter == 0 or not np.isfinite(nu):
        return np.asarray(normal_pdf(x, scale=np.hypot(sigma, scatter)))
    if sigma == 0:
        return np.asarray(student_pdf(x, nu, scale=scatter))
    edges = np.concatenate([[0.0], np.geomspace(1e-12, 0.1, 91), np.linspace(0.12, 0.98, 44), [0.99, 0.999, 1.0]])
    quantile = (edges[1:] + edges[:-1]) / 2
    variance = sigma**2 + scatter**2 * nu / (2 * gammaincinv(nu / 2, quantile))
    return np.asarray(np.diff(edges) / np.sqrt(2 * np.pi * variance) @ np.exp(-0.5 * np.square(x) / variance[:, None]))


def sidak(p: float, trials: float) -> float:
    """Global p-value of the smallest of `trials` local ones: 1 - (1 - p)^trials.

    Exact for independent trials, conservative for positively correlated ones (Sidak, JASA 62 (1967) 626).

    >>> round(sidak(0.001, 3), 6)
    0.002997
    """
    return float(-np.expm1(trials * np.log1p(-min(p, 1 - 1e-16))))


def fisher(first: float, second: float) -> float:
    """p-value of two independent p-values together: P(p_1 p_2 <= first second) = k (1 - ln k), k their product.

    Source: Fisher, Statistical Methods for Research Workers (1932), section 21.1. Too small for p-values that are positively correlated.

    >>> round(fisher(0.05, 0.05), 5)
    0.01748
    """
    k = max(first, 1e-300) * max(second, 1e-300)
    return min(1.0, k * (1 - float(np.log(max(k, 1e-300)))))
