"""What earlier runs left in a run folder: weights that a new probe needs, and what is to go before the next run."""

from __future__ import annotations

from collections.abc import Sequence

from assay.core.errors import StoreError
from assay.execution.jobs import nothing_to_read, weights_path
from assay.execution.study import Plan, ProbeUnit
from assay.recipes.checkpoint import remove_checkpoint
from assay.store.folder import RunFolder


def check_weights(probes: Sequence[ProbeUnit], folder: RunFolder) -> None:
    """Raises StoreError where new probes would read networks that were trained, and whose weights are gone."""
    trained = {unit.trial.id for unit in probes if folder.complete("trials", unit.trial.id)}
    lost = [
        id
        for id in sorted(trained)
        if not weights_path(folder, id).is_file() and not nothing_to_read(folder.record("trials", id))
    ]
    if lost:
        raise StoreError(
            f"{len(lost)} finished trials in {folder.root} would be probed anew, but their weights were not kept "
            "(keep: none): leave probes and test environments as they were, or train again in another place with --out"
        )


def sweep(plan: Plan, folder: RunFolder) -> None:
    """Remove what a killed run left: half-written files, checkpoints of finished trials, failures made good, and
    weights that are not to be kept once all probes have read them.
    """
    folder.remove_partial_files()
    unfinished = {trial.id for trial in plan.missing_trials(folder)}
    unprobed = {unit.trial.id for unit in plan.missing_probes(folder)}
    for id in {trial.id for trial in plan.trials} - unfinished:
        remove_checkpoint(folder.unit("trials", id))
        if id not in unprobed:
            folder.forget_failure(id)
            if plan.spec.keep == "none":
                weights_path(folder, id).unlink(missing_ok=True)
