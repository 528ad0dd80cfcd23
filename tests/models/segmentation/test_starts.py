"""Encoders that start from weights files: what is loaded, what is left out, what the maps then are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from tests.models.segmentation.networks import built, images, saved, timm_network
from tests.worlds.environments import part
from torch import nn

from assay.plugin import WeightsError, load_weights, save_weights

WEIGHTS_FILE = "weights.safetensors"

ASSETS = Path(os.environ.get("ASSAY_ASSETS", Path(__file__).parents[4] / "shared" / "assets")) / "weights"
LITE = ASSETS / "tf_efficientnet_lite0.imagenet.safetensors"


def start(path, **params):
    return part("initialization", "file", path=str(path), **params)


def deepest(network, given, encoder=None):
    """The deepest map of a network's encoder."""
    encoder = network.trunk if encoder is None else encoder
    with torch.no_grad():
        return encoder.eval()(network.scaling(given))[-1]


@pytest.mark.parametrize("model", ["test_resnet", "test_efficientnet", "test_convnext", "test_nfnet", "resnet18"])
@pytest.mark.parametrize("network", ["unet", "fpn"])
def test_the_deepest_map_is_timms(tmp_path, model, network):
    """The file is of timm's classifier; its features come another way, through `forward_intermediates`."""
    whole = timm_network(model)
    made = built("smp", start(saved(whole, tmp_path / "w.safetensors")), network=network, encoder=f"tu-{model}").eval()
    cfg = whole.pretrained_cfg
    mean, sd = (torch.tensor(cfg[key]).reshape(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        expected = whole.forward_intermediates((images() - mean) / sd, intermediates_only=True)[-1]
        torch.testing.assert_close(deepest(made, images()), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(made.read(images()).features, expected.mean((2, 3)), rtol=1e-5, atol=1e-5)


def test_what_a_file_holds_beside_the_encoder_is_named(tmp_path):
    whole = timm_network("test_efficientnet")
    made = built("smp", start(saved(whole, tmp_path / "w.safetensors")), network="fpn", encoder="tu-test_efficientnet")
    assert {name.partition(" ")[0] for name in made.start.left_out} == {"conv_head", "bn2", "classifier"}
    assert made.start.drawn == ("decoder", "head")
    assert made.start.loaded + sum(
        key.partition(".")[0] in ("conv_head", "bn2", "classifier") for key in whole.state_dict()
    ) == len(whole.state_dict())


def test_the_decoder_and_the_head_are_those_of_a_random_start(tmp_path):
    whole = timm_network("test_resnet")
    made = built("smp", start(saved(whole, tmp_path / "w.safetensors")), network="fpn", encoder="tu-test_resnet")
    fresh = built("smp", network="fpn", encoder="tu-test_resnet")
    for part_of in ("decoder", "head"):
        ours, theirs = (getattr(one, part_of).state_dict() for one in (made, fresh))
        assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_weights_of_another_network_are_refused(tmp_path):
    path = saved(timm_network("test_resnet"), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"does not fit the architecture '.+'; .* missing: conv_stem\.weight"):
        built("smp", start(path), network="fpn", encoder="tu-test_efficientnet")


def test_one_missing_tensor_is_refused(tmp_path):
    whole = timm_network("test_resnet")
    tensors = dict(whole.state_dict())
    del tensors["layer4.0.conv1.weight"]
    module = nn.Module()
    module.state_dict = lambda: tensors
    with pytest.raises(WeightsError, match=r"1 missing: layer4\.0\.conv1\.weight"):
        built("smp", start(saved(module, tmp_path / "w.safetensors")), network="unet", encoder="tu-test_resnet")


def test_torchvision_layouts_reach_the_librarys_own_encoder(tmp_path):
    """RadImageNet's layout, children by number, into the library's ResNet-18, whose keys are torchvision's."""
    whole = timm_network("resnet18")
    numbers = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7, "fc": 9}
    tensors = {}
    for key, value in whole.state_dict().items():
        first, _, rest = key.partition(".")
        tensors[f"backbone.{numbers[first]}.{rest}"] = value
    torch.save(tensors, tmp_path / "w.pt")
    made = built("smp", start(tmp_path / "w.pt", input="symmetric"), network="fpn", encoder="resnet18").eval()
    with torch.no_grad():
        expected = whole.forward_features(2 * images() - 1)
    torch.testing.assert_close(deepest(made, images()), expected, rtol=1e-5, atol=1e-5)
    assert made.start.layout == "numbered children of a ResNet"


def test_how_images_of_an_unknown_origin_were_scaled_must_be_said(tmp_path):
    encoder = built("smp", network="fpn", encoder="mobileone_s0").trunk
    path = saved(encoder, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="does not say how its images were scaled; set input: imagenet for most"):
        built("smp", start(path), network="fpn", encoder="mobileone_s0")
    assert built("smp", start(path, input="imagenet"), network="fpn", encoder="mobileone_s0").start is not None


def test_epsilons_and_strides_reach_the_encoder_and_come_back_from_a_file(tmp_path):
    whole = timm_network("test_resnet")
    path = saved(whole, tmp_path / "w.safetensors", {"bn_eps": "0.01"})
    made = built("smp", start(path), network="fpn", encoder="tu-test_resnet")
    assert {one.eps for one in made.trunk.modules() if isinstance(one, nn.BatchNorm2d)} == {0.01}
    save_weights(made, tmp_path / "trained.safetensors")
    again = built("smp", network="fpn", encoder="tu-test_resnet", seed=5)
    load_weights(again, tmp_path / "trained.safetensors")
    with torch.no_grad():
        assert torch.equal(again.eval()(images()), made.eval()(images()))


def test_a_stem_of_another_stride_is_refused(tmp_path):
    path = saved(timm_network("resnet18"), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="strides elsewhere, which the encoder of a segmentation network cannot"):
        built("smp", start(path, layout="monai-resnet", input="unit"), network="fpn", encoder="tu-resnet18")


def test_random_statistics_keep_mean_and_variance_of_every_tensor_of_the_encoder(tmp_path):
    whole = timm_network("test_resnet")
    path = saved(whole, tmp_path / "w.safetensors")
    made = built("smp", part("initialization", "random-statistics", path=path), network="fpn", encoder="tu-test_resnet")
    drawn, given = made.trunk.model.layer4[0].conv1.weight, whole.layer4[0].conv1.weight
    assert not torch.equal(drawn, given)
    assert float(drawn.detach().std()) == pytest.approx(float(given.detach().std()), rel=0.05)


def test_both_encoders_of_a_w_net_start_from_the_file(tmp_path):
    whole = timm_network("test_resnet")
    made = built("w-net", start(saved(whole, tmp_path / "w.safetensors")), encoder="tu-test_resnet")
    stem = whole.state_dict()["conv1.weight" if "conv1.weight" in whole.state_dict() else "conv1.0.weight"]
    first, second = (one.state_dict() for one in made.trunk)
    same = [key for key in first if torch.equal(first[key], second[key])] if first.keys() == second.keys() else []
    assert len(same) == len(first) - 1
    (other,) = set(first) - set(same)
    assert torch.equal(first[other], stem)
    assert torch.allclose(second[other], torch.cat([stem, stem[:, :2]], dim=1) * 3 / 5)
    assert made.start.drawn == ("first_decoder", "first_head", "decoder", "head")


def test_a_source_gives_its_encoder(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    source = built("smp", network="fpn", encoder="tu-test_resnet", seed=4, classes=5)
    folder = tmp_path / "sources" / "abc"
    folder.mkdir(parents=True)
    save_weights(source, folder / WEIGHTS_FILE)
    asked = part("initialization", "source", id="abc")
    made, fresh = (
        built("smp", asked, network="fpn", encoder="tu-test_resnet"),
        built("smp", network="fpn", encoder="tu-test_resnet"),
    )
    assert all(torch.equal(v, source.trunk.state_dict()[k]) for k, v in made.trunk.state_dict().items())
    assert all(torch.equal(v, fresh.decoder.state_dict()[k]) for k, v in made.decoder.state_dict().items())
    assert torch.equal(made.head.weight, fresh.head.weight)


@pytest.mark.assets
@pytest.mark.skipif(not ASSETS.is_dir(), reason="real weights are not at ASSAY_ASSETS")
@pytest.mark.parametrize("network", ["unet", "fpn", "w-net"])
def test_efficientnet_lite_from_imagenet(network):
    """The deepest map is that of timm's own network with these weights; what it is left without is told."""
    name, params = ("w-net", {}) if network == "w-net" else ("smp", {"network": network})
    made = built(name, start(LITE), encoder="tu-tf_efficientnet_lite0", **params).eval()
    whole = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    whole.load_state_dict({key: value.float() for key, value in load_file(LITE).items()}, strict=True)
    mean, sd = (torch.tensor(values).reshape(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    caught = []
    whole.blocks.register_forward_hook(lambda _module, _inputs, output: caught.append(output))
    with torch.no_grad():
        whole.eval()((images() - mean) / sd)
    first = made.trunk[0] if network == "w-net" else made.trunk
    torch.testing.assert_close(deepest(made, images(), first), caught[0], rtol=1e-5, atol=1e-5)
    assert {one.partition(" ")[0] for one in made.start.left_out} == {"conv_head", "bn2", "classifier"}
    assert made.start.scaling == "(x - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)"
