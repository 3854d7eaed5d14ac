"""The table of a run holds what its summary says, gives its limits back from its own columns, and survives its files."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from conftest import counting
from example_hunt import GOOD, summary

from cathode import ScanTable
from cathode.errors import ArtefactError, ConfigError, FitError
from cathode.inference.table import COLUMNS
from cathode.results import ExpectedEvents, Limit
from cathode.stats.workspace import build_workspace, upper_limit

BLIND = dataclasses.replace(
    GOOD, window="m4000", signal_region=(3800.0, 4200.0), n_sr=None, n_obs=None, sigma=None, p_local=None, z_local=None, limit=None,
    signal_yield=None, reference=None, flags=("blind: the signal region was not read", "closure: a, b"),
)  # fmt: skip
TRUTH = dataclasses.replace(GOOD, method="supervised", limit=None, signal_yield=None)


@pytest.fixture(scope="module")
def table() -> ScanTable:
    """With the limit that the count has, not the made-up one of the verdict's tests."""
    workspace = build_workspace(
        counting(357, 183.0, 860, initialisation=0.5 / 183, bootstrap=2 / 183, non_closure=9.7 / 183, nu=12, sideband=(17700 / 18000, 120 / 17700))
    )  # fmt: skip
    observed, bands = upper_limit(workspace)
    hunt = dataclasses.replace(
        GOOD,
        limit=Limit(s_obs=observed, s_exp=bands),
        n_sr_expected=ExpectedEvents(value=17700.0, fit_error=120.0),
    )
    return ScanTable.of(summary(hunt, TRUTH, BLIND))


def test_it_has_a_row_per_hunt_and_the_numbers_of_the_summary(table):
    frame = table.frame
    assert list(frame) == list(COLUMNS)
    assert list(frame["window"]) == ["m3500", "m3500", "m4000"]
    first, truth, blind = (frame.iloc[i] for i in range(3))
    assert (first["mass"], first["width"], first["observed"], first["expected"]) == (3500, 400, 357, 183.0)
    assert (first["error"], first["error_non_closure"], first["z"], first["p"]) == (11.7, 9.7, 5.4, 4e-8)
    assert (first["trials"], first["p_global"], first["search"]) == (6, 1e-7, True)
    assert not truth["search"]
    assert np.isnan(blind[["observed", "p", "z", "limit", "error"]].astype(float)).all()
    assert blind["flags"] == "blind: the signal region was not read | closure: a, b"


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_gives_every_digit_back(table, tmp_path, ending):
    path = table.write(tmp_path / f"scan.{ending}")
    again = ScanTable.read(path)
    pd.testing.assert_frame_equal(again.frame, table.frame, check_exact=True, check_dtype=False)
    assert again.text == table.text
    if ending == "csv":
        pd.testing.assert_frame_equal(ScanTable.read(tmp_path).frame, again.frame)  # the folder of a run
    assert [p.name for p in tmp_path.iterdir()] == [f"scan.{ending}"]


def test_limits_come_back_from_its_columns_and_at_another_level(table):
    assert table.limits().frame["limit"][0] == pytest.approx(table.frame["limit"][0], rel=1e-6)
    assert table.limits().frame["limit_p2"][0] == pytest.approx(table.frame["limit_p2"][0], rel=1e-6)
    weaker = table.limits(level=0.9).frame
    assert weaker["limit"][0] < table.frame["limit"][0]
    # without signal, and for many events: Phi^-1(1 - 0.05) of a standard deviation instead of Phi^-1(1 - 0.025)
    assert weaker["limit_0"][0] / table.frame["limit_0"][0] == pytest.approx(1.645 / 1.960, abs=0.02)
    assert np.isnan(weaker["limit"][1:]).all()
    assert list(weaker["level"][:1]) == [0.9]
    assert table.frame["level"][0] == 0.95
    with pytest.raises(ConfigError, match="level: found 95, expected a confidence level"):
        table.limits(level=95)


def test_systematics_are_in_the_limits_that_it_gives_back():
    plain = counting(
        200,
        183.0,
        860,
        initialisation=0.5 / 183,
        bootstrap=2 / 183,
        non_closure=9.7 / 183,
        nu=12,
        sideband=(17700 / 18000, 120 / 17700),
    )
    workspace = build_workspace(dataclasses.replace(plain, systematics=(("luminosity", 0.3), ("trigger", 0.4))))
    observed, bands = upper_limit(workspace)
    hunt = dataclasses.replace(
        GOOD,
        n_obs=200,
        limit=Limit(s_obs=observed, s_exp=bands),
        n_sr_expected=ExpectedEvents(value=17700.0, fit_error=120.0),
    )
    run = summary(hunt)
    config = run.config | {"statistics": {"systematics": {"luminosity": 0.3, "trigger": 0.4}}}
    found = ScanTable.of(dataclasses.replace(run, config=config))
    assert found.frame["signal_systematics"][0] == pytest.approx(0.5)
    assert found.limits().frame["limit"][0] == pytest.approx(observed, rel=1e-4)


def test_a_limit_that_cannot_be_found_costs_itself_alone(table, monkeypatch):
    both = ScanTable(pd.concat([table.frame[:1], table.frame[:1].assign(window="m3600")], ignore_index=True))
    answers = iter([FitError("no strength is excluded"), (7.0, (1.0, 2.0, 3.0, 4.0, 5.0))])

    def fails_first(*_, **__):
        found = next(answers)
        if isinstance(found, FitError):
            raise found
        return found

    monkeypatch.setattr("cathode.report.table.upper_limit", fails_first)
    found = both.limits().frame
    assert np.isnan(found["limit"][0])
    assert np.isnan(found["level"][0])
    assert found["flags"][0].endswith("limit: no strength is excluded")
    assert (found["limit"][1], found["flags"][1]) == (7.0, both.frame["flags"][1])


def test_a_table_that_a_spreadsheet_saved_is_read(table, tmp_path):
    path = table.write(tmp_path / "scan.csv")
    lines = path.read_text().replace("True", "TRUE").splitlines()
    path.write_text("\n".join([lines[0] + ",remark", *(line + ",look here" for line in lines[1:])]) + "\n")
    assert ScanTable.read(path).text == table.text


def test_it_draws_itself(table, tmp_path):
    drawing = table.plot()
    drawn = drawing.numbers["hunts"]
    assert [(h["method"], h["p_local"]) for h in drawn] == [
        ("cathode", 4e-8),
        ("supervised", 4e-8),
    ]  # not the blind one
    assert drawing.numbers["searches"] == ["cathode"]
    assert drawing.save(tmp_path / "scan.png").stat().st_size > 10_000
    with pytest.raises(ArtefactError, match="found no p-value in it"):
        ScanTable(table.frame[2:]).plot()


def test_a_foreign_file_is_refused_with_what_it_lacks(table, tmp_path):
    table.frame.drop(columns=["overdispersion", "p"]).to_csv(tmp_path / "scan.csv", index=False)
    with pytest.raises(ArtefactError, match=re.escape("found no column overdispersion, p, expected a scan table")):
        ScanTable.read(tmp_path / "scan.csv")
    (tmp_path / "scan.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ArtefactError, match="expected a scan table"):
        ScanTable.read(tmp_path / "scan.parquet")
    with pytest.raises(ArtefactError, match="no such file"):
        ScanTable.read(tmp_path / "elsewhere.csv")
    with pytest.raises(ArtefactError, match=re.escape("found ending .txt, expected .csv or .parquet")):
        table.write(tmp_path / "scan.txt")


def test_overdispersion_is_in_the_limits_that_it_gives_back():
    c = dataclasses.replace(
        counting(200, 183.0, 860, initialisation=0.5 / 183, bootstrap=2 / 183, non_closure=9.7 / 183, nu=12, sideband=(17700 / 18000, 120 / 17700)),
        overdispersion=1.5,
    )  # fmt: skip
    obs, bands = upper_limit(build_workspace(c))
    h = dataclasses.replace(
        GOOD, n_obs=200, overdispersion=1.5, limit=Limit(s_obs=obs, s_exp=bands), n_sr_expected=ExpectedEvents(value=17700.0, fit_error=120.0)
    )  # fmt: skip
    assert ScanTable.of(summary(h)).limits().frame["limit"][0] == pytest.approx(obs, rel=1e-4)
