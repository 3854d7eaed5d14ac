"""Somebody else's background for a mass spectrum: a table of other events, or a histogram that was predicted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cathode.artefacts import artefact
from cathode.errors import DataError
from cathode.regions import count_in_bins

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ReferenceHistogram:
    """A predicted mass spectrum.

    Attributes:
        edges: (k + 1) of its bins (GeV), rising.
        expected: (k) background events per bin, in any units: the scan fits their sum.
        error: (k) standard deviations of `expected` in the same units, independent from bin to bin; 0 where it is known.
    """

    edges: Array
    expected: Array
    error: Array

    def __post_init__(self) -> None:
        edges, expected, error = (np.asarray(v, dtype=float) for v in (self.edges, self.expected, self.error))
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "expected", expected)
        object.__setattr__(self, "error", error)
        if edges.ndim != 1 or expected.shape != error.shape or edges.shape != (len(expected) + 1,):
            raise DataError(
                f"reference: found {edges.shape} edges, {expected.shape} expected and {error.shape} errors, expected (k + 1,), (k,) and (k,)"
            )
        if not all(np.isfinite(v).all() for v in (edges, expected, error)) or (np.diff(edges) <= 0).any():
            raise DataError(
                "reference: found edges that do not rise or values that are not finite, expected a histogram"
            )
        if (expected < 0).any() or (error < 0).any() or expected.sum() <= 0:
            raise DataError(
                "reference: found negative events or errors or no event at all, expected a histogram of background"
            )


@artefact("reference", "npz")
@dataclass(frozen=True, kw_only=True)
class Reference:
    """What stands for the background of the inclusive scan.

    Attributes:
        mass: (m,) of other events (GeV); empty with a histogram.
        histogram: a predicted spectrum, or None.
        inputs: SHA-256 of the files behind it, by name.
    """

    mass: Array = field(default_factory=lambda: np.empty(0))
    histogram: ReferenceHistogram | None = None
    inputs: dict[str, str] = field(default_factory=dict)


def histogram_of(reference: Array | ReferenceHistogram, edges: Array) -> ReferenceHistogram:
    """The reference in the bins of a scan: masses `(m,)` of other events are counted there, a histogram keeps its own bins between the first and the last edge.

    Raises DataError for fewer than a hundred events, or eight bins, in between.
    """
    low, high = edges[0], edges[-1]
    if isinstance(reference, ReferenceHistogram):
        inside = np.flatnonzero((reference.edges >= low) & (reference.edges <= high))
        if len(inside) < 9:
            raise DataError(
                f"reference: found {max(len(inside) - 1, 0)} whole bins between {low:g} and {high:g} GeV, expected at least 8"
            )
        bins = slice(int(inside[0]), int(inside[-1]))
        return ReferenceHistogram(
            edges=reference.edges[inside], expected=reference.expected[bins], error=reference.error[bins]
        )
    mass = np.asarray(reference, dtype=float)
    if mass.ndim != 1 or not np.isfinite(mass).all():
        raise DataError("reference: found no column of finite masses, expected one, or a ReferenceHistogram")
    counts = count_in_bins(mass, np.stack([edges[:-1], edges[1:]], axis=1)).astype(float)
    if counts.sum() < 100:
        raise DataError(
            f"reference: found {counts.sum():.0f} events between {low:g} and {high:g} GeV, expected at least 100 (in GeV, as the data)"
        )
    return ReferenceHistogram(edges=edges, expected=counts, error=np.sqrt(counts))
