"""Significances and uncertainty budgets of all hunts of a run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cathode.artefacts import Figures
from cathode.classifier.methods import is_reference
from cathode.plots.drawing import Drawing, as_files, attempt, drawing, mark
from cathode.plots.performance import performance
from cathode.plots.spectrum import spectrum_scan
from cathode.plots.style import DATA, WORKING_POINT_COLOURS, array, colour_of, eps_text, name_of, poisson_errors, title
from cathode.results import HuntResult, Truth
from cathode.spectrum.scan import SpectrumScan
from cathode.stats.tails import normal_sf
from cathode.summary import Summary

CHECKS = {
    "z_sequential": ("sequential folds", "P"),
    "z_mass_fit": ("mass fit, no template", "v"),
    "z_conformal": ("conformal (stat. only)", "d"),
    "z_pyhf": ("pyhf $q_0$", "s"),
    "z_li_ma": ("Li–Ma (stat. only)", "^"),
    "z_slide": ("half ensembles (display)", "D"),
    "z_classical": ("(O − B)/√B", "x"),
}
BUDGET = {
    "counting": ("Counting (Poisson)", "#BBBBBB"),
    "template": ("Template statistics", "#56B4E9"),
    "initialisation": ("Initialisation", "#009E73"),
    "bootstrap": ("Training data", "#E69F00"),
    "non_closure": ("Non-closure", "#D55E00"),
}
_ROWS = 18  # hunts in one figure; of more, the most significant


def plot_summary(summary: Summary, truth: list[Truth], spectrum: list[SpectrumScan]) -> Figures:
    """Significances of all hunts, the classical bump hunt, and SIC and ROC curves where labels exist."""
    return as_files(draw_summary(summary, truth, spectrum))


def draw_summary(summary: Summary, truth: list[Truth], spectrum: list[SpectrumScan]) -> list[Drawing]:
    """The drawings of `plot_summary`; none when blind."""
    hunts = [h for h in summary.hunts if h.z_local is not None]
    if not hunts:
        return []
    drawings = [attempt("significance", significance, hunts, summary), attempt("uncertainties", uncertainties, hunts)]
    if len({h.window for h in hunts}) > 1:
        drawings.append(attempt("scan", scan, hunts, summary))
    if spectrum:
        drawings.append(attempt("spectrum_scan", spectrum_scan, spectrum))
    return mark([*drawings, *performance(truth)], bool(summary.config.get("quick")))


def _leading(hunts: Sequence[HuntResult]) -> tuple[list[HuntResult], str]:
    """As many hunts as a figure has room for, in their order, and what to say of it."""
    if len(hunts) <= _ROWS:
        return list(hunts), ""
    strongest = sorted(hunts, key=lambda h: -(h.z_local or 0.0))[:_ROWS]
    return [h for h in hunts if h in strongest], f", the {_ROWS} largest of {len(hunts)}"


def significance(hunts: Sequence[HuntResult], summary: Summary) -> Drawing:
    """Local significance of every hunt with its cross-checks, and of all working points of a method in one test."""
    shown, words = _leading(hunts)
    rows = [
        {
            "window": h.window,
            "method": h.method,
            "eps_bkg": h.eps_bkg,
            "z_local": h.z_local,
            "cross_checks": dataclasses.asdict(h.cross_checks) if h.cross_checks else None,
        }
        for h in shown
    ]
    together = {(j.window, j.method): j for j in summary.joint if len(j.eps_bkg) > 1}
    for window, method in dict.fromkeys((h.window, h.method) for h in shown):
        if (window, method) in together:
            last = max(i for i, row in enumerate(rows) if (row["window"], row["method"]) == (window, method))
            z = together[window, method].z
            rows.insert(last + 1, {"window": window, "method": method, "eps_bkg": None, "z_local": z})
    numbers = {"hunts": rows, "of": words, "z_global": summary.z_global, "trials": summary.trials}
    return drawing("significance", "significance", numbers)


def _names(hunts: Sequence[dict[str, Any]]) -> list[str]:
    """What stands beside each hunt; one without a working point is all of them in one test."""
    points = ["all together" if h["eps_bkg"] is None else eps_text(h["eps_bkg"]) for h in hunts]
    return [f"{h['window']}  {name_of(h['method'])}  {eps}" for h, eps in zip(hunts, points, strict=True)]


def draw_significance(d: dict[str, Any]) -> Figure:
    """The figure of `significance`."""
    hunts = d["hunts"]
    rows = np.arange(len(hunts))[::-1]
    figure = Figure(figsize=(8.2, 1.6 + 0.42 * len(hunts)))
    ax = figure.subplots()
    for z, style in ((0, "-"), (3, "--"), (5, "--")):
        ax.axvline(z, color="#999999", ls=style, lw=1)
        ax.text(z, 1.01, f"{z}$\\sigma$", transform=ax.get_xaxis_transform(), ha="center", fontsize=9, color="#555555")
    for key, (label, marker) in CHECKS.items():
        x = array([(h.get("cross_checks") or {}).get(key) for h in hunts])
        ax.plot(x, rows, marker, color="#777777", mfc="none", ms=5, ls="none", label=label)
    for row, h in zip(rows, hunts, strict=True):
        primary = "Primary: all uncertainties" if row == rows[0] else None
        marker = "D" if h["eps_bkg"] is None else "o"
        ax.plot([h["z_local"] or 0.0], [row], marker, ms=9, color=colour_of(h["method"]), label=primary)
    ax.set_yticks(rows, _names(hunts))
    ax.set_ylim(-0.6, len(hunts) - 0.4)
    ax.tick_params(axis="y", which="minor", left=False, right=False)
    ax.set_xlabel("Local significance [standard deviations]")
    text = ""
    if d["z_global"] is not None:
        text = (
            f"  (global: {d['z_global']:.2f}$\\sigma$ after {d['trials']} {'trial' if d['trials'] == 1 else 'trials'})"
        )
    ax.set_title(f"Significance of each hunt{d['of']}{text}", loc="left", fontsize=11, pad=18)
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9)
    return figure


def uncertainties(hunts: Sequence[HuntResult]) -> Drawing:
    """Observed against expected, and what limits each background estimate."""
    shown, words = _leading(hunts)
    rows = []
    for h in shown:
        sigma = dataclasses.asdict(h.sigma) if h.sigma else {"total": 0.0}
        variances = {"counting": math.sqrt(h.n_bkg)} | {k: v for k, v in sigma.items() if k != "total"}
        rows.append(
            {"window": h.window, "method": h.method, "eps_bkg": h.eps_bkg, "n_obs": h.n_obs, "n_bkg": h.n_bkg}
            | {"sigma": sigma["total"], "variances": variances}
        )
    return drawing("uncertainties", "uncertainties", {"hunts": rows, "of": words})


def draw_uncertainties(d: dict[str, Any]) -> Figure:
    """The figure of `uncertainties`."""
    hunts = d["hunts"]
    rows = np.arange(len(hunts))[::-1]
    figure = Figure(figsize=(12, 1.6 + 0.42 * len(hunts)))
    left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.06})
    for row, h in zip(rows, hunts, strict=True):
        b, n, colour = h["n_bkg"], h["n_obs"] or 0, colour_of(h["method"])
        left.errorbar(b, row, xerr=h["sigma"], fmt="|", ms=14, lw=5, alpha=0.5, color=colour)
        left.errorbar(n, row, xerr=poisson_errors(np.array([float(n)])), fmt="o", ms=5, color=DATA)
        parts = h["variances"]
        total = sum(v**2 for v in parts.values() if v)
        start = 0.0
        for key, (_, c) in BUDGET.items():
            share = (parts.get(key) or 0.0) ** 2 / total if total else 0.0
            right.barh(row, share, left=start, color=c, height=0.65)
            start += share
        right.text(1.01, row, f"$\\pm$ {100 * np.sqrt(total) / b:.0f} %" if b else "–", va="center", fontsize=9)
    left.set(xscale="log", xlabel="Events behind the selection")
    left.set_yticks(rows, _names(hunts))
    left.set_ylim(-0.6, len(hunts) - 0.4)
    left.set_title("Bar: expected, with its uncertainty; point: observed", loc="left", fontsize=10)
    right.set(xlim=(0, 1), xlabel="Share of the variance of (observed − expected)")
    for ax in (left, right):
        ax.tick_params(axis="y", which="minor", left=False, right=False)
    handles = [Rectangle((0, 0), 1, 1, color=c) for _, c in BUDGET.values()]
    right.legend(handles, [t for t, _ in BUDGET.values()], loc="center left", bbox_to_anchor=(1.1, 0.5), fontsize=9)
    right.set_title(f"What limits each hunt{d['of']}", loc="left", fontsize=10)
    return figure


def scan(hunts: Sequence[HuntResult], summary: Summary) -> Drawing:
    """p-value of every window against its mass, and the local ones, one panel per method, with the local p-value that is 2 sigma after all trials."""
    rows = [
        {"signal_region": h.signal_region, "method": h.method, "eps_bkg": h.eps_bkg}
        | {"p_local": h.p_local, "z_local": h.z_local}
        | {"limit": dataclasses.asdict(h.limit) if h.limit else None}
        for h in hunts
    ]
    windows = [
        {"signal_region": w.signal_region, "p": w.p, "p_smallest": w.p_smallest, "p_combined": w.p_combined}
        for w in summary.windows
    ]
    regions = {w.window: w.signal_region for w in summary.windows}
    joint = [{"signal_region": regions[j.window], "method": j.method, "p": j.p} for j in summary.joint]
    numbers = {"hunts": rows, "windows": windows, "trials": summary.trials_effective, "z_global": summary.z_global}
    numbers |= {"joint": joint, "is_joint": summary.is_joint}
    numbers["searches"] = [m for m in dict.fromkeys(h.method for h in hunts) if not is_reference(m)]
    return drawing("scan", "scan", numbers)


def threshold(z_global: float, trials: float) -> float:
    """The local p-value of which the smallest of `trials` independent hunts is `z_global` standard deviations: 1 - (1 - p)^(1/trials)."""
    return float(-np.expm1(np.log1p(-normal_sf(z_global)) / max(trials, 1)))


def draw_scan(d: dict[str, Any]) -> Figure:
    """The figure of `scan`."""
    hunts = d["hunts"]
    methods = list(dict.fromkeys(h["method"] for h in hunts))
    figure = Figure(figsize=(8, 3.0 * (len(methods) + 1) + 0.6))
    axes = figure.subplots(len(methods) + 1, 1, sharex=True, squeeze=False)
    smallest = min(p for p in (*(h["p_local"] for h in hunts), *(j["p"] for j in d["joint"])))
    of_test = "all together" if d["is_joint"] else "each"
    _draw_windows(axes[0, 0], d["windows"], min(smallest, normal_sf(3)) / 10)
    for ax, method in zip(axes[1:, 0], methods, strict=True):
        points = sorted({h["eps_bkg"] for h in hunts}, reverse=True)
        for i, eps in enumerate(points):
            mine = sorted(
                (h for h in hunts if (h["method"], h["eps_bkg"]) == (method, eps)), key=lambda h: h["signal_region"]
            )
            x = [sum(h["signal_region"]) / 2 for h in mine]
            half = [(h["signal_region"][1] - h["signal_region"][0]) / 2 for h in mine]
            colour = WORKING_POINT_COLOURS[i % len(WORKING_POINT_COLOURS)]
            y = [h["p_local"] for h in mine]
            ax.errorbar(x, y, xerr=half, fmt="o-", ms=4, lw=1.2, elinewidth=0.6, color=colour, label=eps_text(eps))
        together = sorted((j for j in d["joint"] if j["method"] == method), key=lambda j: j["signal_region"])
        x = [sum(j["signal_region"]) / 2 for j in together]
        if x and len(points) > 1:
            ax.plot(x, [j["p"] for j in together], "D-", ms=4, lw=1.2, color="black", label="all together")
        bottom = min(smallest, normal_sf(3)) / 10
        _sigma_lines(ax, bottom)
        if method in d["searches"]:
            ax.axhspan(threshold(2, d["trials"]), 1, color="#F0E442", alpha=0.15, lw=0)
            ax.axhspan(threshold(1, d["trials"]), 1, color="#009E73", alpha=0.12, lw=0)
        ax.set(yscale="log", ylabel="Local p-value", ylim=(bottom, 1))
        title(
            ax,
            f"{name_of(method)} (shaded: {of_test} below 1 and 2$\\sigma$ globally)"
            if method in d["searches"]
            else name_of(method),
        )
    axes[1, 0].legend(fontsize=9, loc="lower left")
    axes[-1, 0].set_xlabel("Centre of the signal region [GeV]")
    return figure


def _draw_windows(ax: Axes, windows: list[dict[str, Any]], bottom: float) -> None:
    """The panel with one number per window."""
    windows = sorted(windows, key=lambda w: w["signal_region"])
    x = [sum(w["signal_region"]) / 2 for w in windows]
    half = [(w["signal_region"][1] - w["signal_region"][0]) / 2 for w in windows]
    own, both = array([w["p"] for w in windows]), array([w["p_combined"] for w in windows])
    ax.errorbar(x, own, xerr=half, fmt="o-", ms=4.5, lw=1.4, elinewidth=0.6, color="black", label="by features")
    points = array([w["p_smallest"] for w in windows])
    ax.plot(x, points, "v-.", ms=4, lw=1, color="#0072B2", label="smallest of the working points")
    ax.plot(x, both, "s--", ms=4, lw=1, mfc="none", color="#777777", label="with the inclusive count")
    ax.set(yscale="log", ylabel="p-value of the window", ylim=(bottom, 1))
    _sigma_lines(ax, bottom)
    title(ax, "Windows, after their trials")
    ax.legend(fontsize=9, loc="lower left")


def _sigma_lines(ax: Axes, bottom: float) -> None:
    for z in range(1, 9):
        if normal_sf(z) > bottom:
            ax.axhline(normal_sf(z), color="#999999", ls=":", lw=1)
            ax.text(1.005, normal_sf(z), f"{z}$\\sigma$", transform=ax.get_yaxis_transform(), va="center", fontsize=9)
