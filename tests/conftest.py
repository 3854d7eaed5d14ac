"""Shared toys with known truth."""

from __future__ import annotations

import os
import sys

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from cathode.regions import Window
from cathode.stats.workspace import Counting

torch.set_num_threads(1)

ROOT = Path(__file__).parents[1]
THIRD_PARTY = ROOT / "tests" / "thirdparty"
sys.path.insert(0, str(THIRD_PARTY))
SHARED = ROOT.parent / "shared" / "data"
DEVICE = os.environ.get(
    "CATHODE_TEST_DEVICE", "cpu"
)  # where the laws of densities and classifiers train: `make test-gpu` says cuda
Array = NDArray[np.float64]


@dataclass(frozen=True)
class LinearGaussian:
    """x | m is normal with a mean and a correlation that move with log m: an exactly known p(x | m)."""

    low: float = 2000.0
    high: float = 5000.0

    def t(self, m: Array) -> Array:
        return (np.log(m) - np.log(3000.0)) / 0.3

    def mean(self, m: Array) -> Array:
        t = self.t(m)
        return np.stack([0.5 * t, 1.0 - 0.3 * t, 0.2 * t], axis=1)

    def covariance(self) -> Array:
        return np.array([[1.0, 0.6, -0.3], [0.6, 1.2, 0.0], [-0.3, 0.0, 0.8]])

    def masses(self, n: int, seed: int) -> Array:
        u = np.random.default_rng(seed).random(n)
        rate = 1 / 600.0
        span = 1 - np.exp(-(self.high - self.low) * rate)
        return self.low - np.log(1 - u * span) / rate

    def sample(self, m: Array, seed: int) -> Array:
        rng = np.random.default_rng(seed)
        return self.mean(m) + rng.multivariate_normal(np.zeros(3), self.covariance(), len(m))

    def log_prob(self, x: Array, m: Array) -> Array:
        return np.asarray(multivariate_normal(np.zeros(3), self.covariance()).logpdf(x - self.mean(m)))


def counting(
    n_obs: float,
    n_bkg: float,
    m: float,
    *,
    initialisation: float = 0.0,
    bootstrap: float = 0.0,
    non_closure: float = 0.0,
    scatter: float = 0.0,
    nu: float = np.inf,
    sideband: tuple[float, float] = (1.0, 0.0),
) -> Counting:
    """A counting experiment; `sideband`: ratio and relative error."""
    return Counting(
        name="c", n_obs=n_obs, n_bkg=n_bkg, m=m, initialisation=initialisation, bootstrap=bootstrap, non_closure=non_closure,
        scatter=scatter, nu=nu,
        sideband_ratio=sideband[0], sideband_error=sideband[1],
    )  # fmt: skip


@pytest.fixture(scope="session")
def truth() -> LinearGaussian:
    return LinearGaussian()


@pytest.fixture(scope="session")
def window() -> Window:
    return Window("m3000", (2800.0, 3200.0), (2000.0, 5000.0))


def toy_table(n_background: int, n_signal: int, seed: int) -> pd.DataFrame:
    """A small hunt: exponential background with smooth features, a narrow signal with features of its own."""
    truth = LinearGaussian()
    rng = np.random.default_rng(seed)
    m = np.concatenate([truth.masses(n_background, seed + 1), rng.normal(3000, 60, n_signal)])
    x = truth.sample(m, seed + 2)
    x[n_background:] = rng.normal([2.0, -1.5, 1.5], 0.25, (n_signal, 3))
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    table["m"] = m
    table["label"] = (np.arange(len(m)) >= n_background).astype(int)
    return table.sample(frac=1, random_state=seed).reset_index(drop=True)
