"""Raw files of particles: jets whose momenta are known, rows that stay, runs that continue, black boxes that stay shut."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from cathode.cli import main
from cathode.config import Config
from cathode.dijets import particles
from cathode.errors import DataError
from cathode.intake.official import cached_file, cluster_jets, fetch
from cathode.intake.prepare import prepare_events
from cathode.intake.settings import DataSettings, InjectionSettings
from cathode.intake.tables import read_table
from cathode.running.check import describe

pytest.importorskip("fastjet", reason="clustering needs cathode[simulate]")
SLOTS = 12


def event(rng, pt: float) -> np.ndarray:
    """Two back-to-back bundles of three particles and three soft ones far from both: `(9, 3)` pT, eta, phi."""
    phi = rng.uniform(-1, 1)
    bundles = [
        np.column_stack([pt * np.array(shares), rng.normal(0, 0.1, 3), phi + shift + rng.normal(0, 0.1, 3)])
        for shift, shares in ((0.0, (0.5, 0.3, 0.25)), (np.pi, (0.5, 0.3, 0.2)))
    ]
    soft = np.column_stack([rng.uniform(0.5, 2, 3), [2.0, -2.0, 1.8], phi + np.pi / 2 + rng.uniform(-0.2, 0.2, 3)])
    return np.concatenate([*bundles, soft])


def write_raw(path, events, labels=None) -> None:
    table = np.zeros((len(events), 3 * SLOTS + (labels is not None)))
    for i, e in enumerate(events):
        table[i, : e.size] = e.ravel()
    if labels is not None:
        table[:, -1] = labels
    pd.DataFrame(table).to_hdf(path, key="df")


def momentum(bundle: np.ndarray) -> np.ndarray:
    """Sum of massless four-vectors."""
    pt, eta, phi = bundle.T
    return np.array(
        [(pt * np.cos(phi)).sum(), (pt * np.sin(phi)).sum(), (pt * np.sinh(eta)).sum(), (pt * np.cosh(eta)).sum()]
    )


def read(path):
    return read_table(path, None, lambda names: names).columns


def test_jets_are_the_sums_of_their_particles_and_no_row_is_lost(tmp_path):
    rng = np.random.default_rng(1)
    events = [event(rng, 1500.0) for _ in range(20)]
    events[7] = events[7][:3]  # one jet only
    events[11] = events[11][:0]  # nothing
    labels = np.arange(20) % 2
    write_raw(tmp_path / "raw.h5", events, labels)
    found = read(particles.cluster_file(tmp_path / "raw.h5", tmp_path / "jets.parquet", piece=6))
    np.testing.assert_array_equal(found["label"], labels)
    for i, e in enumerate(events):
        if i in (7, 11):
            assert all(found[name][i] == 0 for name in found if name != "label")
            continue
        for j, bundle in (("j1", e[:3]), ("j2", e[3:6])):  # the first has a twentieth more pT
            p = momentum(bundle)
            got = [found[f"{c}{j}"][i] for c in ("px", "py", "pz")]
            np.testing.assert_allclose(got, p[:3], rtol=1e-5, atol=1e-2)
            assert found[f"m{j}"][i] == pytest.approx(np.sqrt(p[3] ** 2 - (p[:3] ** 2).sum()), rel=1e-4)
            assert found[f"tau3{j}"][i] == pytest.approx(0, abs=1e-6)  # three particles, three axes
            assert found[f"tau1{j}"][i] > found[f"tau2{j}"][i] > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["jets.parquet", "raw.h5"]


def test_a_stopped_run_continues_and_gives_the_same_bytes(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(2)
    write_raw(tmp_path / "raw.h5", [event(rng, 1300.0) for _ in range(20)])
    monkeypatch.setattr(particles.cluster_file, "__kwdefaults__", {"piece": 6})
    assert main(["jets", str(tmp_path / "raw.h5"), str(tmp_path / "whole.parquet")]) == 0
    done: list[int] = []
    real = particles._cluster

    def stops(raw, start, stop, width):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(start)
        return real(raw, start, stop, width)

    monkeypatch.setattr(particles, "_cluster", stops)
    assert main(["jets", str(tmp_path / "raw.h5"), str(tmp_path / "stopped.parquet")]) == 130
    assert not (tmp_path / "stopped.parquet").exists()
    done.clear()
    assert main(["jets", str(tmp_path / "raw.h5"), str(tmp_path / "stopped.parquet")]) == 0
    assert done == [12, 18]
    assert (tmp_path / "stopped.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_table_belongs_to_its_raw_file_and_files_of_others_are_left_alone(tmp_path, capsys):
    rng = np.random.default_rng(4)
    one, two = tmp_path / "one.h5", tmp_path / "two.h5"
    write_raw(one, [event(rng, 1300.0) for _ in range(5)])
    write_raw(two, [event(rng, 1400.0) for _ in range(5)])
    out = tmp_path / "out.parquet"
    pieces = tmp_path / "out.parquet.pieces"
    pieces.mkdir()
    (pieces / "notes.txt").write_text("mine")
    (pieces / "0_5.parquet").write_text("not a piece")
    assert main(["jets", str(one), str(out)]) == 0
    first = out.read_bytes()
    assert main(["jets", str(two), str(out)]) == 0
    assert out.read_bytes() != first
    assert main(["jets", str(one), str(out)]) == 0
    assert out.read_bytes() == first
    assert {path.name: path.read_text() for path in pieces.iterdir()} == {
        "notes.txt": "mine",
        "0_5.parquet": "not a piece",
    }
    out.write_text("precious")
    capsys.readouterr()
    assert main(["jets", str(one), str(out)]) == 2
    assert "is no table of clustered events, and would be overwritten" in capsys.readouterr().err
    assert out.read_text() == "precious"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e * [-1, 1, 1], "negative pT"),
        (lambda e: e * [1, np.nan, 1], "not finite"),
        (None, "expected 2100 or 2101"),
    ],
    ids=["negative", "NaN", "another table"],
)
def test_what_is_no_raw_file_is_refused(tmp_path, change, words, capsys):
    path = tmp_path / "raw.h5"
    if change is None:
        pd.DataFrame({"mjj": [1.0, 2.0]}).to_hdf(path, key="df")
    else:
        write_raw(path, [change(event(np.random.default_rng(3), 1300.0))] * 3)
    assert main(["jets", str(path), str(tmp_path / "out.parquet")]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out.parquet").exists()


def test_a_black_box_is_clustered_once_and_opened_only_for_its_label(tmp_path):
    rng = np.random.default_rng(4)
    events = [event(rng, pt) for pt in rng.uniform(1250, 2500, 1200)]
    keys = {"features": ("mj1", "delta_mj"), "cache": str(tmp_path)}
    shut = DataSettings(source="lhco", sets=("black_box_1",), **keys)
    raw, key = cached_file(shut, "black_box_1"), cached_file(shut, "black_box_1", key=True)
    assert (raw.name, key.name) == ("events_LHCO2020_BlackBox1.h5", "events_LHCO2020_BlackBox1.masterkey")
    raw.parent.mkdir(parents=True)
    write_raw(raw, events)
    config = Config(data=shut)
    assert "particles not clustered yet: black_box_1" in describe(config)  # and not after twenty minutes
    fetched = fetch(dataset="black_box_1", data=shut)  # put there by hand; without a network: the key is not asked for
    assert fetched.sha256 == hashlib.sha256(raw.read_bytes()).hexdigest()
    clustered = cluster_jets(fetched, data=shut)
    assert clustered.sha256 != fetched.sha256
    assert cluster_jets(fetched, data=shut) == clustered
    found = prepare_events(shut, InjectionSettings(), (2000.0, 8000.0), seed=1)
    assert not found.labels.known
    expected = [momentum(e[:6]) for e in events]
    mjj = np.sqrt([p[3] ** 2 - (p[:3] ** 2).sum() for p in expected])
    np.testing.assert_allclose(found.events.mass, mjj[found.events.row], rtol=1e-4)
    label = (rng.random(1200) < 0.1).astype(int)
    key.write_text("\n".join(map(str, label)) + "\n")
    opened = DataSettings(source="lhco", sets=("black_box_1",), label="label", **keys)
    fetch(dataset="black_box_1", data=opened)
    seen = prepare_events(opened, InjectionSettings(), (2000.0, 8000.0), seed=1)
    np.testing.assert_array_equal(seen.labels.label, label[seen.events.row])
    key.write_text("0\n1\n")
    with pytest.raises(DataError, match="SHA-256"):
        fetch(dataset="black_box_1", data=opened)
    with pytest.raises(DataError, match="found 2 labels, expected one 0 or 1 for each of 1200"):
        prepare_events(opened, InjectionSettings(), (2000.0, 8000.0), seed=1)
