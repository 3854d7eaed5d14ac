"""Significances of a count over an estimated background. Sign convention: z > 0 for an excess, z < 0 for a deficit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, xlogy
from scipy.stats import norm
from scipy.stats import t as student

Array = NDArray[np.float64]


def z_value(p: float) -> float:
    """Gaussian standard deviations of a one-sided p-value: Phi^-1(1 - p). p = 0.5 gives 0.

    Reliable to p about 1e-300; p = 0 is cut there, which reads z = 37.

    >>> round(z_value(2.867e-7), 3)
    5.0
    """
    return float(norm.isf(max(float(p), 1e-300)))


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


def effective_dof(components: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of independent variances, each estimated with its own.

    nu = (sum s_i^2)^2 / sum(s_i^4 / nu_i) for `components` (s_i, nu_i). Source: Welch, Biometrika 34 (1947) 28;
    Satterthwaite, Biometrics 2 (1946) 110. Returns infinity when all s_i are 0.

    >>> round(effective_dof([(0.03, 9), (0.04, 11)]), 2)
    19.37
    """
    total = sum(s**2 for s, _ in components)
    spread = sum(s**4 / nu for s, nu in components)
    return float("inf") if spread == 0 else float(total**2 / spread)


def p_predictive(
    n: float,
    m: float,
    tau: float,
    *,
    mu: float,
    sigma: float,
    nu: float,
    overdispersion: float = 1.0,
    step: float = 1.0,
    nodes: int = 401,
) -> float:
    """Predictive p-value of `n` observed events: the primary statistic.

    p = int dt f_nu(t) I_{F/(F+tau)}(x, m/v + 1/2), F = exp(mu + sigma t): a Poisson count over a background known from
    m reference events of exposure tau, times a relative bias whose logarithm has mean `mu` and scale `sigma`, the
    scale itself estimated with `nu` degrees of freedom (Student's t). `overdispersion` v scales the counting
    part only, for counts of correlated folds or averages of several. `step` is the spacing of possible counts: x = n for
    v = step = 1, and x = n/v + (1 - step/v)/2 in general, the continuity correction that makes the value "this count or
    a higher one" for averages too.

    A Bayes-frequentist hybrid (Jeffreys prior on the reference rate, predictive in the bias): close to uniform under
    background in toys to 3 sigma; its far tail is set by the t distribution and is not tested beyond.
    Returns 1 for n = 0.

    >>> round(p_predictive(30, 100, 5, mu=0.0, sigma=0.05, nu=11), 4)
    0.0393
    """
    if n <= 0:
        return 1.0
    x = n / overdispersion + (1 - step / overdispersion) / 2
    if sigma == 0:
        shift = np.exp(mu)
        return float(betainc(x, m / overdispersion + 0.5, shift / (shift + tau)))
    u = np.linspace(-12.0, 12.0, nodes)
    t = 2 * np.sinh(u / 2)
    density = student.pdf(t, nu) if np.isfinite(nu) else norm.pdf(t)
    weight = density * np.cosh(u / 2)
    weight /= weight.sum()
    shift = np.exp(np.clip(mu + sigma * t, -30, 30))
    tail = betainc(x, m / overdispersion + 0.5, shift / (shift + tau))
    return float(min(1.0, np.sum(weight * tail)))


def sidak(p: float, trials: float) -> float:
    """Global p-value of the smallest of `trials` local ones: 1 - (1 - p)^trials.

    Exact for independent trials, conservative for positively correlated ones (Sidak, JASA 62 (1967) 626).

    >>> round(sidak(0.001, 3), 6)
    0.002997
    """
    return float(-np.expm1(trials * np.log1p(-min(p, 1 - 1e-16))))
