"""What failed in a run of the workflow, one line a job, from what Snakemake and the jobs themselves wrote."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

# a job that failed alone, and one of a group that was one entry in a cluster's queue
_ERROR = re.compile(
    r"^Error in rule (?P<rule>\w+):\n(?P<body>(?: {4}.*\n)+)|^ {8}rule (?P<member>\w+):\n(?P<inner>(?: {12}.*\n)+)",
    re.M,
)
_STATUS = re.compile(r"status is: '(\w+)'")


@dataclass(frozen=True)
class _Failure:
    """One job; `group` is where its group begins in the log, None for a job of its own."""

    rule: str
    log: str
    status: str
    group: int | None
    refusal: str
    last_words: str


def describe_failures(text: str, folder: Path = Path()) -> str:
    """Rule, window, cause and log of every job that failed for good, from Snakemake's log of the run.

    Jobs that were repeated with success are left out, and so are those of a group that only shared its fate. Paths of logs are relative to
    `folder`. Empty when no job failed: an error of the workflow itself, which Snakemake prints.
    """
    failures: dict[str, tuple[str, _Failure]] = {}
    for found in _ERROR.finditer(text):
        body = found["body"] or found["inner"]
        job, log = _field("jobid", body), _field("log", body).split(" (check ")[0].split(", ")[0]
        if failures.get(log, (job,))[0] != job:
            continue  # a node's own account of the same job, which follows with its numbers
        group = text.rfind("    jobs:\n", 0, found.start()) if found["member"] else None
        status = _STATUS.findall(body if group is None else text[:group])
        words = (found["rule"] or found["member"], log, status[-1] if status else "", group)
        failures[log] = job, _Failure(*words, *_read(folder / log))
    finished = set(re.findall(r"^Finished jobid: (\d+) ", text, re.M))
    left = [failure for job, failure in failures.values() if job not in finished]
    explained = {f.group for f in left if f.group is not None and f.refusal}
    lines = [_describe(f) for f in left if f.refusal or f.group not in explained]
    return "\n".join(["failed:", *lines]) if lines else ""


def _field(name: str, body: str) -> str:
    found = re.search(rf"^ *{name}: (.*)$", body, re.M)
    return found[1] if found else ""


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


def _describe(failure: _Failure) -> str:
    window = re.search(r"/logs/(m\d[0-9p]*)/", failure.log)
    where = f"{failure.rule}, window {window[1]}" if window else failure.rule
    status = f" [{failure.status}]" if failure.status else ""
    return f"  {where}: {failure.refusal or failure.last_words}{status}; see {failure.log}"
