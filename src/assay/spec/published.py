"""Tables of a publication, beside which a study puts its own figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from assay.core.measures import MEASURES
from assay.spec.document import Keys
from assay.spec.fields import ByLabel, HeldLabels
from assay.spec.issues import Issues
from assay.spec.recipe import Frozen


class PublishedColumn(Frozen):
    """Figures of a column of a published table, and the measure of this study that stands beside them.

    Attributes:
        where: Axis -> value of the recipes of this column. Other axes have their first value.
        values: Value of the axis of the rows -> published figure, in the unit of the measure.
    """

    name: str
    measure: str
    environment: str = ""
    where: Annotated[Mapping[str, str], HeldLabels] = {}
    values: Annotated[Mapping[str, float], ByLabel] = {}


class PublishedTable(Frozen):
    """A table or figure of a publication.

    Attributes:
        source: The publication.
        page: Where in it, such as `Table 2` or `p. 7`.
        rows: The axis whose values are its rows.
        note: A difference between both sides that a reader should know.
    """

    title: str
    source: str
    page: str = ""
    rows: str
    note: str = ""
    columns: tuple[PublishedColumn, ...]


def check_published(published: Sequence[PublishedTable], tests: Sequence[str], issues: Issues) -> None:
    """Check that columns of published tables name measures and test environments that there are."""
    for i, table in enumerate(published):
        for j, column in enumerate(table.columns):
            at: Keys = ("published", i, "columns", j)
            if column.measure not in MEASURES:
                issues.add((*at, "measure"), column.measure, "no such measure", "see `assay list measures`", MEASURES)
            if column.environment and column.environment not in tests:
                issues.add((*at, "environment"), column.environment, "no such test environment", names=tests)
