"""Somebody else's background for the inclusive scan, from the files that the configuration names."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np

from cathode.errors import DataError
from cathode.intake.expressions import missing_column
from cathode.intake.files import input_sha256, reference_data, reference_files
from cathode.intake.prepare import prepare_events
from cathode.intake.settings import DataSettings, InjectionSettings
from cathode.intake.tables import column_names, read_table
from cathode.intake.validate import looks_like_weight
from cathode.regions import Interval
from cathode.spectrum.reference import Reference, ReferenceHistogram
from cathode.spectrum.settings import SpectrumSettings

log = logging.getLogger(__name__)

_COLUMNS = ("low", "high", "expected", "error")


def read_reference(*, data: DataSettings, spectrum: SpectrumSettings, mass_range: Interval, seed: int) -> Reference:
    """Read the background of the inclusive scan: masses of other events, selected as the data are, or a histogram.

    Raises DataError for files that cannot be read, and for a histogram with gaps or without its columns.
    """
    named = reference_data(data, spectrum)
    if named is None:
        raise DataError(
            "spectrum: found no reference, expected spectrum.reference_files or spectrum.reference_histogram"
        )
    paths = reference_files(data, spectrum)
    if spectrum.reference_histogram:
        if len(paths) > 1:
            raise DataError(f"{spectrum.key}: found {len(paths)} files, expected one")
        return Reference(histogram=read_histogram(paths[0], data.unit), inputs=input_sha256(paths))
    available = column_names(named)
    weight = spectrum.reference_weight
    if weight is None and (odd := [name for name in available if looks_like_weight(name)]):
        log.warning(
            "warning: %s: the column %s looks like weights and is not used, expected spectrum.reference_weight to name it",
            paths[0], odd[0],
        )  # fmt: skip
    named = dataclasses.replace(
        named,
        label=data.label if data.label in available else None,
        weight=None,
        identifiers=() if weight is None else (weight,),
    )
    try:
        prepared = prepare_events(named, InjectionSettings(), mass_range, seed=seed)
    except DataError as error:
        raise DataError(f"{spectrum.key}: {error}") from error
    events, label = prepared.events, prepared.labels.label
    background = label == 0 if prepared.labels.known else np.ones(len(events), dtype=bool)
    weights = None if weight is None else np.asarray(events.identifiers[0], dtype=float)
    if weights is not None and not np.isfinite(weights).all():
        raise DataError(f"{spectrum.key}: column {weight} has NaN or infinite values, expected weights")
    log.info("%s: %s", spectrum.key, prepared.intake.sentence)
    if not background.all():
        log.info("%s: %d events with %s 1 are left out", spectrum.key, int((~background).sum()), data.label)
    return Reference(
        mass=events.mass[background],
        weight=None if weights is None else weights[background],
        inputs=prepared.intake.inputs or {},
    )


def read_histogram(path: Path, unit: float) -> ReferenceHistogram:
    """A histogram as a table of bins in any order, `low` and `high` in units of `unit` GeV, with the `expected` events and their `error`.

    Raises DataError for missing columns, values that are none, gaps and overlaps.
    """
    table = read_table(path, None, lambda names: [name for name in _COLUMNS if name in names])
    for name in _COLUMNS:
        if name not in table.columns:
            raise DataError(f"{path}: {missing_column(name, table.available)}: a histogram has {', '.join(_COLUMNS)}")
        values = np.asarray(table.columns[name], dtype=float)
        bad = ~np.isfinite(values) | ((values < 0) & (name in ("expected", "error")))
        if bad.any():
            row = int(np.argmax(bad))
            raise DataError(f"{path}: column {name} holds {values[row]:g} in row {row}, expected a number from 0 on")
    order = np.argsort(table.columns["low"], kind="stable")
    low, high, expected, error = (np.asarray(table.columns[name], dtype=float)[order] for name in _COLUMNS)
    apart = np.flatnonzero(~np.isclose(high[:-1], low[1:], rtol=1e-9, atol=0))
    if len(apart):
        k = int(apart[0])
        raise DataError(
            f"{path}: found a bin that ends at {high[k]:g} and the next that begins at {low[k + 1]:g}, expected bins side by side"
        )
    return ReferenceHistogram(edges=unit * np.append(low, high[-1:]), expected=expected, error=error)
