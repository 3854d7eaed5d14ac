"""Rules of the house: imports point down, rules are thin and agree with steps, generated files do not drift."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from cathode import cli
from cathode.config import json_schema, load_config
from cathode.steps import STEPS

RULES = {
    name: (body, path.name)
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk"))
    for name, body in re.findall(r"^ *rule (\w+):\n(.*?)(?=^ *rule |^else|\Z)", path.read_text(), re.S | re.M)
}


def test_imports_point_down(monkeypatch):
    from importlinter.cli import lint_imports

    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0


def test_every_step_is_a_rule_and_every_rule_is_a_step():
    assert set(RULES) == {*STEPS, "timing"}  # times are no artefact: they differ from run to run


@pytest.mark.parametrize("name", sorted(STEPS))
def test_rule_and_step_agree_on_artefacts_sections_and_resources(name):
    body, _ = RULES[name]
    inputs = [p.name for p in cli.artefacts(name)]
    assert f"-m cathode {name.replace('_', '-')} " in body
    for artefact in inputs:
        assert f"--{artefact} {{input.{artefact}}}" in body
    for wildcard in cli.wildcards(name):
        assert f"--{wildcard} {{wildcards.{wildcard}}}" in body
    assert (f'settings("{name}")' in body) == bool(cli.sections(name))
    for word in (
        "log:",
        "benchmark:",
        "threads:",
        "mem_mb=",
        "runtime=",
        "CODE,",
        "--memory {resources.mem_mb}",
        "2> {log}",
    ):
        assert word in body, word
    assert not re.search(r"\b(run|script|lambda|retries|partition|account)\b\s*[:=]", body)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_command_teaches(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([name.replace("_", "-"), "--help"])
    assert stop.value.code == 0
    assert inspect.getdoc(STEPS[name]).split(".")[0].split()[0] in capsys.readouterr().out


def test_the_schema_file_is_current():
    assert json.loads((ROOT / "config" / "schema.json").read_text()) == json_schema(), "run `make schema`"


def test_shipped_configurations_load():
    for path in sorted((ROOT / "config").glob("*.yaml")):
        load_config(yaml.safe_load(path.read_text()) or {})


def test_a_step_refuses_sections_it_did_not_declare():
    from cathode.errors import ConfigError

    arguments = type("A", (), {"config": '{"seed": 1, "device": "cpu"}', "window": "m3500"})
    with pytest.raises(ConfigError, match="expected exactly"):
        cli._load_sections(arguments, ["seed"])


def test_modules_stay_small():
    for path in (ROOT / "cathode").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 420, path.name


def test_nothing_names_this_machine():
    words = re.compile(r"/(work|root|home)/\w|pypi\.org|pythonhosted")
    for folder in ("cathode", "workflow", "config", "tools", "benchmarks", ".ci"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".smk", ".yaml", ".j2", ".md", "") and path.is_file():
                assert not words.search(path.read_text()), path


def test_the_public_names_exist():
    import cathode

    assert 5 <= len(cathode.__all__) <= 15
    assert all(getattr(cathode, name) is not None for name in cathode.__all__)


def test_the_demo_sample_is_small_and_tells_its_settings():
    import pyarrow.parquet as pq

    path = Path(ROOT / "cathode" / "data" / "demo.parquet")
    assert path.stat().st_size < 8e6
    table = pq.read_table(path)
    assert table.num_rows == 160000
    settings = json.loads(table.schema.metadata[b"simulation"])
    assert any("HardQCD" in line for line in settings["background"]["settings"])


def test_the_tables_of_the_readme_are_those_of_the_reference_results():
    import subprocess
    import sys

    assert (
        subprocess.run([sys.executable, str(ROOT / "tools" / "update_readme.py"), "--check"], check=False).returncode
        == 0
    )
