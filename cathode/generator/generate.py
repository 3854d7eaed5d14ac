"""Event generator: QCD dijets and heavy resonances, from Pythia to the columns of the LHC Olympics table."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cathode.artefacts import artefact
from cathode.dijets.columns import JET_COLUMNS
from cathode.dijets.jets import Dijets, find_dijets, lhco_table
from cathode.errors import ConfigError
from cathode.generator.detector import detect
from cathode.generator.events import Particles, cards, start_pythia, visible_particles
from cathode.generator.settings import PACKAGES, PROCESSES, GeneratorSettings, require_packages
from cathode.progress import reporter
from cathode.seeds import derive_seed

Progress = Callable[[int, int], None]

BATCH = 1000  # events that Pythia returns at a time; a part of what a seed means
LARGEST_SEED = 900_000_000  # Pythia's
FB_PER_MB = 1e12


@artefact("generated", "parquet")
@dataclass(frozen=True, kw_only=True)
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


def generate(*, process: str, batch: str, simulation: GeneratorSettings) -> Generated:
    """Generate one chunk of dijet events, `background` or `signal`."""
    if process not in PROCESSES:
        raise ConfigError(f"--process: found {process}, expected {' or '.join(PROCESSES)}")
    seed = derive_seed(simulation.seed, "generate", process, int(batch))
    return generate_events(process, simulation, simulation.chunk, seed=seed, progress=reporter(process))


def generate_events(
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
        names=JET_COLUMNS,
        features=np.concatenate(tables)[:n],
        label=int(process == "signal"),
        n_generated=tried,
        cross_section_fb=float(pythia.infoPython().sigmaGen()) * FB_PER_MB * found / tried,
        cards=tuple(cards(process, settings, seed)),
        versions={name: importlib.metadata.version(name) for name in PACKAGES},
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
