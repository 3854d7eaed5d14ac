"""The official LHC Olympics files: fetched once from their archive, checked and kept.

Their checksums are those of the archive's record, asked for over https: the files themselves were never at hand where this was written, so
no SHA-256 of theirs stands here. What was fetched is remembered by its SHA-256 and checked ever after.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import re
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cathode.artefacts import artefact
from cathode.checksums import cache_folder, of_file, of_input
from cathode.errors import ConfigError, DataError, shown
from cathode.intake.settings import DataSettings, is_safe_address

log = logging.getLogger(__name__)

_BLOCK = 1 << 20
_TRIES = 5
_TIMEOUT = 60
_LARGEST_RECORD = 10 << 20
_LARGEST_FILE = 100 << 30
_DIGITS = {"md5": 32, "sha256": 64, "sha512": 128}  # hexadecimal ones of a checksum


@dataclass(frozen=True)
class Official:
    """A file of the archive: its record, its name, and the label of its events where it has no such column.

    Black boxes hold particles (`raw`), and their labels are in a file of their own, `key`.
    """

    record: str
    file: str
    label: int | None = None
    key: str | None = None

    @property
    def raw(self) -> bool:
        """Whether its events are particles that have to be clustered first."""
        return self.key is not None


SETS = {
    "rd": Official("4536377", "events_anomalydetection_v2.features.h5", None),
    "rd_qqq": Official("4536377", "events_anomalydetection_Z_XY_qqq.features.h5", 1),
    "qcd_extra": Official("8370758", "events_anomalydetection_qcd_extra_inneronly_features.h5", 0),
    **{
        f"black_box_{i}": Official(
            "4536624", f"events_LHCO2020_BlackBox{i}.h5", key=f"events_LHCO2020_BlackBox{i}.masterkey"
        )
        for i in (1, 2, 3)
    },
}


@dataclass(frozen=True)
class _Entry:
    """What a record says of a file."""

    size: int
    kind: str
    digest: str
    link: str


def cached_file(data: DataSettings, name: str, *, key: bool = False) -> Path:
    """Where the file of a set, or the key to its labels, is or will be."""
    folder = Path(data.cache).expanduser() if data.cache else cache_folder()
    return folder / SETS[name].record / (SETS[name].key or "" if key else SETS[name].file)


def clustered_file(data: DataSettings, name: str) -> Path:
    """Where the table of a set that holds particles is, or will be."""
    return cached_file(data, name).with_suffix(".features.parquet")


def table_file(data: DataSettings, name: str) -> Path:
    """The feature table of a set, fetched before and, if it holds particles, clustered. Raises DataError where it is not there."""
    path = clustered_file(data, name) if SETS[name].raw else cached_file(data, name)
    if not path.exists():
        raise DataError(
            f"{path}: not there yet, expected the rules fetch and cluster_jets of the workflow to have run, or the file put there by hand"
        )
    return path


@artefact("fetched", "json")
@dataclass(frozen=True, kw_only=True)
class Fetched:
    """That a set's files are on this machine.

    Attributes:
        name: of the set.
        sha256: of its table, or of its particles.
    """

    name: str
    sha256: str


def fetch(*, dataset: str, data: DataSettings) -> Fetched:
    """Fetch one official set, and the key to its labels where these are asked for, unless they are there."""
    if dataset not in SETS:
        raise ConfigError(f"--dataset: found {dataset}, expected one of {', '.join(SETS)}")
    path = fetch_file(data, dataset)
    if SETS[dataset].raw and data.label is not None:
        fetch_file(data, dataset, key=True)
    return Fetched(name=dataset, sha256=of_input(path))


def cluster_jets(fetched: Fetched, *, data: DataSettings) -> Fetched:
    """Cluster the particles of one official set into the columns that hunts use, unless that was done."""
    from cathode.dijets.particles import cluster_file  # pandas and Arrow, which a download need not pay

    table = cluster_file(cached_file(data, fetched.name), clustered_file(data, fetched.name))
    return Fetched(name=fetched.name, sha256=of_input(table))


def fetch_file(data: DataSettings, name: str, *, key: bool = False) -> Path:
    """The file of a set, or the key to its labels, fetched if it is not there yet. Raises DataError; nothing unchecked ever has the final name.

    A download that broke off is continued. Size and MD5 are those that the archive's record states; the SHA-256 is remembered
    beside the file and checked ever after. A file that was put there by hand is taken as it is.
    """
    target = cached_file(data, name, key=key)
    remembered = target.with_name(target.name + ".sha256")
    if target.exists():
        digest = of_input(target)
        if not remembered.exists():
            log.info("%s: found, taken as it is", target)
            remembered.write_text(digest + "\n", encoding="utf-8")
        elif (expected := remembered.read_text(encoding="utf-8").strip()) != digest:
            raise DataError(
                f"{target}: SHA-256 is {digest}, expected {expected} as when it was fetched; delete both to fetch it again"
            )
        return target
    by_hand = f"expected a network, or the file put by hand at {target}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        entry = _entry(data.archive, SETS[name].record, target.name, by_hand)
        part = target.with_name(target.name + ".part")
        _download(entry.link, part, entry.size, by_hand)
        found = _digest(part, entry.kind)
        if found != entry.digest:
            part.unlink()
            raise DataError(
                f"{target.name}: {entry.kind} is {found}, expected {entry.digest}: damaged on the way, removed"
            )
        remembered.write_text(of_file(part) + "\n", encoding="utf-8")
        part.replace(target)
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error}") from error
    return target


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


class _NoDetour(urllib.request.HTTPRedirectHandler):
    """Follows a redirection only to an address that could have been asked for at first."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not is_safe_address(newurl):
            fp.close()
            raise DataError(
                f"{req.full_url}: found a redirection to {shown(newurl)}, which is not allowed; expected one to https://"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, headers: dict[str, str] | None = None) -> Any:
    """Ask an https server (or, in tests, one on this machine); no other kind of address is opened, whoever names it."""
    _check_address(url, "address")
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _NoDetour(),
    ):
        opener.add_handler(handler)
    return opener.open(urllib.request.Request(url, headers=headers or {}), timeout=_TIMEOUT)


def _check_address(url: Any, what: str) -> None:
    if not isinstance(url, str) or not is_safe_address(url):
        raise DataError(f"found the {what} {shown(str(url))}, expected one that starts with https://")


def _entry(archive: str, record: str, file: str, by_hand: str) -> _Entry:
    """What the archive's record says of a file: size, checksum and address."""
    url = f"{archive}/api/records/{record}"
    try:
        with _open(url) as answer:
            text = answer.read(_LARGEST_RECORD + 1)
        if len(text) > _LARGEST_RECORD:
            raise DataError(f"{url}: found more than {_LARGEST_RECORD} bytes, expected a record; {by_hand}")
        files = {f["key"]: f for f in json.loads(text)["files"]}
        entry = files[file]
        size, checksum, link = entry["size"], entry["checksum"], entry["links"]["self"]
        kind, _, digest = checksum.rpartition(":")
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise DataError(f"{file}: cannot be fetched from {url} ({error}); {by_hand}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{url}: the answer is no record with {file} and its size and checksum; {by_hand}") from error
    if type(size) is not int or not 0 < size <= _LARGEST_FILE:
        raise DataError(
            f"{url}: found the size {shown(str(size))} of {file}, expected 1 to {_LARGEST_FILE} bytes; {by_hand}"
        )
    digits = _DIGITS.get(kind or "md5")
    if digits is None or not re.fullmatch(f"[0-9a-f]{{{digits}}}", digest):
        raise DataError(
            f"{url}: found the checksum {shown(checksum)} of {file}, expected one of {', '.join(_DIGITS)}; {by_hand}"
        )
    _check_address(link, f"link to {file}")
    return _Entry(size=size, kind=kind or "md5", digest=digest, link=link)


def _download(url: str, part: Path, size: int, by_hand: str) -> None:
    """Bring `part` to `size` bytes, from where it is; a connection that breaks is taken up again."""
    for attempt in range(_TRIES):
        start = part.stat().st_size if part.exists() else 0
        if start >= size:
            break
        if shutil.disk_usage(part.parent).free < size - start:
            raise DataError(
                f"{part.parent}: found too little room for {part.name}, expected {(size - start) >> 20} MB free"
            )
        try:
            with _open(url, {"Range": f"bytes={start}-"} if start else {}) as answer:
                if answer.headers.get_content_type() == "text/html":
                    raise DataError(f"{url}: the answer is a web page, not a file; {by_hand}")
                with part.open("ab" if start and answer.status == 206 else "wb") as out:
                    _copy(answer, out, size, part.name)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                if error.code < 500:
                    raise DataError(f"{url}: {error}; {by_hand}") from error
            log.warning("%s: %s, attempt %d of %d", url, error, attempt + 1, _TRIES)
    found = part.stat().st_size if part.exists() else 0
    if found > size:
        part.unlink()
        raise DataError(f"{url}: got more than the {size} bytes that its record states; {by_hand}")
    if found != size:
        raise DataError(f"{url}: got {found} bytes, expected {size}; a rerun continues, {by_hand}")


def _copy(answer: Any, out: Any, size: int, name: str) -> None:
    """Copy an answer, at most one byte more than there should be."""
    reported = done = out.tell()
    while done <= size and (block := answer.read(min(_BLOCK, size - done + 1))):
        out.write(block)
        done += len(block)
        if done - reported >= 16 * _BLOCK:
            log.info("%s: %d of %d MB", name, done >> 20, size >> 20)
            reported = done
