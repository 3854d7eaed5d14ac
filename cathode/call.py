"""`cathode.hunt`: a whole hunt from a table in one call, without files and without Snakemake; the same numbers as the workflow's."""

from __future__ import annotations

import dataclasses
import html
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cathode import io
from cathode.classifier.methods import find_method, is_reference, score, score_reference
from cathode.classifier.scores import MethodScores
from cathode.classifier.settings import ClassifierSettings
from cathode.columns import aligned
from cathode.config import Config
from cathode.density.ensemble import DensityEnsemble, fit_density
from cathode.density.registry import Density, use_density
from cathode.density.settings import DensitySettings
from cathode.errors import ArtefactError, ConfigError
from cathode.events import Events, Labels, Template, as_columns
from cathode.inference.closure import Closure, combine_closure
from cathode.inference.conclude import conclude
from cathode.inference.model import Model
from cathode.inference.placement import place_regions
from cathode.inference.pseudo import score_region
from cathode.inference.settings import ClosureSettings
from cathode.inference.truth import evaluate_hunts
from cathode.intake.files import table_paths
from cathode.intake.prepare import Prepared, prepare_events
from cathode.intake.reference import read_reference
from cathode.intake.settings import DataSettings, InjectionSettings
from cathode.regions import Interval, Window, WindowSettings
from cathode.report.table import ScanTable
from cathode.results import (
    HuntResult,
    HuntResults,
    Limit,
    Overdispersion,
    Selected,
    Truth,
    Waterfall,
    Workspace,
)
from cathode.running.tasks import run_tasks
from cathode.spectrum.reference import Reference
from cathode.spectrum.scan import SpectrumScan, check_reference, scan_spectrum
from cathode.spectrum.settings import SpectrumSettings
from cathode.stats.settings import StatisticsSettings
from cathode.steps.summarise import summarise
from cathode.summary import Summary
from cathode.template.make import make_template
from cathode.template.settings import TemplateSettings
from cathode.template.sidebands import SidebandClosure
from cathode.version import __version__

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    import pandas as pd

    from cathode.likelihoods import FullLikelihood
    from cathode.own_signal import SignalLimits
    from cathode.plots.drawing import Drawing
    from cathode.plots.hunt import Plots


def hunt(
    table: Any,
    *,
    mass: str,
    features: Sequence[str],
    window: Interval,
    range: Interval,
    label: str | None = None,
    weight: str | None = None,
    seed: int = 1,
    methods: Sequence[str] = ("cathode",),
    working_points: Sequence[float] = (0.1, 0.01, 0.001),
    mass_unit: str = "GeV",
    n_signal: int | None = None,
    discrete: Sequence[str] = (),
    identifiers: Sequence[str] = (),
    density: type[Density] | None = None,
    background: DensitySettings = DensitySettings(),
    template: TemplateSettings = TemplateSettings(),
    classifier: ClassifierSettings = ClassifierSettings(),
    closure: ClosureSettings = ClosureSettings(),
    statistics: StatisticsSettings = StatisticsSettings(),
    spectrum: SpectrumSettings = SpectrumSettings(),
    overdispersion: Overdispersion | None = None,
    blind: bool = False,
    device: str = "auto",
    cores: int | None = None,
    progress: bool = True,
    name: str = "hunt",
) -> Hunt:
    """Hunt for a bump in `mass` with different `features`, in one window. Minutes on two cores for 10^5 events.

    Args:
        table: a DataFrame, a dictionary of equally long arrays, or the path of a table file (or a list of them), one row per event.
        mass: column of the resonant variable, in `mass_unit`.
        features: columns that the models see.
        window: the signal region [low, high), in `mass_unit`.
        range: masses used at all, in `mass_unit`; it must leave a sideband on both sides.
        label: truth column (0 background, 1 signal), for evaluation and reference methods only.
        weight: column of event weights, none negative; an unweighted sample is drawn from them by seed.
        seed: all others derive from it; equal arguments give equal numbers, on any number of cores.
        methods: `cathode`, `cwola`; with a label also `idealised` and `supervised`. The first is the one that properties speak of.
        working_points: background efficiencies at which events are selected.
        mass_unit: GeV, TeV or MeV.
        n_signal: with a label: keep so many signal events, drawn by seed.
        discrete: features that take few values, which are spread over the space to their neighbours.
        identifiers: columns that no model sees and that come back with the selected events.
        density: class of a density of your own, instead of `background.model`.
        background: the density model and its ensemble.
        template: how background is made in the signal region.
        classifier: what is trained to find the signal.
        closure: the held-out closure test.
        statistics: how counts become significances.
        spectrum: files with the background of the inclusive scan, where it is not fitted.
        overdispersion: what calibration measured, where `statistics.overdispersion` is `calibrated`.
        blind: leave the signal region closed: expected background and closure only.
        device: `auto`, `cpu` or `cuda`.
        cores: processes; None takes all cores that this one may use, 1 stays in this process.
        progress: show a bar on a terminal or in a notebook.
        name: of the hunt, in its outputs.

    Returns the hunt: `z`, `p`, `[working point]`, `why()`, `limit()`, `workspace()`, `selected`, `plot`, `report()`, `save()`.

    Raises ConfigError for contradictory arguments, DataError for a table that cannot be used (column, count, row), FitError where
    there is too little to train on.
    """
    if density is not None:
        background = dataclasses.replace(background, model=use_density(density))
    files = table_paths(table)
    (low, high), (start, end) = window, range
    config = Config(
        run=name,
        seed=seed,
        data=DataSettings(
            source="files" if files else "memory",
            files=files,
            mass=mass,
            mass_unit=mass_unit,  # type: ignore[arg-type]
            features=tuple(features),
            label=label,
            weight=weight,
            discrete=tuple(discrete),
            identifiers=tuple(identifiers),
        ),
        injection=InjectionSettings(n_signal),
        windows=WindowSettings(range=(start, end), signal_regions=((low, high),)),
        methods=tuple(methods),
        working_points=tuple(working_points),
        background=background,
        template=template,
        classifier=classifier,
        closure=closure,
        statistics=statistics,
        spectrum=spectrum,
        blind=blind,
        device=device,  # type: ignore[arg-type]
    )
    prepared = prepare_events(
        config.data,
        config.injection,
        config.mass_range,
        seed=seed,
        blinded=config.blinded,
        columns=None if files else as_columns(table),
    )
    for doubt in prepared.intake.doubts:
        log.warning("warning: %s", doubt)
    return _run(config, prepared, overdispersion, density, cores, progress)


# --- the work, in as many processes as wanted


@dataclass(frozen=True)
class _Scored:
    """What the training in the signal region leaves."""

    density: DensityEnsemble
    template: Template | None
    scores: dict[str, MethodScores]


def _run(
    config: Config,
    prepared: Prepared,
    overdispersion: Overdispersion | None,
    density: type[Density] | None,
    cores: int | None,
    progress: bool,
) -> Hunt:
    (window,) = config.regions.values()
    reference = None
    if config.spectrum.has_reference and not config.blind:
        reference = read_reference(
            data=config.data, spectrum=config.spectrum, mass_range=config.mass_range, seed=config.seed
        )
        check_reference(prepared.events, reference, window)
    tasks: list[tuple[str, Callable[[], Any]]] = [("signal region", lambda: _score_window(config, window, prepared))]
    fillers = place_regions((window,), prepared.events.mass, config.closure).fillers
    for method in config.searches:
        for region in fillers:
            tasks.append((f"closure, {method}", _pseudo_task(config, region, prepared.events, method)))
    done = run_tasks(tasks, what="hunt", density=density, cores=cores, progress=progress)
    scored: _Scored = done[0]
    pseudo: list[MethodScores] = done[1:]
    closures, n = {}, len(fillers)
    for k, method in enumerate(config.searches):
        (closures[method],) = combine_closure(
            prepared.events,
            pseudo[k * n : (k + 1) * n],
            [],
            overdispersion,
            regions=(window,),
            working_points=config.working_points,
            closure=config.closure,
            statistics=config.statistics,
        )
    return _conclude(config, window, prepared, scored, closures, overdispersion, reference)


def _pseudo_task(config: Config, region: Window, events: Events, method: str) -> Callable[[], MethodScores]:
    return lambda: score_region(
        events,
        region,
        method=method,
        background=config.background,
        template=config.template,
        classifier=config.classifier,
        closure=config.closure,
        seed=config.seed,
        device=config.device,
    )


def _score_window(config: Config, window: Window, prepared: Prepared) -> _Scored:
    """Density, template and all methods of the signal region; only the density when blind."""
    events, spare, common = prepared.events, prepared.spare, {"window": window, "seed": config.seed}
    density = fit_density(events, background=config.background, device=config.device, **common)  # type: ignore[arg-type]
    if config.blind:
        return _Scored(density, None, {})
    template = None
    if any(find_method(m).needs_template for m in config.methods):
        template = make_template(events, density, template=config.template, device=config.device, **common)  # type: ignore[arg-type]
    training: Any = {**common, "classifier": config.classifier, "device": config.device}
    scores = {
        m: score_reference(events, prepared.labels, spare, method=m, **training)
        if is_reference(m)
        else score(events, template if find_method(m).needs_template else None, spare, method=m, **training)
        for m in config.methods
    }
    return _Scored(density, template, scores)


def _conclude(
    config: Config,
    window: Window,
    prepared: Prepared,
    scored: _Scored,
    closures: dict[str, Closure],
    overdispersion: Overdispersion | None,
    reference: Reference | None,
) -> Hunt:
    """Counts, significances and the summary."""
    sidebands, hunts, spaces, chosen, model, shared = conclude(
        prepared.events,
        scored.density,
        [scored.scores[m] for m in config.methods if m in scored.scores],
        [closures[m] for m in config.searches],
        overdispersion,
        window=window,
        data=config.data,
        working_points=config.working_points,
        template=config.template,
        statistics=config.statistics,
        seed=config.seed,
    )
    names = [entry.name for group in hunts for entry in group.entries]
    truth: tuple[Truth, ...] = ()
    if prepared.labels.known and not config.blind:
        of_methods = (scored.scores[m] for m in config.methods)
        truth = evaluate_hunts(
            prepared.events, prepared.labels, of_methods, regions=(window,), working_points=config.working_points
        )
    summary, _ = summarise(list(hunts), list(shared), list(truth), prepared.intake, config=config)
    spectrum = None
    if not config.blind:
        spectrum = scan_spectrum(
            prepared.events, reference, window=window, statistics=config.statistics, seed=config.seed
        )
    return Hunt(
        config=config,
        window=window,
        summary=summary,
        events=prepared.events,
        labels=prepared.labels,
        density=scored.density,
        template=scored.template,
        scores=scored.scores,
        closures=closures,
        workspaces=dict(zip(names, spaces, strict=not config.blind)),
        selections=dict(zip(names, chosen, strict=not config.blind)),
        truth=truth,
        spectrum=spectrum,
        sidebands=sidebands,
        model=model[0] if model else None,
    )


# --- what came out


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Hunt:
    """A finished hunt in one window. Prints itself.

    `hunt[0.01]` is the result at a working point of the first method, `hunt["cwola", 0.01]` that of another one.

    Attributes:
        config: everything it was configured by.
        window: where.
        summary: the machine-readable result, as in summary.json.
        events: what it worked on.
        labels: their truth, empty without.
        density: the density ensemble of the sidebands.
        template: the background in the signal region; None when blind or where no method needs it.
        scores: per method.
        closures: per search.
        workspaces: pyhf workspaces by `<window>_<method>_<working point>`.
        selections: selected events, likewise; empty when blind.
        truth: evaluation with labels, per method.
        spectrum: the classical bump hunt; None when blind.
        sidebands: recorded over generated sideband events.
        model: its classifiers and cuts, for events that it never saw; None when blind.
    """

    config: Config
    window: Window
    summary: Summary
    events: Events
    labels: Labels
    density: DensityEnsemble
    template: Template | None
    scores: dict[str, MethodScores]
    closures: dict[str, Closure]
    workspaces: dict[str, Workspace]
    selections: dict[str, Selected]
    truth: tuple[Truth, ...]
    spectrum: SpectrumScan | None
    sidebands: SidebandClosure
    model: Model | None

    @property
    def results(self) -> tuple[HuntResult, ...]:
        """Every method and working point."""
        return self.summary.hunts

    @property
    def best(self) -> HuntResult:
        """The hunt that a report leads with: of the method that is quoted, the working point with the smallest p-value; when blind, the first hunt."""
        return self.summary.best or self.results[0]

    @property
    def z(self) -> float | None:
        """Local significance of `best` in standard deviations. It is the largest of its working points: quote `z_global` with it."""
        return self.best.z_local

    @property
    def p(self) -> float | None:
        """Local p-value of `best`."""
        return self.best.p_local

    @property
    def z_global(self) -> float | None:
        """Significance of the run after its trials, in standard deviations: of all working points of a method in one test (`statistics.test`)."""
        return self.summary.z_global

    @property
    def p_global(self) -> float | None:
        """p-value of the run after its trials."""
        return self.summary.p_global

    def __getitem__(self, key: float | tuple[str, float]) -> HuntResult:
        method, eps = key if isinstance(key, tuple) else (self.config.methods[0], key)
        for result in self.results:
            if (result.method, result.eps_bkg) == (method, eps):
                return result
        known = ", ".join(f"{r.method} {r.eps_bkg:g}" for r in self.results)
        raise KeyError(f"no hunt of {method} at working point {eps}, expected one of {known}")

    def _one(self, key: float | tuple[str, float] | None) -> HuntResult:
        return self.best if key is None else self[key]

    def why(self, key: float | tuple[str, float] | None = None) -> Waterfall:
        """From the significance of a plain count to the global one, for `best` or a working point (or method and working point)."""
        stages = self._one(key).waterfall
        return Waterfall((*stages, *self.summary.after()) if stages and key is None else stages)

    def limit(self, key: float | tuple[str, float] | None = None) -> Limit | None:
        """95 % CLs upper limit on signal events that pass, for `best` or a working point; None where there is none (see `flags`)."""
        return self._one(key).limit

    def limit_signal(self, table: Any, **keywords: Any) -> SignalLimits:
        """Limits on a signal of one's own, from a table of its events; see `cathode.limit_signal`, whose `strengths`, `draws` and `cores` it takes."""
        from cathode.own_signal import limit_in

        spaces = {name: space.tree for name, space in self.workspaces.items()}
        return limit_in(self.config, self.events, self.results, spaces, table, **keywords)

    def full_likelihood(self, signal: Any = None, *, method: str | None = None, **keywords: Any) -> FullLikelihood:
        """Score intervals times mass bins in one likelihood; see `cathode.full_likelihood`, whose `bins` and `systematics` it takes."""
        from cathode.likelihoods import likelihood_of

        chosen = method or self.config.searches[0]
        if self.model is None or chosen not in self.scores:
            raise ConfigError(f"likelihood: found no scores of {chosen}, expected a search of a hunt that is not blind")
        return likelihood_of(
            self.events, self.scores[chosen], self.density.mass, self.results, self.summary, [self.model], signal,
            window=self.window, statistics=self.config.statistics, **keywords,
        )  # fmt: skip

    def workspace(self, measurement: str = "hunt", key: float | tuple[str, float] | None = None) -> dict[str, Any]:
        """Pyhf workspace of `best` or a working point, with `measurement` first: `hunt` tests, `yield` measures and limits a signal.

        Its signal strength is in units of sqrt(expected background) events. Raises ConfigError when blind or for another name.
        """
        name = self._one(key).name
        if name not in self.workspaces:
            raise ConfigError("workspace: there is none of a blind hunt")
        tree = self.workspaces[name].tree
        measurements = sorted(tree["measurements"], key=lambda m: bool(m["name"] != measurement))
        if measurements[0]["name"] != measurement:
            names = ", ".join(m["name"] for m in measurements)
            raise ConfigError(f"workspace: found no measurement {measurement}, expected one of {names}")
        return {**tree, "measurements": measurements}

    @property
    def selected(self) -> pd.DataFrame:
        """Events that pass the selection of `best`: input row, mass (GeV), features, score; see `select`."""
        return self.select()

    def select(self, key: float | tuple[str, float] | None = None) -> pd.DataFrame:
        """Events behind a working point, as many as were counted: input row, mass (GeV), features, score.

        A feature that is called `row`, `mass` or `score` is in `feature:row` and so on, as in the files of `selected/`.
        """
        import pandas as pd

        result = self._one(key)
        if result.name not in self.selections:
            raise ConfigError("selected: a blind hunt selects no events")
        found = self.selections[result.name]
        columns = {io.feature_column(n, type(found)): found.features[:, j] for j, n in enumerate(found.names)}
        carried = zip(found.carried, found.identifiers, strict=True)
        columns |= {io.feature_column(name, type(found), found.names): values for name, values in carried}
        return pd.DataFrame({"row": found.row, "mass": found.mass, **columns, "score": found.score})

    def apply(self, table: Any, *, cores: int | None = None) -> pd.DataFrame:
        """Scores of unseen events and what passes; see `cathode.apply`. Raises ConfigError when blind."""
        from cathode.unseen import apply_all

        if self.model is None:
            raise ConfigError("apply: a blind hunt has trained no classifiers")
        return apply_all([self.model], table, cores=cores)

    @property
    def plot(self) -> Plots:
        """Figures: `bump()`, `closure()`, `features()`, `significance()`, `spectrum()`, `mass()`, `scores()`."""
        from cathode.plots.hunt import Plots

        return Plots(self)

    def drawings(self) -> list[Drawing]:
        """Every figure of the report."""
        return self._drawings

    @cached_property
    def _drawings(self) -> list[Drawing]:
        from cathode.plots.significance import draw_summary

        return self._of_window + draw_summary(self.summary, list(self.truth), self._scans)

    @property
    def _scans(self) -> list[SpectrumScan]:
        return [self.spectrum] if self.spectrum else []

    @cached_property
    def _of_window(self) -> list[Drawing]:
        from cathode.plots.window import draw_window

        hunts = [HuntResults(tuple(h for h in self.results if h.method == m)) for m in self.scores]
        return draw_window(
            self.events,
            self.density,
            self.template,
            list(self.scores.values()),
            list(self.closures.values()),
            self.sidebands,
            hunts,
            window=self.window,
            working_points=self.config.working_points,
            statistics=self.config.statistics,
            quick=self.config.quick,
            seed=self.config.seed,
        )

    def report(self, path: str | Path) -> Path:
        """Write the report, one self-contained page."""
        return self._write_report(Path(path), {})

    @cached_property
    def _figure_files(self) -> dict[str, bytes]:
        return {name: content for drawing in self._drawings for name, content in drawing.files().items()}

    def _write_report(self, path: Path, files: dict[str, bytes]) -> Path:
        from cathode.artefacts import FigureNumbers
        from cathode.report.page import report

        numbers = [FigureNumbers(d.name, d.json(), files.get(f"{d.name}.png")) for d in self._drawings]
        io.write(report(self.summary, numbers, config=self.config), path, _MADE)
        return path

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write what a run of the workflow leaves for its readers: summary, report, plots, workspaces, events, selected ones, model.

        Raises ArtefactError for a folder that holds anything, unless `overwrite` says that files of the same names may go.
        """
        from cathode.artefacts import Figures

        target = Path(folder)
        if target.exists() and not overwrite and (not target.is_dir() or any(target.iterdir())):
            raise ArtefactError(f"{target}: is there and not empty, expected a new folder, or overwrite=True")
        io.write(Figures(self._figure_files), target / "plots", _MADE)
        for name, space in self.workspaces.items():
            io.write(space, target / "workspaces" / f"{name}.json", _MADE)
        for name, chosen in self.selections.items():
            io.write(chosen, target / "selected" / f"{name}.parquet", _MADE)
        self._write_report(target / "report.html", self._figure_files)
        io.write(self.events, target / "events.parquet", _MADE)
        if self.model is not None:
            io.write(self.model, target / self.window.name / "model.npz", _MADE)
        self.table.write(target / "scan.csv")
        io.write(self.summary, target / "summary.json", _MADE)
        return target

    @property
    def table(self) -> ScanTable:
        """Every method and working point as a table; see `ScanTable`."""
        return ScanTable.of(self.summary)

    def _rows(self) -> list[tuple[str, ...]]:
        def text(value: float | None, form: str) -> str:
            return "–" if value is None else format(value, form)

        return [
            (
                find_method(h.method).label,
                f"{h.eps_bkg:g}",
                text(h.n_obs, "d"),
                text(h.n_bkg, ".1f") + (f" ± {h.sigma.total:.1f}" if h.sigma else ""),
                text(h.z_local, ".2f"),
                text(h.limit.s_obs if h.limit else None, ".0f"),
            )
            for h in self.results
        ]

    def _verdict(self) -> str:
        from cathode.report.verdict import headline

        return f"{self.config.run}, {len(self.events)} events: {headline(self.summary, self.best)}"

    def _flags(self) -> list[str]:
        return [f"{h.name}: {flag}" for h in self.results for flag in h.flags]

    def __repr__(self) -> str:
        return "\n".join([self._verdict(), aligned([_HEAD, *self._rows()]), *(f"⚑ {flag}" for flag in self._flags())])

    def _repr_html_(self) -> str:
        def line(cells: Iterable[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

        body = "".join(line(row, "td") for row in self._rows())
        flags = "".join(f"<div>⚑ {html.escape(flag)}</div>" for flag in self._flags())
        return f"<p>{html.escape(self._verdict())}</p><table>{line(_HEAD, 'th')}{body}</table>{flags}"


_HEAD = ("method", "ε_B", "observed", "expected", "z", "95 % limit")
_MADE = io.Made("hunt", __version__, {})
