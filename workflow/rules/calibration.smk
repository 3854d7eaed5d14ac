rule fit_truth:
    """The density that pseudo-experiments are drawn from."""
    input:
        events=f"{RUN}/events.parquet",
    output:
        f"{RUN}/{{window}}/calibration/truth.npz",
    log:
        log_of("fit_truth", "window"),
    benchmark:
        times_of("fit_truth", "window")
    resources:
        **asks(minutes=240, gpu=1),
    params:
        **settings("fit_truth"),
    shell:
        command("fit_truth")


rule calibrate_classifier:
    """A batch of pseudo-experiments of the classifier, with nothing to find."""
    input:
        events=f"{RUN}/events.parquet",
        truth=f"{RUN}/{{window}}/calibration/truth.npz",
    output:
        f"{RUN}/{{window}}/calibration/classifier_{{batch}}.json",
    log:
        log_of("calibrate_classifier", "window", "batch"),
    benchmark:
        times_of("calibrate_classifier", "window", "batch")
    resources:
        **asks(minutes=240, gpu=CLASSIFIER_GPU),
    params:
        **settings("calibrate_classifier"),
    shell:
        command("calibrate_classifier")


rule measure_overdispersion:
    """Overdispersion of the counts of this classifier."""
    input:
        experiments=calibration_batches("classifier"),
    output:
        f"{RUN}/calibration/overdispersion.json",
    log:
        log_of("measure_overdispersion"),
    benchmark:
        times_of("measure_overdispersion")
    resources:
        **asks(),
    params:
        **settings("measure_overdispersion"),
    shell:
        command("measure_overdispersion")


rule calibrate_chain:
    """A batch of pseudo-experiments of the whole chain: background only, and with injected signals."""
    input:
        events=f"{RUN}/events.parquet",
        truth=f"{RUN}/{{window}}/calibration/truth.npz",
        spare=f"{RUN}/spare.parquet",
    output:
        f"{RUN}/{{window}}/calibration/chain_{{batch}}.json",
    log:
        log_of("calibrate_chain", "window", "batch"),
    benchmark:
        times_of("calibrate_chain", "window", "batch")
    resources:
        **asks(minutes=600, gpu=1),
    params:
        **settings("calibrate_chain"),
    shell:
        command("calibrate_chain")


rule measure_calibration:
    """Verdicts on p-values without signal and on injected signals."""
    input:
        experiments=calibration_batches("chain"),
        overdispersion=OVERDISPERSION,
    output:
        f"{RUN}/calibration/background_only.json",
        f"{RUN}/calibration/injection.json",
    log:
        log_of("measure_calibration"),
    benchmark:
        times_of("measure_calibration")
    resources:
        **asks(),
    params:
        **settings("measure_calibration"),
    shell:
        command("measure_calibration")


rule limit_signal:
    """Limits on the signal before the selection, through the measured efficiency."""
    input:
        hunts=expand(f"{RUN}/{WINDOWS[0]}/{{method}}/hunts.json", method=SEARCHES),
        injection=f"{RUN}/calibration/injection.json",
    output:
        f"{RUN}/calibration/limits.json",
    log:
        log_of("limit_signal"),
    benchmark:
        times_of("limit_signal")
    resources:
        **asks(),
    params:
        **settings("limit_signal"),
    shell:
        command("limit_signal")


rule plot_calibration:
    """The figures of the calibration."""
    input:
        overdispersion=f"{RUN}/calibration/overdispersion.json",
        background_only=f"{RUN}/calibration/background_only.json",
        injection=f"{RUN}/calibration/injection.json",
    output:
        expand(
            f"{RUN}/calibration/calibration_{{name}}.{{form}}",
            name=CALIBRATION_FIGURES,
            form=FORMS,
        ),
    log:
        log_of("plot_calibration"),
    benchmark:
        times_of("plot_calibration")
    resources:
        **asks(),
    params:
        **settings("plot_calibration"),
    shell:
        command("plot_calibration")


rule report_calibrated:
    """The report of the hunt with its calibration: a page of its own, so that hunts never wait for pseudo-experiments."""
    input:
        summary=f"{RUN}/summary.json",
        numbers=[*figure_numbers(), *calibration_numbers()],
        background_only=f"{RUN}/calibration/background_only.json",
        injection=f"{RUN}/calibration/injection.json",
    output:
        f"{RUN}/calibration/report.html",
    log:
        log_of("report_calibrated"),
    benchmark:
        times_of("report_calibrated")
    resources:
        **asks(),
    params:
        **settings("report_calibrated"),
    shell:
        command("report_calibrated")
