"""What failed in a run of the workflow, one line a job, from what Snakemake and the jobs themselves wrote."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FailedJob:
    """A job that failed for good.

    Attributes:
        rule, window: what it was; window "" for a job of the whole run.
        number: Snakemake's number of the job.
        log: the step's log, "" if it has none.
        group: of the jobs that were one entry in a cluster's queue and share its fate; "" for a job of its own.
    """

    rule: str
    window: str
    number: int
    log: str
    group: str = ""


def describe_failures(jobs: list[FailedJob], text: str, folder: Path = Path()) -> str:
    """Rule, window, cause and log of every job, with Slurm's word for it from `text`, Snakemake's log of the run.

    Jobs of a group are left out where another one of it says why it ended. Paths of logs are relative to `folder`. Empty without jobs: an
    error of the workflow itself, which Snakemake prints.
    """
    refusals = {job: _read(folder / job.log)[0] if job.log else "" for job in jobs}
    explained = {job.group for job in jobs if refusals[job]} - {""}
    lines = [
        _describe(job, text, folder)
        for job in sorted(jobs, key=lambda j: (j.rule, j.window, j.number))
        if refusals[job] or job.group not in explained
    ]
    return "\n".join(["failed:", *lines]) if lines else ""


def _describe(job: FailedJob, text: str, folder: Path) -> str:
    refusal, last_words = _read(folder / job.log) if job.log else ("", "no log")
    # numbers alone would do, did not a node's Snakemake, whose log is printed in between, number its own jobs from 0
    missing = f"MissingOutputException in rule {job.rule} in .*\n *Job {job.number} +completed successfully"
    status = re.findall(
        rf"^Error in rule {job.rule}:\n    message: .*status is: '(\w+)'.*\n    jobid: {job.number}$", text, re.M
    )
    if not refusal and re.search(missing, text):
        last_words = "done, but its files did not appear in time (latency-wait)"
    where = f"{job.rule}, window {job.window}" if job.window else job.rule
    return (
        f"  {where}: {refusal or last_words}"
        + (f" [{status[-1]}]" if status else "")
        + (f"; see {job.log}" if job.log else "")
    )


def _read(log: Path) -> tuple[str, str]:
    """The refusal that a step ended with, if it is one, and the last words of anything else."""
    try:
        lines = [
            line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
    except OSError:
        return "", "no log"
    refusals = [line.removeprefix("cathode: ") for line in lines if line.startswith("cathode: ")]
    return refusals[-1] if refusals else "", lines[-1] if lines else "ended without a word (killed?)"
