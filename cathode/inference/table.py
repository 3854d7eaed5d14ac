"""All hunts of a run as the rows of one table."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from cathode.classifier.methods import is_reference
from cathode.results import HuntResult
from cathode.summary import Summary

COLUMNS: dict[str, str] = {
    "window": "name of the window",
    "mass": "centre of the signal region (GeV)",
    "width": "its width (GeV)",
    "low": "lower edge (GeV)",
    "high": "upper edge (GeV)",
    "method": "name of the method",
    "eps_bkg": "background efficiency asked for",
    "eps_bkg_reached": "the one that was reached",
    "in_region": "events in the signal region",
    "observed": "those that pass",
    "observed_average": "their average over fold splits, before it is rounded; p and z are of it",
    "expected": "background among them",
    "error": "its standard deviation, all sources",
    "error_template": "of which: finite reference sample",
    "error_initialisation": "of which: initialisation",
    "error_data": "of which: training data",
    "error_non_closure": "of which: non-closure, its scatter included",
    "scatter": "of the non-closure from region to region, in the log",
    "closure": "measured log of observed over predicted, which `expected` includes",
    "reference_events": "effective number of reference events that pass",
    "degrees_of_freedom": "behind the scatter (Student's t); empty without one",
    "overdispersion": "variance of the counts over Poisson",
    "p": "local p-value",
    "z": "local significance (standard deviations)",
    "expected_in_region": "background in the signal region before the selection, by the mass fit of the sidebands",
    "expected_in_region_error": "its standard deviation",
    "signal": "signal events that pass",
    "signal_error": "their standard deviation",
    "signal_systematics": "relative standard deviation of a signal's size in the limits, all `statistics.systematics` in quadrature",
    "level": "confidence level of the limits",
    "limit": "observed upper limit on signal events that pass",
    "limit_m2": "expected limit at -2 standard deviations",
    "limit_m1": "at -1",
    "limit_0": "the median",
    "limit_p1": "at +1",
    "limit_p2": "at +2",
    "search": "whether it is a search (not a method that uses truth labels)",
    "p_joint": "all working points of this method in one test",
    "p_window": "p-value of the window, that of the smallest of its tests (`statistics.test`)",
    "p_smallest": "the same where working points are tested one by one",
    "p_combined": "p_window together with the count of the window before any selection",
    "trials": "tests of the run, which the global significance takes into account",
    "trials_effective": "independent ones that come to the same",
    "p_global": "global p-value of the run, that of the smallest of its tests",
    "flags": "what a reader must know, separated by ` | `",
}
WORDS = {"window", "method", "search", "flags"}
_COUNTS = ("in_region", "observed", "trials")
LEVEL = 0.95  # of the limits of a run
LIMITS = ("limit_m2", "limit_m1", "limit_0", "limit_p1", "limit_p2")


def hunts_frame(summary: Summary) -> pd.DataFrame:
    """One row per window, method and working point, with the columns of `COLUMNS`; a number that does not apply is NaN, never 0."""
    frame = pd.DataFrame([_row(summary, h) for h in summary.hunts], columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(set(COLUMNS) - WORDS, float))


def as_csv(frame: pd.DataFrame) -> str:
    """The table as CSV, every number with the digits that give it back."""
    return frame.astype(dict.fromkeys(_COUNTS, "Int64")).to_csv(index=False, lineterminator="\n")


def _row(summary: Summary, h: HuntResult) -> dict[str, Any]:
    low, high = h.signal_region
    joint = summary.joint_of(h)
    s, r, e, c = h.sigma, h.reference, h.n_sr_expected, h.non_closure
    w = next((w for w in summary.windows if w.window == h.window), None)
    limits: Iterable[float | None] = h.limit.s_exp if h.limit else [None] * 5
    return {
        "window": h.window, "mass": (low + high) / 2, "width": high - low, "low": low, "high": high, "method": h.method, "eps_bkg": h.eps_bkg,
        "eps_bkg_reached": h.eps_bkg_reached, "in_region": h.n_sr, "observed": h.n_obs, "observed_average": h.n_obs_average, "expected": h.n_bkg,
        "error": s.total if s else None, "error_template": s.template if s else None, "error_initialisation": s.initialisation if s else None,
        "error_data": s.bootstrap if s else None, "error_non_closure": s.non_closure if s else None,
        "closure": c.mean if c else None, "reference_events": r.m if r else None,
        "scatter": c.scatter if c else None, "degrees_of_freedom": c.degrees_of_freedom if c else None, "overdispersion": h.overdispersion, "p": h.p_local, "z": h.z_local,
        "expected_in_region": e.value if e else None, "expected_in_region_error": e.fit_error if e else None,
        "signal": h.signal_yield.value if h.signal_yield else None, "signal_error": h.signal_yield.sigma if h.signal_yield else None,
        "signal_systematics": math.hypot(*summary.config.get("statistics", {}).get("systematics", {}).values()), "level": LEVEL if h.limit else None, "limit": h.limit.s_obs if h.limit else None, **dict(zip(LIMITS, limits, strict=True)), "search": not is_reference(h.method),
        "p_joint": joint.p if joint else None,
        "p_window": w.p if w else None, "p_smallest": w.p_smallest if w else None, "p_combined": w.p_combined if w else None,
        "trials": summary.trials or None, "trials_effective": summary.trials_effective, "p_global": summary.p_global, "flags": " | ".join(h.flags),
    }  # fmt: skip
