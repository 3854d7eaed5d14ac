"""Figures from results. Functions return drawings; they read nothing and know no folder."""

import contextlib
from pathlib import Path

with contextlib.chdir(
    Path(__file__).parent
):  # a matplotlibrc in the working directory is read first, and may be anything
    import matplotlib as matplotlib
