"""All tests of a pseudo-experiment together: its global p-value, and the one number of each of its windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cathode.calibration.results import JointVerdict, NullMeasured, SharedEvents, Trials, WindowVerdict
from cathode.calibration.verdicts import effective_trials, uniformity
from cathode.inference.shared import correlate, interval_weights, variance_of
from cathode.seeds import derive_seed
from cathode.stats.counting import sidak
from cathode.stats.joint import Joint
from cathode.stats.trials import p_smallest

Array = NDArray[np.float64]
Joints = Mapping[tuple[int, str, str], Joint]


@dataclass(frozen=True, kw_only=True)
class _Tests:
    """The tests of one pseudo-experiment: p-values `p` `(t,)` in `windows`, of its hunts with `weights` `(t, h)`, and the `variance` `(t,)` of their counts."""

    windows: tuple[str, ...]
    p: Array
    weights: Array
    variance: Array


def judge_joint(joint: Joints) -> tuple[JointVerdict, ...]:
    """All working points of each window and method in one test, of pseudo-experiments without signal, by (pseudo-experiment, window, method)."""
    p: dict[tuple[str, str], list[float]] = {}
    for (_, window, method), test in joint.items():
        p.setdefault((window, method), []).append(test.p)
    return tuple(
        JointVerdict(window=window, method=method, p=tuple(values), **vars(uniformity(values)))
        for (window, method), values in p.items()
    )


def count_trials(null: Sequence[NullMeasured], joint: Joints, shared: Sequence[SharedEvents]) -> Trials:
    """All tests together, and those of each window: of `joint` one per window and method, without it one per hunt.

    Where a pseudo-experiment has not kept which events its hunts share, the mean correlation of those that have stands in.
    """
    of_toy: dict[int, list[NullMeasured]] = {}
    for e in null:
        of_toy.setdefault(e.toy, []).append(e)
    names = [e.name for e in next(iter(of_toy.values()))]
    of_toy = {toy: sorted(mine, key=lambda e: names.index(e.name)) for toy, mine in sorted(of_toy.items())}
    tests = {toy: _tests(toy, mine, joint) for toy, mine in of_toy.items()}
    correlation = {
        s.toy: correlate(t.weights @ _ordered(s, names) @ t.weights.T, t.variance)
        for s in shared
        if (t := tests.get(s.toy)) is not None
    }
    windows = next(iter(tests.values())).windows
    usual = np.mean(list(correlation.values()), axis=0) if correlation else np.eye(len(windows))

    def smallest(index: Sequence[int]) -> list[float]:
        """Of every pseudo-experiment, the p-value of the smallest one of some of its tests."""
        return [
            p_smallest(
                float(t.p[index].min()),
                correlation.get(toy, usual)[np.ix_(index, index)],
                seed=derive_seed(toy, windows[index[0]], len(index)),
            )
            for toy, t in tests.items()
        ]

    p_global = smallest(range(len(windows)))
    lowest = [float(t.p.min()) for t in tests.values()]
    of_windows = {w: smallest([i for i, name in enumerate(windows) if name == w]) for w in dict.fromkeys(windows)}
    return Trials(
        tests=len(windows),
        effective=effective_trials(lowest),
        p_global=tuple(p_global),
        p_sidak=tuple(sidak(p, len(windows)) for p in lowest),
        n_shared=len(correlation),
        verdict=uniformity(p_global),
        windows=tuple(WindowVerdict(window=w, p=tuple(p), **vars(uniformity(p))) for w, p in of_windows.items()),
    )


def _tests(toy: int, hunts: Sequence[NullMeasured], joint: Joints) -> _Tests:
    groups: dict[tuple[str, str], list[int]] = {}
    for i, e in enumerate(hunts):
        groups.setdefault((e.window, e.method) if joint else (e.window, e.name), []).append(i)
    windows, p, rows, variance = [], [], [], []
    for (window, method), index in groups.items():
        index.sort(key=lambda i: -hunts[i].eps_bkg)
        test = joint[toy, window, method] if joint and len(index) > 1 else None
        weights = interval_weights(test.weights) if test else np.ones(1)
        # variance of NullMeasured holds the background's errors, which go together over working points
        counts = np.array([hunts[i].overdispersion * hunts[i].n_bkg for i in index])
        errors = np.sqrt(np.maximum([hunts[i].variance for i in index] - counts, 0.0))
        windows.append(window)
        p.append(test.p if test else hunts[index[0]].p_mid)
        rows.append(np.zeros(len(hunts)))
        rows[-1][index] = weights
        variance.append(variance_of(weights, counts, errors))
    return _Tests(windows=tuple(windows), p=np.array(p), weights=np.array(rows), variance=np.array(variance))


def _ordered(shared: SharedEvents, names: Sequence[str]) -> Array:
    order = [shared.hunts.index(name) for name in names]
    return np.array(shared.events)[np.ix_(order, order)]
