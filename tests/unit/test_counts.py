from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm, poisson

from cathode.classifier.scores import MethodScores, SplitScores
from cathode.errors import FitError
from cathode.events import Events, Role
from cathode.inference.background import combine, estimate_background, half_ensembles
from cathode.inference.closure import Closure, ClosurePoint, CountedRegion, combine_regions, link_points
from cathode.inference.counts import count_passing, efficiency_scores, passing, select, select_events
from cathode.inference.hunt import infer_blind
from cathode.inference.truth import roc
from cathode.regions import Window
from cathode.report.render import bias, mass
from cathode.stats.random_effects import RandomEffects
from cathode.stats.settings import StatisticsSettings
from cathode.template.sidebands import SidebandClosure

WINDOW = Window("m3500", (3300.0, 3700.0), (2300.0, 8000.0))


def make_scores(n=5000, tau=20, seed=0, n_signal=0, members=(5, 2), bias=0.0) -> SplitScores:
    """Scores of a perfect (or biased) reference: uniform-free normal scores, signal three standard deviations up."""
    rng = np.random.default_rng(seed)
    score = np.concatenate([rng.normal(bias, 1, n), rng.normal(3, 1, n_signal)]).astype(np.float32)
    total = n + n_signal
    ref = rng.normal(0, 1, total * tau).astype(np.float32)
    role = np.where(np.arange(len(ref)) % 5 == 0, Role.THRESHOLD, Role.EFFICIENCY)
    k = members[0] * members[1]
    noise = rng.normal(0, 0.1, (total, 4)).astype(np.float32)
    ref_fold = rng.integers(0, 5, len(ref))
    return SplitScores(
        method="cathode",
        window=f"pseudo{seed:02d}",
        interval=(3300.0, 3700.0),
        row=np.arange(total),
        fold=np.arange(total) % 5,
        score=score,
        member_score=np.repeat(score[:, None], 4, axis=1) + noise,
        ref_score=ref,
        ref_fold=ref_fold,
        ref_weight=np.ones(len(ref)),
        ref_role=role,
        ref_source=np.arange(len(ref)),
        ref_member=rng.integers(0, k, len(ref)) if k else -np.ones(len(ref), int),
        ref_threshold_member_score=np.repeat(ref[role == Role.THRESHOLD][:, None], 4, axis=1),
        n_bootstraps=members[0],
        n_seeds=members[1],
    )


def closure_of(tests, eps: float, overdispersion: float = 1.0) -> Closure:
    """Closure of pseudo signal regions, each a tuple of its fold splits."""
    regions = []
    for i, splits in enumerate(tests):
        interval = (4000.0 + 400 * i, 4400.0 + 400 * i)
        named = tuple(dataclasses.replace(s, window=f"p{i}", interval=interval) for s in splits)
        regions.append(CountedRegion.of(named, (eps,)))
    return combine_regions(
        WINDOW, "cathode", regions, working_points=(eps,), overdispersion=(overdispersion,), statistics=StatisticsSettings(scatter_floor=((eps, 0.0),)), correlation_length=1.0
    )  # fmt: skip


def estimate(scores, closure, overdispersion: float = 1.0):
    statistics = StatisticsSettings(overdispersion=overdispersion)
    found = estimate_background(MethodScores((scores,)), closure, working_points=(0.01,), statistics=statistics)
    return found.points[0]


TESTS = [(make_scores(seed=s, members=(2, 2)),) for s in range(12)]


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
    ratio, both = [], np.full(4000, Role.THRESHOLD_AND_EFFICIENCY)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        s = make_scores(n=4000, tau=1, seed=seed, members=(0, 0))
        fold = rng.permutation(np.arange(4000) % 5)
        tile = {
            name: np.repeat(value, copies)
            for name, value in (
                ("ref_score", s.ref_score), ("ref_fold", fold), ("ref_weight", s.ref_weight),
                ("ref_source", np.arange(4000)), ("ref_member", s.ref_member), ("ref_role", both),
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
    s = dataclasses.replace(make_scores(tau=4), ref_role=np.full(20000, Role.THRESHOLD_AND_EFFICIENCY))
    data, reference, _ = efficiency_scores((s,))
    for eps in (0.1, 0.01):
        cut, share = data >= -np.log10(eps), passing((s,), eps)
        assert np.mean(cut != (share > 0.5)) < 0.1 * eps  # the halves of the reference cut a little apart
    assert np.mean(reference >= 2 - 1e-4) == pytest.approx(0.01, abs=0.0005)


def test_a_signal_is_an_excess_and_its_uncertainties_add_up():
    closure = closure_of(TESTS, 0.01)
    e = estimate(make_scores(n_signal=100), closure, 1.2)
    sigma = e.sigma()
    parts = [getattr(sigma, k) for k in ("template", "initialisation", "bootstrap", "non_closure")]
    assert sigma.total == pytest.approx(np.sqrt(np.sum(np.square(parts))))
    assert e.counts.n_obs - e.n_bkg > 50
    assert e.generative.z > 5
    assert abs(e.non_closure.mean) < 4 * e.non_closure.mean_error


def test_closure_finds_a_planted_bias():
    tests = [(make_scores(seed=s, bias=0.1, members=(2, 2)),) for s in range(12)]
    point = closure_of(tests, 0.1).points[0]
    planted = np.log(norm.sf(norm.isf(0.1) - 0.1) / 0.1)
    assert point.effects.mean == pytest.approx(planted, abs=4 * point.effects.mean_error)
    assert point.effects.mean > 3 * point.effects.mean_error


def test_splits_of_one_pseudo_signal_region_are_averaged():
    regions = [(make_scores(seed=s, members=(2, 2)), make_scores(seed=100 + s, members=(2, 2))) for s in range(6)]
    found = closure_of(regions, 0.01).points[0]
    assert found.n_windows == 6
    for splits, observed in zip(regions, found.observed, strict=True):
        assert observed == pytest.approx(np.mean([count_passing((s,), 0.01).n_obs for s in splits]))
    assert found.with_overdispersion(1.0) == found


def point_of(observed, predicted, error: float) -> ClosurePoint:
    """Closure of independent regions that lie far from the window; its effects are those of `with_overdispersion`."""
    n = len(observed)
    nothing = RandomEffects(
        mu=0.0, mu_error=0.0, scatter=0.0, degrees_of_freedom=1.0, seen=0.0, mean=0.0, mean_error=0.0, p_homogeneous=1.0
    )
    return ClosurePoint(
        eps_bkg=0.1, n_windows=n, effects=nothing, sigma_boot=0.0, sigma_init=0.0, observed=tuple(observed), predicted=tuple(predicted),
        relative_error=(error,) * n, correlation=tuple(map(tuple, np.eye(n).tolist())), position=tuple(100.0 * (1 + i) for i in range(n)),
        floor=0.0,
    )  # fmt: skip


def test_closure_of_counts_of_known_variance_has_the_error_of_their_sum():
    """Windows that agree, predictions without error: mu = ln(sum n / sum b) with error sqrt(v / sum n)."""
    b = np.array([40.0, 90.0, 160.0, 250.0, 60.0])
    point = point_of(1.1 * b, b, 0.0)
    for v in (0.5, 1.0, 2.0):
        found = point.with_overdispersion(v).effects
        assert found.scatter == 0
        assert found.mu == pytest.approx(np.log(1.1))
        assert found.mu_error == pytest.approx(np.sqrt(v / (1.1 * b.sum())))


def test_a_random_score_has_sic_sqrt_eps_and_auc_one_half():
    rng = np.random.default_rng(0)
    r = roc(rng.random(100000), rng.random(100000))
    assert r.auc == pytest.approx(0.5, abs=0.005)
    for eps in (0.5, 0.1, 0.01):
        assert r.sic(eps) == pytest.approx(np.sqrt(eps), rel=0.1)


def test_sic_of_two_gaussians_is_analytic():
    rng = np.random.default_rng(1)
    r = roc(rng.normal(2, 1, 200000), rng.normal(0, 1, 200000))
    for eps in (0.1, 0.01):
        assert r.sic(eps) == pytest.approx(norm.sf(norm.isf(eps) - 2) / np.sqrt(eps), rel=0.03)
    assert r.auc == pytest.approx(norm.cdf(2 / np.sqrt(2)), abs=0.003)
    assert r.max_sic() == pytest.approx(4.40, rel=0.03)  # of the curve above the floor
    rng = np.random.default_rng(12)
    small = roc(rng.normal(2, 1, 2000), rng.normal(0, 1, 2000))  # without a floor: 5.7, of a few events
    assert small.max_sic() == pytest.approx(norm.sf(norm.isf(small.sic_floor) - 2) / np.sqrt(small.sic_floor), rel=0.12)


def test_copies_of_one_event_count_once():
    """Twenty identical copies of every reference event leave the statistical error of the events themselves."""
    s = make_scores(tau=2, members=(0, 0))
    single = dataclasses.replace(s, ref_role=np.full(len(s.ref_score), Role.THRESHOLD_AND_EFFICIENCY))
    tile = {
        f: np.tile(getattr(single, f), 20)
        for f in ("ref_score", "ref_fold", "ref_weight", "ref_role", "ref_source", "ref_member")
    }
    copied = count_passing((dataclasses.replace(single, **tile),), 0.01)
    assert copied.m == pytest.approx(count_passing((single,), 0.01).m, rel=0.15)
    assert copied.n_bkg == pytest.approx(50, rel=0.05)


def test_an_excess_gains_from_every_uncertainty_that_is_taken_away():
    closure = closure_of(TESTS, 0.01)
    e = estimate(make_scores(n_signal=60), closure, 1.2)
    gains = dataclasses.asdict(e.impacts())
    assert set(gains) == {"template", "initialisation", "bootstrap", "non_closure"}
    assert all(g > -1e-9 for g in gains.values())
    largest = max(gains, key=lambda k: gains[k])
    sigma = dataclasses.asdict(e.sigma())
    assert sigma[largest] == max(v for k, v in sigma.items() if k != "total")


def test_the_significance_is_a_curve_of_the_declared_scatter():
    """The one that is declared gives the quoted value, a larger one less; with none declared there is no curve."""
    scores = [make_scores(n_signal=60), make_scores(n_signal=60, seed=1)]
    regions = []
    for i, (s,) in enumerate(TESTS):
        named = dataclasses.replace(s, window=f"p{i}", interval=(4000.0 + 400 * i, 4400.0 + 400 * i))
        regions.append(CountedRegion.of((named,), (0.1, 0.01)))
    statistics = StatisticsSettings()
    closure = combine_regions(
        WINDOW, "cathode", regions, working_points=(0.1, 0.01), overdispersion=(1.0, 1.0), statistics=statistics, correlation_length=1.0
    )  # fmt: skip
    found = estimate_background(MethodScores(tuple(scores)), closure, working_points=(0.1, 0.01), statistics=statistics)
    for e, floor in zip(found.points, (0.02, 0.05), strict=True):
        assert [at.declared / floor for at in e.by_scatter] == pytest.approx([0.5, 1, 1.5, 2, 3])
        z = [at.z for at in e.by_scatter]
        assert z[1] == pytest.approx(e.z(), abs=1e-12)
        assert np.all(np.diff(z) < 0)
    assert estimate(scores[0], closure_of(TESTS, 0.01)).by_scatter == ()


def test_the_waterfall_leads_from_a_poisson_tail_to_the_quoted_significance():
    e = estimate(make_scores(n_signal=60), closure_of(TESTS, 0.01))
    stages = {stage.source: stage.z for stage in e.waterfall()}
    assert list(stages) == ["counting", "closure_shift", "template", "initialisation", "bootstrap", "non_closure"]
    assert stages["non_closure"] == pytest.approx(e.z(), abs=1e-12)
    assert e.z() < stages["bootstrap"] <= stages["initialisation"] <= stages["template"] < stages["closure_shift"]
    for source, expected in (("counting", e.counts.n_bkg), ("closure_shift", e.n_bkg)):
        assert stages[source] == pytest.approx(norm.isf(poisson.sf(e.counts.n_obs - 1, expected)), abs=1e-3)
    assert [s.source for s in dataclasses.replace(e, method="idealised").waterfall()] == ["counting"]


def test_the_oversampling_verdict_is_the_share_of_the_reference_in_the_total_error():
    closure = closure_of(TESTS, 0.01)
    verdicts = []
    for tau in (2, 40):
        e = estimate(make_scores(tau=tau), closure)
        error = [np.hypot(np.sqrt(c.n_bkg), c.sigma().total) for c in (e, e.without("template"))]
        verdicts.append(e.oversampling().enough)
        assert verdicts[-1] == (error[0] / error[1] < 1.0489)  # what the reference's count adds to the whole error
    assert verdicts == [False, True]


def test_an_efficiency_that_cannot_be_reached_is_measured_and_said():
    """Equal scores pass together, and sixty reference events in a fold have no threshold at 0.001."""
    fine = count_passing((make_scores(),), 0.01)
    assert fine.reached == pytest.approx(0.01, rel=0.15)
    assert fine.missed == ""
    s = make_scores()
    tied = dataclasses.replace(s, score=np.zeros_like(s.score), ref_score=np.zeros_like(s.ref_score))
    everything = count_passing((tied,), 0.01)
    assert (everything.n_obs, everything.reached) == (everything.n_sr, 1.0)
    assert "asked for a background efficiency of 0.01, reached 1" in everything.missed
    few = [count_passing((make_scores(n=1500, tau=1, seed=seed),), 0.001) for seed in range(100)]
    assert np.mean([c.reached for c in few]) == pytest.approx(1 / 61, rel=0.2)  # of a threshold at the highest of sixty
    assert np.mean(["reached" in c.missed for c in few]) > 0.9


def test_blind_numbers_use_the_efficiency_that_was_reached():
    regions = [
        (
            dataclasses.replace(
                s := make_scores(seed=i), score=np.zeros_like(s.score), ref_score=np.zeros_like(s.ref_score)
            ),
        )
        for i in range(6)
    ]
    closure = closure_of(regions, 0.01)
    assert closure.points[0].reached == 1.0
    density = SimpleNamespace(mass=SimpleNamespace(expected=lambda: (200.0, 5.0), p_value=0.5))
    (entry,) = infer_blind(
        closure, density, window=Window("w", (3300, 3700), (2300, 8000)), working_points=(0.01,)
    ).entries
    assert entry.n_bkg_uncorrected == 200.0
    assert entry.eps_bkg_reached == 1.0
    assert "reached 1" in entry.flags[1]


def test_regions_that_were_left_out_are_said_in_blind_and_open_hunts_alike():
    closure = dataclasses.replace(closure_of(TESTS, 0.01), left_out=("pseudo1", "pseudo2"))
    density = SimpleNamespace(mass=SimpleNamespace(expected=lambda: (200.0, 5.0), p_value=0.5))
    (blind,) = infer_blind(closure, density, window=WINDOW, working_points=(0.01,)).entries
    opened = estimate(make_scores(), closure)
    for flags in (blind.flags, opened.flags):
        assert sum("2 pseudo signal regions may hold a signal" in flag for flag in flags) == 1


def test_counts_come_in_steps_of_the_cuts_that_an_event_may_pass():
    """Two fold splits, whose undivided references are halved, each half choosing for the other."""
    divided = make_scores()
    role = np.where(np.arange(len(divided.ref_role)) % 2, Role.THRESHOLD, Role.EFFICIENCY)
    divided = dataclasses.replace(divided, ref_role=role)
    whole = dataclasses.replace(divided, ref_role=np.full_like(role, Role.THRESHOLD_AND_EFFICIENCY))
    for splits in ((divided,), (divided, divided), (whole,), (whole, whole, whole)):
        counts = count_passing(splits, 0.01)
        per_event = passing(splits, 0.01)
        assert set(np.round(per_event / counts.step % 1, 6)) <= {0.0, 1.0}
        assert counts.step == pytest.approx((0.5 if splits[0] is whole else 1.0) / len(splits))


def test_selected_events_keep_their_identifiers():
    scores = make_scores(n=2000)
    order = np.random.default_rng(0).permutation(3000)
    events = Events(("x",), order, np.full(3000, 3500.0), np.zeros((3000, 1)), ("event",), (2**60 + order,))
    (found,) = select(events, MethodScores((scores,)), working_points=(0.1,))
    assert len(found.row) > 100
    np.testing.assert_array_equal(found.identifiers[0], 2**60 + found.row)


def test_no_more_background_is_predicted_than_there_are_events():
    """A closure that asks for a factor fifty on a tenth of the events."""
    point = point_of(np.full(5, 50.0), np.ones(5), 0.1).with_overdispersion(1.0)
    counts = count_passing((make_scores(),), 0.1)
    found = combine("cathode", counts, (5, 2), point, StatisticsSettings(), 1.0)
    assert found.n_bkg == counts.n_sr == 5000
    assert any("more than the 5000 there are" in flag for flag in found.flags)


@pytest.mark.parametrize(
    ("ratio", "error", "said"), [(1.175, 0.024, True), (1.05, 0.005, False), (1.3, 0.2, False), (0.8, 0.03, True)]
)
def test_a_density_that_fails_on_its_own_sidebands_is_flagged(ratio, error, said):
    bins = ((2000.0, 2500.0), (2500.0, 3000.0))
    closure = SidebandClosure("w", bins, (1.0, 0.01), ((1.0, 1.0),) * 2, ((1.0, 1.0),) * 2, (1.0, ratio), (0.01, error))
    assert closure.doubts == (
        (
            f"density: it does not describe its own sidebands: recorded over generated {ratio:.3f} +- {error:.3f} at 0.01",
        )
        if said
        else ()
    )
    density = SimpleNamespace(mass=SimpleNamespace(expected=lambda: (200.0, 5.0), p_value=0.5))
    (entry,) = infer_blind(closure_of(TESTS, 0.01), density, closure, window=WINDOW, working_points=(0.01,)).entries
    assert any("own sidebands" in flag for flag in entry.flags) is said


def test_tables_and_figures_of_the_report_say_the_same():
    """Closure as a ratio everywhere, and masses with the digits that a narrow window needs."""
    assert bias(np.log(1.175)) == "17.5 %"
    assert bias(np.log(0.5)) == "-50.0 %"
    assert [mass(m) for m in (9.2, 9.7, 3300.0, 91.1875, 2300.5)] == ["9.2", "9.7", "3300", "91.1875", "2300.5"]


def test_a_working_point_without_any_reference_is_refused_in_words():
    empty = dataclasses.replace(count_passing((make_scores(),), 0.01), n_bkg=0.0, m=0.0, member_counts=(0.0,) * 10)
    with pytest.raises(FitError, match=r"cathode at 0\.01: found no event of the reference behind its cuts"):
        combine("cathode", empty, (5, 2), None, StatisticsSettings(), 1.0)


def test_weights_of_the_reference_make_another_background_of_it():
    """Events drawn half a standard deviation too high, weighted back to the background: what passes is that of the weighted ones."""
    s = make_scores(n=20000, tau=4, members=(0, 0))
    x = s.ref_score + 0.5
    s = dataclasses.replace(s, ref_score=x, ref_weight=np.exp(-0.5 * x + 0.125))
    c = count_passing((s,), 0.1)
    assert c.n_bkg == pytest.approx(20000 * norm.sf(norm.isf(0.1) + 0.5), rel=0.06)  # 2055 without weights
    assert abs(c.n_obs - c.n_bkg) < 4 * np.sqrt(c.n_bkg * (1 + 1 / c.tau))


def test_half_of_the_members_expect_what_the_other_half_sees():
    found = half_ensembles((make_scores(n=20000),), 0.01)
    assert (found.observed, found.background) == pytest.approx((200, 200), abs=45)


def test_the_sequential_estimate_leaves_the_first_fold_out_and_is_as_significant():
    def without_first(score: np.ndarray, fold: np.ndarray) -> np.ndarray:
        return np.where(fold == 0, np.nan, score).astype(np.float32)

    s = make_scores(n_signal=100)
    s = dataclasses.replace(
        s, sequential_score=without_first(s.score, s.fold), ref_sequential_score=without_first(s.ref_score, s.ref_fold)
    )
    c = count_passing((s.sequential(),), 0.01)
    assert c.n_sr == (s.fold > 0).sum()
    assert c.n_obs == pytest.approx(passing((s,), 0.01)[s.fold > 0].sum())
    e = estimate(s, closure_of(TESTS, 0.01))
    assert 0.8 * e.z() < e.sequential_z() < e.z()


@pytest.mark.parametrize(("shift", "factor"), [("always", 0.8), ("positive", 1.0)])
def test_a_bias_that_would_lower_the_background_is_applied_as_configured(shift, factor):
    low = point_of(np.full(5, 80.0), np.full(5, 100.0), 0.01).with_overdispersion(1.0)
    c = count_passing((make_scores(),), 0.1)
    found = combine("cathode", c, (5, 2), low, StatisticsSettings(shift=shift), 1.0)
    assert found.n_bkg / c.n_bkg == pytest.approx(factor)
    two = (low, dataclasses.replace(low, eps_bkg=0.01, floor=0.05))
    assert link_points(two, StatisticsSettings(link_working_points=False)) == two
    assert link_points(two, StatisticsSettings()) != two
