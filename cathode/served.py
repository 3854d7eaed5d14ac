"""Steps without their start: a process that has imported what they need runs each of them in a fork of its own.

Python, numpy, scipy, torch and matplotlib take seconds to import, longer than many a step computes. The workflow's jobs hand command
line, folder, environment and output to the server that the workflow started on its own machine; it imports what the step needs, unless
an earlier one did, and forks. A job that nobody serves, on another node or another system, runs by itself: the same code, the same bytes.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import secrets
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import traceback
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from cathode.asking import OFF, SIZE, SOCKET, TAKEN, identity, is_own
from cathode.cli import main, shield

_PATIENCE = 10  # seconds for a request to come whole
_POLL = 0.5  # seconds between two looks at whether the workflow lives
_ALWAYS = ("pandas", "pyarrow.parquet", "cathode.io", "cathode.config", "cathode.running.job", "cathode.running.usage")
_DENSITY = "cathode.density.histogram"


def start_server() -> subprocess.Popen[bytes] | None:
    """Start the server of this process's jobs, which ends with it. None where that cannot be: jobs run by themselves.

    Not on macOS, whose frameworks do not survive a fork, and not where `CATHODE_SERVER` is `off`.
    """
    if sys.platform != "linux" or os.environ.get(SOCKET) == OFF:
        return None
    name = f"cathode-{os.getpid()}-{secrets.token_hex(8)}"
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"\0{name}")
            listener.listen(64)
            command = [sys.executable, "-P", "-m", "cathode.served", str(listener.fileno()), str(os.getpid())]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[listener.fileno()])
    except OSError:
        return None
    os.environ[SOCKET] = name
    return process


@dataclass(frozen=True)
class _Request:
    argv: list[str]
    folder: str
    environment: dict[str, str]
    files: list[int]  # stdin, stdout, stderr


class _Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Forks once per request; what the request needs is imported before."""

    block_on_close = False
    max_children = 4096  # the workflow says how many run at once

    def __init__(self, listener: socket.socket):
        super().__init__("", socketserver.BaseRequestHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.timeout = _POLL
        self._request: _Request | None = None
        # of a terminal: jobs hear it as the workflow does, or not, as one in the background of a script
        self._interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._request = _received(request)
        if self._request is None:
            self.close_request(request)
            return
        with contextlib.suppress(Exception):  # the step says what it cannot import
            _load(self._request.argv)
        gc.collect()
        gc.freeze()  # a collection in a fork would copy the pages of all that is imported
        try:
            super().process_request(request, client_address)
        finally:
            for file in self._request.files:
                os.close(file)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the fork."""
        assert self._request is not None
        self.socket.close()
        signal.signal(signal.SIGINT, self._interrupted)
        _become(self._request)
        request.sendall(TAKEN)
        threading.Thread(target=_end_with, args=(request,), daemon=True).start()
        request.sendall(bytes([_run(self._request.argv)]))


def serve(listener: int, parent: int) -> None:
    """Answer until the process `parent` ends."""
    shield()
    with _Server(socket.socket(fileno=listener)) as server:
        while os.getppid() == parent:
            server.handle_request()
            server.service_actions()


def _received(line: socket.socket) -> _Request | None:
    """A request, None for one that is not whole or comes from another user or installation."""
    if not is_own(line):
        return None
    line.settimeout(_PATIENCE)
    files: list[int] = []
    try:
        size, files, _, _ = socket.recv_fds(line, struct.calcsize(SIZE), 3)
        message = b""
        while len(message) < struct.unpack(SIZE, size)[0]:
            if not (part := line.recv(1 << 20)):
                raise OSError("half a request")
            message += part
        said = json.loads(message)
        if said.pop("who") == identity() and len(files) == 3:
            line.settimeout(None)
            return _Request(files=files, **said)
    except (OSError, struct.error, ValueError):
        pass
    for file in files:
        os.close(file)
    return None


def _load(argv: list[str]) -> None:
    """Import what a step needs, also what it imports late, and read what it declares."""
    from cathode.classifier.trees import load_lightgbm
    from cathode.commands.steps import step_names
    from cathode.steps.declared import code_sha256, declared
    from cathode.steps.run import function_of

    step = step_names()[argv[1]]
    for name in _ALWAYS:
        import_module(name)
    function_of(step)
    sections = declared(step).sections
    if {"background", "density_model"} & set(sections):
        import_module(_DENSITY)
    if "classifier" in sections:
        load_lightgbm()
    code_sha256(step)


def _become(request: _Request) -> None:
    """Take on the folder, environment and output of who asked."""
    for target, file in enumerate(request.files):
        os.dup2(file, target)
        os.close(file)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv[1:] = request.argv


def _end_with(line: socket.socket) -> None:
    """End this process when who asked is gone: stopped by the workflow or by its user."""
    with contextlib.suppress(OSError):
        line.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _run(argv: list[str]) -> int:
    """Exit code of a command, as Python itself would have it."""
    try:
        code = main(argv)
    except SystemExit as ended:  # of the parser of the command line
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code & 0xFF


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
