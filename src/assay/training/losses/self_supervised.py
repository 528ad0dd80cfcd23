"""Losses without labels: between views of an image, or of hidden patches."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, cast

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

from assay.core.errors import SpecError
from assay.core.registry import component
from assay.core.seeds import generator
from assay.core.traits import LossTraits
from assay.data.dataset import Batch
from assay.models.networks import Network, Outputs, as_network
from assay.models.timm import WHICH, Transformer, transformer_of
from assay.models.untyped import tensor_of
from assay.training.losses.classification import widened, without_autocast
from assay.training.losses.embedding import unit
from assay.training.objective import LossContext, Objective, Progress

_Width = Annotated[int, Field(ge=4, le=65536)]
_Momentum = Annotated[float, Field(ge=0, lt=1)]
_Temperature = Annotated[float, Field(gt=0, le=10)]
ThreeLayers = Annotated[_Width, Field(description="dimensions of the projection, of each of its three layers")]
Teacher = Annotated[_Momentum, Field(description="what a step keeps of the teacher, rising to 1 in byol")]


# Criteria of losses without labels, which compare two views of images, as pure functions.

_VARIANCE_FLOOR = 1e-4  # added to a variance before its root, as published


def barlow_twins(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], *, off_diagonal: float) -> Float[Tensor, ""]:
    """sum_i (1 - C_ii)^2 + off_diagonal * sum_{i != j} C_ij^2, C being the correlations over the images between the
    dimensions of one view and those of the other; at least 0.

    A dimension that does not vary correlates with none. Zbontar, Jing, Misra, LeCun and Deny, *Barlow Twins*, ICML
    2021.
    """
    correlation = _standardized(a).T @ _standardized(b) / len(a)
    diagonal = correlation.diagonal()
    return (1 - diagonal).square().sum() + off_diagonal * (correlation.square().sum() - diagonal.square().sum())


def _standardized(z: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Mean 0 and variance 1 over the images, as a batch norm without parameters has it."""
    centered = z - z.mean(0)
    return centered / (centered.square().mean(0) + 1e-5).sqrt()


def vicreg(
    a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], *, invariance: float, variance: float, covariance: float
) -> Float[Tensor, ""]:
    """invariance * mean (a - b)^2 + variance * hinge + covariance * redundancy, at least 0.

    hinge: the mean over dimensions and views of max(0, 1 - sqrt(var + 1e-4)). redundancy: the sum over views of the
    squared covariances between different dimensions, over their number d. Both with n - 1; a batch of one image has
    neither, and counts as not varying at all. Bardes, Ponce and LeCun, *VICReg*, ICLR 2022, as its code has it.
    """
    hinge = redundancy = a.new_zeros(())
    for z in (a, b):
        centered = z - z.mean(0)
        covariances = centered.T @ centered / max(1, len(z) - 1)
        own = covariances.diagonal()
        hinge = hinge + functional.relu(1 - (own + _VARIANCE_FLOOR).sqrt()).mean() / 2
        redundancy = redundancy + (covariances.square().sum() - own.square().sum()) / z.shape[1]
    return invariance * functional.mse_loss(a, b) + variance * hinge + covariance * redundancy


def agreement(predicted: Float[Tensor, "n d"], target: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Mean squared distance of unit vectors, 2 - 2 cos, from 0 to 4; no gradient flows into `target`.

    Grill et al., *Bootstrap Your Own Latent*, NeurIPS 2020, of one view's prediction.
    """
    return (2 - 2 * (unit(predicted) * unit(target.detach())).sum(1)).mean()


def info_nce(
    query: Float[Tensor, "n d"],
    key: Float[Tensor, "n d"],
    queue: Float[Tensor, "q d"],
    left_out: Bool[Tensor, "n q"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Mean over images of the log-loss in nats of finding the own key among it and the queue, by cosines over the
    temperature; no gradient flows into keys. 0 for an image that all of the queue is left out for.

    He, Fan, Wu, Xie and Girshick, *Momentum Contrast*, CVPR 2020. `queue` holds unit vectors.
    """
    seen, own = unit(query), unit(key.detach())
    others = (seen @ queue.detach().T).masked_fill(left_out, -torch.inf)
    logits = torch.cat([(seen * own).sum(1, keepdim=True), others], dim=1) / temperature
    return functional.cross_entropy(logits, torch.zeros(len(seen), dtype=torch.int64, device=seen.device))


# Objectives that need no label: two views of each image, and for some a teacher that follows the network.
#
# All train the encoder alone: the projection is thrown away, and a head is fitted on the frozen features afterward. A
# teacher is a copy of network and projection whose weights are a moving average of theirs; it runs on the batch's
# images itself, in the mode (training or evaluation) of its objective, in float32.


def assignments(scores: Float[Tensor, "n k"], *, sharpness: float, rounds: int = 3) -> Float[Tensor, "n k"]:
    """Soft assignments of images to prototypes, each row summing to 1 and prototypes filled nearly evenly: rounds of
    Sinkhorn and Knopp on exp(scores / sharpness). Without gradient. Caron et al., *SwAV*, NeurIPS 2020.
    """
    with torch.no_grad():
        log_q = scores.double() / sharpness
        for _ in range(rounds):
            log_q = log_q - torch.logsumexp(log_q, dim=0, keepdim=True)
            log_q = log_q - torch.logsumexp(log_q, dim=1, keepdim=True)
        return log_q.exp().to(scores.dtype)


class TwoViews(Objective):
    """Two views, no label. `compared` is the loss of the projections of both."""

    views = 2
    trains_head = False
    unlabeled = True

    def __init__(self, projection: nn.Module) -> None:
        super().__init__()
        self.projection = projection

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """Of the first view of every image and the second."""
        with without_autocast(outputs.features.device):
            one, other = self.projection(widened(outputs.features)).chunk(2)
            return self.compared(one, other, batch)

    def compared(self, one: Float[Tensor, "n d"], other: Float[Tensor, "n d"], batch: Batch) -> Float[Tensor, ""]:
        """Return the scalar to minimize."""
        raise NotImplementedError(f"{type(self).__name__} must define compared")


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of these widths, batch norm and ReLU between them."""
    layers: list[nn.Module] = []
    for place, (before, after) in enumerate(pairwise(widths)):
        last = place == len(widths) - 2
        layers.append(nn.Linear(before, after, bias=last))
        if not last:
            layers += [nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers)


@component("loss", "barlow-twins", summary="no labels: correlations of two views (Zbontar et al. 2021)")
class BarlowTwins(TwoViews):
    """`views.barlow_twins` after a projection of three layers."""

    def __init__(
        self,
        context: LossContext,
        *,
        embedding: ThreeLayers = 512,
        off_diagonal: Annotated[
            float, Field(ge=0, description="weight of the correlations between dimensions")
        ] = 0.005,
    ) -> None:
        super().__init__(mlp([context.width, embedding, embedding, embedding]))
        self.off_diagonal = off_diagonal

    def compared(self, one: Float[Tensor, "n d"], other: Float[Tensor, "n d"], batch: Batch) -> Float[Tensor, ""]:
        """See the class."""
        return barlow_twins(one, other, off_diagonal=self.off_diagonal)


@component("loss", "vicreg", summary="no labels: variance, invariance, covariance of two views (Bardes et al. 2022)")
class VicReg(TwoViews):
    """`views.vicreg` after an expander of three layers."""

    def __init__(
        self,
        context: LossContext,
        *,
        embedding: ThreeLayers = 512,
        invariance: Annotated[float, Field(ge=0, description="weight of the distance between views")] = 25.0,
        variance: Annotated[
            float, Field(ge=0, description="weight of the hinge on standard deviations under 1")
        ] = 25.0,
        covariance: Annotated[float, Field(ge=0, description="weight of the covariances between dimensions")] = 1.0,
    ) -> None:
        super().__init__(mlp([context.width, embedding, embedding, embedding]))
        self.weights = {"invariance": invariance, "variance": variance, "covariance": covariance}

    def compared(self, one: Float[Tensor, "n d"], other: Float[Tensor, "n d"], batch: Batch) -> Float[Tensor, ""]:
        """See the class."""
        return vicreg(one, other, **self.weights)


@component(
    "loss",
    "swav",
    summary="no labels: each view's code from the other, on prototypes (Caron et al. 2020)",
)
class SwAV(TwoViews):
    """Each view's code, an even assignment to learned prototypes, is predicted from the other view's projection.

    Mean of both directions of -sum_k q_k log softmax(z . c_k / temperature), in nats; prototypes are unit vectors. Two
    views, no further crops, no queue. Caron et al., *Unsupervised Learning of Visual Features by Contrasting Cluster
    Assignments*, NeurIPS 2020.
    """

    def __init__(
        self,
        context: LossContext,
        *,
        embedding: Annotated[_Width, Field(description="dimensions of the projection")] = 128,
        prototypes: Annotated[
            _Width, Field(description="how many prototypes; a few times as many as kinds of images")
        ] = 300,
        temperature: Annotated[_Temperature, Field(description="divides the cosines to prototypes")] = 0.1,
        sharpness: Annotated[_Temperature, Field(description="divides them where codes are made")] = 0.05,
    ) -> None:
        super().__init__(mlp([context.width, context.width, embedding]))
        self.prototypes = nn.Linear(embedding, prototypes, bias=False)
        self.temperature, self.sharpness = temperature, sharpness

    def compared(self, one: Float[Tensor, "n d"], other: Float[Tensor, "n d"], batch: Batch) -> Float[Tensor, ""]:
        """See the class."""
        directions = unit(self.prototypes.weight)
        scores = [unit(z) @ directions.T for z in (one, other)]
        total = one.new_zeros(())
        for own, others in (scores, scores[::-1]):
            code = assignments(own, sharpness=self.sharpness)
            total = total - (code * torch.log_softmax(others / self.temperature, dim=1)).sum(1).mean() / 2
        return total


class Taught(TwoViews):
    """With a teacher: `averaged` is a copy of network and projection, made when training starts.

    Args:
        momentum: Initial share of the teacher's weights that a step keeps; under `rising` it rises to 1 by half a
            cosine.
    """

    def __init__(self, projection: nn.Module, *, momentum: float, rising: bool) -> None:
        super().__init__(projection)
        self.momentum, self.rising = momentum, rising
        self.averaged = nn.ModuleDict()

    def start(self, network: nn.Module) -> None:
        """The teacher begins as the network."""
        for name, module in (("network", network), ("projection", self.projection)):
            self.averaged[name] = copy.deepcopy(module).requires_grad_(False)

    def taught(self, batch: Batch) -> Float[Tensor, "b d"]:
        """Return the teacher's projections of all views, without gradient."""
        with torch.no_grad():
            features = as_network(self.averaged["network"]).read(batch.images).features
            return self.averaged["projection"](widened(features))

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        """The teacher's weights move toward the network's; its batch norms keep statistics of their own."""
        kept = self.momentum
        if self.rising:
            kept = 1 - (1 - kept) * (math.cos(math.pi * progress.share) + 1) / 2
        with torch.no_grad():
            for name, module in (("network", network), ("projection", self.projection)):
                for old, new in zip(self.averaged[name].parameters(), module.parameters(), strict=True):
                    old.lerp_(new, 1 - kept)


@component("loss", "byol", summary="no labels: one view predicts a teacher's other view (Grill et al. 2020)")
class Byol(Taught):
    """Each view's projection predicts the teacher's of the other view: the mean of `views.agreement` both ways, times
    2, from 0 to 8. Grill et al. 2020.
    """

    def __init__(
        self,
        context: LossContext,
        *,
        hidden: Annotated[_Width, Field(description="width of the hidden layers of projection and predictor")] = 512,
        embedding: Annotated[_Width, Field(description="dimensions of the projection")] = 128,
        momentum: Teacher = 0.99,
    ) -> None:
        super().__init__(mlp([context.width, hidden, embedding]), momentum=momentum, rising=True)
        self.predictor = mlp([embedding, hidden, embedding])

    def compared(self, one: Float[Tensor, "n d"], other: Float[Tensor, "n d"], batch: Batch) -> Float[Tensor, ""]:
        """See the class."""
        first, second = self.predictor(torch.cat([one, other])).chunk(2)
        target, beside = self.taught(batch).chunk(2)
        return agreement(first, beside) + agreement(second, target)


@component("loss", "moco", summary="no labels: a view's teacher key among a queue of keys (MoCo v2, Chen et al. 2020)")
class Moco(Taught):
    """The first view's projection finds the teacher's of the second view among the keys of images seen before:
    `views.info_nce`. Version 2: a projection of two layers without batch norm (Chen, Fan, Girshick and He 2020).

    queue: how many keys are kept, unit vectors, drawn at random at first; a training step puts its own in the place of
    the oldest. Keys are not shuffled over devices: batch norms of queries and keys see the same whole batches. The
    network runs on the second views too, which have no part in its loss. In training an image is not contrasted with
    its own keys that are left of earlier steps: of few images a queue holds many such, of the published millions none.
    """

    keys: Tensor
    rows: Tensor
    place: Tensor

    def __init__(
        self,
        context: LossContext,
        *,
        embedding: Annotated[_Width, Field(description="dimensions of the projection")] = 128,
        queue: Annotated[int, Field(ge=1, description="keys kept of earlier batches")] = 65536,
        temperature: Annotated[float, Field(gt=0, le=10, description="divides cosine similarities, no unit")] = 0.2,
        momentum: Teacher = 0.999,
    ) -> None:
        width = context.width
        projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, embedding))
        super().__init__(projection, momentum=momentum, rising=False)
        self.temperature = temperature
        self.register_buffer("keys", functional.normalize(torch.randn(queue, embedding), dim=1))
        self.register_buffer("rows", torch.full((queue,), -1, dtype=torch.int64))  # no image's
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    def compared(self, one: Float[Tensor, "n d"], other: Float[Tensor, "n d"], batch: Batch) -> Float[Tensor, ""]:
        """See the class. In evaluation mode the queue stays as it is."""
        key = unit(self.taught(batch).chunk(2)[1])
        row = batch.row.chunk(2)[0]
        own = (row[:, None] == self.rows) & self.training  # rows of validation images have numbers of their own
        loss = info_nce(one, key, self.keys.clone(), own, temperature=self.temperature)
        if self.training:
            at = (self.place + torch.arange(len(key), device=key.device)) % len(self.keys)
            last = slice(-len(self.keys), None)
            self.keys[at[last]], self.rows[at[last]] = key[last].to(self.keys.dtype), row[last]
            self.place.copy_((self.place + len(key)) % len(self.keys))
        return loss


# Masked autoencoding: a vision transformer sees a few patches of an image, a small one tells the others' pixels.

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
