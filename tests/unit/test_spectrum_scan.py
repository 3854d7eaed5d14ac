"""The classical bump hunt: scores against full fits, Gross and Vitells against toys."""

from __future__ import annotations

import numpy as np
import pytest
from iminuit import Minuit
from scipy.stats import norm

from cathode.spectrum.scan import gross_vitells, scan_masses, score_weights, up_crossings

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
    assert loud.z_local > 5
    assert loud.p_global < 1e-4
    assert scan_masses(background[:5], 3000, 8000, 100, sqrt_s=13000, seed=1).z_local is None
