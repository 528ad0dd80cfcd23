"""Make the tables of claims and of results from run folders, and of studies without one from earlier results.

    python tools/claims.py runs/               # docs/claims.md, docs/results/STUDY.md, docs/images/STUDY.svg
    python tools/claims.py runs/ --earlier     # also src/assay/studies/earlier/STUDY.json, of studies with a folder

A study is read from `runs/STUDY` and `runs/STUDY-replication`, claims from tools/claims.yaml. The text between
`<!--claims:NAME-->` and `<!--/claims-->` is replaced; nothing is computed but counts.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from assay.analysis.contrasts import compared
from assay.analysis.looks import primary_pairs
from assay.analysis.replication import SHIPPED, Earlier, design_of, earlier_of
from assay.report.blocks import cell as page_cell
from assay.report.evidence import Evidence, Tables, coordinates
from assay.report.page import first_figures
from assay.report.words import decided_by, number, statement, verdict_words
from assay.spec.parse import parse_study
from assay.stats.format import with_interval
from assay.stats.rows import CONTROLS, DIFFERENT, OF_THE_MODEL, PRIMARY, SETTLED, Row, numeric
from assay.store.folder import RunFolder
from assay.study.records import stored_study

ROOT = Path(__file__).resolve().parents[1]
HEADS = ("", "claim", "published", "our comparison, margin", "on drawn images, small networks",
         "on real images, real networks")  # fmt: skip


@dataclass(frozen=True)
class Found:
    """Results of a study.

    Attributes:
        rows: Its comparisons, as rows of `contrasts`; of an earlier result the primary ones.
        again: Id -> row of `replications`, or of `contrasts` where it is not primary; empty without a replication.
        origin: Seeds, registration, and what else to know of both runs.
        run: Its run folder; None of an earlier result.
        second: The run folder of its replication.
    """

    rows: Sequence[Row]
    again: Mapping[str, Row]
    origin: str
    run: Evidence | None = None
    second: Evidence | None = None

    @property
    def by_commands(self) -> bool:
        """Return whether the study was registered, run and replicated."""
        return bool(self.run and "registered" in self.run.facts and self.second)


def evidence_of(root: Path) -> Evidence | None:
    """Return the tables of a finished run; None without one."""
    return Evidence(Tables(root), root) if (root / "report.html").is_file() and RunFolder(root).of_any else None


def found(study: str, runs: Path, second_seeds: str = "") -> Found | None:
    """Return the results of a study: of its run folders, or the earlier ones that are shipped; None without.

    Args:
        study: Its name.
        runs: The folder of all run folders.
        second_seeds: Seeds of the second earlier run.
    """
    run, second = (evidence_of(runs / name) for name in (study, f"{study}-replication"))
    if run is not None:
        rows = [row for row in run.tables["contrasts"] if not row["exploratory"]]
        tables = (second.tables["contrasts"], second.tables["replications"]) if second else ()
        again = {row["id"]: row for rows in tables for row in rows}
        return Found(rows, again, _origin(run, second), run, second)
    file = SHIPPED / f"{study}.json"
    if not file.is_file():
        return None
    known = Earlier(**json.loads(file.read_text(encoding="utf-8")))
    by_id = {row["id"]: row for row in known.rows}
    rows = [
        {**compared(pair), "role": PRIMARY, "margin": pair.stated.margin, **by_id[pair.id]}
        for pair in primary_pairs(parse_study(study))
    ]
    return Found(rows, {}, f"seeds {known.first_seed} to {known.last_seed}, {second_seeds}; {known.note}")


def _origin(run: Evidence, second: Evidence | None) -> str:
    facts = run.facts
    seeds = [f"seeds {_seeds(one)}" for one in (run, second) if one]
    patients = f", {second.facts['repeated with']}" if second else "; not replicated"
    known = "not registered"
    if "registered" in facts:
        known = f"registered {facts['registered']}, SHA-256 `{facts['hash of the registration']}`"
        known += f" ({facts.get('deposit', 'registered locally')})"
    return f"{' and '.join(seeds)}{patients}; {known}"


def _seeds(one: Evidence) -> str:
    known = sorted({int(row["seed"]) for row in one.tables["trials"]})
    return f"{known[0]} to {known[-1]}"


def selected(rows: Sequence[Row], claim: Mapping[str, Any]) -> Row:
    """Return the row that a claim reads. Raises SystemExit where it names none or several, or has another margin."""
    asked = {"role": PRIMARY, **claim["row"]}
    some = [row for row in rows if all(str(row[name]) == value for name, value in asked.items())]
    if len(some) != 1:
        raise SystemExit(f"{claim['id']}: {asked} names {len(some)} comparisons of {claim['study']}")
    if some[0]["margin"] != claim["margin"]:
        raise SystemExit(f"{claim['id']}: the margin is {some[0]['margin']} in the study, {claim['margin']} here")
    return some[0]


def outcome(claim: Mapping[str, Any], of: Found | None) -> tuple[Row | None, Row | None]:
    """Return the row of the first run and that of the second; None where there is none."""
    if of is None or "row" not in claim or (of.run is None and "role" in claim["row"]):
        return None, None
    row = selected(of.rows, claim)
    again = of.again.get(row["id"], None if of.run else claim.get("again"))
    return row, None if again is None else {**row, **dict.fromkeys(_OWN), "reason": "", **again}


_OWN = ("decision_level", "decision_p")


def decided(row: Row) -> str:
    """Return a decision with its numbers."""
    word, *marks = verdict_words(row).split(", ")
    size = [marks.pop(0)] if marks and marks[0].startswith("but by") else []
    late = f" ({', '.join(marks)})" if marks else ""
    return f"**{', '.join((word, *size))}**{late}: {decided_by(row)}"


def verdict(claim: Mapping[str, Any], of: Found | None) -> str:
    """Return the cell of a claim: both decisions, the published direction, and what to know."""
    row, again = outcome(claim, of)
    if row is None:
        return "not run"
    published = claim.get("direction")
    way = row["decision"].partition("-")[0] if row["decision"] in DIFFERENT else ""
    parts = [decided(row)]
    if published and way:
        parts.append("the published direction" if way == published else "**reversed**")
    if again is not None:
        parts.append(f"again: {decided(again)}")
    if "note" in claim and (claim.get("lasting") or not (of and of.run)):
        parts.append(claim["note"])
    return "; ".join(parts)


def claims_table(claims: Sequence[Mapping[str, Any]], results: Mapping[str, Found | None]) -> str:
    """Return the table of the claims of a paper."""
    lines: list[tuple[str, ...]] = []
    for claim in claims:
        made = verdict(claim, results.get(claim.get("study", "")))
        real = claim["domain"] == "real"
        ours = f"{claim['ours']}; {claim['margin']}" if "margin" in claim else claim["ours"]
        lines.append((
            claim["id"], claim["claim"], claim.get("published") or "none printed", ours,
            claim.get("drawn", "" if real else made), claim.get("real", made if real else "not run"),
        ))  # fmt: skip
    return table(HEADS, lines)


def counts(every: Iterable[Mapping[str, Any]], of: Found | None, study: str) -> tuple[int, int, int]:
    """Return how many decisions of a study came again, how many were made, and of how many comparisons."""
    rows = [claim for claim in every if claim.get("study") == study and "row" in claim]
    pairs = [outcome(claim, of) for claim in rows if "role" not in claim["row"]]
    made = [(row, again) for row, again in pairs if row and row["decision"] in SETTLED]
    return (
        sum(bool(again) and again["decision"] == row["decision"] for row, again in made if again),
        len(made),
        len(pairs),
    )


def head(claims: Mapping[str, Sequence[Mapping[str, Any]]], results: Mapping[str, Found | None]) -> str:
    """Return how many decisions came again, before how many were made, in all and by study."""
    by_study = {(study := own[0]["study"]): counts(own, results[study], study) for own in claims.values()}
    again, made, pairs = (sum(column) for column in zip(*by_study.values(), strict=True))
    new = [f"`{study}`" for study in by_study if (of := results[study]) and of.by_commands]
    first = f"**{again} of {made} decisions came again** on other seeds, as the same word; {made} of {pairs} primary "
    first += "comparisons were decided. "
    first += f"Registered, run and replicated by the commands: {', '.join(new) or 'none yet'}."
    repeated = [row for of in results.values() if of for row in of.again.values() if row.get("within")]
    if repeated:
        inside = sum(row["within"] == "yes" for row in repeated)
        first += f" {inside} of {len(repeated)} second estimates lie in the 95% prediction interval of the first."
    if any(of is None or of.run is None for of in map(results.get, by_study)):
        first += " Studies without run folders keep their earlier figures."
    lines = [
        (f"[`{study}`](results/{study}.md)", str(a), str(m), str(p), of.origin if (of := results[study]) else "")
        for study, (a, m, p) in by_study.items()
    ]
    return f"{first}\n\n{table(('study', 'came again', 'decided', 'of', 'runs'), lines)}"


def comparisons(study: str, claims: Sequence[Mapping[str, Any]], of: Found) -> str:
    """Return the table of the primary comparisons and controls of a run and its replication."""
    assert of.run is not None
    lines: list[tuple[str, ...]] = []
    for claim in claims:
        row, again = outcome(claim, of) if claim.get("study") == study else (None, None)
        if row is None or row["role"] != PRIMARY:
            continue
        second = ("", "", "")
        if again is not None:
            both = with_interval(again["both"], again["both_low"], again["both_high"])
            second = decided(again), page_cell("predicted", again, of.run).text, both
        lines.append((claim["id"], claim["ours"], number(row["margin"]), decided(row), *second))
    others = {row["id"]: row for row in of.second.tables["contrasts"]} if of.second else {}
    for row in of.run.tables["contrasts"]:
        if row["role"] in CONTROLS:
            name = "A/A" if row["role"] == "a-a" else "control"
            second = decided(others[row["id"]]) if row["id"] in others else ""
            lines.append((name, statement(row, of.run.names), "", decided(row), second, "", ""))
    seeds = [f"seeds {_seeds(one)}" for one in (of.run, of.second) if one]
    heads = (
        "",
        "comparison",
        "margin",
        seeds[0],
        seeds[1] if of.second else "not replicated",
        "predicted",
        "both runs",
    )
    return f"{of.origin[:1].upper()}{of.origin[1:]}.\n\n{table(heads, lines)}"


def values(asked: Mapping[str, Any], run: Evidence) -> str:
    """Return a table of estimates: a row for each level of the leading axis."""
    axis, lines = run.outline.axis, list[tuple[str, ...]]()
    for level in run.outline.levels:
        held = {**asked["where"], axis: level}
        cells = [_estimate(run, {**held, **one.get("at", {})}, one) for one in asked["columns"].values()]
        lines.append((run.names.level(axis, level), *cells))
    return table((axis, *asked["columns"]), lines)


def _estimate(run: Evidence, at: Mapping[str, str], wanted: Mapping[str, Any]) -> str:
    named = {"factor": "", "level": "", "layer": ""} | {name: each for name, each in wanted.items() if name != "at"}
    rows = [
        row
        for row in run.tables["estimates"]
        if row["group"] in OF_THE_MODEL
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
    assert of.run is not None
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
    tables, seconds = data.pop("values"), data.pop("again", {})
    studies = {claim["study"]: None for claims in data.values() for claim in claims if "study" in claim}
    results = {study: found(study, asked.runs, seconds.get(study, "")) for study in studies}
    put(asked.docs / "claims.md", "head", head(data, results))
    for letter, claims in data.items():
        put(asked.docs / "claims.md", letter, claims_table(claims, results))
        study = claims[0]["study"]
        of = results[study]
        if of is None or of.run is None:
            continue
        page = asked.docs / "results" / f"{study}.md"
        put(page, "comparisons", comparisons(study, claims, of))
        put(page, "values", values(tables[study], of.run))
        figure = first_figures(of.run)[0]
        svg = figure.svg.content if figure.svg else figure.wide.encode()
        (asked.docs / "images").mkdir(exist_ok=True)
        (asked.docs / "images" / f"{study}.svg").write_bytes(svg)
        if asked.earlier:
            keep(study, of)


if __name__ == "__main__":
    main()
