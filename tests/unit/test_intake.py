"""Reading, deriving and refusing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED, toy_table

from cathode.config import load_config
from cathode.dijets.columns import JET_COLUMNS, derive_dijet
from cathode.errors import CathodeError, DataError
from cathode.intake.prepare import prepare_events
from cathode.intake.settings import DataSettings, InjectionSettings

RANGE = (2000.0, 5000.0)
TOY = {"mass": "m", "features": ("a", "b", "c"), "source": "files"}


@pytest.fixture(scope="module")
def table():
    return toy_table(3000, 60, seed=1)


@pytest.fixture
def write(tmp_path):
    def to(frame: pd.DataFrame, suffix: str) -> str:
        path = tmp_path / f"events{suffix}"
        if suffix == ".parquet":
            frame.to_parquet(path)
        elif suffix == ".csv":
            frame.to_csv(path, index=False, float_format="%.17g")
        elif suffix == ".npz":
            np.savez(path, **{c: frame[c].to_numpy() for c in frame})
        else:
            frame.to_hdf(path, key="df")
        return str(path)

    return to


def prepare(path: str, n_signal: int | None = None, **keys):
    data = DataSettings(files=(path,), **(TOY | keys))
    return prepare_events(data, InjectionSettings(n_signal), RANGE, seed=3)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".npz", ".h5"])
def test_every_format_gives_the_same_events(suffix, table, write):
    found = prepare(write(table, suffix)).events
    inside = table[(table.m >= RANGE[0]) & (table.m < RANGE[1])]
    np.testing.assert_array_equal(found.mass, inside.m)
    np.testing.assert_array_equal(found.features, inside[["a", "b", "c"]])
    np.testing.assert_array_equal(found.row, inside.index)


def test_several_files_are_one_table(table, tmp_path):
    table.iloc[:1500].to_parquet(tmp_path / "p0.parquet")
    table.iloc[1500:].to_parquet(tmp_path / "p1.parquet")
    assert len(prepare(str(tmp_path / "p*.parquet")).events) == ((table.m >= RANGE[0]) & (table.m < RANGE[1])).sum()


def test_columns_are_defined_after_what_they_are_made_of_in_any_order(table, write):
    path = write(table, ".parquet")
    ways = ({"x": "y / 10", "y": "a * b"}, {"y": "a * b", "x": "y / 10"})
    one, two = (prepare(path, define=define, features=("x", "y")).events for define in ways)
    np.testing.assert_array_equal(one.features, two.features)
    kept = table.loc[one.row]
    np.testing.assert_allclose(one.features[:, 0], kept.a * kept.b / 10)
    for define, message in (
        ({"x": "y", "y": "z", "z": "x"}, r"data\.define: found .* of .*: columns that are made of each other"),
        ({"x": "x + 1"}, "made of each other"),
        ({"a": "b + 1"}, r"data\.define\.a: the input has a column a, too"),
    ):
        with pytest.raises(DataError, match=message):
            prepare(path, define=define, features=("b", "c"))


def test_define_and_select_are_evaluated(table, write):
    path = write(table, ".parquet")
    found = prepare(path, define={"ab": "a * b + 1"}, select="(a > 0) & (m < 4000)", features=("ab", "c")).events
    expected = table[(table.a > 0) & (table.m < 4000) & (table.m >= 2000)]
    np.testing.assert_allclose(found.features[:, 0], expected.a * expected.b + 1)


def test_masses_in_tev_become_gev(table, write):
    path = write(table.assign(m=table.m / 1000), ".parquet")
    found = prepare(path, mass_unit="TeV").events
    assert 2000 < found.mass.min() < 2010


def test_injection_keeps_the_asked_signal_and_sets_the_rest_aside(table, write):
    p = prepare(write(table, ".parquet"), label="label", n_signal=20)
    assert p.labels.label.sum() == 20
    assert len(p.spare) == 40
    assert not set(p.spare.row) & set(p.events.row)
    none = prepare(write(table, ".parquet"), label="label", n_signal=0)
    assert none.labels.label.sum() == 0


def test_derived_dijet_columns_of_a_hand_computed_event():
    """Back-to-back jets of 1000 GeV along x with masses 300 (leading) and 100: all values by hand."""
    row = dict.fromkeys(JET_COLUMNS, 0.0) | {"pxj1": 1000.0, "mj1": 300.0, "pxj2": -1000.0, "mj2": 100.0}
    row |= {"tau1j1": 0.5, "tau2j1": 0.1, "tau1j2": 0.4, "tau2j2": 0.3}
    d = derive_dijet({k: np.array([v]) for k, v in row.items()})
    energy = np.sqrt(1e6 + 300**2) + np.sqrt(1e6 + 100**2)
    assert d["mjj"][0] == pytest.approx(energy)
    assert d["mj1"][0] == 100
    assert d["delta_mj"][0] == 200
    assert d["tau21_j1"][0] == pytest.approx(0.3 / 0.40001)
    assert d["tau21_j2"][0] == pytest.approx(0.1 / 0.50001)
    assert d["delta_r"][0] == pytest.approx(np.pi)


@pytest.mark.skipif(not SHARED.exists(), reason="LHC Olympics files are not part of the repository")
def test_the_official_table_reads_unchanged():
    path = SHARED / "lhco_rd_v1_100k.features.h5"
    data = DataSettings(source="files", files=(str(path),), label="label")
    p = prepare_events(data, InjectionSettings(300), (2300, 8000), seed=1)
    frame = pd.read_hdf(path)
    i = int(p.events.row[7])
    r = frame.iloc[i]
    e = sum(np.sqrt(r[f"px{j}"] ** 2 + r[f"py{j}"] ** 2 + r[f"pz{j}"] ** 2 + r[f"m{j}"] ** 2) for j in ("j1", "j2"))
    p2 = sum((r[f"{c}j1"] + r[f"{c}j2"]) ** 2 for c in ("px", "py", "pz"))
    assert p.events.mass[7] == pytest.approx(np.sqrt(e**2 - p2))
    assert p.events.features[7, 0] == pytest.approx(min(r.mj1, r.mj2))
    in_region = (p.events.mass >= 3300) & (p.events.mass < 3700)
    assert (in_region & (p.labels.label == 0)).sum() == 12881


def bad_tables(t: pd.DataFrame):
    """Every row of the contract's data errors: name, table, keys, words the message must hold."""
    nan = t.copy()
    nan.loc[17, "b"] = np.nan
    inf = t.copy()
    inf.loc[4, "c"] = np.inf
    yield "nan", nan, {}, ["column b", "1 NaN", "row 17"]
    yield "infinite", inf, {}, ["column c", "row 4"]
    yield "missing feature", t.drop(columns="b"), {}, ["column b not found"]
    yield "misspelt mass", t, {"mass": "mm"}, ["column mm not found", "did you mean m"]
    yield "constant", t.assign(a=1.0), {}, ["column a is constant"]
    yield "label two", t.assign(label=2), {"label": "label"}, ["other than 0 and 1", "first 2"]
    yield "few", t.head(200), {}, ["200 events", "at least 1000"]
    yield "TeV", t.assign(m=t.m / 1000), {}, ["factor 1000", "TeV"]
    yield "text", t.assign(a="x"), {}, ["column a", "expected numbers"]
    yield "select syntax", t, {"select": "a >"}, ["data.select"]
    yield "select not boolean", t, {"select": "a + b"}, ["true or false"]
    yield "select nothing", t, {"select": "a > 1e9"}, ["keeps none"]
    yield "define unknown", t, {"define": {"q": "zz + 1"}}, ["data.define.q", "zz not found"]
    yield "define code", t, {"define": {"q": "__import__('os').getcwd()"}}, ["data.define.q"]
    yield "lhco", t, {"format": "lhco"}, ["15 official columns"]


@pytest.mark.parametrize("case", [c[0] for c in bad_tables(toy_table(10, 0, 0).sample(30, replace=True).reset_index())])
def test_bad_tables_are_refused_with_the_place(case, table, write):
    name, frame, keys, words = next(c for c in bad_tables(table) if c[0] == case)
    with pytest.raises(DataError) as caught:
        prepare(write(frame, ".parquet"), **keys)
    for word in words:
        assert word in str(caught.value), (name, str(caught.value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".parquet", ".h5", ".npz"])
def test_truncated_files_are_refused(suffix, table, write):
    from pathlib import Path

    path = Path(write(table, suffix))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="not readable"):
        prepare(str(path))


def test_missing_files_and_strange_endings_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        prepare(str(tmp_path / "none.parquet"))
    with pytest.raises(DataError, match="found a folder with no table"):
        prepare(str(tmp_path))
    (tmp_path / "x.txt").write_text("1")
    with pytest.raises(DataError, match=r"found ending \.txt"):
        prepare(str(tmp_path / "x.txt"))


BAD_CONFIGS = {
    "unknown key": ({"classifer": {}}, ["classifer", "did you mean classifier"]),
    "unknown inner key": ({"classifier": {"fold": 3}}, ["classifier.fold", "did you mean folds"]),
    "wrong type": ({"seed": "one"}, ["seed", "'one'"]),
    "wrong inner type": ({"classifier": {"folds": 2.5}}, ["classifier.folds", "2.5"]),
    "region outside": ({"windows": {"signal_regions": [[1000, 3000]]}}, ["strictly inside range"]),
    "working point": ({"working_points": [0.1, 1.5]}, ["1.5", "between 0 and 1"]),
    "method": ({"methods": ["cathod"]}, ["cathod", "did you mean cathode"]),
    "needs label": ({"data": {"source": "files", "files": ["x.csv"]}, "methods": ["supervised"]}, ["needs truth labels"]),
    "mass as feature": ({"data": {"features": ["mjj", "mj1"]}}, ["mjj", "the mass"]),
    "no files": ({"data": {"source": "files"}}, ["data.files"]),
    "one bootstrap": ({"background": {"bootstraps": 1}}, ["at least 2"]),
    "closure windows": ({"closure": {"windows": 2}}, ["at least 4"]),
    "not a mapping": ([1, 2], ["list"]),
    "bad choice": ({"background": {"model": "gan"}}, ["background.model", "gan"]),
    "injection without label": (
        {"data": {"source": "files", "files": ["x.csv"]}, "injection": {"n_signal": 3}}, ["needs truth labels"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(BAD_CONFIGS))
def test_bad_configurations_are_refused_with_the_key(case, tmp_path):
    import yaml

    tree, words = BAD_CONFIGS[case]
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(CathodeError) as caught:
        load_config(path)
    for word in ["my.yaml", *words]:
        assert word in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_line_says_one_line_and_exits_with_two(tmp_path, capsys):
    from cathode.cli import main

    path = tmp_path / "my.yaml"
    path.write_text("seeed: 3\n")
    assert main(["check", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "did you mean seed" in error


def test_check_describes_the_demo(capsys):
    from cathode.cli import main

    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "window m3500: 18363 events" in out
    assert "12 pseudo signal regions" in out
