"""Trials of a scan whose windows overlap: fewer than windows, since neighbours count the same events."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def overlap_trials(
    intervals: Sequence[tuple[float, float]],
    yields: Sequence[float],
    *,
    seed: int,
    p_local: float = 1.35e-3,
    toys: int = 100_000,
) -> float:
    """Effective number of independent windows, from Poisson toys of overlapping `intervals` with background `yields`.

    Every piece between two edges gets events of its own, at the mean density of the windows that hold it; a window counts
    the sum of its pieces, as if two windows that share masses selected the same events there. (Each window has its own
    classifier, so the truth lies between this and no correlation, where the number of windows is exact.) Counts become p-values
    by their ranks, ties broken at random, and the trials are ln(1 - P(min p <= p_local)) / ln(1 - p_local).
    """
    edges = np.unique(np.array(intervals, dtype=float))
    low, high = edges[:-1], edges[1:]
    inside = np.array([(low >= a) & (high <= b) for a, b in intervals])
    density = np.array([y / (b - a) for (a, b), y in zip(intervals, yields, strict=True)])
    covered = inside.sum(axis=0)
    rate = np.where(covered > 0, (inside * density[:, None]).sum(axis=0) / np.maximum(covered, 1), 0.0) * (high - low)
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rate, (toys, len(rate))) @ inside.T + rng.random((toys, len(intervals)))
    order = np.argsort(np.argsort(-counts, axis=0), axis=0)
    smallest = (order.min(axis=1) + 0.5) / toys
    return float(np.log1p(-np.mean(smallest <= p_local)) / np.log1p(-p_local))
