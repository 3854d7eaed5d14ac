"""Templates of pages, and numbers as their text."""

from __future__ import annotations

import math
from collections.abc import Iterable

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from cathode.running.usage import COLUMNS, cells, numbers, total
from cathode.stats.counting import z_value
from cathode.usage import RuleUsage


def render_timing(run: str, rows: Iterable[RuleUsage]) -> str:
    """HTML of what a run took, per rule, and per rule and window."""
    rows = tuple(rows)
    by_rule = {rule: total(row for row in rows if row.rule == rule) for rule in sorted({row.rule for row in rows})}
    ordered = sorted(by_rule.items(), key=lambda item: -(item[1].cpu_s or 0.0))
    return template("timing.html.j2").render(
        run=run,
        columns=COLUMNS.values(),
        by_rule=[[rule, "", *numbers(used)] for rule, used in [("all", total(rows)), *ordered]],
        by_window=[cells(row) for row in rows if row.window],
    )


def template(name: str) -> Template:
    """A template of this room, with the filters that it may use."""
    environment = Environment(
        loader=PackageLoader("cathode.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": number, "percent": percent, "mass": mass, "bias": bias, "sigmas": sigmas}
    return environment.get_template(name)


def number(value: float | None, digits: int = 2) -> str:
    """A number for a table cell; a dash for what does not apply."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if abs(value) < 1e5 else f"{value:.3g}"


def bias(log_ratio: float) -> str:
    """A log of observed over predicted as what the figures show: their ratio less one, in percent."""
    return percent(math.expm1(log_ratio))


def sigmas(p: float) -> str:
    """A p-value as standard deviations."""
    return f"{number(z_value(p), 1)}σ"


def mass(value: float) -> str:
    """A mass in GeV, with the digits that tell narrow windows apart, whatever the scale."""
    return f"{value:.6g}"


def percent(value: float | None) -> str:
    """A relative number in percent; a dash for what does not apply."""
    return "–" if value is None else f"{100 * value:.1f} %"
