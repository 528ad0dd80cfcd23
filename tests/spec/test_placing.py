"""What turns out to be wrong when it is read is told with the line of the study that names it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from assay.core.errors import UnfitError
from assay.plugin import SpecError, WeightsError
from assay.spec.parse import locate_errors, read_study

STUDY = """\
scales:
  quick: {recipe.initialization: {file: {path: weights.pt}}}
recipe:
  initialization:
    - random
    - file: {path: weights.pt}
    - download: {url: "https://a.org/w.pt"}
"""


def said(source: Any, given: str, **asked: Any) -> str:
    with pytest.raises(WeightsError) as caught, locate_errors(partial(read_study, source), **asked):
        raise WeightsError("it is of another network", given)
    return str(caught.value)


def test_the_line_is_that_which_names_the_weights(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(STUDY)
    path = str(tmp_path / "weights.pt")
    at = "recipe.initialization"
    told = "path = 'weights.pt'\n  it is of another network"
    assert said(study, path) == f"{study}:6: {at}[1].file.{told}"
    assert said(study, path, scale="quick") == f"{study}:2: {at}.file.{told}"
    assert said(study, path, overrides=[f"{at}={{file: {{path: {path}}}}}"]).startswith(f"--set: {at}.file.path = ")
    assert said(study, "https://a.org/w.pt").startswith(f"{study}:7: {at}[2].download.url = ")


def test_what_has_no_line_is_told_by_its_keys_or_as_it_is(tmp_path: Path) -> None:
    study = {"recipe": {"initialization": {"file": {"path": "/w.pt"}}}}
    assert said(study, "/w.pt") == "recipe.initialization.file.path = '/w.pt'\n  it is of another network"
    assert said(study, "") == said(study, "/other.pt") == "it is of another network"


CHANGED = """\
environments:
  train:
    interventions:
      tag: {size: 0.2}
      ruler: {marks: 90}
    dose: {confounder: [hair, {text-line: {size: 0.5}}], p: [0, 1]}
  big:
    interventions:
      tag: {size: 1.5, share: 0.5}
"""


def refused(source: Any, *names: str, **asked: Any) -> str:
    known = {"tag": {"size": 1.5}, "ruler": {"marks": 90}, "text-line": {"size": 0.5}, "hair": {}, "pen": {"width": 2}}
    with pytest.raises(SpecError) as caught, locate_errors(partial(read_study, source), **asked):
        raise UnfitError({name: (known[name], "it is too large") for name in names})
    return str(caught.value)


def test_every_intervention_that_does_not_fit_is_told_with_the_line_that_has_its_arguments(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(CHANGED)
    assert refused(study, "tag", "ruler", "text-line", "hair") == "\n".join(
        [
            f'{study}:5: environments.train.interventions.ruler = {{"marks": 90}}\n  it is too large',
            f'{study}:6: environments.train.dose.confounder[1].text-line = {{"size": 0.5}}\n  it is too large',
            f"{study}:6: environments.train.dose.confounder[0] = 'hair'\n  it is too large",
            f'{study}:9: environments.big.interventions.tag = {{"size": 1.5, "share": 0.5}}\n  it is too large',
        ]
    )
    asked = ["environments.train.interventions.tag.size=1.5"]
    told = "--set: environments.train.interventions.tag.size = 1.5\n  it is too large"
    assert refused(study, "tag", overrides=asked) == told
