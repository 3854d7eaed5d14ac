"""Pseudo signal regions: where they lie, what they hide, and which windows of a scan test each other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cathode.errors import ConfigError
from cathode.inference.placement import jobs_of_fillers, place_regions
from cathode.inference.settings import ClosureSettings
from cathode.regions import ScanSettings, Window, WindowSettings

RANGE = (2300.0, 8000.0)
ONE = Window("m3500", (3300.0, 3700.0), RANGE)
SCAN = tuple(WindowSettings(range=RANGE, scan=ScanSettings(2900, 4800, 400, 100)).windows().values())


def masses(turn_on: float = 0.0) -> np.ndarray:
    """A falling spectrum; with `turn_on`, suppressed below that mass."""
    rng = np.random.default_rng(1)
    m = 2300 - 600 * np.log(rng.random(80000))
    m = m[m < 8000]
    return m[rng.random(len(m)) < np.exp(-np.clip((turn_on - m) / 60, 0, None))]


def apart(a: Window, b: Window) -> float:
    return max(a.signal[0] - b.signal[1], b.signal[0] - a.signal[1])


def test_a_single_window_is_tested_by_whole_regions_of_its_width_that_keep_away_from_it():
    placed = place_regions([ONE], masses(), ClosureSettings(windows=12))
    assert 9 <= len(placed.fillers) <= 12
    assert placed.testing["m3500"] == tuple(r.name for r in sorted(placed.fillers, key=lambda r: r.centre))
    for region in placed.fillers:
        assert region.width == pytest.approx(400)
        assert apart(region, ONE) >= 0.5 * 400 - 1e-6
        assert region.hidden == ()  # its models see the window, as those of the window see it
        low, high = region.in_strips(masses(), 0.5)
        assert min(low.sum(), high.sum()) > 50
    assert len({r.name for r in placed.fillers}) == len(placed.fillers)
    widest = place_regions([ONE], masses(), ClosureSettings(windows=12, guard=1.0))
    assert all(apart(region, ONE) >= 400 - 1e-6 for region in widest.fillers)


def test_regions_are_no_denser_than_a_sixth_of_a_width_and_as_many_as_asked_for_where_there_is_room():
    many = place_regions([ONE], masses(), ClosureSettings(windows=100)).fillers
    centres = np.sort([r.centre for r in many])
    assert np.diff(centres).min() > 0.8 * 400 / 6
    narrow = Window("m3500", (3480.0, 3520.0), RANGE)
    assert len(place_regions([narrow], masses(), ClosureSettings(windows=30)).fillers) == pytest.approx(30, abs=1)


def test_windows_of_a_scan_test_each_other_and_fillers_are_what_is_missing():
    placed = place_regions(SCAN, masses(), ClosureSettings())
    assert len(placed.fillers) <= 6  # where every window alone has a dozen
    windows = {w.name: w for w in (*SCAN, *placed.fillers)}
    for w in SCAN:
        tests = [windows[name] for name in placed.testing[w.name]]
        assert len(tests) >= 9
        assert all(apart(t, w) >= 200 - 1e-6 for t in tests)
        # none is left out that lies in the same part of the spectrum
        others = [v for v in SCAN if apart(v, w) >= 200 - 1e-6 and v.centre < np.quantile(masses(), 0.98)]
        assert {v.name for v in others} <= set(placed.testing[w.name])


def test_hidden_windows_are_in_no_region_and_no_region_sees_them():
    m = masses()
    for windows in (
        [ONE],
        list(WindowSettings(range=RANGE, signal_regions=((2900, 3100), (3900, 4100))).windows().values()),
    ):
        hidden = ClosureSettings(hide_windows=True)
        placed = place_regions(windows, m, hidden)
        outside = m[np.all([~w.in_signal(m) for w in windows], axis=0)]
        for region in placed.fillers:
            assert all(apart(region, w) >= 0.5 * w.width - 1e-6 for w in windows)
            assert not any((region.in_sideband(m) & w.in_signal(m)).any() for w in windows)
        # what lies in a window has no say in where regions are, so that a blind hunt has the same
        assert place_regions(windows, outside, hidden) == placed
        blind = [dataclasses.replace(w, hidden=tuple(v.signal for v in windows)) for w in windows]
        assert place_regions(blind, outside, ClosureSettings()).fillers == placed.fillers


def test_a_quick_blind_hunt_keeps_its_regions_away_from_the_windows_it_does_not_hunt():
    m = masses()
    windows = list(WindowSettings(range=RANGE, signal_regions=((2900, 3100), (3900, 4100))).windows().values())
    hidden = tuple(w.signal for w in windows)
    outside = m[np.all([~w.in_signal(m) for w in windows], axis=0)]
    one = dataclasses.replace(windows[1], hidden=hidden)
    placed = place_regions([one], outside, ClosureSettings())
    assert list(placed.testing) == [one.name]
    for region in placed.fillers:
        assert all(apart(region, w) >= 0.5 * w.width - 1e-6 for w in windows)
        assert set(region.hidden) == set(hidden)


def test_a_scan_that_hides_everything_is_refused_in_words():
    with pytest.raises(
        ConfigError, match=r"window m2900: the sidebands have room for \d+ pseudo signal regions of 400 GeV"
    ):
        place_regions(SCAN, masses(), ClosureSettings(hide_windows=True))


def test_regions_use_the_part_of_the_spectrum_that_the_hunt_uses():
    """A hunt that lies above the turn-on is not tested below it; one that reaches into it is."""
    low = Window("m3100", (2900.0, 3300.0), RANGE)
    m = masses(turn_on=2700)
    placed = place_regions([Window("m3900", (3700.0, 4100.0), RANGE)], m, ClosureSettings())
    assert min(r.signal[0] for r in placed.fillers) > 2700 + 400 - 80
    scan = place_regions([low, ONE, Window("m4300", (4100.0, 4500.0), RANGE)], m, ClosureSettings())
    where = {w.name: w for w in (*scan.windows, *scan.fillers)}
    assert min(where[n].signal[0] for n in scan.testing["m4300"]) > 2600
    nearer = place_regions([Window("m3500", (3300.0, 3700.0), RANGE), low], m, ClosureSettings())
    where = {w.name: w for w in (*nearer.windows, *nearer.fillers)}
    assert min(where[n].signal[0] for n in nearer.testing["m3100"]) < 3800


def test_windows_of_other_widths_do_not_test_each_other():
    """A wider gap is harder to bridge: what closes over a narrow one says nothing of it."""
    wide, narrow = Window("m3500", (3200.0, 3800.0), RANGE), Window("m4600", (4500.0, 4700.0), RANGE)
    placed = place_regions([wide, narrow], masses(), ClosureSettings())
    widths = {r.name: r.width for r in (*placed.windows, *placed.fillers)}
    for w in (wide, narrow):
        assert {round(widths[name] / w.width, 6) for name in placed.testing[w.name]} == {1.0}
    assert jobs_of_fillers([wide, narrow], ClosureSettings(windows=12, per_job=4)) == 6
    assert jobs_of_fillers(SCAN, ClosureSettings(windows=12, per_job=4)) == 3


@pytest.mark.parametrize("turn_on", [0.0, 2700.0])
def test_regions_of_any_hunt_hold_events_and_have_some_on_both_sides(turn_on):
    m = masses(turn_on)
    for centre in range(2700, 5000, 150):
        w = Window(f"m{centre}", (centre - 150.0, centre + 150.0), RANGE)
        for region in place_regions([w], m, ClosureSettings()).fillers:
            assert region.in_signal(m).sum() > 65
            assert (m < region.signal[0]).sum() >= 100
            assert (m >= region.signal[1]).sum() >= 100


def test_regions_of_different_widths_have_different_names():
    """Here two of them have their centres within half a GeV: by one name, one would stand for the other."""
    windows = [Window("m3000", (2900.0, 3100.0), RANGE), Window("m4425", (4125.0, 4725.0), RANGE)]
    placed = place_regions(windows, masses(), ClosureSettings())
    rounded = [round(f.centre) for f in placed.fillers]
    assert len(set(rounded)) < len(rounded)
    assert len({f.name for f in placed.fillers}) == len(placed.fillers)
    for window in windows:
        by_name = {f.name: f for f in (*placed.fillers, *windows)}
        widths = [by_name[name].width for name in placed.testing[window.name]]
        assert max(widths) < 1.6 * window.width
