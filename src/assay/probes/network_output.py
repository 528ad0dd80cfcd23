"""What a network gave, checked: logits of images, maps of logits, or why they cannot be used."""

from __future__ import annotations

from typing import cast

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.errors import AssayError
from assay.maps.odds import lesion_logits


class ReadingError(AssayError):
    """A model that cannot be read: logits of a wrong shape, not finite, or a layer that is not there."""


def logits_of(output: object, images: int, where: str) -> Float[np.ndarray, "b k"]:
    """A network's output as float32 [b, k]; [b] becomes [b, 1]."""
    if not isinstance(output, Tensor):
        raise ReadingError(
            f"the model gave a {type(output).__name__} for {where}; expected a tensor of logits [b, k], [b, 1] or [b]: "
            "wrap it in a module that returns the logits"
        )
    if output.ndim == 1:
        output = output[:, None]
    if output.ndim != 2 or len(output) != images:
        raise ReadingError(
            f"the model gave logits of shape {list(output.shape)} for {images} images of {where}; "
            "expected [b, k], [b, 1] or [b]"
        )
    return output.float().cpu().numpy()


def lesion_map(output: Tensor, batch: Tensor, where: str) -> Float[Tensor, "b h w"]:
    """The log-odds of lesion of every pixel of the images."""
    if len(output) != len(batch) or output.shape[2:] != batch.shape[2:]:
        raise ReadingError(
            f"the model gave maps of shape {list(output.shape)} for images {list(batch.shape)} of {where}; expected "
            "logits [b, k, h, w] of the images' own size"
        )
    lesion = lesion_logits(output)
    finite(lesion.flatten(1).cpu().numpy(), "logits", where)
    return lesion


def paired(logits: np.ndarray, classes: int, where: str) -> Float[np.ndarray, "n k"]:
    """One column per class: a single logit z of two classes becomes (0, z)."""
    if logits.shape[1] == 1 and classes == 2:
        return np.concatenate([np.zeros_like(logits), logits], axis=1)
    if logits.shape[1] != classes:
        raise ReadingError(
            f"the model gave {logits.shape[1]} logits per image, {where} has {classes} classes; classes of which there "
            "is no image are told by `data: {factors: {<target>: {kind: ordinal, levels: [...]}}}`, and a model of "
            "others needs a module behind it that picks or sums their logits"
        )
    return logits


def finite(
    values: np.ndarray, what: str, where: str, places: Int[np.ndarray, "m"] | None = None, of: int | None = None
) -> None:
    """Raise for NaN and infinity. places: of the rows among `of` images; None where they are all of them."""
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        positions = bad if places is None else places[bad]
        first = ", ".join(str(position) for position in cast("list[int]", positions[:5].tolist()))
        raise ReadingError(
            f"the model gave NaN or infinite {what} for {len(bad)} of {of or len(values)} images of {where} "
            f"(positions {first}{', ...' if len(bad) > 5 else ''}); it diverged, or its input is out of range"
        )
