"""Raw LHC Olympics files: hundreds of particles per event, clustered once into the columns that hunts use.

A raw file is a pandas HDF5 table without column names: pT, eta, phi of every particle, padded with zeros (2,100 columns), and in some
files a label. Clustering takes a good millisecond per event (twenty minutes for a million); it goes in pieces that are kept, so that a run which was
stopped continues.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cathode.checksums import of_input
from cathode.dijets.columns import JET_COLUMNS
from cathode.dijets.jets import EnergyFlow, find_dijets, lhco_table
from cathode.errors import DataError
from cathode.hdf5 import open_table

log = logging.getLogger(__name__)

PIECE = 20_000  # events clustered between two files
RADIUS = 1.0
_RAW = b"sha256 of the particles"


def cluster_file(raw: Path, target: Path, *, piece: int = PIECE) -> Path:
    """The LHC Olympics table of a raw file, at `target`: anti-kT jets with R = 1, the two of largest pT, N-subjettiness.

    Nothing is dropped: row i of the table is event i of the file, and an event with fewer than two jets above 20 GeV has zeros, and so
    the mass 0. The odd last column, where there is one, becomes `label`. The table, and every piece of it on the way, knows the raw
    file's SHA-256: a table of the same file is taken as it is, that of another raw file is replaced. Raises DataError, also where
    `target` is no such table.
    """
    n, width = _shape(raw)
    of_raw = of_input(raw)
    if target.exists():
        if (found := _raw_of(target)) == of_raw:
            return target
        if found is None:
            raise DataError(
                f"{target}: is no table of clustered events, and would be overwritten; expected another name"
            )
    absent = [name for name in ("fastjet", "awkward") if importlib.util.find_spec(name) is None]
    if absent:
        raise DataError(f"{raw}: particles need {' and '.join(absent)}: pip install 'cathode[simulate]'")
    folder = target.with_name(target.name + ".pieces")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        parts = []
        for start in range(0, n, piece):
            stop = min(start + piece, n)
            parts.append(folder / f"{of_raw[:12]}_{start}_{stop}.parquet")
            if _raw_of(parts[-1]) != of_raw:
                _write(_cluster(raw, start, stop, width), parts[-1], of_raw)
                log.info("%s: %d of %d events clustered", raw.name, stop, n)
        _write(pa.concat_tables([pq.read_table(part) for part in parts]), target, of_raw)
        for part in parts:
            part.unlink()
        if not any(folder.iterdir()):  # what others put there stays
            folder.rmdir()
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {os.strerror(error.errno) if error.errno else error}") from error
    return target


def _raw_of(table: Path) -> str | None:
    """SHA-256 of the raw file that a table was made of; None where it is no such table."""
    try:
        return (pq.read_schema(table).metadata or {}).get(_RAW, b"").decode() or None
    except (OSError, ValueError, pa.ArrowException):
        return None


def _shape(raw: Path) -> tuple[int, int]:
    """Events and columns of a raw file."""
    with open_table(raw) as table:
        n, width = len(table), len(table.columns)
    if width < 6 or width % 3 == 2:
        raise DataError(
            f"{raw}: found a table of {n} events and {width} columns, expected 2100 or 2101: pT, eta, phi of every particle and a label"
        )
    return n, width


def read_key(key: Path, n: int) -> NDArray[np.int8]:
    """Labels of a black box, from the text file that reveals them: one 0 or 1 for each of `n` events. Raises DataError."""
    try:
        values = np.loadtxt(key, ndmin=1)
    except (OSError, ValueError) as error:
        raise DataError(f"{key}: not readable as one 0 or 1 per line: {error}") from error
    if values.shape != (n,) or not np.isin(values, (0, 1)).all():
        raise DataError(f"{key}: found {values.shape[0]} labels, expected one 0 or 1 for each of {n} events")
    return values.astype(np.int8)


def _cluster(raw: Path, start: int, stop: int, width: int) -> pa.Table:
    """Events `start` to `stop` as a table."""
    with open_table(raw) as opened:
        columns = opened.read(list(opened.columns), start, stop)
    values = np.stack([numbers.astype(np.float64) for numbers in columns.values()], axis=1)
    last = values[:, width - width % 3 :]
    if not np.isfinite(values).all() or (values[:, : width - width % 3 : 3] < 0).any():
        raise DataError(f"{raw}: events {start} to {stop} hold negative pT or values that are not finite")
    particles = values[:, : width - width % 3].reshape(len(values), -1, 3)
    event, which = np.nonzero(particles[..., 0])
    objects = EnergyFlow(len(values), event, *particles[event, which].T)
    dijets = find_dijets(objects, trigger_pt=0.0, trigger_eta=np.inf, radius=RADIUS)
    table = np.zeros((len(values), len(JET_COLUMNS)), dtype=np.float32)
    table[dijets.event] = lhco_table(dijets)
    clustered: dict[str, NDArray[Any]] = {name: table[:, j] for j, name in enumerate(JET_COLUMNS)}
    if last.size:
        clustered["label"] = last[:, 0]
    return pa.table(clustered)


def _write(table: pa.Table, path: Path, of_raw: str) -> None:
    table = table.replace_schema_metadata({_RAW: of_raw})
    part = path.with_name(f".{path.name}.part")
    try:
        pq.write_table(table, part, compression="zstd")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
