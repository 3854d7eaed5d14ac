"""Which figures one window has."""

from __future__ import annotations

from typing import Any

from cathode.artefacts import Figures
from cathode.classifier.methods import find_method
from cathode.classifier.scores import MethodScores
from cathode.density.ensemble import DensityEnsemble
from cathode.events import Events, Template
from cathode.inference.closure import Closure
from cathode.plots.closure import closure_forest, sideband_ratio
from cathode.plots.drawing import Drawing, as_files, attempt, mark
from cathode.plots.features import selected_features, sideband_features, signal_region_features
from cathode.plots.scores import score_distribution
from cathode.plots.spectrum import mass_spectrum, selected_spectrum
from cathode.regions import Window
from cathode.results import HuntResults
from cathode.seeds import derive_seed
from cathode.stats.settings import StatisticsSettings
from cathode.template.sidebands import SidebandClosure


def plot_window(
    events: Events,
    density: DensityEnsemble,
    template: Template | None,
    scores: list[MethodScores],
    closure: list[Closure],
    sidebands: SidebandClosure,
    hunts: list[HuntResults],
    *,
    window: Window,
    working_points: tuple[float, ...],
    statistics: StatisticsSettings,
    quick: bool,
    seed: int,
) -> Figures:
    """Mass spectra, features, scores and closure of one window; signal-region plots are left out when blind."""
    return as_files(
        draw_window(
            events,
            density,
            template,
            scores,
            closure,
            sidebands,
            hunts,
            window=window,
            working_points=working_points,
            statistics=statistics,
            quick=quick,
            seed=seed,
        )
    )


def draw_window(
    events: Events,
    density: DensityEnsemble,
    template: Template | None,
    scores: list[MethodScores],
    closure: list[Closure],
    sidebands: SidebandClosure,
    hunts: list[HuntResults],
    *,
    window: Window,
    working_points: tuple[float, ...],
    statistics: StatisticsSettings,
    quick: bool,
    seed: int,
) -> list[Drawing]:
    """The drawings of `plot_window`."""
    name = window.name
    own_seed = derive_seed(seed, "plot_window", name)
    experiment = of_experiment(statistics)
    drawings = [
        attempt(
            f"{name}_mass_spectrum", mass_spectrum, events, density, window, blind=not scores, experiment=experiment
        ),
        attempt(f"{name}_features_sideband", sideband_features, events, density, window, seed=own_seed),
        attempt(f"{name}_sideband_ratio", sideband_ratio, sidebands),
        *(attempt(f"{name}_{c.method}_closure", closure_forest, c) for c in closure),
    ]
    eps = middle(working_points)
    compared = False
    for s in scores:
        method = f"{name}_{s.method}"
        drawings.append(attempt(f"{method}_scores", score_distribution, s, working_points, events))
        if len(s.splits[0].side_row):
            own = [h for group in hunts for h in group.entries if h.method == s.method]
            drawings.append(
                attempt(f"{method}_selected_spectrum", selected_spectrum, events, s, window, own, eps, experiment)
            )
        if template is not None and find_method(s.method).needs_template:
            if not compared:  # before the cut all methods with this template look alike
                drawings.append(attempt(f"{name}_features", signal_region_features, events, template, window))
            compared = True
            drawings.append(
                attempt(f"{method}_features_selected", selected_features, events, template, s, working_points, eps)
            )
    return mark(drawings, quick)


def of_experiment(statistics: StatisticsSettings) -> dict[str, Any] | None:
    """Luminosity and energy for the corner of a figure, where the configuration gives the luminosity."""
    if statistics.luminosity is None:
        return None
    return {"luminosity": statistics.luminosity, "sqrt_s": statistics.sqrt_s}


def middle(working_points: tuple[float, ...]) -> float:
    """The working point that single-selection figures show: the middle one."""
    return sorted(working_points)[len(working_points) // 2]
