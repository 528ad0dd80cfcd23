"""The notebooks of the tutorials, executed cell by cell; what their cells show is HTML of its own."""

from __future__ import annotations

import ast
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
NOTEBOOKS = sorted(TUTORIALS.glob("*.ipynb"))
SHOWN: dict[str, tuple[tuple[str, ...], ...]] = {
    "own-images": (
        ("1 picture under different patients", "AUROC 0.92"),
        ("3 seeds × 5 folds: 15 training runs", "Tested on same, neutral-texture, neutral-size, reversed"),
        ("<svg",),
        ("cross-entropy", "reversed"),
    ),
    "own-model": (("relies on the tag",), ("relies-on", "tag"), ("AUROC is",)),
    "own-loss": (
        ("6 training runs", "own_losses:Smoothed"),
        ("<svg",),
        ("AUROC", "reversed"),
        ("own_losses:Smoothed",),
        ("Linear",),
    ),
}
"""Name of a notebook -> words of what each cell shows that shows anything."""


def cells(notebook: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]


def executed(source: str, names: dict[str, Any]) -> Any:
    """Execute a cell as Jupyter does: return the value of its last line where that is an expression."""
    if source.startswith("!"):
        subprocess.run([sys.executable, "-m", *shlex.split(source[1:])], check=True, stdout=subprocess.DEVNULL)
        return None
    if source.startswith("%%writefile "):
        path, _, text = source.removeprefix("%%writefile ").partition("\n")
        Path(path).write_text(text)
        return None
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


def html(value: Any) -> str:
    """What Jupyter shows of a value."""
    return value._repr_html_() if hasattr(value, "_repr_html_") else repr(value)


def test_each_notebook_is_tested() -> None:
    assert {notebook.stem for notebook in NOTEBOOKS} == set(SHOWN)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(notebook: Path) -> None:
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells(notebook))


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs_and_shows_itself(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    names: dict[str, Any] = {}
    values = [executed("".join(cell["source"]), names) for cell in cells(notebook)]
    shown = [html(value) for value in values if value is not None]
    for text, words in zip(shown, SHOWN[notebook.stem], strict=True):
        assert all(word in text for word in words), text[:2000]
