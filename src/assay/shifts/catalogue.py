"""Interventions and distortions by name, declared without importing what they need."""

from __future__ import annotations

from assay.core.registry import register
from assay.shifts.confounders import change_parameters as c
from assay.shifts.confounders import mark_parameters as m
from assay.shifts.distortions.names import DISTORTIONS, DistortionParams

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
        "assay.shifts.confounders.tag:Tag",
        m.TagParams,
        "a bright letter or box at a stated place, the laterality marker of a radiograph",
    ),
    (
        "laterality-marker",
        "assay.shifts.confounders.lettering:LateralityMarker",
        m.LateralityMarkerParams,
        "a lead letter L or R, smooth, turned",
    ),
    (
        "text-line",
        "assay.shifts.confounders.lettering:TextLine",
        m.TextLineParams,
        "a line of text burnt into the pixels, with digits drawn by row",
    ),
    ("ruler", "assay.shifts.confounders.measuring:Ruler", m.RulerParams, "a graduated scale along one edge"),
    (
        "calliper",
        "assay.shifts.confounders.measuring:Calliper",
        m.CalliperParams,
        "two crosses joined by a dotted line",
    ),
    (
        "surgical-pen",
        "assay.shifts.confounders.skin:SurgicalPen",
        m.SurgicalPenParams,
        "strokes of a violet skin marker around the lesion",
    ),
    ("hair", "assay.shifts.confounders.skin:Hair", m.HairParams, "dark, bent hairs over the image"),
    (
        "chest-drain",
        "assay.shifts.confounders.devices:ChestDrain",
        m.ChestDrainParams,
        "a tube with a radio-opaque stripe",
    ),
    (
        "pacemaker",
        "assay.shifts.confounders.devices:Pacemaker",
        m.PacemakerParams,
        "a metal case with a lead to the heart",
    ),
    (
        "electrode",
        "assay.shifts.confounders.devices:Electrode",
        m.ElectrodeParams,
        "electrodes on the chest, with their wires",
    ),
    (
        "collimation-border",
        "assay.shifts.confounders.framing:CollimationBorder",
        m.CollimationBorderParams,
        "black outside a rectangle",
    ),
    (
        "vignette",
        "assay.shifts.confounders.framing:Vignette",
        m.VignetteParams,
        "darkness outside a round field of view",
    ),
    (
        "scope-inset",
        "assay.shifts.confounders.framing:ScopeInset",
        m.ScopeInsetParams,
        "the green panel of an endoscope's position",
    ),
    (
        "low-pass",
        "assay.shifts.confounders.frequency:LowPass",
        c.LowPassParams,
        "frequencies beyond a cutoff taken away, sharply or as a Gaussian",
    ),
    ("blur", "assay.shifts.confounders.frequency:Blur", c.BlurParams, "a Gaussian blur"),
    (
        "resample",
        "assay.shifts.confounders.frequency:Resample",
        c.ResampleParams,
        "a coarser resolution, brought back to size",
    ),
    (
        "poisson-noise",
        "assay.shifts.confounders.noise:PoissonNoise",
        c.PoissonNoiseParams,
        "the noise of a scan with fewer photons",
    ),
    (
        "gaussian-noise",
        "assay.shifts.confounders.noise:GaussianNoise",
        c.GaussianNoiseParams,
        "independent Gaussian noise in every pixel",
    ),
    (
        "bias-field",
        "assay.shifts.confounders.tone:BiasField",
        c.BiasFieldParams,
        "smoothly uneven brightness, as of an MR coil",
    ),
    ("gamma", "assay.shifts.confounders.tone:Gamma", c.GammaParams, "a power of the grey value"),
    ("contrast", "assay.shifts.confounders.tone:Contrast", c.ContrastParams, "a flatter or steeper tone curve"),
    ("jpeg", "assay.shifts.confounders.compression:Jpeg", c.JpegParams, "the traces of JPEG compression"),
    (
        "scanner-histogram",
        "assay.shifts.confounders.tone:ScannerHistogram",
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
