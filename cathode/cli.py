"""The command line: commands that teach, every workflow step as one of them, and the one error boundary.

A command imports what it needs when it runs: `cathode --help` reads the steps' docstrings from their source.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from cathode.errors import ArtefactError, CathodeError, nearest

log = logging.getLogger("cathode")

Run = Callable[[argparse.Namespace], int | None]
Add = Callable[[argparse.ArgumentParser], Run]


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns 0, or 2 after one line on standard error for anything that cathode refuses."""
    _shield()
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    log.setLevel(logging.INFO)  # ours; the libraries that write PDFs say hundreds of lines at that level
    memory: int | None = None
    try:
        arguments = _parse(sys.argv[1:] if argv is None else argv)
        memory = getattr(arguments, "memory", None)
        if memory:
            from cathode.running.job import limit_memory

            limit_memory(memory)
        return arguments.run(arguments) or 0
    except CathodeError as error:
        print(f"cathode: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError, ImportError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error).lower() for words in _NO_MEMORY):
            raise
        allowed = f"{memory} MB" if memory else "the memory of this machine"
        print(f"cathode: out of memory: expected {allowed} to be enough; ask for more (mem_mb)", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141


def _shield() -> None:
    """Keep the user's environment away from numbers and figures: threads, matplotlib's backend and files."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        if not os.environ.get(name, "").isdecimal():  # "2,1" is for nested teams
            os.environ[name] = "1"  # one thread per job: two that spin on a busy machine cost far more than they win
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}


_NO_MEMORY = ("memory", "failed to map segment")  # torch's words, and the linker's where a library does not fit


class _Parser(argparse.ArgumentParser):
    """One that says which command was meant."""

    def error(self, message: str) -> NoReturn:
        given = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
        known = [*_COMMANDS, *_step_commands()]
        if "invalid choice" in message and given not in known:
            message = f"found command {given}{nearest(given, known)}; `cathode --help` lists all"
        super().error(message)


def _parse(argv: list[str]) -> argparse.Namespace:
    """Arguments of a command; only the parser of the wanted one is built."""
    from cathode.steps.declared import declared
    from cathode.version import __version__

    wanted = next((word for word in argv if not word.startswith("-")), None)
    parser = _Parser(
        prog="cathode",
        description="Anomaly-detection bump hunt: from events to a significance. `cathode check my.yaml` says in seconds "
        "what a configuration would do; `cathode hunt my.yaml` runs all of it; each step is also a command of its own.",
    )
    parser.add_argument("--version", action="version", version=f"cathode {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (text, add) in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == wanted:
            command.set_defaults(run=add(command))
    for name, step in _step_commands().items():
        said = declared(step)
        command = commands.add_parser(name, help=said.summary, description=said.doc)
        if name == wanted:
            command.set_defaults(run=_add_step(command, step))
    end = argv.index("--") if "--" in argv else len(argv)
    arguments = parser.parse_args(argv[:end])
    if argv[end + 1 :] and wanted not in _LAUNCH:
        parser.error(f"found arguments after --, which only {' and '.join(_LAUNCH)} hand on to snakemake")
    arguments.rest = argv[end + 1 :]
    return arguments


def _step_commands() -> dict[str, str]:
    from cathode.steps import STEPS

    return {step.replace("_", "-"): step for step in STEPS}


def _add_step(parser: argparse.ArgumentParser, step: str) -> Run:
    from cathode.steps.run import add_arguments, run_step

    add_arguments(parser, step)
    return lambda arguments: run_step(step, arguments)


# --- commands besides the steps: each adds its flags and returns what runs


def _add_hunt(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("config", nargs="?", default=None, help="YAML file; without one, the default hunt")
    return _add_launch(parser)


def _add_launch(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("--cores", default="all", help="jobs at a time (default: all cores)")
    parser.add_argument("--dry-run", action="store_true", help="say what would run")
    parser.epilog = "What stands after -- is handed on to snakemake: cathode hunt my.yaml -- --until prepare"

    def run(arguments: argparse.Namespace) -> int:
        from cathode.running.launch import run_workflow

        config = getattr(arguments, "config", None)
        return run_workflow(config, cores=arguments.cores, dry_run=arguments.dry_run, arguments=arguments.rest)

    return run


def _add_check(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("config", nargs="?", default=None, help="YAML file; without one, the default hunt")

    def run(arguments: argparse.Namespace) -> None:
        from cathode.config import load_config
        from cathode.running.check import describe

        print(describe(load_config(arguments.config)))

    return run


def _add_cluster(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument(
        "profile", nargs="?", default="profiles/slurm", help="folder with config.yaml and partitions.yaml"
    )
    parser.add_argument("--no-probe", action="store_true", help="submit no test job")

    def run(arguments: argparse.Namespace) -> None:
        from cathode.running.slurm import describe_cluster

        print(describe_cluster(Path(arguments.profile), probe=not arguments.no_probe))

    return run


def _add_show(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("file")

    def run(arguments: argparse.Namespace) -> None:
        from cathode.running.check import describe_artefact

        print(describe_artefact(Path(arguments.file)))

    return run


def _add_verify(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("folder", nargs="?", default="results/demo", help="folder of the run")

    def run(arguments: argparse.Namespace) -> None:
        from cathode.steps.records import verify_run

        print(verify_run(Path(arguments.folder)))

    return run


def _add_timing(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("folder", nargs="?", default="results/demo", help="folder of the run")
    parser.add_argument("--out", metavar="FILE", help="write a web page instead of printing a table")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")

    def run(arguments: argparse.Namespace) -> None:
        from cathode import io
        from cathode.report.render import render_timing
        from cathode.results import Page
        from cathode.running.check import usage_of_run
        from cathode.running.usage import describe_timing
        from cathode.steps.run import refuse_foreign
        from cathode.version import __version__

        folder = Path(arguments.folder)
        rows = usage_of_run(folder)
        if not rows:
            raise ArtefactError(
                f"{folder}/benchmarks: found no benchmark files, expected the folder of a run, e.g. results/demo"
            )
        if arguments.out:
            refuse_foreign([Path(arguments.out)], force=arguments.force)
            io.write(Page(render_timing(folder.name, rows)), Path(arguments.out), io.Made("timing", __version__, {}))
        else:
            print(describe_timing(rows))

    return run


def _add_jets(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("raw", help="pandas HDF5 file: pT, eta, phi of every particle, and perhaps a label")
    parser.add_argument("out", help="Parquet file to write; then data.source: files")

    def run(arguments: argparse.Namespace) -> None:
        from cathode.dijets.particles import cluster_file

        print(cluster_file(Path(arguments.raw), Path(arguments.out)))

    return run


def _add_schema(parser: argparse.ArgumentParser) -> Run:
    from cathode.published import SCHEMAS

    parser.add_argument("of", nargs="?", default="config", choices=[*SCHEMAS], help="of what (default: config)")
    return lambda arguments: print(json.dumps(SCHEMAS[arguments.of](), indent=1))


_LAUNCH = ("hunt", "demo")
_COMMANDS: dict[str, tuple[str, Add]] = {
    "hunt": ("run the whole hunt of a configuration in this folder; a stopped run continues", _add_hunt),
    "demo": ("run the default hunt, on the bundled simulation", _add_launch),
    "check": ("read configuration and data, say what will be hunted", _add_check),
    "cluster": ("check a Slurm profile against the cluster before anything is submitted", _add_cluster),
    "show": ("print the header of an artefact and what is inside", _add_show),
    "verify": (
        "whether a run's files are whole, and made of each other with the settings that its summary states",
        _add_verify,
    ),
    "timing": (
        "time and memory of a finished run, per rule and window: measured, estimated, in queues, on GPUs",
        _add_timing,
    ),
    "jets": (
        "cluster a raw LHC Olympics file (particles) into the 15-column table, once; a stopped run continues",
        _add_jets,
    ),
    "schema": ("print the JSON schema of the configuration or of a published result", _add_schema),
}
