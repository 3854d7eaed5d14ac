"""Figures of the calibration: pulls of the classifier, p-values without signal, measured against injected signal."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import beta, norm

from cathode.plots.style import COLOURS, NAMES, WORKING_POINT_COLOURS, eps_text, save
from cathode.results import Figures


def draw(overdispersion: dict[str, Any], background_only: dict[str, Any], injection: dict[str, Any]) -> Figures:
    """All figures of the calibration."""
    files = pulls(overdispersion).files | p_values(background_only).files
    return Figures(files | signal_response(injection).files | efficiency(injection).files)


def pulls(tree: dict[str, Any]) -> Figures:
    """Pulls of counts where there is nothing to find, against the unit normal, per method and working point."""
    methods = list(tree["z"])
    points = list(tree["z"][methods[0]])
    figure, axes = plt.subplots(
        len(methods), len(points), figsize=(3.6 * len(points), 2.9 * len(methods)), squeeze=False, sharex=True
    )
    edges = np.linspace(-5, 5, 26)
    grid = np.linspace(-5, 5, 201)
    for i, method in enumerate(methods):
        for j, eps in enumerate(points):
            ax, z = axes[i, j], np.clip(tree["z"][method][eps], -4.99, 4.99)
            counts = np.histogram(z, edges)[0]
            ax.stairs(counts, edges, fill=True, color=COLOURS[method], alpha=0.35)
            scale = len(z) * (edges[1] - edges[0])
            v0, error = tree["v0"][method][eps], tree["v0_error"][method][eps]
            ax.plot(grid, scale * norm.pdf(grid), color="#555555", lw=1.2, label="unit normal")
            ax.plot(
                grid, scale * norm.pdf(grid, scale=np.sqrt(v0)), color=COLOURS[method], lw=1.5, label="measured width"
            )
            ax.set_title(f"{NAMES[method]}, {eps_text(float(eps))}\n$v_0$ = {v0:.2f} $\\pm$ {error:.2f}", fontsize=10)
            if i == len(methods) - 1:
                ax.set_xlabel("Pull (counting errors only)")
        axes[i, 0].set_ylabel("Pseudo-experiments")
    axes[0, 0].legend(fontsize=8, loc="upper left")
    figure.suptitle(
        f"Classifier calibration: {tree['n_toys']} pseudo-experiments without anything to find",
        x=0.02,
        ha="left",
        y=1.02,
    )
    figure.tight_layout()
    return save(figure, "calibration_overdispersion", {k: tree[k] for k in ("n_toys", "v0", "v0_error", "z", "sizes")})


def p_values(tree: dict[str, Any]) -> Figures:
    """Ordered p-values of background-only pseudo-experiments against uniform ones, with the 68 and 95 % bands."""
    verdicts = tree["verdicts"]
    methods = list(dict.fromkeys(v["method"] for v in verdicts))
    figure, axes = plt.subplots(1, len(methods), figsize=(5.6 * len(methods), 4.8), squeeze=False)
    drawn = []
    for ax, method in zip(axes[0], methods, strict=True):
        mine = [v for v in verdicts if v["method"] == method]
        n = mine[0]["n"]
        rank = np.arange(1, n + 1)
        expected = rank / (n + 1)
        for level, alpha in ((0.95, 0.12), (0.68, 0.22)):
            low, high = beta.ppf((1 - level) / 2, rank, n - rank + 1), beta.ppf((1 + level) / 2, rank, n - rank + 1)
            ax.fill_between(expected, low, high, color="#555555", alpha=alpha, lw=0)
        ax.plot([0.3 / n, 1], [0.3 / n, 1], color="#555555", lw=1)
        for i, v in enumerate(mine):
            p = sorted(
                e["p_mid"] for e in tree["experiments"] if e["method"] == method and e["eps_bkg"] == v["eps_bkg"]
            )
            text = "uniform" if v["passes"] else "conservative" if v["conservative"] else "NOT uniform"
            label = f"{eps_text(v['eps_bkg'])}: KS p = {v['ks_p']:.2f}, {text}"
            ax.plot(expected, p, ".", ms=5, color=WORKING_POINT_COLOURS[i % len(WORKING_POINT_COLOURS)], label=label)
            drawn.append({**v, "p_mid": p})
        ax.set(xscale="log", yscale="log", xlabel="Expected p-value", ylabel="p-value (mid-p)", xlim=(0.5 / n, 1.05))
        ax.set_title(f"{NAMES[method]}: {n} background-only pseudo-experiments", loc="left", fontsize=11)
        ax.legend(fontsize=8.5, loc="lower right", title="bands: 68 and 95 %, each point by itself", title_fontsize=8)
    return save(figure, "calibration_background_only", {"verdicts": drawn})


def signal_response(tree: dict[str, Any]) -> Figures:
    """Measured against injected signal behind the cut, and the pulls, per method and working point."""
    fits = tree["fits"]
    if not fits:
        figure, ax = plt.subplots(figsize=(6, 1.2))
        ax.text(0, 0.5, "No labelled signal to inject, or no injections configured.")
        ax.axis("off")
        return save(figure, "calibration_injection", {"fits": []})
    methods = list(dict.fromkeys(f["method"] for f in fits))
    points = list(dict.fromkeys(f["eps_bkg"] for f in fits))
    figure, axes = plt.subplots(
        len(methods), len(points), figsize=(4.1 * len(points), 3.9 * len(methods)), squeeze=False
    )
    for fit in fits:
        ax = axes[methods.index(fit["method"]), points.index(fit["eps_bkg"])]
        mine = [p for p in tree["points"] if p["method"] == fit["method"] and p["eps_bkg"] == fit["eps_bkg"]]
        true, estimated = (np.array([p[k] for p in mine]) for k in ("n_signal_passing", "n_signal_estimated"))
        ax.errorbar(
            true, estimated, [p["error"] for p in mine], fmt="o", ms=3, lw=0.6, alpha=0.6, color=COLOURS[fit["method"]]
        )
        line = np.array([0.0, max(float(true.max()), 1.0)])
        ax.plot(line, line, color="#555555", ls="--", lw=1)
        ax.plot(line, fit["slope"] * line + fit["intercept"], color=COLOURS[fit["method"]], lw=1.5)
        ax.set_title(
            f"{NAMES[fit['method']]}, {eps_text(fit['eps_bkg'])}: {'passes' if fit['passes'] else 'fails'}\n"
            f"slope {fit['slope']:.2f} $\\pm$ {fit['slope_error']:.2f}, pulls {fit['pull_mean']:+.2f}, width {fit['pull_sd']:.2f}",
            fontsize=9.5,
        )
        ax.set(xlabel="Injected signal behind the cut", ylabel="Measured signal")
    figure.tight_layout()
    return save(figure, "calibration_injection", {"fits": fits, "points": tree["points"]})


def efficiency(tree: dict[str, Any]) -> Figures:
    """Signal efficiency and median significance against the injected signal."""
    rows = tree.get("efficiency") or []
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2))
    styles = {"cathode": "o-", "cwola": "s--"}
    for method in dict.fromkeys(r["method"] for r in rows):
        for i, eps in enumerate(dict.fromkeys(r["eps_bkg"] for r in rows)):
            mine = [r for r in rows if r["method"] == method and r["eps_bkg"] == eps]
            colour = WORKING_POINT_COLOURS[i % len(WORKING_POINT_COLOURS)]
            label = f"{NAMES[method]}, {eps_text(eps)}"
            x = [r["strength"] for r in mine]
            axes[0].errorbar(
                x, [r["eps_sig"] for r in mine], [r["eps_sig_error"] for r in mine], fmt=styles[method], ms=4,
                color=colour, label=label,
            )  # fmt: skip
            axes[1].plot(x, [r["z_median"] for r in mine], styles[method], ms=4, color=colour, label=label)
    for level in (3, 5):
        axes[1].axhline(level, color="#999999", ls="--", lw=1)
    axes[0].set(xlabel="Injected signal $S/\\sqrt{B}$", ylabel="Signal efficiency", ylim=(0, None))
    axes[1].set(xlabel="Injected signal $S/\\sqrt{B}$", ylabel="Median local significance")
    if rows:
        axes[0].legend(fontsize=8.5)
    figure.suptitle("Injected signal: how much passes, and what it is worth", x=0.12, ha="left", fontsize=12)
    return save(figure, "calibration_efficiency", {"efficiency": rows})
