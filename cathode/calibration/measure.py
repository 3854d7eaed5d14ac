"""What pseudo-experiments say: overdispersion, verdicts on p-values and measured signals, limits through the measured efficiency."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cathode.calibration.results import (
    BackgroundOnly,
    ClassifierCount,
    ClassifierExperiments,
    CrossSection,
    EfficiencyPoint,
    JointVerdict,
    Measured,
    NullMeasured,
    PseudoExperiment,
    PseudoExperiments,
    SharedEvents,
    SignalFit,
    SignalLimit,
    SignalLimits,
    SignalMeasured,
    SignalResponse,
    Trials,
    Verdict,
    WindowVerdict,
)
from cathode.calibration.verdicts import (
    effective_trials,
    linearity,
    overdispersion,
    produced_signal,
    pulls,
    signal_efficiency,
    uniformity,
)
from cathode.classifier.methods import searches
from cathode.inference.background import BackgroundEstimate, combine, joint_test
from cathode.inference.closure import known_overdispersion, link_points
from cathode.inference.shared import correlate
from cathode.results import HuntResults, Overdispersion, OverdispersionTable
from cathode.seeds import derive_seed
from cathode.stats.counting import sidak
from cathode.stats.settings import StatisticsSettings
from cathode.stats.trials import p_smallest

T = TypeVar("T", Measured, NullMeasured, SignalMeasured, EfficiencyPoint)

_LEAST_MEASUREMENTS = 5  # behind a straight line


def measure_overdispersion(
    experiments: list[ClassifierExperiments], *, methods: tuple[str, ...], working_points: tuple[float, ...]
) -> Overdispersion:
    """Overdispersion of the counts of this classifier, per method and working point.

    At the size of the hunt, and under `experiments` at that of the chain's pseudo-experiments.
    """
    rows = [e for part in experiments for e in part.entries]
    tables = {
        sample: _overdispersion_table([r for r in rows if r.sample == sample], methods, working_points, size)
        for sample, size in experiments[0].sizes.items()
    }
    of_hunt = {f.name: getattr(tables["hunt"], f.name) for f in dataclasses.fields(OverdispersionTable)}
    return Overdispersion(
        window=experiments[0].window,
        n_toys=len({r.toy for r in rows}),
        experiments=tables.get("experiments"),
        **of_hunt,
    )


def _overdispersion_table(
    rows: list[ClassifierCount], methods: tuple[str, ...], working_points: tuple[float, ...], sizes: dict[str, int]
) -> OverdispersionTable:
    z, found = {}, {}
    for method in searches(methods):
        for eps in working_points:
            mine = [r for r in rows if (r.method, r.eps_bkg) == (method, eps)]
            n, b, m = (np.array([getattr(r, k) for r in mine], dtype=float) for k in ("n", "b", "m"))
            z[method, f"{eps:g}"] = pulls(n, b, m)
            found[method, f"{eps:g}"] = overdispersion(z[method, f"{eps:g}"])

    def table(name: str) -> dict[str, dict[str, float]]:
        out: dict[str, dict[str, float]] = {}
        for (method, eps), spread in found.items():
            out.setdefault(method, {})[eps] = getattr(spread, name)
        return out

    drawn: dict[str, dict[str, tuple[float, ...]]] = {}
    for (method, text), values in z.items():
        drawn.setdefault(method, {})[text] = tuple(values.tolist())
    return OverdispersionTable(
        v0=table("v0"),
        v0_error=table("v0_error"),
        pull_mean=table("mean"),
        pull_mean_error=table("mean_error"),
        z=drawn,
        sizes=sizes,
    )


def measure_calibration(
    experiments: list[PseudoExperiments],
    overdispersion: Overdispersion | None = None,
    *,
    methods: tuple[str, ...],
    working_points: tuple[float, ...],
    statistics: StatisticsSettings,
) -> tuple[BackgroundOnly, SignalResponse]:
    """Verdicts: are p-values of background-only pseudo-experiments uniform, is injected signal measured without bias."""
    measured = [
        found
        for part in experiments
        for x in part.experiments
        for found in _measure(x, overdispersion, working_points, statistics)
    ]
    null = [e for e in measured if isinstance(e, NullMeasured)]
    injected = [e for e in measured if isinstance(e, SignalMeasured)]
    hunts = [(method, eps) for method in searches(methods) for eps in working_points]
    verdicts = []
    for window in dict.fromkeys(e.window for e in null):
        for method, eps in hunts:
            found = uniformity([e.p_mid for e in _of(null, method, eps) if e.window == window])
            verdicts.append(Verdict(window=window, method=method, eps_bkg=eps, **vars(found)))
    fits = []
    for method, eps in hunts:
        mine = _of(injected, method, eps)
        if len(mine) >= _LEAST_MEASUREMENTS:
            true, estimates, errors = (
                np.array([getattr(e, k) for e in mine], dtype=float)
                for k in ("n_signal_passing", "n_signal_estimated", "error")
            )
            line = linearity(true, estimates, errors)
            fits.append(SignalFit(method=method, eps_bkg=eps, **dataclasses.asdict(line)))
    together = _trials(null, [s for part in experiments for s in part.shared])
    first = fits[0] if fits else None
    return (
        BackgroundOnly(
            n_toys=len({e.toy for e in null}),
            verdicts=tuple(verdicts),
            trials=together,
            joint=_joint(experiments, overdispersion, working_points, statistics),
            p_local=tuple(e.p_local for e in null),
            experiments=tuple(null),
        ),
        SignalResponse(
            fits=tuple(fits),
            efficiency=signal_efficiency(injected),
            points=tuple(injected),
            slope=first.slope if first else None,
            pull_mean=first.pull_mean if first else None,
            pull_sd=first.pull_sd if first else None,
        ),
    )


def _joint(
    experiments: Sequence[PseudoExperiments],
    overdispersion: Overdispersion | None,
    working_points: tuple[float, ...],
    statistics: StatisticsSettings,
) -> tuple[JointVerdict, ...]:
    """All working points of each window and method in one test, of pseudo-experiments without signal."""
    p: dict[tuple[str, str], list[float]] = {}
    for x in (x for part in experiments for x in part.experiments if x.strength is None):
        points = [e for e, _ in _estimates(x, overdispersion, working_points, statistics)]
        found = joint_test(points, statistics, name=f"{x.window} {x.toy}")
        if found is not None:
            p.setdefault((x.window, x.method), []).append(found.p)
    return tuple(
        JointVerdict(window=window, method=method, p=tuple(values), **vars(uniformity(values)))
        for (window, method), values in p.items()
    )


def _estimates(
    x: PseudoExperiment,
    measured: Overdispersion | None,
    working_points: tuple[float, ...],
    statistics: StatisticsSettings,
) -> list[tuple[BackgroundEstimate, float]]:
    """The background behind every working point of a pseudo-experiment, with the overdispersion at its size, and the signal that passes."""
    table = measured.at_experiments if measured else None
    known = known_overdispersion(table, x.method, working_points, statistics)
    closures = link_points([p.with_overdispersion(v) for p, v in zip(x.closure, known, strict=True)], statistics)
    layout = (x.n_bootstraps, x.n_seeds)
    return [
        (combine(x.method, counts, layout, closure, statistics, v), passing)
        for counts, closure, passing, v in zip(x.counts, closures, x.n_signal_passing, known, strict=True)
    ]


def _trials(null: Sequence[NullMeasured], shared: Sequence[SharedEvents]) -> Trials:
    """All hunts together, and those of each window. Where a pseudo-experiment has not kept which events its hunts share, the mean of those that have stands in."""
    of_toy: dict[int, list[NullMeasured]] = {}
    for e in null:
        of_toy.setdefault(e.toy, []).append(e)
    names = [e.name for e in next(iter(of_toy.values()))]
    known = {s.toy: _ordered(s, names) for s in shared}
    of_toy = {toy: sorted(mine, key=lambda e: names.index(e.name)) for toy, mine in sorted(of_toy.items())}
    correlation = {
        toy: correlate(known[toy], np.array([e.variance for e in mine])) for toy, mine in of_toy.items() if toy in known
    }
    usual = np.mean(list(correlation.values()), axis=0) if correlation else np.eye(len(names))

    def smallest(index: Sequence[int]) -> list[float]:
        """Of every pseudo-experiment, the p-value of the smallest one of some of its hunts."""
        return [
            p_smallest(
                min(mine[i].p_mid for i in index),
                correlation.get(toy, usual)[np.ix_(index, index)],
                seed=derive_seed(toy, names[index[0]], len(index)),
            )
            for toy, mine in of_toy.items()
        ]

    p_global = smallest(range(len(names)))
    lowest = [min(e.p_mid for e in mine) for mine in of_toy.values()]
    windows = []
    for window in dict.fromkeys(e.window for e in null):
        p = smallest([i for i, e in enumerate(next(iter(of_toy.values()))) if e.window == window])
        windows.append(WindowVerdict(window=window, p=tuple(p), **vars(uniformity(p))))
    return Trials(
        hunts=len(names),
        effective=effective_trials(lowest),
        p_global=tuple(p_global),
        p_sidak=tuple(sidak(p, len(names)) for p in lowest),
        n_shared=len(correlation),
        verdict=uniformity(p_global),
        windows=tuple(windows),
    )


def _ordered(shared: SharedEvents, names: Sequence[str]) -> NDArray[np.float64]:
    order = [shared.hunts.index(name) for name in names]
    return np.array(shared.events)[np.ix_(order, order)]


def _measure(
    x: PseudoExperiment,
    measured: Overdispersion | None,
    working_points: tuple[float, ...],
    statistics: StatisticsSettings,
) -> list[Measured]:
    """What a pseudo-experiment says behind every working point."""
    out: list[Measured] = []
    for e, passing_signal in _estimates(x, measured, working_points, statistics):
        counts, p = e.counts, e.p_value()
        common = Measured(
            toy=x.toy,
            window=x.window,
            method=x.method,
            eps_bkg=counts.eps_bkg,
            n_obs=counts.n_obs,
            n_bkg=e.n_bkg,
            n_bkg_uncorrected=counts.n_bkg,
            p_local=p,
        )
        if x.strength is None:
            following = e.p_value(counts.n_obs + counts.step)
            out.append(
                NullMeasured(
                    **vars(common),
                    p_mid=(p + following) / 2,
                    m=counts.m,
                    known_sigma=e.known_sigma,
                    scatter=e.scatter,
                    degrees_of_freedom=e.nu if np.isfinite(e.nu) else None,
                    variance=e.overdispersion * e.n_bkg + e.sigma().total ** 2,
                )
            )
            continue
        signal = e.signal_yield(x.n_expected, x.n_expected_error)
        out.append(
            SignalMeasured(
                **vars(common),
                strength=x.strength,
                n_signal=x.n_signal,
                n_signal_passing=passing_signal,
                n_signal_estimated=signal.value,
                error=signal.sigma,
            )
        )
    return out


def limit_signal(
    hunts: list[HuntResults], injection: SignalResponse, *, statistics: StatisticsSettings
) -> SignalLimits:
    """Turn limits on selected events into limits on the signal in the signal region, by the efficiency that injections measured."""
    limits = []
    for h in (h for group in hunts for h in group.entries):
        curve = [c for c in _of(injection.efficiency, h.method, h.eps_bkg) if c.strength > 0]
        if not curve or h.limit is None or h.n_sr_expected is None:
            continue
        background = h.n_sr_expected.value
        observed, *expected = (
            produced_signal(s, curve, h.eps_bkg, background) for s in (h.limit.s_obs, *h.limit.s_exp)
        )
        luminosity = statistics.luminosity
        section = (
            CrossSection(obs=observed / luminosity, exp=tuple(s / luminosity for s in expected)) if luminosity else None
        )
        limits.append(
            SignalLimit(
                window=h.window,
                method=h.method,
                eps_bkg=h.eps_bkg,
                n_signal_obs=observed,
                n_signal_exp=tuple(expected),
                cross_section_fb=section,
            )
        )
    return SignalLimits(luminosity_ifb=statistics.luminosity, limits=tuple(limits))


def _of(entries: Sequence[T], method: str, eps: float) -> list[T]:
    return [e for e in entries if e.method == method and e.eps_bkg == eps]
