"""Kinds of runs: their tables, their words in errors, and how their pages are made.

Each feature declares its kinds in its module `kind`; other packages do so by entry points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from assay.store.columns import Table
from assay.store.schema import TABLES

PAGE_WRITER = "assay.report.page:write_page"
"""`module:function` that writes the page of a run folder from its tables."""
ENTRY_POINT_GROUP = "assay.kinds"
"""Entry points by which other packages declare kinds of runs: `name = "package.module:KIND"`."""


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    Attributes:
        name: Its name, as run folders record it.
        noun: Its name with an article, such as `a look at images`, for errors.
        tables: Its tables by name, the most requested first.
        remedy: How its tables are made again, for errors.
        page: `module:attribute` of the definition of its page (`report.context.PageDefinition`).
        subject: What may not change in a run folder, in words.
        other_place_hint: What a user can do, besides choosing another place, where the sources changed.
        rebuild: `module:function` that returns the tables of a run folder from its records; empty where these do not
            suffice.
        writer: `module:function` that writes the page of a run folder, and other files that follow from its tables, and
            returns the path of the page; by default of the page alone. It is imported when a page is written.
    """

    name: str
    noun: str
    tables: Mapping[str, Table]
    remedy: str
    page: str
    subject: str = "subject"
    other_place_hint: str = "delete the folder"
    rebuild: str = ""
    writer: str = PAGE_WRITER


@cache
def kinds() -> Mapping[str, Kind]:
    """Return every kind of run by name: those in the modules `kind` of the features, and those of other packages.

    A run folder only names its kind, so that it can have nothing imported.
    """
    features = (path.parent.name for path in sorted(Path(__file__).parents[1].glob("*/kind.py")))
    modules = [import_module(f"assay.{feature}.kind") for feature in features]
    built_in = [value for module in modules for value in vars(module).values() if isinstance(value, Kind)]
    return {kind.name: kind for kind in (*built_in, *(point.load() for point in entry_points(group=ENTRY_POINT_GROUP)))}


def every_table() -> Mapping[str, Table]:
    """Return every table that a run folder can have, by name; those of studies first."""
    return {
        **TABLES,
        **{name: table for kind in kinds().values() for name, table in kind.tables.items() if name not in TABLES},
    }
