"""What the package imports is what installing it brings; an extra's libraries are imported under `extra` alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from tests.cases import first_of

from assay.core.errors import extra
from assay.plugin import ExtraError

DISTRIBUTION = "assay-imaging"
"""Name on package indexes."""

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "assay"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def plain(name: str) -> str:
    """A distribution's name as indexes compare it, without versions and extras."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=\[; ]", name)[0]).lower()


BROUGHT = {plain(entry) for entry in PROJECT["dependencies"]}
OF_EXTRAS = {name: {plain(entry) for entry in entries} for name, entries in PROJECT["optional-dependencies"].items()}


EXTRA = re.compile(r"extra\('(\w+)'\)")


def imported(node: ast.AST, under: str = "") -> Iterator[tuple[str, str]]:
    """Each imported top name below a node, and the extra whose block it is in."""
    if isinstance(node, ast.Import):
        yield from ((alias.name.partition(".")[0], under) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        yield node.module.partition(".")[0], under
    elif isinstance(node, ast.With):
        under = next((found[1] for item in node.items if (found := EXTRA.match(ast.unparse(item)))), under)
    for child in ast.iter_child_nodes(node):
        yield from imported(child, under)


def test_every_import_is_a_declared_dependency_or_of_the_extra_that_its_block_names():
    owners = packages_distributions()
    for path in sorted(PACKAGE.rglob("*.py")):
        testing = OF_EXTRAS["testing"] if path.relative_to(PACKAGE).parts[0] == "testing" else set()
        for name, under in set(imported(ast.parse(path.read_text()))):
            if name in {*sys.stdlib_module_names, "assay", "_typeshed"}:
                continue
            found = {plain(owner) for owner in owners.get(name, [name])}
            allowed = BROUGHT | OF_EXTRAS["train"] | testing | OF_EXTRAS.get(under, set())
            assert found & allowed, f"{path.relative_to(ROOT)} imports {name}, which neither Assay nor '{under}' brings"


def test_the_distribution_has_one_name():
    assert PROJECT["name"] == DISTRIBUTION
    assert OF_EXTRAS["all"] == {DISTRIBUTION}
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *PACKAGE.rglob("*.py")]
    for path in texts:
        for found in re.findall(r"(?:pip|uv tool|pipx) install[^\n`]*", path.read_text()):
            named = re.findall(r"(?<![\w./-])assay(?:-imaging)?(?=[\['\" ]|$)", found)
            assert all(name == DISTRIBUTION for name in named), f"{path.relative_to(ROOT)}: {found}"


def test_each_library_of_networks_is_one_that_names_the_extra_train():
    text = (PACKAGE / "core" / "errors.py").read_text()
    (named,) = re.findall(r"_TRAIN = \((.*)\)", text)
    assert {library.replace("-", "_") for library in OF_EXTRAS["train"]} == set(re.findall(r'"(\w+)"', named))


def test_an_absent_library_names_its_extra():
    with (
        pytest.raises(ExtraError, match=r"'no_such_library', which is not installed: pip install 'assay-imaging\[x\]'"),
        extra("x"),
    ):
        import no_such_library  # noqa: F401


ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)
sys.meta_path.insert(0, Absent())
from assay.cli import main
main()
"""


def without(names: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line as in an environment that lacks these libraries."""
    code = ABSENT.format(names=names)
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )


@pytest.mark.parametrize(
    ("library", "scale", "line"),
    first_of(
        [
            ("monai", "quick", "pip install 'assay-imaging[monai]'"),
            ("segmentation_models_pytorch", "paper", "pip install 'assay-imaging[smp]'"),
        ]
    ),
)
def test_a_study_that_needs_an_absent_extra_is_refused_before_it_runs(library: str, scale: str, line: str):
    done = without({library}, "run", "lesion-loss-ood", "--scale", scale, "--out", "nowhere")
    assert done.returncode == 2
    assert line in done.stderr


def test_what_needs_no_extra_runs_without_any():
    done = without({"monai", "segmentation_models_pytorch", "nibabel", "pydicom", "tifffile"}, "show", "nodule-loss")
    assert done.returncode == 0, done.stderr
