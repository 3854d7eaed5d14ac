"""From scores to counts, and from counts to a background estimate with every uncertainty of the generative model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cathode.classifier import Scores
from cathode.classifier.methods import LABEL_FREE, NEED_LABELS
from cathode.closure import Closure, ClosurePoint
from cathode.counts import PassingCounts, count_passing
from cathode.stats.counting import GenerativeHunt, effective_dof, generative_hunt
from cathode.stats.random_effects import spread
from cathode.stats.settings import StatisticsSettings

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BackgroundEstimate:
    """Background of one window, method and working point. Yields are events in the signal region after the selection.

    Attributes:
        counts: observed and reference counts.
        n_bkg: expected background, shifted by the measured mean non-closure.
        initialisation, bootstrap: relative errors of the ensemble mean.
        non_closure_mean, non_closure_sigma: log-bias of the method from pseudo signal regions, None if not measured.
        n_windows: pseudo signal regions behind it.
        nu: effective degrees of freedom of the relative errors together.
        overdispersion: variance of the counts over Poisson.
        sequential: counts of the sequential cross-check, None where it was not run.
        generative: the bump hunt of two half ensembles, None where the method has no ensemble reference.
        flags: what a reader must know about this number.
    """

    counts: PassingCounts
    n_bkg: float
    initialisation: float
    bootstrap: float
    non_closure_mean: float | None
    non_closure_sigma: float | None
    n_windows: int
    nu: float
    overdispersion: float
    sequential: PassingCounts | None
    generative: GenerativeHunt | None
    flags: tuple[str, ...]

    @property
    def template(self) -> float:
        """Relative statistical error of the reference sample, 1 / sqrt(m)."""
        return float(1 / np.sqrt(self.counts.m)) if self.counts.m > 0 else 1.0

    @property
    def relative_sigma(self) -> float:
        """Scale of the log-bias in the predictive p-value: ensemble and non-closure in quadrature."""
        return float(np.sqrt(self.initialisation**2 + self.bootstrap**2 + (self.non_closure_sigma or 0.0) ** 2))

    def without(self, source: str) -> BackgroundEstimate:
        """The same estimate as if one source of uncertainty were known exactly; its impact is what that gains."""
        if source == "template":
            return replace(self, counts=replace(self.counts, m=self.counts.m * 1e6))
        if source == "initialisation":
            return replace(self, initialisation=0.0)
        return replace(self, bootstrap=0.0) if source == "bootstrap" else replace(self, non_closure_sigma=0.0)

    def oversampling(self) -> dict[str, float | bool]:
        """Whether a larger reference sample would help.

        The model itself is no better than 1 / delta^2 passing events, delta its relative error. The reference is 5 % or less
        of the total error from m = 10 / (1/B + delta^2) on; sampling beyond that buys nothing.
        """
        b = max(self.n_bkg, 1e-3)
        needed = 10 / (1 / b + self.relative_sigma**2)
        return {"passing": self.counts.m, "needed": needed, "enough": bool(self.counts.m >= needed)}

    def sigma(self) -> dict[str, float | None]:
        """Absolute uncertainties in events by source, and their quadratic sum."""
        generative = self.counts.has_ensemble
        parts: dict[str, float | None] = {
            "template": self.n_bkg * self.template,
            "initialisation": self.n_bkg * self.initialisation if generative else None,
            "bootstrap": self.n_bkg * self.bootstrap if generative else None,
            "non_closure": None if self.non_closure_sigma is None else self.n_bkg * self.non_closure_sigma,
        }
        return parts | {"total": float(np.sqrt(sum(v**2 for v in parts.values() if v is not None)))}


def estimate_background(
    splits: Sequence[Scores],
    closure: Closure | None,
    working_points: tuple[float, ...],
    settings: StatisticsSettings,
    overdispersion: tuple[float, ...],
) -> list[BackgroundEstimate]:
    """Estimate the background behind each working point, from the fold splits of one signal region."""
    out, first = [], splits[0]
    one_way, layout = first.sequential(), (first.n_bootstraps, first.n_seeds)
    for index, (eps, v) in enumerate(zip(working_points, overdispersion, strict=True)):
        measured = closure.points[index] if closure else None
        estimate = combine(first.method, count_passing(splits, eps), layout, measured, settings, v)
        sequential = count_passing((one_way,), eps) if one_way else None
        out.append(replace(estimate, sequential=sequential, generative=half_ensembles(splits, eps)))
    return out


def combine(
    method: str,
    c: PassingCounts,
    layout: tuple[int, int],
    measured: ClosurePoint | None,
    settings: StatisticsSettings,
    overdispersion: float,
) -> BackgroundEstimate:
    """Background from counts behind one working point and from the closure there, without the cross-checks.

    The central value is efficiency times events in the signal region (the conditional binomial: without signal these are all
    background), times exp(mean non-closure). Ensemble errors come from the nested design `layout`, R bootstraps x K
    initialisations: the mean over members errs by sigma_boot sqrt(1 + 1/R), since a bootstrap measures the error of the
    data that all members share, and by sigma_init / sqrt(R K).
    """
    flags: list[str] = []
    boot = init = 0.0
    components: list[tuple[float, float]] = []
    if c.has_ensemble:
        r, k = layout
        raw_boot, raw_init = spread(np.array(c.member_counts).reshape(r, k), independent=c.independent_members)
        boot, init = raw_boot * float(np.sqrt(1 + 1 / r)), raw_init / float(np.sqrt(r * k))
        components += [(boot, r - 1), (init, r * (k - 1))]
    mean = measured.effects.mu if measured else 0.0
    if measured:
        components.append((measured.effects.sigma, closure_dof(measured.n_windows)))
        if abs(measured.effects.mu) > 3 * measured.effects.mu_error:
            flags.append("non-closure differs from zero by more than 3 standard errors")
        if measured.effects.p_homogeneous < 0.01:
            flags.append("pseudo signal regions disagree beyond their known errors")
    elif method in LABEL_FREE:
        flags.append("non-closure not measured")
    if settings.shift == "positive":
        mean = max(mean, 0.0)
    if method in NEED_LABELS:
        flags.append("truth labels used: a reference, not a search")
    if method in LABEL_FREE and c.n_splits < 3 and settings.overdispersion != "calibrated" and overdispersion < 1.2:
        flags.append(
            f"{c.n_splits} fold split(s): overdispersion {overdispersion:g} may be too small, let it be calibrated"
        )
    if c.m < 10:
        flags.append(f"only {c.m:.1f} reference events pass")
    return BackgroundEstimate(
        c,
        c.n_bkg * float(np.exp(mean)),
        init,
        boot,
        measured.effects.mu if measured else None,
        measured.effects.sigma if measured else None,
        measured.n_windows if measured else 0,
        effective_dof([p for p in components if p[0] > 0]),
        overdispersion,
        None,
        None,
        tuple(flags),
    )


def closure_dof(n_windows: int) -> int:
    """Degrees of freedom of the non-closure scale: windows less the fitted mean."""
    return max(1, n_windows - 1)


def half_ensembles(splits: Sequence[Scores], eps: float) -> GenerativeHunt | None:
    """The generative bump hunt with background from the first half of the classifier members and observation from the second.

    Each member of each fold split cuts at its own threshold; per fold, even events of the threshold sample set it, odd ones
    measure the efficiency. None for methods whose reference sample is not split.
    """
    if len(splits[0].ref_threshold_member_score) == 0:
        return None
    counts = [_member_counts(s, eps) for s in splits]
    observed, background = (np.concatenate([c[i] for c in counts]) for i in (0, 1))
    half = len(observed) // 2
    if background[:half].mean() <= 0:
        return None
    return generative_hunt(observed[half:].tolist(), background[:half].tolist())


def _member_counts(scores: Scores, eps: float) -> tuple[Array, Array]:
    """Observed and predicted events `(M,)` of every classifier member."""
    members = scores.ref_threshold_member_score
    kept = scores.ref_part == 1 if scores.independent_members else scores.ref_member == 0
    fold = scores.ref_fold[kept]
    observed, background = np.zeros(members.shape[1]), np.zeros(members.shape[1])
    for f in np.unique(scores.fold):
        sample = members[fold == f]
        thresholds = np.quantile(sample[::2], 1 - eps, axis=0)
        data = scores.member_score[scores.fold == f]
        observed += (data >= thresholds).sum(axis=0)
        background += (sample[1::2] >= thresholds).mean(axis=0) * len(data)
    return observed, background
