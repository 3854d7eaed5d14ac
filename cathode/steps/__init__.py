"""The steps of the workflow: which function each one is. One step is one rule, one command, one verb of the package.

The signature is the declaration. Positional parameters are artefacts, read by their annotated type (`list[...]`: several, `Iterable[...]`: several, read one
by one where all would fill the memory, `... | None`: may be absent); keyword parameters are sections of the configuration, wildcards, or `used`, what the run took so far; the return value is the
artefact, or a tuple of them or of groups of them. The command line (`cathode.steps.run`), the rules' commands and parameters (`workflow/common.smk`) and the
tests that hold them together are derived from it. A step opens no artefact, so a notebook runs the same chain in memory.
"""

from __future__ import annotations

STEPS = {
    "fetch": "cathode.intake.official:fetch",
    "cluster_jets": "cathode.intake.official:cluster_jets",
    "generate": "cathode.generator.generate:generate",
    "prepare": "cathode.intake.prepare:prepare",
    "fit_density": "cathode.density.ensemble:fit_density",
    "make_template": "cathode.template.make:make_template",
    "score": "cathode.classifier.methods:score",
    "score_reference": "cathode.classifier.methods:score_reference",
    "score_pseudo": "cathode.inference.pseudo:score_pseudo",
    "combine_closure": "cathode.inference.closure:combine_closure",
    "conclude": "cathode.inference.conclude:conclude",
    "evaluate_hunts": "cathode.inference.truth:evaluate_hunts",
    "read_reference": "cathode.intake.reference:read_reference",
    "scan_spectrum": "cathode.spectrum.scan:scan_spectrum",
    "summarise": "cathode.steps.summarise:summarise",
    "plot_window": "cathode.plots.window:plot_window",
    "plot_summary": "cathode.plots.significance:plot_summary",
    "report": "cathode.report.page:report",
    "report_calibrated": "cathode.report.page:report_calibrated",
    "fit_truth": "cathode.calibration.experiments:fit_truth",
    "calibrate_classifier": "cathode.calibration.experiments:calibrate_classifier",
    "measure_overdispersion": "cathode.calibration.measure:measure_overdispersion",
    "calibrate_chain": "cathode.calibration.experiments:calibrate_chain",
    "measure_calibration": "cathode.calibration.measure:measure_calibration",
    "limit_signal": "cathode.calibration.measure:limit_signal",
    "plot_calibration": "cathode.plots.calibration:plot_calibration",
}

WILDCARDS = ("method", "process", "batch", "dataset")
