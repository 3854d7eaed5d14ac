"""Column expressions of the configuration, evaluated by numexpr: arithmetic and comparisons, no Python."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import numexpr
import numpy as np
from numexpr.necompiler import getExprNames
from numpy.typing import NDArray

from cathode.errors import DataError

Columns = dict[str, NDArray[np.generic]]
numexpr.set_num_threads(1)


def names_in(expression: str, where: str) -> list[str]:
    """Columns that `expression` uses. Raises DataError, naming the key `where`, for bad syntax."""
    try:
        names, _ = getExprNames(expression, {}, sanitize=True)
    except Exception as error:  # numexpr raises many kinds on bad syntax
        raise DataError(f"{where}: cannot read the expression {expression!r}: {error}") from error
    return list(names)


def evaluate(expression: str, columns: Columns, where: str, available: Iterable[str] = ()) -> NDArray[np.generic]:
    """Value of `expression` per event. Raises DataError, naming the key `where`, for bad syntax or unknown columns.

    `available` are further columns of the file, for the error message.
    """
    names = names_in(expression, where)
    for name in names:
        if name not in columns:
            raise DataError(f"{where}: {missing_column(name, [*columns, *available])}")
    try:
        value = numexpr.evaluate(expression, local_dict={n: columns[n] for n in names}, global_dict={})
    except Exception as error:
        raise DataError(f"{where}: cannot evaluate {expression!r}: {error}") from error
    length = len(next(iter(columns.values())))
    return np.broadcast_to(np.asarray(value), (length,))


def missing_column(name: str, columns: Iterable[str]) -> str:
    """Text for a column that is not there, with the nearest name that is."""
    known = list(dict.fromkeys(columns))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f", did you mean {near[0]}?" if near else ""
    shown = ", ".join(known[:24]) + (f" and {len(known) - 24} more" if len(known) > 24 else "")
    return f"column {name} not found{hint} (columns: {shown})"
