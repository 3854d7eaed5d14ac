"""Which events pass which hunts: what makes their counts correlated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from cathode.artefacts import artefact
from cathode.classifier.methods import is_reference
from cathode.classifier.scores import MethodScores
from cathode.inference.counts import passing
from cathode.results import hunt_name

Array = NDArray[np.float64]


@artefact("passing", "npz")
@dataclass(frozen=True, kw_only=True)
class Passing:
    """Signal-region events of one window that pass at least one of its hunts; of methods that are a search.

    Attributes:
        hunts: (h) names, as of `HuntResult`.
        row: (n,) row in the input, ascending.
        share: (n, h) share of all cuts that an event passes: its part of the hunt's count.
    """

    hunts: tuple[str, ...]
    row: NDArray[np.int64]
    share: NDArray[np.float32]


def pass_hunts(scores: Sequence[MethodScores], working_points: Sequence[float]) -> Passing:
    """What passes in one window, of the scores of its methods."""
    searches = [s for s in scores if not is_reference(s.method)]
    if not searches:
        return Passing(hunts=(), row=np.empty(0, dtype=np.int64), share=np.empty((0, 0), dtype=np.float32))
    hunts, shares = [], []
    row = np.sort(searches[0].splits[0].row)
    for s in searches:
        first = s.splits[0]
        order = np.argsort(first.row)
        for eps in working_points:
            hunts.append(hunt_name(first.window, s.method, eps))
            shares.append(passing(s.splits, eps)[order])
    share = np.stack(shares, axis=1).astype(np.float32)
    kept = share.any(axis=1)
    return Passing(hunts=tuple(hunts), row=row[kept].astype(np.int64), share=share[kept])


def shared_events(of_windows: Sequence[Passing], hunts: Sequence[str]) -> Array:
    """Events that hunts have in common `(h, h)`: sum over events of the products of their shares; 0 for hunts of which nothing is known.

    For given classifiers this is the covariance of their counts: every event is a Poisson variable of its own.
    """
    place = {name: i for i, name in enumerate(hunts)}
    rows, columns, values = [], [], []
    for part in of_windows:
        for j, name in enumerate(part.hunts):
            if name in place:
                (at,) = np.nonzero(part.share[:, j])
                rows.append(part.row[at])
                columns.append(np.full(len(at), place[name]))
                values.append(part.share[at, j].astype(float))
    if not rows:
        return np.zeros((len(hunts), len(hunts)))
    _, index = np.unique(np.concatenate(rows), return_inverse=True)
    size = (int(index.max(initial=-1)) + 1, len(hunts))
    shares = csr_array((np.concatenate(values), (index, np.concatenate(columns))), shape=size)
    return np.asarray((shares.T @ shares).toarray())


def correlate(shared: Array, variance: Array) -> Array:
    """Correlation `(h, h)` of the significances of counts, from events `shared` and the whole `variance` `(h,)` of count and background.

    What is not the counts' own (background, closure) is taken for independent: where it has common causes, hunts are more alike than this.
    A variance below the count's own is raised to it.
    """
    own = np.maximum(np.maximum(variance, np.diag(shared)), 1e-12)
    out = shared / np.sqrt(np.outer(own, own))
    np.fill_diagonal(out, 1.0)
    return np.asarray(out)


def variance_of(weights: Array, counts: Array, sigma: Array) -> float:
    """Variance of a weighted sum of counts over their backgrounds, of working points `(k,)` of one method (events^2).

    An event that passes several counts for all of these, so that counts vary together as the smaller of two does; `counts` are
    backgrounds times their overdispersion, errors `sigma` of the backgrounds go together.
    """
    return float(weights @ np.minimum.outer(counts, counts) @ weights + (np.abs(weights) @ sigma) ** 2)


def interval_weights(weights: Sequence[float]) -> Array:
    """Weights `(k,)` of nested counts, the loosest first, that give these weights to what passes one and not the next."""
    return np.diff(np.asarray(weights, dtype=float), prepend=0.0)
