"""From limits on selected events to limits on a signal of one's own: the curve of what the hunt sees, and its inversion."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from example_hunt import GOOD

from cathode.calibration.response import Curve, Injected, limit_own_signal
from cathode.stats.workspace import Counting, build_workspace, upper_limit


def injected(strength: float, n: int, effective: float, passing: float = 100.0) -> Injected:
    return Injected(
        method="cathode", eps_bkg=0.01, strength=strength, n_injected=n, n_inside=n, n_passing=passing, background=1.0, effective=effective
    )  # fmt: skip


CURVE = Curve.of(
    [
        injected(1, 90, 8.0),
        injected(1, 110, 12.0),
        injected(3, 300, 150.0),
        injected(3, 300, 150.0),
        injected(5, 500, 300.0),
    ]
)


def test_the_curve_holds_the_means_of_each_strength():
    assert CURVE.signal.tolist() == [0, 100, 300, 500]
    assert CURVE.effective.tolist() == [0, 10, 150, 300]
    assert CURVE.error[1] == pytest.approx(np.std([8, 12], ddof=1) / 10 / np.sqrt(2))
    assert CURVE.error[2] == pytest.approx(1 / np.sqrt(200))  # equal draws: what was counted


def test_it_is_inverted_between_strengths_and_safe_outside():
    assert CURVE.signal_at(80.0) == pytest.approx(200.0)
    assert CURVE.signal_at(225.0) == pytest.approx(400.0)
    assert CURVE.signal_at(2.0) == 100.0  # not 20: where nothing was injected, nothing is promised
    assert CURVE.signal_at(301.0) == np.inf
    for s in np.linspace(110, 490, 9):
        seen = np.interp(s, CURVE.signal, CURVE.effective)
        assert CURVE.signal_at(float(seen)) == pytest.approx(s)


def test_a_fluctuation_does_not_make_it_fall():
    curve = Curve.of([injected(1, 100, 30.0), injected(2, 200, 20.0), injected(3, 300, 90.0)])
    assert curve.effective.tolist() == [0, 25, 25, 90]
    assert curve.signal_at(25.0) == 100.0


def hunt_with(n_obs: float, n_bkg: float):
    counting = Counting(
        name="c", n_obs=n_obs, n_bkg=n_bkg, m=1e7, initialisation=0.0, bootstrap=0.0, non_closure=0.02, scatter=0.0, nu=np.inf
    )  # fmt: skip
    space = build_workspace(counting)
    observed, expected = upper_limit(space)
    limit = dataclasses.replace(GOOD.limit, s_obs=observed, s_exp=expected)
    return dataclasses.replace(GOOD, limit=limit), space


def test_with_a_constant_efficiency_it_is_the_limit_over_it():
    h, space = hunt_with(205.0, 200.0)
    straight = Curve(np.array([0.0, 1.0, 1000.0]), np.array([0.0, 0.4, 400.0]), np.zeros(3))
    found = limit_own_signal(h, space, straight, acceptance=0.5)
    assert found.observed == pytest.approx(h.limit.s_obs / 0.4 / 0.5, rel=1e-4)
    np.testing.assert_allclose(found.expected, np.array(h.limit.s_exp) / 0.2, rtol=1e-4)
    assert found.efficiency == pytest.approx(0.2)


def test_an_uncertain_efficiency_weakens_it_as_pyhf_says():
    """A limit of s events on a signal whose size is known to 30 % only; compared with marginal toys of the count."""
    h, space = hunt_with(200.0, 200.0)
    straight = Curve(np.array([0.0, 1.0, 1000.0]), np.array([0.0, 0.4, 400.0]), np.array([0.0, 0.3, 0.3]))
    exact = Curve(straight.signal, straight.effective, np.zeros(3))
    weak, sharp = (limit_own_signal(h, space, c, acceptance=1.0) for c in (straight, exact))
    assert weak.efficiency_error == 0.3
    rng = np.random.default_rng(1)
    bias = np.exp(0.02 * rng.standard_normal(200_000))

    def cls(signal: float, error: float) -> float:
        seen = signal * 0.4 * np.exp(error * rng.standard_normal(len(bias)))
        both, alone = (np.mean(rng.poisson(200 * bias + s) <= 200) for s in (seen, 0.0))
        return float(both / alone)

    assert cls(sharp.observed, 0.0) == pytest.approx(0.05, abs=0.012)
    assert cls(weak.observed, 0.3) == pytest.approx(0.05, abs=0.025)
    assert weak.observed > 1.1 * sharp.observed
