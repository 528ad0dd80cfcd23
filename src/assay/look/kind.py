"""The kind of a look at images, and its table of embeddings."""

from __future__ import annotations

from assay.store.columns import IMAGES, INTERVAL, PATIENTS, REASON, Column, Table, estimate
from assay.store.kinds import Kind
from assay.store.schema import TABLES

DECODED = Table(
    "decoded",
    "target or column that is predicted from embeddings in other patients",
    (
        Column("name", "the target or column"),
        Column(
            "kind",
            "target; cue, the best simple cue of the target; column, predicted within classes",
            values=("target", "cue", "column"),
            cell="code",
        ),
        Column("source", "embeddings, or the name of the simple cue", head="predicted from"),
        Column("of", "class of the target that is predicted best; empty of a column", head="class"),
        estimate("value", "AUROC; of a column the mean over levels and classes"),
        *INTERVAL,
        IMAGES,
        PATIENTS,
        REASON,
    ),
    ("name", "kind", "source", "of", "value", "low", "high", "images", "patients", "reason"),
)
LOOK = Kind(
    "look",
    "a look at images",
    {name: TABLES[name] for name in ("findings", "shortcuts", "issues", "pictures", "provenance")}
    | {DECODED.name: DECODED},
    "run `assay look` again",
    "assay.look.page:LOOK",
)
