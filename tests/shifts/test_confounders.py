"""The tag and the intervention protocol: conformance, hand-derived pixels, texts of refusals."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from assay.plugin import Component, Draws, SpecError, build, draw
from assay.testing.data import InterventionConformance


class TestTag(InterventionConformance):
    name = "tag"


class TestFilledTag(InterventionConformance):
    name = "tag"
    params: ClassVar = {"shape": "rectangle", "size": 0.5, "jitter": 0.5, "contrast": 1.0, "x": 0.0, "y": 1.0}


class TestDiffuseChange(InterventionConformance):
    """Not the tag alone: a change of every pixel with noise of its own fits the protocol."""

    name = "tests.shifts.changes:Grain"
    params: ClassVar = {"strength": 0.2}


def tag(**params):
    return build("intervention", "tag", {"jitter": 0.0, **params})


def marked(count=1):
    return np.ones(count, dtype=bool), np.arange(count, dtype=np.int64)


def test_a_box_lies_where_it_was_put_and_moves_pixels_toward_white():
    # 0.1 of 70 px is 7 px tall and 5 wide; centered at (35, 14) it starts at row 10.5 -> 10 and column 32.5 -> 32.
    drawn = draw("t", tag(shape="rectangle", size=0.1, x=0.5, y=0.2, contrast=0.25), *marked(), 0, (1, 70, 70))
    out = drawn.apply(torch.full((1, 1, 70, 70), 0.4), np.array([0]))
    expected = torch.full((70, 70), 0.4)
    expected[10:17, 32:37] = 0.4 + 0.25 * 0.6
    assert torch.allclose(out[0, 0], expected)


def test_the_letter_is_an_r():
    drawn = draw("t", tag(size=0.5, x=0.5, y=0.5, contrast=1.0), *marked(), 0, (1, 14, 14))
    out = drawn.apply(torch.zeros(1, 1, 14, 14), np.array([0]))[0, 0]
    rows = ["".join("#" if pixel else "." for pixel in line[4:9]) for line in out[4:11].tolist()]
    assert rows == ["####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"]
    assert int(out.sum()) == sum(line.count("#") for line in rows)


def test_jitter_stays_within_its_reach_and_fills_it():
    drawn = draw("t", tag(size=0.1, x=0.5, y=0.5, jitter=0.1), *marked(4000), 0, (1, 100, 200))
    left, top = drawn.parameters["left"].double(), drawn.parameters["top"].double()
    for place, center in ((left, 200 * 0.5 - 3.5), (top, 100 * 0.5 - 5)):
        assert float((place - center).abs().max()) <= 10.5
        assert float((place - center).abs().max()) >= 9.5
        assert abs(float((place - center).mean())) < 0.3
    assert abs(float(torch.corrcoef(torch.stack([left, top]))[0, 1])) < 0.05


def test_a_tag_at_the_rim_lies_within_the_image():
    drawn = draw("t", tag(shape="rectangle", size=0.2, x=1.0, y=0.0, jitter=0.3), *marked(200), 0, (1, 40, 60))
    mask = drawn.mask(np.arange(200))
    assert mask.sum(dim=(1, 2, 3)).unique().tolist() == [8 * 6]


def test_draws_of_two_names_parameters_and_seeds_are_unrelated():
    rows = np.arange(5000)
    draws = [
        Draws(0, "a", rows).uniform("x"), Draws(0, "b", rows).uniform("x"), Draws(0, "a", rows).uniform("y"),
        Draws(1, "a", rows).uniform("x"),
    ]  # fmt: skip
    off_diagonal = torch.corrcoef(torch.stack(draws)) - torch.eye(4)
    assert float(off_diagonal.abs().max()) < 0.06


def test_a_tag_larger_than_the_image_is_refused():
    with pytest.raises(SpecError) as refused:
        draw("t", tag(size=1.25), *marked(), 0, (1, 64, 80))
    assert str(refused.value) == (
        "a tag of size 1.25 is 80 x 57 px, larger than the image of 64 x 80 px: give a size of at most 1"
    )


@pytest.mark.parametrize("params", [{"size": 0}, {"contrast": 0}, {"contrast": 1.1}, {"x": -0.1}, {"shape": "dot"}])
def test_arguments_out_of_range_are_refused_before_anything_is_built(params):
    with pytest.raises(ValidationError):
        Component(kind="intervention", name="tag", params=params)
