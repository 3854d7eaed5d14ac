"""Settings of the statistical treatment, fixed before any signal region is looked at."""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cathode.errors import ConfigError
from cathode.ranges import check_ranges, within

_TAKEN = (
    "mu",
    "gen_stat",
    "ens_init",
    "boot_train",
    "counting",
    "nonclosure",
    "scatter",
    "sb_norm",
    "signal_efficiency",
    "known",
    "slope",
    "size",
)  # nuisances of every workspace


@dataclass(frozen=True)
class CalibrationSettings:
    """Pseudo-experiments: how many, how large, from what truth. `cathode calibrate` runs them: truth and injections of the first window, background-only hunts in all of them; a hunt with `statistics.overdispersion: calibrated` runs those of the classifier first.

    Attributes:
        classifier: pseudo-experiments of the classifier alone, data and reference drawn from one distribution.
        background: background-only pseudo-experiments of the whole chain.
        injections: the first so many of them are also run with an injected signal, and classifiers of its own.
        strengths: injected signal in units of sqrt(B), B the background in the signal region; one after the other in turn.
        events: background events in a pseudo-experiment of the whole chain; null: as many as in the data.
        truth: density that generates them, fitted to the sidebands. Better a family that the hunt does not use, so that
            a model that cannot be exact is part of the test.
        per_job: pseudo-experiments in one job; changes no number.
    """

    classifier: int = within(200, 2, 1_000_000)
    background: int = within(100, 2, 1_000_000)
    injections: int = within(60, 0, 1_000_000)
    strengths: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0)
    events: int | None = within(30000, 2000, 1_000_000_000)
    truth: Literal["spline", "maf", "histogram"] = "spline"
    per_job: int = within(10, 1, 1_000_000)

    def __post_init__(self) -> None:
        where = "statistics.calibration"
        for name in ("classifier", "background"):
            if getattr(self, name) < 2:
                raise ConfigError(
                    f"{where}.{name}: found {getattr(self, name)}, expected at least 2 pseudo-experiments"
                )
        if not 0 <= self.injections <= self.background:
            raise ConfigError(
                f"{where}.injections: found {self.injections}, expected 0 to background ({self.background})"
            )
        if self.per_job < 1:
            raise ConfigError(f"{where}.per_job: found {self.per_job}, expected at least 1")
        if not self.strengths or any(s < 0 for s in self.strengths):
            raise ConfigError(f"{where}.strengths: found {list(self.strengths)}, expected numbers >= 0")
        if self.events is not None and self.events < 2000:
            raise ConfigError(f"{where}.events: found {self.events}, expected at least 2000")
        check_ranges(self, "statistics.calibration")

    def batches(self, number: int) -> int:
        """Jobs that `number` pseudo-experiments are divided among."""
        return -(-number // self.per_job)

    def batch(self, index: int, number: int) -> range:
        """Pseudo-experiments of one job."""
        return range(index * self.per_job, min((index + 1) * self.per_job, number))


@dataclass(frozen=True)
class StatisticsSettings:
    """How counts become significances.

    Attributes:
        overdispersion: variance of the counts over Poisson: correlated folds raise it, averaging over fold splits lowers it.
            A number, at least 1, or `calibrated`: measured by pseudo-experiments of this very classifier first
            (statistics.calibration.classifier of them), which may find less. The default is an upper bound for the default
            classifier (results/reference/calibration).
        scatter_floor: standard deviation that the bias of a method has from region to region at least, in the log, as pairs of working point and
            floor, between which it goes as a power. Non-closure that the pseudo signal regions are too few to see is covered up to there, and only
            to there (docs/method.md).
        test: `joint` quotes all working points of a method in one test, `smallest` the smallest p-value among them, after these trials: what local and global
            significances of windows and of the run are of. Both stand in the results; which is quoted is fixed beforehand.
        joint_weights: of an event in the test of all working points together, by the tightest one that it passes; pairs of working point and weight, between
            which it goes as a power. Fixed beforehand: any weights give a valid p-value, good ones a small one (docs/method.md).
        link_working_points: let working points that count many events say, too, what the mean bias is behind those that count few: it changes from one to
            the next by steps of the size of `scatter_floor`. Without it each is measured alone.
        shift: `always` multiplies the background by the measured mean closure ratio; `positive` only if that raises it.
        limits: compute CLs upper limits.
        systematics: relative standard deviations of the size of a signal by name, as `{luminosity: 0.016, jet_energy_scale: 0.03}`: nuisances of limits and workspaces, each
            with one name in all windows. Shapes that vary with one are not varied: hand over the effect on the number of events that pass.
        luminosity: integrated luminosity in fb^-1, for limits on cross-sections; null: on events only.
        sqrt_s: collision energy in GeV; scale of the dijet functions of the mass fit. Masses beyond it use polynomials only.
        calibration: the pseudo-experiments.
    """

    overdispersion: float | Literal["calibrated"] = within(1.0, 1, 100)
    scatter_floor: tuple[tuple[float, float], ...] = ((0.1, 0.02), (0.01, 0.05), (0.001, 0.15))
    test: Literal["joint", "smallest"] = "joint"
    joint_weights: tuple[tuple[float, float], ...] = ((0.1, 0.05), (0.01, 0.4), (0.001, 1.0))
    link_working_points: bool = True
    shift: Literal["always", "positive"] = "always"
    limits: bool = True
    systematics: dict[str, float] = field(default_factory=dict)
    luminosity: float | None = within(None, 0, 1_000_000_000, above=True)
    sqrt_s: float = within(13000.0, 0, 10_000_000, above=True)
    calibration: CalibrationSettings = CalibrationSettings()

    def floor(self, eps_bkg: float) -> float:
        """The declared scatter at a working point: a power of it between neighbouring declared ones, and beyond the outermost."""
        return _between(self.scatter_floor, eps_bkg)

    def joint_weight(self, eps_bkg: float) -> float:
        """The weight of a working point in the joint test, likewise."""
        return _between(self.joint_weights, eps_bkg)

    def applied_shift(self, mean: float) -> float:
        """The log-shift of the background that a measured mean non-closure becomes."""
        return max(mean, 0.0) if self.shift == "positive" else mean

    def __post_init__(self) -> None:
        if self.luminosity is not None and self.luminosity <= 0:
            raise ConfigError(f"statistics.luminosity: found {self.luminosity:g}, expected a positive number of fb^-1")
        if self.overdispersion != "calibrated" and self.overdispersion < 1:
            raise ConfigError(
                f"statistics.overdispersion: found {self.overdispersion:g}, expected at least 1, or calibrated"
            )
        points = [eps for eps, _ in self.scatter_floor]
        if (
            not points
            or len(set(points)) < len(points)
            or not all(0 < eps < 1 and 0 <= t <= 5 for eps, t in self.scatter_floor)
        ):
            raise ConfigError(
                f"statistics.scatter_floor: found {[list(pair) for pair in self.scatter_floor]}, expected pairs of a working point in (0, 1), each once, "
                "and a standard deviation of 0 to 5, e.g. [[0.01, 0.05]]"
            )
        weights = [w for _, w in self.joint_weights]
        if (
            not weights
            or len({eps for eps, _ in self.joint_weights}) < len(weights)
            or not all(0 < eps < 1 and 0 < w <= 1000 for eps, w in self.joint_weights)
        ):
            raise ConfigError(
                f"statistics.joint_weights: found {[list(pair) for pair in self.joint_weights]}, expected pairs of a working point in (0, 1), each once, "
                "and a weight above 0 and up to 1000, e.g. [[0.1, 0.05], [0.001, 1]]"
            )
        check_systematics(self.systematics, "statistics.systematics")
        check_ranges(self, "statistics")


def check_systematics(systematics: Mapping[str, float], where: str) -> None:
    """Raise ConfigError for relative standard deviations by name that are none, or whose name no nuisance can have."""
    for name, sigma in systematics.items():
        check_nuisance(name, where)
        if not 0 < sigma <= 1:
            raise ConfigError(
                f"{where}.{name}: found {sigma:g}, expected a relative standard deviation above 0 and up to 1"
            )


def check_nuisance(name: str, where: str) -> None:
    """Raise ConfigError for a name that no nuisance of a workspace can have."""
    if not re.fullmatch(r"[A-Za-z]\w*", name) or name.startswith(_TAKEN):
        raise ConfigError(
            f"{where}: found name {name!r}, expected letters, digits and underscores, and none that begins with {', '.join(_TAKEN)}"
        )


def _between(pairs: tuple[tuple[float, float], ...], eps_bkg: float) -> float:
    """A value that is declared at working points, at another one: a power between neighbouring ones, and beyond the outermost."""
    declared = sorted(pairs)
    if len(declared) == 1 or min(value for _, value in declared) == 0:
        return min(declared, key=lambda pair: abs(math.log(pair[0] / eps_bkg)))[1]
    inner = [eps for eps, _ in declared[1:-1]]
    k = bisect.bisect_right(inner, eps_bkg)
    (a, low), (b, high) = declared[k], declared[k + 1]
    return float(low * (high / low) ** (math.log(eps_bkg / a) / math.log(b / a)))
