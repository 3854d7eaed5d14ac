"""What a file may look like and what it means: right columns and values, or one line that says what is wrong."""

from __future__ import annotations

import gzip
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from conftest import toy_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cathode import io
from cathode.errors import CathodeError, DataError
from cathode.events import Events
from cathode.intake.prepare import prepare_events
from cathode.intake.settings import DataSettings, InjectionSettings
from cathode.intake.text import read_text

RANGE = (2000.0, 5000.0)
TABLE = toy_table(3000, 60, seed=1).drop(columns="label")
INSIDE = TABLE[(TABLE.m >= RANGE[0]) & (TABLE.m < RANGE[1])]
TOY = {"source": "files", "mass": "m", "features": ("a", "b", "c")}


def prepare(*files: object, seed: int = 3, **keys):
    data = DataSettings(files=tuple(str(f) for f in files), **(TOY | keys))
    return prepare_events(data, InjectionSettings(), RANGE, seed=seed)


def assert_same(events: Events, table: pd.DataFrame = INSIDE) -> None:
    np.testing.assert_array_equal(events.mass, table.m)
    np.testing.assert_array_equal(events.features, table[["a", "b", "c"]])


# --- text

CSV = {
    "plain": ("a,b\n1,2.5\n3,4\n", {}),
    "spaces": (" a , b \n1, 2.5\n 3,4 \n", {}),
    "semicolons": ("a;b\n1;2.5\n3;4\n", {}),
    "tabs": ("a\tb\n1\t2.5\n3\t4\n", {}),
    "comments": ("# made today, by me\n# really\na,b\n1,2.5\n3,4\n", {}),
    "names in a comment": ("# made today, by me\n# a,b\n1,2.5\n3,4\n", {}),
    "quotes": ('"a","b"\r\n"1","2.5"\r\n"3","4"\r\n', {}),
    "byte order mark": ("\ufeffa,b\n1,2.5\n3,4\n", {}),
    "blank lines": ("\n\na,b\n1,2.5\n\n3,4\n\n", {}),
    "delimiter at the end of values": ("a,b\n1,2.5,\n3,4,\n", {}),
    "delimiter at the end of all": ("a,b,\n1,2.5,\n3,4,\n", {}),
    "repeated but unused": ("x,a,x,b\n9,1,9,2.5\n9,3,9,4\n", {}),
    "counted names": ("0,1\n1,2.5\n3,4\n", {"a": "0", "b": "1"}),
}


@pytest.mark.parametrize("case", CSV)
def test_text_is_read_with_the_right_columns(case, tmp_path):
    text, called = CSV[case]
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    names = [called.get(name, name) for name in ("a", "b")]
    _, columns = read_text(path, lambda known: [name for name in known if name in names])
    np.testing.assert_array_equal(columns[names[0]], [1, 3])
    np.testing.assert_array_equal(columns[names[1]], [2.5, 4])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2,3\n3,4,5\n", "found more values in a line than names (2)"),
        ("a,b\n1,2,3,4\n", "found 4 values in a line and 2 names"),
        ("a,b\n1,2\n3\n", "Expected 2 columns, got 1"),
        ("a,a,b\n1,2,3\n", "several columns called a"),
        ("1,2\n3,4\n", "found numbers in the first line"),
        ("a,b\n1,2\n3,four\n", "column b holds 'four' in row 1"),
        ("a,b\n1,1_000\n", "column b holds '1_000' in row 0"),
        ("a;b\n1;2,5\n", "column b holds '2,5' in row 0"),
        ("a,b\n1,2026-01-01\n", "column b holds '2026-01-01' in row 0"),
        ("a,b\n" + "1,2\n" * 300_000 + "1,x\n", "column b holds 'x' in row 300000"),
        ("a b\n1 2\n", "column a b holds '1 2' in row 0"),
        ("", "found no events"),
    ],
)
def test_text_that_could_be_misread_is_refused(text, message, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises((DataError, pa.ArrowInvalid), match=re.escape(message)):
        read_text(path, lambda known: known)


def test_values_of_text_are_exact_and_kinds_kept(tmp_path):
    path = tmp_path / "x.csv"
    values = np.random.default_rng(0).normal(size=500) * 10.0 ** np.arange(-250, 250)
    path.write_text("a,b,c\n" + "".join(f"{v!r},{2**60 + i},{i % 2 == 0}\n" for i, v in enumerate(values.tolist())))
    _, columns = read_text(path, lambda known: known)
    np.testing.assert_array_equal(columns["a"], values)
    np.testing.assert_array_equal(columns["b"], 2**60 + np.arange(500))
    assert columns["c"].dtype == bool


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".csv.bz2", ".tsv", ".tsv.gz"])
def test_compressed_and_tabbed_text(ending, tmp_path):
    TABLE.to_csv(tmp_path / f"x{ending}", index=False, sep="\t" if "tsv" in ending else ",", float_format="%.17g")
    assert_same(prepare(tmp_path / f"x{ending}").events)


# --- which files


def split(folder: Path, names: list[str]) -> None:
    for part, name in zip(np.array_split(np.arange(len(TABLE)), len(names)), names, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        TABLE.iloc[part].to_parquet(folder / name)


def test_patterns_folders_variables_and_order(tmp_path, monkeypatch):
    names = ["d/e0.parquet", "d/e1.parquet", "d/x/e2.parquet"]
    split(tmp_path, names)
    monkeypatch.setenv("MY_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "d" / "_SUCCESS").touch()
    ways = [
        [tmp_path / n for n in names], [tmp_path / n for n in reversed(names)], ["$MY_DATA/d/e?.parquet", "~/d/x/*.parquet"],
        ["$MY_DATA/**/*.parquet"], [tmp_path / "d"], ["${MY_DATA}/d/e[01].parquet", tmp_path / "d" / "x"],
    ]  # fmt: skip
    for way in ways:
        assert_same(prepare(*way).events)


def test_a_folder_is_read_through_its_links_and_leaves_no_table_out(tmp_path):
    split(tmp_path, ["store/2016/a.parquet", "elsewhere/b.parquet"])
    (tmp_path / "store" / "2018").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "store" / "2018" / "back").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "readme.txt").touch()
    assert_same(prepare(tmp_path / "store").events)
    (tmp_path / "store" / "c.pq").touch()
    with pytest.raises(DataError, match=r"found c\.pq, which holds a table that cannot be read"):
        prepare(tmp_path / "store")


def test_of_several_files_a_defect_is_placed_by_their_order(tmp_path):
    """Which is that of their names, and not the one in which they are listed."""
    split(tmp_path, ["aa.parquet", "zz.parquet"])
    bad = pd.read_parquet(tmp_path / "aa.parquet")
    bad.assign(a=np.where(np.arange(len(bad)) == 5, np.nan, bad.a)).to_parquet(tmp_path / "aa.parquet")
    with pytest.raises(DataError, match=r"2 files \(aa\.parquet, zz\.parquet; rows count .*column a has 1 NaN .*row 5"):
        prepare(tmp_path / "zz.parquet", tmp_path / "aa.parquet")


def test_a_name_that_means_an_array_and_an_element_of_another_means_neither(tmp_path):
    arrays = {name: TABLE[name].to_numpy() for name in ("m", "a", "b", "c")}
    jets = np.stack([arrays["b"], arrays["c"]], axis=1)
    np.savez(tmp_path / "x.npz", jet_0=arrays["a"], jet=jets, **arrays)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name, values in ({"jet_0": arrays["a"], "jet": jets} | arrays).items():
            file[name] = values
    for file in ("x.npz", "x.h5"):
        assert_same(prepare(tmp_path / file).events)
        with pytest.raises(
            DataError, match=rf"{file}.*jet_0.*(several columns|two things)|{file}.*several columns called jet_0"
        ):
            prepare(tmp_path / file, features=("a", "jet_0"))


def test_the_index_that_pandas_writes_is_no_column(tmp_path):
    TABLE.to_csv(tmp_path / "x.csv")
    assert_same(prepare(tmp_path / "x.csv").events)
    (tmp_path / "more.csv").write_text("a,b\n1,2,3\n4,5,6\n")
    with pytest.raises(DataError, match=r"found more values in a line than names \(2\)"):
        read_text(tmp_path / "more.csv", lambda names: names)


def test_a_part_of_the_path_is_a_column(tmp_path):
    split(tmp_path, ["d/year=2016/e.parquet", "d/year=2017/e.parquet"])
    events = prepare(tmp_path / "d", select="year == 2017").events
    assert_same(events, TABLE.iloc[len(TABLE) // 2 :][lambda t: (t.m >= RANGE[0]) & (t.m < RANGE[1])])


def test_no_event_counts_twice(tmp_path):
    split(tmp_path, ["a.parquet", "b.parquet"])
    (tmp_path / "copy.parquet").write_bytes((tmp_path / "a.parquet").read_bytes())
    os.link(tmp_path / "a.parquet", tmp_path / "hard.parquet")
    (tmp_path / "soft.parquet").symlink_to("a.parquet")
    for other, message in (
        ("copy", "holds what"),
        ("hard", "by another name"),
        ("soft", "by another name"),
        ("a", "listed more than once"),
    ):
        with pytest.raises(DataError, match=message):
            prepare(tmp_path / "a.parquet", tmp_path / f"{other}.parquet")


def test_files_need_agree_only_in_what_is_used(tmp_path):
    first, second = TABLE.iloc[:1500], TABLE.iloc[1500:]
    first.assign(HLT=1, when=pd.Timestamp("2026-01-01")).to_parquet(tmp_path / "a.parquet")
    second[["c", "b", "a", "m"]].to_parquet(tmp_path / "b.parquet")
    TABLE.head(0).to_parquet(tmp_path / "c.parquet")
    assert_same(prepare(tmp_path / "*.parquet").events)
    with pytest.raises(DataError, match=r"b\.parquet: column HLT not found .*other files have it"):
        prepare(tmp_path / "*.parquet", select="HLT == 1")
    second.assign(b="x").to_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet: column b holds text"):
        prepare(tmp_path / "*.parquet")


# --- what a column is


def columns_of(kind: str) -> Any:
    n = len(TABLE)
    made: dict[str, Callable[[], Any]] = {
        "dates": lambda: pd.Series(pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(n), "s")),
        "no dates": lambda: pd.Series([pd.NaT] * n),
        "durations": lambda: pd.to_timedelta(np.arange(n), "s"),
        "complex numbers": lambda: np.arange(n) * (1 + 1j),
        "text": lambda: np.arange(n).astype(str),
        "large integers": lambda: np.arange(n) + 2**60,
        "objects": lambda: pd.Series([{"x": 1}] * n),
    }
    return made[kind]()


@pytest.mark.parametrize(
    "kind", ["dates", "no dates", "durations", "complex numbers", "text", "large integers", "objects"]
)
@pytest.mark.parametrize("role", ["feature", "define", "mass", "unused"])
@pytest.mark.parametrize("form", ["memory", ".parquet", ".npz"])
def test_what_is_no_number_is_never_taken_for_one(kind, role, form, tmp_path):
    column = "m" if role == "mass" else "a"
    table = TABLE.assign(z=columns_of(kind)) if role == "unused" else TABLE.assign(**{column: columns_of(kind)})
    define, features = ({"q": "a * 2"}, ("q", "b", "c")) if role == "define" else ({}, ("a", "b", "c"))
    keys = {"define": define, "features": features}

    def read() -> Events:
        if form == "memory":
            from cathode.events import as_columns

            data = DataSettings(**(TOY | keys | {"source": "memory"}))
            return prepare_events(data, InjectionSettings(), RANGE, seed=1, columns=as_columns(table)).events
        path = tmp_path / f"x{form}"
        if form == ".parquet":
            table.to_parquet(path)
        else:
            np.savez(
                path,
                **{
                    n: v if v.dtype != object else v.astype(str)
                    for n in table
                    if (v := table[n].to_numpy()) is not None
                },
            )
        return prepare(path, **keys).events

    if form == ".parquet" and kind == "complex numbers":
        pytest.skip("Parquet has no complex numbers")
    if role == "unused":
        assert_same(read())
        return
    with pytest.raises(DataError, match=rf"column '?{column}'? (holds|has)"):
        read()


def test_numbers_that_pandas_and_arrow_keep_in_their_own_ways(tmp_path):
    small = TABLE.assign(a=np.arange(len(TABLE)) % 100)
    ways = {
        "nullable": small.astype({"a": "Int64", "b": "Float64"}),
        "objects": small.astype({"a": object, "b": object}),
        "dictionary": small.astype({"a": "category"}),
        "small": small.astype({"a": np.int8}),
    }
    for name, table in ways.items():
        table.to_parquet(tmp_path / f"{name}.parquet")
        np.testing.assert_array_equal(
            prepare(tmp_path / f"{name}.parquet").events.features[:, 0], small.a[INSIDE.index]
        )
    arrow = pa.Table.from_pandas(small[["m", "b", "c"]]).append_column(
        "a", pa.array(small.a).cast(pa.decimal128(21, 2))
    )
    pq.write_table(arrow, tmp_path / "decimal.parquet")
    np.testing.assert_array_equal(prepare(tmp_path / "decimal.parquet").events.features[:, 0], small.a[INSIDE.index])


def test_names_that_occur_twice_are_refused(tmp_path):
    arrow = pa.Table.from_arrays(
        [pa.array(TABLE[n]) for n in ("m", "a", "b", "c", "a")], names=["m", "a", "b", "c", "a"]
    )
    pq.write_table(arrow, tmp_path / "x.parquet")
    np.savez(tmp_path / "x.npz", **{n: TABLE[n].to_numpy() for n in TABLE})
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("a.npy", archive.read("b.npy"))
    for name in ("x.parquet", "x.npz"):
        with pytest.raises(DataError, match=r"several (columns|arrays) called a"):
            prepare(tmp_path / name)


def test_one_element_of_a_vector(tmp_path):
    rng = np.random.default_rng(1)
    counts = rng.integers(1, 4, len(TABLE))
    flat = rng.normal(size=counts.sum())
    vectors = ak.unflatten(flat, counts)
    first = np.asarray(vectors[:, 0])
    with uproot.recreate(tmp_path / "x.root") as file:
        file.mktree("Events", {"m": "float64", "a": "var * float64", "b": "float64", "c": "float64"})
        file["Events"].extend({"m": TABLE.m.to_numpy(), "a": vectors, "b": TABLE.b.to_numpy(), "c": TABLE.c.to_numpy()})
    ak.to_parquet(
        ak.zip(
            {"m": TABLE.m.to_numpy(), "a": vectors, "b": TABLE.b.to_numpy(), "c": TABLE.c.to_numpy()}, depth_limit=1
        ),
        tmp_path / "x.parquet",
    )
    for name in ("x.root", "x.parquet"):
        np.testing.assert_array_equal(
            prepare(tmp_path / name, features=("a[0]", "b")).events.features[:, 0], first[INSIDE.index]
        )
        twice = prepare(tmp_path / name, features=("q", "b"), define={"q": "a[0] * 2"}).events.features[:, 0]
        np.testing.assert_array_equal(twice, 2 * first[INSIDE.index])
        with pytest.raises(DataError, match=r"column a\[1\] has \d+ NaN"):
            prepare(tmp_path / name, features=("a[1]", "b"))
        assert (
            len(prepare(tmp_path / name, features=("a[1]", "b"), select="isfinite(a[1])").events)
            == (counts[INSIDE.index] > 1).sum()
        )
        with pytest.raises(DataError, match=r"(branch|column) a .*expected one number per event, as a\[0\]"):
            prepare(tmp_path / name)


def test_trees_by_key_and_in_the_path(tmp_path):
    with uproot.recreate(tmp_path / "x.root") as file:
        for name, offset in (("d/one", 0.0), ("two", 1.0)):
            file.mktree(name, dict.fromkeys(("m", "a", "b", "c"), "float64"))
            file[name].extend({n: TABLE[n].to_numpy() + (offset if n == "a" else 0) for n in ("m", "a", "b", "c")})
    path = tmp_path / "x.root"
    for files, key in (([path], "d/one"), ([path], "/d/one;1"), ([f"{path}:d/one"], None), ([f"{path}:d/one;1"], None)):
        assert_same(prepare(*files, key=key).events)
    np.testing.assert_array_equal(prepare(f"{path}:two").events.features[:, 0], INSIDE.a + 1)
    with pytest.raises(CathodeError, match="found the trees d/one, two, expected one"):
        prepare(f"{path}:two", key="d/one")
    with pytest.raises(DataError, match="xrdcp"):
        prepare("root://eos.example.org//x.root")


# --- units, losses, orders


def test_units_that_are_mixed_or_wrong_are_refused(tmp_path):
    TABLE.assign(m=np.where(np.arange(len(TABLE)) % 2, TABLE.m, TABLE.m * 1000)).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="none between; expected one unit for all events"):
        prepare(tmp_path / "x.parquet")
    for unit, factor in (("MeV", 1000.0), ("TeV", 0.001)):
        TABLE.assign(m=TABLE.m * factor).to_parquet(tmp_path / f"{unit}.parquet")
        np.testing.assert_allclose(
            prepare(tmp_path / f"{unit}.parquet", mass_unit=unit).events.mass, INSIDE.m, rtol=1e-12
        )
        with pytest.raises(DataError, match=f"a factor 1000 outside .* or, if that is what they are in, {unit}"):
            prepare(tmp_path / f"{unit}.parquet")


def test_what_went_is_said_and_a_large_loss_is_an_error(tmp_path):
    TABLE.to_parquet(tmp_path / "x.parquet")
    intake = prepare(tmp_path / "x.parquet", select="a > 0").intake
    assert intake.read == len(TABLE)
    assert intake.dropped == {
        "select": int((TABLE.a <= 0).sum()),
        "range": int(((TABLE.a > 0).sum()) - intake.kept),
        "injection": 0,
    }
    assert f"{(TABLE.a <= 0).sum()} by data.select" in intake.sentence
    with pytest.raises(DataError, match=r"keep \d+\.\d+% of the events, expected at least 60.00%"):
        prepare(tmp_path / "x.parquet", select="a > 0", allow_loss=0.4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.permutations([0, 1, 2]), order=st.permutations(["m", "a", "b", "c", "x"]), define=st.permutations(["p", "q", "r"]),
    names=st.permutations(["row", "mass", "weight"]),
)  # fmt: skip
def test_orders_and_names_change_nothing(files, order, define, names, tmp_path_factory):
    """Files, their columns, definitions and the folder in any order: the same bytes. Columns with other names: the same numbers."""
    here = tmp_path_factory.mktemp("way")
    table = TABLE.assign(x=np.arange(len(TABLE)))
    for i, part in enumerate(np.array_split(np.arange(len(TABLE)), 3)):
        table.iloc[part][order].to_parquet(here / f"{i}.parquet")
    made = {"p": "a * b", "q": "p + r", "r": "c / 2"}
    events = prepare(
        *(here / f"{i}.parquet" for i in files), define={n: made[n] for n in define}, features=("p", "q", "r")
    ).events
    io.write(events, here / "events.parquet", io.Made("prepare", "0", {}))
    expected = INSIDE.a * INSIDE.b
    np.testing.assert_array_equal(events.features[:, 0], expected)
    np.testing.assert_array_equal(events.features[:, 1], expected + INSIDE.c / 2)
    np.testing.assert_array_equal(events.row, INSIDE.index)
    again = prepare(here / "?.parquet", define=made, features=("p", "q", "r")).events
    io.write(again, here / "again.parquet", io.Made("prepare", "0", {}))
    assert (here / "events.parquet").read_bytes() == (here / "again.parquet").read_bytes()
    renamed = TABLE.rename(columns=dict(zip("abc", names, strict=True)))
    renamed.to_parquet(here / "renamed.parquet")
    other = prepare(here / "renamed.parquet", features=tuple(names)).events
    io.write(other, here / "other.parquet", io.Made("prepare", "0", {}))
    assert_same(io.read(here / "other.parquet", Events))


# --- the LHC Olympics table


def official(**more: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    n = 3000
    table: dict[str, np.ndarray] = {}
    for j, sign in (("j1", 1), ("j2", -1)):
        table |= {
            f"px{j}": sign * rng.uniform(1200, 2000, n),
            f"py{j}": rng.normal(0, 50, n),
            f"pz{j}": rng.normal(0, 300, n),
        }
        table |= {f"m{j}": rng.uniform(50, 400, n)} | {f"tau{k}{j}": rng.uniform(0.1, 1, n) for k in (1, 2, 3)}
    return table | more


def read_official(tmp_path: Path, table: dict[str, np.ndarray], **keys):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name, values in table.items():
            file[name] = values
    data = DataSettings(source="files", files=(str(tmp_path / "x.h5"),), **keys)
    return prepare_events(data, InjectionSettings(), (2300.0, 8000.0), seed=1).events


def test_derived_and_raw_jets_are_never_mixed(tmp_path):
    table = official()
    light = np.minimum(table["mj1"], table["mj2"])
    events = read_official(tmp_path, table)
    np.testing.assert_array_equal(events.features[:, 0], light[events.row])
    for keys in (
        {"features": ("mj1", "mj2")},
        {"select": "mj2 > 0"},
        {"define": {"q": "mj1 + mj2"}, "features": ("q", "mj1")},
    ):
        with pytest.raises(DataError, match="mj2 is the mass of the jet with the smaller pT"):
            read_official(tmp_path, table, **keys)
    own = table | {"mjj": np.full(3000, 3000.0) + np.arange(3000)}
    with pytest.raises(DataError, match="its column mjj is not what is derived"):
        read_official(tmp_path, own)
    raw = read_official(tmp_path, own, format="table", features=("mj1", "mj2"))
    np.testing.assert_array_equal(raw.features, np.stack([table["mj1"], table["mj2"]], axis=1)[raw.row])


def test_gzip_of_a_damaged_file_is_one_line(tmp_path):
    with gzip.open(tmp_path / "x.csv.gz", "wt") as file:
        file.write(TABLE.to_csv(index=False))
    content = (tmp_path / "x.csv.gz").read_bytes()
    (tmp_path / "x.csv.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"not readable as csv\.gz") as caught:
        prepare(tmp_path / "x.csv.gz")
    assert "\n" not in str(caught.value)


# --- what goes with the events, and events that come twice


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".npz"])
def test_identifiers_go_with_the_events_to_the_last_digit(ending, tmp_path):
    number = 2**62 + np.arange(len(TABLE))[::-1]
    table = TABLE.assign(event=number, run=np.int32(7), mass=TABLE.a * 0)
    if ending == ".npz":
        np.savez(tmp_path / "x.npz", **{n: table[n].to_numpy() for n in table})
    else:
        getattr(table, f"to_{ending[1:]}")(tmp_path / f"x{ending}", index=False)
    events = prepare(tmp_path / f"x{ending}", identifiers=("event", "run", "a", "mass")).events
    assert_same(events)
    for found, expected in zip(events.identifiers, (number, table.run, table.a, table["mass"]), strict=True):
        np.testing.assert_array_equal(found, np.asarray(expected)[INSIDE.index])
    io.write(events[events.mass > 3000], tmp_path / "e.parquet", io.Made("prepare", "0", {}))
    again = io.read(tmp_path / "e.parquet", Events)
    assert again.carried == ("event", "run", "a", "mass")
    np.testing.assert_array_equal(again.identifiers[0], number[INSIDE.index][events.mass > 3000])
    np.testing.assert_array_equal(again.features[:, 0], again.identifiers[2])
    stored = pq.read_schema(tmp_path / "e.parquet").names
    assert {"event", "run", "a", "identifier:a", "mass", "identifier:mass"} <= set(stored)
    with pytest.raises(DataError, match=r"column event has .* integers beyond 2\^53"):
        prepare(tmp_path / f"x{ending}", features=("a", "event"))


def test_events_that_come_twice_are_said_and_many_are_refused(tmp_path):
    for share, name in ((0.02, "few"), (1.0, "all")):
        again = TABLE.head(int(share * len(TABLE)))
        pd.concat([TABLE, again]).to_parquet(tmp_path / f"{name}.parquet")
    few = prepare(tmp_path / "few.parquet")
    assert few.intake.duplicates > 10
    assert f"{few.intake.duplicates} of {len(few.events)} events repeat an earlier one exactly" in few.intake.doubts[0]
    with pytest.raises(DataError, match=r"events repeat an earlier one exactly, expected at most 5%"):
        prepare(tmp_path / "all.parquet")
    assert prepare(tmp_path / "all.parquet", allow_duplicates=0.5).intake.duplicates == len(INSIDE)
