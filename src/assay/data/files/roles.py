"""Guess the roles of a table's columns: target, patient, score and others, by their names and values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from assay.data.files.table import Table, absent, number

TARGETS = (
    "target", "label", "class", "klasse", "diagnosis", "diagnose", "dx", "y", "outcome", "disease", "finding", "befund",
    "pathology", "malignant", "cancer", "abnormal", "positive", "grade", "severity", "lesion",
)  # fmt: skip
"""Words of the names of targets, the surest first."""
_ATTRIBUTES = frozenset({
    "sex", "gender", "geschlecht", "age", "alter", "race", "ethnicity", "view", "side", "seite", "laterality", "eye",
    "site", "center", "hospital", "klinik", "clinic", "ward", "scanner", "device", "manufacturer", "station",
    "centre",  # codespell:ignore centre
    "modality", "camera", "localization", "year", "model", "kvp",
})  # fmt: skip
"""Words of the names of what patients and images are: such a column is a target only where it is named."""
_UNITS = frozenset({
    "lesion", "wound", "nodule", "polyp", "biopsy", "exam", "examination", "series", "accession", "visit", "scan",
    "slide", "specimen",
})  # fmt: skip
_IDS = frozenset({"id", "uid", "no", "nr", "number", "nummer", "code"})
"""Words of the names of what has several images, where no column names patients: one of each in `lesion_id`."""
_PATIENT_STEMS = ("patient", "subject", "participant")
_PATIENT_WORDS = frozenset(
    {"pid", "pat", "mrn", "person", "case", "study", "individual", "eid", "donor", "fall", "fallnummer"}
)
"""Words of a column's name that speak of patients, as a part of it and as a whole word."""
SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing", "split", "fold", "set"})
"""Names of parts and of their columns."""
MOST_CLASSES = 10
"""A column with more values is not guessed to be a target."""
_SCORES = ("score", "probability", "prob", "prediction", "predicted", "pred", "logit", "logits", "output", "risk")
"""Words of the names of scores, the surest first."""
_SEEDS = ("seed", "run", "repeat", "repetition", "replicate")
_IMAGES = ("image", "img", "filename", "file", "path", "dateiname", "datei", "bild")


def words_of(name: str) -> set[str]:
    """Return the words of a column's name, in lower case."""
    return set(re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))


def called_patient(column: str) -> bool:
    """Return whether the name of a column speaks of patients."""
    parts = set(re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column).lower()))
    return not parts.isdisjoint(_PATIENT_WORDS) or any(word in column.lower() for word in _PATIENT_STEMS)


def called_unit(column: str) -> bool:
    """Return whether the name of a column is that of ids of lesions, examinations or series, such as `lesion_id`."""
    words = words_of(column)
    return bool(words & _UNITS and words & _IDS)


def sure_target(read: Table, targets: Sequence[str]) -> str:
    """Return the column that surely is the target: called like one, or else the only one that may be, or that is 0/1.

    What patients and images are, such as sex or site, is a target only where it is named.
    """
    called = [name for name in targets if rank_of(name) < len(TARGETS)]
    others = [name for name in targets if not words_of(name) & _ATTRIBUTES]
    codes = [name for name in others if set(read.column(name, "data")) <= {"0", "1", ""}]
    alone = (some[0] for some in (others, codes) if len(some) == 1)
    exact = "target" if "target" in read.header else ""
    return exact or next(chain(called, alone), "")


def patients_of(read: Table, taken: set[str]) -> Iterator[str]:
    """Yield columns that are called as patients are, those that repeat first."""
    once: list[str] = []
    for name in filter(called_patient, read.header):
        cells = [cell for cell in read.column(name, "data") if not absent(cell)]
        if name not in taken and 1 < len(set(cells)) < len(cells):
            yield name
        elif name not in taken and len(cells) == len(set(cells)) > 1:
            once.append(name)
    yield from once


def units_of(read: Table, taken: set[str]) -> Iterator[str]:
    """Yield columns of ids of what has several images, such as `lesion_id`."""
    for name in read.header:
        cells = [cell for cell in read.column(name, "data") if not absent(cell)]
        if name not in taken and called_unit(name) and MOST_CLASSES < len(set(cells)) < len(cells):
            yield name


def targets_of(read: Table, names: Sequence[str]) -> Sequence[str]:
    """Return columns of a few values, each on two rows and more; those called as targets are first."""
    few: list[str] = []
    for name in names:
        cells = [cell for cell in read.column(name, "data") if not absent(cell)]
        values = set(cells)
        if 1 < len(values) <= MOST_CLASSES and 2 * len(values) <= len(cells) and not words_of(name) & SPLITS:
            few.append(name)
    return sorted(few, key=rank_of)


def rank_of(name: str) -> int:
    """Return the place of the surest word of a target in a name; past the last without one."""
    words = words_of(name)
    return next((at for at, word in enumerate(TARGETS) if word in words), len(TARGETS))


def roles_of(read: Table, columns: Sequence[str] = (), **named: str) -> tuple[dict[str, str], str]:
    """Return role -> column of a table of predictions, and what was guessed.

    A column that is named is taken as it is. Else it is the one of the role's own name, else one that is called like
    it; a role that no column has keeps its own name.

    Args:
        read: The table.
        columns: Columns that have another role.
        named: Role (score, target, patient, image, seed) -> its column, or empty.

    Raises:
        SpecError: A column that is named is missing.
    """
    for role, name in named.items():
        if name:
            read.column(name, f"--{role}")
    found = {role: name or (role if role in read.header else "") for role, name in named.items()}

    def left() -> list[str]:
        return [name for name in read.header if name not in {*found.values(), *columns}]

    def like(words: Sequence[str], numbers: bool = False) -> str:
        names = [name for name in left() if not numbers or _all_numbers(read, name)]
        return next((name for word in words for name in names if word in words_of(name)), "")

    ways = {
        "score": lambda: like(_SCORES, numbers=True),
        "image": lambda: like(_IMAGES),
        "seed": lambda: like(_SEEDS),
        "patient": lambda: next(patients_of(read, {*found.values(), *columns}), ""),
        "target": lambda: sure_target(read, targets_of(read, left())),
    }
    for role in [one for one in ways if one in found]:  # the score before the target, which may have as few values
        found[role] = found[role] or ways[role]()
    guessed = {role: name for role, name in found.items() if name and not named[role]}
    line = ", ".join(f"{role} {name}" for role, name in guessed.items())
    return {role: name or role for role, name in found.items()}, line if {*guessed} != {*guessed.values()} else ""


def _all_numbers(read: Table, name: str) -> bool:
    return all(number(cell, read.comma) is not None for cell in read.column(name, "data"))
