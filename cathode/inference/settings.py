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
        windows: pseudo signal regions in the sidebands, each with its own training of the whole chain.
        guard: distance that they keep from the real one, in its widths, at least 0.5; a signal's tails reach there.
        bootstraps: density replicas per pseudo signal region, nested as in the signal region, only fewer (ten instead of
            four members moved no closure by more than its error, at 1.5 times the price of the hunt).
        seeds: initialisations per replica, likewise.
        efficiency_oversampling: with template.base model: template events per event that set thresholds and measure efficiencies.
        per_job: pseudo signal regions in one job; changes no number.
    """

    windows: int = within(12, 4, 100)
    guard: float = within(0.5, 0.5, 10)
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

    @property
    def jobs(self) -> int:
        """Jobs that the pseudo signal regions are divided among."""
        return -(-self.windows // self.per_job)

    def template(self, hunted: TemplateSettings) -> TemplateSettings:
        """How templates of pseudo signal regions are made where that of the real one is made as `hunted`: without guard.

        A pseudo signal region holds no signal, and hidden together with the real one it has a long way to events on one side as it
        is. With a guard those low in the spectrum lose that side, and close worse than the real one (1.12 to 1.08 where that has
        1.06; without, their mean is 1.05).
        """
        return replace(hunted, guard=0.0, efficiency_oversampling=self.efficiency_oversampling)
