"""The classical bump hunt on the whole mass spectrum: what a search without features sees, and its look-elsewhere effect."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from cathode.artefacts import artefact
from cathode.errors import DataError
from cathode.events import Events
from cathode.regions import Interval, Mask, Window, count_in_bins, spectrum_peak
from cathode.seeds import derive_seed
from cathode.spectrum.grid import MassGrid
from cathode.spectrum.loglinear import bin_integrals
from cathode.spectrum.mass_fit import BAD, SpectrumFit, family_basis, fit_families, weights_of
from cathode.spectrum.reference import Reference, ReferenceHistogram, histogram_of, refuse_own
from cathode.stats.settings import StatisticsSettings
from cathode.stats.tails import chi2_sf

Array = NDArray[np.float64]

_MOST_APART = 4  # excesses that may be left out of a fit that describes the rest
_WIDTHS = (0.7, 1.0, 1.5, 2.2)  # of signals, in widths of the scan
_BEYOND_PEAK = 1.06
_LEAST = 10.0  # events expected per bin: the score is Gaussian there
REFERENCE = "reference"


@artefact("spectrum_scan", "json")
@dataclass(frozen=True, kw_only=True)
class SpectrumScan:
    """The classical bump hunt; empty tuples and nulls where no function describes the spectrum.

    Attributes:
        masses: of the signal hypotheses (GeV).
        z: local significance of a Gaussian signal of `width` at each.
        width: standard deviation of the signal (GeV), a quarter of the window.
        widths: all that were tried; global p-values count them.
        best_mass: where the significance is largest (GeV).
        best_width: and for which width.
        z_local: the largest, over masses and widths.
        deficit_mass: where it is smallest (GeV), for whatever width.
        z_deficit: the smallest: as a signal, a deficit is none, but a fit that is wrong makes both.
        p_global_toys: share of toys with a larger maximum, at least 1 / (toys + 1).
        p_global: Gross-Vitells bound.
        crossings: mean number of up-crossings of q0 = `level` behind it, of all widths.
        level: of q0.
        family: of the background function; `reference` where other events or a histogram stood for it.
        n_parameters: of the background function.
        p_value: goodness of fit of a function to all of the spectrum.
        fit_range: masses used (GeV).
        apart: intervals (GeV) of excesses that anyone sees: no function describes the spectrum with them (p < 0.001), and this one, fitted
            to the rest, describes that. Without significances, nothing does.
    """

    masses: tuple[float, ...] = ()
    z: tuple[float, ...] = ()
    width: float
    widths: tuple[float, ...] = ()
    best_mass: float | None = None
    best_width: float | None = None
    z_local: float | None = None
    deficit_mass: float | None = None
    z_deficit: float | None = None
    p_global_toys: float | None = None
    p_global: float | None = None
    crossings: float | None = None
    level: float = 0.5
    family: str | None = None
    n_parameters: int | None = None
    p_value: float | None = None
    fit_range: tuple[float, float]
    apart: tuple[Interval, ...] = ()


def score_weights(
    b: Array, basis: Array, signal: Array, kept: Mask | None = None, variance: Array | None = None
) -> Array:
    """Weights `(k, s)` that turn residuals n - b `(k,)` into significances of `s` signal hypotheses.

    Rao's score test of a signal on top of b = exp(basis a): Z = U / sqrt(I), U = sum_i w_i (n_i - b_i) with w the signal over the
    `variance` of a residual (Poisson's b when None), `signal (k, s)`, less its projection on the derivatives of the background, `basis (k, p)`, so that
    the background's fit takes part; I = sum_i variance_i w_i^2. Equal to sqrt(q0) for counts of tens (Rao, Proc. Camb. Phil. Soc. 44 (1948) 50). Where the
    background was fitted to some bins alone, the mask `kept (k,)`, only these take part, and the others are predicted.
    """
    kept = np.ones(len(b), dtype=bool) if kept is None else kept
    v = b if variance is None else variance
    relative, derivative = signal / v[:, None], basis * b[:, None]
    fitted = np.where(kept[:, None], derivative / v[:, None], 0.0)
    w = relative - fitted @ np.linalg.solve(fitted.T @ derivative, derivative.T @ relative)
    return np.asarray(w / np.sqrt((v[:, None] * w**2).sum(axis=0)))


def up_crossings(z: Array, level: float) -> Array:
    """Times that one-sided q0 = max(0, z)^2 rises above `level` along the last axis of `z (..., s)`; starting above counts as one."""
    above = z > np.sqrt(level)
    return np.asarray((above[..., 1:] & ~above[..., :-1]).sum(axis=-1) + above[..., 0])


def gross_vitells(z: float, crossings: float, level: float) -> float:
    """Global p-value of the largest local significance `z > 0` of a fine scan.

    p <= P(chi2_1 > z^2) / 2 + <N(c0)> exp(-(z^2 - c0) / 2), <N(c0)> the mean number of up-crossings of q0 = c0 = `level` under
    background. Source: Gross, Vitells, EPJ C 70 (2010) 525, arXiv:1005.1891, eq. 3. A bound; tight for small p. (Starting above
    the level is counted as a crossing, so the first term is partly counted twice.)
    """
    return float(min(1.0, chi2_sf(z**2, 1) / 2 + crossings * np.exp(-(z**2 - level) / 2)))


def scan_spectrum(
    events: Events,
    reference: Reference | None = None,
    *,
    window: Window,
    statistics: StatisticsSettings = StatisticsSettings(),
    seed: int = 1,
) -> SpectrumScan:
    """The classical bump hunt, without features: the whole mass spectrum above its peak, for signals as wide as the window allows.

    Above a turn-on it begins 6 % beyond the peak, where efficiencies of triggers no longer bend it: begun at the peak, background-only samples of
    simulated dijets had their largest excess there in half of the cases (ten of 100,000 events: KS probability of the global p-values 0.08 instead of 0.53).
    """
    own_seed = derive_seed(seed, "scan_spectrum", window.name)
    return scan_masses(
        events.mass, *_range(events.mass, window), reference=reference, sqrt_s=statistics.sqrt_s, seed=own_seed
    )


def check_reference(events: Events, reference: Reference, window: Window) -> None:
    """Raise what `scan_spectrum` would for a reference that it cannot use. Looks at no count of the data."""
    _bins(events.mass, *_range(events.mass, window), reference)


def _range(mass: Array, window: Window) -> tuple[float, float, float]:
    """Where a scan begins and ends, and the width of its signals (GeV)."""
    low, high = window.range
    start = spectrum_peak(mass, low)
    return start if start == low else start * _BEYOND_PEAK, high, window.width / 4


def scan_masses(
    mass: Array,
    low: float,
    high: float,
    width: float,
    *,
    reference: Array | Reference | ReferenceHistogram | None = None,
    sqrt_s: float = 13000.0,
    seed: int = 1,
    toys: int = 10_000,
) -> SpectrumScan:
    """Scan the spectrum of `mass (n,)` between `low` and `high` (GeV) for a Gaussian signal of standard deviation `width`, and narrower and wider ones.

    Bins of half a width. Signals of 0.7 to 2.2 times the width are tried at every mass. The best of the background functions (`FAMILIES`) is fitted to all of it, signal or not. Where that describes
    the spectrum badly (p < 0.001), the largest excess is left out with three widths on either side, and so on up to four times; where
    nothing describes the rest, there is no significance. The range ends where fewer than 10 events per bin are left. Global p-values from background toys of the fitted function, in the linear
    approximation of the fit.

    With a `reference`, masses of other events or a `ReferenceHistogram`, that is the background instead of a fit: its size is fitted, its shape is not, and its statistical
    errors are in the significances and in the toys (of counted events by the rate that both samples tell together, as in any comparison of two). The scan ends before the first bin that stands for fewer
    than ten events of the reference. Its shape is taken for right: `p_value` says whether data agree, and where it is small, the significances are no evidence of a signal.

    Raises DataError for a reference without use, with bins wider than a signal, or that holds the very masses that are scanned.
    """
    mass = np.asarray(mass, dtype=float)
    if mass.ndim != 1 or not np.isfinite(mass).all():
        raise DataError("mass: found no column of finite masses, expected one")
    edges, given, counted = _bins(mass, low, high, width, reference)
    pairs = np.stack([edges[:-1], edges[1:]], axis=1)
    counts = count_in_bins(mass, pairs)
    enough = np.flatnonzero(counts >= _LEAST)
    pairs, counts = (a[: enough[-1] + 1] if len(enough) else a[:0] for a in (pairs, counts))
    empty = SpectrumScan(width=width, fit_range=(low, high))
    if len(counts) < 8:
        return empty
    span = (float(pairs[0, 0]), float(pairs[-1, 1]))
    masses = np.arange(span[0] + width, span[1] - width, width / 4)
    widths = width * np.array(_WIDTHS)
    at = edges[: len(counts) + 1, None, None]
    # hypotheses width by width
    signal = np.diff(ndtr((at - masses) / widths[:, None]), axis=0).reshape(len(counts), -1)
    own = slice(_WIDTHS.index(1.0) * len(masses), (_WIDTHS.index(1.0) + 1) * len(masses))
    if given is None:
        behind = _fitted(pairs, counts, signal, masses, own, width, sqrt_s)
        if isinstance(behind, SpectrumFit):  # that describes nothing
            return replace(
                empty, family=behind.family, n_parameters=behind.n_parameters, p_value=behind.p_value, fit_range=span
            )
    else:
        behind = _referred(given, counted, counts, signal)
    if behind is None:
        return empty
    z = (counts - behind.b) @ behind.weights
    rng = np.random.default_rng(seed)
    residuals = rng.poisson(behind.mean, (toys, len(counts))) - behind.mean
    if given is not None:  # the reference fluctuates, too: as counts of the size that its errors say
        size = behind.mean**2 / np.maximum(behind.variance - behind.mean, 1e-9 * behind.mean)
        residuals = residuals - behind.mean / size * (rng.poisson(size, (toys, len(counts))) - size)
    drawn = residuals @ behind.weights
    of_width = drawn.reshape(toys, len(widths), len(masses))
    top, crossings = float(z.max()), float(up_crossings(of_width, empty.level).sum(axis=1).mean())
    best_width, best_mass = (a.ravel() for a in np.broadcast_arrays(widths[:, None], masses))
    return SpectrumScan(
        masses=tuple(masses.tolist()),
        z=tuple(z[own].tolist()),
        width=width,
        widths=tuple(widths.tolist()),
        best_mass=float(best_mass[z.argmax()]),
        best_width=float(best_width[z.argmax()]),
        z_local=top,
        deficit_mass=float(best_mass[z.argmin()]),
        z_deficit=float(z.min()),
        p_global_toys=float((np.sum(drawn.max(axis=1) >= top) + 1) / (toys + 1)),
        p_global=gross_vitells(top, crossings, empty.level) if top > 0 else 1.0,
        crossings=crossings,
        level=empty.level,
        family=behind.family,
        n_parameters=behind.n_parameters,
        p_value=behind.p_value,
        fit_range=span,
        apart=tuple((centre - 3 * width, centre + 3 * width) for centre in sorted(behind.apart)),
    )


def _bins(
    mass: Array, low: float, high: float, width: float, reference: Array | Reference | ReferenceHistogram | None
) -> tuple[Array, ReferenceHistogram | None, bool]:
    """Edges of the bins, the reference in them, and whether that was counted."""
    edges = np.linspace(low, high, max(8, round((high - low) / width * 2)) + 1)
    grid = MassGrid.of(mass)
    edges = edges if grid is None else np.unique(grid.snap(edges))
    if reference is None:
        return edges, None, False
    refuse_own(mass, reference)
    given, counted = histogram_of(reference, edges, width)
    return given.edges, given, counted


@dataclass(frozen=True, kw_only=True)
class _Background:
    """Background `b` `(k,)` of a scan, the `mean` `(k,)` of counts without signal, the `variance` `(k,)` of data less background, and what significances are made of: `weights` `(k, s)`."""

    b: Array
    mean: Array
    variance: Array
    weights: Array
    family: str
    n_parameters: int
    p_value: float
    apart: tuple[float, ...] = ()


def _referred(reference: ReferenceHistogram, counted: bool, counts: Array, signal: Array) -> _Background:
    """A reference, scaled to the data.

    Its variance is r times its expectation, r = scale error^2 / expected. Where it was `counted`, the common rate of a bin is the mean of both estimates, each by its
    variance: (r n + b) / (1 + r). A bin that happens to hold few of its events is then not taken for one that is known better.
    """
    expected, error = reference.expected[: len(counts)], reference.error[: len(counts)]
    scale = counts.sum() / expected.sum()
    b, r = scale * expected, scale * error**2 / expected
    mean = (r * counts + b) / (1 + r) if counted else b
    variance = mean * (1 + r)
    chi2 = float(((counts - b) ** 2 / variance).sum())
    return _Background(
        b=b,
        mean=mean,
        variance=variance,
        weights=score_weights(b, np.ones((len(b), 1)), signal, variance=variance),
        family=REFERENCE,
        n_parameters=1,
        p_value=float(chi2_sf(chi2, len(b) - 1)),
    )


def _fitted(
    pairs: Array, counts: Array, signal: Array, masses: Array, own: slice, width: float, sqrt_s: float
) -> _Background | SpectrumFit | None:
    """The function that describes the spectrum, excesses left out where they have to be; where none does, the fit to all of it, or None where nothing fits."""
    span = (float(pairs[0, 0]), float(pairs[-1, 1]))
    kept = np.ones(len(counts), dtype=bool)
    apart: list[float] = []
    first: SpectrumFit | None = None
    while True:
        best = _best(pairs[kept], counts[kept], span, sqrt_s)
        if best is None:
            return None
        first = first or best
        b = bin_integrals(pairs, best.density)
        basis = family_basis(best.family, best.n_parameters, *best.fit_range, sqrt_s)(pairs.mean(axis=1))
        weights = score_weights(b, basis, signal, kept)
        if best.p_value >= BAD:
            break
        z = (counts - b) @ weights
        seen = np.min([np.abs(masses - centre) for centre in [-np.inf, *apart]], axis=0) > 3 * width
        centre = float(masses[np.where(seen, z[own], -np.inf).argmax()])
        apart.append(centre)
        kept &= (pairs[:, 1] <= centre - 3 * width) | (pairs[:, 0] >= centre + 3 * width)
        if len(apart) > _MOST_APART or kept.sum() < 8:
            return first
    return _Background(
        b=b,
        mean=b,
        variance=b,
        weights=weights,
        family=best.family,
        n_parameters=best.n_parameters,
        p_value=first.p_value,
        apart=tuple(apart),
    )


def _best(pairs: Array, counts: Array, span: Interval, sqrt_s: float) -> SpectrumFit | None:
    """The background function that describes bins best, for as few parameters as it has: the smallest AIC."""
    fits = fit_families(pairs, counts, span, sqrt_s=sqrt_s)
    return fits[int(weights_of(fits).argmax())] if fits else None
