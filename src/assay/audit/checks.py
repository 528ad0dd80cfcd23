"""Checks of an audit: of its images, and of how the model reads them: outputs, scaling and framing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.audit.model import SCALINGS, Config, Prepared
from assay.audit.request import AuditRequest
from assay.audit.scored import INVERTED, check, probability_of
from assay.audit.swing import MUCH, gained
from assay.core.codes import Code
from assay.core.errors import SpecError, cut, key_text
from assay.core.files import content_hash
from assay.core.types import FactorTable
from assay.data.cache import ArrayCache
from assay.data.dataset import Dataset, Images, OverImages
from assay.data.files.build import FileCopies
from assay.data.files.classes import answered
from assay.data.files.joins import same_id
from assay.data.files.load import load_images
from assay.data.leakage import image_hashes
from assay.data.near_copies import NearPair, compares_full_images_only
from assay.data.outside import shared_patients
from assay.execution.jobs import keep_read, kept_read, population_of
from assay.look.checks import DataChecks, copied
from assay.models.external import OfOnnx
from assay.models.ref import GivenModel, Output, Scaling
from assay.probes.probe import Read
from assay.probes.reader import ModelReading, ReadingError, evaluating, paired
from assay.report.sentences.reasons import reason_words
from assay.report.sentences.scores import scale_words
from assay.shifts.environment import Environment
from assay.shifts.population import PopulationScene
from assay.spec.request import ProbeSpec, parse_request
from assay.spec.schema import Fit
from assay.stats.bounds import ALPHA
from assay.stats.format import listed
from assay.stats.metrics import auroc
from assay.stats.scores import scale_of
from assay.store.files import Row

FEW_PATIENTS = 20
"""Patients below which intervals are too narrow."""
MOST_NUMBERED = 2
"""Largest number of a patient, in patients, in a set that seems to count its own from 1."""


def checks_of_images(
    whole: Environment, audited: Environment, given: Prepared, checks: DataChecks, train: Mapping[str, Any] | None
) -> Iterator[Row]:
    """Yield rows of `tables.AUDIT_CHECKS` on the images.

    Args:
        whole: All images in the data.
        audited: The images that the model reads.
        given: The model and its request.
        checks: The checks of the images themselves.
        train: As `data` of a study, the images that the model was trained on; None where they are not known.
    """
    patients = len(np.unique(whole.table.patient))
    if given.request.data.patient and patients < FEW_PATIENTS:
        yield check("few-patients", "warn", "few patients: intervals are by patient, and too narrow with so few",
                    patients)  # fmt: skip
    for one in checks.reasons:
        code = one.codes[0]
        undone = code in (Code.DRAWN_IMAGES, Code.COPIES_UNCHECKED)
        yield check(str(code), "not-done" if undone else "ok" if code.light == "ok" else "warn", reason_words(one))
    yield from _training_checks(whole, audited, given, train)


def _part(audited: Environment, whole: Environment) -> str:
    part = len(audited) < len(whole)
    return f"{len(audited):,} of {len(whole):,} images" if part else f"all {len(whole):,} images"


def training_scene(given: Prepared, train: Mapping[str, Any]) -> tuple[ProbeSpec, PopulationScene]:
    """Return the images of the training, framed as those of the audit. Raises SpecError or DataError."""
    own = given.request.data
    framed = {key: getattr(own, key) for key in ("size", "channels", "fit", "crop_share", "resize")}
    asked = parse_request({**train, **framed}, {"all": {}}, ("performance",), given.request.task)
    place = replace(given.place, root=Path())
    return asked, population_of(asked.data, place, all_tested=True).scene(asked.tests, 0)


def _training_checks(
    whole: Environment, audited: Environment, given: Prepared, train: Mapping[str, Any] | None
) -> Iterator[Row]:
    if train is None:
        yield check("training-images", "not-done", "no training images were given: independence of these images from "
                     "training is not established")  # fmt: skip
        return
    asked, scene = training_scene(given, train)
    images, own, trained = scene.environment("all").images, given.population.dataset, scene.population.dataset
    copies = int(np.isin(image_hashes(whole.images), image_hashes(images)).sum())
    pairs: Sequence[NearPair] | None = None
    searches = [one.search for one in (own, trained) if one is not None]
    match searches:
        case [FileCopies() as search, FileCopies() as training]:
            pairs = replace(search, training=training).among(audited.table.row)
        case _:
            pass
    sure = copied(pairs or ())
    found, suspected = max(copies, len(sure)), len({pair.second for pair in pairs or ()} - sure)
    turned = (
        "turned and mirrored"
        if compares_full_images_only(len(images) + len(audited))
        else "turned, mirrored and cropped"
    )
    near = f", {turned} ones too" if len(audited) == len(whole) else f"; {turned} ones among {_part(audited, whole)}"
    near = "; near copies were not searched" if pairs is None else near
    near += f"; {suspected:,} more are much alike, look at them" if suspected else ""
    text = f"images that are copies of one of {len(images):,} training images{near}"
    yield check("training-copies", "warn" if found else "ok", text, found)
    if own is None or trained is None:
        yield check("training-patients", "not-done", "patients are not named in a file of both sets")
        return
    found = shared_patients(given.request.data, own, asked.data, trained)
    shared = len(found.names)
    if found.why:
        yield check("training-patients", "not-done", f"patients of the two sets were not compared: {found.why}")
    elif shared and given.request.data.folder != asked.data.folder and all(map(_counts_from_1, (own, trained))):
        yield check("training-patients", "not-done", "both sets number their patients from 1: whether a number is one "
                     "patient in both is not known")  # fmt: skip
    else:
        yield check("training-patients", "warn" if shared else "ok",
                     f"patients who are in the training images too{found.how}", shared)  # fmt: skip


def _counts_from_1(dataset: Dataset) -> bool:
    names = {same_id(name) for name in dataset.names}
    return all(name.isdecimal() for name in names) and max(map(int, names)) <= MOST_NUMBERED * len(names)


_MOST_SCORES = 100
"""A tensor of more columns has features, and no scores."""
LOOKED = 32
"""Images whose answers tell the kind of output."""
_ADDED = 1e-3
"""Probabilities of one softmax add up to 1 within this."""
_GUESSED = (
    "the model gives several logits, which were read as independent of each other; give --head softmax where they "
    "exclude each other"
)


# The output that is read, and what its scores are.


def with_outputs(given: Prepared, whole: Environment, asked: AuditRequest) -> Prepared:
    """Return the model with its outputs matched to the classes, from its answers to a few images.

    Args:
        given: The model and its images.
        whole: All images.
        asked: What is asked, with the position or name of the output to read, of several, or the names of all.

    Raises:
        SpecError: Outputs are NaN, one of several must be named, or their names are not those of the classes.
    """
    raw = _looked(given, whole)
    model, classes, count = given.model, whole.table.classes, raw.shape[1]
    if model.task == "segmentation":
        inside = float(raw.min()) >= 0 and float(raw.max()) <= 1 and raw.std() > 0
        scores = asked.scores if asked.scores != "auto" else "probabilities" if inside else "logits"
        return replace(given, model=replace(model, scores=scores))
    known, output = model.origin.facts, asked.output
    if known.heads and output.partition(":")[0] in known.heads:
        output = output.partition(":")[2]
    named = asked.outputs or known.outputs or (given.config.names if given.config else ())
    names = tuple(answered(name, classes) for name in named)  # 1 and yes name a class too
    if asked.outputs and count > 1 and len(names) != count:
        raise SpecError(f"outputs: {len(names)} names ({listed([*names])}), and the model gives {count} scores")
    said = [f"{known.heads[0]}, of {listed(sorted(known.heads))}"] if len(known.heads) > 1 else []
    if output:
        exclusive = asked.head == "softmax" or (asked.head == "auto" and _exclusive(raw))
        if len(names) != count:  # outputs that do not exclude each other need not be the classes of the target
            names = classes if exclusive and len(classes) == count else ()
        chosen = Output(_position(output, names, count), "sigmoid")
        model = replace(model, output=chosen if count > 1 else None)
    elif len(classes) == 2 and count > 2:
        text = f": {cut(', '.join(names), 200)}" if names else ""
        raise SpecError(f"the model gives {count} scores, and the target has two classes: choose one with "
                        f"{key_text('--output', '0')} "
                        f"to {count - 1}{text}")  # fmt: skip
    elif count in (1, len(classes)) and len(names) in ((1, 2) if count == 1 else (count,)):
        order = aligned(names, classes)
        if count == 1 and order:
            model = replace(model, inverted=order[-1] == 0 if len(names) == 2 else order == (0, -1))
            said.append(f"the score is that of '{classes[0 if model.inverted else 1]}', by its name")
        elif order and count > 1:
            model = replace(model, order=() if order == tuple(range(count)) else order)
            places = [f"{name} is output {at}" for name, at in zip(classes, order, strict=True)]
            said.append(f"{listed(places)}, by name")
    if asked.outputs and not output and not aligned(names, classes):
        raise SpecError(f"outputs: {listed([*asked.outputs])} are none of the classes {listed([*classes])}")
    if not output and count > 1 and not model.order and not said:
        why = f"the model names its outputs {cut(listed([*names]), 100)}" if names else "the model does not name them"
        said.append(f"in the order of the classes {listed([*classes])}: {why}")
    return replace(given, model=model, outputs="; ".join(said))


def aligned(names: Sequence[str], classes: Sequence[str]) -> tuple[int, ...]:
    """Return the position of each class among names of outputs, -1 where one score needs no name; empty where none is.

    Args:
        names: Names of outputs; of one score its own, or those of both classes.
        classes: Names of the classes.

    Raises:
        SpecError: Only some names fit.
    """
    for same in (str, _folded):
        places = {same(name): at for at, name in enumerate(names)}
        found = tuple(places.get(same(name), -1) for name in classes)
        if len(places) == len(names) and (min(found) >= 0 or (len(names) == 1 and max(found) == 0)):
            return found
    if not {_folded(name) for name in names} & {_folded(name) for name in classes}:
        return ()
    raise SpecError(
        f"the outputs of the model are named {cut(listed([*names]), 200)}, and the classes "
        f"{cut(listed([*classes]), 200)}: only some fit; name the class of each output, in their order, with "
        f"{key_text('--outputs')} "
        "A,B"
    )


def _folded(name: str) -> str:
    return re.sub(r"[\s_]+", "", name.casefold())


def _exclusive(raw: Float[np.ndarray, "n k"]) -> bool:
    return raw.shape[1] > 1 and bool((raw >= 0).all() and (abs(raw.sum(axis=1) - 1) < _ADDED).all())


def with_scores(
    given: Prepared, raw: Float[np.ndarray, "n k"], table: FactorTable, asked: AuditRequest
) -> tuple[Prepared, Float[np.ndarray, "n k"]]:
    """Return the model with what its scores are, found from those of all images, and its logits for them.

    Args:
        given: The model with its outputs matched.
        raw: Its scores, as it gives them.
        table: The images.
        asked: What is asked, with what the user calls the scores and the head.

    Raises:
        SpecError: It is not clear what scores are, or one of several must be named.
    """
    model, head, kind, doubts = given.model, asked.head, asked.scores, given.doubts
    exclusive, count = _exclusive(raw) or _exclusive(raw / 100), raw.shape[1]
    found: Literal["sigmoid", "softmax"] = head if head != "auto" else "softmax" if exclusive else "sigmoid"
    own = raw if model.output is None or found == "softmax" else raw[:, [model.output.column]]
    if kind == "auto" and own.shape[1] > 1:  # logits of one softmax may all be positive
        inside = float(raw.min()) >= 0 and float(raw.max()) <= 1
        kind = "probabilities" if inside else "percent" if exclusive else "logits"
    scale = scale_of(own, kind, probability_of(asked.threshold, model.threshold))
    if own.shape[1] > 1:
        scale = replace(scale, exact=(scale.exact[0], 0))  # of several only 0 has no logarithm
    scores = "logits" if scale.kind == "other" else scale.kind
    independent = model.output is None and count == 2 and (
        head == "sigmoid" or (scores != "logits" and not exclusive))  # fmt: skip
    if len(table.classes) == 2 and independent:
        raise SpecError(
            f"the model gives 2 scores{'' if scores == 'logits' else ' that do not add up to 1'}, and the target has "
            f"two classes: choose one with {key_text('--output', '0')} to 1"
        )
    if model.output is not None and count > 1 and head == "auto" and scores == "logits":
        doubts = (*doubts, _GUESSED)
    model = replace(model, scores=scores, ends=None if scores == "logits" else scale.ends,
                    output=model.output and replace(model.output, head=found))  # fmt: skip
    if own.shape[1] == 1:
        odds = scale.log_odds(own) * (-1 if model.inverted else 1)
        logits = np.concatenate([np.zeros_like(odds), odds], axis=1)
    else:
        logits = paired(model.logits_of(torch.as_tensor(raw)).numpy(), len(table.classes), "these images")
    return replace(given, model=model, doubts=(*doubts, *_higher(given, raw, table)), scores=scale_words(scale)), logits


def _higher(given: Prepared, raw: Float[np.ndarray, "n k"], table: FactorTable) -> Iterator[str]:
    """Yield a sentence on the output with the highest AUROC, where that of the one that is read is much lower."""
    if given.model.output is None or len(table.classes) != 2 or raw.shape[1] < 2:
        return
    at, names = given.model.output.column, given.model.origin.facts.outputs
    for found, areas in _best(raw[:, at], np.delete(raw, at, axis=1), table):
        best = found + (found >= at)
        name = f" '{names[best]}'" if len(names) == raw.shape[1] else ""
        yield f"output {best}{name} has an AUROC of {areas[1]:.2f} on these images, output {at} {areas[0]:.2f}"


def _best(
    own: Float[np.ndarray, " n"], others: Float[np.ndarray, "n k"], table: FactorTable
) -> Iterator[tuple[int, tuple[float, float]]]:
    """Yield the column with the highest AUROC, with that of `own` and its own, where `own` is much lower."""
    areas = [auroc(column, table.target).value for column in (own, *others.T.astype(np.float64))]
    best = int(np.argmax(areas[1:]))
    if gained(own, others[:, best], table.target, table.patient, ALPHA / others.shape[1]).low > MUCH:
        yield best, (areas[0], areas[best + 1])


def doubts_of_tensors(
    given: Prepared, images: Environment, named: Mapping[str, Any], logits: Float[np.ndarray, "n k"]
) -> Iterator[str]:
    """Yield a sentence on each other tensor of scores that a file gives and whose AUROC is much higher.

    Args:
        given: The model as it is read.
        images: The images.
        named: What determines the images.
        logits: Its logits for them.
    """
    origin, table = given.model.origin, images.table
    if not isinstance(origin, OfOnnx) or len(table.classes) != 2:
        return
    for head in origin.facts.heads[1:]:
        other = replace(given, model=replace(given.model, origin=replace(origin, output=head)))
        try:
            if _looked(other, images).shape[1] > _MOST_SCORES:
                continue
            raw = raw_scores(other, images, named, lambda: None)
        except (ReadingError, SpecError):  # no scores, such as maps of features
            continue
        for best, areas in _best(logits[:, 1] - logits[:, 0], raw, table):
            name = f"{head}:{best}" if raw.shape[1] > 1 else head
            yield f"output '{name}' has an AUROC of {areas[1]:.2f} on these images, the one that is read {areas[0]:.2f}"


def raw_scores(
    given: Prepared, images: Environment, named: Mapping[str, Any], say: Callable[[], None]
) -> Float[np.ndarray, "n k"]:
    """Return the scores of images as the model gives them, which are kept. Raises ReadingError where they are useless.

    Args:
        given: The model, with its folder.
        images: The images.
        named: What determines the images.
        say: Called before they are read.
    """
    model = replace(given.model, scores="logits", output=None, order=(), inverted=False)
    folder, id = given.place.folder, content_hash({"raw": model.content, **named})
    if not folder.complete("readings", id):
        say()
        with model.opened(given.device) as opened:
            found = ModelReading(opened, ()).logits(images.images, "these images")
        keep_read(folder, id, images.table, Read(found, {}), {"model": model.id, "environment": images.name})
    found = kept_read(folder.outputs(id)).logits
    single = given.model.output is None and found.shape[1] == 2 and not found[:, 0].any()
    return found[:, 1:] if single else found  # one score is kept as a pair


def _looked(given: Prepared, whole: Environment) -> Float[np.ndarray, "n k"]:
    """Return scores of a few images. Raises SpecError where they are of no use."""
    images, model = whole.images.read(np.arange(min(LOOKED, len(whole)))).to(given.device), given.model
    with model.opened(given.device) as opened, evaluating(opened.network), torch.inference_mode():
        found = cast(object, opened.network(images))
    if model.task == "segmentation" and isinstance(found, Tensor) and found.ndim == 4:
        found = found.flatten(1)
    elif model.task == "segmentation" or not isinstance(found, Tensor) or found.ndim not in (1, 2):
        shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        if model.task == "segmentation":
            raise SpecError(f"the model gives {shape}; an audit with masks needs maps [b, k, h, w] of the images' size")
        raise SpecError(f"the model gives {shape} for {len(images)} images; an audit needs scores [b] or [b, classes]")
    values = found.detach().double().cpu().numpy().reshape(len(images), -1)
    bad = int((~np.isfinite(values).all(axis=1)).sum())
    if bad:
        raise SpecError(f"the model gives NaN or infinite scores for {bad} of {len(values)} images: check its weights, "
                        f"and the scaling of images with {key_text('--scaling')}")  # fmt: skip
    return values


def output_words(model: GivenModel) -> str:
    """Return the output that is read, such as `7 Pneumonia (sigmoid)`; empty where all are."""
    if model.output is None:
        return ""
    at, names = model.output.column, model.origin.facts.outputs
    return f"{at}{f' {names[at]}' if at < len(names) else ''} ({model.output.head})"


def _position(text: str, names: tuple[str, ...], count: int) -> int:
    if text.isdigit() and int(text) < count:
        return int(text)
    alike = [at for at, name in enumerate(names) if name == text] or [
        at for at, name in enumerate(names) if name.lower() == text.lower()
    ]
    if len(alike) == 1:
        return alike[0]
    if not names and not text.isdigit():
        numbers = ("0", "0 or 1")[count - 1] if count < 3 else f"0 to {count - 1}"
        raise SpecError(f"output '{cut(text)}': the model names no outputs; give {key_text('--output', numbers)}")
    listed = f": {cut(', '.join(names), 300)}" if names else ""
    raise SpecError(f"output '{cut(text)}': the model has outputs 0 to {count - 1}{listed}")


CONFIG = "the scaling of its config"
"""Name of a scaling that a model brings along, where another one is given."""

# The usual ways to read an image, in place of the one that was given.

Change = Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b c h w"]]


@dataclass(frozen=True)
class ReadAs(OverImages):
    """`Images` that are changed on reading."""

    change: Change

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Changed images at these positions."""
        return self.change(self.images.read(index))


def alternatives(scaling: Scaling | None, images: Images, config: Config | None = None) -> dict[str, Change]:
    """Return other ways to read images: name -> a change before the given scaling that amounts to it.

    Args:
        scaling: The scaling as the model is read.
        images: The images.
        config: What the model brings along.
    """

    def scaled(other: Scaling) -> Change:
        def change(images: Tensor) -> Tensor:
            wanted = other(images)
            if scaling is None:
                return wanted
            mean, sd = (images.new_tensor(part).view(1, -1, 1, 1) for part in (scaling.mean, scaling.sd))
            return wanted * sd + mean

        return change

    channels = images.shape[0]
    few = images.read(np.arange(min(LOOKED, len(images)))) * 255
    eight = bool(torch.allclose(few, few.round(), atol=1e-3))
    usual = {**SCALINGS, **({CONFIG: Scaling(config.mean, config.std)} if config else {})}
    if eight:  # no image of 8 bit has such numbers
        del usual["-1024..1024"]
    found = {
        name: scaled(other)
        for name, other in usual.items()
        if other != (scaling or SCALINGS["0..1"]) and len(other.mean) in (1, channels)
    }
    found[INVERTED] = lambda images: 1 - images
    if channels == 3:
        found["BGR"] = lambda images: images.flip(1)
    return found


def misread(
    measure: str, given: float, best: float, name: str, order: Sequence[int], classes: Sequence[str], pair: bool
) -> tuple[str, str]:
    """Return why an audit stops, with what to write, and the same as a caution.

    Args:
        measure: AUROC, accuracy or Dice.
        given: Its value as the model is read.
        best: Its value at another reading.
        name: How images are read there; empty where they are read alike.
        order: The output of each class there.
        classes: Names of the classes.
        pair: Whether two logits are read as one softmax.
    """
    ways, write = list[str](), list[str]()
    if list(order) != sorted(order) and len(classes) == 2:
        ways.append("the classes the other way round")
        other = (
            f"another {key_text('--positive')}"
            if classes[0] == f"not {classes[1]}"
            else key_text("--positive", classes[0])
        )
        both = key_text("--outputs", f"'{classes[1]},{classes[0]}'")
        write.append(f"{other} (here '{classes[1]}' is positive), or {both} if only the "
                     "outputs are")  # fmt: skip
        if pair:
            write.append(
                f"of two outputs that are no classes {key_text('--output', '0')} or 1 with "
                f"{key_text('--head', 'sigmoid')}"
            )
    elif list(order) != sorted(order):
        named = [classes[list(order).index(at)] for at in range(len(classes))]
        ways.append(f"its outputs in the order {listed(named)}")
        write.append(key_text("--outputs", f"'{','.join(named)}'"))
    if name:
        ways.append(f"images read as {name}")
        if name in SCALINGS:
            write.append(key_text("--scaling", name))
        elif name in FITS:
            write.append(key_text("--fit", FITS[name]))
        else:
            write.append(f"no {key_text('--scaling')}" if name == CONFIG else f"images prepared as {name}")
    found = f"the {measure} is {given:.2f} as given and {best:.2f} with {' and '.join(ways)}"
    if name and measure == "AUROC" and list(order) == sorted(order) and 1 - given > best - MUCH:
        found += f" ({1 - given:.2f} with the classes the other way round)"
    given_so = (", or " if pair else " and ").join(write)
    return (
        f"{found}: look up how the model was trained; give {given_so}, or {key_text('--as-given', True)} if it "
        f"is read rightly, as where a "
        "shortcut is tied the other way here",
        found,
    )


FITS: Mapping[str, Fit] = {"fit pad": "pad", "fit squash": "squash", "fit crop": "crop"}
"""Framings of images from files, by name."""


def framings(given: Prepared, rows: Sequence[int]) -> dict[str, Images]:
    """Return images of some rows at the other framings: name -> images. Empty where all would be the same.

    Args:
        given: The model and its images.
        rows: Numbers of rows in the dataset.
    """
    data, dataset = given.request.data, given.population.dataset
    if dataset is None or dataset.native is None or dataset.table.places is None or data.pixel_size:
        return {}
    native, numbers = dataset.native[list(rows)], [dataset.table.places.numbers[row] for row in rows]
    if data.crop_share == 1 and bool((native[:, 0] == native[:, 1]).all()):
        return {}
    channels = "gray" if dataset.images.shape[0] == 1 else "color"
    cache, found = ArrayCache(given.place.cache), dict[str, Images]()
    for name, fit in FITS.items():
        if fit != data.fit:
            other = data.model_copy(update={"fit": fit, "crop_share": 1.0, "channels": channels})
            images = load_images(other, numbers, cache)
            if images is not None:
                found[name] = images
    return found
