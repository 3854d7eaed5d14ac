"""Artefacts: value-exact round trips with strided input, stable bytes, clear refusals."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import resource
import signal
import zipfile

import numpy as np
import pytest

from cathode import io
from cathode.background import BackgroundEstimate
from cathode.classifier import Scored, Scores
from cathode.closure import Closure, ClosurePoint
from cathode.counts import PassingCounts
from cathode.errors import ArtefactError
from cathode.events import Events, Labels
from cathode.results import Estimates, Figures, Hunts, Json, PseudoExperiment, PseudoExperiments, Selected, Truth
from cathode.stats.random_effects import RandomEffects
from cathode.template import Template

MADE = io.Made("test", "0", {"events": "abc"})
RNG = np.random.default_rng(0)
BIG = np.asfortranarray(RNG.normal(size=(40, 6)))
VIEW = BIG[::2, 1:4]  # neither C- nor F-contiguous
COUNTS = PassingCounts(0.01, 1000, 12, 10.5, 83.0, (40.0, 43.0), True, 3)
ARTEFACTS = {
    "events": (Events(("a", "b", "c"), np.arange(40)[::2], BIG[::2, 0], VIEW), "parquet"),
    "labels": (Labels(np.arange(40)[::2] % 2), "parquet"),
    "template": (
        Template(("a", "b", "c"), BIG[::2, 0], VIEW, np.arange(40)[::2], np.arange(40)[1::2], np.arange(20)[::-1], np.arange(20), BIG[::2, 3], True, 2, 2),
        "parquet",
    ),
    "selected": (
        Selected(("a", "b", "c"), np.arange(20), BIG[::2, 0], VIEW, BIG[::2, 5][::-1]), "parquet",
    ),
    "scores": (
        Scored((Scores("cathode", "m3500", (3300.0, 3700.0), np.arange(40)[::2], np.arange(40)[::2] % 5, BIG[::2, 2].astype(np.float32),
               VIEW.astype(np.float32), BIG[:, 1].astype(np.float32), np.arange(40), BIG[:, 3], np.arange(40), np.arange(40)[::-1],
               np.arange(40), VIEW.astype(np.float32), 2, 2, False, BIG[::3, 4].astype(np.float32)),)),
        "npz",
    ),
    "closure": (
        Closure("m3500", "cathode", ("pseudo00",), ((1.0, 2.0),), (ClosurePoint(0.01, 1, RandomEffects(0.1, 0.2, 0.0, 0.5), 0.01, 0.02, (1.0,), (2.0,), (0.1,)),)),
        "json",
    ),
    "background": (
        Estimates("m3500", (3300.0, 3700.0), "cathode", (BackgroundEstimate(COUNTS, 10.0, 0.01, 0.02, None, None, 0, np.inf, 1.2, None, None, ("flag",)),)),
        "json",
    ),
    "hunts": (Hunts(({"window": "m3500", "p_local": 0.5, "truth": None},)), "json"),
    "pseudo_experiments": (
        PseudoExperiments("m3500", (PseudoExperiment(0, None, "cathode", 2, 2, (COUNTS,), (), 1000.0, 20.0, 0, (0.0,)),)), "json",
    ),
    "truth": (Truth("m3500", "cathode", ({"n_sig_sr": 3, "auc": 0.5},), (0.1, 1.0), (0.5, 1.0), 0.01), "json"),
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
    ("name", "other"), [("events", Template), ("scores", io.DensityEnsemble), ("closure", Estimates)]
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
    io.write(Json({"x": 1}), tmp_path / "a.json", MADE)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".b.json.9.part", "a.json"]
