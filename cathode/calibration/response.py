"""How the hunt responds to a signal of one's own: injected into the data at several strengths, everything trained anew.

Classifiers learn from the data, so that the efficiency depends on how much signal there is: a limit needs the whole curve.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cathode.calibration.pseudo_data import draw_signal, inject, is_signal
from cathode.classifier.methods import find_method
from cathode.classifier.scores import MethodScores, SplitScores
from cathode.classifier.settings import ClassifierSettings
from cathode.density.ensemble import fit_density
from cathode.density.settings import DensitySettings
from cathode.errors import FitError
from cathode.events import Events, Template
from cathode.inference.counts import cuts, passing
from cathode.inference.model import apply_model, keep_model
from cathode.intake.settings import DataSettings
from cathode.regions import Window
from cathode.results import HuntResult
from cathode.seeds import derive_seed
from cathode.stats.workspace import normsys, upper_limit
from cathode.template.make import make_template
from cathode.template.settings import TemplateSettings

Array = NDArray[np.float64]

_LEAST_PASSING = 10  # signal events behind a variation
_NO_SHIFT = 1e-6  # relative, of what passes: no nuisance is needed


@dataclass(frozen=True, kw_only=True)
class Injected:
    """What one injection did to one method and working point.

    Attributes:
        method: name of the method.
        eps_bkg: the working point.
        strength: what was aimed at, in units of sqrt(events) of the signal region.
        n_injected: signal events that were added in the whole range.
        n_inside: those in the signal region.
        n_passing: those that pass.
        background: true background that passes over what the hunt then expects: below 1, since signal in the sidebands gets into the reference and the mass fit.
        effective: signal events that the hunt sees, its yield on average: n_passing + (background - 1) b.
        variations: log of the signal that passes when varied over that which passes as it is, by name: of the events that were not injected.
    """

    method: str
    eps_bkg: float
    strength: float
    n_injected: int
    n_inside: int
    n_passing: float
    background: float
    effective: float
    variations: tuple[tuple[str, float], ...] = ()


def inject_signal(
    events: Events,
    signal: Events,
    hunts: Sequence[HuntResult],
    strength: float,
    *,
    window: Window,
    background: DensitySettings,
    template: TemplateSettings,
    classifier: ClassifierSettings,
    seed: int,
    draw: int,
    device: str,
    data: DataSettings,
    varied: Mapping[str, Events] = MappingProxyType({}),
) -> list[Injected]:
    """Add `strength` sqrt(n) of a signal to the data and run the chain of the window: density, template and classifiers trained anew.

    `signal` holds events of the range; `draw` numbers independent draws. `hunts` are the results without it, and say which methods and working
    points. The closure is the hunt's: a signal reaches pseudo signal regions through its tails only.

    True background behind the cut is measured by the reference events that are no signal and did not choose the cut, so that neither
    data nor their fluctuations enter. It is not known where a template is sampled instead of transported, and taken as expected.

    `varied` holds the same signal with columns changed, by name, with the rows of its table: how much more or less of it the trained classifiers let
    through, of events that were not injected. `data` says how events are read.
    """
    n_sr = float(window.in_signal(events.mass).sum())
    own_seed = derive_seed(seed, "inject_signal", window.name, f"{strength:g}", draw)
    n_aimed = strength * float(np.sqrt(n_sr))
    mixed = inject(events, signal, window, n_aimed, seed=own_seed, replace=False)
    unseen: dict[str, Events] = {}
    if varied:
        used = signal.row[draw_signal(signal, window, n_aimed, seed=own_seed, replace=False)]
        unseen = {name: e[~np.isin(e.row, used)] for name, e in {"": signal, **varied}.items()}
    added = is_signal(mixed.row)
    light = dataclasses.replace(classifier, sequential_members=0)
    density = fit_density(mixed, window=window, background=background, seed=seed, device=device)
    made: Template | None = None
    out = []
    for name in dict.fromkeys(h.method for h in hunts):
        method = find_method(name)
        if method.needs_template and made is None:
            made = make_template(mixed, density, window=window, template=template, seed=seed, device=device)
        found = method.score(
            mixed, window, light, template=made if method.needs_template else None, labels=None, spare=None,
            seed=derive_seed(seed, f"score_{name}", window.name), device=device, checks=bool(varied), progress=None,
        )  # fmt: skip
        clean = _is_clean(found.splits[0], mixed, made if method.needs_template else None, window, classifier)
        hit = is_signal(found.splits[0].row)
        mine = [h for h in hunts if h.method == name]
        shifts = _shifts(mixed, found, mine, unseen, window, data) if unseen else {}
        for h in mine:
            if h.n_sr_expected is None or not h.n_sr:
                continue
            passed = float(passing(found.splits, h.eps_bkg)[hit].sum())
            b = h.n_bkg * h.n_sr_expected.value / h.n_sr
            share = float(np.mean([_clean_share(s, h.eps_bkg, clean) for s in found.splits]))
            share /= density.mass.expected()[0] / h.n_sr_expected.value
            out.append(
                Injected(
                    method=name,
                    eps_bkg=h.eps_bkg,
                    strength=strength,
                    n_injected=int(added.sum()),
                    n_inside=int(hit.sum()),
                    n_passing=passed,
                    background=share,
                    effective=passed + (share - 1) * b,
                    variations=shifts.get(h.eps_bkg, ()),
                )
            )
    return out


def _shifts(
    mixed: Events,
    scores: MethodScores,
    hunts: Sequence[HuntResult],
    unseen: Mapping[str, Events],
    window: Window,
    data: DataSettings,
) -> dict[float, tuple[tuple[str, float], ...]]:
    """By working point: the log of what passes of every varied signal over what passes of the signal as it is, which is called ``""``.

    NaN where fewer than ten events pass. Raises FitError for a method that keeps no classifiers.
    """
    points = tuple(h.eps_bkg for h in hunts)
    model = keep_model(mixed, [scores], hunts, window=window, data=data, working_points=points, seed=0)
    if not model.methods:
        raise FitError(f"variations: {scores.method} keeps no classifiers that could score a varied signal")
    passed = {name: apply_model(model, e)[0].passes.sum(axis=0) for name, e in unseen.items()}
    out = {}
    for k, eps in enumerate(points):
        known = min(float(p[k]) for p in passed.values()) >= _LEAST_PASSING
        shifts = {name: float(np.log(p[k] / passed[""][k])) if known else float("nan") for name, p in passed.items()}
        out[eps] = tuple((name, shift) for name, shift in shifts.items() if name)
    return out


def _is_clean(
    s: SplitScores, mixed: Events, template: Template | None, window: Window, classifier: ClassifierSettings
) -> NDArray[np.bool_]:
    """Which reference events `(r,)` are recorded background, or made from it."""
    if template is not None:
        return ~is_signal(template.row[template.held]) if template.transported else np.ones(len(s.ref_score), bool)
    low, high = window.in_strips(mixed.mass, classifier.strip_width)
    rows = mixed.row[low | high]
    return ~is_signal(rows) if len(rows) == len(s.ref_score) else np.ones(len(s.ref_score), bool)


def _clean_share(s: SplitScores, eps_bkg: float, clean: NDArray[np.bool_]) -> float:
    """Efficiency of background over that of the whole reference, behind the same cuts and measured by the same events."""
    passing_weight, weight = np.zeros(2), np.zeros(2)
    for cut in cuts(s, eps_bkg):
        for k, chosen in enumerate((cut.measuring, cut.measuring & clean)):
            weight[k] += s.ref_weight[chosen].sum()
            passing_weight[k] += s.ref_weight[chosen & (s.ref_score >= cut.threshold)].sum()
    efficiency = passing_weight / weight
    return float(efficiency[1] / efficiency[0]) if efficiency[0] > 0 else 1.0


@dataclass(frozen=True)
class Curve:
    """Signal that the hunt sees against signal that there is, in one method and working point.

    Attributes:
        signal: (k,) signal events in the range, ascending, from 0 on.
        effective: (k,) signal events that the hunt sees, never falling.
        error: (k,) relative standard error of these.
        variations: (k,) log of what passes of a varied signal over what passes as it is, by name.
    """

    signal: Array
    effective: Array
    error: Array
    variations: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def of(cls, injected: Sequence[Injected]) -> Curve:
        """From all injections of one method and working point: means over the draws of a strength, made monotone (isotonic regression)."""
        from sklearn.isotonic import IsotonicRegression

        strengths = sorted({i.strength for i in injected})
        of_strength = [[i for i in injected if i.strength == s] for s in strengths]
        signal = np.array([0.0, *(np.mean([i.n_injected for i in own]) for own in of_strength)])
        seen = np.array([0.0, *(np.mean([i.effective for i in own]) for own in of_strength)])
        error = [0.0]
        for own in of_strength:
            counted = 1 / np.sqrt(max(sum(i.n_passing for i in own), 1.0))
            mean = max(float(np.mean([i.effective for i in own])), 1.0)
            spread = float(np.std([i.effective for i in own], ddof=1)) / mean / np.sqrt(len(own)) if len(own) > 1 else 0
            error.append(float(max(counted, spread)))
        rising = IsotonicRegression(y_min=0.0).fit_transform(signal, seen)
        names = [name for name, _ in injected[0].variations]
        shifts = {
            n: np.array([np.nan, *(np.mean([dict(i.variations)[n] for i in own]) for own in of_strength)])
            for n in names
        }
        return cls(signal, np.asarray(rising, dtype=np.float64), np.array(error), shifts)

    @property
    def top(self) -> float:
        """The largest signal that the hunt was seen to see."""
        return float(self.effective[-1])

    def signal_at(self, effective: float) -> float:
        """The smallest signal of which the hunt sees `effective` events: infinite beyond what was injected, else at least the first strength.

        Linear between strengths. The curve is convex at its beginning, where classifiers learn nothing yet: below the first strength, a chord from
        the origin would promise too much, and the first strength itself is the safe answer.
        """
        if effective > self.top:
            return float("inf")
        k = max(int(np.searchsorted(self.effective, effective, side="left")), 1)
        if k == 1:
            return float(self.signal[1])
        a, b = self.effective[k - 1], self.effective[k]
        return float(self.signal[k - 1] + (effective - a) / (b - a) * (self.signal[k] - self.signal[k - 1]))

    def _next(self, effective: float) -> int:
        """Place of the next larger strength where the hunt sees `effective` events, at most the last."""
        return min(int(np.searchsorted(self.effective, effective, side="left")), len(self.signal) - 1)

    def variations_at(self, effective: float) -> tuple[tuple[str, float], ...]:
        """Relative size of every variation where the hunt sees `effective` events: of the next larger strength at which enough of it passes.

        Raises FitError where that is none.
        """
        k, out = self._next(effective), []
        for name, shift in self.variations.items():
            known = np.flatnonzero(np.isfinite(shift[k:]))
            if len(known) == 0:
                raise FitError(
                    f"variations.{name}: fewer than {_LEAST_PASSING} signal events that were not injected pass, expected more; a larger table or strength"
                )
            out.append((name, abs(float(shift[k:][known[0]]))))
        return tuple(out)

    def error_at(self, effective: float) -> float:
        """Relative standard error of the curve where the hunt sees `effective` events: of the strengths on both sides, the larger."""
        k = self._next(effective)
        return float(max(self.error[k], self.error[k - 1] if k > 1 else 0.0))


@dataclass(frozen=True, kw_only=True)
class OwnLimit:
    """CLs upper limits on a signal of one's own.

    Attributes:
        window: name of the window.
        method: name of the method.
        eps_bkg: working point.
        observed: signal events as in its table, before any cut.
        expected: the same at -2 .. 2 standard deviations without signal.
        efficiency: share of the table's events that the hunt sees at the median expected limit.
        efficiency_error: relative standard error of it.
        variations: relative standard deviation of the signal that passes, for every variation of its columns by name.
    """

    window: str
    method: str
    eps_bkg: float
    observed: float
    expected: tuple[float, ...]
    efficiency: float
    efficiency_error: float
    variations: tuple[tuple[str, float], ...] = ()


def limit_own_signal(
    h: HuntResult, workspace: dict[str, Any], curve: Curve, acceptance: float, *, level: float = 0.95
) -> OwnLimit:
    """Limits on the signal of a table, of whose events the share `acceptance` lies in the range.

    A signal S is excluded where the hunt would see more of it than CLs allows on signal events that pass (`upper_limit`, measurement `yield`), with
    the error of the efficiency and every variation of the signal's columns as nuisances, the latter by their own names in all windows; what the hunt sees rises with S, so that the limit is where it reaches that. Infinite where no
    injected strength was large enough, or the signal is too uncertain for any. Not valid where the data hold a signal: injections then are found with its help.
    """
    seen = h.limit.s_exp[2] if h.limit else curve.top
    at, variations = curve.error_at(seen), curve.variations_at(seen)
    tree = copy.deepcopy(workspace)
    signal = tree["channels"][0]["samples"][0]
    signal["modifiers"].append(normsys(f"signal_efficiency_{h.name}", min(at, 2.0)))
    signal["modifiers"] += [normsys(name, min(sigma, 2.0)) for name, sigma in variations if sigma > _NO_SHIFT]
    try:
        observed, expected = upper_limit(tree, level=level)
    except FitError:  # nothing is excluded with such an error of the efficiency
        observed, expected = np.inf, (np.inf,) * 5
    found = [curve.signal_at(s) / acceptance for s in (observed, *expected)]
    middle = found[3]
    return OwnLimit(
        window=h.window,
        method=h.method,
        eps_bkg=h.eps_bkg,
        observed=found[0],
        expected=tuple(found[1:]),
        efficiency=expected[2] / middle if 0 < middle < np.inf else 0.0,
        efficiency_error=at,
        variations=variations,
    )


def check_size(signal: Events, window: Window, events: Events, strength: float) -> None:
    """Raise FitError for a table that holds too few signal events for a strength: none may be injected twice."""
    inside = int(window.in_signal(signal.mass).sum())
    needed = strength * float(np.sqrt(window.in_signal(events.mass).sum()))
    if inside < needed + 5 * np.sqrt(needed):
        raise FitError(
            f"signal: found {inside} events in the signal region of {window.name}, expected at least "
            f"{needed + 5 * np.sqrt(needed):.0f}, to inject {strength:g} times the square root of the background; more events, or smaller strengths"
        )
