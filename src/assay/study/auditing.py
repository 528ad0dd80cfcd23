"""Audit a model: what its answers change with, on the user's own images."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from PIL import Image

from assay.analysis.audit import (
    Scored,
    ScoredMaps,
    by_harm,
    column_rows,
    distorted_row,
    effect_row,
    group_names,
    not_tested_row,
    of_columns,
    verdict_row,
)
from assay.analysis.leads import foremost, leads_of_images
from assay.analysis.pictures import colored
from assay.analysis.shortcuts import shortcut_rows
from assay.core.errors import DataError, SpecError, cut
from assay.core.files import content_hash, write_whole
from assay.core.reasons import Code, because, stated
from assay.core.seeds import row_uniform
from assay.core.types import FactorTable
from assay.data.cache import Notify, silent
from assay.data.dataset import Images
from assay.execution.device import computing_on
from assay.execution.jobs import kept_provenance
from assay.models.ref import Origin
from assay.probes.probe import Read, Request
from assay.probes.reader import ModelReading, ReadingError, evaluating, log_odds
from assay.report.audit_cards import write_cards
from assay.report.audit_page import picture_name
from assay.report.leads import MEAN
from assay.report.page import write_page
from assay.shifts.battery import DECIDING, DETAIL, DOSES, SEVERITIES, AuditedMark, battery, every_distortion, marks_of
from assay.shifts.distortions.base import SEVERITIES as EVERY_SEVERITY
from assay.shifts.distortions.base import distorted
from assay.shifts.environment import Environment, PickedImages, PickedMasks
from assay.shifts.intervention import unchanged
from assay.shifts.sampling import TEST_SEED
from assay.shifts.scene import switched
from assay.spec.schema import InterventionSpec
from assay.stats.format import number
from assay.stats.swing import ALPHA, Effect
from assay.stats.verdicts import MARGIN, Reference, decide_mark, settled
from assay.store import schema
from assay.store.audit_tables import ANSWERS, AUDIT_TABLES
from assay.store.files import Row, read_checked_json, write_checked_json
from assay.store.folder import AUDIT, RunFolder, working_in
from assay.store.verdicts_file import write_verdicts
from assay.study.audit import KeptAnswers, OfTraining, Prepared, Settings, keep_model, prepare_model
from assay.study.audit_data import check, data_checks
from assay.study.audit_request import BUDGET, Asked
from assay.study.inside import inside_rows
from assay.study.leads import (
    MOST_EXCHANGED,
    PASSES,
    UNALIGNED,
    ExchangeTest,
    center_of,
    limits_of,
    measured,
    not_exchanged,
    plan_exchange,
)
from assay.study.outside import CAUSES, signs
from assay.study.reading import (
    FITS,
    LOOKED,
    SCALINGS,
    ReadAs,
    alternatives,
    framings,
    misread,
    operating_point,
    output_words,
    threshold_of,
    with_outputs,
)
from assay.study.references import (
    read_places,
    read_reference,
    shipped_places,
    shipped_rates,
    shipped_reference,
    trained_on,
)

PICTURES = "pictures"
"""Kind of origin of a model that takes pictures from a folder."""
MOST_PASSES = 15_000
"""Images that are put through the model at most within `BUDGET`."""
LEAST = 30
"""Images that are audited at least, however slow the model."""
_TIMED = 16
_COMPARED = 200
"""Images on which other scalings are tried."""
_GAIN = 0.03
"""AUROC by which another scaling must be better to stop the audit."""
SAME = 1e-4
"""Two readings of one image may differ by so much of a log-odds."""
_AT_ONCE = 1 << 26
"""Pixels that are held at once."""
EXAMPLES = 2
"""Images that are shown without and with each mark."""


@dataclass(frozen=True)
class Planned:
    """How much is read, from a timed first batch.

    Attributes:
        all: Images in the data.
        clean: Images that are read without changes.
        marked: Images of these that are read under every mark and distortion.
        marks: Number of marks.
        distortions: Number of distortions.
        severities: Number of severities of each.
        seconds_each: Seconds that one image takes.
        exchanged: Images of the exchange test.
        donors: Donors of each class for each of these.
    """

    all: int
    clean: int
    marked: int
    marks: int
    distortions: int
    severities: int
    seconds_each: float
    exchanged: int = 0
    donors: int = 0

    @property
    def passes(self) -> int:
        """Images put through the model."""
        exchanged = self.exchanged * self.donors * PASSES
        return self.clean + self.marked * (self.marks * len(DOSES) + self.distortions * self.severities) + exchanged

    @property
    def seconds(self) -> float:
        """Time that they take."""
        return self.passes * self.seconds_each


Say = Callable[[str], None]


def run_audit(
    origin: Origin,
    data: Mapping[str, Any],
    asked: Asked,
    *,
    name: str = "",
    device: str = "cpu",
    skip_bad_rows: bool = False,
    environment: Mapping[str, Any] | None = None,
    out: Path | None = None,
    dry_run: bool = False,
    most: int | None = None,
    notify: Notify = silent,
    say: Say = lambda text: None,
) -> Path | Planned:
    """Audit a model and write its tables, `verdicts.json` and page. Answers that are kept are not read again.

    Args:
        origin: The model.
        data: As `data` of a study; all rows are tested.
        asked: What to do.
        name: Name of the model on the page.
        device: Device of a model from a file.
        skip_bad_rows: Leave out rows that cannot be read.
        environment: What images are shown, as an environment of a study; all of them as they are where None.
        out: The run folder.
        dry_run: Return the plan, and read no more than the first images.
        most: Images that are read at most, without the exchange test, in place of a plan from a timed batch.
        notify: Callback for images while they are read.
        say: Callback for each step.

    Returns:
        The run folder, or the plan of a dry run.

    Raises:
        SpecError: The request is wrong, or the model seems to be read wrongly.
        DataError: Rows cannot be read, or all are of one class.
        ReadingError: The model cannot take the images, or gives no scores of the right shape.
        StoreError: The folder holds the audit of another model, target or images.
    """
    require_asked(asked)
    settings = Settings(
        name=name,
        seed=asked.seed,
        skip_bad_rows=skip_bad_rows,
        device=device,
        scaling=SCALINGS.get(asked.scaling),
        expect=asked.expect,
    )
    given = prepare_model(
        origin, data, ("performance",), {"all": environment or {}}, settings, task=asked.task, out=out, notify=notify
    )
    whole = given.scene.environment("all")
    require_fitting(asked, whole.table)
    given = with_outputs(given, whole, asked.output, asked.head, asked.scores)
    audited = _audited(given, whole)
    if out is None:
        given = replace(given, place=replace(given.place, root=given.place.cache / "audits" / audited))
    given.place.folder.require_audit_of(audited)
    with working_in(given.place.root), computing_on(given.device):
        audit = _Audit(given, whole, asked, audited, say, most)
        if dry_run:
            return audit.plan
        given.place.folder.remove_partial_files()
        audit.run()
    return given.place.root


def _audited(given: Prepared, whole: Environment) -> str:
    """Return the hash of the model, its output, the images and their classes, however they are read.

    An audit of the same is made again in its folder, as with another scaling or budget; one of others is refused.
    """
    model, dataset, table = given.model, given.population.dataset, whole.table
    digests: tuple[str, ...] = () if dataset is None else dataset.digests
    rows: list[int] = table.row.tolist()
    images = [digests[row] for row in rows] if digests else [given.scene.identity("all")]
    output = None if model.output is None else model.output.column
    return content_hash([model.origin.kind, model.origin.content, model.answers, model.task, output, *images,
                         list(table.classes), table.target.tolist()])  # fmt: skip


def require_asked(asked: Asked) -> None:
    """Raise SpecError where settings are out of range, or contradict each other."""
    if asked.threshold is not None:
        operating_point(asked.threshold)
    if asked.task == "segmentation" and (asked.threshold is not None or asked.output):
        raise SpecError("threshold, output: pixels of a segmentation are called at 0.5, and any kind of lesion counts")


def require_fitting(asked: Asked, table: FactorTable) -> None:
    """Check that images have the classes that an audit needs. Raises DataError, or SpecError for the threshold."""
    if asked.task == "classification":
        require_classes(table)
        if str(asked.threshold).startswith("sensitivity") and len(table.classes) != 2:
            raise SpecError("threshold: a sensitivity is of two classes; give a probability")


def require_classes(table: FactorTable) -> None:
    """Raise DataError unless there are two images of every class at least."""
    counts = {table.classes[int(code)]: int((table.target == code).sum()) for code in np.unique(table.target)}
    if len(counts) < 2:
        raise DataError(f"all {len(table):,} images are '{next(iter(counts))}': an audit needs images of every class")
    few = [f"{count} of '{one}'" for one, count in counts.items() if count < 2]
    if few:
        raise DataError(f"an audit needs at least 2 images of every class; there is {' and '.join(few)}")


# The images that an audit reads, which no answer of the model decides.


@dataclass(frozen=True)
class AuditedImages:
    """The images of an audit without and with changes.

    Attributes:
        whole: All images.
        asked: What to do.
        plan: How many are read.
    """

    whole: Environment
    asked: Asked
    plan: Planned

    @cached_property
    def clean(self) -> Environment:
        """The images that are read without changes, classes in equal parts as far as there are images."""
        return picked(self.whole, balanced(self.whole.table, self.plan.clean, self.asked.seed))

    @cached_property
    def sample(self) -> Int[np.ndarray, " m"]:
        """Positions in `clean` of the images that get marks."""
        return balanced(self.clean.table, self.plan.marked, self.asked.seed)

    @cached_property
    def before(self) -> Environment:
        """The images that get marks, without them."""
        return picked(self.clean, self.sample)

    def marked(self, mark: AuditedMark) -> list[Environment]:
        """Return the images with a mark, by its dose. Raises SpecError where it cannot be put on them."""
        return [
            switched(self.before, mark.name, InterventionSpec(component=one, share=0.5), "high", TEST_SEED)
            for one in mark.doses
        ]

    def distorted(self, family: str, severity: int) -> Environment:
        """Return the images with a distortion. Raises SpecError where it cannot be put on them."""
        return replace(distorted(self.before, family, severity), masks=self.before.masks)

    def all(self) -> Iterator[Environment]:
        """Yield all images that an audit without an exchange test reads, some of them more than once."""
        yield picked(self.whole, np.arange(min(LOOKED, len(self.whole))))
        yield self.clean
        marks, distortions = battery_of(self.asked, self.whole)
        for mark in marks:
            with suppress(SpecError):
                yield from self.marked(mark)
        for family in distortions:
            with suppress(SpecError):
                yield from (self.distorted(family, severity) for severity in severities_of(self.asked))


def battery_of(asked: Asked, whole: Environment) -> tuple[tuple[AuditedMark, ...], tuple[str, ...]]:
    """Return the marks and distortions of an audit."""
    marks, distortions = battery(asked.domain, whole.images.shape[0])
    if asked.full:
        distortions = every_distortion(asked.domain, whole.images.shape[0])
    if asked.marks is not None:
        marks = marks_of(asked.marks)
    return marks, distortions if asked.distortions is None else asked.distortions


def severities_of(asked: Asked) -> tuple[int, ...]:
    """Return the severities of each distortion."""
    return EVERY_SEVERITY if asked.full else SEVERITIES


def planned(
    asked: Asked, whole: Environment, most: int, each: float = 0.0, exchanged: int = 0, donors: int = 0
) -> Planned:
    """Return how many images are read of at most so many.

    Args:
        asked: What to do.
        whole: All images.
        most: Images that are read at most, without the exchange test.
        each: Seconds that one takes.
        exchanged: Images of the exchange test.
        donors: Donors of each class for each of these.
    """
    n, (marks, distortions), severities = len(whole), battery_of(asked, whole), severities_of(asked)
    clean = min(n, max(LEAST, most // 3))
    times = max(1, len(marks) * len(DOSES) + len(distortions) * len(severities))
    marked = min(clean, max(LEAST, (most - clean) // times))
    return Planned(n, clean, marked, len(marks), len(distortions), len(severities), each,
                   min(exchanged, clean), donors)  # fmt: skip


# The audit itself.


@dataclass(frozen=True)
class _Audit:
    given: Prepared
    whole: Environment
    asked: Asked
    audited: str
    say: Say
    most: int | None = None

    @cached_property
    def plan(self) -> Planned:
        """Time a first batch, and choose how many images the budget allows."""
        if self.most is not None:
            return planned(self.asked, self.whole, self.most)
        first = picked(self.whole, np.arange(min(_TIMED, len(self.whole))))
        with self.given.model.opened(self.given.device) as opened, evaluating(opened.network), torch.inference_mode():
            images = first.images.read(np.arange(len(first))).to(self.given.device)
            opened.network(images)
            began = time.perf_counter()
            opened.network(images)
            each = (time.perf_counter() - began) / len(first)
        n, all_ = len(self.whole), self.asked.budget / max(each, 1e-9)
        able = 0 if self.asked.task == "segmentation" else min(n, MOST_EXCHANGED)
        exchanged, rounds = plan_exchange(int(all_ / 4), able) if self.asked.leads else (0, 0)
        most = int(min(all_ - exchanged * rounds * PASSES, MOST_PASSES * self.asked.budget / BUDGET))
        return planned(self.asked, self.whole, most, each, exchanged, rounds)

    @cached_property
    def battery(self) -> tuple[tuple[AuditedMark, ...], tuple[str, ...]]:
        """Marks and distortions."""
        return battery_of(self.asked, self.whole)

    @cached_property
    def plan_kept(self) -> Planned:
        """The plan, which a resumed audit takes from its folder: the machine's speed must not change results."""
        folder, model = self.given.place.folder, self.given.model
        identity = content_hash([model.content, self.given.scene.identity("all"), self.asked.budget, self.asked.seed,
                                 self.asked.leads, self.most, [one.name for one in self.battery[0]],
                                 self.battery[1]])  # fmt: skip
        path = folder.root / "plan" / f"{identity}.json"
        if path.is_file():
            return Planned(**read_checked_json(path))
        write_checked_json(path, {name: getattr(self.plan, name) for name in Planned.__dataclass_fields__})
        return self.plan

    @property
    def _shipped(self) -> bool:
        """Whether the shipped reference of the domain is used."""
        return self.asked.references is None and self.asked.shipped and self.asked.task == "classification"

    @cached_property
    def reference(self) -> Reference | None:
        """Clean networks that the audited one is compared with. Raises SpecError where there are too few.

        Where they read images of another size, marks of detail have no limit: a low-pass filter of 128 px removes
        other details than one of 64 px.
        """
        drawn = {mark.name: mark.doses[DECIDING].label for mark in self.battery[0]}
        if self.asked.references is None:
            found = shipped_reference(self.asked.domain, drawn) if self._shipped else None
        else:
            found = read_reference(self.asked.references, self.asked.domain, drawn, self.given.model.content)
        if found is None or found.side == self.given.model.inputs.size:
            return found
        detail = {mark.name for mark in self.battery[0] if mark.family == DETAIL}
        return replace(found, largest={mark: one for mark, one in found.largest.items() if mark not in detail})

    @property
    def _rates(self) -> list[Row]:
        """Error rates of the domain, which were measured at the default margin and with such a reference."""
        same = self.reference is not None and (self._shipped or trained_on(self.asked.references) > 0)
        return shipped_rates(self.asked.domain) if same and self.asked.margin == MARGIN else []

    @cached_property
    def images(self) -> AuditedImages:
        """The images that are read."""
        return AuditedImages(self.whole, self.asked, self.plan_kept)

    @property
    def clean(self) -> Environment:
        """The images that are read without changes."""
        return self.images.clean

    @cached_property
    def keep(self) -> KeptAnswers:
        """Answers that are kept in the run folder."""
        return KeptAnswers(self.given.place.folder, self.given.model, {}, self.given.device)

    def run(self) -> None:
        """Read, decide, and write everything."""
        began, plan, _ = time.time(), self.plan_kept, self.reference
        shutil.rmtree(self.given.place.root / "pictures", ignore_errors=True)  # those of an earlier audit
        self.say(f"{plan.clean:,} images, {plan.marked:,} of them under {plan.marks} marks at {len(DOSES)} doses")
        scored = self._scored(self.clean, {}, None)
        checks = list(self._checks(scored))
        self.given.place.folder.write_audited(self.audited)
        scored_sample = scored.take(self.images.sample)
        verdicts, effects = self._marks(scored_sample)
        more, groups, gaps = of_columns(scored, self.asked.margin)
        verdicts += more
        shortcuts = shortcut_rows(self.given.request, self.given.population)
        leads, exchanged = self._leads(scored, shortcuts)
        checks += list(data_checks(self.whole, self.clean, self.given, self.asked.train))
        keep_model(self.given.place, self.given.model, self.given.population, began, self.given.device)
        stamp = {"audit": content_hash([self.given.model.id, self.given.request.id, self.asked.seed])}
        write_audit(
            self.given.place.folder,
            stamp,
            {
                "verdicts": by_harm(verdicts),
                "leads": leads,
                "exchanged": exchanged,
                "inside": self._inside(),
                "effects": effects,
                "distorted": self._distortions(scored_sample),
                "groups": groups,
                "gaps": gaps,
                "checks": checks,
                "columns": column_rows(self.whole.table),
                "shortcuts": shortcuts,
                "images": self._images(),
                "answers": list(self._answers()),
                "rates": self._rates,
                "provenance": self._provenance(scored),
            },
        )

    # Reading.

    def _scored(self, environment: Environment, change: Mapping[str, Any], threshold: float | None) -> Scored:
        """Return answers to images, read where they are not kept, at the user's threshold where none is given."""
        return self._of(environment, self.keep.answers(environment, self._reading(environment, change)), threshold)

    def _reading(self, environment: Environment, change: Mapping[str, Any]) -> str:
        """Return the name of the answers to images."""
        rows = content_hash(environment.table.row.tolist())
        parts = {"model": self.given.model.content, "data": self.given.scene.identity("all"), "rows": rows, **change}
        return content_hash(parts)

    def _answers(self) -> Iterator[Row]:
        """Yield rows of `audit_tables.ANSWERS` of the answers that are kept."""
        sample = self.images.before
        read: list[tuple[str, str, str, str, str]] = [("", "clean", "", "", self._reading(self.clean, {}))]
        for mark in self.battery[0]:
            for dose, at in zip(DOSES, mark.doses, strict=True):
                id = self._reading(sample, {"mark": mark.name, "change": at.canonical()})
                read.append((mark.name, "mark", dose, json.dumps(at.canonical(), sort_keys=True), id))
        for family in self.battery[1]:
            for severity in severities_of(self.asked):
                id = self._reading(sample, {"distortion": [family, severity]})
                read.append((family, "distortion", str(severity), "", id))
        yield from (dict(zip(ANSWERS.names, row, strict=True)) for row in read
                    if self.given.place.folder.complete("readings", row[-1]))  # fmt: skip

    def _images(self) -> list[Row]:
        """Return rows of `audit_tables.AUDITED_IMAGES`."""
        groups = group_names(self.clean.table)
        table, dataset = self.clean.table, self.given.population.dataset
        identity = content_hash(self.given.scene.identity("all"))
        digests: tuple[str, ...] = () if dataset is None else dataset.digests
        rows: list[int] = table.row.tolist()
        keys = [digests[row] if digests else f"{identity} {row}" for row in rows]
        named = zip(rows, keys, table.target.tolist(), table.patient.tolist(), strict=True)
        return [{"row": row, "key": key, "class": table.classes[code], "patient": patient, "groups": own}
                for (row, key, code, patient), own in zip(named, groups, strict=True)]  # fmt: skip

    def _of(self, environment: Environment, read: Read, threshold: float | None) -> Scored:
        if self.asked.task == "segmentation":
            return ScoredMaps.of(environment.table, read.maps)
        if threshold is None:
            threshold = threshold_of(self.asked.threshold, read.logits, environment.table, self.given.model.threshold)
        return Scored(environment.table, read.logits, threshold)

    # Marks and distortions.

    def _marks(self, scored: Scored) -> tuple[list[Row], list[Row]]:
        verdicts: list[Row] = []
        effects: list[Row] = []
        for mark in self.battery[0]:
            component = mark.doses[DECIDING]
            self.say(f"mark {mark.name}")
            try:
                shown = self.images.marked(mark)
            except SpecError as error:
                verdicts.append(not_tested_row(mark.name, "mark", stated(cut(str(error), 200)), component.label))
                continue
            try:
                found = self._effects(scored, mark, shown)
            except ReadingError as error:  # such as NaN under this mark alone
                verdicts.append(not_tested_row(mark.name, "mark", stated(cut(str(error), 200)), component.label))
                continue
            limit = self.reference and self.reference.limit(mark.name)
            decided = decide_mark(list(found.values()), list(found).index(DECIDING), self.asked.margin, limit)
            verdicts.append({**verdict_row(mark.name, "mark", decided, component.label), "family": mark.family})
            effects += [effect_row(mark.name, one) for one in found.values()]
            self._picture(mark.name, self.images.before, shown[DECIDING])
        return verdicts, effects

    def _effects(self, scored: Scored, mark: AuditedMark, shown: Sequence[Environment]) -> dict[int, Effect]:
        """Return the effect of each dose, by its position.

        Where the budget is too short for all images, doses that cannot change the verdict are left out.
        """

        def effect(at: int) -> Effect:
            change = {"mark": mark.name, "change": mark.doses[at].canonical()}
            return scored.effect(self._scored(shown[at], change, scored.threshold), DOSES[at])

        deciding, plan = effect(DECIDING), self.plan_kept
        short = self.most is None and plan.marked < plan.all and not self.asked.full
        if short and settled(deciding, self.asked.margin):
            return {DECIDING: deciding}
        return {at: deciding if at == DECIDING else effect(at) for at in range(len(DOSES))}

    def _distortions(self, scored: Scored) -> list[Row]:
        rows: list[Row] = []
        for family in self.battery[1]:
            self.say(f"distortion {family}")
            for severity in severities_of(self.asked):
                change = {"distortion": [family, severity]}
                try:
                    after = self._scored(self.images.distorted(family, severity), change, scored.threshold)
                except (SpecError, ReadingError) as error:
                    rows.append({"factor": family, "severity": severity, "decision": "not-tested",
                                 "reason": str(stated(cut(str(error), 200))), "images": 0, "patients": 0})  # fmt: skip
                    break
                effect = scored.effect(after, str(severity))
                rows.append(distorted_row(family, severity, effect, self.asked.margin))
        return rows

    def _picture(self, name: str, clean: Environment, shown: Environment) -> None:
        """Write images without (left) and with the mark, one pair below the other; the file's name is the mark's."""
        path = self.given.place.root / "pictures" / f"{picture_name(name)}.png"
        if not self.asked.pictures:
            return
        index = np.arange(min(EXAMPLES, len(clean)))
        pairs = [np.concatenate([colored(a), colored(b)], axis=1) for a, b in
                 zip(clean.images.read(index).numpy(), shown.images.read(index).numpy(), strict=True)]  # fmt: skip
        image = Image.fromarray(np.concatenate(pairs, axis=0))
        write_whole(path, partial(image.save, format="PNG"))

    # Leads.

    def _leads(self, scored: Scored, predictors: Sequence[Row]) -> tuple[list[Row], list[Row]]:
        plan, asked = self.plan_kept, self.asked
        if not asked.leads:
            return [], []
        if asked.task == "segmentation":
            return [], [not_exchanged(because(Code.EXCHANGE_OF_CLASSES))]
        more = leads_of_images(scored, measured(self.clean), predictors, asked.seed, asked.margin)
        if self.most is not None:
            return foremost(list(more)), [not_exchanged(because(Code.EXCHANGE_IN_STEPS))]
        if plan.exchanged:
            self.say(f"exchange test on {plan.exchanged:,} images, {plan.donors} donors of each class")
        clean = picked(self.clean, balanced(self.clean.table, plan.exchanged, asked.seed))
        self._mean(clean)

        def read(exchanged: Environment, donors: np.ndarray) -> np.ndarray:
            change = {"exchange": exchanged.name, "donors": donors.tolist()}
            return self._scored(exchanged, change, scored.threshold).logits

        center, aligned = center_of(self.whole), asked.domain not in UNALIGNED
        test = ExchangeTest(clean, center, aligned, plan.donors, asked.seed, read)
        try:
            leads, exchanged = test.rows(limits_of(self._places(), center), asked.margin)
        except ReadingError as error:
            return foremost(list(more)), [not_exchanged(stated(cut(str(error), 200)))]
        return foremost([*leads, *more]), exchanged

    def _places(self) -> Iterable[Row]:
        """Return losses of reference networks in the exchange test."""
        if self.asked.references is not None:
            return read_places(self.asked.references, self.given.model.content)
        return shipped_places(self.asked.domain) if self.asked.shipped else ()

    def _inside(self) -> list[Row]:
        if self.asked.task == "segmentation":
            return []
        return inside_rows(self.given.model, self.clean, self.given.device, self.asked.seed)

    def _mean(self, clean: Environment) -> None:
        """Write the mean of images, on which the page draws the grid of the exchange test."""
        if self.asked.pictures and len(clean):
            parts = np.array_split(np.arange(len(clean)), 1 + len(clean) * math.prod(clean.images.shape) // _AT_ONCE)
            mean = sum(clean.images.read(part).sum(dim=0) for part in parts) / len(clean)
            assert isinstance(mean, torch.Tensor)
            image = Image.fromarray(colored(mean.numpy()))
            write_whole(self.given.place.root / "pictures" / MEAN, partial(image.save, format="PNG"))

    # Whether the model is read rightly.

    def _checks(self, scored: Scored) -> Iterator[Row]:
        table, logits = scored.table, scored.logits
        segments = self.asked.task == "segmentation"
        found = [] if segments else signs(logits, table, scored.threshold, None)
        for sentence in (*self.given.doubts, *found):
            yield check("reading", "warn", sentence)
        if self.asked.expect is not None:
            yield _expected(scored, self.asked.expect)
        spread = float(np.ptp(log_odds(logits), axis=0).max())
        if spread <= 1e-6 * max(1.0, float(np.abs(log_odds(logits)).max())):
            raise SpecError("the model gives all images the same output; check size, framing and --scaling")
        again = self._again(picked(self.clean, np.arange(min(LOOKED, len(table)))), scored.threshold)
        moved = float(np.abs(again.scores - scored.scores[: len(again.table)]).max())
        if moved > SAME * max(1.0, spread):
            yield check("repeatable", "warn", "the model answers the same images differently when asked again", moved)
        else:
            yield check("repeatable", "ok", "the model gives the same images the same answers", moved)
        yield from self._ranking(scored)

    def _again(self, environment: Environment, threshold: float) -> Scored:
        with self.given.model.opened(self.given.device) as opened:
            read = ModelReading(opened, [Request(environment)]).read(environment)
        return self._of(environment, read, threshold)

    def _ranking(self, scored: Scored) -> Iterator[Row]:
        """Yield the AUROC or Dice, and compare the scaling with the other usual ones.

        Raises:
            SpecError: One of them is better.
        """
        table, found = scored.table, scored.quality
        if found is None:
            yield check("scaling", "not-done", "other scalings are compared for two classes, or with lesions, only")
            return
        measure, whole = found
        flipped = measure == "AUROC" and whole.high < 0.5
        yield check("ranking", "warn" if flipped else "ok", f"{measure} on these images", whole.value)
        rows = balanced(table, _COMPARED, self.asked.seed)
        small, before = picked(self.clean, rows), scored.take(rows)
        given = before.quality
        better: dict[str, float] = {}
        # A network that Assay trained scales its images itself.
        # A model elsewhere reads pictures, which are the same for every scaling.
        origin = self.given.model.origin
        known = isinstance(origin, OfTraining) or origin.kind == PICTURES
        others: dict[str, Images] = {}
        if not known and given is not None:
            changes = alternatives(self.given.model.scaling, self.clean.images.shape[0])
            others = {name: ReadAs(small.images, change) for name, change in changes.items()}
            others |= framings(self.given, small.table.row.tolist()) if small.masks is None else {}
        for name, images in others.items():
            other = replace(small, name=f"({name})", images=images)
            try:
                after = self._scored(other, {"scaling": name}, scored.threshold)
            except (ReadingError, SpecError):  # such as NaN: the model was not trained so
                continue
            gain = before.gain(after, ALPHA / len(others))
            if gain.value >= _GAIN and gain.low > 0 and after.quality is not None:
                better[name] = after.quality[1].value
        if (better or flipped) and given is not None and not self.asked.as_given:
            raise SpecError(misread(measure, given[1].value, better, flipped))
        for name, value in better.items():
            yield check("scaling", "warn", f"with images read as {name} the {measure} is higher", value)
        if known:
            yield check("scaling", "ok", "the model scales its images itself")
        elif not better:
            framed = " or framing" if any(name in FITS for name in others) else ""
            yield check("scaling", "ok", f"no other usual scaling{framed} gives a higher {measure}")

    # Results.

    def _provenance(self, scored: Scored) -> list[Row]:
        given, plan = self.given, self.plan_kept
        record = given.place.folder.record("models", given.model.id)
        made = kept_provenance(given.place.folder.unit("models", given.model.id))
        counts = np.bincount(scored.table.target, minlength=len(scored.table.classes))
        facts = {
            "model": str(record["name"]),
            "kind": str(record["kind"]),
            "hash of the model": given.model.content,
            "data": given.population.card.name,
            "source": given.population.card.source,
            "license": given.population.card.license,
            "known faults": "; ".join(given.population.card.known_faults),
            "rows left out": f"{len(left_out)} rows" if (left_out := given.population.card.left_out) else "",
            "classes": ", ".join(f"{name} ({n:,})" for name, n in zip(scored.table.classes, counts, strict=True)),
            "patients": f"{len(np.unique(scored.table.patient)):,}",
            "patients named": "yes" if given.request.data.patient else "",
            "images": f"{plan.clean:,} of {plan.all:,}",
            "images under marks": f"{plan.marked:,}",
            "size": f"{given.model.inputs.size} px, fit {given.request.data.fit}",
            "scaling": self.asked.scaling or ("config" if given.config else "0..1"),
            "scores": given.model.scores,
            "output": output_words(given.model),
            "threshold": f"{scored.threshold:.6g}",
            "margin": f"{self.asked.margin:g}",
            "domain": self.asked.domain,
            "intended use": self.asked.intended_use,
            "references": "" if self.reference is None else f"{self.reference.networks} networks",
            "references read": "" if self.reference is None or not self.reference.side else f"{self.reference.side} px",
            "references trained on": f"{n:,} images" if (n := trained_on(self.asked.references)) else "",
            "probed": made.get("started", ""),
            "python": made.get("python", ""),
            **made.get("libraries", {}),
        }
        return [{"key": key, "value": value} for key, value in facts.items() if value]


def write_audit(folder: RunFolder, stamp: Mapping[str, str], tables: Mapping[str, Sequence[Row]]) -> None:
    """Write the tables of an audit, `verdicts.json` and the page."""
    with folder.tables_made_of(stamp):
        for name, table in AUDIT_TABLES.items():
            folder.write_table(name, table.names, tables[name])
    write_checked_json(folder.root / AUDIT, {"schema": schema.SCHEMA_VERSION, "stamp": stamp})
    write_verdicts(folder.root, tables)
    write_page(folder.root)
    write_cards(folder.root)


def _expected(scored: Scored, expect: float) -> Row:
    """Return the check of what the user knows of the model: far where outside the interval and 0.05 or more away."""
    if scored.quality is None:
        return check("expected", "not-done", "an expectation is compared for two classes, or with lesions, only")
    measure, found = scored.quality
    text = f"the {measure} is {number(found.value)} [{number(found.low)}, {number(found.high)}]"
    if found.low <= expect <= found.high or abs(found.value - expect) < MARGIN:
        return check("expected", "ok", f"{text}, as expected ({number(expect)})", found.value)
    causes = CAUSES if found.value < expect else "check that these are the images that you expected it on"
    return check("expected", "warn", f"{text} where {number(expect)} was expected; {causes}", found.value)


def balanced(table: FactorTable, most: int, seed: int) -> Int[np.ndarray, " m"]:
    """Choose rows, classes in equal parts as far as there are images, in ascending order.

    A smaller choice is part of a larger one.
    """
    if len(table) <= most:
        return np.arange(len(table))
    place = np.empty(len(table), dtype=np.int64)
    drawn = row_uniform(seed, "audit", table.row)
    for code in np.unique(table.target):
        own = np.flatnonzero(table.target == code)
        place[own[np.argsort(drawn[own], kind="stable")]] = np.arange(len(own))
    return np.sort(np.lexsort((drawn, place))[:most])


def picked(environment: Environment, rows: Int[np.ndarray, " m"]) -> Environment:
    """Return some rows of an environment with their masks at the size of the images."""
    boxes = None if environment.boxes is None else environment.boxes[rows]
    images = PickedImages(unchanged(environment.images), rows)
    return replace(environment, table=environment.table.take(rows), images=images, native=None,
                   masks=None if environment.masks is None else PickedMasks(environment.masks, rows),
                   lesions=None, millimeters=None, boxes=boxes)  # fmt: skip
