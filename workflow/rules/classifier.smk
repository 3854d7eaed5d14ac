rule score:
    """Data against the template, the strips, or whatever a method without labels compares with; scores out of fold."""
    input:
        events=f"{RUN}/events.parquet",
        template=template_of,
        spare=f"{RUN}/spare.parquet",
    output:
        f"{RUN}/{{window}}/{{method}}/scores.npz",
    log:
        log_of("score", "window", "method"),
    benchmark:
        times_of("score", "window", "method")
    wildcard_constraints:
        method="|".join(SEARCHES) or "none",
    resources:
        **asks(minutes=240, gpu=CLASSIFIER_GPU),
    params:
        **settings("score"),
    shell:
        command("score")


rule score_reference:
    """Reference classifiers with truth labels."""
    input:
        events=f"{RUN}/events.parquet",
        labels=f"{RUN}/labels.parquet",
        spare=f"{RUN}/spare.parquet",
    output:
        f"{RUN}/{{window}}/{{method}}/scores.npz",
    log:
        log_of("score_reference", "window", "method"),
    benchmark:
        times_of("score_reference", "window", "method")
    wildcard_constraints:
        method="|".join(REFERENCES) or "none",
    resources:
        **asks(minutes=240, gpu=CLASSIFIER_GPU),
    params:
        **settings("score_reference"),
    shell:
        command("score_reference")
