"""What jobs took: entries of summary.json that differ from run to run."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Used:
    """What jobs took; null where nothing was measured.

    Attributes:
        jobs: finished ones.
        wall_s: sum over jobs, in seconds; not the length of the run.
        cpu_s: CPU seconds of all.
        max_rss_mb: memory of the largest.
        estimated_cpu_s: what `cathode check` expects.
        queue_s: in the queue of a cluster; rules that share one job count it each.
        gpu_s: wall seconds times GPUs held.
        gpu_mb: largest memory that torch used there.
    """

    jobs: int | None = None
    wall_s: float | None = None
    cpu_s: float | None = None
    max_rss_mb: float | None = None
    estimated_cpu_s: float | None = None
    queue_s: float | None = None
    gpu_s: float | None = None
    gpu_mb: float | None = None


@dataclass(frozen=True, kw_only=True)
class RuleUsage(Used):
    """What the jobs of one rule in one window took.

    Attributes:
        rule: its name.
        window: null for the whole run.
    """

    rule: str
    window: str | None


@dataclass(frozen=True, kw_only=True)
class Timing(Used):
    """What a run took until it was summarised; it differs from run to run.

    Attributes:
        by_rule: per rule.
        by_rule_and_window: per rule and window.
    """

    by_rule: dict[str, Used] = field(default_factory=dict)
    by_rule_and_window: tuple[RuleUsage, ...] = ()
