"""Event generator: QCD dijets and heavy resonances, from Pythia to the columns of the LHC Olympics table."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cathode.errors import ConfigError
from cathode.generator.detector import detect
from cathode.generator.events import Particles, cards, start_pythia, visible_particles
from cathode.generator.settings import GeneratorSettings, SignalSettings
from cathode.intake.lhco import JET_COLUMNS
from cathode.jets import Dijets, find_dijets, lhco_table

__all__ = [
    "PROCESSES",
    "Generated",
    "GeneratorSettings",
    "SignalSettings",
    "generate",
    "merge_chunks",
    "require_packages",
]

PROCESSES = ("background", "signal")
Progress = Callable[[int, int], None]

BATCH = 1000  # events that Pythia returns at a time; a part of what a seed means
LARGEST_SEED = 900_000_000  # Pythia's
FB_PER_MB = 1e12
PACKAGES = ("fastjet", "pythia8mc")


@dataclass(frozen=True)
class Generated:
    """Accepted events of one chunk.

    Attributes:
        names: the columns of the LHC Olympics table without its label, in its order (GeV; j1 has the larger pT).
        features: (n, 14) float32.
        label: 0 background, 1 signal, for all of them.
        n_generated: events that the generator finished for these.
        cross_section_fb: of accepted events; that of a signal has no meaning (its couplings are arbitrary).
        cards: what Pythia read.
        versions: of the packages that made it.
    """

    names: tuple[str, ...]
    features: NDArray[np.float32]
    label: int
    n_generated: int
    cross_section_fb: float
    cards: tuple[str, ...]
    versions: dict[str, str]


def require_packages() -> None:
    """Raise ConfigError unless the generator's packages are installed."""
    absent = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise ConfigError(
            f"data.source: pythia needs {' and '.join(absent)}, found none installed; expected: pip install 'cathode[simulate]'"
        )


def generate(
    process: str, settings: GeneratorSettings, n: int, *, seed: int, progress: Progress | None = None
) -> Generated:
    """The first `n` accepted events of `process` (`background` or `signal`) of one seed (taken modulo 900,000,000).

    The same seed gives the same events, whatever `n`: a shorter chunk is the head of a longer one.
    """
    require_packages()
    seed = seed % LARGEST_SEED
    pythia, _veto = start_pythia(process, settings, seed)
    rng = np.random.default_rng([seed, 7])
    tables, found, tried = [], 0, 0
    while found < n:
        batch = pythia.nextBatch(BATCH)
        particles = visible_particles(pythia, batch)
        dijets = _reconstruct(rng, particles, settings)
        tables.append(lhco_table(dijets))
        found += len(dijets.event)
        tried += particles.n_events
        if tried >= 20 * BATCH and found == 0:
            raise ConfigError(
                f"generator: found no event that passes the trigger among {tried} of {process}, expected trigger_pt "
                f"({settings.trigger_pt:g} GeV) in reach of what is generated"
            )
        if progress:
            progress(min(found, n), n)
    return Generated(
        JET_COLUMNS,
        np.concatenate(tables)[:n],
        int(process == "signal"),
        tried,
        float(pythia.infoPython().sigmaGen()) * FB_PER_MB * found / tried,
        tuple(cards(process, settings, seed)),
        {name: importlib.metadata.version(name) for name in PACKAGES},
    )


def _reconstruct(rng: np.random.Generator, particles: Particles, settings: GeneratorSettings) -> Dijets:
    objects = detect(rng, particles)
    return find_dijets(
        objects, trigger_pt=settings.trigger_pt, trigger_eta=settings.trigger_eta, radius=settings.radius
    )


def merge_chunks(chunks: Sequence[Generated], settings: GeneratorSettings) -> dict[str, NDArray[Any]]:
    """Columns of `n_background` and `n_signal` events with their `label`. Raises ConfigError where `chunks` hold fewer."""
    wanted = {0: settings.n_background, 1: settings.n_signal}
    parts, labels = [], []
    for label, n in wanted.items():
        mine = [c.features for c in chunks if c.label == label]
        found = np.concatenate(mine) if mine else np.empty((0, len(JET_COLUMNS)), dtype=np.float32)
        if len(found) < n:
            raise ConfigError(f"generator: found {len(found)} generated events of {PROCESSES[label]}, expected {n}")
        parts.append(found[:n])
        labels.append(np.full(n, label, dtype=np.int8))
    table = np.concatenate(parts)
    return {name: table[:, j] for j, name in enumerate(JET_COLUMNS)} | {"label": np.concatenate(labels)}
