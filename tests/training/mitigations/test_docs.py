"""The page on mitigations says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from assay.core.registry import entries, lookup
from assay.core.traits import MitigationTraits

PAGE = (Path(__file__).parents[3] / "docs/reference/mitigations.md").read_text(encoding="utf-8")
USED = PAGE.split("\n## Selection", 1)[0]
NAMES = [entry.name for entry in entries("mitigation")]


def told(value: object) -> str:
    return {"False": "false", str(PydanticUndefined): "needed", "": "found"}.get(str(value), str(value))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
def test_the_reference_names_every_argument_with_its_default(name: str) -> None:
    section = PAGE.split(f"### `{name}`\n", 1)[1].split("\n### ", 1)[0].split("\n## ", 1)[0]
    written = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, flags=re.MULTILINE))
    assert written == {
        key: told(field.default) for key, field in lookup("mitigation", name).params.model_fields.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_says_whose_labels_are_used(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` \| ([^|]+) \| ([^|]+) \|$", USED, flags=re.MULTILINE)
    given = {"intervention": "tag"} if name == "confounder-augmentation" else {}
    made = lookup("mitigation", name).traits_with(given)
    assert isinstance(made, MitigationTraits)
    first = {"none": "none", "training": "training rows", "validation": "validation rows"}[made.group_labels]
    assert row[0].split(",")[0] == first
    needs = "those that train the head" if made.needs_head else "all"
    assert row[1] == ("of single images" if made.weighs_images else needs)
