"""Compare two audits of the same images, paired by image."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from assay.audit.battery import DECIDING
from assay.audit.compare_page import PICTURES_SHOWN
from assay.audit.kind import AUDIT, AUDITS
from assay.audit.page import REGION_PREFIX, picture_name
from assay.audit.request import AuditsRequest
from assay.audit.scored import ScoredImages, ScoredMaps
from assay.audit.search.words import SEARCH_NAMES
from assay.audit.swing import (
    auroc_gain,
    effect_of_mark,
    group_swing_difference,
    mark_swing_difference,
    p_value_of_no_effect,
    swing_of_group,
)
from assay.audit.tables import COMPARED, DOSES, NOT_TESTED
from assay.core.errors import SpecError, StoreError, key_text, shorten, unknown_name
from assay.core.files import is_file, typed_path, write_bytes
from assay.core.reasons import Code, Reason
from assay.core.types import FactorTable
from assay.core.versions import OF_STATISTICS, time_and_versions
from assay.execution.jobs import stored_reading
from assay.execution.run import RunSteps, Tables
from assay.report.sentences.reading import KEYS
from assay.stats.bounds import ALPHA, BoundedEstimate
from assay.stats.compare import holm
from assay.stats.format import join_words
from assay.stats.metrics import auroc, score_names
from assay.stats.rows import leading_region, numeric
from assay.store.files import Row
from assay.store.folder import RunFolder, received_folder
from assay.store.layout import RUN
from assay.store.manifest import is_ours
from assay.store.soundness import Soundness

REGION_COLUMNS = ("of", "kind", "name", "bright", "discrete", "shape")
"""Columns of `tables.REGIONS` that name a region and its content."""
END_ALPHA = 0.025
"""Level of each end of a two-sided 95% interval."""


@dataclass(frozen=True)
class StoredAudit:
    """An audit with its stored predictions.

    Attributes:
        folder: Its run folder.
    """

    folder: RunFolder

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """The provenance."""
        return {str(row["key"]): str(row["value"]) for row in self.folder.table("provenance")}

    @cached_property
    def images(self) -> Mapping[str, Row]:
        """Images by the hash of their file; copies within a patient are numbered."""
        by_content: dict[str, Row] = {}
        for row in self.folder.table("images"):
            copies = 0
            while (key := f"{row['key']} {copies}") in by_content:
                copies += 1
            by_content[key] = row
        return by_content

    @cached_property
    def verdicts(self) -> Mapping[str, Row]:
        """Verdicts by factor."""
        return {row["factor"]: row for row in self.folder.table("verdicts")}

    @cached_property
    def readings(self) -> Mapping[tuple[str, str], Row]:
        """Readings by factor and dose; ("", "") are the images without changes."""
        return {
            (row["factor"], row["dose"]): row for row in self.folder.table("answers") if row["kind"] != "distortion"
        }

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of the scores; a number for one that no image has."""
        columns = self.folder.outputs(self.readings["", ""]["reading"])
        named = {int(row["row"]): str(row["class"]) for row in self.images.values()}
        names = {int(code): named[int(row)] for row, code in zip(columns["row"], columns["target"], strict=True)}
        return tuple(names.get(at, str(at)) for at in range(max(columns["logits"].shape[1], *(at + 1 for at in names))))

    def predictions_of(self, factor: str, dose: str) -> ScoredImages:
        """Return the stored predictions for images with a factor at a dose."""
        columns = self.folder.outputs(self.readings[factor, dose]["reading"])
        table = FactorTable(columns["row"], columns["target"], columns["patient"], self.classes)
        read = stored_reading(columns)
        if read.maps:
            return ScoredMaps.of(table, read.maps)
        return ScoredImages(table, read.logits, float(self.facts["threshold"]))


@dataclass(frozen=True)
class _SharedImages:
    """Two audits, and the images that both have.

    Attributes:
        a: The first.
        b: The second.
        common: Keys of images.
    """

    a: StoredAudit
    b: StoredAudit
    common: tuple[str, ...]

    def pair(self, factor: str, dose: str) -> tuple[ScoredImages, ScoredImages]:
        """Return predictions of both for the same images, in the same order, with the patients of the first."""
        first, second = (audit.predictions_of(factor, dose) for audit in (self.a, self.b))
        position_of_row = [{int(row): at for at, row in enumerate(scored.table.row)} for scored in (first, second)]
        rows = [[int(audit.images[key]["row"]) for key in self.common] for audit in (self.a, self.b)]
        positions_of_common = [
            (position_of_row[0][x], position_of_row[1][y])
            for x, y in zip(*rows, strict=True)
            if x in position_of_row[0] and y in position_of_row[1]
        ]
        positions = np.array(positions_of_common, dtype=np.int64).reshape(-1, 2)
        return first.take(positions[:, 0]), second.take(positions[:, 1])


@dataclass(frozen=True)
class AuditsRun(RunSteps):
    """A comparison of two audits as a `Run` without tasks.

    Attributes:
        request: The request.
        rows: Rows of `compare_audits`.
    """

    request: AuditsRequest
    rows: Sequence[Row]
    kind = AUDITS

    def conclude(self, folder: RunFolder) -> Tables:
        """Return the differences, and the names of the audits; write pictures of regions."""
        read = StoredAudit(RunFolder(self.request.a)).facts
        unit = read["intervals over"]
        facts = {
            **dict(zip(("first", "second"), self.request.names, strict=True)),
            "intervals over": unit,
            "folders": f"{typed_path(self.request.a)} {typed_path(self.request.b)}",
            **{key: read[key] for key in KEYS if key in read},
            **time_and_versions(OF_STATISTICS),
        }
        rows = self.rows if unit == "patients" else [{**row, "patients": 0} for row in self.rows]
        pictures = folder.root / "pictures"
        shutil.rmtree(pictures, ignore_errors=True)  # those of an earlier comparison
        names = [
            f"{REGION_PREFIX} {picture_name(row['factor'])} {name}.png"
            for row in self.rows
            if row["kind"] == "region"
            for name in PICTURES_SHOWN
        ]
        for side, audit in (("a", self.request.a), ("b", self.request.b)):
            for name in names:
                with suppress(FileNotFoundError):
                    write_bytes(pictures / f"{side} {name}", (audit / "pictures" / name).read_bytes())
        return {"compared": rows, "provenance": [{"key": key, "value": value} for key, value in facts.items()]}


def compare_audits(a: Path, b: Path) -> list[Row]:
    """Compare two audits of the same images: AUROC or Dice, the swing of every mark and column, and verdicts.

    Args:
        a: Run folder of the first audit.
        b: Run folder of the second.

    Returns:
        Rows of `tables.COMPARED`.

    Raises:
        SpecError: A folder holds no audit with predictions, or the audits are of different images.
        StoreError: A table is missing or damaged.
    """
    first, second = (_open_audit(path) for path in (a, b))
    _require_stored_predictions(first, second)
    both = _pair_audits(first, second)
    clean = both.pair("", "")
    rows = list(_performance_rows(clean))
    for factor in dict.fromkeys([*both.a.verdicts, *both.b.verdicts]):
        rows_of_factor = [audit.verdicts.get(factor) for audit in (both.a, both.b)]
        kind = next(row["kind"] for row in rows_of_factor if row is not None)
        shared_cells = {"factor": factor, "kind": kind, "measure": "swing"}
        shared_cells |= {
            f"verdict_{side}": "" if row is None else row["verdict"]
            for side, row in zip("ab", rows_of_factor, strict=True)
        }
        untested = [str(row["reason"]) for row in rows_of_factor if row is not None and row["verdict"] == NOT_TESTED]
        if len(untested) == len(rows_of_factor):
            rows.append({**shared_cells, "reason": untested[0]})
            continue
        differences = list(_rows_of_mark(both, factor, clean) if kind == "mark" else _column_rows(both, factor, clean))
        rows += [
            {**shared_cells, **row} for row in differences or [{"reason": str(Reason.of(Code.NOTHING_TO_COMPARE))}]
        ]
    absent = {column.name: "" if column.type == "VARCHAR" else math.nan for column in COMPARED.columns}
    decided = with_decisions([{**absent, **row} for row in rows])
    return [*decided, *({**absent, **row} for row in _region_rows(both.a.folder, both.b.folder))]


def _region_rows(a: RunFolder, b: RunFolder) -> Iterator[Row]:
    """Yield the verdicts of both audits on the regions that predictions depend on, that of the headline first.

    Effects in other images, or of a search that one audit lacks, have no difference.
    """
    by_region = [{row["of"]: row for row in table.table("regions") if row["round"] == 1} for table in (a, b)]
    leading = [
        row["of"]
        for regions_of_audit in by_region
        if (row := leading_region(list(regions_of_audit.values()))) is not None
    ]
    for search in dict.fromkeys([*leading, *by_region[0], *by_region[1]]):
        if search not in SEARCH_NAMES:
            raise StoreError(f"the table regions: {unknown_name('search', search, tuple(SEARCH_NAMES))}")
        rows = [region.get(search, {"of": search, "verdict": NOT_TESTED}) for region in by_region]
        shared_cells = {"factor": search, "kind": "region", "measure": "effect", "decision": NOT_TESTED}
        for side, row in zip("ab", rows, strict=True):
            shared_cells |= {f"{side}{end}": numeric(row, f"value{end}") for end in ("", "_low", "_high")}
            shared_cells |= {
                f"verdict_{side}": row["verdict"],
                f"found_{side}": json.dumps({part: row.get(part, "") for part in REGION_COLUMNS}),
            }
        if searched := [row["trained"] for row in rows if row["verdict"] != NOT_TESTED]:
            code = Code.ONE_AUDIT if len(searched) == 1 else Code.ONE_TRAINED if len(set(searched)) == 2 else None
            yield {
                **shared_cells,
                **({"reason": str(Reason.of(code))} if code else _effect_difference(shared_cells, rows[0]["patients"])),
            }


def _effect_difference(row: Row, patients: int) -> Row:
    """Return the difference of two effects, with an interval from the bounds of both as if images were not paired."""
    two_sided_factor = float(stdtrit(max(1, patients - 1), 1 - END_ALPHA) / stdtrit(max(1, patients - 1), 1 - ALPHA))
    below, above = (
        two_sided_factor * math.hypot(row["a"] - row[f"a_{end}"], row["b"] - row[f"b_{other}"])
        for end, other in (("low", "high"), ("high", "low"))
    )
    return {"value": row["a"] - row["b"], "low": row["a"] - row["b"] - below, "high": row["a"] - row["b"] + above}


def with_decisions(rows: Sequence[Row]) -> list[Row]:
    """Return rows with one decision per factor in place of a p each; the row that decided keeps the corrected p.

    A mark is decided at the deciding dose alone. Holm's method corrects for factors, Bonferroni's for the classes and
    groups of each. Performance is a family of its own.
    """
    chosen: dict[str, tuple[int, float]] = {}
    for factor in dict.fromkeys(row["factor"] for row in rows):
        tested = [
            at
            for at, row in enumerate(rows)
            if row["factor"] == factor
            and not math.isnan(row["p"])
            and (row["kind"] != "mark" or row["dose"] == DOSES[DECIDING])
        ]
        if tested:
            smallest_p = min(tested, key=lambda at: rows[at]["p"])
            chosen[factor] = smallest_p, min(1.0, len(tested) * rows[smallest_p]["p"])
    factors = [factor for factor in chosen if factor]
    corrected = dict(zip(factors, holm(np.array([chosen[factor][1] for factor in factors])).tolist(), strict=True))
    p_of_factor = {factor: (at, corrected.get(factor, alone)) for factor, (at, alone) in chosen.items()}
    decided_rows: list[Row] = []
    for at, row in enumerate(rows):
        decisive, p = p_of_factor.get(row["factor"], (-1, math.nan))
        decision = "differs" if p < 2 * END_ALPHA else "inconclusive"
        decided_rows.append(
            {**row, "decision": "" if row["reason"] else decision, "p": p if at == decisive else math.nan}
        )
    return decided_rows


def _open_audit(path: Path) -> StoredAudit:
    received_folder.set(received_folder.get() if is_ours(path) else path)
    folder = RunFolder(path)
    require_audit(folder)
    if not folder.tables_are_current():
        raise SpecError(f"{path}: the last audit there did not end, and its tables may be of two; run it again")
    Soundness(folder).require()
    return StoredAudit(folder)


def validation_arguments(a: Path, b: Path) -> dict[str, Any] | None:
    """Return arguments of `assay validate` that compare the same scores, where both audits are of files of scores.

    Such audits store no predictions. None where an audit is of a model.

    Raises:
        SpecError: A folder holds no audit, or a file is not where it was.
    """
    audits = [_open_audit(path) for path in (a, b)]
    if any(("", "") in audit.readings for audit in audits):
        return None
    requests: list[Row] = [audit.folder.document()["request"] for audit in audits]
    files = [str(request["model"]) for request in requests]
    if lacking := next((file for file in files if not is_file(Path(file))), ""):
        raise SpecError(f"{lacking} is not there: audits of predictions keep no scores, so the files are compared")
    return {
        "file": files[0],
        "other": files[1],
        **{
            name: requests[0][name]
            for name in ("target", "score", "positive", "patient", "image")
            if requests[0][name] and requests[0][name] == requests[1][name]
        },
    }


def _require_stored_predictions(*audits: StoredAudit) -> None:
    """Raise SpecError where one audit is of a file of predictions, and therefore has no stored ones."""
    without_scores = [audit.folder for audit in audits if ("", "") not in audit.readings]
    if without_scores:
        raise SpecError(
            f"{without_scores[0].root} is an audit of predictions, without images: compare two audits of models, or "
            "two of predictions"
        )


def require_audit(folder: RunFolder) -> None:
    """Raise SpecError where a folder holds no audit. It names audits in its folders, such as those of labels."""
    if folder.kind is not AUDIT:
        inner = sorted(path.parent for path in folder.root.glob(f"*/{RUN}"))
        listed = shorten(", ".join(path.name for path in inner))
        other_audits = f" of its own but those of {listed}; give one, such as {inner[0]}" if inner else ""
        raise SpecError(f"{folder.root} holds no audit{other_audits or '; give a folder that assay audit wrote'}")


def _pair_audits(a: StoredAudit, b: StoredAudit) -> _SharedImages:
    common = tuple(key for key in a.images if key in b.images)
    least = min(len(a.images), len(b.images))
    if len(common) < least:
        raise SpecError(
            f"the audits have {len(common):,} of {least:,} images in common; compare audits of the same images"
        )
    wrong = [key for key in common if a.images[key]["class"] != b.images[key]["class"]]
    if a.classes != b.classes or wrong:
        raise SpecError(
            f"the audits have the classes {shorten(', '.join(a.classes))} and {shorten(', '.join(b.classes))}, and "
            f"{len(wrong):,} images differ in class; compare audits of the same target"
        )
    patients = {(a.images[key]["patient"], b.images[key]["patient"]) for key in common}
    if not len(patients) == len({x for x, _ in patients}) == len({y for _, y in patients}):
        raise SpecError(f"the audits group images by different patients; give both the same {key_text('--patient')}")
    return _SharedImages(a, b, common)


def _performance_rows(pair: tuple[ScoredImages, ScoredImages]) -> Iterator[Row]:
    a, b = pair
    table, measure = a.table, "dice" if isinstance(a, ScoredMaps) else "auroc"
    shared_cells: Row = {"factor": "", "kind": "performance", "measure": measure, "images": len(table),
                  "patients": len(np.unique(table.patient))}  # fmt: skip
    if isinstance(a, ScoredMaps):
        values = [audit.performance[1].value if audit.performance else np.nan for audit in pair]
        yield {**shared_cells, **_difference(values[0], values[1], b.performance_gain(a, END_ALPHA))}
        return
    for label, x, y, target in _class_scores(a, b):
        difference = auroc_gain(y, x, target, table.patient, END_ALPHA)
        values = [auroc(scores, target).value for scores in (x, y)]
        yield {**shared_cells, "class": label, **_difference(values[0], values[1], difference)}


def _rows_of_mark(both: _SharedImages, factor: str, clean: tuple[ScoredImages, ScoredImages]) -> Iterator[Row]:
    position_of_row = {int(row): at for at, row in enumerate(clean[0].table.row)}
    for dose in DOSES:
        readings = [audit.readings.get((factor, dose)) for audit in (both.a, both.b)]
        if readings[0] is None or readings[1] is None:
            if dose == DOSES[DECIDING]:
                yield {"dose": dose, "reason": str(Reason.of(Code.ONE_AUDIT))}
            continue  # an audit with a short budget leaves out doses that cannot change its verdict
        if readings[0]["change"] != readings[1]["change"]:
            yield {"dose": dose, "reason": str(Reason.of(Code.DRAWN_OTHERWISE))}
            return
        after = both.pair(factor, dose)
        rows = np.array([position_of_row[int(row)] for row in after[0].table.row], dtype=np.int64)
        differences = list(_mark_rows(dose, (clean[0].take(rows), clean[1].take(rows)), after))
        classes = after[0].table.classes
        absent = [name for code, name in enumerate(classes) if code not in after[0].table.target]
        yield from differences or [{"dose": dose, "reason": str(Reason.of(Code.ABSENT_CLASS, kind=join_words(absent)))}]


def _mark_rows(
    dose: str, before: tuple[ScoredImages, ScoredImages], after: tuple[ScoredImages, ScoredImages]
) -> Iterator[Row]:
    table = before[0].table
    for (label, x0, y0, target), (_, x1, y1, _) in zip(_class_scores(*before), _class_scores(*after), strict=True):
        if len(np.unique(target)) < 2:
            continue
        swings = [
            effect_of_mark(s0[:, None], s1[:, None], target, table.patient).largest.g.value
            for s0, s1 in ((x0, x1), (y0, y1))
        ]
        difference = mark_swing_difference((x0, x1), (y0, y1), target, table.patient, END_ALPHA)
        yield {
            "dose": dose,
            "class": label,
            "images": len(target),
            "patients": len(np.unique(table.patient)),
            **_difference(swings[0], swings[1], difference),
        }


def _column_rows(both: _SharedImages, factor: str, before: tuple[ScoredImages, ScoredImages]) -> Iterator[Row]:
    a, b = before
    level_of_image = [
        [json.loads(audit.images[key]["groups"]).get(factor, "") for key in both.common] for audit in (both.a, both.b)
    ]
    levels = sorted(set(level_of_image[0]) - {""})
    if level_of_image[0] != level_of_image[1] or len(levels) < 2:
        yield {
            "reason": str(
                Reason.of(Code.ONE_AUDIT if level_of_image[0] != level_of_image[1] else Code.NOTHING_TO_COMPARE)
            )
        }
        return
    levels_of_row = np.array(level_of_image[0])
    present = np.flatnonzero(levels_of_row != "")
    for level in levels[1:] if len(levels) == 2 else levels:
        for label, x, y, target in _class_scores(a.take(present), b.take(present)):
            group, patient = levels_of_row[present] == level, a.table.patient[present]
            values = [swing_of_group(scores[:, None], target, group, patient) for scores in (x, y)]
            if values[0] is None or values[1] is None:
                continue
            difference = group_swing_difference(x, y, target, group, patient, END_ALPHA)
            swings = [effect.largest.g.value for effect in values if effect is not None]
            yield {
                "dose": level,
                "class": label,
                "images": len(present),
                "patients": len(np.unique(patient)),
                **_difference(swings[0], swings[1], difference),
            }


def _class_scores(a: ScoredImages, b: ScoredImages) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield for each class that counts as positive: its name, the log-odds of both models, and the target."""
    labels = score_names(a.table.classes)
    for at, label in enumerate(labels):
        target = (a.table.target == (at if len(labels) > 1 else 1)).astype(np.int64)
        yield label, a.scores[:, at], b.scores[:, at], target


def _difference(a: float, b: float, difference: BoundedEstimate) -> Row:
    p = p_value_of_no_effect(difference, END_ALPHA)
    return {"a": a, "b": b, "value": difference.value, "low": difference.low, "high": difference.high, "p": p}
