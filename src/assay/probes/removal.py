"""What an answer loses with the lesion: exactly, where a phantom can draw the image without; by painting it over else.

This is of what is *used*, and the truth that attribution is held against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from scipy.stats import rankdata
from torch import Tensor

from assay.core.types import Measurement
from assay.probes.attribution_rows import averaged, without
from assay.probes.counterfactuals import UNIT, within_class_spread
from assay.probes.explained import Sample
from assay.probes.explainers.explainer import Subject
from assay.probes.outputs import log_odds
from assay.probes.shown import SIZES, Part, Shown
from assay.probes.uncertainty import clustered_error, patients
from assay.recipes.untyped import tensor_of
from assay.shifts.confounders.smoothing import gaussian
from assay.shifts.environment import Environment, Scene
from assay.shifts.picking import PickedImages
from assay.stats.metrics import class_score

EFFECT, ERASED, OVER = "lesion-effect", "erasure-effect", "erasure-effect-over-elsewhere"
EFFECT_BY_SIZE, ERASED_BY_SIZE = "lesion-effect-small-over-large", "erasure-effect-small-over-large"
AGREEMENT, ATTRIBUTED = "removal-agreement", "attributed-effect"
_BLUR = 1 / 16
"""Of what is painted over a lesion: standard deviation, the shorter side being 1."""


# --- taking lesions away --------------------------------------------------------------------------------------------


def without_lesions(scene: Scene, found: Shown) -> Environment | str:
    """The same images drawn without any lesion; or why they cannot be."""
    if found.name != scene.neutral().name:
        return "lesions are taken away from neutral images alone"
    core = [factor.name for factor in found.environment.table.factors if factor.role == "core"]
    can = [name for name in core if name in scene.changeable()]
    if not can:
        return "the images were not drawn: their lesions cannot be taken away, only painted over"
    gone = scene.counterfactual(can[0], "low")
    if gone.masks is None or (gone.masks.read(found.rows) > 0).any():
        return f"the phantom cannot draw images without a lesion: they show one at the low end of '{can[0]}' too"
    images = PickedImages(gone.images, found.rows)
    return Environment("(lesions taken away)", gone.table.take(found.rows), images, None, ())


def removed(
    images: Float[np.ndarray, "n c h w"], gone: Float[np.ndarray, "n c h w"], lesion: Bool[np.ndarray, "n h w"]
) -> Callable[[Bool[np.ndarray, "n h w"]], Float[np.ndarray, "n c h w"]]:
    """A call that takes some of the lesions away, given their pixels.

    gone: the images drawn without any lesion. A pixel is taken from there if the lesion's pixel nearest to it is one of
    those asked for: exact where edges of lesions do not run into each other, and every change belongs to one lesion.
    """
    nearest = [ndimage.distance_transform_edt(~one, return_distances=False, return_indices=True) for one in lesion]

    def without_some(part: Bool[np.ndarray, "n h w"]) -> Float[np.ndarray, "n c h w"]:
        taken = np.stack([one[at[0], at[1]] for one, at in zip(part, nearest, strict=True)])
        return np.where(taken[:, None], gone, images)

    return without_some


def painted_over(images: Float[Tensor, "b c h w"], where: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, "b c h w"]:
    """The images with some pixels replaced by the weighted mean of those beside them, near ones counting most."""
    kept = (~where).to(images.dtype)
    sd = _BLUR * min(images.shape[2:])
    weight = gaussian(kept, sd) + 1e-6
    rest = (images * kept).sum(dim=(2, 3), keepdim=True) / kept.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    around = (gaussian(images * kept, sd) + 1e-6 * rest) / weight
    return torch.where(where, around, images)


# --- what it does to the answer -------------------------------------------------------------------------------------


def own_log_odds(logits: Float[np.ndarray, "n k"], own: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The log-odds of each image's own class against the rest."""
    return np.stack([class_score(logits, label) for label in range(logits.shape[1])], axis=1)[np.arange(len(own)), own]


def unit(logits: Float[np.ndarray, "n k"], target: Int[np.ndarray, " n"]) -> float:
    """The within-class standard deviation of the log-odds, of several classes the mean of theirs; NaN where it is 0."""
    scores = log_odds(logits)
    deviation = float(within_class_spread(scores, target).deviation.mean())
    return deviation if deviation > 1e-6 * max(1.0, float(np.abs(scores).max())) else np.nan


def erasures(
    parts: list[Part], subject: Subject, sample: Sample, deviation: float, place: Measurement
) -> Iterator[Measurement]:
    """By kind and size: what the log-odds lose when these lesions are painted over, and how much more their pixels are
    worth than those on the other side of the middle, as far out, where there is no lesion.

    These are compared on as many pixels: those of the lesions whose opposite shows no lesion, at least half of them in
    an image that counts. Then `erasure-effect-small-over-large`: the latter of small lesions less that of large ones.
    """
    by_size: dict[str, Float[np.ndarray, " n"]] = {}
    for part in parts:
        here = replace(place, group=part.kind, level=part.size, unit=UNIT)
        if np.isnan(deviation):
            yield from (without(here, name, NO_UNIT) for name in (ERASED, OVER))
            continue
        elsewhere = part.masks[:, ::-1, ::-1] & ~sample.lesion
        there = part.masks.any(axis=(1, 2))
        beside = there & (2 * elsewhere.sum(axis=(1, 2)) >= part.masks.sum(axis=(1, 2)))
        falls = _falls(part.masks, subject, sample) / deviation
        others = _falls(elsewhere, subject, sample) / deviation
        opposite = part.masks & elsewhere[:, ::-1, ::-1]
        alike = falls if (opposite == part.masks).all() else _falls(opposite, subject, sample) / deviation
        chance = float(others[beside].mean()) if beside.any() else np.nan
        erased = replace(here, measure=ERASED, chance=chance)
        yield averaged(erased, np.where(there, falls, np.nan), sample.patient, "no image shows such a lesion")
        over = np.where(beside, alike - others, np.nan)
        otherwise = "no image has a place without a lesion on the other side of the middle"
        yield averaged(replace(here, measure=OVER, chance=0.0), over, sample.patient, otherwise)
        if part.size:
            by_size[part.size] = over
    if np.isnan(deviation):
        yield without(place, ERASED_BY_SIZE, NO_UNIT)
    else:
        yield small_over_large(by_size, sample.patient, replace(place, measure=ERASED_BY_SIZE))


def small_over_large(
    by_size: Mapping[str, Float[np.ndarray, " n"]], patient: Int[np.ndarray, " n"], place: Measurement
) -> Measurement:
    """What the small lesions of an image cost less what its large ones do, NaN where it shows none; 0 where size makes
    no difference.
    """
    if not {SIZES[0], SIZES[-1]} <= by_size.keys():
        return without(place, place.measure, "the lesions shown do not differ in size")
    values = by_size[SIZES[0]] - by_size[SIZES[-1]]
    return averaged(replace(place, unit=UNIT, chance=0.0), values, patient, "no image shows small lesions and large")


NO_UNIT = "the log-odds do not vary within a class on neutral images, so they have no unit"


@torch.no_grad()
def _falls(where: Bool[np.ndarray, "n h w"], subject: Subject, sample: Sample) -> Float[np.ndarray, " n"]:
    found: list[Tensor] = []
    for rows, pixels, own in sample.batches():
        masks = tensor_of(np.ascontiguousarray(where[rows]))[:, None].to(pixels.device)
        found.append(subject.score(pixels, own) - subject.score(painted_over(pixels, masks), own))
    return torch.cat(found).double().cpu().numpy()


# --- what is attributed beside it -----------------------------------------------------------------------------------


def agreement(
    share: Float[np.ndarray, " n"], fall: Float[np.ndarray, " n"], patient: Int[np.ndarray, " n"], place: Measurement
) -> Measurement:
    """`removal-agreement`: Spearman's correlation over images of the share of a map on the lesion and what the log-odds
    lose without the lesion, -1 to 1. Its error takes the ranks as given.
    """
    place = replace(place, measure=AGREEMENT, chance=0.0)
    known = ~np.isnan(share)
    if known.sum() < 4:
        return without(place, AGREEMENT, f"{int(known.sum())} images have a score, at least 4 are needed")
    x, y = (rankdata(values[known]) for values in (share, fall))
    if not (np.ptp(x) and np.ptp(y)):
        return without(place, AGREEMENT, "all images have the same share, or lose the same")
    x, y = ((values - values.mean()) / values.std() for values in (x, y))
    value = float((x * y).mean())
    influence = (x * y - value * (x**2 + y**2) / 2) / len(x)
    error = clustered_error(influence, patient[known])
    n = int(known.sum())
    return replace(place, value=value, standard_error=error, n=n, patients=patients(patient[known]))
