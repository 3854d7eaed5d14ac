"""Column expressions of the configuration: arithmetic, comparisons and a few functions, evaluated here. Nothing else can be said in them.

The notation is Python's; its parser makes a tree, every node of which must be of a kind that is listed below, and the tree is computed
on arrays by this module. No text is ever handed to `eval`, so an expression that somebody else wrote can do nothing but compute.
"""

from __future__ import annotations

import ast
import difflib
import keyword
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cathode.errors import DataError, nearest, shown
from cathode.events import check_kind

Columns = dict[str, NDArray[np.generic]]
Value = NDArray[Any]  # 64-bit floats, or true and false

LONGEST = 2000  # characters of an expression
LARGEST = 400  # nodes of its tree
DEEPEST = 60  # levels of its tree
_ROWS = 1 << 18  # computed at once

# how it is computed, how many arguments it takes
FUNCTIONS: dict[str, tuple[Callable[..., Value], int]] = {
    **{
        name: (getattr(np, name), 1)
        for name in (
            "abs", "sqrt", "exp", "expm1", "log", "log10", "log1p", "floor", "ceil", "sin", "cos", "tan", "sinh", "cosh",
            "tanh", "arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "isnan", "isfinite",
        )
    },
    **{name: (getattr(np, name), 2) for name in ("arctan2", "hypot", "minimum", "maximum")},
    "min": (np.minimum, 2),
    "max": (np.maximum, 2),
    "where": (np.where, 3),
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], Callable[..., Value]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_LOGIC: dict[type[ast.operator | ast.boolop], Callable[..., Value]] = {
    ast.BitAnd: np.logical_and,
    ast.BitOr: np.logical_or,
    ast.And: np.logical_and,
    ast.Or: np.logical_or,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[..., Value]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


@dataclass(frozen=True)
class Expression:
    """A checked expression.

    Attributes:
        text: as it was written.
        where: the key that holds it.
        tree: what it says.
        quoted: columns written in backticks, by the name that stands for them in the tree.
        names: columns that it uses, in order of appearance.
        constants: numbers that it uses by name: `pi`.
    """

    text: str
    where: str
    tree: ast.expr
    quoted: Mapping[str, str]
    names: tuple[str, ...]
    constants: tuple[str, ...] = ()

    def __call__(self, columns: Columns, available: Iterable[str] = ()) -> Value:
        """Its value for every event, `(n,)`: 64-bit floats, or true and false. All columns count as 64-bit floats, whatever they are stored as.

        `available` are further columns of the file, for the message. Raises DataError for a column that is absent, holds no numbers, or
        integers that 64-bit floats do not hold.

        >>> masses = {"m1": np.array([3, 8], dtype=np.int8), "m2": np.array([4.0, 6.0])}
        >>> parse("sqrt(m1**2 + m2**2)", "data.define.m")(masses)
        array([ 5., 10.])
        >>> parse("(m1 > 4) & (m2 < 5 or m2 == 6)", "data.select")(masses)
        array([False,  True])
        """
        if "pi" in self.constants and "pi" in {*columns, *available}:
            raise DataError(
                f"{self.where}: pi is the number 3.14159… and the input has a column of that name, too: put this in backticks"
            )
        for name in self.names:
            if name not in columns:
                raise DataError(f"{self.where}: {missing_column(name, [*columns, *available])}")
            check_kind(columns[name], name, self.where)
        n = len(next(iter(columns.values())))
        parts = []
        with np.errstate(all="ignore"):  # what is not finite is refused, with its row, by who uses the column
            for start in range(0, n, _ROWS):
                block = slice(start, min(n, start + _ROWS))
                values = {name: _as_number(columns[name][block]) for name in self.names}
                parts.append(np.broadcast_to(self._value(self.tree, values), (block.stop - block.start,)))
        return np.concatenate(parts) if parts else np.empty(0)

    def _value(self, node: ast.expr, columns: dict[str, Value]) -> Value:
        match node:
            case ast.Name():
                return np.asarray(np.pi) if node.id == "pi" else columns[self.quoted.get(node.id, node.id)]
            case ast.Constant(value=bool() as value):
                return np.asarray(value)
            case ast.Constant(value=int() | float() as value):
                return np.asarray(float(value))
            case ast.UnaryOp(op=ast.Not() | ast.Invert()):
                return np.logical_not(self._truth(node.operand, columns))
            case ast.UnaryOp():
                number = self._number(node.operand, columns)
                return -number if isinstance(node.op, ast.USub) else number
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                return _ARITHMETIC[type(node.op)](self._number(node.left, columns), self._number(node.right, columns))
            case ast.BinOp():
                return _LOGIC[type(node.op)](self._truth(node.left, columns), self._truth(node.right, columns))
            case ast.BoolOp():
                result = self._truth(node.values[0], columns)
                for operand in node.values[1:]:
                    result = _LOGIC[type(node.op)](result, self._truth(operand, columns))
                return result
            case ast.Compare():
                sides = [self._number(side, columns) for side in (node.left, *node.comparators)]
                result = np.asarray(True)
                for op, left, right in zip(node.ops, sides, sides[1:], strict=False):
                    result = np.logical_and(result, _COMPARISONS[type(op)](left, right))
                return result
            case ast.Call(func=ast.Name(id="where")):
                condition, one, other = node.args
                return np.where(
                    self._truth(condition, columns), self._number(one, columns), self._number(other, columns)
                )
            case ast.Call(func=ast.Name(id=name)):
                return FUNCTIONS[name][0](*(self._number(argument, columns) for argument in node.args))
        raise AssertionError(f"{type(node).__name__} was let through")

    def _written(self, node: ast.expr) -> str:
        text = ast.unparse(node)
        for name, column in self.quoted.items():
            text = text.replace(name, f"`{column}`")
        return text

    def _number(self, node: ast.expr, columns: dict[str, Value]) -> NDArray[np.float64]:
        return np.asarray(self._value(node, columns), dtype=np.float64)

    def _truth(self, node: ast.expr, columns: dict[str, Value]) -> NDArray[np.bool_]:
        value = self._value(node, columns)
        if value.dtype != np.bool_:
            raise DataError(
                f"{self.where}: in {shown(self.text)}, {shown(self._written(node))} is a number, expected true or false beside and, or, not, &, |, ~ "
                "(& and | bind more tightly than comparisons: put these in parentheses)"
            )
        return value


def parse(text: str, where: str) -> Expression:
    """Read and check an expression. Raises DataError, naming the key `where`, for anything that is not one."""
    if len(text) > LONGEST:
        raise DataError(f"{where}: found {len(text)} characters, expected an expression of at most {LONGEST}")
    quoted: dict[str, str] = {}

    def stand_in(found: re.Match[str]) -> str:
        name = f"column_{len(quoted)}_"
        while name in text:
            name += "_"
        quoted[name] = found[1]
        return f" {name} "

    plain = re.sub("`([^`\n]+)`", stand_in, text)
    if unicodedata.normalize("NFKC", plain) != plain:  # Python's parser would read another name
        raise DataError(
            f"{where}: {shown(text)} holds characters that have several spellings; write column names that have them in backticks"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(plain.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        why = error.msg if isinstance(error, SyntaxError) else str(error)
        raise DataError(f"{where}: cannot read the expression {shown(text)}: {why}") from error
    tree = _with_compound_names(tree)
    nodes = _nodes(tree, where, text)
    names = [node.id for node in nodes if isinstance(node, ast.Name)]
    columns = tuple(dict.fromkeys(quoted.get(name, name) for name in names if name != "pi"))
    return Expression(text, where, tree, quoted, columns, ("pi",) if "pi" in names else ())


def _with_compound_names(tree: ast.expr) -> ast.expr:
    """`jet.pt` and `Muon_pt[0]` as the names of columns that they are; nothing is looked up in anything but the table."""

    class Names(ast.NodeTransformer):
        def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
            inner = self.visit(node.value)
            return ast.Name(f"{inner.id}.{node.attr}") if isinstance(inner, ast.Name) else node

        def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
            inner, index = self.visit(node.value), node.slice
            if isinstance(inner, ast.Name) and isinstance(index, ast.Constant) and type(index.value) is int:
                return ast.Name(f"{inner.id}[{index.value}]")
            return node

    try:
        return cast(ast.expr, Names().visit(tree))
    except RecursionError:
        return tree  # too deep; refused with its size


def _nodes(tree: ast.expr, where: str, text: str) -> list[ast.expr]:
    """The nodes of a tree, from left to right, every one of a kind that is allowed; names of functions are not among them."""
    found: list[ast.expr] = []
    open_nodes = [(tree, 1)]
    while open_nodes:
        node, depth = open_nodes.pop()
        found.append(node)
        if depth > DEEPEST or len(found) > LARGEST:
            raise DataError(
                f"{where}: found a larger expression than {DEEPEST} levels and {LARGEST} parts: {shown(text)}"
            )
        if why := _refused(node):
            raise DataError(f"{where}: in {shown(text)}, {why}")
        match node:
            case ast.Call():
                parts = node.args
            case ast.BinOp():
                parts = [node.left, node.right]
            case ast.UnaryOp():
                parts = [node.operand]
            case ast.BoolOp():
                parts = node.values
            case ast.Compare():
                parts = [node.left, *node.comparators]
            case _:
                parts = []
        open_nodes += [(part, depth + 1) for part in reversed(parts)]
    return found


def _refused(node: ast.expr) -> str:
    """Why a node is not allowed; empty where it is."""
    match node:
        case ast.Name() | ast.BoolOp() | ast.UnaryOp():
            return ""
        case ast.Constant(value=bool()):
            return ""
        case ast.Constant(value=int() | float() as value):
            try:
                exact = float(value) == value
            except OverflowError:
                exact = False
            return "" if exact and np.isfinite(float(value)) else "found a number that 64-bit floats do not hold"
        case ast.BinOp(op=op) if type(op) in _ARITHMETIC or type(op) in _LOGIC:
            return ""
        case ast.BinOp(op=ast.BitXor()):
            return "found ^, expected ** for a power"
        case ast.Compare():
            odd = [type(op).__name__ for op in node.ops if type(op) not in _COMPARISONS]
            return f"found {odd[0]}, expected one of < <= > >= == !=" if odd else ""
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
            expected = FUNCTIONS[name][1]
            if node.keywords or len(node.args) != expected:
                return f"found {len(node.args) + len(node.keywords)} arguments of {name}, expected {expected}"
            return ""
        case ast.Call(func=ast.Name(id=name)):
            return f"found the function {shown(name)}{nearest(name, FUNCTIONS)}, expected one of {', '.join(FUNCTIONS)}"
        case ast.IfExp():
            return "found if and else, expected where(condition, value, other value)"
    what = {
        "Constant": "a constant that is no number",
        "Attribute": "a dot after a name",
        "Call": "a call of something that is no function",
    }
    kind = type(node).__name__
    return f"found {what.get(kind, kind)}, expected columns, numbers, + - * / // % **, comparisons, and, or, not, & | ~ and functions"


def _as_number(values: NDArray[np.generic]) -> Value:
    return values.astype(np.bool_ if values.dtype.kind == "b" else np.float64, copy=False)


def missing_column(name: str, columns: Iterable[str]) -> str:
    """Text for a column that is not there, with the nearest name that is."""
    known = list(dict.fromkeys(columns))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f", did you mean {near[0]}?" if near else ""
    shown_names = ", ".join(known[:24]) + (f" and {len(known) - 24} more" if len(known) > 24 else "")
    return f"column {name} not found{hint} (columns: {shown_names})"


def quoted(name: str) -> str:
    """A column as it stands in an expression: in backticks where it is no name of Python.

    >>> quoted("jet.pt"), quoted("Muon_pt[0]"), quoted("m jj"), quoted("in")
    ('jet.pt', 'Muon_pt[0]', '`m jj`', '`in`')
    """
    parts = re.sub(r"\[\d+\]$", "", name).split(".")
    plain = all(part.isidentifier() and part.isascii() and not keyword.iskeyword(part) for part in parts)
    return name if plain else f"`{name}`"
