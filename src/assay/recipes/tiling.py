"""Maps of images too large for one pass, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from assay.core.errors import SpecError
from assay.recipes.segmenter import Segmenter, continued

LARGEST = 1024
"""Images up to so many pixels a side are read in one pass."""
_ACROSS = 4
"""Width of the strips on which a reach is measured, in strides: whatever it is, a reach along them is the same."""


@torch.no_grad()
def tiled(
    network: Segmenter, images: Float[Tensor, "b c h w"], tile: int, overlap: int, batch: int = 8
) -> Float[Tensor, "b k h w"]:
    """Logits of images, from square tiles of side `tile` that share `overlap` pixels with the next, `batch` at once.

    Each pixel is taken from one tile, in which it lies at least half of the overlap away from every border that is not
    the image's own, and tiles lie on the grid of the network's stride. So the result is that of one pass, up to
    rounding, where half of the overlap is at least `reach(network)`. A network that looks at the whole image (group or
    instance norm, global pooling, attention) has no reach: its tiles say something else than one pass does.
    Raises SpecError for a network in training mode, whose batch norms would see tiles, and for a tile and an overlap
    that do not fit the network's stride or each other.
    """
    _check(network, tile, overlap)
    whole = continued(images, network.stride)
    spans = (_spans(side, tile, overlap) for side in whole.shape[2:])
    places = [(image, rows, columns) for image, (rows, columns) in product(range(len(whole)), list(product(*spans)))]
    logits = whole.new_empty((len(whole), network.head.out_channels, *whole.shape[2:]))
    for start in range(0, len(places), batch):
        chosen = places[start : start + batch]
        tiles = torch.stack([whole[image, :, rows.seen, columns.seen] for image, rows, columns in chosen])
        for said, (image, rows, columns) in zip(network(tiles), chosen, strict=True):
            logits[image, :, rows.kept, columns.kept] = said[:, rows.within, columns.within]
    return logits[:, :, : images.shape[2], : images.shape[3]]


def by_tiles(network: nn.Module, shape: tuple[int, int, int], largest: int = LARGEST) -> Callable[[Tensor], object]:
    """How images of a shape (channels, height, width) are read: in one pass, or by tiles of side `largest` where they
    are larger and tiles say the same.

    They do up to rounding for a `Segmenter` whose `reach` is at most a quarter of a tile: the overlap is twice the
    reach. Others are read whole, whatever memory that takes.
    """
    if not isinstance(network, Segmenter) or max(shape[1:]) <= largest:
        return network
    far, cell = reach(network, shape[0], largest), network.stride
    if far is None or 4 * far > largest:
        return network
    overlap = max(1, -(-far // cell)) * 2 * cell
    side = largest // cell * cell
    return partial(tiled, network, tile=side, overlap=overlap, batch=1) if overlap < side else network


def reach(network: Segmenter, channels: int, side: int = 1024) -> int | None:
    """How far a pixel can change logits, in pixels along an axis, counted from a logit's cell of the network's stride.

    Measured: the gradient of the logits of a cell in the middle of strips that many pixels long, of fine and of coarse
    noise, dark, middling and bright, so that units which one of them leaves at rest are moved by another; in evaluation
    mode and double precision. None where it comes to an end of the strip: the network looks at the whole image, or
    farther than half of `side`. It is that of these weights: residual branches that start at zero reach farther once
    they are trained. The network is left as it was found, each submodule in its own mode.
    """
    kept, modes = next(network.parameters()).dtype, [(module, module.training) for module in network.modules()]
    length = max(3, side // network.stride) * network.stride
    try:
        network.double().eval()
        found = [_along(network, channels, length, dim) for dim in (2, 3)]
    finally:
        network.to(kept)
        for module, training in modes:
            module.training = training
    return None if None in found else max(one for one in found if one is not None)


def _along(network: Segmenter, channels: int, length: int, dim: int) -> int | None:
    """The reach along one axis of the image."""
    draws, stride = torch.Generator().manual_seed(0), network.stride
    sides = [_ACROSS * stride, _ACROSS * stride]
    sides[dim - 2] = length
    place = next(network.parameters()).device
    images = _strips(channels, sides, stride, draws).to(place).requires_grad_()
    first = length // 2 // stride * stride
    logits = network(images).narrow(dim, first, stride)
    weights = torch.randn(logits.shape, generator=draws, dtype=torch.float64).to(place)
    (slope,) = torch.autograd.grad((logits * weights).sum(), images)
    felt = slope.transpose(0, dim).flatten(1).any(1).nonzero()
    low, high = int(felt[0]), int(felt[-1])
    return None if low == 0 or high == length - 1 else max(0, first - low, high - first - stride + 1)


def _strips(channels: int, sides: list[int], stride: int, draws: torch.Generator) -> Float[Tensor, "b c h w"]:
    """Fine noise and noise in patches of the stride, each dark, middling and bright."""
    fine = torch.rand([3, channels, *sides], generator=draws, dtype=torch.float64)
    coarse = torch.rand([3, channels, *(side // stride for side in sides)], generator=draws, dtype=torch.float64)
    noise = torch.cat([fine, functional.interpolate(coarse, size=sides, mode="nearest")])
    light = torch.tensor([0.0, 0.35, 0.7] * 2, dtype=torch.float64)
    return light[:, None, None, None] + 0.3 * noise


@dataclass(frozen=True, slots=True)
class _Span:
    """Along one axis: what a tile sees of the image, what it decides, and where that lies in the tile."""

    seen: slice
    kept: slice
    within: slice


def _spans(side: int, tile: int, overlap: int) -> Iterator[_Span]:
    """From the first pixel to the last; the last tile ends with the image."""
    decided, start = 0, 0
    while decided < side:
        start = max(0, min(start, side - tile))
        stop = min(start + tile, side)
        until = side if stop == side else stop - overlap // 2
        yield _Span(slice(start, stop), slice(decided, until), slice(decided - start, until - start))
        decided, start = until, start + tile - overlap


def _check(network: Segmenter, tile: int, overlap: int) -> None:
    if network.training:
        raise SpecError("tiles are for a network in evaluation mode: in training its batch norms would see tiles apart")
    if overlap < 0 or tile <= overlap or tile % network.stride or overlap % (2 * network.stride):
        raise SpecError(
            f"tiles of {tile} pixels with an overlap of {overlap} do not fit a network of stride {network.stride}: the "
            f"tile must be a multiple of {network.stride} and above the overlap, which must be one of "
            f"{2 * network.stride}"
        )
