"""The command line's one error boundary; what can be typed is in `cathode.commands`."""

from __future__ import annotations

import logging
import os
import sys

from cathode.commands.parser import parse
from cathode.errors import CathodeError, is_out_of_memory

log = logging.getLogger("cathode")


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns 0, or 2 after one line on standard error for anything that cathode refuses."""
    shield()
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    log.setLevel(logging.INFO)  # ours; the libraries that write PDFs say hundreds of lines at that level
    memory: int | None = None
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        memory = getattr(arguments, "memory", None)
        if memory:
            from cathode.running.job import limit_memory

            limit_memory(memory)
        return arguments.run(arguments) or 0
    except CathodeError as error:
        print(f"cathode: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        allowed = f"{memory} MB" if memory else "the memory of this machine"
        print(f"cathode: out of memory: expected {allowed} to be enough; ask for more (mem_mb)", file=sys.stderr)
        return 3


def shield() -> None:
    """Keep the user's environment away from numbers and figures: threads, matplotlib's backend and files."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        if not os.environ.get(name, "").isdecimal():  # "2,1" is for nested teams
            os.environ[name] = "1"  # one thread per job: two that spin on a busy machine cost far more than they win
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
