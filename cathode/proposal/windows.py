"""Where to look: the range of masses, the width of a window, and a scan that leaves sidebands."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cathode.regions import Interval, ScanSettings, spectrum_peak

Array = NDArray[np.float64]
Unit = Literal["GeV", "TeV", "MeV"]

RESOLUTION = {"jets": 0.03, "leptons or photons": 0.015}  # of the mass, relative; typical of LHC detectors
_WIDTHS = 4.0  # standard deviations of the resolution in a window
_JETS = re.compile(r"jj|jet|j1|j2|tau\d|subjet|constit", re.I)
_LIGHT = re.compile(r"mu|el|ele|lep|ll|ee|gamma|photon|gg|yy", re.I)


@dataclass(frozen=True)
class Where:
    """Windows to hunt in, in the unit of the input.

    Attributes:
        range: masses that are used at all.
        width: of a signal region.
        scan: centres, width and step; None for one window.
        signal_region: the one window; None for a scan.
    """

    range: Interval
    width: float
    scan: ScanSettings | None
    signal_region: Interval | None

    @property
    def number(self) -> int:
        """Windows."""
        return 1 if self.scan is None else 1 + round((self.scan.last - self.scan.first) / self.scan.step)


def guess_objects(names: Collection[str]) -> str:
    """`jets` or `leptons or photons`, by the names of the columns."""
    jets = any(_JETS.search(name) for name in names)
    return (
        "leptons or photons"
        if not jets and any(_LIGHT.search(name) for name in names)
        else "jets"
        if jets
        else "leptons or photons"
    )


def guess_unit(mass: Array, objects: str) -> Unit:
    """By the size of the numbers: no collider gives pairs of jets below 20 GeV or above 20 TeV, and few others pairs of leptons above 2 TeV."""
    middle = float(np.median(mass))
    if objects == "jets":
        return "TeV" if middle < 20 else "MeV" if middle > 20_000 else "GeV"
    return "MeV" if middle > 2000 else "GeV"


def propose_range(mass: Array) -> Interval:
    """From above the turn-on of the spectrum up to where one event in two thousand is left; edges rounded outwards within the data."""
    low = spectrum_peak(mass, float(mass.min()))
    high = float(np.quantile(mass, 0.9995))
    step = _round(0.02 * (high - low))
    start = math.ceil(low / step - 1e-9) * step if low > mass.min() else math.floor(low / step) * step
    return _tidy(max(start, 0.0) or step / 10), _tidy(math.ceil(high / step) * step)


def propose_windows(mass: Array, span: Interval, resolution: float) -> Iterator[Where]:
    """Scans of touching windows in the bulk of the events, the longest first, down to one window.

    A window is four standard deviations of the mass resolution wide where the scan has its middle. A tenth of the events lies below
    all windows and three in a hundred above: where all are hidden together, as in a blind run, so much is left to learn from.
    """
    used = mass[(mass >= span[0]) & (mass < span[1])]
    low, high = np.quantile(used, [0.1, 0.97])
    middle = math.sqrt(low * high)
    width = _round(_WIDTHS * resolution * middle)
    centre = _tidy(round(middle / (width / 2)) * width / 2)
    for number in (5, 3):
        first, last = centre - width * (number // 2), centre + width * (number // 2)
        if first - width / 2 >= low and last + width / 2 <= high:
            yield Where(span, width, ScanSettings(first=_tidy(first), last=_tidy(last), width=width, step=width), None)
    yield Where(span, width, None, (_tidy(centre - width / 2), _tidy(centre + width / 2)))


def _round(value: float) -> float:
    """The nearest of 1, 2, 2.5, 4, 5, 6, 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return _tidy(min((1, 2, 2.5, 4, 5, 6, 8, 10), key=lambda step: abs(math.log(value / power / step))) * power)


def _tidy(value: float) -> float:
    return float(f"{value:.6g}")
