"""Memory and time of the hunt's heavy steps against the number of events.

    python benchmarks/scale.py OUT.json N [N ...] [--features 10] [--folder FOLDER]

Every step runs as the command that the workflow calls, on made-up events: masses from 2 to 8 TeV falling exponentially, normal
features. Ensembles and training are as small as the settings allow (4 density members, 1 epoch, 4 classifiers, 20 trees): time is per
event of that, and memory is that of any training, which sees no more data at a time with more members. Peak memory is the resident
set of the process; seconds are CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

CHUNK = 500_000


def write_events(path: Path, n: int, n_features: int) -> None:
    """A table of `n` events, written in pieces."""
    rng = np.random.default_rng(1)
    writer = None
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        mass = (2000 + rng.exponential(700, size)).clip(2000, 7999)
        columns = {"m": mass.astype(np.float32)}
        for j in range(n_features):
            columns[f"x{j}"] = (rng.standard_normal(size) + 0.1 * j * mass / 3000).astype(np.float32)
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def run(*arguments: str) -> dict[str, float]:
    """CPU seconds and peak memory (MB) of one cathode command."""
    process = subprocess.Popen([sys.executable, "-m", "cathode", *arguments], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments[0]}: {said[-2000:]}")
    return {"cpu_s": usage.ru_utime + usage.ru_stime, "max_rss_mb": usage.ru_maxrss / 1024}


def measure(n: int, n_features: int, folder: Path) -> dict[str, object]:
    """All steps at one size."""
    table = folder / f"events_{n}.parquet"
    write_events(table, n, n_features)
    config = {
        "data": {
            "source": "files",
            "files": [str(table)],
            "mass": "m",
            "features": [f"x{j}" for j in range(n_features)],
        },
        "windows": {"range": [2000, 8000], "signal_regions": [[3300, 3700]]},
        "background": {"bootstraps": 2, "seeds": 2, "histogram": {"epochs": 1}},
        "classifier": {"folds": 2, "members": 4, "splits": 1, "sequential_members": 0, "boosted_trees": {"trees": 20}},
        "device": "cpu",
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    common = ["--window", "m3500", "--config", str(path)]
    events, labels, spare = (str(folder / f"{x}.parquet") for x in ("events", "labels", "spare"))
    intake = str(folder / "intake.json")
    density, template, scores = (str(folder / x) for x in ("density.npz", "template.parquet", "scores.npz"))
    steps = {
        "prepare": run("prepare", "--config", str(path), "--out", events, labels, spare, intake),
        "fit_density": run("fit-density", "--events", events, *common, "--out", density),
        "make_template": run("make-template", "--events", events, "--density", density, *common, "--out", template),
        "score": run(
            "score",
            "--events",
            events,
            "--template",
            template,
            "--spare",
            spare,
            "--method",
            "cathode",
            *common,
            "--out",
            scores,
        ),
    }
    table.unlink()
    return {"n_events": n, "n_features": n_features, "steps": steps}


def main() -> None:
    """Measure every size and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("sizes", type=int, nargs="+", metavar="N")
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=None, help="where the tables go while it runs")
    given = parser.parse_args()
    results = []
    for n in given.sizes:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            results.append(measure(n, given.features, Path(folder)))
        for step, values in results[-1]["steps"].items():  # type: ignore[attr-defined]
            sys.stdout.write(
                f"{n:>9} {step:16} {values['cpu_s']:8.1f} CPU-s {1e6 * values['cpu_s'] / n:8.1f} us/event {values['max_rss_mb']:8.0f} MB\n"
            )
            sys.stdout.flush()
        given.out.write_text(json.dumps({"runs": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
