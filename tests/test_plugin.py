"""The public surface for plug-ins: light to import, complete, and the only module that pages and suites import from."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.reading import PAGES, name
from tests.test_import_direction import HEAVY as HEAVY_LIBRARIES
from tests.test_import_direction import SOURCE, files, imports

from assay import plugin

WHERE: dict[str, str] = plugin.MODULES
HEAVY = {*HEAVY_LIBRARIES, "numba", "segmentation_models_pytorch", "pytest"}
PUBLIC = {"assay", "assay.plugin", "assay.stats", "assay.testing"}
DEEPER = {"docs/reference/testing.md": {"assay.testing.probe"}}  # models with known answers, for own tests
SUITES_DEEPER = {
    "assay.models.untyped",  # typed adapters of torch's functions, which a plug-in calls on torch itself
    "assay.data.leakage",  # row hashes, by which the suite of datasets looks for copies
}
DEEP_SUITES = {"store.py", "executor.py"}  # they test the files of a run folder and what runs tasks, no plug-ins
SUITES = [file for file in files("testing") if file.name not in DEEP_SUITES]
CATALOG = """
from typing import Annotated

from pydantic import Field

from assay.plugin import component


@component("intervention", "plug-in-border", summary="a dark border")
class Border:
    def __init__(self, *, width: Annotated[float, Field(gt=0, lt=0.5)] = 0.1) -> None:
        self.width = width
"""


def defined_in(module: str) -> set[str]:
    """Names that the source of a module defines or assigns at its top level; imported names are left out."""
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    names: set[str] = set()
    for node in ast.parse(Path(found.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def stub() -> list[ast.ImportFrom]:
    """Imports of the stub, which names the public surface."""
    body = ast.parse((SOURCE / "plugin.pyi").read_text(encoding="utf-8")).body
    assert all(isinstance(node, ast.ImportFrom) for node in body[1:])
    return [node for node in body if isinstance(node, ast.ImportFrom)]


@pytest.mark.parametrize("program", ["import assay.plugin", CATALOG], ids=["module", "catalog"])
def test_nothing_heavy_is_imported_for_a_catalog(program: str, tmp_path: Path) -> None:
    (tmp_path / "my_catalog.py").write_text(program, encoding="utf-8")
    asked = f"import my_catalog, sys; print(sorted({HEAVY!r} & set(sys.modules)), 'assay.plugin' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"


def test_a_heavy_name_is_imported_when_it_is_used() -> None:
    program = "import sys, assay.plugin; assay.plugin.Objective; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_the_error_that_users_catch_is_there_once_the_package_is_imported() -> None:
    program = "import assay; print(assay.plugin.AssayError.__name__, assay.testing.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "AssayError assay.testing"


@pytest.mark.parametrize("public", plugin.__all__)
def test_every_name_resolves_to_the_module_that_defines_it(public: str) -> None:
    found = getattr(plugin, public)
    assert public in defined_in(WHERE[public])
    if isinstance(found, type) or callable(found):
        assert getattr(found, "__module__", WHERE[public]) in (WHERE[public], "typing", "collections.abc")


def test_the_names_are_the_same_wherever_they_are_listed() -> None:
    assert dir(plugin) == plugin.__all__ == sorted(WHERE)
    names = [alias for node in stub() for alias in node.names]
    assert len(names) == len(WHERE)
    assert all(alias.asname == alias.name for alias in names)  # type checkers export a name under its own alone


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r"'assay\.plugin' has no attribute 'Fator'; did you mean 'Factor'\?$"):
        plugin.Fator  # noqa: B018
    with pytest.raises(AttributeError, match=r"has no attribute 'xylophone'$"):
        plugin.xylophone  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Fator'"):
        exec("from assay.plugin import Fator")
    assert not hasattr(plugin, "__path__")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_code_on_the_pages_imports_from_the_public_modules(page: Path) -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = {
        module
        for block in blocks
        for module in re.findall(r"^\s*(?:from|import)\s+(assay(?:\.\w+)*)", block, flags=re.MULTILINE)
    }
    assert found <= PUBLIC | DEEPER.get(name(page), set())
    assert not any(re.search(r"^\s*from\s+assay\s+import", block, flags=re.MULTILINE) for block in blocks)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_suites_of_components_import_from_the_public_modules(suite: Path) -> None:
    allowed = PUBLIC | SUITES_DEEPER
    wrong = [
        f"{suite.name}:{line} imports {module}"
        for line, module in sorted(imports(suite))
        if module.split(".")[0] == "assay"
        and not module.startswith("assay.testing.")
        and module not in allowed
        and module.rpartition(".")[0] not in allowed - {"assay"}
    ]
    assert not wrong, "\n".join(wrong)
