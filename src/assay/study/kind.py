"""The kinds of runs."""

from __future__ import annotations

from collections.abc import Mapping

from assay.store.audit_tables import AUDIT_TABLES, EVERY_TABLE
from assay.store.columns import Table
from assay.store.kinds import Kind
from assay.store.schema import MODEL_TABLES, TABLES


def _only(*names: str) -> Mapping[str, Table]:
    return {name: EVERY_TABLE[name] for name in names}


_OF_STUDY = "assay.results.study_blocks:PAGE"
STUDY = Kind("study", "a study", TABLES, "run the study, which trains only what is missing", _OF_STUDY, "name",
             from_records=True)  # fmt: skip
MODEL = Kind("model", "a model probed by itself", MODEL_TABLES,
             "probe the model again, which reads only what is missing", _OF_STUDY, from_records=True)  # fmt: skip
AUDIT = Kind("audit", "an audit", AUDIT_TABLES, "run `assay audit` again, which reads only what is missing",
             "assay.results.audit_blocks:PAGE", "model, target or images")  # fmt: skip
COMPARISON = Kind("comparison", "a comparison of predictions",
                  _only("contrasts", "findings", "estimates", "values", "seeds", "provenance"),
                  "run `assay compare` again", _OF_STUDY)  # fmt: skip
AUDITS = Kind("comparison of audits", "a comparison of audits", _only("compared", "provenance"),
              "run `assay audit compare` again", "assay.results.audit_blocks:COMPARED")  # fmt: skip
PREVIEW = Kind("preview", "a preview", _only("findings", "environments", "visibility", "shortcuts", "issues",
               "pictures", "provenance", "counts", "power"), "run `assay preview` again",
               "assay.results.preview_blocks:PREVIEW")  # fmt: skip
LOOK = Kind("look", "a look at images", _only("findings", "shortcuts", "issues", "pictures", "provenance"),
            "run `assay look` again", "assay.report.look_page:LOOK")  # fmt: skip
