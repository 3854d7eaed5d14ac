"""Coverage of limits on a signal of one's own (`hunt.limit_signal`): hunts with a known signal, and how often the limit lies above it.

    python tools/limit_coverage.py OUT.json [--toys 100]

Small hunts of an analytic truth: a falling spectrum, three features that follow the mass linearly, a Gaussian signal. Each toy is a hunt of its own with its closure, its
injections and its limit, at the working point with the smallest expected limit. Toys have numbers, and a number its seeds: a file that is there is continued.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import cathode
from cathode.classifier.settings import TreeSettings

N_BACKGROUND, WINDOW, RANGE = 20000, (2800.0, 3200.0), (2000.0, 5000.0)
SIGNALS = {"narrow": ([2.0, -1.5, 1.5], 0.25), "broad": ([1.4, -1.1, 1.1], 0.7)}
STRENGTHS = (0.0, 1.0, 2.0)  # in the data, in root B


def background(rng: np.random.Generator) -> pd.DataFrame:
    """Poisson many events."""
    n = rng.poisson(N_BACKGROUND)
    m = RANGE[0] - 700 * np.log(1 - rng.random(n) * (1 - np.exp(-(RANGE[1] - RANGE[0]) / 700)))
    t = np.log(m / 3000)
    mean = np.stack([0.8 * t, -0.5 * t, 0.3 * t], axis=1)
    return pd.DataFrame(mean + rng.normal(size=(n, 3)), columns=["a", "b", "c"]).assign(m=m)


def signal(rng: np.random.Generator, kind: str, n: int) -> pd.DataFrame:
    """Events of a resonance at 3 TeV."""
    centre, width = SIGNALS[kind]
    return pd.DataFrame(rng.normal(centre, width, (n, 3)), columns=["a", "b", "c"]).assign(m=rng.normal(3000, 60, n))


def one(toy: int) -> dict[str, Any]:
    """A hunt and its limit."""
    kind, strength = list(SIGNALS)[toy % 2], STRENGTHS[toy // 2 % 3]
    rng = np.random.default_rng([20261127, toy])
    data = background(rng)
    inside = ((data["m"] >= WINDOW[0]) & (data["m"] < WINDOW[1])).sum()
    true = float(strength * np.sqrt(inside))
    data = pd.concat([data, signal(rng, kind, rng.poisson(true))], ignore_index=True)
    hunt = cathode.hunt(
        data,
        mass="m", features=["a", "b", "c"], window=WINDOW, range=RANGE, seed=toy + 1, working_points=(0.1, 0.01), progress=False, cores=1,
        background=cathode.DensitySettings(model="location", bootstraps=2, seeds=2),
        classifier=cathode.ClassifierSettings(folds=4, members=4, splits=2, boosted_trees=TreeSettings(trees=25)),
        closure=cathode.ClosureSettings(windows=6, bootstraps=2),
    )  # fmt: skip
    limits = hunt.limit_signal(signal(rng, kind, 4000), strengths=(0.5, 1, 1.5, 2, 3, 5), draws=1, cores=1)
    best = limits.best
    return {
        "toy": toy, "kind": kind, "strength": strength, "true": true, "observed": best.observed if np.isfinite(best.observed) else None,
        "expected": [v if np.isfinite(v) else None for v in best.expected], "eps_bkg": best.eps_bkg, "efficiency": best.efficiency, "z": hunt.z,
    }  # fmt: skip


def main() -> None:
    """Run what is missing, and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--toys", type=int, default=100)
    arguments = parser.parse_args()
    found = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else []
    for toy in range(len(found), arguments.toys):
        found.append(one(toy))
        arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for kind in SIGNALS:
        for strength in STRENGTHS:
            own = [f for f in found if (f["kind"], f["strength"]) == (kind, strength)]
            above = sum(f["observed"] is None or f["observed"] >= f["true"] for f in own)
            sys.stdout.write(f"{kind}, {strength:g} root B: {above} of {len(own)} limits above the signal\n")


if __name__ == "__main__":
    main()
