"""Tables of an audit, from the scores of a model on images without and with marks."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, permutations
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.special import stdtrit

from assay.audit.swing import (
    MUCH,
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
from assay.core.reasons import Code, Reason
from assay.core.seeds import row_uniform
from assay.core.types import Factor, FactorTable
from assay.look.added import compare_with_cue
from assay.look.cues import Cue
from assay.stats.bounds import ALPHA, BoundedEstimate, bounded_share
from assay.stats.estimate import shift_on_scale
from assay.stats.format import join_words
from assay.stats.groups import MAX_LEVELS, MIN_IMAGES_OF_CLASS, MIN_PATIENTS_IN_CELL, ColumnGroups, divide_into_groups
from assay.stats.influence import ModelPredictions, calibration_in_the_large, calibration_slope
from assay.stats.measures import value_and_contributions
from assay.stats.metrics import auroc, log_odds, predicted_classes, probabilities, score_names
from assay.stats.panel import SeedPredictions
from assay.stats.rows import CONFIDENCE
from assay.store.files import Row


def group_names(table: FactorTable) -> list[str]:
    """Return the group of each row by each column that has groups, as JSON."""
    groups = [divide_into_groups(table, factor.name) for factor in table.factors if factor.role != "core"]
    names: list[dict[str, str]] = [{} for _ in range(len(table))]
    for group in groups:
        for level, rows in group.groups.items():
            for at in np.flatnonzero(rows).tolist():
                names[at][group.column] = level
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


def probability_of(requested: float | str | None, of_model: float | None = None) -> float:
    """Return the threshold as far as no answer decides it: the one that is asked for, else the model's own, else 0.5.

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
        logits: Answers to images, on which a sensitivity is reached.
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
    """Answers of one model to some images.

    Attributes:
        table: The images.
        logits: As the model gave them.
        threshold: On the probability of the second of two classes.
        is_calibrated: Whether they are probabilities on any scale; calibration has no meaning for other scores.
    """

    table: FactorTable
    logits: Float[np.ndarray, "n k"]
    threshold: float
    is_calibrated: bool = True

    @property
    def scores(self) -> Float[np.ndarray, "n m"]:
        """Log-odds in float64, of the positive class or of each class against the rest."""
        return log_odds(self.logits.astype(np.float64))

    @property
    def calls(self) -> Int[np.ndarray, " n"]:
        """Class codes."""
        return predicted_classes(probabilities(self.logits), self.threshold)

    @property
    def quality(self) -> tuple[str, BoundedEstimate] | None:
        """Name and value of what a better reading of the images would raise."""
        if len(self.table.classes) != 2:
            return "accuracy", mean_with_bounds(self._right, self.table.patient)
        return "AUROC", auroc_with_bounds(self.scores[:, 0], self.table.target, self.table.patient)

    @property
    def chance(self) -> float:
        """The `quality` of answers that do not depend on the image: 0.5, or the share of the largest class."""
        return 0.5 if len(self.table.classes) == 2 else float(np.bincount(self.table.target).max() / len(self.table))

    @property
    def value(self) -> float:
        """Value of `quality`, without its bounds."""
        if len(self.table.classes) != 2:
            return float(self._right.mean())
        return auroc(self.scores[:, 0], self.table.target).value

    def take(self, rows: Int[np.ndarray, " m"]) -> ScoredImages:
        """Return the answers to some of the images."""
        return replace(self, table=self.table.take(rows), logits=self.logits[rows])

    def gain(self, after: ScoredImages, alpha: float) -> BoundedEstimate:
        """Return the change of `quality` from these answers to others of the same images."""
        if len(self.table.classes) != 2:
            return mean_change(after._right - self._right, self.table.patient, alpha)
        return auroc_gain(self.scores[:, 0], after.scores[:, 0], self.table.target, self.table.patient, alpha)

    @property
    def _right(self) -> Float[np.ndarray, " n"]:
        return (self.calls == self.table.target).astype(np.float64)

    @property
    def orders(self) -> Sequence[tuple[int, ...]]:
        """Orders of the outputs: every one of up to four classes, of more their own and the one with most hits."""
        classes = len(self.table.classes)
        if classes <= _EVERY_ORDER:
            return list(permutations(range(classes)))
        hits = np.zeros((classes, classes))
        np.add.at(hits, (self.table.target, self.logits.argmax(axis=1)), 1)
        return [tuple(range(classes)), tuple(map(int, linear_sum_assignment(-hits)[1]))]

    def reorder(self, order: Sequence[int]) -> ScoredImages:
        """Return the answers with the outputs in another order."""
        return replace(self, logits=self.logits[:, list(order)])

    def effect(self, after: ScoredImages, dose: str) -> Effect:
        """Return the effect of a change, from the answers to the same images with it."""
        labels = score_names(self.table.classes)
        flips = changed_predictions(self.calls, after.calls, self.table.patient)
        return effect_of_mark(self.scores, after.scores, self.table.target, self.table.patient, flips, labels, dose)


INVERTED = "inverted gray values"
"""Name of a way to read images."""
OF_EACH_IMAGE = ("image-minmax", "image-zscore")
"""Names of scalings of each image by itself."""
_RARE_SCALINGS = ("caffe", *OF_EACH_IMAGE)
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
        """Return the answers to images, whose class is whether they have a lesion. Pixels are called at 0.5."""
        top = maps["top_mean"].astype(np.float64)
        lesion_table = replace(table, target=(maps["truth"] > 0).astype(np.int64), classes=LESION)
        return cls(lesion_table, np.stack([np.zeros(len(top)), top], axis=1), 0.5, maps=maps)

    @property
    def calls(self) -> Int[np.ndarray, " n"]:
        """Whether any pixel is called lesion."""
        return (self._predicted_pixels > 0).astype(np.int64)

    @property
    def dice(self) -> Float[np.ndarray, " n"]:
        """Dice of each image; NaN without a lesion."""
        truth, hit = self.maps["truth"].astype(np.float64), self.maps["hit"][:, _AT_HALF]
        return np.where(truth > 0, 2 * hit / np.maximum(self._predicted_pixels + truth, 1), np.nan)

    @property
    def stray(self) -> Float[np.ndarray, " n"]:
        """Share of each image that is wrongly called lesion."""
        return (self._predicted_pixels - self.maps["hit"][:, _AT_HALF]) / self.maps["pixels"]

    @property
    def _predicted_pixels(self) -> Int[np.ndarray, " n"]:
        return self.maps["predicted"][:, _AT_HALF]

    @property
    def quality(self) -> tuple[str, BoundedEstimate] | None:
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
    def value(self) -> float:
        """Mean Dice over the images with a lesion."""
        return float(self.dice[self.table.target == 1].mean())

    def take(self, rows: Int[np.ndarray, " m"]) -> ScoredMaps:
        """Return the answers to some of the images."""
        maps = {name: values[rows] for name, values in self.maps.items()}
        return replace(self, table=self.table.take(rows), logits=self.logits[rows], maps=maps)

    def gain(self, after: ScoredImages, alpha: float) -> BoundedEstimate:
        """Return the change of Dice."""
        assert isinstance(after, ScoredMaps)
        has_lesion = self.table.target == 1
        return mean_change((after.dice - self.dice)[has_lesion], self.table.patient[has_lesion], alpha)

    @property
    def orders(self) -> Sequence[tuple[int, ...]]:
        """Background first; lesion first too where its Dice is then much above that of maps that are all lesion."""
        exchanged = self.reorder((1, 0)).value > self.chance + MUCH
        return [(0, 1), (1, 0)] if exchanged else [(0, 1)]

    def reorder(self, order: Sequence[int]) -> ScoredMaps:
        """Return the answers with background and lesion exchanged where lesion is first; counts hold at 0.5 alone."""
        if [*order] == sorted(order):
            return self
        pixels, truth = (self.maps[name].astype(np.int64)[:, None] for name in ("pixels", "truth"))
        exchanged = {"predicted": pixels - self.maps["predicted"], "hit": truth - self.maps["hit"]}
        return replace(self, logits=-self.logits, maps={**self.maps, **exchanged})

    def effect(self, after: ScoredImages, dose: str) -> Effect:
        """Return the effect of a change; the swing needs images with a lesion and without one."""
        assert isinstance(after, ScoredMaps)
        table, has_lesion = self.table, self.table.target == 1
        flips = changed_predictions(self.calls, after.calls, table.patient)
        if has_lesion.any() and not has_lesion.all():
            effect_found = effect_of_mark(self.scores, after.scores, table.target, table.patient, flips, ("",), dose)
        else:
            effect_found = Effect((), len(table), len(np.unique(table.patient)), flips, dose)
        dice_lost = (
            mean_change((self.dice - after.dice)[has_lesion], table.patient[has_lesion]) if has_lesion.any() else None
        )
        return replace(effect_found, dice=dice_lost, false_area=mean_change(after.stray - self.stray, table.patient))


_LEVEL = ALPHA / 5
"""Level of the gain by another reading, of the best of either half, at which 1 of 100 audits stops falsely at most."""
_RARE, _TURNED, _BOTH = 0.02, 0.02, 0.05
"""Gains by which readings must be better than likelier ones, see `_unlikeliness`."""
_EVERY_ORDER = 4
"""Classes up to which every order of the outputs is tried."""


def better(
    as_given: ScoredImages, others: Mapping[str, ScoredImages], second: Bool[np.ndarray, " n"]
) -> tuple[str, tuple[int, ...], BoundedEstimate] | None:
    """Return the reading that is much better than the given one, and its gain in patients that did not choose it.

    A reading is a way to read images with an order of the outputs; of two classes the other order inverts scores. The
    best of each half of the patients is tested on the other half, and the gain is the mean of both: the choice adds
    nothing to it, however many there are.

    Args:
        as_given: Answers as the model is read.
        others: Answers to the same images when these are read otherwise.
        second: Images of the second half of the patients.

    Returns:
        Name of the way, the order of the outputs, and the gain. None where its lower bound is not above `MUCH`, or
        the halves are not `comparable`.
    """
    if not comparable(as_given, second):
        return None
    halves, maps = [np.flatnonzero(second == side) for side in (False, True)], isinstance(as_given, ScoredMaps)
    candidates: list[tuple[float, str, tuple[int, ...], BoundedEstimate]] = []
    for half, rest in (halves, halves[::-1]):
        before, after = (
            as_given.take(half).value,
            {name: answers.take(half) for name, answers in {"": as_given, **others}.items()},
        )
        gains = {
            (name, order): answers.reorder(order).value - before
            for name, answers in after.items()
            for order in answers.orders
            if name or order != answers.orders[0]
        }
        if not gains or max(gains.values()) <= 0:
            return None
        name, order = max(gains, key=lambda key: gains[key] - _unlikeliness(*key, maps))
        tested = {"": as_given, **others}[name].take(rest).reorder(order)
        candidates.append((gains[name, order], name, order, as_given.take(rest).gain(tested, _LEVEL)))
    gain = mean_of_independent(candidates[0][3], candidates[1][3], _LEVEL)
    _, name, order, _ = max(
        candidates,
        key=lambda candidate: candidate[0] + candidate[3].value - 2 * _unlikeliness(candidate[1], candidate[2], maps),
    )
    return (name, order, gain) if gain.low > MUCH else None


def comparable(answers: ScoredImages, second: Bool[np.ndarray, " n"]) -> bool:
    """Return whether both halves of the patients have images of every class; with maps, images with a lesion."""
    needed = {1} if isinstance(answers, ScoredMaps) else {*answers.table.target.tolist()}
    return all(needed <= {*answers.table.target[second == side].tolist()} for side in (False, True))


def second_half(patient: Int[np.ndarray, " n"], seed: int, of: str) -> Bool[np.ndarray, " n"]:
    """Return whether each image is of the second half of the patients, drawn by the seed and a purpose."""
    people, codes = np.unique(patient, return_inverse=True)
    return np.argsort(np.argsort(row_uniform(seed, of, people)))[codes] % 2 == 1


def _unlikeliness(name: str, order: Sequence[int], maps: bool) -> float:
    """Return what a reading must gain over the likeliest: channels or a scaling, then an order of outputs, then both.

    Where channels are compared, BGR turns scores as the other order does. Inverted gray values are as likely as an
    order, and so are scalings that are no range of pixels: those of each image help some models that lack them. Of maps
    they are likelier, since an exchange may amount to them.
    """
    turned = [*order] != sorted(order)
    rare = _RARE * (name in _RARE_SCALINGS) + _TURNED * (turned or name == INVERTED)
    return rare + _BOTH * bool((name or maps) and turned)


_AT_HALF = MapGrid().thresholds.index(0.0)
"""Position of the threshold of a probability of 0.5."""


def column_decision(scored: ScoredImages, column: ColumnGroups, margin: float) -> AuditDecision | None:
    """Decide whether answers differ with a column; None where no group can be compared with the others.

    Levels that are too small for a group are left out. Of a column that is tied to the target, images of a class are
    compared, over the classes together where none has enough in and outside a group.
    """
    groups = column.groups or column.tied
    if not groups:
        return None
    present = np.flatnonzero(np.any(list(groups.values()), axis=0))
    table = scored.table.take(present)
    groups_asked = list(groups.items())[1:] if len(groups) == 2 else groups.items()
    scores, labels = scored.scores[present], score_names(table.classes)
    compared = scores, table.target, table.patient
    if not column.tied:
        effects = [
            swing_of_group(*compared[:2], rows[present], compared[2], labels, level) for level, rows in groups_asked
        ]
        return _decide_groups(effects, margin)
    effects = [
        within_classes(*compared[:2], rows[present], compared[2], table.classes, level, MIN_IMAGES_OF_CLASS)
        for level, rows in groups_asked
    ]
    if any(effects):
        return _decide_groups(effects, margin)
    effects = [
        pooled_within_classes(*compared[:2], rows[present], compared[2], labels, level, MIN_PATIENTS_IN_CELL)
        for level, rows in groups_asked
    ]
    return _decide_groups(effects, margin, MIN_PATIENTS_IN_CELL)


def _decide_groups(
    effects: Sequence[Effect | None], margin: float, least: int = LEAST_PATIENTS
) -> AuditDecision | None:
    defined = [effect for effect in effects if effect is not None]
    return decide_column(defined, margin, least) if defined else None


def verdict_row(factor: str, kind: str, decided: AuditDecision, component: str = "", family: str = "") -> Row:
    """Return a row of `tables.VERDICTS`."""
    effect = decided.effect
    return {
        **effect_row(factor, effect),
        **_bounded_cells("loss_positives", effect.largest.on_positives),
        "kind": kind,
        "family": family,
        "verdict": str(decided.verdict),
        "at_least": effect.at_least,
        "at_most": effect.at_most,
        "limit": math.nan if decided.limit is None else decided.limit,
        "open": " ".join(decided.open),
        "needed": decided.needed,
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
        **_bounded_cells("loss_negatives", swing.on_negatives),
        **_of_images(effect),
    }


def distorted_row(family: str, severity: int, effect: Effect, margin: float) -> Row:
    """Return a row of `tables.DISTORTED`: the loss under a distortion against the margin, of AUROC or of Dice."""
    losses, at_least = (
        (effect.losses, effect.loss_at_least) if effect.dice is None else ([effect.dice], effect.dice.low)
    )
    low = min((loss.low for loss in losses), default=math.nan)
    high = max((loss.high for loss in losses), default=math.nan)
    decision = "beyond" if at_least >= margin else _margin_verdict(min(low, at_least), high, margin)
    return {"factor": family, "severity": severity, **_of_images(effect), "decision": decision}


def _of_images(effect: Effect) -> Row:
    """Return the effect on AUROC, calls and maps, and how many images it is of."""
    parts = {"loss": effect.loss, "flips": effect.flips, "dice": effect.dice, "stray": effect.false_area}
    columns = {key: value for name, part in parts.items() for key, value in _bounded_cells(name, part).items()}
    return {**columns, "images": effect.images, "patients": effect.patients}


def _bounded_cells(name: str, value: BoundedEstimate | None) -> Row:
    if value is None:
        return {name: math.nan, f"{name}_low": math.nan, f"{name}_high": math.nan}
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}


def _margin_verdict(low: float, high: float, margin: float) -> str:
    """Return whether a difference is within +- margin, beyond it, or neither is shown."""
    if -margin < low and high < margin:
        return "within"
    return "beyond" if low >= margin or high <= -margin else "inconclusive"


_SHARE = (0.0, 1.0)
FEW_PATIENTS = 10
"""Patients with, or without, from which on a share's interval comes from its variance. One of few has hardly any."""
IN_THE_LARGE, SLOPE = "calibration-in-the-large", "calibration-slope"
"""Measures of groups besides those of `influence_of`. A slope has another unit than the margin: it has no gaps."""


# Subgroups: performance by group and between groups, with intervals that hold together.


@dataclass(frozen=True)
class _Part:
    """A measure of a group: its value and the contributions of all patients.

    Attributes:
        exact: Of a share, its exact ends at a level for each end; None of other measures, and where there are at least
            `FEW_PATIENTS` patients with and without.
    """

    value: float
    contributions: Float[np.ndarray, " p"]
    images: int
    patients: int
    exact: Callable[[float], BoundedEstimate] | None = None


def subgroup_rows(scored: ScoredImages, columns: Sequence[ColumnGroups], margin: float) -> tuple[list[Row], list[Row]]:
    """Return rows of `tables.GROUPS` and of `audit_tables.GAPS`.

    Intervals of groups hold together at 95%, and those of gaps (Bonferroni). Contributions are summed by patient, who
    may be in several groups.
    """
    everyone_rows = np.ones(len(scored.table), dtype=bool)
    parts = {("", "all"): _measure_part(scored, everyone_rows)}
    parts |= {
        (grouping.column, level): _measure_part(scored, rows)
        for grouping in columns
        for level, rows in grouping.groups.items()
    }
    cells = [(place, name, part) for place, measured in parts.items() for name, part in measured.items()]
    together = len(cells) - len(parts["", "all"])
    groups = [
        {
            "column": column,
            "level": level,
            "measure": name,
            **_interval(name, part, together if column else 1),
            "images": part.images,
            "patients": part.patients,
        }
        for (column, level), name, part in cells
    ]
    pairs = [
        (grouping.column, a, b, name, parts[grouping.column, a][name], parts[grouping.column, b][name])
        for grouping in columns
        for a, b in combinations(grouping.groups, 2)
        for name in parts[grouping.column, a]
        if name in parts[grouping.column, b] and name != SLOPE
    ]
    return groups, [_gap(*pair, len(pairs), margin) for pair in pairs]


def _measure_part(scored: ScoredImages, rows: np.ndarray) -> dict[str, _Part]:
    table = scored.table
    answers = ModelPredictions(scored.logits[rows], table.target[rows], scored.threshold)
    names = ("auroc", "sensitivity", "specificity") if answers.n_classes == 2 else ("auroc-macro", "accuracy")
    everyone = np.unique(table.patient)
    patients, parts = np.unique(table.patient[rows]), dict[str, _Part]()
    for name in names:
        metric, contributions = value_and_contributions(name, answers, table.patient[rows])
        if metric.is_defined:
            spread = np.zeros(len(everyone))
            spread[np.searchsorted(everyone, patients)] = contributions
            exact = _exact_ends(name, answers, table.patient[rows])
            parts[name] = _Part(metric.value, spread, int(rows.sum()), len(patients), exact)
    if answers.n_classes == 2 and scored.is_calibrated and not isinstance(scored, ScoredMaps):
        parts |= _calibration_parts(scored, rows)
    if isinstance(scored, ScoredMaps) and (has_lesion := rows & (table.target == 1)).any():
        mean = float(scored.dice[has_lesion].mean())
        deviations = np.where(has_lesion, scored.dice - mean, 0) / int(has_lesion.sum())
        sums = np.bincount(np.searchsorted(everyone, table.patient), weights=deviations, minlength=len(everyone))
        parts["dice"] = _Part(mean, sums, int(has_lesion.sum()), len(np.unique(table.patient[has_lesion])))
    return parts


def _exact_ends(name: str, answers: ModelPredictions, patient: np.ndarray) -> Callable[[float], BoundedEstimate] | None:
    """Return the exact ends of a share of right calls where few patients have one, or few have none."""
    counted = {
        "sensitivity": answers.target == 1,
        "specificity": answers.target == 0,
        "accuracy": np.ones(len(answers.target), dtype=bool),
    }.get(name)
    if counted is None or len(np.unique(patient)) < 2:
        return None
    right = (predicted_classes(probabilities(answers.logits), answers.threshold) == answers.target)[counted]
    if min(len(np.unique(patient[counted][right == either])) for either in (True, False)) >= FEW_PATIENTS:
        return None
    return lambda alpha: bounded_share(right, patient[counted], alpha)


def _calibration_parts(scored: ScoredImages, rows: np.ndarray) -> dict[str, _Part]:
    """Return calibration in the large, and the slope where there is one."""
    table = scored.table
    everyone = np.unique(table.patient)
    patients = np.unique(table.patient[rows])
    answers_and_target = scored.scores[rows, 0], table.target[rows]
    parts = {IN_THE_LARGE: calibration_in_the_large(*answers_and_target)}
    if (slope := calibration_slope(*answers_and_target)) is not None:
        parts[SLOPE] = slope
    places, wider = np.searchsorted(everyone, table.patient[rows]), math.nan
    if len(patients) > 1:
        wider = math.sqrt(len(patients) / (len(patients) - 1))
    return {
        name: _Part(value, wider * np.bincount(places, contributions, len(everyone)), int(rows.sum()), len(patients))
        for name, (value, contributions) in parts.items()
    }


def _interval(name: str, part: _Part, together: int) -> Row:
    """Return a value with an interval that holds together with others, on the logit scale."""
    if part.exact is not None:
        bounded = part.exact((1 - CONFIDENCE) / 2 / together)
        return {"value": part.value, "low": bounded.low, "high": bounded.high}
    error = float(np.sqrt((part.contributions**2).sum()))
    if not 0 < error < math.inf:
        return {"value": part.value, "low": math.nan, "high": math.nan}
    reach = _quantile(part.patients - 1.0, together) * error
    if name in (IN_THE_LARGE, SLOPE):
        return {"value": part.value, "low": part.value - reach, "high": part.value + reach}
    return {
        "value": part.value,
        "low": shift_on_scale(part.value, -reach, _SHARE),
        "high": shift_on_scale(part.value, reach, _SHARE),
    }


def _quantile(df: float, together: int) -> float:
    return -float(stdtrit(max(1.0, df), (1 - CONFIDENCE) / 2 / together))


def _gap_ends(name: str, first: _Part, second: _Part, together: int) -> tuple[float, float]:
    """Return the ends of a difference's interval; NaN where there is no variance.

    Where a share has exact ends, those of both are combined (Newcombe, Statistics in Medicine 1998, method 10): the
    variance of a share that is nearly 1 is nearly 0, however few patients it comes from. The groups count as
    independent, which is too wide where patients are in both.
    """
    value = first.value - second.value
    if first.exact is None and second.exact is None:
        error = float(np.sqrt(((first.contributions - second.contributions) ** 2).sum()))
        reach = _quantile(min(first.patients, second.patients) - 1.0, together) * error
        return (value - reach, value + reach) if 0 < error < math.inf else (math.nan, math.nan)
    a, b = (_interval(name, part, together) for part in (first, second))
    below = math.hypot(a["value"] - a["low"], b["high"] - b["value"])
    above = math.hypot(a["high"] - a["value"], b["value"] - b["low"])
    return value - below, value + above


def _gap(column: str, a: str, b: str, name: str, first: _Part, second: _Part, together: int, margin: float) -> Row:
    value = first.value - second.value
    low, high = _gap_ends(name, first, second, together)
    sure, reach = math.isfinite(high - low), (high - low) / 2
    decision = _margin_verdict(low, high, margin) if sure else "inconclusive"
    away = abs(abs(value) - margin)
    images = first.images + second.images
    open_ = decision == "inconclusive" and sure and away > margin / 50
    return {
        "column": column,
        "a": a,
        "b": b,
        "measure": name,
        "value": value,
        "low": low,
        "high": high,
        "decision": decision,
        "needed": math.ceil(images * (reach / away) ** 2) if open_ else math.nan,
        "images": images,
    }


def of_columns(scored: ScoredImages, margin: float) -> tuple[list[Row], list[Row], list[Row]]:
    """Return rows of verdicts, groups and gaps by the columns of the images."""
    columns = [
        divide_into_groups(scored.table, factor.name) for factor in scored.table.factors if factor.role != "core"
    ]
    verdicts: list[Row] = []
    for column in columns:
        decided = column_decision(scored, column, margin)
        reason = column.reason or Reason.of(Code.NOTHING_TO_COMPARE)
        verdicts.append(
            {**verdict_row(column.column, "column", decided), "reason": str(column.reason)}
            if decided
            else not_tested_row(column.column, "column", reason)
        )
    groups, gaps = subgroup_rows(scored, [column for column in columns if column.groups], margin)
    untested = [column for column in columns if not column.groups]
    few = str(Reason.of(Code.SMALL_GROUP, least=MIN_IMAGES_OF_CLASS))
    groups += [
        {"column": column.column, "level": level, "reason": few, "images": 0, "patients": 0}
        for column in columns
        for level in column.small
    ]
    groups += [
        {"column": column.column, "reason": str(column.reason), "images": 0, "patients": 0} for column in untested
    ]
    return verdicts, groups, gaps


def column_rows(table: FactorTable) -> list[Row]:
    """Return rows of `tables.AUDIT_COLUMNS`: the target and every column, with the values of few levels."""
    target = Factor("target", "categorical", levels=table.classes)
    rows = [_column_row(target, table.target, "target")]
    return [*rows, *(_column_row(factor, table.columns[factor.name], "audited") for factor in table.factors)]


def _column_row(factor: Factor, values: np.ndarray, role: str) -> Row:
    row: Row = {"column": factor.name, "role": role, "kind": factor.kind, "images": len(values)}
    if factor.levels:
        codes, counts = np.unique(values[values >= 0], return_counts=True)
        named = {factor.levels[int(code)]: int(n) for code, n in zip(codes, counts, strict=True)}
        values_shown = json.dumps(named, ensure_ascii=False) if len(named) <= MAX_LEVELS else ""
        return {**row, "levels": len(named), "missing": int((values < 0).sum()), "values": values_shown}
    numbers = values.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    row |= {"levels": len(np.unique(finite)), "missing": len(values) - len(finite)}
    return (
        row
        if not len(finite)
        else {**row, "least": finite.min(), "median": np.median(finite), "greatest": finite.max()}
    )


def model_added(scored: ScoredImages, cues: Sequence[Cue], table: FactorTable) -> list[Row]:
    """Return the row of one model, whose training images are not known.

    Args:
        scored: Its answers, to images whose rows are their positions.
        cues: Scores of all images.
        table: All images.
    """
    factor_table = scored.table
    panel = SeedPredictions(
        scored.logits.astype(np.float64)[None],
        factor_table.target,
        factor_table.patient,
        image_indices=factor_table.row,
    )
    return [{"recipe": "", "environment": "", **row} for row in compare_with_cue(panel, cues, table, halves=True)]
