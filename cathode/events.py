"""The tables that every stage after intake works on: recorded events, their truth, and background made for a signal region."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cathode.artefacts import artefact
from cathode.errors import DataError
from cathode.regions import Interval, in_interval

Array = NDArray[np.float64]

EXACT = 2**53  # up to which 64-bit floats hold every integer
_KINDS = {
    "c": "complex numbers",
    "M": "dates",
    "m": "durations",
    "O": "text or Python objects",
    "U": "text",
    "S": "text",
    "T": "text",
    "V": "records",
}


@artefact("events", "parquet")
@dataclass(frozen=True)
class Events:
    """Validated events. Truth labels are not part of it: they live in `Labels`, which only the evaluation reads.

    Attributes:
        names: feature names, in the order of the columns of `features`.
        row: (n,) row number in the input.
        mass: (n,) resonant variable in GeV.
        features: (n, d).
        carried: names of columns that no model sees, as run and event numbers.
        identifiers: their values, each (n,), as they were read.
    """

    names: tuple[str, ...]
    row: NDArray[np.int64]
    mass: Array
    features: Array
    carried: tuple[str, ...] = ()
    identifiers: tuple[NDArray[Any], ...] = ()

    def __post_init__(self) -> None:
        n = len(self.mass)
        if self.features.shape != (n, len(self.names)) or self.row.shape != (n,):
            raise DataError(
                f"events: found row {self.row.shape}, mass {self.mass.shape}, features {self.features.shape}, "
                f"expected ({n},), ({n},), ({n}, {len(self.names)})"
            )

    @classmethod
    def from_frame(
        cls, table: Any, *, mass: str, features: Iterable[str], range: Interval | None = None, where: str = "table"
    ) -> Events:
        """Events of a DataFrame or of a dictionary of equally long arrays; `mass` in GeV.

        Args:
            table: columns by name.
            mass: column of the resonant variable.
            features: columns that the models see.
            range: keep masses in [low, high) only; None keeps all.
            where: what messages call the table.

        Raises DataError for a column that is absent, not numeric, or holds NaN or infinite values (count and first row).

        >>> table = {"m": [2900.0, 3100.0, 9000.0], "a": [1, 2, 3], "b": [0.1, 0.2, 0.3]}
        >>> events = Events.from_frame(table, mass="m", features=["a", "b"], range=(2300, 8000))
        >>> len(events), events.row.tolist(), events.features.tolist()
        (2, [0, 1], [[1.0, 0.1], [2.0, 0.2]])
        """
        columns = as_columns(table)
        names = tuple(features)
        for name in (mass, *names):
            if name not in columns:
                raise DataError(f"{where}: column {name} not found (columns: {', '.join(columns)})")
        row = np.arange(len(columns[mass]))
        m = numbers(columns[mass], mass, row, where)
        x = np.stack([numbers(columns[name], name, row, where) for name in names], axis=1)
        events = cls(names, row, m, x)
        return events if range is None else events[in_interval(m, range)]

    def __len__(self) -> int:
        return len(self.mass)

    def __getitem__(self, selection: NDArray[np.bool_] | NDArray[np.int64]) -> Events:
        return replace(
            self,
            row=self.row[selection],
            mass=self.mass[selection],
            features=self.features[selection],
            identifiers=tuple(values[selection] for values in self.identifiers),
        )

    def at(self, row: NDArray[np.integer]) -> NDArray[np.int64]:
        """Positions of the events with these input rows, which must be among those of the table."""
        order = np.argsort(self.row, kind="stable")
        return order[np.searchsorted(self.row, row, sorter=order)]


def as_columns(table: Any) -> dict[str, NDArray[Any]]:
    """Columns by name of a DataFrame or a mapping of arrays. Raises DataError for repeated names, unequal lengths and anything else."""
    if hasattr(table, "columns") and hasattr(table, "to_numpy"):
        names = [str(name) for name in table.columns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(f"table: column {twice[0]} occurs more than once, expected names of their own")
        columns = {name: _plain(table.iloc[:, j].to_numpy()) for j, name in enumerate(names)}
    elif isinstance(table, Mapping):
        columns = {str(name): _plain(np.asarray(values)) for name, values in table.items()}
    else:
        raise DataError(f"table: found {type(table).__name__}, expected a DataFrame or a dictionary of arrays")
    lengths = {name: len(values) if values.ndim else -1 for name, values in columns.items()}
    if len(set(lengths.values())) > 1 or -1 in lengths.values():
        raise DataError(f"table: columns differ in length: {lengths}")
    return columns


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """What pandas keeps as objects, but is numbers, as floats (None and NA are NaN); anything else as it is."""
    if values.dtype.kind != "O" or values.ndim != 1:
        return values
    absent = [v is None or type(v).__name__ == "NAType" for v in values]
    if not all(gone or isinstance(v, Real) for v, gone in zip(values, absent, strict=True)):
        return values
    return np.array([np.nan if gone else v for v, gone in zip(values, absent, strict=True)], dtype=np.float64)


def check_kind(values: NDArray[Any], name: str, where: str, *, exact: bool = False) -> None:
    """Raise DataError unless a column holds one real number per event, each of which 64-bit floats hold: its kind, not its values.

    `exact`: it is never made one, so larger integers are welcome. Dates, durations, complex numbers, text and objects are refused: as numbers they would mean something else, or lose a part.
    """
    if values.dtype.kind not in "biuf":
        found = _KINDS.get(values.dtype.kind, str(values.dtype))
        raise DataError(f"{where}: column {name} holds {found}, expected numbers")
    if values.ndim != 1:
        raise DataError(
            f"{where}: column {name} has shape {values.shape[1:]} in every event, expected one number per event"
        )
    if not exact and values.dtype.kind in "iu" and values.dtype.itemsize == 8 and len(values):
        large = (values > EXACT) | (values < -EXACT if values.dtype.kind == "i" else False)
        if np.any(large):
            raise DataError(
                f"{where}: column {name} has {int(large.sum())} integers beyond 2^53, which 64-bit floats do not hold, "
                f"first in row {int(np.argmax(large))}"
            )


def numbers(values: ArrayLike, name: str, row: NDArray[np.int64], where: str, *, say_row: bool = True) -> Array:
    """The rows `row` of a column as finite double precision numbers. Raises DataError with the column, the count and the first row.

    Without `say_row`, no row is named: when blind, its number would tell how many hidden events stand before it.
    """
    given = np.asarray(values)
    check_kind(given, name, where)
    out = np.asarray(given[row], dtype=np.float64)
    bad = ~np.isfinite(out)
    if bad.any():
        place = f", first in row {row[np.argmax(bad)]}" if say_row else ""
        raise DataError(
            f"{where}: column {name} has {int(bad.sum())} NaN or infinite values{place}; "
            "expected finite numbers (data.select can drop rows)"
        )
    return out


@artefact("labels", "parquet")
@dataclass(frozen=True)
class Labels:
    """Truth labels in the order of the events they belong to; empty when the input has none.

    Attributes:
        label: (n,) 1 for signal, 0 for background; length 0 without truth.
    """

    label: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @property
    def known(self) -> bool:
        """Whether the input had labels."""
        return len(self.label) > 0


@artefact("intake", "json")
@dataclass(frozen=True, kw_only=True)
class Intake:
    """What became of the events that were read. When blind, numbers that would tell how many are hidden are null.

    Attributes:
        read: events in the input.
        kept: events that the hunt works on.
        dropped: how many of the others went, by reason: `select` (the configuration's selection), `range` (mass outside), `injection`
            (labelled signal that was left out), `weight` (thinned out by their weights).
        duplicates: kept events that repeat an earlier one exactly.
        inputs: SHA-256 of every file that was read, by its name; empty for tables in memory and generated events.
        event_weight: what each kept event stands for where events had weights: the largest of these; null without weights.
        warnings: what is wrong with features or masses, and what to do, one line each.
    """

    read: int | None
    kept: int
    dropped: dict[str, int] | None
    duplicates: int
    inputs: dict[str, str] | None = field(default_factory=dict)
    event_weight: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What was read, kept and dropped.

        >>> Intake(read=50140, kept=48000, dropped={"select": 140, "range": 2000, "injection": 0}, duplicates=0).sentence
        '50140 events read, 48000 kept; dropped: 140 by data.select, 2000 outside windows.range'
        """
        if self.read is None or self.dropped is None:
            return f"{self.kept} events kept, none of them in a signal region"
        why = {
            "select": "by data.select",
            "range": "outside windows.range",
            "injection": "labelled signal set aside",
            "weight": "by their weights",
        }
        gone = [f"{n} {why.get(reason, reason)}" for reason, n in self.dropped.items() if n]
        return f"{self.read} events read, {self.kept} kept" + (f"; dropped: {', '.join(gone)}" if gone else "")

    @property
    def doubts(self) -> tuple[str, ...]:
        """What a reader of the results should know of the events, one line each."""
        doubts = []
        if self.duplicates:
            doubts.append(
                f"{self.duplicates} of {self.kept} events repeat an earlier one exactly: they count twice, and every error is too small"
            )
        if self.event_weight is not None:
            doubts.append(
                f"events had weights: yields and limits count kept events, each of which stands for {self.event_weight:.4g}"
            )
        return (*doubts, *self.warnings)


class Role(IntEnum):
    """What a reference event is for: classifiers learn from it, or it sets thresholds, or measures what they let through, or both."""

    TRAIN = 0
    THRESHOLD = 1
    EFFICIENCY = 2
    THRESHOLD_AND_EFFICIENCY = 3


@artefact("template", "parquet")
@dataclass(frozen=True, kw_only=True)
class Template:
    """Background made for a signal region.

    Attributes:
        names: feature names.
        mass: (n,) GeV.
        features: (n, d).
        member: (n,) density member that made the event.
        role: (n,) see `Role`.
        source: (n,) index of the recorded event behind it; without one, a number of its own. Events of one source are
            not independent: a classifier that is trained on some may not measure others.
        row: (n,) input row of that recorded event; -1 without one.
        weight: (n,) event weights.
        transported: whether events have recorded sources.
        n_bootstraps: R of the density ensemble.
        n_seeds: K of the density ensemble.
    """

    names: tuple[str, ...]
    mass: Array
    features: Array
    member: NDArray[np.integer]
    role: NDArray[np.integer]
    source: NDArray[np.integer]
    row: NDArray[np.integer]
    weight: Array
    transported: bool
    n_bootstraps: int
    n_seeds: int

    @property
    def held(self) -> NDArray[np.bool_]:
        """Mask `(n,)` of the events that classifiers are not trained on."""
        return np.asarray(self.role != Role.TRAIN)
