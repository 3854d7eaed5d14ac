"""Price of the statistics: primary p-values of 10^4 toys x 20 windows, on one core, and pyhf's for comparison.

python benchmarks/toys.py
"""

from __future__ import annotations

import json
import time

import numpy as np

from cathode.stats.counting import p_predictive
from cathode.stats.workspace import Counting, build_workspace, z_pyhf


def main(toys: int = 10_000, windows: int = 20) -> None:
    """Print seconds for all toys, and for pyhf as many toys as one second or so allows, scaled up."""
    rng = np.random.default_rng(1)
    b = np.geomspace(10, 2000, windows)
    n, m = rng.poisson(b, (toys, windows)), rng.poisson(3 * b, (toys, windows))
    start = time.process_time()
    for i in range(toys):
        for j in range(windows):
            p_predictive(n[i, j], m[i, j], 3.0, mu=0.02, sigma=0.04, scatter=0.05, nu=30, overdispersion=1.2)
    own = time.process_time() - start
    start, fits = time.process_time(), 50
    for i in range(fits):
        counting = Counting(
            name="toy",
            n_obs=float(n[i, 10]),
            n_bkg=float(m[i, 10] / 3),
            m=float(m[i, 10]),
            initialisation=0.01,
            bootstrap=0.02,
            non_closure=0.04,
            scatter=0.05,
            nu=30,
        )
        z_pyhf(build_workspace(counting))
    pyhf = (time.process_time() - start) / fits * toys * windows
    print(json.dumps({"toys": toys, "windows": windows, "primary_cpu_s": own, "pyhf_cpu_s_scaled_up": pyhf}))  # noqa: T201


if __name__ == "__main__":
    main()
