"""Result containers that leave the analysis: plain values, ready for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cathode.background import BackgroundEstimate
from cathode.closure import ClosurePoint
from cathode.counts import PassingCounts


@dataclass(frozen=True)
class Estimates:
    """Background estimates of one window and method, one per working point."""

    window: str
    interval: tuple[float, float]
    method: str
    points: tuple[BackgroundEstimate, ...]


@dataclass(frozen=True)
class Hunts:
    """Entries of `hunts` in summary.json for one window and method, `truth` left null."""

    entries: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Truth:
    """Evaluation of one window and method with labels; empty when there are none.

    Attributes:
        window, method: what was evaluated.
        entries: the `truth` object of each working point.
        eps_bkg, eps_sig: points of the ROC curve.
        sic_floor: background efficiency below which fewer than 25 background events remain.
    """

    window: str
    method: str
    entries: tuple[dict[str, float | int | None], ...]
    eps_bkg: tuple[float, ...]
    eps_sig: tuple[float, ...]
    sic_floor: float


@dataclass(frozen=True)
class Selected:
    """Events that pass a selection.

    Attributes:
        names: feature names.
        row: (n,) row in the input; mass (n,) GeV; features (n, d); score (n,): -log10 of the background efficiency at which
            the event just passes, out of fold.
    """

    names: tuple[str, ...]
    row: NDArray[np.int64]
    mass: NDArray[np.float64]
    features: NDArray[np.float64]
    score: NDArray[np.float64]


@dataclass(frozen=True)
class PseudoExperiment:
    """One pseudo-experiment of one method: everything that significances are computed from, before any of it is combined.

    Attributes:
        toy: number of the background; strength: injected signal in units of sqrt(B), None without.
        method: cathode or cwola; n_bootstraps, n_seeds: layout of its density members.
        counts, closure: per working point.
        n_expected, n_expected_error: background in the signal region before the selection, from the sidebands' mass fit.
        n_signal: injected events in the signal region; n_signal_passing: those that pass, per working point.
    """

    toy: int
    strength: float | None
    method: str
    n_bootstraps: int
    n_seeds: int
    counts: tuple[PassingCounts, ...]
    closure: tuple[ClosurePoint, ...]
    n_expected: float
    n_expected_error: float
    n_signal: int
    n_signal_passing: tuple[float, ...]


@dataclass(frozen=True)
class PseudoExperiments:
    """A batch of them."""

    window: str
    experiments: tuple[PseudoExperiment, ...]


@dataclass(frozen=True)
class Json:
    """A JSON document with a format of its own (pyhf workspace, summary)."""

    tree: Any


@dataclass(frozen=True)
class Page:
    """An HTML page."""

    text: str


@dataclass(frozen=True)
class Figures:
    """Figure files by name: the content of PDF, PNG and the JSON they were drawn from."""

    files: dict[str, bytes]


@dataclass(frozen=True)
class Picture:
    """A PNG file for the report."""

    name: str
    content: bytes
