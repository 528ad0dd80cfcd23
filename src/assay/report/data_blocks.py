"""Parts of pages on images: simple cues, issues, and networks that are held against a cue."""

from __future__ import annotations

from assay.report.block import Block

CUES = Block(
    id="shortcuts", title="Simple cues that predict the target", table="shortcuts",
    columns=("name", "kind", "of", "value", "direction", "images", "patients", "reason"),
    note="AUROC of one column, property or fitted score, without any network.",
)  # fmt: skip


ISSUES = Block(
    id="issues", title="Issues of images", table="issues", folded=True,
    columns=("kind", "row", "cluster", "of", "value"),
)  # fmt: skip


ADDED = Block(
    id="added",
    title="Networks against the simple cue that is best in other patients",
    table="added",
    columns=("recipe", "environment", "name", "of", "verdict", "network", "cue", "value", "rest", "images", "reason"),
    note=(
        "Among the patients tested another cue may have a greater AUROC. Value: AUROC of the networks among images of "
        "the same tenth of the cue; rest: the cue's. Beyond: 0.5 and the rest are below the value with 95% confidence, "
        "so networks add to the cue, whatever their AUROC. Else below, where it is less than the cue's with 95%."
    ),
)
