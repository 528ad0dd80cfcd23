"""Whether a study finds the same on changed pixels: python benchmarks/same_estimates.py RUN_BEFORE RUN_AFTER

    assay run nodule-loss --scale quick --out before        # with the old version of Assay, then
    assay run nodule-loss --scale quick --out after         # with the new one
    python benchmarks/same_estimates.py before after

For every primary contrast: the difference before and after, and whether the second lies within the 95% prediction
interval of the first, for a repetition of the same design. That is the 95% CI with its half-widths times the square
root of 2, since both runs vary alike; runs that share seeds vary less. Without primary contrasts, all are compared.
Ends with 1 where one lies outside.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from _shared import Page, parser

from assay.store.files import Row
from assay.store.folder import RunFolder


def contrasts(run: Path) -> dict[str, Row]:
    """Identifier -> primary contrast, or every one where none is primary."""
    rows = {row["id"]: row for row in RunFolder(run).table("contrasts") if not math.isnan(row["value"])}
    return {name: row for name, row in rows.items() if row["role"] == "primary"} or rows


def predicted(row: Row) -> tuple[float, float]:
    """The 95% prediction interval of a repetition."""
    value, low, high = row["value"], row["low"], row["high"]
    return value - math.sqrt(2) * (value - low), value + math.sqrt(2) * (high - value)


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("before", type=Path)
    made.add_argument("after", type=Path)
    return made.parse_args()


def main() -> None:
    """Print the table."""
    given = options()
    before, after = contrasts(given.before), contrasts(given.after)
    page = Page(("measure", "environment", "before", "95% prediction interval", "after", "inside"), given.out)
    inside: list[bool] = []
    for name, row in before.items():
        if name not in after or math.isnan(row["low"]):
            continue
        (low, high), value = predicted(row), after[name]["value"]
        inside.append(low <= value <= high)
        place = f"{low:.4f} to {high:.4f}", f"{value:.4f}", "yes" if inside[-1] else "no"
        page.row(row["measure"], row["environment"], f"{row['value']:.4f}", *place)
    page.close(f"{sum(inside)} of {len(inside)} inside; {len(before) - len(inside)} without an interval or a partner.")
    raise SystemExit(not all(inside))


if __name__ == "__main__":
    main()
