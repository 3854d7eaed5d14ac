"""Settings of the template, and which sideband events they take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cathode.errors import ConfigError
from cathode.ranges import check_ranges, within
from cathode.regions import Window, in_interval

LEAST_SOURCES = 100


@dataclass(frozen=True)
class TemplateSettings:
    """How the template is made from the background model.

    Attributes:
        base: `sidebands` transports recorded sideband events into the signal region: each is encoded by the density at
            its own mass and decoded at a mass of the signal region. What the density gets wrong at all masses alike
            cancels, and only its change with mass is interpolated. `model` samples the density from scratch, as published.
        guard: `sidebands`: how near to the signal region no events are taken, in its widths: a signal's tails there pose as background,
            which costs efficiency and biases its measurement. Pseudo signal regions of the closure test keep it, too.
        span: `sidebands`: how far beyond the guard events are taken, in widths of the signal region.
        measured: `sidebands`: at most so many of the recorded events, drawn by seed, set thresholds and measure efficiencies (all train
            classifiers); every density member makes a copy of each.
        oversampling: `model`: template events for classifier training, per event in the signal region.
        efficiency_oversampling: `model`: separate events that set thresholds and measure efficiencies, likewise.
        reweight: `none`, or `dctr`: weights from a classifier between recorded and generated sideband events.
    """

    base: Literal["sidebands", "model"] = "sidebands"
    guard: float = within(0.5, 0, 10)
    span: float = within(1.5, 0, 100, above=True)
    measured: int = within(200_000, 100, 1_000_000_000)
    oversampling: float = within(4.0, 1, 1000)
    efficiency_oversampling: float = within(50.0, 4, 1000)
    reweight: Literal["none", "dctr"] = "none"

    def __post_init__(self) -> None:
        if self.span <= 0:
            raise ConfigError(f"template.span: found {self.span:g}, expected a positive number of widths")
        if self.guard < 0:
            raise ConfigError(f"template.guard: found {self.guard:g}, expected 0 or more")
        if self.measured < LEAST_SOURCES:
            raise ConfigError(f"template.measured: found {self.measured}, expected at least {LEAST_SOURCES}")
        if self.oversampling < 1 or self.efficiency_oversampling < 4:
            raise ConfigError("template: expected oversampling >= 1 and efficiency_oversampling >= 4")
        check_ranges(self, "template")

    def near(self, window: Window, mass: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Visible sideband events of `mass (n,)` up to the outer end of `span`, the guard included."""
        return window.in_sideband(mass) & in_interval(mass, window.reach(self.guard + self.span))

    def sources(self, window: Window, mass: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Those of `near` that are transported: all beyond the guard."""
        return self.near(window, mass) & ~in_interval(mass, window.reach(self.guard))
