"""Weakly supervised classifiers: k-fold ensembles whose scores are always out of fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cathode.classifier.network import NetworkSettings, fit_networks
from cathode.classifier.trees import TreeSettings, fit_trees
from cathode.errors import ConfigError, FitError
from cathode.seeds import derive_seed

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int = NDArray[np.integer]


@dataclass(frozen=True)
class ClassifierSettings:
    """Which classifier, how many folds, how many members are averaged.

    Attributes:
        model: `boosted_trees` or `network`.
        folds: k; an event is scored only by members that were not trained on its fold.
        members: classifiers averaged per fold and split.
        splits: fold splits, each with classifiers of its own, over which counts are averaged. Where a classifier finds nothing
            real, another split selects other events, and the average scatters half as much as a single count; where it
            finds something, all splits select the same.
        sequential_members: classifiers per fold of the sequential cross-check (first split only); 0 leaves it out.
        strip_width: CWoLa's reference strips on either side, in widths of the signal region.
        boosted_trees, network: settings of each model.
    """

    model: Literal["boosted_trees", "network"] = "boosted_trees"
    folds: int = 5
    members: int = 4
    splits: int = 3
    sequential_members: int = 4
    strip_width: float = 0.5
    boosted_trees: TreeSettings = TreeSettings()
    network: NetworkSettings = NetworkSettings()

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"classifier.folds: found {self.folds}, expected at least 2")
        if self.members < 4:
            raise ConfigError(f"classifier.members: found {self.members}, expected at least 4 (two per half ensemble)")
        if self.splits < 1:
            raise ConfigError(f"classifier.splits: found {self.splits}, expected at least 1")
        if self.sequential_members != 0 and self.sequential_members < 4:
            raise ConfigError(
                f"classifier.sequential_members: found {self.sequential_members}, expected 0 or at least 4"
            )


@dataclass(frozen=True)
class Sample:
    """A sample on one side of a classifier.

    Attributes:
        x: (n, d) features.
        fold: (n,) fold in which an event is held out; -1 for events that train every fold and are never scored.
        weight: (n,) event weights.
    """

    x: Array
    fold: Int
    weight: Array

    def rows(self, mask: NDArray[np.bool_]) -> Sample:
        """The selected events."""
        return Sample(self.x[mask], self.fold[mask], self.weight[mask])


@dataclass(frozen=True)
class Scores:
    """Out-of-fold scores of one method in one signal region and one fold split. Higher means more data-like.

    Attributes:
        method: cathode, cwola, idealised or supervised.
        window, interval: name and edges (GeV) of the (pseudo) signal region.
        row: (n,) input row of each signal-region event; `fold`, `score` (n,) and `member_score` (n, M) belong to it.
        ref_score: (r,) score of the held-out reference events, which set thresholds and measure efficiencies.
        ref_fold, ref_weight: (r,) their folds and weights.
        ref_part: (r,) 1 sets thresholds, 2 measures efficiencies, 0 does both (samples too small to split).
        ref_source: (r,) events with equal numbers come from one recorded event and count once in statistical errors.
        ref_member: (r,) density member an event was drawn from, -1 for recorded events.
        ref_threshold_member_score: (t, M) scores of every classifier member on part of the reference: the events with
            `ref_part` 1, or where these do not exist the copies of density member 0.
        n_bootstraps, n_seeds: layout of the density members; 0 without a density model.
        independent_members: whether density members were sampled independently (else all transport the same events).
        extra_score: (s,) of spare labelled signal events that took no part in the hunt, for the evaluation.
        sequential_score, ref_sequential_score: (n,), (r,) scores by classifiers of lower folds only, NaN in fold 0; empty
            where the cross-check was not run.
        side_row, side_fold, side_score: (b,) recorded sideband events near the signal region: input row, the fold that had
            them (or what was made from them) held out, and its score. Empty where not scored.
    """

    method: str
    window: str
    interval: tuple[float, float]
    row: Int
    fold: Int
    score: Float32
    member_score: Float32
    ref_score: Float32
    ref_fold: Int
    ref_weight: Array
    ref_part: Int
    ref_source: Int
    ref_member: Int
    ref_threshold_member_score: Float32
    n_bootstraps: int = 0
    n_seeds: int = 0
    independent_members: bool = True
    extra_score: Float32 = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    sequential_score: Float32 = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    ref_sequential_score: Float32 = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    side_row: Int = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    side_fold: Int = field(default_factory=lambda: np.empty(0, dtype=np.int16))
    side_score: Float32 = field(default_factory=lambda: np.empty(0, dtype=np.float32))

    def sequential(self) -> Scores | None:
        """The same events scored sequentially, those of fold 0 left out; None where that was not run."""
        if not len(self.sequential_score):
            return None
        kept, ref = self.fold > 0, self.ref_fold > 0
        return replace(
            self.without_members(),
            row=self.row[kept],
            fold=self.fold[kept],
            score=self.sequential_score[kept],
            ref_score=self.ref_sequential_score[ref],
            **{
                name: getattr(self, name)[ref]
                for name in ("ref_fold", "ref_weight", "ref_part", "ref_source", "ref_member")
            },
        )

    def without_members(self) -> Scores:
        """The same scores without those of single members, which only the half-ensemble significance needs."""
        none = np.empty((0, 0), dtype=np.float32)
        return replace(self, member_score=none, ref_threshold_member_score=none)


@dataclass(frozen=True)
class Scored:
    """What one method scored: its (pseudo) signal regions, each once per fold split; the splits of a region follow each other."""

    scores: tuple[Scores, ...]

    @property
    def method(self) -> str:
        """cathode, cwola, idealised or supervised."""
        return self.scores[0].method

    def regions(self) -> list[tuple[Scores, ...]]:
        """The splits of each region."""
        names = dict.fromkeys(s.window for s in self.scores)
        return [tuple(s for s in self.scores if s.window == name) for name in names]


def assign_folds(n: int, folds: int, *, seed: int) -> Int:
    """Random folds 0 .. folds - 1 of equal size (to one event)."""
    return np.random.default_rng(seed).permutation((np.arange(n) % folds).astype(np.int16))


def cross_fit(
    settings: ClassifierSettings,
    data: Sample,
    reference: Sample,
    targets: list[Sample],
    *,
    seed: int,
    device: str = "cpu",
    sequential: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Float32]:
    """Train data (class 1) against reference (class 0) k times and score each target out of fold.

    In fold f, events of either side with `fold` f are left out of the training; both classes get the same total weight.
    Targets are scored in the fold they belong to; a target event with fold -1 gets the mean over all folds.

    `sequential` trains on folds below f instead (fold -1 included), for f = 1 .. k - 1: no event then helps to select one of an
    earlier fold, and the counts of different folds are independent. Targets of fold 0 are NaN.

    Returns one array `(n_target, members)` of log-odds per target. Raises FitError when a class is too small.
    """
    out = [np.full((len(t.x), settings.members), np.nan if sequential else 0.0, dtype=np.float32) for t in targets]
    for f in range(1 if sequential else 0, settings.folds):
        if sequential:
            a, b = data.rows(data.fold < f), reference.rows(reference.fold < f)
        else:
            a, b = data.rows(data.fold != f), reference.rows(reference.fold != f)
        if min(len(a.x), len(b.x)) < 50:
            raise FitError(
                f"classifier: found {len(a.x)} data and {len(b.x)} reference events to train fold {f}, "
                "expected at least 50 of each"
            )
        x = np.concatenate([a.x, b.x])
        y = np.repeat([1.0, 0.0], [len(a.x), len(b.x)])
        total = float(len(a.x))
        weight = np.concatenate([a.weight * (total / a.weight.sum()), b.weight * (total / b.weight.sum())])
        seeds = [derive_seed(seed, "fold", f, "member", e) for e in range(settings.members)]
        if settings.model == "boosted_trees":
            members = [m.predict for m in fit_trees(settings.boosted_trees, x, y, weight, seeds)]
        else:
            members = [m.predict for m in fit_networks(settings.network, x, y, weight, seeds, device=device)]
        for target, result in zip(targets, out, strict=True):
            held, always = target.fold == f, target.fold == -1
            for e, predict in enumerate(members):
                result[held, e] = predict(target.x[held])
                if always.any():
                    result[always, e] += predict(target.x[always]) / np.float32(settings.folds)
        if progress:
            progress(f + 1, settings.folds)
    return out
