"""What columns of events must be: one unit, labels of 0 and 1, weights that make probabilities, no event twice."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from pandas.util import hash_array

from cathode.errors import DataError
from cathode.intake.settings import UNITS, DataSettings, InjectionSettings
from cathode.seeds import derive_seed

LEAST_EVENTS = 1000
_GAP = 20.0  # factor between neighbouring masses that no spectrum has
_SHARE = 1e-3  # of events on either side of it
_WEIGHT = re.compile(r"(event|evt|gen|mc|total|final)?_?(weights?|wgt|wt)|w", re.I)


def looks_like_weight(name: str) -> bool:
    """Whether a column is called as event weights are."""
    return _WEIGHT.fullmatch(name) is not None


def count_duplicates(mass: NDArray[np.float64], features: NDArray[np.float64]) -> int:
    """Events that repeat an earlier one exactly, by 64-bit hashes (of 10^7 distinct events, two collide in one of 10^5 samples)."""
    total = np.zeros(len(mass), dtype=np.uint64)
    for values in (mass, *features.T):
        total = total * np.uint64(1_000_003) + hash_array(np.ascontiguousarray(values))
    return len(total) - len(np.unique(total))


def check_unit(mass: NDArray[np.float64], mass_range: tuple[float, float], where: str, unit: str) -> None:
    """Refuse masses (GeV, as read in `unit`) that are in another unit, all of them or a part."""
    median = float(np.median(mass))
    for other, size in UNITS.items():
        factor = size / UNITS[unit]
        if other != unit and _inside(median * factor, mass_range) and not _inside(median, mass_range):
            low, high = (edge / UNITS[unit] for edge in mass_range)
            raise DataError(
                f"{where}: the median mass is {median / UNITS[unit]:g}, a factor 1000 outside windows.range [{low:g}, {high:g}]: expected windows in the unit of the "
                f"masses, as [{low / factor:g}, {high / factor:g}], and data.mass_unit: {unit} or, if that is what they are in, {other}"
            )
    positive = np.sort(mass[mass > 0])
    if len(positive) < 2:
        return
    step = positive[1:] / positive[:-1]
    i = int(np.argmax(step))
    apart = min(i + 1, len(positive) - i - 1)
    if step[i] > _GAP and apart > _SHARE * len(mass):
        raise DataError(
            f"{where}: found {i + 1} masses up to {positive[i]:g} GeV and {len(positive) - i - 1} from {positive[i + 1]:g} GeV, none between; "
            "expected one unit for all events (data.select can drop the others)"
        )


def _inside(mass: float, mass_range: tuple[float, float]) -> bool:
    return mass_range[0] <= mass <= mass_range[1]


def check_label(values: NDArray[np.float64], name: str, row: NDArray[np.int64] | None, where: str) -> NDArray[np.int64]:
    """Labels as whole numbers. Raises DataError for values other than 0 and 1; `row` None: without saying where."""
    bad = (values != 0) & (values != 1)
    if bad.any():
        first = int(np.argmax(bad))
        place = "" if row is None else f", first {values[first]:g} in row {row[first]}"
        raise DataError(f"{where}: label column {name} has {int(bad.sum())} values other than 0 and 1{place}")
    return values.astype(np.int64)


def left_out_by_injection(label: NDArray[np.int64], injection: InjectionSettings, seed: int) -> NDArray[np.bool_]:
    """Which events the injection leaves out: all labelled signal but `n_signal` events, drawn by seed."""
    if injection.n_signal is None:
        return np.zeros(len(label), dtype=bool)
    signal = np.flatnonzero(label == 1)
    if injection.n_signal > len(signal):
        raise DataError(
            f"injection.n_signal: found {injection.n_signal}, but only {len(signal)} labelled signal events lie in "
            "windows.range after data.select"
        )
    rng = np.random.default_rng(derive_seed(seed, "injection"))
    kept = rng.choice(signal, injection.n_signal, replace=False)
    out = label == 1
    out[kept] = False
    if (~out).sum() < LEAST_EVENTS:
        raise DataError(
            f"injection.n_signal: {int((~out).sum())} events are left with {injection.n_signal} of {len(signal)} signal events, "
            f"expected at least {LEAST_EVENTS}"
        )
    return np.asarray(out)


def thin_by_weight(
    weight: NDArray[np.float64], data: DataSettings, where: str, seed: int, least: int = LEAST_EVENTS
) -> tuple[float, NDArray[np.bool_]]:
    """The largest weight, and which events an unweighted sample keeps: each with the probability of its weight over the largest.

    Thinned, a Poisson process stays one (Kingman, Poisson processes, 1993, section 5.1), so kept events have Poisson counts whose mean is
    the sum of weights over the largest. Raises DataError for negative weights, and where hardly anything would be kept.
    """
    if (negative := int((weight < 0).sum())) or weight.max() <= 0:
        found = f"{negative} negative weights" if negative else "no positive weight"
        raise DataError(
            f"{where}: column {data.weight} has {found}, expected weights of zero and more, which probabilities can be made of"
        )
    share = float(weight.mean() / weight.max())
    kept = np.random.default_rng(derive_seed(seed, "weight")).random(len(weight)) < weight / weight.max()
    if share < 1 - data.allow_loss or kept.sum() < least:
        raise DataError(
            f"{where}: weights in {data.weight} up to {weight.max() / weight.mean():.3g} times their mean leave {int(kept.sum())} of {len(weight)} events, "
            f"expected at least {least} and {1 - data.allow_loss:.0%}; data.select can drop the few with large weights, data.allow_loss permits less"
        )
    return float(weight.max()), kept
