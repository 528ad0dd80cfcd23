"""Places in the code that the pages name: every folder, every file, and the names in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from tests.docs.reading import PAGES, ROOT, name
from tests.test_import_direction import ORDER

SOURCE = ROOT / "src" / "assay"
DECISIONS = (ROOT / "docs/decisions/index.md").read_text(encoding="utf-8")
HEADING = "## In the code"
TOURS = {page: text.split(HEADING)[1] for page in PAGES if HEADING in (text := page.read_text(encoding="utf-8"))}
"""Page of a feature -> how data flows through it."""
STEPS = ("Command", "Request", "Run", "Tables", "Page")
BY_NAME = re.compile(r"`([\w/]+\.pyi?)`(?: \(((?:`[\w.]+`(?:, )?)+)\))?")
"""A file, one that every feature has where it has no folder, and names that it defines or imports."""


def defined(path: Path) -> set[str]:
    """Names of a module, and of the members of its classes as `Class.member`; none that a function has for itself."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names}
        else:
            names |= {
                part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            }
    return names


def absent(text: str) -> list[str]:
    """Files of a text that are neither below `src/assay` nor below `tests`, and names that are not in theirs."""
    missing: list[str] = []
    for file, names in BY_NAME.findall(text):
        places = [root / file for root in (SOURCE, ROOT / "tests", ROOT)] + sorted(SOURCE.glob(f"*/{file}"))
        path = next(filter(Path.is_file, places), None)
        own = set[str]() if path is None else defined(path)
        missing += [file] if path is None else []
        missing += [f"{file}: {one}" for one in re.findall(r"`([\w.]+)`", names) if one not in own]
    return missing


def test_the_layout_names_every_folder() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", DECISIONS, flags=re.MULTILINE))
    folders = [
        path.relative_to(SOURCE).as_posix()
        for path in sorted(SOURCE.rglob("*"))
        if path.is_dir() and path.name != "__pycache__"
    ]
    assert [folder for folder in table if folder in ORDER] == list(ORDER)
    assert set(table) == {folder for folder in folders if "/" not in folder}
    assert [folder for folder in folders if "/" in folder and f"`{folder}`" not in table[folder.split("/")[0]]] == []


@pytest.mark.parametrize("page", [*TOURS, ROOT / "CONTRIBUTING.md", ROOT / "docs/decisions/index.md"], ids=name)
def test_files_and_names_of_the_pages_are_in_the_code(page: Path) -> None:
    assert absent(TOURS.get(page, page.read_text(encoding="utf-8"))) == []


FEATURES = [path.parent.name for path in sorted(SOURCE.glob("*/kind.py"))]
FILES = {"command", "kind", "page", "request", "run", "words"}


@pytest.mark.parametrize("feature", FEATURES)
def test_a_folder_of_a_kind_of_run_has_the_same_six_files(feature: str) -> None:
    lacking = {"page"} if feature == "compare" else set[str]()  # its page is that of a study
    assert FILES - {path.stem for path in (SOURCE / feature).glob("*.py")} == lacking


@pytest.mark.parametrize("feature", FEATURES)
def test_a_page_says_how_data_flows_through_each_kind_of_run(feature: str) -> None:
    tours = [text for text in TOURS.values() if f"`{feature}/command.py`" in text]
    assert len(tours) == 1, f"one page needs '{HEADING}' with the way through {feature}/, as docs/how-to/look-first.md"
    assert re.findall(r"^\d\. (\w+)", tours[0], flags=re.MULTILINE) == list(STEPS)
    assert all(f"`{feature}/{file}.py`" in tours[0] for file in ("command", "request", "run"))
