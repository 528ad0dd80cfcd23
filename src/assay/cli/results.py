"""`assay results`, `assay report` and `assay clean`: the contents of a run folder."""

from __future__ import annotations

import csv as csvlib
import json as jsonlib
import math
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from assay.core.errors import AssayError, StoreError, shorten, unknown_of_few, visible
from assay.core.files import is_file
from assay.core.registry import code_of_folder
from assay.report.browser import open_page
from assay.store.columns import Table
from assay.store.data_tables import ISSUES
from assay.store.files import Row
from assay.store.find import candidate_folders, find_run
from assay.store.folder import EARLIER_TABLES, RunFolder, remove_unit
from assay.store.layout import PAGE, RUN, working_in
from assay.store.manifest import PAGE_UNSIGNED, added_files, page_is_signed, read_manifest, write_manifest
from assay.store.schema import (
    CONTRASTS,
    DIFFERENCES,
    ESTIMATES,
    FINDINGS,
    LOOKS,
    PROVENANCE,
    PUBLISHED,
    PUBLISHED_ORDERS,
)
from assay.store.soundness import Soundness
from assay.study.kind import PREVIEW

MOST_FOLDED = 2_000
"""Rows that are folded to the width of a terminal; of longer tables each row is a line."""

COMPARISON, SENTENCE, FILE = "comparison", "sentence", "file"
"""A row of `contrasts` or `looks`, and one of `findings`, in words: printed, and in its JSON; and the file of an issue,
which no run folder has: in its CSV too."""


@dataclass(frozen=True)
class TableFormat:
    """How a table is printed: for reading, or in one of four formats, and which part of it.

    columns: names, comma-separated; empty for all. rows: `column=value`, each of which a row must have.
    """

    json: bool = False
    csv: bool = False
    markdown: bool = False
    latex: bool = False
    columns: str = ""
    rows: tuple[str, ...] = ()


def results_command(run: str, table: str, out: Path, form: TableFormat) -> None:
    """Print a table, or a part of it.

    Args:
        run: Run folder, or a name under `out`.
        table: Name of the table; empty for the first of the run's, or `estimates` of a study without comparisons.
        out: Where run folders are.
        form: The format and the part.

    Raises:
        StoreError: There is no such run, table or column.
    """
    if form.json + form.csv + form.markdown + form.latex > 1:
        raise StoreError("--json, --csv, --markdown and --latex: choose one of them")
    folder = RunFolder(find_run(run, out))
    Soundness(folder).require(["tables"])
    first = next(iter(folder.tables))
    table = table or (ESTIMATES.name if first == CONTRASTS.name and not folder.table(first) else first)
    stored = folder.table(table)
    described = folder.tables[table]
    worded = {ISSUES.name: [FILE], CONTRASTS.name: [COMPARISON], LOOKS.name: [COMPARISON], FINDINGS.name: [SENTENCE]}
    sentences = [] if form.csv and table != ISSUES.name else worded.get(table, [])
    plain, spread = described.spread(stored)
    every = [*plain, *sentences]
    columns = [_column(name.strip(), every) for name in form.columns.split(",")] if form.columns else []
    wanted = [_parse_condition(text, every) for text in form.rows]
    files: Mapping[int, str] = _file_names(folder) if table == ISSUES.name else {}
    whole = (
        {**row, **(_row_words(of, table, files) if sentences else {})} for row, of in zip(spread, stored, strict=True)
    )
    rows = [row for row in whole if all(_is(row[name], value) for name, value in wanted)]
    if not folder.tables_are_current():
        print(f"{folder.root}: {EARLIER_TABLES}", file=sys.stderr)
    if form.json:
        print(jsonlib.dumps([_part(_plain(row), columns) for row in rows], indent=1))
    elif form.csv:
        _print_csv(columns or every, rows)
    elif rows or form.markdown or form.latex:
        _print_table(rows, described, columns, form)
    else:
        print(f"{table}: no row {'of this run' if not stored else 'with ' + ', '.join(form.rows)}", file=sys.stderr)
    if not (form.json or form.csv or form.markdown or form.latex):
        sentences = f"{table}: a row for every {described.row} (other tables: assay list tables)"
        print(
            fill(sentences, shutil.get_terminal_size().columns) if sys.stderr.isatty() else sentences, file=sys.stderr
        )


def published_command(run: str, out: Path, form: TableFormat) -> None:
    """Print each published table of a study in its own form, with the figures of the run beside.

    Raises:
        StoreError: There is no such run, or its study names no published table.
    """
    folder = RunFolder(find_run(run, out))
    Soundness(folder).require(["tables"])
    stored = folder.table(PUBLISHED.name)
    if not stored:
        raise StoreError(f"{folder.root}: the study has no `published` tables to put its figures beside")
    if form.json or form.csv or form.columns or form.rows:
        results_command(run, PUBLISHED.name, out, form)
        return
    from assay.report.sheets import escape_markdown

    plain = escape_markdown if form.markdown else str
    for title in dict.fromkeys(str(row["table"]) for row in stored):
        cells = [row for row in stored if row["table"] == title]
        origin = ", ".join(str(cells[0][name]) for name in ("source", "page") if cells[0][name])
        print(f"{plain(title)} ({plain(origin)})\n")
        columns = {name: [row for row in cells if row["column"] == name] for name in _distinct(cells, "column")}
        parts = {name: _parts(rows) for name, rows in columns.items()}
        heads = [("", False), *((head, True) for heads in parts.values() for head in heads)]
        at = {(row["row"], row["column"]): row for row in cells}
        lines = [
            [level, *(cell for name in columns for cell in _published_cells(at.get((level, name)), parts[name]))]
            for level in _distinct(cells, "row")
        ]
        (_print_markdown if form.markdown else _print_lines)(heads, lines)
        _print_orders([row for row in folder.table(PUBLISHED_ORDERS.name) if row["table"] == title], plain)
        print(f"\n{plain(cells[0]['note'])}" if cells[0]["note"] else "")
    facts = {row["key"]: row["value"] for row in folder.table(PROVENANCE.name)}
    if DIFFERENCES in facts:
        print(f"\n{DIFFERENCES.capitalize()}: {plain(facts[DIFFERENCES])}")


def _print_orders(rows: Sequence[Row], plain: Callable[[object], str]) -> None:
    """Print for each column of a published table whether its order is replicated."""
    for row in rows:
        same, pairs, compared = (f"{row[name]:.0f}" for name in ("same", "pairs", "compared"))
        shown, other = f"{row['same_shown']:.0f}", f"{row['other_shown']:.0f}"
        order = f"{same} of {pairs} pairs of rows are in the published order (tau {row['tau']:.2f})"
        print(f"\n{plain(row['column'])}: {order}.")
        print(f"Of the {compared} that were compared, {shown} are decided as published, {other} the other way.")


def _distinct(rows: Sequence[Row], name: str) -> list[str]:
    return list(dict.fromkeys(str(row[name]) for row in rows))


def _parts(rows: Sequence[Row]) -> list[str]:
    """Return the headings of a column: published figures where there are any, the run's own, and a test's p-value."""
    name, against = rows[0]["column"], rows[0]["against"]
    published = [f"{name}: published"] if any(not math.isnan(row["published"]) for row in rows) else []
    heading = "this run" if published else name
    return [*published, heading, *([f"seeds of {name}", f"p, against {against}"] if against else [])]


def _published_cells(row: Row | None, parts: Sequence[str]) -> list[str]:
    if row is None:
        return [""] * len(parts)
    interval = "" if math.isnan(row["low"]) else f" [{row['low']:.3f}, {row['high']:.3f}]"
    value_text = f"{row['value']:.3f}{interval}"
    if math.isnan(row["value"]):
        value_text = "undefined" if row["seeds"] else "not run"
    cells = [value_text, *([row["seeds"], "" if math.isnan(row["p"]) else f"{row['p']:.3f}"] if row["against"] else [])]
    return (
        cells if len(cells) == len(parts) else ["" if math.isnan(row["published"]) else f"{row['published']:g}", *cells]
    )


def _column(name: str, names: Sequence[str]) -> str:
    if name not in names:
        raise StoreError(unknown_of_few("column", name, names))
    return name


def _parse_condition(text: str, names: Sequence[str]) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise StoreError(f"--rows {text}: expected a column, `=` and a value, such as --rows environment=reversed")
    return _column(name.strip(), names), value.strip()


def _is(value: Any, wanted: str) -> bool:
    """Return whether a cell has the value, as printed in full, as a number, or as true or false in any case."""
    if isinstance(value, bool) and wanted.casefold() in ("true", "false"):
        return str(value).casefold() == wanted.casefold()
    try:
        return str(value) == wanted or (not isinstance(value, str) and float(value) == float(wanted))
    except ValueError:
        return False


def _part(row: Row, columns: Sequence[str]) -> Row:
    return {name: row[name] for name in columns or row}


def figure_command(run: str, measure: str, file: Path | None, out: Path) -> None:
    """Draw one measure of a run into a file and print its path.

    Args:
        run: Run folder, or a name under `out`.
        measure: Name of a measure.
        file: Path that ends in .svg, .png or .pdf; None for the name of the measure as SVG.
        out: Where run folders are.

    Raises:
        StoreError: There is no such run or measure, or the path has another ending.
    """
    folder = find_run(run, out)

    from assay.report.notebook import chart

    print(chart(folder, measure).save(file or f"{measure}.svg"))


def export_command(run: str, trial: str, folder: Path, format: str, out: Path) -> None:
    """Write a trained network into a folder and print its path. See `assay.Run.export`."""
    root = find_run(run, out)

    from assay.study.export import export_model

    print(export_model(root, trial, folder, format))


def report_command(run: str, out: Path, json: bool) -> None:
    """Recompute statistics from records and rewrite the page; say so where records do not suffice for statistics."""
    folder = find_run(run, out)

    from assay.execution.run import rebuild

    page, kind = rebuild(folder), RunFolder(folder).kind
    if Soundness(RunFolder(folder)).is_signed:
        print("only the page is new: the tables are those that were signed", file=sys.stderr)
    elif kind and not kind.rebuild:
        print(
            f"only the page is new; to make the tables of {kind.noun} again, {kind.remedy}",
            file=sys.stderr,
        )
    print(jsonlib.dumps({"report": str(page)}) if json else page)


def open_command(runs: Sequence[str], out: Path, bundle: Path | None = None) -> None:
    """Open the page of a run, or an index of several; or pack them.

    Args:
        runs: Run folders, names under `out`, or folders of runs; without any all runs under `out`.
        out: Where run folders are; the index is written there.
        bundle: A ZIP file to write in place of opening anything.

    Raises:
        StoreError: There is no such run, or it has no page, or another one than its tables give.
    """
    from assay.report.index_page import has_card, index_of_bundle, run_state, write_index
    from assay.report.page import OtherPageError, require_page
    from assay.store.bundle import BUNDLED, write_bundle

    folders = [folder for run in runs or [str(out)] for folder in _with_pages(run, out)]
    checked, unchecked = dict[Path, str](), dict[Path, str]()
    for folder in folders:
        if bundle is not None:
            Soundness(RunFolder(folder)).require(BUNDLED, page=True)
        if is_file(folder / RUN):
            try:
                state = run_state(folder) if bundle is None and len(folders) > 1 else ""
                if not state or not has_card(folder, state):
                    require_page(folder)
                if state:
                    checked[folder] = state
            except StoreError as error:
                if bundle is not None or len(folders) == 1 or isinstance(error, OtherPageError):
                    raise
                print(error, file=sys.stderr)  # the index has the other runs, and names what is damaged
                unchecked[folder] = str(error)
        else:
            print(f"{folder / PAGE} was not checked: there is no {RUN} beside it", file=sys.stderr)
    if bundle is not None:
        for folder in map(RunFolder, folders):
            if Soundness(folder).is_signed and not page_is_signed(folder.root):
                print(f"{folder.root}{PAGE_UNSIGNED.replace(';', ':')}", file=sys.stderr)
        index = index_of_bundle(folders) if len(folders) > 1 else ""
        print(write_bundle(folders, bundle, index), flush=True)
        return
    page = folders[0] / PAGE
    if len(folders) > 1:
        page = write_index(folders, out / "index.html", checked, unchecked)
    print(page, flush=True)
    open_page(page)


def _with_pages(run: str, out: Path) -> list[Path]:
    """Return the run folder that is named, or those of a folder of runs that have a page."""
    for place in candidate_folders(run, out):
        if is_file(place / PAGE):
            return [place]
    inside = sorted(path.parent for path in Path(run).glob(f"*/{PAGE}") if is_file(path.parent / RUN))
    if inside and not is_file(Path(run) / RUN):
        return inside
    folder = find_run(run, out)
    if not is_file(folder / PAGE):
        kind = RunFolder(folder).require_run()
        if kind.rebuild or RunFolder(folder).has_ended:
            remedy = f"`assay report {shlex.quote(run)}` writes it from the records"
        else:
            remedy = f"the run did not end; {kind.remedy}"
        raise StoreError(f"{folder / PAGE} does not exist: {remedy}")
    return [folder]


def clean_command(run: str, yes: bool, out: Path, json: bool) -> None:
    """List the units that the run's spec does not name, and delete them on request."""
    folder = find_run(run, out)

    from assay.study.records import unnamed_units

    with working_in(folder) if yes else nullcontext():  # a run that has begun may name what it did not name before
        paths = unnamed_units(folder)
        size = sum(file.stat().st_size for path in paths for file in path.rglob("*") if file.is_file())
        for path in paths if yes else ():
            remove_unit(path)
        if yes and (listed := read_manifest(folder)) is not None:
            digests = {name: digest for name, (_, digest) in listed.items()}
            write_manifest(folder, digests, added=added_files(folder))
    if json:
        print(jsonlib.dumps({"paths": [str(path) for path in paths], "bytes": size, "deleted": yes}))
        return
    for path in paths:
        print(shorten(str(path), 1000))
    verb = "deleted" if yes else "named by no spec; delete with --yes"
    print(f"{len(paths)} units, {size / 1e6:.1f} MB: {verb}" if paths else "everything here is named by the spec")


def _print_table(rows: list[Row], described: Table, columns: Sequence[str], form: TableFormat) -> None:
    """Print the given columns, or those for reading that have a value in some row, folded on a terminal."""
    from assay.report.sentences.reasons import reason_words

    added = {name for name in (COMPARISON, FILE, SENTENCE) if rows and name in rows[0]} - {*described.names}
    displayed = [
        key for name in described.displayed for key in (rows[0] if rows else ()) if key.partition(".")[0] == name
    ]
    names = [*(added - {SENTENCE}), *(displayed or described.displayed), *(added & {SENTENCE})]
    filled = columns or [name for name in names if any(_text(row[name]) for row in rows)] or names
    heads = {column.name: column.head for column in described.columns}
    if form.latex:
        _print_latex(rows, [(name, heads.get(name) or name) for name in filled], {"a", "b"} <= set(described.names))
        return
    cells = [[_text(reason_words(row[name]) if name == "reason" else row[name]) for name in filled] for row in rows]
    printed = [
        (heads.get(name) or name, bool(rows) and all(not isinstance(row[name], str) for row in rows)) for name in filled
    ]
    if form.markdown:
        _print_markdown(printed, cells)
    elif sys.stdout.isatty() and len(rows) <= MOST_FOLDED:
        _print_folded(printed, cells)
    else:
        _print_lines(printed, cells)


def _print_csv(names: Sequence[str], rows: Sequence[Row]) -> None:
    """Print cells that no spreadsheet takes for a formula."""
    from assay.report.sheets import csv_quoting, escape_formula

    lines = [[row[name] for name in names] for row in ({name: name for name in names}, *map(_plain, rows))]
    safe = [[escape_formula(cell) if isinstance(cell, str) else cell for cell in line] for line in lines]
    csvlib.writer(sys.stdout, quoting=csv_quoting(line[0] for line in safe)).writerows(safe)


def _print_markdown(columns: list[tuple[str, bool]], cells: list[list[str]]) -> None:
    """Print a table of GitHub's Markdown, numbers on the right."""
    from assay.report.sheets import escape_markdown

    rule = ["--:" if is_number else "---" for _, is_number in columns]
    heads, *body = ([escape_markdown(cell) for cell in row] for row in ([head for head, _ in columns], *cells))
    for row in (heads, rule, *body):
        print(f"| {' | '.join(row)} |")


_LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$", "[": "{[}", "*": "{*}",
    "\n": " ",
})  # fmt: skip

_MINUS = re.compile(r"-(?=\d)")
_ENDS = {("low", "high"): "[95% CI]", ("decision_low", "decision_high"): "[CI]"}
"""Columns of the ends of an interval -> its heading; the level of the second is a column of its own."""


def _print_latex(rows: list[Row], columns: Sequence[tuple[str, str]], differences: bool) -> None:
    """Print a tabular of booktabs; a value and the ends of its interval share a column where all three are there.

    Args:
        rows: Rows of the table.
        columns: Names and headings of the columns.
        differences: Whether values are differences, which have a sign.
    """
    from assay.report.sentences.reasons import reason_words
    from assay.report.words import signed_text
    from assay.stats.format import common_decimals, number, with_interval

    names = [name for name, _ in columns]
    ends = next((pair for pair in _ENDS if {"value", *pair} <= set(names)), ())
    text_columns = [(name, head) for name, head in columns if name not in ends]
    bounds = [(_real(row["value"]), *(_real(row[name]) for name in ends)) for row in rows] if ends else []
    places = common_decimals((high - low) / 2 for _, low, high in bounds)

    def cell(row: Row, i: int, name: str) -> str:
        if ends and name == "value":
            value, low, high = bounds[i]
            text = with_interval(value, low, high, places=places)
            text_signed = text.replace(number(value, places), signed_text(value, places), 1) if differences else text
            return "" if math.isnan(value) else _MINUS.sub("$-$", text_signed)
        if isinstance(row[name], str):
            return visible(reason_words(row[name]) if name == "reason" else row[name]).translate(_LATEX)
        return _MINUS.sub("$-$", _text(row[name]))

    heads = [f"{head} {_ENDS[ends]}" if ends and name == "value" else head for name, head in text_columns]
    numbers = [bool(rows) and all(not isinstance(row[name], str) for row in rows) for name, _ in text_columns]
    print("% needs \\usepackage{booktabs}")
    print(f"\\begin{{tabular}}{{{''.join('r' if is_number else 'l' for is_number in numbers)}}}")
    print("\\toprule", f"{' & '.join(visible(head).translate(_LATEX) for head in heads)} \\\\", "\\midrule", sep="\n")
    for i, row in enumerate(rows):
        print(f"{' & '.join(cell(row, i, name) for name, _ in text_columns)} \\\\")
    print("\\bottomrule", "\\end{tabular}", sep="\n")


def _real(value: Any) -> float:
    """Return a number; NaN where a column was written without any value."""
    return value if isinstance(value, float) else math.nan


def _print_folded(columns: list[tuple[str, bool]], cells: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table as Printed

    table = Printed(box=None, header_style="bold", pad_edge=False)
    for head, is_number in columns:
        table.add_column(visible(head), justify="right" if is_number else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(visible, row))
    Console(file=sys.stdout, markup=False, highlight=False).print(table)


def _print_lines(columns: list[tuple[str, bool]], cells: list[list[str]]) -> None:
    """Print a row a line, whatever its width: a folded table takes 0.6 ms a row."""
    from assay.report.sheets import align

    table = [[head for head, _ in columns], *([cell.replace("\n", " ") for cell in row] for row in cells)]
    print("\n".join(align(table, [is_number for _, is_number in columns])))


def _file_names(folder: RunFolder) -> Mapping[int, str]:
    """Return the names of files by row; none where they are not at hand."""
    from assay.data.files.load import names_of
    from assay.study.records import stored_study
    from assay.study.request import RunRequest

    with suppress(AssayError, OSError, ValueError), code_of_folder():
        request = folder.document()["request"] if folder.kind is PREVIEW else None
        spec = RunRequest.model_validate(request).settle().spec if request else stored_study(folder.root).plan.spec
        return names_of(spec.data)
    return {}


def _row_words(row: Row, table: str, files: Mapping[int, str]) -> Row:
    """Return the words of a comparison or a finding, and the file of an issue; nothing of other tables."""
    if table == ISSUES.name:
        return {FILE: files.get(row["row"], "")}
    if table in (CONTRASTS.name, LOOKS.name):
        from assay.report.words import comparison_name

        return {COMPARISON: comparison_name(row)}
    if table == FINDINGS.name:
        from assay.core.reasons import parse_reason
        from assay.report.sentences.reasons import reason_words

        return {SENTENCE: reason_words(parse_reason(row["reason"]))}
    return {}


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.3g}"
    return str(value)


def _plain(row: Row) -> Row:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
