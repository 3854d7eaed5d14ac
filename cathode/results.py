"""What a hunt says: the entries of summary.json as frozen dataclasses, and the other containers that leave the analysis.

The keys of the published JSON are the fields of these classes, and `schema/summary.json` is made from them.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cathode.artefacts import artefact
from cathode.classifier.methods import is_reference
from cathode.spectrum.mass_fit import MassFit, Sculpting
from cathode.stats.counting import GenerativeHunt
from cathode.stats.joint import Joint

Array = NDArray[np.float64]

SOURCES = {
    "counting": "counting, background known",
    "closure_shift": "mean non-closure applied",
    "template": "template statistics",
    "initialisation": "initialisation of the networks",
    "bootstrap": "training data",
    "non_closure": "non-closure of the interpolation",
    "joint": "all working points in one test",
    "trials": "number of tests",
}


@dataclass(frozen=True, kw_only=True)
class Sigma:
    """Standard deviations of the expected background, in events, by source; null where a source does not apply.

    Attributes:
        template: statistics of the reference sample.
        initialisation: of the networks.
        bootstrap: statistics of the training data.
        non_closure: of the interpolation.
        total: quadratic sum.
    """

    template: float
    initialisation: float | None
    bootstrap: float | None
    non_closure: float | None
    total: float


@dataclass(frozen=True, kw_only=True)
class NonClosure:
    """Bias of the method, measured in pseudo signal regions.

    Attributes:
        mean: log of observed over predicted.
        sigma: standard deviation of the bias of the window, in the log: of `error` and `scatter`.
        n_windows: pseudo signal regions behind it.
        error: standard error of the mean, from counts.
        scatter: standard deviation from region to region, at least the declared floor.
        degrees_of_freedom: behind the scatter (Student's t).
    """

    mean: float
    sigma: float
    n_windows: int
    error: float = 0.0
    scatter: float = 0.0
    degrees_of_freedom: float | None = None


@dataclass(frozen=True, kw_only=True)
class ExpectedEvents:
    """Background in the signal region before the selection, by the mass fit of the sidebands.

    Attributes:
        value: events.
        fit_error: standard deviation by the covariances of the fits and the spread between their orders 1 to 5; other families of functions are not in it.
    """

    value: float
    fit_error: float


@dataclass(frozen=True, kw_only=True)
class SignalYield:
    """Signal events behind the selection, the background taken from the mass fit of the sidebands.

    Attributes:
        value: events.
        sigma: standard deviation.
    """

    value: float
    sigma: float


@dataclass(frozen=True, kw_only=True)
class CrossChecks:
    """Other significances of the same count, in standard deviations; none of them is the result.

    Attributes:
        z_slide: half ensembles against each other (display).
        z_classical: (observed - expected) / sqrt(expected), no uncertainty of the background (display).
        z_li_ma: Li and Ma, statistics of data and reference only.
        z_pyhf: q0 of the published workspace.
        z_mass_fit: count against a fit to the selected sidebands; no template.
        z_sequential: classifiers that learn from lower folds only.
        z_conformal: conformal p-values against recorded sideband events, weighted to the region's masses; no density, no closure.
    """

    z_slide: float | None
    z_classical: float | None
    z_li_ma: float | None
    z_pyhf: float | None
    z_mass_fit: float | None
    z_sequential: float | None
    z_conformal: float | None = None


@dataclass(frozen=True, kw_only=True)
class Limit:
    """95 % CLs upper limit on signal events behind the selection.

    Attributes:
        s_obs: observed.
        s_exp: expected at -2, -1, 0, 1, 2 standard deviations.
    """

    s_obs: float
    s_exp: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Impacts:
    """Standard deviations that the significance would gain if one source of uncertainty were known exactly.

    Attributes:
        template: statistics of the reference sample.
        initialisation: of the networks.
        bootstrap: statistics of the training data.
        non_closure: of the interpolation.
    """

    template: float
    initialisation: float
    bootstrap: float
    non_closure: float


@dataclass(frozen=True, kw_only=True)
class Oversampling:
    """Whether a larger reference sample would help.

    Attributes:
        passing: independent reference events that pass.
        needed: from so many on their statistics are negligible.
        enough: whether there are as many.
    """

    passing: float
    needed: float
    enough: bool


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What the primary p-value is computed from, besides the numbers beside it: with these a reader can rederive it.

    Attributes:
        m: independent reference events that pass.
        tau: their exposure over that of the signal region.
        n_splits: fold splits that counts are averaged over.
        step: spacing of possible counts.
    """

    m: float
    tau: float
    n_splits: int
    step: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step from the significance of a plain count to the quoted one.

    Attributes:
        source: what is taken into account from here on, everything before included.
        z: the significance then.
    """

    source: str
    z: float


@dataclass(frozen=True, kw_only=True)
class AtScatter:
    """The significance if another scatter of the non-closure were declared.

    Attributes:
        declared: standard deviation in the log, in the place of `statistics.scatter_floor`; as many times that behind every working point.
        z: the primary significance then.
    """

    declared: float
    z: float


@dataclass(frozen=True, kw_only=True)
class TruthPoint:
    """What labels say of one hunt.

    Attributes:
        n_sig_sr: signal events in the signal region.
        n_sig_obs: signal events among the selected ones.
        auc: area under the ROC curve.
        max_sic: largest significance improvement.
        sic: significance improvement at this working point.
    """

    n_sig_sr: int
    n_sig_obs: int
    auc: float | None
    max_sic: float | None
    sic: float | None


def hunt_name(window: str, method: str, eps_bkg: float) -> str:
    """The stem of a hunt's files."""
    return f"{window}_{method}_{eps_bkg:g}"


@dataclass(frozen=True, kw_only=True)
class HuntResult:
    """One hunt: a window, a method and a working point. Yields are events in the signal region after the selection.

    A number that does not apply is null (None), never 0; a blind hunt has none that depends on a signal-region event.

    Attributes:
        window: name of the window.
        signal_region: its edges (GeV).
        method: cathode, cwola, idealised or supervised, or one of your own.
        eps_bkg: working point: the background efficiency that the selection aims at.
        n_sr: events in the signal region.
        n_obs: those that pass, rounded.
        n_obs_average: those that pass, averaged over fold splits.
        n_bkg: expected background, shifted by the measured mean non-closure.
        n_bkg_uncorrected: the same without the shift.
        eps_bkg_reached: background efficiency that the selection lets through, measured on reference events that took no part in
            choosing it; when blind, on those of the pseudo signal regions, and used where it is off by half as much again or more.
        sigma: standard deviations of the expected background (events), by source.
        non_closure: bias of the method, measured in pseudo signal regions.
        overdispersion: variance of the counts over Poisson.
        p_local: the primary p-value.
        z_local: the same in standard deviations, positive for an excess.
        n_sr_expected: background in the signal region before the selection.
        signal_yield: signal events that pass.
        cross_checks: other significances of the same count.
        generative_hunt: counts of two half ensembles.
        limit: upper limit on signal events that pass.
        impacts: what each uncertainty costs.
        oversampling: whether a larger reference sample would help.
        reference: what the p-value is computed from.
        waterfall: from the significance of a plain count to `z_local`.
        by_scatter: the significance as a curve of the declared scatter; nothing in the data can show that it is as small as declared.
        mass_fit: the mass spectrum behind the cut.
        sculpting: dependence of the cut on the mass.
        flags: what a reader must know.
        truth: what labels say; null without.
    """

    window: str
    signal_region: tuple[float, float]
    method: str
    eps_bkg: float
    n_sr: int | None = None
    n_obs: int | None = None
    n_obs_average: float | None = None
    n_bkg: float
    n_bkg_uncorrected: float | None = None
    eps_bkg_reached: float | None = None
    sigma: Sigma | None = None
    non_closure: NonClosure | None = None
    overdispersion: float | None = None
    p_local: float | None = None
    z_local: float | None = None
    n_sr_expected: ExpectedEvents | None = None
    signal_yield: SignalYield | None = None
    cross_checks: CrossChecks | None = None
    generative_hunt: GenerativeHunt | None = None
    limit: Limit | None = None
    impacts: Impacts | None = None
    oversampling: Oversampling | None = None
    reference: Reference | None = None
    waterfall: tuple[Stage, ...] = ()
    by_scatter: tuple[AtScatter, ...] = ()
    mass_fit: MassFit | None = None
    sculpting: Sculpting | None = None
    flags: tuple[str, ...] = ()
    truth: TruthPoint | None = None

    @property
    def z(self) -> float | None:
        """Local significance in standard deviations."""
        return self.z_local

    @property
    def p(self) -> float | None:
        """Local p-value."""
        return self.p_local

    @property
    def name(self) -> str:
        """Window, method and working point: the stem of this hunt's files."""
        return hunt_name(self.window, self.method, self.eps_bkg)

    @property
    def predictive(self) -> dict[str, float] | None:
        """Arguments of `p_predictive` (cathode/stats/counting.py) that give the p-value; None where there is none, and for yardsticks, whose background is known."""
        return None if is_reference(self.method) else self.behind

    @property
    def behind(self) -> dict[str, float] | None:
        """The count, and what the reference and its errors say of the background, named as the arguments of `p_predictive`; None where there is no count."""
        r, s, c = self.reference, self.sigma, self.non_closure
        if r is None or s is None:
            return None
        if not self.n_bkg or not self.n_bkg_uncorrected or self.n_obs_average is None:
            return None
        of_ensemble = [v / self.n_bkg for v in (s.initialisation, s.bootstrap) if v is not None]
        some = c is not None and bool(c.degrees_of_freedom)
        return {
            "n": self.n_obs_average,
            "m": r.m,
            "tau": r.tau,
            "mu": math.log(self.n_bkg / self.n_bkg_uncorrected),
            "sigma": math.hypot(*of_ensemble, c.error if c and c.error else 0.0),
            "scatter": c.scatter if c and some and c.scatter else 0.0,
            "nu": c.degrees_of_freedom if c and some and c.degrees_of_freedom else math.inf,
            "overdispersion": self.overdispersion or 1.0,
            "step": r.step,
        }

    def why(self) -> Waterfall:
        """From the significance of a plain count to the quoted one, uncertainty by uncertainty."""
        return Waterfall(self.waterfall)


@dataclass(frozen=True)
class Waterfall:
    """From the significance of a plain count to the quoted one; prints itself as a table.

    Attributes:
        stages: in the order in which uncertainties are taken into account.
    """

    stages: tuple[Stage, ...]

    def rows(self) -> list[tuple[str, float, float]]:
        """What is taken into account, the significance then, and what that step changed."""
        before = [self.stages[0].z, *(s.z for s in self.stages)] if self.stages else []
        return [(SOURCES[s.source], s.z, s.z - b) for s, b in zip(self.stages, before, strict=False)]

    def __str__(self) -> str:
        if not self.stages:
            return "no significance, so nothing to explain (blind)"
        lines = [f"{what:<34}{z:7.2f}{change:+8.2f}" for what, z, change in self.rows()]
        lines[0] = lines[0][:-8]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


@artefact("hunts", "json")
@dataclass(frozen=True)
class HuntResults:
    """The hunts of one window and method, one per working point.

    Attributes:
        entries: in the order of the working points; `truth` is null here.
        joint: all of them in one test; null when blind and for methods that are no search.
    """

    entries: tuple[HuntResult, ...]
    joint: Joint | None = None


@artefact("workspace", "raw")
@dataclass(frozen=True)
class Workspace:
    """A pyhf workspace.

    Attributes:
        tree: its JSON.
    """

    tree: dict[str, Any]


@artefact("truth", "json")
@dataclass(frozen=True, kw_only=True)
class Truth:
    """Evaluation of one window and method with labels; empty when there are none.

    Attributes:
        window: what was evaluated.
        method: what was evaluated.
        entries: the `truth` of each working point.
        eps_bkg: points of the ROC curve.
        eps_sig: points of the ROC curve.
        sic_floor: background efficiency below which fewer than 25 background events remain.
    """

    window: str
    method: str
    entries: tuple[TruthPoint, ...] = ()
    eps_bkg: tuple[float, ...] = ()
    eps_sig: tuple[float, ...] = ()
    sic_floor: float = 1.0


@artefact("selected", "parquet")
@dataclass(frozen=True, kw_only=True)
class Selected:
    """Events that pass a selection.

    Attributes:
        names: feature names.
        row: (n,) row in the input.
        mass: (n,) GeV.
        features: (n, d).
        score: (n,) -log10 of the background efficiency at which the event just passes, out of fold.
        carried: names of `data.identifiers`.
        identifiers: their values, each (n,), as they were read.
    """

    names: tuple[str, ...]
    row: NDArray[np.int64]
    mass: Array
    features: Array
    score: Array
    carried: tuple[str, ...] = ()
    identifiers: tuple[NDArray[Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class OverdispersionTable:
    """Overdispersion at one size of the samples; every table is by method and working point.

    Attributes:
        v0: variance of the pulls.
        v0_error: standard error of `v0`.
        pull_mean: mean of the pulls; 0 without bias.
        pull_mean_error: standard error of `pull_mean`.
        z: pulls of all pseudo-experiments.
        sizes: events of data and references.
    """

    v0: dict[str, dict[str, float]]
    v0_error: dict[str, dict[str, float]]
    pull_mean: dict[str, dict[str, float]]
    pull_mean_error: dict[str, dict[str, float]]
    z: dict[str, dict[str, tuple[float, ...]]]
    sizes: dict[str, int]

    def of(self, method: str, eps_bkg: float) -> float:
        """Overdispersion of a method's counts at a working point."""
        return self.v0[method][f"{eps_bkg:g}"]


@artefact("overdispersion", "document")
@dataclass(frozen=True, kw_only=True)
class Overdispersion(OverdispersionTable):
    """Overdispersion of the counts of the hunt's classifier, where there is nothing to find.

    Attributes:
        window: where.
        n_toys: pseudo-experiments.
        experiments: the same at the size of the chain's pseudo-experiments; null where that is the hunt's.
    """

    window: str
    n_toys: int
    experiments: OverdispersionTable | None

    @property
    def at_experiments(self) -> OverdispersionTable:
        """The table at the size of the chain's pseudo-experiments."""
        return self.experiments or self
