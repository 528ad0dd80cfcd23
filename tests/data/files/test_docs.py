"""The how-to holds: its studies' `data:` parse, and its loading example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from tests.worlds.files import noise, save

from assay.plugin import DataSpec

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "add-a-dataset.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_the_data_part_of_a_study_parses(block: str) -> None:
    spec = DataSpec.model_validate(yaml.safe_load(block))
    assert sum(bool(place) for place in (spec.folder, spec.classes, spec.medmnist)) == 1


def test_the_loading_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    for at in range(4):
        save(tmp_path / "my-images" / f"{at}.png", noise(at))
    rows = "".join(f"{at}.png,{at % 2}\n" for at in range(4))
    (tmp_path / "my-images" / "data.csv").write_text(f"image,melanoma\n{rows}")
    exec(PYTHON[0], {})  # the page's own code
    assert "4 images, patients not named: not melanoma 2, melanoma 2" in capsys.readouterr().out
