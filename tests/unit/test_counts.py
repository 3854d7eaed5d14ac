from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cathode.background import estimate_background
from cathode.classifier import Scores
from cathode.closure import measure_closure
from cathode.counts import count_passing, efficiency_scores, passing, select_events
from cathode.inference import impacts
from cathode.metrics import roc
from cathode.stats.settings import StatisticsSettings


def make_scores(n=5000, tau=20, seed=0, n_signal=0, members=(5, 2), bias=0.0) -> Scores:
    """Scores of a perfect (or biased) reference: uniform-free normal scores, signal three standard deviations up."""
    rng = np.random.default_rng(seed)
    score = np.concatenate([rng.normal(bias, 1, n), rng.normal(3, 1, n_signal)]).astype(np.float32)
    total = n + n_signal
    ref = rng.normal(0, 1, total * tau).astype(np.float32)
    part = np.where(np.arange(len(ref)) % 5 == 0, 1, 2)
    k = members[0] * members[1]
    return Scores(
        "cathode", f"pseudo{seed:02d}", (3300.0, 3700.0), np.arange(total), np.arange(total) % 5, score,
        np.repeat(score[:, None], 4, axis=1) + rng.normal(0, 0.1, (total, 4)).astype(np.float32),
        ref, rng.integers(0, 5, len(ref)), np.ones(len(ref)), part, np.arange(len(ref)), rng.integers(0, k, len(ref)) if k else -np.ones(len(ref), int),
        np.repeat(ref[part == 1][:, None], 4, axis=1), *members,
    )  # fmt: skip


@pytest.mark.parametrize("eps", [0.1, 0.01, 0.001])
def test_background_only_counts_scatter_around_the_prediction(eps):
    pulls = []
    for seed in range(60):
        c = count_passing((make_scores(seed=seed),), eps)
        pulls.append((c.n_obs - c.n_bkg) / np.sqrt(c.n_bkg * (1 + 1 / c.tau)))
        assert c.n_bkg == pytest.approx(eps * 5000, rel=0.2 if eps > 0.001 else 0.7)
    assert abs(np.mean(pulls)) < 0.45
    assert 0.75 < np.std(pulls) < 1.3


@pytest.mark.parametrize("copies", [1, 10])
def test_an_undivided_reference_gives_an_unbiased_efficiency_even_with_one_event_per_fold(copies):
    """Also where every recorded event comes in copies that score alike: they then pass together or not at all."""
    ratio = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        s = make_scores(n=4000, tau=1, seed=seed, members=(0, 0))
        fold = rng.permutation(np.arange(4000) % 5)
        tile = {
            name: np.repeat(value, copies)
            for name, value in (
                ("ref_score", s.ref_score), ("ref_fold", fold), ("ref_weight", s.ref_weight),
                ("ref_source", np.arange(4000)), ("ref_member", s.ref_member), ("ref_part", np.zeros(4000, int)),
            )
        }  # fmt: skip
        s = dataclasses.replace(s, **tile, ref_threshold_member_score=np.empty((0, 4), np.float32))
        c = count_passing((s,), 0.001)
        ratio.append((c.n_obs, c.n_bkg))
    observed, predicted = np.sum(ratio, axis=0)
    assert observed / predicted == pytest.approx(1, abs=4 * np.sqrt(1 / observed + 1 / predicted))


def test_passing_marks_the_counted_events():
    s = make_scores(n_signal=50)
    for eps in (0.1, 0.01):
        assert passing((s,), eps).sum() == pytest.approx(count_passing((s,), eps).n_obs)
        np.testing.assert_array_equal(
            select_events((s,), eps, efficiency_scores((s,))[0]), np.flatnonzero(passing((s,), eps))
        )


def test_a_selection_over_splits_holds_as_many_events_as_were_counted_and_the_steadiest_ones():
    splits = [make_scores(seed=s, n_signal=50) for s in range(3)]
    n_obs, share = count_passing(splits, 0.01).n_obs, passing(splits, 0.01)
    chosen = select_events(splits, 0.01, efficiency_scores(splits)[0])
    assert share.sum() == pytest.approx(n_obs)
    assert len(chosen) == round(n_obs)
    left = np.setdiff1d(np.arange(len(share)), chosen)
    assert share[chosen].min() >= share[left].max()


def test_the_efficiency_score_is_the_background_efficiency_at_which_an_event_just_passes():
    s = dataclasses.replace(make_scores(tau=4), ref_part=np.zeros(20000, int))
    data, reference, _ = efficiency_scores((s,))
    for eps in (0.1, 0.01):
        cut, share = data >= -np.log10(eps), passing((s,), eps)
        assert np.mean(cut != (share > 0.5)) < 0.1 * eps  # the halves of the reference cut a little apart
    assert np.mean(reference >= 2 - 1e-4) == pytest.approx(0.01, abs=0.0005)


def test_a_signal_is_an_excess_and_its_uncertainties_add_up():
    closure = measure_closure(
        "m3500", [(make_scores(seed=s, members=(2, 2)),) for s in range(12)], (0.01,), overdispersion=(1.0,)
    )
    e = estimate_background((make_scores(n_signal=100),), closure, (0.01,), StatisticsSettings(), (1.2,))[0]
    sigma = e.sigma()
    parts = [sigma[k] for k in ("template", "initialisation", "bootstrap", "non_closure")]
    assert sigma["total"] == pytest.approx(np.sqrt(np.sum(np.square(parts))))
    assert e.counts.n_obs - e.n_bkg > 50
    assert e.generative.z > 5
    assert abs(e.non_closure_mean) < 4 * e.non_closure_sigma


def test_closure_finds_a_planted_bias():
    tests = [(make_scores(seed=s, bias=0.1, members=(2, 2)),) for s in range(12)]
    point = measure_closure("m3500", tests, (0.1,), overdispersion=(1.0,)).points[0]
    from scipy.stats import norm

    planted = np.log(norm.sf(norm.isf(0.1) - 0.1) / 0.1)
    assert point.effects.mu == pytest.approx(planted, abs=4 * point.effects.mu_error)
    assert point.effects.mu > 3 * point.effects.mu_error


def test_splits_of_one_pseudo_signal_region_are_averaged():
    regions = [(make_scores(seed=s, members=(2, 2)), make_scores(seed=100 + s, members=(2, 2))) for s in range(6)]
    found = measure_closure("m3500", regions, (0.01,), overdispersion=(1.0,)).points[0]
    assert found.n_windows == 6
    for splits, observed in zip(regions, found.observed, strict=True):
        assert observed == pytest.approx(np.mean([count_passing((s,), 0.01).n_obs for s in splits]))
    loose, tight = found.with_overdispersion(1.0).effects, found.with_overdispersion(0.5).effects
    assert loose == found.effects
    assert tight.mu_error < loose.mu_error or tight.scatter > loose.scatter


def test_a_random_score_has_sic_sqrt_eps_and_auc_one_half():
    rng = np.random.default_rng(0)
    r = roc(rng.random(100000), rng.random(100000))
    assert r.auc == pytest.approx(0.5, abs=0.005)
    for eps in (0.5, 0.1, 0.01):
        assert r.sic(eps) == pytest.approx(np.sqrt(eps), rel=0.1)


def test_sic_of_two_gaussians_is_analytic():
    from scipy.stats import norm

    rng = np.random.default_rng(1)
    r = roc(rng.normal(2, 1, 200000), rng.normal(0, 1, 200000))
    for eps in (0.1, 0.01):
        assert r.sic(eps) == pytest.approx(norm.sf(norm.isf(eps) - 2) / np.sqrt(eps), rel=0.03)
    assert r.auc == pytest.approx(norm.cdf(2 / np.sqrt(2)), abs=0.003)
    assert r.max_sic() >= r.sic(0.01) * 0.97


def test_copies_of_one_event_count_once():
    """Twenty identical copies of every reference event leave the statistical error of the events themselves."""
    s = make_scores(tau=2, members=(0, 0))
    single = dataclasses.replace(s, ref_part=np.zeros(len(s.ref_score), int))
    tile = {
        f: np.tile(getattr(single, f), 20)
        for f in ("ref_score", "ref_fold", "ref_weight", "ref_part", "ref_source", "ref_member")
    }
    copied = count_passing((dataclasses.replace(single, **tile),), 0.01)
    assert copied.m == pytest.approx(count_passing((single,), 0.01).m, rel=0.15)
    assert copied.n_bkg == pytest.approx(50, rel=0.05)


def test_an_excess_gains_from_every_uncertainty_that_is_taken_away():
    closure = measure_closure(
        "m3500", [(make_scores(seed=s, members=(2, 2)),) for s in range(12)], (0.01,), overdispersion=(1.0,)
    )
    e = estimate_background((make_scores(n_signal=60),), closure, (0.01,), StatisticsSettings(), (1.2,))[0]
    gains = impacts("cathode", e)
    assert set(gains) == {"template", "initialisation", "bootstrap", "non_closure"}
    assert all(g > -1e-9 for g in gains.values())
    largest = max(gains, key=lambda k: gains[k])
    assert e.sigma()[largest] == max(v for k, v in e.sigma().items() if k != "total")


def test_the_oversampling_verdict_is_the_share_of_the_reference_in_the_total_error():
    closure = measure_closure(
        "m3500", [(make_scores(seed=s, members=(2, 2)),) for s in range(12)], (0.01,), overdispersion=(1.0,)
    )
    for tau in (1, 40):
        e = estimate_background((make_scores(tau=tau),), closure, (0.01,), StatisticsSettings(), (1.0,))[0]
        others = 1 / e.n_bkg + e.relative_sigma**2
        share = np.sqrt(1 + (1 / e.counts.m) / others) - 1  # how much the reference's count adds to the error
        assert e.oversampling()["enough"] == (share < 0.0489)
