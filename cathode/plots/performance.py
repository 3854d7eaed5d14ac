"""SIC and ROC curves where labels exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cathode.plots.drawing import Drawing, attempt, drawing, note
from cathode.plots.style import array, colour_of, name_of, room_for_legend, title
from cathode.results import Truth

_NO_CURVES = "fewer than 25 labelled signal events, too few for curves"


def performance(truth: Sequence[Truth]) -> list[Drawing]:
    """One figure per window that was evaluated: significance improvement against signal efficiency, and background rejection."""
    drawings = []
    for window in dict.fromkeys(t.window for t in truth if t.entries):
        own, name = [t for t in truth if t.window == window and t.eps_sig], f"{window}_performance"
        drawings.append(attempt(name, _curves, window, own) if own else note(name, f"{window}: {_NO_CURVES}"))
    return drawings


def _curves(window: str, truth: Sequence[Truth]) -> Drawing:
    methods = {
        t.method: {
            "eps_bkg": t.eps_bkg,
            "eps_sig": t.eps_sig,
            "auc": t.entries[0].auc,
            "max_sic": t.entries[0].max_sic,
            "sic_floor": t.sic_floor,
        }
        for t in truth
    }
    return drawing(f"{window}_performance", "performance", {"window": window, "methods": methods})


def draw_performance(d: dict[str, Any]) -> Figure:
    """The figure of one window: SIC against signal efficiency, and background rejection."""
    figure = Figure(figsize=(11, 4.6))
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.25})
    for method, t in d["methods"].items():
        eps_bkg, eps_sig = array(t["eps_bkg"]), array(t["eps_sig"])
        quoted = eps_bkg >= t["sic_floor"]
        sic = eps_sig[quoted] / np.sqrt(eps_bkg[quoted])
        error = sic / (2 * np.sqrt(eps_bkg[quoted] * 25 / t["sic_floor"]))
        colour, name = colour_of(method), name_of(method)
        left.plot(eps_sig[quoted], sic, color=colour, label=f"{name} (max. {_number(t['max_sic'], 1)})")
        left.fill_between(eps_sig[quoted], sic - error, sic + error, color=colour, alpha=0.15, lw=0)
        right.plot(eps_sig[quoted], 1 / eps_bkg[quoted], color=colour, label=f"{name} (AUC {_number(t['auc'], 3)})")
    grid = np.linspace(0.01, 1, 100)
    left.plot(grid, np.sqrt(grid), color="#999999", ls=":", label="Random")
    right.plot(grid, 1 / grid, color="#999999", ls=":", label="Random")
    left.set(
        xlabel="Signal efficiency $\\epsilon_S$",
        ylabel="$\\epsilon_S$ / √$\\epsilon_B$",
        xlim=(0, 1),
        ylim=(0, None),
    )
    right.set(
        xlabel="Signal efficiency $\\epsilon_S$",
        ylabel="Background rejection $1/\\epsilon_B$",
        yscale="log",
        xlim=(0, 1),
    )
    title(left, f"{d['window']}: significance improvement (band: statistics)")
    title(right, f"{d['window']}: rejection, down to 25 background events")
    room_for_legend(left, 0.3)
    right.legend()
    return figure


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
