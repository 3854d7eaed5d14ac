"""Any nesting of dataclasses, dictionaries and lists around arrays, as plain values and arrays; an array that occurs twice is stored once."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

import numpy as np

from cathode.density.registry import Density, stored_class
from cathode.errors import ArtefactError


def encode(value: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    """Plain values that name every array, which go into `arrays`."""
    if isinstance(value, np.ndarray):
        key = next((k for k, v in arrays.items() if v is value), f"a{len(arrays):05d}")
        arrays[key] = np.ascontiguousarray(value)
        return {"$array": key}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: encode(getattr(value, f.name), arrays) for f in dataclasses.fields(value)}
        return {"$type": type(value).__name__, "fields": fields}
    if isinstance(value, dict):
        return {"$dict": {k: encode(v, arrays) for k, v in value.items()}}
    if isinstance(value, tuple):
        return {"$tuple": [encode(v, arrays) for v in value]}
    if isinstance(value, list):
        return [encode(v, arrays) for v in value]
    return value


def decode(value: Any, hint: Any, arrays: Any, density_model: str) -> Any:
    """The object that was encoded, of the type that the annotation `hint` allows and of no other."""

    def each(values: Any) -> list[Any]:
        inner = typing.get_args(hint)
        return [decode(v, inner[0] if inner else None, arrays, density_model) for v in values]

    if isinstance(value, list):
        return each(value)
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        return arrays[value["$array"]]
    if "$dict" in value:
        inner = (*typing.get_args(hint), None, None)[1]
        return {k: decode(v, inner, arrays, density_model) for k, v in value["$dict"].items()}
    if "$tuple" in value:
        return tuple(each(value["$tuple"]))
    cls = _class_of(value["$type"], hint, density_model)
    hints = typing.get_type_hints(cls)
    fields = {k: decode(v, hints.get(k), arrays, density_model) for k, v in value["fields"].items()}
    return cls(**fields)


def _class_of(name: str, hint: Any, density_model: str) -> Any:
    options: tuple[Any, ...] = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    found = next((o for o in options if hasattr(o, "__dataclass_fields__") and o.__name__ == name), None)
    if hint is Density:
        found = stored_class(name, density_model)
    if found is None:
        raise ArtefactError(f"found an object of class {name}, expected {getattr(hint, '__name__', hint)}")
    return found
