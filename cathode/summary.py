"""The machine-readable result of a run: all of its hunts, and the numbers that are of more than one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cathode.artefacts import artefact
from cathode.events import Intake
from cathode.results import HuntResult, Stage
from cathode.stats.joint import Joint
from cathode.usage import Timing


@dataclass(frozen=True, kw_only=True)
class Inclusive:
    """The signal region without any selection: events in it against the mass fit of the sidebands.

    Attributes:
        window: its name.
        signal_region: its edges (GeV).
        n_obs: events in the signal region.
        expected: background there by the mass fit of the sidebands.
        sigma: standard deviation of `expected` by the covariances of the fits and the spread between their orders 1 to 5; other families of functions are not in it.
        p: p-value; null where the mass fit describes its own sidebands badly.
        z: the same in standard deviations, positive for an excess.
    """

    window: str
    signal_region: tuple[float, float]
    n_obs: int
    expected: float
    sigma: float
    p: float | None
    z: float | None


@dataclass(frozen=True, kw_only=True)
class GlobalSignificance:
    """Significance of the smallest p-value over all windows, of the tests that the configuration quotes.

    Attributes:
        p_global: probability that the smallest of all is as small, from normal variables that are correlated as tests that share events are.
        z_global: the same in standard deviations.
        trials: tests counted: windows x methods, and x working points where these are tested one by one.
        trials_effective: independent ones that come to the same.
        p_sidak: what that many independent tests would give.
    """

    p_global: float | None
    z_global: float | None
    trials: int
    trials_effective: float | None
    p_sidak: float | None


@dataclass(frozen=True, kw_only=True)
class WindowSignificance:
    """One number of one window: the smallest p-value of its tests, after these trials.

    Attributes:
        window: its name.
        signal_region: its edges (GeV).
        method: of the smallest p-value.
        eps_bkg: working point of that method that has the smallest p-value by itself.
        p_local: the smallest p-value.
        z_local: the same in standard deviations.
        p: probability that the smallest of the window is as small, from normal variables that are correlated as tests that share events are.
        z: the same in standard deviations.
        trials: tests counted: methods, and x working points where these are tested one by one.
        trials_effective: independent ones that come to the same.
        p_joint: `p` where all working points of a method are one test.
        z_joint: the same in standard deviations.
        p_smallest: `p` where working points are tested one by one.
        z_smallest: the same in standard deviations.
        p_combined: `p` with the count of the window before any selection, by Fisher's product of both p-values; null where the mass fit gives none.
        z_combined: the same in standard deviations.
    """

    window: str
    signal_region: tuple[float, float]
    method: str
    eps_bkg: float
    p_local: float
    z_local: float
    p: float
    z: float
    trials: int
    trials_effective: float
    p_joint: float
    z_joint: float
    p_smallest: float
    z_smallest: float
    p_combined: float | None
    z_combined: float | None


@dataclass(frozen=True, kw_only=True)
class Excess:
    """What stands out in a scan, in however many windows it is seen.

    Attributes:
        window: where its p-value is smallest.
        signal_region: of that window (GeV).
        method: by which.
        eps_bkg: at which working point.
        p_local: its p-value there.
        z_local: the same in standard deviations.
        neighbours: windows that overlap that one or lie within half a width of it, and see 2 standard deviations or more of the same events or of their tails.
    """

    window: str
    signal_region: tuple[float, float]
    method: str
    eps_bkg: float
    p_local: float
    z_local: float
    neighbours: tuple[str, ...] = ()


@artefact("summary", "document")
@dataclass(frozen=True, kw_only=True)
class Summary:
    """The machine-readable result of a run.

    Attributes:
        run: name of the run.
        code_version: of cathode.
        config: the configuration, defaults included.
        config_sha256: checksum of everything in it that can change a number.
        n_events: events in the mass range.
        intake: what became of the events that were read.
        p_global: probability that the smallest p-value of all tests is as small, from normal variables that are correlated as tests that share events are.
        z_global: the same in standard deviations.
        trials: tests counted: windows x methods, and x working points where these are tested one by one.
        trials_effective: independent ones that come to the same.
        p_sidak: what that many independent tests would give.
        blind: whether the signal regions were left closed.
        hunts: one entry per window, method and working point.
        joint: all working points of each window and method in one test; empty when blind.
        windows: one number per window, in the order of the hunt; empty when blind.
        inclusive: the signal region of each window without a selection; empty when blind.
        excesses: what stands out by 3 standard deviations (local) or more, the largest first; neighbouring windows are one.
        timing: what the run took until here; it differs from run to run.
    """

    run: str
    code_version: str
    config: dict[str, Any]
    config_sha256: str
    n_events: int
    intake: Intake
    p_global: float | None
    z_global: float | None
    trials: int
    trials_effective: float | None
    p_sidak: float | None
    blind: bool
    hunts: tuple[HuntResult, ...]
    joint: tuple[Joint, ...] = ()
    windows: tuple[WindowSignificance, ...] = ()
    inclusive: tuple[Inclusive, ...] = ()
    excesses: tuple[Excess, ...] = ()
    timing: Timing = Timing()

    @property
    def window(self) -> WindowSignificance | None:
        """The window with the smallest p-value before its trials, which a report leads with; None when blind."""
        return min(self.windows, key=lambda w: w.p_local, default=None)

    @property
    def is_joint(self) -> bool:
        """Whether what is quoted is several working points in one test."""
        return bool(self.config["statistics"]["test"] == "joint") and len({h.eps_bkg for h in self.hunts}) > 1

    def joint_of(self, h: HuntResult) -> Joint | None:
        """All working points of a hunt's window and method in one test; None when blind and for methods that are no search."""
        return next((j for j in self.joint if (j.window, j.method) == (h.window, h.method)), None)

    def after(self) -> tuple[Stage, ...]:
        """What comes after the significance of the hunt that stands for the run: all working points in one test, where that is quoted, and the number of tests."""
        w = self.window
        if w is None or self.z_global is None:
            return ()
        joint = (Stage(source="joint", z=w.z_local),) if self.is_joint else ()
        return (*joint, Stage(source="trials", z=self.z_global))

    @property
    def best(self) -> HuntResult | None:
        """The hunt that stands for it: of the method that is quoted there, the working point with the smallest p-value; None when blind."""
        w = self.window
        if w is None:
            return None
        return next(h for h in self.hunts if (h.window, h.method, h.eps_bkg) == (w.window, w.method, w.eps_bkg))
