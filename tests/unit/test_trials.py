from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import combine_pvalues, multivariate_normal, norm

from cathode.inference.shared import Passing, correlate, shared_events
from cathode.inference.total import (
    correlation_of,
    global_significance,
    list_searches,
    merge_excesses,
    window_significances,
)
from cathode.results import HuntResult
from cathode.stats.counting import fisher, sidak
from cathode.stats.joint import Joint
from cathode.stats.trials import p_smallest, sidak_trials
from cathode.summary import Inclusive

MATRIX = np.array([[1.0, 0.3, 0.1], [0.3, 1.0, 0.3], [0.1, 0.3, 1.0]])


@pytest.mark.parametrize("p", [0.3, 0.05, 1e-3])
def test_the_smallest_of_correlated_p_values_against_the_normal_integral(p):
    """scipy integrates the three-dimensional normal distribution by another method."""
    inside = multivariate_normal(cov=MATRIX, abseps=1e-10, releps=1e-10, maxpts=3_000_000).cdf([norm.isf(p)] * 3)
    assert p_smallest(p, MATRIX, seed=1) == pytest.approx(1 - inside, rel=4e-3)


@pytest.mark.parametrize("p", [0.5, 0.05, 1e-3, 1e-7, 1e-12])
def test_independent_trials_are_sidak_s_and_equal_ones_are_one(p):
    assert p_smallest(p, np.eye(6), seed=2) == pytest.approx(sidak(p, 6), rel=0.01)
    assert p_smallest(p, np.ones((6, 6)), seed=2) == pytest.approx(p)
    assert p_smallest(p, np.eye(1), seed=2) == p
    assert sidak_trials(p, sidak(p, 6)) == pytest.approx(6, rel=1e-3)


def test_the_ends_of_p_values():
    assert p_smallest(1.0, MATRIX, seed=1) == 1.0
    assert 0 < p_smallest(0.0, MATRIX, seed=1) < 1e-290
    assert sidak_trials(0.0, 3e-300) == pytest.approx(3)


def test_a_published_scan():
    """Nine windows of 0.4 TeV in steps of 0.1 TeV that select the same events: an independent Poisson toy gave 7.2 at 3 sigma."""
    share = np.maximum(0.0, 1 - np.abs(np.subtract.outer(range(9), range(9))) / 4)
    p = norm.sf(3)
    assert sidak_trials(p, p_smallest(p, share, seed=3)) == pytest.approx(7.2, abs=0.4)


def test_fisher_s_product_against_scipy():
    for first, second in ((0.05, 0.05), (1e-5, 0.7), (1.0, 0.2), (1e-9, 1e-8)):
        assert fisher(first, second) == pytest.approx(combine_pvalues([first, second]).pvalue)
    assert fisher(1.0, 1.0) == 1.0


def passed(window: str, row: list[int], *shares: list[float]) -> Passing:
    """What passes two hunts of a window."""
    names = (f"{window}_cathode_0.01", f"{window}_cwola_0.01")
    return Passing(hunts=names, row=np.array(row), share=np.array(shares, dtype=np.float32).T)


def test_events_in_common_are_the_covariance_of_poisson_counts():
    """Against toys in which every event is a Poisson variable of its own."""
    parts = [
        passed("a", [3, 5, 8], [1.0, 0.5, 0.0], [1.0, 0.0, 1.0]),
        passed("b", [5, 8, 9], [0.5, 1.0, 1.0], [0.0, 1.0, 0.0]),
    ]
    hunts = ["b_cathode_0.01", "a_cathode_0.01", "a_cwola_0.01", "c_cathode_0.01"]
    found = shared_events(parts, hunts)
    events = np.random.default_rng(4).poisson(1.0, (200_000, 4)).astype(float)  # rows 3, 5, 8, 9
    weights = np.array([[0, 0.5, 1, 1], [1, 0.5, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(found, np.cov(weights @ events.T), atol=0.03)
    assert (shared_events([], hunts) == 0).all()


def test_a_correlation_is_of_the_whole_variance():
    shared = np.array([[100.0, 50.0], [50.0, 100.0]])
    assert correlate(shared, np.array([100.0, 100.0]))[0, 1] == pytest.approx(0.5)
    assert correlate(shared, np.array([400.0, 400.0]))[0, 1] == pytest.approx(0.125)
    assert correlate(shared, np.array([1.0, 1.0]))[0, 1] == pytest.approx(0.5)  # not more than the counts have
    assert correlate(np.zeros((2, 2)), np.zeros(2)) == pytest.approx(np.eye(2))


def entry(window, p, method="cathode", eps=0.01):
    return HuntResult(window="w", signal_region=window, method=method, eps_bkg=eps, n_bkg=100.0, p_local=p)


def test_global_significance_counts_hunts_that_share_events_less_and_references_never():
    windows = [(3000.0 + 100 * i, 3400.0 + 100 * i) for i in range(5)]
    entries = [entry(w, 1e-4 * (i + 1)) for i, w in enumerate(windows)] + [entry(windows[0], 1e-30, "supervised")]
    entries = [dataclasses.replace(e, window=f"w{i}") for i, e in enumerate(entries)]
    searches = list_searches(entries, (), "smallest")
    apart = global_significance(searches)
    assert apart.trials == 5
    assert apart.p_sidak == pytest.approx(1 - (1 - 1e-4) ** 5)
    assert apart.p_global == pytest.approx(apart.p_sidak, rel=0.01)
    rows = np.arange(100)
    common = [
        Passing(hunts=(e.name,), row=rows + 20 * i, share=np.ones((100, 1), dtype=np.float32))
        for i, e in enumerate(entries[:5])
    ]
    found = global_significance(searches, common)
    assert 3 < found.trials_effective < 4.9
    assert 3e-4 < found.p_global < apart.p_global
    assert found.z_global == pytest.approx(norm.isf(found.p_global))
    alone = global_significance(searches[:1])
    assert alone.trials_effective == pytest.approx(1)
    assert alone.p_global == 1e-4
    assert list_searches([entry(windows[0], None)], (), "smallest") == []
    assert global_significance([]).p_global is None


def test_one_number_per_window_is_that_of_its_own_hunts():
    hunts = [
        entry((1.0, 2.0), 1e-3),
        entry((1.0, 2.0), 2e-3, "cwola"),
        entry((3.0, 4.0), 0.3),
        entry((1.0, 2.0), 1e-30, "supervised"),
    ]
    hunts[2] = dataclasses.replace(hunts[2], window="far")
    own = Inclusive(window="w", signal_region=(1.0, 2.0), n_obs=10, expected=9.0, sigma=1.0, p=0.01, z=2.33)
    first, far = window_significances(hunts, inclusive=[own])
    assert (first.window, first.method, first.p_local, first.trials) == ("w", "cathode", 1e-3, 2)
    assert first.p == pytest.approx(sidak(1e-3, 2), rel=0.01)
    assert first.p_combined == pytest.approx(fisher(first.p, 0.01))
    assert (far.window, far.p, far.trials, far.p_combined, far.z_combined) == ("far", 0.3, 1, None, None)
    assert window_significances([entry((1.0, 2.0), None)]) == ()


def joint(window: str, p: float, method: str = "cathode") -> Joint:
    return Joint(window=window, method=method, eps_bkg=(0.1, 0.01), weights=(0.1, 1.0), p=p, z=float(norm.isf(p)))


def test_the_test_that_is_quoted_is_that_of_the_configuration():
    """All working points in one test lead with their own p-value, by the working point that is strongest; one by one they count as trials."""
    hunts = [entry((1.0, 2.0), p, method, eps) for method, eps, p in
             [("cathode", 0.1, 1e-3), ("cathode", 0.01, 1e-4), ("cwola", 0.1, 1e-5), ("cwola", 0.01, 0.2)]]  # fmt: skip
    tests = [joint("w", 1e-6), joint("w", 1e-3, "cwola")]
    (together,) = window_significances(hunts, tests)
    assert (together.method, together.eps_bkg, together.p_local, together.trials) == ("cathode", 0.01, 1e-6, 2)
    assert together.p == together.p_joint == pytest.approx(sidak(1e-6, 2), rel=0.01)
    (one_by_one,) = window_significances(hunts, tests, test="smallest")
    assert (one_by_one.method, one_by_one.eps_bkg, one_by_one.p_local, one_by_one.trials) == ("cwola", 0.1, 1e-5, 4)
    assert one_by_one.p == one_by_one.p_smallest == together.p_smallest == pytest.approx(sidak(1e-5, 4), rel=0.01)
    assert [len(list_searches(hunts, tests[:1], "joint")), len(list_searches(hunts, tests, "smallest"))] == [3, 4]


def test_weighted_counts_that_share_events_against_toys():
    """Two methods that select partly the same events, each at two working points of which the tighter lies inside the looser."""
    rng = np.random.default_rng(5)
    n = 1500  # events that may be there, each a Poisson variable
    loose = {"cathode": np.arange(1000), "cwola": np.arange(400, 1500)}
    tight = {"cathode": np.arange(300, 500), "cwola": np.arange(450, 700)}
    hunts, parts, counts = [], [], []
    for method in ("cathode", "cwola"):
        for eps, rows in ((0.1, loose[method]), (0.01, tight[method])):
            h = dataclasses.replace(entry((1.0, 2.0), 0.1, method, eps), n_bkg=float(len(rows)))
            hunts.append(h)
            parts.append(Passing(hunts=(h.name,), row=rows, share=np.ones((len(rows), 1), dtype=np.float32)))
            counts.append(np.isin(np.arange(n), rows))
    searches = list_searches(hunts, [joint("w", 0.1), joint("w", 0.1, "cwola")], "joint")
    events = rng.poisson(1.0, (20_000, n)).astype(float)
    passed_of = [events @ c for c in counts]
    totals = [0.1 * (a - b) + 1.0 * b for a, b in (passed_of[:2], passed_of[2:])]
    expected = np.corrcoef(totals)[0, 1]
    assert 0.1 < expected < 0.6
    assert correlation_of(searches, parts)[0, 1] == pytest.approx(expected, abs=0.02)
    assert [s.variance for s in searches] == pytest.approx(np.var(totals, axis=1), rel=0.05)


def seen(low: float, z: float, method: str = "cathode", eps: float = 0.01) -> HuntResult:
    p = float(norm.sf(z))
    name = f"m{low + 200:g}"
    return HuntResult(
        window=name, signal_region=(low, low + 400), method=method, eps_bkg=eps, n_bkg=100.0, p_local=p, z_local=z
    )


def test_neighbouring_excesses_are_one():
    scan = [
        seen(2900, 0.3),
        seen(3000, 2.5),
        seen(3200, 4.0),
        seen(3300, 6.0),
        seen(3300, 3.0, eps=0.1),
        seen(3400, 5.0),
        seen(3800, 2.2),
        seen(4200, 3.5),
        seen(4400, 1.0),
    ]
    first, second = merge_excesses(window_significances(scan))
    assert (first.window, round(first.z_local, 6), first.eps_bkg) == ("m3500", 6.0, 0.01)
    assert first.neighbours == ("m3200", "m3400", "m3600", "m4000")  # tails reach m4000, and m3100 was quiet
    assert (second.window, second.neighbours) == ("m4400", ())
    assert merge_excesses(window_significances([seen(3300, 9.0, method="supervised"), seen(3300, 2.9)])) == ()
    assert merge_excesses(window_significances([entry((1.0, 2.0), None)])) == ()
