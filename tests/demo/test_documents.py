"""Every command and every snippet of README and documentation, run as it stands.

In a folder with an `events.csv`; the bundled hunt and hunts at full size are planned only (`--dry-run`): test_full_size.py runs one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, toy_table

import cathode
from cathode.config import load_config

pytestmark = pytest.mark.demo
PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
RUN = {"shell", "python", "yaml"}
GENERATED = ("docs/api.md",)  # signatures, no programs


def blocks(page: str) -> list[tuple[str, str]]:
    return [(kind, text) for kind, text in BLOCK.findall((ROOT / page).read_text()) if kind in RUN]


def commands(text: str) -> list[str]:
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("pip ")]


def shortened(command: str) -> str:
    whole = command.startswith("cathode demo") or (command.startswith("cathode hunt") and "--quick" not in command)
    return f"{command} --dry-run" if whole else command


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("documents")
    toy_table(9000, 120, 1).drop(columns="label").rename(columns={"m": "mass"}).to_csv(path / "events.csv", index=False)
    return path


def test_there_is_something_to_run():
    assert sum(len(blocks(page)) for page in PAGES) >= 8
    assert len((ROOT / "README.md").read_text().split()) <= 700


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page) and page not in GENERATED])
def test_commands_and_snippets_run_as_they_stand(page, folder):
    for kind, text in blocks(page):
        if kind == "shell":
            for command in commands(text):
                words = shortened(command).split()
                if words[:2] == ["cathode", "init"]:
                    words += ["--yes", "--force"]
                assert words[0] in ("cathode", "python"), command
                run = subprocess.run([sys.executable, "-P", "-m", *words], cwd=folder, capture_output=True, text=True, check=False)  # fmt: skip
                assert run.returncode == 0, (command, run.stderr[-2000:])
        elif kind == "yaml":
            assert load_config(with_files(yaml.safe_load(text)))
        else:
            preamble = "import cathode; df = cathode.load_demo()[:25000]\n" if "(df," in text else ""
            text = text.replace("cathode.load_demo(), mass", "cathode.load_demo()[:25000], mass")  # a sixth of the time
            run = subprocess.run([sys.executable, "-P", "-c", preamble + text], cwd=folder, capture_output=True, text=True, check=False)  # fmt: skip
            assert run.returncode == 0, (text, run.stderr[-2000:])


def with_files(keys: dict) -> dict:
    return {**keys, "data": {"source": "files", "files": ["x.csv"], **keys.get("data", {})}}


def test_every_name_that_the_documentation_gives_the_package_is_there():
    for page in PAGES:
        for name in re.findall(r"`cathode\.(\w+)\(", (ROOT / page).read_text()):
            assert hasattr(cathode, name) or name in ("stats",), (page, name)
