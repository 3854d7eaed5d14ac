"""Where torch computes, and that it adds up in one order: the same numbers in a notebook, in a job and on any number of cores.

On a card: what it is asked for in words where it cannot be used, batches in more pieces where its memory is not enough, and, where
measured to pay, the steps of a training as one CUDA graph.
"""

from __future__ import annotations

import functools
import logging
import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from cathode.errors import ConfigError, FitError

if TYPE_CHECKING:
    import torch

log = logging.getLogger("cathode")

F = TypeVar("F", bound=Callable[..., Any])

GRAPHS = False  # trainings on a card as CUDA graphs: off until benchmarks/gpu.sh has shown on one that they pay
_FEWEST = 64  # rows at once below which more memory cannot be saved


def one_thread(function: F) -> F:
    """Run `function` with torch on one thread and without operations whose result depends on their order; restored afterwards.

    Sums that threads share round differently with another number of them. Two threads that spin on a busy machine cost more than
    they win, too: cores are shared by jobs. On a card, some operations have no such form: torch names them in a warning.
    """

    @functools.wraps(function)
    def run(*arguments: Any, **keywords: Any) -> Any:
        import torch

        threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
        torch.set_num_threads(1)
        # use_deterministic_algorithms imports the compiler: 1 s and 70 MB
        on_card = keywords.get("device") == "cuda" or torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        if on_card:
            _one_order_of_sums()
        torch.set_deterministic_debug_mode("warn" if on_card else "error")
        try:
            return function(*arguments, **keywords)
        finally:
            torch.set_num_threads(threads)
            torch.set_deterministic_debug_mode(mode)

    return cast(F, run)


class Pieces:
    """Rows that go through a device a piece at a time; half as many from then on where its memory is not enough.

    Attributes:
        rows: in one piece.
    """

    def __init__(self, rows: int, what: str) -> None:
        self.rows, self._what = rows, what

    def run(self, n: int, work: Callable[[slice], None]) -> None:
        """`work` on all of `n` rows, in order. What fails for lack of memory is repeated, so it must change nothing before it ends.

        Raises FitError where even a few rows do not fit.
        """
        start = 0
        while start < n:
            part = slice(start, min(start + self.rows, n))
            try:
                work(part)
                start = part.stop
                continue
            except RuntimeError as error:
                if not is_short_of_memory(error):
                    raise
            self.halve()  # here: the exception holds on to what has to be freed

    def halve(self) -> None:
        """Say that memory is short, and take half as many rows from now on. Raises FitError below a few."""
        import torch

        if self.rows <= _FEWEST:
            raise too_little_memory(self._what, self.rows)
        self.rows //= 2
        log.warning("%s: the GPU's memory is not enough, %d events at once from now on", self._what, self.rows)
        torch.cuda.empty_cache()


def too_little_memory(what: str, rows: int) -> FitError:
    """The error of a card that cannot hold even so many events."""
    return FitError(
        f"{what}: the GPU has too little free memory for {rows} events at once; expected more (`nvidia-smi` shows who uses it), or device: cpu"
    )


class Gradients:
    """Gradients of a loss that is a sum over the events of a batch, into `.grad` of its parameters."""

    def __init__(
        self, loss: Callable[[torch.Tensor], torch.Tensor], params: list[torch.Tensor], batch: int, device: str
    ) -> None:
        """`loss` of events by their indices; `batch` of them at a time, all on `device`."""
        self._loss, self._params = loss, params
        self._pieces = Pieces(batch, "training")
        self._wants_graph = GRAPHS and device == "cuda"
        self._graph: Any = None

    def __call__(self, index: torch.Tensor) -> torch.Tensor:
        """The loss of these events, detached; gradients are replaced."""
        if self._wants_graph:
            self._wants_graph = False
            self._capture(index)
        if self._graph is not None and len(index) == len(self._index):
            self._index.copy_(index)
            self._graph.replay()
            for p, gradient in zip(self._params, self._gradients, strict=True):
                p.grad = gradient  # the graph's own, also after a batch of another size
            return self._found
        return self._eager(index)

    def _eager(self, index: torch.Tensor) -> torch.Tensor:
        while True:
            try:
                return self._summed(index)
            except RuntimeError as error:
                if not is_short_of_memory(error):
                    raise
            self._pieces.halve()

    def _summed(self, index: torch.Tensor) -> torch.Tensor:
        import torch

        for p in self._params:
            p.grad = None
        found = []
        for part in torch.split(index, self._pieces.rows):
            loss = self._loss(part)
            loss.backward()  # type: ignore[no-untyped-call]
            found.append(loss.detach())
        return found[0] if len(found) == 1 else torch.stack(found).sum()

    def _capture(self, index: torch.Tensor) -> None:
        """Record forward and backward pass as a CUDA graph; without one where that fails or finds another loss than a plain pass."""
        import torch

        self._index = index.clone()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                plain = self._eager(self._index)
        torch.cuda.current_stream().wait_stream(side)
        expected = [p.grad.clone() for p in self._params if p.grad is not None]
        graph = torch.cuda.CUDAGraph()
        for p in self._params:
            p.grad = None
        try:
            with torch.cuda.graph(graph):
                self._found = self._summed(self._index)
            graph.replay()
        except RuntimeError as error:
            log.warning("training without CUDA graphs: %s", str(error).partition("\n")[0])
            return
        self._gradients = [p.grad for p in self._params]
        same = torch.allclose(self._found, plain, rtol=1e-4, atol=1e-6) and all(
            g is not None and torch.allclose(g, e, rtol=1e-3, atol=1e-6)
            for g, e in zip(self._gradients, expected, strict=True)
        )
        if same:
            self._graph = graph
        else:
            log.warning("training without CUDA graphs: a replay found loss %s, a plain pass %s", self._found, plain)


def resolve_device(device: str) -> str:
    """`auto` resolved, and `cuda` tried: a card that cannot be used is an error where it was asked for, a warning where one was given.

    Raises ConfigError with what is wrong: no card, a driver too old, a card that this torch was not built for, or one without free memory.
    """
    if device == "cpu":
        return "cpu"
    given = bool(os.environ.get("CUDA_VISIBLE_DEVICES"))
    _one_order_of_sums()
    trouble = _trouble()
    if trouble is None:
        return "cuda"
    if device == "cuda":
        raise ConfigError(f"device: found cuda, but {trouble}; expected device: auto or cpu")
    if given or not trouble.startswith("no GPU"):
        log.warning("running on the CPU: %s", trouble)
    return "cpu"


def _one_order_of_sums() -> None:
    """Let cuBLAS add up in one order, which needs a workspace of its own; it reads this once, before its first product."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def is_short_of_memory(error: RuntimeError) -> bool:
    """Whether an error says that a card's memory is not enough: torch's allocator, the driver and cuBLAS have words of their own."""
    import torch

    words = str(error)
    return (
        isinstance(error, torch.cuda.OutOfMemoryError)
        or "CUDA error: out of memory" in words
        or "ALLOC_FAILED" in words
    )


def _trouble() -> str | None:
    """Why torch cannot compute on a card, None where it can."""
    import torch

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    words = " ".join(str(w.message).partition("\n")[0] for w in said)
    if not available:
        if "driver" in words and "old" in words:
            return f"the NVIDIA driver is too old for this torch ({torch.__version__}): {words}"
        cpu_build = "" if torch.version.cuda else f" (torch {torch.__version__} is built for CPUs)"
        return f"no GPU is visible to torch{cpu_build}{f': {words}' if words else ''}"
    try:
        torch.ones(16, device="cuda").sum().item()
    except RuntimeError as error:
        if is_short_of_memory(error):
            return "its memory is taken, by another process if not by this one (`nvidia-smi` shows by whom)"
        first = str(error).partition("\n")[0]
        if "no kernel image" in first:
            return f"{torch.cuda.get_device_name()} is a card that this torch ({torch.__version__}) was not built for"
        return f"the GPU cannot be used: {first}"
    return None
