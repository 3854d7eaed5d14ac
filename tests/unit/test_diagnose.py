"""Columns that a density cannot describe, or that say nothing new, are named with what to do; discrete ones are spread."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import toy_table
from scipy.stats import kstest

from cathode.config import load_config
from cathode.errors import DataError
from cathode.events import Events
from cathode.intake.diagnose import describe_features, explained_by_mass, repeated_features, spread
from cathode.running.check import describe

N = 40_000
RNG = np.random.default_rng(1)
M = 2000 + RNG.exponential(600, N)
A = RNG.normal(size=N) + 0.2 * np.log(M / 3000)
C = RNG.random(N)


def said(feature: np.ndarray, mass: np.ndarray = M, discrete: tuple[str, ...] = ()) -> list[str]:
    events = Events(("a", "x", "c"), np.arange(N), mass, np.stack([A, feature, C], axis=1))
    return describe_features(events, discrete)


def with_atom(value: float, share: float) -> np.ndarray:
    return np.where(RNG.random(N) < share, value, RNG.normal(size=N))


BAD = {
    "integers": (RNG.poisson(4, N), [r"x: takes \d+ values in 40000 events .*list it in data\.discrete"]),
    "two values": (RNG.integers(0, 2, N), ["x: takes 2 values"]),
    "tenths": (np.round(RNG.normal(size=N), 1), [r"x: takes \d+ values"]),
    "atom at zero": (np.maximum(RNG.normal(size=N), 0), [r"x: is 0 in \d+ of 40000 events \((49|50)\.\d%\); a density"]),
    "sentinel": (with_atom(-999.0, 0.05), [r"x: is -999 in \d+ of 40000 events \([45]\.\d%\), far from all others: a sentinel"]),
    "the mass": (M, ["x: follows the mass (100% of its variance)"]),
    "a function of it": (np.cos(M / 700), [r"x: follows the mass \((9\d|100)%"]),
    "nearly the mass": (M + RNG.normal(0, 20, N), [r"x: follows the mass"]),
    "a copy": (A, ["x: is given by the other features"]),
    "a sum": (2 * A + 1, ["x: is given by the other features"]),
}  # fmt: skip
GOOD = {
    "normal": RNG.normal(size=N),
    "float32": RNG.normal(size=N).astype(np.float32),
    "skewed": RNG.exponential(size=N) ** 3,
    "correlated with a": A + RNG.normal(0, 0.3, N),
    "correlated with the mass": np.log(M) + RNG.normal(0, 0.3, N),
    "a rare value": with_atom(0.0, 0.005),
    "thousandths": np.round(RNG.normal(size=N), 4),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_named(case):
    import re

    feature, patterns = BAD[case]
    lines = said(np.asarray(feature, dtype=float))
    assert len(lines) == len(patterns), lines
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.search(pattern if "\\" in pattern else re.escape(pattern), line), line


@pytest.mark.parametrize("case", GOOD)
def test_what_is_right_is_left_alone(case):
    assert said(np.asarray(GOOD[case], dtype=float)) == []


def test_steps_of_the_mass_are_named_and_spread_columns_are_not():
    assert "mass: comes in steps of 30 GeV" in said(RNG.normal(size=N), np.round(M / 30) * 30)[0]
    assert said(RNG.poisson(4, N).astype(float), discrete=("x",)) == []


def test_the_share_that_the_mass_explains():
    """Independent: 0 within 1 / sqrt(n); a line with noise of variance s^2: the rank correlation's square."""
    x = RNG.normal(size=N)
    assert abs(explained_by_mass(x)) < 4 / np.sqrt(N)
    t = np.linspace(0, 1, N) * np.sqrt(12)
    for noise in (0.1, 1.0, 3.0):
        assert explained_by_mass(t + noise * RNG.normal(size=N)) == pytest.approx(1 / (1 + noise**2), abs=0.04)
    assert repeated_features(np.stack([A, C, A - 2 * C, x], axis=1)) == [2]


def test_spread_values_keep_order_and_share_and_are_even_in_between():
    values = RNG.poisson(2.0, N).astype(float)
    out = spread(values, np.random.default_rng(0))
    assert np.all(np.abs(out - values) <= 0.5)
    for k in range(5):
        inside = out[values == k] - k + 0.5
        assert kstest(inside, "uniform").pvalue > 1e-3
    uneven = np.array([0.0, 1.0, 10.0])[RNG.integers(0, 3, N)]
    out = spread(uneven, np.random.default_rng(0))
    for value, (low, high) in {0.0: (-0.5, 0.5), 1.0: (0.5, 5.5), 10.0: (5.5, 14.5)}.items():
        mine = out[uneven == value]
        assert low <= mine.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < mine.max() <= high
    np.testing.assert_array_equal(out, spread(uneven, np.random.default_rng(0)))


SIDES = {"windows": {"range": [2000, 5000], "signal_regions": [[2800, 3200]]}, "closure": {"windows": 4}}


@pytest.mark.parametrize(
    ("column", "tree", "message"),
    [
        (lambda t: np.arange(len(t)) % 2, {}, r"column a: takes too few values in the sidebands of m3000 .*\(2 in \d+ events\); list it in data\.discrete"),
        (lambda t: t.a, {"template": {"guard": 5.0}}, "sideband events that a template could be made of, expected at least 100"),
        (lambda t: t.a, {"classifier": {"strip_width": 0.01}}, "cwola has .* in its strips below and above"),
    ],
)  # fmt: skip
def test_check_refuses_what_training_would_end_with(column, tree, message, tmp_path, monkeypatch):
    table = toy_table(9000, 0, 1)
    table.assign(a=column(table)).to_parquet(tmp_path / "events.parquet")
    monkeypatch.chdir(tmp_path)
    data = {"source": "files", "files": ["events.parquet"], "mass": "m", "features": ["a", "b", "c"]}
    assert "window m3000" in describe(load_config(SIDES | {"data": data | {"features": ["b", "c"]}}))
    with pytest.raises(DataError, match=message):
        describe(load_config(SIDES | {"data": data} | tree))
    if "data.discrete" in message:
        assert "window m3000" in describe(load_config(SIDES | {"data": data | {"discrete": ["a"]}}))
