"""What the columns of a table are: the mass, features, a label, weights, identifiers; and why others are left out."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from cathode.intake.diagnose import ATOM, FEW, explained_by_mass, repeated_features
from cathode.intake.expressions import quoted
from cathode.intake.validate import looks_like_weight

Array = NDArray[np.float64]
Role = Literal["mass", "feature", "label", "weight", "identifier", "left out"]

FOLLOWS = 0.3  # of a feature's variance that the mass explains, from which it is left out; `check` warns from 0.9 on
_FEWEST = 8  # values that a discrete feature takes, at least
_RARE = 0.05  # share of events with a sentinel that may be dropped for a feature
_SENTINEL = 2  # events at one value far from all others, from which it is a sentinel
_IDENTIFIES = "goes with the selected events, no model sees it"
_LOOKED_AT = 100_000
_LEARNED = 20_000  # events that a regression of the mass sees
_TREES = {
    "objective": "l2",
    "num_leaves": 31,
    "learning_rate": 0.15,
    "num_threads": 1,
    "verbosity": -1,
    "deterministic": True,
    "seed": 1,
}

_LABEL = re.compile(r"(is_?)?(label|signal|sig|truth|target)s?|is_?sig(nal)?|y", re.I)
_IDENTIFIER = re.compile(
    r"(run|lumi|luminosity|ls|lb|event|evt|bx|orbit)(block|_?section)?_?(number|num|no|nr|id)?|(row|index|entry|id|uid)|__index.*", re.I
)  # fmt: skip
# the better the name, the earlier it stands
_MASS = [
    re.compile(pattern, re.I)
    for pattern in (
        r"(m|mass|minv|invmass)_?(jj|ll|l?lep|mumu|mm|ee|gg|yy|tt|bb|ww|zz|vv|hh|4l|12|inv|res\w*|x)",
        r"(di\w+|inv\w*|res\w*|jj|ll|mumu|gg|pair)_?(m|mass)",
        r"(jj|ll|mumu|gg)_?(m|mass)",
        r"m|mass|minv|inv_?mass",
    )
]


@dataclass
class Described:
    """A column and what to do with it.

    Attributes:
        name: its name.
        role: what it is taken for.
        note: why, or what was seen; empty where there is nothing to say.
        correlation: Spearman's with the mass; nan where it says nothing.
        discrete: whether its values are spread.
        keep: condition that drops events without a value, as an expression; empty if all have one.
        values: (n,), for pictures.
    """

    name: str
    role: Role
    note: str = ""
    correlation: float = float("nan")
    discrete: bool = False
    keep: str = ""
    values: Array = field(default_factory=lambda: np.zeros(0))


def rank_masses(columns: dict[str, Array]) -> list[str]:
    """Columns that may be the resonant mass, the best guess first: by name, positive, with many values."""
    found: list[tuple[int, int, str]] = []
    for name, values in columns.items():
        grade = next((i for i, pattern in enumerate(_MASS) if pattern.fullmatch(name)), None)
        finite = values[np.isfinite(values)]
        if grade is not None and len(finite) and np.mean(finite > 0) > 0.9 and len(np.unique(finite[:10_000])) > 100:
            found.append((grade, len(found), name))
    return [name for _, _, name in sorted(found)]


def describe_columns(columns: dict[str, Array], mass: str, *, integers: Collection[str] = ()) -> list[Described]:
    """The role of every column, `columns` in their order and without those that define the mass; `integers` hold whole numbers."""
    n = len(columns[mass])
    order = np.argsort(columns[mass], kind="stable")
    look = order[np.unique(np.linspace(0, n - 1, min(n, _LOOKED_AT)).astype(int))]
    out = [
        _describe(name, values[look], name in integers, values, columns[mass][look])
        for name, values in columns.items()
        if name != mass
    ]
    _leave_out_repeated(out, columns)
    _leave_out_parts_of_the_mass(out, columns, look, columns[mass][look])
    return [Described(mass, "mass", values=columns[mass]), *out]


def _describe(name: str, seen: Array, whole: bool, values: Array, mass: Array) -> Described:
    """One column; `seen` and `mass` are a sample of events in the order of their masses."""
    finite = seen[np.isfinite(seen)]
    distinct = np.unique(finite)
    if whole and _IDENTIFIER.fullmatch(name):
        return Described(name, "identifier", _IDENTIFIES)
    if len(distinct) < 2:
        return Described(name, "left out", "no finite values" if len(distinct) == 0 else f"always {distinct[0]:g}")
    if _LABEL.fullmatch(name) and set(distinct) <= {0.0, 1.0} and len(finite) == len(seen):
        share = float(np.mean(values == 1))
        return Described(
            name, "label", f"truth: {share:.2%} signal; for evaluation only, no model sees it", values=values
        )
    if looks_like_weight(name):
        if np.all(np.isfinite(values)) and values.min() >= 0:
            return Described(name, "weight", "an unweighted sample is drawn from the weights", values=values)
        return Described(name, "left out", "looks like weights, of which some are negative or missing")
    counts_up = whole and len(distinct) > 0.98 * len(seen)
    if _IDENTIFIER.fullmatch(name) or counts_up:
        return Described(name, "identifier" if whole else "left out", _IDENTIFIES)
    keep, n = "", len(seen)
    for _ in range(4):  # an ntuple may mark what is missing in several ways
        sentinel = _sentinel(seen)
        if sentinel is None:
            break
        text, missing = sentinel
        if missing.mean() > _RARE:
            return Described(
                name,
                "left out",
                f"{text} in {missing.mean():.0%} of events, which would have to be dropped",
                values=values,
            )
        condition = (
            f"isfinite({quoted(name)})"
            if text.startswith("no number")
            else f"{quoted(name)} != {text.rpartition(' ')[2]}"
        )
        keep = f"{keep} and {condition}" if keep else condition
        seen, mass = seen[~missing], mass[~missing]
    if keep and ("\n" in name or "\r" in name or "`" in name):
        return Described(name, "left out", "some events have none, and no expression can name it", values=seen)
    described = Described(name, "feature", keep=keep, values=seen)
    notes = [f"{1 - len(seen) / n:.2g} of the events have none and are dropped"] if keep else []
    distinct, counts = np.unique(seen, return_counts=True)
    if len(distinct) < _FEWEST:
        described.role, described.note = "left out", f"takes {len(distinct)} values"
        return described
    explained = explained_by_mass(seen)
    described.correlation = _spearman(seen, mass)
    if explained > FOLLOWS:
        described.role = "left out"
        described.note = f"follows the mass ({explained:.0%} of its variance)"
        return described
    if len(distinct) < FEW * len(seen) and len(distinct) <= 1000:
        described.discrete = True
        notes.append(f"takes {len(distinct)} values, which are spread")
    elif counts.max() > ATOM * len(seen):
        share, value = counts.max() / len(seen), distinct[np.argmax(counts)]
        described.role, described.note = (
            "left out",
            f"is {value:g} in {share:.1%} of events, an atom that no density describes",
        )
        return described
    described.note = "; ".join(notes)
    return described


def _sentinel(values: Array) -> tuple[str, NDArray[np.bool_]] | None:
    """What stands for a missing value, in words that end with it, and where; None if nothing does."""
    missing = ~np.isfinite(values)
    if missing.any():
        return "no number", missing
    distinct, counts = np.unique(values, return_counts=True)
    for at, rest in ((0, distinct[1:]), (-1, distinct[:-1])):
        if counts[at] >= _SENTINEL and len(rest) > 1 and abs(distinct[at] - rest[at]) > 0.5 * np.ptp(rest):
            return f"sentinel {float(distinct[at])!r}", values == distinct[at]
    return None


def _leave_out_repeated(found: list[Described], columns: dict[str, Array]) -> None:
    features = [c for c in found if c.role == "feature"]
    if len(features) < 2:
        return
    whole = np.all([np.isfinite(columns[c.name]) for c in features], axis=0)
    rows = np.flatnonzero(whole)[:_LOOKED_AT]
    if len(rows) > 100:
        for j in repeated_features(np.column_stack([columns[c.name][rows] for c in features])):
            features[j].role, features[j].note = "left out", "given by features before it"


def _leave_out_parts_of_the_mass(
    found: list[Described], columns: dict[str, Array], look: NDArray[np.int64], mass: Array
) -> None:
    """Leave out, one by one, features that together give the mass, as the four-momenta of its parts do.

    What counts is whether boosted trees, which hunt, can tell: out-of-fold R^2 of the mass's rank above `FOLLOWS`; the
    feature that the trees used most goes first.
    """
    features = [c for c in found if c.role == "feature"]
    rows = look[:: max(1, len(look) // _LEARNED)]
    rank = np.argsort(np.argsort(mass[:: max(1, len(look) // _LEARNED)], kind="stable"), kind="stable") / len(rows)
    even = np.random.default_rng(0).random(len(rows)) < 0.5
    while len(features) > 1:
        x = np.column_stack([columns[c.name][rows] for c in features])
        dataset = lgb.Dataset(x[even], rank[even], free_raw_data=False, params={"verbosity": -1})
        trees = lgb.train(_TREES, dataset, num_boost_round=60)
        left = rank[~even] - np.asarray(trees.predict(x[~even]))
        explained = 1 - float(np.var(left) / np.var(rank[~even]))
        if explained < FOLLOWS:
            return
        worst = features.pop(int(np.argmax(trees.feature_importance("gain"))))
        worst.role = "left out"
        worst.note = f"gives the mass together with others ({explained:.0%} of its variance)"


def _spearman(x: Array, y: Array) -> float:
    a, b = (np.argsort(np.argsort(v, kind="stable"), kind="stable") for v in (x, y))
    return float(np.corrcoef(a, b)[0, 1])
