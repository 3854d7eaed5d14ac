"""CATHODE: signal-region data against a template."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cathode.classifier.folds import Sample, assign_folds
from cathode.classifier.method import Method, Progress
from cathode.classifier.scores import Int, MethodScores, SplitScores
from cathode.classifier.settings import ClassifierSettings
from cathode.classifier.training import SIDE_SPAN, fold_splits, plain, signal_region, spare_features, train_and_score
from cathode.errors import ConfigError
from cathode.events import Events, Labels, Role, Template
from cathode.regions import Window, in_interval
from cathode.seeds import derive_seed

Mask = NDArray[np.bool_]


def score_against_template(
    events: Events,
    window: Window,
    settings: ClassifierSettings,
    *,
    template: Template | None,
    labels: Labels | None = None,
    spare: Events | None = None,
    seed: int = 1,
    device: str = "auto",
    checks: bool = True,
    progress: Progress | None = None,
) -> MethodScores:
    """Signal-region data against the template, once per fold split; arguments as in `ScoreFunction`.

    Source: Hallin et al., arXiv:2109.00546. Template events of one source share a fold, so that no classifier is measured on events it
    was trained with. Sampled events have no source: their training part serves every fold.
    """
    if template is None:
        raise ConfigError("method cathode: found no template, expected one (cathode.make_template)")
    held = template.held
    features, mass = events.features, events.mass
    of_spare = spare_features(spare, window, features.shape[1])
    of_data = events.row[window.in_signal(mass)]
    role = template.role[held].astype(np.int8)
    for_halves = template.member[held] == 0 if template.transported else role == Role.THRESHOLD
    beside = _side_events(events, window, template) if checks else None
    out = []
    for own_seed, is_first, report in fold_splits(settings, seed, progress):
        fold = _folds(template, settings, own_seed)
        data = signal_region(events, window, settings, seed=own_seed)
        side = None
        if beside:
            near, sources, first = beside
            side_fold = assign_folds(int(near.sum()), settings.folds, seed=derive_seed(own_seed, "side folds"))
            if template.transported:  # a sideband event is held out where its transported copies are
                side_fold[sources[near]] = fold[first]
            side = events.row[near], plain(features[near], side_fold)
        scored, found = train_and_score(
            settings,
            data,
            Sample(template.features[~held], fold[~held], template.weight[~held]),
            plain(template.features[held], fold[held]),
            of_spare,
            side,
            seed=own_seed,
            device=device,
            sequential=is_first,
            progress=report,
        )
        out.append(
            SplitScores(
                method=CATHODE.name,
                window=window.name,
                interval=window.signal,
                row=of_data,
                fold=data.fold,
                score=scored[0].mean(axis=1),
                member_score=scored[0],
                ref_score=scored[1].mean(axis=1),
                ref_fold=fold[held],
                ref_weight=template.weight[held],
                ref_role=role,
                ref_source=template.source[held],
                ref_member=template.member[held],
                ref_threshold_member_score=scored[1][for_halves],
                n_bootstraps=template.n_bootstraps,
                n_seeds=template.n_seeds,
                independent_members=not template.transported,
                extra_score=scored[2].mean(axis=1),
                **found,
            )
        )
    return MethodScores(tuple(out))


def _folds(template: Template, settings: ClassifierSettings, seed: int) -> Int:
    """Fold of every template event; -1 for those that train every fold."""
    if template.transported:
        n_sources = int(template.source.max()) + 1
        of_sources = assign_folds(n_sources, settings.folds, seed=derive_seed(seed, "source folds"))
        return np.asarray(of_sources[template.source])
    held = template.held
    return np.where(held, (np.cumsum(held) % settings.folds).astype(np.int16), np.int16(-1))


def _side_events(events: Events, window: Window, template: Template) -> tuple[Mask, Mask, Int]:
    """Masks `(n,)` of the sideband events that are scored and of those that are sources, and the template's first copy of each of these.

    All between the outermost sources are scored: a spectrum without those that the template left out would have holes.
    """
    visible = window.in_sideband(events.mass)
    if not template.transported:
        near = visible & in_interval(events.mass, window.reach(SIDE_SPAN))
        return near, np.zeros(len(near), dtype=bool), np.empty(0, dtype=np.int64)
    rows, first = np.unique(template.row, return_index=True)
    sources = np.isin(events.row, rows)
    outermost = events.mass[sources]
    near = visible & (events.mass >= outermost.min()) & (events.mass <= outermost.max())
    return near, sources, first[np.searchsorted(rows, events.row[sources])]


CATHODE = Method(
    name="cathode",
    label="CATHODE",
    colour="#0072B2",
    reference="Template",
    score=score_against_template,
    needs_template=True,
)
