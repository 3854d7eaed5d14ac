"""The workflow in any folder: where its files are, and a run of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cathode.config import load_config
from cathode.intake.files import input_files

_PACKAGE = Path(__file__).parents[1]


def snakefile() -> Path:
    """The workflow: inside an installed package, or in the checkout around it."""
    inside = _PACKAGE / "_workflow"
    return (inside if inside.is_dir() else _PACKAGE.parent) / "workflow" / "Snakefile"


def run_workflow(config: str | None, *, cores: str, dry_run: bool, arguments: Sequence[str]) -> int:
    """Run the hunt of a configuration file (None: the default hunt) in this folder, and return Snakemake's exit code.

    `arguments` are handed on to Snakemake. Raises ConfigError for a configuration that cannot be hunted, DataError for
    files that are not there, before anything runs.
    """
    loaded = load_config(config)
    input_files(loaded.data)
    command = [sys.executable, "-P", "-m", "snakemake", "--snakefile", str(snakefile()), "--cores", cores]
    command += ["--configfile", config] if config else []
    command += ["--dry-run"] if dry_run else []
    code = subprocess.run([*command, *arguments], check=False).returncode
    report = Path(loaded.folder).resolve() / "report.html"
    if code == 0 and not dry_run and report.exists():  # `-- --until prepare` leaves none
        sys.stderr.write(f"report: {report}\n")
    return code
