"""What a density cannot describe, or a classifier cannot use: columns that are discrete, hold sentinels, or follow the mass or each other."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from cathode.events import Events
from cathode.spectrum.grid import MassGrid

Array = NDArray[np.float64]

FEW = 0.05  # distinct values per event, below which a column is discrete
ATOM = 0.01  # share of events with one value, from which it is an atom
FOLLOWS = 0.9  # of a feature's variance that the mass explains, from which it is a function of the mass
SAME = 0.999  # of a feature's variance that the others explain, from which it says nothing new
_ROWS = 200_000  # looked at


def describe_features(events: Events, discrete: Collection[str] = ()) -> list[str]:
    """What is wrong with each feature, and what to do, one line each; `discrete` are those that are spread already."""
    found = []
    look = np.unique(np.linspace(0, len(events) - 1, _ROWS).astype(int)) if len(events) > _ROWS else slice(None)
    order = np.argsort(events.mass[look], kind="stable")
    x = events.features[look]
    for j, name in enumerate(events.names):
        if name not in discrete and (what := _discreteness(x[:, j])):
            found.append(f"{name}: {what}")
        if (explained := explained_by_mass(x[order, j])) > FOLLOWS:
            found.append(
                f"{name}: follows the mass ({explained:.0%} of its variance): a signal region differs in it from the sidebands whatever "
                "is in it; leave it out, or divide the mass out with data.define"
            )
    for j in repeated_features(x):
        found.append(
            f"{events.names[j]}: is given by the other features ({', '.join(n for n in events.names if n != events.names[j])}) and "
            "says nothing new, which costs power; leave it out"
        )
    if grid := MassGrid.of(events.mass):
        found.append(f"mass: comes in steps of {grid.step:.4g} GeV; mass fits take every step for a bin of that width")
    return found


def _discreteness(values: Array) -> str:
    distinct, counts = np.unique(values, return_counts=True)
    top = int(np.argmax(counts))
    share, value = counts[top] / len(values), distinct[top]
    if len(distinct) < FEW * len(values) and len(distinct) <= 1000:
        return (
            f"takes {len(distinct)} values in {len(values)} events ({share:.0%} are {value:g}), which a density cannot describe; "
            "list it in data.discrete, which spreads them"
        )
    if share > ATOM:
        rest = np.delete(distinct, top)
        apart = (value < rest[0] or value > rest[-1]) and np.min(np.abs(rest - value)) > 0.1 * np.ptp(rest)
        return (
            f"is {value:g} in {counts[top]} of {len(values)} events ({share:.1%}){', far from all others: a sentinel' if apart else ''}; a density "
            f"cannot describe such an atom; drop the events with data.select, or leave the feature out"
        )
    return ""


def explained_by_mass(values: Array) -> float:
    """Share of a feature's variance that is a function of the mass, monotonous or not, from its values `(n,)` in the order of the mass.

    1 - sum (x[i+1] - x[i])^2 / (2 n var x), with ranks for x: von Neumann's ratio (Ann. Math. Statist. 12 (1941) 367). Neighbours in
    mass share what the mass says. About 0 for an independent feature, with an error of 1 / sqrt(n); not valid for a function of the
    mass that oscillates from event to event.
    """
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(float)
    steps = np.diff(ranks)
    return float(1 - np.sum(steps**2) / (2 * len(ranks) * np.var(ranks)))


def repeated_features(features: Array) -> list[int]:
    """Positions of features `(n, d)` that are linear functions of those before them, to `SAME` of their variance."""
    scaled = features / np.abs(features).max(axis=0)  # squares of the largest and the smallest numbers are none
    scaled = scaled - scaled.mean(axis=0)
    spread_of = scaled.std(axis=0)
    scaled = scaled / np.where(spread_of > 0, spread_of, 1.0)
    found: list[int] = []
    others: list[Array] = []
    for j in range(features.shape[1]):
        rest = scaled[:, j].copy()
        for _ in range(
            2
        ):  # Gram and Schmidt, twice for the digits; linear algebra's libraries take tens of megabytes to begin with
            for direction in others:
                rest -= np.mean(direction * rest) * direction
        variance = float(np.mean(rest**2))
        if others and variance < 1 - SAME:
            found.append(j)
        elif variance > 0:
            others.append(rest / np.sqrt(variance))
    return found


def spread(values: Array, rng: np.random.Generator) -> Array:
    """Discrete values `(n,)`, each evenly spread over the half ways to its neighbours; the outermost as far out as in.

    Their order and their distribution at every mass are kept, and what is independent of the mass stays so.
    """
    distinct, which = np.unique(values, return_inverse=True)
    middle = (distinct[1:] + distinct[:-1]) / 2
    low = np.concatenate([[2 * distinct[0] - middle[0]], middle])
    high = np.concatenate([middle, [2 * distinct[-1] - middle[-1]]])
    return np.asarray(low[which] + rng.random(len(values)) * (high - low)[which])
