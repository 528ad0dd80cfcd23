"""Check the effect of skipped rows on the classes of a set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2_contingency

from assay.core.errors import DataError
from assay.data.files.masks import Listing

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


def refuse_vanished(listing: Listing) -> None:
    """Raise DataError where all rows of a class were left out as bad."""
    kept, lost = _counts(listing)
    for code in np.flatnonzero((lost > 0) & (kept == 0)).tolist():
        rows = {row for row, found in listing.lost.items() if found == code}
        told = Counter((problem.what, problem.remedy) for problem in listing.problems if problem.row in rows)
        (what, remedy), times = told.most_common(1)[0]
        raise DataError(
            f"{listing.where}: leaving out bad {listing.word}s would leave no image of class "
            f"'{listing.classes[code]}' ({lost[code]:,} of {lost[code]:,} left out): {what} "
            f"({times:,} {listing.word}{'s' if times > 1 else ''}); {remedy}"
        )


def unequally_lost(listing: Listing) -> tuple[str, ...]:
    """Return a sentence where the rows left out are all of one class, or unequally many of the classes; else none."""
    kept, lost = _counts(listing)
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
