"""What pyhf does that a user of it must know: each pitfall that the workspace is built around, held by a test."""

from __future__ import annotations

import dataclasses
import re

import cabinetry
import numpy as np
import pyhf
import pytest
from conftest import ROOT, counting
from independent import z_profile_counts

from cathode.stats.counting import li_ma, p_predictive, z_value
from cathode.stats.workspace import build_workspace, upper_limit, z_pyhf

LARGE = counting(400.0, 100.0, 1e6)
FULL = counting(240.0, 130.0, 2000.0, initialisation=0.01, bootstrap=0.03, non_closure=0.05)


def test_nothing_calls_hypotest_whose_toys_crash_with_recent_numpy():
    """hypotest(calctype="toybased") uses an argument that numpy 2.4 removed; asymptotic hypotest costs three times the fits."""
    calls = [
        path for path in (ROOT / "cathode").rglob("*.py") if re.search(r"hypotest\(|ToyCalculator", path.read_text())
    ]
    assert not calls


def test_a_large_signal_is_not_cut_by_the_bounds_of_the_parameter():
    """pyhf's default bounds of a normfactor are 0 to 10, which hides deficits and cuts signals above 10 sqrt(b)."""
    assert z_pyhf(build_workspace(LARGE)) == pytest.approx(li_ma(400, 1e6, 1e4), abs=2e-3)
    many = counting(20.0 + 40 * np.sqrt(4.0), 4.0, 1e6)
    bounds = build_workspace(many)["measurements"][0]["config"]["parameters"][0]["bounds"][0]
    assert bounds[0] < 0
    assert bounds[1] * np.sqrt(4.0) > many.n_obs


def test_separate_nuisances_give_the_significance_of_a_combined_one():
    combined = float(np.sqrt(FULL.initialisation**2 + FULL.bootstrap**2 + FULL.non_closure**2))
    one = counting(FULL.n_obs, FULL.n_bkg, FULL.m, non_closure=combined)
    assert z_pyhf(build_workspace(FULL)) == pytest.approx(z_pyhf(build_workspace(one)), abs=1e-3)


def test_the_backend_is_set_by_every_call_and_not_expected_from_the_process():
    """The optimiser is global state of pyhf: whoever sets another one must not change our numbers."""
    before = z_pyhf(build_workspace(FULL))
    pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer(maxiter=1))
    assert z_pyhf(build_workspace(FULL)) == before


def test_a_normsys_is_an_exponential_on_both_sides():
    """With lo = 1 / hi the log-normal is symmetric in log: its effect at +-1 and +-2.5 is hi to that power."""
    workspace = build_workspace(FULL)
    model = pyhf.Workspace(workspace).model()
    name, hi = next(
        (m["name"], m["data"]["hi"])
        for m in workspace["channels"][0]["samples"][1]["modifiers"]
        if m["name"].startswith("nonclosure")
    )
    for theta in (-2.5, -1.0, 0.4, 1.0):
        parameters = np.array(model.config.suggested_init())
        parameters[model.config.par_slice(name)] = theta
        assert model.expected_actualdata(parameters)[0] == pytest.approx(FULL.n_bkg * hi**theta, rel=1e-6)


def test_the_vectorised_likelihood_is_that_of_pyhf():
    """Inside pyhf's bounds: nuisances within 5 standard deviations, signals above -5 sqrt(b)."""
    cases = [(3.0, 8.0, 0.4), (20.0, 300.0, 0.15), (130.0, 2000.0, 0.06), (1800.0, 9000.0, 0.02), (12.0, 1e5, 0.0)]
    rows = [
        (float(np.round(b + k * np.sqrt(b + b**2 / m + (s * b) ** 2))), b, m, s)
        for b, m, s in cases
        for k in (-0.8, 1.5, 6.0)
    ]
    own = z_profile_counts(*np.array(rows).T)
    fitted = [z_pyhf(build_workspace(counting(n, b, m, non_closure=s))) for n, b, m, s in rows]
    np.testing.assert_allclose(own, fitted, atol=1e-3)


def test_systematics_of_the_signal_weaken_the_limit_and_never_the_test():
    """Two named ones are one of their size in quadrature; marginal toys of the count say the same of the limit."""
    plain = dataclasses.replace(FULL, n_obs=130.0)
    named = dataclasses.replace(plain, systematics=(("luminosity", 0.16), ("jet_energy_scale", 0.12)))
    single = dataclasses.replace(plain, systematics=(("all_of_it", 0.2),))
    spaces = [build_workspace(c) for c in (plain, named, single)]
    signal = spaces[1]["channels"][0]["samples"][0]
    assert [m["name"] for m in signal["modifiers"]] == ["mu", "luminosity", "jet_energy_scale"]
    assert pyhf.Workspace(spaces[1]).model().config.par_order  # valid by pyhf's own schema
    assert z_pyhf(spaces[1]) == pytest.approx(z_pyhf(spaces[0]), abs=1e-3)
    limits = [upper_limit(space)[0] for space in spaces]
    assert limits[1] == pytest.approx(limits[2], rel=2e-3)
    assert limits[1] > 1.01 * limits[0]
    rng = np.random.default_rng(2)
    n = 400_000
    b = 130 * np.exp(np.hypot(0.01, np.hypot(0.03, 0.05)) * rng.standard_normal(n)) * rng.gamma(2000, 1 / 2000, n)
    for limit, error in zip(limits[:2], (0.0, 0.2), strict=True):
        seen = limit * np.exp(error * rng.standard_normal(n))
        cls = np.mean(rng.poisson(b + seen) <= 130) / np.mean(rng.poisson(b) <= 130)
        assert cls == pytest.approx(0.05, abs=0.02)


SCATTERED = [
    (190, 100.0, 2000.0, 0.03, 0.06, 11),
    (300, 100.0, 2000.0, 0.03, 0.06, 11),
    (320, 100.0, 2000.0, 0.03, 0.1, 20),
    (60, 10.0, 200.0, 0.05, 0.2, 20),
]


@pytest.mark.parametrize(("n", "b", "m", "sigma", "scatter", "nu"), SCATTERED)
def test_a_test_has_the_tail_of_the_scatter_where_its_significance_is(n, b, m, sigma, scatter, nu):
    """q0 with a Gaussian as wide as Student's tail at the primary's own significance is a check of it; as wide as at 3 standard deviations it is none."""
    z = z_value(p_predictive(n, m, m / b, mu=0.0, sigma=sigma, scatter=scatter, nu=nu))
    c = counting(float(n), b, m, non_closure=sigma, scatter=scatter, nu=nu)
    assert z > 4.5
    assert z_pyhf(build_workspace(dataclasses.replace(c, z=z))) == pytest.approx(z, abs=0.45)
    assert z_pyhf(build_workspace(dataclasses.replace(c, z=3.0))) > z + 0.7


@pytest.mark.parametrize("z", [0.3, 6.0])
def test_a_limit_has_the_tail_of_the_scatter_where_limits_are(z):
    """Against marginal toys with Student's scatter; whatever the significance of the test."""
    n, b, m, sigma, scatter, nu = 105, 100.0, 2000.0, 0.03, 0.06, 11
    c = counting(float(n), b, m, non_closure=sigma, scatter=scatter, nu=nu)
    limit, _ = upper_limit(build_workspace(dataclasses.replace(c, z=z)))
    rng = np.random.default_rng(1)
    toys = 400_000
    seen = (
        b * np.exp(sigma * rng.standard_normal(toys) + scatter * rng.standard_t(nu, toys)) * rng.gamma(m, 1 / m, toys)
    )
    cls = np.mean(rng.poisson(seen + limit) <= n) / np.mean(rng.poisson(seen) <= n)
    assert cls == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize(
    ("n", "b", "m", "v"),
    [(150, 100.0, 1e6, 1.5), (1150, 1000.0, 1e6, 2.0), (130, 100.0, 1e6, 1.2), (272, 192.5, 163.0, 1.5)],
)
def test_counts_that_vary_more_than_poisson_do_so_in_test_and_limit(n, b, m, v):
    """Against the primary formula, and the limit against toys of counts in units of their overdispersion; that of the reference is of the same cuts."""
    plain = counting(float(n), b, m)
    wide = dataclasses.replace(plain, overdispersion=v)
    z = z_value(p_predictive(n, m, m / b, mu=0.0, sigma=0.0, overdispersion=v))
    assert z_pyhf(build_workspace(wide)) == pytest.approx(z, abs=0.12)
    assert z_pyhf(build_workspace(plain)) > z + 0.2
    quiet = dataclasses.replace(wide, n_obs=b)
    limit, _ = upper_limit(build_workspace(quiet))
    assert limit > 1.07 * upper_limit(build_workspace(dataclasses.replace(plain, n_obs=b)))[0]
    rng = np.random.default_rng(1)
    rate = b * rng.gamma(m / v, v / m, 400_000)
    # of the background what is beyond Poisson, of the signal Poisson
    low = [
        np.mean(v * rng.poisson(rate / v) - v * rng.random(400_000) / 2 + rng.poisson(s, 400_000) <= b)
        for s in (limit, 1e-9)
    ]
    assert low[0] / low[1] == pytest.approx(0.05, abs=0.015)


def test_cabinetry_reads_fits_and_ranks_it():
    """Whoever publishes with cabinetry finds our significance, the yield, and what each uncertainty is worth in events."""
    c = counting(
        240.0, 130.0, 2000.0, initialisation=0.01, bootstrap=0.03, non_closure=0.05, scatter=0.04, nu=11, sideband=(0.98, 0.01)
    )  # fmt: skip
    workspace = build_workspace(dataclasses.replace(c, systematics=(("luminosity", 0.02),)))
    cabinetry.workspace.validate(workspace)
    found = cabinetry.fit.significance(*cabinetry.model_utils.model_and_data(workspace))
    assert found.observed_significance == pytest.approx(z_pyhf(workspace), abs=1e-4)
    measured = workspace | {"measurements": workspace["measurements"][::-1]}
    assert measured["measurements"][0]["name"] == "yield"
    model, data = cabinetry.model_utils.model_and_data(measured)
    fit = cabinetry.fit.fit(model, data)
    events = np.sqrt(c.n_bkg)  # of mu = 1
    assert fit.bestfit[fit.labels.index("mu")] * events == pytest.approx(240 - 0.98 * 130, abs=0.3)
    ranked = cabinetry.fit.ranking(model, data, fit_results=fit)
    impact = dict(zip(ranked.labels, ranked.prefit_up * events, strict=True))
    assert impact["nonclosure_c"] == pytest.approx(-0.98 * 130 * np.expm1(0.05), rel=0.02)
    assert impact[f"boot_train_{FULL.name}"] == pytest.approx(-0.98 * 130 * np.expm1(0.03), rel=0.02)
    assert impact["scatter_test_c"] == 0  # of the other measurement
