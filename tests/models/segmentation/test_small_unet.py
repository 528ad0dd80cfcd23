from __future__ import annotations

import pytest
import torch
from tests.models.segmentation.networks import built, images

from assay.plugin import lookup


def test_it_has_the_parameters_it_says():
    """Two 3x3 convolutions a stage, one on the way up, two numbers per batch-norm channel, a head of 8 x 2 + 2."""
    down = 9 * (1 * 8 + 8 * 8 + 8 * 16 + 16 * 16 + 16 * 32 + 32 * 32 + 32 * 48 + 48 * 48)
    up = 9 * ((48 + 32) * 32 + (32 + 16) * 16 + (16 + 8) * 8)
    norms = 2 * (2 * (8 + 16 + 32 + 48) + 32 + 16 + 8)
    network = built("small-unet", channels=1)
    assert sum(p.numel() for p in network.parameters()) == down + up + norms + 18
    assert f"{down + up + norms + 18:,} parameters" in str(lookup("architecture", "small-unet").load().__doc__)
    assert f"{(down + up + norms + 18) / 1000:.0f} thousand parameters" in lookup("architecture", "small-unet").summary


def test_its_stages_are_at_half_a_quarter_an_eighth_and_a_sixteenth():
    network = built("small-unet").eval()
    shapes = [tuple(one.shape[1:]) for one in network.trunk(images(1, 96, 64))]
    assert shapes == [(8, 48, 32), (16, 24, 16), (32, 12, 8), (48, 6, 4)]
    assert network.layers == ("stages.0", "stages.1", "stages.2", "stages.3", "decoder")


def test_images_of_other_sides_are_continued_by_their_last_pixels():
    network, odd = built("small-unet").eval(), images(2, 37, 50)
    by_hand = torch.cat([odd, odd[..., -1:].repeat(1, 1, 1, 14)], dim=3)
    by_hand = torch.cat([by_hand, by_hand[:, :, -1:].repeat(1, 1, 11, 1)], dim=2)
    with torch.no_grad():
        assert torch.equal(network(odd), network(by_hand)[:, :, :37, :50])


def test_a_change_at_the_left_is_not_seen_at_the_right():
    """Maps are the right way round, and places stay where they are."""
    network, image = built("small-unet").eval(), images(1, 32, 256)
    changed = image.clone()
    changed[..., :8] = 1 - changed[..., :8]
    with torch.no_grad():
        difference = (network(changed) - network(image)).abs().amax((0, 1, 2))
    assert difference[:8].min() > 0
    assert difference[128:].max() == 0
    assert difference[:8].mean() > 10 * difference[32:64].mean()


@pytest.mark.parametrize("width", [8, 16])
def test_the_width_multiplies_every_stage(width):
    network = built("small-unet", width=width)
    assert network.width == 6 * width
    assert [one.shape[1] for one in network.trunk(images(2))] == [width, 2 * width, 4 * width, 6 * width]
