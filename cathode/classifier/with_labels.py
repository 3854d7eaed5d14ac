"""Reference classifiers, which need truth: an upper bound for the others, never a search."""

from __future__ import annotations

import functools

import numpy as np

from cathode.classifier.folds import Sample, assign_folds, cross_fit
from cathode.classifier.method import Method, Progress
from cathode.classifier.scores import MethodScores
from cathode.classifier.settings import ClassifierSettings
from cathode.classifier.training import always, fold_splits, plain, scores_against_recorded, spare_features
from cathode.errors import ConfigError
from cathode.events import Events, Labels, Template
from cathode.regions import Window
from cathode.seeds import derive_seed


def score_with_labels(
    events: Events,
    window: Window,
    settings: ClassifierSettings,
    *,
    kind: str,
    template: Template | None = None,
    labels: Labels | None,
    spare: Events | None = None,
    seed: int = 1,
    device: str = "auto",
    checks: bool = True,
    progress: Progress | None = None,
) -> MethodScores:
    """Reference classifiers with truth labels; arguments as in `ScoreFunction`.

    `kind` idealised: data against true background, the limit of a perfect template. One random half of the signal region
    is the data, the background of the other half the reference, and the reverse; the two are averaged.
    supervised: true signal (spare events included, out of fold) against true background.
    The true background of the signal region sets thresholds and measures efficiencies.
    """
    if labels is None or not labels.known:
        raise ConfigError(f"method {kind}: found no truth labels, expected data.label to name their column")
    inside = window.in_signal(events.mass)
    x, row, background = events.features[inside], events.row[inside], labels.label[inside] == 0
    of_spare, out = spare_features(spare, window, x.shape[1]), []
    for own_seed, _, report in fold_splits(settings, seed, progress):
        fold = assign_folds(len(x), settings.folds, seed=derive_seed(own_seed, "folds"))
        spare_fold = assign_folds(len(of_spare), settings.folds, seed=derive_seed(own_seed, "spare folds"))
        every = plain(x, fold)
        known = every.rows(background)
        targets = [every, plain(of_spare, spare_fold if kind == "supervised" else always(len(of_spare)))]
        if kind == "supervised":
            signal = Sample(
                np.concatenate([x[~background], of_spare]),
                np.concatenate([fold[~background], spare_fold]),
                np.ones(int((~background).sum()) + len(of_spare)),
            )
            scored = cross_fit(settings, signal, known, targets, seed=own_seed, device=device, progress=report)
        else:
            half = np.random.default_rng(derive_seed(own_seed, "halves")).permutation(np.arange(len(x)) % 2)
            both = [
                cross_fit(
                    settings, every.rows(half == h), every.rows((half != h) & background), targets,
                    seed=derive_seed(own_seed, "half", h), device=device, progress=report,
                )
                for h in (0, 1)
            ]  # fmt: skip
            scored = [(a + b) / 2 for a, b in zip(*both, strict=True)]
        out.append(scores_against_recorded(kind, window, row, fold, scored[0], known, scored[0][background], scored[1]))
    return MethodScores(tuple(out))


IDEALISED = Method(
    name="idealised",
    label="Idealised",
    colour="#009E73",
    reference="True background",
    score=functools.partial(score_with_labels, kind="idealised"),
    uses_labels=True,
)
SUPERVISED = Method(
    name="supervised",
    label="Supervised",
    colour="#777777",
    reference="True background",
    score=functools.partial(score_with_labels, kind="supervised"),
    uses_labels=True,
)
