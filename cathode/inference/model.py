"""What a hunt knows, small enough to send: its classifiers and cuts, for events that it never saw."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cathode.artefacts import artefact
from cathode.classifier.kept import FoldClassifier
from cathode.classifier.scores import MethodScores, SplitScores
from cathode.errors import ArtefactError
from cathode.events import Events, Role
from cathode.inference.counts import cuts
from cathode.intake.settings import DataSettings
from cathode.regions import Window, in_interval
from cathode.results import HuntResult
from cathode.schema import dump
from cathode.stats.counting import p_predictive, z_value

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
Keys = NDArray[np.uint64]

_READING = ("format", "key", "mass", "mass_unit", "features", "define", "select", "identifiers", "discrete", "weight")
_EXACT_RANKS = 200


@dataclass(frozen=True, kw_only=True)
class SplitModel:
    """One fold split.

    Attributes:
        folds: the classifiers that were trained without each fold.
        own_fold: (k,) the fold of each of the hunt's own events of the signal region.
        cut_point: (c,) the working point that a cut belongs to, by its place.
        cut_fold: (c,) its fold.
        cut_threshold: (c,) scores from this one on pass.
        cut_share: (c,) its weight among those of its working point and fold.
        ladder: per fold, scores of reference events from the highest on, ever more sparsely.
        ladder_efficiency: per fold, the background efficiency of each.
    """

    folds: tuple[FoldClassifier, ...]
    own_fold: NDArray[np.int16]
    cut_point: NDArray[np.int16]
    cut_fold: NDArray[np.int16]
    cut_threshold: Array
    cut_share: Array
    ladder: tuple[NDArray[np.float32], ...]
    ladder_efficiency: tuple[Array, ...]


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What of the background passes a working point, from the hunt: `n_sr` events there, `n_bkg` of which were expected to pass.

    Attributes:
        eps_bkg: the working point.
        n_sr: events of the hunt's signal region.
        n_bkg: expected of these, without the shift `mu`.
        m: reference events behind it.
        mu: mean log-bias.
        sigma: known error of it.
        scatter: its scatter between regions.
        nu: degrees of freedom of the scatter.
        overdispersion: variance of counts over Poisson.
    """

    eps_bkg: float
    n_sr: int
    n_bkg: float
    m: float
    mu: float
    sigma: float
    scatter: float
    nu: float
    overdispersion: float


@dataclass(frozen=True, kw_only=True)
class MethodModel:
    """What one method knows.

    Attributes:
        method: its name.
        splits: one per fold split.
        points: what is expected, per working point.
    """

    method: str
    splits: tuple[SplitModel, ...]
    points: tuple[Expectation, ...]


@artefact("model", "npz")
@dataclass(frozen=True, kw_only=True)
class Model:
    """The methods of one window.

    Attributes:
        window: its name.
        signal_region: its edges (GeV); other events are not scored.
        range: masses that the hunt used at all (GeV).
        seed: of the run.
        reading: how a table is read, as JSON: part of the section `data`.
        features: their names, in order.
        quantiles: (3, d) smallest, median and largest of each feature among the hunt's events of the signal region.
        own: (k,) keys of these events, ascending.
        methods: what each knows.
    """

    window: str
    signal_region: tuple[float, float]
    range: tuple[float, float]
    seed: int
    reading: str
    features: tuple[str, ...]
    quantiles: Array
    own: Keys
    methods: tuple[MethodModel, ...]

    def data(self, files: tuple[str, ...] = ()) -> DataSettings:
        """Settings that read a table of files, or of memory, as the hunt read its own."""
        tree = json.loads(self.reading)
        tree = {name: tuple(value) if isinstance(value, list) else value for name, value in tree.items()}
        return DataSettings(
            source="files" if files else "memory", files=files, allow_duplicates=1, allow_loss=1, **tree
        )


def keep_model(
    events: Events,
    scores: Sequence[MethodScores],
    hunts: Sequence[HuntResult],
    *,
    window: Window,
    data: DataSettings,
    working_points: tuple[float, ...],
    seed: int,
) -> Model:
    """The model of a window, from the scores and results of its hunts. A method of your own that keeps no classifiers is not in it."""
    found = events[window.in_signal(events.mass)]
    key = event_keys(found, data.discrete)
    order = np.argsort(key, kind="stable")
    methods = []
    for s in scores:
        points = [_expectation(h) for eps in working_points for h in hunts if (h.method, h.eps_bkg) == (s.method, eps)]
        kept = [p for p in points if p is not None]
        if all(split.classifiers for split in s.splits) and len(kept) == len(working_points):
            splits = tuple(_split(split, found.row[order], working_points) for split in s.splits)
            methods.append(MethodModel(method=s.method, splits=splits, points=tuple(kept)))
    tree = {name: value for name, value in dump(DataSettings, data).items() if name in _READING}
    x = found.features
    return Model(
        window=window.name,
        signal_region=window.signal,
        range=window.range,
        seed=seed,
        reading=json.dumps(tree, sort_keys=True),
        features=events.names,
        quantiles=np.stack([x.min(axis=0), np.median(x, axis=0), x.max(axis=0)]),
        own=key[order],
        methods=tuple(methods),
    )


def _expectation(h: HuntResult) -> Expectation | None:
    given = h.behind
    if given is None or h.n_sr is None or h.n_bkg_uncorrected is None:
        return None
    kept = {name: given[name] for name in ("m", "mu", "sigma", "scatter", "nu", "overdispersion")}
    return Expectation(eps_bkg=h.eps_bkg, n_sr=h.n_sr, n_bkg=h.n_bkg_uncorrected, **kept)


def _split(s: SplitScores, rows: NDArray[np.int64], working_points: tuple[float, ...]) -> SplitModel:
    chosen = [(i, cut) for i, eps in enumerate(working_points) for cut in cuts(s, eps)]
    setting = s.ref_role != Role.EFFICIENCY
    ladder, efficiency = [], []
    for f in range(len(s.classifiers)):
        ordered = np.sort(s.ref_score[setting & (s.ref_fold == f)])[::-1]
        n = len(ordered)
        ranks = np.unique(np.concatenate([np.arange(min(n, _EXACT_RANKS)), np.geomspace(1, n, 300).astype(int) - 1]))
        ladder.append(ordered[ranks])
        efficiency.append((ranks + 1) / (n + 1))
    by_row = np.argsort(s.row, kind="stable")
    return SplitModel(
        folds=s.classifiers,
        own_fold=s.fold[by_row[np.searchsorted(s.row, rows, sorter=by_row)]].astype(np.int16),
        cut_point=np.array([i for i, _ in chosen], dtype=np.int16),
        cut_fold=np.array([cut.fold for _, cut in chosen], dtype=np.int16),
        cut_threshold=np.array([cut.threshold for _, cut in chosen]),
        cut_share=np.array([cut.share for _, cut in chosen]),
        ladder=tuple(ladder),
        ladder_efficiency=tuple(efficiency),
    )


def event_keys(events: Events, discrete: tuple[str, ...]) -> Keys:
    """A number `(n,)` for each event, by its mass and features and, where several are equal, their order: by these a hunt knows its own events.

    Features that are spread at random (`discrete`) take no part. Two unequal events share a number once in 10^19 pairs.
    """
    import pandas as pd
    from pandas.util import hash_array

    total = np.zeros(len(events), dtype=np.uint64)
    for j, values in enumerate([events.mass, *events.features.T]):
        if j == 0 or events.names[j - 1] not in discrete:
            plain = np.ascontiguousarray(values, dtype=np.float64) + 0.0  # one zero
            total = total * np.uint64(0x9E3779B97F4A7C15) + hash_array(plain)
    again = pd.Series(total).groupby(total).cumcount().to_numpy().astype(np.uint64)
    return total + again * np.uint64(0xD1B54A32D192ED03)


@dataclass(frozen=True, kw_only=True)
class Point:
    """What passed a working point, beside what the hunt expects of so many background events.

    Attributes:
        eps_bkg: the working point.
        n: events in the signal region.
        n_own: those of them that the hunt was trained on; they were scored by classifiers that did not see them.
        passed: sum of the shares of cuts that each passes.
        expected: background among them, from the hunt's efficiency and closure.
        sigma: its standard deviation.
        p: p-value of `passed` with all errors of the hunt, were all of these events background and independent of each other.
    """

    eps_bkg: float
    n: int
    n_own: int
    passed: float
    expected: float
    sigma: float
    p: float

    @property
    def z(self) -> float:
        """`p` in standard deviations, positive for an excess."""
        return z_value(self.p)

    @property
    def efficiency(self) -> float:
        """Share of the events that passed."""
        return self.passed / self.n if self.n else float("nan")


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What one method of a window says of events.

    Attributes:
        window: name of the window.
        method: name of the method.
        index: (k,) which of the events lie in the signal region and were scored.
        own: (k,) whether the hunt was trained on them.
        score: (k,) -log10 of the background efficiency at which an event just passes, averaged over classifiers.
        passes: (k, points) share of the cuts of a working point that each passes.
        points: what passed.
    """

    window: str
    method: str
    index: NDArray[np.int64]
    own: NDArray[np.bool_]
    score: Array
    passes: Array
    points: tuple[Point, ...]


def apply_model(
    model: Model, events: Events, *, cores: int = 1, progress: Callable[[int, int], None] | None = None
) -> list[Applied]:
    """Score events of the signal region, as every method of the hunt scores its own.

    An event that the hunt never saw is scored by the classifiers of every fold, each against its own thresholds, and the shares that it passes are
    averaged: background passes at the efficiency that the hunt has measured. One of the hunt's own events is scored by the
    classifiers that were trained without it, as in the hunt. Raises ArtefactError for other features than the hunt's.
    """
    if events.names != model.features:
        raise ArtefactError(
            f"model of {model.window}: found features {', '.join(events.names)}, expected {', '.join(model.features)}"
        )
    index = np.flatnonzero(in_interval(events.mass, model.signal_region))
    inside = events[index]
    _warn_of_features(model, inside)
    key = event_keys(inside, model.data().discrete)  # equal events have equal masses: all of them are inside, or none
    place = np.minimum(np.searchsorted(model.own, key), len(model.own) - 1)
    own = model.own[place] == key
    jobs = [(i, j, f) for i, m in enumerate(model.methods) for j, s in enumerate(m.splits) for f in range(len(s.folds))]
    shape = [(len(index), len(m.points)) for m in model.methods]
    passes, score = [np.zeros(n) for n in shape], [np.zeros(n[0]) for n in shape]

    def one(i: int, j: int, f: int) -> tuple[int, NDArray[np.int64], Array, Array]:
        method = model.methods[i]
        s = method.splits[j]
        mine = np.flatnonzero(~own | (s.own_fold[place] == f))
        weight = np.where(own[mine], 1.0, 1.0 / len(s.folds)) / len(method.splits)
        found = s.folds[f].score(inside.features[mine])
        share = np.zeros((len(mine), len(method.points)))
        for c in np.flatnonzero(s.cut_fold == f):
            share[:, s.cut_point[c]] += s.cut_share[c] * (found >= s.cut_threshold[c])
        higher = np.searchsorted(-s.ladder[f], -found, side="left")  # ladder entries that score higher
        efficiency = np.append(s.ladder_efficiency[f], 1.0)[higher]
        return i, mine, share * weight[:, None], -np.log10(efficiency) * weight

    trees = all(len(fold.text) for m in model.methods for s in m.splits for fold in s.folds)
    with ThreadPoolExecutor(cores if trees else 1) as pool:  # networks set the threads of the whole process
        for k, (i, mine, share, of_score) in enumerate(
            pool.map(one, *zip(*jobs, strict=True))
        ):  # in order: equal bytes
            passes[i][mine] += share
            score[i][mine] += of_score
            if progress:
                progress(k + 1, len(jobs))
    return [
        Applied(
            window=model.window,
            method=m.method,
            index=index,
            own=own,
            score=score[i],
            passes=passes[i],
            points=tuple(_point(m, p, float(passes[i][:, k].sum()), own) for k, p in enumerate(m.points)),
        )
        for i, m in enumerate(model.methods)
    ]


def _point(method: MethodModel, p: Expectation, passed: float, own: NDArray[np.bool_]) -> Point:
    n = len(own)
    n_bkg = p.n_bkg / p.n_sr * n
    expected = n_bkg * float(np.exp(p.mu))
    smallest = min(float(s.cut_share.min()) for s in method.splits)
    in_a_fold = 1 if own.all() else len(method.splits[0].folds)
    value = 1.0
    if n_bkg > 0:
        value = p_predictive(
            passed, p.m, p.m / n_bkg, mu=p.mu, sigma=p.sigma, scatter=p.scatter, nu=p.nu,
            overdispersion=p.overdispersion, step=smallest / len(method.splits) / in_a_fold,
        )  # fmt: skip
    error = float(np.sqrt(1 / max(p.m, 1.0) + p.sigma**2 + p.scatter**2))
    return Point(
        eps_bkg=p.eps_bkg, n=n, n_own=int(own.sum()), passed=passed, expected=expected, sigma=expected * error, p=value
    )


def _warn_of_features(model: Model, events: Events) -> None:
    """Say where a feature can hardly be the one that the hunt knows: another unit, another definition."""
    if not len(events):
        return
    for j, name in enumerate(model.features):
        low, middle, high = model.quantiles[:, j]
        found = float(np.median(events.features[:, j]))
        if not low <= found <= high:
            log.warning(
                "warning: %s: the median is %.4g, outside of all that the hunt saw (%.4g to %.4g, median %.4g): is it the same column, in the same unit?",
                name, found, low, high, middle,
            )  # fmt: skip
