rule summarise:
    """The machine-readable result."""
    input:
        hunts=expand(
            f"{RUN}/{{window}}/{{method}}/hunts.json", window=WINDOWS, method=HUNTED
        ),
        truth=truths(WINDOWS),
        events=f"{RUN}/events.parquet",
    output:
        f"{RUN}/summary.json",
    log:
        f"{RUN}/logs/summarise.log",
    benchmark:
        f"{RUN}/benchmarks/summarise/all.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        config=settings("summarise"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode summarise --hunts {input.hunts} --truth {input.truth} --events {input.events}"
        f" --folder {RUN}"
        " --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule plot_window:
    """The figures of one window."""
    input:
        events=f"{RUN}/events.parquet",
        density=f"{RUN}/{{window}}/density.npz",
        template=of_window("template.parquet", "cathode" in HUNTED),
        scores=of_window("{method}/scores.npz", METHODS),
        closure=of_window("{method}/closure.json", LABEL_FREE),
        sidebands=f"{RUN}/{{window}}/sidebands.json",
    output:
        expand(
            f"{RUN}/plots/{{{{window}}}}_{{name}}.{{form}}",
            name=window_figures(METHODS),
            form=FORMS,
        ),
    log:
        f"{RUN}/logs/{{window}}/plot_window.log",
    benchmark:
        f"{RUN}/benchmarks/plot_window/{{window}}.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        config=settings("plot_window"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode plot-window --events {input.events} --density {input.density} --template {input.template} --scores {input.scores} --closure {input.closure} --sidebands {input.sidebands}"
        " --window {wildcards.window} --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule plot_summary:
    """Significances of all hunts, and SIC and ROC curves."""
    input:
        summary=f"{RUN}/summary.json",
        truth=truths(WINDOWS),
        spectrum=f"{RUN}/{WINDOWS[0]}/spectrum_scan.json",
    output:
        expand(f"{RUN}/plots/{{name}}.{{form}}", name=summary_figures(), form=FORMS),
    log:
        f"{RUN}/logs/plot_summary.log",
    benchmark:
        f"{RUN}/benchmarks/plot_summary/all.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode plot-summary --summary {input.summary} --truth {input.truth} --spectrum {input.spectrum}"
        " --memory {resources.mem_mb} --out {output} 2> {log}"


rule report:
    """The self-contained report."""
    input:
        summary=f"{RUN}/summary.json",
        pictures=pictures(),
    output:
        f"{RUN}/report.html",
    log:
        f"{RUN}/logs/report.log",
    benchmark:
        f"{RUN}/benchmarks/report/all.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        config=settings("report"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode report --summary {input.summary} --pictures {input.pictures}"
        " --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule timing:
    """What the run took, for the report: the one page that differs from run to run."""
    input:
        f"{RUN}/report.html",
        f"{RUN}/summary.json",
        workspaces(),
        selections(),
    output:
        f"{RUN}/benchmarks/timing.html",
    log:
        f"{RUN}/logs/timing.log",
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode timing " + RUN + " --out {output} 2> {log}"
