"""What the package imports is what installing it brings: nothing comes from the extras for developers."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "assay"
OF_EXTRAS = {"testing": {"pytest"}}
"""Folder of the package -> what only its own extra brings."""


def imported(path: Path) -> Iterator[str]:
    """The top names of all that a module imports, wherever it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]


def plain(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_import_is_a_declared_dependency():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    brought = {plain(re.split(r"[<>=\[; ]", entry)[0]) for entry in declared}
    owners = packages_distributions()
    for path in sorted(PACKAGE.rglob("*.py")):
        extra = OF_EXTRAS.get(path.relative_to(PACKAGE).parts[0], set())
        for name in set(imported(path)) - set(sys.stdlib_module_names) - {"assay", "_typeshed"}:
            distributions = {plain(owner) for owner in owners.get(name, [name])}
            assert distributions & (brought | extra), f"{path.relative_to(ROOT)} imports {name}: not in dependencies"
