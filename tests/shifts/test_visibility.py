"""The three figures of visibility: against torchmetrics, by hand, and where they are undefined."""

import math

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from assay.plugin import visibility


def picture(seed, channels=1, height=40, width=33, count=2):
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_that_of_torchmetrics(channels):
    before = picture(0, channels)
    after = (0.7 * before + 0.3 * picture(1, channels)).clamp(0, 1)
    for i in range(2):
        _, theirs = structural_similarity_index_measure(
            after[i : i + 1], before[i : i + 1], data_range=1.0, return_full_image=True
        )
        theirs = theirs[..., 5:-5, 5:-5].mean()  # torchmetrics also counts windows that hang over the edge
        assert float(visibility(before, after).ssim[i]) == pytest.approx(float(theirs), abs=1e-5)


def test_share_and_difference_by_hand():
    before = torch.zeros(1, 3, 20, 20)
    after = before.clone()
    after[0, 1, :5, :4] = 0.5  # 20 of 400 pixels, in one of three channels
    after[0, 0, 10, 10] = 0.4 / 255  # less than half a level: changed, but not seen
    seen = visibility(before, after)
    assert float(seen.share) == pytest.approx(20 / 400)
    assert float(seen.difference) == pytest.approx((20 * 0.5 + 0.4 / 255) / 1200)


def test_an_unchanged_image_is_alike():
    same = visibility(picture(0), picture(0))
    assert same.share.tolist() == same.difference.tolist() == [0, 0]
    assert same.ssim.tolist() == pytest.approx([1, 1])


def test_ssim_of_flat_images_is_its_brightness_term():
    before, after = torch.full((1, 1, 16, 16), 0.2), torch.full((1, 1, 16, 16), 0.6)
    assert float(visibility(before, after).ssim) == pytest.approx((2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4))


def test_figures_are_symmetric_and_of_each_image_alone():
    before, after = picture(0), picture(1)
    there, back = visibility(before, after), visibility(after, before)
    assert torch.allclose(there.ssim, back.ssim)
    alone = visibility(before[1:], after[1:])
    for name in ("share", "difference", "ssim"):
        assert float(getattr(alone, name)) == pytest.approx(float(getattr(there, name)[1]))


def test_where_they_are_undefined():
    small = visibility(torch.zeros(1, 1, 10, 30), torch.ones(1, 1, 10, 30))
    assert (float(small.share), float(small.difference)) == (1, 1)
    assert math.isnan(float(small.ssim))
    broken = picture(0)
    broken[0, 0, 3, 3] = math.nan
    figures = visibility(picture(0), broken)
    assert [math.isnan(float(getattr(figures, name)[0])) for name in ("share", "difference", "ssim")] == [True] * 3
    assert figures.difference[1] == 0
    assert visibility(torch.zeros(0, 1, 16, 16), torch.zeros(0, 1, 16, 16)).ssim.shape == (0,)


def test_images_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"of one shape; given: \(1, 1, 8, 8\) and \(1, 3, 8, 8\)"):
        visibility(torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8))
