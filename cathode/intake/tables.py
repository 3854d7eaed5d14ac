"""Readers of tables in the usual formats: a file becomes a dictionary of equally long columns."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cathode.errors import DataError
from cathode.intake.settings import DataSettings

Columns = dict[str, NDArray[np.generic]]


def input_files(data: DataSettings) -> list[Path]:
    """The files behind `data`, globs expanded in sorted order. Raises DataError for a path that matches nothing."""
    if data.source == "demo":
        with resources.as_file(resources.files("cathode") / "data" / "demo.parquet") as path:
            return [Path(path)]
    out: list[Path] = []
    for pattern in data.files:
        given = Path(pattern)
        found = [given] if given.exists() else sorted(given.parent.glob(given.name)) if "*" in given.name else []
        if not found:
            raise DataError(f"data.files: {pattern}: no such file (looked from {Path.cwd()})")
        out += found
    for path in out:
        if path.is_dir():
            raise DataError(f"{path}: found a directory, expected a file")
    twice = {str(p) for p in out if out.count(p) > 1}
    if twice:
        raise DataError(f"data.files: {', '.join(sorted(twice))} is listed more than once")
    return out


def read_table(path: Path, key: str | None) -> Columns:
    """Read one file by its ending. Raises DataError with the file's name for anything unreadable."""
    readers: dict[str, Callable[[Path, str | None], Columns]] = {
        ".h5": _read_hdf5,
        ".hdf5": _read_hdf5,
        ".parquet": _read_parquet,
        ".csv": _read_csv,
        ".npz": _read_npz,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: found ending {path.suffix or '(none)'}, expected one of {', '.join(readers)}")
    try:
        columns = reader(path, key)
    except DataError:
        raise
    except Exception as error:  # any library may raise anything on a damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{path}: not readable as {path.suffix[1:]}: {reason}") from error
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{path}: columns differ in length: {lengths}")
    if not columns or next(iter(lengths.values())) == 0:
        raise DataError(f"{path}: found no events")
    return columns


def _frame(frame: Any) -> Columns:
    return {str(name): frame[name].to_numpy() for name in frame.columns}


def _read_parquet(path: Path, key: str | None) -> Columns:
    table = pq.read_table(path)
    return {name: table.column(name).to_numpy() for name in table.column_names}


def _read_csv(path: Path, key: str | None) -> Columns:
    import pandas as pd

    return _frame(pd.read_csv(path))


def _read_npz(path: Path, key: str | None) -> Columns:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _read_hdf5(path: Path, key: str | None) -> Columns:
    import pandas as pd

    with h5py.File(path) as file:
        is_pandas = any("pandas_type" in node.attrs for node in file.values() if isinstance(node, h5py.Group))
        if not is_pandas:
            group = file[key] if key else file
            return {n: d[()] for n, d in group.items() if isinstance(d, h5py.Dataset) and d.ndim == 1}
        keys = [name for name, node in file.items() if "pandas_type" in node.attrs]
    if key is None and len(keys) > 1:
        raise DataError(f"{path}: found keys {', '.join(keys)}, expected data.key to name one")
    if key is not None and key not in keys:
        raise DataError(f"{path}: data.key {key} not found, the file has {', '.join(keys)}")
    return _frame(pd.read_hdf(path, key or keys[0]))
