"""Artefacts: value-exact round trips with strided input, stable bytes, clear refusals."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import resource
import signal
import zipfile
from typing import Any

import numpy as np
import pytest

from cathode import io
from cathode.artefacts import Figures, artefact
from cathode.calibration.results import (
    ClassifierCount,
    ClassifierExperiments,
    PseudoExperiment,
    PseudoExperiments,
)
from cathode.checksums import sealed
from cathode.classifier.scores import MethodScores, SplitScores
from cathode.density.ensemble import DensityEnsemble
from cathode.errors import ArtefactError
from cathode.events import Events, Intake, Labels, Template
from cathode.inference.background import BackgroundEstimate
from cathode.inference.closure import Closure, ClosurePoint
from cathode.inference.counts import PassingCounts
from cathode.results import (
    HuntResult,
    HuntResults,
    Overdispersion,
    OverdispersionTable,
    Selected,
    Stage,
    Truth,
    TruthPoint,
    Workspace,
)
from cathode.stats.random_effects import RandomEffects
from cathode.summary import Summary

MADE = io.Made("test", "0", {"events": "abc"})
RNG = np.random.default_rng(0)
BIG = np.asfortranarray(RNG.normal(size=(40, 6)))
VIEW = BIG[::2, 1:4]  # neither C- nor F-contiguous
EVEN, ALL = np.arange(40)[::2], np.arange(40)  # strided and not
COUNTS = PassingCounts(
    eps_bkg=0.01, n_sr=1000, n_obs=12, n_bkg=10.5, m=83.0, member_counts=(40.0, 43.0), independent_members=True, n_splits=3
)  # fmt: skip
EFFECTS = RandomEffects(
    mu=0.1, mu_error=0.2, scatter=0.0, degrees_of_freedom=11.0, seen=0.0, mean=0.1, mean_error=0.2, p_homogeneous=0.5
)
POINT = ClosurePoint(
    eps_bkg=0.01, n_windows=1, effects=EFFECTS, sigma_boot=0.01, sigma_init=0.02, observed=(1.0,), predicted=(2.0,), relative_error=(0.1,),
    correlation=((1.0,),), position=(1.5,), floor=0.05,
)  # fmt: skip
ESTIMATE = BackgroundEstimate(
    method="cathode", counts=COUNTS, n_bkg=10.0, initialisation=0.01, bootstrap=0.02, non_closure=None,
    n_windows=0, overdispersion=1.2, sequential=None, generative=None, flags=("flag",),
)  # fmt: skip
RESULT = HuntResult(
    window="m3500", signal_region=(3300.0, 3700.0), method="cathode", eps_bkg=0.01, n_bkg=10.5, p_local=0.5,
    waterfall=(Stage(source="counting", z=0.0),), flags=("a", "b"),
)  # fmt: skip
SCORES = SplitScores(
    method="cathode", window="m3500", interval=(3300.0, 3700.0), row=EVEN, fold=EVEN % 5, score=BIG[::2, 2].astype(np.float32),
    member_score=VIEW.astype(np.float32), ref_score=BIG[:, 1].astype(np.float32), ref_fold=ALL, ref_weight=BIG[:, 3], ref_role=ALL % 4,
    ref_source=ALL[::-1], ref_member=ALL, ref_threshold_member_score=VIEW.astype(np.float32), n_bootstraps=2, n_seeds=2,
    independent_members=False, extra_score=BIG[::3, 4].astype(np.float32),
)  # fmt: skip
TABLE = {
    "v0": {"cathode": {"0.01": 0.7}}, "v0_error": {"cathode": {"0.01": 0.1}}, "pull_mean": {"cathode": {"0.01": 0.0}},
    "pull_mean_error": {"cathode": {"0.01": 0.1}}, "z": {"cathode": {"0.01": (0.5, -0.5)}}, "sizes": {"data": 100},
}  # fmt: skip
SUMMARY = Summary(
    run="r", code_version="0", config={"seed": 1}, config_sha256="x", n_events=5, p_global=0.5, z_global=0.0, trials=1,
    intake=Intake(read=6, kept=5, dropped={"range": 1}, duplicates=0), trials_effective=1.0, p_sidak=0.5, blind=False, hunts=(RESULT,),
)  # fmt: skip
ARTEFACTS = {
    "events": (Events(("a", "b", "c"), EVEN, BIG[::2, 0], VIEW), "parquet"),
    "labels": (Labels(EVEN % 2), "parquet"),
    "template": (
        Template(
            names=("a", "b", "c"), mass=BIG[::2, 0], features=VIEW, member=EVEN, role=ALL[1::2], source=np.arange(20)[::-1], row=np.arange(20),
            weight=BIG[::2, 3], transported=True, n_bootstraps=2, n_seeds=2,
        ), "parquet",
    ),
    "selected": (
        Selected(names=("a", "b", "c"), row=np.arange(20), mass=BIG[::2, 0], features=VIEW, score=BIG[::2, 5][::-1]), "parquet",
    ),
    "scores": (MethodScores((SCORES,)), "npz"),
    "closure": (
        Closure(window="m3500", method="cathode", names=("pseudo00",), intervals=((1.0, 2.0),), points=(POINT,)), "json",
    ),
    "hunts": (HuntResults((RESULT,)), "json"),
    "intake": (Intake(read=None, kept=5, dropped=None, duplicates=0), "json"),
    "classifier_experiments": (
        ClassifierExperiments(
            window="m3500", sizes={"hunt": {"data": 5}},
            entries=(ClassifierCount(toy=0, sample="hunt", method="cwola", eps_bkg=0.1, n=1.0, b=2.0, m=3.0),),
        ), "json",
    ),
    "pseudo_experiments": (
        PseudoExperiments(
            window="m3500",
            experiments=(
                PseudoExperiment(
                    toy=0, strength=None, window="m3500", method="cathode", n_bootstraps=2, n_seeds=2, counts=(COUNTS,), closure=(POINT,),
                    n_expected=1000.0, n_expected_error=20.0, n_signal=0, n_signal_passing=(0.0,),
                ),
            ),
        ), "json",
    ),
    "truth": (
        Truth(
            window="m3500", method="cathode", entries=(TruthPoint(n_sig_sr=3, n_sig_obs=2, auc=0.5, max_sic=None, sic=1.0),),
            eps_bkg=(0.1, 1.0), eps_sig=(0.5, 1.0), sic_floor=0.01,
        ), "json",
    ),
    "summary": (SUMMARY, "json"),
    "overdispersion": (
        Overdispersion(window="m3500", n_toys=2, experiments=OverdispersionTable(**TABLE), **TABLE), "json",
    ),
}  # fmt: skip


def equal(a, b) -> bool:
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b)) and a.dtype == b.dtype
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


def test_archives_depend_on_no_release_of_python(tmp_path):
    obj, _ = ARTEFACTS["scores"]
    io.write(obj, tmp_path / "scores.npz", MADE)
    for entry in zipfile.ZipFile(tmp_path / "scores.npz").infolist():
        # np.savez writes version 45 with Python 3.11.4 and later, 20 before
        assert (entry.extract_version, entry.compress_type, entry.date_time) == (20, 0, (1980, 1, 1, 0, 0, 0))


@pytest.mark.parametrize("name", sorted(ARTEFACTS))
def test_every_kind_comes_back_value_by_value_and_with_stable_bytes(name, tmp_path):
    obj, suffix = ARTEFACTS[name]
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    io.write(obj, first, MADE)
    io.write(obj, second, MADE)
    assert first.read_bytes() == second.read_bytes()
    assert equal(io.read(first, type(obj)), obj)
    assert sorted(p.name for p in tmp_path.iterdir()) == [first.name, second.name]


@pytest.mark.parametrize(
    ("name", "other"),
    [("events", Template), ("scores", DensityEnsemble), ("closure", HuntResults), ("summary", Overdispersion)],
)
def test_the_wrong_kind_is_named(name, other, tmp_path):
    obj, suffix = ARTEFACTS[name]
    path = tmp_path / f"a.{suffix}"
    io.write(obj, path, MADE)
    with pytest.raises(ArtefactError, match=r"expected cathode/.*/1, found cathode/.*/1"):
        io.read(path, other)


@pytest.mark.parametrize("name", sorted(ARTEFACTS))
@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign"])
def test_a_damaged_file_is_refused_in_one_line(name, damage, tmp_path):
    obj, suffix = ARTEFACTS[name]
    path = tmp_path / f"a.{suffix}"
    io.write(obj, path, MADE)
    content = path.read_bytes()
    path.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "foreign": b"hello\n" * 9}[damage])
    with pytest.raises(ArtefactError) as caught:
        io.read(path, type(obj))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_another_version_are_refused(tmp_path):
    with pytest.raises(ArtefactError, match="no such file"):
        io.read(tmp_path / "x.json", Closure)
    path = tmp_path / "c.json"
    io.write(ARTEFACTS["closure"][0], path, MADE)
    tree = json.loads(path.read_text())
    path.write_text(json.dumps(tree | {"schema": "cathode/closure/99"}))
    with pytest.raises(ArtefactError, match="found cathode/closure/99"):
        io.read(path, Closure)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hunts": [{"window": "m3500"}]}, r"hunts.0.signal_region: .*expected: .*required"),
        ({"n_events": "many"}, "n_events: found 'many', expected"),
        ({"n_evnets": 5}, r"unknown key n_evnets \(did you mean n_events\?\)"),
        ({"hunts": [{"p_lcoal": 0.5}]}, r"unknown key hunts.0.p_lcoal \(did you mean p_local\?\)"),
        ({"schema": "cathode/summary/0"}, "expected cathode/summary/1, found cathode/summary/0"),
        ({"schema": None}, "found a file without header"),
    ],
)
def test_a_document_of_another_kind_or_age_is_refused_by_its_key(change, message, tmp_path):
    path = tmp_path / "summary.json"
    io.write(SUMMARY, path, MADE)
    path.write_text(json.dumps(sealed(json.loads(path.read_text()) | change, *io.UNSEALED)))
    with pytest.raises(ArtefactError, match=message) as caught:
        io.read(path, Summary)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["closure", "summary"])
def test_an_edited_number_is_refused(name, tmp_path):
    obj, _ = ARTEFACTS[name]
    path = tmp_path / "a.json"
    io.write(obj, path, MADE)
    text = path.read_text()
    (key,) = re.findall(r'^ +"(?:n_sr|n_events|p_homogeneous)": [0-9.]+', text, re.M)[:1]
    path.write_text(text.replace(key, re.sub(r"[0-9.]+$", "7", key)))
    with pytest.raises(ArtefactError, match="its content is not what was written"):
        io.read(path, type(obj))
    path.write_text(json.dumps(json.loads(text)))  # other white space is no other content
    assert io.read(path, type(obj)) == obj
    tree = json.loads(text)
    del tree["sha256"]
    path.write_text(json.dumps(tree))
    with pytest.raises(ArtefactError, match="found no checksum"):
        io.read(path, type(obj))


@pytest.mark.parametrize("name", sorted(set(ARTEFACTS)))
def test_no_flipped_bit_changes_what_is_read(name, tmp_path):
    """Every one is refused, or changes nothing that is read; among others in compressed pages, which often still decompress."""
    obj, suffix = ARTEFACTS[name]
    path = tmp_path / f"a.{suffix}"
    io.write(obj, path, MADE)
    whole, rng = path.read_bytes(), np.random.default_rng(len(name))
    refused = 0
    for position in rng.choice(8 * len(whole), size=80, replace=False):
        content = bytearray(whole)
        content[position // 8] ^= 1 << (position % 8)
        path.write_bytes(bytes(content))
        try:
            assert equal(io.read(path, type(obj)), obj)
        except ArtefactError as error:
            refused += "\n" not in str(error)
    assert refused > 40


def test_what_its_schema_does_not_allow_is_not_written(tmp_path):
    wrong = dataclasses.replace(SUMMARY, n_events="many")
    with pytest.raises(ArtefactError, match="n_events"):
        io.write(wrong, tmp_path / "summary.json", MADE)
    assert list(tmp_path.iterdir()) == []


@artefact("odd", "npz")
@dataclasses.dataclass(frozen=True)
class Odd:
    inside: PassingCounts


def test_an_archive_builds_no_class_that_its_kind_does_not_name(tmp_path):
    """A file says which classes it holds; only those that the annotations allow are made."""
    path = tmp_path / "a.npz"
    io.write(Odd(POINT), path, MADE)
    with pytest.raises(ArtefactError, match="found an object of class ClosurePoint, expected PassingCounts"):
        io.read(path, Odd)


@contextlib.contextmanager
def no_room():
    """No file may exceed 100 bytes: to a writer the same as a disk that is full. Short: it holds for pytest's own output, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("name", [*sorted(ARTEFACTS), "figures"])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(name, tmp_path):
    obj, suffix = ARTEFACTS.get(name, (Figures({"a.png": b"x" * 5000}), "png"))
    path, said = tmp_path / f"a.{suffix}", ""
    path.write_text("a good old one")
    try:
        with no_room():
            io.write(obj, tmp_path if name == "figures" else path, MADE)
    except ArtefactError as error:
        said = str(error)
    assert re.match(rf"{tmp_path}.*could not be written: .*MB free there; nothing was left behind", said), said
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(path.name, "a good old one")]


def test_what_a_killed_job_left_is_swept_by_the_next(tmp_path):
    for name in (".a.json.123.part", ".a.json.9.part", ".b.json.9.part"):
        (tmp_path / name).write_text("half")
    io.write(Workspace({"x": 1}), tmp_path / "a.json", MADE)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".b.json.9.part", "a.json"]


FIELDS = sorted({field.name for kind in (Events, Template, Selected) for field in dataclasses.fields(kind)})


@pytest.mark.parametrize("name", [*FIELDS, "feature:mass", "feature:", "a b", "x$^{y$", "Σ", "`"])
@pytest.mark.parametrize("kind", ["events", "template", "selected"])
def test_a_feature_may_be_called_as_anything_is_called_here(kind, name, tmp_path):
    """Every field of every table comes back, whatever column of the user's is called as it is."""
    obj: Any = ARTEFACTS[kind][0]
    obj = dataclasses.replace(obj, names=(name, f"feature:{name}", "c"))
    io.write(obj, tmp_path / "a.parquet", MADE)
    assert equal(io.read(tmp_path / "a.parquet", type(obj)), obj)
    np.testing.assert_array_equal(io.read_column(tmp_path / "a.parquet", type(obj), "mass"), obj.mass)
