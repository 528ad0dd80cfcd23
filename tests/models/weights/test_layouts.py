"""Files of other libraries' layouts against the networks that wrote them: same images, same features."""

from __future__ import annotations

import re

import pytest
import torch
import torchvision
from tests.models.weights.networks import filled, network, recipe_of, start
from torch import nn

from assay.plugin import WeightsError, empty_network, load_weights, save_weights

IMAGES = torch.rand(2, 3, 80, 80, generator=torch.Generator().manual_seed(0))


def torchvision_net(name, **options):
    torch.manual_seed(0)
    return filled(getattr(torchvision.models, name)(weights=None, **options))


def answers(trunk, images=IMAGES):
    with torch.no_grad():
        return trunk(images)


def pooled(model):
    """A torchvision network up to its classifier."""
    name = "classifier" if hasattr(model, "classifier") else "fc"
    setattr(model, name, nn.Identity())
    return model


def assert_same(found, expected):
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def loaded_from(tmp_path, model, content, **params):
    path = tmp_path / "weights.pt"
    torch.save(content, path)
    loaded = network(model, start(path, **params), size=80)
    loaded.eval()
    return loaded


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchvisions_resnets(tmp_path, name):
    theirs = torchvision_net(name)
    loaded = loaded_from(tmp_path, name, theirs.state_dict())
    assert loaded.start.layout == "timm or torchvision"
    assert loaded.start.left_out == ("fc (2 tensors)",)
    assert_same(answers(loaded.trunk), answers(pooled(theirs)))
    scaled = (IMAGES - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
        1, 3, 1, 1
    )
    assert_same(loaded.read(IMAGES).features, answers(theirs, scaled))


def test_torchvisions_inception_without_its_side_classifier(tmp_path):
    theirs = torchvision_net("inception_v3", init_weights=False)
    loaded = loaded_from(tmp_path, "inception_v3", theirs.state_dict())
    assert loaded.start.left_out == ("AuxLogits (14 tensors)", "fc (2 tensors)")
    theirs.transform_input = False
    assert_same(answers(loaded.trunk), answers(pooled(theirs)))


def old_key(key):
    """As torchvision's published DenseNet files, of before the layers were renamed, have it."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", key)


def monai_key(key):
    """As in MONAI's DenseNet: a dense layer is a sequence named layers, the classifier is class_layers.out."""
    return re.sub(r"(denselayer\d+)\.", r"\1.layers.", key).replace("classifier.", "class_layers.out.")


def radimagenet_key(key):
    """As in RadImageNet's DenseNet121.pt: a Sequential of all children but the last."""
    return re.sub(r"^features\.", "backbone.0.", key)


@pytest.mark.parametrize(
    ("rename", "layout", "left_out", "prefix", "params"),
    [
        (str, "timm or torchvision", ("classifier (2 tensors)",), "", {}),
        (old_key, "torchvision DenseNet of before 2019", ("classifier (2 tensors)",), "", {}),
        (monai_key, "MONAI DenseNet", ("class_layers (2 tensors)",), "", {"input": "unit"}),
        (radimagenet_key, "numbered children of a DenseNet", ("classifier (2 tensors)",), "backbone.",
         {"input": "symmetric"}),
    ],
    ids=["torchvision", "old torchvision", "MONAI", "RadImageNet"],
)  # fmt: skip
def test_densenets(tmp_path, rename, layout, left_out, prefix, params):
    theirs = torchvision_net("densenet121")
    content = {rename(key): value for key, value in theirs.state_dict().items()}
    loaded = loaded_from(tmp_path, "densenet121", content, **params)
    assert (loaded.start.layout, loaded.start.left_out, loaded.start.prefix) == (layout, left_out, prefix)
    assert_same(answers(loaded.trunk), answers(pooled(theirs)))


class Backbone(nn.Module):
    """As in RadImageNet's PyTorch example and in lightly's: a network's children in a row, without the last."""

    def __init__(self, model, count):
        super().__init__()
        self.backbone = nn.Sequential(*list(model.children())[:count])

    def forward(self, images):
        return self.backbone(images).flatten(1)


@pytest.mark.parametrize("name", ["resnet50", "resnet18", "inception_v3"])
def test_numbered_children(tmp_path, name):
    options = {"init_weights": False, "aux_logits": False} if name == "inception_v3" else {}
    theirs = Backbone(torchvision_net(name, **options), -1).eval()
    loaded = loaded_from(tmp_path, name, theirs.state_dict(), input="symmetric")
    assert loaded.start.layout == f"numbered children of a{'n Inception v3' if options else ' ResNet'}"
    assert loaded.start.scaling == "2 x - 1"
    assert loaded.start.left_out == ()
    assert_same(answers(loaded.trunk), answers(theirs))
    assert_same(loaded.read(IMAGES).features, answers(theirs, (255 * IMAGES - 127.5) * 2 / 255))


def test_a_lightly_checkpoint(tmp_path):
    theirs = Backbone(torchvision_net("resnet18"), -1).eval()
    state = {
        **theirs.state_dict(),
        "projection_head.layers.0.weight": torch.zeros(2048, 512),
        "prediction_head.layers.0.weight": torch.zeros(2048, 2048),
        "criterion.memory_bank.bank": torch.zeros(2),
        **{f"backbone_momentum.{key.removeprefix('backbone.')}": 0 * v for key, v in theirs.state_dict().items()},
        "projection_head_momentum.layers.0.weight": torch.zeros(2048, 512),
    }
    loaded = loaded_from(tmp_path, "resnet18", {"epoch": 3, "state_dict": state}, input="imagenet")
    assert_same(answers(loaded.trunk), answers(theirs))
    assert loaded.start.prefix == "backbone."
    assert loaded.start.left_out == (
        *("projection_head", "prediction_head", "criterion", "backbone_momentum (120 tensors)"),
        *("projection_head_momentum", "epoch"),
    )


def test_a_moco_checkpoint(tmp_path):
    theirs = torchvision_net("resnet18")
    heads = {"fc.0.weight": torch.zeros(512, 512), "fc.2.weight": torch.zeros(128, 512)}
    encoder = {key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")}
    state = {
        **{f"module.encoder_q.{key}": value for key, value in (encoder | heads).items()},
        **{f"module.encoder_k.{key}": 0 * value for key, value in (encoder | heads).items()},
        "module.queue": torch.zeros(128, 16),
        "module.queue_ptr": torch.zeros(1),
    }
    content = {"epoch": 200, "arch": "resnet18", "state_dict": state, "optimizer": {"state": {}}}
    loaded = loaded_from(tmp_path, "resnet18", content)
    assert_same(answers(loaded.trunk), answers(pooled(theirs)))
    assert loaded.start.prefix == "module.encoder_q."
    assert loaded.start.left_out == (
        *("module.encoder_q.fc (2 tensors)", "module.encoder_k (122 tensors)", "module.queue", "module.queue_ptr"),
        *("epoch", "arch", "optimizer"),
    )


def test_of_two_copies_one_must_be_chosen(tmp_path):
    theirs = torchvision_net("resnet18")
    encoder = {key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")}
    state = {f"student.{key}": 0 * value for key, value in encoder.items()}
    state |= {f"teacher.{key}": value for key, value in encoder.items()}
    with pytest.raises(WeightsError, match=r"holds this network 2 times, under the prefixes 'student\.', 'teacher\.';"):
        loaded_from(tmp_path, "resnet18", state)
    loaded = loaded_from(tmp_path, "resnet18", state, prefix="teacher.")
    assert_same(answers(loaded.trunk), answers(pooled(theirs)))
    assert loaded.start.left_out == ("student (120 tensors)",)


def test_a_copy_without_a_prefix_can_be_chosen_and_accounts_for_its_own_keys_alone(tmp_path):
    theirs = torchvision_net("resnet18")
    encoder = {key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")}
    state = encoder | {f"ema.{key}": 0 * value for key, value in encoder.items()}
    loaded = loaded_from(tmp_path, "resnet18", state, prefix="")
    assert_same(answers(loaded.trunk), answers(pooled(theirs)))
    assert loaded.start.left_out == ("ema (120 tensors)",)
    assert loaded_from(tmp_path, "resnet18", state, prefix="ema").start.prefix == "ema."  # the last dot is added
    state |= {"layer9.0.weight": torch.zeros(1), "ema.layer4.7.conv1.weight": torch.zeros(1)}
    with pytest.raises(WeightsError, match=r"2 unexpected: layer9\.0\.weight, ema\.layer4\.7\.conv1\.weight"):
        loaded_from(tmp_path, "resnet18", state, prefix="ema.")


def test_quantized_weights_are_refused(tmp_path):
    state = {key: value.to(torch.int8) for key, value in torchvision_net("resnet18").state_dict().items()}
    with pytest.raises(
        WeightsError, match=r"holds whole numbers where weights are: conv1\.weight, .*; save them as fl"
    ):
        loaded_from(tmp_path, "resnet18", state)


def test_parts_that_nobody_knows_are_refused_until_they_are_named(tmp_path):
    state = {f"encoder.{key}": value for key, value in torchvision_net("resnet18").state_dict().items()}
    state |= {"decoder.up.weight": torch.zeros(1), "layer1.0.fc.weight": torch.zeros(1)}
    with pytest.raises(WeightsError, match=r"2 unexpected: decoder\.up\.weight, layer1\.0\.fc\.weight; name the"):
        loaded_from(tmp_path, "resnet18", state)
    loaded = loaded_from(tmp_path, "resnet18", state, leave_out=("decoder", "layer1."))
    assert loaded.start.left_out == ("encoder.fc (2 tensors)", "decoder", "layer1")


def test_a_head_within_the_network_is_not_taken_for_the_one_on_top(tmp_path):
    """A squeeze-and-excitation layer named fc decides features: only what leaves the network at `fc` is a head."""
    state = torchvision_net("resnet18").state_dict()
    state["layer1.0.fc.weight"] = torch.zeros(1)
    with pytest.raises(WeightsError, match=r"1 unexpected: layer1\.0\.fc\.weight"):
        loaded_from(tmp_path, "resnet18", state)


def test_monais_resnet_strides_by_one_in_its_stem(tmp_path):
    theirs = torchvision_net("resnet18")
    theirs.conv1.stride = (1, 1)
    loaded = loaded_from(tmp_path, "resnet18", {"model": theirs.state_dict()}, layout="monai-resnet", input="unit")
    assert loaded.start.strides == {"conv1": 1}
    assert_same(answers(loaded.trunk), answers(pooled(theirs)))


class Ported(nn.Module):
    """Keras's ResNet in PyTorch: biases, an epsilon of its own, strides in the first convolution of a block."""

    def __init__(self):
        super().__init__()
        self.net = torchvision_net("resnet50")
        torch.manual_seed(1)
        for name, layer in list(self.net.named_modules()):
            if isinstance(layer, nn.Conv2d):
                layer.bias = nn.Parameter(torch.randn(layer.out_channels) / 5)
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = 1.001e-5
            if name.endswith(".0.conv1") and not name.startswith("layer1"):
                layer.stride = (2, 2)
                self.net.get_submodule(name.replace("conv1", "conv2")).stride = (1, 1)

    def forward(self, images):
        """Blue, green, red in 0 to 255, less the mean."""
        pooled(self.net)
        mean = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
        return self.net(255 * images.flip(1) - mean)


def test_keras_ports_give_the_features_of_their_network_and_come_back_from_a_file(tmp_path):
    theirs = Ported().eval()
    state = theirs.net.state_dict()
    loaded = loaded_from(tmp_path, "resnet50", state, input="caffe")
    assert loaded.start.layout == "Keras ResNet, ported to PyTorch"
    assert loaded.start.left_out == ("fc (2 tensors)",)
    assert loaded.start.epsilon == 1.001e-5
    expected = answers(theirs)
    assert_same(loaded.read(IMAGES).features, expected)
    save_weights(loaded, tmp_path / "kept.safetensors")
    again = empty_network(recipe_of("resnet50"), channels=3, size=80, classes=2).eval()
    load_weights(again, tmp_path / "kept.safetensors")
    assert_same(again.read(IMAGES).features, expected)
    with pytest.raises(WeightsError, match="does not say how its images were scaled; set input: caffe for Keras's own"):
        loaded_from(tmp_path, "resnet50", state)
    some = {key: value for key, value in state.items() if key != "layer1.0.conv1.bias"}
    with pytest.raises(WeightsError, match=r"unexpected: conv1\.bias, layer1\.0\.conv2\.bias"):
        loaded_from(tmp_path, "resnet50", some, input="caffe")
    state["layer1.1.conv2.bias"] = torch.zeros(3)
    with pytest.raises(WeightsError, match=r"the bias 'layer1\.1\.conv2\.bias' cannot be folded: no batch norm"):
        loaded_from(tmp_path, "resnet50", state, input="caffe")
    with pytest.raises(WeightsError, match="need a ResNet with bottlenecks that stride by 2 in their 3x3 convolution"):
        loaded_from(
            tmp_path,
            "resnet18",
            {**torchvision_net("resnet18").state_dict(), "layer1.0.conv1.bias": torch.zeros(64)},
            input="caffe",
        )


def test_a_file_of_keras_is_refused(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(20))
    with pytest.raises(WeightsError, match="is one of HDF5, as Keras writes: give"):
        network("resnet18", start(path), size=80)


def test_keys_of_any_other_file_are_renamed_as_asked(tmp_path):
    theirs = torchvision_net("resnet18")
    state = {f"net/{key.replace('layer', 'stage')}": value for key, value in theirs.state_dict().items()}
    loaded = loaded_from(tmp_path, "resnet18", state, rename={r"^net/stage(\d)": r"layer\1", "^net/": ""})
    assert_same(answers(loaded.trunk), answers(pooled(theirs)))
    for wrong, text in (
        ({"^.*bias$": "bias"}, "gives two tensors the same name"),
        ({"(": ""}, "no regular expression"),
    ):
        with pytest.raises(WeightsError, match=text):
            loaded_from(tmp_path, "resnet18", state, rename=wrong)


def test_the_scaling_of_numbered_layers_must_be_said(tmp_path):
    text = "set input: symmetric for RadImageNet's .pt files, imagenet for most others"
    with pytest.raises(WeightsError, match=re.escape(f"ResNet) does not say how its images were scaled; {text}")):
        loaded_from(tmp_path, "resnet18", Backbone(torchvision_net("resnet18"), -1).state_dict())
