"""One law suite for every classifier: what it learns, that it is scored out of fold, and that seeds and weights mean what they say."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from conftest import DEVICE
from sklearn.metrics import roc_auc_score

import cathode.classifier.folds as training
from cathode.classifier.folds import Sample, assign_folds
from cathode.classifier.settings import ClassifierSettings, NetworkSettings, TreeSettings
from cathode.errors import FitError

SHIFT, N = 0.7, 6000
cross_fit = partial(training.cross_fit, device=DEVICE)


@pytest.fixture(scope="module", params=["boosted_trees", "network"])
def model(request):
    return request.param


def settings(model: str, *, light: bool = False, folds: int = 3) -> ClassifierSettings:
    quick = {"boosted_trees": TreeSettings(trees=15), "network": NetworkSettings(epochs=4)}
    return ClassifierSettings(model=model, folds=folds, members=4, **(quick if light else {}))


def sample(mean: float, n: int, seed: int, folds: int = 3) -> Sample:
    x = np.random.default_rng(seed).normal(mean, 1, (n, 2))
    return Sample(x, assign_folds(n, folds, seed=seed + 100), np.ones(n))


@pytest.fixture(scope="module")
def learned(model):
    """Two normals a distance apart: the log-likelihood ratio is linear, shift * (x + y) - shift^2."""
    data, reference = sample(SHIFT, N, 1), sample(0.0, N, 2)
    scored = cross_fit(settings(model), data, reference, [data, reference], seed=3)
    return data, reference, np.concatenate([s.mean(axis=1) for s in scored])


LABELS = np.repeat([1, 0], N)


def test_it_approaches_the_likelihood_ratio(learned):
    data, reference, score = learned
    x = np.concatenate([data.x, reference.x]).sum(axis=1)
    best = roc_auc_score(LABELS, x)
    assert best - 0.012 < roc_auc_score(LABELS, score) <= best + 0.002


def test_its_scores_are_log_odds(learned):
    """A line through them against the true ones has slope 1: a classifier that is too sure of itself has more, a shy one less."""
    data, reference, score = learned
    truth = SHIFT * np.concatenate([data.x, reference.x]).sum(axis=1) - SHIFT**2
    inner = np.abs(truth) < 1.5
    slope, intercept = np.polyfit(truth[inner], score[inner], 1)
    assert slope == pytest.approx(1, abs=0.2)
    assert intercept == pytest.approx(0, abs=0.1)


def test_scores_of_identical_samples_carry_no_information(model):
    data, reference = sample(0.0, 3000, 4), sample(0.0, 3000, 5)
    scored = cross_fit(settings(model), data, reference, [data, reference], seed=3)
    score = np.concatenate([s.mean(axis=1) for s in scored])
    assert abs(roc_auc_score(np.repeat([1, 0], 3000), score) - 0.5) < 0.03  # scored in fold, these trees reach 0.65


def test_no_event_is_scored_by_a_classifier_that_was_trained_on_it(model):
    """One event of the data lies alone and far away, where the reference has none: only training on it could make it signal-like."""
    data, reference = sample(0.0, 1200, 6), sample(0.0, 1200, 7)
    light = settings(model, light=True)
    lonely = np.flatnonzero(data.fold == 1)[:40]
    x = data.x.copy()
    x[lonely] = [0.0, 6.0]
    moved = Sample(x, data.fold, data.weight)
    held = cross_fit(light, moved, reference, [moved], seed=3)[0].mean(axis=1)
    everywhere = Sample(x, np.where(np.isin(np.arange(1200), lonely), -1, data.fold), data.weight)
    trained = cross_fit(light, everywhere, reference, [moved], seed=3)[0].mean(axis=1)
    assert held[lonely].mean() < trained[lonely].mean() - 0.3


def test_classes_are_balanced_by_weight(model):
    """Ten times the reference's weight changes nothing."""
    data, reference = sample(0.5, 900, 8), sample(0.0, 2000, 9)
    heavy = Sample(reference.x, reference.fold, 10 * reference.weight)
    light = settings(model, light=True)
    a, b = (cross_fit(light, data, r, [data], seed=1)[0] for r in (reference, heavy))
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_weights_make_one_sample_like_another(model):
    """A reference from another normal, weighted to the data's, cannot be told from it."""
    data, reference = sample(0.0, 4000, 10), sample(0.5, 4000, 11)
    ratio = np.exp(-0.5 * reference.x.sum(axis=1) + 0.25)  # p(x | 0) / p(x | 0.5) in two dimensions
    weighted = Sample(reference.x, reference.fold, ratio)
    own = [cross_fit(settings(model), data, r, [data], seed=2)[0].mean(axis=1) for r in (reference, weighted)]
    spread = [float(np.std(score)) for score in own]
    assert spread[1] < 0.45 * spread[0]


def test_equal_seeds_give_equal_scores_on_any_number_of_threads_and_others_do_not(model):
    data, reference = sample(0.5, 900, 12), sample(0.0, 900, 13)
    light, threads, found = settings(model, light=True), torch.get_num_threads(), []
    for n in (1, 2):
        torch.set_num_threads(n)
        try:
            found.append(cross_fit(light, data, reference, [data], seed=1)[0])
        finally:
            torch.set_num_threads(threads)
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], cross_fit(light, data, reference, [data], seed=2)[0])
    assert len(np.unique(found[0][:50, :], axis=1).T) == 4  # members differ


def test_events_without_a_fold_get_the_mean_of_all(model):
    data, reference = sample(0.5, 900, 14), sample(0.0, 900, 15)
    extra = Sample(data.x[:20], np.full(20, -1), np.ones(20))
    one_by_one = [Sample(data.x[:20], np.full(20, f), np.ones(20)) for f in range(3)]
    scored = cross_fit(settings(model, light=True), data, reference, [extra, *one_by_one], seed=1)
    np.testing.assert_allclose(scored[0], np.mean(scored[1:], axis=0), atol=1e-5)


def test_too_small_a_class_is_refused_in_numbers(model):
    with pytest.raises(FitError, match=r"found 40 data and .* reference events to train fold 0, expected at least 50"):
        cross_fit(settings(model), sample(0.0, 60, 16), sample(0.0, 900, 17), [], seed=1)


def test_a_narrow_signal_in_much_background_is_cut_out(model):
    """One event in fifty, a tenth as wide as the background in each feature: the efficiency at 0.01 is nearly that of the likelihood ratio."""
    rng, width, at = np.random.default_rng(12), 0.1, np.array([0.6, -0.8, 0.3])

    def made(n: int, n_signal: int, seed: int) -> Sample:
        x = np.concatenate([rng.normal(size=(n, 3)), at + width * rng.normal(size=(n_signal, 3))])
        return Sample(x, assign_folds(len(x), 2, seed=seed), np.ones(len(x)))

    data, reference = made(15_000, 300, 1), made(45_000, 0, 2)
    background, signal = made(40_000, 0, 3), made(0, 4_000, 4)
    config = ClassifierSettings(model=model, folds=2, members=4)
    score = [s.mean(axis=1) for s in cross_fit(config, data, reference, [background, signal], seed=5)]
    best = [0.5 * (np.square(s.x) - np.square((s.x - at) / width)).sum(axis=1) for s in (background, signal)]
    reached, possible = ((s >= np.quantile(b, 0.99)).mean() for b, s in (score, best))
    assert possible > 0.99
    assert reached > 0.75
