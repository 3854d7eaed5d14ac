# From events to significances. `snakemake --cores N [--configfile my.yaml]`; the chain is in README.md.
from snakemake.utils import min_version

min_version("9.20")


configfile: Path(workflow.basedir) / "config" / "config.yaml"


include: "workflow/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/template.smk"
include: "workflow/rules/classifier.smk"
include: "workflow/rules/background.smk"
include: "workflow/rules/inference.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/calibration.smk"


rule all:
    """The whole hunt of one configuration."""
    default_target: True
    input:
        f"{RUN}/report.html",
        f"{RUN}/summary.json",
        f"{RUN}/benchmarks/timing.html",
        workspaces(),
        selections(),


rule calibrate:
    """Pseudo-experiments that measure the overdispersion and prove the p-values: `snakemake calibrate`."""
    input:
        rules.plot_calibration.output,


rule limits:
    """Limits on the signal before the selection, from the hunt and the injections of `calibrate`: `snakemake limits`."""
    input:
        rules.limit_signal.output,


onerror:
    report_failures(log)
