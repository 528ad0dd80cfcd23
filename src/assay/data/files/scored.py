"""Read scores of a table: rows that have a class, a score and a patient, and refuse scores of the other class."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from assay.core.errors import DataError, SpecError, key_text
from assay.data.files.classes import Target, two_classes
from assay.data.files.kinds import (
    MOST_LINES,
    cautions_of,
    notation_of,
    one_patient,
    split_counts,
    without_name,
)
from assay.data.files.roles import (
    MOST_CLASSES,
    SCORES,
    called_after,
    called_calls,
    class_of_score,
    of_called_class,
    words_of,
)
from assay.data.files.table import TextTable, absences, absent, fold, number, patient_codes, spellings

_OF_FINDINGS = frozenset({"0", "1", "-1", "0.0", "1.0", "-1.0"})
"""Values of columns that say whether there is a finding."""
_LEAST_IN_CLASS = 5
"""Cases of each class from which on scores that are never below 0.5 are no chance."""
_NEAR_HALF = 0.75
"""Confidences of the predicted class come nearer to 0.5 than this."""


_LARGEST = {float(np.finfo(kind).max): bits for kind, bits in ((np.float16, 16), (np.float32, 32))}
"""Largest numbers of formats -> their bits: where logits overflowed and were cut off."""


def overflow_words(score: Float[np.ndarray, " n"]) -> str:
    """Return how many scores are the largest number of a format, where logits overflowed; empty where none are."""
    size = np.abs(score)
    counts = {bits: int((size.astype(np.float32) == np.float32(most)).sum()) for most, bits in _LARGEST.items()}
    return ", ".join(
        f"{count:,} scores are the largest number of {bits} bits" for bits, count in counts.items() if count
    )


_MOST_OUTPUTS, _FEWEST_SCORES, _FEWEST_VALUES = 10, 30, 10
"""Classes of a second softmax, and scores and different ones from which their ends are no chance."""
_BEYOND, _AT_END, _SHARE_AT_END = 1e-3, 0.02, 0.05
"""How far rounded scores may be beyond these ends, how near to them scores are, relative to an end, and their share."""


def softmax_twice_words(score: Float[np.ndarray, " n"]) -> str:
    """Return what scores look like that went through a softmax or a sigmoid twice; empty of others.

    A second softmax over k classes has numbers from 1 / (e + k - 1) to e / (e + k - 1), and a second sigmoid from 0.5
    to e / (e + 1). Sure scores, of 0 and 1 before, are at these ends.

    Examples:
        >>> sure = 1 / (1 + np.exp(-np.linspace(-9, 9, 60)))
        >>> softmax_twice_words(1 / (1 + np.exp(1 - 2 * sure)))
        'scores from 0.269 to 0.731, the ends that a second softmax has'
        >>> softmax_twice_words(sure), softmax_twice_words(np.tile([0.27, 0.5, 0.73], 20))
        ('', '')
    """
    if len(score) < _FEWEST_SCORES or len(np.unique(score)) < _FEWEST_VALUES:
        return ""
    low, high = float(score.min()), float(score.max())
    ends = [(1 / (np.e + k - 1), np.e / (np.e + k - 1), "softmax") for k in range(2, _MOST_OUTPUTS + 1)]
    for least, most, name in [*ends, (0.5, np.e / (np.e + 1), "sigmoid")]:
        at_ends = (score < least * (1 + _AT_END)).mean(), (score > most * (1 - _AT_END)).mean()
        if low > least - _BEYOND and high < most + _BEYOND and min(at_ends) >= _SHARE_AT_END:
            return f"scores from {low:.3g} to {high:.3g}, the ends that a second {name} has"
    return ""


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
        if finding := self._other_finding():
            better = self._scores_of_target()
            named = f", whose scores are in '{better}'" if better else ""
            raise SpecError(
                f"by their name the scores in '{self.roles['score']}' are of {finding}, and the target is "
                f"{self.roles['target']}{named}: name the scores of the target with "
                f"{key_text('--score', better or 'COLUMN')}, or give {key_text('--as-given', True)} if they are meant"
            )

    def _other_finding(self) -> str:
        """Return the column of another finding, of 0 and 1, that the column of scores is called after; else empty."""
        named = called_after(self.roles["score"])
        if not named or named & called_after(self.roles["target"]):
            return ""
        others = [name for name in self.table.header if name not in self.roles.values() and called_after(name) == named]
        return next((name for name in others if not called_calls(name) and self._is_of_finding(name)), "")

    def _is_of_finding(self, name: str) -> bool:
        """Return whether a column has both classes of a finding, and neither repeats the target nor calls the scores.

        `resnet` beside `resnet_score` often has the calls of a network, and `malignant` the target in other words.
        """
        cells = np.array([number(cell) if cell in _OF_FINDINGS else None for cell in self.table.column(name, "data")])
        if not {*self.table.present(name)} <= _OF_FINDINGS or not {0.0, 1.0} <= {*cells}:
            return False
        negative, positive = (self.score[cells == code] for code in (0.0, 1.0))
        are_calls = negative.max() < positive.min()
        is_target = all((self.target.codes[cells == code] == code).all() for code in (0.0, 1.0))
        return not (are_calls or is_target)

    def _scores_of_target(self) -> str:
        """Return a column of scores that is called after the target; empty without one."""
        named = called_after(self.roles["target"])
        others = [name for name in self.table.header if words_of(name) & {*SCORES} and called_after(name) == named]
        return next((name for name in others if name not in self.roles.values()), "")

    def require_score_of_one_class(self, most: float = 1.0) -> None:
        """Refuse confidences of the predicted class: no score is below 0.5, or below 1/k with decisions for k classes.

        Args:
            most: The greatest probability: 1, or 100 of percent.

        Raises:
            SpecError: The scores are such confidences, and are not called after the positive class.
        """
        name, least = self.roles["score"], float(self.score.min()) / most
        if self.score.max() > most or least <= 0:
            return
        stated = f"give {key_text('--as-given', True)} if it is of {self.spelled[1]} in every row"
        for column in self.table.header:
            if column != name and self._decided_classes(column) * least >= 1:
                raise SpecError(f"{of_called_class(name, column)}; or {stated}")
        is_ranked = min(np.bincount(self.target.codes, minlength=2)) >= _LEAST_IN_CLASS and len({*self.score}) > 2
        if is_ranked and 0.5 <= least < _NEAR_HALF and self.class_by_name() is None:
            raise SpecError(
                f"{key_text('--score')}: '{name}' of {self.table.name} is never below {most / 2:g}, as a confidence of "
                f"the predicted class is: name the scores of {self.spelled[1]}, or {stated}"
            )

    def holds_calls(self, column: str) -> bool:
        """Return whether a column is named like a model's decisions, and holds classes or 0 and 1."""
        if not called_calls(column):
            return False
        classes = {fold(cell) for cell in {*self.cells("target")}} | {"0", "1"}
        return {fold(cell) for cell in {*self.table.present(column)}} <= classes

    def _decided_classes(self, column: str) -> int:
        """Return how many classes a column of decisions names, of a few; 0 of another column."""
        values = {fold(cell) for cell in {*self.table.present(column)}}
        if len(values) < 2 or not called_calls(column):
            return 0
        if self.holds_calls(column):
            return 2
        numbers = [value for value in map(number, values) if value is not None]
        are_classes = not numbers or (len(numbers) == len(values) and all(value == int(value) for value in numbers))
        return len(values) if are_classes and len(values) <= MOST_CLASSES else 0

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
            from assay.data.files.patients import doubtful_patients, patients_apart  # here: it loads for tables alone

            facts |= one_patient(patient_codes(patients)) | doubtful_patients(patients, self.table.numbers, "line")
            facts |= patients_apart(self.table, self.roles["patient"], scored=True)
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
    target = two_classes(roles["target"], positive, cells)
    if not positive:
        from assay.data.files.polarity import with_doubt  # here: it loads for tables alone

        if question := with_doubt(target, table, roles["target"], "target", "--positive").question:
            raise SpecError(question)
    return ScoredRows(table, roles, target, score, left_out)


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


LONGEST_NUMBER = 200
"""Letters of a cell that may hold a number with a wrapping, such as tensor(0.41, device='cuda:0')."""
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.])")


def _remedy(cells: Sequence[str], cell: str) -> str:
    """Return what to write for a score such as 51.8%, tensor(0.41) and [0.41]; empty of another cell."""
    if cell.endswith("%"):
        signed = sum(cell.endswith("%") for cell in cells)
        mixed = f"{signed:,} of {len(cells):,} scores have the sign % and the others none: write all in one way"
        return "take the sign % out of all scores" if signed == len(cells) else mixed
    wrapped = re.fullmatch(r"(?:[A-Za-z_.]+\d*)?[(\[]+(.*?)[)\]]+", cell) if len(cell) <= LONGEST_NUMBER else None
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
