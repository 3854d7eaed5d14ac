"""The workflow in any folder: where its files are, and a run of it."""

from __future__ import annotations

import os
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
    code = subprocess.run([*command, *arguments], check=False, env=os.environ | _cache()).returncode
    report = Path(loaded.folder).resolve() / "report.html"
    if code == 0 and not dry_run and report.exists():  # `-- --until prepare` leaves none
        sys.stderr.write(f"report: {report}\n")
    return code


def _cache() -> dict[str, str]:
    """Where Snakemake keeps its sources if it may not write into the home folder, which it would say with a traceback."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111 - never raises
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    return {} if writable else {"XDG_CACHE_HOME": str(Path(".snakemake", "cache").resolve())}
