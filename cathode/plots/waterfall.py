"""From the significance of a plain count to the quoted one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cathode.plots.drawing import Drawing, drawing
from cathode.plots.style import colour_of
from cathode.results import HuntResult


def waterfall(h: HuntResult, stages: Sequence[tuple[str, float]]) -> Drawing:
    """Significance of a hunt after each of the `stages`: what is taken into account from there on, and the significance then."""
    rows = [{"source": source, "z": z} for source, z in stages]
    return drawing(f"{h.name}_waterfall", "waterfall", {"hunt": h.name, "method": h.method, "stages": rows})


def draw_waterfall(d: dict[str, Any]) -> Figure:
    """The figure of `waterfall`."""
    stages, colour = d["stages"], colour_of(d["method"])
    figure = Figure(figsize=(7.5, 0.9 + 0.42 * len(stages)))
    ax = figure.subplots()
    rows, before = np.arange(len(stages))[::-1], 0.0
    for row, stage in zip(rows, stages, strict=True):
        ax.barh(
            row, stage["z"] - before, left=before, height=0.6, color="#BBBBBB" if row != rows[-1] else colour, alpha=0.9
        )
        ax.text(max(stage["z"], before), row, f"  {stage['z']:.2f}$\\sigma$", va="center", fontsize=10)
        before = stage["z"]
    ax.axvline(0, color="#555555", lw=1)
    ax.axvline(before, color=colour, lw=1, ls="--")
    ax.set_yticks(rows, [stage["source"] for stage in stages])
    ax.tick_params(axis="y", which="minor", left=False, right=False)
    ax.set_xlabel("Significance [standard deviations]")
    values = [0.0, *(stage["z"] for stage in stages)]
    ax.set_xlim(min(values) * 1.05, max(max(values), 1.0) * 1.14)
    return figure
