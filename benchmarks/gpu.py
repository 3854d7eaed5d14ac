"""Seconds, memory and energy of trainings and hunts on a card, beside one core of the same machine.

    benchmarks/gpu.sh                     (which also runs the tests; this alone: python benchmarks/gpu.py OUT.json --size full)

Every measurement prints a line and is written into OUT.json at once, so that a run that is cut off keeps what it has. On a card whole
trainings are timed, after a short one that loads its kernels. On one core, and for flows on the card, the difference of a longer and a
shorter training on the same few events is scaled to all steps (`"scaled": true`): a step costs the same wherever its events come from.
Nothing here changes what a hunt computes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

import cathode
from cathode import numerics
from cathode.classifier.network import fit_networks
from cathode.classifier.settings import NetworkSettings
from cathode.density.flows import FlowDensity
from cathode.density.histogram import HistogramDensity
from cathode.density.settings import FlowSettings, HistogramSettings, SplineSettings
from cathode.numerics import resolve_device

MODELS: dict[str, tuple[Any, Any]] = {
    "histogram": (HistogramDensity, HistogramSettings()),
    "spline": (FlowDensity, SplineSettings()),
    "maf": (FlowDensity, FlowSettings()),
}


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is measured."""

    events: tuple[int, ...]
    members: tuple[int, ...]
    epochs: int
    window: int
    dry_run: bool
    needs: float


SIZES = {
    "full": Size((100_000, 1_000_000), (1, 4, 20, 80), 4, 1_000_000, False, 30),
    "small": Size((1_500,), (1, 4), 2, 5_000, True, 0),
}


class Measured:
    """The results, written after every entry, until the time is over."""

    def __init__(self, out: Path, seconds: float) -> None:
        self.out, self._end = out, time.monotonic() + seconds
        self.found: dict[str, Any] = {}
        self.failed: list[str] = []

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._end - time.monotonic()

    def __call__(self, key: str, make: Callable[[], Any], *, needs: float = 0.0) -> Any:
        """Measure and write one entry; say so where it fails, or where fewer than `needs` seconds are left."""
        begin = time.monotonic()
        if self.left < needs:
            self._put(key, {"skipped": f"{self.left:.0f} s left"})
            return None
        try:
            value = make()
        except Exception as error:
            self.failed.append(key)
            traceback.print_exc()
            value = {"failed": f"{type(error).__name__}: {error}"[:500]}
        self._put(key, value)
        sys.stdout.write(f"{time.monotonic() - begin:6.1f} s  {key}  {json.dumps(value)[:150]}\n")
        sys.stdout.flush()
        return value

    def _put(self, key: str, value: Any) -> None:
        self.found[key] = value
        whole = self.out.with_name(self.out.name + ".part")
        whole.write_text(json.dumps(self.found, indent=1) + "\n")
        whole.replace(self.out)


def machine(device: str) -> dict[str, Any]:
    """The card, the processor and the versions."""
    found: dict[str, Any] = {
        "device": device,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cpu": next(
            (line.partition(": ")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
        ),
    }
    if device == "cuda":
        p = torch.cuda.get_device_properties(0)
        found |= {"card": p.name, "memory_gb": p.total_memory / 1e9, "cuda": torch.version.cuda}
        found["driver"] = _smi("driver_version")
    return found


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _smi(field: str) -> str | None:
    # by its UUID: indices of nvidia-smi know no CUDA_VISIBLE_DEVICES
    uuid = getattr(torch.cuda.get_device_properties(0), "uuid", None)
    card = f"GPU-{uuid}" if uuid else "0"
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits", f"--id={card}"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


@contextmanager
def watched(device: str) -> Iterator[dict[str, Any]]:
    """Wall and CPU seconds, peak memory of the card and its mean power (W) of a block; the dictionary fills when the block ends."""
    found: dict[str, Any] = {}
    powers: list[float] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.5):
            try:
                powers.append(float(_smi("power.draw") or ""))
            except ValueError:
                return

    thread = threading.Thread(target=sample, daemon=True)
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        thread.start()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield found
        if device == "cuda":
            torch.cuda.synchronize()
            found["card_mb"] = round(torch.cuda.max_memory_allocated() / 1e6, 1)
        found |= {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    finally:
        stop.set()
        if device == "cuda":
            thread.join()
    if powers:
        found["power_w"] = float(np.mean(powers))
        found["energy_kj"] = found["power_w"] * found["wall_s"] / 1e3


def events(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Features `(n, 5)` that follow the mass a little, and masses."""
    rng = np.random.default_rng(seed)
    m = 2000 + rng.exponential(600, n).clip(max=5900)
    x = rng.normal(size=(n, 5))
    x[:, 1:] += 0.4 * x[:, :-1]
    return x + 0.3 * np.log(m / 3000)[:, None], m


def steps_of(settings: Any, n: int) -> int:
    """Optimiser steps of a training on `n` events."""
    if isinstance(settings, HistogramSettings):
        per_epoch = max(1, n // settings.batch)
        return max(settings.epochs, -(-settings.steps // per_epoch)) * per_epoch
    return settings.epochs * max(1, int((1 - settings.validation) * n) // settings.batch)


def weights(members: int, n: int) -> np.ndarray:
    """Poisson(1) weights, as small integers like those of a hunt."""
    return np.random.default_rng(2).poisson(1.0, (members, n)).astype(np.uint8)


def trained(model: str, n: int, members: int, device: str) -> dict[str, Any]:
    """Seconds of one whole training."""
    cls, settings = MODELS[model]
    x, m = events(n)
    with watched(device) as found:
        cls.fit(x, m, settings=settings, weights=weights(members, n), seeds=list(range(members)), device=device)
    return found | {"seconds": found["wall_s"], "steps": steps_of(settings, n), "scaled": False}


def scaled(model: str, n: int, members: int, device: str, epochs: int) -> dict[str, Any]:
    """Seconds of a training on `n` events, from `epochs` epochs of ten steps."""
    cls, settings = MODELS[model]
    size = int(10 * settings.batch / (1 - getattr(settings, "validation", 0.0))) + 2
    x, m = events(size)
    walls = []
    for used in (1, 1, 1 + epochs):  # the first for what only a first training does
        short = {"epochs": used} | ({"steps": 0} if model == "histogram" else {})
        used_settings = dataclasses.replace(settings, **short)
        with watched(device) as found:
            cls.fit(
                x, m, settings=used_settings, weights=weights(members, size), seeds=list(range(members)), device=device
            )
        walls.append(found["wall_s"])
    steps = steps_of(settings, n)
    return found | {"seconds": _longer(walls) / (10 * epochs) * steps, "steps": steps, "scaled": True}


def _longer(walls: list[float]) -> float:
    """Seconds that the longer training took more. Raises RuntimeError where that is lost in noise."""
    if walls[-1] <= walls[-2]:
        raise RuntimeError(f"too short to be timed: {walls}")
    return walls[-1] - walls[-2]


def compared(there: Callable[[], dict[str, Any]], core: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured there, with the seconds of one core beside it."""
    found = there()
    try:
        one_core = core()["seconds"]
    except RuntimeError as error:  # too short: what the card took is worth keeping
        return found | {"one_core": str(error)}
    return found | {"one_core_s": one_core, "faster": one_core / found["seconds"]}


def densities(note: Measured, size: Size, device: str, models: tuple[str, ...], numbers: tuple[int, ...]) -> None:
    """Models by numbers of members and events, on the card and on one core."""
    for model in models:
        whole = model == "histogram"
        for members in numbers:
            for n in size.events:

                def there(
                    model: str = model, n: int = n, members: int = members, whole: bool = whole
                ) -> dict[str, Any]:
                    return (
                        trained(model, n, members, device) if whole else scaled(model, n, members, device, size.epochs)
                    )

                def core(model: str = model, n: int = n, members: int = members) -> dict[str, Any]:
                    return scaled(model, n, members, "cpu", size.epochs)

                note(f"{model}, {members} members, {n} events", partial(compared, there, core), needs=size.needs)


def graphs(size: Size, device: str) -> dict[str, Any]:
    """The default ensemble's training with and without CUDA graphs, on the same events. Raises RuntimeError where none was captured."""
    found: dict[str, Any] = {}
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    numerics.log.addHandler(handler)
    for on in (False, True):
        numerics.GRAPHS = on
        try:
            found["with" if on else "without"] = trained("histogram", size.events[0], 20, device)["seconds"]
        finally:
            numerics.GRAPHS = False
    numerics.log.removeHandler(handler)
    if said:
        raise RuntimeError(f"{found}, but {said[0]}")
    return found | {"faster": found["without"] / found["with"]}


def evaluated(n: int, device: str) -> dict[str, Any]:
    """Encoding and decoding of n events by one member, seconds there and on one core."""
    x, m = events(n)
    d = HistogramDensity.fit(x[:20000], m[:20000], settings=HistogramSettings(epochs=1, steps=50))
    found: dict[str, Any] = {}
    for where, rows in ((device, n), ("cpu", min(n, 50_000))):
        on = d.on(where)
        on.decode(on.encode(x[: 1 << 17], m[: 1 << 17]), m[: 1 << 17])  # kernels and memory are ready then
        with watched(where) as took:
            on.decode(on.encode(x[:rows], m[:rows]), m[:rows])
        found["one_core_s" if where == "cpu" else "seconds"] = took["wall_s"] * n / rows
    found.setdefault("seconds", found["one_core_s"])
    return found | {"events": n, "faster": found["one_core_s"] / found["seconds"]}


def network(n: int, members: int, device: str, epochs: int) -> dict[str, Any]:
    """Seconds of the network classifier's training, scaled from `epochs` epochs more than one."""
    x, _ = events(n)
    y = (np.arange(n) % 2).astype(float)
    walls = []
    epochs = max(epochs, 100_000 // n)  # an epoch of a few thousand events is over in milliseconds
    for used in (1, 1, 1 + epochs):
        settings = dataclasses.replace(NetworkSettings(), epochs=used)
        with watched(device) as found:
            fit_networks(settings, x + 0.1 * y[:, None], y, np.ones(n), list(range(members)), device=device)
        walls.append(found["wall_s"])
    return found | {"seconds": _longer(walls) / epochs * NetworkSettings().epochs, "scaled": True}


def networks(note: Measured, size: Size, device: str) -> None:
    """The network classifier there and on one core, where an epoch of fewer events is scaled by their number."""
    n = size.events[0]
    few = min(n, 10_000)
    for members in dict.fromkeys((size.members[0], size.members[-2])):

        def there(members: int = members) -> dict[str, Any]:
            return network(n, members, device, size.epochs)

        def core(members: int = members) -> dict[str, Any]:
            return {"seconds": network(few, members, "cpu", 1)["seconds"] * n / few}

        note(f"network, {members} members, {n} events", partial(compared, there, core), needs=size.needs)


def peak(device: str) -> dict[str, Any]:
    """What the card reaches: single-precision products of large matrices, and copies; and the share of both that the training loop does."""
    k = 8192 if device == "cuda" else 512
    a = torch.randn(k, k, device=device)
    b = torch.empty_like(a)

    def seconds(work: Callable[[], Any], repeats: int) -> float:
        work()
        with watched(device) as took:
            for _ in range(repeats):
                work()
        return float(took["wall_s"]) / repeats

    flops = 2 * k**3 / seconds(lambda: torch.mm(a, a, out=b), 5)
    bytes_s = 8 * k * k / seconds(lambda: b.copy_(a), 20)
    s, d, members = HistogramSettings(), 5, 20
    per_event = d * s.hidden + s.hidden**2 + s.hidden * s.harmonics + s.harmonics * s.bins
    took = scaled("histogram", 60_000, members, device, 20 if device == "cuda" else 1)
    step = took["seconds"] / took["steps"]
    work = 3 * 2 * members * d * s.batch * per_event  # forward, and twice as much backward
    activations = 4 * members * d * s.batch * (2 * 2 * s.hidden + s.harmonics + 3 * s.bins) * 3
    return {
        "matmul_flop_s": flops, "copy_byte_s": bytes_s, "step_s": step, "share_of_flops": work / step / flops,
        "share_of_bytes": activations / step / bytes_s,
    }  # fmt: skip


def profiled(device: str) -> list[dict[str, Any]]:
    """Where a training's time goes: the operations that take most, of 50 steps."""
    from torch.profiler import ProfilerActivity, profile

    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    with profile(activities=kinds) as found:
        scaled("histogram", 60_000, 20, device, 5 if device == "cuda" else 1)
    rows = [
        {"name": e.key, "calls": e.count, "cpu_ms": e.self_cpu_time_total / 1e3, "card_ms": getattr(e, "self_device_time_total", 0) / 1e3}
        for e in found.key_averages()
    ]  # fmt: skip
    return sorted(rows, key=lambda r: -(r["card_ms"] or r["cpu_ms"]))[:15]


def window(n: int, device: str, cores: int) -> dict[str, Any]:
    """One window of n events, closure and all: `cathode.hunt`."""
    x, m = events(n)
    table = pd.DataFrame(x, columns=list("abcde")).assign(m=m)
    keys: dict[str, Any] = {"mass": "m", "features": list("abcde"), "window": (3300, 3700), "range": (2050, 6000), "progress": False}  # fmt: skip
    if n < 100_000:
        keys |= {
            "background": cathode.DensitySettings(bootstraps=2, seeds=2),
            "closure": cathode.ClosureSettings(windows=4),
            "classifier": cathode.ClassifierSettings(folds=2, members=4, splits=1),
            "working_points": (0.1,),
        }
    with watched(device) as found:
        hunt = cathode.hunt(table, device=device, cores=cores, **keys)
    return {k: v for k, v in found.items() if k not in ("card_mb", "cpu_s")} | {
        "z": hunt.z,
        "events": n,
        "cores": cores,
    }


def whole_hunt(device: str, cores: int, *, dry_run: bool, seconds: float) -> dict[str, Any]:
    """The default hunt by the workflow, from nothing to the report; with `dry_run` only planned."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "hunt.yaml"
        config.write_text(yaml.safe_dump({"device": device}))
        command = [sys.executable, "-m", "cathode", "hunt", "hunt.yaml", "--cores", str(cores)]
        command += ["--dry-run"] if dry_run else []
        with watched(device) as found:
            said, code = _in_time(command, folder, seconds)
        if code:
            raise RuntimeError(said[-600:])
        if dry_run:
            return {"wall_s": found["wall_s"], "dry_run": True}
        (summary,) = Path(folder).glob("results/*/summary.json")
        tree = json.loads(summary.read_text())
    best = max((h["z_local"] for h in tree["hunts"] if h["method"] in ("cathode", "cwola")), default=None)
    return {"wall_s": found["wall_s"], "power_w": found.get("power_w"), "energy_kj": found.get("energy_kj"), "cores": cores, "z": best}  # fmt: skip


def _in_time(command: list[str], folder: str, seconds: float) -> tuple[str, int]:
    """What a command and its children said, and its exit code. Raises TimeoutError after so many seconds, and ends them all."""
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            return process.communicate(timeout=max(1.0, seconds))[0], process.returncode
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            raise TimeoutError(f"not done after {seconds:.0f} s") from error


def main() -> int:
    """Measure all that fits into the time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--seconds", type=float, default=460)
    parser.add_argument("--cores", type=int, default=16)
    parser.add_argument("--tests", type=Path, help="what the tests printed")
    parser.add_argument("--tests-rc", type=int)
    a = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(1)
    size, device = SIZES[a.size], resolve_device("auto")
    note = Measured(a.out, a.seconds)
    note("machine", lambda: machine(device))
    if a.tests:
        last = next((line for line in reversed(a.tests.read_text().splitlines()) if line.strip()), "")
        note("tests", lambda: {"exit_code": a.tests_rc, "said": last.strip("= ")})
    cores = min(a.cores, len(os.sched_getaffinity(0)))
    if device == "cuda":
        scaled("histogram", 2_000, 1, device, 2)  # loads the kernels
    note("peak", lambda: peak(device))
    few = tuple(n for n in size.members if n in (1, 20)) or size.members
    densities(note, size, device, ("histogram",), few)
    note("evaluate", lambda: evaluated(size.window, device))
    note("graphs", lambda: graphs(size, device) if device == "cuda" else {"skipped": "no card"}, needs=30)
    note("one window", lambda: window(size.window, device, cores), needs=5 * size.needs)
    for where, used in (("card", device), ("no card", "cpu")):
        note(
            f"whole hunt, {where}",
            partial(whole_hunt, used, cores, dry_run=size.dry_run, seconds=note.left - size.needs),
            needs=2 * size.needs,
        )
    densities(note, size, device, ("spline", "maf"), size.members[:2])
    networks(note, size, device)
    densities(note, size, device, ("histogram",), tuple(n for n in size.members if n not in few))
    note("profile", lambda: profiled(device), needs=10)
    sys.stdout.write(
        f"{a.out}: {len(note.found)} entries" + (f", failed: {', '.join(note.failed)}" if note.failed else "") + "\n"
    )
    return 1 if note.failed else 0


if __name__ == "__main__":
    sys.exit(main())
