"""`cathode cluster`: whether a Slurm profile fits the cluster, and whether its nodes have this Python and package."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cathode.errors import ConfigError
from cathode.version import __version__

_PATIENCE = 20  # seconds for an answer of Slurm's controller


@dataclass(frozen=True)
class Partition:
    """What Slurm says of a partition: CPUs and memory (MB) of its largest node, its longest time (minutes), its most GPUs per node, their models."""

    cpus: int
    memory: int
    minutes: float
    gpus: int
    gpu_models: frozenset[str] = frozenset()


def describe_cluster(profile: Path, *, probe: bool = True, patience: int = 120) -> str:
    """Check a profile folder against the cluster, and with `probe` run a job of seconds in every partition.

    Raises ConfigError for a partition or account that does not exist, a limit that no node keeps, a GPU partition without GPUs,
    and a node where this Python or package is missing.
    """
    settings, partitions = _read(profile / "config.yaml"), _read(profile / "partitions.yaml").get("partitions")
    where = profile / "partitions.yaml"
    if not isinstance(partitions, dict) or not partitions:
        raise ConfigError(f"{where}: found no partitions, expected at least one below `partitions`")
    if shutil.which("sinfo") is None:
        raise ConfigError("found no Slurm here (no command sinfo), expected a machine that submits to one")
    known = parse_partitions(_ask("sinfo", "--noheader", "--exact", "--format=%R|%c|%m|%l|%G"))
    lines = []
    partitions = {name: _mapping(partitions, name, where) for name in partitions}
    for name, limits in partitions.items():
        if name not in known:
            raise ConfigError(
                f"{where}: found partition {name}, expected one of the cluster's: {', '.join(sorted(known))}"
            )
        check_limits(f"{where}: {name}", limits, known[name])
        lines.append(_describe(name, limits, known[name]))
    account = _mapping(settings, "default-resources", profile / "config.yaml").get("slurm_account")
    if account:
        _check_account(str(account), profile / "config.yaml")
        lines.append(f"account {account}: known")
    _check_gpu_models(settings, {m for name in partitions for m in known[name].gpu_models}, profile / "config.yaml")
    if not any(limits.get("max_gpu") for limits in partitions.values()):
        lines.append("warning: no partition with max_gpu; jobs of density models ask for a GPU and will not start")
    if probe:
        lines += [_probe(name, limits, account, patience) for name, limits in partitions.items()]
    return "\n".join(lines)


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}, expected a profile with config.yaml and partitions.yaml"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: found {type(tree).__name__}, expected keys and values")
    return tree


def _mapping(tree: dict[str, Any], key: str, where: Path) -> dict[str, Any]:
    """What stands below a key: keys and values, or nothing."""
    value = tree.get(key) or {}
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {key}: found {type(value).__name__}, expected keys and values")
    return value


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{command[0]}: no answer from Slurm's controller ({type(error).__name__})") from error
    if done.returncode:
        raise ConfigError(f"{command[0]}: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}")
    return done.stdout


def parse_partitions(text: str) -> dict[str, Partition]:
    """Partitions by name from lines `name|CPUs|memory|time|gres` of sinfo, one per kind of node."""
    out: dict[str, Partition] = {}
    for line in text.splitlines():
        name, cpus, memory, time, gres = (field.strip() for field in line.split("|", 4))
        gpus = parse_gpus(gres)
        models = frozenset(model for model, _ in gpus if model)
        kind = Partition(
            int(cpus.rstrip("+")), int(memory.rstrip("+")), parse_minutes(time), sum(n for _, n in gpus), models
        )
        if (old := out.get(name)) is not None:
            kind = Partition(
                max(kind.cpus, old.cpus),
                max(kind.memory, old.memory),
                kind.minutes,
                max(kind.gpus, old.gpus),
                kind.gpu_models | old.gpu_models,
            )
        out[name] = kind
    return out


def parse_minutes(time: str) -> float:
    """Minutes of a Slurm time: `infinite`, `minutes`, `minutes:seconds`, `hours:minutes:seconds`, with `days-` before."""
    if not time or not time[0].isdigit():
        return float("inf")
    days, _, rest = time.rpartition("-")
    parts = [int(p) for p in rest.split(":")]
    if days:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, (minutes, seconds) = 0, (*parts, 0)[:2]
    return int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60


def parse_gpus(gres: str) -> list[tuple[str, int]]:
    """Model ("" where Slurm knows none) and number of a node's GPUs from its generic resources, e.g. `gpu:a100:4(S:0-1),shard:8`."""
    found = re.findall(r"(?:^|,)gpu(?::(\d*[A-Za-z][\w.-]*))?(?::(\d+))?", gres)
    return [(model, int(n or 1)) for model, n in found]


def check_limits(where: str, limits: dict[str, Any], partition: Partition) -> None:
    """Raise ConfigError for a limit above what the partition's nodes have: such a job would wait for ever."""
    for key, has, what in (
        ("max_threads", partition.cpus, "CPUs"),
        ("max_mem_mb", partition.memory, "MB"),
        ("max_runtime", partition.minutes, "minutes"),
        ("max_gpu", partition.gpus, "GPUs"),
    ):
        given = limits.get(key, 0)
        if not isinstance(given, int | float):
            raise ConfigError(f"{where}.{key}: found {given!r}, expected a number")
        if given > has:
            raise ConfigError(
                f"{where}.{key}: found {given:g}, expected at most the {has:g} {what} of its largest node"
            )


def _describe(name: str, limits: dict[str, Any], partition: Partition) -> str:
    gpus = f", GPUs {limits['max_gpu']} of {partition.gpus}" if limits.get("max_gpu") else ""
    return (
        f"partition {name}: CPUs {limits.get('max_threads', 'any')} of {partition.cpus}, memory "
        f"{limits.get('max_mem_mb', 'any')} of {partition.memory} MB, time {limits.get('max_runtime', 'any')} of "
        f"{partition.minutes:g} minutes{gpus}"
    )


def _check_gpu_models(settings: dict[str, Any], models: set[str], where: Path) -> None:
    """Refuse a GPU model that no partition of the profile has: such a job would wait for ever."""
    for rule, resources in _mapping(settings, "set-resources", where).items():
        model = _mapping({rule: resources}, rule, where).get("gpu_model")
        if model and model not in models:
            expected = f"one of {', '.join(sorted(models))}" if models else "none: Slurm names no models here"
            raise ConfigError(f"{where}: set-resources.{rule}.gpu_model: found {model}, expected {expected}")
    if "gpu_model" in _mapping(settings, "default-resources", where):
        raise ConfigError(
            f"{where}: default-resources.gpu_model: found it for all rules, which would all ask for a GPU; expected it in set-resources"
        )


def _check_account(account: str, where: Path) -> None:
    """Refuse an account that the user has not; without an accounting database nobody knows."""
    try:
        found = _ask("sacctmgr", "--noheader", "--parsable2", "show", "associations", "format=account")
    except ConfigError:
        return
    accounts = sorted({line.strip() for line in found.splitlines() if line.strip()})
    if accounts and account not in accounts:
        raise ConfigError(f"{where}: found slurm_account {account}, expected one of {', '.join(accounts)}")


def _probe(name: str, limits: dict[str, Any], account: str | None, patience: int) -> str:
    """Import the package and look for a file of this folder on a node of the partition, as its jobs will."""
    gpu = bool(limits.get("max_gpu"))
    script = (
        "import os, socket, sys, torch, cathode.version as v; "
        "print(socket.gethostname(), v.__version__, torch.cuda.is_available(), os.path.exists(sys.argv[1]), sep='|')"
    )
    command = [
        "srun",
        "--quiet",
        f"--partition={name}",
        "--ntasks=1",
        "--mem=1000",
        "--time=2",
        f"--immediate={patience}",
    ]
    command += ["--gpus=1"] * gpu + [f"--account={account}"] * bool(account)
    try:
        with tempfile.NamedTemporaryFile(dir=".", prefix=".probe-") as marker:
            done = subprocess.run(
                [*command, sys.executable, "-c", script, str(Path(marker.name).resolve())],
                capture_output=True,
                text=True,
                timeout=patience + 130,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"partition {name}: the probe job did not end within {patience + 130} seconds") from error
    if done.returncode:
        reason = " ".join((done.stderr.strip() or "no message").splitlines()[-1].split())
        raise ConfigError(
            f"partition {name}: the probe job failed on its node: {reason}; expected {sys.executable} with cathode {__version__} "
            "there, on a file system that the nodes share"
        )
    node, version, cuda, shared = done.stdout.strip().splitlines()[-1].split("|")
    if version != __version__:
        raise ConfigError(f"partition {name}: node {node} has cathode {version}, expected {__version__} as here")
    if shared != "True":
        raise ConfigError(
            f"partition {name}: node {node} does not see what is written to {Path.cwd()} here; expected a folder on a file system that the "
            "nodes share"
        )
    sees = ", torch sees a GPU" if cuda == "True" else ", torch sees no GPU: jobs run on its CPUs" if gpu else ""
    return f"partition {name}: node {node} runs {sys.executable} with cathode {version}{sees}"
