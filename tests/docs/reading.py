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
    """Return every `assay ...` of indented blocks and fenced blocks of a shell, without comments and redirections."""
    text = page.read_text(encoding="utf-8")
    lines = re.findall(r"^(?:    |\$ )(assay .*)$", text, flags=re.MULTILINE)
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    shell = [block for language, block in fenced if language in ("", "sh", "bash", "console")]
    lines += [line for block in shell for line in block.splitlines() if line.startswith("assay ")]
    return [re.split(r"\s+#|\s+>", line)[0].strip() for line in lines]


def named_commands(page: Path) -> list[str]:
    """Return every `assay ...` in a sentence or a cell of a table."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`(assay [a-z][^`\n]*)`", text)
