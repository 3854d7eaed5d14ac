"""Common look of the figures: the field's, by mplhep, at the size of a page; colours, labels, and pieces that figures share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import matplotlib as mpl
import mplhep as mh
import numpy as np
from hist.intervals import poisson_interval
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cathode.classifier.methods import find_method

Array = NDArray[np.float64]
F = TypeVar("F", bound=Callable[..., Any])

DATA = "#111111"
TEMPLATE = "#0072B2"
FIT = "#009E73"
SIGNAL_REGION = "#F0E442"
WORKING_POINT_COLOURS = ("#56B4E9", "#0072B2", "#003C5F", "#CC79A7", "#E69F00", "#009E73")

STYLES = ("ROOT", "CMS", "ATLAS", "LHCb2", "ALICE")  # of mplhep
_SIZES: dict[str, Any] = {  # those of mplhep are for a figure alone on a slide
    "font.size": 12,
    "axes.labelsize": 13,
    "axes.titlesize": 12,
    "axes.titley": 1.0,  # where it is anyway; to look for it takes a fifth of the drawing
    "axes.linewidth": 1.0,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "xtick.major.size": 7,
    "xtick.minor.size": 3.5,
    "ytick.major.size": 7,
    "ytick.minor.size": 3.5,
    "figure.dpi": 110,
    "savefig.dpi": 150,
    "savefig.bbox": "tight",
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "cathode",
}

UNITS = {"mjj": "$m_{jj}$ [GeV]", "mj1": "$m_{J1}$ [GeV]", "delta_mj": "$\\Delta m_J$ [GeV]"} | {
    "tau21_j1": "$\\tau_{21}$ of the lighter jet",
    "tau21_j2": "$\\tau_{21}$ of the heavier jet",
    "delta_r": "$\\Delta R_{jj}$",
}
MASS = "Resonant mass $m$ [GeV]"


def label_of(name: str) -> str:
    """Axis label of a column: the usual symbol for dijet columns, else its name, in which $ is a dollar and nothing a formula."""
    return UNITS.get(name, name.replace("\\", "\\\\").replace("$", "\\$") if "$" in name else name)


def eps_text(eps: float) -> str:
    """A background efficiency as people write it."""
    return f"$\\epsilon_B$ = {eps:g}"


def colour_of(method: str) -> str:
    """Colour of a method."""
    return find_method(method).colour


def name_of(method: str) -> str:
    """What figures and tables call a method."""
    return find_method(method).label


def parameters(style: str | None = None) -> dict[str, Any]:
    """Matplotlib's parameters of one of the `STYLES`, at our sizes."""
    return dict(getattr(mh.style, style or STYLES[0])) | _SIZES


def in_style(function: F, style: str | None = None) -> F:
    """Run `function` in the style of the figures, whatever the user's matplotlib is set to, which is left as it was."""

    @functools.wraps(function)
    def run(*arguments: Any, **keywords: Any) -> Any:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(cast(Any, parameters(style)))
            return function(*arguments, **keywords)

    return cast(F, run)


def array(values: Any) -> Array:
    """Numbers of a JSON file; null is nan."""
    return np.array([np.nan if v is None else v for v in values], dtype=float) if values else np.zeros(0)


def with_ratio(width: float = 7.0, height: float = 5.8) -> tuple[Figure, Axes, Axes]:
    """A figure with a main panel and a ratio panel below that shares its x axis."""
    figure = Figure(figsize=(width, height))
    main, ratio = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1], "hspace": 0.07})
    figure.align_ylabels()
    return figure, main, ratio


def poisson_errors(counts: Array) -> Array:
    """Distances `(2, n)` to the ends of the central 68 % interval of counts `(n,)` (Garwood; averages of counts between those of whole ones)."""
    low, high = poisson_interval(counts)
    return np.asarray(np.abs(np.array([counts - low, high - counts])))


def data_points(
    axes: Axes, x: Array, counts: Array, scale: Array | float = 1.0, width: Array | None = None, **options: Any
) -> None:
    """Counts with their Poisson intervals, times `scale`; empty bins show theirs too, between the first and the last that hold events."""
    filled = np.flatnonzero(counts > 0)
    shown = np.zeros(len(counts), dtype=bool)
    if len(filled):
        shown[filled[0] : filled[-1] + 1] = True
    shown &= np.isfinite(counts)
    scale = np.broadcast_to(np.asarray(scale, dtype=float), counts.shape)
    errors = poisson_errors(counts[shown]) * scale[shown]
    half = None if width is None else width[shown] / 2
    axes.errorbar(
        x[shown], counts[shown] * scale[shown], errors, half, fmt="o", ms=3.4, lw=1.1, color=DATA, zorder=4, **options
    )


def band(axes: Axes, edges: Array, values: Array, errors: Array, colour: str, **options: Any) -> None:
    """A histogram `values` in bins with `edges (n + 1,)`, with a band of `errors` around it."""
    mh.histplot(values, edges, ax=axes, histtype="step", color=colour, lw=1.4, yerr=False, edges=False, **options)
    axes.stairs(values + errors, edges, baseline=values - errors, fill=True, color=colour, alpha=0.28, lw=0)


def title(axes: Axes, text: str, experiment: dict[str, Any] | None = None) -> None:
    """What a figure shows, above it on the left; luminosity and energy on the right where they are known."""
    axes.set_title(text, loc="left", fontsize=12)
    if experiment and experiment.get("luminosity"):
        axes.set_title(
            f"{experiment['luminosity']:g} fb$^{{-1}}$ ({experiment['sqrt_s'] / 1000:g} TeV)", loc="right", fontsize=11
        )


def room_for_legend(axes: Axes, share: float = 0.35, **options: Any) -> None:
    """A legend at the top, with as much room above what is drawn."""
    low, high = axes.get_ylim()
    if axes.get_yscale() == "log":
        axes.set_ylim(low, high * (high / low) ** (share / (1 - share)))
    else:
        axes.set_ylim(low, low + (high - low) / (1 - share))
    axes.legend(loc="upper right", **options)
