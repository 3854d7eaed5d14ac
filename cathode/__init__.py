"""cathode: anomaly-detection bump hunts, from events to significances.

The package works without Snakemake. The steps of the workflow are plain functions in `cathode.steps`; the pieces below are
what a notebook usually needs.
"""

from cathode.version import __version__

__all__ = [
    "BackgroundSettings",
    "ClassifierSettings",
    "Config",
    "Events",
    "HistogramDensity",
    "MassModel",
    "Window",
    "__version__",
    "count_passing",
    "fit_ensemble",
    "load_config",
    "measure_closure",
    "p_predictive",
    "prepare_events",
]

_HOMES = {
    "BackgroundSettings": "cathode.template",
    "ClassifierSettings": "cathode.classifier",
    "Config": "cathode.config",
    "Events": "cathode.events",
    "HistogramDensity": "cathode.template",
    "MassModel": "cathode.template",
    "Window": "cathode.regions",
    "count_passing": "cathode.counts",
    "fit_ensemble": "cathode.template",
    "load_config": "cathode.config",
    "measure_closure": "cathode.closure",
    "p_predictive": "cathode.stats.counting",
    "prepare_events": "cathode.intake",
}


def __getattr__(name: str) -> object:
    """Public names, imported when first used: `import cathode` alone costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cathode' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
