"""Attention roll-out against one that is written by hand, and where its map is known."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from assay.core.registry import build
from assay.models.networks import ArchitectureContext
from assay.models.timm import transformer_of
from assay.models.untyped import named_layers
from assay.models.weights import library_draws
from assay.probes.explainers import Explainer, Subject, rolled_out
from assay.probes.faithfulness import dealt_anew

OWN = torch.tensor([0, 1, 1])
INSTEAD = "use gradient, integrated-gradients, smoothgrad or occlusion"


def explainer() -> Explainer:
    return build("explainer", "attention-rollout", {})


def transformer(classes: int = 2, **given: object) -> VisionTransformer:
    """Three blocks of two heads on 4 px patches of 24 x 16 px; weights large enough for attention that is not even."""
    values: dict[str, object] = {"img_size": (24, 16), "patch_size": 4, "in_chans": 1, "num_classes": classes}
    values |= {"embed_dim": 16, "depth": 3, "num_heads": 2, **given}
    with library_draws(5, "vit"):
        made = VisionTransformer(**values)  # type: ignore[arg-type]
        for parameter in made.parameters():
            nn.init.normal_(parameter, std=0.5)
    return made.eval()


def images(height: int = 24, width: int = 16) -> Tensor:
    return torch.rand((3, 1, height, width), generator=torch.Generator().manual_seed(0))


def explained(network: nn.Module, pixels: Tensor, own: Tensor = OWN) -> Tensor:
    subject = Subject.of(network, pixels[:1])
    assert explainer().refusal(subject) == ""
    return explainer().explain(subject, pixels, own[: len(pixels)])


def by_hand(network: VisionTransformer, pixels: Tensor) -> Tensor:
    """Attention from the weights of `qkv` alone, image by image, head by head, as Abnar and Zuidema's text has it."""
    found: list[Tensor] = []
    for image in pixels:
        x = network._pos_embed(network.patch_embed(image[None]))
        total = torch.eye(x.shape[1])
        for block in network.blocks:
            attention: nn.Module = block.attn  # type: ignore[assignment]
            given = block.norm1(x)[0]
            q, k, _ = (given @ attention.qkv.weight.T + attention.qkv.bias).chunk(3, dim=1)  # type: ignore[union-attr]
            heads = [
                ((one @ other.T) / one.shape[1] ** 0.5).softmax(dim=1)
                for one, other in zip(q.chunk(2, dim=1), k.chunk(2, dim=1), strict=True)
            ]
            raw = sum(heads, torch.zeros_like(total)) / 2 + torch.eye(x.shape[1])
            total = (raw / raw.sum(dim=1, keepdim=True)) @ total
            x = block(x)
        found.append(total)
    return torch.stack(found).detach()


def brought(rows: Tensor) -> Tensor:
    return nn.functional.interpolate(rows.reshape(3, 1, 6, 4), size=(24, 16), mode="bilinear")[:, 0]


# --- known by construction ------------------------------------------------------------------------------------------


def test_it_is_the_row_of_the_class_token_of_one_by_hand() -> None:
    network = transformer(qkv_bias=True)
    shares = by_hand(network, images())
    torch.testing.assert_close(explained(network, images()), brought(shares[:, 0, 1:]), atol=1e-6, rtol=1e-4)
    assert shares[:, 0, 1:].std(dim=1).min() > 1e-3  # attention that is not even, so that rows differ


def test_where_the_feature_is_the_mean_over_patches_so_is_the_row() -> None:
    for given in ({"class_token": False}, {"class_token": True}, {"class_token": True, "reg_tokens": 3}):
        network = transformer(global_pool="avg", qkv_bias=True, **given)
        shares, before = by_hand(network, images()), network.num_prefix_tokens
        wanted = brought(shares[:, before:, before:].mean(dim=1))
        torch.testing.assert_close(explained(network, images()), wanted, atol=1e-6, rtol=1e-4)


def test_attention_of_a_token_to_itself_alone_leaves_every_token_where_it_is() -> None:
    """Nothing then reaches the class token, and of the mean over patches each has its equal part."""
    identity = torch.eye(7).expand(2, 4, 7, 7)
    torch.testing.assert_close(rolled_out([identity] * 5), torch.eye(7).expand(2, 7, 7))


def test_even_attention_in_every_block_has_a_closed_form() -> None:
    """(J / t + I) / 2 to the power of L is I / 2^L + (1 - 1 / 2^L) J / t."""
    even = torch.full((2, 4, 7, 7), 1 / 7)
    wanted = torch.eye(7) / 2**3 + (1 - 1 / 2**3) / 7
    torch.testing.assert_close(rolled_out([even] * 3), wanted.expand(2, 7, 7))


def test_of_queries_that_are_zero_the_map_is_the_same_everywhere() -> None:
    network = transformer()
    for block in network.blocks:
        nn.init.zeros_(block.attn.qkv.weight[:32])  # type: ignore[union-attr, index]
    found, t = explained(network, images()), 25
    torch.testing.assert_close(found, torch.full((3, 24, 16), (1 - 1 / 2**3) / t))


def test_a_class_token_that_looks_at_one_patch_alone_has_that_patch_in_its_map() -> None:
    weights = torch.eye(5)
    weights[0] = torch.tensor([0.0, 0, 0, 1, 0])
    shares = rolled_out([weights[None, None]] * 2)[0, 0]
    torch.testing.assert_close(shares, torch.tensor([0.25, 0, 0, 0.75, 0]))


def test_shares_of_a_token_sum_to_one() -> None:
    generator = torch.Generator().manual_seed(1)
    made = [torch.randn((2, 3, 9, 9), generator=generator).softmax(dim=-1) for _ in range(12)]
    torch.testing.assert_close(rolled_out(made).sum(dim=-1), torch.ones(2, 9))


# --- what it says, and of what --------------------------------------------------------------------------------------


def test_the_class_and_the_head_do_not_matter_and_the_blocks_do() -> None:
    network = transformer(classes=4)
    found = explained(network, images())
    assert torch.equal(found, explained(network, images(), torch.tensor([3, 2, 0])))
    assert torch.equal(found, explained(dealt_anew(network, {"head.weight", "blocks.2.mlp.fc2.weight"}), images()))
    assert not torch.equal(found, explained(dealt_anew(network, {"blocks.1.attn.qkv.weight"}), images()))


def test_a_map_is_the_images_own_whatever_else_is_in_the_batch_and_is_not_negative() -> None:
    network = transformer()
    together = explained(network, images())
    for i in range(3):
        torch.testing.assert_close(explained(network, images()[i : i + 1]), together[i : i + 1])
    assert (together > 0).all()


def test_the_network_is_left_as_it_was_also_where_a_pass_fails() -> None:
    network, pixels = transformer(), images()
    attending = [block.attn for block in network.blocks]
    fused = [attention.fused_attn for attention in attending]
    before, answer = pixels.clone(), network(pixels)
    explained(network, pixels)
    with pytest.raises(AssertionError, match="Input height"):
        explainer().explain(Subject(network, ()), images(8, 8), OWN)
    assert torch.equal(pixels, before)
    assert torch.equal(network(pixels), answer)
    assert [attention.fused_attn for attention in attending] == fused
    assert not any(vars(module)["_forward_hooks"] for _, module in named_layers(network))
    assert all(parameter.grad is None for parameter in network.parameters())


def test_pixels_that_fill_no_patch_have_nothing_and_padded_ones_are_cut_off() -> None:
    cut = explained(transformer(img_size=(26, 19)), images(26, 19))
    assert cut.shape == (3, 26, 19)
    assert not cut[:, 24:].any()
    assert not cut[:, :, 16:].any()
    assert (cut[:, :24, :16] > 0).all()
    padded = explained(transformer(dynamic_img_size=True, dynamic_img_pad=True), images(22, 15))
    whole = explained(transformer(), nn.functional.pad(images(22, 15), (0, 1, 0, 2)))
    torch.testing.assert_close(padded, whole[:, :22, :15])


def test_a_vision_transformer_of_a_study_is_rolled_out() -> None:
    context = ArchitectureContext(channels=1, size=32, classes=2, seed=0)
    params = {"model": "test_vit", "in_chans": 3}
    network = build("architecture", "timm", params, context).eval()
    found = explained(network, images(32, 32))
    assert found.shape == (3, 32, 32)
    assert found.std() > 0


def without_attention() -> Iterable[nn.Module]:
    yield nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    yield timm.create_model("test_resnet", in_chans=1)
    yield timm.create_model("swin_tiny_patch4_window7_224", img_size=56, in_chans=1, embed_dim=24, depths=(1, 1, 1, 1))
    yield transformer(global_pool="map")
    yield transformer(global_pool="max")
    yield nn.ModuleList([transformer(), transformer()])


@pytest.mark.parametrize("network", list(without_attention()), ids=["cnn", "resnet", "swin", "map", "max", "two"])
def test_other_networks_are_refused_with_what_works(network: nn.Module) -> None:
    assert transformer_of(network) is None
    assert explainer().refusal(Subject(network, ())) == (
        "attention is rolled out of timm's plain vision transformers (such as vit_tiny_patch16_224 or "
        f"deit_small_patch16_224), and this network is none: {INSTEAD}"
    )
