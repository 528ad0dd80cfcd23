"""Make the tables of claims and of results from run folders.

    python tools/claims.py runs/               # docs/claims.md, docs/results/STUDY.md, docs/images/STUDY.svg
    python tools/claims.py runs/ --earlier     # also src/assay/studies/earlier/STUDY.json; needs ASSAY_ASSETS

A study is read from `runs/STUDY` and `runs/STUDY-replication`, claims from tools/claims.yaml. Studies of real images
stand in docs/results/real-images.md. The text between `<!--claims:NAME-->` and `<!--/claims-->` is replaced; what is
said there of a study without a run folder stays. A claim with `by_hand` reads its outcome in the table `by-hand` of
docs/results/real-images.md, which no tool writes. Computed are counts alone, of controls in the tables of results too,
and a difference against both A/A arms.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from assay.report.blocks import cell as page_cell
from assay.report.context import PageContext, coordinates
from assay.report.page import first_figures
from assay.report.words import comparison_name, decision_numbers, number, verdict_words
from assay.spec.parse import parse_study
from assay.stats.format import with_interval
from assay.stats.rows import CONCLUSIVE, CONTROLS, DIFFERENT, GROUPS_OF_WHOLE_MODEL, PRIMARY, Row, numeric
from assay.store.folder import RunFolder
from assay.study.records import stored_study
from assay.study.replication import SHIPPED, design_of, earlier_of

ROOT = Path(__file__).resolve().parents[1]
HEADS = ("", "claim", "published", "our comparison, margin", "on drawn images, small networks",
         "on real images, real networks")  # fmt: skip


SAME, REVERSED = "the published direction", "**reversed**"
REPEATED = "the reference repeated, less itself"
BY_HAND = "by hand, run folder not kept ([source](results/real-images.md#by-hand))"
"""What is said of a difference that was decided, where the paper printed a direction."""


@dataclass(frozen=True)
class Found:
    """Results of a study.

    Attributes:
        run: Its run folder.
        second: The run folder of its replication, if there is one.
        rows: Its comparisons, as rows of `contrasts`.
        again: Id -> row of `replications`, or of `contrasts` where it is not primary.
    """

    run: PageContext
    second: PageContext | None
    rows: Sequence[Row]
    again: Mapping[str, Row]

    @property
    def seeds(self) -> str:
        """Seeds of both runs, and whether patients are the same."""
        seeds = [f"seeds {_seeds(one)}" for one in (self.run, self.second) if one]
        patients = f", {self.second.facts['repeated with']}" if self.second else "; not replicated"
        return f"{' and '.join(seeds)}{patients}"

    @property
    def origin(self) -> str:
        """Seeds, registration, and what else to know of both runs."""
        facts = self.run.facts
        known = "not registered"
        if "registered" in facts:
            known = f"registered {facts['registered']}, SHA-256 `{facts['hash of the registration']}`"
            commit = facts.get("commit of the registration")
            known += f" ({facts.get('deposit', 'registered locally')}{f', commit `{commit}`' if commit else ''})"
        return f"{self.seeds}; {known}"


def evidence_of(root: Path) -> PageContext | None:
    """Return the tables of a finished run; None without one."""
    return PageContext.of(root) if (root / "report.html").is_file() and RunFolder(root).kind else None


def found(study: str, runs: Path) -> Found | None:
    """Return the results of a study in its run folders; None without."""
    run, second = (evidence_of(runs / name) for name in (study, f"{study}-replication"))
    if run is None:
        return None
    rows = [row for row in run.tables["contrasts"] if not row["exploratory"]]
    tables = (second.tables["contrasts"], second.tables["replications"]) if second else ()
    return Found(run, second, rows, {row["id"]: row for rows in tables for row in rows})


def _seeds(one: PageContext) -> str:
    known = sorted({int(row["seed"]) for row in one.tables["trials"]})
    return f"{known[0]} to {known[-1]}"


def selected(rows: Sequence[Row], claim: Mapping[str, Any]) -> Row:
    """Return the row that a claim reads. Raises SystemExit where it names none or several, or has another margin."""
    asked = {"role": PRIMARY, **claim["row"]}
    some = [row for row in rows if all(_has(row[name], value) for name, value in asked.items())]
    if len(some) != 1:
        raise SystemExit(f"{claim['id']}: {asked} names {len(some)} comparisons of {claim['study']}")
    if some[0]["margin"] != claim["margin"]:
        raise SystemExit(f"{claim['id']}: the margin is {some[0]['margin']} in the study, {claim['margin']} here")
    return some[0]


def _has(cell: Any, wanted: str | Mapping[str, str]) -> bool:
    """Return whether a cell has a value, or one in JSON has these among its own."""
    return str(cell) == wanted if isinstance(wanted, str) else wanted.items() <= json.loads(cell).items()


def outcome(claim: Mapping[str, Any], of: Found) -> tuple[Row, Row | None]:
    """Return the row of the first run and that of the second; None where it was not replicated."""
    row = selected(of.rows, claim)
    again = of.again.get(row["id"])
    return row, None if again is None else {**row, **dict.fromkeys(_OWN), "reason": "", **again}


_OWN = ("decision_level", "decision_p")


def decided(row: Row) -> str:
    """Return a decision with its numbers."""
    word, *marks = verdict_words(row).split(", ")
    size = [marks.pop(0)] if marks and marks[0].startswith("but by") else []
    late = f" ({', '.join(marks)})" if marks else ""
    return f"**{', '.join((word, *size))}**{late}: {decision_numbers(row)}"


def verdict(claim: Mapping[str, Any], of: Found) -> str:
    """Return the cell of a claim: both decisions, the published direction, and what to know."""
    row, again = outcome(claim, of)
    way = row["decision"].partition("-")[0] if row["decision"] in DIFFERENT else ""
    return "; ".join(in_both_runs(claim, way, decided(row), "" if again is None else decided(again)))


def in_both_runs(claim: Mapping[str, Any], way: str, first: str, second: str) -> list[str]:
    """Return the decision of the first run, whether its sign is the published one, and the second decision."""
    published = claim.get("direction")
    direction = [SAME if way == published else REVERSED] if published and way else []
    return [first, *direction, *([f"again: {second}"] if second else [])]


def by_hand(claim: Mapping[str, Any], rows: Mapping[str, Sequence[str]]) -> str:
    """Return the cell of a claim whose outcome was entered by hand in the results; empty for another claim."""
    if "by_hand" not in claim:
        return ""
    first, second = rows[claim["by_hand"]][-2:]
    word = first.split("**")[1]
    return "; ".join((*in_both_runs(claim, word if word in ("higher", "lower") else "", first, second), BY_HAND))


def against_repetitions(claim: Mapping[str, Any], rows: Mapping[str, Sequence[str]]) -> str:
    """Return a difference against both arms of the A/A comparison together, of the table of both runs."""
    own, repeated = (
        [float(re.findall(r"[+-][\d.]+", cell)[0]) for cell in rows[key][3:5]] for key in (claim["id"], "A/A")
    )
    both = ", ".join(f"{value - other / 2:.3g}" for value, other in zip(own, repeated, strict=True))
    return f"{REPEATED}: {', '.join(f'{value:.3g}' for value in repeated)}; against both {both} (of rounded cells)"


def claims_table(
    claims: Sequence[Mapping[str, Any]],
    results: Mapping[str, Found | None],
    before: Mapping[str, Sequence[str]],
    docs: Path,
) -> str:
    """Return the table of the claims of a paper.

    Args:
        claims: The claims.
        results: Study -> its results.
        before: Id -> the cells that stand there.
        docs: Folder of the pages, whose tables of results are read.
    """
    lines: list[tuple[str, ...]] = []
    typed = standing(docs / "results" / "real-images.md", "by-hand")
    for claim in claims:
        drawn, real = before.get(claim["id"], ("", "not run"))[-2:]
        if (of := results.get(claim.get("study", ""))) and "row" in claim:
            drawn = verdict(claim, of)
        asked = on_real_images(claim)
        cells = [by_hand(one, typed) or (verdict(one, of) if (of := results[one["study"]]) else "") for one in asked]
        if cells and all(cells):
            every = zip(asked, cells, strict=True)
            real = "; ".join(with_note(f"{one['ours']}, margin {one['margin']}: {cell}", one) for one, cell in every)
        elif asked:  # what stays has the note of its last comparison at its end
            real = with_note(real, asked[-1])
        if claim.get("against_repetitions"):
            rows = standing(docs / "results" / f"{claim['study']}.md", "comparisons")
            drawn = f"{drawn.partition(f'; {REPEATED}')[0]}; {against_repetitions(claim, rows)}"
        drawn = with_note(drawn, claim)
        ours = f"{claim['ours']}; {claim['margin']}" if "margin" in claim else claim["ours"]
        lines.append((claim["id"], claim["claim"], claim.get("published") or "none printed", ours, drawn, real))
    return table(HEADS, lines)


def with_note(cell: str, claim: Mapping[str, Any]) -> str:
    """Return a cell with what to know of its result, once."""
    note = claim.get("note", "")
    return cell if not note or note in cell or not cell else f"{cell}; {note}"


def on_real_images(claim: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the claim as its comparisons of a study of real images ask it."""
    own = {name: value for name, value in claim.items() if name not in ("by_hand", "note", "real")}
    return [{**own, **one, "domain": "real"} for one in claim.get("real", ())]


def each_test(data: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """Return the claims that name a row of a study, a claim on real images after the one on drawn images."""
    every = [one for claims in data.values() for claim in claims for one in (claim, *on_real_images(claim))]
    return [one for one in every if "row" in one]


def counts(every: Iterable[Mapping[str, Any]], of: Found) -> tuple[str, str, str, str]:
    """Return how many decisions of a study came again, how many were made, of how many comparisons; and how many second
    estimates lie in the prediction interval of the first. Without a replication a dash stands for the first and last.
    """
    pairs = [outcome(claim, of) for claim in every if "role" not in claim["row"]]
    made = [(row, again) for row, again in pairs if row["decision"] in CONCLUSIVE]
    same = sum(again is not None and again["decision"] == row["decision"] for row, again in made)
    inside = sum(row.get("within") == "yes" for row in of.again.values())
    again, inside = (str(same), str(inside)) if of.second else ("–", "–")
    return again, str(len(made)), str(len(pairs)), inside


def head(
    data: Mapping[str, Sequence[Mapping[str, Any]]],
    results: Mapping[str, Found | None],
    before: Mapping[str, Sequence[str]],
    tables: str,
) -> str:
    """Return how many decisions were replicated, before how many were made, in all and by study; and how many
    comparisons, the secondary ones of the tables too, have the published direction or the other.
    """
    lines: list[Sequence[str]] = []
    for study, of in results.items():
        own = [one for one in each_test(data) if one["study"] == study]
        name = f"[`{study}`](results/{'real-images' if own[0]['domain'] == 'real' else study}.md)"
        if of is not None:
            lines.append((name, *counts(own, of), of.seeds))
        elif name in before:
            lines.append(before[name])
    again, made, pairs, inside = ([int(line[at]) for line in lines if line[1].isdigit()] for at in range(1, 5))
    every, decisions = (sum(int(line[at]) for line in lines) for at in (3, 2))
    known = sum(int(line[1]) for line in lines if line[1].isdigit() and line[5].endswith("same patients"))
    first = (
        f"**{sum(again)} of {sum(made)} decisions were replicated** on other seeds, as the same word, {known} of them "
    )
    first += f"on the same test patients; {decisions} of {every} primary comparisons were decided. {sum(inside)} of "
    first += f"{sum(pairs)} second estimates lie in the 95% "
    first += "prediction interval of the first (column *inside*). Of all differences below that were decided in a "
    first += f"first run, secondary ones too, {tables.count(SAME)} have the published direction and "
    first += (
        f"{tables.count(REVERSED)} the other (*reversed*); those that were *equivalent* or *inconclusive* are counted "
    )
    first += f"below the table. {tables.count('not run')} cells say *not run*."
    return f"{first}\n\n{table(('study', 'replicated', 'decided', 'of', 'inside', 'runs'), lines)}"


def published_differences(data: Mapping[str, Sequence[Mapping[str, Any]]], tables: Mapping[str, str]) -> str:
    """Return how the comparisons that ask for a published difference ended in the first run, and which came again."""
    ends: dict[str, list[tuple[str, bool]]] = {kind: [] for kind in KINDS}
    for letter, text in tables.items():
        rows = table_rows(text)
        for claim in (claim for claim in data[letter] if "direction" in claim):
            for cell in outcomes(claim, rows[claim["id"]]):
                kind, again = _end(claim["direction"], cell)
                ends[kind].append((claim["id"], again))
    lines: list[str] = []
    for kind, ended in ends.items():
        times = Counter(id for id, _ in ended)
        names = ", ".join(f"{id} × {many}" if many > 1 else id for id, many in times.items())
        same = sum(again for _, again in ended)
        lines.append(f"- {KINDS[kind]}: {len(ended)}, {same} of them again ({names or 'none'})")
    asked = f"In all, {sum(map(len, ends.values()))} comparisons below ask for a published difference."
    return "\n".join((f"{asked} First runs ended thus:\n", *lines))


def controls(tables: Iterable[str]) -> str:
    """Return how many controls of tables of comparisons ended how, over both runs of each study."""
    ends = Counter(
        (row[0], word)
        for text in tables
        for row in re.findall(r"^\| (control|A/A) \| (.*) \|$", text, flags=re.MULTILINE)
        for word in re.findall(r"\*\*([a-z ]+)\*\*", row[1])
    )
    known, alike = (sum(many for (kind, _), many in ends.items() if kind == name) for name in ("control", "A/A"))
    return (
        f"Controls of both runs: {ends['control', 'detected']} of {known} known differences were detected. "
        f"{ends['A/A', 'differs']} of {alike} A/A comparisons differs; by chance one in twenty would."
    )


def outcomes(claim: Mapping[str, Any], row: Sequence[str]) -> list[str]:
    """Return the outcomes of a claim, one for each of its comparisons that were run, of its row in the table."""
    *_, drawn, real = row
    heads = [f"{one['ours']}, margin {one['margin']}: " for one in on_real_images(claim)]
    starts = [real.index(head) for head in heads if head in real]
    parts = [real[start:end] for start, end in zip(starts, (*starts[1:], len(real)), strict=False)]
    return [cell for cell in (drawn, *parts) if "**" in cell]


KINDS = {
    "published": "the published direction",
    "equivalent": "*equivalent*",
    "inconclusive": "*inconclusive*",
    "reversed": "*reversed*",
}


def _end(direction: str, cell: str) -> tuple[str, bool]:
    """Return the kind of the first decision of a cell, and whether the second is of the same kind."""
    kinds: list[str] = []
    for part in cell.split("; again: "):
        word = part.split("**")[1].split()[0].rstrip(",")
        kinds.append("published" if word == direction else "reversed" if word in ("higher", "lower") else word)
    return kinds[0], len(kinds) > 1 and kinds[1] == kinds[0]


def comparisons(claims: Sequence[Mapping[str, Any]], of: Found) -> str:
    """Return the table of the primary comparisons and controls of a run and its replication."""
    lines: list[tuple[str, ...]] = []
    for claim in claims:
        row, again = outcome(claim, of)
        if row["role"] != PRIMARY:
            continue
        second = ("", "", "")
        if again is not None:
            both = with_interval(again["both"], again["both_low"], again["both_high"])
            second = decided(again), page_cell("replications", "predicted", again, of.run).text, both
        asked = comparison_name(row, of.run.names) if claim["domain"] == "real" else claim["ours"]
        lines.append((claim["id"], asked, number(row["margin"]), decided(row), *second))
    again = {row["id"]: row for row in of.second.tables["contrasts"]} if of.second else {}
    for row in of.run.tables["contrasts"]:
        if row["role"] in CONTROLS:
            name = "A/A" if row["role"] == "a-a" else "control"
            second = decided(again[row["id"]]) if row["id"] in again else ""
            lines.append((name, comparison_name(row, of.run.names), "", decided(row), second, "", ""))
    first, *others = (f"seeds {_seeds(one)}" for one in (of.run, of.second) if one)
    heads = ("", "comparison", "margin", first, *others, "predicted", "both runs")[: 7 if others else 4]
    shown = table(heads, [line[: len(heads)] for line in lines])
    return f"{of.origin[:1].upper()}{of.origin[1:]}.\n\n{shown}"


def values(asked: Mapping[str, Any], run: PageContext) -> str:
    """Return a table of estimates: a row for each level of the leading axis."""
    axis, lines = run.scope.axis, list[tuple[str, ...]]()
    for level in run.scope.levels:
        held = {**asked["where"], axis: level}
        cells = [_estimate(run, {**held, **one.get("at", {})}, one) for one in asked["columns"].values()]
        lines.append((run.names.level(axis, level), *cells))
    return table((axis, *asked["columns"]), lines)


def _estimate(run: PageContext, at: Mapping[str, str], wanted: Mapping[str, Any]) -> str:
    named = {"factor": "", "level": "", "layer": ""} | {name: each for name, each in wanted.items() if name != "at"}
    rows = [
        row
        for row in run.tables["estimates"]
        if row["group"] in GROUPS_OF_WHOLE_MODEL
        and all(str(row[name]) == value for name, value in named.items())
        and all(coordinates(row).get(name, value) == value for name, value in at.items())
    ]
    if len(rows) != 1:
        raise SystemExit(f"{wanted} at {at} names {len(rows)} estimates")
    return with_interval(*(numeric(rows[0], name) for name in ("value", "low", "high")))


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    every = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in every)


def between(file: Path, name: str) -> str:
    """Return the text that stands between the marks of a name; empty without them."""
    text = re.search(rf"<!--claims:{name}-->\n(.*?)<!--/claims-->", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    return text[1] if text else ""


def standing(file: Path, name: str) -> dict[str, tuple[str, ...]]:
    """Return first cell -> cells of the table that stands between the marks of a name."""
    return table_rows(between(file, name))


def table_rows(text: str) -> dict[str, tuple[str, ...]]:
    """Return first cell -> cells of a Markdown table."""
    cells = (tuple(row.split(" | ")) for row in re.findall(r"^\| (.*) \|$", text, flags=re.MULTILINE))
    return {row[0]: row for row in cells}


def put(file: Path, name: str, text: str) -> None:
    """Replace the text of a file between the marks of a name. Raises SystemExit where there are none."""
    before = file.read_text(encoding="utf-8")
    made, times = re.subn(
        rf"(<!--claims:{name}-->\n).*?(<!--/claims-->)", lambda at: f"{at[1]}{text}\n{at[2]}", before, flags=re.DOTALL
    )
    if times != 1:
        raise SystemExit(f"{file}: {times} places <!--claims:{name}-->")
    file.write_text(made, encoding="utf-8")


def keep(study: str, of: Found) -> None:
    """Keep the results of a run as the earlier ones that the next run of the built-in study replicates."""
    plan = stored_study(of.run.root).plan
    last = max(trial.training.seed for trial in plan.trials)
    made = earlier_of(study, plan.spec, last, of.run.tables["contrasts"])
    note = f"registered {of.run.facts['registered']}" if "registered" in of.run.facts else "not registered"
    made = replace(made, design=design_of(parse_study(study)), note=note)
    (SHIPPED / f"{study}.json").write_text(json.dumps(asdict(made), indent=1) + "\n", encoding="utf-8")


def main(given: Sequence[str] | None = None) -> None:
    """Make the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder of the runs")
    parser.add_argument("--earlier", action="store_true", help="also keep the results of folders as earlier ones")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the pages")
    parser.add_argument("--data", type=Path, default=ROOT / "tools" / "claims.yaml", help="the claims")
    asked = parser.parse_args(given)
    data: dict[str, Any] = YAML(typ="safe").load(asked.data)
    tables = data.pop("values")
    results = {study: found(study, asked.runs) for study in dict.fromkeys(one["study"] for one in each_test(data))}
    claims_page = asked.docs / "claims.md"
    made = {
        letter: claims_table(claims, results, standing(claims_page, letter), asked.docs)
        for letter, claims in data.items()
    }
    put(claims_page, "head", head(data, results, standing(claims_page, "head"), "\n".join(made.values())))
    put(claims_page, "directions", published_differences(data, made))
    for letter, claims in made.items():
        put(claims_page, letter, claims)
    compared: list[str] = []
    for study, of in results.items():
        own = [claim for claim in each_test(data) if claim["study"] == study]
        real = own[0]["domain"] == "real"
        page = asked.docs / "results" / f"{'real-images' if real else study}.md"
        name = f"{study}-comparisons" if real else "comparisons"
        if of is None:
            compared += [between(page, name)] if page.is_file() else []
            continue
        put(page, name, comparisons(own, of))
        compared.append(between(page, name))
        put(page, f"{study}-values" if real else "values", values(tables[study], of.run))
        figure = next(first_figures(of.run))
        svg = figure.svg.content if figure.svg else figure.wide.encode()
        (asked.docs / "images").mkdir(exist_ok=True)
        (asked.docs / "images" / f"{study}.svg").write_bytes(svg)
        if asked.earlier:
            keep(study, of)
    put(claims_page, "controls", controls(compared))


if __name__ == "__main__":
    main()
