"""SIC and ROC curves where labels exist."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cathode.plots.style import Drawing, attempt, colour_of, in_style, name_of, note
from cathode.results import Truth

_NO_CURVES = "fewer than 25 labelled signal events, too few for curves"


def performance(truth: Sequence[Truth]) -> list[Drawing]:
    """One figure per window that was evaluated: significance improvement against signal efficiency, and background rejection."""
    drawings = []
    for window in dict.fromkeys(t.window for t in truth if t.entries):
        own, name = [t for t in truth if t.window == window and t.eps_sig], f"{window}_performance"
        drawings.append(attempt(name, _curves, window, own) if own else note(name, f"{window}: {_NO_CURVES}"))
    return drawings


@in_style
def _curves(window: str, truth: Sequence[Truth]) -> Drawing:
    figure = Figure(figsize=(11, 4.4))
    left, right = figure.subplots(1, 2)
    drawn = {}
    for t in truth:
        eps_bkg, eps_sig = np.array(t.eps_bkg), np.array(t.eps_sig)
        auc, max_sic = t.entries[0].auc, t.entries[0].max_sic
        quoted = eps_bkg >= t.sic_floor
        sic = eps_sig[quoted] / np.sqrt(eps_bkg[quoted])
        error = sic / (2 * np.sqrt(eps_bkg[quoted] * 25 / t.sic_floor))
        colour, name = colour_of(t.method), name_of(t.method)
        left.plot(eps_sig[quoted], sic, color=colour, label=f"{name} (max. {max_sic:.1f})")
        left.fill_between(eps_sig[quoted], sic - error, sic + error, color=colour, alpha=0.15, lw=0)
        right.plot(eps_sig[quoted], 1 / eps_bkg[quoted], color=colour, label=f"{name} (AUC {auc:.3f})")
        drawn[t.method] = {"eps_bkg": eps_bkg, "eps_sig": eps_sig, "auc": auc, "max_sic": max_sic}
    grid = np.linspace(0.01, 1, 100)
    left.plot(grid, np.sqrt(grid), color="#999999", ls=":", label="Random")
    right.plot(grid, 1 / grid, color="#999999", ls=":", label="Random")
    left.set(
        xlabel="Signal efficiency $\\epsilon_S$",
        ylabel="$\\epsilon_S\\,/\\sqrt{\\epsilon_B}$",
        xlim=(0, 1),
        ylim=(0, None),
    )
    right.set(
        xlabel="Signal efficiency $\\epsilon_S$",
        ylabel="Background rejection $1/\\epsilon_B$",
        yscale="log",
        xlim=(0, 1),
    )
    left.set_title(f"{window}: significance improvement (band: statistics)", loc="left", fontsize=11)
    right.set_title(f"{window}: rejection, down to 25 background events", loc="left", fontsize=11)
    for ax in (left, right):
        ax.legend(fontsize=9)
    return Drawing(f"{window}_performance", figure, drawn)
