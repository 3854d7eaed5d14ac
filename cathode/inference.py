"""From background estimates to significances, limits and workspaces."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from cathode.background import BackgroundEstimate
from cathode.classifier.methods import NEED_LABELS
from cathode.stats.counting import li_ma, p_predictive, sidak, z_classical, z_value
from cathode.stats.settings import StatisticsSettings
from cathode.stats.workspace import Counting, build_workspace, upper_limit, z_pyhf

log = logging.getLogger(__name__)


def counting_input(name: str, e: BackgroundEstimate) -> Counting:
    """The counting experiment behind one estimate."""
    return Counting(
        name,
        float(e.counts.n_obs),
        e.n_bkg,
        max(e.counts.m, 1.0),
        e.initialisation,
        e.bootstrap,
        e.non_closure_sigma or 0.0,
        e.nu,
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
    if is_reference(method):
        return p_predictive(n, c.m * 1e6, c.tau * 1e6, mu=0.0, sigma=0.0, nu=float("inf"))
    shift = 0.0 if e.n_bkg == c.n_bkg else float(np.log(e.n_bkg / c.n_bkg))
    return p_predictive(n, c.m, c.tau, mu=shift, sigma=e.relative_sigma, nu=e.nu, overdispersion=e.overdispersion)


def hunt_entry(
    window: str, interval: tuple[float, float], method: str, e: BackgroundEstimate, settings: StatisticsSettings
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One entry of `hunts` in summary.json (truth left null) and its pyhf workspace.

    The p-value is `primary_p`.
    """
    c, flags = e.counts, list(e.flags)
    workspace = build_workspace(counting_input(f"{window}_{method}_{c.eps_bkg:g}", e))
    p = primary_p(method, e)
    z_workspace: float | None = None
    limit: dict[str, Any] | None = None
    try:
        z_workspace = z_pyhf(workspace)
        if e.relative_sigma > 1:
            flags.append("no limit: the background is uncertain by more than a factor e")
        elif settings.limits and not is_reference(method):
            observed, expected = upper_limit(workspace)
            limit = {"s_obs": observed, "s_exp": list(expected)}
    except Exception as error:  # a fit that fails is a flag, never a number
        log.warning("%s %s eps %g: pyhf fit failed: %s", window, method, c.eps_bkg, error)
        flags.append("pyhf fit failed")
    measured = e.non_closure_mean is not None
    entry = {
        "window": window,
        "signal_region": list(interval),
        "method": method,
        "eps_bkg": c.eps_bkg,
        "n_sr": c.n_sr,
        "n_obs": round(c.n_obs),
        "n_bkg": e.n_bkg,
        "n_bkg_uncorrected": c.n_bkg,
        "sigma": e.sigma(),
        "non_closure": {"mean": e.non_closure_mean, "sigma": e.non_closure_sigma, "n_windows": e.n_windows}
        if measured
        else None,
        "overdispersion": e.overdispersion,
        "p_local": p,
        "z_local": z_value(p),
        "cross_checks": {
            "z_slide": e.z_slide,
            "z_classical": z_classical(c.n_obs, e.n_bkg) if e.n_bkg > 0 else None,
            "z_li_ma": li_ma(c.n_obs, c.m, c.m / e.n_bkg) if c.m > 0 else None,
            "z_pyhf": z_workspace,
            "z_mass_fit": None,
            "z_sequential": None,
        },
        "limit": limit,
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
        "cross_checks": None,
        "limit": None,
        "flags": ["blind"],
        "truth": None,
    }


def global_significance(entries: list[dict[str, Any]]) -> dict[str, float | int | None]:
    """Sidak over every hunt that is a search: windows x methods x working points. Null when blind."""
    searches = [e["p_local"] for e in entries if not is_reference(e["method"]) and e["p_local"] is not None]
    if not searches:
        return {"p_global": None, "z_global": None, "trials": 0}
    p = sidak(min(searches), len(searches))
    return {"p_global": p, "z_global": z_value(p), "trials": len(searches)}
