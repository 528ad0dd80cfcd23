"""What names a trial, and what must never rename one."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, create_model
from tests.spec.conftest import STUDY, trial_ids

from assay.core import registry
from assay.core.files import canonical_json, content_hash, hash_by_last
from assay.plugin import Component, DataSpec, RecipeSpec
from assay.spec.parse import parse_study
from assay.spec.schema import EnvironmentSpec, StudySpec, TrainingSpec
from assay.spec.yaml import parse_yaml

Study = dict[str, Any]


def ids(study: Study) -> list[str]:
    return trial_ids(parse_study(study))


BASE = ids(STUDY)


def shuffled(value: Any, draw: Any) -> Any:
    """The same values with the keys of every mapping in another order."""
    if isinstance(value, dict):
        keys = draw(st.permutations(list(value)))
        return {key: shuffled(value[key], draw) for key in keys}
    return [shuffled(item, draw) for item in value] if isinstance(value, list) else value


@pytest.mark.slow
@given(st.data())
def test_the_order_of_keys_names_nothing(data: st.DataObject) -> None:
    assert sorted(ids(shuffled(STUDY, data.draw))) == sorted(BASE)


DEFAULTS: list[tuple[tuple[str, ...], Any]] = [
    (("recipe", "architecture"), "small-cnn"),
    (("recipe", "architecture"), {"small-cnn": {}}),
    (("recipe", "architecture"), {"small-cnn": None}),
    (("recipe", "optimizer"), {"adamw": {"weight_decay": 0.01}}),
    (("recipe", "augmentation"), ["flip", {"shift": {}}]),
    (("recipe", "batch_size"), 128),
    (("recipe", "selection"), "last"),
    (("recipe", "patience"), None),
    (("recipe", "loss"), [{"cross-entropy": {}}, {"supcon": {"temperature": 0.1}}]),
    (("data", "size"), 64.0),
    (("data", "validation"), 500),
    (("data", "phantom"), {"nodule": registry.lookup("phantom", "nodule").params().model_dump()}),
    (("environments", "train", "difficulty"), {"margin": 1}),
    (("environments", "train", "difficulty"), {"margin": 1.0, "size": 1}),
    (("environments", "train", "interventions"), {"tag": {"share": 0}}),
    (("environments", "train", "interventions"), {"tag": {"share": {"malignant": 0, "not malignant": 0.0}}}),
    (("environments", "train", "split"), "train"),
    (("environments", "train", "association"), {"texture": {"strength": 0.90, "given": {}}}),
]


@pytest.mark.parametrize(("keys", "value"), DEFAULTS)
def test_a_value_equal_to_its_default_names_nothing(study: Study, keys: tuple[str, ...], value: Any) -> None:
    target: Any = study
    for key in keys[:-1]:
        target = target[key]
    target[keys[-1]] = value
    assert ids(study) == BASE


@pytest.mark.slow
@given(st.floats(0.001, 1), st.sampled_from(["{!r}", "{:.17e}", "{:.17g}", "'{!r}'", "+{!r}"]))
def test_the_spelling_of_a_number_names_nothing(value: float, form: str) -> None:
    study = copy.deepcopy(STUDY)
    study["environments"]["train"]["association"]["texture"] = "STRENGTH"
    values, _ = parse_yaml(pyyaml.safe_dump(study).replace("STRENGTH", form.format(value)), "study")
    study["environments"]["train"]["association"]["texture"] = value
    assert ids(values) == ids(study)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"question": "Why?"},
        {"keep": "none"},
        {"probes": ["performance", {"reliance": {"samples": 128}}]},
        {"contrasts": [{"axis": "loss", "against": "supcon", "environment": "same"}]},
        {"scales": {"small": {"seeds": 1}}},
    ],
)
def test_what_is_not_trained_names_no_trial(study: Study, change: Study) -> None:
    assert ids({**study, **change}) == BASE


def test_tests_and_further_seeds_name_no_trial(study: Study) -> None:
    study["environments"]["faint"] = {"difficulty": {"margin": 0.5}}
    study["data"]["test"] = 77
    study["seeds"] = 3
    assert set(BASE) < set(ids(study))


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("recipe", "epochs"), 6),
        (("recipe", "batch_size"), 64),
        (("recipe", "optimizer"), {"adamw": {"lr": 0.5}}),
        (("recipe", "augmentation"), ["shift", "flip"]),
        (("data", "train"), 201),
        (("data", "validation"), 501),
        (("data", "phantom"), {"nodule": {"noise": 1.5}}),
        (("environments", "train", "difficulty"), {"margin": 0.9}),
        (("environments", "train", "where"), {"texture": ["solid", "part-solid"]}),
        (("environments", "train", "interventions"), {"tag": {"share": 0.001}}),
        (("environments", "train", "association"), {"texture": -0.9}),
    ],
)
def test_what_is_trained_names_the_trial(study: Study, keys: tuple[str, ...], value: Any) -> None:
    target: Any = study
    for key in keys[:-1]:
        target = target[key]
    target[keys[-1]] = value
    assert not set(ids(study)) & set(BASE)


def test_one_value_and_a_list_of_it_are_the_same_condition(study: Study) -> None:
    study["environments"]["train"]["where"] = {"texture": "solid"}
    one = ids(study)
    study["environments"]["train"]["where"] = {"texture": ["solid"]}
    assert ids(study) == one


def test_an_intervention_that_an_association_marks_is_on_rows(study: Study) -> None:
    study["environments"]["train"] = {"association": {"tag": 0.5}, "interventions": {"tag": {"share": 0}}}
    assert set(ids(study)).isdisjoint(ids({**study, "environments": {"train": {}, "same": {}}}))


def test_yaml_and_python_give_the_same_study(study: Study, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(pyyaml.safe_dump(study))
    read = parse_study(tmp_path / "study.yaml")
    assert read.command.startswith("assay run ")
    assert read.model_copy(update={"command": "", "file": ""}) == parse_study(study)
    study["recipe"]["loss"] = tuple(study["recipe"]["loss"])
    assert ids(study) == BASE


def test_a_new_field_with_a_default_renames_nothing() -> None:
    spec = parse_study(STUDY)
    longer: Any = create_model("RecipeSpec", __base__=RecipeSpec, dropout=(float, Field(0.0)))
    point = spec.points[0]
    recipe = longer.model_validate({name: getattr(point.recipe, name) for name in RecipeSpec.model_fields})
    training = TrainingSpec.model_construct(
        data=spec.data.for_training(), environment=point.train, recipe=recipe, seed=0
    )
    assert "dropout" not in recipe.canonical()
    assert {**training.canonical(), "recipe": recipe.canonical()} == TrainingSpec(
        data=spec.data.for_training(), environment=point.train, recipe=point.recipe, seed=0
    ).canonical()


def test_the_id_of_a_trial_names_every_field_of_its_training() -> None:
    assert set(TrainingSpec.model_fields) == {"data", "environment", "recipe", "seed", "fold", "members"}


@pytest.fixture
def newer_supcon() -> Iterator[None]:
    entries: dict[tuple[str, str], registry.Entry] = vars(registry)["_indexed_entries"]()
    old = registry.lookup("loss", "supcon")
    entries["loss", "supcon"] = replace(old, version=2)
    yield
    entries["loss", "supcon"] = old


@pytest.mark.usefixtures("newer_supcon")
def test_a_component_of_a_new_version_renames_its_trials_alone(study: Study) -> None:
    now = ids(study)
    assert now[:2] == BASE[:2]  # cross-entropy
    assert set(now[2:]).isdisjoint(BASE[2:])


@pytest.mark.slow
def test_a_dotted_path_enters_with_its_module_file(tmp_path: Path) -> None:
    module = tmp_path / "my_losses.py"
    program = (
        "import json\nfrom assay.spec.schema import Component\n"
        "print(json.dumps(Component(kind='loss', name='my_losses:Mine').canonical()))"
    )

    def canonical(text: str) -> Any:
        module.write_text(text)
        run = [sys.executable, "-B", "-c", program]
        done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)["my_losses:Mine"]["source"]

    first = canonical("def Mine(context):\n    pass\n")
    assert canonical("def Mine(context):\n    pass\n") == first
    assert canonical("def Mine(context):\n    pass  # other\n") != first


ARGUMENTS = ("source", "version", "name", "kind", "params", "temperature")


def test_every_argument_of_a_users_own_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is named like what stands beside arguments in a name: the hash of the file."""
    monkeypatch.syspath_prepend(tmp_path)
    taken = ", ".join(f"{name}: float = 0" for name in ARGUMENTS)
    (tmp_path / "hungry.py").write_text(f"def Mine(context, *, {taken}):\n    pass\n")

    def id(**params: float) -> str:
        return content_hash(Component(kind="loss", name="hungry:Mine", params=params).model_dump())

    params = [{name: value} for name in ARGUMENTS for value in (1.0, 2.0)]
    every = [id(), *(id(**one) for one in params), *(id(source=1, version=other) for other in (1, 2))]
    assert len(set(every)) == len(every)
    (tmp_path / "sated.py").write_text((tmp_path / "hungry.py").read_text() + "# another file\n")
    bodies = [
        Component(kind="loss", name=f"{name}:Mine", params={"source": 1}).model_dump() for name in ("hungry", "sated")
    ]
    assert bodies[0]["hungry:Mine"] != bodies[1]["sated:Mine"], "its file names it too"


def test_a_version_and_an_argument_of_that_name_stand_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    versioned = create_model("Versioned", __base__=registry.Params, version=(int, 0))

    def body(code: int, **params: int) -> Any:
        entry = registry.Entry("loss", "supcon", "a:b", lambda: registry.Arguments(versioned), "", version=code)
        monkeypatch.setitem(vars(registry)["_indexed_entries"](), ("loss", "supcon"), entry)
        return canonical_json(Component(kind="loss", name="supcon", params=params).model_dump())

    every = [body(1), body(1, version=2), body(2), body(2, version=2), body(2, version=3)]
    assert len(set(every)) == len(every)


def test_the_three_parts_have_hashes_of_their_own(study: Study) -> None:
    study["contrasts"] = [{"axis": "loss", "against": "cross-entropy", "environment": "same"}]

    def parts(spec: StudySpec) -> tuple[str, str, str]:
        return spec.training_hash, spec.probe_hash, spec.contrast_hash

    trained, probed, compared = parts(parse_study(study))
    by_override = {
        "contrasts.0.environment=reversed": (True, True, False),
        "probes=[performance, reliance]": (True, False, True),
        "environments.reversed.association.texture=-0.5": (True, False, True),
        "data.test=99": (True, False, True),
        "seeds=3": (False, True, True),
        "recipe.epochs=6": (False, True, True),
        "environments.train.association.texture=0.8": (False, False, True),
        "name=other": (True, True, True),
    }
    for override, same in by_override.items():
        now = parts(parse_study(study, overrides=[override]))
        assert tuple(a == b for a, b in zip(now, (trained, probed, compared), strict=True)) == same, override


def test_sentences_on_how_images_were_found_are_in_no_hash() -> None:
    first, second = (DataSpec(folder="set", target="label", guessed=word, matched=(word,)) for word in ("a", "b"))
    assert first.for_training() == second.for_training() == DataSpec(folder="set", target="label").for_training()
    both = DataSpec(tests={"other": first}), DataSpec(tests={"other": second})
    assert both[0].without_words().canonical() == both[1].without_words().canonical()
    assert both[0].canonical() != both[1].canonical(), "a run folder keeps them"


def test_a_training_spec_is_restored_from_its_complete_form(study: Study) -> None:
    study["environments"]["train"]["interventions"] = {"tag": {"share": 0}}
    point = parse_study(study).points[1]
    training = TrainingSpec(data={"a": 1}, environment=point.train, recipe=point.recipe, seed=3)
    complete = training.model_dump(mode="json", context={"complete": True})
    assert TrainingSpec.model_validate(complete) == training
    assert "tag" in TrainingSpec.model_validate(complete).environment.interventions
    assert EnvironmentSpec.for_training(training.environment) == training.canonical()["environment"]


def test_a_hash_by_its_last_value_is_that_of_the_whole() -> None:
    parts = {"environment": {"p": 0.5, "name": "naïve"}, "kept": [1, 2.0]}
    found = hash_by_last({name: canonical_json(part) for name, part in parts.items()}, "trial")
    for trial in ("a1", 'b"2', "c3"):
        assert found(canonical_json(trial)) == content_hash({**parts, "trial": trial})
    with pytest.raises(ValueError, match="zoom does not come before trial"):
        hash_by_last({"zoom": "1"}, "trial")
