"""Options of `assay audit`, each with its help and its candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from assay.cli import completion
from assay.core.errors import cut


def _seconds(text: str) -> float:
    from assay.cli.audit import seconds

    return seconds(text)


_T = TypeVar("_T", bound=str)


def chosen(option: str, value: str, allowed: Sequence[_T]) -> _T:
    """Return the value of an option as one of those that are allowed. Raises typer.BadParameter for others."""
    for one in allowed:
        if one == value:
            return one
    raise typer.BadParameter(f"{option}: expected {' or '.join(filter(None, allowed))}, not {cut(value)}")


def names(given: str) -> tuple[str, ...]:
    """Return the names in a list such as `view,sex`."""
    return tuple(name.strip() for name in given.split(",") if name.strip())


def keys_of(size: int, fit: str, channels: str, follow_links: bool) -> dict[str, Any]:
    """Return further keys of `data`. Raises typer.BadParameter for a framing or channels that there are not."""
    return {
        "size": size,
        "fit": chosen("--fit", fit, FITS),
        "channels": chosen("--channels", channels, CHANNELS),
        "links": "follow" if follow_links else "",
    }


FITS = ("", "pad", "squash", "crop")
CHANNELS = ("", "gray", "color")
SCORES: tuple[Literal["auto", "logits", "probabilities"], ...] = ("auto", "logits", "probabilities")
HEADS: tuple[Literal["auto", "sigmoid", "softmax"], ...] = ("auto", "sigmoid", "softmax")


def _expected(text: str) -> float:
    from assay.cli.audit import expected

    return expected(text)


def marks_in(path: Path | None) -> Mapping[str, Sequence[Any]] | None:
    """Return the marks that a file lists; None without one. Raises SpecError for a file of another shape."""
    if path is None:
        return None
    from assay.core.errors import SpecError
    from assay.spec.yaml import read_yaml

    values = read_yaml(path).values
    if not values or not all(isinstance(doses, list) for doses in values.values()):
        raise SpecError(
            f"{path.name}: expected marks with three doses, such as label: [{{tag: {{size: 0.1}}}}, "
            "{tag: {size: 0.15}}, {tag: {size: 0.2}}]"
        )
    return values


def folder_of(references: str) -> Path | None:
    """Return the folder of reference networks; None where they are to be trained, or none are asked for."""
    return Path(references) if references and not references.isdecimal() else None


def count_of(references: str) -> int:
    """Return how many reference networks are to be trained."""
    return int(references) if references.isdecimal() else 0


Model = Annotated[
    str,
    typer.Argument(
        help="A model's file, the folder of a trial, timm:NAME or module:function, or a CSV of predictions.",
        metavar="MODEL",
    ),
]
Images = Annotated[
    str, typer.Option("--images", metavar="PATH", help="A CSV with a row per image, or a folder with one.")
]
Train = Annotated[
    str, typer.Option("--train", metavar="PATH", help="The images of its training, as --images; for copies.")
]
Labels = Annotated[
    str,
    typer.Option(
        "--labels", metavar="CSV", help="Labels of a folder's images, by file name, SOPInstanceUID or AccessionNumber."
    ),
]
Target = Annotated[str, typer.Option("--target", metavar="COLUMN", help="The class.")]
Positive = Annotated[str, typer.Option("--positive", metavar="CLASS", help="The positive class.")]
Patient = Annotated[str, typer.Option("--patient", metavar="COLUMN", help="The patient.")]
Image = Annotated[str, typer.Option("--image", metavar="COLUMN", help="The image's file.")]
Mask = Annotated[str, typer.Option("--mask", metavar="COLUMN", help="The mask's file: the model is a segmentation.")]
Columns = Annotated[str, typer.Option("--columns", metavar="A,B", help="Columns to audit, such as view,sex.")]
Score = Annotated[str, typer.Option("--score", metavar="COLUMN", help="The score, of predictions.")]
Weights = Annotated[str, typer.Option("--weights", metavar="FILE", help="Weights of a named network.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Run code that the model needs: TorchScript, .pt2, module:function.")
]
TimeLimit = Annotated[
    float, typer.Option("--time-limit", parser=_seconds, metavar="TIME", help="Longest time per image.")
]
Command = Annotated[
    str,
    typer.Option("--command", metavar="LINE", help="Any program: 'python predict.py {images} {scores}', or {masks}."),
]
Size = Annotated[
    int, typer.Option("--size", metavar="PX", help="Side of the images that the model takes.", show_default=False)
]
Fit = Annotated[
    str,
    typer.Option(
        "--fit",
        autocompletion=completion.of("pad", "squash", "crop"),
        metavar="HOW",
        help="How images are made square: pad (default), squash or crop.",
    ),
]
Channels = Annotated[
    str,
    typer.Option(
        "--channels",
        autocompletion=completion.of("gray", "color"),
        metavar="KIND",
        help="gray or color; default: as most images are.",
    ),
]
Scaling = Annotated[
    str,
    typer.Option(
        "--scaling",
        autocompletion=completion.of("0..1", "imagenet", "-1..1", "0..255", "-1024..1024"),
        metavar="NAME",
        help="Range of pixels: 0..1, imagenet, -1..1, 0..255 or -1024..1024.",
    ),
]
Domain = Annotated[
    str,
    typer.Option(
        "--domain",
        autocompletion=completion.domains,
        metavar="NAME",
        help="Kind of image, such as chest-xray: it chooses the marks.",
    ),
]
Marks = Annotated[
    Path | None,
    typer.Option(
        "--marks", metavar="FILE", help="Marks of your own in place of those of --domain: YAML, three doses of each."
    ),
]
References = Annotated[
    str,
    typer.Option(
        "--references",
        metavar="N|FOLDER",
        help="Clean networks to compare with: train 59 or more on your rows, or a folder of audits.",
    ),
]
Margin = Annotated[float, typer.Option("--margin", metavar="M", help="The smallest effect that matters.")]
Budget = Annotated[
    float, typer.Option("--budget", parser=_seconds, metavar="TIME", help="Time to plan for, such as 10m or 1h.")
]
Expect = Annotated[
    float | None,
    typer.Option(
        "--expect",
        parser=_expected,
        metavar="AUROC",
        help="The AUROC (or Dice) that you know of this model: auroc=0.97.",
    ),
]
IntendedUse = Annotated[
    str, typer.Option("--intended-use", metavar="TEXT", help="What the model is for, on the page and the model card.")
]
AsGiven = Annotated[bool, typer.Option("--as-given", help="Go on even if the model seems to get wrong pixels.")]
Policy = Annotated[
    Path | None,
    typer.Option("--policy", metavar="FILE", help="Forbidden verdicts; exit code 3 where one is found."),
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="The run folder; default: audits/MODEL.")
]
FollowLinks = Annotated[
    bool, typer.Option("--follow-links", help="Read images that links lead to, outside the folder.")
]
