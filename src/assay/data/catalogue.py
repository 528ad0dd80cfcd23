"""Named components, declared without importing what they need."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from assay.core.registry import Params, register
from assay.core.types import Factor
from assay.data.parameters import (
    ChexpertParams,
    EndotectParams,
    LesionSetParams,
    LidcParams,
    MimicParams,
    NihParams,
)
from assay.data.phantoms.factors import CHEST, ENDOSCOPY, FOOT, FUNDUS, NODULE
from assay.data.phantoms.natural_kinds import MOST, natural_factors
from assay.data.phantoms.radiology_kinds import Anatomy, radiology_factors
from assay.data.retina_parameters import (
    DiaretdbParams,
    EyepacsParams,
    GradedParams,
    IdridParams,
    IdridSegParams,
    Messidor2Params,
)


class NoduleParams(Params):
    """How the patches around and of the nodule look, apart from its factors."""

    FACTORS: ClassVar[tuple[Factor, ...]] = NODULE

    noise: float = Field(22.0, ge=0, le=200, description="HU, standard deviation of the scanner's noise at middle dose")
    dose: float = Field(0.8, ge=0, le=3, description="spread of dose: noise lies between 1/(1+dose) and 1+dose times")
    vessels: float = Field(1.0, ge=0, le=2, description="density of vessels, 1 normal, 0 none")
    parenchyma: float = Field(20.0, ge=0, le=100, description="HU, standard deviation of the lung's own texture")
    wall: float = Field(0.5, ge=0, le=1, description="share of patches that show the chest wall")


register(
    "phantom",
    "nodule",
    "assay.data.phantoms.nodule:NodulePhantom",
    NoduleParams,
    summary="CT-like lung patches, 32 to 256 px, with one nodule of known margin, texture, size, contrast and shape",
)


class ChestParams(Params):
    """How the radiographs look, apart from their factors."""

    FACTORS: ClassVar[tuple[Factor, ...]] = CHEST

    grain: float = Field(0.014, ge=0, le=0.3, description="noise in the mediastinum on the computed scanner, of grey 1")
    vessels: float = Field(1.0, ge=0, le=2, description="attenuation of hila and vessels, 1 normal, 0 none")
    bones: float = Field(1.0, ge=0, le=2, description="attenuation of all bone, 1 normal, 0 none")
    texture: float = Field(1.0, ge=0, le=3, description="strength of the lung's own texture, 1 normal, 0 none")


register(
    "phantom",
    "chest",
    "assay.data.phantoms.chest:ChestPhantom",
    ChestParams,
    summary="frontal chest radiographs, 64 to 512 px, of known sex, age, view and scanner, with a mass or without",
)


class EndoscopyParams(Params):
    """How the frames look, apart from their factors."""

    FACTORS: ClassVar[tuple[Factor, ...]] = ENDOSCOPY

    grain: float = Field(0.015, ge=0, le=0.3, description="the camera's noise at 256 px, of grey 1")
    vessels: float = Field(1.0, ge=0, le=2, description="how plain vessels under the mucosa are, 1 normal, 0 none")
    film: float = Field(0.4, ge=0, le=1, description="share of images with yellow mucus or stool on the wall")


register(
    "phantom",
    "endoscopy",
    "assay.data.phantoms.endoscopy:EndoscopyPhantom",
    EndoscopyParams,
    summary="colour frames of a bowel from within, 64 to 512 px, with one to three polyps or without",
)


class FootParams(Params):
    """How the photographs look, apart from their factors."""

    FACTORS: ClassVar[tuple[Factor, ...]] = FOOT

    padded: float = Field(0.5, ge=0, le=1, description="share of photographs with black at the right or the bottom")
    marks: float = Field(1.0, ge=0, le=1.5, description="how often callus, pressure marks, stains, scabs: 1 normal")
    clutter: float = Field(1.0, ge=0, le=1.5, description="how often things stand about in the room, 1 normal, 0 never")
    texture: float = Field(1.0, ge=0, le=3, description="strength of the skin's grain and wrinkles, 1 normal, 0 none")
    grain: float = Field(0.008, ge=0, le=0.3, description="standard deviation of the camera's noise, of grey 1")


register(
    "phantom",
    "foot",
    "assay.data.phantoms.foot:FootPhantom",
    FootParams,
    summary="photographs of feet, 64 to 512 px, of known skin, view and light, with one to three ulcers or none",
)


class FundusParams(Params):
    """How the photographs look, apart from their factors."""

    FACTORS: ClassVar[tuple[Factor, ...]] = FUNDUS

    scars: float = Field(0.06, ge=0, le=1, description="share of images with scars of laser, whatever the grade")
    flaws: float = Field(1.0, ge=0, le=2, description="haze, stray light, smears on the lens: 1 normal, 0 never")
    blur: float = Field(1.0, ge=0, le=3, description="how far pictures are out of focus, 1 normal, 0 never")
    texture: float = Field(1.0, ge=0, le=3, description="mottling and vessels of the choroid, 1 normal, 0 none")
    grain: float = Field(0.008, ge=0, le=0.3, description="standard deviation of the camera's noise, of grey 1")
    eyes: Literal[1, 2] = Field(1, description="a patient's photographs: of one eye, or of both, of the same camera")


register(
    "phantom",
    "fundus",
    "assay.data.phantoms.fundus:FundusPhantom",
    FundusParams,
    summary="photographs of the back of the eye, 64 to 512 px, with counted lesions of five kinds and grade 0 to 4",
)


class NaturalParams(Params):
    """How many kinds of pictures there are."""

    classes: int = Field(MOST, ge=2, le=MOST, description="kinds: dead leaves, noise and fractals in turn")

    @property
    def FACTORS(self) -> tuple[Factor, ...]:
        """The kinds are as many as asked for."""
        return natural_factors(self.classes)


register(
    "phantom",
    "natural",
    "assay.data.phantoms.natural:NaturalPhantom",
    NaturalParams,
    summary="natural-like pictures, 32 to 256 px, of up to 60 kinds: dead leaves, power-law noise, fractals",
)


class RadiologyParams(Params):
    """Which anatomy is shown."""

    anatomy: Anatomy = Field("both", description="chest radiographs, ct patches, or both: 30, 30 or 60 classes")

    @property
    def FACTORS(self) -> tuple[Factor, ...]:
        """The classes are those of the anatomy."""
        return radiology_factors(self.anatomy)


register(
    "phantom",
    "radiology",
    "assay.data.phantoms.radiology:RadiologyPhantom",
    RadiologyParams,
    summary="chest radiographs without a mass and CT patches with smooth nodules, 64 to 256 px, of up to 60 classes",
)

register(
    "dataset",
    "nih",
    "assay.data.sources.nih:load_nih",
    NihParams,
    summary="NIH ChestX-ray14 with its Data_Entry_2017.csv: one finding against another or No Finding",
)
register(
    "dataset",
    "chexpert",
    "assay.data.sources.chexpert:load_chexpert",
    ChexpertParams,
    summary="CheXpert with its train.csv; what uncertain and blank labels mean is stated",
)
register(
    "dataset",
    "mimic",
    "assay.data.sources.mimic:load_mimic",
    MimicParams,
    summary="MIMIC-CXR-JPG with its tables of labels, metadata and split; uncertain and blank labels as stated",
)
register(
    "dataset",
    "lidc",
    "assay.data.sources.lidc:load_lidc",
    LidcParams,
    summary="LIDC-IDRI from XML and DICOM: patches of nodules, malignancy, masks and ratings as the readers agree",
)

for _name, _summary in (
    ("kvasir-seg", "Kvasir-SEG: polyps in images/ and masks/ (lossy JPEG, cut at half)"),
    ("hyperkvasir-seg", "the segmented part of HyperKvasir: polyps in segmented-images/{images,masks}"),
    ("dfuc2022", "DFUC 2022: diabetic foot ulcers in DFUC2022_train_{images,masks}"),
    ("fuseg", "FUSeg: foot ulcers in {train,validation}/{images,labels}, the makers' split as a factor"),
    ("isic-seg", "ISIC 2018, task 1: skin lesions in ISIC2018_Task1-2_*_Input and ISIC2018_Task1_*_GroundTruth"),
):
    _loader = f"load_{_name.replace('-', '_')}"
    register("dataset", _name, f"assay.data.sources.lesion_sets:{_loader}", LesionSetParams, summary=_summary)
register(
    "dataset",
    "endotect",
    "assay.data.sources.lesion_sets:load_endotect",
    EndotectParams,
    summary="the test set of EndoTect 2020: 200 polyps and 20 lesion-free frames, masks in RGB",
)
register(
    "dataset",
    "idrid-seg",
    "assay.data.sources.lesion_sets:load_idrid_seg",
    IdridSegParams,
    summary="IDRiD, segmentation: masks of four kinds of lesion and the optic disc, the makers' split as a factor",
)

for _name, _params, _summary in (
    (
        "eyepacs",
        EyepacsParams,
        "EyePACS: trainLabels.csv, <n>_left.jpeg and <n>_right.jpeg of patient n, grade 0 to 4",
    ),
    ("aptos", GradedParams, "APTOS 2019: train.csv with id_code and diagnosis, grades 0 to 4"),
    ("idrid", IdridParams, "IDRiD, disease grading: grades 0 to 4 and macular oedema, the makers' split as a factor"),
    (
        "messidor2",
        Messidor2Params,
        "Messidor-2, messidor_data.csv: adjudicated grades 0 to 4 of the gradable images",
    ),
    ("ddr", GradedParams, "DDR: {train,valid,test}.txt beside folders of images, grades 0 to 4 of the gradable ones"),
):
    register("dataset", _name, f"assay.data.sources.retina:load_{_name}", _params, summary=_summary)
register(
    "dataset",
    "diaretdb1",
    "assay.data.sources.diaretdb:load_diaretdb1",
    DiaretdbParams,
    summary="DIARETDB1: whether a kind of lesion was marked by enough of its four experts",
)
