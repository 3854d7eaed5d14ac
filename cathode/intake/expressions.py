"""Column expressions of the configuration, evaluated by numexpr: arithmetic and comparisons, no Python."""

from __future__ import annotations

import difflib

import numexpr
import numpy as np
from numexpr.necompiler import getExprNames
from numpy.typing import NDArray

from cathode.errors import DataError

Columns = dict[str, NDArray[np.generic]]
numexpr.set_num_threads(1)


def evaluate(expression: str, columns: Columns, where: str) -> NDArray[np.generic]:
    """Value of `expression` per event. Raises DataError, naming the key `where`, for bad syntax or unknown columns."""
    try:
        names, _ = getExprNames(expression, {}, sanitize=True)
    except Exception as error:  # numexpr raises many kinds on bad syntax
        raise DataError(f"{where}: cannot read the expression {expression!r}: {error}") from error
    for name in names:
        if name not in columns:
            raise DataError(f"{where}: {missing_column(name, columns)}")
    try:
        value = numexpr.evaluate(expression, local_dict={n: columns[n] for n in names}, global_dict={})
    except Exception as error:
        raise DataError(f"{where}: cannot evaluate {expression!r}: {error}") from error
    length = len(next(iter(columns.values())))
    return np.broadcast_to(np.asarray(value), (length,))


def missing_column(name: str, columns: Columns) -> str:
    """Text for a column that is not there, with the nearest name that is."""
    near = difflib.get_close_matches(name, list(columns), n=1)
    hint = f", did you mean {near[0]}?" if near else ""
    shown = ", ".join(list(columns)[:24])
    return f"column {name} not found{hint} (columns: {shown})"
