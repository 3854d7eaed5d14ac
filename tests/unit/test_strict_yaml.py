"""Configurations of others: one tree of plain values, or one line with file and line; whatever they hold, in no time."""

from __future__ import annotations

import resource
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cathode.cli import main
from cathode.errors import ConfigError
from cathode.strict_yaml import read_yaml

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
)
HOSTILE = {
    "alias bomb": (BOMB, "values, aliases unfolded"),
    "alias bomb in tables": (
        "a0: &a0 {k: 1}\n"
        + "".join(f"a{i}: &a{i} {{" + ", ".join(f"k{j}: *a{i - 1}" for j in range(9)) + "}\n" for i in range(1, 12)),
        "values, aliases unfolded",
    ),
    "merge bomb": (
        "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 9)),
        "values, aliases unfolded",
    ),
    "recursive list": ("a: &a [*a]", "found an alias to what it is part of"),
    "recursive table": ("&a {b: *a}", "found an alias to what it is part of"),
    "brackets": ("a: " + "[" * 5000, "levels, one inside the other"),
    "closed brackets": ("a: " + "[" * 100 + "]" * 100, "levels, one inside the other"),
    "braces": ("a: " + "{b: " * 3000 + "1" + "}" * 3000, "levels, one inside the other"),
    "many digits": ("seed: " + "9" * 6000, "a number of 6000 characters"),
    "digits and dots": ("seed: 0." + "9" * 60, "a number of 62 characters"),
    "long text": ("run: " + "x" * 20_000, "a value of 20000 characters"),
    "large file": ("run: x\n" + "# " * 600_000, "expected a configuration of at most"),
    "binary": ("run: !!binary aGVsbG8=", "line 1: found a value of the kind 'binary'"),
    "python": ("run: !!python/object/apply:os.system ['touch pwned']", "found a value of the kind"),
    "other tag": ("run: !run x", "found a value of the kind '!run'"),
    "set": ("methods: !!set {cathode}", "found a value of the kind 'set'"),
    "date": ("run: 2026-01-01", "found a value of the kind 'timestamp'"),
    "octal": ("seed: 010", "line 1: found the number '010'"),
    "hexadecimal": ("seed: 0x10", "found the number '0x10'"),
    "base 60": ("seed: 1:30", "found the number '1:30'"),
    "twice": ("seed: 1\nrun: x\nseed: 2\n", "found 'seed' twice, in line 1 and in line 3"),
    "section twice": (
        "data:\n  mass: m\nrun: x\ndata:\n  mass: n\n",
        "found 'data' twice, in line 1 and in line 4; expected it once",
    ),
    "inside twice": ("data:\n  mass: m\n  mass: n\n", "found 'mass' twice, in line 2 and in line 3"),
    "list as a key": ("? [a, b]\n: 1\n", "found a list or table as a key"),
    "two documents": ("run: a\n---\nrun: b\n", "not valid YAML"),
    "unknown alias": ("a: *b", "not valid YAML"),
    "tab": ("data:\n\tmass: m", "not valid YAML"),
    "nul": ("run: a\x00b", "not valid YAML"),
    "half a quote": ("run: 'x", "not valid YAML"),
    "a list": ("- a\n- b\n", "found list, expected keys and values"),
    "text": ("hello", "found str, expected keys and values"),
    "escape": ('run: "\\e[31mred"', r"run: found '\x1b[31mred'"),
    "key of control characters": ('"\\e[2J": 1', r"unknown key \x1b[2J"),
    "shell": ('run: "r$(touch pwned)"', "run: found 'r$(touch pwned)'"),
    "shell, too": ("run: r;touch pwned;#", "run: found 'r;touch pwned;#'"),
    "redirection": ("run: x>pwned", "run: found 'x>pwned'"),
    "up": ("run: ..", "run: found '..'"),
    "here": ("run: .", "run: found '.'"),
    "nowhere": ("results_dir: ''", "results_dir: found ''"),
    "placeholder": ("results_dir: 'a{b}'", "results_dir: found 'a{b}'"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_configurations_are_one_line(name, tmp_path, monkeypatch, capsys):
    text, message = HOSTILE[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(text)
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert main(["check", "my.yaml"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "my.yaml" in said
    assert said.count("\n") == 1
    assert len(said) < 700
    assert "\x1b" not in said
    assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KB
    assert [path.name for path in tmp_path.iterdir()] == ["my.yaml"]


def test_aliases_that_say_little_are_fine(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {b: [1, 2]}\nc: *a\nd: {<<: *a, e: 010.5}\n")
    assert read_yaml(path) == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}, "d": {"b": [1, 2], "e": 10.5}}
    path.write_text("")
    assert read_yaml(path) is None


TEXT = st.text(
    st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=12
)  # what PyYAML itself writes faithfully
TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**15), 10**15), st.floats(allow_nan=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(TREES)
def test_plain_values_come_back(tmp_path_factory, tree):
    path = tmp_path_factory.getbasetemp() / "tree.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True))
    assert read_yaml(path) == tree


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:&*!<>[]{},-?#|'\"\\ \n\t%@`0123.xeé", max_size=120))
def test_any_text_is_read_as_yaml_reads_it_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text)
    try:
        found = read_yaml(path)
    except ConfigError:
        return
    assert found == yaml.safe_load(text) or found != found
