"""Pseudo-experiments, through the very functions of the hunt: of the classifier, and of the whole chain with and without signal."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np

from cathode.calibration.pseudo_data import Background, inject, is_signal
from cathode.calibration.results import (
    ClassifierCount,
    ClassifierExperiments,
    PseudoExperiment,
    PseudoExperiments,
    SharedEvents,
)
from cathode.classifier.methods import find_method, score, searches
from cathode.classifier.scores import MethodScores
from cathode.classifier.settings import ClassifierSettings
from cathode.classifier.training import score_samples
from cathode.density.ensemble import DensityEnsemble, fit_density, fit_ensemble
from cathode.density.settings import DensitySettings
from cathode.events import Events
from cathode.inference.chain import measure_closures
from cathode.inference.closure import Closure
from cathode.inference.counts import count_passing, passing
from cathode.inference.placement import are_hidden
from cathode.inference.settings import ClosureSettings
from cathode.inference.shared import Passing, pass_hunts, shared_events
from cathode.regions import Window
from cathode.seeds import derive_seed
from cathode.spectrum.sideband_model import MassModel
from cathode.stats.settings import CalibrationSettings, StatisticsSettings
from cathode.template.make import make_template
from cathode.template.settings import TemplateSettings

log = logging.getLogger(__name__)


def fit_truth(
    events: Events,
    *,
    window: Window,
    background: DensitySettings,
    calibration: CalibrationSettings,
    seed: int,
    device: str,
) -> DensityEnsemble:
    """Fit the density that pseudo-experiments are drawn from, on the sidebands of one window."""
    return fit_ensemble(
        events,
        window,
        dataclasses.replace(background, model=calibration.truth, settings={}),
        bootstraps=1,
        seeds=1,
        seed=derive_seed(seed, "fit_truth", window.name),
        device=device,
        what="truth epoch",
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
) -> ClassifierExperiments:
    """Train classifiers where there is nothing to find: data and reference from one truth, as many as in the hunt.

    And as many as in the pseudo-experiments of the whole chain, where these are of another size.
    """
    sizes = _sample_sizes(events, truth, window, methods, template, classifier, calibration)
    entries = []
    for t in calibration.batch(int(batch), calibration.classifier):
        own_seed = derive_seed(seed, "calibrate_classifier", t)
        for method in searches(methods):
            for sample, expected in sizes.items():
                with_seed = derive_seed(own_seed, method, sample)
                n = int(np.random.default_rng(with_seed).poisson(expected["data"]))
                mass = truth.mass.sample(n + expected[method], seed=derive_seed(with_seed, "mass"))
                x = truth.density.sample(mass, member=0, seed=derive_seed(with_seed, "features"))
                scored = score_samples(method, x[:n], x[n:], window, classifier, seed=with_seed, device=device)
                for eps in working_points:
                    c = count_passing(scored.splits, eps)
                    entries.append(
                        ClassifierCount(toy=t, sample=sample, method=method, eps_bkg=eps, n=c.n_obs, b=c.n_bkg, m=c.m)
                    )
        log.info("classifier pseudo-experiment %d of %d", t + 1, calibration.classifier)
    return ClassifierExperiments(window=window.name, sizes=sizes, entries=tuple(entries))


def _sample_sizes(
    events: Events,
    truth: DensityEnsemble,
    window: Window,
    methods: tuple[str, ...],
    template: TemplateSettings,
    classifier: ClassifierSettings,
    calibration: CalibrationSettings,
) -> dict[str, dict[str, int]]:
    """Events in the signal region (expected ones when blind) and in the reference of each method, per kind of sample."""
    n = int(window.in_signal(events.mass).sum()) or round(truth.mass.expected()[0])
    low, high = window.in_strips(events.mass, classifier.strip_width)
    sources = int(template.sources(window, events.mass).sum())
    transported = sources if template.base == "sidebands" else round(template.oversampling * n)
    strips = int((low | high).sum())
    references = {m: transported if find_method(m).needs_template else strips for m in searches(methods)}
    sizes = {"hunt": {"data": n} | references}
    if calibration.events is not None:
        share = calibration.events / len(events)
        sizes["experiments"] = {k: round(share * v) for k, v in sizes["hunt"].items()}
    return sizes


def calibrate_chain(
    events: Events,
    truth: DensityEnsemble,
    spare: Events,
    *,
    window: Window,
    regions: tuple[Window, ...],
    batch: str,
    methods: tuple[str, ...],
    working_points: tuple[float, ...],
    background: DensitySettings,
    template: TemplateSettings,
    classifier: ClassifierSettings,
    closure: ClosureSettings,
    statistics: StatisticsSettings,
    calibration: CalibrationSettings,
    seed: int,
    device: str,
) -> PseudoExperiments:
    """Run the whole chain on background-only pseudo-experiments, in every window of the hunt, and its classifiers on injected signals.

    Densities are trained anew in every background-only pseudo-experiment, in all windows and fillers. When windows hide each other, only `window` is
    hunted: the truth knows nothing of the others. Injections are into `window`, and keep its densities and its closure: a signal reaches neither but through its tails in the sidebands.
    Each pseudo-experiment gets one strength, so that no two measurements share a background.
    Counts are kept as they are: what follows from them is statistics, and is done by `measure_calibration`.
    """
    side = events.mass[window.in_sideband(events.mass)]
    known = Background(truth.density, truth.mass, side, events.names, window)
    n_expected = known.total() if calibration.events is None else float(calibration.events)
    light = dataclasses.replace(classifier, sequential_members=0)  # cross-checks are not what is calibrated
    hunted = (window,) if are_hidden(regions, closure) else regions
    # counts as they come: `measure_calibration` combines them again, with the overdispersion that was measured
    plain = dataclasses.replace(statistics, overdispersion=1.0)
    out: list[PseudoExperiment] = []
    shared: list[SharedEvents] = []

    def scored(data: Events, density: DensityEnsemble, region: Window, method: str, seed: int) -> MethodScores:
        drawn = None
        if find_method(method).needs_template:
            drawn = make_template(data, density, window=region, template=template, seed=seed, device=device)
        return score(data, drawn, window=region, method=method, classifier=light, seed=seed, device=device)

    for t in calibration.batch(int(batch), calibration.background):
        own_seed = derive_seed(seed, "calibrate_chain", t)
        data = known.draw(n_expected, seed=own_seed)
        densities = {
            r.name: fit_density(data, window=r, background=background, seed=own_seed, device=device) for r in hunted
        }
        strength = None
        if t < calibration.injections and window.in_signal(spare.mass).any():
            strength = calibration.strengths[t % len(calibration.strengths)]
            run_seed = derive_seed(own_seed, "inject", strength)
            n_inside = float(window.in_signal(data.mass).sum())
            mixed = inject(data, spare, window, strength * np.sqrt(n_inside), seed=run_seed)
            mixed_spectrum = MassModel.fit(mixed.mass, window, background.mass)
        passed: list[Passing] = []
        for method in searches(methods):
            scores = {r.name: scored(data, densities[r.name], r, method, own_seed) for r in hunted}
            passed += [pass_hunts([s], working_points) for s in scores.values()]
            closures = measure_closures(
                data,
                list(scores.values()),
                regions=hunted,
                method=method,
                working_points=working_points,
                background=background,
                template=template,
                classifier=light,
                closure=closure,
                statistics=plain,
                seed=own_seed,
                device=device,
            )
            for c in closures:
                spectrum = densities[c.window].mass
                out.append(_experiment(t, None, scores[c.window], c, spectrum, working_points))
            if strength is None:
                continue
            found = scored(mixed, densities[window.name], window, method, run_seed)
            own = next(c for c in closures if c.window == window.name)
            out.append(_experiment(t, strength, found, own, mixed_spectrum, working_points))
        hunts = tuple(name for part in passed for name in part.hunts)
        events_in_common = shared_events(passed, hunts)
        shared.append(SharedEvents(toy=t, hunts=hunts, events=tuple(map(tuple, events_in_common.tolist()))))
        log.info("pseudo-experiment %d of %d", t + 1, calibration.background)
    return PseudoExperiments(window=window.name, experiments=tuple(out), shared=tuple(shared))


def _experiment(
    toy: int,
    strength: float | None,
    scores: MethodScores,
    closure: Closure,
    spectrum: MassModel,
    working_points: tuple[float, ...],
) -> PseudoExperiment:
    splits, (expected, error) = scores.splits, spectrum.expected()
    hit = is_signal(splits[0].row)
    return PseudoExperiment(
        toy=toy,
        strength=strength,
        window=closure.window,
        method=closure.method,
        n_bootstraps=splits[0].n_bootstraps,
        n_seeds=splits[0].n_seeds,
        counts=tuple(count_passing(splits, eps) for eps in working_points),
        closure=closure.points,
        n_expected=expected,
        n_expected_error=error,
        n_signal=int(hit.sum()),
        n_signal_passing=tuple(float(passing(splits, eps)[hit].sum()) for eps in working_points),
    )
