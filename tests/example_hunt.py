"""One hunt with all its numbers, and the summary of a run that holds it."""

from __future__ import annotations

import dataclasses

from cathode.config import Config
from cathode.events import Intake
from cathode.inference.total import inclusive_excess, window_significances
from cathode.results import (
    CrossChecks,
    ExpectedEvents,
    HuntResult,
    Limit,
    NonClosure,
    Oversampling,
    Reference,
    Sigma,
    SignalYield,
    Stage,
)
from cathode.spectrum.mass_fit import Sculpting
from cathode.summary import Summary

CHECKS = CrossChecks(
    z_slide=5.0, z_classical=5.0, z_li_ma=5.0, z_pyhf=5.0, z_mass_fit=4.6, z_sequential=4.1
)  # fmt: skip
GOOD = HuntResult(
    window="m3500", signal_region=(3300.0, 3700.0), method="cathode", eps_bkg=0.01, n_sr=18000, n_obs=357, n_obs_average=357.0, n_bkg=183.0,
    n_bkg_uncorrected=180.0, sigma=Sigma(template=6.0, initialisation=0.5, bootstrap=2.0, non_closure=9.7, total=11.7),
    non_closure=NonClosure(mean=0.0165, sigma=0.053, n_windows=12), overdispersion=1.0, p_local=4e-8, z_local=5.4,
    n_sr_expected=ExpectedEvents(value=17700.0, fit_error=120.0), signal_yield=SignalYield(value=170.0, sigma=20.0), cross_checks=CHECKS,
    limit=Limit(s_obs=210.0, s_exp=(28.0, 38.0, 52.0, 72.0, 96.0)), oversampling=Oversampling(passing=860.0, needed=1200.0, enough=False),
    reference=Reference(m=860.0, tau=4.7, n_splits=3),
    waterfall=(Stage(source="counting", z=11.2), Stage(source="non_closure", z=5.4)),
    sculpting=Sculpting(masses=(2500.0,), efficiency=(0.01,), error=(0.001,), slope=0.01, slope_error=0.02, p_value=0.4),
)  # fmt: skip


def summary(*hunts: HuntResult, z_global: float | None = 5.1, **changes: object) -> Summary:
    config = Config().as_dict()
    made = Summary(
        run="demo",
        code_version="0.1.0",
        config=config,
        config_sha256="0" * 64,
        n_events=139479,
        intake=Intake(read=150000, kept=139479, dropped={"range": 10521}, duplicates=0, inputs=None),
        p_global=None if z_global is None else 1e-7,
        z_global=z_global,
        trials=6,
        trials_effective=6.0,
        p_sidak=None if z_global is None else 1e-7,
        blind=z_global is None,
        windows=window_significances(hunts, inclusive=inclusive_excess(hunts)),
        inclusive=inclusive_excess(hunts),
        hunts=hunts,
    )
    return dataclasses.replace(made, **changes)
