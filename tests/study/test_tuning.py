"""Fair tuning: equal trials for every recipe, on seeds of their own, chosen on validation images."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from tests.worlds.studies import SMALL

from assay.cli import main
from assay.core.errors import SpecError
from assay.spec.parse import parse_study
from assay.study import tuning
from assay.study.tuning import Tried, changes_of, plan_tuning, write_tuned

PLACE = "recipe.optimizer.adamw.lr"
STUDY = f"""# A study with comments
data: {json.dumps(SMALL["data"])}
environments: {json.dumps(SMALL["environments"])}
recipe:
  loss: [cross-entropy, supcon]   # two losses
  epochs: [1, 2]
  batch_size: 8
  streams: [0, 1]
grid: {{only: [{{streams: 0}}, {{loss: cross-entropy}}]}}
seeds: 3
probes: [performance]
contrasts:
  - {{axis: loss, against: cross-entropy, environment: reversed, where: {{epochs: 2, streams: 0}}}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(STUDY)
    return path


def test_every_recipe_gets_every_value_on_seeds_of_its_own(file: Path) -> None:
    made = plan_tuning(str(file), PLACE, [0.01, 0.1, 1], seeds=2)
    assert made.by == ("loss",)
    points = [(point.coordinates["loss"], point.coordinates[made.axis]) for point in made.spec.points]
    assert points == [(loss, lr) for loss in ("cross-entropy", "supcon") for lr in ("0.01", "0.1", "1")]
    own = range(made.spec.first_seed, made.spec.first_seed + made.spec.seeds)
    assert not {*own} & {*range(made.study.first_seed, made.study.first_seed + 1000)}
    assert (made.spec.probes, made.spec.contrasts) == ((), ())
    both = plan_tuning(str(file), PLACE, [0.01, 0.1], by=["loss", "epochs"])
    assert len(both.spec.points) == 2 * 2 * 2


def rows_of(made: tuning.Tuning, best: dict[str, float]) -> list[Tried]:
    return [
        Tried((("loss", loss),), value, (1.0, 1.0), value == lr) for loss, lr in best.items() for value in made.values
    ]


def test_chosen_values_are_written_beside_comments_and_mean_the_same(file: Path, tmp_path: Path) -> None:
    made = plan_tuning(str(file), PLACE, [0.01, 0.1])
    alike = write_tuned(made, rows_of(made, {"cross-entropy": 0.1, "supcon": 0.1}), tmp_path / "out", in_place=False)
    assert file.read_text() == STUDY
    assert alike is not None
    assert "# two losses" in alike.read_text()
    written = parse_study(alike)
    assert {point.recipe.optimizer.params["lr"] for point in written.points} == {0.1}
    apart = write_tuned(made, rows_of(made, {"cross-entropy": 0.1, "supcon": 0.01}), tmp_path, in_place=True)
    assert apart == file
    found = {(point.recipe.loss.name, point.recipe.optimizer.params["lr"]) for point in parse_study(file).points}
    assert found == {("cross-entropy", 0.1), ("supcon", 0.01)}
    assert parse_study(file).axes == made.study.axes  # contrasts go on to name the loss alone


def test_relative_paths_stay_right_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "data.csv").write_text("image,malignant\na.png,0\nb.png,1\n")
    path = tmp_path / "files.yaml"
    path.write_text(
        "data: {folder: set}\nenvironments: {train: {}, same: {}}\nrecipe: {loss: [cross-entropy, focal]}\n"
    )
    made = plan_tuning(str(path), "recipe.batch_size", [16, 32], by=["loss"])
    rows = rows_of(made, {"cross-entropy": 16, "focal": 32})
    assert changes_of(made, rows, moved=True)["data.folder"] == str(tmp_path / "set")
    write_tuned(made, rows, tmp_path / "elsewhere", in_place=False)


def test_an_anchor_that_would_change_another_part_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shared.yaml"
    source = "sources: {a: {data: {phantom: nodule, core: size, target: large}, recipe: &how {batch_size: 16}}}\n"
    rest = "data: {phantom: nodule, core: margin}\nenvironments: {train: {}, same: {}}\nrecipe: *how\n"
    path.write_text(source + rest)
    made = plan_tuning(str(path), "recipe.batch_size", [32, 64])
    with pytest.raises(SpecError, match="an anchor shares the tuned value"):
        write_tuned(made, [Tried((), 32, (1.0,), True)], tmp_path, in_place=True)
    assert path.read_text() == source + rest


def test_the_lowest_validation_score_is_chosen_and_test_images_are_not_read(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["tune", str(file), "--axis", PLACE, "--values", "1e-9, 0.01", "-o", str(tmp_path), "-w", "0", "-q"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--json"])
    assert ended.value.code in (0, None)
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert {row["loss"]: row["value"] for row in said["tried"] if row["chosen"]} == {
        "cross-entropy": "0.01",
        "supcon": "0.01",
    }
    assert len(said["cautions"]) == 2  # both lie at the end of the values
    root = tmp_path / "mine-tuning"
    with (root / "tuning.csv").open() as table:
        assert len(list(csv.DictReader(table))) == 4
    assert not list((root / "readings").glob("*"))
    trials = {path: path.stat().st_mtime_ns for path in (root / "trials").rglob("record.json")}
    assert len(trials) == 8
    with pytest.raises(SystemExit):
        main(command)
    assert {path: path.stat().st_mtime_ns for path in (root / "trials").rglob("record.json")} == trials
    assert "0.01: " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*command, "--dry-run"])
    assert "nothing to train" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("place", "values", "by", "why"),
    [
        (PLACE, [0.1], (), "at least two different values"),
        ("data.size", [32, 64], (), "give a field of the recipe"),
        ("recipe.optimizer.adamw.lrr", [1, 2], (), "unknown key 'lrr'"),
        (PLACE, [0.1, 0.2], ("los",), "did you mean 'loss'"),
    ],
)
def test_a_wrong_request_is_refused(file: Path, place: str, values: list[float], by: Any, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        plan_tuning(str(file), place, values, by=by)
