"""Intake: from a user's files to validated events, with labels kept apart."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pandas.util import hash_array

from cathode.errors import DataError
from cathode.events import Events, Labels
from cathode.intake.expressions import evaluate, missing_column, names_in
from cathode.intake.lhco import JET_COLUMNS, derive_dijet, is_lhco
from cathode.intake.official import SETS, clustered_file, fetch
from cathode.intake.particles import cluster_file, read_key
from cathode.intake.settings import DataSettings, InjectionSettings
from cathode.intake.tables import Columns, Table, input_files, read_table
from cathode.regions import in_interval
from cathode.seeds import derive_seed

log = logging.getLogger(__name__)

_LEAST_EVENTS = 1000

__all__ = ["DataSettings", "InjectionSettings", "Prepared", "input_files", "prepare_events"]


@dataclass(frozen=True)
class Prepared:
    """What the intake yields.

    Attributes:
        events: everything inside the mass range that the hunt may see, in input order.
        labels: truth of `events`, empty without a label column.
        spare: labelled signal that injection left out; only evaluation and reference classifiers use it.
        n_duplicates: events that repeat an earlier one exactly.
    """

    events: Events
    labels: Labels
    spare: Events
    n_duplicates: int


def prepare_events(
    data: DataSettings,
    injection: InjectionSettings,
    mass_range: tuple[float, float],
    *,
    seed: int,
    generated: Columns | None = None,
) -> Prepared:
    """Read, derive, select, validate and inject. `mass_range` in GeV. Raises DataError on the first defect.

    `generated` are the columns of data.source `pythia`, which has no files.
    """
    where = str(data.files[0]) if data.source == "files" else describe_source(data)
    available, columns = _read_all(data) if generated is None else (tuple(generated), generated)
    if data.format == "lhco" and not is_lhco(set(available)):
        raise DataError(f"{where}: data.format lhco expects the 15 official columns, found {', '.join(available)}")
    if not columns:
        raise DataError(f"{where}: {missing_column(data.mass, available)}")
    n_read = len(next(iter(columns.values())))
    if data.format != "table" and is_lhco(set(columns)):
        # the official mj1 is the leading jet's; derived names win
        columns = columns | derive_dijet(columns)
    for name, expression in data.define.items():
        columns[name] = evaluate(expression, columns, f"data.define.{name}", available)
    keep = np.ones(n_read, dtype=bool)
    if data.select is not None:
        chosen = evaluate(data.select, columns, "data.select", available)
        if chosen.dtype != np.bool_:
            raise DataError(f"data.select: {data.select!r} gives {chosen.dtype} values, expected true or false")
        keep = np.asarray(chosen, dtype=bool)
    wanted = [data.mass, *data.features] + ([data.label] if data.label else [])
    for name in wanted:
        if name not in columns:
            raise DataError(f"{where}: {missing_column(name, [*columns, *available])}")
    row = np.flatnonzero(keep)
    if len(row) == 0:
        raise DataError(f"data.select: {data.select!r} keeps none of {n_read} events")

    def numbers(name: str) -> NDArray[np.float64]:
        return _numeric(columns[name], name, row, where)

    for name in wanted:  # a defect anywhere is refused before anything large is built
        numbers(name)
    mass = numbers(data.mass) * data.unit
    _check_unit(mass, mass_range, where, data.mass_unit)
    inside = in_interval(mass, mass_range)
    if inside.sum() < _LEAST_EVENTS:
        raise DataError(
            f"{where}: found {int(inside.sum())} of {len(mass)} events with {data.mass} in windows.range "
            f"[{mass_range[0]:g}, {mass_range[1]:g}] GeV, expected at least {_LEAST_EVENTS}"
        )
    features = np.empty((int(inside.sum()), len(data.features)))
    for j, name in enumerate(data.features):
        features[:, j] = numbers(name)[inside]
        if np.ptp(features[:, j]) == 0:
            raise DataError(f"{where}: column {name} is constant ({features[0, j]:g}), expected a feature that varies")
    label = None if data.label is None else numbers(data.label)[inside]
    row, mass = row[inside], mass[inside]
    columns = {}  # free what was read
    n_duplicates = _count_duplicates(mass, features)
    if n_duplicates:
        log.warning("%d of %d events repeat an earlier event exactly", n_duplicates, len(mass))
    events = Events(tuple(data.features), row, mass, features)
    if data.label is None or label is None:
        if injection.n_signal is not None:
            raise DataError("injection.n_signal: expected data.label to name the truth column, found none")
        return Prepared(events, Labels(), events[np.zeros(len(events), dtype=bool)], n_duplicates)
    return _inject(events, _check_label(label, data.label, row, where), injection, n_duplicates, seed)


def _read_all(data: DataSettings) -> tuple[tuple[str, ...], Columns]:
    """Names of all columns, and the values of those that the settings name (or the official table needs)."""
    wanted = {data.mass, *data.features, *([data.label] if data.label else [])}
    for where, expression in ((f"data.define.{k}", e) for k, e in data.define.items()):
        wanted |= set(names_in(expression, where))
    wanted |= set(names_in(data.select, "data.select")) if data.select is not None else set()

    def choose(names: tuple[str, ...]) -> list[str]:
        official = set(JET_COLUMNS) if data.format != "table" and is_lhco(set(names)) else set()
        return [name for name in dict.fromkeys(names) if name in wanted | official]

    files = [_official(data, name) for name in data.sets] if data.source == "lhco" else input_files(data)
    parts = [read_table(path, data.key, choose) for path in files]
    if data.source == "lhco":
        parts = [_with_label(part, data, name) for part, name in zip(parts, data.sets, strict=True)]
    for path, part in zip(files[1:], parts[1:], strict=True):
        if set(part.available) != set(parts[0].available):
            odd = sorted(set(part.available) ^ set(parts[0].available))
            raise DataError(f"{path}: columns differ from {files[0]}: {', '.join(odd)}")
    common = [n for n in parts[0].columns if all(n in part.columns for part in parts)]
    return parts[0].available, {n: np.concatenate([part.columns[n] for part in parts]) for n in common}


def _official(data: DataSettings, name: str) -> Path:
    """The feature table of an official set, fetched and, if it holds particles, clustered."""
    path = fetch(data, name)
    return cluster_file(path, clustered_file(data, name)) if SETS[name].raw else path


def _with_label(part: Table, data: DataSettings, name: str) -> Table:
    """An official file with the label column that not all of them have. A black box is opened only for `data.label`."""
    n, known = len(next(iter(part.columns.values()), ())), SETS[name].label
    if "label" in part.available:
        return part
    if SETS[name].raw and data.label is not None:
        label: NDArray[np.generic] = read_key(fetch(data, name, key=True), n)
    elif known is not None:
        label = np.full(n, known)
    else:
        return part
    return Table((*part.available, "label"), part.columns | {"label": label})


def _count_duplicates(mass: NDArray[np.float64], features: NDArray[np.float64]) -> int:
    """Events that repeat an earlier one exactly, by 64-bit hashes (of 10^7 distinct events, two collide in one of 10^5 samples)."""
    total = np.zeros(len(mass), dtype=np.uint64)
    for values in (mass, *features.T):
        total = total * np.uint64(1_000_003) + hash_array(np.ascontiguousarray(values))
    return len(total) - len(np.unique(total))


def _numeric(values: NDArray[np.generic], name: str, row: NDArray[np.int64], where: str) -> NDArray[np.float64]:
    try:
        out = np.asarray(values[row], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: column {name} holds {values.dtype} values, expected numbers") from error
    if out.ndim != 1:
        raise DataError(f"{where}: column {name} has shape {out.shape}, expected one number per event")
    bad = ~np.isfinite(out)
    if bad.any():
        raise DataError(
            f"{where}: column {name} has {int(bad.sum())} NaN or infinite values, first in row {row[np.argmax(bad)]}; "
            "expected finite numbers (data.select can drop rows)"
        )
    return out


def _check_unit(mass: NDArray[np.float64], mass_range: tuple[float, float], where: str, unit: str) -> None:
    median = float(np.median(mass))
    for factor, other in ((1000.0, "TeV"), (0.001, "GeV")):
        if mass_range[0] <= median * factor <= mass_range[1] and not mass_range[0] <= median <= mass_range[1]:
            raise DataError(
                f"{where}: the median mass is {median:g} GeV read as {unit}, a factor 1000 outside windows.range "
                f"[{mass_range[0]:g}, {mass_range[1]:g}] GeV: is data.mass_unit {other}?"
            )


def _check_label(values: NDArray[np.float64], name: str, row: NDArray[np.int64], where: str) -> NDArray[np.int64]:
    bad = (values != 0) & (values != 1)
    if bad.any():
        first = int(np.argmax(bad))
        raise DataError(
            f"{where}: label column {name} has {int(bad.sum())} values other than 0 and 1, first {values[first]:g} in "
            f"row {row[first]}"
        )
    return values.astype(np.int64)


def _inject(
    events: Events, label: NDArray[np.int64], injection: InjectionSettings, n_duplicates: int, seed: int
) -> Prepared:
    """Keep `n_signal` of the labelled signal events, drawn by seed; the others become spare."""
    nothing = events[np.zeros(len(events), dtype=bool)]
    if injection.n_signal is None:
        return Prepared(events, Labels(label), nothing, n_duplicates)
    signal = np.flatnonzero(label == 1)
    if injection.n_signal > len(signal):
        raise DataError(
            f"injection.n_signal: found {injection.n_signal}, but only {len(signal)} labelled signal events lie in "
            "windows.range after data.select"
        )
    rng = np.random.default_rng(derive_seed(seed, "injection"))
    kept = rng.choice(signal, injection.n_signal, replace=False)
    mask = label == 0
    mask[kept] = True
    if mask.sum() < _LEAST_EVENTS:
        raise DataError(
            f"injection.n_signal: {int(mask.sum())} events are left with {injection.n_signal} of {len(signal)} signal events, "
            f"expected at least {_LEAST_EVENTS}"
        )
    return Prepared(events[mask], Labels(label[mask]), events[~mask], n_duplicates)


def describe_source(data: DataSettings) -> str:
    """A short text for reports: where the events came from, without folders."""
    if data.source == "lhco":
        return f"LHC Olympics {' + '.join(data.sets)}"
    if data.source == "pythia":
        return "events generated with Pythia"
    return "bundled demo sample" if data.source == "demo" else ", ".join(Path(f).name for f in data.files)
