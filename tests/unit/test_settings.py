"""Every number of the configuration has a range that is refused outside, and what YAML reads otherwise than people is caught."""

from __future__ import annotations

import dataclasses
import re
import typing
from types import UnionType

import numpy as np
import pytest

from cathode.config import Config, config_schema, load_config
from cathode.density.settings import HistogramSettings
from cathode.errors import ConfigError
from cathode.inference.placement import place_regions
from cathode.inference.settings import ClosureSettings
from cathode.regions import ScanSettings, Window, WindowSettings
from cathode.schema import dataclasses_in

CLASSES = list(dataclasses_in(Config))
# numbers whose range is that of others: edges and lists, each checked where it stands
ELSEWHERE = {"range", "signal_regions", "working_points", "strengths", "daughters", "scatter_floor", "joint_weights"}


def is_number(hint: object) -> bool:
    if typing.get_origin(hint) in (typing.Union, UnionType):
        return any(map(is_number, typing.get_args(hint)))
    return hint in (int, float)


NUMBERS = [
    (cls, field)
    for cls in CLASSES
    for field in dataclasses.fields(cls)
    if is_number(typing.get_type_hints(cls)[field.name])
]


def test_every_number_has_a_range():
    without = [f"{cls.__name__}.{f.name}" for cls, f in NUMBERS if "low" not in f.metadata]
    assert without == []
    assert len(NUMBERS) > 60
    for cls in CLASSES:
        for field in dataclasses.fields(cls):
            hint = str(typing.get_type_hints(cls)[field.name])
            if re.search(r"tuple.*(float|int)", hint) and "Literal" not in hint and "Settings" not in hint:
                assert field.name in ELSEWHERE, field.name


@pytest.mark.parametrize(("cls", "field"), NUMBERS, ids=lambda x: getattr(x, "name", getattr(x, "__name__", "")))
def test_numbers_beyond_their_range_are_refused(cls, field):
    low, high = field.metadata["low"], field.metadata["high"]
    needed = {"first": 100.0, "last": 200.0, "width": 10.0, "step": 10.0} if cls is ScanSettings else {}
    bad = [high * 1.01 + 1, -1e18, float("inf"), float("-inf"), float("nan")] + (
        [low] if field.metadata["above"] else []
    )
    for value in bad:
        with pytest.raises(ConfigError):
            cls(**(needed | {field.name: value}))


def test_the_schema_says_the_ranges():
    schema = config_schema()
    trees = schema["$defs"]["TreeSettings"]["properties"]
    assert (trees["leaves"]["minimum"], trees["leaves"]["maximum"]) == (2, 1024)
    assert trees["learning_rate"]["exclusiveMinimum"] == 0


BAD = {
    "epochs": ({"background": {"histogram": {"epochs": 0}}}, "background.histogram.epochs: found 0"),
    "batch": ({"background": {"histogram": {"batch": 0}}}, "background.histogram.batch"),
    "nan": ({"background": {"histogram": {"learning_rate": float("nan")}}}, "learning_rate: found nan"),
    "leaves": ({"classifier": {"boosted_trees": {"leaves": 1}}}, "classifier.boosted_trees.leaves: found 1"),
    "overdispersion": ({"statistics": {"overdispersion": float("nan")}}, "statistics.overdispersion: found nan"),
    "systematic of 300 %": (
        {"statistics": {"systematics": {"luminosity": 3}}},
        "statistics.systematics.luminosity: found 3, expected a relative standard deviation",
    ),
    "systematic called mu": ({"statistics": {"systematics": {"mu": 0.1}}}, "statistics.systematics: found name 'mu'"),
    "TeV collisions": ({"statistics": {"sqrt_s": 13.0}}, "statistics.sqrt_s: found 13 GeV, below all masses"),
    "seed": ({"seed": -1}, "seed: found -1, expected 0 to"),
    "guard": ({"closure": {"guard": 0.2}}, "closure.guard: found 0.2, expected at least 0.5"),
    "two scans": (
        {"windows": {"signal_regions": [[3000, 3400]], "scan": {"first": 3000, "last": 4000, "width": 400, "step": 200}}},
        "windows: found signal_regions and scan",
    ),
    "infinite edge": ({"windows": {"range": [2300, float("inf")]}}, "infinite"),
    "GeV called TeV": ({"data": {"mass_unit": "TeV"}}, "more than any collider's; is data.mass_unit GeV?"),
    "discrete": ({"data": {"discrete": ["nothing"]}}, "data.discrete: found nothing, expected features"),
    "loss": ({"data": {"allow_loss": 1.5}}, "data.allow_loss: found 1.5"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_settings_that_mean_nothing_are_refused_by_their_key(case):
    tree, message = BAD[case]
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(tree)


def test_numbers_that_yaml_takes_for_text_are_numbers(tmp_path):
    (tmp_path / "my.yaml").write_text("working_points: [1e-1, 1E-2, 1.e-3]\nstatistics: {sqrt_s: 13e3}\n")
    config = load_config(tmp_path / "my.yaml")
    assert config.working_points == (0.1, 0.01, 0.001)
    assert config.statistics.sqrt_s == 13000.0


@pytest.mark.parametrize(
    ("text", "meaning"), [("blind: on", "true"), ("blind: No", "false"), ("data: {define: {off: a}}", "false")]
)
def test_words_that_yaml_takes_for_true_and_false_are_asked_for(text, meaning, tmp_path):
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(
        ConfigError, match=rf"line 1: found \w+, which YAML reads as {meaning}; expected {meaning}, or quotes"
    ):
        load_config(tmp_path / "my.yaml")


def test_a_configuration_comes_back_from_its_own_values():
    config = load_config({"windows": {"scan": {"first": 3000, "last": 4000, "width": 400, "step": 200}}})
    assert load_config(config.as_dict()) == config


@pytest.mark.parametrize(
    ("region", "scale", "name"),
    [
        ((3300, 3700), 1.0, "m3500"), ((9.2, 9.7), 1.0, "m9p45"), ((9.2, 9.7), 1000.0, "m9450"), ((0.002, 0.003), 0.001, "m0p0000025"),
        ((9.1e6, 9.3e6), 1.0, "m9200000"), ((91.1875, 91.188), 1.0, "m91p18775"), ((99.99, 100.01), 1000.0, "m100000"),
    ],
)  # fmt: skip
def test_windows_of_any_mass_have_names_that_rules_take(region, scale, name):
    settings = WindowSettings(range=(region[0] / 10, region[1] * 10), signal_regions=(region,))
    (window,) = settings.windows(scale).values()
    assert window.name == name
    assert re.fullmatch("m[0-9p]+", window.name)


def test_pseudo_signal_regions_hold_no_event_of_the_real_one_and_none_beyond_the_range():
    rng = np.random.default_rng(1)
    level, falling = rng.uniform(8, 12, 20_000), 8 + rng.exponential(0.7, 20_000)
    ends_early = rng.uniform(8, 11.6, 20_000)
    for mass in (level, falling, ends_early):
        for signal in ((8.6, 9.1), (9.2, 9.7), (10.8, 11.3)):
            window = Window("w", signal, (8.0, 12.0))
            for region in place_regions([window], mass, ClosureSettings()).fillers:
                assert region.signal[1] <= window.signal[0] or region.signal[0] >= window.signal[1]
                assert region.signal[0] >= 8.0
                assert region.signal[1] <= 12.0
                low, high = region.in_strips(mass, 0.5)
                assert low.sum() >= 50
                assert high.sum() >= (30 if mass is falling else 50)


def test_few_events_are_trained_on_for_more_epochs():
    """Six epochs of two thousand events are eighteen steps; the least number of steps makes them learn what so few can teach."""
    from cathode.density.histogram import HistogramDensity

    rng = np.random.default_rng(0)
    mass = rng.uniform(2000, 5000, 2000)
    t = (np.log(mass) - 8) / 0.3
    x = np.stack([t + 0.3 * rng.normal(size=2000), rng.normal(size=2000)], axis=1)
    test_mass = rng.uniform(2000, 5000, 4000)
    test_t = (np.log(test_mass) - 8) / 0.3
    test_x = np.stack([test_t + 0.3 * rng.normal(size=4000), rng.normal(size=4000)], axis=1)
    truth = -0.5 * ((test_x[:, 0] - test_t) / 0.3) ** 2 - np.log(0.3) - 0.5 * test_x[:, 1] ** 2 - np.log(2 * np.pi)
    lost = {}
    for steps in (0, 600):
        settings = HistogramSettings(steps=steps)
        density = HistogramDensity.fit(x, mass, settings=settings)
        lost[steps] = float(np.mean(truth - density.log_prob(test_x, test_mass, member=0)))
    assert lost[600] < 0.15
    assert lost[0] > 3 * lost[600]


def test_a_section_that_says_one_thing_keeps_the_defaults_of_all_others():
    """Its own defaults: those of `background.spline` were a MAF's as soon as one of its keys was given."""
    plain = load_config({})
    changed = load_config({"background": {"model": "spline", "spline": {"blocks": 3}}})
    assert changed.background.spline == dataclasses.replace(plain.background.spline, blocks=3)
    assert changed.background.spline.transform == "spline"
    for kind in dataclasses_in(Config):
        for field in dataclasses.fields(kind):
            made = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
            if dataclasses.is_dataclass(made) and not isinstance(made, type):
                assert made == type(made)(), f"{kind.__name__}.{field.name}"
                assert type(made) is typing.get_type_hints(kind)[field.name], f"{kind.__name__}.{field.name}"
