"""Plain values and dataclasses: parsed with every key checked, and described by a JSON schema from types and docstrings.

The only module that knows pydantic.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import typing
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cathode.errors import CathodeError, nearest

_ENTRY = re.compile(r"^    (\w+): +(.*)$")


class MismatchError(CathodeError):
    """Plain values that are not what a type says; the message names the key."""


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def dump(kind: Any, value: Any) -> Any:
    """Plain JSON values of an object of type `kind`."""
    return _adapter(kind).dump_python(
        value, mode="json", warnings=False
    )  # wrong values are refused where they are read


def parse(kind: Any, tree: Any) -> Any:
    """An object of type `kind` from plain values. Raises MismatchError for unknown keys and wrong types."""
    _check_keys(kind, tree, "")
    try:
        return _adapter(kind).validate_json(json.dumps(tree, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        found = "nothing" if first["type"] == "missing" else _shortened(repr(first["input"]))
        raise MismatchError(f"{key}: found {found}, expected: {first['msg']}") from error


def _check_keys(kind: Any, tree: Any, path: str) -> None:
    """Refuse keys that `kind` or any dataclass inside it does not have."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(tree, dict):
            return
        hints = typing.get_type_hints(kind)
        known = [f.name for f in dataclasses.fields(kind)]
        for key, value in tree.items():
            if key not in known:
                raise MismatchError(f"unknown key {path}{key}{nearest(key, known)}; known here: {', '.join(known)}")
            _check_keys(hints[key], value, f"{path}{key}.")
        return
    inner = typing.get_args(kind)
    if typing.get_origin(kind) is dict:
        for key, value in tree.items() if isinstance(tree, dict) else ():
            _check_keys(inner[1], value, f"{path}{key}.")
    elif typing.get_origin(kind) in (tuple, list):
        for i, value in enumerate(tree) if isinstance(tree, list) else ():
            _check_keys(inner[0], value, f"{path}{i}.")
    else:
        for option in inner:
            _check_keys(option, tree, path)


def descriptions(cls: type) -> dict[str, str]:
    """What the docstrings of a dataclass and its bases say of each attribute, below `Attributes:`; one entry per attribute."""
    out: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        current = None
        _, _, listed = inspect.cleandoc(base.__doc__ or "").partition("Attributes:\n")
        for line in listed.splitlines():
            if line and not line.startswith("    "):
                break
            if found := _ENTRY.match(line):
                current = found[1]
                out[current] = found[2]
            elif current and line.strip():
                out[current] += " " + line.strip()
    return out


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else text[:197] + "..."


def dataclasses_in(kind: Any, seen: set[type] | None = None) -> Iterator[type]:
    """A dataclass and all that its fields name, each once."""
    seen = set() if seen is None else seen
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if kind in seen:
            return
        seen.add(kind)
        yield kind
        for hint in typing.get_type_hints(kind).values():
            yield from dataclasses_in(hint, seen)
    for option in typing.get_args(kind):
        yield from dataclasses_in(option, seen)


def json_schema(cls: type, title: str, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """JSON schema of a dataclass: no other keys than its own, a description for every key; `extra` are further properties."""
    schema = _adapter(cls).json_schema(mode="validation")
    named = {c.__name__: c for c in dataclasses_in(cls)}
    for name, part in ((cls.__name__, schema), *schema.get("$defs", {}).items()):
        if name not in named:
            continue
        part["additionalProperties"] = False
        part.pop("description", None)
        if summary := (inspect.getdoc(named[name]) or "").split("\n\n")[0]:
            part["description"] = " ".join(summary.split())
        said, ranges = descriptions(named[name]), {f.name: f.metadata for f in dataclasses.fields(named[name])}
        for key, value in part.get("properties", {}).items():
            value.pop("title", None)
            if key in said:
                value["description"] = said[key]
            if allowed := ranges.get(key):
                value["exclusiveMinimum" if allowed["above"] else "minimum"] = allowed["low"]
                value["maximum"] = allowed["high"]
    schema["properties"] = (extra or {}) | schema["properties"]
    schema.pop("title", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema}
