rule prepare:
    """Read and validate the events; labels and spare signal go to files of their own."""
    input:
        DATA_FILES,
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
        mem_mb=4000,
        runtime=30,
    params:
        config=settings("prepare"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode prepare --config {params.config:q} --out {output} 2> {log}"
