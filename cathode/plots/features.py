"""Features of recorded events against those of a template or a density."""

from __future__ import annotations

from typing import Any

import hist
import mplhep as mh
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cathode.classifier.scores import MethodScores
from cathode.density.ensemble import DensityEnsemble
from cathode.events import Events, Template
from cathode.inference.counts import count_passing, efficiency_scores, passing_reference, select_events
from cathode.plots.drawing import Drawing, drawing
from cathode.plots.style import DATA, TEMPLATE, array, data_points, eps_text, label_of, name_of, poisson_errors
from cathode.regions import Window
from cathode.seeds import derive_seed

Array = NDArray[np.float64]

_COLUMNS = 4  # panels beside each other


def sideband_features(events: Events, density: DensityEnsemble, window: Window, *, seed: int) -> Drawing:
    """In-sample check: recorded sideband events against the density sampled at their own masses."""
    visible = events[window.in_sideband(events.mass)]
    pieces = np.array_split(np.arange(len(visible)), density.density.n_members)
    made = np.concatenate(
        [
            density.density.sample(visible.mass[rows], member=e, seed=derive_seed(seed, "member", e))
            for e, rows in enumerate(pieces)
        ]
    )
    numbers = {
        "title": f"{window.name}: sidebands, against the density at the recorded masses",
        "expected": "Density",
        "features": compare(visible, visible.features, made, 1.0),
    }
    return drawing(f"{window.name}_features_sideband", "features", numbers)


def signal_region_features(events: Events, template: Template, window: Window) -> Drawing:
    """Signal-region data against the template, before any cut."""
    inside = events[window.in_signal(events.mass)]
    copies = len(template.mass) / len(np.unique(template.source))
    scale = len(inside) / len(template.mass)
    numbers = {
        "title": f"{window.name}: signal region before the selection",
        "expected": "Template",
        "features": compare(inside, inside.features, template.features, scale, copies=copies),
    }
    return drawing(f"{window.name}_features", "features", numbers)


def selected_features(
    events: Events, template: Template, scores: MethodScores, working_points: tuple[float, ...], shown: float
) -> Drawing:
    """Signal-region data and template behind every working point, the template scaled to the predicted yield; `shown` is the figure's."""
    splits = scores.splits
    inside = events[events.at(splits[0].row)]
    score = efficiency_scores(splits)[0]
    points = {}
    for eps in working_points:
        share, counts = passing_reference(splits, eps), count_passing(splits, eps)
        cut = share > 0
        points[f"{eps:g}"] = compare(
            inside,
            inside.features[select_events(splits, eps, score)],
            template.features[template.held][cut],
            counts.n_bkg / max(float(share.sum()), 1.0),
            bins=20,
            copies=float(share.sum()) / max(counts.m, 1.0),
            weight=share[cut],
        )
    numbers = {
        "title": f"{splits[0].window}: signal region after the {name_of(scores.method)} selection",
        "expected": "Template",
        "points": points,
        "shown": f"{shown:g}",
    }
    return drawing(f"{splits[0].window}_{scores.method}_features_selected", "features", numbers)


def compare(
    events: Events,
    data: Array,
    template: Array,
    scale: float,
    *,
    bins: int = 40,
    copies: float = 1.0,
    weight: Array | None = None,
) -> dict[str, Any]:
    """Histograms of every feature of `data` and of a `template` (scaled), over the range of `events`.

    `copies` template events come from one recorded event on average, which is what its statistical error counts; `weight` are the
    template's weights.
    """
    out = {}
    for j, feature in enumerate(events.names):
        low, high = np.quantile(events.features[:, j], [0.0005, 0.9995])
        axis = hist.axis.Regular(bins, low, high if high > low else low + 1)
        observed = hist.Hist(axis).fill(data[:, j]).values()
        raw = hist.Hist(axis, storage=hist.storage.Weight()).fill(template[:, j], weight=weight).values()
        relative = np.where(raw > 0, 1 / np.sqrt(np.maximum(raw / copies, 1)), 0)
        out[feature] = {"edges": axis.edges, "data": observed, "template": raw * scale, "error": raw * scale * relative}
    return out


def draw_features(d: dict[str, Any]) -> Figure:
    """The figure of features: data, template and their ratio; the band is the template's statistical error."""
    features = d["features"] if "features" in d else d["points"][d["shown"]]
    columns = min(len(features), _COLUMNS)
    rows = -(-len(features) // columns)
    figure = Figure(figsize=(3.8 * columns, 4.3 * rows + 0.4))
    grid = figure.add_gridspec(rows, columns, wspace=0.32, hspace=0.3)
    for k, (feature, h) in enumerate(features.items()):
        inner = grid[k // columns, k % columns].subgridspec(2, 1, height_ratios=[3, 1], hspace=0.09)
        main = figure.add_subplot(inner[0])
        ratio = figure.add_subplot(inner[1], sharex=main)
        edges, observed, expected, error = (array(h[key]) for key in ("edges", "data", "template", "error"))
        centres = (edges[1:] + edges[:-1]) / 2
        mh.histplot(
            expected, edges, ax=main, histtype="fill", color=TEMPLATE, alpha=0.3, label=d["expected"], yerr=False
        )
        main.stairs(expected + error, edges, baseline=expected - error, fill=True, color=TEMPLATE, alpha=0.35, lw=0)
        data_points(main, centres, observed, label="Data")
        draw_ratio(ratio, edges, observed, expected, error)
        main.tick_params(labelbottom=False)
        main.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.05 * max(np.nanmax(expected), np.nanmax(observed), 1)))
        ratio.set_xlabel(label_of(feature))
        if k % columns == 0:
            main.set_ylabel("Events / bin")
            ratio.set_ylabel("Ratio")
        if k == 0:
            figure.legend(
                *main.get_legend_handles_labels(), loc="upper right", ncols=2, bbox_to_anchor=(0.905, 1.0 - 0.02 / rows)
            )
    shown = f", {eps_text(float(d['shown']))}" if "shown" in d else ""
    figure.suptitle(d["title"] + shown, x=0.125, y=1.0 - 0.05 / rows, ha="left", fontsize=12)
    return figure


def draw_ratio(axes: Axes, edges: Array, observed: Array, expected: Array, error: Array) -> None:
    """Data over what is expected, with the band of its error."""
    filled = expected > 0
    safe = np.where(filled, expected, 1.0)
    relative = np.where(filled, error / safe, 0.0)
    centres = (edges[1:] + edges[:-1]) / 2
    axes.stairs(1 + relative, edges, baseline=1 - relative, fill=True, color=TEMPLATE, alpha=0.3, lw=0)
    shown = filled & (observed > 0)
    axes.errorbar(
        centres[shown],
        (observed / safe)[shown],
        poisson_errors(observed)[:, shown] / safe[shown],
        fmt="o",
        ms=2.8,
        lw=1,
        color=DATA,
    )
    axes.axhline(1, color=TEMPLATE, lw=1)
    good = (observed / safe)[shown & (np.sqrt(observed) < 0.5 * observed)]
    top = float(np.clip(np.nanmax(np.abs(good - 1)) * 1.3, 0.25, 4.0)) if len(good) else 1.0
    axes.set_ylim(max(0.0, 1 - top), 1 + top)
