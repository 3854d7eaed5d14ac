"""The calibration of docs/calibration.md from its parts, so that it can be continued and measured again with other statistics.

    python tools/calibration.py add RUN     keep the batches that a run of results/reference/calibration/scan.yaml has made so far
    python tools/calibration.py             measure all that are kept

To continue: `snakemake --configfile results/reference/calibration/scan.yaml -- results/scan/calibration/background_only.json` (hours; a scan takes two minutes of
one core), stop it whenever you like, `add results/scan`. Batches have numbers, and a number its seeds.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from pathlib import Path

import yaml

from cathode import io
from cathode.calibration.measure import measure_calibration
from cathode.calibration.results import PseudoExperiments
from cathode.config import load_config

HERE = Path(__file__).parents[1] / "results" / "reference" / "calibration"


def add(run: Path) -> None:
    """Keep new batches."""
    (HERE / "parts").mkdir(exist_ok=True)
    for path in sorted(run.glob("*/calibration/chain_*.json")):
        kept = HERE / "parts" / f"{path.name}.gz"
        if not kept.exists():
            kept.write_bytes(gzip.compress(path.read_bytes(), mtime=0))


def measure() -> None:
    """Write background_only.json and injection.json."""
    config = load_config(yaml.safe_load((HERE / "scan.yaml").read_text(encoding="utf-8")))
    parts = []
    for kept in sorted((HERE / "parts").glob("*.json.gz")):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / kept.stem
            path.write_bytes(gzip.decompress(kept.read_bytes()))
            parts.append(io.read(path, PseudoExperiments))
    found = measure_calibration(
        parts, methods=config.methods, working_points=config.working_points, statistics=config.statistics
    )
    for name, obj in zip(("background_only", "injection"), found, strict=True):
        io.write(obj, HERE / f"{name}.json", io.Made("reference", "0", {}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["add"]:
        add(Path(sys.argv[2]))
    else:
        measure()
