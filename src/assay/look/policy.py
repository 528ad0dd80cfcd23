"""Policies of a look: issues that are forbidden, and the greatest AUROC of a simple cue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from assay.core.errors import SpecError
from assay.spec.document import mapping_of
from assay.spec.yaml import read_yaml
from assay.store.data_tables import ISSUE_KINDS
from assay.store.files import Row

CUE = "cue"


def broken(path: Path, issues: Sequence[Row], shortcuts: Sequence[Row]) -> list[str]:
    """Return a sentence for everything that breaks a policy: `forbid: [copy, blank]`, `require: {cue: 0.8}`.

    Raises:
        SpecError: The policy cannot be read, or a rule is unknown.
    """
    values = read_yaml(path).values
    required = mapping_of(values.get("require", {})) or {}
    forbidden = cast("list[Any]", values.get("forbid") or [])
    if set(values) - {"forbid", "require"} or set(required) - {CUE} or not set(forbidden) <= set(ISSUE_KINDS):
        raise SpecError(
            f"{path.name}: expected forbid: a list of {', '.join(ISSUE_KINDS)}, and require: {{{CUE}: 0.8}}"
        )
    counts = {kind: sum(row["kind"] == kind for row in issues) for kind in forbidden}
    excesses = [f"{count} x {kind}, which is forbidden" for kind, count in counts.items() if count]
    limit = float(required.get(CUE, 1.0))
    return [
        *excesses,
        *(
            f"{row['name']}: AUROC {row['value']:.3f}, over {limit:g}"
            for row in shortcuts
            if row["strong"] and row["value"] > limit
        ),
    ]
