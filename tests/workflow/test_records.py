"""Results know what they were made of: whatever happens to inputs, records and folders, nothing old or foreign passes for a result."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, toy_table
from test_workflow import CONFIG, planned

from cathode.checksums import sealed
from cathode.config import load_config
from cathode.intake.official import cached_file

NAME = "ev{x} $y; 'z'.parquet"
RESULTS = "out \"dir\"/$HOME 'q' -&>"
HUNT = CONFIG | {
    "methods": ["cwola"], "working_points": [0.1], "results_dir": RESULTS,
    "data": CONFIG["data"] | {"files": [NAME]},
    "closure": CONFIG["closure"] | {"per_job": 4},
    "classifier": CONFIG["classifier"] | {"splits": 1},
}  # fmt: skip


def snakemake(folder: Path, *arguments: str, **changes: object) -> subprocess.CompletedProcess[str]:
    (folder / "my.yaml").write_text(yaml.safe_dump(HUNT | changes))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--configfile", "my.yaml"]
    return subprocess.run(
        [*command, "--cores", "2", *arguments], capture_output=True, text=True, cwd=folder, check=False
    )


def plan(folder: Path, **changes: object) -> dict[str, int]:
    run = snakemake(folder, "--dry-run", **changes)
    assert run.returncode == 0, run.stderr[-2000:]
    said = run.stdout + run.stderr
    return {} if "Nothing to be done" in said else planned(said)


def refusal(folder: Path, **changes: object) -> str:
    run = snakemake(folder, "--dry-run", **changes)
    assert run.returncode == 2, run.stderr[-2000:]
    assert "Traceback" not in run.stderr
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("cathode:")]
    return line


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished hunt in a folder, with an input and a results folder whose names mean something to a shell, to Snakemake and to formats."""
    folder = tmp_path_factory.mktemp("hunt") / "my {hunt} $x 'y' \"z\" üß"
    folder.mkdir()
    toy_table(9000, 150, 1).to_parquet(folder / NAME)
    run = snakemake(folder)
    assert run.returncode == 0, run.stderr[-3000:]
    return folder


@pytest.fixture
def copy(made, tmp_path):
    """A copy of it to spoil: times, records and all."""
    shutil.copytree(made, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def test_names_that_mean_something_to_a_shell_are_names(made):
    assert {path.name for path in made.iterdir()} == {NAME, "my.yaml", 'out "dir"', ".snakemake"}
    run = made / RESULTS / "toy"
    assert (run / "report.html").is_file()
    assert {path.name for path in (made / 'out "dir"').iterdir()} == {Path(RESULTS).name}
    summary = json.loads((run / "summary.json").read_text())
    assert list(summary["intake"]["inputs"]) == [NAME]
    assert plan(made) == {}


def test_what_is_mailed_names_no_folder_of_this_machine(made):
    seen = 0
    for path in (made / RESULTS / "toy").rglob("*"):
        if path.is_file() and path.relative_to(made / RESULTS / "toy").parts[0] not in ("logs",):
            content = path.read_bytes()
            seen += 1
            for word in (str(made), str(made.parent), str(ROOT)):
                assert word.encode() not in content, (path, word)
    assert seen > 30
    config = load_config(
        {
            "results_dir": "/data/me/out",
            "data": HUNT["data"]
            | {"files": ["/home/me/a.parquet", "~/b.parquet", "../c.parquet", "in/d.parquet"], "cache": "/home/me"},
        }
    )
    shown = config.published()
    assert shown["data"]["files"] == ["a.parquet", "b.parquet", "c.parquet", "in/d.parquet"]
    assert (shown["data"]["cache"], shown["results_dir"]) == ("me", "out")
    text = json.dumps(shown)
    assert "/home" not in text
    assert "/data/" not in text
    full = load_config(config.as_dict() | {"full_paths": True})
    assert "/home/me/a.parquet" in full.published()["data"]["files"]
    assert config.sha256() == load_config(shown).sha256() == full.sha256()


def test_an_input_replaced_by_an_older_file_is_hunted_anew(copy):
    times = (copy / NAME).stat()
    toy_table(9000, 100, 2).to_parquet(copy / NAME)
    os.utime(copy / NAME, (times.st_mtime - 1e6, times.st_mtime - 1e6))
    assert {"prepare", "score", "summarise", "report"} <= set(plan(copy))
    shutil.rmtree(copy / ".snakemake")
    assert "intake.json: was made with other input files than this run's" in refusal(copy)


def test_the_same_content_under_another_date_is_not(copy):
    os.utime(copy / NAME)
    assert plan(copy) == {}


def test_results_from_the_future_are_made_anew_where_a_setting_changes(copy):
    for path in (copy / RESULTS).rglob("*"):
        os.utime(path, (time.time() + 1e7,) * 2)
    jobs = plan(copy, data=HUNT["data"] | {"select": "a > -2"})
    assert {"prepare", "score", "score_pseudo", "conclude", "summarise", "report"} <= set(jobs)


def test_without_snakemakes_records_a_changed_setting_is_refused(copy):
    shutil.rmtree(copy / ".snakemake")
    for changes in (
        {"data": HUNT["data"] | {"select": "a > -2"}},
        {"classifier": HUNT["classifier"] | {"members": 5}},
        {"statistics": {"shift": "positive"}},
    ):
        assert "was made with other settings than this run's, and Snakemake has no record of it here" in refusal(
            copy, **changes
        )
    assert plan(copy) == {}


def test_after_a_run_that_was_cut_off_a_setting_may_change(copy):
    """A job whose files are there, but whose end Snakemake did not see."""
    name = base64.urlsafe_b64encode(f"{RESULTS}/toy/m3000/cwola/closure.json".encode()).decode()
    (copy / ".snakemake" / "metadata" / name).rename(copy / ".snakemake" / "incomplete" / name)
    jobs = plan(copy, statistics={"shift": "positive"})
    assert {"combine_closure", "conclude"} <= set(jobs)
    (copy / ".snakemake" / "incomplete" / name).unlink()
    assert "closure.json: was made with other settings" in refusal(copy, statistics={"shift": "positive"})


def test_another_working_directory_with_another_configuration_is_refused(made, tmp_path):
    shutil.copy(made / NAME, tmp_path)
    there = {"results_dir": str(made / 'out "dir"' / Path(RESULTS).name)}
    assert plan(tmp_path, results_dir=str(tmp_path / "elsewhere")) != {}
    if "{" in there["results_dir"]:
        (tmp_path / "link").symlink_to(there["results_dir"])
        there = {"results_dir": "link"}
    assert plan(tmp_path, **there) == {}
    assert "was made with other settings" in refusal(tmp_path, seed=3, **there)


def test_an_official_file_that_was_replaced_is_refused(tmp_path):
    table = pd.DataFrame(np.random.default_rng(1).normal(size=(50, 3)), columns=["m", "a", "b"])
    data = {
        "source": "lhco",
        "cache": str(tmp_path / "cache"),
        "format": "table",
        "mass": "m",
        "features": ["a", "b"],
        "label": None,
    }
    changes = {"data": data, "methods": ["cwola"], "injection": {}, "results_dir": "results"}
    file = cached_file(load_config(HUNT | changes).data, "rd")
    file.parent.mkdir(parents=True)
    table.to_hdf(file, key="df")
    run = snakemake(tmp_path, "--until", "fetch", **changes)
    assert run.returncode == 0, run.stderr[-2000:]
    assert plan(tmp_path, **changes)["prepare"] == 1
    table.head(40).to_hdf(file, key="df", mode="w")
    line = refusal(tmp_path, **changes)
    assert f"{file.name}: is not the file that results/toy was made of" in line
    (tmp_path / "results" / "toy" / "fetched" / "rd.json").unlink()
    run = snakemake(tmp_path, "--until", "fetch", **changes)
    assert run.returncode == 1
    assert "as when it was fetched; delete both to fetch it again" in run.stderr


@pytest.mark.parametrize("home", ["/proc", None])  # /proc: nobody may write there, and nothing can be made there
def test_without_a_home_everything_works(made, tmp_path, home):
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR")}
    environment |= {} if home is None else {"HOME": home}
    summary = f"{RESULTS}/toy/summary.json"
    plot = ["plot-summary", "--summary", summary, "--out", str(tmp_path / "significance.pdf")]
    for command in (["check", "my.yaml"], ["verify", f"{RESULTS}/toy"], ["hunt", "my.yaml", "--dry-run"], plot):
        run = subprocess.run(
            [sys.executable, "-P", "-m", "cathode", *command],
            capture_output=True,
            text=True,
            cwd=made,
            env=environment,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        assert "Traceback" not in run.stderr
    assert run.stderr.count("\n") < 5, "the libraries that write a PDF are quiet"


def test_other_data_under_the_same_name_is_said_and_keeps_nothing_of_the_old(copy):
    run = copy / RESULTS / "toy"
    mine = ["logs/shifts.log", "notes.txt", "plots/my_talk.pdf", "selected/my_skim.parquet", "workspaces/notes.json"]
    for name in mine:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("{}")
    (run / "m3000").rename(run / "m3100")  # as of a window that is hunted no more
    kept = {p.relative_to(run) for p in run.rglob("*.parquet")}
    drawn = {*run.glob("plots/*.png"), *run.glob("workspaces/*_*.json")}
    written = {p for p in run.rglob("*.log") if "shifts" not in p.name}
    assert len(written) > 5
    toy_table(9000, 100, 2).to_parquet(copy / NAME)
    refused = snakemake(copy, "--until", "prepare")  # 120 signal events are asked for
    assert refused.returncode != 0
    assert "only 100 labelled signal events" in refused.stderr
    assert {p.relative_to(run) for p in run.rglob("*.parquet")} == kept, "what is refused replaces nothing"
    toy_table(9000, 150, 2).to_parquet(copy / NAME)
    dry = snakemake(copy, "--dry-run", "--until", "prepare")
    assert f"toy holds a run of other input files ({NAME}), which this one replaces" in dry.stderr
    assert {p.relative_to(run) for p in run.rglob("*.parquet")} == kept, "a dry run removes nothing"
    done = snakemake(copy, "--until", "prepare")
    assert done.returncode == 0, done.stderr[-2000:]
    left = sorted(str(p.relative_to(run)) for p in run.rglob("*") if p.is_file() and "benchmarks" not in p.parts)
    assert not drawn & set(run.rglob("*"))
    made = ["events.parquet", "intake.json", "labels.parquet", "logs/prepare.log", "logs/run.lock", "spare.parquet"]
    assert left == sorted([*made, *mine])
    again = snakemake(copy, "--dry-run", "--until", "prepare")
    assert "holds a run of other" not in again.stderr


def test_two_runs_do_not_write_into_one_folder(tmp_path):
    """The first one is held up in its first job; the second comes from another working directory, and after it is killed, a third goes on."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        toy_table(3000, 150, 1).to_parquet(tmp_path / name / NAME)
    place = {"results_dir": str(tmp_path / "out")}
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "python").write_text(f'#!/bin/sh\nsleep 60\nexec {sys.executable} "$@"\n')
    (slow / "python").chmod(0o755)
    (tmp_path / "one" / "my.yaml").write_text(yaml.safe_dump(HUNT | place))
    (tmp_path / "one" / "Snakefile").write_text(
        f'import os\ninclude: "{ROOT / "Snakefile"}"\nos.environ["CATHODE_PYTHON"] = "{slow / "python"}"\n'
    )
    command = [sys.executable, "-m", "snakemake", "--configfile", "my.yaml", "--cores", "1", "--until", "prepare"]
    with subprocess.Popen(command, cwd=tmp_path / "one", stderr=subprocess.DEVNULL, start_new_session=True) as first:
        lock = tmp_path / "out" / "toy" / "logs" / "run.lock"
        end = time.monotonic() + 60
        while not (lock.exists() and lock.read_text()):
            assert time.monotonic() < end
            time.sleep(0.1)
        second = snakemake(tmp_path / "two", "--until", "prepare", **place)
        os.killpg(first.pid, signal.SIGKILL)
    assert second.returncode != 0
    assert f"another run is writing there (process {first.pid} on " in second.stderr
    assert "Traceback" not in second.stderr
    assert not (tmp_path / "out" / "toy" / "events.parquet").exists()
    third = snakemake(tmp_path / "two", "--until", "prepare", **place)
    assert third.returncode == 0, third.stderr[-2000:]
    assert (tmp_path / "out" / "toy" / "events.parquet").exists()


def test_an_input_in_the_runs_own_folder_is_refused_and_kept(tmp_path):
    table = toy_table(3000, 150, 1)
    (tmp_path / "mine").mkdir()
    table.to_parquet(tmp_path / "mine" / "events.parquet")
    content = (tmp_path / "mine" / "events.parquet").read_bytes()
    (tmp_path / "link").symlink_to("mine")
    (tmp_path / "file.parquet").symlink_to("mine/events.parquet")
    spellings = [
        "mine/events.parquet", "./mine/events.parquet", str(tmp_path / "mine" / "events.parquet"), "mine/*.parquet",
        "link/events.parquet", "mine/../mine/events.parquet", "file.parquet",
    ]  # fmt: skip
    for i, spelling in enumerate(spellings):
        places = {"run": "mine", "results_dir": "." if i % 2 else str(tmp_path)}
        line = refusal(tmp_path, data=HUNT["data"] | {"files": [spelling]}, **places)
        assert "where this run writes its results" in line, spelling
    assert (tmp_path / "mine" / "events.parquet").read_bytes() == content


def test_a_key_that_stands_twice_is_refused_by_snakemake_too(tmp_path):
    (tmp_path / "my.yaml").write_text("seed: 1\nrun: a\nseed: 2\n")
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--configfile",
        "my.yaml",
        "-n",
    ]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode == 2
    assert "my.yaml: found 'seed' twice, in line 1 and in line 3; expected it once" in run.stderr


def test_a_folder_with_files_of_somebody_else_is_refused_and_left_alone(tmp_path):
    toy_table(3000, 150, 1).to_parquet(tmp_path / NAME)
    (tmp_path / "results" / "toy").mkdir(parents=True)
    precious = tmp_path / "results" / "toy" / "events.parquet"
    toy_table(10, 0, 1).to_parquet(precious)
    content = precious.read_bytes()
    assert "events.parquet: is no file of a run, and would be overwritten" in refusal(tmp_path, results_dir="results")
    assert precious.read_bytes() == content


def test_a_summary_and_a_report_are_made_of_parts_of_one_run(made):
    """By hand, beside the workflow: with another configuration than the parts, or with parts of another run."""
    run = f"{RESULTS}/toy"

    def step(*arguments: str) -> tuple[int, str]:
        outs = ["out.x", "out.csv"] if arguments[0] == "summarise" else ["out.x"]
        command = [sys.executable, "-m", "cathode", *arguments, "--out", *outs, "--force"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=made, check=False)
        return done.returncode, done.stderr

    hunts = ["--hunts", *(f"{run}/m3000/{m}/hunts.json" for m in HUNT["methods"])]
    summary = ["summarise", *hunts, "--intake", f"{run}/intake.json", "--config"]
    report = ["report", "--summary", f"{run}/summary.json", "--config"]
    (made / "my.yaml").write_text(yaml.safe_dump(HUNT))
    (made / "other.yaml").write_text(yaml.safe_dump(HUNT | {"statistics": {"shift": "positive"}}))
    for command in (summary, report):
        code, said = step(*command, "my.yaml")
        assert code == 0, said
        code, said = step(*command, "other.yaml")
        assert code == 2
        assert "was made with other settings than the rest" in said or "the summary of another configuration" in said
    for name in ("out.x", "out.csv", "other.yaml"):
        (made / name).unlink()


def verify(folder: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "cathode", "verify", f"{RESULTS}/toy"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert "Traceback" not in run.stderr
    return run.returncode, run.stdout + run.stderr


def test_verify_walks_from_the_summary_to_the_inputs(copy):
    run = copy / RESULTS / "toy"
    code, said = verify(copy)
    assert code == 0, said
    assert f"input {NAME}: SHA-256 " in said
    whole = (run / "m3000" / "cwola" / "closure.json").read_text()
    tree = json.loads(whole)
    # a part of another run, itself whole
    other = sealed(tree | {"made": tree["made"] | {"inputs": {"tests": "0" * 64}}})
    (run / "m3000" / "cwola" / "closure.json").write_text(json.dumps(other))
    code, said = verify(copy)
    assert code == 2
    assert "closure.json: was made of tests with SHA-256" in said
    (run / "m3000" / "cwola" / "closure.json").write_text(whole)
    assert verify(copy)[0] == 0
    # a summary edited by somebody who knows about checksums
    summary = json.loads((run / "summary.json").read_text())
    text = (run / "summary.json").read_text()
    summary["hunts"][0]["n_obs"] += 100
    (run / "summary.json").write_text(json.dumps(summary))
    assert "its content is not what was written" in verify(copy)[1]
    (run / "summary.json").write_text(json.dumps(sealed(summary, "timing")))
    code, said = verify(copy)
    assert code == 2
    assert "is in no hunts.json of the run" in said
    (run / "summary.json").write_text(text)
    with (run / "events.parquet").open("r+b") as file:
        file.seek(2000)
        byte = file.read(1)
        file.seek(2000)
        file.write(bytes([byte[0] ^ 4]))
    assert "events.parquet: its content is not what was written" in verify(copy)[1]


def test_an_input_that_is_no_longer_one_is_refused_without_snakemakes_records(tmp_path):
    for name, seed in (("a.parquet", 1), ("b.parquet", 2)):
        toy_table(3000, 60, seed).to_parquet(tmp_path / name)
    of_two = {"data": CONFIG["data"] | {"files": ["*.parquet"]}, "injection": {"n_signal": 60}}
    done = snakemake(tmp_path, "--until", "prepare", **of_two)
    assert done.returncode == 0, done.stderr[-2000:]
    shutil.rmtree(tmp_path / ".snakemake")
    (tmp_path / "b.parquet").unlink()
    assert "intake.json: was made with other input files" in refusal(tmp_path, **of_two)
