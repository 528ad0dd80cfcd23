"""Compare predictions of models that were made elsewhere, as the contrasts of a study are."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scipy.special import logit

from assay.compare.kind import COMPARISON
from assay.compare.predictions import Predictions
from assay.compare.request import CompareRequest
from assay.compare.words import decision_lines, value_lines
from assay.core.errors import SpecError, unknown_name
from assay.core.files import typed_path
from assay.core.measures import direction_of, label_of
from assay.core.reasons import Code, Reason
from assay.core.request import IN_MEMORY
from assay.core.versions import OF_STATISTICS, time_and_versions
from assay.execution.run import RunSteps, Tables
from assay.report.sentences.reading import reading_lines
from assay.report.sentences.reasons import reason_words
from assay.spec.checks import MOST_PRIMARY
from assay.spec.schema import ContrastSpec, Role
from assay.stats.compare import contrast
from assay.stats.decisions import decide_families, moderate_group
from assay.stats.doubts import failed_networks, failure_columns, outlying_seeds, study_findings
from assay.stats.estimate import estimate_panel, estimate_row
from assay.stats.findings import finding_row
from assay.stats.measures import COMPUTED
from assay.stats.metrics import ON_THRESHOLD
from assay.stats.panel import SeedPredictions
from assay.stats.rows import KEY_FIELDS, without_patient_counts
from assay.store.files import Row
from assay.store.folder import RunFolder
from assay.store.schema import VALUES
from assay.study.families import PlannedComparison, family_of

CALLED = frozenset({"accuracy", "sensitivity", "specificity", "quadratic-weighted-kappa"})
"""Measures of two classes that a threshold decides."""
IMAGES = "these images"
"""Name of the images that were predicted, in the place of a test environment."""


@dataclass(frozen=True, repr=False)
class CompareEstimates:
    """Estimates of every recipe and its comparisons with a reference.

    Attributes:
        estimates: Rows of the table `estimates`, one per recipe.
        contrasts: Rows of the table `contrasts`, one per comparison, corrected by Holm over all.
        differences: Rows of the table `differences`, of models that were trained once, over patients alone.
        values: Rows of the table `values`.
        notes: What was assumed of the data.
        cautions: Seeds that are far from the others of their recipe.
        facts: How the predictions were read, as rows of `provenance`.
    """

    measure: str
    against: str
    estimates: tuple[Row, ...]
    contrasts: tuple[Row, ...]
    differences: tuple[Row, ...]
    values: tuple[Row, ...]
    notes: tuple[Reason, ...]
    cautions: tuple[Reason, ...]
    facts: Mapping[str, str]

    def __repr__(self) -> str:
        """Return the lines of the terminal."""
        return "\n".join(self.lines)

    @property
    def lines(self) -> list[str]:
        """The comparison as lines of text: what was read, the decisions, then the values of every recipe."""
        decided = decision_lines(
            self.contrasts, self.differences, max(len(str(row["recipe"])) for row in self.estimates)
        )
        cautions = (f"caution: {reason_words(caution)}" for caution in self.cautions)
        return [*reading_lines(self.facts), self.title, *decided, "values", *value_lines(self.estimates), *cautions]

    @property
    def title(self) -> str:
        """The heading of the comparison: `AUROC against cross-entropy`."""
        return f"{label_of(self.measure)} against {self.against}"


@dataclass(frozen=True)
class CompareRun(RunSteps):
    """A comparison of predictions as a `Run` without tasks.

    Attributes:
        request: What was asked.
        read: The predictions.
        name: Name of the comparison on its page.
    """

    request: CompareRequest
    read: Predictions
    name: str
    kind = COMPARISON

    @property
    def sources(self) -> Sequence[Path]:
        """See `Run`."""
        return self.request.paths_of("data")

    def conclude(self, folder: RunFolder) -> Tables:
        """Return the tables of a study that predictions have."""
        comparison = compare_predictions(self.read, self.request)
        findings = study_findings(
            comparison.contrasts, comparison.estimates, cautions=(*comparison.notes, *comparison.cautions)
        )
        unnamed = any(note.first(Code.NO_PATIENT_COLUMN) for note in comparison.notes)
        counted = without_patient_counts if unnamed else dict[str, Any]
        facts = {
            "study": self.name,
            "question": f"Does {label_of(comparison.measure)} differ from that of {comparison.against}?",
            "predictions": "yes",
            **self.read.facts,
            "intervals over": "images" if unnamed else "patients",
            **time_and_versions(OF_STATISTICS),
        }
        facts["command"] = f"assay compare {self.request.typed('out', 'as_json')}"
        facts["path"] = "FILE" if self.request.data == IN_MEMORY else typed_path(self.request.data)
        named = zip(self.read.seed_numbers, self.read.seeds, strict=True)
        if names := ", ".join(f"{number}: {name}" for number, name in named if str(number) != name):
            facts["names of seeds"] = names
        return {
            "contrasts": list(map(counted, comparison.contrasts)),
            "differences": list(map(counted, comparison.differences)),
            "estimates": list(map(counted, comparison.estimates)),
            "values": comparison.values,
            "findings": list(map(finding_row, findings)),
            "provenance": [{"key": key, "value": value} for key, value in facts.items() if value],
        }


def compare_predictions(read: Predictions, request: CompareRequest) -> CompareEstimates:
    """Estimate a measure of every recipe and compare each with a reference, as a study's contrasts are.

    Differences are paired by seed and by patient. The seeds' part of their variance is moderated over all of them, and
    p-values are corrected by Holm (docs/statistics.md).

    Returns:
        Rows of the tables of a study. With a margin, up to four comparisons are primary.

    Raises:
        SpecError: There is no such recipe or measure, or nothing to compare.
    """
    panels, against = read.panels, request.against or next(iter(read.panels))
    measure, margin = request.measure, request.margin
    allowed = [name for name, computed in COMPUTED.items() if not computed.requirements.maps]
    if measure not in allowed:
        raise SpecError(unknown_name("measure of classification", measure, allowed))
    if measure not in CALLED:
        request.require_used({"threshold"}, f"is not used: {measure} calls no image positive")
    if against not in panels:
        raise SpecError(unknown_name("reference", against, tuple(panels)))
    if len(panels) < 2:
        raise SpecError(f"there is one recipe, '{against}', and nothing to compare it with")
    if margin is not None and not margin > 0:
        raise SpecError(f"margin {margin}: expected a number above 0")
    names = [name for name in panels if name != against]
    role: Role = "primary" if margin is not None and len(names) <= MOST_PRIMARY else "secondary"
    stated = ContrastSpec(
        axis=request.by, against=against, measure=measure, margin=margin, role=role, at="as-given", environment=IMAGES
    )
    places = {
        name: {
            **dict.fromkeys(KEY_FIELDS, ""),
            "recipe": name,
            "coordinates": json.dumps({request.by: name}),
            "measure": measure,
            "environment": IMAGES,
        }
        for name in panels
    }
    tested = moderate_group([contrast(panels[name], panels[against], measure, margin) for name in names])
    family = [
        (PlannedComparison(stated, (), (), name, ()), replace(comparison, direction=direction_of(measure)))
        for name, comparison in zip(names, tested, strict=True)
    ]
    entry, rows, by_seed = COMPUTED[measure], list[Row](), list[Row]()
    for name, panel in panels.items():
        found, chance = estimate_panel(panel, measure), entry.chance(panel.target, panel.scores.shape[2])
        row = estimate_row(places[name], found, entry.entry.unit, entry.entry.direction, chance)
        rows.append(row)
        by_seed += [
            {**row, "seed": read.seeds[number], "value": value}
            for number, value in zip(panel.seed_ids.tolist(), found.per_seed.tolist(), strict=True)
        ]
    decided_rows = decide_families([family_of(stated.family_name, family)], rows)
    fallen = next(iter(failed_networks(by_seed, decided_rows).values()), set[tuple[str, Any]]())
    failed = {name: [(name, row["seed"]) in fallen for row in by_seed if row["recipe"] == name] for name in panels}
    decided_rows = [{**row, **failure_columns(failed[row["a"]], failed[against])} for row in decided_rows]
    worse = [
        Reason.of(Code.WORSE_THAN_CHANCE, recipe=row["recipe"], measure=measure, value=row["value"])
        for row in rows
        if entry.entry.direction == "higher" and row["high"] < row["chance"]
    ]
    cautions = (*worse, *outlying_seeds(by_seed, decided_rows))
    numbers = dict(zip(read.seeds, read.seed_numbers, strict=True))
    values = tuple({**{name: row[name] for name in VALUES.names}, "seed": numbers[row["seed"]]} for row in by_seed)
    pairs = ((name, panels[name]) for name in names)
    differences = tuple(_differences(measure, pairs, (against, panels[against]), request))
    return CompareEstimates(
        measure, against, tuple(rows), tuple(decided_rows), differences, values, read.notes, cautions, read.facts
    )


def _differences(
    measure: str,
    models: Iterable[tuple[str, SeedPredictions]],
    reference: tuple[str, SeedPredictions],
    request: CompareRequest,
) -> Iterator[Row]:
    """Yield the differences of models that were trained once, and answered all images without folds."""
    from assay.validate.curves import ScoredCases  # most comparisons are of several seeds
    from assay.validate.paired import MEASURES, difference_row

    margin = math.nan if request.margin is None else request.margin

    def cases(panel: SeedPredictions) -> ScoredCases:
        return ScoredCases(
            panel.target, panel.scores[0, :, 0], panel.patient, float(logit(request.threshold * ON_THRESHOLD))
        )

    against, other = reference
    for name, panel in models if measure in MEASURES else ():
        if all(
            len(answers.scores) == 1 and answers.fold is None and answers.has_prediction is None
            for answers in (panel, other)
        ):
            yield difference_row(measure, (name, cases(panel)), (against, cases(other)), margin)
