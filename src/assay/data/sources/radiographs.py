"""From the rows of a public set of images, in common words, to a listing: columns, patients, images, split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from assay.core.data_spec import DataSpec, FactorSpec
from assay.core.errors import SpecError
from assay.core.types import Factor
from assay.data.cards import KnownSet
from assay.data.sources.columns import chosen, factor_column, patient_codes, problems_of
from assay.data.sources.findings import Sides
from assay.data.sources.listing import Listing
from assay.data.sources.problems import Problem, Unreadable
from assay.data.sources.table import Table, absent

SPLIT = Factor("split", "categorical", levels=("train", "validation", "test"), description="as its makers divide it")


@dataclass(frozen=True, slots=True)
class Radiographs:
    """The rows of a set, one image each.

    rows: a table with the columns `image` (its name for messages), `patient`, one per factor, `split` where the makers'
    own is known, and one per finding. about: what is known of the set. find: where a row's image lies, by its name;
    raises Unreadable. split_files: which files tell the split, for the message when they are missing.
    """

    title: str
    about: KnownSet
    rows: Table
    factors: tuple[Factor, ...]
    find: Callable[[str], Path]
    split_files: str
    warnings: tuple[str, ...] = ()


def listing_of(
    given: Radiographs, spec: DataSpec, sides: Callable[[Table], tuple[Sides, Mapping[int, tuple[str, str]]]]
) -> Listing:
    """The rows that the study uses: those that `where` chooses and that belong to one of its classes.

    sides: the classes of the chosen rows, and which of them have labels that cannot be right (what, remedy). Rows that
    are not used are not judged, and their images need not be there.
    """
    table = chosen(given.rows, spec.where)
    if not len(table) and not table.problems:
        raise SpecError(f"data.where: no row of {table.name} fits")
    found, wrong = sides(table)
    names = table.column("image", "data.dataset")
    problems = problems_of(table, names, dict(wrong))
    used = [code >= 0 or at in wrong for at, code in enumerate(found.codes.tolist())]
    target = found.codes[np.array(used, dtype=bool)]
    table = table.keep(used)
    names = table.column("image", "data.dataset")
    patients = table.column("patient", "data.dataset")
    problems += [
        Problem(number, name, "its patient is not told", "say whose image it is")
        for number, name, patient in zip(table.numbers, names, patients, strict=True)
        if absent(patient)
    ]
    factors, columns = _factors(given, spec, table, problems)
    images = _images(given, table, names, problems)
    listing = Listing(
        title=given.title,
        where=table.name,
        word="line",
        numbers=table.numbers,
        names=names,
        images=images,
        masks=None,
        target=target,
        classes=found.classes,
        patient=patient_codes(patients),
        factors=factors,
        columns=columns,
        problems=table.problems,
        facts=found.facts,
        warnings=given.warnings,
        about=given.about,
    )
    return listing.drop(problems)[0]


def _factors(
    given: Radiographs, spec: DataSpec, table: Table, problems: list[Problem]
) -> tuple[tuple[Factor, ...], dict[str, np.ndarray]]:
    names = table.column("image", "data.dataset")
    declared = list(given.factors)
    if "split" in table.header:
        declared.append(SPLIT)
    elif spec.split.column == SPLIT.name:
        raise SpecError(
            f"data.split.column: the set's own split stands in {given.split_files}, which the folder lacks; "
            "put it there, or divide by folds or shares"
        )
    made: list[Factor] = []
    columns: dict[str, np.ndarray] = {}
    for factor in declared:
        wanted = FactorSpec(kind=factor.kind, unit=factor.unit, levels=factor.levels)
        found, values, wrong = factor_column(factor.name, wanted, table.column(factor.name, "data.dataset"))
        high = tuple(level for level in factor.high if level in found.levels)
        made.append(replace(factor, levels=found.levels, high=high))
        columns[factor.name] = values
        problems += problems_of(table, names, wrong)
    if spec.split.column == SPLIT.name:
        outside = np.flatnonzero(columns[SPLIT.name] < 0).tolist()
        what, remedy = f"its part is not told by {given.split_files}", "divide by folds or shares"
        problems += problems_of(table, names, dict.fromkeys(outside, (what, remedy)))
    return tuple(made), columns


def _images(given: Radiographs, table: Table, names: Sequence[str], problems: list[Problem]) -> tuple[Path, ...]:
    images: list[Path] = []
    first: dict[Path, int] = {}
    for line, name in zip(table.numbers, names, strict=True):
        try:
            path = given.find(name)
        except Unreadable as error:
            problems.append(Problem(line, name, error.what, error.remedy))
            path = Path()
        else:
            if first.setdefault(path, line) != line:
                what = f"line {first[path]} names the same image"
                problems.append(Problem(line, name, what, "keep one of them"))
        images.append(path)
    return tuple(images)
