"""Closure: pseudo signal regions, and recorded over generated events of the sidebands."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cathode.inference.closure import Closure
from cathode.plots.drawing import Drawing, drawing
from cathode.plots.style import DATA, MASS, TEMPLATE, array, colour_of, eps_text, name_of, poisson_errors, title
from cathode.template.sidebands import SidebandClosure


def closure_forest(closure: Closure) -> Drawing:
    """Observed over predicted in every pseudo signal region, with the combined non-closure, per working point."""
    points = {
        f"{p.eps_bkg:g}": {
            "observed": p.observed,
            "predicted": p.predicted,
            "relative_error": p.relative_error,
            "mu": p.effects.mu,
            "sigma": p.effects.sigma,
            "scatter": p.effects.scatter,
            "p_homogeneous": p.effects.p_homogeneous,
        }
        for p in closure.points
    }
    numbers = {"window": closure.window, "method": closure.method, "intervals": closure.intervals, "points": points}
    return drawing(f"{closure.window}_{closure.method}_closure", "closure", numbers)


def draw_closure(d: dict[str, Any]) -> Figure:
    """The figure of `closure_forest`; the band is the bias that the window may have."""
    points, colour = d["points"], colour_of(d["method"])
    figure = Figure(figsize=(3.6 * len(points) + 1.2, 5.2))
    axes = figure.subplots(1, len(points), sharey=True, squeeze=False, gridspec_kw={"wspace": 0.08})
    rows = np.arange(len(d["intervals"]))[::-1]
    for ax, (eps, point) in zip(axes[0], points.items(), strict=True):
        observed, predicted, relative = (array(point[key]) for key in ("observed", "predicted", "relative_error"))
        value = observed / predicted
        error = np.hypot(poisson_errors(observed) / predicted, value * relative)
        mu, sigma = point["mu"], point["sigma"]
        ax.axvspan(np.exp(mu - sigma), np.exp(mu + sigma), color=colour, alpha=0.2, lw=0)
        ax.axvline(np.exp(mu), color=colour, lw=1.5)
        ax.axvline(1, color="#555555", ls="--", lw=1)
        ax.errorbar(value, rows, xerr=error, fmt="o", ms=4, lw=1.2, color=DATA)
        ax.set_xlabel("Observed / predicted")
        ax.set_title(
            f"{eps_text(float(eps))}\nbias {100 * (np.exp(mu) - 1):+.1f} % $\\pm$ {100 * sigma:.1f} %", fontsize=10.5
        )
        ax.set_xlim(0, max(2.0, float(np.max(value + error[1])) * 1.05))
        ax.tick_params(axis="y", which="minor", left=False, right=False)
    labels = [f"{a:.4g} – {b:.4g} GeV" for a, b in d["intervals"]]
    axes[0, 0].set_yticks(rows, labels)
    figure.suptitle(
        f"{d['window']}, {name_of(d['method'])}: closure in regions without signal (band: bias expected in the window)",
        x=0.02, ha="left", fontsize=12, y=1.03,
    )  # fmt: skip
    return figure


def sideband_ratio(closure: SidebandClosure) -> Drawing:
    """Recorded over generated sideband events against the mass, inclusive and behind cuts, with the ratio of the sums."""
    points = {
        f"{eps:g}": {"recorded": recorded, "generated": generated, "ratio": ratio, "error": error}
        for eps, recorded, generated, ratio, error in zip(
            closure.eps, closure.recorded, closure.generated, closure.ratio, closure.error, strict=True
        )
    }
    numbers = {"window": closure.window, "edges": closure.edges, "points": points}
    return drawing(f"{closure.window}_sideband_ratio", "sideband_ratio", numbers)


def draw_sideband_ratio(d: dict[str, Any]) -> Figure:
    """The figure of `sideband_ratio`."""
    edges = np.array(d["edges"])
    centres, half = edges.mean(axis=1), (edges[:, 1] - edges[:, 0]) / 2
    figure = Figure(figsize=(8, 1.8 * len(d["points"]) + 0.9))
    axes = figure.subplots(len(d["points"]), 1, sharex=True, squeeze=False)[:, 0]
    for ax, (eps, point) in zip(axes, d["points"].items(), strict=True):
        observed, expected = array(point["recorded"]), array(point["generated"])
        ratio, error = point["ratio"], point["error"]
        filled = expected > 0
        safe = np.where(filled, expected, 1)
        y = np.where(filled, observed / safe, np.nan)
        e = np.where(filled, np.hypot(poisson_errors(observed), observed / np.sqrt(safe)) / safe, np.nan)
        ax.axhspan(ratio - error, ratio + error, color=TEMPLATE, alpha=0.25, lw=0)
        ax.axhline(ratio, color=TEMPLATE, lw=1.4)
        ax.axhline(1, color="#555555", ls="--", lw=1)
        ax.errorbar(centres[filled], y[filled], e[:, filled], half[filled], fmt="o", ms=3.5, lw=1, color=DATA)
        spread = float(np.nanmax(np.abs(y - 1) + e[1], initial=0.02)) if filled.any() else 1.0
        ax.set_ylim(max(0.0, 1 - min(spread, 1.5) * 1.15), 1 + min(spread, 1.5) * 1.15)
        name = "no cut" if float(eps) == 1 else eps_text(float(eps))
        ax.text(0.015, 0.9, f"{name}: {ratio:.3f} $\\pm$ {error:.3f}", transform=ax.transAxes, va="top", fontsize=10)
    figure.supylabel("Recorded / generated", fontsize=13, x=0.02)
    axes[-1].set_xlabel(MASS)
    title(axes[0], f"{d['window']}: sidebands, behind a classifier of recorded against generated")
    return figure
