"""What a run says of itself, and what is made of it: counts, time that is left, and the words on a screen."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from rich.console import Console

from cathode.running.board import STAGES, Board, Job, duration, share_done
from cathode.running.live import Screen
from cathode.steps import STEPS

PLAN = [
    [1, "prepare", ""],
    [2, "fit_density", "m3500"],
    [3, "score_pseudo", "m3500"],
    [4, "score_pseudo", "m3500"],
    [5, "report", ""],
]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def board() -> Board:
    made = Board(cores=2, clock=Clock())
    made.take({"event": "plan", "jobs": PLAN})
    return made


def at(board: Board, seconds: float) -> Board:
    board.clock.now = seconds  # type: ignore[attr-defined]
    return board


def test_jobs_go_from_waiting_to_done(board):
    board.take({"event": "job_info", "job": 2, "log": "x.log"})
    board.take({"event": "job_started", "jobs": [2, 99]})
    assert (board.jobs[2].state, board.jobs[2].log, board.done) == ("running", "x.log", 0)
    assert at(board, 7.0).take({"event": "job_finished", "job": 2}) == "fit_density"
    assert (board.jobs[2].took, board.done) == (7.0, 1)
    board.take({"event": "job_error", "job": 3})
    assert board.jobs[3].state == "failed"
    assert board.take({"event": "job_finished", "job": 12345}) is None
    assert list(board.stages("m3500")) == ["density", "closure"]
    assert board.windows == ["m3500"]


def test_every_step_of_the_workflow_has_a_stage():
    staged = {rule for rules in STAGES.values() for rule in rules}
    assert set(STEPS) <= staged, set(STEPS) - staged


def test_time_left_is_the_estimate_at_the_pace_of_what_is_done(board):
    assert board.seconds_left() is None
    board.estimate = {
        ("prepare", ""): 10,
        ("fit_density", "m3500"): 40,
        ("score_pseudo", "m3500"): 200,
        ("report", ""): 10,
    }
    # nothing is done: the pace is that of the estimate, on two cores
    assert board.seconds_left() == pytest.approx((10 + 40 + 200 + 10) / 2)
    board.take({"event": "job_started", "jobs": [1, 2]})
    at(board, 10.0).take({"event": "job_finished", "job": 1})
    at(board, 80.0).take({"event": "job_finished", "job": 2})
    pace = (10 + 80 + 60) / (10 + 40 + 60)
    assert board.seconds_left() == pytest.approx((200 + 10) * pace / 2)
    # a job that runs counts what is left of it, at least a tenth
    board.take({"event": "job_started", "jobs": [3]})
    at(board, 100.0)
    board.cores = 1
    assert board.seconds_left() == pytest.approx(100 * pace - 20 + 100 * pace + 10 * pace)
    # and one long job is the end, however many cores there are
    board.cores = 100
    assert board.seconds_left() == pytest.approx(100 * pace)
    board.cores = 1
    at(board, 8000.0)
    assert board.seconds_left() == pytest.approx(10 * pace + 100 * pace + 10 * pace)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0.0),
        ("12:00:00 density: 3 of 6, loss 1.2, 4 s\n", 0.5),
        ("12:00:00 fold: 5 of 5, 3 s\n12:00:01 region: 1 of 4, 3 s\n12:00:02 pseudo01: fold: 2 of 5, 1 s\n", 0.25),
        ("kept 7 of 9 events\n", 0.0),
    ],
)
def test_the_log_of_a_job_says_how_far_it_is(text, share, tmp_path):
    (tmp_path / "job.log").write_text(text)
    assert share_done(Job("score", "", log=str(tmp_path / "job.log"))) == share
    assert share_done(Job("score", "", log=str(tmp_path / "absent.log"))) == 0


def test_durations_read_as_people_write_them():
    assert [duration(s) for s in (0.4, 42, 725, 11400)] == ["0:00", "0:42", "12:05", "3 h 10 min"]


def test_a_pipe_gets_few_lines_and_every_word_that_was_said():
    board, out = Board(cores=2, clock=Clock()), io.StringIO()
    with Screen(board, Console(file=out, width=100)).open() as screen:
        board.take({"event": "plan", "jobs": [[i, "score", f"m{i}"] for i in range(300)]})
        board.take({"event": "said", "text": "cathode: a [long] word " + "x" * 150})
        for i in range(300):
            board.take({"event": "job_started", "jobs": [i]})
            board.take({"event": "job_finished", "job": i})
            screen.moved()
    lines = out.getvalue().splitlines()
    assert len(lines) <= 20
    assert "cathode: a [long] word " + "x" * 150 in lines
    assert "300 of 300 jobs" in lines[-1]


def test_the_feed_writes_lines_of_json_to_whoever_reads():
    code = (
        "import logging; from cathode.running.feed import *; log = logging.getLogger('s'); log.setLevel('INFO'); feed_from(log); feed_from(log)\n"
        "tell('hello'); tell_plan([(1, 'score', 'm1')]); log.info('x', extra={'event': 'job_started', 'jobs': [1]})\n"
        "log.info('x', extra={'event': 'job_info', 'jobid': 1, 'log': ['a.log']}); log.info('other')\n"
        "import os; assert 'CATHODE_FEED' not in os.environ"
    )
    read, write = os.pipe()
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"CATHODE_FEED": str(write)}, pass_fds=[write], capture_output=True, text=True, check=False
    )  # fmt: skip
    os.close(write)
    with os.fdopen(read) as feed:
        lines = [json.loads(line) for line in feed]
    assert run.returncode == 0, run.stderr
    assert lines == [
        {"event": "said", "text": "hello"},
        {"event": "plan", "jobs": [[1, "score", "m1"]]},
        {"event": "job_started", "jobs": [1]},
        {"event": "job_info", "job": 1, "log": "a.log"},
    ]
    assert run.stderr == ""
    alone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert alone.stderr == "hello\n"
