"""Figures of pages: of simulations they are those of the tables; others have a command, or say that none was kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import pandas as pd
import pytest
from tests.docs.reading import ROOT

STATISTICS = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
TRIALS = (ROOT / "docs" / "audit-trials.md").read_text(encoding="utf-8")
N = r"\**(0(?:\.\d+)?|1\.00)\**"
FOUR = f"{N} to {N} / {N} to {N} / {N} to {N}, with 20 seeds {N} to {N}"
Figures = Callable[[pd.DataFrame], list[float]]


@cache
def simulated(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / "docs" / "results" / f"{name}-simulation.csv")


def _ends(values: pd.Series) -> list[float]:
    return [values.min(), values.max()]


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    return table[~table.design.str.contains("fold|noise")]


def _shared(table: pd.DataFrame) -> list[float]:
    rows = table[table.quantity == "coverage of a difference"]
    few = rows[rows.seed_sd < 1]
    at_least = _ends(rows[rows.seed_sd >= 1].rate)
    return [*at_least, few[few.seeds == 10].rate.max(), few[few.seeds < 10].rate.max()]


def _decisions(table: pd.DataFrame) -> list[float]:
    normal = table[table.seed_effects == "equal"].claims.max()
    return [normal, *(table[name].max() for name in ("claims", "false_equivalence", "any_false"))]


def _families(table: pd.DataFrame) -> list[float]:
    rows = table[(table.family >= 4) & (table.group == table.family)]
    most = [rows[name].max() for name in ("claims", "claims_own", "false_equivalence")]
    return [*most, rows.worst_coverage.min()]


def _few(table: pd.DataFrame) -> list[float]:
    few = table.effective < 6
    return [*_ends(table[few].claims), *_ends(table[~few].claims)]


def _doses(table: pd.DataFrame) -> list[float]:
    wrong = table.rate_plain.where(table.additive_on == "probit", table.rate_probit)
    return [*_ends(table.rate), *_ends(wrong)]


def _groups(table: pd.DataFrame) -> list[float]:
    many = table.world.str.contains("20 groups")
    return [*_ends(table[~many].rate), table[many].rate.max()]


def _failures(failed: str) -> Figures:
    def figures(table: pd.DataFrame) -> list[float]:
        rows = table[(table.fails == "reference") & (table.failed_networks == failed)]
        return [each for seeds in (3, 5, 10, 20) for each in _ends(rows[rows.seeds == seeds].false_unconditional)]

    return figures


def _shown(table: pd.DataFrame) -> list[float]:
    rows = table[(table.fails == "reference") & (table.failed_networks == "kept")]
    return [each for seeds in (3, 5, 10) for each in _ends(rows[rows.seeds == seeds].seen)]


def _bounds(table: pd.DataFrame) -> list[float]:
    many = table[table.effective >= 50]
    return [*_ends(table.below), *_ends(table.above), max(many.below.max(), many.above.max())]


def _stops(table: pd.DataFrame) -> list[float]:
    rows = table[table.model != "wrongly"]
    return [rows.stops.max(), (rows.stops * rows.worlds).sum() / rows.worlds.sum()]


FIGURES: dict[str, tuple[str, str, Figures]] = {
    "coverage": (
        "interval",
        f"95% intervals .+?{N} to {N}; target",
        lambda t: _ends(_whole(t)[_whole(t).quantity == "coverage"].rate),
    ),
    "shared samples": ("interval", f"{N} to {N} where seeds vary as .+? up to {N} with 10 seeds and {N} with", _shared),
    "false positives": (
        "interval",
        rf"Sobol' indices included \| {N} to {N};",
        lambda t: _ends(_whole(t)[_whole(t).quantity.str.startswith("false")].rate),
    ),
    "decisions": (
        "decision",
        f"at most {N} with normal seeds, {N} in the worst .+? at most {N}; .+? up to {N}",
        _decisions,
    ),
    "looks": (
        "look",
        f"claims at most {N}, false equivalence {N}, either {N}",
        lambda t: [t[name].max() for name in ("claims", "false_equivalence", "any_false")],
    ),
    "families": (
        "family",
        rf"claims at most {N} \({N} without pooling\), false equivalence {N}, coverage at least {N}",
        _families,
    ),
    "beyond": (
        "family",
        f"at most {N} with normal seeds of equal spread, {N} in the worst world",
        lambda t: [t[t.seed_effects == "equal"].beyond.max(), t.beyond.max()],
    ),
    "few patients": ("few-patients", f"{N} to {N} claims, now undecided; from 6 effective on {N} to {N}", _few),
    "two sets": (
        "two-sets",
        f"in at least {N}; claims of more at most {N}, of as well at most {N}",
        lambda t: [t.coverage.min(), t.worse.max(), t.alike.max()],
    ),
    "doses": ("dose", rf"{N} to {N} with both scales \({N} to {N} with a single", _doses),
    "worst groups": ("worst-group", f"4 groups: {N} to {N}; 20 groups, one bad recipe everywhere: {N}", _groups),
    "failed": ("failure", f"networks in the comparison . {FOUR}", _failures("kept")),
    "failed, left out": ("failure", f"are left out: {FOUR}", _failures("left out")),
    "failures that show": ("failure", f"shows in {N} to {N} / {N} to {N} / {N} to {N} of studies", _shown),
    "pools": ("split", rf"share a pool of training rows \| {N} to {N} ", lambda t: _ends(t.rate)),
    "bounds": ("swing", f"lower bound in {N} to {N}, above the upper in {N} to {N}; with 50 .+? at most {N}", _bounds),
    "stops": ("misreading", rf"At most {N} \(Monte Carlo error 0.0011\) .+? and {N} of the audits", _stops),
}
"""What is said -> the table, the figures as they stand on the page, and how they follow from it."""


@pytest.mark.parametrize("said", FIGURES)
def test_figures_of_simulations_are_those_of_their_tables(said: str) -> None:
    name, pattern, figures = FIGURES[said]
    found = re.search(pattern, STATISTICS)
    assert found, pattern
    printed, computed = list(found.groups()), figures(simulated(name))
    assert len(printed) == len(computed)
    for text, value in zip(printed, computed, strict=True):
        half = 0.5 * 10.0 ** -len(text.partition(".")[2])
        assert float(text) == pytest.approx(value, abs=half + 1e-4), said


def _pairs(published: list[float], ours: list[float]) -> int:
    """Return how many pairs are in the published order, of three."""
    pairs = ((0, 1), (0, 2), (1, 2))
    return sum((published[i] - published[j]) * (ours[i] - ours[j]) > 0 for i, j in pairs)


def test_orders_of_losses_are_those_of_the_tables_of_results() -> None:
    drawn, real = (
        (ROOT / "docs" / "results" / f"{name}.md").read_text(encoding="utf-8")
        for name in ("lesion-loss-ood", "real-images")
    )
    rows = re.findall(r"^\| [\w +-]+ \| ([\d.]+) \| at most (\d+) of 20 \| ([\d.]+) \| ([\d.]+) \|", drawn, flags=re.M)
    dice, empty, our_dice, our_empty = ([float(row[at]) for row in rows] for at in range(4))
    feet = real.partition("<!--claims:lesion-loss-ulcer-values-->")[2].partition("<!--/claims-->")[0]
    cells = re.findall(r"^\| [^|]+ \| ([\d.]+) \[[^|]+\| ([\d.]+) \[", feet, flags=re.M)
    photographs, crops = ([float(row[at]) for row in cells] for at in range(2))
    assert len(rows) == len(cells) == 3
    assert (_pairs(empty, our_empty), _pairs(dice, our_dice)) == (3, 2)
    assert (_pairs(empty, photographs), _pairs(empty, crops)) == (2, 3)
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    assert "3 of 3 pairs of losses are in the published order (tau 1.00), for Dice 2 of 3 (tau 0.33)" in page
    assert "it is 2 of 3 on photographs (tau 0.33), and 3 of 3 on crops" in page


def test_every_table_of_a_simulation_has_a_script_that_writes_it() -> None:
    for table in sorted((ROOT / "docs" / "results").glob("*-simulation.csv")):
        script = ROOT / "benchmarks" / f"{table.stem.replace('-', '_')}.py"
        assert f"docs/results/{table.name}" in script.read_text(encoding="utf-8")


REPEATED = re.compile(r"script not kept|python benchmarks/|`tests/|of the (?:first|commands)")
FIGURE = re.compile(r"\d+(?: of |/)\d+|\d%|\d sd\b")


def test_figures_of_audit_trials_have_a_command_or_say_that_the_script_was_not_kept() -> None:
    _, *sections = re.split(r"^## ", f"\n## {TRIALS}", flags=re.MULTILINE)
    for section in sections:
        commands = re.findall(r"^    python (benchmarks/\w+\.py)", section, flags=re.MULTILINE)
        for line in section.splitlines() if not commands else ():
            assert not FIGURE.search(line) or REPEATED.search(line), line
    for script, options in re.findall(r"python (benchmarks/\w+\.py)([^`\n]*)", TRIALS):
        code = (ROOT / script).read_text(encoding="utf-8")
        for option in re.findall(r"--[a-z-]+", options):
            assert f'"{option}"' in code, f"{script} {option}"


BY_HAND = ("an earlier bank", "of an earlier search", "seeds from 8,", "In simulated scores", "rules were developed on",
           "developed on twelve", "in place of 157", "on other nodules (seeds from 0)")  # fmt: skip


def test_figures_of_what_no_command_repeats_say_so() -> None:
    """What was measured while rules were made, by another search, or by hand."""
    for line in TRIALS.splitlines():
        if any(words in line for words in BY_HAND):
            assert "script not kept" in line, line
    assert all(words in TRIALS for words in BY_HAND)


def test_figures_of_both_runs_on_retinopathy_are_those_of_their_tables() -> None:
    results = ROOT / "docs" / "results"
    files = ("dr-pretraining-messidor-again", "dr-pretraining-messidor-again-replication")
    rows = pd.concat([pd.read_csv(results / f"{file}.csv") for file in files])
    page = (results / "real-images.md").read_text(encoding="utf-8")
    section = page.split("### All comparisons", 1)[1].split("### ", 1)[0]
    shown = re.findall(r"\*\*([a-z0-9. ]+)\*\*: ([+-][\d.]+) \[(-?[\d.]+), (-?[\d.]+)\](?:, ([\d.]+)% CI)?", section)
    words = {"higher-beyond": "higher by more than the margin"}
    expected = list[tuple[str, ...]]()
    for row in rows.itertuples():
        within = f" within {row.margin:.2f}" if row.decision == "equivalent" else ""
        own = row.decision_level == 0.975
        low, high = (row.decision_low, row.decision_high) if own else (row.low, row.high)
        digits = 3 if abs(row.value) < 0.005 else 2
        figures = (f"{row.value:+.{digits}f}", f"{low:.{digits}f}", f"{high:.{digits}f}")
        expected.append((words.get(row.decision, row.decision) + within, *figures, "97.5" if own else ""))
    assert sorted(shown) == sorted(expected)
