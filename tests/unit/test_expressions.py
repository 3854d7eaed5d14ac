"""Expressions of the configuration: the value that numpy gives, for everything that may be said; everything else is refused and runs nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cathode.errors import DataError
from cathode.intake.expressions import DEEPEST, FUNCTIONS, LARGEST, LONGEST, parse

N = 7
RNG = np.random.default_rng(1)
COLUMNS: dict[str, Any] = {
    "a": RNG.normal(size=N),
    "b": RNG.integers(-5, 6, N).astype(np.int8),
    "c": (RNG.normal(size=N) * 1e3).astype(np.float32),
    "flag": RNG.random(N) < 0.5,
    "π": RNG.integers(0, 2**40, N),
}
# independent of the module: Python's own eval on numpy's arrays of 64-bit floats
# literals, between « and » here, are 64-bit floats, too; {x§y} is a power: that of two scalars, by Python's operator, is another routine than that
# of arrays, and may differ in the last digit
EVAL = {"F": np.float64, "power": np.power} | {name: getattr(np, name) for name in FUNCTIONS} | {"__builtins__": {}}
EVAL |= {"min": np.minimum, "max": np.maximum, "pi": np.float64(np.pi)}
EVAL |= {name: values if values.dtype == bool else values.astype(float) for name, values in COLUMNS.items()}

numbers_ = st.one_of(
    st.sampled_from(["a", "b", "c", "π", "pi", "«2»", "«0»", "«1.5»", "«1e-3»", "«7_0»"]),
    st.floats(0, 1e6).map("«{!r}»".format),
)
truths_ = st.sampled_from(["flag", "True", "False", "(a > «0»)", "(b <= «2»)"])


def _larger(parts: tuple[st.SearchStrategy[str], st.SearchStrategy[str]]) -> tuple[st.SearchStrategy[str], ...]:
    number, truth = parts
    unary = [name for name, (_, n) in FUNCTIONS.items() if n == 1 and not name.startswith("is")]
    binary = [name for name, (_, n) in FUNCTIONS.items() if n == 2]
    more = st.one_of(
        number,
        st.tuples(number, st.sampled_from(["+", "-", "*", "/", "//", "%"]), number).map(" ".join).map("({})".format),
        st.tuples(number, number).map(lambda t: f"{{{t[0]}§{t[1]}}}"),
        st.tuples(st.sampled_from("+-"), number).map("".join).map("({})".format),
        st.tuples(st.sampled_from(unary), number).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(st.sampled_from(binary), number, number).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
        st.tuples(truth, number, number).map(lambda t: f"where({t[0]}, {t[1]}, {t[2]})"),
    )  # fmt: skip
    true = st.one_of(
        truth,
        st.tuples(number, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), number).map(" ".join).map("({})".format),
        st.tuples(truth, st.sampled_from("&|"), truth).map(" ".join).map("({})".format),
        truth.map("(~({} == (b == b)))".format),
        st.tuples(st.sampled_from(["isnan", "isfinite"]), number).map(lambda t: f"{t[0]}({t[1]})"),
    )  # fmt: skip
    return more, true


LEVELS: list[tuple[st.SearchStrategy[str], st.SearchStrategy[str]]] = [(numbers_, truths_)]
for _ in range(4):
    LEVELS.append(_larger(LEVELS[-1]))
EXPRESSIONS = st.one_of(*LEVELS[-1])


WRITTEN = str.maketrans({"«": "", "»": "", "{": "(", "§": " ** ", "}": ")"})
EVALUATED = str.maketrans({"«": "F(", "»": ")", "{": "power(", "§": ", ", "}": ")"})


def check_value(marked: str) -> None:
    text = marked.translate(WRITTEN)
    with np.errstate(all="ignore"):
        expected = np.broadcast_to(np.asarray(eval(marked.translate(EVALUATED), EVAL)), (N,))
    found = parse(text, "data.define.x")(COLUMNS)
    assert found.shape == (N,)
    assert (found.dtype == bool) == (expected.dtype == bool)
    np.testing.assert_array_equal(found.astype(float), expected.astype(float))


@settings(max_examples=1500, deadline=None)
@given(EXPRESSIONS)
def test_the_value_is_that_of_numpy(text):
    check_value(text)


@pytest.mark.slow
@settings(max_examples=100_000, deadline=None)
@given(EXPRESSIONS)
def test_the_value_is_that_of_numpy_for_many(text):
    check_value(text)


WORDS = [
    *"abcxyz_09.,:;()[]{}+-*/%&|~^<>=!@#$\\'\"`\n\t ", "**", "//", "lambda:", "__import__", "open", "eval", "exec", "getattr", "a", "b", "flag",
    "os", "for x in", "if", "else", "and", "or", "not", "in", "is", "None", "True", "await ", "yield", "f'", "b'", "'", "1e9", "9" * 50, "\x00", "\ud800",
    "where(", "sqrt(", "(lambda: ", ")()", "µ", "‮", ":=", "...", "*", "=", "print(", "a.b", "a[0]",
]  # fmt: skip


@settings(max_examples=2000, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=30).map("".join))
def test_any_text_is_a_value_or_refused_in_one_line(text):
    start = time.process_time()
    refused = ""
    try:
        assert parse(text, "data.select")(COLUMNS).shape == (N,)
    except DataError as error:
        refused = str(error)
    assert not refused or "data.select" in refused
    assert not any(ord(character) < 32 for character in refused)
    assert time.process_time() - start < 5


CODE = "__import__('pathlib').Path('pwned').touch()"
HOSTILE = [
    CODE,
    f'"\'" == (lambda: {CODE})() == "\'"',
    f'"\'" + (lambda: {CODE})() + "\'"',
    f"(lambda: {CODE})()",
    f"[{CODE} for x in (1,)][0]",
    f"a if {CODE} else b",
    f"(x := {CODE})",
    f"f'{{{CODE}}}'",
    f"where({CODE}, a, b)",
    f"sqrt(*{CODE})",
    f"sqrt(x={CODE})",
    f"a[{CODE}]",
    f"a < {CODE} < b",
    f"not {CODE}",
    f"`a` + {CODE}",
    f"`{CODE}`",
    f"a # ' \n + {CODE}",
    "a.__class__.__mro__[1].__subclasses__()",
    "().__class__",
    "a.tofile('pwned')",
    "open('pwned', 'w')",
    "exec('import os')",
    "await a",
    "yield",
    "'x' * 999999999",
    "'{0.__class__}'.format(a)",
    "b'x' + a",
    "...",
    "None",
    "1j * a",
    "{a: b}",
    "{a}",
    "(a, b)",
    "a @ b",
    "a ^ 2",
    "a in b",
    "a is b",
    "sqrt",
    "(sqrt)(a)(b)",
    "a; b",
    "import os",
    "9" * 400,
    "9" * (LONGEST + 1),
    "1e999",
    "(" * 1000 + "a" + ")" * 999,
    "(" * 500 + "a" + ")" * 500,
    "[" * 900,
    "-" * (DEEPEST + 1) + "a",
    "-" * 1900 + "a",
    "~" * 1900 + "flag",
    "not " * 450 + "flag",
    "+".join("a" * (LARGEST)),
    "**".join("9" * 100),
    "a" + ".a" * 900,
    "a" + "[0]" * 600,
    "a" + "()" * 900,
    "a\x00b",
    "\ud800",
    "µ + 1",
    "ａ",
    "\x1b[31ma",
    "a +",
    "",
    "   ",
    "#",
    "`",
    "``",
    "`a",
    "unknown",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_else_can_be_said(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start = time.process_time()
    with pytest.raises(DataError, match=r"data\.select") as refused:
        parse(text, "data.select")(COLUMNS)
    assert time.process_time() - start < 5
    assert len(str(refused.value)) < 600
    assert not any(ord(character) < 32 for character in str(refused.value))
    assert not list(Path().iterdir())


@pytest.mark.parametrize("text", ["2**9**9**9", "1 / (a - a)", "exp(exp(exp(abs(c) + 9)))"])
def test_what_overflows_is_not_finite_and_quick(text):
    start = time.process_time()
    assert not np.isfinite(parse(text, "data.define.x")(COLUMNS)).any()
    assert time.process_time() - start < 5


def test_stored_types_make_no_difference():
    """Squares of 8-bit integers do not wrap, 32-bit floats are not rounded again, and whole columns in blocks are those of one."""
    small = {"a": np.array([100, -100], dtype=np.int8), "b": np.array([1e8, 3.0], dtype=np.float32)}
    np.testing.assert_array_equal(parse("a**2 + b", "d")(small), [100010000.0, 10003.0])
    np.testing.assert_array_equal(parse("(b + 1) - b", "d")(small), [1.0, 1.0])
    n = 600_000
    long = {"a": np.arange(n, dtype=np.int32)}
    np.testing.assert_array_equal(parse("a % 1000 - a // 7", "d")(long), np.arange(n) % 1000 - np.arange(n) // 7.0)


def test_columns_of_any_name_in_backticks():
    columns = {"tau 21": np.array([1.0, 4.0]), "µ": np.array([2.0, 2.0]), "sqrt": np.array([3.0, 9.0])}
    found = parse("sqrt(`tau 21`) + `µ` * sqrt", "data.define.x")
    assert found.names == ("tau 21", "µ", "sqrt")
    np.testing.assert_array_equal(found(columns), [7.0, 20.0])
    with pytest.raises(DataError, match="`tau 21` \\+ 1' is a number"):
        parse("(`tau 21` + 1) & (sqrt > 3)", "data.select")(columns)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array(["1", "2"]), "expected numbers"),
        (np.array([1, None], dtype=object), "expected numbers"),
        (np.array([1j, 2j]), "expected numbers"),
        (np.array(["2020-01-01", "NaT"], dtype="datetime64[ns]"), "expected numbers"),
        (np.array([1, 2], dtype="timedelta64[s]"), "expected numbers"),
        (np.array([1, 2**53 + 1]), "1 integers beyond 2\\^53, .* first in row 1"),
        (np.array([1, 2**63], dtype=np.uint64), "1 integers beyond 2\\^53"),
        (np.array([-(2**63), 2]), "first in row 0"),
    ],
)
def test_columns_that_hold_no_such_numbers_are_refused(values, message):
    with pytest.raises(DataError, match=message):
        parse("x > 0", "data.select")({"x": values})


def test_compound_names_are_columns_and_pi_is_a_number():
    columns = {"jet.pt": np.array([1.0, 2.0]), "mu[0]": np.array([3.0, 4.0]), "j.t[12]": np.array([5, 6])}
    np.testing.assert_array_equal(parse("jet.pt + mu[0] * 2 - j.t[12]", "data.define.x")(columns), [2, 4])
    assert parse("jet.pt + mu[0] * pi", "data.define.x").names == ("jet.pt", "mu[0]")
    with pytest.raises(DataError, match=r"pi is the number 3\.14159… and the input has a column"):
        parse("pi * 2", "data.define.x")(columns | {"pi": np.array([1.0, 2.0])})
    np.testing.assert_array_equal(parse("`pi` * 2", "data.define.x")({"pi": np.array([1.0, 2.0])}), [2, 4])
    for text in ("mu[-1]", "mu['x']", "mu[0:1]", "(mu + 1).real", "mu[mu]", "mu[1.0]", "f().x", "mu[True]"):
        with pytest.raises(DataError, match=r"data\.define\.x: in "):
            parse(text, "data.define.x")
    for text in ("mu.__class__", "jet.__init__.__globals__", "mu[0].real"):
        with pytest.raises(DataError, match="not found"):
            parse(text, "data.define.x")(columns)
