"""Which of the user's files a hunt reads."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from glob import glob
from pathlib import Path
from typing import Any

from cathode.checksums import of_input
from cathode.errors import ConfigError, DataError, shown
from cathode.intake.demo import demo_file
from cathode.intake.settings import DataSettings
from cathode.spectrum.settings import SpectrumSettings

# of files that are read; the readers are in `cathode.intake.tables`, whose libraries take a second to load
ENDINGS = (".h5", ".hdf5", ".parquet", ".root", ".csv", ".csv.gz", ".csv.bz2", ".tsv", ".tsv.gz", ".npy", ".npz")


def ending(path: Path) -> str:
    """Of a file's name, with that of a compressed text: `.csv.gz`."""
    return "".join(path.suffixes[-2:] if path.suffix.lower() in (".gz", ".bz2") else path.suffixes[-1:]).lower()


# of files that hold tables, too, and are not read: in a folder they are no by-work
_OTHER_TABLES = (
    ".pq",
    ".parq",
    ".pqt",
    ".feather",
    ".arrow",
    ".orc",
    ".avro",
    ".xlsx",
    ".xls",
    ".pkl",
    ".pickle",
    ".xz",
    ".zst",
)


def input_files(data: DataSettings, *, key: str = "data.files") -> list[Path]:
    """The user's files behind `data`, which the configuration names as `key`, patterns and folders expanded, in the order of their names. Raises DataError for what matches nothing or twice.

    None for `lhco` and `pythia`: these are fetched or generated when they are needed.
    """
    if data.source == "memory":
        raise ConfigError("data.source: found memory, which has no files: it is what cathode.hunt was given in Python")
    if data.source in ("lhco", "pythia"):
        return []
    if data.source == "demo":
        with demo_file() as path:
            return [path]
    out: list[Path] = []
    for pattern in data.files:
        out += _matching(split_tree(pattern)[0], key)
    first: dict[tuple[int, int], Path] = {}
    for path in out:
        status = path.stat()
        other = first.setdefault((status.st_dev, status.st_ino), path)
        if other is not path:
            which = f"is {other} by another name" if str(other) != str(path) else "is listed more than once"
            raise DataError(f"{key}: {path} {which}; its events would count twice")
    return sorted(out, key=lambda path: (path.name, str(path)))  # so that the order of the list changes nothing


def reference_data(data: DataSettings, spectrum: SpectrumSettings) -> DataSettings | None:
    """The files that `spectrum` names, to be read as `data` is; None where it names none."""
    files = spectrum.reference_files or ((spectrum.reference_histogram,) if spectrum.reference_histogram else ())
    if not files:
        return None
    return dataclasses.replace(data, source="files", files=files)


def reference_files(data: DataSettings, spectrum: SpectrumSettings) -> list[Path]:
    """The files that hold the reference, patterns and folders expanded. Raises DataError for what matches nothing or twice."""
    named = reference_data(data, spectrum)
    if named is None:
        return []
    return input_files(named, key=spectrum.key)


def split_tree(pattern: str) -> tuple[str, str | None]:
    """A path, and the ROOT tree that stands behind it as in `file.root:tree;1`."""
    path, colon, tree = pattern.rpartition(".root:")
    return (f"{path}.root", tree) if colon and tree and not Path(pattern).exists() else (pattern, None)


def tree_key(data: DataSettings) -> str | None:
    """`data.key`, or the one tree that the paths name. Raises ConfigError where they differ."""
    named = {tree for _, tree in map(split_tree, data.files) if tree} | ({data.key} if data.key else set())
    if len(named) > 1:
        raise ConfigError(f"data.files: found the trees {', '.join(sorted(named))}, expected one for all files")
    return next(iter(named), None)


def _matching(pattern: str, key: str) -> list[Path]:
    """Files of a path, of a pattern (`*`, `?`, `[ab]`, `**`), or below a folder; in sorted order."""
    if pattern.startswith(("root://", "http://", "https://")):
        raise DataError(f"{key}: {shown(pattern)} is on another machine, expected a file on this one (xrdcp copies it)")
    given = pattern if Path(pattern).exists() else os.path.expandvars(os.path.expanduser(pattern))  # noqa: PTH111 - never raises
    found = [given] if Path(given).exists() else sorted(glob(given, recursive=True))  # noqa: PTH207 - pathlib knows no absolute patterns
    paths = [path for name in found for path in (_below(Path(name)) if Path(name).is_dir() else [Path(name)])]
    if not paths:
        raise DataError(f"{key}: {pattern}: no such file (looked from {Path.cwd()})")
    return paths


def _below(folder: Path) -> list[Path]:
    """The tables of a folder, as Parquet data sets are kept; names that begin with a dot or an underscore are none of them."""
    visible = _visible(folder)
    if other := [path for path in visible if path.suffix.lower() in _OTHER_TABLES]:
        raise DataError(
            f"{folder}: found {other[0].relative_to(folder)}, which holds a table that cannot be read, expected the endings {', '.join(ENDINGS)} "
            "(data.files may name the files instead of the folder)"
        )
    found = [path for path in visible if ending(path) in ENDINGS]
    kinds = sorted({ending(path) for path in found})
    if len(kinds) != 1:
        said = f"files of several kinds ({', '.join(kinds)})" if kinds else "no table"
        raise DataError(f"{folder}: found a folder with {said}, expected tables of one kind")
    return found


def _visible(folder: Path) -> list[Path]:
    """Files below a folder, in the order of their paths, links to other folders followed; names that begin with a dot or an underscore are none."""
    out, seen = [], set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        out += [Path(place, name) for name in files if not name.startswith((".", "_"))]
    return sorted(path for path in out if path.is_file())


def input_sha256(paths: Sequence[Path], *, key: str = "data.files") -> dict[str, str]:
    """SHA-256 of files, by name; a name that occurs twice is followed by its place in the list.

    Raises DataError for two files of the same content. Those of large files are remembered in the user's cache folder for as long as the file's size, times and inode stay.
    """
    names = [path.name for path in paths]
    sums = [of_input(path) for path in paths]
    for i, value in enumerate(sums):
        if value in sums[:i]:
            other = paths[sums.index(value)]
            raise DataError(f"{key}: {paths[i]} holds what {other} holds; its events would count twice")
    unique = [name if names.count(name) == 1 else f"{name} ({i + 1})" for i, name in enumerate(names)]
    return dict(zip(unique, sums, strict=True))


def table_paths(table: Any) -> tuple[str, ...]:
    """Paths of table files, where that is what was given."""
    if isinstance(table, str | Path):
        return (str(table),)
    if isinstance(table, list | tuple) and table and all(isinstance(t, str | Path) for t in table):
        return tuple(str(t) for t in table)
    return ()
