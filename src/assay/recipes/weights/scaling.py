"""How images are scaled for a start: exactly as its own training did it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from assay.core.errors import WeightsError
from assay.recipes.weights.files import WeightsFile
from assay.recipes.weights.load import first_convolution

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (123.68, 116.779, 103.939)
"""Of red, green and blue, in units of 0 to 255, as `keras.applications.imagenet_utils` subtracts them."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """(x - mean) / sd of an image x in [0, 1] with channels red, green, blue. One number stands for all channels.

    words: as it is said in the record. bgr: the network was trained on channels in the order blue, green, red.
    """

    words: str
    mean: Sequence[float]
    sd: Sequence[float]
    bgr: bool = False


_CAFFE = "blue, green, red: 255 x - (103.939, 116.779, 123.68)"
_SHARES = tuple(mean / 255 for mean in CAFFE_MEAN)
SCALINGS: Mapping[str, Scaling] = {
    "imagenet": Scaling("(x - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)", IMAGENET_MEAN, IMAGENET_SD),
    "symmetric": Scaling("2 x - 1", (0.5,), (0.5,)),
    "unit": Scaling("x", (0.0,), (1.0,)),
    "caffe": Scaling(_CAFFE, _SHARES, (1 / 255,), bgr=True),
    "caffe-255": Scaling(f"({_CAFFE}) / 255", _SHARES, (1.0,), bgr=True),
}
_METADATA = {"x*2-1": "symmetric", "(x - [0.485,0.456,0.406]) / [0.229,0.224,0.225]": "imagenet"}


def scaling_of(name: str, file: WeightsFile, hint: str, what: str) -> Scaling | None:
    """The scaling of that name; for `auto` what the file's metadata say, or None where the network's own holds.

    hint: what to set where nothing says it; empty where the network's own scaling is that of such files. what: the
    file's layout, as it is said in an error.

    Raises WeightsError when nothing says how the file's training scaled images.
    """
    if name != "auto":
        return SCALINGS[name]
    said = file.metadata.get("input", "")
    if not said and not hint:
        return None
    if not said:
        raise WeightsError(
            f"weights file '{file.path}' ({what}) does not say how its images were scaled; set input: {hint}"
        )
    if said not in _METADATA:
        raise WeightsError(
            f"weights file '{file.path}' says that its input is '{said}', which Assay does not know; "
            f"set input to one of: {', '.join(SCALINGS)}"
        )
    return SCALINGS[_METADATA[said]]


def take_rgb(trunk: nn.Module) -> None:
    """Turn a network that was trained on blue, green, red into one that takes red, green, blue and answers the same.

    Its first convolution sums over channels, so their order in the kernel is all that has to be turned round.
    """
    stem = trunk.get_submodule(first_convolution(trunk))
    assert isinstance(stem, nn.Conv2d)
    if stem.in_channels == 3:
        stem.weight.data = stem.weight.data.flip(1)
