"""Mass spectra: behind a cut, where the bump is if there is one, and the classical scan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cathode.classifier.scores import MethodScores
from cathode.events import Events
from cathode.inference.counts import count_passing, passing, passing_sideband
from cathode.inference.hunt import sideband_bins
from cathode.plots.style import (
    DATA,
    FIT,
    SIGNAL_REGION,
    Drawing,
    colour_of,
    eps_text,
    in_style,
    name_of,
    poisson_points,
    with_ratio,
)
from cathode.regions import Window, count_in_bins
from cathode.results import HuntResult
from cathode.spectrum.scan import SpectrumScan
from cathode.stats.counting import z_value


@in_style
def selected_spectrum(events: Events, scores: MethodScores, window: Window, result: HuntResult) -> Drawing:
    """Events that pass in the signal region and in the sidebands around it, with the fit of `result` to the sidebands.

    Sideband events are scored by classifiers that were trained on neither them nor what was made from them.
    """
    first, eps = scores.splits[0], result.eps_bkg
    side, inside = events.mass[events.at(first.side_row)], events.mass[events.at(first.row)]
    side_passes, passes = passing_sideband(scores.splits, eps), passing(scores.splits, eps)
    fit, shape = result.mass_fit, result.sculpting
    low, high = window.signal
    inner = np.linspace(low, high, 9)
    edges = np.concatenate([sideband_bins(side, window), np.stack([inner[:-1], inner[1:]], axis=1)])
    edges = edges[np.argsort(edges[:, 0])]
    counts = count_in_bins(np.concatenate([side, inside]), edges, np.concatenate([side_passes, passes]))
    centres, widths = edges.mean(axis=1), edges[:, 1] - edges[:, 0]
    unit = window.width / 8
    figure, main, ratio = with_ratio()
    poisson_points(main, centres, counts, unit / widths, label=f"Events with {eps_text(eps)}")
    template = count_passing(scores.splits, eps).n_bkg * unit / window.width
    main.hlines(
        template, low, high, color=colour_of(scores.method), ls=":", lw=2, label="Reference, mean of the region"
    )
    drawn: dict[str, object] = {"edges": edges, "counts": counts, "template_per_bin": template}
    if fit:
        curve = fit.chosen.density(centres) * widths
        fine = np.linspace(edges.min(), edges.max(), 300)
        label = (
            f"Sideband fit ({fit.chosen.family}, {fit.chosen.n_parameters} parameters, p = {fit.chosen.p_value:.2g})"
        )
        main.plot(fine, fit.chosen.density(fine) * unit, color=FIT, lw=1.6, label=label)
        pull = (counts - curve) / np.sqrt(np.maximum(curve, 1e-9))
        ratio.bar(centres, pull, widths * 0.9, color=DATA, alpha=0.6)
        drawn |= {"fit": curve, "expected": fit.chosen.expected, "sigma": fit.sigma, "n_obs": fit.n_obs, "z": fit.z}
        drawn["alternates"] = [a.expected for a in fit.alternates]
    if shape:
        drawn["efficiency_slope"] = [shape.slope, shape.slope_error, shape.p_value]
    ratio.axhline(0, color="#555555", lw=1)
    for axes in (main, ratio):
        axes.axvspan(low, high, color=SIGNAL_REGION, alpha=0.35, lw=0, label="Signal region" if axes is main else None)
    main.set(ylabel=f"Events / {unit:.3g} GeV", ylim=(0, None))
    note = "" if fit is None else ", no function fits" if fit.z is None else f", mass fit z = {fit.z:.1f}"
    main.set_title(f"{window.name}: mass after the {name_of(scores.method)} selection{note}", loc="left", fontsize=11)
    main.legend(fontsize=9)
    ratio.set(xlabel="Resonant mass $m$ [GeV]", ylabel="(Data − fit)/$\\sqrt{\\mathrm{fit}}$")
    return Drawing(f"{window.name}_{scores.method}_selected_spectrum", figure, drawn)


@in_style
def spectrum_scan(scans: Sequence[SpectrumScan]) -> Drawing:
    """Local significance of a Gaussian signal in the inclusive spectrum against its mass, one panel per width of the signal."""
    figure = Figure(figsize=(8, 3.6 * len(scans)))
    drawn = []
    for ax, scan in zip(figure.subplots(len(scans), 1, squeeze=False)[:, 0], scans, strict=True):
        for level in (-2, 2):
            ax.axhline(level, color="#999999", ls=":", lw=1)
        ax.axhline(0, color="#555555", lw=1)
        ax.plot(scan.masses, scan.z, color=DATA, lw=1.6)
        note = "no function describes the spectrum" + (f" (p = {scan.p_value:.2g})" if scan.p_value is not None else "")
        if scan.z_local is not None and scan.best_mass is not None and scan.p_global is not None:
            ax.plot([scan.best_mass], [scan.z_local], "o", color=colour_of("cathode"), ms=6)
            fit = f"fit p = {scan.p_value:.2g}" if not scan.apart else "background fitted to what is not shaded"
            note = (
                f"largest {scan.z_local:.1f} at {scan.best_mass:.5g} GeV, global {z_value(scan.p_global):.1f} ({fit})"
            )
        for interval in scan.apart:
            ax.axvspan(*interval, color=SIGNAL_REGION, alpha=0.35, lw=0)
        ax.set(xlabel="Signal mass [GeV]", ylabel="Local significance", xlim=scan.fit_range)
        ax.set_ylim(-4, max(4.5, (scan.z_local or 0) + 1))
        ax.set_title(f"Inclusive spectrum, signal of {scan.width:.4g} GeV: {note}", loc="left", fontsize=11)
        drawn.append({"width": scan.width, "masses": scan.masses, "z": scan.z, "p_global": scan.p_global})
    figure.tight_layout()
    return Drawing("spectrum_scan", figure, {"scans": drawn})
