"""Conformal p-values: exact where the efficiency is linear in log m, whatever the classifier; and where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from cathode.classifier.scores import SplitScores
from cathode.inference.conformal import ConformalCount, conformal_counts, tilt

N_FOLDS = 5


def conformal_count(
    splits: list[SplitScores], side: np.ndarray, inside: np.ndarray, eps: float
) -> ConformalCount | None:
    """At one working point, counted beside another."""
    return conformal_counts(splits, side, inside, (0.2, eps))[1]


def masses(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Falling spectrum: sidebands on both sides, and the region between."""
    m = 2500 - 700 * np.log(1 - rng.random(n) * (1 - np.exp(-2500 / 700)))
    inside = (m >= 3300) & (m < 3700)
    return m[~inside & (m > 2700) & (m < 4700)], m[inside]


def scored(
    rng: np.random.Generator, side: np.ndarray, inside: np.ndarray, slope: float, bend: float = 0.0
) -> SplitScores:
    """Scores of which the share above 1 - eps is eps (1 + slope t + bend t^2) for all small eps, t = log m - log 3500."""

    def scores(m: np.ndarray) -> np.ndarray:
        t = np.log(m / 3500)
        return (1 - rng.random(len(m)) / (1 + slope * t + bend * t**2)).astype(np.float32)

    n, b, nothing = len(inside), len(side), np.empty(0)
    return SplitScores(
        method="cathode", window="w", interval=(3300.0, 3700.0), row=np.arange(n), fold=rng.integers(N_FOLDS, size=n).astype(np.int16),
        score=scores(inside), member_score=np.empty((n, 0), dtype=np.float32), ref_score=nothing, ref_fold=nothing, ref_weight=nothing,
        ref_role=nothing, ref_source=nothing, ref_member=nothing, ref_threshold_member_score=nothing,
        side_row=np.arange(b), side_fold=rng.integers(N_FOLDS, size=b).astype(np.int16), side_score=scores(side),
    )  # fmt: skip


@pytest.mark.parametrize("slope", [0.0, 1.5, -1.5])
def test_p_values_are_uniform_where_the_efficiency_is_linear(slope):
    p = []
    for toy in range(300):
        rng = np.random.default_rng([7, toy])
        side, inside = masses(rng, 8000)
        found = conformal_count([scored(rng, side, inside, slope)], side, inside, 0.05)
        assert found is not None
        p.append(found.z)
    z = np.array(p)
    assert -0.25 < z.mean() < 0.1  # a tenth on the safe side
    assert 0.87 < z.std() < 1.13  # three standard errors
    assert kstest(z - z.mean(), "norm").pvalue > 0.01
    assert np.mean(z > 1.645) <= 0.09


def test_weights_are_what_makes_them_so():
    """Without weights a slope of 1.5 shifts the count by many events, because sidebands below hold most events."""
    rng = np.random.default_rng(3)
    side, inside = masses(rng, 400_000)
    s = scored(rng, side, inside, 3.0)
    found = conformal_count([s], side, inside, 0.05)
    assert found.n_obs == pytest.approx(found.n_bkg, rel=0.05)
    plain = np.mean(
        [(s.score[s.fold == f] >= np.quantile(s.side_score[s.side_fold == f], 0.95)).mean() for f in range(N_FOLDS)]
    )
    assert plain * len(inside) > 1.15 * found.n_bkg


def test_a_curved_efficiency_is_what_it_does_not_cover():
    rng = np.random.default_rng(4)
    side, inside = masses(rng, 400_000)
    found = conformal_count([scored(rng, side, inside, 0.0, bend=10.0)], side, inside, 0.05)
    assert found.n_obs < 0.8 * found.n_bkg
    assert found.z < -5


def test_a_signal_is_counted_over_them():
    rng = np.random.default_rng(5)
    side, inside = masses(rng, 100_000)
    s = scored(rng, side, inside, 1.0)
    s.score[:200] = 2.0
    found = conformal_count([s, s], side, inside, 0.01)
    assert found.n_obs - found.n_bkg == pytest.approx(200, abs=45)
    assert 5 < found.z < 20
    few = conformal_count([s], side, inside, 1e-4)
    assert few.m < 10
    assert few.z is None  # too few sideband events pass


def test_weights_give_the_sidebands_the_mean_of_the_region():
    rng = np.random.default_rng(6)
    side, inside = masses(rng, 20_000)
    weights = tilt(side, inside)
    assert weights is not None
    w, own = weights
    assert np.average(np.log(side), weights=w) == pytest.approx(np.log(inside).mean(), abs=1e-9)
    assert w.mean() == pytest.approx(1)
    assert (w > 0).all()
    assert own.shape == inside.shape
    assert np.interp(3500, np.sort(side), w[np.argsort(side)]) == pytest.approx(
        np.interp(3500, np.sort(inside), own[np.argsort(inside)]), rel=0.05
    )
    assert tilt(side[side < 3300], inside) is None
    assert conformal_count([], side[side < 3300], inside, 0.1) is None
