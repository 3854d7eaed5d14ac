"""Density models on the same data and split: price, closure and sensitivity.

    python benchmarks/density_models.py OUT.json [MODEL ...]

Bundled sample, one training per model on the sidebands (background and 360 injected signal events), its template in the
signal region, transported from all sideband events next to it (`template.guard: 0`). Reported per model:
CPU-seconds of training and of the template; closure AUC of a cross-fitted classifier
between template and true signal-region background (0.5 is perfect; the floor is the same classifier on true background
against an independent half); observed over predicted true background behind the hunt's own k-fold cuts, data without
signal; and the largest significance improvement, data with signal. Results are merged into OUT.json model by model.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Literal

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from cathode.classifier.against_strips import score_against_strips
from cathode.classifier.against_template import score_against_template
from cathode.classifier.folds import Sample, assign_folds, cross_fit
from cathode.classifier.scores import MethodScores
from cathode.classifier.settings import ClassifierSettings
from cathode.config import load_config
from cathode.density.ensemble import DensityEnsemble
from cathode.density.flows import FlowDensity
from cathode.density.histogram import HistogramDensity
from cathode.density.location import LocationScaleDensity
from cathode.density.settings import FlowSettings, HistogramSettings, LocationSettings, SplineSettings
from cathode.events import Events, Role
from cathode.inference.counts import count_passing, efficiency_scores
from cathode.inference.truth import roc
from cathode.intake.prepare import prepare_events
from cathode.spectrum.sideband_model import MassModel
from cathode.template.make import sample_template, transport_template
from cathode.template.settings import TemplateSettings

MODELS: dict[str, tuple[Any, Literal["sidebands", "model"]]] = {
    "histogram, transported (default)": (HistogramSettings(), "sidebands"),
    "histogram, sampled": (HistogramSettings(), "model"),
    "location and scale, transported": (LocationSettings(), "sidebands"),
    "spline, sampled": (SplineSettings(), "model"),
    "spline, transported": (SplineSettings(), "sidebands"),
    "published MAF, sampled": (FlowSettings(), "model"),
    "published MAF, transported": (FlowSettings(), "sidebands"),
}
CLASSES = {
    HistogramSettings: HistogramDensity,
    LocationSettings: LocationScaleDensity,
    FlowSettings: FlowDensity,
    SplineSettings: FlowDensity,
}
WORKING_POINTS = (0.1, 0.01, 0.001)


def report(epoch: int, total: int, loss: float) -> None:
    """Progress on long trainings."""
    sys.stderr.write(f"\r{epoch} of {total}, loss {loss:.4f}  ")


def closure_auc(data: np.ndarray, reference: np.ndarray, seed: int = 5) -> float:
    """Out-of-fold AUC of the hunt's classifier between two samples of equal law."""
    settings = ClassifierSettings()
    a = Sample(data, assign_folds(len(data), 5, seed=seed), np.ones(len(data)))
    b = Sample(reference, assign_folds(len(reference), 5, seed=seed + 1), np.ones(len(reference)))
    scored = np.concatenate([s.mean(axis=1) for s in cross_fit(settings, a, b, [a, b], seed=seed)])
    return float(roc_auc_score(np.repeat([1, 0], [len(data), len(reference)]), scored))


def main(out: str, *wanted: str) -> None:
    """Measure the wanted models (all by default)."""
    torch.set_num_threads(1)
    config = load_config({})
    window = config.regions["m3500"]
    p = prepare_events(config.data, config.injection, config.mass_range, seed=1)
    events, label = p.events, p.labels.label
    sideband, inside = window.in_sideband(events.mass), window.in_signal(events.mass)
    truth = events[inside & (label == 0)]
    half = np.random.default_rng(1).permutation(len(truth)) < len(truth) // 2
    path = Path(out)
    results = json.loads(path.read_text()) if path.exists() else {}
    results["true background, half against half"] = {"auc": closure_auc(truth.features[half], truth.features[~half])}
    fitted: dict[Any, tuple[Any, float]] = {}
    for name in wanted or MODELS:
        settings, base = MODELS[name]
        if settings not in fitted:
            start = time.process_time()
            cls: Any = CLASSES[type(settings)]
            x, m = events.features[sideband], events.mass[sideband]
            density = cls.fit(x, m, settings=settings, seeds=[1], progress=report)
            fitted[settings] = (density, time.process_time() - start)
        density, train = fitted[settings]
        ensemble = DensityEnsemble(name, density, 1, 1, MassModel.fit(events.mass, window))
        n = int(inside.sum())
        start = time.process_time()
        if base == "model":
            template = sample_template(ensemble, events.names, window, n_train=4 * n, n_efficiency=20 * n, seed=2)
        else:
            template = transport_template(ensemble, events, window, TemplateSettings(guard=0.0), seed=2)
        sampling = time.process_time() - start
        against: Any = {"template": template, "spare": p.spare, "seed": 3}
        no_signal = score_against_template(truth, window, ClassifierSettings(), **against)
        hunt = score_against_template(events, window, ClassifierSettings(), **against)
        results[name] = {
            "train_cpu_s": train,
            "template_cpu_s": sampling,
            **({"epochs": settings.epochs} if hasattr(settings, "epochs") else {}),
            "auc": closure_auc(truth.features, template.features[template.role == Role.TRAIN][: 3 * len(truth)]),
            **summary(no_signal, hunt, label[inside]),
        }
        path.write_text(json.dumps(results, indent=1) + "\n")
        sys.stderr.write(f"\n{name}: {json.dumps(results[name])}\n")
    outside = events[~inside]
    background = Events(
        events.names,
        np.concatenate([outside.row, truth.row]),
        np.concatenate([outside.mass, truth.mass]),
        np.concatenate([outside.features, truth.features]),
    )
    no_signal = score_against_strips(background, window, ClassifierSettings(), spare=p.spare, seed=3)
    hunt = score_against_strips(events, window, ClassifierSettings(), spare=p.spare, seed=3)
    results["CWoLa (recorded strips)"] = summary(no_signal, hunt, label[inside])
    path.write_text(json.dumps(results, indent=1) + "\n")


def summary(no_signal: MethodScores, hunt: MethodScores, label: np.ndarray) -> dict[str, object]:
    """Closure behind the cuts without signal, and sensitivity with it."""
    counts = [count_passing(no_signal.splits, eps) for eps in WORKING_POINTS]
    score, _, spare = efficiency_scores(hunt.splits)
    curve = roc(np.concatenate([score[label == 1], spare]), score[label == 0])
    return {
        "observed_over_predicted": {f"{c.eps_bkg:g}": [c.n_obs / c.n_bkg, np.sqrt(c.n_obs) / c.n_bkg] for c in counts},
        "max_sic": curve.max_sic(),
        "sic_0.01": curve.sic(0.01),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
