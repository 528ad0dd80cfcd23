"""Imports go one way and in no cycle, and light modules stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "assay"

ORDER = (
    "core", "spec", "data", "maps", "stats", "shifts", "models", "training", "probes", "store", "execution", "report",
    "look", "validate", "study", "audit", "compare", "cli",
)  # fmt: skip
"""A room imports those before it. `testing` and the modules beside the rooms may import all."""
FEATURES: Mapping[str, tuple[str, ...]] = {
    "look": ("checks", "cues", "image_cues", "added"),
    "validate": ("paired", "curves", "kind", "words"),
    "study": ("families", "run.prepare", "run.train_only", "records"),
    "audit": (),
    "compare": (),
}
"""Feature -> what other features may import of it."""
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "spec": {"core"},
    "data": {"core", "spec"},
    "maps": {"core"},
    "stats": {"core"},
    "shifts": {"core", "spec", "data"},
    "models": {"core", "spec", "data"},
    "training": {"core", "spec", "data", "maps", "stats", "shifts", "models"},
    "probes": {"core", "spec", "data", "maps", "stats", "shifts", "models"},
    "store": {"core"},
    "execution": {"core", "spec", "data", "maps", "stats", "shifts", "models", "training", "probes", "store"},
    "report": {"core", "data", "maps", "stats", "shifts", "store"},
}  # fmt: skip
"""Room that knows no feature -> the other rooms it may import."""
HEAVY = {
    "torch",
    "torchvision",
    "torchmetrics",
    "pandas",
    "scipy",
    "timm",
    "monai",
    "sklearn",
    "pytorch_metric_learning",
}


@cache
def imports(file: Path) -> set[tuple[int, str]]:
    """Every module that a file imports, wherever in it, as (line, dotted name); `from a import b` gives both."""
    module = ".".join(("assay", *file.relative_to(SOURCE).with_suffix("").parts))
    found: set[tuple[int, str]] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {(node.lineno, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module.rsplit(".", node.level)[0] + "." if node.level else ""
            base = (above + (node.module or "")).rstrip(".")
            found |= {(node.lineno, base)} | {(node.lineno, f"{base}.{alias.name}") for alias in node.names}
    return found


def files(part: str) -> list[Path]:
    return sorted((SOURCE / part).rglob("*.py"))


def module_of(file: Path) -> str:
    return ".".join(("assay", *file.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {module_of(file): file for file in sorted(SOURCE.rglob("*.py"))}


def place(module: str) -> tuple[str, str]:
    """Return the room of a module, and its name there."""
    _, room, rest = [*module.split(".", 2), "", ""][:3]
    return room, rest


@cache
def named(module: str) -> set[tuple[str, str]]:
    """Return what a module imports of Assay, wherever in it, as (module, name in it, or empty of all of it)."""
    found: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{module} imports relatively"
            whole = {alias.name for alias in node.names if f"{node.module}.{alias.name}" in MODULES}
            found |= {(f"{node.module}.{name}", "") for name in whole}
            found |= {(node.module, alias.name) for alias in node.names if alias.name not in whole}
    return {(other, name) for other, name in found if other in MODULES}


def may(room: str, other: str, module: str, name: str) -> bool:
    """Return whether a room may import a name of a module of another."""
    if room in MAY_IMPORT:
        return other in MAY_IMPORT[room]
    if ORDER.index(other) > ORDER.index(room):
        return False
    return room == "cli" or other not in FEATURES or not {module, f"{module}.{name}"}.isdisjoint(FEATURES[other])


def test_every_room_is_known() -> None:
    rooms = {place(module)[0] for module, file in MODULES.items() if file.read_text()}
    assert rooms - {"testing", *(module.split(".")[-1] for module in MODULES if module.count(".") == 1), ""} <= set(
        ORDER
    )


def test_imports_go_one_way() -> None:
    wrong = [
        f"{module} imports {name or 'all'} of {other}"
        for module in MODULES
        for other, name in named(module)
        if {room := place(module)[0], room_of_other := place(other)[0]} <= set(ORDER)
        and room != room_of_other
        and not may(room, *place(other), name)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_through_others() -> None:
    """Imports in functions and for types alone count too."""
    files = {
        ".".join(("assay", *file.relative_to(SOURCE).with_suffix("").parts)): file for file in SOURCE.rglob("*.py")
    }
    graph = {module: {name for _, name in imports(file)} & set(files) - {module} for module, file in files.items()}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the cycle


def test_nothing_leans_on_the_command_line() -> None:
    """It is one way to ask: who asks from Python needs none of it."""
    wrong = [
        f"{file.relative_to(SOURCE)}:{line} imports {name}"
        for file in sorted(SOURCE.rglob("*.py"))
        if file.relative_to(SOURCE).parts[0] not in ("cli", "__main__.py")
        for line, name in sorted(imports(file))
        if name.startswith("assay.cli")
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_imports_the_test_suites_or_pytest() -> None:
    """They are for tests alone, and pytest need not be installed."""
    wrong = [
        f"{file.relative_to(SOURCE)}:{line} imports {name}"
        for file in sorted(SOURCE.rglob("*.py"))
        if file.relative_to(SOURCE).parts[0] != "testing"
        for line, name in sorted(imports(file))
        if name.startswith("assay.testing") or name.split(".")[0] in ("pytest", "hypothesis", "tests")
    ]
    assert not wrong, "\n".join(wrong)


def test_the_suites_import_nothing_from_the_repositorys_tests() -> None:
    wrong = [name for file in files("testing") for _, name in imports(file) if name.split(".")[0] == "tests"]
    assert not wrong


def test_probes_take_only_metrics_from_statistics() -> None:
    """What is claimed is not for a probe to know: it may use how a number is computed, never how it is compared."""
    compared = ("assay.stats.compare", "assay.stats.findings", "assay.stats.estimate")
    wrong = [
        f"{file.name}:{line}" for file in files("probes") for line, name in imports(file) if name.startswith(compared)
    ]
    assert not wrong


@pytest.mark.parametrize("part", ["core", "stats"])
def test_parts_without_torch(part: str) -> None:
    heavy = {"torch", "torchvision", "timm", "torchmetrics", "monai"} if part == "stats" else HEAVY
    wrong = [
        f"{file.relative_to(SOURCE)}:{line} imports {name}"
        for file in files(part)
        for line, name in sorted(imports(file))
        if name.split(".")[0] in heavy
    ]
    assert not wrong, "\n".join(wrong)


def test_declaring_what_a_spec_can_name_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom assay.core.registry import entries\n"
        "import assay.spec.parse\nfrom assay.spec.load import builtin_studies\n"
        "assert entries()\nbuiltin_studies()\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tables_and_page_of_a_study_load_no_network() -> None:
    """`assay report` takes as long as its imports: it reads records, and neither images nor networks."""
    program = (
        "import sys\nimport assay.cli.results, assay.study.page, assay.study.tables\n"
        "print(sorted({'torch', 'numba', 'pandas', 'scipy.stats', 'scipy.optimize', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


OWN_BY_NAME = {"__init__.py", "plugin.py", "core/registry.py", "core/index.py"}
"""Files that import modules of Assay by name: components, and names of the public interface."""


def test_only_the_registry_imports_modules_by_name() -> None:
    """A module that another one names in a text is an import that the tests above cannot see."""
    own = {".".join(("assay", *file.relative_to(SOURCE).with_suffix("").parts)) for file in SOURCE.rglob("*.py")}
    wrong = [
        f"{file.relative_to(SOURCE)}:{node.lineno} names {node.value}"
        for file in sorted(SOURCE.rglob("*.py"))
        if str(file.relative_to(SOURCE)) not in OWN_BY_NAME
        and any(name.split(".")[0] == "importlib" for _, name in imports(file))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and node.value in own
    ]
    assert not wrong, "\n".join(wrong)
