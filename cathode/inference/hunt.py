"""From background estimates to significances, limits and workspaces: what one hunt says."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from cathode.classifier.methods import find_method, is_reference
from cathode.classifier.scores import MethodScores
from cathode.density.ensemble import DensityEnsemble
from cathode.events import Events
from cathode.inference.background import BackgroundEstimate, Estimates, joint_test
from cathode.inference.closure import Closure
from cathode.inference.conformal import conformal_counts
from cathode.inference.counts import is_missed, passing_sideband
from cathode.regions import Window, count_in_bins
from cathode.results import (
    CrossChecks,
    ExpectedEvents,
    HuntResult,
    HuntResults,
    Limit,
    NonClosure,
    Reference,
    Workspace,
)
from cathode.spectrum.grid import MassGrid, on_grid
from cathode.spectrum.mass_fit import BAD, MassFit, Sculpting, mass_fit, p_text, sculpting
from cathode.stats.counting import li_ma, z_classical, z_value
from cathode.stats.random_effects import RandomEffects
from cathode.stats.settings import StatisticsSettings
from cathode.stats.workspace import Counting, build_workspace, upper_limit, z_pyhf
from cathode.template.sidebands import SidebandClosure

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

_BINS_PER_WIDTH = 8


def infer(
    estimates: Estimates,
    density: DensityEnsemble,
    events: Events,
    scores: MethodScores,
    sidebands: SidebandClosure | None = None,
    *,
    window: Window,
    statistics: StatisticsSettings = StatisticsSettings(),
) -> tuple[HuntResults | Workspace, ...]:
    """Significances, limits, the mass fit behind each cut, and one pyhf workspace per working point.

    `sidebands` only adds flags. Returns the results of all working points and then the workspaces, in the same order.
    """
    spectrum = density.mass
    flags = _doubts(density, sidebands, scores.method)
    value, error = spectrum.expected()
    expected = ExpectedEvents(value=value, fit_error=error)
    trusted = spectrum.p_value >= BAD
    if not trusted:
        flags += ("mass fit of the sidebands: no yield and no limit, which take the background from it",)
    side_mass = events.mass[events.at(scores.splits[0].side_row)]
    mass = events.mass[events.at(scores.splits[0].row)]
    points = [point.counts.eps_bkg for point in estimates.points]
    search = not is_reference(scores.method)
    conformal = conformal_counts(scores.splits, side_mass, mass, points) if search else [None for _ in points]
    entries, workspaces = [], []
    for point, counted in zip(estimates.points, conformal, strict=True):
        behind: tuple[MassFit | None, Sculpting | None] = (None, None)
        if len(side_mass):
            passes = passing_sideband(scores.splits, point.counts.eps_bkg)
            behind = fit_selected_spectrum(side_mass, passes, point.counts.n_obs, window, statistics)
        z_conformal = counted.z if counted else None
        entry, workspace = hunt_result(
            window, point, statistics, behind, expected, trusted=trusted, z_conformal=z_conformal
        )
        entries.append(dataclasses.replace(entry, flags=entry.flags + flags))
        workspaces.append(workspace)
    joint = joint_test(estimates.points, statistics, window=estimates.window) if search else None
    return (HuntResults(tuple(entries), joint), *workspaces)


def infer_blind(
    closure: Closure,
    density: DensityEnsemble,
    sidebands: SidebandClosure | None = None,
    *,
    window: Window,
    working_points: tuple[float, ...] = (0.1, 0.01, 0.001),
    statistics: StatisticsSettings = StatisticsSettings(),
) -> HuntResults:
    """What can be said without any signal-region event: expected background and measured non-closure."""
    value, error = density.mass.expected()
    doubts = _doubts(density, sidebands, closure.method)
    entries = []
    for eps, point in zip(working_points, closure.points, strict=True):
        reached = eps if point.reached is None else point.reached
        off = is_missed(eps, reached)
        reached = reached if off else eps  # closer than that, what was measured only adds its own scatter
        entries.append(
            HuntResult(
                window=window.name,
                signal_region=window.signal,
                method=closure.method,
                eps_bkg=eps,
                n_bkg=reached * value * float(np.exp(statistics.applied_shift(point.effects.mu))),
                n_bkg_uncorrected=reached * value,
                eps_bkg_reached=point.reached,
                non_closure=_non_closure(point.effects, point.n_windows),
                n_sr_expected=ExpectedEvents(value=value, fit_error=error),
                flags=(
                    "blind: the signal region was not read",
                    *doubts,
                    *closure.doubts,
                    *(
                        [f"statistics: asked for a background efficiency of {eps:g}, reached {reached:.2g}"]
                        if off
                        else []
                    ),
                ),
            )
        )
    return HuntResults(tuple(entries))


def _doubts(density: DensityEnsemble, sidebands: SidebandClosure | None, method: str) -> tuple[str, ...]:
    """What is wrong already in the sidebands: of the mass fit, and of the density where the method uses it."""
    p = density.mass.p_value
    flags = () if p > 0.01 else (f"mass fit of the sidebands: {p_text(p)}",)
    return flags + (sidebands.doubts if sidebands and find_method(method).needs_template else ())


def hunt_result(
    window: Window,
    e: BackgroundEstimate,
    settings: StatisticsSettings,
    behind: tuple[MassFit | None, Sculpting | None],
    expected: ExpectedEvents,
    *,
    trusted: bool = True,
    z_conformal: float | None = None,
) -> tuple[HuntResult, Workspace]:
    """One hunt and its pyhf workspace, from its estimate, the spectrum `behind` the cut and the events `expected` before it.

    Without yield and limit where these are not `trusted`: the fit that expects them describes its own sidebands badly.
    """
    c, flags = e.counts, list(e.flags)
    reference = is_reference(e.method)
    fit, shape = behind
    flags += fit.flags if fit else ()
    if shape and shape.p_value < 0.01:
        flags.append(
            f"sculpting: the selection depends on the mass, {100 * shape.slope:+.0f} +- {100 * shape.slope_error:.0f} % per window width"
        )
    name = f"{window.name}_{e.method}_{c.eps_bkg:g}"
    workspace = build_workspace(
        counting_input(name, e, expected if trusted and not reference else None, settings.systematics, window.name)
    )
    z_workspace: float | None = None
    limit: Limit | None = None
    try:
        z_workspace = z_pyhf(workspace)
        if e.relative_sigma > 1:
            flags.append("limit: none, the background is uncertain by more than a factor e")
        elif settings.limits and trusted and not reference:
            observed, bands = upper_limit(workspace)
            limit = Limit(s_obs=observed, s_exp=bands)
    except Exception as error:  # a fit that fails is a flag, never a number
        log.warning("%s: pyhf fit failed: %s", name, error)
        flags.append("pyhf: fit failed")
    p = e.p_value()
    result = HuntResult(
        window=window.name,
        signal_region=window.signal,
        method=e.method,
        eps_bkg=c.eps_bkg,
        n_sr=c.n_sr,
        n_obs=round(c.n_obs),
        n_obs_average=c.n_obs,
        n_bkg=e.n_bkg,
        n_bkg_uncorrected=c.n_bkg,
        eps_bkg_reached=c.reached,
        sigma=e.sigma(),
        non_closure=_non_closure(e.non_closure, e.n_windows) if e.non_closure else None,
        overdispersion=e.overdispersion,
        p_local=p,
        z_local=z_value(p),
        n_sr_expected=expected,
        signal_yield=None if reference or not trusted else e.signal_yield(expected.value, expected.fit_error),
        cross_checks=CrossChecks(
            z_slide=e.generative.z if e.generative else None,
            z_classical=z_classical(c.n_obs, e.n_bkg) if e.n_bkg > 0 else None,
            z_li_ma=li_ma(c.n_obs, c.m, c.m / e.n_bkg) if c.m > 0 else None,
            z_pyhf=z_workspace,
            z_mass_fit=fit.z if fit else None,
            z_sequential=e.sequential_z(),
            z_conformal=z_conformal,
        ),
        generative_hunt=e.generative,
        limit=limit,
        impacts=None if reference else e.impacts(),
        oversampling=e.oversampling(),
        reference=Reference(m=c.m, tau=c.tau, n_splits=c.n_splits, step=c.step),
        waterfall=e.waterfall(),
        by_scatter=e.by_scatter,
        mass_fit=fit,
        sculpting=shape,
        flags=tuple(flags),
    )
    return result, Workspace(workspace)


def counting_input(
    name: str,
    e: BackgroundEstimate,
    expected: ExpectedEvents | None = None,
    systematics: Mapping[str, float] = MappingProxyType({}),
    window: str = "",
) -> Counting:
    """The counting experiment behind one estimate, its count rounded. `expected`: the sidebands' mass fit before the selection."""
    ratio, error = (1.0, 0.0)
    if expected is not None:
        ratio, error = expected.value / e.counts.n_sr, expected.fit_error / expected.value
    return Counting(
        name=name,
        n_obs=float(round(e.counts.n_obs)),
        n_bkg=e.n_bkg,
        m=max(e.counts.m, 1.0),
        initialisation=e.initialisation,
        bootstrap=e.bootstrap,
        non_closure=e.non_closure.mu_error if e.non_closure else 0.0,
        scatter=e.scatter,
        nu=e.nu,
        z=e.z(),
        sideband_ratio=ratio,
        sideband_error=error,
        systematics=tuple(systematics.items()),
        overdispersion=e.overdispersion,
        window=window,
    )


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
    bins, counts, interval = on_grid(MassGrid.of(mass), bins, count_in_bins(mass, bins, passes), window.signal)
    fit = mass_fit(bins, counts, n_obs, interval, sqrt_s=settings.sqrt_s)
    return fit, sculpting(mass, passes, window.signal)


def _non_closure(effects: RandomEffects, n_windows: int) -> NonClosure:
    return NonClosure(
        mean=effects.mu,
        sigma=effects.sigma,
        n_windows=n_windows,
        error=effects.mu_error,
        scatter=effects.scatter,
        degrees_of_freedom=effects.degrees_of_freedom,
    )
