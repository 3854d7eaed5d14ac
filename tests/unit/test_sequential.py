"""Folds: ordinary cross-fitting correlates the counts of its folds, the sequential scheme does not.

The toy of the classifier that picks the fullest of J bins, where the effect is largest and its size known.
"""

from __future__ import annotations

import numpy as np
import pytest

from cathode.classifier import folds
from cathode.classifier.folds import Sample, assign_folds, cross_fit
from cathode.classifier.settings import ClassifierSettings

BINS, EVENTS, FOLDS = 100, 25000, 5


class FullestBin:
    def __init__(self, x, y):
        self.bin = np.argmax(np.bincount(x[y == 1, 0].astype(int), minlength=BINS))

    def predict(self, x):
        return (x[:, 0].astype(int) == self.bin).astype(np.float32)


def pull(scheme: str, seed: int) -> float:
    """(n - mu) / sqrt(mu) of the events in the chosen bins, summed over folds."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, BINS, EVENTS).astype(float)[:, None]
    fold = assign_folds(EVENTS, FOLDS, seed=seed)
    data = Sample(x, fold, np.ones(EVENTS))
    reference = Sample(np.zeros((100, 1)), np.full(100, -1), np.ones(100))
    settings = ClassifierSettings(folds=FOLDS, members=4)
    score = cross_fit(settings, data, reference, [data], seed=seed, sequential=scheme == "sequential")[0][:, 0]
    if scheme == "sequential":
        assert np.isnan(score[fold == 0]).all()
        score = score[fold > 0]
    mu = len(score) / BINS
    return float((score.sum() - mu) / np.sqrt(mu))


@pytest.mark.parametrize(("scheme", "low", "high"), [("cross", 1.25, 1.6), ("sequential", 0.9, 1.1)])
def test_the_width_of_pulls_of_folded_counts(scheme, low, high, monkeypatch):
    """Published toy: 1.41 with 5 folds, 1.01 sequentially."""
    monkeypatch.setattr(folds, "fit_trees", lambda s, x, y, w, seeds: [FullestBin(x, y)] * len(seeds))
    z = [pull(scheme, seed) for seed in range(400)]
    assert low < np.std(z) < high
    assert abs(np.mean(z)) < 0.25
