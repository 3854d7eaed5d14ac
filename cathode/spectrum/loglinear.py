"""Poisson fits of binned spectra whose log density is linear in the parameters: dN/dm = exp(sum_k a_k phi_k(m))."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from iminuit import Minuit
from numpy.typing import NDArray
from scipy.special import xlogy

from cathode.errors import FitError

Array = NDArray[np.float64]
Basis = Callable[[Array], Array]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(3)


@dataclass(frozen=True)
class LogLinearFit:
    """Result of `fit_log_linear`.

    Attributes:
        coefficients: a_k; phi_0 must be 1, so that a_0 is the log of the density's scale in events per GeV.
        covariance: of the coefficients, from the curvature at the minimum.
        deviance: -2 ln of the likelihood ratio to the saturated model.
    """

    coefficients: Array
    covariance: Array
    deviance: float


def log_polynomial(low: float, high: float, n: int) -> Basis:
    """Powers 0 .. n - 1 of t = (ln m - centre) / scale, t = -1 .. 1 on [low, high]."""
    centre, scale = np.log(low * high) / 2, np.log(high / low) / 2
    return lambda m: ((np.log(m)[..., None] - centre) / scale) ** np.arange(n)


def dijet(low: float, high: float, n: int, sqrt_s: float) -> Basis:
    """The n-parameter dijet function p1 (1 - x)^p2 x^-(p3 + p4 ln x + p5 ln^2 x), x = m / sqrt_s, in its log, 2 <= n <= 5.

    Its terms 1, ln(1 - x), ln x, ln^2 x, ln^3 x are pivoted to 0 at the middle of [low, high] and scaled to its ends: the same
    functions, but with coefficients that a minimiser can tell apart. Source: ATLAS and CMS dijet searches, e.g. arXiv:1708.04445.
    Only for masses below `sqrt_s`.
    """
    middle = float(np.sqrt(low * high))

    def terms(m: Array) -> Array:
        x, x0 = m / sqrt_s, middle / sqrt_s
        log = np.log(x / x0)
        return np.stack([np.ones_like(log), np.log1p(-x) - np.log1p(-x0), log, log**2, log**3], axis=-1)[..., :n]

    scale = np.maximum(np.abs(terms(np.array([low, high]))).max(axis=0), 1e-12)
    return lambda m: terms(m) / scale


def bin_integrals(edges: Array, density: Callable[[Array], Array]) -> Array:
    """Integrals `(b,)` of a density over bins `edges (b, 2)` by three-point Gauss-Legendre, as in `fit_log_linear`."""
    half = (edges[:, 1] - edges[:, 0]) / 2
    nodes = edges.mean(axis=1)[:, None] + half[:, None] * _NODES
    return np.asarray((density(nodes) * (half[:, None] * _WEIGHTS)).sum(axis=1))


def fit_log_linear(edges: Array, counts: Array, basis: Basis) -> LogLinearFit:
    """Maximum Poisson likelihood of `counts (b,)` in bins `edges (b, 2)` (GeV), which need not touch.

    Bin contents are integrals of the density (three-point Gauss-Legendre). Raises FitError when MIGRAD does not end in a valid
    minimum with a covariance: a fit that did not converge is no number.
    """
    half = (edges[:, 1] - edges[:, 0]) / 2
    values = basis(edges.mean(axis=1)[:, None] + half[:, None] * _NODES)  # (b, 3, k)
    integration = half[:, None] * _WEIGHTS

    def deviance(a: Array) -> float:
        mu = (np.exp(np.clip(values @ a, -50, 50)) * integration).sum(axis=1)
        return float(2 * (mu - counts + xlogy(counts, counts / mu)).sum())

    def gradient(a: Array) -> Array:
        cells = np.exp(np.clip(values @ a, -50, 50)) * integration
        mu = cells.sum(axis=1)
        return np.asarray(2 * np.einsum("b,bn,bnk->k", 1 - counts / mu, cells, values))

    start = np.zeros(values.shape[-1])
    start[0] = np.log(max(counts.sum(), 0.5) / (2 * half.sum()))
    minuit = Minuit(deviance, start, grad=gradient)
    minuit.errordef = Minuit.LEAST_SQUARES  # a deviance: one unit is one standard deviation
    minuit.strategy = 1
    minuit.migrad()
    if not minuit.valid or minuit.covariance is None:
        raise FitError(
            f"fit with {len(start)} parameters did not converge between {edges.min():g} and {edges.max():g} GeV"
        )
    return LogLinearFit(np.array(minuit.values), np.array(minuit.covariance), float(minuit.fval or 0.0))


def all_fits(edges: Array, counts: Array, basis_of: Callable[[int], Basis], most: int) -> list[LogLinearFit]:
    """The fits with 2 to `most` parameters; lengths that do not converge are left out. Raises FitError where none does."""
    found: list[LogLinearFit] = []
    said: FitError | None = None
    for n in range(2, most + 1):
        try:
            found.append(fit_log_linear(edges, counts, basis_of(n)))
        except FitError as error:
            said = said or error
    if not found:
        raise said or FitError(f"found {len(counts)} bins, expected at least 2 for a fit")
    return found


def akaike_weights(fits: Sequence[LogLinearFit]) -> Array:
    """How much each of several functions `(k,)` is worth, exp(-AIC / 2) with AIC = deviance + 2 parameters, sum 1.

    Source: Akaike, IEEE Trans. Autom. Control 19 (1974) 716; as weights of an average over functions: Burnham and Anderson, Model Selection and
    Multimodel Inference, 2nd ed. (2002), section 2.9. A choice of one function, by whatever rule, has no error of its own; the spread of the average has.
    """
    information = np.array([f.deviance + 2 * len(f.coefficients) for f in fits])
    weight = np.exp(-(information - information.min()) / 2)
    return np.asarray(weight / weight.sum())


def best_fit(edges: Array, counts: Array, basis_of: Callable[[int], Basis], most: int) -> LogLinearFit:
    """The fit with as many parameters, from 2 to `most`, as the counts call for: the smallest AIC. Raises FitError where none converges."""
    fits = all_fits(edges, counts, basis_of, most)
    return fits[int(akaike_weights(fits).argmax())]


def integral(
    coefficients: Array, covariance: Array, basis: Basis, interval: tuple[float, float]
) -> tuple[float, float]:
    """Events that a fit expects in `interval` (GeV) and their standard deviation, by linear propagation of its covariance."""
    m = np.linspace(*interval, 401)
    values = basis(m)
    density = np.exp(values @ coefficients)
    gradient = np.trapezoid(density[:, None] * values, m, axis=0)
    return float(np.trapezoid(density, m)), float(np.sqrt(gradient @ covariance @ gradient))
