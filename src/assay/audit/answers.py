"""What follows from the answers that an audit kept: verdicts, effects, losses, and how the model is read."""

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
from assay.audit.checks import FITS, misread, output_words
from assay.audit.model import CAUSES, PreparedAudit, signs
from assay.audit.page import EXAMPLES, EXAMPLES_OF_REGION, REGION, picture_name
from assay.audit.plan import AuditPlan, NeutralizedRegions, PlannedReading
from assay.audit.references import trained_on
from assay.audit.remedy.tables import balanced_columns
from assay.audit.scored import (
    OF_EACH_IMAGE,
    ScoredImages,
    ScoredMaps,
    better,
    check,
    comparable,
    distorted_row,
    effect_row,
    group_names,
    not_tested_row,
    threshold_of,
    verdict_row,
)
from assay.audit.search.regions import Region
from assay.audit.search.words import DRAWN_BY, TRAINING_COLUMNS
from assay.audit.swing import MUCH, Effect
from assay.audit.tables import DOSES
from assay.audit.verdicts import AuditDecision, OpenQuantity, Reference, decide_mark, is_settled
from assay.core.errors import ReadingError, SpecError, key_text, shorten
from assay.core.files import content_hash, write_whole
from assay.core.reasons import Reason, reason_in_words
from assay.data.files.classes import positive_words
from assay.execution.jobs import stored_reading
from assay.execution.workspace import kept_provenance
from assay.report.pictures import to_colors
from assay.report.sentences.scores import constant
from assay.shifts.environment import Environment
from assay.stats.bounds import MARGIN
from assay.stats.format import join_words, number
from assay.stats.metrics import log_odds
from assay.stats.rows import MOVING, Verdict
from assay.store.files import Row, read_checked_json
from assay.store.folder import RunFolder

_MEASURED = 16
"""Images in which the gray value of a mark is measured."""
SAME = 1e-4
"""Two readings of one image may differ by so much of a log-odds."""


@dataclass(frozen=True, eq=False)
class StoredAnswers:
    """The answers that an audit kept.

    Attributes:
        folder: The run folder.
        plan: What is read.
        threshold_of_model: The model's own threshold, if it has one.
        short: Whether doses that cannot change a verdict are left out.
        is_calibrated: Whether the scores are probabilities on any scale.
    """

    folder: RunFolder
    plan: AuditPlan
    threshold_of_model: float | None
    short: bool
    is_calibrated: bool = True

    def read(self, shot: PlannedReading, threshold: float) -> ScoredImages:
        """Return the answers to some images. Raises ReadingError where reading failed."""
        if not self.folder.complete("readings", shot.id):
            raise ReadingError(read_checked_json(self.folder.failure_path(shot.id))["text"])
        outputs = stored_reading(self.folder.outputs(shot.id))
        if self.plan.asked.task == "segmentation":
            return ScoredMaps.of(shot.table, outputs.maps)
        return ScoredImages(shot.table, outputs.logits, threshold, self.is_calibrated)

    @cached_property
    def clean(self) -> ScoredImages:
        """The answers to images without changes, at the threshold that they set."""
        raw = self.read(self.plan.clean, 0.5)
        if isinstance(raw, ScoredMaps):
            return raw
        return self.read(
            self.plan.clean, threshold_of(self.plan.asked.threshold, raw.logits, raw.table, self.threshold_of_model)
        )

    @cached_property
    def sample(self) -> ScoredImages:
        """Those of the images that get marks."""
        return self.clean.take(self.plan.sample)

    def answers_for(self, shot: PlannedReading) -> ScoredImages:
        """Return the answers to some images. Raises ReadingError where there are none."""
        return self.read(shot, self.clean.threshold)

    # Marks and distortions.

    def doses_needed(self, mark: AuditedMark) -> tuple[int, ...]:
        """Return the doses that decide on a mark, by position. Raises ReadingError where the first was not read."""
        shots, every = self.plan.marks[mark.name], tuple(range(len(DOSES)))
        deciding = self.sample.effect(self.answers_for(shots[DECIDING]), DOSES[DECIDING])
        return (DECIDING,) if self.short and is_settled(deciding, self.plan.asked.margin) else every

    def moves(self, mark: AuditedMark) -> bool:
        """Return whether a mark changes answers as it is drawn. Raises ReadingError where it was not read."""
        deciding = self.sample.effect(self.answers_for(self.plan.marks[mark.name][DECIDING]), DOSES[DECIDING])
        return decide_mark([deciding], 0, self.plan.asked.margin).verdict in MOVING

    def decide_on_mark(self, mark: AuditedMark, reference: Reference | None) -> tuple[AuditDecision, list[Effect]]:
        """Decide on a mark as it is drawn. Raises ReadingError where it was not read."""
        doses, shots = self.doses_needed(mark), self.plan.marks[mark.name]
        effects = [self._effect(mark, shots[at], DOSES[at]) for at in doses]
        limit = reference and reference.limit(mark.name)
        return decide_mark(effects, doses.index(DECIDING), self.plan.asked.margin, limit), effects

    def _effect(self, mark: AuditedMark, shot: PlannedReading, dose: str) -> Effect:
        """Return the effect of a mark, one of two where it was also tried at other places."""
        return replace(
            self.sample.effect(self.answers_for(shot), dose),
            chances=2 if self.plan.counts.placement_passes and mark.places else 1,
        )

    def strongest_places(self, mark: AuditedMark, neutralized: NeutralizedRegions | None) -> tuple[str, str] | None:
        """Return where each half of the patients has a mark; None where no place was tried.

        It is the place with the largest mean change of scores in the other half, so that the choice adds nothing to
        the effect. Raises ReadingError where places were not read.
        """
        plan, shot, places = self.plan, self.plan.placement_reading(mark), list(mark.places)
        if shot is None:
            return None
        before, after = (
            self._unmarked_answers(neutralized).scores[plan.placement_rows],
            self.answers_for(plan.neutralize(shot, neutralized)).scores,
        )
        moved = np.abs(after.reshape(len(places), *before.shape) - before).max(axis=2)
        second = plan.second[plan.placement_rows]
        first, other = (places[int(moved[:, half].sum(axis=1).argmax())] for half in (second, ~second))
        return first, other

    def _unmarked_answers(self, neutralized: NeutralizedRegions | None) -> ScoredImages:
        return (
            self.sample
            if neutralized is None
            else self.answers_for(self.plan.neutralize(self.plan.unmarked_shot, neutralized))
        )

    def _keeps_effect(self, shot: PlannedReading, neutralized: NeutralizedRegions | None) -> bool:
        """Return whether half of the mean change of scores by a mark stays where the leading region is held."""
        with suppress(ReadingError):
            moved = [
                self.answers_for(self.plan.neutralize(shot, hold)).scores - self._unmarked_answers(hold).scores
                for hold in (None, neutralized)
            ]
            changes = [float(np.abs(change).mean()) for change in moved]
            return changes[1] >= changes[0] / 2
        return True

    def verdict_on_mark(
        self, mark: AuditedMark, reference: Reference | None, neutralized: NeutralizedRegions | None
    ) -> tuple[Row, list[Row]]:
        """Return a row of `tables.VERDICTS` and rows of `audit_tables.EFFECTS`.

        The verdict is the more harmful one of the mark as it is drawn and at the place with most effect, without those
        that the leading region explains where another one is left. It explains every mark within it, since that is the
        place that the answer names; such a mark has no sentence of its own, but keeps its verdict, for policies too.

        Args:
            mark: The mark.
            reference: Clean networks, in which it is as it is drawn.
            neutralized: The leading region.
        """
        component, shot, drawings = mark.doses[DECIDING].label, self.plan.marks[mark.name][DECIDING], [mark.drawing]
        try:
            decided, effects = self.decide_on_mark(mark, reference)
        except ReadingError as error:  # such as NaN under this mark alone
            return not_tested_row(mark.name, "mark", reason_of_error(error), component), []
        drawings.append(_mean_gray(self.plan.before, shot.images()))
        arms = [(decided, "", shot)]
        with suppress(ReadingError):
            if chosen := self.strongest_places(mark, neutralized):
                shot = self.plan.images_with(mark, chosen)
                decision_elsewhere = decide_mark([self._effect(mark, shot, DOSES[DECIDING])], 0, self.plan.asked.margin)
                arms.append((decision_elsewhere, " or ".join(dict.fromkeys(chosen)), shot))
                drawings.append(f"tried at {len(mark.places)} places")
        arms_decided = [
            (decided, place, decided.verdict in MOVING and not self._keeps_effect(shot, neutralized))
            for decided, place, shot in arms
        ]
        chosen_arm, place, explained = min(arms_decided, key=lambda arm: _harm(arm[0], arm[2]))
        row = {**verdict_row(mark.name, "mark", chosen_arm, component, mark.family), "place": place,
               "drawn": ", ".join(filter(None, drawings)), "look": mark.look(place),
               "explained": explained}  # fmt: skip
        if place and decided.limit is not None and chosen_arm.verdict == Verdict.AFFECTED:
            row["open"] = str(OpenQuantity.PLACE)
        other_rows = [{**effect_row(mark.name, decision.effect), "place": where} for decision, where, _ in arms[1:]]
        return row, [*({**effect_row(mark.name, effect), "place": ""} for effect in effects), *other_rows]

    def distortions(self) -> Iterator[Row]:
        """Yield rows of `tables.DISTORTED`."""
        for family, shots in self.plan.distortions.items():
            for shot in shots:
                try:
                    effect = self.sample.effect(self.answers_for(shot), shot.dose)
                except ReadingError as error:
                    yield {
                        "factor": family,
                        "severity": int(shot.dose),
                        "decision": "not-tested",
                        "reason": str(reason_of_error(error)),
                        "images": 0,
                        "patients": 0,
                    }
                    break
                yield distorted_row(family, int(shot.dose), effect, self.plan.asked.margin)

    # Whether the model is read rightly.

    def checks(
        self,
        again: PlannedReading | None,
        others: Mapping[str, PlannedReading],
        doubts: tuple[str, ...],
        own_scaling: bool,
    ) -> list[Row]:
        """Return rows of `tables.AUDIT_CHECKS` on how the model is read.

        Args:
            again: Some of the images, read a second time; None where answers are in files.
            others: The same images at other scalings and framings.
            doubts: Assumptions that were made.
            own_scaling: Whether the model scales its images itself.

        Raises:
            SpecError: The model gives all images the same answer, or another scaling is better.
        """
        scored, request = self.clean, self.plan.asked
        sentences = [] if request.task == "segmentation" else signs(scored.logits, scored.table, scored.threshold, None)
        rows = [check("reading", "warn", sentence) for sentence in (*doubts, *sentences)]
        if request.expect is not None:
            rows.append(_expectation_check(scored, request.expect))
        spread = float(np.ptp(log_odds(scored.logits), axis=0).max())
        if constant(scored.logits):
            raise SpecError(
                f"the model gives all images the same output; check size, framing and {key_text('--scaling')}"
            )
        if again is None:
            rows.append(check("repeatable", "not-done", "the model was not run twice: its scores are in files"))
        else:
            twice = self.answers_for(again).scores
            moved = float(np.abs(twice - scored.scores[: len(twice)]).max())
            alike = moved <= SAME * max(1.0, spread)
            status, text = (
                ("ok", "gives the same scores to the same images")
                if alike
                else ("warn", "gives different scores to the same images on a second reading")
            )
            rows.append(check("repeatable", status, f"the model {text}", moved))
        return [*rows, *self._ranking(others, own_scaling)]

    def _ranking(self, others: Mapping[str, PlannedReading], own_scaling: bool) -> Iterator[Row]:
        """Yield how good the answers are, and whether another reading is much better. Raises SpecError where one is."""
        if self.clean.quality is None:
            yield check("scaling", "not-done", "other scalings are compared with lesions only")
            return
        measure, performance = self.clean.quality
        status = "ok" if performance.low > self.clean.chance else "warn"
        yield check("ranking", status, f"{measure} on these images", performance.value, measure)
        before, after, unreadable = (
            self.clean.take(self.plan.compared_positions),
            dict[str, ScoredImages](),
            list[str](),
        )
        for name, shot in others.items():
            try:
                after[name] = self.answers_for(shot)
            except ReadingError:  # such as NaN
                unreadable.append(name)
        better_reading = better(before, after, self.plan.halves)
        if better_reading is not None:
            name, order, gain = better_reading
            best = {"": before, **after}[name].reorder(order).quality
            assert before.quality is not None
            assert best is not None
            logits = self.clean.logits
            pair = logits[:, 0].any() and not np.allclose(np.logaddexp(*logits[:, :2].T), 0, atol=1e-3)
            texts = misread(
                measure, before.quality[1].value, best[1].value, name, order, before.table.classes, bool(pair)
            )
            is_doubtful = name in OF_EACH_IMAGE and gain.low <= 2 * MUCH  # it may help a model that is read rightly
            if not (self.plan.asked.as_given or is_doubtful):
                raise SpecError(texts[0])
            yield check("scaling", "warn", texts[1], best[1].value, measure)
        elif own_scaling or not others or not comparable(before, self.plan.halves):
            reason = "the model scales its images itself" if own_scaling else "one half of the patients lacks a class"
            reason = "too few images have a lesion" if measure == "Dice" and not own_scaling else reason
            yield check("scaling", "not-done", f"other scalings were not compared: {reason}")
        elif unreadable:
            yield check(
                "scaling", "not-done", f"not compared, without usable scores: images read as {join_words(unreadable)}"
            )
        else:
            framed = " or framing" if any(name in FITS for name in others) else ""
            yield check("scaling", "ok", f"no other usual scaling{framed} gives a much higher {measure}")


def reason_of_error(error: Exception) -> Reason:
    """Return why something was not tested, in the words of an error."""
    return reason_in_words(shorten(str(error), 200))


def _harm(decided: AuditDecision, explained: bool) -> tuple[bool, bool, int, float]:
    """Return a key by which the more harmful decision is first, of two effects the larger."""
    size = abs(decided.effect.largest.g.value) if decided.verdict in (Verdict.RELIES, Verdict.AFFECTED) else 0.0
    last = explained and decided.verdict != Verdict.RELIES
    return decided.verdict not in MOVING, last, list(Verdict).index(decided.verdict), -size


def _mean_gray(without: Environment, marked: Environment) -> str:
    """Return the mean gray value of what a mark covers; empty of a change of most of the image."""
    rows = np.arange(min(_MEASURED, len(without)))
    off, on = (environment.images.read(rows).numpy() for environment in (without, marked))
    changed = np.abs(on - off) > 1 / 256
    return f"gray value {on[changed].mean():.2f}" if 0 < changed.mean() < 0.5 else ""


def _expectation_check(scored: ScoredImages, expect: float) -> Row:
    """Return the check of what the user knows of the model: far where outside the interval and 0.05 or more away."""
    if scored.quality is None or len(scored.table.classes) != 2:
        return check("expected", "not-done", "an expectation is compared for two classes, or with lesions, only")
    measure, performance = scored.quality
    text = f"the {measure} is {number(performance.value)} [{number(performance.low)}, {number(performance.high)}]"
    if performance.low <= expect <= performance.high or abs(performance.value - expect) < MARGIN:
        return check("expected", "ok", f"{text}, as expected ({number(expect)})", performance.value)
    causes = CAUSES if performance.value < expect else "check that these are the images that you expected it on"
    return check("expected", "warn", f"{text} where {number(expect)} was expected; {causes}", performance.value)


# The images, and where everything comes from.


def digests_of(prepared: PreparedAudit) -> Sequence[str]:
    """Return the hash of every file; nothing of phantoms."""
    return () if prepared.population.dataset is None else prepared.population.dataset.digests


def image_keys(prepared: PreparedAudit, images: Environment) -> list[str]:
    """Return a name of every image by its content."""
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


def provenance_rows(prepared: PreparedAudit, answers: StoredAnswers, reference: Reference | None) -> list[Row]:
    """Return rows of `schema.PROVENANCE`."""
    folder, request, counts, scored = answers.folder, answers.plan.asked, answers.plan.counts, answers.clean
    record, card = folder.record("models", prepared.model.id), prepared.population.card
    provenance = kept_provenance(folder.unit("models", prepared.model.id))
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
        "images": f"{counts.clean_images:,} of {counts.total:,}",
        "images under marks": f"{counts.marked_images:,}",
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
    index = np.arange(min(EXAMPLES, len(clean)))
    pairs = [
        np.concatenate([to_colors(a), to_colors(b)], axis=1)
        for a, b in zip(clean.images.read(index).numpy(), with_mark.images.read(index).numpy(), strict=True)
    ]
    _write(folder, f"{picture_name(name)}.png", np.concatenate(pairs, axis=0))


def write_region(
    folder: RunFolder, images: Environment, region: Region, carry: Bool[np.ndarray, " n"], name: str
) -> None:
    """Write pictures of a region: the mean of the images that carry something there and of the others, their
    difference, and three images of each. Of a shape at changing places there are no means.

    A region that does not span the image is shown with as much around it on each side.
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
            f"{side} {at + 1}": pixels[image] for at, image in enumerate(np.flatnonzero(group)[:EXAMPLES_OF_REGION])
        }
    for part, picture in parts.items():
        _write(folder, f"{REGION} {name} {part}.png", to_colors(picture))


def _write(folder: RunFolder, name: str, pixels: np.ndarray) -> None:
    write_whole(folder.root / "pictures" / name, partial(Image.fromarray(pixels).save, format="PNG"))
