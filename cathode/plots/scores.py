"""Classifier scores of data and reference."""

from __future__ import annotations

from typing import Any

import mplhep as mh
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cathode.classifier.methods import find_method
from cathode.classifier.scores import MethodScores
from cathode.events import Events
from cathode.inference.counts import efficiency_scores
from cathode.plots.drawing import Drawing, drawing
from cathode.plots.features import draw_ratio
from cathode.plots.style import array, data_points, eps_text, room_for_legend, title, with_ratio

_TOP = 12  # most signal-like events that are listed


def score_distribution(
    scores: MethodScores, working_points: tuple[float, ...], events: Events | None = None
) -> Drawing:
    """Out-of-fold scores of data and reference, the reference scaled to the data, with the working points.

    With `events` the numbers also hold the most signal-like of them.
    """
    first = scores.splits[0]
    data, reference, _ = efficiency_scores(scores.splits)
    edges = np.linspace(0, max(4.0, float(data.max()), float(reference.max())), 51)
    w = first.ref_weight.astype(float)
    raw = np.histogram(reference, edges)[0].astype(float)
    expected = np.histogram(reference, edges, weights=w)[0] * len(data) / w.sum()
    copies = len(reference) / len(np.unique(first.ref_source))
    numbers = {
        "window": first.window,
        "method": scores.method,
        "working_points": working_points,
        "edges": edges,
        "data": np.histogram(data, edges)[0],
        "reference": expected,
        "error": np.where(raw > 0, expected / np.sqrt(np.maximum(raw / copies, 1)), 0),
    }
    if events is not None:
        numbers["events"] = _most_signal_like(events, scores, data)
    return drawing(f"{first.window}_{scores.method}_scores", "scores", numbers)


def _most_signal_like(events: Events, scores: MethodScores, score: NDArray[np.float64]) -> dict[str, Any]:
    """Columns of the events with the highest score: identifiers (whole, whatever their size), row, mass, features, score."""
    top = np.argsort(-score, kind="stable")[:_TOP]
    place = events.at(scores.splits[0].row[top])
    columns: dict[str, Any] = {
        name: [str(v) for v in values[place].tolist()]
        for name, values in zip(events.carried, events.identifiers, strict=True)
    }
    columns |= {"row in the input": events.row[place], "mass [GeV]": events.mass[place]}
    columns |= {name: events.features[place, j] for j, name in enumerate(events.names) if name not in columns}
    return columns | {"score": score[top]}


def draw_scores(d: dict[str, Any]) -> Figure:
    """The figure of `score_distribution`."""
    method = find_method(d["method"])
    edges, observed, expected, error = (array(d[key]) for key in ("edges", "data", "reference", "error"))
    centres = (edges[1:] + edges[:-1]) / 2
    figure, main, ratio = with_ratio()
    mh.histplot(
        expected,
        edges,
        ax=main,
        histtype="fill",
        color=method.colour,
        alpha=0.3,
        yerr=False,
        label=f"{method.reference} (scaled)",
    )
    main.stairs(
        expected + error,
        edges,
        baseline=np.maximum(expected - error, 1e-9),
        fill=True,
        color=method.colour,
        alpha=0.3,
        lw=0,
    )
    data_points(main, centres, observed, label="Data in the signal region")
    for eps in d["working_points"]:
        cut = -np.log10(eps)
        for axes in (main, ratio):
            axes.axvline(cut, color="#999999", ls="--", lw=1)
        main.text(
            cut, 0.03, f" {eps_text(eps)}", transform=main.get_xaxis_transform(), rotation=90, va="bottom", fontsize=9
        )
    draw_ratio(ratio, edges, observed, expected, error)
    main.set(yscale="log", ylabel="Events / bin", ylim=(0.3, 1.5 * max(float(observed.max()), 1.0)))
    title(main, f"{d['window']}: {method.label} score, out of fold")
    room_for_legend(main, 0.2)
    ratio.set(xlabel=r"Score: $-\log_{10}$ of the background efficiency", ylabel="Ratio", xlim=(edges[0], edges[-1]))
    return figure
