"""`cathode.hunt`: what comes out of one call, what it refuses, and a density of one's own handed over as a class.

That its numbers are the workflow's is tested beside the workflow (tests/workflow).
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import subprocess
import sys
from fractions import Fraction

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyhf
import pytest
from conftest import toy_table
from linear_density import LinearDensity
from scipy.stats import norm

import cathode
from cathode.artefacts import FigureNumbers
from cathode.classifier.settings import TreeSettings
from cathode.plots.drawing import read_drawing
from cathode.report import page as report_page
from cathode.report.explain import explain
from cathode.report.page import report
from cathode.results import Limit
from cathode.stats.counting import p_predictive
from cathode.stats.joint import Behind, p_weighted

ASK = {"mass": "m", "features": ["a", "b", "c"], "window": (2800, 3200), "range": (2000, 5000), "progress": False}
LIGHT = {
    "background": cathode.DensitySettings(bootstraps=2, seeds=2),
    "classifier": cathode.ClassifierSettings(folds=2, members=4, splits=1, boosted_trees=TreeSettings(trees=10)),
    "closure": cathode.ClosureSettings(windows=4, bootstraps=2),
    "working_points": (0.1, 0.02),
}  # fmt: skip
TABLE = toy_table(12000, 150, 1)


@pytest.fixture(scope="module")
def found() -> cathode.Hunt:
    """A hunt with a density that the package does not know, in processes that never heard of it."""
    keys = {**ASK, **LIGHT, "label": "label", "methods": ("cathode", "supervised")}
    return cathode.hunt(TABLE, density=LinearDensity, cores=2, **keys)


def test_a_class_of_ones_own_is_the_density(found):
    assert isinstance(found.density.density, LinearDensity)
    assert found.config.density_model == "linear_density.LinearDensity"
    assert found.density.density.n_members == 4
    assert found.z > 2
    assert len(found.closures["cathode"].names) == found[0.1].non_closure.n_windows == 4


def test_results_are_found_by_working_point_and_method(found):
    assert [r.eps_bkg for r in found.results] == [0.1, 0.02] * 2
    assert found[0.02] is found["cathode", 0.02]
    assert found["supervised", 0.1].method == "supervised"
    assert found.best.method == "cathode"  # a reference never leads
    assert (found.z, found.p) == (found.best.z_local, found.best.p_local)
    assert found.z == max(found[eps].z for eps in (0.1, 0.02))
    assert found.z_global < found.z
    assert found.summary.trials == 1  # both working points are one test
    with pytest.raises(
        KeyError, match=r"no hunt of cathode at working point 0\.5, expected one of cathode 0\.1, cathode 0\.02"
    ):
        _ = found[0.5]


def test_it_explains_its_significance_to_the_last_stage(found):
    stages = found.why().stages
    assert stages[0].source == "counting"
    assert [stage.source for stage in stages[-2:]] == ["joint", "trials"]
    assert stages[-3].z == pytest.approx(found.z)
    assert stages[-2].z == found.summary.window.z_local
    assert stages[-1].z == pytest.approx(found.z_global)
    text = str(found.why(0.1))
    assert "non-closure of the interpolation" in text
    assert f"{found[0.1].z:.2f}" in text.splitlines()[-1]


def test_its_limit_and_workspace_are_those_of_pyhf(found):
    limit = found.limit()
    assert isinstance(limit, Limit)
    assert len(limit.s_exp) == 5
    assert limit.s_exp[0] < limit.s_exp[2] < limit.s_exp[4]
    tree = found.workspace("yield")
    workspace = pyhf.Workspace(tree)
    model = workspace.model()  # the first measurement
    data = workspace.data(model)
    at_limit = limit.s_obs / np.sqrt(found.best.n_bkg)  # its signal strength is in units of sqrt(background)
    bounds = model.config.suggested_bounds()
    bounds[model.config.poi_index] = (0.0, 10 * at_limit)
    cls = pyhf.infer.hypotest(at_limit, data, model, par_bounds=bounds, test_stat="qtilde")
    assert float(cls) == pytest.approx(0.05, abs=0.002)
    assert found.workspace()["measurements"][0]["name"] == "hunt"
    with pytest.raises(cathode.CathodeError, match="found no measurement limit, expected one of hunt, yield"):
        found.workspace("limit")


def test_the_selected_events_are_those_of_the_table(found):
    chosen = found.selected
    assert len(chosen) == found.best.n_obs
    own = TABLE.iloc[chosen["row"]]
    np.testing.assert_array_equal(own["m"], chosen["mass"])
    np.testing.assert_array_equal(own[["a", "b", "c"]], chosen[["a", "b", "c"]])
    assert own["label"].mean() > 0.3 > TABLE["label"].mean()
    assert len(found.select(0.1)) == found[0.1].n_obs


def test_it_prints_itself(found):
    text, page = repr(found), found._repr_html_()
    together = found.summary.window.z_local
    assert f"= 0.02: {found.z:.1f}σ)   {together:.1f}σ local, {found.z_global:.1f}σ global" in text
    assert text.splitlines()[1].split() == ["method", "ε_B", "observed", "expected", "z", "95", "%", "limit"]
    assert f"<td>{found[0.1].n_obs}</td>" in page
    assert "⚑ m3000_supervised_0.1: reference: uses truth labels" in text


def test_figures_leave_the_users_style_alone_and_do_not_follow_it(found):
    before = dict(mpl.rcParams)
    first = found.plot.bump()._repr_png_()
    assert dict(mpl.rcParams) == before
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "figure.dpi": 40}):
        assert found.plot.bump()._repr_png_() == first
        assert mpl.rcParams["font.size"] == 30
    assert first.startswith(b"\x89PNG")
    drawn = found.plot.bump(0.1).numbers
    inside = [low >= 2800 and high <= 3200 for low, high in drawn["edges"]]
    counts = [n for n, counted in zip(drawn["points"]["0.1"]["counts"], inside, strict=True) if counted]
    assert sum(counts) == pytest.approx(found[0.1].n_obs_average)
    assert drawn["shown"] == "0.1"
    for drawing in (
        found.plot.closure(),
        found.plot.features(),
        found.plot.significance(),
        found.plot.mass(),
        found.plot.scores(),
    ):
        assert drawing.figure.axes
    assert found.plot.spectrum().numbers["scans"][0]["z"] == pytest.approx(found.spectrum.z)
    with pytest.raises(cathode.CathodeError, match="supervised compares with no template"):
        found.plot.features(("supervised", 0.1))


def test_every_figure_is_drawn_again_from_its_numbers_alone(found):
    kinds = set()
    for one in found.drawings():
        again = read_drawing(one.json(), one.name)
        assert again == one
        assert again.image("svg") == one.image("svg"), one.name
        kinds.add(one.kind)
    assert kinds >= {
        "mass_spectrum",
        "selected_spectrum",
        "features",
        "scores",
        "closure",
        "sideband_ratio",
        "significance",
    }
    bump = next(one for one in found.drawings() if one.kind == "selected_spectrum")
    assert bump.at("0.1").image("svg") != bump.at("0.02").image("svg")
    assert dataclasses.replace(bump, style="ATLAS").image("svg") != bump.image("svg")
    with pytest.raises(cathode.CathodeError, match=r"no working point 0\.5, expected one of 0\.1, 0\.02"):
        bump.at("0.5")
    for text in ("[]", "{}", '{"figure": "bmp", "name": "x", "schema": "cathode/figure/1"}', "nonsense"):
        with pytest.raises(cathode.CathodeError, match="found"):
            read_drawing(text, "x.json")


def test_the_quoted_p_value_can_be_computed_again_from_what_is_printed(found):
    for result in found.results[:2]:
        line = explain(found.summary, result.name).split("p_predictive(")[1].split(")")[0]
        given = {k: float(Fraction(v)) if "/" in v else float(v) for k, v in re.findall(r"(\w+)=([^,\s]+)", line)}
        assert p_predictive(given.pop("n"), given.pop("m"), given.pop("tau"), **given) == pytest.approx(
            result.p_local, rel=1e-3
        )
    call = re.search(r"= (p_weighted\(.*\)), in cathode/stats/joint.py", explain(found.summary)).group(1)
    again = eval(call, {"p_weighted": p_weighted, "Behind": Behind, "inf": np.inf})
    assert norm.isf(again) == pytest.approx(found.summary.window.z_local, abs=0.02)


def test_the_page_loads_nothing_and_its_data_cannot_end_it(found):
    kept = {d.name: f"picture of {d.name}".encode() for d in found.drawings()}
    numbers = [FigureNumbers(d.name, d.json(), kept[d.name]) for d in found.drawings()]
    page = report(found.summary, numbers, config=found.config).text
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", re.sub(r"<script.*?</script>", "", page, flags=re.S))
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1]
    hunts = json.loads(data)["hunts"]
    assert set(hunts) == {r.name for r in found.results}
    assert hunts[found.best.name]["z"] == found.z
    assert page.count("</script>") == 3
    shown = [base64.b64decode(text) for text in re.findall(r"data:image/png;base64,([^\"]+)", page)]
    of_run = [content for content in shown if content in kept.values()]
    drawn = [
        content for content in shown if content[:4] == b"\x89PNG"
    ]  # the stages, and what is of another working point
    assert len(of_run) >= 8
    assert 1 <= len(drawn) <= 3
    assert len(shown) == len(of_run) + len(drawn)
    evil = dataclasses.replace(found.summary, run="</script><script>alert(1)</script>")
    assert "<script>alert" not in report(evil, [], config=found.config).text


def test_scripts_of_the_page_are_kept_and_made_again_where_the_kept_ones_are_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made: list[int] = []

    def bundle(_: str) -> str:
        made.append(1)
        return "let scripts;"

    monkeypatch.setattr(report_page.vl_convert, "javascript_bundle", bundle)
    for spoil in (False, False, True):
        report_page._vega.cache_clear()
        if spoil:
            (kept,) = (tmp_path / "cathode").iterdir()
            kept.write_text(kept.read_text()[:-1])
        assert report_page._vega() == "let scripts;"
    report_page._vega.cache_clear()
    assert len(made) == 2
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert report_page._vega() == "let scripts;"
    report_page._vega.cache_clear()


def test_report_and_folder(found, tmp_path):
    page = found.report(tmp_path / "r.html").read_text()
    assert "data:image/png;base64" in page
    assert "linear_density.LinearDensity" in page
    assert "benchmarks/timing.html" not in page  # nothing was timed
    folder = found.save(tmp_path / "run")
    assert json.loads((folder / "summary.json").read_text())["hunts"][0]["n_obs"] == found[0.1].n_obs
    with pytest.raises(cathode.CathodeError, match="is there and not empty, expected a new folder, or overwrite=True"):
        found.save(folder)
    assert found.save(folder, overwrite=True) == folder


def test_a_blind_hunt_tells_nothing_of_its_signal_region():
    keys = {**ASK, **LIGHT, "methods": ("cwola",), "blind": True, "cores": 1}
    table = TABLE.drop(columns="label")
    shut = cathode.hunt(table, **keys)
    inside = ((table.m >= 2800) & (table.m < 3200)).to_numpy()
    other = table[~inside | (np.arange(len(table)) % 3 > 0)].reset_index(drop=True)  # a third of them gone
    assert cathode.hunt(other, **keys).results == shut.results
    assert shut.z is shut.p is shut.z_global is shut.limit() is shut[0.1].n_obs is None
    expected = shut[0.1].n_sr_expected.value * 0.1 * np.exp(shut[0.1].non_closure.mean)
    assert shut[0.1].n_bkg == pytest.approx(expected)
    assert "blind" in repr(shut)
    assert "blind" in str(shut.why())
    for ask in (lambda: shut.selected, shut.workspace, shut.plot.bump, shut.plot.spectrum):
        with pytest.raises(cathode.CathodeError, match="blind"):
            ask()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": "w"}, "column w not found"),
        ({"window": (1000, 1500)}, "expected it strictly inside range"),
        ({"features": ["a", "zz"]}, "column zz not found"),
        ({"mass": "mm"}, "column mm not found, did you mean m"),
        ({"methods": ("cathod",)}, "did you mean cathode"),
        ({"methods": ("supervised",)}, "needs truth labels"),
        ({"working_points": (1.5,)}, "strictly between 0 and 1"),
        ({"features": ["a", "m"]}, "which is the mass"),
        ({"n_signal": 5}, "needs truth labels"),
        ({"density": dict}, "has no fit, sample, n_members"),
    ],
)
def test_what_cannot_be_hunted_is_refused_before_anything_is_trained(change, message):
    with pytest.raises(cathode.CathodeError, match=message):
        cathode.hunt(TABLE, **{**ASK, **LIGHT, **change})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (3, "found int, expected a DataFrame or a dictionary of arrays"),
        ({"m": np.ones(5), "a": np.ones(4)}, "columns differ in length"),
        (pd.concat([TABLE, TABLE[["a"]]], axis=1), "column a occurs more than once"),
        (
            TABLE.assign(b=np.where(np.arange(len(TABLE)) == 7, np.nan, TABLE.b)),
            "column b has 1 NaN or infinite values, first in row 7",
        ),
        ("nowhere.parquet", "nowhere.parquet: no such file"),
    ],
    ids=["number", "lengths", "twice", "NaN", "missing"],
)
def test_tables_that_are_none_are_refused(table, message):
    with pytest.raises(cathode.CathodeError, match=message):
        cathode.hunt(table, **ASK, **LIGHT)


def test_a_script_without_a_main_guard_hunts_once_and_prints_no_bar_into_a_pipe(tmp_path):
    """Workers of other kinds import the script again, and hunt in each."""
    TABLE.to_parquet(tmp_path / "t.parquet")
    (tmp_path / "script.py").write_text(
        "import cathode\nfrom cathode.classifier.settings import TreeSettings\nprint('once')\n"
        "h = cathode.hunt('t.parquet', mass='m', features=['a', 'b', 'c'], window=(2800, 3200), range=(2000, 5000), cores=2,\n"
        "    methods=('cwola',), working_points=(0.1,), background=cathode.DensitySettings(bootstraps=2, seeds=2),\n"
        "    classifier=cathode.ClassifierSettings(folds=2, splits=1, boosted_trees=TreeSettings(trees=5)),\n"
        "    closure=cathode.ClosureSettings(windows=4))\nprint(h.summary.n_events)\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["once", "12150"]
    assert done.stderr == ""


def test_a_count_is_as_good_as_a_smeared_count(monkeypatch):
    """Constituents of jets, more of them in the signal. As it is, the feature is named as one that no density can describe."""
    said: list[str] = []
    monkeypatch.setattr("cathode.call.log.warning", lambda text, *given: said.append(text % given))
    rng = np.random.default_rng(5)
    table = toy_table(15000, 260, 5)
    table["n"] = np.where(table.label == 1, rng.poisson(12, len(table)), rng.poisson(5, len(table)))
    keys = {**ASK, **LIGHT, "features": ["b", "c", "n"], "working_points": (0.05,), "cores": 1}
    keys["closure"] = cathode.ClosureSettings(windows=5, bootstraps=2)
    hunted = cathode.hunt(table, **keys, discrete=["n"])
    assert not said
    by_hand = cathode.hunt(table.assign(n=table.n + rng.uniform(-0.5, 0.5, len(table))), **keys)
    assert min(by_hand.z, hunted.z) > 3
    assert hunted[0.05].n_obs == pytest.approx(by_hand[0.05].n_obs, rel=0.15)
    assert pd.Series(np.round(hunted.events.features[:, 2])).isin(np.arange(40)).all()
    raw = cathode.hunt(table, **keys, methods=("cwola",))
    assert any("n: takes" in line for line in said)
    assert any("n: takes" in doubt for doubt in raw.summary.intake.doubts)


def test_a_labelled_table_without_signal_ends_with_its_report(tmp_path):
    """Curves of signal efficiency cannot be drawn; everything else is, and where they would be stands why."""
    keys = {**ASK, **LIGHT, "working_points": (0.1,), "label": "label", "methods": ("cathode", "idealised"), "cores": 1}
    found = cathode.hunt(toy_table(9000, 0, 1), **keys)
    assert found[0.1].truth.n_sig_sr == 0
    drawings = {drawing.name: drawing for drawing in found.drawings()}
    assert {"significance", "spectrum_scan", "m3000_performance", "m3000_idealised_scores"} <= set(drawings)
    assert "fewer than 25 labelled signal events" in drawings["m3000_performance"].numbers["note"]
    assert "Bump hunt" in found.report(tmp_path / "report.html").read_text()
