"""How a model reads images: its outputs, the scaling and the framing, against the other usual ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.errors import SpecError, cut
from assay.data.cache import ArrayCache
from assay.data.dataset import Images, OverImages
from assay.data.files.load import load_images
from assay.models.ref import GivenModel, Output, Scaling
from assay.probes.reader import evaluating
from assay.shifts.environment import Environment
from assay.spec.schema import Fit
from assay.study.audit import Prepared
from assay.study.audit_request import Head

LOOKED = 32
"""Images whose answers tell the kind of output."""
_ADDED = 1e-3
"""Probabilities of one softmax add up to 1 within this."""
_GUESSED = (
    "the model gives several logits, which were read as independent of each other; give --head softmax where they "
    "exclude each other"
)
SCALINGS: Mapping[str, Scaling] = {
    "0..1": Scaling((0.0,), (1.0,)),
    "imagenet": Scaling((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "-1..1": Scaling((0.5,), (0.5,)),
    "0..255": Scaling((0.0,), (1 / 255,)),
    "-1024..1024": Scaling((0.5,), (1 / 2048,)),
}
"""Usual scalings of images in [0, 1], by name."""


# The output that is read.


def with_outputs(
    given: Prepared, whole: Environment, output: str, head: Head, scores: Literal["auto", "logits", "probabilities"]
) -> Prepared:
    """Return the model with its outputs distinguished, from its answers to a few images.

    Args:
        given: The model and its images.
        whole: All images.
        output: Position or name of the output to read, of several.
        head: `auto`: probabilities of several outputs exclude each other where they add up to 1; logits are read as
            independent, with a caution.
        scores: `auto`: outputs from 0 to 1 are probabilities.

    Raises:
        SpecError: Outputs are constant or NaN, or one of several must be named.
    """
    raw = _raw(replace(given.model, scores="logits", output=None), whole, given.device)
    if scores == "auto":
        scores = "probabilities" if float(raw.min()) >= 0 and float(raw.max()) <= 1 and raw.std() > 0 else "logits"
    model = replace(given.model, scores=scores)
    if model.task == "segmentation":
        return replace(given, model=model)
    classes, count = whole.table.classes, raw.shape[1]
    exclusive = scores == "probabilities" and bool((abs(raw.sum(axis=1) - 1) < _ADDED).all())
    found: Literal["sigmoid", "softmax"] = head if head != "auto" else "softmax" if exclusive else "sigmoid"
    names = given.model.origin.facts.outputs
    if len(names) != count:  # outputs that do not exclude each other need not be the classes of the target
        names = classes if found == "softmax" and len(classes) == count else ()
    if output:
        guessed = head == "auto" and scores == "logits" and count > 1
        doubts = (*given.doubts, _GUESSED) if guessed else given.doubts
        return replace(
            given, model=replace(model, output=Output(_position(output, names, count), found)), doubts=doubts
        )
    independent = (count == 2 and head == "sigmoid") or (count == 2 and scores == "probabilities" and not exclusive)
    if len(classes) == 2 and (count > 2 or independent):
        listed = f": {cut(', '.join(names), 200)}" if names and names != classes else ""
        raise SpecError(
            f"the model gives {count} scores{' that do not add up to 1' if independent else ''}, and the target has "
            f"two classes: choose one with --output 0 to {count - 1}{listed}"
        )
    return replace(given, model=model)


def _raw(model: GivenModel, whole: Environment, device: str) -> Float[np.ndarray, "n k"]:
    images = whole.images.read(np.arange(min(LOOKED, len(whole)))).to(device)
    with model.opened(device) as opened, evaluating(opened.network), torch.inference_mode():
        found = cast(object, opened.network(images))
    if model.task == "segmentation" and isinstance(found, Tensor) and found.ndim == 4:
        found = found.flatten(1)
    elif model.task == "segmentation" or not isinstance(found, Tensor) or found.ndim not in (1, 2):
        shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        if model.task == "segmentation":
            raise SpecError(f"the model gives {shape}; an audit with masks needs maps [b, k, h, w] of the images' size")
        raise SpecError(f"the model gives {shape} for {len(images)} images; an audit needs scores [b] or [b, classes]")
    values = found.detach().float().cpu().numpy().reshape(len(images), -1)
    bad = int((~np.isfinite(values).all(axis=1)).sum())
    if bad:
        raise SpecError(f"the model gives NaN or infinite scores for {bad} of {len(values)} images: check its weights, "
                        "and the scaling of images with --scaling")  # fmt: skip
    return values


def output_words(model: GivenModel) -> str:
    """Return the output that is read, such as `7 Pneumonia (sigmoid)`; empty where all are."""
    if model.output is None:
        return ""
    at, names = model.output.column, model.origin.facts.outputs
    return f"{at}{f' {names[at]}' if at < len(names) else ''} ({model.output.head})"


def _position(text: str, names: tuple[str, ...], count: int) -> int:
    if text.isdigit() and int(text) < count:
        return int(text)
    alike = [at for at, name in enumerate(names) if name == text] or [
        at for at, name in enumerate(names) if name.lower() == text.lower()
    ]
    if len(alike) == 1:
        return alike[0]
    if not names and not text.isdigit():
        numbers = ("0", "0 or 1")[count - 1] if count < 3 else f"0 to {count - 1}"
        raise SpecError(f"output '{cut(text)}': the model names no outputs; give --output {numbers}")
    listed = f": {cut(', '.join(names), 300)}" if names else ""
    raise SpecError(f"output '{cut(text)}': the model has outputs 0 to {count - 1}{listed}")


# The usual ways to read an image, in place of the one that was given.

Change = Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b c h w"]]


@dataclass(frozen=True)
class ReadAs(OverImages):
    """`Images` that are changed on reading."""

    change: Change

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Changed images at these positions."""
        return self.change(self.images.read(index))


def alternatives(scaling: Scaling | None, channels: int) -> dict[str, Change]:
    """Return other ways to read images: name -> a change before the given scaling that amounts to it."""

    def scaled(other: Scaling) -> Change:
        def change(images: Tensor) -> Tensor:
            wanted = other(images)
            if scaling is None:
                return wanted
            mean, sd = (images.new_tensor(part).view(1, -1, 1, 1) for part in (scaling.mean, scaling.sd))
            return wanted * sd + mean

        return change

    found = {
        name: scaled(other)
        for name, other in SCALINGS.items()
        if other != (scaling or SCALINGS["0..1"]) and len(other.mean) in (1, channels)
    }
    found["inverted gray values"] = lambda images: 1 - images
    if channels == 3:
        found["BGR"] = lambda images: images.flip(1)
    return found


def misread(measure: str, given: float, better: Mapping[str, float], flipped: str, pair: bool) -> str:
    """Return why an audit stops: other ways to read images that are better, or classes the other way round.

    Args:
        measure: AUROC or Dice.
        given: Its value as the images are read.
        better: Other ways to read them, with their values.
        flipped: The positive class where the AUROC is below chance, else empty.
        pair: Whether two logits were read as one softmax.
    """
    best = max(better, key=lambda one: better[one]) if better else ""
    if flipped:
        both = "; the 2 outputs are read as classes, --output 0 or 1 with --head sigmoid audits one" if pair else ""
        more = f", or images be read as {best} ({measure} {better[best]:.2f})" if better else ""
        return (
            f"the {measure} is {given:.2f}, below 0.5: the classes may be the other way round{more}, or a "
            f"shortcut be tied the other way here; check target, output and the positive class (here '{flipped}'; "
            f"--positive names another), or give --as-given to go on{both}"
        )
    key = f"--scaling {best}" if best in SCALINGS else f"--{best}" if best in FITS else f"images prepared as {best}"
    return (
        f"the {measure} is {given:.2f} as given and {better[best]:.2f} with images read as {best}: look up how "
        f"its training read them; give {key}, or --as-given if it read them as here"
    )


FITS: Mapping[str, Fit] = {"fit pad": "pad", "fit squash": "squash", "fit crop": "crop"}
"""Framings of images from files, by name."""


def framings(given: Prepared, rows: Sequence[int]) -> dict[str, Images]:
    """Return images of some rows at the other framings: name -> images. Empty where all would be the same.

    Args:
        given: The model and its images.
        rows: Numbers of rows in the dataset.
    """
    data, dataset = given.request.data, given.population.dataset
    if dataset is None or dataset.native is None or dataset.table.places is None or data.pixel_size:
        return {}
    native, numbers = dataset.native[list(rows)], [dataset.table.places.numbers[row] for row in rows]
    if data.crop_share == 1 and bool((native[:, 0] == native[:, 1]).all()):
        return {}
    channels = "gray" if dataset.images.shape[0] == 1 else "color"
    cache, found = ArrayCache(given.place.cache), dict[str, Images]()
    for name, fit in FITS.items():
        if fit != data.fit:
            other = data.model_copy(update={"fit": fit, "crop_share": 1.0, "channels": channels})
            images = load_images(other, numbers, cache)
            if images is not None:
                found[name] = images
    return found


# The operating point.
