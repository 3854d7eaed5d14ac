from __future__ import annotations

import numpy as np
import pytest

from cathode.errors import ConfigError
from cathode.regions import ScanSettings, Window, WindowSettings, spectrum_peak


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


def sideband_masses(w: Window, turn_on: float = 0.0) -> np.ndarray:
    """A falling spectrum; with `turn_on`, suppressed below that mass."""
    rng = np.random.default_rng(1)
    m = 2300 - 600 * np.log(rng.random(80000))
    m = m[rng.random(len(m)) < np.exp(-np.clip((turn_on - m) / 60, 0, None))]
    return m[w.in_sideband(m)]


def test_the_peak_of_a_falling_spectrum_is_its_lower_end():
    w = Window("w", (3300, 3700), (2300, 8000))
    for turn_on, peak in ((0, 2300.0), (2700, pytest.approx(2700, rel=0.03))):
        m = sideband_masses(w, turn_on)
        assert spectrum_peak(m[m < 3300], 2300.0) == peak


@pytest.mark.parametrize("seed", range(4))
def test_a_resonance_is_no_turn_on(seed):
    """Level and falling spectra begin at their lower end whatever stands on them; above a turn-on, its peak is found beside a resonance."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(8, 12, 20000)
    upsilon = np.concatenate([level, rng.normal(9.46, 0.06, 3000), rng.normal(10.02, 0.06, 1200)])
    falling = 2000 + rng.exponential(600, 40000)
    risen = falling[rng.random(len(falling)) < 1 / (1 + np.exp(-(falling - 2400) / 60))]
    bump = rng.normal(3500, 50, 1500)
    for mass, low in (
        (level, 8.0),
        (upsilon, 8.0),
        (falling, 2000.0),
        (np.concatenate([falling, bump]), 2000.0),
        (falling[:1500], 2000.0),
    ):
        assert spectrum_peak(mass, low) == low
    for mass in (risen, np.concatenate([risen, bump, bump])):
        assert spectrum_peak(mass, 2000.0) == pytest.approx(2570, rel=0.04)


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
