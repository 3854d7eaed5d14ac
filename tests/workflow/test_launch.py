"""`cathode hunt` and `cathode demo` in any folder, with the workflow that the wheel carries."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, toy_table
from test_workflow import CONFIG, planned

from cathode.commands.hunt import _say_which
from cathode.errors import ConfigError
from cathode.running import launch
from cathode.running.launch import run_workflow
from cathode.stats.counting import p_predictive

# few jobs: what is tested is what a hunt says, and each job costs seconds to start
SMALL = CONFIG | {"methods": ["cathode"], "closure": CONFIG["closure"] | {"per_job": 4}, "injection": {}}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The files of the wheel where pip would put them, outside the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def folder(tmp_path):
    """A user's folder, with a space in its name."""
    path = tmp_path / "my hunts"
    path.mkdir()
    return path


def cathode(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(installed), "COLUMNS": "200"}
    command = [sys.executable, "-P", "-m", "cathode", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


def test_the_wheel_carries_the_workflow_file_by_file(installed):
    for part in ("workflow", "config"):
        ours = {p.relative_to(ROOT / part): p.read_bytes() for p in (ROOT / part).rglob("*") if p.is_file()}
        inside = installed / "cathode" / "_workflow" / part
        assert {p.relative_to(inside): p.read_bytes() for p in inside.rglob("*") if p.is_file()} == ours
    assert len(ours) >= 4
    assert not list(installed.rglob("*.pyc"))


def test_the_demo_is_planned_in_an_empty_folder(installed, folder):
    run = cathode(installed, folder, "demo", "--dry-run")
    assert run.returncode == 0, run.stderr[-3000:]
    jobs = planned(run.stdout + run.stderr)
    assert jobs["score"] == 2
    assert jobs["report"] == 1
    assert {path.name for path in folder.iterdir()} <= {".snakemake"}


def test_a_hunt_runs_in_the_folder_that_it_is_called_in(installed, folder):
    toy_table(3000, 150, 1).to_parquet(folder / "events.parquet")
    (folder / "my.yaml").write_text(yaml.safe_dump(CONFIG))
    run = cathode(installed, folder, "hunt", "my.yaml", "--cores", "1", "--", "--until", "prepare")
    assert run.returncode == 0, run.stderr[-3000:]
    assert (folder / "results" / "toy" / "events.parquet").is_file()
    assert "report " not in run.stderr  # there is none yet
    shown = cathode(installed, folder, "show", "results/toy/events.parquet")
    assert "cathode/events/" in shown.stdout
    kept = json.loads((folder / "results" / "toy" / "intake.json").read_text())["content"]["kept"]
    assert 2500 < kept < 3150
    assert f"{kept} rows" in shown.stdout


@pytest.fixture(scope="module")
def hunted(installed, tmp_path_factory):
    """A whole hunt, and what it said."""
    folder = tmp_path_factory.mktemp("hunted")
    toy_table(12000, 150, 1).to_parquet(folder / "events.parquet")
    (folder / "my.yaml").write_text(yaml.safe_dump(SMALL))
    return folder, cathode(installed, folder, "hunt", "my.yaml", "--cores", "2")


def test_a_hunt_says_little_and_ends_with_a_verdict(hunted):
    folder, run = hunted
    lines = run.stderr.splitlines()
    assert run.returncode == 0, run.stderr
    assert len(lines) + len(run.stdout.splitlines()) <= 40
    summary = json.loads((folder / "results" / "toy" / "summary.json").read_text())
    (window,) = summary["windows"]
    assert f"{window['z_local']:.1f}σ local, {summary['z_global']:.1f}σ global" in lines[-5]
    assert [line.split()[0] for line in lines[-4:]] == ["trust", "why", "next", "report"]
    assert lines[-1].endswith(str(folder / "results" / "toy" / "report.html"))
    assert any("jobs" in line and "left" in line for line in lines)


def test_a_finished_hunt_says_its_verdict_again_at_once(installed, hunted):
    folder, first = hunted
    again = cathode(installed, folder, "hunt", "my.yaml", "--cores", "2")
    assert again.returncode == 0
    assert again.stderr.splitlines()[-5:] == first.stderr.splitlines()[-5:]


def test_readers_of_the_finished_run(installed, hunted):
    folder, _ = hunted
    why = cathode(installed, folder, "why").stdout
    assert "non-closure of the interpolation" in why
    quoted, expression = re.search(r"p = (\S+) = (p_predictive\(.*?\))", why).groups()
    again = eval(
        expression, {"p_predictive": p_predictive, "inf": math.inf}
    )  # as a reader would, with the digits that are printed
    assert again == pytest.approx(float(quoted), rel=0.01)
    curve = re.search(r"were another scatter declared: (.*)", why)[1]
    assert len(curve.split(", ")) == 5
    assert "95 % CLs" in cathode(installed, folder, "limit", "toy").stdout
    assert "the same settings" in cathode(installed, folder, "compare", "toy", "my.yaml").stdout
    drawn = cathode(
        installed,
        folder,
        "plot",
        "results/toy/plots/m3000_cathode_selected_spectrum.json",
        "--style",
        "CMS",
        "--out",
        "b.svg",
    )
    assert drawn.returncode == 0, drawn.stderr
    assert (folder / "b.svg").read_bytes()[:5] == b"<?xml"
    twice = cathode(installed, folder, "plot", "results/toy/plots/significance.json", "--out", "b.svg")
    assert (twice.returncode, "is there already" in twice.stderr) == (2, True)
    absent = cathode(installed, folder, "why", "nothing")
    assert (absent.returncode, "found no summary.json" in absent.stderr) == (2, True)


def test_an_export_has_what_a_paper_needs_and_its_limit_can_be_computed(installed, hunted):
    folder, _ = hunted
    run = cathode(installed, folder, "export", "toy", "paper")
    assert run.returncode == 0, run.stderr
    out = folder / "paper"
    assert {p.name for p in out.iterdir()} == {
        "tables.tex",
        "method.txt",
        "references.bib",
        "figures",
        "workspaces",
        "hepdata",
    }
    assert len(list((out / "figures").glob("*.pdf"))) >= 10
    assert (out / "hepdata" / "submission.tar.gz").stat().st_size > 1000
    hunts = json.loads((folder / "results" / "toy" / "summary.json").read_text())["hunts"]
    tables = (out / "tables.tex").read_text()
    assert all(f"${h['n_bkg']:.1f} \\pm {h['sigma']['total']:.1f}$" in tables for h in hunts)
    text = (out / "method.txt").read_text()
    assert "4 regions of the same width without signal" in text
    assert "2 bootstrap replicas with 2 initialisations each" in text
    readme = (out / "workspaces" / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", readme, re.S)[1]
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=out / "workspaces", capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    expected = float(re.search(r"# (\d+), on this grid", code)[1])
    assert float(found.stdout) == pytest.approx(expected, rel=0.03, abs=1)
    assert cathode(installed, folder, "export", "toy", "paper").returncode == 2


def test_a_quick_hunt_is_marked_in_every_output_and_leaves_the_other_alone(installed, hunted):
    folder, _ = hunted
    before = (folder / "results" / "toy" / "summary.json").read_bytes()
    run = cathode(installed, folder, "hunt", "my.yaml", "--cores", "2", "--quick")
    assert run.returncode == 0, run.stderr
    quick = folder / "results" / "toy-quick"
    summary = json.loads((quick / "summary.json").read_text())
    assert run.stderr.splitlines()[-5].startswith("QUICK, not for publication")
    assert all(
        "quick: a first look with the smallest ensembles, not for publication" in h["flags"] for h in summary["hunts"]
    )
    assert {h["method"] for h in summary["hunts"]} == {"cathode"}
    assert "Not for publication" in (quick / "report.html").read_text()
    assert (folder / "results" / "toy" / "summary.json").read_bytes() == before
    refused = cathode(installed, folder, "export", "toy-quick", "quick_paper")
    assert (refused.returncode, (folder / "quick_paper").exists()) == (2, False)
    for figure in (quick / "plots").glob("*.json"):
        assert json.loads(figure.read_text())["quick"], figure


def test_a_hunt_that_is_stopped_says_so_in_one_line_and_continues(installed, folder):
    toy_table(12000, 150, 1).to_parquet(folder / "events.parquet")
    (folder / "my.yaml").write_text(yaml.safe_dump(SMALL))
    command = [sys.executable, "-P", "-m", "cathode", "hunt", "my.yaml", "--cores", "1"]
    environment = os.environ | {"PYTHONPATH": str(installed), "COLUMNS": "200"}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not list(folder.glob("results/toy/events.parquet")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    said = process.communicate(timeout=120)[1].splitlines()
    assert process.returncode == 130
    assert said[-1] == "stopped; the same command continues where this one was"
    assert not any("Traceback" in line for line in said)
    again = cathode(installed, folder, "hunt", "my.yaml", "--cores", "2", "--", "--until", "fit_density")
    assert again.returncode == 0, again.stderr


def test_a_run_that_was_stopped_leaves_no_lock_and_those_of_others_alone(tmp_path):
    for name, files in {
        "0.input": "results/toy/report.html\n",
        "1.output": "results/toys/summary.json\nevents.parquet\n",
    }.items():
        (tmp_path / f"{name}.lock").write_text(files)
    launch._release("results/toy", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["1.output.lock"]


@pytest.mark.parametrize(("heard", "asked"), [("", 2), ("Terminating processes on user request", 1)])
def test_a_run_that_did_not_hear_is_asked_again_and_one_that_ends_its_jobs_is_not(monkeypatch, heard, asked):
    code = (
        "import signal, sys, time\n"
        "count = []\n"
        f"def hear(*_): count.append(1); print({heard!r}, flush=True)\n"
        "signal.signal(signal.SIGINT, hear); print('ready', flush=True)\n"
        "end = time.monotonic() + 3\n"
        "while time.monotonic() < end: time.sleep(0.05)\n"
        "sys.exit(10 + len(count))\n"
    )
    monkeypatch.setattr(launch, "_UNHEARD", 0.3)
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=output, start_new_session=True)
        while b"ready" not in os.pread(output.fileno(), 100, 0):
            time.sleep(0.05)
        with launch._Stop(process, output) as stop:
            stop._ask(signal.SIGINT, None)
            while process.poll() is None:
                time.sleep(0.1)
                stop.insist()
    assert process.returncode == 10 + asked


def test_a_hunt_with_a_failed_job_names_it_in_few_lines(installed, folder):
    toy_table(12000, 150, 1).to_parquet(folder / "events.parquet")
    (folder / "my.yaml").write_text(yaml.safe_dump(SMALL))
    assert cathode(installed, folder, "hunt", "my.yaml", "--cores", "2", "--", "--until", "fit_density").returncode == 0
    density = folder / "results" / "toy" / "m3000" / "density.npz"
    when = density.stat()
    density.write_bytes(density.read_bytes()[:-100])
    os.utime(density, ns=(when.st_atime_ns, when.st_mtime_ns))
    run = cathode(installed, folder, "hunt", "my.yaml", "--cores", "1")
    assert run.returncode == 1
    said = run.stderr.splitlines()
    assert "failed:" in said
    assert any("density.npz" in line and "see results/toy/logs" in line for line in said)
    assert len(said) <= 40


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("absent.yaml", None, "absent.yaml"),
        ("my.yaml", "windows: {rnage: [2000, 5000]}", "unknown key windows.rnage (did you mean range?)"),
        ("my.yaml", "data: {source: files, files: [none.parquet], mass: m, features: [a]}", "none.parquet"),
    ],
)
def test_what_cannot_be_hunted_is_one_line_and_leaves_nothing(installed, folder, name, text, message):
    if text is not None:
        (folder / name).write_text(text)
    run = cathode(installed, folder, "hunt", name)
    assert run.returncode == 2
    assert message in run.stderr
    said = [line for line in run.stderr.splitlines() if line.strip()]
    assert len(said) == 1, said
    assert not (folder / "results").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.json", None, "no such file"),
        ("other.json", b"{}", "found no schema of cathode"),
        ("list.json", b"[1]", "found no schema of cathode"),
        ("other.npz", b"PK\x05\x06" + bytes(18), "found no schema of cathode"),
        ("text.parquet", b"a,b\n1,2\n", "not a cathode artefact"),
    ],
)
def test_show_refuses_what_is_no_artefact(installed, folder, name, content, message):
    if content is not None:
        (folder / name).write_bytes(content)
    run = cathode(installed, folder, "show", name)
    assert run.returncode == 2
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_a_step_overwrites_nothing_that_it_did_not_write(installed, folder):
    """Its own files are replaced; those of others only when asked."""
    toy_table(3000, 150, 1).to_parquet(folder / "events.parquet")
    (folder / "my.yaml").write_text(yaml.safe_dump(CONFIG))
    outs = ["events.parquet", "l.parquet", "s.parquet", "i.json"]
    content = (folder / "events.parquet").read_bytes()
    step = ["prepare", "--config", "my.yaml", "--out"]
    run = cathode(installed, folder, *step, *outs)
    assert run.returncode == 2
    assert "--out: events.parquet is there and is no artefact; expected another name, or --force" in run.stderr
    assert (folder / "events.parquet").read_bytes() == content
    assert {path.name for path in folder.iterdir()} == {"events.parquet", "my.yaml"}
    for arguments in ([*step, "e.parquet", *outs[1:]],) * 2:
        assert cathode(installed, folder, *arguments).returncode == 0
    (folder / "l.parquet").write_text("precious")
    assert cathode(installed, folder, *step, "e.parquet", *outs[1:]).returncode == 2
    assert cathode(installed, folder, *step, "e.parquet", *outs[1:], "--force").returncode == 0
    assert (folder / "l.parquet").read_bytes()[:4] == b"PAR1"


def test_a_hunt_without_a_configuration_names_those_that_lie_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "mine.yml": "run: mine",
        ".hidden.yaml": "run: no",
        "other.yaml": "services: {}",
        "list.yaml": "[1, {a: b}]",
        "bad.yaml": "{",
    }.items():
        Path(name).write_text(text)
    _say_which("calibrate", [])
    assert capsys.readouterr().err.rstrip().endswith("for your own: cathode calibrate mine.yml")
    _say_which("hunt", ["--configfile", "mine.yml"])
    assert capsys.readouterr().err == ""


def test_another_folder_is_refused_before_anything_is_looked_for():
    with pytest.raises(ConfigError, match="--directory: found among what is handed on"):
        run_workflow(None, arguments=["--directory", "other"])
