"""The command line: every workflow step as a command, derived from the steps' signatures, and the one error boundary."""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import os
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cathode.errors import ArtefactError, CathodeError, ConfigError

if TYPE_CHECKING:  # torch and the like are imported by the commands that need them
    from cathode.config import Config
    from cathode.io import Made
    from cathode.timing import Usage

log = logging.getLogger("cathode")

WILDCARDS = ("method", "process", "batch")


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns 0, or 2 after one line on standard error for anything that cathode refuses."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(
            name, "1"
        )  # one thread per job: two that spin on a busy machine cost far more than they win
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.INFO, stream=sys.stderr)
    try:
        arguments = _parser().parse_args(argv)
        import torch

        from cathode.job import limit_memory

        limit_memory(getattr(arguments, "memory", None))
        torch.set_num_threads(1)
        torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports the compiler: 1 s and 70 MB
        arguments.run(arguments)
        return 0
    except CathodeError as error:
        print(f"cathode: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        allowed = f"{arguments.memory} MB" if getattr(arguments, "memory", None) else "the memory of this machine"
        print(f"cathode: out of memory: expected {allowed} to be enough; ask for more (mem_mb)", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141


def _parser() -> argparse.ArgumentParser:
    from cathode.steps import STEPS
    from cathode.version import __version__

    parser = argparse.ArgumentParser(
        prog="cathode",
        description="Anomaly-detection bump hunt: from events to a significance. `cathode check my.yaml` says in seconds "
        "what a configuration would do; `snakemake` runs all of it; each step is also a command of its own.",
    )
    parser.add_argument("--version", action="version", version=f"cathode {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    check = commands.add_parser("check", help="read configuration and data, say what will be hunted")
    check.add_argument("config", nargs="?", default=None, help="YAML file; without one, the default hunt")
    check.set_defaults(run=_check)
    cluster = commands.add_parser(
        "cluster", help="check a Slurm profile against the cluster before anything is submitted"
    )
    cluster.add_argument(
        "profile", nargs="?", default="profiles/slurm", help="folder with config.yaml and partitions.yaml"
    )
    cluster.add_argument("--no-probe", action="store_true", help="submit no test job")
    cluster.set_defaults(run=_cluster)
    show = commands.add_parser("show", help="print the header of an artefact and what is inside")
    show.add_argument("file")
    show.set_defaults(run=_show)
    timing = commands.add_parser(
        "timing",
        help="time and memory of a finished run, per rule and window: measured, estimated, in queues, on GPUs",
    )
    timing.add_argument("folder", nargs="?", default="results/demo", help="folder of the run")
    timing.add_argument("--out", metavar="FILE", help="write a web page instead of printing a table")
    timing.set_defaults(run=_timing)
    jets = commands.add_parser(
        "jets",
        help="cluster a raw LHC Olympics file (particles) into the 15-column table, once; a stopped run continues",
    )
    jets.add_argument("raw", help="pandas HDF5 file: pT, eta, phi of every particle, and perhaps a label")
    jets.add_argument("out", help="Parquet file to write; then data.source: files")
    jets.set_defaults(run=_jets)
    schema = commands.add_parser("schema", help="print the JSON schema of the configuration")
    schema.set_defaults(run=lambda _: print(json.dumps(_schema(), indent=1)))
    for name, step in STEPS.items():
        text = (inspect.getdoc(step) or "").strip()
        command = commands.add_parser(name.replace("_", "-"), help=text.splitlines()[0], description=text)
        for parameter in artefacts(name):
            several = _is_list(parameter.annotation)
            command.add_argument(
                f"--{parameter.name}",
                required=not several,
                nargs="*" if several else None,
                default=[] if several else None,
                metavar="FILE",
                help=f"artefact to read ({_element(parameter.annotation).__name__})",
            )
        for wildcard in wildcards(name):
            command.add_argument(f"--{wildcard}", required=True, metavar="NAME")
        if "window" in _keywords(name):
            command.add_argument("--window", required=True, metavar="NAME", help="window by name, e.g. m3500")
        if sections(name):
            command.add_argument(
                "--config",
                required=True,
                metavar="YAML|JSON",
                help=f"a configuration file, or exactly these sections as JSON: {', '.join(sections(name))}",
            )
        command.add_argument(
            "--memory",
            type=int,
            metavar="MB",
            help="inside a job of a cluster: end with a message rather than use more",
        )
        command.add_argument("--out", required=True, nargs="+", metavar="FILE", help="artefact(s) to write")
        if name == "summarise":
            command.add_argument("--folder", metavar="FOLDER", help="of the run: adds time and memory of its rules")
        command.set_defaults(run=_run_step, step=name)
    return parser


# --- what a signature says


def _signature(name: str) -> inspect.Signature:
    from cathode.steps import STEPS

    return inspect.signature(STEPS[name], eval_str=True)


def artefacts(name: str) -> list[inspect.Parameter]:
    """The artefacts that a step reads."""
    return [p for p in _signature(name).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]


def _keywords(name: str) -> list[str]:
    return [p.name for p in _signature(name).parameters.values() if p.kind is p.KEYWORD_ONLY]


def wildcards(name: str) -> list[str]:
    """The wildcards of a step besides the window."""
    return [k for k in _keywords(name) if k in WILDCARDS]


def sections(name: str) -> list[str]:
    """The sections of the configuration that a step may see."""
    return [k for k in _keywords(name) if k not in WILDCARDS]


def _is_list(annotation: Any) -> bool:
    return typing.get_origin(annotation) is list


def _element(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if _is_list(annotation) else annotation


# --- running a step


def _run_step(arguments: argparse.Namespace) -> None:
    from cathode import io
    from cathode.job import describe_job
    from cathode.results import Picture
    from cathode.steps import STEPS
    from cathode.timing import summarise_timing, write_record
    from cathode.version import __version__

    name = arguments.step
    inputs: dict[str, str] = {}
    positional = []
    for parameter in artefacts(name):
        given, kind = getattr(arguments, parameter.name), _element(parameter.annotation)
        paths = [Path(p) for p in (given if isinstance(given, list) else [given])]
        read = [Picture(p.stem, p.read_bytes()) if kind is Picture else io.read(p, kind) for p in paths]
        for i, path in enumerate(paths):
            inputs[parameter.name if len(paths) == 1 else f"{parameter.name}[{i}]"] = io.sha256(path)
        positional.append(read if _is_list(parameter.annotation) else read[0])
    keywords = {w: getattr(arguments, w) for w in wildcards(name)}
    keywords |= _load_sections(arguments, sections(name))
    result = STEPS[name](*positional, **keywords)
    if name == "summarise":
        run = Path(arguments.folder) if arguments.folder else None
        result.tree["timing"] = summarise_timing(_usage(run, keywords["config"]) if run else [])
    made = io.Made(name, __version__, inputs)
    _write(result, [Path(p) for p in arguments.out], made)
    if job := describe_job():
        log.info(write_record(name, job))


def _write(result: Any, outs: list[Path], made: Made) -> None:
    """Write what a step returned: figures by name, one artefact, or several in their order."""
    from cathode import io
    from cathode.results import Figures

    if isinstance(result, Figures):
        missing = sorted({p.name for p in outs} - set(result.files))
        if missing:
            expected = ", ".join(sorted(result.files))
            raise ConfigError(f"--out: {made.step} draws no {missing[0]}, expected among {expected}")
        for path in outs:
            io.write(Figures({path.name: result.files[path.name]}), path.parent, made)
        return
    results = result if isinstance(result, tuple) else (result,)
    if len(results) != len(outs):
        raise ConfigError(f"--out: found {len(outs)} files, expected {len(results)} for {made.step}")
    for obj, path in zip(results, outs, strict=True):
        io.write(obj, path, made)


def _load_sections(arguments: argparse.Namespace, names: list[str]) -> dict[str, Any]:
    """Settings from inline JSON (exactly the declared sections) or from a configuration file."""
    if not names:
        return {}
    from cathode.config import load_config, load_section

    text = arguments.config
    if text.lstrip().startswith("{"):
        given = json.loads(text)
        if set(given) != set(names):
            raise ConfigError(f"--config: found sections {sorted(given)}, expected exactly {sorted(names)}")
        return {name: load_section(name, given[name]) for name in names}
    config = load_config(text)
    out = {name: getattr(config, name) for name in names if name not in ("window", "config")}
    if "config" in names:
        out["config"] = config
    if "window" in names:
        if arguments.window not in config.regions:
            raise ConfigError(f"--window: found {arguments.window}, expected one of {', '.join(config.regions)}")
        out["window"] = config.regions[arguments.window]
    return out


# --- commands besides the steps


def _schema() -> dict[str, Any]:
    from cathode.config import json_schema

    return json_schema()


def _check(arguments: argparse.Namespace) -> None:
    from cathode.check import describe
    from cathode.config import load_config

    print(describe(load_config(arguments.config)))


def _cluster(arguments: argparse.Namespace) -> None:
    from cathode.cluster import describe_cluster

    print(describe_cluster(Path(arguments.profile), probe=not arguments.no_probe))


def _timing(arguments: argparse.Namespace) -> None:
    from cathode import io
    from cathode.config import load_config
    from cathode.report import render_timing
    from cathode.results import Json, Page
    from cathode.timing import describe_timing
    from cathode.version import __version__

    run = Path(arguments.folder)
    try:  # an estimate needs the run's configuration and events, the rest only its benchmarks
        rows = _usage(run, load_config(io.read(run / "summary.json", Json).tree["config"]))
    except (CathodeError, KeyError, TypeError) as error:
        why = error if isinstance(error, CathodeError) else f"{run}/summary.json holds no configuration"
        log.warning("no estimate: %s", why)
        rows = _usage(run, None)
    if not rows:
        raise ArtefactError(
            f"{run}/benchmarks: found no benchmark files, expected the folder of a run, e.g. results/demo"
        )
    if arguments.out:
        io.write(Page(render_timing(run.name, rows)), Path(arguments.out), io.Made("timing", __version__, {}))
    else:
        print(describe_timing(rows))


def _usage(run: Path, config: Config | None) -> list[Usage]:
    """What a run took, beside its estimate where the configuration is known."""
    from cathode.check import estimated_seconds
    from cathode.timing import read_usage

    return read_usage(run, estimated_seconds(config, run) if config else None)


def _jets(arguments: argparse.Namespace) -> None:
    from cathode.intake.particles import cluster_file

    print(cluster_file(Path(arguments.raw), Path(arguments.out)))


def _show(arguments: argparse.Namespace) -> None:
    from cathode.check import describe_artefact

    print(describe_artefact(Path(arguments.file)))
