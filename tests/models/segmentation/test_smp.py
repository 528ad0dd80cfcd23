from __future__ import annotations

from typing import get_args

import pytest
import segmentation_models_pytorch as smp
import torch
from tests.models.segmentation.networks import built, images

from assay.plugin import SpecError, lookup

NETWORKS = get_args(lookup("architecture", "smp").complete().model.model_fields["network"].annotation)
SMALL = {"deeplabv3": "tu-test_efficientnet", "deeplabv3plus": "tu-test_efficientnet", "pan": "tu-test_efficientnet"}


SIDE = {"pan": 128}
"""Of the networks that take no images of 64 pixels."""


def encoder_for(network):
    """Small ones of timm, that can be dilated where the network asks for it."""
    return SMALL.get(network, "tu-test_resnet")


def of_the_library(network, encoder, ours):
    """The library's own network with the same weights."""
    theirs = smp.create_model(network, encoder, encoder_weights=None, classes=2)
    parts = (theirs.encoder, ours.trunk), (theirs.decoder, ours.decoder), (theirs.segmentation_head[0], ours.head)
    for its, own in parts:
        its.load_state_dict(own.state_dict())
    return theirs.eval()


@pytest.mark.parametrize("network", NETWORKS)
def test_logits_are_the_librarys_own(network):
    encoder = encoder_for(network)
    side = SIDE.get(network, 64)
    ours = built("smp", network=network, encoder=encoder, size=side).eval()
    theirs = of_the_library(network, encoder, ours)
    even, odd = images(2, side + 32, side), images(2, side + 26, side - 3)
    with torch.no_grad():
        torch.testing.assert_close(ours(even), theirs((even - ours.scaling.mean) / ours.scaling.sd))
        assert ours(odd).shape == (2, 2, side + 26, side - 3)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_starts_alike_whatever_the_number_of_classes(network):
    given = {"network": network, "encoder": encoder_for(network), "size": SIDE.get(network, 64)}
    two, five = (built("smp", classes=classes, **given).state_dict() for classes in (2, 5))
    assert {name for name in two if not torch.equal(two[name], five[name])} == {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    "encoder", ["tu-test_convnext", "tu-test_nfnet", "tu-mobilenetv3_small_050", "mobilenet_v2", "mit_b0", "vgg11"]
)
def test_encoders_of_every_make_give_their_stages(encoder):
    """With channels last, with a stage at full size, without one at half the size, the library's own."""
    network = built("smp", network="unet", encoder=encoder).eval()
    with torch.no_grad():
        outputs = network.read(images(2, 50, 70))
    assert outputs.logits.shape == (2, 2, 50, 70)
    assert outputs.features.shape == (2, network.width)
    assert network.layers[-1] == "decoder"
    assert len(network.layers) >= 5


def test_a_transformer_built_for_one_size_takes_the_studys():
    network = built("smp", network="upernet", encoder="tu-swinv2_cr_tiny_ns_224", size=72).eval()
    with torch.no_grad():
        assert network(images(1, 72, 72)).shape == (1, 2, 72, 72)


def test_the_same_seed_starts_the_encoder_alike_in_two_networks_that_take_it_whole():
    unet, fpn = (built("smp", network=network, encoder="tu-test_resnet").trunk for network in ("unet", "fpn"))
    assert all(torch.equal(value, fpn.state_dict()[key]) for key, value in unet.state_dict().items())


def test_images_are_scaled_as_the_encoder_s_library_says():
    assert built("smp", network="unet", encoder="tu-resnet10t").scaling.words() == (
        "(x - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)"
    )
    assert built("smp", network="unet", encoder="tu-legacy_xception").scaling.words() == (
        "(x - (0.5, 0.5, 0.5)) / (0.5, 0.5, 0.5)"
    )


@pytest.mark.parametrize(
    ("params", "given", "said"),
    [
        ({"encoder": "tu-resnet19"}, {}, "unknown encoder 'tu-resnet19': did you mean 'tu-resnet1"),
        ({"encoder": "resnet19"}, {}, "unknown encoder 'resnet19': did you mean 'resnet1"),
        (
            {"encoder": "timm-efficientnet-b0"},
            {},
            "unknown encoder 'timm-efficientnet-b0': did you mean 'efficientnet-b0'",
        ),
        (
            {"encoder": "tu-test_resnet", "in_chans": 1},
            {},
            "encoder 'tu-test_resnet' was asked to take 1 channel(s) and the images have 3; set in_chans: 3",
        ),
        (
            {"encoder": "tu-vit_tiny_patch16_224"},
            {},
            "network 'unet' of segmentation-models-pytorch cannot be built on encoder 'tu-vit_tiny_patch16_224' for "
            "images of 64 x 64 pixels: ",
        ),
        (
            {"network": "deeplabv3", "encoder": "vgg11"},
            {},
            "network 'deeplabv3' of segmentation-models-pytorch cannot be built on encoder 'vgg11' for images of 64 x "
            "64 pixels: 'VGG' models do not support dilated mode",
        ),
    ],
)
def test_what_cannot_be_built_is_said(params, given, said):
    with pytest.raises(SpecError) as error:
        built("smp", **{"network": "unet", **params}, **given)
    assert str(error.value).startswith(said)
    assert len(str(error.value).splitlines()) == 1


def test_the_second_of_a_w_net_sees_the_image_and_the_logits_of_the_first():
    network, given = built("w-net", encoder="tu-test_resnet", auxiliary_weight=0.4).eval(), images(2, 64, 96)
    seen = []
    network.trunk[1].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        outputs = network.read(given)
        scaled = network.scaling(given)
        first = network.enlarge(network.first_head(network.first_decoder(network.trunk[0](scaled))))
    assert torch.equal(seen[0], torch.cat([scaled, first], dim=1))
    assert torch.equal(outputs.auxiliary[0], first)
    assert not torch.equal(outputs.logits, first)
    assert outputs.auxiliary_weight == 0.4
    half = len(network.layers) // 2
    assert network.layers[half - 1] == "first_decoder"
    assert network.layers[half:] == built("smp", network="fpn", encoder="tu-test_resnet").layers


def test_the_first_of_a_w_net_is_the_librarys_fpn():
    network = built("w-net", encoder="tu-test_resnet").eval()
    theirs = smp.create_model("fpn", "tu-test_resnet", encoder_weights=None, classes=2).eval()
    theirs.encoder.load_state_dict(network.trunk[0].state_dict())
    theirs.decoder.load_state_dict(network.first_decoder.state_dict())
    theirs.segmentation_head[0].load_state_dict(network.first_head.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(
            network.read(images()).auxiliary[0], theirs((images() - network.scaling.mean) / network.scaling.sd)
        )
