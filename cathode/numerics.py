"""Where torch computes, and that it adds up in one order: the same numbers in a notebook, in a job and on any number of cores."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

from cathode.errors import ConfigError

log = logging.getLogger("cathode")

F = TypeVar("F", bound=Callable[..., Any])


def one_thread(function: F) -> F:
    """Run `function` with torch on one thread and without operations whose result depends on their order; restored afterwards.

    Sums that threads share round differently with another number of them. Two threads that spin on a busy machine cost more than
    they win, too: cores are shared by jobs.
    """

    @functools.wraps(function)
    def run(*arguments: Any, **keywords: Any) -> Any:
        import torch

        threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
        torch.set_num_threads(1)
        torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports the compiler: 1 s and 70 MB
        try:
            return function(*arguments, **keywords)
        finally:
            torch.set_num_threads(threads)
            torch.set_deterministic_debug_mode(mode)

    return cast(F, run)


def resolve_device(device: str) -> str:
    """`auto` resolved: a job that was given a GPU which torch does not see runs on the CPU, with a warning; explicit cuda is an error then."""
    import torch

    available = torch.cuda.is_available()
    if device == "auto" and not available and os.environ.get("CUDA_VISIBLE_DEVICES"):
        log.warning("this job was given a GPU, but torch sees none (its CPU build, or no driver?): running on the CPU")
    if device == "cuda" and not available:
        raise ConfigError("device: found cuda, but no GPU is visible to torch; expected device: auto or cpu")
    return "cuda" if available and device != "cpu" else "cpu"
