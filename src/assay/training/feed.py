"""Batches of an environment (`Feed`), the outputs of a network on all of it, and thresholds from validation images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from assay.core.seeds import generator
from assay.data.dataset import Batch
from assay.models.networks import Outputs, as_network
from assay.models.untyped import tensor_of
from assay.shifts.environment import Environment

# Batches of an environment: small sets live on the device as one tensor, large ones are read batch by batch.

PRELOADED_BYTES = 512 * 2**20
"""Sets up to this size as float32 are kept on the device; larger ones are read from where they are."""
_GPU_FRACTION = 16
_CHUNK = 512


def preloaded_bytes(device: torch.device) -> int:
    """Return the size of sets that are kept on a device: on a GPU at least a 16th of its memory."""
    if device.type != "cuda":
        return PRELOADED_BYTES
    return max(PRELOADED_BYTES, torch.cuda.mem_get_info(device)[1] // _GPU_FRACTION)


@dataclass(frozen=True)
class Feed:
    """Batches by position. `preloaded` and `preloaded_masks` are the tensors in memory, or None when read from disk.

    On a GPU `preloaded` is uint8 where that loses no bit.
    """

    environment: Environment
    device: torch.device
    target: Tensor
    row: Tensor
    preloaded: Tensor | None
    preloaded_masks: Tensor | None
    masks: bool
    group: Tensor | None = None

    def __len__(self) -> int:
        return len(self.environment)

    def batch(self, index: np.ndarray | Tensor) -> Batch:
        """Return the images at these positions, in this order, on the device. A tensor there serves preloaded sets, and
        brings no boxes.
        """
        if isinstance(index, Tensor):
            at, index, boxes = index, np.empty(0, dtype=np.int64), None
        else:
            at = tensor_of(index).to(self.device, non_blocking=True)  # else each copy waits for all work of a GPU
            boxes = None if self.environment.boxes is None else self.environment.boxes[index]
        return Batch(
            images=self._images(index, at),
            target=self.target[at],
            row=self.row[at],
            masks=self._masks(index, at) if self.masks else None,
            group=None if self.group is None else self.group[at],
            boxes=boxes,
        )

    def in_order(self, batch_size: int, max_images: int | None = None) -> Iterator[Batch]:
        """Return all images once, or the first so many, in the order of the table."""
        end = len(self) if max_images is None else min(max_images, len(self))
        for start in range(0, end, batch_size):
            yield self.batch(np.arange(start, min(start + batch_size, end)))

    def _images(self, index: np.ndarray, at: Tensor) -> Tensor:
        if self.preloaded is not None:
            images = self.preloaded.index_select(0, at)
            return images if images.is_floating_point() else _to_unit_range(images)
        return copy_to(self.device, self.environment.images.read(index))

    def _masks(self, index: np.ndarray, at: Tensor) -> Tensor:
        if self.preloaded_masks is not None:
            return self.preloaded_masks.index_select(0, at)
        assert self.environment.masks is not None
        return copy_to(self.device, self.environment.masks.read(index))


def make_feed(environment: Environment, device: torch.device, masks: bool, group: np.ndarray | None = None) -> Feed:
    """Return a feed of an environment; masks are carried when asked for and there, groups (int64, one per row) when
    given.
    """
    table = environment.table
    channels, height, width = environment.images.shape
    values, max_bytes = len(environment) * channels * height * width, preloaded_bytes(device)
    preloaded = _preload(environment, device, torch.uint8) if device.type == "cuda" and values <= max_bytes else None
    if preloaded is None and 4 * values <= max_bytes:
        preloaded = _preload(environment, device, torch.float32)
    has_masks = masks and environment.masks is not None
    return Feed(
        environment=environment,
        device=device,
        target=tensor_of(table.target.astype(np.int64)).to(device),
        row=tensor_of(table.row.astype(np.int64)).to(device),
        preloaded=preloaded,
        preloaded_masks=_preload_masks(environment, device) if preloaded is not None and has_masks else None,
        masks=has_masks,
        group=None if group is None else tensor_of(group).to(device),
    )


def batch_order(seed: int, epoch: int, rows: int) -> np.ndarray:
    """Return the order in which an epoch sees the rows: int64 [rows], from (seed, epoch) alone."""
    return generator(seed, "batch-order", epoch).permutation(rows)


def _preload(environment: Environment, device: torch.device, kind: torch.dtype) -> Tensor | None:
    """Read in chunks, to avoid a second copy of the set in memory; None where uint8 would not give the same images."""
    preloaded = torch.empty((len(environment), *environment.images.shape), dtype=kind, device=device)
    for start in range(0, len(environment), _CHUNK):
        part = images = environment.images.read(np.arange(start, min(start + _CHUNK, len(environment)))).to(device)
        if kind == torch.uint8:
            part = (images * 255).round().to(kind)
            if not torch.equal(_to_unit_range(part), images):
                return None
        preloaded[start : start + len(part)] = part
    return preloaded


def _to_unit_range(values: Tensor) -> Tensor:
    """Images of 8 bits in [0, 1]. Divided by a plain number, a GPU takes its reciprocal, which rounds otherwise."""
    return values / torch.full((), 255.0, device=values.device)


def copy_to(device: torch.device, values: Tensor) -> Tensor:
    """Copy to the device. From pinned memory, a GPU copies without a wait for its work."""
    return (values.pin_memory() if device.type == "cuda" else values).to(device, non_blocking=True)


def _preload_masks(environment: Environment, device: torch.device) -> Tensor:
    assert environment.masks is not None
    return environment.masks.read(np.arange(len(environment))).to(device)


# Outputs of a network on a whole set.


@torch.no_grad()
def read_all(network: nn.Module, feed: Feed, batch_size: int, max_images: int | None = None) -> Outputs:
    """Features and logits of a whole set, or of its first so many images, without augmentation, in the order of its
    table, on the CPU.
    """
    parts = [as_network(network).read(batch.images) for batch in feed.in_order(batch_size, max_images)]
    return Outputs(
        features=torch.cat([part.features.float() for part in parts]).cpu(),
        logits=torch.cat([part.logits.float() for part in parts]).cpu(),
    )


# From validation rows alone: the decision threshold, and the score of the worst group.


def youden_threshold(logits: Float[Tensor, "n k"], targets: Int[Tensor, "n"]) -> float | None:
    """Return the threshold on the positive probability that maximizes sensitivity + specificity (Youden 1950).

    It is halfway between two neighboring scores, so that no validation image sits on it; of several that are equally
    good, the one nearest to 0.5. None for more than two classes, or when a class is absent: it is then not defined.
    """
    positive = targets.cpu().numpy() == 1
    if logits.shape[1] != 2 or positive.all() or not positive.any():
        return None
    scores = torch.softmax(logits.detach().cpu().double(), dim=1)[:, 1].numpy()
    order = np.argsort(scores, kind="stable")
    ranked, ranked_positive = scores[order], positive[order]
    # Rows at or above place i are predicted positive, for every i from 0 to n.
    sensitivity = 1 - np.concatenate([[0], np.cumsum(ranked_positive)]) / ranked_positive.sum()
    specificity = np.concatenate([[0], np.cumsum(~ranked_positive)]) / (~ranked_positive).sum()
    thresholds = np.concatenate([[0.0], (ranked[:-1] + ranked[1:]) / 2, [1.0]])
    is_between_scores = np.concatenate([[True], ranked[:-1] < ranked[1:], [True]])
    gain = np.where(is_between_scores, sensitivity + specificity, -np.inf)
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    return float(thresholds[best[np.argmin(np.abs(thresholds[best] - 0.5))]])


def worst_group_score(
    logits: Float[Tensor, "n k"], targets: Int[Tensor, "n"], groups: Int[np.ndarray, "n"]
) -> tuple[float, float]:
    """Return the least accuracy of a group (of the largest logit), and minus the largest mean log-loss of a group in
    nats.

    Compared in this order: small groups often have equal accuracies, which the log-loss parts. Every group has rows.

    Examples:
        >>> logits = torch.tensor([[2.0, 0], [2, 0], [0, 4]])
        >>> accuracy, loss = worst_group_score(logits, torch.tensor([0, 1, 1]), np.array([0, 0, 1]))
        >>> accuracy, round(loss, 6)  # of group 0 one of two is right: -(ln(1 + e^-2) + ln(1 + e^2)) / 2
        (0.5, -1.126928)
    """
    member = functional.one_hot(tensor_of(groups)).double()
    is_correct = (logits.argmax(dim=1) == targets).double()
    losses = functional.cross_entropy(logits.double(), targets, reduction="none")
    per_group = torch.stack([is_correct, losses]) @ member / member.sum(dim=0)
    return float(per_group[0].min()), -float(per_group[1].max())
