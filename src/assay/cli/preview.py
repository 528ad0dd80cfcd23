"""`assay preview`: pictures, associations, size, time and power of a study, before a second of training."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from assay.core.parsing import parse_study
from assay.shifts.environment import Achieved


def preview_command(
    source: str,
    sets: Sequence[str],
    seeds: int | None,
    scale: str | None,
    workers: int | None,
    out: Path,
    skip_bad_rows: bool,
    json: bool,
) -> None:
    """Print the tables and write the pictures to `<run folder>/preview/`."""
    spec = parse_study(source, overrides=sets, seeds=seeds, scale=scale)

    from assay.cli.progress import duration
    from assay.cli.run import run_folder
    from assay.execution.power import detectable_differences
    from assay.execution.preview import make_preview
    from assay.execution.run import default_workers, prepare

    root = run_folder(spec, scale, out)
    crew = workers or default_workers()
    prepared = prepare(spec, root, skip_bad_rows=skip_bad_rows)
    preview = make_preview(spec, prepared.population, root / "preview")
    power = detectable_differences(spec, prepared.population)
    if json:
        facts = [{"environment": name, "images": images, "achieved": [_plain(found) for found in achieved]}
                 for name, images, achieved in preview.environments]  # fmt: skip
        print(jsonlib.dumps({"study": spec.name, "trials": len(prepared.plan.trials), "to_train": prepared.new_trials,
                             "seconds": prepared.seconds(crew), "environments": facts, "power": power,
                             "pictures": [str(root / "preview" / str(row["file"])) for row in preview.pictures]},
                            indent=1))  # fmt: skip
        return
    print(f"{spec.name}: {spec.question}\n")
    for name, images, achieved in preview.environments:
        print(f"{name}: {images} images")
        for found in achieved:
            print(_association(found))
    print("\nWhat a contrast can detect with 80 % power (assumptions: docs/statistics.md)")
    for row in power:
        print(f"  {row['statement']}: {row['reason'] or row['detectable']}")
    print(f"\n{len(prepared.plan.trials)} trials, of which {prepared.new_trials} are to be trained: about "
          f"{duration(prepared.seconds(crew))} with {crew} workers")  # fmt: skip
    print(f"pictures: {root / 'preview'} ({len(preview.pictures)} files)")


def _association(found: Achieved) -> str:
    asked = "as found" if found.asked is None else f"asked {found.asked:+.2f}"
    interval = f"[{found.low:+.2f}, {found.high:+.2f}]"
    line = f"  {found.factor} with {found.target}: {asked}, achieved {found.strength:+.2f} {interval}"
    if found.kept < found.available:
        line += f", {found.kept} of {found.available} rows kept"
    levels = list(dict.fromkeys(level for _, level in found.counts))
    width = max(len(level) for level in levels)
    labels = list(dict.fromkeys(label for label, _ in found.counts))
    head = " " * (width + 6) + "".join(f"{label:>14}" for label in labels)
    rows = [
        f"    {level:<{width}}  " + "".join(f"{found.counts.get((label, level), 0):>14}" for label in labels)
        for level in levels
    ]
    return "\n".join([line, head, *rows])


def _plain(found: Achieved) -> dict[str, object]:
    counts = {f"{label} / {level}": count for (label, level), count in found.counts.items()}
    return {**asdict(found), "counts": counts}
