"""The official LHC Olympics files: fetched once from their archive, checked and kept."""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cathode.artefacts import artefact
from cathode.errors import ConfigError, DataError
from cathode.intake.files import cache_folder
from cathode.intake.settings import DataSettings

log = logging.getLogger(__name__)

_BLOCK = 1 << 20
_TRIES = 5
_TIMEOUT = 60


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
    return Fetched(name=dataset, sha256=_digest(path, "sha256"))


def cluster_jets(fetched: Fetched, *, data: DataSettings) -> Fetched:
    """Cluster the particles of one official set into the columns that hunts use, unless that was done."""
    from cathode.dijets.particles import cluster_file  # pandas and Arrow, which a download need not pay

    table = cluster_file(cached_file(data, fetched.name), clustered_file(data, fetched.name))
    return Fetched(name=fetched.name, sha256=_digest(table, "sha256"))


def fetch_file(data: DataSettings, name: str, *, key: bool = False) -> Path:
    """The file of a set, or the key to its labels, fetched if it is not there yet. Raises DataError; nothing unchecked ever has the final name.

    A download that broke off is continued. Size and MD5 are those that the archive's record states; the SHA-256 is remembered
    beside the file and checked ever after. A file that was put there by hand is taken as it is.
    """
    target = cached_file(data, name, key=key)
    remembered = target.with_name(target.name + ".sha256")
    if target.exists():
        digest = _digest(target, "sha256")
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
        _download(entry["links"]["self"], part, int(entry["size"]), by_hand)
        kind, _, checksum = str(entry["checksum"]).rpartition(":")
        found = _digest(part, kind or "md5")
        if found != checksum:
            part.unlink()
            raise DataError(
                f"{target.name}: {kind or 'md5'} is {found}, expected {checksum}: damaged on the way, removed"
            )
        remembered.write_text(_digest(part, "sha256") + "\n", encoding="utf-8")
        part.replace(target)
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error}") from error
    return target


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _entry(archive: str, record: str, file: str, by_hand: str) -> dict[str, Any]:
    """What the archive's record says of a file: size, checksum and address."""
    url = f"{archive}/api/records/{record}"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
            content = json.loads(answer.read())
        files = {f["key"]: f for f in content["files"]}
        entry = files[file]
        int(entry["size"]), str(entry["checksum"]), entry["links"]["self"]
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{file}: cannot be fetched from {url} ({error}); {by_hand}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{url}: the answer is no record with {file} and its size and checksum; {by_hand}") from error
    return dict(entry)


def _download(url: str, part: Path, size: int, by_hand: str) -> None:
    """Bring `part` to `size` bytes, from where it is; a connection that breaks is taken up again."""
    for attempt in range(_TRIES):
        start = part.stat().st_size if part.exists() else 0
        if start >= size:
            break
        request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
                if answer.headers.get_content_type() == "text/html":
                    raise DataError(f"{url}: the answer is a web page, not a file; {by_hand}")
                with part.open("ab" if start and answer.status == 206 else "wb") as out:
                    _copy(answer, out, size, part.name)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                raise DataError(f"{url}: {error}; {by_hand}") from error
            log.warning("%s: %s, attempt %d of %d", url, error, attempt + 1, _TRIES)
    found = part.stat().st_size if part.exists() else 0
    if found > size:
        part.unlink()
    if found != size:
        raise DataError(f"{url}: got {found} bytes, expected {size}; a rerun continues, {by_hand}")


def _copy(answer: Any, out: Any, size: int, name: str) -> None:
    reported = done = out.tell()
    while block := answer.read(_BLOCK):
        out.write(block)
        done += len(block)
        if done - reported >= 16 * _BLOCK:
            log.info("%s: %d of %d MB", name, done >> 20, size >> 20)
            reported = done
