"""What a running workflow says of itself, as lines of JSON: written inside Snakemake, read by whoever started it (`cathode hunt`)."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable
from typing import Any

FEED = "CATHODE_FEED"  # environment variable: the file descriptor that lines are written to
# taken out of the environment: in a process that this one starts, the same number is another file
_DESCRIPTOR = os.environ.pop(FEED, "")


def tell(text: str) -> None:
    """Say `text` to the user: through the feed where somebody reads it, else on standard error."""
    if not _write({"event": "said", "text": text}):
        print(text, file=sys.stderr)  # noqa: T201 - what Snakemake's own messages go to


def tell_plan(jobs: Iterable[tuple[int, str, str]]) -> None:
    """Say which jobs will run: number, rule and window ("" for none) of each."""
    _write({"event": "plan", "jobs": [list(job) for job in jobs]})


def feed_from(logger: logging.Logger) -> None:
    """Pass on what Snakemake's logger says of jobs, where somebody reads the feed; once for each logger."""
    if is_read() and not any(isinstance(h, _Forward) for h in logger.handlers):
        logger.addHandler(_Forward())


def is_read() -> bool:
    """Whether somebody reads the feed of this process."""
    return _DESCRIPTOR.isdecimal()


class _Forward(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        event = str(getattr(record, "event", "") or "")
        fields = vars(record)
        if event == "job_info":
            logs = [str(path) for path in fields.get("log") or ()]
            _write({"event": event, "job": fields["jobid"], "log": next(iter(logs), "")})
        elif event == "job_started":
            _write({"event": event, "jobs": list(fields["jobs"])})
        elif event == "job_finished":
            _write({"event": event, "job": fields["job_id"]})
        elif event == "job_error":
            _write({"event": event, "job": fields["jobid"]})


def _write(line: dict[str, Any]) -> bool:
    """Whether the line went out; nobody may read any more, which is no reason to end a run."""
    if not is_read():
        return False
    try:
        os.write(int(_DESCRIPTOR), json.dumps(line).encode() + b"\n")
    except OSError:
        return False
    return True
