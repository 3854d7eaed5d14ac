"""The four methods, each as a choice of what is classified against what.

`cathode` and `cwola` never see a label. `idealised` and `supervised` are reference classifiers that need truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cathode.classifier import ClassifierSettings, Sample, Scored, Scores, assign_folds, cross_fit
from cathode.errors import FitError
from cathode.regions import Window, in_interval
from cathode.seeds import derive_seed

Array = NDArray[np.float64]
Int = NDArray[np.integer]
Progress = Callable[[int, int], None]


class TemplateSample(Protocol):
    """What `score_cathode` needs of a template; see `cathode.template.Template`."""

    @property
    def features(self) -> Array:
        """(t, d)."""

    @property
    def part(self) -> Int:
        """(t,) 0 trains; 1, 2, 3 are held out."""

    @property
    def source(self) -> Int:
        """(t,) recorded event behind each."""

    @property
    def member(self) -> Int:
        """(t,) density member."""

    @property
    def row(self) -> Int:
        """(t,) input row of the recorded event behind each, -1 without one."""

    @property
    def weight(self) -> Array:
        """(t,) event weights."""

    @property
    def transported(self) -> bool:
        """Whether sources are recorded events."""

    @property
    def n_bootstraps(self) -> int:
        """Layout of the members."""

    @property
    def n_seeds(self) -> int:
        """Layout of the members."""


LABEL_FREE = ("cathode", "cwola")
_SIDE_SPAN = 1.5  # widths of sideband that are scored besides the signal region, where the template does not say
NEED_LABELS = ("idealised", "supervised")
METHODS = LABEL_FREE + NEED_LABELS


def _plain(x: Array, fold: Int) -> Sample:
    return Sample(x, fold, np.ones(len(x)))


def _always(n: int) -> Int:
    return np.full(n, -1, dtype=np.int16)


def _splits(
    settings: ClassifierSettings, seed: int, progress: Progress | None
) -> Iterator[tuple[int, bool, Progress | None]]:
    """Per fold split: its seed, whether it is the first, and where it reports."""

    def of_all(split: int) -> Progress | None:
        total = settings.splits * settings.folds
        return None if progress is None else lambda done, _: progress(split * settings.folds + done, total)

    for split in range(settings.splits):
        yield derive_seed(seed, "split", split), split == 0, of_all(split)


def _signal_region(
    x: Array, mass: Array, window: Window, settings: ClassifierSettings, *, limit: int | None, seed: int
) -> tuple[Sample, Sample]:
    """Signal-region events that train (at most `limit`, drawn by seed), and those that are counted.

    Counted events that do not train have a fold all the same: they are scored like those that do.
    """
    inside = np.flatnonzero(window.in_signal(mass))
    fold = assign_folds(len(inside), settings.folds, seed=derive_seed(seed, "folds"))
    events, train = _plain(x[inside], fold), np.ones(len(inside), dtype=bool)
    if limit is not None and len(inside) > limit:
        train[:] = False
        train[np.random.default_rng(derive_seed(seed, "limit")).choice(len(inside), limit, replace=False)] = True
    counted = in_interval(mass, window.counting)
    return events.rows(train), events.rows(counted[inside])


def _fit(
    settings: ClassifierSettings,
    train: Sample,
    reference: Sample,
    data: Sample,
    held: Sample,
    spare: Array,
    side: tuple[Int, Sample] | None,
    *,
    seed: int,
    device: str,
    sequential: bool,
    progress: Progress | None,
) -> tuple[list[NDArray[np.float32]], dict[str, Any]]:
    """Scores `(n, members)` of data, held-out reference and spare events, and the fields of `Scores` for cross-checks.

    With `side`, rows and events of the sidebands, these are scored besides and, if `sequential`, data and reference
    sequentially.
    """
    targets = [data, held, _plain(spare, _always(len(spare))), *([side[1]] if side else [])]
    scored = cross_fit(settings, train, reference, targets, seed=seed, device=device, progress=progress)
    if side is None:
        return scored, {}
    checks = {"side_row": side[0], "side_fold": side[1].fold, "side_score": scored[3].mean(axis=1)}
    if sequential and settings.sequential_members:
        lighter = replace(settings, members=settings.sequential_members)
        own_seed = derive_seed(seed, "sequential")
        found = cross_fit(lighter, train, reference, [data, held], seed=own_seed, device=device, sequential=True)
        checks |= {"sequential_score": found[0].mean(axis=1), "ref_sequential_score": found[1].mean(axis=1)}
    return scored, checks


def _recorded(
    method: str,
    window: Window,
    row: Int,
    fold: Int,
    member_score: NDArray[np.float32],
    reference: Sample,
    ref_score: NDArray[np.float32],
    extra: NDArray[np.float32] | None,
) -> Scores:
    """Scores against a reference of recorded events, which sets thresholds and measures efficiencies in one."""
    n, members = len(reference.x), member_score.shape[1]
    return Scores(
        method,
        window.name,
        window.counting,
        row,
        fold,
        member_score.mean(axis=1),
        member_score,
        ref_score.mean(axis=1),
        reference.fold,
        reference.weight,
        np.zeros(n, dtype=np.int8),
        np.arange(n, dtype=np.int32),
        _always(n),
        np.empty((0, members), dtype=np.float32),
        extra_score=np.empty(0, dtype=np.float32) if extra is None else extra.mean(axis=1),
    )


def score_cathode(
    x: Array,
    mass: Array,
    row: Int,
    window: Window,
    template: TemplateSample,
    spare: Array,
    settings: ClassifierSettings,
    *,
    seed: int,
    device: str = "cpu",
    limit: int | None = None,
    checks: bool = True,
    progress: Progress | None = None,
) -> Scored:
    """Signal-region data against the template, once per fold split.

    Template events of one source share a fold, so that no classifier is measured on events it was trained with. Sampled
    events have no source: their training part serves every fold.

    Args:
        x, mass, row: features (n, d), masses and input rows (n,) of all events of the range; window: where to hunt.
        template: see `TemplateSample`.
        spare: (s, d) features of spare signal events, scored for the evaluation only.
        limit: at most so many signal-region events train the classifier.
        checks: also score recorded sideband events and, sequentially, all others.
    """
    held, counted = template.part > 0, in_interval(mass, window.counting)
    n_sources = int(template.source.max()) + 1
    made, of_data = template.features[~held], row[counted]
    held_features, source, member = template.features[held], template.source[held], template.member[held]
    part = np.where(template.part[held] == 3, 0, template.part[held]).astype(np.int8)
    weight, made_weight = template.weight[held], template.weight[~held]
    for_halves = member == 0 if template.transported else part == 1
    near, first = np.zeros(len(mass), dtype=bool), np.empty(0, dtype=np.int64)
    if checks and template.transported:
        rows, first = np.unique(template.row, return_index=True)
        sources = np.isin(row, rows)
        # all between the outermost sources: a spectrum without those that the template left out would have holes
        near = window.in_sideband(mass) & (mass >= mass[sources].min()) & (mass <= mass[sources].max())
        first = first[np.searchsorted(rows, row[sources])]
    elif checks:
        near = window.in_sideband(mass) & in_interval(mass, window.reach(_SIDE_SPAN))
    side_row, side_features = row[near], x[near]
    out = []
    for own_seed, is_first, report in _splits(settings, seed, progress):
        if template.transported:
            of_sources = assign_folds(n_sources, settings.folds, seed=derive_seed(own_seed, "source folds"))
            fold = of_sources[template.source]
        else:
            fold = np.where(held, (np.cumsum(held) % settings.folds).astype(np.int16), np.int16(-1))
        train, data = _signal_region(x, mass, window, settings, limit=limit, seed=own_seed)
        side = None
        if checks:
            side_fold = assign_folds(len(side_row), settings.folds, seed=derive_seed(own_seed, "side folds"))
            if template.transported:  # a sideband event is held out where its transported copies are
                side_fold[sources[near]] = fold[first]
            side = side_row, _plain(side_features, side_fold)
        scored, found = _fit(
            settings, train, Sample(made, fold[~held], made_weight), data, _plain(held_features, fold[held]), spare, side,
            seed=own_seed, device=device, sequential=is_first, progress=report,
        )  # fmt: skip
        out.append(
            Scores(
                "cathode", window.name, window.counting, of_data, data.fold, scored[0].mean(axis=1), scored[0],
                scored[1].mean(axis=1), fold[held], weight, part, source, member, scored[1][for_halves],
                template.n_bootstraps, template.n_seeds, not template.transported, scored[2].mean(axis=1), **found,
            )
        )  # fmt: skip
    return Scored(tuple(out))


def score_cwola(
    x: Array,
    mass: Array,
    row: Int,
    window: Window,
    spare: Array,
    settings: ClassifierSettings,
    *,
    seed: int,
    device: str = "cpu",
    limit: int | None = None,
    checks: bool = True,
    progress: Progress | None = None,
) -> Scored:
    """Signal region against the recorded events of two neighbouring strips, each with half of the weight, once per fold split.

    Source: Collins, Howe, Nachman, arXiv:1805.02664; equal weights as in arXiv:2109.00546. Biased by any feature that
    depends on the mass. The strips' events set thresholds and measure efficiencies out of fold; they are too few to
    do this on separate parts, so the efficiency equals the working point by construction and its uncertainty is the
    count of strip events that pass.

    Args:
        x, mass, row, spare, limit, checks: as in `score_cathode`.
        window: its signal region and the strips next to it.
    """
    low, high = window.in_strips(mass, settings.strip_width)
    if min(low.sum(), high.sum()) < 50:
        raise FitError(
            f"cwola in {window.name}: found {low.sum()} and {high.sum()} events in the strips below and above, "
            "expected at least 50 in each"
        )
    strips = low | high
    weight = np.where(low, 0.5 / low.sum(), 0.5 / high.sum())[strips] * strips.sum()
    near = window.in_sideband(mass) & in_interval(mass, window.reach(max(_SIDE_SPAN, settings.strip_width)))
    of_data = row[in_interval(mass, window.counting)]
    out = []
    for own_seed, is_first, report in _splits(settings, seed, progress):
        train, data = _signal_region(x, mass, window, settings, limit=limit, seed=own_seed)
        fold = assign_folds(int(strips.sum()), settings.folds, seed=derive_seed(own_seed, "strip folds"))
        reference = Sample(x[strips], fold, weight)
        side = None
        if checks:
            side_fold = assign_folds(int(near.sum()), settings.folds, seed=derive_seed(own_seed, "side folds"))
            side_fold[strips[near]] = fold  # strip events were trained on in all folds but their own
            side = row[near], _plain(x[near], side_fold)
        scored, found = _fit(
            settings, train, reference, data, reference, spare, side,
            seed=own_seed, device=device, sequential=is_first, progress=report,
        )  # fmt: skip
        one = _recorded("cwola", window, of_data, data.fold, scored[0], reference, scored[1], scored[2])
        out.append(replace(one, **found))
    return Scored(tuple(out))


def score_samples(
    method: str,
    x: Array,
    reference: Array,
    window: Window,
    settings: ClassifierSettings,
    *,
    seed: int,
    device: str = "cpu",
) -> Scored:
    """Two samples `x (n, d)` and `reference (r, d)`, k-fold: the classifier alone, for its calibration."""
    out = []
    for own_seed, _, _ in _splits(settings, seed, None):
        data = _plain(x, assign_folds(len(x), settings.folds, seed=derive_seed(own_seed, "folds")))
        fold = assign_folds(len(reference), settings.folds, seed=derive_seed(own_seed, "reference folds"))
        against = _plain(reference, fold)
        scored = cross_fit(settings, data, against, [data, against], seed=own_seed, device=device)
        out.append(_recorded(method, window, np.arange(len(x)), data.fold, scored[0], against, scored[1], None))
    return Scored(tuple(out))


def score_reference(
    method: str,
    x: Array,
    row: Int,
    window: Window,
    label: Int,
    spare: Array,
    settings: ClassifierSettings,
    *,
    seed: int,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Scored:
    """Reference classifiers with truth labels: an upper bound for the others, never a search.

    `idealised`: data against true background, the limit of a perfect template. One random half of the signal region
    is the data, the background of the other half the reference, and the reverse; the two are averaged.
    `supervised`: true signal (spare events included, out of fold) against true background.
    The true background of the signal region sets thresholds and measures efficiencies.
    """
    background, out = label == 0, []
    for own_seed, _, report in _splits(settings, seed, progress):
        fold = assign_folds(len(x), settings.folds, seed=derive_seed(own_seed, "folds"))
        spare_fold = assign_folds(len(spare), settings.folds, seed=derive_seed(own_seed, "spare folds"))
        events = _plain(x, fold)
        known = events.rows(background)
        targets = [events, _plain(spare, spare_fold if method == "supervised" else _always(len(spare)))]
        if method == "supervised":
            signal = Sample(
                np.concatenate([x[~background], spare]),
                np.concatenate([fold[~background], spare_fold]),
                np.ones(int((~background).sum()) + len(spare)),
            )
            scored = cross_fit(settings, signal, known, targets, seed=own_seed, device=device, progress=report)
        else:
            half = np.random.default_rng(derive_seed(own_seed, "halves")).permutation(np.arange(len(x)) % 2)
            both = [
                cross_fit(
                    settings, events.rows(half == h), events.rows((half != h) & background), targets,
                    seed=derive_seed(own_seed, "half", h), device=device, progress=report,
                )
                for h in (0, 1)
            ]  # fmt: skip
            scored = [(a + b) / 2 for a, b in zip(*both, strict=True)]
        out.append(_recorded(method, window, row, fold, scored[0], known, scored[0][background], scored[1]))
    return Scored(tuple(out))
