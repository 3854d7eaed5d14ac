"""k-fold training: ensembles of classifiers whose scores are always out of fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cathode.classifier.kept import Member
from cathode.classifier.settings import ClassifierSettings
from cathode.classifier.trees import fit_trees
from cathode.errors import FitError
from cathode.seeds import derive_seed

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int = NDArray[np.integer]
Keep = Callable[[Sequence[Member]], None]


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


def assign_folds(n: int, folds: int, *, seed: int) -> Int:
    """Random folds 0 .. folds - 1 of equal size (to one event)."""
    return np.random.default_rng(seed).permutation((np.arange(n) % folds).astype(np.int16))


def _fit_members(
    settings: ClassifierSettings, x: Array, y: Array, weight: Array, seeds: list[int], device: str
) -> Sequence[Member]:
    """One trained classifier per seed."""
    if settings.model == "boosted_trees":
        return fit_trees(settings.boosted_trees, x, y, weight, seeds)
    from cathode.classifier.network import fit_networks  # torch, which trees need not pay
    from cathode.numerics import resolve_device

    return fit_networks(settings.network, x, y, weight, seeds, device=resolve_device(device))


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
    keep: Keep | None = None,
) -> list[Float32]:
    """Train data (class 1) against reference (class 0) k times and score each target out of fold.

    In fold f, events of either side with `fold` f are left out of the training; both classes get the same total weight.
    Targets are scored in the fold they belong to; a target event with fold -1 gets the mean over all folds.

    `sequential` trains on folds below f instead (fold -1 included), for f = 1 .. k - 1: no event then helps to select one of an
    earlier fold, and the counts of different folds are independent. Targets of fold 0 are NaN.
    `keep` is given the members of each fold, in order.

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
        members = _fit_members(settings, x, y, weight, seeds, device)
        for target, result in zip(targets, out, strict=True):
            held, always = target.fold == f, target.fold == -1
            for e, member in enumerate(members):
                result[held, e] = member.predict(target.x[held])
                if always.any():
                    result[always, e] += member.predict(target.x[always]) / np.float32(settings.folds)
        if keep:
            keep(members)
        if progress:
            progress(f + 1, settings.folds)
    return out
