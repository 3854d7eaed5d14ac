"""The check of a Slurm profile, from what Slurm prints; the memory limit of a job."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT

from cathode.cluster import Partition, check_limits, count_gpus, describe_cluster, parse_minutes, parse_partitions
from cathode.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("30", 30), ("1:30", 1.5), ("2:00:00", 120), ("1-00:00:00", 1440), ("2-12", 3600), ("7-01:30", 10170), ("infinite", float("inf"))],
)  # fmt: skip
def test_slurm_times_in_all_their_forms(text, minutes):
    assert parse_minutes(text) == minutes


@pytest.mark.parametrize(
    ("gres", "n"),
    [("(null)", 0), ("gpu:2", 2), ("gpu:a100:4", 4), ("gpu", 1), ("gpu:a100:4(S:0-1),shard:8", 4), ("gpu:a100:2,gpu:h100_80gb:1", 3), ("shard:8", 0)],
)  # fmt: skip
def test_gpus_are_counted_in_any_generic_resource(gres, n):
    assert count_gpus(gres) == n


def test_a_partition_of_unlike_nodes_offers_what_its_largest_has():
    found = parse_partitions(
        "work|16|64000+|1-00:00:00|(null)\nwork|64+|32000|1-00:00:00|gpu:a100:2\nshort|8|16000|30|(null)\n"
    )
    assert found == {"work": Partition(64, 64000, 1440, 2), "short": Partition(8, 16000, 30, 0)}


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
    out = [tmp_path / f"{name}.parquet" for name in ("events", "labels", "spare")]
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


def test_a_gpu_job_without_a_gpu_falls_back_with_a_warning_or_refuses(monkeypatch):
    from cathode.steps import hunt
    from cathode.steps.hunt import resolve_device

    said: list[str] = []
    monkeypatch.setattr(hunt.log, "warning", said.append)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert resolve_device("auto") == "cpu"
    assert not said
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert resolve_device("auto") == "cpu"
    assert "given a GPU, but torch sees none" in said[0]
    with pytest.raises(ConfigError, match="found cuda, but no GPU"):
        resolve_device("cuda")


def test_the_time_of_a_run_is_told_per_rule_and_window(tmp_path):
    from cathode.errors import ArtefactError
    from cathode.timing import describe_timing

    for rule, job, wall, cpu, memory in (
        ("score_pseudo", "m3500_cathode_0", 10, 8, 500),
        ("score_pseudo", "m3500_cathode_1", 20, 18, 700),
        ("score_pseudo", "m3700_cathode_0", 5, 4, 400),
        ("prepare", "all", 3, "-", 300),
    ):
        path = tmp_path / "benchmarks" / rule / f"{job}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\tcpu_time\n{wall}\t{memory}\t{cpu}\n")
    rows = [line.split() for line in describe_timing(tmp_path).splitlines()]
    assert rows[1] == ["score_pseudo", "m3500", "2", "30", "26", "700"]
    assert rows[2] == ["score_pseudo", "m3700", "1", "5", "4", "400"]
    assert rows[3] == ["prepare", "1", "3", "0", "300"]
    assert rows[4] == ["all", "4", "38", "30", "700"]
    beside = describe_timing(tmp_path, {("score_pseudo", "m3700"): 7.0, ("prepare", ""): 2.0}).splitlines()
    assert [line.split()[-1] for line in beside] == ["estimated", "700", "7", "2", "9"]
    with pytest.raises(ArtefactError, match="no benchmark files"):
        describe_timing(tmp_path / "nothing")
