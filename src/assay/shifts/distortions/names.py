"""Distortions by name: torch-free, for the catalogue and for the arguments of probes."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from assay.core.errors import SpecError, unknown_name
from assay.core.registry import Params

SEVERITIES = (1, 2, 3, 4, 5)

COMMON = {
    "gaussian-noise": (
        "assay.shifts.distortions.noise:GaussianNoise",
        "independent Gaussian noise, as of a dark sensor",
    ),
    "shot-noise": ("assay.shifts.distortions.noise:ShotNoise", "the noise of counted photons"),
    "impulse-noise": ("assay.shifts.distortions.noise:ImpulseNoise", "single values that are black or white"),
    "speckle-noise": ("assay.shifts.distortions.noise:SpeckleNoise", "Gaussian noise in proportion to the pixel"),
    "gaussian-blur": ("assay.shifts.distortions.blur:GaussianBlur", "a Gaussian blur"),
    "defocus-blur": ("assay.shifts.distortions.blur:DefocusBlur", "every point becomes a disc"),
    "glass-blur": (
        "assay.shifts.distortions.glass:GlassBlur",
        "pixels overwritten by near ones, as behind frosted glass",
    ),
    "motion-blur": ("assay.shifts.distortions.blur:MotionBlur", "a blur along one direction"),
    "zoom-blur": ("assay.shifts.distortions.blur:ZoomBlur", "the mean of the image at growing magnifications"),
    "snow": ("assay.shifts.distortions.weather:Snow", "bright streaks over a whitened image"),
    "frost": ("assay.shifts.distortions.weather:Frost", "bright crystals over a darkened image"),
    "fog": ("assay.shifts.distortions.weather:Fog", "a bright cloud that takes contrast away"),
    "spatter": ("assay.shifts.distortions.spatter:Spatter", "drops of water, then of mud, on the lens"),
    "brightness": ("assay.shifts.distortions.tone:Brightness", "a greater value of every pixel"),
    "contrast": ("assay.shifts.distortions.tone:Contrast", "values nearer to their mean"),
    "saturate": ("assay.shifts.distortions.tone:Saturate", "fainter, then stronger colours"),
    "elastic-transform": (
        "assay.shifts.distortions.geometry:ElasticTransform",
        "places shifted by a rough random field",
    ),
    "pixelate": ("assay.shifts.distortions.geometry:Pixelate", "fewer, larger pixels"),
    "jpeg-compression": ("assay.shifts.distortions.geometry:JpegCompression", "the traces of JPEG compression"),
}
"""The families of ImageNet-C (Hendrycks and Dietterich 2019), its four for validation among them."""

MEDICAL = {
    "retinal-defocus": ("assay.shifts.distortions.retina:Defocus", "a fundus camera out of focus, with its noise"),
    "retinal-illumination": (
        "assay.shifts.distortions.retina:Illumination",
        "part of the fundus lit too much or too little",
    ),
    "retinal-artefacts": ("assay.shifts.distortions.retina:Artefacts", "bright, soft spots of dust on the lens"),
    "endoscopy-specular": ("assay.shifts.distortions.endoscopy:Specular", "glare of the lamp on wet mucosa"),
    "endoscopy-bubbles": ("assay.shifts.distortions.endoscopy:Bubbles", "bubbles of fluid on the mucosa"),
    "endoscopy-smoke": ("assay.shifts.distortions.endoscopy:Smoke", "smoke of the diathermy"),
    "dermoscopy-hair": ("assay.shifts.distortions.skin:Hairs", "dark hairs over the lesion"),
    "dermoscopy-ruler": ("assay.shifts.distortions.skin:Rulers", "the black scale of a dermatoscope"),
    "dermoscopy-gel": ("assay.shifts.distortions.skin:Gel", "bubbles and glare in the contact gel"),
    "xray-noise": ("assay.shifts.distortions.xray:Noise", "fewer photons at the detector"),
    "xray-grid": ("assay.shifts.distortions.xray:Grid", "lines of an anti-scatter grid"),
    "xray-under-exposure": (
        "assay.shifts.distortions.xray:UnderExposure",
        "too short an exposure: darker, and noisier with it",
    ),
    "microscopy-stain": (
        "assay.shifts.distortions.stain:Stain",
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
    """The families that these names of families and groups mean, each once, in this order; a dotted path is itself.

    Raises SpecError for a name that is neither, with the nearest.
    """
    unknown = [name for name in names if name not in GROUPS and name not in DISTORTIONS and ":" not in name]
    if unknown:
        raise SpecError(unknown_name("distortion", unknown[0], [*GROUPS, *DISTORTIONS]))
    return tuple(dict.fromkeys(family for name in names for family in GROUPS.get(name, (name,))))
