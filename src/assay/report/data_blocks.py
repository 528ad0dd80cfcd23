"""Blocks on images for several kinds of page: simple cues, issues, and networks compared with a cue.

Each shows a table of `store.data_tables`.
"""

from __future__ import annotations

from assay.report.block import Block

CUES = Block(
    id="shortcuts",
    title="Simple cues that predict the target",
    table="shortcuts",
    columns=("name", "kind", "of", "value", "direction", "images", "patients", "reason"),
    note="AUROC of one column, property or fitted score, without any network. Patients who share a picture count as "
    "one.",
)


ISSUES = Block(
    id="issues",
    title="Issues of images",
    table="issues",
    folded=True,
    columns=("kind", "row", "cluster", "of", "value"),
    note="How far: of a suspected label, by how much more probable another class is than its own, from 0 to 1; of thin "
    "bright marks, in multiples of the limit; of other images, in robust standard deviations from the median.",
)


ADDED = Block(
    id="added",
    title="Networks against the simple cue that is best in other patients",
    table="added",
    columns=("recipe", "environment", "name", "of", "verdict", "network", "cue", "value", "rest", "images", "reason"),
    note=(
        "Another cue may have a higher AUROC among the tested patients. AUROC of the cue: over all tested images "
        "together; in the table of simple cues, that of a fitted cue is within the folds of its fit. Similar "
        "values: images in the same tenth of the cue. Beyond: there the networks' AUROC exceeds 0.5 and that of the "
        "cue with 95% confidence, so they carry information beyond the cue. Below: their AUROC on all images is lower "
        "than the cue's with 95% confidence."
    ),
)
