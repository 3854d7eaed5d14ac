"""From background estimates to significances, limits and workspaces."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cathode.background import BackgroundEstimate
from cathode.classifier.methods import NEED_LABELS
from cathode.regions import Window, count_in_bins
from cathode.stats.counting import li_ma, p_predictive, sidak, z_classical, z_value
from cathode.stats.look_elsewhere import overlap_trials
from cathode.stats.mass_fit import MassFit, Sculpting, mass_fit, sculpting
from cathode.stats.settings import StatisticsSettings
from cathode.stats.workspace import Counting, build_workspace, upper_limit, z_pyhf

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

_BINS_PER_WIDTH = 8


def counting_input(name: str, e: BackgroundEstimate, expected: tuple[float, float] | None = None) -> Counting:
    """The counting experiment behind one estimate, its count rounded.

    `expected` is the sidebands' mass fit before the selection, and its error.
    """
    ratio, error = (1.0, 0.0) if expected is None else (expected[0] / e.counts.n_sr, expected[1] / expected[0])
    return Counting(
        name,
        float(round(e.counts.n_obs)),
        e.n_bkg,
        max(e.counts.m, 1.0),
        e.initialisation,
        e.bootstrap,
        e.non_closure_sigma or 0.0,
        e.nu,
        ratio,
        error,
    )


def is_reference(method: str) -> bool:
    """Whether a method uses truth and is therefore no search."""
    return method in NEED_LABELS


def primary_p(method: str, e: BackgroundEstimate, n: float | None = None) -> float:
    """The primary p-value of an estimate, or the one it would have with `n` observed events.

    `p_predictive` over counting, ensemble and non-closure errors. Reference methods take their background from the labels
    of the very events that are counted: it is treated as known, and the value is a yardstick, not a p-value.
    """
    c = e.counts
    n = c.n_obs if n is None else n
    step = 1 / c.n_splits
    if is_reference(method):
        return p_predictive(n, c.m * 1e6, c.tau * 1e6, mu=0.0, sigma=0.0, nu=float("inf"), step=step)
    return p_predictive(
        n, c.m, c.tau, mu=_shift(e), sigma=e.relative_sigma, nu=e.nu, overdispersion=e.overdispersion, step=step
    )


def sequential_z(e: BackgroundEstimate) -> float | None:
    """The primary formula on the sequential counts, overdispersion 1: folds are independent there by construction.

    A cross-check that needs no calibration; about 2/3 as powerful, since early folds are selected by weak classifiers.
    """
    c = e.sequential
    if c is None or e.non_closure_mean is None or c.m <= 0:
        return None
    p = p_predictive(c.n_obs, c.m, c.tau, mu=_shift(e), sigma=e.relative_sigma, nu=e.nu)
    return z_value(p)


def signal_yield(e: BackgroundEstimate, expected: float, error: float) -> tuple[float, float]:
    """Signal events behind the selection and their standard deviation, from `expected` +- `error` background events before it.

    S = n_obs - eps e^mu B with B the sidebands' mass fit. The significance takes all N events of the signal region for
    background, as they are when there is no signal; a yield may not: eps N counts a share eps of the signal itself as
    background, at eps = 0.1 and a signal efficiency of 1/2 a fifth of what passes. Variance: v b of the count, the relative errors
    of the background, and that of B. Signal that leaks into the sidebands is in the reference and lowers S. Not valid where
    the mass fit is not (see its p-value).
    """
    b = e.n_bkg * expected / e.counts.n_sr
    relative2 = e.template**2 + e.relative_sigma**2 + (error / expected) ** 2
    return e.counts.n_obs - b, float(np.sqrt(e.overdispersion * b + b**2 * relative2))


def _shift(e: BackgroundEstimate) -> float:
    return 0.0 if e.n_bkg == e.counts.n_bkg else float(np.log(e.n_bkg / e.counts.n_bkg))


def impacts(method: str, e: BackgroundEstimate) -> dict[str, float]:
    """Standard deviations that the significance would gain if one source of uncertainty were known exactly."""
    z = z_value(primary_p(method, e))
    return {
        s: z_value(primary_p(method, e.without(s))) - z
        for s in ("template", "initialisation", "bootstrap", "non_closure")
    }


def sideband_bins(mass: Array, window: Window) -> Array:
    """Bins `(b, 2)` of the sidebands that hold `mass`, eight per width of the signal region and at least two on a side."""
    return window.visible_bins(float(mass.min()), float(mass.max()), _BINS_PER_WIDTH, at_least=2)


def fit_selected_spectrum(
    mass: Array, passes: Array, n_obs: float, window: Window, settings: StatisticsSettings
) -> tuple[MassFit | None, Sculpting | None]:
    """Mass fit behind a cut, and the mass dependence of the cut.

    From sideband events `mass (b,)` and the share of cuts `passes (b,)` that each passes.
    """
    bins = sideband_bins(mass, window)
    fit = mass_fit(bins, count_in_bins(mass, bins, passes), n_obs, window.signal, sqrt_s=settings.sqrt_s)
    return fit, sculpting(mass, passes, window.signal)


def hunt_entry(
    window: Window,
    method: str,
    e: BackgroundEstimate,
    settings: StatisticsSettings,
    spectrum: tuple[MassFit | None, Sculpting | None],
    expected: tuple[float, float],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One entry of `hunts` in summary.json (truth left null) and its pyhf workspace.

    The p-value is `primary_p`; `expected` is the background before the selection by the sidebands' mass fit, and its error.
    """
    c, flags = e.counts, list(e.flags)
    fit, shape = spectrum
    flags += fit.flags if fit else ()
    if shape and shape.p_value < 0.01:
        flags.append(
            f"the selection depends on the mass: {100 * shape.slope:+.0f} +- {100 * shape.slope_error:.0f} % per window width"
        )
    name = f"{window.name}_{method}_{c.eps_bkg:g}"
    workspace = build_workspace(counting_input(name, e, None if is_reference(method) else expected))
    p = primary_p(method, e)
    z_workspace: float | None = None
    limit: dict[str, Any] | None = None
    try:
        z_workspace = z_pyhf(workspace)
        if e.relative_sigma > 1:
            flags.append("no limit: the background is uncertain by more than a factor e")
        elif settings.limits and not is_reference(method):
            observed, bands = upper_limit(workspace)
            limit = {"s_obs": observed, "s_exp": list(bands)}
    except Exception as error:  # a fit that fails is a flag, never a number
        log.warning("%s %s eps %g: pyhf fit failed: %s", window, method, c.eps_bkg, error)
        flags.append("pyhf fit failed")
    measured = e.non_closure_mean is not None
    signal = signal_yield(e, *expected)
    entry = {
        "window": window.name,
        "signal_region": list(window.signal),
        "method": method,
        "eps_bkg": c.eps_bkg,
        "n_sr": c.n_sr,
        "n_obs": round(c.n_obs),
        "n_obs_average": c.n_obs,
        "n_bkg": e.n_bkg,
        "n_bkg_uncorrected": c.n_bkg,
        "sigma": e.sigma(),
        "non_closure": {"mean": e.non_closure_mean, "sigma": e.non_closure_sigma, "n_windows": e.n_windows}
        if measured
        else None,
        "overdispersion": e.overdispersion,
        "p_local": p,
        "z_local": z_value(p),
        "n_sr_expected": {"value": expected[0], "fit_error": expected[1]},
        "signal_yield": None if is_reference(method) else {"value": signal[0], "sigma": signal[1]},
        "cross_checks": {
            "z_slide": e.generative.z if e.generative else None,
            "z_classical": z_classical(c.n_obs, e.n_bkg) if e.n_bkg > 0 else None,
            "z_li_ma": li_ma(c.n_obs, c.m, c.m / e.n_bkg) if c.m > 0 else None,
            "z_pyhf": z_workspace,
            "z_mass_fit": fit.z if fit else None,
            "z_sequential": sequential_z(e),
        },
        "generative_hunt": asdict(e.generative) if e.generative else None,
        "limit": limit,
        "impacts": None if is_reference(method) else impacts(method, e),
        "oversampling": e.oversampling() if c.has_ensemble else None,
        "mass_fit": None if fit is None else asdict(fit) | {"sigma": fit.sigma},
        "sculpting": None if shape is None else asdict(shape),
        "flags": flags,
        "truth": None,
    }
    return entry, workspace


def blind_entry(
    window: str, interval: tuple[float, float], method: str, eps: float, closure: Any, expected: float
) -> dict[str, Any]:
    """An entry of `hunts` without any number from the signal region: expected background and measured non-closure."""
    effects = closure.effects if closure else None
    return {
        "window": window,
        "signal_region": list(interval),
        "method": method,
        "eps_bkg": eps,
        "n_sr": None,
        "n_obs": None,
        "n_bkg": eps * expected,
        "sigma": None,
        "non_closure": {"mean": effects.mu, "sigma": effects.sigma, "n_windows": closure.n_windows}
        if effects
        else None,
        "overdispersion": None,
        "p_local": None,
        "z_local": None,
        "signal_yield": None,
        "cross_checks": None,
        "generative_hunt": None,
        "limit": None,
        "impacts": None,
        "oversampling": None,
        "mass_fit": None,
        "sculpting": None,
        "flags": ["blind"],
        "truth": None,
    }


def global_significance(entries: list[dict[str, Any]], *, seed: int = 0) -> dict[str, float | int | None]:
    """Global significance of the smallest local p-value over every hunt that is a search. Nulls when blind.

    `p_global` is Sidak's over windows x methods x working points, the primary: it never claims too much. Where windows overlap,
    `trials_effective` adds up what toys of the overlap leave of them per method and working point (these taken to be
    independent), and `z_global_overlap` is Sidak's with that number.
    """
    searches = [e for e in entries if not is_reference(e["method"]) and e["p_local"] is not None]
    if not searches:
        return {"p_global": None, "z_global": None, "trials": 0, "trials_effective": None, "z_global_overlap": None}
    smallest = min(e["p_local"] for e in searches)
    p = sidak(smallest, len(searches))
    effective = 0.0
    for key in sorted({(e["method"], e["eps_bkg"]) for e in searches}):
        mine = [e for e in searches if (e["method"], e["eps_bkg"]) == key]
        regions = [tuple(e["signal_region"]) for e in mine]
        one = len(mine) == 1
        effective += 1.0 if one else overlap_trials(regions, [e["n_bkg"] for e in mine], seed=seed)
    return {
        "p_global": p,
        "z_global": z_value(p),
        "trials": len(searches),
        "trials_effective": effective,
        "z_global_overlap": z_value(sidak(smallest, effective)),
    }
