"""Non-closure: how far the interpolated background misses the truth where the truth is known, in the sidebands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cathode.classifier import Scores
from cathode.counts import count_passing
from cathode.errors import ConfigError
from cathode.stats.random_effects import RandomEffects, random_effects, spread
from cathode.template import TemplateSettings

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ClosureSettings:
    """The held-out closure test.

    Attributes:
        windows: pseudo signal regions in the sidebands, each with its own training of the whole chain.
        guard: distance that they keep from the real one, in its widths; a signal's tails reach there.
        bootstraps, seeds: density members per pseudo signal region, nested as in the signal region, only fewer (ten instead of
            four members moved no closure by more than its error, at 1.5 times the price of the hunt).
        efficiency_oversampling: with template.base model: template events per event that set thresholds and measure efficiencies.
        per_job: pseudo signal regions in one job; changes no number.
    """

    windows: int = 12
    guard: float = 0.5
    bootstraps: int = 2
    seeds: int = 2
    efficiency_oversampling: float = 20.0
    per_job: int = 4

    def __post_init__(self) -> None:
        if self.windows < 4:
            raise ConfigError(
                f"closure.windows: found {self.windows}, expected at least 4: with fewer, the non-closure's own "
                "uncertainty is unknown"
            )
        if self.windows > 100:
            raise ConfigError(f"closure.windows: found {self.windows}, expected at most 100: each is a training")
        if self.guard < 0:
            raise ConfigError(f"closure.guard: found {self.guard:g}, expected 0 or more")
        if self.per_job < 1:
            raise ConfigError(f"closure.per_job: found {self.per_job}, expected at least 1")
        if self.bootstraps < 2 or self.seeds < 2:
            raise ConfigError("closure: expected bootstraps >= 2 and seeds >= 2")

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


@dataclass(frozen=True)
class ClosurePoint:
    """Non-closure behind one working point.

    Attributes:
        eps_bkg: working point.
        n_windows: pseudo signal regions used.
        effects: mean log-bias, its error and its scatter beyond known errors.
        sigma_boot, sigma_init: relative ensemble spread in the pseudo signal regions.
        observed, predicted, relative_error: per window; the error is that of the prediction (template and ensemble).
    """

    eps_bkg: float
    n_windows: int
    effects: RandomEffects
    sigma_boot: float
    sigma_init: float
    observed: tuple[float, ...]
    predicted: tuple[float, ...]
    relative_error: tuple[float, ...]

    def with_overdispersion(self, v: float) -> ClosurePoint:
        """The same windows, combined for counts of another overdispersion."""
        n, b, error = (np.array(a) for a in (self.observed, self.predicted, self.relative_error))
        return replace(self, effects=random_effects(n, b, error, overdispersion=v))


@dataclass(frozen=True)
class Closure:
    """Non-closure of one window and method.

    Attributes:
        window, method: what was tested.
        names, intervals: the pseudo signal regions and the masses (GeV) in which each counts.
        points: per working point.
    """

    window: str
    method: str
    names: tuple[str, ...]
    intervals: tuple[tuple[float, float], ...]
    points: tuple[ClosurePoint, ...]


def measure_closure(
    window: str,
    regions: Sequence[Sequence[Scores]],
    working_points: tuple[float, ...],
    *,
    overdispersion: tuple[float, ...],
) -> Closure:
    """Combine the scored pseudo signal regions of one window and method, each with its fold splits, by random effects.

    The known error of each prediction holds the template's count and the ensemble's own errors there (bootstrap and
    initialisation, pooled over the pseudo signal regions), so that the scatter is what exceeds them and nothing is
    counted twice when the signal region adds its own ensemble errors. `overdispersion` is that of the counts.
    """
    firsts = [splits[0] for splits in regions]
    r, k = firsts[0].n_bootstraps, firsts[0].n_seeds
    points = []
    for eps, v in zip(working_points, overdispersion, strict=True):
        counts = [count_passing(splits, eps) for splits in regions]
        n = np.array([c.n_obs for c in counts])
        b = np.array([max(c.n_bkg, 1e-3) for c in counts])
        known2 = np.array([1 / max(c.m, 1.0) for c in counts])
        boot = init = 0.0
        filled = [c.member_counts for c in counts if c.has_ensemble and sum(c.member_counts) > 0]
        if filled:
            boot, init = spread(np.array(filled).reshape(-1, r, k), independent=firsts[0].independent_members)
            known2 = known2 + boot**2 * (1 + 1 / r) + init**2 / (r * k)
        error = np.sqrt(known2)
        effects = random_effects(n, b, error, overdispersion=v)
        points.append(
            ClosurePoint(eps, len(regions), effects, boot, init, *(tuple(map(float, v)) for v in (n, b, error)))
        )
    names, intervals = tuple(s.window for s in firsts), tuple(s.interval for s in firsts)
    return Closure(window, firsts[0].method, names, intervals, tuple(points))
