"""The kinds of runs of studies: a study and its preview."""

from __future__ import annotations

from assay.store.kinds import Kind
from assay.store.schema import COUNTS, POWER, TABLES

STUDY = Kind(
    "study",
    "a study",
    TABLES,
    "run the study, which trains only what is missing",
    "assay.study.page:PAGE",
    "name",
    "give one of the studies another name",
    rebuild="assay.study.tables:tables_of",
)
_OF_PREVIEW = ("findings", "environments", "visibility", "shortcuts", "issues", "pictures", "provenance")
PREVIEW = Kind(
    "preview",
    "a preview",
    {**{name: TABLES[name] for name in _OF_PREVIEW}, "counts": COUNTS, "power": POWER},
    "run `assay preview` again",
    "assay.study.preview_page:PREVIEW",
    other_place_hint="give one of the studies another name",
)
