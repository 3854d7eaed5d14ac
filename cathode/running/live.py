"""A run as its user sees it: one block that keeps changing on a terminal, few lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cathode.running.board import Board, Job, duration, share_done

_WINDOWS = 12  # shown at a time
_LINES = 12  # of progress, where it is written to a file or a pipe
_BAR = "▏▎▍▌▋▊▉█"


class Screen:
    """Shows a board; `moved` is called after every change and now and then."""

    def __init__(self, board: Board, console: Console):
        self.board, self.console = board, console
        self._live: Live | None = None
        self._start, self._shown = board.clock(), -1

    @contextmanager
    def open(self) -> Iterator[Screen]:
        """While the run lasts; what is on the screen then stays there."""
        if not self.console.is_terminal:
            yield self
            return
        with Live(self._block(), console=self.console, refresh_per_second=4, transient=True) as self._live:
            yield self

    def moved(self) -> None:
        """Show how the board stands now."""
        for text in self.board.said:
            self.console.print(Text(text), soft_wrap=True)
        self.board.said.clear()
        if self._live:
            self._live.update(self._block())
            return
        done, total = self.board.done, len(self.board.jobs)
        step = done * _LINES // total if total else -1
        if step > self._shown:
            self._shown = step
            running = sorted({job.stage for job in self.board.jobs.values() if job.state == "running"})
            doing = f"   now {', '.join(running)}" if running else ""
            self.console.print(Text(f"{self._clock()}  {done} of {total} jobs{doing}{self._left()}"), soft_wrap=True)

    def _clock(self) -> str:
        return duration(self.board.clock() - self._start)

    def _left(self) -> str:
        left = self.board.seconds_left()
        return "" if left is None or self.board.done == len(self.board.jobs) else f"   about {duration(left)} left"

    def _block(self) -> Table:
        grid = Table.grid(padding=(0, 2))
        windows = self.board.windows
        active = [w for w in windows if any(j.state != "done" for jobs in self.board.stages(w).values() for j in jobs)]
        for window in ["", *active[:_WINDOWS]]:
            stages = self.board.stages(window)
            if stages:
                grid.add_row(Text(window or "run", style="bold"), _stages(stages))
        if (more := len(active) - _WINDOWS) > 0:
            grid.add_row("", Text(f"and {more} more windows", style="dim"))
        total = len(self.board.jobs)
        status = (
            f"{self.board.done} of {total} jobs   {self._clock()}{self._left()}"
            if total
            else f"starting   {self._clock()}"
        )
        grid.add_row("", Text(status, style="dim"))
        return grid


def _stages(stages: dict[str, list[Job]]) -> Text:
    """`density ✔  classifier ▋ 1/2  closure 7/12`."""
    out = Text()
    for stage, jobs in stages.items():
        done = sum(j.state == "done" for j in jobs)
        running = [j for j in jobs if j.state == "running"]
        out.append("  " if out else "")
        if any(j.state == "failed" for j in jobs):
            out.append(f"{stage} ✘", style="bold red")
        elif done == len(jobs):
            out.append(f"{stage} ✔", style="green")
        elif running or done:
            part = (done + sum(map(share_done, running))) / len(jobs)
            out.append(f"{stage} {_bar(part)} {done}/{len(jobs)}", style="bold")
        else:
            out.append(stage, style="dim")
    return out


def _bar(share: float, width: int = 5) -> str:
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_BAR[rest - 1] if rest else "")).ljust(width, "·")
