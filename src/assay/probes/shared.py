"""Answers to images that stand in several environments, told by their pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int, UInt64
from torch import Tensor, nn

from assay.data.dataset import Images
from assay.data.leakage import row_hashes


@dataclass
class SharedAnswers:
    """What one network said of every image so far. of: names of the environments that these images stand in."""

    of: set[str] = field(default_factory=set[str])
    _logits: dict[int, Float[np.ndarray, "k"]] = field(default_factory=dict[int, Float[np.ndarray, "k"]])

    def new(self, hashes: UInt64[np.ndarray, "n"]) -> Int[np.ndarray, "m"]:
        """Positions of the images without an answer, each image once, in ascending order."""
        _, first = np.unique(hashes, return_index=True)
        return np.array([row for row in np.sort(first) if int(hashes[row]) not in self._logits], dtype=np.int64)

    def keep(self, hashes: UInt64[np.ndarray, "n"], logits: Float[np.ndarray, "n k"]) -> None:
        """Take answers over; of an image that has one, the first stays."""
        for one, answer in zip(hashes.tolist(), logits, strict=True):
            self._logits.setdefault(one, answer)

    def to(self, hashes: UInt64[np.ndarray, "n"]) -> Float[np.ndarray, "n k"]:
        """The answers to images, at least one, all of which have one."""
        return np.stack([self._logits[one] for one in hashes.tolist()])


def hashes_of(images: Images, at_once: int) -> UInt64[np.ndarray, "n"]:
    """Of the pixels of every image, `at_once` of which are held."""
    places = np.arange(len(images))
    parts = [row_hashes(images.read(places[i : i + at_once]).numpy()) for i in range(0, len(images), at_once)]
    return np.concatenate([np.empty(0, np.uint64), *parts])


def answers_apart(network: nn.Module, images: Images) -> bool:
    """Whether a network, in eval mode, gives every image logits of its own: the first image gets the same beside the
    second and beside the last. Not so for one that normalises by the batch, draws at random or gives maps; nor is it
    known of fewer than three images.
    """
    if len(images) < 3:
        return False
    with torch.inference_mode():
        beside = [network(images.read(np.array([0, other]))) for other in (1, len(images) - 1)]
    if not all(isinstance(output, Tensor) and output.ndim in (1, 2) and len(output) == 2 for output in beside):
        return False
    return torch.equal(beside[0][0], beside[1][0])
