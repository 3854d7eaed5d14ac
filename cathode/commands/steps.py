"""`cathode step NAME`: every step of the workflow as a command."""

from __future__ import annotations

import argparse

from cathode.commands.command import Run


def step_names() -> dict[str, str]:
    """Steps by their names on the command line."""
    from cathode.steps import STEPS

    return {step.replace("_", "-"): step for step in STEPS}


def step(parser: argparse.ArgumentParser, wanted: str | None = None) -> Run:
    """`cathode step NAME ...`; flags of the `wanted` one alone."""
    from cathode.steps.declared import declared

    names = step_names()
    steps = parser.add_subparsers(prog=parser.prog, metavar="STEP", dest="step", required=True, title="steps")
    for name, function in names.items():
        said = declared(function)
        one = steps.add_parser(name, help=said.summary, description=said.doc)
        if wanted in (name, None):
            from cathode.steps.run import add_arguments

            add_arguments(one, function)

    def run(arguments: argparse.Namespace) -> None:
        from cathode.steps.run import run_step

        run_step(names[arguments.step], arguments)

    return run
