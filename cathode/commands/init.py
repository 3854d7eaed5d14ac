"""`cathode init TABLE`: look at a table, ask a few things, write a configuration."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cathode.commands.command import Run
from cathode.errors import ConfigError

if TYPE_CHECKING:
    from cathode.proposal.propose import Choice, Proposal, Table

_MARKS = {"feature": "✔", "left out": "✘"}


def init(parser: argparse.ArgumentParser) -> Run:
    """`cathode init TABLE`."""
    parser.add_argument(
        "table", nargs="+", help="file(s) of events: .parquet .root .h5 .hdf5 .csv .tsv (.gz) .npy .npz; file.root:tree"
    )
    parser.add_argument("--yes", action="store_true", help="ask nothing")
    parser.add_argument("--out", metavar="FILE", help="configuration to write (default: <table>.yaml in this folder)")
    parser.add_argument("--mass", metavar="COLUMN", help="the resonant variable (default: by name)")
    parser.add_argument(
        "--unit", choices=("GeV", "TeV", "MeV"), help="of the mass (default: by the size of the numbers)"
    )
    parser.add_argument(
        "--resolution", metavar="R", type=float, help="of the mass, relative, as 0.03; a window is four of these wide"
    )
    parser.add_argument("--unblind", action="store_true", help="open the signal regions at once")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")

    def run(arguments: argparse.Namespace) -> None:
        from cathode.proposal.propose import default_choice, open_table, propose
        from cathode.proposal.write import write_new, yaml_text

        out = Path(arguments.out or f"{_stem(arguments.table[0])}.yaml")
        if out.exists() and not arguments.force:
            raise ConfigError(f"{out}: is there already, expected a new file; --out names another, --force replaces it")
        if arguments.resolution is not None and not 0 < arguments.resolution < 0.3:
            raise ConfigError(
                f"--resolution: found {arguments.resolution:g}, expected a relative resolution between 0 and 0.3, as 0.03"
            )
        asks = not arguments.yes and sys.stdin.isatty()
        files = [_from_here(name) for name in arguments.table]
        table = open_table(files, arguments.mass)
        if asks and arguments.mass is None and table.pair is None:
            answer = _ask(f"mass [{table.mass}]")
            table = open_table(files, answer) if answer and answer != table.mass else table
        choice = default_choice(table)
        choice = dataclasses.replace(
            choice,
            unit=arguments.unit or choice.unit,
            resolution=arguments.resolution or choice.resolution,
            objects=choice.objects if arguments.resolution is None else "",
            blind=not arguments.unblind,
        )
        if asks:
            choice = _asked(choice, arguments)
        proposal = propose(table, choice, run=_stem(str(out)))
        print("\n".join(_shown(table, choice, proposal)))
        write_new(yaml_text(proposal, choice), out, force=arguments.force)
        print(f"wrote {out}    next: cathode hunt {out} --quick")

    return run


def _asked(choice: Choice, arguments: argparse.Namespace) -> Choice:
    if arguments.unit is None and (answer := _ask(f"unit of the mass, GeV, TeV or MeV [{choice.unit}]")):
        if answer not in ("GeV", "TeV", "MeV"):
            raise ConfigError(f"unit: found {answer}, expected GeV, TeV or MeV")
        choice = dataclasses.replace(choice, unit=answer)  # type: ignore[arg-type]
    if arguments.resolution is None and (
        answer := _ask(f"resolution of the mass in percent [{100 * choice.resolution:g}, for {choice.objects}]")
    ):
        try:
            resolution = float(answer.rstrip("% ")) / 100
        except ValueError:
            resolution = 0.0
        if not 0 < resolution < 0.3:
            raise ConfigError(f"resolution: found {answer}, expected percent between 0 and 30")
        choice = dataclasses.replace(choice, resolution=resolution, objects="")
    if not arguments.unblind and _ask(
        "keep the signal regions closed until you say otherwise? [Y/n]"
    ).lower().startswith("n"):
        choice = dataclasses.replace(choice, blind=False)
    return choice


def _ask(question: str) -> str:
    try:
        return input(f"{question}: ").strip()
    except EOFError:
        return ""


def _shown(table: Table, choice: Choice, proposal: Proposal) -> list[str]:
    """What was found, a line a column, and what would be hunted."""
    from cathode.columns import aligned
    from cathode.proposal.write import sparkline

    tree = f"tree {table.seen.key}, " if table.seen.key else ""
    what = "the 15-column table of the LHC Olympics, " if table.seen.is_dijet else ""
    lines = [f"{what}{tree}{table.seen.n_events:,} rows   mass: {table.mass} ({choice.unit})"]
    rows = []
    for column in proposal.columns:
        if column.role != "mass":
            rho = f"ρ={column.correlation:+.2f}" if column.correlation == column.correlation else ""
            note = column.note if column.role in ("feature", "left out") else f"{column.role}: {column.note}"
            rows.append([f" {column.name}", sparkline(column.values), rho, f"{_MARKS.get(column.role, '·')} {note}"])
    shown = rows if len(rows) <= 24 else [*rows[:23], ["", "", "", f"and {len(rows) - 23} more, in the file"]]
    lines.append(aligned(shown, left=4))
    if table.seen.others or (table.seen.vectors and table.pair is None):
        names = [*table.seen.others, *table.seen.vectors]
        lines.append(f" not numbers: {', '.join(names[:8])}{' …' if len(names) > 8 else ''}")
    where, unit = proposal.where, choice.unit
    if where.scan:
        number = f"{where.number} windows of {where.width:g} {unit} at {where.scan.first:g} to {where.scan.last:g}"
    else:
        low, high = where.signal_region or (0.0, 0.0)
        number = f"one window of {low:g} to {high:g} {unit}"
    lines.append(
        f"range {where.range[0]:g} to {where.range[1]:g} {unit}, {number}; {'blind' if choice.blind else 'not blind'}"
    )
    lines += [line for line in proposal.said.splitlines() if line.startswith(("estimate", "warning"))][-6:]
    return lines


def _stem(path: str) -> str:
    """A name for the run, of a file's."""
    name = re.sub(r"\.(gz|bz2)$", "", Path(path.partition(".root:")[0]).name)
    stem = re.sub(r"[^\w.+-]", "_", name.removesuffix(Path(name).suffix)).lstrip(".+-") or "hunt"
    return stem[:80]


def _from_here(name: str) -> str:
    """A path that stands for the same file in a configuration that is used in this folder."""
    return (
        name
        if not Path(name).is_absolute()
        else str(Path(os.path.relpath(name)))
        if Path(name).is_relative_to(Path.cwd())
        else name
    )
