"""A second significance, which needs no density and no closure test: weighted conformal p-values of events, and their count.

Every event of the signal region is compared with recorded sideband events by their scores, out of fold. Its p-value is the weighted share of these that
score as high; the weights make the sidebands' masses look like those of the region. A count of p-values below the working point is then a count over a background
that is known from the sidebands alone. Source: Tibshirani, Barber, Candes and Ramdas, arXiv:1904.06019, eqs. 7 and 8; for bump hunts arXiv:2606.13780.

What it assumes instead of a closure test: the efficiency of a cut is linear in log m across the scored sidebands and the region. Its curvature is in no error here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from cathode.classifier.scores import SplitScores
from cathode.stats.counting import p_predictive, z_value

Array = NDArray[np.float64]

_FEWEST = 10  # passing sideband events (effective number), below which there is no significance


@dataclass(frozen=True, kw_only=True)
class ConformalCount:
    """Events with conformal p-values of at most `eps`, averaged over fold splits.

    Attributes:
        n_obs: events of the signal region.
        n_bkg: expected ones, eps times the events there are.
        m: independent sideband events behind that.
    """

    n_obs: float
    n_bkg: float
    m: float

    @property
    def z(self) -> float | None:
        """Significance in standard deviations, `p_predictive` with statistical errors only; None where fewer than ten sideband events pass."""
        if self.m < _FEWEST or self.n_bkg <= 0:
            return None
        return z_value(p_predictive(self.n_obs, self.m, self.m / self.n_bkg, mu=0.0, sigma=0.0, step=0.0))


def tilt(side: Array, inside: Array) -> tuple[Array, Array] | None:
    """Weights of sideband events `(b,)` and of those of the signal region `(n,)`, from their masses (GeV); None where sidebands lie on one side only.

    w = exp(a t), t = log m: of all weights that give the sidebands the mean of t that the region has, those of the largest entropy, so that an
    efficiency linear in t is interpolated without bias. No positive weights can do as much for a curved one: of sidebands that surround a region the
    mean of t^2 is always larger than its own. Both are in units of the sidebands' mean weight.
    """
    unit = float(np.log(side).std()) or 1.0
    centre = float(np.log(inside).mean())
    t, own = (np.log(side) - centre) / unit, (np.log(inside) - centre) / unit
    if not t.min() < 0 < t.max():
        return None

    def weights(a: float, at: Array) -> Array:
        return np.asarray(np.exp(a * at - np.log(np.mean(np.exp(a * t)))))

    reach = 50 / float(np.abs(t).max())  # no weight beyond e^50
    mean = [float(np.mean(weights(a, t) * t)) for a in (-reach, reach)]
    if not mean[0] < 0 < mean[1]:
        return None
    a = float(brentq(lambda a: np.mean(weights(a, t) * t), -reach, reach, xtol=1e-12))
    return weights(a, t), weights(a, own)


def conformal_counts(
    splits: Sequence[SplitScores], side: Array, inside: Array, working_points: Sequence[float]
) -> list[ConformalCount | None]:
    """Count p-values of at most each working point, of scores and of the masses of sideband `(b,)` and signal-region events `(n,)`; None without scored sidebands on both sides."""
    tilted = tilt(side, inside) if len(side) and len(inside) else None
    if tilted is None:
        return [None for _ in working_points]
    w, own = tilted
    n_obs, share = np.zeros(len(working_points)), np.zeros((len(working_points), len(side)))
    for s in splits:
        for f in np.unique(s.fold):
            held, mine = s.side_fold == f, s.fold == f
            if not held.any():
                continue
            order = np.argsort(s.side_score[held])
            scores, weights = s.side_score[held][order], w[held][order]
            above = np.append(np.cumsum(weights[::-1])[::-1], 0.0)  # weight of the k-th event and all higher ones
            total = above[0]
            p = (above[np.searchsorted(scores, s.score[mine], side="left")] + own[mine]) / (total + own[mine])
            at = above[np.searchsorted(scores, s.side_score[held], side="left")]
            for k, eps in enumerate(working_points):
                n_obs[k] += float((p <= eps).sum()) / len(splits)
                share[k, held] += (at <= eps * total) / len(splits)
    out: list[ConformalCount | None] = []
    for eps, n, g in zip(working_points, n_obs, w * share, strict=True):
        m = float(g.sum() ** 2 / np.square(g).sum()) if g.any() else 0.0
        out.append(ConformalCount(n_obs=float(n), n_bkg=eps * len(inside), m=m))
    return out
