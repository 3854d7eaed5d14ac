"""The report: one self-contained page, from the summary and the numbers of the figures."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
import vl_convert
import yaml
from markupsafe import Markup

from cathode.artefacts import FigureNumbers, Text
from cathode.calibration.results import BackgroundOnly, SignalFit, SignalResponse, Verdict
from cathode.checksums import cache_folder
from cathode.classifier.methods import find_method, is_reference
from cathode.config import Config
from cathode.errors import ConfigError
from cathode.io import write_whole
from cathode.plots.drawing import Drawing, read_drawing
from cathode.plots.spectrum import INSIDE
from cathode.plots.style import array, poisson_errors
from cathode.plots.waterfall import waterfall
from cathode.report.explain import derivation, stages
from cathode.report.glossary import GLOSSARY
from cathode.report.render import template
from cathode.report.verdict import Calibration, discovery_threshold, headline, lights, quoted, word
from cathode.results import HuntResult
from cathode.summary import Summary

_VEGA = "window.cathodeEmbed = vegaEmbed;"


def report(summary: Summary, numbers: list[FigureNumbers], *, config: Config) -> Text:
    """The report: figures and controls are embedded, nothing is loaded from elsewhere.

    But for the table of times, which is a page beside it: times differ from run to run, the report's bytes must not.
    `numbers` are of all figures of the run.
    """
    return _page(summary, numbers, None, config)


def report_calibrated(
    summary: Summary,
    numbers: list[FigureNumbers],
    background_only: BackgroundOnly,
    injection: SignalResponse,
    *,
    config: Config,
) -> Text:
    """The report with what pseudo-experiments say of it; `numbers` hold the figures of the calibration too."""
    return _page(summary, numbers, Calibration(background_only, injection), config)


def _page(
    summary: Summary,
    numbers: list[FigureNumbers],
    calibration: Calibration | None,
    config: Config,
) -> Text:
    drawings = {n.name: read_drawing(n.text, n.name) for n in numbers}
    methods = list(dict.fromkeys(h.method for h in summary.hunts))
    best = quoted(summary)
    data = {
        "quoted": {"window": best.window, "method": best.method, "eps": f"{best.eps_bkg:g}"},
        "hunts": {h.name: _hunt(summary, h, best, calibration) for h in summary.hunts},
        "figures": _charts(drawings),
        "trials": summary.trials_effective or summary.trials,
        "joint": [
            {"window": j.window, "method": j.method, "p": j.p, "z": j.z} for j in summary.joint if len(j.eps_bkg) > 1
        ],
    }
    text = template("report.html.j2").render(
        summary=summary,
        word=word(summary),
        best=best,
        local=summary.window.z_local if summary.window else best.z_local,
        headline=headline(summary, best),
        lights=lights(summary, best, calibration),
        calibration=_calibration_rows(calibration) if calibration else [],
        n_toys=calibration.null.n_toys if calibration else 0,
        trials=calibration.null.trials if calibration else None,
        beside="" if calibration is None else "../",
        derivation=derivation(summary, best),
        names={m: find_method(m).label for m in methods},
        references=[m for m in methods if is_reference(m)],
        windows=list(dict.fromkeys(h.window for h in summary.hunts)),
        regions={h.window: h.signal_region for h in summary.hunts},
        points=[f"{e:g}" for e in dict.fromkeys(h.eps_bkg for h in summary.hunts)],
        events=_events(drawings, best),
        images=_images(summary, best, drawings, {n.name: n.picture for n in numbers if n.picture}),
        flags=_flags(summary),
        glossary=GLOSSARY,
        config=yaml.safe_dump(config.published(), sort_keys=False),
        has_truth=any(h.truth for h in summary.hunts),
        threshold=None if best.z_local is not None else [round(discovery_threshold(best, z) + 0.5) for z in (3, 5)],
        data=_embedded(data),
        vega=Markup(_vega().replace("</script", "<\\/script")),
    )
    return Text(text)


@lru_cache
def _vega() -> str:
    """The scripts that draw the charts. To bundle them takes seconds, so that they are kept among the user's caches, with a checksum."""
    name = f"vega-{version('vl-convert-python')}.js"
    with contextlib.suppress(OSError, ValueError, ConfigError):
        head, _, text = (cache_folder() / name).read_text(encoding="utf-8").partition("\n")
        if head == _checked(text):
            return text
    text = str(vl_convert.javascript_bundle(_VEGA))
    with contextlib.suppress(OSError, ConfigError):
        write_whole(cache_folder() / name, lambda part: part.write_text(f"{_checked(text)}\n{text}", encoding="utf-8"))
    return text


def _checked(text: str) -> str:
    return f"// {hashlib.sha256(text.encode()).hexdigest()}"


def _embedded(tree: Any) -> Markup:
    """JSON inside a script element: no `<` can end it."""
    text = json.dumps(tree, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _flags(summary: Summary) -> dict[str, list[str]]:
    """Every flag once, with the hunts that it is of, working points of one method together."""
    found: dict[str, dict[str, list[str]]] = {}
    for h in summary.hunts:
        for flag in h.flags:
            found.setdefault(flag, {}).setdefault(f"{h.window} {find_method(h.method).label}", []).append(
                f"{h.eps_bkg:g}"
            )
    return {flag: [f"{who} at {', '.join(eps)}" for who, eps in whose.items()] for flag, whose in found.items()}


def _hunt(summary: Summary, h: HuntResult, best: HuntResult, calibration: Calibration | None) -> dict[str, Any]:
    """What the page says of one hunt."""
    return {
        "window": h.window,
        "method": h.method,
        "label": find_method(h.method).label,
        "search": not is_reference(h.method),
        "eps": f"{h.eps_bkg:g}",
        "region": h.signal_region,
        "headline": headline(summary, h),
        "lights": [vars(light) | {"symbol": light.symbol} for light in lights(summary, h, calibration)],
        "stages": stages(summary, h, trials=h is best),
        "derivation": derivation(summary, h),
        "p": h.p_local,
        "z": h.z_local,
        "limit": [h.limit.s_obs, *h.limit.s_exp] if h.limit else None,
    }


def _calibration_rows(calibration: Calibration) -> list[tuple[str, Verdict, SignalFit | None]]:
    """Label of the method, p-values without signal, and measured signals, per method and working point."""
    fits = {(f.method, f.eps_bkg): f for f in calibration.response.fits}
    verdicts = calibration.null.verdicts
    injected = verdicts[0].window  # signals are injected into the first window
    return [
        (find_method(v.method).label, v, fits.get((v.method, v.eps_bkg)) if v.window == injected else None)
        for v in verdicts
    ]


# --- figures for the charts of the page: columns of numbers


def _charts(drawings: dict[str, Drawing]) -> dict[str, Any]:
    makers = {
        "selected_spectrum": _bumps,
        "closure": _closures,
        "features": _features,
        "spectrum_scan": lambda d: {
            "scans": [{k: s[k] for k in ("width", "masses", "z", "fit_range")} for s in d["scans"]]
        },
        "mass_spectrum": _spectrum,
    }
    return {name: makers[d.kind](d.numbers) for name, d in drawings.items() if d.kind in makers}


def _bumps(d: dict[str, Any]) -> dict[str, Any]:
    """Per working point: bins with intervals and pulls, the fit with its band, and the background of the hunt."""
    edges, (low, high) = np.array(d["edges"]), d["signal_region"]
    widths, unit = edges[:, 1] - edges[:, 0], (high - low) / INSIDE
    out: dict[str, Any] = {
        "region": [low, high],
        "unit": unit,
        "splits": d["n_splits"],
        "low": _r(edges[:, 0]),
        "high": _r(edges[:, 1]),
    }
    points = {}
    for eps, p in d["points"].items():
        counts = array(p["counts"])
        errors, scale = poisson_errors(counts), unit / widths
        share = unit / (high - low)
        point: dict[str, Any] = {
            "y": _r(counts * scale),
            "y1": _r((counts - errors[0]) * scale),
            "y2": _r((counts + errors[1]) * scale),
            "b": p["n_bkg"] * share,
            "db": (p["sigma"] or 0.0) * share,
        }
        if fit := p.get("fit"):
            curve, per_bin = array(fit["curve"]) * unit, array(fit["per_bin"])
            pull = (counts - per_bin) / np.where(counts > per_bin, errors[0], errors[1])
            relative = fit["sigma"] / fit["expected"] if fit["expected"] else 0.0
            point |= {
                "fit": _r(curve),
                "relative": relative,
                "function": fit["function"],
                "pull": _r(np.nan_to_num(pull)),
            }
        points[eps] = point
    return out | {"m": _r(array(d["masses"])), "points": points}


def _closures(d: dict[str, Any]) -> dict[str, Any]:
    points = {}
    for eps, p in d["points"].items():
        observed, predicted, relative = (array(p[key]) for key in ("observed", "predicted", "relative_error"))
        value = observed / predicted
        error = np.hypot(poisson_errors(observed) / predicted, value * relative)
        points[eps] = {
            "value": _r(value),
            "v1": _r(value - error[0]),
            "v2": _r(value + error[1]),
            "mu": p["mu"],
            "sigma": p["sigma"],
        }
    return {"names": [f"{a:.4g} – {b:.4g} GeV" for a, b in d["intervals"]], "points": points}


def _features(d: dict[str, Any]) -> dict[str, Any]:
    def columns(features: dict[str, Any]) -> dict[str, Any]:
        out = {}
        for name, h in features.items():
            data = array(h["data"])
            errors = poisson_errors(data)
            out[name] = {key: h[key] for key in ("edges", "data", "template", "error")}
            out[name] |= {"d1": _r(data - errors[0]), "d2": _r(data + errors[1])}
        return out

    if "points" in d:
        return {"points": {eps: columns(f) for eps, f in d["points"].items()}}
    return {"features": columns(d["features"])}


def _spectrum(d: dict[str, Any]) -> dict[str, Any]:
    return {key: d[key] for key in ("signal_region", "edges", "counts", "expected")}


def _r(values: Any) -> list[float | None]:
    """Five digits, which is more than a screen shows."""
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in np.asarray(values).tolist()]


def _events(drawings: dict[str, Drawing], best: HuntResult) -> dict[str, Any] | None:
    d = drawings.get(f"{best.window}_{best.method}_scores")
    return d.numbers.get("events") if d else None


# --- the same for print, and for readers without scripts: the quoted hunt


def _images(
    summary: Summary, best: HuntResult, drawings: dict[str, Drawing], pictures: dict[str, bytes]
) -> dict[str, Markup]:
    """Figures of the quoted hunt as pictures, by their place in the page: the files of the run, where they show what is quoted."""
    eps, method = f"{best.eps_bkg:g}", f"{best.window}_{best.method}"
    places = {
        "bump": f"{method}_selected_spectrum",
        "spectrum": f"{best.window}_mass_spectrum",
        "closure": f"{method}_closure",
        "before": f"{best.window}_features",
        "after": f"{method}_features_selected",
        "scores": f"{method}_scores",
        "sidebands": f"{best.window}_sideband_ratio",
        "sideband_features": f"{best.window}_features_sideband",
        "scan": "scan",
        "inclusive": "spectrum_scan",
        "significance": "significance",
        "uncertainties": "uncertainties",
        "performance": f"{best.window}_performance",
        **{name: f"calibration_{name}" for name in ("overdispersion", "background_only", "injection", "efficiency")},
    }
    found = {place: drawings[name] for place, name in places.items() if name in drawings}
    for place in ("bump", "after"):
        if place in found and eps in found[place].numbers.get("points", {}):
            found[place] = found[place].at(eps)
    if best.waterfall:
        found["waterfall"] = waterfall(best, stages(summary, best, trials=True))
    drawn = {d.name: d for d in drawings.values() if d.name in pictures}
    return {
        place: _data(pictures[d.name] if d == drawn.get(d.name) else d.pictures("png")["png"])
        for place, d in found.items()
    }


def _data(png: bytes) -> Markup:
    return Markup(f"data:image/png;base64,{base64.b64encode(png).decode()}")
