if CONFIG.blind:

    rule infer_blind:
        """What can be said without any signal-region event."""
        input:
            closure=f"{RUN}/{{window}}/{{method}}/closure.json",
            density=f"{RUN}/{{window}}/density.npz",
            sidebands=f"{RUN}/{{window}}/sidebands.json",
        output:
            f"{RUN}/{{window}}/{{method}}/hunts.json",
        log:
            log_of("infer_blind", "window", "method"),
        benchmark:
            times_of("infer_blind", "window", "method")
        resources:
            **asks(),
        params:
            **settings("infer_blind"),
        shell:
            command("infer_blind")

else:

    rule infer:
        """Significances, limits and one pyhf workspace per working point."""
        input:
            estimates=f"{RUN}/{{window}}/{{method}}/background.json",
            density=f"{RUN}/{{window}}/density.npz",
            events=f"{RUN}/events.parquet",
            scores=f"{RUN}/{{window}}/{{method}}/scores.npz",
            sidebands=f"{RUN}/{{window}}/sidebands.json",
        output:
            f"{RUN}/{{window}}/{{method}}/hunts.json",
            expand(
                f"{RUN}/workspaces/{{{{window}}}}_{{{{method}}}}_{{eps}}.json", eps=EPS
            ),
        log:
            log_of("infer", "window", "method"),
        benchmark:
            times_of("infer", "window", "method")
        resources:
            **asks(),
        params:
            **settings("infer"),
        shell:
            command("infer")


rule scan_spectrum:
    """The classical bump hunt on the inclusive mass spectrum."""
    input:
        events=f"{RUN}/events.parquet",
    output:
        f"{RUN}/{{window}}/spectrum_scan.json",
    log:
        log_of("scan_spectrum", "window"),
    benchmark:
        times_of("scan_spectrum", "window")
    resources:
        **asks(),
    params:
        **settings("scan_spectrum"),
    shell:
        command("scan_spectrum")


rule select:
    """The events that pass each working point."""
    input:
        events=f"{RUN}/events.parquet",
        scores=f"{RUN}/{{window}}/{{method}}/scores.npz",
    output:
        expand(f"{RUN}/selected/{{{{window}}}}_{{{{method}}}}_{{eps}}.parquet", eps=EPS),
    log:
        log_of("select", "window", "method"),
    benchmark:
        times_of("select", "window", "method")
    resources:
        **asks(),
    params:
        **settings("select"),
    shell:
        command("select")


rule evaluate:
    """ROC, SIC and true counts, where labels exist."""
    input:
        events=f"{RUN}/events.parquet",
        labels=f"{RUN}/labels.parquet",
        scores=f"{RUN}/{{window}}/{{method}}/scores.npz",
    output:
        f"{RUN}/{{window}}/{{method}}/truth.json",
    log:
        log_of("evaluate", "window", "method"),
    benchmark:
        times_of("evaluate", "window", "method")
    resources:
        **asks(),
    params:
        **settings("evaluate"),
    shell:
        command("evaluate")
