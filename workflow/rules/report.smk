rule summarise:
    """The machine-readable result."""
    input:
        hunts=expand(
            f"{RUN}/{{window}}/{{method}}/hunts.json", window=WINDOWS, method=HUNTED
        ),
        passing=kept_of_window("passing", *WINDOWS),
        truth=truths(),
        intake=f"{RUN}/intake.json",
    output:
        f"{RUN}/summary.json",
        f"{RUN}/scan.csv",
    log:
        log_of("summarise"),
    benchmark:
        times_of("summarise")
    resources:
        **asks(),
    params:
        **settings("summarise"),
    shell:
        command("summarise")


rule plot_window:
    """The figures of one window."""
    input:
        events=f"{RUN}/events.parquet",
        density=f"{RUN}/{{window}}/density.npz",
        template=(
            f"{RUN}/{{window}}/template.parquet"
            if WITH_TEMPLATE and not CONFIG.blind
            else []
        ),
        scores=of_window("scores.npz", [] if CONFIG.blind else METHODS),
        closure=of_window("closure.json", SEARCHES),
        sidebands=f"{RUN}/{{window}}/sidebands.json",
        hunts=of_window("hunts.json", [] if CONFIG.blind else METHODS),
    output:
        expand(
            f"{RUN}/plots/{{{{window}}}}_{{name}}.{{form}}",
            name=window_figures(),
            form=FORMS,
        ),
    log:
        log_of("plot_window", "window"),
    benchmark:
        times_of("plot_window", "window")
    resources:
        **asks(),
    params:
        **settings("plot_window"),
    shell:
        command("plot_window")


rule plot_summary:
    """Significances of all hunts, and SIC and ROC curves."""
    input:
        summary=f"{RUN}/summary.json",
        truth=truths(),
        spectrum=expand(f"{RUN}/{{window}}/spectrum_scan.json", window=SCANNED),
    output:
        expand(f"{RUN}/plots/{{name}}.{{form}}", name=summary_figures(), form=FORMS),
    log:
        log_of("plot_summary"),
    benchmark:
        times_of("plot_summary")
    resources:
        **asks(),
    params:
        **settings("plot_summary"),
    shell:
        command("plot_summary")


rule report:
    """The self-contained report."""
    input:
        summary=f"{RUN}/summary.json",
        numbers=figure_numbers(),
    output:
        f"{RUN}/report.html",
    log:
        log_of("report"),
    benchmark:
        times_of("report")
    resources:
        **asks(),
    params:
        **settings("report"),
    shell:
        command("report")


rule timing:
    """What the run took, for the report: the one page that differs from run to run."""
    input:
        f"{RUN}/report.html",
        f"{RUN}/summary.json",
        rules.plot_summary.output,
        workspaces(),
        selections(),
    output:
        f"{RUN}/benchmarks/timing.html",
    log:
        log_of("timing"),
    resources:
        **asks(),
    params:
        folder=lambda wildcards: RUN,
    shell:
        '"$CATHODE_PYTHON" -P -m cathode timing {params.folder:q} --out {output:q} > {log:q} 2>&1'
