rule score_cathode:
    """Data against template: k-fold ensemble, scores out of fold."""
    input:
        events=f"{RUN}/events.parquet",
        template=f"{RUN}/{{window}}/template.parquet",
        spare=f"{RUN}/spare.parquet",
    output:
        f"{RUN}/{{window}}/cathode/scores.npz",
    log:
        f"{RUN}/logs/{{window}}/score_cathode.log",
    benchmark:
        f"{RUN}/benchmarks/score_cathode/{{window}}.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(240),
        gpu=CLASSIFIER_GPU,
    params:
        config=settings("score_cathode"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode score-cathode --events {input.events} --template {input.template} --spare {input.spare}"
        " --window {wildcards.window} --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule score_cwola:
    """Signal region against the neighbouring strips."""
    input:
        events=f"{RUN}/events.parquet",
        spare=f"{RUN}/spare.parquet",
    output:
        f"{RUN}/{{window}}/cwola/scores.npz",
    log:
        f"{RUN}/logs/{{window}}/score_cwola.log",
    benchmark:
        f"{RUN}/benchmarks/score_cwola/{{window}}.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(240),
        gpu=CLASSIFIER_GPU,
    params:
        config=settings("score_cwola"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode score-cwola --events {input.events} --spare {input.spare}"
        " --window {wildcards.window} --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule score_reference:
    """Reference classifiers with truth labels."""
    input:
        events=f"{RUN}/events.parquet",
        labels=f"{RUN}/labels.parquet",
        spare=f"{RUN}/spare.parquet",
    output:
        f"{RUN}/{{window}}/{{method}}/scores.npz",
    log:
        f"{RUN}/logs/{{window}}/score_reference_{{method}}.log",
    benchmark:
        f"{RUN}/benchmarks/score_reference/{{window}}_{{method}}.tsv"
    wildcard_constraints:
        method="idealised|supervised",
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(240),
        gpu=CLASSIFIER_GPU,
    params:
        config=settings("score_reference"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode score-reference --events {input.events} --labels {input.labels} --spare {input.spare}"
        " --window {wildcards.window} --method {wildcards.method} --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"
