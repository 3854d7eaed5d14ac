"""Rules of the house: imports point down, rules agree with steps, light commands are light, generated files do not drift."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import cathode
from cathode import cli
from cathode.commands.command import COMMANDS
from cathode.config import Config, dump_sections, load_config
from cathode.errors import ConfigError
from cathode.published import DOCUMENTS, SCHEMAS
from cathode.schema import dataclasses_in, descriptions
from cathode.steps import STEPS, WILDCARDS
from cathode.steps import declared as declaring
from cathode.steps.declared import code_sha256, declared
from cathode.steps.run import function_of, load_sections, read_sections

RULES = {
    name: body
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk"))
    for name, body in re.findall(r"^ *rule (\w+):\n(.*?)(?=^ *rule |^else|\Z)", path.read_text(), re.S | re.M)
}


def test_imports_point_down(monkeypatch):
    from importlinter.cli import lint_imports

    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0


# --- steps, rules and commands


def test_every_step_is_a_rule_and_every_rule_is_a_step():
    assert set(RULES) == {*STEPS, "timing"}  # times are no artefact: they differ from run to run


@pytest.mark.parametrize("step", STEPS)
def test_a_rule_says_what_its_step_reads_and_nothing_that_follows_from_it(step):
    body, said = RULES[step], declared(step)
    for word in (f'command("{step}")', f'settings("{step}")', f'log_of("{step}"', f'times_of("{step}"', "asks("):
        assert word in body or (step == "generate" and word.startswith("log_of")), word
    inputs = re.search(r"^ +input:\n(.*?)(?=^ +output:)", body, re.S | re.M)
    named = re.findall(r"^ {8,12}(\w+)=", inputs[1] if inputs else "", re.M)
    assert named == list(said.artefacts)
    for wildcard in said.wildcards:
        assert f"{{{wildcard}}}" in body.replace("{{", "{").replace("}}", "}"), wildcard
    assert not re.search(r"\b(run|script|lambda|retries|partition|account|python)\b\s*[:=]", body)
    assert len(body.splitlines()) <= 33


@pytest.mark.parametrize("step", STEPS)
def test_the_declaration_read_from_the_source_is_that_of_the_function(step):
    said, parameters = declared(step), inspect.signature(function_of(step), eval_str=True).parameters.values()
    assert said.doc == inspect.getdoc(function_of(step))
    assert list(said.artefacts) == [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    assert list(said.wildcards) == [k for k in keywords if k in WILDCARDS]
    reads_density = any(p.annotation is cathode.DensityEnsemble for p in parameters)
    assert (
        list(said.sections)
        == [k for k in keywords if k not in (*WILDCARDS, "used")] + ["density_model"] * reads_density
    )
    sections = dump_sections(load_config({}), said.sections, "m3500")
    loaded = load_sections(said, read_sections(said, json.dumps(sections), None))
    assert dump_sections(load_config({}), said.sections, "m3500") == sections
    assert set(loaded) == set(said.sections)


@pytest.mark.parametrize("step", STEPS)
def test_every_command_teaches(step, capsys):
    said = declared(step)
    with pytest.raises(SystemExit) as stop:
        cli.main([said.command, "--help"])
    assert stop.value.code == 0
    shown = unwrapped(capsys.readouterr().out)
    assert unwrapped(said.summary) in shown
    for flag in (*said.artefacts, *said.wildcards, "out", "memory"):
        assert f"--{flag}" in shown, flag
    assert "--config" not in shown or all(section in shown for section in said.sections)


def unwrapped(text: str) -> str:
    """Text without white space: help is broken into lines wherever a hyphen is."""
    return "".join(text.split())


def test_the_help_lists_every_command_with_what_it_does(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = unwrapped(capsys.readouterr().out)
    for name, command in COMMANDS.items():
        assert unwrapped(name + command.text) in shown
    with pytest.raises(SystemExit):
        cli.main(["step", "--help"])
    shown = unwrapped(capsys.readouterr().out)
    for step in STEPS:
        assert unwrapped(declared(step).command + declared(step).summary) in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    assert unwrapped(COMMANDS[name].text) in unwrapped(capsys.readouterr().out)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_commands_steps_and_flags(shell, capsys):
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("init", "hunt", "fit-density", "--quick", "--dry-run"):
        assert word in script, word


def test_a_misspelt_command_is_told_the_nearest(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["cathode", "fit-densty"])
    with pytest.raises(SystemExit) as stop:
        cli.main(["fit-densty"])
    assert stop.value.code == 2
    assert "found command fit-densty (did you mean fit-density?)" in capsys.readouterr().err


def test_a_step_refuses_sections_it_did_not_declare():
    with pytest.raises(ConfigError, match="expected exactly"):
        read_sections(declared("fit_truth"), '{"seed": 1, "device": "cpu"}', "m3500")


# --- what reruns when code changes


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """Steps whose code is other than before when a file of the package has another line."""
    root = tmp_path / "cathode"
    shutil.copytree(ROOT / "cathode", root, ignore=shutil.ignore_patterns("data", "__pycache__"))
    caches = (
        declaring.declared,
        declaring.code_sha256,
        declaring._imports,
        declaring._fingerprint,
        declaring._tree,
        declaring._file,
    )

    def sums() -> dict[str, str]:
        for cached in caches:
            cached.cache_clear()
        return {step: code_sha256(step) for step in STEPS}

    monkeypatch.setattr(declaring, "ROOT", root)
    before = sums()

    def steps(name: str) -> set[str]:
        path = root / name
        text = path.read_text()
        path.write_text(text + "\n# another line\n")
        found = {step for step, code in sums().items() if code != before[step]}
        path.write_text(text)
        return found

    yield steps
    for cached in caches:
        cached.cache_clear()


TRAINING = {
    "fit_density",
    "score",
    "score_reference",
    "score_pseudo",
    "fit_truth",
    "calibrate_classifier",
    "calibrate_chain",
}


def test_a_change_of_code_reruns_what_imports_it_and_nothing_else(changed):
    figures = {"plot_window", "plot_summary", "plot_calibration"}
    assert changed("plots/style.py") == figures | {"report", "report_calibrated"}
    assert changed("report/style.css.j2") == changed("report/render.py") == {"report", "report_calibrated"}
    for name in (
        "stats/counting.py",
        "inference/background.py",
        "inference/hunt.py",
        "running/slurm.py",
        "cli.py",
        "call.py",
    ):
        assert not changed(name) & {"fit_density", "score", "score_pseudo", "prepare"}, name
    density = changed("density/histogram.py")
    assert {"fit_density", "make_template", "score_pseudo", "calibrate_chain"} <= density
    assert not density & {"prepare", "scan_spectrum", "generate"}
    assert changed("classifier/trees.py") >= TRAINING - {"fit_density"}
    assert "fit_density" not in changed("classifier/trees.py")
    assert changed("dijets/columns.py") <= {"prepare", "read_reference", "generate", "cluster_jets", "fetch"}
    assert changed("seeds.py") >= TRAINING
    assert changed("io.py") == set(STEPS)  # how every step reads and writes


def test_code_for_type_checkers_and_text_does_not_count(tmp_path):
    path = tmp_path / "m.py"
    path.write_text(
        "if TYPE_CHECKING:\n    import cathode.cli\ndef f():\n    from cathode import io\nX = 'cathode.errors:Nothing'\n"
    )
    assert declaring._imports(path) == {"cathode.io", "cathode.errors"}


# --- start-up

LIGHT = {
    "help": "main(['--help'])",
    "check": "main(['check'])",
    "schema": "main(['schema', 'summary'])",
    "show": "main(['show', 'demo.json'])",
    "timing": "main(['timing', '.'])",
    "step": "main(['combine-closure', '--help'])",
    "import": "import cathode; cathode.Events, cathode.Window, cathode.Config, cathode.HuntResult, cathode.ClassifierSettings",
}


@pytest.mark.parametrize("name", LIGHT)
def test_light_commands_import_no_torch(name, tmp_path):
    (tmp_path / "demo.json").write_text("{}")
    code = (
        "import sys, contextlib\nfrom cathode.cli import main\nwith contextlib.suppress(SystemExit):\n"
        f"    {LIGHT[name]}\nprint([m for m in ('torch', 'lightgbm', 'nflows', 'matplotlib', 'snakemake') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_parsing_the_workflow_imports_no_torch():
    imports = re.findall(r"^from (cathode\S*) import", (ROOT / "workflow" / "common.smk").read_text(), re.M)
    assert len(imports) > 5
    code = f"import sys, {', '.join(imports)}\nprint([m for m in ('torch', 'scipy', 'pandas', 'sklearn', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- what is published


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_files_are_current(name):
    path = ROOT / ("config/schema.json" if name == "config" else f"schema/{name}.json")
    assert json.loads(path.read_text()) == json.loads(json.dumps(SCHEMAS[name]())), "run `make docs`"
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


@pytest.mark.parametrize("cls", [*DOCUMENTS, Config], ids=lambda c: c.__name__)
def test_every_key_has_a_description(cls):
    for part in dataclasses_in(cls):
        said = descriptions(part)
        names = {f.name for f in dataclasses.fields(part)}
        assert names == {name for name, text in said.items() if text}, part.__name__


def test_shipped_configurations_load():
    paths = sorted((ROOT / "config").rglob("*.yaml"))
    assert len(paths) >= 3
    for path in paths:
        tree = yaml.safe_load(path.read_text())
        load_config(tree)
        jsonschema.validate(load_config(tree).as_dict(), SCHEMAS["config"]())


def test_the_default_configuration_states_the_defaults():
    assert load_config(yaml.safe_load((ROOT / "config" / "config.yaml").read_text())) == load_config({})


def test_the_public_names_are_documented():
    assert len(cathode.__all__) == len(set(cathode.__all__)) <= 40
    for name in cathode.__all__:
        public = getattr(cathode, name)
        assert name == "__version__" or len(inspect.getdoc(public) or "") > 40, name
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = cathode.Nothing
    text = (ROOT / "cathode" / "__init__.py").read_text()
    for name, home in cathode._HOMES.items():  # what type checkers see is what is imported
        assert f"    from {home} import {name} as {name}\n" in text


def test_reference_results_are_of_the_published_formats():
    folder = ROOT / "results" / "reference" / "calibration"
    found = sorted(folder.rglob("*.json"))
    assert len(found) >= 3
    for path in found:
        tree = json.loads(path.read_text())
        jsonschema.validate(tree, SCHEMAS[tree["schema"].split("/")[1]]())


# --- what is installed


def test_constraints_and_lock_pin_the_same():
    """`make lock` writes both; one may be edited by hand, or a package added to pyproject.toml and to neither."""
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line.strip()]
    pins = [line.removesuffix("\\").strip() for line in lines if "--hash" not in line]
    hashed = {str(Requirement(line)) for line in pins}
    plain = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines()]
    assert len(plain) > 100
    assert {str(pin) for pin in plain if pin.name != "torch"} == hashed
    assert sum("--hash=sha256:" in line for line in lines) > len(hashed)
    pinned: dict[str, list[str]] = {}
    for pin in plain:
        (one,) = pin.specifier
        pinned.setdefault(canonicalize_name(pin.name), []).append(one.version)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    for wanted in [Requirement(line) for line in (*project["dependencies"], *extras)]:
        if wanted.name != "cathode":
            versions = pinned.get(canonicalize_name(wanted.name), [])
            assert versions, f"{wanted.name}: run `make lock`"
            assert all(wanted.specifier.contains(version) for version in versions), wanted


# --- the house itself


def test_modules_stay_small():
    longest = {path: len(path.read_text().splitlines()) for path in (ROOT / "cathode").rglob("*.py")}
    assert {path.name: n for path, n in longest.items() if n > 400 and path.name not in ("results.py", "call.py")} == {}
    assert max(longest.values()) <= 640


def test_rooms_hold_names_and_no_code():
    for path in (ROOT / "cathode").rglob("*/__init__.py"):
        assert not re.search(r"^(def|class|from cathode|import cathode)", path.read_text(), re.M), path


def test_nothing_names_this_machine():
    words = re.compile(r"/(work|root|home)/\w|pypi\.org|pythonhosted")
    seen = 0
    for folder in ("cathode", "workflow", "config", "schema", "tools", "benchmarks", "docs", ".ci", ".github"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".smk", ".yaml", ".yml", ".j2", ".md", ".json", ".ipynb", "") and path.is_file():
                seen += 1
                assert not words.search(path.read_text()), path
    assert seen > 90
    assert words.search("/home/somebody/data")


def test_the_demo_sample_is_small_and_tells_its_settings():
    import pyarrow.parquet as pq

    path = Path(ROOT / "cathode" / "data" / "demo.parquet")
    assert path.stat().st_size < 8e6
    table = pq.read_table(path)
    assert table.num_rows == 160000
    settings = json.loads(table.schema.metadata[b"simulation"])
    assert any("HardQCD" in line for line in settings["background"]["settings"])


@pytest.mark.parametrize("tool", ["update_numbers.py", "write_docs.py"])
def test_generated_pages_are_what_the_tools_write(tool):
    """README tables are those of the reference results; config/README.md and docs/api.md what the code says."""
    assert subprocess.run([sys.executable, str(ROOT / "tools" / tool), "--check"], check=False).returncode == 0


def test_the_citation_names_this_version():
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert said["version"] == cathode.__version__
    assert all(paper["doi"] and paper["url"].startswith("https://arxiv.org/abs/") for paper in said["references"])
