"""Counting events behind a working point, averaged over fold splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cathode.classifier import Scores

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
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
        n_splits: fold splits averaged; counts come in steps of 1 / n_splits.
    """

    eps_bkg: float
    n_sr: int
    n_obs: float
    n_bkg: float
    m: float
    member_counts: tuple[float, ...]
    independent_members: bool
    n_splits: int

    @property
    def has_ensemble(self) -> bool:
        """Whether the reference was drawn from a density ensemble."""
        return len(self.member_counts) > 0

    @property
    def tau(self) -> float:
        """Exposure ratio of reference to signal region, m / n_bkg."""
        return self.m / self.n_bkg if self.n_bkg > 0 else 1.0


def thresholds(scores: Scores, eps_bkg: float) -> dict[int, float]:
    """Score from which on events pass, per fold: a share `eps_bkg` of the threshold sample lies there.

    Where one reference sample sets the threshold and measures the efficiency, the threshold is its k-th highest score with
    k = eps (n + 1), at least 1.
    """
    setting = scores.ref_part <= 1
    out = {}
    for f in np.unique(scores.fold):
        ordered = np.sort(scores.ref_score[setting & (scores.ref_fold == f)])
        k = min(max(1, round(eps_bkg * (len(ordered) + 1))), len(ordered))
        out[int(f)] = float(ordered[-k])
    return out


def _passes(score: NDArray[np.float32], fold: NDArray[np.integer], cuts: dict[int, float]) -> Mask:
    mask = np.zeros(len(score), dtype=bool)
    for f, threshold in cuts.items():
        mask |= (fold == f) & (score >= threshold)
    return mask


def _mean(of_splits: Iterable[NDArray[Any]]) -> Array:
    return np.asarray(np.mean(list(of_splits), axis=0))


def passing(splits: Sequence[Scores], eps_bkg: float) -> Array:
    """Share of the fold splits `(n,)` in which each signal-region event passes."""
    return _mean(_passes(s.score, s.fold, thresholds(s, eps_bkg)) for s in splits)


def passing_reference(splits: Sequence[Scores], eps_bkg: float) -> Array:
    """The same share `(r,)` for the reference events."""
    return _mean(_passes(s.ref_score, s.ref_fold, thresholds(s, eps_bkg)) for s in splits)


def passing_sideband(splits: Sequence[Scores], eps_bkg: float) -> Array:
    """The same share `(b,)` for the scored sideband events, each in the fold that held it out."""
    return _mean(_passes(s.side_score, s.side_fold, thresholds(s, eps_bkg)) for s in splits)


def efficiency_scores(splits: Sequence[Scores]) -> tuple[Array, Array, Array]:
    """-log10 of the background efficiency at which an event just passes, averaged over fold splits.

    Comparable between folds and splits, which log-odds are not: j reference events of the same fold score higher, and
    an event passes from the efficiency (j + 1) / (n + 1) on, the one that `thresholds` cuts at. For signal-region events `(n,)`,
    reference events `(r,)`, and spare ones `(s,)`, which belong to no fold and are compared with all of the reference.
    """
    of_data, of_reference, of_spare = [], [], []
    for s in splits:
        setting = s.ref_part <= 1
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


def select_events(splits: Sequence[Scores], eps_bkg: float) -> NDArray[np.integer]:
    """Indices, ascending, of the n_obs signal-region events that stand for the selection.

    The average count is rounded, and so many events are taken in the order of the share of splits that they pass and
    then of `efficiency_scores`. With one split these are the events that pass.
    """
    share = passing(splits, eps_bkg)
    order = np.lexsort((-efficiency_scores(splits)[0], -share))
    return np.sort(order[: round(float(share.sum()))])


def count_passing(splits: Sequence[Scores], eps_bkg: float) -> PassingCounts:
    """Count data and reference behind `eps_bkg`: the mean over fold splits that count the same events.

    Thresholds and efficiency use disjoint reference events where the reference is split. Where it is not, the
    threshold is itself a reference event and the expected efficiency of a new event is k / (n + 1), exact for k-th order
    statistics of a continuous score (equal weights).
    """
    first, counts = splits[0], [_count(s, eps_bkg) for s in splits]
    n_obs, n_bkg, m = (float(np.mean([c[i] for c in counts])) for i in range(3))
    members = tuple(np.mean([c[3] for c in counts], axis=0).tolist())
    return PassingCounts(eps_bkg, len(first.score), n_obs, n_bkg, m, members, first.independent_members, len(splits))


def _count(scores: Scores, eps_bkg: float) -> tuple[float, float, float, Array]:
    """n_obs, n_bkg, m and member_counts of one split."""
    split = bool((scores.ref_part > 0).any())
    measuring = scores.ref_part != 1
    n_members = scores.n_bootstraps * scores.n_seeds
    member_counts = np.zeros(n_members)
    per_source = np.zeros(int(scores.ref_source.max()) + 1)
    n_obs, n_bkg = 0.0, 0.0
    for f, threshold in thresholds(scores, eps_bkg).items():
        data, ref = scores.fold == f, measuring & (scores.ref_fold == f)
        passes = ref & (scores.ref_score >= threshold)
        w, n_ref = scores.ref_weight[passes].astype(float), int(ref.sum())
        total = float(scores.ref_weight[ref].sum(dtype=float)) * (1.0 if split else (n_ref + 1) / n_ref)
        n_obs += float((scores.score[data] >= threshold).sum())
        n_bkg += float(w.sum()) / total * int(data.sum())
        per_source += np.bincount(scores.ref_source[passes], weights=w, minlength=len(per_source))
        if n_members:
            member_counts += np.bincount(scores.ref_member[passes], minlength=n_members)
    m = float(per_source.sum() ** 2 / np.sum(per_source**2)) if per_source.any() else 0.0
    return n_obs, n_bkg, m, member_counts
