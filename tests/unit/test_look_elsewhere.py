from __future__ import annotations

import pytest
from scipy.stats import norm

from cathode.inference.total import global_significance, merge_excesses
from cathode.results import HuntResult
from cathode.stats.look_elsewhere import overlap_trials


def test_disjoint_windows_are_as_many_trials():
    disjoint = [(float(a), float(a + 100)) for a in range(2000, 3000, 100)]
    assert overlap_trials(disjoint, [50.0] * 10, seed=1) == pytest.approx(10, rel=0.1)


def test_one_window_and_its_copy_are_one_trial():
    assert overlap_trials([(2000.0, 2400.0)], [50.0], seed=1) == pytest.approx(1, rel=0.1)
    assert overlap_trials([(2000.0, 2400.0)] * 2, [50.0] * 2, seed=1) < 1.6  # ties are broken at random


def test_a_published_scan():
    """Nine windows of 0.4 TeV in steps of 0.1 TeV: an independent toy gave 7.2 at 3 sigma with full correlation."""
    windows = [(3300.0 + 100 * i - 400, 3700.0 + 100 * i - 400) for i in range(9)]
    assert overlap_trials(windows, [1000.0] * 9, seed=2) == pytest.approx(7.2, abs=0.7)


def entry(window, p, method="cathode", eps=0.01):
    return HuntResult(window="w", signal_region=window, method=method, eps_bkg=eps, n_bkg=100.0, p_local=p)


def test_global_significance_counts_overlapping_windows_less_and_references_never():
    windows = [(3000.0 + 100 * i, 3400.0 + 100 * i) for i in range(5)]
    entries = [entry(w, 1e-4 * (i + 1)) for i, w in enumerate(windows)] + [entry(windows[0], 1e-30, "supervised")]
    found = global_significance(entries)
    assert found.trials == 5
    assert found.p_global == pytest.approx(1 - (1 - 1e-4) ** 5)
    assert 2 < found.trials_effective < 5
    assert found.z_global_overlap > found.z_global
    alone = global_significance(entries[:1])
    assert alone.trials_effective == alone.trials == 1
    assert global_significance([entry(windows[0], None)]).p_global is None


def seen(low: float, z: float, method: str = "cathode", eps: float = 0.01) -> HuntResult:
    p = float(norm.sf(z))
    name = f"m{low + 200:g}"
    return HuntResult(
        window=name, signal_region=(low, low + 400), method=method, eps_bkg=eps, n_bkg=100.0, p_local=p, z_local=z
    )


def test_neighbouring_excesses_are_one():
    scan = [
        seen(2900, 0.3),
        seen(3000, 2.5),
        seen(3200, 4.0),
        seen(3300, 6.0),
        seen(3300, 3.0, eps=0.1),
        seen(3400, 5.0),
        seen(3800, 2.2),
        seen(4200, 3.5),
        seen(4400, 1.0),
    ]
    first, second = merge_excesses(scan)
    assert (first.window, first.z_local, first.eps_bkg) == ("m3500", 6.0, 0.01)
    assert first.neighbours == ("m3200", "m3400", "m3600", "m4000")  # tails reach m4000, and m3100 was quiet
    assert (second.window, second.neighbours) == ("m4400", ())
    assert merge_excesses([seen(3300, 9.0, method="supervised"), seen(3300, 2.9)]) == ()
    assert (
        merge_excesses([HuntResult(window="w", signal_region=(1, 2), method="cathode", eps_bkg=0.1, n_bkg=1.0)]) == ()
    )
