"""Built-in studies of published experiments have the published settings, or name each difference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from assay.spec.load import apply_scale, study_files
from assay.spec.yaml import read_yaml

LISTED: Mapping[str, Mapping[str, Any]] = YAML(typ="safe").load(Path(__file__).with_name("published_settings.yaml"))


def written(study: str, scale: str) -> Mapping[str, Any]:
    return apply_scale(read_yaml(study_files()[study]), scale).values


def value_at(values: Any, place: str) -> Any:
    for key in place.split("."):
        values = values[int(key)] if isinstance(values, list) else values[key]
    return values


@pytest.mark.parametrize("name", LISTED)
def test_a_study_has_the_published_settings_or_names_the_difference(name: str) -> None:
    listed = LISTED[name]
    values = written(listed["study"], listed.get("scale", "default"))
    differences = " ".join(values["differences"])
    for setting in listed["settings"]:
        assert ":" in setting["line"] or "/" in setting["line"] or setting["line"].endswith(".ipynb")
        if "differs" in setting:
            assert setting["differs"] in differences, setting
        else:
            assert value_at(values, setting["at"]) == setting["value"], setting


@pytest.mark.parametrize("name", [name for name in LISTED if "scale" not in LISTED[name]])
def test_differences_are_in_the_first_lines(name: str) -> None:
    text = study_files()[LISTED[name]["study"]].read_text(encoding="utf-8")
    keys = [line.partition(":")[0] for line in text.splitlines() if line[:1].isalpha()]
    assert keys[:3] == ["name", "question", "differences"]
