"""Calibration: verdicts on planted cases, pseudo-data against their truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from cathode.calibration.measure import measure_calibration, measure_overdispersion
from cathode.calibration.pseudo_data import Background, inject, is_signal
from cathode.calibration.results import (
    ClassifierCount,
    ClassifierExperiments,
    EfficiencyPoint,
    PseudoExperiment,
    PseudoExperiments,
    SharedEvents,
    SignalMeasured,
)
from cathode.calibration.verdicts import (
    clopper_pearson,
    effective_trials,
    linearity,
    overdispersion,
    produced_signal,
    pulls,
    signal_efficiency,
    uniformity,
)
from cathode.events import Events
from cathode.inference.background import combine
from cathode.inference.closure import ClosurePoint, known_overdispersion
from cathode.inference.counts import PassingCounts
from cathode.regions import Window
from cathode.stats.counting import p_predictive
from cathode.stats.random_effects import RandomEffects
from cathode.stats.settings import StatisticsSettings

WINDOW = Window("m3000", (2800.0, 3200.0), (2000.0, 5000.0))
SURE = ClosurePoint(  # a closure that is known
    eps_bkg=0.1, n_windows=4, sigma_boot=0.0, sigma_init=0.0, observed=(1e8,) * 4, predicted=(1e8,) * 4, relative_error=(0.0,) * 4,
    correlation=tuple(map(tuple, np.eye(4).tolist())), position=(9.0, 29.0, 49.0, 69.0), floor=0.0,
    effects=RandomEffects(
        mu=0.0, mu_error=0.0, scatter=0.0, degrees_of_freedom=3.0, seen=0.0, mean=0.0, mean_error=0.0, p_homogeneous=0.5
    ),
)  # fmt: skip


def scans(shared):
    """Scans of two windows, whose counts are Poisson's, and a third whose counts repeat the first's: worth two; measured with what is known to be shared."""
    rng, toys = np.random.default_rng(4), []
    for t in range(300):
        first, second = rng.poisson(400.0, 2)
        for window, n in (("m3000", first), ("m3500", second), ("m3600", first)):
            counts = PassingCounts(
                eps_bkg=0.1, n_sr=4000, n_obs=float(n), n_bkg=400.0, m=1e7, member_counts=(), independent_members=True, n_splits=1
            )  # fmt: skip
            toys.append(
                PseudoExperiment(
                    toy=t, strength=None, window=window, method="cathode", n_bootstraps=0, n_seeds=0, counts=(counts,), closure=(SURE,),
                    n_expected=4000.0, n_expected_error=5.0, n_signal=0, n_signal_passing=(0.0,),
                )
            )  # fmt: skip
    null, _ = measure_calibration(
        [PseudoExperiments(window="m3000", experiments=tuple(toys), shared=tuple(shared))],
        methods=("cathode",), working_points=(0.1,), statistics=StatisticsSettings(),
    )  # fmt: skip
    assert [v.window for v in null.verdicts] == ["m3000", "m3500", "m3600"]
    assert all(v.n == 300 and v.passes for v in null.verdicts)
    assert null.trials.tests == 3
    assert null.trials.effective == pytest.approx(2, abs=0.35)
    for e in null.experiments[:5]:  # what is kept of an experiment gives its p-value again
        again = p_predictive(
            e.n_obs, e.m, e.m / e.n_bkg, mu=0.0, sigma=e.known_sigma, scatter=e.scatter, nu=e.degrees_of_freedom or np.inf
        )  # fmt: skip
        assert again == pytest.approx(e.p_local, rel=1e-9)
    smallest = [min(e.p_mid for e in null.experiments if e.toy == t) for t in range(300)]
    np.testing.assert_allclose(null.trials.p_sidak, 1 - (1 - np.array(smallest)) ** 3)
    return null


def test_every_window_has_its_verdict_and_the_scan_its_global_p_value():
    null = scans([])
    np.testing.assert_allclose(null.trials.p_global, null.trials.p_sidak, rtol=0.02)
    assert not null.trials.verdict.passes  # three trials are counted for two
    assert null.trials.verdict.conservative
    assert [w.window for w in null.trials.windows] == ["m3000", "m3500", "m3600"]
    assert null.trials.windows[1].p == tuple(e.p_mid for e in null.experiments if e.window == "m3500")
    assert [(j.window, j.method, j.n) for j in null.joint] == [(w, "cathode", 300) for w in ("m3000", "m3500", "m3600")]
    assert null.joint[1].p == tuple(e.p_local for e in null.experiments if e.window == "m3500")  # of one working point


def test_events_that_hunts_share_make_the_global_p_value_uniform():
    """The third window counts the very events of the first. Half of the experiments have kept that, the others take it from these."""
    names = ("m3600_cathode_0.1", "m3500_cathode_0.1", "m3000_cathode_0.1")
    events = ((400.0, 0.0, 400.0), (0.0, 400.0, 0.0), (400.0, 0.0, 400.0))
    null = scans([SharedEvents(toy=t, hunts=names, events=events) for t in range(0, 300, 2)])
    assert null.trials.verdict.passes
    assert np.median(np.divide(null.trials.p_global, null.trials.p_sidak)) < 0.95


@pytest.mark.parametrize(("k", "n"), [(0, 20), (3, 20), (20, 20), (7, 1000)])
def test_clopper_pearson_is_scipys(k, n):
    found = binomtest(k, n).proportion_ci(0.95, method="exact")
    assert clopper_pearson(k, n) == pytest.approx((found.low, found.high))


def test_pulls_of_poisson_counts_over_a_poisson_reference_have_unit_width():
    rng = np.random.default_rng(1)
    b, tau = 50.0, 3.0
    n, m = rng.poisson(b, 20000), rng.poisson(tau * b, 20000)
    found = overdispersion(pulls(n.astype(float), m / tau, m.astype(float)))
    assert found.v0 == pytest.approx(1, abs=0.05)
    assert abs(found.mean) < 0.1  # not zero: a denominator that fluctuates with m skews the pull


def test_overdispersion_is_found_with_its_error():
    rng = np.random.default_rng(2)
    experiments = [overdispersion(rng.normal(0.1, np.sqrt(1.5), 200)) for _ in range(300)]
    v0 = np.array([e.v0 for e in experiments])
    assert v0.mean() == pytest.approx(1.5, abs=0.03)
    assert v0.std() == pytest.approx(np.mean([e.v0_error for e in experiments]), rel=0.15)


def test_uniform_p_values_pass_and_others_fail_by_name():
    rng = np.random.default_rng(3)
    passed = [uniformity(rng.random(200)).passes for _ in range(200)]
    assert np.mean(passed) > 0.8  # three tests, each with a 5 % type-I error at most
    anti = uniformity(rng.random(200) ** 2)
    assert not anti.passes
    assert not anti.conservative
    shy = uniformity(1 - (1 - rng.random(400)) ** 3 * 0.7)
    assert not shy.passes
    assert shy.conservative


def test_effective_trials_of_independent_and_of_identical_p_values():
    p = np.random.default_rng(8).random((4000, 6))
    assert effective_trials(p.min(axis=1)) == pytest.approx(6, rel=0.08)
    assert effective_trials(p[:, 0]) == pytest.approx(1, rel=0.08)


def test_signal_efficiency_is_a_mean_over_experiments_per_strength():
    points = [
        SignalMeasured(
            toy=0,
            window="w",
            method="cathode",
            eps_bkg=0.01,
            n_obs=0.0,
            n_bkg=1.0,
            n_bkg_uncorrected=1.0,
            p_local=0.01,
            strength=s,
            n_signal=100,
            n_signal_passing=k,
            n_signal_estimated=0.0,
            error=1.0,
        )
        for s, passing in ((1.0, (20, 40)), (2.0, (50, 70)))
        for k in passing
    ]
    one, two = signal_efficiency(points)
    assert (one.eps_sig, two.eps_sig) == pytest.approx((0.3, 0.6))
    assert one.eps_sig_error == pytest.approx(np.std([0.2, 0.4], ddof=1) / np.sqrt(2))
    assert one.z_median == pytest.approx(2.326, abs=1e-3)


def point(strength, eps_sig):
    return EfficiencyPoint(
        method="m", eps_bkg=0.01, strength=strength, n_signal=1.0, eps_sig=eps_sig, eps_sig_error=0.0, z_median=0.0
    )


def test_a_limit_is_carried_through_the_efficiency_curve():
    """eps_S = 0.01 + 0.1 S / sqrt(B) up to 0.41 at 4: S eps_S = passing is a quadratic equation."""
    curve = [point(s, 0.01 + 0.1 * s) for s in (1.0, 2.0, 4.0)]
    for passing in (0.5, 5.0, 30.0, 100.0):
        strength = (-0.01 + np.sqrt(0.01**2 + 0.4 * passing / 100)) / 0.2
        assert produced_signal(passing, curve, 0.01, 10000.0) == pytest.approx(100 * strength, rel=1e-3)
    assert produced_signal(410.0, curve, 0.01, 10000.0) == pytest.approx(1000.0)
    dip = [point(1.0, 0.3), point(2.0, 0.25)]  # noise must not make it ambiguous
    found = [produced_signal(s, dip, 0.01, 100.0) for s in (1.0, 3.0, 5.0, 6.0, 9.0)]
    assert np.all(np.diff(found) > 0)


def test_a_biased_signal_response_is_seen():
    rng = np.random.default_rng(4)
    true = np.repeat([0.0, 10.0, 20.0, 50.0], 50)
    error = 5 + 0.05 * true
    good = linearity(true, true + error * rng.standard_normal(len(true)), error)
    assert good.passes
    assert good.slope_error < 0.05
    assert good.slope == pytest.approx(1, abs=4 * good.slope_error)
    assert good.coverage_68 == pytest.approx(0.683, abs=0.1)
    low = linearity(true, 0.8 * true + error * rng.standard_normal(len(true)), error)
    assert low.slope_error < 0.05
    assert low.slope == pytest.approx(0.8, abs=4 * low.slope_error)
    assert not low.passes


class KnownDensity:
    def sample(self, m, *, member, seed):
        return np.random.default_rng(seed).normal(m[:, None] / 1000, 1.0, (len(m), 2))


class KnownSpectrum:
    def sample(self, n, *, seed, interval=None):
        return np.random.default_rng(seed).uniform(*(interval or WINDOW.signal), n)

    def expected(self):
        return 4000.0, 50.0


@pytest.fixture
def background():
    m = np.random.default_rng(5).uniform(2000, 5000, 26000)
    return Background(KnownDensity(), KnownSpectrum(), m[WINDOW.in_sideband(m)], ("a", "b"), WINDOW)


def test_pseudo_data_follow_the_spectrum_and_never_cross_an_edge(background):
    drawn = [background.draw(10000, seed=s) for s in range(20)]
    inside = np.array([WINDOW.in_signal(d.mass).sum() for d in drawn])
    expected = 10000 * 4000 / background.total()
    assert inside.mean() == pytest.approx(expected, abs=4 * np.sqrt(expected / 20))
    assert 0.3 < inside.var(ddof=1) / expected < 2.3  # Poisson, not fixed: the 99.8 % interval of 20 draws
    for d in drawn:
        assert d.mass.min() >= 2000
        assert d.mass.max() < 5000
    d = drawn[0]
    np.testing.assert_allclose((d.features - d.mass[:, None] / 1000).mean(axis=0), 0, atol=0.05)
    again = background.draw(10000, seed=0)
    np.testing.assert_array_equal(again.features, d.features)


def test_injected_signal_has_the_asked_strength_and_is_known_by_its_row(background):
    m = np.random.default_rng(6).normal(3000, 200, 3000)
    signal = Events(("a", "b"), np.arange(3000), m, np.full((3000, 2), 9.0))
    data = background.draw(10000, seed=1)
    n = []
    for s in range(40):
        mixed = inject(data, signal, WINDOW, 50.0, seed=s)
        marked = is_signal(mixed.row)
        assert (mixed.features[marked] == 9).all()
        assert (~marked).sum() == len(data)
        n.append((marked & WINDOW.in_signal(mixed.mass)).sum())
    assert np.mean(n) == pytest.approx(50, abs=4 * np.sqrt(50 / 40))
    assert len(inject(data, signal, WINDOW, 0.0, seed=1)) == len(data)


def test_the_overdispersion_at_the_size_of_the_pseudo_experiments_judges_them():
    """Two tables, one per sample size; verdicts use the one of the pseudo-experiments, hunts the other."""
    rng = np.random.default_rng(9)
    entries = tuple(
        ClassifierCount(toy=t, sample=s, method="cathode", eps_bkg=0.1, n=400 + np.sqrt(400 * v) * z, b=400.0, m=1e9)
        for s, v in (("hunt", 1.4), ("experiments", 0.6))
        for t, z in enumerate(rng.standard_normal(4000))
    )
    sizes = {"hunt": {"data": 4000}, "experiments": {"data": 400}}
    batch = ClassifierExperiments(window="m3000", sizes=sizes, entries=entries)
    table = measure_overdispersion([batch], methods=("cathode",), working_points=(0.1,))
    assert table.n_toys == 4000
    assert table.of("cathode", 0.1) == pytest.approx(1.4, rel=0.1)
    own = table.at_experiments.of("cathode", 0.1)
    assert own == pytest.approx(0.6, rel=0.1)
    effects = RandomEffects(
        mu=0.0,
        mu_error=0.02,
        scatter=0.0,
        degrees_of_freedom=11.0,
        seen=0.0,
        mean=0.0,
        mean_error=0.02,
        p_homogeneous=0.5,
    )
    point = ClosurePoint(
        eps_bkg=0.1, n_windows=12, effects=effects, sigma_boot=0.0, sigma_init=0.0, observed=(40.0,) * 12, predicted=(40.0,) * 12,
        relative_error=(0.01,) * 12, correlation=tuple(map(tuple, np.eye(12).tolist())), position=tuple(range(5, 17)), floor=0.02,
    )  # fmt: skip
    counts = PassingCounts(
        eps_bkg=0.1, n_sr=400, n_obs=52.0, n_bkg=40.0, m=4000.0, member_counts=(), independent_members=True, n_splits=3
    )
    toys = tuple(
        PseudoExperiment(
            toy=t, strength=None, window="m3000", method="cathode", n_bootstraps=0, n_seeds=0, counts=(counts,), closure=(point,), n_expected=400.0,
            n_expected_error=5.0, n_signal=0, n_signal_passing=(0.0,),
        )
        for t in range(3)
    )  # fmt: skip
    calibrated = StatisticsSettings(overdispersion="calibrated")
    null, _ = measure_calibration(
        [PseudoExperiments(window="m3000", experiments=toys)],
        table,
        methods=("cathode",),
        working_points=(0.1,),
        statistics=calibrated,
    )
    estimate = combine("cathode", counts, (0, 0), point.with_overdispersion(own), calibrated, own)
    assert estimate.overdispersion == 1.0  # below Poisson, only the closure uses it: averaged counts are skewed
    assert null.p_local == (estimate.p_value(),) * 3
    assert known_overdispersion(table, "cathode", (0.1,), calibrated) == (table.of("cathode", 0.1),)
