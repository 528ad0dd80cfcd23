from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from assay.cli import main
from assay.plugin import RecipeSpec
from assay.spec.load import builtin_studies, study_files, study_yaml
from assay.spec.parse import parse_study
from assay.spec.schema import StudySpec
from assay.spec.yaml import parse_yaml, read_yaml
from assay.study.families import study_comparisons

COLUMNS = {
    "lung-nodule": "image mask malignant patient diameter_mm pixel_mm margin lobulation spiculation texture "
    "manufacturer",
    "chest-xray": "image finding labels patient sex age view origin",
    "dermoscopy": "image melanoma lesion sex age site",
    "fundus": "image grade patient eye macular_edema origin repeat_of",
    "fundus-eyepacs": "image grade patient eye origin",
    "foot-ulcer": "image mask split lesion_fraction",
    "polyp": "image mask kind lesion_fraction",
    "polyp-train": "image mask fold lesion_fraction",
}

EYES = ("eyepacs", "messidor", "messidor2")
WEIGHTS = ("tf_efficientnet_lite0.imagenet", "legacy_xception.imagenet", "legacy_xception.dermoscopy-ft")


@pytest.fixture(autouse=True)
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables with the columns of the real sets but no rows, and files in place of weights: examples are checked so."""
    for name, columns in COLUMNS.items():
        (tmp_path / name).mkdir()
        with (tmp_path / name / "data.csv").open("w", newline="") as file:
            csv.writer(file).writerow(columns.split())
    (tmp_path / "fundus" / "idrid.csv").write_text("image,grade,macular_edema,split,origin\n")
    (tmp_path / "fundus-eyepacs" / "aptos.csv").write_text("image,grade,origin,aspect,repeat_of\n")
    (tmp_path / "fundus" / "idrid_boxes.csv").write_text("image,kind,x0,y0,x1,y1\n")
    for name in ("ChestX-ray14", "chexpert", "LIDC-IDRI", "DFUC2022", "fuseg", "eyepacs-test", *EYES):
        (tmp_path / name).mkdir()
    for path in ("Keras/ResNet50_notop.pth", "RadImageNet/RadImageNet-ResNet50_notop.pth"):
        (tmp_path / "weights" / path).parent.mkdir(parents=True)
        (tmp_path / "weights" / path).write_text(path)
    for name in WEIGHTS:
        (tmp_path / "weights" / f"{name}.safetensors").write_text(name)
    monkeypatch.setenv("ASSAY_ASSETS", str(tmp_path))


def every_scale() -> list[tuple[str, str]]:
    return [
        (name, scale)
        for name in builtin_studies()
        for scale in ("default", *read_yaml(study_files()[name]).values.get("scales", {}))
    ]


@pytest.fixture(scope="module")
def sizes() -> dict[str, str]:
    """Sizes of studies as `assay list` has them."""
    with redirect_stdout(io.StringIO()) as listed, pytest.raises(SystemExit):
        main(["list", "studies", "--json"])
    return {row["name"]: row["size"] for row in json.loads(listed.getvalue())}


@pytest.mark.parametrize(("name", "scale"), every_scale())
def test_every_built_in_study_is_right_at_every_scale(name: str, scale: str, sizes: dict[str, str]) -> None:
    spec = parse_study(name, scale=scale)
    assert spec.name == name
    assert spec.points
    if scale == "default":
        folds = spec.data.split.folds or 1
        assert sizes[name].split(" training runs")[0] == str(len(spec.points) * spec.seeds * folds)


@pytest.mark.parametrize(("name", "recipes", "twins"), [("nodule-loss", 11, 1), ("lesion-loss-ood", 5, 2)])
def test_a_study_of_losses_has_four_primary_comparisons_and_both_controls(name: str, recipes: int, twins: int) -> None:
    spec = parse_study(name)
    roles = Counter(pair.contrast.role for pair in study_comparisons(spec))
    assert (roles["primary"], roles["positive-control"], roles["a-a"]) == (4, 1, twins)
    assert (spec.seeds, len(spec.points)) == (10, recipes)
    used = {point.label for pair in study_comparisons(spec) for point in (*pair.a, *pair.b)}
    assert used == {point.label for point in spec.points}  # no arm is trained that no comparison needs


@pytest.mark.parametrize(("name", "primary"), [("nodule-loss", 2), ("lesion-loss-ood", 1)])
def test_the_quick_scale_has_primary_comparisons_its_controls_and_five_seeds(name: str, primary: int) -> None:
    spec = parse_study(name, scale="quick")
    assert sorted(one.role for one in spec.contrasts) == ["a-a", "positive-control", *["primary"] * primary]
    assert spec.seeds >= 5


@pytest.mark.parametrize("name", ["nodule-loss", "lesion-loss-ood"])
def test_a_pilot_uses_its_own_seeds_and_compares_no_losses_of_the_study(name: str) -> None:
    spec, pilot = parse_study(name), parse_study(f"{name}-pilot")
    assert (pilot.first_seed, pilot.seeds) == (900, 3)
    assert pilot.data == spec.data
    assert {*pilot.axes.get("loss", ())} & {*spec.axes["loss"]} <= {"cross-entropy"}


@pytest.mark.parametrize("scale", ["default", "labels", "paper"])
def test_the_supervised_control_takes_the_steps_of_the_stage_without_labels(scale: str) -> None:
    """Pictures after pictures, against own photographs after pictures: within a twentieth."""
    spec = parse_study("dr-pretraining", scale=scale)
    control, own = spec.sources["pictures-more"], spec.sources["pictures-own"]

    def steps(recipe: RecipeSpec, images: int) -> int:
        return recipe.epochs * (images // recipe.batch_size)

    assert control.data is not None
    assert steps(control.recipe, control.data.train) == pytest.approx(steps(own.recipe, spec.data.train), rel=0.05)


DOCS = Path(__file__).parents[2] / "docs"
NEVER_RUN = {"dr-pretraining-aptos", "dr-pretraining-eyepacs", "lesion-loss-dfuc", "lesion-loss-endotect",
             "source-matters-amount", "source-matters-lidc", "source-matters-nih"}  # fmt: skip


def rows_of_studies() -> dict[str, str]:
    """Study -> its row among the results."""
    page = (DOCS / "results" / "real-images.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.partition("## Every built-in study")[2].splitlines() if "`" in line]
    return {name: row[2] for row in rows for name in study_files() if f"`{name}`" in row[0]}


def test_every_study_has_its_row_among_the_results() -> None:
    assert set(rows_of_studies()) == set(study_files())


@pytest.mark.parametrize("name", study_files())
def test_a_study_that_was_never_run_says_so_in_its_second_line_and_its_row(name: str) -> None:
    second = study_yaml(name).splitlines()[1]
    assert ("Never run" in second) == (name in NEVER_RUN)
    assert rows_of_studies()[name].startswith("never run") == (name in NEVER_RUN)


def test_pages_of_results_that_have_a_gallery_entry_are_of_registered_studies() -> None:
    names = re.findall(r"`assay run ([\w-]+) --scale quick`", (DOCS / "gallery.md").read_text(encoding="utf-8"))
    assert len(names) == 4
    for name in names:
        assert rows_of_studies()[name].startswith("registered, run twice")
        assert re.search(r"; registered .+ SHA-256", (DOCS / "results" / f"{name}.md").read_text(encoding="utf-8"))


def test_results_of_runs_that_were_not_registered_are_marked() -> None:
    """By the heading of their section or in their own line."""
    for page in sorted((DOCS / "results").glob("*.md")):
        if page.name in ("pilots.md", "audits.md"):
            continue  # none of these is a registered result
        for section in page.read_text(encoding="utf-8").split("\n## "):
            for line in section.splitlines():
                if re.search(r"[Ee]arlier (images|design)|read afterwards|painted over", line):
                    assert re.search(r"[Ee]xploratory|[Nn]ot registered", section.splitlines()[0] + line), line


def _settings(text: str) -> list[str]:
    """The lines of a study without what it copies from a publication, and says of it."""
    lines: list[str] = []
    copied = ""
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        if line.strip() and len(indent) <= len(copied) - 1:
            copied = ""
        if line.strip().partition(":")[0] in ("published", "differences") and not copied:
            copied = f"{indent} "
        if not copied:
            lines.append(line)
    return lines


def test_each_study_has_one_line_and_fits_a_screen_or_two() -> None:
    for name, line in builtin_studies().items():
        assert 20 < len(line) < 120, name
        assert line.endswith("."), name
        assert len(_settings(study_yaml(name))) <= 120, name
        assert max(map(len, study_yaml(name).splitlines())) <= 125, name


def test_name_file_and_mapping_are_the_same_study(tmp_path: Path) -> None:
    (tmp_path / "copy.yaml").write_text(study_yaml("nodule-loss"))
    sources = ("nodule-loss", tmp_path / "copy.yaml", read_yaml(study_files()["nodule-loss"]).values)
    by_name, by_file, by_values = (parse_study(source) for source in sources)
    assert (by_name.command, by_values.command) == ("assay run nodule-loss", "")
    unread = {"command": "", "file": ""}
    assert by_values == by_name.model_copy(update=unread) == by_file.model_copy(update=unread)


def test_a_study_as_it_was_changed_parses_to_the_same_study() -> None:
    for name in study_files():
        scale = "quick" if "quick" in read_yaml(study_files()[name]).values.get("scales", ()) else None
        spec = parse_study(name, scale=scale, overrides=["question=Another?"], seeds=4)
        assert "scales" not in spec.written
        assert parse_study(spec.written) == spec, name


def test_a_stored_study_cannot_test_on_training_rows_either() -> None:
    stored = parse_study("nodule-loss").model_dump(mode="json", context={"complete": True})
    name = next(iter(stored["points"][0]["tests"]))
    stored["points"][0]["tests"][name]["split"] = "train"
    with pytest.raises(ValueError, match=f"environment '{name}' is made from training rows, which its models have"):
        StudySpec.model_validate(stored)


def test_the_examples_of_the_reference_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHTS", str(tmp_path))
    (tmp_path / "resnet50.pth").write_bytes(b"weights")
    text = (Path(__file__).parents[2] / "docs" / "reference" / "spec.md").read_text()
    blocks = [block.partition("\n")[::2] for block in text.split("```")[1::2]]
    whole = parse_yaml(blocks[0][1], "spec.md")[0]
    assert parse_study(whole).axes == {"loss": ("cross-entropy", "supcon")}
    recipe = {**whole["recipe"], "epochs": [10, 20], "batch_size": [32, 64], "optimizer": {"adamw": {"lr": 0.001}}}
    for kind, body in blocks[1:]:
        if kind == "csv" or body.startswith("models:"):
            continue  # they need a table; tests/study/test_models_elsewhere.py
        if kind == "yaml":
            parse_study({**whole, "recipe": recipe, **parse_yaml(body, "spec.md")[0]})
        else:
            exec(body, {})  # the lines that a user copies


def test_studies_of_one_question_start_from_the_same_sources() -> None:
    names = ("source-matters", "source-matters-amount", "source-matters-rate", "source-matters-pilot")
    main, *others = (parse_study(name).sources for name in names)
    for sources in others:
        assert sources == {name: main[name] for name in sources}


@pytest.mark.parametrize("name", ["source-matters", "dr-pretraining"])
def test_studies_of_starts_state_primaries_with_margins_and_controls_on_seeds_of_their_own(name: str) -> None:
    spec, pilot = parse_study(name), parse_study(f"{name}-pilot")
    roles = [contrast.role for contrast in spec.contrasts]
    assert (roles.count("primary"), roles.count("positive-control"), roles.count("a-a")) == (4, 1, 1)
    assert spec.seeds == 10
    assert not set(range(spec.first_seed, spec.first_seed + spec.seeds)) & set(
        range(pilot.first_seed, pilot.first_seed + pilot.seeds)
    )
    quick = parse_study(name, scale="quick")
    assert [contrast.role for contrast in quick.contrasts] == ["primary", "positive-control"]
    assert quick.seeds >= 5
