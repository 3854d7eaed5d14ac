"""Pieces of work in as many processes as wanted, with a bar: for hunts in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cathode.density.registry import use_density
from cathode.progress import told_to

if TYPE_CHECKING:
    from cathode.density.registry import Density


def run_tasks(
    tasks: Sequence[tuple[str, Callable[[], Any]]],
    *,
    what: str,
    density: type[Density] | None,
    cores: int | None,
    progress: bool = True,
) -> list[Any]:
    """Results of all tasks, each with its name, in their order, whatever order they end in.

    `what` names the bar; `density` is a class of the user's own, which other processes are told of; `cores` None takes all, 1 stays in this process.
    """
    from joblib import Parallel, cpu_count, delayed
    from tqdm.auto import tqdm

    results: list[Any] = [None] * len(tasks)
    with tqdm(total=len(tasks), desc=what, unit="part", disable=None if progress else True) as bar:
        if cores == 1:
            for i, (name, task) in enumerate(tasks):
                bar.set_description(name)
                with told_to(lambda part, done, total: bar.set_postfix_str(f"{part} {done}/{total}")):
                    results[i] = task()
                bar.update()
            return results
        jobs = (delayed(_in_worker)(i, task, density) for i, (_, task) in enumerate(tasks))
        for i, result in Parallel(n_jobs=min(cores or cpu_count(), len(tasks)), return_as="generator_unordered")(jobs):
            results[i] = result
            bar.update()
    return results


def _in_worker(i: int, task: Callable[[], Any], density: type[Density] | None) -> tuple[int, Any]:
    if density is not None:
        use_density(density)
    return i, task()
