"""The columns of a table that nobody has described yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cathode.dijets.columns import JET_COLUMNS, derive_dijet, is_lhco
from cathode.errors import DataError
from cathode.intake.files import input_files, tree_key
from cathode.intake.settings import DataSettings
from cathode.intake.tables import element, largest_tree, read_table

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """What is in the files.

    Attributes:
        files: as they were named.
        key: ROOT tree, where a file has several.
        numbers: columns of one number per event, as they stand there; for the LHC Olympics table those derived from it and its label.
        vectors: columns of several numbers per event.
        others: columns that hold none (text, times), with the reason.
        is_dijet: whether it is the LHC Olympics table.
    """

    files: tuple[str, ...]
    key: str | None
    numbers: dict[str, NDArray[np.generic]]
    vectors: tuple[str, ...]
    others: dict[str, str]
    is_dijet: bool

    @property
    def n_events(self) -> int:
        """Rows."""
        return len(next(iter(self.numbers.values()))) if self.numbers else 0

    def values(self, name: str) -> Array:
        """A column as 64-bit floats."""
        return np.asarray(self.numbers[name], dtype=np.float64)


def look(files: Sequence[str]) -> Look:
    """Read every column that holds one number per event. Raises DataError for files that cannot be read or hold no events."""
    settings = DataSettings(source="files", files=tuple(files))
    paths, key = input_files(settings), tree_key(settings)
    if key is None and paths[0].suffix == ".root":
        key = largest_tree(paths[0])
    names = read_table(paths[0], key, lambda all_names: []).available
    vectors: list[str] = []
    others: dict[str, str] = {}
    numbers: dict[str, NDArray[np.generic]] = {}
    try:
        numbers = _read(paths, key, names)
    except DataError:
        for name in names:
            try:
                numbers |= _read(paths, key, [name])
            except DataError as error:
                if f"{name}[0]" in str(error):
                    vectors.append(name)
                else:
                    others[name] = str(error).partition(": ")[2] or str(error)
    if not numbers and not vectors:
        raise DataError(
            f"{paths[0]}: found no column of numbers among {', '.join(names) or 'none'}, expected a table of events"
        )
    dijet = is_lhco(set(numbers))
    if dijet:
        made = derive_dijet(numbers)
        rest = {name: values for name, values in numbers.items() if name not in JET_COLUMNS}
        numbers = {**made, **{name: values for name, values in rest.items() if name not in made}}
    return Look(tuple(files), key, numbers, tuple(vectors), others, dijet)


def read_elements(seen: Look, names: Sequence[str]) -> dict[str, Array]:
    """Elements of vectors, as `Muon_pt[0]`; NaN where an event has none."""
    return {name: np.asarray(values, dtype=np.float64) for name, values in _read(_paths(seen), seen.key, names).items()}


def _paths(seen: Look) -> list[Path]:
    return input_files(DataSettings(source="files", files=seen.files))


def _read(paths: Sequence[Path], key: str | None, names: Sequence[str]) -> dict[str, NDArray[np.generic]]:
    def choose(available: tuple[str, ...]) -> list[str]:
        return [name for name in names if name in available or element(name, available)]

    parts = [read_table(path, key, choose, exact=names).columns for path in paths]
    known = [name for name in names if all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in known}
