"""Figures of the calibration: pulls of the classifier, p-values without signal, measured against injected signal."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import beta, norm

from cathode.calibration.results import BackgroundOnly, SignalResponse
from cathode.plots.style import (
    WORKING_POINT_COLOURS,
    Drawing,
    as_files,
    colour_of,
    eps_text,
    in_style,
    name_of,
)
from cathode.results import Figures, Overdispersion


def plot_calibration(
    overdispersion: Overdispersion, background_only: BackgroundOnly, injection: SignalResponse
) -> Figures:
    """Pulls of the classifier, p-values of background-only pseudo-experiments, and measured against injected signal."""
    drawings = (pulls(overdispersion), p_values(background_only), signal_response(injection), efficiency(injection))
    return as_files(drawings)


@in_style
def pulls(table: Overdispersion) -> Drawing:
    """Pulls of counts where there is nothing to find, against the unit normal, per method and working point."""
    methods = list(table.z)
    points = list(table.z[methods[0]])
    figure = Figure(figsize=(3.6 * len(points), 2.9 * len(methods)))
    axes = figure.subplots(len(methods), len(points), squeeze=False, sharex=True)
    edges = np.linspace(-5, 5, 26)
    grid = np.linspace(-5, 5, 201)
    for i, method in enumerate(methods):
        for j, eps in enumerate(points):
            ax, z = axes[i, j], np.clip(table.z[method][eps], -4.99, 4.99)
            counts = np.histogram(z, edges)[0]
            ax.stairs(counts, edges, fill=True, color=colour_of(method), alpha=0.35)
            scale = len(z) * (edges[1] - edges[0])
            v0, error = table.v0[method][eps], table.v0_error[method][eps]
            ax.plot(grid, scale * norm.pdf(grid), color="#555555", lw=1.2, label="unit normal")
            ax.plot(
                grid, scale * norm.pdf(grid, scale=np.sqrt(v0)), color=colour_of(method), lw=1.5, label="measured width"
            )
            ax.set_title(f"{name_of(method)}, {eps_text(float(eps))}\n$v_0$ = {v0:.2f} $\\pm$ {error:.2f}", fontsize=10)
            if i == len(methods) - 1:
                ax.set_xlabel("Pull (counting errors only)")
        axes[i, 0].set_ylabel("Pseudo-experiments")
    axes[0, 0].legend(fontsize=8, loc="upper left")
    figure.suptitle(
        f"Classifier calibration: {table.n_toys} pseudo-experiments without anything to find",
        x=0.02,
        ha="left",
        y=1.02,
    )
    figure.tight_layout()
    drawn = {k: getattr(table, k) for k in ("n_toys", "v0", "v0_error", "z", "sizes")}
    return Drawing("calibration_overdispersion", figure, drawn)


@in_style
def p_values(found: BackgroundOnly) -> Drawing:
    """Ordered p-values of background-only pseudo-experiments against uniform ones, with the 68 and 95 % bands."""
    methods = list(dict.fromkeys(v.method for v in found.verdicts))
    figure = Figure(figsize=(5.6 * len(methods), 4.8))
    axes = figure.subplots(1, len(methods), squeeze=False)
    drawn = []
    for ax, method in zip(axes[0], methods, strict=True):
        mine = [v for v in found.verdicts if v.method == method]
        n = mine[0].n
        rank = np.arange(1, n + 1)
        expected = rank / (n + 1)
        for level, alpha in ((0.95, 0.12), (0.68, 0.22)):
            low, high = beta.ppf((1 - level) / 2, rank, n - rank + 1), beta.ppf((1 + level) / 2, rank, n - rank + 1)
            ax.fill_between(expected, low, high, color="#555555", alpha=alpha, lw=0)
        ax.plot([0.3 / n, 1], [0.3 / n, 1], color="#555555", lw=1)
        for i, v in enumerate(mine):
            p = sorted(e.p_mid for e in found.experiments if (e.method, e.eps_bkg) == (method, v.eps_bkg))
            text = "uniform" if v.passes else "conservative" if v.conservative else "NOT uniform"
            label = f"{eps_text(v.eps_bkg)}: KS p = {v.ks_p:.2f}, {text}"
            ax.plot(expected, p, ".", ms=5, color=WORKING_POINT_COLOURS[i % len(WORKING_POINT_COLOURS)], label=label)
            drawn.append(dataclasses.asdict(v) | {"p_mid": p})
        ax.set(xscale="log", yscale="log", xlabel="Expected p-value", ylabel="p-value (mid-p)", xlim=(0.5 / n, 1.05))
        ax.set_title(f"{name_of(method)}: {n} background-only pseudo-experiments", loc="left", fontsize=11)
        ax.legend(fontsize=8.5, loc="lower right", title="bands: 68 and 95 %, each point by itself", title_fontsize=8)
    return Drawing("calibration_background_only", figure, {"verdicts": drawn})


@in_style
def signal_response(found: SignalResponse) -> Drawing:
    """Measured against injected signal behind the cut, and the pulls, per method and working point."""
    if not found.fits:
        figure = Figure(figsize=(6, 1.2))
        ax = figure.subplots()
        ax.text(0, 0.5, "No labelled signal to inject, or no injections configured.")
        ax.axis("off")
        return Drawing("calibration_injection", figure, {"fits": []})
    methods = list(dict.fromkeys(f.method for f in found.fits))
    points = list(dict.fromkeys(f.eps_bkg for f in found.fits))
    figure = Figure(figsize=(4.1 * len(points), 3.9 * len(methods)))
    axes = figure.subplots(len(methods), len(points), squeeze=False)
    for fit in found.fits:
        ax, colour = axes[methods.index(fit.method), points.index(fit.eps_bkg)], colour_of(fit.method)
        mine = [p for p in found.points if (p.method, p.eps_bkg) == (fit.method, fit.eps_bkg)]
        true, estimated, error = (
            np.array([getattr(p, k) for p in mine]) for k in ("n_signal_passing", "n_signal_estimated", "error")
        )
        ax.errorbar(true, estimated, error, fmt="o", ms=3, lw=0.6, alpha=0.6, color=colour)
        line = np.array([0.0, max(float(true.max()), 1.0)])
        ax.plot(line, line, color="#555555", ls="--", lw=1)
        ax.plot(line, fit.slope * line + fit.intercept, color=colour, lw=1.5)
        ax.set_title(
            f"{name_of(fit.method)}, {eps_text(fit.eps_bkg)}: {'passes' if fit.passes else 'fails'}\n"
            f"slope {fit.slope:.2f} $\\pm$ {fit.slope_error:.2f}, pulls {fit.pull_mean:+.2f}, width {fit.pull_sd:.2f}",
            fontsize=9.5,
        )
        ax.set(xlabel="Injected signal behind the cut", ylabel="Measured signal")
    figure.tight_layout()
    drawn = {"fits": list(map(dataclasses.asdict, found.fits)), "points": list(map(dataclasses.asdict, found.points))}
    return Drawing("calibration_injection", figure, drawn)


@in_style
def efficiency(found: SignalResponse) -> Drawing:
    """Signal efficiency and median significance against the injected signal."""
    rows = found.efficiency
    figure = Figure(figsize=(11, 4.2))
    axes = figure.subplots(1, 2)
    styles = itertools.cycle(("o-", "s--", "^:", "v-."))
    for method in dict.fromkeys(r.method for r in rows):
        style = next(styles)
        for i, eps in enumerate(dict.fromkeys(r.eps_bkg for r in rows)):
            mine = [r for r in rows if (r.method, r.eps_bkg) == (method, eps)]
            colour = WORKING_POINT_COLOURS[i % len(WORKING_POINT_COLOURS)]
            label = f"{name_of(method)}, {eps_text(eps)}"
            x, y, error, z = (
                [getattr(r, k) for r in mine] for k in ("strength", "eps_sig", "eps_sig_error", "z_median")
            )
            axes[0].errorbar(x, y, error, fmt=style, ms=4, color=colour, label=label)
            axes[1].plot(x, z, style, ms=4, color=colour, label=label)
    for level in (3, 5):
        axes[1].axhline(level, color="#999999", ls="--", lw=1)
    axes[0].set(xlabel="Injected signal $S/\\sqrt{B}$", ylabel="Signal efficiency", ylim=(0, None))
    axes[1].set(xlabel="Injected signal $S/\\sqrt{B}$", ylabel="Median local significance")
    if rows:
        axes[0].legend(fontsize=8.5)
    figure.suptitle("Injected signal: how much passes, and what it is worth", x=0.12, ha="left", fontsize=12)
    return Drawing("calibration_efficiency", figure, {"efficiency": list(map(dataclasses.asdict, rows))})
