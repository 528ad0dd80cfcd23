"""Audit in two steps: write the images that an audit reads, and finish it from scores that were made elsewhere."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Container, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from assay.audit.checks import N_FIRST_IMAGES
from assay.audit.model import open_images
from assay.audit.plan import (
    AuditPlan,
    StageCallback,
    plan_sizes,
    require_classes_for_task,
    require_consistent,
    take_with_masks,
)
from assay.audit.request import AuditRequest
from assay.audit.run import run_audit
from assay.core.errors import DataError, SpecError, StoreError
from assay.core.files import content_hash, is_file, is_folder, sha256
from assay.core.registry import code_of_folder
from assay.data.cache import ProgressCallback, no_progress
from assay.data.files.table import read_table
from assay.models.external import FIRST_CHANNEL, mask_of, picture_of, read_lesion_map, read_scores
from assay.models.ref import FunctionNetwork, ModelFacts, Origin
from assay.spec.request import parse_request
from assay.store.files import csv_text, read_checked_json, write_checked_json, write_text
from assay.store.folder import received_folder
from assay.store.local import keep_paths, require_paths, restore_paths
from assay.store.manifest import UNLINK, changes, is_ours, write_manifest

IMAGES, NAMES, PREPARED = "images", "images.csv", "prepared.json"
Predict = Callable[[Tensor], Tensor]
_BATCH_SIZE = 64
"""Images in a batch."""
_IMAGE_FIELDS = ("data", "task", "domain", "margin", "budget", "seed", "distortions", "marks", "train", "skip_bad_rows")
"""Fields of `AuditRequest` that determine the images, or are about them."""


def _name_picture(image: Float[Tensor, "c h w"], end: str) -> tuple[str, Image.Image]:
    """Return a picture with its file name, which is a hash of its pixels: it says nothing of class or mark."""
    picture = picture_of(image)
    return f"{hashlib.sha256(f'{picture.size}'.encode() + picture.tobytes()).hexdigest()[:16]}{end}.png", picture


def _score_lookup(scores: Mapping[str, Sequence[float]]) -> Predict:
    """Return a function that looks up scores of a table by the pixels of each image."""
    return lambda images: torch.tensor(
        [scores[name] for name in _names_of_images(images, "", scores)], dtype=torch.float64
    )


def _mask_lookup(masks: Mapping[str, Path]) -> Predict:
    """Return a function that looks up log-odds of a lesion by the pixels of each image. It refuses wrong masks."""

    def look_up_masks(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
        sides = (images.shape[2], images.shape[3])
        return torch.stack(
            [read_lesion_map(masks[name], sides) for name in _names_of_images(images, FIRST_CHANNEL, masks)]
        )

    return look_up_masks


def _names_of_images(images: Float[Tensor, "b c h w"], end: str, prepared: Container[str]) -> list[str]:
    """Return names of images. Raises DataError for those that were not prepared."""
    names = [_name_picture(image, end)[0] for image in images]
    missing = [name for name in names if name not in prepared]
    if missing:
        raise DataError(
            f"{len(missing)} images are not those that were prepared: the data or Assay changed; prepare them again"
        )
    return names


@dataclass(frozen=True)
class _PredictionsByPicture(Origin):
    """A model whose outputs for prepared images are known, looked up by the pixels of each image.

    Attributes:
        display_name: Its name.
        digest: Hash of its scores or masks.
        predict: Returns its outputs for images.
        columns: Names of its scores.
    """

    display_name: str
    digest: str
    predict: Predict
    columns: tuple[str, ...] = ()
    kind = "pictures"
    complete = True
    opaque = "a table of scores"

    @property
    def name(self) -> str:
        """Its name."""
        return self.display_name

    @property
    def facts(self) -> ModelFacts:
        """The names of its scores."""
        return ModelFacts(outputs=self.columns)

    def network(self, device: str) -> nn.Module:
        """Return a module that gives these outputs."""
        return FunctionNetwork(lambda images: self.predict(torch.as_tensor(images)))

    def _content(self) -> str:
        return self.digest


def prepare_images(
    folder: Path,
    request: AuditRequest,
    *,
    on_progress: ProgressCallback = no_progress,
    say: StageCallback = lambda text: None,
) -> int:
    """Write the images of an audit, with and without marks, to `images/` with their names in `images.csv`.

    Args:
        folder: A new or empty folder.
        request: What to do, with `data` of a study and the size of images. `finish_audit` takes what is about scores.
        on_progress: Callback for images while they are read.
        say: Callback for each step.

    Returns:
        The number of images.

    Raises:
        SpecError: The folder is not empty, or the request is wrong.
        DataError: Rows cannot be read, or all are of one class.
    """
    with new_folder(folder / IMAGES):
        names = _write_images(folder / IMAGES, request, on_progress, say)
    write_text(folder / NAMES, csv_text([["image"], *([name] for name in sorted(names))]))
    fields = {name: getattr(request, name) for name in _IMAGE_FIELDS}
    write_checked_json(folder / PREPARED, keep_paths(folder, Path(PREPARED).stem, fields))
    write_manifest(folder, {}, ours=True)
    return len(names)


@contextmanager
def new_folder(folder: Path) -> Generator[None]:
    """Make a folder in a new or empty one, and remove it again if writing to it fails. Raises SpecError."""
    if folder.parent.is_dir() and any(folder.parent.iterdir()):
        raise SpecError(f"{folder.parent} is not empty: give a new folder")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise SpecError(f"{folder} cannot be made: {error.strerror}; give a new folder") from error
    try:
        yield
    except BaseException:
        shutil.rmtree(folder)  # so that the folder can be given again
        raise


def _write_images(folder: Path, request: AuditRequest, on_progress: ProgressCallback, say: StageCallback) -> set[str]:
    """Write the images that an audit reads, and return their names."""
    require_consistent(request)
    if "size" not in request.data:
        raise SpecError("size: a model elsewhere does not tell the size of its images; give it in pixels, such as 224")
    spec = parse_request(request.data, {"all": {}}, ("performance",), request.task)
    _, _, scene = open_images(spec, request.seed, skip_bad_rows=request.skip_bad_rows, on_progress=on_progress)
    all_images = scene.environment("all")
    require_classes_for_task(request, all_images.table)
    plan = AuditPlan(all_images, request, plan_sizes(request, all_images, search=False), {})
    say(plan.sizes.words)
    names = set[str]()
    for make_images in (
        lambda: take_with_masks(all_images, np.arange(min(N_FIRST_IMAGES, len(all_images)))),
        *(reading.images for reading in plan.readings()),
    ):
        try:
            environment = make_images()
        except SpecError:  # the mark is not tested
            continue
        for part in np.array_split(np.arange(len(environment)), max(1, len(environment) // _BATCH_SIZE)):
            for image in environment.images.read(part):
                name, picture = _name_picture(image, FIRST_CHANNEL if request.task == "segmentation" else "")
                if name not in names:
                    picture.save(folder / name)
                    names.add(name)
    return names


def finish_audit(
    folder: Path,
    scores: Path,
    request: AuditRequest,
    *,
    on_progress: ProgressCallback = no_progress,
    say: StageCallback = lambda text: None,
) -> Path:
    """Finish an audit from the scores or masks of the prepared images. Return the run folder.

    Args:
        folder: Folder that `prepare_images` wrote.
        scores: A CSV, see `external.read_scores`; of a segmentation, a folder with a file for each image, see
            `external.read_lesion_map`.
        request: What is about scores: output, head, threshold, references and so on. What determines the images is
            taken from the folder. The name of the model is by default that of the file, and `out` is `audit` in the
            folder.
        on_progress: Callback for images while they are read.
        say: Callback for each step.

    Raises:
        SpecError: Images are not those that were prepared, or the model seems to be read wrongly.
        DataError: The folder, the table or a mask cannot be used.
    """
    request = prepared_request(folder, request)
    out = request.out or folder / "audit"
    _require_inside(folder.absolute(), out.absolute())
    columns: Sequence[str] = ()
    if request.task == "segmentation":
        request.require_used({"scores"}, "is for scores: masks are read as their format says")
        masks = _masks_of(scores, folder)
        predict = _mask_lookup(masks)
        digest = content_hash({key: sha256(path) for key, path in masks.items()})
        request = request.with_changes(scores="logits")
    else:
        names = _prepared_names(folder)
        values, columns, n_other_rows = read_scores(scores, names)
        if n_other_rows:
            say(f"{scores.name}: {n_other_rows:,} rows are of no image that was prepared, and were not read")
        predict = _score_lookup(dict(zip(names, values.tolist(), strict=True)))
        digest = sha256(scores)[:16]
    origin = _PredictionsByPicture(request.name or scores.stem, digest, predict, tuple(columns))
    request = request.with_changes(out=out)
    with code_of_folder():  # its marks may name code
        audit = run_audit(origin, request, from_prepared_images=True, on_progress=on_progress, say=say)
    assert isinstance(audit, Path)
    return audit


def prepared_request(folder: Path, request: AuditRequest) -> AuditRequest:
    """Return a request with all that determines prepared images.

    Args:
        folder: Folder that `prepare_images` wrote.
        request: What is about scores.

    Raises:
        DataError: Nothing was prepared there, or a file is missing or altered.
    """
    if not is_file(folder / PREPARED):
        raise DataError(f"{folder} has no {PREPARED}: write it with assay audit prepare")
    try:
        wrong = [change.text for change in changes(folder) if change.how != "extra"]
    except StoreError as error:
        wrong = [str(error)]
    if wrong:
        raise DataError(f"{wrong[0]}; prepare the images again in a new folder")
    received_folder.set(None if is_ours(folder) else folder)
    prepared = restore_paths(folder, Path(PREPARED).stem, read_checked_json(folder / PREPARED))
    require_paths(folder, prepared.get("data"), "prepare the images again here")
    try:
        if prepared.keys() != set(_IMAGE_FIELDS) or not isinstance(prepared["data"].get("size"), int):
            raise SpecError("other keys than those of prepared images")
        prepared_fields = AuditRequest(**prepared)
    except (AttributeError, SpecError) as error:
        raise DataError(
            f"{folder / PREPARED}: its content is not what this version of Assay writes; prepare the images again"
        ) from error
    return request.with_changes(**{name: getattr(prepared_fields, name) for name in _IMAGE_FIELDS})


def _require_inside(folder: Path, out: Path) -> None:
    """Check that no link in the folder leads the audit elsewhere, and that no records came with it.

    Others may have handed it over, and records of an audit that did not end are checked for damage alone.
    """
    for path in (out, *out.parents):
        if folder in path.parents and path.is_symlink():
            raise DataError(f"{path} is a link, which may lead anywhere; {UNLINK}")
    if folder in out.parents and is_folder(out) and any(out.iterdir()) and not (is_ours(folder) or is_ours(out)):
        raise DataError(
            f"{out} was there already, in images that this user did not prepare here; choose another place with --out"
        )


def _masks_of(path: Path, folder: Path) -> dict[str, Path]:
    """Return the mask of every prepared image. Raises DataError where one is missing."""
    if not is_folder(path):
        raise DataError(f"masks are read from a folder, and {path} is none")
    masks, names = dict[str, Path](), _prepared_names(folder)
    for name in names:
        mask = mask_of(path, name)
        if mask is not None:
            masks[name] = mask
    missing = [name for name in names if name not in masks]
    if missing:
        raise DataError(f"{path} has no mask of {len(missing):,} of {len(names):,} images, such as {missing[0]}")
    return masks


def _prepared_names(folder: Path) -> Sequence[str]:
    return read_table(folder / NAMES, "image").column("image", NAMES)
