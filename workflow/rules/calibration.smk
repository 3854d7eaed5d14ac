rule fit_truth:
    """The density that pseudo-experiments are drawn from."""
    input:
        events=f"{RUN}/events.parquet",
    output:
        f"{RUN}/{{window}}/calibration/truth.npz",
    log:
        f"{RUN}/logs/{{window}}/fit_truth.log",
    benchmark:
        f"{RUN}/benchmarks/fit_truth/{{window}}.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(240),
        gpu=1,
    params:
        config=settings("fit_truth"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode fit-truth --events {input.events} --window {wildcards.window}"
        " --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule calibrate_classifier:
    """A batch of pseudo-experiments of the classifier, with nothing to find."""
    input:
        events=f"{RUN}/events.parquet",
        truth=f"{RUN}/{{window}}/calibration/truth.npz",
    output:
        f"{RUN}/{{window}}/calibration/classifier_{{batch}}.json",
    log:
        f"{RUN}/logs/{{window}}/calibrate_classifier_{{batch}}.log",
    benchmark:
        f"{RUN}/benchmarks/calibrate_classifier/{{window}}_{{batch}}.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(240),
        gpu=CLASSIFIER_GPU,
    params:
        config=settings("calibrate_classifier"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode calibrate-classifier --events {input.events} --truth {input.truth}"
        " --window {wildcards.window} --batch {wildcards.batch} --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule measure_overdispersion:
    """Overdispersion of the counts of this classifier."""
    input:
        experiments=calibration_batches("classifier"),
    output:
        f"{RUN}/calibration/overdispersion.json",
    log:
        f"{RUN}/logs/measure_overdispersion.log",
    benchmark:
        f"{RUN}/benchmarks/measure_overdispersion/all.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        config=settings("measure_overdispersion"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode measure-overdispersion --experiments {input.experiments}"
        " --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule calibrate_chain:
    """A batch of pseudo-experiments of the whole chain: background only, and with injected signals."""
    input:
        events=f"{RUN}/events.parquet",
        truth=f"{RUN}/{{window}}/calibration/truth.npz",
        spare=f"{RUN}/spare.parquet",
    output:
        f"{RUN}/{{window}}/calibration/chain_{{batch}}.json",
    log:
        f"{RUN}/logs/{{window}}/calibrate_chain_{{batch}}.log",
    benchmark:
        f"{RUN}/benchmarks/calibrate_chain/{{window}}_{{batch}}.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(600),
        gpu=1,
    params:
        config=settings("calibrate_chain"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode calibrate-chain --events {input.events} --truth {input.truth} --spare {input.spare}"
        " --window {wildcards.window} --batch {wildcards.batch} --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule measure_calibration:
    """Verdicts on p-values without signal and on injected signals."""
    input:
        experiments=calibration_batches("chain"),
        overdispersion=OVERDISPERSION,
    output:
        f"{RUN}/calibration/background_only.json",
        f"{RUN}/calibration/injection.json",
    log:
        f"{RUN}/logs/measure_calibration.log",
    benchmark:
        f"{RUN}/benchmarks/measure_calibration/all.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        config=settings("measure_calibration"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode measure-calibration --experiments {input.experiments} --overdispersion {input.overdispersion}"
        " --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule limit_signal:
    """Limits on the signal before the selection, through the measured efficiency."""
    input:
        hunts=expand(f"{RUN}/{WINDOWS[0]}/{{method}}/hunts.json", method=LABEL_FREE),
        injection=f"{RUN}/calibration/injection.json",
    output:
        f"{RUN}/calibration/limits.json",
    log:
        f"{RUN}/logs/limit_signal.log",
    benchmark:
        f"{RUN}/benchmarks/limit_signal/all.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        config=settings("limit_signal"),
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode limit-signal --hunts {input.hunts} --injection {input.injection}"
        " --config {params.config:q} --memory {resources.mem_mb} --out {output} 2> {log}"


rule plot_calibration:
    """The figures of the calibration."""
    input:
        overdispersion=f"{RUN}/calibration/overdispersion.json",
        background_only=f"{RUN}/calibration/background_only.json",
        injection=f"{RUN}/calibration/injection.json",
    output:
        expand(
            f"{RUN}/calibration/calibration_{{name}}.{{form}}",
            name=["overdispersion", "background_only", "injection", "efficiency"],
            form=FORMS,
        ),
    log:
        f"{RUN}/logs/plot_calibration.log",
    benchmark:
        f"{RUN}/benchmarks/plot_calibration/all.tsv"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        code=CODE,
        python=PYTHON,
    shell:
        "{params.python} -m cathode plot-calibration --overdispersion {input.overdispersion} --background_only {input.background_only}"
        " --injection {input.injection} --memory {resources.mem_mb} --out {output} 2> {log}"
