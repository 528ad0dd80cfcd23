"""Predictions of a model on images without and with changes, and the tables of an audit that follow from them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.special import expit

from assay.audit.swing import (
    MIN_GAIN,
    Effect,
    auroc_gain,
    auroc_with_bounds,
    changed_predictions,
    effect_of_mark,
    mean_change,
    mean_of_independent,
    mean_with_bounds,
    pooled_within_classes,
    swing_of_group,
    within_classes,
)
from assay.audit.verdicts import LEAST_PATIENTS, AuditDecision, decide_column
from assay.core.errors import DataError, SpecError, shorten
from assay.core.map_grid import MapGrid
from assay.core.reasons import Reason
from assay.core.seeds import row_uniform
from assay.core.types import FactorTable
from assay.stats.bounds import ALPHA, BoundedEstimate
from assay.stats.format import join_words
from assay.stats.groups import MIN_IMAGES_OF_CLASS, MIN_PATIENTS_IN_CELL, ColumnGroups, divide_into_groups
from assay.stats.metrics import auroc, log_odds, predicted_classes, probabilities, score_names
from assay.store.files import Row


def group_names(table: FactorTable) -> list[str]:
    """Return the group of each row by each column that has groups, as JSON."""
    groups = [divide_into_groups(table, factor.name) for factor in table.factors if factor.role != "core"]
    names: list[dict[str, str]] = [{} for _ in range(len(table))]
    for group in groups:
        for level, rows in group.groups.items():
            for row in np.flatnonzero(rows).tolist():
                names[row][group.column] = level
    return [json.dumps(names_of_image, ensure_ascii=False, sort_keys=True) for names_of_image in names]


# What an audit needs: images of two classes, and a threshold.


def require_classes(table: FactorTable) -> None:
    """Raise DataError where no class has enough images to decide anything, or all images are of one."""
    counts = {table.classes[int(code)]: int((table.target == code).sum()) for code in np.unique(table.target)}
    if len(counts) < 2:
        raise DataError(f"all {len(table):,} images are '{next(iter(counts))}': an audit needs images of every class")
    if sum(count >= LEAST_PATIENTS for count in counts.values()) < 2:
        counts_text = join_words([f"{count} of '{class_}'" for class_, count in counts.items()])
        raise DataError(
            f"{counts_text}: nothing is decided with fewer than {LEAST_PATIENTS} images of a class; give more images"
        )


def operating_point(text: float | str) -> tuple[Literal["probability", "sensitivity"], float]:
    """Return the kind and the number of a threshold. Raises SpecError for others than `0.37` or `sensitivity=0.95`."""
    name, _, share = str(text).rpartition("=")
    try:
        number = float(share)
    except ValueError:
        number = math.nan
    if name == "sensitivity" and 0 < number <= 1:
        return "sensitivity", number
    if not name and 0 < number < 1:
        return "probability", number
    raise SpecError(f"threshold {shorten(str(text))}: expected a probability such as 0.37, or sensitivity=0.95")


def threshold_without_predictions(requested: float | str | None, of_model: float | None = None) -> float:
    """Return the threshold as far as no prediction decides it: the requested one, else the model's own, else 0.5.

    Args:
        requested: See `operating_point`; None for the model's own.
        of_model: The model's own threshold.
    """
    kind, number = ("", 0.5) if requested is None else operating_point(requested)
    return number if kind == "probability" else of_model or 0.5


def threshold_of(
    requested: float | str | None, logits: Float[np.ndarray, "n k"], table: FactorTable, of_model: float | None = None
) -> float:
    """Return the threshold on the probability of the second of two classes.

    Args:
        requested: See `operating_point`; None for the model's own.
        logits: Outputs for images, on which a sensitivity is reached.
        table: These images.
        of_model: The model's own threshold; 0.5 where it has none.

    Raises:
        SpecError: The threshold cannot be read.
    """
    if requested is None:
        return 0.5 if of_model is None else of_model
    kind, number = operating_point(requested)
    if kind == "probability":
        return number
    positive = np.sort(probabilities(logits)[table.target == 1, 1])
    return float(positive[min(int((1 - number) * len(positive) + 1e-9), len(positive) - 1)])


def check(name: str, status: str, text: str, value: float = math.nan, measure: str = "") -> Row:
    """Return a row of `tables.AUDIT_CHECKS`."""
    return {"check": name, "status": status, "value": value, "measure": measure, "text": text}


# Marks and columns.


@dataclass(frozen=True)
class ScoredImages:
    """Predictions of one model for some images.

    Attributes:
        table: The images.
        logits: As the model gave them.
        threshold: On the probability of the second of two classes.
        is_calibrated: Whether they are probabilities on any scale; calibration has no meaning for other scores.
        stated: Probabilities of a file of scores, exactly 0 and 1 among them; None of others.
    """

    table: FactorTable
    logits: Float[np.ndarray, "n k"]
    threshold: float
    is_calibrated: bool = True
    stated: Float[np.ndarray, " n"] | None = None

    @property
    def probability(self) -> Float[np.ndarray, " n"]:
        """Probability of the second of two classes."""
        return np.asarray(expit(self.scores[:, 0])) if self.stated is None else self.stated

    @property
    def scores(self) -> Float[np.ndarray, "n m"]:
        """Log-odds in float64, of the positive class or of each class against the rest."""
        return log_odds(self.logits.astype(np.float64))

    @property
    def predicted_class(self) -> Int[np.ndarray, " n"]:
        """Code of the predicted class of each image, at the threshold."""
        return predicted_classes(probabilities(self.logits), self.threshold)

    @property
    def performance(self) -> tuple[str, BoundedEstimate] | None:
        """Name and value of what better preprocessing would raise: AUROC, or accuracy of several classes."""
        if len(self.table.classes) != 2:
            return "accuracy", mean_with_bounds(self._is_correct, self.table.patient)
        return "AUROC", auroc_with_bounds(self.scores[:, 0], self.table.target, self.table.patient)

    @property
    def chance(self) -> float:
        """The `performance` of outputs that do not depend on the image: 0.5, or the share of the largest class."""
        return 0.5 if len(self.table.classes) == 2 else float(np.bincount(self.table.target).max() / len(self.table))

    @property
    def performance_value(self) -> float:
        """Value of `performance`, without its bounds."""
        if len(self.table.classes) != 2:
            return float(self._is_correct.mean())
        return auroc(self.scores[:, 0], self.table.target).value

    def take(self, rows: Int[np.ndarray, " m"]) -> ScoredImages:
        """Return the predictions for some of the images."""
        stated = None if self.stated is None else self.stated[rows]
        return replace(self, table=self.table.take(rows), logits=self.logits[rows], stated=stated)

    def performance_gain(self, after: ScoredImages, alpha: float) -> BoundedEstimate:
        """Return the change of `performance` from these predictions to others for the same images."""
        if len(self.table.classes) != 2:
            return mean_change(after._is_correct - self._is_correct, self.table.patient, alpha)
        return auroc_gain(self.scores[:, 0], after.scores[:, 0], self.table.target, self.table.patient, alpha)

    @property
    def _is_correct(self) -> Float[np.ndarray, " n"]:
        """1 where the predicted class is the target, else 0."""
        return (self.predicted_class == self.table.target).astype(np.float64)

    @property
    def orders(self) -> Sequence[tuple[int, ...]]:
        """Orders of the outputs to try: all of up to four classes; of more their own and the one with most hits."""
        classes = len(self.table.classes)
        if classes <= _MAX_CLASSES_IN_ALL_ORDERS:
            return list(permutations(range(classes)))
        hits = np.zeros((classes, classes))
        np.add.at(hits, (self.table.target, self.logits.argmax(axis=1)), 1)
        return [tuple(range(classes)), tuple(map(int, linear_sum_assignment(-hits)[1]))]

    def reorder(self, order: Sequence[int]) -> ScoredImages:
        """Return the predictions with the outputs in another order."""
        return replace(self, logits=self.logits[:, list(order)], stated=None)

    def effect(self, after: ScoredImages, dose: str) -> Effect:
        """Return the effect of a change of the images, from the predictions for the changed images."""
        labels = score_names(self.table.classes)
        flips = changed_predictions(self.predicted_class, after.predicted_class, self.table.patient)
        return effect_of_mark(self.scores, after.scores, self.table.target, self.table.patient, flips, labels, dose)


INVERTED_GRAY = "inverted gray values"
"""Name of this preprocessing."""
CHANNEL = "channel"
"""Beginning of the names of preprocessing that has another channel of maps as the background."""
PER_IMAGE_SCALINGS = ("image-minmax", "image-zscore")
"""Names of scalings of each image by itself."""
_RARE_SCALINGS = ("caffe", *PER_IMAGE_SCALINGS)
"""Names of scalings that are no range of pixels."""
LESION = ("lesion-free", "lesion")
"""Classes of the images of a segmentation."""


@dataclass(frozen=True)
class ScoredMaps(ScoredImages):
    """Maps that a segmentation gave. An image's score is the mean of the greatest 1% of its log-odds of lesion.

    Attributes:
        maps: Columns of the maps, see docs/reference/maps.md.
    """

    maps: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])

    @classmethod
    def of(cls, table: FactorTable, maps: Mapping[str, np.ndarray]) -> ScoredMaps:
        """Return predictions for images whose class is whether they have a lesion. A pixel is lesion from 0.5 on."""
        top = maps["top_mean"].astype(np.float64)
        lesion_table = replace(table, target=(maps["truth"] > 0).astype(np.int64), classes=LESION)
        return cls(lesion_table, np.stack([np.zeros(len(top)), top], axis=1), 0.5, maps=maps)

    @property
    def predicted_class(self) -> Int[np.ndarray, " n"]:
        """1 where any pixel is predicted to be lesion, else 0."""
        return (self._predicted_pixels > 0).astype(np.int64)

    @property
    def dice(self) -> Float[np.ndarray, " n"]:
        """Dice of each image; NaN without a lesion."""
        truth, hit = self.maps["truth"].astype(np.float64), self.maps["hit"][:, _AT_HALF]
        return np.where(truth > 0, 2 * hit / np.maximum(self._predicted_pixels + truth, 1), np.nan)

    @property
    def false_area(self) -> Float[np.ndarray, " n"]:
        """Share of each image that is wrongly predicted to be lesion."""
        return (self._predicted_pixels - self.maps["hit"][:, _AT_HALF]) / self.maps["pixels"]

    @property
    def _predicted_pixels(self) -> Int[np.ndarray, " n"]:
        return self.maps["predicted"][:, _AT_HALF]

    @property
    def performance(self) -> tuple[str, BoundedEstimate] | None:
        """Mean Dice over the images with a lesion; None without one."""
        has_lesion = self.table.target == 1
        return (
            ("Dice", mean_with_bounds(self.dice[has_lesion], self.table.patient[has_lesion]))
            if has_lesion.any()
            else None
        )

    @property
    def chance(self) -> float:
        """Mean Dice of maps that are all lesion, over the images with one."""
        truth = self.maps["truth"][self.table.target == 1].astype(np.float64)
        return float((2 * truth / (truth + self.maps["pixels"][self.table.target == 1])).mean())

    @property
    def performance_value(self) -> float:
        """Mean Dice over the images with a lesion."""
        return float(self.dice[self.table.target == 1].mean())

    def take(self, rows: Int[np.ndarray, " m"]) -> ScoredMaps:
        """Return the predictions for some of the images."""
        maps = {name: values[rows] for name, values in self.maps.items()}
        return replace(self, table=self.table.take(rows), logits=self.logits[rows], maps=maps)

    def performance_gain(self, after: ScoredImages, alpha: float) -> BoundedEstimate:
        """Return the change of Dice."""
        assert isinstance(after, ScoredMaps)
        has_lesion = self.table.target == 1
        return mean_change((after.dice - self.dice)[has_lesion], self.table.patient[has_lesion], alpha)

    @property
    def orders(self) -> Sequence[tuple[int, ...]]:
        """Background first; lesion first too where its Dice is then much above that of maps that are all lesion."""
        exchanged = self.reorder((1, 0)).performance_value > self.chance + MIN_GAIN
        return [(0, 1), (1, 0)] if exchanged else [(0, 1)]

    def reorder(self, order: Sequence[int]) -> ScoredMaps:
        """Return the predictions with background and lesion exchanged where lesion is first.

        Its pixel counts are right at the threshold 0.5 only.
        """
        if [*order] == sorted(order):
            return self
        pixels, truth = (self.maps[name].astype(np.int64)[:, None] for name in ("pixels", "truth"))
        exchanged = {"predicted": pixels - self.maps["predicted"], "hit": truth - self.maps["hit"]}
        return replace(self, logits=-self.logits, maps={**self.maps, **exchanged})

    def effect(self, after: ScoredImages, dose: str) -> Effect:
        """Return the effect of a change of the images; the swing needs images with a lesion and without one."""
        assert isinstance(after, ScoredMaps)
        table, has_lesion = self.table, self.table.target == 1
        flips = changed_predictions(self.predicted_class, after.predicted_class, table.patient)
        if has_lesion.any() and not has_lesion.all():
            effect = effect_of_mark(self.scores, after.scores, table.target, table.patient, flips, ("",), dose)
        else:
            effect = Effect((), len(table), len(np.unique(table.patient)), flips, dose)
        dice_lost = (
            mean_change((self.dice - after.dice)[has_lesion], table.patient[has_lesion]) if has_lesion.any() else None
        )
        return replace(
            effect, dice=dice_lost, false_area=mean_change(after.false_area - self.false_area, table.patient)
        )


_GAIN_ALPHA = ALPHA / 5
"""Level of the bounds of a gain by other preprocessing, at which at most 1 of 100 audits stops falsely."""
_RARE_PENALTY, _REORDER_PENALTY, _BOTH_PENALTY = 0.02, 0.02, 0.05
"""Gains by which implausible preprocessing must be better than plausible, see `_implausibility`."""
_MAX_CLASSES_IN_ALL_ORDERS = 4
"""Classes up to which every order of the outputs is tried."""


def better_preprocessing(
    as_given: ScoredImages, alternatives: Mapping[str, ScoredImages], in_second_half: Bool[np.ndarray, " n"]
) -> tuple[str, tuple[int, ...], BoundedEstimate] | None:
    """Return preprocessing with an order of the outputs that is much better than the given one, and its gain.

    Of two classes the other order inverts scores. The gain is cross-fitted: the best candidate of each half of the
    patients is tested on the other half, and the gain is the mean of both. The choice does not bias it, however many
    candidates there are.

    Args:
        as_given: Predictions as the model is used.
        alternatives: Name of other preprocessing -> predictions for the same images with it.
        in_second_half: Whether each image is of the second half of the patients.

    Returns:
        Name of the preprocessing (empty for the given one), the order of the outputs, and the gain. None where its
        lower bound is not above `MIN_GAIN`, or the halves are not comparable.
    """
    if not halves_are_comparable(as_given, in_second_half):
        return None
    halves, maps = [np.flatnonzero(in_second_half == side) for side in (False, True)], isinstance(as_given, ScoredMaps)
    candidates: list[tuple[float, str, tuple[int, ...], BoundedEstimate]] = []
    for choosing_half, tested_half in (halves, halves[::-1]):
        value_as_given, candidates_in_half = (
            as_given.take(choosing_half).performance_value,
            {name: scored.take(choosing_half) for name, scored in {"": as_given, **alternatives}.items()},
        )
        gains = {
            (name, order): scored.reorder(order).performance_value - value_as_given
            for name, scored in candidates_in_half.items()
            for order in scored.orders
            if name or order != scored.orders[0]
        }
        if not gains or max(gains.values()) <= 0:
            return None
        name, order = max(gains, key=lambda key: gains[key] - _implausibility(*key, maps))
        best_reading = {"": as_given, **alternatives}[name].take(tested_half).reorder(order)
        candidates.append(
            (gains[name, order], name, order, as_given.take(tested_half).performance_gain(best_reading, _GAIN_ALPHA))
        )
    gain = mean_of_independent(candidates[0][3], candidates[1][3], _GAIN_ALPHA)
    _, name, order, _ = max(
        candidates,
        key=lambda candidate: candidate[0] + candidate[3].value - 2 * _implausibility(candidate[1], candidate[2], maps),
    )
    return (name, order, gain) if gain.low > MIN_GAIN else None


def halves_are_comparable(scored: ScoredImages, in_second_half: Bool[np.ndarray, " n"]) -> bool:
    """Return whether both halves of the patients have images of every class; with maps, images with a lesion."""
    needed_classes = {1} if isinstance(scored, ScoredMaps) else {*scored.table.target.tolist()}
    return all(needed_classes <= {*scored.table.target[in_second_half == side].tolist()} for side in (False, True))


def second_half(patient: Int[np.ndarray, " n"], seed: int, purpose: str) -> Bool[np.ndarray, " n"]:
    """Return whether each image is of the second of two random halves of the patients, by a seed and a purpose."""
    patients, codes = np.unique(patient, return_inverse=True)
    return np.argsort(np.argsort(row_uniform(seed, purpose, patients)))[codes] % 2 == 1


def _implausibility(name: str, order: Sequence[int], maps: bool) -> float:
    """Return the gain that preprocessing with an order of outputs needs over the most plausible candidate.

    Another scaling or order of channels needs none, another order of outputs needs some, and both together most. BGR
    can change scores as the other order of outputs does. Inverted gray values are as implausible as another order. So
    are scalings that are no range of pixels: those of each image help some models that lack them. Of maps inverted gray
    values are more plausible than an exchange of the outputs, or than another channel as the background, which may have
    the same effect. Another channel is more plausible as the background than as the lesion.

    Args:
        name: Name of the preprocessing; empty for the given one.
        order: Order of the outputs.
        maps: Whether the predictions are maps.
    """
    is_reordered = [*order] != sorted(order)
    if name.startswith(CHANNEL):
        return _BOTH_PENALTY - _REORDER_PENALTY * (not is_reordered)
    penalty = _RARE_PENALTY * (name in _RARE_SCALINGS) + _REORDER_PENALTY * (is_reordered or name == INVERTED_GRAY)
    return penalty + _BOTH_PENALTY * bool((name or maps) and is_reordered)


_AT_HALF = MapGrid().thresholds.index(0.0)
"""Position of the threshold of a probability of 0.5."""


def column_decision(scored: ScoredImages, column: ColumnGroups, margin: float) -> AuditDecision | None:
    """Decide whether scores differ between groups of a column; None where no group can be compared with the others.

    Levels with too few images for a group are left out. Of a column that is tied to the target, images of the same
    class are compared: each class by itself, or pooled over classes where none has enough in a group and outside it.
    """
    groups = column.groups or column.tied
    if not groups:
        return None
    present = np.flatnonzero(np.any(list(groups.values()), axis=0))
    table = scored.table.take(present)
    compared_groups = list(groups.items())[1:] if len(groups) == 2 else groups.items()
    scores, labels = scored.scores[present], score_names(table.classes)
    scores_of_images = scores, table.target, table.patient
    if not column.tied:
        effects = [
            swing_of_group(*scores_of_images[:2], rows[present], scores_of_images[2], labels, level)
            for level, rows in compared_groups
        ]
        return _decide_groups(effects, margin)
    effects = [
        within_classes(
            *scores_of_images[:2], rows[present], scores_of_images[2], table.classes, level, MIN_IMAGES_OF_CLASS
        )
        for level, rows in compared_groups
    ]
    if any(effects):
        return _decide_groups(effects, margin)
    effects = [
        pooled_within_classes(
            *scores_of_images[:2], rows[present], scores_of_images[2], labels, level, MIN_PATIENTS_IN_CELL
        )
        for level, rows in compared_groups
    ]
    return _decide_groups(effects, margin, MIN_PATIENTS_IN_CELL)


def _decide_groups(
    effects: Sequence[Effect | None], margin: float, least: int = LEAST_PATIENTS
) -> AuditDecision | None:
    defined = [effect for effect in effects if effect is not None]
    return decide_column(defined, margin, least) if defined else None


def verdict_row(factor: str, kind: str, decision: AuditDecision, component: str = "", family: str = "") -> Row:
    """Return a row of `tables.VERDICTS`."""
    effect = decision.effect
    return {
        **effect_row(factor, effect),
        **_bounded_cells("loss_positives", effect.largest.loss_on_positives),
        "kind": kind,
        "family": family,
        "verdict": str(decision.verdict),
        "at_least": effect.lower_bound,
        "at_most": effect.upper_bound,
        "limit": math.nan if decision.limit is None else decision.limit,
        "open": " ".join(decision.open),
        "needed": decision.needed,
        "intervention": component,
        "reason": "",
    }


def not_tested_row(factor: str, kind: str, reason: Reason, component: str = "") -> Row:
    """Return a row of `tables.VERDICTS` for a factor that could not be tested."""
    return {
        "factor": factor,
        "kind": kind,
        "verdict": "not-tested",
        "intervention": component,
        "reason": str(reason),
        "images": 0,
        "patients": 0,
    }


def effect_row(factor: str, effect: Effect) -> Row:
    """Return a row of `tables.EFFECTS`."""
    swing = effect.largest
    return {
        "factor": factor,
        "dose": effect.dose,
        "class": swing.label,
        "g": swing.g.value,
        "low": swing.g.low,
        "high": swing.g.high,
        **_bounded_cells("loss_negatives", swing.loss_on_negatives),
        **_effect_cells(effect),
    }


def distortion_row(family: str, severity: int, effect: Effect, margin: float) -> Row:
    """Return a row of `tables.DISTORTED`: the loss under a distortion against the margin, of AUROC or of Dice."""
    losses, at_least = (
        (effect.losses, effect.loss_lower_bound) if effect.dice is None else ([effect.dice], effect.dice.low)
    )
    low = min((loss.low for loss in losses), default=math.nan)
    high = max((loss.high for loss in losses), default=math.nan)
    decision = "beyond" if at_least >= margin else margin_verdict(min(low, at_least), high, margin)
    return {"factor": family, "severity": severity, **_effect_cells(effect), "decision": decision}


def _effect_cells(effect: Effect) -> Row:
    """Return the cells of an effect: changes of AUROC, predicted classes and maps, and how many images it is of."""
    parts = {"loss": effect.loss, "flips": effect.flips, "dice": effect.dice, "stray": effect.false_area}
    columns = {key: value for name, part in parts.items() for key, value in _bounded_cells(name, part).items()}
    return {**columns, "images": effect.images, "patients": effect.patients}


def _bounded_cells(name: str, value: BoundedEstimate | None) -> Row:
    """Return the cells of a value and its bounds; NaN for None."""
    if value is None:
        return {name: math.nan, f"{name}_low": math.nan, f"{name}_high": math.nan}
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}


def margin_verdict(low: float, high: float, margin: float) -> str:
    """Return whether a difference is within +- margin, beyond it, or neither is shown."""
    if -margin < low and high < margin:
        return "within"
    return "beyond" if low >= margin or high <= -margin else "inconclusive"
