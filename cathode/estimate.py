"""What a hunt will cost before it runs: jobs, CPU time and memory per rule, from event counts and settings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cathode.classifier import ClassifierSettings
from cathode.classifier.methods import LABEL_FREE
from cathode.config import Config
from cathode.regions import Window, in_interval, pseudo_windows
from cathode.template import BackgroundSettings, TemplateSettings

Array = NDArray[np.float64]

# CPU-microseconds on one core of a 2020s server, from benchmarks/density_models.py, benchmarks/scale.py and timed steps of the demo
_TRAIN_DENSITY = {"histogram": 0.8, "spline": 5.3, "maf": 33.0}  # per event, epoch, member, feature
_MAKE_EVENTS = {"histogram": 1.5, "spline": 14.0, "maf": 26.0}  # per event and feature, encoded and decoded
_TRAIN_TREE, _ASK_TREE = 0.1, 0.035  # per event and tree
_TRAIN_NETWORK, _ASK_NETWORK = 2.0, 0.65  # per event and epoch (kept epoch)
_START = 5.0  # seconds until a job has imported what it needs
_SMALL = 8.0  # seconds of a job that fits, counts or draws
_BASE_MB = 650.0  # of a process that holds few events, torch included
_COPIES = 3.3  # of the events at the peak of a step
_ROW_BYTES = 320.0  # of a template event in the step that scores it, and of one member's share of a score


@dataclass(frozen=True)
class Cost:
    """Jobs of one rule: how many, CPU seconds and memory (MB) of the largest."""

    jobs: int
    cpu_s: float
    memory_mb: float


def estimate_cost(config: Config, mass: Array) -> dict[str, Cost]:
    """Cost of every rule of a hunt on events of masses `mass (n,)`, on the CPU.

    Within a factor of two on the demo and the LHC Olympics sample (`cathode timing` says what it was); GPUs, slower disks and cores
    that share caches are not in it.
    """
    c, n_windows = config, len(config.regions)
    small = Cost(1, _SMALL, _BASE_MB + _events_mb(c, len(mass)))
    label_free = [m for m in c.methods if m in LABEL_FREE]
    of_window = [item for w in c.regions.values() for item in _window_cost(c, w, mass)]
    out = {"prepare": small}
    for rule, cost in of_window:
        known = out.get(rule, Cost(0, 0.0, 0.0))
        out[rule] = Cost(known.jobs + cost.jobs, known.cpu_s + cost.cpu_s, max(known.memory_mb, cost.memory_mb))
    many = {"measure_closure": n_windows * len(label_free), "plot_window": n_windows, "summarise": 1, "report": 1}
    if c.blind:
        many["infer_blind"] = n_windows * len(label_free)
    else:
        per_hunt = ("estimate_background", "infer", "select", *(("evaluate",) if c.data.label is not None else ()))
        many |= dict.fromkeys(per_hunt, n_windows * len(c.methods)) | {"scan_spectrum": 1, "plot_summary": 1}
    return out | {name: Cost(n, n * _SMALL, small.memory_mb) for name, n in many.items()}


def describe_cost(costs: dict[str, Cost], cores: int) -> str:
    """One line: jobs, CPU time, memory, and the time on `cores`, which is at least that of the longest job."""
    total = sum(cost.cpu_s for cost in costs.values())
    name, largest = max(costs.items(), key=lambda item: item[1].memory_mb)
    longest = max(cost.cpu_s / cost.jobs for cost in costs.values())
    return (
        f"estimate, on the CPU: {sum(cost.jobs for cost in costs.values())} jobs, {_time(total)} of CPU time, "
        f"{_time(max(longest, total / cores))} with {cores} cores; up to {largest.memory_mb / 1000:.1f} GB per job ({name})"
    )


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("hours", 3600.0)):
        if seconds >= 2 * size:
            return f"about {seconds / size:.1f} {unit}"
    return f"about {math.ceil(seconds / 60)} min"


def _events_mb(config: Config, n: int) -> float:
    return n * 8 * (len(config.data.features) + 2) * _COPIES / 1e6


def _window_cost(c: Config, window: Window, mass: Array) -> Iterator[tuple[str, Cost]]:
    """Costs of the rules that train or sample for one window."""
    d, base = len(c.data.features), _BASE_MB + _events_mb(c, len(mass))
    inside = int(window.in_signal(mass).sum())
    low, high = window.in_strips(mass, c.classifier.strip_width)
    strips = int((low | high).sum())
    side = window.in_sideband(mass)
    n_side, near = int(side.sum()), int(c.template.near(window, mass).sum())
    checks = min(c.classifier.sequential_members / c.classifier.members, 1.0) / c.classifier.splits
    members = c.background.bootstraps * c.background.seeds
    yield "fit_density", Cost(1, _START + _density_seconds(c.background, n_side, members, d), base)
    yield "compare_sidebands", Cost(1, _START + _make_seconds(c, near, d) + 0.05e-3 * near, base)
    if "cathode" in c.methods and not c.blind:
        made, measured = _template_size(c.template, window, mass, inside, members)
        sampling = _make_seconds(c, made + measured, d)
        yield "sample_template", Cost(1, _START + sampling, base + (made + measured) * d * 16 / 1e6)
        found = _classify_seconds(c.classifier, inside + made, inside + measured + near)
        rows = (made + measured) * _ROW_BYTES / 1e6
        yield "score_cathode", Cost(1, _START + found * (1 + checks), base + rows)
    if "cwola" in c.methods and not c.blind:
        found = _classify_seconds(c.classifier, inside + strips, inside + 2 * strips + near)
        yield "score_cwola", Cost(1, _START + found * (1 + checks), base)
    for method in c.methods:
        if method not in LABEL_FREE and not c.blind:
            yield "score_reference", Cost(1, _START + _classify_seconds(c.classifier, 2 * inside, 2 * inside), base)
    regions = pseudo_windows(window, mass[side], c.closure.windows, guard=c.closure.guard)
    for method in (m for m in c.methods if m in LABEL_FREE):
        seconds = 0.0
        for region in regions:
            own = min(int(region.in_signal(mass).sum()), inside or len(mass))
            counted = int(in_interval(mass, region.counting).sum())
            if method == "cwola":
                a, b = region.in_strips(mass, c.classifier.strip_width)
                n = int((a | b).sum())
                seconds += _classify_seconds(c.classifier, own + n, counted + n)
                continue
            members = c.closure.bootstraps * c.closure.seeds
            made, measured = _template_size(replace(c.template, guard=0.0), region, mass, own, members)
            seconds += _density_seconds(c.background, int(region.in_sideband(mass).sum()), members, d)
            seconds += _make_seconds(c, made + measured, d)
            seconds += _classify_seconds(c.classifier, own + made, counted + measured)
        yield "score_pseudo", Cost(c.closure.jobs, c.closure.jobs * _START + seconds, base)


def _density_seconds(background: BackgroundSettings, n: int, members: int, d: int) -> float:
    epochs: int = getattr(background, background.model).epochs
    return _TRAIN_DENSITY[background.model] * n * epochs * members * d / 1e6


def _make_seconds(c: Config, n: int, d: int) -> float:
    return _MAKE_EVENTS[c.background.model] * n * d / 1e6


def _template_size(
    template: TemplateSettings, window: Window, mass: Array, inside: int, members: int
) -> tuple[int, int]:
    """Template events that train, and those that set thresholds and measure."""
    if template.base == "model":
        return round(template.oversampling * inside), round(template.efficiency_oversampling * inside)
    sources = int(template.sources(window, mass).sum())
    return sources, min(sources, template.measured) * members


def _classify_seconds(s: ClassifierSettings, train: int, scored: int) -> float:
    """Time of k-fold training on `train` events of both classes and scoring of `scored`, all splits."""
    if s.model == "boosted_trees":
        per_train, per_score = _TRAIN_TREE * s.boosted_trees.trees, _ASK_TREE * s.boosted_trees.trees
    else:
        per_train, per_score = _TRAIN_NETWORK * s.network.epochs, _ASK_NETWORK * s.network.average_epochs
    return s.splits * s.members * ((s.folds - 1) * train * per_train + scored * per_score) / 1e6
