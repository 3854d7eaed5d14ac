"""Where a run stands: its jobs, what is done, what runs and how long is left; from the lines of its feed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# what a user calls the work of the rules, in the order in which it is done
STAGES = {
    "events": ("fetch", "cluster_jets", "generate", "prepare"),
    "density": ("fit_density",),
    "template": ("make_template",),
    "classifier": ("score", "score_reference", "evaluate_hunts"),
    "closure": ("score_pseudo", "combine_closure"),
    "significance": ("conclude", "read_reference", "scan_spectrum"),
    "pseudo-experiments": (
        "fit_truth", "calibrate_classifier", "calibrate_chain", "measure_overdispersion", "measure_calibration"
    ),
    "report": ("plot_window", "summarise", "plot_summary", "plot_calibration", "report", "report_calibrated", "timing", "limit_signal"),
}  # fmt: skip
_STAGE_OF = {rule: stage for stage, rules in STAGES.items() for rule in rules}
_PART = re.compile(r" (\w+): (\d+) of (\d+)(?:,|$)", re.M)


@dataclass
class Job:
    """A job of the run: `state` is waiting, running, done or failed; `started` on the board's clock."""

    rule: str
    window: str
    state: str = "waiting"
    log: str = ""
    started: float = 0.0
    took: float = 0.0

    @property
    def stage(self) -> str:
        """What a user calls it."""
        return _STAGE_OF.get(self.rule, self.rule)


@dataclass
class Board:
    """What is known of a run.

    Attributes:
        cores: jobs at a time, for the time that is left.
        jobs: by Snakemake's number.
        said: what the workflow told its user, not yet shown.
        estimate: CPU seconds of all jobs of a rule and window; empty until the events are there.
        clock: seconds, from any moment.
    """

    cores: int
    jobs: dict[int, Job] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    estimate: Mapping[tuple[str, str], float] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic

    def take(self, line: Mapping[str, Any]) -> str | None:
        """Take in a line of the feed; returns the rule of a job that ended well just now."""
        event = line["event"]
        if event == "said":
            self.said.append(line["text"])
        elif event == "plan":
            self.jobs |= {number: Job(rule, window) for number, rule, window in line["jobs"]}
        elif event == "job_started":
            for job in filter(None, map(self.jobs.get, line["jobs"])):
                job.state, job.started = "running", self.clock()
        elif (one := self.jobs.get(line["job"])) and event == "job_info":
            one.log = line["log"]
        elif one:
            one.state = "done" if event == "job_finished" else "failed"
            one.took = self.clock() - one.started
            return one.rule if one.state == "done" else None
        return None

    @property
    def done(self) -> int:
        """Jobs that ended well."""
        return sum(job.state == "done" for job in self.jobs.values())

    @property
    def windows(self) -> list[str]:
        """Windows that have jobs, in order."""
        return sorted({job.window for job in self.jobs.values()} - {""})

    def stages(self, window: str) -> dict[str, list[Job]]:
        """Jobs of a window ("": of the whole run) by stage, in the order in which work is done."""
        found = {stage: [j for j in self.jobs.values() if (j.window, j.stage) == (window, stage)] for stage in STAGES}
        return {stage: jobs for stage, jobs in found.items() if jobs}

    def seconds_left(self) -> float | None:
        """Seconds until the end, on all cores, at the pace of the jobs that are done; None while nothing is known.

        A job's share of the estimate of its rule and window, times what finished jobs took over what was estimated for them.
        """
        if not self.estimate:
            return None
        number: dict[tuple[str, str], int] = {}
        for job in self.jobs.values():
            number[job.rule, job.window] = number.get((job.rule, job.window), 0) + 1
        share = {key: self.estimate.get(key, 8.0 * n) / n for key, n in number.items()}
        took = sum(j.took for j in self.jobs.values() if j.state == "done")
        expected = sum(share[j.rule, j.window] for j in self.jobs.values() if j.state == "done")
        # until some have ended the estimate counts as ten jobs' worth of experience
        pace = (took + 60) / (expected + 60)
        left = []
        for job in self.jobs.values():
            if job.state in ("waiting", "running"):
                whole = share[job.rule, job.window] * pace
                spent = self.clock() - job.started if job.state == "running" else 0.0
                left.append(max(whole - spent, 0.1 * whole))
        return max(sum(left) / max(self.cores, 1), max(left, default=0.0))


def share_done(job: Job) -> float:
    """How much of a running job is done, by the last line of its log that counts; 0 where none does."""
    try:
        with Path(job.log).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 4000))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return 0.0
    found = _PART.findall(text)
    whole = [part for part in found if part[0] == "region"]  # what the lines between count is a region's own
    _, done, total = (whole or found or [("", "0", "1")])[-1]
    return int(done) / max(int(total), 1)


def duration(seconds: float) -> str:
    """`0:42`, `12:05` or `3 h 10 min`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60}:{whole % 60:02d}"
