"""The analysis: one pure function per workflow rule, artefacts in, artefacts out.

The signature is the declaration. Positional parameters are artefacts, read by their annotated type; keyword parameters
are sections of the configuration or wildcards; the return value is the artefact, or a tuple of them. The command line
(`cli.py`), the rules' parameters (`settings` in `workflow/common.smk`) and the tests that hold both together are derived
from it. A step opens no artefact, so a notebook can run the whole chain in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cathode.steps.calibrate import (
    calibrate_chain,
    calibrate_classifier,
    fit_truth,
    limit_signal,
    measure_calibration,
    measure_overdispersion,
    plot_calibration,
)
from cathode.steps.hunt import (
    compare_sidebands,
    estimate_background,
    fit_density,
    generate,
    infer,
    infer_blind,
    measure_closure,
    prepare,
    sample_template,
    scan_spectrum,
    score_cathode,
    score_cwola,
    score_pseudo,
    score_reference,
)
from cathode.steps.output import evaluate, plot_summary, plot_window, report, select, summarise

STEPS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        generate, prepare, fit_density, compare_sidebands, sample_template, score_cathode, score_cwola, score_reference, score_pseudo,
        measure_closure, estimate_background, scan_spectrum, infer, infer_blind, select, evaluate, summarise, plot_window,
        plot_summary, report, fit_truth, calibrate_classifier, measure_overdispersion, calibrate_chain,
        measure_calibration, limit_signal, plot_calibration,
    )
}  # fmt: skip

__all__ = ["STEPS", *sorted(STEPS)]
