"""The sidebands as the density makes them: how far they are from the recorded ones, and weights that mend it.

In-sample: the density was fitted to the very events it is compared with. This tests the fit and not the interpolation, which
only the closure test does (`cathode.inference.closure`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cathode.artefacts import artefact
from cathode.classifier.folds import Sample, assign_folds, cross_fit
from cathode.classifier.settings import ClassifierSettings
from cathode.density.ensemble import DensityEnsemble
from cathode.events import Events, Template
from cathode.regions import Window, count_in_bins
from cathode.seeds import derive_seed
from cathode.template.settings import TemplateSettings

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

_WEIGHING = ClassifierSettings(members=4, splits=1)
_CHECKING = ClassifierSettings(
    members=4, splits=1, folds=2
)  # a quarter of the training, and every threshold from half of all events
_MISFIT = 0.1  # recorded over generated less one, from which a density is called wrong
_MOST = 10.0  # weights are cut there: a ratio beyond it is where one of the two has hardly any events


@artefact("sideband_closure", "json")
@dataclass(frozen=True)
class SidebandClosure:
    """Recorded over generated sideband events near one signal region, before and behind cuts of a classifier between the two.

    Attributes:
        window: name.
        edges: (b, 2) mass bins (GeV).
        eps: working points, 1 for no cut.
        recorded: per working point, recorded events per bin.
        generated: likewise, scaled to all recorded events.
        ratio: per working point, of the sums.
        error: of `ratio`, statistical.
    """

    window: str
    edges: tuple[tuple[float, float], ...]
    eps: tuple[float, ...]
    recorded: tuple[tuple[float, ...], ...]
    generated: tuple[tuple[float, ...], ...]
    ratio: tuple[float, ...]
    error: tuple[float, ...]

    @property
    def doubts(self) -> tuple[str, ...]:
        """Where the density fails already on the events that it was trained on, one line each."""
        return tuple(
            f"density: it does not describe its own sidebands: recorded over generated {ratio:.3f} +- {error:.3f} at {eps:g}"
            for eps, ratio, error in zip(self.eps, self.ratio, self.error, strict=True)
            if abs(ratio - 1) > max(_MISFIT, 3 * error)
        )


@dataclass(frozen=True)
class _Compared:
    index: NDArray[np.integer]
    fold: NDArray[np.integer]
    mass: Array
    recorded: Float32
    generated: Float32
    others: Float32


def _compare(
    events: Events,
    window: Window,
    density: DensityEnsemble,
    template: TemplateSettings,
    others: tuple[Array, Array, NDArray[np.integer]] | None,
    *,
    classifier: ClassifierSettings,
    seed: int,
) -> _Compared:
    """Out-of-fold log-odds, recorded against generated, of both and of `others` (features, masses, index of the recorded source).

    Generated events are made as the template is: transported from the mass of one sideband event to that of another, or sampled at
    the recorded masses; each by a random density member. A source and what is made from it share a fold.
    """
    rng = np.random.default_rng(derive_seed(seed, "masses"))
    x, mass, model = events.features, events.mass, density.density
    index = np.flatnonzero(template.near(window, mass))
    own, n = mass[index], len(index)
    to = own[rng.permutation(n)] if template.base == "sidebands" else own
    member, made = rng.integers(0, model.n_members, n), np.empty((n, x.shape[1]))
    for e in range(model.n_members):
        rows = np.flatnonzero(member == e)
        if template.base == "sidebands":
            made[rows] = model.decode(model.encode(x[index[rows]], own[rows], member=e), to[rows], member=e)
        else:
            made[rows] = model.sample(own[rows], member=e, seed=derive_seed(seed, "features", e))
    fold = assign_folds(n, classifier.folds, seed=derive_seed(seed, "folds"))
    recorded = Sample(np.column_stack([x[index], np.log(own)]), fold, np.ones(n))
    generated = Sample(np.column_stack([made, np.log(to)]), fold, np.ones(n))
    targets = [recorded, generated]
    if others:
        place = np.searchsorted(index, others[2])
        own_fold = np.where(others[2] >= 0, fold[np.clip(place, 0, n - 1)], -1)
        targets.append(Sample(np.column_stack([others[0], np.log(others[1])]), own_fold, np.ones(len(own_fold))))
    scored = cross_fit(classifier, recorded, generated, targets, seed=derive_seed(seed, "fit"))
    means = [s.mean(axis=1) for s in scored] + [np.empty(0, dtype=np.float32)]
    return _Compared(index, fold, to, means[0], means[1], means[2])


def reweight_template(
    made: Template,
    events: Events,
    window: Window,
    density: DensityEnsemble,
    settings: TemplateSettings,
    *,
    seed: int,
) -> Template:
    """The template with weights f / (1 - f), f the classifier's probability of recorded against generated sideband events.

    Source: Andreassen, Nachman, arXiv:1907.08209 (DCTR). The classifier knows the mass, so that the ratio learned in the
    sidebands is interpolated, too. What it leaves, or adds, is in the closure test, which runs through the same weights. Weights
    have mean 1 and are cut at 1/10 and 10.
    """
    source = np.full(len(made.row), -1)
    recorded = made.row >= 0
    source[recorded] = events.at(made.row[recorded])
    found = _compare(
        events, window, density, settings, (made.features, made.mass, source), classifier=_WEIGHING, seed=seed
    )
    weight = np.clip(np.exp(found.others.astype(float)), 1 / _MOST, _MOST)
    return replace(made, weight=weight / weight.mean())


def compare_sidebands(
    events: Events,
    density: DensityEnsemble,
    *,
    window: Window,
    working_points: tuple[float, ...] = (0.1, 0.01, 0.001),
    template: TemplateSettings = TemplateSettings(),
    seed: int = 1,
) -> SidebandClosure:
    """Recorded over generated sideband events, inclusive and behind cuts that pass a share eps of the generated ones.

    Thresholds are set per fold by one half of the generated events and measured by the other, and in turn.
    """
    own_seed = derive_seed(seed, "compare_sidebands", window.name)
    found = _compare(events, window, density, template, None, classifier=_CHECKING, seed=own_seed)
    own = events.mass[found.index]
    edges = window.visible_bins(float(own.min()), float(own.max()) * (1 + 1e-9), 4, at_least=2)
    eps_all = (1.0, *sorted(working_points, reverse=True))
    recorded, generated, ratio, error = [], [], [], []
    for eps in eps_all:
        passes, expected, kept = np.zeros(len(own)), np.zeros(len(own)), 0.0
        for f in np.unique(found.fold):
            for half in (0, 1):
                mine = found.fold == f
                setting, measuring = mine & (found.index % 2 == half), mine & (found.index % 2 != half)
                ordered = np.sort(found.generated[setting])
                cut = -np.inf if eps == 1 else ordered[-max(1, round(eps * (len(ordered) + 1)))]
                passes += (mine & (found.recorded >= cut)) / 2
                hit = measuring & (found.generated >= cut)
                expected += hit * (mine.sum() / measuring.sum() / 2)
                kept += float(hit.sum())
        recorded.append(tuple(count_in_bins(own, edges, passes).tolist()))
        generated.append(tuple(count_in_bins(found.mass, edges, expected).tolist()))
        total = max(float(expected.sum()), 1e-9)
        ratio.append(float(passes.sum()) / total)
        error.append(ratio[-1] * float(np.sqrt(1 / max(passes.sum(), 1.0) + 1 / max(kept, 1.0))))
    pairs = tuple((float(a), float(b)) for a, b in edges)
    return SidebandClosure(window.name, pairs, eps_all, tuple(recorded), tuple(generated), tuple(ratio), tuple(error))
