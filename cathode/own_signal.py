"""Limits on a signal of one's own: from a table of its events, in a notebook or of a finished run."""

from __future__ import annotations

import dataclasses
import functools
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from cathode import io
from cathode.calibration.response import Curve, Injected, OwnLimit, check_size, inject_signal, limit_own_signal
from cathode.classifier.methods import find_method, is_reference
from cathode.columns import aligned
from cathode.config import Config, load_config
from cathode.density.registry import BUILT_IN, density_class
from cathode.errors import ArtefactError, ConfigError, DataError
from cathode.events import Events, as_columns
from cathode.intake.files import table_paths
from cathode.intake.prepare import prepare_events
from cathode.intake.settings import InjectionSettings
from cathode.intake.tables import column_names
from cathode.results import HuntResult, Workspace
from cathode.running.tasks import run_tasks
from cathode.stats.settings import check_nuisance
from cathode.summary import Summary

if TYPE_CHECKING:
    import pandas as pd

    from cathode.plots.drawing import Drawing

STRENGTHS = (0.5, 1.0, 2.0, 3.0, 5.0)


@dataclass(frozen=True, kw_only=True)
class SignalLimits:
    """Limits on a signal of one's own; prints itself.

    Attributes:
        signal: name of its table.
        n_table: events of the table, before any cut.
        n_range: those left by `data.select` and `windows.range`.
        n_window: those in the signal region.
        mass: their median mass in the range (GeV).
        limits: per method and working point.
        injected: every injection behind them.
        luminosity: in fb^-1; None: no cross-sections.
        warnings: what a reader must know.
    """

    signal: str
    n_table: int
    n_range: int
    n_window: int
    mass: float
    limits: tuple[OwnLimit, ...]
    injected: tuple[Injected, ...]
    luminosity: float | None
    warnings: tuple[str, ...] = ()

    @property
    def best(self) -> OwnLimit:
        """The method and working point with the smallest expected limit, which no observed count has chosen."""
        return min(self.limits, key=lambda found: found.expected[2])

    @property
    def frame(self) -> pd.DataFrame:
        """One row per method and working point: limits on events of the table and, with a luminosity, in fb."""
        import pandas as pd

        rows = []
        for found in self.limits:
            row: dict[str, Any] = {
                "signal": self.signal,
                "mass": self.mass,
                "window": found.window,
                "method": found.method,
                "eps_bkg": found.eps_bkg,
            }
            row |= {"observed": found.observed}
            row |= {f"expected_{n:+d}": v for n, v in zip(range(-2, 3), found.expected, strict=True)}
            row |= {
                "efficiency": found.efficiency,
                "efficiency_error": found.efficiency_error,
                "best": found is self.best,
            }
            row |= {f"variation_{name}": sigma for name, sigma in found.variations}
            if self.luminosity:
                row |= {
                    "observed_fb": found.observed / self.luminosity,
                    "expected_fb": found.expected[2] / self.luminosity,
                }
            rows.append(row)
        return pd.DataFrame(rows)

    def plot(self) -> Drawing:
        """Observed and expected limit at the best working point; `band` draws several signals."""
        return band([self])

    def __str__(self) -> str:
        head = ["method", "ε_B", "observed", "expected", "± 1σ", "± 2σ", "seen"]
        rows = [head + (["observed fb", "expected fb"] if self.luminosity else [])]
        for found in self.limits:
            low2, low1, middle, high1, high2 = map(_count, found.expected)
            row = [
                found.method,
                f"{found.eps_bkg:g}",
                _count(found.observed),
                middle,
                f"{low1} – {high1}",
                f"{low2} – {high2}",
            ]
            row.append(f"{100 * found.efficiency:.1f} %" if found.efficiency else "–")
            if self.luminosity:
                row += [f"{v / self.luminosity:.3g}" for v in (found.observed, found.expected[2])]
            rows.append(row)
        b = self.best
        lines = [
            f"{self.signal}: {self.n_table} events, {self.n_range} in the range, {self.n_window} in {b.window}",
            "95 % CLs upper limits on events as in the table, before any cut; seen: share of these that the hunt sees at the expected limit",
            aligned(rows, left=1),
            f"smallest expected: {b.method} at {b.eps_bkg:g}: observed {_count(b.observed)}, expected {_count(b.expected[2])}",
        ]
        if b.variations:
            sizes = ", ".join(f"{name} {100 * sigma:.2g} %" for name, sigma in b.variations)
            lines.append(f"variations of the signal that passes there: {sizes}")
        return "\n".join([*lines, *(f"warning: {text}" for text in self.warnings)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def band(limits: Sequence[SignalLimits]) -> Drawing:
    """Limits of several signals against their mass, each at its best working point; shows itself, `.save("band.pdf")`."""
    from cathode.plots.limits import signal_limits

    rows = [
        {"signal": s.signal, "mass": s.mass, "observed": s.best.observed, "expected": s.best.expected} for s in limits
    ]
    return signal_limits(rows, limits[0].luminosity)


def limit_signal(
    run: str | Path,
    table: Any,
    *,
    window: str | None = None,
    strengths: Sequence[float] = STRENGTHS,
    draws: int = 2,
    variations: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    cores: int | None = None,
) -> SignalLimits:
    """Limits on a signal of one's own in a finished run.

    Classifiers learn from the data, so that their efficiency depends on how much signal there is. The signal is therefore injected into the run's
    data at several strengths, density, template and classifiers are trained anew, and the curve of what the hunt sees of it turns
    limits on selected events into limits on the signal. Minutes: a strength costs what a window costs without its closure.

    Args:
        run: folder of the run.
        table: a DataFrame, a dictionary of arrays, or path(s): signal events alone, with the columns that the run's data has. Weights are not used.
        window: name of a window; None takes the one that holds most of the signal.
        strengths: in units of the square root of the events of the signal region, ascending.
        draws: independent draws of the signal per strength.
        variations: systematics of the signal's simulation by name, each as columns moved up by one standard deviation:
            ``{"jet_energy_scale": {"mjj": "mjj * 1.01", "mj1": "mj1 * 1.01"}}``. Down is taken as the mirror image. What the trained classifiers let
            through of the varied events is the size of a nuisance of that name. What `data.define` makes of a column follows it.
        cores: processes; None takes all that this process may use.

    Raises ArtefactError for a run without limits, DataError or FitError for a table that cannot be used.
    """
    folder = Path(run)
    if not (folder / "summary.json").is_file():
        raise ArtefactError(f"{run}: found no summary.json there, expected the folder of a run that has ended")
    summary: Summary = io.read(folder / "summary.json", Summary)
    config = load_config(summary.config)
    events = io.read(folder / "events.parquet", Events)
    spaces = {
        h.name: io.read(folder / "workspaces" / f"{h.name}.json", Workspace).tree
        for h in summary.hunts
        if h.limit is not None
    }
    return limit_in(
        config,
        events,
        summary.hunts,
        spaces,
        table,
        window=window,
        strengths=strengths,
        draws=draws,
        variations=variations,
        cores=cores,
    )


def limit_in(
    config: Config,
    events: Events,
    results: Sequence[HuntResult],
    spaces: Mapping[str, dict[str, Any]],
    table: Any,
    *,
    window: str | None = None,
    strengths: Sequence[float] = STRENGTHS,
    draws: int = 2,
    variations: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    cores: int | None = None,
) -> SignalLimits:
    """What `limit_signal` returns, for a hunt in memory."""
    if config.blind:
        raise ConfigError("limit: a blind hunt has no limits, expected one that was unblinded")
    if not strengths or any(not 0 < s < np.inf for s in strengths) or draws < 1:
        raise ConfigError(
            f"limit: found strengths {list(strengths)} and {draws} draws, expected positive ones and at least 1"
        )
    check_variations(config, variations)
    signal, n_table = read_signal(config, table)
    varied = {name: read_signal(config, table, changed)[0] for name, changed in variations.items()}
    regions = {name: int(w.in_signal(signal.mass).sum()) for name, w in config.regions.items()}
    chosen = window or max(regions, key=lambda name: regions[name])
    if chosen not in regions:
        raise ConfigError(f"limit: found no window {chosen}, expected one of {', '.join(regions)}")
    region = config.regions[chosen]
    hunts = [h for h in results if h.window == chosen and not is_reference(h.method) and h.limit is not None]
    if not hunts:
        raise ArtefactError(
            f"{config.run}: found no limit in {chosen}, expected statistics.limits and a mass fit that describes the sidebands"
        )
    ladder = sorted({float(s) for s in strengths})
    check_size(signal, region, events, ladder[-1])
    arguments: dict[str, Any] = {
        "window": region, "background": config.background, "template": config.template, "classifier": config.classifier,
        "seed": config.seed, "device": config.device, "data": config.data, "varied": varied,
    }  # fmt: skip
    tasks = [
        (f"{s:g} root B", functools.partial(inject_signal, events, signal, hunts, s, draw=d, **arguments))
        for s in ladder
        for d in range(draws)
    ]
    own = None if config.density_model in BUILT_IN else density_class(config.density_model)
    injected = [i for part in run_tasks(tasks, what="injections", density=own, cores=cores) for i in part]
    limits = []
    for h in hunts:
        curve = Curve.of([i for i in injected if (i.method, i.eps_bkg) == (h.method, h.eps_bkg)])
        limits.append(limit_own_signal(h, dict(spaces[h.name]), curve, len(signal) / n_table))
    return SignalLimits(
        signal=_name(table),
        n_table=n_table,
        n_range=len(signal),
        n_window=regions[chosen],
        mass=float(np.median(signal.mass)),
        limits=tuple(limits),
        injected=tuple(injected),
        luminosity=config.statistics.luminosity,
        warnings=tuple(_warnings(hunts, limits, regions[chosen] / len(signal), region.name)),
    )


def check_variations(config: Config, variations: Mapping[str, Mapping[str, str]]) -> None:
    """Raise ConfigError for what is no `variations` of `limit_signal`."""
    if not isinstance(variations, Mapping):
        raise ConfigError(f"variations: found {variations!r}, expected names of systematics with columns by expression")
    for name, changed in variations.items():
        check_nuisance(name, "variations")
        if name in config.statistics.systematics:
            raise ConfigError(f"variations.{name}: found in statistics.systematics, too; expected it in one of them")
        if not isinstance(changed, Mapping) or not changed or not all(isinstance(v, str) for v in changed.values()):
            raise ConfigError(
                f'variations.{name}: found {changed!r}, expected expressions by column, as {{"mjj": "mjj * 1.01"}}'
            )


def read_signal(config: Config, table: Any, changed: Mapping[str, str] = MappingProxyType({})) -> tuple[Events, int]:
    """Signal events of the range, columns `changed` by expressions, and how many the table has before any cut. Raises DataError where there is none."""
    files = table_paths(table)
    columns = None if files else as_columns(table)
    data = dataclasses.replace(
        config.data, source="files" if files else "memory", files=files, label=None, weight=None, identifiers=(),
        allow_loss=1.0, allow_duplicates=1.0,
    )  # fmt: skip
    label = config.data.label
    if label in (set(columns) if columns is not None else column_names(data)):
        data = dataclasses.replace(data, label=label)
    found = prepare_events(
        data, InjectionSettings(), config.mass_range, seed=config.seed, columns=columns, unseen=True, changed=changed
    )
    if n := int((found.labels.label == 0).sum()):
        raise DataError(
            f"{_name(table)}: found {n} events with {label} 0 in the range, expected a table of signal alone"
        )
    assert found.intake.read is not None  # only blind intakes do not say
    return found.events, found.intake.read


def _warnings(hunts: Sequence[HuntResult], limits: Sequence[OwnLimit], inside: float, name: str) -> list[str]:
    out = []
    if excess := [h for h in hunts if (h.z_local or 0.0) > 2]:
        best = max(excess, key=lambda h: h.z_local or 0.0)
        out.append(
            f"the data hold an excess ({find_method(best.method).label} at {best.eps_bkg:g}: {best.z_local:.1f} σ): the injected signal was found with its help, "
            "and the limits are too strong if it is another one"
        )
    if beyond := [f for f in limits if not np.isfinite(f.expected[2]) or not np.isfinite(f.observed)]:
        out.append(
            f"{len(beyond)} of {len(limits)} limits lie beyond the largest strength that was injected: expected larger ones (--strengths)"
        )
    if inside < 0.5:
        out.append(f"only {100 * inside:.0f} % of the signal in the range lies in {name}")
    return out


def _count(value: float) -> str:
    return f"{value:.0f}" if np.isfinite(value) else "–"


def _name(table: Any) -> str:
    files = table_paths(table)
    return Path(files[0]).name if files else "signal"
