# From events to significances: `snakemake --cores N [--configfile my.yaml]`. The workflow itself is in workflow/.
include: "workflow/Snakefile"


workflow.default_target = "all"  # an included file's own default target does not count
