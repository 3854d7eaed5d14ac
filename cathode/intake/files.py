"""Which of the user's files a hunt reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cathode.checksums import of_input
from cathode.errors import ConfigError, DataError
from cathode.intake.demo import demo_file
from cathode.intake.settings import DataSettings


def input_files(data: DataSettings) -> list[Path]:
    """The user's files behind `data`, globs expanded in sorted order. Raises DataError for a path that matches nothing.

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


def input_sha256(paths: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of files, by name; a name that occurs twice is followed by its place in the list.

    Those of large files are remembered in the user's cache folder for as long as the file's size, times and inode stay.
    """
    names = [path.name for path in paths]
    unique = [name if names.count(name) == 1 else f"{name} ({i + 1})" for i, name in enumerate(names)]
    return {name: of_input(path) for name, path in zip(unique, paths, strict=True)}
