"""The baseline that costs nothing: location and scale of every feature follow the mass, and nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cathode.density.registry import Progress
from cathode.density.scaling import Gaussianiser
from cathode.density.settings import LocationSettings
from cathode.errors import FitError

Array = NDArray[np.float64]

_LEAST = 1e-4  # added to squared distances before their logarithm is fitted


@dataclass(frozen=True)
class LocationScaleDensity:
    """A fitted ensemble of E members over d features, with polynomials of degree k.

    The Gaussianised features u have mean a(m) and standard deviation s(m), polynomials of log m (of the mean, and of the logarithm of the
    scale), and (u - a) / s is a Gaussian of fixed covariance. So an event is moved to another mass by two numbers per feature. What else
    changes with the mass (shapes, correlations) is left as it is: a baseline that every other density must beat at its price.

    Attributes:
        settings: what it was fitted with.
        scaler: Gaussianisation, shared by all members.
        mass_mean, mass_sd: standardisation of log m.
        mass_range: (2,) of the standardised log m in training; polynomials go on as constants beyond.
        location (E, k + 1, d), log_scale (E, k + 1, d): coefficients.
        covariance: (E, d, d) of (u - a) / s.
    """

    Settings: ClassVar = LocationSettings

    settings: LocationSettings
    scaler: Gaussianiser
    mass_mean: float
    mass_sd: float
    mass_range: Array
    location: Array
    log_scale: Array
    covariance: Array

    @classmethod
    def fit(
        cls,
        x: Array,
        m: Array,
        *,
        settings: LocationSettings | None = None,
        weights: NDArray[np.generic] | None = None,
        seeds: Sequence[int] = (1,),
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> LocationScaleDensity:
        """Two least-squares fits per member on features `x (n, d)` at masses `m (n,)` (GeV, positive): of u, and of log((u - a)^2).

        Member e has the weights `weights[e] (n,)` (None: all 1). Nothing is random: members of equal weights are equal. Raises FitError where the
        masses do not determine the polynomials.
        """
        s, n_members = settings or LocationSettings(), len(seeds)
        scaler, log_m = Gaussianiser.fit(x), np.log(m)
        mean, sd = float(log_m.mean()), float(log_m.std())
        if sd == 0:
            raise FitError("location density: found one mass only, expected a range of them")
        t = (log_m - mean) / sd
        u, powers = scaler.forward(x), np.vander(t, s.degree + 1, increasing=True)
        locations, scales, covariances = [], [], []
        for e in range(n_members):
            weight = np.ones(len(t)) if weights is None else np.asarray(weights[e], dtype=float)
            location = _least_squares(powers, u, weight)
            apart = u - powers @ location
            log_scale = _least_squares(powers, 0.5 * np.log(apart**2 + _LEAST), weight)
            z = apart / np.exp(powers @ log_scale)
            log_scale[0] += 0.5 * np.log(
                np.average(z**2, axis=0, weights=weight)
            )  # the mean of a logarithm is not that of a variance
            z = apart / np.exp(powers @ log_scale)
            locations.append(location)
            scales.append(log_scale)
            covariances.append((z * weight[:, None]).T @ z / weight.sum())
            if progress:
                progress(e + 1, n_members, 0.0)
        ends = np.array([t.min(), t.max()])
        return cls(s, scaler, mean, sd, ends, np.array(locations), np.array(scales), np.array(covariances))

    @property
    def n_members(self) -> int:
        """Number of members E."""
        return len(self.location)

    def _at(self, m: Array, member: int) -> tuple[Array, Array]:
        """Location and log of the scale `(n, d)` at masses `m (n,)`."""
        t = np.clip((np.log(m) - self.mass_mean) / self.mass_sd, *self.mass_range)
        powers = np.vander(t, self.settings.degree + 1, increasing=True)
        return powers @ self.location[member], powers @ self.log_scale[member]

    def encode(self, x: Array, m: Array, *, member: int = 0) -> Array:
        """Standardised normal coordinates `z (n, d)` of features `x (n, d)` at masses `m (n,)`."""
        location, log_scale = self._at(m, member)
        return np.asarray((self.scaler.forward(x) - location) / np.exp(log_scale))

    def decode(self, z: Array, m: Array, *, member: int = 0) -> Array:
        """Features `(n, d)` of coordinates `z (n, d)` at masses `m (n,)`: the inverse of `encode`."""
        location, log_scale = self._at(m, member)
        return self.scaler.inverse(location + np.exp(log_scale) * z)

    def sample(self, m: Array, *, member: int = 0, seed: int = 1) -> Array:
        """Draw features `(n, d)` at masses `m (n,)` from one member."""
        root = np.linalg.cholesky(self.covariance[member])
        z = np.random.default_rng(seed).standard_normal((len(m), len(root))) @ root.T
        return self.decode(z, m, member=member)

    def log_prob(self, x: Array, m: Array, *, member: int = 0) -> Array:
        """Log p(x | m) `(n,)` of one member, per unit of the features."""
        z, (_, log_scale) = self.encode(x, m, member=member), self._at(m, member)
        root = np.linalg.cholesky(self.covariance[member])
        flat = np.linalg.solve(root, z.T)
        normal = -0.5 * (flat**2).sum(axis=0) - np.log(np.diag(root)).sum() - 0.5 * len(root) * np.log(2 * np.pi)
        return np.asarray(normal - log_scale.sum(axis=1) + self.scaler.log_jacobian(x))


def _least_squares(powers: Array, values: Array, weight: Array) -> Array:
    """Coefficients `(k + 1, d)` of weighted least squares."""
    weighted = powers * weight[:, None]
    try:
        return np.asarray(np.linalg.solve(weighted.T @ powers, weighted.T @ values))
    except np.linalg.LinAlgError as error:
        raise FitError(
            "location density: found too few masses for its polynomials, expected a range of them"
        ) from error
