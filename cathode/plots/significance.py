"""Significances and uncertainty budgets of all hunts of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cathode.plots.performance import performance
from cathode.plots.spectrum import spectrum_scan
from cathode.plots.style import (
    DATA,
    WORKING_POINT_COLOURS,
    Drawing,
    as_files,
    attempt,
    colour_of,
    eps_text,
    in_style,
    name_of,
)
from cathode.results import Figures, HuntResult, Summary, Truth
from cathode.spectrum.scan import SpectrumScan

CHECKS = {
    "z_sequential": ("sequential folds", "P"),
    "z_mass_fit": ("mass fit, no template", "v"),
    "z_pyhf": ("pyhf $q_0$", "s"),
    "z_li_ma": ("Li–Ma (stat. only)", "^"),
    "z_slide": ("half ensembles (display)", "D"),
    "z_classical": ("$(O-B)/\\sqrt{B}$", "x"),
}
BUDGET = {
    "counting": ("Counting (Poisson)", "#BBBBBB"),
    "template": ("Template statistics", "#56B4E9"),
    "initialisation": ("Initialisation", "#009E73"),
    "bootstrap": ("Training data", "#E69F00"),
    "non_closure": ("Non-closure", "#D55E00"),
}


def plot_summary(summary: Summary, truth: list[Truth], spectrum: list[SpectrumScan]) -> Figures:
    """Significances of all hunts, the classical bump hunt, and SIC and ROC curves where labels exist."""
    return as_files(draw_summary(summary, truth, spectrum))


def draw_summary(summary: Summary, truth: list[Truth], spectrum: list[SpectrumScan]) -> list[Drawing]:
    """The drawings of `plot_summary`; none when blind."""
    hunts = [h for h in summary.hunts if h.z_local is not None]
    if not hunts:
        return []
    drawings = [attempt("significance", overview, hunts, summary), attempt("uncertainties", budget, hunts)]
    if len({h.window for h in hunts}) > 1:
        drawings.append(attempt("scan", scan, hunts))
    if spectrum:
        drawings.append(attempt("spectrum_scan", spectrum_scan, spectrum))
    return [*drawings, *performance(truth)]


def _names(hunts: Sequence[HuntResult]) -> list[str]:
    return [f"{h.window}  {name_of(h.method)}  {eps_text(h.eps_bkg)}" for h in hunts]


@in_style
def overview(hunts: Sequence[HuntResult], summary: Summary) -> Drawing:
    """Local significance of every hunt with its cross-checks."""
    rows = np.arange(len(hunts))[::-1]
    figure = Figure(figsize=(8.2, 1.6 + 0.42 * len(hunts)))
    ax = figure.subplots()
    for z, style in ((0, "-"), (3, "--"), (5, "--")):
        ax.axvline(z, color="#999999", ls=style, lw=1)
        ax.text(z, 1.01, f"{z}$\\sigma$", transform=ax.get_xaxis_transform(), ha="center", fontsize=9, color="#555555")
    for key, (label, marker) in CHECKS.items():
        found = [getattr(h.cross_checks, key) if h.cross_checks else None for h in hunts]
        x = [np.nan if z is None else z for z in found]
        ax.plot(x, rows, marker, color="#777777", mfc="none", ms=5, ls="none", label=label)
    for row, h in zip(rows, hunts, strict=True):
        primary = "Primary: all uncertainties" if row == rows[0] else None
        ax.plot([h.z_local or 0.0], [row], "o", ms=9, color=colour_of(h.method), label=primary)
    ax.set_yticks(rows, _names(hunts))
    ax.set_xlabel("Local significance [standard deviations]")
    text = ""
    if summary.z_global is not None:
        text = f"global: {summary.z_global:.2f}$\\sigma$ after {summary.trials} trials"
    ax.set_title(f"Significance of each hunt  ({text})", loc="left", fontsize=11, pad=18)
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9)
    drawn = [
        {"window": h.window, "method": h.method, "eps_bkg": h.eps_bkg, "z_local": h.z_local}
        | {"cross_checks": dataclasses.asdict(h.cross_checks) if h.cross_checks else None}
        for h in hunts
    ]
    return Drawing("significance", figure, {"hunts": drawn, "z_global": summary.z_global})


@in_style
def budget(hunts: Sequence[HuntResult]) -> Drawing:
    """Observed against expected, and what limits each background estimate."""
    rows = np.arange(len(hunts))[::-1]
    figure = Figure(figsize=(12, 1.6 + 0.42 * len(hunts)))
    left, right = figure.subplots(1, 2, sharey=True)
    drawn = []
    for row, h in zip(rows, hunts, strict=True):
        b, n, colour = h.n_bkg, h.n_obs or 0, colour_of(h.method)
        sigma = dataclasses.asdict(h.sigma) if h.sigma else {"total": 0.0}
        left.errorbar(b, row, xerr=sigma["total"], fmt="|", ms=14, lw=5, alpha=0.5, color=colour)
        left.errorbar(n, row, xerr=np.sqrt(max(n, 1)), fmt="o", ms=5, color=DATA)
        parts = {"counting": float(np.sqrt(b))} | {k: v for k, v in sigma.items() if k != "total"}
        total = sum(v**2 for v in parts.values() if v)
        start = 0.0
        for key, (_, c) in BUDGET.items():
            share = (parts.get(key) or 0.0) ** 2 / total
            right.barh(row, share, left=start, color=c, height=0.65)
            start += share
        right.text(1.01, row, f"$\\pm$ {100 * np.sqrt(total) / b:.0f} %", va="center", fontsize=9)
        drawn.append({"window": h.window, "method": h.method, "eps_bkg": h.eps_bkg, "variances": parts})
    left.set(xscale="log", xlabel="Events in the signal region after the selection")
    left.set_yticks(rows, _names(hunts))
    left.set_title("Bar: expected background and its uncertainty; point: observed", loc="left", fontsize=10)
    right.set(xlim=(0, 1), xlabel="Share of the variance of (observed − expected)")
    handles = [Rectangle((0, 0), 1, 1, color=c) for _, c in BUDGET.values()]
    right.legend(handles, [t for t, _ in BUDGET.values()], loc="center left", bbox_to_anchor=(1.1, 0.5), fontsize=9)
    right.set_title("What limits each hunt", loc="left", fontsize=10)
    return Drawing("uncertainties", figure, {"hunts": drawn})


@in_style
def scan(hunts: Sequence[HuntResult]) -> Drawing:
    """Local significance against the window's mass, one panel per method."""
    methods = list(dict.fromkeys(h.method for h in hunts))
    figure = Figure(figsize=(8, 2.8 * len(methods) + 0.6))
    axes = figure.subplots(len(methods), 1, sharex=True, squeeze=False)
    for ax, method in zip(axes[:, 0], methods, strict=True):
        points = sorted({h.eps_bkg for h in hunts}, reverse=True)
        for i, eps in enumerate(points):
            mine = sorted(
                (sum(h.signal_region) / 2, h.z_local) for h in hunts if h.method == method and h.eps_bkg == eps
            )
            colour = WORKING_POINT_COLOURS[i % len(WORKING_POINT_COLOURS)]
            ax.plot(*np.array(mine).T, "o-", ms=4, color=colour, label=eps_text(eps))
        for z in (0, 3, 5):
            ax.axhline(z, color="#999999", ls="-" if z == 0 else "--", lw=1)
        ax.set_ylabel("Local significance")
        ax.set_title(name_of(method), loc="left", fontsize=11)
    axes[0, 0].legend(fontsize=9)
    axes[-1, 0].set_xlabel("Centre of the signal region [GeV]")
    drawn = [
        {"signal_region": h.signal_region, "method": h.method, "eps_bkg": h.eps_bkg, "z_local": h.z_local}
        for h in hunts
    ]
    return Drawing("scan", figure, {"hunts": drawn})
