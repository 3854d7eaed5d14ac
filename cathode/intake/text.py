"""Tables in text files: comma, semicolon or tab between values, names in the first line or in the last comment above the numbers."""

from __future__ import annotations

import bz2
import csv
import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
from numpy.typing import NDArray

from cathode.errors import DataError, shown
from cathode.events import EXACT

_DELIMITERS = ",;\t"
_OPEN: dict[str, Callable[..., IO[str]]] = {".gz": gzip.open, ".bz2": bz2.open}
_TOP = 1000  # lines among which the values must begin


@dataclass(frozen=True)
class _Layout:
    """How a file is written: its columns (empty: one without a name), what stands between them, the lines above the values, and whether a delimiter ends each line of these."""

    names: tuple[str, ...]
    delimiter: str
    above: int
    ended: bool = False


def read_text(
    path: Path, choose: Callable[[tuple[str, ...]], Sequence[str]]
) -> tuple[tuple[str, ...], dict[str, NDArray[Any]]]:
    """Names of all columns of a text table, and the values of those that `choose` picks: numbers, or true and false.

    Lines that begin with # above the values are comments; the last of them names the columns where no other line does. Values that
    are absent are NaN. A delimiter at the end of every line is no column, and one without a name, as pandas writes its index, can be chosen by none. Raises DataError for lines of another length than the
    names, a chosen name that occurs twice, and values that are no numbers, with column, row and text.
    """
    layout = _layout(path)
    named = tuple(dict.fromkeys(name for name in layout.names if name))
    chosen = tuple(choose(named))
    if repeated := [name for name in chosen if layout.names.count(name) > 1]:
        raise DataError(f"{path}: found several columns called {repeated[0]}, expected names that differ")
    try:
        table = _read(path, layout, chosen, pa.float64())
        large = [name for name in chosen if len(table) and np.nanmax(np.abs(table[name]), initial=0) >= EXACT]
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error):
            raise
        table, large = {}, list(chosen)
    return named, {name: _exactly(name, path, layout) if name in large else table[name] for name in chosen}


def _read(path: Path, layout: _Layout, names: Sequence[str], kind: pa.DataType) -> dict[str, NDArray[Any]]:
    """Columns as one type. Raises ArrowInvalid for a value of another, and for lines of another length."""
    stored = [name or f"\0{j}" for j, name in enumerate(layout.names)]
    ended = stored[-1:] if layout.ended else []
    for name in {name for name in stored if stored.count(name) > 1}:  # not chosen; names must differ for the reader
        stored = [f"\0\0{j}" if other == name else other for j, other in enumerate(stored)]
    table = pc.read_csv(
        path,
        read_options=pc.ReadOptions(column_names=stored, skip_rows=layout.above),
        parse_options=pc.ParseOptions(delimiter=layout.delimiter),
        convert_options=pc.ConvertOptions(
            include_columns=[*names, *ended],
            column_types=dict.fromkeys(names, kind),
            strings_can_be_null=True,
            true_values=["true", "True", "TRUE"],
            false_values=["false", "False", "FALSE"],
        ),
    )
    if any(table.column(name).null_count < len(table) for name in ended):
        raise DataError(f"{path}: found more values in a line than names ({len(layout.names) - 1}), expected as many")
    return {name: np.asarray(table.column(name).to_numpy()) for name in names}


def _exactly(name: str, path: Path, layout: _Layout) -> NDArray[Any]:
    """A column that may hold large integers, true and false, or text, which is refused."""
    for kind in (pa.int64(), pa.uint64(), pa.float64(), pa.bool_()):
        try:
            return _read(path, layout, [name], kind)[name]
        except pa.ArrowInvalid:
            continue
    values = _read(path, layout, [name], pa.string())[name]
    row = next(i for i, value in enumerate(values) if value is not None and not _is_number(value))
    raise DataError(f"{path}: column {name} holds {shown(values[row])} in row {row}, expected a number")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _layout(path: Path) -> _Layout:
    heading = first = ""
    above = 0
    with _OPEN.get(path.suffix.lower(), open)(path, "rt", encoding="utf-8-sig", newline="") as file:
        for line in file:
            if above == _TOP or (line.strip() and not line.lstrip().startswith("#")):
                first = line
                break
            heading = line.lstrip().lstrip("#") if line.strip() else heading
            above += 1
        second = next((line for line in file if line.strip()), "")
    if not first:
        raise DataError(f"{path}: found no events")
    values = _split(first, max(_DELIMITERS, key=first.count))
    if not all(map(_is_number, filter(None, values))) or values == [str(j) for j in range(len(values))]:
        heading, first, above = first, second, above + 1
    elif not heading.strip():
        raise DataError(f"{path}: found numbers in the first line ({shown(first.strip()[:60])}), expected column names")
    for delimiter in sorted(set(_DELIMITERS) & set(heading), key=lambda d: -heading.count(d)) or ",":
        names = tuple(name.strip() for name in _split(heading, delimiter))
        n_values = len(_split(first, delimiter)) if first else len(names)
        if n_values == len(names):
            return _Layout(names, delimiter, above)
        if n_values == len(names) + 1:  # a delimiter at the end of every line of values
            return _Layout((*names, ""), delimiter, above, ended=True)
    names = tuple(_split(heading, ","))
    raise DataError(
        f"{path}: found {len(_split(first, ','))} values in a line and {len(names)} names, expected as many"
    )


def _split(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])
