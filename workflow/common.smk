# The configuration, validated once; what a rule says in one word; and the files a run consists of.
import contextlib
import json
import os
import sys
from pathlib import Path

# torch and numpy with several threads per job fight over the cores: one thread per job, parallel over jobs
os.environ.update(
    {
        name: "1"
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    }
)
# this very Python; in the environment and not in the rules, so that another place for it reruns nothing
os.environ["CATHODE_PYTHON"] = sys.executable


envvars:
    "CATHODE_PYTHON",


from snakemake.logging import logger

from cathode.classifier.methods import find_method
from cathode.config import dump_sections, load_config
from cathode.density.registry import source_sha256
from cathode.errors import CathodeError
from cathode.generator.settings import PROCESSES, require_packages
from cathode.inference.placement import are_hidden, jobs_of_fillers
from cathode.intake.files import input_files, input_sha256, reference_files
from cathode.intake.official import SETS
from cathode.strict_yaml import read_yaml
from cathode.steps.records import (
    clear_run,
    drop_reference,
    other_inputs,
    refuse_foreign_files,
    refuse_inputs_in_run_folder,
    refuse_reference,
)
from cathode.running.lock import hold_folder
from cathode.served import start_server
from cathode.running.failures import FailedJob, describe_failures
from cathode.running.usage import complete_benchmarks
from cathode.running.feed import feed_from, is_read, tell, tell_plan
from cathode.steps.declared import code_sha256, declared

try:
    for path in workflow.overwrite_configfiles:
        read_yaml(path)  # Snakemake's own reader takes the last of two equal keys
    CONFIG = load_config(dict(config))
    DATA_FILES = input_files(CONFIG.data)
    refuse_inputs_in_run_folder(CONFIG, DATA_FILES)
    INPUTS = list(input_sha256(DATA_FILES).values())
    REFERENCE_FILES = reference_files(CONFIG.data, CONFIG.spectrum)
    REFERENCE_INPUTS = list(
        input_sha256(REFERENCE_FILES, key=CONFIG.spectrum.key).values()
    )
    refuse_reference(CONFIG, REFERENCE_FILES, INPUTS, REFERENCE_INPUTS)
    OTHERS = []
    if workflow.is_main_process:
        feed_from(logger)
        refuse_foreign_files(
            CONFIG, INPUTS, REFERENCE_INPUTS, Path(".snakemake/metadata")
        )
        OTHERS = other_inputs(CONFIG, INPUTS)
        if OTHERS:
            tell(
                f"cathode: {CONFIG.folder} holds a run of other input files ({', '.join(OTHERS[:4])}), which this one replaces; to keep "
                "it, name another run"
            )
    if CONFIG.data.source == "pythia":
        require_packages()
except CathodeError as error:
    tell(f"cathode: {error}")
    sys.exit(2)

SERVER = None  # of the steps of this machine, while jobs run
RUN = CONFIG.folder
WINDOWS = list(CONFIG.regions)
# the inclusive scan depends on a window's width alone
# (to nine digits: edges in TeV are no exact numbers of GeV)
WIDTHS = {f"{w.width:.9g}": name for name, w in reversed(CONFIG.regions.items())}
SCANNED = [] if CONFIG.blind else [w for w in WINDOWS if w in WIDTHS.values()]
METHODS = list(CONFIG.methods)
SEARCHES = CONFIG.searches
REFERENCES = [m for m in METHODS if m not in SEARCHES]
HUNTED = SEARCHES if CONFIG.blind else METHODS
WITH_TEMPLATE = [m for m in SEARCHES if find_method(m).needs_template]
EPS = [f"{eps:g}" for eps in CONFIG.working_points]
BATCHES = range(jobs_of_fillers(CONFIG.regions.values(), CONFIG.closure))
FORMS = ("png", "pdf", "json")
CALIBRATION_FIGURES = ("overdispersion", "background_only", "injection", "efficiency")
CLASSIFIER_GPU = int(CONFIG.classifier.model == "network")
# the calibration table, where significances are configured to need it
OVERDISPERSION = (
    [f"{RUN}/calibration/overdispersion.json"]
    if CONFIG.statistics.overdispersion == "calibrated"
    else []
)


wildcard_constraints:
    window="m[0-9p]+",
    method="|".join(METHODS),
    process="|".join(PROCESSES),
    dataset="|".join(SETS),
    batch="[0-9]+",


# --- a rule, word by word


def command(step):
    """The shell command of a step, from its signature."""
    said = declared(step)
    flags = [f"--{name} {{input.{name}:q}}" for name in said.artefacts]
    flags += [f"--{name} {{wildcards.{name}}}" for name in said.wildcards]
    if "window" in said.sections:
        flags.append("--window {wildcards.window}")
    if said.sections:
        flags.append("--config {params.config:q}")
    if said.used:
        flags.append("--folder {params.folder:q}")
    flags += ["--memory {resources.mem_mb}", "--out {output:q}", "> {log:q} 2>&1"]
    # -P: modules come from this Python, not from files that lie where the hunt is run
    return f'"$CATHODE_PYTHON" -P -m cathode step {said.command} ' + " ".join(flags)


def settings(step):
    """Parameters of a step: the sections that it may see, and a checksum of its code. When either changes, its jobs rerun."""
    said = declared(step)

    def sections(wildcards):
        window = wildcards.get("window")
        return json.dumps(dump_sections(CONFIG, said.sections, window), sort_keys=True)

    out = {"code": code_sha256(step)}
    if said.sections:
        out["config"] = sections
    if {"background", "density_model"} & set(said.sections):
        out["density"] = source_sha256(CONFIG.density_model)
    if said.used:
        out["folder"] = lambda wildcards: RUN
    return out


def asks(mb=4000, minutes=60, gpu=0):
    """Resources of a rule; a retry (in profiles only) gets as much more memory and time."""

    def grow(amount):
        return lambda wildcards, attempt: amount * attempt

    out = {"mem_mb": grow(mb), "runtime": grow(minutes)}
    return out | ({"gpu": gpu} if gpu else {})


def log_of(step, *names):
    """Where a job of a step writes its log; `names` are the wildcards of its files."""
    folder = "{window}/" if "window" in names else ""
    rest = "".join(f"_{{{name}}}" for name in names if name != "window")
    return f"{RUN}/logs/{folder}{step}{rest}.log"


def times_of(step, *names):
    """Where Snakemake writes what a job of a step took."""
    job = "_".join(f"{{{name}}}" for name in names) or "all"
    return f"{RUN}/benchmarks/{step}/{job}.tsv"


def hold_results():
    """Keep other runs out of the folder while this process lives."""
    global HELD
    jobs = workflow.dag.needrun_jobs()
    tell_plan(
        (workflow.dag.jobid(j), j.rule.name, j.wildcards.get("window", ""))
        for j in jobs
    )
    try:
        HELD = hold_folder(Path(RUN))
    except CathodeError as error:
        tell(f"cathode: {error}")
        sys.exit(2)
    if not CONFIG.spectrum.has_reference:
        drop_reference(Path(RUN))
    if OTHERS and any(
        job.rule.name == "prepare" for job in workflow.dag.needrun_jobs()
    ):
        from cathode.running.check import describe

        try:
            describe(CONFIG)  # what would be refused replaces nothing
        except CathodeError as error:
            tell(f"cathode: {error}")
            sys.exit(2)
        clear_run(
            Path(RUN)
        )  # also what is not made anew, as of windows that are hunted no more: it is of old data


def serve_steps():
    """Run steps of this machine without their start (`cathode.served`)."""
    global SERVER
    SERVER = start_server()


def end_server():
    """At the end of a run, which need not be that of its process."""
    if SERVER:
        SERVER.terminate()
        SERVER.wait()
        # times are no reason to fail, as of a run that fails for a full disk
        with contextlib.suppress(OSError):
            complete_benchmarks(Path(RUN))


def report_failures(logs):
    """Print which jobs failed for good, and why; `logs` are Snakemake's of this run."""
    failed = []
    for job in workflow.scheduler.failed:
        group = job.groupid if job.is_group() else ""
        for member in job if group else [job]:
            window, number = member.wildcards.get("window", ""), workflow.dag.jobid(
                member
            )
            log = next(iter(member.log), "")
            failed.append(FailedJob(member.rule.name, window, number, log, str(group)))
    text = "".join(open(path, errors="replace").read() for path in logs)
    if said := describe_failures(failed, text):
        tell(said)


def show_verdict(calibrated):
    """Say what a finished hunt found, with its calibration where that was wanted; who reads the feed says it themselves."""
    if not is_read() and Path(RUN, "report.html").exists():
        from cathode.report.verdict import verdict_of_run

        wanted = any(calibrated in job.output for job in workflow.dag.jobs)
        tell("\n".join(verdict_of_run(Path(RUN), calibrated=wanted)))


# --- files of a run


def fetched_sets():
    """That the official files are here, where the data come from there; those of particles clustered."""
    if CONFIG.data.source != "lhco":
        return []
    return [
        f"{RUN}/{'clustered' if SETS[name].raw else 'fetched'}/{name}.json"
        for name in CONFIG.data.sets
    ]


def generated_chunks():
    """Chunks of generated events, where the data come from there."""
    if CONFIG.data.source != "pythia":
        return []
    return [
        f"{CONFIG.generated_folder}/{process}_{k}.parquet"
        for process in PROCESSES
        for k in range(CONFIG.generator.n_chunks(process))
    ]


def per_hunt(pattern, windows):
    """One file per window, method and working point; none when blind."""
    return (
        [] if CONFIG.blind else expand(pattern, window=windows, method=METHODS, eps=EPS)
    )


def workspaces(windows=WINDOWS):
    """One pyhf workspace per hunt."""
    return per_hunt(f"{RUN}/workspaces/{{window}}_{{method}}_{{eps}}.json", windows)


def selections(windows=WINDOWS):
    """Selected events per hunt."""
    return per_hunt(f"{RUN}/selected/{{window}}_{{method}}_{{eps}}.parquet", windows)


def conclusions():
    """What `conclude` writes for a window, in the order in which it returns it."""
    a_window = ["{window}"]
    hunts = expand(
        f"{RUN}/{{window}}/{{method}}/hunts.json", window=a_window, method=HUNTED
    )
    return [
        f"{RUN}/{{window}}/sidebands.json",
        *hunts,
        *workspaces(a_window),
        *selections(a_window),
        *kept_of_window("model", "{window}"),
        *kept_of_window("passing", "{window}"),
    ]


def kept_of_window(name, *windows):
    """What else `conclude` keeps of windows; nothing when blind."""
    return [] if CONFIG.blind else [f"{RUN}/{window}/{name}.npz" for window in windows]


def window_figures():
    """Names of the figures of one window."""
    names = ["mass_spectrum", "features_sideband", "sideband_ratio"]
    names += [f"{m}_closure" for m in SEARCHES]
    if not CONFIG.blind:
        names += [f"{m}_scores" for m in METHODS]
        names += [f"{m}_selected_spectrum" for m in SEARCHES]
        names += ["features"] if WITH_TEMPLATE else []
        names += [f"{m}_features_selected" for m in WITH_TEMPLATE]
    return names


def summary_figures():
    """Names of the figures of the whole run."""
    if CONFIG.blind:
        return []
    names = ["significance", "uncertainties", "spectrum_scan"]
    names += ["scan"] if len(WINDOWS) > 1 else []
    return names + ([f"{w}_performance" for w in WINDOWS] if CONFIG.data.label else [])


def template_of(wildcards):
    """The template of a method that needs one."""
    needed = find_method(wildcards.method).needs_template
    return f"{RUN}/{wildcards.window}/template.parquet" if needed else []


def reference():
    """What stands for the background of the inclusive scan, where it is not fitted."""
    return [f"{RUN}/reference.npz"] if CONFIG.spectrum.has_reference else []


def scores_that_test(wildcards):
    """Scores of the windows of one method, where these test each other."""
    if len(WINDOWS) == 1 or are_hidden(CONFIG.regions.values(), CONFIG.closure):
        return []
    return [f"{RUN}/{window}/{wildcards.method}/scores.npz" for window in WINDOWS]


def of_window(name, methods):
    """Input function: one artefact of a window for each of some methods."""

    def files(wildcards):
        return [f"{RUN}/{wildcards.window}/{method}/{name}" for method in methods]

    return files


def calibration_batches(kind):
    """Artefacts of all batches of pseudo-experiments, in the first window."""
    c = CONFIG.calibration
    number = c.classifier if kind == "classifier" else c.background
    return [
        f"{RUN}/{WINDOWS[0]}/calibration/{kind}_{i}.json"
        for i in range(c.batches(number))
    ]


def calibration_numbers():
    """What the figures of the calibration are drawn from, for the report with it."""
    return expand(
        f"{RUN}/calibration/calibration_{{name}}.json", name=CALIBRATION_FIGURES
    )


def truths():
    """Evaluations with labels, for every hunt."""
    if CONFIG.blind or CONFIG.data.label is None:
        return []
    return expand(
        f"{RUN}/{{window}}/{{method}}/truth.json", window=WINDOWS, method=METHODS
    )


def figure_numbers():
    """What all figures are drawn from, for the report; their pictures lie beside."""
    of_windows = expand("{window}_{name}", window=WINDOWS, name=window_figures())
    return [f"{RUN}/plots/{name}.json" for name in [*of_windows, *summary_figures()]]
