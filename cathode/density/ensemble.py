"""Ensembles of densities: bootstraps times initialisations on the sidebands of one window, with its mass spectrum."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cathode.artefacts import artefact
from cathode.density.registry import Density, density_class, settings_of
from cathode.density.settings import DensitySettings
from cathode.events import Events
from cathode.numerics import resolve_device
from cathode.progress import reporter
from cathode.regions import Window
from cathode.seeds import derive_seed
from cathode.spectrum.sideband_model import MassModel

log = logging.getLogger(__name__)

_WORTH_A_CARD = 2_000_000  # events by members: seconds on a core, which is what a process needs to start on a card


@artefact("density", "npz")
@dataclass(frozen=True)
class DensityEnsemble:
    """R x K density models of one window and its mass model.

    Attributes:
        model: name of the density in the configuration.
        density: the members, ordered (replica, initialisation): member = replica * n_seeds + initialisation.
        n_bootstraps: R.
        n_seeds: K.
        mass: mass spectrum in the signal region.
    """

    model: str
    density: Density
    n_bootstraps: int
    n_seeds: int
    mass: MassModel


def bootstrap_weights(n: int, n_bootstraps: int, n_seeds: int, *, seed: int) -> NDArray[np.uint8]:
    """Poisson(1) event weights `(R K, n)`, one draw per replica, repeated for its initialisations."""
    rng = np.random.default_rng(seed)
    return np.repeat([rng.poisson(1.0, n).astype(np.uint8) for _ in range(n_bootstraps)], n_seeds, axis=0)


def evaluated_on(density: Density, device: str, rows: int) -> Density:
    """The same density, evaluated on `device` where it can be moved there (a verb `on`), one is visible, and `rows` by every member are worth it.

    A job that only evaluates asks for no card: with `cuda`, too, it does without where there is none.
    """
    on: Callable[[str], Density] | None = getattr(density, "on", None)
    few = rows * density.n_members < _WORTH_A_CARD
    where = "cpu" if on is None or few else resolve_device("auto" if device == "cuda" else device)
    return density if on is None or where == "cpu" else on(where)


def fit_ensemble(
    events: Events,
    window: Window,
    settings: DensitySettings,
    *,
    bootstraps: int,
    seeds: int,
    seed: int,
    device: str = "auto",
    what: str = "density epoch",
) -> DensityEnsemble:
    """Fit `bootstraps * seeds` members on the visible sideband events of `window`, and the mass model. `what` names its progress."""
    visible = window.in_sideband(events.mass)
    weights = bootstrap_weights(int(visible.sum()), bootstraps, seeds, seed=derive_seed(seed, "bootstrap"))
    density = density_class(settings.model).fit(
        events.features[visible],
        events.mass[visible],
        settings=settings_of(settings.model, settings),
        weights=weights,
        seeds=[derive_seed(seed, "member", e) for e in range(bootstraps * seeds)],
        device=resolve_device(device),
        progress=reporter(what),
    )
    return DensityEnsemble(
        settings.model, density, bootstraps, seeds, MassModel.fit(events.mass, window, settings.mass)
    )


def fit_density(
    events: Events,
    *,
    window: Window,
    background: DensitySettings = DensitySettings(),
    seed: int = 1,
    device: str = "auto",
) -> DensityEnsemble:
    """Learn p(features | mass) on the sidebands of one window, as an ensemble of bootstraps and initialisations.

    Raises FitError where the sidebands hold too few events, or no usable density comes out.
    """
    n_members = background.bootstraps * background.seeds
    log.info("%s: %d sideband events, %d members", window.name, window.in_sideband(events.mass).sum(), n_members)
    return fit_ensemble(
        events,
        window,
        background,
        bootstraps=background.bootstraps,
        seeds=background.seeds,
        seed=derive_seed(seed, "fit_density", window.name),
        device=device,
    )
