"""Readers of tables in the usual formats: a file becomes a dictionary of equally long columns, only those that are needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cathode.errors import DataError, reason
from cathode.events import check_kind
from cathode.hdf5 import open_table
from cathode.intake.files import ENDINGS, ending, input_files, tree_key
from cathode.intake.settings import DataSettings
from cathode.intake.text import read_text

Columns = dict[str, NDArray[np.generic]]
Choose = Callable[[tuple[str, ...]], Sequence[str]]


@dataclass(frozen=True)
class Table:
    """Columns of a file: the names of all, and the values of those that were chosen."""

    available: tuple[str, ...]
    columns: Columns

    @property
    def events(self) -> int | None:
        """How many; None where no column was read."""
        return len(next(iter(self.columns.values()))) if self.columns else None


def read_table(path: Path, key: str | None, choose: Choose, *, exact: Collection[str] = ()) -> Table:
    """Read of one file, by its ending, the columns that `choose` picks from those it has.

    Arrays of two dimensions are as many columns, `name_0`, `name_1`, ...; without a name of their own `c0`, `c1`, ... One element
    of a vector is `name[0]` (NaN where the event has none), of which `choose` may pick any. A part `year=2016` of the path is a
    column `year` of a file that has none. Raises DataError with the file's name for anything unreadable, and for chosen columns
    that hold no numbers; those of `exact` may be larger than 64-bit floats hold.
    """
    reader = READERS.get(ending(path))
    if reader is None:
        raise DataError(f"{path}: found ending {path.suffix or '(none)'}, expected one of {', '.join(ENDINGS)}")
    parts = _partitions(path)
    picked: list[str] = []

    def pick(names: tuple[str, ...]) -> list[str]:
        picked.extend(choose((*names, *(name for name in parts if name not in names))))
        return [name for name in picked if name in names or element(name, names)]

    try:
        table = reader(path, key, pick)
    except DataError:
        raise
    except Exception as error:  # any library may raise anything on a damaged file
        raise DataError(f"{path}: not readable as {ending(path)[1:]}: {reason(error)}") from error
    lengths = {name: len(values) for name, values in table.columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{path}: columns differ in length: {lengths}")
    for name, values in table.columns.items():
        check_kind(values, name, str(path), exact=name in exact)
    n = next(iter(lengths.values()), 0)
    added = {name: np.full(n, parts[name]) for name in picked if name not in table.columns and name in parts}
    return Table((*table.available, *(name for name in parts if name not in table.available)), table.columns | added)


def column_names(data: DataSettings) -> set[str]:
    """Names of the columns of the first file."""
    return set(read_table(input_files(data)[0], tree_key(data), lambda names: list(names[:1])).available)


def element(name: str, names: Collection[str]) -> tuple[str, int] | None:
    """The vector and the position that `name[3]` means, where there is no column of that name but one of the vector's."""
    found = re.fullmatch(r"(.+)\[(\d{1,4})\]", name)
    return (found[1], int(found[2])) if found and name not in names and found[1] in names else None


def _partitions(path: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in path.parts[:-1]:
        name, equals, value = part.partition("=")
        try:
            found |= {name: float(value)} if name and equals and "_" not in value else {}
        except ValueError:
            continue
    return found


def _refuse_repeated(path: Path, names: Sequence[str], chosen: Sequence[str]) -> None:
    if repeated := [name for name in chosen if names.count(name) > 1]:
        raise DataError(f"{path}: found several columns called {repeated[0]}, expected names that differ")


def _arrays(arrays: dict[str, Any], choose: Choose, path: Path) -> Table:
    """Columns from arrays of one or two dimensions, which are read only when chosen."""
    parts: dict[str, tuple[str, int | None]] = {}
    twice: set[str] = set()
    for name, array in arrays.items():
        prefix = f"{name}_" if name else "c"
        columns = (
            [f"{prefix}{j}" for j in range(array.shape[1])] if array.ndim == 2 else [name] if array.ndim == 1 else []
        )
        twice |= parts.keys() & set(columns)
        parts |= {column: (name, j if array.ndim == 2 else None) for j, column in enumerate(columns)}
    names = tuple(parts)
    chosen = {}
    for column in choose(names):
        if column in twice:
            raise DataError(
                f"{path}: found several columns called {column} (an array, and an element of another), expected names that differ"
            )
        name, j = parts[column]
        chosen[column] = np.asarray(arrays[name][...] if j is None else arrays[name][:, j])
    return Table(names, chosen)


def _read_parquet(path: Path, key: str | None, choose: Choose) -> Table:
    with pq.ParquetFile(path) as file:
        names = tuple(file.schema_arrow.names)
        columns = {}
        for name in choose(names):
            base, k = element(name, names) or (name, None)
            _refuse_repeated(path, names, [base])
            columns[name] = _of_arrow(file.read(columns=[base]).column(base), k, name, path)
    return Table(names, columns)


def _of_arrow(column: pa.ChunkedArray, k: int | None, name: str, path: Path) -> NDArray[Any]:
    """A column, or one element of every vector in it, as an array; null is NaN."""
    if k is not None:
        import awkward as ak

        if (
            not pa.types.is_list(column.type)
            and not pa.types.is_large_list(column.type)
            and not pa.types.is_fixed_size_list(column.type)
        ):
            raise DataError(f"{path}: column {name} is an element of {column.type}, expected one of a vector")
        return _element_of(ak.from_arrow(column), k)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if pa.types.is_nested(column.type):
        raise DataError(f"{path}: column {name} holds {column.type}, expected one number per event, as {name}[0]")
    if pa.types.is_boolean(column.type) and column.null_count:
        column = column.cast(pa.float64())
    return np.asarray(column.to_numpy())


def _element_of(vectors: Any, k: int) -> NDArray[Any]:
    """Element `k` of every vector; NaN where it is shorter."""
    import awkward as ak

    return np.asarray(ak.to_numpy(ak.fill_none(ak.pad_none(vectors, k + 1, axis=1, clip=False)[:, k], np.nan)))


def _read_csv(path: Path, key: str | None, choose: Choose) -> Table:
    return Table(*read_text(path, choose))


def _read_numpy(path: Path, key: str | None, choose: Choose) -> Table:
    if path.suffix.lower() == ".npz":
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            if repeated := [name for name in arrays.files if arrays.files.count(name) > 1]:
                raise DataError(f"{path}: found several arrays called {repeated[0]}, expected names that differ")
            return _arrays({name: arrays[name] for name in arrays.files}, choose, path)
    loaded = np.load(path, allow_pickle=False, mmap_mode="r")
    if loaded.dtype.names:
        return _arrays({name: loaded[name] for name in loaded.dtype.names}, choose, path)
    if loaded.ndim != 2:
        raise DataError(f"{path}: found an array of shape {loaded.shape}, expected (events, columns)")
    return _arrays({"": loaded}, choose, path)


def _read_hdf5(path: Path, key: str | None, choose: Choose) -> Table:
    with open_table(path, key) as table:
        names = tuple(table.columns)
        return Table(names, table.read(choose(names)))


def _read_root(path: Path, key: str | None, choose: Choose) -> Table:
    import uproot  # half a second that other formats need not pay

    with uproot.open(path) as file:
        trees = sorted({name.split(";")[0] for name, kind in file.classnames().items() if kind in _TREES})
        wanted = None if key is None else key.strip("/").split(";")[0]
        if wanted is None and len(trees) != 1:
            raise DataError(f"{path}: found trees {', '.join(trees) or 'none'}, expected data.key to name one")
        if wanted is not None and wanted not in trees:
            raise DataError(f"{path}: data.key {key} not found, the file has trees {', '.join(trees) or 'none'}")
        tree = file[key.strip("/") if key else trees[0]]
        names = tuple(tree.keys())
        columns = {}
        for name in choose(names):
            base, k = element(name, names) or (name, None)
            _refuse_repeated(path, names, [base])
            values = tree[base].array(library="ak")
            if k is not None and values.ndim == 2:
                columns[name] = _element_of(values, k)
            elif values.ndim == 1 and k is None:
                columns[name] = _flat(values, name, path)
            else:
                what = "is jagged" if "var" in str(values.type.content) else "holds several values"
                raise DataError(
                    f"{path}: branch {base} {what} ({values.type.content}), expected one number per event, as {base}[0]"
                )
        return Table(names, columns)


def largest_tree(path: Path) -> str | None:
    """Name of the tree with the most entries, where a ROOT file has several; None where it has one."""
    import uproot

    with uproot.open(path) as file:
        trees = sorted({name.split(";")[0] for name, kind in file.classnames().items() if kind in _TREES})
        return max(trees, key=lambda name: int(file[name].num_entries)) if len(trees) > 1 else None


def _flat(values: Any, name: str, path: Path) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except Exception as error:  # records, unions, text
        raise DataError(f"{path}: branch {name} holds {values.type.content}, expected one number per event") from error


_TREES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")
READERS: dict[str, Callable[[Path, str | None, Choose], Table]] = {
    **dict.fromkeys((".h5", ".hdf5"), _read_hdf5),
    ".parquet": _read_parquet,
    ".root": _read_root,
    **dict.fromkeys((".csv", ".csv.gz", ".csv.bz2", ".tsv", ".tsv.gz"), _read_csv),
    **dict.fromkeys((".npy", ".npz"), _read_numpy),
}
assert set(READERS) == set(ENDINGS)
