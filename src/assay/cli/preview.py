"""`assay preview`: as text, JSON and a page."""

from __future__ import annotations

import base64
import json as jsonlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.results import open_page
from assay.core.errors import foremost, others
from assay.report.images import FIGURES, MEANING
from assay.report.sentences.captions import caption
from assay.report.sentences.reasons import reason_words
from assay.report.words import statement
from assay.shifts.environment import Achieved
from assay.stats.format import count, listed, number, with_interval
from assay.stats.power import Assumptions
from assay.store.files import Row, write_text
from assay.study.run_request import RunRequest

if TYPE_CHECKING:
    from assay.analysis.preview import Preview, Shown
    from assay.study.run import Prepared


CUES = ("cue", "kind", "class", "AUROC", "direction")
CUES_HEAD = "Cues that predict the target without a network"
CUES_MEANING = (
    "AUROC of one column, property or fitted score for a class against the others, with its 95% interval, of the "
    "images as they are found. Levels and baselines (ridge regressions) are fitted on other images."
)


def cue_texts(row: Row) -> tuple[str, ...]:
    """Return name, kind, class, AUROC and direction of a cue; a dash where there is none."""
    auroc = with_interval(row["value"], row["low"], row["high"]) if row["value"] == row["value"] else "–"
    return str(row["name"]), str(row["kind"]), str(row["of"]) or "–", auroc, str(row["direction"]) or "–"


# What a preview says of confounders: how visible each is, as lines of text and as a table of its page.

HEAD = "How visible each confounder is"
_NAMES = ("share", "difference", "ssim")


def visibility_lines(rows: Sequence[Row]) -> list[str]:
    """A line per confounder under its head; nothing where no pixel is changed."""
    if not rows:
        return []
    width = max(len(str(row["confounder"])) for row in rows)
    heads = (*FIGURES, "images")
    lines = ["", HEAD, "  " + " " * width + "".join(f"  {head}" for head in heads)]
    for row in rows:
        cells = "".join(f"  {cell:>{len(head)}}" for cell, head in zip(_cells(row), heads, strict=True))
        lines.append(
            f"  {row['confounder']:<{width}}"
            + (f"  {reason_words(row['reason'])}" if row["kind"] == "sampled" else cells)
        )
    return lines


def visibility_table(rows: Sequence[Row]) -> str:
    """The same as HTML."""
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in ("confounder", *FIGURES, "images"))
    body = "".join(f'<tr><th scope="row">{escape(str(row["confounder"]))}</th>{_row(row)}</tr>' for row in rows)
    return f"<table><caption>{escape(HEAD)}</caption><tr>{heads}</tr>{body}</table>"


def _row(row: Row) -> str:
    if row["kind"] == "sampled":
        return f'<td colspan="{len(FIGURES) + 1}">{escape(reason_words(row["reason"]))}</td>'
    return "".join(f"<td>{cell}</td>" for cell in _cells(row))


def _cells(row: Row) -> tuple[str, ...]:
    """Three figures, a dash where there is none, and the number of images."""
    figures = (float(row[name]) for name in _NAMES)
    return (*("–" if value != value else number(value, 3) for value in figures), str(row["images"]))


# Simple cues, as lines of text and as a table of the page.


def shortcut_lines(rows: Sequence[Row]) -> list[str]:
    """Return a line per factor, column, image property and baseline under a heading; none for a phantom."""
    if not rows:
        return []
    cells = [CUES, *(cue_texts(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) for line in cells]
    return ["", CUES_HEAD, *(f"  {line}".rstrip() for line in lines)]


def shortcut_table(rows: Sequence[Row]) -> str:
    """The same as HTML."""
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in (*CUES, "images"))
    body = ""
    for row in rows:
        name, *others = cue_texts(row)
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in (*others, f"{row['images']:,}"))
        body += f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
    return f"<table><caption>{escape(CUES_HEAD)}</caption><tr>{heads}</tr>{body}</table>"


# `assay preview`: pictures, associations, size, time and power of a study, before a second of training.

POWER_HEAD = "What a contrast can detect with 80% power"
LEFT_OUT = 5
"""Rows that were left out and are named."""
APART = 3
"""Up to so many comparisons of one measure each state why nothing can be computed."""


@dataclass(frozen=True)
class Found:
    """The content of a preview.

    Attributes:
        power: One entry per comparison, as `analysis.preview` makes them.
    """

    prepared: Prepared
    preview: Preview
    power: Sequence[dict[str, str | float | None]]
    workers: int
    folder: Path


def preview_command(asked: RunRequest) -> None:
    """Print the tables, and write the pictures and a page of both to `<run folder>/preview/`."""
    from assay.analysis.preview import detectable_differences, make_preview
    from assay.execution.device import choose_device
    from assay.execution.local import executor_for
    from assay.execution.progress import reading_shown
    from assay.store.folder import PREVIEW, RunFolder, working_in
    from assay.study.run import prepare

    settled = asked.settled()
    spec, root, device = settled.spec, settled.root, choose_device(asked.device)
    folder = root / PREVIEW
    with reading_shown(asked.as_json) as notify:
        prepared = prepare(spec, root, skip_bad_rows=asked.skip_bad_rows, device=device, notify=notify)
    with working_in(folder):
        RunFolder(folder).remove_partial_files()
        preview = make_preview(spec, prepared.population, folder, prepared.starts)
        power = detectable_differences(spec, prepared.population)
        found = Found(prepared, preview, power, executor_for(asked.workers, device)[1], folder)
        page = write_preview(found)
    if asked.as_json:
        print(jsonlib.dumps(_facts(found, page), indent=1))
    else:
        print("\n".join(text_lines(found)))
        print(f"pictures: {folder} ({len(preview.pictures)} files)")
        print(f"preview: {page}")
    if asked.open:
        open_page(page)


def text_lines(found: Found) -> list[str]:
    """The whole preview as lines of text."""
    spec = found.prepared.spec
    lines = [f"{spec.name}: {spec.question}" if spec.question else spec.name, ""]
    lines += [core, ""] if (core := core_line(found)) else []
    for shown in found.preview.environments:
        lines.append(f"{shown.name}: {images_of(shown)}")
        for tie in told_of(found, shown):
            lines += [f"  {association(tie)}", *_counts(tie)]
    lines += [f"source {caption(row)}" for row in found.preview.pictures if row["kind"] == "source"]
    lines += visibility_lines(found.preview.visibility)
    lines += shortcut_lines(found.preview.shortcuts)
    lines += [line for text in about_data(found) for line in ("", text)]
    lines += ["", POWER_HEAD] if found.power else []
    lines += [f"  {line}" for line in power_lines(found)]
    lines += [f"  {text}" for text in rough(found)]
    return [*lines, "", size(found)]


def about_data(found: Found) -> list[str]:
    """Return remarks on the images: doubts, the warnings of their card, and rows that were left out."""
    from assay.data.cards import without_patients

    card = found.prepared.population.card
    unnamed = without_patients(card.known_faults)  # one of the doubts
    left = card.left_out[:LEFT_OUT]
    more = len(card.left_out) - len(left)
    return [
        *(f"doubt: {reason_words(reason)}" for reason in found.preview.doubts),
        *(f"data: {text}" for text in card.known_faults if text != unnamed),
        *(f"left out: {text}" for text in left),
        *([f"left out: and {more:,} more, which the report lists"] if more else []),
    ]


def power_lines(found: Found) -> list[str]:
    """State the detectable difference of each comparison, or why it is unknown; once for several of one measure."""
    alike = Counter((row["measure"], row["reason"]) for row in found.power)
    lines: dict[str, None] = {}
    for row in found.power:
        many = alike[row["measure"], row["reason"]]
        together = row["reason"] and many > APART
        of = f"{row['measure']}, {many} comparisons" if together else statement(row)
        lines[f"{of}: {reason_words(row['reason']) or row['detectable']}"] = None
    return list(lines)


def rough(found: Found) -> list[str]:
    """Explain the basis and the limits of the power figures; nothing where there are none."""
    if all(row["detectable"] is None for row in found.power):
        return []
    folds = found.prepared.population.folds
    each = f" of {folds} folds" if folds > 1 else ""
    return [
        f"a rough plan from {count(found.prepared.spec.seeds, 'seed')}{each}, the test patients and Holm's first step "
        f"in each family, {assumed(Assumptions(), folds)} (docs/statistics.md)",
        "most studies find smaller differences; the report states the difference that the run could detect",
    ]


def assumed(found: Assumptions, folds: int) -> str:
    """State the assumptions behind the power figures."""
    independent = f"between trainings ({folds} folds of a seed taken for independent)"
    between = "between seeds" if folds == 1 else independent
    return (
        f"assuming a value near {found.value:.2g}, paired differences that vary by {found.seed_sd:.2g} {between}, "
        f"and a correlation of {found.correlation:.2g} between the recipes' answers about a patient"
    )


def size(found: Found) -> str:
    """How many trials there are, how many are new, and about how long they take."""
    from assay.cli.run import on_device, worst_lines
    from assay.execution.progress import duration, workers_text

    prepared = found.prepared
    worst = worst_lines(prepared)
    if not prepared.tasks:
        return "; ".join([f"{len(prepared.plan.trials)} trials, all done: nothing to train", *worst])
    time = f"about {duration(prepared.seconds(found.workers))} with {workers_text(found.workers)}{on_device(prepared)}"
    now = f"{len(prepared.plan.trials)} trials, of which {prepared.new_trials} are to be trained: {time}"
    return "; ".join([now, *worst])


def images_of(shown: Shown) -> str:
    """Count the images of an environment, and name their folds."""
    of = f", all {shown.folds} folds together" if shown.together else f", the first of {shown.folds} folds"
    return f"{shown.images} images{of if shown.folds > 1 else ''}"


def core_line(found: Found) -> str:
    """State how the core factor defines the target, if it does so in every environment alike; else nothing."""
    core = found.prepared.spec.data.core
    ties = [tie for shown in found.preview.environments for tie in shown.achieved if tie.factor == core]
    if not ties or any(tie.strength != 1 for tie in ties):
        return ""
    return f"{core} with {ties[0].target}: +1.00 in every environment, since it defines it"


def told_of(found: Found, shown: Shown) -> list[Achieved]:
    """Return the associations to show for an environment, without that of the core factor where one line covers it."""
    core = found.prepared.spec.data.core if core_line(found) else ""
    return [tie for tie in shown.achieved if not core or tie.factor != core]


def association(tie: Achieved) -> str:
    """Return one association: requested, achieved with its interval, and the rows that were kept for it."""
    kept = f", {tie.kept} of {tie.available} rows kept" if tie.kept < tie.available else ""
    if tie.put_on and tie.asked is None:
        return f"{tie.factor}: on {_shares(tie)}"
    if tie.held:
        return f"{tie.factor}: held at {tie.held}: no association with {tie.target}{kept}"
    asked = "as found" if tie.asked is None else f"requested {tie.asked:+.2f}"
    achieved = f"achieved {tie.strength:+.2f} [{tie.low:+.2f}, {tie.high:+.2f}]"
    return f"Somers' D of {tie.factor} with {tie.target}: {asked}, {achieved}{kept}"


def _shares(tie: Achieved) -> str:
    """`0% of absent and 50% of present, Somers' D with present +0.50 [+0.42, +0.58]`."""
    labels, rows = cross_table(tie)
    totals = [sum(counts) for counts in zip(*(counts for _, counts in rows), strict=True)]
    marked = dict(rows)["with"]
    if sum(marked) in (0, sum(totals)):
        return f"{'every' if sum(marked) else 'no'} image: no association with {tie.target}"
    shares = [f"{100 * n / of:.3g}% of {label}" for label, n, of in zip(labels, marked, totals, strict=True) if of]
    return f"{listed(shares)}: Somers' D with {tie.target} {tie.strength:+.2f} [{tie.low:+.2f}, {tie.high:+.2f}]"


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
        "shortcuts": [_without_nan(row) for row in found.preview.shortcuts],
        "doubts": [reason_words(reason) for reason in found.preview.doubts],
        "power": found.power,
        "pictures": [str(found.folder / str(row["file"])) for row in found.preview.pictures],
        "preview": str(page),
    }


def _plain(tie: Achieved) -> dict[str, object]:
    counts = [{"target": label, "level": level, "rows": rows} for (label, level), rows in tie.counts.items()]
    return {**_without_nan(asdict(tie)), "counts": counts}


def _without_nan(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}


# The page of a preview: its pictures with the tables, one file that needs nothing but itself.

STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
img{max-width:100%;height:auto;image-rendering:pixelated}
figure{margin:1rem 0;overflow-x:auto}
figcaption{position:sticky;left:0}
@media(max-width:40rem){figure img{max-width:none;width:44rem}}
.tables{display:flex;flex-wrap:wrap;align-items:end;gap:0 2.5rem;overflow-x:auto;margin:.5rem 0 1.5rem}
figure,.tables{background:linear-gradient(to left,Canvas 60%,transparent) right/28px 100% no-repeat local,\
linear-gradient(to left,#8888,transparent) right/9px 100% no-repeat scroll}
table{border-collapse:collapse}
caption{text-align:left}
th,td{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #8886}
th:first-child,td:first-child{text-align:left}
"""


def write_preview(found: Found) -> Path:
    """Write `index.html` into the folder of the pictures and return its path. Every text from data is escaped."""
    spec = found.prepared.spec
    sheets = {str(row["environment"]): row for row in found.preview.pictures if row["kind"] == "sheet"}
    parts = [f"<h1>{escape(spec.name)}</h1>", _paragraph(spec.question), _paragraph(size(found))]
    parts += [_paragraph(f"{text[:1].upper()}{text[1:]}") for text in about_data(found)]
    parts += [_paragraph(core_line(found))]
    copies = [row for row in found.preview.pictures if row["kind"] == "copies"]
    parts += ["<h2>Near copies</h2>"] if copies else []
    parts += [_picture(found.folder, row) for row in copies]
    learned = [row for row in found.preview.pictures if row["kind"] == "source"]
    parts += ["<h2>What the sources are trained on</h2>"] if learned else []
    parts += [_picture(found.folder, row) for row in learned]
    changed = [row for row in found.preview.pictures if row["kind"] == "confounder"]
    parts += ["<h2>Each confounder, without and with it</h2>"] if changed else []
    parts += [_picture(found.folder, row) for row in changed]
    if found.preview.visibility:
        parts += [_side_by_side([visibility_table(found.preview.visibility)]), _paragraph(MEANING)]
    for shown in found.preview.environments:
        sheet = _picture(found.folder, sheets[shown.name]) if shown.name in sheets else ""
        counted = sheet and shown.folds == 1  # its caption counts the images, of the first fold where there are folds
        parts += [f"<h2>{escape(shown.name)}</h2>", sheet, "" if counted else _paragraph(images_of(shown))]
        parts += [_side_by_side([_association(tie) for tie in told_of(found, shown)])]
    pairs = [row for row in found.preview.pictures if row["kind"] == "pair"]
    parts += ["<h2>One factor changed, all else the same</h2>"] if pairs else []
    parts += [_picture(found.folder, row) for row in pairs]
    if found.preview.shortcuts:
        parts += [
            _side_by_side([shortcut_table(found.preview.shortcuts)]),
            _paragraph(CUES_MEANING),
        ]
    parts += [_power(found)] if found.power else []
    page = found.folder / "index.html"
    write_text(page, _document(spec.name, "\n".join(parts)))
    return page


def _power(found: Found) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in power_lines(found))
    return f"<h2>{escape(POWER_HEAD)}</h2><ul>{items}</ul>" + "".join(map(_paragraph, rough(found)))


def _document(title: str, body: str) -> str:
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n'


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>" if text else ""


def _picture(folder: Path, row: Row) -> str:
    data = base64.b64encode((folder / str(row["file"])).read_bytes()).decode()
    text = escape(caption(row))
    return f'<figure><img src="data:image/png;base64,{data}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _side_by_side(tables: Sequence[str]) -> str:
    """Tables side by side while there is room; one that is wider than the page scrolls by itself."""
    return f'<div class="tables">{"".join(tables)}</div>' if tables else ""


def _association(tie: Achieved) -> str:
    labels, rows = cross_table(tie)
    head = "".join(f'<th scope="col">{escape(label)}</th>' for label in labels)
    body = "".join(
        f'<tr><th scope="row">{escape(level)}</th>{"".join(f"<td>{n}</td>" for n in counts)}</tr>'
        for level, counts in rows
    )
    head_line = f"<caption>{escape(association(tie))}</caption>"
    return f'<table>{head_line}<tr><th scope="col">{escape(tie.factor)}</th>{head}</tr>{body}</table>'
