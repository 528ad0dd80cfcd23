"""Predictions of one recipe's seeds in one environment, and a measure of them per seed and patient."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, reduce

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import ndtri

from assay.core.reasons import NO_REASON, Code, Reason
from assay.core.types import Contributions
from assay.stats.influence import ModelPredictions, code_patients, effective_number
from assay.stats.measures import find_measure, value_and_contributions
from assay.stats.rows import FEW_PATIENTS


@dataclass(frozen=True)
class SeedPredictions:
    """Predictions of one recipe in one environment, seeds x images: a panel. Row i is the same image for every seed.

    Attributes:
        scores: Logits, float64 [s, n, k]; k = 1 is the positive class alone.
        target: Class codes, int64 [n].
        patient: Codes that mean the same patient in every panel of a study, int64 [n].
        fold: Fold whose model predicted, int64 [s, n]; pairs of an AUROC are then taken within a fold only.
        has_prediction: Images that a seed has a prediction for, bool [s, n]; all where None.
        thresholds: On the positive probability, [s], or [s, n] where folds have their own; 0.5 where None.
        seeds: Numbers of the seeds, by which panels are paired, int64 [s]; 0 .. s-1 where None. A seed whose training
            collapsed (one output or one embedding for nearly all images) is left out.
        maps: Of a segmentation, name -> [s, n, ...], the columns of each image's map (see `ModelPredictions`).
        grade_cutoff: First class that counts as positive where grades are cut in two.
        specificity_log_odds: Log-odds of being at or above the cutoff at which the model reaches each of the
            `measures.grades.SPECIFICITIES` on validation images, [s, n, levels].
        image_indices: Positions of the images in their set, int64 [n]; None where they are not known.
        class_names: Names of the classes, for reasons.

    Examples:
        Two seeds on four images of four patients; the second seed gets the second image wrong:

        >>> scores = np.array([[-1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, 1.0]])
        >>> panel = SeedPredictions(scores[:, :, None], target=np.array([0, 0, 1, 1]), patient=np.arange(4))
        >>> evaluate(panel, "specificity").values.tolist()
        [1.0, 0.5]
    """

    scores: Float[np.ndarray, "s n k"]
    target: Int[np.ndarray, " n"]
    patient: Int[np.ndarray, " n"]
    fold: Int[np.ndarray, "s n"] | None = None
    has_prediction: Bool[np.ndarray, "s n"] | None = None
    thresholds: Float[np.ndarray, "s *n"] | None = None
    seeds: Int[np.ndarray, " s"] | None = None
    maps: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    grade_cutoff: int = 1
    specificity_log_odds: Float[np.ndarray, "s n levels"] | None = None
    image_indices: Int[np.ndarray, " n"] | None = None
    class_names: tuple[str, ...] = ()
    _predictions_cache: dict[int, tuple[ModelPredictions, Int[np.ndarray, " m"]]] = field(
        init=False, repr=False, compare=False, default_factory=dict[int, tuple[ModelPredictions, Int[np.ndarray, " m"]]]
    )
    """Position of a seed -> its predictions and patients, since every measure asks for them."""

    def __post_init__(self) -> None:
        for name in ("scores", "target", "patient"):
            object.__setattr__(self, name, np.asarray(getattr(self, name)))
        if self.scores.ndim != 3:
            raise ValueError(f"scores have shape {self.scores.shape}: give [seeds, images, classes]")
        seeds, images, _ = self.scores.shape
        for name, array, shapes in (
            ("target", self.target, [(images,)]),
            ("patient", self.patient, [(images,)]),
            ("fold", self.fold, [(seeds, images)]),
            ("has_prediction", self.has_prediction, [(seeds, images)]),
            ("thresholds", self.thresholds, [(seeds,), (seeds, images)]),
            ("seeds", self.seeds, [(seeds,)]),
        ):
            if array is not None and array.shape not in shapes:
                allowed = " or ".join(map(str, shapes))
                raise ValueError(
                    f"{name} has shape {array.shape}: expected {allowed} beside scores {self.scores.shape}"
                )
        classes = max(self.scores.shape[2], 2)
        if images and not ((self.target >= 0) & (self.target < classes)).all():
            raise ValueError(
                f"targets lie in {self.target.min()}..{self.target.max()}: {classes} classes are coded 0..{classes - 1}"
            )
        if len(set(self.seed_ids.tolist())) != seeds:
            raise ValueError(f"seeds {self.seed_ids.tolist()} name one seed twice: give each seed once")

    @property
    def seed_ids(self) -> Int[np.ndarray, " s"]:
        """Numbers of the seeds."""
        return np.arange(len(self.scores)) if self.seeds is None else self.seeds

    @cached_property
    def n_effective_patients(self) -> float:
        """Number of effective patients, see `effective_patients_of_classes`."""
        return effective_patients_of_classes(self.target, self.patient)

    @cached_property
    def max_df_patients(self) -> float:
        """See `max_df_of_classes`."""
        return max_df_of_classes(self.target, self.patient)

    def rows(self, index: np.ndarray) -> SeedPredictions:
        """Return the predictions for some images only (integers or booleans), such as a group of patients."""
        thresholds = self.thresholds
        return replace(
            self,
            scores=self.scores[:, index],
            target=self.target[index],
            patient=self.patient[index],
            fold=None if self.fold is None else self.fold[:, index],
            has_prediction=None if self.has_prediction is None else self.has_prediction[:, index],
            thresholds=thresholds[:, index] if thresholds is not None and thresholds.ndim == 2 else thresholds,
            maps={name: column[:, index] for name, column in self.maps.items()},
            specificity_log_odds=None if self.specificity_log_odds is None else self.specificity_log_odds[:, index],
            image_indices=None if self.image_indices is None else self.image_indices[index],
        )

    def predictions_of_seed(self, position: int) -> tuple[ModelPredictions, Int[np.ndarray, " m"]]:
        """Return the predictions of the seed at this position, for the images that have one, and their patients."""
        if position not in self._predictions_cache:
            self._predictions_cache[position] = self._select_predictions(position)
        return self._predictions_cache[position]

    def _select_predictions(self, position: int) -> tuple[ModelPredictions, Int[np.ndarray, " m"]]:
        tested = None if self.has_prediction is None else self.has_prediction[position]
        # `code_patients` returns the same object for the same array: where all rows are tested, pass the array itself,
        # so that patients are coded once for all seeds.
        rows = slice(None) if tested is None or tested.all() else tested
        threshold: float | np.ndarray = 0.5
        if self.thresholds is not None:
            thresholds = self.thresholds[position]
            threshold = thresholds[rows] if thresholds.ndim else float(thresholds)
        fold = None if self.fold is None else self.fold[position][rows]
        maps = {name: column[position][rows] for name, column in self.maps.items()}
        specific = None if self.specificity_log_odds is None else self.specificity_log_odds[position][rows]
        is_complete = isinstance(rows, slice)
        target, patient = (self.target, self.patient) if is_complete else (self.target[rows], self.patient[rows])
        scores = self.scores[position][rows]
        return ModelPredictions(
            scores, target, threshold, fold, maps, self.grade_cutoff, specific, self.class_names
        ), patient


@dataclass(frozen=True)
class MeasureBySeed:
    """A measure per seed, with the contribution of each patient to each.

    Attributes:
        values: Value of each seed, [s].
        contributions: Influence value of each patient on each seed's value, [s, p]: the standard error of a seed's
            value is the square root of their sum of squares (`stats/influence.py`). 0 where a seed did not see a
            patient.
        patients: Codes of the patients, sorted, [p]; below 0 of samples that are no patients, such as those of a
            Sobol' design; none where a value is exact within its model.
        seeds: Numbers of the seeds, [s].
        n_images: Images that the values rest on; 0 where it is not known.
        bounds: Range of the values.
        reason: Why the measure is undefined, if it is.
        n_effective_patients: See `effective_patients_of_classes`; infinite where no patients are known.
        max_df_patients: See `max_df_of_classes`.

    Examples:
        >>> evaluated = measure_by_seed(np.array([0.5, 0.7]), np.array([3, 8]))  # a value per seed, without patients
        >>> evaluated.values.tolist(), evaluated.contributions.shape
        ([0.5, 0.7], (2, 0))
    """

    values: Float[np.ndarray, " s"]
    contributions: Float[np.ndarray, "s p"]
    patients: Int[np.ndarray, " p"]
    seeds: Int[np.ndarray, " s"]
    n_images: int
    bounds: tuple[float, float]
    reason: Reason = NO_REASON
    n_effective_patients: float = np.inf
    max_df_patients: float = np.inf

    @property
    def named_patients(self) -> Int[np.ndarray, " m"]:
        """Codes of the samples that are patients."""
        return self.patients[self.patients >= 0]


N_PSEUDO_SAMPLES = 100
"""Samples that stand in for the unknown ones of a recipe that has standard errors and no contributions."""


def measure_by_seed(
    values: Float[np.ndarray, " s"],
    seeds: Int[np.ndarray, " s"],
    contributions_by_seed: Sequence[Contributions] | None = None,
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    reason: Reason = NO_REASON,
) -> MeasureBySeed:
    """Return the values of a probe, one number per seed, with the contributions of its samples.

    A probe reads a trained model (`probes/probe.py`). How many images it read is not known here: `n_images` is 0.
    Undefined for one seed is undefined for all (see `evaluate`).

    Args:
        values: Value of each seed, NaN where it is undefined.
        seeds: Numbers of the seeds.
        contributions_by_seed: Contributions to each value; none where values are exact within their models.
        bounds: Range of the true value.
        reason: Why the first undefined value is.

    Examples:
        >>> part = measure_by_seed(np.array([0.5, 0.7]), np.array([3, 8]))
        >>> part.seeds.tolist(), part.values.tolist()
        ([3, 8], [0.5, 0.7])
    """
    missing = int(np.isnan(values).sum())
    why = Reason.of(Code.UNDEFINED_SEEDS, count=missing, seeds=len(values)) + reason if missing else NO_REASON
    samples_by_seed = [part.samples for part in contributions_by_seed or ()]
    shared = bool(samples_by_seed) and all(np.array_equal(other, samples_by_seed[0]) for other in samples_by_seed)
    samples = samples_by_seed[0] if shared else np.unique(np.concatenate([np.zeros(0, np.int64), *samples_by_seed]))
    contributions = np.zeros((len(values), len(samples)))
    # Not strict, since without contributions there is nothing to fill in: the array then has no columns.
    for row, part in zip(contributions, contributions_by_seed or (), strict=False):
        row[slice(None) if shared else np.searchsorted(samples, part.samples)] = part.values
    return MeasureBySeed(values, contributions, samples, seeds, 0, bounds, why)


def pseudo_samples(standard_error: float | Float[np.ndarray, " s"], name: str) -> Contributions:
    """Return contributions of pseudo-samples that give a standard error; [s, p] for several errors.

    The samples belong to `name` alone. Values of one name share them, so their errors do not average out over seeds;
    values of two names share none, so their errors are independent. Both make intervals as wide as they can be: the
    interval of a mean over seeds, and that of a difference of two names.

    Examples:
        >>> round(pseudo_samples(0.03, "recipe a").standard_error, 6)
        0.03
    """
    each = np.asarray(standard_error) / np.sqrt(N_PSEUDO_SAMPLES)
    return Contributions(_pseudo_sample_codes(name), np.repeat(each[..., None], N_PSEUDO_SAMPLES, axis=-1))


@lru_cache
def _pseudo_sample_codes(name: str) -> Int[np.ndarray, " n"]:
    """Return the codes of the pseudo-samples of a name."""
    # Ranges below 0, where no patient has a code: one per checksum of a name, 2**20 codes apart and so disjoint.
    first = -(zlib.crc32(name.encode()) + 1) * 2**20
    return np.arange(first - N_PSEUDO_SAMPLES, first)


def evaluate(panel: SeedPredictions, name: str) -> MeasureBySeed:
    """Compute the measure of that name for each seed of a panel. Raises SpecError for an unknown measure.

    Undefined for one seed is undefined for all: a mean over the seeds that happen to have a value would flatter.

    Examples:
        >>> scores = np.array([[-1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, 1.0]])
        >>> panel = SeedPredictions(scores[:, :, None], np.array([0, 0, 1, 1]), np.arange(4))
        >>> evaluate(panel, "accuracy").values.tolist()
        [1.0, 0.75]
    """
    measure = find_measure(name)
    patients, _ = code_patients(panel.patient)
    values = np.full(len(panel.scores), np.nan)
    contributions = np.zeros((len(values), len(patients)))
    reasons: list[Reason] = []
    n_images_by_seed = [len(panel.target)]
    for position in range(len(values)):
        predictions, patient = panel.predictions_of_seed(position)
        result, seed_contributions = value_and_contributions(name, predictions, patient)
        values[position] = result.value
        patients_of_seed, _ = code_patients(patient)
        # The same object where the seed has a prediction for all images: `code_patients` returns it for the same array.
        contributions[
            position, slice(None) if patients_of_seed is patients else np.searchsorted(patients, patients_of_seed)
        ] = seed_contributions
        reasons += [result.reason] if result.reason else []
        if result.is_defined and measure.requirements.maps:
            n_images_by_seed.append(len(predictions.target) if result.images is None else result.images)
    return MeasureBySeed(
        values,
        contributions,
        patients,
        panel.seed_ids,
        min(n_images_by_seed),  # a segmentation measure may skip images of a seed: those of the seed with fewest
        (measure.entry.low, measure.entry.high),
        _undefined_seeds(reasons, len(values)),
        panel.n_effective_patients,
        panel.max_df_patients,
    )


def effective_patients(patient: Int[np.ndarray, " n"]) -> float:
    """Return the effective number of patients; 0 without images.

    That is the number of patients with equally many images that would give as precise a mean: the squared number of all
    images over the sum of the squared numbers per patient. 12 patients with 60 to 1 images, falling geometrically,
    count as 5.3. It comes from the numbers of images and not from contributions: these vanish as an AUROC shift
    approaches 0.5, and by chance leave half of studies with 12 equal patients under 6.

    References:
        Kish (1965), Survey Sampling.

    Examples:
        >>> effective_patients(np.array([0, 0, 1, 1])), effective_patients(np.array([0, 0, 0, 1]))  # 16 / 8, 16 / 10
        (2.0, 1.6)
    """
    return effective_number(np.unique(patient, return_counts=True)[1])


def df_over_patients(patient: Int[np.ndarray, " n"]) -> float:
    """Return the degrees of freedom of a variance over patients: the effective ones less 1, at least 1.

    Examples:
        >>> df_over_patients(np.arange(20) // 2), df_over_patients(np.array([0, 0, 0, 1]))
        (9.0, 1.0)
    """
    return max(effective_patients(patient) - 1, 1.0)


def effective_patients_of_classes(target: Int[np.ndarray, " n"], patient: Int[np.ndarray, " n"]) -> float:
    """Return the effective patients of all images; of two classes, of the one that has fewer.

    Examples:
        >>> effective_patients_of_classes(np.array([0, 0, 0, 1]), np.arange(4))
        1.0
    """
    return min(map(effective_patients, _patients_of_classes(target, patient)))


def max_df_of_classes(target: Int[np.ndarray, " n"], patient: Int[np.ndarray, " n"]) -> float:
    """Return the most degrees of freedom of a variance over patients; infinite where their number sets it alone.

    Of few patients with uneven numbers of images they are the effective patients of a class, less 1, at least 1.

    Examples:
        >>> max_df_of_classes(np.arange(8) % 2, np.arange(8))
        inf
        >>> max_df_of_classes(np.repeat([0, 1], 6), np.array([0, 0, 0, 0, 1, 2, 3, 3, 4, 4, 5, 5]))  # 36 / 18 - 1
        1.0
    """
    limits = [math.inf]
    for patients in _patients_of_classes(target, patient):
        effective = effective_patients(patients)
        if effective < FEW_PATIENTS and effective < _EVEN * len(np.unique(patients)):
            limits.append(df_over_patients(patients))
    return min(limits)


_EVEN = 0.9
"""Share of the patients that are effective from which they have about equally many images."""


def _patients_of_classes(target: Int[np.ndarray, " n"], patient: Int[np.ndarray, " n"]) -> list[np.ndarray]:
    """Return the patients of the images of each of two classes, or of all images."""
    classes = np.unique(target)
    return [patient[target == label] for label in classes] if len(classes) == 2 else [patient]


def _undefined_seeds(reasons: list[Reason], n_seeds: int) -> Reason:
    """Return why a measure is undefined for a panel; no reason where it is defined for all of its seeds."""
    if not n_seeds:
        return Reason.of(Code.NO_SEED)
    if not reasons or len(reasons) == n_seeds:
        return reasons[0] if reasons else NO_REASON
    return Reason.of(Code.UNDEFINED_SEEDS, count=len(reasons), seeds=n_seeds) + reasons[0]


def combine(parts: Sequence[MeasureBySeed], weights: Float[np.ndarray, "m *s"]) -> MeasureBySeed:
    """Compute the linear combination sum_m weights[m] part[m], per seed, over the seeds that all parts have.

    Patients are matched by code: those in common are paired, the others are not.

    Args:
        parts: The m measures.
        weights: [m], or [m, s] where they differ by seed, seeds in ascending order of their numbers.

    Examples:
        >>> a = measure_by_seed(np.array([0.5, 0.75]), np.arange(2))
        >>> b = measure_by_seed(np.array([0.25, 0.25]), np.arange(2))
        >>> combine([a, b], np.array([1.0, -1.0])).values.tolist()
        [0.25, 0.5]
    """
    seeds = reduce(np.intersect1d, [np.unique(part.seeds) for part in parts])
    shared = all(np.array_equal(part.patients, parts[0].patients) for part in parts)
    patients = parts[0].patients if shared else np.unique(np.concatenate([part.patients for part in parts]))
    weights_by_seed = np.broadcast_to(weights.reshape(len(parts), -1), (len(parts), len(seeds)))
    values, contributions = np.zeros(len(seeds)), np.zeros((len(seeds), len(patients)))
    for part, weight in zip(parts, weights_by_seed, strict=True):
        rows = np.array([np.flatnonzero(part.seeds == seed)[0] for seed in seeds], dtype=np.int64)
        values += weight * part.values[rows]
        weighted = weight[:, None] * part.contributions[rows]
        # A part without samples among parts with some: its error within models is not known, rather than none.
        has_known_error = len(part.patients) or not len(patients)
        contributions[:, slice(None) if shared else np.searchsorted(patients, part.patients)] += weighted
        contributions += 0.0 if has_known_error else np.nan
    reasons = [part.reason for part in parts if part.reason]
    return MeasureBySeed(
        values,
        contributions,
        patients,
        seeds,
        max(part.n_images for part in parts),  # 0 of a part whose images are not known; parts may be of two sets
        _bounds(parts, weights_by_seed),
        reasons[0] if reasons else NO_REASON,
        min(part.n_effective_patients for part in parts),
        min(part.max_df_patients for part in parts),
    )


def _bounds(parts: Sequence[MeasureBySeed], weights: np.ndarray) -> tuple[float, float]:
    """Return the least and the greatest that a mean over seeds of the combination can be."""
    low = high = 0.0
    for part, weight in zip(parts, weights.mean(axis=1) if weights.size else np.zeros(len(parts)), strict=True):
        ends = [float(weight) * end for end in part.bounds] if weight else [0.0, 0.0]
        low, high = low + min(ends), high + max(ends)
    return low, high


CLIP = 0.005
"""How near to 0 and 1 values come on the probit scale (docs/statistics.md, dose-response)."""


def probit(part: MeasureBySeed) -> MeasureBySeed:
    """Return the same measure on the probit scale, values in 0..1 clipped to 0.005 .. 0.995 first.

    The contributions to a clipped value are 0.
    """
    z, slope = on_probit(part.values)
    ends = (float(ndtri(CLIP)), float(ndtri(1 - CLIP)))
    return replace(part, values=z, contributions=part.contributions * slope[..., None], bounds=ends)


def on_probit(values: Float[np.ndarray, "*s"]) -> tuple[Float[np.ndarray, "*s"], Float[np.ndarray, "*s"]]:
    """Return values in 0..1 on the probit scale, clipped to 0.005 .. 0.995, and the slope there: 0 where clipped."""
    clipped = np.clip(values, CLIP, 1 - CLIP)
    z = ndtri(clipped)
    return z, np.where(clipped == values, np.sqrt(2 * np.pi) * np.exp(z**2 / 2), 0.0)
