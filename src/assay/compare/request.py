"""Requests of comparisons: of predictions that were made elsewhere, and of two audits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from assay.core.request import ColumnName, CommandRequest, Option, ScoreScale, Text


class CompareRequest(CommandRequest):
    """A request of `assay compare`. The names of columns are those of its file."""

    data: Annotated[Any, Option("A CSV with a row per image, recipe and seed.", "FILE", argument=True)]
    by: Annotated[ColumnName, Option("Column whose values are compared, such as loss.", "COLUMN")]
    against: Annotated[Text, Option("The reference level; default: the first in the file.", "NAME")] = ""
    measure: Annotated[str, Option("See `assay list measures`.", "NAME")] = "auroc"
    margin: Annotated[float | None, Option("Largest difference that would not matter.", "M")] = None
    score: Annotated[
        ColumnName, Option("Column of the positive class's score; default: found by its name.", "COLUMN")
    ] = ""
    scores: Annotated[ScoreScale, Option("probabilities, percent or logits; found from all scores.", "KIND")] = "auto"
    target: Annotated[ColumnName, Option("Column of the class; default: found by its name.", "COLUMN")] = ""
    positive: Annotated[str, Option("The positive class; default: 1 of 0 and 1.", "CLASS")] = ""
    seed: Annotated[ColumnName, Option("Column of the training seed; default: found by its name.", "COLUMN")] = ""
    image: Annotated[ColumnName, Option("Column of the image; default: found by its name.", "COLUMN")] = ""
    patient: Annotated[
        ColumnName,
        Option("Column of the patient; default: found by its name. Without one, each image is a patient.", "COLUMN"),
    ] = ""
    fold: Annotated[ColumnName, Option("Column of the fold whose model made the prediction; optional.", "COLUMN")] = (
        "fold"
    )
    threshold: Annotated[float, Option("Probability from which an image is called positive.", "P")] = 0.5
    unmatched: Annotated[
        Literal["refuse", "drop"], Option("Many images missing for a recipe: refuse or drop.", "HOW")
    ] = "refuse"
    as_given: Annotated[bool, Option("Continue even if the scores seem to be those of the predicted class.")] = False
    out: Annotated[Path | None, Option("Write a page and its tables there.", "FOLDER", short="-o")] = None
    as_json: Annotated[bool, Option("Print JSON for machines.", "", "--json")] = False
