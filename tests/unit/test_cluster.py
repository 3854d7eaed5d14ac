"""The check of a Slurm profile, from what Slurm prints; the memory limit of a job, and what it says of its queue and GPUs."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT

from cathode import cli, numerics
from cathode.errors import ConfigError, reason
from cathode.report.render import render_timing
from cathode.running.job import describe_job
from cathode.running.slurm import (
    Partition,
    check_limits,
    describe_cluster,
    parse_gpus,
    parse_minutes,
    parse_partitions,
)
from cathode.running.usage import complete_benchmarks, describe_timing, read_usage, summarise_timing, write_record
from cathode.usage import Timing, Used


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("30", 30), ("1:30", 1.5), ("2:00:00", 120), ("1-00:00:00", 1440), ("2-12", 3600), ("7-01:30", 10170), ("infinite", float("inf"))],
)  # fmt: skip
def test_slurm_times_in_all_their_forms(text, minutes):
    assert parse_minutes(text) == minutes


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("(null)", []), ("gpu:2", [("", 2)]), ("gpu:a100:4", [("a100", 4)]), ("gpu", [("", 1)]), ("shard:8", []), ("gpu:1g.5gb:7", [("1g.5gb", 7)]),
        ("gpu:a100:4(S:0-1),shard:8", [("a100", 4)]), ("gpu:a100:2,gpu:h100_80gb:1", [("a100", 2), ("h100_80gb", 1)]),
    ],
)  # fmt: skip
def test_gpus_are_found_in_any_generic_resource(gres, gpus):
    assert parse_gpus(gres) == gpus


def test_a_partition_of_unlike_nodes_offers_what_its_largest_has():
    found = parse_partitions(
        "work|16|64000+|1-00:00:00|(null)\nwork|64+|32000|1-00:00:00|gpu:a100:2\nshort|8|16000|30|(null)\n"
    )
    assert found == {"work": Partition(64, 64000, 1440, 2, frozenset({"a100"})), "short": Partition(8, 16000, 30, 0)}


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_threads": 32}, "max_threads: found 32, expected at most the 16 CPUs"),
        ({"max_mem_mb": 1e6}, r"max_mem_mb: found 1e\+06, expected at most the 64000 MB"),
        ({"max_runtime": 100}, "found 100, expected at most the 60 minutes"),
        ({"max_gpu": 1}, "found 1, expected at most the 0 GPUs"),
        ({"max_gpu": "two"}, "found 'two', expected a number"),
    ],
)
def test_a_limit_that_no_node_keeps_is_refused(limits, message):
    with pytest.raises(ConfigError, match=message):
        check_limits("partitions.yaml: cpu", limits, Partition(16, 64000, 60, 0))


def test_without_slurm_the_check_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="found no Slurm here"):
        describe_cluster(ROOT / "profiles" / "slurm")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.yaml", None, "No such file"),
        ("config.yaml", "a: [", "not valid YAML"),
        ("config.yaml", "- a", "found list, expected keys"),
        ("partitions.yaml", "partitions: {}", "found no partitions"),
    ],
)
def test_a_broken_profile_is_refused_by_file(name, text, message, tmp_path):
    for file, content in {"config.yaml": "a: 1", "partitions.yaml": "partitions: {cpu: {}}", name: text}.items():
        if content is not None:
            (tmp_path / file).write_text(content)
    with pytest.raises(ConfigError, match=message):
        describe_cluster(tmp_path)


def test_the_shipped_profile_names_rules_that_exist_and_its_partitions_can_be_read():
    from cathode.steps import STEPS

    folder = ROOT / "profiles" / "slurm"
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    assert set(settings["groups"]) <= set(STEPS)
    assert (ROOT / settings["slurm-partition-config"]).samefile(folder / "partitions.yaml")
    partitions = yaml.safe_load((folder / "partitions.yaml").read_text())["partitions"]
    assert any(p.get("max_gpu") for p in partitions.values())


def test_a_job_beyond_its_memory_ends_with_one_line_and_no_output(tmp_path):
    out = [tmp_path / f"{name}.parquet" for name in ("events", "labels", "spare", "intake")]
    command = [
        sys.executable,
        "-m",
        "cathode",
        "prepare",
        "--config",
        str(ROOT / "config" / "config.yaml"),
        "--memory",
        "150",
        "--out",
        *map(str, out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"SLURM_JOB_ID": "7"}, check=False)
    assert done.returncode == 3, done.stderr
    assert "cathode: out of memory: expected 150 MB to be enough" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        SystemError("error return without exception set"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OSError("Unknown error: Failed to launch worker thread: Resource temporarily unavailable"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_says_that_memory_is_not_enough_ends_with_one_line(error, monkeypatch, capsys):
    """Where it fails depends on how memory lies, so the words are planted."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "parse", fail)
    assert cli.main(["check"]) == 3
    assert (
        capsys.readouterr().err
        == "cathode: out of memory: expected the memory of this machine to be enough; ask for more (mem_mb)\n"
    )
    assert "out of memory" in reason(error)


@pytest.mark.parametrize(
    "error", [ImportError("no module named memo"), OSError(errno.ENOENT, "no"), SystemError("bad")]
)
def test_another_failure_keeps_its_traceback(error, monkeypatch):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "parse", fail)
    with pytest.raises(type(error)):
        cli.main(["check"])
    assert "out of memory" not in reason(error)


def test_libraries_that_do_not_fit_end_with_one_line():
    """numpy cannot be mapped: the linker's message is none of memory."""
    command = [sys.executable, "-m", "cathode", "check"]
    limit = f'ulimit -v {40 << 10}; exec "$@"'
    done = subprocess.run(["bash", "-c", limit, "bash", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("cathode: out of memory: ")
    assert done.stderr.count("\n") == 1


@pytest.fixture
def card(monkeypatch):
    """A torch that pretends: `card(error)` for one that sees a card on which the first operation fails so, `card(words)` for none."""

    def pretend(trouble: Exception | str) -> None:
        def available() -> bool:
            if isinstance(trouble, str) and trouble:
                warnings.warn(trouble, stacklevel=1)
            return isinstance(trouble, Exception)

        def ones(*_: object, **__: object) -> None:
            assert isinstance(trouble, Exception)
            raise trouble

        monkeypatch.setattr("torch.cuda.is_available", available)
        monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Tesla K80")
        monkeypatch.setattr("torch.ones", ones)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    return pretend


OLD = "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040)."
KERNEL = RuntimeError("CUDA error: no kernel image is available for execution on the device\nCompile with ...")
STATES = [
    ("", "no GPU is visible to torch"),
    (OLD, "the NVIDIA driver is too old for this torch"),
    (KERNEL, "Tesla K80 is a card that this torch"),
    (torch.cuda.OutOfMemoryError("CUDA out of memory."), "its memory is taken"),
    (RuntimeError("CUDA error: device is in prohibited mode"), "the GPU cannot be used: CUDA error: device is in proh"),
]


@pytest.mark.parametrize(("trouble", "words"), STATES)
def test_a_card_that_cannot_be_used_is_refused_in_words_or_said(card, monkeypatch, trouble, words):
    card(trouble)
    said: list[str] = []
    monkeypatch.setattr(numerics.log, "warning", lambda text, *values: said.append(text % values))
    resolve_device = numerics.resolve_device
    with pytest.raises(ConfigError, match="device: found cuda, but " + re.escape(words)):
        resolve_device("cuda")
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") == "cpu"
    assert [words in line for line in said] == ([True] if trouble else [])  # a laptop without a card needs no word
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # this job was given one
    assert resolve_device("auto") == "cpu"
    assert "running on the CPU: " + words in said[-1]


def run_folder(folder):
    """A run of four jobs: two share an entry of the cluster's queue, one holds a GPU and uses it; of one, Snakemake alone says what it took."""
    for rule, job, wall, cpu, memory in (
        ("score_pseudo", "m3500_cathode_0", 10, 1, 50),
        ("score_pseudo", "m3500_cathode_1", 20, "-", 70),
        ("score_pseudo", "m3700_cathode_0", 5, 4, 400),
        ("prepare", "all", 3, "-", 300),
    ):
        path = folder / "benchmarks" / rule / f"{job}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\tcpu_time\n{wall}\t{memory}\t{cpu}\n")
    for name, window, record in (
        (
            "score_pseudo_cathode_0",
            "m3500",
            {
                "cpu_s": 8.0,
                "max_rss_mb": 500.0,
                "job": "7",
                "queued_s": 100.0,
                "gpus": 1,
                "gpu": "H100",
                "gpu_mb": 800.0,
            },
        ),
        (
            "score_pseudo_cathode_1",
            "m3500",
            {"cpu_s": 18.0, "max_rss_mb": 700.0, "job": "7", "queued_s": 100.0, "gpus": 1, "gpu": None, "gpu_mb": None},
        ),
        (
            "score_pseudo_cathode_0",
            "m3700",
            {"cpu_s": 4.0, "max_rss_mb": 400.0, "job": "8", "queued_s": 30.0, "gpus": 0, "gpu": None, "gpu_mb": None},
        ),
    ):
        log = folder / "logs" / window / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"12:00:00 training\n12:00:09 {write_record('score_pseudo', record)}\n")
    return folder


def test_the_time_of_a_run_is_told_per_rule_and_window(tmp_path):
    run = run_folder(tmp_path)
    rows = [line.split() for line in describe_timing(read_usage(run)).splitlines()]
    assert rows[1] == ["score_pseudo", "m3500", "2", "30", "26", "–", "700", "100", "30", "800"]
    assert rows[2] == ["score_pseudo", "m3700", "1", "5", "4", "–", "400", "30", "–", "–"]
    assert rows[3] == ["prepare", "1", "3", "0", "–", "300", "–", "–", "–"]
    assert rows[4] == ["all", "4", "38", "30", "–", "700", "130", "30", "800"]
    beside = describe_timing(read_usage(run, {("score_pseudo", "m3700"): 7.0, ("prepare", ""): 2.0})).splitlines()
    assert [line.split()[-5] for line in beside[1:]] == ["–", "7", "2", "9"]
    assert read_usage(tmp_path / "nothing") == ()


def test_benchmark_files_hold_what_jobs_said_of_themselves(tmp_path):
    run = run_folder(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in run.glob("benchmarks/*/*.tsv")}
    for _ in range(2):
        complete_benchmarks(run)
        assert (
            run / "benchmarks/score_pseudo/m3500_cathode_1.tsv"
        ).read_text() == "s\tmax_rss\tcpu_time\n20\t700.0\t18.0\n"
        assert (run / "benchmarks/score_pseudo/m3700_cathode_0.tsv").read_text() == "s\tmax_rss\tcpu_time\n5\t400\t4\n"
        assert (run / "benchmarks/prepare/all.tsv").read_text() == "s\tmax_rss\tcpu_time\n3\t300\t-\n"
        assert {path: path.stat().st_mtime_ns for path in run.glob("benchmarks/*/*.tsv")} == before
        assert len(list((run / "benchmarks" / "score_pseudo").iterdir())) == 3


def test_summary_and_report_hold_the_same_times_as_the_table(tmp_path):
    rows = read_usage(run_folder(tmp_path), {("score_pseudo", "m3700"): 7.0})
    timing = summarise_timing(rows)
    assert {f.name: getattr(timing, f.name) for f in dataclasses.fields(Used)} == {
        "jobs": 4, "wall_s": 38, "cpu_s": 30, "max_rss_mb": 700, "estimated_cpu_s": 7, "queue_s": 130, "gpu_s": 30, "gpu_mb": 800,
    }  # fmt: skip
    assert timing.by_rule["score_pseudo"].wall_s == 35
    assert [(w.rule, w.window, w.queue_s) for w in timing.by_rule_and_window] == [
        ("score_pseudo", "m3500", 100),
        ("score_pseudo", "m3700", 30),
    ]
    assert summarise_timing([]) == Timing()
    assert Timing().wall_s is None
    page = re.sub(r"\s+", "", re.sub(r"</?(td|tr)[^>]*>", "|", render_timing("mine", rows)))
    assert "|score_pseudo||||3||35||30||7||700||130||30||800|" in page
    assert "|score_pseudo||m3700||1||5||4||7||400||30||–||–|" in page
    assert "|all||||4||38||30||7||700||130||30||800|" in page


def test_a_job_tells_its_queue_and_its_gpus(tmp_path, monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_GPUS_ON_NODE", "_CONDOR_JOB_AD"):
        monkeypatch.delenv(name, raising=False)
    start = time.process_time()
    while time.process_time() < start + 0.3:
        pass
    own = describe_job()
    assert own == own | {"job": None, "queued_s": None, "gpus": 0, "gpu": None, "gpu_mb": None}
    assert own["cpu_s"] > start + 0.2
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()) if sys.platform == "linux" else None
    assert own["max_rss_mb"] >= (int(peak[1]) / 1024 if peak else 50) * 0.99

    def of_cluster():
        return {k: v for k, v in describe_job().items() if k not in ("cpu_s", "max_rss_mb")}

    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho '2026-11-23T07:59:50|2026-11-23T08:01:05|'\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "2")
    assert of_cluster() == {"job": "7", "queued_s": 75.0, "gpus": 2, "gpu": None, "gpu_mb": None}
    squeue.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1\n")
    assert describe_job()["queued_s"] is None
    monkeypatch.delenv("SLURM_JOB_ID")
    monkeypatch.delenv("SLURM_GPUS_ON_NODE")
    (tmp_path / "ad").write_text("ClusterId = 12\nProcId = 0\nQDate = 1795400000\nJobCurrentStartDate = 1795400040\n")
    monkeypatch.setenv("_CONDOR_JOB_AD", str(tmp_path / "ad"))
    assert of_cluster() == {"job": "12.0", "queued_s": 40.0, "gpus": 0, "gpu": None, "gpu_mb": None}
