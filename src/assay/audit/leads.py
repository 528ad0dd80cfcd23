"""Leads of an audit: hints at shortcuts that were not specified. None of them is a verdict.

A lead is a property of images or a column with which scores or errors differ, a slice of images with more errors (one
condition, or two from a shallow tree), or a cluster of errors. Trees and clusters are fitted on half of the patients
and measured on the other half.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Bool, Float

from assay.audit.scored import ScoredImages
from assay.audit.swing import rate_gap, swing_of_group
from assay.core.seeds import folds_by_patient
from assay.stats.bounds import ALPHA, MARGIN, BoundedEstimate
from assay.stats.groups import MAX_LEVELS
from assay.stats.metrics import score_names
from assay.store.files import Row

MAX_LEADS = 15
"""Most leads in the table."""
MIN_IMAGES = 20
"""Fewest images in a slice and outside it, and fewest errors of a class."""
MIN_OVERLAP = 0.5
"""Intersection over union of two slices from which on they are merged."""
_N_CLUSTERS, _SHARE_IN_RADIUS = 3, 0.75
_QUANTILES = (0.25, 0.5, 0.75)
"""Quantiles at which numbers are divided."""


# Properties, columns, slices and clusters.


@dataclass(frozen=True)
class _Condition:
    text: str
    rows: Bool[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class _Slice:
    """Some images of a class, with their share of errors less that of the other images of the class.

    Attributes:
        kind: `slice`, `tree` or `cluster`.
        text: Conditions.
        gap: The difference of the shares of errors.
        rows: Whether each image of the class is in the slice.
        images: Images that were compared.
        patients: Their patients.
    """

    kind: str
    text: str
    gap: BoundedEstimate
    rows: Bool[np.ndarray, " n"]
    images: int
    patients: int


def leads_of_images(
    scored: ScoredImages,
    properties: Mapping[str, Float[np.ndarray, " n"]],
    seed: int,
    margin: float = MARGIN,
) -> Iterator[Row]:
    """Yield rows of `tables.LEADS` for properties of images and columns.

    Args:
        scored: The images without marks.
        properties: Name -> a number per image.
        seed: Seed of folds and clusters.
        margin: The smallest effect that matters.
    """
    yield from _property_rows(scored, properties, margin)
    conditions = list(_candidate_conditions(scored, properties))
    for code, name in enumerate(scored.table.classes):
        in_class = scored.table.target == code
        wrong = (scored.predicted_class != code)[in_class]
        if min(wrong.sum(), (~wrong).sum()) < MIN_IMAGES:
            continue
        class_conditions = [_Condition(condition.text, condition.rows[in_class]) for condition in conditions]
        features = _cluster_features(scored, properties)
        patient = scored.table.patient[in_class]
        slices = [
            *_single_condition_slices(class_conditions, wrong, patient),
            *_tree_slices(class_conditions, wrong, patient, seed),
            *_cluster_slices({text: values[in_class] for text, values in features.items()}, wrong, patient, seed),
        ]
        for slice_, similar in merge([slice_ for slice_ in slices if slice_.gap.low > margin]):
            row = _lead_row(slice_.kind, slice_.text, "error", name, slice_.gap, slice_.images, slice_.patients)
            yield row | {"merged": "; ".join(similar)}


def _lead_row(kind: str, name: str, about: str, label: str, gap: BoundedEstimate, images: int, patients: int) -> Row:
    return {
        "kind": kind,
        "name": name,
        "about": about,
        "class": label,
        "value": gap.value,
        "low": gap.low,
        "high": gap.high,
        "merged": "",
        "images": images,
        "patients": patients,
    }


def _property_rows(scored: ScoredImages, properties: Mapping[str, np.ndarray], margin: float) -> Iterator[Row]:
    """Yield rows of properties with which scores differ: images above the median against the others."""
    table, labels = scored.table, score_names(scored.table.classes)
    for name, values in properties.items():
        in_upper_half = values > np.median(values)
        effect = (
            swing_of_group(scored.scores, table.target, in_upper_half, table.patient, labels, "")
            if in_upper_half.any()
            else None
        )
        if effect is None:
            continue
        swing = max(effect.swings, key=lambda class_swing: abs(class_swing.g.value))
        if swing.lower_bound(ALPHA / len(properties) / len(effect.swings)) > margin:
            yield _lead_row("property", name, "score", swing.label, swing.g, effect.images, effect.patients)


def _candidate_conditions(scored: ScoredImages, properties: Mapping[str, np.ndarray]) -> Iterator[_Condition]:
    for name, values in {**properties, **_numeric_columns(scored)}.items():
        edges = np.unique(np.nanquantile(values, _QUANTILES)).tolist()
        for edge, edge_text in zip(edges, _edge_texts(edges), strict=True):
            yield _Condition(f"{name} > {edge_text}", values > edge)
            yield _Condition(f"{name} <= {edge_text}", values <= edge)
    for factor in scored.table.factors:
        if factor.role != "core" and 1 < len(factor.levels) <= MAX_LEVELS:
            for code, level in enumerate(factor.levels):
                yield _Condition(f"{factor.name} = {level}", scored.table.columns[factor.name] == code)


def _edge_texts(edges: Sequence[float]) -> list[str]:
    """Return edges with as many digits as make them differ, at least 3; whole numbers, such as years, are whole."""
    for digits in range(3, 18):
        texts = [f"{edge:.0f}" if edge.is_integer() else f"{edge:.{_digits(edge, digits)}g}" for edge in edges]
        if len({*texts}) == len(edges):
            return texts
    return [str(edge) for edge in edges]


def _digits(edge: float, least: int) -> int:
    """Return significant digits that reach a decimal of the edge."""
    return max(least, len(f"{abs(edge):.0f}") + 1)


def _numeric_columns(scored: ScoredImages) -> dict[str, np.ndarray]:
    table = scored.table
    numbers = {
        factor.name: table.columns[factor.name].astype(np.float64)
        for factor in table.factors
        if factor.role != "core" and not factor.levels
    }
    return {name: values for name, values in numbers.items() if np.isfinite(values).any()}


def _cluster_features(scored: ScoredImages, properties: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return numbers to cluster by: properties, columns, and one for each level."""
    features = {**properties, **_numeric_columns(scored)}
    for factor in scored.table.factors:
        if factor.role != "core" and 1 < len(factor.levels) <= MAX_LEVELS:
            codes = scored.table.columns[factor.name]
            features |= {f"{factor.name} = {level}": (codes == at) * 1.0 for at, level in enumerate(factor.levels)}
    return {text: np.where(np.isfinite(values), values, np.nanmedian(values)) for text, values in features.items()}


def _single_condition_slices(
    conditions: Sequence[_Condition], wrong: np.ndarray, patient: np.ndarray
) -> Iterator[_Slice]:
    large_enough = [condition for condition in conditions if _divides_enough_images(condition.rows)]
    for condition in large_enough:
        gap = rate_gap(wrong, condition.rows, patient, ALPHA / len(large_enough))
        yield _Slice("slice", condition.text, gap, condition.rows, len(wrong), len(np.unique(patient)))


def _divides_enough_images(rows: np.ndarray) -> bool:
    return bool(min(np.count_nonzero(rows), np.count_nonzero(~rows)) >= MIN_IMAGES)


def _tree_slices(
    conditions: Sequence[_Condition], wrong: np.ndarray, patient: np.ndarray, seed: int
) -> Iterator[_Slice]:
    """Yield the leaves of trees of depth two, each fitted to half of the patients and measured on the others."""
    half = folds_by_patient(patient, 2, seed) == 0
    for fitted in (half, ~half):
        leaves = list(_leaves(conditions, wrong, fitted))
        for text, rows in leaves:
            yield from _slice_of("tree", text, rows, wrong, patient, ~fitted, len(leaves))


def _leaves(
    conditions: Sequence[_Condition], wrong: np.ndarray, fitted: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    root = _best_condition(conditions, wrong, fitted)
    if root is None:
        return
    for condition in (root, next((other for other in conditions if _opposite(root, other)), None)):
        if condition is None:
            continue
        second = _best_condition(conditions, wrong, fitted & condition.rows)
        if second is not None:
            yield f"{condition.text} & {second.text}", condition.rows & second.rows


def _opposite(condition: _Condition, other: _Condition) -> bool:
    return bool((condition.rows != other.rows).all())


def _best_condition(conditions: Sequence[_Condition], wrong: np.ndarray, within: np.ndarray) -> _Condition | None:
    """Return the condition whose images have most errors more than the others, in standard errors; None without any."""
    best, largest = None, 0.0
    for condition in conditions:
        rows = condition.rows[within]
        if not _divides_enough_images(rows):
            continue
        errors = wrong[within]
        inside, outside, share = errors[rows].mean(), errors[~rows].mean(), errors.mean()
        error = math.sqrt(max(share * (1 - share), 1e-9) * (1 / rows.sum() + 1 / (~rows).sum()))
        if (inside - outside) / error > largest:
            best, largest = condition, (inside - outside) / error
    return best


def _slice_of(
    kind: str, text: str, rows: np.ndarray, wrong: np.ndarray, patient: np.ndarray, measured: np.ndarray, n_slices: int
) -> Iterator[_Slice]:
    if _divides_enough_images(rows[measured]):
        gap = rate_gap(wrong[measured], rows[measured], patient[measured], ALPHA / n_slices / 2)
        yield _Slice(kind, text, gap, rows, int(measured.sum()), len(np.unique(patient[measured])))


def _cluster_slices(
    features: Mapping[str, np.ndarray], wrong: np.ndarray, patient: np.ndarray, seed: int
) -> Iterator[_Slice]:
    """Yield images near clusters of errors, each named by a feature in which it differs from the class.

    All errors must differ in this feature likewise, since clusters also differ in features that are unrelated to
    errors.
    """
    from scipy.cluster.vq import kmeans2  # here, since it takes half a second

    names = [name for name, values in features.items() if np.std(values) > 0]
    half = folds_by_patient(patient, 2, seed) == 0
    if not names:
        return
    values = np.stack([features[name] for name in names], axis=1)
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    for fitted in (half, ~half):
        errors = values[fitted & wrong]
        count = min(_N_CLUSTERS, len(errors) // (MIN_IMAGES // 2))
        if not count:
            continue
        clusters = cast(Sequence[np.ndarray], kmeans2(errors, count, minit="++", rng=seed))
        for cluster in range(count):
            center, members = np.asarray(clusters[0][cluster], dtype=np.float64), errors[clusters[1] == cluster]
            if len(members) < MIN_IMAGES // 2:
                continue
            distance = np.sqrt(((values - center) ** 2).sum(axis=1))
            is_near = distance <= np.quantile(np.sqrt(((members - center) ** 2).sum(axis=1)), _SHARE_IN_RADIUS)
            main_feature = int((center * errors.mean(axis=0)).argmax())
            sign = ">" if center[main_feature] > 0 else "<"
            text = f"{names[main_feature]} {sign} {_edge_texts([float(features[names[main_feature]].mean())])[0]}"
            yield from _slice_of("cluster", text, is_near, wrong, patient, ~fitted, count)


def merge(slices: Sequence[_Slice]) -> Iterator[tuple[_Slice, list[str]]]:
    """Yield slices without those that overlap one with a larger gap, each with the texts of these."""
    remaining = sorted(slices, key=lambda slice_: -slice_.gap.low)
    while remaining:
        best, *rest = remaining
        alike = [
            slice_
            for slice_ in rest
            if (slice_.rows & best.rows).sum() >= MIN_OVERLAP * (slice_.rows | best.rows).sum()
        ]
        yield best, list(dict.fromkeys(slice_.text for slice_ in alike if slice_.text != best.text))
        remaining = [slice_ for slice_ in rest if slice_ not in alike]


_KINDS_IN_ORDER = ("property", "slice", "tree", "cluster")


def top_leads(rows: Sequence[Row]) -> list[Row]:
    """Return at most `MAX_LEADS` leads: by kind, and of one kind the largest effect first.

    Examples:
        >>> rows = [{"kind": kind, "value": value} for kind in ("slice", "property") for value in (0.1, -0.3)]
        >>> [(row["kind"], row["value"]) for row in top_leads(rows)]
        [('property', -0.3), ('property', 0.1), ('slice', -0.3), ('slice', 0.1)]
        >>> len(top_leads(rows * 5))
        15
    """
    return sorted(rows, key=lambda row: (_KINDS_IN_ORDER.index(row["kind"]), -abs(row["value"])))[:MAX_LEADS]
