"""Similarity of the models of two recipes, by layer and in their answers, compared with the similarity of seeds alone.

Made of the activations that the probe `representation` kept and of kept answers: no model is read. Recipes are paired
as contrasts pair them, each level of an axis with the one that it is compared against, all else being equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from itertools import product

import numpy as np
from jaxtyping import Float

from assay.core.measures import INDEPENDENT, NEUTRAL
from assay.core.reasons import NO_REASON, Code, Reason
from assay.spec.schema import RecipePoint, StudySpec
from assay.stats.panel import SeedPredictions
from assay.stats.similarity import (
    SimilarityContrast,
    cka_vector,
    cohen_kappa,
    decide_similarity,
    mean_between_seeds,
    rbf_cka_vector,
    similarity_contrast,
)
from assay.store.files import Row
from assay.study.gathered import Records

PROBE = "representation"
CKA, KAPPA = "cka", "kappa"
BY_VECTOR: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    CKA: cka_vector,
    "cka-rbf": rbf_cka_vector,
}
"""Measures that are inner products of vectors. CKA is taken of all pairs of layers, RBF CKA of the same one."""


@dataclass(frozen=True)
class RecipePair:
    """Two recipes that differ along one axis: a is likened to b, which it is compared against."""

    axis: str
    a: RecipePoint
    b: RecipePoint


@dataclass(frozen=True)
class Models:
    """The models of one recipe whose activations were kept.

    layers: layer -> fold -> seed -> [n, d]. rows: per fold the images' numbers, which all seeds share. environment:
    where the images come from.
    """

    seeds: tuple[int, ...]
    rows: tuple[np.ndarray, ...]
    layers: Mapping[str, tuple[tuple[np.ndarray, ...], ...]]
    environment: str


Vectors = Mapping[str, tuple[Float[np.ndarray, "layers s m"], ...]]
"""Measure -> of each fold, see `BY_VECTOR`. Made once: this takes longer than comparing them."""


def recipe_pairs(spec: StudySpec) -> list[RecipePair]:
    """Each level of every axis with those that contrasts along it are against, else its first; others held."""
    pairs_by_key: dict[tuple[str, str], RecipePair] = {}
    for axis, levels in spec.axes.items():
        references = dict.fromkeys(str(contrast.against) for contrast in spec.contrasts if contrast.axis == axis)
        for against in [level for level in references if level in levels] or levels[:1]:
            by_axes = {_others(point, axis): point for point in spec.points if point.coordinates.get(axis) == against}
            for point in spec.points:
                other = by_axes.get(_others(point, axis))
                if point.coordinates.get(axis, against) != against and other is not None:
                    pairs_by_key.setdefault((point.label, other.label), RecipePair(axis, point, other))
    return [pair for (a, b), pair in pairs_by_key.items() if (b, a) not in pairs_by_key or (a, b) < (b, a)]


def _others(point: RecipePoint, axis: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in point.coordinates.items() if name != axis))


def similarity_rows(records: Records) -> list[Row]:
    """Rows of `schema.SIMILARITIES`; none where no activations were kept."""
    compared = _PairQueue(records)
    pairs = [pair for pair in recipe_pairs(records.plan.spec) if compared.has(pair.a) and compared.has(pair.b)]
    points = {point.label: point for pair in pairs for point in (pair.b, pair.a)}
    crossed = [row for pair in sorted(pairs, key=lambda pair: pair.b.label) for row in compared.between(pair)]
    within = [row for point in points.values() for row in compared.between_own_seeds(point)]
    return _decide_rows([*within, *crossed])


class _PairQueue:
    """Pairs to compare. Pairs with a recipe in common follow each other, so that at most three are in memory."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._units: dict[tuple[str, str], list[str]] = {}
        for unit in records.plan.probes:
            if unit.component.name == PROBE and records.folder.complete("probes", unit.id):
                self._units.setdefault((unit.trial.point.label, unit.trial.id), []).append(unit.id)
        self._points = {point.label: point for point in records.plan.spec.points}
        self._models = lru_cache(maxsize=3)(self._read)
        self._vectors = lru_cache(maxsize=2)(self._vectors_of)
        self._own = cache(self._of_own)

    def has(self, point: RecipePoint) -> bool:
        """Whether a kept seed of a recipe has activations."""
        return any(self._kept_units(point, seed) is not None for seed in self._records.kept_seeds(point))

    def between_own_seeds(self, point: RecipePoint) -> Iterator[Row]:
        """CKA of every layer and every layer of another seed: the seed baseline of a recipe."""
        models, products = self._models(point.label), self._own(point.label)
        for i, layer in enumerate(models.layers):
            for j, other in enumerate(models.layers):
                value = mean_between_seeds(products[CKA][i, :, j, :])
                reason = str(_few(len(models.seeds))) if math.isnan(value) else ""
                columns = {"value": value, "seeds": len(models.seeds), "reason": reason}
                yield {**_row("", point, point, CKA, layer, other), **_images(models), **columns}

    def between(self, pair: RecipePair) -> Iterator[Row]:
        """Compute CKA of all pairs of layers, all measures of layers with the same name, and kappa of the calls."""
        a, b = self._models(pair.a.label), self._models(pair.b.label)
        seeds = [seed for seed in a.seeds if seed in b.seeds]
        if reason := self._incomparable(pair, a, b, seeds):
            yield {**_row(pair.axis, pair.a, pair.b, CKA), "seeds": len(seeds), "reason": str(reason)}
            return
        at = [[models.seeds.index(seed) for seed in seeds] for models in (a, b)]
        products_a, others = self._own(pair.a.label), self._own(pair.b.label)
        of_a, of_b = self._vectors(pair.a.label), self._vectors(pair.b.label)
        for measure in BY_VECTOR:
            across = _products(of_a[measure], of_b[measure])
            for (i, layer), (j, other) in product(enumerate(a.layers), enumerate(b.layers)):
                here = {**_row(pair.axis, pair.a, pair.b, measure, layer, other), **_images(a)}
                crossed = across[i, :, j, :][np.ix_(*at)]
                if layer == other:
                    similarities = products_a[measure][i, :, i, :][np.ix_(at[0], at[0])]
                    twos = others[measure][j, :, j, :][np.ix_(at[1], at[1])]
                    yield {**here, **_numbers_of(similarity_contrast(crossed, similarities, twos))}
                elif measure == CKA:
                    yield {**here, "value": mean_between_seeds(crossed), "seeds": len(seeds)}
        yield from self._answers(pair)

    def _answers(self, pair: RecipePair) -> Iterator[Row]:
        """Cohen's kappa of the models' calls in every test environment that both recipes have."""
        if self._records.plan.spec.task != "classification":
            return
        for environment, test in pair.a.tests.items():
            panels = [self._records.panel(point, environment) for point in (pair.a, pair.b)]
            if pair.b.tests.get(environment) != test or panels[0] is None or panels[1] is None:
                continue
            if not all(np.array_equal(getattr(panels[0], of), getattr(panels[1], of)) for of in ("patient", "target")):
                continue  # seeds were lost so that other rows are left
            seeds = np.intersect1d(panels[0].seed_ids, panels[1].seed_ids)
            a, b = (_calls(panel, seeds) for panel in (panels[0], panels[1]))
            likeness = similarity_contrast(_kappas(a, b), _kappas(a, a), _kappas(b, b))
            here = _row(pair.axis, pair.a, pair.b, KAPPA)
            yield {**here, "environment": environment, "images": len(panels[0].target), **_numbers_of(likeness)}

    def _incomparable(self, pair: RecipePair, a: Models, b: Models, seeds: Sequence[int]) -> Reason:
        if len(seeds) < 2:
            return _few(len(seeds))
        is_neutral = a.environment in (NEUTRAL, INDEPENDENT)
        same = is_neutral or pair.a.tests.get(a.environment) == pair.b.tests.get(b.environment)
        alike = len(a.rows) == len(b.rows) and all(map(np.array_equal, a.rows, b.rows))
        return NO_REASON if same and alike else Reason.of(Code.OTHER_IMAGES)

    def _kept_units(self, point: RecipePoint, seed: int) -> list[str] | None:
        """The probe unit of each fold that kept activations; None where a fold has none."""
        trials = [trial for trial in self._records.by_point[point.label][seed] if not trial.training.members]
        units = [self._units.get((point.label, trial.id), []) for trial in trials]
        ids_found = [next((id for id in ids if self._records.folder.has_activations(id)), "") for ids in units]
        return ids_found if all(ids_found) else None

    def _read(self, label: str) -> Models:
        point, folder = self._points[label], self._records.folder
        units_by_seed = {
            seed: units for seed in self._records.kept_seeds(point) if (units := self._kept_units(point, seed))
        }
        read = {seed: [folder.activations(id) for id in units] for seed, units in units_by_seed.items()}
        first = next(iter(read.values()))
        rows = tuple(row for row, _ in first)
        shared = {
            seed: folds
            for seed, folds in read.items()
            if all(np.array_equal(row, first_rows) for (row, _), first_rows in zip(folds, rows, strict=True))
        }
        layers = {
            layer: tuple(tuple(folds[fold][1][layer] for folds in shared.values()) for fold in range(len(rows)))
            for layer in first[0][1]
        }
        environment = str(
            folder.record("probes", next(iter(units_by_seed.values()))[0])["params"].get("environment", NEUTRAL)
        )
        return Models(tuple(shared), rows, layers, environment)

    def _vectors_of(self, label: str) -> Vectors:
        models = self._models(label)
        folds, layers = range(len(models.rows)), models.layers.values()
        return {
            measure: tuple(np.array([[vector(x) for x in by_fold[fold]] for by_fold in layers]) for fold in folds)
            for measure, vector in BY_VECTOR.items()
        }

    def _of_own(self, label: str) -> dict[str, np.ndarray]:
        """Measure -> likeness of a recipe's own models [layers, s, layers, s]."""
        return {measure: _products(folds, folds) for measure, folds in self._vectors(label).items()}


def _products(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> Float[np.ndarray, "layers s layers s"]:
    """Inner products of all vectors, mean over folds."""
    products = [x.reshape(-1, x.shape[2]) @ y.reshape(-1, y.shape[2]).T for x, y in zip(a, b, strict=True)]
    return np.mean(products, axis=0).reshape(*a[0].shape[:2], *b[0].shape[:2])


def _calls(panel: SeedPredictions, seeds: np.ndarray) -> list[np.ndarray]:
    """The class that each seed calls each image; -1 where it did not answer."""
    calls_by_seed: list[np.ndarray] = []
    for seed in seeds:
        position = int(np.flatnonzero(panel.seed_ids == seed)[0])
        calls = np.full(len(panel.target), -1)
        here = slice(None) if panel.has_prediction is None else panel.has_prediction[position]
        calls[here] = panel.predictions_of_seed(position)[0].predicted
        calls_by_seed.append(calls)
    return calls_by_seed


def _kappas(calls_a: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> Float[np.ndarray, "s s"]:
    """Over the images that both answered."""
    return np.array(
        [[cohen_kappa(a[both], b[both]) for b in others for both in [(a >= 0) & (b >= 0)]] for a in calls_a]
    ).reshape(len(calls_a), len(others))


def _row(axis: str, a: RecipePoint, b: RecipePoint, measure: str, layer: str = "", other: str = "") -> Row:
    return {
        **a.columns,
        "against": b.label,
        "against_coordinates": b.columns["coordinates"],
        "axis": axis,
        "measure": measure,
        "environment": "",
        "layer": layer,
        "against_layer": other,
        **dict.fromkeys(_NUMBERS, math.nan),
        "decision": "",
        "seeds": 0,
        "images": 0,
        "reason": "",
    }


def _numbers_of(likeness: SimilarityContrast) -> Row:
    return {**asdict(likeness), "reason": str(likeness.reason)}


_NUMBERS = ("value", "within", "against_within", "below", "low", "high", "standard_error", "df", "p", "decision_level",
            "decision_low", "decision_high", "decision_p", "sign_flip_p", "sign_flip_min_p")  # fmt: skip


def _images(models: Models) -> Row:
    return {"environment": models.environment, "images": sum(map(len, models.rows))}


def _few(seeds: int) -> Reason:
    return Reason.of(Code.FEW_SEEDS_WITH_ACTIVATIONS, seeds=seeds)


def _decide_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows with the decision and what decided, those of one measure being a family."""
    decided_rows = [dict(row) for row in rows]
    for measure in dict.fromkeys(row["measure"] for row in decided_rows):
        family = [row for row in decided_rows if row["measure"] == measure and not math.isnan(row["below"])]
        tests = ("below", "standard_error", "df", "p")
        likeness = [SimilarityContrast(0, 0, 0, **{name: row[name] for name in tests}) for row in family]
        for row, decided in zip(family, decide_similarity(likeness), strict=True):
            row.update(decided)
    return decided_rows
