"""The rows of a set before a pixel is decoded, as a data frame, and what rows left out do to its classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from assay.core.errors import DataError
from assay.core.types import Factor
from assay.data.files.decode import ONE, LabelMeaning, labels_of, read_file
from assay.data.files.joins import FEWEST, uneven
from assay.data.files.masks import Boxes, MaskAt
from assay.data.files.outlines import WrittenMask
from assay.data.files.readers import read_stored
from assay.data.files.table import Problem, TextTable, Unreadable, absent, factor_column, problems_of
from assay.data.public.sets import KnownSet
from assay.spec.schema import FactorSpec


def frame_of(numbers: Sequence[int], **columns: Sequence[Any] | np.ndarray | None) -> pd.DataFrame:
    """Return the frame of a listing; columns that are None are left out."""
    index = np.array(numbers, dtype=np.int64)
    present = {name: cells for name, cells in columns.items() if cells is not None}
    cells_of = {
        name: cells if isinstance(cells, np.ndarray) else pd.Series(list(cells), index, dtype=object)
        for name, cells in present.items()
    }
    return pd.DataFrame(cells_of, index)


@dataclass(frozen=True, slots=True)
class Listing:
    """The usable rows of a source.

    Attributes:
        where: How messages call the table or folder.
        word: Word for a row there.
        frame: The rows; the index has their numbers as the file shows them. `name`: the image, for messages. `image`:
            its path, unless pixels come from elsewhere. `mask`: see `MaskAt`; without the column rows have none.
            `target`: numbers into `classes`; without the column masks decide it (any lesion or none). `patient`: text
            or numbers that differ between patients.
        columns: Values of the factors, in the order of the rows.
        meaning: Of the masks' values.
        facts: Half-sentences for the card, such as how the classes were found.
        read: Rows of `provenance` on how the table was read.
        question: What must be known before a class is positive, see `classes.Target`; else empty.
        warnings: Warnings for the user.
        matched: Sentences on what matched no other side, and on what was ignored in names.
        about: Facts on a known set.
        boxes: Of lesions, where a table of them is named.
        lost: Number of a row that was left out as bad -> its class code, -1 where its label could not be read.
        lost_masks: Number of such a row -> its mask, where masks decide the target.
    """

    title: str
    where: str
    word: str
    frame: pd.DataFrame
    classes: tuple[str, ...]
    factors: tuple[Factor, ...] = ()
    columns: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    problems: tuple[Problem, ...] = ()
    facts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    matched: tuple[str, ...] = ()
    about: KnownSet | None = None
    meaning: LabelMeaning = ONE
    boxes: Boxes | None = None
    lost: Mapping[int, int] = field(default_factory=dict[int, int])
    lost_masks: Mapping[int, MaskAt] = field(default_factory=dict[int, MaskAt])
    read: Mapping[str, str] = field(default_factory=dict[str, str])
    question: str = ""

    def __len__(self) -> int:
        return len(self.frame)

    def cells(self, name: str) -> list[Any]:
        """Return a column of the frame; empty without it."""
        return self.frame[name].tolist() if name in self.frame else []

    @property
    def numbers(self) -> list[int]:
        """Numbers of the rows."""
        return self.frame.index.tolist()

    @property
    def target(self) -> Int[np.ndarray, " n"] | None:
        """Class codes; None when masks decide them."""
        return self.frame["target"].to_numpy(np.int64) if "target" in self.frame else None

    @property
    def patient(self) -> Int[np.ndarray, " n"]:
        """Codes of the patients' rank in sorted order, so that they do not depend on the order of rows."""
        return np.unique(self.frame["patient"].to_numpy(), return_inverse=True)[1].astype(np.int64)

    def problem(self, at: int, what: str, remedy: str) -> Problem:
        """Return a problem of the row at this position."""
        return Problem(int(self.frame.index[at]), self.frame["name"].iloc[at], what, remedy)

    def drop(self, problems: Sequence[Problem]) -> tuple[Listing, Int[np.ndarray, " k"]]:
        """Return the listing without these rows, with the problems added, and the positions that were kept."""
        bad = self.frame.index.isin([problem.row for problem in problems])
        dropped = self.frame[bad]
        codes = dropped["target"].tolist() if "target" in dropped else [-1] * len(dropped)
        masks = dropped["mask"].tolist() if "mask" in dropped and "target" not in dropped else []
        positions = np.flatnonzero(~bad)
        return replace(
            self.take(positions),
            problems=(*self.problems, *problems),
            lost={**self.lost, **dict(zip(dropped.index.tolist(), codes, strict=True))},
            lost_masks={**self.lost_masks, **dict(zip(dropped.index.tolist(), masks, strict=False))},
        ), positions

    def take(self, positions: Int[np.ndarray, " k"]) -> Listing:
        """Return the rows at these positions."""
        columns = {name: column[positions] for name, column in self.columns.items()}
        boxes = None if self.boxes is None else self.boxes.take(positions.tolist())
        return replace(self, frame=self.frame.iloc[positions], columns=columns, boxes=boxes)


# Parts of a listing, from the rows of a table. Faults of a row are added to `problems`.


def located(table: TextTable, names: Sequence[str], find: Callable[[str], Path], problems: list[Problem]) -> list[Path]:
    """Return the files of these names; an empty path where `find` raises Unreadable."""
    paths: list[Path] = []
    for line, name in zip(table.numbers, names, strict=True):
        try:
            if absent(name):
                raise Unreadable("it names no image", "name a file")
            paths.append(find(name))
        except Unreadable as error:
            problems.append(Problem(line, name, error.what, error.remedy))
            paths.append(Path())
    return paths


def same_image(
    table: TextTable,
    images: Sequence[Path],
    codes: np.ndarray | None,
    classes: Sequence[str],
    word: str,
    names: Sequence[str],
) -> list[Problem]:
    """Return all but the first of the rows that name one image; all of them if their labels contradict each other.

    Args:
        codes: Class codes; None where masks tell them.
    """
    rows: dict[Path, list[int]] = {}
    for at, path in enumerate(images):
        if path != Path():
            rows.setdefault(path, []).append(at)
    problems: list[Problem] = []
    numbers = table.numbers
    for group in (group for group in rows.values() if len(group) > 1):
        codes_of_group = [-1 if codes is None else int(codes[at]) for at in group]
        agree = len(set(codes_of_group) - {-1}) < 2
        for place, at in enumerate(group[1:] if agree else group, start=int(agree)):
            other = (
                0
                if agree
                else next((i for i, code in enumerate(codes_of_group) if code not in (codes_of_group[place], -1)), 0)
            )
            what = f"{word} {numbers[group[other]]} names the same image"
            if not agree:
                what += contradicting(classes, codes_of_group[place], codes_of_group[other])
            remedy = "keep one of them" if agree else "keep the one that is right"
            problems.append(Problem(numbers[at], names[at], what, remedy))
    return problems


def factors_of(
    declared: Sequence[Factor], table: TextTable, names: Sequence[str], problems: list[Problem]
) -> tuple[tuple[Factor, ...], dict[str, np.ndarray]]:
    """Return factors with the levels that the table's columns of their names have, and the values."""
    read_factors: list[Factor] = []
    columns: dict[str, np.ndarray] = {}
    for factor in declared:
        wanted = FactorSpec(kind=factor.kind, unit=factor.unit, levels=factor.levels)
        column, values, wrong = factor_column(factor.name, wanted, table.column(factor.name, "data.dataset"))
        high = tuple(level for level in factor.high if level in column.levels)
        read_factors.append(replace(factor, levels=column.levels, high=high))
        columns[factor.name] = values
        problems += problems_of(table, names, wrong)
    return tuple(read_factors), columns


# Check how leaving rows out changes the classes.


def contradicting(classes: Sequence[str], here: int, there: int) -> str:
    """Addition to a message on two rows of one image whose labels differ."""
    here_named, there_named = (classes[code] if code >= 0 else "none" for code in (here, there))
    return f" under another label ('{there_named}' there, '{here_named}' here)"


def contradiction(listing: Listing, at: int, other: int) -> str:
    """Return the same for two positions of a listing; empty where masks tell the labels."""
    target = listing.target
    return "" if target is None else contradicting(listing.classes, int(target[at]), int(target[other]))


def labeled_by_masks(listing: Listing) -> Listing:
    """Return the listing with the classes of the rows left out, where masks decide the target and can be read."""
    if not listing.lost_masks:
        return listing
    labels = {row: _shows_lesion(mask, listing.meaning) for row, mask in listing.lost_masks.items()}
    return replace(listing, lost={**listing.lost, **labels})


def _shows_lesion(mask: MaskAt, meaning: LabelMeaning) -> int:
    """Return 1 for a mask with a lesion, 0 for one without, -1 where that cannot be known."""
    if mask is None:
        return 0
    if isinstance(mask, WrittenMask):
        return -1 if mask.lesion is None else int(mask.lesion)
    try:
        labels = labels_of(read_stored(read_file(mask if isinstance(mask, Path) else mask.path)), meaning)
    except Unreadable:
        return -1
    return -1 if labels.notes else int(labels.values.any())


def refuse_vanished(listing: Listing) -> None:
    """Raise DataError where all rows of a class were left out as bad, or probably were.

    The label of a row whose mask cannot be read is unknown. Where all other masks agree, `FEWEST` such rows are taken
    for the other class.
    """
    remaining, dropped = _counts_by_class(listing)
    for code in np.flatnonzero((dropped > 0) & (remaining == 0)).tolist():
        rows = {row for row, code_of_row in listing.lost.items() if code_of_row == code}
        raise DataError(
            f"{listing.where}: leaving out bad {listing.word}s would leave no image of class "
            f"'{listing.classes[code]}' ({dropped[code]:,} of {dropped[code]:,} left out): "
            f"{_usual_reason(listing, rows)}"
        )
    unknown = {row for row, code_of_row in listing.lost.items() if code_of_row < 0}
    if _alone(listing) and len(unknown) >= FEWEST:
        class_name = listing.classes[int(np.argmax(remaining))]
        raise DataError(
            f"{listing.where}: leaving out bad {listing.word}s would leave images of class '{class_name}' alone, and "
            f"the class of {len(unknown):,} {listing.word}s left out is unknown: {_usual_reason(listing, unknown)}; or "
            f"take them out of the set, if they are '{class_name}' too"
        )


def _alone(listing: Listing) -> bool:
    """Return whether rows of a single class are left."""
    return int((_counts_by_class(listing)[0] > 0).sum()) == 1


def _usual_reason(listing: Listing, rows: Collection[int]) -> str:
    """Return the most frequent problem of these rows and its remedy."""
    reasons = Counter((problem.what, problem.remedy) for problem in listing.problems if problem.row in rows)
    (what, remedy), times = reasons.most_common(1)[0]
    return f"{what} ({times:,} {listing.word}{'s' if times > 1 else ''}); {remedy}"


def unequally_lost(listing: Listing) -> tuple[str, ...]:
    """Return a sentence where the rows left out are all of one class, or unequally many of the classes; else none."""
    remaining, dropped = _counts_by_class(listing)
    unknown = sum(code < 0 for code in listing.lost.values())
    if unknown and _alone(listing):
        class_name = listing.classes[int(np.argmax(remaining))]
        of = f"{listing.word}s" if unknown > 1 else listing.word
        return (
            f"all images left are of class '{class_name}', and the class of {unknown:,} bad {of} left out is unknown",
        )
    occurs = remaining + dropped > 0
    remaining, dropped = remaining[occurs], dropped[occurs]
    of_one = dropped.sum() >= FEWEST and len(dropped) > 1 and int((dropped > 0).sum()) == 1
    if not of_one and not uneven(remaining, dropped):
        return ()
    names = [name for name, used in zip(listing.classes, occurs.tolist(), strict=True) if used]
    each = ", ".join(
        f"{count_dropped:,} of {count_dropped + count_remaining:,} '{name}'"
        for name, count_dropped, count_remaining in zip(names, dropped.tolist(), remaining.tolist(), strict=True)
    )
    how = "are all of one class" if of_one else "are not spread evenly over the classes"
    return (f"the {int(dropped.sum()):,} bad {listing.word}s left out {how} ({each}): the rest is a biased sample",)


def _counts_by_class(listing: Listing) -> tuple[np.ndarray, np.ndarray]:
    """Rows kept and left out of each class, int64 [classes]; those without a label are in neither."""
    size = len(listing.classes)
    target = np.empty(0, dtype=np.int64) if listing.target is None else listing.target
    dropped = np.array(list(listing.lost.values()), dtype=np.int64)
    return np.bincount(target[target >= 0], minlength=size), np.bincount(dropped[dropped >= 0], minlength=size)
