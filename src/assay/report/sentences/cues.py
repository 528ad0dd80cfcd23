"""Sentences on networks that are held against a simple cue."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from assay.report.sentences.reasons import cue_words
from assay.stats.format import number, with_interval
from assay.stats.rows import Row, numeric
from assay.store.data_tables import CONTENT_CUES

_MAY_BE_FINDING = "The cue may be the finding itself, and then it is no shortcut."
_COMPARE_IMAGES = "Compare the images with most and least of it, and its pixels with masks of the finding."
_MAY_BE_TARGET = "The column may be the target in other words, and then it is no shortcut."
"""What a reader must decide on a cue of images, or on a column that tells the classes apart, since no number does."""
_APART = 0.995
"""AUROC from which a column tells the classes apart."""
_ADDED = {
    "beyond": ("they carry information beyond this cue", "it carries information beyond this cue"),
    "not-shown": ("no information beyond this cue was shown",) * 2,
    "below": ("their AUROC is below that of this cue", "its AUROC is below that of this cue"),
}
"""Verdict on the networks of a recipe, and on a model, in words."""


def may_be_no_shortcut(row: Row, auroc: float) -> str:
    """Return that a cue may be the finding, or a column the target; empty of a cue that can be neither.

    Args:
        row: The cue, with its kind and name.
        auroc: Its AUROC for the target.

    Examples:
        >>> may_be_no_shortcut({"kind": "baseline", "name": CONTENT_CUES[0]}, 0.9)
        'The cue may be the finding itself, and then it is no shortcut.'
        >>> may_be_no_shortcut({"kind": "image", "name": CONTENT_CUES[1]}, 0.9).endswith("masks of the finding.")
        True
    """
    if row["kind"] in ("column", "factor"):
        return _MAY_BE_TARGET if auroc >= _APART else ""
    if row["name"] not in CONTENT_CUES:
        return ""
    return {"image": f"{_MAY_BE_FINDING} {_COMPARE_IMAGES}", "baseline": _MAY_BE_FINDING}.get(row["kind"], "")


def best_added(rows: Sequence[Row]) -> Row | None:
    """Return the row of the best simple cue in the first test environment; None where no network is known.

    Args:
        rows: The table `added`.
    """
    known = [row for row in rows if not math.isnan(numeric(row, "network"))]
    there = (row for row in known if row["environment"] == known[0]["environment"])
    return max(there, key=lambda row: numeric(row, "cue"), default=None)


def added_words(rows: Sequence[Row], inside: Callable[[str], str] = str, cues: Sequence[Row] = ()) -> str:
    """Return the networks' AUROC, the cue with its own, and the verdict; of the first test environment.

    Recipes that differ in their verdict are counted. Empty without rows.

    Args:
        rows: The table `added`.
        inside: Gives ` in ` an environment in words.
        cues: The table `shortcuts`, where a baseline has another AUROC, computed within the folds of its fit.
    """
    best = best_added(rows)
    if best is None:
        return ""
    rows = [row for row in rows if row["environment"] == best["environment"] and row["network"] == row["network"]]
    values = sorted(numeric(row, "network") for row in rows)
    ends = " to ".join(dict.fromkeys(number(value) for value in (values[0], values[-1])))
    who = "networks" if best["recipe"] else "the model"
    verdicts = [row["verdict"] for row in rows]
    if len(set(verdicts)) == 1:
        within = with_interval(numeric(best, "value"), numeric(best, "low"), numeric(best, "high"))
        rest = number(numeric(best, "rest"))
        alike = f": among images with similar values of it, AUROC is {within}, and that of the cue {rest}"
        alike = "" if math.isnan(numeric(best, "value")) else alike
        added_text = _ADDED[verdicts[0]][not best["recipe"]] + alike
    else:
        added_text = f"{verdicts.count('beyond')} of {len(rows)} recipes carry information beyond this cue"
    cue = cue_words(best["kind"], best["name"])
    alone = number(numeric(best, "cue"))
    same = (row for row in cues if best["kind"] == "baseline" and row["name"] == best["name"])
    by_fold = next((number(numeric(row, "value")) for row in same if row["of"] == best["of"]), alone)
    other = f" ({by_fold} within the folds of its fit)" if by_fold != alone else ""
    if numeric(best, "cue") <= 0.5 and {*verdicts} == {"beyond"}:
        values = f"has AUROC {alone}{inside(best['environment'])}, and {who} {ends}"
        return f"No simple cue clearly predicts the target: the best, {cue}, {values}."
    reached = f"reaches AUROC {alone}{other}{inside(best['environment'])}, and {who} {ends}"
    return f"The best simple cue, {cue}, {reached}. {added_text[:1].upper()}{added_text[1:]}."
