"""Variance components: ensemble spread from a nested design, non-closure from counts in pseudo signal regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import chi2

Array = NDArray[np.float64]


def nested_anova(counts: Array) -> tuple[float, float]:
    """Mean squares between and within groups of `counts (..., R, K)`, relative to the mean count.

    For R replicas with K initialisations: MS_within = mean_r var_k(c), MS_between = K var_r(mean_k c), both divided by
    the squared mean. Leading axes (independent experiments) are each relative to their own mean and averaged with the
    mean count as weight, since the Poisson noise falls with it.
    Expectations: MS_within = sigma_init^2 + 1/mean, MS_between = MS_within + K sigma_boot^2, the 1/mean being the Poisson
    noise of the counts. Source: Searle, Casella, McCulloch, Variance Components (1992), section 3.2.
    """
    mean = counts.mean(axis=(-2, -1))
    within = counts.var(axis=-1, ddof=1).mean(axis=-1) / mean**2
    between = counts.shape[-1] * counts.mean(axis=-1).var(axis=-1, ddof=1) / mean**2
    return float(np.average(between, weights=mean)), float(np.average(within, weights=mean))


def spread(counts: Array, *, independent: bool = True) -> tuple[float, float]:
    """Relative standard deviations (sigma_boot, sigma_init) of the rates behind counts `(..., R, K)`, each at least 0.

    `independent` counts carry Poisson noise, which is subtracted; with a few events per member that leaves little.
    Members that select from one common sample have no such noise between them: nothing is subtracted.
    """
    between, within = nested_anova(counts)
    mean = counts.mean(axis=(-2, -1))
    poisson = float(np.average(1 / mean, weights=mean)) if independent else 0.0
    return float(np.sqrt(max(0.0, (between - within) / counts.shape[-1]))), float(np.sqrt(max(0.0, within - poisson)))


@dataclass(frozen=True, kw_only=True)
class RandomEffects:
    """A common log-bias and its scatter between windows.

    Attributes:
        mu: log of the common ratio observed / predicted.
        mu_error: standard error of `mu`, scatter included.
        scatter: standard deviation of the log-ratio between windows, beyond all known errors; 0 if none is visible.
        p_homogeneous: chi2 probability of the windows agreeing without scatter.
    """

    mu: float
    mu_error: float
    scatter: float
    p_homogeneous: float

    @property
    def sigma(self) -> float:
        """Predictive standard deviation of the bias in a new window: sqrt(scatter^2 + mu_error^2)."""
        return float(np.hypot(self.scatter, self.mu_error))


def random_effects(n: Array, b: Array, relative_error: Array, *, overdispersion: float = 1.0) -> RandomEffects:
    """Estimate a common bias and its scatter from counts `n (W,)` over predictions `b (W,)`.

    n_w has mean b_w e^mu and variance v b_w e^mu + (b_w e^mu)^2 (s_w^2 + scatter^2), where s_w is `relative_error` of the
    prediction and v the overdispersion. mu solves the quasi-score equation and scatter makes Pearson's chi2 equal W - 1
    (moment estimator). Source: Breslow, Applied Statistics 33 (1984) 38; for large counts it is the estimator of Paule and Mandel,
    J. Res. NBS 87 (1982) 377, on log-ratios. Unlike those it holds for small counts and zeros, because errors
    come from the prediction and not from the fluctuated count.

    Not valid for fewer than 2 windows or when all counts are 0 (mu is then cut at half an event in total).

    >>> found = random_effects(np.array([105.0, 210.0, 52.0]), np.array([100.0, 200.0, 50.0]), np.zeros(3))
    >>> round(found.mu, 3), round(found.mu_error, 3), found.scatter
    (0.047, 0.052, 0.0)
    """
    windows = len(n)

    def solve(scatter: float) -> tuple[float, Array, Array]:
        mu = float(np.log(max(n.sum(), 0.5) / b.sum()))
        for _ in range(200):
            mean = b * np.exp(mu)
            variance = overdispersion * mean + mean**2 * (relative_error**2 + scatter**2)
            step = float(np.sum((n - mean) * mean / variance) / np.sum(mean**2 / variance))
            mu += float(np.clip(step, -0.5, 0.5))
            if abs(step) < 1e-10 or mu < np.log(0.5 / b.sum()):
                break
        mu = max(mu, float(np.log(0.5 / b.sum())))
        mean = b * np.exp(mu)
        return mu, mean, overdispersion * mean + mean**2 * (relative_error**2 + scatter**2)

    def excess(scatter: float) -> float:
        _, mean, variance = solve(scatter)
        return float(np.sum((n - mean) ** 2 / variance)) - (windows - 1)

    at_zero = excess(0.0)
    scatter = 0.0 if at_zero <= 0 else float(brentq(excess, 0.0, 20.0)) if excess(20.0) < 0 else 20.0
    mu, mean, variance = solve(scatter)
    error = float(1 / np.sqrt(np.sum(mean**2 / variance)))
    return RandomEffects(
        mu=mu, mu_error=error, scatter=scatter, p_homogeneous=float(chi2.sf(at_zero + windows - 1, windows - 1))
    )
