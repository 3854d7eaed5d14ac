"""Common look of the figures, and their conversion to files whose bytes depend on the data only."""

from __future__ import annotations

import io
import json
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cathode.results import Figures

Array = NDArray[np.float64]

COLOURS = {
    "cathode": "#0072B2",
    "cwola": "#D55E00",
    "idealised": "#009E73",
    "supervised": "#777777",
    "data": "#111111",
    "template": "#0072B2",
    "signal": "#D55E00",
}
NAMES = {"cathode": "CATHODE", "cwola": "CWoLa", "idealised": "Idealised", "supervised": "Supervised"}
WORKING_POINT_COLOURS = ("#56B4E9", "#0072B2", "#003C5F", "#CC79A7", "#E69F00", "#009E73")

plt.rcParams.update(
    {
        "font.size": 11,
        "axes.labelsize": 12,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "figure.dpi": 110,
        "savefig.bbox": "tight",
        "pdf.fonttype": 42,
        "svg.hashsalt": "cathode",
    }
)

UNITS = {"mjj": "$m_{jj}$ [GeV]", "mj1": "$m_{J1}$ [GeV]", "delta_mj": "$\\Delta m_J$ [GeV]"} | {
    "tau21_j1": "$\\tau_{21}$ of the lighter jet",
    "tau21_j2": "$\\tau_{21}$ of the heavier jet",
    "delta_r": "$\\Delta R_{jj}$",
}


def label_of(name: str) -> str:
    """Axis label of a column: the usual symbol for dijet columns, else its name."""
    return UNITS.get(name, name)


def eps_text(eps: float) -> str:
    """A background efficiency as people write it."""
    return f"$\\epsilon_B$ = {eps:g}"


def save(figure: Figure, name: str, drawn_from: dict[str, Any]) -> Figures:
    """PDF, PNG and the JSON of the numbers drawn; no dates, so equal numbers give equal bytes."""
    files: dict[str, bytes] = {}
    for form, metadata in (("pdf", {"CreationDate": None, "ModDate": None}), ("png", {"Software": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=form, metadata=metadata)
        files[f"{name}.{form}"] = buffer.getvalue()
    plt.close(figure)
    files[f"{name}.json"] = (json.dumps(_plain(drawn_from), indent=1, sort_keys=True) + "\n").encode()
    return Figures(files)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value


def with_ratio(width: float = 7.0, height: float = 5.6) -> tuple[Figure, Axes, Axes]:
    """A figure with a main panel and a ratio panel below that shares its x axis."""
    figure, (main, ratio) = plt.subplots(
        2, 1, figsize=(width, height), sharex=True, gridspec_kw={"height_ratios": [3, 1], "hspace": 0.06}
    )
    return figure, main, ratio


def poisson_points(axes: Axes, x: Array, counts: Array, scale: Array | float = 1.0, **kwargs: Any) -> None:
    """Data points with sqrt(n) errors (1 for empty bins are left out)."""
    filled = counts > 0
    y = np.where(filled, counts * scale, np.nan)
    axes.errorbar(x, y, np.sqrt(counts) * scale, fmt="o", ms=3.2, lw=1.0, color=COLOURS["data"], **kwargs)
