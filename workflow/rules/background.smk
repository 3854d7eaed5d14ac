rule score_pseudo:
    """The whole chain in a batch of pseudo signal regions, the real one hidden."""
    input:
        events=f"{RUN}/events.parquet",
    output:
        f"{RUN}/{{window}}/{{method}}/closure_{{batch}}.npz",
    log:
        f"{RUN}/logs/{{window}}/score_pseudo_{{method}}_{{batch}}.log",
    benchmark:
        f"{RUN}/benchmarks/score_pseudo/{{window}}_{{method}}_{{batch}}.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(240),
        gpu=1,
    params:
        config=settings("score_pseudo"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode score-pseudo --events {input.events}"
        " --window {wildcards.window} --method {wildcards.method} --batch {wildcards.batch} --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule measure_closure:
    """Combine the pseudo signal regions into the non-closure of one window and method."""
    input:
        tests=expand(
            f"{RUN}/{{{{window}}}}/{{{{method}}}}/closure_{{batch}}.npz",
            batch=BATCHES,
        ),
        overdispersion=OVERDISPERSION,
    output:
        f"{RUN}/{{window}}/{{method}}/closure.json",
    log:
        f"{RUN}/logs/{{window}}/measure_closure_{{method}}.log",
    benchmark:
        f"{RUN}/benchmarks/measure_closure/{{window}}_{{method}}.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        config=settings("measure_closure"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode measure-closure --tests {input.tests} --overdispersion {input.overdispersion}"
        " --window {wildcards.window} --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule estimate_background:
    """Count behind every working point; background with all its uncertainties."""
    input:
        scores=f"{RUN}/{{window}}/{{method}}/scores.npz",
        closure=closure_of,
        overdispersion=OVERDISPERSION,
    output:
        f"{RUN}/{{window}}/{{method}}/background.json",
    log:
        f"{RUN}/logs/{{window}}/estimate_background_{{method}}.log",
    benchmark:
        f"{RUN}/benchmarks/estimate_background/{{window}}_{{method}}.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        config=settings("estimate_background"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode estimate-background --scores {input.scores} --closure {input.closure} --overdispersion {input.overdispersion}"
        " --window {wildcards.window} --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"
