"""How well a model outlines lesions, and how quiet it is where there is none, in each environment and group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from assay.core.maps import AT_NATIVE
from assay.core.measures import NATIVE
from assay.core.types import FactorTable, Measurement, undefined
from assay.maps.kinds import OF_KINDS
from assay.probes.groups import groups_of
from assay.probes.performance import measured, taken
from assay.probes.probe import Model, Reading, Request, Scope
from assay.shifts.environment import Environment, Scene
from assay.stats.influence import Answers


class OfMaps:
    """Measures of what is kept of maps, of every test environment and by group.

    overall: measures of an environment. grouped: those of each group of a factor (its levels, or the halves below and
    above the median of the neutral rows), with `factor` and `level`. by_kind: those of each kind of lesion, named by
    `level`, where there are several. n: the images that a measure is of. Standard errors are over patients. NaN with
    the reason where an environment or a group lacks what a measure is of, and for a model that gives no maps.
    """

    scope: ClassVar[Scope] = "tests"
    overall: tuple[str, ...]
    grouped: ClassVar[tuple[str, ...]]
    by_kind: tuple[str, ...] = ()
    native: bool = False

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """The answers in every test environment."""
        return tuple(Request(scene.environment(name), native=self.native) for name in scene.names)

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """Overall, then by kind and by group."""
        found: list[Measurement] = []
        answered: dict[str, tuple[Answers, FactorTable]] = {}
        kinds: tuple[str, ...] = ()
        for name in scene.names:
            environment = scene.environment(name)
            answers = answers_of(reading, environment)
            if not answers.maps:
                reason = "no masks" if environment.masks is None else "the model gives no logits of pixels"
                found += [undefined(one, reason, environment=name) for one in self.overall]
                continue
            table, place = environment.table, Measurement("", 0.0, environment=name)
            found += [
                _in_millimetres(measured(one, answers, table.patient, place), environment) for one in self.overall
            ]
            answered[name] = answers, table
            kinds = environment.masks.kinds if environment.masks is not None else kinds
        return found + self.describe(answered, scene.neutral().table, kinds)

    def describe(
        self, answered: Mapping[str, tuple[Answers, FactorTable]], reference: FactorTable, kinds: Sequence[str]
    ) -> list[Measurement]:
        """Each kind of lesion and each group, of answers that are there already: environment -> answers and the table
        of their rows. Those of several folds may stand one after another.

        reference: the neutral rows, whose medians cut the halves. kinds: names, in the order of the masks' labels.
        """
        found: list[Measurement] = []
        for name, (answers, table) in answered.items():
            place = Measurement("", 0.0, environment=name)
            found += [
                measured(one, of_kind, table.patient, replace(place, level=kind))
                for kind, of_kind in _kinds(answers, kinds)
                for one in self.by_kind
            ]
            for group in groups_of(table, reference):
                inside, patient = taken(answers, group.rows), table.patient[group.rows]
                at = replace(place, factor=group.factor, level=group.level)
                found += [measured(one, inside, patient, at) for one in self.grouped]
        return found


def _kinds(answers: Answers, names: Sequence[str]) -> Iterator[tuple[str, Answers]]:
    """Each of several kinds, and the answers as if it were the only one; a pixel is called by its greatest logit."""
    kept = answers.maps
    for place, name in enumerate(names if "kind_truth" in kept else ()):
        own = {key: kept[f"kind_{key}"][:, place] for key in OF_KINDS}
        counts = {
            key: np.repeat(own[key][:, None], kept[key].shape[1], axis=1) for key in ("predicted", "hit", "stray")
        }
        score, floor = _told_apart(own["found"], own["lesions"]), np.full(len(own["found"]), -np.inf)
        alone = {**counts, "truth": own["truth"], "lesion_score": score, "floor": floor}
        there = {key: f"{AT_NATIVE}kind_{key}" for key in ("truth", "predicted", "hit")}
        native = {f"{AT_NATIVE}{key}": kept[of][:, place] for key, of in there.items() if of in kept}
        yield name, replace(answers, maps={**kept, **alone, **native})


def _told_apart(found: Int[np.ndarray, " n"], lesions: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n l"]:
    """A score for each lesion that is 1 where it is found at p = .5 and -1 where it is missed, NaN where padded."""
    place = np.arange(max(int(lesions.max(initial=0)), 1))
    return np.where(place < found[:, None], 1.0, np.where(place < lesions[:, None], -1.0, np.nan))


def _in_millimetres(found: Measurement, environment: Environment) -> Measurement:
    """A measurement of lengths has the unit in which they were taken."""
    return replace(found, unit="mm") if found.unit == "px" and environment.millimetres is not None else found


class Segmentation(OfMaps):
    """Implements `Probe`: overlap under every convention for empty masks, surfaces, lesions found, calibration.

    `dice` is the mean over images that show a lesion. What each other measure is stands in docs/reference/probes.md.
    native: also overlap and surfaces at the size of each image's file, named `dice-native` and so on: probabilities are
    scaled back from the study's square and compared with the mask as it came. NaN with the reason in environments whose
    images have no such size.
    """

    overall: tuple[str, ...] = (
        "dice",
        "dice-skip",
        "dice-one",
        "dice-zero",
        "dice-smoothed",
        "iou",
        "pixel-precision",
        "pixel-recall",
        "volume-error",
        "hd95",
        "surface-distance",
        "surface-dice",
        "lesion-sensitivity",
        "false-positives-per-image",
        "pixel-calibration-error",
        "pixel-calibration-error-boundary",
        "pixel-calibration-error-background",
    )
    grouped: ClassVar[tuple[str, ...]] = ("dice", "lesion-sensitivity")
    by_kind: tuple[str, ...] = (
        "dice",
        "dice-skip",
        "dice-one",
        "dice-zero",
        "dice-smoothed",
        "iou",
        "lesion-sensitivity",
        "false-positives-per-image",
    )

    def __init__(self, *, native: bool = False) -> None:
        self.native = native
        if native:
            self.overall = (*self.overall, *NATIVE)
            self.by_kind = (*self.by_kind, "dice-native", "iou-native")


class LesionFree(OfMaps):
    """Implements `Probe`: false positives in images without a lesion, at p = .5 and at matched sensitivity, and how
    well images with a lesion are told from those without by several scores of the map.
    """

    overall: tuple[str, ...] = (
        "false-positive-rate",
        "false-positive-area",
        "lesion-sensitivity-at-80",
        "false-positive-rate-at-80",
        "lesion-sensitivity-at-90",
        "false-positive-rate-at-90",
        "lesion-sensitivity-at-95",
        "false-positive-rate-at-95",
        "auroc-top-mean",
        "auroc-area",
        "average-precision-top-mean",
        "average-precision-area",
        "free-response-area",
    )
    grouped: ClassVar[tuple[str, ...]] = ("false-positive-rate", "false-positive-rate-at-90")


def answers_of(reading: Reading, environment: Environment) -> Answers:
    """A model's answers about an environment, with what is kept of its maps and its operating thresholds."""
    read, model = reading.read(environment), reading.model
    threshold = 0.5 if model.threshold is None else model.threshold
    maps = dict(read.maps)
    if maps and model.operating:
        maps["operating"] = np.tile(model.operating, (len(environment), 1))
    return Answers(read.logits, environment.table.target, threshold, maps=maps)
