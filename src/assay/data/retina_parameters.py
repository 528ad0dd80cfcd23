"""The checked arguments of the public sets of graded retinal photographs, and their factors."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from assay.core.registry import Params
from assay.core.types import Factor
from assay.data.parameters import LesionSetParams

GRADES = ("0", "1", "2", "3", "4")
EYE = Factor("eye", "categorical", levels=("left", "right"), high=("right",), description="as the file's name says")
OEDEMA = "macular_edema"
Finding = Literal["exudates", "cotton_wool", "haemorrhages", "microaneurysms"]
Outlined = Literal["microaneurysms", "haemorrhages", "exudates", "cotton_wool", "optic_disc"]


class GradedParams(Params):
    """A set with a grade of diabetic retinopathy, 0 to 4, for each photograph.

    Attributes:
        ordered: The classes are grades, in their order.
    """

    folders: ClassVar[tuple[str, ...]] = ("folder",)
    ordered: ClassVar[bool] = True
    FACTORS: ClassVar[tuple[Factor, ...]] = ()

    folder: str = Field(min_length=1, description="the folder that holds the table and the images")
    cut: Annotated[int, Field(ge=1, le=4)] | None = Field(
        None, description="two classes in the place of five: grades below it, and from it on (2: referable)"
    )


class EyepacsParams(GradedParams):
    """EyePACS."""

    FACTORS: ClassVar[tuple[Factor, ...]] = (EYE,)


class IdridParams(GradedParams):
    """IDRiD."""

    FACTORS: ClassVar[tuple[Factor, ...]] = (
        Factor(OEDEMA, "ordinal", levels=("0", "1", "2"), description="risk of macular oedema"),
    )


class Messidor2Params(GradedParams):
    """Messidor-2."""

    FACTORS: ClassVar[tuple[Factor, ...]] = (
        Factor(OEDEMA, "categorical", levels=("0", "1"), high=("1",), description="adjudicated macular oedema"),
    )


class DiaretdbParams(Params):
    """DIARETDB1: whether a photograph shows a finding."""

    folders: ClassVar[tuple[str, ...]] = ("folder",)

    folder: str = Field(min_length=1, description="the folder that holds ddb1_fundusimages and ddb1_groundtruth")
    finding: Finding = Field("exudates", description="which kind of lesion makes the positive class")
    agreement: float = Field(0.75, gt=0, le=1, description="share of the four experts that any place needs")


class IdridSegParams(LesionSetParams):
    """IDRiD, segmentation: masks of these kinds of lesion, told apart or taken together."""

    kinds: tuple[Outlined, ...] = Field(
        ("microaneurysms", "haemorrhages", "exudates", "cotton_wool"),
        min_length=1,
        description="what counts as a lesion; exudates are hard, cotton_wool is soft exudates",
    )
    together: bool = Field(False, description="all of them are one kind, lesion")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        twice = [kind for kind in dict.fromkeys(self.kinds) if self.kinds.count(kind) > 1]
        if twice:
            raise ValueError(f"kinds names {', '.join(twice)} more than once; name each once")
        return self
