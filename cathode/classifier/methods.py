"""The methods by name, and the two verbs that run one: without labels, and with them.

A method of your own is one file with a `Method` and one registration: a line in `_BUILT_IN`, or, from another package, an entry point
of the group `cathode.methods` that names the object.
"""

from __future__ import annotations

import re
from functools import lru_cache

from cathode.classifier.against_strips import CWOLA
from cathode.classifier.against_template import CATHODE
from cathode.classifier.method import Method
from cathode.classifier.scores import MethodScores
from cathode.classifier.settings import ClassifierSettings
from cathode.classifier.with_labels import IDEALISED, SUPERVISED
from cathode.errors import ConfigError, nearest
from cathode.events import Events, Labels, Template
from cathode.progress import reporter
from cathode.regions import Window
from cathode.seeds import derive_seed

ENTRY_POINTS = "cathode.methods"
_BUILT_IN = {method.name: method for method in (CATHODE, CWOLA, IDEALISED, SUPERVISED)}


@lru_cache
def find_method(name: str) -> Method:
    """The method of a name. Raises ConfigError for an unknown one, naming the nearest.

    >>> find_method("cwola").label, find_method("cwola").needs_template, find_method("supervised").uses_labels
    ('CWoLa', False, True)
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS, name=name):
        found = point.load()
        if not isinstance(found, Method) or found.name != name or not re.fullmatch(r"\w+", name):
            raise ConfigError(f"methods: {name} is registered as {point.value}, expected a Method of that name")
        return found
    raise ConfigError(f"methods: found {name}{nearest(name, _BUILT_IN)}, expected {', '.join(_BUILT_IN)}")


def is_reference(name: str) -> bool:
    """Whether a method uses truth and is therefore no search."""
    return find_method(name).uses_labels


def searches(methods: tuple[str, ...]) -> list[str]:
    """Those of some methods that are searches: they use no labels."""
    return [m for m in methods if not find_method(m).uses_labels]


def score(
    events: Events,
    template: Template | None = None,
    spare: Events | None = None,
    *,
    window: Window,
    method: str = "cathode",
    classifier: ClassifierSettings = ClassifierSettings(),
    seed: int = 1,
    device: str = "auto",
) -> MethodScores:
    """Train the classifier of a method that needs no labels, k-fold, and score out of fold; once per fold split.

    Raises ConfigError for a method that needs labels or a template that is not there, FitError where a class is too small.
    """
    found = find_method(method)
    if found.uses_labels:
        raise ConfigError(f"--method: {method} needs truth labels, expected score_reference")
    return found.score(
        events,
        window,
        classifier,
        template=template,
        labels=None,
        spare=spare,
        seed=derive_seed(seed, f"score_{method}", window.name),
        device=device,
        checks=True,
        progress=reporter("fold"),
    )


def score_reference(
    events: Events,
    labels: Labels,
    spare: Events | None = None,
    *,
    window: Window,
    method: str = "idealised",
    classifier: ClassifierSettings = ClassifierSettings(),
    seed: int = 1,
    device: str = "auto",
) -> MethodScores:
    """Train a reference classifier with truth labels and score out of fold. Raises as `score`."""
    found = find_method(method)
    if not found.uses_labels:
        raise ConfigError(f"--method: {method} is no reference classifier, expected score")
    return found.score(
        events,
        window,
        classifier,
        template=None,
        labels=labels,
        spare=spare,
        seed=derive_seed(seed, "score_reference", method, window.name),
        device=device,
        checks=True,
        progress=reporter("fold"),
    )
