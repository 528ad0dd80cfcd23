"""The kind of a comparison of predictions."""

from __future__ import annotations

from assay.store.kinds import Kind
from assay.store.schema import TABLES

COMPARISON = Kind("comparison", "a comparison of predictions",
                  {name: TABLES[name] for name in ("contrasts", "findings", "estimates", "values", "seeds",
                                                   "provenance")},
                  "run `assay compare` again", "assay.study.page:PAGE")  # fmt: skip
