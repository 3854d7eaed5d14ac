"""A density that the package does not know, as somebody else would write one: normal, its mean a polynomial of log m.

`background.model: linear_density.LinearDensity` with this file's folder on PYTHONPATH; nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LinearSettings:
    """How stiff it is."""

    order: int = 1


@dataclass(frozen=True)
class LinearDensity:
    """x | m is normal: its mean a polynomial of log m, its covariance the same everywhere; weighted least squares per member."""

    Settings: ClassVar = LinearSettings

    order: int
    centre: float
    coefficients: Array  # (E, order + 1, d)
    root: Array  # (E, d, d), lower triangular

    @classmethod
    def fit(
        cls,
        x: Array,
        m: Array,
        *,
        settings: LinearSettings | None = None,
        weights: NDArray[Any] | None = None,
        seeds: Sequence[int] = (1,),
        device: str = "cpu",
        progress: Callable[[int, int, float], None] | None = None,
    ) -> LinearDensity:
        order, centre = (settings or LinearSettings()).order, float(np.log(m).mean())
        t = (np.log(m) - centre)[:, None] ** np.arange(order + 1)
        coefficients, roots = [], []
        for e in range(len(seeds)):
            w = np.ones(len(m)) if weights is None else weights[e].astype(float)
            a = np.linalg.solve((t * w[:, None]).T @ t, (t * w[:, None]).T @ x)
            left = x - t @ a
            coefficients.append(a)
            roots.append(np.linalg.cholesky((left * w[:, None]).T @ left / w.sum()))
            if progress:
                progress(e + 1, len(seeds), 0.0)
        return cls(order, centre, np.array(coefficients), np.array(roots))

    @property
    def n_members(self) -> int:
        return len(self.coefficients)

    def _mean(self, m: Array, member: int) -> Array:
        t = (np.log(m) - self.centre)[:, None] ** np.arange(self.order + 1)
        return np.asarray(t @ self.coefficients[member])

    def sample(self, m: Array, *, member: int = 0, seed: int = 1) -> Array:
        z = np.random.default_rng(seed).standard_normal((len(m), self.root.shape[1]))
        return self.decode(z, m, member=member)

    def encode(self, x: Array, m: Array, *, member: int = 0) -> Array:
        return np.asarray(solve_triangular(self.root[member], (x - self._mean(m, member)).T, lower=True).T)

    def decode(self, z: Array, m: Array, *, member: int = 0) -> Array:
        return np.asarray(self._mean(m, member) + z @ self.root[member].T)

    def log_prob(self, x: Array, m: Array, *, member: int = 0) -> Array:
        z, d = self.encode(x, m, member=member), self.root.shape[1]
        volume = np.log(np.diag(self.root[member])).sum() + d / 2 * np.log(2 * np.pi)
        return np.asarray(-0.5 * (z**2).sum(axis=1) - volume)
