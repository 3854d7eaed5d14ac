"""Pseudo-data: background drawn from a fitted truth over the whole mass range, and signal injected into it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cathode.density.registry import Density
from cathode.events import Events
from cathode.regions import Window
from cathode.seeds import derive_seed
from cathode.spectrum.sideband_model import MassModel

Array = NDArray[np.float64]

_SMEARING = 0.01


@dataclass(frozen=True)
class Background:
    """A known background.

    Attributes:
        density: of its features.
        spectrum: of its masses in the signal region.
        sideband_mass: recorded masses of the sidebands (GeV).
        names: of the features.
        window: where it is hunted in.
    """

    density: Density
    spectrum: MassModel
    sideband_mass: Array
    names: tuple[str, ...]
    window: Window

    def total(self) -> float:
        """Events that the spectrum stands for."""
        return len(self.sideband_mass) + self.spectrum.expected()[0]

    def draw(self, n_expected: float, *, seed: int) -> Events:
        """A background-only pseudo-experiment of Poisson(`n_expected`) events over the whole range.

        Sideband masses are resampled from the recorded ones and smeared by 1 % (reflected at the edges of their sideband),
        masses of the signal region follow the interpolated spectrum: no signal-region event is used.
        """
        rng = np.random.default_rng(derive_seed(seed, "masses"))
        scale = n_expected / self.total()
        n_side = rng.poisson(scale * len(self.sideband_mass))
        n_inside = rng.poisson(scale * self.spectrum.expected()[0])
        side = self._smeared(rng.choice(self.sideband_mass, n_side), rng)
        mass = np.concatenate([side, self.spectrum.sample(n_inside, seed=derive_seed(seed, "signal region"))])
        mass = mass[rng.permutation(len(mass))]
        features = self.density.sample(mass, member=0, seed=derive_seed(seed, "features"))
        return Events(self.names, np.arange(len(mass)), mass, features)

    def _smeared(self, mass: Array, rng: np.random.Generator) -> Array:
        low_edge, high_edge = self.window.signal
        lower = mass < low_edge
        a = np.where(lower, self.window.range[0], high_edge)
        b = np.where(lower, low_edge, self.window.range[1])
        out = mass * np.exp(_SMEARING * rng.standard_normal(len(mass)))
        out = np.where(out < a, 2 * a - out, out)
        out = np.where(out >= b, 2 * b - out, out)
        return np.asarray(np.clip(out, a, np.nextafter(b, a)))


def inject(
    background: Events, signal: Events, window: Window, n_in_window: float, *, seed: int, replace: bool = True
) -> Events:
    """Background plus signal drawn from `signal` (with replacement or not), Poisson(`n_in_window`) of it in the signal region.

    Rows of signal events are negative, which is how `is_signal` knows them.
    """
    drawn = draw_signal(signal, window, n_in_window, seed=seed, replace=replace)
    return Events(
        background.names,
        np.concatenate([background.row, -1 - np.arange(len(drawn))]),
        np.concatenate([background.mass, signal.mass[drawn]]),
        np.concatenate([background.features, signal.features[drawn]]),
    )


def draw_signal(signal: Events, window: Window, n_in_window: float, *, seed: int, replace: bool) -> NDArray[np.int64]:
    """Indices of the signal events that `inject` adds."""
    rng = np.random.default_rng(seed)
    inside = int(window.in_signal(signal.mass).sum())
    n = rng.poisson(n_in_window * len(signal) / inside) if inside else 0
    if replace:
        return np.asarray(rng.integers(0, len(signal), n) if n else np.empty(0), dtype=np.int64)
    return np.asarray(rng.permutation(len(signal))[:n], dtype=np.int64)


def is_signal(row: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Events that `inject` added, by their row."""
    return row < 0
