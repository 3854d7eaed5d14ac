"""Unseen events: they pass as often as the hunt has measured, its own events as they did in the hunt, and a model can be sent."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from conftest import toy_table
from linear_density import LinearDensity

import cathode
from cathode import io
from cathode.classifier.folds import _fit_members
from cathode.classifier.kept import FoldClassifier
from cathode.classifier.settings import NetworkSettings, TreeSettings
from cathode.cli import main
from cathode.inference.model import Model
from cathode.unseen import apply_all, describe

TABLE = toy_table(14000, 120, 1)
POINTS = (0.1, 0.02)


@pytest.fixture(scope="module")
def found() -> cathode.Hunt:
    """A hunt with two methods."""
    return cathode.hunt(
        TABLE,
        mass="m", features=["a", "b", "c"], window=(2800, 3200), range=(2000, 5000),
        methods=("cathode", "cwola"), density=LinearDensity, working_points=POINTS,
        background=cathode.DensitySettings(bootstraps=2, seeds=2),
        classifier=cathode.ClassifierSettings(folds=3, members=4, splits=2, boosted_trees=TreeSettings(trees=15)),
        closure=cathode.ClosureSettings(windows=4, bootstraps=2),
        progress=False, cores=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def saved(found, tmp_path_factory):
    """Its folder."""
    return found.save(tmp_path_factory.mktemp("run") / "hunt")


def counts(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(frame.attrs["counts"]).set_index(["method", "eps_bkg"])


def test_its_own_events_are_counted_as_in_the_hunt_in_any_order(found):
    shuffled = TABLE.sample(frac=1, random_state=4).reset_index(drop=True)
    for table in (TABLE, shuffled):
        seen = counts(found.apply(table))
        for result in found.results:
            own = seen.loc[result.method, result.eps_bkg]
            assert own["n"] == own["n_own"] == result.n_sr
            assert own["passed"] == pytest.approx(result.n_obs_average, abs=1e-9)
            assert own["expected"] == pytest.approx(result.n_bkg, rel=1e-12)
            assert own["p"] == pytest.approx(result.p_local, rel=1e-9)
            assert own["z"] == pytest.approx(result.z_local, rel=1e-9)


def test_its_own_events_have_the_scores_of_the_hunt(found):
    frame = found.apply(TABLE).query("method == 'cathode'").set_index("row")
    chosen = found.select(("cathode", 0.02)).set_index("row")
    ours = frame.loc[chosen.index]
    np.testing.assert_allclose(ours["score"], chosen["score"], rtol=0.02)  # the ladder of efficiencies is sparse
    assert ours["passes_0.02"].mean() > 0.7
    assert ours["mass"].tolist() == chosen["mass"].tolist()


def test_unseen_background_passes_as_often_as_was_measured(found):
    """Scored by all folds together against the thresholds of one, it would pass 0.7 times as often."""
    for row in found.apply(toy_table(150000, 0, 77).drop(columns="label")).attrs["counts"]:
        method, eps = row["method"], row["eps_bkg"]
        assert row["n_own"] == 0
        assert row["efficiency"] == pytest.approx(eps, rel=0.1 if eps == 0.1 else 0.25), (method, eps)
        assert abs(row["passed"] - row["expected"]) < 3.5 * np.hypot(row["sigma"], np.sqrt(row["expected"]))


def test_the_efficiency_is_not_that_of_averaged_folds(found):
    """The mistake that the test above is there for, made on purpose: it is far outside of its bound."""
    model = found.model
    x = found.model.features
    unseen = toy_table(150000, 0, 77)
    inside = unseen[(unseen["m"] >= 2800) & (unseen["m"] < 3200)]
    shares = []
    for split in model.methods[0].splits:
        mean = np.mean([fold.score(inside[list(x)].to_numpy()) for fold in split.folds], axis=0)
        mine = split.cut_point == 1
        shares.append(np.mean([(mean >= t).mean() for t in split.cut_threshold[mine]]))
    assert np.mean(shares) < 0.85 * 0.02


def test_own_events_would_pass_too_often_where_they_trained(found):
    forgetful = dataclasses.replace(found.model, own=found.model.own ^ np.uint64(1))
    table = TABLE[TABLE["label"] == 0]
    held, trained = (counts(apply_all([m], table)).loc["cathode", 0.1] for m in (found.model, forgetful))
    assert trained["n_own"] == 0
    assert trained["passed"] > 1.15 * held["passed"]


def test_signal_scores_higher_and_a_few_events_are_enough(found):
    signal = toy_table(20, 3000, 5).query("label == 1").head(7).drop(columns="label")
    frame = found.apply(signal)
    assert set(frame.columns) == {"row", "mass", "window", "method", "score", "own", "passes_0.1", "passes_0.02"}
    of_cathode = frame.query("method == 'cathode'")
    assert of_cathode["score"].median() > 1.3
    assert of_cathode["passes_0.1"].mean() > 0.7
    none = found.apply(signal.assign(m=2300.0))
    assert len(none) == 0
    assert np.isnan(none.attrs["counts"][0]["efficiency"])
    assert "-" in describe(none)


@pytest.mark.parametrize("model", ["boosted_trees", "network"])
def test_kept_classifiers_score_to_the_last_digit(model, tmp_path):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(900, 3))
    y = (rng.random(900) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(float)
    settings = cathode.ClassifierSettings(
        model=model, boosted_trees=TreeSettings(trees=5, min_leaf=20), network=NetworkSettings(epochs=40, batch=128)
    )
    members = _fit_members(settings, x, y, np.ones(900), [1, 2, 3, 4], "cpu")
    kept = FoldClassifier.of(members)
    fresh = rng.normal(size=(500, 3))
    expected = np.stack([m.predict(fresh) for m in members], axis=1).mean(axis=1)
    np.testing.assert_array_equal(kept.score(fresh), expected)
    assert np.corrcoef(expected, fresh[:, 0])[0, 1] > 0.8


def test_a_saved_run_and_a_sent_file_say_the_same(found, saved, tmp_path, capsys):
    table = toy_table(3000, 40, 9)
    in_memory = found.apply(table)
    pd.testing.assert_frame_equal(cathode.apply(saved, table), in_memory)
    sent = tmp_path / "model.npz"
    sent.write_bytes((saved / "m3000" / "model.npz").read_bytes())
    table.to_csv(tmp_path / "new.csv", index=False)
    out = tmp_path / "scored.csv"
    assert main(["apply", str(sent), str(tmp_path / "new.csv"), "--out", str(out)]) in (0, None)
    said = capsys.readouterr().out
    written = pd.read_csv(out)
    pd.testing.assert_frame_equal(written, in_memory, check_exact=False, rtol=1e-12)
    assert "m3000" in said
    assert f"{in_memory.attrs['counts'][0]['passed']:.1f}" in said


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("edited", "damaged or|its content is not what was written"),
        ("foreign", r"expected cathode/model/1, found"),
        ("absent", "no such file|found no summary.json"),
        ("window", "found no window m9, expected one of m3000"),
        ("out", r"expected a name that ends with \.parquet"),
        ("column", "column c not found"),
    ],
)
def test_what_cannot_be_applied_is_refused_in_one_line(argument, message, saved, tmp_path, capsys):
    model, table, out, more = tmp_path / "model.npz", tmp_path / "t.csv", tmp_path / "o.parquet", []
    content = bytearray((saved / "m3000" / "model.npz").read_bytes())
    toy_table(200, 10, 9).drop(columns=["c"] if argument == "column" else []).to_csv(table, index=False)
    if argument == "edited":
        content[len(content) // 2] ^= 1
    if argument == "foreign":
        content = bytearray(b"PK not a model")
    if argument != "absent":
        model.write_bytes(content)
    if argument == "window":
        more = ["--window", "m9"]
    if argument == "out":
        out = tmp_path / "o.pkl"
    assert main(["apply", str(model), str(table), "--out", str(out), *more]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(message, error), error
    assert not out.exists()


def test_a_model_holds_nothing_that_runs(saved):
    """Arrays and text: what is read has been checked, and no pickle is loaded."""
    with np.load(saved / "m3000" / "model.npz", allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "uif" for name in file.files)
    read = io.read(saved / "m3000" / "model.npz", Model)
    assert read.features == ("a", "b", "c")
    assert [m.method for m in read.methods] == ["cathode", "cwola"]
