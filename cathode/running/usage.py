"""What a run took: time from the benchmark files that its rules wrote; CPU time, memory, queues and GPUs from the logs of its jobs."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from cathode.columns import aligned
from cathode.usage import RuleUsage, Timing, Used

_RECORD = re.compile(r"^\S+ job (\{.*\})$", re.M)


def write_record(rule: str, job: dict[str, Any]) -> str:
    """Line of a job's log that says what its benchmark file does not hold (`cathode.running.job.describe_job`)."""
    return f"job {json.dumps({'rule': rule} | job)}"


def read_usage(run: Path, estimated: dict[tuple[str, str], float] | None = None) -> tuple[RuleUsage, ...]:
    """Usage per rule and window of a run's folder, the most CPU time first; `estimated` CPU seconds by rule and window ("" for none).

    Jobs write <run>/benchmarks/<rule>/<job>.tsv, with the window first in the name of the job, and <run>/logs/<window>/<rule>_<rest>.log.
    """
    jobs: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    records: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for path in sorted((run / "benchmarks").glob("*/*.tsv")):
        of_job, key = _read(path), (path.parent.name, _window(path.stem))
        if (record := _record(_log(path))) is not None:
            records[key].append(record)
            # what a job says of itself is exact: from outside, Snakemake misses its end, and all of a step that a server runs
            of_job = [(wall, record["cpu_s"], record["max_rss_mb"]) for wall, _, _ in of_job[-1:]]
        jobs[key] += of_job
    rows = []
    for (rule, window), of_rule in jobs.items():
        if not of_rule:
            continue
        wall, of_jobs = sum(seconds for seconds, _, _ in of_rule), records[rule, window]
        rows.append(
            RuleUsage(
                rule=rule,
                window=window or None,
                jobs=len(of_rule),
                wall_s=wall,
                cpu_s=sum(cpu for _, cpu, _ in of_rule),
                max_rss_mb=max(memory for _, _, memory in of_rule),
                estimated_cpu_s=(estimated or {}).get((rule, window)),
                queue_s=_queue(of_jobs),
                gpu_s=_gpus(of_jobs) * wall or None,
                gpu_mb=max((r["gpu_mb"] for r in of_jobs if r["gpu_mb"] is not None), default=None),
            )
        )
    return tuple(sorted(rows, key=lambda row: (-(row.cpu_s or 0.0), row.rule, row.window or "")))


def complete_benchmarks(run: Path) -> None:
    """Put what jobs said of themselves into the benchmark files of those that Snakemake did not see, since a server ran them."""
    from cathode.io import write_whole  # with all that reads artefacts, which a plan need not import

    for path in sorted((run / "benchmarks").glob("*/*.tsv")):
        with path.open(encoding="utf-8", errors="replace") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        record = _record(_log(path))
        if record is None or not rows or _number(rows[-1].get("cpu_time")) > record["cpu_s"] / 2:
            continue
        wall = _number(rows[-1].get("s"))
        own = {
            "s": rows[-1].get("s"),
            "h:m:s": rows[-1].get("h:m:s"),
            "max_rss": record["max_rss_mb"],
            "cpu_time": record["cpu_s"],
        }
        own["mean_load"] = f"{100 * record['cpu_s'] / wall:.2f}" if wall else "NA"
        rows[-1] = {name: own.get(name, "NA") for name in rows[-1]}
        text, when = io.StringIO(), path.stat()
        writer = csv.DictWriter(text, rows[-1], delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

        def write_to(part: Path, content: str = text.getvalue(), when: os.stat_result = when) -> None:
            part.write_text(content, encoding="utf-8")
            os.utime(part, ns=(when.st_atime_ns, when.st_mtime_ns))

        write_whole(path, write_to)


def _log(benchmark: Path) -> str:
    """The log of the job whose benchmark file this is; empty where there is none."""
    rule, window, job = benchmark.parent.name, _window(benchmark.stem), benchmark.stem
    rest = job.removeprefix(window).removeprefix("_") if window else job.removesuffix("all")
    path = benchmark.parents[2] / "logs" / window / f"{rule}{f'_{rest}' if rest else ''}.log"
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _record(text: str) -> dict[str, Any] | None:
    """The last record that a log holds whole."""
    for found in reversed(_RECORD.findall(text)):
        try:
            record: dict[str, Any] = json.loads(found)
        except ValueError:
            continue
        if {"rule", "cpu_s", "max_rss_mb", "job", "queued_s", "gpus", "gpu_mb"} <= set(record):
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


def total(rows: Iterable[Used]) -> Used:
    """All rows in one: sums, and the largest memory. Numbers that no row has stay None."""
    rows = list(rows)

    def add(name: str) -> Any:
        values = [value for row in rows if (value := getattr(row, name)) is not None]
        largest = name in ("max_rss_mb", "gpu_mb")
        return (max(values) if largest else sum(values)) if values else None

    return Used(**{f.name: add(f.name) for f in fields(Used)})


def summarise_timing(rows: Iterable[RuleUsage]) -> Timing:
    """`timing` of summary.json: totals, per rule, and per rule and window; nulls when there is nothing to read."""
    rows = tuple(rows)
    return Timing(
        **vars(total(rows)),
        by_rule={rule: total(row for row in rows if row.rule == rule) for rule in sorted({row.rule for row in rows})},
        by_rule_and_window=tuple(row for row in rows if row.window),
    )


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


def describe_timing(rows: Iterable[RuleUsage]) -> str:
    """A table of what every rule and window took."""
    rows = tuple(rows)
    table = [["rule", "window", *COLUMNS.values()], *map(cells, rows), ["all", "", *numbers(total(rows))]]
    return aligned(table, left=2)


def cells(row: RuleUsage) -> list[str]:
    """Text of a row."""
    return [row.rule, row.window or "", *numbers(row)]


def numbers(used: Used) -> list[str]:
    """Text of the numbers of a row, in the order of `COLUMNS`; a dash for what does not apply."""
    return ["–" if (v := getattr(used, name)) is None else f"{v:.0f}" for name in COLUMNS]


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
