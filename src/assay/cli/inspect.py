"""`assay show` and `assay list`: what there is, without importing what it needs."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from assay.core.errors import SpecError, unknown_of_few
from assay.core.measure_words import MEANINGS, better
from assay.core.measures import MEASURES
from assay.core.parsing import parse_study, read_study
from assay.core.registry import KINDS, entries
from assay.studies import builtin_studies, study_yaml


def show_command(name: str, sets: Sequence[str], seeds: int | None, scale: str | None, json: bool) -> None:
    """Print a study's YAML as it is written, or with --json its grid as it would run."""
    if json:
        spec = parse_study(name, overrides=sets, seeds=seeds, scale=scale)
        values = spec.model_dump(mode="json", exclude_defaults=True)
        print(jsonlib.dumps({**values, "seeds": spec.seeds, "trials": len(spec.points) * spec.seeds}, indent=1))
        return
    if name not in builtin_studies():
        read_study(name)  # refuses what is no study
    text = study_yaml(name) if name in builtin_studies() else Path(name).expanduser().read_text(encoding="utf-8")
    if sets or seeds is not None or scale:
        parse_study(name, overrides=sets, seeds=seeds, scale=scale)
        raise SpecError("show prints the study as it is written; add --json to see it after --set, --seeds or --scale")
    print(text, end="")


def list_command(kind: str | None, json: bool) -> None:
    """Print built-in studies, registered components and measures, one line each."""
    kinds = ("study", *KINDS, "measure")
    if kind is not None and kind not in kinds:
        raise SpecError(unknown_of_few("kind", kind, kinds))
    chosen = [row for row in _everything() if kind in (None, row[0])]
    if json:
        print(jsonlib.dumps([dict(zip(("kind", "name", "summary"), row, strict=True)) for row in chosen], indent=1))
        return
    width = max(len(name) for _, name, _ in chosen)
    for heading in dict.fromkeys(of for of, _, _ in chosen):
        if kind is None:
            print(heading)
        for of, name, summary in chosen:
            if of == heading:
                print(f"  {name:<{width}}  {summary}")


def _everything() -> Iterator[tuple[str, str, str]]:
    """(kind, name, one line) of all that a spec can name."""
    yield from (("study", name, summary) for name, summary in builtin_studies().items())
    yield from ((entry.kind, entry.name, entry.summary) for entry in entries())
    for name, measure in MEASURES.items():
        way = f"; {direction} is better" if (direction := better(name)) else ""
        needs = f", a contrast says its {' and '.join(measure.needs)}" if measure.needs else ""
        yield "measure", name, f"{MEANINGS[name]}{way} (probe {measure.probe}{needs})"
