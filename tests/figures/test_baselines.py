"""Every kind of figure against its picture; `pytest --mpl-generate-path=tests/figures/baseline tests/figures` makes them anew, to be looked at."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from cathode.plots.drawing import KINDS, read_drawing
from cathode.plots.style import STYLES, parameters

NUMBERS = Path(__file__).parent / "numbers"
FILES = sorted(path.stem for path in NUMBERS.glob("*.json"))
KEEP = {"style": parameters(), "tolerance": 2, "savefig_kwargs": {"dpi": 55}}


def drawn(name: str, style: str | None = None) -> Figure:
    return read_drawing((NUMBERS / f"{name}.json").read_text(), name, style).figure


def test_every_kind_has_a_baseline():
    assert {json.loads((NUMBERS / f"{name}.json").read_text())["figure"] for name in FILES} == set(KINDS)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.mpl_image_compare(**KEEP)
def test_figures_look_as_they_did(name):
    return drawn(name)


@pytest.mark.mpl_image_compare(**KEEP | {"style": parameters("CMS")})
def test_in_the_style_of_an_experiment():
    return drawn("selected_spectrum", "CMS")


@pytest.mark.parametrize("name", FILES)
def test_no_title_is_wider_than_its_picture(name):
    """A line that is too long widens the picture, and everything else in it shrinks."""
    with mpl.rc_context(parameters()):
        figure = drawn(name)
        figure.canvas.draw()
        for ax in figure.axes:
            for where in ("left", "center", "right"):
                if ax.get_title(loc=where):
                    extent = getattr(ax, {"left": "_left_title", "center": "title", "right": "_right_title"}[where])
                    assert extent.get_window_extent().x1 <= figure.bbox.x1, ax.get_title(loc=where)


@pytest.mark.parametrize("style", STYLES)
def test_no_legend_lies_on_data(style):
    """The legend of the bump above its highest point."""
    with mpl.rc_context(parameters(style)):
        figure = drawn("selected_spectrum", style)
        figure.canvas.draw()
        main = figure.axes[0]
        legend = main.get_legend().get_window_extent()
        highest = max(line.get_window_extent().y1 for line in main.get_lines() if line.get_marker() == "o")
        assert legend.y0 > highest
