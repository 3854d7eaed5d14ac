"""Figures of one window: mass spectrum, features, scores, closure, and the spectrum behind a cut."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cathode.classifier.methods import find_method
from cathode.classifier.scores import MethodScores
from cathode.density.ensemble import DensityEnsemble
from cathode.events import Events, Template
from cathode.inference.closure import Closure
from cathode.inference.counts import count_passing, efficiency_scores, passing_reference, select_events
from cathode.plots.spectrum import selected_spectrum
from cathode.plots.style import (
    DATA,
    SIGNAL_REGION,
    TEMPLATE,
    Drawing,
    as_files,
    attempt,
    colour_of,
    eps_text,
    in_style,
    label_of,
    name_of,
    poisson_points,
    with_ratio,
)
from cathode.regions import Window
from cathode.results import Figures, HuntResults
from cathode.seeds import derive_seed
from cathode.template.sidebands import SidebandClosure

Array = NDArray[np.float64]


def plot_window(
    events: Events,
    density: DensityEnsemble,
    template: Template | None,
    scores: list[MethodScores],
    closure: list[Closure],
    sidebands: SidebandClosure,
    hunts: list[HuntResults],
    *,
    window: Window,
    working_points: tuple[float, ...],
    seed: int,
) -> Figures:
    """Mass spectra, features, scores and closure of one window; signal-region plots are left out when blind."""
    return as_files(
        draw_window(
            events,
            density,
            template,
            scores,
            closure,
            sidebands,
            hunts,
            window=window,
            working_points=working_points,
            seed=seed,
        )
    )


def draw_window(
    events: Events,
    density: DensityEnsemble,
    template: Template | None,
    scores: list[MethodScores],
    closure: list[Closure],
    sidebands: SidebandClosure,
    hunts: list[HuntResults],
    *,
    window: Window,
    working_points: tuple[float, ...],
    seed: int,
) -> list[Drawing]:
    """The drawings of `plot_window`."""
    name = window.name
    own_seed = derive_seed(seed, "plot_window", name)
    drawings = [
        attempt(f"{name}_mass_spectrum", mass_spectrum, events, density, window, blind=not scores),
        attempt(f"{name}_features_sideband", sideband_features, events, density, window, seed=own_seed),
        attempt(f"{name}_sideband_ratio", sideband_ratio, sidebands),
        *(attempt(f"{name}_{c.method}_closure", closure_forest, c) for c in closure),
    ]
    eps = middle(working_points)
    results = {(h.method, h.eps_bkg): h for group in hunts for h in group.entries}
    compared = False
    for s in scores:
        method = f"{name}_{s.method}"
        drawings.append(attempt(f"{method}_scores", score_distribution, s, working_points))
        if len(s.splits[0].side_row):
            own = results.get((s.method, eps))
            drawings.append(attempt(f"{method}_selected_spectrum", selected_spectrum, events, s, window, own))
        if template is not None and find_method(s.method).needs_template and not compared:
            compared = True  # before the cut all methods with this template look alike
            drawings += [
                attempt(f"{name}_features", signal_region_features, events, template, window),
                attempt(f"{name}_features_selected", selected_features, events, template, s, eps),
            ]
    return drawings


def middle(working_points: tuple[float, ...]) -> float:
    """The working point that single-selection figures show: the middle one."""
    return sorted(working_points)[len(working_points) // 2]


@in_style
def mass_spectrum(events: Events, density: DensityEnsemble, window: Window, *, blind: bool) -> Drawing:
    """The mass spectrum with the window and the spectrum interpolated from its sidebands."""
    model = density.mass
    low, high = window.range[0], float(np.quantile(events.mass, 0.999))
    edges = np.linspace(low, high, 61)
    centres, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    counts = np.histogram(events.mass, edges)[0].astype(float)
    if blind:
        counts[(edges[1:] > window.signal[0]) & (edges[:-1] < window.signal[1])] = np.nan
    fitted = (centres >= model.fit_range[0]) & (centres <= model.fit_range[1])
    expected = np.where(fitted, model.density(centres) * width, np.nan)
    figure, main, ratio = with_ratio()
    poisson_points(main, centres, counts, label="Data")
    main.plot(centres, expected, color=TEMPLATE, lw=1.8, label="Interpolated from the sidebands")
    for axes in (main, ratio):
        axes.axvspan(*window.signal, color=SIGNAL_REGION, alpha=0.35, lw=0, label="Signal region")
        for edge in model.fit_range:
            axes.axvline(edge, color="#999999", ls=":", lw=1)
    ratio.errorbar(centres, counts / expected, np.sqrt(counts) / expected, fmt="o", ms=3, lw=1, color=DATA)
    ratio.axhline(1, color=TEMPLATE, lw=1.2)
    ratio.set(xlabel="Resonant mass $m$ [GeV]", ylabel="Data / fit", ylim=(0.8, 1.2))
    main.set(yscale="log", ylabel=f"Events / {width:.3g} GeV")
    main.set_title(f"Window {window.name}: mass spectrum (dotted: range of the fit)", loc="left", fontsize=11)
    main.legend()
    drawn = {"edges": edges, "counts": counts, "expected": expected, "fit_p_value": model.p_value}
    return Drawing(f"{window.name}_mass_spectrum", figure, drawn)


def sideband_features(events: Events, density: DensityEnsemble, window: Window, *, seed: int) -> Drawing:
    """In-sample check: recorded sideband events against the density sampled at their own masses."""
    visible = events[window.in_sideband(events.mass)]
    pieces = np.array_split(np.arange(len(visible)), density.density.n_members)
    sampled = [
        density.density.sample(visible.mass[rows], member=e, seed=derive_seed(seed, "member", e))
        for e, rows in enumerate(pieces)
    ]
    title = f"{window.name}: sidebands, density sampled at the recorded masses"
    made = np.concatenate(sampled)
    return feature_comparison(f"{window.name}_features_sideband", title, visible, visible.features, made, 1.0)


@in_style
def sideband_ratio(closure: SidebandClosure) -> Drawing:
    """Recorded over generated sideband events against the mass, inclusive and behind cuts, with the ratio of the sums."""
    edges = np.array(closure.edges)
    centres, half = edges.mean(axis=1), (edges[:, 1] - edges[:, 0]) / 2
    figure = Figure(figsize=(8, 1.7 * len(closure.eps) + 0.8))
    axes = figure.subplots(len(closure.eps), 1, sharex=True)
    drawn = {}
    for ax, eps, recorded, generated, ratio, error in zip(
        axes, closure.eps, closure.recorded, closure.generated, closure.ratio, closure.error, strict=True
    ):
        expected, observed = np.array(generated), np.array(recorded)
        filled = expected > 0
        safe = np.where(filled, expected, 1)
        y = np.where(filled, observed / safe, np.nan)
        e = np.where(filled, np.sqrt(observed + observed**2 / safe) / safe, np.nan)
        ax.axhspan(ratio - error, ratio + error, color=TEMPLATE, alpha=0.25, lw=0)
        ax.axhline(ratio, color=TEMPLATE, lw=1.4)
        ax.axhline(1, color="#555555", ls="--", lw=1)
        ax.errorbar(centres, y, e, half, fmt="o", ms=3.5, lw=1, color=DATA)
        spread = float(np.nanmax(np.abs(y - 1) + e, initial=0.02)) if filled.any() else 1.0
        ax.set_ylim(max(0.0, 1 - min(spread, 1.5) * 1.15), 1 + min(spread, 1.5) * 1.15)
        name = "no cut" if eps == 1 else eps_text(eps)
        ax.text(0.01, 0.9, f"{name}: {ratio:.3f} $\\pm$ {error:.3f}", transform=ax.transAxes, va="top", fontsize=10)
        drawn[f"{eps:g}"] = {"recorded": recorded, "generated": generated, "ratio": ratio, "error": error}
    axes[len(axes) // 2].set_ylabel("Recorded / generated")
    axes[-1].set_xlabel("Resonant mass $m$ [GeV]")
    axes[0].set_title(
        f"{closure.window}: sidebands, recorded over generated, behind a classifier between the two",
        loc="left",
        fontsize=11,
    )
    return Drawing(f"{closure.window}_sideband_ratio", figure, {"edges": closure.edges, "points": drawn})


def signal_region_features(events: Events, template: Template, window: Window) -> Drawing:
    """Signal-region data against the template, before any cut."""
    inside = events[window.in_signal(events.mass)]
    return feature_comparison(
        f"{window.name}_features",
        f"{window.name}: signal region before the selection",
        inside,
        inside.features,
        template.features,
        len(inside) / len(template.mass),
        copies=len(template.mass) / len(np.unique(template.source)),
    )


def selected_features(events: Events, template: Template, scores: MethodScores, eps: float) -> Drawing:
    """Signal-region data and template behind one working point, the template scaled to the predicted yield."""
    splits = scores.splits
    inside = events[events.at(splits[0].row)]
    share = passing_reference(splits, eps)
    counts = count_passing(splits, eps)
    title = f"{splits[0].window}: signal region after the {name_of(scores.method)} selection, {eps_text(eps)}"
    data = inside.features[select_events(splits, eps, efficiency_scores(splits)[0])]
    cut = share > 0
    return feature_comparison(
        f"{splits[0].window}_features_selected",
        title,
        inside,
        data,
        template.features[template.held][cut],
        counts.n_bkg / max(float(share.sum()), 1.0),
        bins=20,
        copies=float(share.sum()) / max(counts.m, 1.0),
        weight=share[cut],
    )


@in_style
def feature_comparison(
    name: str,
    title: str,
    events: Events,
    data: Array,
    template: Array,
    scale: float,
    *,
    bins: int = 40,
    copies: float = 1.0,
    weight: Array | None = None,
) -> Drawing:
    """Data, template and their ratio, one column per feature; the band is the template's statistical error.

    `copies` template events come from one recorded event on average; `weight` are the template's weights.
    """
    d = len(events.names)
    figure = Figure(figsize=(3.7 * d, 4.6))
    axes = figure.subplots(2, d, squeeze=False, gridspec_kw={"height_ratios": [3, 1], "hspace": 0.08, "wspace": 0.32})
    drawn = {}
    for j, feature in enumerate(events.names):
        low, high = np.quantile(events.features[:, j], [0.0005, 0.9995])
        edges = np.linspace(low, high, bins + 1)
        centres = (edges[1:] + edges[:-1]) / 2
        observed = np.histogram(data[:, j], edges)[0].astype(float)
        raw = np.histogram(template[:, j], edges, weights=weight)[0].astype(float)
        expected = raw * scale
        main, ratio = axes[0, j], axes[1, j]
        main.stairs(expected, edges, fill=True, color=TEMPLATE, alpha=0.3, label="Template")
        poisson_points(main, centres, observed, label="Data")
        _ratio(ratio, edges, centres, observed, raw / copies, expected)
        main.tick_params(labelbottom=False)
        main.set(xlim=(low, high), ylim=(0, None))
        ratio.set(xlim=(low, high), xlabel=label_of(feature))
        drawn[feature] = {"edges": edges, "data": observed, "template": expected, "template_raw": raw}
    axes[0, 0].set_ylabel("Events / bin")
    axes[1, 0].set_ylabel("Data / templ.")
    axes[0, 0].legend()
    figure.suptitle(title, x=0.125, y=0.95, ha="left", fontsize=12)
    return Drawing(name, figure, drawn)


def _ratio(axes: Axes, edges: Array, centres: Array, observed: Array, raw: Array, expected: Array) -> None:
    filled = expected > 0
    safe = np.where(filled, expected, 1.0)
    relative = np.where(raw > 0, 1 / np.sqrt(np.maximum(raw, 1)), 0)
    axes.stairs(1 + relative, edges, baseline=1 - relative, fill=True, color=TEMPLATE, alpha=0.3)
    y, error = np.where(filled, observed / safe, np.nan), np.where(filled, np.sqrt(observed) / safe, np.nan)
    axes.errorbar(centres, y, error, fmt="o", ms=2.6, lw=0.9, color=DATA)
    axes.axhline(1, color=TEMPLATE, lw=1)
    good = y[filled & (observed > 0) & (error < 0.5)]
    top = float(np.clip(np.nanmax(np.abs(good - 1)) * 1.3, 0.25, 4.0)) if len(good) else 1.0
    axes.set_ylim(max(0.0, 1 - top), 1 + top)


@in_style
def score_distribution(scores: MethodScores, working_points: tuple[float, ...]) -> Drawing:
    """Out-of-fold scores of data and reference, the reference scaled to the data, with the working points."""
    method, first = find_method(scores.method), scores.splits[0]
    data, reference, _ = efficiency_scores(scores.splits)
    edges = np.linspace(0, max(4.0, float(data.max()), float(reference.max())), 51)
    centres = (edges[1:] + edges[:-1]) / 2
    observed = np.histogram(data, edges)[0].astype(float)
    w = first.ref_weight.astype(float)
    raw = np.histogram(reference, edges)[0].astype(float)
    expected = np.histogram(reference, edges, weights=w)[0] * len(data) / w.sum()
    copies = len(reference) / len(np.unique(first.ref_source))
    figure, main, ratio = with_ratio()
    main.stairs(expected, edges, fill=True, color=method.colour, alpha=0.3, label=f"{method.reference} (scaled)")
    poisson_points(main, centres, observed, label="Data in the signal region")
    for eps in working_points:
        cut = -np.log10(eps)
        for axes in (main, ratio):
            axes.axvline(cut, color="#999999", ls="--", lw=1)
        main.text(
            cut, 0.03, f" {eps_text(eps)}", transform=main.get_xaxis_transform(), rotation=90, va="bottom", fontsize=9
        )
    _ratio(ratio, edges, centres, observed, raw / copies, expected)
    main.set(yscale="log", ylabel="Events / bin", ylim=(0.3, None))
    main.set_title(f"{first.window}: {method.label} score, out of fold", loc="left", fontsize=11)
    main.legend(loc="upper right")
    ratio.set(xlabel=r"Score: $-\log_{10}$ of the background efficiency", ylabel="Data / ref.")
    drawn = {"edges": edges, "data": observed, "reference": expected}
    return Drawing(f"{first.window}_{scores.method}_scores", figure, drawn)


@in_style
def closure_forest(closure: Closure) -> Drawing:
    """Observed over predicted in every pseudo signal region, with the combined non-closure, per working point."""
    n, colour = len(closure.points), colour_of(closure.method)
    figure = Figure(figsize=(4.2 * n, 5.4))
    axes = figure.subplots(1, n, sharey=True, squeeze=False)
    rows = np.arange(len(closure.names))[::-1]
    drawn = {}
    for ax, point in zip(axes[0], closure.points, strict=True):
        observed, predicted = np.array(point.observed), np.array(point.predicted)
        value = observed / predicted
        error = np.sqrt(np.maximum(observed, 1) / predicted**2 + (value * np.array(point.relative_error)) ** 2)
        mu, sigma = point.effects.mu, point.effects.sigma
        ax.axvspan(np.exp(mu - sigma), np.exp(mu + sigma), color=colour, alpha=0.2, lw=0)
        ax.axvline(np.exp(mu), color=colour, lw=1.5)
        ax.axvline(1, color="#555555", ls="--", lw=1)
        ax.errorbar(value, rows, xerr=error, fmt="o", ms=4, lw=1.2, color=DATA)
        ax.set_xlabel("Observed / predicted")
        ax.set_title(
            f"{eps_text(point.eps_bkg)}\nnon-closure {100 * (np.exp(mu) - 1):+.1f} % $\\pm$ {100 * sigma:.1f} %",
            fontsize=10.5,
        )
        ax.set_xlim(0, max(2.0, float(np.max(value + error)) * 1.05))
        drawn[f"{point.eps_bkg:g}"] = {
            "observed": observed, "predicted": predicted, "relative_error": point.relative_error, "mu": mu,
            "sigma": sigma, "scatter": point.effects.scatter, "p_homogeneous": point.effects.p_homogeneous,
        }  # fmt: skip
    labels = [f"{a:.4g} – {b:.4g} GeV" for a, b in closure.intervals]
    axes[0, 0].set_yticks(rows, labels)
    figure.suptitle(
        f"{closure.window}, {name_of(closure.method)}: closure in pseudo signal regions (band: bias of a new region)",
        x=0.02, ha="left", fontsize=12, y=1.04,
    )  # fmt: skip
    numbers = {"intervals": closure.intervals, "points": drawn}
    return Drawing(f"{closure.window}_{closure.method}_closure", figure, numbers)
