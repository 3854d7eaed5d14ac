"""Random configurations, tables and bytes: whatever comes in, a refusal is one line and never a traceback.

The default suite draws a few hundred; `FUZZ_SECONDS=600 pytest -m slow tests/unit/test_fuzz.py` draws for ten minutes.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import toy_table
from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st

from cathode.config import config_schema, load_config
from cathode.errors import CathodeError
from cathode.intake.prepare import prepare_events
from cathode.intake.tables import read_table
from cathode.running.check import describe

TABLE = toy_table(3000, 60, seed=1)
LARGE = toy_table(8000, 60, seed=1)  # enough for a hunt's pseudo signal regions
CALM = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)

pytestmark = pytest.mark.filterwarnings("ignore")  # libraries complain about damaged files in their own way, besides


def refusal(action) -> str:
    """The text of a refusal, empty if there is none. Any other exception is a defect."""
    try:
        action()
    except CathodeError as error:
        said = str(error)
    else:
        return ""
    assert "\n" not in said
    return said


# --- configurations

TEXT = st.text(max_size=12)
NUMBERS = st.one_of(
    st.integers(-3, 30), st.integers(), st.floats(), st.sampled_from([0.5, 1e-300, 1e300, 2**31, -(2**63)])
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT)
VALUES = st.recursive(
    LEAVES, lambda v: st.one_of(st.lists(v, max_size=3), st.dictionaries(TEXT, v, max_size=3)), max_leaves=6
)


def every_key() -> list[tuple[tuple[str, ...], dict]]:
    """The path and the schema of every key of the configuration."""
    schema = config_schema()

    def below(node, path):
        for option in (node, *node.get("anyOf", [])):
            target = schema["$defs"][option["$ref"].split("/")[-1]] if "$ref" in option else option
            for key, value in target.get("properties", {}).items():
                yield (*path, key), value
                yield from below(value, (*path, key))

    return list(below(schema, ()))


KEYS = every_key()
WORDS = st.sampled_from(
    [
        "m",
        "a",
        "b",
        "c",
        "label",
        "a > 0",
        "a / 0",
        "m +",
        "exp(a)",
        "events.parquet",
        "*.parquet",
        "GeV",
        "TeV",
        "cathode",
    ]
)


def of_type(node: dict):
    """Values of the type that a key's schema asks for, sensible or not."""
    if "anyOf" in node:
        return st.one_of(*map(of_type, node["anyOf"]))
    if "enum" in node:
        return st.sampled_from(node["enum"])
    simple = {
        "integer": st.one_of(st.integers(-2, 40), st.integers()),
        "number": st.one_of(st.floats(0, 10), st.floats(1000, 6000), st.floats()),
        "boolean": st.booleans(), "string": st.one_of(WORDS, TEXT), "null": st.none(),
    }  # fmt: skip
    if node.get("type") in simple:
        return simple[node["type"]]
    if node.get("type") == "array":
        inner = [of_type(n) for n in node.get("prefixItems", [])]
        return st.tuples(*inner).map(list) if inner else st.lists(of_type(node.get("items", {})), max_size=4)
    return VALUES


def config_tree(draw) -> dict:
    """A small hunt with up to three keys replaced, mostly by values of their type."""
    tree: dict[str, Any] = {
        "data": {"source": "files", "files": ["events.parquet"], "mass": "m", "features": ["a", "b", "c"], "label": "label"},
        "windows": {"range": [2000, 5000], "signal_regions": [[2800, 3200]]},
        "closure": {"windows": 4},
    }  # fmt: skip
    for _ in range(draw(st.integers(1, 3))):
        (*path, last), node = draw(st.sampled_from(KEYS))
        place: Any = tree
        for key in path:
            place = place.setdefault(key, {}) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place[last] = draw(of_type(node) if draw(st.integers(0, 3)) else st.one_of(VALUES, WORDS))
    return tree


def check_configuration(draw, folder: Path) -> None:
    path = folder / "my.yaml"
    tree = config_tree(draw) if draw(st.integers(0, 9)) else draw(VALUES)
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")

    def action() -> None:
        config = load_config(path)
        assume(config.data.source == "files")
        describe(config)

    refusal(action)


# --- tables

ODD_COLUMNS = st.sampled_from(
    [
        np.nan, np.inf, -np.inf, 0.0, -1.0, 1e308, 1e-308, 5e-324, 2, "text", None, b"bytes", True, 10**30, "1e3", "",
        pd.Timestamp("2020-01-01"), 1 + 2j, [1.0, 2.0], {"a": 1},
    ]
)  # fmt: skip


def check_table(draw, folder: Path) -> None:
    """A table of which some cells, columns or names are anything, in any format that can hold it."""
    table = TABLE.head(draw(st.sampled_from([0, 30, 3000, 3000, 3000]))).copy()
    for _ in range(draw(st.integers(1, 3))):
        column, value = draw(st.sampled_from(list(TABLE))), draw(ODD_COLUMNS)
        change = draw(st.sampled_from(["all", "one", "drop", "rename", "type"]))
        if list(table).count(column) != 1:  # dropped, or named twice by now
            continue
        if change == "all":
            table[column] = [value] * len(table)
        elif change == "one" and len(table):
            table[column] = [value, *table[column].iloc[1:]]
        elif change == "drop":
            table = table.drop(columns=column)
        elif change == "rename":
            table = table.rename(columns={column: draw(st.one_of(TEXT, st.sampled_from(["a", "m", "mass", "τ₂₁"])))})
        elif change == "type":
            kind = draw(st.sampled_from(["float32", "int8", "uint64", "str", "bool", "category"]))
            try:
                table[column] = table[column].astype(kind)
            except (ValueError, TypeError, OverflowError):
                continue
    form = draw(st.sampled_from(["parquet", "csv", "h5", "npz"]))
    path = folder / f"events.{form}"
    try:
        if form == "parquet":
            table.to_parquet(path)
        elif form == "csv":
            table.to_csv(path, index=False)
        elif form == "h5":
            table.to_hdf(path, key="df")
        else:
            np.savez(path, **{str(name): table[name].to_numpy() for name in table})
    except Exception:  # what no library writes cannot be read either
        assume(False)
    config = load_config(
        {
            "data": {"source": "files", "files": [str(path)], "mass": "m", "features": ["a", "b", "c"], "label": "label"},
            "windows": {"range": [2000, 5000], "signal_regions": [[2800, 3200]]},
            "injection": {"n_signal": draw(st.sampled_from([None, 0, 20, 10**6]))},
        }
    )  # fmt: skip

    def action() -> None:
        prepared = prepare_events(config.data, config.injection, config.mass_range, seed=1)
        assert np.isfinite(prepared.events.features).all()
        assert len(prepared.events) >= 1000

    refusal(action)


# --- bytes


def check_bytes(draw, folder: Path) -> None:
    """Bytes of good files with some of them changed: refused, or read as what they then say."""
    kind = draw(st.sampled_from(["parquet", "h5", "npz", "csv"]))
    path, small = folder / f"events.{kind}", TABLE.head(40)
    if kind == "parquet":
        small.to_parquet(path)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            for name in small:
                file[name] = small[name].to_numpy()
    elif kind == "npz":
        np.savez(path, **{c: small[c].to_numpy() for c in small})
    else:
        small.to_csv(path, index=False)
    raw = bytearray(path.read_bytes())
    for _ in range(draw(st.integers(1, 8))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    path.write_bytes(bytes(raw))
    refusal(lambda: read_table(path, None, lambda names: names))


CHECKS = {"configurations": (check_configuration, 150), "tables": (check_table, 60), "bytes": (check_bytes, 60)}


def fuzz(check, examples: int, number: int, factory) -> None:
    large = factory.mktemp("large") / "events.parquet"
    LARGE.to_parquet(large)

    @seed(number)
    @settings(CALM, max_examples=examples)
    @given(data=st.data())
    def run(data) -> None:
        folder = factory.mktemp("fuzz")
        (folder / "events.parquet").symlink_to(large)
        before = Path.cwd()
        os.chdir(folder)
        try:
            check(data.draw, folder)
        finally:
            os.chdir(before)

    run()


@pytest.mark.parametrize("name", CHECKS)
def test_nothing_ends_in_a_traceback(name, tmp_path_factory):
    check, examples = CHECKS[name]
    fuzz(check, examples, 0, tmp_path_factory)


@pytest.mark.slow
def test_nothing_ends_in_a_traceback_for_long(tmp_path_factory):
    end, number = time.monotonic() + float(os.environ.get("FUZZ_SECONDS", "600")), 0
    while time.monotonic() < end:
        number += 1
        for check, examples in CHECKS.values():
            fuzz(check, examples, number, tmp_path_factory)
    assert number > 0
