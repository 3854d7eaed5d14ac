"""The generator's price, and its distributions against tables of other origin.

    python benchmarks/generator.py OUT_FOLDER NAME=TABLE [NAME=TABLE ...] [--background 6000] [--signal 3000]

TABLE is a file in the 15 columns of the LHC Olympics (parquet or HDF5, with `label`). Writes generator.json (accepted events per
CPU-second, by part and in all; chi2 per distribution against each table, shape only) and generator.png.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import chi2

from cathode.dijets.columns import JET_COLUMNS, derive_dijet
from cathode.generator.generate import generate_events
from cathode.generator.settings import GeneratorSettings
from cathode.intake.tables import read_table

VARIABLES = {  # name: label, range of the histogram
    "mjj": ("m_jj [GeV]", (2300, 6500)),
    "mj1": ("lighter jet mass [GeV]", (0, 600)),
    "delta_mj": ("mass difference [GeV]", (0, 800)),
    "tau21_j1": ("tau21 of the lighter jet", (0, 1)),
    "tau21_j2": ("tau21 of the heavier jet", (0, 1)),
    "delta_r": ("delta R", (2, 5)),
}
SEEDS = {"background": 77_000_001, "signal": 77_000_002}  # none of the bundled sample's


def compare(a: np.ndarray, b: np.ndarray, span: tuple[float, float]) -> dict[str, float]:
    """Chi2 of two histograms of different size for one shape, in 25 bins with at least 10 events in both together."""
    edges = np.linspace(*span, 26)
    n, m = (np.histogram(np.clip(x, *span), edges)[0].astype(float) for x in (a, b))
    use = n + m >= 10
    total_n, total_m = n.sum(), m.sum()
    value = float(((n * total_m - m * total_n)[use] ** 2 / (n + m)[use]).sum() / (total_n * total_m))
    degrees = int(use.sum()) - 1
    return {"chi2": value, "degrees": degrees, "p": float(chi2.sf(value, degrees))}


def main() -> None:
    """Generate, time, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("tables", nargs="+", metavar="NAME=TABLE")
    for process, n in (("background", 6000), ("signal", 3000)):
        parser.add_argument(f"--{process}", type=int, default=n)
    given = parser.parse_args()
    result: dict[str, object] = {}
    derived = {}
    for process, seed in SEEDS.items():
        start = time.process_time()
        made = generate_events(process, GeneratorSettings(), getattr(given, process), seed=seed)
        spent = time.process_time() - start
        columns = {c: made.features[:, j].astype(float) for j, c in enumerate(JET_COLUMNS)}
        derived[process] = derive_dijet(columns)
        result[process] = {
            "accepted": len(made.features), "generated": made.n_generated, "cpu_s": spent,
            "accepted_per_cpu_s": len(made.features) / spent, "cross_section_fb": made.cross_section_fb,
        }  # fmt: skip
    figure, axes = plt.subplots(2, len(VARIABLES), figsize=(3.2 * len(VARIABLES), 6), constrained_layout=True)
    agreement = []
    for name, _, path in (t.partition("=") for t in given.tables):
        table = read_table(Path(path), None, list)
        label = np.asarray(table.columns["label"])
        for row, (process, own) in enumerate(derived.items()):
            chosen = label == row
            if chosen.sum() < 1000:
                continue
            other = derive_dijet({c: table.columns[c][chosen] for c in JET_COLUMNS})
            for axis, (variable, (title, span)) in zip(axes[row], VARIABLES.items(), strict=True):
                entry = compare(own[variable], other[variable], span)
                agreement.append({"table": name, "process": process, "variable": variable, **entry})
                style = {"bins": np.linspace(*span, 26), "density": True, "histtype": "step"}
                if not axis.patches:
                    axis.hist(own[variable], label="generated here", color="black", **style)
                axis.hist(other[variable], label=name, **style)
                axis.set(xlabel=title, title=process if variable == "mjj" else "")
    axes[0, 0].legend(frameon=False)
    given.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(given.out / "generator.png", dpi=90, metadata={"Software": None})
    (given.out / "generator.json").write_text(json.dumps(result | {"agreement": agreement}, indent=1) + "\n")
    for process in SEEDS:
        sys.stdout.write(f"{process}: {result[process]}\n")
    for e in agreement:
        sys.stdout.write("{table} {process} {variable}: chi2 {chi2:.1f} / {degrees}, p {p:.3g}\n".format(**e))


if __name__ == "__main__":
    main()
