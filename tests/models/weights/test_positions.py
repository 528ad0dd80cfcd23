"""Position embeddings of another image size: resampled as timm does, stated, or refused."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from tests.models.weights.networks import network, start
from tests.worlds.environments import part
from torch.nn import functional

from assay.models import initialization
from assay.plugin import WeightsError, start_of

VIT = "test_vit"  # timm's own smallest: patches of 16 px, a class token
SWIN = "swin_tiny_patch4_window7_224"


def kept(path, model=VIT, size=64, **changes):
    """Weights of a network for images of that size, as a file."""
    tensors = {**network(model, size=size, seed=1).trunk.state_dict(), **changes}
    save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    return tensors


def test_embeddings_are_resampled_over_patches_and_prefix_tokens_stay(tmp_path):
    path = tmp_path / "weights.safetensors"
    theirs = kept(path)
    loaded = network(VIT, start(path), size=32)
    class_token, patches = theirs["pos_embed"][:, :1], theirs["pos_embed"][:, 1:]
    grid = patches.reshape(1, 4, 4, -1).permute(0, 3, 1, 2)
    smaller = functional.interpolate(grid, size=(2, 2), mode="bicubic", antialias=True)
    expected = torch.cat([class_token, smaller.permute(0, 2, 3, 1).reshape(1, 4, -1)], dim=1)
    found = loaded.trunk.state_dict()
    assert torch.allclose(found["pos_embed"], expected, atol=1e-6)
    assert all(torch.equal(found[key], theirs[key]) for key in theirs if key != "pos_embed")
    assert start_of(loaded).positions == "4x4 to 2x2"


def test_published_weights_are_resampled_and_say_so(monkeypatch):
    theirs = network(VIT, size=64, seed=1).trunk.state_dict()
    monkeypatch.setattr(initialization, "_is_cached", lambda configuration: True)
    monkeypatch.setattr("assay.models.timm.download_published", lambda trunk, channels: theirs)
    assert start_of(network(VIT, part("initialization", "timm"), size=32)).positions == "4x4 to 2x2"


def test_embeddings_of_no_square_grid_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    width = network(VIT).trunk.pos_embed.shape[2]
    kept(path, pos_embed=torch.zeros(1, 1 + 12, width))
    with pytest.raises(WeightsError) as refused:
        network(VIT, start(path), size=32)
    assert str(refused.value) == (
        f"weights file '{path}' does not fit the architecture 'test_vit'; 1 wrong shape: pos_embed is 1x13x{width}, "
        f"expected 1x5x{width}; they depend on the image size: set data.size to that of the file"
    )


def test_relative_positions_of_another_window_are_refused_and_the_size_is_named(tmp_path):
    path = tmp_path / "weights.safetensors"
    kept(path, model=SWIN, size=224)
    with pytest.raises(WeightsError, match=r"wrong shape: .*relative_position.*; they depend on the image size: set"):
        network(SWIN, start(path), size=64)
