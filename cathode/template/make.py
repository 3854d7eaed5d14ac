"""Templates: recorded sideband events moved into a signal region by a density, or events sampled from it."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from cathode.density.ensemble import DensityEnsemble, evaluated_on
from cathode.errors import FitError
from cathode.events import Events, Role, Template
from cathode.regions import Window
from cathode.seeds import derive_seed
from cathode.template.settings import LEAST_SOURCES, TemplateSettings
from cathode.template.sidebands import reweight_template

log = logging.getLogger(__name__)


def make_template(
    events: Events,
    density: DensityEnsemble,
    *,
    window: Window,
    template: TemplateSettings = TemplateSettings(),
    seed: int = 1,
    device: str = "auto",
) -> Template:
    """Make the background template in the signal region of one window.

    Raises FitError where too few sideband events are in reach.
    """
    n = int(window.in_signal(events.mass).sum())
    own_seed = derive_seed(seed, "sample_template", window.name)
    density = replace(density, density=evaluated_on(density.density, device, len(events.mass)))
    if template.base == "sidebands":
        made = transport_template(density, events, window, template, seed=own_seed)
    else:
        made = sample_template(
            density,
            events.names,
            window,
            n_train=round(template.oversampling * n),
            n_efficiency=round(template.efficiency_oversampling * n),
            seed=own_seed,
        )
    if template.reweight == "dctr":
        made = reweight_template(made, events, window, density, template, seed=derive_seed(own_seed, "reweight"))
    log.info("%s: %d events in the signal region, %d in the template", window.name, n, len(made.mass))
    return made


def sample_template(
    ensemble: DensityEnsemble, names: tuple[str, ...], window: Window, *, n_train: int, n_efficiency: int, seed: int
) -> Template:
    """Sample `n_train` training and `n_efficiency` further events, in equal shares from every member.

    Of the further events of each member, the first fifth sets thresholds and the rest measures
    efficiencies.
    """
    n_members = ensemble.density.n_members
    train, further = -(-n_train // n_members), -(-n_efficiency // n_members)
    threshold = further // 5
    masses, features, members, roles = [], [], [], []
    for e in range(n_members):
        m = np.concatenate(
            [
                ensemble.mass.sample(train, seed=derive_seed(seed, "mass", e)),
                ensemble.mass.sample(further, seed=derive_seed(seed, "mass", e, 3)),
            ]
        )
        masses.append(m)
        features.append(ensemble.density.sample(m, member=e, seed=derive_seed(seed, "features", e)))
        members.append(np.full(len(m), e, dtype=np.int16))
        each = np.array([Role.TRAIN, Role.THRESHOLD, Role.EFFICIENCY], dtype=np.int8)
        roles.append(np.repeat(each, [train, threshold, further - threshold]))
    n = n_members * (train + further)
    return Template(
        names=names,
        mass=np.concatenate(masses),
        features=np.concatenate(features),
        member=np.concatenate(members),
        role=np.concatenate(roles),
        source=np.arange(n, dtype=np.int32),
        row=np.full(n, -1, dtype=np.int64),
        weight=np.ones(n),
        transported=False,
        n_bootstraps=ensemble.n_bootstraps,
        n_seeds=ensemble.n_seeds,
    )


def transport_template(
    ensemble: DensityEnsemble, events: Events, window: Window, settings: TemplateSettings, *, seed: int
) -> Template:
    """Move the sideband events that `settings` takes into the signal region of `window`, once by every member.

    An event at mass m becomes decode(encode(x, m), m') with m' drawn from the interpolated mass spectrum. One copy of
    each event, by a random member, trains classifiers; one copy by every member of at most `settings.measured` events,
    sets thresholds and measures efficiencies. Related: CURTAINs, arXiv:2203.09470; FETA,
    arXiv:2212.11285.
    """
    base = np.flatnonzero(settings.sources(window, events.mass))
    if len(base) < LEAST_SOURCES:
        raise FitError(
            f"window {window.name}: found {len(base)} sideband events between template.guard ({settings.guard:g}) and template.span "
            f"({settings.span:g}) widths beyond it, expected at least {LEAST_SOURCES}"
        )
    n, n_members = len(base), ensemble.density.n_members
    trains = np.random.default_rng(derive_seed(seed, "training copies")).integers(0, n_members, n)
    measures = np.ones(n, dtype=bool)
    if n > settings.measured:
        chosen = np.random.default_rng(derive_seed(seed, "measured")).choice(n, settings.measured, replace=False)
        measures[:] = False
        measures[chosen] = True
    masses, features, members, roles, sources = [], [], [], [], []
    for e in range(n_members):
        used = np.flatnonzero(measures | (trains == e))
        z = ensemble.density.encode(events.features[base[used]], events.mass[base[used]], member=e)
        for role, taken in ((Role.THRESHOLD_AND_EFFICIENCY, measures[used]), (Role.TRAIN, trains[used] == e)):
            copied = used[taken]
            m = ensemble.mass.sample(n, seed=derive_seed(seed, "mass", e, int(role)))[copied]
            masses.append(m)
            features.append(ensemble.density.decode(z[taken], m, member=e))
            members.append(np.full(len(m), e, dtype=np.int16))
            roles.append(np.full(len(m), role, dtype=np.int8))
            sources.append(copied.astype(np.int32))
    source = np.concatenate(sources)
    return Template(
        names=events.names,
        mass=np.concatenate(masses),
        features=np.concatenate(features),
        member=np.concatenate(members),
        role=np.concatenate(roles),
        source=source,
        row=events.row[base[source]],
        weight=np.ones(len(source)),
        transported=True,
        n_bootstraps=ensemble.n_bootstraps,
        n_seeds=ensemble.n_seeds,
    )
