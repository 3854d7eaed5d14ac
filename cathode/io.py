"""Artefacts as files: typed objects in parquet, npz or JSON, each with a header, written whole or not at all.

The header is one sorted JSON string: schema `cathode/<kind>/<version>`, the step that made the file with the package's
version, and the SHA-256 of every input, of the settings, of the code and of the content, which is checked by whoever reads it. It holds no
time, host or path, so equal inputs give equal bytes. Files are written to a temporary name and renamed: nothing unfinished ever carries a final name. What a class is stored as stands beside it
(`cathode.artefacts`), so that reading one kind imports no other.
"""

from __future__ import annotations

import dataclasses
import functools
import glob
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cathode.artefacts import FigureNumbers, Kind, Text, kind_of
from cathode.checksums import is_whole, of_array, sealed
from cathode.errors import ArtefactError, reason
from cathode.headers import read_header
from cathode.nested import decode, encode
from cathode.results import Workspace
from cathode.schema import MismatchError, dump, parse

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_FEATURE = "feature:"
_IDENTIFIER = "identifier:"
_ROWS = 1 << 20  # rows written at once
UNSEALED = ("timing",)  # what differs from run to run is not part of a document's checksum
_ZIP64 = 1 << 30  # bytes of an array from which its entry in an archive is of the large kind


@dataclass(frozen=True)
class Made:
    """Where an artefact comes from.

    Attributes:
        step: that made it.
        version: of the package.
        inputs: checksums by name.
        settings: checksum of all that the step was told; empty where it was no step of a workflow.
        code: checksum of the code that the step imports; likewise.
    """

    step: str
    version: str
    inputs: dict[str, str]
    settings: str = ""
    code: str = ""


def write(obj: Any, path: Path, made: Made) -> None:
    """Write an artefact under its final name, at once or not at all. Raises ArtefactError where the system refuses."""
    try:
        _write(obj, path, made)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        free = f", {shutil.disk_usage(path.parent).free / 1e6:.0f} MB free there" if path.parent.is_dir() else ""
        raise ArtefactError(f"{path}: could not be written: {why}{free}; nothing was left behind") from error


def _write(obj: Any, path: Path, made: Made) -> None:
    kind = kind_of(type(obj))
    header = {"schema": kind.schema, "made": dataclasses.asdict(made)}
    if kind.form == "folder":
        for name, content in obj.files.items():
            write_whole(path / name, functools.partial(_write_bytes, content))
        return
    writers: dict[str, Callable[[Any, Path, dict[str, Any]], None]] = {
        "parquet": _write_parquet,
        "npz": _write_npz,
        "json": _write_json,
        "document": _write_document,
        "raw": _write_raw,
    }
    write_whole(path, lambda part: writers[kind.form](obj, part, header))


def _write_bytes(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def write_whole(path: Path, write_to: Callable[[Path], Any]) -> None:
    """Let `write_to` fill a temporary file, and give it its final name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        left.unlink(missing_ok=True)  # of a job that was killed
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write_to(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path, cls: type, *, density_model: str = "histogram") -> Any:
    """Read an artefact of the given class. Raises ArtefactError for anything else, naming what was found.

    `density_model` is the density that the configuration names: besides those of the package, a file can hold no other.
    """
    kind = kind_of(cls)
    readers: dict[str, Callable[[Path, type, Kind], Any]] = {
        "parquet": _read_parquet,
        "npz": lambda p, c, k: _read_npz(p, c, k, density_model),
        "json": _read_json,
        "document": _read_document,
        "raw": _read_raw,
    }
    if not path.is_file():
        raise ArtefactError(f"{path}: no such file, expected a {kind.name} ({kind.schema})")
    try:
        return readers[kind.form](path, cls, kind)
    except ArtefactError:
        raise
    except Exception as error:  # a damaged file may fail anywhere in its library
        raise ArtefactError(
            f"{path}: expected {kind.schema}, found a damaged or foreign file: {reason(error)}"
        ) from error


def read_column(path: Path, cls: type, name: str) -> np.ndarray[Any, Any]:
    """One column of a parquet artefact. Raises ArtefactError as `read`."""
    import pyarrow.parquet as pq

    kind = kind_of(cls)
    try:
        file = pq.ParquetFile(path, pre_buffer=False)
        header, _ = _parquet_header(file, kind, path)
        return _column(file, name, header, path)
    except ArtefactError:
        raise
    except Exception as error:
        raise ArtefactError(
            f"{path}: expected {kind.schema}, found a damaged or foreign file: {reason(error)}"
        ) from error


def check_content(path: Path) -> None:
    """Raise ArtefactError unless an artefact holds what was written into it, whatever its kind."""
    header = read_header(path)
    _check_seal(header, path, *(() if "made" in header else UNSEALED))
    try:
        whole = True
        if path.suffix == ".npz":
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                whole = all(of_array(file[name]) == checksum for name, checksum in header["arrays"].items())
        elif path.suffix == ".parquet":
            import pyarrow.parquet as pq

            parquet = pq.ParquetFile(path, pre_buffer=False)
            for name in header["columns"]:
                _column(parquet, name, header, path)
    except ArtefactError:
        raise
    except Exception as error:
        raise _changed(path) from error
    if not whole:
        raise _changed(path)


def _check(header: dict[str, Any], kind: Kind, path: Path, *besides: str) -> None:
    """Refuse another kind of file, and content that is not what was written."""
    found = header.get("schema")
    if found != kind.schema:
        raise ArtefactError(f"{path}: expected {kind.schema}, found {found or 'a file without header'}")
    _check_seal(header, path, *besides)


def _check_seal(header: dict[str, Any], path: Path, *besides: str) -> None:
    if "sha256" not in header:
        raise ArtefactError(
            f"{path}: found no checksum, expected one: made by an earlier version; a rerun makes it anew"
        )
    if not is_whole(header, *besides):
        raise _changed(path)


def _changed(path: Path) -> ArtefactError:
    return ArtefactError(
        f"{path}: its content is not what was written: damaged or edited; delete it, and a rerun makes it anew"
    )


# --- parquet: one column per feature


def _write_parquet(obj: Any, path: Path, header: dict[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {}
    constant: dict[str, Any] = {}
    for field in dataclasses.fields(obj):
        value = getattr(obj, field.name)
        if isinstance(value, np.ndarray) and value.ndim == 2:
            columns |= {feature_column(name, type(obj)): value[:, j] for j, name in enumerate(obj.names)}
        elif field.name == "identifiers" and value:
            columns |= {feature_column(n, type(obj), obj.names): v for n, v in zip(obj.carried, value, strict=True)}
        elif isinstance(value, np.ndarray):
            columns[field.name] = value
        else:
            constant[field.name] = value
    header |= {"constant": constant, "columns": {name: of_array(values) for name, values in columns.items()}}
    metadata = {"cathode": json.dumps(sealed(json.loads(json.dumps(header))), sort_keys=True)}
    n = max(map(len, columns.values()), default=0)
    writer = None
    try:
        for start in range(0, max(n, 1), _ROWS):
            piece = {name: np.ascontiguousarray(values[start : start + _ROWS]) for name, values in columns.items()}
            table = pa.table(piece).replace_schema_metadata(metadata)
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd", version="2.6")
            writer.write_table(table, row_group_size=_ROWS)
    finally:
        if writer:
            writer.close()


def feature_column(name: str, cls: type, features: tuple[str, ...] | list[str] | None = None) -> str:
    """The column of a feature: its own name, but behind `feature:` where that would be a field of the class (or another's such column).

    Of an identifier, where `features` are given: behind `identifier:`, also where it is a feature, too.
    """
    before = _FEATURE if features is None else _IDENTIFIER
    taken = name.startswith((_FEATURE, _IDENTIFIER)) or name in {field.name for field in dataclasses.fields(cls)}
    return before + name if taken or name in (features or ()) else name


def _read_parquet(path: Path, cls: type, kind: Kind) -> Any:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path, pre_buffer=False)  # buffers would be kept as long as the file is open
    header, constant = _parquet_header(file, kind, path)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        if field.name == "names":
            values["names"] = tuple(constant["names"])
        elif field.name == "identifiers" and constant["carried"]:
            stored = [feature_column(name, cls, constant["names"]) for name in constant["carried"]]
            values["identifiers"] = tuple(_column(file, name, header, path) for name in stored)
        elif isinstance(constant.get(field.name), list):
            values[field.name] = tuple(constant[field.name])
        elif field.name in constant:
            values[field.name] = constant[field.name]
        elif field.name == "features":
            names = [feature_column(name, cls) for name in constant["names"]]
            kind_of_column = file.schema_arrow.field(names[0]).type.to_pandas_dtype() if names else np.float64
            values["features"] = np.empty((file.metadata.num_rows, len(names)), dtype=kind_of_column)
            for j, name in enumerate(names):
                _fill(values["features"][:, j], file, name, header, path)
        else:
            values[field.name] = _column(file, field.name, header, path)
    return cls(**values)


def _parquet_header(file: pq.ParquetFile, kind: Kind, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header of a file, and the fields that are no columns."""
    header = json.loads((file.schema_arrow.metadata or {}).get(b"cathode", b"{}"))
    _check(header, kind, path)
    return header, header["constant"]


def _column(file: pq.ParquetFile, name: str, header: dict[str, Any], path: Path) -> np.ndarray[Any, Any]:
    kind_of_column = file.schema_arrow.field(name).type.to_pandas_dtype()
    return _fill(np.empty(file.metadata.num_rows, dtype=kind_of_column), file, name, header, path)


def _fill(
    out: np.ndarray[Any, Any], file: pq.ParquetFile, name: str, header: dict[str, Any], path: Path
) -> np.ndarray[Any, Any]:
    """Read a column into `out` piece by piece, so that a large file is never in memory twice, and check it."""
    start = 0
    for piece in file.iter_batches(columns=[name], batch_size=_ROWS):
        out[start : start + len(piece)] = piece.column(0).to_numpy(zero_copy_only=False)
        start += len(piece)
    if start != len(out) or of_array(out) != header["columns"].get(name):
        raise _changed(path)
    return out


# --- npz: arrays, and the tree of objects around them


def _write_npz(obj: Any, path: Path, header: dict[str, Any]) -> None:
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    tree = json.dumps(encode(obj, arrays), sort_keys=True)
    arrays["tree"] = np.frombuffer(tree.encode(), dtype=np.uint8)
    header = sealed(header | {"arrays": {name: of_array(array) for name, array in arrays.items()}})
    text = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
    # not np.savez: what it writes into the archive's headers depends on Python's patch release
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in ({"header": text} | arrays).items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(entry, "w", force_zip64=array.nbytes > _ZIP64) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)


def _read_npz(path: Path, cls: type, kind: Kind, density_model: str) -> Any:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        header = json.loads(bytes(file["header"])) if "header" in file.files else {}
        _check(header, kind, path)
        arrays = {name: file[name] for name in header["arrays"]}
        if {name: of_array(array) for name, array in arrays.items()} != header["arrays"]:
            raise _changed(path)
        return decode(json.loads(bytes(arrays["tree"])), cls, arrays, density_model)


# --- JSON


def _write_json(obj: Any, path: Path, header: dict[str, Any]) -> None:
    tree = sealed(header | {"content": dump(type(obj), obj)})
    path.write_text(json.dumps(tree, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _read_json(path: Path, cls: type, kind: Kind) -> Any:
    tree = _json_object(path)
    _check(tree, kind, path)
    return _validated(tree["content"], cls, kind, path)


def _write_document(obj: Any, path: Path, header: dict[str, Any]) -> None:
    """A published file: its keys are the fields of the class, and it must be what the class, and so its schema, says."""
    kind = kind_of(type(obj))
    tree = dump(type(obj), obj)
    _validated(tree, type(obj), kind, path)
    text = json.dumps(sealed({"schema": kind.schema} | tree, *UNSEALED), indent=1, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _read_document(path: Path, cls: type, kind: Kind) -> Any:
    tree = _json_object(path)
    _check(tree, kind, path, *UNSEALED)
    return _validated({k: v for k, v in tree.items() if k not in ("schema", "sha256")}, cls, kind, path)


def _json_object(path: Path) -> dict[str, Any]:
    tree = json.loads(path.read_text(encoding="utf-8"))
    return tree if isinstance(tree, dict) else {}


def _validated(tree: Any, cls: type, kind: Kind, path: Path) -> Any:
    try:
        return parse(cls, tree)
    except MismatchError as error:
        raise ArtefactError(f"{path}: {kind.schema} with unexpected content: {error}") from error


# --- formats of their own


def _write_raw(obj: Text | Workspace, path: Path, header: dict[str, Any]) -> None:
    if isinstance(obj, Workspace):
        obj = Text(json.dumps(obj.tree, indent=1, sort_keys=True, allow_nan=False) + "\n")
    path.write_text(obj.text, encoding="utf-8")


def _read_raw(path: Path, cls: type, kind: Kind) -> FigureNumbers | Text | Workspace:
    if cls is FigureNumbers:
        beside = path.with_suffix(".png")
        return FigureNumbers(
            path.stem, path.read_text(encoding="utf-8"), beside.read_bytes() if beside.exists() else None
        )
    text = path.read_text(encoding="utf-8")
    return Workspace(json.loads(text)) if cls is Workspace else cls(text)
