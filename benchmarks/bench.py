"""What a hunt costs, piece by piece: prices as ratios of one run, contestants taking turns, quality beside every price.

python benchmarks/bench.py OUT.json [--repeats 5] [--hunts 1 5 ...] [--only classifiers densities hunts]

On the bundled sample and one thread. **Classifiers** learn signal-region events (a signal of 1.5 %) from transported sideband events, four members at equal events;
quality: signal efficiency over the square root of the background's at 0.01 and 0.001, of spare signal and of reference events that trained nothing. **Densities** train one member on the sidebands; epochs of
long recipes are scaled. Quality: closure AUC of the hunt's classifier between what they make and true background (0.5 is perfect). **Hunts** are whole commands of
so many overlapping windows with two methods, on all cores: wall and CPU seconds, jobs, what the engine adds, and the memory of the largest job. The floor of what trains by gradient is
its arithmetic at the speed that a large matrix product reaches in the same run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import torch
from density_models import CLASSES, closure_auc
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from cathode.classifier.network import fit_networks
from cathode.classifier.settings import NetworkSettings, TreeSettings
from cathode.classifier.trees import fit_trees
from cathode.config import load_config
from cathode.density.ensemble import DensityEnsemble
from cathode.density.histogram import HistogramDensity
from cathode.density.settings import FlowSettings, HistogramSettings, LocationSettings, SplineSettings
from cathode.events import Role
from cathode.intake.prepare import prepare_events
from cathode.spectrum.sideband_model import MassModel
from cathode.template.make import transport_template
from cathode.template.settings import TemplateSettings

Array = NDArray[np.float64]
Predict = Callable[[Array], Any]
MEMBERS, SEEDS = 4, [1, 2, 3, 4]
SCAN = {"first": 3100.0, "step": 100.0, "width": 400.0}


class Sample:
    """The bundled events, split once."""

    def __init__(self) -> None:
        config = load_config({})
        self.window = config.regions["m3500"]
        prepared = prepare_events(config.data, config.injection, config.mass_range, seed=1)
        self.events, self.label = prepared.events, prepared.labels.label
        self.spare = prepared.spare[self.window.in_signal(prepared.spare.mass)].features
        self.inside = self.window.in_signal(self.events.mass)
        self.side = self.window.in_sideband(self.events.mass)
        self.truth = self.events.features[self.inside & (self.label == 0)]

    def made_by(self, density: Any) -> tuple[Array, Array]:
        """Training events of a density's template, and those of other recorded events that measure cuts."""
        ensemble = DensityEnsemble("", density, 1, 1, MassModel.fit(self.events.mass, self.window))
        made = transport_template(ensemble, self.events, self.window, TemplateSettings(guard=0.0), seed=2)
        trains = made.role == Role.TRAIN
        return made.features[trains], made.features[~trains]


def in_turn(contestants: dict[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Median CPU seconds of each and what its last run gave; runs take turns, so that a busy moment meets all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    given: dict[str, Any] = {}
    for k in range(repeats):
        for name, run in contestants.items():
            start = time.process_time()
            given[name] = run()
            seconds[name].append(time.process_time() - start)
            sys.stderr.write(f"{k + 1} of {repeats}, {name}: {seconds[name][-1]:.2f} CPU-s\n")
    return {name: statistics.median(values) for name, values in seconds.items()}, given


def peak_flops() -> float:
    """Operations per second of a product of large matrices, single precision, one thread."""
    a = torch.randn(1024, 1024)
    start, times = time.process_time(), 20
    for _ in range(times):
        a @ a
    return times * 2 * 1024**3 / (time.process_time() - start)


def classifiers(sample: Sample, repeats: int) -> dict[str, Any]:
    """Boosted trees, scikit-learn's at equal work, the network, and the same without its encoding."""
    x, m = sample.events.features[sample.side], sample.events.mass[sample.side]
    density = HistogramDensity.fit(x, m, settings=HistogramSettings(), seeds=[1])
    against, held = sample.made_by(density)
    data = sample.events.features[sample.inside]
    x = np.concatenate([data, against])
    y = np.repeat([1.0, 0.0], [len(data), len(against)])
    weight = np.where(y == 1, 1.0, len(data) / len(against))
    t = TreeSettings()

    def scikit() -> list[Predict]:
        return [
            HistGradientBoostingClassifier(
                max_iter=t.trees, max_leaf_nodes=t.leaves, learning_rate=t.learning_rate, min_samples_leaf=t.min_leaf,
                max_bins=t.max_bin, early_stopping=False, random_state=seed,
            )
            .fit(x, y, sample_weight=weight)
            .decision_function
            for seed in SEEDS
        ]  # fmt: skip

    def network(settings: NetworkSettings) -> list[Predict]:
        return [member.predict for member in fit_networks(settings, x, y, weight, SEEDS)]

    default = NetworkSettings()
    plain = replace(default, bins=1, epochs=30, batch=512, learning_rate=1e-3)
    seconds, given = in_turn(
        {
            "boosted trees (default)": lambda: [m.predict for m in fit_trees(t, x, y, weight, SEEDS)],
            "scikit-learn, equal work": scikit,
            "network": lambda: network(default),
            "network on plain features, 30 epochs": lambda: network(plain),
        },
        repeats,
    )
    flops = peak_flops()
    out: dict[str, Any] = {}
    for name, members in given.items():
        background, signal = (sum(np.asarray(m(z), dtype=float) for m in members) for z in (held, sample.spare))
        sic = {eps: float((signal >= np.quantile(background, 1 - eps)).mean() / np.sqrt(eps)) for eps in (0.01, 0.001)}
        error = {eps: float(v * np.sqrt(1 / (len(held) * eps))) for eps, v in sic.items()}
        out[name] = {"cpu_s": seconds[name], "sic": {f"{e:g}": [sic[e], error[e]] for e in sic}}
    for name, s in (("network", default), ("network on plain features, 30 epochs", plain)):
        sizes = [x.shape[1] * s.bins, *[s.hidden] * s.layers, 1]
        weights = sum(a * b for a, b in itertools.pairwise(sizes))
        out[name]["floor_s"] = 6 * weights * len(x) * s.epochs * MEMBERS / flops
    return out


def densities(sample: Sample, repeats: int) -> dict[str, Any]:
    """One member of each on the sidebands; flows train an epoch, which is scaled to their recipe."""
    x, m = sample.events.features[sample.side], sample.events.mass[sample.side]
    maf = replace(FlowSettings(), keep_epochs=1)
    scheduled = replace(maf, epochs=8, batch=1024, learning_rate=2e-3, schedule="one_cycle")
    recipes: dict[str, tuple[Any, int]] = {
        "histogram (default)": (HistogramSettings(), 1),
        "location and scale": (LocationSettings(), 1),
        "spline": (SplineSettings(), SplineSettings().epochs),
        "MAF, well scheduled": (scheduled, scheduled.epochs),
        "MAF, published": (maf, FlowSettings().epochs),
    }
    rng = np.random.default_rng(1)
    few = rng.permutation(len(x))[: len(x) // 8]  # of an epoch of a flow

    def train(settings: Any, whole: bool) -> Any:
        cls: Any = CLASSES[type(settings)]
        if whole:
            return cls.fit(x, m, settings=settings, seeds=[1])
        return cls.fit(x[few], m[few], settings=replace(settings, epochs=1), seeds=[1])

    contestants = {n: (lambda s=s, k=k: train(s, k == 1)) for n, (s, k) in recipes.items()}
    seconds, given = in_turn(contestants, repeats)
    out: dict[str, Any] = {}
    for name, (_, epochs) in recipes.items():
        whole = epochs == 1
        out[name] = {"cpu_s": seconds[name] * (1 if whole else len(x) / len(few) * epochs), "scaled": not whole}
        if whole:
            made, _ = sample.made_by(given[name])
            out[name]["auc"] = closure_auc(sample.truth, made[: 3 * len(sample.truth)])
    return out


def hunts(numbers: list[int]) -> dict[str, Any]:
    """Whole commands, of so many windows."""
    out = {}
    for n in numbers:
        with tempfile.TemporaryDirectory() as folder:
            config = {"run": "bench", "windows": {"scan": SCAN | {"last": SCAN["first"] + (n - 1) * SCAN["step"]}}}
            if n == 1:
                config["windows"] = {"signal_regions": [[3300, 3700]]}
            (Path(folder) / "bench.yaml").write_text(json.dumps(config))
            start, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-P", "-m", "cathode", "hunt", "bench.yaml"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            wall, now = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime  # of all jobs, and of the engine
            timing = json.loads((Path(folder) / "results" / "bench" / "summary.json").read_text())["timing"]
        out[str(n)] = {
            "wall_s": wall,
            "cores": os.cpu_count(),
            "cpu_s": cpu,
            **{k: timing[k] for k in ("jobs", "max_rss_mb")},
            "busy": cpu / wall / (os.cpu_count() or 1),
        }
        sys.stderr.write(f"{n} windows: {json.dumps(out[str(n)])}\n")
    return out


def main() -> None:
    """Measure what is wanted, and write it after every group."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each contestant (default: 5)")
    parser.add_argument("--hunts", type=int, nargs="*", default=[1, 5], help="windows of whole hunts (default: 1 5)")
    parser.add_argument(
        "--only", nargs="*", default=["classifiers", "densities", "hunts"], help="groups (default: all)"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = json.loads(args.out.read_text()) if args.out.exists() else {}
    sample = Sample()
    groups: dict[str, Callable[[], Any]] = {
        "classifiers": lambda: classifiers(sample, args.repeats),
        "densities": lambda: densities(sample, args.repeats),
        "hunts": lambda: hunts(args.hunts),
    }
    for group in args.only:
        found[group] = groups[group]()
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
