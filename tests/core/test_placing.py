"""Weights that turn out to be wrong when they are read are told with the line of the study that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.core.errors import WeightsError
from assay.core.placing import placing

STUDY = """\
scales:
  quick: {recipe.initialisation: {file: {path: weights.pt}}}
recipe:
  initialisation:
    - random
    - file: {path: weights.pt}
    - download: {url: "https://a.org/w.pt"}
"""


def said(source: Any, given: str, **asked: Any) -> str:
    with pytest.raises(WeightsError) as caught, placing(source, **asked):
        raise WeightsError("it is of another network", given)
    return str(caught.value)


def test_the_line_is_that_which_names_the_weights(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(STUDY)
    path = str(tmp_path / "weights.pt")
    at = "recipe.initialisation"
    told = "path = 'weights.pt'\n  it is of another network"
    assert said(study, path) == f"{study}:6: {at}[1].file.{told}"
    assert said(study, path, scale="quick") == f"{study}:2: {at}.file.{told}"
    assert said(study, path, overrides=[f"{at}={{file: {{path: {path}}}}}"]).startswith(f"--set: {at}.file.path = ")
    assert said(study, "https://a.org/w.pt").startswith(f"{study}:7: {at}[2].download.url = ")


def test_what_has_no_line_is_told_by_its_keys_or_as_it_is(tmp_path: Path) -> None:
    study = {"recipe": {"initialisation": {"file": {"path": "/w.pt"}}}}
    assert said(study, "/w.pt") == "recipe.initialisation.file.path = '/w.pt'\n  it is of another network"
    assert said(study, "") == said(study, "/other.pt") == "it is of another network"
