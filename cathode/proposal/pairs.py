"""The mass of a pair of objects that a table holds, where it has no column of it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from cathode.intake.expressions import quoted

_ORDER = ("Muon", "Electron", "FatJet", "Photon", "Tau", "Jet")  # collections of which the first is taken
_PARTS = ("pt", "eta", "phi", "mass", "charge")
_PART = re.compile(r"(?P<object>.*?)_?(?P<what>pt|eta|phi|mass|m|charge|q)(?P<number>\d?)", re.I)


@dataclass(frozen=True)
class Pair:
    """Two objects of an event.

    Attributes:
        define: columns to make, by name: `pair_mass`, and features of the pair.
        select: condition for events that have both.
        parts: columns that the mass is made of, which are no features.
        others: further columns of both objects, candidates for features.
    """

    define: dict[str, str]
    select: str | None
    parts: tuple[str, ...]
    others: tuple[str, ...]


def find_pair(numbers: Collection[str], vectors: Collection[str]) -> Pair | None:
    """The two leading objects of vectors (`Muon_pt`, `Muon_eta`, `Muon_phi`), or two objects with columns of their own (`pt1`, `mu2_pt`)."""
    collections = [v[:-2] for v in vectors if v.endswith(("_pt", ".pt"))]  # with the sign between object and quantity
    for prefix in sorted(collections, key=lambda c: (_ORDER.index(c[:-1]) if c[:-1] in _ORDER else len(_ORDER), c)):
        if not {prefix + "eta", prefix + "phi"} <= set(vectors):
            continue
        parts = [what for what in _PARTS if prefix + what in vectors]
        columns = [{what: quoted(f"{prefix}{what}[{k}]") for what in parts} for k in (0, 1)]
        own = [v for v in vectors if v.startswith(prefix) and v.removeprefix(prefix) not in _PARTS]
        count = f"n{prefix[:-1]}"
        select = f"{count} >= 2" if count in numbers else f"isfinite({columns[1]['pt']})"
        if "charge" in parts:
            select += f" and {columns[0]['charge']} * {columns[1]['charge']} < 0"
        return _pair(columns, select, [f"{name}[{k}]" for name in own for k in (0, 1)])
    objects: dict[tuple[str, str], dict[str, str]] = {}
    for name in numbers:
        if found := _PART.fullmatch(name):
            what = {"m": "mass", "q": "charge"}.get(found["what"].lower(), found["what"].lower())
            objects.setdefault((found["object"], found["number"]), {})[what] = quoted(name)
    whole = [columns for columns in objects.values() if {"pt", "eta", "phi"} <= set(columns)]
    return _pair(whole, None, []) if len(whole) == 2 else None


def _pair(columns: list[dict[str, str]], select: str | None, others: list[str]) -> Pair:
    """m^2 = m1^2 + m2^2 + 2 [sqrt((p1^2 + m1^2) (p2^2 + m2^2)) - p1 . p2], or without masses 2 pt1 pt2 (cosh d_eta - cos d_phi)."""
    a, b = columns
    angle = f"cos({a['phi']} - {b['phi']})"
    if "mass" in a and "mass" in b:
        energy = [f"sqrt(({c['pt']} * cosh({c['eta']}))**2 + {c['mass']}**2)" for c in (a, b)]
        inner = f"{a['pt']} * {b['pt']} * ({angle} + sinh({a['eta']}) * sinh({b['eta']}))"
        mass = f"sqrt(maximum({a['mass']}**2 + {b['mass']}**2 + 2 * ({energy[0]} * {energy[1]} - {inner}), 0))"
    else:
        mass = f"sqrt(2 * {a['pt']} * {b['pt']} * (cosh({a['eta']} - {b['eta']}) - {angle}))"
    define = {
        "pair_mass": mass,
        "pt_asymmetry": f"({a['pt']} - {b['pt']}) / ({a['pt']} + {b['pt']})",
        "pair_pt_over_mass": f"hypot({a['pt']} * cos({a['phi']}) + {b['pt']} * cos({b['phi']}), {a['pt']} * sin({a['phi']}) + {b['pt']} * sin({b['phi']})) / pair_mass",
    }
    return Pair(define, select, tuple(v.strip("`") for c in columns for v in c.values()), tuple(others))
