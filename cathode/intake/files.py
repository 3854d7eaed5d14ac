"""Which of the user's files a hunt reads."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from cathode.checksums import of_file
from cathode.errors import ConfigError, DataError
from cathode.intake.demo import demo_file
from cathode.intake.settings import DataSettings

_REMEMBERED = 50 << 20  # bytes from which a checksum is worth remembering


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
    return {name: _remembered_sha256(path) for name, path in zip(unique, paths, strict=True)}


def _remembered_sha256(path: Path) -> str:
    status = path.stat()
    if status.st_size < _REMEMBERED:
        return of_file(path)
    memory = cache_folder() / "checksums.json"
    key = f"{path.resolve()} {status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
    try:
        known: dict[str, str] = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if key not in known:
        known = {k: v for k, v in known.items() if not k.startswith(f"{path.resolve()} ")} | {key: of_file(path)}
        try:
            memory.parent.mkdir(parents=True, exist_ok=True)
            part = memory.with_name(f".{memory.name}.{os.getpid()}")
            part.write_text(json.dumps(known, indent=1), encoding="utf-8")
            part.replace(memory)
        except OSError:
            pass  # without a cache it takes a second per gigabyte each time
    return known[key]


def cache_folder() -> Path:
    """The package's folder in the user's cache folder. Raises ConfigError where the system knows no such folder."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cathode"
    except RuntimeError as error:
        raise ConfigError(
            "found no home folder; expected HOME or XDG_CACHE_HOME to name one, or data.cache a folder"
        ) from error
