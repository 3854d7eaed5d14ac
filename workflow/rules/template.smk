rule fit_density:
    """Learn p(features | mass) on the sidebands of one window."""
    input:
        events=f"{RUN}/events.parquet",
    output:
        f"{RUN}/{{window}}/density.npz",
    log:
        log_of("fit_density", "window"),
    benchmark:
        times_of("fit_density", "window")
    resources:
        **asks(minutes=240, gpu=1),
    params:
        **settings("fit_density"),
    shell:
        command("fit_density")


rule make_template:
    """Make the background template in the signal region of one window."""
    input:
        events=f"{RUN}/events.parquet",
        density=f"{RUN}/{{window}}/density.npz",
    output:
        f"{RUN}/{{window}}/template.parquet",
    log:
        log_of("make_template", "window"),
    benchmark:
        times_of("make_template", "window")
    resources:
        **asks(),
    params:
        **settings("make_template"),
    shell:
        command("make_template")
