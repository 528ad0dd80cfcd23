"""Read scores of a table: rows that have a class, a score and a patient, and refuse scores of the other class."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from assay.core.errors import DataError, SpecError, key_text
from assay.core.request import CommandRequest
from assay.data.files.classes import Target, two_classes
from assay.data.files.kinds import (
    MOST_LINES,
    alike_patients,
    cautions_of,
    notation_of,
    one_patient,
    split_counts,
    without_name,
)
from assay.data.files.roles import (
    called_image,
    called_model,
    called_patient,
    called_unit,
    class_of_score,
    models_of,
    models_of_same_rows,
    words_of,
)
from assay.data.files.table import TextTable, absences, absent, number, patient_codes, read_table, spellings


@dataclass(frozen=True, eq=False)
class ScoredRows:
    """Rows of a table that have a class, a score and a patient.

    Attributes:
        table: The rows.
        roles: Role (target, score, patient and others) -> column; a patient's that the table lacks is not named.
        target: Classes of the rows.
        score: Scores, as the table has them.
        left_out: How many other rows there are, for readers; empty without.
    """

    table: TextTable
    roles: Mapping[str, str]
    target: Target
    score: Float[np.ndarray, " n"]
    left_out: str = ""

    def cells(self, role: str) -> tuple[str, ...]:
        """Return the cells of the column of a role; none where the table lacks it."""
        column = self.roles[role]
        return self.table.column(column, key_text(f"--{role}")) if column in self.table.header else ()

    def take(self, rows: Sequence[int]) -> ScoredRows:
        """Return some rows, in this order."""
        return replace(
            self,
            table=replace(self.table, frame=self.table.frame.iloc[[*rows]]),
            target=replace(self.target, codes=self.target.codes[rows]),
            score=self.score[rows],
        )

    @property
    def spelled(self) -> tuple[str, str]:
        """The negative and the positive class, as the first of their rows spells them."""
        cells = self.cells("target")
        negative, positive = (cells[int(np.argmax(self.target.codes == code))] for code in (0, 1))
        return negative, positive

    @property
    def _other_class(self) -> str:
        """What to give where the scores are of the other class, and where they are not."""
        other, positive = self.spelled
        return (
            f"give {key_text('--positive', other)} if the scores in '{self.roles['score']}' of {self.table.name} "
            f"are of it, or {key_text('--as-given', True)} if they are of {positive}"
        )

    def class_by_name(self) -> int | None:
        """Return the code of the class that the column of scores is called after; None where it is of neither."""
        classes = [*zip(self.spelled, self.target.classes, strict=True)]
        return class_of_score(self.roles["score"], classes)

    def require_positive_by_name(self) -> None:
        """Raise SpecError where the column of scores is called after the negative class."""
        if self.class_by_name() == 0:
            other, positive = self.spelled
            raise SpecError(
                f"by their name the scores in '{self.roles['score']}' are of {other}, and {positive} is "
                f"positive: name the column of {positive} with {key_text('--score')}, or "
                f"{self._other_class}"
            )

    def reversed_ranking(self, auroc: float) -> SpecError:
        """Return the error that scores rank the classes the other way round."""
        return SpecError(
            f"the AUROC is {auroc:.2f} as given and {1 - auroc:.2f} with the classes the other way round: "
            f"{self._other_class}"
        )

    def facts(self, columns: Sequence[str] = ()) -> dict[str, str]:
        """Return how the rows were read, as rows of `provenance`; of these columns too."""
        patients, target = self.cells("patient"), self.roles["target"]
        cells = {target: self.cells("target")} | {name: self.table.column(name, "columns") for name in columns}
        facts = {"positive class": self.target.positive, **notation_of(self.table), **split_counts(self.table),
                 **cautions_of(cells, target, self.table.comma)}  # fmt: skip
        if patients:
            facts |= one_patient(patient_codes(patients)) | alike_patients(patients, self.table.numbers)
            from assay.data.files.doubts import renumbered_patients  # here: it loads for tables alone

            facts |= renumbered_patients(self.table, self.roles["patient"], self.table.header)
        return facts


def read_scored_rows(
    table: TextTable, roles: Mapping[str, str], positive: str = "", skip: bool | None = None
) -> ScoredRows:
    """Return the rows of a table that have a class, a score and a patient.

    Args:
        table: The table.
        roles: Role -> column, at least of target, score and patient; see `roles.roles_of`.
        positive: The positive class; empty where it is not named.
        skip: Whether other rows are left out instead of refused; None where no option asks for it.

    Raises:
        SpecError: There are not two classes, or it is not known which is positive.
        DataError: A row lacks something, and is not to be left out; or no row is left.
    """
    table, score, left_out = usable(table, roles, skip)
    cells = table.column(roles["target"], key_text("--target"))
    return ScoredRows(table, roles, two_classes(roles["target"], positive, cells), score, left_out)


def usable(
    table: TextTable, roles: Mapping[str, str], skip: bool | None = None
) -> tuple[TextTable, Float[np.ndarray, " n"], str]:
    """Return the rows that have a class, a score and a patient, their scores, and how many others there are.

    Raises:
        SpecError: All rows with a class are of one, and the others are blank.
        DataError: A row lacks something, and is not to be left out; or no row is left.
    """
    out = (
        "take the rows out of the file"
        if skip is None
        else f"leave the rows out with {key_text('--skip-bad-rows', True)}"
    )
    target, score, patient = (roles[role] for role in ("target", "score", "patient"))
    classes = table.column(target, key_text("--target"))
    spelled_classes = set(spellings(classes).values())
    if blank := sum(absences(classes)) if len(spelled_classes) == 1 else 0:
        raise SpecError(
            f"the target '{target}' has 1 class ({spelled_classes.pop()}), and the other {blank:,} rows "
            "are blank: write the other class there"
        )
    bad = _without_value(table, target, "target", f"label them, or {out}")
    if patient in table.header:
        bad |= _without_value(table, patient, "patient", f"say whose images they are, or {out}")
    cells = table.column(score, key_text("--score"))
    scores = np.array([number(cell, table.comma) for cell in cells], dtype=np.float64)  # None is NaN
    if wrong := np.flatnonzero(np.isnan(scores)).tolist():
        cell = cells[wrong[0]]
        sentence = f"{table.name}:{table.numbers[wrong[0]]}: score '{cell[:40]}' is not a finite number"
        rest = f", the first of {len(wrong):,}" if len(wrong) > 1 else ""
        do = _remedy(cells, cell) or f"correct it, or {out}"
        bad |= dict.fromkeys(wrong, f"{sentence}{rest}; {do}")
    if not bad:
        return table, scores, ""
    if not skip or len(bad) == len(table):
        raise DataError(next(iter(bad.values())))
    good = np.array([at not in bad for at in range(len(table))])
    summary = f"{len(bad):,} of {len(table):,} rows, without a class, a score or a patient"
    return replace(table, frame=table.frame[good]), scores[good], summary


_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.])")


def _remedy(cells: Sequence[str], cell: str) -> str:
    """Return what to write for a score such as 51.8%, tensor(0.41) and [0.41]; empty of another cell."""
    if cell.endswith("%"):
        signed = sum(cell.endswith("%") for cell in cells)
        mixed = f"{signed:,} of {len(cells):,} scores have the sign % and the others none: write all in one way"
        return "take the sign % out of all scores" if signed == len(cells) else mixed
    wrapped = re.fullmatch(r"(?:[A-Za-z_.]+\d*)?[(\[]+(.*?)[)\]]+", cell)
    numbers = _NUMBER.findall(wrapped[1].split(", dtype")[0].split(", device")[0]) if wrapped else []
    return f"write the number alone, {numbers[0]}, in all rows" if len(numbers) == 1 else ""


def _without_value(table: TextTable, column: str, role: str, remedy: str) -> dict[int, str]:
    """Return the positions of rows without a value in a column -> the sentence that refuses them."""
    cells = table.column(column, key_text(f"--{role}"))
    blank = set(filter(without_name if role == "patient" else absent, set(cells)))
    missing = [at for at, cell in enumerate(cells) if cell in blank] if blank else []
    if not missing:
        return {}
    lines = ", ".join(str(table.numbers[at]) for at in missing[:MOST_LINES])
    word, more = "line" if len(missing) == 1 else "lines", " ..." if len(missing) > MOST_LINES else ""
    return dict.fromkeys(
        missing,
        f"{table.name}: '{column}' is missing in {len(missing):,} of {len(cells):,} rows "
        f"({word} {lines}{more}); {remedy}",
    )


_CASES = frozenset({"case", "id", "uid"})
"""Words in the names of columns that may name cases, where a column of models has several rows of each."""
_OF_COMPARISONS = frozenset({"score", "scores", "target", "positive", "image", "patient", "unmatched"})
"""Options that `assay compare` has too."""


def read_score_table(path: Path, named: str, *cases: str) -> TextTable:
    """Read a CSV of scores. Equal rows are refused where a column names cases, patients or images.

    Args:
        path: The file.
        named: The column that names a row in messages.
        cases: Columns that are said to name cases or patients.
    """

    def names_cases(name: str) -> bool:
        is_called = called_image(name) or called_patient(name) or called_unit(name) or words_of(name) & _CASES
        return name in cases or bool(is_called)

    return read_table(path, named, names_cases)


def require_one_row_each(
    table: TextTable,
    roles: Mapping[str, str],
    request: CommandRequest,
    verb: str,
    remedy: str,
    taken: Sequence[str] = (),
) -> None:
    """Refuse several rows of a case: of several models, or others.

    Args:
        table: The table.
        roles: Role -> column, at least of image.
        request: What reads the table, with the table as its argument.
        verb: What is done with a table of one model, such as `validate`.
        remedy: What to do with rows that are not of several models, as the end of a sentence.
        taken: Columns that have another role, and hold no models.

    Raises:
        DataError: A case has several rows.
    """
    column = roles["image"]
    if column not in table.header:  # another column may name cases
        named = (name for name in table.header if words_of(name) & _CASES and models_of(table, name, taken))
        column = next(named, column)
    if column not in table.header:
        if models := models_of_same_rows(table, taken):
            raise DataError(
                f"{table.name}: '{models}' has the same cases for each of {some_values(table, models)}: "
                f"{verb} a file with the rows of one, or name the column of cases with "
                f"{key_text('--image', 'COLUMN')}"
            )
        return
    cells = table.column(column, key_text("--image"))
    if not (twice := len(cells) - len(set(cells))):
        return
    repeated = f"{table.name}: '{column}' has {twice:,} repeated case{'s' * (twice > 1)}"
    if models := models_of(table, column, taken):
        raise DataError(
            f"{repeated}, since '{models}' has a row for each of {some_values(table, models)}: {verb} a "
            "file with the rows of one, or compare them: "
            f"{comparison_line(request, models, column)}"
        )
    raise DataError(f"{repeated}: {remedy}")


def require_no_models(table: TextTable, roles: Mapping[str, str], request: CommandRequest, column: str) -> None:
    """Refuse to combine the rows of each model. Raises DataError where a column names models, which have both classes.

    Args:
        table: The table.
        roles: Role -> column, at least of target and image.
        request: What reads the table, with the table as its argument.
        column: The column whose values are combined.
    """
    if called_model(column) and column in table.header:
        classes = table.frame.groupby(column)[roles["target"]].nunique()
        if (classes > 1).all():
            cases = roles["image"] if roles["image"] in table.header else ""
            raise DataError(
                f"{key_text('--by', column)} combines the rows of each of {some_values(table, column)} "
                "into one case: name a column of cases, or compare these models: "
                f"{comparison_line(request, column, cases)}"
            )


def comparison_line(request: CommandRequest, models: str, cases: str) -> str:
    """Return the command that compares the models of a table, with the names of columns of a request.

    Args:
        request: What reads the table, with the table as its argument.
        models: The column of models.
        cases: The column of cases; empty where it is not known.
    """
    if cases and not called_image(cases):
        request = request.with_changes(image=cases)
    arguments = {name for name, option in request.options().items() if option.argument and name != "other"}
    typed = request.typed(*(request.options().keys() - _OF_COMPARISONS - arguments))
    return f"assay compare {typed} --by {shlex.quote(models)}"


def some_values(table: TextTable, column: str) -> str:
    """Return the first values of a column, with `...` where there are more."""
    values = [*dict.fromkeys(table.present(column))]
    return ", ".join([*values[:3], *(["..."] if len(values) > 3 else [])])
