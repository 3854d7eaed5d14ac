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


rule compare_sidebands:
    """Recorded sideband events against generated ones."""
    input:
        events=f"{RUN}/events.parquet",
        density=f"{RUN}/{{window}}/density.npz",
    output:
        f"{RUN}/{{window}}/sidebands.json",
    log:
        log_of("compare_sidebands", "window"),
    benchmark:
        times_of("compare_sidebands", "window")
    resources:
        **asks(),
    params:
        **settings("compare_sidebands"),
    shell:
        command("compare_sidebands")


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
