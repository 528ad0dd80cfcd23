"""Faithfulness of attributions: sanity checks with randomized weights, and effects of removing lesions.

Heat maps come from an `Explainer`, images and lesions from `lesion_maps`.
"""

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
from assay.probes.lesion_maps import MEASURES, SIZES, LesionImages, LesionSample, LesionSubset, localization
from assay.probes.probe import Reading, estimated_mean, measurement_with_error, number_of_patients
from assay.probes.reliance import within_class_spread
from assay.shifts.confounders.pixels import gaussian
from assay.shifts.environment import Environment, PickedImages, Scene
from assay.stats.metrics import average_ranks, class_score, log_odds

# Sanity checks: whether a heat map depends on learned weights. It is computed again with randomized layers.
#
# After Adebayo et al. (2018). A map that stays the same shows the image or the architecture only.

CASCADING, INDEPENDENT = "cascading", "independent"
STAGES = 4
"""Stages in which layers are randomized: the last layer with weights, then thirds of those before it."""
MAX_RANK_CORRELATION = 0.5
"""Mean rank correlation with maps of a network of randomized layers only, from which on an explainer fails."""
_WINDOW = 7
_C1, _C2 = 0.01**2, 0.03**2
"""The window and the constants of Wang et al. (2004) for values from 0 to 1."""


@dataclass(frozen=True)
class RandomizedNetwork:
    """A network with the weights of some layers randomized.

    Attributes:
        order: `cascading` for all layers from the last down to `earliest_layer`, `independent` for one stage alone.
        earliest_layer: The earliest randomized layer.
        all_layers: Whether all layers are randomized.
        network: The network, in the mode and on the device of the original.
    """

    order: str
    earliest_layer: str
    all_layers: bool
    network: nn.Module


def randomized_networks(explained: ExplainedNetwork) -> Iterator[RandomizedNetwork]:
    """Yield the network with layers randomized from the last on, stage by stage; then with each earlier stage alone.

    The values of each weight tensor are permuted, the same way for every model. Their distribution stays the same, so
    that no layer dies, and only the learned arrangement is lost.
    """
    steps = stages(explained)
    for last in range(len(steps)):
        names = {name for stage in steps[: last + 1] for name in stage.parameters}
        network = with_permuted_weights(explained.network, names)
        yield RandomizedNetwork(CASCADING, steps[last].earliest_layer, last == len(steps) - 1, network)
    for stage in steps[1:]:
        yield RandomizedNetwork(
            INDEPENDENT, stage.earliest_layer, False, with_permuted_weights(explained.network, set(stage.parameters))
        )


@dataclass(frozen=True)
class Stage:
    """Layers that are randomized together.

    Attributes:
        parameters: Names of their parameters.
        earliest_layer: The earliest of them.
    """

    parameters: tuple[str, ...]
    earliest_layer: str


def stages(explained: ExplainedNetwork) -> list[Stage]:
    """Return all layers with weights from the last to the first: the last one, then thirds; fewer where there are few
    layers.

    Layers come in the order in which they ran last; those that were not seen to run come first in the network.
    """
    place_by_name = {step.name: place for place, step in enumerate(explained.steps)}
    layers: dict[str, list[str]] = {}
    for name, _ in explained.network.named_parameters():
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    order = sorted(layers, key=lambda layer: place_by_name.get(layer, -1), reverse=True)
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
    """Compute Spearman's correlation of the absolute values of two maps, image by image, -1 to 1.

    NaN where the first map is constant; 0 where only the second is.
    """
    first, second = (_centered_ranks(maps) for maps in (first_maps, second_maps))
    first_square, second_square = ((ranks**2).sum(axis=1) for ranks in (first, second))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlations = (first * second).sum(axis=1) / np.sqrt(first_square * second_square)
    correlations = np.where(first_square > 0, np.where(second_square > 0, correlations, 0.0), np.nan)
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


def sanity_verdict(correlations: Sequence[float] | Float[np.ndarray, " n"], nothing_changed: bool) -> Reason:
    """Return the reason that an explainer fails its sanity check or could not be checked; none where it passes."""
    values = np.asarray(correlations, dtype=np.float64)
    if nothing_changed:
        return Reason.of(Code.SANITY_SAME_WEIGHTS)
    if np.isnan(values).all():
        return Reason.of(Code.SANITY_CONSTANT_MAPS)
    mean = float(np.nanmean(values))
    return NO_REASON if mean < MAX_RANK_CORRELATION else Reason.of(Code.FAILS_SANITY, correlation=mean)


# Measures of an explainer's maps: scores by kind and size, and whether they depend on learned weights.

RANK, STRUCTURE = "sanity-rank-correlation", "sanity-ssim"
CENTER_PRIOR_SD = 0.25
"""Standard deviation of the center prior, as a share of each side."""


@dataclass(frozen=True)
class SanityResult:
    """Results of the sanity checks of one explainer.

    Attributes:
        rows: Measurements.
        remark: Reason that is added to its scores; none where it passes.
    """

    rows: Sequence[Measurement]
    remark: Reason


def center_prior(shape: tuple[int, ...]) -> Float[np.ndarray, "n h w"]:
    """Return a Gaussian around the middle of every image, scaled to its height and width."""
    n, height, width = shape
    down, along = (
        np.exp(-0.5 * (((np.arange(side) + 0.5) / side - 0.5) / CENTER_PRIOR_SD) ** 2) for side in (height, width)
    )
    return np.broadcast_to(np.outer(down, along).astype(np.float32), (n, height, width))


def score_maps(
    maps: Float[np.ndarray, "n h w"], subsets: Sequence[LesionSubset], sample: LesionSample, template: Measurement
) -> Iterator[Measurement]:
    """Yield every score of an explainer's maps, for all lesions, by kind and by size."""
    fault = reason_for_broken_maps(maps)
    empty = int((maps == 0).all(axis=(1, 2)).sum())
    remark = Reason.of(Code.EMPTY_MAPS, count=empty, maps=len(maps)) if empty else NO_REASON
    for subset in subsets:
        subset_template = replace(
            template, group=subset.kind, level=subset.size, unit="share", direction="higher", reason=remark
        )
        if fault:
            yield from (undefined_at(subset_template, name, fault) for name in MEASURES)
            continue
        is_whole = not (subset.kind or subset.size)
        scores = localization(maps, subset.masks, None if is_whole else sample.lesion & ~subset.masks)
        for name, values in zip(MEASURES, scores, strict=False):
            present = ~np.isnan(values)
            chance = float(scores.area[present].mean()) if present.any() else np.nan
            reason = Reason.of(Code.NO_SUCH_LESION_WITH_REST)
            yield mean_over_images(
                replace(subset_template, measure=name, chance=chance), values, sample.patient, reason
            )


def reason_for_broken_maps(maps: Float[np.ndarray, "n h w"]) -> Reason:
    """Return a reason with the number of maps that hold NaN or infinity; none where no map does."""
    count = int((~np.isfinite(maps).all(axis=(1, 2))).sum())
    return Reason.of(Code.BROKEN_MAPS, count=count, maps=len(maps)) if count else NO_REASON


def mean_over_images(
    template: Measurement, values: Float[np.ndarray, " n"], patient: np.ndarray, reason: Reason
) -> Measurement:
    """Return the mean over images that have a value, with its error over patients; NaN with `reason` without any."""
    present = ~np.isnan(values)
    if not present.any():
        return undefined_at(template, template.measure, reason)
    template = replace(template, n=int(present.sum()), patients=number_of_patients(patient[present]))
    return estimated_mean(template, values[present], patient[present])


def undefined_at(template: Measurement, measure: str, reason: Reason) -> Measurement:
    """Return a measurement of NaN with its reason."""
    measurement = undefined(
        measure, reason, environment=template.environment, factor=template.factor, group=template.group
    )
    return replace(measurement, level=template.level)


def check_sanity(
    network: ExplainedNetwork,
    explainers: Mapping[str, Explainer],
    original_maps: Mapping[str, np.ndarray],
    sample: LesionSample,
    template: Measurement,
) -> Mapping[str, SanityResult]:
    """Check every explainer on every network with randomized layers, each of which is built once.

    Args:
        network: The unchanged network.
        explainers: Explainers by name.
        original_maps: Explainer -> maps of the sample by the unchanged network.
        sample: The images.
        template: A measurement with the environment.

    Returns:
        Explainer -> its results.
    """
    rows: dict[str, list[Measurement]] = {name: [] for name in explainers}
    remarks: dict[str, Reason] = {}
    for randomization in randomized_networks(network):
        randomized = sample.subject(randomization.network)
        has_same_weights = have_equal_weights(network.network, randomization.network)
        for name, explainer in explainers.items():
            maps = sample.maps(explainer, randomized)
            ranks = rank_correlations(original_maps[name], maps)
            similarities = np.where(np.isnan(ranks), np.nan, structural_similarities(original_maps[name], maps))
            template_of_check = replace(
                template, factor=name, group=randomization.order, level=randomization.earliest_layer
            )
            for measure, values in ((RANK, ranks), (STRUCTURE, similarities)):
                measured_change = mean_over_images(
                    replace(template_of_check, measure=measure),
                    values,
                    sample.patient,
                    sanity_verdict(values, has_same_weights),
                )
                rows[name].append(measured_change)
                if randomization.all_layers:
                    rows[name].append(replace(measured_change, group="", level=""))
            if randomization.all_layers:
                remarks[name] = sanity_verdict(ranks, has_same_weights)
    unchecked = sanity_verdict(np.empty(0), True)
    return {name: SanityResult(measurements, remarks.get(name, unchecked)) for name, measurements in rows.items()}


def add_remark(rows: Sequence[Measurement], remark: Reason) -> list[Measurement]:
    """Add the remark to the reasons of scores; a score without a value keeps only its own reason."""
    return [row if np.isnan(row.value) else replace(row, reason=row.reason + remark) for row in rows]


# Effect of removing the lesion: exact where a phantom can draw the image without it, else by painting it over.
#
# This measures which information is *used*: the reference for attribution.

EFFECT, ERASED, ERASED_OVER_ELSEWHERE = "lesion-effect", "erasure-effect", "erasure-effect-over-elsewhere"
EFFECT_BY_SIZE, ERASED_BY_SIZE = "lesion-effect-small-over-large", "erasure-effect-small-over-large"
AGREEMENT, ATTRIBUTED = "removal-agreement", "attributed-effect"
_BLUR = 1 / 16
"""Of what is painted over a lesion: standard deviation, the shorter side being 1."""


# --- removing lesions -----------------------------------------------------------------------------------------------


def without_lesions(scene: Scene, chosen: LesionImages) -> Environment | Reason:
    """Return the same images drawn without any lesion, or the reason that they cannot be."""
    if chosen.name != scene.neutral().name:
        return Reason.of(Code.NEUTRAL_ALONE)
    core = [factor.name for factor in chosen.environment.table.factors if factor.role == "core"]
    changeable = [name for name in core if name in scene.changeable()]
    if not changeable:
        return Reason.of(Code.NOT_DRAWN)
    lesion_free = scene.counterfactual(changeable[0], "low")
    if lesion_free.masks is None or (lesion_free.masks.read(chosen.rows) > 0).any():
        return Reason.of(Code.ALWAYS_LESIONS, factor=changeable[0])
    images = PickedImages(lesion_free.images, chosen.rows)
    return Environment("(lesions taken away)", lesion_free.table.take(chosen.rows), images, None, ())


def remove_lesions(
    images: Float[np.ndarray, "n c h w"], lesion_free: Float[np.ndarray, "n c h w"], lesion: Bool[np.ndarray, "n h w"]
) -> Callable[[Bool[np.ndarray, "n h w"]], Float[np.ndarray, "n c h w"]]:
    """Return a function that removes some of the lesions, given their pixels.

    A pixel is taken from the lesion-free image if the pixel of a lesion nearest to it is to be removed. This is exact
    where edges of lesions do not overlap, and every change belongs to one lesion.

    Args:
        images: The images.
        lesion_free: The same images drawn without any lesion.
        lesion: Pixels of all lesions.
    """
    nearest = [
        ndimage.distance_transform_edt(~pixels, return_distances=False, return_indices=True) for pixels in lesion
    ]

    def remove_some(part: Bool[np.ndarray, "n h w"]) -> Float[np.ndarray, "n c h w"]:
        filling = np.stack([source[at[0], at[1]] for source, at in zip(part, nearest, strict=True)])
        return np.where(filling[:, None], lesion_free, images)

    return remove_some


def paint_over(images: Float[Tensor, "b c h w"], where: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, "b c h w"]:
    """Return the images with some pixels replaced by a weighted mean of their neighbors, near ones counting most."""
    visible = (~where).to(images.dtype)
    sd = _BLUR * min(images.shape[2:])
    weight = gaussian(visible, sd) + 1e-6
    background = (images * visible).sum(dim=(2, 3), keepdim=True) / visible.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    neighbors_mean = (gaussian(images * visible, sd) + 1e-6 * background) / weight
    return torch.where(where, neighbors_mean, images)


# --- effect on the outputs ------------------------------------------------------------------------------------------


def true_class_log_odds(logits: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return the log-odds of each image's own class against the rest.

    Examples:
        >>> logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.8, 0.1, 0.1]])
        >>> odds = np.exp(true_class_log_odds(logits, np.array([0, 1, 2])))
        >>> odds.round(6).tolist()  # 0.5 / 0.5, 0.2 / 0.8, 0.1 / 0.9
        [1.0, 0.25, 0.111111]
    """
    return np.stack([class_score(logits, label) for label in range(logits.shape[1])], axis=1)[
        np.arange(len(labels)), labels
    ]


def log_odds_unit(logits: Float[np.ndarray, "n k"], target: Int[np.ndarray, " n"]) -> float:
    """Return the within-class standard deviation of the log-odds; of several classes their mean, NaN where it is 0."""
    scores = log_odds(logits)
    deviation = float(within_class_spread(scores, target).deviation.mean())
    return deviation if deviation > 1e-6 * max(1.0, float(np.abs(scores).max())) else np.nan


def erasures(
    subsets: list[LesionSubset],
    subject: ExplainedNetwork,
    sample: LesionSample,
    deviation: float,
    template: Measurement,
) -> Iterator[Measurement]:
    """Measure, by kind and size, the effect of painting over lesions on the log-odds, and compare it with other pixels.

    The comparison is with the pixels mirrored about the image's center, where there is no lesion, of equal number. Only
    lesions whose opposite side shows no lesion are compared, and an image counts if they are at least half of its
    lesions. `erasure-effect-small-over-large` is this difference for small lesions less that for large ones.
    """
    by_size: dict[str, Float[np.ndarray, " n"]] = {}
    for subset in subsets:
        subset_template = replace(template, group=subset.kind, level=subset.size, unit=WITHIN_CLASS)
        if np.isnan(deviation):
            yield from (undefined_at(subset_template, name, NO_UNIT) for name in (ERASED, ERASED_OVER_ELSEWHERE))
            continue
        mirrored = subset.masks[:, ::-1, ::-1] & ~sample.lesion
        shows_part = subset.masks.any(axis=(1, 2))
        has_mirrored = shows_part & (2 * mirrored.sum(axis=(1, 2)) >= subset.masks.sum(axis=(1, 2)))
        drops = _erasure_drops(subset.masks, subject, sample) / deviation
        mirrored_drops = _erasure_drops(mirrored, subject, sample) / deviation
        opposite = subset.masks & mirrored[:, ::-1, ::-1]
        comparable_drops = (
            drops if (opposite == subset.masks).all() else _erasure_drops(opposite, subject, sample) / deviation
        )
        chance = float(mirrored_drops[has_mirrored].mean()) if has_mirrored.any() else np.nan
        erased = replace(subset_template, measure=ERASED, chance=chance)
        yield mean_over_images(
            erased, np.where(shows_part, drops, np.nan), sample.patient, Reason.of(Code.NO_SUCH_LESION)
        )
        excess = np.where(has_mirrored, comparable_drops - mirrored_drops, np.nan)
        reason = Reason.of(Code.NO_OTHER_SIDE)
        yield mean_over_images(
            replace(subset_template, measure=ERASED_OVER_ELSEWHERE, chance=0.0), excess, sample.patient, reason
        )
        if subset.size:
            by_size[subset.size] = excess
    if np.isnan(deviation):
        yield undefined_at(template, ERASED_BY_SIZE, NO_UNIT)
    else:
        yield small_over_large(by_size, sample.patient, replace(template, measure=ERASED_BY_SIZE))


def small_over_large(
    by_size: Mapping[str, Float[np.ndarray, " n"]], patient: Int[np.ndarray, " n"], template: Measurement
) -> Measurement:
    """Subtract the effect of an image's large lesions from that of its small ones; NaN where it shows none.

    0 means that size makes no difference.
    """
    if not {SIZES[0], SIZES[-1]} <= by_size.keys():
        return undefined_at(template, template.measure, Reason.of(Code.ONE_LESION_SIZE))
    values = by_size[SIZES[0]] - by_size[SIZES[-1]]
    return mean_over_images(
        replace(template, unit=WITHIN_CLASS, chance=0.0), values, patient, Reason.of(Code.NO_SMALL_AND_LARGE)
    )


NO_UNIT = Reason.of(Code.NO_LOG_ODDS_UNIT)


@torch.no_grad()
def _erasure_drops(
    where: Bool[np.ndarray, "n h w"], subject: ExplainedNetwork, sample: LesionSample
) -> Float[np.ndarray, " n"]:
    drops: list[Tensor] = []
    for rows, pixels, labels in sample.batches():
        masks = tensor_of(np.ascontiguousarray(where[rows]))[:, None].to(pixels.device)
        drops.append(subject.score(pixels, labels) - subject.score(paint_over(pixels, masks), labels))
    return torch.cat(drops).double().cpu().numpy()


# --- agreement of maps with effects ---------------------------------------------------------------------------------


def agreement(
    share: Float[np.ndarray, " n"], drop: Float[np.ndarray, " n"], patient: Int[np.ndarray, " n"], template: Measurement
) -> Measurement:
    """Compute `removal-agreement`: the rank correlation of a map's share on the lesion with the effect of its removal.

    Spearman's correlation over images, -1 to 1, with the log-odds that are lost without the lesion. Its error treats
    the ranks as given.
    """
    template = replace(template, measure=AGREEMENT, chance=0.0)
    present = ~np.isnan(share)
    if present.sum() < 4:
        return undefined_at(template, AGREEMENT, Reason.of(Code.FEW_SCORED_IMAGES, images=int(present.sum()), least=4))
    x, y = (average_ranks(values[present]) for values in (share, drop))
    if not (np.ptp(x) and np.ptp(y)):
        return undefined_at(template, AGREEMENT, Reason.of(Code.EQUAL_SHARES))
    x, y = ((values - values.mean()) / values.std() for values in (x, y))
    value = float((x * y).mean())
    influence = (x * y - value * (x**2 + y**2) / 2) / len(x)
    template = replace(template, n=int(present.sum()), patients=number_of_patients(patient[present]))
    return measurement_with_error(template, value, influence, patient[present])


@dataclass(frozen=True)
class MapReferences:
    """What explainers of one model are compared with.

    Attributes:
        subject: The network.
        sample: The images.
        subsets: All lesions, those of each kind, and those of each size.
        deviation: Unit of the log-odds, see `log_odds_unit`.
        drops: Loss of each image's log-odds without its lesions, or the reason that it is not known.
        drops_by_subset: The same without the lesions of each subset, NaN where the image has none of them; empty where
            it is not known.
    """

    subject: ExplainedNetwork
    sample: LesionSample
    subsets: list[LesionSubset]
    deviation: float
    drops: Float[np.ndarray, " n"] | Reason
    drops_by_subset: Sequence[Float[np.ndarray, " n"]]

    @classmethod
    def of(cls, reading: Reading, scene: Scene, chosen: LesionImages) -> MapReferences:
        """Compute the references from requested outputs and further forward passes."""
        neutral, lesion_free = scene.neutral(), without_lesions(scene, chosen)
        sample = LesionSample.of(chosen, reading.model.device)
        subject = sample.subject(reading.model.network)
        drops: Float[np.ndarray, " n"] | Reason = lesion_free if isinstance(lesion_free, Reason) else NO_REASON
        by_part: list[Float[np.ndarray, " n"]] = []
        if not isinstance(lesion_free, Reason):
            before, after = (reading.read(environment).logits for environment in (chosen.environment, lesion_free))
            drops = true_class_log_odds(before, sample.labels) - true_class_log_odds(after, sample.labels)
            by_part = list(_drops_by_subset(chosen, neutral.lesions, lesion_free.images, drops, subject, sample))
        return cls(
            subject,
            sample,
            list(chosen.subsets()),
            log_odds_unit(reading.read(neutral).logits, neutral.table.target),
            drops,
            by_part,
        )


def map_measurements(
    maps: Float[np.ndarray, "n h w"], references: MapReferences, template: Measurement
) -> list[Measurement]:
    """Return the scores of maps on lesions, and their agreement with the effect of removing the lesions."""
    rows = list(score_maps(maps, references.subsets, references.sample, template))
    if fault := reason_for_broken_maps(maps):
        return [*rows, undefined_at(template, AGREEMENT, fault)]
    return [*rows, _map_agreement(maps, references, template)]


def lesion_effects(references: MapReferences, template: Measurement) -> Iterator[Measurement]:
    """Measure `lesion-effect`: the loss of the log-odds of the image's class without its lesions.

    In within-class deviations; for all lesions, then by kind and size; and `lesion-effect-small-over-large`.
    """
    fault = (
        references.drops
        if isinstance(references.drops, Reason)
        else NO_UNIT
        if np.isnan(references.deviation)
        else NO_REASON
    )
    if fault:
        yield from (undefined_at(template, name, fault) for name in (EFFECT, EFFECT_BY_SIZE))
        return
    by_size: dict[str, Float[np.ndarray, " n"]] = {}
    for subset, drops in zip(references.subsets, references.drops_by_subset, strict=True):
        subset_template = replace(
            template, measure=EFFECT, group=subset.kind, level=subset.size, unit=WITHIN_CLASS, chance=0.0
        )
        yield mean_over_images(
            subset_template, drops / references.deviation, references.sample.patient, Reason.of(Code.NO_SUCH_LESION)
        )
        if subset.size:
            by_size[subset.size] = drops / references.deviation
    yield small_over_large(by_size, references.sample.patient, replace(template, measure=EFFECT_BY_SIZE))


def _drops_by_subset(
    chosen: LesionImages,
    lesions: Lesions | None,
    lesion_free: Images,
    drops: Float[np.ndarray, " n"],
    subject: ExplainedNetwork,
    sample: LesionSample,
) -> Iterator[Float[np.ndarray, " n"]]:
    """Yield the loss of the log-odds when only the lesions of each subset are removed.

    A kind is removed by drawing the images again without it, where the phantom can; a size by cutting lesions out of
    the images without any lesion (see `remove_lesions`).
    """
    all_rows = np.arange(len(sample))
    remove_some = remove_lesions(
        sample.images.read(all_rows).numpy(), lesion_free.read(all_rows).numpy(), sample.lesion
    )
    for subset in chosen.subsets():
        shows_part, subset_drops = subset.masks.any(axis=(1, 2)), drops
        if subset.kind and isinstance(lesions, DrawnLesions):
            subset_drops = sample.log_odds_drop(
                lesions.without(subset.kind, chosen.rows).read(all_rows).numpy(), subject
            )
        elif subset.kind or subset.size:
            subset_drops = sample.log_odds_drop(remove_some(subset.masks), subject)
        yield np.where(shows_part, subset_drops, np.nan)


def attributed_effect(
    maps: Float[np.ndarray, "n h w"], references: MapReferences, template: Measurement
) -> list[Measurement]:
    """Measure `attributed-effect`: the sum of an additive map over the lesions, in the unit of `lesion-effect`."""
    if fault := NO_UNIT if np.isnan(references.deviation) else reason_for_broken_maps(maps):
        return [undefined_at(template, ATTRIBUTED, fault)]
    inside = np.where(references.sample.lesion, maps, 0).sum(axis=(1, 2), dtype=np.float64, keepdims=True)[:, 0, 0]
    return [
        mean_over_images(
            replace(template, measure=ATTRIBUTED, unit=WITHIN_CLASS),
            inside / references.deviation,
            references.sample.patient,
            NO_REASON,
        )
    ]


def _map_agreement(maps: Float[np.ndarray, "n h w"], references: MapReferences, template: Measurement) -> Measurement:
    if isinstance(references.drops, Reason):
        return undefined_at(template, AGREEMENT, references.drops)
    size = np.abs(maps)
    total = size.sum(axis=(1, 2), dtype=np.float64)
    inside = np.sum(size, axis=(1, 2), where=references.sample.lesion, dtype=np.float64)
    share = np.where(total > 0, inside / np.where(total > 0, total, 1), np.nan)
    return agreement(share, references.drops, references.sample.patient, template)
