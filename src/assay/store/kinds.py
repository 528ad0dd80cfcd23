"""Kinds of runs: the file of a run folder that names each, its tables, and its words in errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assay.store.audit_tables import AUDIT_TABLES, EVERY_TABLE
from assay.store.columns import Table
from assay.store.schema import MODEL_TABLES, TABLES


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    Attributes:
        name: Its name, which the folder keeps.
        words: Its name with an article, for errors.
        tables: Its tables by name, the most requested first.
        again: How its tables are made again.
        document: File of the run folder that keeps what was asked for.
        from_records: Whether its records suffice to compute the tables again.
    """

    name: str
    words: str
    tables: Mapping[str, Table]
    again: str
    document: str = "request.json"
    from_records: bool = False


def _only(*names: str) -> Mapping[str, Table]:
    return {name: EVERY_TABLE[name] for name in names}


STUDY = Kind(
    "study", "a study", TABLES, "run the study, which trains only what is missing", "study.json", from_records=True
)
MODEL = Kind(
    "model",
    "a model probed by itself",
    MODEL_TABLES,
    "probe the model again, which reads only what is missing",
    from_records=True,
)
AUDIT = Kind(
    "audit", "an audit", AUDIT_TABLES, "run `assay audit` again, which reads only what is missing", "audit.json"
)
COMPARISON = Kind(
    "comparison",
    "a comparison of predictions",
    _only("contrasts", "findings", "estimates", "values", "seeds", "provenance"),
    "run `assay compare` again",
)
AUDITS = Kind(
    "comparison of audits", "a comparison of audits", _only("compared", "provenance"), "run `assay audit compare` again"
)
PREVIEW = Kind(
    "preview",
    "a preview",
    _only("findings", "environments", "visibility", "shortcuts", "issues", "pictures", "provenance", "counts", "power"),
    "run `assay preview` again",
)

LOOK = Kind(
    "look",
    "a look at images",
    _only("findings", "shortcuts", "issues", "pictures", "provenance"),
    "run `assay look` again",
)

KINDS = {kind.name: kind for kind in (STUDY, MODEL, AUDIT, COMPARISON, AUDITS, PREVIEW, LOOK)}
"""Every kind of run by name."""
