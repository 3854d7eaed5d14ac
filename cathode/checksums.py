"""SHA-256 of what artefacts hold, so that a file that was damaged or edited after it was written is never read as if it were whole."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cathode.errors import ConfigError

_REMEMBERED = 50 << 20  # bytes from which a checksum is worth remembering
_ROWS = 1 << 20  # copied at once where an array is strided


def of_file(path: Path) -> str:
    """Checksum of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_input(path: Path) -> str:
    """Checksum of a user's file.

    That of a large one is remembered in the user's cache folder for as long as the file's size, times and inode stay.
    """
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


def of_tree(tree: Any) -> str:
    """Checksum of plain values, whatever the order of keys and the white space of the file that they came from."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def of_array(values: NDArray[Any]) -> str:
    """Checksum of an array's type, shape and elements."""
    digest = hashlib.sha256(f"{values.dtype.str} {values.shape}".encode())
    for start in range(0, len(values) if values.ndim else 1, _ROWS):
        piece = values[start : start + _ROWS] if values.ndim else values
        digest.update(np.ascontiguousarray(piece).data)
    return digest.hexdigest()


def sealed(tree: dict[str, Any], *besides: str) -> dict[str, Any]:
    """The tree with a checksum of itself under `sha256`; entries named in `besides` are not part of it."""
    return tree | {"sha256": _of_entries(tree, besides)}


def is_whole(tree: dict[str, Any], *besides: str) -> bool:
    """Whether a sealed tree is what was sealed."""
    return tree.get("sha256") == _of_entries(tree, besides)


def _of_entries(tree: dict[str, Any], besides: tuple[str, ...]) -> str:
    return of_tree({key: value for key, value in tree.items() if key not in (*besides, "sha256")})
