"""`cathode check` and `cathode show`: what a configuration would do, and what an artefact holds, on one screen."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
from joblib import cpu_count

from cathode import io
from cathode.classifier.methods import find_method
from cathode.config import Config, load_config
from cathode.density.scaling import Gaussianiser
from cathode.errors import CathodeError, DataError, FitError
from cathode.events import Events
from cathode.generator.settings import PROCESSES, require_packages
from cathode.headers import read_header
from cathode.inference.placement import Placement, place_regions
from cathode.intake.official import SETS, cached_file, clustered_file
from cathode.intake.prepare import Prepared, describe_source, prepare_events
from cathode.intake.reference import read_reference
from cathode.regions import Window
from cathode.running.cost import describe_cost, estimate_cost
from cathode.running.usage import read_usage
from cathode.spectrum.scan import check_reference
from cathode.spectrum.sideband_model import MassModel
from cathode.summary import Summary
from cathode.template.settings import LEAST_SOURCES, TemplateSettings
from cathode.usage import RuleUsage

log = logging.getLogger("cathode")

_LOOKED_AT = 200_000  # events

# accepted events per CPU-second of one core (benchmarks/generator.py); another trigger or tune moves them
ACCEPTED_PER_SECOND = {"background": 100.0, "signal": 420.0}


def describe(config: Config) -> str:
    """Read the data and say what will be hunted: events per region, pseudo signal regions, outputs, jobs.

    Raises DataError when a region has fewer events than its methods can use.
    """
    if config.data.source == "lhco" and (waiting := _not_ready(config)):
        return f"run {config.run}: {describe_source(config.data)}; {waiting}; check again after the first run"
    if config.data.source == "pythia":
        return _describe_generation(config)
    prepared = prepare_events(
        config.data, config.injection, config.mass_range, seed=config.seed, blinded=config.blinded
    )
    said = describe_prepared(config, prepared)
    if config.spectrum.has_reference and not config.blind:
        reference = read_reference(
            data=config.data, spectrum=config.spectrum, mass_range=config.mass_range, seed=config.seed
        )
        for window in config.regions.values():
            check_reference(prepared.events, reference, window)
        what = "a histogram" if reference.histogram else f"{len(reference.mass)} other events"
        said += f"\ninclusive scan: over {what} ({', '.join(reference.inputs)}) instead of a fit"
    return said


def describe_prepared(config: Config, prepared: Prepared) -> str:
    """The same of events that were read already, when blind without those of signal regions."""
    events, mass = prepared.events, prepared.events.mass
    where = " outside the signal regions" if config.blind else ""
    lines = [
        f"run {config.run}: {describe_source(config.data)}, {len(events)} events with "
        f"{config.mass_range[0]:g} <= {config.data.mass} < {config.mass_range[1]:g} GeV{where}",
        f"features: {', '.join(events.names)}",
    ]
    lines.insert(1, prepared.intake.sentence)
    lines += [f"warning: {doubt}" for doubt in prepared.intake.doubts]
    if prepared.labels.known:
        n_signal = int(prepared.labels.label.sum())
        lines.append(f"labels: {n_signal} signal events in the data, {len(prepared.spare)} spare ones for evaluation")
    for j, name in enumerate(events.names):
        values = events.features[:, j]
        correlation = float(np.corrcoef(values, mass)[0, 1])
        note = "  <- depends on the mass: biases CWoLa" if abs(correlation) > 0.2 else ""
        lines.append(
            f"  {name}: {values.min():.4g} to {values.max():.4g}, correlation with mass {correlation:+.3f}{note}"
        )
    if "supervised" in config.methods and prepared.labels.label.sum() + len(prepared.spare) < 100:
        raise DataError(
            f"methods: supervised learns from labelled signal, found {int(prepared.labels.label.sum()) + len(prepared.spare)} such events, "
            "expected at least 100"
        )
    placed = place_regions(tuple(config.regions.values()), mass, config.closure)
    for window in config.regions.values():
        n_signal_region = int(window.in_signal(mass).sum())
        sideband = mass[window.in_sideband(mass)]
        low = int((sideband < window.signal[0]).sum())
        shown = "hidden" if config.blind else str(n_signal_region)
        lines.append(
            f"window {window.name}: {shown} events in {window.signal[0]:g} - {window.signal[1]:g} GeV, {low} below, "
            f"{len(sideband) - low} above; {_tested_by(placed, window)}"
        )
        regions = {"lower sideband": low, "upper sideband": len(sideband) - low}
        for name, count in (regions if config.blind else {"signal region": n_signal_region} | regions).items():
            if count < 100:
                raise DataError(f"window {window.name}: found {count} events in the {name}, expected at least 100")
    for window in () if config.blind else placed.windows:
        _refuse_what_training_would(config, events, window, config.template, "window")
    for filler in placed.fillers:
        own = config.closure.template(config.template)
        _refuse_what_training_would(config, events, filler, own, "pseudo signal region")
    n_windows, n_methods = len(config.regions), len(config.methods)
    lines.append(
        f"hunts: {n_windows} windows x {n_methods} methods ({', '.join(config.methods)}) x {len(config.working_points)} working points"
    )
    lines.append(describe_cost(estimate_cost(config, mass, placed), cpu_count()))
    lines.append(f"results: {config.folder}/summary.json, {config.folder}/report.html")
    return "\n".join(lines)


def _tested_by(placed: Placement, window: Window) -> str:
    """Which regions measure how a window closes."""
    names = placed.testing[window.name]
    others = sum(w.name in names for w in placed.windows)
    return f"tested by {len(names)} pseudo signal regions" + (f", {others} of them other windows" if others else "")


def _refuse_what_training_would(
    config: Config, events: Events, region: Window, template: TemplateSettings, what: str
) -> None:
    """Raise DataError or FitError now for what the chain in one region would end with after minutes."""
    mass = events.mass
    where = f"{what} {region.name} ({region.signal[0]:.5g} - {region.signal[1]:.5g} GeV)"
    visible = np.flatnonzero(region.in_sideband(mass))
    some = visible[np.linspace(0, len(visible) - 1, min(len(visible), _LOOKED_AT)).astype(int)]
    for name, values in zip(events.names, events.features[some].T, strict=True):
        try:
            Gaussianiser.fit(values[:, None])
        except FitError as error:
            raise DataError(
                f"column {name}: takes too few values in the sidebands of {region.name} for a density ({len(np.unique(values))} in {len(values)} "
                "events); list it in data.discrete, which spreads them, or leave it out"
            ) from error
    if not (config.blind and config.background.mass.model == "kde"):
        MassModel.fit(mass, region, config.background.mass)
    if "cwola" in config.methods:
        strips = [int(strip.sum()) for strip in region.in_strips(mass, config.classifier.strip_width)]
        if min(strips) < 50:
            raise DataError(
                f"{where}: cwola has {strips[0]} and {strips[1]} events in its strips below and above, expected at least 50 in each; "
                "a wider windows.range or classifier.strip_width would help"
            )
    if template.base != "sidebands" or not any(find_method(m).needs_template for m in config.methods):
        return
    if (found := int(template.sources(region, mass).sum())) < LEAST_SOURCES:
        raise DataError(
            f"{where}: found {found} sideband events that a template could be made of, expected at least {LEAST_SOURCES}; "
            "a larger template.span or a wider windows.range would help"
        )


def _not_ready(config: Config) -> str:
    """What the first run has to fetch or to cluster before there are events to look at; empty if nothing."""
    absent = [path for name in config.data.sets if not (path := cached_file(config.data, name)).exists()]
    if absent:
        files = ", ".join(path.name for path in absent)
        return f"not fetched yet: {files} (from {config.data.archive} to {absent[0].parents[1]})"
    raw = [name for name in config.data.sets if SETS[name].raw and not clustered_file(config.data, name).exists()]
    return f"fetched, its particles not clustered yet: {', '.join(raw)}" if raw else ""


def usage_of_run(folder: Path) -> tuple[RuleUsage, ...]:
    """What a finished run took, beside its estimate where its summary and events still say what was hunted."""
    try:  # an estimate needs the run's configuration and events, the rest only its benchmarks
        summary: Summary = io.read(folder / "summary.json", Summary)
        estimated = estimated_seconds(load_config(summary.config), folder)
    except CathodeError as error:
        log.warning("no estimate: %s", error)
        estimated = None
    return read_usage(folder, estimated)


def estimated_seconds(config: Config, run: Path) -> dict[tuple[str, str], float]:
    """CPU seconds of every rule and window of a hunt, from the events that it left in its folder `run`."""
    mass = io.read_column(run / "events.parquet", Events, "mass")
    return {(cost.rule, cost.window): cost.cpu_s for cost in estimate_cost(config, mass)}


def _describe_generation(config: Config) -> str:
    """What will be generated, and for how long; events exist only after the first run."""
    require_packages()
    g, lines = config.generator, []
    signal = f" of {g.signal.mass:g} GeV to {g.signal.daughters[0]:g} and {g.signal.daughters[1]:g} GeV, {g.signal.prongs}-prong"
    for process, n, what in zip(PROCESSES, (g.n_background, g.n_signal), ("", signal), strict=True):
        jobs, rate = g.n_chunks(process), ACCEPTED_PER_SECOND[process]
        lines.append(
            f"  {n} {process} events{what}: {jobs} chunks of {g.chunk}, about {jobs * g.chunk / rate / 60:.2g} CPU-minutes"
        )
    return "\n".join(
        [
            f"run {config.run}: {describe_source(config.data)}, which exist after the first run",
            *lines,
            f"chunks: {config.generated_folder}/, kept from run to run; generated alone by snakemake --until generate",
        ]
    )


def describe_artefact(path: Path) -> str:
    """Header and content of an artefact: schema, origin, and every array's shape.

    Raises ArtefactError for a file that is none.
    """
    header = read_header(path)
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        schema = pq.read_schema(path)
        body = [f"  {f.name}: {f.type}" for f in schema] + [f"  {pq.read_metadata(path).num_rows} rows"]
    elif path.suffix == ".npz":
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            body = [f"  {k}: {file[k].dtype} {file[k].shape}" for k in file.files if k not in ("header", "tree")]
    else:
        content = header.get("content", {k: v for k, v in header.items() if k not in ("schema", "made", "sha256")})
        body = [f"  {key}: {json.dumps(value)[:100]}" for key, value in content.items()]
    return "\n".join([f"{path}: {header['schema']}", f"  made: {json.dumps(header.get('made'))}", *body])
