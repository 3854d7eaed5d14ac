"""Non-closure: how far the interpolated background misses the truth where the truth is known, in the sidebands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cathode.classifier import Scores
from cathode.counts import average_counts, count_passing
from cathode.errors import ConfigError
from cathode.stats.random_effects import RandomEffects, random_effects, spread

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
        repeats: fold splits over which the counts of a pseudo signal region are averaged. Where a classifier finds nothing real,
            another split selects other events: the average scatters less than a single count.
        members: classifiers per fold and repeat.
        per_job: pseudo signal regions in one job; changes no number.
    """

    windows: int = 12
    guard: float = 0.5
    bootstraps: int = 2
    seeds: int = 2
    efficiency_oversampling: float = 20.0
    repeats: int = 3
    members: int = 4
    per_job: int = 4

    def __post_init__(self) -> None:
        if self.windows < 4:
            raise ConfigError(
                f"closure.windows: found {self.windows}, expected at least 4: with fewer, the non-closure's own "
                "uncertainty is unknown"
            )
        if self.guard < 0:
            raise ConfigError(f"closure.guard: found {self.guard:g}, expected 0 or more")
        if min(self.per_job, self.repeats) < 1 or self.members < 4:
            raise ConfigError("closure: expected per_job >= 1, repeats >= 1 and members >= 4")
        if self.bootstraps < 2 or self.seeds < 2:
            raise ConfigError("closure: expected bootstraps >= 2 and seeds >= 2")

    @property
    def jobs(self) -> int:
        """Jobs that the pseudo signal regions are divided among."""
        return -(-self.windows // self.per_job)


@dataclass(frozen=True)
class ClosureTests:
    """Scored pseudo signal regions of one window and method, each once per repeat."""

    scores: tuple[Scores, ...]


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
    window: str, tests: list[Scores], working_points: tuple[float, ...], *, overdispersion: tuple[float, ...]
) -> Closure:
    """Combine the scored pseudo signal regions of one window and method by random effects.

    The known error of each prediction holds the template's count and the ensemble's own errors there (bootstrap and
    initialisation, pooled over the pseudo signal regions), so that the scatter is what exceeds them and nothing is
    counted twice when the signal region adds its own ensemble errors. `overdispersion` is that of single counts.
    """
    r, k = tests[0].n_bootstraps, tests[0].n_seeds
    names = tuple(dict.fromkeys(t.window for t in tests))
    points = []
    for eps, v in zip(working_points, overdispersion, strict=True):
        repeats = [[count_passing(t, eps) for t in tests if t.window == name] for name in names]
        counts = [average_counts(of_window) for of_window in repeats]
        n = np.array([c.n_obs for c in counts])
        b = np.array([max(c.n_bkg, 1e-3) for c in counts])
        known2 = np.array([1 / max(c.m, 1.0) for c in counts])
        boot = init = 0.0
        filled = [c.member_counts for c in counts if c.has_ensemble and sum(c.member_counts) > 0]
        if filled:
            boot, init = spread(np.array(filled).reshape(-1, r, k), independent=tests[0].independent_members)
            known2 = known2 + boot**2 * (1 + 1 / r) + init**2 / (r * k)
        error = np.sqrt(known2)
        effects = random_effects(
            n,
            b,
            error,
            overdispersion=overdispersion_of_average([[c.n_obs for c in of_window] for of_window in repeats], b, v),
        )
        points.append(
            ClosurePoint(eps, len(names), effects, boot, init, *(tuple(map(float, v)) for v in (n, b, error)))
        )
    intervals = {t.window: t.interval for t in tests}
    return Closure(window, tests[0].method, names, tuple(intervals[name] for name in names), tuple(points))


def overdispersion_of_average(counts: list[list[float]], b: Array, overdispersion: float) -> float:
    """Variance over Poisson of counts averaged over repeats, for `counts[w][r]` with expectations `b (W,)`.

    A single count has variance v b, and two repeats the covariance rho v b: they cut the same events with other folds. The
    variance s_w^2 between the repeats of one window has expectation (1 - rho) v b, which gives the average its variance
    v b (rho + (1 - rho) / R) = b (v - (1 - 1/R) S) with S = sum s_w^2 / sum b. Negative rho is not believed: at least v / R.
    With one repeat it is v itself. The differences hold those of the reference's selected events, too; averaging reduces both
    alike, so with the reference's full error added besides, the total variance is right though not its split. Not valid
    for windows with different v.
    """
    n_repeats = min(len(c) for c in counts)
    if n_repeats < 2:
        return overdispersion
    between = sum(float(np.var(c, ddof=1)) for c in counts) / float(b.sum())
    return max(overdispersion - (1 - 1 / n_repeats) * between, overdispersion / n_repeats)
