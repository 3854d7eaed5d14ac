"""The command line: the one parser and the one error boundary; what can be typed is in `cathode.commands`.

A command imports what it needs when it runs: `cathode --help` reads the steps' docstrings from their source.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import textwrap
from typing import NoReturn

from cathode.commands import COMMANDS, GROUPS, HAND_ON
from cathode.errors import CathodeError, nearest

log = logging.getLogger("cathode")


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

_HEAD = """Anomaly-detection bump hunt: from events to a significance.

  cathode demo                 a whole hunt on bundled events, in minutes
  cathode init events.root     look at a table, write a commented events.yaml
  cathode hunt events.yaml     hunt; a verdict of five lines at the end, and a report
"""
_CODES = """exit codes: 0 done; 1 the run ended with failed jobs; 2 refused, in one line on standard error; 3 out of memory; 130 stopped with Ctrl-C
(the same command continues); 141 nobody reads the output any more. `cathode COMMAND --help` says more."""


class _Parser(argparse.ArgumentParser):
    """One that says which command was meant."""

    def error(self, message: str) -> NoReturn:
        from cathode.commands.steps import step_names

        words = [word for word in sys.argv[1:] if not word.startswith("-")]
        given = words[1] if words[:1] == ["step"] and len(words) > 1 else next(iter(words), "")
        known = [*COMMANDS, *step_names()]
        if "invalid choice" in message and given not in known:
            message = f"found command {given}{nearest(given, known)}; `cathode --help` lists all"
        super().error(message)


def _parse(argv: list[str]) -> argparse.Namespace:
    """Arguments of a command; only the parser of the wanted one is built."""
    from cathode.commands.steps import step_names

    wanted = next((word for word in argv if not word.startswith("-")), None)
    if wanted in step_names():  # `cathode fit-density` is `cathode step fit-density`
        place = argv.index(wanted)
        argv, wanted = [*argv[:place], "step", *argv[place:]], "step"
    end = argv.index("--") if "--" in argv else len(argv)
    parser = whole_parser(wanted or "", argv)
    arguments = parser.parse_args(argv[:end])
    if argv[end + 1 :] and wanted not in HAND_ON:
        parser.error(f"found arguments after --, which only {', '.join(HAND_ON)} hand on to snakemake")
    arguments.rest = argv[end + 1 :]
    return arguments


def whole_parser(wanted: str | None = None, argv: list[str] | None = None) -> argparse.ArgumentParser:
    """The parser of everything that can be typed; with the flags of the `wanted` command alone, if it is not None."""
    from cathode.commands.steps import step, step_names
    from cathode.version import __version__

    parser = _Parser(
        prog="cathode", usage="cathode COMMAND ...", description=_HEAD + "\n" + _groups(), epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"cathode {__version__}")
    commands = parser.add_subparsers(prog="cathode", metavar="COMMAND", required=True, help=argparse.SUPPRESS)
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.text, description=command.text, epilog=None)
        if name == "step" and wanted in (None, "step"):
            which = next((word for word in argv or () if word in step_names()), "" if argv else None)
            one.set_defaults(run=step(one, which))
        elif wanted in (None, name):
            one.set_defaults(run=command.add(one))
    return parser


def _groups() -> str:
    lines: list[str] = []
    for title, commands in GROUPS.items():
        lines.append(f"{title}:")
        for name, command in commands.items():
            lines += textwrap.wrap(f"  {name:<12}{command.text}", 100, subsequent_indent=" " * 14)
        lines.append("")
    return "\n".join(lines)
