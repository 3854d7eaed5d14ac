"""Time and memory of a finished workflow, from the benchmark files its rules wrote."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from cathode.errors import ArtefactError


def collect_timing(folder: str | None) -> dict[str, Any]:
    """Wall and CPU seconds and the largest memory (MB), in total and per rule; nulls when there is nothing to read.

    Benchmark files lie at <folder>/<rule>/<job>.tsv. `wall_s` adds up the jobs, it is not the length of the run.
    """
    by_rule: dict[str, dict[str, float]] = {}
    for path in sorted(Path(folder).glob("*/*.tsv")) if folder else []:
        entry = by_rule.setdefault(path.parent.name, {"jobs": 0, "wall_s": 0.0, "cpu_s": 0.0, "max_rss_mb": 0.0})
        for wall, cpu, memory in _read(path):
            entry["jobs"] += 1
            entry["wall_s"] += wall
            entry["cpu_s"] += cpu
            entry["max_rss_mb"] = max(entry["max_rss_mb"], memory)
    rules = by_rule.values()
    return {
        "wall_s": sum(r["wall_s"] for r in rules) if by_rule else None,
        "cpu_s": sum(r["cpu_s"] for r in rules) if by_rule else None,
        "max_rss_mb": max(r["max_rss_mb"] for r in rules) if by_rule else None,
        "by_rule": by_rule,
    }


def describe_timing(run: Path, estimated: dict[tuple[str, str], float] | None = None) -> str:
    """A table of jobs, wall and CPU seconds and memory of a run's folder, per rule and window; in no report, which has the same bytes every time.

    Beside them the CPU seconds that were `estimated`, by rule and window.
    """
    folder = run / "benchmarks"
    rows: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for path in sorted(folder.glob("*/*.tsv")):
        window = path.stem.split("_")[0] if path.stem.startswith("m") else ""
        rows.setdefault((path.parent.name, window), []).extend(_read(path))
    if not rows:
        raise ArtefactError(
            f"{folder}: found no benchmark files, expected the folder of a finished run, e.g. results/demo"
        )
    lines = [
        f"{'rule':24}{'window':10}{'jobs':>6}{'wall s':>10}{'CPU s':>10}{'memory MB':>12}"
        + (f"{'estimated':>12}" if estimated else "")
    ]
    for (rule, window), jobs in sorted(rows.items(), key=lambda item: -sum(j[1] for j in item[1])):
        wall, cpu, memory = (sum(j[0] for j in jobs), sum(j[1] for j in jobs), max(j[2] for j in jobs))
        expected = estimated.get((rule, window)) if estimated else None
        lines.append(
            f"{rule:24}{window:10}{len(jobs):>6}{wall:>10.0f}{cpu:>10.0f}{memory:>12.0f}"
            + ("" if expected is None else f"{expected:>12.0f}")
        )
    everything = [j for jobs in rows.values() for j in jobs]
    lines.append(
        f"{'all':34}{len(everything):>6}{sum(j[0] for j in everything):>10.0f}{sum(j[1] for j in everything):>10.0f}"
        f"{max(j[2] for j in everything):>12.0f}" + (f"{sum(estimated.values()):>12.0f}" if estimated else "")
    )
    return "\n".join(lines)


def _read(path: Path) -> list[tuple[float, float, float]]:
    """Wall and CPU seconds and memory (MB) of every run that a benchmark file holds."""
    with path.open(encoding="utf-8") as file:
        return [
            (_number(r.get("s")), _number(r.get("cpu_time")), _number(r.get("max_rss")))
            for r in csv.DictReader(file, delimiter="\t")
        ]


def _number(text: str | None) -> float:
    try:
        return float(text or 0.0)
    except ValueError:  # snakemake writes "-" or "NA" for jobs too short to sample
        return 0.0
