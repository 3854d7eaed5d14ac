"""pyhf workspaces: one counting experiment per window, method and working point, with named nuisances."""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import ndtr

from cathode.errors import ConfigError, FitError
from cathode.stats.tails import normal_isf, normal_logsf, normal_sf, student_isf

_PRECISION = 2e-4  # of a limit, relative


@dataclass(frozen=True, kw_only=True)
class Counting:
    """What a counting experiment needs, in events of the signal region after the selection.

    Attributes:
        name: channel name.
        window: whose density is behind it; empty: one that nothing else shares.
        n_obs: observed events; None when blind.
        n_bkg: expected background, non-closure shift included.
        m: reference events that pass (effective number), behind `n_bkg`.
        initialisation, bootstrap, non_closure: relative (log) standard deviations that are known.
        scatter: that of the non-closure from region to region.
        nu: degrees of freedom of the scatter.
        z: standard deviations where the test needs the tail of the scatter: those of the primary significance.
        sideband_ratio, sideband_error: background that the sidebands' mass fit expects in the signal region over the events
            there, and its relative standard deviation; 1 and 0 where it is not used.
        systematics: relative (log) standard deviations of the signal's size, by name.
        overdispersion: variance of the count over Poisson, and of that of the reference, at least 1.
    """

    name: str
    n_obs: float
    n_bkg: float
    m: float
    initialisation: float
    bootstrap: float
    non_closure: float
    scatter: float
    nu: float
    z: float = 3.0
    sideband_ratio: float = 1.0
    sideband_error: float = 0.0
    systematics: tuple[tuple[str, float], ...] = ()
    overdispersion: float = 1.0
    window: str = ""


def student_inflation(nu: float, z: float = 3.0) -> float:
    """Factor that makes a Gaussian constraint as wide as Student's t at `z` standard deviations.

    t_nu^-1(Phi(z)) / z; 1 for infinite nu. HistFactory has no t constraint, so the published normsys carry it.

    >>> round(student_inflation(11), 3)
    1.283
    """
    return 1.0 if not np.isfinite(nu) else float(student_isf(normal_sf(z), nu) / z)


def normsys(name: str, sigma: float) -> dict[str, Any]:
    """A log-normal nuisance of relative (log) standard deviation `sigma`, as a modifier of a sample."""
    size = float(np.exp(sigma))
    return {"name": name, "type": "normsys", "data": {"hi": size, "lo": 1 / size}}


def beyond_poisson(overdispersion: float, n: float) -> float:
    """Relative standard deviation that a Poisson count of `n` expected events lacks when its variance is `overdispersion` times larger: sqrt((v - 1) / n).

    HistFactory knows no other count than Poisson's; a log-normal nuisance of this size has the same variance to first order. That of the background: what
    a signal adds to the count is taken for Poisson.

    >>> beyond_poisson(1.25, 100.0)
    0.05
    """
    return float(np.sqrt(max(overdispersion - 1, 0.0) / n))


def build_workspace(c: Counting) -> dict[str, Any]:
    """The pyhf workspace of one counting experiment.

    The signal has sqrt(n_bkg) events at mu = 1. Nuisances: `gen_stat` (Poisson count of the reference sample, shapesys), and
    log-normal `ens_init`, `boot_train`, `nonclosure` and a scatter (normsys), which `student_inflation` makes as wide as Student's tail is where it is
    needed: `scatter_test` at the significance `z` (from 1 to 8), `scatter` at the 1.645 of a 95 % limit. Each measurement has one of them, the other is fixed at 0.
    `counting` is what an overdispersed count varies beyond Poisson (`beyond_poisson`); the reference counts m / v events then, as in `p_predictive`. `boot_train` has one name per window, whose methods and working points share the bootstraps of one density; other
    windows draw weights of their own. Each of the `systematics` of the signal has one name everywhere.

    Two measurements. `hunt`, the first, tests for background alone: then all events of the signal region are background,
    and `sb_norm` is fixed where the background is their number times the efficiency. `yield` measures and limits a signal:
    those events may hold some, so the background is normalised to the sidebands' mass fit, with its error.
    """
    scale, nominal = float(np.sqrt(c.n_bkg)), c.n_bkg * c.sideband_ratio
    modifiers: list[dict[str, Any]] = [
        {"name": f"gen_stat_{c.name}", "type": "shapesys", "data": [nominal / float(np.sqrt(c.m / c.overdispersion))]}
    ]
    for name, sigma in (
        (f"ens_init_{c.name}", c.initialisation),
        (f"boot_train_{c.window or c.name}", c.bootstrap),
        (f"counting_{c.name}", beyond_poisson(c.overdispersion, c.n_bkg)),
        (f"nonclosure_{c.name}", c.non_closure),
        (f"scatter_test_{c.name}", c.scatter * student_inflation(c.nu, min(max(abs(c.z), 1.0), 8.0))),
        (f"scatter_{c.name}", c.scatter * student_inflation(c.nu, float(normal_isf(0.05)))),
    ):
        if sigma > 0:
            modifiers.append(normsys(name, min(sigma, 5.0)))
    hunt: list[dict[str, Any]] = []
    limit: list[dict[str, Any]] = []
    if c.scatter > 0:
        hunt.append({"name": f"scatter_{c.name}", "fixed": True})
        limit.append({"name": f"scatter_test_{c.name}", "fixed": True})
    if c.sideband_error > 0:
        name = f"sb_norm_{c.name}"
        modifiers.append(normsys(name, c.sideband_error))
        at = -float(np.log(c.sideband_ratio)) / c.sideband_error
        hunt.append({"name": name, "fixed": True, "inits": [at], "bounds": [[at - 1, at + 1]]})
    of_signal: list[dict[str, Any]] = [{"name": "mu", "type": "normfactor", "data": None}]
    for name, sigma in c.systematics:
        of_signal.append(normsys(name, sigma))
        hunt.append({"name": name, "fixed": True})  # it says nothing of whether there is a signal
    top = max(50.0, 4 * ((c.n_obs or 0.0) + 10) / scale)
    mu = {"name": "mu", "bounds": [[-5.0, top]], "inits": [0.0]}
    return {
        "channels": [
            {
                "name": c.name,
                "samples": [
                    {"name": "signal", "data": [scale], "modifiers": of_signal},
                    {"name": "background", "data": [nominal], "modifiers": modifiers},
                ],
            }
        ],
        "observations": [{"name": c.name, "data": [float(c.n_obs if c.n_obs is not None else c.n_bkg)]}],
        "measurements": [
            {"name": "hunt", "config": {"poi": "mu", "parameters": [mu, *hunt]}},
            {"name": "yield", "config": {"poi": "mu", "parameters": [mu, *limit]}},
        ],
        "version": "1.0.0",
    }


def load_model(workspace: dict[str, Any], measurement: str) -> tuple[Any, Any]:
    """Pyhf's model of a measurement, and the data."""
    import pyhf

    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-3))
    loaded = pyhf.Workspace(json.loads(json.dumps(workspace)))
    model = loaded.model(measurement_name=measurement)
    return model, loaded.data(model)


def signal_events(workspace: dict[str, Any]) -> float:
    """Signal events of all channels at mu = 1."""
    samples = [sample for channel in workspace["channels"] for sample in channel["samples"]]
    return float(sum(sum(sample["data"]) for sample in samples if sample["name"] == "signal"))


def z_pyhf(workspace: dict[str, Any]) -> float:
    """Signed asymptotic significance of the measurement `hunt`: sqrt(q0), negative for a deficit.

    q0 of Cowan et al., arXiv:1007.1727, eq. 12 (one-sided; pyhf sets it to 0 for mu-hat < 0). For a deficit the
    two-sided profile likelihood ratio at mu = 0 gives the size.
    """
    import pyhf  # one second that light steps need not pay

    model, data = load_model(workspace, "hunt")
    init, bounds, fixed = model.config.suggested_init(), model.config.suggested_bounds(), model.config.suggested_fixed()
    best, free = pyhf.infer.mle.fit(data, model, init, bounds, fixed, return_fitted_val=True)
    _, null = pyhf.infer.mle.fixed_poi_fit(0.0, data, model, init, bounds, fixed, return_fitted_val=True)
    sign = np.sign(best[model.config.poi_index])
    return float(sign * np.sqrt(max(float(null) - float(free), 0.0)))


def upper_limit(workspace: dict[str, Any], *, level: float = 0.95) -> tuple[float, tuple[float, ...]]:
    """CLs upper limit at a confidence `level` on the signal events of `yield`: observed, and expected at -2 .. 2 standard deviations.

    Asymptotic q-tilde (arXiv:1007.1727, section 3.7; CLs of arXiv:1007.1727, eqs. 65 and 67): p-values of q_mu by its distribution under
    mu and under 0, whose width comes from the Asimov data. Expected at N standard deviations: CLs falls to a = 1 - level
    where sqrt(q_A(mu)) = N + Phi^-1(1 - a Phi(N)) (eq. 89 for CLs). Fits are pyhf's; what its own scan fits anew at every mu is fitted once
    here, and interpolated, with the same result in a tenth of the time. Not valid for counts of a few events. Raises FitError where no mu is excluded.
    """
    check_level(level)
    model, data, size = *load_model(workspace, "yield"), 1 - level
    scan = _Profile(model, data)
    scale = signal_events(workspace)
    roots = [n + float(normal_isf(size * ndtr(n))) for n in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    # the largest first: what is fitted on the way brackets the others
    expected = [scan.asimov.reaches(root) for root in reversed(roots)]
    observed = scan.observed.reaches(-float(np.log(size)))
    return observed * scale, tuple(limit * scale for limit in reversed(expected))


def check_level(level: float) -> None:
    """Raise ConfigError for what is no confidence level of a limit."""
    if not 0.5 <= level < 1:
        raise ConfigError(f"level: found {level:g}, expected a confidence level from 0.5 on and below 1, e.g. 0.95")


class _Rising:
    """A function of mu >= 0 that rises from 0 and is dear, so that its values are kept; where it takes one is found by inverse interpolation."""

    def __init__(self, function: Callable[[float], float], start: float, top: float) -> None:
        self._function, self._start, self._top = function, start, top
        self._mu, self._value = [0.0], [0.0]

    def reaches(self, value: float) -> float:
        """The mu at which it is `value`. Raises FitError where it stays below.

        It is looked for upwards from `start`: far above, where nothing fits, minimisers fail.
        """
        end = self._start
        while self._value[-1] < value:
            if self._mu[-1] >= self._top:
                raise FitError(f"limit: found none up to {self._top:.4g} times the square root of the background")
            end = min(max(end, 1.5 * self._mu[-1]), self._top)
            self._measure(end)
        mu, before = self._inverse(value), -1.0
        while abs(mu - before) > _PRECISION * mu:
            self._measure(mu)
            mu, before = self._inverse(value), mu
        return mu

    def _measure(self, mu: float) -> None:
        at = bisect.bisect(self._mu, mu)
        self._mu.insert(at, mu)
        # noise of the minimiser must not make it fall
        self._value.insert(at, max(self._function(mu), self._value[at - 1] + 1e-9))
        for i in range(at + 1, len(self._value)):
            self._value[i] = max(self._value[i], self._value[i - 1] + 1e-9)

    def _inverse(self, value: float) -> float:
        if len(self._mu) == 2:
            return value * self._mu[1] / self._value[1]
        return float(PchipInterpolator(self._value, self._mu)(value))


class _Profile:
    """q-tilde of data, and q of the Asimov data without signal, against mu; a fit each.

    Attributes:
        asimov: root of the test statistic of the Asimov data.
        observed: minus the log of CLs of the data.
    """

    def __init__(self, model: Any, data: Any) -> None:
        import pyhf

        self._fit, self._poi = pyhf.infer.mle.fixed_poi_fit, model.config.poi_index
        bounds = model.config.suggested_bounds()
        top = bounds[self._poi][1]
        # q-tilde is defined for mu >= 0 only: the fit may not go below
        bounds[self._poi] = (0.0, 2 * top)
        self._rest = (bounds, model.config.suggested_fixed())
        init = model.config.suggested_init()
        best, free = pyhf.infer.mle.fit(data, model, init, *self._rest, return_fitted_val=True)
        null, _ = self._fit(0.0, data, model, init, *self._rest, return_fitted_val=True)
        asimov = model.expected_data(null)
        self._best, self._model, self._init = float(best[self._poi]), model, init
        # the Asimov data are fitted best by what they were made of
        of_data, of_asimov = (data, float(free)), (asimov, float(-2 * model.logpdf(null, asimov)[0]))
        start = max(self._best, 0.0) + 2
        self.asimov = _Rising(lambda mu: float(np.sqrt(self._q(of_asimov, mu))), start, 2 * top)
        self.observed = _Rising(
            lambda mu: self._log_cls(self._q(of_data, mu), self._q(of_asimov, mu), mu), start, 2 * top
        )

    def _log_cls(self, q: float, at: float, mu: float) -> float:
        """Minus the log of CLs, of the statistics of the data and of the Asimov data."""
        q = 0.0 if mu < self._best else q
        if at <= 0.0:
            return 0.0
        width = np.sqrt(at)
        low, high = (np.sqrt(q), np.sqrt(q) - width) if q <= at else ((q + at) / (2 * width), (q - at) / (2 * width))
        return float(normal_logsf(high) - normal_logsf(low))

    def _q(self, sample: tuple[Any, float], mu: float) -> float:
        data, free = sample
        _, value = self._fit(mu, data, self._model, self._init, *self._rest, return_fitted_val=True)
        return max(float(value) - free, 0.0)
