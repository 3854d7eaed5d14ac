"""Combining the regions of a scan: which test which window, what is left out, and what shared events change."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from cathode import io
from cathode.classifier.scores import MethodScores, SplitScores
from cathode.events import Events, Role
from cathode.inference.closure import ClosurePoint, CountedRegion, combine_closure, combine_regions
from cathode.inference.counts import PassingCounts
from cathode.inference.settings import ClosureSettings
from cathode.regions import ScanSettings, Window, WindowSettings
from cathode.stats.random_effects import random_effects
from cathode.stats.settings import StatisticsSettings

RANGE = (2000.0, 6000.0)
WINDOWS = tuple(WindowSettings(range=RANGE, scan=ScanSettings(3000, 4600, 400, 200)).windows().values())
FLAT = StatisticsSettings(scatter_floor=((0.1, 0.0),))


def masses(n: int = 40_000, seed: int = 1) -> np.ndarray:
    """Evenly spread, so that every region has as many events."""
    return np.random.default_rng(seed).uniform(*RANGE, n)


def events(mass: np.ndarray) -> Events:
    return Events(("x",), np.arange(len(mass)), mass, np.zeros((len(mass), 1)))


def scored(region: Window, mass: np.ndarray, score: np.ndarray, seed: int, tau: int = 20) -> MethodScores:
    """Events of a region with given scores against a reference of standard normal ones."""
    inside = np.flatnonzero(region.in_signal(mass))
    rng = np.random.default_rng(seed)
    n = len(inside) * tau
    split = SplitScores(
        method="cathode", window=region.name, interval=region.signal, row=inside, fold=np.arange(len(inside)) % 5,
        score=score[inside].astype(np.float32), member_score=np.zeros((len(inside), 1), dtype=np.float32),
        ref_score=rng.normal(size=n).astype(np.float32), ref_fold=np.arange(n) % 5, ref_weight=np.ones(n),
        ref_role=np.full(n, Role.THRESHOLD_AND_EFFICIENCY), ref_source=np.arange(n), ref_member=np.full(n, -1),
        ref_threshold_member_score=np.zeros((0, 1), dtype=np.float32),
    )  # fmt: skip
    return MethodScores((split,))


def closures(mass, score, settings=ClosureSettings(), statistics=FLAT):
    """Every window scored with the same scores, which shared events keep; no fillers have events, since none are needed."""
    parts = [scored(w, mass, score, i) for i, w in enumerate(WINDOWS)]
    fillers = [scored(f, mass, score, 100 + i) for i, f in enumerate(placed(mass, settings).fillers)]
    return combine_closure(
        events(mass), fillers, iter(parts), regions=WINDOWS, working_points=(0.1,), closure=settings, statistics=statistics
    )  # fmt: skip


def placed(mass, settings):
    from cathode.inference.placement import place_regions

    return place_regions(WINDOWS, mass, settings)


def test_every_window_gets_its_closure_and_is_tested_by_windows_that_keep_away():
    mass = masses()
    found = closures(mass, np.random.default_rng(2).normal(size=len(mass)))
    assert [c.window for c in found] == [w.name for w in WINDOWS]
    by_name = {w.name: w for w in WINDOWS}
    for c in found:
        w = by_name[c.window]
        assert w.name not in c.names
        assert sum(name in by_name for name in c.names) >= 3
        assert all(low >= w.signal[1] + 200 - 1e-6 or high <= w.signal[0] - 200 + 1e-6 for low, high in c.intervals)
        assert c.left_out == ()
        assert abs(c.points[0].effects.mean) < 4 * c.points[0].effects.mean_error


def test_counts_of_overlapping_regions_are_correlated_by_the_events_they_share():
    """Windows of 400 GeV in steps of 200: half of the events are common, and with the same scores half of those that pass."""
    mass = masses()
    point = closures(mass, np.random.default_rng(3).normal(size=len(mass)))[0].points[0]
    c = np.array(point.correlation)
    names = closures(mass, np.random.default_rng(3).normal(size=len(mass)))[0].names
    windows = [i for i, name in enumerate(names) if name.startswith("m")]
    for i, j in itertools.pairwise(windows):
        assert c[i, j] == pytest.approx(0.5, abs=0.1)
    assert c[windows[0], windows[2]] == pytest.approx(0.0, abs=0.02)
    np.testing.assert_array_equal(c, c.T)
    assert np.linalg.eigvalsh(c).min() > 0


def test_the_error_of_the_mean_covers_overlapping_regions():
    """Many samples without bias: the mean over regions that share events scatters as is said; as if they shared none, it would be too small."""
    pulls, naive = [], []
    for seed in range(60):
        mass = masses(12_000, seed)
        point = closures(mass, np.random.default_rng(1000 + seed).normal(size=len(mass)))[4].points[0]
        pulls.append(point.effects.mean / point.effects.mean_error)
        naive.append(point.effects.mean / (1 / np.sqrt(np.sum(point.predicted))))
    assert 0.7 < np.std(pulls) < 1.3
    assert np.std(naive) > 1.25 * np.std(pulls)


def test_a_region_with_a_signal_tests_nothing_and_neither_do_its_neighbours():
    mass = masses()
    score = np.random.default_rng(4).normal(size=len(mass))
    signal = np.flatnonzero((mass > 4350) & (mass < 4450))[:260]
    score[signal] += 4
    found = {c.window: c for c in closures(mass, score)}
    assert set(found["m3000"].left_out) >= {"m4200", "m4400", "m4600"}
    assert not set(found["m3000"].names) & {"m4200", "m4400", "m4600"}
    assert abs(found["m3000"].points[0].effects.mean) < 4 * found["m3000"].points[0].effects.mean_error
    assert found["m4400"].left_out == ()  # what the window itself holds is no part of its closure


def test_a_deficit_is_not_left_out():
    """A method that is biased low in some regions is not taken for one without bias."""
    mass = masses()
    score = np.random.default_rng(5).normal(size=len(mass))
    score[(mass > 4200) & (mass < 4600)] -= 0.5
    found = {c.window: c for c in closures(mass, score)}["m3000"]
    assert {"m4400"} <= set(found.names)
    assert found.points[0].effects.seen > 0.1


def test_a_region_whose_density_is_uncertain_is_no_signal():
    """What bootstraps of the densities scatter is an error of the region that is judged as of those that judge it."""
    rng = np.random.default_rng(7)

    def region(k: int, n_obs: float, spread: float) -> CountedRegion:
        members = tuple(2000 * np.exp(spread * np.repeat(rng.normal(size=4), 2)) / 8)
        count = PassingCounts(
            eps_bkg=0.1,
            n_sr=20_000,
            n_obs=n_obs,
            n_bkg=2000.0,
            m=40_000.0,
            member_counts=members,
            independent_members=False,
            n_splits=3,
            step=1 / 3,
        )
        return CountedRegion(
            f"r{k}", (2500.0 + 300 * k, 2800.0 + 300 * k), (4, 2), (count,), ((np.arange(0), np.empty(0)),)
        )

    window = Window("w", (6000.0, 6300.0), (2000.0, 8000.0))
    for spread, left_out in ((0.0, ("r4",)), (0.08, ())):
        counted = [region(k, 2550.0 if k == 4 else 2000.0, spread) for k in range(9)]
        found = combine_regions(
            window, "cathode", counted, working_points=(0.1,), overdispersion=(1.0,), statistics=StatisticsSettings(scatter_floor=((0.1, 0.02),)), correlation_length=0.01
        )  # fmt: skip
        assert found.left_out == left_out


def test_an_overdispersed_reference_is_less_of_an_error_of_the_method():
    """Templates as small as the samples: what they scatter beyond Poisson is no scatter of the closure."""
    rng = np.random.default_rng(8)
    v, b = 2.0, 400.0
    seen: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(60):
        n, m = (v * rng.poisson(b / v, 12) for _ in range(2))
        point = ClosurePoint(
            eps_bkg=0.1, n_windows=12, effects=random_effects(n.astype(float), m.astype(float), 1 / np.sqrt(m)), sigma_boot=0.0, sigma_init=0.0,
            observed=tuple(n.tolist()), predicted=tuple(m.tolist()), relative_error=tuple(1 / np.sqrt(m)), correlation=tuple(map(tuple, np.eye(12).tolist())),
            position=(9.0,) * 12, floor=0.0, template_error=tuple(1 / np.sqrt(m)),
        )  # fmt: skip
        for kept, measured in ((True, point), (False, replace(point, template_error=()))):
            seen[kept].append(measured.with_overdispersion(v).effects.seen)
    assert np.mean(seen[True]) < 0.75 * np.mean(seen[False])


def test_so_few_are_never_left_out_that_too_few_remain():
    window = Window("m3000", (2800.0, 3200.0), RANGE)
    mass = masses()
    score = np.random.default_rng(6).normal(size=len(mass))
    score[(mass > 4500)] += 2
    regions = [Window(f"r{k}", (3500.0 + 400 * k, 3900.0 + 400 * k), RANGE) for k in range(5)]
    counted = [CountedRegion.of(scored(r, mass, score, k).splits, (0.1,)) for k, r in enumerate(regions)]
    found = combine_regions(
        window, "cathode", counted, working_points=(0.1,), overdispersion=(1.0,), statistics=StatisticsSettings(scatter_floor=((0.1, 0.05),)), correlation_length=1.0
    )  # fmt: skip
    assert len(found.names) >= 4


def test_a_share_without_fillers_is_an_artefact_too(tmp_path):
    path = tmp_path / "none.npz"
    io.write(MethodScores(()), path, io.Made("score_pseudo", "1", {}))
    assert io.read(path, MethodScores).regions() == []


def test_floors_go_as_a_power_between_declared_ones():
    s = StatisticsSettings()
    assert [s.floor(eps) for eps in (0.1, 0.01, 0.001)] == pytest.approx([0.02, 0.05, 0.15])
    assert s.floor(0.1 / np.sqrt(10)) == pytest.approx(np.sqrt(0.02 * 0.05))
    assert s.floor(0.0001) == pytest.approx(0.45)
    assert s.floor(0.3) < 0.02
    assert StatisticsSettings(scatter_floor=((0.01, 0.05),)).floor(0.5) == 0.05
    assert StatisticsSettings(scatter_floor=((0.1, 0.0), (0.01, 0.05))).floor(0.08) == 0.0
