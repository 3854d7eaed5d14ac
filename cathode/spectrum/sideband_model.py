"""The mass spectrum of the background in a signal region, interpolated from its sidebands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from cathode.errors import FitError
from cathode.regions import Window, count_in_bins, in_interval, spectrum_peak
from cathode.spectrum.grid import MassGrid, on_grid
from cathode.spectrum.loglinear import akaike_weights, all_fits, integral, log_polynomial
from cathode.spectrum.settings import MassSettings
from cathode.stats.tails import chi2_sf

Array = NDArray[np.float64]

_MAX_ORDER = 5
_LEAST = 1e-3  # weight of an order below which it is left out
_CLOSEST = 0.25  # widths of the signal region that must be left below it for a fit that begins above a turn-on


@dataclass(frozen=True)
class MassModel:
    """The average of dN/dm = exp(sum_k a_k t^k), t = (log m - centre) / scale, over orders, fitted to the sidebands of one window.

    Attributes:
        interval: signal region (GeV) that `sample` refers to.
        counted: what `expected` refers to: the same, but where masses come in steps as wide as the steps in it.
        fit_range: masses used by the fit (GeV), the hidden regions left out; t = -1 and 1 at its ends.
        coefficients: (orders, k) a_k, in log events per GeV, 0 beyond an order.
        covariances: of the coefficients, per order.
        weights: (orders,) of the average, see `akaike_weights`.
        p_value: goodness of fit of the order that weighs most, chi2 of the Poisson deviance (valid for several events per bin).
        kde_masses: masses of the signal region when the published kernel estimate is chosen, else empty.
        bandwidth: of the kernel estimate.
    """

    interval: tuple[float, float]
    counted: tuple[float, float]
    fit_range: tuple[float, float]
    coefficients: Array
    covariances: tuple[Array, ...]
    weights: Array
    p_value: float
    kde_masses: Array
    bandwidth: float

    @classmethod
    def fit(cls, mass: Array, window: Window, settings: MassSettings | None = None) -> MassModel:
        """Fit masses `mass (n,)` of a window. Only visible sideband events enter, except for the `kde` option.

        Orders 1 to 5 are averaged: one that is chosen has an error that does not know of the others, and pulls of an rms of 1.4. The fit
        begins where the spectrum of the lower sideband begins to fall, as long as a quarter of a width is left: no polynomial describes a turn-on.
        Raises FitError when a sideband is empty or no minimum is valid.
        """
        settings = settings or MassSettings()
        low, high = window.reach(settings.span)
        low = _above_turn_on(mass, window, low)
        edges = window.visible_bins(low, high, settings.bins_per_width)
        counts = count_in_bins(mass, edges)
        if counts.sum() < 50 or len(counts) < 4:
            raise FitError(
                f"window {window.name}: {counts.sum():.0f} sideband events in {len(counts)} bins between {low:g} and "
                f"{high:g} GeV, expected at least 50 in 4 for the mass fit"
            )
        most = min(_MAX_ORDER + 1, len(counts) - 1)
        edges, counts, counted = on_grid(MassGrid.of(mass), edges, counts, window.signal)
        fits = all_fits(edges, counts, lambda n: log_polynomial(low, high, n), most)
        worth = akaike_weights(fits)
        fits = [f for f, w in zip(fits, worth, strict=True) if w > _LEAST]
        weights = worth[worth > _LEAST] / worth[worth > _LEAST].sum()
        best = fits[int(np.argmax(weights))]
        coefficients = np.zeros((len(fits), max(len(f.coefficients) for f in fits)))
        for k, f in enumerate(fits):
            coefficients[k, : len(f.coefficients)] = f.coefficients
        own = mass[window.in_signal(mass)] if settings.model == "kde" else np.empty(0)
        if settings.model == "kde" and len(own) < 10:
            raise FitError(f"window {window.name}: {len(own)} events in the signal region, the kde needs at least 10")
        return cls(
            interval=window.signal,
            counted=counted,
            fit_range=(low, high),
            coefficients=coefficients,
            covariances=tuple(f.covariance for f in fits),
            weights=weights,
            p_value=float(chi2_sf(best.deviance, len(counts) - len(best.coefficients))),
            kde_masses=own,
            bandwidth=settings.bandwidth,
        )

    def density(self, m: Array) -> Array:
        """Expected background events per GeV at masses `m`."""
        low, high = self.fit_range
        t = (np.log(m) - np.log(low * high) / 2) / (np.log(high / low) / 2)
        each = np.exp(np.polynomial.polynomial.polyval(t, self.coefficients.T))
        return np.asarray(np.tensordot(self.weights, each, axes=1))

    def expected(self) -> tuple[float, float]:
        """Background expected in the signal region and its standard deviation, in events: of the fits, and between the orders.

        E[b] = sum_k w_k b_k, var = sum_k w_k (sigma_k^2 + (b_k - E[b])^2).
        """
        each = [
            integral(a[: len(c)], c, log_polynomial(*self.fit_range, len(c)), self.counted)
            for a, c in zip(self.coefficients, self.covariances, strict=True)
        ]
        b, sigma = np.array(each).T
        mean = float(self.weights @ b)
        return mean, float(np.sqrt(self.weights @ (sigma**2 + (b - mean) ** 2)))

    def sample(self, n: int, *, seed: int) -> Array:
        """Draw `n` masses in the signal region."""
        rng = np.random.default_rng(seed)
        low, high = self.interval
        if len(self.kde_masses):
            from sklearn.neighbors import KernelDensity

            own = self.kde_masses[in_interval(self.kde_masses, (low, high))]
            unit = logit(np.clip((own - low) / (high - low), 1e-6, 1 - 1e-6))
            kernel = KernelDensity(bandwidth=self.bandwidth).fit(unit[:, None])
            return np.asarray(low + (high - low) * expit(kernel.sample(n, random_state=seed % 2**32)[:, 0]))
        grid = np.linspace(low, high, 2001)
        cdf = np.concatenate([[0.0], np.cumsum((self.density(grid[1:]) + self.density(grid[:-1])) / 2)])
        return np.interp(rng.random(n), cdf / cdf[-1], grid)


def _above_turn_on(mass: Array, window: Window, low: float) -> float:
    """Where a fit from `low` on begins: above the peak of the spectrum below the signal region, if it is far enough from that."""
    edge = window.gap[0]
    below = mass[(mass >= window.range[0]) & (mass < edge) & window.in_sideband(mass)]
    if len(below) < 100:
        return low
    peak = spectrum_peak(below, window.range[0])
    return max(low, peak) if peak <= edge - _CLOSEST * window.width else low
