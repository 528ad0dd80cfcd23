"""Train the network of a study again on the images of a remedy, audit it again, and compare."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from assay.audit.battery import marks_of
from assay.audit.compare import compare_audits
from assay.audit.origins import TrainedOrigin
from assay.audit.plan import StageCallback
from assay.audit.reference_networks import PART_COLUMN
from assay.audit.remedy.balance import open_sound_audit
from assay.audit.remedy.run import (
    BALANCED_FILE,
    COVERED_FILE,
    RemediedFinding,
    RemedyCounts,
    rows_with_remedy,
    searched_spec,
)
from assay.audit.remedy.tables import image_table, real_paths
from assay.audit.request import AuditRequest
from assay.audit.run import run_audit
from assay.audit.search.finders import region_of
from assay.audit.search.regions import MovingRegion, same_place
from assay.audit.tables import NOT_TESTED
from assay.core.errors import ReadingError, SpecError
from assay.core.files import default_cache_root
from assay.core.registry import code_of_folder
from assay.data.files.in_memory import on_disk
from assay.execution.jobs import TrainedModel, population_of
from assay.execution.local import choose_device, executor_for
from assay.execution.plan import Trial
from assay.execution.run import ObserverFactory
from assay.execution.workspace import Workspace
from assay.shifts.file_rows import FilePopulation
from assay.spec.schema import DataSpec, StudySpec
from assay.stats.rows import OPEN, Row
from assay.store.folder import RunFolder
from assay.study.records import require_known_addresses, stored_study, trained_model
from assay.study.run import prepare, train_only

_NOT_OF_ROWS = frozenset({
    "folder", "classes", "table", "further", "split", "where", "links", "tests", "boxes", "joined_from", "matched",
    "guessed", "unmatched",
})  # fmt: skip
"""Keys of `data` that are of the original table, and not of rows that were read."""
_MIN_ROWS = 40
"""Balanced rows below which no network is trained on them."""
_SIDE = 128
"""Side of the images in which places of two findings are compared."""


@dataclass(frozen=True, eq=False)
class StudyNetwork:
    """The network of an audit, which a study trained on files.

    Attributes:
        spec: The study.
        trial: Its training.
        population: The images of the study.
    """

    spec: StudySpec
    trial: Trial
    population: FilePopulation


@dataclass(frozen=True, slots=True)
class Retrained:
    """A network that was trained again.

    Attributes:
        name: The table that it was trained on.
        audit: Its audit; None where it could not be trained.
        first_auroc: AUROC of the first network, a mean over classes.
        auroc: Its AUROC on the same images.
        remaining: What the search found at the place of the first finding; None where it found nothing there.
        searched: Whether it was searched for.
        reason: Why it could not be trained.
    """

    name: str
    audit: Path | None
    first_auroc: float = math.nan
    auroc: float = math.nan
    remaining: Row | None = None
    searched: bool = False
    reason: str = ""

    @property
    def is_clear(self) -> bool:
        """Whether the search found nothing at the place of the finding."""
        return self.searched and self.remaining is None


def require_own_marks(audit: Path) -> None:
    """Check that the marks of an audit, which the next audit draws, name no code of a stranger's.

    Raises:
        CodeError: They name code that this user has not run here.
        SpecError: The folder holds no audit.
        StoreError: The folder is damaged.
    """
    request = open_sound_audit(audit).document()["request"]
    with code_of_folder():
        marks_of(request["marks"] or {})


def study_network(audit: Path) -> StudyNetwork:
    """Return the network of an audit with the study that trained it.

    Raises:
        SpecError: No study trained it, or not on files that are in the audit.
        StoreError: The run folder of the study is missing or damaged.
    """
    row = rows_with_remedy(RunFolder(audit))[0]
    if not row["trained"]:
        raise SpecError("--retrain: this audit searched the test images; audit the network again with --train")
    model = RunFolder(audit).document()["request"].get("model", "")
    trained = trained_model(Path(model)) if model and Path(model).is_dir() else None
    if not isinstance(trained, TrainedModel) or trained.unit != "trials":
        raise SpecError("--retrain is for a network that a study trained, in its folder runs/STUDY/trials/ID")
    study = stored_study(trained.root)
    require_known_addresses(trained.root, study.plan)
    trial = next(planned for planned in study.plan.trials if planned.id == trained.id)
    data, training = study.plan.spec.data, trial.training
    wrong = {
        "its images are drawn by a phantom or come from no folder": not (data.folder or data.classes),
        "its study cuts or processes images before training (crop_share, preprocessing)": bool(
            data.preprocessing or data.crop_share < 1
        ),
        "its study draws on training images (interventions)": bool(training.environment.interventions),
        "it is a segmentation, an ensemble or was not trained there": bool(
            training.members or training.recipe.given or training.recipe.task != "classification"
        ),
    }
    if reason := next((text for text, is_so in wrong.items() if is_so), ""):
        raise SpecError(f"--retrain: the network cannot be trained again, since {reason}")
    workspace = Workspace(trained.root, default_cache_root(), study.skip_bad_rows)
    with code_of_folder():
        population = population_of(data, workspace)
    assert isinstance(population, FilePopulation)
    rows = population.parts(training.seed, training.fold).train
    files = real_paths(data, population.dataset.table.take(rows))
    if missing := len({*files} - {*real_paths(searched_spec(audit, row).data)}):
        raise SpecError(
            f"--retrain: {missing:,} of {len(files):,} training images of the study are not in the audit: give its "
            "table with --train"
        )
    return StudyNetwork(study.plan.spec, trial, population)


def retrain(
    network: StudyNetwork, audit: Path, folder: Path, counts: RemedyCounts, watch: ObserverFactory, say: StageCallback
) -> Iterator[Retrained]:
    """Train the recipe again on the images of a remedy, and audit it with the options of the first audit.

    Where AUROC falls, and rows of unchanged images are balanced, it is trained on these as well. Seed, epochs and
    validation rows are those of the first training.

    Args:
        network: The network of the audit.
        audit: The first audit.
        folder: The folder of the remedy. It gets `retrained` and `audit`, and the same for balanced rows.
        counts: What the remedy did.
        watch: Shows the training.
        say: Callback for each step.
    """
    say(f"train {network.trial.label} again on {COVERED_FILE}")
    covered = _train_and_audit(network, audit, folder, counts, COVERED_FILE, watch, say)
    yield covered
    if not covered.auroc < covered.first_auroc or not counts.searched:
        return
    if len(counts.balanced) < _MIN_ROWS:
        reason = f"{len(counts.balanced)} rows are too few; a larger --budget of the audit searches more images"
        yield Retrained(BALANCED_FILE, None, reason=reason)
        return
    say(f"train it on {BALANCED_FILE} too, since AUROC fell")
    yield _train_and_audit(network, audit, folder, counts, BALANCED_FILE, watch, say)


def _train_and_audit(
    network: StudyNetwork,
    audit: Path,
    folder: Path,
    counts: RemedyCounts,
    name: str,
    watch: ObserverFactory,
    say: StageCallback,
) -> Retrained:
    ending = "" if name == COVERED_FILE else f"-{Path(name).stem}"
    rows = _rows_of_study(network, counts, folder, name)
    stored = RunFolder(audit).document()["request"]
    out = folder / f"audit{ending}"
    with code_of_folder():  # the study and the audit may be a stranger's
        try:
            trial = _train_on_rows(network, rows, folder / f"retrained{ending}", watch)
        except ReadingError as error:
            return Retrained(name, None, reason=str(error))
        request = AuditRequest.model_validate({**stored, "model": str(trial), "out": out})
        run_audit(TrainedOrigin(trained_model(trial)), request, say=say)
    compared = [row for row in compare_audits(audit, out) if row["kind"] == "performance"]
    before, after = (float(np.mean([row[side] for row in compared])) for side in "ab")
    searched, left = _remaining_finding(RunFolder(out), counts.findings[0])
    return Retrained(name, out, before, after, left, searched)


def _rows_of_study(network: StudyNetwork, counts: RemedyCounts, folder: Path, name: str) -> pd.DataFrame:
    """Return the rows of a study with their part, those of the training with the images of a remedy."""
    images, data, training = network.population.dataset.table, network.spec.data, network.trial.training
    table, files = image_table(data, images).astype(str), real_paths(data, images)
    parts = network.population.parts(training.seed, training.fold)
    table[data.image], table[PART_COLUMN] = files, ""
    for part in ("validation", "test", "train"):
        table.iloc[getattr(parts, part), -1] = part
    remedied = pd.read_csv(folder / name, dtype=str)[counts.data.image].tolist()
    originals = real_paths(counts.data, counts.table)
    copies = dict(
        zip(originals if name == COVERED_FILE else [originals[at] for at in counts.balanced], remedied, strict=True)
    )
    trained = [at for at in parts.train.tolist() if files[at] in copies]
    table.loc[table.index[trained], data.image] = [str((folder / copies[files[at]]).resolve()) for at in trained]
    return table.iloc[sorted({*trained, *parts.validation.tolist(), *parts.test.tolist()})]


def _train_on_rows(network: StudyNetwork, rows: pd.DataFrame, root: Path, watch: ObserverFactory) -> Path:
    """Train the recipe of a network on other rows, and return the folder of its trial.

    Raises:
        ReadingError: It did not learn.
    """
    spec, trial = network.spec, network.trial
    keys = spec.data.model_dump(mode="json", exclude_defaults=True, exclude=set(_NOT_OF_ROWS))
    channels = "gray" if network.population.channels == 1 else "color"
    cells: list[Mapping[str, Any]] = rows.to_dict("records")  # pyright: ignore[reportAssignmentType]
    data = {**keys, "channels": channels, "table": cells, "split": {"column": PART_COLUMN}}
    point = trial.point.model_copy(update={"tests": {}})
    changes = {
        "data": DataSpec.model_validate(on_disk(data)), "points": (point,), "seeds": 1, "probes": (), "contrasts": (),
        "first_seed": trial.training.seed, "looks": (), "ensemble": False, "written": {}, "command": "", "file": "",
        "axes": {axis: (label,) for axis, label in point.coordinates.items()},
    }  # fmt: skip
    device = choose_device("auto")
    prepared = prepare(spec.model_copy(update=changes), root, device=device)
    if train_only(prepared, watch, executor_for(0, device)[0]).stopped:
        raise KeyboardInterrupt
    folder, (planned,) = prepared.workspace.folder, prepared.plan.trials
    if not folder.complete("trials", planned.id) or folder.record("trials", planned.id)["status"] != "done":
        raise ReadingError("the training failed or collapsed")
    return folder.unit("trials", planned.id)


def _remaining_finding(folder: RunFolder, mark: RemediedFinding) -> tuple[bool, Row | None]:
    """Return whether a second audit searched for a finding, and what it found at its place."""
    rows: Sequence[Row] = folder.table("regions")
    searched = any(row["of"] == mark.row["of"] and row["verdict"] != NOT_TESTED for row in rows)
    for row in rows:
        if row["verdict"] in OPEN:
            region = region_of(row["kind"], folder.record("probes", row["search"])["region"])
            moving = isinstance(region, MovingRegion) and isinstance(mark.region, MovingRegion)
            if moving or same_place(mark.region, region, _SIDE, _SIDE):
                return True, row
    return searched, None
