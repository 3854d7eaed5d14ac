"""Recorded against generated sidebands where the difference is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from cathode.classifier.methods import score
from cathode.classifier.settings import ClassifierSettings, TreeSettings
from cathode.density.ensemble import DensityEnsemble
from cathode.events import Events, Role
from cathode.regions import Window
from cathode.spectrum.sideband_model import MassModel
from cathode.template.make import sample_template, transport_template
from cathode.template.settings import TemplateSettings
from cathode.template.sidebands import compare_sidebands, reweight_template

WINDOW = Window("m3000", (2800.0, 3200.0), (2000.0, 5000.0))


@dataclass(frozen=True)
class Shifted:
    """p(x | m): truth is a normal around (m - 3000) / 1000; this density is off by `shift`, and its slope by `slope`."""

    shift: float = 0.0
    slope: float = 0.0
    n_members: int = 4

    def _centre(self, m):
        return self.shift + (1 + self.slope) * (m[:, None] - 3000) / 1000

    def sample(self, m, *, member, seed):
        return self._centre(m) + np.random.default_rng(seed).standard_normal((len(m), 2))

    def encode(self, x, m, *, member):
        return x - self._centre(m)

    def decode(self, z, m, *, member):
        return z + self._centre(m)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    mass = 2000 + rng.exponential(700, 60000)
    mass = mass[mass < 5000]
    x = (mass[:, None] - 3000) / 1000 + rng.standard_normal((len(mass), 2))
    row = np.arange(len(mass))[::-1].copy()  # rows need not be sorted
    return Events(("a", "b"), row, mass, x)


def ensemble(density, events):
    return DensityEnsemble("shifted", density, 2, 2, MassModel.fit(events.mass, WINDOW))


def compare(data, density, settings, points):
    fitted = ensemble(density, data)
    return compare_sidebands(data, fitted, window=WINDOW, working_points=points, template=settings, seed=1)


def test_the_ratio_is_one_for_the_truth_and_not_behind_a_cut_for_a_wrong_density(data):
    for base in ("model", "sidebands"):
        settings = TemplateSettings(base=base)
        good = compare(data, Shifted(), settings, (0.1, 0.01))
        assert good.eps == (1.0, 0.1, 0.01)
        assert good.ratio[0] == pytest.approx(1)
        assert np.abs((np.array(good.ratio[1:]) - 1) / good.error[1:]).max() < 4
        assert np.sum(good.recorded[0]) == pytest.approx(np.sum(good.generated[0]))
    bad = compare(data, Shifted(0.2), TemplateSettings(base="model"), (0.1,))
    assert bad.ratio[0] == pytest.approx(1)  # blind to what the features do
    assert bad.ratio[1] > 1.3
    # what is wrong at all masses alike cancels in transport
    moved = compare(data, Shifted(0.2), TemplateSettings(), (0.1,))
    assert abs(moved.ratio[1] - 1) < 4 * moved.error[1]


@pytest.mark.parametrize(("base", "density"), [("model", Shifted(0.2)), ("sidebands", Shifted(slope=-0.5))])
def test_the_weights_mend_a_density_that_is_wrong_in_a_known_way(data, base, density):
    fitted, settings = ensemble(density, data), TemplateSettings(base=base, reweight="dctr")
    if base == "model":
        made = sample_template(fitted, ("a", "b"), WINDOW, n_train=20000, n_efficiency=1000, seed=1)
    else:
        made = transport_template(fitted, data, WINDOW, settings, seed=1)
    mended = reweight_template(made, data, WINDOW, fitted, settings, seed=2)
    assert mended.weight.mean() == pytest.approx(1)
    truth = (made.mass[:, None] - 3000) / 1000

    def distance(weight):
        return np.abs(np.average(made.features - truth, axis=0, weights=weight))

    assert (distance(None) > 0.08).all()
    assert (distance(mended.weight) < 0.5 * distance(None)).all()
    again = reweight_template(made, data, WINDOW, fitted, settings, seed=2)
    np.testing.assert_array_equal(mended.weight, again.weight)


@pytest.mark.parametrize("guard", [0.0, 0.5])
def test_no_event_within_the_guard_enters_the_template(data, guard):
    fitted, mass = ensemble(Shifted(), data), data.mass
    made = transport_template(fitted, data, WINDOW, TemplateSettings(guard=guard), seed=1)
    sources = mass[data.at(np.unique(made.row))]
    low, high = WINDOW.signal[0] - guard * 400, WINDOW.signal[1] + guard * 400
    assert not ((sources > low) & (sources < high)).any()
    inner = (mass >= low) & (mass < high)
    expected = (mass >= low - 600) & (mass < high + 600) & ~inner  # 1.5 widths beyond the guard
    assert len(sources) == expected.sum()


def test_sideband_events_that_the_template_left_out_are_scored_too(data):
    """Else the spectrum behind a cut has holes where the guard is, and every fit to it fails."""
    data = data[np.arange(20000)]
    row, mass = data.row, data.mass
    made = transport_template(ensemble(Shifted(), data), data, WINDOW, TemplateSettings(guard=0.5), seed=1)
    settings = ClassifierSettings(members=4, splits=1, sequential_members=0, boosted_trees=TreeSettings(trees=5))
    scores = score(data, made, window=WINDOW, classifier=settings, seed=1).splits[0]
    sources = np.isin(row, made.row)
    between = (mass >= mass[sources].min()) & (mass <= mass[sources].max()) & WINDOW.in_sideband(mass)
    assert between.sum() > sources.sum() + 1000
    assert sorted(scores.side_row) == sorted(row[between])
    of_source = dict(zip(made.row, made.source, strict=True))
    fold_of = dict(zip(scores.ref_source, scores.ref_fold, strict=True))
    for r, fold in zip(scores.side_row, scores.side_fold, strict=True):
        assert r not in of_source or fold_of[of_source[r]] == fold  # held out where its copies are


def test_large_samples_are_measured_on_some_and_trained_on_all(data):
    fitted, both = ensemble(Shifted(), data), Role.THRESHOLD_AND_EFFICIENCY
    made = transport_template(fitted, data, WINDOW, TemplateSettings(measured=500), seed=1)
    everything = transport_template(fitted, data, WINDOW, TemplateSettings(), seed=1)
    measures, trains = made.role == both, made.role == Role.TRAIN
    assert measures.sum() == 500 * 4
    of_member = [set(made.source[measures & (made.member == e)]) for e in range(4)]
    assert len(of_member[0]) == 500
    assert all(s == of_member[0] for s in of_member)
    # what is measured and what trains are the very events of the full template
    np.testing.assert_array_equal(made.features[trains], everything.features[everything.role == Role.TRAIN])
    one = (everything.role == both) & (everything.member == 2)
    kept = np.isin(everything.source[one], list(of_member[2]))
    np.testing.assert_array_equal(made.features[measures & (made.member == 2)], everything.features[one][kept])
