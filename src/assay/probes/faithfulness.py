"""Faithfulness of attributions: removal and sanity checks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor, nn

from assay.core.measures import WITHIN_CLASS
from assay.core.reasons import NO_REASON, Code, Reason
from assay.core.seeds import generator
from assay.core.types import Measurement, undefined
from assay.data.dataset import DrawnLesions, Images, Lesions
from assay.models.untyped import tensor_of
from assay.probes.explainers import ExplainedNetwork, Explainer
from assay.probes.lesion_maps import MEASURES, SIZES, LesionImages, Part, Sample, localization
from assay.probes.probe import Reading, estimated_mean, measurement_with_error, patients
from assay.probes.reliance import within_class_spread
from assay.shifts.confounders.pixels import gaussian
from assay.shifts.environment import Environment, PickedImages, Scene
from assay.stats.metrics import average_ranks, class_score, log_odds

# Whether a heat map depends on learned weights: it is computed again with randomized layers.
#
# After Adebayo et al. (2018). A map that stays the same shows the image or the architecture only.

CASCADING, INDEPENDENT = "cascading", "independent"
STAGES = 4
"""Steps in which all layers are drawn anew: the last layer with weights, then thirds of those before it."""
LIMIT = 0.5
"""Rank correlation with the maps of a network drawn anew throughout, from which on an explainer fails."""
_WINDOW = 7
_C1, _C2 = 0.01**2, 0.03**2
"""The window and the constants of Wang et al. (2004) for values from 0 to 1."""


@dataclass(frozen=True)
class RandomizedNetwork:
    """A network with the weights of some layers randomized.

    Attributes:
        order: Cascading or independent.
        down_to: The earliest randomized layer.
        throughout: Whether all layers are randomized.
        network: In the mode and on the device of the original.
    """

    order: str
    down_to: str
    throughout: bool
    network: nn.Module


def redrawn(subject: ExplainedNetwork) -> Iterator[RandomizedNetwork]:
    """Return the network with layers randomized from the last on, stage by stage; then with each earlier stage alone.

    The values of each weight tensor are permuted, the same way for every model. Their distribution stays the same, so
    that no layer dies, and only the learned arrangement is lost.
    """
    steps = stages(subject)
    for last in range(len(steps)):
        names = {name for stage in steps[: last + 1] for name in stage.parameters}
        network = with_permuted_weights(subject.network, names)
        yield RandomizedNetwork(CASCADING, steps[last].down_to, last == len(steps) - 1, network)
    for stage in steps[1:]:
        yield RandomizedNetwork(
            INDEPENDENT, stage.down_to, False, with_permuted_weights(subject.network, set(stage.parameters))
        )


@dataclass(frozen=True)
class Stage:
    """Layers that are randomized together.

    Attributes:
        down_to: The earliest of them.
    """

    parameters: tuple[str, ...]
    down_to: str


def stages(subject: ExplainedNetwork) -> list[Stage]:
    """Return all layers with weights from the last to the first: the last one, then thirds; fewer where there are few
    layers.

    Layers come in the order in which they ran last; those that were not seen to run come first in the network.
    """
    ran = {step.name: place for place, step in enumerate(subject.steps)}
    layers: dict[str, list[str]] = {}
    for name, _ in subject.network.named_parameters():
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    order = sorted(layers, key=lambda layer: ran.get(layer, -1), reverse=True)
    parts = [order[:1], *np.array_split(np.array(order[1:], dtype=object), STAGES - 1)]
    return [
        Stage(tuple(name for layer in part for name in layers[layer]), str(part[-1]) or "the network's own")
        for part in parts
        if len(part)
    ]


def with_permuted_weights(network: nn.Module, names: Collection[str]) -> nn.Module:
    """Return a copy in which the values of these parameters are permuted, seeded by the parameter's name alone."""
    copied = copy.deepcopy(network)
    with torch.no_grad():
        for name, values in copied.named_parameters():
            if name in names:
                order = tensor_of(generator(0, "sanity", name).permutation(values.numel())).to(values.device)
                values.copy_(values.flatten()[order].view_as(values))
    return copied


def have_equal_weights(network: nn.Module, other: nn.Module) -> bool:
    """Return whether two copies of a network have the same weights."""
    pairs = zip(network.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def rank_correlations(
    first_maps: Float[np.ndarray, "n h w"], second_maps: Float[np.ndarray, "n h w"]
) -> Float[np.ndarray, " n"]:
    """Spearman's correlation of the sizes of two maps' values, image by image, -1 to 1.

    NaN where the first is the same everywhere; 0 where the second alone is: nothing of the first is left in it.
    """
    first, second = (_centered_ranks(maps) for maps in (first_maps, second_maps))
    spread, other = ((ranks**2).sum(axis=1) for ranks in (first, second))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlations = (first * second).sum(axis=1) / np.sqrt(spread * other)
    correlations = np.where(spread > 0, np.where(other > 0, correlations, 0.0), np.nan)
    finite = [np.isfinite(maps).all(axis=(1, 2)) for maps in (first_maps, second_maps)]
    return np.where(finite[0] & finite[1], correlations, np.nan)


def structural_similarities(
    first_maps: Float[np.ndarray, "n h w"], second_maps: Float[np.ndarray, "n h w"]
) -> Float[np.ndarray, " n"]:
    """Compute the SSIM of the absolute values of two maps, image by image, -1 to 1 (Wang et al. 2004).

    Each map is scaled to a maximum of 1. The mean is over windows of 7 x 7 px within the image (or of the image's side
    if that is smaller). Where both maps are mostly zero, SSIM is high whatever the rest of the maps contains.
    """
    x, y = (_rescale_maps(maps) for maps in (first_maps, second_maps))
    side = min(_WINDOW, *first_maps.shape[1:])
    unbiased = side**2 / (side**2 - 1) if side > 1 else 1.0

    def mean(values: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(values, side, stride=1)

    mx, my = mean(x), mean(y)
    vx, vy, both = (
        unbiased * (mean(a * b) - ma * mb) for a, b, ma, mb in ((x, x, mx, mx), (y, y, my, my), (x, y, mx, my))
    )
    likeness = (2 * mx * my + _C1) * (2 * both + _C2) / ((mx**2 + my**2 + _C1) * (vx + vy + _C2))
    return likeness.mean(dim=(1, 2, 3)).numpy()


def _centered_ranks(maps: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, "n p"]:
    ranks = average_ranks(np.abs(maps).reshape(len(maps), -1))
    return ranks - ranks.mean(axis=1, keepdims=True)


def _rescale_maps(maps: Float[np.ndarray, "n h w"]) -> Float[Tensor, "n 1 h w"]:
    size = np.abs(maps).astype(np.float64)
    greatest = size.max(axis=(1, 2), keepdims=True)
    return tensor_of(size / np.where(greatest > 0, greatest, 1))[:, None]


def verdict(correlations: Sequence[float] | Float[np.ndarray, " n"], nothing_changed: bool) -> Reason:
    """Return that an explainer fails, or why it was not checked; nothing where it passes."""
    values = np.asarray(correlations, dtype=np.float64)
    if nothing_changed:
        return Reason.of(Code.SANITY_SAME_WEIGHTS)
    if np.isnan(values).all():
        return Reason.of(Code.SANITY_CONSTANT_MAPS)
    mean = float(np.nanmean(values))
    return NO_REASON if mean < LIMIT else Reason.of(Code.FAILS_SANITY, correlation=mean)


# Measures of an explainer's maps: scores by kind and size, and whether they depend on learned weights.

RANK, STRUCTURE = "sanity-rank-correlation", "sanity-ssim"
SPREAD = 0.25
"""Standard deviation of the center prior, as a share of each side."""


@dataclass(frozen=True)
class Sanity:
    """Results of the sanity checks of one explainer, and the remark on its scores; no remark where it passes."""

    rows: Sequence[Measurement]
    remark: Reason


def center_prior(shape: tuple[int, ...]) -> Float[np.ndarray, "n h w"]:
    """Return a bell around the middle of every image, as wide and as high as the image is."""
    n, height, width = shape
    down, along = (np.exp(-0.5 * (((np.arange(side) + 0.5) / side - 0.5) / SPREAD) ** 2) for side in (height, width))
    return np.broadcast_to(np.outer(down, along).astype(np.float32), (n, height, width))


def score_maps(
    maps: Float[np.ndarray, "n h w"], parts: Sequence[Part], sample: Sample, place: Measurement
) -> Iterator[Measurement]:
    """Return every score of an explainer's maps, by kind and by size."""
    fault = broken(maps)
    empty = int((maps == 0).all(axis=(1, 2)).sum())
    remark = Reason.of(Code.EMPTY_MAPS, count=empty, maps=len(maps)) if empty else NO_REASON
    for part in parts:
        here = replace(place, group=part.kind, level=part.size, unit="share", direction="higher", reason=remark)
        if fault:
            yield from (without(here, name, fault) for name in MEASURES)
            continue
        is_whole = not (part.kind or part.size)
        scores = localization(maps, part.masks, None if is_whole else sample.lesion & ~part.masks)
        for name, values in zip(MEASURES, scores, strict=False):
            present = ~np.isnan(values)
            chance = float(scores.area[present].mean()) if present.any() else np.nan
            otherwise = Reason.of(Code.NO_SUCH_LESION_WITH_REST)
            yield mean_over_images(replace(here, measure=name, chance=chance), values, sample.patient, otherwise)


def broken(maps: Float[np.ndarray, "n h w"]) -> Reason:
    """Return how many maps hold NaN or infinity, if any does."""
    count = int((~np.isfinite(maps).all(axis=(1, 2))).sum())
    return Reason.of(Code.BROKEN_MAPS, count=count, maps=len(maps)) if count else NO_REASON


def mean_over_images(
    place: Measurement, values: Float[np.ndarray, " n"], patient: np.ndarray, otherwise: Reason
) -> Measurement:
    """Return the mean over the images that have a value, with its error over patients; NaN for the reason where none
    has.
    """
    present = ~np.isnan(values)
    if not present.any():
        return without(place, place.measure, otherwise)
    place = replace(place, n=int(present.sum()), patients=patients(patient[present]))
    return estimated_mean(place, values[present], patient[present])


def without(place: Measurement, measure: str, reason: Reason) -> Measurement:
    """No value, and why."""
    bare = undefined(measure, reason, environment=place.environment, factor=place.factor, group=place.group)
    return replace(bare, level=place.level)


def check_methods(
    subject: ExplainedNetwork,
    methods: Mapping[str, Explainer],
    before: Mapping[str, np.ndarray],
    sample: Sample,
    place: Measurement,
) -> Mapping[str, Sanity]:
    """Check every method on every network with randomized layers, each of which is made once.

    Args:
        before: The maps of the sample's images by the unchanged network.

    Returns:
        Explainer -> its results.
    """
    rows: dict[str, list[Measurement]] = {name: [] for name in methods}
    remarks: dict[str, Reason] = {}
    for other in redrawn(subject):
        again = sample.subject(other.network)
        same = have_equal_weights(subject.network, other.network)
        for name, explainer in methods.items():
            maps = sample.maps(explainer, again)
            ranks = rank_correlations(before[name], maps)
            alike = np.where(np.isnan(ranks), np.nan, structural_similarities(before[name], maps))
            here = replace(place, factor=name, group=other.order, level=other.down_to)
            for measure, values in ((RANK, ranks), (STRUCTURE, alike)):
                measured_change = mean_over_images(
                    replace(here, measure=measure), values, sample.patient, verdict(values, same)
                )
                rows[name].append(measured_change)
                if other.throughout:
                    rows[name].append(replace(measured_change, group="", level=""))
            if other.throughout:
                remarks[name] = verdict(ranks, same)
    nothing = verdict(np.empty(0), True)
    return {name: Sanity(measurements, remarks.get(name, nothing)) for name, measurements in rows.items()}


def add_remark(rows: Sequence[Measurement], remark: Reason) -> list[Measurement]:
    """Add the remark to the scores. A score without a value keeps its own reason alone."""
    return [row if np.isnan(row.value) else replace(row, reason=row.reason + remark) for row in rows]


# Effect of removing the lesion: exact where a phantom can draw the image without it, else by painting it over.
#
# This measures which information is *used*: the reference for attribution.

EFFECT, ERASED, OVER = "lesion-effect", "erasure-effect", "erasure-effect-over-elsewhere"
EFFECT_BY_SIZE, ERASED_BY_SIZE = "lesion-effect-small-over-large", "erasure-effect-small-over-large"
AGREEMENT, ATTRIBUTED = "removal-agreement", "attributed-effect"
_BLUR = 1 / 16
"""Of what is painted over a lesion: standard deviation, the shorter side being 1."""


# --- taking lesions away --------------------------------------------------------------------------------------------


def without_lesions(scene: Scene, chosen: LesionImages) -> Environment | Reason:
    """Return the same images drawn without any lesion, or why they cannot be."""
    if chosen.name != scene.neutral().name:
        return Reason.of(Code.NEUTRAL_ALONE)
    core = [factor.name for factor in chosen.environment.table.factors if factor.role == "core"]
    can = [name for name in core if name in scene.changeable()]
    if not can:
        return Reason.of(Code.NOT_DRAWN)
    lesion_free = scene.counterfactual(can[0], "low")
    if lesion_free.masks is None or (lesion_free.masks.read(chosen.rows) > 0).any():
        return Reason.of(Code.ALWAYS_LESIONS, factor=can[0])
    images = PickedImages(lesion_free.images, chosen.rows)
    return Environment("(lesions taken away)", lesion_free.table.take(chosen.rows), images, None, ())


def remove_lesions(
    images: Float[np.ndarray, "n c h w"], lesion_free: Float[np.ndarray, "n c h w"], lesion: Bool[np.ndarray, "n h w"]
) -> Callable[[Bool[np.ndarray, "n h w"]], Float[np.ndarray, "n c h w"]]:
    """Return a call that takes some of the lesions away, given their pixels.

    Args:
        lesion_free: The images drawn without any lesion. A pixel is taken from there if the lesion's pixel nearest
            to it is one of those asked for: exact where edges of lesions do not run into each other, and every change
            belongs to one lesion.
    """
    nearest = [
        ndimage.distance_transform_edt(~pixels, return_distances=False, return_indices=True) for pixels in lesion
    ]

    def without_some(part: Bool[np.ndarray, "n h w"]) -> Float[np.ndarray, "n c h w"]:
        filling = np.stack([source[at[0], at[1]] for source, at in zip(part, nearest, strict=True)])
        return np.where(filling[:, None], lesion_free, images)

    return without_some


def painted_over(images: Float[Tensor, "b c h w"], where: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, "b c h w"]:
    """Return the images with some pixels replaced by a weighted mean of their neighbors, near ones counting most."""
    visible = (~where).to(images.dtype)
    sd = _BLUR * min(images.shape[2:])
    weight = gaussian(visible, sd) + 1e-6
    rest = (images * visible).sum(dim=(2, 3), keepdim=True) / visible.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    around = (gaussian(images * visible, sd) + 1e-6 * rest) / weight
    return torch.where(where, around, images)


# --- effect on the answer -------------------------------------------------------------------------------------------


def own_log_odds(logits: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return the log-odds of each image's own class against the rest.

    Examples:
        >>> logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.8, 0.1, 0.1]])
        >>> np.exp(own_log_odds(logits, np.array([0, 1, 2]))).round(6).tolist()  # 0.5 / 0.5, 0.2 / 0.8, 0.1 / 0.9
        [1.0, 0.25, 0.111111]
    """
    return np.stack([class_score(logits, label) for label in range(logits.shape[1])], axis=1)[
        np.arange(len(labels)), labels
    ]


def unit(logits: Float[np.ndarray, "n k"], target: Int[np.ndarray, " n"]) -> float:
    """Return the within-class standard deviation of the log-odds, of several classes the mean of theirs; NaN where it
    is 0.
    """
    scores = log_odds(logits)
    deviation = float(within_class_spread(scores, target).deviation.mean())
    return deviation if deviation > 1e-6 * max(1.0, float(np.abs(scores).max())) else np.nan


def erasures(
    parts: list[Part], subject: ExplainedNetwork, sample: Sample, deviation: float, place: Measurement
) -> Iterator[Measurement]:
    """Measure, by kind and size, the effect of painting over lesions on the log-odds, and compare it with other pixels.

    The comparison is with the pixels mirrored about the image's center, where there is no lesion, of equal number. Only
    lesions whose opposite side shows no lesion are compared, and an image counts if they are at least half of its
    lesions. `erasure-effect-small-over-large` is this difference for small lesions less that for large ones.
    """
    by_size: dict[str, Float[np.ndarray, " n"]] = {}
    for part in parts:
        here = replace(place, group=part.kind, level=part.size, unit=WITHIN_CLASS)
        if np.isnan(deviation):
            yield from (without(here, name, NO_UNIT) for name in (ERASED, OVER))
            continue
        mirrored = part.masks[:, ::-1, ::-1] & ~sample.lesion
        shows_part = part.masks.any(axis=(1, 2))
        fits_mirrored = shows_part & (2 * mirrored.sum(axis=(1, 2)) >= part.masks.sum(axis=(1, 2)))
        falls = _removal_falls(part.masks, subject, sample) / deviation
        others = _removal_falls(mirrored, subject, sample) / deviation
        opposite = part.masks & mirrored[:, ::-1, ::-1]
        alike = falls if (opposite == part.masks).all() else _removal_falls(opposite, subject, sample) / deviation
        chance = float(others[fits_mirrored].mean()) if fits_mirrored.any() else np.nan
        erased = replace(here, measure=ERASED, chance=chance)
        yield mean_over_images(
            erased, np.where(shows_part, falls, np.nan), sample.patient, Reason.of(Code.NO_SUCH_LESION)
        )
        over = np.where(fits_mirrored, alike - others, np.nan)
        otherwise = Reason.of(Code.NO_OTHER_SIDE)
        yield mean_over_images(replace(here, measure=OVER, chance=0.0), over, sample.patient, otherwise)
        if part.size:
            by_size[part.size] = over
    if np.isnan(deviation):
        yield without(place, ERASED_BY_SIZE, NO_UNIT)
    else:
        yield small_over_large(by_size, sample.patient, replace(place, measure=ERASED_BY_SIZE))


def small_over_large(
    by_size: Mapping[str, Float[np.ndarray, " n"]], patient: Int[np.ndarray, " n"], place: Measurement
) -> Measurement:
    """Subtract the effect of an image's large lesions from that of its small ones; NaN where it shows none.

    0 means that size makes no difference.
    """
    if not {SIZES[0], SIZES[-1]} <= by_size.keys():
        return without(place, place.measure, Reason.of(Code.ONE_LESION_SIZE))
    values = by_size[SIZES[0]] - by_size[SIZES[-1]]
    return mean_over_images(
        replace(place, unit=WITHIN_CLASS, chance=0.0), values, patient, Reason.of(Code.NO_SMALL_AND_LARGE)
    )


NO_UNIT = Reason.of(Code.NO_LOG_ODDS_UNIT)


@torch.no_grad()
def _removal_falls(
    where: Bool[np.ndarray, "n h w"], subject: ExplainedNetwork, sample: Sample
) -> Float[np.ndarray, " n"]:
    falls: list[Tensor] = []
    for rows, pixels, labels in sample.batches():
        masks = tensor_of(np.ascontiguousarray(where[rows]))[:, None].to(pixels.device)
        falls.append(subject.score(pixels, labels) - subject.score(painted_over(pixels, masks), labels))
    return torch.cat(falls).double().cpu().numpy()


# --- attributed elsewhere -------------------------------------------------------------------------------------------


def agreement(
    share: Float[np.ndarray, " n"], fall: Float[np.ndarray, " n"], patient: Int[np.ndarray, " n"], place: Measurement
) -> Measurement:
    """Compute `removal-agreement`: the rank correlation of a map's share on the lesion with the effect of its removal.

    Spearman's correlation over images, -1 to 1, with the log-odds that are lost without the lesion. Its error treats
    the ranks as given.
    """
    place = replace(place, measure=AGREEMENT, chance=0.0)
    present = ~np.isnan(share)
    if present.sum() < 4:
        return without(place, AGREEMENT, Reason.of(Code.FEW_SCORED_IMAGES, images=int(present.sum()), least=4))
    x, y = (average_ranks(values[present]) for values in (share, fall))
    if not (np.ptp(x) and np.ptp(y)):
        return without(place, AGREEMENT, Reason.of(Code.EQUAL_SHARES))
    x, y = ((values - values.mean()) / values.std() for values in (x, y))
    value = float((x * y).mean())
    influence = (x * y - value * (x**2 + y**2) / 2) / len(x)
    place = replace(place, n=int(present.sum()), patients=patients(patient[present]))
    return measurement_with_error(place, value, influence, patient[present])


@dataclass(frozen=True)
class MapReferences:
    """References that explainers are compared with, made once for a model.

    Attributes:
        falls: The fall of each image's log-odds when its lesions are removed, or why that is not known.
        by_part: The same for the lesions of each part, NaN where the image shows none of them; empty where falls are
            not known.
        deviation: The unit of the log-odds, NaN where they have none.
    """

    subject: ExplainedNetwork
    sample: Sample
    parts: list[Part]
    deviation: float
    falls: Float[np.ndarray, " n"] | Reason
    by_part: Sequence[Float[np.ndarray, " n"]]

    @classmethod
    def of(cls, reading: Reading, scene: Scene, chosen: LesionImages) -> MapReferences:
        """Read from answers that were requested, and passes of its own."""
        neutral, lesion_free = scene.neutral(), without_lesions(scene, chosen)
        sample = Sample.of(chosen, reading.model.device)
        subject = sample.subject(reading.model.network)
        falls: Float[np.ndarray, " n"] | Reason = lesion_free if isinstance(lesion_free, Reason) else NO_REASON
        by_part: list[Float[np.ndarray, " n"]] = []
        if not isinstance(lesion_free, Reason):
            before, after = (reading.read(environment).logits for environment in (chosen.environment, lesion_free))
            falls = own_log_odds(before, sample.labels) - own_log_odds(after, sample.labels)
            by_part = list(_by_part(chosen, neutral.lesions, lesion_free.images, falls, subject, sample))
        return cls(
            subject,
            sample,
            list(chosen.parts()),
            unit(reading.read(neutral).logits, neutral.table.target),
            falls,
            by_part,
        )


def of_maps(maps: Float[np.ndarray, "n h w"], readings: MapReferences, place: Measurement) -> list[Measurement]:
    """Score maps against the lesions, and for agreement with the effect of removing the lesions."""
    rows = list(score_maps(maps, readings.parts, readings.sample, place))
    if fault := broken(maps):
        return [*rows, without(place, AGREEMENT, fault)]
    return [*rows, _map_agreement(maps, readings, place)]


def lesion_effects(readings: MapReferences, place: Measurement) -> Iterator[Measurement]:
    """Measure `lesion-effect`: the fall of the log-odds of the image's class without its lesions.

    In within-class deviations; for all lesions, then by kind and size; and `lesion-effect-small-over-large`.
    """
    fault = (
        readings.falls if isinstance(readings.falls, Reason) else NO_UNIT if np.isnan(readings.deviation) else NO_REASON
    )
    if fault:
        yield from (without(place, name, fault) for name in (EFFECT, EFFECT_BY_SIZE))
        return
    by_size: dict[str, Float[np.ndarray, " n"]] = {}
    for part, falls in zip(readings.parts, readings.by_part, strict=True):
        here = replace(place, measure=EFFECT, group=part.kind, level=part.size, unit=WITHIN_CLASS, chance=0.0)
        yield mean_over_images(
            here, falls / readings.deviation, readings.sample.patient, Reason.of(Code.NO_SUCH_LESION)
        )
        if part.size:
            by_size[part.size] = falls / readings.deviation
    yield small_over_large(by_size, readings.sample.patient, replace(place, measure=EFFECT_BY_SIZE))


def _by_part(
    chosen: LesionImages,
    lesions: Lesions | None,
    lesion_free: Images,
    falls: Float[np.ndarray, " n"],
    subject: ExplainedNetwork,
    sample: Sample,
) -> Iterator[Float[np.ndarray, " n"]]:
    """Measure the fall of the log-odds when the lesions of each part alone are removed.

    A kind is removed by drawing the images again without it, where the phantom can; a size by cutting lesions out of
    the images without any lesion (see `remove_lesions`).
    """
    every = np.arange(len(sample))
    take = remove_lesions(sample.images.read(every).numpy(), lesion_free.read(every).numpy(), sample.lesion)
    for part in chosen.parts():
        shows_part, falls_of_part = part.masks.any(axis=(1, 2)), falls
        if part.kind and isinstance(lesions, DrawnLesions):
            falls_of_part = sample.fall(lesions.without(part.kind, chosen.rows).read(every).numpy(), subject)
        elif part.kind or part.size:
            falls_of_part = sample.fall(take(part.masks), subject)
        yield np.where(shows_part, falls_of_part, np.nan)


def attributed_effect(
    maps: Float[np.ndarray, "n h w"], readings: MapReferences, place: Measurement
) -> list[Measurement]:
    """`attributed-effect`: the sum of an additive map over the lesions, in the unit of `lesion-effect`."""
    if fault := NO_UNIT if np.isnan(readings.deviation) else broken(maps):
        return [without(place, ATTRIBUTED, fault)]
    inside = np.where(readings.sample.lesion, maps, 0).sum(axis=(1, 2), dtype=np.float64, keepdims=True)[:, 0, 0]
    return [
        mean_over_images(
            replace(place, measure=ATTRIBUTED, unit=WITHIN_CLASS),
            inside / readings.deviation,
            readings.sample.patient,
            NO_REASON,
        )
    ]


def _map_agreement(maps: Float[np.ndarray, "n h w"], readings: MapReferences, place: Measurement) -> Measurement:
    if isinstance(readings.falls, Reason):
        return without(place, AGREEMENT, readings.falls)
    size = np.abs(maps)
    total = size.sum(axis=(1, 2), dtype=np.float64)
    inside = np.sum(size, axis=(1, 2), where=readings.sample.lesion, dtype=np.float64)
    share = np.where(total > 0, inside / np.where(total > 0, total, 1), np.nan)
    return agreement(share, readings.falls, readings.sample.patient, place)
