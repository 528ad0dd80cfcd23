"""A model that one has: which thresholds images of validation set, against values worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.worlds.files import save, write_table
from torch import nn

import assay
from assay.plugin import ReadingError, SpecError

SIDE = 16


class Gray(nn.Module):
    """Its logit of a pixel is twenty times the pixel above 0.3; of an image, that of its mean."""

    def __init__(self, *, dense: bool) -> None:
        super().__init__()
        self.dense = dense

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 20 * ((images if self.dense else images.mean((1, 2, 3))) - 0.3)


def squares(folder: Path, grays: list[int]) -> dict[str, Any]:
    """Black images of which each shows a lesion, a square of one gray; the last one none, with a square of 200. A
    corner tells those of one folder from those of another.
    """
    rows: list[list[object]] = [["image", "mask"]]
    for at, gray in enumerate([*grays, 200]):
        pixels, mask = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
        pixels[4:10, 4:10] = gray
        pixels[0, 0] = len(folder.name)
        mask[4:10, 4:10] = 255 * (at < len(grays))
        save(folder / f"{at}.png", pixels)
        save(folder / f"m{at}.png", mask)
        rows.append([f"{at}.png", f"m{at}.png"])
    write_table(folder / "data.csv", rows)
    return {"folder": str(folder), "target": "lesion", "mask": "mask", "size": SIDE}


def plain(folder: Path, grays: dict[int, int]) -> dict[str, Any]:
    """Images of one gray each, with their class; the same in no two folders of other names."""
    rows: list[list[object]] = [["image", "label"]]
    for at, (gray, label) in enumerate(grays.items()):
        pixels = np.full((SIDE, SIDE), gray, np.uint8)
        pixels[0, 0] = len(folder.name)
        save(folder / f"{at}.png", pixels)
        rows.append([f"{at}.png", label])
    write_table(folder / "data.csv", rows)
    return {"folder": str(folder), "target": "label", "size": SIDE}


def measured(measure: str, **asked: Any) -> float:
    found = assay.probe(progress=False, **asked).table()
    (row,) = found.query(f"measure == '{measure}' and factor == '' and group == ''").to_dict("records")
    return float(row["value"])


def test_lesions_of_the_validation_set_the_thresholds_of_a_segmentation(tmp_path: Path) -> None:
    """Nine of the ten are found down to a gray of 110, eight down to 120; the healthy image's square is grayer."""
    given: dict[str, Any] = {
        "model": Gray(dense=True),
        "data": squares(tmp_path / "tested", [105, 115, 125, 150]),
        "validation": squares(tmp_path / "validation", [100, 110, 120, 130, 140, 150, 160, 170, 180, 190]),
        "probes": ["segmentation", "lesion-free"],
        "task": "segmentation",
    }
    assert measured("lesion-sensitivity-at-80", **given) == 2 / 4
    assert measured("lesion-sensitivity-at-90", **given) == 3 / 4
    assert measured("lesion-sensitivity-at-95", **given) == 1
    assert measured("false-positive-rate-at-90", **given) == 1
    assert np.isnan(measured("lesion-sensitivity-at-90", **{**given, "validation": None}))


def test_between_two_classes_they_set_the_one_that_parts_them_best(tmp_path: Path) -> None:
    """Validation parts at a gray of 45, far below p = 0.5; there one of the two diseased test images is called."""
    given: dict[str, Any] = {
        "model": Gray(dense=False),
        "data": plain(tmp_path / "tested", {10: 0, 20: 0, 50: 0, 30: 1, 60: 1}),
        "validation": plain(tmp_path / "validation", {20: 0, 30: 0, 40: 0, 50: 1, 60: 1}),
    }
    assert measured("sensitivity", **given) == 1 / 2
    assert measured("specificity", **given) == pytest.approx(2 / 3)
    assert measured("sensitivity", **{**given, "validation": None}) == 0


class Grades(nn.Module):
    """Five logits of an image of one gray: the nearest multiple of 50 is the likeliest grade."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return -((255 * images.mean((1, 2, 3))[:, None] / 50 - torch.arange(5)) ** 2)


def test_a_model_of_grades_gets_their_measures(tmp_path: Path) -> None:
    """Of six, the grade 3 is called 1. Below the cut lie grays of 0, 1 and 60, above 50, 100 and 200; validation parts
    between 70 and 90.
    """
    given: dict[str, Any] = {
        "model": Grades(),
        "data": {**plain(tmp_path / "tested", {0: 0, 1: 0, 60: 1, 100: 2, 50: 3, 200: 4}), "referable": 2},
    }
    called, true = np.array([0, 0, 1, 2, 1, 4]), np.array([0, 0, 1, 2, 3, 4])
    weights = (np.arange(5)[:, None] - np.arange(5)) ** 2
    seen, by_chance = np.zeros((5, 5)), np.outer(np.bincount(true, minlength=5), np.bincount(called, minlength=5)) / 6
    np.add.at(seen, (true, called), 1)
    kappa = 1 - (weights * seen).sum() / (weights * by_chance).sum()
    assert measured("quadratic-weighted-kappa", **given) == pytest.approx(kappa)
    assert measured("auroc-referable", **given) == pytest.approx(8 / 9)
    assert measured("auroc-referable", **{**given, "data": {**given["data"], "referable": 4}}) == 1
    assert "sensitivity-at-specificity-90" not in set(assay.probe(**given, progress=False).table().measure)
    told = {**given, "validation": plain(tmp_path / "validation", {0: 0, 10: 0, 40: 1, 70: 1, 90: 2, 190: 3, 210: 4})}
    assert measured("sensitivity-at-specificity-90", **told) == pytest.approx(2 / 3)
    assert measured("specificity-kept-90", **told) == 1


def test_grades_of_which_there_is_no_image_are_classes_where_they_are_declared(tmp_path: Path) -> None:
    data = plain(tmp_path, {0: 0, 50: 1, 200: 4})
    with pytest.raises(ReadingError) as refused:
        assay.probe(Grades(), data, progress=False)
    assert str(refused.value) == (
        "the model gave 5 logits per image, environment 'all' has 3 classes; name classes without an image in "
        "`data: {factors: {<target>: {kind: ordinal, levels: [...]}}}`; for a model of other classes, append a module "
        "that picks or sums their logits"
    )
    declared = {"label": {"kind": "ordinal", "levels": ["0", "1", "2", "3", "4"]}}
    given: dict[str, Any] = {"model": Grades(), "data": {**data, "factors": declared}}
    assert measured("quadratic-weighted-kappa", **given) == 1
    assert measured("auroc-referable", **given) == 1


@pytest.mark.parametrize(
    ("validation", "more", "said"),
    [
        ({20: 0, 30: 1, 40: 2}, {},
         "validation: a threshold is set between two classes, and its images have 0, 1 and 2"),
        ({20: 0, 30: 1}, {"threshold": 0.4},
         "threshold and validation: give one; validation images set the threshold"),
    ],
)  # fmt: skip
def test_what_cannot_set_a_threshold_is_said(
    tmp_path: Path, validation: dict[int, int], more: dict[str, Any], said: str
) -> None:
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, len(validation)))
    data = plain(tmp_path / "tested", validation)
    with pytest.raises(SpecError) as refused:
        assay.probe(module, data, validation=plain(tmp_path / "set", validation), **more, progress=False)
    assert str(refused.value) == said


def test_images_that_are_tested_set_no_threshold(tmp_path: Path) -> None:
    data = plain(tmp_path / "tested", {10: 0, 60: 1})
    some = plain(tmp_path / "some", {10: 0, 70: 1, 80: 1})
    (tmp_path / "some" / "1.png").write_bytes((tmp_path / "tested" / "1.png").read_bytes())
    for validation, said in ((dict(data), "2 of its 2"), (some, "1 of its 3")):
        with pytest.raises(SpecError) as refused:
            assay.probe(Gray(dense=False), data, validation=validation, progress=False)
        assert str(refused.value) == f"validation: {said} images are tested too; a threshold is set on others"


def test_a_phantom_draws_validation_images_that_are_none_of_those_tested() -> None:
    data = {"phantom": "nodule", "size": 32, "train": 20, "validation": 30, "test": 40, "core": "margin"}
    seen: list[torch.Tensor] = []

    class Watching(Gray):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images.clone())
            return super().forward(images)

    assay.probe(Watching(dense=False), data, ["performance"], validation=data, progress=False)
    images = [
        image.numpy().tobytes() for batch in seen[2:] for image in batch
    ]  # the first two look whether it fits and which it is
    assert len(images) == len(set(images)) == 70
