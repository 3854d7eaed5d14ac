"""Steps that a server runs in forks of itself: what they say, write and return is what they do alone."""

from __future__ import annotations

import json
import os
import signal
import socket as socketlib
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import toy_table

from cathode.asking import SOCKET, is_own
from cathode.served import _received, start_server

STEP = [sys.executable, "-P", "-m", "cathode", "step"]
CONFIG = {
    "data": {"source": "files", "files": ["events.parquet"], "mass": "m", "features": ["a", "b", "c"]},
    "windows": {"range": [2000, 5000], "signal_regions": [[2800, 3200]]},
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are served on Linux alone")


@pytest.fixture(scope="module")
def server():
    before = dict(os.environ)
    process = start_server()
    yield psutil.Process(process.pid), os.environ[SOCKET]
    os.environ.clear()
    os.environ.update(before)
    process.terminate()
    process.wait(10)


@pytest.fixture
def folder(tmp_path):
    toy_table(3000, 50, 1).drop(columns="label").to_parquet(tmp_path / "events.parquet")
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path


def step(folder: Path, *words: str, socket: str | None, session: bool = False, **more: str) -> tuple[int, str, bool]:
    """Exit code and words of a step, and whether a server ran it: then its own process took next to no time."""
    environment = {k: v for k, v in os.environ.items() if k != SOCKET} | more | ({SOCKET: socket} if socket else {})
    before = os.times().children_user
    run = subprocess.run(
        [*STEP, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=session,
    )
    return run.returncode, run.stdout + run.stderr, os.times().children_user - before < 0.5


PREPARE = ["prepare", "--config", "my.yaml", "--out", "e.parquet", "l.parquet", "s.parquet", "i.json"]


def test_a_served_step_writes_the_same_bytes(server, folder):
    made = []
    for socket in (None, server[1]):
        code, said, served = step(folder, *PREPARE, socket=socket)
        assert (code, served) == (0, socket is not None), said
        (record,) = [json.loads(line.partition(" job ")[2]) for line in said.splitlines() if " job {" in line]
        assert record["rule"] == "prepare"
        made.append({name: (folder / name).read_bytes() for name in PREPARE[4:]})
    assert made[0] == made[1]
    assert record["cpu_s"] < 5  # its own seconds, not those of all that was imported before


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["prepare", "--config", "absent.yaml", *PREPARE[3:]], 2, "cathode: absent.yaml"),
        (["prepare", "--confg", "my.yaml"], 2, "arguments are required: --config, --out"),
        (["prepair"], 2, "found command prepair (did you mean prepare?)"),
        (["prepare", "--help"], 0, "usage: cathode step prepare"),
        (["conclude", "--events", "my.yaml"], 2, "the following arguments are required"),
    ],
)
def test_refusals_and_help_are_the_same(server, folder, words, code, message):
    alone, served = step(folder, *words, socket=None), step(folder, *words, socket=server[1])
    assert alone[:2] == served[:2]
    assert alone[0] == code
    assert message in alone[1]


def test_a_step_runs_in_the_folder_and_environment_of_who_asked(server, folder):
    (folder / "my.yaml").write_text(yaml.safe_dump(CONFIG | {"data": CONFIG["data"] | {"files": ["$WHERE/events.parquet"]}}))  # fmt: skip
    assert step(folder, *PREPARE, socket=server[1], WHERE=".")[0] == 0
    code, said, _ = step(folder, *PREPARE, socket=server[1], WHERE="nowhere")
    assert (code, "$WHERE/events.parquet: no such file" in said) == (2, True), said


def test_what_nobody_serves_runs_by_itself(server, folder, tmp_path_factory):
    """No server, one of another installation, and for a job of another session, as those of batch systems are."""
    for socket in ("none", server[1]):
        code, said, served = step(folder, *PREPARE, socket=socket, PYTHONPATH=str(tmp_path_factory.mktemp("other")))
        assert (code, served) == (0, False), said
    code, said, served = step(folder, *PREPARE, socket=server[1], session=True)
    assert (code, served) == (0, False), said


def waiting(folder: Path, server) -> tuple[subprocess.Popen[str], psutil.Process]:
    """A step that waits for its settings, which never come, and its fork."""
    (folder / "my.yaml").unlink()
    os.mkfifo(folder / "my.yaml")
    process = subprocess.Popen(
        [*STEP, *PREPARE], cwd=folder, env=os.environ | {SOCKET: server[1]}, stderr=subprocess.PIPE, text=True
    )
    return process, until(lambda: next((c for c in server[0].children() if c.status() != psutil.STATUS_ZOMBIE), None))


def until(look, patience: float = 60.0):
    end = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def test_a_step_ends_with_who_asked(server, folder):
    process, fork = waiting(folder, server)
    process.kill()
    process.communicate()
    until(lambda: not fork.is_running() or fork.status() == psutil.STATUS_ZOMBIE)


def test_a_step_that_is_killed_says_so(server, folder):
    process, fork = waiting(folder, server)
    until(lambda: fork.cwd() == str(folder))
    time.sleep(1)  # it has become the step, and says that next
    fork.kill()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGKILL
    assert said.splitlines()[-1] == "cathode: killed before its end, perhaps for lack of memory"


def test_the_server_ends_with_the_process_that_started_it():
    code = (
        "import os; from cathode.served import start_server; p = start_server(); print(p.pid, flush=True); os._exit(0)"
    )
    pid = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_it_can_be_left_out(monkeypatch):
    monkeypatch.setenv(SOCKET, "off")
    assert start_server() is None
    assert os.environ[SOCKET] == "off"


def test_nobody_else_may_ask_or_answer(monkeypatch):
    ours, theirs = socketlib.socketpair()
    with ours, theirs:
        assert is_own(ours)
        monkeypatch.setattr(os, "getuid", lambda: -1)
        assert not is_own(theirs)
        assert _received(theirs) is None


@pytest.mark.parametrize(("ignored", "code"), [(False, 130), (True, 0)])
def test_a_step_hears_ctrl_c_as_its_workflow_does(tmp_path, ignored, code):
    """A script's background jobs inherit that interrupts are ignored. The step waits for its settings in a pipe."""
    os.mkfifo(tmp_path / "my.yaml")
    toy_table(3000, 50, 1).drop(columns="label").to_parquet(tmp_path / "events.parquet")
    program = (
        "import signal, subprocess, sys, os; from cathode.served import start_server\n"
        f"signal.signal(signal.SIGINT, signal.SIG_IGN if {ignored} else signal.SIG_DFL)\n"
        "server = start_server()\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"  # a workflow that outlives it
        f"sys.exit(subprocess.run({[*STEP, *PREPARE]}, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN if {ignored} else signal.SIG_DFL)).returncode)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, start_new_session=True)
    tree = psutil.Process(process.pid)
    until(lambda: [p for p in tree.children(recursive=True) if p.cwd() == str(tmp_path) and p.ppid() != process.pid])
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.5)
    if ignored:
        (tmp_path / "my.yaml").write_text(yaml.safe_dump(CONFIG))
    assert process.wait(60) == code
