# The configuration, validated once; what each step may see of it; and the files a run consists of.
import json
import os
import sys

# torch and numpy with several threads per job fight over the cores: one thread per job, parallel over jobs
os.environ.update(
    {
        name: "1"
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    }
)

from cathode.cli import sections
from cathode.config import dump_sections, load_config
from cathode.errors import CathodeError
from cathode.failures import FailedJob, describe_failures
from cathode.generator import PROCESSES, require_packages
from cathode.intake.tables import input_files
from cathode.version import source_sha256

try:
    CONFIG = load_config(dict(config))
    DATA_FILES = [str(path) for path in input_files(CONFIG.data)]
    if CONFIG.data.source == "pythia":
        require_packages()
except CathodeError as error:
    print(f"cathode: {error}", file=sys.stderr)
    sys.exit(2)

RUN = CONFIG.folder
CODE = source_sha256()
GENERATOR_CODE = source_sha256("generator", "jets.py")
PYTHON = sys.executable
WINDOWS = list(CONFIG.regions)
METHODS = list(CONFIG.methods)
LABEL_FREE = [m for m in METHODS if m in ("cathode", "cwola")]
HUNTED = LABEL_FREE if CONFIG.blind else METHODS
EPS = [f"{eps:g}" for eps in CONFIG.working_points]
BATCHES = range(CONFIG.closure.jobs)
FORMS = ("png", "pdf", "json")
# the calibration table, where significances are configured to need it
OVERDISPERSION = (
    [f"{RUN}/calibration/overdispersion.json"]
    if CONFIG.statistics.overdispersion == "calibrated"
    else []
)


wildcard_constraints:
    window="m[0-9p]+",
    method="cathode|cwola|idealised|supervised",
    process="background|signal",
    batch="[0-9]+",


def report_failures(logs):
    """Print which jobs failed for good, and why; `logs` are Snakemake's of this run."""
    failed = []
    for job in workflow.scheduler.failed:
        group = job.groupid if job.is_group() else ""
        for member in job if group else [job]:
            failed.append(
                FailedJob(
                    member.rule.name,
                    member.wildcards.get("window", ""),
                    workflow.dag.jobid(member),
                    next(iter(member.log), ""),
                    str(group),
                )
            )
    text = "".join(open(path, errors="replace").read() for path in logs)
    if said := describe_failures(failed, text):
        print(said, file=sys.stderr)


def grow(amount):
    """Memory or time that a retry gets as much more of; without `retries` (in profiles only) just `amount`."""

    def for_attempt(wildcards, attempt):
        return amount * attempt

    return for_attempt


def settings(step):
    """The sections that a step declares, as JSON, for one job; a rule parameter, so that a change reruns the job."""

    def for_job(wildcards):
        window = wildcards.get("window")
        return json.dumps(dump_sections(CONFIG, sections(step), window), sort_keys=True)

    return for_job


def generated_chunks():
    """Chunks of generated events, where the data come from there."""
    if CONFIG.data.source != "pythia":
        return []
    return [
        f"{CONFIG.generated_folder}/{process}_{k}.parquet"
        for process in PROCESSES
        for k in range(CONFIG.generator.n_chunks(process))
    ]


def workspaces():
    """One pyhf workspace per hunt."""
    if CONFIG.blind:
        return []
    return expand(
        f"{RUN}/workspaces/{{window}}_{{method}}_{{eps}}.json",
        window=WINDOWS,
        method=METHODS,
        eps=EPS,
    )


def selections():
    """Selected events per hunt."""
    if CONFIG.blind:
        return []
    return expand(
        f"{RUN}/selected/{{window}}_{{method}}_{{eps}}.parquet",
        window=WINDOWS,
        method=METHODS,
        eps=EPS,
    )


def window_figures(methods):
    """Names of the figures of one window."""
    names = ["mass_spectrum", "features_sideband", "sideband_ratio"] + [
        f"{m}_closure" for m in methods if m in LABEL_FREE
    ]
    if not CONFIG.blind:
        names += [f"{m}_scores" for m in methods]
        names += [f"{m}_selected_spectrum" for m in methods if m in LABEL_FREE]
        names += ["features", "features_selected"] if "cathode" in methods else []
    return names


def summary_figures():
    """Names of the figures of the whole run."""
    if CONFIG.blind:
        return []
    names = ["significance", "uncertainties", "spectrum_scan"]
    names += ["scan"] if len(WINDOWS) > 1 else []
    return names + ([f"{w}_performance" for w in WINDOWS] if CONFIG.data.label else [])


def closure_of(wildcards):
    """The closure of a label-free method; reference methods take their background from truth and have none."""
    return (
        f"{RUN}/{wildcards.window}/{wildcards.method}/closure.json"
        if wildcards.method in LABEL_FREE
        else []
    )


def of_window(name, methods_or_wanted=True):
    """Input function: one artefact of a window, one per method, or nothing when blind or not wanted."""

    def files(wildcards):
        folder = f"{RUN}/{wildcards.window}"
        if "{method}" not in name:
            return f"{folder}/{name}" if methods_or_wanted and not CONFIG.blind else []
        if CONFIG.blind and "scores" in name:
            return []
        return [f"{folder}/{name}".replace("{method}", m) for m in methods_or_wanted]

    return files


def calibration_batches(kind):
    """Artefacts of all batches of pseudo-experiments, in the first window."""
    c = CONFIG.calibration
    number = c.classifier if kind == "classifier" else c.background
    return [
        f"{RUN}/{WINDOWS[0]}/calibration/{kind}_{i}.json"
        for i in range(c.batches(number))
    ]


def truths(windows):
    """Evaluations with labels, for every hunt."""
    if CONFIG.blind or CONFIG.data.label is None:
        return []
    return expand(
        f"{RUN}/{{window}}/{{method}}/truth.json", window=windows, method=METHODS
    )


def pictures():
    """Every figure as PNG, for the report."""
    per_window = expand(
        f"{RUN}/plots/{{window}}_{{name}}.png",
        window=WINDOWS,
        name=window_figures(METHODS),
    )
    return per_window + expand(f"{RUN}/plots/{{name}}.png", name=summary_figures())


CLASSIFIER_GPU = int(CONFIG.classifier.model == "network")
