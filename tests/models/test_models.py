from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from tests.worlds.environments import part, recipe
from torch import nn

from assay.plugin import (
    Classifier,
    InputScaling,
    SpecError,
    as_network,
    build_network,
    deterministic,
    initialize_by_name,
    library_draws,
    lookup,
)

ARCHITECTURES = [
    part("architecture", "small-cnn"),
    part("architecture", "resnet18", stem="small"),
    part("architecture", "timm", model="resnet10t"),
]


def build(architecture=ARCHITECTURES[0], seed=0, channels=1, size=32, classes=2):
    return build_network(recipe(architecture=architecture), channels=channels, size=size, classes=classes, seed=seed)


def test_small_cnn_has_the_parameters_it_says():
    """Four 3x3 convolutions 1-8-16-32-64, two numbers per batch-norm channel, a head of 64 x 2 + 2."""
    convolutions = 9 * (1 * 8 + 8 * 16 + 16 * 32 + 32 * 64)
    assert sum(p.numel() for p in build().parameters()) == convolutions + 2 * (8 + 16 + 32 + 64) + 130 == 24_634
    assert "24,634 parameters" in str(lookup("architecture", "small-cnn").load().__doc__)
    assert f"{24_634 / 1000:.0f} thousand parameters" in lookup("architecture", "small-cnn").summary


@pytest.mark.parametrize(
    "architecture",
    [part("architecture", "small-cnn", dropout=0.5), part("architecture", "resnet18", stem="small", dropout=0.5)],
)
def test_dropout_zeroes_features_before_the_head_in_training_alone(architecture):
    """Half of the features are doubled, the others zeroed: logits differ from step to step, features do not."""
    network = build(architecture)
    plain = build(part("architecture", architecture.name, **{**architecture.params, "dropout": 0.0}))
    assert all(torch.equal(one, plain.state_dict()[name]) for name, one in network.state_dict().items())
    images = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    seen = network.eval().read(images)
    assert torch.equal(seen.logits, plain.eval().read(images).logits)
    network.train()
    for layer in network.trunk.modules():
        layer.eval()  # batch norms as they are, so that dropout alone is random
    torch.manual_seed(0)
    first, second = network.read(images), network.read(images)
    assert torch.equal(first.features, seen.features)
    assert not torch.equal(first.logits, second.logits)
    torch.manual_seed(0)
    zeroed = torch.nn.functional.dropout(first.features, 0.5)
    assert torch.equal(first.logits, network.head(zeroed))


def test_building_leaves_the_global_generators_alone():
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    build()
    after = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert np.array_equal(before[1][1], after[1][1])
    assert before[2] == after[2]


def test_an_error_inside_seeded_draws_leaves_the_generators_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with pytest.raises(ZeroDivisionError), library_draws(0, "test"):
        _ = torch.rand(3) / (1 // 0)
    assert torch.rand(1) == expected


def test_deterministic_block_restores_what_it_found():
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with deterministic(1):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.get_num_threads() == 1
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_initial_weights_follow_torchs_own_law():
    """Uniform within 1 / sqrt(fan in), as `nn.Conv2d` draws them: its bound is reached and its variance is b^2 / 3."""
    layer = nn.Conv2d(32, 64, 3)
    initialize_by_name(layer, seed=0, prefix="layer")
    bound = 1 / (32 * 9) ** 0.5
    assert layer.weight.abs().max() <= bound
    assert float(layer.weight.detach().var()) == pytest.approx(bound**2 / 3, rel=0.05)


def test_gray_images_fill_three_channels():
    scaling = InputScaling(3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    gray = torch.rand(2, 1, 4, 4)
    expected = (gray.repeat(1, 3, 1, 1) - scaling.mean) / scaling.sd
    assert torch.equal(scaling(gray), expected)


def test_small_stem_keeps_the_resolution():
    images = torch.rand(1, 1, 32, 32)
    network = build(ARCHITECTURES[1])
    sizes = []
    network.trunk.layer1.register_forward_hook(lambda _m, _i, out: sizes.append(out.shape[-1]))
    network.eval()(images)
    assert sizes == [32]


@pytest.mark.parametrize(
    ("architecture", "given", "text"),
    [
        (
            part("architecture", "timm", model="resnet19"),
            {},
            "unknown timm network 'resnet19': did you mean 'resnet1",
        ),
        (
            part("architecture", "timm", model="resnet10t", in_chans=1),
            {"channels": 3},
            "timm network 'resnet10t' was asked to take 1 channel(s) and the images have 3; set in_chans: 3",
        ),
        (
            part("architecture", "small-cnn"),
            {"size": 8},
            "architecture 'small-cnn' cannot take images of 8 x 8 pixels: its four strides leave nothing; choose a "
            "size of at least 16",
        ),
        (
            part("architecture", "timm", model="inception_v3"),
            {"size": 32},
            "architecture 'inception_v3' cannot take images of 32 x 32 pixels with 1 channel(s): ",
        ),
        (
            part("architecture", "small-cnn"),
            {"classes": 1},
            "a classification network needs at least 2 classes, the data have 1",
        ),
    ],
)
def test_what_does_not_fit_is_said(architecture, given, text):
    with pytest.raises(SpecError) as error:
        build(architecture, **given)
    assert str(error.value).startswith(text)


@pytest.mark.parametrize("model", ["mobilenetv3_small_050", "lcnet_035", "efficientvit_b0"])
def test_a_network_of_timm_with_a_hidden_layer_in_its_head_is_built(model):
    """Their classifiers take 1024, 1280 and 1280 features, where the trunk's last stage has 288, 176 and 128."""
    network = build(part("architecture", "timm", model=model), size=64)
    features = network.eval().read(torch.rand(2, 1, 64, 64)).features
    assert network.head.in_features == network.width == features.shape[1] >= 1024


def two_channels(context):
    """A network that takes two channels, whatever its images have."""
    trunk = nn.Sequential(nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Classifier(trunk, 4, (), InputScaling(1, (0.5,), (0.5,)), context.classes)


def test_a_larger_size_is_proposed_only_where_it_is_of_use():
    with pytest.raises(SpecError, match=r"choose a larger size, such as 128, or another architecture$"):
        build(part("architecture", "timm", model="inception_v3"), size=32)
    with pytest.raises(SpecError, match=r"3 channel.*; choose another architecture$"):
        build(part("architecture", f"{__name__}:two_channels"), size=32, channels=3)


def test_a_module_that_is_no_network_is_told_what_it_lacks():
    with pytest.raises(TypeError, match="Linear is not a Network: it lacks width, head, layers, read"):
        as_network(nn.Linear(1, 1))
