"""The step that gathers every hunt of a run into its summary."""

from __future__ import annotations

import dataclasses

from cathode.artefacts import Text
from cathode.config import Config
from cathode.events import Intake
from cathode.inference.shared import Passing
from cathode.inference.table import as_csv, hunts_frame
from cathode.inference.total import (
    global_significance,
    inclusive_excess,
    list_searches,
    merge_excesses,
    window_significances,
)
from cathode.results import HuntResults, Truth
from cathode.running.usage import summarise_timing
from cathode.seeds import derive_seed
from cathode.summary import Summary
from cathode.usage import RuleUsage
from cathode.version import __version__

_QUICK = ("quick: a first look with the smallest ensembles, not for publication",)


def summarise(
    hunts: list[HuntResults],
    passing: list[Passing],
    truth: list[Truth],
    intake: Intake,
    *,
    config: Config,
    used: tuple[RuleUsage, ...] = (),
) -> tuple[Summary, Text]:
    """Gather the hunts of a run, and what labels say of them, into the machine-readable result, and into a table of all of them."""
    known = {(t.window, t.method): t.entries for t in truth if t.entries}
    entries = []
    for group in hunts:
        for i, entry in enumerate(group.entries):
            evaluated = known.get((entry.window, entry.method))
            flags = entry.flags + (_QUICK if config.quick else ())
            entries.append(dataclasses.replace(entry, truth=evaluated[i] if evaluated else None, flags=flags))
    joint = tuple(group.joint for group in hunts if group.joint is not None)
    seed, test, inclusive = derive_seed(config.seed, "trials"), config.statistics.test, inclusive_excess(entries)
    windows = window_significances(entries, joint, passing, inclusive, test=test, seed=seed)
    total = global_significance(list_searches(entries, joint, test), passing, seed=seed)
    summary = Summary(
        run=config.run,
        code_version=__version__,
        config=config.published(),
        config_sha256=config.sha256(),
        n_events=intake.kept,
        intake=intake,
        blind=config.blind,
        joint=joint,
        windows=windows,
        inclusive=inclusive,
        excesses=merge_excesses(windows),
        hunts=tuple(entries),
        timing=summarise_timing(used),
        **vars(total),
    )
    return summary, Text(as_csv(hunts_frame(summary)))
