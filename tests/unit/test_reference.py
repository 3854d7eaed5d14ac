"""The inclusive scan over somebody else's background: against BumpHunter, its trials, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pyBumpHunter import BumpHunter1D
from scipy.stats import kstest, norm

import cathode
from cathode.errors import ConfigError, DataError
from cathode.intake import reference
from cathode.intake.reference import read_reference
from cathode.intake.settings import DataSettings
from cathode.seeds import derive_seed
from cathode.spectrum.scan import scan_masses, scan_spectrum

EDGES = np.arange(3000.0, 6001.0, 50.0)
EXPECTED = 900 * (np.exp(-(EDGES[:-1] - 3000) / 900) - np.exp(-(EDGES[1:] - 3000) / 900))
KNOWN = cathode.ReferenceHistogram(edges=EDGES, expected=EXPECTED, error=np.zeros(60))


def falling(n: int, seed: int) -> np.ndarray:
    """Masses of background, exponential above 3 TeV."""
    m = 3000 + np.random.default_rng(seed).exponential(900, n)
    return m[m < 6000]


def both(seed: int, n_signal: int) -> tuple[np.ndarray, float, tuple[float, float]]:
    """Global significances of our scan and of BumpHunter (at most 3, where its toys end), our mass and its interval."""
    bump = np.random.default_rng(100 + seed).normal(4000, 100, n_signal)
    mass = np.concatenate([falling(40000, seed), bump])
    ours = cathode.scan_masses(mass, 3000, 6000, 100, reference=KNOWN)
    theirs = BumpHunter1D(
        rang=(3000, 6000), bins=EDGES, width_min=2, width_max=10, npe=2000, nworker=1, seed=1, use_sideband=True
    )
    theirs.bump_scan(np.histogram(mass, EDGES)[0].astype(float), EXPECTED * len(mass), is_hist=True)
    first = int(theirs.min_loc_ar[0])
    z = np.minimum(norm.isf([ours.p_global_toys, max(float(theirs.global_Pval), 1e-4)]), 3.0)
    assert ours.best_mass is not None
    return z, ours.best_mass, (float(EDGES[first]), float(EDGES[first + int(theirs.min_width_ar[0])]))


def test_bumphunter_sees_the_same():
    """Counts in intervals of any width instead of Gaussians, and toys of its own: the same place, and much the same global significance."""
    empty = np.array([both(seed, 0)[0] for seed in (2, 3, 5, 6, 7)])
    assert empty.max() < 2.6
    assert np.mean(np.abs(np.diff(empty))) < 0.6
    for seed in (2, 3):
        z, mass, (low, high) = both(seed, 400)
        assert z.min() > 2.6
        assert low - 100 < mass < high + 100


def test_the_global_p_value_counts_the_errors_of_the_reference():
    """Twice as many other events as data: without their errors, a third of the samples would lie below 0.05."""
    p, careless = [], []
    for seed in range(60):
        data, other = falling(15000, 2 * seed), falling(30000, 2 * seed + 1)
        p.append(cathode.scan_masses(data, 3000, 6000, 100, reference=other, seed=seed, toys=400).p_global_toys)
        counts = np.histogram(other, EDGES)[0].astype(float)
        sure = cathode.ReferenceHistogram(edges=EDGES, expected=counts, error=np.zeros(60))
        careless.append(cathode.scan_masses(data, 3000, 6000, 100, reference=sure, seed=seed, toys=400).p_global_toys)
    assert kstest(p, "uniform").pvalue > 0.05
    assert kstest(careless, "uniform").pvalue < 0.01


def test_a_signal_is_found_at_its_mass_and_width_whatever_the_size_of_the_reference():
    mass = np.concatenate([falling(40000, 1), np.random.default_rng(2).normal(4200, 100, 600)])
    found = [cathode.scan_masses(mass, 3000, 6000, 100, reference=falling(n, 3)) for n in (40000, 400000)]
    for scan in found:
        assert scan.best_mass == pytest.approx(4200, abs=75)
        assert scan.best_width in (70, 100, 150)
        assert scan.family == "reference"
        assert scan.p_global < 1e-3
    assert found[0].z_local == pytest.approx(found[1].z_local / np.sqrt(2 / 1.1), rel=0.2)
    scaled = cathode.ReferenceHistogram(edges=EDGES, expected=7 * EXPECTED, error=np.zeros(60))
    same = [cathode.scan_masses(mass, 3000, 6000, 100, reference=r).z_local for r in (KNOWN, scaled)]
    assert same[0] == pytest.approx(same[1])


def test_a_reference_of_another_shape_is_said_by_its_goodness_of_fit():
    tilted = cathode.ReferenceHistogram(edges=EDGES, expected=EXPECTED * np.linspace(0.9, 1.3, 60), error=np.zeros(60))
    assert cathode.scan_masses(falling(40000, 1), 3000, 6000, 100, reference=tilted).p_value < 1e-6
    assert cathode.scan_masses(falling(40000, 1), 3000, 6000, 100, reference=KNOWN).p_value > 0.01


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (falling(5000, 1) / 1000, "found 0 events between 3000 and 6000 GeV"),
        (np.array([3500.0, np.nan]), "found no column of finite masses"),
        ({"edges": EDGES[::6], "expected": np.ones(10), "error": np.ones(10)}, "found a bin of 300 GeV"),
        ({"edges": EDGES[:5], "expected": np.ones(4), "error": np.ones(4)}, "found 4 whole bins"),
        ({"edges": EDGES, "expected": np.ones(59), "error": np.ones(59)}, r"found \(61,\) edges"),
        ({"edges": EDGES[::-1], "expected": np.ones(60), "error": np.ones(60)}, "edges that do not rise"),
        ({"edges": EDGES, "expected": -np.ones(60), "error": np.ones(60)}, "negative events"),
    ],
)
def test_what_is_no_reference_is_refused_in_one_line(reference, words):
    def scan() -> None:
        given = cathode.ReferenceHistogram(**reference) if isinstance(reference, dict) else reference
        cathode.scan_masses(falling(40000, 1), 3000, 6000, 100, reference=given)

    with pytest.raises(DataError, match=words):
        scan()


def reading(folder, data=None, **spectrum):
    """The reference that a configuration in a folder names."""
    settings = cathode.SpectrumSettings(
        **{k: (str(folder / v),) if k == "reference_files" else v for k, v in spectrum.items()}
    )
    chosen = DataSettings(source="files", files=("hunted.csv",), mass="m", features=("x",), **(data or {}))
    return read_reference(data=chosen, spectrum=settings, mass_range=(3000.0, 6000.0), seed=1)


def test_other_events_are_selected_and_converted_as_the_data_are(tmp_path):
    mass = falling(4000, 1) / 1000
    x = np.random.default_rng(2).uniform(size=len(mass))
    pd.DataFrame({"m": mass, "x": x, "unused": "text"}).to_csv(tmp_path / "other.csv", index=False)
    found = reading(tmp_path, {"mass_unit": "TeV", "select": "x > 0.5"}, reference_files="other.csv")
    np.testing.assert_allclose(found.mass, 1000 * mass[x > 0.5])
    assert list(found.inputs) == ["other.csv"]
    window = cathode.Window("w", (4000.0, 4400.0), (3000.0, 6000.0))
    n = 30000
    events = cathode.Events(("x",), np.arange(n), falling(n + 2000, 5)[:n], np.zeros((n, 1)))
    through = scan_spectrum(events, found, window=window)
    by_hand = scan_masses(events.mass, 3000, 6000, 100, reference=found.mass, seed=derive_seed(1, "scan_spectrum", "w"))
    assert (through.family, through.z, through.p_global_toys) == ("reference", by_hand.z, by_hand.p_global_toys)
    assert scan_spectrum(events, window=window).family != "reference"


def test_a_histogram_is_read_in_any_order_and_with_gaps_refused(tmp_path):
    bins = pd.DataFrame({"low": EDGES[:-1] / 1000, "high": EDGES[1:] / 1000, "expected": EXPECTED, "error": 0.1})
    bins.sample(frac=1, random_state=1).to_csv(tmp_path / "bins.csv", index=False)
    found = reading(tmp_path, {"mass_unit": "TeV"}, reference_histogram=str(tmp_path / "bins.csv")).histogram
    np.testing.assert_allclose(found.edges, EDGES)
    np.testing.assert_allclose(found.expected, EXPECTED)
    bins.drop(index=7).to_csv(tmp_path / "gap.csv", index=False)
    with pytest.raises(DataError, match=r"a bin that ends at 3\.35 and the next that begins at 3\.4"):
        reading(tmp_path, {"mass_unit": "TeV"}, reference_histogram=str(tmp_path / "gap.csv"))
    bins.rename(columns={"error": "err"}).to_csv(tmp_path / "names.csv", index=False)
    with pytest.raises(DataError, match=r"error.*low, high, expected, error"):
        reading(tmp_path, reference_histogram=str(tmp_path / "names.csv"))


def test_what_names_no_reference_is_refused_by_its_key(tmp_path):
    with pytest.raises(DataError, match=r"spectrum\.reference_files: .*none\.csv: no such file"):
        reading(tmp_path, reference_files="none.csv")
    with pytest.raises(ConfigError, match="expected one of them"):
        cathode.SpectrumSettings(reference_files=("a.csv",), reference_histogram="b.csv")
    with pytest.raises(ConfigError, match="empty path"):
        cathode.SpectrumSettings(reference_files=("",))


def steep(n: int, seed: int) -> np.ndarray:
    """Masses that fall over four orders of magnitude, of which a reference ends before the data do."""
    m = 2300 + np.random.default_rng(seed).exponential(500, n)
    return m[m < 8000]


@pytest.mark.parametrize("n_reference", [10_000, 40_000])
def test_a_small_reference_fakes_no_excess_where_it_is_thin(n_reference):
    """Without an end, and with errors from the reference's own counts alone, most of such samples have p below 0.01."""
    scans = [
        cathode.scan_masses(
            steep(40_000, 2 * s), 2300, 8000, 100, reference=steep(n_reference, 2 * s + 1), seed=s, toys=1000
        )
        for s in range(30)
    ]
    p = [scan.p_global_toys for scan in scans]
    assert kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) < 0.01) <= 0.07
    assert max(scan.fit_range[1] for scan in scans) < 6000


def test_the_data_are_no_reference_of_themselves_in_whatever_form(tmp_path):
    mine, others = falling(20_000, 1), falling(20_000, 2)
    for other in (mine, mine.astype(np.float32), np.concatenate([others, mine[::10]])):
        with pytest.raises(DataError, match="events are no background of themselves"):
            cathode.scan_masses(mine, 3000, 6000, 100, reference=other)
    fine = mine.astype(np.float32).astype(float)  # many of so coarse masses are alike by chance
    many = np.random.default_rng(3).uniform(3000, 6000, 3_000_000).astype(np.float32)
    assert cathode.scan_masses(fine, 3000, 6000, 100, reference=many, toys=100).family == "reference"


def test_weights_and_labels_of_the_reference(tmp_path, monkeypatch):
    """Flat simulation that weights make the spectrum, with a signal that its label says."""
    rng = np.random.default_rng(4)
    mass = rng.uniform(3000, 6000, 60_000)
    table = pd.DataFrame({"m": mass, "x": rng.normal(size=60_000), "w": np.exp(-(mass - 3000) / 900), "is_signal": 0})
    bump = pd.DataFrame({"m": rng.normal(4200, 50, 3000), "x": rng.normal(size=3000), "w": 1.0, "is_signal": 1})
    pd.concat([table, bump]).to_parquet(tmp_path / "mc.parquet")
    found = reading(tmp_path, {"label": "is_signal"}, reference_files="mc.parquet", reference_weight="w")
    assert len(found.mass) == 60_000
    data = falling(30_000, 9)
    scan = cathode.scan_masses(data, 3000, 6000, 100, reference=found)
    assert scan.p_value > 0.01
    assert scan.p_global_toys > 0.01
    said: list[str] = []
    monkeypatch.setattr(reference.log, "warning", lambda text, *values: said.append(text % values))
    plain = reading(tmp_path, {"label": "is_signal"}, reference_files="mc.parquet")
    assert "the column w looks like weights and is not used" in said[0]
    assert cathode.scan_masses(data, 3000, 6000, 100, reference=plain).p_value < 1e-10


def test_a_column_of_a_table_is_scanned_in_whatever_order_it_is():
    """By its values, not by the labels of its rows."""
    mass = pd.Series(falling(20_000, 6))
    expected = cathode.scan_masses(mass.to_numpy(), 3000, 6000, 100, toys=200)
    assert expected.z
    for same in (mass.sample(frac=1, random_state=1), mass.sort_values(), mass[mass > 0].rename(index=lambda i: i + 7)):
        again = cathode.scan_masses(same, 3000, 6000, 100, toys=200)
        np.testing.assert_allclose(again.z, expected.z, atol=1e-6)
    with pytest.raises(DataError, match="found no column of finite masses"):
        cathode.scan_masses(pd.Series([3000.0, np.nan]), 3000, 6000, 100)
