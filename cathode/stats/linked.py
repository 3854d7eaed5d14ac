"""Non-closure behind several working points together: what many events say of a loose cut helps with the few behind a tight one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cathode.stats.random_effects import RandomEffects


def link_effects(
    effects: Sequence[RandomEffects], eps_bkg: Sequence[float], floors: Sequence[float]
) -> tuple[RandomEffects, ...]:
    """Estimate `mu` behind every working point from the regions' means behind all of them.

    The mean log-bias is a random walk in the working point: that of the loosest is free, and from one to the next tighter it changes by a
    Gaussian step whose standard deviation is the scatter of the tighter one, at least what is declared. The means behind
    each working point alone are measurements of it with their own errors and the correlation sqrt(eps_j / eps_i) of nested selections of independent
    events, eps_j < eps_i. Generalised least squares, the smoothing of a random walk (Rauch, Tung and Striebel, AIAA J. 3 (1965) 1445): a working point
    that has counted many events is left as it is, one with few follows its neighbours within the declared steps.

    `mean` and `mean_error` remain those of the working point alone. Steps of 0 declare nothing, and link nothing.
    Not valid where a bias grows from one working point to the next by more than is declared: twice a step is under-covered by a standard deviation
    where counts know much less.

    >>> def alone(mean, error):
    ...     return RandomEffects(mu=mean, mu_error=error, scatter=0.0, degrees_of_freedom=9.0, seen=0.0, mean=mean, mean_error=error, p_homogeneous=0.5)
    >>> loose, tight = link_effects([alone(0.02, 0.01), alone(0.3, 0.2)], [0.1, 1e-5], [0.02, 0.1])
    >>> round(tight.mu, 2), round(tight.mu_error, 2)
    (0.08, 0.09)
    """
    if len(effects) == 1:
        return tuple(effects)
    order = np.argsort(-np.asarray(eps_bkg), kind="stable")
    eps = np.asarray(eps_bkg, dtype=float)[order]
    mean = np.array([effects[i].mean for i in order])
    error = np.array([effects[i].mean_error for i in order])
    nested = np.sqrt(np.minimum.outer(eps, eps) / np.maximum.outer(eps, eps))
    measured = np.linalg.inv(nested * np.outer(error, error))
    walk = np.zeros_like(measured)
    for k in range(1, len(order)):
        floor = floors[order[k]]
        if floor > 0:
            pair = np.ix_([k - 1, k], [k - 1, k])
            walk[pair] += np.array([[1.0, -1.0], [-1.0, 1.0]]) / max(floor, effects[order[k]].scatter) ** 2
    variance = np.linalg.inv(measured + walk)
    linked = variance @ measured @ mean
    out = list(effects)
    for k, i in enumerate(order):
        # of the mean in mu: less than 1 where near regions speak for themselves
        share = float(effects[i].mu_error / error[k])
        out[i] = replace(
            effects[i],
            mu=effects[i].mu + share * float(linked[k] - mean[k]),
            mu_error=share * float(np.sqrt(variance[k, k])),
        )
    return tuple(out)
