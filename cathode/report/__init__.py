"""The self-contained HTML report."""

from __future__ import annotations

import base64
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from cathode.classifier.methods import LABEL_FREE
from cathode.plots.style import NAMES
from cathode.results import Picture
from cathode.timing import COLUMNS, Usage, cells, total

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


def render(summary: dict[str, Any], pictures: list[Picture], config: dict[str, Any]) -> str:
    """HTML of the whole run; pictures are embedded, nothing is loaded from elsewhere.

    But for the table of times, which is a page beside it: times differ from run to run, the report's bytes must not.
    """
    figures = sorted(pictures, key=lambda p: (_rank(p.name), p.name))
    searches = [h for h in summary["hunts"] if h["p_local"] is not None and h["method"] in LABEL_FREE]
    return _template("report.html.j2").render(
        summary=summary,
        names=NAMES,
        best=min(searches, key=lambda h: h["p_local"]) if searches else None,
        figures=[
            {
                "name": p.name,
                "caption": CAPTIONS.get(_topic(p.name), ""),
                "data": base64.b64encode(p.content).decode(),
            }
            for p in figures
        ],
        config=yaml.safe_dump(config, sort_keys=False),
        has_truth=any(h["truth"] for h in summary["hunts"]),
    )


def render_timing(run: str, rows: list[Usage]) -> str:
    """HTML of what a run took, per rule, and per rule and window."""
    by_rule = [total((row for row in rows if row.rule == rule), rule) for rule in sorted({row.rule for row in rows})]
    return _template("timing.html.j2").render(
        run=run,
        columns=COLUMNS.values(),
        by_rule=cells([total(rows), *sorted(by_rule, key=lambda row: -row.cpu_s)]),
        by_window=cells(row for row in rows if row.window),
    )


def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("cathode.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": number, "percent": percent}
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


def percent(value: float | None) -> str:
    """A relative number in percent; a dash for what does not apply."""
    return "–" if value is None else f"{100 * value:.1f} %"
