"""Phantoms and public datasets by name, and the factors of each phantom. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType
from typing import ClassVar, Literal

from pydantic import Field

from assay.core.registry import Params, register
from assay.core.types import Factor
from assay.data.parameters import ChexpertParams, EndotectParams, LesionSetParams, LidcParams, MimicParams, NihParams
from assay.data.retina_parameters import (
    DiaretdbParams,
    EyepacsParams,
    GradedParams,
    IdridParams,
    IdridSegParams,
    Messidor2Params,
)

# Factors of each phantom.

NODULE = (
    Factor("margin", "continuous", "core", range=(0.0, 1.0), description="0 smooth to 1 spiculated"),
    Factor(
        "texture",
        "categorical",
        levels=("solid", "part-solid", "ground-glass"),
        high=("part-solid", "ground-glass"),
        description="how dense the nodule is",
    ),
    Factor("size", "continuous", unit="mm", range=(6.0, 18.0), description="diameter of the circle of equal area"),
    Factor("contrast", "continuous", unit="HU", range=(550.0, 950.0), description="solid part over parenchyma"),
    Factor("position_x", "continuous", unit="mm", range=(-6.0, 6.0), description="to the right of the middle"),
    Factor("position_y", "continuous", unit="mm", range=(-6.0, 6.0), description="below the middle"),
    Factor("elongation", "continuous", range=(1.0, 1.6), description="long over short axis, at equal area"),
    Factor("vessel", "categorical", levels=("none", "attached"), high=("attached",), description="a feeding vessel"),
)

CHEST = (
    Factor(
        "mass", "categorical", "core", levels=("absent", "present"), high=("present",), description="a mass in a lung"
    ),
    Factor("size", "continuous", unit="mm", range=(29.0, 67.0), description="diameter of the circle of equal area"),
    Factor(
        "contrast",
        "continuous",
        range=(0.2, 0.5),
        description="attenuation that the mass adds, the whole chest's being 1",
    ),
    Factor("edge", "continuous", range=(0.0, 1.0), description="0 sharp to 1 ill-defined"),
    Factor(
        "side", "categorical", levels=("right", "left"), high=("left",), description="the patient's side of the mass"
    ),
    Factor("zone", "ordinal", levels=("upper", "middle", "lower"), description="third of the lung with the mass"),
    Factor("sex", "categorical", levels=("F", "M"), high=("M",), description="breasts, width of the thorax"),
    Factor("age", "continuous", unit="years", range=(20.0, 90.0), description="bone, cartilage, aorta, lung marks"),
    Factor(
        "view", "categorical", levels=("PA", "AP"), high=("AP",), description="heart, shoulder blades, collar bones"
    ),
    Factor(
        "scanner", "categorical", levels=("computed", "direct"), high=("direct",), description="grain, sharpness, tone"
    ),
    Factor("habitus", "continuous", range=(0.0, 1.0), description="0 slender to 1 heavy"),
    Factor("exposure", "continuous", range=(-1.0, 1.0), description="-1 dark to 1 bright"),
)

ENDOSCOPY = (
    Factor("lesion", "categorical", "core", levels=("absent", "present"), high=("present",), description="a polyp"),
    Factor("size", "continuous", range=(0.14, 0.62), description="diameter of the circle of equal area, image side 1"),
    Factor("shape", "continuous", range=(0.0, 1.0), description="0 flat over 0.5 sessile to 1 on a stalk"),
    Factor("contrast", "continuous", range=(0.0, 1.0), description="colour against the mucosa, 0 none"),
    Factor("texture", "continuous", range=(0.0, 1.0), description="surface, 0 smooth to 1 lobulated"),
    Factor("position_x", "continuous", range=(-0.2, 0.2), description="to the right of the middle, image side 1"),
    Factor("position_y", "continuous", range=(-0.2, 0.2), description="below the middle, image side 1"),
    Factor("count", "ordinal", levels=("one", "two", "three"), description="polyps where there are any"),
    Factor("hue", "continuous", range=(-1.0, 1.0), description="mucosa, -1 pale to 1 red"),
    Factor("illumination", "continuous", range=(-1.0, 1.0), description="-1 dark to 1 bright"),
    Factor("folds", "continuous", range=(0.0, 1.0), description="depth of the folds, 0 none"),
    Factor("distance", "continuous", range=(0.0, 1.0), description="0 close to the wall to 1 down the lumen"),
    Factor("bubbles", "continuous", range=(0.0, 1.0), description="0 none to 1 many"),
    Factor("highlights", "continuous", range=(0.0, 1.0), description="share of the wet surface that glints"),
)

FOOT = (
    Factor(
        "lesion",
        "categorical",
        "core",
        levels=("absent", "present"),
        high=("present",),
        description="an ulcer on the foot",
    ),
    Factor(
        "size",
        "continuous",
        range=(0.03, 0.24),
        description="diameter of the circle of equal area, of the largest ulcer, image side 1",
    ),
    Factor("contrast", "continuous", range=(0.45, 1.0), description="0 the colour of the skin around to 1 of a wound"),
    Factor("slough", "continuous", range=(0.0, 1.0), description="share of the bed under yellow slough"),
    Factor("rim", "continuous", range=(0.0, 1.0), description="0 no rim to 1 a broad pale one"),
    Factor("irregularity", "continuous", range=(0.0, 1.0), description="0 a smooth to 1 a ragged outline"),
    Factor("position_x", "continuous", range=(-1.0, 1.0), description="-1 left to 1 right on the foot"),
    Factor("position_y", "continuous", range=(-1.0, 1.0), description="-1 top to 1 bottom of the foot"),
    Factor("count", "ordinal", levels=("one", "two", "three"), description="how many ulcers"),
    Factor("skin_tone", "continuous", range=(0.0, 1.0), description="0 lightest to 1 darkest"),
    Factor(
        "background",
        "categorical",
        levels=("white", "coloured", "none"),
        high=("coloured", "none"),
        description="the cloth under the foot",
    ),
    Factor("illumination", "continuous", range=(-1.0, 1.0), description="-1 dim to 1 glaring"),
    Factor(
        "view",
        "categorical",
        levels=("sole", "heel", "side", "top"),
        high=("side", "top"),
        description="from where the foot is seen",
    ),
)

FUNDUS = (
    Factor(
        "grade",
        "ordinal",
        "core",
        levels=("0", "1", "2", "3", "4"),
        description="international scale: 0 none, 1 mild, 2 moderate, 3 severe, 4 proliferative",
    ),
    Factor("microaneurysms", "continuous", range=(0.0, 1.0), description="fewest to most that the grade allows"),
    Factor("haemorrhages", "continuous", range=(0.0, 1.0), description="fewest to most that the grade allows"),
    Factor("exudates", "continuous", range=(0.0, 1.0), description="hard ones, fewest to most that the grade allows"),
    Factor("cotton_wool", "continuous", range=(0.0, 1.0), description="spots, fewest to most that the grade allows"),
    Factor("new_vessels", "continuous", range=(0.0, 1.0), description="tufts, fewest to most that the grade allows"),
    Factor("lesion_size", "continuous", range=(0.7, 1.5), description="of all lesions, 1 usual"),
    Factor("lesion_contrast", "continuous", range=(0.5, 1.0), description="of all lesions, 0 none"),
    Factor("centrality", "continuous", range=(0.0, 1.0), description="lesions 0 far from to 1 near the fovea"),
    Factor("side", "categorical", levels=("left", "right"), high=("right",), description="which eye"),
    Factor("camera", "categorical", levels=("round", "cut"), high=("cut",), description="field of view and colours"),
    Factor("pigment", "continuous", range=(0.0, 1.0), description="0 blond to 1 dark fundus"),
    Factor("cup", "continuous", range=(0.2, 0.8), description="diameter of the cup over the disc's"),
    Factor("calibre", "continuous", range=(0.8, 1.25), description="width of all vessels, 1 usual"),
    Factor("illumination", "continuous", range=(-1.0, 1.0), description="-1 dark to 1 bright"),
)


# Kinds of the natural-like phantom: which law draws each.

Family = Literal["leaves", "noise", "fractal"]

MOST = 60
"""How many kinds there are at most: twenty of each family."""

EXPONENTS = (2.0, 2.7, 3.3, 4.0)
"""Of the density of leaves' radii, r^-a: the higher, the more small leaves."""
OUTLINES = ("disc", "ellipse", "square", "triangle", "bar")
SLOPES = (1.2, 1.8, 2.4, 3.0)
"""Of the power spectrum of noise, f^-a: the higher, the smoother."""
FORMS = ("plain", "streaks", "folds", "bands", "patches")


@dataclass(frozen=True, slots=True)
class Law:
    """What draws a kind.

    Attributes:
        number: Its place in the family.
        form, exponent: Of leaves and noise; empty for a fractal.
    """

    family: Family
    number: int
    form: str = ""
    exponent: float = 0.0

    @property
    def name(self) -> str:
        """Such as `leaves-disc-2.7`, `noise-folds-1.8` or `fractal-07`."""
        return f"{self.family}-{self.form}-{self.exponent:.1f}" if self.form else f"{self.family}-{self.number:02d}"


def _law(kind: int) -> Law:
    """Families take turns; within one, five forms and four exponents meet in all twenty ways."""
    number = kind // 3
    if kind % 3 == 2:
        return Law("fractal", number)
    if kind % 3 == 1:
        return Law("noise", number, FORMS[number % 5], SLOPES[number % 4])
    return Law("leaves", number, OUTLINES[number % 5], EXPONENTS[number % 4])


LAWS = tuple(_law(kind) for kind in range(MOST))
"""All kinds in their order."""


def natural_factors(classes: int) -> tuple[Factor, ...]:
    """Return the phantom's factors with so many kinds, the first ones of `LAWS`."""
    levels = tuple(law.name for law in LAWS[:classes])
    return (
        Factor(
            "kind",
            "categorical",
            "core",
            levels=levels,
            high=levels[classes // 2 :],
            description="the law that draws it",
        ),
        Factor("scale", "continuous", range=(0.7, 1.4), description="how near the scene is seen"),
        Factor("contrast", "continuous", range=(0.4, 1.0), description="spread of grey levels"),
        Factor("illumination", "continuous", range=(0.0, 1.0), description="how uneven the light is"),
    )


# The classes of the radiology-like phantom: tasks on chest radiographs and on CT patches. Torch-free.
#
# None of them is what studies on these phantoms ask for: no chest holds a mass, no nodule has a spiculated margin.
# Neither are sex, view and scanner among them, which studies tie to a target: they vary freely within every class.

Anatomy = Literal["both", "chest", "ct"]

FINDINGS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "clear": {},
        "congested": {"vessels": 2.0},
        "oligaemic": {"vessels": 0.2},
        "interstitial": {"texture": 2.2},
        "osteopenic": {"bones": 0.35},
    }
)
"""Diffuse findings of a chest, as arguments of the chest phantom."""
AGES = {"young": (0.0, 0.3), "middle": (0.35, 0.65), "old": (0.7, 1.0)}
HABITUS = {"slender": (0.0, 0.45), "heavy": (0.55, 1.0)}
TEXTURES = {"solid": (0.0, 0.5), "part-solid": (0.5, 0.75), "ground-glass": (0.75, 1.0)}
VESSELS = {"free": (0.0, 0.5), "fed": (0.5, 1.0)}
SIZES = 5


@dataclass(frozen=True, slots=True)
class Task:
    """A class.

    Attributes:
        phantom: What draws it.
        finding: Of a chest.
        within: Factor -> the part of its marginal, as shares.
    """

    phantom: Literal["chest", "ct"]
    name: str
    finding: str = ""
    within: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])


def _chest() -> tuple[Task, ...]:
    return tuple(
        Task("chest", f"chest-{finding}-{age}-{habitus}", finding, {"age": AGES[age], "habitus": HABITUS[habitus]})
        for finding, age, habitus in product(FINDINGS, AGES, HABITUS)
    )


def _ct() -> tuple[Task, ...]:
    return tuple(
        Task(
            "ct",
            f"ct-{texture}-{vessel}-{size + 1}",
            within={
                "texture": TEXTURES[texture],
                "vessel": VESSELS[vessel],
                "size": (size / SIZES, (size + 1) / SIZES),
            },
        )
        for texture, vessel, size in product(TEXTURES, VESSELS, range(SIZES))
    )


TASKS: Mapping[Anatomy, tuple[Task, ...]] = MappingProxyType(
    {"both": (*_chest(), *_ct()), "chest": _chest(), "ct": _ct()}
)
"""The classes by what is shown: thirty of the chest, thirty of CT, or all sixty."""


def radiology_factors(anatomy: Anatomy) -> tuple[Factor, ...]:
    """Return the phantom's one factor."""
    levels = tuple(task.name for task in TASKS[anatomy])
    high = levels[len(levels) // 2 :]
    return (
        Factor("kind", "categorical", "core", levels=levels, high=high, description="finding, build and age; nodule"),
    )


# Named components, declared without importing what they need.


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
    "assay.data.phantoms.textures:NaturalPhantom",
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
    "assay.data.public.chest:load_nih",
    NihParams,
    summary="NIH ChestX-ray14 with its Data_Entry_2017.csv: one finding against another or No Finding",
)
register(
    "dataset",
    "chexpert",
    "assay.data.public.chest:load_chexpert",
    ChexpertParams,
    summary="CheXpert with its train.csv; what uncertain and blank labels mean is stated",
)
register(
    "dataset",
    "mimic",
    "assay.data.public.chest:load_mimic",
    MimicParams,
    summary="MIMIC-CXR-JPG with its tables of labels, metadata and split; uncertain and blank labels as stated",
)
register(
    "dataset",
    "lidc",
    "assay.data.public.lidc:load_lidc",
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
    register("dataset", _name, f"assay.data.public.lesions:{_loader}", LesionSetParams, summary=_summary)
register(
    "dataset",
    "endotect",
    "assay.data.public.lesions:load_endotect",
    EndotectParams,
    summary="the test set of EndoTect 2020: 200 polyps and 20 lesion-free frames, masks in RGB",
)
register(
    "dataset",
    "idrid-seg",
    "assay.data.public.lesions:load_idrid_seg",
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
    register("dataset", _name, f"assay.data.public.retina:load_{_name}", _params, summary=_summary)
register(
    "dataset",
    "diaretdb1",
    "assay.data.public.retina:load_diaretdb1",
    DiaretdbParams,
    summary="DIARETDB1: whether a kind of lesion was marked by enough of its four experts",
)
