"""The headers of artefacts: what a file is, and what it was made of, without reading the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cathode.errors import ArtefactError


def read_header(path: Path) -> dict[str, Any]:
    """What an artefact says of itself; nothing is checked. Raises ArtefactError for a file that is none."""
    if not path.is_file():
        raise ArtefactError(f"{path}: no such file")
    header: Any = None
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            header = json.loads((pq.read_schema(path).metadata or {}).get(b"cathode", b"{}"))
        elif path.suffix == ".npz":
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                header = json.loads(bytes(file["header"])) if "header" in file.files else {}
        else:
            header = json.loads(path.read_text(encoding="utf-8"))
    except Exception as error:  # anything may be wrong with a foreign file
        raise ArtefactError(f"{path}: not a cathode artefact ({type(error).__name__}: {error})") from error
    if not isinstance(header, dict) or not str(header.get("schema", "")).startswith("cathode/"):
        raise ArtefactError(f"{path}: found no schema of cathode in it, expected an artefact or a result of a run")
    return header


def is_artefact(path: Path) -> bool:
    """Whether a file says that this package wrote it."""
    try:
        read_header(path)
    except ArtefactError:
        return False
    return True
