"""`cathode apply`: a finished run on events that it never saw."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cathode.commands.command import Run
from cathode.commands.results import find_run
from cathode.errors import ArtefactError

if TYPE_CHECKING:
    import pandas as pd

_FORMS = (".parquet", ".csv", ".csv.gz")


def apply_run(parser: argparse.ArgumentParser) -> Run:
    """`cathode apply RUN TABLE --out FILE`."""
    parser.add_argument(
        "run_folder",
        metavar="RUN",
        help="folder of the run, its name under results/, its configuration, or a model.npz of it",
    )
    parser.add_argument(
        "table",
        metavar="TABLE",
        nargs="+",
        help="file(s) of events in any format that a hunt reads, with the same columns",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        required=True,
        help="a new .parquet, .csv or .csv.gz: one row per event, window and method",
    )
    parser.add_argument("--window", metavar="NAME", help="one window by name, as m3500 (default: all)")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")

    def run(arguments: argparse.Namespace) -> None:
        out = Path(arguments.out)
        if not out.name.endswith(_FORMS):
            raise ArtefactError(f"--out: found {out.name}, expected a name that ends with {', '.join(_FORMS)}")
        if out.exists() and not arguments.force:
            raise ArtefactError(f"{out}: is there already, expected a new file; --force replaces it")
        from cathode import io
        from cathode.unseen import apply, describe

        given = Path(arguments.run_folder)
        which = given if given.suffix == ".npz" else find_run(arguments.run_folder)
        frame = apply(which, list(arguments.table), window=arguments.window)
        io.write_whole(out, lambda part: _write(frame, part, out.name))
        print(describe(frame))
        print(out)

    return run


def _write(frame: pd.DataFrame, part: Path, name: str) -> None:
    if name.endswith(".parquet"):
        plain = frame.copy()
        plain.attrs = {}
        plain.to_parquet(part, index=False)
    else:
        frame.to_csv(part, index=False, compression="gzip" if name.endswith(".gz") else None)
