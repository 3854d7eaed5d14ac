rule score_pseudo:
    """The whole chain in a batch of pseudo signal regions, the real one hidden."""
    input:
        events=f"{RUN}/events.parquet",
    output:
        f"{RUN}/{{window}}/{{method}}/closure_{{batch}}.npz",
    log:
        log_of("score_pseudo", "window", "method", "batch"),
    benchmark:
        times_of("score_pseudo", "window", "method", "batch")
    resources:
        **asks(minutes=240, gpu=1),
    params:
        **settings("score_pseudo"),
    shell:
        command("score_pseudo")


rule combine_closure:
    """Combine the pseudo signal regions into the non-closure of one window and method."""
    input:
        tests=expand(
            f"{RUN}/{{{{window}}}}/{{{{method}}}}/closure_{{batch}}.npz", batch=BATCHES
        ),
        overdispersion=OVERDISPERSION,
    output:
        f"{RUN}/{{window}}/{{method}}/closure.json",
    log:
        log_of("combine_closure", "window", "method"),
    benchmark:
        times_of("combine_closure", "window", "method")
    resources:
        **asks(),
    params:
        **settings("combine_closure"),
    shell:
        command("combine_closure")


rule estimate_background:
    """Count behind every working point; background with all its uncertainties."""
    input:
        scores=f"{RUN}/{{window}}/{{method}}/scores.npz",
        closure=closure_of,
        overdispersion=OVERDISPERSION,
    output:
        f"{RUN}/{{window}}/{{method}}/background.json",
    log:
        log_of("estimate_background", "window", "method"),
    benchmark:
        times_of("estimate_background", "window", "method")
    resources:
        **asks(),
    params:
        **settings("estimate_background"),
    shell:
        command("estimate_background")
