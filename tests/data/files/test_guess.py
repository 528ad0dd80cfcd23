"""Contents of folders are guessed from names and values, and can be read as they are guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assay.data.files.guess import guess
from assay.plugin import ArrayCache, DataSpec, SpecError, load_dataset


def _images(folder: Path, names: list[str]) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(255 * (pixels // 128) if "masks" in name else pixels).save(folder / name)


def _table(folder: Path, head: str, rows: list[str], name: str = "data.csv") -> None:
    (folder / name).write_text("\n".join([head, *rows]) + "\n")


def _classes(folder: Path, data: dict[str, object]) -> tuple[str, ...]:
    spec = DataSpec.model_validate({**data, "size": 16})
    return load_dataset(spec, ArrayCache(folder / "cache")).table.classes


def test_table(tmp_path: Path) -> None:
    """Files, target, patient and masks are found by content and name; the rest are levels, numbers or names."""
    names = [f"scans/{at:02d}.png" for at in range(12)]
    _images(tmp_path, names + [name.replace("scans", "masks") for name in names])
    rows = [
        f"{at},{name},{name.replace('scans', 'masks')},S{at // 2},{30.5 + at},{'mf'[at % 2]},{'ab'[at % 2]},"
        f"{at % 3 > 0:d}"
        for at, name in enumerate(names)
    ]
    _table(tmp_path, "id,file,segmentation,subject_id,age,sex,split,diagnosis", rows)
    found = guess(tmp_path)
    assert found == guess(tmp_path / "data.csv")
    assert (found.image, found.mask, found.target, found.patient) == ("file", "segmentation", "diagnosis", "subject_id")
    assert found.targets == ("diagnosis", "sex")
    assert {name: one.kind for name, one in found.columns.items()} == {
        "age": "continuous",
        "sex": "categorical",
        "split": "categorical",
    }
    assert _classes(tmp_path, found.data()) == ("not diagnosis", "diagnosis")
    assert guess(tmp_path, "sex").target == "sex"
    with pytest.raises(SpecError, match="no column 'dignosis'"):
        guess(tmp_path, "dignosis")


def test_names_without_folder_or_ending(tmp_path: Path) -> None:
    """A table that names images by stem is joined with the folder; a lone column of few values is the target."""
    _images(tmp_path, [f"deep/in/x{at}.png" for at in range(8)])
    _table(tmp_path, "isic,kind", [f"x{at},{'nevus' if at % 2 else 'melanoma'}" for at in range(8)], "train.csv")
    found = guess(tmp_path)
    assert (found.image, found.target, len(found.rows)) == ("image", "kind", 8)
    assert _classes(tmp_path, {**found.data(), "positive": ["melanoma"]}) == ("nevus", "melanoma")


def test_decimal_commas_of_a_joined_table_stay_numbers(tmp_path: Path) -> None:
    _images(tmp_path, [f"png/x{at}.png" for at in range(12)])
    rows = [f"x{at}.png;{'ja' if at % 3 else 'nein'};{at // 2};{20 + at},5" for at in range(12)]
    _table(tmp_path, "Dateiname;Befund;PatID;Alter", rows, "export.csv")
    found = guess(tmp_path, "Befund")
    assert (found.patient, found.columns["Alter"].kind) == ("PatID", "continuous")
    spec = DataSpec.model_validate({**found.data(), "factors": {"Alter": "continuous"}, "size": 16})
    ages = load_dataset(spec, ArrayCache(tmp_path / "cache")).table.columns
    assert sorted(ages["Alter"].tolist()) == [20.5 + at for at in range(12)]


def test_patients_of_one_image_each_are_patients(tmp_path: Path) -> None:
    """A column that repeats comes first: of two it is the one that says what belongs together."""
    names = [f"{at}.png" for at in range(6)]
    _images(tmp_path, names)
    rows = [f"{name},{at % 2},P{at},S{at // 2}" for at, name in enumerate(names)]
    _table(tmp_path, "image,mass,patient,subject", rows)
    assert guess(tmp_path).patient == "subject"
    _table(tmp_path, "image,mass,patient", [row.rpartition(",")[0] for row in rows])
    assert guess(tmp_path).patient == "patient"


def test_folders(tmp_path: Path) -> None:
    """A folder per class, inside of train and test too, and masks beside images."""
    plain, parted, masked, empty = (tmp_path / name for name in ("plain", "parted", "masked", "empty"))
    _images(plain, [f"{name}/{at}.png" for name in ("cat", "dog") for at in range(3)])
    _images(
        parted, [f"{part}/{name}/{at}.png" for part in ("train", "test") for name in ("ill", "well") for at in "12"]
    )
    _images(masked, [f"{part}/{at}.png" for part in ("images", "masks") for at in range(3)])
    empty.mkdir()
    assert guess(plain).data() == {"classes": str(plain)}
    found = guess(parted)
    assert (found.target, list(found.columns), len(found.rows)) == ("label", ["split"], 8)
    assert _classes(tmp_path, found.data()) == ("well", "ill")
    assert (guess(masked).target, guess(masked).table) == ("lesion", "")
    assert guess(masked).of_masks
    assert "unmasked" not in guess(masked).data()
    with pytest.raises(SpecError, match="nothing labels its images"):
        guess(empty)


def test_no_target(tmp_path: Path) -> None:
    """Where several columns may be the target, one has to be named."""
    _images(tmp_path, [f"{at}.png" for at in range(8)])
    _table(tmp_path, "image,sex,site", [f"{at}.png,{'mf'[at % 2]},{'xy'[at // 4]}" for at in range(8)])
    with pytest.raises(SpecError, match=r"name it.* it has sex, site"):
        guess(tmp_path).data()


def test_a_column_image_of_participants_names_no_file(tmp_path: Path) -> None:
    """The files of a participant are those of its folder, whatever the table says in a column of that name."""
    _images(tmp_path, [f"sub-{at}/anat/sub-{at}_T1w.png" for at in range(8)])
    rows = [f"sub-{at}\tsub-{7 - at}/anat/sub-{7 - at}_T1w.png\t{'mf'[at % 2]}" for at in range(8)]
    _table(tmp_path, "participant_id\timage\tsex", rows, "participants.tsv")
    found = guess(tmp_path, "sex")
    assert all(row["image"].startswith(f"{row['participant_id']}/") for row in found.rows)
    assert "column image of participants.tsv is not used" in found.matched
