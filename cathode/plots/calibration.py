"""Figures of the calibration: pulls of the classifier, p-values without signal, measured against injected signal."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import betaincinv

from cathode.artefacts import Figures
from cathode.calibration.results import BackgroundOnly, SignalResponse
from cathode.plots.drawing import Drawing, as_files, drawing
from cathode.plots.style import WORKING_POINT_COLOURS, array, colour_of, eps_text, name_of
from cathode.results import Overdispersion
from cathode.stats.tails import normal_pdf


def plot_calibration(
    overdispersion: Overdispersion, background_only: BackgroundOnly, injection: SignalResponse
) -> Figures:
    """Pulls of the classifier, p-values of background-only pseudo-experiments, and measured against injected signal."""
    drawings = (pulls(overdispersion), p_values(background_only), signal_response(injection), efficiency(injection))
    return as_files(drawings)


def pulls(table: Overdispersion) -> Drawing:
    """Pulls of counts where there is nothing to find, against the unit normal, per method and working point."""
    drawn = {k: getattr(table, k) for k in ("n_toys", "v0", "v0_error", "z", "sizes")}
    return drawing("calibration_overdispersion", "pulls", drawn)


def draw_pulls(d: dict[str, Any]) -> Figure:
    """The figure of `pulls`."""
    methods = list(d["z"])
    points = list(d["z"][methods[0]])
    figure = Figure(figsize=(3.6 * len(points), 2.9 * len(methods)))
    axes = figure.subplots(len(methods), len(points), squeeze=False, sharex=True)
    edges = np.linspace(-5, 5, 26)
    grid = np.linspace(-5, 5, 201)
    for i, method in enumerate(methods):
        for j, eps in enumerate(points):
            ax, z = axes[i, j], np.clip(array(d["z"][method][eps]), -4.99, 4.99)
            counts = np.histogram(z, edges)[0]
            ax.stairs(counts, edges, fill=True, color=colour_of(method), alpha=0.35)
            scale = len(z) * (edges[1] - edges[0])
            v0, error = d["v0"][method][eps], d["v0_error"][method][eps]
            ax.plot(grid, scale * normal_pdf(grid), color="#555555", lw=1.2, label="unit normal")
            ax.plot(
                grid,
                scale * normal_pdf(grid, scale=np.sqrt(v0)),
                color=colour_of(method),
                lw=1.5,
                label="measured width",
            )
            ax.set_title(f"{name_of(method)}, {eps_text(float(eps))}\n$v_0$ = {v0:.2f} $\\pm$ {error:.2f}", fontsize=10)
            if i == len(methods) - 1:
                ax.set_xlabel("Pull (counting errors only)")
        axes[i, 0].set_ylabel("Pseudo-experiments")
    axes[0, 0].legend(fontsize=8, loc="upper left")
    figure.suptitle(
        f"Classifier calibration: {d['n_toys']} pseudo-experiments without anything to find",
        x=0.02,
        ha="left",
        y=1.02,
    )
    figure.tight_layout()
    return figure


def p_values(found: BackgroundOnly) -> Drawing:
    """Ordered p-values of background-only pseudo-experiments against uniform ones, with the 68 and 95 % bands; and those of all hunts together."""
    drawn = []
    for v in found.verdicts:
        key = (v.window, v.method, v.eps_bkg)
        p = sorted(e.p_mid for e in found.experiments if (e.window, e.method, e.eps_bkg) == key)
        drawn.append(dataclasses.asdict(v) | {"p_mid": p})
    together = dataclasses.asdict(found.trials) | {"p_global": sorted(found.trials.p_global)}
    return drawing("calibration_background_only", "p_values", {"verdicts": drawn, "trials": together})


def draw_p_values(d: dict[str, Any]) -> Figure:
    """The figure of `p_values`: a panel per window and method, and one for the global p-value."""
    windows, methods = (list(dict.fromkeys(v[key] for v in d["verdicts"])) for key in ("window", "method"))
    width, height = (5.2, 4.8) if len(windows) < 3 else (4.4, 3.2)
    figure = Figure(figsize=(width * (len(methods) + 1), height * len(windows)))
    axes = figure.subplots(len(windows), len(methods) + 1, squeeze=False)
    for row, window in zip(axes, windows, strict=True):
        for ax, method in zip(row[:-1], methods, strict=True):
            mine = [v for v in d["verdicts"] if (v["window"], v["method"]) == (window, method)]
            lines = [(eps_text(v["eps_bkg"]), v, v["p_mid"]) for v in mine]
            where = f", {window}" if len(windows) > 1 else ""
            _draw_ordered(ax, lines, f"{name_of(method)}{where}: {mine[0]['n']} without signal")
        row[-1].axis("off")
    together = d["trials"]
    axes[0, -1].axis("on")
    label = f"smallest of {together['tests']} (worth {together['effective']:.1f})"
    _draw_ordered(axes[0, -1], [(label, together["verdict"], together["p_global"])], "All tests: global p-value")
    figure.tight_layout()
    return figure


def _draw_ordered(ax: Axes, lines: list[tuple[str, dict[str, Any], list[float]]], title: str) -> None:
    n = lines[0][1]["n"]
    rank = np.arange(1, n + 1)
    expected = rank / (n + 1)
    for level, alpha in ((0.95, 0.12), (0.68, 0.22)):
        low, high = (betaincinv(rank, n - rank + 1, (1 + side * level) / 2) for side in (-1, 1))
        ax.fill_between(expected, low, high, color="#555555", alpha=alpha, lw=0)
    ax.plot([0.3 / n, 1], [0.3 / n, 1], color="#555555", lw=1)
    for i, (label, verdict, p) in enumerate(lines):
        text = "uniform" if verdict["passes"] else "conservative" if verdict["conservative"] else "NOT uniform"
        colour = WORKING_POINT_COLOURS[i % len(WORKING_POINT_COLOURS)]
        ax.plot(expected, array(p), ".", ms=5, color=colour, label=f"{label}: KS p = {verdict['ks_p']:.2f}, {text}")
    ax.set(xscale="log", yscale="log", xlabel="Expected p-value", ylabel="p-value (mid-p)", xlim=(0.5 / n, 1.05))
    ax.set_title(title, loc="left", fontsize=11)
    ax.legend(fontsize=8.5, loc="lower right", title="bands: 68 and 95 %, each point by itself", title_fontsize=8)


def signal_response(found: SignalResponse) -> Drawing:
    """Measured against injected signal behind the cut, and the pulls, per method and working point."""
    drawn = {
        "fits": [dataclasses.asdict(f) | {"passes": f.passes} for f in found.fits],
        "points": list(map(dataclasses.asdict, found.points)),
    }
    return drawing("calibration_injection", "signal_response", drawn)


def draw_signal_response(d: dict[str, Any]) -> Figure:
    """The figure of `signal_response`."""
    if not d["fits"]:
        figure = Figure(figsize=(6, 1.2))
        ax = figure.subplots()
        ax.text(0, 0.5, "No labelled signal to inject, or no injections configured.")
        ax.axis("off")
        return figure
    methods = list(dict.fromkeys(f["method"] for f in d["fits"]))
    points = list(dict.fromkeys(f["eps_bkg"] for f in d["fits"]))
    figure = Figure(figsize=(4.1 * len(points), 3.9 * len(methods)))
    axes = figure.subplots(len(methods), len(points), squeeze=False)
    for fit in d["fits"]:
        key = (fit["method"], fit["eps_bkg"])
        ax, colour = axes[methods.index(key[0]), points.index(key[1])], colour_of(key[0])
        mine = [p for p in d["points"] if (p["method"], p["eps_bkg"]) == key]
        true, estimated, error = (
            array([p[k] for p in mine]) for k in ("n_signal_passing", "n_signal_estimated", "error")
        )
        ax.errorbar(true, estimated, error, fmt="o", ms=3, lw=0.6, alpha=0.6, color=colour)
        line = np.array([0.0, max(float(true.max()), 1.0)])
        ax.plot(line, line, color="#555555", ls="--", lw=1)
        ax.plot(line, fit["slope"] * line + fit["intercept"], color=colour, lw=1.5)
        ax.set_title(
            f"{name_of(key[0])}, {eps_text(key[1])}: {'passes' if fit['passes'] else 'fails'}\n"
            f"slope {fit['slope']:.2f} $\\pm$ {fit['slope_error']:.2f}, pulls {fit['pull_mean']:+.2f}, width {fit['pull_sd']:.2f}",
            fontsize=9.5,
        )
        ax.set(xlabel="Injected signal behind the cut", ylabel="Measured signal")
    figure.tight_layout()
    return figure


def efficiency(found: SignalResponse) -> Drawing:
    """Signal efficiency and median significance against the injected signal."""
    drawn = {"efficiency": list(map(dataclasses.asdict, found.efficiency))}
    return drawing("calibration_efficiency", "efficiency", drawn)


def draw_efficiency(d: dict[str, Any]) -> Figure:
    """The figure of `efficiency`."""
    rows = d["efficiency"]
    figure = Figure(figsize=(11, 4.2))
    axes = figure.subplots(1, 2)
    styles = itertools.cycle(("o-", "s--", "^:", "v-."))
    for method in dict.fromkeys(r["method"] for r in rows):
        style = next(styles)
        for i, eps in enumerate(dict.fromkeys(r["eps_bkg"] for r in rows)):
            mine = [r for r in rows if (r["method"], r["eps_bkg"]) == (method, eps)]
            colour = WORKING_POINT_COLOURS[i % len(WORKING_POINT_COLOURS)]
            label = f"{name_of(method)}, {eps_text(eps)}"
            x, y, error, z = (array([r[k] for r in mine]) for k in ("strength", "eps_sig", "eps_sig_error", "z_median"))
            axes[0].errorbar(x, y, error, fmt=style, ms=4, color=colour, label=label)
            axes[1].plot(x, z, style, ms=4, color=colour, label=label)
    for level in (3, 5):
        axes[1].axhline(level, color="#999999", ls="--", lw=1)
    axes[0].set(xlabel="Injected signal S/√B", ylabel="Signal efficiency", ylim=(0, None))
    axes[1].set(xlabel="Injected signal S/√B", ylabel="Median local significance")
    if rows:
        axes[0].legend(fontsize=8.5)
    figure.suptitle("Injected signal: how much passes, and what it is worth", x=0.12, ha="left", fontsize=12)
    return figure
