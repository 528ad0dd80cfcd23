"""The pages, and the code that stands in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])


def name(page: Path) -> str:
    """How a page is called in a test's id."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """Every `assay ...` in an indented or fenced block, without its comment and where its output goes."""
    lines = re.findall(r"^(?:    |\$ )(assay .*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines += [line for block in blocks(page, "(?:sh|bash)") for line in block.splitlines() if line.startswith("assay ")]
    return [re.split(r"\s+#|\s+>", line)[0].strip() for line in lines]
