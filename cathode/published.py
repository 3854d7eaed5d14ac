"""The published formats: JSON schemas of the configuration and of the results that others read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cathode.artefacts import kind_of
from cathode.calibration.results import BackgroundOnly, SignalLimits, SignalResponse
from cathode.config import config_schema
from cathode.results import Overdispersion
from cathode.schema import json_schema
from cathode.summary import Summary

DOCUMENTS = (Summary, Overdispersion, BackgroundOnly, SignalResponse, SignalLimits)


def document_schema(cls: type) -> dict[str, Any]:
    """Schema of a published result, its own identifier included."""
    kind = kind_of(cls)
    identifier = {"const": kind.schema, "description": "format and version of this file"}
    checksum = {
        "type": "string",
        "description": "of everything else in this file but `timing`; a file that was edited is refused where it is read",
    }
    schema = json_schema(cls, f"cathode {kind.name.replace('_', ' ')}", {"schema": identifier, "sha256": checksum})
    return schema | {"required": ["schema", "sha256", *schema.get("required", [])]}


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {"config": config_schema} | {
    kind_of(cls).name: lambda cls=cls: document_schema(cls) for cls in DOCUMENTS
}
