"""Training, validation and test rows of a seed and fold: seeds redraw the first two, test rows stay."""

from __future__ import annotations

import numpy as np

from assay.core.data_spec import SplitSpec
from assay.core.errors import DataError
from assay.core.seeds import derive
from assay.core.types import FactorTable
from assay.data.splits import Split, split
from assay.shifts.conditions import satisfies

TEST_SEED = derive(0, "test")
"""What decides the test rows, whatever the seed of a trial."""

ROWS_VERSION = 3
"""Enters every identity: raised when the rows that a spec and a seed lead to are others than before."""


def parts(table: FactorTable, spec: SplitSpec, seed: int, fold: int) -> Split:
    """Positions in the table. By patient always; raises as `split` does.

    By folds, every seed deals patients anew, and each is tested once a seed. By a column, test rows are those that it
    names. By shares, test patients are drawn once for all seeds, and each seed divides the others anew. Patients with
    a row that `test_only` wants are test patients whatever divides the others.
    """
    if spec.test_only:
        return _with_held(table, spec, seed, fold)
    if spec.column or spec.folds is not None:
        return split(table, spec, seed, fold)
    fixed = split(table, spec, TEST_SEED)
    rest = np.sort(np.concatenate([fixed.train, fixed.validation]))
    kept = spec.train + spec.validation
    within = SplitSpec(train=spec.train / kept, validation=spec.validation / kept, test=0.0)
    redrawn = split(table.take(rest), within, derive(seed, "validation split"))
    return Split(rest[redrawn.train], rest[redrawn.validation], fixed.test)


def _with_held(table: FactorTable, spec: SplitSpec, seed: int, fold: int) -> Split:
    wanted = satisfies(table, spec.test_only)
    held = np.isin(table.patient, table.patient[wanted])
    rest = np.flatnonzero(~held).astype(np.int64)
    if not len(rest):
        raise DataError(f"data.split.test_only: all {len(table)} rows have {dict(spec.test_only)}, so none is left")
    divided = parts(table.take(rest), spec.model_copy(update={"test_only": {}}), seed, fold)
    tested = np.sort(np.concatenate([rest[divided.test], np.flatnonzero(held)])).astype(np.int64)
    return Split(rest[divided.train], rest[divided.validation], tested)
