"""How far counts lie from predictions where there is no signal, in nine windows of disjoint samples: what publications call closure.

    python tools/null_closure.py OUT.json TABLE... [--events 300000] [--points 0.01 0.001 0.0001] [--methods cathode] [--delta-r] [--cores 2] [--folder FOLDER]

Tables hold dijets without signal in the columns of the LHC Olympics (GeV), Parquet; all their rows together are cut into disjoint samples of `--events`, and each is scanned with the
published windows: 400 GeV wide, centres 3.1 to 3.9 TeV. A sample that OUT has is not hunted again. No density is the truth of these events, so that what is found is
also a calibration of p-values that shares nothing with the models.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from cathode.dijets.columns import JET_COLUMNS, derive_dijet

POINTS = (0.01, 0.001, 0.0001)
FEATURES = ["mj1", "delta_mj", "tau21_j1", "tau21_j2"]


def samples(tables: list[Path], events: int, folder: Path) -> list[Path]:
    """Disjoint samples of the rows of all tables, as files of mass and features."""
    whole = pa.concat_tables([pq.read_table(path, columns=list(JET_COLUMNS)) for path in tables])
    out = []
    for k in range(whole.num_rows // events):
        path = folder / f"sample_{k}.parquet"
        if not path.exists():
            part = whole.slice(k * events, events)
            pq.write_table(pa.table(derive_dijet({name: part[name].to_numpy() for name in JET_COLUMNS})), path)
        out.append(path)
    return out


def hunt(
    sample: Path, folder: Path, features: list[str], methods: list[str], points: list[float], cores: int
) -> dict[str, Any]:
    """Scan one sample; what was seen and expected in every window, and what its working points say together."""
    config = {
        "run": f"{sample.stem}_{len(features)}",
        "results_dir": str(folder),
        "seed": 1,
        "methods": methods,
        "data": {"source": "files", "files": [str(sample)], "mass": "mjj", "features": features},
        "windows": {"range": [2300, 8000], "scan": {"first": 3100, "last": 3900, "width": 400, "step": 100}},
        "working_points": points,
        "statistics": {"limits": False},
    }
    path = folder / f"{config['run']}.yaml"
    path.write_text(yaml.safe_dump(config))
    subprocess.run([sys.executable, "-m", "cathode", "hunt", str(path), "--cores", str(cores)], check=True)
    summary = json.loads((folder / str(config["run"]) / "summary.json").read_text())
    kept = ("window", "method", "eps_bkg", "n_sr", "n_obs_average", "n_bkg_uncorrected", "n_bkg", "z_local", "p_local")
    hunts = [{k: h[k] for k in kept} | {"error": h["sigma"]["total"]} for h in summary["hunts"]]
    joint = [{k: j[k] for k in ("window", "method", "p", "z")} for j in summary["joint"]]
    return {"hunts": hunts, "joint": joint} | {k: summary[k] for k in ("p_global", "z_global")}


def main(arguments: list[str]) -> int:
    """Run, and write after every sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("tables", type=Path, nargs="+")
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument(
        "--points", type=float, nargs="+", default=list(POINTS), metavar="EPS", help="background efficiencies"
    )
    parser.add_argument("--methods", nargs="+", default=["cathode"], metavar="METHOD")
    parser.add_argument("--delta-r", action="store_true", help="a fifth feature: the distance of the jets")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("results/null_closure"))
    asked = parser.parse_args(arguments)
    asked.folder.mkdir(parents=True, exist_ok=True)
    features = [*FEATURES, *(["delta_r"] if asked.delta_r else [])]
    found = json.loads(asked.out.read_text()) if asked.out.exists() else {"events": asked.events, "runs": []}
    if found["events"] != asked.events:
        parser.error(f"{asked.out} is of samples of {found['events']} events, expected {asked.events}")
    done = {(run["sample"], tuple(run["features"])) for run in found["runs"]}
    for sample in samples(asked.tables, asked.events, asked.folder):
        if (sample.stem, tuple(features)) not in done:
            run = hunt(sample, asked.folder, features, asked.methods, asked.points, asked.cores)
            found["runs"].append({"sample": sample.stem, "features": features} | run)
            asked.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
