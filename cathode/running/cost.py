"""What a hunt will cost before it runs: jobs, CPU time and memory per rule, from event counts and settings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cathode.classifier.methods import find_method
from cathode.classifier.settings import ClassifierSettings
from cathode.config import Config
from cathode.density.settings import DensitySettings
from cathode.inference.placement import Placement, jobs_of_fillers, place_regions
from cathode.regions import Window
from cathode.template.settings import TemplateSettings

Array = NDArray[np.float64]

# CPU-microseconds on one core of a 2020s server, from benchmarks/density_models.py, benchmarks/scale.py and timed steps of the demo
_TRAIN_DENSITY = {"histogram": 0.8, "location": 0.05, "spline": 5.3, "maf": 33.0}  # per event, epoch, member, feature
_MAKE_EVENTS = {
    "histogram": 1.5,
    "location": 0.3,
    "spline": 14.0,
    "maf": 26.0,
}  # per event and feature, encoded and decoded
_TRAIN_TREE, _ASK_TREE = 0.1, 0.035  # per event and tree
_TRAIN_NETWORK, _ASK_NETWORK = 2.0, 0.65  # per event and epoch (kept epoch)
_START = 0.5  # seconds until a job is on its way: it is served (`cathode.served`); alone, one needs five to import what it needs
_SMALL = 4.0  # seconds of a job that fits, counts or draws
_BASE_MB = 650.0  # of a process that holds few events, torch included
_COPIES = 3.3  # of the events at the peak of a step
_ROW_BYTES = 320.0  # of a template event in the step that scores it, and of one member's share of a score


@dataclass(frozen=True)
class Cost:
    """What the jobs of one rule in one window will take.

    Attributes:
        rule: its name.
        window: "" for the whole run.
        jobs: how many.
        cpu_s: CPU seconds of all.
        memory_mb: of the largest.
    """

    rule: str
    window: str
    jobs: int
    cpu_s: float
    memory_mb: float


def estimate_cost(config: Config, mass: Array, placed: Placement | None = None) -> list[Cost]:
    """Cost of every rule of a hunt on events of masses `mass (n,)`, on the CPU; `placed`: their pseudo signal regions, where known.

    Within a factor of two on the demo and the LHC Olympics sample (`cathode timing` compares); GPUs, slower disks and cores
    that share caches are not in it.
    """
    c, base = config, _BASE_MB + _events_mb(config, len(mass))

    def small(rule: str, window: str = "", jobs: int = 1) -> Cost:
        return Cost(rule, window, jobs, jobs * _SMALL, base)

    n_searches = len(c.searches)
    out = [small("prepare"), small("summarise"), small("report"), small("timing")]
    for name, window in c.regions.items():
        out += _training_costs(c, window, mass)
        out.append(small("plot_window", name))
    windows = tuple(c.regions.values())
    fillers = (placed or place_regions(windows, mass, c.closure)).fillers
    seconds = sum(_pseudo_seconds(c, m, region, mass) for m in c.searches for region in fillers)
    n_jobs = n_searches * jobs_of_fillers(windows, c.closure)
    out += [Cost("score_pseudo", "", n_jobs, n_jobs * _START + seconds, base), small("combine_closure", "", n_searches)]
    if c.data.label is not None and not c.blind:
        out.append(small("evaluate_hunts"))
    if c.blind:
        return out
    if c.spectrum.has_reference:
        out.append(small("read_reference"))
    return [*out, small("scan_spectrum", next(iter(c.regions))), small("plot_summary")]


def describe_cost(costs: list[Cost], cores: int) -> str:
    """One line: jobs, CPU time, memory, and the time on `cores`, which is at least that of the longest job."""
    total, largest = sum(cost.cpu_s for cost in costs), max(costs, key=lambda cost: cost.memory_mb)
    longest = max(cost.cpu_s / cost.jobs for cost in costs)
    return (
        f"estimate, on the CPU: {sum(cost.jobs for cost in costs)} jobs, {_time(total)} of CPU time, "
        f"{_time(max(longest, total / cores))} with {cores} cores; up to {largest.memory_mb / 1000:.1f} GB per job ({largest.rule})"
    )


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("hours", 3600.0)):
        if seconds >= 2 * size:
            return f"about {seconds / size:.1f} {unit}"
    return f"about {math.ceil(seconds / 60)} min"


def _events_mb(config: Config, n: int) -> float:
    return n * 8 * (len(config.data.features) + 2) * _COPIES / 1e6


def _training_costs(c: Config, window: Window, mass: Array) -> Iterator[Cost]:
    """The rules that train or sample for one window."""
    d, base = len(c.data.features), _BASE_MB + _events_mb(c, len(mass))

    def cost(rule: str, seconds: float, extra_mb: float = 0.0, jobs: int = 1) -> Cost:
        return Cost(rule, window.name, jobs, jobs * _START + seconds, base + extra_mb)

    inside = int(window.in_signal(mass).sum())
    low, high = window.in_strips(mass, c.classifier.strip_width)
    strips, side = int((low | high).sum()), window.in_sideband(mass)
    near = int(c.template.near(window, mass).sum())
    checks = 1 + min(c.classifier.sequential_members / c.classifier.members, 1.0) / c.classifier.splits
    members = c.background.bootstraps * c.background.seeds
    yield cost("fit_density", _density_seconds(c.background, int(side.sum()), members, d))
    of_methods = 0.0 if c.blind else _SMALL * len(c.methods)
    yield cost("conclude", _make_seconds(c, near, d) + 0.05e-3 * near + of_methods)
    if not c.blind:
        made, measured = _template_size(c.template, window, mass, inside, members)
        rows = (made + measured) / 1e6
        with_template = [m for m in c.searches if find_method(m).needs_template]
        if with_template:
            yield cost("make_template", _make_seconds(c, made + measured, d), rows * d * 16)
        if c.searches:
            of_template = _classify_seconds(c.classifier, inside + made, inside + measured + near)
            of_strips = _classify_seconds(c.classifier, inside + strips, inside + 2 * strips + near)
            n, others = len(with_template), len(c.searches) - len(with_template)
            seconds = (n * of_template + others * of_strips) * checks
            yield cost("score", seconds, rows * _ROW_BYTES if n else 0.0, jobs=n + others)
        if n := len(c.methods) - len(c.searches):
            yield cost("score_reference", n * _classify_seconds(c.classifier, 2 * inside, 2 * inside), jobs=n)


def _pseudo_seconds(c: Config, method: str, region: Window, mass: Array) -> float:
    """The whole chain in one pseudo signal region."""
    d, members = len(c.data.features), c.closure.bootstraps * c.closure.seeds
    inside = int(region.in_signal(mass).sum())
    if not find_method(method).needs_template:
        low, high = region.in_strips(mass, c.classifier.strip_width)
        n = int((low | high).sum())
        return _classify_seconds(c.classifier, inside + n, inside + n)
    made, measured = _template_size(c.closure.template(c.template), region, mass, inside, members)
    return (
        _density_seconds(c.background, int(region.in_sideband(mass).sum()), members, d)
        + _make_seconds(c, made + measured, d)
        + _classify_seconds(c.classifier, inside + made, inside + measured)
    )


def _density_seconds(background: DensitySettings, n: int, members: int, d: int) -> float:
    if background.model not in _TRAIN_DENSITY:  # one of the user's own: whatever it takes, it is not known here
        return 0.0
    own = getattr(background, background.model)
    passes = own.passes(n) if background.model == "histogram" else getattr(own, "epochs", 1)
    return _TRAIN_DENSITY[background.model] * n * passes * members * d / 1e6


def _make_seconds(c: Config, n: int, d: int) -> float:
    return _MAKE_EVENTS.get(c.background.model, 0.0) * n * d / 1e6


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
        per_train, per_score = _TRAIN_NETWORK * s.network.epochs, _ASK_NETWORK
    return s.splits * s.members * ((s.folds - 1) * train * per_train + scored * per_score) / 1e6
