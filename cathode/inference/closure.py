"""Non-closure: how far the interpolated background misses the truth where the truth is known, in the sidebands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cathode.artefacts import artefact
from cathode.classifier.methods import is_reference
from cathode.classifier.scores import MethodScores, SplitScores
from cathode.errors import ConfigError
from cathode.inference.counts import count_passing
from cathode.regions import Window
from cathode.results import Overdispersion, OverdispersionTable
from cathode.stats.random_effects import RandomEffects, random_effects, spread
from cathode.stats.settings import StatisticsSettings

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ClosurePoint:
    """Non-closure behind one working point.

    Attributes:
        eps_bkg: working point.
        n_windows: pseudo signal regions used.
        effects: mean log-bias, its error and its scatter beyond known errors.
        sigma_boot: relative spread of the bootstraps in the pseudo signal regions.
        sigma_init: relative spread of the initialisations there.
        observed: counts per window.
        predicted: per window.
        relative_error: of the prediction (template and ensemble), per window.
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
    reached: float | None = None

    @property
    def degrees_of_freedom(self) -> int:
        """Of the non-closure's scale: windows less the fitted mean."""
        return max(1, self.n_windows - 1)

    def with_overdispersion(self, v: float) -> ClosurePoint:
        """The same windows, combined for counts of another overdispersion."""
        n, b, error = (np.array(a) for a in (self.observed, self.predicted, self.relative_error))
        return replace(self, effects=random_effects(n, b, error, overdispersion=v))


@artefact("closure", "json")
@dataclass(frozen=True, kw_only=True)
class Closure:
    """Non-closure of one window and method.

    Attributes:
        window: what was tested.
        method: what was tested.
        names: the pseudo signal regions.
        intervals: the masses (GeV) in which each counts.
        points: per working point.
    """

    window: str
    method: str
    names: tuple[str, ...]
    intervals: tuple[tuple[float, float], ...]
    points: tuple[ClosurePoint, ...]


def combine_closure(
    tests: list[MethodScores],
    overdispersion: Overdispersion | None = None,
    *,
    window: Window,
    working_points: tuple[float, ...] = (0.1, 0.01, 0.001),
    statistics: StatisticsSettings = StatisticsSettings(),
) -> Closure:
    """Combine the scored pseudo signal regions of one window and method, each with its fold splits, by random effects."""
    regions = [splits for batch in tests for splits in batch.regions()]
    first = regions[0][0]
    known = known_overdispersion(overdispersion, first.method, working_points, statistics)
    return Closure(
        window=window.name,
        method=first.method,
        names=tuple(splits[0].window for splits in regions),
        intervals=tuple(splits[0].interval for splits in regions),
        points=tuple(closure_point(regions, eps, v) for eps, v in zip(working_points, known, strict=True)),
    )


def closure_point(regions: Sequence[Sequence[SplitScores]], eps_bkg: float, overdispersion: float) -> ClosurePoint:
    """Non-closure behind one working point, from the fold splits of every pseudo signal region.

    The known error of each prediction holds the template's count and the ensemble's own errors there (bootstrap and
    initialisation, pooled over the pseudo signal regions), so that the scatter is what exceeds them and nothing is
    counted twice when the signal region adds its own ensemble errors. `overdispersion` is that of the counts.
    """
    first = regions[0][0]
    r, k = first.n_bootstraps, first.n_seeds
    counts = [count_passing(splits, eps_bkg) for splits in regions]
    n = np.array([c.n_obs for c in counts])
    b = np.array([max(c.n_bkg, 1e-3) for c in counts])
    known2 = np.array([1 / max(c.m, 1.0) for c in counts])
    boot = init = 0.0
    filled = [c.member_counts for c in counts if c.has_ensemble and sum(c.member_counts) > 0]
    if filled:
        boot, init = spread(np.array(filled).reshape(-1, r, k), independent=first.independent_members)
        known2 = known2 + boot**2 * (1 + 1 / r) + init**2 / (r * k)
    error = np.sqrt(known2)
    return ClosurePoint(
        eps_bkg=eps_bkg,
        n_windows=len(regions),
        effects=random_effects(n, b, error, overdispersion=overdispersion),
        sigma_boot=boot,
        sigma_init=init,
        observed=tuple(n.tolist()),
        predicted=tuple(b.tolist()),
        relative_error=tuple(error.tolist()),
        reached=sum(c.n_bkg for c in counts) / max(sum(c.n_sr for c in counts), 1),
    )


def known_overdispersion(
    measured: OverdispersionTable | None, method: str, working_points: tuple[float, ...], statistics: StatisticsSettings
) -> tuple[float, ...]:
    """Overdispersion per working point: the configured number, or what calibration measured; 1 for reference methods.

    Raises ConfigError where a measured one is wanted and there is none.
    """
    if statistics.overdispersion != "calibrated":
        return (statistics.overdispersion,) * len(working_points)
    if is_reference(method):
        return (1.0,) * len(working_points)
    if measured is None:
        raise ConfigError(
            "statistics.overdispersion: found calibrated, expected the table that `snakemake` measures first"
        )
    return tuple(measured.of(method, eps) for eps in working_points)
