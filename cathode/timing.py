"""What a run took: time and memory from the benchmark files its rules wrote, queues and GPUs from their logs."""

from __future__ import annotations

import csv
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

_RECORD = re.compile(r"^\S+ job (\{.*\})$", re.M)


def write_record(rule: str, job: dict[str, Any]) -> str:
    """Line of a job's log that says what its benchmark file does not hold (`cathode.job.describe_job`)."""
    return f"job {json.dumps({'rule': rule} | job)}"


@dataclass(frozen=True)
class Usage:
    """What the jobs of one rule in one window ("" for the whole run) took.

    Attributes:
        jobs: finished ones.
        wall_s, cpu_s: sums over jobs, in seconds; max_rss_mb: of the largest.
        estimated_cpu_s: what `cathode check` expects; None where it expects nothing.
        queue_s: sum over the cluster's jobs, rules that share one count it each; None on a laptop.
        gpu_s: wall seconds times GPUs held; gpu_mb: largest memory that torch used there; None where none was held or used.
    """

    rule: str
    window: str
    jobs: int
    wall_s: float
    cpu_s: float
    max_rss_mb: float
    estimated_cpu_s: float | None = None
    queue_s: float | None = None
    gpu_s: float | None = None
    gpu_mb: float | None = None


def read_usage(run: Path, estimated: dict[tuple[str, str], float] | None = None) -> list[Usage]:
    """Usage per rule and window of a run's folder, the most CPU time first; `estimated` CPU seconds by rule and window.

    Jobs write <run>/benchmarks/<rule>/<job>.tsv, with the window first in the name of the job, and <run>/logs/<window>/.
    """
    jobs: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    for path in sorted((run / "benchmarks").glob("*/*.tsv")):
        jobs[path.parent.name, _window(path.stem)] += _read(path)
    records: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for path in sorted((run / "logs").rglob("*.log")):
        if (record := _record(path.read_text(encoding="utf-8", errors="replace"))) is not None:
            records[record["rule"], _window(path.parent.name)].append(record)
    rows = [
        Usage(
            *key,
            len(of_rule),
            sum(wall for wall, _, _ in of_rule),
            sum(cpu for _, cpu, _ in of_rule),
            max(memory for _, _, memory in of_rule),
            (estimated or {}).get(key),
            _queue(records[key]),
            _gpus(records[key]) * sum(wall for wall, _, _ in of_rule) or None,
            max((r["gpu_mb"] for r in records[key] if r["gpu_mb"] is not None), default=None),
        )
        for key, of_rule in jobs.items()
        if of_rule
    ]
    return sorted(rows, key=lambda row: (-row.cpu_s, row.rule, row.window))


def _record(text: str) -> dict[str, Any] | None:
    """The last record that a log holds whole."""
    for found in reversed(_RECORD.findall(text)):
        try:
            record: dict[str, Any] = json.loads(found)
        except ValueError:
            continue
        if {"rule", "job", "queued_s", "gpus", "gpu_mb"} <= set(record):
            return record
    return None


def _window(name: str) -> str:
    """The window that a name begins with."""
    found = re.match(r"m\d[0-9p]*(?=_|$)", name)
    return found.group() if found else ""


def _gpus(records: list[dict[str, Any]]) -> float:
    """GPUs per job."""
    return sum(r["gpus"] for r in records) / len(records) if records else 0.0


def _queue(records: list[dict[str, Any]]) -> float | None:
    """Seconds in the queue, each of the cluster's jobs once."""
    waits = {r["job"]: r["queued_s"] for r in records if r["queued_s"] is not None}
    return sum(waits.values()) if waits else None


def total(rows: Iterable[Usage], rule: str = "all", window: str = "") -> Usage:
    """One row for all: sums, and the largest memory. Numbers that no row has stay None."""
    rows = list(rows)

    def known(name: str) -> list[float]:
        return [value for row in rows if (value := getattr(row, name)) is not None]

    def add(name: str) -> float | None:
        return sum(values) if (values := known(name)) else None

    return Usage(
        rule,
        window,
        sum(row.jobs for row in rows),
        sum(row.wall_s for row in rows),
        sum(row.cpu_s for row in rows),
        max(known("max_rss_mb"), default=0.0),
        add("estimated_cpu_s"),
        add("queue_s"),
        add("gpu_s"),
        max(known("gpu_mb"), default=None),
    )


def summarise_timing(rows: list[Usage]) -> dict[str, Any]:
    """`timing` of summary.json: totals, per rule, and per rule and window; nulls when there is nothing to read.

    `wall_s` adds up the jobs, it is not the length of the run.
    """

    def numbers(row: Usage) -> dict[str, Any]:
        return {f.name: getattr(row, f.name) for f in fields(row) if f.name not in ("rule", "window")}

    rules = sorted({row.rule for row in rows})
    everything = numbers(total(rows))
    if not rows:
        everything = dict.fromkeys(everything)
    return everything | {
        "by_rule": {rule: numbers(total(row for row in rows if row.rule == rule)) for rule in rules},
        "by_rule_and_window": [
            {"rule": row.rule, "window": row.window or None} | numbers(row) for row in rows if row.window
        ],
    }


# heading and decimals of the columns that follow rule and window
COLUMNS = {
    "jobs": "jobs",
    "wall_s": "wall s",
    "cpu_s": "CPU s",
    "estimated_cpu_s": "estimated",
    "max_rss_mb": "memory MB",
    "queue_s": "queued s",
    "gpu_s": "GPU s",
    "gpu_mb": "GPU MB",
}


def describe_timing(rows: list[Usage]) -> str:
    """A table of what every rule and window took."""
    table = [["rule", "window", *COLUMNS.values()], *cells([*rows, total(rows)])]
    width = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, width, strict=True))
        )
        for line in table
    )


def cells(rows: Iterable[Usage]) -> list[list[str]]:
    """Text of every row; a dash for what does not apply."""
    return [
        [row.rule, row.window, *("–" if (v := getattr(row, n)) is None else f"{v:.0f}" for n in COLUMNS)]
        for row in rows
    ]


def _read(path: Path) -> list[tuple[float, float, float]]:
    """Wall and CPU seconds and memory (MB) of every run that a benchmark file holds."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return [
            (_number(r.get("s")), _number(r.get("cpu_time")), _number(r.get("max_rss")))
            for r in csv.DictReader(file, delimiter="\t")
        ]


def _number(text: str | None) -> float:
    try:
        return number if math.isfinite(number := float(text or 0.0)) else 0.0
    except ValueError:  # snakemake writes "-" or "NA" for jobs too short to sample
        return 0.0
