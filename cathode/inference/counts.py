"""Counting events behind a working point, averaged over fold splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cathode.classifier.scores import MethodScores, SplitScores
from cathode.events import Events, Role
from cathode.results import Selected

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class PassingCounts:
    """Events behind one working point, summed over folds and averaged over fold splits.

    Attributes:
        eps_bkg: nominal background efficiency.
        n_sr: events in the signal region.
        n_obs: those that pass.
        n_bkg: measured efficiency times events, summed over folds, no correction applied.
        m: independent reference events that pass: (sum g)^2 / sum g^2 with g the passing weight of each recorded source.
        member_counts: passing reference events per density member; empty without a density model.
        independent_members: whether the members' counts carry Poisson noise of their own.
        n_splits: fold splits averaged.
        step: spacing of possible counts, 1 over all cuts that an event may pass.
    """

    eps_bkg: float
    n_sr: int
    n_obs: float
    n_bkg: float
    m: float
    member_counts: tuple[float, ...]
    independent_members: bool
    n_splits: int
    step: float = 1.0

    @property
    def has_ensemble(self) -> bool:
        """Whether the reference was drawn from a density ensemble."""
        return len(self.member_counts) > 0

    @property
    def reached(self) -> float:
        """Background efficiency that the cuts let through, of reference events that took no part in choosing them."""
        return self.n_bkg / self.n_sr if self.n_sr else 0.0

    @property
    def missed(self) -> str:
        """What to say where that is not the efficiency that was asked for; empty where it is.

        Few reference events in a fold have no threshold at a small efficiency, and events with equal scores pass together. Said from
        half as much again, or a third less, and three standard errors of the measurement on.
        """
        if not is_missed(self.eps_bkg, self.reached, error=1 / float(np.sqrt(max(self.m, 1.0)))):
            return ""
        return f"asked for a background efficiency of {self.eps_bkg:g}, reached {self.reached:.2g}: too few or equal scores"

    @property
    def tau(self) -> float:
        """Exposure ratio of reference to signal region, m / n_bkg."""
        return self.m / self.n_bkg if self.n_bkg > 0 else 1.0


def is_missed(eps_bkg: float, reached: float, *, error: float = 0.0) -> bool:
    """Whether a measured efficiency is half as much again as the one asked for, or a third less, and three relative errors more."""
    return bool(abs(np.log(max(reached, 1e-12) / eps_bkg)) >= np.log(1.5) + 3 * error)


@dataclass(frozen=True)
class Cut:
    """One threshold in one fold, and the reference events that say how much background it lets through.

    Attributes:
        fold: where it applies.
        threshold: events from this score on pass.
        share: weight of this cut among those of its fold, which are averaged.
        measuring: mask `(r,)` of the reference events of the fold that took no part in choosing the threshold.
    """

    fold: int
    threshold: float
    share: float
    measuring: Mask


def cuts(scores: SplitScores, eps_bkg: float) -> list[Cut]:
    """The cuts of one fold split at a nominal background efficiency.

    A threshold is the k-th highest score of the reference events that choose it, k = eps (n + 1), at least 1. Others measure
    what it lets through: the efficiency of a threshold on the very events that chose it is biased, by as much as a factor
    where copies of few recorded events pass together. Where the reference is not divided for that, it is halved by recorded
    event, each half choosing for the other, and the counts of both are averaged: unbiased, and no event is lost.
    """
    sets = scores.ref_role == Role.THRESHOLD
    halves = [(sets, ~sets)]
    if not sets.any():
        even = scores.ref_source % 2 == 0
        halves = [(even, ~even), (~even, even)]
    out = []
    for f in np.unique(scores.fold):
        mine = scores.ref_fold == f
        for setting, measuring in halves:
            ordered = np.sort(scores.ref_score[setting & mine])
            k = min(max(1, round(eps_bkg * (len(ordered) + 1))), len(ordered))
            out.append(Cut(int(f), float(ordered[-k]), 1 / len(halves), measuring & mine))
    return out


def _passes(score: NDArray[np.float32], fold: NDArray[np.integer], chosen: list[Cut]) -> Array:
    share = np.zeros(len(score))
    for cut in chosen:
        share += cut.share * ((fold == cut.fold) & (score >= cut.threshold))
    return share


def _mean(of_splits: Iterable[NDArray[Any]]) -> Array:
    return np.asarray(np.mean(list(of_splits), axis=0))


def passing(splits: Sequence[SplitScores], eps_bkg: float) -> Array:
    """Share of the fold splits (and of the cuts in each) `(n,)` that each signal-region event passes."""
    return _mean(_passes(s.score, s.fold, cuts(s, eps_bkg)) for s in splits)


def passing_reference(splits: Sequence[SplitScores], eps_bkg: float) -> Array:
    """The same share `(r,)` for the reference events."""
    return _mean(_passes(s.ref_score, s.ref_fold, cuts(s, eps_bkg)) for s in splits)


def passing_sideband(splits: Sequence[SplitScores], eps_bkg: float) -> Array:
    """The same share `(b,)` for the scored sideband events, each in the fold that held it out."""
    return _mean(_passes(s.side_score, s.side_fold, cuts(s, eps_bkg)) for s in splits)


def efficiency_scores(splits: Sequence[SplitScores]) -> tuple[Array, Array, Array]:
    """-log10 of the background efficiency at which an event just passes, averaged over fold splits.

    Comparable between folds and splits, which log-odds are not: j reference events of the same fold score higher, and
    an event passes from the efficiency (j + 1) / (n + 1) on. For signal-region events `(n,)`,
    reference events `(r,)`, and spare ones `(s,)`, which belong to no fold and are compared with all of the reference.
    """
    of_data, of_reference, of_spare = [], [], []
    for s in splits:
        setting = s.ref_role != Role.EFFICIENCY
        data, reference = np.empty(len(s.score)), np.empty(len(s.ref_score))
        for f in np.unique(s.fold):
            ordered = np.sort(s.ref_score[setting & (s.ref_fold == f)])
            for score, fold, out in ((s.score, s.fold, data), (s.ref_score, s.ref_fold, reference)):
                out[fold == f] = _log_efficiency(ordered, score[fold == f])
        of_data.append(data)
        of_reference.append(reference)
        of_spare.append(_log_efficiency(np.sort(s.ref_score[setting]), s.extra_score))
    return _mean(of_data), _mean(of_reference), _mean(of_spare)


def _log_efficiency(ordered: NDArray[np.float32], score: NDArray[np.float32]) -> Array:
    higher = len(ordered) - np.searchsorted(ordered, score, side="right")
    return np.asarray(-np.log10((higher + 1) / (len(ordered) + 1)))


def select_events(splits: Sequence[SplitScores], eps_bkg: float, score: Array) -> NDArray[np.integer]:
    """Indices, ascending, of the n_obs signal-region events that stand for the selection.

    The average count is rounded, and so many events are taken in the order of the share of cuts that they pass and then of
    `score (n,)`, theirs of `efficiency_scores`.
    """
    share = passing(splits, eps_bkg)
    order = np.lexsort((-score, -share))
    return np.sort(order[: round(float(share.sum()))])


def count_passing(splits: Sequence[SplitScores], eps_bkg: float) -> PassingCounts:
    """Count data and reference behind `eps_bkg`: the mean over fold splits that count the same events."""
    first, chosen = splits[0], [cuts(s, eps_bkg) for s in splits]
    counts = [_count(s, own) for s, own in zip(splits, chosen, strict=True)]
    n_obs, n_bkg, m = (float(np.mean([c[i] for c in counts])) for i in range(3))
    members = tuple(np.mean([c[3] for c in counts], axis=0).tolist())
    return PassingCounts(
        eps_bkg=eps_bkg,
        n_sr=len(first.score),
        n_obs=n_obs,
        n_bkg=n_bkg,
        m=m,
        member_counts=members,
        independent_members=first.independent_members,
        n_splits=len(splits),
        step=min(cut.share for own in chosen for cut in own) / len(splits),
    )


def _count(scores: SplitScores, chosen: list[Cut]) -> tuple[float, float, float, Array]:
    """n_obs, n_bkg, m and member_counts of one split."""
    n_members = scores.n_bootstraps * scores.n_seeds
    member_counts = np.zeros(n_members)
    per_source = np.zeros(int(scores.ref_source.max()) + 1)
    n_obs, n_bkg = 0.0, 0.0
    for cut in chosen:
        data, ref = scores.fold == cut.fold, cut.measuring
        passes = ref & (scores.ref_score >= cut.threshold)
        w = scores.ref_weight[passes].astype(float)
        n_obs += cut.share * float((scores.score[data] >= cut.threshold).sum())
        n_bkg += cut.share * float(w.sum()) / float(scores.ref_weight[ref].sum(dtype=float)) * int(data.sum())
        per_source += np.bincount(scores.ref_source[passes], weights=w, minlength=len(per_source))
        if n_members:
            member_counts += np.bincount(scores.ref_member[passes], weights=w, minlength=n_members)
    m = float(per_source.sum() ** 2 / np.sum(per_source**2)) if per_source.any() else 0.0
    return n_obs, n_bkg, m, member_counts


def select(
    events: Events, scores: MethodScores, *, working_points: tuple[float, ...] = (0.1, 0.01, 0.001)
) -> tuple[Selected, ...]:
    """The events that pass each working point, with their rows in the input."""
    chosen, score = [], efficiency_scores(scores.splits)[0]
    for eps in working_points:
        index = select_events(scores.splits, eps, score)
        e = events[events.at(scores.splits[0].row[index])]
        chosen.append(
            Selected(
                names=e.names,
                row=e.row,
                mass=e.mass,
                features=e.features,
                score=score[index],
                carried=e.carried,
                identifiers=e.identifiers,
            )
        )
    return tuple(chosen)
