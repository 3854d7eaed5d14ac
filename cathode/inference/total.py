"""One number for all hunts of a window, and of a run: the significance after trials."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cathode.classifier.methods import is_reference
from cathode.inference.shared import Passing, correlate, interval_weights, shared_events, variance_of
from cathode.results import HuntResult
from cathode.seeds import derive_seed
from cathode.spectrum.mass_fit import z_profile
from cathode.stats.counting import fisher, sidak, z_value
from cathode.stats.joint import Joint
from cathode.stats.tails import normal_sf
from cathode.stats.trials import p_smallest, sidak_trials
from cathode.summary import Excess, GlobalSignificance, Inclusive, WindowSignificance

Array = NDArray[np.float64]

_EXCESS, _SEEN = 3.0, 2.0  # standard deviations, local: from where on there is an excess, and a window sees one


@dataclass(frozen=True, kw_only=True)
class Search:
    """One test of a run: a working point of a method in a window, or all of them together.

    Attributes:
        hunts: (k) that it is made of, the loosest first.
        weights: (k) of what passes each of them in the count that it tests; an event of several counts for all of these.
        p: its p-value.
    """

    hunts: tuple[HuntResult, ...]
    weights: tuple[float, ...]
    p: float

    @property
    def best(self) -> HuntResult:
        """Its hunt with the smallest p-value."""
        return min(self.hunts, key=_p)

    @property
    def variance(self) -> float:
        """Of its count over its background (events^2)."""
        counts = np.array([h.n_bkg * (h.overdispersion or 1.0) for h in self.hunts])
        sigma = np.array([h.sigma.total if h.sigma else 0.0 for h in self.hunts])
        return variance_of(np.array(self.weights), counts, sigma)


def list_searches(
    entries: Iterable[HuntResult], joint: Sequence[Joint], test: Literal["joint", "smallest"]
) -> list[Search]:
    """The tests of a run that `test` quotes (`statistics.test`): none of references, and none when blind.

    With `joint` a method of a window whose `Joint` is not there is tested point by point.
    """
    together = {(j.window, j.method): j for j in joint} if test == "joint" else {}
    groups: dict[tuple[str, str], list[HuntResult]] = {}
    for e in entries:
        if not is_reference(e.method) and e.p_local is not None:
            groups.setdefault((e.window, e.method), []).append(e)
    out: list[Search] = []
    for key, hunts in groups.items():
        j = together.get(key)
        if j is None:
            out += [Search(hunts=(h,), weights=(1.0,), p=_p(h)) for h in hunts]
            continue
        nested = tuple(sorted(hunts, key=lambda h: -h.eps_bkg))
        out.append(Search(hunts=nested, weights=tuple(interval_weights(j.weights).tolist()), p=j.p))
    return out


def global_significance(
    searches: Sequence[Search], passing: Sequence[Passing] = (), *, seed: int = 0
) -> GlobalSignificance:
    """Global significance of the smallest p-value over all tests of a run. Nulls when there are none.

    Its distribution without signal is that of `p_smallest`, with the correlation of counts from the events that they
    share, as `passing` counts them; hunts of which it holds none are independent of all others.
    """
    if not searches:
        return GlobalSignificance(p_global=None, z_global=None, trials=0, trials_effective=None, p_sidak=None)
    best, p = _smallest(searches, passing, seed)
    return GlobalSignificance(
        p_global=p,
        z_global=z_value(p),
        trials=len(searches),
        trials_effective=sidak_trials(best.p, p),
        p_sidak=sidak(best.p, len(searches)),
    )


def window_significances(
    entries: Sequence[HuntResult],
    joint: Sequence[Joint] = (),
    passing: Sequence[Passing] = (),
    inclusive: Sequence[Inclusive] = (),
    *,
    test: Literal["joint", "smallest"] = "joint",
    seed: int = 0,
) -> tuple[WindowSignificance, ...]:
    """One number per window: `global_significance` of its own tests; none when blind.

    And together with its count before any selection, by Fisher's method: -2 ln(p_1 p_2) is chi-squared with four degrees of freedom, so that
    p = p_1 p_2 (1 - ln p_1 p_2). Source: Fisher, Statistical Methods for Research Workers (1932), section 21.1. It takes both for independent: the hunts ask how many of
    the events that there are pass, the mass fit how many there are. Not valid where a wrong mass interpolation spoils both.
    """
    known = {i.window: i for i in inclusive}
    out = []
    for name in dict.fromkeys(e.window for e in entries):
        mine = [e for e in entries if e.window == name]
        of_test = {t: list_searches(mine, joint, t) for t in ("joint", "smallest")}
        if not of_test[test]:
            continue
        found = {t: _smallest(s, passing, derive_seed(seed, name)) for t, s in of_test.items()}
        (best, p), of_all = found[test], known[name].p if name in known else None
        both = None if of_all is None else fisher(p, of_all)
        out.append(
            WindowSignificance(
                window=name,
                signal_region=best.best.signal_region,
                method=best.best.method,
                eps_bkg=best.best.eps_bkg,
                p_local=best.p,
                z_local=z_value(best.p),
                p=p,
                z=z_value(p),
                trials=len(of_test[test]),
                trials_effective=sidak_trials(best.p, p),
                p_joint=found["joint"][1],
                z_joint=z_value(found["joint"][1]),
                p_smallest=found["smallest"][1],
                z_smallest=z_value(found["smallest"][1]),
                p_combined=both,
                z_combined=None if both is None else z_value(both),
            )
        )
    return tuple(out)


def correlation_of(searches: Sequence[Search], passing: Sequence[Passing]) -> Array:
    """Correlation `(s, s)` of the counts of tests, from the events that their hunts share."""
    hunts = [h for s in searches for h in s.hunts]
    weights = np.zeros((len(searches), len(hunts)))
    at = 0
    for row, s in zip(weights, searches, strict=True):
        row[at : at + len(s.hunts)] = s.weights
        at += len(s.hunts)
    shared = shared_events(passing, [h.name for h in hunts])
    return correlate(weights @ shared @ weights.T, np.array([s.variance for s in searches]))


def _p(entry: HuntResult) -> float:
    assert entry.p_local is not None
    return entry.p_local


def _smallest(searches: Sequence[Search], passing: Sequence[Passing], seed: int) -> tuple[Search, float]:
    """The test with the smallest p-value, and the probability of one as small among all of them."""
    best = min(searches, key=lambda s: s.p)
    return best, p_smallest(best.p, correlation_of(searches, passing), seed=seed)


def merge_excesses(windows: Sequence[WindowSignificance]) -> tuple[Excess, ...]:
    """Excesses of 3 standard deviations or more (local), by their p-values; windows that see the same one are one.

    A window belongs to the excess of a smaller p-value that it overlaps, or whose signal region is less than half a width away: a signal's tails reach
    there. Not a test of whether two signals lie side by side. None when blind.
    """
    left, out = sorted(windows, key=lambda w: w.p_local), []
    while left and left[0].z_local >= _EXCESS:
        top, *others = left
        low, high = top.signal_region
        reach = (high - low) / 2
        near = [e for e in others if e.signal_region[0] < high + reach and e.signal_region[1] > low - reach]
        seen = sorted((e for e in near if e.z_local >= _SEEN), key=lambda e: e.signal_region)
        out.append(
            Excess(
                window=top.window,
                signal_region=top.signal_region,
                method=top.method,
                eps_bkg=top.eps_bkg,
                p_local=top.p_local,
                z_local=top.z_local,
                neighbours=tuple(e.window for e in seen),
            )
        )
        left = [e for e in others if e not in near]
    return tuple(out)


def inclusive_excess(entries: Sequence[HuntResult]) -> tuple[Inclusive, ...]:
    """The count of every window before any selection against the mass fit of its sidebands; none when blind.

    `z_profile` of the count, the fit's error taken for that of an auxiliary Poisson measurement. Without significance where the fit
    does not describe its own sidebands, as where no hunt of the window quotes a yield. Not valid as a search: the fit's function
    is chosen, and its choice is in no error here (`scan_spectrum` is the search).
    """
    out = []
    for name in dict.fromkeys(e.window for e in entries):
        mine = [e for e in entries if e.window == name]
        first = mine[0]
        if first.n_sr is None or first.n_sr_expected is None:
            continue
        trusted = any(e.signal_yield is not None for e in mine) or all(is_reference(e.method) for e in mine)
        expected, sigma = first.n_sr_expected.value, first.n_sr_expected.fit_error
        z = z_profile(first.n_sr, expected, sigma) if trusted else None
        out.append(
            Inclusive(
                window=name,
                signal_region=first.signal_region,
                n_obs=first.n_sr,
                expected=expected,
                sigma=sigma,
                p=None if z is None else float(normal_sf(z)),
                z=z,
            )
        )
    return tuple(out)
