"""From what was trained in one window to everything that a hunt says of it, for all of its methods."""

from __future__ import annotations

from cathode.classifier.methods import is_reference
from cathode.classifier.scores import MethodScores
from cathode.density.ensemble import DensityEnsemble
from cathode.events import Events
from cathode.inference.background import estimate_background
from cathode.inference.closure import Closure
from cathode.inference.counts import select
from cathode.inference.hunt import infer, infer_blind
from cathode.inference.model import Model, keep_model
from cathode.inference.shared import Passing, pass_hunts
from cathode.intake.settings import DataSettings
from cathode.regions import Window
from cathode.results import HuntResults, Overdispersion, Selected, Workspace
from cathode.stats.settings import StatisticsSettings
from cathode.template.settings import TemplateSettings
from cathode.template.sidebands import SidebandClosure, compare_sidebands


def conclude(
    events: Events,
    density: DensityEnsemble,
    scores: list[MethodScores],
    closure: list[Closure],
    overdispersion: Overdispersion | None = None,
    *,
    window: Window,
    data: DataSettings,
    working_points: tuple[float, ...] = (0.1, 0.01, 0.001),
    template: TemplateSettings = TemplateSettings(),
    statistics: StatisticsSettings = StatisticsSettings(),
    seed: int = 1,
) -> tuple[
    SidebandClosure,
    tuple[HuntResults, ...],
    tuple[Workspace, ...],
    tuple[Selected, ...],
    tuple[Model, ...],
    tuple[Passing, ...],
]:
    """Counts, background, significances and limits of one window, with its workspaces and selected events.

    `scores` per method, in the order of the hunt; none when blind: then of every `closure`. Returns recorded over generated sideband events, the
    results per method, workspaces and selected events per method and working point, the model that scores unseen events, which are read
    as `data` says, and what passes which hunt; none of the last four when blind.
    """
    sidebands = compare_sidebands(
        events, density, window=window, working_points=working_points, template=template, seed=seed
    )
    if not scores:
        blind = (
            infer_blind(c, density, sidebands, window=window, working_points=working_points, statistics=statistics)
            for c in closure
        )
        return sidebands, tuple(blind), (), (), (), ()
    of_method = {c.method: c for c in closure}
    hunts: list[HuntResults] = []
    workspaces: list[Workspace] = []
    selected: list[Selected] = []
    for s in scores:
        own = None if is_reference(s.method) else of_method[s.method]
        estimates = estimate_background(s, own, overdispersion, working_points=working_points, statistics=statistics)
        results, *spaces = infer(estimates, density, events, s, sidebands, window=window, statistics=statistics)
        assert isinstance(results, HuntResults)
        hunts.append(results)
        workspaces += [space for space in spaces if isinstance(space, Workspace)]
        selected += select(events, s, working_points=working_points)
    entries = [entry for group in hunts for entry in group.entries]
    model = keep_model(events, scores, entries, window=window, data=data, working_points=working_points, seed=seed)
    shared = pass_hunts(scores, working_points)
    return sidebands, tuple(hunts), tuple(workspaces), tuple(selected), (model,), (shared,)
