"""The whole chain where there is no signal: pseudo signal regions hidden, interpolated, classified and scored like real ones."""

from __future__ import annotations

import logging

from cathode.classifier.methods import find_method
from cathode.classifier.scores import MethodScores
from cathode.classifier.settings import ClassifierSettings
from cathode.density.ensemble import fit_ensemble
from cathode.density.settings import DensitySettings
from cathode.events import Events
from cathode.inference.placement import jobs_of_fillers, place_regions
from cathode.inference.settings import ClosureSettings
from cathode.progress import reporter
from cathode.regions import Window
from cathode.seeds import derive_seed
from cathode.template.make import make_template
from cathode.template.settings import TemplateSettings

log = logging.getLogger(__name__)


def score_pseudo(
    events: Events,
    *,
    regions: tuple[Window, ...],
    batch: str,
    method: str = "cathode",
    background: DensitySettings = DensitySettings(),
    template: TemplateSettings = TemplateSettings(),
    classifier: ClassifierSettings = ClassifierSettings(),
    closure: ClosureSettings = ClosureSettings(),
    seed: int = 1,
    device: str = "auto",
) -> MethodScores:
    """Run the whole chain in a share of the fillers, the pseudo signal regions that are no windows of the hunt. None may be left for a share."""
    fillers = place_regions(regions, events.mass, closure).fillers
    own, report, splits = fillers[int(batch) :: jobs_of_fillers(regions, closure)], reporter("region"), []
    for k, region in enumerate(own):
        log.info("%s: %.6g to %.6g GeV, %d events", region.name, *region.signal, region.in_signal(events.mass).sum())
        found = score_region(
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
        splits += list(found.splits)
        report(k + 1, len(own))
    return MethodScores(tuple(splits))


def score_region(
    events: Events,
    region: Window,
    *,
    method: str,
    background: DensitySettings,
    template: TemplateSettings,
    classifier: ClassifierSettings,
    closure: ClosureSettings,
    seed: int,
    device: str,
) -> MethodScores:
    """Density, template and classifiers of one pseudo signal region, without what only the hunt needs of its scores."""
    found, own_seed = find_method(method), derive_seed(seed, "score_pseudo", region.name)
    drawn = None
    if found.needs_template:
        density = fit_ensemble(
            events,
            region,
            background,
            bootstraps=closure.bootstraps,
            seeds=closure.seeds,
            seed=own_seed,
            device=device,
        )
        drawn = make_template(
            events, density, window=region, template=closure.template(template), seed=own_seed, device=device
        )
    scores = found.score(
        events,
        region,
        classifier,
        template=drawn,
        labels=None,
        spare=None,
        seed=derive_seed(own_seed, "score"),
        device=device,
        checks=False,
        progress=reporter(f"{region.name}: fold"),
    )
    return MethodScores(tuple(split.without_members() for split in scores.splits))
