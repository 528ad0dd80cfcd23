"""The kind of a look at images."""

from __future__ import annotations

from assay.store.kinds import Kind
from assay.store.schema import TABLES

LOOK = Kind("look", "a look at images",
            {name: TABLES[name] for name in ("findings", "shortcuts", "issues", "pictures", "provenance")},
            "run `assay look` again", "assay.look.page:LOOK")  # fmt: skip
