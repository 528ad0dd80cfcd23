"""The notebooks of the tutorials, executed cell by cell; what their cells show is HTML of its own."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.ipynb"))
SHOWN = {
    "own-images": ("<svg", "6 recipes", "AUROC"),
    "own-loss": ("8 training runs", "AUROC is", "my_losses:Tempered"),
    "own-model": ("relies on", "tag", "<svg"),
}
"""Words that the cells of a notebook show."""


def cells(notebook: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]


def executed(source: str, names: dict[str, Any]) -> Any:
    """Execute a cell as Jupyter does: return the value of its last line where that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


def test_notebooks_are_kept_without_outputs() -> None:
    assert {one.stem for one in NOTEBOOKS} == set(SHOWN)
    for notebook in NOTEBOOKS:
        assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells(notebook))


@pytest.mark.acceptance
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda one: one.stem)
def test_every_cell_runs_and_shows_itself(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.setattr("sys.path", [*sys.path])
    names: dict[str, Any] = {}
    html = [executed("".join(cell["source"]), names)._repr_html_() for cell in cells(notebook)]
    assert all(words in "".join(html) for words in SHOWN[notebook.stem])
