"""The configuration: every room's settings composed, loaded from YAML, checked, and cut into what a step may see.

Defaults live in the rooms' settings classes; what the bundled sample adds to them is here (`_with_truth`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import typing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from cathode.classifier.methods import find_method, searches
from cathode.classifier.settings import ClassifierSettings
from cathode.density.registry import is_transportable, settings_of
from cathode.density.settings import DensitySettings
from cathode.errors import ConfigError, nearest, shown
from cathode.generator.settings import GeneratorSettings
from cathode.inference.settings import ClosureSettings
from cathode.intake.settings import DataSettings, InjectionSettings
from cathode.ranges import check_ranges, within
from cathode.regions import Interval, Window, WindowSettings
from cathode.schema import MismatchError, dump, json_schema, parse
from cathode.spectrum.settings import SpectrumSettings
from cathode.stats.settings import CalibrationSettings, StatisticsSettings
from cathode.strict_yaml import read_yaml
from cathode.template.settings import TemplateSettings

DEMO_SIGNAL = 360
_HIGHEST = 200_000  # GeV
_QUICK = "-quick"
_NO_NUMBER = ("run", "results_dir", "device", "full_paths")
_POINTLESS = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]{1,3}")
_RUN = re.compile(r"\w[\w.+-]{0,99}")


@dataclass(frozen=True)
class Config:
    """Everything a hunt is configured by. Any key left out has the default shown here.

    Attributes:
        run: name of the run; results go to <results_dir>/<run>/.
        seed: the one seed, all others derive from it.
        results_dir: output folder.
        data: where events come from and what of them is used.
        injection: how much labelled signal stays in the data.
        generator: how events are generated with data.source: pythia.
        windows: where the hunt looks.
        methods: cathode, cwola; with labels also idealised, supervised.
        background: the density of the features given the mass, and its ensemble.
        template: how background is made in the signal region.
        classifier: what is trained to find the signal.
        working_points: background efficiencies at which events are selected.
        closure: the held-out closure test.
        statistics: how counts become significances.
        spectrum: the background of the inclusive scan, where it is not fitted.
        blind: no signal-region event is used by any step.
        quick: a first look: of several windows the middle one, of several methods the first, the smallest ensembles; marked in every output and
            in a folder of its own, <run>-quick. Not for publication.
        device: auto (a GPU when there is one), cpu or cuda.
        full_paths: summary and report name files and folders as they stand here; without it, of those outside the working directory only
            the last name, so that what is mailed tells nothing of this machine.
    """

    run: str = "demo"
    seed: int = within(1, 0, 2**63 - 1)
    results_dir: str = "results"
    data: DataSettings = DataSettings()
    injection: InjectionSettings = InjectionSettings()
    generator: GeneratorSettings = GeneratorSettings()
    windows: WindowSettings = WindowSettings()
    methods: tuple[str, ...] = ("cathode", "cwola")
    background: DensitySettings = DensitySettings()
    template: TemplateSettings = TemplateSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    working_points: tuple[float, ...] = (0.1, 0.01, 0.001)
    closure: ClosureSettings = ClosureSettings()
    statistics: StatisticsSettings = field(default_factory=StatisticsSettings)
    spectrum: SpectrumSettings = SpectrumSettings()
    blind: bool = False
    quick: bool = False
    device: typing.Literal["auto", "cpu", "cuda"] = "auto"
    full_paths: bool = False

    def __post_init__(self) -> None:
        if not _RUN.fullmatch(self.run):
            raise ConfigError(
                f"run: found {shown(self.run)}, expected a name of letters, digits, _ . + and -, not beginning with . + or -"
            )
        if not self.results_dir.strip() or any(c in "{}" or not c.isprintable() for c in self.results_dir):
            raise ConfigError(
                f"results_dir: found {shown(self.results_dir)}, expected a folder without braces (Snakemake's placeholders) and control characters"
            )
        for eps in self.working_points:
            if not 0 < eps < 1:
                raise ConfigError(f"working_points: found {eps:g}, expected numbers strictly between 0 and 1")
        if not self.working_points or len({f"{eps:g}" for eps in self.working_points}) < len(self.working_points):
            raise ConfigError(
                "working_points: expected at least one, none repeated in six digits, by which their files are named"
            )
        for method in self.methods:
            if find_method(method).uses_labels and self.data.label is None:
                raise ConfigError(f"methods: {method} needs truth labels, expected data.label to name their column")
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise ConfigError("methods: expected at least one, none repeated")
        if self.injection.n_signal is not None and self.data.label is None:
            raise ConfigError("injection.n_signal: needs truth labels, expected data.label to name their column")
        if self.data.mass_unit == "TeV" and self.mass_range[1] > _HIGHEST:
            raise ConfigError(
                f"windows.range: found masses up to {self.windows.range[1]:g} TeV, more than any collider's; is data.mass_unit GeV?"
            )
        if self.statistics.sqrt_s <= min(self.mass_range[0], 1000):
            raise ConfigError(
                f"statistics.sqrt_s: found {self.statistics.sqrt_s:g} GeV, below all masses; expected the collision energy in GeV, as 13000"
            )
        if self.data.weight is not None and self.statistics.luminosity is not None:
            raise ConfigError(
                "statistics.luminosity: found with data.weight; limits on a cross-section need the efficiency of unweighted events, expected one of them"
            )
        settings_of(self.background.model, self.background)
        if self.template.base == "sidebands" and not is_transportable(self.background.model):
            raise ConfigError(
                f"background.model: {self.background.model} has no encode and decode, which template.base: sidebands needs; "
                "expected template.base: model"
            )
        check_ranges(self, "")

    @property
    def searches(self) -> list[str]:
        """The methods that use no labels."""
        return searches(self.methods)

    @property
    def density_model(self) -> str:
        """Name of the density; what a step must know to read one."""
        return self.background.model

    @property
    def regions(self) -> dict[str, Window]:
        """Windows by name, in GeV. When blind, every window hides the signal regions of all others, too."""
        windows = self.windows.windows(self.data.unit)
        if self.blind:
            hidden = tuple(w.signal for w in windows.values())
            windows = {name: dataclasses.replace(w, hidden=hidden) for name, w in windows.items()}
        return dict([list(windows.items())[len(windows) // 2]]) if self.quick else windows

    @property
    def mass_range(self) -> Interval:
        """The mass range in GeV."""
        low, high = self.windows.range
        return low * self.data.unit, high * self.data.unit

    @property
    def blinded(self) -> tuple[Interval, ...]:
        """Intervals (GeV) whose events are dropped at intake: all signal regions when blind, else none."""
        return tuple(w.signal for w in self.windows.windows(self.data.unit).values()) if self.blind else ()

    @property
    def calibration(self) -> CalibrationSettings:
        """The pseudo-experiments; a section of its own for steps, so that changing them reruns no hunt."""
        return self.statistics.calibration

    @property
    def simulation(self) -> GeneratorSettings:
        """What one chunk of generated events depends on: not how many of them there are."""
        fresh = GeneratorSettings()
        return dataclasses.replace(self.generator, n_background=fresh.n_background, n_signal=fresh.n_signal)

    @property
    def generated_folder(self) -> str:
        """Where generated events go; runs with the same simulation share them."""
        tree = json.dumps(dump(GeneratorSettings, self.simulation), sort_keys=True)
        return f"{self._results}/generated/{hashlib.sha256(tree.encode()).hexdigest()[:12]}"

    @property
    def folder(self) -> str:
        """Where the results of this run go."""
        return f"{self._results}/{self.run}" if self._results != "." else self.run

    @property
    def _results(self) -> str:
        """`results_dir` without `~`, doubled slashes, or a leading dash that a command would take for an option."""
        path = str(Path(self.results_dir).expanduser())
        return f"./{path}" if path.startswith("-") else path

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, defaults included."""
        return typing.cast(dict[str, Any], dump(Config, self))

    def published(self) -> dict[str, Any]:
        """The same for files that are handed on: without `full_paths`, of paths out of the working directory the last name only."""
        return self.as_dict() if self.full_paths else publish_paths(self.as_dict())

    def sha256(self) -> str:
        """Checksum of everything that can change a number (not where files and results are, or on what device)."""
        tree = {k: v for k, v in publish_paths(self.as_dict()).items() if k not in _NO_NUMBER}
        return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def load_config(source: str | Path | dict[str, Any] | None = None, *, quick: bool = False) -> Config:
    """Config from a YAML file, a mapping, or nothing (all defaults), `quick` whatever it says. Raises ConfigError with file and key."""
    where, tree = "configuration", source
    if isinstance(source, str | Path):
        where, tree = str(source), read_yaml(source)
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise ConfigError(f"{where}: found {type(tree).__name__}, expected keys and values")
    if quick:
        tree = tree | {"quick": True}
    config = typing.cast(Config, validate(Config, _with_truth(_with_numbers(tree)), where))
    return _quickened(config) if config.quick else config


def _quickened(config: Config) -> Config:
    """The configuration of a first look. Fewer fold splits average less, so that counts scatter more than Poisson."""
    c = config
    overdispersion = c.statistics.overdispersion
    return dataclasses.replace(
        c,
        run=c.run if c.run.endswith(_QUICK) else c.run + _QUICK,
        methods=c.methods[:1],
        background=dataclasses.replace(c.background, bootstraps=2, seeds=2),
        classifier=dataclasses.replace(c.classifier, splits=1, sequential_members=0),
        closure=dataclasses.replace(c.closure, windows=min(c.closure.windows, 6), per_job=3, bootstraps=2, seeds=2),
        statistics=dataclasses.replace(
            c.statistics, overdispersion=1.2 if overdispersion == "calibrated" else max(overdispersion, 1.2)
        ),
    )


def _with_numbers(value: typing.Any) -> typing.Any:
    """The tree with `1e-1`, which YAML's version 1.1 takes for text for want of a point, as the number that it is."""
    if isinstance(value, dict):
        return {key: _with_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_numbers(inner) for inner in value]
    return float(value) if isinstance(value, str) and _POINTLESS.fullmatch(value) else value


def _with_truth(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with the label of the sources that know the truth, and the signal that the bundled sample keeps."""
    tree, data = dict(tree), tree.get("data")
    source = data.get("source", "demo") if isinstance(data, dict) else "demo" if data is None else None
    if source in ("demo", "pythia"):
        tree["data"] = {"label": "label"} | {k: v for k, v in (data or {}).items() if v is not None or k != "label"}
    if source == "demo":
        injection = tree.get("injection")
        if injection is None or (isinstance(injection, dict) and injection.get("n_signal") is None):
            tree["injection"] = (injection or {}) | {"n_signal": DEMO_SIGNAL}
    return tree


def validate(kind: Any, tree: Any, where: str) -> Any:
    """An object of settings class `kind` from plain values; unknown keys, wrong types and impossible values are ConfigErrors."""
    try:
        return parse(kind, tree)
    except (ConfigError, MismatchError) as error:
        raise ConfigError(f"{where}: {error}") from error


def config_schema() -> dict[str, Any]:
    """JSON schema of the configuration file, for editors."""
    return json_schema(Config, "cathode configuration")


def publish_paths(sections: dict[str, Any]) -> dict[str, Any]:
    """Plain sections in which no folder of this machine is named: files are known by their content, not by where they are."""
    out = dict(sections)
    if "config" in out:
        out["config"] = publish_paths(out["config"])
    if "results_dir" in out:
        out["results_dir"] = _by_name(out["results_dir"])
    if "data" in out:
        data = out["data"]
        out["data"] = data | {
            "files": [_by_name(path) for path in data["files"]],
            "cache": data["cache"] and _by_name(data["cache"]),
        }
    if "spectrum" in out:
        given = out["spectrum"]
        out["spectrum"] = {
            "reference_files": [_by_name(path) for path in given["reference_files"]],
            "reference_weight": given["reference_weight"],
            "reference_histogram": given["reference_histogram"] and _by_name(given["reference_histogram"]),
        }
    return out


def _by_name(path: str) -> str:
    leads_out = Path(path).is_absolute() or path.startswith("~") or ".." in Path(path).parts
    return Path(path).name if leads_out else path


def dump_sections(config: Config, names: typing.Iterable[str], window: str | None = None) -> dict[str, Any]:
    """Plain values of the named sections; `window` is resolved to the one region of that name."""
    out = {}
    for name in sorted(names):
        special = {
            "window": window and config.regions.get(window),
            "regions": tuple(config.regions.values()),
            "config": config,
            "statistics": dataclasses.replace(config.statistics, calibration=CalibrationSettings()),
        }
        value = special[name] if name in special else getattr(config, name)
        out[name] = dump(_section_kinds()[name], value)
    return out


@lru_cache
def _section_kinds() -> dict[str, Any]:
    """Types of everything a step can declare: the sections of the configuration and what is derived from them."""
    return typing.get_type_hints(Config) | {
        "config": Config,
        "window": Window,
        "regions": tuple[Window, ...],
        "calibration": CalibrationSettings,
        "simulation": GeneratorSettings,
        "mass_range": Interval,
        "blinded": tuple[Interval, ...],
        "density_model": str,
    }


def load_section(name: str, value: Any) -> Any:
    """The inverse of `dump_sections` for one section."""
    kinds = _section_kinds()
    if name not in kinds:
        raise ConfigError(f"--config: unknown section {name}{nearest(name, kinds)}")
    return validate(kinds[name], value, f"--config: {name}")
