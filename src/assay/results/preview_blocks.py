"""Pages of the preview of a study and of a look at images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from assay.report.block import Block, Query, Row, Section
from assay.report.evidence import Page
from assay.report.look_page import look_account, look_lines
from assay.report.preview_page import defining, preview_account
from assay.results.study_blocks import CUES, ENVIRONMENTS, ISSUES, VISIBLE, with_words
from assay.stats.format import count
from assay.stats.power import Assumptions
from assay.store.data_tables import LARGE


def preview_sections(tables: Mapping[str, Sequence[Row]]) -> list[Section]:
    """Return the sections of the page of a preview; the factor that defines the target is not counted by level."""
    facts = {row["key"]: row["value"] for row in tables["provenance"]}
    counts = Block(
        id="counts",
        title="Images by class and level",
        table="counts",
        keep=Query(without={"factor": (defining(tables)[0],)}),
        place=("environment", "factor", "level"),
        across="target",
    )
    power = Block(
        id="power",
        title="What a comparison can detect with 80% power",
        table="power",
        columns=("comparison", "detectable", "reason"),
        note=rough(int(facts["seeds"]), int(facts["folds"])),
    )
    environments = replace(
        ENVIRONMENTS,
        title="Conditions, as asked and as achieved",
        columns=("environment", "set", "factor", "target", "asked", "strength", "held", "kept", "available", "images"),
        folded=False,
    )
    return [
        Section("conditions", "Training and test conditions", (environments, counts)),
        Section("detects", "Detectable differences", (power,)),
        Section("cues", "Simple cues and confounders", (CUES, ISSUES, replace(VISIBLE, folded=False))),
    ]


def look_cues(tables: Mapping[str, Sequence[Row]]) -> Block:
    """Return the chart of the cues of a look. They name what they predict where that is lesion area, too."""
    sized = any(row["of"] == LARGE for row in tables["shortcuts"])
    return replace(CUES, chart="strip", place=("name", "of") if sized else ("name",), colors="kind",
                   level=("chance", 0.5), keep=Query(most=12), listed=False)  # fmt: skip


def best_cues(tables: Mapping[str, Sequence[Row]]) -> Block:
    """Return the chart of the first screen of a look."""
    return replace(look_cues(tables), id="best-cues", title="Best simple cues", note="AUROC.", keep=Query(most=3))


def look_sections(tables: Mapping[str, Sequence[Row]]) -> list[Section]:
    """Return the sections of the page of a look at images."""
    return [
        Section("cues", "Simple cues", (look_cues(tables), replace(CUES, id="every-cue"))),
        Section("found", "Issues", (ISSUES,)),
    ]


def rough(seeds: int, folds: int) -> str:
    """Return the basis and the limits of the power figures."""
    each = f" of {folds} folds" if folds > 1 else ""
    return (
        f"A rough plan from {count(seeds, 'seed')}{each}, the test patients and Holm's first step in each family, "
        f"{assumed(Assumptions(), folds)} (docs/statistics.md). A comparison's `seed_sd` takes the place "
        "of the variation between seeds. Most studies find smaller differences; the report "
        "states the difference that the run could detect."
    )


def assumed(found: Assumptions, folds: int) -> str:
    """Return the assumptions behind the power figures."""
    independent = f"between trainings ({folds} folds of a seed taken for independent)"
    between = "between seeds" if folds == 1 else independent
    return (
        f"assuming a value near {found.value:.2g}, paired differences that vary by {found.seed_sd:.2g} {between}, "
        f"and a correlation of {found.correlation:.2g} between the recipes' answers about a patient"
    )


PREVIEW = Page(account=preview_account, sections=preview_sections, rows=with_words)
LOOK = Page(account=look_account, sections=look_sections, answer=look_lines,
            first=lambda evidence: (best_cues(evidence.tables),))  # fmt: skip
