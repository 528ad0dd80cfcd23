"""Requests of validations: files of scores, columns and thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from assay.core.request import ColumnName, ColumnNames, CommandRequest, Option, ScoreScale, names


def prevalences_in(text: str) -> tuple[float, ...]:
    """Return the prevalences in a list such as `0.02,0.1`. Raises ValueError."""
    try:
        return tuple(map(float, names(text)))
    except ValueError:
        raise ValueError(f"expected prevalences such as 0.02,0.1, not {text[:40]}") from None


def _listed_prevalences(value: Any) -> Any:
    return prevalences_in(value) if isinstance(value, str) else (value,) if isinstance(value, int | float) else value


def paths_in(text: str) -> tuple[Path, ...]:
    """Return the files in a list such as `ours.csv,theirs.csv`."""
    return tuple(map(Path, names(text)))


NOT_REPEATED = ("threshold", "threshold_from", "plan", "out", "open", "as_json")
"""Fields that the command of a next validation does not repeat: it has others, or they do not change results."""


class ValidateRequest(CommandRequest):
    """A request of `assay validate`. The names of columns are those of its files."""

    file: Annotated[Any, Option("A CSV with a row per case: class, score, patient, groups.", "FILE", argument=True)]
    other: Annotated[Any, Option("A CSV of another model's scores of the same cases.", "OTHER", argument=True)] = ""
    threshold: Annotated[
        str,
        Option(
            "Score from which a case is called positive, or sensitivity=0.9 or specificity=0.9; for two models T,T.",
            "T",
        ),
    ] = ""
    threshold_from: Annotated[
        tuple[Path, ...],
        Option(
            "A CSV of other cases, on which a threshold is set; for two models, one for each.",
            "FILE,FILE",
            parse=paths_in,
            text="",
        ),
    ] = ()
    recalibrate_from: Annotated[
        tuple[Path, ...],
        Option(
            "A CSV of other cases, on which probabilities are recalibrated; for two models, one for each.",
            "FILE,FILE",
            parse=paths_in,
            text="",
        ),
    ] = ()
    calls: Annotated[
        ColumnName,
        Option(
            "Column of calls, for a file without scores: 0 and 1, or the classes; blank where there is none.", "COLUMN"
        ),
    ] = ""
    prevalence: Annotated[
        tuple[float, ...],
        BeforeValidator(_listed_prevalences),
        Option("Prevalences for PPV and NPV, such as 0.02,0.1.", "P", parse=prevalences_in, text=""),
    ] = ()
    true_prevalence: Annotated[
        float | None,
        Option("Prevalence where the model is used; calibration and net benefit are weighted to it.", "P"),
    ] = None
    margin: Annotated[float | None, Option("Largest difference that would not matter.", "M")] = None
    plan: Annotated[
        float | None,
        Option(
            "Compute the patients needed for an interval of this half-width or, with two models, this difference.",
            "W",
        ),
    ] = None
    by: Annotated[ColumnName, Option("Combine the rows that share a value of this column, such as exam.", "COLUMN")] = (
        ""
    )
    rule: Annotated[
        Literal["max", "mean"], Option("How scores are combined: max (positive if any row is) or mean.", "RULE")
    ] = "max"
    groups: Annotated[ColumnNames, Option("Columns of groups; sex*site crosses two.", "A,B", parse=names, text="")] = ()
    score: Annotated[
        ColumnName,
        Option("Column of the positive class's score; default: found by its name. A,B compares two.", "COLUMN"),
    ] = ""
    scores: Annotated[ScoreScale, Option("probabilities, percent or logits; found from all scores.", "KIND")] = "auto"
    target: Annotated[ColumnName, Option("Column of the class; default: found by its name.", "COLUMN")] = ""
    positive: Annotated[str, Option("The positive class; default: 1 of 0 and 1.", "CLASS")] = ""
    as_given: Annotated[bool, Option("Continue even if the scores seem to be those of the other class.")] = False
    image: Annotated[ColumnName, Option("Column of the case; default: a column named like an image.", "COLUMN")] = ""
    patient: Annotated[
        ColumnName,
        Option("Column of the patient; default: found by its name. Without one, each case is a patient.", "COLUMN"),
    ] = ""
    unmatched: Annotated[Literal["refuse", "drop"], Option("Many cases missing in a file: refuse or drop.", "HOW")] = (
        "refuse"
    )
    out: Annotated[Path | None, Option("The folder of the page; default: validations/NAME.", "FOLDER", short="-o")] = (
        None
    )
    open: Annotated[bool, Option("Open the page in a browser.")] = False
    as_json: Annotated[bool, Option("Print JSON for machines.", "", "--json")] = False

    @property
    def prevalences(self) -> tuple[float, ...]:
        """Prevalences of predictive values: those that are named, then the true one."""
        true = () if self.true_prevalence is None else (self.true_prevalence,)
        return tuple(dict.fromkeys((*self.prevalence, *true)))
