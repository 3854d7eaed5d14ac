rule fetch:
    """Fetch one official set, unless it is there."""
    output:
        f"{RUN}/fetched/{{dataset}}.json",
    log:
        log_of("fetch", "dataset"),
    benchmark:
        times_of("fetch", "dataset")
    resources:
        **asks(mb=1000, minutes=240),
    params:
        **settings("fetch"),
    shell:
        command("fetch")


rule cluster_jets:
    """Cluster the particles of one official set into the columns that hunts use, unless that was done."""
    input:
        fetched=f"{RUN}/fetched/{{dataset}}.json",
    output:
        f"{RUN}/clustered/{{dataset}}.json",
    log:
        log_of("cluster_jets", "dataset"),
    benchmark:
        times_of("cluster_jets", "dataset")
    resources:
        **asks(minutes=240),
    params:
        **settings("cluster_jets"),
    shell:
        command("cluster_jets")


rule generate:
    """Generate one chunk of dijet events, `background` or `signal`."""
    output:
        f"{CONFIG.generated_folder}/{{process}}_{{batch}}.parquet",
    log:
        f"{CONFIG.generated_folder}/logs/{{process}}_{{batch}}.log",
    benchmark:
        times_of("generate", "process", "batch")
    resources:
        **asks(mb=2000),
    params:
        **settings("generate"),
    shell:
        command("generate")


rule prepare:
    """Read and validate the events; labels and spare signal go to files of their own."""
    input:
        generated=generated_chunks(),
        fetched=fetched_sets(),
    output:
        events=f"{RUN}/events.parquet",
        labels=f"{RUN}/labels.parquet",
        spare=f"{RUN}/spare.parquet",
        intake=f"{RUN}/intake.json",
    log:
        log_of("prepare"),
    benchmark:
        times_of("prepare")
    resources:
        **asks(minutes=30),
    params:
        **settings("prepare"),
        inputs=INPUTS,  # the user's files by content; their names may hold anything
    shell:
        command("prepare")


rule read_reference:
    """Read the background of the inclusive scan, where it is not fitted."""
    output:
        f"{RUN}/reference.npz",
    log:
        log_of("read_reference"),
    benchmark:
        times_of("read_reference")
    resources:
        **asks(minutes=30),
    params:
        **settings("read_reference"),
        inputs=REFERENCE_INPUTS,  # the user's files by content; their names may hold anything
    shell:
        command("read_reference")
