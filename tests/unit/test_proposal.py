"""`cathode init`: what it takes columns for, and configurations that hunt as they were written."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import uproot

from cathode import cli
from cathode.config import load_config
from cathode.errors import CathodeError
from cathode.intake.expressions import parse
from cathode.proposal.pairs import find_pair
from cathode.proposal.propose import default_choice, open_table, propose
from cathode.proposal.roles import describe_columns, rank_masses
from cathode.proposal.windows import guess_objects, guess_unit, propose_range, propose_windows
from cathode.proposal.write import sparkline
from cathode.running.check import describe


def falling(n: int, seed: int = 1) -> np.ndarray:
    m = 1100 + np.random.default_rng(seed).exponential(400, 2 * n)
    return m[m < 6000][:n]


def ntuple(n: int = 30_000) -> pd.DataFrame:
    r = np.random.default_rng(2)
    m = falling(n)
    tau = r.beta(3, 3, n)
    tau[: n // 60] = -99
    nan = r.normal(size=n)
    nan[::70] = np.nan
    return pd.DataFrame(
        {
            "evt": np.arange(n),
            "run": 7,
            "mjj": m,
            "lead_pt": m / 2 + r.normal(0, 40, n),
            "j1_m": r.gamma(3, 30, n),
            "j1_tau21": tau,
            "often_missing": np.where(r.random(n) < 0.3, -999.0, r.normal(size=n)),
            "nan": nan,
            "n_constit": r.poisson(30, n),
            "flag": r.integers(0, 2, n),
            "always": 3.5,
            "zero": np.where(r.random(n) < 0.05, 0.0, r.gamma(2, 1, n)),
            "twice": 2 * np.arange(n) % 7 + r.normal(size=n),
            "weight": r.uniform(0.5, 1, n),
            "label": (r.random(n) < 0.01).astype(int),
        }
    ).assign(copy=lambda t: 1 - 3 * t.j1_m)


@pytest.fixture(scope="module")
def described():
    t = ntuple()
    columns = {name: t[name].to_numpy(dtype=float) for name in t}
    whole = [name for name in t if t[name].dtype.kind == "i"]
    return {c.name: c for c in describe_columns(columns, "mjj", integers=whole)}


@pytest.mark.parametrize(
    ("name", "role", "note"),
    [
        ("mjj", "mass", ""),
        ("evt", "identifier", ""),
        ("run", "identifier", ""),
        ("lead_pt", "left out", "follows the mass"),
        ("j1_m", "feature", ""),
        ("j1_tau21", "feature", "0.017 of the events have none and are dropped"),
        ("often_missing", "left out", "sentinel -999.0 in 30% of events"),
        ("nan", "feature", "0.014 of the events have none"),
        ("n_constit", "feature", "which are spread"),
        ("flag", "left out", "takes 2 values"),
        ("always", "left out", "always 3.5"),
        ("zero", "left out", "an atom"),
        ("twice", "feature", ""),
        ("weight", "weight", "unweighted"),
        ("label", "label", "truth"),
        ("copy", "left out", "given by features before it"),
    ],
)
def test_columns_are_taken_for_what_they_are(described, name, role, note):
    assert described[name].role == role
    assert note in described[name].note


def test_events_without_a_value_are_dropped_by_a_condition_that_keeps_all_others(described):
    t = ntuple()
    columns = {name: t[name].to_numpy() for name in t}
    kept = parse(described["j1_tau21"].keep, "select")(columns)
    assert np.array_equal(kept, columns["j1_tau21"] != -99)
    assert np.array_equal(parse(described["nan"].keep, "select")(columns), np.isfinite(columns["nan"]))
    assert described["n_constit"].discrete


def test_features_that_give_the_mass_only_together_are_found():
    r = np.random.default_rng(3)
    m, share = falling(20_000), r.random(20_000)
    columns = {"m": m, "e1": share * m, "e2": (1 - share) * m, "other": r.normal(size=20_000)}
    roles = {c.name: c.role for c in describe_columns(columns, "m")}
    assert sorted(roles[name] for name in ("e1", "e2")) == ["feature", "left out"]
    assert roles["other"] == "feature"


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (["pt", "mass", "mjj"], "mjj"), (["M", "pt1"], "M"), (["j1_mass", "dijet_mass"], "dijet_mass"), (["mumu_m", "mass_x"], "mass_x"),
        (["mu_pt", "mu_mass_error"], None), (["m_ll", "m"], "m_ll"),
    ],
)  # fmt: skip
def test_the_mass_is_found_by_its_name(names, first):
    columns = {name: falling(500) for name in names}
    assert next(iter(rank_masses(columns)), None) == first


def test_units_and_resolutions_follow_the_objects():
    assert guess_objects(["mjj", "tau21"]) == "jets"
    assert guess_objects(["M", "mu1_pt"]) == "leptons or photons"
    assert [guess_unit(np.array([m]), "jets") for m in (3.5, 3500.0, 3.5e6)] == ["TeV", "GeV", "MeV"]
    assert [guess_unit(np.array([m]), "leptons or photons") for m in (3.1, 91.0, 3096.0)] == ["GeV", "GeV", "MeV"]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_ranges_and_windows_scale_with_the_unit(scale):
    m = falling(30_000)
    span = propose_range(m * scale)
    assert span == pytest.approx(np.array(propose_range(m)) * scale)
    found = list(propose_windows(m * scale, span, 0.03))
    reference = list(propose_windows(m, propose_range(m), 0.03))
    assert [w.number for w in found] == [w.number for w in reference]
    assert [w.width for w in found] == pytest.approx([w.width * scale for w in reference])


def test_the_range_begins_above_a_turn_on():
    r = np.random.default_rng(4)
    m = 1000 + r.exponential(400, 60_000)
    m = m[r.random(len(m)) < 1 / (1 + np.exp(-(m - 1400) / 50))]
    low, _ = propose_range(m)
    assert 1400 < low < 1700
    assert propose_range(falling(30_000))[0] < 1101


def test_windows_leave_events_on_both_sides():
    m = falling(30_000)
    span = propose_range(m)
    for where in propose_windows(m, span, 0.02):
        centres = [where.scan.first, where.scan.last] if where.scan else [sum(where.signal_region) / 2] * 2
        low, high = centres[0] - where.width / 2, centres[1] + where.width / 2
        assert np.mean(m < low) > 0.09
        assert np.mean(m > high) > 0.025


def nano(path, n: int = 30_000) -> None:
    """Muons with vectors of pt, eta, phi, some events with one alone; masses between 2.2 and 5.2 GeV."""
    ak = pytest.importorskip("awkward")
    r = np.random.default_rng(5)
    m, pt1, pt2, eta, d = (
        2.2 + 3 * r.random(n),
        r.exponential(5, n) + 4,
        r.exponential(4, n) + 3,
        r.normal(0, 1, n),
        r.normal(0, 0.1, n),
    )
    c = np.cosh(d) - m**2 / (2 * pt1 * pt2)
    ok = np.abs(c) <= 1
    phi = r.uniform(-np.pi, np.pi, n)
    parts = {
        "pt": (pt1, pt2),
        "eta": (eta, eta + d),
        "phi": (phi, phi + np.arccos(np.clip(c, -1, 1))),
        "iso": (r.exponential(1, n), r.exponential(1, n)),
    }
    number = r.choice([1, 2], n, p=[0.1, 0.9])[ok]
    muons = ak.zip(
        {
            k: ak.Array([list(v[:j]) for v, j in zip(np.stack(vs, 1)[ok], number, strict=True)])
            for k, vs in parts.items()
        }
    )
    with uproot.recreate(path) as file:
        events = file.mktree("Events", {"event": "int64", "MET_pt": "float64", "Muon": muons.type.content})
        events.extend({"event": np.arange(ok.sum()), "MET_pt": r.exponential(20, int(ok.sum())), "Muon": muons})
        file.mktree("Runs", {"run": "int64"}).extend({"run": np.array([1])})


def tables(folder) -> dict[str, str]:
    """Tables of every kind that `init` is made for."""
    t = ntuple()
    t.to_parquet(folder / "ntuple.parquet")
    (t[["evt", "mjj", "j1_m", "twice"]] * [1, 1e-3, 1, 1]).to_csv(folder / "tev.csv.gz", index=False)
    r = np.random.default_rng(6)
    np.savez(folder / "twenty.npz", mass=falling(20_000), **{f"f{i}": r.normal(size=20_000) for i in range(20)})
    nano(folder / "nano.root")
    return {"ntuple.parquet": "mjj", "tev.csv.gz": "mjj", "twenty.npz": "mass", "nano.root": "pair_mass"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("init")
    tables(path)
    return path


@pytest.mark.parametrize(
    ("name", "mass"),
    [("ntuple.parquet", "mjj"), ("tev.csv.gz", "mjj"), ("twenty.npz", "mass"), ("nano.root", "pair_mass")],
)
def test_a_configuration_is_written_that_check_accepts_unchanged(name, mass, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert cli.main(["init", name, "--yes", "--force", "--out", "my.yaml"]) == 0
    said = capsys.readouterr().out
    assert f"mass: {mass}" in said
    assert len(said.splitlines()) <= 30
    config = load_config("my.yaml")
    assert (config.data.mass, config.blind, config.run) == (mass, True, "my")
    assert "hunts:" in describe(config)
    assert config.data.mass_unit == ("TeV" if name.startswith("tev") else "GeV")
    if name == "ntuple.parquet":
        assert "lead_pt" not in config.data.features
        assert config.data.label == "label"
        assert config.data.weight == "weight"
        assert config.data.discrete == ("n_constit",)


def test_nothing_is_replaced_and_nothing_left_behind(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "mine.yaml").write_text("run: precious\n")
    before = sorted(p.name for p in folder.iterdir())
    assert cli.main(["init", "twenty.npz", "--yes", "--out", "mine.yaml"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert cli.main(["init", "absent.npz", "--yes"]) == 2
    assert (folder / "mine.yaml").read_text() == "run: precious\n"
    assert sorted(p.name for p in folder.iterdir()) == before


def test_without_a_mass_the_columns_are_named(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    r = np.random.default_rng(7)
    np.savez("odd.npz", q=falling(5000), z=r.normal(size=5000))
    assert cli.main(["init", "odd.npz", "--yes"]) == 2
    assert "cannot tell which column is the mass" in capsys.readouterr().err
    assert cli.main(["init", "odd.npz", "--yes", "--mass", "q", "--unblind"]) == 0
    assert load_config("odd.yaml").data.mass == "q"
    assert not load_config("odd.yaml").blind


def test_answers_on_a_terminal_are_used(folder, monkeypatch):
    monkeypatch.chdir(folder)
    answers = iter(["", "GeV", "5 %", "n"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    assert cli.main(["init", "twenty.npz", "--out", "asked.yaml"]) == 0
    config = load_config("asked.yaml")
    assert not config.blind
    narrow = propose(open_table(["twenty.npz"]), default_choice(open_table(["twenty.npz"])), run="x").where.width
    window = next(iter(config.regions.values()))
    assert window.width > 1.5 * narrow


@pytest.mark.parametrize("name", ["a\nb: 1", "in", "x y", "#", "- c", "\u2028"])
def test_names_of_columns_cannot_write_into_the_configuration(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    r = np.random.default_rng(8)
    values = r.normal(size=20_000)
    values[:200] = -999
    pd.DataFrame({"mass": falling(20_000), name: values, name + "2": 1.0, "other": r.normal(size=20_000)}).to_parquet(
        "t.parquet"
    )
    assert cli.main(["init", "t.parquet", "--yes"]) == 0
    config = load_config("t.yaml")
    assert set(config.data.features) == ({"other"} if "\n" in name else {name, "other"})
    assert "hunts:" in describe(config)


def test_a_pair_has_the_mass_of_its_four_vectors():
    r = np.random.default_rng(9)
    n = 1000
    columns: dict[str, np.ndarray] = {}
    p = np.zeros((4, n))
    for k in ("1", "2"):
        pt, eta, phi, m = r.exponential(20, n) + 1, r.normal(0, 1, n), r.uniform(-3, 3, n), r.exponential(5, n)
        columns |= {f"pt{k}": pt, f"eta{k}": eta, f"phi{k}": phi, f"mass{k}": m}
        px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
        p += np.array([np.sqrt(px**2 + py**2 + pz**2 + m**2), px, py, pz])
    pair = find_pair(columns, [])
    mass = parse(pair.define["pair_mass"], "pair_mass")(columns)
    np.testing.assert_allclose(mass, np.sqrt(p[0] ** 2 - (p[1:] ** 2).sum(axis=0)), rtol=1e-9)
    massless = find_pair({k: v for k, v in columns.items() if "mass" not in k}, [])
    columns |= {"mass1": np.zeros(n), "mass2": np.zeros(n)}
    np.testing.assert_allclose(
        parse(massless.define["pair_mass"], "pair_mass")(columns),
        parse(pair.define["pair_mass"], "pair_mass")(columns),
        rtol=1e-5,
    )
    assert set(pair.parts) == set(columns)
    assert find_pair(["pt1", "eta1", "phi1"], []) is None


def test_sparklines_are_as_high_as_the_histogram():
    assert sparkline(np.repeat(np.arange(8.0), [1, 2, 3, 4, 5, 6, 7, 8]))[-1] == "█"
    assert sparkline(np.full(5, 2.0)) == " " * 8


def test_a_table_that_nothing_can_be_hunted_in_is_refused_in_words(tmp_path):
    np.savez(tmp_path / "few.npz", mass=falling(300), x=np.random.default_rng(1).normal(size=300))
    with pytest.raises(CathodeError, match="found 300 events with a positive mass, expected at least 500"):
        default_choice(open_table([str(tmp_path / "few.npz")]))
