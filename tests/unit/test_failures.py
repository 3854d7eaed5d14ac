"""What a failed run ends with: rule, window, cause and log of every job that failed for good."""

from __future__ import annotations

from cathode.failures import describe_failures

ALONE = """
Error in rule score_cathode:
    message: SLURM-job '{job}' failed, SLURM status is: '{status}'. For further error details see the log files.
    jobid: {id}
    input: results/toy/events.parquet, results/toy/m3000/template.parquet
    log: results/toy/logs/{window}/score_cathode.log, /scratch/.snakemake/slurm_logs/rule_score_cathode/{job}.log (check log file(s) for error details)
    shell:
        python -m cathode score-cathode --events results/toy/events.parquet
        (command exited with non-zero exit code)
    external_jobid: {job}
Trying to restart job {id}.
"""
GROUP = """
    message: SLURM-job '12' failed, SLURM status is: 'TIMEOUT'. For further error details see the log files.
    log: /scratch/.snakemake/slurm_logs/group_counts/12.log (check log file(s) for error details)
    jobs:
        rule measure_closure:
            jobid: 7
            output: results/toy/m3000/cathode/closure.json
            log: results/toy/logs/m3000/measure_closure_cathode.log (check log file(s) for error details)
        rule infer:
            jobid: 8
            output: results/toy/m3000/cathode/hunts.json
            log: results/toy/logs/m3000/infer_cathode.log (check log file(s) for error details)
"""


def write(folder, name, text):
    log = folder / "results" / "toy" / "logs" / name
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)


def test_every_job_that_failed_for_good_is_named_with_its_cause(tmp_path):
    write(
        tmp_path, "m3000/score_cathode.log", "08:00:00 fold 1\ncathode: out of memory: expected 350 MB to be enough\n"
    )
    write(tmp_path, "m3400p5/score_cathode.log", "08:00:00 fold: 1 of 4, 0 s\n")
    on_the_node = ALONE.format(id=0, job=10, window="m3000", status="").replace("SLURM status is: ''", "None")
    said = describe_failures(
        ALONE.format(id=5, job=10, window="m3000", status="FAILED")
        + on_the_node
        + ALONE.format(id=5, job=11, window="m3000", status="FAILED")
        + ALONE.format(id=6, job=13, window="m3400p5", status="TIMEOUT")
        + ALONE.format(id=9, job=14, window="m3800", status="NODE_FAIL"),
        tmp_path,
    ).splitlines()
    assert said == [
        "failed:",
        "  score_cathode, window m3000: out of memory: expected 350 MB to be enough [FAILED]; see results/toy/logs/m3000/score_cathode.log",
        "  score_cathode, window m3400p5: 08:00:00 fold: 1 of 4, 0 s [TIMEOUT]; see results/toy/logs/m3400p5/score_cathode.log",
        "  score_cathode, window m3800: no log [NODE_FAIL]; see results/toy/logs/m3800/score_cathode.log",
    ]


def test_a_job_that_was_repeated_with_success_did_not_fail(tmp_path):
    text = ALONE.format(id=5, job=10, window="m3000", status="FAILED")
    assert (
        describe_failures(text + "[Mon Nov 23 07:33:14 2026]\nFinished jobid: 5 (Rule: score_cathode)\n", tmp_path)
        == ""
    )
    assert "score_cathode" in describe_failures(text + "Finished jobid: 55 (Rule: score_cathode)\n", tmp_path)
    assert describe_failures("WorkflowError: something else", tmp_path) == ""


def test_of_a_group_the_job_that_refused_is_named_and_all_where_none_did(tmp_path):
    write(tmp_path, "m3000/measure_closure_cathode.log", "08:00:00 done\n")
    said = describe_failures(GROUP, tmp_path).splitlines()
    assert [line.split(":")[0] for line in said[1:]] == ["  measure_closure, window m3000", "  infer, window m3000"]
    assert "[TIMEOUT]" in said[1]
    write(tmp_path, "m3000/infer_cathode.log", "cathode: m3000: found nothing\n")
    said = describe_failures(GROUP, tmp_path).splitlines()
    assert said[1:] == [
        "  infer, window m3000: m3000: found nothing [TIMEOUT]; see results/toy/logs/m3000/infer_cathode.log"
    ]
