"""Mass regions: windows with a signal region and sidebands, and the pseudo signal regions of the closure test.

Masses are in GeV. Intervals are half open, [low, high).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cathode.errors import ConfigError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Interval = tuple[float, float]


@dataclass(frozen=True)
class ScanSettings:
    """Overlapping signal regions of one width, centred from `first` to `last` in steps of `step` (in `mass_unit`)."""

    first: float
    last: float
    width: float
    step: float


@dataclass(frozen=True)
class WindowSettings:
    """Where the hunt looks, in the unit of the input (`data.mass_unit`).

    Attributes:
        range: masses used at all.
        signal_regions: one window per entry.
        scan: instead of `signal_regions`, a series of them.
    """

    range: tuple[float, float] = (2300.0, 8000.0)
    signal_regions: tuple[tuple[float, float], ...] = ((3300.0, 3700.0),)
    scan: ScanSettings | None = None

    def __post_init__(self) -> None:
        low, high = self.range
        if not low < high:
            raise ConfigError(f"windows.range: found [{low:g}, {high:g}], expected the lower edge first")
        if low <= 0:
            raise ConfigError(f"windows.range: found lower edge {low:g}, expected a positive mass")
        if self.scan and (self.scan.step <= 0 or self.scan.width <= 0 or self.scan.last < self.scan.first):
            raise ConfigError("windows.scan: expected first <= last and positive width and step")
        if not self.intervals():
            raise ConfigError("windows.signal_regions: found none, expected at least one [low, high]")
        for a, b in self.intervals():
            if not a < b:
                raise ConfigError(f"windows.signal_regions: found [{a:g}, {b:g}], expected the lower edge first")
            if not (low < a and b < high):
                raise ConfigError(
                    f"windows.signal_regions: found [{a:g}, {b:g}], expected it strictly inside range "
                    f"[{low:g}, {high:g}] with a sideband on both sides"
                )
        names = [_window_name(a, b) for a, b in self.intervals()]
        if len(set(names)) < len(names):
            raise ConfigError(f"windows.signal_regions: two regions share a centre: {', '.join(names)}")

    def intervals(self) -> list[Interval]:
        """The signal regions, from the list or from the scan."""
        if self.scan is None:
            return [(float(a), float(b)) for a, b in self.signal_regions]
        s = self.scan
        n = int(np.floor((s.last - s.first) / s.step + 1e-9)) + 1
        centres = [s.first + i * s.step for i in range(n)]
        return [(c - s.width / 2, c + s.width / 2) for c in centres]

    def windows(self, unit: float = 1.0) -> dict[str, Window]:
        """Windows by name, in GeV; `unit` is one input mass unit in GeV."""
        span = (self.range[0] * unit, self.range[1] * unit)
        found = (Window(_window_name(a * unit, b * unit), (a * unit, b * unit), span) for a, b in self.intervals())
        return {w.name: w for w in found}


def _window_name(low: float, high: float) -> str:
    return "m" + f"{(low + high) / 2:.10g}".replace(".", "p")


def in_interval(mass: Array, interval: Interval) -> Mask:
    """Mask of masses in [low, high)."""
    return (mass >= interval[0]) & (mass < interval[1])


@dataclass(frozen=True)
class Window:
    """A signal region, the range it is hunted in, and everything that is hidden from background models.

    Attributes:
        name: `m` and the centre in GeV.
        signal: signal region (GeV); in a closure test, the interval in which closure is measured.
        range: masses used at all.
        hidden: intervals that no background model of this window may see; always covers `signal`.
    """

    name: str
    signal: Interval
    range: Interval
    hidden: tuple[Interval, ...] = ()

    @property
    def width(self) -> float:
        """Width of the signal region in GeV."""
        return self.signal[1] - self.signal[0]

    @property
    def gap(self) -> Interval:
        """The hidden interval around the signal region (GeV): all that a model must bridge to reach it.

        Distances into the sidebands (strips, reach of fits and of transport) count from its edges and in its widths, so
        that a pseudo signal region inside a full-width gap is treated like the real one.
        """
        low, high = self.signal
        for _ in self.hidden:
            for a, b in self.hidden:
                if a <= high and b >= low:
                    low, high = min(low, a), max(high, b)
        return low, high

    def reach(self, span: float) -> Interval:
        """The range within `span` gap widths of the gap."""
        low, high = self.gap
        distance = span * (high - low)
        return max(self.range[0], low - distance), min(self.range[1], high + distance)

    def in_signal(self, mass: Array) -> Mask:
        """Events of the signal region."""
        return in_interval(mass, self.signal)

    def in_sideband(self, mass: Array) -> Mask:
        """Events that background models may be trained on: the range without the signal region and what is hidden."""
        mask = in_interval(mass, self.range)
        for interval in (self.signal, *self.hidden):
            mask &= ~in_interval(mass, interval)
        return mask

    def in_strips(self, mass: Array, span: float) -> tuple[Mask, Mask]:
        """The visible strips of `span` gap widths below and above the gap (CWoLa's reference)."""
        (start, end), (low_edge, high_edge) = self.reach(span), self.gap
        low = in_interval(mass, (start, low_edge))
        high = in_interval(mass, (high_edge, end))
        visible = self.in_sideband(mass)
        return low & visible, high & visible


def pseudo_windows(window: Window, sideband_mass: Array, number: int, guard: float = 0.5) -> list[Window]:
    """Disjoint pseudo signal regions in the sidebands of `window`, each at the centre of a full-width gap.

    The measuring intervals are disjoint, so that their counts are independent, and equally wide in log m. They run
    from half a gap above the lower end of the range up to the mass with 2 % of the sideband above it, so that a model
    has events on both sides. Around each a gap at least as wide as the real signal region is hidden together with the real one:
    closure is measured in the middle of the gap, where interpolation is hardest.

    They keep `guard` widths away from the real signal region: the tails of a signal there would look like non-closure, and
    the two hidden gaps would merge into one that is wider than any real one.

    Raises ConfigError when a sideband is too short or too empty for its share of `number`.
    """
    half_gap = window.width / 2
    below = sideband_mass[sideband_mass < window.signal[0]]
    if len(sideband_mass) < 100 or len(below) == 0:
        raise ConfigError(f"window {window.name}: {len(sideband_mass)} sideband events are too few for a closure test")
    first = window.range[0] + half_gap
    last = float(np.quantile(sideband_mass, 0.98))
    spans = [(first, window.signal[0] - guard * window.width), (window.signal[1] + guard * window.width, last)]
    lengths = [max(0.0, float(np.log(b / a))) if b > a else 0.0 for a, b in spans]
    if sum(lengths) <= 0:
        raise ConfigError(f"window {window.name}: the sidebands leave no room for pseudo signal regions")
    n_low = round(number * lengths[0] / sum(lengths))
    out: list[Window] = []
    for (a, b), n in zip(spans, (n_low, number - n_low), strict=True):
        edges = np.geomspace(a, b, n + 1) if n else np.array([])
        for low, high in itertools.pairwise(edges):
            centre = (low + high) / 2
            gap = (min(low, centre - half_gap), max(high, centre + half_gap))
            name = f"pseudo{len(out):02d}"
            out.append(Window(name, (float(low), float(high)), window.range, (window.signal, gap)))
    return out
