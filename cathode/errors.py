"""Everything that cathode raises on purpose. The command line turns these into one line and exit code 2."""

import difflib
import errno
from collections.abc import Iterable


class CathodeError(Exception):
    """A problem that the user can mend: the message says what was found, what was expected, and where, in one line.

    Names of others may stand in it, so what would steer a terminal is written out.
    """

    def __init__(self, message: str) -> None:
        line = " ".join(message.splitlines())
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in line))


class ConfigError(CathodeError):
    """A configuration key is unknown, has the wrong type, or contradicts another."""


class DataError(CathodeError):
    """A data file, column or row is not usable."""


class ArtefactError(CathodeError):
    """An intermediate file is of the wrong kind, another version, or damaged."""


class FitError(CathodeError):
    """A fit or a training did not reach a usable result."""


def reason(error: Exception) -> str:
    """First line of what a library said of a file that it could not read; a damaged one may also ask for absurd memory."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{said} (out of memory: ask for more, unless it is damaged)" if is_out_of_memory(error) else said


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says, in whatever words, that memory is not enough.

    Python's own, torch's, the linker's where a library cannot be mapped, Arrow's where a thread cannot start, and the
    interpreter's where it had no room left for the error.
    """
    words = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, SystemError) and "without exception set" in words)
        or (isinstance(error, (RuntimeError, ImportError)) and ("memory" in words or "failed to map segment" in words))
        or "failed to launch worker thread" in words
    )


def nearest(name: object, known: Iterable[object]) -> str:
    """Words for the known name nearest to a misspelt one; empty where none is near."""
    near = difflib.get_close_matches(str(name), [str(k) for k in known], n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def shown(text: str) -> str:
    """A text of somebody else's in a message: quoted, its control characters escaped, and not longer than 80 characters."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
