"""Distributions and their tails, from scipy.special: what scipy.stats says to the last bit, without the second that its import costs every job."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import chdtrc, gammaln, log_ndtr, ndtr, ndtri, stdtrit


def normal_sf(z: Any) -> Any:
    """P(Z > z) of the standard normal distribution."""
    return ndtr(-np.asarray(z, dtype=float))[()]


def normal_logsf(z: Any) -> Any:
    """Its logarithm."""
    return log_ndtr(-np.asarray(z, dtype=float))[()]


def normal_isf(p: Any) -> Any:
    """The z with P(Z > z) = p."""
    return -ndtri(np.asarray(p, dtype=float))[()]


def normal_pdf(x: Any, scale: Any = 1.0) -> Any:
    """Density at `x` of the normal distribution of mean 0 and standard deviation `scale`."""
    return np.exp(-(np.square(np.asarray(x) / scale)) / 2.0) / (np.sqrt(2 * np.pi) * scale)


def chi2_sf(x: Any, dof: Any) -> Any:
    """P(X > x) of the chi-squared distribution."""
    return chdtrc(dof, x)


def student_isf(p: Any, nu: float) -> Any:
    """The t with P(T > t) = p of Student's distribution."""
    return -stdtrit(nu, p)


def student_pdf(x: Any, nu: float, scale: float = 1.0) -> Any:
    """Density at `x` of Student's distribution of the given scale."""
    t = np.asarray(x, dtype=float) / scale
    norm = gammaln((nu + 1) / 2) - gammaln(nu / 2) - np.log(nu * np.pi) / 2
    return np.exp(norm - (nu + 1) / 2 * np.log1p(np.square(t) / nu)) / scale
