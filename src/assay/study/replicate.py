"""Replicate a finished study: the same comparisons on fresh seeds, and of a phantom on new patients."""

from __future__ import annotations

from pathlib import Path

from assay.core.errors import StoreError
from assay.report.evidence import Tables
from assay.spec.document import Document
from assay.spec.load import put
from assay.stats.format import count
from assay.store.folder import RunFolder
from assay.study.interim import goes_on
from assay.study.kind import STUDY
from assay.study.records import stored_study
from assay.study.replication import Earlier, earlier_of
from assay.study.request import Settled

SEEDS = 10
"""Seeds of a replication by default."""


def replication(root: Path, out: Path, seeds: int = SEEDS) -> tuple[Settled, Earlier]:
    """Return the study that replicates a finished run, with its folder, and the run as the folder keeps it.

    Args:
        root: The run folder.
        out: The folder of all run folders.
        seeds: Seeds of the replication, all beyond those of the run.

    Raises:
        StoreError: It holds no finished run of a study that trains.
    """
    folder = RunFolder(root)
    folder.require_run()
    folder.require(STUDY)
    plan = stored_study(root).plan
    spec = plan.spec
    if spec.models:
        raise StoreError(f"{root} reads models that were trained elsewhere, so there is no training to replicate")
    tables = Tables(root)
    left = len(plan.missing_trials(folder)), len(plan.missing_probes(folder))
    if any(left) or goes_on(spec, tables["looks"]):
        raise StoreError(
            f"{root} is not finished ({count(left[0], 'training run')} and {count(left[1], 'probe')} are missing): "
            "finish it by the same command, then replicate it"
        )
    last = max(trial.training.seed for trial in plan.trials)
    first = earlier_of(root.name, spec, last, tables["contrasts"])
    own, patients = {"first_seed": last + 1, "seeds": seeds}, spec.data.population + first.drawn
    section, written = "data.train" if spec.data.tests else "data", Document(dict(spec.written))
    for key, value in {**own, **({f"{section}.population": patients} if first.drawn else {})}.items():
        written = put(written, key, value, "")
    data = spec.data.model_copy(update={"population": patients})
    again = spec.model_copy(update={**own, "data": data, "looks": (), "written": written.values})
    return Settled(again, out / f"{root.name}-replication"), first
