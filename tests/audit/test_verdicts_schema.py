"""The JSON schema of `verdicts.json` in the package is the one that the tables make."""

from __future__ import annotations

import json

from assay.audit.verdicts_file import SCHEMA_FILE, verdicts_schema


def text() -> str:
    return json.dumps(verdicts_schema(), indent=1, ensure_ascii=False) + "\n"


def test_the_schema_of_verdicts_is_as_it_is_made() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == text(), "write it: python -m tests.audit.test_verdicts_schema"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(text(), encoding="utf-8")
