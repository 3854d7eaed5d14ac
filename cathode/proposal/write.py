"""The commented configuration file of a proposal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from cathode.errors import ConfigError
from cathode.proposal.propose import Choice, Proposal

_SPARKS = " ▁▂▃▄▅▆▇█"


def yaml_text(proposal: Proposal, choice: Choice) -> str:
    """YAML of a proposal, every line with what it means; what was left out is said with the reason."""
    tree: dict[str, Any] = proposal.tree
    data, windows = tree["data"], tree["windows"]
    by_name = {c.name: c for c in proposal.columns}
    lines = [
        "# Written by `cathode init`. Every key that is not here has its default: `cathode schema` and the documentation list them.",
        f"#   cathode check {tree['run']}.yaml    what would be hunted, its jobs, time and memory",
        f"#   cathode hunt {tree['run']}.yaml     the hunt; with --quick a first look",
        _line("run", tree["run"], "results go to results/<run>/", indent=0),
        "data:",
        _line("source", data["source"]),
        _line("files", data["files"], "patterns (*, ?, **) and folders as well"),
    ]
    if "key" in data:
        lines.append(_line("key", data["key"], "the tree with the most entries"))
    lines.append(_line("mass", data["mass"], "the resonant variable"))
    lines.append(_line("mass_unit", data["mass_unit"], "GeV, TeV or MeV"))
    if "define" in data:
        lines.append("  define:  # columns made from others")
        lines += [f"    {name}: {_flow(text)}" for name, text in data["define"].items()]
    lines.append("  features:  # what the models see")
    for name in data["features"]:
        column = by_name[name]
        note = "; ".join(
            [f"correlation with the mass {column.correlation:+.2f}", *([column.note] if column.note else [])]
        )
        lines.append(f"    - {_flow(name)}  # {_in_line(note)}")
    for column in proposal.columns:
        if column.role == "left out":
            lines.append(f"    # left out: {_in_line(column.name)}, {_in_line(column.note)}")
    if "discrete" in data:
        lines.append(
            _line("discrete", data["discrete"], "take few values, which are spread over the space between them")
        )
    if "select" in data:
        lines.append(_line("select", data["select"], "events for which this is not true are dropped"))
    if "label" in data:
        lines.append(_line("label", data["label"], f"{by_name[data['label']].note}"))
    if "weight" in data:
        lines.append(_line("weight", data["weight"], by_name[data["weight"]].note))
    if "identifiers" in data:
        lines.append(_line("identifiers", data["identifiers"], "go with the selected events"))
    if "label" in data:
        lines += [
            "injection:",
            "  n_signal: null  # a number: so many labelled signal events stay in the data, to see what a realistic signal looks like",
        ]
    lines += [
        f"windows:  # in {data['mass_unit']}",
        _line("range", windows["range"], "masses that are used at all, above the turn-on of the spectrum"),
    ]
    width = (
        f"{choice.resolution:.1%} of resolution ({choice.objects or 'as given'}), four standard deviations to a window"
    )
    if "scan" in windows:
        lines.append(_line("scan", windows["scan"], f"centres, width, step; {width}"))
    else:
        lines.append(_line("signal_regions", windows["signal_regions"], width))
    lines.append(
        _line(
            "methods",
            tree["methods"],
            "data against a learned background; signal region against its sidebands",
            indent=0,
        )
    )
    lines.append(
        _line(
            "working_points", tree["working_points"], "background efficiencies at which events are selected", indent=0
        )
    )
    if "closure" in tree:
        lines.append(
            _line(
                "closure",
                tree["closure"],
                "pseudo signal regions that measure the bias; 12 where there are more events",
                indent=0,
            )
        )
    blind = (
        "no event of a signal region is read; false once all choices are fixed"
        if tree["blind"]
        else "true: no event of a signal region is read"
    )
    lines.append(_line("blind", tree["blind"], blind, indent=0))
    return "\n".join(lines) + "\n"


def write_new(text: str, path: Path, *, force: bool) -> None:
    """Write a file that must not be there yet, whole or not at all. Raises ConfigError where it is."""
    if path.exists() and not force:
        raise ConfigError(f"{path}: is there already, expected a new file; --out names another, --force replaces it")
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)  # noqa: PTH105
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error


def sparkline(values: Any, bins: int = 8) -> str:
    """A histogram between the first and the last percent, in one line."""
    import numpy as np

    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return " " * bins
    low, high = np.quantile(finite, [0.01, 0.99])
    if low == high:
        return " " * bins
    counts = np.histogram(finite, np.linspace(low, high, bins + 1))[0]
    return "".join(_SPARKS[1 + round(7 * c / counts.max())] if c else " " for c in counts)


def _line(key: str, value: Any, note: str = "", indent: int = 2) -> str:
    text = f"{' ' * indent}{key}: {_flow(value)}"
    return f"{text}  # {_in_line(note)}" if note else text


def _in_line(text: str) -> str:
    """Text for a comment: names of columns may hold anything, and a new line would be a new key."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
        .removesuffix("...\n")
        .strip()
    )
