"""Settings of the mass spectrum in a signal region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
