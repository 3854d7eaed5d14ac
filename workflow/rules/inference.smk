rule conclude:
    """All that a hunt says of one window: significances, limits, workspaces, selected events."""
    input:
        events=f"{RUN}/events.parquet",
        density=f"{RUN}/{{window}}/density.npz",
        scores=of_window("scores.npz", [] if CONFIG.blind else METHODS),
        closure=of_window("closure.json", SEARCHES),
        overdispersion=OVERDISPERSION,
    output:
        conclusions(),
    log:
        log_of("conclude", "window"),
    benchmark:
        times_of("conclude", "window")
    resources:
        **asks(),
    params:
        **settings("conclude"),
    shell:
        command("conclude")


rule scan_spectrum:
    """The classical bump hunt on the inclusive mass spectrum."""
    input:
        events=f"{RUN}/events.parquet",
        reference=reference(),
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


rule evaluate_hunts:
    """ROC, SIC and true counts of all hunts, where labels exist."""
    input:
        events=f"{RUN}/events.parquet",
        labels=f"{RUN}/labels.parquet",
        scores=expand(
            f"{RUN}/{{window}}/{{method}}/scores.npz", window=WINDOWS, method=METHODS
        ),
    output:
        truths(),
    log:
        log_of("evaluate_hunts"),
    benchmark:
        times_of("evaluate_hunts")
    resources:
        **asks(),
    params:
        **settings("evaluate_hunts"),
    shell:
        command("evaluate_hunts")
