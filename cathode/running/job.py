"""The job that this process is: what a cluster and a GPU say of it, and the memory that it keeps to."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from cathode.classifier.trees import load_lightgbm

_PATIENCE = 20  # seconds for an answer of Slurm's controller
_LARGE = ("torch", "pandas", "pyarrow.parquet")
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd")


def limit_memory(megabytes: int | None) -> None:
    """Keep a cluster's job to its memory, so that it ends with a message even where the cluster does not enforce it.

    Counts private writable memory. Not with a GPU, whose driver maps far more than it uses, and not outside a cluster. Large libraries
    are loaded before: one that runs out of memory while it is loaded fails in odd ways, or hangs.
    """
    if megabytes and _identity() and not any(map(os.path.exists, _DRIVERS)):
        for name in _LARGE:
            import_module(name)
        load_lightgbm()
        resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, resource.RLIM_INFINITY))


def describe_job() -> dict[str, Any]:
    """What the workflow's benchmark files do not hold, or sample from outside and so miss.

    `cpu_s`: CPU seconds of this process and those that it waited for; `max_rss_mb`: the most memory that one of them had; `job`: the
    cluster's number, null on a machine of one's own; `queued_s`: seconds from its (last) submission to its start, null if the cluster does not say;
    `gpus`: how many it holds; `gpu`, `gpu_mb`: the one that torch computed on, and the most memory used there.
    """
    identity = _identity()
    torch = sys.modules.get("torch")  # a step that never imported it used no GPU
    used = torch is not None and torch.cuda.is_initialized()
    held = os.environ.get("SLURM_GPUS_ON_NODE", "")
    gpus = int(held) if held.isdecimal() else int(used)
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    unit = 1 << (20 if sys.platform == "darwin" else 10)  # of ru_maxrss: bytes there, kilobytes elsewhere
    return {
        "cpu_s": round(sum(u.ru_utime + u.ru_stime for u in usages), 2),
        "max_rss_mb": round(max(u.ru_maxrss for u in usages) / unit, 1),
        "job": identity,
        "queued_s": _queued(identity) if identity else None,
        "gpus": gpus,
        "gpu": torch.cuda.get_device_name() if torch and used else None,
        "gpu_mb": round(torch.cuda.max_memory_allocated() / 1e6, 1) if torch and used else None,
    }


def _identity() -> str | None:
    """The cluster's number of this job."""
    if (slurm := os.environ.get("SLURM_JOB_ID")) is not None:
        return slurm
    if (advertisement := _job_ad()) is not None:
        return f"{advertisement.get('ClusterId', '')}.{advertisement.get('ProcId', '')}"
    return None


def _queued(identity: str) -> float | None:
    """Seconds in the queue. Slurm's controller is asked (no accounting database is needed), HTCondor leaves a file."""
    if (advertisement := _job_ad()) is not None:
        try:
            return float(advertisement["JobCurrentStartDate"]) - float(advertisement["QDate"])
        except (KeyError, ValueError):
            return None
    command = ["squeue", "--noheader", "--jobs", identity, "--Format=SubmitTime:|,StartTime:|"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=True).stdout
        submitted, started = (datetime.fromisoformat(t.strip()) for t in said.splitlines()[0].split("|")[:2])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    return (started - submitted).total_seconds()


def _job_ad() -> dict[str, str] | None:
    """HTCondor's description of this job, from lines `name = value`."""
    if "_CONDOR_JOB_AD" not in os.environ:
        return None
    try:
        lines = Path(os.environ["_CONDOR_JOB_AD"]).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
