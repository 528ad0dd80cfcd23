from __future__ import annotations

import pytest
import torch
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.segresnet import SegResNet
from tests.models.segmentation.networks import built, images

from assay.plugin import SpecError

LEVELS = {"kernel_size": [3] * 5, "strides": [1, 2, 2, 2, 2], "upsample_kernel_size": [2] * 4}


def of_monai(network):
    """MONAI's own network, and its parts in the order of ours."""
    if network == "basic-unet":
        theirs = BasicUNet(spatial_dims=2, in_channels=3, out_channels=2)
        down = [theirs.conv_0, theirs.down_1, theirs.down_2, theirs.down_3, theirs.down_4]
        up = [theirs.upcat_4, theirs.upcat_3, theirs.upcat_2, theirs.upcat_1]
        return theirs, down, up, theirs.final_conv
    if network == "dynunet":
        theirs = DynUNet(spatial_dims=2, in_channels=3, out_channels=2, **LEVELS)
        down = [theirs.input_block, *theirs.downsamples, theirs.bottleneck]
        return theirs, down, theirs.upsamples, theirs.output_block.conv.conv
    theirs = SegResNet(spatial_dims=2, in_channels=3, out_channels=2)
    return theirs, None, None, theirs.conv_final[2].conv


@pytest.mark.parametrize("network", ["basic-unet", "dynunet"])
def test_logits_of_the_u_nets_are_monais_own(network):
    ours = built("monai", network=network).eval()
    theirs, down, up, head = of_monai(network)
    for its, own in (*zip(down, ours.trunk.steps, strict=True), *zip(up, ours.decoder.steps, strict=True)):
        its.load_state_dict(own.state_dict())
    head.load_state_dict(ours.head.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(ours(images(2, 48, 64)), theirs.eval()(2 * images(2, 48, 64) - 1))


def test_logits_of_the_segresnet_are_monais_own():
    ours = built("monai", network="segresnet").eval()
    theirs, _, _, head = of_monai("segresnet")
    theirs.convInit.load_state_dict(ours.trunk.steps[0][0].state_dict())
    for number, step in enumerate(ours.trunk.steps):
        theirs.down_layers[number].load_state_dict((step[1] if number == 0 else step).state_dict())
    for number, step in enumerate(ours.decoder.steps):
        theirs.up_samples[number].load_state_dict(step.enlarge.state_dict())
        theirs.up_layers[number].load_state_dict(step.convolve.state_dict())
    theirs.conv_final[0].load_state_dict(ours.decoder.last[0].state_dict())
    head.load_state_dict(ours.head.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(ours(images(2, 48, 64)), theirs.eval()(2 * images(2, 48, 64) - 1))


def test_dynunet_starts_by_its_own_law():
    """Normal with variance 2 / ((1 + 0.01^2) fan in) (He et al. 2015), for a transposed convolution by its output."""
    network = built("monai", network="dynunet")
    weight = network.trunk.steps[3].conv2.conv.weight.detach()
    fan_in = weight[0].numel()
    assert float(weight.var()) == pytest.approx(2 / (1.0001 * fan_in), rel=0.02)
    again = built("monai", network="dynunet")
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("network", ["basic-unet", "dynunet"])
def test_instance_norm_of_a_single_place_is_refused(network):
    with pytest.raises(SpecError) as error:
        built("monai", network=network, size=16)
    assert str(error.value) == (
        f"architecture 'monai(network={network})' cannot take images of 16 x 16 pixels: its deepest map would be a "
        "single place; choose a size of at least 17"
    )
