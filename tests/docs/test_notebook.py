"""The notebook of the tutorials, executed cell by cell; what its cells show is HTML of its own."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorials" / "notebook.ipynb"


def cells() -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]


def executed(source: str, names: dict[str, Any]) -> Any:
    """Execute a cell as Jupyter does: return the value of its last line where that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


def test_the_notebook_is_kept_without_outputs() -> None:
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells())


@pytest.mark.timeout(300)
def test_every_cell_runs_and_shows_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    names: dict[str, Any] = {}
    shown = [value for cell in cells() if (value := executed("".join(cell["source"]), names)) is not None]
    html = [value._repr_html_() for value in shown]
    assert len(html) == len(cells())
    study, run, auroc, table, probed = html
    assert "6 training runs" in study
    assert run.count("<svg") == 2
    assert "AUROC" in auroc
    assert "reversed" in auroc
    assert table.count("<tr") == 2
    assert "AUROC is" in probed
