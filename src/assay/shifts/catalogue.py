"""Interventions and distortions by name, declared without importing what they need."""

from __future__ import annotations

from assay.core.registry import register
from assay.shifts.confounders import change_parameters as c
from assay.shifts.confounders import mark_parameters as m
from assay.shifts.distortions.names import DISTORTIONS, DistortionParams

_HERE = "assay.shifts.confounders"
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
    ("tag", "tag:Tag", m.TagParams, "a bright letter or box at a stated place, the laterality marker of a radiograph"),
    (
        "laterality-marker",
        "lettering:LateralityMarker",
        m.LateralityMarkerParams,
        "a lead letter L or R, smooth, turned",
    ),
    (
        "text-line",
        "lettering:TextLine",
        m.TextLineParams,
        "a line of text burnt into the pixels, with digits drawn by row",
    ),
    ("ruler", "measuring:Ruler", m.RulerParams, "a graduated scale along one edge"),
    ("calliper", "measuring:Calliper", m.CalliperParams, "two crosses joined by a dotted line"),
    ("surgical-pen", "skin:SurgicalPen", m.SurgicalPenParams, "strokes of a violet skin marker around the lesion"),
    ("hair", "skin:Hair", m.HairParams, "dark, bent hairs over the image"),
    ("chest-drain", "devices:ChestDrain", m.ChestDrainParams, "a tube with a radio-opaque stripe"),
    ("pacemaker", "devices:Pacemaker", m.PacemakerParams, "a metal case with a lead to the heart"),
    ("electrode", "devices:Electrode", m.ElectrodeParams, "electrodes on the chest, with their wires"),
    ("collimation-border", "framing:CollimationBorder", m.CollimationBorderParams, "black outside a rectangle"),
    ("vignette", "framing:Vignette", m.VignetteParams, "darkness outside a round field of view"),
    ("scope-inset", "framing:ScopeInset", m.ScopeInsetParams, "the green panel of an endoscope's position"),
    (
        "low-pass",
        "frequency:LowPass",
        c.LowPassParams,
        "frequencies beyond a cutoff taken away, sharply or as a Gaussian",
    ),
    ("blur", "frequency:Blur", c.BlurParams, "a Gaussian blur"),
    ("resample", "frequency:Resample", c.ResampleParams, "a coarser resolution, brought back to size"),
    ("poisson-noise", "noise:PoissonNoise", c.PoissonNoiseParams, "the noise of a scan with fewer photons"),
    ("gaussian-noise", "noise:GaussianNoise", c.GaussianNoiseParams, "independent Gaussian noise in every pixel"),
    ("bias-field", "tone:BiasField", c.BiasFieldParams, "smoothly uneven brightness, as of an MR coil"),
    ("gamma", "tone:Gamma", c.GammaParams, "a power of the grey value"),
    ("contrast", "tone:Contrast", c.ContrastParams, "a flatter or steeper tone curve"),
    ("jpeg", "compression:Jpeg", c.JpegParams, "the traces of JPEG compression"),
    ("scanner-histogram", "tone:ScannerHistogram", c.ScannerHistogramParams, "grey values of another scanner"),
):
    register(
        "intervention",
        _name,
        f"{_HERE}.{_target}",
        _params,
        summary=_summary,
        version=_VERSIONS.get(_name, 1),
    )

for _name, (_target, _summary) in DISTORTIONS.items():
    register(
        "distortion",
        _name,
        f"assay.shifts.distortions.{_target}",
        DistortionParams,
        summary=_summary,
        version=_VERSIONS.get(_name, 1),
    )
