"""Variance components: ensemble spread from a nested design, non-closure from counts in pseudo signal regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from cathode.stats.tails import chi2_sf

Array = NDArray[np.float64]

_DECLARED = 20.0  # degrees of freedom that a declared floor of the scatter is worth
# probability of regions that disagree so much, over how far they say to be beyond the floor, from which on they are believed
_CONTRADICTED = 0.2


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


def variance_of_ensemble(boot: float, init: float, layout: tuple[int, int]) -> float:
    """Relative variance of a mean over R bootstraps x K initialisations, `layout`, of the spreads `boot` and `init`; 0 without an ensemble.

    boot^2 (1 + 1/R) + init^2 / (R K): a bootstrap measures the error of the data that all members share.
    """
    replicas, starts = layout
    return boot**2 * (1 + 1 / replicas) + init**2 / (replicas * starts) if replicas else 0.0


@dataclass(frozen=True, kw_only=True)
class RandomEffects:
    """The log-bias of a method at one mass, from the biases in other regions.

    Attributes:
        mu: expected log of observed over predicted there.
        mu_error: its standard error from what is known: counts and predictions of the regions.
        scatter: standard deviation of the bias there around `mu`, at least the declared floor.
        degrees_of_freedom: behind `scatter` (Student's t).
        seen: standard deviation between regions beyond all known errors, as estimated; 0 if none is visible.
        mean: log-bias common to all regions.
        mean_error: its standard error, scatter included.
        p_homogeneous: chi2 probability of the regions agreeing without scatter.
    """

    mu: float
    mu_error: float
    scatter: float
    degrees_of_freedom: float
    seen: float
    mean: float
    mean_error: float
    p_homogeneous: float

    @property
    def sigma(self) -> float:
        """Predictive standard deviation of the bias there: sqrt(scatter^2 + mu_error^2)."""
        return float(np.hypot(self.scatter, self.mu_error))


def random_effects(
    n: Array,
    b: Array,
    relative_error: Array,
    *,
    overdispersion: float = 1.0,
    correlation: Array | None = None,
    position: Array | None = None,
    floor: float = 0.0,
) -> RandomEffects:
    """Estimate the log-bias at position 0 from counts `n (W,)` over predictions `b (W,)`.

    The log-bias of region w is mean + d_w, d a Gaussian process of standard deviation t and correlation exp(-|x_w - x_v|) between
    regions at `position` x (None: independent regions, all far from the one that is asked for). Counts have mean b_w e^mean =: l_w and
    covariance V_wv = v sqrt(l_w l_v) R_wv + l_w l_v (s_w^2 delta_wv + t^2 K_wv), where s_w is `relative_error` of the prediction, v the
    overdispersion and R the `correlation` of counts that share events (None: none do).

    The mean solves the quasi-score equation, t makes Pearson's chi2 equal W - 1 (moment estimator, Breslow, Applied Statistics 33 (1984) 38; for
    large independent counts that of Paule and Mandel, J. Res. NBS 87 (1982) 377). Half of all samples with little scatter show none, and counting alone often shows some: so t is no
    smaller than the declared `floor`, and what is seen beyond it counts as far as the regions contradict the floor, t^2 = floor^2 + w (seen^2 - floor^2)
    with w = exp(-p seen^2 / (0.2 floor^2)), p the chi2 probability of regions that disagree so much if the floor is true: the more is
    seen, the plainer the contradiction has to be. mu and its error are those of universal kriging (Cressie, Statistics for Spatial Data (1993), section 3.4), the error split into what scatter at
    the position adds and what estimating the rest does. Unlike fits of log-ratios this holds for small counts and zeros, because errors
    come from the prediction and not from the fluctuated count.

    Degrees of freedom of t: of what is seen, twice its square times its Fisher information (`_freedom`), and 20 times the share of t^2 that is declared.
    Without a floor t is what is seen, with W - 1.

    Not valid for fewer than 2 regions or when all counts are 0 (the mean is then cut at half an event in total); errors of predictions that regions
    share are not in it.

    >>> found = random_effects(np.array([105.0, 210.0, 52.0]), np.array([100.0, 200.0, 50.0]), np.zeros(3))
    >>> round(found.mu, 3), round(found.mu_error, 3), found.scatter
    (0.047, 0.052, 0.0)
    """
    regions = len(n)
    shared = np.eye(regions) if correlation is None else correlation
    x = None if position is None else np.asarray(position, dtype=float)
    alike = np.eye(regions) if x is None else np.exp(-np.abs(np.subtract.outer(x, x)))
    near = np.zeros(regions) if x is None else np.exp(-np.abs(x))
    least = float(np.log(0.5 / b.sum()))

    def covariance(expected: Array, scatter: float) -> Array:
        counting = overdispersion * np.sqrt(np.outer(expected, expected)) * shared
        return np.asarray(counting + np.outer(expected, expected) * (np.diag(relative_error**2) + scatter**2 * alike))

    def solve(scatter: float) -> tuple[float, Array, Array]:
        mean = float(np.log(max(n.sum(), 0.5) / b.sum()))
        for _ in range(200):
            expected = b * np.exp(mean)
            score = np.linalg.solve(covariance(expected, scatter), expected)
            step = float(score @ (n - expected) / (score @ expected))
            mean += float(np.clip(step, -0.5, 0.5))
            if abs(step) < 1e-10 or mean < least:
                break
        mean = max(mean, least)
        expected = b * np.exp(mean)
        return mean, expected, covariance(expected, scatter)

    def chi2_of(scatter: float) -> float:
        _, expected, variance = solve(scatter)
        return float((n - expected) @ np.linalg.solve(variance, n - expected))

    def excess(scatter: float) -> float:
        return chi2_of(scatter) - (regions - 1)

    at_zero = chi2_of(0.0)
    seen = 0.0
    if at_zero > regions - 1:
        seen = float(brentq(excess, 0.0, 20.0)) if excess(20.0) < 0 else 20.0
    scatter, freedom = seen, float(regions - 1)
    if floor > 0:
        _, expected, variance = solve(max(seen, floor))
        informed = _freedom(variance / np.outer(expected, expected), max(seen, floor) ** 2 * alike)
        beyond = max(1.0, (seen / floor) ** 2)
        contradicted = float(np.exp(-chi2_sf(chi2_of(floor), regions - 1) * beyond / _CONTRADICTED))
        scatter = float(np.sqrt(floor**2 + contradicted * floor**2 * (beyond - 1)))
        freedom = informed + _DECLARED * floor**2 / scatter**2
    mean, expected, variance = solve(scatter)
    of_log = variance / np.outer(expected, expected)  # covariance of the log-biases
    weights = np.linalg.solve(of_log, np.column_stack([np.ones(regions), near]))
    information, pull = float(weights[:, 0].sum()), scatter**2 * weights[:, 1]
    left = scatter**2 * max(0.0, 1 - float(near @ pull))
    return RandomEffects(
        mu=mean + float(pull @ (n / expected - 1)),
        mu_error=abs(1 - float(pull.sum())) / float(np.sqrt(information)),
        scatter=float(np.sqrt(left)),
        degrees_of_freedom=freedom,
        seen=seen,
        mean=mean,
        mean_error=float(1 / np.sqrt(information)),
        p_homogeneous=float(chi2_sf(at_zero, regions - 1)),
    )


def _freedom(covariance: Array, of_scatter: Array) -> float:
    """Degrees of freedom behind an estimated variance component: twice its square times its Fisher information, the mean being estimated, too.

    nu = tr[(P S)^2], S the part `of_scatter` of the `covariance` V and P = V^-1 - V^-1 1 1' V^-1 / (1' V^-1 1). Source: Searle, Casella, McCulloch,
    Variance Components (1992), section 6.6, information of restricted maximum likelihood. W - 1 where all of V is scatter, near 0 where it drowns in counting.
    """
    inverse = np.linalg.inv(covariance)
    of_mean = inverse.sum(axis=1)
    share = (inverse - np.outer(of_mean, of_mean) / of_mean.sum()) @ of_scatter
    return float(np.sum(share * share.T))
