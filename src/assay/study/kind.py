"""The kinds of runs."""

from __future__ import annotations

from collections.abc import Mapping

from assay.audit.tables import AUDIT_TABLES, EVERY_TABLE
from assay.store.columns import Table
from assay.store.kinds import Kind
from assay.store.schema import MODEL_TABLES, TABLES


def _only(*names: str) -> Mapping[str, Table]:
    return {name: EVERY_TABLE[name] for name in names}


_OF_STUDY = "assay.study.page:PAGE"
STUDY = Kind("study", "a study", TABLES, "run the study, which trains only what is missing", _OF_STUDY, "name",
             from_records=True)  # fmt: skip
MODEL = Kind("model", "a model probed by itself", MODEL_TABLES,
             "probe the model again, which reads only what is missing", _OF_STUDY, from_records=True)  # fmt: skip
AUDIT = Kind("audit", "an audit", AUDIT_TABLES, "run `assay audit` again, which reads only what is missing",
             "assay.audit.page:PAGE", "model, target or images")  # fmt: skip
COMPARISON = Kind("comparison", "a comparison of predictions",
                  _only("contrasts", "findings", "estimates", "values", "seeds", "provenance"),
                  "run `assay compare` again", _OF_STUDY)  # fmt: skip
AUDITS = Kind("comparison of audits", "a comparison of audits", _only("compared", "provenance"),
              "run `assay audit compare` again", "assay.audit.page:COMPARED")  # fmt: skip
PREVIEW = Kind("preview", "a preview", _only("findings", "environments", "visibility", "shortcuts", "issues",
               "pictures", "provenance", "counts", "power"), "run `assay preview` again",
               "assay.study.preview_page:PREVIEW")  # fmt: skip
LOOK = Kind("look", "a look at images", _only("findings", "shortcuts", "issues", "pictures", "provenance"),
            "run `assay look` again", "assay.look.page:LOOK")  # fmt: skip
