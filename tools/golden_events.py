"""Write the events that the test of the generator expects: the head of one background and one signal chunk of every kind.

    python tools/golden_events.py

Only after a deliberate change of the generator or of its packages: other events than before need a line under Results in
CHANGELOG.md and a new demo sample (tools/build_demo.py).
"""

import sys
from pathlib import Path

import numpy as np

from cathode.generator.generate import generate_events
from cathode.generator.settings import GeneratorSettings, SignalSettings

TARGET = Path(__file__).parents[1] / "tests" / "data" / "generated.npz"
GOLDEN = {  # name: process, prongs, seed of the pseudo-random numbers
    "background": ("background", 2, 1_000_000),
    "two_prong": ("signal", 2, 5_000_000),
    "three_prong": ("signal", 3, 5_000_000),
}
N = 40


def main() -> None:
    """Generate and write."""
    chunks = {
        name: generate_events(process, GeneratorSettings(signal=SignalSettings(prongs=prongs)), N, seed=seed).features
        for name, (process, prongs, seed) in GOLDEN.items()
    }
    np.savez_compressed(TARGET, **chunks)
    sys.stdout.write(f"{TARGET}: {N} events of each of {', '.join(chunks)}\n")


if __name__ == "__main__":
    main()
