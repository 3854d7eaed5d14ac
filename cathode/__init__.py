"""cathode: anomaly-detection bump hunts, from events to significances.

`cathode.hunt` does all of it on a table. Below it, one verb after the other; each is a step of the workflow, too:

    events = cathode.Events.from_frame(df, mass="mjj", features=["mj1", "delta_mj"], range=(2300, 8000))
    window = cathode.Window.around(3500, width=400, range=(2300, 8000))
    density = cathode.fit_density(events, window=window)
    template = cathode.make_template(events, density, window=window)
    scores = cathode.score(events, template, window=window)
    closure = cathode.measure_closure(events, window=window)
    background = cathode.estimate_background(scores, closure)
    results, *workspaces = cathode.infer(background, density, events, scores, window=window)

What is listed in `__all__` is public and changes only with notice (CONTRIBUTING.md); everything else is private.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from cathode.version import __version__

if TYPE_CHECKING:
    from cathode.call import Hunt as Hunt
    from cathode.call import hunt as hunt
    from cathode.classifier.method import Method as Method
    from cathode.classifier.methods import score as score
    from cathode.classifier.methods import score_reference as score_reference
    from cathode.classifier.scores import MethodScores as MethodScores
    from cathode.classifier.settings import ClassifierSettings as ClassifierSettings
    from cathode.config import Config as Config
    from cathode.config import load_config as load_config
    from cathode.density.ensemble import DensityEnsemble as DensityEnsemble
    from cathode.density.ensemble import fit_density as fit_density
    from cathode.density.registry import Density as Density
    from cathode.density.settings import DensitySettings as DensitySettings
    from cathode.errors import CathodeError as CathodeError
    from cathode.events import Events as Events
    from cathode.events import Labels as Labels
    from cathode.events import Template as Template
    from cathode.inference.background import BackgroundEstimate as BackgroundEstimate
    from cathode.inference.background import estimate_background as estimate_background
    from cathode.inference.chain import measure_closure as measure_closure
    from cathode.inference.closure import Closure as Closure
    from cathode.inference.counts import select as select
    from cathode.inference.hunt import infer as infer
    from cathode.inference.settings import ClosureSettings as ClosureSettings
    from cathode.inference.truth import evaluate as evaluate
    from cathode.intake.demo import load_demo as load_demo
    from cathode.likelihoods import full_likelihood as full_likelihood
    from cathode.own_signal import limit_signal as limit_signal
    from cathode.regions import Window as Window
    from cathode.report.table import ScanTable as ScanTable
    from cathode.results import HuntResult as HuntResult
    from cathode.spectrum.reference import ReferenceHistogram as ReferenceHistogram
    from cathode.spectrum.scan import scan_masses as scan_masses
    from cathode.spectrum.settings import SpectrumSettings as SpectrumSettings
    from cathode.stats.settings import StatisticsSettings as StatisticsSettings
    from cathode.summary import Summary as Summary
    from cathode.template.make import make_template as make_template
    from cathode.template.settings import TemplateSettings as TemplateSettings
    from cathode.unseen import apply as apply

_HOMES = {
    "BackgroundEstimate": "cathode.inference.background",
    "CathodeError": "cathode.errors",
    "ClassifierSettings": "cathode.classifier.settings",
    "Closure": "cathode.inference.closure",
    "ClosureSettings": "cathode.inference.settings",
    "Config": "cathode.config",
    "Density": "cathode.density.registry",
    "DensityEnsemble": "cathode.density.ensemble",
    "DensitySettings": "cathode.density.settings",
    "Events": "cathode.events",
    "Hunt": "cathode.call",
    "HuntResult": "cathode.results",
    "Labels": "cathode.events",
    "Method": "cathode.classifier.method",
    "MethodScores": "cathode.classifier.scores",
    "ReferenceHistogram": "cathode.spectrum.reference",
    "ScanTable": "cathode.report.table",
    "SpectrumSettings": "cathode.spectrum.settings",
    "StatisticsSettings": "cathode.stats.settings",
    "Summary": "cathode.summary",
    "Template": "cathode.events",
    "TemplateSettings": "cathode.template.settings",
    "Window": "cathode.regions",
    "apply": "cathode.unseen",
    "estimate_background": "cathode.inference.background",
    "evaluate": "cathode.inference.truth",
    "fit_density": "cathode.density.ensemble",
    "hunt": "cathode.call",
    "infer": "cathode.inference.hunt",
    "full_likelihood": "cathode.likelihoods",
    "limit_signal": "cathode.own_signal",
    "load_config": "cathode.config",
    "load_demo": "cathode.intake.demo",
    "make_template": "cathode.template.make",
    "measure_closure": "cathode.inference.chain",
    "scan_masses": "cathode.spectrum.scan",
    "score": "cathode.classifier.methods",
    "score_reference": "cathode.classifier.methods",
    "select": "cathode.inference.counts",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    """Public names, imported when first used: `import cathode` alone costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cathode' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
