"""Trials: the p-value of the smallest of many p-values of counts that share events."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cathode.stats.tails import normal_isf

Array = NDArray[np.float64]

_LEAST = 1e-300  # p-values below are cut, as where they become standard deviations


def p_smallest(p: float, correlation: Array, *, seed: int, draws: int = 20_000) -> float:
    """Probability that the smallest of h p-values is `p` or less, where they belong to normal variables of `correlation` `(h, h)`.

    P(any Z_i > c), c = Phi^-1(1 - p), by importance sampling: one i of the h is put into its tail, the others follow it by their conditional
    distribution, and h p E[1 / N] with N >= 1 the number above c is the probability, without bias and with a relative error of less than
    1 / sqrt(draws) at any p. Source: Naiman and Priebe, J. Comput. Graph. Stat. 10 (2001) 296 (Adler, Blanchet and Liu, Ann. Appl. Probab. 22
    (2012) 1167, for its efficiency). Independent variables give Sidak's 1 - (1 - p)^h, equal ones p. Not exact for counts of few events, whose tails
    depend on each other otherwise than a normal distribution's; a positive correlation that is left out makes it larger, never smaller.

    >>> round(p_smallest(0.01, np.eye(3), seed=1), 4)
    0.0297
    """
    h = len(correlation)
    if h == 1 or p >= 1:
        return p
    p = max(p, _LEAST)
    rng = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(correlation)
    z = rng.standard_normal((draws, h)) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    every, which = np.arange(draws), rng.integers(h, size=draws)
    tail = normal_isf(p * (1 - rng.random(draws)))
    z += correlation[which] * (tail - z[every, which])[:, None]
    above = z > normal_isf(p)
    above[every, which] = True
    return min(1.0, float(h * p * np.mean(1 / above.sum(axis=1))))


def sidak_trials(p_local: float, p_global: float) -> float:
    """Independent trials that make `p_global` of the smallest p-value `p_local`: ln(1 - p_global) / ln(1 - p_local), Sidak's inverted.

    >>> round(sidak_trials(0.001, 0.002997), 3)
    3.0
    """
    return float(np.log1p(-min(p_global, 1 - 1e-16)) / np.log1p(-min(max(p_local, _LEAST), 1 - 1e-16)))
