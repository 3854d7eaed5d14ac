"""A configuration for a table: roles of its columns, range and windows, checked as `cathode check` does until one passes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cathode.config import Config, load_config
from cathode.errors import CathodeError, DataError
from cathode.events import Labels
from cathode.intake.expressions import parse, quoted
from cathode.intake.prepare import Prepared, outside, prepare_events
from cathode.proposal.pairs import Pair, find_pair
from cathode.proposal.roles import Described, describe_columns, rank_masses
from cathode.proposal.table import Look, look, read_elements
from cathode.proposal.windows import RESOLUTION, Unit, Where, guess_objects, guess_unit, propose_range, propose_windows
from cathode.running.check import describe_prepared

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """What is known of a table once its mass is chosen.

    Attributes:
        seen: the files.
        columns: every column that may be used, masses and made ones first.
        mass: name of the resonant variable.
        pair: how the mass is made, where there was no column of it.
        select: condition for events to be used at all.
    """

    seen: Look
    columns: dict[str, Array]
    mass: str
    pair: Pair | None
    select: str | None


@dataclass(frozen=True)
class Choice:
    """What a user may say otherwise.

    Attributes:
        unit: of the mass.
        resolution: relative, of the mass.
        blind: whether signal regions stay closed.
        objects: what the resolution was guessed from.
    """

    unit: Unit
    resolution: float
    blind: bool = True
    objects: str = ""


@dataclass(frozen=True)
class Proposal:
    """A configuration that hunts.

    Attributes:
        config: it.
        tree: the keys that differ from the defaults.
        columns: what every column is taken for.
        where: its windows.
        said: what `cathode check` says of it.
    """

    config: Config
    tree: dict[str, Any]
    columns: list[Described]
    where: Where
    said: str


def open_table(files: Sequence[str], mass: str | None = None) -> Table:
    """Look at files and find their mass, or take the one that is named. Raises DataError where no column can be it."""
    seen = look(files)
    columns = {name: seen.values(name) for name in seen.numbers}
    masses = rank_masses(columns)
    if mass is not None and mass not in columns:
        raise DataError(f"--mass: found no column {mass} of numbers, expected one of {', '.join(columns)}")
    if mass or masses:
        return Table(seen, columns, mass or masses[0], None, None)
    pair = find_pair(columns, seen.vectors)
    if pair is None:
        raise DataError(
            f"{files[0]}: cannot tell which column is the mass to hunt in; name it with --mass, one of {', '.join([*columns, *seen.vectors])}"
        )
    expressions = [*pair.define.values(), *([pair.select] if pair.select else []), *pair.others]
    needed = dict.fromkeys(name for text in expressions for name in parse(text, "define").names if name not in columns)
    columns |= read_elements(seen, list(needed))
    chosen = np.asarray(parse(pair.select, "select")({**columns})) if pair.select else slice(None)
    columns = {name: values[chosen] for name, values in columns.items()}
    made: dict[str, Array] = {}
    for name, text in pair.define.items():
        made[name] = np.asarray(parse(text, name)({**columns, **made}), dtype=np.float64)
    return Table(seen, made | columns, "pair_mass", pair, pair.select)


def default_choice(table: Table) -> Choice:
    """Unit and resolution by the names of the columns and the size of the mass."""
    objects = guess_objects([*table.seen.numbers, *table.seen.vectors])
    return Choice(guess_unit(_positive(table), objects), RESOLUTION[objects], objects=objects)


def propose(table: Table, choice: Choice, *, run: str) -> Proposal:
    """The first configuration that `cathode check` has nothing against. Raises its refusal of the last one where none passes."""
    parts = set(table.pair.parts) if table.pair else set()
    columns = {name: values for name, values in table.columns.items() if name not in parts}
    whole = {n for n, v in table.seen.numbers.items() if v.dtype.kind in "iub" or _is_whole(table.columns[n])}
    described = describe_columns(columns, table.mass, integers=whole)
    features = [c for c in described if c.role == "feature"]
    if not features:
        raise DataError(
            f"{table.seen.files[0]}: found no column that a hunt could use beside {table.mass}, expected at least one feature"
        )
    tree = _tree(table, choice, described, run)
    mass = _positive(table)
    span = propose_range(mass)
    refusals: list[CathodeError] = []
    prepared: Prepared | None = None
    for where in propose_windows(mass, span, choice.resolution):
        for methods, number in (
            (["cathode", "cwola"], 12),
            (["cathode", "cwola"], 8),
            (["cathode"], 8),
            (["cathode"], 5),
        ):
            hunted = tree | _of_windows(where, methods, number)
            try:
                config = load_config(hunted)
                if prepared is None:
                    prepared = prepare_events(config.data, config.injection, config.mass_range, seed=config.seed)
                hunted |= _points(config, prepared)
                config = load_config(hunted)
                said = describe_prepared(config, _visible(prepared, config))
                return Proposal(config, hunted, described, where, said)
            except CathodeError as error:
                refusals.append(error)
    raise refusals[-1]


def _tree(table: Table, choice: Choice, described: list[Described], run: str) -> dict[str, Any]:
    features = [c.name for c in described if c.role == "feature"]
    conditions = [
        *([table.select] if table.select else []),
        *dict.fromkeys(c.keep for c in described if c.role == "feature" and c.keep),
    ]
    if np.any(~np.isfinite(table.columns[table.mass])):
        conditions.insert(0, f"isfinite({quoted(table.mass)})")
    if np.any(table.columns[table.mass] <= 0):
        conditions.insert(0, f"{quoted(table.mass)} > 0")
    data: dict[str, Any] = {"source": "files", "files": list(table.seen.files)}
    data |= {"key": table.seen.key} if table.seen.key else {}
    data |= {"mass": table.mass, "mass_unit": choice.unit, "features": features}
    if table.pair:
        used = [table.mass, *features]
        data["define"] = {name: text for name, text in table.pair.define.items() if name in used}
    if conditions:
        data["select"] = " and ".join(f"({c})" if len(conditions) > 1 else c for c in conditions)
    for key, role in (("label", "label"), ("weight", "weight")):
        if found := [c.name for c in described if c.role == role]:
            data[key] = found[0]
    if found := [c.name for c in described if c.role == "identifier"]:
        data["identifiers"] = found
    if found := [c.name for c in described if c.role == "feature" and c.discrete]:
        data["discrete"] = found
    return {"run": run, "data": data, "blind": choice.blind}


def _of_windows(where: Where, methods: list[str], number: int) -> dict[str, Any]:
    windows: dict[str, Any] = {"range": list(where.range)}
    if where.scan:
        windows["scan"] = dataclasses.asdict(where.scan)
    else:
        windows["signal_regions"] = [list(where.signal_region or ())]
    tree: dict[str, Any] = {"windows": windows, "methods": methods}
    return tree | ({"closure": {"windows": number}} if number != 12 else {})


def _points(config: Config, prepared: Prepared) -> dict[str, Any]:
    """Working points that leave some events."""
    fewest = min(int(w.in_signal(prepared.events.mass).sum()) for w in config.regions.values())
    points = [eps for eps in (0.1, 0.01, 0.001) if eps * fewest >= 3] or [0.1]
    return {"working_points": points}


def _visible(prepared: Prepared, config: Config) -> Prepared:
    """What a blind run of `config` sees."""
    if not config.blinded:
        return prepared
    seen = outside(prepared.events.mass, config.blinded)
    labels = Labels(prepared.labels.label[seen]) if prepared.labels.known else prepared.labels
    return dataclasses.replace(prepared, events=prepared.events[seen], labels=labels)


def _positive(table: Table) -> Array:
    mass = table.columns[table.mass]
    mass = mass[np.isfinite(mass) & (mass > 0)]
    if len(mass) < 500:
        raise DataError(
            f"{table.seen.files[0]}: found {len(mass)} events with a positive {table.mass}, expected at least 500"
        )
    return mass


def _is_whole(values: Array) -> bool:
    finite = values[np.isfinite(values)][:10_000]
    return len(finite) > 0 and bool(np.all(finite == np.round(finite)))
