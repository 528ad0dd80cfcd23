"""What a user is told of the data: unseen levels, a column and a mark that are there already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from syrupy.assertion import SnapshotAssertion

from assay.execution.jobs import population_of
from assay.execution.plan import make_plan
from assay.execution.workspace import Workspace
from assay.look.checks import data_checks
from assay.plugin import RunFolder
from assay.report.sentences.reasons import reason_words
from assay.shifts import population as scene
from assay.spec.parse import parse_study
from assay.stats.findings import parse_finding
from assay.store.description import read_description, write_description
from assay.study.confounders import ConfounderSample, cautions
from assay.study.described import DataTables, describe, gather_records
from assay.study.preview import preview_tables

PATIENTS = 120


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gray images: `reader` is the target under another name, `site` C has every tenth patient, and every tenth image
    is white where the tag would stand.
    """
    folder = tmp_path_factory.mktemp("images")
    draw = np.random.default_rng(0)
    rows = ["image,ill,who,reader,site,age,tag"]
    for i in range(PATIENTS):
        pixels = draw.integers(60, 140, (32, 32)).astype(np.uint8)
        tagged = i % 10 == 0
        if tagged:
            pixels[:] = 255
            pixels[0, 0] = i  # no two images alike
        Image.fromarray(pixels).save(folder / f"{i}.png")
        ill = i // 2 % 2
        site = "C" if i % 10 == 5 else "AB"[draw.integers(2)]
        rows.append(f"{i}.png,{ill},p{i},{'dr-' + str(ill)},{site},{draw.integers(20, 80)},{int(tagged)}")
    (folder / "data.csv").write_text("\n".join(rows) + "\n")
    return folder


def study(images: Path, **changes: Any) -> dict[str, Any]:
    factors = {"reader": "categorical", "site": "categorical", "age": {"kind": "continuous"}}
    data = {"folder": str(images), "target": "ill", "patient": "who", "size": 32, "factors": factors}
    environments = {
        "train": {"where": {"site": ["A", "B"]}},
        "same": {"like": "train"},
        "elsewhere": {"where": {"site": ["A", "C"]}},
        "tagged": {"interventions": {"tag": {"share": 1}}},
    }
    return {
        "name": "told",
        "data": data,
        "environments": environments,
        "seeds": 1,
        "probes": ["performance"],
        "recipe": {"epochs": 1},
        **changes,
    }


def told(tmp_path: Path, **study: Any) -> tuple[str, ...]:
    spec = parse_study(study)
    population = population_of(spec.data, Workspace(tmp_path, tmp_path / "cache"))
    return tuple(map(reason_words, cautions(spec, population, ConfounderSample.at(spec, population))))


def test_every_caution_is_given_with_its_figures(images: Path, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    asked = study(images)
    spec = parse_study(asked)
    population = population_of(spec.data, Workspace(tmp_path, tmp_path / "cache"))
    table = population.scene(spec.points[0].tests, 0).environment("elsewhere").table
    levels = table.factor("site").levels
    strange = int((table.columns["site"] == levels.index("C")).sum())
    everywhere = population.scene(spec.points[0].tests, 0).environment("tagged").table
    also = int((everywhere.columns["site"] == levels.index("C")).sum())
    assert strange > 0
    found = told(tmp_path, **asked)
    assert f"C ({strange}) of {len(table)} images" in found[0]
    assert f"C ({also}) of {len(everywhere)} images" in found[1]
    assert found == snapshot


def test_unseen_levels_of_folds_are_counted_over_all_of_them(
    images: Path, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    """Site C has 12 of the 120 images and no training row of any fold has it: every test row of it counts, once."""
    asked = study(images)
    asked["data"]["split"] = {"folds": 3}
    asked["environments"] = {"train": {"where": {"site": ["A", "B"]}}, "all": {}}
    (said,) = [text for text in told(tmp_path, **asked) if "levels of" in text]
    assert "C (12) of 120 images" in said
    assert said == snapshot


def test_a_segmentation_with_a_target_other_than_lesions_is_warned_of(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    asked: dict[str, Any] = {
        "name": "other",
        "data": {"phantom": "nodule", "size": 32, "train": 64, "validation": 16, "test": 32, "core": "margin"},
        "environments": {"train": {}, "same": {"like": "train"}},
        "recipe": {"task": "segmentation", "architecture": "small-unet", "loss": "dice", "epochs": 1},
        "seeds": 1,
    }
    assert told(tmp_path, **asked) == snapshot
    asked["data"] = {"phantom": "endoscopy", "size": 64, "train": 16, "validation": 8, "test": 8,
                     "core": "lesion", "target": "lesion"}  # fmt: skip
    assert told(tmp_path, **asked) == ()


def test_nothing_is_told_where_there_is_nothing(tmp_path: Path) -> None:
    assert (
        told(
            tmp_path,
            name="quiet",
            data={"phantom": "nodule", "size": 32, "train": 64, "validation": 16, "test": 32, "core": "margin"},
            environments={
                "train": {"dose": {"confounder": {"tag": {"shape": "rectangle"}}, "p": [0, 1]}},
                "clean": {"like": "train", "dose": {"p": 0}},
                "tagged": {"like": "train", "dose": {"p": 1, "on": "both"}},
            },
            recipe={"epochs": 1},
            seeds=1,
        )
        == ()
    )


def dosed(tmp_path: Path, confounder: Any, p: list[float], size: int = 64) -> tuple[str, ...]:
    return told(
        tmp_path,
        name="dosed",
        data={"phantom": "nodule", "size": size, "train": 40, "validation": 16, "test": 32, "core": "margin"},
        environments={
            "train": {"dose": {"confounder": confounder, "p": p}},
            "clean": {"like": "train", "dose": {"p": 0}},
        },
        recipe={"epochs": 1},
        seeds=1,
    )


def test_a_dose_that_is_on_no_image_is_warned_of(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    (said,) = dosed(tmp_path, "tag", [0, 0.01, 1])
    assert said == snapshot
    assert dosed(tmp_path, "tag", [0, 0.05, 1]) == ()


@pytest.mark.parametrize(
    ("confounder", "height"),
    [
        ({"tag": {"size": 0.08}}, "5"),
        ({"laterality-marker": {"size": 0.08}}, "5.1"),
        ({"text-line": {"size": 0.06}}, "3.8"),
        ({"tag": {"size": 0.11}}, ""),
        ({"tag": {"size": 0.08, "shape": "rectangle"}}, ""),
    ],
)
def test_letters_that_cannot_be_read_are_warned_of(tmp_path: Path, confounder: dict[str, Any], height: str) -> None:
    said = [text for text in dosed(tmp_path, confounder, [0, 1]) if "letters" in text]
    (name,) = confounder
    assert [text.partition("(")[0] for text in said] == ([f"confounder '{name}"] if height else [])
    assert not height or f" {height} px high" in said[0]


def test_tests_that_disagree_are_named_and_the_first_decides(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    tests: dict[str, Any] = {
        "faint": {"interventions": {"tag": {"size": 0.1}}},
        "same": {"interventions": {"tag": {"size": 0.1}}},
        "large": {"interventions": {"tag": {"size": 0.3}}},
    }
    data = {"phantom": "nodule", "size": 80, "train": 64, "validation": 16, "test": 32, "core": "margin"}
    asked = {"name": "two", "data": data, "environments": {"train": {}, **tests}, "recipe": {"epochs": 1}, "seeds": 1}
    (said,) = told(tmp_path, **asked)
    tests["faint"]["association"] = {"texture": {"strength": 0, "high": ["solid"]}}
    tests["large"]["association"] = {"texture": {"strength": 0.5, "high": ["ground-glass"]}}
    decided = scene.TestEnvironments(parse_study(asked | {"environments": {"train": {}, **tests}}).points[0].tests)
    assert (said, decided.disagreements[1]) == snapshot
    assert decided.interventions["tag"].component.params["size"] == 0.1
    assert decided.ties["texture"] == ("solid",)


def test_preview_tells_them_and_the_folder_keeps_them_for_the_page(images: Path, tmp_path: Path) -> None:
    spec = parse_study(study(images))
    place = Workspace(tmp_path / "run", tmp_path / "cache")
    population = population_of(spec.data, place)
    checks = data_checks(spec.data, population.dataset)
    expected = (*checks.reasons, *cautions(spec, population, ConfounderSample.at(spec, population)))
    found = preview_tables(spec, population, tmp_path / "preview")["findings"]
    assert tuple(parse_finding(row).reason for row in found) == expected
    write_description(
        place.folder, describe(gather_records(make_plan(spec, population), place.folder, population), population)
    )
    assert read_description(RunFolder(place.root), DataTables).cautions == expected


def test_the_column_that_divides_the_rows_is_no_level_unseen(images: Path, tmp_path: Path) -> None:
    asked = study(images)
    asked["data"]["split"] = {"column": "site", "means": {"A": "train", "B": "validation", "C": "test"}}
    asked["environments"] = {"train": {}, "all": {}}
    assert not [text for text in told(tmp_path, **asked) if "levels of" in text]
