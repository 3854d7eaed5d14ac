rule generate:
    """Generate one chunk of dijet events, `background` or `signal`."""
    output:
        f"{CONFIG.generated_folder}/{{process}}_{{batch}}.parquet",
    log:
        f"{CONFIG.generated_folder}/logs/{{process}}_{{batch}}.log",
    benchmark:
        f"{RUN}/benchmarks/generate/{{process}}_{{batch}}.tsv"
    threads: 1
    resources:
        mem_mb=grow(2000),
        runtime=grow(60),
    params:
        config=settings("generate"),
        code=GENERATOR_CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode generate --process {wildcards.process} --batch {wildcards.batch}"
        " --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log} >&2"


rule prepare:
    """Read and validate the events; labels and spare signal go to files of their own."""
    input:
        files=DATA_FILES,
        generated=generated_chunks(),
    output:
        events=f"{RUN}/events.parquet",
        labels=f"{RUN}/labels.parquet",
        spare=f"{RUN}/spare.parquet",
    log:
        f"{RUN}/logs/prepare.log",
    benchmark:
        f"{RUN}/benchmarks/prepare/all.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(30),
    params:
        config=settings("prepare"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode prepare --generated {input.generated} --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"
