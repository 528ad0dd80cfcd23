"""Outputs of one recipe's seeds in one environment, and a measure of them per seed and patient."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, reduce

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import ndtri

from assay.core.reasons import NO_REASON, Code, Reason
from assay.core.types import Contributions
from assay.stats.influence import ModelPredictions, code_patients
from assay.stats.measures import find_measure, influence_of


@dataclass(frozen=True)
class Panel:
    """Seeds x images of one recipe in one environment; row i is the same image for every seed.

    scores: float64 [s, n, k] logits; k = 1 is the positive class alone. target: int64 [n], class codes.
    patient: int64 [n], codes that mean the same patient in every panel of a study.
    fold: int64 [s, n], which fold's model answered; pairs of an AUROC are then taken within a fold only.
    tested: bool [s, n], which rows a seed answered at all (all of them when None).
    thresholds: [s], or [s, n] where folds have their own, on the positive probability (0.5 when None).
    maps: of a segmentation, name -> [s, n, ...], the columns of each image's map (see `ModelPredictions`).
    cut, names: where grades are cut in two, and classes (see `ModelPredictions`).
    specific: [s, n, levels], the log-odds from which validation specificities are reached at the cut.
    images: int64 [n], positions of the images in their set; None where they are not known.
    seeds: int64 [s], their numbers, by which panels are paired (0 .. s-1 when None); a collapsed seed is left out.

    Examples:
        Two seeds on four images of four patients; the second seed gets the second image wrong:

        >>> scores = np.array([[-1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, 1.0]])
        >>> panel = Panel(scores[:, :, None], target=np.array([0, 0, 1, 1]), patient=np.arange(4))
        >>> evaluate(panel, "specificity").values.tolist()
        [1.0, 0.5]
    """

    scores: Float[np.ndarray, "s n k"]
    target: Int[np.ndarray, " n"]
    patient: Int[np.ndarray, " n"]
    fold: Int[np.ndarray, "s n"] | None = None
    tested: Bool[np.ndarray, "s n"] | None = None
    thresholds: Float[np.ndarray, "s *n"] | None = None
    seeds: Int[np.ndarray, " s"] | None = None
    maps: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    cut: int = 1
    specific: Float[np.ndarray, "s n levels"] | None = None
    images: Int[np.ndarray, " n"] | None = None
    names: tuple[str, ...] = ()
    _answers: dict[int, tuple[ModelPredictions, Int[np.ndarray, " m"]]] = field(
        init=False, repr=False, compare=False, default_factory=dict[int, tuple[ModelPredictions, Int[np.ndarray, " m"]]]
    )

    def __post_init__(self) -> None:
        if self.scores.ndim != 3:
            raise ValueError(f"scores have shape {self.scores.shape}: give [seeds, images, classes]")
        seeds, images, _ = self.scores.shape
        for name, array, shapes in (
            ("target", self.target, [(images,)]),
            ("patient", self.patient, [(images,)]),
            ("fold", self.fold, [(seeds, images)]),
            ("tested", self.tested, [(seeds, images)]),
            ("thresholds", self.thresholds, [(seeds,), (seeds, images)]),
            ("seeds", self.seeds, [(seeds,)]),
        ):
            if array is not None and array.shape not in shapes:
                allowed = " or ".join(map(str, shapes))
                raise ValueError(
                    f"{name} has shape {array.shape}: expected {allowed} beside scores {self.scores.shape}"
                )
        if len(set(self.numbers.tolist())) != seeds:
            raise ValueError(f"seeds {self.numbers.tolist()} name one seed twice: give each seed once")

    @property
    def numbers(self) -> Int[np.ndarray, " s"]:
        """The seeds' numbers."""
        return np.arange(len(self.scores)) if self.seeds is None else self.seeds

    @cached_property
    def effective(self) -> float:
        """Effective patients, see `effective_of_classes`."""
        return effective_of_classes(self.target, self.patient)

    def rows(self, index: np.ndarray) -> Panel:
        """The panel of some images only (integers or booleans), such as a group of patients."""
        thresholds = self.thresholds
        return replace(
            self,
            scores=self.scores[:, index],
            target=self.target[index],
            patient=self.patient[index],
            fold=None if self.fold is None else self.fold[:, index],
            tested=None if self.tested is None else self.tested[:, index],
            thresholds=thresholds[:, index] if thresholds is not None and thresholds.ndim == 2 else thresholds,
            maps={name: column[:, index] for name, column in self.maps.items()},
            specific=None if self.specific is None else self.specific[:, index],
            images=None if self.images is None else self.images[index],
        )

    def answers(self, position: int) -> tuple[ModelPredictions, Int[np.ndarray, " m"]]:
        """Outputs of the seed at this position on the rows it answered, and their patients."""
        if position not in self._answers:
            self._answers[position] = self._answers_of(position)
        return self._answers[position]

    def _answers_of(self, position: int) -> tuple[ModelPredictions, Int[np.ndarray, " m"]]:
        tested = None if self.tested is None else self.tested[position]
        # of all rows no array is copied: patients are then coded once for all seeds
        here = slice(None) if tested is None or tested.all() else tested
        threshold: float | np.ndarray = 0.5
        if self.thresholds is not None:
            thresholds = self.thresholds[position]
            threshold = thresholds[here] if thresholds.ndim else float(thresholds)
        fold = None if self.fold is None else self.fold[position][here]
        maps = {name: column[position][here] for name, column in self.maps.items()}
        specific = None if self.specific is None else self.specific[position][here]
        is_complete = isinstance(here, slice)
        target, patient = (self.target, self.patient) if is_complete else (self.target[here], self.patient[here])
        scores = self.scores[position][here]
        return ModelPredictions(scores, target, threshold, fold, maps, self.cut, specific, self.names), patient


@dataclass(frozen=True)
class MeasureBySeed:
    """A measure per seed, with the contribution of each patient to each.

    values: [s]. contributions: [s, p], zero where a seed did not see a patient. patients: [p] codes, sorted; below 0 of
    samples that are no patients, such as those of a Sobol' design; none where a value is exact within its model.
    bounds: the range of the values. reason: why the measure is undefined, if it is. effective: see
    `effective_of_classes`; infinite where no patients are known.

    Examples:
        >>> evaluated = measure_by_seed(np.array([0.5, 0.7]), np.array([3, 8]))  # a value per seed, without patients
        >>> evaluated.values.tolist(), evaluated.contributions.shape
        ([0.5, 0.7], (2, 0))
    """

    values: Float[np.ndarray, " s"]
    contributions: Float[np.ndarray, "s p"]
    patients: Int[np.ndarray, " p"]
    seeds: Int[np.ndarray, " s"]
    images: int
    bounds: tuple[float, float]
    reason: Reason = NO_REASON
    effective: float = np.inf

    @property
    def named_patients(self) -> Int[np.ndarray, " m"]:
        """Codes of the samples that are patients."""
        return self.patients[self.patients >= 0]


SAMPLES_OF_ITS_OWN = 100
"""Samples of its own by which a recipe counts that has standard errors and no contributions."""


def measure_by_seed(
    values: Float[np.ndarray, " s"],
    seeds: Int[np.ndarray, " s"],
    contributions_by_seed: Sequence[Contributions] | None = None,
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    reason: Reason = NO_REASON,
) -> MeasureBySeed:
    """Return the values of a probe, one number per seed, with the contributions of its samples.

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
    every = [part.samples for part in contributions_by_seed or ()]
    shared = bool(every) and all(np.array_equal(samples, every[0]) for samples in every)
    samples = every[0] if shared else np.unique(np.concatenate([np.zeros(0, np.int64), *every]))
    contributions = np.zeros((len(values), len(samples)))
    for row, part in zip(contributions, contributions_by_seed or (), strict=False):
        row[slice(None) if shared else np.searchsorted(samples, part.samples)] = part.values
    return MeasureBySeed(values, contributions, samples, seeds, 0, bounds, why)


def own_samples(standard_error: float | Float[np.ndarray, " s"], name: str) -> Contributions:
    """Return contributions that give a standard error, of samples that belong to `name` alone; [s, p] for several.

    Values of one name share them, so that their errors do not average out over seeds; those of another name do not, so
    that their errors are independent. That is the widest that both can be.

    Examples:
        >>> round(own_samples(0.03, "recipe a").standard_error, 6)
        0.03
    """
    each = np.asarray(standard_error) / np.sqrt(SAMPLES_OF_ITS_OWN)
    return Contributions(_own_numbers(name), np.repeat(each[..., None], SAMPLES_OF_ITS_OWN, axis=-1))


@lru_cache
def _own_numbers(name: str) -> Int[np.ndarray, " n"]:
    first = -(zlib.crc32(name.encode()) + 1) * 2**20
    return np.arange(first - SAMPLES_OF_ITS_OWN, first)


def evaluate(panel: Panel, name: str) -> MeasureBySeed:
    """The measure of that name for each seed of a panel. Raises SpecError for an unknown measure.

    Undefined for one seed is undefined for all: a mean over the seeds that happen to have a value would flatter.

    Examples:
        >>> scores = np.array([[-1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, 1.0]])
        >>> evaluate(Panel(scores[:, :, None], np.array([0, 0, 1, 1]), np.arange(4)), "accuracy").values.tolist()
        [1.0, 0.75]
    """
    chosen = find_measure(name)
    patients, _ = code_patients(panel.patient)
    values = np.full(len(panel.scores), np.nan)
    contributions = np.zeros((len(values), len(patients)))
    reasons: list[Reason] = []
    images = [len(panel.target)]
    for position in range(len(values)):
        answers, patient = panel.answers(position)
        result, moved = influence_of(name, answers, patient)
        values[position] = result.value
        patients_of_seed, _ = code_patients(patient)
        contributions[
            position, slice(None) if patients_of_seed is patients else np.searchsorted(patients, patients_of_seed)
        ] = moved
        reasons += [result.reason] if result.reason else []
        if result.is_defined and chosen.domain.maps:
            images.append(len(answers.target) if result.images is None else result.images)
    return MeasureBySeed(
        values,
        contributions,
        patients,
        panel.numbers,
        min(images),
        (chosen.entry.low, chosen.entry.high),
        _undefined_seeds(reasons, len(values)),
        panel.effective,
    )


def effective_patients(patient: Int[np.ndarray, " n"]) -> float:
    """Return the number of patients with equally many images that would carry as much; 0 without images.

    It comes from the numbers of images and not from contributions, which vanish as a swing approaches its end, and by
    chance leave half of studies with 12 equal patients under 6. 12 patients of 60 to 1 images count as 5.

    References:
        Kish (1965), Survey Sampling.

    Examples:
        >>> effective_patients(np.array([0, 0, 1, 1])), effective_patients(np.array([0, 0, 0, 1]))  # 16 / 8, 16 / 10
        (2.0, 1.6)
    """
    images = np.unique(patient, return_counts=True)[1].astype(np.float64)
    return float(images.sum() ** 2 / (images**2).sum()) if len(images) else 0.0


def effective_of_classes(target: Int[np.ndarray, " n"], patient: Int[np.ndarray, " n"]) -> float:
    """Return the effective patients of all images; of two classes, of the one that has fewer.

    Examples:
        >>> effective_of_classes(np.array([0, 0, 0, 1]), np.arange(4))
        1.0
    """
    classes = np.unique(target)
    parts = [patient[target == label] for label in classes] if len(classes) == 2 else [patient]
    return min(effective_patients(part) for part in parts)


def _undefined_seeds(reasons: list[Reason], seeds: int) -> Reason:
    if not seeds:
        return Reason.of(Code.NO_SEED)
    if not reasons or len(reasons) == seeds:
        return reasons[0] if reasons else NO_REASON
    return Reason.of(Code.UNDEFINED_SEEDS, count=len(reasons), seeds=seeds) + reasons[0]


def combine(parts: Sequence[MeasureBySeed], weights: Float[np.ndarray, "m *s"]) -> MeasureBySeed:
    """The linear combination sum_m weights[m] part[m], per seed, over the seeds that all parts have.

    weights: [m], or [m, s] where they differ by seed, seeds in ascending order of their numbers. Patients are matched
    by code: those in common are paired, the others are not.

    Examples:
        >>> a = measure_by_seed(np.array([0.5, 0.75]), np.arange(2))
        >>> b = measure_by_seed(np.array([0.25, 0.25]), np.arange(2))
        >>> combine([a, b], np.array([1.0, -1.0])).values.tolist()
        [0.25, 0.5]
    """
    seeds = reduce(np.intersect1d, [np.unique(part.seeds) for part in parts])
    shared = all(np.array_equal(part.patients, parts[0].patients) for part in parts)
    patients = parts[0].patients if shared else np.unique(np.concatenate([part.patients for part in parts]))
    spread = np.broadcast_to(weights.reshape(len(parts), -1), (len(parts), len(seeds)))
    values, contributions = np.zeros(len(seeds)), np.zeros((len(seeds), len(patients)))
    for part, weight in zip(parts, spread, strict=True):
        rows = np.array([np.flatnonzero(part.seeds == seed)[0] for seed in seeds], dtype=np.int64)
        values += weight * part.values[rows]
        moved = weight[:, None] * part.contributions[rows]
        # A part without samples among parts with some: its error within models is not known, rather than none.
        has_known_error = len(part.patients) or not len(patients)
        contributions[:, slice(None) if shared else np.searchsorted(patients, part.patients)] += moved
        contributions += 0.0 if has_known_error else np.nan
    reasons = [part.reason for part in parts if part.reason]
    return MeasureBySeed(
        values,
        contributions,
        patients,
        seeds,
        max(part.images for part in parts),
        _bounds(parts, spread),
        reasons[0] if reasons else NO_REASON,
        min(part.effective for part in parts),
    )


def _bounds(parts: Sequence[MeasureBySeed], weights: np.ndarray) -> tuple[float, float]:
    """The least and the greatest that a mean over seeds of the combination can be."""
    low = high = 0.0
    for part, weight in zip(parts, weights.mean(axis=1) if weights.size else np.zeros(len(parts)), strict=True):
        ends = [float(weight) * end for end in part.bounds] if weight else [0.0, 0.0]
        low, high = low + min(ends), high + max(ends)
    return low, high


CLIP = 0.005
"""How near to 0 and 1 values come on the probit scale (docs/statistics.md, dose-response)."""


def probit(part: MeasureBySeed) -> MeasureBySeed:
    """The same measure on the probit scale, values in 0..1 held within 0.005 .. 0.995 first.

    A held value no longer moves with its patients.
    """
    z, slope = on_probit(part.values)
    ends = (float(ndtri(CLIP)), float(ndtri(1 - CLIP)))
    return replace(part, values=z, contributions=part.contributions * slope[..., None], bounds=ends)


def on_probit(values: Float[np.ndarray, "*s"]) -> tuple[Float[np.ndarray, "*s"], Float[np.ndarray, "*s"]]:
    """Values in 0..1 on the probit scale, held within 0.005 .. 0.995, and how fast they move there: 0 where held."""
    clipped = np.clip(values, CLIP, 1 - CLIP)
    z = ndtri(clipped)
    return z, np.where(clipped == values, np.sqrt(2 * np.pi) * np.exp(z**2 / 2), 0.0)
