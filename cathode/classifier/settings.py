"""Settings of the classifiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cathode.errors import ConfigError
from cathode.ranges import check_ranges, within


@dataclass(frozen=True)
class TreeSettings:
    """Settings of one boosted ensemble; the names are LightGBM's where it has one.

    Attributes:
        trees: boosting rounds.
        leaves: leaves per tree.
        learning_rate: shrinkage.
        min_leaf: training events per leaf, at least.
        subsample: share of the events drawn for each tree.
        max_bin: histogram bins per feature.
    """

    trees: int = within(40, 1, 10_000)
    leaves: int = within(31, 2, 1024)
    learning_rate: float = within(0.1, 0, 1, above=True)
    min_leaf: int = within(100, 1, 1_000_000)
    subsample: float = within(0.8, 0, 1, above=True)
    max_bin: int = within(127, 2, 1024)

    def __post_init__(self) -> None:
        check_ranges(self, "classifier.boosted_trees")


@dataclass(frozen=True)
class NetworkSettings:
    """Settings of the network.

    Attributes:
        bins: quantile bins per feature, in which it is piecewise linear.
        hidden: width of each hidden layer.
        layers: hidden layers.
        epochs: passes over the training events.
        batch: events per step.
        learning_rate: largest step size of the schedule.
        weight_decay: of AdamW.
    """

    bins: int = within(32, 1, 4096)
    hidden: int = within(64, 1, 4096)
    layers: int = within(3, 1, 16)
    epochs: int = within(6, 1, 10_000)
    batch: int = within(1024, 16, 10_000_000)
    learning_rate: float = within(3e-3, 0, 1, above=True)
    weight_decay: float = within(0.1, 0, 100)

    def __post_init__(self) -> None:
        check_ranges(self, "classifier.network")


@dataclass(frozen=True)
class ClassifierSettings:
    """Which classifier, how many folds, how many members are averaged.

    Attributes:
        model: `boosted_trees` or `network`.
        folds: k; an event is scored only by members that were not trained on its fold.
        members: classifiers averaged per fold and split.
        splits: fold splits, each with classifiers of its own, over which counts are averaged. Where a classifier finds nothing
            real, another split selects other events, and the average scatters half as much as a single count; where it
            finds something, all splits select the same.
        sequential_members: classifiers per fold of the sequential cross-check (first split only); 0 leaves it out.
        strip_width: CWoLa's reference strips on either side, in widths of the signal region.
        boosted_trees: settings of `boosted_trees`.
        network: settings of `network`.
    """

    model: Literal["boosted_trees", "network"] = "boosted_trees"
    folds: int = within(5, 2, 100)
    members: int = within(4, 4, 1000)
    splits: int = within(3, 1, 100)
    sequential_members: int = within(4, 0, 1000)
    strip_width: float = within(0.5, 0, 10, above=True)
    boosted_trees: TreeSettings = TreeSettings()
    network: NetworkSettings = NetworkSettings()

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"classifier.folds: found {self.folds}, expected at least 2")
        if self.members < 4:
            raise ConfigError(f"classifier.members: found {self.members}, expected at least 4 (two per half ensemble)")
        if self.splits < 1:
            raise ConfigError(f"classifier.splits: found {self.splits}, expected at least 1")
        if self.sequential_members != 0 and self.sequential_members < 4:
            raise ConfigError(
                f"classifier.sequential_members: found {self.sequential_members}, expected 0 or at least 4"
            )
        check_ranges(self, "classifier")
