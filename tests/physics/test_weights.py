"""Weighted events: what is kept of them is an unweighted sample of what they stand for, and hunts as one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import LinearGaussian

import cathode
from cathode import unseen
from cathode.classifier.settings import TreeSettings
from cathode.errors import ConfigError, DataError
from cathode.intake.prepare import prepare_events
from cathode.intake.settings import DataSettings, InjectionSettings

TRUTH = LinearGaussian()
RANGE = (2000.0, 5000.0)


def weighted(n: int, seed: int) -> pd.DataFrame:
    """Events drawn evenly in the mass and from a wider distribution of the first feature, with weights that make the toy of them."""
    rng = np.random.default_rng(seed)
    m = rng.uniform(*RANGE, n)
    x = TRUTH.sample(m, seed + 1)
    wide = x.copy()
    wide[:, 2] += rng.normal(0, 0.8, n)
    # the third feature has another width: importance weights of normals, known in closed form
    mean = TRUTH.mean(m)
    covariance, broad = TRUTH.covariance(), TRUTH.covariance() + np.diag([0, 0, 0.64])
    d = wide - mean
    log_w = -0.5 * np.einsum("ni,ij,nj->n", d, np.linalg.inv(covariance) - np.linalg.inv(broad), d)
    w = np.exp(log_w - (m - RANGE[0]) / 600)
    return pd.DataFrame({"m": m, "a": wide[:, 0], "b": wide[:, 1], "c": wide[:, 2], "w": 3.0 * w})


def prepare(table: pd.DataFrame, seed: int = 1, **keys):
    data = DataSettings(source="memory", mass="m", features=("a", "b", "c"), weight="w", **keys)
    columns = {name: table[name].to_numpy() for name in table}
    return prepare_events(data, InjectionSettings(), RANGE, seed=seed, columns=columns)


def test_what_is_kept_has_the_distribution_that_the_weights_mean():
    table = weighted(60_000, 1)
    p = prepare(table)
    events, share = p.events, table.w / table.w.max()
    assert len(events) == pytest.approx(share.sum(), abs=4 * np.sqrt((share * (1 - share)).sum()))
    assert p.intake.event_weight == table.w.max()
    assert p.intake.dropped["weight"] == len(table) - len(events)
    edges = np.linspace(*RANGE, 16)
    expected = np.histogram(table.m, edges, weights=share)[0]
    found = np.histogram(events.mass, edges)[0]
    variance = np.histogram(table.m, edges, weights=share * (1 - share))[0]
    assert np.sum((found - expected) ** 2 / variance) < 15 + 4 * np.sqrt(30)
    pull = (events.features - TRUTH.mean(events.mass)) @ np.linalg.inv(np.linalg.cholesky(TRUTH.covariance())).T
    np.testing.assert_allclose(pull.mean(axis=0), 0, atol=4 / np.sqrt(len(events)))
    np.testing.assert_allclose(np.cov(pull.T), np.eye(3), atol=6 / np.sqrt(len(events)))


def test_counts_over_samples_are_poisson():
    """Mean and variance of the count in a window, over samples of a Poisson number of weighted events: equal."""
    counts = []
    rng = np.random.default_rng(0)
    for seed in range(120):
        events = prepare(weighted(rng.poisson(8000), 1000 + seed), seed=seed, allow_loss=0.99).events
        counts.append(((events.mass > 2600) & (events.mass < 2800)).sum())
    mean, variance = np.mean(counts), np.var(counts, ddof=1)
    assert variance / mean == pytest.approx(1, abs=4 * np.sqrt(2 / 119))


def test_a_hunt_on_weighted_background_closes_and_finds_nothing(monkeypatch):
    table = weighted(120_000, 7)
    found = cathode.hunt(
        table, mass="m", features=["a", "b", "c"], window=(2600, 2900), range=RANGE, weight="w", working_points=(0.1, 0.02), cores=1,
        progress=False, background=cathode.DensitySettings(bootstraps=2, seeds=2),
        classifier=cathode.ClassifierSettings(folds=2, members=4, splits=1, boosted_trees=TreeSettings(trees=10)),
        closure=cathode.ClosureSettings(windows=6, bootstraps=2),
    )  # fmt: skip
    for result in found.results:
        closure = result.non_closure
        assert abs(closure.mean) < max(0.15, 3 * closure.sigma)
        assert abs(result.z_local) < 3
    expected = found[0.1].n_sr_expected
    assert abs(found[0.1].n_sr - expected.value) < 4 * np.hypot(expected.fit_error, np.sqrt(expected.value))
    assert "each of which stands for" in found.summary.intake.doubts[0]
    applied = pd.DataFrame(found.apply(table).attrs["counts"]).set_index("eps_bkg")  # thinned as the hunt's own
    for result in found.results:
        assert applied.loc[result.eps_bkg, "n"] == result.n_sr
        assert applied.loc[result.eps_bkg, "p"] == pytest.approx(result.p_local, rel=1e-9)
    said: list[str] = []
    monkeypatch.setattr(unseen.log, "warning", lambda text, *values: said.append(text % values))
    every = pd.DataFrame(found.apply(table.drop(columns="w")).attrs["counts"]).set_index("eps_bkg")
    assert "the table has none, each event counts" in said[0]
    assert every.n.iloc[0] > 1.2 * applied.n.iloc[0]


def test_weights_that_no_probability_can_be_made_of_are_refused():
    table = weighted(5000, 3)
    for change, message in (
        (np.where(np.arange(5000) == 7, -1.0, table.w), "column w has 1 negative weights"),
        (np.zeros(5000), "column w has no positive weight"),
        (np.where(np.arange(5000) == 7, np.nan, table.w), "column w has 1 NaN or infinite values, first in row 7"),
        (np.where(np.arange(5000) == 7, 1e6, table.w), "times their mean leave"),
    ):
        with pytest.raises(DataError, match=message):
            prepare(table.assign(w=change))
    with pytest.raises(ConfigError, match="which is the weight"):
        DataSettings(source="memory", mass="m", features=("a", "w"), weight="w")
    with pytest.raises(ConfigError, match=r"statistics\.luminosity: found with data\.weight"):
        cathode.Config(data=DataSettings(weight="w"), statistics=cathode.StatisticsSettings(luminosity=10.0))
