"""The steps of a hunt, in their order."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from cathode.background import estimate_background as estimate_points
from cathode.classifier import ClassifierSettings, Scored
from cathode.classifier import methods as classify
from cathode.classifier.methods import NEED_LABELS
from cathode.closure import Closure, ClosureSettings
from cathode.closure import measure_closure as combine_closure
from cathode.counts import passing_sideband
from cathode.errors import ConfigError
from cathode.events import Events, Labels
from cathode.generator import PROCESSES, Generated, GeneratorSettings, merge_chunks
from cathode.generator import generate as generate_events
from cathode.inference import blind_entry, fit_selected_spectrum, hunt_entry
from cathode.intake import DataSettings, InjectionSettings, prepare_events
from cathode.regions import Window, in_interval, pseudo_windows, spectrum_peak
from cathode.results import Estimates, Hunts, Json
from cathode.seeds import derive_seed
from cathode.sidebands import SidebandClosure, reweight_template
from cathode.sidebands import compare_sidebands as compare
from cathode.stats.mass_fit import MassFit, Sculpting
from cathode.stats.settings import StatisticsSettings
from cathode.stats.spectrum_scan import SpectrumScan
from cathode.stats.spectrum_scan import scan_spectrum as scan
from cathode.template import (
    BackgroundSettings,
    DensityEnsemble,
    Template,
    TemplateSettings,
    fit_ensemble,
    transport_template,
)
from cathode.template import sample_template as draw_template

log = logging.getLogger(__name__)


def resolve_device(device: str) -> str:
    """`auto` resolved: a job that was given a GPU which torch does not see runs on the CPU, with a warning; explicit cuda is an error then."""
    available = torch.cuda.is_available()
    if device == "auto" and not available and os.environ.get("CUDA_VISIBLE_DEVICES"):
        log.warning("this job was given a GPU, but torch sees none (its CPU build, or no driver?): running on the CPU")
    if device == "cuda" and not available:
        raise ConfigError("device: found cuda, but no GPU is visible to torch; expected device: auto or cpu")
    return "cuda" if available and device != "cpu" else "cpu"


def report_progress(what: str) -> Callable[..., None]:
    """A callback (done, total, loss) that logs progress of `what`."""
    start = time.monotonic()

    def report(done: int, total: int, value: float | None = None) -> None:
        loss = "" if value is None else f", loss {value:.4f}"
        log.info("%s: %d of %d%s, %.0f s", what, done, total, loss, time.monotonic() - start)

    return report


def generate(*, process: str, batch: str, simulation: GeneratorSettings) -> Generated:
    """Generate one chunk of dijet events, `background` or `signal`."""
    if process not in PROCESSES:
        raise ConfigError(f"--process: found {process}, expected {' or '.join(PROCESSES)}")
    seed = derive_seed(simulation.seed, "generate", process, int(batch))
    return generate_events(process, simulation, simulation.chunk, seed=seed, progress=report_progress(process))


def prepare(
    generated: list[Generated],
    *,
    data: DataSettings,
    injection: InjectionSettings,
    generator: GeneratorSettings,
    mass_range: tuple[float, float],
    blinded: tuple[tuple[float, float], ...],
    seed: int,
) -> tuple[Events, Labels, Events]:
    """Read and validate the events; labels and spare signal go to files of their own."""
    columns = merge_chunks(generated, generator) if data.source == "pythia" else None
    prepared = prepare_events(data, injection, mass_range, seed=seed, generated=columns)
    events, labels = prepared.events, prepared.labels
    if blinded:  # else no copy: the events may be most of the memory
        visible = ~np.any([in_interval(events.mass, interval) for interval in blinded], axis=0)
        events, labels = events[visible], Labels(labels.label[visible]) if labels.known else labels
    log.info("%d events kept, %d spare signal events", len(events), len(prepared.spare))
    return events, labels, prepared.spare


def fit_density(
    events: Events, *, window: Window, background: BackgroundSettings, seed: int, device: str
) -> DensityEnsemble:
    """Learn p(features | mass) on the sidebands of one window, as an ensemble of bootstraps and initialisations."""
    n_members = background.bootstraps * background.seeds
    log.info("%s: %d sideband events, %d members", window.name, window.in_sideband(events.mass).sum(), n_members)
    return fit_ensemble(
        events.features,
        events.mass,
        window,
        background,
        bootstraps=background.bootstraps,
        seeds=background.seeds,
        seed=derive_seed(seed, "fit_density", window.name),
        device=resolve_device(device),
        progress=report_progress("density epoch"),
    )


def sample_template(
    events: Events, density: DensityEnsemble, *, window: Window, template: TemplateSettings, seed: int
) -> Template:
    """Make the background template in the signal region of one window."""
    n = int(window.in_signal(events.mass).sum())
    own_seed = derive_seed(seed, "sample_template", window.name)
    if template.base == "sidebands":
        made = transport_template(
            density,
            events.names,
            events.features,
            events.mass,
            events.row,
            window,
            template,
            seed=own_seed,
        )
    else:
        made = draw_template(
            density,
            events.names,
            window,
            n_train=round(template.oversampling * n),
            n_efficiency=round(template.efficiency_oversampling * n),
            seed=own_seed,
        )
    if template.reweight == "dctr":
        made = reweight_template(
            made, events.features, events.mass, events.row, window, density, template,
            seed=derive_seed(own_seed, "reweight"),
        )  # fmt: skip
    log.info("%s: %d events in the signal region, %d in the template", window.name, n, len(made.mass))
    return made


def compare_sidebands(
    events: Events,
    density: DensityEnsemble,
    *,
    window: Window,
    working_points: tuple[float, ...],
    template: TemplateSettings,
    seed: int,
) -> SidebandClosure:
    """Compare recorded sideband events with generated ones, before and behind cuts of a classifier between them."""
    return compare(
        events.features, events.mass, window, density, template, working_points,
        seed=derive_seed(seed, "compare_sidebands", window.name),
    )  # fmt: skip


def score_cathode(
    events: Events,
    template: Template,
    spare: Events,
    *,
    window: Window,
    classifier: ClassifierSettings,
    seed: int,
    device: str,
) -> Scored:
    """Train data against template, k-fold, and score out of fold; once per fold split."""
    return classify.score_cathode(
        events.features,
        events.mass,
        events.row,
        window,
        template,
        spare[window.in_signal(spare.mass)].features,
        classifier,
        seed=derive_seed(seed, "score_cathode", window.name),
        device=resolve_device(device),
        progress=report_progress("fold"),
    )


def score_cwola(
    events: Events, spare: Events, *, window: Window, classifier: ClassifierSettings, seed: int, device: str
) -> Scored:
    """Train signal region against the neighbouring strips, k-fold, and score out of fold."""
    return classify.score_cwola(
        events.features,
        events.mass,
        events.row,
        window,
        spare[window.in_signal(spare.mass)].features,
        classifier,
        seed=derive_seed(seed, "score_cwola", window.name),
        device=resolve_device(device),
        progress=report_progress("fold"),
    )


def score_reference(
    events: Events,
    labels: Labels,
    spare: Events,
    *,
    window: Window,
    method: str,
    classifier: ClassifierSettings,
    seed: int,
    device: str,
) -> Scored:
    """Train a reference classifier (idealised or supervised) with truth labels."""
    inside = window.in_signal(events.mass)
    return classify.score_reference(
        method,
        events.features[inside],
        events.row[inside],
        window,
        labels.label[inside],
        spare[window.in_signal(spare.mass)].features,
        classifier,
        seed=derive_seed(seed, "score_reference", method, window.name),
        device=resolve_device(device),
        progress=report_progress("fold"),
    )


def score_pseudo(
    events: Events,
    *,
    window: Window,
    batch: str,
    method: str,
    background: BackgroundSettings,
    template: TemplateSettings,
    classifier: ClassifierSettings,
    closure: ClosureSettings,
    seed: int,
    device: str,
) -> Scored:
    """Run the whole chain in a batch of pseudo signal regions, the real one hidden: the held-out closure test."""
    sideband = events.mass[window.in_sideband(events.mass)]
    regions = pseudo_windows(window, sideband, closure.windows, guard=closure.guard)
    start = int(batch) * closure.per_job
    n_signal_region = int(window.in_signal(events.mass).sum()) or None  # a classifier sees more in more events
    nothing = np.empty((0, events.features.shape[1]))
    scored = []
    for region in regions[start : start + closure.per_job]:
        counted = int(in_interval(events.mass, region.counting).sum())
        log.info("%s in %s: counts %d events in %.0f to %.0f GeV", region.name, window.name, counted, *region.counting)
        own_seed = derive_seed(seed, "score_pseudo", window.name, region.name)
        drawn = None
        if method == "cathode":
            density = fit_ensemble(
                events.features,
                events.mass,
                region,
                background,
                bootstraps=closure.bootstraps,
                seeds=closure.seeds,
                seed=own_seed,
                device=resolve_device(device),
                progress=report_progress("density epoch"),
            )
            drawn = sample_template(events, density, window=region, template=closure.template(template), seed=own_seed)
        common: dict[str, Any] = {
            "seed": derive_seed(own_seed, "score"),
            "device": resolve_device(device),
            "limit": n_signal_region,
            "checks": False,
            "progress": report_progress(f"{region.name}: fold"),
        }
        of_events = (events.features, events.mass, events.row, region)
        if drawn is None:
            found = classify.score_cwola(*of_events, nothing, classifier, **common)
        else:
            found = classify.score_cathode(*of_events, drawn, nothing, classifier, **common)
        scored += [s.without_members() for s in found.scores]
    return Scored(tuple(scored))


def known_overdispersion(
    tables: list[Json], method: str, working_points: tuple[float, ...], statistics: StatisticsSettings
) -> tuple[float, ...]:
    """Overdispersion per working point: the configured number, or what calibration measured."""
    if statistics.overdispersion != "calibrated":
        return (statistics.overdispersion,) * len(working_points)
    if method in NEED_LABELS:
        return (1.0,) * len(working_points)
    if not tables:
        raise ConfigError(
            "statistics.overdispersion: found calibrated, expected the table that `snakemake` measures first"
        )
    measured = tables[0].tree["v0"][method]
    return tuple(measured[f"{eps:g}"] for eps in working_points)


def measure_closure(
    tests: list[Scored],
    overdispersion: list[Json],
    *,
    window: Window,
    working_points: tuple[float, ...],
    statistics: StatisticsSettings,
) -> Closure:
    """Combine the pseudo signal regions of one window and method into its non-closure."""
    regions = [splits for batch in tests for splits in batch.regions()]
    v = known_overdispersion(overdispersion, tests[0].method, working_points, statistics)
    return combine_closure(window.name, regions, working_points, overdispersion=v)


def estimate_background(
    scores: Scored,
    closure: list[Closure],
    overdispersion: list[Json],
    *,
    window: Window,
    working_points: tuple[float, ...],
    statistics: StatisticsSettings,
) -> Estimates:
    """Count behind every working point and estimate the background with all its uncertainties."""
    v = known_overdispersion(overdispersion, scores.method, working_points, statistics)
    points = estimate_points(scores.scores, closure[0] if closure else None, working_points, statistics, v)
    return Estimates(window.name, window.signal, scores.method, tuple(points))


def infer(
    estimates: Estimates,
    density: DensityEnsemble,
    events: Events,
    scores: Scored,
    *,
    window: Window,
    statistics: StatisticsSettings,
) -> tuple[Hunts | Json, ...]:
    """Significances, limits, the mass fit behind each cut, and one pyhf workspace per working point."""
    flags = [] if density.mass.p_value > 0.01 else [f"mass fit of the sidebands: p = {density.mass.p_value:.2g}"]
    expected = density.mass.expected()
    side_mass = events.mass[events.at(scores.scores[0].side_row)]
    entries, workspaces = [], []
    for point in estimates.points:
        spectrum: tuple[MassFit | None, Sculpting | None] = (None, None)
        if len(side_mass):
            passes = passing_sideband(scores.scores, point.counts.eps_bkg)
            spectrum = fit_selected_spectrum(side_mass, passes, point.counts.n_obs, window, statistics)
        entry, workspace = hunt_entry(window, estimates.method, point, statistics, spectrum, expected)
        entry["flags"] += flags
        entries.append(entry)
        workspaces.append(Json(workspace))
    return (Hunts(tuple(entries)), *workspaces)


def scan_spectrum(events: Events, *, window: Window, statistics: StatisticsSettings, seed: int) -> SpectrumScan:
    """The classical bump hunt, without features: the whole mass spectrum above its peak, for signals as wide as the window allows."""
    low, high = window.range
    peak = spectrum_peak(events.mass[events.mass < window.signal[0]], low)
    start = peak if peak < window.signal[0] - window.width else low
    return scan(
        events.mass, start, high, window.width / 4, sqrt_s=statistics.sqrt_s,
        seed=derive_seed(seed, "scan_spectrum", window.name),
    )  # fmt: skip


def infer_blind(
    closure: Closure, density: DensityEnsemble, *, window: Window, working_points: tuple[float, ...]
) -> Hunts:
    """What can be said without any signal-region event: expected background and measured non-closure."""
    expected, _ = density.mass.expected()
    return Hunts(
        tuple(
            blind_entry(window.name, window.signal, closure.method, eps, point, expected)
            for eps, point in zip(working_points, closure.points, strict=True)
        )
    )
