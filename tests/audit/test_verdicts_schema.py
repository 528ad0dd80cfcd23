"""The JSON schema of `verdicts.json` in the package is the one that the tables make."""

from __future__ import annotations

from assay.audit.verdicts_file import SCHEMA_FILE, verdicts_schema
from assay.store.files import json_text


def test_the_schema_of_verdicts_is_as_it_is_made() -> None:
    made = json_text(verdicts_schema(), sort_keys=False)
    assert SCHEMA_FILE.read_text(encoding="utf-8") == made, "write it: python -m tests.audit.test_verdicts_schema"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json_text(verdicts_schema(), sort_keys=False), encoding="utf-8")
