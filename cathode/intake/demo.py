"""The bundled simulation: QCD dijets and one resonance, to try everything on."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def demo_file() -> AbstractContextManager[Path]:
    """Path of the table, for as long as the context is open."""
    return resources.as_file(resources.files("cathode") / "data" / "demo.parquet")


def load_demo() -> pd.DataFrame:
    """150,000 simulated QCD dijet events and 10,000 of a W' -> XY at 3.5 TeV, in random order.

    Columns: `mjj` (dijet mass, GeV), `mj1` (mass of the lighter jet, GeV), `delta_mj` (heavier minus lighter, GeV), `tau21_j1`,
    `tau21_j2` (2-subjettiness ratios), `label` (1: signal). A hunt keeps a few hundred of the signal events: `n_signal=360`.

    Example:
        >>> import cathode
        >>> cathode.load_demo().label.value_counts().to_dict()
        {0: 150000, 1: 10000}
    """
    import pandas as pd

    with demo_file() as path:
        return pd.read_parquet(path)
