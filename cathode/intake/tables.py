"""Readers of tables in the usual formats: a file becomes a dictionary of equally long columns, only those that are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cathode.errors import DataError, reason
from cathode.hdf5 import open_table

Columns = dict[str, NDArray[np.generic]]
Choose = Callable[[tuple[str, ...]], Sequence[str]]


@dataclass(frozen=True)
class Table:
    """Columns of a file: the names of all, and the values of those that were chosen."""

    available: tuple[str, ...]
    columns: Columns


def read_table(path: Path, key: str | None, choose: Choose) -> Table:
    """Read of one file, by its ending, the columns that `choose` picks from those it has.

    Arrays of two dimensions are as many columns, `name_0`, `name_1`, ...; without a name of their own `c0`, `c1`, ...
    Raises DataError with the file's name for anything unreadable.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: found ending {path.suffix or '(none)'}, expected one of {', '.join(READERS)}")
    try:
        table = reader(path, key, choose)
    except DataError:
        raise
    except Exception as error:  # any library may raise anything on a damaged file
        raise DataError(f"{path}: not readable as {path.suffix[1:]}: {reason(error)}") from error
    lengths = {name: len(values) for name, values in table.columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{path}: columns differ in length: {lengths}")
    if not table.available or (lengths and next(iter(lengths.values())) == 0):
        raise DataError(f"{path}: found no events")
    return table


def _frame(frame: Any, choose: Choose) -> Table:
    names = tuple(str(name) for name in frame.columns)
    by_name = dict(zip(names, frame.columns, strict=True))
    return Table(names, {name: frame[by_name[name]].to_numpy() for name in choose(names)})


def _arrays(arrays: dict[str, Any], choose: Choose) -> Table:
    """Columns from arrays of one or two dimensions, which are read only when chosen."""
    parts: dict[str, tuple[str, int | None]] = {}
    for name, array in arrays.items():
        if array.ndim == 1:
            parts[name] = (name, None)
        elif array.ndim == 2:
            prefix = f"{name}_" if name else "c"
            parts |= {f"{prefix}{j}": (name, j) for j in range(array.shape[1])}
    names = tuple(parts)
    chosen = {}
    for column in choose(names):
        name, j = parts[column]
        chosen[column] = np.asarray(arrays[name][...] if j is None else arrays[name][:, j])
    return Table(names, chosen)


def _read_parquet(path: Path, key: str | None, choose: Choose) -> Table:
    with pq.ParquetFile(path) as file:
        names = tuple(file.schema_arrow.names)
        table = file.read(columns=list(choose(names)))
    return Table(names, {name: table.column(name).to_numpy() for name in table.column_names})


def _read_csv(path: Path, key: str | None, choose: Choose) -> Table:
    import pandas as pd

    return _frame(pd.read_csv(path), choose)


def _read_numpy(path: Path, key: str | None, choose: Choose) -> Table:
    if path.suffix.lower() == ".npz":
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return _arrays({name: arrays[name] for name in arrays.files}, choose)
    loaded = np.load(path, allow_pickle=False, mmap_mode="r")
    if loaded.dtype.names:
        return _arrays({name: loaded[name] for name in loaded.dtype.names}, choose)
    if loaded.ndim != 2:
        raise DataError(f"{path}: found an array of shape {loaded.shape}, expected (events, columns)")
    return _arrays({"": loaded}, choose)


def _read_hdf5(path: Path, key: str | None, choose: Choose) -> Table:
    with open_table(path, key) as table:
        names = tuple(table.columns)
        return Table(names, table.read(choose(names)))


def _read_root(path: Path, key: str | None, choose: Choose) -> Table:
    import uproot  # half a second that other formats need not pay

    with uproot.open(path) as file:
        trees = sorted(
            {name.split(";")[0] for name, kind in file.classnames().items() if kind in ("TTree", "ROOT::RNTuple")}
        )
        if key is None and len(trees) != 1:
            raise DataError(f"{path}: found trees {', '.join(trees) or 'none'}, expected data.key to name one")
        if key is not None and key not in trees:
            raise DataError(f"{path}: data.key {key} not found, the file has trees {', '.join(trees) or 'none'}")
        tree = file[key or trees[0]]
        names = tuple(tree.keys())
        columns = {}
        for name in choose(names):
            values = tree[name].array(library="np")
            if values.dtype == object:
                raise DataError(
                    f"{path}: branch {name} is jagged (another number of values in every event), expected one number per event"
                )
            columns[name] = values
        return Table(names, columns)


READERS: dict[str, Callable[[Path, str | None, Choose], Table]] = {
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".parquet": _read_parquet,
    ".root": _read_root,
    ".csv": _read_csv,
    ".npy": _read_numpy,
    ".npz": _read_numpy,
}
