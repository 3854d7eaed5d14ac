"""Type-I error of the primary significance at 3, 4 and 5 standard deviations, closure test and all, by conditional Monte Carlo.

python tools/type_one.py OUT [--toys N] [--seed S]

Every toy draws the biases of eleven overlapping regions and of the window, the counts of the regions (which share events) and the reference samples, measures
the closure as a hunt does, finds the count from which on the window would be called so many standard deviations, and adds up the
Poisson probability of reaching it, averaged over the window's own bias. So a few hundred toys reach 5 standard deviations. Counts are those of the bundled sample.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm, poisson
from scipy.stats import t as student

from cathode.stats.counting import p_predictive, z_value
from cathode.stats.linked import link_effects
from cathode.stats.random_effects import RandomEffects, random_effects
from cathode.stats.settings import StatisticsSettings

Array = NDArray[np.float64]

EPS = (0.1, 0.01, 0.001)
LEVELS = (3.0, 4.0, 5.0)
SCATTERS = (0.0, 0.4, 1.0, 2.0)  # in units of the declared floor
CENTRES = np.arange(4000.0, 5100.0, 100.0)
WINDOW, WIDTH, LENGTH = 3500.0, 400.0, 0.5
PASSING = 1840.0  # of the window's events at 0.1
_HEAVY = 3.0  # degrees of freedom of heavy tails


def expected(centre: Array | float) -> Array:
    """Events behind 0.1 in a region of the bundled sample."""
    return np.asarray(PASSING * np.exp(-(np.asarray(centre) - WINDOW) / 650.0))


def regions() -> tuple[Array, Array]:
    """Pieces of 100 GeV that each region holds `(W, P)`, and the events expected in each piece `(P,)` behind 0.1."""
    pieces = np.arange(CENTRES[0] - WIDTH / 2, CENTRES[-1] + WIDTH / 2, 100.0)
    holds = (pieces >= CENTRES[:, None] - WIDTH / 2) & (pieces < CENTRES[:, None] + WIDTH / 2)
    return holds.astype(float), expected(pieces + 50.0) / 4


def closure(
    rng: np.random.Generator, scatter: float, heavy: bool, settings: StatisticsSettings, tau: float
) -> list[RandomEffects]:
    """What the regions of one toy say behind each working point, alone."""
    holds, rate = regions()
    length = LENGTH * np.log((WINDOW + WIDTH / 2) / (WINDOW - WIDTH / 2))
    position = np.log(CENTRES / WINDOW) / length
    kernel = np.linalg.cholesky(np.exp(-np.abs(np.subtract.outer(position, position))))
    found = []
    for eps, common in zip(EPS, (0.4, 0.17, 0.04), strict=True):  # share of selected events that all regions select
        bias = kernel @ rng.standard_normal(len(CENTRES))
        if heavy:
            bias *= np.sqrt(_HEAVY / rng.chisquare(_HEAVY, len(bias))) / np.sqrt(_HEAVY / (_HEAVY - 2))
        bias *= scatter * settings.floor(eps)
        scale = eps / EPS[0]
        b = scale * holds @ rate
        shared = holds @ rng.poisson(common * scale * rate)
        n = np.exp(bias) * shared + rng.poisson((1 - common) * b * np.exp(bias))
        m = rng.poisson(tau * b)
        overlap = (holds * rate) @ holds.T
        correlation = common * overlap / np.sqrt(np.outer(np.diag(overlap), np.diag(overlap)))
        np.fill_diagonal(correlation, 1.0)
        error = 1 / np.sqrt(np.maximum(m, 1))
        found.append(
            random_effects(
                np.round(n),
                np.maximum(m, 0.5) / tau,
                error,
                correlation=correlation,
                position=position,
                floor=settings.floor(eps),
            )
        )
    return found


def rejection(
    effects: RandomEffects, b: float, m: float, tau: float, biases: Array, weights: Array
) -> tuple[list[float], list[float]]:
    """Probability that the window reaches each level, and the count over background that does, for true background `b` and `m` reference events, over its own bias."""

    def z(n: float) -> float:
        return z_value(
            p_predictive(
                n,
                m,
                tau,
                mu=effects.mu,
                sigma=effects.mu_error,
                scatter=effects.scatter,
                nu=effects.degrees_of_freedom,
            )
        )

    found, counts, low, high = [], [], 0.01, 200 + 40 * b
    for level in LEVELS:
        if z(high) < level:  # tails so long that no count is enough
            found.append(0.0)
            counts.append(np.inf)
            continue
        low = float(brentq(lambda n, level=level: z(n) - level, low, high, xtol=0.01))
        found.append(float(weights @ poisson.sf(np.ceil(low) - 1, b * np.exp(biases))))
        counts.append(low / b)
    return found, counts


def bias_of_window(scatter: float, heavy: bool) -> tuple[Array, Array]:
    """Nodes and weights of its distribution."""
    if scatter == 0:
        return np.zeros(1), np.ones(1)
    u = np.linspace(-6.0, 6.0, 241)
    x = np.sinh(u) / np.sinh(1.0) * scatter
    unit = np.sqrt((_HEAVY - 2) / _HEAVY)
    density: Callable[..., Array] = student(_HEAVY, scale=unit * scatter).pdf if heavy else norm(scale=scatter).pdf
    keep = np.abs(x) < 20 * max(scatter, 0.01)
    weight = density(x) * np.cosh(u) * keep
    return np.clip(x, -5, 5), weight / weight.sum()


def table(toys: int, seed: int) -> list[dict[str, object]]:
    """Rejection over nominal per working point, scatter and tails, with working points linked and alone."""
    settings, tau, out = StatisticsSettings(), 4.5, []
    floors = [settings.floor(eps) for eps in EPS]
    for heavy in (False, True):
        for scatter in SCATTERS:
            if heavy and scatter == 0:
                continue
            rng = np.random.default_rng([seed, int(heavy), int(10 * scatter)])
            rows: dict[tuple[float, bool], list[tuple[list[float], list[float]]]] = {}
            for _ in range(toys):
                alone = closure(rng, scatter, heavy, settings, tau)
                linked = link_effects(alone, EPS, floors)
                for i, eps in enumerate(EPS):
                    b = eps / EPS[0] * PASSING
                    m = float(max(rng.poisson(tau * b), 1))
                    nodes = bias_of_window(scatter * floors[i], heavy)
                    for is_linked, effects in ((False, alone[i]), (True, linked[i])):
                        rows.setdefault((eps, is_linked), []).append(rejection(effects, b, m, tau, *nodes))
            for (eps, is_linked), found in rows.items():
                ratio = np.array([f for f, _ in found]) / norm.sf(LEVELS)
                needed = np.quantile([c for _, c in found], (0.5, 0.9), axis=0, method="higher")
                out.append(
                    {
                        "eps_bkg": eps,
                        "scatter": scatter * settings.floor(eps),
                        "floors": scatter,
                        "heavy": heavy,
                        "linked": is_linked,
                        "levels": list(LEVELS),
                        "over_nominal": np.round(ratio.mean(axis=0), 4).tolist(),
                        "error": np.round(ratio.std(axis=0, ddof=1) / np.sqrt(toys), 4).tolist(),
                        "count_over_background": _finite(needed[0]),
                        "in_one_of_ten": _finite(needed[1]),
                    }
                )
                sys.stderr.write(f"{out[-1]}\n")
    return out


def _finite(values: Array) -> list[float | None]:
    return [round(float(v), 3) if np.isfinite(v) else None for v in values]


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--toys", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rows = table(args.toys, args.seed)
    args.out.write_text(
        json.dumps({"toys": args.toys, "seed": args.seed, "rows": rows}, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
