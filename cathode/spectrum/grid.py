"""Masses that come in steps: where bins must lie so that counts and integrals mean the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cathode.regions import Interval

Array = NDArray[np.float64]

_SHARE = 0.5  # distinct masses per event, above which there is no grid that bins would notice
_ROWS = 200_000  # masses looked at


@dataclass(frozen=True)
class MassGrid:
    """Masses offset + k step (GeV), each of which stands for all within half a step of it.

    An interval [a, b) then counts what belongs to its grid points, which is as wide as their number, not as b - a: rounded to 30 GeV,
    3000 - 3400 GeV holds fourteen points, 420 GeV.
    """

    offset: float
    step: float

    @classmethod
    def of(cls, mass: Array) -> MassGrid | None:
        """The grid of masses `mass (n,)`; None where they have none."""
        look = mass if len(mass) <= _ROWS else mass[np.linspace(0, len(mass) - 1, _ROWS).astype(int)]
        distinct = np.unique(look)
        if len(distinct) < 3 or len(distinct) > _SHARE * len(look):
            return None
        gaps = np.diff(distinct)
        step = float(np.min(gaps[gaps > 1e-3 * np.median(gaps)]))
        whole = (distinct - distinct[0]) / step
        step *= whole[-1] / np.round(whole[-1])  # the average of all, each rounded as it is stored
        whole = (distinct - distinct[0]) / step
        return cls(float(distinct[0]), step) if np.max(np.abs(whole - np.round(whole))) < 0.05 else None

    def snap(self, edges: Array) -> Array:
        """The edges that grid points from each edge on begin at, half a step below the first of them.

        >>> MassGrid(0.0, 30.0).snap(np.array([3000.0, 3400.0]))
        array([2985., 3405.])
        """
        first = np.ceil((edges - self.offset) / self.step - 1e-6)
        return np.asarray(self.offset + (first - 0.5) * self.step)


def on_grid(grid: MassGrid | None, bins: Array, counts: Array, interval: Interval) -> tuple[Array, Array, Interval]:
    """Bins `(b, 2)`, their counts `(b,)` and an interval as wide as what they count; bins without a grid point are left out."""
    if grid is None:
        return bins, counts, interval
    snapped = grid.snap(bins)
    kept = snapped[:, 1] > snapped[:, 0]
    low, high = grid.snap(np.array(interval)).tolist()
    return snapped[kept], counts[kept], (low, high)
