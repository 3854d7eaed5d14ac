"""Non-closure: how far the interpolated background misses the truth where there is no signal, in regions that test a window."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cathode.artefacts import artefact
from cathode.classifier.methods import is_reference
from cathode.classifier.scores import MethodScores, SplitScores
from cathode.errors import ConfigError
from cathode.events import Events
from cathode.inference.counts import PassingCounts, count_passing, passing
from cathode.inference.placement import LEAST_REGIONS, place_regions
from cathode.inference.settings import ClosureSettings
from cathode.regions import Interval, Window
from cathode.results import Overdispersion, OverdispersionTable
from cathode.stats.linked import link_effects
from cathode.stats.random_effects import RandomEffects, random_effects, spread, variance_of_ensemble
from cathode.stats.settings import StatisticsSettings

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

_EXCESS = 4.0  # standard deviations from which on a region may hold a signal, and tests nothing


@dataclass(frozen=True, kw_only=True)
class ClosurePoint:
    """Non-closure behind one working point.

    Attributes:
        eps_bkg: working point.
        n_windows: pseudo signal regions used.
        effects: log-bias expected in the window, its error and its scatter beyond known errors.
        sigma_boot: relative spread of the bootstraps in the pseudo signal regions.
        sigma_init: relative spread of the initialisations there.
        observed: counts per region.
        predicted: per region.
        relative_error: of the prediction (template and ensemble), per region, with counts of the template that are Poisson.
        template_error: the template's part of it; empty in files that were written before it was kept, where overdispersion leaves it as it is.
        correlation: of the counts, which share events where regions overlap.
        position: log of the mass of each over that of the window, in correlation lengths.
        floor: declared scatter.
        reached: background efficiency that the cuts let through on average, of events that took no part in choosing them; null where
            it was not measured.
    """

    eps_bkg: float
    n_windows: int
    effects: RandomEffects
    sigma_boot: float
    sigma_init: float
    observed: tuple[float, ...]
    predicted: tuple[float, ...]
    relative_error: tuple[float, ...]
    correlation: tuple[tuple[float, ...], ...]
    position: tuple[float, ...]
    floor: float
    reached: float | None = None
    template_error: tuple[float, ...] = ()

    def with_overdispersion(self, v: float) -> ClosurePoint:
        """The same regions, combined for counts of another overdispersion, behind this working point alone."""
        n, b, error = (np.array(a) for a in (self.observed, self.predicted, self.relative_error))
        if self.template_error:
            error = np.sqrt(error**2 + (v - 1) * np.array(self.template_error) ** 2)
        effects = random_effects(
            n,
            b,
            error,
            overdispersion=v,
            correlation=np.array(self.correlation),
            position=np.array(self.position),
            floor=self.floor,
        )
        return replace(self, effects=effects)


def link_points(points: Sequence[ClosurePoint], statistics: StatisticsSettings) -> tuple[ClosurePoint, ...]:
    """Points that were combined alone, each with what the others say of its bias, as configured."""
    if not statistics.link_working_points:
        return tuple(points)
    linked = link_effects([p.effects for p in points], [p.eps_bkg for p in points], [p.floor for p in points])
    return tuple(replace(p, effects=e) for p, e in zip(points, linked, strict=True))


@artefact("closure", "json")
@dataclass(frozen=True, kw_only=True)
class Closure:
    """Non-closure of one window and method.

    Attributes:
        window: what was tested.
        method: what was tested.
        names: the pseudo signal regions, by mass.
        intervals: their masses (GeV).
        points: per working point.
        left_out: regions that would test it, but hold what looks like a signal, or overlap one that does.
    """

    window: str
    method: str
    names: tuple[str, ...]
    intervals: tuple[Interval, ...]
    points: tuple[ClosurePoint, ...]
    left_out: tuple[str, ...] = ()

    @property
    def doubts(self) -> tuple[str, ...]:
        """What a reader must know of all its points."""
        if not self.left_out:
            return ()
        return (f"closure: {len(self.left_out)} pseudo signal regions may hold a signal, and were left out",)


@dataclass(frozen=True, eq=False)
class CountedRegion:
    """What one region counts.

    Attributes:
        name: of the region.
        interval: its masses (GeV).
        layout: bootstraps and initialisations of its density.
        counts: per working point.
        chosen: per working point, the input rows that pass and their shares of the fold splits.
    """

    name: str
    interval: Interval
    layout: tuple[int, int]
    counts: tuple[PassingCounts, ...]
    chosen: tuple[tuple[NDArray[np.integer], Array], ...]

    @classmethod
    def of(cls, splits: Sequence[SplitScores], working_points: Sequence[float]) -> CountedRegion:
        """From the scores of one region, once per fold split."""
        first, chosen = splits[0], []
        for eps in working_points:
            share = passing(splits, eps)
            hit = share > 0
            chosen.append((first.row[hit], share[hit]))
        counts = tuple(count_passing(splits, eps) for eps in working_points)
        layout = (first.n_bootstraps, first.n_seeds)
        return cls(first.window, first.interval, layout, counts, tuple(chosen))

    @property
    def centre(self) -> float:
        """Centre in GeV."""
        return (self.interval[0] + self.interval[1]) / 2

    def overlaps(self, other: CountedRegion) -> bool:
        """Whether both share masses."""
        return self.interval[0] < other.interval[1] and other.interval[0] < self.interval[1]


def combine_closure(
    events: Events,
    tests: list[MethodScores],
    scores: Iterable[MethodScores],
    overdispersion: Overdispersion | None = None,
    *,
    regions: tuple[Window, ...],
    working_points: tuple[float, ...] = (0.1, 0.01, 0.001),
    closure: ClosureSettings = ClosureSettings(),
    statistics: StatisticsSettings = StatisticsSettings(),
) -> tuple[Closure, ...]:
    """Combine the scored regions of one method into the non-closure of every window of the hunt, in its order.

    `tests` are the fillers, `scores` the windows themselves; without these where windows do not test each other. A region whose count exceeds
    what the others predict by more than 4 standard deviations, scatter included, may hold a signal, and is left out with all that overlap
    it. Regions of a window are combined by `random_effects`, with the correlation of counts that share events.
    """
    placed = place_regions(regions, events.mass, closure)
    counted: dict[str, CountedRegion] = {}
    method = ""
    for group in (tests, scores):
        for part in group:
            for splits in part.regions():
                counted[splits[0].window] = CountedRegion.of(splits, working_points)
                method = splits[0].method
    known = known_overdispersion(overdispersion, method, working_points, statistics)
    shared = _Shared()
    return tuple(
        combine_regions(
            window,
            method,
            [counted[name] for name in placed.testing[window.name]],
            working_points=working_points,
            overdispersion=known,
            statistics=statistics,
            correlation_length=closure.correlation_length,
            shared=shared,
        )
        for window in regions
    )


def combine_regions(
    window: Window,
    method: str,
    candidates: Sequence[CountedRegion],
    *,
    working_points: Sequence[float],
    overdispersion: Sequence[float],
    statistics: StatisticsSettings,
    correlation_length: float,
    shared: _Shared | None = None,
) -> Closure:
    """The non-closure of one window and method from the regions that test it; those with what looks like a signal are left out."""
    shared = shared or _Shared()
    floors = [statistics.floor(eps) for eps in working_points]
    length = correlation_length * float(np.log(window.signal[1] / window.signal[0]))
    used = _without_signal(candidates, floors, overdispersion, length, shared)
    position = _positions(used, window.centre, length)
    left_out = tuple(r.name for r in candidates if r not in used)
    if left_out:
        log.info("%s, %s: %s hold what looks like a signal, and test nothing", window.name, method, ", ".join(left_out))
    points = tuple(
        _point(used, i, eps, v, position, floor, shared)
        for i, (eps, v, floor) in enumerate(zip(working_points, overdispersion, floors, strict=True))
    )
    return Closure(
        window=window.name,
        method=method,
        names=tuple(r.name for r in used),
        intervals=tuple(r.interval for r in used),
        points=link_points(points, statistics),
        left_out=left_out,
    )


def _without_signal(
    candidates: Sequence[CountedRegion],
    floors: Sequence[float],
    overdispersion: Sequence[float],
    length: float,
    shared: _Shared,
) -> list[CountedRegion]:
    """The regions that hold nothing that looks like a signal behind any working point; at least as many as are needed.

    A region is compared with what those that do not overlap it predict for it, the scatter between them included: bad closure is no signal, and
    leaving out what closes worst would hide it. Deficits stay, which no signal makes.
    """
    kept = list(candidates)
    while True:
        excess = {
            r.name: max(
                _excess(r, kept, i, floor, v, length, shared)
                for i, (floor, v) in enumerate(zip(floors, overdispersion, strict=True))
            )
            for r in kept
        }
        worst = max(kept, key=lambda r: excess[r.name])
        left = [r for r in kept if not r.overlaps(worst)]
        if excess[worst.name] < _EXCESS or len(left) < LEAST_REGIONS:
            return kept
        kept = left


def _excess(
    region: CountedRegion,
    kept: Sequence[CountedRegion],
    index: int,
    floor: float,
    overdispersion: float,
    length: float,
    shared: _Shared,
) -> float:
    """Standard deviations by which a region's count lies above what the others predict; 0 where that is no more than two by counting alone."""
    c = region.counts[index]
    b = max(c.n_bkg, 1e-3)
    others = [r for r in kept if not r.overlaps(region)]
    seen = sum(r.counts[index].n_obs for r in others) / max(sum(r.counts[index].n_bkg for r in others), 1e-3)
    plain = b * max(seen, 1e-3)
    if len(others) < LEAST_REGIONS or c.n_obs - plain < 2 * float(np.sqrt(plain)):
        return 0.0
    position = _positions(others, region.centre, length)
    point = _point(others, index, c.eps_bkg, overdispersion, position, floor, shared)
    found = point.effects
    own = overdispersion / max(c.m, 1.0) + variance_of_ensemble(point.sigma_boot, point.sigma_init, region.layout)
    expected = b * float(np.exp(found.mu))
    error = np.sqrt(overdispersion * expected + expected**2 * (own + found.sigma**2))
    return float((c.n_obs - expected) / error)


def _positions(regions: Sequence[CountedRegion], centre: float, length: float) -> tuple[float, ...]:
    """Log of the mass of each region over that of `centre`, in correlation lengths."""
    return tuple(float(np.log(r.centre / centre)) / length for r in regions)


class _Shared:
    """Correlation of counts that share events, found once for all windows."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, int], float] = {}

    def between(self, a: CountedRegion, b: CountedRegion, point: int) -> float:
        """Sum s t / sqrt(sum s^2 sum t^2), s and t the shares of the fold splits that an event passes in either region."""
        if a.name == b.name:
            return 1.0
        key = (min(a.name, b.name), max(a.name, b.name), point)
        if key not in self._found:
            (rows, s), (others, t) = a.chosen[point], b.chosen[point]
            found = 0.0
            if a.overlaps(b) and len(rows) and len(others):
                _, i, j = np.intersect1d(rows, others, assume_unique=True, return_indices=True)
                found = float(s[i] @ t[j] / np.sqrt(s @ s * (t @ t)))
            self._found[key] = found
        return self._found[key]


def _point(
    regions: Sequence[CountedRegion],
    index: int,
    eps_bkg: float,
    overdispersion: float,
    position: tuple[float, ...],
    floor: float,
    shared: _Shared,
) -> ClosurePoint:
    """Non-closure behind one working point, from the counts of every region.

    The known error of each prediction holds the template's count and the ensemble's own errors there (bootstrap and
    initialisation, pooled over the regions), so that the scatter is what exceeds them and nothing is
    counted twice when the signal region adds its own ensemble errors. `overdispersion` is that of the counts, of the template's too.
    """
    counts = [r.counts[index] for r in regions]
    n = np.array([c.n_obs for c in counts])
    b = np.array([max(c.n_bkg, 1e-3) for c in counts])
    template = np.array([1 / max(c.m, 1.0) for c in counts])
    boot, init = _pooled_spread(regions, index)
    known2 = template + [variance_of_ensemble(boot, init, r.layout) for r in regions]
    error = np.sqrt(known2)
    correlation = np.array([[shared.between(a, c, index) for a in regions] for c in regions])
    return ClosurePoint(
        eps_bkg=eps_bkg,
        n_windows=len(regions),
        effects=random_effects(
            n,
            b,
            np.sqrt(known2 + (overdispersion - 1) * template),
            overdispersion=overdispersion,
            correlation=correlation,
            position=np.array(position),
            floor=floor,
        ),
        sigma_boot=boot,
        sigma_init=init,
        observed=tuple(n.tolist()),
        predicted=tuple(b.tolist()),
        relative_error=tuple(error.tolist()),
        template_error=tuple(np.sqrt(template).tolist()),
        correlation=tuple(tuple(row) for row in correlation.tolist()),
        position=position,
        floor=floor,
        reached=sum(c.n_bkg for c in counts) / max(sum(c.n_sr for c in counts), 1),
    )


def _pooled_spread(regions: Sequence[CountedRegion], index: int) -> tuple[float, float]:
    """Relative spreads of bootstraps and initialisations, over regions of one layout each, by their degrees of freedom; 0 without ensembles."""
    variances, weights = [], []
    for r, k in sorted({r.layout for r in regions}):
        of_layout = [r_.counts[index] for r_ in regions if r_.layout == (r, k)]
        filled = [c for c in of_layout if c.has_ensemble and sum(c.member_counts) > 0]
        if filled:
            members = np.array([c.member_counts for c in filled]).reshape(-1, r, k)
            variances.append(np.square(spread(members, independent=filled[0].independent_members)))
            weights.append([len(filled) * (r - 1), len(filled) * r * (k - 1)])
    if not variances:
        return 0.0, 0.0
    boot, init = np.sqrt(np.average(variances, axis=0, weights=weights)).tolist()
    return boot, init


def known_overdispersion(
    measured: OverdispersionTable | None, method: str, working_points: tuple[float, ...], statistics: StatisticsSettings
) -> tuple[float, ...]:
    """Overdispersion per working point: the configured number, or what calibration measured; 1 for reference methods.

    Raises ConfigError where a measured one is wanted and there is none.
    """
    if is_reference(method):
        return (1.0,) * len(working_points)
    if statistics.overdispersion != "calibrated":
        return (statistics.overdispersion,) * len(working_points)
    if measured is None:
        raise ConfigError(
            "statistics.overdispersion: found calibrated, expected the table that `snakemake` measures first"
        )
    return tuple(measured.of(method, eps) for eps in working_points)
