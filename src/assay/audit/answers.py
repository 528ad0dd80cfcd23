"""Tables that follow from the stored predictions of an audit: verdicts, effects, losses, and checks of the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import PurePath

import numpy as np
from jaxtyping import Bool
from PIL import Image

from assay.audit.battery import DECIDING, AuditedMark
from assay.audit.checks import FITS, misreading_texts, output_words
from assay.audit.model import CAUSES, PreparedAudit, misreading_signs
from assay.audit.page import IMAGES_PER_GROUP, IMAGES_PER_PICTURE, REGION_PREFIX, picture_name
from assay.audit.plan import AuditPlan, NeutralizedRegions, PlannedReading
from assay.audit.references import trained_on
from assay.audit.remedy.tables import balanced_columns
from assay.audit.scored import (
    PER_IMAGE_SCALINGS,
    ScoredImages,
    ScoredMaps,
    better_preprocessing,
    check,
    distortion_row,
    effect_row,
    group_names,
    halves_are_comparable,
    not_tested_row,
    threshold_of,
    verdict_row,
)
from assay.audit.search.regions import Region
from assay.audit.search.words import DRAWN_BY, TRAINING_COLUMNS
from assay.audit.swing import MIN_GAIN, Effect
from assay.audit.tables import DOSES
from assay.audit.verdicts import AuditDecision, OpenQuantity, Reference, decide_mark, is_settled
from assay.core.errors import ReadingError, SpecError, key_text, shorten
from assay.core.files import content_hash, write_whole
from assay.core.reasons import Reason, reason_in_words
from assay.data.files.classes import positive_words
from assay.execution.jobs import stored_reading
from assay.execution.workspace import read_provenance
from assay.report.pictures import to_colors
from assay.report.sentences.scores import constant
from assay.shifts.environment import Environment
from assay.stats.bounds import MARGIN
from assay.stats.format import join_words, number
from assay.stats.metrics import log_odds
from assay.stats.rows import ADVERSE_VERDICTS, Verdict
from assay.store.files import Row, read_checked_json
from assay.store.folder import RunFolder

_N_GRAY_IMAGES = 16
"""Images in which the gray value of a mark is measured."""
REPEAT_TOLERANCE = 1e-4
"""Largest difference of scores between two readings of an image, as a share of the range of scores, which counts as at
least 1 log-odds."""


@dataclass(frozen=True, eq=False)
class StoredPredictions:
    """The predictions that an audit stored in its run folder, one table per reading.

    Three terms of the methods: the *leading region* is the one that the headline names among those that searches found
    (`rows.leading_region`). A *neutralized* region has the same content in all images. *Clean networks* never saw a
    mark in training.

    Attributes:
        folder: The run folder.
        plan: What is read.
        model_threshold: The model's own threshold, if it has one.
        skips_doses: Whether doses that cannot change a verdict are left out.
        is_calibrated: Whether the scores are probabilities or their logits.
    """

    folder: RunFolder
    plan: AuditPlan
    model_threshold: float | None
    skips_doses: bool
    is_calibrated: bool = True

    def read(self, reading: PlannedReading, threshold: float) -> ScoredImages:
        """Return the predictions of a reading at a threshold. Raises ReadingError where it failed or was not done."""
        if not self.folder.complete("readings", reading.id):
            raise ReadingError(read_checked_json(self.folder.failure_path(reading.id))["text"])
        outputs = stored_reading(self.folder.outputs(reading.id))
        if self.plan.request.task == "segmentation":
            return ScoredMaps.of(reading.table, outputs.maps)
        return ScoredImages(reading.table, outputs.logits, threshold, self.is_calibrated)

    @cached_property
    def clean(self) -> ScoredImages:
        """The predictions for images without changes, at the threshold that they set."""
        raw = self.read(self.plan.clean, 0.5)
        if isinstance(raw, ScoredMaps):
            return raw
        return self.read(
            self.plan.clean, threshold_of(self.plan.request.threshold, raw.logits, raw.table, self.model_threshold)
        )

    @cached_property
    def sample(self) -> ScoredImages:
        """The predictions for the images that get marks, without them."""
        return self.clean.take(self.plan.sample)

    def predictions_for(self, reading: PlannedReading) -> ScoredImages:
        """Return the predictions of a reading. Raises ReadingError where it failed or was not done."""
        return self.read(reading, self.clean.threshold)

    # Marks and distortions.

    def doses_needed(self, mark: AuditedMark) -> tuple[int, ...]:
        """Return the positions of the doses that decide on a mark. Raises ReadingError where the first was not read."""
        readings, all_doses = self.plan.marks[mark.name], tuple(range(len(DOSES)))
        deciding = self.sample.effect(self.predictions_for(readings[DECIDING]), DOSES[DECIDING])
        return (DECIDING,) if self.skips_doses and is_settled(deciding, self.plan.request.margin) else all_doses

    def has_adverse_verdict(self, mark: AuditedMark) -> bool:
        """Return whether a mark as it is drawn has an adverse verdict. Raises ReadingError where it was not read."""
        deciding = self.sample.effect(self.predictions_for(self.plan.marks[mark.name][DECIDING]), DOSES[DECIDING])
        return decide_mark([deciding], 0, self.plan.request.margin).verdict in ADVERSE_VERDICTS

    def decide_on_mark(self, mark: AuditedMark, reference: Reference | None) -> tuple[AuditDecision, list[Effect]]:
        """Decide on a mark as it is drawn. Raises ReadingError where it was not read."""
        doses, readings = self.doses_needed(mark), self.plan.marks[mark.name]
        effects = [self._effect_of_mark(mark, readings[dose], DOSES[dose]) for dose in doses]
        limit = reference and reference.limit(mark.name)
        return decide_mark(effects, doses.index(DECIDING), self.plan.request.margin, limit), effects

    def _effect_of_mark(self, mark: AuditedMark, reading: PlannedReading, dose: str) -> Effect:
        """Return the effect of a mark; it is one of two comparisons where the mark was also tried at other places."""
        return replace(
            self.sample.effect(self.predictions_for(reading), dose),
            n_comparisons=2 if self.plan.sizes.placement_passes and mark.places else 1,
        )

    def strongest_places(self, mark: AuditedMark, neutralized: NeutralizedRegions | None) -> tuple[str, str] | None:
        """Return the cross-fitted places of a mark in the first and second half of the patients; None without places.

        Each half has the place with the largest mean change of scores in the other half, so that the choice does not
        bias the effect. Raises ReadingError where places were not read.
        """
        plan, reading, places = self.plan, self.plan.reading_at_all_places(mark), list(mark.places)
        if reading is None:
            return None
        scores_unmarked, scores_marked = (
            self._unmarked_predictions(neutralized).scores[plan.placement_positions],
            self.predictions_for(plan.neutralize(reading, neutralized)).scores,
        )
        change_at_place = np.abs(scores_marked.reshape(len(places), *scores_unmarked.shape) - scores_unmarked).max(
            axis=2
        )
        in_second_half = plan.in_second_half[plan.placement_positions]
        place_for_first_half, place_for_second_half = (
            places[int(change_at_place[:, choosing_half].sum(axis=1).argmax())]
            for choosing_half in (in_second_half, ~in_second_half)
        )
        return place_for_first_half, place_for_second_half

    def _unmarked_predictions(self, neutralized: NeutralizedRegions | None) -> ScoredImages:
        """Return the predictions for the images that get marks, without them, with regions neutralized if given."""
        return (
            self.sample
            if neutralized is None
            else self.predictions_for(self.plan.neutralize(self.plan.unmarked_reading, neutralized))
        )

    def _keeps_effect(self, reading: PlannedReading, neutralized: NeutralizedRegions | None) -> bool:
        """Return whether a mark keeps half of its mean change of scores when the leading region is neutralized.

        Also True where one of these readings failed: without evidence the region explains no mark.
        """
        with suppress(ReadingError):
            score_changes = [
                self.predictions_for(self.plan.neutralize(reading, regions)).scores
                - self._unmarked_predictions(regions).scores
                for regions in (None, neutralized)
            ]
            mean_changes = [float(np.abs(change).mean()) for change in score_changes]
            return mean_changes[1] >= mean_changes[0] / 2
        return True

    def verdict_on_mark(
        self, mark: AuditedMark, reference: Reference | None, neutralized: NeutralizedRegions | None
    ) -> tuple[Row, list[Row]]:
        """Decide on a mark, as it is drawn and at the places where it changes scores most.

        The verdict is the more severe of two: that of the mark as it is drawn, and that at its cross-fitted places.
        The leading region explains a placement if less than half of its change of scores remains when the region is
        neutralized; the other placement then has precedence. The page has no sentence on an explained mark, since the
        page names the region instead. The mark still keeps its verdict, also for policies.

        Args:
            mark: The mark.
            reference: Clean networks, which were read with the mark as it is drawn.
            neutralized: The leading region, and others that were found; None where none was found.

        Returns:
            A row of `tables.VERDICTS` and rows of `tables.EFFECTS`. In the first, `drawn` lists the arguments of the
            mark with its gray value, `look` says in words what is drawn and where, and `explained` is whether the
            leading region explains the deciding placement.
        """
        component, drawings = mark.doses[DECIDING].label, [mark.drawing]
        reading_as_drawn = self.plan.marks[mark.name][DECIDING]
        try:
            decided, effects = self.decide_on_mark(mark, reference)
        except ReadingError as error:  # such as NaN under this mark alone
            return not_tested_row(mark.name, "mark", reason_of_error(error), component), []
        drawings.append(_mean_gray(self.plan.unmarked_images, reading_as_drawn.images()))
        placements = [(decided, "", reading_as_drawn)]
        with suppress(ReadingError):
            if chosen := self.strongest_places(mark, neutralized):
                reading_elsewhere = self.plan.reading_at_places(mark, chosen)
                decision_elsewhere = decide_mark(
                    [self._effect_of_mark(mark, reading_elsewhere, DOSES[DECIDING])], 0, self.plan.request.margin
                )
                placements.append((decision_elsewhere, " or ".join(dict.fromkeys(chosen)), reading_elsewhere))
                drawings.append(f"tried at {len(mark.places)} places")
        decided_placements = [
            (decision, place, decision.verdict in ADVERSE_VERDICTS and not self._keeps_effect(reading, neutralized))
            for decision, place, reading in placements
        ]
        most_severe, place, explained = min(
            decided_placements, key=lambda placement: _severity_key(placement[0], placement[2])
        )
        row = {**verdict_row(mark.name, "mark", most_severe, component, mark.family), "place": place,
               "drawn": ", ".join(filter(None, drawings)), "look": mark.look(place),
               "explained": explained}  # fmt: skip
        # Clean networks were read with the mark as it is drawn, so at another place no limit can show reliance.
        if place and decided.limit is not None and most_severe.verdict == Verdict.AFFECTED:
            row["open"] = str(OpenQuantity.PLACE)
        other_rows = [
            {**effect_row(mark.name, decision.effect), "place": where} for decision, where, _ in placements[1:]
        ]
        return row, [*({**effect_row(mark.name, effect), "place": ""} for effect in effects), *other_rows]

    def distortions(self) -> Iterator[Row]:
        """Yield rows of `tables.DISTORTED`."""
        for family, readings in self.plan.distortions.items():
            for reading in readings:
                try:
                    effect = self.sample.effect(self.predictions_for(reading), reading.dose)
                except ReadingError as error:
                    yield {
                        "factor": family,
                        "severity": int(reading.dose),
                        "decision": "not-tested",
                        "reason": str(reason_of_error(error)),
                        "images": 0,
                        "patients": 0,
                    }
                    break
                yield distortion_row(family, int(reading.dose), effect, self.plan.request.margin)

    # Checks of how the model is read.

    def checks(
        self,
        repeat_reading: PlannedReading | None,
        alternative_preprocessing: Mapping[str, PlannedReading],
        assumptions: tuple[str, ...],
        scales_itself: bool,
    ) -> list[Row]:
        """Return rows of `tables.AUDIT_CHECKS` on how the model is read.

        Args:
            repeat_reading: Some of the images, read a second time; None where predictions are in files.
            alternative_preprocessing: Name of a scaling or framing -> the same images with it.
            assumptions: Assumptions that were made, as sentences.
            scales_itself: Whether the model scales its images itself.

        Raises:
            SpecError: The model gives all images the same output, or another scaling is much better.
        """
        scored, request = self.clean, self.plan.request
        sentences = (
            []
            if request.task == "segmentation"
            else misreading_signs(scored.logits, scored.table, scored.threshold, None)
        )
        rows = [check("reading", "warn", sentence) for sentence in (*assumptions, *sentences)]
        if request.expect is not None:
            rows.append(_expectation_check(scored, request.expect))
        spread = float(np.ptp(log_odds(scored.logits), axis=0).max())
        if constant(scored.logits):
            raise SpecError(
                f"the model gives all images the same output; check size, framing and {key_text('--scaling')}"
            )
        if repeat_reading is None:
            rows.append(check("repeatable", "not-done", "the model was not run twice: its scores are in files"))
        else:
            repeated_scores = self.predictions_for(repeat_reading).scores
            largest_change = float(np.abs(repeated_scores - scored.scores[: len(repeated_scores)]).max())
            is_repeatable = largest_change <= REPEAT_TOLERANCE * max(1.0, spread)
            status, text = (
                ("ok", "gives the same scores to the same images")
                if is_repeatable
                else ("warn", "gives different scores to the same images on a second reading")
            )
            rows.append(check("repeatable", status, f"the model {text}", largest_change))
        return [*rows, *self._check_performance_and_preprocessing(alternative_preprocessing, scales_itself)]

    def _check_performance_and_preprocessing(
        self, alternative_preprocessing: Mapping[str, PlannedReading], scales_itself: bool
    ) -> Iterator[Row]:
        """Yield checks of the performance, and of whether other preprocessing is much better.

        Raises:
            SpecError: Other preprocessing is much better, and the request does not say that the given one is right.
        """
        if self.clean.performance is None:
            yield check("scaling", "not-done", "other scalings are compared with lesions only")
            return
        measure, performance = self.clean.performance
        status = "ok" if performance.low > self.clean.chance else "warn"
        yield check("ranking", status, f"{measure} on these images", performance.value, measure)
        as_given, alternatives, unreadable = (
            self.clean.take(self.plan.compared_positions),
            dict[str, ScoredImages](),
            list[str](),
        )
        for name, reading in alternative_preprocessing.items():
            try:
                alternatives[name] = self.predictions_for(reading)
            except ReadingError:  # such as NaN
                unreadable.append(name)
        better_candidate = better_preprocessing(as_given, alternatives, self.plan.compared_in_second_half)
        if better_candidate is not None:
            name, order, gain = better_candidate
            # An empty name is the given preprocessing, with another order of the outputs.
            better = {"": as_given, **alternatives}[name].reorder(order).performance
            assert as_given.performance is not None
            assert better is not None
            logits = self.clean.logits
            # Neither one score, which is stored beside a 0, nor log-probabilities of a softmax.
            has_two_logits = logits[:, 0].any() and not np.allclose(np.logaddexp(*logits[:, :2].T), 0, atol=1e-3)
            texts = misreading_texts(
                measure,
                as_given.performance[1].value,
                better[1].value,
                name,
                order,
                as_given.table.classes,
                bool(has_two_logits),
            )
            is_doubtful = name in PER_IMAGE_SCALINGS and gain.low <= 2 * MIN_GAIN  # it may help a model that lacks it
            if not (self.plan.request.as_given or is_doubtful):
                raise SpecError(texts[0])
            yield check("scaling", "warn", texts[1], better[1].value, measure)
        elif (
            scales_itself
            or not alternative_preprocessing
            or not halves_are_comparable(as_given, self.plan.compared_in_second_half)
        ):
            reason = "the model scales its images itself" if scales_itself else "one half of the patients lacks a class"
            reason = "too few images have a lesion" if measure == "Dice" and not scales_itself else reason
            yield check("scaling", "not-done", f"other scalings were not compared: {reason}")
        elif unreadable:
            yield check(
                "scaling", "not-done", f"not compared, without usable scores: images read as {join_words(unreadable)}"
            )
        else:
            or_framing = " or framing" if any(name in FITS for name in alternative_preprocessing) else ""
            yield check("scaling", "ok", f"no other usual scaling{or_framing} gives a much higher {measure}")


def reason_of_error(error: Exception) -> Reason:
    """Return why something was not tested, in the words of an error."""
    return reason_in_words(shorten(str(error), 200))


def _severity_key(decision: AuditDecision, explained: bool) -> tuple[bool, bool, int, float]:
    """Return a sort key: the more severe decision first, of equal verdicts the larger effect.

    A decision that the leading region explains is after the others, unless the model relies on the mark.
    """
    size = abs(decision.effect.largest.g.value) if decision.verdict in (Verdict.RELIES, Verdict.AFFECTED) else 0.0
    is_deprioritized = explained and decision.verdict != Verdict.RELIES
    return decision.verdict not in ADVERSE_VERDICTS, is_deprioritized, list(Verdict).index(decision.verdict), -size


def _mean_gray(unmarked: Environment, marked: Environment) -> str:
    """Return the mean gray value of the pixels that a mark changes; empty if it changes none, or half or more."""
    rows = np.arange(min(_N_GRAY_IMAGES, len(unmarked)))
    pixels_unmarked, pixels_marked = (environment.images.read(rows).numpy() for environment in (unmarked, marked))
    changed = np.abs(pixels_marked - pixels_unmarked) > 1 / 256
    return f"gray value {pixels_marked[changed].mean():.2f}" if 0 < changed.mean() < 0.5 else ""


def _expectation_check(scored: ScoredImages, expect: float) -> Row:
    """Return the check of the performance that the user expects.

    It warns where the expectation is outside the interval and differs by the default margin or more.
    """
    if scored.performance is None or len(scored.table.classes) != 2:
        return check("expected", "not-done", "an expectation is compared for two classes, or with lesions, only")
    measure, performance = scored.performance
    text = f"the {measure} is {number(performance.value)} [{number(performance.low)}, {number(performance.high)}]"
    if performance.low <= expect <= performance.high or abs(performance.value - expect) < MARGIN:
        return check("expected", "ok", f"{text}, as expected ({number(expect)})", performance.value)
    causes = CAUSES if performance.value < expect else "check that these are the images that you expected it on"
    return check("expected", "warn", f"{text} where {number(expect)} was expected; {causes}", performance.value)


# The images and the provenance.


def digests_of(prepared: PreparedAudit) -> Sequence[str]:
    """Return the hash of every image file; empty for synthetic images."""
    return () if prepared.population.dataset is None else prepared.population.dataset.digests


def image_keys(prepared: PreparedAudit, images: Environment) -> list[str]:
    """Return the name of each image: the hash of its file, or of the generator with the row."""
    digests, rows = digests_of(prepared), images.table.row.tolist()
    identity = content_hash(prepared.scene.identity("all"))
    return [str(digests[row] if digests else f"{identity} {row}") for row in rows]


def image_rows(prepared: PreparedAudit, images: Environment) -> list[Row]:
    """Return rows of `tables.AUDITED_IMAGES`."""
    table, keys = images.table, image_keys(prepared, images)
    rows = zip(table.row.tolist(), keys, table.target.tolist(), table.patient.tolist(), group_names(table), strict=True)
    return [
        {"row": row, "key": key, "class": table.classes[code], "patient": patient, "groups": groups}
        for row, key, code, patient, groups in rows
    ]


def provenance_rows(prepared: PreparedAudit, predictions: StoredPredictions, reference: Reference | None) -> list[Row]:
    """Return rows of `schema.PROVENANCE`."""
    folder, request, sizes, scored = (
        predictions.folder,
        predictions.plan.request,
        predictions.plan.sizes,
        predictions.clean,
    )
    record, card = folder.record("models", prepared.model.id), prepared.population.card
    provenance = read_provenance(folder.unit("models", prepared.model.id))
    classes = np.bincount(scored.table.target, minlength=len(scored.table.classes))
    plain = "0..255, the input is of whole numbers" if prepared.model.origin.facts.integer else "0..1"
    facts = {
        "model": str(record["name"]),
        "file": PurePath(request.model).name if isinstance(request.model, str) else "",
        "kind": str(record["kind"]),
        "positive class": positive_words(scored.table.classes),
        **card.read,
        "hash of the model": prepared.model.content,
        "data": card.name,
        "source": card.source,
        "license": card.license,
        DRAWN_BY: card.name if prepared.population.dataset is None else "",
        "known faults": "; ".join(card.known_faults),
        "rows left out": f"{len(card.left_out)} rows" if card.left_out else "",
        "classes": ", ".join(f"{name} ({n:,})" for name, n in zip(scored.table.classes, classes, strict=True)),
        "patients": f"{len(np.unique(scored.table.patient)):,}",
        "intervals over": "patients" if prepared.request.data.patient else "images",
        "images": f"{sizes.clean_images:,} of {sizes.total:,}",
        "images under marks": f"{sizes.marked_images:,}",
        "size": f"{prepared.model.inputs.size} px, fit {prepared.request.data.fit}",
        "scaling": prepared.config.scaling(request.normalization)
        if prepared.config
        else request.normalization or plain,
        "scores": prepared.scores or prepared.model.scores,
        "outputs": prepared.outputs,
        "output": output_words(prepared.model),
        "threshold": f"{scored.threshold:.6g}",
        "margin": f"{request.margin:g}",
        "domain": request.domain,
        "intended use": request.intended_use,
        TRAINING_COLUMNS: ", ".join(balanced_columns(request.data, request.train)) if request.train else "",
        "references": "" if reference is None else f"{reference.networks} networks",
        "references read": "" if reference is None or not reference.side else f"{reference.side} px",
        "references trained on": f"{n:,} images" if (n := trained_on(request.references)) else "",
        "command": request.line,
        "probed": provenance.get("started", ""),
        "python": provenance.get("python", ""),
        **provenance.get("libraries", {}),
    }
    return [{"key": key, "value": value} for key, value in facts.items() if value]


# Pictures.


def write_mark(folder: RunFolder, name: str, clean: Environment, with_mark: Environment) -> None:
    """Write images without (left) and with the mark, one pair below the other; the file's name is the mark's."""
    index = np.arange(min(IMAGES_PER_PICTURE, len(clean)))
    pairs = [
        np.concatenate([to_colors(a), to_colors(b)], axis=1)
        for a, b in zip(clean.images.read(index).numpy(), with_mark.images.read(index).numpy(), strict=True)
    ]
    _write(folder, f"{picture_name(name)}.png", np.concatenate(pairs, axis=0))


def write_region(
    folder: RunFolder, images: Environment, region: Region, carry: Bool[np.ndarray, " n"], name: str
) -> None:
    """Write pictures of a region: the means of both groups of images, their difference, and three images of each.

    Of a shape at changing places there are no means. They show the region with half of its height and width around it
    on each side, as far as the image goes.

    Args:
        folder: The run folder.
        images: The images that were searched.
        region: The region.
        carry: Whether each image carries something in the region that the others lack.
        name: Name of the search, in the names of the files.
    """
    pixels = images.images.read(np.arange(len(images))).numpy()
    where, parts = region.pixel_mask(*pixels.shape[2:]), dict[str, np.ndarray]()
    if where is not None:
        sides = [np.flatnonzero(where.any(axis=axis)) for axis in (1, 0)]
        rows, columns = (slice(max(0, side[0] - len(side) // 2), side[-1] + 1 + len(side) // 2) for side in sides)
        pictured = pixels[:, :, rows, columns]
        means = [pictured[group].mean(axis=0) for group in (carry, ~carry)]
        parts |= {"with": means[0], "without": means[1], "difference": 0.5 + (means[0] - means[1]) / 2}
    for side, group in (("with", carry), ("without", ~carry)):
        parts |= {
            f"{side} {at + 1}": pixels[image] for at, image in enumerate(np.flatnonzero(group)[:IMAGES_PER_GROUP])
        }
    for part, picture in parts.items():
        _write(folder, f"{REGION_PREFIX} {name} {part}.png", to_colors(picture))


def _write(folder: RunFolder, name: str, pixels: np.ndarray) -> None:
    write_whole(folder.root / "pictures" / name, partial(Image.fromarray(pixels).save, format="PNG"))
