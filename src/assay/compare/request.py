"""Requests of comparisons: of predictions that were made elsewhere, and of two audits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from assay.core.request import AsScores, CommandRequest, Option, Text


class CompareRequest(CommandRequest):
    """A request of `assay compare`. The names of columns are those of its file."""

    data: Annotated[Any, Option("A CSV with a row per image, recipe and seed.", "FILE", argument=True)]
    by: Annotated[str, Option("What is compared, such as loss.", "COLUMN")]
    against: Annotated[Text, Option("The reference; default: the first in the file.", "NAME")] = ""
    measure: Annotated[str, Option("See `assay list measures`.", "NAME")] = "auroc"
    margin: Annotated[float | None, Option("Largest difference that does not matter.", "M")] = None
    score: Annotated[str, Option("The score of the positive class; default: called like one.", "COLUMN")] = ""
    scores: Annotated[AsScores, Option("probabilities, percent or logits; found from all scores.", "KIND")] = "auto"
    target: Annotated[str, Option("The class; default: the column that is called like one.", "COLUMN")] = ""
    positive: Annotated[str, Option("The positive class; default: 1 of 0 and 1.", "CLASS")] = ""
    seed: Annotated[str, Option("The seed of the training; default: the column that is called like one.", "COLUMN")] = (
        ""
    )
    image: Annotated[str, Option("The image; default: the column that is called like one.", "COLUMN")] = ""
    patient: Annotated[str, Option("The patient, likewise; without, each image is one.", "COLUMN")] = ""
    fold: Annotated[str, Option("The fold whose model answered; may be absent.", "COLUMN")] = "fold"
    threshold: Annotated[float, Option("Probability from which an image is called positive.", "P")] = 0.5
    unmatched: Annotated[
        Literal["refuse", "drop"], Option("Images that a recipe lacks, where there are many: refuse or drop.", "HOW")
    ] = "refuse"
    out: Annotated[Path | None, Option("Write a page and its tables there.", "FOLDER", short="-o")] = None
    as_json: Annotated[bool, Option("Print JSON for machines.", "", "--json")] = False
