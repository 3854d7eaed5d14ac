"""Numbers of the settings and what they may be: each says its range beside its default, and one function refuses all that lie outside."""

from __future__ import annotations

import dataclasses
from typing import Any

from cathode.errors import ConfigError


def within(default: Any, low: float, high: float, *, above: bool = False) -> Any:
    """A field of a settings class whose number lies in [low, high], or with `above` in (low, high]; NaN never does."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "above": above})


def check_ranges(settings: Any, where: str) -> None:
    """Raise ConfigError for the first number of a settings object, the key `where`, that lies outside its range.

    >>> from cathode.classifier.settings import TreeSettings
    >>> TreeSettings(leaves=1)
    Traceback (most recent call last):
    ...
    cathode.errors.ConfigError: classifier.boosted_trees.leaves: found 1, expected 2 to 1024
    """
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if "low" not in field.metadata or isinstance(value, str) or value is None:
            continue
        low, high = field.metadata["low"], field.metadata["high"]
        if not (low < value if field.metadata["above"] else low <= value) or not value <= high:
            more = "more than " if field.metadata["above"] else ""
            raise ConfigError(f"{where}.{field.name}: found {value:g}, expected {more}{low:g} to {high:g}".lstrip("."))
