"""The notebook that a new user opens first."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

PATH = Path(__file__).parents[2] / "docs" / "notebooks" / "quickstart.ipynb"


def sources() -> list[str]:
    return [cell.source for cell in nbformat.read(PATH, as_version=4).cells if cell.cell_type == "code"]


def test_it_is_committed_without_outputs_and_needs_ten_calls():
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    calls = [node for text in sources() for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    assert 0 < len(calls) <= 10


@pytest.mark.demo
def test_it_runs_and_finds_the_signal(tmp_path: Path):
    from nbclient import NotebookClient

    notebook = nbformat.read(PATH, as_version=4)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {
        cell.source: cell.outputs[-1]["data"] for cell in notebook.cells if cell.cell_type == "code" and cell.outputs
    }
    assert {text for text, data in shown.items() if "image/png" in data} == {"h.plot.bump()", "h.plot.closure()"}
    (hunt,) = (data for text, data in shown.items() if "cathode.hunt(" in text)
    z = float(re.search(r"expected \(.*?\)   ([-\d.]+)σ local", hunt["text/html"]).group(1))
    assert z > 3
    assert float(re.search(r"s_obs=([\d.]+)", shown["h.limit()"]["text/plain"]).group(1)) > 0
    assert shown["h.selected"]["text/html"].startswith("<div>")
    assert not list(tmp_path.iterdir())
