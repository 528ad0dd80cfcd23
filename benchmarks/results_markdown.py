"""The tables of docs/results from a finished run: `python benchmarks/results_markdown.py runs/nodule-loss`.

Prints Markdown: the page's sentences, AUROC by recipe and environment, contrasts, reliance, decodability. Computes
nothing: every number stands in the run's tables.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from assay.report.sentences.reasons import reason_words
from assay.report.words import comparison_name
from assay.stats.findings import parse_finding
from assay.stats.format import number, p_value, with_interval
from assay.store.files import Row
from assay.store.folder import RunFolder

RELIANCE = ("sobol-total", "flip-rate")
BY_ENVIRONMENT = ("auroc", "quadratic-weighted-kappa", "auroc-referable")
DISTORTED = ("distorted-error", "distorted-error-increase")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder")
    folder = RunFolder(parser.parse_args().run)
    estimates = folder.table("estimates")
    trials = folder.table("trials")
    print("\n".join(said(folder.table("findings"))), "\n")
    print(f"{len(trials)} trials; {sum(row['status'] == 'collapsed' for row in trials)} collapsed.\n")
    for measure in BY_ENVIRONMENT:
        if any(row["measure"] == measure for row in estimates):
            print(by_environment(estimates, measure), "\n")
    if any(row["measure"] == "dice" for row in estimates):
        print(segmentation(estimates), "\n")
    print(contrasts(folder.table("contrasts")), "\n")
    for environment in dict.fromkeys(row["environment"] for row in folder.table("dose_changes")):
        print(doses(estimates, environment), "\n")
    for measure in RELIANCE:
        if any(row["measure"] == measure for row in estimates):
            print(by_factor(estimates, measure), "\n")
    for measure in DISTORTED:
        if rows := [row for row in estimates if row["measure"] == measure and not (row["level"] or row["group"])]:
            print(by_factor(rows, measure), "\n")
    if any(row["measure"] == "effective-rank" for row in estimates):
        print(by_layer(estimates, "effective-rank"), "\n")
    if any(row["measure"] == "decodability" for row in estimates):
        print(decodability(estimates), "\n")
    print(associations(folder.table("environments")))


def said(sentences: Sequence[Row]) -> list[str]:
    """Cautions and limits, one list item each; cautions with their light."""
    lights = {"ok": "fine: ", "warn": "caution: ", "bad": "problem: ", "none": ""}
    return [f"- {lights[row['light']]}{reason_words(parse_finding(row).reason)}" for row in sentences]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(row: Row | None) -> str:
    """A value with its interval, or why there is none."""
    if row is None or math.isnan(row["value"]):
        return "-"
    if math.isnan(row["low"]):
        return number(row["value"])
    return with_interval(row["value"], row["low"], row["high"])


def by_environment(estimates: Sequence[Row], measure: str) -> str:
    """A measure of every recipe in every environment."""
    rows = [row for row in estimates if row["measure"] == measure and not (row["factor"] or row["group"])]
    names = list(dict.fromkeys(row["environment"] for row in rows))
    found = {(row["recipe"], row["environment"]): row for row in rows}
    recipes = dict.fromkeys(row["recipe"] for row in rows)
    body = [[recipe, *(cell(found.get((recipe, name))) for name in names)] for recipe in recipes]
    return table([measure, *names], body)


SEGMENTATION = ("dice", "dice-one", "dice-skip", "dice-zero", "lesion-sensitivity", "false-positive-rate",
                "false-positive-rate-at-80", "lesion-sensitivity-at-90", "false-positive-rate-at-90",
                "false-positive-rate-at-95")  # fmt: skip


def segmentation(estimates: Sequence[Row]) -> str:
    """Overlap under every convention and false positives of every recipe, by environment."""
    rows = [row for row in estimates if row["measure"] in SEGMENTATION and not (row["factor"] or row["group"])]
    known = [row for row in rows if not math.isnan(row["value"])]
    names = [name for name in SEGMENTATION if any(row["measure"] == name for row in known)]
    found = {(row["environment"], row["recipe"], row["measure"]): row for row in known}
    places = dict.fromkeys((row["environment"], row["recipe"]) for row in known)
    body = [[*place, *(cell(found.get((*place, name))) for name in names)] for place in places]
    return table(["environment", "recipe", *names], body)


def contrasts(rows: Sequence[Row]) -> str:
    """Every stated comparison."""
    body = [
        [
            comparison_name(row),
            cell(row),
            p_value(row["p_holm"]),
            str(int(row["seeds"])),
            row["decision"],
            row["reason"],
        ]
        for row in rows
    ]
    return table(["comparison", "difference", "p (Holm)", "seeds", "decision", "note"], body)


def doses(estimates: Sequence[Row], environment: str) -> str:
    """AUROC in one environment by what was dosed and how far; a row for what the other axes tell apart."""
    rows = [
        row
        for row in estimates
        if row["measure"] == "auroc" and row["environment"] == environment and not (row["factor"] or row["group"])
    ]
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        at = json.loads(row["coordinates"])
        p = at.pop("p")
        found.setdefault(" · ".join(reversed(at.values())), {})[p] = row
    levels = sorted({p for own in found.values() for p in own}, key=float)
    body = [[recipe, *(cell(own.get(p)) for p in levels)] for recipe, own in sorted(found.items())]
    return table([f"AUROC, {environment}", *(f"p = {p}" for p in levels)], body)


def by_factor(estimates: Sequence[Row], measure: str) -> str:
    """A measure of reliance of every recipe on every factor."""
    rows = [row for row in estimates if row["measure"] == measure and not row["group"]]
    factors = list(dict.fromkeys(row["factor"] for row in rows))
    found = {(row["recipe"], row["factor"]): row for row in rows}
    recipes = dict.fromkeys(row["recipe"] for row in rows)
    return table([measure, *factors], [[r, *(cell(found.get((r, f))) for f in factors)] for r in recipes])


def by_layer(estimates: Sequence[Row], measure: str) -> str:
    """A measure of the trained network's layers."""
    rows = [row for row in estimates if row["measure"] == measure and row["group"] in ("", "trained")]
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    found = {(row["recipe"], row["layer"]): row for row in rows}
    recipes = dict.fromkeys(row["recipe"] for row in rows)
    return table([measure, *layers], [[r, *(cell(found.get((r, one))) for one in layers)] for r in recipes])


def decodability(estimates: Sequence[Row]) -> str:
    """How well each factor is decoded from the last layer, trained and untrained."""
    rows = [row for row in estimates if row["measure"] == "decodability" and row["group"] in ("trained", "untrained")]
    last = rows[-1]["layer"] if rows else ""
    rows = [row for row in rows if row["layer"] == last]
    factors = list(dict.fromkeys(row["factor"] for row in rows))
    found = {(row["recipe"], row["group"], row["factor"]): row for row in rows}
    keys = dict.fromkeys((row["recipe"], row["group"]) for row in rows)
    body = [[f"{r} ({g})", *(cell(found.get((r, g, f))) for f in factors)] for r, g in keys]
    return table([f"decodability, {last}", *factors], body)


def associations(rows: Sequence[Row]) -> str:
    """What every environment asked for and has."""
    body = [
        [
            row["environment"],
            row["factor"],
            "as found" if math.isnan(row["asked"]) else number(row["asked"]),
            with_interval(row["strength"], row["low"], row["high"]),
            f"{int(row['kept'])} of {int(row['available'])}",
        ]
        for row in rows
        if row["factor"]
    ]
    return table(["environment", "factor", "asked", "achieved (Somers' D)", "rows kept"], body)


if __name__ == "__main__":
    main()
