"""A small hunt on a real Slurm: GPUs where rules ask for them, faults on the way, and the bytes of a local run.

`make test-slurm`. Brings up Slurm on this machine and takes it down again; needs root, slurmctld, slurmd and munged.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, toy_table

from cathode.errors import ConfigError
from cathode.running.slurm import describe_cluster

sys.path.insert(0, str(ROOT / "tests" / "workflow"))
from test_workflow import CONFIG, digests

ABSENT = [p for p in ("slurmctld", "slurmd", "munged", "srun") if shutil.which(p) is None]
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(os.geteuid() != 0, reason="Slurm's daemons start as root only"),
    pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)} (Debian: slurm-wlm, munge)"),
]

SMALL = CONFIG | {"methods": ["cathode"], "working_points": [0.1]}
GPU_RULES = {"fit_density", "score_pseudo"}
DELAY = 15.0  # seconds until the submitting machine sees what a node wrote
LIMITS = {"max_threads": 2, "max_runtime": 1440, "max_mem_mb": 8000}

TOO_LONG = """
def grow(wildcards, attempt):
    return attempt

rule too_long:
    output: "done.txt"
    resources: runtime=grow
    shell: "if [ {resources.runtime} = 1 ]; then sleep 150; fi; echo {resources.runtime} > {output}"
"""

LATE = """
rule late:
    output: "done.txt"
    shell: "echo written on a node > {output}"
"""


@pytest.fixture(scope="module")
def slurm():
    base = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: sockets have short names
    script = str(ROOT / "tests" / "slurm" / "slurm.sh")
    subprocess.run([script, "up", str(base)], check=True)
    environment = os.environ | {
        "SLURM_CONF": f"{base}/slurm.conf",
        "PATH": f"{base}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    yield environment
    subprocess.run([script, "down", str(base)], check=True, env=environment)
    left = subprocess.run(["pgrep", "-f", str(base)], capture_output=True, text=True, check=False).stdout
    shutil.rmtree(base)
    assert not left.strip(), f"still running: {left}"


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """The shipped profile with the partitions of this cluster, and polls of a second."""
    folder = tmp_path_factory.mktemp("profile")
    settings = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())
    settings |= {
        "slurm-partition-config": str(folder / "partitions.yaml"),
        "slurm-init-seconds-before-status-checks": 1,
        "seconds-between-status-checks": 1,
        "latency-wait": 10,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    partitions = {"cpu": LIMITS, "gpu": LIMITS | {"max_gpu": 2}}
    (folder / "partitions.yaml").write_text(yaml.safe_dump({"partitions": partitions}))
    return folder


class Records:
    """What Slurm says of its jobs."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def ask(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, check=False)
        return done.stdout

    def jobs(self) -> list[dict[str, str]]:
        text = self.ask("scontrol", "show", "job", "--oneliner")
        return [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in text.splitlines() if "Comment=" in line]

    def of_rule(self, rule: str) -> list[dict[str, str]]:
        return [j for j in self.jobs() if j["Comment"].startswith(f"rule_{rule}")]

    def wait_for(self, rule: str, state: str, seconds: float) -> dict[str, str]:
        """The first job of a rule that is seen in a state."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for job in self.of_rule(rule):
                if job["JobState"] == state:
                    return job
            time.sleep(0.5)
        raise AssertionError(
            f"no {rule} {state} in {seconds} s: {[(j['Comment'], j['JobState']) for j in self.jobs()]}"
        )

    def wait_until_idle(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self.ask("squeue", "--noheader").strip():
            assert time.monotonic() < end, self.ask("squeue")
            time.sleep(1)


def submit(
    folder: Path, profile: Path, environment: dict[str, str], log: str, *arguments: str
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", str(profile), *arguments]
    with (folder / log).open("wb") as stream:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=stream, stderr=stream)


def test_the_profile_is_checked_against_the_cluster(slurm, profile, tmp_path, monkeypatch):
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, slurm[name])
    said = describe_cluster(profile)
    assert "partition cpu: node" in said
    assert "partition gpu: node" in said
    settings = {"partitions": {"cpu": LIMITS, "gpu": LIMITS | {"max_gpu": 2}}}
    for change, message in (
        ({"gpus": LIMITS}, "found partition gpus, expected one of the cluster's: cpu, gpu"),
        ({"cpu": LIMITS | {"max_gpu": 1}}, "found 1, expected at most the 0 GPUs"),
        ({"cpu": LIMITS | {"max_threads": 64}}, "found 64, expected at most the 2 CPUs"),
    ):
        (tmp_path / "config.yaml").write_text("executor: slurm\n")
        (tmp_path / "partitions.yaml").write_text(yaml.safe_dump({"partitions": settings["partitions"] | change}))
        with pytest.raises(ConfigError, match=message):
            describe_cluster(tmp_path)
    (tmp_path / "partitions.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "config.yaml").write_text("set-resources: {fit_density: {gpu_model: a100}}\n")
    describe_cluster(tmp_path, probe=False)
    (tmp_path / "config.yaml").write_text("set-resources: {fit_density: {gpu_model: h100}}\n")
    with pytest.raises(ConfigError, match=r"fit_density.gpu_model: found h100, expected one of a100"):
        describe_cluster(tmp_path)
    (tmp_path / "config.yaml").write_text("default-resources: {gpu_model: a100}\n")
    with pytest.raises(ConfigError, match="would all ask for a GPU"):
        describe_cluster(tmp_path)
    monkeypatch.setattr("sys.executable", "/not/on/this/node/python")
    with pytest.raises(ConfigError, match=r"partition cpu: the probe job failed .*expected /not/on/this/node/python"):
        describe_cluster(profile)


@pytest.fixture
def late_folder(slurm, tmp_path):
    """A folder that nodes see at once and the submitting machine seconds later, as on a network file system that caches.

    Nodes have another folder mounted in its place; files are carried between the two. Snakemake's own folder is shared.
    """
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets root make no mounts (a container without CAP_SYS_ADMIN)")
    here, there = tmp_path / "late", tmp_path / "nodes"
    for folder in (here, there):
        (folder / ".snakemake").mkdir(parents=True)
    for pid in (Path(slurm["SLURM_CONF"]).parent / "pid").glob("slurmd-*.pid"):
        enter = ["nsenter", f"--mount=/proc/{pid.read_text().strip()}/ns/mnt", "mount"]
        subprocess.run([*enter, "--bind", here / ".snakemake", there / ".snakemake"], check=True)
        subprocess.run([*enter, "--rbind", there, here], check=True)
    stop = threading.Event()

    def carry(source: Path, target: Path, age: float) -> None:
        for path in source.iterdir():
            copy = target / path.name
            if path.is_file() and path.stat().st_mtime < time.time() - age and not copy.exists():
                shutil.copy2(path, copy.with_suffix(".part"))
                copy.with_suffix(".part").rename(copy)

    def serve() -> None:
        while not stop.wait(0.2):
            carry(here, there, 0.0)
            carry(there, here, DELAY)

    server = threading.Thread(target=serve)
    server.start()
    yield here
    stop.set()
    server.join()


def test_files_that_come_late_are_waited_for(slurm, profile, late_folder, monkeypatch):
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, slurm[name])
    alone = late_folder / "alone"  # folders are not carried
    alone.mkdir()
    monkeypatch.chdir(alone)
    with pytest.raises(ConfigError, match=f"node .* does not see what is written to {alone} here"):
        describe_cluster(profile)
    (late_folder / "Snakefile").write_text(LATE)
    hasty = submit(late_folder, profile, slurm, "hasty.log", "--latency-wait", "1", "--retries", "0")
    assert hasty.wait(180) == 1
    said = (late_folder / "hasty.log").read_text()
    assert re.search(r"rule late.*missing.*done\.txt", said, re.S), said
    shipped = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())["latency-wait"]
    for folder in (late_folder, late_folder.with_name("nodes")):
        (folder / "done.txt").unlink(missing_ok=True)
    patient = submit(late_folder, profile, slurm, "patient.log", "--latency-wait", str(shipped))
    assert patient.wait(240) == 0, (late_folder / "patient.log").read_text()
    assert (late_folder / "done.txt").read_text() == "written on a node\n"


def test_a_hunt_survives_every_fault_and_gives_the_bytes_of_a_local_run(slurm, profile, tmp_path):
    records = Records(slurm)
    here, there, long = (tmp_path / name for name in ("local", "slurm", "long"))
    for folder in (here, there, long):
        folder.mkdir()
    for folder in (here, there):
        toy_table(12000, 150, 1).to_parquet(folder / "events.parquet")
        (folder / "my.yaml").write_text(yaml.safe_dump(SMALL))
    (long / "Snakefile").write_text(TOO_LONG)
    hunt = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "my.yaml"]
    # beside the hunt: the same on one core of this machine, and a job beyond its time
    with (here / "log").open("wb") as stream:
        local = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *hunt, "--cores", "1"], cwd=here, stdout=stream, stderr=stream
        )
    slow = submit(long, profile, slurm, "log")

    hunt += ["--set-resources", "prepare:mem_mb=250*attempt"]  # too little memory at first
    first = submit(there, profile, slurm, "first.log", *hunt)
    killed = records.wait_for("fit_density", "RUNNING", 600)
    records.ask("scancel", killed["JobId"])
    lost = records.wait_for("make_template", "RUNNING", 600)  # after the second fit
    records.ask("scontrol", "update", f"nodename={lost['NodeList']}", "state=down", "reason=test")
    records.wait_for("score", "RUNNING", 600)
    first.send_signal(signal.SIGKILL)  # the submitting machine dies; its jobs run on
    first.wait()
    records.ask("scontrol", "update", f"nodename={lost['NodeList']}", "state=resume")
    records.wait_until_idle(600)
    subprocess.run([sys.executable, "-m", "snakemake", *hunt[:4], "--unlock"], cwd=there, env=slurm, check=True, capture_output=True)  # fmt: skip
    second = submit(there, profile, slurm, "second.log", *hunt)
    assert second.wait(1200) == 0, (there / "second.log").read_text()[-3000:]
    assert slow.wait(600) == 0, (long / "log").read_text()[-3000:]

    # memory: refused with a message that names it, then run with more
    tries = sorted(records.of_rule("prepare"), key=lambda j: int(j["JobId"]))
    assert [j["JobState"] for j in tries] == ["FAILED", "COMPLETED"]
    assert [j["MinMemoryNode"] for j in tries] == ["250M", "500M"]
    assert "out of memory: expected 250 MB" in (there / "first.log").read_text()
    # a killed job, and a node that went down
    assert {j["JobState"] for j in records.of_rule("fit_density")} == {"CANCELLED", "COMPLETED"}
    moved = [
        j
        for j in records.of_rule("make_template")
        if j["JobId"] == lost["JobId"] or int(j["JobId"]) > int(lost["JobId"])
    ]
    assert moved[-1]["JobState"] == "COMPLETED"
    assert len(moved) > 1 or int(moved[0]["Restarts"]) == 1
    # time
    tries = sorted(records.of_rule("too_long"), key=lambda j: int(j["JobId"]))
    assert [j["JobState"] for j in tries] == ["TIMEOUT", "COMPLETED"]
    assert [j["TimeLimit"] for j in tries] == ["00:01:00", "00:02:00"]
    # GPUs by Slurm's own records
    for job in records.jobs():
        rule = re.match(r"rule_(.*?)(_wildcards.*)?$", job["Comment"]).group(1)
        if rule in GPU_RULES:
            assert (job.get("TresPerJob"), job["Partition"]) == ("gres:gpu:1", "gpu"), job
        else:
            assert (job.get("TresPerJob"), job["Partition"]) == (None, "cpu"), job
    assert {j["NodeList"] for j in records.of_rule("score_pseudo")} == {"gpu1"}
    # short jobs that follow each other went through the queue as one
    assert any(j["Comment"].startswith("rule_results_conclude_plot_window") for j in records.jobs())

    assert local.wait(600) == 0, (here / "log").read_text()[-3000:]
    expected, found = digests(here), digests(there)
    assert len(expected) > 25
    assert found == expected
    # what jobs told of their queue and GPUs
    usage = json.loads((there / "results" / "toy" / "summary.json").read_text())["timing"]["by_rule"]
    assert all(rule["queue_s"] is not None for rule in usage.values()), usage
    assert {rule for rule, used in usage.items() if used["gpu_s"]} == GPU_RULES
    page = (there / "results" / "toy" / "benchmarks" / "timing.html").read_text()
    assert re.search(r"<td>fit_density</td>", page)
