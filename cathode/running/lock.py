"""One run at a time in a folder of results, from whatever working directory."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from pathlib import Path
from typing import IO

from cathode.errors import ArtefactError

log = logging.getLogger("cathode")


def hold_folder(folder: Path) -> IO[str]:
    """Keep other runs out of a run's folder for as long as the returned file stays open; the system lets go when its process ends, however.

    So there are no stale locks. Raises ArtefactError where another run holds it, with what that said of itself.
    """
    path = folder / "logs" / "run.lock"  # beside what differs from run to run anyway
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        who = file.read().strip() or "unknown"
        file.close()
        raise ArtefactError(
            f"{folder}: another run is writing there ({who}); wait until it ends, or choose another run or results_dir"
        ) from error
    except OSError as error:
        log.warning("%s: this file system has no locks (%s); nothing keeps a second run out", folder, error)
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}, started in {Path.cwd()}\n")
    file.flush()
    return file
