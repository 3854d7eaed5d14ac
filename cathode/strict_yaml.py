"""YAML that says one thing: plain values, no key twice, no number in a notation that is easily misread, nothing that unfolds without end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from cathode.errors import ConfigError, shown

LONGEST = 1_000_000  # bytes of a file
LARGEST = 100_000  # values, aliases unfolded
DEEPEST = 40  # levels
LONGEST_VALUE = 10_000  # characters of one value

_TAG = "tag:yaml.org,2002:"
_PLAIN = {_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge", "value")}
_ODD_INTEGER = re.compile(r"[-+]?(0[0-9_]+|0[bxo].*|.*:.*)", re.I)  # octal, binary, hexadecimal; base 60


def read_yaml(path: str | Path) -> Any:
    """Plain values of a file. Raises ConfigError, with file and line, for anything that is not plainly one tree of them."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    if len(content) > LONGEST:
        raise ConfigError(f"{path}: found {len(content)} bytes, expected a configuration of at most {LONGEST}")
    try:
        loader = yaml.SafeLoader(content.decode("utf-8"))
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check(node, str(path), {}, ())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError as error:
        raise ConfigError(f"{path}: found more than {DEEPEST} levels, one inside the other") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, TypeError) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"{path}: not valid YAML: {said[:300]}") from error


def _check(node: yaml.Node, path: str, sizes: dict[int, int], above: tuple[int, ...]) -> int:
    """Refuse what is not plain; returns how many values a node unfolds to."""
    where = f"{path}, line {node.start_mark.line + 1}"
    if id(node) in above:
        raise ConfigError(f"{where}: found an alias to what it is part of")
    if id(node) in sizes:
        return sizes[id(node)]
    if len(above) >= DEEPEST:
        raise ConfigError(f"{where}: found more than {DEEPEST} levels, one inside the other")
    if node.tag not in _PLAIN:
        kind = node.tag.removeprefix(_TAG)
        raise ConfigError(
            f"{where}: found a value of the kind {shown(kind)}, expected text, numbers, true, false, null, lists and tables"
        )
    size, inside = 1, (*above, id(node))
    if isinstance(node, yaml.ScalarNode):
        _check_scalar(node, where)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_check(child, path, sizes, inside) for child in node.value)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{where}: found a list or table as a key, expected a name")
            line = key.start_mark.line + 1
            if key.value in lines and key.tag != _TAG + "merge":
                raise ConfigError(
                    f"{path}: found {shown(key.value)} twice, in line {lines[key.value]} and in line {line}; expected it once"
                )
            lines[key.value] = line
            size += _check(key, path, sizes, inside) + _check(value, path, sizes, inside)
    if size > LARGEST:
        raise ConfigError(f"{where}: found more than {LARGEST} values, aliases unfolded")
    sizes[id(node)] = size
    return size


def _check_scalar(node: yaml.ScalarNode, where: str) -> None:
    if len(node.value) > LONGEST_VALUE:
        raise ConfigError(f"{where}: found a value of {len(node.value)} characters, expected at most {LONGEST_VALUE}")
    if node.tag == _TAG + "bool" and node.value.lower() not in ("true", "false"):
        meaning = "true" if node.value.lower() in ("on", "yes") else "false"
        raise ConfigError(
            f"{where}: found {node.value}, which YAML reads as {meaning}; expected {meaning}, or quotes for a name"
        )
    number = node.tag in (_TAG + "int", _TAG + "float")
    if number and len(node.value) > 40:
        raise ConfigError(f"{where}: found a number of {len(node.value)} characters, expected at most 40")
    if number and _ODD_INTEGER.fullmatch(node.value):
        raise ConfigError(
            f"{where}: found the number {shown(node.value)}, which YAML reads in another base than ten; expected plain digits, or quotes for text"
        )
