"""What pseudo-experiments leave behind: raw counts, and the published verdicts on p-values, signals and limits."""

from __future__ import annotations

from dataclasses import dataclass

from cathode.artefacts import artefact
from cathode.inference.closure import ClosurePoint
from cathode.inference.counts import PassingCounts
from cathode.results import hunt_name


@dataclass(frozen=True, kw_only=True)
class ClassifierCount:
    """Counts of one pseudo-experiment of the classifier.

    Attributes:
        toy: number of the pseudo-experiment.
        sample: `hunt` (as many events as there) or `experiments` (as many as in those of the whole chain).
        method: name of the method.
        eps_bkg: working point.
        n: events that pass.
        b: expected ones.
        m: reference events behind `b`.
    """

    toy: int
    sample: str
    method: str
    eps_bkg: float
    n: float
    b: float
    m: float


@artefact("classifier_experiments", "json")
@dataclass(frozen=True, kw_only=True)
class ClassifierExperiments:
    """A batch of pseudo-experiments of the classifier.

    Attributes:
        window: name of the window.
        sizes: events of data and references, per kind of sample.
        entries: the counts.
    """

    window: str
    sizes: dict[str, dict[str, int]]
    entries: tuple[ClassifierCount, ...]


@dataclass(frozen=True, kw_only=True)
class PseudoExperiment:
    """One pseudo-experiment of one method: everything that significances are computed from, before any of it is combined.

    Attributes:
        toy: number of the background.
        strength: injected signal in units of sqrt(B), None without.
        window: name of the window.
        method: cathode or cwola, or one of your own.
        n_bootstraps: R of its density members.
        n_seeds: K of its density members.
        counts: per working point.
        closure: per working point.
        n_expected: background in the signal region before the selection, from the sidebands' mass fit.
        n_expected_error: its standard deviation.
        n_signal: injected events in the signal region.
        n_signal_passing: those that pass, per working point.
    """

    toy: int
    strength: float | None
    window: str
    method: str
    n_bootstraps: int
    n_seeds: int
    counts: tuple[PassingCounts, ...]
    closure: tuple[ClosurePoint, ...]
    n_expected: float
    n_expected_error: float
    n_signal: int
    n_signal_passing: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class SharedEvents:
    """Events that hunts of one pseudo-experiment have in common.

    Attributes:
        toy: its number.
        hunts: (h) names.
        events: (h, h) sums over events of the products of their shares in two hunts.
    """

    toy: int
    hunts: tuple[str, ...]
    events: tuple[tuple[float, ...], ...]


@artefact("pseudo_experiments", "json")
@dataclass(frozen=True, kw_only=True)
class PseudoExperiments:
    """A batch of pseudo-experiments of the whole chain.

    Attributes:
        window: that of the truth, where signals are injected.
        experiments: of all windows and methods.
        shared: events that the hunts of each have in common, without signal.
    """

    window: str
    experiments: tuple[PseudoExperiment, ...]
    shared: tuple[SharedEvents, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one pseudo-experiment says behind one working point.

    Attributes:
        toy: number of the background.
        window: name of the window.
        method: name of the method.
        eps_bkg: working point.
        n_obs: events that pass.
        n_bkg: expected background.
        n_bkg_uncorrected: the same without the measured mean non-closure.
        p_local: the primary p-value.
    """

    toy: int
    window: str
    method: str
    eps_bkg: float
    n_obs: float
    n_bkg: float
    n_bkg_uncorrected: float
    p_local: float


@dataclass(frozen=True, kw_only=True)
class NullMeasured(Measured):
    """The same without signal, with all that gives the p-value of any other count (`p_predictive`).

    Attributes:
        p_mid: mean of the p-value and that of the next possible count.
        m: reference events that pass.
        known_sigma: standard deviation of the log-bias that is known: ensemble, and counts behind the non-closure.
        scatter: that of the non-closure from region to region.
        degrees_of_freedom: of the scatter; null where it is known.
        variance: of the count over its background (events^2), errors of the background included.
        overdispersion: variance of the count alone over Poisson.
    """

    p_mid: float
    m: float
    known_sigma: float
    scatter: float
    degrees_of_freedom: float | None
    variance: float
    overdispersion: float = 1.0

    @property
    def name(self) -> str:
        """Name of the hunt."""
        return hunt_name(self.window, self.method, self.eps_bkg)


@dataclass(frozen=True, kw_only=True)
class SignalMeasured(Measured):
    """The same with an injected signal.

    Attributes:
        strength: in units of sqrt(B).
        n_signal: injected events in the signal region.
        n_signal_passing: those that pass.
        n_signal_estimated: what the hunt measures of these.
        error: standard deviation of the estimate.
    """

    strength: float
    n_signal: int
    n_signal_passing: float
    n_signal_estimated: float
    error: float


@dataclass(frozen=True, kw_only=True)
class Uniformity:
    """Whether p-values are uniform.

    Attributes:
        n: how many there are.
        ks_p: p-value of Kolmogorov and Smirnov's test.
        share_below_5_percent: share of p-values below 0.05.
        interval_5_percent: 95 % Clopper-Pearson interval of that rate.
        share_below_1_percent: share of p-values below 0.01.
        interval_1_percent: 95 % Clopper-Pearson interval of that rate.
        passes: `ks_p` above 0.05 and both nominal rates inside their intervals.
        conservative: whether all that fails is on the safe side.
    """

    n: int
    ks_p: float
    share_below_5_percent: float
    interval_5_percent: tuple[float, float]
    share_below_1_percent: float
    interval_1_percent: tuple[float, float]
    passes: bool
    conservative: bool


@dataclass(frozen=True, kw_only=True)
class Verdict(Uniformity):
    """Uniformity of one hunt's p-values.

    Attributes:
        window: name of the window.
        method: name of the method.
        eps_bkg: working point.
    """

    window: str
    method: str
    eps_bkg: float


@dataclass(frozen=True, kw_only=True)
class WindowVerdict(Uniformity):
    """Uniformity of the one p-value of a window.

    Attributes:
        window: name of the window.
        p: of every pseudo-experiment, of the smallest p-value of the window's tests.
    """

    window: str
    p: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class JointVerdict(WindowVerdict):
    """The same of the test of all working points of one method.

    Attributes:
        method: name of the method.
    """

    method: str


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Tests of a pseudo-experiment, of those that the configuration quotes.

    Attributes:
        tests: how many there are: windows x methods, and x working points where these are tested one by one.
        effective: independent ones that give smallest p-values like theirs.
        p_global: of every pseudo-experiment, of the smallest of its p-values, with the events that hunts share.
        p_sidak: the same as if they were independent.
        n_shared: pseudo-experiments that have kept which events hunts share; of 0, `p_global` is as if these were independent, too.
        verdict: on `p_global`.
        windows: the same for each window by itself.
    """

    tests: int
    effective: float
    p_global: tuple[float, ...]
    p_sidak: tuple[float, ...]
    n_shared: int
    verdict: Uniformity
    windows: tuple[WindowVerdict, ...]


@artefact("background_only", "document")
@dataclass(frozen=True, kw_only=True)
class BackgroundOnly:
    """Pseudo-experiments of the whole chain without signal.

    Attributes:
        n_toys: pseudo-experiments.
        verdicts: per window, method and working point.
        trials: all hunts of a pseudo-experiment together.
        joint: all working points of each window and method in one test.
        p_local: all p-values.
        experiments: every measurement.
    """

    n_toys: int
    verdicts: tuple[Verdict, ...]
    trials: Trials
    joint: tuple[JointVerdict, ...]
    p_local: tuple[float, ...]
    experiments: tuple[NullMeasured, ...]


@dataclass(frozen=True, kw_only=True)
class Linearity:
    """A straight line through measured against true signal, and the pulls.

    Attributes:
        n: measurements.
        slope: of the line.
        slope_error: scaled by the scatter.
        intercept: of the line.
        pull_mean: mean of (estimated - true) / error.
        pull_mean_error: standard error of `pull_mean`.
        pull_sd: width of the pulls.
        pull_sd_error: standard error of `pull_sd`.
        coverage_68: share of pulls below 1 in size.
        passes: slope 1 +- 0.1, mean pull below 0.3, width 0.85 to 1.15.
    """

    n: int
    slope: float
    slope_error: float
    intercept: float
    pull_mean: float
    pull_mean_error: float
    pull_sd: float
    pull_sd_error: float
    coverage_68: float
    passes: bool


@dataclass(frozen=True, kw_only=True)
class SignalFit(Linearity):
    """Linearity of one hunt.

    Attributes:
        method: name of the method.
        eps_bkg: working point.
    """

    method: str
    eps_bkg: float


@dataclass(frozen=True, kw_only=True)
class EfficiencyPoint:
    """Signal efficiency at one strength: mean over pseudo-experiments.

    Attributes:
        method: name of the method.
        eps_bkg: working point.
        strength: injected signal in units of sqrt(B).
        n_signal: mean number of injected events in the signal region.
        eps_sig: share of these that passes.
        eps_sig_error: standard error of `eps_sig`.
        z_median: median local significance.
    """

    method: str
    eps_bkg: float
    strength: float
    n_signal: float
    eps_sig: float
    eps_sig_error: float
    z_median: float


@artefact("injection", "document")
@dataclass(frozen=True, kw_only=True)
class SignalResponse:
    """Pseudo-experiments with injected signals.

    Attributes:
        fits: linearity per method and working point.
        efficiency: against injected signal.
        points: every measurement.
        slope: of the first fit.
        pull_mean: of the first fit.
        pull_sd: of the first fit.
    """

    fits: tuple[SignalFit, ...]
    efficiency: tuple[EfficiencyPoint, ...]
    points: tuple[SignalMeasured, ...]
    slope: float | None
    pull_mean: float | None
    pull_sd: float | None


@dataclass(frozen=True, kw_only=True)
class CrossSection:
    """Limit on a cross-section in fb.

    Attributes:
        obs: observed.
        exp: expected at -2, -1, 0, 1, 2 standard deviations.
    """

    obs: float
    exp: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class SignalLimit:
    """Limit on the signal in the signal region before the selection.

    Attributes:
        window: name of the window.
        method: name of the method.
        eps_bkg: working point.
        n_signal_obs: observed limit on signal events.
        n_signal_exp: expected ones at -2, -1, 0, 1, 2 standard deviations.
        cross_section_fb: the same over the luminosity; null without one.
    """

    window: str
    method: str
    eps_bkg: float
    n_signal_obs: float
    n_signal_exp: tuple[float, ...]
    cross_section_fb: CrossSection | None


@artefact("limits", "document")
@dataclass(frozen=True, kw_only=True)
class SignalLimits:
    """Limits on the signal before the selection.

    Attributes:
        luminosity_ifb: integrated luminosity; null without one.
        limits: per method and working point.
    """

    luminosity_ifb: float | None
    limits: tuple[SignalLimit, ...]
