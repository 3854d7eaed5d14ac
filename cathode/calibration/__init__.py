"""Calibration: what pseudo-experiments say about the p-values, and the overdispersion that mends them.

Pure functions from counts and p-values to verdicts. The pseudo-experiments themselves are steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, kstest

from cathode.stats.counting import z_value

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Overdispersion:
    """Variance of folded counts over that of independent ones.

    Attributes:
        v0, v0_error: variance of the pulls, and its standard error (Gaussian pulls assumed).
        mean, mean_error: mean of the pulls; 0 without bias.
    """

    v0: float
    v0_error: float
    mean: float
    mean_error: float


def pulls(n: Array, b: Array, m: Array) -> Array:
    """(n - b) / sqrt(b + b^2 / m): counts `n` over predictions `b` that rest on `m` reference events. Statistical errors only."""
    return (n - b) / np.sqrt(b + b**2 / np.maximum(m, 1.0))


def overdispersion(z: Array) -> Overdispersion:
    """Variance and mean of pulls `z (T,)` of background-only pseudo-experiments.

    v0 = var(z), with error v0 sqrt(2 / (T - 1)). Counts of folds that select for each other's fluctuations are positively
    correlated, so v0 > 1 although every score is out of fold.
    """
    v0, t = float(np.var(z, ddof=1)), len(z)
    return Overdispersion(v0, v0 * float(np.sqrt(2 / (t - 1))), float(np.mean(z)), float(np.sqrt(v0 / t)))


def clopper_pearson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Central confidence interval of a binomial rate from `k` of `n`. Source: Biometrika 26 (1934) 404. Covers at least `level`."""
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(1 - tail, k + 1, n - k))
    return low, high


def uniformity(p: Sequence[float]) -> dict[str, float | bool | list[float]]:
    """Whether p-values are uniform: Kolmogorov-Smirnov, and the shares below 0.05 and 0.01 with their intervals.

    `ks_p` above 0.05 and both nominal shares inside the 95 % Clopper-Pearson interval pass. `conservative` says that what
    fails is on the safe side: no share is too large, and p-values are not too small by the one-sided test either. For counts
    use mid-p-values; those of small counts are discrete all the same.
    """
    values = np.asarray(p, dtype=float)
    ks_p = float(kstest(values, "uniform").pvalue)
    out: dict[str, float | bool | list[float]] = {"n": len(values), "ks_p": ks_p}
    fine, too_many = ks_p > 0.05, False
    for level in (0.05, 0.01):
        k = int((values < level).sum())
        low, high = clopper_pearson(k, len(values))
        out[f"share_below_{level:g}"] = k / len(values)
        out[f"interval_{level:g}"] = [low, high]
        fine &= low <= level <= high
        too_many |= low > level
    too_many |= float(kstest(values, "uniform", alternative="greater").pvalue) < 0.05
    return out | {"passes": bool(fine), "conservative": bool(not fine and not too_many)}


def effective_trials(smallest: Sequence[float]) -> float:
    """Independent trials that give smallest p-values like these: ln(1/2) / ln(1 - median), from the median of `smallest`.

    Sidak's correction with the number of hunts is conservative where this is smaller.
    """
    return float(np.log(0.5) / np.log1p(-np.clip(np.median(np.asarray(smallest)), 1e-12, 1 - 1e-12)))


def signal_efficiency(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Signal efficiency against injected signal, per method, working point and strength: mean and its error over experiments.

    Weakly supervised classifiers find more of a stronger signal, so a limit on passing events is one on produced events
    only through this curve. `points` as in injection.json; `z_median` is the median local significance at that strength.
    """
    out = []
    for key in sorted({(p["method"], -p["eps_bkg"], p["strength"]) for p in points}):
        mine = [p for p in points if (p["method"], -p["eps_bkg"], p["strength"]) == key and p["n_signal"]]
        if len(mine) < 2:
            continue
        share = np.array([p["n_signal_passing"] / p["n_signal"] for p in mine])
        out.append(
            {
                "method": key[0],
                "eps_bkg": -key[1],
                "strength": key[2],
                "n_signal": float(np.mean([p["n_signal"] for p in mine])),
                "eps_sig": float(share.mean()),
                "eps_sig_error": float(share.std(ddof=1) / np.sqrt(len(share))),
                "z_median": z_value(float(np.median([p["p_local"] for p in mine]))),
            }
        )
    return out


def produced_signal(passing: float, curve: list[dict[str, Any]], eps_bkg: float, background: float) -> float:
    """Signal events in the signal region before the selection that leave `passing` behind it.

    Solves S eps_S(S / sqrt(B)) = passing for S, B = `background` events before the selection and eps_S the measured `curve`
    (entries of `signal_efficiency` of one method and working point), linear between points. A signal too weak to be learned
    passes like background, so the curve starts at eps_B; beyond its last point it is taken as constant. Both are on the
    side of larger S. The curve is one of relative strength: it holds for samples of other sizes as far as that scales.
    """
    points = sorted((e["strength"], e["eps_sig"]) for e in curve if e["strength"] > 0)
    x = np.array([0.0, *(p[0] for p in points)])
    eps = np.maximum.accumulate([eps_bkg, *(p[1] for p in points)])
    scale = float(np.sqrt(background))
    fine = np.linspace(0, x[-1], 2001) if len(points) else np.array([0.0])
    behind = fine * scale * np.interp(fine, x, eps)
    if passing >= behind[-1]:
        return float(passing / eps[-1])
    return float(np.interp(passing, behind, fine) * scale)


def linearity(true: Array, estimated: Array, error: Array) -> dict[str, float | bool]:
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
    return {
        "n": len(true),
        "slope": float(slope),
        "slope_error": float(np.sqrt(covariance[0, 0] * scale)),
        "intercept": float(intercept),
        "pull_mean": mean,
        "pull_mean_error": sd / float(np.sqrt(len(z))),
        "pull_sd": sd,
        "pull_sd_error": sd / float(np.sqrt(2 * (len(z) - 1))),
        "coverage_68": float(np.mean(np.abs(z) < 1)),
        "passes": bool(abs(slope - 1) < 0.1 and abs(mean) < 0.3 and 0.85 < sd < 1.15),
    }
