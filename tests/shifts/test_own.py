"""An intervention of one function: conformance, what is drawn, its mask, texts of refusals."""

import re
from typing import ClassVar

import numpy as np
import pytest
import torch

import assay
from assay.plugin import SpecError, build, draw, lookup, row_uniform
from assay.testing.data import InterventionConformance


class TestFog(InterventionConformance):
    name = "tests.shifts.own:fog"
    params: ClassVar = {"most": 0.8}


class TestStripe(InterventionConformance):
    name = "tests.shifts.own:stripe"


class TestNegative(InterventionConformance):
    name = "tests.shifts.own:negative"


class TestCareless(InterventionConformance):
    name = "tests.shifts.own:careless"


def drawn(name, shape=(1, 20, 10), **params):
    return draw(
        "it", build("intervention", f"tests.shifts.own:{name}", params), np.ones(3, bool), np.arange(3), 7, shape
    )


def test_the_numbers_are_named_by_seed_intervention_argument_and_row():
    out = drawn("fog", most=0.4).apply(torch.zeros(3, 1, 20, 10), np.arange(3))
    expected = 0.4 * 0.7 * row_uniform(7, "it:amount", np.arange(3))
    assert out[:, 0, 0, 0].tolist() == pytest.approx(expected.tolist())


def test_the_mask_of_a_local_one_is_what_it_paints():
    mask = drawn("stripe", brightness=0.5).mask(np.arange(3))
    place = row_uniform(7, "it:place", np.arange(3)) * 20
    for row in range(3):
        lines = [line for line in range(20) if abs(line - place[row]) < 1]
        assert mask[row, 0].any(dim=1).nonzero()[:, 0].tolist() == lines
    assert bool(drawn("fog").mask(np.arange(3)).all())


def test_its_arguments_are_checked_and_its_first_line_is_its_summary():
    with pytest.raises(ValueError, match="unable to parse string as a number"):
        build("intervention", "tests.shifts.own:fog", {"most": "much"})
    assert lookup("intervention", "tests.shifts.own:fog").summary == "Gray fog, thicker in some images than in others."


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("halved", "intervention 'halved' returned [1, 1, 20, 10] for images [2, 1, 20, 10]: "),
        ("forgotten", "intervention 'forgotten' returned NoneType for images [2, 1, 20, 10]: "),
    ],
)
def test_what_gives_no_images_back_is_refused_before_it_is_used(name, text):
    with pytest.raises(SpecError) as refused:
        drawn(name)
    assert str(refused.value) == text + "return the changed images, of the same shape"


def test_what_makes_nan_of_some_brightness_is_refused_before_it_is_used():
    @assay.intervention
    def rooted(images):
        return (images - 0.3) ** 0.5

    with pytest.raises(
        SpecError, match="intervention 'rooted' returned NaN or infinity for pixels from 0 to 1: return fin"
    ):
        rooted().check((1, 8, 8))


def test_what_gives_another_scale_back_is_refused_and_what_goes_a_little_beyond_is_cut():
    @assay.intervention
    def bytes_of(images):
        return images * 255

    @assay.intervention
    def brighter(images):
        return images + 0.5

    with pytest.raises(SpecError) as refused:
        bytes_of().check((1, 8, 8))
    assert str(refused.value) == (
        "intervention 'bytes_of' returned pixels from 0 to 255 for pixels from 0 to 1: return them on the same scale "
        "(values slightly beyond 0 and 1 are clipped)"
    )
    brighter().check((1, 8, 8))


def test_a_function_that_fails_is_told_with_its_file_and_line():
    @assay.intervention
    def broken(images):
        raise ValueError("no such thing")

    with pytest.raises(SpecError) as refused:
        broken().check((1, 8, 8))
    told = r"intervention 'broken' failed on images \[2, 1, 8, 8\]: ValueError: no such thing \(test_own\.py:\d+\)"
    assert re.fullmatch(told, str(refused.value))


def test_a_function_of_another_form_is_refused():
    def all_sorts(images, *rest): ...

    def nothing(*, size: int = 1): ...

    with pytest.raises(SpecError) as starred:
        assay.intervention(all_sorts)
    assert str(starred.value) == (
        "intervention 'all_sorts' takes *rest: name every argument, images and what is drawn per row before a star, "
        "all else after it"
    )
    with pytest.raises(SpecError) as empty:
        assay.intervention(nothing)
    assert str(empty.value) == "intervention 'nothing' takes no images: make them its first argument"


def test_a_function_without_the_decorator_is_told_what_it_lacks():
    with pytest.raises(SpecError) as refused:
        lookup("intervention", "tests.shifts.own:bare")
    assert str(refused.value) == (
        "intervention 'tests.shifts.own:bare' is a bare function: write @assay.intervention on the line above it, or "
        "name a class"
    )
