"""Limits on signals of one's own against their mass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cathode.plots.drawing import Drawing, drawing
from cathode.plots.style import DATA, array, title


def signal_limits(rows: Sequence[dict[str, Any]], luminosity: float | None, level: float = 0.95) -> Drawing:
    """Observed and expected limits of several signals.

    A row has `signal` (its name), `mass` (GeV), `observed` and `expected` (at -2 .. 2 standard deviations), in events of its table; with a `luminosity`
    (fb^-1) they are drawn as cross-sections. What is infinite is left out.
    """
    scale = 1.0 if luminosity is None else 1 / luminosity
    shown = [
        {
            "signal": r["signal"],
            "mass": r["mass"],
            "observed": r["observed"] * scale,
            "expected": [v * scale for v in r["expected"]],
        }
        for r in sorted(rows, key=lambda r: r["mass"])
    ]
    return drawing("signal_limits", "signal_limits", {"signals": shown, "luminosity": luminosity, "level": level})


def draw_signal_limits(d: dict[str, Any]) -> Figure:
    """The figure of `signal_limits`: the bands of the field, points where a single signal makes no band."""
    rows = d["signals"]
    mass, observed = array([r["mass"] for r in rows]), array([r["observed"] for r in rows])
    expected = np.stack([array(r["expected"]) for r in rows], axis=1)
    figure = Figure(figsize=(7.5, 5.2))
    ax = figure.subplots()
    if len(rows) > 1:
        ax.fill_between(
            mass, expected[0], expected[4], color="#F0E442", alpha=0.8, lw=0, label="expected $\\pm 2\\sigma$"
        )
        ax.fill_between(
            mass, expected[1], expected[3], color="#009E73", alpha=0.6, lw=0, label="expected $\\pm 1\\sigma$"
        )
    else:
        for k, lw, colour in ((0, 10, "#F0E442"), (1, 10, "#009E73")):
            ax.plot([mass[0], mass[0]], [expected[k][0], expected[4 - k][0]], lw=lw, color=colour, solid_capstyle="butt", label=f"expected $\\pm {2 - k}\\sigma$")  # fmt: skip
        ax.set_xlim(0.8 * mass[0], 1.2 * mass[0])
    ax.plot(mass, expected[2], "--" if len(rows) > 1 else "_", ms=16, lw=1.4, color=DATA, label="expected, median")
    ax.plot(mass, observed, "o-", ms=4.5, lw=1.4, color=DATA, label="observed")
    unit = "Signal events" if d["luminosity"] is None else "Cross-section [fb]"
    ax.set(xlabel="Signal mass [GeV]", ylabel=f"{unit}, {100 * d['level']:g} % CL upper limit", yscale="log")
    low, high = ax.get_ylim()
    ax.set_ylim(low / 1.5, high * (high / low) ** 0.5 * 1.5)
    ax.legend(loc="upper right", fontsize=10)
    title(ax, "Limits at the working point with the smallest expected one")
    return figure
