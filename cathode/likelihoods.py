"""The full likelihood of a hunt, score intervals times mass bins: in a notebook, or of a finished run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from cathode import io
from cathode.classifier.scores import MethodScores
from cathode.columns import aligned
from cathode.config import load_config
from cathode.density.ensemble import DensityEnsemble
from cathode.errors import ArtefactError, ConfigError
from cathode.events import Events
from cathode.inference.model import Model
from cathode.inference.shapes import PassingSignal, window_likelihood
from cathode.regions import Window
from cathode.results import HuntResult, Limit
from cathode.spectrum.sideband_model import MassModel
from cathode.stats.likelihood import Pull, pulls
from cathode.stats.settings import StatisticsSettings, check_systematics
from cathode.stats.workspace import signal_events, upper_limit, z_pyhf
from cathode.summary import Summary
from cathode.unseen import apply_all, read_models

_SHOWN = 8  # nuisances


@dataclass(frozen=True, kw_only=True, repr=False)
class FullLikelihood:
    """The full likelihood of one window and method; prints itself.

    Attributes:
        window: name.
        method: name.
        signal: what it looks for, in words.
        workspace: for pyhf and cabinetry; measurements `hunt` and `yield`.
        z: significance, asymptotic.
        z_counts: that of all working points in one test, without the mass; None where a run has none.
    """

    window: str
    method: str
    signal: str
    workspace: dict[str, Any]
    z: float
    z_counts: float | None

    @cached_property
    def limit(self) -> Limit:
        """95 % CLs upper limit on signal events behind the loosest working point: observed, and expected at -2 .. 2 standard deviations. Some twenty fits."""
        observed, expected = upper_limit(self.workspace)
        return Limit(s_obs=observed, s_exp=expected)

    @cached_property
    def pulls(self) -> tuple[Pull, ...]:
        """Pulls of all nuisances and their impacts on the signal's events, the largest first. Two fits each."""
        return pulls(self.workspace)

    def __repr__(self) -> str:
        counts = "" if self.z_counts is None else f" (counts alone: {self.z_counts:.2f})"
        head = (
            f"{self.method} in {self.window}, score intervals × mass bins, for {self.signal}: z = {self.z:.2f}{counts}"
        )
        rows = [["nuisance", "pull", "error", "impact on the signal's events"]]
        rows += [
            [p.name, f"{p.pull:+.2f}", f"{p.error:.2f}", f"{p.impact[0]:+.1f} / {p.impact[1]:+.1f}"]
            for p in self.pulls[:_SHOWN]
        ]
        limit = self.limit
        return "\n".join(
            [
                head,
                f"at mu = 1: {signal_events(self.workspace):.1f} signal events; 95 % CLs limit {limit.s_obs:.0f}, expected {limit.s_exp[2]:.0f}",
                aligned(rows, left=1),
            ]
        )


def full_likelihood(
    run: str | Path,
    signal: Any = None,
    *,
    window: str | None = None,
    method: str | None = None,
    bins: int = 4,
    systematics: Mapping[str, float] = MappingProxyType({}),
) -> FullLikelihood:
    """The full likelihood of one window of a finished run: what passes one working point and not the next, in bins of the mass.

    A second view beside the counts. Its nuisances are those of the counts, and how the selection of every interval depends on the mass, which its
    sidebands measure. For a signal that sits where a resonance does, it wins what the shape of the mass holds.

    Args:
        run: folder of the run.
        signal: events of a signal of one's own (DataFrame, arrays or files, as of `cathode.apply`), as the run's classifiers see them; None takes the one that
            the joint test is made for, Gaussian in the mass with a quarter of the region's width.
        window, method: names; None takes the first of the run.
        bins: of the mass in the signal region.
        systematics: further relative uncertainties of the signal's size, by name.

    Raises ArtefactError for a folder that holds no such run, ConfigError for a blind one, FitError where nothing can be fitted.
    """
    folder = Path(run)
    if not (folder / "summary.json").is_file():
        raise ArtefactError(f"{run}: found no summary.json there, expected the folder of a run that has ended")
    summary: Summary = io.read(folder / "summary.json", Summary)
    config = load_config(summary.config)
    chosen = window or next(iter(config.regions))
    searched = method or config.searches[0]
    if chosen not in config.regions or searched not in config.searches:
        raise ConfigError(
            f"likelihood: found window {chosen} and method {searched}, expected of {', '.join(config.regions)} and {', '.join(config.searches)}"
        )
    path = folder / chosen / searched / "scores.npz"
    if not path.is_file():
        raise ArtefactError(f"{path}: no such file, expected a run of the workflow that is not blind")
    density: DensityEnsemble = io.read(
        folder / chosen / "density.npz", DensityEnsemble, density_model=config.density_model
    )
    return likelihood_of(
        io.read(folder / "events.parquet", Events),
        io.read(path, MethodScores),
        density.mass,
        summary.hunts,
        summary,
        read_models(folder, chosen) if signal is not None else [],
        signal,
        window=config.regions[chosen],
        statistics=config.statistics,
        bins=bins,
        systematics=systematics,
    )


def likelihood_of(
    events: Events,
    scores: MethodScores,
    spectrum: MassModel,
    results: Sequence[HuntResult],
    summary: Summary,
    models: Sequence[Model],
    signal: Any,
    *,
    window: Window,
    statistics: StatisticsSettings,
    bins: int = 4,
    systematics: Mapping[str, float] = MappingProxyType({}),
) -> FullLikelihood:
    """What `full_likelihood` returns, for a hunt in memory."""
    if bins < 1:
        raise ConfigError(f"likelihood: found {bins} bins, expected at least 1")
    check_systematics(systematics, "systematics")
    if twice := sorted(systematics.keys() & statistics.systematics.keys()):
        raise ConfigError(f"systematics.{twice[0]}: found in statistics.systematics, too; expected it in one of them")
    method = scores.splits[0].method
    passing = None if signal is None else _passing(models, signal, method, results)
    workspace = window_likelihood(
        events,
        scores,
        spectrum,
        results,
        passing,
        window=window,
        statistics=statistics,
        bins=bins,
        systematics=systematics,
    )
    joint = summary.joint_of(next(h for h in results if (h.window, h.method) == (window.name, method)))
    return FullLikelihood(
        window=window.name,
        method=method,
        signal="a signal of one's own" if passing else "the signal of the joint test",
        workspace=workspace,
        z=z_pyhf(workspace),
        z_counts=joint.z if joint else None,
    )


def _passing(models: Sequence[Model], signal: Any, method: str, results: Sequence[HuntResult]) -> PassingSignal:
    frame = apply_all(models, signal)
    frame = frame[frame.method == method]
    points = sorted({h.eps_bkg for h in results if h.method == method}, reverse=True)
    return PassingSignal(frame.mass.to_numpy(), np.stack([frame[f"passes_{e:g}"].to_numpy() for e in points], axis=1))
