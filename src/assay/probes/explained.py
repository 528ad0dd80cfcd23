"""The images whose maps are asked for, brought to a model batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.data.dataset import Images
from assay.probes.explainers.explainer import Explainer, Subject
from assay.probes.reading import batch_of
from assay.probes.shown import Shown
from assay.recipes.untyped import tensor_of
from assay.shifts.picking import PickedImages


@dataclass(frozen=True)
class Sample:
    """Images with their class, their patient and the pixels of their lesions, on a device when they are read."""

    images: Images
    own: Int[np.ndarray, " n"]
    patient: Int[np.ndarray, " n"]
    lesion: Bool[np.ndarray, "n h w"]
    device: str

    @classmethod
    def of(cls, found: Shown, device: str) -> Sample:
        """All images that were chosen."""
        environment = found.environment
        return cls(environment.images, environment.table.target, environment.table.patient, found.lesion, device)

    def __len__(self) -> int:
        return len(self.own)

    def first(self, count: int) -> Sample:
        """So many of them; they are in the order of their rows."""
        index = np.arange(min(count, len(self)))
        images = PickedImages(self.images, index)
        return Sample(images, self.own[index], self.patient[index], self.lesion[index], self.device)

    def batches(self) -> Iterator[tuple[slice, Float[Tensor, "b c h w"], Int[Tensor, " b"]]]:
        """Which images, their pixels, their classes."""
        step = batch_of(self.device, self.images.shape)
        for start in range(0, len(self), step):
            rows = slice(start, min(start + step, len(self)))
            yield rows, self.images.read(np.arange(rows.start, rows.stop)).to(self.device), self._classes(rows)

    def subject(self, network: torch.nn.Module) -> Subject:
        """The network with the steps that it goes through on the first of them."""
        return Subject.of(network, next(self.first(1).batches())[1])

    def maps(self, explainer: Explainer, subject: Subject) -> Float[np.ndarray, "n h w"]:
        """The heat-map of every image, for its own class."""
        found = [explainer.explain(subject, pixels, own) for _, pixels, own in self.batches()]
        return torch.cat(found).detach().float().cpu().numpy()

    @torch.no_grad()
    def lost(self, changed: Float[np.ndarray, "n c h w"], subject: Subject) -> Float[np.ndarray, " n"]:
        """What the log-odds of each image's own class lose when the image is changed to this."""
        found: list[Tensor] = []
        for rows, pixels, own in self.batches():
            other = tensor_of(changed[rows]).to(pixels.device)
            found.append(subject.score(pixels, own) - subject.score(other, own))
        return torch.cat(found).double().cpu().numpy()

    def _classes(self, rows: slice) -> Int[Tensor, " b"]:
        return tensor_of(np.ascontiguousarray(self.own[rows], dtype=np.int64)).to(self.device)
