"""Policies of a look: which issues are forbidden, and the greatest AUROC that a simple cue may have.

A policy is a YAML file of the user; it is compared with the tables of a look.
"""

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


def policy_violations(path: Path, issues: Sequence[Row], shortcuts: Sequence[Row]) -> list[str]:
    """Return a sentence per violation of a policy such as `forbid: [copy, blank]`, `require: {cue: 0.8}`.

    Args:
        path: The policy.
        issues: Rows of the table `issues`.
        shortcuts: Rows of the table `shortcuts`.

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
    forbidden_found = [f"{count} x {kind}, which is forbidden" for kind, count in counts.items() if count]
    limit = float(required.get(CUE, 1.0))
    return [
        *forbidden_found,
        *(
            f"{row['name']}: AUROC {row['value']:.3f}, over {limit:g}"
            for row in shortcuts
            if row["strong"] and row["value"] > limit
        ),
    ]
