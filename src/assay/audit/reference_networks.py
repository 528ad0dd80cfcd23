"""Reference networks of an audit: small networks trained on the images of its user, and audited on them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from assay.audit.battery import at_deciding_dose, battery, marks_of
from assay.audit.origins import TrainedOrigin
from assay.audit.plan import StageCallback
from assay.audit.references import ABOUT_FILE, IMAGE_SIDE, LEAST_NETWORKS
from assay.audit.request import AuditRequest
from assay.audit.run import run_audit
from assay.audit.search.run import VERSION
from assay.core.errors import DataError, ReadingError, SpecError, key_text
from assay.core.files import cache_folder, content_hash, default_cache_root, file_hash, is_file
from assay.data.files.in_memory import on_disk
from assay.data.files.listing import located
from assay.data.files.table import Problem, inside, read_table, refuse
from assay.execution.local import PROCESSOR, executor_for
from assay.execution.run import ObserverFactory, observe_nothing
from assay.execution.tasks import Context, Job, Task
from assay.spec.parse import parse_study
from assay.stats.format import duration
from assay.store.files import write_json
from assay.study.records import trained_model
from assay.study.run import prepare, train_only

PART_COLUMN = "assay part"
"""Column with the part of a row: train, validation or test."""
ARCHITECTURE = "small-cnn"
"""Architecture of reference networks."""
_UNLIMITED_BUDGET = 10_000_000
"""Budget of the audit of a reference network, so that it leaves nothing out."""
_FIRST_SEED = 2000


def training_study(
    name: str,
    data: Mapping[str, Any],
    environments: Mapping[str, Any],
    *,
    seeds: int,
    first_seed: int = _FIRST_SEED,
    architecture: Any = ARCHITECTURE,
) -> dict[str, Any]:
    """Return a study that trains small networks.

    Args:
        name: Its name.
        data: As `data` of a study.
        environments: As `environments` of a study.
        seeds: Networks for each recipe.
        first_seed: The first seed.
        architecture: Their architecture.
    """
    return {
        "name": name,
        "data": dict(data),
        "environments": dict(environments),
        "recipe": {
            "architecture": architecture,
            "optimizer": {"adamw": {"lr": 0.003}},
            "augmentation": [{"flip": {"vertical": 0}}, "shift"],
            "epochs": 16,
            "batch_size": 32,
        },
        "probes": ["performance"],
        "first_seed": first_seed,
        "seeds": seeds,
    }


# The images of a user, in parts that share no patient.

_TRAINING_SHARES = (("train", 0.85), ("validation", 0.15))
_MIN_TRAINING_ROWS = 100
"""Images below which networks are not trained."""


@dataclass(frozen=True)
class ImageParts:
    """Rows of images in parts that share no patient.

    Attributes:
        keys: `data` of a study, without its table.
        rows: Part -> cells by column.
    """

    keys: Mapping[str, Any]
    rows: Mapping[str, Sequence[Mapping[str, str]]]

    def study_data(self) -> dict[str, Any]:
        """Return all parts as `data` of a study."""
        rows = [{**row, PART_COLUMN: part} for part, rows_of_part in self.rows.items() for row in rows_of_part]
        return on_disk({**self.keys, "table": rows, "split": {"column": PART_COLUMN}})

    def identity(self) -> list[Any]:
        """Return what determines the networks: keys, and rows with the SHA-256 of each image file."""
        image = str(self.keys.get("image", "image"))

        def with_image_hash(row: Mapping[str, str]) -> dict[str, str]:
            path = Path(row[image])
            return {**row, image: file_hash(path) if is_file(path) else ""}  # the reader lists missing files

        return [self.keys, {part: [with_image_hash(row) for row in rows] for part, rows in self.rows.items()}]

    def split_tested(self, share: float, seed: int) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        """Divide the tested rows in two by patient, the first with a share of the patients."""
        rows = [dict(row) for row in self.rows["test"]]
        parts = _divide(rows, str(self.keys.get("patient", "")), (("few", share), ("many", 1 - share)), seed)
        return parts["few"], parts["many"]

    def data_of_rows(self, rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """Return some rows as `data` of an audit."""
        return on_disk({**self.keys, "table": [dict(row) for row in rows]})


def parts_of(
    data: Mapping[str, Any],
    train: Mapping[str, Any] | None = None,
    shares: Sequence[tuple[str, float]] = (("train", 0.4), ("validation", 0.1), ("test", 0.5)),
    *,
    skip_bad_rows: bool = False,
) -> ImageParts:
    """Divide the images of an audit, by patient.

    Args:
        data: As `data` of a study: a table of images.
        train: The images that networks are trained on, as `data`, without patients that are tested. Where None, some
            patients of `data` are trained on, and the others tested.
        shares: Part -> its share of the patients, where `train` is None.
        skip_bad_rows: Whether rows whose image the audit would not read are left out.

    Raises:
        SpecError: There is no table, or there are too few images to train on.
        DataError: The image of a row is missing or outside the folder.
    """
    rows = table_rows(data, skip_bad_rows=skip_bad_rows)
    patient = str(data.get("patient", ""))
    if train is None:
        parts = _divide(rows, patient, shares)
    else:
        patients_tested = {row[patient] for row in rows} if patient else set[str]()
        training_rows = [
            row for row in table_rows(train, skip_bad_rows=skip_bad_rows) if row.get(patient, "") not in patients_tested
        ]
        parts = {**_divide(training_rows, patient, _TRAINING_SHARES), "test": rows}
    if len(parts["train"]) < _MIN_TRAINING_ROWS:
        raise SpecError(
            f"references: {len(parts['train'])} images are left to train networks on, and {_MIN_TRAINING_ROWS} "
            f"are the least; give {key_text('--train')}, a table of other images"
        )
    columns = {str(data.get("image", "image")), str(data["target"]), *([patient] if patient else [])}
    rows_of_parts = {
        part: [{name: row[name] for name in sorted(columns)} for row in rows_of_part]
        for part, rows_of_part in parts.items()
    }
    image_keys = ("folder", "table", "links", "split", "factors", "where")
    keys = {name: value for name, value in data.items() if name not in image_keys}
    return ImageParts({**keys, "size": IMAGE_SIDE}, rows_of_parts)


def table_rows(data: Mapping[str, Any], *, skip_bad_rows: bool = False) -> list[dict[str, str]]:
    """Return the rows of `data` of a study, images as whole paths, which are within the folder as in an audit.

    Raises:
        SpecError: It is no table.
        DataError: The image of a row is missing or outside the folder, and bad rows are not left out.
    """
    data = on_disk(data)
    if not {"folder", "table", "target"} <= set(data):
        raise SpecError(
            f"references: networks are trained on the rows of a table; give {key_text('--images', 'FILE.csv')}"
        )
    folder, image = Path(str(data["folder"])).resolve(), str(data.get("image", "image"))
    table = read_table(folder / str(data["table"]), image)
    if image not in table.header:
        raise DataError(f"{table.name} has no column '{image}'")
    problems: list[Problem] = []
    resolve = partial(inside, folder, links=data.get("links") == "follow")
    paths = located(table, table.column(image, "data.image"), resolve, problems)
    if not skip_bad_rows:
        refuse(table.name, problems)
    rows = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    return [{**row, image: str(path)} for row, path in zip(rows, paths, strict=True) if path != Path()]


def _divide(
    rows: Sequence[dict[str, str]], patient: str, shares: Sequence[tuple[str, float]], seed: int = 0
) -> dict[str, list[dict[str, str]]]:
    """Divide rows by patient in random order."""
    groups: dict[str, list[dict[str, str]]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(row[patient] if patient else str(index), []).append(row)
    order = np.random.default_rng(seed).permutation(sorted(groups))
    ends = np.round(np.cumsum([share for _, share in shares]) * len(order)).astype(int)
    parts = np.split(order, ends[:-1])
    return {
        name: [row for group in part for row in groups[group]] for (name, _), part in zip(shares, parts, strict=True)
    }


# Training and auditing.


def train_references(
    request: AuditRequest,
    *,
    workers: int | None = None,
    root: Path | None = None,
    watch: ObserverFactory = observe_nothing,
    say: StageCallback = lambda text: None,
) -> Path:
    """Train networks on the images of an audit, and audit each of them.

    Images are read at 64 px. A second call goes on where the first was interrupted, and trains no network twice.

    Args:
        request: The audit, with its images and the number of networks. Images of its training, if any, are those that
            the networks are trained on, see `parts_of`; they are then not searched for regions.
        workers: Worker processes, one per core where None.
        root: Folder of the networks; by default one in the cache.
        watch: Display of the trainings and audits.
        say: Callback for each step.

    Returns:
        A folder of audits, as `references.read_reference` reads it.

    Raises:
        SpecError: Fewer networks than a limit needs are asked for, or the images do not suffice.
        DataError: Rows cannot be read.
    """
    count = request.networks
    if count < LEAST_NETWORKS:
        raise SpecError(f"references: {count} give no limit; {LEAST_NETWORKS} networks are the least")
    if request.task == "segmentation":
        raise SpecError("references: reference networks are trained for classes of images alone")
    if not request.domain:
        raise SpecError(
            f"references: name the kind of image with {key_text('--domain')}, such as chest-xray: it chooses the marks"
        )
    parts = parts_of(request.data, request.train, skip_bad_rows=request.skip_bad_rows)
    study = training_study("references", parts.study_data(), {"train": {}, "same": {}}, seeds=count)
    marks, _ = battery(request.domain, 1)
    marks_at_one_dose = at_deciding_dose(marks if request.marks is None else marks_of(request.marks))
    searches = (
        request.leads and request.train is None
    )  # on images that may carry the mark, networks set no limit for it
    audit_request = AuditRequest(
        data=parts.data_of_rows(parts.rows["test"]),
        domain=request.domain,
        margin=request.margin,
        seed=request.seed,
        marks=marks_at_one_dose,
        leads=searches,
    )
    key = content_hash(
        [parts.identity(), request.domain, marks_at_one_dose, request.margin, request.seed, searches and VERSION]
    )
    folder = root or cache_folder(default_cache_root(), "references", key)
    audits = cache_folder(folder, "audits")
    began, trials = time.monotonic(), list[Path]()
    for number in (1, count):
        trials, n_workers = _train_networks({**study, "seeds": number}, folder / "networks", workers, watch)
        jobs = {trial.name: AuditJob(trial, audit_request.with_changes(out=audits / trial.name)) for trial in trials}
        missing = {name: job for name, job in jobs.items() if not is_file(audits / name / "verdicts.json")}
        run_jobs(missing, workers, watch)
        if number == 1:
            seconds = (count - 1) * (time.monotonic() - began) / max(1, n_workers)
            say(f"{count} reference networks on {len(parts.rows['train']):,} images: about {duration(seconds)}")
    for path in audits.iterdir():
        if path.is_dir() and path.name not in {trial.name for trial in trials}:
            shutil.rmtree(path)
    write_json(audits / ABOUT_FILE, {"trained on": len(parts.rows["train"]), "size": IMAGE_SIDE})
    return audits


def _train_networks(
    study: Mapping[str, Any], root: Path, workers: int | None, watch: ObserverFactory
) -> tuple[list[Path], int]:
    """Train the networks of a study that are missing; return the folders of those that learned, and the workers."""
    prepared = prepare(parse_study(dict(study)), root)
    executor, n_workers = executor_for(workers, prepared.device)
    if train_only(prepared, watch, executor).stopped:
        raise KeyboardInterrupt
    folder = prepared.workspace.folder
    complete = [trial.id for trial in prepared.plan.trials if folder.complete("trials", trial.id)]
    done = [id for id in complete if folder.record("trials", id)["status"] == "done"]
    return [folder.unit("trials", id) for id in done], n_workers


@dataclass(frozen=True)
class AuditJob:
    """Audits a network; see `audit_trained`.

    Attributes:
        trial: Folder of its training.
        request: The audit.
    """

    trial: Path
    request: AuditRequest

    def __call__(self, context: Context) -> None:
        """See `Job`."""
        audit_trained(self.trial, self.request)


def run_jobs(jobs: Mapping[str, Job], workers: int | None, watch: ObserverFactory = observe_nothing) -> None:
    """Run independent jobs in worker processes.

    Args:
        jobs: Name -> job.
        workers: Worker processes, one per core where None; 0 for none.
        watch: Display of the jobs.

    Raises:
        ReadingError: One failed.
        KeyboardInterrupt: They were interrupted.
    """
    tasks = [Task(name, job, name, counted="networks audited") for name, job in jobs.items()]
    executor, _ = executor_for(workers, PROCESSOR)
    with watch(tasks) as observe:
        outcome = executor.run(tasks, observe)
    if outcome.stopped:
        raise KeyboardInterrupt
    for name, text in outcome.failed.items():
        raise ReadingError(f"audit of {name}: {text}")


def audit_trained(trial: Path, request: AuditRequest) -> Path:
    """Audit a network that a study trained, under all marks however long it takes, and against no reference.

    Args:
        trial: Folder of its training.
        request: The audit, with `data` of a study.
    """
    full_request = request.with_changes(
        budget=_UNLIMITED_BUDGET, as_given=True, pictures=False, shipped=False, distortions=(), elsewhere=False
    )
    folder = run_audit(TrainedOrigin(trained_model(trial)), full_request)
    assert isinstance(folder, Path)
    return folder
