"""Snakemake runs of a small hunt: complete, reproducible to the byte on any number of cores, rerun no more than needed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, THIRD_PARTY, LinearGaussian, toy_table

import cathode
from cathode import io
from cathode.classifier.settings import TreeSettings
from cathode.config import load_config
from cathode.density.settings import HistogramSettings
from cathode.errors import ConfigError
from cathode.events import Template
from cathode.published import SCHEMAS
from cathode.running.cost import estimate_cost
from cathode.spectrum.scan import SpectrumScan
from cathode.steps.records import drop_reference, refuse_reference
from cathode.summary import Summary

CONFIG: dict[str, Any] = {
    "run": "toy",
    "data": {
        "source": "files",
        "files": ["events.parquet"],
        "mass": "m",
        "features": ["a", "b", "c"],
        "label": "label",
    },
    "windows": {"range": [2000, 5000], "signal_regions": [[2800, 3200]]},
    "injection": {"n_signal": 120},
    "methods": ["cathode", "cwola", "supervised"],
    "working_points": [0.1, 0.01],
    "background": {"bootstraps": 2, "seeds": 2, "histogram": {"epochs": 1, "steps": 0}},
    "classifier": {"folds": 2, "members": 4, "splits": 2, "boosted_trees": {"trees": 10}},
    "closure": {"windows": 4, "bootstraps": 2, "per_job": 2},
}


def snakemake(
    folder: Path, *arguments: str, config: dict | None = None, root: Path = ROOT, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the workflow of `root`, in a folder; `path` is one of PYTHONPATH."""
    (folder / "my.yaml").write_text(yaml.safe_dump(CONFIG | (config or {})))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(folder / "my.yaml"), *arguments]
    environment = os.environ | {"COLUMNS": "200"} | ({"PYTHONPATH": path} if path else {})
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


def digests(folder: Path) -> dict[str, str]:
    """Checksums of every result; times are the one thing that may differ."""
    found = {}
    for path in sorted((folder / "results" / "toy").rglob("*")):
        relative = path.relative_to(folder / "results" / "toy")
        if not path.is_file() or relative.parts[0] in ("logs", "benchmarks"):
            continue
        content = path.read_bytes()
        if path.name == "summary.json":
            content = json.dumps(json.loads(content) | {"timing": None}).encode()
        found[str(relative)] = hashlib.sha256(content).hexdigest()
    return found


def planned(output: str) -> dict[str, int]:
    """Rules and job counts of a dry run."""
    table = output.split("Job stats:")[-1].split("Reasons:")[0]
    return {
        m[0]: int(m[1]) for m in re.findall(r"^(\w+) +(\d+)$", table, re.M) if m[0] not in ("total", "all", "count")
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hunt")
    toy_table(12000, 150, 1).to_parquet(folder / "events.parquet")
    first = snakemake(folder, "--cores", "2")
    assert first.returncode == 0, first.stderr[-3000:]
    assert re.search(r"σ local, .*σ global.*\ntrust .*\nwhy .*\nnext .*\nreport ", first.stderr)
    return folder


def test_a_run_leaves_the_promised_results(done):
    results = done / "results" / "toy"
    summary = json.loads((results / "summary.json").read_text())
    jsonschema.validate(summary, SCHEMAS["summary"]())
    assert summary["schema"] == "cathode/summary/1"
    table = toy_table(12000, 150, 1)
    assert summary["intake"]["read"] == len(table)
    assert summary["n_events"] == summary["intake"]["kept"] == len(table) - sum(summary["intake"]["dropped"].values())
    assert summary["trials"] == 2  # one test per method; the supervised reference is no search
    assert len(summary["hunts"]) == 6
    keys = {
        "window", "signal_region", "method", "eps_bkg", "n_sr", "n_obs", "n_bkg", "sigma", "non_closure", "overdispersion",
        "p_local", "z_local", "cross_checks", "limit", "flags", "truth",
    }  # fmt: skip
    for hunt in summary["hunts"]:
        assert keys <= set(hunt)
        assert set(hunt["sigma"]) == {"template", "initialisation", "bootstrap", "non_closure", "total"}
        assert {"z_slide", "z_classical", "z_li_ma", "z_pyhf", "z_mass_fit", "z_sequential", "z_conformal"} == set(
            hunt["cross_checks"]
        )
        if hunt["method"] != "supervised" and hunt["eps_bkg"] == 0.1:
            assert hunt["cross_checks"]["z_sequential"] is not None
            assert hunt["cross_checks"]["z_mass_fit"] == hunt["mass_fit"]["z"]
            assert set(hunt["impacts"]) == {"template", "initialisation", "bootstrap", "non_closure"}
        name = f"{hunt['window']}_{hunt['method']}_{hunt['eps_bkg']:g}"
        workspace = json.loads((results / "workspaces" / f"{name}.json").read_text())
        assert workspace["observations"][0]["data"] == [hunt["n_obs"]]
        import pyarrow.parquet as pq

        assert pq.read_table(results / "selected" / f"{name}.parquet").num_rows == hunt["n_obs"]
    used = summary["timing"]["by_rule"]["score_pseudo"]
    assert used["jobs"] == 4
    assert used["estimated_cpu_s"] > 0
    assert used["queue_s"] is None  # no queue on this machine
    page = (results / "benchmarks" / "timing.html").read_text()
    assert "<td>plot_summary</td>" in page
    assert 'data="benchmarks/timing.html"' in (results / "report.html").read_text()
    html = (results / "report.html").read_text()
    assert "m3000" in html
    assert 'src="http' not in html
    assert len(list((results / "plots").glob("*.png"))) == len(list((results / "plots").glob("*.pdf"))) >= 10
    assert not list(results.rglob("*.part"))


def test_the_call_says_the_same_to_the_last_digit(done):
    """`cathode.hunt` on arrays and on a file, in this process and in others, against the workflow's files."""
    summary: Summary = io.read(done / "results" / "toy" / "summary.json", Summary)
    keys = {
        "mass": "m", "features": CONFIG["data"]["features"], "label": "label", "window": (2800, 3200), "range": (2000, 5000),
        "n_signal": 120, "methods": CONFIG["methods"], "working_points": CONFIG["working_points"],
        "background": cathode.DensitySettings(bootstraps=2, seeds=2, histogram=HistogramSettings(epochs=1, steps=0)),
        "classifier": cathode.ClassifierSettings(folds=2, members=4, splits=2, boosted_trees=TreeSettings(trees=10)),
        "closure": cathode.ClosureSettings(windows=4, bootstraps=2), "name": "toy",
    }  # fmt: skip
    table = pd.read_parquet(done / "events.parquet")
    for given, cores in (
        ({name: table[name].to_numpy() for name in table}, 1),
        (done / "events.parquet", 2),
    ):
        found = cathode.hunt(given, cores=cores, progress=False, **keys)
        assert found.results == summary.hunts
        assert found.z_global == summary.z_global
        assert replace(found.summary.intake, inputs={}) == replace(summary.intake, inputs={})
    workspace = json.loads((done / "results" / "toy" / "workspaces" / "m3000_cathode_0.01.json").read_text())
    assert found.workspace(key=0.01) == workspace
    assert cathode.full_likelihood(done / "results" / "toy").workspace == found.full_likelihood().workspace
    assert found.save(done / "saved") == done / "saved"
    again: Summary = io.read(done / "saved" / "summary.json", Summary)
    assert again.hunts == summary.hunts
    saved, run = ({p.name: p.read_bytes() for p in (done / f).glob("plots/*.json")} for f in ("saved", "results/toy"))
    assert saved == run
    of_run = cathode.ScanTable.read(done / "results" / "toy")
    assert of_run.text == cathode.ScanTable.of(summary).text == (done / "saved" / "scan.csv").read_text()
    assert len(of_run.frame) == len(summary.hunts)
    assert {p.name for p in (done / "saved" / "selected").iterdir()} == {
        p.name for p in (done / "results" / "toy" / "selected").iterdir()
    }


def test_a_second_run_has_nothing_to_do(done):
    again = snakemake(done, "--cores", "2")
    assert again.returncode == 0
    assert "Nothing to be done" in again.stderr


def test_another_machine_with_one_core_gives_the_same_bytes(done, tmp_path):
    shutil.copy(done / "events.parquet", tmp_path)
    forced = snakemake(tmp_path, "--cores", "1", "-F")
    assert forced.returncode == 0, forced.stderr[-3000:]
    a, b = digests(done), digests(tmp_path)
    assert a.keys() == b.keys()
    assert [name for name in a if a[name] != b[name]] == []


@pytest.mark.parametrize(
    "change",
    [{}, {"blind": True}, {"methods": ["cwola"], "data": {k: v for k, v in CONFIG["data"].items() if k != "label"}}],
    ids=["all", "blind", "no labels"],
)
def test_check_announces_the_very_jobs_that_run(tmp_path, change):
    change = change | ({"injection": {"n_signal": None}} if "methods" in change else {})
    windows = {"range": [2000, 5000], "signal_regions": [[2800, 3200], [3000, 3400]]}
    toy_table(12000, 150, 1).to_parquet(tmp_path / "events.parquet")
    dry = snakemake(tmp_path, "--dry-run", "--cores", "1", config=change | {"windows": windows})
    assert dry.returncode == 0, dry.stderr[-2000:]
    config = load_config(CONFIG | change | {"windows": windows})
    mass = toy_table(12000, 150, 1)["m"].to_numpy()
    announced: Counter[str] = Counter()
    for cost in estimate_cost(config, mass):
        announced[cost.rule] += cost.jobs
    assert planned(dry.stdout + dry.stderr) == announced


SCORES = {"score": 2, "score_reference": 1, "score_pseudo": 4}
AFTER_SCORES = {
    "combine_closure": 2, "conclude": 1, "evaluate_hunts": 1, "summarise": 1, "plot_window": 1, "plot_summary": 1, "report": 1, "timing": 1
}  # fmt: skip

CONCLUDED = {"conclude": 1, "summarise": 1, "plot_window": 1, "plot_summary": 1, "report": 1, "timing": 1}

# only CATHODE's own scores and every closure test depend on the template
TEMPLATE_CHANGED = {"make_template": 1, "score": 1, "score_pseudo": 4} | AFTER_SCORES


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"statistics": {"shift": "positive"}}, CONCLUDED | {"combine_closure": 2, "scan_spectrum": 1}),
        (
            {"spectrum": {"reference_files": ["other.parquet"]}},
            {"read_reference": 1, "scan_spectrum": 1, "summarise": 1, "plot_summary": 1, "report": 1, "timing": 1},
        ),
        ({"working_points": [0.1, 0.02]}, AFTER_SCORES),
        ({"classifier": CONFIG["classifier"] | {"members": 5}}, SCORES | AFTER_SCORES),
        ({"template": {"span": 2.0}}, TEMPLATE_CHANGED),
        (
            {"windows": {"range": [2000, 5000], "signal_regions": [[2800, 3200], [3000, 3400]]}},
            # the regions that test a window are common to all, so that the old one is concluded anew, too
            {"fit_density": 1, "make_template": 1} | SCORES | AFTER_SCORES | {"conclude": 2, "plot_window": 2},
        ),
    ],
    ids=["statistics", "reference", "working points", "classifier", "template", "new window"],
)
def test_a_changed_setting_reruns_its_dependants_and_nothing_else(done, change, expected):
    toy_table(12000, 0, 2).to_parquet(done / "other.parquet")
    dry = snakemake(done, "--dry-run", "--cores", "1", config=change)
    assert dry.returncode == 0, dry.stderr[-2000:]
    assert planned(dry.stdout + dry.stderr) == expected


def test_the_inclusive_scan_takes_somebody_elses_background(tmp_path):
    toy_table(12000, 0, 1).to_parquet(tmp_path / "events.parquet")
    toy_table(20000, 0, 2).to_parquet(tmp_path / "other.parquet")
    folder = tmp_path / "results" / "toy"
    wanted = ("--cores", "1", "results/toy/m3000/spectrum_scan.json")
    over = {"injection": {}, "spectrum": {"reference_files": ["other.parquet"]}}
    run = snakemake(tmp_path, *wanted, config=over)
    assert run.returncode == 0, run.stderr[-3000:]
    scan: SpectrumScan = io.read(folder / "m3000" / "spectrum_scan.json", SpectrumScan)
    assert scan.family == "reference"
    assert scan.p_value > 0.001
    assert scan.p_global_toys > 0.01
    toy_table(20000, 0, 3).to_parquet(tmp_path / "other.parquet")  # other content by the same name
    again = snakemake(tmp_path, "--dry-run", *wanted, config=over)
    assert planned(again.stdout + again.stderr) == {"read_reference": 1, "scan_spectrum": 1}
    shutil.rmtree(tmp_path / ".snakemake")
    forgotten = snakemake(tmp_path, *wanted, config=over)
    assert forgotten.returncode == 2
    assert "reference.npz: was made with other input files" in forgotten.stderr
    plain = snakemake(tmp_path, *wanted, config={"injection": {}})
    assert "spectrum_scan.json: was made with other reference" in plain.stderr
    drop_reference(folder)
    assert not (folder / "reference.npz").exists()
    itself = load_config(CONFIG | {"spectrum": {"reference_files": ["events.parquet"]}})
    with pytest.raises(
        ConfigError, match=r"spectrum\.reference_files: events\.parquet holds the data that are hunted in"
    ):
        refuse_reference(itself, [Path("events.parquet")], ["a", "b"], ["b"])


def copy_of_the_package(folder: Path) -> Path:
    """The package and its workflow in a folder of their own."""
    for name in ("cathode", "workflow", "config"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".snakemake"))
    shutil.copy(ROOT / "Snakefile", folder)
    return folder


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (None, {}),
        ("plots/style.py", {"plot_window": 1, "plot_summary": 1, "report": 1, "timing": 1}),
        ("inference/truth.py", {"evaluate_hunts": 1, "summarise": 1, "plot_summary": 1, "report": 1, "timing": 1}),
        ("stats/workspace.py", CONCLUDED),
    ],
    ids=["none", "plots", "evaluation", "workspace"],
)
def test_a_change_of_code_reruns_the_steps_that_import_it_and_trains_nothing_anew(done, tmp_path, file, expected):
    root = copy_of_the_package(tmp_path)
    if file:
        with (root / "cathode" / file).open("a") as code:
            code.write("\n# another line\n")
    dry = snakemake(done, "--dry-run", "--cores", "1", root=root, path=str(root))
    assert dry.returncode == 0, dry.stderr[-2000:]
    assert planned(dry.stdout + dry.stderr) == expected


def test_a_density_that_the_package_does_not_know_runs_and_reruns_with_its_code(done, tmp_path):
    shutil.copytree(THIRD_PARTY, tmp_path, dirs_exist_ok=True)
    config = {
        "run": "foreign", "methods": ["cathode"],
        "background": {"model": "linear_density.LinearDensity", "bootstraps": 2, "seeds": 2, "settings": {"order": 1}},
        "closure": CONFIG["closure"] | {"per_job": 4},
    }  # fmt: skip
    wanted = "results/foreign/summary.json"
    run = snakemake(done, "--cores", "2", wanted, config=config, path=str(tmp_path))
    assert run.returncode == 0, run.stderr[-3000:]
    folder = done / "results" / "foreign"
    template: Template = io.read(folder / "m3000" / "template.parquet", Template)
    summary: Summary = io.read(folder / "summary.json", Summary)
    # the density is exact on this toy, and so is the template, in the mean and the covariance
    truth = LinearGaussian()
    np.testing.assert_allclose((template.features - truth.mean(template.mass)).mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(np.cov((template.features - truth.mean(template.mass)).T), truth.covariance(), atol=0.1)
    assert max(h.z for h in summary.hunts) > 2  # four pseudo signal regions and ten trees
    again = snakemake(done, "--dry-run", "--cores", "1", wanted, config=config, path=str(tmp_path))
    assert "Nothing to be done" in again.stdout + again.stderr
    with (tmp_path / "linear_density.py").open("a") as code:
        code.write("\n# another line\n")
    changed = snakemake(done, "--dry-run", "--cores", "1", wanted, config=config, path=str(tmp_path))
    assert {"fit_density", "score_pseudo"} <= set(planned(changed.stdout + changed.stderr))
    assert "prepare" not in planned(changed.stdout + changed.stderr)
    absent = snakemake(done, "--cores", "1", config=config)
    assert absent.returncode == 2
    assert (
        "No module named 'linear_density'; expected an installed module, or one in a folder of PYTHONPATH"
        in absent.stderr
    )
    assert "Traceback" not in absent.stderr


def test_files_of_the_user_do_not_run_instead_of_modules(done, tmp_path):
    """A script that happens to be called like the package, or like a module of Python, lies beside the data."""
    for name in ("cathode.py", "random.py", "queue.py", "torch.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong file')\n")
    shutil.copy(done / "events.parquet", tmp_path)
    command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(CONFIG | {"methods": ["cwola"]}))
    run = subprocess.run(
        [*command, "--configfile", "my.yaml", "--until", "fit_density", "score"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert (tmp_path / "results" / "toy" / "m3000" / "cwola" / "scores.npz").exists()


def test_another_workflow_uses_this_one_as_a_module(done, tmp_path):
    shutil.copy(done / "events.parquet", tmp_path)
    (tmp_path / "Snakefile").write_text(
        f"""
configfile: "theirs.yaml"

module cathode:
    snakefile: "{ROOT / "workflow" / "Snakefile"}"
    config: config["hunt"]

use rule * from cathode as cathode_*

rule paper:
    input: rules.cathode_all.input
    output: "paper.txt"
    shell: "wc -c {{input[0]}} > {{output}}"
"""
    )
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump({"hunt": CONFIG | {"methods": ["cwola"]}, "title": "x"}))
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--directory",
        str(tmp_path),
        "--snakefile",
        str(tmp_path / "Snakefile"),
        "--cores",
        "2",
    ]
    plan = subprocess.run([*command, "paper", "--dry-run"], capture_output=True, text=True, check=False)
    jobs = planned(plan.stdout + plan.stderr)
    assert jobs["paper"] == jobs["cathode_report"] == 1, plan.stderr[-2000:]
    run = subprocess.run([*command, "paper", "--until", "cathode_score"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    assert (tmp_path / "results" / "toy" / "m3000" / "cwola" / "scores.npz").exists()


CALIBRATION = {
    "classifier": 4, "background": 5, "injections": 5, "strengths": [2, 5], "events": 8000, "truth": "histogram",
    "per_job": 3,
}  # fmt: skip


def test_calibration_writes_raw_numbers_and_verdicts_and_can_feed_the_hunt(done):
    config = {"statistics": {"overdispersion": "calibrated", "calibration": CALIBRATION}}
    calibrated = snakemake(done, "--cores", "2", "calibrate", config=config)
    assert calibrated.returncode == 0, calibrated.stderr[-3000:]
    folder = done / "results" / "toy" / "calibration"
    table = json.loads((folder / "overdispersion.json").read_text())
    assert table["n_toys"] == 4
    assert len(table["z"]["cathode"]["0.1"]) == 4
    null = json.loads((folder / "background_only.json").read_text())
    assert len(null["p_local"]) == len(null["experiments"]) == 5 * 2 * 2  # toys, methods, working points
    assert all(0 < p <= 1 for p in null["p_local"])
    signal = json.loads((folder / "injection.json").read_text())
    assert len(signal["points"]) == 5 * 2 * 2
    assert {p["strength"] for p in signal["points"]} == {2, 5}
    strong = [p for p in signal["points"] if p["strength"] == 5]
    assert all(0 <= p["n_signal_passing"] <= p["n_signal"] for p in strong)
    assert sum(p["n_signal_passing"] for p in strong) > 20
    assert {f["method"] for f in signal["fits"]} == {"cathode", "cwola"}
    assert len(list(folder.glob("*.png"))) == 4
    for hunt in json.loads((done / "results" / "toy" / "summary.json").read_text())["hunts"]:
        if hunt["method"] in table["v0"]:
            assert hunt["overdispersion"] == max(1.0, table["v0"][hunt["method"]][f"{hunt['eps_bkg']:g}"])
    page = (folder / "report.html").read_text()
    assert "p-values of 5 pseudo-experiments without signal are" in page
    assert page.count("<td>CATHODE</td>") >= 2  # a row of the calibration per working point
    assert "pseudo-experiments without signal are" not in (done / "results" / "toy" / "report.html").read_text()
    assert "calibration/report.html" in calibrated.stderr  # the verdict is that with the calibration
    dry = snakemake(done, "--dry-run", "--cores", "1", config=config)
    assert planned(dry.stdout + dry.stderr) == {}  # the hunt and its own report came with it
    limited = snakemake(done, "--cores", "2", "limits", config=config)
    assert limited.returncode == 0, limited.stderr[-3000:]
    limits = json.loads((folder / "limits.json").read_text())["limits"]
    assert {(e["method"], e["eps_bkg"]) for e in limits} == {(m, e) for m in ("cathode", "cwola") for e in (0.1, 0.01)}
    for entry in limits:
        assert entry["n_signal_obs"] > 0
        assert sorted(entry["n_signal_exp"]) == entry["n_signal_exp"]
        assert entry["cross_section_fb"] is None


def test_a_blind_run_has_no_signal_region_number(done):
    blind = snakemake(done, "--cores", "2", config={"run": "blind", "blind": True, "methods": ["cwola"]})
    assert blind.returncode == 0, blind.stderr[-3000:]
    results = done / "results" / "blind"
    for hunt in json.loads((results / "summary.json").read_text())["hunts"]:
        assert hunt["n_obs"] is hunt["n_sr"] is hunt["p_local"] is hunt["limit"] is None
        off = abs(np.log(hunt["eps_bkg_reached"] / hunt["eps_bkg"])) > np.log(1.5)  # as on few events, and then flagged
        assert any("reached" in flag for flag in hunt["flags"]) == off
        efficiency = hunt["eps_bkg_reached"] if off else hunt["eps_bkg"]
        expected = hunt["n_sr_expected"]["value"] * efficiency * np.exp(hunt["non_closure"]["mean"])
        assert hunt["n_bkg"] == pytest.approx(expected)
        assert hunt["non_closure"]["n_windows"] == 4
    spectrum = json.loads(next(results.glob("plots/*mass_spectrum.json")).read_text())
    edges = spectrum["edges"]
    for low, high, count in zip(edges[:-1], edges[1:], spectrum["counts"], strict=True):
        assert (count is None) == (high > 2800 and low < 3200)
    assert not list(results.glob("workspaces/*"))
    assert not list(results.rglob("spectrum_scan*"))


def test_generated_events_come_in_chunks_that_other_runs_share(done):
    config = {
        "data": {"source": "pythia"}, "injection": {"n_signal": None}, "windows": {},
        "generator": {"n_background": 2500, "n_signal": 400, "chunk": 1000},
    }  # fmt: skip
    places = []
    for run in ("one", "two"):
        dry = snakemake(done, "--dry-run", "--cores", "1", config=config | {"run": run})
        assert dry.returncode == 0, dry.stderr[-2000:]
        assert planned(dry.stdout + dry.stderr)["generate"] == 3 + 1
        places.append(set(re.findall(r"results/generated/\w+/\w+\.parquet", dry.stdout + dry.stderr)))
    assert places[0] == places[1]
    assert len(places[0]) == 4


def test_a_configuration_error_is_one_line(done):
    bad = snakemake(done, "--cores", "1", config={"working_pionts": [0.1]})
    assert bad.returncode != 0
    assert "did you mean working_points" in bad.stderr
    assert "Traceback" not in bad.stderr


def test_snakemakes_linter_misses_one_thing_only(tmp_path):
    """One environment holds all rules (environment.yaml, apptainer.def): steps of one package, started by one Python."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--lint"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    found = re.findall(r"^ +\* (.*?):$", run.stdout + run.stderr, re.M)
    assert set(found) == {"Specify a conda environment or container for each rule."}
    assert len(found) > 20


def test_a_run_that_fails_ends_with_rule_cause_and_log(done):
    table = pd.read_parquet(done / "events.parquet")
    table.loc[5, "a"] = np.nan
    table.to_parquet(done / "damaged.parquet")
    failed = snakemake(
        done, "--cores", "2", config={"run": "bad", "data": CONFIG["data"] | {"files": ["damaged.parquet"]}}
    )
    assert failed.returncode == 1
    end = failed.stderr.split("\nfailed:\n")[1]
    assert end.startswith("  prepare: damaged.parquet: column a has 1 NaN or infinite values, first in row 5; expected")
    assert end.splitlines()[0].endswith("see results/bad/logs/prepare.log")


def test_a_missing_file_is_one_line(done):
    bad = snakemake(done, "--cores", "1", config={"data": CONFIG["data"] | {"files": ["nowhere.parquet"]}})
    assert bad.returncode != 0
    assert "nowhere.parquet: no such file" in bad.stderr
    assert "Traceback" not in bad.stderr
