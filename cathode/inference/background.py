"""From scores to a background estimate with every uncertainty of the generative model, and the significances that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cathode.classifier.methods import is_reference
from cathode.classifier.scores import MethodScores, SplitScores
from cathode.errors import FitError
from cathode.events import Role
from cathode.inference.closure import Closure, ClosurePoint, known_overdispersion, link_points
from cathode.inference.counts import PassingCounts, count_passing
from cathode.results import AtScatter, Impacts, Overdispersion, Oversampling, Sigma, SignalYield, Stage
from cathode.seeds import derive_seed
from cathode.stats.counting import GenerativeHunt, generative_hunt, p_predictive, z_value
from cathode.stats.joint import Behind, Joint, p_weighted
from cathode.stats.random_effects import RandomEffects, spread
from cathode.stats.settings import StatisticsSettings

Array = NDArray[np.float64]

_SCATTERS = (0.5, 1.0, 1.5, 2.0, 3.0)  # of the declared one
_KNOWN = 1e6  # a reference so many times larger has no statistical error worth the name


@dataclass(frozen=True, kw_only=True)
class BackgroundEstimate:
    """Background of one window, method and working point. Yields are events in the signal region after the selection.

    Attributes:
        method: name of the method.
        counts: observed and reference counts.
        n_bkg: expected background, shifted by the measured mean non-closure.
        initialisation: relative error of the ensemble mean from the initialisation of the networks.
        bootstrap: relative error of the ensemble mean from the statistics of the training data.
        non_closure: log-bias of the method from pseudo signal regions, with its error and scatter; None if not measured.
        n_windows: pseudo signal regions behind it.
        overdispersion: variance of the counts over Poisson.
        sequential: counts of the sequential cross-check, None where it was not run.
        generative: the bump hunt of two half ensembles, None where the method has no ensemble reference.
        by_scatter: the significance for other declared scatters.
        flags: what a reader must know about this number.
    """

    method: str
    counts: PassingCounts
    n_bkg: float
    initialisation: float
    bootstrap: float
    non_closure: RandomEffects | None
    n_windows: int
    overdispersion: float
    sequential: PassingCounts | None
    generative: GenerativeHunt | None
    flags: tuple[str, ...]
    by_scatter: tuple[AtScatter, ...] = ()

    @property
    def template(self) -> float:
        """Relative statistical error of the reference sample, sqrt(v / m): its counts are of the same cuts, and overdispersed as theirs."""
        return float(np.sqrt(self.overdispersion / self.counts.m)) if self.counts.m > 0 else 1.0

    @property
    def known_sigma(self) -> float:
        """Standard deviation of the log-bias that is known: of the ensemble, and of the counts behind the non-closure."""
        of_closure = self.non_closure.mu_error if self.non_closure else 0.0
        return float(np.sqrt(self.initialisation**2 + self.bootstrap**2 + of_closure**2))

    @property
    def scatter(self) -> float:
        """That of the non-closure from region to region, which is itself estimated or declared."""
        return self.non_closure.scatter if self.non_closure else 0.0

    @property
    def nu(self) -> float:
        """Degrees of freedom of the scatter."""
        return self.non_closure.degrees_of_freedom if self.non_closure else float("inf")

    @property
    def relative_sigma(self) -> float:
        """Standard deviation of the log-bias: ensemble and non-closure in quadrature."""
        return float(np.hypot(self.known_sigma, self.scatter))

    @property
    def shift(self) -> float:
        """Log of the background over what the reference says: the mean non-closure as it was applied."""
        return 0.0 if self.n_bkg == self.counts.n_bkg else float(np.log(self.n_bkg / self.counts.n_bkg))

    def without(self, source: str) -> BackgroundEstimate:
        """The same estimate as if one source of uncertainty were known exactly."""
        if source == "template":
            return replace(self, counts=replace(self.counts, m=self.counts.m * _KNOWN))
        if source == "initialisation":
            return replace(self, initialisation=0.0)
        if source == "bootstrap":
            return replace(self, bootstrap=0.0)
        known = replace(self.non_closure, mu_error=0.0, scatter=0.0) if self.non_closure else None
        return replace(self, non_closure=known)

    def p_value(self, n: float | None = None) -> float:
        """The primary p-value, or the one with `n` observed events.

        `p_predictive` over counting, ensemble and non-closure errors. Reference methods take their background from the labels
        of the very events that are counted: it is treated as known, and the value is a yardstick, not a p-value.
        """
        c = self.counts
        n = c.n_obs if n is None else n
        if is_reference(self.method):
            return p_predictive(n, c.m * _KNOWN, c.tau * _KNOWN, mu=0.0, sigma=0.0, step=c.step)
        return p_predictive(
            n,
            c.m,
            c.tau,
            mu=self.shift,
            sigma=self.known_sigma,
            scatter=self.scatter,
            nu=self.nu,
            overdispersion=self.overdispersion,
            step=c.step,
        )

    def z(self) -> float:
        """The primary p-value in standard deviations, positive for an excess."""
        return z_value(self.p_value())

    def sequential_z(self) -> float | None:
        """The primary formula on the sequential counts, overdispersion 1: folds are independent there by construction.

        A cross-check that needs no calibration; about 2/3 as powerful, since early folds are selected by weak classifiers.
        """
        c = self.sequential
        if c is None or self.non_closure is None or c.m <= 0:
            return None
        return z_value(
            p_predictive(c.n_obs, c.m, c.tau, mu=self.shift, sigma=self.known_sigma, scatter=self.scatter, nu=self.nu)
        )

    def signal_yield(self, expected: float, error: float) -> SignalYield:
        """Signal events behind the selection and their standard deviation, from `expected` +- `error` background events before it.

        S = n_obs - eps e^mu B with B the sidebands' mass fit. The significance takes all N events of the signal region for
        background, as they are when there is no signal; a yield may not: eps N counts a share eps of the signal itself as
        background, at eps = 0.1 and a signal efficiency of 1/2 a fifth of what passes. Variance: v b of the count, the relative errors
        of the background, and that of B. Signal that leaks into the sidebands is in the reference and lowers S. Not valid where
        the mass fit is not (see its p-value).
        """
        b = self.n_bkg * expected / self.counts.n_sr
        relative2 = self.template**2 + self.relative_sigma**2 + (error / expected) ** 2
        sigma = float(np.sqrt(self.overdispersion * b + b**2 * relative2))
        return SignalYield(value=self.counts.n_obs - b, sigma=sigma)

    def impacts(self) -> Impacts:
        """Standard deviations that the significance would gain if one source of uncertainty were known exactly."""
        z = self.z()
        sources = ("template", "initialisation", "bootstrap", "non_closure")
        return Impacts(**{source: self.without(source).z() - z for source in sources})

    def waterfall(self) -> tuple[Stage, ...]:
        """The significance with the background known, and as one after the other of its uncertainties is taken into account.

        First the reference's own prediction, known exactly, then shifted by the mean non-closure; the last stage is the primary one.
        Reference methods have the first stage only.
        """
        plain = replace(self.without("template"), n_bkg=self.counts.n_bkg, initialisation=0.0, bootstrap=0.0)
        plain = plain.without("non_closure")
        stages = [Stage(source="counting", z=plain.z())]
        if is_reference(self.method):
            return tuple(stages)
        now = replace(plain, n_bkg=self.n_bkg)
        stages.append(Stage(source="closure_shift", z=now.z()))
        for source, change in (
            ("template", {"counts": self.counts}),
            ("initialisation", {"initialisation": self.initialisation}),
            ("bootstrap", {"bootstrap": self.bootstrap}),
            ("non_closure", {"non_closure": self.non_closure}),
        ):
            now = replace(now, **change)
            stages.append(Stage(source=source, z=now.z()))
        return tuple(stages)

    def oversampling(self) -> Oversampling | None:
        """Whether a larger reference sample would help; None where it was not made by a density.

        The model itself is no better than 1 / delta^2 passing events, delta its relative error. The reference is 5 % or less
        of the total error from m = 10 / (1/B + delta^2) on; sampling beyond that buys nothing.
        """
        if not self.counts.has_ensemble:
            return None
        b = max(self.n_bkg, 1e-3)
        needed = 10 / (1 / b + self.relative_sigma**2)
        return Oversampling(passing=self.counts.m, needed=needed, enough=bool(self.counts.m >= needed))

    def sigma(self) -> Sigma:
        """Absolute uncertainties in events by source, and their quadratic sum."""
        generative = self.counts.has_ensemble
        parts = {
            "template": self.n_bkg * self.template,
            "initialisation": self.n_bkg * self.initialisation if generative else None,
            "bootstrap": self.n_bkg * self.bootstrap if generative else None,
            "non_closure": self.n_bkg * self.non_closure.sigma if self.non_closure else None,
        }
        total = float(np.sqrt(sum(v**2 for v in parts.values() if v is not None)))
        return Sigma(
            template=self.n_bkg * self.template,
            initialisation=parts["initialisation"],
            bootstrap=parts["bootstrap"],
            non_closure=parts["non_closure"],
            total=total,
        )


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """Background estimates of one window and method.

    Attributes:
        window: name of the window.
        interval: its signal region (GeV).
        method: name of the method.
        points: one per working point.
    """

    window: str
    interval: tuple[float, float]
    method: str
    points: tuple[BackgroundEstimate, ...]


def estimate_background(
    scores: MethodScores,
    closure: Closure | None = None,
    overdispersion: Overdispersion | None = None,
    *,
    working_points: tuple[float, ...] = (0.1, 0.01, 0.001),
    statistics: StatisticsSettings = StatisticsSettings(),
) -> Estimates:
    """Count behind every working point and estimate the background with all its uncertainties."""
    splits, first = scores.splits, scores.splits[0]
    known = known_overdispersion(overdispersion, scores.method, working_points, statistics)
    points, one_way, layout = [], first.sequential(), (first.n_bootstraps, first.n_seeds)
    for index, (eps, v) in enumerate(zip(working_points, known, strict=True)):
        measured = closure.points[index] if closure else None
        estimate = combine(scores.method, count_passing(splits, eps), layout, measured, statistics, v)
        flags = (*estimate.flags, *(closure.doubts if closure else ()))
        sequential = count_passing((one_way,), eps) if one_way else None
        points.append(replace(estimate, sequential=sequential, generative=half_ensembles(splits, eps), flags=flags))
    if closure:
        points = _by_scatter(points, closure, layout, known, statistics)
    return Estimates(window=first.window, interval=first.interval, method=scores.method, points=tuple(points))


def _by_scatter(
    points: list[BackgroundEstimate],
    closure: Closure,
    layout: tuple[int, int],
    overdispersion: Sequence[float],
    statistics: StatisticsSettings,
) -> list[BackgroundEstimate]:
    """The estimates with their significances as a curve of the declared scatter; of one that is declared as 0 there is no curve."""
    curves: list[list[AtScatter]] = [[] for _ in points]
    for factor in _SCATTERS:
        scaled = (replace(p, floor=factor * p.floor) for p in closure.points)
        at = [p.with_overdispersion(v) for p, v in zip(scaled, overdispersion, strict=True)]
        for curve, e, measured, v in zip(curves, points, link_points(at, statistics), overdispersion, strict=True):
            if measured.floor > 0:
                z = combine(e.method, e.counts, layout, measured, statistics, v).z()
                curve.append(AtScatter(declared=measured.floor, z=z))
    return [replace(e, by_scatter=tuple(curve)) for e, curve in zip(points, curves, strict=True)]


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
    data that all members share, and by sigma_init / sqrt(R K). A variance of counts below Poisson is used for the sum of many counts that is the
    closure, and not here: a single averaged count is skewed, and a scaled Poisson would reject too often in its tail.
    """
    if not (c.n_bkg > 0 and c.m > 0):
        raise FitError(
            f"{method} at {c.eps_bkg:g}: found no event of the reference behind its cuts, so that nothing is known of its background; expected a looser working point"
        )
    flags: list[str] = []
    boot = init = 0.0
    if c.has_ensemble:
        r, k = layout
        raw_boot, raw_init = spread(np.array(c.member_counts).reshape(r, k), independent=c.independent_members)
        boot, init = raw_boot * float(np.sqrt(1 + 1 / r)), raw_init / float(np.sqrt(r * k))
    reference = is_reference(method)
    if measured:
        if abs(measured.effects.mean) > 3 * measured.effects.mean_error:
            flags.append("closure: differs from zero by more than 3 standard errors")
        if measured.effects.p_homogeneous < 0.01:
            flags.append("closure: pseudo signal regions disagree beyond their known errors")
    elif not reference:
        flags.append("closure: not measured")
    if reference:
        flags.append("reference: uses truth labels and is no search")
    if not reference and c.n_splits < 3 and settings.overdispersion != "calibrated" and overdispersion < 1.2:
        flags.append(
            f"calibration: {c.n_splits} fold split(s): overdispersion {overdispersion:g} may be too small, let it be calibrated"
        )
    shifted = c.n_bkg * float(np.exp(settings.applied_shift(measured.effects.mu if measured else 0.0)))
    if shifted > c.n_sr:
        flags.append(f"closure: it asks for {shifted:.0f} background events, more than the {c.n_sr} there are")
    if c.missed:
        flags.append(f"statistics: {c.missed}")
    if c.m < 10:
        flags.append(f"statistics: only {c.m:.1f} reference events pass")
    return BackgroundEstimate(
        method=method,
        counts=c,
        n_bkg=min(shifted, float(c.n_sr)),
        initialisation=init,
        bootstrap=boot,
        non_closure=measured.effects if measured else None,
        n_windows=measured.n_windows if measured else 0,
        overdispersion=max(1.0, overdispersion),
        sequential=None,
        generative=None,
        flags=tuple(flags),
    )


def joint_test(
    points: Sequence[BackgroundEstimate], statistics: StatisticsSettings, *, window: str, toy: int = 0
) -> Joint | None:
    """All working points of one method in one test (`p_weighted`), with the weights that are declared; None without any. `window` and `toy` seed its integration."""
    points = sorted(points, key=lambda e: -e.counts.eps_bkg)
    if not points:
        return None
    weights = tuple(statistics.joint_weight(e.counts.eps_bkg) for e in points)
    behind = [
        Behind(
            n=e.counts.n_obs,
            b=e.counts.n_bkg,
            m=e.counts.m,
            mu=e.shift,
            sigma=e.known_sigma,
            scatter=e.scatter,
            nu=e.nu,
            overdispersion=e.overdispersion,
        )
        for e in points
    ]
    # another seed moves it by a few thousandths of a standard deviation
    method = points[0].method
    p = p_weighted(behind, weights, step=points[0].counts.step, seed=derive_seed(toy, "joint", window, method))
    eps_bkg = tuple(e.counts.eps_bkg for e in points)
    return Joint(window=window, method=method, eps_bkg=eps_bkg, weights=weights, p=p, z=z_value(p))


def half_ensembles(splits: Sequence[SplitScores], eps: float) -> GenerativeHunt | None:
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


def _member_counts(scores: SplitScores, eps: float) -> tuple[Array, Array]:
    """Observed and predicted events `(M,)` of every classifier member."""
    members = scores.ref_threshold_member_score
    kept = scores.ref_role == Role.THRESHOLD if scores.independent_members else scores.ref_member == 0
    fold = scores.ref_fold[kept]
    observed, background = np.zeros(members.shape[1]), np.zeros(members.shape[1])
    for f in np.unique(scores.fold):
        sample = members[fold == f]
        thresholds = np.quantile(sample[::2], 1 - eps, axis=0)
        data = scores.member_score[scores.fold == f]
        observed += (data >= thresholds).sum(axis=0)
        background += (sample[1::2] >= thresholds).mean(axis=0) * len(data)
    return observed, background
