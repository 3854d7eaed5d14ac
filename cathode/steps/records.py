"""What the files of a run were made of, against what the configuration says: nothing old or foreign is taken for a result of this run.

Snakemake reruns what it remembers to have made otherwise. It remembers nothing of files that were made from another working directory,
or before `.snakemake` was removed; these say themselves, in their headers, what they were made of.
"""

from __future__ import annotations

import ast
import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cathode.checksums import of_file, of_input, of_tree
from cathode.config import Config, dump_sections, load_config, publish_paths
from cathode.errors import ArtefactError, ConfigError
from cathode.headers import is_artefact, read_header
from cathode.intake.official import SETS, cached_file, clustered_file
from cathode.steps import STEPS
from cathode.steps.declared import code_sha256, declared

_PUBLISHED = ("plots", "workspaces", "benchmarks", "logs")  # no artefacts with a header
_WRITTEN = {
    "plots": (".png", ".pdf", ".json"),
    "workspaces": (".json",),
    "selected": (".parquet",),
    "calibration": (".png", ".pdf", ".json", ".html"),
    "benchmarks": (".tsv", ".html"),
    "logs": (".log",),
}
_IN_SCAN = "reference"  # parameter of `scan_spectrum`
_REFERENCE = "reference.npz"
_OUTPUTS = ("events.parquet", "labels.parquet", "spare.parquet", "intake.json", _REFERENCE, "summary.json")


def refuse_inputs_in_run_folder(config: Config, inputs: Sequence[Path], *, key: str = "data.files") -> None:
    """Raise ConfigError for an input that a run would overwrite or delete: one inside its own folder, by whatever path or link."""
    folder = Path(config.folder).resolve()
    for path in inputs:
        for place in (path.absolute(), path.resolve()):
            if place.is_relative_to(folder):
                raise ConfigError(
                    f"{key}: {path} lies in {config.folder}, where this run writes its results; expected another run, or the file elsewhere"
                )


def refuse_reference(config: Config, files: Sequence[Path], inputs: Sequence[str], reference: Sequence[str]) -> None:
    """Raise ConfigError for `files` of the inclusive scan's reference, of checksums `reference`, that a run would overwrite, or that are its data, of checksums `inputs`."""
    key = config.spectrum.key
    refuse_inputs_in_run_folder(config, files, key=key)
    for path, checksum in zip(files, reference, strict=True):
        if checksum in inputs:
            raise ConfigError(
                f"{key}: {path} holds the data that are hunted in, which differ from themselves nowhere; expected other events"
            )


def refuse_foreign_files(config: Config, inputs: Sequence[str], reference: Sequence[str], metadata: Path) -> None:
    """Raise ArtefactError for files in the run's folder that are no run's, or that were made of something else and would not be made anew.

    `inputs` are the checksums of the input files, `reference` those of the inclusive scan's; `metadata` is the folder of Snakemake's records.
    """
    folder, read = Path(config.folder), {"intake.json": inputs, _REFERENCE: reference}
    for name in _OUTPUTS:
        path = folder / name
        if path.exists() and not is_artefact(path):
            raise ArtefactError(
                f"{path}: is no file of a run, and would be overwritten; expected another run or results_dir, or it elsewhere"
            )
    if config.data.source == "lhco":
        _refuse_replaced_official_files(config, folder)
    for path, header in artefacts_of(folder):
        if path == folder / _REFERENCE and not config.spectrum.has_reference:
            continue  # it will be dropped
        made = header["made"]
        differs = _differences(made, config, _window_of(path, folder, config))
        if (
            path.name in read
            and made["inputs"]
            and read[path.name]
            and set(read[path.name]) != set(made["inputs"].values())
        ):
            differs.append("input files")
        if path.name == "spectrum_scan.json" and (_IN_SCAN in made["inputs"]) != config.spectrum.has_reference:
            differs.append(_IN_SCAN)
        if differs and not _would_be_made_anew(path, made, metadata, inputs_only=differs == ["input files"]):
            raise ArtefactError(
                f"{path}: was made with other {' and '.join(differs)} than this run's, and Snakemake has no record of it here (another working "
                f"directory, or .snakemake was removed); expected another run or results_dir, or {folder} removed"
            )


def other_inputs(config: Config, inputs: Sequence[str]) -> list[str]:
    """Names of the files that the run in this folder was made of and that are not its inputs now; empty where there is none, or it was blind."""
    path = Path(config.folder) / "intake.json"
    if not path.is_file():
        return []
    recorded: dict[str, str] = read_header(path).get("made", {}).get("inputs", {})
    return [name for name, checksum in recorded.items() if checksum not in inputs] if recorded and inputs else []


def drop_reference(folder: Path) -> None:
    """Remove the reference of an earlier hunt in this folder, which nothing of this one is made of."""
    path = folder / _REFERENCE
    if path.exists() and is_artefact(path):
        path.unlink()


def clear_run(folder: Path) -> None:
    """Remove what a run wrote into its folder, and nothing else that lies there."""
    mine = [path for path, _ in artefacts_of(folder)]
    mine += [folder / "report.html", folder / "summary.json", folder / "scan.csv"]
    for part, endings in _WRITTEN.items():
        below = [path for path in (folder / part).rglob("*") if path.suffix in endings and path.is_file()]
        mine += [path for path in below if _is_written(path, part, path.relative_to(folder / part).parts)]
    for path in mine:
        if path.relative_to(folder).parts[0] not in ("fetched", "clustered"):
            path.unlink(missing_ok=True)
    for place in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        if not any(place.iterdir()):
            place.rmdir()


def _is_written(path: Path, part: str, names: tuple[str, ...]) -> bool:
    """Whether a file in a `part` of a run's folder, `names` below that, is one that a run writes there, and not one that somebody put beside it."""
    if part == "logs":
        return path.stem.startswith((*STEPS, "timing"))
    if part == "benchmarks":
        return names[0] in (*STEPS, "timing.html")
    if part == "workspaces":
        return {"channels", "measurements"} <= _keys(path)
    if path.suffix in (".png", ".pdf"):  # drawn from what stands beside it
        return {"schema", "figure"} <= _keys(path.with_suffix(".json"))
    return is_artefact(path) or {"schema", "figure"} <= _keys(path) or names == ("report.html",)


def _keys(path: Path) -> set[str]:
    """Of the object in a JSON file; none where that is no such file."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return set(tree) if isinstance(tree, dict) else set()


def _refuse_replaced_official_files(config: Config, folder: Path) -> None:
    """They lie outside the run, and Snakemake does not know them: what a run recorded of them is compared with what is there."""
    for part, place in (("fetched", cached_file), ("clustered", clustered_file)):
        for path in sorted((folder / part).glob("*.json")):
            recorded = read_header(path).get("content", {})
            if recorded.get("name") in SETS:
                file = place(config.data, recorded["name"])
                if file.exists() and of_input(file) != recorded.get("sha256"):
                    raise ArtefactError(
                        f"{file}: is not the file that {folder} was made of (SHA-256 {str(recorded.get('sha256'))[:12]}...); expected that one, or {path} "
                        "removed, to hunt in this one"
                    )


def refuse_parts_of_others(config: Config, parts: Sequence[Path]) -> None:
    """Raise ArtefactError for an artefact that was made with other settings or code than the summary or report that it is to be part of."""
    for path in parts:
        header = read_header(path) if path.suffix in (".json", ".npz", ".parquet") else {}
        if "made" in header:  # of whichever window
            differs = min((_differences(header["made"], config, window) for window in config.regions), key=len)
            if differs:
                raise ArtefactError(
                    f"{path}: was made with other {' and '.join(differs)} than the rest; expected parts of one run"
                )
        elif "config_sha256" in header and header["config_sha256"] != config.sha256():
            raise ArtefactError(f"{path}: is the summary of another configuration; expected that of this run")


def artefacts_of(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Files of a run that have a header, with it. Damaged ones are left to whoever reads them."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if inside[0] in _PUBLISHED or path.suffix not in (".parquet", ".npz", ".json") or path.name.startswith("."):
            continue
        try:
            header = read_header(path)
        except ArtefactError:
            continue
        if "made" in header:
            yield path, header


def verify_run(folder: Path) -> str:
    """Walk from the summary of a run to its inputs. Returns what was found whole; raises ArtefactError for the first thing that does not fit."""
    from cathode import io
    from cathode.summary import Summary

    summary: Summary = io.read(folder / "summary.json", Summary)
    config = load_config(summary.config)
    found = list(artefacts_of(folder))
    if not found:
        raise ArtefactError(f"{folder}: found no artefacts, expected the folder of a run")
    documents = {path for path in folder.rglob("*.json") if path.relative_to(folder).parts[0] not in _PUBLISHED}
    here = {of_file(path) for path in documents | {path for path, _ in found}}
    here |= set((summary.intake.inputs or {}).values())
    of_reference: dict[str, str] = next((h["made"]["inputs"] for path, h in found if path == folder / _REFERENCE), {})
    here |= set(of_reference.values())
    for path, _ in found:
        io.check_content(path)
    for path, header in found:
        made = header["made"]
        if "settings" in _differences(made, config, _window_of(path, folder, config)):
            raise ArtefactError(f"{path}: was made with other settings than summary.json says")
        for name, checksum in made["inputs"].items():
            if checksum not in here and not _outside(name):
                raise ArtefactError(
                    f"{path}: was made of {name} with SHA-256 {checksum[:12]}..., which is not in {folder}"
                )
    hunts = {of_tree(entry) for path, _ in found if path.name == "hunts.json" for entry in _entries(path)}
    for hunt in json.loads((folder / "summary.json").read_text(encoding="utf-8"))["hunts"]:
        if of_tree(hunt | {"truth": None}) not in hunts:
            raise ArtefactError(
                f"{folder / 'summary.json'}: {hunt['window']} {hunt['method']} {hunt['eps_bkg']:g} is in no hunts.json of the run"
            )
    lines = [
        f"{folder}: {len(found)} artefacts whole, each made of files that are here, with the settings of summary.json"
    ]
    read = (summary.intake.inputs or {}) | of_reference
    lines += [f"input {name}: SHA-256 {checksum}" for name, checksum in read.items()]
    return "\n".join(lines)


def _entries(path: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["content"]["entries"]
    return entries


def _outside(name: str) -> bool:
    """Whether an input is shared between runs and lies outside their folders."""
    return name.startswith("generated")


def _window_of(path: Path, folder: Path, config: Config) -> str | None:
    """The configured window that a file of a run belongs to."""
    name = path.relative_to(folder).parts[0]
    return name if name in config.regions else None


def _differences(made: dict[str, Any], config: Config, window: str | None) -> list[str]:
    """Which of settings and code an artefact was made with are not this configuration's; nothing where that cannot be said.

    That is so for what no step made, and for windows that are not hunted.
    """
    if made["step"] not in STEPS or not made.get("settings"):
        return []
    sections = declared(made["step"]).sections
    if "window" in sections and window is None:
        return []
    out = []
    if made["settings"] != of_tree(publish_paths(dump_sections(config, sections, window))):
        out.append("settings")
    if made["code"] != code_sha256(made["step"]):
        out.append("code")
    return out


def _would_be_made_anew(path: Path, made: dict[str, Any], metadata: Path, *, inputs_only: bool) -> bool:
    """Whether Snakemake remembers the file as it is, so that it sees what changed; or that its job was cut off, so that it runs again."""
    if _record(path, metadata.with_name("incomplete")):
        return True
    place = _record(path, metadata)
    try:
        record = json.loads(place.read_text(encoding="utf-8")) if place else None
    except (OSError, ValueError):
        return False
    if record is None or inputs_only:
        return record is not None
    remembered = [of_tree({})]  # a step without sections
    for text in record.get("params") or []:
        try:
            value = ast.literal_eval(text)
            remembered.append(value if value == made["code"] else of_tree(publish_paths(json.loads(value))))
        except (ValueError, SyntaxError, TypeError, KeyError):
            continue
    return made["code"] in remembered and made["settings"] in remembered


def _record(path: Path, folder: Path) -> Path | None:
    """Snakemake's file on a path: below its folder, under the path in base 64, cut into pieces where it is long."""
    name = base64.urlsafe_b64encode(str(path).encode()).decode()
    pieces = [name[i : i + 254] for i in range(0, len(name), 254)]
    place = folder.joinpath(*(f"@{piece}" for piece in pieces[:-1]), pieces[-1])
    return place if place.is_file() else None
