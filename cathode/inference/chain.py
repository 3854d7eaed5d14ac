"""The closure test as one verb: all pseudo signal regions of a window, scored and combined."""

from __future__ import annotations

from cathode.classifier.scores import MethodScores
from cathode.classifier.settings import ClassifierSettings
from cathode.density.settings import DensitySettings
from cathode.events import Events
from cathode.inference.closure import Closure, combine_closure
from cathode.inference.placement import place_regions
from cathode.inference.pseudo import score_region
from cathode.inference.settings import ClosureSettings
from cathode.regions import Window
from cathode.results import Overdispersion
from cathode.stats.settings import StatisticsSettings
from cathode.template.settings import TemplateSettings


def measure_closure(
    events: Events,
    *,
    window: Window,
    method: str = "cathode",
    working_points: tuple[float, ...] = (0.1, 0.01, 0.001),
    background: DensitySettings = DensitySettings(),
    template: TemplateSettings = TemplateSettings(),
    classifier: ClassifierSettings = ClassifierSettings(),
    closure: ClosureSettings = ClosureSettings(),
    statistics: StatisticsSettings = StatisticsSettings(),
    overdispersion: Overdispersion | None = None,
    seed: int = 1,
    device: str = "auto",
) -> Closure:
    """Run the whole chain in every pseudo signal region and combine them: the non-closure of one window and method.

    The longest part of a hunt: a training of the density and of the classifiers per region.
    """
    (found,) = measure_closures(
        events,
        [],
        overdispersion,
        regions=(window,),
        method=method,
        working_points=working_points,
        background=background,
        template=template,
        classifier=classifier,
        closure=closure,
        statistics=statistics,
        seed=seed,
        device=device,
    )
    return found


def measure_closures(
    events: Events,
    scores: list[MethodScores],
    overdispersion: Overdispersion | None = None,
    *,
    regions: tuple[Window, ...],
    method: str,
    working_points: tuple[float, ...],
    background: DensitySettings,
    template: TemplateSettings,
    classifier: ClassifierSettings,
    closure: ClosureSettings,
    statistics: StatisticsSettings,
    seed: int,
    device: str,
) -> tuple[Closure, ...]:
    """The same of every window of a scan, which test each other: `scores` of the windows are given, and the chain runs in the fillers only."""
    tests = [
        score_region(
            events,
            region,
            method=method,
            background=background,
            template=template,
            classifier=classifier,
            closure=closure,
            seed=seed,
            device=device,
        )
        for region in place_regions(regions, events.mass, closure).fillers
    ]
    return combine_closure(
        events,
        tests,
        scores,
        overdispersion,
        regions=regions,
        working_points=working_points,
        closure=closure,
        statistics=statistics,
    )
