"""Settings of the density models and their ensemble."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from cathode.errors import ConfigError
from cathode.ranges import check_ranges, within
from cathode.spectrum.settings import MassSettings


@dataclass(frozen=True)
class HistogramSettings:
    """Settings of the autoregressive histogram density.

    Attributes:
        bins: histogram bins per feature; the inner ones are equally wide in the normal coordinate over
            (-half_range, half_range), the two outermost are open.
        harmonics: cosine terms of the logits over the bins.
        half_range: see `bins`.
        hidden: width of the two hidden layers of each conditional network.
        epochs: passes over the training events.
        steps: at least so many steps, by more epochs where events are few: three epochs of 20,000 events are 100 steps, too few to learn.
        draws: a training that has drawn so many events makes no further pass over them: the price of a million events is that of 333,000.
        batch: events per step.
        learning_rate: peak of the one-cycle schedule (AdamW).
        weight_decay: decoupled weight decay.
        mass_scale: factor on the standardised log mass at the input. Small values are stiff: at 0.25 the dependence on the mass
            is nearly linear, steered by where most events are, and misses the signal region's (measured on dijets).
    """

    bins: int = within(64, 4, 1024)
    harmonics: int = within(8, 1, 256)
    half_range: float = within(3.2, 1, 8)
    hidden: int = within(32, 1, 4096)
    epochs: int = within(3, 1, 10_000)
    steps: int = within(600, 0, 10_000_000)
    draws: int = within(1_000_000, 1, 1_000_000_000_000)
    batch: int = within(512, 16, 10_000_000)
    learning_rate: float = within(8e-3, 0, 1, above=True)
    weight_decay: float = within(0.1, 0, 10)
    mass_scale: float = within(1.5, 0, 10, above=True)

    def __post_init__(self) -> None:
        check_ranges(self, "background.histogram")

    def passes(self, n: int) -> int:
        """Passes over `n` training events, at least one: `epochs`, more where these make too few `steps`, fewer from so many `draws` on."""
        enough = max(self.epochs, -(-self.steps // max(1, n // self.batch)))
        return max(1, min(enough, self.draws // max(n, 1)))


@dataclass(frozen=True)
class LocationSettings:
    """Settings of the location-scale density.

    Attributes:
        degree: of the polynomials of log m.
    """

    degree: int = within(2, 1, 8)

    def __post_init__(self) -> None:
        check_ranges(self, "background.location")


@dataclass(frozen=True)
class FlowSettings:
    """Settings of a conditional flow. The defaults are the published recipe (arXiv:2109.00546, section III).

    Attributes:
        transform: `affine` (MADE blocks, a masked autoregressive flow) or `spline` (rational-quadratic).
        scaling: `logit` (published) or `gaussian`.
        blocks: autoregressive transforms, with a reversal of the features after each.
        hidden: width of each hidden layer.
        layers: hidden layers per block.
        bins: spline bins (spline only).
        batch_norm: batch normalisation between blocks, statistics recomputed over the whole training set each epoch.
        epochs: passes over the training events.
        batch: events per step.
        learning_rate: of Adam.
        weight_decay: of Adam.
        schedule: `constant` (published) or `one_cycle`.
        keep_epochs: the checkpoints with the lowest validation loss that are kept and sampled in equal shares.
        validation: share of the events that only select the checkpoints.
    """

    transform: Literal["affine", "spline"] = "affine"
    scaling: Literal["logit", "gaussian"] = "logit"
    blocks: int = within(15, 1, 100)
    hidden: int = within(128, 1, 4096)
    layers: int = within(1, 1, 16)
    bins: int = within(16, 2, 256)
    batch_norm: bool = True
    epochs: int = within(100, 1, 10_000)
    batch: int = within(256, 16, 10_000_000)
    learning_rate: float = within(1e-4, 0, 1, above=True)
    weight_decay: float = within(1e-6, 0, 10)
    schedule: Literal["constant", "one_cycle"] = "constant"
    keep_epochs: int = within(10, 1, 10_000)
    validation: float = within(0.2, 0.01, 0.9)

    def __post_init__(self) -> None:
        check_ranges(self, "background.maf, background.spline")


@dataclass(frozen=True)
class SplineSettings(FlowSettings):
    """Settings of the rational-quadratic autoregressive flow: a small one, trained in minutes."""

    transform: Literal["affine", "spline"] = "spline"
    scaling: Literal["logit", "gaussian"] = "gaussian"
    blocks: int = within(2, 1, 100)
    hidden: int = within(64, 1, 4096)
    layers: int = within(2, 1, 16)
    batch_norm: bool = False
    epochs: int = within(8, 1, 10_000)
    batch: int = within(1024, 16, 10_000_000)
    learning_rate: float = within(2e-3, 0, 1, above=True)
    schedule: Literal["constant", "one_cycle"] = "one_cycle"
    keep_epochs: int = within(1, 1, 10_000)


@dataclass(frozen=True)
class DensitySettings:
    """The background model: which density, and how large its ensemble.

    Attributes:
        model: `histogram` (autoregressive histogram density, the default), `location` (each feature's location and scale follow the mass: a
            baseline at next to no price), `maf` (the published masked autoregressive
            flow), `spline` (rational-quadratic autoregressive flow), or a density of your own: `module.Class`, or the name under
            which an installed package registers it (entry point group `cathode.densities`).
        bootstraps: Poisson(1) replicas R of the training data; their spread is the training-data uncertainty.
        seeds: initialisations K per replica; their spread is the initialisation uncertainty.
        histogram: settings of `histogram`.
        location: settings of `location`.
        maf: settings of `maf`.
        spline: settings of `spline`.
        settings: those of a density of your own, by name.
        mass: the mass spectrum.
    """

    model: str = "histogram"
    bootstraps: int = within(4, 2, 1000)
    seeds: int = within(2, 2, 1000)
    histogram: HistogramSettings = HistogramSettings()
    location: LocationSettings = LocationSettings()
    maf: FlowSettings = FlowSettings()
    spline: SplineSettings = SplineSettings()
    settings: dict[str, Any] = field(default_factory=dict)
    mass: MassSettings = MassSettings()

    def __post_init__(self) -> None:
        if self.bootstraps < 2 or self.seeds < 2:
            raise ConfigError(
                f"background: found bootstraps {self.bootstraps}, seeds {self.seeds}, expected at least 2 of each: "
                "one alone has no spread, and the training-data or initialisation uncertainty would be missing"
            )
        if self.settings and self.model in ("histogram", "location", "maf", "spline"):
            raise ConfigError(
                f"background.settings: found {', '.join(self.settings)} with background.model {self.model}, whose settings stand in "
                f"background.{self.model}"
            )
        check_ranges(self, "background")
