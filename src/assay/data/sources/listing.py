"""What every source finds before a pixel is decoded: one entry per image, and the rows that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from assay.core.types import Factor
from assay.data.cards import KnownSet
from assay.data.sources.boxes import Boxes
from assay.data.sources.masking import MaskAt
from assay.data.sources.masks import ONE, Meaning
from assay.data.sources.problems import Problem


@dataclass(frozen=True, slots=True)
class Listing:
    """The usable rows of a source, aligned.

    where: how messages call the table or folder. word: what a row is called there. numbers: row numbers as the file
    shows them. names: image names for messages. target: int64 [n] into `classes`; None when the masks decide it (any
    lesion or none). meaning: of the masks' values. facts: half-sentences for the card, such as how the classes were
    found. warnings: what a user should know. about: what is known of a public set; without it the title and the header
    tell whether the set is a known one. boxes: of lesions, where a table of them is named.
    """

    title: str
    where: str
    word: str
    numbers: tuple[int, ...]
    names: tuple[str, ...]
    images: tuple[Path, ...]
    masks: tuple[MaskAt, ...] | None
    target: np.ndarray | None
    classes: tuple[str, ...]
    patient: np.ndarray
    factors: tuple[Factor, ...] = ()
    columns: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    problems: tuple[Problem, ...] = ()
    facts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    about: KnownSet | None = None
    meaning: Meaning = ONE
    boxes: Boxes | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def problem(self, at: int, what: str, remedy: str) -> Problem:
        """A problem of the row at this position."""
        return Problem(self.numbers[at], self.names[at], what, remedy)

    def drop(self, problems: list[Problem]) -> tuple[Listing, list[int]]:
        """The listing without these rows, with the problems added, and the positions that were kept."""
        bad = {problem.row for problem in problems}
        kept = [at for at, number in enumerate(self.numbers) if number not in bad]
        return replace(self.take(kept), problems=(*self.problems, *problems)), kept

    def take(self, kept: list[int]) -> Listing:
        """The rows at these positions."""
        index = np.array(kept, dtype=np.int64)
        return replace(
            self,
            numbers=tuple(self.numbers[at] for at in kept),
            names=tuple(self.names[at] for at in kept),
            images=tuple(self.images[at] for at in kept) if self.images else (),
            masks=None if self.masks is None else tuple(self.masks[at] for at in kept),
            target=None if self.target is None else self.target[index],
            patient=self.patient[index],
            columns={name: column[index] for name, column in self.columns.items()},
            boxes=None if self.boxes is None else self.boxes.take(kept),
        )


OWN_PATIENT = (
    "no patient column is named: every image counts as a patient of its own, so a patient may be on both sides"
)
