"""The figures of a hunt in memory, by what they show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cathode.classifier.methods import find_method
from cathode.classifier.scores import MethodScores
from cathode.errors import ConfigError
from cathode.plots.closure import closure_forest
from cathode.plots.drawing import Drawing
from cathode.plots.features import selected_features
from cathode.plots.scores import score_distribution
from cathode.plots.significance import significance
from cathode.plots.spectrum import mass_spectrum, selected_spectrum, spectrum_scan
from cathode.plots.window import of_experiment
from cathode.results import HuntResult

if TYPE_CHECKING:
    from cathode.call import Hunt


@dataclass(frozen=True, repr=False)
class Plots:
    """Figures of a hunt; each shows itself in a notebook, and has `.figure`, `.numbers` and `.save(path)`.

    Without a key they show `best`; a key is a working point or (method, working point).

    Attributes:
        hunt: the hunt.
    """

    hunt: Hunt

    def _scored(self, key: float | tuple[str, float] | None) -> tuple[HuntResult, MethodScores]:
        result = self.hunt._one(key)
        if result.method not in self.hunt.scores:
            raise ConfigError("plot: a blind hunt has no figure of the signal region")
        return result, self.hunt.scores[result.method]

    def bump(self, key: float | tuple[str, float] | None = None) -> Drawing:
        """The mass spectrum behind the cut, with the fit to the sidebands."""
        result, scores = self._scored(key)
        own = [h for h in self.hunt.results if h.method == result.method]
        corner = of_experiment(self.hunt.config.statistics)
        return selected_spectrum(self.hunt.events, scores, self.hunt.window, own, result.eps_bkg, corner)

    def features(self, key: float | tuple[str, float] | None = None) -> Drawing:
        """Features behind the cut against the template. Raises ConfigError for a method without one."""
        result, scores = self._scored(key)
        if self.hunt.template is None or not find_method(result.method).needs_template:
            raise ConfigError(f"plot.features: {result.method} compares with no template")
        points = self.hunt.config.working_points
        return selected_features(self.hunt.events, self.hunt.template, scores, points, result.eps_bkg)

    def closure(self, method: str | None = None) -> Drawing:
        """Observed over predicted in every pseudo signal region."""
        return closure_forest(self.hunt.closures[method or self.hunt.config.searches[0]])

    def scores(self, method: str | None = None) -> Drawing:
        """Scores of data and reference, out of fold."""
        _, scores = self._scored((method or self.hunt.config.methods[0], self.hunt.config.working_points[0]))
        return score_distribution(scores, self.hunt.config.working_points)

    def significance(self) -> Drawing:
        """Local significance of every hunt with its cross-checks."""
        return significance([h for h in self.hunt.results if h.z_local is not None], self.hunt.summary)

    def mass(self) -> Drawing:
        """The mass spectrum before any cut, with what is interpolated across the signal region."""
        return mass_spectrum(
            self.hunt.events,
            self.hunt.density,
            self.hunt.window,
            blind=self.hunt.config.blind,
            experiment=of_experiment(self.hunt.config.statistics),
        )

    def spectrum(self) -> Drawing:
        """The classical bump hunt, without features. Raises ConfigError when blind."""
        if self.hunt.spectrum is None:
            raise ConfigError("plot.spectrum: a blind hunt scans no spectrum")
        return spectrum_scan([self.hunt.spectrum])
