"""Kinds of runs: their tables, and their words in errors."""

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
GROUP = "assay.kinds"
"""Entry points by which other packages declare kinds of runs: `name = "package.module:KIND"`."""


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    Attributes:
        name: Its name, which the folder keeps.
        words: Its name with an article, for errors.
        tables: Its tables by name, the most requested first.
        again: How its tables are made again.
        page: `module:attribute` of what its page is made of (`report.evidence.Page`).
        subject: What may not change in a run folder, in words.
        other_place: What else gives a run of other sources a folder of its own, as the end of a sentence.
        rebuild: `module:function` that returns the tables of a run folder from its records; empty where these do not
            suffice.
        writer: `module:function` that writes the page of a run folder, and other files that follow from its tables, and
            returns the path of the page; by default of the page alone. It is imported when a page is written.
    """

    name: str
    words: str
    tables: Mapping[str, Table]
    again: str
    page: str
    subject: str = "subject"
    other_place: str = "delete the folder"
    rebuild: str = ""
    writer: str = PAGE_WRITER


@cache
def kinds() -> Mapping[str, Kind]:
    """Return every kind of run by name: those in the modules `kind` of the features, and those of other packages.

    A run folder only names its kind, so that it can have nothing imported.
    """
    features = (path.parent.name for path in sorted(Path(__file__).parents[1].glob("*/kind.py")))
    modules = [import_module(f"assay.{feature}.kind") for feature in features]
    kinds_found = [value for module in modules for value in vars(module).values() if isinstance(value, Kind)]
    return {kind.name: kind for kind in (*kinds_found, *(point.load() for point in entry_points(group=GROUP)))}


def every_table() -> Mapping[str, Table]:
    """Return every table that a run folder can have, by name; those of studies first."""
    return {
        **TABLES,
        **{name: table for kind in kinds().values() for name, table in kind.tables.items() if name not in TABLES},
    }
