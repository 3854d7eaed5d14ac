"""Where pseudo signal regions lie: which windows of a hunt test each other, and the fillers that the rest of the range needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cathode.errors import ConfigError
from cathode.inference.settings import ClosureSettings
from cathode.regions import Interval, Window, spectrum_peak

Array = NDArray[np.float64]

LEAST_REGIONS = 4  # that test a window: with fewer, the scatter of non-closure is unknown
LEAST_EVENTS = 100  # in a region: five folds that hold twenty
LEAST_BESIDE = 60  # within half a width on either side: a model and a classifier learn from both
_BELOW = 99  # events below the first pseudo signal region
_TRIED = 201  # centres that are looked at
_ALIKE = 1.5  # ratio of widths up to which one region tests another
_DENSEST = 6  # regions per width, beyond which they count the same events


@dataclass(frozen=True)
class Placement:
    """The regions in which the chain runs, common to all windows of a hunt.

    Attributes:
        windows: those of the hunt.
        fillers: regions without a hunt of their own.
        testing: per window, the names of the regions that say how it closes, by mass.
    """

    windows: tuple[Window, ...]
    fillers: tuple[Window, ...]
    testing: dict[str, tuple[str, ...]]


def place_regions(windows: Sequence[Window], mass: Array, closure: ClosureSettings) -> Placement:
    """The pseudo signal regions of a hunt in `windows`, for events of masses `mass (n,)`.

    Each window is tested by about `closure.windows` whole regions of its own width, evenly spaced in log m but no denser than a sixth of a
    width, which keep `closure.guard` widths away from it: the tails of a signal there would look like non-closure. In a scan most of them are other
    windows, whose chains run anyway; fillers are what is missing. With `closure.hide_windows`, and where windows hide each other because the hunt is
    blind, there are fillers only, which hide every window and keep away from all; then no event of a window is looked at.

    Raises ConfigError for a window that fewer than 4 regions can test: its sidebands are too short or too empty.
    """
    hide_windows = are_hidden(windows, closure)
    hidden = _hidden(windows) if hide_windows else ()
    mass = mass[np.all([~w.in_signal(mass) for w in hidden], axis=0)] if hidden else mass
    ordered = np.sort(mass)
    fillers: list[Window] = []
    usable = {w.name: _Usable.of(w, ordered) for w in windows}
    avoid = {w.name: list(hidden) if hide_windows else [w] for w in windows}
    for window in windows:
        spans = usable[window.name].centres(avoid[window.name], closure.guard, window.width)
        others = [*([] if hide_windows else windows), *fillers]
        tested = [r for r in others if usable[window.name].admits(r, avoid[window.name], closure.guard)]
        for (a, b), n in zip(spans, _numbers(spans, closure.windows, window.width), strict=True):
            step = math.log(b / a) / max(n, 1)
            for k in range(n):
                centre = a * math.exp((k + 0.5) * step)
                if all(abs(math.log(centre / r.centre)) > 0.75 * step for r in tested):
                    filler = _filler(window, centre, hidden)
                    if any(filler.name == other.name for other in fillers):  # of another width
                        filler = replace(filler, name=f"{filler.name}w{window.width:g}".replace(".", "p"))
                    fillers.append(filler)
                    tested.append(filler)
    testing = {}
    for window in windows:
        candidates = sorted([*([] if hide_windows else windows), *fillers], key=lambda r: r.centre)
        own = usable[window.name]
        testing[window.name] = tuple(r.name for r in candidates if own.admits(r, avoid[window.name], closure.guard))
        if len(testing[window.name]) < LEAST_REGIONS:
            raise ConfigError(
                f"window {window.name}: the sidebands have room for {len(testing[window.name])} pseudo signal regions of {window.width:g} GeV, which "
                f"measure non-closure, expected at least {LEAST_REGIONS}; a wider windows.range or narrower windows would help"
            )
    return Placement(tuple(windows), tuple(fillers), testing)


def _numbers(spans: Sequence[Interval], wanted: int, width: float) -> list[int]:
    """Regions in each of some intervals of centres: by their lengths in log m, no denser than useful, but as many as are needed."""
    lengths = [math.log(b / a) for a, b in spans]
    share = [wanted * length / sum(lengths) for length in lengths]
    useful = [max(1, round(min(n, _DENSEST * (b - a) / width))) for n, (a, b) in zip(share, spans, strict=True)]
    if sum(useful) >= LEAST_REGIONS or not spans:
        return useful
    longest = int(
        np.argmax(lengths)
    )  # little room: regions that share most events, whose correlation says how little they know
    useful[longest] += LEAST_REGIONS - sum(useful)
    return useful


def are_hidden(windows: Iterable[Window], closure: ClosureSettings) -> bool:
    """Whether windows are hidden from every pseudo signal region, and so test each other not: as configured, or because the hunt is blind."""
    return closure.hide_windows or any(w.hidden for w in windows)


def _hidden(windows: Iterable[Window]) -> tuple[Window, ...]:
    """The windows, and as such every other region that is hidden from them: a quick hunt has one window of a blind scan, and may look at none."""
    found = {w.signal: w for w in windows}
    for w in tuple(found.values()):
        for interval in w.hidden:
            found.setdefault(interval, Window("hidden", interval, w.range))
    return tuple(found.values())


def jobs_of_fillers(windows: Iterable[Window], closure: ClosureSettings) -> int:
    """Jobs that fillers are divided among, known before there are events: for a full set per group of like windows."""
    widths: list[float] = []
    for width in sorted(w.width for w in windows):
        if not widths or width > _ALIKE * widths[-1]:
            widths.append(width)
    return -(-closure.windows * len(widths) // closure.per_job)


@dataclass(frozen=True)
class _Usable:
    """The part of the spectrum that may test a window: from an edge on, up to a centre, with events beyond.

    Where the window lies more than its own width above the peak of the spectrum, a region has to, too: nearer, models learn from the turn-on on one
    side, which such a hunt never has to interpolate (regions there close 10 to 15 % high on the demo). Else from where a hundred events lie below and half
    a width of the range, if the window has as much, so that a model and a classifier have events on both sides. Up to where 2 % of the events lie above, a width of range and events is left, and regions
    hold a hundred events.
    """

    width: float
    first: float
    last: float
    end: float

    @classmethod
    def of(cls, window: Window, ordered: Array) -> _Usable:
        low, high = window.range
        below = ordered[: np.searchsorted(ordered, window.signal[0])]
        if len(ordered) <= _BELOW or len(below) == 0:
            raise ConfigError(f"window {window.name}: {len(ordered)} sideband events are too few for a closure test")
        peak = spectrum_peak(below, low)
        above_peak = window.signal[0] - window.width >= peak > low
        begins = max(float(ordered[_BELOW]), low + min(window.width / 2, window.signal[0] - low))
        first = peak + window.width if above_peak else begins
        end, half = min(high, float(ordered[-1])), window.width / 2
        centres = np.linspace(first + half, min(float(np.quantile(ordered, 0.98)), end - 3 * half), _TRIED)
        enough = centres[_hold_enough(centres, window.width, ordered)]
        if len(enough) == 0 or centres[-1] <= centres[0]:
            return cls(window.width, end, low, end)  # no room
        return cls(window.width, float(enough[0]) - half, float(enough[-1]), end)

    def centres(self, avoid: Sequence[Window], guard: float, width: float) -> list[Interval]:
        """Intervals of the centres of regions of a `width` that keep `guard` widths away from some windows."""
        start, last = self.first + width / 2, min(self.last, self.end - 1.5 * width)
        out = []
        for w in sorted(avoid, key=lambda w: w.signal):
            away = guard * w.width + width / 2
            out.append((start, min(w.signal[0] - away, last)))
            start = max(start, w.signal[1] + away)
        return [(a, b) for a, b in (*out, (start, last)) if b > a]

    def admits(self, region: Window, avoid: Sequence[Window], guard: float) -> bool:
        """Whether a region may test the window: about as wide, and in the right place."""
        if not 1 / _ALIKE <= region.width / self.width <= _ALIKE:
            return False
        slack = 1e-6 * self.width
        return any(a - slack <= region.centre <= b + slack for a, b in self.centres(avoid, guard, region.width))


def _hold_enough(centres: Array, width: float, ordered: Array) -> NDArray[np.bool_]:
    """Whether regions around `centres (c,)` have events enough among masses in order, and some within half a width on both sides."""
    edges = centres[:, None] + width * np.array([-1.0, -0.5, 0.5, 1.0])
    beside_below, inside, beside_above = np.diff(np.searchsorted(ordered, edges), axis=1).T
    return np.asarray((inside >= LEAST_EVENTS) & (np.minimum(beside_below, beside_above) >= LEAST_BESIDE))


def _filler(window: Window, centre: float, hidden: Sequence[Window]) -> Window:
    half, (low, high) = window.width / 2, window.range
    digits = max(0, 2 - math.floor(math.log10(window.width)))  # tell apart what is a hundredth of a width apart
    name = f"pseudo{centre:.{digits}f}".replace(".", "p")
    signal = (max(centre - half, low), min(centre + half, high))
    return Window(name, signal, window.range, tuple(w.signal for w in hidden))
