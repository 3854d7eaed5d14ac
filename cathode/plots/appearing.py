"""A bump appearing: the mass spectrum before the selection and behind tighter and tighter ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cathode.plots.drawing import Drawing, drawing
from cathode.plots.spectrum import INSIDE
from cathode.plots.style import DATA, FIT, SIGNAL_REGION, TEMPLATE, array, data_points, eps_text


def appearing(spectrum: Drawing, selected: Drawing) -> Drawing:
    """From the mass spectrum of a window, and that behind the selections of one method."""
    return drawing("bump", "appearing", {"spectrum": spectrum.numbers, "selected": selected.numbers})


def draw_appearing(d: dict[str, Any]) -> Figure:
    """The figure of `appearing`."""
    before, after = d["spectrum"], d["selected"]
    points = sorted(after["points"], key=float, reverse=True)
    figure = Figure(figsize=(4.1 * (len(points) + 1), 3.7))
    axes = figure.subplots(1, len(points) + 1, gridspec_kw={"wspace": 0.22})
    edges = np.array(after["edges"])
    low, high = edges.min(), edges.max()
    bins = array(before["edges"])
    centres, counts, expected = (bins[1:] + bins[:-1]) / 2, array(before["counts"]), array(before["expected"])
    inside = (centres > low) & (centres < high)
    data_points(axes[0], centres[inside], counts[inside])
    axes[0].plot(centres[inside], expected[inside], color=TEMPLATE, lw=1.6)
    axes[0].set_title("all events", loc="left")
    for ax, eps in zip(axes[1:], points, strict=True):
        point = after["points"][eps]
        widths = edges[:, 1] - edges[:, 0]
        unit = (after["signal_region"][1] - after["signal_region"][0]) / INSIDE
        data_points(ax, edges.mean(axis=1), array(point["counts"]), unit / widths)
        if fit := point.get("fit"):
            ax.plot(array(after["masses"]), array(fit["curve"]) * unit, color=FIT, lw=1.6)
        ax.set_title(f"selected, {eps_text(float(eps))}", loc="left")
    for ax in axes:
        ax.axvspan(*after["signal_region"], color=SIGNAL_REGION, alpha=0.35, lw=0, zorder=0)
        ax.set(xlim=(low, high), ylim=(0, None))
        ax.set_xlabel("Mass [GeV]")
        ax.ticklabel_format(axis="y", style="plain")
    axes[0].set_ylabel("Events / bin", color=DATA)
    return figure
