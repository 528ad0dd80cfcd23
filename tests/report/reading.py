"""What the tests of the report ask of a made-up study: its evidence and its page."""

from __future__ import annotations

import re
from pathlib import Path

from tests.worlds.tables import StudyTables, make_run

from assay.report.page import write_page

DOSED = StudyTables(
    losses=("cross-entropy", "supcon"),
    budgets=("10",),
    environments=("same", "neutral", "reversed"),
    probes=("performance",),
    pictures=False,
    more=(("confounder", ("tag", "low-pass")), ("p", ("0", "0.3", "1"))),
)
"""A dose-response of two losses and two confounders."""


def page_of(root: Path, made: StudyTables) -> str:
    """The page of a made-up study."""
    return write_page(make_run(root, made)).read_text(encoding="utf-8")


def require_links(page: str) -> None:
    """Check that every link leads somewhere, and that no id occurs twice."""
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    assert len(ids) == len(set(ids))
