"""`assay preview`: pictures, associations, size, time and power of a study, before a second of training."""

from __future__ import annotations

import json as jsonlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.preview_confounders import visibility_lines
from assay.cli.request import Request, Settled
from assay.core.tally import foremost, others
from assay.shifts.environment import Achieved
from assay.stats.format import count, listed
from assay.stats.power import Assumptions

if TYPE_CHECKING:
    from assay.execution.preview import Preview, Shown
    from assay.execution.run import Prepared

POWER_HEAD = "What a contrast can detect with 80 % power"
LEFT_OUT = 5
"""Rows that were left out and are named."""
APART = 3
"""Up to so many comparisons of one measure are each told why nothing can be said of them."""


@dataclass(frozen=True)
class Found:
    """All that a preview tells. power: one entry per comparison, as `execution.power` makes them."""

    prepared: Prepared
    preview: Preview
    power: Sequence[dict[str, str | float | None]]
    workers: int
    folder: Path


def preview_command(asked: Request, settled: Settled) -> None:
    """Print the tables, and write the pictures and a page of both to `<run folder>/preview/`."""
    from assay.cli.preview_page import write_preview
    from assay.execution.executors import executor_for
    from assay.execution.power import detectable_differences
    from assay.execution.preview import make_preview
    from assay.execution.reading import reading_shown
    from assay.execution.run import prepare
    from assay.store.folder import PREVIEW, RunFolder
    from assay.store.lock import working_in

    spec, root, device = settled.spec, settled.root, settled.device
    folder = root / PREVIEW
    with reading_shown(asked.json) as told:
        prepared = prepare(spec, root, skip_bad_rows=asked.skip_bad_rows, device=device, told=told)
    with working_in(folder):
        RunFolder(folder).remove_partial_files()
        preview = make_preview(spec, prepared.population, folder, prepared.starts)
        power = detectable_differences(spec, prepared.population)
        found = Found(prepared, preview, power, executor_for(asked.workers, device)[1], folder)
        page = write_preview(found)
    if asked.json:
        print(jsonlib.dumps(_facts(found, page), indent=1))
        return
    print("\n".join(text_lines(found)))
    print(f"pictures: {folder} ({len(preview.pictures)} files)")
    print(f"preview: {page}")


def text_lines(found: Found) -> list[str]:
    """The whole preview as lines of text."""
    spec = found.prepared.spec
    lines = [f"{spec.name}: {spec.question}" if spec.question else spec.name, ""]
    lines += [core, ""] if (core := core_line(found)) else []
    for shown in found.preview.environments:
        lines.append(f"{shown.name}: {shown.size}")
        for tie in told_of(found, shown):
            lines += [f"  {association(tie)}", *_counts(tie)]
    lines += [f"source {row['caption']}" for row in found.preview.pictures if row["kind"] == "source"]
    lines += visibility_lines(found.preview.visibility)
    lines += [line for text in about_data(found) for line in ("", text)]
    lines += ["", POWER_HEAD] if found.power else []
    lines += [f"  {line}" for line in power_lines(found)]
    lines += [f"  {text}" for text in rough(found)]
    return [*lines, "", size(found)]


def about_data(found: Found) -> list[str]:
    """What to know of the images: what was doubted, what their card warns of, and rows that were left out."""
    card = found.prepared.population.card
    left = card.left_out[:LEFT_OUT]
    more = len(card.left_out) - len(left)
    return [
        *(f"doubt: {text}" for text in found.preview.doubts),
        *(f"data: {text}" for text in card.known_faults),
        *(f"left out: {text}" for text in left),
        *([f"left out: and {more:,} more, which the report lists"] if more else []),
    ]


def power_lines(found: Found) -> list[str]:
    """What each comparison can detect, or why that cannot be said: once for many of one measure."""
    alike = Counter((row["measure"], row["reason"]) for row in found.power)
    lines: dict[str, None] = {}
    for row in found.power:
        many = alike[row["measure"], row["reason"]]
        together = row["reason"] and many > APART
        of = f"{row['measure']}, {many} comparisons" if together else row["statement"]
        lines[f"{of}: {row['reason'] or row['detectable']}"] = None
    return list(lines)


def rough(found: Found) -> list[str]:
    """What the figures of power are made from and how far they go; nothing where there is no figure."""
    if all(row["detectable"] is None for row in found.power):
        return []
    folds = found.prepared.population.folds
    each = f" of {folds} folds" if folds > 1 else ""
    return [
        f"a rough plan from {count(found.prepared.spec.seeds, 'seed')}{each}, the test patients and Holm's first step "
        f"of {count(len(found.power), 'comparison')}, {Assumptions().sentence(folds)} (docs/statistics.md)",
        "differences that studies find are mostly smaller: what the run itself could detect stands in its report",
    ]


def size(found: Found) -> str:
    """How many trials there are, how many are new, and about how long they take."""
    from assay.cli.run import on_device
    from assay.execution.progress import duration, workers_text

    prepared = found.prepared
    if not prepared.tasks:
        return f"{len(prepared.plan.trials)} trials, all done: nothing to train"
    time = f"about {duration(prepared.seconds(found.workers))} with {workers_text(found.workers)}{on_device(prepared)}"
    return f"{len(prepared.plan.trials)} trials, of which {prepared.new_trials} are to be trained: {time}"


def core_line(found: Found) -> str:
    """What the core factor is to the target where it defines it in every environment alike; else nothing."""
    core = found.prepared.spec.data.core
    ties = [tie for shown in found.preview.environments for tie in shown.achieved if tie.factor == core]
    if not ties or any(tie.strength != 1 for tie in ties):
        return ""
    return f"{core} with {ties[0].target}: +1.00 in every environment, since it defines it"


def told_of(found: Found, shown: Shown) -> list[Achieved]:
    """The associations that an environment is told of: not that of the core factor where one line says it for all."""
    core = found.prepared.spec.data.core if core_line(found) else ""
    return [tie for tie in shown.achieved if not core or tie.factor != core]


def association(tie: Achieved) -> str:
    """One association: asked for, achieved with its interval, and the rows that were kept for it."""
    kept = f", {tie.kept} of {tie.available} rows kept" if tie.kept < tie.available else ""
    if tie.put_on and tie.asked is None:
        return f"{tie.factor}: put on {_shares(tie)}"
    if tie.held:
        return f"{tie.factor}: held at {tie.held}, so that nothing ties it to {tie.target}{kept}"
    asked = "as found" if tie.asked is None else f"asked {tie.asked:+.2f}"
    achieved = f"achieved {tie.strength:+.2f} [{tie.low:+.2f}, {tie.high:+.2f}]"
    return f"{tie.factor} with {tie.target}: {asked}, {achieved}{kept}"


def _shares(tie: Achieved) -> str:
    """`0 % of absent and 50 % of present, which ties it to present at +0.50 [+0.42, +0.58]`."""
    labels, rows = cross_table(tie)
    totals = [sum(counts) for counts in zip(*(counts for _, counts in rows), strict=True)]
    marked = dict(rows)["with"]
    if sum(marked) in (0, sum(totals)):
        return f"{'every' if sum(marked) else 'no'} image, so that nothing ties it to {tie.target}"
    shares = [f"{100 * n / of:.3g} % of {label}" for label, n, of in zip(labels, marked, totals, strict=True) if of]
    return f"{listed(shares)}, which ties it to {tie.target} at {tie.strength:+.2f} [{tie.low:+.2f}, {tie.high:+.2f}]"


def cross_table(tie: Achieved) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """Classes, and for every level or bin of the factor its name and the number of rows per class.

    Of many classes the most frequent have a column each, and the rest one together (`tally.foremost`).
    """
    classes = dict.fromkeys((label for label, _ in tie.counts), 0)
    for (label, _), rows in tie.counts.items():
        classes[label] += rows
    named, rest = foremost(classes)
    columns = [(name, (name,)) for name in named] + ([(others(rest), rest)] if rest else [])
    levels = dict.fromkeys(level for _, level in tie.counts)
    counted = [(level, [sum(tie.counts.get((one, level), 0) for one in own) for _, own in columns]) for level in levels]
    return [name for name, _ in columns], counted


def _counts(tie: Achieved) -> list[str]:
    labels, rows = cross_table(tie)
    width = max(len(level) for level, _ in rows)
    wide = max(8, *(len(label) + 2 for label in labels))
    head = " " * (width + 6) + "".join(f"{label:>{wide}}" for label in labels)
    return [head, *(f"    {level:<{width}}  " + "".join(f"{n:>{wide}}" for n in counts) for level, counts in rows)]


def _facts(found: Found, page: Path) -> dict[str, object]:
    prepared = found.prepared
    return {
        "study": prepared.spec.name,
        "trials": len(prepared.plan.trials),
        "to_train": prepared.new_trials,
        "seconds": round(prepared.seconds(found.workers), 1),
        "workers": found.workers,
        "device": prepared.device,
        "environments": [
            {"environment": shown.name, "images": shown.images, "achieved": [_plain(tie) for tie in shown.achieved]}
            for shown in found.preview.environments
        ],
        "visibility": [_without_nan(row) for row in found.preview.visibility],
        "doubts": list(found.preview.doubts),
        "power": found.power,
        "pictures": [str(found.folder / str(row["file"])) for row in found.preview.pictures],
        "preview": str(page),
    }


def _plain(tie: Achieved) -> dict[str, object]:
    counts = [{"target": label, "level": level, "rows": rows} for (label, level), rows in tie.counts.items()]
    return {**_without_nan(asdict(tie)), "counts": counts}


def _without_nan(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
