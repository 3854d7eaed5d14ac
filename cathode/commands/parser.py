"""The parser of the command line; only what the wanted command needs is built, so that `cathode --help` imports nothing."""

from __future__ import annotations

import argparse
import sys
import textwrap
from typing import NoReturn

from cathode.commands.command import COMMANDS, GROUPS, HAND_ON
from cathode.errors import nearest

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


def parse(argv: list[str]) -> argparse.Namespace:
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
    commands = parser.add_subparsers(
        prog="cathode", metavar="COMMAND", required=True, help=None if wanted is None else argparse.SUPPRESS
    )
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
