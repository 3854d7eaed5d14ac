"""From a user's files to validated events, with labels and spare signal kept apart."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from cathode.dijets.columns import JET_COLUMNS, derive_dijet, is_lhco
from cathode.dijets.particles import read_key
from cathode.errors import DataError
from cathode.events import Events, Intake, Labels, check_kind, numbers
from cathode.generator.generate import Generated, merge_chunks
from cathode.generator.settings import GeneratorSettings
from cathode.intake.diagnose import describe_features, spread
from cathode.intake.expressions import Expression, missing_column, parse
from cathode.intake.files import input_files, input_sha256, tree_key
from cathode.intake.official import SETS, Fetched, cached_file, table_file
from cathode.intake.settings import DataSettings, InjectionSettings
from cathode.intake.tables import Columns, Table, element, read_table
from cathode.intake.validate import (
    LEAST_EVENTS,
    check_label,
    check_unit,
    count_duplicates,
    left_out_by_injection,
    thin_by_weight,
)
from cathode.regions import Interval, in_interval
from cathode.seeds import derive_seed

log = logging.getLogger(__name__)


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
    log.info("%s", p.intake.sentence)
    for doubt in p.intake.doubts:
        log.warning("warning: %s", doubt)
    return p.events, p.labels, p.spare, p.intake


def prepare_events(
    data: DataSettings,
    injection: InjectionSettings,
    mass_range: Interval,
    *,
    seed: int,
    blinded: tuple[Interval, ...] = (),
    columns: Columns | None = None,
    unseen: bool = False,
    changed: Mapping[str, str] = MappingProxyType({}),
) -> Prepared:
    """Read, derive, select, validate and inject. `mass_range` in GeV. Raises DataError on the first defect.

    Events in `blinded` intervals (GeV) are left out, and no count, range or message depends on them; only where `injection` draws
    from labelled signal, it does so from that of the whole range. `columns` are given where there are no files:
    generated events, or a table in memory. `unseen`: nothing will be trained on them, so that one event is enough. `changed` columns are
    replaced by expressions of what was read, before anything is derived from them.
    """
    read_files = _files(data) if columns is None else []
    where = _called(read_files) if data.source == "files" else describe_source(data)
    checksums = input_sha256(read_files)
    recipes = {name: parse(text, f"variations.{name}") for name, text in changed.items()}
    more = [*recipes, *(name for recipe in recipes.values() for name in recipe.names)]
    available, read = _read_all(data, read_files, more) if columns is None else (tuple(columns), columns)
    if data.format == "lhco" and not is_lhco(set(available)):
        raise DataError(f"{where}: data.format lhco expects the 15 official columns, found {', '.join(available)}")
    if not read:
        raise DataError(f"{where}: {missing_column(data.mass, available)}")
    n_read = len(next(iter(read.values())))
    read = read | {name: recipe(read, available) for name, recipe in recipes.items() if name in read}
    if data.format != "table" and is_lhco(set(read)):
        read = read | _derived(data, read, where)
        read = read | {name: recipe(read, available) for name, recipe in recipes.items() if name not in available}
    for name in recipes:
        if name not in read:
            raise DataError(f"variations.{name}: {missing_column(name, [*read, *available])}")
    read = read | _defined(data, read, available)
    for _, name in _wanted(data):
        if name not in read:
            raise DataError(f"{where}: {missing_column(name, [*read, *available])}")
    row = np.flatnonzero(_selected(data, read, available, n_read))
    if len(row) == 0:
        of_all = "" if blinded else f" of {n_read}"
        raise DataError(f"data.select: {data.select!r} keeps none{of_all} events")
    n_selected = len(row)

    mass = numbers(read[data.mass], data.mass, row, where, say_row=not blinded) * data.unit
    drawn = data.label is not None and injection.n_signal is not None  # from the signal of the whole range
    if blinded and not drawn:
        visible = outside(mass, blinded)
        row, mass = row[visible], mass[visible]
    check_unit(mass, mass_range, where, data.mass_unit)
    inside = in_interval(mass, mass_range)
    n_outside = int((~inside).sum())
    least = 1 if unseen else LEAST_EVENTS
    if inside.sum() < least:
        raise DataError(
            f"{where}: found {int(inside.sum())} of {len(mass)} events with {data.mass} in windows.range "
            f"[{mass_range[0]:g}, {mass_range[1]:g}] GeV, expected at least {least}"
        )
    kept = inside.mean() if blinded else inside.sum() / n_read
    if kept < 1 - data.allow_loss:
        raise DataError(
            f"{where}: data.select and windows.range keep {kept:.2%} of the events, expected at least {1 - data.allow_loss:.2%}: is it the "
            "right column, unit and range? data.allow_loss permits more"
        )
    row, mass = row[inside], mass[inside]
    event_weight = None
    if data.weight is not None:
        weight = numbers(read[data.weight], data.weight, row, where, say_row=not blinded)
        event_weight, drawn_events = thin_by_weight(weight, data, where, seed, least)
        row, mass = row[drawn_events], mass[drawn_events]
    n_weighted_away = int(inside.sum()) - len(row)
    label, left_out = None, np.zeros(len(row), dtype=bool)
    if data.label is not None:
        values = numbers(read[data.label], data.label, row, where, say_row=not blinded)
        label = check_label(values, data.label, None if blinded else row, where)
        left_out = left_out_by_injection(label, injection, seed)
    elif injection.n_signal is not None:
        raise DataError("injection.n_signal: expected data.label to name the truth column, found none")
    if blinded and drawn and label is not None:
        visible = outside(mass, blinded)
        row, mass, left_out, label = row[visible], mass[visible], left_out[visible], label[visible]
    features = np.empty((len(row), len(data.features)))
    for j, name in enumerate(data.features):
        features[:, j] = numbers(read[name], name, row, where, say_row=not blinded)
        if np.ptp(features[:, j]) == 0 and not unseen:
            raise DataError(f"{where}: column {name} is constant ({features[0, j]:g}), expected a feature that varies")
    identifiers = tuple(np.asarray(read[name])[row] for name in data.identifiers)
    for name, carried in zip(data.identifiers, identifiers, strict=True):
        check_kind(carried, name, where, exact=True)
    for name in data.discrete:
        j = data.features.index(name)
        features[:, j] = spread(features[:, j], np.random.default_rng(derive_seed(seed, "discrete", name)))
    read = {}  # free what was read
    if blinded:  # numbers of rows would tell how many hidden ones lie between them
        row = np.arange(len(row))
    everything = Events(tuple(data.features), row, mass, features, data.identifiers, identifiers)
    events, spare = everything[~left_out], everything[left_out]
    n_duplicates = count_duplicates(events.mass, events.features)
    if n_duplicates > data.allow_duplicates * len(events):
        raise DataError(
            f"{where}: {n_duplicates} of {len(events)} events repeat an earlier one exactly, expected at most {data.allow_duplicates:.0%}: is a "
            "file or a part of one read twice? data.allow_duplicates permits more"
        )
    lost = {"select": n_read - n_selected, "range": n_outside, "injection": len(spare)}
    lost |= {"weight": n_weighted_away} if data.weight else {}
    intake = Intake(
        read=None if blinded else n_read,
        kept=len(events),
        dropped=None if blinded else lost,
        duplicates=n_duplicates,
        inputs=None if blinded else checksums,
        event_weight=event_weight,
        warnings=() if unseen else tuple(describe_features(events, data.discrete)),
    )
    labels = Labels() if label is None else Labels(label[~left_out])
    return Prepared(events=events, labels=labels, spare=spare, intake=intake)


def outside(mass: NDArray[np.float64], intervals: tuple[Interval, ...]) -> NDArray[np.bool_]:
    """Which masses lie in none of the intervals."""
    return np.asarray(~np.any([in_interval(mass, interval) for interval in intervals], axis=0))


def _wanted(data: DataSettings) -> list[tuple[str, str]]:
    """What must be there, by the key that asks for it."""
    wanted = [("data.mass", data.mass), *(("data.features", name) for name in data.features)]
    wanted += [("data.identifiers", name) for name in data.identifiers]
    wanted += [("data.weight", data.weight)] if data.weight else []
    return wanted + ([("data.label", data.label)] if data.label else [])


def _uses(data: DataSettings) -> list[tuple[str, str]]:
    """Every column that the settings name, by the key that names it."""
    used = _wanted(data)
    for key, expression in _expressions(data).items():
        used += [(f"data.define.{key}", name) for name in expression.names]
    if data.select is not None:
        used += [("data.select", name) for name in parse(data.select, "data.select").names]
    return used


def _selected(data: DataSettings, read: Columns, available: tuple[str, ...], n: int) -> NDArray[np.bool_]:
    if data.select is None:
        return np.ones(n, dtype=bool)
    chosen = parse(data.select, "data.select")(read, available)
    if chosen.dtype != np.bool_:
        raise DataError(f"data.select: {data.select!r} gives {chosen.dtype} values, expected true or false")
    return np.asarray(chosen, dtype=bool)


def _derived(data: DataSettings, read: Columns, where: str) -> Columns:
    """Columns that are derived from the official table's. Its own `mj1`, the mass of the jet with the larger pT, is replaced.

    Raises DataError where a name could mean two things: `mj2`, which keeps its order by pT beside an `mj1` ordered by mass, and a
    column of the input that is called as a derived one and differs from it.
    """
    derived, used = derive_dijet(read), {name: key for key, name in _uses(data)}
    if "mj2" in used:
        raise DataError(
            f"{used['mj2']}: mj2 is the mass of the jet with the smaller pT, but mj1 was derived as that of the lighter jet; expected "
            "mj1 + delta_mj for the heavier jet, or data.format: table, which leaves all columns as they are"
        )
    for name in derived.keys() & read.keys() & used.keys() - {"mj1"}:
        own = np.asarray(read[name], dtype=np.float64)
        if not np.allclose(own, derived[name], rtol=1e-4, equal_nan=True):
            raise DataError(
                f"{where}: its column {name} is not what is derived from the 15 official columns ({own[0]:g} and {derived[name][0]:g} in row 0); "
                "expected data.format: table, which uses its own, or a file without it"
            )
    return derived


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


def _called(files: Sequence[Path]) -> str:
    """What messages call the input files, in the order in which rows count through them."""
    if len(files) == 1:
        return str(files[0])
    return f"{len(files)} files ({files[0].name}{', ...' if len(files) > 2 else ''}, {files[-1].name}; rows count through them in this order)"


def _files(data: DataSettings) -> list[Path]:
    return [table_file(data, name) for name in data.sets] if data.source == "lhco" else input_files(data)


def _read_all(data: DataSettings, files: list[Path], more: Sequence[str] = ()) -> tuple[tuple[str, ...], Columns]:
    """Names of all columns, and the values of those that the settings name (or the official table needs), and of `more`.

    Raises DataError for a file that lacks one of them while others have it, and for files without events if all are.
    """
    wanted = [*dict.fromkeys([*(name for _, name in _uses(data)), *more])]

    def choose(names: tuple[str, ...]) -> list[str]:
        official = set(JET_COLUMNS) if data.format != "table" and is_lhco(set(names)) else set()
        inside = [name for name in wanted if element(name, names)]
        return [name for name in dict.fromkeys(names) if name in official or name in wanted] + inside

    key = tree_key(data)
    read = [read_table(path, key, choose, exact=data.identifiers) for path in files]
    paths = [path for path, part in zip(files, read, strict=True) if part.events != 0]
    parts = [part for part in read if part.events != 0]
    if not parts or (len(parts) < len(read) and data.source == "lhco"):
        raise DataError(f"{', '.join(str(path) for path in files if path not in paths)}: found no events")
    if len(parts) < len(read):
        log.warning("without events: %s", ", ".join(str(path) for path in files if path not in paths))
    if data.source == "lhco":
        parts = [_with_label(part, data, name) for part, name in zip(parts, data.sets, strict=True)]
    known = [n for n in dict.fromkeys(n for part in parts for n in part.columns) if n in wanted or n in JET_COLUMNS]
    for path, part in zip(paths, parts, strict=True):
        for name in known:
            if name not in part.columns:
                raise DataError(f"{path}: {missing_column(name, part.available)}; other files have it")
    available = tuple(dict.fromkeys(name for part in parts for name in part.available))
    return available, {name: np.concatenate([part.columns[name] for part in parts]) for name in known}


def _with_label(part: Table, data: DataSettings, name: str) -> Table:
    """An official file with the label column that not all of them have. A black box is opened only for `data.label`."""
    n, known = part.events or 0, SETS[name].label
    if "label" in part.available:
        return part
    if SETS[name].raw and data.label is not None:
        label: NDArray[np.generic] = read_key(cached_file(data, name, key=True), n)
    elif known is not None:
        label = np.full(n, known)
    else:
        return part
    return Table((*part.available, "label"), part.columns | {"label": label})


def describe_source(data: DataSettings) -> str:
    """A short text for reports: where the events came from, without folders."""
    if data.source == "lhco":
        return f"LHC Olympics {' + '.join(data.sets)}"
    if data.source == "pythia":
        return "events generated with Pythia"
    if data.source == "memory":
        return "table"
    return "bundled demo sample" if data.source == "demo" else ", ".join(Path(f).name for f in data.files)
