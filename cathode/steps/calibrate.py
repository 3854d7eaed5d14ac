"""The steps of `snakemake calibrate`: pseudo-experiments through the very functions of the hunt."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np

from cathode.background import combine
from cathode.calibration import (
    effective_trials,
    linearity,
    overdispersion,
    produced_signal,
    pulls,
    signal_efficiency,
    uniformity,
)
from cathode.calibration.experiments import Background, inject, is_signal
from cathode.classifier import ClassifierSettings, Scored
from cathode.classifier.methods import LABEL_FREE, score_samples
from cathode.closure import ClosurePoint, ClosureSettings, measure_closure
from cathode.counts import count_passing, passing
from cathode.events import Events
from cathode.inference import primary_p, signal_yield
from cathode.regions import Window
from cathode.results import Figures, Hunts, Json, PseudoExperiment, PseudoExperiments
from cathode.seeds import derive_seed
from cathode.stats.settings import CalibrationSettings, StatisticsSettings
from cathode.steps import hunt
from cathode.template import BackgroundSettings, DensityEnsemble, TemplateSettings, fit_ensemble
from cathode.template.mass import MassModel

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
    """Train classifiers where there is nothing to find: data and reference from one truth, as many as in the hunt.

    And as many as in the pseudo-experiments of the whole chain, where these are of another size.
    """
    sizes = _sample_sizes(events, truth, window, template, classifier, calibration)
    entries = []
    for t in calibration.batch(int(batch), calibration.classifier):
        own_seed = derive_seed(seed, "calibrate_classifier", t)
        for method in (m for m in methods if m in LABEL_FREE):
            for sample, expected in sizes.items():
                with_seed = derive_seed(own_seed, method, sample)
                n = int(np.random.default_rng(with_seed).poisson(expected["data"]))
                mass = truth.mass.sample(n + expected[method], seed=derive_seed(with_seed, "mass"))
                x = truth.density.sample(mass, member=0, seed=derive_seed(with_seed, "features"))
                scores = score_samples(
                    method, x[:n], x[n:], window, classifier, seed=with_seed, device=hunt.resolve_device(device)
                )
                for eps in working_points:
                    c = count_passing(scores.scores, eps)
                    entry = {"toy": t, "sample": sample, "method": method, "eps_bkg": eps}
                    entries.append(entry | {"n": c.n_obs, "b": c.n_bkg, "m": c.m})
        log.info("classifier pseudo-experiment %d of %d", t + 1, calibration.classifier)
    return Json({"window": window.name, "sizes": sizes, "entries": entries})


def _sample_sizes(
    events: Events,
    truth: DensityEnsemble,
    window: Window,
    template: TemplateSettings,
    classifier: ClassifierSettings,
    calibration: CalibrationSettings,
) -> dict[str, dict[str, int]]:
    """Events in the signal region (expected ones when blind) and in the reference of each method, per kind of sample."""
    n = int(window.in_signal(events.mass).sum()) or round(truth.mass.expected()[0])
    low, high = window.in_strips(events.mass, classifier.strip_width)
    sources = int(template.sources(window, events.mass).sum())
    transported = sources if template.base == "sidebands" else round(template.oversampling * n)
    sizes = {"hunt": {"data": n, "cathode": transported, "cwola": int((low | high).sum())}}
    if calibration.events is not None:
        share = calibration.events / len(events)
        sizes["experiments"] = {k: round(share * v) for k, v in sizes["hunt"].items()}
    return sizes


def measure_overdispersion(
    experiments: list[Json], *, methods: tuple[str, ...], working_points: tuple[float, ...]
) -> Json:
    """Overdispersion of the counts of this classifier, per method and working point.

    At the size of the hunt, and under `experiments` at that of the chain's pseudo-experiments.
    """
    rows = [e for part in experiments for e in part.tree["entries"]]
    sizes, tables = experiments[0].tree["sizes"], {}
    for sample in sizes:
        table: dict[str, Any] = {"v0": {}, "v0_error": {}, "pull_mean": {}, "pull_mean_error": {}, "z": {}}
        for method in (m for m in methods if m in LABEL_FREE):
            for eps in working_points:
                mine = [r for r in _of(rows, method, eps) if r["sample"] == sample]
                n, b, m = (np.array([r[k] for r in mine], dtype=float) for k in ("n", "b", "m"))
                z = pulls(n, b, m)
                found = overdispersion(z)
                for key, value in (
                    ("v0", found.v0), ("v0_error", found.v0_error), ("pull_mean", found.mean),
                    ("pull_mean_error", found.mean_error), ("z", z.tolist()),
                ):  # fmt: skip
                    table[key].setdefault(method, {})[f"{eps:g}"] = value
        tables[sample] = table | {"sizes": sizes[sample]}
    tree = {
        "schema": "cathode/overdispersion/1", "window": experiments[0].tree["window"],
        "n_toys": len({r["toy"] for r in rows}), **tables["hunt"], "experiments": tables.get("experiments"),
    }  # fmt: skip
    return Json(tree)


def calibrate_chain(
    events: Events,
    truth: DensityEnsemble,
    spare: Events,
    *,
    window: Window,
    batch: str,
    methods: tuple[str, ...],
    working_points: tuple[float, ...],
    background: BackgroundSettings,
    template: TemplateSettings,
    classifier: ClassifierSettings,
    closure: ClosureSettings,
    calibration: CalibrationSettings,
    seed: int,
    device: str,
) -> PseudoExperiments:
    """Run the whole chain on background-only pseudo-experiments, and its classifiers on injected signals.

    Densities are trained anew in every background-only pseudo-experiment, in the signal region and in every pseudo signal
    region. Injections keep its densities and its closure: a signal reaches neither but through its tails in the sidebands.
    Each pseudo-experiment gets one strength, so that no two measurements share a background.
    Counts are kept as they are: what follows from them is statistics, and is done by `measure_calibration`.
    """
    side = events.mass[window.in_sideband(events.mass)]
    known = Background(truth.density, truth.mass, side, events.names, window)
    n_expected = known.total() if calibration.events is None else float(calibration.events)
    light = dataclasses.replace(classifier, sequential_members=0)  # cross-checks are not what is calibrated
    common: dict[str, Any] = {"window": window, "classifier": light, "device": device}
    out: list[PseudoExperiment] = []
    for t in calibration.batch(int(batch), calibration.background):
        own_seed = derive_seed(seed, "calibrate_chain", t)
        data = known.draw(n_expected, seed=own_seed)
        density = hunt.fit_density(data, window=window, background=background, seed=own_seed, device=device)
        closures: dict[str, tuple[ClosurePoint, ...]] = {}
        strengths: list[float | None] = [None]
        if t < calibration.injections and window.in_signal(spare.mass).any():
            strengths.append(calibration.strengths[t % len(calibration.strengths)])
        n_inside = float(window.in_signal(data.mass).sum())
        for strength in strengths:
            run_seed, mixed, spectrum = own_seed, data, density.mass
            if strength is not None:
                run_seed = derive_seed(own_seed, "inject", strength)
                mixed = inject(data, spare, window, strength * np.sqrt(n_inside), seed=run_seed)
                spectrum = MassModel.fit(mixed.mass, window, background.mass)
            expected, error = spectrum.expected()
            for method in (m for m in methods if m in LABEL_FREE):
                if method not in closures:
                    tests = [
                        hunt.score_pseudo(
                            data, batch=str(i), method=method, background=background, template=template,
                            closure=closure, seed=own_seed, **common,
                        )
                        for i in range(closure.jobs)
                    ]  # fmt: skip
                    regions = [splits for test in tests for splits in test.regions()]
                    found = measure_closure(
                        window.name, regions, working_points, overdispersion=(1.0,) * len(working_points)
                    )
                    closures[method] = found.points
                splits = _score(method, mixed, density, template, run_seed, common).scores
                hit = is_signal(splits[0].row)
                out.append(
                    PseudoExperiment(
                        t, strength, method, splits[0].n_bootstraps, splits[0].n_seeds,
                        tuple(count_passing(splits, eps) for eps in working_points), closures[method], expected, error,
                        int(hit.sum()), tuple(float(passing(splits, eps)[hit].sum()) for eps in working_points),
                    )
                )  # fmt: skip
        log.info("pseudo-experiment %d of %d", t + 1, calibration.background)
    return PseudoExperiments(window.name, tuple(out))


def _score(
    method: str,
    data: Events,
    density: DensityEnsemble,
    template: TemplateSettings,
    seed: int,
    common: dict[str, Any],
) -> Scored:
    nothing = data[np.zeros(len(data), dtype=bool)]
    if method == "cwola":
        return hunt.score_cwola(data, nothing, seed=seed, **common)
    drawn = hunt.sample_template(data, density, window=common["window"], template=template, seed=seed)
    return hunt.score_cathode(data, drawn, nothing, seed=seed, **common)


def measure_calibration(
    experiments: list[PseudoExperiments],
    overdispersion: list[Json],
    *,
    methods: tuple[str, ...],
    working_points: tuple[float, ...],
    statistics: StatisticsSettings,
) -> tuple[Json, Json]:
    """Verdicts: are p-values of background-only pseudo-experiments uniform, is injected signal measured without bias."""
    searches = [m for m in methods if m in LABEL_FREE]
    tables = [Json(t.tree["experiments"] or t.tree) for t in overdispersion]
    known = {m: hunt.known_overdispersion(tables, m, working_points, statistics) for m in searches}
    null: list[dict[str, Any]] = []
    injected: list[dict[str, Any]] = []
    for x in (x for part in experiments for x in part.experiments):
        layout = (x.n_bootstraps, x.n_seeds)
        for i, (eps, v) in enumerate(zip(working_points, known[x.method], strict=True)):
            e = combine(x.method, x.counts[i], layout, x.closure[i].with_overdispersion(v), statistics, v)
            p = primary_p(x.method, e)
            entry = {
                "toy": x.toy, "window": experiments[0].window, "method": x.method, "eps_bkg": eps,
                "n_obs": x.counts[i].n_obs, "n_bkg": e.n_bkg, "n_bkg_uncorrected": x.counts[i].n_bkg, "p_local": p,
            }  # fmt: skip
            if x.strength is None:
                following = primary_p(x.method, e, x.counts[i].n_obs + 1 / x.counts[i].n_splits)
                null.append(entry | {"p_mid": (p + following) / 2, "non_closure_sigma": e.non_closure_sigma})
            else:
                estimated, error = signal_yield(e, x.n_expected, x.n_expected_error)
                injected.append(
                    entry | {
                        "strength": x.strength, "n_signal": x.n_signal, "n_signal_passing": x.n_signal_passing[i],
                        "n_signal_estimated": estimated, "error": error,
                    }
                )  # fmt: skip
    verdicts = [
        {"method": method, "eps_bkg": eps, **uniformity([e["p_mid"] for e in _of(null, method, eps)])}
        for method in searches
        for eps in working_points
    ]
    fits = []
    for method in searches:
        for eps in working_points:
            mine = _of(injected, method, eps)
            if len(mine) >= 5:
                true, estimates, errors = (
                    np.array([e[k] for e in mine], dtype=float)
                    for k in ("n_signal_passing", "n_signal_estimated", "error")
                )
                fits.append({"method": method, "eps_bkg": eps, **linearity(true, estimates, errors)})
    smallest = [min(e["p_mid"] for e in null if e["toy"] == t) for t in sorted({e["toy"] for e in null})]
    trials = {"hunts": len(verdicts), "effective": effective_trials(smallest)}
    first = fits[0] if fits else {}
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


def limit_signal(hunts: list[Hunts], injection: Json, *, statistics: StatisticsSettings) -> Json:
    """Turn limits on selected events into limits on the signal in the signal region, by the efficiency that injections measured."""
    entries = []
    for h in (h for group in hunts for h in group.entries if h["limit"]):
        curve = [c for c in _of(injection.tree["efficiency"], h["method"], h["eps_bkg"]) if c["strength"] > 0]
        if not curve:
            continue
        background = h["n_sr_expected"]["value"]
        observed, *expected = (
            produced_signal(s, curve, h["eps_bkg"], background) for s in (h["limit"]["s_obs"], *h["limit"]["s_exp"])
        )
        entry = {k: h[k] for k in ("window", "method", "eps_bkg")}
        entry |= {"n_signal_obs": observed, "n_signal_exp": expected, "cross_section_fb": None}
        if statistics.luminosity:
            entry["cross_section_fb"] = {
                "obs": observed / statistics.luminosity, "exp": [s / statistics.luminosity for s in expected],
            }  # fmt: skip
        entries.append(entry)
    return Json({"schema": "cathode/limits/1", "luminosity_ifb": statistics.luminosity, "limits": entries})


def _of(entries: list[dict[str, Any]], method: str, eps: float) -> list[dict[str, Any]]:
    return [e for e in entries if e["method"] == method and e["eps_bkg"] == eps]


def plot_calibration(overdispersion: Json, background_only: Json, injection: Json) -> Figures:
    """Pulls of the classifier, p-values of background-only pseudo-experiments, and measured against injected signal."""
    from cathode.plots import calibration as figures

    return figures.draw(overdispersion.tree, background_only.tree, injection.tree)
