"""One number for all hunts of a window, and of a run: the significance after trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from cathode.classifier.methods import is_reference
from cathode.inference.shared import Passing, correlate, shared_events, variance_of
from cathode.results import Excess, GlobalSignificance, HuntResult, Inclusive, WindowSignificance
from cathode.seeds import derive_seed
from cathode.spectrum.mass_fit import z_profile
from cathode.stats.counting import fisher, sidak, z_value
from cathode.stats.joint import Joint
from cathode.stats.tails import normal_sf
from cathode.stats.trials import p_smallest, sidak_trials

_EXCESS, _SEEN = 3.0, 2.0  # standard deviations, local: from where on there is an excess, and a window sees one


def global_significance(
    entries: Sequence[HuntResult], passing: Sequence[Passing] = (), *, seed: int = 0
) -> GlobalSignificance:
    """Global significance of the smallest local p-value over every hunt that is a search. Nulls when blind.

    The statistic is the smallest p-value over windows x methods x working points. Its distribution without signal is that of
    `p_smallest`, with the correlation of counts from the events that hunts share, as `passing` counts them; hunts of which it holds none are independent of all others.
    """
    searches = _searches(entries)
    if not searches:
        return GlobalSignificance(p_global=None, z_global=None, trials=0, trials_effective=None, p_sidak=None)
    best, p = _smallest(searches, passing, seed)
    return GlobalSignificance(
        p_global=p,
        z_global=z_value(p),
        trials=len(searches),
        trials_effective=sidak_trials(_p(best), p),
        p_sidak=sidak(_p(best), len(searches)),
    )


def window_significances(
    entries: Sequence[HuntResult],
    passing: Sequence[Passing] = (),
    inclusive: Sequence[Inclusive] = (),
    joint: Mapping[tuple[str, str], Joint | None] = MappingProxyType({}),
    *,
    seed: int = 0,
) -> tuple[WindowSignificance, ...]:
    """One number per window: `global_significance` of its own hunts; none when blind. `joint`: by window and method.

    And together with its count before any selection, by Fisher's method: -2 ln(p_1 p_2) is chi-squared with four degrees of freedom, so that
    p = p_1 p_2 (1 - ln p_1 p_2). Source: Fisher, Statistical Methods for Research Workers (1932), section 21.1. It takes both for independent: the hunts ask how many of
    the events that there are pass, the mass fit how many there are. Not valid where a wrong mass interpolation spoils both.
    """
    known = {i.window: i for i in inclusive}
    out = []
    for name in dict.fromkeys(e.window for e in entries):
        mine = _searches(e for e in entries if e.window == name)
        if not mine:
            continue
        best, p = _smallest(mine, passing, derive_seed(seed, name))
        of_all = known[name].p if name in known else None
        together = [t.p for m in dict.fromkeys(e.method for e in mine) if (t := joint.get((name, m))) is not None]
        p_joint = sidak(min(together), len(together)) if together else None
        both = None if of_all is None else fisher(p, of_all)
        out.append(
            WindowSignificance(
                window=name,
                signal_region=best.signal_region,
                method=best.method,
                eps_bkg=best.eps_bkg,
                p_local=_p(best),
                p=p,
                z=z_value(p),
                trials=len(mine),
                trials_effective=sidak_trials(_p(best), p),
                p_joint=p_joint,
                z_joint=None if p_joint is None else z_value(p_joint),
                p_combined=both,
                z_combined=None if both is None else z_value(both),
            )
        )
    return tuple(out)


def _searches(entries: Iterable[HuntResult]) -> list[HuntResult]:
    return [e for e in entries if not is_reference(e.method) and e.p_local is not None]


def _p(entry: HuntResult) -> float:
    assert entry.p_local is not None
    return entry.p_local


def _smallest(hunts: Sequence[HuntResult], passing: Sequence[Passing], seed: int) -> tuple[HuntResult, float]:
    """The hunt of the smallest p-value, and the probability of one as small among all of them."""
    best = min(hunts, key=_p)
    shared = shared_events(passing, [h.name for h in hunts])
    correlation = correlate(shared, np.array([variance_of(h) for h in hunts]))
    return best, p_smallest(_p(best), correlation, seed=seed)


def merge_excesses(entries: Sequence[HuntResult]) -> tuple[Excess, ...]:
    """Excesses of 3 standard deviations or more (local) of searches, by their p-values; windows that see the same one are one.

    A window belongs to the excess of a smaller p-value that it overlaps, or whose signal region is less than half a width away: a signal's tails reach
    there. Not a test of whether two signals lie side by side. None when blind.
    """
    best: dict[str, HuntResult] = {}
    for e in entries:
        if e.p_local is not None and not is_reference(e.method):
            known = best.get(e.window)
            if known is None or e.p_local < (known.p_local or 0.0):
                best[e.window] = e
    left, out = sorted(best.values(), key=lambda e: e.p_local or 0.0), []
    while left and (left[0].z_local or 0.0) >= _EXCESS:
        top, *others = left
        (low, high), p = top.signal_region, top.p_local or 0.0
        reach = (high - low) / 2
        near = [e for e in others if e.signal_region[0] < high + reach and e.signal_region[1] > low - reach]
        seen = sorted((e for e in near if (e.z_local or 0.0) >= _SEEN), key=lambda e: e.signal_region)
        out.append(
            Excess(
                window=top.window,
                signal_region=top.signal_region,
                method=top.method,
                eps_bkg=top.eps_bkg,
                p_local=p,
                z_local=top.z_local or 0.0,
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
