"""Counting events behind a working point."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cathode.classifier import Scores

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class PassingCounts:
    """Events behind one working point, summed over folds.

    Attributes:
        eps_bkg: nominal background efficiency.
        n_sr: events in the signal region.
        n_obs: those that pass; an average where fold splits were repeated.
        n_bkg: measured efficiency times events, summed over folds, no correction applied.
        m: independent reference events that pass: (sum g)^2 / sum g^2 with g the passing weight of each recorded source.
        member_counts: passing reference events per density member; empty without a density model.
        independent_members: whether the members' counts carry Poisson noise of their own.
    """

    eps_bkg: float
    n_sr: int
    n_obs: float
    n_bkg: float
    m: float
    member_counts: tuple[float, ...]
    independent_members: bool

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


def passing(scores: Scores, eps_bkg: float) -> Mask:
    """Mask `(n,)` of the signal-region events that pass the threshold of their fold."""
    mask = np.zeros(len(scores.score), dtype=bool)
    for f, threshold in thresholds(scores, eps_bkg).items():
        mask |= (scores.fold == f) & (scores.score >= threshold)
    return mask


def passing_sideband(scores: Scores, eps_bkg: float) -> Mask:
    """Mask `(b,)` of the scored sideband events that pass the threshold of the fold that held them out."""
    mask = np.zeros(len(scores.side_score), dtype=bool)
    for f, threshold in thresholds(scores, eps_bkg).items():
        mask |= (scores.side_fold == f) & (scores.side_score >= threshold)
    return mask


def count_passing(scores: Scores, eps_bkg: float) -> PassingCounts:
    """Count data and reference behind `eps_bkg`.

    Thresholds and efficiency use disjoint reference events where the reference is split. Where it is not, the
    threshold is itself a reference event and the expected efficiency of a new event is k / (n + 1), exact for k-th order
    statistics of a continuous score (equal weights).
    """
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
    members = tuple(float(v) for v in member_counts)
    return PassingCounts(eps_bkg, len(scores.score), n_obs, n_bkg, m, members, scores.independent_members)


def average_counts(repeats: list[PassingCounts]) -> PassingCounts:
    """Mean over repeats that count the same events with other fold splits; the reference events are the same, too."""
    first = repeats[0]
    return replace(
        first,
        n_obs=float(np.mean([c.n_obs for c in repeats])),
        n_bkg=float(np.mean([c.n_bkg for c in repeats])),
        m=float(np.mean([c.m for c in repeats])),
        member_counts=tuple(np.mean([c.member_counts for c in repeats], axis=0).tolist()) if first.has_ensemble else (),
    )
