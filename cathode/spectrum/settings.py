"""Settings of mass spectra: in a signal region, and of the inclusive scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cathode.errors import ConfigError
from cathode.ranges import check_ranges, within


@dataclass(frozen=True)
class MassSettings:
    """How masses of the template are drawn.

    Attributes:
        model: `polynomial` interpolates the sidebands with exp(polynomial in log m); `kde` is the published kernel
            estimate on the masses of the signal region itself (arXiv:2109.00546: bandwidth 0.01 on the logit of the
            min-max scaled mass), which includes a signal's own mass peak.
        span: sideband that the polynomial is fitted on, in widths of the signal region on either side.
        bins_per_width: bins of the fit per width of the signal region.
        bandwidth: of the kernel estimate.
    """

    model: Literal["polynomial", "kde"] = "polynomial"
    span: float = within(1.5, 0, 100, above=True)
    bins_per_width: int = within(10, 1, 1000)
    bandwidth: float = within(0.01, 0, 10, above=True)

    def __post_init__(self) -> None:
        check_ranges(self, "background.mass")


@dataclass(frozen=True)
class SpectrumSettings:
    """Somebody else's background for the inclusive scan, in place of functions fitted to the spectrum. Its size is fitted, its shape is taken for right.

    Attributes:
        reference_files: background events of the same form as the data (columns, unit, `select`), paths as in `data.files`. Where they have the column `data.label`, those
            with 1 are left out.
        reference_weight: column of their weights, of either sign; null: each counts once.
        reference_histogram: a table with the columns low, high (in `data.mass_unit`), expected and error, one row per bin.
    """

    reference_files: tuple[str, ...] = ()
    reference_weight: str | None = None
    reference_histogram: str | None = None

    def __post_init__(self) -> None:
        if self.reference_files and self.reference_histogram:
            raise ConfigError("spectrum: found reference_files and reference_histogram, expected one of them")
        if "" in (*self.reference_files, self.reference_histogram, self.reference_weight):
            raise ConfigError("spectrum: found an empty path or name, expected that of a file or column, or no key")
        if self.reference_weight and not self.reference_files:
            raise ConfigError(
                "spectrum.reference_weight: found without reference_files, expected the events that it weights"
            )

    @property
    def has_reference(self) -> bool:
        """Whether a file is named."""
        return bool(self.reference_files or self.reference_histogram)

    @property
    def key(self) -> str:
        """The key that names it, for messages."""
        return "spectrum.reference_histogram" if self.reference_histogram else "spectrum.reference_files"
