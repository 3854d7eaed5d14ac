"""A limit on a signal of one's own: the efficiency grows with the signal, what leaks into the sidebands is accounted for, and the limit holds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from conftest import toy_table
from linear_density import LinearDensity
from scipy.stats import chi2

import cathode
from cathode.calibration.response import inject_signal
from cathode.classifier.settings import TreeSettings
from cathode.cli import main
from cathode.commands.parser import parse
from cathode.errors import ConfigError, FitError
from cathode.inference.closure import known_overdispersion
from cathode.inference.shapes import window_likelihood
from cathode.own_signal import band, read_signal
from cathode.spectrum.sideband_model import MassModel

N = 14000
SIGNAL = toy_table(10, 4000, 5).query("label == 1").drop(columns="label")
SIGNAL[["a", "b", "c"]] = np.random.default_rng(6).normal([1.6, -1.2, 1.2], 0.6, (len(SIGNAL), 3))


@pytest.fixture(scope="module")
def found() -> cathode.Hunt:
    """A hunt where there is nothing."""
    return cathode.hunt(
        toy_table(N, 0, 3).drop(columns="label"),
        mass="m", features=["a", "b", "c"], window=(2800, 3200), range=(2000, 5000),
        methods=("cathode", "cwola"), density=LinearDensity, working_points=(0.1, 0.02),
        background=cathode.DensitySettings(bootstraps=2, seeds=2),
        classifier=cathode.ClassifierSettings(folds=3, members=4, splits=1, boosted_trees=TreeSettings(trees=15)),
        closure=cathode.ClosureSettings(windows=4, bootstraps=2),
        progress=False, cores=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def limits(found):
    return found.limit_signal(SIGNAL, strengths=(0.4, 2, 5), draws=2, cores=1)


def test_the_efficiency_is_learned_from_the_signal(limits):

    def efficiency(strength: float) -> float:
        own = [i for i in limits.injected if (i.method, i.strength, i.eps_bkg) == ("cathode", strength, 0.02)]
        return float(np.mean([i.n_passing / i.n_inside for i in own]))

    low, high = efficiency(0.4), efficiency(5)
    assert high > 0.3
    assert low < 0.8 * high


def test_processes_change_nothing(found, limits):
    """And know a density that was handed over as a class."""
    again = found.limit_signal(SIGNAL, strengths=(0.4, 2, 5), draws=2, cores=2)
    assert again.limits == limits.limits
    assert again.injected == limits.injected


def test_what_is_excluded_would_have_been_seen(found, limits):
    """A signal of the size of the limit, in fresh data, gives a count that CLs excludes: the way back."""
    assert all(np.isfinite(f.expected[2]) for f in limits.limits)
    best = limits.best
    assert best.eps_bkg == 0.02
    assert best.expected[0] <= best.expected[2] <= best.expected[4]
    fresh = pd.concat(
        [found_table(31), SIGNAL.sample(round(1.6 * best.expected[4]), random_state=2)], ignore_index=True
    )
    again = cathode.hunt(
        fresh, mass="m", features=["a", "b", "c"], window=(2800, 3200), range=(2000, 5000),
        methods=(best.method,), density=LinearDensity, working_points=(0.02,), background=found.config.background,
        classifier=found.config.classifier, closure=found.config.closure, progress=False, cores=1,
    )  # fmt: skip
    assert again.limit().s_obs > found[best.method, 0.02].limit.s_exp[4]


def found_table(seed: int) -> pd.DataFrame:
    return toy_table(N, 0, seed).drop(columns="label")


def test_signal_in_the_sidebands_lowers_what_is_seen(found):
    """Half of a wide signal trains the template: background then passes less often than the hunt expects, and by as much as is said."""
    rng = np.random.default_rng(4)
    wide = SIGNAL.assign(m=rng.uniform(2500, 3500, len(SIGNAL)))
    signal, n_table = read_signal(found.config, wide)
    assert n_table == len(wide) == len(signal)
    common = {
        "window": found.window, "background": found.config.background, "template": found.config.template,
        "classifier": found.config.classifier, "seed": 1, "device": "cpu", "draw": 0, "data": found.config.data,
    }  # fmt: skip
    hunts = [h for h in found.results if h.eps_bkg == 0.02]
    of_wide = {i.method: i for i in inject_signal(found.events, signal, hunts, 6.0, **common)}
    assert (
        of_wide["cwola"].n_passing < 0.2 * of_wide["cathode"].n_passing
    )  # as much of it in the strips as between them
    for i in (of_wide["cathode"],):
        assert 0.3 < i.n_inside / i.n_injected < 0.5
        assert i.background < 0.9, i.method
        assert i.effective < i.n_passing
        b = next(h for h in hunts if h.method == i.method).n_bkg
        assert i.effective == pytest.approx(i.n_passing + (i.background - 1) * b, rel=0.2)
    narrow, _ = read_signal(found.config, SIGNAL)
    for i in inject_signal(found.events, narrow, hunts, 6.0, **common):
        assert i.background == pytest.approx(1.0, abs=0.06), i.method


def test_variations_of_the_simulated_signal_are_nuisances_of_its_limit(found, limits):
    """A shift of the mass, on which the features of this signal do not depend, is the change of what lies in the window; none is none."""
    changes = {
        "mass_scale": {"m": "m * 1.05"},
        "nothing": {"a": "a + 0"},
        "feature_scale": {"a": "a * 0.9", "b": "b * 0.9"},
    }
    again = found.limit_signal(SIGNAL, strengths=(0.4, 2, 5), draws=2, variations=changes, cores=2)
    inside = [((scale * SIGNAL.m >= 2800) & (scale * SIGNAL.m < 3200)).sum() for scale in (1.0, 1.05)]
    assert 0.5 < inside[1] / inside[0] < 0.9
    for before, now in zip(limits.limits, again.limits, strict=True):
        sizes = dict(now.variations)
        assert sizes["mass_scale"] == pytest.approx(-np.log(inside[1] / inside[0]), abs=0.05)
        assert sizes["nothing"] == 0
        assert now.efficiency == pytest.approx(before.efficiency, rel=0.2)  # the median limit barely moves
        assert now.expected[4] > 1.01 * before.expected[4] or not np.isfinite(now.expected[4])
        assert now.observed >= 0.999 * before.observed
    assert dict(again.best.variations)["feature_scale"] > 0.02  # nearer to the background
    assert "mass_scale" in str(again)
    assert again.frame["variation_nothing"].eq(0).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mu": {"m": "m"}}, "variations: found name 'mu'"),
        ({"jes": "m * 2"}, r"variations\.jes: found 'm \* 2', expected expressions by column"),
        ({"jes": {"mass": "m * 2"}}, r"variations\.mass: column mass not found"),
        ({"jes": {"m": "m *"}}, r"variations\.m"),
        (["jes"], "expected names of systematics"),
    ],
)
def test_what_is_no_variation_is_refused(found, changes, words):
    with pytest.raises(cathode.CathodeError, match=words):
        found.limit_signal(SIGNAL, variations=changes, cores=1)


def test_what_is_made_of_a_varied_column_follows_it(tmp_path):
    """In memory and from a file, where columns are read that the hunt itself does not need."""
    table = SIGNAL.assign(up=SIGNAL.a + 1)
    data = cathode.Config().data
    data = dataclasses.replace(
        data, source="memory", files=(), mass="m", features=("s", "b"), define={"s": "a + c"}, label=None
    )
    config = dataclasses.replace(cathode.Config(), data=data, windows=dataclasses.replace(cathode.Config().windows, range=(2000, 5000), signal_regions=((2800, 3200),)))  # fmt: skip
    table.to_csv(tmp_path / "signal.csv", index=False)
    for given in (table, tmp_path / "signal.csv"):
        plain, n = read_signal(config, given)
        moved, same = read_signal(config, given, {"a": "up"})
        assert n == same == len(table)
        np.testing.assert_allclose(moved.features, plain.features + np.array([1.0, 0.0]))
        np.testing.assert_array_equal(moved.mass, plain.mass)


def test_more_signal_events_than_asked_for_are_needed(found):
    with pytest.raises(cathode.CathodeError, match=r"found 40 events in the signal region of m3000, expected at least"):
        found.limit_signal(SIGNAL.query("2800 <= m < 3200").head(40), cores=1)
    with pytest.raises(cathode.CathodeError, match="found no window m5, expected one of m3000"):
        found.limit_signal(SIGNAL, window="m5", cores=1)


def test_a_table_that_holds_background_is_refused(found):
    config = dataclasses.replace(found.config, data=dataclasses.replace(found.config.data, label="label"))
    mixed = toy_table(200, 3000, 5)
    with pytest.raises(cathode.CathodeError, match="label 0 in the range, expected a table of signal alone"):
        read_signal(config, mixed)
    assert read_signal(config, mixed.query("label == 1"))[1] == 3000


def test_it_prints_itself_and_its_table(limits):
    text, frame = str(limits), limits.frame
    assert "95 % CLs" in text
    assert len(frame) == 4
    assert frame["best"].sum() == 1
    assert frame.loc[frame["best"], "expected_+0"].item() == frame["expected_+0"].min()
    assert f"{limits.best.expected[2]:.0f}" in text
    fb = dataclasses.replace(limits, luminosity=10.0).frame
    np.testing.assert_allclose(fb["observed_fb"], fb["observed"] / 10)
    heavier = dataclasses.replace(limits, mass=3200.0)
    drawn = band([heavier, limits]).numbers["signals"]
    assert [r["mass"] for r in drawn] == pytest.approx([limits.mass, 3200.0])
    assert drawn[0]["expected"] == pytest.approx(limits.best.expected, rel=1e-6)


def test_the_command_refuses_in_one_line(tmp_path, capsys):
    assert main(["limit", str(tmp_path), "--signal", "x.csv"]) == 2
    assert "found no summary.json" in capsys.readouterr().err
    for given in (["--out", "new.csv"], ["--draws", "3"], ["--window", "m3000"]):
        assert main(["limit", str(tmp_path), *given]) == 2
        assert f"{given[0]}: found without --signal TABLE" in capsys.readouterr().err


def test_an_option_that_takes_several_takes_them_one_by_one_too():
    at_once = parse(["limit", "run", "--signal", "a.csv", "b.csv", "--strengths", "1", "3"])
    apart = parse(["limit", "run", "--signal", "a.csv", "--strengths", "1", "--signal", "b.csv", "--strengths", "3"])
    assert (apart.signal, apart.strengths) == (at_once.signal, at_once.strengths) == (["a.csv", "b.csv"], [1.0, 3.0])


def test_the_full_likelihood_of_a_hunt(found):
    """Without signal it finds none; with a model of it, what the classifiers let through of its table is what is expected at mu = 1 per root of the background."""
    full = found.full_likelihood(bins=4)
    assert abs(full.z) < 3
    assert full.z_counts == next(j.z for j in found.summary.joint if j.method == "cathode")
    assert full.limit.s_exp[0] < full.limit.s_exp[2] < full.limit.s_exp[4]
    applied = found.apply(SIGNAL)
    applied = applied[applied.method == "cwola"]
    own = found.full_likelihood(SIGNAL, method="cwola", bins=3, systematics={"luminosity": 0.02})
    signal = [c["samples"][0]["data"] for c in own.workspace["channels"] if "sidebands" not in c["name"]]
    tight = applied["passes_0.02"].to_numpy()
    in_bins = [np.histogram(applied.mass, np.linspace(2800, 3200, 4), weights=w)[0] for w in (applied["passes_0.1"] - tight, tight)]  # fmt: skip
    scale = np.sqrt(found["cwola", 0.1].n_bkg) / applied["passes_0.1"].sum()
    np.testing.assert_allclose(signal, scale * np.array(in_bins), rtol=1e-6, atol=1e-8)
    observed = [o["data"] for o in own.workspace["observations"] if "sidebands" not in o["name"]]
    assert np.sum(observed) == pytest.approx(found["cwola", 0.1].n_obs_average)
    assert np.sum(observed[1]) == pytest.approx(found["cwola", 0.02].n_obs_average)
    assert {"known_0", "slope_from_0p02", "gen_stat_from_0p1", "luminosity"} <= {p.name for p in own.pulls}
    assert "95 % CLs limit" in repr(own)
    with pytest.raises(cathode.CathodeError, match="expected at least 1"):
        found.full_likelihood(bins=0)


def test_bins_of_the_full_likelihood_begin_where_rounded_masses_do(found):
    """Else some bins hold more steps than their width says."""
    mass = np.round(found.events.mass / 30) * 30
    rounded = dataclasses.replace(found.events, mass=mass)
    spectrum = MassModel.fit(mass, found.window, found.config.background.mass)
    made = window_likelihood(rounded, found.scores["cwola"], spectrum, found.results, window=found.window, bins=4)
    expected = {c["name"]: c["samples"][-1]["data"] for c in made["channels"]}
    # half a step below the first multiple of 30 from 2800, 2900, ... on; the toy falls by e in 600 GeV
    whole = -np.diff(np.exp(-np.array([2805.0, 2895, 2985, 3105, 3195]) / 600))
    for name in ("from_0p1", "from_0p02"):
        np.testing.assert_allclose(np.array(expected[name]) / np.sum(expected[name]), whole / whole.sum(), rtol=0.03)
    for o in made["observations"]:
        share = np.array(expected[o["name"]]) / np.sum(expected[o["name"]])
        n = np.array(o["data"])
        assert np.sum((n - n.sum() * share) ** 2 / (n.sum() * share)) < chi2.isf(1e-3, len(n) - 1)


def test_a_mass_fit_that_describes_nothing_gives_no_shape(found):
    wrong = dataclasses.replace(found.density.mass, p_value=1e-6)
    with pytest.raises(FitError, match="does not describe the sidebands"):
        window_likelihood(found.events, found.scores["cwola"], wrong, found.results, window=found.window, bins=4)
    window_likelihood(found.events, found.scores["cwola"], wrong, found.results, window=found.window, bins=1)


@pytest.mark.parametrize(
    ("systematics", "words"),
    [({"slope_x": 0.1}, "none that begins with"), ({"luminosity": 2.0}, "found 2, expected a relative")],
)
def test_systematics_of_the_full_likelihood_have_names_and_sizes_of_their_own(found, systematics, words):
    with pytest.raises(ConfigError, match=words):
        found.full_likelihood(systematics=systematics)


def test_a_yardstick_has_no_p_value_that_could_be_computed_again(found):
    result = found["cwola", 0.1]
    yardstick = dataclasses.replace(result, method="idealised")
    assert yardstick.predictive is None
    assert yardstick.behind == result.behind == result.predictive
    statistics = cathode.StatisticsSettings(overdispersion=1.5)
    assert known_overdispersion(None, "idealised", (0.1,), statistics) == (1.0,)
    assert known_overdispersion(None, "cwola", (0.1,), statistics) == (1.5,)
