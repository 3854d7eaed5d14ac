"""Build the bundled demo sample from the project's simulated dijet events.

    python tools/build_demo.py QCD.parquet SIGNAL.parquet

The inputs are tables of simulated events with derived columns; their generator settings are kept in the schema
metadata of the result, which is `cathode/data/demo.parquet`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

N_BACKGROUND, N_SIGNAL = 150_000, 10_000
COLUMNS = {
    "mjj": "mjj",
    "mJ1": "mj1",
    "dM": "delta_mj",
    "tau21_J1": "tau21_j1",
    "tau21_J2": "tau21_j2",
    "dR": "delta_r",
}
TARGET = Path(__file__).parents[1] / "cathode" / "data" / "demo.parquet"


def main(background: str, signal: str) -> None:
    """Take the first events of both tables, keep what a hunt needs, shuffle with a fixed seed."""
    parts, settings = [], {}
    for name, path, n, label in (("background", background, N_BACKGROUND, 0), ("signal", signal, N_SIGNAL, 1)):
        table = pq.read_table(path).slice(0, n)
        settings[name] = json.loads(table.schema.metadata[b"lhcgen"])["common"]
        columns = {new: table.column(old).to_numpy().astype(np.float32) for old, new in COLUMNS.items()}
        parts.append(columns | {"label": np.full(len(table), label, dtype=np.int8)})
    order = np.random.default_rng(20200101).permutation(sum(len(p["label"]) for p in parts))
    merged = {c: np.concatenate([p[c] for p in parts])[order] for c in parts[0]}
    table = pa.table(merged).replace_schema_metadata({"simulation": json.dumps(settings, sort_keys=True)})
    TARGET.parent.mkdir(exist_ok=True)
    pq.write_table(
        table,
        TARGET,
        compression="zstd",
        compression_level=19,
        use_byte_stream_split=[c for c in merged if c != "label"],
        use_dictionary=["label"],
    )
    sys.stdout.write(f"{TARGET}: {len(order)} events, {TARGET.stat().st_size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
