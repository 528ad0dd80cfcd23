"""Checks of an audit: of its images, and of how the model reads them: outputs, scaling and framing."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.audit.model import SCALINGS, Config, PreparedAudit
from assay.audit.origins import TrainedOrigin
from assay.audit.request import FEW_PATIENTS, FEW_PATIENTS_TEXT, AuditRequest
from assay.audit.scored import CHANNEL, INVERTED_GRAY, check, threshold_without_predictions
from assay.audit.swing import MIN_GAIN, auroc_gain
from assay.core.codes import Code
from assay.core.errors import SpecError, key_text, shorten
from assay.core.files import content_hash
from assay.core.request import ScoreScale
from assay.core.types import FactorTable
from assay.data.cache import ArrayCache
from assay.data.dataset import Dataset, Images, ImagesWrapper
from assay.data.files.build import FileCopies
from assay.data.files.classes import answered
from assay.data.files.joins import same_id
from assay.data.files.load import load_images
from assay.data.leakage import image_hashes
from assay.data.near_copies import NearPair, compares_full_images_only
from assay.data.outside import shared_patients
from assay.execution.jobs import population_of, stored_reading, write_reading
from assay.look.checks import DataChecks, certain_copies
from assay.models.external import OnnxModel
from assay.models.ref import GivenModel, Output, Scaling
from assay.probes.probe import ModelOutputs
from assay.probes.reader import ModelReading, ReadingError, eval_mode, logits_per_class
from assay.report.sentences.reasons import reason_words
from assay.report.sentences.scores import scale_words
from assay.shifts.environment import Environment
from assay.shifts.population import PopulationScene
from assay.spec.request import ProbeSpec, parse_request
from assay.spec.schema import Fit
from assay.stats.bounds import ALPHA
from assay.stats.format import join_words
from assay.stats.metrics import auroc
from assay.stats.panel import effective_patients_of_classes
from assay.stats.scores import scale_of
from assay.store.files import Row

MAX_NUMBER_PER_PATIENT = 2
"""Largest patient number, as a multiple of the number of patients, of data that seem to count patients from 1."""
_FRAMING = ("size", "channels", "fit", "crop_share", "resize", "preprocessing")
"""Keys of `data` that images of the training have from those of the audit: what the model is given."""


def checks_of_images(
    all_images: Environment,
    audited: Environment,
    prepared: PreparedAudit,
    checks: DataChecks,
    train: Mapping[str, Any] | None,
) -> Iterator[Row]:
    """Yield rows of `tables.AUDIT_CHECKS` on the images.

    Args:
        all_images: All images in the data.
        audited: The images that the model reads.
        prepared: The model and its request.
        checks: The checks of the images themselves.
        train: As `data` of a study, the images that the model was trained on; None where they are not known.
    """
    patients = effective_patients_of_classes(audited.table.target, audited.table.patient)
    if prepared.request.data.patient and patients < FEW_PATIENTS:
        yield check("few-patients", "warn", FEW_PATIENTS_TEXT, patients)
    for reason in checks.reasons:
        code = reason.codes[0]
        is_undone = code in (Code.DRAWN_IMAGES, Code.COPIES_UNCHECKED)
        yield check(
            str(code), "not-done" if is_undone else "ok" if code.light == "ok" else "warn", reason_words(reason)
        )
    yield from _training_checks(all_images, audited, prepared, train)


def _audited_words(audited: Environment, all_images: Environment) -> str:
    is_part = len(audited) < len(all_images)
    return f"{len(audited):,} of {len(all_images):,} images" if is_part else f"all {len(all_images):,} images"


def training_scene(prepared: PreparedAudit, train: Mapping[str, Any]) -> tuple[ProbeSpec, PopulationScene]:
    """Return the training images, framed as those of the audit. Raises SpecError or DataError."""
    data_of_audit = prepared.request.data
    framing = {key: getattr(data_of_audit, key) for key in _FRAMING}
    request = parse_request({**train, **framing}, {"all": {}}, ("performance",), prepared.request.task)
    workspace = replace(prepared.workspace, root=Path())
    population = population_of(request.data, workspace, all_tested=True, compare_with=prepared.population.dataset)
    return request, population.scene(request.tests, 0)


def _training_checks(
    all_images: Environment, audited: Environment, prepared: PreparedAudit, train: Mapping[str, Any] | None
) -> Iterator[Row]:
    if train is None:
        yield check(
            "training-images",
            "not-done",
            "no training images were given: independence of these images from training is not established",
        )
        return
    request, scene = training_scene(prepared, train)
    images, dataset, train_set = scene.environment("all").images, prepared.population.dataset, scene.population.dataset
    copies = int(np.isin(image_hashes(all_images.images), image_hashes(images)).sum())
    pairs: Sequence[NearPair] | None = None
    searches = [images.search for images in (dataset, train_set) if images is not None]
    match searches:
        case [FileCopies() as search, FileCopies() as training]:
            pairs = replace(search, training=training).among(audited.table.row)
        case _:
            pass
    certain_pairs = certain_copies(pairs or ())
    certain, suspected = max(copies, len(certain_pairs)), len({pair.second for pair in pairs or ()} - certain_pairs)
    kinds_of_copies = (
        "turned and mirrored"
        if compares_full_images_only(len(images) + len(audited))
        else "turned, mirrored and cropped"
    )
    near_copies_text = (
        f", {kinds_of_copies} ones too"
        if len(audited) == len(all_images)
        else f"; {kinds_of_copies} ones among {_audited_words(audited, all_images)}"
    )
    near_copies_text = "; near copies were not searched" if pairs is None else near_copies_text
    near_copies_text += f"; {suspected:,} more are very similar: look at them" if suspected else ""
    text = f"images that are copies of one of {len(images):,} training images{near_copies_text}"
    yield check("training-copies", "warn" if certain else "ok", text, certain)
    if dataset is None or train_set is None:
        yield check("training-patients", "not-done", "patients are not named in a file of both sets")
        return
    shared_result = shared_patients(prepared.request.data, dataset, request.data, train_set)
    shared = len(shared_result.names)
    if shared_result.why:
        yield check("training-patients", "not-done", f"patients of the two sets were not compared: {shared_result.why}")
    elif (
        shared
        and prepared.request.data.folder != request.data.folder
        and all(map(_counts_from_1, (dataset, train_set)))
    ):
        yield check(
            "training-patients",
            "not-done",
            "both sets number their patients from 1, so it is unknown whether a number is the same patient in both",
        )
    else:
        yield check(
            "training-patients",
            "warn" if shared else "ok",
            f"patients who are in the training images too{shared_result.how}",
            shared,
        )


def _counts_from_1(dataset: Dataset) -> bool:
    names = {same_id(name) for name in dataset.names}
    return all(name.isdecimal() for name in names) and max(map(int, names)) <= MAX_NUMBER_PER_PATIENT * len(names)


_MAX_SCORES = 100
"""Columns of a tensor beyond which it has features, not scores."""
N_FIRST_IMAGES = 32
"""First images, whose outputs show their kind and shape."""
_SUM_TOLERANCE = 1e-3
"""Tolerance within which the probabilities of a softmax add up to 1."""
_GUESSED_HEAD = (
    "the model gives several logits, which were read as independent of each other; give --head softmax where they "
    "exclude each other"
)


# The output that is read, and what its scores are.


def with_outputs(prepared: PreparedAudit, all_images: Environment, request: AuditRequest) -> PreparedAudit:
    """Return the model with its outputs matched to the classes, from its outputs for a few images.

    Args:
        prepared: The model and its images.
        all_images: All images.
        request: What is asked, with the position or name of the output to read, of several, or the names of all.

    Raises:
        SpecError: Outputs are NaN, one of several must be named, or their names are not those of the classes.
    """
    raw = _scores_of_few(prepared, all_images)
    model, classes, n_outputs = prepared.model, all_images.table.classes, raw.shape[1]
    if model.task == "segmentation":
        return _with_maps(prepared, raw, all_images, request.scores)
    model_facts, output = model.origin.facts, request.output
    if model_facts.heads and output.partition(":")[0] in model_facts.heads:
        output = output.partition(":")[2]
    output_names = request.outputs or model_facts.outputs or prepared.names
    names = tuple(answered(name, classes) for name in output_names)  # 1 and yes name a class too
    if request.outputs and n_outputs > 1 and len(names) != n_outputs:
        raise SpecError(f"outputs: {len(names)} names ({join_words([*names])}), and the model gives {n_outputs} scores")
    output_text = (
        [f"{model_facts.heads[0]}, of {join_words(sorted(model_facts.heads))}"] if len(model_facts.heads) > 1 else []
    )
    if output:
        is_softmax = request.head == "softmax" or (request.head == "auto" and _is_softmax(raw))
        if len(names) != n_outputs:  # outputs that do not exclude each other need not be the classes of the target
            names = classes if is_softmax and len(classes) == n_outputs else ()
        chosen_output = Output(_output_position(output, names, n_outputs), "sigmoid")
        model = replace(model, output=chosen_output if n_outputs > 1 else None)
    elif len(classes) == 2 and n_outputs > 2:
        text = f": {shorten(', '.join(names), 200)}" if names else ""
        raise SpecError(
            f"the model gives {n_outputs} scores, and the target has two classes: choose one with "
            f"{key_text('--output', '0')} "
            f"to {n_outputs - 1}{text}"
        )
    elif n_outputs in (1, len(classes)) and len(names) in ((1, 2) if n_outputs == 1 else (n_outputs,)):
        order = match_outputs(names, classes, exclusive=model.origin.kind == TrainedOrigin.kind)
        if n_outputs == 1 and order:
            model = replace(model, inverted=order[-1] == 0 if len(names) == 2 else order == (0, -1))
            output_text.append(f"the score is that of '{classes[0 if model.inverted else 1]}', by its name")
        elif order and n_outputs > 1:
            threshold = model.threshold
            if order == (1, 0) and request.threshold is None and threshold is not None:  # that of its training
                threshold = math.nextafter(1 - threshold, 2)  # what was at the threshold was called the other class
            model = replace(model, order=() if order == tuple(range(n_outputs)) else order, threshold=threshold)
            order_words = [f"{name} is output {at}" for name, at in zip(classes, order, strict=True)]
            output_text.append(f"{join_words(order_words)}, by name")
    if not output and request.outputs and not match_outputs(names, classes):
        raise SpecError(f"outputs: {join_words([*request.outputs])} are none of the classes {join_words([*classes])}")
    if not (output or output_text) and isinstance(model.origin, TrainedOrigin) and n_outputs == len(classes):
        _require_same_classes(names, classes)
    if not output and n_outputs > 1 and not model.order and not output_text:
        why = (
            f"the model names its outputs {shorten(join_words([*names]), 100)}"
            if names
            else "the model does not name them"
        )
        example = f"--outputs {shlex.quote(','.join(classes))}"
        remedy = "" if request.outputs else f"; if the model has another order, name the classes in it, as in {example}"
        output_text.append(f"in the order of the classes {join_words([*classes])}: {why}{remedy}")
    return replace(prepared, model=model, outputs="; ".join(output_text))


def _with_maps(
    prepared: PreparedAudit, raw: Float[np.ndarray, "n k"], all_images: Environment, kind: ScoreScale
) -> PreparedAudit:
    """Return a segmentation network with what its maps are: probabilities, or log-odds.

    Args:
        prepared: The model and its images.
        raw: Its maps of a few images, one below the other.
        all_images: All images.
        kind: What the user calls the scores.

    Raises:
        SpecError: Maps of one channel are never below 0 and exceed 1.
    """
    channels = raw.shape[1] // math.prod(all_images.images.shape[1:])
    if kind == "auto":
        _require_log_odds_of_pixels(raw, channels)
        inside = float(raw.min()) >= 0 and float(raw.max()) <= 1 and raw.std() > 0
        kind = "probabilities" if inside else "logits"
    return replace(prepared, model=replace(prepared.model, scores=kind), channels=channels)


def _require_same_classes(names: Sequence[str], classes: Sequence[str]) -> None:
    """Raise SpecError where a network of a study has names of outputs that are not those of the classes."""
    if names and not (_is_binary(names) and _is_binary(classes)):
        raise SpecError(
            f"the network tells {join_words([*map(shorten, names)])} apart, and these images have the classes "
            f"{join_words([*classes])}: name the class of each output, in their order, with "
            f"{key_text('--outputs')} A,B"
        )


def _require_log_odds_of_pixels(raw: Float[np.ndarray, "n k"], channels: int) -> None:
    """Raise SpecError for maps of one channel that are never below 0 and exceed 1: all of each would be lesion."""
    least, greatest = float(raw.min()), float(raw.max())
    if channels != 1 or least < 0 or greatest <= 1 or least == greatest:
        return
    divisor = "divide them by 255 if they are gray values" if 100 < greatest <= 255 else "write probabilities"
    raise SpecError(
        f"the maps are from {least:.3g} to {greatest:.3g}, which log-odds of a lesion rarely are: {divisor}, or give "
        f"{key_text('--scores', 'percent')} or {key_text('--scores', 'logits')} if they are so"
    )


def _is_binary(classes: Sequence[str]) -> bool:
    """Return whether two classes are those of a column of 0 and 1, the positive one last."""
    return len(classes) == 2 and classes[0] == f"not {classes[1]}"


def match_outputs(names: Sequence[str], classes: Sequence[str], *, exclusive: bool = False) -> tuple[int, ...]:
    """Return the position of each class among names of outputs, -1 where one score needs no name; empty where none is.

    Args:
        names: Names of outputs; of one score its own, or those of both classes.
        classes: Names of the classes.
        exclusive: Whether an image is of one class alone, so that one of two names that fits tells the other.

    Raises:
        SpecError: Only some names fit.
    """
    for normalize in (str, _normalized_name):
        position_of_name = {normalize(name): at for at, name in enumerate(names)}
        positions = tuple(position_of_name.get(normalize(name), -1) for name in classes)
        if len(position_of_name) == len(names) and (min(positions) >= 0 or (len(names) == 1 and max(positions) == 0)):
            return positions
        fitting = [class_at for class_at, at in enumerate(positions) if at >= 0]
        if exclusive and len(position_of_name) == len(classes) == 2 and len(fitting) == 1:
            return (0, 1) if positions[fitting[0]] == fitting[0] else (1, 0)
    if not {_normalized_name(name) for name in names} & {_normalized_name(name) for name in classes}:
        return ()
    raise SpecError(
        f"the outputs of the model are named {shorten(join_words([*names]), 200)}, and the classes "
        f"{shorten(join_words([*classes]), 200)}: only some fit; name the class of each output, in their order, with "
        f"{key_text('--outputs')} "
        "A,B"
    )


def _normalized_name(name: str) -> str:
    return re.sub(r"[\s_]+", "", name.casefold())


def _is_softmax(raw: Float[np.ndarray, "n k"]) -> bool:
    return raw.shape[1] > 1 and bool((raw >= 0).all() and (abs(raw.sum(axis=1) - 1) < _SUM_TOLERANCE).all())


def with_scores(
    prepared: PreparedAudit, raw: Float[np.ndarray, "n k"], table: FactorTable, request: AuditRequest
) -> tuple[PreparedAudit, Float[np.ndarray, "n k"]]:
    """Return the model with the kind of its scores, found from those of all images, and its logits for them.

    Args:
        prepared: The model with its outputs matched.
        raw: Its scores, as it gives them.
        table: The images.
        request: What is asked, with what the user calls the scores and the head.

    Raises:
        SpecError: It is not clear what scores are, or one of several must be named.
    """
    model, head, kind, assumptions = prepared.model, request.head, request.scores, prepared.assumptions
    is_softmax, n_outputs = _is_softmax(raw) or _is_softmax(raw / 100), raw.shape[1]
    head_found: Literal["sigmoid", "softmax"] = head if head != "auto" else "softmax" if is_softmax else "sigmoid"
    read_scores = raw if model.output is None or head_found == "softmax" else raw[:, [model.output.column]]
    if kind == "auto" and read_scores.shape[1] > 1:  # logits of one softmax may all be positive
        in_unit_range = float(raw.min()) >= 0 and float(raw.max()) <= 1
        kind = "probabilities" if in_unit_range else "percent" if is_softmax else "logits"
    scale = scale_of(read_scores, kind, threshold_without_predictions(request.threshold, model.threshold))
    if read_scores.shape[1] > 1:
        scale = replace(scale, exact=(scale.exact[0], 0))  # of several only 0 has no logarithm
    scores = "logits" if scale.kind == "other" else scale.kind
    independent = (
        model.output is None and n_outputs == 2 and (head == "sigmoid" or (scores != "logits" and not is_softmax))
    )
    if len(table.classes) == 2 and independent:
        raise SpecError(
            f"the model gives 2 scores{'' if scores == 'logits' else ' that do not add up to 1'}, and the target has "
            f"two classes: choose one with {key_text('--output', '0')} to 1"
        )
    if model.output is not None and n_outputs > 1 and head == "auto" and scores == "logits":
        assumptions = (*assumptions, _GUESSED_HEAD)
    model = replace(
        model,
        scores=scores,
        ends=None if scores == "logits" else scale.ends,
        output=model.output and replace(model.output, head=head_found),
    )
    if read_scores.shape[1] == 1:
        odds = scale.log_odds(read_scores) * (-1 if model.inverted else 1)
        logits = np.concatenate([np.zeros_like(odds), odds], axis=1)
    else:
        logits = logits_per_class(model.logits_of(torch.as_tensor(raw)).numpy(), len(table.classes), "these images")
    assumptions = (*assumptions, *_better_output_sentences(prepared, raw, table))
    is_calibrated = scale.kind != "other"
    return replace(
        prepared, model=model, assumptions=assumptions, scores=scale_words(scale), is_calibrated=is_calibrated
    ), logits


def _better_output_sentences(
    prepared: PreparedAudit, raw: Float[np.ndarray, "n k"], table: FactorTable
) -> Iterator[str]:
    """Yield a sentence on the output with the highest AUROC where that of the audited output is much lower."""
    if prepared.model.output is None or len(table.classes) != 2 or raw.shape[1] < 2:
        return
    column, names = prepared.model.output.column, prepared.model.origin.facts.outputs
    for position, aurocs in _much_better_column(raw[:, column], np.delete(raw, column, axis=1), table):
        best = position + (position >= column)
        name = f" '{names[best]}'" if len(names) == raw.shape[1] else ""
        yield f"output {best}{name} has an AUROC of {aurocs[1]:.2f} on these images, output {column} {aurocs[0]:.2f}"


def _much_better_column(
    read: Float[np.ndarray, " n"], others: Float[np.ndarray, "n k"], table: FactorTable
) -> Iterator[tuple[int, tuple[float, float]]]:
    """Yield the column with the highest AUROC, the AUROC of `read` and its own, where that of `read` is much lower."""
    aurocs = [auroc(column, table.target).value for column in (read, *others.T.astype(np.float64))]
    best = int(np.argmax(aurocs[1:]))
    if auroc_gain(read, others[:, best], table.target, table.patient, ALPHA / others.shape[1]).low > MIN_GAIN:
        yield best, (aurocs[0], aurocs[best + 1])


def better_tensor_sentences(
    prepared: PreparedAudit, images: Environment, identity: Mapping[str, Any], logits: Float[np.ndarray, "n k"]
) -> Iterator[str]:
    """Yield a sentence on each other output tensor of an ONNX file whose AUROC is much higher.

    Args:
        prepared: The model as it is read.
        images: The images.
        identity: What determines the images.
        logits: Its logits for them.
    """
    origin, table = prepared.model.origin, images.table
    if not isinstance(origin, OnnxModel) or len(table.classes) != 2:
        return
    for head in origin.facts.heads[1:]:
        other = replace(prepared, model=replace(prepared.model, origin=replace(origin, output=head)))
        try:
            if _scores_of_few(other, images).shape[1] > _MAX_SCORES:
                continue
            raw = raw_scores(other, images, identity, lambda: None)
        except (ReadingError, SpecError):  # no scores, such as maps of features
            continue
        for best, aurocs in _much_better_column(logits[:, 1] - logits[:, 0], raw, table):
            name = f"{head}:{best}" if raw.shape[1] > 1 else head
            yield (
                f"output '{name}' has an AUROC of {aurocs[1]:.2f} on these images, the one that is read {aurocs[0]:.2f}"
            )


def raw_scores(
    prepared: PreparedAudit, images: Environment, identity: Mapping[str, Any], before_reading: Callable[[], None]
) -> Float[np.ndarray, "n k"]:
    """Return the scores of images as the model gives them, and store them.

    Args:
        prepared: The model, with its folder.
        images: The images.
        identity: What determines the images.
        before_reading: Called before the model reads them, unless scores are stored already.

    Raises:
        ReadingError: The scores cannot be used.
    """
    model = replace(prepared.model, scores="logits", output=None, order=(), inverted=False)
    folder, id = prepared.workspace.folder, content_hash({"raw": model.content, **identity})
    if not folder.complete("readings", id):
        before_reading()
        with model.open(prepared.device) as opened:
            raw = ModelReading(opened, ()).logits(images.images, "these images")
        write_reading(folder, id, images.table, ModelOutputs(raw, {}), {"model": model.id, "environment": images.name})
    raw = stored_reading(folder.outputs(id)).logits
    has_one_score = prepared.model.output is None and raw.shape[1] == 2 and not raw[:, 0].any()
    return raw[:, 1:] if has_one_score else raw  # one score is kept as a pair


def _scores_of_few(prepared: PreparedAudit, all_images: Environment) -> Float[np.ndarray, "n k"]:
    """Return scores of the first images. Raises SpecError where they cannot be used."""
    images, model = (
        all_images.images.read(np.arange(min(N_FIRST_IMAGES, len(all_images)))).to(prepared.device),
        prepared.model,
    )
    with model.open(prepared.device) as opened, eval_mode(opened.network), torch.inference_mode():
        output = cast(object, opened.network(images))
    if model.task == "segmentation" and isinstance(output, Tensor) and output.ndim == 4:
        output = output.flatten(1)
    elif model.task == "segmentation" or not isinstance(output, Tensor) or output.ndim not in (1, 2):
        shape = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        if model.task == "segmentation":
            raise SpecError(f"the model gives {shape}; an audit with masks needs maps [b, k, h, w] of the images' size")
        raise SpecError(f"the model gives {shape} for {len(images)} images; an audit needs scores [b] or [b, classes]")
    values = output.detach().double().cpu().numpy().reshape(len(images), -1)
    n_undefined = int((~np.isfinite(values).all(axis=1)).sum())
    if n_undefined:
        raise SpecError(
            f"the model gives NaN or infinite scores for {n_undefined} of {len(values)} images: check its weights, "
            f"and the scaling of images with {key_text('--scaling')}"
        )
    return values


def output_words(model: GivenModel) -> str:
    """Return the output that is read, such as `7 Pneumonia (sigmoid)`; empty where all are."""
    if model.output is None:
        return ""
    column, names = model.output.column, model.origin.facts.outputs
    return f"{column}{f' {names[column]}' if column < len(names) else ''} ({model.output.head})"


def _output_position(text: str, names: tuple[str, ...], n_outputs: int) -> int:
    if text.isdigit() and int(text) < n_outputs:
        return int(text)
    matches = [at for at, name in enumerate(names) if name == text] or [
        at for at, name in enumerate(names) if name.lower() == text.lower()
    ]
    if len(matches) == 1:
        return matches[0]
    if not names and not text.isdigit():
        numbers = ("0", "0 or 1")[n_outputs - 1] if n_outputs < 3 else f"0 to {n_outputs - 1}"
        raise SpecError(f"output '{shorten(text)}': the model names no outputs; give {key_text('--output', numbers)}")
    listed = f": {shorten(', '.join(names), 300)}" if names else ""
    raise SpecError(f"output '{shorten(text)}': the model has outputs 0 to {n_outputs - 1}{listed}")


CONFIG = "the scaling of its config"
"""Name of the scaling that comes with a model, where another one is used."""
BGR = "BGR"
"""Name of the order of channels blue, green, red."""
_MEANINGS = {
    "caffe": "0..255 in BGR less the mean of ImageNet",
    "image-minmax": "0..1 between the darkest and brightest pixel of each image",
    "image-zscore": "mean 0 and SD 1 in each image",
}
"""Scalings whose name is no range of pixels, in words."""

# The usual scalings and framings, in place of the given ones.

ImageChange = Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b c h w"]]


@dataclass(frozen=True)
class ChangedOnReading(ImagesWrapper):
    """`Images` that are changed on reading."""

    change: ImageChange

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Changed images at these positions."""
        return self.change(self.images.read(index))


def alternative_scalings(
    scaling: Scaling | None, images: Images, config: Config | None = None
) -> dict[str, ImageChange]:
    """Return other usual scalings by name, each a change of images in [0, 1] to the input of the network.

    Args:
        scaling: The scaling as the model is read.
        images: The images.
        config: Image settings that come with the model.
    """
    current, channels = scaling or SCALINGS["0..1"], images.shape[0]
    first_images = images.read(np.arange(min(N_FIRST_IMAGES, len(images)))) * 255
    scalings = {**SCALINGS, **({CONFIG: Scaling(config.mean, config.std)} if config else {})}
    if torch.allclose(first_images, first_images.round(), atol=1e-3):  # no image of 8 bit has such numbers
        del scalings["-1024..1024"]
    changes: dict[str, ImageChange] = {
        name: other for name, other in scalings.items() if other != current and len(other.mean) in (1, channels)
    }
    changes[INVERTED_GRAY] = lambda images: current(1 - images)
    if channels == 3:
        changes[BGR] = lambda images: current(images.flip(1))
    return changes


MOST_CHANNELS = 8
"""Channels of maps up to which each is tried as the background, and as the lesion."""


def other_backgrounds(channels: int) -> dict[str, tuple[int, ...]]:
    """Return other ways to read maps of several channels: name -> the channels, that of the background first.

    Of two channels there is none: their exchange is an order of the classes.

    Examples:
        >>> other_backgrounds(3)
        {'channel 1': (1, 0, 2), 'channel 2': (2, 0, 1)}
    """
    if not 2 < channels <= MOST_CHANNELS:
        return {}
    positions = range(channels)
    return {f"{CHANNEL} {at}": (at, *(other for other in positions if other != at)) for at in positions if at}


def misreading_texts(
    measure: str,
    as_given: float,
    best: float,
    name: str,
    order: Sequence[int],
    classes: Sequence[str],
    has_two_logits: bool,
) -> tuple[str, str]:
    """Return the error text of an audit that stops, with remedies, and the text of a warning where it goes on.

    Args:
        measure: AUROC, accuracy or Dice.
        as_given: Its value as the model is read.
        best: Its value with the better preprocessing.
        name: Name of the better preprocessing; empty where only the order of outputs is another.
        order: The output of each class with it.
        classes: Names of the classes.
        has_two_logits: Whether the model gives two logits, which are read as one softmax.
    """
    changes, remedies = list[str](), list[str]()
    is_reordered = list(order) != sorted(order)
    if measure == "Dice" and name.startswith(CHANNEL):
        changes.append(f"{name} of its maps as the {'lesion' if is_reordered else 'background'}")
        remedies.append("maps of the lesion, of several channels with the background first")
    elif is_reordered and measure == "Dice":
        changes.append("background and lesion exchanged")
        remedies.append("maps of the lesion, of several channels with the background first")
    elif is_reordered and len(classes) == 2:
        changes.append("the classes the other way round")
        other_positive = (
            f"another {key_text('--positive')}"
            if classes[0] == f"not {classes[1]}"
            else key_text("--positive", shlex.quote(classes[0]))
        )
        other_outputs = key_text("--outputs", f"'{classes[1]},{classes[0]}'")
        remedies.append(
            f"{other_positive} (here '{classes[1]}' is positive), or {other_outputs} if only the outputs are"
        )
        if has_two_logits:
            remedies.append(
                f"of two outputs that are not classes {key_text('--output', '0')} or 1 with "
                f"{key_text('--head', 'sigmoid')}"
            )
    elif is_reordered:
        names_in_order = [classes[list(order).index(at)] for at in range(len(classes))]
        changes.append(f"its outputs in the order {join_words(names_in_order)}")
        remedies.append(key_text("--outputs", f"'{','.join(names_in_order)}'"))
    if name and not name.startswith(CHANNEL):
        changes.append(f"images read as {name}" + (f" ({_MEANINGS[name]})" if name in _MEANINGS else ""))
        if name in SCALINGS:
            remedies.append(key_text("--scaling", name))
        elif name in FITS:
            remedies.append(key_text("--fit", FITS[name]))
        else:
            wrapped_model = f"the model wrapped in a module (or exported) with this step: {name}"
            remedies.append(f"no {key_text('--scaling')}" if name == CONFIG else wrapped_model)
    finding = f"the {measure} is {as_given:.2f} as given and {best:.2f} with {' and '.join(changes)}"
    if name and measure == "AUROC" and list(order) == sorted(order) and 1 - as_given > best - MIN_GAIN:
        finding += f" ({1 - as_given:.2f} with the classes the other way round)"
    remedies_text = (", or " if has_two_logits else " and ").join(remedies)
    other_cause = (
        "these images differ in brightness or contrast"
        if name.startswith("image-")
        else "a shortcut is tied the other way here"
    )
    return (
        f"{finding}: look up how the model was trained; give {remedies_text}, or {key_text('--as-given', True)} if it "
        f"is read rightly, as where {other_cause}",
        finding,
    )


FITS: Mapping[str, Fit] = {"fit pad": "pad", "fit squash": "squash", "fit crop": "crop"}
"""Framings of images from files, by name."""


def alternative_framings(prepared: PreparedAudit, rows: Sequence[int]) -> dict[str, Images]:
    """Return images of some rows at the other framings: name -> images. Empty where all would be the same.

    Args:
        prepared: The model and its images.
        rows: Numbers of rows in the dataset.
    """
    data, dataset = prepared.request.data, prepared.population.dataset
    if dataset is None or dataset.native is None or dataset.table.places is None or data.pixel_size:
        return {}
    native, numbers = dataset.native[list(rows)], [dataset.table.places.numbers[row] for row in rows]
    if data.crop_share == 1 and bool((native[:, 0] == native[:, 1]).all()):
        return {}
    channels = "gray" if dataset.images.shape[0] == 1 else "color"
    cache, by_framing = ArrayCache(prepared.workspace.cache), dict[str, Images]()
    for name, fit in FITS.items():
        if fit != data.fit:
            data_with_fit = data.model_copy(update={"fit": fit, "crop_share": 1.0, "channels": channels})
            images = load_images(data_with_fit, numbers, cache, dataset)
            if images is not None:
                by_framing[name] = images
    return by_framing
