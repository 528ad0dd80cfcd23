"""Leads of an audit: hints at shortcuts that nobody named. None of them is a verdict.

A lead comes from properties of images and columns against the target, the scores and the errors, from shallow trees
over both, and from clusters of errors. What is fitted (trees, clusters) is measured on other patients.
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

MOST = 15
"""Leads that are kept."""
LEAST = 20
"""Images that a slice needs, and errors that are clustered."""
ALIKE = 0.5
"""Slices are merged that share at least this part of their union."""
_CLUSTERS, _INSIDE = 3, 0.75
_PARTS = (0.25, 0.5, 0.75)
"""Quantiles at which numbers are cut."""


# Properties, columns, slices and clusters.


@dataclass(frozen=True)
class _Condition:
    text: str
    rows: Bool[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class _Slice:
    """Some images of a class with the share of errors that they have more than its others.

    Attributes:
        kind: `slice`, `tree` or `cluster`.
        text: Conditions.
        gap: The share.
        rows: The images among all of the class.
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
    yield from _score_properties(scored, properties, margin)
    conditions = list(_candidate_conditions(scored, properties))
    for code, name in enumerate(scored.table.classes):
        of_class = scored.table.target == code
        wrong = (scored.calls != code)[of_class]
        if min(wrong.sum(), (~wrong).sum()) < LEAST:
            continue
        part = [_Condition(condition.text, condition.rows[of_class]) for condition in conditions]
        features = _cluster_features(scored, properties)
        patient = scored.table.patient[of_class]
        slices = [
            *_single(part, wrong, patient),
            *_trees(part, wrong, patient, seed),
            *_error_clusters({text: values[of_class] for text, values in features.items()}, wrong, patient, seed),
        ]
        for slice_, others in merge([slice_ for slice_ in slices if slice_.gap.low > margin]):
            row = _row(slice_.kind, slice_.text, "error", name, slice_.gap, slice_.images, slice_.patients)
            yield row | {"merged": "; ".join(others)}


def _row(kind: str, name: str, about: str, label: str, gap: BoundedEstimate, images: int, patients: int) -> Row:
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


def _score_properties(scored: ScoredImages, properties: Mapping[str, np.ndarray], margin: float) -> Iterator[Row]:
    """Yield properties whose halves differ in scores, as columns do."""
    table, labels = scored.table, score_names(scored.table.classes)
    for name, values in properties.items():
        rows = values > np.median(values)
        effect = swing_of_group(scored.scores, table.target, rows, table.patient, labels, "") if rows.any() else None
        if effect is None:
            continue
        swing = max(effect.swings, key=lambda class_swing: abs(class_swing.g.value))
        if swing.at_least(ALPHA / len(properties) / len(effect.swings)) > margin:
            yield _row("property", name, "score", swing.label, swing.g, effect.images, effect.patients)


def _candidate_conditions(scored: ScoredImages, properties: Mapping[str, np.ndarray]) -> Iterator[_Condition]:
    for name, values in {**properties, **_numbers(scored)}.items():
        edges = np.unique(np.nanquantile(values, _PARTS)).tolist()
        for edge, edge_text in zip(edges, _edge_texts(edges), strict=True):
            yield _Condition(f"{name} > {edge_text}", values > edge)
            yield _Condition(f"{name} <= {edge_text}", values <= edge)
    for factor in scored.table.factors:
        if factor.role != "core" and 1 < len(factor.levels) <= MAX_LEVELS:
            for code, level in enumerate(factor.levels):
                yield _Condition(f"{factor.name} = {level}", scored.table.columns[factor.name] == code)


def _edge_texts(edges: Sequence[float]) -> list[str]:
    """Return edges with as many digits as tell them apart, at least 3; whole numbers, such as years, are whole."""
    for digits in range(3, 18):
        texts = [f"{edge:.0f}" if edge.is_integer() else f"{edge:.{_digits(edge, digits)}g}" for edge in edges]
        if len({*texts}) == len(edges):
            return texts
    return [str(edge) for edge in edges]


def _digits(edge: float, least: int) -> int:
    """Return significant digits that reach a decimal of the edge."""
    return max(least, len(f"{abs(edge):.0f}") + 1)


def _numbers(scored: ScoredImages) -> dict[str, np.ndarray]:
    table = scored.table
    numbers = {
        factor.name: table.columns[factor.name].astype(np.float64)
        for factor in table.factors
        if factor.role != "core" and not factor.levels
    }
    return {name: values for name, values in numbers.items() if np.isfinite(values).any()}


def _cluster_features(scored: ScoredImages, properties: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return numbers to cluster by: properties, columns, and one for each level."""
    features = {**properties, **_numbers(scored)}
    for factor in scored.table.factors:
        if factor.role != "core" and 1 < len(factor.levels) <= MAX_LEVELS:
            codes = scored.table.columns[factor.name]
            features |= {f"{factor.name} = {level}": (codes == at) * 1.0 for at, level in enumerate(factor.levels)}
    return {text: np.where(np.isfinite(values), values, np.nanmedian(values)) for text, values in features.items()}


def _single(conditions: Sequence[_Condition], wrong: np.ndarray, patient: np.ndarray) -> Iterator[_Slice]:
    able = [condition for condition in conditions if _large(condition.rows)]
    for condition in able:
        gap = rate_gap(wrong, condition.rows, patient, ALPHA / len(able))
        yield _Slice("slice", condition.text, gap, condition.rows, len(wrong), len(np.unique(patient)))


def _large(rows: np.ndarray) -> bool:
    return bool(min(np.count_nonzero(rows), np.count_nonzero(~rows)) >= LEAST)


def _trees(conditions: Sequence[_Condition], wrong: np.ndarray, patient: np.ndarray, seed: int) -> Iterator[_Slice]:
    """Yield the leaves of trees of depth two, each fitted to half of the patients and measured on the others."""
    half = folds_by_patient(patient, 2, seed) == 0
    for fitted in (half, ~half):
        leaves = list(_leaves(conditions, wrong, fitted))
        for text, rows in leaves:
            yield from _slice_of("tree", text, rows, wrong, patient, ~fitted, len(leaves))


def _leaves(
    conditions: Sequence[_Condition], wrong: np.ndarray, fitted: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    root = _split(conditions, wrong, fitted)
    if root is None:
        return
    for condition in (root, next((other for other in conditions if _opposite(root, other)), None)):
        if condition is None:
            continue
        second = _split(conditions, wrong, fitted & condition.rows)
        if second is not None:
            yield f"{condition.text} & {second.text}", condition.rows & second.rows


def _opposite(condition: _Condition, other: _Condition) -> bool:
    return bool((condition.rows != other.rows).all())


def _split(conditions: Sequence[_Condition], wrong: np.ndarray, within: np.ndarray) -> _Condition | None:
    """Return the condition whose images have most errors beyond the others', in standard errors."""
    best, most = None, 0.0
    for condition in conditions:
        rows = condition.rows[within]
        if not _large(rows):
            continue
        errors = wrong[within]
        inside, outside, share = errors[rows].mean(), errors[~rows].mean(), errors.mean()
        spread = math.sqrt(max(share * (1 - share), 1e-9) * (1 / rows.sum() + 1 / (~rows).sum()))
        if (inside - outside) / spread > most:
            best, most = condition, (inside - outside) / spread
    return best


def _slice_of(
    kind: str, text: str, rows: np.ndarray, wrong: np.ndarray, patient: np.ndarray, on: np.ndarray, of: int
) -> Iterator[_Slice]:
    if _large(rows[on]):
        gap = rate_gap(wrong[on], rows[on], patient[on], ALPHA / of / 2)
        yield _Slice(kind, text, gap, rows, int(on.sum()), len(np.unique(patient[on])))


def _error_clusters(
    features: Mapping[str, np.ndarray], wrong: np.ndarray, patient: np.ndarray, seed: int
) -> Iterator[_Slice]:
    """Yield images near clusters of errors, named by the feature in which these and all errors differ from their class.

    Clusters also differ from each other in features that have nothing to do with errors: these name none.
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
        count = min(_CLUSTERS, len(errors) // (LEAST // 2))
        if not count:
            continue
        clusters = cast(Sequence[np.ndarray], kmeans2(errors, count, minit="++", rng=seed))
        for at in range(count):
            center, members = np.asarray(clusters[0][at], dtype=np.float64), errors[clusters[1] == at]
            if len(members) < LEAST // 2:
                continue
            away = np.sqrt(((values - center) ** 2).sum(axis=1))
            near = away <= np.quantile(np.sqrt(((members - center) ** 2).sum(axis=1)), _INSIDE)
            main_feature = int((center * errors.mean(axis=0)).argmax())
            sign = ">" if center[main_feature] > 0 else "<"
            text = f"{names[main_feature]} {sign} {_edge_texts([float(features[names[main_feature]].mean())])[0]}"
            yield from _slice_of("cluster", text, near, wrong, patient, ~fitted, count)


def merge(slices: Sequence[_Slice]) -> Iterator[tuple[_Slice, list[str]]]:
    """Yield slices without those that overlap a better one, each with the names of these."""
    remaining = sorted(slices, key=lambda slice_: -slice_.gap.low)
    while remaining:
        best, *rest = remaining
        alike = [
            slice_ for slice_ in rest if (slice_.rows & best.rows).sum() >= ALIKE * (slice_.rows | best.rows).sum()
        ]
        yield best, list(dict.fromkeys(slice_.text for slice_ in alike if slice_.text != best.text))
        remaining = [slice_ for slice_ in rest if slice_ not in alike]


_KINDS = ("property", "slice", "tree", "cluster")


def top_leads(rows: Sequence[Row]) -> list[Row]:
    """Return at most `MOST` leads: by kind, and of one kind the largest effect first.

    Examples:
        >>> rows = [{"kind": kind, "value": value} for kind in ("slice", "property") for value in (0.1, -0.3)]
        >>> [(row["kind"], row["value"]) for row in top_leads(rows)]
        [('property', -0.3), ('property', 0.1), ('slice', -0.3), ('slice', 0.1)]
        >>> len(top_leads(rows * 5))
        15
    """
    return sorted(rows, key=lambda row: (_KINDS.index(row["kind"]), -abs(row["value"])))[:MOST]
