"""Whether a network's answer follows a heat-map when pixels are taken away: deletion, insertion, sensitivity-n."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from assay.core.seeds import generator
from assay.probes.explained import Sample
from assay.probes.explainers.explainer import Subject
from assay.probes.explainers.replacing import Replacement, replaced
from assay.recipes.untyped import tensor_of

STEPS = 12
"""Equal parts in which pixels go or come."""
SHARES = (0.1, 0.3, 0.5)
"""Of sensitivity-n: shares of the cells that are taken away together."""
_SIDE = 8
"""Cells along each side of an image."""
_SUBSETS = 24
"""Of cells, for each share."""


def areas(
    maps: Float[np.ndarray, "n h w"], subject: Subject, sample: Sample, by: Replacement
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Areas under the probability of each image's class, 0 to 1: as its pixels are taken away from the greatest value
    of its map on (deletion, Petsiuk et al. 2018), and as they come back to the image of which all was taken
    (insertion).

    Probabilities at 0, 1/12, 2/12 ... of the pixels, by the trapezoid rule. Values that tie go in an order that is the
    same for all images and knows nothing, so that a map of one value gives what chance does.
    """
    found = [_batch_areas(maps[rows], subject, pixels, own, by) for rows, pixels, own in sample.batches()]
    deletion, insertion = (torch.cat(parts).double().cpu().numpy() for parts in zip(*found, strict=True))
    return deletion, insertion


@torch.no_grad()
def _batch_areas(
    maps: Float[np.ndarray, "b h w"], subject: Subject, pixels: Tensor, own: Tensor, by: Replacement
) -> tuple[Tensor, Tensor]:
    rank = tensor_of(_ranks(maps)).to(pixels.device)[:, None]
    cover, deletion, insertion = replaced(pixels, by), list[Tensor](), list[Tensor]()
    for step in range(STEPS + 1):
        first = rank < step / STEPS * rank[0].numel()
        deletion.append(subject.score(torch.where(first, cover, pixels), own).sigmoid())
        insertion.append(subject.score(torch.where(first, pixels, cover), own).sigmoid())
    return _under(deletion), _under(insertion)


def _under(curve: list[Tensor]) -> Tensor:
    values = torch.stack(curve)
    return (values[1:] + values[:-1]).mean(dim=0) / 2


def _ranks(maps: Float[np.ndarray, "b h w"]) -> Float[np.ndarray, "b h w"]:
    """0 for the greatest size of an image's values, and so on."""
    size = np.abs(maps).reshape(len(maps), -1)
    mixed = generator(0, "ties").permutation(size.shape[1])
    order = mixed[np.argsort(-size[:, mixed], axis=1, kind="stable")]
    found = np.empty(size.shape, dtype=np.float32)
    np.put_along_axis(found, order, np.arange(size.shape[1], dtype=np.float32)[None], axis=1)
    return found.reshape(maps.shape)


@dataclass(frozen=True)
class Dropped:
    """How far the log-odds fall when subsets of cells are taken away.

    cells: which cells each subset holds, [shares, subsets, cells]. falls: [n, shares, subsets].
    """

    cells: Bool[np.ndarray, "s k c"]
    falls: Float[np.ndarray, "n s k"]


@torch.no_grad()
def dropped(subject: Subject, sample: Sample, by: Replacement) -> Dropped:
    """Take away the same subsets of cells from every image: they are read once, whatever is explained."""
    cells = _subsets(_grid(sample.lesion.shape[1:]))
    return Dropped(cells, np.concatenate(list(_falls(subject, sample, by, cells))))


def _falls(
    subject: Subject, sample: Sample, by: Replacement, cells: Bool[np.ndarray, "s k c"]
) -> Iterator[Float[np.ndarray, "b s k"]]:
    down, along = _grid(sample.lesion.shape[1:])
    for _, pixels, own in sample.batches():
        cover, whole = replaced(pixels, by), subject.score(pixels, own)
        falls = torch.empty((len(pixels), *cells.shape[:2]), device=pixels.device)
        for s, k in np.ndindex(cells.shape[:2]):
            gone = tensor_of(cells[s, k].astype(np.float32)).reshape(1, 1, down, along).to(pixels.device)
            where = nn.functional.interpolate(gone, size=(pixels.shape[2], pixels.shape[3]), mode="nearest-exact") > 0
            falls[:, s, k] = whole - subject.score(torch.where(where, cover, pixels), own)
        yield falls.double().cpu().numpy()


def sensitivities(maps: Float[np.ndarray, "n h w"], found: Dropped) -> Float[np.ndarray, "n s"]:
    """Sensitivity-n (Ancona et al. 2018): the correlation, over subsets of as many cells, of what a map gives to a
    subset and how far the log-odds fall without it; per image and share of the cells, -1 to 1, 0 of a map that knows
    nothing.

    NaN where all subsets have the same, or take the same. What is taken away is cells, 8 down and 8 along, not single
    pixels, which hardly any network would miss.
    """
    down, along = _grid(maps.shape[1:])
    of_cell = _cell_of(maps.shape[1:], down, along).ravel()
    order = np.argsort(of_cell, kind="stable")
    starts = np.searchsorted(of_cell[order], np.arange(down * along))
    sums = np.add.reduceat(maps.reshape(len(maps), -1)[:, order].astype(np.float64), starts, axis=1)
    given = np.einsum("nc,skc->nsk", sums, found.cells.astype(np.float64))
    return _correlations(given, found.falls)


def _cell_of(shape: tuple[int, ...], down: int, along: int) -> np.ndarray:
    """The number of the cell that each pixel lies in."""
    numbers = tensor_of(np.arange(down * along, dtype=np.float32).reshape(1, 1, down, along))
    size = (shape[0], shape[1])
    return nn.functional.interpolate(numbers, size=size, mode="nearest-exact")[0, 0].long().numpy()


def _correlations(x: Float[np.ndarray, "n s k"], y: Float[np.ndarray, "n s k"]) -> Float[np.ndarray, "n s"]:
    x, y = (values - values.mean(axis=2, keepdims=True) for values in (x, y))
    spread = np.sqrt((x**2).sum(axis=2) * (y**2).sum(axis=2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, (x * y).sum(axis=2) / spread, np.nan)


def _grid(shape: tuple[int, ...]) -> tuple[int, int]:
    """Cells down and along; of a tiny image its pixels."""
    return min(_SIDE, shape[0]), min(_SIDE, shape[1])


def _subsets(grid: tuple[int, int]) -> Bool[np.ndarray, "s k c"]:
    """The same subsets for every image and every model."""
    cells = grid[0] * grid[1]
    found = np.zeros((len(SHARES), _SUBSETS, cells), dtype=bool)
    for s, share in enumerate(SHARES):
        draw = generator(0, "sensitivity-n", str(share))
        for k in range(_SUBSETS):
            found[s, k, draw.permutation(cells)[: max(1, round(share * cells))]] = True
    return found
