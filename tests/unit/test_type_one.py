"""Type-I error of every significance at a nominal 3 sigma, summed exactly over the Poisson plane."""

from __future__ import annotations

import numpy as np
import pytest
from independent import z_bi
from scipy.stats import norm, poisson

from cathode.stats.counting import li_ma, p_predictive, z_classical, z_value

NOMINAL = norm.sf(3)


def rejection(b: float, tau: float, z) -> float:
    """P(z(n, m) > 3) for n ~ Poisson(b), m ~ Poisson(tau b), over its nominal value. z grows with n."""
    low, high = (int(poisson.isf(q, tau * b)) for q in (1 - 1e-9, 1e-9))
    step = max(1, (high - low) // 400)
    m = np.arange(max(low, 1), high + 1, step)
    weight = poisson.pmf(m, tau * b)
    total, first = 0.0, int(b)
    for mi, w in zip(m, weight, strict=True):
        n = max(first, int(mi / tau))
        while n > 0 and z(n - 1, mi) > 3:
            n -= 1
        while z(n, mi) <= 3:
            n += 1
        total, first = total + w * poisson.sf(n - 1, b), n
    return total / weight.sum() / NOMINAL


@pytest.mark.parametrize(
    ("b", "tau", "classical", "on_off", "binomial"),
    [(10, 4, 7.8, 0.97, 0.62), (100, 1, 18, 1.03, 0.84), (100, 20, 1.9, 0.92, 0.83), (1000, 4, 3.1, 0.93, 0.89)],
)
def test_known_type_one_errors(b, tau, classical, on_off, binomial):
    """Independent toys of 10^6 events gave these ratios, good to about 4 %."""
    assert rejection(b, tau, lambda n, m: z_classical(n, m / tau)) == pytest.approx(classical, rel=0.08)
    assert rejection(b, tau, lambda n, m: li_ma(n, m, tau)) == pytest.approx(on_off, rel=0.08)
    assert rejection(b, tau, lambda n, m: z_bi(n, m, tau)) == pytest.approx(binomial, rel=0.08)


@pytest.mark.parametrize(("b", "tau"), [(10, 4), (100, 2)])
def test_the_primary_without_bias_terms_is_calibrated_where_display_formulas_are_not(b, tau):
    def z(n, m):
        return z_value(p_predictive(n, m, tau, mu=0.0, sigma=0.0, nu=float("inf")))

    assert 0.6 < rejection(b, tau, z) < 1.15
