"""Boxes of lesions: which pixels they hold at study resolution, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from tests.worlds.files import noise, save, write_table

from assay.plugin import ArrayCache, AssayError, Dataset, DataSpec, load_dataset

HEAD = ["image", "kind", "x0", "y0", "x1", "y1"]


def load(root: Path, boxes: Sequence[Sequence[object]], **asked: object) -> Dataset:
    """Four images of 32 x 24 px, with these boxes, at 16 px: of every pixel 2 x 2, with 2 rows of padding above."""
    for at in range(4):
        save(root / "f" / f"{at}.png", noise(at, 32)[:24])
    write_table(root / "f" / "data.csv", [["image", "grade"], *([f"{at}.png", at % 2] for at in range(4))])
    write_table(root / "f" / "boxes.csv", [HEAD, *boxes])
    spec = {"folder": str(root / "f"), "target": "grade", "size": 16, "boxes": {"table": "boxes.csv", **asked}}
    return load_dataset(DataSpec.model_validate(spec), ArrayCache(root / "cache"))


def test_boxes_lie_where_the_image_does_and_kinds_may_overlap(tmp_path: Path) -> None:
    first, second = ["0.png", "exudate", 4, 0, 12, 8], ["0.png", "bleeding", 8, 4, 16, 8]
    minute, of_no_row = ["2.png", "bleeding", 29.9, 23.8, 30.1, 24], ["9.png", "bleeding", 0, 0, 4, 4]
    found = load(tmp_path, [first, second, minute, of_no_row]).lesions
    assert found is not None
    assert found.kinds == ("bleeding", "exudate")
    planes = found.read(np.array([2, 0, 1])).numpy()
    assert planes.shape == (3, 2, 16, 16)
    exudate, bleeding = (np.zeros((16, 16), bool) for _ in range(2))
    exudate[2:6, 2:6] = True
    bleeding[4:6, 4:8] = True
    np.testing.assert_array_equal(planes[1], [bleeding, exudate])
    assert np.argwhere(planes[0]).tolist() == [[0, 13, 15]]  # too small for the middle of a pixel: the nearest
    assert not planes[2].any()


def test_boxes_in_shares_of_the_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="are between 0 and 1, as shares of width and height are: give px"):
        load(tmp_path, [["0.png", "disc", 0.1, 0, 0.4, 0.3], ["1.png", "disc", 0.2, 0.2, 0.9, 1]])


def test_only_the_kinds_that_are_named_are_lesions_and_their_content_is_told(tmp_path: Path) -> None:
    boxes: list[list[object]] = [["0.png", "disc", 4, 0, 12, 8], ["1.png", "bleeding", 0, 0, 4, 4]]
    every, some = (load(tmp_path, boxes, kinds=kinds) for kinds in ([], ["bleeding"]))
    moved = load(tmp_path, [boxes[0], ["1.png", "bleeding", 0, 0, 4, 6]], kinds=["bleeding"])
    assert some.lesions is not None
    assert every.lesions is not None
    assert moved.lesions is not None
    assert some.lesions.kinds == ("bleeding",)
    shown = some.lesions.read(np.arange(4)).numpy().any(axis=(1, 2, 3))
    np.testing.assert_array_equal(shown, [False, True, False, False])
    assert len({every.lesions.content, some.lesions.content, moved.lesions.content}) == 3
    assert every.content == some.content == moved.content  # no training depends on them


@pytest.mark.parametrize(
    ("box", "asked", "said"),
    [
        (["0.png", "disc", 4, 0, 4, 8], {}, "line 2 '0.png': it is no box; give x0 < x1 and y0 < y1 in px of the file"),
        (["0.png", "disc", 4, "?", 6, 8], {}, "it is no box"),
        (["9.png", "disc", 4, 0, 6, 8], {}, "no box of boxes.csv is of an image of the table; name images as it does"),
        (["0.png", "disc", 4, 0, 6, 8], {"kinds": ["disk"]}, "data.boxes.kinds: .*'disk'.*did you mean 'disc'"),
        (["0.png", "disc", 4, 0, 6, 8], {"table": "box.csv"}, "f/ has no file 'box.csv'; name a CSV that lies beside"),
    ],
)
def test_bad_boxes_are_refused(tmp_path: Path, box: list[object], asked: dict[str, object], said: str) -> None:
    with pytest.raises(AssayError, match=said):
        load(tmp_path, [box], **asked)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"folder": "f", "preprocessing": ["circle-crop"]}, "boxes would not follow; leave one out"),
        ({"classes": "f"}, "boxes are of images that a folder's CSV names; leave them out"),
    ],
)
def test_boxes_of_what_has_no_table_or_is_cut_are_refused(more: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DataSpec.model_validate({"boxes": {"table": "boxes.csv"}, **more})
