"""The official files from an archive that misbehaves: a local server in its place."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cathode.cli import main
from cathode.dijets.columns import JET_COLUMNS
from cathode.errors import ConfigError, DataError
from cathode.intake.official import SETS, cached_file, fetch, fetch_file
from cathode.intake.prepare import prepare_events
from cathode.intake.settings import DataSettings, InjectionSettings

RECORD, FILE = SETS["rd"].record, SETS["rd"].file


def official_table(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({name: rng.normal(0, 300, n) for name in JET_COLUMNS})
    table["pxj1"], table["pxj2"] = rng.uniform(1200, 2500, (2, n)) * [[1], [-1]]
    for name in JET_COLUMNS:
        if name.startswith(("m", "tau")):
            table[name] = rng.uniform(0.1, 1, n) * (300 if name.startswith("m") else 1)
    return table


class Archive(ThreadingHTTPServer):
    """What it serves, and how it misbehaves."""

    content: bytes = b""
    checksum: str | None = None
    size: int | None = None
    breaks: int = 0  # connections that end after a third of what was asked
    page: bool = False
    record_page: bool = False
    ranges: bool = True
    endless: bool = False
    entry: dict[str, Any]  # what the record says otherwise
    record: bytes | None = None
    redirect: str | None = None
    requests: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Archive

    def log_message(self, *_):
        pass

    def do_GET(self):
        s = self.server
        s.requests.append(f"{self.path} {self.headers.get('Range', '')}".strip())
        if self.path == f"/api/records/{RECORD}":
            md5 = s.checksum or hashlib.md5(s.content).hexdigest()
            entry = {
                "key": FILE, "size": s.size or len(s.content), "checksum": f"md5:{md5}",
                "links": {"self": f"http://127.0.0.1:{s.server_port}/content"},
            }  # fmt: skip
            entry |= s.entry
            body = b"<html>busy</html>" if s.record_page else json.dumps({"files": [entry]}).encode()
            body = body if s.record is None else s.record
            return self.answer(200, body, "application/json")
        if self.path != "/content":
            return self.answer(404, b"no", "text/plain")
        if s.redirect:
            self.send_response(302)
            self.send_header("Location", s.redirect)
            self.end_headers()
            return None
        if s.endless:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(bytes(1 << 20))
            self.close_connection = True
            return None
        if s.page:
            return self.answer(200, b"<html>please log in</html>", "text/html")
        start = int(self.headers["Range"].split("=")[1].rstrip("-")) if "Range" in self.headers and s.ranges else 0
        return self.answer(206 if start else 200, s.content[start:], "application/octet-stream")

    def answer(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path == "/content" and self.server.breaks > 0:
            self.server.breaks -= 1
            body = body[: len(body) // 3]
        self.wfile.write(body)


@pytest.fixture
def archive():
    server = Archive(("127.0.0.1", 0), Handler)
    server.requests, server.entry, server.content = [], {}, np.random.default_rng(1).bytes(300_000)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def settings(archive, tmp_path, **keys):
    address = f"http://127.0.0.1:{archive.server_port}"
    return DataSettings(source="lhco", archive=address, cache=str(tmp_path / "cache"), **keys)


def test_a_file_is_fetched_once_and_remembered(archive, tmp_path):
    data = settings(archive, tmp_path)
    path = fetch_file(data, "rd")
    assert path == cached_file(data, "rd")
    assert path.read_bytes() == archive.content
    n = len(archive.requests)
    assert fetch_file(data, "rd") == path
    assert len(archive.requests) == n
    path.write_bytes(b"changed")
    with pytest.raises(DataError, match="SHA-256"):
        fetch_file(data, "rd")


def test_a_broken_connection_is_taken_up_where_it_broke(archive, tmp_path):
    archive.breaks = 2
    assert fetch_file(settings(archive, tmp_path), "rd").read_bytes() == archive.content
    assert archive.requests[1:] == ["/content", "/content bytes=100000-", "/content bytes=166666-"]


def test_a_server_without_ranges_starts_again(archive, tmp_path):
    archive.breaks, archive.ranges = 1, False
    assert fetch_file(settings(archive, tmp_path), "rd").read_bytes() == archive.content


def test_what_was_fetched_before_the_run_was_killed_is_used(archive, tmp_path):
    data = settings(archive, tmp_path)
    part = cached_file(data, "rd").with_name(FILE + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(archive.content[:200_000])
    assert fetch_file(data, "rd").read_bytes() == archive.content
    assert archive.requests[-1].endswith("bytes=200000-")


@pytest.mark.parametrize(
    ("misbehave", "words"),
    [
        ({"checksum": "0" * 32}, ["md5 is", "expected 000", "removed"]),
        ({"size": 400_000}, ["got 300000 bytes, expected 400000"]),
        ({"size": 200_000}, ["got more than the 200000 bytes that its record states"]),
        ({"page": True}, ["a web page", "put by hand at"]),
        ({"record_page": True}, ["no record with", FILE, "put by hand at"]),
        ({"breaks": 99}, ["bytes, expected 300000", "a rerun continues"]),
    ],
    ids=["checksum", "too short", "too long", "page", "record page", "always breaks"],
)
def test_what_is_not_right_never_gets_the_final_name(archive, tmp_path, misbehave, words):
    for key, value in misbehave.items():
        setattr(archive, key, value)
    data = settings(archive, tmp_path)
    with pytest.raises(DataError) as caught:
        fetch_file(data, "rd")
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert not cached_file(data, "rd").exists()


SECRET = "/etc/hostname"
HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "file link": ({"entry": {"links": {"self": f"file://{SECRET}"}}}, "expected one that starts with https://"),
    "data link": ({"entry": {"links": {"self": "data:,hello"}}}, "expected one that starts with https://"),
    "ftp link": ({"entry": {"links": {"self": "ftp://127.0.0.1/x"}}}, "expected one that starts with https://"),
    "http link": ({"entry": {"links": {"self": "http://192.0.2.1/x"}}}, "expected one that starts with https://"),
    "relative link": ({"entry": {"links": {"self": "/content"}}}, "expected one that starts with https://"),
    "path link": ({"entry": {"links": {"self": SECRET}}}, "expected one that starts with https://"),
    "number link": ({"entry": {"links": {"self": 5}}}, "expected one that starts with https://"),
    "null link": ({"entry": {"links": {"self": None}}}, "expected one that starts with https://"),
    "null links": ({"entry": {"links": None}}, "no record with"),
    "redirected to a file": ({"redirect": f"file://{SECRET}"}, "is not allowed"),
    "redirected away": ({"redirect": "http://192.0.2.1/x"}, "which is not allowed"),
    "redirected for ever": ({"redirect": "/content"}, "redirect"),
    "endless": ({"endless": True}, "got more than the 300000 bytes"),
    "odd checksum": ({"entry": {"checksum": "zzz:00"}}, "found the checksum 'zzz:00'"),
    "checksum of any length": ({"entry": {"checksum": "shake_128:00"}}, "found the checksum 'shake_128:00'"),
    "checksum of another length": ({"entry": {"checksum": "md5:00"}}, "found the checksum 'md5:00'"),
    "no checksum": ({"entry": {"checksum": None}}, "no record with"),
    "empty checksum": ({"entry": {"checksum": ""}}, "found the checksum ''"),
    "checksum of control characters": ({"entry": {"checksum": "\x1b[2J"}}, r"found the checksum '\x1b[2J'"),
    "negative size": ({"entry": {"size": -1}}, "found the size '-1'"),
    "no size": ({"entry": {"size": None}}, "found the size 'None'"),
    "size in words": ({"entry": {"size": "many"}}, "found the size 'many'"),
    "broken size": ({"entry": {"size": 3.5}}, "found the size '3.5'"),
    "absurd size": ({"entry": {"size": 10**18}}, "found the size '1000000000000000000'"),
    "large record": ({"record": b" " * (11 << 20)}, "expected a record"),
    "deep record": ({"record": b"[" * 100_000}, "no record with"),
    "another record": ({"record": b'{"files": {"a": 1}}'}, "no record with"),
    "empty record": ({"record": b""}, "no record with"),
    "other bytes": ({"record": bytes(range(256))}, "no record with"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_one_line(archive, tmp_path, name):
    misbehave, words = HOSTILE[name]
    for key, value in misbehave.items():
        setattr(archive, key, value)
    data = settings(archive, tmp_path)
    with pytest.raises(DataError) as caught:
        fetch_file(data, "rd")
    assert words in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.suffix == ".part" and path.stat().st_size <= 300_000 for path in left)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize(
    "address", ["file:///etc", "http://192.0.2.1", "ftp://x", "https://", "zenodo.org", "data:,x", "https://[", ""]
)
def test_an_archive_is_an_https_server(address):
    with pytest.raises(ConfigError, match=r"data\.archive: found .*, expected an address that starts with https://"):
        DataSettings(source="lhco", archive=address)


def test_without_a_network_the_error_says_where_to_put_the_file(tmp_path):
    data = DataSettings(source="lhco", archive="http://127.0.0.1:9", cache=str(tmp_path))
    with pytest.raises(DataError) as caught:
        fetch_file(data, "rd")
    assert str(cached_file(data, "rd")) in str(caught.value)
    cached_file(data, "rd").write_bytes(b"by hand")
    assert fetch_file(data, "rd").read_bytes() == b"by hand"


def test_sets_are_read_as_one_table_with_the_labels_they_stand_for(archive, tmp_path):
    data = settings(archive, tmp_path, sets=("qcd_extra", "rd"), label="label")
    for name, labelled in (("rd", True), ("qcd_extra", False)):
        table = official_table(2000, seed=len(name))
        if labelled:
            table["label"] = np.arange(2000) % 2
        path = cached_file(data, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_hdf(path, key="df")
    found = prepare_events(data, InjectionSettings(), (2300.0, 8000.0), seed=1)
    extra = found.events.row < 2000
    assert extra.any()
    assert (found.labels.label[extra] == 0).all()
    np.testing.assert_array_equal(found.labels.label[~extra], found.events.row[~extra] % 2)


def test_the_step_says_what_is_there_and_the_intake_fetches_nothing(archive, tmp_path):
    data = settings(archive, tmp_path)
    with pytest.raises(DataError, match=r"not there yet, expected the rules fetch and cluster_jets"):
        prepare_events(data, InjectionSettings(), (2300.0, 8000.0), seed=1)
    assert archive.requests == []
    said = fetch(dataset="rd", data=data)
    assert (said.name, said.sha256) == ("rd", hashlib.sha256(archive.content).hexdigest())
    with pytest.raises(ConfigError, match="found dr, expected one of rd"):
        fetch(dataset="dr", data=data)


def test_bad_settings_are_refused():
    for keys, word in (
        ({"sets": ()}, "data.sets"),
        ({"files": ("a.h5",)}, "data.files"),
        ({"archive": "ftp://x"}, "data.archive"),
    ):
        with pytest.raises(ConfigError, match=word):
            DataSettings(source="lhco", **keys)


def test_check_fetches_nothing(archive, tmp_path, capsys):
    import yaml

    address = f"http://127.0.0.1:{archive.server_port}"
    tree = {"data": {"source": "lhco", "archive": address, "cache": str(tmp_path / "cache")}}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(tree))
    assert main(["check", str(tmp_path / "my.yaml")]) == 0
    assert FILE in capsys.readouterr().out
    assert archive.requests == []
