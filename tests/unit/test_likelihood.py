"""The full likelihood: counts where it has one bin, the closed form without nuisances, what it wins and what it must not believe."""

from __future__ import annotations

import cabinetry
import numpy as np
import pytest

from cathode.errors import FitError
from cathode.stats.likelihood import BehindPoint, ScoreInterval, build_likelihood, pulls
from cathode.stats.workspace import Counting, build_workspace, load_model, signal_events, upper_limit, z_pyhf

EDGES = np.linspace(-0.5, 0.5, 5)
X = (EDGES[1:] + EDGES[:-1]) / 2
SIDE_X = np.concatenate([np.linspace(-1.4, -0.6, 5), np.linspace(0.6, 1.4, 5)])
PEAK = np.array([0.16, 0.34, 0.34, 0.16])
B = np.array([2000.0, 200.0])
EXCLUSIVE = np.array([1800.0, 200.0])


def behind(sigma=0.0, scatter=0.0, m=1e9, nu=np.inf):
    return [BehindPoint(n_bkg=b, m=m, sigma=sigma, scatter=scatter, nu=nu) for b in B]


def intervals(signal=(0.0, 0.0), shape=PEAK, tilt=0.0, assumed=(0.2, 1.0), peak=PEAK):
    """Asimov data with `signal` events of a `shape` in the two intervals, and backgrounds that are tilted in the mass, in the sidebands too."""
    return [
        ScoreInterval(
            name=f"i{k}",
            observed=EXCLUSIVE[k] * 0.25 * (1 + tilt * X) + signal[k] * np.asarray(shape),
            shape=np.full(4, 0.25),
            x=X,
            side_observed=EXCLUSIVE[k] * 0.2 * (1 + tilt * SIDE_X),
            side_shape=np.full(10, 0.2),
            side_x=SIDE_X,
            signal=assumed[k] * peak,
        )
        for k in range(2)
    ]


@pytest.mark.parametrize(("n", "m", "sigma", "scatter", "nu", "v"), [(150, 900.0, 0.05, 0.03, 12.0, 1.0), (70, 4000.0, 0.0, 0.1, np.inf, 1.3), (118, 1e6, 0.02, 0.0, np.inf, 1.0)])  # fmt: skip
def test_one_interval_and_one_bin_are_the_counting_experiment(n, m, sigma, scatter, nu, v):
    none = np.empty(0)
    one = ScoreInterval(name="all", observed=np.array([float(n)]), shape=np.ones(1), x=np.zeros(1), side_observed=none, side_shape=none, side_x=none, signal=np.ones(1))  # fmt: skip
    full = build_likelihood(
        [one], [BehindPoint(n_bkg=100.0, m=m, sigma=sigma, scatter=scatter, nu=nu, overdispersion=v)], z=3.0, sideband_ratio=0.97, sideband_error=0.01,
        systematics=[("luminosity", 0.02)],
    )  # fmt: skip
    counting = build_workspace(
        Counting(name="all", n_obs=n, n_bkg=100.0, m=m, initialisation=sigma, bootstrap=0.0, non_closure=0.0, scatter=scatter, nu=nu, z=3.0, sideband_ratio=0.97, sideband_error=0.01, systematics=(("luminosity", 0.02),), overdispersion=v)
    )  # fmt: skip
    assert z_pyhf(full) == pytest.approx(
        z_pyhf(counting), abs=0.03
    )  # a reference count is Poisson there, log-normal here
    ours, theirs = upper_limit(full), upper_limit(counting)
    assert ours[0] == pytest.approx(theirs[0], rel=0.02)
    assert ours[1] == pytest.approx(theirs[1], rel=0.02)


def test_without_nuisances_it_is_the_closed_form():
    """z^2 = 2 sum (s + b) log(1 + s / b) - s for Asimov data (Cowan et al., arXiv:1007.1727, eq. 97), of a signal as assumed."""
    data = [part.__class__(**{**vars(part), "side_observed": np.empty(0), "side_shape": np.empty(0), "side_x": np.empty(0)}) for part in intervals((20.0, 40.0), assumed=(0.5, 1.0))]  # fmt: skip
    s, b = np.outer([20.0, 40.0], PEAK), np.outer(EXCLUSIVE, np.full(4, 0.25))
    z = np.sqrt(2 * np.sum((s + b) * np.log1p(s / b) - s))
    assert z_pyhf(build_likelihood(data, behind())) == pytest.approx(z, abs=0.01)


def test_biases_move_nested_backgrounds_together():
    """The expected events at shifted nuisances against B_k = b_k F_k - b_{k+1} F_{k+1}, done by hand; known sizes 5 and 10 % have correlation 1/2."""
    points = [BehindPoint(n_bkg=b, m=1e9, sigma=s, scatter=0.0, nu=np.inf) for b, s in zip(B, (0.05, 0.1), strict=True)]
    model, _ = load_model(build_likelihood(intervals(), points), "hunt")
    for shifts in ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)):
        at = np.array(model.config.suggested_init())
        for name, value in zip(("known_0", "known_1"), shifts, strict=True):
            at[model.config.par_slice(name)] = value
        root = np.array([[1.0, 0.0], [0.5, np.sqrt(0.75)]])
        nested = B * np.exp(np.array([0.05, 0.1]) * (root @ shifts))
        expected = model.expected_actualdata(at)
        where = {name: expected[model.config.channel_slices[name]].sum() for name in ("i0", "i1")}
        assert where["i0"] == pytest.approx(nested[0] - nested[1], rel=1e-4)
        assert where["i1"] == pytest.approx(nested[1], rel=1e-4)


def test_the_mass_helps_where_the_excess_is_a_resonance_and_speaks_against_it_where_not():
    def z(shape, bins):
        parts = intervals((15.0, 60.0), shape)
        if bins == 1:
            parts = [p.__class__(**{**vars(p), "observed": p.observed.sum(keepdims=True), "shape": np.ones(1), "x": np.zeros(1), "signal": p.signal.sum(keepdims=True)}) for p in parts]  # fmt: skip
        return z_pyhf(build_likelihood(parts, behind(0.03)))

    assert z(PEAK, 4) > z(PEAK, 1) + 0.1
    flat = np.full(4, 0.25)
    assert z(flat, 4) < z(flat, 1) - 0.1
    assert z(flat, 1) == pytest.approx(z(PEAK, 1), abs=1e-3)


def test_a_selection_that_follows_the_mass_fakes_nothing():
    """A tilt of half of the events per width, that the sidebands show; of a signal at the edge, which a tilt looks like (1.3 without a slope)."""
    off = np.array([0.05, 0.15, 0.3, 0.5])
    assert abs(z_pyhf(build_likelihood(intervals(tilt=0.5, peak=off), behind(0.02)))) < 0.05
    tilted, flat = (
        z_pyhf(build_likelihood(intervals((15.0, 60.0), off, tilt, peak=off), behind(0.02))) for tilt in (0.5, 0.0)
    )
    assert tilted == pytest.approx(flat, abs=0.3)


def test_pulls_and_impacts_are_those_of_cabinetry():
    workspace = build_likelihood(intervals((15.0, 60.0), tilt=0.2), behind(0.05, 0.03, 5000.0, 12.0), sideband_ratio=1.02, sideband_error=0.02)  # fmt: skip
    cabinetry.workspace.validate(workspace)
    measured = {**workspace, "measurements": [m for m in workspace["measurements"] if m["name"] == "yield"]}
    model, data = cabinetry.model_utils.model_and_data(measured)
    fit = cabinetry.fit.fit(model, data)
    ranking = cabinetry.fit.ranking(model, data, fit_results=fit)
    theirs = {name: (pull, up, down) for name, pull, up, down in zip(ranking.labels, ranking.bestfit, ranking.postfit_up, ranking.postfit_down, strict=True)}  # fmt: skip
    ours, unit = {p.name: p for p in pulls(workspace)}, signal_events(workspace)
    largest = next(iter(ours))
    assert abs(theirs[largest][1]) == pytest.approx(max(abs(up) for _, up, _ in theirs.values()), rel=0.05)
    for name in (largest, "slope_i1", "sb_norm"):
        assert ours[name].pull == pytest.approx(theirs[name][0], abs=0.02)
        assert np.array(ours[name].impact) / unit == pytest.approx(theirs[name][1:], abs=0.02)


def test_on_background_alone_it_has_the_distribution_of_a_significance():
    """Poisson data about the expected counts, biases and slopes drawn too: 80 samples have mean 0 and width 1 within errors, none has 4 sigma (400 had 0.0 and 1.0)."""
    rng = np.random.default_rng(3)
    points = behind(0.03, 0.02, 4000.0)
    found = []
    for _ in range(80):
        root = np.array([[1.0, 0.0], [1.0, 0.0]])  # equal sizes: one bias for all
        nested = B * np.exp(0.03 * (root @ rng.normal(size=2)) + 0.02 * rng.normal()) * rng.gamma(4000, 1 / 4000)
        rate, tilt = nested - np.append(nested[1:], 0.0), rng.uniform(-0.3, 0.3)
        parts = [
            p.__class__(**{**vars(p), "observed": rng.poisson(rate[k] * 0.25 * (1 + tilt * X)).astype(float), "side_observed": rng.poisson(EXCLUSIVE[k] * 0.2 * (1 + tilt * SIDE_X)).astype(float)})
            for k, p in enumerate(intervals())
        ]  # fmt: skip
        found.append(z_pyhf(build_likelihood(parts, points)))
    assert abs(np.mean(found)) < 0.35
    assert 0.77 < np.std(found) < 1.23
    assert max(found) < 4


def test_what_has_no_likelihood_is_refused():
    with pytest.raises(FitError, match="expected them to fall"):
        build_likelihood(intervals(), [*behind()[:1], BehindPoint(n_bkg=3000.0, m=10, sigma=0.0, scatter=0.0, nu=1.0)])
    with pytest.raises(FitError, match="found no signal"):
        build_likelihood(intervals(assumed=(0.0, 0.0)), behind())
