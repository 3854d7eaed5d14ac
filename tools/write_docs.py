"""Write config/README.md, docs/api.md, docs/commands.md, docs/glossary.md and the rooms in CONTRIBUTING.md from types and docstrings, or check that they are current.

python tools/write_docs.py [--check]
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import json
import re
import sys
import tomllib
from pathlib import Path
from types import FunctionType
from typing import Any

import cathode
from cathode.commands.command import GROUPS
from cathode.published import SCHEMAS
from cathode.report.glossary import GLOSSARY

ROOT = Path(__file__).parents[1]

CONFIG_HEAD = """# Configuration

What a hunt can be told, with the defaults. A file of yours holds only what differs:

```yaml
run: mine
data: {source: files, files: [events.parquet], mass: mjj, features: [mj1, delta_mj]}
windows: {range: [2300, 8000], signal_regions: [[3300, 3700]]}
```

`cathode check mine.yaml` says what would be hunted, `cathode hunt mine.yaml` does it; in a checkout, `snakemake --cores 4 --configfile mine.yaml`.
An unknown key is an error that names the nearest one. Masses and energies are in GeV unless `data.mass_unit` says otherwise. More examples: `config/examples/`.

Written by `make docs` from the code that reads it; `config/schema.json` holds the same for editors.
"""

COMMANDS_HEAD = """# Commands

`cathode COMMAND --help` says the same. Exit codes: 0 done; 1 the run ended with failed jobs; 2 refused, in one line on standard error; 3 out of memory;
130 stopped with Ctrl-C (the same command continues). `cathode completion bash` prints a script that completes all of it in a shell.
Written by `make docs`.
"""

API_HEAD = """# The package

What `from cathode import …` offers. These names are public: they change only with notice (CONTRIBUTING.md); every other name is private.
Written by `make docs` from the docstrings.

"""


def _resolve(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any] | None:
    """The definition that a property refers to, if it is a section or nothing."""
    for option in (node, *node.get("anyOf", [])):
        if "$ref" in option:
            found: dict[str, Any] = schema["$defs"][option["$ref"].split("/")[-1]]
            return found if "properties" in found else None
    return None


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _rows(path: str, part: dict[str, Any], schema: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Table rows of the plain keys of a section, and the tables of the sections inside it."""
    rows, inner = [], []
    for key, node in part["properties"].items():
        name, section = f"{path}{key}", _resolve(node, schema)
        default = node.get("default")
        if section is not None:
            inner.append(_section(name, node.get("description", ""), section, schema))
            if default is None:
                rows.append(f"| `{name}` | `null` | {_cell(node.get('description', ''))} Its keys are below |")
            continue
        said = node.get("description", "")
        if choices := node.get("enum"):
            missing = [str(c) for c in choices if f"`{c}`" not in said]
            said += f" One of {', '.join(f'`{c}`' for c in choices)}." if missing else ""
        if key in part.get("required", []):
            shown = "required"
        else:
            shown = json.dumps(
                node.get("default", {}), ensure_ascii=False
            )  # empty tables are made anew, and not listed
        rows.append(f"| `{name}` | `{_cell(shown)}` | {_cell(said)} |")
    return rows, inner


def _section(path: str, said: str, part: dict[str, Any], schema: dict[str, Any]) -> str:
    rows, inner = _rows(f"{path}.", part, schema)
    head = f"## `{path}`\n\n{part.get('description') or said}\n\n"
    table = "\n".join(["| key | default | |", "|---|---|---|", *rows]) + "\n"
    return "\n".join([head + table, *inner])


def configuration() -> str:
    """One table per section, one row per key."""
    schema = SCHEMAS["config"]()
    rows, inner = _rows("", schema, schema)
    table = "\n".join(["| key | default | |", "|---|---|---|", *rows]) + "\n"
    return "\n".join([CONFIG_HEAD, table, *inner])


def _short(annotation: object) -> str:
    """A type by the name that a reader imports."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:cathode|numpy|pandas|collections|typing)(?:\.\w+)*\.(?=\w)", "", text)


def _signature(name: str, obj: Any) -> str:
    """A call as one would write it, with the defaults; settings that are all default are shown as such."""
    signature = inspect.signature(obj)
    shown, keyword_only = [], False
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            shown.append("*")
        text = parameter.name
        if parameter.kind is parameter.VAR_POSITIONAL:
            keyword_only, text = True, f"*{text}"
        if parameter.annotation is not parameter.empty:
            text += f": {_short(parameter.annotation)}"
        default = parameter.default
        if dataclasses.is_dataclass(default) and not isinstance(default, type) and default == type(default)():
            text += f" = {type(default).__name__}()"
        elif default is not parameter.empty:
            text += f" = {default!r}"
        shown.append(text)
    returned = "" if signature.return_annotation is signature.empty else f" -> {_short(signature.return_annotation)}"
    line = f"{name}({', '.join(shown)}){returned}"
    if len(line) <= 120:
        return line
    return "\n".join([f"{name}(", *(f"    {text}," for text in shown), f"){returned}"])


def _public_members(cls: type) -> list[tuple[str, Any]]:
    """Methods and properties that the package defines for a class and documents."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("cathode"):
            found |= vars(base)
    wanted = (FunctionType, classmethod, staticmethod, property)
    return [(n, m) for n, m in found.items() if not n.startswith("_") and isinstance(m, wanted) and inspect.getdoc(m)]


def _described(obj: object) -> str:
    """A docstring as Markdown: lists of its sections as a block that keeps its lines."""
    text = inspect.getdoc(obj) or ""
    parts = re.split(r"^((?:Attributes|Args|Returns|Raises|Yields|Example|Examples):)$", text, flags=re.M)
    paragraphs = parts[0].strip().split("\n\n")
    out = [f"```python\n{text}\n```" if text.startswith(">>>") else text for text in paragraphs]
    for head, body in zip(parts[1::2], parts[2::2], strict=True):
        out.append(f"```text\n{head}\n{body.strip(chr(10)).rstrip()}\n```")
    return "\n\n".join(out)


def _entry(name: str) -> str:
    obj = getattr(cathode, name)
    if not isinstance(obj, type):
        return f"## `{name}`\n\n```python\n{_signature(name, obj)}\n```\n\n{_described(obj)}\n"
    lines = [f"## `{name}`\n"]
    if dataclasses.is_dataclass(obj) or name == "Density":
        lines.append(_described(obj) + "\n")
    else:
        lines.append(f"```python\n{_signature(name, obj)}\n```\n\n{_described(obj)}\n")
    for member, value in _public_members(obj):
        call = "" if isinstance(value, property) else _signature(member, getattr(obj, member))
        lines.append(f"### `{name}.{member}`\n")
        if call:
            lines.append(f"```python\n{call}\n```\n")
        lines.append(_described(value) + "\n")
    return "\n".join(lines)


def interface() -> str:
    """Every public name, the call first, then in alphabetical order."""
    names = [n for n in cathode.__all__ if n not in ("__version__", "hunt", "Hunt")]
    return API_HEAD + "\n".join(_entry(name) for name in ("hunt", "Hunt", *names))


def rooms() -> str:
    """CONTRIBUTING.md with the layers of the package, from the import rules and the first line of each docstring."""
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    rows = []
    for layer in rules[0]["layers"]:
        for name in layer.split(" | "):
            path = ROOT / "cathode" / name
            source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            said = (ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "").splitlines()[0]
            rows.append(f"| `{name}{'/' if path.is_dir() else '.py'}` | {_cell(said)} |")
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    before, rest = text.split("<!-- rooms -->")
    table = "\n".join(["| room | |", "|---|---|", *rows])
    return f"{before}<!-- rooms -->\n{table}\n<!-- end -->{rest.split('<!-- end -->', 1)[1]}"


def commands() -> str:
    """Every command with its flags."""
    parts = [COMMANDS_HEAD]
    for title, group in GROUPS.items():
        parts.append(f"## {title[0].upper()}{title[1:]}\n")
        for name, command in group.items():
            parser = argparse.ArgumentParser(prog=f"cathode {name}", add_help=False)
            command.add(parser)
            parts.append(f"### `cathode {name}`\n\n{command.text[0].upper()}{command.text[1:]}.\n\n{_flags(parser)}")
    return "\n".join(parts)


def _flags(parser: argparse.ArgumentParser) -> str:
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            rows += [f"| `{choice.dest}` | {_cell(choice.help)} |" for choice in action._choices_actions]
            continue
        names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        value = "" if not action.option_strings or action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
        said = (action.help or "") + (f" One of {', '.join(map(str, action.choices))}." if action.choices else "")
        rows.append(f"| `{names}{value}` | {_cell(said)} |")
    table = "\n".join(["| argument | |", "|---|---|", *rows]) + "\n" if rows else ""
    return table + (f"\n{parser.epilog}\n" if parser.epilog else "")


def glossary() -> str:
    """The report's glossary."""
    return "# Glossary\n\n" + "\n".join(f"**{word}**\n: {meaning}\n" for word, meaning in GLOSSARY.items())


PAGES = {
    "config/README.md": configuration,
    "docs/api.md": interface,
    "docs/commands.md": commands,
    "docs/glossary.md": glossary,
    "CONTRIBUTING.md": rooms,
}


def main(check: bool) -> int:
    """Write the pages; with `check` compare only and say which drifted."""
    drifted = []
    for name, page in PAGES.items():
        path, text = ROOT / name, page()
        if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            drifted.append(name)
        elif not check:
            path.write_text(text, encoding="utf-8")
    if drifted:
        sys.stderr.write(f"not what the code says: {', '.join(drifted)}; run `make docs`\n")
    return 1 if drifted else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
