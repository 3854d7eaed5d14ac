"""The mass spectrum of the background in a signal region, interpolated from its sidebands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import chi2

from cathode.errors import FitError
from cathode.regions import Window, count_in_bins, in_interval
from cathode.spectrum.grid import MassGrid, on_grid
from cathode.spectrum.loglinear import best_fit, integral, log_polynomial
from cathode.spectrum.settings import MassSettings

Array = NDArray[np.float64]

_MAX_ORDER = 5


@dataclass(frozen=True)
class MassModel:
    """dN/dm = exp(sum_k a_k t^k), t = (log m - centre) / scale, fitted to the sidebands of one window.

    Attributes:
        interval: signal region (GeV) that `sample` refers to.
        counted: what `expected` refers to: the same, but where masses come in steps as wide as the steps in it.
        fit_range: masses used by the fit (GeV), the hidden regions left out; t = -1 and 1 at its ends.
        coefficients: a_k, in log events per GeV.
        covariance: of the coefficients.
        p_value: goodness of fit, chi2 of the Poisson deviance (valid for several events per bin).
        kde_masses: masses of the signal region when the published kernel estimate is chosen, else empty.
        bandwidth: of the kernel estimate.
    """

    interval: tuple[float, float]
    counted: tuple[float, float]
    fit_range: tuple[float, float]
    coefficients: Array
    covariance: Array
    p_value: float
    kde_masses: Array
    bandwidth: float

    @classmethod
    def fit(cls, mass: Array, window: Window, settings: MassSettings | None = None) -> MassModel:
        """Fit masses `mass (n,)` of a window. Only visible sideband events enter, except for the `kde` option.

        The order of the polynomial, from 1 to 5, is the one that `best_fit` takes.
        Raises FitError when a sideband is empty or the minimum is not valid.
        """
        settings = settings or MassSettings()
        low, high = window.reach(settings.span)
        edges = window.visible_bins(low, high, settings.bins_per_width)
        counts = count_in_bins(mass, edges)
        if counts.sum() < 50 or len(counts) < 4:
            raise FitError(
                f"window {window.name}: {counts.sum():.0f} sideband events in {len(counts)} bins between {low:g} and "
                f"{high:g} GeV, expected at least 50 in 4 for the mass fit"
            )
        most = min(_MAX_ORDER + 1, len(counts) - 1)
        edges, counts, counted = on_grid(MassGrid.of(mass), edges, counts, window.signal)
        best = best_fit(edges, counts, lambda n: log_polynomial(low, high, n), most)
        own = mass[window.in_signal(mass)] if settings.model == "kde" else np.empty(0)
        if settings.model == "kde" and len(own) < 10:
            raise FitError(f"window {window.name}: {len(own)} events in the signal region, the kde needs at least 10")
        return cls(
            interval=window.signal,
            counted=counted,
            fit_range=(low, high),
            coefficients=best.coefficients,
            covariance=best.covariance,
            p_value=float(chi2.sf(best.deviance, len(counts) - len(best.coefficients))),
            kde_masses=own,
            bandwidth=settings.bandwidth,
        )

    def density(self, m: Array) -> Array:
        """Expected background events per GeV at masses `m`."""
        low, high = self.fit_range
        t = (np.log(m) - np.log(low * high) / 2) / (np.log(high / low) / 2)
        return np.asarray(np.exp(np.polynomial.polynomial.polyval(t, self.coefficients)))

    def expected(self) -> tuple[float, float]:
        """Background expected in the signal region and its statistical standard deviation, in events.

        The choice of the function is not in the deviation.
        """
        basis = log_polynomial(*self.fit_range, len(self.coefficients))
        return integral(self.coefficients, self.covariance, basis, self.counted)

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
