"""One number for all hunts of a run: the significance after trials."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.stats import norm

from cathode.classifier.methods import is_reference
from cathode.results import Excess, GlobalSignificance, HuntResult, Inclusive
from cathode.spectrum.mass_fit import z_profile
from cathode.stats.counting import sidak, z_value
from cathode.stats.look_elsewhere import overlap_trials

_EXCESS, _SEEN = 3.0, 2.0  # standard deviations, local: from where on there is an excess, and a window sees one


def global_significance(entries: Sequence[HuntResult], *, seed: int = 0) -> GlobalSignificance:
    """Global significance of the smallest local p-value over every hunt that is a search. Nulls when blind.

    `p_global` is Sidak's over windows x methods x working points, the primary: it never claims too much. Where windows overlap,
    `trials_effective` adds up what toys of the overlap leave of them per method and working point (these taken to be
    independent), and `z_global_overlap` is Sidak's with that number.
    """
    searches = [e for e in entries if not is_reference(e.method) and e.p_local is not None]
    if not searches:
        return GlobalSignificance(p_global=None, z_global=None, trials=0, trials_effective=None, z_global_overlap=None)
    smallest = min(e.p_local for e in searches if e.p_local is not None)
    p = sidak(smallest, len(searches))
    effective = 0.0
    for key in sorted({(e.method, e.eps_bkg) for e in searches}):
        mine = [e for e in searches if (e.method, e.eps_bkg) == key]
        regions, yields = [e.signal_region for e in mine], [e.n_bkg for e in mine]
        effective += 1.0 if len(mine) == 1 else overlap_trials(regions, yields, seed=seed)
    return GlobalSignificance(
        p_global=p,
        z_global=z_value(p),
        trials=len(searches),
        trials_effective=effective,
        z_global_overlap=z_value(sidak(smallest, effective)),
    )


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
                p=None if z is None else float(norm.sf(z)),
                z=z,
            )
        )
    return tuple(out)
