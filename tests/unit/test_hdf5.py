"""HDF5 files without pandas and PyTables: what pandas wrote comes back, and nothing in a file is run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cathode.errors import DataError
from cathode.hdf5 import open_table

N = 50
pytestmark = pytest.mark.filterwarnings(
    "ignore::tables.exceptions.NaturalNameWarning", "ignore::pandas.errors.PerformanceWarning"
)


def frame(seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "m": rng.normal(size=N),
            "i": rng.integers(-9, 9, N),
            "f": rng.normal(size=N).astype(np.float32),
            "a": rng.normal(size=N),
            "τ 21": rng.normal(size=N),
            "flag": rng.random(N) < 0.5,
            "u": rng.integers(0, 9, N).astype(np.uint16),
        }
    )


def read(path: Path, key: str | None = None) -> dict[str, np.ndarray]:
    with open_table(path, key) as table:
        return table.read(list(table.columns))


def check_same(path: Path, expected: pd.DataFrame, key: str | None = None) -> None:
    found = read(path, key)
    assert set(found) == {str(name) for name in expected.columns}
    for name in expected.columns:
        np.testing.assert_array_equal(found[str(name)], expected[name].to_numpy(), err_msg=str(name))


@pytest.mark.parametrize(
    "how", ["fixed", "table", "data columns", "some data columns", "compressed", "appended", "below"]
)
def test_what_pandas_writes_comes_back(tmp_path: Path, how: str) -> None:
    path, table, key = tmp_path / "t.h5", frame(), "df"
    if how == "appended":
        with pd.HDFStore(str(path)) as store:
            store.append("df", table[:20])
            store.append("df", table[20:])
    else:
        ways: dict[str, dict[str, Any]] = {
            "table": {"format": "table"},
            "data columns": {"format": "table", "data_columns": True},
            "some data columns": {"format": "table", "data_columns": ["a", "i"]},
            "compressed": {"complevel": 5, "complib": "zlib"},
        }
        key = "some/where/df" if how == "below" else "df"
        table.to_hdf(path, key=key, **ways.get(how, {}))
    check_same(path, table)
    check_same(path, table, key)
    with open_table(path) as opened:
        assert len(opened) == N
        np.testing.assert_array_equal(opened.read(["f"], 10, 13)["f"], table.f[10:13])
        assert list(opened.read(["u", "a"])) == ["u", "a"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from("fibu"), min_size=1, max_size=8),
    st.sampled_from(["fixed", "table"]),
    st.booleans(),
    st.integers(1, 70),
)
def test_frames_of_any_types_come_back(tmp_path, kinds, form, numbered, n):
    rng = np.random.default_rng(len(kinds) + n)
    columns: dict[object, np.ndarray] = {}
    for j, kind in enumerate(kinds):
        values = rng.integers(0, 100, n)
        name = j if numbered else f"x{j}"
        columns[name] = (
            values > 50 if kind == "b" else values.astype({"f": np.float64, "i": np.int32, "u": np.uint8}[kind])
        )
    table = pd.DataFrame(columns)
    path = tmp_path / "t.h5"
    table.to_hdf(path, key="df", format=form, mode="w")
    check_same(path, table)


def test_long_tables_are_read_in_blocks_and_once(tmp_path):
    table = pd.DataFrame(np.arange(600_000, dtype=np.int64).reshape(-1, 3))
    for form in ("fixed", "table"):
        table.to_hdf(tmp_path / f"{form}.h5", key="df", format=form)
        check_same(tmp_path / f"{form}.h5", table)


class Canary:
    """What runs when it is unpickled, and says so."""

    def __reduce__(self):
        return (Path.touch, (Path("pwned"),))


HOSTILE = pickle.dumps(Canary(), 0)


def planted(path: Path, where: str) -> None:
    """A file of pandas with a pickle that runs code when pandas or PyTables open it."""
    table = frame()
    table.to_hdf(path, key="df", format="table" if where.startswith("table") else "fixed")
    if where == "object column":
        table.assign(text=["x"] * N, odd=np.array([Canary()] * N, dtype=object)).to_hdf(path, key="df", mode="w")
        return
    with h5py.File(path, "r+") as file:
        match where:
            case "attribute of the file":
                file.attrs["TITLE"] = np.bytes_(HOSTILE)
            case "attribute of the group":
                file["df"].attrs["name"] = np.bytes_(HOSTILE)
            case "attribute of a column":
                file["df/block0_values"].attrs["note"] = np.bytes_(HOSTILE)
            case "group beside":
                group = file.create_group("beside")
                group.attrs["CLASS"] = np.bytes_(HOSTILE)
            case "array beside":
                odd = file.create_dataset("beside", (1,), dtype=h5py.vlen_dtype(np.uint8))
                odd[0] = np.frombuffer(HOSTILE, dtype=np.uint8)
                odd.attrs["CLASS"], odd.attrs["PSEUDOATOM"] = np.bytes_("VLARRAY"), np.bytes_("object")
            case "table: names":
                file["df/table"].attrs["values_block_0_kind"] = np.bytes_(HOSTILE)
            case "table: attribute":
                file["df/table"].attrs["note"] = np.bytes_(HOSTILE)
            case "kind of the names":
                file["df/axis0"].attrs["kind"] = np.bytes_(HOSTILE)
                file["df/block0_items"].attrs["kind"] = np.bytes_(HOSTILE)


@pytest.mark.parametrize(
    ("where", "refused"),
    [
        ("object column", ""),
        ("attribute of the file", ""),
        ("attribute of the group", ""),
        ("attribute of a column", ""),
        ("group beside", ""),
        ("array beside", ""),
        ("table: names", "pickled with code, which is not run"),
        ("table: attribute", ""),
        ("kind of the names", ""),
    ],
)
def test_no_pickle_is_run(tmp_path, monkeypatch, where, refused):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = tmp_path / "t.h5"
    planted(path, where)
    if refused:
        with pytest.raises(DataError, match=refused):
            read(path)
    else:
        with open_table(path) as table:
            np.testing.assert_array_equal(table.read(["m"])["m"], frame().m)
            if where == "object column":
                with pytest.raises(DataError, match="'odd' holds Python objects"):
                    table.read(["odd"])
    assert not list(Path().iterdir())


def test_the_pickles_here_would_run(tmp_path, monkeypatch):
    """Otherwise the tests above prove nothing."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(HOSTILE)
    assert Path("pwned").exists()


def test_columns_that_hold_no_plain_numbers_are_refused_by_name(tmp_path):
    path = tmp_path / "t.h5"
    table = frame().assign(when=pd.Timestamp("2020-01-01"), how=pd.Categorical(["a", "b"] * (N // 2)))
    table.drop(columns="how").to_hdf(path, key="df")
    with open_table(path) as opened, pytest.raises(DataError, match=r"'when' holds datetime64.*, expected numbers"):
        opened.read(["when"])
    table.to_hdf(path, key="df", format="table", data_columns=True, mode="w")
    with open_table(path) as opened:
        for name, words in {"when": "datetime64", "how": "categories"}.items():
            with pytest.raises(DataError, match=f"'{name}' holds {words}"):
                opened.read([name])
        np.testing.assert_array_equal(opened.read(["a"])["a"], table.a)


def plain(path: Path) -> h5py.File:
    file = h5py.File(path, "w")
    file["m"], file["a"] = np.arange(N, dtype=float), np.ones(N)
    return file


def test_links_to_other_files_and_virtual_columns_are_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.arange(N)
    path = tmp_path / "t.h5"
    with plain(path) as file:
        file["out"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/secret")
    with pytest.raises(DataError, match=r"'out' is a link to another file \(.*other\.h5\)"):
        read(path)
    with plain(path) as file:
        file["out"] = h5py.ExternalLink("other.h5", "/")
        file["way"] = h5py.SoftLink("/out/secret")
        file["inside"] = h5py.SoftLink("/a")
        file["ring"] = h5py.SoftLink("/ring")
    for key in ("out/secret", "way"):
        with pytest.raises(DataError, match="'out' is a link to another file"):
            read(path, key)
    with pytest.raises(DataError, match="leads to itself"):
        read(path, "ring")
    for missing in ("absent", "absent.h5"):
        with plain(path) as file:
            layout = h5py.VirtualLayout((N,), dtype=float)
            layout[:] = h5py.VirtualSource(str(tmp_path / missing), "x", (N,))
            file.create_virtual_dataset("v", layout)
        with pytest.raises(DataError, match=f"'v' is stored in other files .*{missing}"):
            read(path)
        with open_table(path) as table:
            np.testing.assert_array_equal(table.read(["m"])["m"], np.arange(N))
    (tmp_path / "raw.bin").write_bytes(np.arange(N, dtype=float).tobytes())
    with plain(path) as file:
        file.create_dataset("e", (N,), dtype=float, external=[(str(tmp_path / "raw.bin"), 0, N * 8)])
    with pytest.raises(DataError, match="'e' is stored in other files"):
        read(path)


def test_rows_that_were_never_written_are_refused(tmp_path):
    path = tmp_path / "t.h5"
    with plain(path) as file:
        file.create_dataset("late", (N,), dtype=float)
        part = file.create_dataset("part", (N,), dtype=float, chunks=(10,), fillvalue=7.0)
        part[:20] = 1.0
    with open_table(path) as table:
        for name in ("late", "part"):
            with pytest.raises(DataError, match=f"'{name}' has rows that were never written"):
                table.read([name])


def test_enumerations_are_refused_with_their_names(tmp_path):
    path = tmp_path / "t.h5"
    with plain(path) as file:
        kind = h5py.enum_dtype({"signal": 0, "background": 1}, basetype="i1")
        file.create_dataset("label", data=np.zeros(N, dtype="i1"), dtype=kind)
    with open_table(path) as table, pytest.raises(DataError, match=r"enumeration \(background = 1, signal = 0\)"):
        table.read(["label"])


@pytest.mark.parametrize("key", ["two", "/two/", "two/x"])
def test_tables_are_named_by_their_path(tmp_path, key):
    path = tmp_path / "t.h5"
    frame(1).to_hdf(path, key="one")
    frame(2).to_hdf(path, key="two")
    with pytest.raises(DataError, match=r"found keys one, two, expected data\.key to name one"):
        read(path)
    if key == "two/x":
        with pytest.raises(DataError, match=r"data\.key two/x not found, the file has one, two"):
            read(path, key)
    else:
        check_same(path, frame(2), key)
