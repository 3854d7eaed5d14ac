"""What a step declares, and which code it is made of, read from the source: nothing is imported, so that asking costs milliseconds."""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cathode.errors import ConfigError, nearest
from cathode.steps import STEPS, WILDCARDS

ROOT = Path(__file__).parents[1]
_TARGET = re.compile(r"(cathode(?:\.\w+)+):\w+")
_EDGE = (
    "io.py",
    "nested.py",
    "checksums.py",
    "artefacts.py",
    "steps/run.py",
)  # how every step reads and writes; what these import is none of its business


@dataclass(frozen=True)
class Declared:
    """A step's signature.

    Attributes:
        step: its name.
        module: where its function stands.
        function: name of the function.
        doc: its docstring.
        artefacts: positional parameters, the artefacts it reads.
        sections: keyword parameters that are sections of the configuration.
        wildcards: keyword parameters that are wildcards, but for the window, which is a section.
        used: whether it wants to know what the run took.
    """

    step: str
    module: str
    function: str
    doc: str
    artefacts: tuple[str, ...]
    sections: tuple[str, ...]
    wildcards: tuple[str, ...]
    used: bool

    @property
    def command(self) -> str:
        """Its name on the command line."""
        return self.step.replace("_", "-")

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return self.doc.splitlines()[0] if self.doc else ""


@lru_cache
def declared(step: str) -> Declared:
    """The declaration of a step. Raises ConfigError for an unknown one."""
    if step not in STEPS:
        raise ConfigError(f"found step {step}{nearest(step, STEPS)}, expected one of {', '.join(STEPS)}")
    module, _, function = STEPS[step].partition(":")
    found = next(
        node for node in _tree(_file(module)).body if isinstance(node, ast.FunctionDef) and node.name == function
    )
    keywords = tuple(a.arg for a in found.args.kwonlyargs)
    artefacts = tuple(a.arg for a in found.args.args)
    reads_density = any("DensityEnsemble" in ast.unparse(a.annotation) for a in found.args.args if a.annotation)
    sections = tuple(k for k in keywords if k not in WILDCARDS and k != "used")
    if reads_density:  # only the density that the configuration names may be rebuilt from a file
        sections += ("density_model",)
    return Declared(
        step=step,
        module=module,
        function=function,
        doc=inspect.cleandoc(ast.get_docstring(found) or ""),
        artefacts=artefacts,
        sections=sections,
        wildcards=tuple(k for k in keywords if k in WILDCARDS),
        used="used" in keywords,
    )


@lru_cache
def code_sha256(step: str) -> str:
    """Checksum of the code that a step is made of: its module, all that this imports in turn, and templates beside them."""
    files = {ROOT / name for name in _EDGE}
    for module in _closure(declared(step).module):
        files |= {module, *module.parent.glob("*.j2")}
    return hashlib.sha256("".join(map(_fingerprint, sorted(files))).encode()).hexdigest()[:16]


def _closure(module: str) -> set[Path]:
    """Files of a module and of every module of the package that it imports, anywhere in its code."""
    found: set[Path] = set()
    waiting = [_file(module)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [_file(name) for name in _imports(path)]
    return found


@lru_cache
def _fingerprint(path: Path) -> str:
    """Name and checksum of a file."""
    return f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@lru_cache
def _imports(path: Path) -> frozenset[str]:
    """Modules of the package that a file imports or names as `module:object`; not those that only type checkers see."""
    found = set(_TARGET.findall(path.read_text(encoding="utf-8")))
    for node in _statements(_tree(path).body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in found - {"cathode"} if _is_module(name))


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements, those inside others too, without blocks that only type checkers see."""
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(node, part, []))


def _is_module(name: str) -> bool:
    return name.startswith("cathode.") and _file(name).exists()


@lru_cache
def _file(module: str) -> Path:
    base = ROOT.joinpath(*module.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


@lru_cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
