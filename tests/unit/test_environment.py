"""The user's environment reaches neither figures nor numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from conftest import toy_table

from cathode.plots.drawing import Drawing, as_files, attempt, drawing, note

DRAW = """
import hashlib
from cathode.cli import shield
shield()
from cathode.plots.drawing import note
print(hashlib.sha256(note("x", "a sentence").image("png")).hexdigest())
"""
GARBAGE = b"font.size: 40\nbackend: nonsense\naxes.prop_cycle: garbage(((\n\xff\xfe\n"
STATES = {
    "a backend that is none": {"MPLBACKEND": "nonsense"},
    "Jupyter's backend": {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
    "another locale": {"LC_ALL": "de_DE.ISO-8859-1", "LANG": "de_DE.ISO-8859-1"},
    "without assertions": {"PYTHONOPTIMIZE": "1"},
    "without docstrings": {"PYTHONOPTIMIZE": "2"},
    "nested threads": {"OMP_NUM_THREADS": "2,1"},
}


def drawn(folder, **environment: str) -> str:
    command = [sys.executable, "-P", "-c", DRAW]
    run = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> str:
    return drawn(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("state", STATES)
def test_figures_have_the_same_bytes_whatever_the_environment(state, plain, tmp_path):
    assert drawn(tmp_path, **STATES[state]) == plain


def test_and_whatever_matplotlibrc_lies_about(plain, tmp_path):
    (tmp_path / "matplotlib").mkdir()
    for path in (tmp_path / "matplotlibrc", tmp_path / "matplotlib" / "matplotlibrc"):
        path.write_bytes(GARBAGE)
    assert drawn(tmp_path, XDG_CONFIG_HOME=str(tmp_path), MPLCONFIGDIR=str(tmp_path / "matplotlib")) == plain


def test_a_step_writes_the_same_bytes_in_every_environment(tmp_path):
    toy_table(3000, 60, 1).to_parquet(tmp_path / "events.parquet")
    config = {
        "data": {"source": "files", "files": ["events.parquet"], "mass": "m", "features": ["a", "b", "c"]},
        "windows": {"range": [2000, 5000], "signal_regions": [[2800, 3200]]},
    }
    (tmp_path / "my.yaml").write_text(json.dumps(config))
    out = [f"{name}.{form}" for name, form in (("e", "parquet"), ("l", "parquet"), ("s", "parquet"), ("i", "json"))]
    written = set()
    for state in ({}, *STATES.values()):
        command = [sys.executable, "-P", "-m", "cathode", "prepare", "--config", "my.yaml", "--out", *out]
        run = subprocess.run(command, cwd=tmp_path, env=os.environ | state, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        written.add(tuple((tmp_path / name).read_bytes() for name in out))
    assert len(written) == 1


@pytest.mark.parametrize("name", ["x$^{y$", "$", "$$", "a$b", r"\frac{", r"$\frac{1$", "{}", "%s", "_^_"])
def test_names_of_columns_are_text_and_no_formulas(name):
    bins = {"edges": [0.0, 1.0, 2.0], "data": [3.0, 4.0], "template": [2.0, 5.0], "error": [1.0, 1.0]}
    numbers = {"title": "t", "expected": "Template", "features": {name: bins}}
    files = as_files([drawing("x", "features", numbers)]).files
    assert files["x.png"] != as_files([note("x", "x could not be drawn")]).files["x.png"]
    assert json.loads(files["x.json"])["features"][name]["data"] == [3, 4]


def test_a_figure_that_fails_costs_itself_alone(monkeypatch):
    """When it is made, or only when it is rendered."""
    said: list[str] = []
    monkeypatch.setattr("cathode.plots.drawing.log.warning", lambda text, *given: said.append(text % given))

    def broken() -> Drawing:
        raise ZeroDivisionError("no events")

    def half() -> Drawing:
        return drawing("second", "closure", {"n": 1})

    files = as_files([attempt("first", broken), attempt("second", half), note("third", "fine")]).files
    assert sorted(files) == sorted(
        f"{n}.{form}" for n in ("first", "second", "third") for form in ("png", "pdf", "json")
    )
    assert said[0] == "warning: figure first could not be drawn: no events"
    assert [line.split(":")[1] for line in said[1:]] == [" figure second could not be drawn"]
    assert b"could not be drawn" in files["first.json"]
