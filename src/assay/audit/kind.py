"""The kinds of runs of a model of yours: an audit, a comparison of audits, and a model probed by itself."""

from __future__ import annotations

from assay.audit.tables import AUDIT_TABLES, COMPARED
from assay.store.kinds import Kind
from assay.store.schema import MODEL_TABLES, PROVENANCE

AUDIT = Kind(
    "audit",
    "an audit",
    AUDIT_TABLES,
    "run `assay audit` again, which reads only what is missing",
    "assay.audit.page:PAGE",
    "model, target or images",
    writer="assay.audit.cards:write_outcome",
)
AUDITS = Kind(
    "comparison of audits",
    "a comparison of audits",
    {"compared": COMPARED, "provenance": PROVENANCE},
    "run `assay audit compare` again",
    "assay.audit.compare_page:COMPARED",
)
MODEL = Kind(
    "model",
    "a model probed by itself",
    MODEL_TABLES,
    "probe the model again, which reads only what is missing",
    "assay.study.page:PAGE",
    rebuild="assay.audit.model:tables_of",
)
