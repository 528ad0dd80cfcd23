"""Training, validation and test rows of a seed and fold: seeds redraw the first two, test rows stay."""

from __future__ import annotations

import numpy as np

from assay.core.data_spec import SplitSpec
from assay.core.seeds import derive
from assay.core.types import FactorTable
from assay.data.splits import Split, split

TEST_SEED = derive(0, "test")
"""What decides the test rows, whatever the seed of a trial."""

ROWS_VERSION = 1
"""Enters every identity: raised when the rows that a spec and a seed lead to are others than before."""


def parts(table: FactorTable, spec: SplitSpec, seed: int, fold: int) -> Split:
    """Positions in the table. By patient always; raises as `split` does.

    By folds, every seed deals patients anew, and each is tested once a seed. By a column, test rows are those that it
    names. By shares, test patients are drawn once for all seeds, and each seed divides the others anew.
    """
    if spec.column or spec.folds is not None:
        return split(table, spec, seed, fold)
    fixed = split(table, spec, TEST_SEED)
    rest = np.sort(np.concatenate([fixed.train, fixed.validation]))
    kept = spec.train + spec.validation
    within = SplitSpec(train=spec.train / kept, validation=spec.validation / kept, test=0.0)
    redrawn = split(table.take(rest), within, derive(seed, "validation split"))
    return Split(rest[redrawn.train], rest[redrawn.validation], fixed.test)
