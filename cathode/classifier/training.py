"""What methods share: fold splits, the events of a signal region, one split trained and scored, samples of recorded events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cathode.classifier.folds import Sample, assign_folds, cross_fit
from cathode.classifier.kept import FoldClassifier, Member
from cathode.classifier.method import Progress
from cathode.classifier.scores import Float32, MethodScores, SplitScores
from cathode.classifier.settings import ClassifierSettings
from cathode.events import Events, Role
from cathode.regions import Window
from cathode.seeds import derive_seed

Array = NDArray[np.float64]
Int = NDArray[np.integer]

SIDE_SPAN = 1.5  # widths of sideband that are scored besides the signal region, where a template does not say


def plain(x: Array, fold: Int) -> Sample:
    """A sample of unit weights."""
    return Sample(x, fold, np.ones(len(x)))


def always(n: int) -> Int:
    """Folds of events that train every fold."""
    return np.full(n, -1, dtype=np.int16)


def spare_features(spare: Events | None, window: Window, n_features: int) -> Array:
    """Features `(s, d)` of the spare signal events of the signal region, which only the evaluation uses."""
    return np.empty((0, n_features)) if spare is None else spare[window.in_signal(spare.mass)].features


def fold_splits(
    settings: ClassifierSettings, seed: int, progress: Progress | None
) -> Iterator[tuple[int, bool, Progress | None]]:
    """Per fold split: its seed, whether it is the first, and where it reports."""

    def of_all(split: int) -> Progress | None:
        total = settings.splits * settings.folds
        return None if progress is None else lambda done, _: progress(split * settings.folds + done, total)

    for split in range(settings.splits):
        yield derive_seed(seed, "split", split), split == 0, of_all(split)


def signal_region(events: Events, window: Window, settings: ClassifierSettings, *, seed: int) -> Sample:
    """Signal-region events with their folds: all train, and all are counted where they are held out."""
    inside = events.features[window.in_signal(events.mass)]
    return plain(inside, assign_folds(len(inside), settings.folds, seed=derive_seed(seed, "folds")))


def train_and_score(
    settings: ClassifierSettings,
    data: Sample,
    reference: Sample,
    held: Sample,
    spare: Array,
    side: tuple[Int, Sample] | None,
    *,
    seed: int,
    device: str,
    sequential: bool,
    progress: Progress | None,
) -> tuple[list[Float32], dict[str, Any]]:
    """Scores `(n, members)` of data, held-out reference and spare events, and the fields of `SplitScores` for cross-checks.

    With `side`, rows and events of the sidebands, these are scored besides and, if `sequential`, data and reference
    sequentially; and the classifiers are kept.
    """
    targets = [data, held, plain(spare, always(len(spare))), *([side[1]] if side else [])]
    kept: list[FoldClassifier] = []

    def keep(members: Sequence[Member]) -> None:
        if side:
            kept.append(FoldClassifier.of(members))

    scored = cross_fit(settings, data, reference, targets, seed=seed, device=device, progress=progress, keep=keep)
    if side is None:
        return scored, {}
    checks: dict[str, Any] = {"classifiers": tuple(kept)}
    checks |= {"side_row": side[0], "side_fold": side[1].fold, "side_score": scored[3].mean(axis=1)}
    if sequential and settings.sequential_members:
        lighter = replace(settings, members=settings.sequential_members)
        own_seed = derive_seed(seed, "sequential")
        found = cross_fit(lighter, data, reference, [data, held], seed=own_seed, device=device, sequential=True)
        checks |= {"sequential_score": found[0].mean(axis=1), "ref_sequential_score": found[1].mean(axis=1)}
    return scored, checks


def scores_against_recorded(
    method: str,
    window: Window,
    row: Int,
    fold: Int,
    member_score: Float32,
    reference: Sample,
    ref_score: Float32,
    extra: Float32 | None,
    **checks: Any,
) -> SplitScores:
    """Scores against a reference of recorded events, which sets thresholds and measures efficiencies in one."""
    n, members = len(reference.x), member_score.shape[1]
    return SplitScores(
        method=method,
        window=window.name,
        interval=window.signal,
        row=row,
        fold=fold,
        score=member_score.mean(axis=1),
        member_score=member_score,
        ref_score=ref_score.mean(axis=1),
        ref_fold=reference.fold,
        ref_weight=reference.weight,
        ref_role=np.full(n, Role.THRESHOLD_AND_EFFICIENCY, dtype=np.int8),
        ref_source=np.arange(n, dtype=np.int32),
        ref_member=always(n),
        ref_threshold_member_score=np.empty((0, members), dtype=np.float32),
        extra_score=np.empty(0, dtype=np.float32) if extra is None else extra.mean(axis=1),
        **checks,
    )


def score_samples(
    method: str,
    x: Array,
    reference: Array,
    window: Window,
    settings: ClassifierSettings,
    *,
    seed: int,
    device: str = "cpu",
) -> MethodScores:
    """Two samples `x (n, d)` and `reference (r, d)`, k-fold: the classifier alone, for its calibration."""
    out = []
    for own_seed, _, _ in fold_splits(settings, seed, None):
        data = plain(x, assign_folds(len(x), settings.folds, seed=derive_seed(own_seed, "folds")))
        fold = assign_folds(len(reference), settings.folds, seed=derive_seed(own_seed, "reference folds"))
        against = plain(reference, fold)
        scored = cross_fit(settings, data, against, [data, against], seed=own_seed, device=device)
        rows = np.arange(len(x))
        out.append(scores_against_recorded(method, window, rows, data.fold, scored[0], against, scored[1], None))
    return MethodScores(tuple(out))
