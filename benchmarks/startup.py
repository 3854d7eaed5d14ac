"""Wall time until a command says something, in seconds and as a multiple of an empty Python's; medians of several runs.

python benchmarks/startup.py [--runs 5]

Runs in an empty folder, so that `cathode check` reads the bundled sample and `snakemake --list` parses the workflow.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cathode.running.launch import snakefile

PYTHON = [sys.executable, "-P"]
SNAKEMAKE = [*PYTHON, "-m", "snakemake", "--list", "--snakefile"]


def commands(empty: str) -> dict[str, list[str]]:
    """What is timed; `empty` is a Snakefile without a rule, whose time is Snakemake's own."""
    return {
        "python -c pass": [*PYTHON, "-c", "pass"],
        "import cathode": [*PYTHON, "-c", "import cathode"],
        "cathode --help": [*PYTHON, "-m", "cathode", "--help"],
        "cathode check": [*PYTHON, "-m", "cathode", "check"],
        "import torch": [*PYTHON, "-c", "import torch"],
        "snakemake --list, empty": [*SNAKEMAKE, empty],
        "snakemake --list": [*SNAKEMAKE, str(snakefile())],
    }


def main(runs: int) -> None:
    """Print the median time of each command; runs take turns, so that a busy moment meets all alike."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.smk"
        empty.touch()
        timed = commands(str(empty))
        seconds: dict[str, list[float]] = {name: [] for name in timed}
        for _ in range(runs + 1):  # the first fills the disk cache
            for name, command in timed.items():
                start = time.perf_counter()
                subprocess.run(command, cwd=folder, check=True, capture_output=True)
                seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    base = median["python -c pass"]
    print(  # noqa: T201
        json.dumps({k: {"s": round(v, 3), "times_python": round(v / base, 1)} for k, v in median.items()}, indent=1)
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each command (default: 5)")
    main(parser.parse_args().runs)
