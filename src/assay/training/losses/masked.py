"""Masked autoencoding: a vision transformer sees a few patches of an image, a small one tells the others' pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

import torch
from jaxtyping import Float, Int
from pydantic import Field
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

from assay.core.errors import SpecError
from assay.core.registry import component
from assay.core.seeds import generator
from assay.core.traits import LossTraits
from assay.data.dataset import Batch
from assay.models.classifier import Network, Outputs
from assay.models.timm import WHICH, Transformer, transformer_of
from assay.models.untyped import tensor_of
from assay.training.losses.classification import widened, without_autocast
from assay.training.objective import LossContext, Objective, Progress

HEAD_WIDTH = 32
"""Dimensions of each head of the decoder's attention, as published (512 in 16 heads)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked(Outputs):
    """Of images of which the network saw some patches: its outputs, and the hidden patches.

    Attributes:
        tokens: Of class token and registers, then of the patches that were seen, after the last norm.
        order: The places of patches, the seen ones first in the order of their tokens.
        grid: Patches down and across.
        patch: Height and width of one in pixels.
        channels: That the network takes; a gray image is repeated to as many.
    """

    tokens: Float[Tensor, "b t d"]
    order: Int[Tensor, "b p"]
    grid: tuple[int, int]
    patch: tuple[int, int]
    channels: int


@component(
    "loss",
    "masked-autoencoder",
    LossTraits(architectures=("timm",)),
    summary="no labels, vision transformers: pixels of patches that were not shown (He et al. 2022)",
)
class MaskedAutoencoder(Objective):
    """The mean squared error of the pixels of patches that the network did not see, each patch's own pixels being
    standardized first (He et al., *Masked Autoencoders Are Scalable Vision Learners*, CVPR 2022); at least 0, and about
    1 of a decoder that says gray everywhere.

    Which patches are hidden is redrawn at each step in training; in evaluation each row has its own for good. The
    decoder is thrown away; the rest is a common vision transformer. A patch that is the same everywhere is
    reconstructed as 0. Raises SpecError at the start for a network that is no plain vision transformer of timm.
    """

    trains_head = False
    unlabeled = True

    def __init__(
        self,
        context: LossContext,
        *,
        hidden: Annotated[
            float, Field(gt=0, lt=1, description="share of patches that the network does not see")
        ] = 0.75,
        depth: Annotated[int, Field(ge=1, le=64, description="blocks of the decoder; 8 as published")] = 4,
        width: Annotated[
            int, Field(ge=32, le=4096, multiple_of=32, description="of the decoder's tokens; 512 as published")
        ] = 256,
    ) -> None:
        super().__init__()
        self.hidden, self.depth, self.width = hidden, depth, width
        self.decoder = nn.ModuleDict()

    def start(self, network: nn.Module) -> None:
        """The decoder is made to the network's measure."""
        transformer = transformer_of(network)
        if transformer is None:
            raise SpecError(
                f"loss 'masked-autoencoder' trains {WHICH}, and this network has none: name one, such as "
                "architecture: {timm: {model: vit_tiny_patch16_224}}, or use another loss without labels"
            )
        trunk, (height, width) = transformer.trunk, transformer.patch
        device = next(trunk.parameters()).device
        self.decoder["embed"] = nn.Linear(trunk.embed_dim, self.width)
        self.decoder["hidden"] = nn.Embedding(1, self.width)
        blocks = (Block(self.width, self.width // HEAD_WIDTH, qkv_bias=True) for _ in range(self.depth))
        self.decoder["blocks"] = nn.Sequential(*blocks)
        self.decoder["norm"] = nn.LayerNorm(self.width)
        self.decoder["predict"] = nn.Linear(self.width, height * width * trunk.in_chans)
        nn.init.normal_(cast(nn.Embedding, self.decoder["hidden"]).weight, std=0.02)
        for module in self.decoder.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        self.decoder.to(device)

    def read(self, network: Network, batch: Batch) -> Outputs:
        """Output of the network for the visible patches."""
        transformer = _transformer(network)
        grid = transformer.grid(batch.images.shape[2], batch.images.shape[3])
        order = self._order(batch, grid[0] * grid[1])
        with transformer.shown(order[:, : self._seen(order.shape[1])]) as tokens:
            outputs = network.read(batch.images)
        return Masked(
            features=outputs.features,
            logits=outputs.logits,
            tokens=widened(tokens[0]),
            order=order,
            grid=grid,
            patch=transformer.patch,
            channels=int(transformer.trunk.in_chans),
        )

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """See the class."""
        assert isinstance(outputs, Masked), "a masked autoencoder's outputs are those of its own `read`"
        with without_autocast(outputs.tokens.device):
            seen = self._seen(outputs.order.shape[1])
            told = self._told(outputs, seen)
            images = widened(batch.images).expand(-1, outputs.channels, -1, -1)
            wanted = standardized(patches(images, outputs.grid, outputs.patch))
            at = outputs.order[:, seen:, None].expand(-1, -1, told.shape[2])
            return (told.gather(1, at) - wanted.gather(1, at)).square().mean()

    def _told(self, outputs: Masked, seen: int) -> Float[Tensor, "b p n"]:
        """Return the pixels of every patch as the decoder has them."""
        part, order = self.decoder, outputs.order
        tokens = part["embed"](outputs.tokens)
        before = tokens.shape[1] - seen
        unseen = cast(nn.Embedding, part["hidden"]).weight.expand(len(order), order.shape[1] - seen, -1)
        placed = torch.cat([tokens[:, before:], unseen], dim=1)
        placed = placed.gather(1, order.argsort(dim=1)[:, :, None].expand_as(placed))
        placed = placed + positions(outputs.grid, self.width).to(placed)
        made = part["blocks"](torch.cat([tokens[:, :before], placed], dim=1))
        return part["predict"](part["norm"](made))[:, before:]

    def _seen(self, count: int) -> int:
        """How many patches are seen of so many: at least one, and not all."""
        return min(max(1, round(count * (1 - self.hidden))), count - 1)

    def _order(self, batch: Batch, count: int) -> Int[Tensor, "b p"]:
        """Places of patches in a random order: of the step's draws, or in evaluation of the row alone."""
        if self.training:
            return torch.rand(len(batch.images), count, device=batch.images.device).argsort(dim=1)
        rows = (int(row) for row in batch.row.cpu().numpy())
        orders = [tensor_of(generator(0, "hidden-patches", row).permutation(count)) for row in rows]
        return torch.stack(orders).to(batch.images.device)


def patches(images: Float[Tensor, "b c h w"], grid: tuple[int, int], patch: tuple[int, int]) -> Float[Tensor, "b p n"]:
    """Return the pixels of each patch, row by row, the channels last.

    Pixels at an edge that fill no patch are left out; a patch that reaches beyond the image has 0 there.
    """
    (down, across), (tall, wide) = grid, patch
    whole = functional.pad(images, (0, across * wide - images.shape[3], 0, down * tall - images.shape[2]))
    parts = whole.unfold(2, tall, tall).unfold(3, wide, wide)
    return parts.permute(0, 2, 3, 4, 5, 1).reshape(len(images), down * across, -1)


def standardized(values: Float[Tensor, "b p n"]) -> Float[Tensor, "b p n"]:
    """Standardize each patch to mean 0 and variance 1 (n - 1 in the denominator, plus 1e-6); constant patches are 0."""
    return (values - values.mean(dim=-1, keepdim=True)) / (values.var(dim=-1, keepdim=True) + 1e-6).sqrt()


def positions(grid: tuple[int, int], width: int) -> Float[Tensor, "p {width}"]:
    """Position of each patch: sines and cosines of its row in the first half of the dimensions, of its column in the
    second, at wavelengths from 2 pi to 10,000 times as much (Vaswani et al. 2017).

    Args:
        width: A multiple of 4.
    """
    rate = 10_000 ** -(torch.arange(width // 4) / (width // 4))
    row, column = torch.meshgrid(*(torch.arange(side).float() for side in grid), indexing="ij")
    angles = [place.reshape(-1, 1) * rate for place in (row, column)]
    return torch.cat([turned for angle in angles for turned in (angle.sin(), angle.cos())], dim=1)


def _transformer(network: Network) -> Transformer:
    found = transformer_of(cast(nn.Module, network))
    assert found is not None, "start has refused other networks"
    return found
