"""What pseudo-experiments say: functions from counts and p-values to verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from cathode.calibration.results import EfficiencyPoint, Linearity, SignalMeasured, Uniformity
from cathode.stats.counting import z_value

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PullSpread:
    """Variance of folded counts over that of independent ones.

    Attributes:
        v0: variance of the pulls.
        v0_error: its standard error (Gaussian pulls assumed).
        mean: of the pulls; 0 without bias.
        mean_error: its standard error.
    """

    v0: float
    v0_error: float
    mean: float
    mean_error: float


def pulls(n: Array, b: Array, m: Array) -> Array:
    """(n - b) / sqrt(b + b^2 / m): counts `n` over predictions `b` that rest on `m` reference events. Statistical errors only."""
    return (n - b) / np.sqrt(b + b**2 / np.maximum(m, 1.0))


def overdispersion(z: Array) -> PullSpread:
    """Variance and mean of pulls `z (T,)` of background-only pseudo-experiments.

    v0 = var(z), with error v0 sqrt(2 / (T - 1)). Counts of folds that select for each other's fluctuations are positively
    correlated, so v0 > 1 although every score is out of fold.
    """
    v0, t = float(np.var(z, ddof=1)), len(z)
    return PullSpread(
        v0=v0, v0_error=v0 * float(np.sqrt(2 / (t - 1))), mean=float(np.mean(z)), mean_error=float(np.sqrt(v0 / t))
    )


def clopper_pearson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Central confidence interval of a binomial rate from `k` of `n`. Source: Biometrika 26 (1934) 404. Covers at least `level`.

    >>> [round(edge, 3) for edge in clopper_pearson(3, 20)]
    [0.032, 0.379]
    """
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - tail))
    return low, high


def uniformity(p: Sequence[float]) -> Uniformity:
    """Whether p-values are uniform: Kolmogorov-Smirnov, and the shares below 0.05 and 0.01 with their intervals.

    `ks_p` above 0.05 and both nominal shares inside the 95 % Clopper-Pearson interval pass. `conservative` says that what
    fails is on the safe side: no share is too large, and p-values are not too small by the one-sided test either. For counts
    use mid-p-values; those of small counts are discrete all the same.
    """
    from scipy.stats import kstest  # a second that light steps need not pay

    values = np.asarray(p, dtype=float)
    n, ks_p = len(values), float(kstest(values, "uniform").pvalue)
    below = {level: int((values < level).sum()) for level in (0.05, 0.01)}
    interval = {level: clopper_pearson(k, n) for level, k in below.items()}
    fine = ks_p > 0.05 and all(low <= level <= high for level, (low, high) in interval.items())
    too_many = any(low > level for level, (low, _) in interval.items())
    too_many |= float(kstest(values, "uniform", alternative="greater").pvalue) < 0.05
    return Uniformity(
        n=n,
        ks_p=ks_p,
        share_below_5_percent=below[0.05] / n,
        interval_5_percent=interval[0.05],
        share_below_1_percent=below[0.01] / n,
        interval_1_percent=interval[0.01],
        passes=fine,
        conservative=not fine and not too_many,
    )


def effective_trials(smallest: Sequence[float]) -> float:
    """Independent trials that give smallest p-values like these: ln(1/2) / ln(1 - median), from the median of `smallest`.

    Sidak's correction with the number of hunts is conservative where this is smaller.
    """
    return float(np.log(0.5) / np.log1p(-np.clip(np.median(np.asarray(smallest)), 1e-12, 1 - 1e-12)))


def signal_efficiency(points: Sequence[SignalMeasured]) -> tuple[EfficiencyPoint, ...]:
    """Signal efficiency against injected signal, per method, working point and strength: mean and its error over experiments.

    Weakly supervised classifiers find more of a stronger signal, so a limit on passing events is one on produced events
    only through this curve.
    """
    out = []
    for method, eps, strength in sorted({(p.method, -p.eps_bkg, p.strength) for p in points}):
        mine = [p for p in points if (p.method, -p.eps_bkg, p.strength) == (method, eps, strength) and p.n_signal]
        if len(mine) < 2:
            continue
        share = np.array([p.n_signal_passing / p.n_signal for p in mine])
        out.append(
            EfficiencyPoint(
                method=method,
                eps_bkg=-eps,
                strength=strength,
                n_signal=float(np.mean([p.n_signal for p in mine])),
                eps_sig=float(share.mean()),
                eps_sig_error=float(share.std(ddof=1) / np.sqrt(len(share))),
                z_median=z_value(float(np.median([p.p_local for p in mine]))),
            )
        )
    return tuple(out)


def produced_signal(passing: float, curve: Sequence[EfficiencyPoint], eps_bkg: float, background: float) -> float:
    """Signal events in the signal region before the selection that leave `passing` behind it.

    Solves S eps_S(S / sqrt(B)) = passing for S, B = `background` events before the selection and eps_S the measured `curve`
    (`signal_efficiency` of one method and working point), linear between points. A signal too weak to be learned
    passes like background, so the curve starts at eps_B; beyond its last point it is taken as constant. Both are on the
    side of larger S. The curve is one of relative strength: it holds for samples of other sizes as far as that scales.
    """
    points = sorted((e.strength, e.eps_sig) for e in curve if e.strength > 0)
    x = np.array([0.0, *(p[0] for p in points)])
    eps = np.maximum.accumulate([eps_bkg, *(p[1] for p in points)])
    scale = float(np.sqrt(background))
    fine = np.linspace(0, x[-1], 2001) if len(points) else np.array([0.0])
    behind = fine * scale * np.interp(fine, x, eps)
    if passing >= behind[-1]:
        return float(passing / eps[-1])
    return float(np.interp(passing, behind, fine) * scale)


def linearity(true: Array, estimated: Array, error: Array) -> Linearity:
    """Straight line through estimated against true signal, and the pulls (estimated - true) / error.

    Least squares with weights 1 / error^2; the slope's error is scaled by the scatter. Passes: slope 1 +- 0.1, mean pull
    below 0.3, pull width 0.85 to 1.15.
    """
    w = 1 / error**2
    design = np.stack([true, np.ones_like(true)], axis=1)
    covariance = np.linalg.inv(design.T @ (design * w[:, None]))
    slope, intercept = covariance @ design.T @ (w * estimated)
    residual = estimated - design @ np.array([slope, intercept])
    scale = float(np.sum(w * residual**2) / max(len(true) - 2, 1))
    z = (estimated - true) / error
    mean, sd = float(z.mean()), float(z.std(ddof=1))
    return Linearity(
        n=len(true),
        slope=float(slope),
        slope_error=float(np.sqrt(covariance[0, 0] * scale)),
        intercept=float(intercept),
        pull_mean=mean,
        pull_mean_error=sd / float(np.sqrt(len(z))),
        pull_sd=sd,
        pull_sd_error=sd / float(np.sqrt(2 * (len(z) - 1))),
        coverage_68=float(np.mean(np.abs(z) < 1)),
        passes=bool(abs(slope - 1) < 0.1 and abs(mean) < 0.3 and 0.85 < sd < 1.15),
    )
