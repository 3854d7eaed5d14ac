"""A figure as the numbers that it is drawn from: these are what is kept, and any figure is drawn again from them alone."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cathode.artefacts import Figures
from cathode.errors import ArtefactError, nearest, reason
from cathode.plots.style import in_style

log = logging.getLogger(__name__)

_SCHEMA = "cathode/figure/1"
_NO_DATES: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "ModDate": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}

# kinds of figures, and what draws one from its numbers
KINDS = {
    "note": "drawing:draw_note",
    "mass_spectrum": "spectrum:draw_mass_spectrum",
    "selected_spectrum": "spectrum:draw_selected_spectrum",
    "spectrum_scan": "spectrum:draw_spectrum_scan",
    "features": "features:draw_features",
    "scores": "scores:draw_scores",
    "closure": "closure:draw_closure",
    "sideband_ratio": "closure:draw_sideband_ratio",
    "significance": "significance:draw_significance",
    "uncertainties": "significance:draw_uncertainties",
    "waterfall": "waterfall:draw_waterfall",
    "appearing": "appearing:draw_appearing",
    "scan": "significance:draw_scan",
    "signal_limits": "limits:draw_signal_limits",
    "performance": "performance:draw_performance",
    "pulls": "calibration:draw_pulls",
    "p_values": "calibration:draw_p_values",
    "signal_response": "calibration:draw_signal_response",
    "efficiency": "calibration:draw_efficiency",
}


@dataclass(frozen=True)
class Drawing:
    """A figure and the numbers it is drawn from; shows itself in a notebook.

    Attributes:
        name: stem of its files.
        kind: what figure it is, one of `KINDS`.
        numbers: what is drawn, plain values.
        style: of mplhep; None for the usual one.
    """

    name: str
    kind: str
    numbers: dict[str, Any]
    style: str | None = None

    @property
    def figure(self) -> Figure:
        """The matplotlib figure."""
        module, _, function = KINDS[self.kind].partition(":")
        draw: Callable[[dict[str, Any]], Figure] = getattr(import_module(f"cathode.plots.{module}"), function)
        made = in_style(draw, self.style)(self.numbers)
        if self.numbers.get("quick"):
            made.text(
                0.5,
                0.5,
                "quick, not for publication",
                rotation=25,
                ha="center",
                va="center",
                fontsize=26,
                color="#B00000",
                alpha=0.3,
            )
        return made

    def image(self, form: str) -> bytes:
        """The figure as `pdf`, `png` or `svg`. No dates: equal numbers give equal bytes."""
        return self.images(form)[form]

    def images(self, *forms: str) -> dict[str, bytes]:
        """The figure in several formats, drawn once to find its box and once for each: text and ticks are most of the time."""

        def draw() -> dict[str, bytes]:
            figure = self.figure
            FigureCanvasAgg(figure)
            box = figure.get_tightbbox().padded(mpl.rcParams["savefig.pad_inches"])
            out = {}
            for form in forms:
                buffer = io.BytesIO()
                figure.savefig(buffer, format=form, metadata=_NO_DATES[form], bbox_inches=box)
                out[form] = buffer.getvalue()
            return out

        return in_style(draw, self.style)()

    def pictures(self, *forms: str) -> dict[str, bytes]:
        """As `images`, of a figure that fails a picture that says so: it may cost itself, never the report."""
        try:
            return self.images(*forms)
        except Exception as error:
            return failed(self.name, error).images(*forms)

    def at(self, working_point: str) -> Drawing:
        """The figure at another working point. Raises ArtefactError where it has none of that name."""
        points = self.numbers.get("points", {}) if "shown" in self.numbers else {}
        if working_point not in points:
            raise ArtefactError(
                f"{self.name}: found no working point {working_point}, expected one of {', '.join(points) or 'none: it shows all'}"
            )
        return replace(self, numbers=self.numbers | {"shown": working_point})

    def files(self) -> dict[str, bytes]:
        """PDF, PNG and the JSON of the numbers drawn, by file name."""
        named = {f"{self.name}.{form}": content for form, content in self.pictures("pdf", "png").items()}
        return named | {f"{self.name}.json": self.json().encode()}

    def json(self) -> str:
        """The numbers as a file, from which `read_drawing` makes the drawing again."""
        head = {"schema": _SCHEMA, "figure": self.kind, "name": self.name}
        return json.dumps(head | self.numbers, indent=1) + "\n"

    def save(self, path: str | Path) -> Path:
        """Write the figure as .pdf, .png or .svg, by the ending of `path`. Raises ArtefactError for another ending."""
        target = Path(path)
        form = target.suffix.lower().lstrip(".")
        if form not in ("pdf", "png", "svg"):
            raise ArtefactError(f"{target}: found ending {target.suffix or '(none)'}, expected .pdf, .png or .svg")
        target.write_bytes(self.image(form))
        return target

    def _repr_png_(self) -> bytes:
        return self.image("png")


def read_drawing(text: str, where: str, style: str | None = None) -> Drawing:
    """The drawing of a JSON file that `Drawing.files` made. Raises ArtefactError for any other text."""
    try:
        numbers = json.loads(text)
        kind, name = numbers.pop("figure"), numbers.pop("name")
        if (schema := numbers.pop("schema")) != _SCHEMA:
            raise ArtefactError(f"{where}: expected {_SCHEMA}, found {schema}")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ArtefactError(f"{where}: found no numbers of a figure, expected a JSON file of a run's plots/") from error
    if kind not in KINDS:
        raise ArtefactError(f"{where}: found figure {kind!r}{nearest(kind, KINDS)}, expected one of {', '.join(KINDS)}")
    return Drawing(str(name), kind, numbers, style)


def drawing(name: str, kind: str, numbers: dict[str, Any]) -> Drawing:
    """A drawing from numbers of any type."""
    return Drawing(name, kind, plain(numbers))


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


def note(name: str, text: str) -> Drawing:
    """A sentence in place of a figure."""
    return Drawing(name, "note", {"note": text})


def draw_note(numbers: dict[str, Any]) -> Figure:
    """The figure of a `note`."""
    figure = Figure(figsize=(7, 1.6))
    figure.text(0.02, 0.5, numbers["note"], va="center", fontsize=11, parse_math=False)
    return figure


def mark(drawings: list[Drawing], quick: bool) -> list[Drawing]:
    """The drawings, in a `quick` run with a mark across each."""
    return [replace(one, numbers=one.numbers | {"quick": True}) for one in drawings] if quick else drawings


def as_files(drawings: Iterable[Drawing]) -> Figures:
    """All files of several drawings."""
    files: dict[str, bytes] = {}
    for one in drawings:
        files |= one.files()
    return Figures(files)


def plain(value: Any) -> Any:
    """JSON values; numbers with seven digits, more than any figure shows, and null for what is none."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.7g}") if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
