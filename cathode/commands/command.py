"""What a command is, and which there are, in the order in which help lists them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

Run = Callable[[argparse.Namespace], int | None]
Add = Callable[[argparse.ArgumentParser], Run]


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        text: what it does, in one line.
        where: `module:function` of this room that adds its flags.
    """

    text: str
    where: str

    def add(self, parser: argparse.ArgumentParser) -> Run:
        """Give a parser the flags, and return what runs."""
        module, _, function = self.where.partition(":")
        found: Add = getattr(import_module(f"cathode.commands.{module}"), function)
        return found(parser)


GROUPS: dict[str, dict[str, Command]] = {
    "from a table to a result": {
        "init": Command("look at a table and write a commented configuration that hunts unchanged", "init:init"),
        "check": Command("read configuration and data, say what will be hunted, in seconds", "start:check"),
        "hunt": Command("run the whole hunt of a configuration in this folder; a stopped run continues", "hunt:hunt"),
        "demo": Command("run the default hunt, on the bundled simulation", "hunt:demo"),
        "open": Command("open the report of a run in a browser", "results:open_report"),
        "why": Command("from a plain count to the quoted significance, and what speaks for and against it", "results:why"),
    },
    "of finished runs": {
        "compare": Command("two runs side by side: what differs in their settings and in their numbers", "results:compare"),
        "apply": Command("score events that a run never saw with its classifiers, and count what passes", "apply:apply_run"),
        "limit": Command("upper limits on signal events, or on a signal of your own (--signal TABLE)", "results:limit"),
        "plot": Command("draw a figure again from its numbers, in the style of an experiment", "results:plot"),
        "export": Command(
            "tables in LaTeX, figures, workspaces, a HEPData submission and a paragraph on the method", "results:export"
        ),
        "timing": Command(
            "time and memory of a run, per rule and window: measured, estimated, in queues, on GPUs", "records:timing"
        ),
        "verify": Command(
            "whether a run's files are whole, and made of each other with the settings that its summary states",
            "records:verify",
        ),
        "show": Command("print the header of an artefact and what is inside", "records:show"),
    },
    "more": {
        "calibrate": Command("pseudo-experiments that measure whether the p-values are right (hours)", "hunt:calibrate"),
        "cluster": Command("check a Slurm profile against the cluster before anything is submitted", "start:cluster"),
        "jets": Command(
            "cluster a raw LHC Olympics file (particles) into the 15-column table, once; a stopped run continues",
            "start:jets",
        ),
        "schema": Command("print the JSON schema of the configuration or of a published result", "records:schema"),
        "completion": Command("print a script that completes these commands in a shell", "start:completion"),
        "step": Command("one step of the workflow; `cathode step --help` lists them", "steps:step"),
    },
}  # fmt: skip
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}
HAND_ON = ("hunt", "demo", "calibrate")  # what stands after -- is Snakemake's
