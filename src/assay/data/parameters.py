"""The checked arguments of the public sets that Assay reads as their makers publish them, and their factors."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from assay.core.registry import Params
from assay.core.types import Factor
from assay.spec.data import LESION

Policy = Literal["refuse", "negative", "positive", "drop"]

SEX = Factor("sex", "categorical", levels=("F", "M"), high=("M",), description="as the table says")
AGE = Factor("age", "continuous", unit="years", range=(0.0, 120.0))
VIEWS = ("PA", "AP", "lateral", "LL", "RL")
VIEW = Factor("view", "categorical", levels=VIEWS, high=("AP",), description="AP: mostly at the bedside")


class NihParams(Params):
    """NIH ChestX-ray14: one named finding against No Finding or against another one."""

    folders: ClassVar[tuple[str, ...]] = ("folder",)
    FACTORS: ClassVar[tuple[Factor, ...]] = (
        Factor("view", "categorical", levels=("PA", "AP"), high=("AP",), description="AP: mostly at the bedside"),
        SEX,
        AGE,
        Factor("follow_up", "continuous", description="number of the visit, 0 the first"),
    )

    folder: str = Field(min_length=1, description="the folder that holds the table and the images")
    finding: str = Field(min_length=1, description="the positive class, such as Mass")
    against: str = Field("No Finding", min_length=1, description="the negative class: No Finding, or another finding")
    alone: bool = Field(False, description="leave out images that show other findings beside")
    table: str = Field("Data_Entry_2017.csv", description="the table of images")

    @model_validator(mode="after")
    def _two_findings(self) -> Self:
        _refuse_several(self.finding, self.against)
        return self


class MinedParams(Params):
    """What CheXpert and MIMIC-CXR share: findings that are 1, 0, -1 (uncertain) or blank (not mentioned)."""

    folders: ClassVar[tuple[str, ...]] = ("folder",)

    folder: str = Field(min_length=1, description="the folder that holds the tables and the images")
    finding: str = Field(min_length=1, description="the positive class, such as Edema")
    against: str = Field("", description="the negative class: another finding or No Finding; empty: finding is 0")
    uncertain: Policy = Field("refuse", description="what -1 means: negative, positive, left out, or an error")
    blank: Policy = Field("refuse", description="what an empty cell means: negative, positive, left out, or an error")

    @model_validator(mode="after")
    def _two_findings(self) -> Self:
        _refuse_several(self.finding, self.against)
        return self


class ChexpertParams(MinedParams):
    """CheXpert: `train.csv`, and `valid.csv` where it is there."""

    FACTORS: ClassVar[tuple[Factor, ...]] = (VIEW, SEX, AGE)


class MimicParams(MinedParams):
    """MIMIC-CXR-JPG: the tables of labels, metadata and split."""

    FACTORS: ClassVar[tuple[Factor, ...]] = (
        Factor("view", "categorical", high=("AP",), description="AP: mostly at the bedside"),
    )

    labels: Literal["chexpert", "negbio"] = Field("chexpert", description="which labeller read the reports")


def _rated(name: str, what: str) -> Factor:
    return Factor(name, "continuous", range=(1.0, 5.0), description=f"mean of the readers' ratings, {what}")


class LidcParams(Params):
    """LIDC-IDRI: malignant against benign nodules of 3 mm and more, from XML and DICOM."""

    folders: ClassVar[tuple[str, ...]] = ("folder",)
    FACTORS: ClassVar[tuple[Factor, ...]] = (
        Factor("diameter_mm", "continuous", unit="mm", description="largest extent in a slice, mean of the readers"),
        _rated("subtlety", "1 hard to see to 5 obvious"),
        _rated("sphericity", "1 linear to 5 round"),
        _rated("margin", "1 poorly to 5 sharply defined"),
        _rated("lobulation", "1 none to 5 marked"),
        _rated("spiculation", "1 none to 5 marked"),
        _rated("texture", "1 ground-glass to 5 solid"),
        Factor("calcified", "continuous", range=(0.0, 1.0), description="share of readers who saw calcium"),
        Factor("readers", "continuous", range=(1.0, 4.0), description="how many of up to four outlined it"),
        Factor("slice_thickness", "continuous", unit="mm"),
        Factor("pixel_size", "continuous", unit="mm", description="of the scan, before resampling"),
        Factor("manufacturer", "categorical"),
        Factor("kernel", "categorical", description="the scanner's reconstruction kernel"),
    )

    folder: str = Field(min_length=1, description="the folder that holds series of DICOM slices and the readers' XML")
    readers: int = Field(1, ge=1, le=4, description="a nodule needs the outlines of so many readers")
    indeterminate: Literal["drop", "benign", "malignant"] = Field(
        "drop", description="what becomes of a mean malignancy of exactly 3"
    )
    field_mm: float = Field(50.0, ge=10, le=200, description="mm, side of the square patch around the nodule")
    low: float = Field(-1000.0, ge=-2000, le=4000, description="HU that becomes black")
    high: float = Field(400.0, ge=-2000, le=4000, description="HU that becomes white")

    @model_validator(mode="after")
    def _window(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"the window runs from {self.low:g} to {self.high:g} HU; low must lie below high")
        return self


class LesionSetParams(Params):
    """A public set of images with masks of lesions, in the folders of its makers."""

    folders: ClassVar[tuple[str, ...]] = ("folder",)
    FACTORS: ClassVar[tuple[Factor, ...]] = (LESION,)

    folder: str = Field(min_length=1, description="the folder into which the set was unpacked")


class EndotectParams(LesionSetParams):
    """The test set of EndoTect 2020."""

    images: str = Field("images", min_length=1, description="the folder of images in it")
    masks: str = Field("masks", min_length=1, description="the folder of masks in it")


def _refuse_several(finding: str, against: str) -> None:
    """One finding is compared with one other."""
    for name in (finding, against):
        if "|" in name or "," in name:
            raise ValueError(f"'{name}' is several findings; multi-label targets are not built yet: name one finding")
    if finding == against:
        raise ValueError(f"finding and against are both '{finding}'; name two different ones")
