"""Mass spectra: before and behind a cut, where the bump is if there is one, and the classical scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mplhep as mh
import numpy as np
from matplotlib.figure import Figure

from cathode.classifier.scores import MethodScores
from cathode.density.ensemble import DensityEnsemble
from cathode.events import Events
from cathode.inference.counts import passing, passing_sideband
from cathode.inference.hunt import sideband_bins
from cathode.plots.drawing import Drawing, drawing
from cathode.plots.style import (
    DATA,
    FIT,
    MASS,
    SIGNAL_REGION,
    TEMPLATE,
    array,
    band,
    colour_of,
    data_points,
    eps_text,
    name_of,
    poisson_errors,
    room_for_legend,
    title,
    with_ratio,
)
from cathode.regions import Window, count_in_bins
from cathode.results import HuntResult
from cathode.spectrum.mass_fit import BAD
from cathode.spectrum.scan import REFERENCE, SpectrumScan
from cathode.stats.counting import z_value

INSIDE = 8  # bins in the signal region


def mass_spectrum(
    events: Events, density: DensityEnsemble, window: Window, *, blind: bool, experiment: dict[str, Any] | None = None
) -> Drawing:
    """The mass spectrum with the window and the spectrum interpolated from its sidebands."""
    model = density.mass
    low, high = window.range[0], float(np.quantile(events.mass, 0.999))
    edges = np.linspace(low, high, 61)
    centres, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    counts = np.histogram(events.mass, edges)[0].astype(float)
    if blind:
        counts[(edges[1:] > window.signal[0]) & (edges[:-1] < window.signal[1])] = np.nan
    fitted = (centres >= model.fit_range[0]) & (centres <= model.fit_range[1])
    value, error = model.expected()
    expected = np.where(fitted, model.density(centres) * width, np.nan)
    numbers = {
        "window": window.name,
        "signal_region": window.signal,
        "edges": edges,
        "counts": counts,
        "expected": expected,
        "relative_error": error / value if value else 0.0,
        "fit_range": model.fit_range,
        "fit_p_value": model.p_value,
        "experiment": experiment,
    }
    return drawing(f"{window.name}_mass_spectrum", "mass_spectrum", numbers)


def draw_mass_spectrum(d: dict[str, Any]) -> Figure:
    """The figure of `mass_spectrum`; its band is the error of the expected events in the signal region, relative."""
    edges, counts, expected = array(d["edges"]), array(d["counts"]), array(d["expected"])
    centres, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    figure, main, ratio = with_ratio()
    band(main, edges, expected, expected * d["relative_error"], TEMPLATE, label="Interpolated from the sidebands")
    data_points(main, centres, counts, label="Data")
    relative = np.where(expected > 0, 1 / np.where(expected > 0, expected, 1), np.nan)
    data_points(ratio, centres, np.where(np.isfinite(relative), counts, np.nan), np.nan_to_num(relative))
    flat = np.where(np.isfinite(expected), 1.0, np.nan)
    band(ratio, edges, flat, flat * d["relative_error"], TEMPLATE)
    for axes in (main, ratio):
        axes.axvspan(*d["signal_region"], color=SIGNAL_REGION, alpha=0.35, lw=0, label="Signal region")
        for edge in d["fit_range"]:
            axes.axvline(edge, color="#999999", ls=":", lw=1)
    ratio.set(xlabel=MASS, ylabel="Data / fit", ylim=(0.8, 1.2), xlim=(edges[0], edges[-1]))
    positive = counts[np.isfinite(counts) & (counts > 0)]
    main.set(
        yscale="log", ylabel=f"Events / {width:.3g} GeV", ylim=(max(0.5, 0.5 * positive.min()), 1.6 * positive.max())
    )
    title(main, f"{d['window']}: mass before the selection (dotted: range of the fit)", d["experiment"])
    room_for_legend(main)
    return figure


def selected_spectrum(
    events: Events,
    scores: MethodScores,
    window: Window,
    results: Sequence[HuntResult],
    shown: float,
    experiment: dict[str, Any] | None = None,
) -> Drawing:
    """Events that pass in the signal region and in the sidebands around it, with the fit to the sidebands, for every working point.

    Sideband events are scored by classifiers that were trained on neither them nor what was made from them. `shown` is the
    working point of the figure.
    """
    first = scores.splits[0]
    side, inside = events.mass[events.at(first.side_row)], events.mass[events.at(first.row)]
    low, high = window.signal
    inner = np.linspace(low, high, INSIDE + 1)
    edges = np.concatenate([sideband_bins(side, window), np.stack([inner[:-1], inner[1:]], axis=1)])
    edges = edges[np.argsort(edges[:, 0])]
    widths = edges[:, 1] - edges[:, 0]
    fine = np.linspace(edges.min(), edges.max(), 120)
    points = {}
    for result in results:
        eps = result.eps_bkg
        side_passes, passes = passing_sideband(scores.splits, eps), passing(scores.splits, eps)
        counts = count_in_bins(np.concatenate([side, inside]), edges, np.concatenate([side_passes, passes]))
        point: dict[str, Any] = {
            "counts": counts,
            "n_bkg": result.n_bkg,
            "sigma": result.sigma.total if result.sigma else None,
            "n_obs": result.n_obs,
        }
        if fit := result.mass_fit:
            point["fit"] = {
                "function": f"{fit.chosen.family}, {fit.chosen.n_parameters} parameters",
                "p_value": fit.chosen.p_value,
                "per_bin": fit.chosen.density(edges.mean(axis=1)) * widths,
                "curve": fit.chosen.density(fine),
                "expected": fit.chosen.expected,
                "sigma": fit.sigma,
                "z": fit.z,
                "alternates": [a.expected for a in fit.alternates],
            }
        points[f"{eps:g}"] = point
    numbers = {
        "window": window.name,
        "method": scores.method,
        "signal_region": window.signal,
        "n_splits": len(scores.splits),
        "edges": edges,
        "masses": fine,
        "points": points,
        "shown": f"{shown:g}",
        "experiment": experiment,
    }
    return drawing(f"{window.name}_{scores.method}_selected_spectrum", "selected_spectrum", numbers)


def draw_selected_spectrum(d: dict[str, Any]) -> Figure:
    """The figure of `selected_spectrum`.

    The band of the fit is its relative error in the signal region, the choice of its function included.
    """
    point, (low, high) = d["points"][d["shown"]], d["signal_region"]
    edges, counts, masses = np.array(d["edges"]), array(point["counts"]), array(d["masses"])
    centres, widths = edges.mean(axis=1), edges[:, 1] - edges[:, 0]
    unit = (high - low) / INSIDE
    figure, main, ratio = with_ratio()
    data_points(main, centres, counts, unit / widths, widths, label=f"Data, {eps_text(float(d['shown']))}")
    expected, sigma = (point[key] or 0.0 for key in ("n_bkg", "sigma"))
    colour = colour_of(d["method"])
    main.hlines(
        expected * unit / (high - low),
        low,
        high,
        color=colour,
        lw=2,
        label="Background of the hunt, mean of the region",
    )
    main.fill_between(
        [low, high], *((expected + s * sigma) * unit / (high - low) for s in (-1, 1)), color=colour, alpha=0.3, lw=0
    )
    if fit := point.get("fit"):
        curve, relative = array(fit["curve"]) * unit, fit["sigma"] / fit["expected"] if fit["expected"] else 0.0
        label = f"Sideband fit: {fit['function']}, p = {fit['p_value']:.2g}"
        main.plot(masses, curve, color=FIT, lw=1.6, label=label)
        main.fill_between(masses, curve * (1 - relative), curve * (1 + relative), color=FIT, alpha=0.22, lw=0)
        per_bin = array(fit["per_bin"])
        error = poisson_errors(counts)
        pull = (counts - per_bin) / np.where(counts > per_bin, error[0], error[1])
        mh.histplot(
            np.nan_to_num(pull),
            np.append(edges[:, 0], edges[-1, 1]),
            ax=ratio,
            histtype="fill",
            color="#7a7a7a",
            yerr=False,
        )
        note = "no function fits" if fit["z"] is None else f"by this fit {fit['z']:.1f}$\\sigma$"
    else:
        note = "no function fits"
    ratio.axhline(0, color="#555555", lw=1)
    for axes in (main, ratio):
        axes.axvspan(low, high, color=SIGNAL_REGION, alpha=0.35, lw=0, label="Signal region" if axes is main else None)
    average = f", mean of {d['n_splits']} fold splits" if d["n_splits"] > 1 else ""
    main.set(ylabel=f"Events / {unit:.3g} GeV{average}", ylim=(0, None))
    title(main, f"{d['window']}: after the {name_of(d['method'])} selection ({note})", d["experiment"])
    room_for_legend(main, 0.4)
    ratio.set(xlabel=MASS, ylabel="Pull", xlim=(edges.min(), edges.max()))
    return figure


def spectrum_scan(scans: Sequence[SpectrumScan]) -> Drawing:
    """Local significance of a Gaussian signal in the inclusive spectrum against its mass, over a fit or a reference, one panel per width of the signal."""
    drawn = [
        {
            "width": s.width,
            "masses": s.masses,
            "z": s.z,
            "fit_range": s.fit_range,
            "p_value": s.p_value,
            "best_mass": s.best_mass,
            "best_width": s.best_width,
            "z_local": s.z_local,
            "p_global": s.p_global,
            "z_global": None if s.p_global is None else z_value(s.p_global),
            "apart": s.apart,
            "family": s.family,
        }
        for s in scans
    ]
    return drawing("spectrum_scan", "spectrum_scan", {"scans": drawn})


def _background(scan: dict[str, Any]) -> str:
    """What stood for background, and how well data agree with it."""
    p = f"p = {scan['p_value']:.2g}"
    if scan["family"] == REFERENCE:
        return f"reference {p}" if scan["p_value"] >= BAD else f"unlike the reference, {p}: no evidence"
    return "background fitted to what is not shaded" if scan["apart"] else f"fit {p}"


def draw_spectrum_scan(d: dict[str, Any]) -> Figure:
    """The figure of `spectrum_scan`."""
    scans = d["scans"]
    figure = Figure(figsize=(8, 3.8 * len(scans)))
    for ax, scan in zip(figure.subplots(len(scans), 1, squeeze=False)[:, 0], scans, strict=True):
        for level in (-2, 2):
            ax.axhline(level, color="#999999", ls=":", lw=1)
        ax.axhline(0, color="#555555", lw=1)
        ax.plot(array(scan["masses"]), array(scan["z"]), color=DATA, lw=1.6)
        note = "no function describes the spectrum" + (
            f" (p = {scan['p_value']:.2g})" if scan["p_value"] is not None else ""
        )
        if scan["z_local"] is not None and scan["best_mass"] is not None:
            ax.plot([scan["best_mass"]], [scan["z_local"]], "o", color=colour_of("cathode"), ms=6)
            after = "p = 1" if scan["p_global"] == 1 else f"{scan['z_global']:.1f}"  # a bound that is cut there
            note = f"largest {scan['z_local']:.1f} at {scan['best_mass']:.5g} GeV (width {scan['best_width']:.3g}), global {after} ({_background(scan)})"
        for interval in scan["apart"]:
            ax.axvspan(*interval, color=SIGNAL_REGION, alpha=0.35, lw=0)
        ax.set(xlabel="Signal mass [GeV]", ylabel="Local significance", xlim=scan["fit_range"])
        ax.set_ylim(-4, max(5.2, (scan["z_local"] or 0) + 1.7))
        title(ax, f"Without features, σ = {scan['width']:.4g} GeV")
        ax.text(0.03, 0.93, note, transform=ax.transAxes, va="top", fontsize="small")
    figure.tight_layout()
    return figure
