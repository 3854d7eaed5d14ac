"""The one in-memory form of events that every stage after intake works on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cathode.errors import DataError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Events:
    """Validated events. Truth labels are not part of it: they live in `Labels`, which only the evaluation reads.

    Attributes:
        names: feature names, in the order of the columns of `features`.
        row: (n,) row number in the input.
        mass: (n,) resonant variable in GeV.
        features: (n, d).
    """

    names: tuple[str, ...]
    row: NDArray[np.int64]
    mass: Array
    features: Array

    def __post_init__(self) -> None:
        n = len(self.mass)
        if self.features.shape != (n, len(self.names)) or self.row.shape != (n,):
            raise DataError(
                f"events: found row {self.row.shape}, mass {self.mass.shape}, features {self.features.shape}, "
                f"expected ({n},), ({n},), ({n}, {len(self.names)})"
            )

    def __len__(self) -> int:
        return len(self.mass)

    def __getitem__(self, selection: NDArray[np.bool_] | NDArray[np.int64]) -> Events:
        return replace(self, row=self.row[selection], mass=self.mass[selection], features=self.features[selection])

    def at(self, row: NDArray[np.integer]) -> NDArray[np.int64]:
        """Positions of the events with these input rows, which must be among those of the table."""
        order = np.argsort(self.row, kind="stable")
        return order[np.searchsorted(self.row, row, sorter=order)]


@dataclass(frozen=True)
class Labels:
    """Truth labels in the order of the events they belong to; empty when the input has none.

    Attributes:
        label: (n,) 1 for signal, 0 for background; length 0 without truth.
    """

    label: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @property
    def known(self) -> bool:
        """Whether the input had labels."""
        return len(self.label) > 0
