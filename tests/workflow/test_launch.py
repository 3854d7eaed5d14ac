"""`cathode hunt` and `cathode demo` in any folder, with the workflow that the wheel carries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, toy_table
from test_workflow import CONFIG, planned


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
    assert "report:" not in run.stderr  # there is none yet
    shown = cathode(installed, folder, "show", "results/toy/events.parquet")
    assert "cathode/events/" in shown.stdout
    kept = json.loads((folder / "results" / "toy" / "intake.json").read_text())["content"]["kept"]
    assert 2500 < kept < 3150
    assert f"{kept} rows" in shown.stdout


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
