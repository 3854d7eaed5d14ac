"""CPU time that a hunt spends on checksums and on records of what artefacts were made of, as a share of all CPU time of its jobs.

python benchmarks/checksums.py [my.yaml] [--cores 2]

Every process of the run counts the time inside the functions of `cathode.checksums`, and Snakemake's the time inside those of
`cathode.steps.records`; at the end `cathode verify` is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cathode.config import load_config

COUNT = """
import atexit, functools, os, sys, time

inside = spent = 0

def counted(function):
    @functools.wraps(function)
    def timed(*args, **kwargs):
        global inside, spent
        start, inside = time.process_time(), inside + 1
        try:
            return function(*args, **kwargs)
        finally:
            inside -= 1
            if not inside:  # one that calls another is counted once
                spent += time.process_time() - start
    return timed

def watch(module):
    for name, value in vars(module).items():
        if callable(value) and getattr(value, "__module__", "") == module.__name__ and not isinstance(value, type):
            setattr(module, name, counted(value))

import cathode.checksums
watch(cathode.checksums)
if "snakemake" in sys.orig_argv:
    import cathode.steps.records
    watch(cathode.steps.records)

@atexit.register
def write():
    name = "main" if "snakemake" in sys.orig_argv else "jobs"
    with open(os.path.join(os.environ["COUNTS"], f"{name}.{os.getpid()}"), "w") as out:
        out.write(f"{spent} {time.process_time()}")
"""


def main(config: str | None, cores: str) -> None:
    """Run the hunt in an empty folder and print the shares."""
    source = config and str(Path(config).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for inner in ("site", "counts", "run"):
            (folder / inner).mkdir()
        (folder / "site" / "sitecustomize.py").write_text(COUNT)
        environment = os.environ | {
            "PYTHONPATH": str(folder / "site"),
            "COUNTS": str(folder / "counts"),
            "CATHODE_SERVER": "off",
        }
        command = [sys.executable, "-P", "-m", "cathode", "hunt", *([source] if source else []), "--cores", cores]
        subprocess.run(command, cwd=folder / "run", env=environment, check=True)
        shares = {}
        for kind in ("main", "jobs"):
            rows = [[float(v) for v in p.read_text().split()] for p in (folder / "counts").glob(f"{kind}.*")]
            spent, total = (sum(column) for column in zip(*rows, strict=True))
            shares[kind] = {"processes": len(rows), "spent_s": round(spent, 2), "cpu_s": round(total, 1)}
        start = time.perf_counter()
        run = load_config(source).folder
        subprocess.run([sys.executable, "-P", "-m", "cathode", "verify", run], cwd=folder / "run", check=True)
        verify = round(time.perf_counter() - start, 2)
    all_s = sum(share["cpu_s"] for share in shares.values())
    spent_s = sum(share["spent_s"] for share in shares.values())
    print(json.dumps(shares | {"share": round(spent_s / all_s, 4), "verify_s": verify}, indent=1))  # noqa: T201


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("config", nargs="?", help="YAML file; without one, the default hunt")
    parser.add_argument("--cores", default="2", help="jobs at a time (default: 2)")
    arguments = parser.parse_args()
    main(arguments.config, arguments.cores)
