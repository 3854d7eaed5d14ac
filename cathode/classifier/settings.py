"""Settings of the classifiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cathode.errors import ConfigError


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

    trees: int = 40
    leaves: int = 31
    learning_rate: float = 0.1
    min_leaf: int = 100
    subsample: float = 0.8
    max_bin: int = 127


@dataclass(frozen=True)
class NetworkSettings:
    """Settings of the network; the defaults but for `epochs` and `batch` are published (arXiv:2109.00546, section III).

    Attributes:
        hidden: width of each hidden layer.
        layers: hidden layers.
        epochs: passes over the training events (published: 100).
        batch: events per step (published: 128).
        learning_rate: of Adam.
        average_epochs: epochs with the lowest validation loss whose scores are averaged.
        validation: share of the training events that only selects those epochs.
    """

    hidden: int = 64
    layers: int = 3
    epochs: int = 30
    batch: int = 512
    learning_rate: float = 1e-3
    average_epochs: int = 10
    validation: float = 0.2


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
    folds: int = 5
    members: int = 4
    splits: int = 3
    sequential_members: int = 4
    strip_width: float = 0.5
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
