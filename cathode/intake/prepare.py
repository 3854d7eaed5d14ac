"""From a user's files to validated events, with labels and spare signal kept apart."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pandas.util import hash_array

from cathode.dijets.columns import JET_COLUMNS, derive_dijet, is_lhco
from cathode.dijets.particles import read_key
from cathode.errors import DataError
from cathode.events import Events, Intake, Labels, numbers
from cathode.generator.generate import Generated, merge_chunks
from cathode.generator.settings import GeneratorSettings
from cathode.intake.expressions import Expression, missing_column, parse
from cathode.intake.files import input_files, input_sha256
from cathode.intake.official import SETS, Fetched, cached_file, table_file
from cathode.intake.settings import DataSettings, InjectionSettings
from cathode.intake.tables import Columns, Table, read_table
from cathode.regions import Interval, in_interval
from cathode.seeds import derive_seed

log = logging.getLogger(__name__)

_LEAST_EVENTS = 1000


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What the intake yields.

    Attributes:
        events: everything inside the mass range that the hunt may see, in input order.
        labels: truth of `events`, empty without a label column.
        spare: labelled signal that injection left out; only evaluation and reference classifiers use it.
        intake: what became of the events that were read.
    """

    events: Events
    labels: Labels
    spare: Events
    intake: Intake


def prepare(
    generated: list[Generated],
    fetched: list[Fetched],
    *,
    data: DataSettings,
    injection: InjectionSettings,
    generator: GeneratorSettings,
    mass_range: Interval,
    blinded: tuple[Interval, ...],
    seed: int,
) -> tuple[Events, Labels, Events, Intake]:
    """Read and validate the events; labels and spare signal go to files of their own."""
    columns = merge_chunks(generated, generator) if data.source == "pythia" else None
    p = prepare_events(data, injection, mass_range, seed=seed, blinded=blinded, columns=columns)
    log.info("%d events kept, %d spare signal events", len(p.events), len(p.spare))
    return p.events, p.labels, p.spare, p.intake


def prepare_events(
    data: DataSettings,
    injection: InjectionSettings,
    mass_range: Interval,
    *,
    seed: int,
    blinded: tuple[Interval, ...] = (),
    columns: Columns | None = None,
) -> Prepared:
    """Read, derive, select, validate and inject. `mass_range` in GeV. Raises DataError on the first defect.

    Events in `blinded` intervals (GeV) are left out, and no count, range or message depends on them; with labels they are still
    validated and take part in the injection, which keeps signal of the whole range. `columns` are given where there are no files:
    generated events, or a table in memory.
    """
    where = str(data.files[0]) if data.source == "files" else describe_source(data)
    read_files = _files(data) if columns is None else []
    available, read = _read_all(data, read_files) if columns is None else (tuple(columns), columns)
    if data.format == "lhco" and not is_lhco(set(available)):
        raise DataError(f"{where}: data.format lhco expects the 15 official columns, found {', '.join(available)}")
    if not read:
        raise DataError(f"{where}: {missing_column(data.mass, available)}")
    n_read = len(next(iter(read.values())))
    if data.format != "table" and is_lhco(set(read)):
        # the official mj1 is the leading jet's; derived names win
        read = read | derive_dijet(read)
    read = read | _defined(data, read, available)
    keep = np.ones(n_read, dtype=bool)
    if data.select is not None:
        chosen = parse(data.select, "data.select")(read, available)
        if chosen.dtype != np.bool_:
            raise DataError(f"data.select: {data.select!r} gives {chosen.dtype} values, expected true or false")
        keep = np.asarray(chosen, dtype=bool)
    wanted = [data.mass, *data.features] + ([data.label] if data.label else [])
    for name in wanted:
        if name not in read:
            raise DataError(f"{where}: {missing_column(name, [*read, *available])}")
    row = np.flatnonzero(keep)
    if len(row) == 0:
        raise DataError(f"data.select: {data.select!r} keeps none of {n_read} events")

    mass = numbers(read[data.mass], data.mass, row, where) * data.unit
    if blinded and data.label is None:
        visible = _outside(mass, blinded)
        row, mass = row[visible], mass[visible]

    def values(name: str) -> NDArray[np.float64]:
        return numbers(read[name], name, row, where)

    for name in wanted:  # a defect anywhere is refused before anything large is built
        values(name)
    _check_unit(mass, mass_range, where, data.mass_unit)
    inside = in_interval(mass, mass_range)
    if inside.sum() < _LEAST_EVENTS:
        raise DataError(
            f"{where}: found {int(inside.sum())} of {len(mass)} events with {data.mass} in windows.range "
            f"[{mass_range[0]:g}, {mass_range[1]:g}] GeV, expected at least {_LEAST_EVENTS}"
        )
    dropped = {"select": n_read - int(keep.sum()), "range": int((~inside).sum())}
    features = np.empty((int(inside.sum()), len(data.features)))
    for j, name in enumerate(data.features):
        features[:, j] = values(name)[inside]
        if np.ptp(features[:, j]) == 0:
            raise DataError(f"{where}: column {name} is constant ({features[0, j]:g}), expected a feature that varies")
    label = None if data.label is None else values(data.label)[inside]
    row, mass = row[inside], mass[inside]
    read = {}  # free what was read
    events, labels = Events(tuple(data.features), row, mass, features), Labels()
    spare = events[np.zeros(len(events), dtype=bool)]
    if data.label is not None and label is not None:
        events, labels, spare = _inject(events, _check_label(label, data.label, row, where), injection, seed)
        if blinded:
            visible = _outside(events.mass, blinded)
            events, labels = events[visible], Labels(labels.label[visible])
    elif injection.n_signal is not None:
        raise DataError("injection.n_signal: expected data.label to name the truth column, found none")
    n_duplicates = _count_duplicates(events.mass, events.features)
    if n_duplicates:
        log.warning("%d of %d events repeat an earlier event exactly", n_duplicates, len(events))
    intake = Intake(
        read=None if blinded else n_read,
        kept=len(events),
        dropped=None if blinded else dropped | {"injection": len(spare)},
        duplicates=n_duplicates,
        inputs=None if blinded else input_sha256(read_files) if columns is None else {},
    )
    return Prepared(events=events, labels=labels, spare=spare, intake=intake)


def _outside(mass: NDArray[np.float64], intervals: tuple[Interval, ...]) -> NDArray[np.bool_]:
    return np.asarray(~np.any([in_interval(mass, interval) for interval in intervals], axis=0))


def _expressions(data: DataSettings) -> dict[str, Expression]:
    return {name: parse(text, f"data.define.{name}") for name, text in data.define.items()}


def _defined(data: DataSettings, read: Columns, available: tuple[str, ...]) -> Columns:
    """The columns that `data.define` makes, each after those that it is made of, in whatever order they were written.

    Raises DataError for a name that the input has, too, and for columns that are made of each other.
    """
    expressions = _expressions(data)
    for name in expressions:
        if name in read or name in available:
            raise DataError(f"data.define.{name}: the input has a column {name}, too; expected another name")
    try:
        order = list(TopologicalSorter({name: made.names for name, made in expressions.items()}).static_order())
    except CycleError as error:
        circle = " of ".join(reversed(error.args[1]))
        raise DataError(f"data.define: found {circle}: columns that are made of each other") from error
    made: Columns = {}
    for name in order:
        if name in expressions:
            made[name] = expressions[name](read | made, available)
    return made


def _files(data: DataSettings) -> list[Path]:
    return [table_file(data, name) for name in data.sets] if data.source == "lhco" else input_files(data)


def _read_all(data: DataSettings, files: list[Path]) -> tuple[tuple[str, ...], Columns]:
    """Names of all columns, and the values of those that the settings name (or the official table needs)."""
    wanted = {data.mass, *data.features, *([data.label] if data.label else [])}
    for expression in _expressions(data).values():
        wanted |= set(expression.names)
    wanted |= set(parse(data.select, "data.select").names) if data.select is not None else set()

    def choose(names: tuple[str, ...]) -> list[str]:
        official = set(JET_COLUMNS) if data.format != "table" and is_lhco(set(names)) else set()
        return [name for name in dict.fromkeys(names) if name in wanted | official]

    parts = [read_table(path, data.key, choose) for path in files]
    if data.source == "lhco":
        parts = [_with_label(part, data, name) for part, name in zip(parts, data.sets, strict=True)]
    for path, part in zip(files[1:], parts[1:], strict=True):
        if set(part.available) != set(parts[0].available):
            odd = sorted(set(part.available) ^ set(parts[0].available))
            raise DataError(f"{path}: columns differ from {files[0]}: {', '.join(odd)}")
    common = [n for n in parts[0].columns if all(n in part.columns for part in parts)]
    return parts[0].available, {n: np.concatenate([part.columns[n] for part in parts]) for n in common}


def _with_label(part: Table, data: DataSettings, name: str) -> Table:
    """An official file with the label column that not all of them have. A black box is opened only for `data.label`."""
    n, known = len(next(iter(part.columns.values()), ())), SETS[name].label
    if "label" in part.available:
        return part
    if SETS[name].raw and data.label is not None:
        label: NDArray[np.generic] = read_key(cached_file(data, name, key=True), n)
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
    events: Events, label: NDArray[np.int64], injection: InjectionSettings, seed: int
) -> tuple[Events, Labels, Events]:
    """Keep `n_signal` of the labelled signal events, drawn by seed; the others become spare."""
    nothing = events[np.zeros(len(events), dtype=bool)]
    if injection.n_signal is None:
        return events, Labels(label), nothing
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
    return events[mask], Labels(label[mask]), events[~mask]


def describe_source(data: DataSettings) -> str:
    """A short text for reports: where the events came from, without folders."""
    if data.source == "lhco":
        return f"LHC Olympics {' + '.join(data.sets)}"
    if data.source == "pythia":
        return "events generated with Pythia"
    if data.source == "memory":
        return "table"
    return "bundled demo sample" if data.source == "demo" else ", ".join(Path(f).name for f in data.files)
