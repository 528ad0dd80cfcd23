"""Options of `assay audit`, each with its help and its candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli import completion


def _seconds(text: str) -> float:
    from assay.cli.audit import seconds

    return seconds(text)


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
    float | None, typer.Option("--expect", metavar="AUROC", help="The AUROC that you know of this model.")
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
