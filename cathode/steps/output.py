"""The steps that turn a hunt into results: selected events, evaluation with labels, summary, plots, report."""

from __future__ import annotations

from typing import Any

import numpy as np

from cathode.classifier import Scored
from cathode.closure import Closure
from cathode.config import Config
from cathode.counts import efficiency_scores, select_events
from cathode.events import Events, Labels
from cathode.inference import global_significance
from cathode.metrics import roc
from cathode.regions import Window
from cathode.results import Figures, Hunts, Json, Page, Picture, Selected, Truth
from cathode.seeds import derive_seed
from cathode.sidebands import SidebandClosure
from cathode.stats.settings import StatisticsSettings
from cathode.stats.spectrum_scan import SpectrumScan
from cathode.template import DensityEnsemble, Template
from cathode.version import __version__


def select(events: Events, scores: Scored, *, working_points: tuple[float, ...]) -> tuple[Selected, ...]:
    """The events that pass each working point, with their rows in the input."""
    chosen, score = [], efficiency_scores(scores.scores)[0]
    for eps in working_points:
        index = select_events(scores.scores, eps, score)
        e = events[events.at(scores.scores[0].row[index])]
        chosen.append(Selected(e.names, e.row, e.mass, e.features, score[index]))
    return tuple(chosen)


def evaluate(
    events: Events, labels: Labels, scores: Scored, *, window: Window, working_points: tuple[float, ...]
) -> Truth:
    """ROC, SIC and true counts of one method, where labels exist."""
    if not labels.known:
        return Truth(window.name, scores.method, (), (), (), 1.0)
    label = labels.label[window.in_signal(events.mass)]
    score, _, spare = efficiency_scores(scores.scores)
    signal, background = np.concatenate([score[label == 1], spare]), score[label == 0]
    curve = roc(signal, background) if len(signal) >= 25 else None
    entries = [
        {
            "n_sig_sr": int(label.sum()),
            "n_sig_obs": int(label[select_events(scores.scores, eps, score)].sum()),
            "auc": curve.auc if curve else None,
            "max_sic": curve.max_sic() if curve else None,
            "sic": curve.sic(eps) if curve else None,
        }
        for eps in working_points
    ]
    points = (tuple(map(float, curve.eps_bkg)), tuple(map(float, curve.eps_sig))) if curve else ((), ())
    return Truth(window.name, scores.method, tuple(entries), *points, curve.sic_floor if curve else 1.0)


def summarise(hunts: list[Hunts], truth: list[Truth], events: Events, *, config: Config) -> Json:
    """The machine-readable result. Its `timing` is filled by the command line from the workflow's benchmarks."""
    known = {(t.window, t.method): t.entries for t in truth if t.entries}
    entries: list[dict[str, Any]] = []
    for group in hunts:
        for i, entry in enumerate(group.entries):
            evaluated = known.get((entry["window"], entry["method"]))
            entries.append(entry | {"truth": evaluated[i] if evaluated else None})
    return Json(
        {
            "schema": "cathode/summary/1",
            "run": config.run,
            "code_version": __version__,
            "config": config.as_dict(),
            "config_sha256": config.sha256(),
            "n_events": len(events),
            **global_significance(entries, seed=derive_seed(config.seed, "overlap")),
            "blind": config.blind,
            "hunts": entries,
        }
    )


def plot_window(
    events: Events,
    density: DensityEnsemble,
    template: list[Template],
    scores: list[Scored],
    closure: list[Closure],
    sidebands: SidebandClosure,
    *,
    window: Window,
    working_points: tuple[float, ...],
    statistics: StatisticsSettings,
) -> Figures:
    """Mass spectra, features, scores and closure of one window; signal-region plots are left out when blind."""
    from cathode.plots import window as window_plots

    return window_plots.draw(events, density, template, scores, closure, sidebands, window, working_points, statistics)


def plot_summary(summary: Json, truth: list[Truth], spectrum: list[SpectrumScan]) -> Figures:
    """Significances of all hunts, the classical bump hunt, and SIC and ROC curves where labels exist."""
    from cathode.plots import performance, significance
    from cathode.plots import spectrum as spectra

    files = significance.draw(summary.tree).files
    for scan in spectrum:
        files |= spectra.spectrum_scan(scan).files
    return Figures(files | performance.draw([t for t in truth if t.entries]).files)


def report(summary: Json, pictures: list[Picture], *, config: Config) -> Page:
    """The self-contained report."""
    from cathode.report import render

    return Page(render(summary.tree, pictures, config.as_dict()))
