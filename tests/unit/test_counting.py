"""Significances against closed forms, independent implementations and published numbers."""

from __future__ import annotations

import numpy as np
import pyhf
import pytest
from conftest import counting
from independent import z_bi
from scipy.stats import binom, kstest, norm
from scipy.stats import t as student

from cathode.stats.counting import (
    generative_hunt,
    li_ma,
    p_predictive,
    sidak,
    z_classical,
    z_value,
)
from cathode.stats.workspace import build_workspace, student_inflation, upper_limit, z_pyhf


def test_li_ma_is_zero_at_the_expectation_and_signed():
    assert li_ma(20, 100, 5) == pytest.approx(0, abs=1e-7)
    assert li_ma(30, 100, 5) > 0 > li_ma(10, 100, 5)
    assert li_ma(0, 100, 5) < -5


def test_li_ma_equals_pyhf_shapesys():
    """A Poisson auxiliary measurement is exactly the on-off problem."""
    for n, m, tau in ((150, 400.0, 4.0), (12, 40.0, 8.0), (60, 400.0, 4.0)):
        workspace = build_workspace(counting(n, m / tau, m))
        assert z_pyhf(workspace) == pytest.approx(li_ma(n, m, tau), abs=2e-3)


def test_z_bi_equals_the_binomial_tail_and_a_published_number():
    """p_Bi is a binomial tail; on 140 over 100 events at tau 1 the numbers of Cousins et al. (2008), table 1 style."""
    n, m, tau = 140, 100, 1.2
    p = binom.sf(n - 1, n + m, 1 / (1 + tau))
    assert z_bi(n, m, tau) == pytest.approx(norm.isf(p), rel=1e-9)
    # Cousins, Linnemann, Tucker (physics/0702156), table 1, first column: n_on 4, n_off 5, tau 5.0 gives Z_Bi 1.66
    assert z_bi(4, 5, 5.0) == pytest.approx(1.66, abs=0.005)
    # same table, Li and Ma's own case: n_on 4, n_off 5, tau 5.0 gives 1.95
    assert li_ma(4, 5, 5.0) == pytest.approx(1.95, abs=0.005)


def test_the_slide_formula_gives_hand_numbers():
    # O = 130, s_O = 2, B = 100, s_B = 4, two members each: 30 / sqrt(4/2 + 16/2 + 100)
    o, b = [130 - np.sqrt(2), 130 + np.sqrt(2)], [100 - np.sqrt(8), 100 + np.sqrt(8)]
    found = generative_hunt(o, b)
    assert (found.observed_error, found.background_error) == pytest.approx((np.sqrt(2), np.sqrt(8)))
    assert found.z == pytest.approx(30 / np.sqrt(2 + 8 + 100))


def test_the_slide_formula_is_no_discovery_statistic():
    """For a large ensemble it tends to S / sqrt(B) of a wrong background, as if that were certain."""
    rng = np.random.default_rng(0)
    o, b = rng.normal(1150, 10, 20000), rng.normal(1000, 10, 20000)  # truth: 1150, model 13 % low
    assert generative_hunt(o, b).z == pytest.approx(z_classical(1150, 1000), abs=0.05)


def test_the_predictive_p_is_a_tail_without_bias_terms():
    n, m, tau = 150, 400, 4.0
    p = p_predictive(n, m, tau, mu=0, sigma=0)
    # Jeffreys prior lies between the two conditional binomial conventions
    low, high = binom.sf(n - 1, n + m - 1, 1 / (1 + tau)), binom.sf(n - 1, n + m, 1 / (1 + tau))
    assert min(low, high) <= p <= max(low, high)


def test_the_predictive_p_agrees_with_direct_integration_by_simulation():
    rng = np.random.default_rng(3)
    n, m, tau, mu, sigma, scatter, nu, toys = 160, 400, 4.0, 0.05, 0.07, 0.08, 5, 1_000_000
    bias = sigma * rng.standard_normal(toys) + scatter * student.rvs(nu, size=toys, random_state=4)
    rate = rng.gamma(m + 0.5, 1 / tau, toys) * np.exp(mu + bias)
    simulated = (rng.poisson(np.minimum(rate, 1e6)) >= n).mean()
    p = p_predictive(n, m, tau, mu=mu, sigma=sigma, scatter=scatter, nu=nu)
    assert p == pytest.approx(simulated, abs=4 * np.sqrt(simulated / toys))


@pytest.mark.parametrize("nu", [3.0, 11.0, 31.0, np.inf])
@pytest.mark.parametrize("z", [1.0, 3.0, 5.0, 6.0])
def test_without_counting_errors_the_predictive_p_is_the_tail_of_its_bias(nu, z):
    """Of Student's t alone, of a Gaussian alone, and of a sum of which one is next to nothing."""
    size, m, b = 0.01, 1e13, 1e9
    for sigma, scatter in ((0.0, size), (1e-5, size), (size, 0.0), (size, 1e-6)):
        p = p_predictive(b * np.exp(size * z), m, m / b, mu=0, sigma=sigma, scatter=scatter, nu=nu, nodes=40001)
        truth = student.sf(z, nu) if scatter == size and np.isfinite(nu) else norm.sf(z)
        assert p == pytest.approx(truth, rel=0.03), (sigma, scatter)


@pytest.mark.parametrize("b", [3.0, 20.0])
@pytest.mark.parametrize("rho", [0.6, 1.0])
def test_the_predictive_p_is_a_tail_of_averaged_counts_too(rho, b):
    """Three splits share Poisson(rho b) events and differ in the rest: the average has a known variance and small steps.

    With that variance the tail is met; with overdispersion 1, the least a hunt uses, it is never claimed smaller.
    """
    rng, splits, toys = np.random.default_rng(11), 3, 400000
    n = rng.poisson(rho * b, toys) + rng.poisson((1 - rho) * b, (toys, splits)).mean(axis=1)
    step = 1.0 if rho == 1 else 1 / splits
    for quantile in (0.5, 0.9, 0.99):
        cut = float(np.quantile(n, quantile))
        truth = np.mean(n >= cut - 1e-9)
        noise = 4 * np.sqrt(truth / toys)
        p = {
            v: p_predictive(cut, 1e9, 1e9 / b, mu=0, sigma=0, overdispersion=v, step=step)
            for v in (rho + (1 - rho) / splits, 1.0)
        }
        exact = 0.0 if rho == 1 else 0.18
        assert p[rho + (1 - rho) / splits] == pytest.approx(truth, abs=noise + exact * truth)
        assert p[1.0] > 0.97 * truth - noise


def test_the_predictive_p_is_monotone_and_converged_in_nodes():
    args = {"mu": 0.02, "sigma": 0.05, "scatter": 0.06, "nu": 11}
    p = [p_predictive(n, 800, 4.0, **args) for n in (180, 200, 240, 300, 400)]
    assert np.all(np.diff(p) < 0)
    assert p[-1] == pytest.approx(p_predictive(400, 800, 4.0, nodes=2001, **args), rel=1e-3)
    assert p_predictive(0, 800, 4.0, **args) == 1.0
    assert p_predictive(300, 800, 4.0, overdispersion=1.5, **args) > p[3]


@pytest.mark.parametrize(
    ("mu_true", "scatter", "b", "each"),
    [(0.0, 0.0, 120.0, 100.0), (0.06, 0.03, 120.0, 100.0), (0.06, 0.1, 1200.0, 1000.0)],
)
def test_the_predictive_p_is_calibrated_when_its_bias_is_estimated_from_windows(mu_true, scatter, b, each):
    """Background-only toys with the bias estimated by random effects: rejections near nominal; in the last case 25 times too many without its errors."""
    from cathode.stats.random_effects import random_effects

    rng = np.random.default_rng(17)
    tau, toys, n_windows, p = 8.0, 3000, 12, []
    predicted = np.full(n_windows, each)
    for _ in range(toys):
        bias = rng.normal(mu_true, scatter, n_windows + 1)
        m = rng.poisson(tau * b)
        ref = rng.poisson(tau * predicted)
        effects = random_effects(rng.poisson(predicted * np.exp(bias[1:])), ref / tau, 1 / np.sqrt(ref))
        n = rng.poisson(b * np.exp(bias[0]))
        nu = effects.degrees_of_freedom
        assert nu == pytest.approx(n_windows - 1)
        p.append(p_predictive(n, m, tau, mu=effects.mu, sigma=effects.mu_error, scatter=effects.scatter, nu=nu))
    rejected = np.mean(np.array(p) < 0.01) / 0.01
    assert 0.2 < rejected < 2.2
    assert kstest(p, "uniform").statistic < 0.08


def test_sidak_is_exact_for_independent_trials_and_stable_for_tiny_p():
    rng = np.random.default_rng(0)
    smallest = rng.random((200000, 6)).min(axis=1)
    assert sidak(0.02, 6) == pytest.approx((smallest <= 0.02).mean(), abs=0.002)
    assert sidak(1e-20, 6) == pytest.approx(6e-20)


def test_z_value_is_signed():
    assert z_value(0.5) == pytest.approx(0)
    assert z_value(norm.sf(3.0)) == pytest.approx(3.0)
    assert z_value(0.99) < 0
    assert z_value(0.0) == pytest.approx(37.0, abs=0.1)
    assert z_value(1.0) == pytest.approx(norm.isf(1 - 1e-16), abs=0.1)  # finite, as JSON has to be


def test_the_pyhf_workspace_has_separate_nuisances_and_a_signed_significance():
    c = counting(240, 130.0, 2000, initialisation=0.01, bootstrap=0.03, non_closure=0.03, scatter=0.04, nu=11)
    workspace = build_workspace(c)
    names = [m["name"] for m in workspace["channels"][0]["samples"][1]["modifiers"]]
    assert names == [
        f"gen_stat_{c.name}",
        f"ens_init_{c.name}",
        f"boot_train_{c.name}",
        f"nonclosure_{c.name}",
        f"scatter_test_{c.name}",
        f"scatter_{c.name}",
    ]
    sizes = {m["name"]: m["data"]["hi"] for m in workspace["channels"][0]["samples"][1]["modifiers"][1:]}
    assert np.log(sizes[f"nonclosure_{c.name}"]) == pytest.approx(0.03)
    assert np.log(sizes[f"scatter_test_{c.name}"]) == pytest.approx(0.04 * student_inflation(11, 3.0))
    assert np.log(sizes[f"scatter_{c.name}"]) == pytest.approx(0.04 * student_inflation(11, norm.isf(0.05)))
    excess = z_pyhf(workspace)
    statistical = li_ma(240, 2000, 2000 / 130)
    assert 0 < excess < statistical
    deficit = z_pyhf(
        build_workspace(counting(80, 130.0, 2000, initialisation=0.01, bootstrap=0.03, non_closure=0.05, nu=11))
    )
    assert deficit < -1


def test_a_limit_takes_the_background_from_the_sidebands_and_a_significance_takes_it_from_the_region():
    """300 events before the cut hold 100 of signal: the limit's background must not count a share of them as its own."""
    known = counting(150.0, 120.0, 1e6)
    half = counting(150.0, 120.0, 1e6, sideband=(0.75, 0.01))
    assert z_pyhf(build_workspace(half)) == pytest.approx(z_pyhf(build_workspace(known)), abs=1e-3)
    limits = [upper_limit(build_workspace(c))[0] for c in (known, half)]
    assert limits[1] - limits[0] == pytest.approx(30, abs=1.5)


def test_the_inflation_makes_a_gaussian_as_wide_as_student_at_three_sigma():
    # factors of the design notes: 1.84 for 6 windows, 1.28 for 12
    assert student_inflation(5) == pytest.approx(1.84, abs=0.01)
    assert student_inflation(11) == pytest.approx(1.28, abs=0.01)
    assert student_inflation(np.inf) == 1


@pytest.mark.parametrize(
    "c",
    [
        counting(357, 181.0, 860, initialisation=0.003, bootstrap=0.011, non_closure=0.04, scatter=0.05, nu=12, sideband=(0.97, 0.007)),
        counting(14, 17.2, 90, initialisation=0.02, bootstrap=0.03, non_closure=0.15, scatter=0.1, nu=9, sideband=(1.02, 0.01)),
        counting(20, 20.0, 1.0, initialisation=0.01, bootstrap=0.02, non_closure=0.9, nu=4, sideband=(1.0, 0.05)),
    ],
    ids=["excess", "deficit", "uncertain"],
)  # fmt: skip
def test_the_upper_limit_is_that_of_pyhfs_own_scan(c):
    """Which fits everything anew at every mu."""
    workspace = build_workspace(c)
    found, bands = upper_limit(workspace)
    loaded = pyhf.Workspace(workspace)
    model = loaded.model(measurement_name="yield")
    bounds = model.config.suggested_bounds()
    bounds[model.config.poi_index] = (0.0, 60.0)
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-3))
    observed, expected = pyhf.infer.intervals.upper_limits.toms748_scan(
        loaded.data(model), model, 0.0, 50.0, par_bounds=bounds, rtol=5e-4
    )
    scale = workspace["channels"][0]["samples"][0]["data"][0]
    assert found == pytest.approx(float(observed) * scale, rel=1e-3)
    assert bands == pytest.approx([float(v) * scale for v in expected], rel=1e-3)


def test_the_upper_limit_covers_the_textbook_case():
    """n = b, no uncertainty: the asymptotic CLs limit is Phi^-1(1 - 0.05 / 2) sqrt(b) and the expected one equals it."""
    observed, expected = upper_limit(build_workspace(counting(400, 400.0, 1e6)))
    assert observed == pytest.approx(1.96 * 20, rel=0.04)
    assert expected[2] == pytest.approx(observed, rel=0.03)
