"""Keras files against the same networks computed in NumPy: same images, same features."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tests.models.weights import keras_nets
from tests.models.weights.keras_nets import RESNET26, RESNET50
from tests.models.weights.networks import network, recipe_of, start
from torch import nn

from assay.core.errors import WeightsError
from assay.models.checkpoint import load_weights, save_weights
from assay.models.classifier import empty_network
from assay.models.initialization import FromFile
from assay.models.weight_files import fold_biases

IMAGES = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 3)).astype("f8")
AS_TENSOR = torch.from_numpy(IMAGES.transpose(0, 3, 1, 2) / 255)


@pytest.fixture(scope="module")
def resnet():
    """Weights of a Keras ResNet of two blocks a stage, and its features of the images."""
    layers = keras_nets.Layers(0, biased=True)
    return layers.weights, keras_nets.resnet(layers, keras_nets.caffe(IMAGES), RESNET26)


@pytest.fixture(scope="module")
def built():
    return network("resnet26", size=48)


@pytest.fixture
def load(built):
    """A new network, loaded from a file."""

    def load(path, **params):
        model = copy.deepcopy(built)
        FromFile(path=str(path), **params)(model)
        return model

    return load


CAFFE = np.array([123.68, 116.779, 103.939]) / 255


def features(model, mean=CAFFE, sd=1 / 255):
    """In float64, with the constants of the scaling in float64 too."""
    exact = copy.deepcopy(model).double().eval()
    for buffer, values in ((exact.scaling.mean, mean), (exact.scaling.sd, sd)):
        assert np.allclose(buffer.numpy(), np.broadcast_to(values, 3).reshape(1, 3, 1, 1), rtol=1e-6)
        buffer.copy_(torch.tensor(np.broadcast_to(values, 3).reshape(1, 3, 1, 1)))
    with torch.no_grad():
        return exact.read(AS_TENSOR).features.numpy()


def assert_same(found, expected):
    assert np.abs(found - expected).max() < 1e-9 * np.abs(expected).max()


@pytest.mark.parametrize("keras3", [False, True])
def test_a_keras_resnet50_gives_the_features_that_keras_gives(tmp_path, keras3):
    layers = keras_nets.Layers(0, biased=True)
    expected = keras_nets.resnet(layers, keras_nets.caffe(IMAGES), RESNET50)
    path = tmp_path / "resnet50.h5"
    keras_nets.write_h5(path, {**layers.weights, "probs": dense(2048)}, whole_model=not keras3, keras3=keras3)
    loaded = network("resnet50", start(path, input="caffe"), size=48)
    assert_same(features(loaded), expected)
    assert loaded.start.layout == "Keras ResNet"
    assert loaded.start.loaded == 53 * 5
    assert loaded.start.left_out == (("probs (2 tensors)",) if keras3 else ("probs (2 tensors)", "optimizer_weights"))
    assert loaded.start.epsilon == 1.001e-5
    assert {layer.eps for layer in loaded.modules() if isinstance(layer, nn.BatchNorm2d)} == {1.001e-5}


def test_the_port_to_pytorch_gives_the_features_that_keras_gives(tmp_path, resnet, load):
    weights, expected = resnet
    path = tmp_path / "RadImageNet-ResNet50_notop.pth"
    torch.save(ported(weights), path)
    loaded = load(path, input="caffe")
    assert_same(features(loaded), expected)
    assert loaded.start.layout == "Keras ResNet, ported to PyTorch"
    assert loaded.start.left_out == ()


def test_a_port_without_its_biases_is_another_network(tmp_path, resnet, load):
    """The biases that are folded matter: dropped, features would be off. A part of them is refused."""
    weights, expected = resnet
    path = tmp_path / "port.pth"
    bare = {layer: {k: v for k, v in tensors.items() if k != "bias"} for layer, tensors in weights.items()}
    keras_nets.write_h5(path, bare)
    assert np.abs(features(load(path, input="caffe")) - expected).max() > 0.1 * np.abs(expected).max()
    some = ported(weights)
    del some["layer1.0.conv1.bias"]
    torch.save(some, path)
    with pytest.raises(WeightsError, match=r"28 unexpected: conv1\.bias, layer1\.0\.conv2\.bias"):
        load(path, input="caffe")


def test_a_start_survives_a_round_trip(tmp_path, resnet, load):
    weights, expected = resnet
    torch.save(ported(weights), tmp_path / "port.pth")
    save_weights(load(tmp_path / "port.pth", input="caffe"), tmp_path / "kept.safetensors")
    again = empty_network(recipe_of("resnet26"), channels=3, size=48, classes=2)
    load_weights(again, tmp_path / "kept.safetensors")
    assert_same(features(again), expected)


def test_radimagenets_keras_scaling_is_caffe_over_255(tmp_path, resnet, load):
    weights, _ = resnet
    layers = keras_nets.Layers(0, biased=True)
    layers.weights = weights
    keras_nets.write_h5(tmp_path / "r.h5", weights)
    expected = keras_nets.resnet(layers, keras_nets.caffe(IMAGES) / 255, RESNET26)
    assert_same(features(load(tmp_path / "r.h5", input="caffe-255"), sd=1.0), expected)


def test_a_keras_densenet_gives_the_features_that_keras_gives(tmp_path):
    layers = keras_nets.Layers(1, biased=False)
    mean, sd = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = keras_nets.densenet121(layers, (IMAGES / 255 - mean) / sd)
    path = tmp_path / "densenet121.h5"
    keras_nets.write_h5(path, {**layers.weights, "fc1000": dense(1024)})
    loaded = network("densenet121", start(path, input="imagenet"), size=48)
    assert_same(features(loaded, mean, sd), expected)
    assert loaded.start.layout == "Keras DenseNet"
    assert loaded.start.left_out == ("fc1000 (2 tensors)",)


@pytest.mark.parametrize("training", [True, False])
def test_a_folded_bias_changes_nothing_in_training_either(training):
    """conv + bias + norm against conv + norm with the mean moved: same outputs, same mean of W x + b in the end."""
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 5, 3).double(), nn.BatchNorm2d(5).double()
    norm.running_mean.normal_()
    plain, other = nn.Conv2d(3, 5, 3, bias=False).double(), nn.BatchNorm2d(5).double()
    folded = fold_biases(
        {"conv1.weight": conv.weight.data, "conv1.bias": conv.bias.data, "bn1.running_mean": norm.running_mean}
    )
    assert sorted(folded) == ["bn1.running_mean", "conv1.weight"]
    plain.weight.data = folded["conv1.weight"]
    other.running_mean = folded["bn1.running_mean"].double()
    images = torch.rand(4, 3, 8, 8).double()
    norm.train(training)
    other.train(training)
    assert torch.allclose(norm(conv(images)), other(plain(images)), atol=1e-6)
    shift = conv.bias if not training else conv.bias * 0.9 + conv.bias * 0.1
    assert torch.allclose(norm.running_mean, other.running_mean + shift, atol=1e-6)


def test_a_bias_with_nothing_to_fold_it_into_is_refused(tmp_path, resnet, load):
    state = ported(resnet[0])
    state["layer1.1.conv2.bias"] = torch.zeros(3)
    torch.save(state, tmp_path / "port.pth")
    with pytest.raises(WeightsError) as error:
        load(tmp_path / "port.pth", input="caffe")
    assert str(error.value) == (
        f"weights file '{tmp_path / 'port.pth'}' (Keras ResNet, ported to PyTorch): the bias 'layer1.1.conv2.bias' "
        "cannot be folded: no batch norm with a mean 'layer1.1.bn2.running_mean' of its length; the file looks like a "
        "ResNet-26"
    )


def test_a_keras_resnet_of_another_depth_is_refused_by_its_own_name(tmp_path, resnet):
    path = tmp_path / "r.h5"
    keras_nets.write_h5(path, resnet[0])
    with pytest.raises(WeightsError, match="does not fit the architecture 'resnet50'; ") as error:
        network("resnet50", start(path, input="caffe"), size=48)
    assert "; the file looks like a ResNet-26; name the architecture of the file in recipe." in str(error.value)


def test_the_scaling_of_a_keras_file_must_be_said(tmp_path, resnet, load):
    keras_nets.write_h5(tmp_path / "r.h5", resnet[0])
    with pytest.raises(WeightsError) as error:
        load(tmp_path / "r.h5")
    assert str(error.value) == (
        f"weights file '{tmp_path / 'r.h5'}' (Keras ResNet) does not say how its images were scaled; set input: caffe "
        "for Keras's own ResNets, imagenet for its DenseNets, caffe-255 for RadImageNet's Keras files"
    )


def test_a_resnet_whose_stride_cannot_be_moved_is_refused(tmp_path, resnet, built):
    keras_nets.write_h5(tmp_path / "r.h5", resnet[0])
    model = copy.deepcopy(built)
    model.trunk.layer2[0].conv2.stride = (1, 1)
    with pytest.raises(WeightsError, match="need a ResNet with bottlenecks that stride by 2 in their 3x3 convolution"):
        FromFile(path=str(tmp_path / "r.h5"), input="caffe")(model)


def test_keras_files_that_are_not_read_are_said(tmp_path, resnet, load):
    path = tmp_path / "other.h5"
    keras_nets.write_h5(path, {"conv2d_1": {"kernel": np.zeros((3, 3, 3, 8), "f4")}})
    with pytest.raises(WeightsError, match="the file looks like a Keras Inception, whose pooling timm does otherwise"):
        load(path, input="caffe")
    with keras_nets.h5py.File(path, "w") as file:
        file["layers/conv2d/vars/0"] = np.zeros(3)
    with pytest.raises(WeightsError, match=r"names no layers, as Keras 3 writes \.weights\.h5"):
        load(path, input="caffe")
    keras_nets.write_h5(path, resnet[0])
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(WeightsError, match="is truncated or not a Keras file"):
        load(path, input="caffe")


def dense(width):
    return {"kernel": np.ones((width, 10), "f4"), "bias": np.zeros(10, "f4")}


def ported(weights):
    names = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}
    names |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    state = {}
    for here, there in keras_nets.port_keys(RESNET26):
        for kind, values in weights[here].items():
            turned = values.transpose(3, 2, 0, 1) if kind == "kernel" else values
            state[f"{there}.{names[kind]}"] = torch.tensor(np.ascontiguousarray(turned))
    return state
