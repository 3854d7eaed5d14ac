"""Settings of the data intake."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from cathode.errors import ConfigError, shown
from cathode.ranges import check_ranges, within

UNITS = {"GeV": 1.0, "TeV": 1000.0, "MeV": 0.001}  # in GeV


def is_safe_address(url: str) -> bool:
    """Whether an address is one of https, or of a server on this machine."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1"))
        )
    except ValueError:
        return False


@dataclass(frozen=True)
class DataSettings:
    """Where events come from and what of them is used.

    Attributes:
        source: `demo` (bundled simulation), `files` (yours), `lhco` (official LHC Olympics files, fetched once),
            `pythia` (generated here, as the section `generator` says); `memory` is what `cathode.hunt` was given.
        files: paths relative to the working directory, in any order (rows count through them by name), with `~`, `$VAR` and patterns (`*`, `?`, `[ab]`, `**`); folders of Parquet files;
            `file.root:tree`.
        format: `lhco` (15-column LHC Olympics table), `table` (any other), or `auto`.
        key: HDF5 key or group, or ROOT tree, where a file has several.
        mass: column of the resonant variable; one element of a vector, here and among the features, is `Muon_pt[0]`.
        mass_unit: its unit.
        features: columns the models see; never the mass itself.
        define: new columns from old ones and from each other, by name, in any order: `{tau21: "tau2 / (tau1 + 1e-5)"}`. Everything counts as
            64-bit floats. + - * / // % ** and comparisons; `and`, `or`, `not` (`&`, `|`, `~` on comparisons in parentheses); abs, sqrt, exp,
            expm1, log, log10, log1p, floor, ceil, sin, cos, tan, arcsin, arccos, arctan, arctan2, sinh, cosh, tanh, arcsinh, arccosh,
            arctanh, hypot, minimum, maximum (or min, max, of two), isnan, isfinite, where; pi. `jet.pt` and `Muon_pt[0]`
            are names; other names that are none of Python stand in backticks.
        select: such an expression that is true or false; events for which it is not true are dropped.
        sets: `lhco`: `rd` (R&D, two-prong signal), `rd_qqq` (three-prong signal), `qcd_extra` (background), `black_box_1` to `_3`
            (particles, clustered once: twenty minutes of CPU for a million events; extra `cathode[simulate]`); one or several.
        cache: `lhco`: folder that keeps the files; null: `cathode` in the user's cache folder.
        archive: `lhco`: where they are fetched.
        label: truth column (0 background, 1 signal), for evaluation, injection and reference classifiers only.
        weight: column of event weights (a generator's, prescales), none negative. An event is kept with the probability of its weight over the
            largest, by seed, so that what is kept is an unweighted sample with Poisson counts and every formula holds; a few large weights
            cost most events. Yields count kept events, each of which stands for the largest weight.
        identifiers: columns that no model sees and that go with the events into `selected/`, as run, lumi and event; whole numbers of any size.
        discrete: features that take few values, as counts do. A density cannot describe these, so every value is spread evenly over the
            space to its neighbours, by seed; the spread values are what models see and what `selected/` holds.
        allow_duplicates: share of the events kept that may repeat an earlier one exactly; more is an error: one that counts twice makes errors
            too small.
        allow_loss: share of the events read that `select` and `windows.range` may drop; more is an error. What went is always said.
    """

    source: Literal["demo", "files", "lhco", "pythia", "memory"] = "demo"
    files: tuple[str, ...] = ()
    format: Literal["auto", "lhco", "table"] = "auto"
    key: str | None = None
    mass: str = "mjj"
    mass_unit: Literal["GeV", "TeV", "MeV"] = "GeV"
    features: tuple[str, ...] = ("mj1", "delta_mj", "tau21_j1", "tau21_j2")
    define: dict[str, str] = field(default_factory=dict)
    select: str | None = None
    sets: tuple[Literal["rd", "rd_qqq", "qcd_extra", "black_box_1", "black_box_2", "black_box_3"], ...] = ("rd",)
    cache: str | None = None
    archive: str = "https://zenodo.org"
    label: str | None = None
    weight: str | None = None
    identifiers: tuple[str, ...] = ()
    discrete: tuple[str, ...] = ()
    allow_duplicates: float = within(0.05, 0, 1)
    allow_loss: float = within(0.98, 0, 1)

    def __post_init__(self) -> None:
        if self.source == "files" and not self.files:
            raise ConfigError("data.files: found none, expected at least one path with data.source: files")
        if self.source != "files" and self.files:
            raise ConfigError(f"data.files: found paths with data.source: {self.source}, expected data.source: files")
        if self.source == "lhco" and (not self.sets or len(set(self.sets)) < len(self.sets)):
            raise ConfigError(
                "data.sets: expected one or several of rd, rd_qqq, qcd_extra, black_box_1, black_box_2, black_box_3, each once"
            )
        if not is_safe_address(self.archive):
            raise ConfigError(
                f"data.archive: found {shown(self.archive)}, expected an address that starts with https://"
            )
        if not self.features:
            raise ConfigError("data.features: found none, expected at least one column")
        for where, name in (
            ("mass", self.mass),
            ("label", self.label),
            ("weight", self.weight),
            *(("features", f) for f in self.features),
        ):
            if name == "":
                raise ConfigError(f"data.{where}: found an empty name, expected that of a column")
        check_ranges(self, "data")
        if len(set(self.identifiers)) < len(self.identifiers):
            raise ConfigError(f"data.identifiers: found a repeated column in {', '.join(self.identifiers)}")
        if odd := [name for name in self.discrete if name not in self.features]:
            raise ConfigError(f"data.discrete: found {odd[0]}, expected features ({', '.join(self.features)})")
        if len(set(self.features)) < len(self.features):
            raise ConfigError(f"data.features: found a repeated column in {', '.join(self.features)}")
        for name, what in ((self.mass, "the mass"), (self.label, "the label"), (self.weight, "the weight")):
            if name in self.features:
                raise ConfigError(f"data.features: found {name}, which is {what}, expected columns other than it")

    @property
    def unit(self) -> float:
        """One input mass unit in GeV."""
        return UNITS[self.mass_unit]


@dataclass(frozen=True)
class InjectionSettings:
    """How much labelled signal stays in the data.

    Attributes:
        n_signal: signal events kept, drawn by seed; null keeps the file as it is (the demo then keeps 360 of its 10,000).
    """

    n_signal: int | None = within(None, 0, 1_000_000_000)

    def __post_init__(self) -> None:
        if self.n_signal is not None and self.n_signal < 0:
            raise ConfigError(f"injection.n_signal: found {self.n_signal}, expected 0 or more")
        check_ranges(self, "injection")
