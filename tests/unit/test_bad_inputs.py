"""A corpus of bad inputs through the command line: exit code 2, one line that names the place, nothing left behind."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import uproot
import yaml
from conftest import toy_table

from cathode.cli import main
from cathode.events import Events
from cathode.io import read

TABLE = toy_table(3000, 60, seed=1)
DATA = {"source": "files", "files": ["events.parquet"], "mass": "m", "features": ["a", "b", "c"]}
CONFIG = {"windows": {"range": [2000, 5000], "signal_regions": [[2800, 3200]]}}


def parquet(folder: Path, **columns) -> None:
    TABLE.assign(**columns).to_parquet(folder / "events.parquet")


def cell(column: str, row: int, value: float) -> pd.Series:
    out = TABLE[column].astype(float).copy()
    out[row] = value
    return out


def jagged(folder: Path) -> None:
    with uproot.recreate(folder / "events.root") as file:
        counts = np.arange(200) % 3 + 1
        values = [np.ones(n) for n in counts]
        import awkward as ak

        file.mktree("tree", {"m": "float64", "a": "var * float64", "b": "float64", "c": "float64"})
        file["tree"].extend({"m": np.ones(200), "a": ak.Array(values), "b": np.ones(200), "c": np.ones(200)})


def two_trees(folder: Path) -> None:
    with uproot.recreate(folder / "events.root") as file:
        for name in ("one", "two"):
            file.mktree(name, {"m": "float64"})
            file[name].extend({"m": np.ones(10)})


def cut_short(name: str, write) -> Callable[[Path], None]:
    def to(folder: Path) -> None:
        write(folder)
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])

    return to


def hdf(folder: Path) -> None:
    TABLE.to_hdf(folder / "events.h5", key="df")


def two_keys(folder: Path) -> None:
    TABLE.to_hdf(folder / "events.h5", key="one")
    TABLE.to_hdf(folder / "events.h5", key="two")


def plain_hdf(folder: Path, **columns) -> None:
    with h5py.File(folder / "events.h5", "w") as file:
        for name in ("m", "a", "b", "c"):
            file[name] = columns.get(name, TABLE[name].to_numpy())


def csv(text: str):
    return lambda folder: (folder / "events.csv").write_text(text)


def csv_cell(value: str):
    def to(folder: Path) -> None:
        TABLE.astype(object).assign(a=lambda t: [value, *t.a[1:]]).to_csv(folder / "events.csv", index=False)

    return to


def differing_files(folder: Path) -> None:
    TABLE.to_parquet(folder / "events_0.parquet")
    TABLE.drop(columns="c").to_parquet(folder / "events_1.parquet")


def data(**keys):
    return {"data": DATA | keys}


CASES = {
    # what the table holds
    "NaN": (lambda f: parquet(f, b=cell("b", 17, np.nan)), {}, ["events.parquet", "column b", "1 NaN", "row 17"]),
    "infinite": (lambda f: parquet(f, c=cell("c", 4, np.inf)), {}, ["column c", "row 4"]),
    "NaN mass": (lambda f: parquet(f, m=cell("m", 9, np.nan)), {}, ["column m", "row 9"]),
    "NaN label": (lambda f: parquet(f, label=cell("label", 8, np.nan)), data(label="label"), ["column label", "row 8"]),
    "label two": (lambda f: parquet(f, label=cell("label", 5, 2)), data(label="label"), ["other than 0 and 1", "first 2", "row 5"]),
    "empty label": (parquet, data(label=""), ["data.label: found an empty name"]),
    "all signal": (lambda f: parquet(f, label=1), data(label="label") | {"injection": {"n_signal": 5}}, ["5 events are left with 5 of", "at least 1000"]),
    "label one half": (lambda f: parquet(f, label=0.5), data(label="label"), ["other than 0 and 1", "0.5"]),
    "missing feature": (lambda f: TABLE.drop(columns="b").to_parquet(f / "events.parquet"), {}, ["column b not found"]),
    "missing mass": (parquet, data(mass="mm"), ["column mm not found", "did you mean m"]),
    "missing label": (parquet, data(label="truth"), ["column truth not found"]),
    "nothing wanted": (lambda f: TABLE[["label"]].to_parquet(f / "events.parquet"), {}, ["column m not found"]),
    "constant": (lambda f: parquet(f, a=1.0), {}, ["column a is constant"]),
    "text": (lambda f: parquet(f, a="x"), {}, ["column a", "expected numbers"]),
    "dates": (lambda f: parquet(f, a=pd.Timestamp("2026-01-01")), {}, ["column a"]),
    "lists": (lambda f: parquet(f, a=pd.Series([[1.0, 2.0]] * len(TABLE))), {}, ["column a"]),
    "few": (lambda f: TABLE.head(200).to_parquet(f / "events.parquet"), {}, ["200 events", "at least 1000"]),
    "no rows": (lambda f: TABLE.head(0).to_parquet(f / "events.parquet"), {}, ["found no events"]),
    "TeV taken for GeV": (lambda f: parquet(f, m=TABLE.m / 1000), {}, ["factor 1000", "TeV"]),
    "GeV taken for TeV": (
        parquet, data(mass_unit="TeV") | {"windows": {"range": [2, 5], "signal_regions": [[2.8, 3.2]]}}, ["factor 1000", "GeV"],
    ),
    "all outside": (lambda f: parquet(f, m=TABLE.m + 10000), {}, ["0 of", "windows.range"]),
    "negative masses": (lambda f: parquet(f, m=-TABLE.m), {}, ["0 of", "windows.range"]),
    "unicode name": (parquet, data(features=["a", "b", "τ₂₁"]), ["column τ₂₁ not found"]),
    # expressions
    "select syntax": (parquet, data(select="a >"), ["data.select"]),
    "select a number": (parquet, data(select="a + b"), ["true or false"]),
    "select nothing": (parquet, data(select="a > 1e9"), ["keeps none of"]),
    "select unknown": (parquet, data(select="zz > 1"), ["data.select", "zz not found"]),
    "define unknown": (parquet, data(define={"q": "zz + 1"}), ["data.define.q", "zz not found"]),
    "define code": (parquet, data(define={"q": "__import__('os').getcwd()"}), ["data.define.q"]),
    "define attribute": (parquet, data(define={"q": "a.__class__"}), ["data.define.q"]),
    "define empty": (parquet, data(define={"q": ""}), ["data.define.q"]),
    "define infinite": (parquet, data(define={"q": "a / (b - b)"}, features=["q", "b"]), ["column q", "infinite"]),
    # files
    "missing file": (lambda f: None, {}, ["events.parquet: no such file"]),
    "glob without match": (parquet, data(files=["other_*.parquet"]), ["other_*.parquet: no such file"]),
    "directory": (lambda f: (f / "events.parquet").mkdir(), {}, ["found a folder with no table"]),
    "unknown ending": (lambda f: (f / "events.txt").write_text("1"), data(files=["events.txt"]), ["ending .txt"]),
    "no ending": (lambda f: (f / "events").write_text("1"), data(files=["events"]), ["(none)"]),
    "listed twice": (parquet, data(files=["events.parquet", "events.parquet"]), ["listed more than once"]),
    "different columns": (differing_files, data(files=["events_*.parquet"]), ["column c not found", "other files have it"]),
    "empty file": (lambda f: (f / "events.parquet").touch(), {}, ["not readable as parquet"]),
    "text in a parquet": (lambda f: (f / "events.parquet").write_text("a,b\n1,2\n"), {}, ["not readable as parquet"]),
    "truncated parquet": (cut_short("events.parquet", parquet), {}, ["not readable as parquet"]),
    "truncated HDF5": (cut_short("events.h5", hdf), data(files=["events.h5"]), ["not readable as HDF5"]),
    "HDF5 with two keys": (two_keys, data(files=["events.h5"]), ["found keys", "one", "two", "data.key"]),
    "HDF5 key": (two_keys, data(files=["events.h5"], key="three"), ["data.key three not found", "one"]),
    "plain HDF5 key": (plain_hdf, data(files=["events.h5"], key="tree"), ["data.key tree not found"]),
    "HDF5 of unequal columns": (lambda f: plain_hdf(f, a=np.ones(10)), data(files=["events.h5"]), ["differ in length"]),
    "HDF5 of 3 dimensions": (lambda f: plain_hdf(f, a=np.ones((10, 2, 2))), data(files=["events.h5"]), ["column a not found"]),
    "empty CSV": (csv(""), data(files=["events.csv"]), ["found no events"]),
    "CSV header only": (csv("m,a,b,c\n"), data(files=["events.csv"]), ["found no events"]),
    "CSV ragged": (csv("m,a,b,c\n1,2,3,4\n1,2,3,4,5,6\n"), data(files=["events.csv"]), ["not readable as csv"]),
    "CSV bytes": (lambda f: (f / "events.csv").write_bytes(bytes(range(256)) * 9), data(files=["events.csv"]), ["events.csv"]),
    "CSV word": (csv_cell("many"), data(files=["events.csv"]), ["column a"]),
    "CSV overflow": (csv_cell("1e400"), data(files=["events.csv"]), ["column a", "infinite", "row 0"]),
    "CSV comma decimals": (csv_cell("1,5"), data(files=["events.csv"]), ["column a"]),
    "npy of one dimension": (lambda f: np.save(f / "events.npy", np.ones(5)), data(files=["events.npy"]), ["shape (5,)"]),
    "npy pickled": (
        lambda f: np.save(f / "events.npy", np.array([{"a": 1}], dtype=object)), data(files=["events.npy"]), ["not readable as npy"],
    ),
    "npz not a zip": (lambda f: (f / "events.npz").write_text("zip"), data(files=["events.npz"]), ["not readable as npz"]),
    "ROOT jagged": (jagged, data(files=["events.root"]), ["branch a is jagged"]),
    "ROOT two trees": (two_trees, data(files=["events.root"]), ["found trees one, two"]),
    "ROOT tree": (two_trees, data(files=["events.root"], key="three"), ["data.key three not found"]),
    "ROOT truncated": (cut_short("events.root", jagged), data(files=["events.root"]), ["events.root"]),
    # injection
    "too much signal": (parquet, data(label="label") | {"injection": {"n_signal": 100}}, ["100", "only 60"]),
    "official format": (parquet, data(format="lhco"), ["15 official columns"]),
}  # fmt: skip


def run(folder: Path, tree: dict, monkeypatch, capsys) -> tuple[int, str]:
    monkeypatch.chdir(folder)
    (folder / "my.yaml").write_text(
        yaml.safe_dump(CONFIG | {"data": DATA} | tree, allow_unicode=True), encoding="utf-8"
    )
    logging.disable(logging.INFO)
    try:
        code = main(["prepare", "--config", "my.yaml", "--out", "e.parquet", "l.parquet", "s.parquet", "i.json"])
    finally:
        logging.disable(logging.NOTSET)
    return code, capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")  # libraries complain about damaged files in their own way, besides
@pytest.mark.parametrize("case", sorted(CASES))
def test_bad_input_is_one_line_and_leaves_nothing(case, tmp_path, monkeypatch, capsys):
    write, tree, words = CASES[case]
    write(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    code, error = run(tmp_path, tree, monkeypatch, capsys)
    assert code == 2, error
    assert error.startswith("cathode: ")
    assert error.count("\n") == 1, error
    for word in words:
        assert word in error
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*before, "my.yaml"])


def test_good_input_in_every_format_gives_the_same_events(tmp_path, monkeypatch, capsys):
    """Also tiny numbers, unicode names, float32 and columns inside arrays."""
    names = ["m", "a", "b", "c"]
    matrix = TABLE[names].to_numpy()
    TABLE.to_hdf(tmp_path / "table.h5", key="df", format="table")
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["events/m"], file["events/x"] = matrix[:, 0], matrix[:, 1:]
    with h5py.File(tmp_path / "records.hdf5", "w") as file:
        file["events"] = TABLE[names].to_records(index=False)
    np.save(tmp_path / "plain.npy", matrix)
    np.save(tmp_path / "records.npy", TABLE[names].to_records(index=False))
    np.savez(tmp_path / "arrays.npz", m=matrix[:, 0], x=matrix[:, 1:])
    with uproot.recreate(tmp_path / "events.root") as file:
        file["tree"] = {name: TABLE[name].to_numpy() for name in names}
    numbered = {"mass": "c0", "features": ["c1", "c2", "c3"]}
    inside = {"mass": "m", "features": ["x_0", "x_1", "x_2"]}
    cases = {
        "table.h5": {}, "plain.h5": inside | {"key": "events"}, "records.hdf5": {"key": "events"}, "plain.npy": numbered,
        "records.npy": {}, "arrays.npz": inside, "events.root": {},
    }  # fmt: skip
    parquet(tmp_path)
    found = {}
    for name, keys in {"events.parquet": {}, **cases}.items():
        code, error = run(tmp_path, data(files=[name], **keys), monkeypatch, capsys)
        assert code == 0, error
        found[name] = read(tmp_path / "e.parquet", Events)
    first = found["events.parquet"]
    for name, events in found.items():
        np.testing.assert_array_equal(events.features, first.features, err_msg=name)
        np.testing.assert_array_equal(events.mass, first.mass)
        np.testing.assert_array_equal(events.row, first.row)
    TABLE.assign(a=TABLE.a * 1e-308).rename(columns={"b": "τ₂₁"}).to_parquet(tmp_path / "events.parquet")
    code, error = run(tmp_path, data(features=["a", "τ₂₁", "c"]), monkeypatch, capsys)
    assert code == 0, error
