"""The whole chain in memory: an injected signal is found, background alone is not, labels reach nothing else."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from conftest import toy_table

from cathode import steps
from cathode.classifier import ClassifierSettings
from cathode.classifier.trees import TreeSettings
from cathode.closure import ClosureSettings
from cathode.events import Events, Labels
from cathode.generator import GeneratorSettings
from cathode.intake import DataSettings, InjectionSettings
from cathode.regions import Window
from cathode.stats.settings import StatisticsSettings
from cathode.template import BackgroundSettings, TemplateSettings
from cathode.template.histogram import HistogramSettings

WINDOW = Window("m3000", (2800.0, 3200.0), (2000.0, 5000.0))
WORKING_POINTS = (0.1, 0.01)
CLASSIFIER = ClassifierSettings(members=4, splits=1, boosted_trees=TreeSettings(trees=30, min_leaf=50))
BACKGROUND = BackgroundSettings(bootstraps=2, seeds=2, histogram=HistogramSettings(epochs=3))
CLOSURE = ClosureSettings(windows=12, bootstraps=2)


def hunt(n_signal: int, method: str, tmp_path, seed: int = 1):
    """Entries of one method on the toy, through the same functions as the workflow."""
    path = tmp_path / f"toy{n_signal}.parquet"
    toy_table(25000, n_signal, seed).to_parquet(path)
    data = DataSettings(source="files", files=(str(path),), mass="m", features=("a", "b", "c"), label="label")
    events, labels, spare = steps.prepare(
        [],
        generator=GeneratorSettings(),
        data=data,
        injection=InjectionSettings(),
        mass_range=WINDOW.range,
        blinded=(),
        seed=seed,
    )
    common = {"window": WINDOW, "seed": seed}
    density = steps.fit_density(events, background=BACKGROUND, device="cpu", **common)
    if method == "cathode":
        template = steps.sample_template(events, density, template=TemplateSettings(), **common)
        scores = steps.score_cathode(events, template, spare, classifier=CLASSIFIER, device="cpu", **common)
    else:
        scores = steps.score_cwola(events, spare, classifier=CLASSIFIER, device="cpu", **common)
    tests = [
        steps.score_pseudo(
            events, batch=str(i), method=method, background=BACKGROUND, template=TemplateSettings(),
            classifier=CLASSIFIER, closure=CLOSURE, device="cpu", **common,
        )
        for i in range(CLOSURE.jobs)
    ]  # fmt: skip
    keys = {"window": WINDOW, "working_points": WORKING_POINTS, "statistics": StatisticsSettings(limits=False)}
    closure = steps.measure_closure(tests, [], **keys)
    estimates = steps.estimate_background(scores, [closure], [], **keys)
    hunts = steps.infer(estimates, density, events, scores, window=WINDOW, statistics=keys["statistics"])[0]
    truth = steps.evaluate(events, labels, scores, window=WINDOW, working_points=WORKING_POINTS)
    return hunts.entries, truth


def test_an_injected_signal_is_found_with_all_uncertainties(tmp_path):
    entries, truth = hunt(250, "cathode", tmp_path)
    best = max(entries, key=lambda e: e["z_local"])
    assert best["z_local"] > 4
    assert best["sigma"]["non_closure"] > 0
    for entry, t in zip(entries, truth.entries, strict=True):
        excess = entry["n_obs"] - entry["n_bkg"]
        assert abs(excess - t["n_sig_obs"]) < 4 * np.hypot(entry["sigma"]["total"], np.sqrt(entry["n_bkg"]))
    assert truth.entries[0]["max_sic"] > 5


@pytest.mark.parametrize("method", ["cathode", "cwola"])
def test_background_alone_is_not(method, tmp_path):
    entries, _ = hunt(0, method, tmp_path, seed=2)
    assert max(abs(e["z_local"]) for e in entries) < 3


def test_permuted_labels_leave_the_events_untouched(tmp_path):
    table = toy_table(3000, 100, 3)
    permuted = table.assign(label=table.label.sample(frac=1, random_state=0).to_numpy())
    found = []
    for name, t in (("a", table), ("b", permuted)):
        t.to_parquet(tmp_path / f"{name}.parquet")
        data = DataSettings(
            source="files",
            files=(str(tmp_path / f"{name}.parquet"),),
            mass="m",
            features=("a", "b", "c"),
            label="label",
        )
        found.append(
            steps.prepare(
                [],
                data=data,
                injection=InjectionSettings(),
                generator=GeneratorSettings(),
                mass_range=WINDOW.range,
                blinded=(),
                seed=1,
            )
        )
    (a, la, sa), (b, lb, sb) = found
    np.testing.assert_array_equal(a.features, b.features)
    np.testing.assert_array_equal(a.row, b.row)
    assert len(sa) == len(sb) == 0
    assert not np.array_equal(la.label, lb.label)


def test_only_the_evaluation_and_the_reference_classifiers_can_see_labels():
    """Events carry no label, so a step without a Labels parameter cannot know one."""
    assert "label" not in Events.__dataclass_fields__
    sees = {
        name
        for name, step in steps.STEPS.items()
        if any(p.annotation is Labels for p in inspect.signature(step, eval_str=True).parameters.values())
    }
    assert sees == {"score_reference", "evaluate"}


def test_a_blind_run_reads_no_event_of_the_signal_region(tmp_path):
    toy_table(3000, 100, 3).to_parquet(tmp_path / "t.parquet")
    data = DataSettings(
        source="files", files=(str(tmp_path / "t.parquet"),), mass="m", features=("a", "b", "c"), label="label"
    )
    events, labels, _ = steps.prepare(
        [],
        generator=GeneratorSettings(),
        data=data,
        injection=InjectionSettings(),
        mass_range=WINDOW.range,
        blinded=(WINDOW.signal,),
        seed=1,
    )
    assert not WINDOW.in_signal(events.mass).any()
    assert len(labels.label) == len(events)


@pytest.mark.parametrize("method", ["idealised", "supervised"])
def test_reference_classifiers_find_the_signal(method, tmp_path):
    toy_table(15000, 400, 5).to_parquet(tmp_path / "t.parquet")
    data = DataSettings(
        source="files", files=(str(tmp_path / "t.parquet"),), mass="m", features=("a", "b", "c"), label="label"
    )
    events, labels, spare = steps.prepare(
        [],
        generator=GeneratorSettings(),
        data=data,
        injection=InjectionSettings(150),
        mass_range=WINDOW.range,
        blinded=(),
        seed=1,
    )
    scores = steps.score_reference(
        events, labels, spare, window=WINDOW, method=method, classifier=CLASSIFIER, seed=1, device="cpu"
    )
    truth = steps.evaluate(events, labels, scores, window=WINDOW, working_points=WORKING_POINTS)
    assert truth.entries[0]["auc"] > (0.97 if method == "supervised" else 0.85)
    assert truth.entries[1]["sic"] > 5
