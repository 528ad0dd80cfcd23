"""The kind of a comparison of predictions."""

from __future__ import annotations

from assay.store.kinds import Kind
from assay.store.schema import TABLES
from assay.validate.kind import DIFFERENCES

COMPARISON = Kind(
    "comparison",
    "a comparison of predictions",
    {name: TABLES[name] for name in ("contrasts", "findings", "estimates", "values", "seeds", "provenance")}
    | {DIFFERENCES.name: DIFFERENCES},
    "run `assay compare` again",
    "assay.study.page:PAGE",
)
