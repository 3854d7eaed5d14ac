"""Every window, method and working point of a run as one table: for figures and limits of one's own, without the run."""

from __future__ import annotations

from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from cathode.errors import ArtefactError, FitError
from cathode.inference.table import COLUMNS, LIMITS, WORDS, as_csv, hunts_frame
from cathode.io import write_whole
from cathode.results import hunt_name
from cathode.stats.workspace import Counting, build_workspace, check_level, upper_limit
from cathode.summary import Summary

if TYPE_CHECKING:
    from cathode.plots.drawing import Drawing


@dataclass(frozen=True)
class ScanTable:
    """One row per window, method and working point. A number that does not apply is empty (NaN), never 0.

    Attributes:
        frame: the columns of `COLUMNS`.
    """

    frame: pd.DataFrame

    @classmethod
    def of(cls, summary: Summary) -> Self:
        """The table of a run's summary."""
        return cls(hunts_frame(summary))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The table of a run's folder, or of a file (`.csv`, `.parquet`). Raises ArtefactError for a file that is none, naming what it lacks."""
        path = Path(path)
        path = path / "scan.csv" if path.is_dir() else path
        if not path.is_file():
            raise ArtefactError(f"{path}: no such file, expected the scan table of a run (scan.csv)")
        try:
            frame = pd.read_parquet(path) if path.suffix == ".parquet" else _from_csv(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise ArtefactError(f"{path}: found no table in it ({error}), expected a scan table") from error
        if missing := [name for name in COLUMNS if name not in frame]:
            raise ArtefactError(
                f"{path}: found no column {', '.join(missing)}, expected a scan table (scan.csv of a run)"
            )
        return cls(frame[list(COLUMNS)])

    @property
    def text(self) -> str:
        """As CSV, every number with the digits that give it back."""
        return as_csv(self.frame)

    def write(self, path: str | Path) -> Path:
        """Write it as `.csv` or `.parquet`, and return the path. Raises ArtefactError for another ending."""
        path = Path(path)
        if path.suffix not in (".csv", ".parquet"):
            raise ArtefactError(f"{path}: found ending {path.suffix or 'none'}, expected .csv or .parquet")
        if path.suffix == ".csv":
            write_whole(path, lambda part: part.write_text(self.text, encoding="utf-8"))
        else:
            write_whole(path, lambda part: self.frame.to_parquet(part, index=False))
        return path

    def limits(self, level: float = 0.95) -> Self:
        """The same table with limits computed anew at a confidence level, from its own columns.

        CLs, as `cathode.stats.workspace.upper_limit`; empty where the run gave none, or where no strength is excluded (with a flag, as in a
        run). Raises ConfigError for a level that is none.
        """
        check_level(level)
        frame = self.frame.copy()
        for i, row in frame.iterrows():
            if not np.isfinite(row["limit"]):
                continue
            try:
                observed, bands = upper_limit(build_workspace(_counting(row)), level=level)
                found = [level, observed, *bands]
            except FitError as error:
                found = [np.nan] * (2 + len(LIMITS))
                frame.loc[i, "flags"] = " | ".join([*([row["flags"]] if row["flags"] else []), f"limit: {error}"])
            frame.loc[i, ["level", "limit", *LIMITS]] = found
        return type(self)(frame)

    def plot(self) -> Drawing:
        """p-value against mass, of windows, and per method and working point; `.save("scan.pdf")`. Raises ArtefactError for a blind run."""
        from cathode.plots.drawing import drawing

        rows = [r for _, r in self.frame.iterrows() if np.isfinite(r["p"])]
        if not rows:
            raise ArtefactError("scan table: found no p-value in it (a blind run), expected one to draw")
        hunts = [
            {
                "signal_region": (float(r["low"]), float(r["high"])),
                "method": r["method"],
                "eps_bkg": float(r["eps_bkg"]),
            }
            | {"p_local": float(r["p"]), "z_local": float(r["z"])}
            | {"limit": {"s_obs": r["limit"], "s_exp": [r[c] for c in LIMITS]} if np.isfinite(r["limit"]) else None}
            for r in rows
        ]
        searches = list(dict.fromkeys(r["method"] for r in rows if r["search"]))
        regions = {r["window"]: (float(r["low"]), float(r["high"])) for r in rows}
        windows = {
            r["window"]: {"p": r["p_window"], "p_smallest": r["p_smallest"], "p_combined": r["p_combined"]}
            for r in rows
        }
        joint = {(r["window"], r["method"]): r["p_joint"] for r in rows if np.isfinite(r["p_joint"])}
        of_windows = [{"signal_region": regions[name]} | p for name, p in windows.items()]
        trials = float(rows[0]["trials_effective"])
        of_methods = [{"signal_region": regions[w], "method": m, "p": p} for (w, m), p in joint.items()]
        numbers = {"hunts": hunts, "windows": of_windows, "joint": of_methods, "trials": trials, "searches": searches}
        return drawing("scan", "scan", numbers | {"is_joint": rows[0]["trials"] < sum(bool(r["search"]) for r in rows)})


def _counting(row: pd.Series[Any]) -> Counting:
    """The counting experiment behind one row."""

    def relative(name: str) -> float:
        return float(row[name] / row["expected"]) if np.isfinite(row[name]) else 0.0

    nu, scatter = row["degrees_of_freedom"], float(np.nan_to_num(row["scatter"]))
    return Counting(
        name=hunt_name(row["window"], row["method"], row["eps_bkg"]),
        n_obs=float(row["observed"]),
        n_bkg=float(row["expected"]),
        m=max(float(row["reference_events"]), 1.0),
        initialisation=relative("error_initialisation"),
        bootstrap=relative("error_data"),
        non_closure=float(np.sqrt(max(0.0, relative("error_non_closure") ** 2 - scatter**2))),
        scatter=scatter,
        nu=float(nu) if np.isfinite(nu) else np.inf,
        z=float(row["z"]) if np.isfinite(row["z"]) else 3.0,
        sideband_ratio=float(row["expected_in_region"] / row["in_region"]),
        sideband_error=float(row["expected_in_region_error"] / row["expected_in_region"]),
        systematics=(("systematics", float(row["signal_systematics"])),) if row["signal_systematics"] > 0 else (),
        overdispersion=float(row["overdispersion"]) if np.isfinite(row["overdispersion"]) else 1.0,
        window=row["window"],
    )


def _from_csv(text: str) -> pd.DataFrame:
    """Numbers by Python's own float, which gives every digit back whatever the version of pandas."""
    frame = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False)
    for name in set(COLUMNS) & set(frame) - WORDS:
        frame[name] = [float(cell) if cell else np.nan for cell in frame[name]]
    if "search" in frame:
        frame["search"] = frame["search"].str.lower() == "true"
    return frame
