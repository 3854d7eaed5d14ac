"""A method of the hunt: a choice of what is classified against what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cathode.classifier.scores import MethodScores
from cathode.classifier.settings import ClassifierSettings
from cathode.events import Events, Labels, Template
from cathode.regions import Window

Progress = Callable[[int, int], None]


class ScoreFunction(Protocol):
    """Trains classifiers on the events of a window and scores them out of fold, once per fold split.

    `events` are all of the range. A method takes of the rest what it needs: `template` the background made for the window, `labels`
    the truth of `events`, `spare` labelled signal that took no part. `checks`: also score recorded sideband events and, sequentially, all others.
    """

    def __call__(
        self,
        events: Events,
        window: Window,
        settings: ClassifierSettings,
        *,
        template: Template | None,
        labels: Labels | None,
        spare: Events | None,
        seed: int,
        device: str,
        checks: bool,
        progress: Progress | None,
    ) -> MethodScores:
        """Scores of one window."""


@dataclass(frozen=True)
class Method:
    """A method, and all that others must know of it.

    Attributes:
        name: in the configuration, in paths and in results: letters, digits and underscores.
        label: in figures and tables.
        colour: in figures.
        reference: what the other class is called in figures.
        score: trains and scores.
        needs_template: whether the other class is a template.
        uses_labels: whether it needs truth: a yardstick then, never a search, without closure and limits.
    """

    name: str
    label: str
    colour: str
    reference: str
    score: ScoreFunction
    needs_template: bool = False
    uses_labels: bool = False
