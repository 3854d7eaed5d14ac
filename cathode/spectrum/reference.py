"""Somebody else's background for a mass spectrum: a table of other events, or a histogram that was predicted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cathode.artefacts import artefact
from cathode.errors import DataError
from cathode.regions import count_in_bins
from cathode.spectrum.grid import MassGrid

Array = NDArray[np.float64]

_BINS = 8  # that a scan has at least
_SHARED = 0.02  # of masses that another sample may have, beyond chance
_LEAST = 10.0  # events behind a bin: errors are Gaussian there


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
        weight: (m,) of these events; None: each counts once.
        histogram: a predicted spectrum, or None.
        inputs: SHA-256 of the files behind it, by name.
    """

    mass: Array = field(default_factory=lambda: np.empty(0))
    weight: Array | None = None
    histogram: ReferenceHistogram | None = None
    inputs: dict[str, str] = field(default_factory=dict)


def histogram_of(
    reference: Array | Reference | ReferenceHistogram, edges: Array, widest: float
) -> tuple[ReferenceHistogram, bool]:
    """The reference in the bins of a scan, and whether its errors are those of counted events.

    Masses `(m,)` of other events are counted there, a histogram keeps its own bins between the first and the last edge. It ends before the first bin that stands for fewer than ten events, (expected / error)^2: what nobody has simulated is not what nobody expects.
    Raises DataError for fewer than eight bins before that, and for one wider than `widest` (GeV).
    """
    if isinstance(reference, Reference) and reference.histogram is not None:
        reference = reference.histogram
    counted = not isinstance(reference, ReferenceHistogram)
    if isinstance(reference, ReferenceHistogram):
        whole = _between(reference, float(edges[0]), float(edges[-1]))
    else:
        given = reference if isinstance(reference, Reference) else Reference(mass=np.asarray(reference, dtype=float))
        if given.mass.ndim != 1 or not np.isfinite(given.mass).all():
            raise DataError("reference: found no column of finite masses, expected one, or a ReferenceHistogram")
        bins = np.stack([edges[:-1], edges[1:]], axis=1)
        counts = count_in_bins(given.mass, bins, given.weight).astype(float)
        squares = counts if given.weight is None else count_in_bins(given.mass, bins, given.weight**2)
        if (counts < 0).any():
            k = int(np.argmax(counts < 0))
            raise DataError(
                f"reference: found weights that add up to {counts[k]:.3g} between {bins[k, 0]:g} and {bins[k, 1]:g} GeV, expected a background; "
                "a reference with so many negative weights needs more events"
            )
        if counts.sum() <= 0:
            raise DataError(
                f"reference: found 0 events between {edges[0]:g} and {edges[-1]:g} GeV, expected some (in GeV, as the data)"
            )
        whole = ReferenceHistogram(edges=edges, expected=counts, error=np.sqrt(squares))
    if (wide := float(np.diff(whole.edges).max())) > widest:
        raise DataError(
            f"reference: found a bin of {wide:g} GeV, expected at most the width of the signals ({widest:g} GeV)"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        behind = np.where(whole.error > 0, (whole.expected / whole.error) ** 2, np.inf)
    thin = np.flatnonzero((behind < _LEAST) | (whole.expected <= 0))
    end = int(thin[0]) if len(thin) else len(behind)
    if end < _BINS:
        low, high = whole.edges[end], whole.edges[min(end + 1, len(behind))]
        n = 0.0 if end == len(behind) or whole.expected[end] <= 0 else float(behind[end])
        raise DataError(
            f"reference: found what {n:.0f} events say between {low:g} and {high:g} GeV, expected at least {_LEAST:g} in each of the first {_BINS} bins "
            f"from {whole.edges[0]:g} GeV on"
        )
    kept = ReferenceHistogram(edges=whole.edges[: end + 1], expected=whole.expected[:end], error=whole.error[:end])
    return kept, counted


def _between(reference: ReferenceHistogram, low: float, high: float) -> ReferenceHistogram:
    inside = np.flatnonzero((reference.edges >= low) & (reference.edges <= high))
    if len(inside) <= _BINS:
        raise DataError(
            f"reference: found {max(len(inside) - 1, 0)} whole bins between {low:g} and {high:g} GeV, expected at least {_BINS}; its edges go from "
            f"{reference.edges[0]:g} to {reference.edges[-1]:g} GeV"
        )
    bins = slice(int(inside[0]), int(inside[-1]))
    return ReferenceHistogram(
        edges=reference.edges[inside], expected=reference.expected[bins], error=reference.error[bins]
    )


def refuse_own(mass: Array, reference: Array | Reference | ReferenceHistogram | None) -> None:
    """Raise DataError where masses `(n,)` are, to the last digit, among those of a reference, more often than chance makes of so many.

    Chance by the masses one step of a 32-bit float further. Masses that come in steps say nothing of whose they are.
    """
    other = reference.mass if isinstance(reference, Reference) else reference
    if other is None or isinstance(other, ReferenceHistogram) or MassGrid.of(mass) is not None:
        return
    known = np.asarray(other).astype(np.float32)
    own = mass.astype(np.float32)
    share = float(np.isin(own, known).mean() - np.isin(np.nextafter(own, np.float32(np.inf)), known).mean())
    if share > _SHARED:
        raise DataError(
            f"reference: found {share:.0%} of the scanned masses among its own, to the last digit: events are no background of themselves; expected others"
        )
