"""CWoLa: the signal region against its neighbouring strips."""

from __future__ import annotations

import numpy as np

from cathode.classifier.folds import Sample, assign_folds
from cathode.classifier.method import Method, Progress
from cathode.classifier.scores import MethodScores
from cathode.classifier.settings import ClassifierSettings
from cathode.classifier.training import (
    SIDE_SPAN,
    fold_splits,
    plain,
    scores_against_recorded,
    signal_region,
    spare_features,
    train_and_score,
)
from cathode.errors import FitError
from cathode.events import Events, Labels, Template
from cathode.regions import Window, in_interval
from cathode.seeds import derive_seed


def score_against_strips(
    events: Events,
    window: Window,
    settings: ClassifierSettings,
    *,
    template: Template | None = None,
    labels: Labels | None = None,
    spare: Events | None = None,
    seed: int = 1,
    device: str = "auto",
    checks: bool = True,
    progress: Progress | None = None,
) -> MethodScores:
    """Signal region against the recorded events of two neighbouring strips, each with half of the weight, once per fold split.

    Source: Collins, Howe, Nachman, arXiv:1805.02664; equal weights as in arXiv:2109.00546. Biased by any feature that
    depends on the mass. The strips' events set thresholds and measure efficiencies out of fold; they are too few to
    do this on separate parts, so the efficiency equals the working point by construction and its uncertainty is the
    count of strip events that pass. Arguments as in `ScoreFunction`; raises FitError for strips of fewer than 50 events.
    """
    mass, features = events.mass, events.features
    low, high = window.in_strips(mass, settings.strip_width)
    if min(low.sum(), high.sum()) < 50:
        raise FitError(
            f"cwola in {window.name}: found {low.sum()} and {high.sum()} events in the strips below and above, "
            "expected at least 50 in each"
        )
    strips = low | high
    weight = np.where(low, 0.5 / low.sum(), 0.5 / high.sum())[strips] * strips.sum()
    near = window.in_sideband(mass) & in_interval(mass, window.reach(max(SIDE_SPAN, settings.strip_width)))
    of_data, of_spare = events.row[window.in_signal(mass)], spare_features(spare, window, features.shape[1])
    out = []
    for own_seed, is_first, report in fold_splits(settings, seed, progress):
        data = signal_region(events, window, settings, seed=own_seed)
        fold = assign_folds(int(strips.sum()), settings.folds, seed=derive_seed(own_seed, "strip folds"))
        reference = Sample(features[strips], fold, weight)
        side = None
        if checks:
            side_fold = assign_folds(int(near.sum()), settings.folds, seed=derive_seed(own_seed, "side folds"))
            side_fold[strips[near]] = fold  # strip events were trained on in all folds but their own
            side = events.row[near], plain(features[near], side_fold)
        scored, found = train_and_score(
            settings,
            data,
            reference,
            reference,
            of_spare,
            side,
            seed=own_seed,
            device=device,
            sequential=is_first,
            progress=report,
        )
        out.append(
            scores_against_recorded(
                CWOLA.name, window, of_data, data.fold, scored[0], reference, scored[1], scored[2], **found
            )
        )
    return MethodScores(tuple(out))


CWOLA = Method(name="cwola", label="CWoLa", colour="#D55E00", reference="Sideband strips", score=score_against_strips)
