"""Cases of a table of scores: one row of each is read, and rows of several models are refused with the comparison."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from assay.core.errors import DataError, key_text
from assay.core.request import CommandRequest
from assay.data.files.roles import (
    called_image,
    called_model,
    called_patient,
    called_unit,
    models_of,
    models_of_same_rows,
    repeats_of,
    some_values,
    words_of,
)
from assay.data.files.table import TextTable, read_table

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
    if name := repeats_of(table, [column], (*taken, *roles.values())):
        repeated += f", since '{name}' has a row for each of {some_values(table, name)}"
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
