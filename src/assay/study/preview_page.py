"""Pages of the preview of a study and of a look at images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from assay.report.block import Block, Query, Row, Section
from assay.report.data_blocks import CUES, ISSUES
from assay.report.evidence import Page
from assay.stats.format import count
from assay.stats.power import Assumptions
from assay.study.page import ENVIRONMENTS, VISIBLE, with_words
from assay.study.preview_opening import defining, preview_account


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
