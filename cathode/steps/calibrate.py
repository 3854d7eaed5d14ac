"""The steps of `snakemake calibrate`: pseudo-experiments through the very functions of the hunt."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np

from cathode.calibration import effective_trials, linearity, overdispersion, pulls, signal_efficiency, uniformity
from cathode.calibration.experiments import Background, inject, is_signal
from cathode.classifier import ClassifierSettings, Scores
from cathode.classifier.methods import LABEL_FREE, score_samples
from cathode.closure import Closure, ClosureSettings
from cathode.counts import count_passing, passing
from cathode.events import Events
from cathode.inference import primary_p
from cathode.regions import Window, in_interval
from cathode.results import Figures, Json
from cathode.seeds import derive_seed
from cathode.stats.settings import CalibrationSettings, StatisticsSettings
from cathode.steps import hunt
from cathode.template import BackgroundSettings, DensityEnsemble, TemplateSettings, fit_ensemble

log = logging.getLogger(__name__)


def fit_truth(
    events: Events,
    *,
    window: Window,
    background: BackgroundSettings,
    calibration: CalibrationSettings,
    seed: int,
    device: str,
) -> DensityEnsemble:
    """Fit the density that pseudo-experiments are drawn from, on the sidebands of one window."""
    return fit_ensemble(
        events.features,
        events.mass,
        window,
        dataclasses.replace(background, model=calibration.truth),
        bootstraps=1,
        seeds=1,
        seed=derive_seed(seed, "fit_truth", window.name),
        device=hunt.resolve_device(device),
        progress=hunt.report_progress("truth epoch"),
    )


def calibrate_classifier(
    events: Events,
    truth: DensityEnsemble,
    *,
    window: Window,
    batch: str,
    methods: tuple[str, ...],
    working_points: tuple[float, ...],
    template: TemplateSettings,
    classifier: ClassifierSettings,
    calibration: CalibrationSettings,
    seed: int,
    device: str,
) -> Json:
    """Train classifiers where there is nothing to find: data and reference from one truth, as many as in the hunt."""
    sizes = _sample_sizes(events, truth, window, template, classifier)
    entries = []
    for t in calibration.batch(int(batch), calibration.classifier):
        own_seed = derive_seed(seed, "calibrate_classifier", t)
        for method in (m for m in methods if m in LABEL_FREE):
            n = int(np.random.default_rng(own_seed).poisson(sizes["data"]))
            mass = truth.mass.sample(n + sizes[method], seed=derive_seed(own_seed, method, "mass"))
            x = truth.density.sample(mass, member=0, seed=derive_seed(own_seed, method, "features"))
            scores = score_samples(
                method, x[:n], x[n:], window, classifier,
                seed=derive_seed(own_seed, method), device=hunt.resolve_device(device),
            )  # fmt: skip
            for eps in working_points:
                c = count_passing(scores, eps)
                entries.append({"toy": t, "method": method, "eps_bkg": eps, "n": c.n_obs, "b": c.n_bkg, "m": c.m})
        log.info("classifier pseudo-experiment %d of %d", t + 1, calibration.classifier)
    return Json({"window": window.name, "sizes": sizes, "entries": entries})


def _sample_sizes(
    events: Events, truth: DensityEnsemble, window: Window, template: TemplateSettings, classifier: ClassifierSettings
) -> dict[str, int]:
    """Events in the hunt's signal region (expected ones when blind) and in the reference of each method."""
    n = int(window.in_signal(events.mass).sum()) or round(truth.mass.expected()[0])
    near = window.in_sideband(events.mass) & in_interval(events.mass, window.reach(template.span))
    low, high = window.in_strips(events.mass, classifier.strip_width)
    transported = int(near.sum()) if template.base == "sidebands" else round(template.oversampling * n)
    return {"data": n, "cathode": transported, "cwola": int((low | high).sum())}


def measure_overdispersion(
    experiments: list[Json], *, methods: tuple[str, ...], working_points: tuple[float, ...]
) -> Json:
    """Overdispersion of the counts of this classifier, per method and working point."""
    rows = [e for part in experiments for e in part.tree["entries"]]
    tree: dict[str, Any] = {
        "schema": "cathode/overdispersion/1",
        "window": experiments[0].tree["window"],
        "sizes": experiments[0].tree["sizes"],
        "n_toys": len({r["toy"] for r in rows}),
        "v0": {},
        "v0_error": {},
        "pull_mean": {},
        "pull_mean_error": {},
        "z": {},
    }
    for method in (m for m in methods if m in LABEL_FREE):
        for eps in working_points:
            mine = _of(rows, method, eps)
            n, b, m = (np.array([r[k] for r in mine], dtype=float) for k in ("n", "b", "m"))
            z = pulls(n, b, m)
            found = overdispersion(z)
            for key, value in (
                ("v0", found.v0), ("v0_error", found.v0_error), ("pull_mean", found.mean),
                ("pull_mean_error", found.mean_error), ("z", z.tolist()),
            ):  # fmt: skip
                tree[key].setdefault(method, {})[f"{eps:g}"] = value
    return Json(tree)


def calibrate_chain(
    events: Events,
    truth: DensityEnsemble,
    spare: Events,
    overdispersion: list[Json],
    *,
    window: Window,
    batch: str,
    methods: tuple[str, ...],
    working_points: tuple[float, ...],
    background: BackgroundSettings,
    template: TemplateSettings,
    classifier: ClassifierSettings,
    closure: ClosureSettings,
    statistics: StatisticsSettings,
    calibration: CalibrationSettings,
    seed: int,
    device: str,
) -> Json:
    """Run the whole chain on background-only pseudo-experiments, and its classifiers on injected signals.

    Densities are trained anew in every background-only pseudo-experiment, in the signal region and in every pseudo signal
    region. Injections keep its densities and its closure: a signal reaches neither but through its tails in the sidebands.
    """
    side = events.mass[window.in_sideband(events.mass)]
    known = Background(truth.density, truth.mass, side, events.names, window)
    n_expected = known.total() if calibration.events is None else float(calibration.events)
    searches = [m for m in methods if m in LABEL_FREE]
    light = dataclasses.replace(classifier, sequential_members=0)  # cross-checks are not what is calibrated
    common: dict[str, Any] = {"window": window, "classifier": light, "device": device}
    keys: dict[str, Any] = {"window": window, "working_points": working_points, "statistics": statistics}
    null_entries, injected_entries = [], []
    for t in calibration.batch(int(batch), calibration.background):
        own_seed = derive_seed(seed, "calibrate_chain", t)
        data = known.draw(n_expected, seed=own_seed)
        nothing = data[np.zeros(len(data), dtype=bool)]
        density = hunt.fit_density(data, window=window, background=background, seed=own_seed, device=device)
        closures: dict[str, Closure] = {}
        for method in searches:
            tests = [
                hunt.score_pseudo(
                    data, batch=str(i), method=method, background=background, template=template, closure=closure,
                    seed=own_seed, **common,
                )
                for i in range(closure.jobs)
            ]  # fmt: skip
            closures[method] = hunt.measure_closure(tests, overdispersion, **keys)
            scores = _score(method, data, density, nothing, template, own_seed, common)
            estimates = hunt.estimate_background(scores, [closures[method]], overdispersion, **keys)
            for e in estimates.points:
                p = primary_p(method, e)
                null_entries.append(
                    {
                        "toy": t, "window": window.name, "method": method, "eps_bkg": e.counts.eps_bkg,
                        "n_obs": e.counts.n_obs, "n_bkg": e.n_bkg, "p_local": p,
                        "p_mid": (p + primary_p(method, e, e.counts.n_obs + 1)) / 2,
                        "non_closure_sigma": e.non_closure_sigma,
                    }
                )  # fmt: skip
        log.info("background-only pseudo-experiment %d of %d", t + 1, calibration.background)
        if t >= calibration.injections or not window.in_signal(spare.mass).any():
            continue
        n_inside = float(window.in_signal(data.mass).sum())
        for strength in calibration.strengths:
            with_seed = derive_seed(own_seed, "inject", strength)
            mixed = inject(data, spare, window, strength * np.sqrt(n_inside), seed=with_seed)
            for method in searches:
                scores = _score(method, mixed, density, nothing, template, with_seed, common)
                estimates = hunt.estimate_background(scores, [closures[method]], overdispersion, **keys)
                for e in estimates.points:
                    c, hit = e.counts, is_signal(scores.row)
                    variance = e.overdispersion * e.n_bkg + (e.sigma()["total"] or 0.0) ** 2
                    injected_entries.append(
                        {
                            "toy": t, "strength": strength, "method": method, "eps_bkg": c.eps_bkg,
                            "n_signal": int(hit.sum()), "n_signal_passing": int(hit[passing(scores, c.eps_bkg)].sum()),
                            "n_signal_estimated": c.n_obs - e.n_bkg,
                            "error": float(np.sqrt(variance)),
                            "p_local": primary_p(method, e),
                        }
                    )  # fmt: skip
        log.info("injections into pseudo-experiment %d of %d", t + 1, calibration.injections)
    return Json({"background_only": null_entries, "injection": injected_entries})


def _score(
    method: str,
    data: Events,
    density: DensityEnsemble,
    nothing: Events,
    template: TemplateSettings,
    seed: int,
    common: dict[str, Any],
) -> Scores:
    if method == "cwola":
        return hunt.score_cwola(data, nothing, seed=seed, **common)
    drawn = hunt.sample_template(data, density, window=common["window"], template=template, seed=seed)
    return hunt.score_cathode(data, drawn, nothing, seed=seed, **common)


def measure_calibration(
    experiments: list[Json], *, methods: tuple[str, ...], working_points: tuple[float, ...]
) -> tuple[Json, Json]:
    """Verdicts: are p-values of background-only pseudo-experiments uniform, is injected signal measured without bias."""
    null = [e for part in experiments for e in part.tree["background_only"]]
    injected = [e for part in experiments for e in part.tree["injection"]]
    searches = [m for m in methods if m in LABEL_FREE]
    verdicts = [
        {"method": method, "eps_bkg": eps, **uniformity([e["p_mid"] for e in _of(null, method, eps)])}
        for method in searches
        for eps in working_points
    ]
    fits = []
    for method in searches:
        for eps in working_points:
            mine = _of(injected, method, eps)
            if len(mine) >= 10:
                true, estimated, error = (
                    np.array([e[k] for e in mine], dtype=float)
                    for k in ("n_signal_passing", "n_signal_estimated", "error")
                )
                fits.append({"method": method, "eps_bkg": eps, **linearity(true, estimated, error)})
    first = fits[0] if fits else {}
    smallest = [min(e["p_mid"] for e in null if e["toy"] == t) for t in sorted({e["toy"] for e in null})]
    trials = {"hunts": len(verdicts), "effective": effective_trials(smallest)}
    return (
        Json(
            {
                "schema": "cathode/background_only/1", "n_toys": len({e["toy"] for e in null}), "verdicts": verdicts,
                "trials": trials,
                "p_local": [e["p_local"] for e in null], "experiments": null,
            }
        ),
        Json(
            {
                "schema": "cathode/injection/1", "fits": fits, "efficiency": signal_efficiency(injected), "points": injected,
                **{k: first.get(k) for k in ("slope", "pull_mean", "pull_sd")},
            }
        ),
    )  # fmt: skip


def _of(entries: list[dict[str, Any]], method: str, eps: float) -> list[dict[str, Any]]:
    return [e for e in entries if e["method"] == method and e["eps_bkg"] == eps]


def plot_calibration(overdispersion: Json, background_only: Json, injection: Json) -> Figures:
    """Pulls of the classifier, p-values of background-only pseudo-experiments, and measured against injected signal."""
    from cathode.plots import calibration as figures

    return figures.draw(overdispersion.tree, background_only.tree, injection.tree)
