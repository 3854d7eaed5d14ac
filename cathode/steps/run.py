"""A step as a command: its artefacts are read by type, its sections from the configuration, and what it returns is written."""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import types
import typing
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from cathode.errors import ArtefactError, ConfigError
from cathode.headers import is_artefact
from cathode.steps import STEPS
from cathode.steps.declared import Declared, code_sha256, declared

log = logging.getLogger("cathode")


def add_arguments(parser: argparse.ArgumentParser, step: str) -> None:
    """Give the parser of a step's command the flags that follow from its signature."""
    said = declared(step)
    for parameter in _artefacts(step):
        kind, several, optional = _annotation(parameter)
        parser.add_argument(
            f"--{parameter.name}",
            required=not (several or optional),
            nargs="*" if several else "?" if optional else None,
            action="extend" if several else "store",
            default=[] if several else None,
            metavar="FILE",
            help=f"artefact{'s' if several else ''} to read ({kind.__name__}{', may be absent' if optional else ''})",
        )
    for wildcard in said.wildcards:
        parser.add_argument(f"--{wildcard}", required=True, metavar="NAME")
    if "window" in said.sections:
        parser.add_argument("--window", required=True, metavar="NAME", help="window by name, e.g. m3500")
    if said.sections:
        parser.add_argument(
            "--config",
            required=True,
            metavar="YAML|JSON",
            help=f"a configuration file, or exactly these sections as JSON: {', '.join(said.sections)}",
        )
    if said.used:
        parser.add_argument("--folder", metavar="FOLDER", help="of the run: adds what its jobs took")
    parser.add_argument(
        "--memory", type=int, metavar="MB", help="inside a job of a cluster: end with a message rather than use more"
    )
    parser.add_argument("--out", required=True, nargs="+", action="extend", metavar="FILE", help="artefact(s) to write")
    parser.add_argument("--force", action="store_true", help="replace files that are no artefacts, too")


def run_step(step: str, arguments: argparse.Namespace) -> None:
    """Read, compute, write."""
    from cathode import io
    from cathode.checksums import of_file, of_tree
    from cathode.config import publish_paths
    from cathode.running.job import describe_job
    from cathode.running.usage import write_record
    from cathode.steps.records import refuse_parts_of_others
    from cathode.version import __version__

    said = declared(step)
    refuse_foreign([Path(p) for p in arguments.out], force=arguments.force)
    keywords: dict[str, Any] = {w: getattr(arguments, w) for w in said.wildcards}
    sections = read_sections(said, getattr(arguments, "config", None), getattr(arguments, "window", None))
    keywords |= load_sections(said, sections)
    model = keywords.pop("density_model", "histogram")
    inputs: dict[str, str] = {}
    positional: list[Any] = []
    parts: list[Path] = []
    for parameter in _artefacts(step):
        kind, several, _ = _annotation(parameter)
        given = getattr(arguments, parameter.name)
        paths = [Path(p) for p in (given if several else [given] if given else [])]
        parts += paths
        for i, path in enumerate(paths):
            inputs[f"{parameter.name}[{i}]" if len(paths) > 1 else parameter.name] = of_file(path)
        read = _read(paths, kind, model)
        one_by_one = typing.get_origin(parameter.annotation) is Iterable
        positional.append(read if one_by_one else list(read) if several else next(read, None))
    if "config" in said.sections:
        refuse_parts_of_others(keywords["config"], parts)
    if said.used and arguments.folder:
        keywords["used"] = _used(Path(arguments.folder), keywords["config"])
    results = _flat(function_of(step)(*positional, **keywords))
    for obj in results:
        inputs |= getattr(obj, "inputs", None) or {}  # files that are no artefacts
    made = io.Made(step, __version__, inputs, settings=of_tree(publish_paths(sections)), code=code_sha256(step))
    _write(results, [Path(p) for p in arguments.out], made)
    log.info(write_record(step, describe_job()))


def _read(paths: list[Path], kind: Any, model: str) -> Iterator[Any]:
    """Artefacts as they are asked for."""
    from cathode import io

    for path in paths:
        yield io.read(path, kind, density_model=model)


def refuse_foreign(outs: list[Path], *, force: bool) -> None:
    """Raise ArtefactError where a file would be overwritten that this package did not write."""
    for path in outs:
        if path.exists() and not force and not is_artefact(path):
            raise ArtefactError(f"--out: {path} is there and is no artefact; expected another name, or --force")


def function_of(step: str) -> Any:
    """The function that a step is."""
    module, _, name = STEPS[step].partition(":")
    return getattr(import_module(module), name)


def read_sections(said: Declared, text: str | None, window: str | None) -> dict[str, Any]:
    """Plain values of the declared sections: from inline JSON (exactly these), or from a configuration file."""
    if not said.sections or text is None:
        return {}
    from cathode.config import dump_sections, load_config

    if text.lstrip().startswith("{"):
        given = json.loads(text)
        if set(given) != set(said.sections):
            raise ConfigError(f"--config: found sections {sorted(given)}, expected exactly {sorted(said.sections)}")
        return dict(given)
    config = load_config(text)
    if "window" in said.sections and window not in config.regions:
        raise ConfigError(f"--window: found {window}, expected one of {', '.join(config.regions)}")
    return dump_sections(config, said.sections, window)


def load_sections(said: Declared, sections: dict[str, Any]) -> dict[str, Any]:
    """Settings from their plain values."""
    from cathode.config import load_section

    return {name: load_section(name, sections[name]) for name in said.sections if name in sections}


def _artefacts(step: str) -> list[inspect.Parameter]:
    parameters = inspect.signature(function_of(step), eval_str=True).parameters.values()
    return [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]


def _annotation(parameter: inspect.Parameter) -> tuple[Any, bool, bool]:
    """The class of an artefact parameter, whether it takes several, and whether it may be absent."""
    kind = parameter.annotation
    if typing.get_origin(kind) in (list, Iterable):
        return typing.get_args(kind)[0], True, False
    if isinstance(kind, types.UnionType):
        return next(k for k in typing.get_args(kind) if k is not type(None)), False, True
    return kind, False, False


def _used(folder: Path, config: Any) -> Any:
    """What a run took so far, beside its estimate."""
    from cathode.running.check import estimated_seconds
    from cathode.running.usage import read_usage

    return read_usage(folder, estimated_seconds(config, folder))


def _flat(result: Any) -> list[Any]:
    """The artefacts that a step returned: one, several, or groups of several, in their order."""
    return [obj for part in result for obj in _flat(part)] if isinstance(result, tuple) else [result]


def _write(results: list[Any], outs: list[Path], made: Any) -> None:
    """Write what a step returned: figures by name, one artefact, or several in their order."""
    from cathode import io
    from cathode.artefacts import Figures

    first = results[0]
    if isinstance(first, Figures):
        missing = sorted({p.name for p in outs} - set(first.files))
        if missing:
            expected = ", ".join(sorted(first.files))
            raise ConfigError(f"--out: {made.step} draws no {missing[0]}, expected among {expected}")
        for path in outs:
            io.write(Figures({path.name: first.files[path.name]}), path.parent, made)
        return
    if len(results) != len(outs):
        raise ConfigError(f"--out: found {len(outs)} files, expected {len(results)} for {made.step}")
    for obj, path in zip(results, outs, strict=True):
        io.write(obj, path, made)
