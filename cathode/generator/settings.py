"""Settings of the event generator."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Literal

from cathode.errors import ConfigError
from cathode.ranges import check_ranges, within

PROCESSES = ("background", "signal")
PACKAGES = ("fastjet", "pythia8mc")


def require_packages() -> None:
    """Raise ConfigError unless the generator's packages are installed."""
    absent = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise ConfigError(
            f"data.source: pythia needs {' and '.join(absent)}, found none installed; expected: pip install 'cathode[simulate]'"
        )


@dataclass(frozen=True)
class SignalSettings:
    """A heavy resonance that decays to two lighter ones, X and Y, and these to quarks. Masses in GeV.

    Attributes:
        prongs: quarks from X and from Y. 2: W' -> W Z with the masses of X and Y, as the LHC Olympics authors made theirs; mostly
            longitudinal, so prongs are balanced. 3: scalars to u u d and u d s through colour junctions, flat in phase space.
        mass: of the resonance.
        daughters: masses of X and Y.
        width: of all three, relative to their masses. Null: two prongs narrow, as Pythia computes it; three prongs 0.01.
    """

    prongs: Literal[2, 3] = 2
    mass: float = within(3500.0, 0, 1_000_000, above=True)
    daughters: tuple[float, float] = (500.0, 100.0)
    width: float | None = within(None, 0, 0.1, above=True)

    def __post_init__(self) -> None:
        heavy, light = self.daughters
        if min(heavy, light) <= 0 or heavy + light >= self.mass:
            raise ConfigError(
                f"generator.signal: found a resonance of {self.mass:g} GeV with daughters of {heavy:g} and {light:g}, "
                "expected positive masses, and less together than it"
            )
        if self.width is not None and not 0 < self.width < 0.1:
            raise ConfigError(f"generator.signal.width: found {self.width:g}, expected null or between 0 and 0.1")
        check_ranges(self, "generator.signal")


@dataclass(frozen=True)
class GeneratorSettings:
    """Dijet events like the LHC Olympics R&D sample: Pythia 8, a detector model, anti-kT jets. Energies in GeV.

    Attributes:
        n_background: accepted background events.
        n_signal: accepted signal events.
        chunk: accepted events per job, each with a seed of its own.
        seed: seed of the generator, apart from the hunt's, which may change while the events stay.
        signal: the resonance.
        energy: of the collision.
        multiparton: multi-parton interactions; off in the LHC Olympics sample, and four times faster without.
        pthat_min: smallest momentum of the hard QCD scattering. Events that are boosted into the trigger from 200 GeV and more
            below it are a seventh of those accepted, so the cut lies far below; an early veto makes that affordable.
        trigger_pt: a jet above this momentum,
        trigger_eta: and inside this pseudorapidity.
        radius: of the anti-kT jets.
        pythia: further lines for Pythia, read last.
    """

    n_background: int = within(100_000, 1, 1_000_000_000)
    n_signal: int = within(5_000, 0, 1_000_000_000)
    chunk: int = within(10_000, 1, 10_000_000)
    seed: int = within(1, 0, 1_000_000_000_000_000_000)
    signal: SignalSettings = SignalSettings()
    energy: float = within(13000.0, 0, 1_000_000, above=True)
    multiparton: bool = False
    pthat_min: float = within(700.0, 0, 1_000_000, above=True)
    trigger_pt: float = within(1200.0, 0, 1_000_000, above=True)
    trigger_eta: float = within(2.5, 0, 10, above=True)
    radius: float = within(1.0, 0, 3, above=True)
    pythia: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.n_background < 1 or self.n_signal < 0:
            raise ConfigError(
                f"generator: found n_background {self.n_background}, n_signal {self.n_signal}, expected at least 1 and 0"
            )
        if self.chunk < 1:
            raise ConfigError(f"generator.chunk: found {self.chunk}, expected at least 1 event")
        if not 0 < self.pthat_min < self.energy / 2:
            raise ConfigError(
                f"generator.pthat_min: found {self.pthat_min:g}, expected a positive momentum below half the energy"
            )
        if self.trigger_pt <= 0 or self.trigger_eta <= 0 or self.radius <= 0:
            raise ConfigError("generator: expected positive trigger_pt, trigger_eta and radius")
        if self.n_signal and self.signal.mass >= self.energy:
            raise ConfigError(
                f"generator.signal.mass: found {self.signal.mass:g}, expected less than the energy of the collision"
            )
        check_ranges(self, "generator")

    def n_chunks(self, process: str) -> int:
        """Chunks of `background` or `signal` that hold enough events. All are full, so that more events only add chunks."""
        return -(-(self.n_background if process == "background" else self.n_signal) // self.chunk)
