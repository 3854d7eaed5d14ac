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
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, toy_table

from cathode.config import load_config
from cathode.estimate import estimate_cost

CONFIG = {
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
    "background": {"bootstraps": 2, "seeds": 2, "histogram": {"epochs": 1}},
    "classifier": {"folds": 2, "members": 4, "splits": 2, "boosted_trees": {"trees": 10}},
    "closure": {"windows": 4, "bootstraps": 2, "per_job": 2},
}


def snakemake(folder: Path, *arguments: str, config: dict | None = None) -> subprocess.CompletedProcess[str]:
    (folder / "my.yaml").write_text(yaml.safe_dump(CONFIG | (config or {})))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(folder / "my.yaml"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"}, check=False)


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
    return folder


def test_a_run_leaves_the_promised_results(done):
    results = done / "results" / "toy"
    summary = json.loads((results / "summary.json").read_text())
    assert summary["schema"] == "cathode/summary/1"
    assert summary["trials"] == 4  # the supervised reference is no search
    assert len(summary["hunts"]) == 6
    keys = {
        "window", "signal_region", "method", "eps_bkg", "n_sr", "n_obs", "n_bkg", "sigma", "non_closure", "overdispersion",
        "p_local", "z_local", "cross_checks", "limit", "flags", "truth",
    }  # fmt: skip
    for hunt in summary["hunts"]:
        assert keys <= set(hunt)
        assert set(hunt["sigma"]) == {"template", "initialisation", "bootstrap", "non_closure", "total"}
        assert {"z_slide", "z_classical", "z_li_ma", "z_pyhf", "z_mass_fit", "z_sequential"} == set(
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
    announced = Counter()
    for cost in estimate_cost(config, mass):
        announced[cost.rule] += cost.jobs
    assert planned(dry.stdout + dry.stderr) == announced


SCORES = {"score_cathode": 1, "score_cwola": 1, "score_reference": 1, "score_pseudo": 4}
AFTER_SCORES = {
    "measure_closure": 2, "estimate_background": 3, "infer": 3, "select": 3, "evaluate": 3, "summarise": 1,
    "plot_window": 1, "plot_summary": 1, "report": 1, "timing": 1,
}  # fmt: skip
WITHOUT_SELECT = {k: v for k, v in AFTER_SCORES.items() if k not in ("select", "evaluate", "measure_closure")}

# only CATHODE's own scores and every closure test depend on the template
TEMPLATE_CHANGED = {"sample_template": 1, "score_cathode": 1, "score_pseudo": 4} | AFTER_SCORES
TEMPLATE_CHANGED |= {"select": 1, "evaluate": 1, "estimate_background": 2, "infer": 2, "compare_sidebands": 1}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"statistics": {"shift": "positive"}}, WITHOUT_SELECT | {"measure_closure": 2, "scan_spectrum": 1}),
        ({"working_points": [0.1, 0.02]}, AFTER_SCORES | {"compare_sidebands": 1}),
        ({"classifier": CONFIG["classifier"] | {"members": 5}}, SCORES | AFTER_SCORES),
        ({"template": {"span": 2.0}}, TEMPLATE_CHANGED),
        (
            {"windows": {"range": [2000, 5000], "signal_regions": [[2800, 3200], [3000, 3400]]}},
            {"fit_density": 1, "compare_sidebands": 1, "sample_template": 1} | SCORES | AFTER_SCORES,
        ),
    ],
    ids=["statistics", "working points", "classifier", "template", "new window"],
)
def test_a_changed_setting_reruns_its_dependants_and_nothing_else(done, change, expected):
    dry = snakemake(done, "--dry-run", "--cores", "1", config=change)
    assert dry.returncode == 0, dry.stderr[-2000:]
    assert planned(dry.stdout + dry.stderr) == expected


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
    dry = snakemake(done, "--dry-run", "--cores", "1", config=config)
    assert planned(dry.stdout + dry.stderr) == WITHOUT_SELECT | {"measure_closure": 2, "scan_spectrum": 1}
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
        assert hunt["n_bkg"] > 0
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
