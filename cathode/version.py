"""The package's version, and a checksum of its source that makes a changed package rerun what depends on it."""

from __future__ import annotations

import hashlib
from pathlib import Path

__version__ = "0.1.0"


def source_sha256(*rooms: str) -> str:
    """Checksum of every Python source and template file of the package, or of some rooms (folders or modules) of it."""
    root = Path(__file__).parent
    parts = [root / room for room in rooms] or [root]
    files = [p for part in parts for p in ([part] if part.is_file() else part.rglob("*"))]
    digest = hashlib.sha256()
    for path in sorted(p for p in files if p.suffix in (".py", ".j2")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
