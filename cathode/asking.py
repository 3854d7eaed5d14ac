"""A command handed to the server of steps (`cathode.served`), where the workflow started one; light, since every job pays for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

SOCKET = "CATHODE_SERVER"  # the environment variable with the name of its abstract socket (Linux), which leaves no file behind
OFF = "off"  # in place of a name: every job starts by itself, as a debugger or a profiler wants it
SIZE = "!Q"  # of the request, as `struct` writes it
TAKEN = b"+"


def ask(argv: list[str]) -> int | None:
    """Have a command run by the server: its exit code, or None where nobody serves it."""
    name = os.environ.get(SOCKET)
    if name in (None, OFF) or argv[:1] != ["step"]:
        return None
    import json
    import signal
    import socket
    import struct

    request = {"argv": argv, "folder": str(Path.cwd()), "environment": dict(os.environ), "who": identity()}
    message = json.dumps(request).encode()
    taken = b""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(f"\0{name}")
            if not is_own(line):
                return None
            socket.send_fds(line, [struct.pack(SIZE, len(message))], [0, 1, 2])
            line.sendall(message)
            taken = line.recv(1)
            answer = line.recv(1) if taken == TAKEN else b""
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except OSError:
        answer = b""
    if answer:
        return answer[0]
    if taken != TAKEN:
        return None
    sys.stderr.write("cathode: killed before its end, perhaps for lack of memory\n")
    return 128 + signal.SIGKILL


def is_own(line: Any) -> bool:
    """Whether the other end of a Unix socket belongs to the same user, says the kernel."""
    import socket
    import struct

    size = struct.calcsize("3i")  # process, user, group
    _, user, _ = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return bool(user == os.getuid())


def identity() -> dict[str, Any]:
    """What must be the same on both sides, lest another Python or another package answer.

    And lest a job of a batch system that happens to run on this machine escapes from what it was given: those have sessions, and often
    control groups, of their own.
    """
    try:
        group = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    except OSError:
        group = ""
    return {
        "python": sys.executable,
        "version": sys.version,
        "path": sys.path,
        "session": os.getsid(0),
        "group": group,
    }
