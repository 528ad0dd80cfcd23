"""`assay audit`: audit a model on images, and print the verdicts."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from assay.audit.compare import AuditsRun, Kept, compare_audits
from assay.audit.compare_page import comparison_answer, comparison_lines
from assay.audit.labels import ALL, LABELS_NOTE, PAGE, TABLE, audit_labels
from assay.audit.origins import origin_of
from assay.audit.plan import Planned
from assay.audit.policy import read_policy
from assay.audit.predictions_command import answer, speaker
from assay.audit.prepared import IMAGES, NAMES, finish_audit, prepare_images, prepared_request
from assay.audit.reference_networks import parts_of, trained_references
from assay.audit.remedy import BALANCED, COVERED, remedy
from assay.audit.request import NOT_OF_COMMANDS, NOT_OF_MASKS, Asked, AuditsRequest
from assay.audit.run import run_audit
from assay.core.errors import ReadingError, SpecError
from assay.core.request import as_options, errors_as_options, names
from assay.data.files.guess import tables_in
from assay.data.files.request import data_of
from assay.execution.local import InProcess, choose_device, default_workers
from assay.execution.progress import display_for, reading_shown
from assay.execution.run import carry_out, quietly
from assay.execution.tasks import Observer, Task
from assay.models.external import OfCommand
from assay.models.ref import Origin
from assay.report.page import write_page
from assay.report.sentences.reading import reading_lines
from assay.spec.data import LESION
from assay.stats.format import duration, number, p_value
from assay.store.files import json_text
from assay.store.folder import RunFolder


def audit_command(asked: Asked, *, dry_run: bool, quiet: bool, json: bool) -> None:
    """Audit a model, print the verdicts, and end with 3 where a policy is not met.

    Raises:
        SpecError: The request is wrong.
        DataError: Images or predictions cannot be read.
    """
    rules = None if asked.policy is None else read_policy(asked.policy)
    origin = _origin(asked)
    if asked.output == ALL:
        _audit_labels(origin, asked, dry_run, quiet, json)
        return
    found = _audited(origin, asked, asked.out or Path("audits") / origin.name, dry_run, quiet, json)
    if isinstance(found, tuple):
        _print_plan(asked, *found, json)
        return
    answer(found, rules, json)


def _audited(
    origin: Origin, asked: Asked, out: Path, dry_run: bool, quiet: bool, json: bool
) -> Path | tuple[Planned, float]:
    """Audit a model, and return the folder; of a dry run the plan and the seconds an image takes."""
    with _errors_as_options():
        data, train = images_of(asked, quiet or json)
    asked = asked.but(train=train)
    if asked.networks and not dry_run:
        asked = _with_references(data, asked, quiet or json)
    with reading_shown(quietly=quiet) as notify, _errors_as_options():
        return run_audit(origin, data, asked, device=choose_device(asked.device), skip_bad_rows=asked.skip_bad_rows,
                         out=out, dry_run=dry_run, notify=notify, say=speaker(quiet or json))  # fmt: skip


def _audit_labels(origin: Origin, asked: Asked, dry_run: bool, quiet: bool, json: bool) -> None:
    """Audit every label of a model, and print a line of each, those with the smallest p first."""
    if dry_run or asked.policy is not None:
        raise SpecError("--output all: --dry-run and --policy are for one output")
    out = asked.out or Path("audits") / origin.name

    def audit(model: Origin, label: str, output: int, folder: Path) -> Path:
        found = _audited(model, asked.but(target=label, output=str(output)), folder, False, quiet, json)
        assert isinstance(found, Path)
        return found

    path = Path(asked.labels or asked.images).expanduser()
    labels = names(asked.target)
    rows = audit_labels(origin, labels, next(iter(tables_in(path)), path), out, audit)
    if json:
        print(json_text(rows), end="")
        return
    for row in sorted(rows, key=lambda row: (math.isnan(row["p"]), row["p"])):
        sure = f"; effect {number(row['value'], 2)} sd; {p_value(row['p'])}" if not math.isnan(row["p"]) else ""
        what = f"AUROC {number(row['auroc'], 2)}; {row['found']}{sure}" if row["folder"] else row["reason"]
        print(f"{row['label']}: {what}")
    print(LABELS_NOTE)
    print(f"report: {out / PAGE}, {out / TABLE}")


def _with_references(data: Mapping[str, Any], asked: Asked, quiet: bool) -> Asked:
    """Return what is asked with reference networks, which are trained where they are not there."""
    watch, say = quietly if quiet else shown, speaker(quiet)
    with _errors_as_options():
        root = trained_references(data, asked.train, asked, asked.networks, watch=watch, say=say)
    return asked.but(references=root)


def prepare_command(folder: Path, asked: Asked, quiet: bool) -> None:
    """Write the images of an audit for a model elsewhere, and print what to do next.

    Raises:
        SpecError: The folder is not empty, or the request is wrong.
        DataError: Rows cannot be read.
    """
    with _errors_as_options():
        data, train = images_of(asked, quiet)
    data, asked = _anywhere(data), asked.but(train=None if train is None else _anywhere(train))
    with reading_shown(quietly=quiet) as notify, _errors_as_options():
        count = prepare_images(folder, data, asked, skip_bad_rows=asked.skip_bad_rows, notify=notify,
                               say=speaker(quiet))  # fmt: skip
    print(f"{count:,} images in {folder / IMAGES}, named in {folder / NAMES}")
    if asked.task == "segmentation":
        print(f"write a mask of each, 0 for background, to a folder, then: assay audit score {folder} masks")
        return
    print(f"write a CSV with the column image and one column per score, then: assay audit score {folder} scores.csv")


def score_command(folder: Path, scores: Path, asked: Asked, *, name: str, quiet: bool, json: bool) -> None:
    """Finish an audit from scores or masks, print the verdicts, and end with 3 where a policy is not met.

    Raises:
        SpecError: Images are not those that were prepared, or the model seems to be read wrongly.
        DataError: The folder or the scores cannot be used.
    """
    rules = None if asked.policy is None else read_policy(asked.policy)
    if asked.networks:
        data, known, _ = prepared_request(folder, asked)
        asked = _with_references(data, known, quiet or json)
    with reading_shown(quietly=quiet) as notify:
        found = finish_audit(folder, scores, asked, name=name, out=asked.out, notify=notify,
                             say=speaker(quiet or json))  # fmt: skip
    answer(found, rules, json)


@contextmanager
def _errors_as_options() -> Generator[None]:
    """Let errors name options in place of keys; errors of a model are those of the request."""
    try:
        with errors_as_options():
            yield
    except ReadingError as error:
        raise SpecError(as_options(str(error))) from error


def shown(tasks: Sequence[Task]) -> AbstractContextManager[Observer]:
    """Return the display of reference networks while they are trained and audited."""
    return display_for(tasks, default_workers(), as_json=False)


def _print_plan(asked: Asked, plan: Planned, each: float, json: bool) -> None:
    """Print the plan. Raises SpecError where images do not suffice to train reference networks."""
    parts = None
    if asked.networks and asked.task == "classification":
        parts = parts_of(*images_of(asked)).rows
    if json:
        counts = {"images": plan.clean, "marked": plan.marked, "searched": plan.searched, "passes": plan.passes}
        trained = {"references": asked.networks, "references trained on": len(parts["train"])} if parts else {}
        print(json_text({**counts, "seconds": plan.passes * each, **trained}), end="")
        return
    if parts:
        print(f"{asked.networks} reference networks are first trained on {len(parts['train']):,} images, and audited "
              f"on {len(parts['test']):,}; the time below is without them")  # fmt: skip
    print(f"{plan.searched:,} images searched for a region")
    print(f"{plan.words}; {plan.distortions} distortions at {plan.severities} severities")
    took = f"{1000 * each:.3g} ms each"
    print(f"{plan.passes:,} passes of images through the model at most, {took}: about {duration(plan.passes * each)}")


def remedy_command(audit: Path, folder: Path, swap: bool, quiet: bool) -> None:
    """Cover the mark that an audit found, and print what to do next.

    Raises:
        SpecError: The folder holds no audit, no mark was found, or the new folder is not empty.
        DataError: The images changed since.
    """
    with reading_shown(quietly=quiet) as notify:
        made = remedy(audit, folder, swapped=swap, notify=notify)
    if not made.trained:
        print("these are the test images: do not train on them. Audit again with --train to cover the training images")
    place = f"{100 * made.share:.0f}% of each image covered by that of {made.donors:,} without it"
    print(f"{made.what} is on {made.carriers:,} of {made.searched:,} images that were searched, and perhaps on others")
    print(f"{folder / COVERED}: {made.images:,} images, {place}")
    balance = "the mark on half of each class" if made.balanced else "since all images of a class carry it, or none do"
    print(f"{folder / BALANCED}: {made.balanced:,} of {made.searched:,} rows, {balance}")
    if made.doubtful:
        print(
            "caution: what the page shows with it looks drawn, and is on all images now: look whether --swap is right"
        )
    if made.trained:
        again = "audit with the same options (--train as before)"
        print(f"retrain on the covered images, {again}, then: assay audit compare {audit} NEW")


def compare_command(asked: AuditsRequest) -> None:
    """Compare two audits and print the differences.

    Raises:
        SpecError: A folder holds no audit, or the audits are of different images.
    """
    rows = compare_audits(asked.a, asked.b)
    read = reading_lines(Kept(RunFolder(asked.a)).facts)
    page = None if asked.out is None else carry_out(AuditsRun(asked, rows), asked.out, InProcess(), write_page).page
    if asked.as_json:
        said = {"read": read, "a": str(asked.a), "b": str(asked.b), "answer": comparison_answer(rows, asked.names)}
        print(json_text({**said, "compared": rows}), end="")
        return
    for line in [*read, *comparison_answer(rows, asked.names), *comparison_lines(rows, asked.names)]:
        print(line)
    if page is not None:
        print(page)


# The model.


def _origin(given: Asked) -> Origin:
    if given.score:
        raise SpecError("--score is for predictions: a model gives its own")
    if given.command:
        given.require_used(NOT_OF_COMMANDS, "is for models in a file: a command has its own")
        if given.model:
            raise SpecError("give a model or --command, not both")
        return OfCommand(given.command, given.time_limit, given.memory)
    if not given.model:
        raise SpecError("name a model: an .onnx file, timm:NAME with --weights, or --command")
    return origin_of(given.model, weights=given.weights, trust=given.trust, limit=given.time_limit,
                     memory=given.memory, output=given.output)  # fmt: skip


# The images.


def images_of(given: Asked, quiet: bool = True) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return `data` of a study of the images, and of those of the training where these are given.

    Raises:
        SpecError: There is no such file or folder, a column is missing, or something is named that they do not use.
        DataError: A table cannot be read.
    """
    if not given.images:
        raise SpecError("name the images with --images: a CSV with a row per image, or a folder")
    if given.mask:
        given.require_used(NOT_OF_MASKS, "is for classes: with --mask, pixels are called")
    if given.mask and given.target not in ("", LESION.name):
        raise SpecError(f"--target {given.target} is for classes: with --mask, the class is whether a mask shows any")
    say, lenient = speaker(quiet), False
    made: list[dict[str, Any]] = []
    for option, place in (("--images", given.images), ("--train", given.train_images)):
        if place:
            # What is named is named of the images; those of the training have the same columns, if they have a table.
            named = {**given.named, **({"columns": ()} if lenient else {"labels": given.labels})}
            read = data_of(place, option, lenient, **named)
            if read.line:
                say(f"{option} {place}: {read.line}")
            made.append({**_classified(read.data, given), **given.keys})
        lenient = True
    return made[0], made[1] if len(made) > 1 else None


def _classified(data: Mapping[str, Any], given: Asked) -> dict[str, Any]:
    """Return `data` without the masks that nobody asked for, where there is a class besides."""
    drop = {"mask", "unmasked", "mask_values"} if not given.mask and data.get("target") != LESION.name else set[str]()
    return {name: value for name, value in data.items() if name not in drop}


def _anywhere(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return `data` with whole paths, which hold in any working directory."""
    return {**data, **{key: str(Path(data[key]).resolve()) for key in ("folder", "classes") if key in data}}
