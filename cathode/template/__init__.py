"""Background templates: density models p(x | m), the mass spectrum, and samples from both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cathode.errors import ConfigError, FitError
from cathode.regions import Window, in_interval
from cathode.seeds import derive_seed
from cathode.template.flows import SPLINE_SETTINGS, FlowDensity, FlowSettings
from cathode.template.histogram import HistogramDensity, HistogramSettings, Progress
from cathode.template.mass import MassModel, MassSettings

Array = NDArray[np.float64]
Density = HistogramDensity | FlowDensity

LEAST_SOURCES = 100


@dataclass(frozen=True)
class BackgroundSettings:
    """The background model: which density, how large its ensemble, and how much is sampled from it.

    Attributes:
        model: `histogram` (autoregressive histogram density, the default), `maf` (the published masked autoregressive
            flow) or `spline` (rational-quadratic autoregressive flow).
        bootstraps: Poisson(1) replicas R of the training data; their spread is the training-data uncertainty.
        seeds: initialisations K per replica; their spread is the initialisation uncertainty.
        histogram, maf, spline: settings of each model; mass: of the mass spectrum.
    """

    model: Literal["histogram", "maf", "spline"] = "histogram"
    bootstraps: int = 10
    seeds: int = 2
    histogram: HistogramSettings = HistogramSettings()
    maf: FlowSettings = FlowSettings()
    spline: FlowSettings = SPLINE_SETTINGS
    mass: MassSettings = MassSettings()

    def __post_init__(self) -> None:
        if self.bootstraps < 2 or self.seeds < 2:
            raise ConfigError(
                f"background: found bootstraps {self.bootstraps}, seeds {self.seeds}, expected at least 2 of each: "
                "one alone has no spread, and the training-data or initialisation uncertainty would be missing"
            )


@dataclass(frozen=True)
class TemplateSettings:
    """How the template is made from the background model.

    Attributes:
        base: `sidebands` transports recorded sideband events into the signal region: each is encoded by the density at
            its own mass and decoded at a mass of the signal region. What the density gets wrong at all masses alike
            cancels, and only its change with mass is interpolated. `model` samples the density from scratch, as published.
        guard: `sidebands`: how near to the signal region no events are taken, in its widths: a signal's tails there pose as background,
            which costs efficiency and biases its measurement. Pseudo signal regions of the closure test need none.
        span: `sidebands`: how far beyond the guard events are taken, in widths of the signal region.
        measured: `sidebands`: at most so many of the recorded events, drawn by seed, set thresholds and measure efficiencies (all train
            classifiers); every density member makes a copy of each.
        oversampling: `model`: template events for classifier training, per event in the signal region.
        efficiency_oversampling: `model`: separate events that set thresholds and measure efficiencies, likewise.
        reweight: `none`, or `dctr`: weights from a classifier between recorded and generated sideband events.
    """

    base: Literal["sidebands", "model"] = "sidebands"
    guard: float = 0.5
    span: float = 1.5
    measured: int = 200_000
    oversampling: float = 4.0
    efficiency_oversampling: float = 50.0
    reweight: Literal["none", "dctr"] = "none"

    def __post_init__(self) -> None:
        if self.span <= 0:
            raise ConfigError(f"template.span: found {self.span:g}, expected a positive number of widths")
        if self.guard < 0:
            raise ConfigError(f"template.guard: found {self.guard:g}, expected 0 or more")
        if self.measured < LEAST_SOURCES:
            raise ConfigError(f"template.measured: found {self.measured}, expected at least {LEAST_SOURCES}")
        if self.oversampling < 1 or self.efficiency_oversampling < 4:
            raise ConfigError("template: expected oversampling >= 1 and efficiency_oversampling >= 4")

    def near(self, window: Window, mass: Array) -> NDArray[np.bool_]:
        """Visible sideband events of `mass (n,)` up to the outer end of `span`, the guard included."""
        return window.in_sideband(mass) & in_interval(mass, window.reach(self.guard + self.span))

    def sources(self, window: Window, mass: Array) -> NDArray[np.bool_]:
        """Those of `near` that are transported: all beyond the guard."""
        return self.near(window, mass) & ~in_interval(mass, window.reach(self.guard))


@dataclass(frozen=True)
class DensityEnsemble:
    """R x K density models of one window and its mass model.

    Attributes:
        density: the members, ordered (replica, initialisation): member = replica * n_seeds + initialisation.
        n_bootstraps, n_seeds: R and K.
        mass: mass spectrum in the signal region.
    """

    density: Density
    n_bootstraps: int
    n_seeds: int
    mass: MassModel


@dataclass(frozen=True)
class Template:
    """Background in the signal region.

    Attributes:
        names: feature names.
        mass: (n,) GeV.
        features: (n, d).
        member: (n,) density member that made the event.
        part: (n,) 0 classifier training, 1 thresholds, 2 efficiencies, 3 thresholds and efficiencies.
        source: (n,) index of the recorded event behind it; without one, a number of its own. Events of one source are
            not independent: a classifier that is trained on some may not measure others.
        row: (n,) input row of that recorded event; -1 without one.
        transported: whether events have recorded sources.
        weight: (n,) event weights.
        n_bootstraps, n_seeds: layout of the members.
    """

    names: tuple[str, ...]
    mass: Array
    features: Array
    member: NDArray[np.integer]
    part: NDArray[np.integer]
    source: NDArray[np.integer]
    row: NDArray[np.integer]
    weight: Array
    transported: bool = False
    n_bootstraps: int = field(default=1)
    n_seeds: int = field(default=1)


def bootstrap_weights(n: int, n_bootstraps: int, n_seeds: int, *, seed: int) -> NDArray[np.uint8]:
    """Poisson(1) event weights `(R K, n)`, one draw per replica, repeated for its initialisations."""
    rng = np.random.default_rng(seed)
    return np.repeat([rng.poisson(1.0, n).astype(np.uint8) for _ in range(n_bootstraps)], n_seeds, axis=0)


def fit_ensemble(
    x: Array,
    mass: Array,
    window: Window,
    settings: BackgroundSettings,
    *,
    bootstraps: int,
    seeds: int,
    seed: int,
    device: str = "cpu",
    progress: Progress | None = None,
) -> DensityEnsemble:
    """Fit `bootstraps * seeds` members on the visible sideband events of `x (n, d)`, `mass (n,)`, and the mass model."""
    visible = window.in_sideband(mass)
    weights = bootstrap_weights(int(visible.sum()), bootstraps, seeds, seed=derive_seed(seed, "bootstrap"))
    member_seeds = [derive_seed(seed, "member", e) for e in range(bootstraps * seeds)]
    args = (x[visible], mass[visible], weights, member_seeds)
    density: Density
    if settings.model == "histogram":
        density = HistogramDensity.fit(settings.histogram, *args, device=device, progress=progress)
    else:
        flow = settings.maf if settings.model == "maf" else settings.spline
        density = FlowDensity.fit(flow, *args, device=device, progress=progress)
    return DensityEnsemble(density, bootstraps, seeds, MassModel.fit(mass, window, settings.mass))


def sample_template(
    ensemble: DensityEnsemble, names: Sequence[str], window: Window, *, n_train: int, n_efficiency: int, seed: int
) -> Template:
    """Sample `n_train` training and `n_efficiency` further events, in equal shares from every member.

    Of the further events of each member, all where `window` counts, the first fifth sets thresholds and the rest measures
    efficiencies.
    """
    n_members = ensemble.density.n_members
    train, further = -(-n_train // n_members), -(-n_efficiency // n_members)
    threshold = further // 5
    masses, features, members, parts = [], [], [], []
    for e in range(n_members):
        m = np.concatenate(
            [
                ensemble.mass.sample(train, seed=derive_seed(seed, "mass", e)),
                ensemble.mass.sample(further, seed=derive_seed(seed, "mass", e, 3), interval=window.counting),
            ]
        )
        masses.append(m)
        features.append(ensemble.density.sample(m, member=e, seed=derive_seed(seed, "features", e)))
        members.append(np.full(len(m), e, dtype=np.int16))
        parts.append(np.repeat(np.array([0, 1, 2], dtype=np.int8), [train, threshold, further - threshold]))
    return Template(
        tuple(names),
        np.concatenate(masses),
        np.concatenate(features),
        np.concatenate(members),
        np.concatenate(parts),
        np.arange(n_members * (train + further), dtype=np.int32),
        np.full(n_members * (train + further), -1, dtype=np.int64),
        np.ones(n_members * (train + further)),
        False,
        ensemble.n_bootstraps,
        ensemble.n_seeds,
    )


def transport_template(
    ensemble: DensityEnsemble,
    names: Sequence[str],
    x: Array,
    mass: Array,
    row: NDArray[np.integer],
    window: Window,
    settings: TemplateSettings,
    *,
    seed: int,
) -> Template:
    """Move the sideband events that `settings` takes into the signal region of `window`, once by every member.

    An event at mass m becomes decode(encode(x, m), m') with m' drawn from the interpolated mass spectrum. One copy of
    each event, by a random member, trains classifiers (part 0); one copy by every member of at most `settings.measured` events,
    where `window` counts, sets thresholds and measures efficiencies (part 3). Related: CURTAINs, arXiv:2203.09470; FETA,
    arXiv:2212.11285.
    """
    base = np.flatnonzero(settings.sources(window, mass))
    if len(base) < LEAST_SOURCES:
        raise FitError(
            f"window {window.name}: found {len(base)} sideband events between template.guard ({settings.guard:g}) and template.span "
            f"({settings.span:g}) widths beyond it, expected at least {LEAST_SOURCES}"
        )
    n, n_members = len(base), ensemble.density.n_members
    trains = np.random.default_rng(derive_seed(seed, "training copies")).integers(0, n_members, n)
    measures = np.ones(n, dtype=bool)
    if n > settings.measured:
        measures[:] = False
        measures[np.random.default_rng(derive_seed(seed, "measured")).choice(n, settings.measured, replace=False)] = (
            True
        )
    masses, features, members, parts, sources = [], [], [], [], []
    for e in range(n_members):
        used = np.flatnonzero(measures | (trains == e))
        z = ensemble.density.encode(x[base[used]], mass[base[used]], member=e)
        for part, taken, where in ((3, measures[used], window.counting), (0, trains[used] == e, window.signal)):
            chosen = used[taken]
            m = ensemble.mass.sample(n, seed=derive_seed(seed, "mass", e, part), interval=where)[chosen]
            masses.append(m)
            features.append(ensemble.density.decode(z[taken], m, member=e))
            members.append(np.full(len(m), e, dtype=np.int16))
            parts.append(np.full(len(m), part, dtype=np.int8))
            sources.append(chosen.astype(np.int32))
    return Template(
        tuple(names),
        np.concatenate(masses),
        np.concatenate(features),
        np.concatenate(members),
        np.concatenate(parts),
        np.concatenate(sources),
        row[base[np.concatenate(sources)]],
        np.ones(sum(map(len, sources))),
        True,
        ensemble.n_bootstraps,
        ensemble.n_seeds,
    )
