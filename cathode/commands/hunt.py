"""Commands that run the workflow."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from cathode.commands.command import Run
from cathode.errors import CathodeError, ConfigError


def hunt(parser: argparse.ArgumentParser) -> Run:
    """`cathode hunt [CONFIG]`."""
    parser.add_argument("config", nargs="?", default=None, help="YAML file; without one, the default hunt")
    return _launch(parser, example="cathode hunt my.yaml -- --until prepare")


def demo(parser: argparse.ArgumentParser) -> Run:
    """`cathode demo`."""
    return _launch(parser, example="cathode demo -- --until prepare")


def calibrate(parser: argparse.ArgumentParser) -> Run:
    """`cathode calibrate [CONFIG]`."""
    parser.add_argument("config", nargs="?", default=None, help="YAML file; without one, the default hunt")
    return _launch(parser, example="cathode calibrate my.yaml -- --keep-going", target="calibrate")


def _launch(parser: argparse.ArgumentParser, *, example: str, target: str | None = None) -> Run:
    parser.add_argument("--cores", default="all", help="jobs at a time (default: all cores)")
    if target is None:
        parser.add_argument(
            "--quick",
            action="store_true",
            help="a first look in about a minute: one window, one method, the smallest ensembles; marked in every output, not for publication",
        )
    parser.add_argument("--profile", help="folder of a Snakemake workflow profile, e.g. profiles/slurm")
    parser.add_argument("--dry-run", action="store_true", help="say what would run")
    parser.add_argument("-v", "--verbose", action="store_true", help="everything that Snakemake says")
    parser.epilog = f"What stands after -- is handed on to snakemake: {example}"

    def run(arguments: argparse.Namespace) -> int:
        from cathode.config import load_config
        from cathode.report.verdict import verdict_of_run
        from cathode.running.launch import run_workflow

        config, quick = getattr(arguments, "config", None), getattr(arguments, "quick", False)
        if arguments.cores != "all" and not (arguments.cores.isdecimal() and int(arguments.cores) > 0):
            raise ConfigError(f"--cores: found {arguments.cores}, expected a number of jobs, or all")
        folder = Path(load_config(config, quick=quick).folder)
        if config is None and hasattr(arguments, "config"):
            _say_which(target or "hunt", arguments.rest)
        was_there = (folder / "summary.json").exists()
        code = run_workflow(
            config,
            cores=arguments.cores,
            target=target,
            quick=quick,
            profile=arguments.profile,
            dry_run=arguments.dry_run,
            verbose=arguments.verbose,
            arguments=arguments.rest,
        )
        finished = (folder / "report.html").exists() and not (was_there and arguments.rest)
        if code == 0 and not arguments.dry_run and not arguments.verbose and finished:
            print("\n".join(verdict_of_run(folder, calibrated=target == "calibrate")), file=sys.stderr)
        return code

    return run


def _say_which(command: str, rest: Sequence[str]) -> None:
    """Without a configuration the bundled sample is hunted: nobody may take its excess for one of their own events."""
    if any(word.startswith("--configfile") for word in rest):
        return
    own = [path.name for path in sorted(Path().glob("[!.]*.y*ml")) if _is_configuration(path)][:3]
    yours = f"; for your own: {' or '.join(f'cathode {command} {name}' for name in own)}" if own else ""
    print(f"no configuration named, so the default one on the bundled simulated events{yours}", file=sys.stderr)


def _is_configuration(path: Path) -> bool:
    """Whether a YAML file speaks of a hunt, and not of something else that lies in the folder."""
    from cathode.config import Config
    from cathode.strict_yaml import read_yaml

    try:
        said = read_yaml(path)
    except CathodeError:
        return False
    return isinstance(said, dict) and bool(said) and set(said) <= {f.name for f in dataclasses.fields(Config)}
