"""Tables in HDF5 files, read with h5py alone: plain data sets, and what pandas writes in its formats `fixed` and `table`.

pandas and PyTables unpickle object columns and attributes when they open a file, also those that nobody asked for, and unpickling runs
whatever its author wanted. Here nothing is unpickled but lists of plain names, by an unpickler that refuses everything that can be called.
Links to other files, and values that were never written, are refused: they read as zeros where the other file is missing.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cathode.errors import DataError, reason

_ROWS = 1 << 16  # read at once
_HOPS = 16  # soft links followed
_SEVERAL = "two things (a data set of this name, and a column of another)"


class _NotPlainError(Exception):
    """What is stored is no list of names."""


class _Names(pickle.Unpickler):
    """Unpickles containers, text and numbers. Whatever could be called has to be found by name first, and is not."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        raise _NotPlainError(f"{module_name}.{global_name}")

    def persistent_load(self, pid: Any) -> Any:
        raise _NotPlainError("a persistent object")


@dataclass(frozen=True)
class Column:
    """One column: all of a data set, one of its columns (`index`), or one of its fields, or a column of a field.

    Attributes:
        data: the data set.
        field: field of a compound data set; None: it has none.
        index: position in the second dimension; None: there is only one.
        by_column: whether the first dimension holds columns and the second events.
        meaning: what the numbers stand for, where they are no numbers; empty where they are.
    """

    data: h5py.Dataset
    field: str | None = None
    index: int | None = None
    by_column: bool = False
    meaning: str = ""


@dataclass(frozen=True)
class Hdf5Table:
    """An open table.

    Attributes:
        path: of the file, for messages.
        columns: by name.
    """

    path: Path
    columns: dict[str, Column]

    def __len__(self) -> int:
        """Rows of the first column."""
        first = next(iter(self.columns.values()), None)
        return 0 if first is None else int(first.data.shape[1 if first.by_column else 0])

    def read(self, names: Sequence[str], start: int = 0, stop: int | None = None) -> dict[str, NDArray[Any]]:
        """Rows `start` to `stop` of some columns. Raises DataError for columns that hold no plain values, or not all of them."""
        groups: dict[Any, list[str]] = {}
        for name in names:
            column = self.columns[name]
            self._check(name, column)
            groups.setdefault((column.data.id.id, column.by_column, column.field), []).append(name)
        found: dict[str, NDArray[Any]] = {}
        with _one_line(self.path):
            for together in groups.values():
                found |= self._read_together(together, start, stop)
        return {name: found[name] for name in names}

    def _read_together(self, names: list[str], start: int, stop: int | None) -> dict[str, NDArray[Any]]:
        """Columns of one data set, of which every row is read once."""
        first = self.columns[names[0]]
        data, positions = first.data, [self.columns[name].index for name in names]
        n = data.shape[1 if first.by_column else 0]
        start, stop, _ = slice(start, stop).indices(n)
        if first.by_column:
            return {
                name: np.asarray(data[index, start:stop] if index is not None else data[start:stop])
                for name, index in zip(names, positions, strict=True)
            }
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
        source = data.fields(first.field) if first.field is not None else data
        for low in range(start, max(stop, start + 1), _ROWS):
            block = np.asarray(source[low : min(low + _ROWS, stop)])
            for name, index in zip(names, positions, strict=True):
                parts[name].append(block if index is None else block[:, index].copy())
        return {name: np.concatenate(blocks) for name, blocks in parts.items()}

    def _check(self, name: str, column: Column) -> None:
        data, where = column.data, f"{self.path}: column {name!r}"
        dtype = data.dtype if column.field is None else data.dtype[column.field].base
        if column.meaning:
            raise DataError(f"{where} holds {column.meaning}, expected numbers")
        if dtype.kind == "O" or h5py.check_ref_dtype(dtype) is not None:
            raise DataError(f"{where} holds Python objects or text of any length, which are not read; expected numbers")
        if (values := h5py.check_enum_dtype(dtype)) is not None:
            said = ", ".join(f"{label} = {value}" for label, value in list(values.items())[:8])
            raise DataError(f"{where} is an enumeration ({said}), expected numbers")
        if data.is_virtual or data.external:
            others = [s.file_name for s in data.virtual_sources()] if data.is_virtual else [e[0] for e in data.external]
            shown = ", ".join(dict.fromkeys(str(other) for other in others[:4]))
            raise DataError(f"{where} is stored in other files ({shown}), expected a file that holds its values itself")
        if data.size and data.id.get_space_status() != h5py.h5d.SPACE_STATUS_ALLOCATED:
            raise DataError(f"{where} has rows that were never written, expected a value in every row")


@contextmanager
def open_table(path: Path, key: str | None = None) -> Iterator[Hdf5Table]:
    """The table of a file. `key`: which, by its path in the file, where it holds several.

    Raises DataError for a file that is not readable, and for keys that are not there, ambiguous, or lead to other files.
    """
    with _one_line(path):
        file = h5py.File(path, "r")
    with file:
        with _one_line(path):
            columns = _columns(file, path, key)
        yield Hdf5Table(path, columns)


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """A damaged file may fail anywhere in its library."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{path}: not readable as HDF5: {reason(error)}") from error


def _columns(file: h5py.File, path: Path, key: str | None) -> dict[str, Column]:
    frames = _frames(file)
    wanted = None if key is None else key.strip("/")
    if wanted is None and len(frames) > 1:
        raise DataError(f"{path}: found keys {', '.join(frames)}, expected data.key to name one")
    if wanted is None and frames:
        wanted = next(iter(frames))
    node = file if wanted is None else _follow(file, path, wanted, frames)
    if isinstance(node, h5py.Dataset):
        return _of_dataset("", node)
    if "pandas_type" in node.attrs:
        return _of_pandas(node, path)
    found: dict[str, Column] = {}
    for name in node:
        link = node.get(name, getlink=True)
        if isinstance(link, h5py.HardLink) and isinstance(node[name], h5py.Dataset):
            _add(found, _of_dataset(name, node[name]))
        elif isinstance(link, h5py.ExternalLink):
            raise DataError(
                f"{path}: {name!r} is a link to another file ({link.filename}), expected the values themselves"
            )
        elif isinstance(link, h5py.SoftLink):
            linked = _follow(file, path, link.path if link.path.startswith("/") else f"{node.name}/{link.path}", frames)
            _add(found, _of_dataset(name, linked) if isinstance(linked, h5py.Dataset) else {})
    return found


def _add(found: dict[str, Column], columns: dict[str, Column]) -> None:
    """Add columns; a name that two of them have means neither."""
    for name, column in columns.items():
        found[name] = dataclasses.replace(column, meaning=_SEVERAL) if name in found else column


def _frames(file: h5py.File) -> dict[str, h5py.Group]:
    """Groups that pandas wrote, by path; links are not followed, and what a frame keeps below itself is no other frame."""
    found: dict[str, h5py.Group] = {}

    def see(name: str, node: Any) -> None:
        inside = any(name.startswith(f"{frame}/") for frame in found)
        if isinstance(node, h5py.Group) and "pandas_type" in node.attrs and not inside:
            found[name] = node

    file.visititems(see)
    return found


def _follow(file: h5py.File, path: Path, key: str, frames: dict[str, h5py.Group], hops: int = _HOPS) -> Any:
    """The node behind a path inside the file, link by link, so that none leads to another file."""
    node: Any = file
    parts = [part for part in key.split("/") if part not in ("", ".")]
    for i, part in enumerate(parts):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            has = ", ".join(frames or file) or "nothing"
            raise DataError(f"{path}: data.key {key} not found, the file has {has}")
        if isinstance(link, h5py.ExternalLink):
            raise DataError(
                f"{path}: {part!r} is a link to another file ({link.filename}), expected the values themselves"
            )
        if isinstance(link, h5py.SoftLink):
            if hops == 0:
                raise DataError(f"{path}: {part!r} is a link that leads to itself")
            target = link.path if link.path.startswith("/") else f"{node.name}/{link.path}"
            return _follow(file, path, "/".join([target, *parts[i + 1 :]]), frames, hops - 1)
        node = node[part]
    return node


def _of_dataset(name: str, data: h5py.Dataset) -> dict[str, Column]:
    """Columns of a plain data set of one or two dimensions, or with fields."""
    if data.dtype.names:
        return {
            field: Column(data, field=field)
            for field in data.dtype.names
            if data.ndim == 1 and not data.dtype[field].shape
        }
    if data.ndim == 1 and name:
        return {name: Column(data)}
    prefix = f"{name}_" if name else "c"
    return {f"{prefix}{j}": Column(data, index=j) for j in range(data.shape[1])} if data.ndim == 2 else {}


def _of_pandas(group: h5py.Group, path: Path) -> dict[str, Column]:
    """Columns of a DataFrame, in the order of pandas."""
    kind = _text(group.attrs["pandas_type"])
    if kind == "frame":
        pairs = list(_of_fixed(group, path))
    elif kind in ("frame_table", "appendable_frame") and "table" in group:
        pairs = list(_of_table(group["table"], path))
    else:
        raise DataError(f"{path}: {group.name} holds a pandas object of the kind {kind}, expected a DataFrame")
    names = [name for name, _ in pairs]
    if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise DataError(f"{path}: found several columns called {repeated[0]!r}, expected names that differ")
    return dict(pairs)


def _of_fixed(group: h5py.Group, path: Path) -> Iterator[tuple[str, Column]]:
    encoding = _text(group.attrs.get("encoding", "UTF-8"))
    if _text(group.attrs.get("axis0_variety", "regular")) != "regular":
        raise DataError(f"{path}: {group.name} has several levels of column names, expected one")
    order = {name: i for i, name in enumerate(_labels(group["axis0"], encoding, path))}
    found: list[tuple[str, Column]] = []
    for i in range(int(group.attrs["nblocks"])):
        values = group[f"block{i}_values"]
        meaning = _text(values.attrs.get("value_type", ""))
        by_column = not bool(values.attrs.get("transposed", False))
        for j, name in enumerate(_labels(group[f"block{i}_items"], encoding, path)):
            index = j if values.ndim == 2 else None
            found.append((name, Column(values, index=index, by_column=by_column, meaning=meaning)))
    yield from sorted(found, key=lambda pair: order[pair[0]])


def _of_table(table: h5py.Dataset, path: Path) -> Iterator[tuple[str, Column]]:
    for field in table.dtype.names or ():
        if field == "index":
            continue
        stored = table.attrs.get(f"{field}_kind")
        names = _plain_names(stored, table.name, path) if stored is not None else [field]
        meaning = "categories" if "category" in _text(table.attrs.get(f"{field}_meta", "")) else ""
        dtype = _text(table.attrs.get(f"{field}_dtype", ""))
        if not meaning and any(word in dtype for word in ("date", "time")):
            meaning = dtype
        columns = bool(table.dtype[field].shape)
        for j, name in enumerate(names):
            yield name, Column(table, field=field, index=j if columns else None, meaning=meaning)


def _labels(data: h5py.Dataset, encoding: str, path: Path) -> list[str]:
    kind = _text(data.attrs.get("kind", ""))
    if data.dtype.kind == "S":
        return [value.decode(encoding) for value in data[...].tolist()]
    if data.dtype.kind in "iu" and kind == "integer":
        return [str(value) for value in data[...].tolist()]
    raise DataError(f"{path}: column names of the kind {kind or data.dtype} in {data.name}, expected text or integers")


def _plain_names(stored: Any, where: str, path: Path) -> list[str]:
    """Column names that pandas pickled into an attribute."""
    try:
        if isinstance(stored, bytes):
            stored = _Names(io.BytesIO(stored)).load()
        if isinstance(stored, list) and all(isinstance(name, str | int) for name in stored):
            return [str(name) for name in stored]
    except Exception as error:  # a foreign pickle may be anything
        raise DataError(
            f"{path}: the column names in {where} are pickled with code, which is not run: {reason(error)}"
        ) from error
    raise DataError(f"{path}: the column names in {where} are no list of names")


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
