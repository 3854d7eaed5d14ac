"""The whole chain where there is no signal: every pseudo signal region hidden, interpolated, classified and scored like the real one."""

from __future__ import annotations

import logging

from cathode.classifier.method import Method
from cathode.classifier.methods import find_method
from cathode.classifier.scores import MethodScores
from cathode.classifier.settings import ClassifierSettings
from cathode.density.ensemble import fit_ensemble
from cathode.density.settings import DensitySettings
from cathode.events import Events
from cathode.inference.settings import ClosureSettings
from cathode.progress import reporter
from cathode.regions import Window, in_interval, pseudo_windows
from cathode.seeds import derive_seed
from cathode.template.make import make_template
from cathode.template.settings import TemplateSettings

log = logging.getLogger(__name__)


def pseudo_regions(events: Events, window: Window, closure: ClosureSettings) -> list[Window]:
    """The pseudo signal regions of a window; see `cathode.regions.pseudo_windows`."""
    sideband = events.mass[window.in_sideband(events.mass)]
    return pseudo_windows(window, sideband, closure.windows, guard=closure.guard)


def score_pseudo(
    events: Events,
    *,
    window: Window,
    batch: str,
    method: str = "cathode",
    background: DensitySettings = DensitySettings(),
    template: TemplateSettings = TemplateSettings(),
    classifier: ClassifierSettings = ClassifierSettings(),
    closure: ClosureSettings = ClosureSettings(),
    seed: int = 1,
    device: str = "auto",
) -> MethodScores:
    """Run the whole chain in a batch of pseudo signal regions, the real one hidden: the held-out closure test."""
    regions = pseudo_regions(events, window, closure)
    start = int(batch) * closure.per_job
    n_signal_region = int(window.in_signal(events.mass).sum()) or None  # a classifier sees more in more events
    splits = []
    own, report = regions[start : start + closure.per_job], reporter("region")
    for k, region in enumerate(own):
        counted = int(in_interval(events.mass, region.counting).sum())
        log.info("%s in %s: counts %d events in %.0f to %.0f GeV", region.name, window.name, counted, *region.counting)
        own_seed = derive_seed(seed, "score_pseudo", window.name, region.name)
        found = score_region(
            events,
            region,
            find_method(method),
            background=background,
            template=template,
            classifier=classifier,
            closure=closure,
            seed=own_seed,
            device=device,
            limit=n_signal_region,
        )
        splits += [s.without_members() for s in found.splits]
        report(k + 1, len(own))
    return MethodScores(tuple(splits))


def score_region(
    events: Events,
    region: Window,
    method: Method,
    *,
    background: DensitySettings,
    template: TemplateSettings,
    classifier: ClassifierSettings,
    closure: ClosureSettings,
    seed: int,
    device: str,
    limit: int | None,
) -> MethodScores:
    """Density, template and classifiers of one pseudo signal region; at most `limit` of its events train the classifiers."""
    drawn = None
    if method.needs_template:
        density = fit_ensemble(
            events,
            region,
            background,
            bootstraps=closure.bootstraps,
            seeds=closure.seeds,
            seed=seed,
            device=device,
        )
        drawn = make_template(
            events, density, window=region, template=closure.template(template), seed=seed, device=device
        )
    return method.score(
        events,
        region,
        classifier,
        template=drawn,
        labels=None,
        spare=None,
        seed=derive_seed(seed, "score"),
        device=device,
        limit=limit,
        checks=False,
        progress=reporter(f"{region.name}: fold"),
    )
