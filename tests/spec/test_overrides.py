from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml

from assay.plugin import SpecError
from assay.spec.parse import parse_study

Study = dict[str, Any]


def test_set_replaces_adds_and_reads_yaml(study: Study) -> None:
    spec = parse_study(study, overrides=["recipe.epochs=[5, 10]", "recipe.optimizer.sgd.lr=1e-3"])
    assert spec.axes["epochs"] == ("5", "10")
    assert spec.points[0].recipe.optimizer.label == "sgd(lr=0.001)"


def test_later_settings_win_and_seeds_come_last(study: Study) -> None:
    study["scales"] = {"quick": {"seeds": 1, "recipe.epochs": 2}}
    spec = parse_study(study, scale="quick")
    assert (spec.seeds, spec.points[0].recipe.epochs) == (1, 2)
    spec = parse_study(study, scale="quick", overrides=["recipe.epochs=3", "recipe.epochs=4", "seeds=7"], seeds=9)
    assert (spec.seeds, spec.points[0].recipe.epochs) == (9, 4)
    assert parse_study(study, scale="default") == parse_study(study)


@pytest.mark.parametrize(("part", "name"), [("environments", "environment"), ("sources", "source")])
def test_a_field_of_a_part_that_is_not_there_is_a_slip_of_the_pen(study: Study, part: str, name: str) -> None:
    study["sources"] = {"shapes": {"data": {"phantom": "natural", "size": 32, "target": "kind", "core": "kind"}}}
    known = {"environments": "same", "sources": "shapes"}[part]
    with pytest.raises(SpecError) as told:
        parse_study(study, overrides=[f"{part}.{known[:-1]}.data=1"])
    assert str(told.value).startswith(f"--set: unknown {name} '{known[:-1]}': did you mean '{known}'?")
    assert str(told.value).endswith(f"\n  {part}.{known[:-1]}={{...}} makes a new one")


def test_an_argument_is_set_in_a_component_named_by_a_word(study: Study) -> None:
    study |= {"recipe": {"loss": "supcon"}, "probes": ["performance", "reliance"]}
    spec = parse_study(study, overrides=["recipe.loss.supcon.temperature=0.5", "probes.reliance.samples=128"])
    assert spec.points[0].recipe.loss.label == "supcon(temperature=0.5)"
    assert [probe.label for probe in spec.probes] == ["performance", "reliance(samples=128)"]


def test_a_wrong_scale_is_told_with_its_own_line(study: Study, tmp_path: Path) -> None:
    study["scales"] = {"quick": {"recipe.epochs": 0}}
    text = pyyaml.safe_dump(study, sort_keys=False)
    (tmp_path / "study.yaml").write_text(text)
    line = next(i for i, written in enumerate(text.splitlines(), 1) if "recipe.epochs" in written)
    with pytest.raises(SpecError) as caught:
        parse_study(tmp_path / "study.yaml", scale="quick")
    assert str(caught.value).splitlines()[0] == f"{tmp_path}/study.yaml:{line}: recipe.epochs = 0"


@pytest.mark.parametrize("name", ["../../../x", "a/b", "..", ".hidden", "", "a\nb", "x" * 101])
def test_a_scale_whose_name_leads_out_of_the_folder_of_runs_is_refused(name: str, study: Study) -> None:
    study["scales"] = {name: {"seeds": 1}}
    for chosen in (name, None):
        with pytest.raises(SpecError, match=r"(?s)scales\..* expected letters, digits, .*: it names the run's folder"):
            parse_study(study, scale=chosen)


def test_null_unsets_a_key_of_the_data(study: Study) -> None:
    without = {**study, "data": {name: value for name, value in study["data"].items() if name != "train"}}
    assert parse_study(study, overrides=["data.train=null"]) == parse_study(without)
    assert parse_study(study, overrides=[("data.train", None), "data.validation=null"]) == parse_study(without)
