rule fit_density:
    """Learn p(features | mass) on the sidebands of one window."""
    input:
        events=f"{RUN}/events.parquet",
    output:
        f"{RUN}/{{window}}/density.npz",
    log:
        f"{RUN}/logs/{{window}}/fit_density.log",
    benchmark:
        f"{RUN}/benchmarks/fit_density/{{window}}.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(240),
        gpu=1,
    params:
        config=settings("fit_density"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode fit-density --events {input.events} --window {wildcards.window}"
        " --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule compare_sidebands:
    """Recorded sideband events against generated ones."""
    input:
        events=f"{RUN}/events.parquet",
        density=f"{RUN}/{{window}}/density.npz",
    output:
        f"{RUN}/{{window}}/sidebands.json",
    log:
        f"{RUN}/logs/{{window}}/compare_sidebands.log",
    benchmark:
        f"{RUN}/benchmarks/compare_sidebands/{{window}}.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        config=settings("compare_sidebands"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode compare-sidebands --events {input.events} --density {input.density}"
        " --window {wildcards.window} --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule sample_template:
    """Sample the background template in the signal region of one window."""
    input:
        events=f"{RUN}/events.parquet",
        density=f"{RUN}/{{window}}/density.npz",
    output:
        f"{RUN}/{{window}}/template.parquet",
    log:
        f"{RUN}/logs/{{window}}/sample_template.log",
    benchmark:
        f"{RUN}/benchmarks/sample_template/{{window}}.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        config=settings("sample_template"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode sample-template --events {input.events} --density {input.density}"
        " --window {wildcards.window} --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"
