"""Bijections of single features, fitted on training data: Gaussianisation and the published logit chain.

A bijection maps a table `x (n, d)` to coordinates `u (n, d)` column by column. All share the verbs `fit`, `forward`,
`inverse` and `log_jacobian` (the log of |det du/dx| per row) and are frozen dataclasses of arrays, so that they
are stored and rebuilt by value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.special import expit, logit, ndtr, ndtri

from cathode.errors import FitError

if TYPE_CHECKING:  # `cathode check` fits scalings, and must not pay for torch
    import torch

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Gaussianiser:
    """Monotone map that gives every feature a standard normal marginal on the training data.

    A shape-preserving cubic (PCHIP) runs through the empirical quantiles at levels equally spaced in the normal
    coordinate. It is tabulated and interpolated linearly, so forward and inverse are exact inverses. Beyond the
    table the mean slope of its outer sixteenth continues (the outermost cell's may vanish): the map is a bijection of the whole line. Not made for features with large
    atoms (many events at one value): an atom is mapped to one point of u.

    Attributes:
        x_table: (d, t) strictly increasing feature values.
        u_table: (d, t) strictly increasing normal coordinates at `x_table`.
    """

    x_table: Array
    u_table: Array

    @classmethod
    def fit(cls, x: Array, *, n_knots: int = 96, n_table: int = 2048) -> Gaussianiser:
        """Fit on `x (n, d)`. Raises FitError below 50 events or for a feature without spread."""
        n, d = x.shape
        if n < 50:
            raise FitError(f"Gaussianiser: found {n} training events, expected at least 50")
        u_max = -float(ndtri(2.0 / n))
        levels = np.linspace(-u_max, u_max, n_knots)
        tables = []
        for j in range(d):
            knots = np.quantile(x[:, j], ndtr(levels))
            knots_x, first, count = np.unique(knots, return_index=True, return_counts=True)
            if len(knots_x) < 4:
                raise FitError(f"feature {j} has {len(knots_x)} distinct quantiles, expected a continuous feature")
            knots_u = levels[first] + (count - 1) * (levels[1] - levels[0]) / 2  # mid-level of repeated values
            u_row = np.linspace(knots_u[0], knots_u[-1], n_table)
            tables.append((PchipInterpolator(knots_u, knots_x)(u_row), u_row))
        return cls(np.array([t[0] for t in tables]), np.array([t[1] for t in tables]))

    def forward(self, x: Array) -> Array:
        """Normal coordinates `u (n, d)` of features `x (n, d)`."""
        return _mapped(x, self.x_table, self.u_table)

    def inverse(self, u: Array) -> Array:
        """Features `x (n, d)` of normal coordinates `u (n, d)`."""
        return _mapped(u, self.u_table, self.x_table)

    def log_jacobian(self, x: Array) -> Array:
        """Log |det du/dx| `(n,)`: piecewise constant, from the slope of the table."""
        total = np.zeros(len(x))
        for j, (xs, us) in enumerate(zip(self.x_table, self.u_table, strict=True)):
            slopes = np.concatenate([[_tail(xs, us, 0)], np.diff(us) / np.diff(xs), [_tail(xs, us, -1)]])
            total += np.log(slopes[np.searchsorted(xs, x[:, j], side="right")])
        return total


def _mapped(values: Array, source: Array, target: Array) -> Array:
    import torch

    v = torch.from_numpy(np.ascontiguousarray(values))
    return interpolated(v, torch.from_numpy(source), torch.from_numpy(target), tails(source, target)).numpy()


def interpolated(
    values: torch.Tensor, source: torch.Tensor, target: torch.Tensor, slopes: list[tuple[float, float]]
) -> torch.Tensor:
    """Linear interpolation of every column of `values (n, d)` in tables `(d, t)`, beyond them with the `slopes` of `tails`."""
    import torch

    out = torch.empty_like(values)
    for j, (a, b, (below, above)) in enumerate(zip(source, target, slopes, strict=True)):
        v = values[:, j].contiguous()
        cell = (torch.bucketize(v, a, right=True) - 1).clamp_(0, len(a) - 2)
        inner = v.clamp(a[0], a[-1])
        slope = torch.diff(b) / torch.diff(a)
        out[:, j] = b[cell] + slope[cell] * (inner - a[cell])
        out[:, j] += (v - a[0]).clamp_max_(0) * below + (v - a[-1]).clamp_min_(0) * above
    return out


def tails(source: Array, target: Array) -> list[tuple[float, float]]:
    """Slopes of tables `(d, t)` below their first and above their last entry, per feature."""
    return [(_tail(a, b, 0), _tail(a, b, -1)) for a, b in zip(source, target, strict=True)]


def _tail(a: Array, b: Array, end: int) -> float:
    """Mean slope db/da over the outer sixteenth of a table at its first (0) or last (-1) entry."""
    inner = len(a) // 16 if end == 0 else -1 - len(a) // 16
    return float((b[end] - b[inner]) / (a[end] - a[inner]))


@dataclass(frozen=True)
class LogitScaler:
    """The published chain: min-max to (0, 1) with a margin, logit, then zero mean and unit variance.

    Source: Hallin et al. (CATHODE), arXiv:2109.00546, section III. Only defined inside the training range plus
    the margin: values outside are moved to its edge by `forward`.

    Attributes:
        low, high: (d,) edges of the open interval that is mapped to the line.
        mean, sd: (d,) of the logits on the training data.
    """

    low: Array
    high: Array
    mean: Array
    sd: Array

    @classmethod
    def fit(cls, x: Array, *, margin: float = 1e-4) -> LogitScaler:
        """Fit on `x (n, d)`; `margin` is the share of the range added on both sides."""
        low, high = x.min(axis=0), x.max(axis=0)
        if np.any(high <= low):
            raise FitError(f"feature {int(np.argmax(high <= low))} is constant, expected a spread of values")
        pad = margin * (high - low)
        low, high = low - pad, high + pad
        z = logit((x - low) / (high - low))
        return cls(low, high, z.mean(axis=0), z.std(axis=0))

    def _unit(self, x: Array) -> Array:
        return np.clip((x - self.low) / (self.high - self.low), 1e-9, 1 - 1e-9)

    def forward(self, x: Array) -> Array:
        """Standardised logits `u (n, d)` of features `x (n, d)`."""
        return (logit(self._unit(x)) - self.mean) / self.sd

    def inverse(self, u: Array) -> Array:
        """Features `x (n, d)` of standardised logits `u (n, d)`."""
        return self.low + (self.high - self.low) * expit(u * self.sd + self.mean)

    def log_jacobian(self, x: Array) -> Array:
        """Log |det du/dx| `(n,)`; -inf outside the interval, where the map, and so a density built on it, has no support."""
        p = self._unit(x)
        inside = ((x > self.low) & (x < self.high)).all(axis=1)
        log_slope = -(np.log(p * (1 - p)) + np.log((self.high - self.low) * self.sd)).sum(axis=1)
        return np.where(inside, log_slope, -np.inf)
