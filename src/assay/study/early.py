"""The page of a study while it runs: mean values of the seeds that are finished, and which comparisons are open."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from assay.core.measures import label_of
from assay.execution.plan import Plan
from assay.execution.progress import Stage
from assay.execution.run import ObserverFactory
from assay.execution.tasks import Event, Observer, Task
from assay.report.context import unshifted_labels
from assay.report.index_page import Index
from assay.report.page import render_html
from assay.report.sheets import Cell, SheetRow
from assay.report.words import Names, comparison_name, sentence_case
from assay.stats.format import count, join_words, number
from assay.store.files import Row, write_text

PAGE = "so-far.html"
"""Name of the page, which is removed when the study's own page is written."""
FIRST = 3
"""Seeds of the first page; each next one has twice as many."""


def page_number(position: int) -> int:
    """Return which of the pages is the first that shows a seed.

    Args:
        position: Of the seed among those of the study, from 0.
    """
    return (position // FIRST).bit_length()


UNDECIDED = (
    "Values change until the last network. No interval is given and nothing is decided before that: stopping a study "
    "because its values look good would bias it."
)


class EarlyPages:
    """Pages of the first seeds of a study, which are written as soon as these are finished."""

    def __init__(self, plan: Plan, root: Path, estimate: Callable[[Plan], Sequence[Row]], stage: Stage) -> None:
        """Prepare the pages.

        Args:
            plan: Of the study.
            root: Its run folder.
            estimate: Returns rows of `schema.ESTIMATES` of the seeds of a plan.
            stage: Callback for a sentence on what is seen so far.
        """
        self.plan, self.root, self.estimate, self.stage = plan, root, estimate, stage

    @contextmanager
    def watch(self, tasks: Sequence[Task], watch: ObserverFactory) -> Generator[Observer]:
        """Show tasks as `watch` does, and write the pages meanwhile."""
        seeds, ended, failed = FIRST, set[str](), set[str]()
        trials = self._trial_ids(seeds)
        pending = {task.id for task in tasks if (task.unit or task.id) in trials}
        if pending and seeds < self.plan.spec.seeds:
            networks = f"{len(trials):,} of {count(len(self.plan.trials), 'network')}"
            self.stage(f"a first page, of {networks}, comes before the end: {self.root / PAGE}")
        with watch(tasks) as display:

            def hear(event: Event) -> None:
                nonlocal seeds, pending, failed
                display(event)
                if event.status not in ("done", "failed", "skipped"):
                    return
                ended.add(event.task.id)
                failed |= {event.task.unit or event.task.id} if event.status != "done" else set()
                while seeds < self.plan.spec.seeds and pending <= ended:
                    self._write_page(seeds, failed)
                    seeds *= 2
                    trials = self._trial_ids(seeds)
                    pending = {task.id for task in tasks if (task.unit or task.id) in trials}

            yield hear

    def _trial_ids(self, seeds: int) -> set[str]:
        return {trial.id for trial in self.plan.of_first_seeds(seeds).trials}

    def _write_page(self, seeds: int, failed: set[str]) -> None:
        """Write the page, and say what is seen; what goes wrong here ends no study."""
        try:
            rows = _rows_of_images(self.estimate(self.plan.of_first_seeds(seeds)), self.plan)
            if rows:
                progress = _progress_text(self.plan, seeds, failed)
                write_text(self.root / PAGE, _values_page(self.plan, seeds, progress, rows))
                self.stage(f"{progress}: {_ranges_text(self.plan, rows)}; {self.root / PAGE}")
        except Exception as error:
            self.stage(f"no page of the first {seeds} seeds: {type(error).__name__}: {error}")


def _progress_text(plan: Plan, seeds: int, failed: set[str]) -> str:
    """Return how many networks of the first seeds did not fail, of all."""
    done = sum(trial.id not in failed for trial in plan.of_first_seeds(seeds).trials)
    return f"{done:,} of {count(len(plan.trials), 'network')}"


def _rows_of_images(rows: Sequence[Row], plan: Plan) -> list[Row]:
    """Return rows of one measure over all images of each test condition: that of the first comparison which has one."""
    rows_overall = [row for row in rows if row["environment"] and not any(row[name] for name in _PARTS)]
    measured = dict.fromkeys(row["measure"] for row in rows_overall if not math.isnan(row["value"]))
    compared = [contrast.measure for contrast in plan.spec.contrasts if contrast.measure in measured]
    measure = next(iter((*compared, *measured)), "")
    return [row for row in rows_overall if row["measure"] == measure]


_PARTS = ("factor", "level", "layer", "group")


def _names(plan: Plan) -> Names:
    points = plan.spec.model_dump(mode="json", exclude_defaults=True, include={"points"})["points"]
    return Names(conditions=unshifted_labels(points), labels=plan.spec.labels)


def _recipe_names(plan: Plan) -> dict[str, str]:
    """Return the name of each recipe by the axes that differ, as on the page of the study."""
    spec = plan.spec
    axes = [axis for axis, levels in spec.axes.items() if len(levels) > 1]
    names = _names(plan)
    return {point.label: names.recipe(point.coordinates, axes) or point.label for point in spec.points}


def _ranges_text(plan: Plan, rows: Sequence[Row]) -> str:
    """Return a sentence on the values of all recipes in each test condition."""
    values: dict[str, list[float]] = {}
    for row in rows:
        if not math.isnan(row["value"]):
            values.setdefault(row["environment"], []).append(row["value"])
    texts, names = list[str](), _names(plan)
    for environment, of_place in values.items():
        ends = dict.fromkeys((number(min(of_place)), number(max(of_place))))
        texts.append(f"{' to '.join(ends)}{names.in_condition(environment)}")
    return f"so far {label_of(rows[0]['measure'])} is {join_words(texts)}"


def _values_page(plan: Plan, seeds: int, progress: str, rows: Sequence[Row]) -> str:
    environments = list(dict.fromkeys(row["environment"] for row in rows))
    names = _recipe_names(plan)
    value = {(row["recipe"], row["environment"]): row["value"] for row in rows}
    lines = [
        SheetRow(
            (
                Cell(names[recipe]),
                *(Cell(number(value.get((recipe, name), math.nan)), numeric=True) for name in environments),
            )
        )
        for recipe in dict.fromkeys(row["recipe"] for row in rows)
    ]
    heads = ("recipe", *map(_names(plan).condition, environments))
    meta = f"{sentence_case(label_of(rows[0]['measure']))}, mean over the first {seeds} of {plan.spec.seeds} seeds."
    return _render_table(heads, lines, f"{plan.spec.name}: {progress}", UNDECIDED, meta)


def looks_page(name: str, rows: Sequence[Row], following: int, unseen: Collection[str] = ()) -> str:
    """Return the page after a look of a study that is run until it is decided: which comparisons are open.

    Args:
        name: Of the study.
        rows: Rows of `schema.LOOKS`.
        following: Seeds of the next look; 0 where none follows.
        unseen: Ids of comparisons whose networks are not finished for this look.
    """
    latest: Mapping[str, Row] = {row["id"]: row for row in rows}
    last = max(row["look"] for row in rows)
    states = {id: "open" if math.isnan(row["closed_at"]) else row["decision"] for id, row in latest.items()}
    states |= dict.fromkeys(unseen, UNFINISHED)
    order = ("open", UNFINISHED)
    lines = [
        SheetRow((Cell(comparison_name(row)), Cell(states[id]), Cell(seeds, numeric=True)))
        for id, row in sorted(latest.items(), key=lambda item: (*order, states[item[0]]).index(states[item[0]]))
        for seeds in ("" if id in unseen else str(row["seeds"]),)
    ]
    open_count = sum(state == "open" for state in states.values())
    title = f"{name}: {open_count} of {count(len(states), 'primary comparison')} open after {last} seeds"
    if unseen:
        title += f", {UNFINISHED} for {len(unseen)}"
    note = f"Recipes of open comparisons are trained on until the look at {following} seeds." if following else ""
    return _render_table(("comparison", "state", "seeds"), lines, title, note, "")


UNFINISHED = "networks not finished"
"""State of a comparison whose networks are not finished for the look."""


def _render_table(heads: tuple[str, ...], lines: Sequence[SheetRow], title: str, note: str, meta: str) -> str:
    return render_html("index.html", Index(heads, tuple(lines), ("",) * len(lines), note, title, meta))
