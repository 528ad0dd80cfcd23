"""Groups that a mitigation needs are looked for when a study is planned, and the page's study of mitigations is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.docs.reading import ROOT, blocks
from tests.worlds.studies import plan_tiny

from assay.plugin import DataError
from assay.spec.yaml import parse_yaml

OWN = "tests.training.mitigations.own"
MITIGATIONS = ROOT / "docs/reference/mitigations.md"
(BLOCK,) = (block for block in blocks(MITIGATIONS, "yaml") if "name:" in block)
PAGE: dict[str, Any] = parse_yaml(BLOCK, "the page")[0]
REWEIGHED: dict[str, Any] = {"epochs": 2, "batch_size": 8, "groups": "tag", "mitigation": ["none", OWN + ":Reweighted"]}


def dosed(p: list[float]) -> dict[str, Any]:
    train = {"dose": {"confounder": "tag", "p": p}, "rows": 64}
    return {"environments": {"train": train, "same": {"like": "train"}}, "recipe": REWEIGHED}


def test_a_dose_on_one_class_is_refused_before_anything_is_trained_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        plan_tiny(tmp_path / "run", **dosed([0.5, 1]))
    text = str(refused.value)
    assert text.startswith(
        f"mitigation '{OWN}:Reweighted' needs at least 1 training row in every group of the target with 'tag', and the "
        "rows are not malignant, without: 32; not malignant, with: 0; malignant, without: "
    )
    assert text.endswith(
        ": tie it by `association` below strength 1 (a dose on one class leaves a group empty), use more rows, or "
        "choose a recipe without groups"
    )
    assert not (tmp_path / "run").exists()


def test_at_p_0_there_is_one_value_and_the_way_out_is_the_same(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        plan_tiny(tmp_path / "run", **dosed([0, 0.5]))
    assert str(refused.value) == (
        "groups by 'tag' need at least 2 of its values, and all 64 rows have without: name a factor that varies, such "
        "as an intervention tied by `association` ({tag: 0} puts it on half of the rows)"
    )


def test_plain_training_beside_asks_for_no_groups(tmp_path: Path) -> None:
    recipe = {**REWEIGHED, "mitigation": ["none", OWN + ":Lenient"]}
    assert plan_tiny(tmp_path / "run", **{**dosed([0.5, 1]), "recipe": recipe}).plan.trials


def test_the_study_of_the_page_is_planned(tmp_path: Path, page_modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(page_modules)
    assert plan_tiny(tmp_path / "run", **PAGE).plan.trials
