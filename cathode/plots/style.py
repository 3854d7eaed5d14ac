"""Common look of the figures, and their conversion to files whose bytes depend on the data only."""

from __future__ import annotations

import functools
import io
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cathode.classifier.methods import find_method
from cathode.errors import reason
from cathode.results import Figures

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
F = TypeVar("F", bound=Callable[..., Any])

DATA = "#111111"
TEMPLATE = "#0072B2"
FIT = "#009E73"
SIGNAL_REGION = "#F0E442"
WORKING_POINT_COLOURS = ("#56B4E9", "#0072B2", "#003C5F", "#CC79A7", "#E69F00", "#009E73")

_STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.labelsize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.dpi": 110,
    "savefig.bbox": "tight",
    "pdf.fonttype": 42,
    "svg.hashsalt": "cathode",
}

UNITS = {"mjj": "$m_{jj}$ [GeV]", "mj1": "$m_{J1}$ [GeV]", "delta_mj": "$\\Delta m_J$ [GeV]"} | {
    "tau21_j1": "$\\tau_{21}$ of the lighter jet",
    "tau21_j2": "$\\tau_{21}$ of the heavier jet",
    "delta_r": "$\\Delta R_{jj}$",
}


def label_of(name: str) -> str:
    """Axis label of a column: the usual symbol for dijet columns, else its name, in which $ is a dollar and nothing a formula."""
    return UNITS.get(name, name.replace("\\", "\\\\").replace("$", "\\$") if "$" in name else name)


def eps_text(eps: float) -> str:
    """A background efficiency as people write it."""
    return f"$\\epsilon_B$ = {eps:g}"


def colour_of(method: str) -> str:
    """Colour of a method."""
    return find_method(method).colour


def name_of(method: str) -> str:
    """What figures and tables call a method."""
    return find_method(method).label


def in_style(function: F) -> F:
    """Run `function` in the style of the figures, whatever the user's matplotlib is set to, which is left as it was."""

    @functools.wraps(function)
    def run(*arguments: Any, **keywords: Any) -> Any:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(_STYLE)
            return function(*arguments, **keywords)

    return cast(F, run)


@dataclass(frozen=True)
class Drawing:
    """A figure with the numbers it was drawn from; shows itself in a notebook.

    Attributes:
        name: stem of its files.
        figure: the matplotlib figure.
        numbers: what was drawn.
    """

    name: str
    figure: Figure
    numbers: dict[str, Any]

    @in_style
    def _image(self, form: str) -> bytes:
        """No dates: equal numbers give equal bytes."""
        metadata = {"pdf": {"CreationDate": None, "ModDate": None}, "png": {"Software": None}, "svg": {"Date": None}}
        buffer = io.BytesIO()
        FigureCanvasAgg(self.figure)
        self.figure.savefig(buffer, format=form, metadata=metadata[form])
        return buffer.getvalue()

    def files(self) -> dict[str, bytes]:
        """PDF, PNG and the JSON of the numbers drawn, by file name."""
        drawn = json.dumps(_plain(self.numbers), indent=1, sort_keys=True) + "\n"
        try:
            images = {f"{self.name}.{form}": self._image(form) for form in ("pdf", "png")}
        except Exception as error:  # texts and extents are only looked at when the figure is drawn
            instead = failed(self.name, error)
            images = {f"{self.name}.{form}": instead._image(form) for form in ("pdf", "png")}
        return images | {f"{self.name}.json": drawn.encode()}

    def save(self, path: str | Path) -> Path:
        """Write the figure as .pdf, .png or .svg, by the ending of `path`."""
        target = Path(path)
        target.write_bytes(self._image(target.suffix.lower().lstrip(".")))
        return target

    def _repr_png_(self) -> bytes:
        return self._image("png")


def attempt(name: str, draw: Callable[..., Drawing], *arguments: Any, **keywords: Any) -> Drawing:
    """A drawing, or where it fails, one under the same `name` that says so: a figure may cost itself, never the report."""
    try:
        return draw(*arguments, **keywords)
    except Exception as error:
        return failed(name, error)


def failed(name: str, error: Exception) -> Drawing:
    """What stands in for a figure that could not be drawn."""
    why = reason(error)
    log.warning("warning: figure %s could not be drawn: %s", name, why)
    return note(name, f"{name} could not be drawn:\n{why[:200]}")


@in_style
def note(name: str, text: str) -> Drawing:
    """A sentence in place of a figure."""
    figure = Figure(figsize=(7, 1.6))
    figure.text(0.02, 0.5, text, va="center", fontsize=11, parse_math=False)
    return Drawing(name, figure, {"note": text})


def as_files(drawings: Iterable[Drawing]) -> Figures:
    """All files of several drawings."""
    files: dict[str, bytes] = {}
    for drawing in drawings:
        files |= drawing.files()
    return Figures(files)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value


def with_ratio(width: float = 7.0, height: float = 5.6) -> tuple[Figure, Axes, Axes]:
    """A figure with a main panel and a ratio panel below that shares its x axis."""
    figure = Figure(figsize=(width, height))
    main, ratio = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1], "hspace": 0.06})
    return figure, main, ratio


def poisson_points(axes: Axes, x: Array, counts: Array, scale: Array | float = 1.0, **kwargs: Any) -> None:
    """Data points with sqrt(n) errors (1 for empty bins are left out)."""
    filled = counts > 0
    y = np.where(filled, counts * scale, np.nan)
    axes.errorbar(x, y, np.sqrt(counts) * scale, fmt="o", ms=3.2, lw=1.0, color=DATA, **kwargs)
