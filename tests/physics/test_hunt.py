"""The whole chain in memory, by the public verbs: an injected signal is found, background alone is not, labels reach nothing else."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from conftest import toy_table

import cathode
from cathode import ClassifierSettings, ClosureSettings, DensitySettings, Events, StatisticsSettings, Window
from cathode.classifier.settings import TreeSettings
from cathode.config import load_config
from cathode.density.settings import HistogramSettings
from cathode.events import Labels
from cathode.intake.prepare import Prepared, prepare_events
from cathode.intake.settings import DataSettings, InjectionSettings
from cathode.running.check import describe
from cathode.steps import STEPS
from cathode.steps.run import function_of

WINDOW = Window.around(3000, width=400, range=(2000, 5000))
POINTS = (0.1, 0.01)
CLASSIFIER = ClassifierSettings(members=4, splits=1, boosted_trees=TreeSettings(trees=30, min_leaf=50))
BACKGROUND = DensitySettings(bootstraps=2, seeds=2, histogram=HistogramSettings(epochs=3, steps=0))
CLOSURE = ClosureSettings(windows=12, bootstraps=2)


def prepared(table, *, injection=None, blinded=()) -> Prepared:
    data = DataSettings(
        source="memory", mass="m", features=("a", "b", "c"), label="label" if "label" in table else None
    )
    columns = {name: table[name].to_numpy() for name in table}
    return prepare_events(data, InjectionSettings(injection), WINDOW.range, seed=1, blinded=blinded, columns=columns)


def hunt(n_signal: int, method: str, seed: int = 1):
    """Results of one method on the toy, and what labels say of them."""
    p = prepared(toy_table(25000, n_signal, seed))
    common = {"window": WINDOW, "seed": seed}
    density = cathode.fit_density(p.events, background=BACKGROUND, **common)
    template = cathode.make_template(p.events, density, **common) if method == "cathode" else None
    scores = cathode.score(p.events, template, p.spare, method=method, classifier=CLASSIFIER, **common)
    closure = cathode.measure_closure(
        p.events,
        method=method,
        working_points=POINTS,
        background=BACKGROUND,
        classifier=CLASSIFIER,
        closure=CLOSURE,
        **common,
    )
    background = cathode.estimate_background(scores, closure, working_points=POINTS)
    results, *workspaces = cathode.infer(
        background, density, p.events, scores, window=WINDOW, statistics=StatisticsSettings(limits=False)
    )
    assert [w.tree["observations"][0]["data"] for w in workspaces] == [[r.n_obs] for r in results.entries]
    return results.entries, cathode.evaluate(p.events, p.labels, scores, window=WINDOW, working_points=POINTS)


def test_an_injected_signal_is_found_with_all_uncertainties():
    results, truth = hunt(250, "cathode")
    best = max(results, key=lambda r: r.z)
    assert best.z > 6
    assert best.sigma.non_closure > 0
    assert best.why().stages[-1].z == pytest.approx(best.z)
    assert best.why().stages[0].z > best.cross_checks.z_li_ma > best.z  # statistics alone, and all that follows
    for result, t in zip(results, truth.entries, strict=True):
        excess = result.n_obs - result.n_bkg
        assert abs(excess - t.n_sig_obs) < 4 * np.hypot(result.sigma.total, np.sqrt(result.n_bkg))
    assert truth.entries[0].max_sic > 5


@pytest.mark.parametrize("method", ["cathode", "cwola"])
def test_background_alone_is_not(method):
    results, _ = hunt(0, method, seed=2)
    assert max(abs(r.z) for r in results) < 3


def test_permuted_labels_leave_the_events_untouched():
    table = toy_table(3000, 100, 3)
    permuted = table.assign(label=table.label.sample(frac=1, random_state=0).to_numpy())
    a, b = prepared(table), prepared(permuted)
    np.testing.assert_array_equal(a.events.features, b.events.features)
    np.testing.assert_array_equal(a.events.row, b.events.row)
    assert len(a.spare) == len(b.spare) == 0
    assert a.labels.label.sum() > 50
    assert not np.array_equal(a.labels.label, b.labels.label)


def test_a_search_gives_the_same_numbers_with_and_without_labels():
    """Spare signal is scored, for the evaluation; it must not reach a number of the hunt."""
    p = prepared(toy_table(8000, 300, 4), injection=60)
    assert len(p.spare) > 200
    keys = {"window": WINDOW, "seed": 1}
    light = ClassifierSettings(members=4, splits=1, boosted_trees=TreeSettings(trees=5))
    density = cathode.fit_density(p.events, background=BACKGROUND, **keys)
    template = cathode.make_template(p.events, density, **keys)
    for method, against in (("cathode", template), ("cwola", None)):
        found = []
        for spare in (p.spare, None, p.spare[np.arange(50)]):
            scores = cathode.score(p.events, against, spare, method=method, classifier=light, **keys)
            found.append(cathode.estimate_background(scores, working_points=POINTS))
        assert found[0] == found[1] == found[2]


def test_only_the_evaluation_and_the_reference_classifiers_can_see_labels():
    """A step knows labels only if it declares them; events carry none, whatever a table calls its columns."""
    sees = {
        step
        for step in STEPS
        if any(
            p.annotation in (Labels, Labels | None)
            for p in inspect.signature(function_of(step), eval_str=True).parameters.values()
        )
    }
    assert sees == {"score_reference", "evaluate_hunts"}
    table = toy_table(3000, 100, 3).rename(columns={"label": "truth"})
    events = Events.from_frame(table, mass="m", features=["a", "b", "c"], range=WINDOW.range)
    marked = Events.from_frame(
        table.assign(truth=1 - table.truth), mass="m", features=["a", "b", "c"], range=WINDOW.range
    )
    for field in ("names", "row", "mass", "features"):
        np.testing.assert_array_equal(getattr(events, field), getattr(marked, field))


def test_a_blind_intake_keeps_no_event_of_the_signal_region_and_tells_nothing_of_it():
    table = toy_table(4000, 100, 3).drop(columns="label")
    inside = WINDOW.in_signal(table.m.to_numpy())
    found = prepared(table, blinded=(WINDOW.signal,))
    assert len(found.events) == (~inside & WINDOW.in_sideband(table.m.to_numpy())).sum() > 1000
    assert not WINDOW.in_signal(found.events.mass).any()
    assert found.intake.read is found.intake.dropped is None
    # other events there, more of them, one with a defect: nothing changes
    other = table.copy()
    other.loc[inside, ["a", "b", "c"]] = 7.0
    other.loc[np.flatnonzero(inside)[3], "a"] = np.nan
    again = prepared(other, blinded=(WINDOW.signal,))
    for field in ("row", "mass", "features"):
        np.testing.assert_array_equal(getattr(found.events, field), getattr(again.events, field))
    assert found.intake == again.intake


def test_a_blind_check_says_the_same_whatever_is_in_the_signal_region(tmp_path, monkeypatch):
    table = toy_table(9000, 0, 3).drop(columns="label")
    inside = WINDOW.in_signal(table.m.to_numpy())
    other = table[~inside | (np.arange(len(table)) % 3 == 0)].copy()  # fewer events there, and other ones
    other.loc[WINDOW.in_signal(other.m.to_numpy()), ["a", "b", "c"]] = 1000.0
    said = []
    for name, content in (("here", table), ("there", other)):
        folder = tmp_path / name
        folder.mkdir()
        content.to_parquet(folder / "events.parquet")
        monkeypatch.chdir(folder)
        config = load_config(
            {
                "data": {"source": "files", "files": ["events.parquet"], "mass": "m", "features": ["a", "b", "c"]},
                "windows": {"range": [*WINDOW.range], "signal_regions": [[*WINDOW.signal]]},
                "closure": {"windows": 4},
                "blind": True,
            }
        )
        said.append(describe(config))
    assert "5000 GeV outside the signal regions" in said[0]
    assert "window m3000: hidden events" in said[0]
    assert said[0] == said[1]


def test_spare_signal_changes_no_count_of_a_search():
    """Labelled signal that was not injected serves the evaluation only."""
    p = prepared(toy_table(6000, 400, 5), injection=150)
    one, two = (
        cathode.score(p.events, None, spare, window=WINDOW, method="cwola", classifier=CLASSIFIER).splits[0]
        for spare in (p.spare, p.spare[np.arange(100)])
    )
    assert len(one.extra_score) > len(two.extra_score) > 50
    for field in ("score", "member_score", "ref_score", "row", "fold"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))


@pytest.mark.parametrize("method", ["idealised", "supervised"])
def test_reference_classifiers_find_the_signal(method):
    p = prepared(toy_table(15000, 400, 5), injection=150)
    scores = cathode.score_reference(p.events, p.labels, p.spare, window=WINDOW, method=method, classifier=CLASSIFIER)
    truth = cathode.evaluate(p.events, p.labels, scores, window=WINDOW, working_points=POINTS)
    assert truth.entries[0].auc > (0.97 if method == "supervised" else 0.85)
    assert truth.entries[1].sic > 5
    # only the supervised one learns from labelled signal that is in no data
    fewer = p.spare[np.arange(50)]
    again = cathode.score_reference(p.events, p.labels, fewer, window=WINDOW, method=method, classifier=CLASSIFIER)
    assert np.array_equal(again.splits[0].score, scores.splits[0].score) == (method == "idealised")


def test_the_wrong_verb_for_a_method_is_refused():
    p = prepared(toy_table(3000, 100, 3))
    with pytest.raises(cathode.CathodeError, match="supervised needs truth labels, expected score_reference"):
        cathode.score(p.events, window=WINDOW, method="supervised")
    with pytest.raises(cathode.CathodeError, match="cwola is no reference classifier, expected score"):
        cathode.score_reference(p.events, p.labels, window=WINDOW, method="cwola")
    with pytest.raises(cathode.CathodeError, match="cathode: found no template"):
        cathode.score(p.events, window=WINDOW)
    with pytest.raises(cathode.CathodeError, match=r"found cathod \(did you mean cathode\?\)"):
        cathode.score(p.events, window=WINDOW, method="cathod")
