"""Mass regions: windows with a signal region and sidebands.

Masses are in GeV. Intervals are half open, [low, high).
"""

from __future__ import annotations

import itertools
from dataclasses import MISSING, dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from cathode.errors import ConfigError
from cathode.ranges import check_ranges, within

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Interval = tuple[float, float]

_MOST_WINDOWS = 1000


@dataclass(frozen=True)
class ScanSettings:
    """Overlapping signal regions of one width, in the unit of the input (`data.mass_unit`).

    Attributes:
        first: centre of the first.
        last: centre of the last, or a little beyond it.
        width: of every signal region.
        step: from centre to centre.
    """

    first: float = within(MISSING, 0, 10_000_000, above=True)
    last: float = within(MISSING, 0, 10_000_000, above=True)
    width: float = within(MISSING, 0, 10_000_000, above=True)
    step: float = within(MISSING, 0, 10_000_000, above=True)

    def __post_init__(self) -> None:
        check_ranges(self, "windows.scan")


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
        if not all(np.isfinite(edge) for interval in (self.range, *self.signal_regions) for edge in interval):
            raise ConfigError("windows: found an edge that is infinite or no number, expected masses")
        if not low < high:
            raise ConfigError(f"windows.range: found [{low:g}, {high:g}], expected the lower edge first")
        if low <= 0:
            raise ConfigError(f"windows.range: found lower edge {low:g}, expected a positive mass")
        if self.scan and (self.scan.step <= 0 or self.scan.width <= 0 or self.scan.last < self.scan.first):
            raise ConfigError("windows.scan: expected first <= last and positive width and step")
        if self.scan and not (self.scan.last - self.scan.first) / self.scan.step < _MOST_WINDOWS:
            raise ConfigError(
                f"windows.scan: found steps of {self.scan.step:g} from {self.scan.first:g} to {self.scan.last:g}, "
                f"expected at most {_MOST_WINDOWS} windows"
            )
        if self.scan and self.signal_regions and self.signal_regions != type(self).signal_regions:
            raise ConfigError("windows: found signal_regions and scan, expected one of them")
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
    centre = Decimal(f"{(low + high) / 2:.10g}").normalize()  # never an exponent, which no file name should hold
    return "m" + f"{centre:f}".replace(".", "p")


def in_interval(mass: Array, interval: Interval) -> Mask:
    """Mask of masses in [low, high)."""
    return (mass >= interval[0]) & (mass < interval[1])


def count_in_bins(mass: Array, edges: Array, weight: Array | None = None) -> Array:
    """Events `(b,)`, or the sum of their weights, in bins `edges (b, 2)`, each half open, which need not touch."""
    order = np.argsort(mass, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(np.ones(len(mass)) if weight is None else weight[order])])
    low, high = np.searchsorted(mass[order], edges.T)
    return np.asarray(total[high] - total[low])


@dataclass(frozen=True)
class Window:
    """A signal region, the range it is hunted in, and everything that is hidden from background models.

    Attributes:
        name: `m` and the centre in GeV.
        signal: signal region (GeV).
        range: masses used at all.
        hidden: intervals that no background model of this window may see, besides `signal`.
    """

    name: str
    signal: Interval
    range: Interval
    hidden: tuple[Interval, ...] = ()

    @classmethod
    def around(cls, centre: float, *, width: float, range: Interval) -> Window:
        """The window whose signal region is `width` wide around `centre` (GeV), hunted in `range`.

        >>> window = Window.around(3500, width=400, range=(2300, 8000))
        >>> window.name, window.signal
        ('m3500', (3300.0, 3700.0))
        >>> window.in_sideband(np.array([2000.0, 3200.0, 3500.0, 3700.0]))
        array([False,  True, False,  True])
        """
        return cls.between(centre - width / 2, centre + width / 2, range=range)

    @classmethod
    def between(cls, low: float, high: float, *, range: Interval) -> Window:
        """The window with the signal region [low, high) (GeV), hunted in `range`. Raises ConfigError without a sideband on both sides."""
        return next(iter(WindowSettings(range=range, signal_regions=((low, high),)).windows().values()))

    @property
    def width(self) -> float:
        """Width of the signal region in GeV."""
        return self.signal[1] - self.signal[0]

    @property
    def centre(self) -> float:
        """Centre of the signal region in GeV."""
        return (self.signal[0] + self.signal[1]) / 2

    @property
    def gap(self) -> Interval:
        """The hidden interval around the signal region (GeV): all that a model must bridge to reach it.

        Distances into the sidebands (strips, reach of fits and of transport) count from its edges and in its widths.
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

    def visible_bins(self, low: float, high: float, per_width: int, at_least: int = 1) -> Array:
        """Bins `(b, 2)` of the visible sideband between `low` and `high`, none across a hidden interval.

        About `per_width` per gap width, and `at_least` so many in every piece.
        """
        hidden = sorted({self.signal, *self.hidden})
        cuts = sorted({low, high, *(min(max(e, low), high) for h in hidden for e in h)})
        width, edges = self.gap[1] - self.gap[0], []
        for a, b in itertools.pairwise(cuts):
            if not any(h[0] <= (a + b) / 2 < h[1] for h in hidden):
                fine = np.linspace(a, b, max(at_least, round((b - a) / width * per_width)) + 1)
                edges += list(itertools.pairwise(fine))
        return np.array(edges).reshape(-1, 2)

    def in_strips(self, mass: Array, span: float) -> tuple[Mask, Mask]:
        """The visible strips of `span` gap widths below and above the gap (CWoLa's reference)."""
        (start, end), (low_edge, high_edge) = self.reach(span), self.gap
        low = in_interval(mass, (start, low_edge))
        high = in_interval(mass, (high_edge, end))
        visible = self.in_sideband(mass)
        return low & visible, high & visible


def spectrum_peak(mass: Array, low: float) -> float:
    """Mass from which on a spectrum falls, above a turn-on: the upper edge of its fullest bin of 2.5 % width; `low` without a turn-on.

    `mass` holds all events from `low` up to some higher mass. A turn-on is where the spectrum begins lower than it is over the
    quarter of the mass that follows; a resonance on a level or falling spectrum is none, and one above a turn-on is not its peak:
    bins that stand out of those on both sides by more than 5 sigma and a half count as these.
    """
    n_bins = max(2, round(float(np.log(mass.max() / low)) / 0.025))
    edges = np.geomspace(low, mass.max(), n_bins + 1)
    counts, widths = np.histogram(mass, edges)[0], np.diff(edges)
    density, error = counts / widths, np.sqrt(counts + 1.0) / widths
    beside = [[density[max(0, i - 4) : max(0, i - 1)], density[i + 2 : i + 5]] for i in range(n_bins)]
    around = np.array(
        [max((float(np.median(side)) for side in sides if len(side)), default=np.inf) for sides in beside]
    )
    density = np.where(density > np.maximum(1.5 * around, around + 5 * error), around, density)
    begins, follows = density[:2].mean(), np.median(density[2:12]) if n_bins > 4 else density.max()
    if begins >= 0.9 * follows - 3 * error[:2].mean() / np.sqrt(2):
        return low
    return float(edges[int(np.argmax(density)) + 1])
