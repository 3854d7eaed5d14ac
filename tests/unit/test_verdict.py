"""What a verdict says, and that every light can go on."""

from __future__ import annotations

import dataclasses
import re

import pytest
from example_hunt import CHECKS, GOOD, summary

from cathode.calibration.results import BackgroundOnly, NullMeasured, SignalFit, SignalResponse, Trials, Verdict
from cathode.calibration.verdicts import uniformity
from cathode.config import Config
from cathode.events import Intake
from cathode.inference.total import inclusive_excess, window_significances
from cathode.report.explain import compare_runs, describe_limits, explain
from cathode.report.verdict import Calibration, discovery_threshold, headline, lights, quoted, verdict, word
from cathode.results import ExpectedEvents, HuntResult
from cathode.spectrum.mass_fit import z_profile
from cathode.stats.joint import Joint
from cathode.stats.settings import StatisticsSettings
from cathode.summary import Inclusive


def state(name: str, *hunts: HuntResult, **changes: object) -> str:
    return next(light.state for light in lights(summary(*hunts, **changes)) if light.name == name)


def test_a_verdict_is_five_lines_with_the_numbers():
    lines = verdict(summary(GOOD), "results/demo/report.html")
    assert len(lines) == 5
    assert lines[0] == (
        "EXCESS   3300–3700 GeV   357 seen, 183.0 ± 11.7 expected (CATHODE, ε_B = 0.01)   5.4σ local, 5.1σ global   inclusive 1.7σ"
    )
    assert (
        lines[1] == "trust   events ✔  closure ✔  sculpting ✔  cross-checks ✔  inclusive ✔  calibration ✘  statistics ✔"
    )
    assert lines[4] == "report  results/demo/report.html"


@pytest.mark.parametrize(
    ("z", "expected"),
    [(5.1, "EXCESS"), (3.0, "EXCESS"), (2.9, "MILD EXCESS"), (2.0, "MILD EXCESS"), (1.9, "NO EXCESS"), (-2.0, "NO EXCESS"), (None, "BLIND")],
)  # fmt: skip
def test_the_word_follows_the_global_significance(z, expected):
    assert word(summary(GOOD, z_global=z)) == expected


FLAGS = {
    "closure: differs from zero by more than 3 standard errors": "closure",
    "density: it does not describe its own sidebands: recorded over generated 1.2": "closure",
    "sculpting: the selection depends on the mass, +8 +- 2 % per window width": "sculpting",
    "pyhf: fit failed": "cross-checks",
    "mass fit of the sidebands: p = 0.0001": "cross-checks",
    "mass fit of the selected sidebands: no function describes them (p = 1e-5), no significance": "cross-checks",
    "calibration: 1 fold split(s): overdispersion 1 may be too small, let it be calibrated": "calibration",
    "statistics: only 5.0 reference events pass": "statistics",
    "limit: none, the background is uncertain by more than a factor e": "statistics",
}


@pytest.mark.parametrize("flag", FLAGS)
def test_every_flag_puts_out_a_light_with_its_words_and_advice(flag):
    hunt = dataclasses.replace(GOOD, flags=(flag,))
    light = next(light for light in lights(summary(hunt)) if light.name == FLAGS[flag])
    assert light.state == "doubt"
    assert flag.partition(": ")[2] in light.sentence
    assert light.advice
    others = [x for x in lights(summary(hunt)) if x.name != FLAGS[flag]]
    assert [x.state for x in others] == [x.state for x in lights(summary(GOOD)) if x.name != FLAGS[flag]]
    assert "why     " + light.name in verdict(summary(hunt), "r")[2]


def test_cross_checks_that_lie_far_below_are_a_doubt():
    low = dataclasses.replace(GOOD, cross_checks=dataclasses.replace(CHECKS, z_mass_fit=1.2))
    assert state("cross-checks", GOOD) == "good"
    assert state("cross-checks", low) == "doubt"
    none = dataclasses.replace(GOOD, cross_checks=dataclasses.replace(CHECKS, z_mass_fit=None, z_sequential=None))
    assert state("cross-checks", none) == "missing"


def test_an_excess_behind_the_selection_that_the_whole_region_does_not_hold_is_a_doubt():
    """174 events in excess are part of 300 without a selection, and cannot be part of -600."""
    assert state("inclusive", GOOD) == "good"
    short = dataclasses.replace(GOOD, n_sr_expected=ExpectedEvents(value=18600.0, fit_error=120.0))
    assert state("inclusive", short) == "doubt"


def test_an_inclusive_excess_that_the_features_do_not_see_is_a_doubt():
    quiet = dataclasses.replace(GOOD, n_obs=185, z_local=0.2, p_local=0.42)
    assert state("inclusive", quiet) == "good"
    loud = dataclasses.replace(quiet, n_sr_expected=ExpectedEvents(value=17000.0, fit_error=120.0))
    assert state("inclusive", loud) == "doubt"


def uniform(eps_bkg: float, *, passes: bool, conservative: bool = False) -> Verdict:
    return Verdict(
        n=40, ks_p=0.3, share_below_5_percent=0.05, interval_5_percent=(0.01, 0.17), share_below_1_percent=0.0, interval_1_percent=(0.0, 0.09),
        passes=passes, conservative=conservative, window="m3500", method="cathode", eps_bkg=eps_bkg,
    )  # fmt: skip


def calibration(null: Verdict, fit: SignalFit | None = None, window: str = "m3500") -> Calibration:
    experiment = NullMeasured(
        toy=0, window=window, method="cathode", eps_bkg=0.01, n_obs=180.0, n_bkg=183.0, n_bkg_uncorrected=180.0, p_local=0.5, p_mid=0.5,
        m=800.0,
        known_sigma=0.05,
        scatter=0.05,
        degrees_of_freedom=20.0,
        variance=150.0,
    )  # fmt: skip
    return Calibration(
        BackgroundOnly(n_toys=40, verdicts=(dataclasses.replace(null, window=window),), trials=TRIALS, joint=(), p_local=(), experiments=(experiment,)),
        SignalResponse(fits=(fit,) if fit else (), efficiency=(), points=(), slope=None, pull_mean=None, pull_sd=None),
    )  # fmt: skip


TRIALS = Trials(
    tests=6, effective=5.0, p_global=(0.5,), p_sidak=(0.5,), n_shared=0, verdict=uniformity([0.5]), windows=()
)
FIT = SignalFit(
    n=40, slope=0.98, slope_error=0.03, intercept=1.0, pull_mean=0.1, pull_mean_error=0.15, pull_sd=1.0, pull_sd_error=0.1, coverage_68=0.68,
    passes=True, method="cathode", eps_bkg=0.01,
)  # fmt: skip


@pytest.mark.parametrize(
    ("measured", "expected", "words"),
    [
        (calibration(uniform(0.01, passes=True), FIT), "good", "are uniform (Kolmogorov–Smirnov p = 0.3"),
        (calibration(uniform(0.01, passes=False, conservative=True)), "good", "on the safe side"),
        (calibration(uniform(0.01, passes=False)), "doubt", "not uniform"),
        (calibration(uniform(0.01, passes=True), dataclasses.replace(FIT, slope=0.5, passes=False)), "doubt", "0.50 ± 0.03"),
        (calibration(uniform(0.1, passes=True)), "missing", "did not hunt"),
        (calibration(uniform(0.01, passes=True), window="m3000"), "good", "measured in window m3000"),
    ],
)  # fmt: skip
def test_pseudo_experiments_light_the_hunt_that_they_are_of(measured, expected, words):
    light = next(x for x in lights(summary(GOOD), GOOD, measured) if x.name == "calibration")
    assert (light.state, words in light.sentence) == (expected, True), light.sentence
    if expected == "doubt":
        advice = "do not quote" if "not uniform" in words else "the measured signal and its limit do not"
        assert advice in light.advice
        assert advice in verdict(summary(GOOD), "r", measured)[3]
        assert verdict(summary(GOOD), "r", measured)[2].startswith("why     calibration")


def test_a_method_with_labels_is_not_sent_to_calibrate():
    truth = dataclasses.replace(GOOD, method="supervised")
    light = next(
        x for x in lights(summary(truth), truth, calibration(uniform(0.01, passes=True))) if x.name == "calibration"
    )
    assert (light.state, light.advice) == ("missing", "")


def test_a_calibration_that_passed_answers_the_flag_that_asks_for_one():
    asked = dataclasses.replace(
        GOOD, flags=("calibration: 1 fold split(s): overdispersion 1 may be too small, let it be calibrated",)
    )
    of = {x.name: x.state for x in lights(summary(asked), asked)}
    assert of["calibration"] == "doubt"
    measured = calibration(uniform(0.01, passes=True), FIT)
    assert next(x.state for x in lights(summary(asked), asked, measured) if x.name == "calibration") == "good"
    assert "pseudo-experiments without signal are uniform" in explain(summary(asked), None, measured)


def test_a_blind_hunt_doubts_a_bad_fit_of_the_sidebands():
    flag = "mass fit of the sidebands: p = 1e-9"
    blind = dataclasses.replace(GOOD, z_local=None, p_local=None, sigma=None)
    assert "mass fit" not in [x.name for x in lights(summary(blind, z_global=None), blind)]
    bad = dataclasses.replace(blind, flags=(flag,))
    light = next(x for x in lights(summary(bad, z_global=None), bad) if x.name == "mass fit")
    assert light.state == "doubt"
    assert light.advice


def test_calibration_and_events():
    calibrated = Config().as_dict()
    calibrated["statistics"]["overdispersion"] = "calibrated"
    assert state("calibration", GOOD) == "missing"
    assert state("calibration", GOOD, config=calibrated) == "good"
    doubtful = Intake(read=100, kept=50, dropped={}, duplicates=3, inputs=None, warnings=("tau: is -1 in 40 %",))
    assert state("events", GOOD, intake=doubtful) == "doubt"
    assert "tau: is -1" in verdict(summary(GOOD, intake=doubtful), "r")[2]


def test_the_inclusive_count_is_compared_as_li_and_ma_do():
    (found,) = inclusive_excess([GOOD])
    assert isinstance(found, Inclusive)
    assert found.z == z_profile(18000, 17700.0, 120.0)
    untrusted = dataclasses.replace(GOOD, signal_yield=None)
    assert inclusive_excess([untrusted])[0].z is None
    assert inclusive_excess([dataclasses.replace(GOOD, n_sr=None)]) == ()


def test_a_blind_verdict_says_from_where_on_it_would_be_an_excess():
    blind = dataclasses.replace(
        GOOD, n_sr=None, n_obs=None, n_obs_average=None, sigma=None, p_local=None, z_local=None, cross_checks=None, limit=None, signal_yield=None,
        reference=None, waterfall=(), sculpting=None, oversampling=None,
    )  # fmt: skip
    wide = dataclasses.replace(blind, eps_bkg=0.1)
    tight = dataclasses.replace(blind, eps_bkg=0.001)
    lines = verdict(summary(wide, blind, tight, z_global=None), "r")
    assert lines[0].startswith("BLIND   3300–3700 GeV   183.0 expected behind the selection (CATHODE, ε_B = 0.01)")
    for z in (3, 5):
        n = discovery_threshold(blind, z)
        assert z_profile(n, 183.0, 183.0 * 0.053) == pytest.approx(z)
        assert f"{z}σ from {int(n) + 1}" in lines[0]
    assert "unblind" in lines[3] or "calibrate" in lines[3]


def test_a_reference_method_is_never_quoted():
    truth = dataclasses.replace(GOOD, method="supervised", p_local=1e-30, z_local=11.0)
    assert quoted(summary(truth, GOOD)) is GOOD


def test_a_quick_run_says_so_first():
    config = Config(quick=True).as_dict()
    lines = verdict(summary(GOOD, config=config), "r")
    assert lines[0].startswith("QUICK, not for publication: ")
    assert lines[3] == "next    the whole hunt, without --quick"


def test_runs_side_by_side():
    other = Config(seed=2).as_dict()
    text = compare_runs(
        summary(GOOD), summary(dataclasses.replace(GOOD, n_obs=300, z_local=4.0), config=other, run="second")
    )
    rows = [line.split() for line in text.splitlines()]
    assert ["seed", "1", "2"] in rows
    assert [
        "m3500_cathode_0.01",
        "357",
        "300",
        *["183.0", "±", "11.7", "183.0", "±", "11.7", "5.40", "4.00", "-1.40"],
    ] in rows
    assert "the same settings" in compare_runs(summary(GOOD), summary(GOOD))


def test_limits_and_explanations_name_the_hunt():
    assert "210.0      52.0  38.0 – 72.0  28.0 – 96.0" in describe_limits(summary(GOOD))
    with pytest.raises(Exception, match="found no limits"):
        describe_limits(summary(dataclasses.replace(GOOD, limit=None)))
    text = explain(summary(GOOD))
    assert "the window: 5.37σ, of one test" in text
    both = summary(GOOD, dataclasses.replace(GOOD, method="cwola", p_local=0.3, z_local=0.5))
    assert "σ after 2 tests" in explain(both)
    assert "non-closure of the interpolation   5.40   -5.80" in text
    assert "number of tests, 6                 5.10   -0.30" in text
    with pytest.raises(Exception, match=r"no hunt m3500_cathode_0\.1 \(did you mean m3500_cathode_0\.01\?\)"):
        explain(summary(GOOD), "m3500_cathode_0.1")


def test_all_working_points_in_one_test_lead_where_there_are_several():
    tight = dataclasses.replace(GOOD, eps_bkg=0.001, n_obs=60, n_bkg=18.0, p_local=5e-7, z_local=4.9)
    joint = Joint(window="m3500", method="cathode", eps_bkg=(0.01, 0.001), weights=(0.4, 1.0), p=1e-9, z=5.998)
    windows = window_significances([GOOD, tight], [joint])
    found = summary(GOOD, tight, joint=(joint,), windows=windows, z_global=5.9)
    assert found.best == GOOD
    assert "(CATHODE, ε_B = 0.01: 5.4σ)   6.0σ local, 5.9σ global" in headline(found, GOOD)
    text = explain(found)
    assert re.search(r"all working points in one test +6\.00 +\+0\.60\n *number of tests, 6 +5\.90", text)
    assert "all working points of each method in one: 6.00σ, one by one: 5.24σ" in text
    one_by_one = dataclasses.replace(found, config=Config(statistics=StatisticsSettings(test="smallest")).as_dict())
    assert "(CATHODE, ε_B = 0.01)   5.4σ local, 5.9σ global" in headline(one_by_one, GOOD)
    assert "in one test" not in explain(one_by_one).split("\n\n")[1]
