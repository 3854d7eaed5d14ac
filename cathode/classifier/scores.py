"""What a method says of every event: out-of-fold scores, once per fold split."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cathode.artefacts import artefact
from cathode.classifier.kept import FoldClassifier

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int = NDArray[np.integer]


def _none() -> Float32:
    return np.empty(0, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class SplitScores:
    """Out-of-fold scores of one method in one signal region and one fold split. Higher means more data-like.

    Attributes:
        method: cathode, cwola, idealised or supervised, or one of your own.
        window: name of the (pseudo) signal region.
        interval: masses (GeV) where it counts.
        row: (n,) input row of each signal-region event.
        fold: (n,) the fold that held it out.
        score: (n,) mean over the classifier's members.
        member_score: (n, M) of each member.
        ref_score: (r,) score of the held-out reference events, which set thresholds and measure efficiencies.
        ref_fold: (r,) their folds.
        ref_weight: (r,) their weights.
        ref_role: (r,) what each is for, see `Role`; both where the sample is too small to be split.
        ref_source: (r,) events with equal numbers come from one recorded event and count once in statistical errors.
        ref_member: (r,) density member an event was drawn from, -1 for recorded events.
        ref_threshold_member_score: (t, M) scores of every classifier member on part of the reference: the events that only set
            thresholds, or where these do not exist the copies of density member 0.
        n_bootstraps: R of the density members; 0 without a density model.
        n_seeds: K of the density members; 0 without a density model.
        independent_members: whether density members were sampled independently (else all transport the same events).
        extra_score: (s,) of spare labelled signal events that took no part in the hunt, for the evaluation.
        sequential_score: (n,) scores by classifiers of lower folds only, NaN in fold 0; empty where the cross-check was not run.
        ref_sequential_score: (r,) likewise.
        side_row: (b,) input row of recorded sideband events near the signal region. Empty where not scored.
        side_fold: (b,) the fold that had them (or what was made from them) held out.
        side_score: (b,) their scores.
        classifiers: what scored, fold by fold; empty where it is not kept.
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
    ref_role: Int
    ref_source: Int
    ref_member: Int
    ref_threshold_member_score: Float32
    n_bootstraps: int = 0
    n_seeds: int = 0
    independent_members: bool = True
    extra_score: Float32 = field(default_factory=_none)
    sequential_score: Float32 = field(default_factory=_none)
    ref_sequential_score: Float32 = field(default_factory=_none)
    side_row: Int = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    side_fold: Int = field(default_factory=lambda: np.empty(0, dtype=np.int16))
    side_score: Float32 = field(default_factory=_none)
    classifiers: tuple[FoldClassifier, ...] = ()

    def sequential(self) -> SplitScores | None:
        """The same events scored sequentially, those of fold 0 left out; None where that was not run."""
        if not len(self.sequential_score):
            return None
        kept, ref = self.fold > 0, self.ref_fold > 0
        of_reference = ("ref_fold", "ref_weight", "ref_role", "ref_source", "ref_member")
        return replace(
            self.without_members(),
            row=self.row[kept],
            fold=self.fold[kept],
            score=self.sequential_score[kept],
            ref_score=self.ref_sequential_score[ref],
            **{name: getattr(self, name)[ref] for name in of_reference},
        )

    def without_members(self) -> SplitScores:
        """The same scores without those of single members, which only the half-ensemble significance needs."""
        none = np.empty((0, 0), dtype=np.float32)
        return replace(self, member_score=none, ref_threshold_member_score=none)


@artefact("scores", "npz")
@dataclass(frozen=True)
class MethodScores:
    """What one method scored: its (pseudo) signal regions, each once per fold split; the splits of a region follow each other.

    Attributes:
        splits: one entry per region and fold split.
    """

    splits: tuple[SplitScores, ...]

    @property
    def method(self) -> str:
        """cathode, cwola, idealised or supervised, or one of your own."""
        return self.splits[0].method

    def regions(self) -> list[tuple[SplitScores, ...]]:
        """The splits of each region."""
        names = dict.fromkeys(s.window for s in self.splits)
        return [tuple(s for s in self.splits if s.window == name) for name in names]
