"""Finished runs in words and tables of text: why a significance is what it is, two runs side by side, limits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cathode.classifier.methods import find_method
from cathode.columns import aligned
from cathode.errors import ArtefactError, nearest
from cathode.report.render import number
from cathode.report.verdict import Calibration, headline, lights, quoted
from cathode.results import SOURCES, HuntResult
from cathode.summary import Summary

_SAME_RUN = ("run", "results_dir", "full_paths", "device")  # say nothing of what was hunted


def explain(summary: Summary, name: str | None = None, calibration: Calibration | None = None) -> str:
    """One hunt (None: the quoted one): its numbers, from a plain count to the significance, how to rederive it, and every light."""
    h = quoted(summary) if name is None else _hunt(summary, name)
    lines = [headline(summary, h), ""]
    if h.waterfall:
        before = None
        rows = [["taken into account", "z", "change"]]
        for source, z in stages(summary, h, trials=name is None):
            rows.append([source, f"{z:.2f}", "" if before is None else f"{z - before:+.2f}"])
            before = z
        lines += [aligned(rows, left=1), ""]
    lines += [*derivation(summary, h), ""] if h.reference else []
    lines += [*of_window(summary, h), ""] if summary.windows else []
    for light in lights(summary, h, calibration):
        lines.append(f"{light.symbol} {light.name}: {light.sentence}")
        lines += [f"    {light.advice}"] if light.advice else []
    return "\n".join(lines)


def of_window(summary: Summary, h: HuntResult) -> list[str]:
    """What the window of a hunt says as a whole."""
    w = next((w for w in summary.windows if w.window == h.window), None)
    if w is None:
        return []
    several = len({e.eps_bkg for e in summary.hunts}) > 1
    said = [f"{w.z:.2f}σ after {w.trials} tests" if w.trials > 1 else f"{w.z:.2f}σ, of one test"]
    if several:
        said.append(f"all working points of each method in one: {w.z_joint:.2f}σ, one by one: {w.z_smallest:.2f}σ")
    said += [f"{w.z_combined:.2f}σ together with the inclusive count"] if w.z_combined is not None else []
    return [f"the window: {', '.join(said)}"]


def stages(summary: Summary, h: HuntResult, *, trials: bool) -> list[tuple[str, float]]:
    """What is taken into account, and the significance then; with `trials` also the other working points and the number of tests, for the quoted one."""
    found = list(h.waterfall)
    if trials and found:
        found += summary.after()
    return [(SOURCES[s.source] + (f", {summary.trials}" if s.source == "trials" else ""), s.z) for s in found]


def derivation(summary: Summary, h: HuntResult) -> list[str]:
    """The numbers that the p-value is computed from, and that of all working points in one test, so that a reader can do it again."""
    given, r = h.predictive, h.reference
    if given is None or r is None:
        return []
    arguments = ", ".join(f"{name}={value:.6g}" for name, value in given.items())
    return [
        f"p = {h.p_local:.3g} = p_predictive({arguments}), in cathode/stats/counting.py:",
        f"  {h.n_obs_average:.6g} events pass (average of {r.n_splits} fold splits); {r.m:.6g} reference events of {r.tau:.4g} times the exposure pass;",
        f"  the log of the bias has mean {given['mu']:+.4f}, a known error of {given['sigma']:.4f} and a scatter of {given['scatter']:.4f} with "
        f"{given['nu']:.1f} degrees of freedom (Student's t)",
        *([f"  were another scatter declared: {curve}"] if (curve := _of_scatter(h)) else []),
        *_of_joint(summary, h),
    ]


def _of_joint(summary: Summary, h: HuntResult) -> list[str]:
    """The test of all working points, where that is what is quoted."""
    joint = summary.joint_of(h)
    if joint is None or not summary.is_joint:
        return []
    points = {e.eps_bkg: e.predictive for e in summary.hunts if (e.window, e.method) == (h.window, h.method)}
    given = [found for eps in joint.eps_bkg if (found := points[eps]) is not None]
    if len(given) < len(joint.eps_bkg):
        return []
    names = ("mu", "sigma", "scatter", "nu", "overdispersion")
    behind = [
        f"Behind(n={g['n']:.6g}, b={g['m'] / g['tau']:.6g}, m={g['m']:.6g}, {', '.join(f'{k}={g[k]:.6g}' for k in names)})"
        for g in given
    ]
    weights = ", ".join(f"{w:.6g}" for w in joint.weights)
    return [
        f"all working points: p = {joint.p:.3g} = p_weighted([{', '.join(behind)}], [{weights}], step={given[0]['step']:.6g}), in cathode/stats/joint.py:",
        "  events weighted by the tightest working point that they pass; its integral is drawn, and another seed moves it by thousandths of a standard deviation",
    ]


def _of_scatter(h: HuntResult) -> str:
    """The significance as a curve of the declared scatter."""
    return ", ".join(f"{at.z:.2f} with {100 * at.declared:.3g} %" for at in h.by_scatter)


def compare_runs(first: Summary, second: Summary) -> str:
    """Settings that differ, and observed, expected and significance of every hunt of either run."""
    a, b = (dict(_leaves({k: v for k, v in s.config.items() if k not in _SAME_RUN})) for s in (first, second))
    settings = [[key, _shown(a.get(key)), _shown(b.get(key))] for key in sorted(a | b) if a.get(key) != b.get(key)]
    lines = [
        "settings that differ:" if settings else "the same settings",
        *([aligned([["", first.run, second.run], *settings], left=3)] if settings else []),
    ]
    if first.intake.inputs != second.intake.inputs or first.n_events != second.n_events:
        lines.append(f"other events: {first.n_events} and {second.n_events}")
    if first.code_version != second.code_version:
        lines.append(f"other versions: {first.code_version} and {second.code_version}")
    mine, theirs = ({h.name: h for h in s.hunts} for s in (first, second))
    rows = [
        ["", *(f"{what} {s.run}" for what in ("observed", "expected", "z") for s in (first, second)), "change of z"]
    ]
    for name in dict.fromkeys([*mine, *theirs]):
        x, y = mine.get(name), theirs.get(name)
        change = "–" if not (x and y) or x.z is None or y.z is None else f"{y.z - x.z:+.2f}"
        pairs = [_pair(x, y, what) for what in (_observed, _expected, _z)]
        rows.append([name, *(cell for pair in pairs for cell in pair), change])
    rows.append(["global", "", "", "", "", number(first.z_global), number(second.z_global), ""])
    return "\n".join([*lines, "", aligned(rows, left=1)])


def describe_limits(summary: Summary) -> str:
    """95 % CLs upper limits on signal events behind every selection. Raises ArtefactError where the run has none."""
    rows = [["window", "method", "ε_B", "observed", "expected", "± 1σ", "± 2σ"]]
    for h in summary.hunts:
        if h.limit:
            low2, low1, middle, high1, high2 = (f"{v:.1f}" for v in h.limit.s_exp)
            rows.append(
                [
                    h.window,
                    find_method(h.method).label,
                    f"{h.eps_bkg:g}",
                    f"{h.limit.s_obs:.1f}",
                    middle,
                    f"{low1} – {high1}",
                    f"{low2} – {high2}",
                ]
            )
    if len(rows) == 1:
        raise ArtefactError(
            f"{summary.run}: found no limits, expected a run that is not blind, with statistics.limits and a mass fit that describes the sidebands"
        )
    return "\n".join(
        [
            "signal events that pass the selection in the signal region, 95 % CLs:",
            aligned(rows, left=2),
            "on a signal of your own, before any cut and as a cross-section: `cathode limit RUN --signal TABLE`",
        ]
    )


def _hunt(summary: Summary, name: str) -> HuntResult:
    found = {h.name: h for h in summary.hunts}
    if name not in found:
        raise ArtefactError(
            f"{summary.run}: found no hunt {name}{nearest(name, found)}, expected one of {', '.join(found)}"
        )
    return found[name]


def _leaves(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield above + key, value


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _pair(x: HuntResult | None, y: HuntResult | None, what: Any) -> list[str]:
    return [what(h) if h else "–" for h in (x, y)]


def _observed(h: HuntResult) -> str:
    return "–" if h.n_obs is None else str(h.n_obs)


def _expected(h: HuntResult) -> str:
    return number(h.n_bkg, 1) + (f" ± {h.sigma.total:.1f}" if h.sigma else "")


def _z(h: HuntResult) -> str:
    return number(h.z)
