"""How well the mean brightness of a radiograph alone tells the finding, in each origin of the example's chest X-rays.

    ASSAY_ASSETS=<folder> python benchmarks/xray_brightness.py [--out FILE]

The baseline beside `docs/results/finding-loss-xray.md`: no network, one number an image. AUROC of darkness (1 - mean
gray level at 96 px), with the 95 % interval over patients that Assay gives a single model: all rows, and within a view.
"""

from __future__ import annotations

import numpy as np
from _shared import Page, parser
from scipy import stats

from assay.core.files import default_cache_root
from assay.data.cache import ArrayCache
from assay.data.files.load import load_dataset
from assay.spec.parse import parse_study
from assay.stats.influence import Answers
from assay.stats.measures import influence_of


def row(name: str, darkness: np.ndarray, target: np.ndarray, patient: np.ndarray) -> tuple[str, str, str, str]:
    """One line of the table: whose rows, how many of each class, AUROC with its interval."""
    answers = Answers(np.stack([np.zeros_like(darkness), darkness], axis=1), target)
    (value, *_), contributions = influence_of("auroc", answers, patient)
    half = float(stats.norm.ppf(0.975)) * float(np.sqrt((contributions**2).sum()))
    shown = f"{value:.2f} [{value - half:.2f}, {value + half:.2f}]"
    return name, str(int(target.sum())), str(int((1 - target).sum())), shown


def main() -> None:
    """Print the table."""
    options = parser(__doc__).parse_args()
    dataset = load_dataset(parse_study("finding-loss-xray").data, ArrayCache(default_cache_root()))
    table = dataset.table
    darkness = 1 - dataset.images.read(np.arange(len(table))).mean(dim=(1, 2, 3)).double().numpy()
    page = Page(("rows", "finding", "none", "AUROC of darkness"), options.out)
    origin, view = table.columns["origin"], table.columns["view"]
    for code, name in enumerate("ab"):
        for seen, among in (((0, 1), ""), ((0,), ", PA"), ((1,), ", AP")):
            rows = (origin == code) & np.isin(view, seen)
            page.row(*row(f"origin {name}{among}", darkness[rows], table.target[rows], table.patient[rows]))
    page.close()


if __name__ == "__main__":
    main()
