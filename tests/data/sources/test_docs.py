"""The how-to holds: its studies' `data:` parse, and its own layout loads and passes the conformance suite."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conformance.dataset import DatasetConformance
from tests.data.sources.making import noise, save

from assay.core.spec import DataSpec
from assay.data.cache import ArrayCache
from assay.data.dataset import Dataset

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
    assert "4 images of 4 patients: not melanoma 2, melanoma 2" in capsys.readouterr().out


class TestOwnLayout(DatasetConformance):
    """The layout of the how-to."""

    def make(self, folder: Path, cache: ArrayCache) -> Dataset:
        if not folder.exists():
            for at in range(6):
                save(folder / f"p{at // 2}_{('left', 'right')[at % 2]}_{at % 4}.png", noise(at, side=32))
        names: dict[str, Any] = {}
        exec(PYTHON[1], names)
        return names["load_eyes"](DataSpec(folder=str(folder), size=32), cache)
