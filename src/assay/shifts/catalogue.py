"""Interventions and distortions by name. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from assay.core.errors import SpecError, unknown_name
from assay.core.registry import Params, register
from assay.shifts.confounders import change_parameters as c
from assay.shifts.confounders import mark_parameters as m

# Distortions by name: torch-free, for the catalogue and for the arguments of probes.

SEVERITIES = (1, 2, 3, 4, 5)

COMMON = {
    "gaussian-noise": (
        "assay.shifts.distortions.common:GaussianNoise",
        "independent Gaussian noise, as of a dark sensor",
    ),
    "shot-noise": ("assay.shifts.distortions.common:ShotNoise", "the noise of counted photons"),
    "impulse-noise": ("assay.shifts.distortions.common:ImpulseNoise", "single values that are black or white"),
    "speckle-noise": ("assay.shifts.distortions.common:SpeckleNoise", "Gaussian noise in proportion to the pixel"),
    "gaussian-blur": ("assay.shifts.distortions.common:GaussianBlur", "a Gaussian blur"),
    "defocus-blur": ("assay.shifts.distortions.common:DefocusBlur", "every point becomes a disc"),
    "glass-blur": (
        "assay.shifts.distortions.common:GlassBlur",
        "pixels overwritten by near ones, as behind frosted glass",
    ),
    "motion-blur": ("assay.shifts.distortions.common:MotionBlur", "a blur along one direction"),
    "zoom-blur": ("assay.shifts.distortions.common:ZoomBlur", "the mean of the image at growing magnifications"),
    "snow": ("assay.shifts.distortions.common:Snow", "bright streaks over a whitened image"),
    "frost": ("assay.shifts.distortions.common:Frost", "bright crystals over a darkened image"),
    "fog": ("assay.shifts.distortions.common:Fog", "a bright cloud that takes contrast away"),
    "spatter": ("assay.shifts.distortions.common:Spatter", "drops of water, then of mud, on the lens"),
    "brightness": ("assay.shifts.distortions.common:Brightness", "a greater value of every pixel"),
    "contrast": ("assay.shifts.distortions.common:Contrast", "values nearer to their mean"),
    "saturate": ("assay.shifts.distortions.common:Saturate", "fainter, then stronger colours"),
    "elastic-transform": (
        "assay.shifts.distortions.common:ElasticTransform",
        "places shifted by a rough random field",
    ),
    "pixelate": ("assay.shifts.distortions.common:Pixelate", "fewer, larger pixels"),
    "jpeg-compression": ("assay.shifts.distortions.common:JpegCompression", "the traces of JPEG compression"),
}
"""The families of ImageNet-C (Hendrycks and Dietterich 2019), its four for validation among them."""

MEDICAL = {
    "retinal-defocus": ("assay.shifts.distortions.medical:Defocus", "a fundus camera out of focus, with its noise"),
    "retinal-illumination": (
        "assay.shifts.distortions.medical:Illumination",
        "part of the fundus lit too much or too little",
    ),
    "retinal-artefacts": ("assay.shifts.distortions.medical:Artefacts", "bright, soft spots of dust on the lens"),
    "endoscopy-specular": ("assay.shifts.distortions.medical:Specular", "glare of the lamp on wet mucosa"),
    "endoscopy-bubbles": ("assay.shifts.distortions.medical:Bubbles", "bubbles of fluid on the mucosa"),
    "endoscopy-smoke": ("assay.shifts.distortions.medical:Smoke", "smoke of the diathermy"),
    "dermoscopy-hair": ("assay.shifts.distortions.medical:Hairs", "dark hairs over the lesion"),
    "dermoscopy-ruler": ("assay.shifts.distortions.medical:Rulers", "the black scale of a dermatoscope"),
    "dermoscopy-gel": ("assay.shifts.distortions.medical:Gel", "bubbles and glare in the contact gel"),
    "xray-noise": ("assay.shifts.distortions.medical:Noise", "fewer photons at the detector"),
    "xray-grid": ("assay.shifts.distortions.medical:Grid", "lines of an anti-scatter grid"),
    "xray-under-exposure": (
        "assay.shifts.distortions.medical:UnderExposure",
        "too short an exposure: darker, and noisier with it",
    ),
    "microscopy-stain": (
        "assay.shifts.distortions.medical:Stain",
        "haematoxylin and eosin stained more or less than usual",
    ),
}
"""What goes wrong where medical images are made; named by the kind of image."""

DISTORTIONS = {**COMMON, **MEDICAL}


class DistortionParams(Params):
    """How strong: 0 changes nothing, 1 to 5 as published."""

    severity: int = Field(default=3, ge=0, le=5, description="0 (nothing changes), 1 (least) to 5 (most)")


def _of(kind: str) -> tuple[str, ...]:
    return tuple(name for name in MEDICAL if name.startswith(f"{kind}-"))


GROUPS: dict[str, tuple[str, ...]] = {
    "common": tuple(COMMON),
    **{kind: _of(kind) for kind in ("retinal", "endoscopy", "dermoscopy", "xray", "microscopy")},
}
"""Families that are named together."""


def families_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return the families that these names of families and groups mean, each once, in this order; a dotted path is
    itself.

    Raises:
        SpecError: For a name that is neither, with the nearest.
    """
    unknown = [name for name in names if name not in GROUPS and name not in DISTORTIONS and ":" not in name]
    if unknown:
        raise SpecError(unknown_name("distortion", unknown[0], [*GROUPS, *DISTORTIONS]))
    return tuple(dict.fromkeys(family for name in names for family in GROUPS.get(name, (name,))))


# Interventions and distortions by name, declared without importing what they need.

_OF_LINES = (
    "laterality-marker", "ruler", "calliper", "hair", "chest-drain", "pacemaker", "electrode",
    "scope-inset", "dermoscopy-hair", "dermoscopy-ruler",
)  # fmt: skip
_VERSIONS = {
    **dict.fromkeys(_OF_LINES, 2),  # made of straight pieces of line, which were rows of discs
    "surgical-pen": 3,  # the same, and its widest ring lies within the image
    "text-line": 3,  # the same, and away from the edge by default
}

for _name, _target, _params, _summary in (
    (
        "tag",
        "assay.shifts.confounders.marks:Tag",
        m.TagParams,
        "a bright letter or box at a stated place, the laterality marker of a radiograph",
    ),
    (
        "laterality-marker",
        "assay.shifts.confounders.marks:LateralityMarker",
        m.LateralityMarkerParams,
        "a lead letter L or R, smooth, turned",
    ),
    (
        "text-line",
        "assay.shifts.confounders.marks:TextLine",
        m.TextLineParams,
        "a line of text burnt into the pixels, with digits drawn by row",
    ),
    ("ruler", "assay.shifts.confounders.marks:Ruler", m.RulerParams, "a graduated scale along one edge"),
    (
        "calliper",
        "assay.shifts.confounders.marks:Calliper",
        m.CalliperParams,
        "two crosses joined by a dotted line",
    ),
    (
        "surgical-pen",
        "assay.shifts.confounders.marks:SurgicalPen",
        m.SurgicalPenParams,
        "strokes of a violet skin marker around the lesion",
    ),
    ("hair", "assay.shifts.confounders.marks:Hair", m.HairParams, "dark, bent hairs over the image"),
    (
        "chest-drain",
        "assay.shifts.confounders.marks:ChestDrain",
        m.ChestDrainParams,
        "a tube with a radio-opaque stripe",
    ),
    (
        "pacemaker",
        "assay.shifts.confounders.marks:Pacemaker",
        m.PacemakerParams,
        "a metal case with a lead to the heart",
    ),
    (
        "electrode",
        "assay.shifts.confounders.marks:Electrode",
        m.ElectrodeParams,
        "electrodes on the chest, with their wires",
    ),
    (
        "collimation-border",
        "assay.shifts.confounders.marks:CollimationBorder",
        m.CollimationBorderParams,
        "black outside a rectangle",
    ),
    (
        "vignette",
        "assay.shifts.confounders.marks:Vignette",
        m.VignetteParams,
        "darkness outside a round field of view",
    ),
    (
        "scope-inset",
        "assay.shifts.confounders.marks:ScopeInset",
        m.ScopeInsetParams,
        "the green panel of an endoscope's position",
    ),
    (
        "low-pass",
        "assay.shifts.confounders.pixels:LowPass",
        c.LowPassParams,
        "frequencies beyond a cutoff taken away, sharply or as a Gaussian",
    ),
    ("blur", "assay.shifts.confounders.pixels:Blur", c.BlurParams, "a Gaussian blur"),
    (
        "resample",
        "assay.shifts.confounders.pixels:Resample",
        c.ResampleParams,
        "a coarser resolution, brought back to size",
    ),
    (
        "poisson-noise",
        "assay.shifts.confounders.pixels:PoissonNoise",
        c.PoissonNoiseParams,
        "the noise of a scan with fewer photons",
    ),
    (
        "gaussian-noise",
        "assay.shifts.confounders.pixels:GaussianNoise",
        c.GaussianNoiseParams,
        "independent Gaussian noise in every pixel",
    ),
    (
        "bias-field",
        "assay.shifts.confounders.pixels:BiasField",
        c.BiasFieldParams,
        "smoothly uneven brightness, as of an MR coil",
    ),
    ("gamma", "assay.shifts.confounders.pixels:Gamma", c.GammaParams, "a power of the grey value"),
    ("contrast", "assay.shifts.confounders.pixels:Contrast", c.ContrastParams, "a flatter or steeper tone curve"),
    ("jpeg", "assay.shifts.confounders.pixels:Jpeg", c.JpegParams, "the traces of JPEG compression"),
    (
        "scanner-histogram",
        "assay.shifts.confounders.pixels:ScannerHistogram",
        c.ScannerHistogramParams,
        "grey values of another scanner",
    ),
):
    register(
        "intervention",
        _name,
        _target,
        _params,
        summary=_summary,
        version=_VERSIONS.get(_name, 1),
    )

for _name, (_target, _summary) in DISTORTIONS.items():
    register(
        "distortion",
        _name,
        _target,
        DistortionParams,
        summary=_summary,
        version=_VERSIONS.get(_name, 1),
    )
