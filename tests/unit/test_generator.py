"""The generator: detector and jets against closed forms, events against those of the bundled sample."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from scipy.stats import norm

from cathode.dijets.columns import JET_COLUMNS, derive_dijet
from cathode.dijets.jets import EnergyFlow, find_dijets, leading_pairs, subjettiness
from cathode.errors import ConfigError
from cathode.generator.detector import (
    ECAL,
    FIELD,
    HALF_LENGTH,
    HCAL,
    RADIUS,
    detect,
    ecal_resolution,
    find_tracks,
    hcal_resolution,
    lognormal,
    reach_calorimeter,
)
from cathode.generator.events import Particles, cards, reaches
from cathode.generator.generate import Generated, generate_events, merge_chunks
from cathode.generator.settings import GeneratorSettings, SignalSettings, require_packages
from cathode.intake.prepare import prepare

ELECTRON, PHOTON, PION, NEUTRON, MUON = 11, 22, 211, 2112, 13


def particles(pdg, charge, pt, eta, phi=0.3, n=4000):
    """One event per particle, all alike."""
    ones = np.ones(n)
    px, py, pz = pt * np.cos(phi) * ones, pt * np.sin(phi) * ones, pt * np.sinh(eta) * ones
    kind = np.full(n, pdg)
    return Particles(n, np.arange(n), kind, charge * ones, px, py, pz, pt * np.cosh(eta) * ones)


def energy_sum(objects):
    return np.bincount(objects.event, weights=objects.pt * np.cosh(objects.eta), minlength=objects.n_events)


# --- detector


def test_lognormal_has_the_mean_and_the_width_that_are_asked_for():
    x = lognormal(np.random.default_rng(1), np.full(400_000, 20.0), np.full(400_000, 5.0))
    assert x.mean() == pytest.approx(20.0, abs=5 * 5 / 400_000**0.5)
    assert x.std() == pytest.approx(5.0, rel=0.01)


@pytest.mark.parametrize(
    ("pt", "eta", "charge"), [(0.8, 0.2, 1), (2.0, -0.9, -1), (5.0, 1.6, 1), (0.9, 2.2, -1), (60.0, 0.5, 2)]
)
def test_a_charged_particle_meets_the_calorimeter_where_its_stepped_trajectory_does(pt, eta, charge):
    """Independent: the equation of motion in small steps until barrel or end cap."""
    phi, z, step = 0.7, 0.0, 2e-5
    x = y = 0.0
    p = np.array([pt * np.cos(phi), pt * np.sin(phi)])
    while np.hypot(x, y) < RADIUS and abs(z) < HALF_LENGTH:
        # dp/ds = 0.3 q v x B along z: the momentum turns clockwise for a positive charge
        turn = -0.3 * charge * FIELD * step / pt
        p = np.array([p[0] * np.cos(turn) - p[1] * np.sin(turn), p[0] * np.sin(turn) + p[1] * np.cos(turn)])
        x, y, z = x + step * p[0] / pt, y + step * p[1] / pt, z + step * np.sinh(eta)
    found_eta, found_phi = reach_calorimeter(*(np.array([float(v)]) for v in (pt, eta, phi, charge)))
    assert found_eta[0] == pytest.approx(np.arcsinh(z / np.hypot(x, y)), abs=1e-3)
    assert np.mod(found_phi[0], 2 * np.pi) == pytest.approx(np.mod(np.arctan2(y, x), 2 * np.pi), abs=1e-3)


def test_a_neutral_particle_flies_straight():
    eta, phi = reach_calorimeter(np.array([3.0]), np.array([1.1]), np.array([-2.0]), np.array([0.0]))
    assert (eta[0], phi[0]) == (1.1, -2.0)


@pytest.mark.parametrize("calorimeter", [ECAL, HCAL], ids=["ecal", "hcal"])
def test_every_direction_has_one_tower_that_contains_it(calorimeter):
    grid, rng = calorimeter.grid, np.random.default_rng(2)
    eta, phi = rng.uniform(-4.99, 4.99, 20_000), rng.uniform(-np.pi, np.pi, 20_000)
    tower = grid.tower(eta, phi)
    row = np.searchsorted(grid.first, tower, side="right") - 1
    column = tower - grid.first[row]
    assert (np.diff(grid.eta) > 0).all()
    assert (grid.eta[row] <= eta).all()
    assert (eta < grid.eta[row + 1]).all()
    turn = np.mod(phi, 2 * np.pi) / (2 * np.pi) * grid.n_phi[row]
    assert ((column <= turn + 1e-9) & (turn < column + 1 + 1e-9)).all()


@pytest.mark.parametrize(
    ("pdg", "eta", "resolution"),
    [
        (PHOTON, 0.4, ecal_resolution),
        (PHOTON, 2.1, ecal_resolution),
        (NEUTRON, 0.4, hcal_resolution),
        (NEUTRON, 3.6, hcal_resolution),
    ],
    ids=["photon barrel", "photon end cap", "neutron barrel", "neutron forward"],
)
def test_a_lone_neutral_is_measured_with_the_resolution_of_its_calorimeter(pdg, eta, resolution):
    sent = particles(pdg, 0.0, pt=300.0, eta=eta)
    energy, true = energy_sum(detect(np.random.default_rng(3), sent)), sent.energy[0]
    sigma = float(resolution(np.array([eta]), np.array([true]))[0])
    assert energy.mean() == pytest.approx(true, abs=5 * sigma / 4000**0.5)
    assert energy.std() == pytest.approx(sigma, rel=0.06)  # 5 standard errors of a width


def test_a_soft_neutral_counts_where_it_fluctuates_above_its_own_error():
    """Energy counts where E > sigma(E) = hypot(0.05 E, 1.5 sqrt(E)): E > 1.5^2 / (1 - 0.05^2), for a log-normal E."""
    sent = particles(NEUTRON, 0.0, pt=0.3, eta=0.0, n=200_000)
    share = len(detect(np.random.default_rng(4), sent).pt) / 200_000
    mean, sigma = 0.3, float(hcal_resolution(np.array([0.0]), np.array([0.3]))[0])
    b = np.sqrt(np.log1p((sigma / mean) ** 2))
    expected = norm.sf((np.log(2.25 / (1 - 0.0025)) - np.log(mean) + b * b / 2) / b)
    assert 0.01 < expected < 0.05
    assert share == pytest.approx(expected, abs=5 * (expected / 200_000) ** 0.5)


@pytest.mark.parametrize(
    ("pdg", "pt", "eta", "expected"),
    [(PION, 0.5, 0.2, 0.70), (PION, 30.0, 0.2, 0.95), (PION, 30.0, 2.0, 0.85), (ELECTRON, 50.0, 1.0, 0.95), (MUON, 50.0, 2.0, 0.98)],
)  # fmt: skip
def test_tracks_are_found_with_the_efficiency_and_the_resolution_of_the_card(pdg, pt, eta, expected):
    n = 20_000
    ones = np.ones(n)
    tracks = find_tracks(np.random.default_rng(5), np.full(n, pdg), ones, pt * ones, eta * ones)
    share = len(tracks.pt) / n
    assert share == pytest.approx(expected, abs=5 * (expected * (1 - expected) / n) ** 0.5)
    a, b = {PION: ((0.06, 0.25), (1.3e-3, 3.1e-3)), ELECTRON: ((0.05,), (1.7e-3,)), MUON: ((0.025,), (3.5e-4,))}[pdg]
    i = 1 if pdg == PION and eta > 1.5 else 0
    assert (tracks.pt / pt).std() == pytest.approx(np.hypot(a[i], b[i] * pt), rel=5 / (2 * n * expected) ** 0.5)


def test_a_charged_hadron_is_measured_once_and_better_than_by_either_device():
    """Track and tower agree on one energy: averaged by their errors, or the excess is a neutral; never the sum of both."""
    sent = particles(PION, 1.0, pt=50.0, eta=0.2)
    energy, true = energy_sum(detect(np.random.default_rng(6), sent)), sent.energy[0]
    assert energy.mean() == pytest.approx(true, rel=0.06)
    tower = float(hcal_resolution(np.array([0.2]), np.array([true]))[0])
    assert np.median(np.abs(energy - true)) < 0.6745 * tower


# --- jets


def objects(*events):
    """Energy flow of events given as lists of (pt, eta, phi)."""
    flat = [(i, *p) for i, e in enumerate(events) for p in e]
    event, pt, eta, phi = (np.array(c) for c in zip(*flat, strict=True))
    return EnergyFlow(len(events), event.astype(np.int64), pt, eta, phi)


def test_a_dijet_event_has_the_mass_and_the_substructure_of_its_particles():
    """Jets of 2 particles at distance d, equal pT: mass^2 = 2 pT^2 (cosh d_eta - cos d_phi), tau1 = d / 2, tau2 = 0."""
    d = 0.4
    hard = [(700.0, 0.1, 0.0), (700.0, 0.1 + d, 0.0), (690.0, 0.0, 3.0), (690.0, 0.0, 3.0 - d)]
    soft = [(500.0, 0.0, 0.0), (500.0, 0.0, 3.1)]
    found = find_dijets(objects(soft, hard), trigger_pt=1200.0, trigger_eta=2.5, radius=1.0)
    assert found.event.tolist() == [1]
    assert found.constituents.tolist() == [[2, 2]]
    p = found.momentum[0]
    mass = np.sqrt(p[:, 3] ** 2 - (p[:, :3] ** 2).sum(axis=1))
    assert mass[0] == pytest.approx(700 * np.sqrt(2 * (np.cosh(d) - 1)), rel=1e-6)
    assert mass[1] == pytest.approx(690 * np.sqrt(2 * (1 - np.cos(d))), rel=1e-6)
    assert found.tau[0, :, 0] == pytest.approx([d / 2, d / 2], abs=2e-3)
    assert found.tau[0, :, 1:] == pytest.approx(np.zeros((2, 2)), abs=1e-6)


def test_three_prongs_have_no_third_subjettiness_and_a_second():
    """tau2 merges the closer pair (distance 0.2, pT 100 and 100, the third 300): 0.2 * 100 / 500."""
    pt, eta, phi = np.array([300.0, 100.0, 100.0]), np.array([0.0, 0.6, 0.6]), np.array([0.0, 0.0, 0.2])
    p = (pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta))
    tau = subjettiness(np.array([3]), *p, radius=1.0)[0]
    assert tau[1] == pytest.approx(0.2 * 100 / 500, abs=1e-3)
    assert tau[2] == pytest.approx(0.0, abs=1e-6)
    assert tau[0] > 0.2


def test_the_trigger_asks_one_of_the_two_leading_jets_for_momentum_and_acceptance():
    def jet(pt, eta):
        return [pt, 0.0, pt * np.sinh(eta), pt * np.cosh(eta)]

    events = [
        [jet(1100, 0), jet(1300, 1)],  # the second listed is the leading one
        [jet(1300, 2.6), jet(1250, 0)],  # leading outside, sub-leading fires
        [jet(1300, 2.6), jet(1100, 0)],
        [jet(1300, 0)],  # one jet only
        [jet(100, 0), jet(1200, 0)],  # not above
    ]
    n_jets = np.array([len(e) for e in events])
    event, pair = leading_pairs(n_jets, np.array([j for e in events for j in e]), 1200.0, 2.5)
    assert event.tolist() == [0, 1]
    assert pair.tolist() == [[1, 0], [2, 3]]


def test_events_without_enough_momentum_give_no_jets_instead_of_an_error():
    assert (
        len(find_dijets(objects([(20.0, 0, 0), (20.0, 0, 3)]), trigger_pt=1200, trigger_eta=2.5, radius=1).event) == 0
    )


def test_the_early_veto_keeps_what_a_cone_holds():
    def parton(pt, eta, phi):
        return pt, eta, phi, pt * np.cos(phi), pt * np.sin(phi)

    split = [parton(600, 0.0, 3.1), parton(500, 0.5, -3.1)]  # across the seam in phi
    assert reaches(split, 1040)
    assert not reaches([parton(600, 0.0, 3.1), parton(500, 1.5, -3.1)], 1040)
    assert not reaches([parton(150, 0, 0)] * 20, 1040)  # nothing to seed a cone


# --- events


@pytest.fixture(scope="module")
def golden():
    sys.path.insert(0, str(ROOT / "tools"))
    import golden_events

    return golden_events.GOLDEN, np.load(ROOT / "tests" / "data" / "generated.npz")


@pytest.mark.parametrize("name", ["background", "two_prong", "three_prong"])
def test_a_small_chunk_is_that_of_the_repository_byte_for_byte(golden, name):
    (process, prongs, seed), expected = golden[0][name], golden[1][name]
    made = generate_events(process, GeneratorSettings(signal=SignalSettings(prongs=prongs)), len(expected), seed=seed)
    assert made.features.tobytes() == expected.tobytes()
    assert made.label == (process == "signal")


def test_the_bundled_sample_holds_the_first_generated_events(golden):
    """The demo was made by this generator: the head of its first chunks is in it, with label and derived columns."""
    demo = pq.read_table(ROOT / "cathode" / "data" / "demo.parquet").to_pandas()
    for name, label in (("background", 0), ("two_prong", 1)):
        columns = {c: golden[1][name][:, j].astype(float) for j, c in enumerate(JET_COLUMNS)}
        mjj = derive_dijet(columns)["mjj"]
        known = np.sort(demo.mjj[demo.label == label].to_numpy(dtype=float))
        at = np.clip(np.searchsorted(known, mjj), 1, len(known) - 1)
        nearest = np.minimum(np.abs(known[at] - mjj), np.abs(known[at - 1] - mjj))
        assert nearest.max() < 1e-6 * 4000


def test_signal_has_the_masses_and_prongs_of_the_configuration():
    signal = SignalSettings(mass=5000.0, daughters=(300.0, 300.0))
    x = generate_events("signal", GeneratorSettings(signal=signal), 60, seed=3).features.astype(float)
    p = x.reshape(-1, 2, 7)
    energy = np.sqrt((p[..., :3] ** 2).sum(axis=-1) + p[..., 3] ** 2).sum(axis=1)
    mjj = np.sqrt(energy**2 - (p[..., :3].sum(axis=1) ** 2).sum(axis=-1))
    assert np.median(mjj) == pytest.approx(5000, rel=0.05)
    assert np.median(p[..., 3]) == pytest.approx(300, rel=0.1)


def test_cards_say_what_the_settings_ask_for():
    three = cards("signal", GeneratorSettings(signal=SignalSettings(prongs=3, width=0.02)), 7)
    assert "34:mWidth = 70.0" in three
    assert "9900101:oneChannel = 1 1.0 100 2 2 1" in three
    wide = cards("signal", GeneratorSettings(signal=SignalSettings(width=0.02)), 7)
    assert {"34:mWidth = 70.0", "24:m0 = 500.0", "23:doForceWidth = on"} <= set(wide)
    own = cards("background", GeneratorSettings(multiparton=True, pythia=("Tune:pp = 21",)), 7)
    assert own[-2:] == ["PartonLevel:MPI = on", "Tune:pp = 21"]


def test_a_line_that_pythia_does_not_know_is_refused_by_name():
    with pytest.raises(ConfigError, match="Nonsense:on = 1"):
        generate_events("background", GeneratorSettings(pythia=("Nonsense:on = 1",)), 1, seed=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (lambda: SignalSettings(mass=500.0), "less together"),
        (lambda: SignalSettings(width=0.5), "between 0 and 0.1"),
        (lambda: GeneratorSettings(n_background=0), "at least 1"),
        (lambda: GeneratorSettings(chunk=0), "at least 1 event"),
        (lambda: GeneratorSettings(pthat_min=9000.0), "half the energy"),
        (lambda: GeneratorSettings(trigger_pt=0.0), "positive"),
        (lambda: GeneratorSettings(signal=SignalSettings(mass=14000.0)), "energy of the collision"),
    ],
)
def test_settings_without_sense_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        settings()


def test_without_its_packages_the_generator_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"cathode\[simulate\]"):
        require_packages()


def chunk(label, n, start=0):
    return made_of(np.full((n, 14), start, dtype=np.float32), label)


def made_of(features, label, cards=(), versions=None):
    return Generated(
        names=JET_COLUMNS, features=features, label=label, n_generated=len(features), cross_section_fb=2.5, cards=cards,
        versions=versions or {},
    )  # fmt: skip


def test_chunks_are_full_and_the_rest_of_the_last_is_not_used():
    settings = GeneratorSettings(n_background=25, n_signal=5, chunk=10)
    assert (settings.n_chunks("background"), settings.n_chunks("signal")) == (3, 1)
    merged = merge_chunks([chunk(0, 10, k) for k in range(3)] + [chunk(1, 10)], settings)
    assert merged["label"].tolist() == [0] * 25 + [1] * 5
    assert merged["pxj1"][:25].tolist() == [0] * 10 + [1] * 10 + [2] * 5
    with pytest.raises(ConfigError, match="found 20 generated events of background, expected 25"):
        merge_chunks([chunk(0, 10), chunk(0, 10), chunk(1, 10)], settings)


def test_more_events_keep_the_chunks_and_another_simulation_has_a_folder_of_its_own():
    from cathode.config import load_config

    def folder(**generator):
        return load_config({"data": {"source": "pythia"}, "generator": generator}).generated_folder

    assert folder(n_background=100_000) == folder(n_background=200_000)
    assert folder(seed=2) != folder()
    assert folder(signal={"prongs": 3}) != folder()


def test_a_generated_chunk_goes_through_its_artefact_and_the_intake(tmp_path):
    from cathode import io
    from cathode.config import load_config

    config = load_config(
        {"data": {"source": "pythia", "allow_duplicates": 1.0}, "generator": {"n_background": 1200, "n_signal": 0}}
    )
    golden = np.repeat(np.load(ROOT / "tests" / "data" / "generated.npz")["background"], 30, axis=0)
    made = made_of(golden, 0, ("a", "b"), {"p": "1"})
    path = tmp_path / "background_0.parquet"
    io.write(made, path, io.Made("generate", "x", {}))
    back = io.read(path, Generated)
    assert back.features.dtype == np.float32
    assert np.array_equal(back.features, made.features)
    assert (back.cards, back.versions, back.cross_section_fb) == (made.cards, made.versions, 2.5)
    events, labels, _, intake = prepare(
        [back], [], data=config.data, injection=config.injection, generator=config.generator,
        mass_range=(1000.0, 9000.0), blinded=(), seed=1,
    )  # fmt: skip
    mjj = derive_dijet({c: golden[:, j] for j, c in enumerate(JET_COLUMNS)})["mjj"]
    assert events.mass == pytest.approx(mjj)
    assert (labels.label == 0).all()
    assert intake.kept == len(events) == intake.read - sum(intake.dropped.values())
