"""The workflow in any folder: where its files are, and a run of it that tells its user how it stands."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from joblib import cpu_count
from rich.console import Console

from cathode.config import Config, load_config
from cathode.errors import CathodeError, ConfigError
from cathode.intake.files import input_files, reference_files
from cathode.running.board import Board
from cathode.running.check import estimated_seconds
from cathode.running.feed import FEED
from cathode.running.live import Screen

_PACKAGE = Path(__file__).parents[1]
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 60  # seconds that a run may take to end its jobs
_UNHEARD = 5  # seconds after which a run that said nothing is asked again
_ENDING = b"Terminating processes on user request"
_LAST_WORDS = 15  # lines of Snakemake's, where a run ends without a word of ours


def snakefile() -> Path:
    """The workflow: inside an installed package, or in the checkout around it."""
    inside = _PACKAGE / "_workflow"
    return (inside if inside.is_dir() else _PACKAGE.parent) / "workflow" / "Snakefile"


def run_workflow(
    config: str | None,
    *,
    cores: str = "all",
    target: str | None = None,
    quick: bool = False,
    profile: str | None = None,
    dry_run: bool = False,
    verbose: bool = False,
    arguments: Sequence[str] = (),
) -> int:
    """Run the hunt of a configuration file (None: the default hunt) in this folder, and return Snakemake's exit code.

    Shows how the run stands on standard error: a block that changes on a terminal, some lines elsewhere, with `verbose` all that
    Snakemake says. `arguments` are handed on to Snakemake, as is `profile` (its workflow profile). Raises ConfigError for a
    configuration that cannot be hunted, DataError for files that are not there, before anything runs.
    """
    if odd := [word for word in arguments if word.split("=")[0] in ("--directory", "-d")]:
        raise ConfigError(
            f"{odd[0]}: found among what is handed on to snakemake, expected this command to be run in that folder"
        )
    loaded = load_config(config, quick=quick)
    input_files(loaded.data)
    reference_files(loaded.data, loaded.spectrum)
    command = [sys.executable, "-P", "-m", "snakemake", *([target] if target else []), "--snakefile", str(snakefile())]
    command += ["--workflow-profile", profile] if profile else []
    command += [] if profile and cores == "all" else ["--cores", cores]
    command += ["--configfile", config] if config else []
    command += ["--dry-run"] if dry_run else []
    command += ["--quiet", "rules"] if dry_run and not verbose else []
    command += _with_quick(arguments) if quick else arguments
    environment = os.environ | _cache()
    if verbose:
        return subprocess.run(command, check=False, env=environment).returncode
    if dry_run:
        return _say_plan(subprocess.run(command, check=False, env=environment, capture_output=True, text=True))
    return _run_watched(command, environment, loaded, cpu_count() if cores == "all" else int(cores))


def _with_quick(arguments: Sequence[str]) -> list[str]:
    """Arguments for Snakemake with `quick` among the keys that they set: of two --config it takes the last alone."""
    given = [i for i, word in enumerate(arguments) if word in ("--config", "-C")]
    place = given[-1] + 1 if given else len(arguments)
    head = list(arguments[:place]) if given else [*arguments, "--config"]
    return [*head, "quick=True", *arguments[place:]]


def _say_plan(run: subprocess.CompletedProcess[str]) -> int:
    """Print how many jobs of each rule would run, of all that Snakemake says of it; where it fails, its last words."""
    said = f"{run.stdout}\n{run.stderr}"
    table = re.search(r"^Job stats:\n(?:.+\n)+", said, re.M)
    if run.returncode:
        sys.stderr.write("\n".join([line for line in said.splitlines() if line.strip()][-_LAST_WORDS:]) + "\n")
    else:
        sys.stdout.write(f"{table[0]}-v says more\n" if table else "nothing to do: the run is whole\n")
    return run.returncode


def _run_watched(command: list[str], environment: dict[str, str], config: Config, cores: int) -> int:
    """Run Snakemake behind a screen. What it says is in its own log, and its last words are shown where it fails without ours.

    It and its jobs are a session of their own, so that Ctrl-C reaches this process alone, which passes it on once; a second one, or a
    minute, ends them at once.
    """
    board, console = Board(cores), Console(stderr=True, highlight=False)
    read, write = os.pipe()
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    said = False

    def take(line: str) -> None:
        nonlocal said
        message = json.loads(line)
        ended = board.take(message)
        said = said or message["event"] == "said"
        if ended == "prepare" or message["event"] == "plan":
            board.estimate = _estimate(config)

    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(
            command,
            env=environment | {FEED: str(write)},
            pass_fds=[write],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        os.close(write)
        reader = threading.Thread(target=_read_into, args=(os.fdopen(read, encoding="utf-8"), lines), daemon=True)
        reader.start()
        with _Stop(process, output) as stop, Screen(board, console).open() as screen:
            while True:
                try:
                    line = lines.get(timeout=0.5)
                except queue.Empty:
                    line = ""
                if line is None or process.poll() is not None:
                    break
                if line:
                    take(line)
                screen.moved()
                stop.insist()
            code = process.wait()
            reader.join(timeout=5)
            while not lines.empty() and (line := lines.get()):  # what was said last
                take(line)
            screen.moved()
        if stop.asked:
            _release(config.folder)
            console.print("stopped; the same command continues where this one was")
            return 130
        if code and not said:
            console.print(_last_words(output), markup=False, soft_wrap=True)
    return code


def _release(run: str, locks: Path = Path(".snakemake/locks")) -> None:
    """Remove Snakemake's lock of a run whose processes have ended: asked twice, as happens on a busy machine, it leaves it behind.

    A lock that names files of this run is no one else's, since two cannot have it.
    """
    for lock in locks.glob("*.lock"):
        if any(line.startswith(f"{run}/") for line in lock.read_text(encoding="utf-8").splitlines()):
            lock.unlink(missing_ok=True)


class _Stop:
    """Ctrl-C, a closed terminal and a request to end, passed on to a process and all that it started."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[str]):
        self.process, self.asked, self._since = process, 0, 0.0
        self._output, self._again = output, False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Stop:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in _ENDS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        self.asked += 1
        self._since = self._since or time.monotonic()
        self._send(signal.SIGINT if self.asked == 1 else signal.SIGKILL)

    def insist(self) -> None:
        """End what does not end by itself; ask again what did not hear: an interrupt between two lines of C can get lost."""
        waited = time.monotonic() - self._since if self.asked else 0.0
        if waited > _PATIENCE:
            self._send(signal.SIGKILL)
        elif waited > _UNHEARD and not self._again and not self._is_heard():
            self._again = True
            self._send(signal.SIGINT)

    def _is_heard(self) -> bool:
        """Whether Snakemake said that it ends its jobs. Read without moving the place where it writes."""
        size = os.fstat(self._output.fileno()).st_size
        return _ENDING in os.pread(self._output.fileno(), size, 0)

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def _read_into(feed: IO[str], lines: queue.SimpleQueue[str | None]) -> None:
    with feed:
        for line in feed:
            lines.put(line)
    lines.put(None)


def _estimate(config: Config) -> dict[tuple[str, str], float]:
    """CPU seconds by rule and window, once the events are there."""
    try:
        return estimated_seconds(config, Path(config.folder))
    except (CathodeError, OSError):
        return {}


def _last_words(output: IO[str]) -> str:
    output.seek(0)
    kept = [line.rstrip() for line in output if line.strip()]
    return "\n".join(kept[-_LAST_WORDS:])


def _cache() -> dict[str, str]:
    """Where Snakemake keeps its sources if it may not write into the home folder, which it would say with a traceback."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111 - never raises
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    return {} if writable else {"XDG_CACHE_HOME": str(Path(".snakemake", "cache").resolve())}
