"""What a hunt found, in five lines, and whether to trust it: one light per question, with a sentence and what to do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scipy.optimize import brentq

from cathode import io
from cathode.calibration.results import BackgroundOnly, SignalResponse
from cathode.classifier.methods import find_method, is_reference
from cathode.results import HuntResult
from cathode.spectrum.mass_fit import z_profile
from cathode.summary import Summary

State = Literal["good", "doubt", "missing"]
SYMBOLS = {"good": "✔", "doubt": "▲", "missing": "✘"}
EXCESS, MILD = 3.0, 2.0  # standard deviations, global: from where it is called an excess, a mild one
_APART = 2.0  # standard deviations between significances of one count, from which they disagree

# which light the flags of a hunt belong to, by their first word
_LIGHT_OF = {
    "closure": "closure",
    "density": "closure",
    "sculpting": "sculpting",
    "mass fit of the sidebands": "mass fit",
    "mass fit of the selected sidebands": "mass fit",
    "pyhf": "cross-checks",
    "calibration": "calibration",
    "statistics": "statistics",
    "limit": "statistics",
}
_CALIBRATE = "`cathode calibrate` runs pseudo-experiments that measure whether the p-values are right (hours)"
_MISCALIBRATED = "do not quote this p-value before it is understood: calibration/ holds every pseudo-experiment"
_MISMEASURED = "the p-value holds, the measured signal and its limit do not: calibration/ holds every injection"
_ADVICE = {
    "events": "look at what `cathode check` says of these events before anything else",
    "closure": "another density (background.model), fewer or better features, a shorter windows.range; the measured bias is in the result",
    "sculpting": "leave out or transform the features that follow the mass (`cathode check` lists their correlation)",
    "cross-checks": "compare the figures behind the selection; a signal raises all of them, an artefact only some",
    "mass fit": "a shorter windows.range, or above the turn-on of the spectrum; yields and limits rest on this fit",
    "inclusive": "a feature-driven excess is part of the inclusive one: look for what else the selected events have in common",
    "calibration": _CALIBRATE,
    "statistics": "more events near the window, or looser working points",
}  # fmt: skip


@dataclass(frozen=True)
class Calibration:
    """What `cathode calibrate` measured.

    Attributes:
        null: pseudo-experiments without signal.
        response: with injected signals.
    """

    null: BackgroundOnly
    response: SignalResponse


@dataclass(frozen=True)
class Light:
    """One question of whether a hunt can be trusted.

    Attributes:
        name: what it asks about.
        state: good; doubt: something speaks against it; missing: not looked at.
        sentence: what was found.
        advice: what to do about it; empty where all is well.
    """

    name: str
    state: State
    sentence: str
    advice: str

    @property
    def symbol(self) -> str:
        """One character for the state."""
        return SYMBOLS[self.state]


def quoted(summary: Summary) -> HuntResult:
    """The hunt that a verdict speaks of: `Summary.best`; when blind, the middle working point of the first."""
    if summary.best is not None:
        return summary.best
    first = [h for h in summary.hunts if (h.window, h.method) == (summary.hunts[0].window, summary.hunts[0].method)]
    return sorted(first, key=lambda h: h.eps_bkg)[len(first) // 2]


def lights(summary: Summary, hunt: HuntResult | None = None, calibration: Calibration | None = None) -> list[Light]:
    """Whether one hunt (None: the quoted one) can be trusted, question by question."""
    h = quoted(summary) if hunt is None else hunt
    found = [_events(summary), _closure(h)]
    if h.z_local is not None:
        found += [_sculpting(h), _cross_checks(h), _inclusive(summary, h)]
    elif any(_belongs(flag, "mass fit") for flag in h.flags):
        found.append(_light("mass fit", h, ""))
    return [*found, _calibration(summary, h, calibration), _statistics(h)]


def _light(name: str, h: HuntResult | None, good: str, doubt: str = "", *, missing: str = "") -> Light:
    """Doubtful where `doubt` or a flag of the hunt says so."""
    flags = [_after(flag) for flag in (h.flags if h else ()) if _belongs(flag, name)]
    said = [*([doubt] if doubt else []), *flags]
    if missing and not said:
        return Light(name, "missing", missing, _ADVICE[name])
    return Light(name, "doubt" if said else "good", "; ".join(said) if said else good, _ADVICE[name] if said else "")


def _belongs(flag: str, name: str) -> bool:
    return _LIGHT_OF.get(flag.split(":")[0]) == name


def _after(flag: str) -> str:
    topic, _, rest = flag.partition(": ")
    return flag if topic.startswith("mass fit") else rest


def _events(summary: Summary) -> Light:
    return _light("events", None, summary.intake.sentence, "; ".join(summary.intake.doubts))


def _closure(h: HuntResult) -> Light:
    c = h.non_closure
    if c is None:
        return _light("closure", h, "", missing="no pseudo signal regions measured it")
    bias, spread = 100 * math.expm1(c.mean), 100 * c.sigma
    return _light(
        "closure",
        h,
        f"observed over predicted in {c.n_windows} pseudo signal regions is off by {bias:+.1f} ± {spread:.1f} %, which is in the result",
    )


def _sculpting(h: HuntResult) -> Light:
    if h.sculpting is None:
        return _light(
            "sculpting",
            h,
            "",
            missing="too few selected sideband events to see whether the selection depends on the mass",
        )
    return _light(
        "sculpting", h, f"the selection does not depend on the mass in the sidebands (p = {h.sculpting.p_value:.2g})"
    )


def _cross_checks(h: HuntResult) -> Light:
    c, z = h.cross_checks, h.z_local
    if c is None or z is None:
        return _light("cross-checks", h, "", missing="none")
    others = {
        "a mass fit without template": c.z_mass_fit,
        "classifiers that learn from lower folds only": c.z_sequential,
        "conformal p-values against recorded sidebands": c.z_conformal,
    }
    measured = {name: value for name, value in others.items() if value is not None}
    if not measured:
        return _light("cross-checks", h, "", missing="neither a mass fit nor a sequential estimate")
    said = ", ".join(f"{name} {value:.1f}σ" for name, value in measured.items())
    fit = [flag for flag in h.flags if _belongs(flag, "mass fit")]
    apart = [name for name, value in measured.items() if value < z - _APART and z > MILD]
    doubt = f"quoted {z:.1f}σ, but {said}" if apart else ""
    return _light("cross-checks", h, f"quoted {z:.1f}σ, {said}", "; ".join([*([doubt] if doubt else []), *fit]))


def _inclusive(summary: Summary, h: HuntResult) -> Light:
    """Doubtful where more events are selected as excess than all events of the region have, or where only these have one."""
    i = next((i for i in summary.inclusive if i.window == h.window), None)
    if i is None or i.z is None or h.n_obs is None or h.sigma is None:
        return Light("inclusive", "missing", "no fit of the mass spectrum before the selection", _ADVICE["mass fit"])
    selected, whole = h.n_obs - h.n_bkg, i.n_obs - i.expected
    error = math.sqrt(max(i.n_obs - h.n_obs, 0) + i.sigma**2 + h.sigma.total**2)
    text = f"{i.n_obs} events in the region without selection, {i.expected:.0f} ± {i.sigma:.0f} by the fit of the sidebands: {i.z:+.1f}σ"
    doubt = ""
    if (h.z_local or 0.0) > MILD and selected - whole > _APART * error:
        doubt = f"{text}, an excess of {whole:.0f}, smaller than that of {selected:.0f} behind the selection"
    elif i.z > EXCESS and (h.z_local or 0.0) < 1:
        doubt = f"{text}, which the features do not confirm"
    return _light("inclusive", None, text, doubt)


def _calibration(summary: Summary, h: HuntResult, calibration: Calibration | None) -> Light:
    """Doubtful where p-values without signal are too small, or a signal is measured wrongly; larger p-values are safe."""
    if calibration is not None:
        return _calibrated(h, calibration)
    if summary.config["statistics"]["overdispersion"] == "calibrated":
        return _light(
            "calibration",
            h,
            f"the counts' variance over Poisson, {h.overdispersion or 1:.2f}, is measured by pseudo-experiments",
        )
    return _light("calibration", h, "", missing="not run: the counts' variance is set, not measured")


def _calibrated(h: HuntResult, calibration: Calibration) -> Light:
    mine = [v for v in calibration.null.verdicts if (v.method, v.eps_bkg) == (h.method, h.eps_bkg)]
    null = next((v for v in mine if v.window == h.window), mine[0] if mine else None)
    if is_reference(h.method):
        return Light(
            "calibration", "missing", "a method that uses truth labels is not calibrated, and is no search", ""
        )
    if null is None:
        return _light("calibration", h, "", missing="pseudo-experiments did not hunt with this method")
    fit = next((f for f in calibration.response.fits if (f.method, f.eps_bkg) == (h.method, h.eps_bkg)), None)
    found = "uniform" if null.passes else "on the safe side" if null.conservative else "not uniform"
    said = (
        f"p-values of {null.n} pseudo-experiments without signal are {found} (Kolmogorov–Smirnov p = {null.ks_p:.2g}, "
        f"{100 * null.share_below_5_percent:.1f} % below 0.05)"
    )
    if fit is not None:
        said += f"; signals are measured with slope {fit.slope:.2f} ± {fit.slope_error:.2f}, pulls {fit.pull_mean:+.2f} with width {fit.pull_sd:.2f}"
    if h.window != null.window:
        said += f"; measured in window {null.window}"
    if not (null.passes or null.conservative):
        return Light("calibration", "doubt", said, _MISCALIBRATED)
    if fit is not None and not fit.passes:
        return Light("calibration", "doubt", said, _MISMEASURED)
    return Light("calibration", "good", said, "")  # measured: flags that ask for a calibration are answered


def _statistics(h: HuntResult) -> Light:
    passing = (
        f"{h.oversampling.passing:.0f} independent reference events pass"
        if h.oversampling
        else f"{h.n_bkg:.0f} events expected"
    )
    return _light("statistics", h, passing)


def discovery_threshold(h: HuntResult, z: float) -> float:
    """Events from which on a blind hunt would be `z` standard deviations, with counting and closure errors alone.

    Inverts `z_profile` with the error of the closure's mean bias for a new region; what the template adds is known only unblinded,
    so that more are needed.
    """
    b, sigma = h.n_bkg, h.n_bkg * (h.non_closure.sigma if h.non_closure else 0.0)
    return float(brentq(lambda n: z_profile(n, b, sigma) - z, b, b + 10 * (z + 1) * (math.sqrt(b) + sigma + z + 1)))


def verdict(summary: Summary, report: str, calibration: Calibration | None = None) -> list[str]:
    """Five lines: what was found, whether to trust it, what speaks against it, what to do next, and where the report is."""
    h = quoted(summary)
    all_lights = lights(summary, h, calibration)
    trust = "  ".join(f"{light.name} {light.symbol}" for light in all_lights)
    doubts = [light for light in all_lights if light.state == "doubt"]
    unknown = [light for light in all_lights if light.state == "missing"]
    worst = next(iter(doubts or unknown), None)
    first = f"{worst.name}: {worst.sentence}" if worst else "nothing speaks against it"
    more = len(doubts) - 1
    return [
        headline(summary, h),
        f"trust   {trust}",
        f"why     {first}{f' (and {more} more: cathode why {summary.run})' if more > 0 else ''}",
        f"next    {_next(summary, worst)}",
        f"report  {report}",
    ]


def headline(summary: Summary, h: HuntResult) -> str:
    """One sentence with the numbers of a hunt: its own count, and the significances that are quoted, local and global."""
    low, high = h.signal_region
    where = f"{low:.6g}–{high:.6g} GeV"
    how = f"{find_method(h.method).label}, ε_B = {h.eps_bkg:g}"
    quick = "QUICK, not for publication: " if summary.config.get("quick") else ""
    if h.z_local is None or h.sigma is None:
        return (
            f"{quick}BLIND   {where}   {h.n_bkg:.1f} expected behind the selection ({how})   "
            f"3σ from {math.ceil(discovery_threshold(h, 3))}, 5σ from {math.ceil(discovery_threshold(h, 5))} events on"
        )
    joint = summary.joint_of(h)
    if joint and summary.is_joint:  # what is quoted is of all working points, what is counted of one
        how, local = f"{how}: {h.z_local:.1f}σ", joint.z
    else:
        local = h.z_local
    inclusive = next((i.z for i in summary.inclusive if i.window == h.window and i.z is not None), None)
    return (
        f"{quick}{word(summary)}   {where}   {h.n_obs} seen, {h.n_bkg:.1f} ± {h.sigma.total:.1f} expected ({how})   "
        f"{local:.1f}σ local, {summary.z_global:.1f}σ global"
        + (f"   inclusive {inclusive:.1f}σ" if inclusive is not None else "")
    )


def word(summary: Summary) -> str:
    """EXCESS, MILD EXCESS or NO EXCESS, by the global significance; BLIND without one."""
    if summary.z_global is None:
        return "BLIND"
    return "EXCESS" if summary.z_global >= EXCESS else "MILD EXCESS" if summary.z_global >= MILD else "NO EXCESS"


def _next(summary: Summary, worst: Light | None) -> str:
    if summary.config.get("quick"):
        return "the whole hunt, without --quick"
    if worst is not None and (worst.name != "calibration" or worst.state == "doubt"):
        return worst.advice
    if summary.blind:
        return "unblind with blind: false, once choices are fixed"
    return _ADVICE["calibration"] if worst else "publish: cathode export"


def verdict_of_run(folder: Path, *, calibrated: bool = False) -> list[str]:
    """The verdict of a finished run's folder, or that with its calibration. Raises ArtefactError where an artefact is missing."""
    summary: Any = io.read(folder / "summary.json", Summary)
    if not calibrated:
        return verdict(summary, str((folder / "report.html").resolve()))
    return verdict(summary, str((folder / "calibration" / "report.html").resolve()), read_calibration(folder))


def read_calibration(folder: Path) -> Calibration:
    """What `cathode calibrate` measured for the run in this folder. Raises ArtefactError where it is missing."""
    part = folder / "calibration"
    null: Any = io.read(part / "background_only.json", BackgroundOnly)
    response: Any = io.read(part / "injection.json", SignalResponse)
    return Calibration(null, response)
