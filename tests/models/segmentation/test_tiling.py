from __future__ import annotations

import pytest
import torch
from tests.models.segmentation.networks import built, images

from assay.core.errors import SpecError
from assay.models.segmenter import by_tiles, reach, tiled


def test_reach_is_how_far_a_changed_pixel_is_felt():
    """Against the plain way: change one pixel, look where logits move; over every pixel of a cell of the stride."""
    network, image = built("small-unet", channels=1).eval().double(), images(1, 32, 320, channels=1).double()
    farthest = 0
    with torch.no_grad():
        before = network(image)
        for offset in range(16):
            changed = image.clone()
            changed[..., :, 160 + offset] += 0.5
            moved = ((network(changed) - before).abs().amax((0, 1, 2)) > 0).nonzero()[:, 0]
            felt = (int(moved[0]), int(moved[-1]))  # in cells: from the pixel to the nearest side of the logit's cell
            farthest = max(farthest, 160 + offset - (felt[0] // 16 + 1) * 16 + 1, felt[1] // 16 * 16 - 160 - offset)
    assert reach(network.float(), channels=1, side=320) == farthest


@pytest.mark.parametrize(("height", "width"), [(256, 256), (301, 230), (40, 500), (90, 90)])
def test_tiles_that_share_enough_say_what_one_pass_says(height, width):
    network = built("small-unet").eval()
    enough = 2 * reach(network, channels=3, side=320)
    overlap = -(-enough // 32) * 32
    many = images(2, height, width)
    with torch.no_grad():
        whole = network(many)
    torch.testing.assert_close(tiled(network, many, overlap + 32, overlap, batch=3), whole, rtol=1e-4, atol=1e-5)


def test_tiles_that_share_nothing_say_something_else_at_their_borders_alone():
    network, many = built("small-unet").eval(), images(1, 64, 512)
    far = reach(network, channels=3, side=320)
    with torch.no_grad():
        difference = (tiled(network, many, 256, 0) - network(many)).abs().amax((0, 1, 2))
    assert difference[255:257].min() > 1e-4
    assert difference[: 256 - far - 16].max() < 1e-5


def test_a_network_with_group_norms_sees_the_whole_image():
    network = built("smp", network="fpn", encoder="tu-test_resnet").eval()
    assert reach(network, channels=3, side=256) is None


def test_measuring_leaves_the_network_as_it_was():
    network = built("small-unet")
    frozen = next(module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)).eval()
    kept = {key: value.clone() for key, value in network.state_dict().items()}
    reach(network, channels=3, side=64)
    assert network.training
    assert not frozen.training
    assert all(torch.equal(value, kept[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("tile", "overlap", "said"),
    [(250, 64, "tiles of 250 pixels"), (256, 16, "one of 32"), (64, 64, "above the overlap"), (64, -32, "of -32")],
)
def test_tiles_off_the_grid_are_refused(tile, overlap, said):
    with pytest.raises(SpecError) as error:
        tiled(built("small-unet").eval(), images(), tile, overlap)
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_network_in_training_is_refused():
    with pytest.raises(SpecError, match="in evaluation mode"):
        tiled(built("small-unet"), images(), 64, 32)


def test_images_above_a_side_are_read_by_tiles_that_say_what_one_pass_says():
    network, many = built("small-unet", channels=1).eval(), images(1, 16, 720, channels=1)
    with torch.no_grad():
        whole = network(many)
    side = 4 * reach(network, channels=1, side=512)
    read = by_tiles(network, (1, 16, 720), largest=side)
    assert side < 720
    assert read is not network
    torch.testing.assert_close(read(many), whole, rtol=1e-4, atol=1e-5)


def test_images_of_a_side_and_networks_that_see_the_whole_image_are_read_whole():
    network = built("small-unet").eval()
    assert by_tiles(network, (3, 512, 512), largest=512) is network
    assert by_tiles(network, (3, 512, 512), largest=128) is network, "its reach is above a quarter of the tile"
    whole = built("smp", network="fpn", encoder="tu-test_resnet").eval()
    assert by_tiles(whole, (3, 512, 512), largest=256) is whole
    plain = torch.nn.Conv2d(3, 2, 3, padding=1)
    assert by_tiles(plain, (3, 512, 512), largest=64) is plain
