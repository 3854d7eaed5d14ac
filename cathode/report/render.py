"""The self-contained HTML report."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from cathode.classifier.methods import find_method, is_reference
from cathode.config import Config
from cathode.results import Page, Picture, RuleUsage, Summary
from cathode.running.usage import COLUMNS, cells, numbers, total

CAPTIONS = {
    "significance": "Local significance of every hunt. The filled point is the primary statistic, fixed in the configuration; "
    "open markers are cross-checks, and those without systematic uncertainties lie higher.",
    "uncertainties": "Observed and expected events, and what each background estimate is limited by.",
    "scan": "Local significance against the mass of the window.",
    "spectrum_scan": "The same events without their features: local significance of a narrow signal on the smooth mass spectrum. "
    "What a classical bump hunt would see; its global significance counts every mass (Gross and Vitells).",
    "performance": "With truth labels: significance improvement and background rejection, down to 25 background events.",
    "mass_spectrum": "Mass spectrum, and the background interpolated across the signal region.",
    "features": "Features in the signal region: recorded events against the template.",
    "features_selected": "The same behind the CATHODE selection. An excess here is what the hunt counts.",
    "selected_spectrum": "Mass spectrum behind the selection, sidebands included: a bump where there is one. The curve is fitted to the "
    "sidebands alone and is a second, independent background estimate; the dotted line is the hunt's own.",
    "sideband_ratio": "Sidebands: recorded over generated events, inclusive and behind a classifier trained to tell them apart. In-sample: what the closure finds beyond it is interpolation.",
    "features_sideband": "Sidebands: recorded events against the density at the same masses. Tests the fit, not the interpolation.",
    "closure": "Held-out closure test: the whole chain in pseudo signal regions, each hidden from its own training together with "
    "the real one. The band is the bias that a new region may have.",
    "scores": "Classifier scores, out of fold. Vertical lines: the selections.",
}
ORDER = tuple(CAPTIONS)


def report(summary: Summary, pictures: list[Picture], *, config: Config) -> Page:
    """The self-contained report: pictures are embedded, nothing is loaded from elsewhere.

    But for the table of times, which is a page beside it: times differ from run to run, the report's bytes must not.
    """
    methods = dict.fromkeys(h.method for h in summary.hunts)
    figures = sorted(pictures, key=lambda p: (_rank(p.name), p.name))
    text = _template("report.html.j2").render(
        summary=summary,
        names={m: find_method(m).label for m in methods},
        references=[m for m in methods if is_reference(m)],
        best=summary.best({m: not is_reference(m) for m in methods}),
        figures=[
            {
                "name": p.name,
                "caption": CAPTIONS.get(_topic(p.name), ""),
                "data": base64.b64encode(p.content).decode(),
            }
            for p in figures
        ],
        config=yaml.safe_dump(config.published(), sort_keys=False),
        has_truth=any(h.truth for h in summary.hunts),
    )
    return Page(text)


def render_timing(run: str, rows: Iterable[RuleUsage]) -> str:
    """HTML of what a run took, per rule, and per rule and window."""
    rows = tuple(rows)
    by_rule = {rule: total(row for row in rows if row.rule == rule) for rule in sorted({row.rule for row in rows})}
    ordered = sorted(by_rule.items(), key=lambda item: -(item[1].cpu_s or 0.0))
    return _template("timing.html.j2").render(
        run=run,
        columns=COLUMNS.values(),
        by_rule=[[rule, "", *numbers(used)] for rule, used in [("all", total(rows)), *ordered]],
        by_window=[cells(row) for row in rows if row.window],
    )


def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("cathode.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": number, "percent": percent, "mass": mass, "bias": bias}
    return environment.get_template(name)


def _topic(name: str) -> str:
    return max((t for t in ORDER if name == t or name.endswith(f"_{t}")), key=len, default="")


def _rank(name: str) -> int:
    return ORDER.index(_topic(name)) if _topic(name) else len(ORDER)


def number(value: float | None, digits: int = 2) -> str:
    """A number for a table cell; a dash for what does not apply."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if abs(value) < 1e5 else f"{value:.3g}"


def bias(log_ratio: float) -> str:
    """A log of observed over predicted as what the figures show: their ratio less one, in percent."""
    return percent(math.expm1(log_ratio))


def mass(value: float) -> str:
    """A mass in GeV, with the digits that tell narrow windows apart, whatever the scale."""
    return f"{value:.6g}"


def percent(value: float | None) -> str:
    """A relative number in percent; a dash for what does not apply."""
    return "–" if value is None else f"{100 * value:.1f} %"
