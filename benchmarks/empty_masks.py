"""What images without a lesion count for decides which loss is best: `python benchmarks/empty_masks.py`.

Prints Markdown: the published Dice of five losses over 200 polyps and 20 lesion-free frames (Galdran et al. 2022, W-net
of ResNet-18), counted again under other conventions for empty masks; the rank in brackets. Nothing is estimated: with
both masks empty counting 1, the published mean over 220 frames and the number of lesion-free frames left empty give the
mean over the 200 polyps. With a run folder, the same table of what was measured there.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from assay.stats.maps import Empty, dice
from assay.store.folder import RunFolder

POLYPS, FREE = 200, 20
PUBLISHED = {
    "cross-entropy": (0.8733, 14),
    "cross-entropy, then Dice": (0.8662, 13),
    "from cross-entropy to Dice, linear": (0.8694, 12),
    "cross-entropy + Dice": (0.8489, 9),
    "Dice": (0.8191, 4),
}
"""Loss -> the published Dice over the 220 frames, and how many of the 20 lesion-free ones were left empty."""
COLUMNS: Mapping[Empty, str] = {
    "lesions": "images with a lesion alone",
    "one": "both empty: 1",
    "skip": "both empty: left out",
    "zero": "both empty: 0",
}
MEASURES = {"dice": "lesions", "dice-one": "one", "dice-skip": "skip", "dice-zero": "zero"}
FINE = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="a run folder with the probe `segmentation`")
    parser.add_argument("--environment", default="both", help="one with lesions and without; `both` unless said")
    asked = parser.parse_args()
    if asked.run and not measured(asked.run, asked.environment):
        names = dict.fromkeys(
            row["environment"] for row in RunFolder(asked.run).table("estimates") if row["environment"]
        )
        parser.error(f"no Dice was measured in '{asked.environment}'; give --environment one of {', '.join(names)}")
    print(table(measured(asked.run, asked.environment) if asked.run else published()))


def published() -> dict[str, dict[str, float]]:
    """Loss -> convention -> mean Dice."""
    return {loss: counted(over_all, empty) for loss, (over_all, empty) in PUBLISHED.items()}


def counted(over_all: float, empty: int) -> dict[str, float]:
    """Mean Dice by convention, from the mean over all frames with both empty counting 1.

    Every polyp stands with the polyps' mean, since means are all that is asked for; a lesion-free frame not left empty
    has some pixel called, how many is of no account.
    """
    of_polyps = (over_all * (POLYPS + FREE) - empty) / POLYPS
    truth = np.array([FINE] * POLYPS + [0] * FREE)
    predicted = np.array([FINE] * POLYPS + [0] * empty + [1] * (FREE - empty))
    hit = np.array([of_polyps * FINE] * POLYPS + [0.0] * FREE)
    return {name: float(np.nanmean(dice(truth, predicted, hit, name))) for name in COLUMNS}


def measured(run: Path, environment: str) -> dict[str, dict[str, float]]:
    """Recipe -> convention -> mean Dice, of a run's table of estimates."""
    found: dict[str, dict[str, float]] = {}
    for row in RunFolder(run).table("estimates"):
        overall = not (row["factor"] or row["level"] or row["group"])
        if row["measure"] in MEASURES and row["environment"] == environment and overall:
            found.setdefault(row["recipe"], {})[MEASURES[row["measure"]]] = row["value"]
    return found


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    """A row per loss, a column per convention: Dice in percent, and its rank in the column."""
    rows = [["loss", *COLUMNS.values()], ["---"] * (1 + len(COLUMNS))]
    for loss, own in found.items():
        rows.append([loss, *(cell(own.get(name, math.nan), found, name) for name in COLUMNS)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def cell(value: float, found: Mapping[str, Mapping[str, float]], convention: str) -> str:
    """`51.5 (6)`, 1 for the greatest; what is undefined has no rank."""
    if math.isnan(value):
        return "undefined"
    return f"{100 * value:.1f} ({1 + sum(other.get(convention, math.nan) > value for other in found.values())})"


if __name__ == "__main__":
    main()
