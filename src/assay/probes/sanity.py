"""Whether a heat-map depends on what was learned: explained again with layers whose weights are drawn anew.

After Adebayo et al. (2018). A map that stays the same shows the image, or the architecture, and not what was learned.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor, nn

from assay.core.seeds import generator
from assay.probes.explainers.explainer import Subject
from assay.recipes.untyped import tensor_of

CASCADING, INDEPENDENT = "cascading", "independent"
STAGES = 4
"""Steps in which all layers are drawn anew: the last layer with weights, then thirds of those before it."""
LIMIT = 0.5
"""Rank correlation with the maps of a network drawn anew throughout, from which on an explainer fails."""
FAILS = "fails the sanity check"
"""How what is said of such an explainer's scores begins."""
_WINDOW = 7
_C1, _C2 = 0.01**2, 0.03**2
"""The window and the constants of Wang et al. (2004) for values from 0 to 1."""


@dataclass(frozen=True)
class Redrawn:
    """A network with some layers drawn anew. order: cascading or independent; down_to: the earliest layer of them.

    throughout: whether none is as it was. network: in the mode and on the device of the one it was made of.
    """

    order: str
    down_to: str
    throughout: bool
    network: nn.Module


def redrawn(subject: Subject) -> Iterator[Redrawn]:
    """The network with layers drawn anew from the last on, stage by stage; then with each earlier stage alone.

    The values of each tensor of weights are dealt out anew among its places, the same way for every model: their
    distribution stays, so that no layer dies of it, and nothing that was learned but that.
    """
    found = stages(subject)
    for last in range(len(found)):
        names = {name for stage in found[: last + 1] for name in stage.parameters}
        network = dealt_anew(subject.network, names)
        yield Redrawn(CASCADING, found[last].down_to, last == len(found) - 1, network)
    for stage in found[1:]:
        yield Redrawn(INDEPENDENT, stage.down_to, False, dealt_anew(subject.network, set(stage.parameters)))


@dataclass(frozen=True)
class Stage:
    """Layers that are drawn anew together. down_to: the earliest of them."""

    parameters: tuple[str, ...]
    down_to: str


def stages(subject: Subject) -> list[Stage]:
    """All layers with weights from the last to the first: the last one, then thirds; fewer where there are few layers.

    Layers come in the order in which they ran last; those that were not seen to run come first in the network.
    """
    ran = {step.name: place for place, step in enumerate(subject.steps)}
    layers: dict[str, list[str]] = {}
    for name, _ in subject.network.named_parameters():
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    order = sorted(layers, key=lambda layer: ran.get(layer, -1), reverse=True)
    parts = [order[:1], *np.array_split(np.array(order[1:], dtype=object), STAGES - 1)]
    return [
        Stage(tuple(name for layer in part for name in layers[layer]), str(part[-1]) or "the network's own")
        for part in parts
        if len(part)
    ]


def dealt_anew(network: nn.Module, names: Collection[str]) -> nn.Module:
    """A copy in which the values of these parameters have other places, drawn from the parameter's name alone."""
    made = copy.deepcopy(network)
    with torch.no_grad():
        for name, values in made.named_parameters():
            if name in names:
                order = tensor_of(generator(0, "sanity", name).permutation(values.numel())).to(values.device)
                values.copy_(values.flatten()[order].view_as(values))
    return made


def unchanged(one: nn.Module, other: nn.Module) -> bool:
    """Whether two copies of a network have the same weights."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def rank_correlations(ones: Float[np.ndarray, "n h w"], others: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, " n"]:
    """Spearman's correlation of the sizes of two maps' values, image by image, -1 to 1.

    NaN where the first is the same everywhere; 0 where the second alone is: nothing of the first is left in it.
    """
    first, second = (_centred_ranks(maps) for maps in (ones, others))
    spread, other = ((ranks**2).sum(axis=1) for ranks in (first, second))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (first * second).sum(axis=1) / np.sqrt(spread * other)
    found = np.where(spread > 0, np.where(other > 0, found, 0.0), np.nan)
    finite = [np.isfinite(maps).all(axis=(1, 2)) for maps in (ones, others)]
    return np.where(finite[0] & finite[1], found, np.nan)


def structural_similarities(
    ones: Float[np.ndarray, "n h w"], others: Float[np.ndarray, "n h w"]
) -> Float[np.ndarray, " n"]:
    """SSIM of the sizes of two maps' values, each map's greatest being 1, image by image, -1 to 1 (Wang et al. 2004).

    Means over windows of 7 x 7 px (of what there is, where an image is smaller) that lie within the image. Zeros in
    most of both maps make it high whatever stands in the rest.
    """
    x, y = (_scaled(maps) for maps in (ones, others))
    side = min(_WINDOW, *ones.shape[1:])
    unbiased = side**2 / (side**2 - 1) if side > 1 else 1.0

    def mean(values: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(values, side, stride=1)

    mx, my = mean(x), mean(y)
    vx, vy, both = (
        unbiased * (mean(a * b) - ma * mb) for a, b, ma, mb in ((x, x, mx, mx), (y, y, my, my), (x, y, mx, my))
    )
    likeness = (2 * mx * my + _C1) * (2 * both + _C2) / ((mx**2 + my**2 + _C1) * (vx + vy + _C2))
    return likeness.mean(dim=(1, 2, 3)).numpy()


def _centred_ranks(maps: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, "n p"]:
    ranks = rankdata(np.abs(maps).reshape(len(maps), -1), axis=1)
    return ranks - ranks.mean(axis=1, keepdims=True)


def _scaled(maps: Float[np.ndarray, "n h w"]) -> Float[Tensor, "n 1 h w"]:
    size = np.abs(maps).astype(np.float64)
    greatest = size.max(axis=(1, 2), keepdims=True)
    return tensor_of(size / np.where(greatest > 0, greatest, 1))[:, None]


def verdict(correlations: Sequence[float] | Float[np.ndarray, " n"], nothing_changed: bool) -> str:
    """What is said of an explainer's scores: nothing where it passes, else that it fails, or why it is not judged."""
    values = np.asarray(correlations, dtype=np.float64)
    if nothing_changed:
        return "not checked for sanity: weights that are dealt out anew are the same ones"
    if np.isnan(values).all():
        return "not checked for sanity: each of its maps is the same everywhere, or holds NaN"
    mean = float(np.nanmean(values))
    if mean < LIMIT:
        return ""
    return f"{FAILS}: its maps correlate by {mean:.2f} with those of weights dealt out anew"
