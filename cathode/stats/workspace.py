"""pyhf workspaces: one counting experiment per window, method and working point, with named nuisances."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from cathode.errors import ConfigError, FitError
from cathode.stats.tails import normal_isf, normal_logsf, normal_sf, student_isf


@dataclass(frozen=True, kw_only=True)
class Counting:
    """What a counting experiment needs, in events of the signal region after the selection.

    Attributes:
        name: channel name.
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


def build_workspace(c: Counting) -> dict[str, Any]:
    """The pyhf workspace of one counting experiment.

    The signal has sqrt(n_bkg) events at mu = 1. Nuisances: `gen_stat` (Poisson count of the reference sample, shapesys), and
    log-normal `ens_init`, `boot_train`, `nonclosure` and a scatter (normsys), which `student_inflation` makes as wide as Student's tail is where it is
    needed: `scatter_test` at the significance `z` (from 1 to 8), `scatter` at the 1.645 of a 95 % limit. Each measurement has one of them, the other is fixed at 0.
    `boot_train` has one name in all windows: the same bootstrap weights underlie them. So has each of the `systematics` of the signal.

    Two measurements. `hunt`, the first, tests for background alone: then all events of the signal region are background,
    and `sb_norm` is fixed where the background is their number times the efficiency. `yield` measures and limits a signal:
    those events may hold some, so the background is normalised to the sidebands' mass fit, with its error.
    """
    scale, nominal = float(np.sqrt(c.n_bkg)), c.n_bkg * c.sideband_ratio
    modifiers: list[dict[str, Any]] = [
        {"name": f"gen_stat_{c.name}", "type": "shapesys", "data": [nominal / float(np.sqrt(c.m))]}
    ]
    for name, sigma in (
        (f"ens_init_{c.name}", c.initialisation),
        ("boot_train", c.bootstrap),
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


def _model(workspace: dict[str, Any], measurement: str) -> tuple[Any, Any]:
    import pyhf

    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-3))
    loaded = pyhf.Workspace(json.loads(json.dumps(workspace)))
    model = loaded.model(measurement_name=measurement)
    return model, loaded.data(model)


def z_pyhf(workspace: dict[str, Any]) -> float:
    """Signed asymptotic significance of the measurement `hunt`: sqrt(q0), negative for a deficit.

    q0 of Cowan et al., arXiv:1007.1727, eq. 12 (one-sided; pyhf sets it to 0 for mu-hat < 0). For a deficit the
    two-sided profile likelihood ratio at mu = 0 gives the size.
    """
    import pyhf  # one second that light steps need not pay

    model, data = _model(workspace, "hunt")
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
    here, with the same result in an eighth of the time. Not valid for counts of a few events. Raises FitError where no mu is excluded.
    """
    check_level(level)
    model, data, size = *_model(workspace, "yield"), 1 - level
    scan = _Profile(model, data)
    scale = workspace["channels"][0]["samples"][0]["data"][0]
    observed = scan.crossing(lambda mu: scan.cls(mu) - size)
    expected = []
    for n in (-2.0, -1.0, 0.0, 1.0, 2.0):
        root = n + float(normal_isf(size * ndtr(n)))
        expected.append(scan.crossing(lambda mu, root=root: root - np.sqrt(scan.asimov(mu))))  # type: ignore[misc]
    return observed * scale, tuple(limit * scale for limit in expected)


def check_level(level: float) -> None:
    """Raise ConfigError for what is no confidence level of a limit."""
    if not 0.5 <= level < 1:
        raise ConfigError(f"level: found {level:g}, expected a confidence level from 0.5 on and below 1, e.g. 0.95")


class _Profile:
    """q-tilde of data, and q of the Asimov data without signal, against mu; a fit each, from the same start."""

    def __init__(self, model: Any, data: Any) -> None:
        import pyhf

        self._fit, self._poi = pyhf.infer.mle.fixed_poi_fit, model.config.poi_index
        bounds = model.config.suggested_bounds()
        self.top = bounds[self._poi][1]
        # q-tilde is defined for mu >= 0 only: the fit may not go below
        bounds[self._poi] = (0.0, 2 * self.top)
        self._rest = (bounds, model.config.suggested_fixed())
        init = model.config.suggested_init()
        best, free = pyhf.infer.mle.fit(data, model, init, *self._rest, return_fitted_val=True)
        null, _ = self._fit(0.0, data, model, init, *self._rest, return_fitted_val=True)
        asimov = model.expected_data(null)
        self._best, self._model = float(best[self._poi]), model
        # the Asimov data are fitted best by what they were made of
        self._samples = ((data, float(free)), (asimov, float(-2 * model.logpdf(null, asimov)[0])))
        self._init, self._found = init, dict[tuple[int, float], float]()

    def asimov(self, mu: float) -> float:
        """The test statistic of the Asimov data."""
        return self._q(1, mu)

    def cls(self, mu: float) -> float:
        """CLs of the data."""
        q, at = (0.0 if mu < self._best else self._q(0, mu)), self._q(1, mu)
        if at <= 0.0:
            return 1.0
        width = np.sqrt(at)
        low, high = (np.sqrt(q), np.sqrt(q) - width) if q <= at else ((q + at) / (2 * width), (q - at) / (2 * width))
        return float(np.exp(normal_logsf(low) - normal_logsf(high)))

    def crossing(self, falling: Callable[[float], float]) -> float:
        """The mu at which a falling function is 0. Raises FitError where it stays above.

        It is looked for upwards from the best fit: far above, where nothing fits, minimisers fail.
        """
        start, end = 0.0, max(self._best, 0.0) + 2
        while falling(end) > 0:
            if end >= 2 * self.top:
                raise FitError(f"limit: found none up to {end:.4g} times the square root of the background")
            start, end = end, min(1.5 * end, 2 * self.top)
        return float(brentq(falling, start, end, xtol=1e-6 * self.top, rtol=1e-4))

    def _q(self, which: int, mu: float) -> float:
        if (which, mu) not in self._found:
            data, free = self._samples[which]
            _, value = self._fit(mu, data, self._model, self._init, *self._rest, return_fitted_val=True)
            self._found[which, mu] = max(float(value) - free, 0.0)
        return self._found[which, mu]
