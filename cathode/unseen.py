"""A finished hunt applied to events that it never saw: in a notebook, from a run's folder, from a model file that was sent."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cathode import io
from cathode.columns import aligned
from cathode.errors import ArtefactError
from cathode.events import Events, as_columns
from cathode.inference.model import Applied, Model, apply_model
from cathode.intake.files import table_paths
from cathode.intake.prepare import prepare_events
from cathode.intake.settings import InjectionSettings
from cathode.intake.tables import column_names
from cathode.progress import reporter
from cathode.summary import Summary

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_MAIN = ("row", "mass", "window", "method", "score", "own")


def apply(run: str | Path, table: Any, *, window: str | None = None, cores: int | None = None) -> pd.DataFrame:
    """Score unseen events with the classifiers of a finished run.

    Args:
        run: folder of a run, or a `model.npz` of one, from whatever machine.
        table: a DataFrame, a dictionary of equally long arrays, or the path of a table file (or a list of them), with the columns that the run's
            own data has; it is read, cut and derived as the run's own.
        window: name of one window; None applies all.
        cores: threads; None takes all cores that this process may use.

    Returns one row per event, window whose signal region holds it, and method:

    * `row`: number of the row in the table; `mass` (GeV); identifiers.
    * `window`, `method`.
    * `score`: -log10 of the background efficiency at which the event just passes, averaged over classifiers; comparable everywhere.
    * `own`: whether the run was trained on this very event, which is then scored by the classifiers that did not see it.
    * `passes_<working point>`: share of the cuts that it passes, 0 to 1; their sum is the number of events that pass.

    `attrs["counts"]` has per window, method and working point what passed, what the run expects of so many background events, and the
    significance of the difference; `cathode.unseen.describe(frame)` prints it.

    Raises ArtefactError where there is no model, or a damaged or foreign file; DataError for a table that cannot be used.
    """
    models = read_models(run, window)
    return apply_all(models, table, cores=cores)


def read_models(run: str | Path, window: str | None = None) -> list[Model]:
    """The models of a run's folder, or the one of a file."""
    path = Path(run)
    if path.is_file() and path.name != "summary.json":
        files = [path]
    else:
        folder = path.parent if path.name == "summary.json" else path
        if not (folder / "summary.json").is_file():
            raise ArtefactError(
                f"{run}: found no summary.json there, expected the folder of a run that has ended, or a model.npz"
            )
        summary: Summary = io.read(folder / "summary.json", Summary)
        names = list(dict.fromkeys(h.window for h in summary.hunts))
        if all(h.n_sr is None for h in summary.hunts):
            raise ArtefactError(
                f"{run}: found a blind hunt, which has trained no classifiers; expected one that was unblinded"
            )
        files = [folder / name / "model.npz" for name in names]
    models: list[Model] = [io.read(file, Model) for file in files]
    chosen = [m for m in models if window in (None, m.window)]
    if not chosen:
        raise ArtefactError(f"{run}: found no window {window}, expected one of {', '.join(m.window for m in models)}")
    return chosen


def apply_all(models: Sequence[Model], table: Any, *, cores: int | None = None) -> pd.DataFrame:
    """What `apply` returns, for models in memory."""
    import pandas as pd
    from joblib import cpu_count

    files = table_paths(table)
    columns = None if files else as_columns(table)
    first = models[0]
    settings = first.data(files)
    if settings.weight and settings.weight not in (column_names(settings) if columns is None else columns):
        log.warning(
            "warning: the hunt was in an unweighted sample that weights (%s) were drawn by; the table has none, each event counts",
            settings.weight,
        )
        settings = dataclasses.replace(settings, weight=None)
    events = prepare_events(
        settings, InjectionSettings(), first.range, seed=first.seed, columns=columns, unseen=True
    ).events
    parts = []
    for model in models:
        if (model.reading, model.range, model.seed) != (first.reading, first.range, first.seed):
            raise ArtefactError(f"models of {first.window} and {model.window}: found two runs, expected one")
        report = reporter(f"{model.window}: classifiers")
        parts += apply_model(model, events, cores=cores or cpu_count(), progress=report)
    frame = pd.concat([_frame(events, a) for a in parts], ignore_index=True)
    frame.attrs["counts"] = [
        {
            "window": a.window, "method": a.method, "eps_bkg": p.eps_bkg, "n": p.n, "n_own": p.n_own, "passed": p.passed,
            "efficiency": p.efficiency, "expected": p.expected, "sigma": p.sigma, "p": p.p, "z": p.z,
        }
        for a in parts
        for p in a.points
    ]  # fmt: skip
    return frame


def _frame(events: Events, a: Applied) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, Any] = {"row": events.row[a.index], "mass": events.mass[a.index]}
    taken = {*_MAIN, *(f"passes_{p.eps_bkg:g}" for p in a.points)}
    for name, values in zip(events.carried, events.identifiers, strict=True):
        columns[f"identifier:{name}" if name in taken else name] = values[a.index]
    columns |= {"window": a.window, "method": a.method, "score": a.score, "own": a.own}
    columns |= {f"passes_{p.eps_bkg:g}": a.passes[:, k] for k, p in enumerate(a.points)}
    return pd.DataFrame(columns)


def describe(frame: pd.DataFrame) -> str:
    """The counts of a frame that `apply` returned, as a table for a terminal."""
    head = ["window", "method", "eps", "events", "pass", "efficiency", "background expected", "z"]
    rows, own = [head], 0
    for c in frame.attrs["counts"]:
        error = (max(c["passed"], 1.0)) ** 0.5 / max(c["n"], 1)
        efficiency = f"{c['efficiency']:.3g} +- {error:.1g}" if c["n"] else "-"
        rows.append(
            [
                c["window"], c["method"], f"{c['eps_bkg']:g}", str(c["n"]), f"{c['passed']:.1f}", efficiency,
                f"{c['expected']:.1f} +- {c['sigma']:.1f}", f"{c['z']:.2f}",
            ]
        )  # fmt: skip
        own = max(own, c["n_own"])
    lines = [aligned(rows, left=2)]
    if own:
        lines.append(
            f"{own} of these events are the run's own: scored by the classifiers that were trained without them"
        )
    return "\n".join(lines)
