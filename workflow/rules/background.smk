rule score_pseudo:
    """The whole chain in a share of the fillers, the pseudo signal regions that are no windows."""
    input:
        events=f"{RUN}/events.parquet",
    output:
        f"{RUN}/closure/{{method}}_{{batch}}.npz",
    log:
        log_of("score_pseudo", "method", "batch"),
    benchmark:
        times_of("score_pseudo", "method", "batch")
    resources:
        **asks(minutes=240, gpu=1),
    params:
        **settings("score_pseudo"),
    shell:
        command("score_pseudo")


rule combine_closure:
    """Combine the scored regions of one method into the non-closure of every window."""
    input:
        events=f"{RUN}/events.parquet",
        tests=expand(f"{RUN}/closure/{{{{method}}}}_{{batch}}.npz", batch=BATCHES),
        scores=scores_that_test,
        overdispersion=OVERDISPERSION,
    output:
        expand(f"{RUN}/{{window}}/{{{{method}}}}/closure.json", window=WINDOWS),
    log:
        log_of("combine_closure", "method"),
    benchmark:
        times_of("combine_closure", "method")
    resources:
        **asks(),
    params:
        **settings("combine_closure"),
    shell:
        command("combine_closure")
