"""Check the effect of skipped rows on the classes of a set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from scipy.stats import chi2_contingency

from assay.core.errors import DataError
from assay.data.files.decode import Meaning, labels_of, read_file
from assay.data.files.masks import Listing, MaskAt
from assay.data.files.outlines import Drawn
from assay.data.files.readers import read_stored
from assay.data.files.table import Table, Unreadable, absent
from assay.spec.schema import DataSpec

FEWEST = 5
"""With fewer rows left out nothing is said of their classes."""
UNEQUAL = 0.01
"""The p-value under which the shares left out of each class count as unequal."""


def contradicting(classes: Sequence[str], here: int, there: int) -> str:
    """Addition to a message on two rows of one image whose labels differ."""
    here_named, there_named = (classes[code] if code >= 0 else "none" for code in (here, there))
    return f" under another label ('{there_named}' there, '{here_named}' here)"


def contradiction(listing: Listing, at: int, other: int) -> str:
    """Return the same for two positions of a listing; empty where masks tell the labels."""
    if listing.target is None:
        return ""
    return contradicting(listing.classes, int(listing.target[at]), int(listing.target[other]))


def torn_labels(table: Table, spec: DataSpec) -> dict[int, str]:
    """Return the label of each line with too few or too many cells, empty where it cannot be read.

    A cell at the label's place, counted from either end of the line, is the label if other rows have it. A value that
    only such lines have is a class of its own if two of them agree on it.
    """
    known = set(table.column(spec.target, "data.target"))
    found: dict[int, list[str]] = {}
    for line, cell in table.frame[spec.target][table.torn].items():
        found.setdefault(cast(int, line), []).extend([] if absent(cell) else [cell])
    unseen = Counter(cell for cells in found.values() if known.isdisjoint(cells) for cell in set(cells))
    both_sides = spec.positive and len({cell in spec.positive for cell in known if not absent(cell)}) > 1
    least = 1 if len(known) < 2 else 2
    labels: dict[int, str] = {}
    for line, cells in found.items():
        labels[line] = next((cell for cell in cells if cell in known), "")
        if not labels[line] and cells and not both_sides:
            likely = max(cells, key=lambda cell: unseen[cell])
            labels[line] = likely if unseen[likely] >= least else ""
    return labels


def labeled_by_masks(listing: Listing) -> Listing:
    """Return the listing with the classes of the rows left out, where masks decide the target and can be read."""
    if not listing.lost_masks:
        return listing
    labels = {row: _shows_lesion(mask, listing.meaning) for row, mask in listing.lost_masks.items()}
    return replace(listing, lost={**listing.lost, **labels})


def _shows_lesion(mask: MaskAt, meaning: Meaning) -> int:
    """Return 1 for a mask with a lesion, 0 for one without, -1 where that cannot be known."""
    if mask is None:
        return 0
    if isinstance(mask, Drawn):
        return -1 if mask.lesion is None else int(mask.lesion)
    try:
        labels = labels_of(read_stored(read_file(mask)), meaning)
    except Unreadable:
        return -1
    return -1 if labels.notes else int(labels.values.any())


def refuse_vanished(listing: Listing) -> None:
    """Raise DataError where all rows of a class were left out as bad, or probably were.

    The label of a row whose mask cannot be read is unknown. Where all other masks agree, `FEWEST` such rows are taken
    for the other class.
    """
    kept, lost = _counts(listing)
    for code in np.flatnonzero((lost > 0) & (kept == 0)).tolist():
        rows = {row for row, found in listing.lost.items() if found == code}
        raise DataError(
            f"{listing.where}: leaving out bad {listing.word}s would leave no image of class "
            f"'{listing.classes[code]}' ({lost[code]:,} of {lost[code]:,} left out): {_usual_reason(listing, rows)}"
        )
    unknown = {row for row, found in listing.lost.items() if found < 0}
    if _alone(listing) and len(unknown) >= FEWEST:
        one = listing.classes[int(np.argmax(kept))]
        raise DataError(
            f"{listing.where}: leaving out bad {listing.word}s would leave images of class '{one}' alone, and the "
            f"class of {len(unknown):,} {listing.word}s left out is unknown: {_usual_reason(listing, unknown)}; or "
            f"take them out of the set, if they are '{one}' too"
        )


def _alone(listing: Listing) -> bool:
    """Return whether rows of a single class are left."""
    return int((_counts(listing)[0] > 0).sum()) == 1


def _usual_reason(listing: Listing, rows: Collection[int]) -> str:
    """Return the most frequent problem of these rows and its remedy."""
    reasons = Counter((problem.what, problem.remedy) for problem in listing.problems if problem.row in rows)
    (what, remedy), times = reasons.most_common(1)[0]
    return f"{what} ({times:,} {listing.word}{'s' if times > 1 else ''}); {remedy}"


def unequally_lost(listing: Listing) -> tuple[str, ...]:
    """Return a sentence where the rows left out are all of one class, or unequally many of the classes; else none."""
    kept, lost = _counts(listing)
    unknown = sum(code < 0 for code in listing.lost.values())
    if unknown and _alone(listing):
        one = listing.classes[int(np.argmax(kept))]
        of = f"{listing.word}s" if unknown > 1 else listing.word
        return (f"all images left are of class '{one}', and the class of {unknown:,} bad {of} left out is unknown",)
    there = kept + lost > 0
    kept, lost = kept[there], lost[there]
    if lost.sum() < FEWEST or len(lost) < 2:
        return ()
    of_one = int((lost > 0).sum()) == 1
    if not of_one and float(chi2_contingency(np.stack([kept, lost])).pvalue) >= UNEQUAL:
        return ()
    names = [name for name, used in zip(listing.classes, there.tolist(), strict=True) if used]
    each = ", ".join(
        f"{gone:,} of {gone + left:,} '{name}'"
        for name, gone, left in zip(names, lost.tolist(), kept.tolist(), strict=True)
    )
    how = "are all of one class" if of_one else "are not spread evenly over the classes"
    return (f"the {int(lost.sum()):,} bad {listing.word}s left out {how} ({each}): the rest is no fair sample",)


def _counts(listing: Listing) -> tuple[np.ndarray, np.ndarray]:
    """Rows kept and left out of each class, int64 [classes]; those without a label are in neither."""
    size = len(listing.classes)
    target = np.empty(0, dtype=np.int64) if listing.target is None else listing.target
    lost = np.array(list(listing.lost.values()), dtype=np.int64)
    return np.bincount(target[target >= 0], minlength=size), np.bincount(lost[lost >= 0], minlength=size)
