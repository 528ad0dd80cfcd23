"""Columns that say what the target says: other statements of the same diagnosis, which are no cues."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from assay.data.files.one_hot import are_complements, class_cells, class_columns, indicators
from assay.data.files.roles import TARGETS, words_of
from assay.data.files.table import NEGATIVES, TextTable, absences, absent, fold, spellings

_MOST = 100
"""A column with more values is none of classes."""
_CLASSES = frozenset({
    "normal", "benign", "healthy", "unaffected", "well", "negative", "malignant", "malignancy", "abnormal",
    "positive", "diseased", "affected", "ill", "sick", "cancer", "cancerous", "tumor", "tumour", "mel", "nv", "bcc",
    "ak", "akiec", "bkl", "df", "vasc", "scc", "sk", "melanoma", "nevus", "naevus", "nevi", "naevi", "mole",
    "keratosis", "keratoses", "dermatofibroma", "carcinoma", "adenocarcinoma", "sarcoma", "lymphoma", "adenoma",
    "angioma", "hemangioma", "lentigo", "pneumonia", "covid", "tuberculosis", "tb", "pneumothorax", "effusion",
    "edema", "cardiomegaly", "atelectasis", "consolidation", "emphysema", "fibrosis", "infiltration", "infiltrate",
    "opacity", "nodule", "mass", "hernia", "fracture", "cnv", "dme", "drusen", "amd", "glaucoma", "cataract",
    "retinopathy", "myopia", "glioma", "meningioma", "dementia", "alzheimer", "mci", "hemorrhage", "ischemia",
    "stroke", "polyp", "ulcer", "colitis", "esophagitis", "cyst", "stone", "dcis", "luad", "lusc",
})  # fmt: skip
"""Words of the names of classes: usual words, diagnoses and their abbreviations in public sets."""
OF_CLASSES = frozenset({*TARGETS, *NEGATIVES}) | {
    "id",
    "code",
    "name",
    "text",
    "index",
    "number",
    "binary",
    "ground",
    "final",
    "main",
    "primary",
    "clinical",
    "true",
    "groundtruth",
    "",
}
"""Words of the names of columns of classes. One with another word, as `diagnosis_type` or `label_source`, is a cue."""
_IN_NAMES = (
    _CLASSES
    | OF_CLASSES
    | {
        "no",
        "non",
        "not",
        "unknown",
        "unk",
        "cell",
        "basal",
        "squamous",
        "actinic",
        "seborrheic",
        "melanocytic",
        "vascular",
        "bacterial",
        "viral",
        "pleural",
    }
)
"""Words of the names of one-hot columns that are classes."""


def restated(read: TextTable, target: str) -> Mapping[str, str]:
    """Return the columns that say what the target says -> how they do, for readers.

    They are one-hot columns, and columns that are named like targets. Each of their classes is of one class of the
    target, or each class of the target of one of theirs. Other columns of which this is true, such as a site that
    predicts the target without an error, are cues; so are one-hot columns that are not named like classes.
    """
    if target not in read.header:
        return {}
    codes = indicators(read)
    says = dict.fromkeys(_other_classes(read, codes, target), f"one-hot, says what {target} says")
    for used in ({target}, {target, *says}):
        for group in class_columns(read.header, {name: codes[name] for name in codes if name not in used}):
            pairs = pairs_of_classes(read, class_cells(group, codes), target)
            if (how := _how(pairs, target)) and _are_classes(group, pairs):
                says |= dict.fromkeys((name for name in group if name not in says), f"one-hot, {how}")
    for name in read.header:
        words = bare_words(name)
        is_named = name not in (target, *says) and words & {*TARGETS} and words <= OF_CLASSES
        if is_named and read.frame[name].nunique() <= min(_MOST, len(read) / 2):
            how = _how(pairs_of_classes(read, read.column(name, "data"), target), target)
            says |= {name: how} if how else {}
    return says


def pairs_of_classes(read: TextTable, classes: Sequence[str], target: str) -> set[tuple[str, str]]:
    """Return which classes of a column are in a row with which of the target, in the spellings that stand for them.

    There are none where most rows with a class of the target have none of the column.
    """
    frame = pd.DataFrame({"column": classes, "target": read.column(target, "data")}, dtype=object)
    filled = {name: ~np.array(absences(frame[name].tolist())) for name in frame}
    if 2 * np.count_nonzero(filled["column"] & filled["target"]) <= np.count_nonzero(filled["target"]):
        return set()
    frame = frame.drop_duplicates()
    columns = [frame[name].tolist() for name in frame]
    spelled = [spellings(cells) for cells in columns]
    rows = zip(*columns, strict=True)
    return {(spelled[0][cell], spelled[1][label]) for cell, label in rows if not (absent(cell) or absent(label))}


def _how(pairs: set[tuple[str, str]], target: str) -> str:
    """Return how a column says what the target says; empty where it does not."""
    theirs, ours = (len(set(each)) for each in zip(*pairs, strict=True)) if pairs else (0, 0)
    if min(theirs, ours) < 2 or len(pairs) > max(theirs, ours):
        return ""
    classes = "" if theirs == ours else " in finer classes" if theirs > ours else " in coarser classes"
    return f"says what {target} says{classes}"


def _other_classes(read: TextTable, codes: Mapping[str, np.ndarray], target: str) -> Sequence[str]:
    """Return the other classes of a target that is one of several one-hot columns.

    A source of all images of another class completes the target too. Of a single other column, and of columns that are
    one-hot without the target, the names must therefore show that they are classes.
    """
    group = next((group for group in class_columns(read.header, codes) if target in group), ())
    others = [name for name in group if name != target]
    alone = class_columns([name for name in read.header if name != target], codes)
    if len(others) > 1 and not any(name in names for names in alone for name in others):
        return others
    return others if group and (_shared_words(group) or _are_classes(group) or are_complements(group)) else ()


def _are_classes(group: Sequence[str], pairs: Collection[tuple[str, str]] = ()) -> bool:
    """Return whether one-hot columns are named like classes.

    They are called as those of the target, the word that all share is one of targets, as in `class_A` and `class_B`, or
    nearly all are named as diagnoses or classes.

    Args:
        group: The columns.
        pairs: Which of them are in a row with which class of the target.
    """
    words = [bare_words(name) for name in group]
    classes = sum(bool(each & _CLASSES) and each <= _IN_NAMES for each in words)
    others = sum(not each <= _IN_NAMES for each in words)
    stem = _shared_words(group)
    repeated = bool(pairs) and all(fold(name) == fold(label) for name, label in pairs)
    return repeated or classes >= max(3 * others, 1) or bool(stem & {*TARGETS} and stem <= OF_CLASSES)


def _shared_words(group: Sequence[str]) -> set[str]:
    """Return the words that the names of all columns share."""
    words = [bare_words(name) for name in group]
    return {word for word in words[0] if word and all(word in each for each in words)}


def bare_words(name: str) -> set[str]:
    """Return the words of a column's name, without digits at their end, in the singular where it is a word of targets.

    A single letter keeps its digits: `y1` and `y2` are coordinates.
    """
    return {_singular(re.sub("(?<=[a-z]{2})[0-9]+$|^[0-9]+$", "", word)) for word in words_of(name)}


def _singular(word: str) -> str:
    """Return a word without the ending of a plural, where it is then one of the names of classes."""
    shorter = (word.removesuffix(ending) for ending in ("s", "es") if word.endswith(ending) and len(word) > 3)
    return word if word in _IN_NAMES else next((each for each in shorter if each in _IN_NAMES), word)
