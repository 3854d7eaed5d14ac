"""What pseudo-experiments say: overdispersion, verdicts on p-values and measured signals, limits through the measured efficiency."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from cathode.calibration.results import (
    BackgroundOnly,
    ClassifierCount,
    ClassifierExperiments,
    CrossSection,
    EfficiencyPoint,
    Measured,
    NullMeasured,
    PseudoExperiment,
    PseudoExperiments,
    SignalFit,
    SignalLimit,
    SignalLimits,
    SignalMeasured,
    SignalResponse,
    Verdict,
)
from cathode.calibration.together import count_trials, judge_joint
from cathode.calibration.verdicts import (
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
from cathode.results import HuntResults, Overdispersion, OverdispersionTable
from cathode.stats.joint import Joint
from cathode.stats.settings import StatisticsSettings

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
    measured: list[Measured] = []
    joint: dict[tuple[int, str, str], Joint] = {}
    for x in (x for part in experiments for x in part.experiments):
        estimates = _estimates(x, overdispersion, working_points, statistics)
        measured += _measure(x, estimates)
        if x.strength is None:
            test = joint_test([e for e, _ in estimates], statistics, window=x.window, toy=x.toy)
            joint |= {} if test is None else {(x.toy, x.window, x.method): test}
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
            true, estimated, errors = (
                np.array([getattr(e, k) for e in mine], dtype=float)
                for k in ("n_signal_passing", "n_signal_estimated", "error")
            )
            line = linearity(true, estimated, errors)
            fits.append(SignalFit(method=method, eps_bkg=eps, **dataclasses.asdict(line)))
    shared = [s for part in experiments for s in part.shared]
    first = fits[0] if fits else None
    return (
        BackgroundOnly(
            n_toys=len({e.toy for e in null}),
            verdicts=tuple(verdicts),
            trials=count_trials(null, joint if statistics.test == "joint" else {}, shared),
            joint=judge_joint(joint),
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


def _measure(x: PseudoExperiment, estimates: Sequence[tuple[BackgroundEstimate, float]]) -> list[Measured]:
    """What a pseudo-experiment says behind every working point."""
    out: list[Measured] = []
    for e, passing_signal in estimates:
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
                    overdispersion=e.overdispersion,
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
