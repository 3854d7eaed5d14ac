"""The full likelihood of one window and method: exclusive intervals of the score times bins of the mass, as one pyhf workspace.

A second view beside the counts (`cathode.stats.joint`): it also asks whether the excess lies where a resonance would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cathode.errors import FitError
from cathode.stats.joint import exclusive, walk
from cathode.stats.tails import normal_isf
from cathode.stats.workspace import beyond_poisson, load_model, normsys, signal_events, student_inflation

Array = NDArray[np.float64]

_SLOPE = 0.3  # of the width's prior: sidebands measure it
_LARGEST = 5.0  # standard deviations of a log-normal nuisance
_LEAST = 1e-3  # events that a bin holds at least, so that no fit divides by zero


@dataclass(frozen=True, kw_only=True)
class ScoreInterval:
    """What passes one working point and not the next tighter one.

    Attributes:
        name: of its channels, a word.
        observed: (b,) events in bins of the signal region.
        shape: (b,) share of the background in each, for a selection that does not depend on the mass; sums to 1.
        x: (b,) mean mass of each bin, from the centre of the signal region and in its widths.
        side_observed: (s,) events in bins of the sidebands.
        side_shape: (s,) background there per background event of the signal region, likewise.
        side_x: (s,) their masses, likewise.
        signal: (b,) signal, in any unit that all intervals share.
    """

    name: str
    observed: Array
    shape: Array
    x: Array
    side_observed: Array
    side_shape: Array
    side_x: Array
    signal: Array


@dataclass(frozen=True, kw_only=True)
class BehindPoint:
    """The background behind one working point, the next tighter ones included.

    Attributes:
        n_bkg: events, non-closure shift included.
        m: reference events behind it.
        sigma: relative (log) standard deviation of the bias as far as it is known.
        scatter: that part of it that is estimated or declared.
        nu: degrees of freedom of the scatter.
        overdispersion: variance of the counts over Poisson, that of the reference too, at least 1.
    """

    n_bkg: float
    m: float
    sigma: float
    scatter: float
    nu: float
    overdispersion: float = 1.0


def build_likelihood(
    intervals: Sequence[ScoreInterval],
    behind: Sequence[BehindPoint],
    *,
    z: float = 3.0,
    sideband_ratio: float = 1.0,
    sideband_error: float = 0.0,
    systematics: Sequence[tuple[str, float]] = (),
) -> dict[str, Any]:
    """The workspace; intervals and the working points that they begin at, the loosest first.

    Expected in bin i of interval k, with B_k = b_k F_k - b_{k+1} F_{k+1} of nested backgrounds and their biases as in `p_weighted` (random walks over working points, known
    errors and scatter alike, the latter as wide as Student's tail is at `z`; here every bias is a log-normal nuisance, first order between intervals):

        mu s_ki + B_k f_i (1 + 0.3 theta_k x_i)

    Nuisances: `gen_stat_k` (reference behind the interval), `counting_k` (counts beyond Poisson), `known_i` and `scatter_i` (biases), `slope_k` (how the selection depends on the
    mass, per width of the signal region; what it does to the number of events belongs to the closure, so that it keeps this). The sidebands of every interval, of free size, measure the slope: `size_k`.
    At mu = 1 the signal has as many events as the square root of the background behind the loosest working point. Two measurements, as in `build_workspace`.

    Asymptotic in what is made of it, without a discrete step, and signal in the sidebands is left out: what leaks there only tilts the slope.
    One interval and one bin give the counting experiment. Raises FitError where no background is expected in an interval.
    """
    b = np.array([point.n_bkg for point in behind])
    between = exclusive(b)
    if np.any(between <= 0):
        raise FitError(f"likelihood: found backgrounds {b.tolist()} behind working points, expected them to fall")
    m = np.array([point.m for point in behind])
    m = m / np.array([point.overdispersion for point in behind])  # as in `p_predictive`
    squared = b**2 / m  # squared errors of nested counts add up
    own = np.maximum(exclusive(squared), between**2 / m)
    total = sum(float(interval.signal.sum()) for interval in intervals)
    if total <= 0:
        raise FitError("likelihood: found no signal behind the loosest working point, expected some")
    scale = float(np.sqrt(b[0])) / total
    known = np.array([point.sigma for point in behind])
    test, limit = (
        np.array([p.scatter * student_inflation(p.nu, at) for p in behind])
        for at in (min(max(abs(z), 1.0), 8.0), float(normal_isf(0.05)))
    )
    biases = {"known": known, "scatter_test": test, "scatter": limit}
    shifts = {
        f"{name}_{i}": (_rates(b, up), _rates(b, -up))
        for name, sizes in biases.items()
        for i, up in enumerate(_innovations(sizes))
        if np.any(up)
    }
    channels: list[dict[str, Any]] = []
    observations: list[dict[str, Any]] = []
    for k, interval in enumerate(intervals):
        nominal = np.maximum(between[k] * sideband_ratio * interval.shape, _LEAST)
        modifiers = [normsys(f"gen_stat_{interval.name}", min(float(np.sqrt(own[k])) / float(between[k]), _LARGEST))]
        if (beyond := beyond_poisson(behind[k].overdispersion, float(between[k]))) > 0:
            modifiers.append(normsys(f"counting_{interval.name}", min(beyond, _LARGEST)))
        for name, (up, down) in shifts.items():
            data = {"hi": max(float(up[k] / between[k]), 1e-3), "lo": max(float(down[k] / between[k]), 1e-3)}
            modifiers.append({"name": name, "type": "normsys", "data": data})
        if sideband_error > 0:
            modifiers.append(normsys("sb_norm", sideband_error))
        if len(interval.side_observed):
            modifiers.append(_slope(interval.name, nominal, interval.x - float(interval.shape @ interval.x)))
            side = np.maximum(between[k] * interval.side_shape, _LEAST)
            channels.append(
                {
                    "name": f"{interval.name}_sidebands",
                    "samples": [
                        {
                            "name": "background",
                            "data": side.tolist(),
                            "modifiers": [
                                {"name": f"size_{interval.name}", "type": "normfactor", "data": None},
                                _slope(interval.name, side, interval.side_x),
                            ],
                        }
                    ],
                }
            )
            observations.append({"name": f"{interval.name}_sidebands", "data": interval.side_observed.tolist()})
        of_signal = [{"name": "mu", "type": "normfactor", "data": None}]
        of_signal += [normsys(name, sigma) for name, sigma in systematics]
        channels.append(
            {
                "name": interval.name,
                "samples": [
                    {
                        "name": "signal",
                        "data": np.maximum(scale * interval.signal, 1e-9).tolist(),
                        "modifiers": of_signal,
                    },
                    {"name": "background", "data": nominal.tolist(), "modifiers": modifiers},
                ],
            }
        )
        observations.append({"name": interval.name, "data": interval.observed.tolist()})
    return {
        "channels": channels,
        "observations": observations,
        "measurements": _measurements(list(shifts), intervals, b, sideband_ratio, sideband_error, systematics),
        "version": "1.0.0",
    }


def _measurements(
    shifts: Sequence[str],
    intervals: Sequence[ScoreInterval],
    b: Array,
    ratio: float,
    error: float,
    systematics: Sequence[tuple[str, float]],
) -> list[dict[str, Any]]:
    """`hunt` tests for background alone, `yield` measures and limits a signal; each fixes what is the other's."""
    observed = sum(float(interval.observed.sum()) for interval in intervals)
    mu = {"name": "mu", "bounds": [[-5.0, max(50.0, 4 * (observed + 10) / float(np.sqrt(b[0])))]], "inits": [0.0]}
    sizes = [
        {"name": f"size_{i.name}", "bounds": [[1e-3, 20.0]], "inits": [1.0]} for i in intervals if len(i.side_observed)
    ]
    hunt = [{"name": n, "fixed": True} for n in shifts if n.startswith("scatter_") and not n.startswith("scatter_test")]
    limit = [{"name": n, "fixed": True} for n in shifts if n.startswith("scatter_test")]
    if error > 0:
        at = -float(np.log(ratio)) / error
        hunt.append({"name": "sb_norm", "fixed": True, "inits": [at], "bounds": [[at - 1, at + 1]]})
    hunt += [{"name": name, "fixed": True} for name, _ in systematics]
    return [
        {"name": "hunt", "config": {"poi": "mu", "parameters": [mu, *sizes, *hunt]}},
        {"name": "yield", "config": {"poi": "mu", "parameters": [mu, *sizes, *limit]}},
    ]


def _innovations(sizes: Array) -> list[Array]:
    """Log-shifts `(k,)` of nested backgrounds by one standard deviation of each step of a random walk with these `sizes`."""
    steps = np.linalg.cholesky(walk(sizes) + 1e-9 * np.eye(len(sizes)))
    shifts = np.minimum(sizes, _LARGEST)[:, None] * steps
    return [np.where(np.abs(column) < 1e-6, 0.0, column) for column in shifts.T]


def _rates(b: Array, log_shift: Array) -> Array:
    """Backgrounds `(k,)` of the exclusive intervals where the nested ones are shifted."""
    return exclusive(b * np.exp(log_shift))


def _slope(name: str, nominal: Array, x: Array) -> dict[str, Any]:
    up, down = (np.maximum(nominal * (1 + sign * _SLOPE * x), 1e-4) for sign in (1, -1))
    return {"name": f"slope_{name}", "type": "histosys", "data": {"hi_data": up.tolist(), "lo_data": down.tolist()}}


@dataclass(frozen=True, kw_only=True)
class Pull:
    """One nuisance in the best fit.

    Attributes:
        name: as in the workspace.
        pull: its value, in standard deviations of what constrains it.
        error: its error there, 1 where the data say nothing of it.
        impact: change of the signal's events where it is moved up and down by this error and fixed; nan where that fit fails.
    """

    name: str
    pull: float
    error: float
    impact: tuple[float, float]


def pulls(workspace: dict[str, Any]) -> tuple[Pull, ...]:
    """Pulls and impacts of all constrained nuisances of the measurement `yield`, the largest impact first. Two fits each."""
    import pyhf

    model, data = load_model(workspace, "yield")
    unit = signal_events(workspace)
    config = model.config
    init, bounds, fixed = config.suggested_init(), config.suggested_bounds(), config.suggested_fixed()
    best = np.asarray(pyhf.infer.mle.fit(data, model, init, bounds, fixed, return_uncertainties=True))
    at = best[config.poi_index, 0]
    found = []
    for name in config.par_order:
        group, where = config.param_set(name), config.par_slice(name).start
        if not group.constrained or fixed[where]:
            continue
        value, error = best[where]
        sides = []
        for sign in (1, -1):
            moved, held = best[:, 0].tolist(), list(fixed)
            moved[where], held[where] = value + sign * error, True
            try:
                again = pyhf.infer.mle.fit(data, model, moved, bounds, held)
                sides.append(float(unit * (again[config.poi_index] - at)))
            except Exception:  # of the minimiser: one impact less is no reason to lose all
                sides.append(float("nan"))
        found.append(Pull(name=name, pull=float(value), error=float(error), impact=(sides[0], sides[1])))
    return tuple(sorted(found, key=lambda p: -np.nan_to_num(np.max(np.abs(p.impact)))))
