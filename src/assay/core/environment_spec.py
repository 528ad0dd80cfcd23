"""A named distribution of images: what is tied to the target in it, marked, held constant or harder to see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import Field, ValidationError, model_validator

from assay.core.component import Component
from assay.core.frozen import Frozen, Share

Strength = Annotated[float, Field(ge=-1, le=1)]


class HighShares(Frozen):
    """The share of rows that have a factor's high level: of the last class, and of the others."""

    positive: Share
    negative: Share


class AssociationSpec(Frozen):
    """How strongly a factor is tied to the target: Somers' D, signed. `given` ties it within those rows only.

    share: which share of each class has the high level of a categorical factor, all other rows the low one; D is then
        the difference of both. Without it a class has it in (1 + D) / 2 of its rows and the others in (1 - D) / 2, so
        that half of all rows have it whatever D is.
    """

    strength: Strength
    high: tuple[str, ...] = ()
    given: Mapping[str, Any] = {}
    share: HighShares | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_shares(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        fields = dict(cast("Mapping[str, Any]", given))
        if fields.get("share") is None:
            return fields
        try:
            share = HighShares.model_validate(fields["share"])
        except ValidationError:
            return {**fields, "strength": 0.0}  # what is wrong with it is told of the field itself
        strength = share.positive - share.negative
        if fields.setdefault("strength", strength) != strength:
            raise ValueError("strength and share are given: keep one; shares make a strength of their difference")
        return {**fields, "share": share}


class InterventionSpec(Frozen):
    """A change to pixels and which rows get it: by `association` when the environment ties its name, else by share.

    share: the share of rows marked, or one share per class name, or {positive, negative}: of the last class and of the
        others.
    """

    component: Component
    share: Share | Mapping[str, Share] = 0.5

    @property
    def marks_rows(self) -> bool:
        """Whether any row gets it by share."""
        return any(self.share.values()) if isinstance(self.share, Mapping) else self.share > 0


class EnvironmentSpec(Frozen):
    """A named distribution: dataset + split + association + interventions.

    where: factor -> value, list of values, or {min, max}: on a phantom the values are drawn from within, on files the
        rows are chosen; so `where: {texture: solid}` holds a factor constant.
    difficulty: factor -> visibility of a phantom's factor, 1 being normal, 0 invisible.
    rows: how many training rows are taken of those that all this leaves; all of them where it is not said.
    fraction: the share of training patients that is taken, with all their rows, of those that all this leaves.
    crop: `lesion-free` shows, of photographs of lesions, windows without any (files with masks, tests only).
    split: the rows it is made from: `train`, also for the validation rows, in the environment of that name alone.
    """

    split: Literal["train", "test"] = "test"
    association: Mapping[str, AssociationSpec] = {}
    interventions: Mapping[str, InterventionSpec] = {}
    where: Mapping[str, Any] = {}
    difficulty: Mapping[str, Annotated[float, Field(ge=0, le=3)]] = {}
    rows: Annotated[int, Field(ge=1)] | None = None
    fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    crop: Literal["", "lesion-free"] = ""

    @model_validator(mode="after")
    def _one_amount(self) -> EnvironmentSpec:
        if self.rows is not None and self.fraction is not None:
            raise ValueError("rows and fraction both say how much is trained on: keep one")
        return self

    def for_training(self) -> dict[str, Any]:
        """The canonical form without what changes no image: interventions on no rows, difficulties of 1."""
        marking = self.interventions.items()
        active = {name: item for name, item in marking if item.marks_rows or name in self.association}
        harder = {name: value for name, value in self.difficulty.items() if value != 1}
        part = None if self.fraction == 1 else self.fraction
        return self.model_copy(update={"interventions": active, "difficulty": harder, "fraction": part}).canonical()
