"""Doubts about columns of patients: one id for several people, and several ids for one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from assay.data.files.ages import ages_among
from assay.data.files.doubts import AGES, OLDEST, OTHER_UNITS, old_ages
from assay.data.files.joins import same_id
from assay.data.files.kinds import doubtful
from assay.data.files.roles import MOST_CLASSES, SPLITS, TRAINING, words_of
from assay.data.files.table import TextTable, absent, fold, number, spellings

_ROUNDED = re.compile(r"[0-9](\.[0-9]+)?[eE]\+[0-9]+$")
_DIGITS = 15
"""Digits that a number has in a spreadsheet: it writes zeros for all further ones."""
_BY_CHANCE = 6
"""Zeros behind these digits, over all ids, that are no chance."""


def doubtful_patients(names: Sequence[object], lines: Sequence[int], word: str) -> dict[str, str]:
    """Return the cautions that names of patients are rounded, or differ in what tables change or in a side.

    Their lines stand for them: no name of a patient reaches a page.

    Args:
        names: The patient of each row.
        lines: The number of each row.
        word: What a row is called.
    """
    first = dict(zip(map(str, reversed(names)), reversed(lines), strict=True))
    ids = {name: same_id(name) for name in dict.fromkeys(map(str, names))}
    counts = Counter(ids.values())
    cautions: dict[str, str] = {}
    if several := [name for name, same in ids.items() if counts[same] > 1] if len(counts) < len(ids) else []:
        second = next(name for name in several[1:] if ids[name] == ids[several[0]])
        cautions["patients alike"] = (
            f"{len(several):,} patients differ from another in zeros before, .0 after, case or blanks alone, "
            f"first in {word} {first[several[0]]} and {word} {first[second]}: each counts as one of its own"
        )
    if sides := _of_two_sides(ids):
        cautions["patients by side"] = (
            f"{2 * len(sides):,} patients differ in a side at their end alone, such as L and R, first in {word} "
            f"{first[sides[0][0]]} and {word} {first[sides[0][1]]}: if these are sides of one patient, give both the "
            "same id"
        )
    if visits := [] if sides else _of_visits(ids):
        cautions["patients by visit"] = (
            f"{len(visits):,} patients differ from another in a counted end alone, such as _1 and _2, first in {word} "
            f"{first[visits[0]]} and {word} {first[visits[1]]}: if these are visits or images of one patient, give all "
            "the same id"
        )
    if rounded := [line for name, line in first.items() if _ROUNDED.match(name)]:
        cautions["patients rounded"] = (
            f"{len(rounded):,} patients have numbers as a spreadsheet rounds them, such as 1.2E+11, first in {word} "
            f"{min(rounded)}: several may have become one"
        )
    elif cut := _ids_with_zeros(first):
        cautions["patients rounded"] = (
            f"all {len(cut):,} patients with over {_DIGITS} digits end in zeros behind these, as a spreadsheet writes "
            f"them, first in {word} {min(first[name] for name in cut)}: several may have become one; export ids as text"
        )
    return cautions


def _ids_with_zeros(names: Iterable[str]) -> list[str]:
    """Return the ids of more digits than a spreadsheet keeps, if zeros are behind these in all of them."""
    long = [name for name in names if name.isdecimal() and len(name.lstrip("0")) > _DIGITS]
    behind = [name.lstrip("0")[_DIGITS:] for name in long]
    are_filled = len("".join(behind)) >= _BY_CHANCE and not any(zeros.strip("0") for zeros in behind)
    return long if len(long) > 1 and are_filled else []


_SIDE = re.compile(r"(.*[0-9])[ _.-]*(l|r|left|right|od|os|re|le|li|lt|rt)")
_SIDES = ({"l", "r"}, {"left", "right"}, {"od", "os"}, {"re", "le"}, {"re", "li"}, {"lt", "rt"})
"""Endings of the ids of two eyes, breasts or knees of one patient."""
_SHARE_OF_SIDES = 0.2
"""Share of the patients from which such endings are no chance."""


def _of_two_sides(names: Collection[str]) -> list[tuple[str, str]]:
    """Return pairs of patients that differ in a side alone; none where these are few."""
    names_of: dict[str, dict[str, str]] = {}
    for name in names:
        if match := _SIDE.fullmatch(fold(name)):
            names_of.setdefault(match[1], {})[match[2]] = name
    both = [[*sides.values()] for sides in names_of.values() if {*sides} in _SIDES]
    pairs = [(first, second) for first, second in both]
    return pairs if len(pairs) > 1 and 2 * len(pairs) >= _SHARE_OF_SIDES * len(names) else []


_VISIT = re.compile(
    r"(.+?)[ _.-]{1,3}(?:v|visit|ses|session|t|tp|scan|exam|study|s|img|image|fu)?[ _.-]?([0-9]{1,2}|pre|post|baseline)"
)
_LONGEST = 100
"""Letters of a longer id say nothing of visits."""
_MOST_VISITS, _FEWEST_STEMS, _SHARE_OF_VISITS = 5, 5, 0.5
"""Different ends of ids, patients with several of them, and the share of ids that have such ends with others."""


def _of_visits(names: Collection[str]) -> list[str]:
    """Return the ids that differ in a counted end alone; none where these are few, or ends rather count patients."""
    ends: dict[str, dict[str, str]] = {}
    for name in names:
        if len(name) <= _LONGEST and (match := _VISIT.fullmatch(fold(name))):
            ends.setdefault(match[1], {})[match[2]] = name
    several = [each for each in ends.values() if len(each) > 1]
    different = {end for each in several for end in each}
    visits = [name for each in several for name in each.values()]
    are_few = len(several) < _FEWEST_STEMS or len(visits) < _SHARE_OF_VISITS * len(names)
    return [] if are_few or len(different) > _MOST_VISITS or len(several) <= len(different) else visits


_PLACES = frozenset({"site", "center", "hospital", "clinic", "klinik", "cohort", "dataset", "source", "country"})
"""Words of the names of columns of places that number their patients, each for itself."""
_BODY = frozenset({
    "anatom", "anatomic", "anatomical", "anatomy", "body", "lesion", "tumor", "tumour", "biopsy", "primary", "organ",
    "metastasis", "fracture", "injury", "infection", "injection", "implant", "surgical",
    "torso", "trunk", "back", "head", "neck", "face", "scalp", "ear", "arm", "leg", "hand", "foot", "extremity",
    "extremities", "limb", "chest", "abdomen", "pelvis", "breast", "lung", "lobe", "liver", "colon", "rectum", "cecum",
    "kidney", "knee", "hip", "spine", "shoulder", "palms", "soles", "oral", "genital", "left", "right",
})  # fmt: skip
"""Words of names of sites in the body, and of the columns of these: a patient has several of them."""
_NUMBERED = re.compile(r"[a-z]{0,8}[ _-]?0*([0-9]{1,5})")
_SHARED = 0.5
"""Share of the patients of the smallest place that another place has as well, by their numbers."""


def patients_apart(table: TextTable, patient: str, image: str = "", *, scored: bool = False) -> dict[str, str]:
    """Return the cautions that one id seems to stand for several patients, as rows of `provenance`.

    Args:
        table: The table.
        patient: The column of patients.
        image: The column of images, whose folders may be named after patients; empty without one.
        scored: Whether rows are predictions, whose patients are to be in one fold each, by whatever ids.
    """
    names = [name for name in table.header if name != patient]
    by_site = next(filter(None, (_renumbered(table, patient, name, scored) for name in names)), "")
    contradictions = [text for name in names if (text := _contradictory(table, patient, name))]
    contradictions += [text] if image in names and (text := _in_other_folders(table, patient, image)) else []
    cautions = {"patients by site": by_site, "patients contradictory": "; ".join(contradictions)}
    return {key: text for key, text in cautions.items() if text}


def _renumbered(table: TextTable, patient: str, name: str, scored: bool) -> str:
    """Return the sentence that patient numbers begin anew in each value of a column of sites or folds; else empty.

    Ids such as 7 or P007 that count the patients are in several sites of most patients. Long ones do not repeat by
    chance.
    """
    is_of_parts = bool(words_of(name) & SPLITS)
    if not (is_of_parts or words_of(name) & _PLACES):
        return ""
    pairs = {*zip(table.column(patient, "data"), table.column(name, "data"), strict=True)}
    pairs = {(who, place) for who, place in pairs if not (absent(who) or absent(place))}
    sizes, counts = Counter(place for _, place in pairs), Counter(who for who, _ in pairs)
    of_body = sum(not words_of(place).isdisjoint(_BODY) for place in sizes)
    if words_of(name) & _BODY or 2 * of_body > len(sizes):
        return ""
    several = sum(count > 1 for count in counts.values())
    numbers = [int(match[1]) for who in counts if (match := _NUMBERED.fullmatch(fold(who)))]
    are_counted = 0 < len(numbers) == len(counts) and max(numbers) <= 2 * len(numbers)
    if not 1 < len(sizes) <= MOST_CLASSES or not several:
        return ""
    where = f"{several:,} of {len(counts):,} patients are in several values of {name}"
    ids = f"put {name} into the ids, such as {'1' if is_of_parts else 'A'}-7"
    is_of_training = not {*map(fold, sizes)}.isdisjoint(TRAINING)  # such parts divide the patients, if they are shared
    if are_counted and not is_of_training and several >= max(2, _SHARED * min(sizes.values())):
        return f"{where}, and ids are plain numbers: if each counts its own patients, {ids}"
    if is_of_parts and scored:
        return f"{where}: if networks were trained on the other parts, they know these patients"
    return ""


_FEWEST_FOLDERS, _NAMED = 5, 0.8
"""Patients that folders are named after, and the share of all patients."""


def _in_other_folders(table: TextTable, patient: str, image: str) -> str:
    """Return the sentence that images lie in folders that are named after other patients; empty without."""
    people = table.column(patient, "data")
    paths = [cell.replace("\\", "/").split("/")[:-1] for cell in table.column(image, "data")]
    for level in range(max(map(len, paths), default=0)):
        folders = [path[level] if level < len(path) else "" for path in paths]
        named = {folder for folder in {*folders} & {*people} if not absent(folder)}
        if len(named) < max(_FEWEST_FOLDERS, _NAMED * len({*people})):
            continue
        rows = zip(table.numbers, folders, people, strict=True)
        if other := [line for line, folder, who in rows if folder in named and not absent(who) and folder != who]:
            return (
                f"{len(other):,} images lie in the folder of another patient than {patient} says, the first in "
                f"{table.counted[0] or 'line'} {other[0]}: correct one of them"
            )
    return ""


_CONSTANT = frozenset({"sex", "gender", "geschlecht", "birthdate", "dob", "birthday", "geburtsdatum"})
"""Words of the names of what does not change in a patient."""
_OF_BIRTH = frozenset({"birth", "date", "day", "year", "of", "patient"})
"""Words of names with `birth` that are of its date: weights and orders of birth may be of several children."""
_LIFETIME, _FEWEST_APART = 25, 2
"""Years between the ages of one patient that are no follow-up, and patients of whom that is no slip."""


def _contradictory(table: TextTable, patient: str, name: str) -> str:
    """Return the sentence that patients have several values of what does not change, such as sex; empty without."""
    words = words_of(name)
    is_age = bool(words & AGES) and not words & OTHER_UNITS
    is_constant = bool(words & _CONSTANT) or ("birth" in words and words <= _OF_BIRTH)
    if not (is_age or is_constant) or words & {"at", "type"}:
        return ""
    cells = table.column(name, "data")
    spelled = spellings(cells)
    unclear = {*doubtful(spelled.values()), *(old_ages(name, cells, table.comma) if is_age else ())}
    ages = ages_among(cells)
    values_of: dict[str, set[str | float]] = {}
    first: dict[str, int] = {}
    for who, cell, line in zip(table.column(patient, "data"), cells, table.numbers, strict=True):
        value = spelled.get(cell)
        if value is None or value in unclear or absent(who):
            continue
        age = ages.get(cell, number(value, table.comma)) if is_age else value
        if age is not None:
            values_of.setdefault(who, set()).add(age)
            first.setdefault(who, line)
    if len(values_of) == len(table):
        return ""
    if is_age:
        ages_of = {who: [*map(float, values)] for who, values in values_of.items() if len(values) > 1}
        if max((max(ages) for ages in ages_of.values()), default=0.0) > OLDEST:  # in months or days
            return ""
        contradictory = [who for who, values in ages_of.items() if max(values) - min(values) > _LIFETIME]
    else:
        contradictory = [who for who, values in values_of.items() if len(values) > 1]
    if len(contradictory) < (_FEWEST_APART if is_age else 1):
        return ""
    what = f"ages over {_LIFETIME} years apart in {name}" if is_age else f"several values of {name}"
    return (
        f"{len(contradictory):,} of {len(values_of):,} patients have {what}, the first from "
        f"{table.counted[0] or 'line'} {first[contradictory[0]]} on: does an id stand for several people, as where "
        "each site or fold counts its own?"
    )
