"""Commands for readers of finished runs."""

from __future__ import annotations

import argparse
import json
import logging
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cathode.commands.command import Run
from cathode.errors import ArtefactError, ConfigError

if TYPE_CHECKING:
    from cathode.summary import Summary

RUN = "folder of the run, its name under results/, or its configuration (default: the newest run under results/)"


def open_report(parser: argparse.ArgumentParser) -> Run:
    """`cathode open [RUN]`."""
    parser.add_argument("run_folder", metavar="RUN", nargs="?", help=RUN)

    def run(arguments: argparse.Namespace) -> None:
        page = newest_report(find_run(arguments.run_folder))
        print(page)
        webbrowser.open(page.resolve().as_uri())

    return run


def why(parser: argparse.ArgumentParser) -> Run:
    """`cathode why [RUN]`."""
    parser.add_argument("run_folder", metavar="RUN", nargs="?", help=RUN)
    parser.add_argument(
        "--hunt", metavar="NAME", help="as m3500_cathode_0.01 (default: the one that the verdict quotes)"
    )

    def run(arguments: argparse.Namespace) -> None:
        from cathode.report.explain import explain
        from cathode.report.verdict import read_calibration

        folder = find_run(arguments.run_folder)
        calibration = read_calibration(folder) if is_calibrated(folder) else None
        print(explain(read_summary(folder), arguments.hunt, calibration))

    return run


def compare(parser: argparse.ArgumentParser) -> Run:
    """`cathode compare RUN RUN`."""
    parser.add_argument("first", metavar="RUN", help=RUN.partition(" (")[0])
    parser.add_argument("second", metavar="RUN")

    def run(arguments: argparse.Namespace) -> None:
        from cathode.report.explain import compare_runs

        print(compare_runs(*(read_summary(find_run(name)) for name in (arguments.first, arguments.second))))

    return run


def limit(parser: argparse.ArgumentParser) -> Run:
    """`cathode limit [RUN] [--signal TABLE]`."""
    parser.add_argument("run_folder", metavar="RUN", nargs="?", help=RUN)
    own = parser.add_argument_group("a signal of your own (minutes: it is injected, and everything is trained anew)")
    own.add_argument(
        "--signal",
        metavar="TABLE",
        nargs="+",
        action="extend",
        help="file(s) of signal events alone, with the columns of the run's data",
    )
    own.add_argument(
        "--window", metavar="NAME", help="one window by name (default: the one that holds most of the signal)"
    )
    own.add_argument(
        "--strengths", metavar="S", nargs="+", action="extend", type=float,
        help="injected signals in units of the square root of the events of the signal region (default: 0.5 1 2 3 5)",
    )  # fmt: skip
    own.add_argument("--draws", metavar="N", type=int, help="independent draws per strength (default: 2)")
    own.add_argument(
        "--variations",
        metavar="FILE",
        help="YAML of systematics of the simulated signal, each as columns moved up by one standard deviation: `jet_energy_scale: {mjj: mjj * 1.01}`",
    )
    own.add_argument("--cores", metavar="N", type=int, help="processes (default: all cores)")
    own.add_argument("--out", metavar="FILE", help="a new .csv of the limits")
    own.add_argument("--plot", metavar="FILE", help="a new .pdf, .png or .svg of the limits against mass")

    def run(arguments: argparse.Namespace) -> None:
        if arguments.signal is None:
            for name in ("window", "strengths", "draws", "variations", "cores", "out", "plot"):
                if getattr(arguments, name) is not None:
                    raise ConfigError(
                        f"--{name}: found without --signal TABLE, expected both: it is of a signal of your own"
                    )
            from cathode.report.explain import describe_limits

            print(describe_limits(read_summary(find_run(arguments.run_folder))))
            return
        import pandas as pd

        from cathode import io
        from cathode.own_signal import STRENGTHS, band, limit_signal

        out, figure = (Path(name) if name else None for name in (arguments.out, arguments.plot))
        for flag, path, endings in (("--out", out, (".csv",)), ("--plot", figure, (".pdf", ".png", ".svg"))):
            if path and (path.suffix not in endings or path.exists()):
                there = " there already" if path.exists() else ""
                raise ArtefactError(f"{flag}: found {path}{there}, expected a new {' or '.join(endings)}")
        variations = {}
        if arguments.variations:
            from cathode.strict_yaml import read_yaml

            variations = read_yaml(arguments.variations)
        logging.getLogger("cathode").setLevel(logging.WARNING)  # there is a bar
        limits = []
        for table in arguments.signal:
            limits.append(
                limit_signal(
                    find_run(arguments.run_folder),
                    table,
                    window=arguments.window,
                    strengths=arguments.strengths or STRENGTHS,
                    draws=2 if arguments.draws is None else arguments.draws,
                    variations=variations,
                    cores=arguments.cores,
                )
            )
            print(limits[-1])
        if out:
            frame = pd.concat([found.frame for found in limits], ignore_index=True)
            io.write_whole(out, lambda part: frame.to_csv(part, index=False))
            print(out)
        if figure:
            print(band(limits).save(figure))

    return run


def plot(parser: argparse.ArgumentParser) -> Run:
    """`cathode plot FILE.json`."""
    from cathode.plots.style import STYLES

    parser.add_argument("file", help="numbers of a figure: a .json of a run's plots/")
    parser.add_argument("--style", choices=STYLES, help="of mplhep (default: ROOT)")
    parser.add_argument("--working-point", metavar="EPS", help="which one, where the figure has several")
    parser.add_argument("--out", metavar="FILE", help=".pdf, .png or .svg (default: <file>.pdf in this folder)")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")

    def run(arguments: argparse.Namespace) -> None:
        from cathode.plots.drawing import read_drawing

        path = Path(arguments.file)
        if not path.is_file():
            raise ArtefactError(f"{path}: no such file, expected a .json of a run's plots/")
        drawing = read_drawing(path.read_text(encoding="utf-8", errors="replace"), str(path), arguments.style)
        if arguments.working_point:
            drawing = drawing.at(arguments.working_point)
        out = Path(arguments.out or f"{path.stem}.pdf")
        if out.exists() and not arguments.force:
            raise ArtefactError(
                f"{out}: is there already, expected a new file; --out names another, --force replaces it"
            )
        print(drawing.save(out))

    return run


def export(parser: argparse.ArgumentParser) -> Run:
    """`cathode export RUN FOLDER`."""
    parser.add_argument("run_folder", metavar="RUN", help=RUN.partition(" (")[0])
    parser.add_argument("folder", metavar="FOLDER", help="a new folder")
    parser.add_argument("--style", help="of mplhep: ROOT, CMS, ATLAS, LHCb2 or ALICE (default: ROOT)")

    def run(arguments: argparse.Namespace) -> None:
        from cathode.report.export import export_run

        folder = find_run(arguments.run_folder)
        print(export_run(read_summary(folder), folder, Path(arguments.folder), style=arguments.style))

    return run


def newest_report(folder: Path) -> Path:
    """The report of a run, the one with its calibration where that is of this hunt. Raises ArtefactError without any."""
    page, calibrated = folder / "report.html", folder / "calibration" / "report.html"
    if not page.exists():
        raise ArtefactError(f"{page}: no such file, expected a run that has ended")
    return calibrated if is_calibrated(folder) else page


def is_calibrated(folder: Path) -> bool:
    """Whether a run's calibration is there and of the hunt that is there."""
    calibrated = folder / "calibration" / "report.html"
    return calibrated.exists() and calibrated.stat().st_mtime >= (folder / "summary.json").stat().st_mtime


def find_run(name: str | None) -> Path:
    """The folder of a run that a user names. Raises ArtefactError where there is none."""
    if name is None:
        found = sorted(Path("results").glob("*/summary.json"), key=lambda p: p.stat().st_mtime)
        if not found:
            raise ArtefactError("results: found no finished run here, expected the folder of one")
        return found[-1].parent
    path = Path(name)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        from cathode.config import load_config

        path = Path(load_config(path).folder)
    candidates = [path.parent if path.name == "summary.json" else path, Path("results") / name]
    for folder in candidates:
        if (folder / "summary.json").is_file():
            return folder
    raise ArtefactError(f"{name}: found no summary.json there nor in {candidates[1]}, expected a run that has ended")


def read_summary(folder: Path) -> Summary:
    """The summary of a run."""
    from cathode import io
    from cathode.summary import Summary

    summary: Any = io.read(folder / "summary.json", Summary)
    assert isinstance(summary, Summary), json.dumps(str(folder))
    return summary
