"""The only module that opens artefacts: typed objects in parquet, npz or JSON, each with a header.

The header is one sorted JSON string: schema `cathode/<kind>/<version>`, the step that made the file with the package's
version, and the SHA-256 of every input. It holds no time, host or path, so equal inputs give equal bytes. Files are
written to a temporary name and renamed: nothing unfinished ever carries a final name.
"""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from cathode.classifier import Scored, Scores
from cathode.closure import Closure
from cathode.errors import ArtefactError, reason
from cathode.events import Events, Labels
from cathode.generator import Generated
from cathode.results import Estimates, Figures, Hunts, Json, Page, PseudoExperiments, Selected, Truth
from cathode.sidebands import SidebandClosure
from cathode.stats.spectrum_scan import SpectrumScan
from cathode.template import DensityEnsemble, Template
from cathode.template.flows import FlowDensity, FlowSettings
from cathode.template.histogram import HistogramDensity, HistogramSettings
from cathode.template.mass import MassModel
from cathode.template.scaling import Gaussianiser, LogitScaler

VERSION = 1
_ROWS = 1 << 20  # rows written at once
_ZIP64 = 1 << 30  # bytes of an array from which its entry in an archive is of the large kind
_NESTED = {
    c.__name__: c
    for c in (
        DensityEnsemble, HistogramDensity, HistogramSettings, FlowDensity, FlowSettings, Gaussianiser, LogitScaler,
        MassModel, Scored, Scores,
    )
}  # fmt: skip
_KINDS: dict[type, tuple[str, str]] = {
    Generated: ("generated", "parquet"),
    Events: ("events", "parquet"),
    Labels: ("labels", "parquet"),
    Template: ("template", "parquet"),
    Selected: ("selected", "parquet"),
    DensityEnsemble: ("density", "npz"),
    Scored: ("scores", "npz"),
    Closure: ("closure", "json"),
    SidebandClosure: ("sideband_closure", "json"),
    Estimates: ("background", "json"),
    Hunts: ("hunts", "json"),
    SpectrumScan: ("spectrum_scan", "json"),
    Truth: ("truth", "json"),
    PseudoExperiments: ("pseudo_experiments", "json"),
    Json: ("json", "raw"),
    Page: ("page", "raw"),
    Figures: ("figures", "folder"),
}


@dataclass(frozen=True)
class Made:
    """Where an artefact comes from: step, package version and checksums of the inputs by name."""

    step: str
    version: str
    inputs: dict[str, str]


def sha256(path: Path) -> str:
    """Checksum of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write(obj: Any, path: Path, made: Made) -> None:
    """Write an artefact under its final name, at once or not at all. Raises ArtefactError where the system refuses."""
    try:
        _write(obj, path, made)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        free = f", {shutil.disk_usage(path.parent).free / 1e6:.0f} MB free there" if path.parent.is_dir() else ""
        raise ArtefactError(f"{path}: could not be written: {why}{free}; nothing was left behind") from error


def _write(obj: Any, path: Path, made: Made) -> None:
    kind, form = _KINDS[type(obj)]
    header = json.dumps({"schema": f"cathode/{kind}/{VERSION}", "made": dataclasses.asdict(made)}, sort_keys=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "folder":
        _write_figures(obj, path)
        return
    writers: dict[str, Callable[[Any, Path, str], None]] = {
        "parquet": _write_parquet,
        "npz": _write_npz,
        "json": _write_json,
        "raw": _write_raw,
    }
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        left.unlink(missing_ok=True)  # of a job that was killed
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        writers[form](obj, temporary, header)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path, kind: type) -> Any:
    """Read an artefact of the given class. Raises ArtefactError for anything else, naming what was found."""
    name, form = _KINDS[kind]
    readers: dict[str, Callable[[Path, type, str], Any]] = {
        "parquet": _read_parquet,
        "npz": _read_npz,
        "json": _read_json,
        "raw": _read_raw,
    }
    if not path.is_file():
        raise ArtefactError(f"{path}: no such file, expected a cathode/{name} artefact")
    try:
        return readers[form](path, kind, f"cathode/{name}/{VERSION}")
    except ArtefactError:
        raise
    except Exception as error:  # a damaged file may fail anywhere in its library
        raise ArtefactError(
            f"{path}: expected cathode/{name}/{VERSION}, found a damaged or foreign file: {reason(error)}"
        ) from error


def _check(header: str | None, expected: str, path: Path) -> None:
    found = json.loads(header)["schema"] if header else "a file without header"
    if found != expected:
        raise ArtefactError(f"{path}: expected {expected}, found {found}")


# --- parquet: one column per feature


def _write_parquet(obj: Any, path: Path, header: str) -> None:
    columns: dict[str, Any] = {}
    constant: dict[str, Any] = {}
    for field in dataclasses.fields(obj):
        value = getattr(obj, field.name)
        if isinstance(value, np.ndarray) and value.ndim == 2:
            columns |= {name: value[:, j] for j, name in enumerate(obj.names)}
        elif isinstance(value, np.ndarray):
            columns[field.name if field.name not in columns else f"_{field.name}"] = value
        else:
            constant[field.name] = value
    metadata = {"cathode": header, "constant": json.dumps(constant, sort_keys=True)}
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


def _read_parquet(path: Path, kind: type, expected: str) -> Any:
    file = pq.ParquetFile(path, pre_buffer=False)  # buffers would be kept as long as the file is open
    metadata = file.schema_arrow.metadata or {}
    _check(metadata.get(b"cathode", b"").decode() or None, expected, path)
    constant = json.loads(metadata[b"constant"])
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.name == "names":
            values["names"] = tuple(constant["names"])
        elif isinstance(constant.get(field.name), list):
            values[field.name] = tuple(constant[field.name])
        elif field.name in constant:
            values[field.name] = constant[field.name]
        elif field.name == "features":
            names = constant["names"]
            kind_of = file.schema_arrow.field(names[0]).type.to_pandas_dtype() if names else np.float64
            values["features"] = np.empty((file.metadata.num_rows, len(names)), dtype=kind_of)
            for j, name in enumerate(names):
                _fill(values["features"][:, j], file, name)
        else:
            kind_of = file.schema_arrow.field(field.name).type.to_pandas_dtype()
            values[field.name] = _fill(np.empty(file.metadata.num_rows, dtype=kind_of), file, field.name)
    return kind(**values)


def _fill(out: np.ndarray[Any, Any], file: pq.ParquetFile, name: str) -> np.ndarray[Any, Any]:
    """Read a column into `out` piece by piece, so that a large file is never in memory twice."""
    start = 0
    for piece in file.iter_batches(columns=[name], batch_size=_ROWS):
        out[start : start + len(piece)] = piece.column(0).to_numpy(zero_copy_only=False)
        start += len(piece)
    return out


# --- npz: any nesting of dataclasses, dictionaries and lists around arrays; an array that occurs twice is stored once


def _encode(value: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, np.ndarray):
        key = next((k for k, v in arrays.items() if v is value), f"a{len(arrays):05d}")
        arrays[key] = np.ascontiguousarray(value)
        return {"$array": key}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _encode(getattr(value, f.name), arrays) for f in dataclasses.fields(value)}
        return {"$type": type(value).__name__, "fields": fields}
    if isinstance(value, dict):
        return {"$dict": {k: _encode(v, arrays) for k, v in value.items()}}
    if isinstance(value, tuple):
        return {"$tuple": [_encode(v, arrays) for v in value]}
    if isinstance(value, list):
        return [_encode(v, arrays) for v in value]
    return value


def _decode(value: Any, arrays: Any) -> Any:
    if isinstance(value, list):
        return [_decode(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        return arrays[value["$array"]]
    if "$dict" in value:
        return {k: _decode(v, arrays) for k, v in value["$dict"].items()}
    if "$tuple" in value:
        return tuple(_decode(v, arrays) for v in value["$tuple"])
    return _NESTED[value["$type"]](**{k: _decode(v, arrays) for k, v in value["fields"].items()})


def _write_npz(obj: Any, path: Path, header: str) -> None:
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    tree = json.dumps(_encode(obj, arrays), sort_keys=True)
    text = {name: np.frombuffer(value.encode(), dtype=np.uint8) for name, value in (("header", header), ("tree", tree))}
    # not np.savez: what it writes into the archive's headers depends on Python's patch release
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in (text | arrays).items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(entry, "w", force_zip64=array.nbytes > _ZIP64) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)


def _read_npz(path: Path, kind: type, expected: str) -> Any:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        _check(bytes(file["header"]).decode() if "header" in file.files else None, expected, path)
        return _decode(json.loads(bytes(file["tree"]).decode()), {k: file[k] for k in file.files})


# --- JSON


def _write_json(obj: Any, path: Path, header: str) -> None:
    tree = json.loads(header) | {"content": TypeAdapter(type(obj)).dump_python(obj, mode="json")}
    path.write_text(json.dumps(tree, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _read_json(path: Path, kind: type, expected: str) -> Any:
    tree = json.loads(path.read_text(encoding="utf-8"))
    _check(json.dumps(tree) if isinstance(tree, dict) and "schema" in tree else None, expected, path)
    try:
        return TypeAdapter(kind).validate_json(json.dumps(tree["content"]), strict=True)
    except ValidationError as error:
        raise ArtefactError(f"{path}: {expected} with unexpected content: {error.errors()[0]['msg']}") from error


def _write_raw(obj: Any, path: Path, header: str) -> None:
    text = obj.text if isinstance(obj, Page) else json.dumps(obj.tree, indent=1, sort_keys=True, allow_nan=False) + "\n"
    path.write_text(text, encoding="utf-8")


def _read_raw(path: Path, kind: type, expected: str) -> Any:
    text = path.read_text(encoding="utf-8")
    return Page(text) if kind is Page else Json(json.loads(text))


def _write_figures(obj: Figures, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in obj.files.items():
        temporary = folder / f".{name}.part"
        try:
            temporary.write_bytes(content)
            temporary.replace(folder / name)
        finally:
            temporary.unlink(missing_ok=True)
