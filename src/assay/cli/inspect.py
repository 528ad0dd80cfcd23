"""`assay show` and `assay list`: what there is, without importing what it needs."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Sequence

from assay.core.errors import SpecError, unknown_name
from assay.core.parsing import parse_study
from assay.core.registry import KINDS, entries
from assay.studies import builtin_studies, study_yaml


def show_command(name: str, sets: Sequence[str], seeds: int | None, scale: str | None, json: bool) -> None:
    """Print a built-in study's YAML, or with --json its grid as it would run."""
    text = study_yaml(name)
    if not json and (sets or seeds is not None or scale):
        parse_study(name, overrides=sets, seeds=seeds, scale=scale)
        raise SpecError("show prints the study as it is written; add --json to see it after --set, --seeds or --scale")
    if json:
        spec = parse_study(name, overrides=sets, seeds=seeds, scale=scale)
        jsonlib.dump(spec.model_dump(mode="json", exclude_defaults=True), sys.stdout, indent=1)
        print()
        return
    print(text, end="")


def list_command(kind: str | None, json: bool) -> None:
    """Print registered components and built-in studies, one line each."""
    rows = [("study", name, summary) for name, summary in builtin_studies().items()]
    rows += [(entry.kind, entry.name, entry.summary) for entry in entries()]
    kinds = ("study", *KINDS)
    if kind is not None and kind not in kinds:
        raise SpecError(unknown_name("kind", kind, kinds))
    chosen = [row for row in rows if kind in (None, row[0])]
    if json:
        jsonlib.dump([dict(zip(("kind", "name", "summary"), row, strict=True)) for row in chosen], sys.stdout, indent=1)
        print()
        return
    width = max(len(name) for _, name, _ in chosen)
    for heading in dict.fromkeys(of for of, _, _ in chosen):
        print(heading if kind is None else "", end="\n" if kind is None else "")
        for of, name, summary in chosen:
            if of == heading:
                print(f"  {name:<{width}}  {summary}")
