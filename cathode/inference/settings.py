"""Settings of the held-out closure test."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cathode.errors import ConfigError
from cathode.ranges import check_ranges, within
from cathode.template.settings import TemplateSettings


@dataclass(frozen=True)
class ClosureSettings:
    """The held-out closure test.

    Attributes:
        windows: pseudo signal regions that test a window, as many as there is room for. In a scan the other windows are such; the chain
            runs anew only in those that are missing (fillers).
        guard: distance that they keep from the real one, in its widths, at least 0.5; a signal's tails reach there.
        hide_windows: hide all windows from the background models of all pseudo signal regions, so that no event of a window has a part in the
            closure, and unblinding leaves it as it was validated. A blind hunt does so in any case; only with this key does the unblinded one, too. Windows do not test each other then, which makes a
            scan expensive or impossible, and models have a longer way to bridge.
        correlation_length: how far biases of neighbouring regions are alike, in widths of the window (in the log of the mass).
        bootstraps: density replicas per filler, nested as in the signal region, only fewer (ten instead of
            four members moved no closure by more than its error, at 1.5 times the price of the hunt).
        seeds: initialisations per replica, likewise.
        efficiency_oversampling: with template.base model: template events per event that set thresholds and measure efficiencies.
        per_job: fillers in one job; changes no number.
    """

    windows: int = within(12, 4, 100)
    guard: float = within(0.5, 0.5, 10)
    hide_windows: bool = False
    correlation_length: float = within(0.5, 0, 100, above=True)
    bootstraps: int = within(2, 2, 1000)
    seeds: int = within(2, 2, 1000)
    efficiency_oversampling: float = within(20.0, 4, 1000)
    per_job: int = within(4, 1, 1000)

    def __post_init__(self) -> None:
        if self.windows < 4:
            raise ConfigError(
                f"closure.windows: found {self.windows}, expected at least 4: with fewer, the non-closure's own "
                "uncertainty is unknown"
            )
        if self.windows > 100:
            raise ConfigError(f"closure.windows: found {self.windows}, expected at most 100: each is a training")
        if not self.guard >= 0.5:
            raise ConfigError(
                f"closure.guard: found {self.guard:g}, expected at least 0.5: nearer, pseudo signal regions would reach into the real one"
            )
        if self.per_job < 1:
            raise ConfigError(f"closure.per_job: found {self.per_job}, expected at least 1")
        if self.bootstraps < 2 or self.seeds < 2:
            raise ConfigError("closure: expected bootstraps >= 2 and seeds >= 2")
        check_ranges(self, "closure")

    def template(self, hunted: TemplateSettings) -> TemplateSettings:
        """How templates of fillers are made where those of windows are made as `hunted`: alike, but for the size of those that are sampled."""
        return replace(hunted, efficiency_oversampling=self.efficiency_oversampling)
