if CONFIG.blind:

    rule infer_blind:
        """What can be said without any signal-region event."""
        input:
            closure=f"{RUN}/{{window}}/{{method}}/closure.json",
            density=f"{RUN}/{{window}}/density.npz",
        output:
            f"{RUN}/{{window}}/{{method}}/hunts.json",
        log:
            f"{RUN}/logs/{{window}}/infer_blind_{{method}}.log",
        benchmark:
            f"{RUN}/benchmarks/infer_blind/{{window}}_{{method}}.tsv"
        threads: 1
        resources:
            mem_mb=grow(4000),
            runtime=grow(60),
        params:
            config=settings("infer_blind"),
            code=CODE,
            python=PYTHON,
        shell:
            "{params.python} -m cathode infer-blind --closure {input.closure} --density {input.density}"
            " --window {wildcards.window} --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"

else:

    rule infer:
        """Significances, limits and one pyhf workspace per working point."""
        input:
            estimates=f"{RUN}/{{window}}/{{method}}/background.json",
            density=f"{RUN}/{{window}}/density.npz",
            events=f"{RUN}/events.parquet",
            scores=f"{RUN}/{{window}}/{{method}}/scores.npz",
        output:
            f"{RUN}/{{window}}/{{method}}/hunts.json",
            expand(
                f"{RUN}/workspaces/{{{{window}}}}_{{{{method}}}}_{{eps}}.json", eps=EPS
            ),
        log:
            f"{RUN}/logs/{{window}}/infer_{{method}}.log",
        benchmark:
            f"{RUN}/benchmarks/infer/{{window}}_{{method}}.tsv"
        threads: 1
        resources:
            mem_mb=grow(4000),
            runtime=grow(60),
        params:
            config=settings("infer"),
            code=CODE,
            python=PYTHON,
        shell:
            "{params.python} -m cathode infer --estimates {input.estimates} --density {input.density} --events {input.events}"
            " --scores {input.scores} --window {wildcards.window} --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule scan_spectrum:
    """The classical bump hunt on the inclusive mass spectrum."""
    input:
        events=f"{RUN}/events.parquet",
    output:
        f"{RUN}/{{window}}/spectrum_scan.json",
    log:
        f"{RUN}/logs/{{window}}/scan_spectrum.log",
    benchmark:
        f"{RUN}/benchmarks/scan_spectrum/{{window}}.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        config=settings("scan_spectrum"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode scan-spectrum --events {input.events}"
        " --window {wildcards.window} --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule select:
    """The events that pass each working point."""
    input:
        events=f"{RUN}/events.parquet",
        scores=f"{RUN}/{{window}}/{{method}}/scores.npz",
    output:
        expand(f"{RUN}/selected/{{{{window}}}}_{{{{method}}}}_{{eps}}.parquet", eps=EPS),
    log:
        f"{RUN}/logs/{{window}}/select_{{method}}.log",
    benchmark:
        f"{RUN}/benchmarks/select/{{window}}_{{method}}.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        config=settings("select"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode select --events {input.events} --scores {input.scores}"
        " --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule evaluate:
    """ROC, SIC and true counts, where labels exist."""
    input:
        events=f"{RUN}/events.parquet",
        labels=f"{RUN}/labels.parquet",
        scores=f"{RUN}/{{window}}/{{method}}/scores.npz",
    output:
        f"{RUN}/{{window}}/{{method}}/truth.json",
    log:
        f"{RUN}/logs/{{window}}/evaluate_{{method}}.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate/{{window}}_{{method}}.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        config=settings("evaluate"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode evaluate --events {input.events} --labels {input.labels} --scores {input.scores}"
        " --window {wildcards.window} --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"
