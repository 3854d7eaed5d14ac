"""Commands that ask files what they are and what they cost."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cathode.commands.command import Run
from cathode.commands.results import RUN, find_run
from cathode.errors import ArtefactError


def show(parser: argparse.ArgumentParser) -> Run:
    """`cathode show FILE`."""
    parser.add_argument("file")

    def run(arguments: argparse.Namespace) -> None:
        from cathode.running.check import describe_artefact

        print(describe_artefact(Path(arguments.file)))

    return run


def verify(parser: argparse.ArgumentParser) -> Run:
    """`cathode verify [RUN]`."""
    parser.add_argument("folder", metavar="RUN", nargs="?", help=RUN)

    def run(arguments: argparse.Namespace) -> None:
        from cathode.steps.records import verify_run

        print(verify_run(find_run(arguments.folder)))

    return run


def timing(parser: argparse.ArgumentParser) -> Run:
    """`cathode timing [RUN]`."""
    parser.add_argument("folder", metavar="RUN", nargs="?", help=RUN)
    parser.add_argument("--out", metavar="FILE", help="write a web page instead of printing a table")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")

    def run(arguments: argparse.Namespace) -> None:
        from cathode import io
        from cathode.artefacts import Text
        from cathode.report.render import render_timing
        from cathode.running.check import usage_of_run
        from cathode.running.usage import describe_timing
        from cathode.steps.run import refuse_foreign
        from cathode.version import __version__

        given = arguments.folder and Path(arguments.folder)
        folder = (
            given if given and (given / "benchmarks").is_dir() else find_run(arguments.folder)
        )  # of one that still runs, too
        rows = usage_of_run(folder)
        if not rows:
            raise ArtefactError(f"{folder}/benchmarks: found no benchmark files, expected the folder of a run")
        if arguments.out:
            refuse_foreign([Path(arguments.out)], force=arguments.force)
            io.write(Text(render_timing(folder.name, rows)), Path(arguments.out), io.Made("timing", __version__, {}))
        else:
            print(describe_timing(rows))

    return run


def schema(parser: argparse.ArgumentParser) -> Run:
    """`cathode schema [OF]`."""
    from cathode.published import SCHEMAS

    parser.add_argument("of", nargs="?", default="config", choices=[*SCHEMAS], help="of what (default: config)")
    return lambda arguments: print(json.dumps(SCHEMAS[arguments.of](), indent=1))
