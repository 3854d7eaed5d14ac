"""Time and memory of a finished workflow, from the benchmark files its rules wrote."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any


def collect_timing(folder: str | None) -> dict[str, Any]:
    """Wall and CPU seconds and the largest memory (MB), in total and per rule; nulls when there is nothing to read.

    Benchmark files lie at <folder>/<rule>/<job>.tsv. `wall_s` adds up the jobs, it is not the length of the run.
    """
    by_rule: dict[str, dict[str, float]] = {}
    for path in sorted(Path(folder).glob("*/*.tsv")) if folder else []:
        with path.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        entry = by_rule.setdefault(path.parent.name, {"jobs": 0, "wall_s": 0.0, "cpu_s": 0.0, "max_rss_mb": 0.0})
        for row in rows:
            entry["jobs"] += 1
            entry["wall_s"] += _number(row.get("s"))
            entry["cpu_s"] += _number(row.get("cpu_time"))
            entry["max_rss_mb"] = max(entry["max_rss_mb"], _number(row.get("max_rss")))
    rules = by_rule.values()
    return {
        "wall_s": sum(r["wall_s"] for r in rules) if by_rule else None,
        "cpu_s": sum(r["cpu_s"] for r in rules) if by_rule else None,
        "max_rss_mb": max(r["max_rss_mb"] for r in rules) if by_rule else None,
        "by_rule": by_rule,
    }


def _number(text: str | None) -> float:
    try:
        return float(text or 0.0)
    except ValueError:  # snakemake writes "-" or "NA" for jobs too short to sample
        return 0.0
