"""Which group labels a training is given, and no more of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from assay.core.spec import RecipeSpec
from assay.core.traits import WORST_GROUP, Rows
from assay.recipes.mitigations.groups import Grouping, grouping
from assay.recipes.mitigations.mitigation import Mitigation
from assay.shifts.environment import Environment


@dataclass(frozen=True)
class Labels:
    """Groups of the rows that a recipe may know them of, int64, in the order of the tables; None for all others.

    asked: whose labels the mitigation asked for; trained: the groups of those rows. selected: the groups of the
    validation rows, where the epoch is chosen by the worst of them.
    """

    grouping: Grouping | None = None
    asked: Rows = "none"
    trained: Int[np.ndarray, "n"] | None = None
    selected: Int[np.ndarray, "m"] | None = None

    @property
    def carried(self) -> Int[np.ndarray, "n"] | None:
        """The groups that training batches carry."""
        return self.trained if self.asked == "training" else None

    def account(self) -> dict[str, Any]:
        """What the record of a training says: the factor, whose labels were used for what, and rows per group."""
        used = {"training": self.asked, "selection": "none" if self.selected is None else "validation"}
        if self.grouping is None:
            return {"group_labels": used}
        counted = (("trained", self.trained), ("selected", self.selected))
        rows = {name: self.grouping.counts(groups) for name, groups in counted if groups is not None}
        return {"group_labels": used, "groups": self.grouping.factor, "rows": rows}


def labels_for(recipe: RecipeSpec, mitigation: Mitigation, training: Environment, validation: Environment) -> Labels:
    """The labels that a recipe uses. Levels and halves are those of the rows whose labels train, if any do.

    Raises SpecError for a factor that the rows lack; DataError for rows without a value, for a group without rows
    where the mitigation needs every one, and for a group without validation rows where the epoch is chosen by it.
    """
    selects = recipe.selection == WORST_GROUP
    asked = mitigation.group_labels
    if asked == "none" and not selects:
        return Labels()
    tables = {"training": training.table, "validation": validation.table}
    made = grouping(recipe.groups, tables["validation" if asked == "none" else asked])
    trained = None if asked == "none" else made.of(tables[asked], asked)
    if trained is not None and mitigation.needs_every_group:
        made.check_all_there(trained, f"mitigation '{recipe.mitigation.name}'", asked)
    selected = made.of(validation.table, "validation") if selects else None
    if selected is not None:
        made.check_all_there(selected, f"selection '{WORST_GROUP}'", "validation")
    return Labels(made, asked, trained, selected)
