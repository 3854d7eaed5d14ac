"""Build the bundled demo sample: generate its events and write `cathode/data/demo.parquet`. Twenty-five minutes on one core.

    python tools/build_demo.py [OUT.parquet] [--cores N]

The same packages give the same columns, byte for byte; the settings of Pythia and the versions are in the schema metadata. The
committed file holds the same events, derived before momenta were rounded to float32 and with tau21 = tau2 / tau1: it differs in
the last digit, and in tau21 by up to 0.002.
"""

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cathode.dijets.columns import JET_COLUMNS, derive_dijet
from cathode.generator.generate import Generated, generate_events
from cathode.generator.settings import GeneratorSettings

SETTINGS = GeneratorSettings()
CHUNKS = [("background", 1_000_000 + k) for k in range(15)] + [("signal", 5_000_000)]  # process and seed
KEPT = ("mjj", "mj1", "delta_mj", "tau21_j1", "tau21_j2", "delta_r")
TARGET = Path(__file__).parents[1] / "cathode" / "data" / "demo.parquet"


def _generate(chunk: tuple[str, int]) -> Generated:
    return generate_events(chunk[0], SETTINGS, SETTINGS.chunk, seed=chunk[1])


def derived_columns(made: Generated) -> dict[str, np.ndarray]:
    """What the demo keeps of a chunk, float32, and its label."""
    derived = derive_dijet({c: made.features[:, j] for j, c in enumerate(JET_COLUMNS)})
    columns = {c: np.asarray(derived[c], dtype=np.float32) for c in KEPT}
    return columns | {"label": np.full(len(made.features), made.label, dtype=np.int8)}


def main() -> None:
    """Generate in parallel, keep what a hunt needs, shuffle with a fixed seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=TARGET)
    parser.add_argument("--cores", type=int, default=None)
    given = parser.parse_args()
    with ProcessPoolExecutor(given.cores) as pool:
        made = list(pool.map(_generate, CHUNKS))
    parts = [derived_columns(m) for m in made]
    order = np.random.default_rng(20200101).permutation(sum(len(p["label"]) for p in parts))
    merged = {c: np.concatenate([p[c] for p in parts])[order] for c in parts[0]}
    settings = {m.label: {"cards": m.cards, "versions": m.versions} for m in made}
    table = pa.table(merged).replace_schema_metadata({"simulation": json.dumps(settings, sort_keys=True)})
    pq.write_table(
        table,
        given.out,
        compression="zstd",
        compression_level=19,
        use_byte_stream_split=[c for c in merged if c != "label"],
        use_dictionary=["label"],
    )
    sys.stdout.write(f"{given.out}: {len(order)} events, {given.out.stat().st_size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
