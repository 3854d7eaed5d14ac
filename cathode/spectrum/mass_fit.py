"""The second view: the mass spectrum behind the cut, fitted in the sidebands and compared with the signal region's count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from cathode.errors import FitError
from cathode.spectrum.loglinear import Basis, LogLinearFit, akaike_weights, all_fits, dijet, integral, log_polynomial
from cathode.stats.tails import chi2_sf

Array = NDArray[np.float64]

FAMILIES = ("dijet", "polynomial")
_MAX_PARAMETERS = 5
_GOOD = 0.05
_COUNTS = 0.1
BAD = 1e-3  # goodness of fit below which a fit predicts nothing


@dataclass(frozen=True, kw_only=True)
class SpectrumFit:
    """One function fitted to the sidebands.

    Attributes:
        family: `dijet` or `polynomial`.
        n_parameters: of the function.
        expected: background in the signal region (events).
        fit_error: its error from the fit (events).
        p_value: goodness of fit, chi2 of the Poisson deviance. For bins of a few events too large by construction.
        deviance: of the fit.
        coefficients: of the terms of the family.
        fit_range: masses that the terms are scaled to (GeV).
        sqrt_s: collision energy that the terms are scaled to (GeV).
    """

    family: str
    n_parameters: int
    expected: float
    fit_error: float
    p_value: float
    deviance: float
    coefficients: tuple[float, ...]
    fit_range: tuple[float, float]
    sqrt_s: float

    def density(self, m: Array) -> Array:
        """Background events per GeV at masses `m`."""
        basis = family_basis(self.family, self.n_parameters, *self.fit_range, self.sqrt_s)
        return np.asarray(np.exp(basis(m) @ np.array(self.coefficients)))


@dataclass(frozen=True, kw_only=True)
class MassFit:
    """The mass spectrum behind a cut, fitted in the sidebands, against the count in the signal region.

    Attributes:
        chosen: the function that predicts.
        alternates: those that are worth a tenth or more beside it.
        spurious: root of the mean squared difference of all functions' predictions from the chosen one (events), by what they are worth: the choice of function.
        sigma: error of the prediction (events): fit and choice of function in quadrature.
        n_obs: events in the signal region.
        z: significance, both errors in it; null where no function describes the sidebands (p < 0.001).
        flags: what a reader must know.
    """

    chosen: SpectrumFit
    alternates: tuple[SpectrumFit, ...]
    spurious: float
    sigma: float
    n_obs: float
    z: float | None
    flags: tuple[str, ...]


def p_text(p: float) -> str:
    """A p-value for a sentence; one that a float cannot hold is not 0.

    >>> p_text(0.0123), p_text(0.0)
    ('p = 0.012', 'p below 1e-300')
    """
    return f"p = {p:.2g}" if p > 1e-300 else "p below 1e-300"


def z_profile(n: float, b: float, sigma: float) -> float:
    """Signed significance of `n` over a background `b` with error `sigma` that is itself a Poisson measurement.

    The background is known from an auxiliary count m = (b / sigma)^2 of exposure tau = b / sigma^2:
    Z^2 = 2 [n ln(n (b + s^2) / (b^2 + n s^2)) - b^2 / s^2 ln(1 + s^2 (n - b) / (b (b + s^2)))].
    Source: Li and Ma, ApJ 272 (1983) 317, eq. 17, written in b and sigma. Asymptotic, as Li-Ma.

    >>> round(z_profile(140, 100, 10), 3)
    2.588
    """
    v = sigma**2
    if v == 0:
        return float(np.sign(n - b) * np.sqrt(max(2 * (xlogy(n, n / b) - n + b), 0.0)))
    first = xlogy(n, n * (b + v) / (b**2 + n * v))
    return float(np.sign(n - b) * np.sqrt(max(2 * (first - b**2 / v * np.log1p(v * (n - b) / (b * (b + v)))), 0.0)))


def family_basis(family: str, n: int, low: float, high: float, sqrt_s: float) -> Basis:
    """The `n` terms of a family of functions on [low, high] (GeV)."""
    return dijet(low, high, n, sqrt_s) if family == "dijet" else log_polynomial(low, high, n)


def fit_families(edges: Array, counts: Array, interval: tuple[float, float], *, sqrt_s: float) -> list[SpectrumFit]:
    """Every function of every family that converges, up to 5 parameters and two bins per parameter: dijet functions (below `sqrt_s`), polynomials in log mass."""
    low, high = float(edges.min()), float(edges.max())
    most = min(_MAX_PARAMETERS, len(counts) // 2)
    found = []
    for family in (f for f in FAMILIES if f != "dijet" or high < sqrt_s):

        def basis_of(n: int, family: str = family) -> Basis:
            return family_basis(family, n, low, high, sqrt_s)

        try:
            fits = all_fits(edges, counts, basis_of, most)
        except FitError:
            continue
        for fit in fits:
            n = len(fit.coefficients)
            expected, error = integral(fit.coefficients, fit.covariance, basis_of(n), interval)
            found.append(
                SpectrumFit(
                    family=family,
                    n_parameters=n,
                    expected=expected,
                    fit_error=error,
                    p_value=float(chi2_sf(fit.deviance, max(len(counts) - n, 1))),
                    deviance=fit.deviance,
                    coefficients=tuple(fit.coefficients.tolist()),
                    fit_range=(low, high),
                    sqrt_s=sqrt_s,
                )
            )
    return found


def weights_of(fits: Sequence[SpectrumFit]) -> Array:
    """`akaike_weights` of functions of several families."""
    return akaike_weights([LogLinearFit(np.array(f.coefficients), np.empty((0, 0)), f.deviance) for f in fits])


def mass_fit(
    edges: Array, counts: Array, n_obs: float, interval: tuple[float, float], *, sqrt_s: float
) -> MassFit | None:
    """Compare `n_obs` events of the signal region `interval` with a fit to sideband `counts (b,)` in bins `edges (b, 2)`.

    The signal region is one bin with a free signal, so no signal shape is assumed and the background fit is that of the
    sidebands alone. All functions of `fit_families` take part with their `akaike_weights` w: the one that weighs most predicts, and the others' distance from it,
    sum_k w_k (b_k - b)^2, and their own errors, sum_k w_k sigma_k^2, are the variance. Returns None when nothing converges or fewer than 20 sideband events pass.
    """
    if counts.sum() < 20:
        return None
    fits = fit_families(edges, counts, interval, sqrt_s=sqrt_s)
    if not fits:
        return None
    weights = weights_of(fits)
    chosen = fits[int(weights.argmax())]
    alternates = tuple(f for f, w in zip(fits, weights, strict=True) if f is not chosen and w > _COUNTS)
    spurious = float(np.sqrt(weights @ np.array([(f.expected - chosen.expected) ** 2 for f in fits])))
    flags = () if chosen.p_value > _GOOD else (f"mass fit of the selected sidebands: {p_text(chosen.p_value)}",)
    sigma = float(np.hypot(np.sqrt(weights @ np.array([f.fit_error**2 for f in fits])), spurious))
    good = chosen.p_value >= BAD
    if not good:
        flags = (
            f"mass fit of the selected sidebands: no function describes them ({p_text(chosen.p_value)}), no significance",
        )
    return MassFit(
        chosen=chosen,
        alternates=alternates,
        spurious=spurious,
        sigma=sigma,
        n_obs=n_obs,
        z=z_profile(n_obs, chosen.expected, sigma) if good else None,
        flags=flags,
    )


@dataclass(frozen=True, kw_only=True)
class Sculpting:
    """Dependence of the selection's efficiency on the mass in the sidebands.

    Attributes:
        masses: mean mass of every slice of the sidebands (GeV).
        efficiency: share that passes, per slice.
        error: of `efficiency`.
        slope: of the efficiency relative to its mean, per width of the signal region.
        slope_error: standard deviation of `slope`.
        p_value: chi2 probability of a constant efficiency.
    """

    masses: tuple[float, ...]
    efficiency: tuple[float, ...]
    error: tuple[float, ...]
    slope: float
    slope_error: float
    p_value: float


def sculpting(mass: Array, passes: Array, interval: tuple[float, float], slices: int = 10) -> Sculpting | None:
    """Test whether the share of sideband events `mass (n,)` that pass depends on the mass.

    `passes (n,)` is 1 or 0, or the share of fold splits in which an event passes. Slices hold equal numbers of events;
    binomial errors from the common efficiency (exact under the tested hypothesis for one split, too large for an average).
    Returns None when fewer than 5 expected events pass per slice at any number of slices from `slices` down to 2.
    """
    slices = int(min(slices, passes.sum() // 5))
    if slices < 2:
        return None
    index = np.array_split(np.argsort(mass, kind="stable"), slices)
    n = np.array([len(i) for i in index], dtype=float)
    k = np.array([passes[i].sum() for i in index], dtype=float)
    centre = np.array([mass[i].mean() for i in index])
    mean = float(k.sum() / n.sum())
    error = np.sqrt(mean * (1 - mean) / n)
    statistic = float(np.sum(((k / n - mean) / error) ** 2))
    t = (centre - np.average(centre, weights=n)) / (interval[1] - interval[0])
    slope = float(np.sum(n * t * (k / n - mean)) / np.sum(n * t**2)) / mean
    slope_error = float(np.sqrt(mean * (1 - mean) / np.sum(n * t**2))) / mean
    return Sculpting(
        masses=tuple(centre.tolist()),
        efficiency=tuple((k / n).tolist()),
        error=tuple(error.tolist()),
        slope=slope,
        slope_error=slope_error,
        p_value=float(chi2_sf(statistic, slices - 1)),
    )
