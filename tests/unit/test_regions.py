from __future__ import annotations

import itertools

import numpy as np
import pytest

from cathode.errors import ConfigError
from cathode.regions import ScanSettings, Window, WindowSettings, pseudo_windows


def test_signal_region_and_sideband_partition_the_range():
    w = Window("w", (3300, 3700), (2300, 8000))
    m = np.random.default_rng(0).uniform(2000, 9000, 5000)
    inside, sideband = w.in_signal(m), w.in_sideband(m)
    assert not np.any(inside & sideband)
    np.testing.assert_array_equal(inside | sideband, (m >= 2300) & (m < 8000))


def test_a_scan_names_its_windows_by_centre():
    windows = WindowSettings(scan=ScanSettings(2900, 3100, 400, 100)).windows()
    assert list(windows) == ["m2900", "m3000", "m3100"]
    assert windows["m3000"].signal == (2800, 3200)


def test_units_are_converted_once():
    w = WindowSettings(range=(8.0, 12.0), signal_regions=((9.3, 9.6),)).windows(1000.0)["m9450"]
    assert w.signal == pytest.approx((9300, 9600))
    assert "m9p45" in WindowSettings(range=(8.0, 12.0), signal_regions=((9.3, 9.6),)).windows(1.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"range": (8000, 2300)},
        {"signal_regions": ((2000, 3000),)},
        {"signal_regions": ((3700, 3300),)},
        {"signal_regions": ()},
        {"signal_regions": ((2300, 3000),)},
        {"signal_regions": ((3300, 3700), (3200, 3800))},
    ],
)
def test_impossible_regions_are_refused(settings):
    with pytest.raises(ConfigError):
        WindowSettings(**settings)


def test_pseudo_signal_regions_are_disjoint_and_hide_the_real_one():
    w = Window("w", (3300, 3700), (2300, 8000))
    m = 2300 - 600 * np.log(np.random.default_rng(1).random(50000))
    m = m[w.in_sideband(m)]
    pseudo = pseudo_windows(w, m, 12)
    assert len(pseudo) == 12
    assert not any(3100 < (p.signal[0] + p.signal[1]) / 2 < 3900 for p in pseudo)  # the guard
    edges = sorted(p.signal for p in pseudo)
    assert all(a[1] <= b[0] + 1e-9 for a, b in itertools.pairwise(edges))
    for p in pseudo:
        assert not np.any(p.in_sideband(np.array([3310.0, 3500.0, 3690.0])))
        assert not np.any(p.in_sideband(np.linspace(*p.signal, 50)[:-1]))
        # the hidden gap is as wide as the real signal region: interpolation is as hard
        gap = max(p.hidden, key=lambda h: h != w.signal)
        assert gap[1] - gap[0] >= w.width - 1e-9
        low, high = p.in_strips(m, 0.5)
        assert low.sum() > 0
        assert high.sum() > 0
        assert not np.any((low | high) & ~p.in_sideband(m))


def test_strips_and_reach_count_from_the_gap():
    w = Window("p", (3000, 3100), (2300, 8000), ((3300, 3700), (2850, 3250)))
    assert w.gap == (2850, 3250)
    assert w.reach(1.0) == (2450, 3650)
    low, high = w.in_strips(np.array([2640.0, 2660.0, 2840.0, 2860.0, 3260.0, 3290.0, 3310.0]), 0.5)
    np.testing.assert_array_equal(low, [False, True, True, False, False, False, False])
    np.testing.assert_array_equal(high, [False, False, False, False, True, True, False])


def test_touching_hidden_intervals_are_one_gap():
    assert Window("p", (3150, 3250), (2300, 8000), ((3300, 3700), (3000, 3400))).gap == (3000, 3700)
    assert Window("w", (3300, 3700), (2300, 8000)).gap == (3300, 3700)


def test_a_pseudo_signal_region_reaches_as_far_into_the_sidebands_as_the_real_one():
    w = Window("w", (3300, 3700), (2300, 8000))
    m = 2300 - 600 * np.log(np.random.default_rng(1).random(50000))
    for p in pseudo_windows(w, m[w.in_sideband(m)], 12):
        assert p.gap[1] - p.gap[0] == pytest.approx(400, rel=0.25)
        low, high = p.reach(1.5)
        assert high - p.gap[1] >= 590
        assert low == 2300 or p.gap[0] - low >= 590
