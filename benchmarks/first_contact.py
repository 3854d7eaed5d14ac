"""How long `cathode init` looks at 10^5 rows, and how long a report takes for one and for twenty windows, and how large it is.

python benchmarks/first_contact.py RUN [--out FILE.json]

RUN is a finished run with one window (`cathode demo`); twenty windows times four methods are made of its numbers.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from cathode import io
from cathode.artefacts import FigureNumbers
from cathode.config import load_config
from cathode.report.page import report
from cathode.summary import Summary


def time_init(rows: int, columns: int) -> float:
    """Seconds of the command, start of Python included, on a table of normal features."""
    r = np.random.default_rng(1)
    mass = 1100 + r.exponential(400, 2 * rows)
    with tempfile.TemporaryDirectory() as folder:
        features = {f"f{i}": r.normal(size=rows) for i in range(columns)}
        np.savez(Path(folder) / "t.npz", mass=mass[mass < 6000][:rows], **features)
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-P", "-m", "cathode", "init", "t.npz", "--yes"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        return time.perf_counter() - start


def time_report(summary: Summary, numbers: list[FigureNumbers]) -> tuple[float, float]:
    """Seconds to build the page, and its megabytes."""
    config = load_config(summary.config)
    start = time.perf_counter()
    page = report(summary, numbers, config=config)
    return time.perf_counter() - start, len(page.text.encode()) / 1e6


def many(summary: Summary, numbers: list[FigureNumbers], n: int) -> tuple[Summary, list[FigureNumbers]]:
    """The same for `n` windows and twice the methods, from the numbers of one."""
    hunts, copies = [], []
    for k in range(n):
        for method, source in (
            ("cathode", "cathode"),
            ("cwola", "cwola"),
            ("idealised", "cathode"),
            ("supervised", "cwola"),
        ):
            own = [h for h in summary.hunts if h.method == source]
            hunts += [
                dataclasses.replace(h, window=f"m{k}", method=method, signal_region=(3000.0 + 50 * k, 3400.0 + 50 * k))
                for h in own
            ]
            for number in numbers:
                if f"_{source}_" in number.name:
                    text = number.text.replace(f'"{source}"', f'"{method}"').replace("m3500", f"m{k}")
                    copies.append(FigureNumbers(number.name.replace("m3500", f"m{k}").replace(source, method), text))
        copies += [
            FigureNumbers(x.name.replace("m3500", f"m{k}"), x.text.replace("m3500", f"m{k}"))
            for x in numbers
            if x.name.startswith("m3500") and "_cathode_" not in x.name and "_cwola_" not in x.name
        ]
    copies += [x for x in numbers if not x.name.startswith("m3500")]
    inclusive = tuple(dataclasses.replace(summary.inclusive[0], window=f"m{k}") for k in range(n))
    return dataclasses.replace(summary, hunts=tuple(hunts), inclusive=inclusive, trials=len(hunts)), copies


def main(run: Path, out: str | None) -> None:
    """Measure, print, and write what was asked for."""
    summary: Any = io.read(run / "summary.json", Summary)
    numbers = [FigureNumbers(p.stem, p.read_text(encoding="utf-8")) for p in sorted((run / "plots").glob("*.json"))]
    time_report(summary, numbers)  # fonts and libraries are loaded once
    one, size_one = time_report(summary, numbers)
    twenty, size_twenty = time_report(*many(summary, numbers, 20))
    found = {
        "init_s": {"1e5 rows, 4 features": time_init(100_000, 4), "1e5 rows, 20 features": time_init(100_000, 20)},
        "report": {
            "1 window, 2 methods": {"seconds": one, "megabytes": size_one},
            "20 windows, 4 methods": {"seconds": twenty, "megabytes": size_twenty},
        },
    }
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    if out:
        Path(out).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out")
    arguments = parser.parse_args()
    main(arguments.run, arguments.out)
