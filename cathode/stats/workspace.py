"""pyhf workspaces: one counting experiment per window, method and working point, with named nuisances."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student


@dataclass(frozen=True, kw_only=True)
class Counting:
    """What a counting experiment needs, in events of the signal region after the selection.

    Attributes:
        name: channel name.
        n_obs: observed events; None when blind.
        n_bkg: expected background, non-closure shift included.
        m: reference events that pass (effective number), behind `n_bkg`.
        initialisation, bootstrap, non_closure: relative (log) standard deviations.
        nu: effective degrees of freedom of the relative part.
        sideband_ratio, sideband_error: background that the sidebands' mass fit expects in the signal region over the events
            there, and its relative standard deviation; 1 and 0 where it is not used.
    """

    name: str
    n_obs: float
    n_bkg: float
    m: float
    initialisation: float
    bootstrap: float
    non_closure: float
    nu: float
    sideband_ratio: float = 1.0
    sideband_error: float = 0.0


def student_inflation(nu: float, z: float = 3.0) -> float:
    """Factor that makes a Gaussian constraint as wide as Student's t at `z` standard deviations.

    t_nu^-1(Phi(z)) / z; 1 for infinite nu. HistFactory has no t constraint, so the published normsys carry it.

    >>> round(student_inflation(11), 3)
    1.283
    """
    return 1.0 if not np.isfinite(nu) else float(student.isf(norm.sf(z), nu) / z)


def build_workspace(c: Counting) -> dict[str, Any]:
    """The pyhf workspace of one counting experiment.

    The signal has sqrt(n_bkg) events at mu = 1. Nuisances: `gen_stat` (Poisson count of the reference sample, shapesys), and
    log-normal `ens_init`, `boot_train` and `nonclosure` (normsys), inflated by `student_inflation` at 3 sigma.
    `boot_train` has one name in all windows: the same bootstrap weights underlie them.

    Two measurements. `hunt`, the first, tests for background alone: then all events of the signal region are background,
    and `sb_norm` is fixed where the background is their number times the efficiency. `yield` measures and limits a signal:
    those events may hold some, so the background is normalised to the sidebands' mass fit, with its error.
    """
    factor = student_inflation(c.nu)
    scale, nominal = float(np.sqrt(c.n_bkg)), c.n_bkg * c.sideband_ratio
    modifiers: list[dict[str, Any]] = [
        {"name": f"gen_stat_{c.name}", "type": "shapesys", "data": [nominal / float(np.sqrt(c.m))]}
    ]
    for name, sigma in (
        (f"ens_init_{c.name}", c.initialisation),
        ("boot_train", c.bootstrap),
        (f"nonclosure_{c.name}", c.non_closure),
    ):
        if sigma > 0:
            size = float(np.exp(min(sigma * factor, 5.0)))
            modifiers.append({"name": name, "type": "normsys", "data": {"hi": size, "lo": 1 / size}})
    hunt: list[dict[str, Any]] = []
    if c.sideband_error > 0:
        size, name = float(np.exp(c.sideband_error)), f"sb_norm_{c.name}"
        modifiers.append({"name": name, "type": "normsys", "data": {"hi": size, "lo": 1 / size}})
        at = -float(np.log(c.sideband_ratio)) / c.sideband_error
        hunt.append({"name": name, "fixed": True, "inits": [at], "bounds": [[at - 1, at + 1]]})
    top = max(50.0, 4 * ((c.n_obs or 0.0) + 10) / scale)
    mu = {"name": "mu", "bounds": [[-5.0, top]], "inits": [0.0]}
    return {
        "channels": [
            {
                "name": c.name,
                "samples": [
                    {
                        "name": "signal",
                        "data": [scale],
                        "modifiers": [{"name": "mu", "type": "normfactor", "data": None}],
                    },
                    {"name": "background", "data": [nominal], "modifiers": modifiers},
                ],
            }
        ],
        "observations": [{"name": c.name, "data": [float(c.n_obs if c.n_obs is not None else c.n_bkg)]}],
        "measurements": [
            {"name": "hunt", "config": {"poi": "mu", "parameters": [mu, *hunt]}},
            {"name": "yield", "config": {"poi": "mu", "parameters": [mu]}},
        ],
        "version": "1.0.0",
    }


def _model(workspace: dict[str, Any], measurement: str) -> tuple[Any, Any]:
    import pyhf

    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-3))
    loaded = pyhf.Workspace(json.loads(json.dumps(workspace)))
    model = loaded.model(measurement_name=measurement)
    return model, loaded.data(model)


def z_pyhf(workspace: dict[str, Any]) -> float:
    """Signed asymptotic significance of the measurement `hunt`: sqrt(q0), negative for a deficit.

    q0 of Cowan et al., arXiv:1007.1727, eq. 12 (one-sided; pyhf sets it to 0 for mu-hat < 0). For a deficit the
    two-sided profile likelihood ratio at mu = 0 gives the size.
    """
    import pyhf  # one second that light steps need not pay

    model, data = _model(workspace, "hunt")
    init, bounds, fixed = model.config.suggested_init(), model.config.suggested_bounds(), model.config.suggested_fixed()
    best, free = pyhf.infer.mle.fit(data, model, init, bounds, fixed, return_fitted_val=True)
    _, null = pyhf.infer.mle.fixed_poi_fit(0.0, data, model, init, bounds, fixed, return_fitted_val=True)
    sign = np.sign(best[model.config.poi_index])
    return float(sign * np.sqrt(max(float(null) - float(free), 0.0)))


def upper_limit(workspace: dict[str, Any]) -> tuple[float, tuple[float, ...]]:
    """95 % CLs upper limit on the signal events of the measurement `yield`: observed, and expected at -2 .. 2 standard deviations.

    Asymptotic q-tilde (arXiv:1007.1727, section 3.7). Not valid for counts of a few events.
    """
    import pyhf

    model, data = _model(workspace, "yield")
    scale = workspace["channels"][0]["samples"][0]["data"][0]
    # q-tilde is defined for mu >= 0 only: the fit may not go below
    bounds = model.config.suggested_bounds()
    top = bounds[model.config.poi_index][1]
    bounds[model.config.poi_index] = (0.0, 2 * top)
    observed, expected = pyhf.infer.intervals.upper_limits.toms748_scan(
        data, model, 0.0, top, par_bounds=bounds, rtol=1e-3
    )
    return float(observed) * scale, tuple(float(v) * scale for v in expected)
