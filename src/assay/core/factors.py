"""What is known about a study's factors before any image is read: from the phantom's declaration or the `factors:`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from assay.core.component import Component
from assay.core.data_spec import DataSpec
from assay.core.errors import SpecError
from assay.core.registry import build, lookup
from assay.core.types import Factor

LESION = Factor(
    "lesion",
    "categorical",
    "core",
    levels=("absent", "present"),
    high=("present",),
    description="whether the mask shows any",
)
"""What masks say of a whole image, where it is the target."""


def declared_factors(data: DataSpec) -> dict[str, Factor] | None:
    """Factor name -> factor, as far as nothing heavy need be imported: the columns that `factors:` declares, or what a
    phantom's or a dataset's Params hold as `FACTORS` (of the class, or a property where arguments decide them), and
    `LESION` where masks decide the target. None for one that does not declare them there.
    """
    named = data.phantom or data.dataset
    if named is None:
        masked = data.folder and (not data.table or (has_masks(data) and data.target == LESION.name))
        return {
            **({LESION.name: LESION} if masked else {}),
            **{
                name: Factor(name, spec.kind, unit=spec.unit, levels=spec.levels, high=spec.high)
                for name, spec in data.factors.items()
            },
        }
    params = lookup(named.kind, named.name).params
    if not hasattr(params, "FACTORS"):
        return None
    declared = cast(tuple[Factor, ...], getattr(params.model_validate(dict(named.params)), "FACTORS", ()))
    return {factor.name: factor for factor in declared}


def has_grades(data: DataSpec) -> bool:
    """Whether the classes of a public set are grades, in their order, as its Params say (`ordered`)."""
    return data.dataset is not None and bool(getattr(lookup("dataset", data.dataset.name).params, "ordered", False))


def has_order(data: DataSpec) -> bool:
    """Whether the data vouch for the order of their classes: by where grades are cut in two, as a public set of grades,
    or by a target that is an ordinal factor.
    """
    target = (declared_factors(data) or {}).get(data.target)
    return data.referable is not None or (target is not None and target.kind == "ordinal") or has_grades(data)


def has_masks(data: DataSpec) -> bool:
    """Whether a table comes with masks: a column of them, or the outlines of a COCO file."""
    return bool(data.folder and (data.mask or is_coco(data)))


def is_coco(data: DataSpec) -> bool:
    """Whether the table is a COCO file, which lists images and outlines together."""
    return data.table.casefold().endswith(".json")


def imported_factors(phantom: Component) -> dict[str, Factor]:
    """Factor name -> factor of a phantom, from the phantom itself."""
    made: Any = build("phantom", phantom.name, phantom.params)
    return {factor.name: factor for factor in cast(tuple[Factor, ...], made.factors)}


def refused_size(phantom: Component, size: int) -> str:
    """Why a phantom does not draw images of this size; empty where it does."""
    made: Any = build("phantom", phantom.name, phantom.params)
    try:
        made.scale(size)
    except SpecError as error:
        return str(error)
    return ""


def no_shares(factor: Factor) -> str:
    """Why an association by shares of high rows cannot be of this factor; empty where it can."""
    if factor.kind == "categorical":
        return ""
    kind = f"'{factor.name}' is {factor.kind}"
    return f"{kind}: shares of rows with the high level (`scheme: one-sided`) are for categorical factors"


def grouped(factors: Iterable[str]) -> list[str]:
    """What a variance-based measure names besides factors: coordinates as one input, and the nuisance seed."""
    return [*(name.removesuffix("_x") for name in factors if name.endswith("_x")), "nuisance seed"]
