"""What a density model is, and by which name one is found: built in, registered by an installed package, or `module.Class`.

A model of your own is a class with the verbs of `Density` and a nested dataclass `Settings`. It is used without a change in this package:
`background.model: mypackage.MyDensity` in the configuration, `DensitySettings(model="mypackage.MyDensity")` in a notebook, or by name
where its package declares `[project.entry-points."cathode.densities"]`. To be stored, it must be a frozen dataclass of arrays, numbers,
strings and other such dataclasses.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cathode.density.settings import DensitySettings
from cathode.errors import ConfigError

Array = NDArray[np.float64]
Progress = Callable[[int, int, float], None]

ENTRY_POINTS = "cathode.densities"
BUILT_IN = {
    "histogram": "cathode.density.histogram:HistogramDensity",
    "location": "cathode.density.location:LocationScaleDensity",
    "maf": "cathode.density.flows:FlowDensity",
    "spline": "cathode.density.flows:FlowDensity",
}
_VERBS = ("fit", "sample", "n_members")
_TRANSPORT = ("encode", "decode")


@runtime_checkable
class Density(Protocol):
    """A fitted ensemble of conditional densities p(x | m) over d features.

    `encode` and `decode` are needed by `template.base: sidebands`; a model that only samples serves `template.base: model`.
    """

    @classmethod
    def fit(
        cls,
        x: Array,
        m: Array,
        *,
        settings: Any = None,
        weights: NDArray[np.generic] | None = None,
        seeds: Sequence[int] = (1,),
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> Self:
        """Fit one member per seed on features `x (n, d)` at masses `m (n,)` (GeV, positive).

        `weights (E, n)` are those of the events for each of the E members (None: all 1); member e starts from `seeds[e]`. Equal arguments
        give equal members. Raises FitError when no usable density comes out.
        """

    @property
    def n_members(self) -> int:
        """Number of members E."""

    def sample(self, m: Array, *, member: int = 0, seed: int = 1) -> Array:
        """Draw features `(n, d)` at masses `m (n,)` from one member."""

    def encode(self, x: Array, m: Array, *, member: int = 0) -> Array:
        """Coordinates `(n, d)` in which the member's density is the same at every mass."""

    def decode(self, z: Array, m: Array, *, member: int = 0) -> Array:
        """Features `(n, d)` of coordinates `z (n, d)` at masses `m (n,)`: the inverse of `encode`."""

    def log_prob(self, x: Array, m: Array, *, member: int = 0) -> Array:
        """Log p(x | m) `(n,)`, per unit of the features."""


def density_class(model: str) -> type[Density]:
    """The class of a model's name. Raises ConfigError for one that is not found or lacks a verb."""
    found = _load(BUILT_IN[model]) if model in BUILT_IN else _foreign(model)
    if missing := [verb for verb in _VERBS if not hasattr(found, verb)]:
        raise ConfigError(
            f"background.model: {model} has no {', '.join(missing)}, expected a density with {', '.join(_VERBS)}"
        )
    return found


def is_transportable(model: str) -> bool:
    """Whether a model can move recorded events from one mass to another."""
    return model in BUILT_IN or all(hasattr(density_class(model), verb) for verb in _TRANSPORT)


def settings_of(model: str, given: DensitySettings) -> Any:
    """The settings object that a model is fitted with. Raises ConfigError for names that its `Settings` has not."""
    if model in BUILT_IN:
        return getattr(given, model)
    cls: Any = getattr(density_class(model), "Settings", None)
    if not hasattr(cls, "__dataclass_fields__"):
        if given.settings:
            raise ConfigError(f"background.settings: {model} has no settings, found {', '.join(given.settings)}")
        return None
    known = [f.name for f in dataclasses.fields(cls)]
    for name in given.settings:
        if name not in known:
            raise ConfigError(f"background.settings: {model} has no {name}, expected among {', '.join(known)}")
    return cls(**given.settings)


def stored_class(name: str, model: str) -> type | None:
    """The class behind the name that a file gives, if it is a built-in density or the one that `model` names; never any other."""
    candidates = {target.partition(":")[2]: target for target in BUILT_IN.values()}
    if name in candidates:
        return _load(candidates[name])
    if model not in BUILT_IN:
        found = density_class(model)
        return found if found.__name__ == name else None
    return None


_GIVEN: dict[str, type] = {}


def use_density(cls: type) -> str:
    """The name under which a class that was handed over in Python is found in this process."""
    name = f"{cls.__module__}.{cls.__qualname__}"
    _GIVEN[name] = cls
    return name


def source_sha256(model: str) -> str:
    """Checksum of the module of a density of one's own; empty for the package's, which are part of a step's code."""
    if model in BUILT_IN:
        return ""
    path = inspect.getsourcefile(density_class(model))
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] if path else ""


def _load(target: str) -> type:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]


def _foreign(model: str) -> type:
    if model in _GIVEN:
        return _GIVEN[model]
    expected = f"expected {', '.join(BUILT_IN)}, module.Class, or a name registered as {ENTRY_POINTS}"
    if "." not in model:
        from importlib.metadata import entry_points

        for point in entry_points(group=ENTRY_POINTS, name=model):
            return point.load()  # type: ignore[no-any-return]
        raise ConfigError(f"background.model: found {model}, {expected}")
    module, _, name = model.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"background.model: found {model}, but {error}; expected an installed module, or one in a folder of PYTHONPATH"
        ) from error
    except AttributeError as error:
        raise ConfigError(f"background.model: found {model}, but {module} has no {name}") from error
    except Exception as error:
        raise ConfigError(f"background.model: {model} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(found, type):
        raise ConfigError(f"background.model: {model} is no class, {expected}")
    return found
