"""SHA-256 of what artefacts hold, so that a file that was damaged or edited after it was written is never read as if it were whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROWS = 1 << 20  # copied at once where an array is strided


def of_file(path: Path) -> str:
    """Checksum of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
