"""What the full likelihood of a window is made of: events in intervals of the score and bins of the mass, from a finished hunt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from cathode.classifier.scores import MethodScores
from cathode.errors import FitError
from cathode.events import Events
from cathode.inference.counts import passing, passing_sideband
from cathode.regions import Window, count_in_bins
from cathode.results import HuntResult
from cathode.spectrum.grid import MassGrid, on_grid
from cathode.spectrum.mass_fit import BAD
from cathode.spectrum.sideband_model import MassModel
from cathode.stats.joint import exclusive
from cathode.stats.likelihood import BehindPoint, ScoreInterval, build_likelihood
from cathode.stats.settings import StatisticsSettings

Array = NDArray[np.float64]

_REACH = 1.5  # widths of the signal region, from its centre, that sidebands reach
_SIDE_BINS = 4  # per width
_SIGNAL_SIGMA = 0.25  # widths, of the mass of a signal that nobody described
_STEPS = 16  # of the integral over a bin


@dataclass(frozen=True)
class PassingSignal:
    """Events of a signal in the signal region.

    Attributes:
        mass: (n,) GeV.
        passes: (n, k) share of the cuts of each working point that each passes, the loosest first.
    """

    mass: Array
    passes: Array


def window_likelihood(
    events: Events,
    scores: MethodScores,
    spectrum: MassModel,
    results: Sequence[HuntResult],
    signal: PassingSignal | None = None,
    *,
    window: Window,
    statistics: StatisticsSettings = StatisticsSettings(),
    bins: int = 4,
    systematics: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, Any]:
    """The workspace of `build_likelihood` for one window and method, from its scores, the `spectrum` of its sidebands and its results.

    `bins` of the mass share the signal region evenly. Without a `signal`, the one that the joint test is made for: as much in every interval as its
    weight times the background, Gaussian in the mass with a standard deviation of a quarter of the region. Bins begin and end half a step beside masses that come in
    steps. Raises FitError for a blind hunt, for working points behind which there is no reference, and for several bins whose shape a fit would give that does not describe
    the sidebands (p < 0.001).
    """
    points = sorted(
        (h for h in results if h.method == scores.method and h.window == window.name), key=lambda h: -h.eps_bkg
    )
    points = [h for h in points if h.reference is not None and h.reference.m > 0 and h.n_bkg > 0]
    if not points or any(h.n_obs is None for h in points):
        raise FitError(
            f"likelihood: found no counts of {scores.method} in {window.name}, expected a hunt that is not blind"
        )
    eps = [h.eps_bkg for h in points]
    low, high = window.signal
    width, centre = high - low, (low + high) / 2
    if bins > 1 and spectrum.p_value < BAD:
        raise FitError(
            f"likelihood: found a mass fit of {window.name} that does not describe the sidebands (p = {spectrum.p_value:.2g}), which bins take their shape from; expected bins=1"
        )
    grid = MassGrid.of(events.mass)
    edges = np.linspace(low, high, bins + 1)
    edges = edges if grid is None else np.unique(grid.snap(edges))
    cells = np.stack([edges[:-1], edges[1:]], axis=1)
    inside = _integrals(spectrum, cells)
    first = scores.splits[0]
    mass = events.mass[events.at(first.row)]
    share = exclusive(np.stack([passing(scores.splits, e) for e in eps], axis=1))
    side, side_mass, side_share = np.empty((0, 2)), np.empty(0), np.empty((0, len(eps)))
    if len(first.side_row):
        side_mass = events.mass[events.at(first.side_row)]
        reach = (
            max(float(side_mass.min()), centre - _REACH * width),
            min(float(side_mass.max()), centre + _REACH * width),
        )
        side = window.visible_bins(*reach, _SIDE_BINS)
        side, _, _ = on_grid(grid, side, np.zeros(len(side)), window.signal)
        side_share = exclusive(np.stack([passing_sideband(scores.splits, e) for e in eps], axis=1))
    b = np.array([h.n_bkg for h in points])
    if signal is None:
        at = ndtr((edges - centre) / (_SIGNAL_SIGMA * width))
        weights = np.array([statistics.joint_weight(e) for e in eps])
        expected = (weights * exclusive(b))[:, None] * np.diff(at)
    else:
        of_signal = exclusive(signal.passes)
        expected = np.stack([np.histogram(signal.mass, edges, weights=of_signal[:, k])[0] for k in range(len(eps))])
    intervals = [
        ScoreInterval(
            name=f"from_{e:g}".replace(".", "p").replace("-", "m"),
            observed=np.histogram(mass, edges, weights=share[:, k])[0],
            shape=inside / inside.sum(),
            x=(cells.mean(axis=1) - centre) / width,
            side_observed=count_in_bins(side_mass, side, side_share[:, k]) if len(side) else np.empty(0),
            side_shape=_integrals(spectrum, side) / inside.sum(),
            side_x=(side.mean(axis=1) - centre) / width,
            signal=expected[k],
        )
        for k, e in enumerate(eps)
    ]
    fit = points[0].n_sr_expected
    trusted = fit is not None and points[0].signal_yield is not None and points[0].n_sr
    return build_likelihood(
        intervals,
        [_behind(h) for h in points],
        z=max((abs(h.z_local or 0.0) for h in points), default=3.0),
        sideband_ratio=fit.value / points[0].n_sr if trusted and fit and points[0].n_sr else 1.0,
        sideband_error=fit.fit_error / fit.value if trusted and fit else 0.0,
        systematics=tuple({**statistics.systematics, **systematics}.items()),
    )


def _behind(h: HuntResult) -> BehindPoint:
    """Errors of a result, relative to its background."""
    assert h.reference is not None
    sigma = h.sigma
    parts = [getattr(sigma, name) or 0.0 for name in ("initialisation", "bootstrap")] if sigma else []
    known = float(np.sqrt(sum((value / h.n_bkg) ** 2 for value in parts)))
    closure = h.non_closure
    return BehindPoint(
        n_bkg=h.n_bkg,
        m=h.reference.m,
        sigma=float(np.hypot(known, closure.error)) if closure else known,
        scatter=closure.scatter if closure else 0.0,
        nu=closure.degrees_of_freedom if closure and closure.degrees_of_freedom is not None else float("inf"),
        overdispersion=h.overdispersion or 1.0,
    )


def _integrals(spectrum: MassModel, bins: Array) -> Array:
    """Background `(b,)` expected in bins `(b, 2)`, before any selection; midpoints."""
    at = (np.arange(_STEPS) + 0.5) / _STEPS
    m = bins[:, :1] + (bins[:, 1:] - bins[:, :1]) * at
    return np.asarray(spectrum.density(m.ravel()).reshape(m.shape).mean(axis=1) * (bins[:, 1] - bins[:, 0]))
