"""`assay audit`: audit a model on images, and print the verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from assay.audit.battery import marks_of
from assay.audit.compare import AuditsRun, StoredAudit, compare_audits
from assay.audit.compare_page import comparison_answer, comparison_lines
from assay.audit.labels import ALL_OUTPUTS, LABELS_NOTE, PAGE, TABLE, audit_labels
from assay.audit.origins import origin_of
from assay.audit.plan import AuditSize
from assay.audit.policy import read_policy
from assay.audit.predictions_command import print_answer, speaker
from assay.audit.prepared import IMAGES, NAMES, finish_audit, prepare_images, prepared_request
from assay.audit.reference_networks import parts_of, train_references
from assay.audit.request import FIELDS_NOT_OF_COMMANDS, FIELDS_NOT_OF_MASKS, AuditRequest, AuditsRequest
from assay.audit.run import run_audit, with_images
from assay.core.errors import SpecError
from assay.core.files import at_home
from assay.core.registry import code_of_folder, code_trusted
from assay.core.request import names
from assay.core.terminal import print_lines
from assay.data.files.guess import tables_in
from assay.data.files.table import require_contained
from assay.execution.local import InProcess, default_workers
from assay.execution.progress import display_for, show_reading
from assay.execution.run import carry_out, observe_nothing
from assay.execution.tasks import Observer, Task
from assay.models.ref import Origin
from assay.report.sentences.reading import reading_lines
from assay.spec.data import LESION
from assay.stats.format import duration, number, p_value
from assay.store.files import json_text
from assay.store.folder import RunFolder
from assay.store.layout import result_folder


def audit_command(request: AuditRequest, *, dry_run: bool, is_quiet: bool, json: bool) -> None:
    """Audit a model, print the verdicts, and end with 3 where a policy is not met.

    Raises:
        SpecError: The request is wrong.
        DataError: Images or predictions cannot be read.
    """
    rules = None if request.policy is None else read_policy(request.policy)
    origin = _origin(request)
    if request.output == ALL_OUTPUTS:
        _audit_labels(origin, request, dry_run, is_quiet, json)
        return
    result = _run_or_plan(origin, request, request.out or result_folder("audits", origin.name), dry_run, is_quiet, json)
    if isinstance(result, tuple):
        _print_plan(request, *result, json)
        return
    print_answer(result, rules, json)


def _run_or_plan(
    origin: Origin, request: AuditRequest, out: Path, dry_run: bool, is_quiet: bool, json: bool
) -> Path | tuple[AuditSize, float]:
    """Audit a model, and return the folder; of a dry run the plan and the seconds an image takes."""
    with _trusted_marks(request), show_reading(quiet=is_quiet) as on_progress:
        request = images_of(request.with_changes(out=out), is_quiet or json)
        if request.networks and not dry_run:
            request = _with_references(request, is_quiet or json)
        return run_audit(origin, request, dry_run=dry_run, on_progress=on_progress, say=speaker(is_quiet or json))


@contextmanager
def _trusted_marks(request: AuditRequest) -> Generator[None]:
    """Run of the code that a file of marks names only what this user has run here, or trusts."""
    with code_trusted(request.trust), code_of_folder():
        marks_of(request.marks or {})  # before workers, which would run it
        yield


def _audit_labels(origin: Origin, request: AuditRequest, dry_run: bool, is_quiet: bool, json: bool) -> None:
    """Audit every label of a model, and print a line of each, those with the smallest p first."""
    if dry_run or request.policy is not None:
        raise SpecError("--output all: --dry-run and --policy are for one output")
    out = request.out or result_folder("audits", origin.name)

    def audit(model: Origin, label: str, output: int, folder: Path) -> Path:
        folder_of_label = _run_or_plan(
            model, request.with_changes(target=label, output=str(output)), folder, False, is_quiet, json
        )
        assert isinstance(folder_of_label, Path)
        return folder_of_label

    path = at_home(request.labels or request.data)
    table = next(iter(tables_in(path)), path) if path.is_dir() else path
    require_contained(table.parent, table.name, request.follow_links)
    rows = audit_labels(origin, names(request.target), table, out, audit)
    if json:
        print(json_text(rows), end="")
        return
    for row in sorted(rows, key=lambda row: (math.isnan(row["p"]), row["p"])):
        effect_words = f"; effect {number(row['value'], 2)} sd; {p_value(row['p'])}" if not math.isnan(row["p"]) else ""
        result_words = (
            f"AUROC {number(row['auroc'], 2)}; {row['found']}{effect_words}" if row["folder"] else row["reason"]
        )
        print(f"{row['label']}: {result_words}")
    print(LABELS_NOTE)
    print(f"report: {out / PAGE}, {out / TABLE}")


def _with_references(request: AuditRequest, is_quiet: bool) -> AuditRequest:
    """Return what is asked with reference networks, which are trained where they are not there."""
    watch, say = observe_nothing if is_quiet else show_training, speaker(is_quiet)
    return request.with_changes(references=train_references(request, watch=watch, say=say))


def prepare_command(folder: Path, request: AuditRequest, is_quiet: bool) -> None:
    """Write the images of an audit for a model elsewhere, and print what to do next.

    Raises:
        SpecError: The folder is not empty, or the request is wrong.
        DataError: Rows cannot be read.
    """
    request = change_data(images_of(request, is_quiet), _anywhere)
    with _trusted_marks(request), show_reading(quiet=is_quiet) as on_progress:
        count = prepare_images(folder, request, on_progress=on_progress, say=speaker(is_quiet))
    print(f"{count:,} images in {folder / IMAGES}, named in {folder / NAMES}")
    if request.task == "segmentation":
        print(f"write a mask of each, 0 for background, to a folder, then: assay audit score {folder} masks")
        return
    print(f"write a CSV with the column image and one column per score, then: assay audit score {folder} scores.csv")


def score_command(folder: Path, scores: Path, request: AuditRequest, *, is_quiet: bool, json: bool) -> None:
    """Finish an audit from scores or masks, print the verdicts, and end with 3 where a policy is not met.

    Raises:
        SpecError: Images are not those that were prepared, or the model seems to be read wrongly.
        DataError: The folder or the scores cannot be used.
    """
    rules = None if request.policy is None else read_policy(request.policy)
    with _trusted_marks(request), show_reading(quiet=is_quiet) as on_progress:
        if request.networks:
            request = _with_references(prepared_request(folder, request), is_quiet or json)
        result = finish_audit(folder, scores, request, on_progress=on_progress, say=speaker(is_quiet or json))
    print_answer(result, rules, json)


def show_training(tasks: Sequence[Task]) -> AbstractContextManager[Observer]:
    """Return the display of reference networks while they are trained and audited."""
    return display_for(tasks, default_workers(), as_json=False)


def _print_plan(request: AuditRequest, plan: AuditSize, seconds_per_image: float, json: bool) -> None:
    """Print the plan. Raises SpecError where images do not suffice to train reference networks."""
    parts = None
    if request.networks and request.task == "classification":
        request_with_images = images_of(request)
        parts = parts_of(request_with_images.data, request_with_images.train, skip_bad_rows=request.skip_bad_rows).rows
    if json:
        counts = {
            "images": plan.clean_images,
            "marked": plan.marked_images,
            "searched": plan.searched_images,
            "passes": plan.passes,
        }
        trained = {"references": request.networks, "references trained on": len(parts["train"])} if parts else {}
        print(json_text({**counts, "seconds": plan.passes * seconds_per_image, **trained}), end="")
        return
    if parts:
        print(
            f"{request.networks} reference networks are first trained on {len(parts['train']):,} images, and audited "
            f"on {len(parts['test']):,}; the time below is without them"
        )
    print(f"{plan.searched_images:,} images searched for a region")
    print(f"{plan.words}; {plan.distortions} distortions at {plan.severities} severities")
    took = f"{1000 * seconds_per_image:.3g} ms each"
    print(
        f"{plan.passes:,} passes of images through the model at most, {took}: about "
        f"{duration(plan.passes * seconds_per_image)}"
    )


def compare_command(request: AuditsRequest) -> None:
    """Compare two audits and print the differences.

    Raises:
        SpecError: A folder holds no audit, or the audits are of different images.
    """
    rows = compare_audits(request.a, request.b)
    read = reading_lines(StoredAudit(RunFolder(request.a)).facts)
    page = None if request.out is None else carry_out(AuditsRun(request, rows), request.out, InProcess()).page
    if request.as_json:
        facts = {
            "read": read,
            "a": str(request.a),
            "b": str(request.b),
            "answer": comparison_answer(rows, request.names),
        }
        print(json_text({**facts, "compared": rows}), end="")
        return
    lines = [*read, *comparison_answer(rows, request.names), *comparison_lines(rows, request.names)]
    print_lines([*lines, *([] if page is None else [f"report: {page}"])])


# The model.


def _origin(request: AuditRequest) -> Origin:
    if request.score:
        raise SpecError("--score is for predictions: a model gives its own")
    if request.command:
        request.require_used(FIELDS_NOT_OF_COMMANDS, "is for models in a file: a command has its own")
        if request.model:
            raise SpecError("give a model or --command, not both")
    elif not request.model:
        raise SpecError("name a model: an .onnx file, timm:NAME with --weights, or --command")
    return origin_of(request)


# The images.


def images_of(request: AuditRequest, is_quiet: bool = True) -> AuditRequest:
    """Return the request with its images, and those of the training, as `data` of a study.

    Raises:
        SpecError: There is no such file or folder, a column is missing, or something is named that they do not use.
        DataError: A table cannot be read.
    """
    if not request.data:
        raise SpecError("name the images with --images: a CSV with a row per image, or a folder")
    if request.mask:
        request.require_used(FIELDS_NOT_OF_MASKS, "is for classes: with --mask, pixels are called")
    if request.mask and request.target not in ("", LESION.name):
        raise SpecError(f"--target {request.target} is for classes: with --mask, the class is whether a mask shows any")
    read = with_images(request, speaker(is_quiet))
    return read if request.mask else change_data(read, _drop_masks)


def change_data(request: AuditRequest, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> AuditRequest:
    """Return the request with its images, and those of the training, changed."""
    return request.with_changes(data=change(request.data), train=request.train and change(request.train))


def _drop_masks(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return `data` without the masks that nobody asked for, where there is a class besides."""
    drop = {"mask", "unmasked", "mask_values"} if data.get("target") != LESION.name else set[str]()
    return {name: value for name, value in data.items() if name not in drop}


def _anywhere(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return `data` with whole paths, which hold in any working directory."""
    return {**data, **{key: str(Path(data[key]).resolve()) for key in ("folder", "classes") if key in data}}
