from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.weights.networks import filled, network, start

from assay.models.weights import SCALINGS

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("f8")


def caffe(images: np.ndarray) -> np.ndarray:
    """Images in 0 to 255, red green blue, channels last, as Keras's mode `caffe` prepares them."""
    return images[..., ::-1] - [103.939, 116.779, 123.68]


def by_hand(name):
    """The published formulas on red, green, blue in 0 to 255, channels last."""
    return {
        "imagenet": (IMAGES / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
        "symmetric": (IMAGES - 127.5) * 2 / 255,
        "unit": IMAGES / 255,
        "caffe": caffe(IMAGES),
        "caffe-255": caffe(IMAGES) / 255,
    }[name]


@pytest.mark.parametrize("name", SCALINGS)
def test_a_first_layer_sees_what_its_training_showed_it(tmp_path, name):
    """Features are those of a trunk that was trained on that scaling's own order of channels."""
    trunk = filled(network().trunk)
    expected = trunk(torch.from_numpy(np.ascontiguousarray(by_hand(name).transpose(0, 3, 1, 2)).astype("f4")))
    torch.save(trunk.state_dict(), tmp_path / "w.pt")
    loaded = network("resnet18", start(tmp_path / "w.pt", input=name)).eval()
    found = loaded.read(torch.from_numpy((IMAGES.transpose(0, 3, 1, 2) / 255).astype("f4"))).features
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.detach().abs().max()))


@pytest.mark.parametrize("name", SCALINGS)
def test_the_record_says_the_scaling(tmp_path, name):
    torch.save(network().trunk.state_dict(), tmp_path / "w.pt")
    loaded = network("resnet18", start(tmp_path / "w.pt", input=name))
    assert loaded.start.scaling == SCALINGS[name].words
    assert '"scaling": "' in loaded.start.text()


def test_the_architectures_own_scaling_is_said_too(tmp_path):
    torch.save(network().trunk.state_dict(), tmp_path / "w.pt")
    words = "(x - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)"
    assert network("resnet18", start(tmp_path / "w.pt")).start.scaling == words
