"""What a failed run ends with: rule, window, cause and log of every job that failed for good."""

from __future__ import annotations

from cathode.running.failures import FailedJob, describe_failures

# as Snakemake prints it, with the node's own account of the same job, which has its own numbers
ALONE = """
Error in rule {rule}:
    message: SLURM-job '{job}' failed, SLURM status is: '{status}'. For further error details see the log files.
    jobid: {id}
    log: results/toy/logs/{window}/{rule}.log, /scratch/.snakemake/slurm_logs/rule_{rule}/{job}.log (check log file(s) for error details)
Logfile /scratch/.snakemake/slurm_logs/rule_{rule}/{job}.log:
========================
Error in rule {rule}:
    message: None
    jobid: 0
    log: results/toy/logs/{window}/{rule}.log (check log file(s) for error details)
Finished jobid: 1 (Rule: other)
========================
Trying to restart job {id}.
"""


def job(rule, window, number, group=""):
    return FailedJob(rule, window, number, f"results/toy/logs/{window}/{rule}.log", group)


def write(folder, window, rule, text):
    log = folder / "results" / "toy" / "logs" / window / f"{rule}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)


def test_every_job_that_failed_is_named_with_its_cause(tmp_path):
    write(tmp_path, "m3000", "score_cathode", "08:00:00 fold 1\ncathode: out of memory: expected 350 MB to be enough\n")
    write(tmp_path, "m3400p5", "score_cathode", "08:00:00 fold: 1 of 4, 0 s\n")
    write(tmp_path, "m3000", "score_cwola", "")
    text = "".join(
        ALONE.format(rule=rule, window=window, id=number, job=number + 5, status=status)
        for rule, window, number, status in (
            ("score_cathode", "m3000", 1, "OUT_OF_MEMORY"),
            ("score_cathode", "m3000", 1, "FAILED"),  # the second attempt
            ("score_cathode", "m3400p5", 6, "TIMEOUT"),
            ("score_cwola", "m3000", 0, "CANCELLED"),
        )
    )
    jobs = [job("score_cwola", "m3000", 0), job("score_cathode", "m3400p5", 6), job("score_cathode", "m3000", 1), job("infer", "m9", 4)]  # fmt: skip
    assert describe_failures(jobs, text, tmp_path).splitlines() == [
        "failed:",
        "  infer, window m9: no log; see results/toy/logs/m9/infer.log",
        "  score_cathode, window m3000: out of memory: expected 350 MB to be enough [FAILED]; see results/toy/logs/m3000/score_cathode.log",
        "  score_cathode, window m3400p5: 08:00:00 fold: 1 of 4, 0 s [TIMEOUT]; see results/toy/logs/m3400p5/score_cathode.log",
        "  score_cwola, window m3000: ended without a word (killed?) [CANCELLED]; see results/toy/logs/m3000/score_cwola.log",
    ]
    assert describe_failures([], text, tmp_path) == ""
    assert describe_failures([FailedJob("all", "", 3, "")], text, tmp_path) == "failed:\n  all: no log"


def test_files_that_did_not_appear_are_said_so(tmp_path):
    write(tmp_path, "m3000", "fit_density", "08:00:00 done\n")
    text = (
        'MissingOutputException in rule fit_density in file "/x/template.smk", line 2:\n'
        "Job 3 completed successfully, but some output files are missing. Missing files after 60 seconds.\n"
    )
    said = describe_failures([job("fit_density", "m3000", 3), job("fit_density", "m3400", 4)], text, tmp_path)
    assert "window m3000: done, but its files did not appear in time" in said
    assert "window m3400: no log" in said


def test_of_a_group_the_job_that_refused_is_named_and_all_where_none_did(tmp_path):
    jobs = [job("measure_closure", "m3000", 7, "a"), job("infer", "m3000", 8, "a"), job("infer", "m3400", 9, "b")]
    write(tmp_path, "m3000", "measure_closure", "08:00:00 done\n")
    said = describe_failures(jobs, "", tmp_path).splitlines()
    assert [line.split(":")[0] for line in said[1:]] == [
        "  infer, window m3000",
        "  infer, window m3400",
        "  measure_closure, window m3000",
    ]
    write(tmp_path, "m3000", "infer", "cathode: m3000: found nothing\n")
    said = describe_failures(jobs, "", tmp_path).splitlines()
    assert said[1:] == [
        "  infer, window m3000: m3000: found nothing; see results/toy/logs/m3000/infer.log",
        "  infer, window m3400: no log; see results/toy/logs/m3400/infer.log",
    ]
