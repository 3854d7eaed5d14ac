"""What labels say: how well a score separates signal from background, and the true counts behind each cut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cathode.classifier.scores import MethodScores
from cathode.events import Events, Labels
from cathode.inference.counts import efficiency_scores, select_events
from cathode.regions import Window
from cathode.results import Truth, TruthPoint

Array = NDArray[np.float64]

SIC_MIN_BACKGROUND = 25


@dataclass(frozen=True)
class Roc:
    """Background and signal efficiencies at decreasing thresholds, without the point (0, 0).

    Attributes:
        eps_bkg: (k,) background efficiencies.
        eps_sig: (k,) signal efficiencies.
        auc: area under eps_sig against 1 - eps_bkg.
        n_bkg: background events behind it.
    """

    eps_bkg: Array
    eps_sig: Array
    auc: float
    n_bkg: int

    @property
    def sic_floor(self) -> float:
        """The smallest background efficiency at which SIC is quoted: 25 background events, 20 % statistical error."""
        return min(1.0, SIC_MIN_BACKGROUND / self.n_bkg)

    def eps_sig_at(self, eps_bkg: float) -> float:
        """Signal efficiency at a background efficiency, linear between points."""
        return float(np.interp(eps_bkg, np.r_[0.0, self.eps_bkg], np.r_[0.0, self.eps_sig]))

    def sic(self, eps_bkg: float) -> float:
        """Significance improvement eps_sig / sqrt(eps_bkg); 1 for no cut, sqrt(eps_bkg) for a random score."""
        return self.eps_sig_at(eps_bkg) / float(np.sqrt(eps_bkg))

    def max_sic(self) -> float:
        """The largest SIC above `sic_floor`."""
        quoted = self.eps_bkg >= self.sic_floor
        return float(np.max(self.eps_sig[quoted] / np.sqrt(self.eps_bkg[quoted]))) if quoted.any() else 1.0


def roc(signal: Array, background: Array, n_points: int = 200) -> Roc:
    """ROC curve of the scores of labelled signal `(s,)` and background `(b,)`, at background quantiles evenly spaced in log.

    AUC is the area under eps_sig against 1 - eps_bkg: 0.5 for a random score.
    """
    from sklearn.metrics import roc_auc_score

    ordered = np.sort(background)[::-1]
    index = np.unique(np.geomspace(1, len(ordered), n_points).astype(int)) - 1
    cut = ordered[index]
    eps_sig = 1 - np.searchsorted(np.sort(signal), cut, side="left") / len(signal)
    eps_bkg = 1 - np.searchsorted(ordered[::-1], cut, side="left") / len(ordered)
    labels = np.repeat([1, 0], [len(signal), len(background)])
    auc = float(roc_auc_score(labels, np.concatenate([signal, background])))
    return Roc(eps_bkg, eps_sig, auc, len(background))


def evaluate_hunts(
    events: Events,
    labels: Labels,
    scores: Iterable[MethodScores],
    *,
    regions: tuple[Window, ...],
    working_points: tuple[float, ...] = (0.1, 0.01, 0.001),
) -> tuple[Truth, ...]:
    """ROC, SIC and true counts of every window and method, in the order of their scores. Nothing that a hunt claims sees the labels."""
    windows = {w.name: w for w in regions}
    return tuple(
        evaluate(events, labels, s, window=windows[s.splits[0].window], working_points=working_points) for s in scores
    )


def evaluate(
    events: Events,
    labels: Labels,
    scores: MethodScores,
    *,
    window: Window,
    working_points: tuple[float, ...] = (0.1, 0.01, 0.001),
) -> Truth:
    """ROC, SIC and true counts of one method, where labels exist; without, an empty evaluation."""
    if not labels.known:
        return Truth(window=window.name, method=scores.method)
    label = labels.label[window.in_signal(events.mass)]
    score, _, spare = efficiency_scores(scores.splits)
    signal, background = np.concatenate([score[label == 1], spare]), score[label == 0]
    curve = roc(signal, background) if len(signal) >= 25 and len(background) else None
    entries = tuple(
        TruthPoint(
            n_sig_sr=int(label.sum()),
            n_sig_obs=int(label[select_events(scores.splits, eps, score)].sum()),
            auc=curve.auc if curve else None,
            max_sic=curve.max_sic() if curve else None,
            sic=curve.sic(eps) if curve else None,
        )
        for eps in working_points
    )
    if curve is None:
        return Truth(window=window.name, method=scores.method, entries=entries)
    return Truth(
        window=window.name,
        method=scores.method,
        entries=entries,
        eps_bkg=tuple(curve.eps_bkg.tolist()),
        eps_sig=tuple(curve.eps_sig.tolist()),
        sic_floor=curve.sic_floor,
    )
