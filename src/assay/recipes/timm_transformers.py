"""The adapter to timm's plain vision transformers: tokens of patches that go through blocks of attention."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from timm.layers.attention import Attention
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from assay.recipes.untyped import named_layers

WHICH = "timm's plain vision transformers (such as vit_tiny_patch16_224 or deit_small_patch16_224)"
"""Which networks `transformer_of` knows."""


@dataclass(frozen=True)
class Transformer:
    """A plain vision transformer within a network.

    prefix: how many tokens stand before those of the patches (class token, registers). by_class: whether the class
    token, the first of them, is the feature; else the mean over the patches is. patch: height and width in pixels.
    """

    trunk: VisionTransformer
    prefix: int
    by_class: bool
    patch: tuple[int, int]

    @property
    def blocks(self) -> Sequence[Block]:
        """From the first to the last."""
        return cast(Sequence[Block], list(self.trunk.blocks))

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Patches of an image down and across."""
        return cast(tuple[int, int], cast(Any, self.trunk).patch_embed.dynamic_feat_size((height, width)))

    @contextmanager
    def attention(self) -> Generator[list[Float[Tensor, "b heads t t"]]]:
        """A list to which each block of a pass within adds its attention: row i is where token i looks, its sum 1.

        timm's fused attention never holds it, so that it is computed step by step meanwhile: the same up to rounding.
        """
        seen: list[Tensor] = []

        def keep(module: nn.Module, given: object, output: Tensor) -> None:
            seen.append(output)

        with ExitStack() as stack:
            for block in self.blocks:
                attention = cast(Any, block.attn)
                stack.callback(setattr, attention, "fused_attn", attention.fused_attn)
                attention.fused_attn = False
                stack.callback(attention.attn_drop.register_forward_hook(keep).remove)
            yield seen

    @contextmanager
    def shown(self, places: Int[Tensor, "b v"]) -> Generator[list[Float[Tensor, "b t d"]]]:
        """Of each image only the patches at these places go through the blocks, in this order, in passes within.

        Gives a list to which a pass adds its tokens after the last norm: those of the prefix, then these patches'.
        """
        trunk, seen = cast(Any, self.trunk), list[Tensor]()

        def leave_out(module: nn.Module, given: object, output: Tensor) -> Tensor:
            before, patches = output[:, : self.prefix], output[:, self.prefix :]
            return torch.cat([before, patches.gather(1, places[:, :, None].expand(-1, -1, patches.shape[2]))], dim=1)

        def keep(module: nn.Module, given: object, output: Tensor) -> None:
            seen.append(trunk.fc_norm(output))

        with ExitStack() as stack:
            stack.callback(trunk.patch_drop.register_forward_hook(leave_out).remove)
            stack.callback(trunk.norm.register_forward_hook(keep).remove)
            yield seen


def transformer_of(network: nn.Module) -> Transformer | None:
    """The plain vision transformer that a network is or has; None where there is none or another kind, or several.

    Plain: blocks of self-attention and a two-layer network one after the other, no windows, no attention in the
    pooling; features are those of the class token or the mean over patches.
    """
    found = [module for _, module in named_layers(network) if isinstance(module, VisionTransformer)]
    if len(found) != 1 or type(found[0]) is not VisionTransformer:
        return None
    trunk = found[0]
    plain = all(type(block) is Block and type(block.attn) is Attention for block in trunk.blocks)
    pools = trunk.global_pool == "token" or (trunk.global_pool == "avg" and not trunk.pool_include_prefix)
    if not plain or not pools or trunk.attn_pool is not None:
        return None
    patch = cast(tuple[int, int], tuple(cast(Any, trunk).patch_embed.patch_size))
    return Transformer(trunk, int(trunk.num_prefix_tokens), trunk.global_pool == "token", patch)
