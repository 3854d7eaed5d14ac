"""The classical bump hunt: scores against full fits, Gross and Vitells against toys."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from iminuit import Minuit
from scipy.stats import kstest, norm

from cathode.events import Events
from cathode.plots.spectrum import spectrum_scan
from cathode.regions import Window
from cathode.spectrum.scan import gross_vitells, scan_masses, scan_spectrum, score_weights, up_crossings

EDGES = np.linspace(3000.0, 6000.0, 61)
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2
T = (CENTRES - 4500) / 1500
BASIS = np.stack([np.ones(60), T, T**2], axis=1)
TRUTH = np.exp(BASIS @ np.array([5.0, -1.5, 0.1]))


def signal_at(mass, width=80.0):
    return np.diff(norm.cdf((EDGES[:, None] - mass) / width), axis=0)


def test_the_score_is_the_square_root_of_q0_of_full_fits():
    def best(n, s, with_signal):
        def nll(a):
            mu = np.exp(BASIS @ a[:3]) + (a[3] * s if with_signal else 0.0)
            return 2 * np.sum(mu - n * np.log(np.maximum(mu, 1e-9)))

        start = [5.0, -1.5, 0.1, 0.0] if with_signal else [5.0, -1.5, 0.1]
        minuit = Minuit(nll, start)
        minuit.errordef = 1
        minuit.migrad()
        return minuit.fval, np.array(minuit.values)

    for seed, injected in ((1, 0.0), (2, 60.0), (3, 120.0)):
        s = signal_at(4000.0)[:, 0]
        n = np.random.default_rng(seed).poisson(TRUTH + injected * s).astype(float)
        null, a = best(n, s, False)
        full, _ = best(n, s, True)
        b = np.exp(BASIS @ a)
        z = float((n - b) @ score_weights(b, BASIS, s[:, None])[:, 0])
        assert abs(z) == pytest.approx(np.sqrt(null - full), abs=0.15)


def test_scores_of_background_are_standard_normal_and_blind_to_the_background_parameters():
    weights = score_weights(TRUTH, BASIS, signal_at(np.array([3500.0, 4500.0, 5500.0])))
    rng = np.random.default_rng(5)
    z = (rng.poisson(TRUTH, (20000, 60)) - TRUTH) @ weights
    assert np.std(z, axis=0) == pytest.approx(1, abs=0.02)
    shifted = (TRUTH * np.exp(0.01 * T) - TRUTH) @ weights
    assert np.abs(shifted).max() < 0.02


def test_gross_vitells_is_the_global_p_value_of_toys():
    weights = score_weights(TRUTH, BASIS, signal_at(np.arange(3100.0, 5900.0, 20.0)))
    z = (np.random.default_rng(6).poisson(TRUTH, (40000, 60)) - TRUTH) @ weights
    crossings = up_crossings(z[:500], 0.5).mean()
    for level in (2.5, 3.0, 3.5):
        truth = np.mean(z.max(axis=1) > level)
        assert gross_vitells(level, crossings, 0.5) == pytest.approx(truth, rel=0.15 + 4 / np.sqrt(40000 * truth))


def test_up_crossings_are_counted_by_hand():
    z = np.array([[0.0, 1.0, 0.0, 2.0, 2.0, -3.0], [1.0, 1.0, 0.0, 0.0, 0.0, 0.0], [-2.0, -2.0, 0.0, 0.5, 0.0, 0.0]])
    assert up_crossings(z, 0.5).tolist() == [2, 1, 0]


def test_a_bump_is_found_where_it_is_and_background_alone_is_not():
    rng = np.random.default_rng(8)
    background = 3000 * (1 - rng.random(60000)) ** (-1 / 6)
    quiet = scan_masses(background, 3000, 8000, 100, sqrt_s=13000, seed=1)
    assert quiet.p_value > 0.01
    assert quiet.p_global_toys > 0.01
    assert quiet.p_global >= quiet.p_global_toys * 0.8
    loud = scan_masses(np.concatenate([background, rng.normal(4000, 100, 500)]), 3000, 8000, 100, sqrt_s=13000, seed=1)
    assert abs(loud.best_mass - 4000) < 60
    assert loud.best_width in loud.widths
    assert quiet.z_deficit < 0 < quiet.z_local
    assert loud.z_local > 4.4  # a signal of so many events bends the longer functions, too
    assert loud.p_global < 1e-3
    assert scan_masses(background[:5], 3000, 8000, 100, sqrt_s=13000, seed=1).z_local is None


def test_a_small_bump_is_found_at_its_mass_and_width_and_its_trials_are_counted():
    """Six root B within two standard deviations, of three widths: the scan names the width, and a global p-value is a share of toys."""
    rng = np.random.default_rng(3)
    background = 3000 * (1 - rng.random(400_000)) ** (-1 / 6)
    for sigma in (70.0, 100.0, 220.0):
        inside = np.sum(np.abs(background - 4500) < 2 * sigma)
        signal = rng.normal(4500, sigma, round(6 * np.sqrt(inside)))
        scan = scan_masses(np.concatenate([background, signal]), 3000, 8000, 100, sqrt_s=13000, seed=1, toys=300)
        assert abs(scan.best_mass - 4500) < sigma
        assert abs(np.log(scan.best_width / sigma)) < 0.5
    p = []
    for seed in range(60):
        m = 3000 * (1 - np.random.default_rng(100 + seed).random(40_000)) ** (-1 / 6)
        p.append(scan_masses(m, 3000, 8000, 100, sqrt_s=13000, seed=seed, toys=400).p_global_toys)
    assert kstest(p, "uniform").pvalue > 0.01
    assert min(p) > 1e-3


def spectrum_of(seed: int, *, turn_on: float = 0.0, peaks: tuple[float, ...] = ()) -> np.ndarray:
    rng = np.random.default_rng(seed)
    m = 2000 + rng.exponential(600, 80_000)
    if turn_on:
        m = m[rng.random(len(m)) < 1 / (1 + np.exp(-(m - turn_on) / 60))]
    return np.concatenate([m[m < 8000], *(rng.normal(mass, 40, 2500) for mass in peaks)])


@pytest.mark.parametrize("signal", [(2650.0, 2850.0), (2900.0, 3100.0), (4000.0, 4200.0)])
def test_no_excess_is_seen_beside_a_turn_on(signal):
    """Also where the signal region lies next to it: the scan never falls back to masses below the peak."""
    m = spectrum_of(1, turn_on=2400)
    events = Events(("a",), np.arange(len(m)), m, np.zeros((len(m), 1)))
    scan = scan_spectrum(events, window=Window("w", signal, (2000.0, 8000.0)))
    assert 2600 < scan.fit_range[0] < 2800
    assert scan.z_local is not None
    assert scan.z_local < 4
    assert scan.p_value > 1e-3


def test_what_anyone_sees_is_found_and_what_nothing_describes_gives_no_significance():
    m = spectrum_of(2, peaks=(3200.0, 4100.0))
    scan = scan_masses(m, 2000, 8000, 50.0, sqrt_s=13000.0, seed=1, toys=200)
    assert scan.p_value < 1e-3
    assert len(scan.apart) == 2
    assert all(low < peak < high for (low, high), peak in zip(scan.apart, (3200, 4100), strict=True))
    assert scan.z_local > 8
    assert min(abs(scan.best_mass - 3200), abs(scan.best_mass - 4100)) < 50
    comb = np.concatenate([m, *(np.random.default_rng(3).normal(c, 60, 4000) for c in np.arange(2300, 7000, 300))])
    bad = scan_masses(comb, 2000, 8000, 50.0, sqrt_s=13000.0, seed=1, toys=200)
    assert bad.p_value < 1e-3
    assert (bad.z_local, bad.masses, bad.p_global) == (None, (), None)


def test_a_global_p_value_of_one_is_no_spectrum_without_a_function():
    """The bound of Gross and Vitells is 1 where the largest is small."""
    mass = 2000 + np.random.default_rng(1).exponential(700, 30_000)
    found = replace(scan_masses(mass, 2000, 6000, 100, toys=100), p_global=1.0)
    text = " ".join(t.get_text() for ax in spectrum_scan([found]).figure.axes for t in ax.texts)
    assert f"largest {found.z_local:.1f} at" in text
    assert "global p = 1" in text
