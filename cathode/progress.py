"""Where long work says how far it is: the log, unless the caller wants to be told."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

log = logging.getLogger("cathode")

Report = Callable[..., None]
Listener = Callable[[str, int, int], None]

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def told_to(listener: Listener) -> Iterator[None]:
    """Send progress (what, done, total) to `listener` instead of the log, inside the `with` block."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def reporter(what: str) -> Report:
    """A callback (done, total, loss) for the progress of `what`."""
    start = time.monotonic()

    def report(done: int, total: int, value: float | None = None) -> None:
        listener = _LISTENER.get()
        if listener is not None:
            listener(what, done, total)
            return
        loss = "" if value is None else f", loss {value:.4f}"
        log.info("%s: %d of %d%s, %.0f s", what, done, total, loss, time.monotonic() - start)

    return report
