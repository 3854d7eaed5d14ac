"""The 15-column LHC Olympics table: jets by mass, and the derived columns that hunts use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[np.generic]]

JET_COLUMNS = tuple(f"{v}{j}" for j in ("j1", "j2") for v in ("px", "py", "pz", "m", "tau1", "tau2", "tau3"))


def is_lhco(names: set[str]) -> bool:
    """Whether a table has the official columns."""
    return names.issuperset(JET_COLUMNS)


def derive_dijet(columns: Columns) -> Columns:
    """Derived columns of the official table (GeV; its j1 is the jet with the larger pT).

    Jets are reordered by mass: `mj1` is the lighter jet's mass, `delta_mj` the difference to the heavier one, `tau21_j1`
    and `tau21_j2` follow that order. tau21 = tau2 / (tau1 + 1e-5). `mjj` is the invariant mass of the pair and
    `delta_r` their distance in (eta, phi). Source: arXiv:2109.00546, section II.
    """
    c = {name: np.asarray(columns[name], dtype=np.float64) for name in JET_COLUMNS}
    p = {j: np.stack([c[f"{v}{j}"] for v in ("px", "py", "pz")], axis=1) for j in ("j1", "j2")}
    energy = {j: np.sqrt((p[j] ** 2).sum(axis=1) + c[f"m{j}"] ** 2) for j in p}
    mass2 = (energy["j1"] + energy["j2"]) ** 2 - ((p["j1"] + p["j2"]) ** 2).sum(axis=1)
    tau21 = {j: c[f"tau2{j}"] / (c[f"tau1{j}"] + 1e-5) for j in p}
    swap = c["mj1"] > c["mj2"]
    with np.errstate(divide="ignore", invalid="ignore"):
        eta = {j: np.arcsinh(p[j][:, 2] / np.hypot(p[j][:, 0], p[j][:, 1])) for j in p}
    phi = {j: np.arctan2(p[j][:, 1], p[j][:, 0]) for j in p}
    delta_phi = np.pi - np.abs(np.abs(phi["j1"] - phi["j2"]) - np.pi)
    return {
        "mjj": np.sqrt(np.maximum(mass2, 0.0)),
        "mj1": np.minimum(c["mj1"], c["mj2"]),
        "delta_mj": np.abs(c["mj2"] - c["mj1"]),
        "tau21_j1": np.where(swap, tau21["j2"], tau21["j1"]),
        "tau21_j2": np.where(swap, tau21["j1"], tau21["j2"]),
        "delta_r": np.hypot(eta["j1"] - eta["j2"], delta_phi),
    }
