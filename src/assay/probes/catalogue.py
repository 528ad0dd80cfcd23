"""Probes by name, declared without importing what they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import Field, field_validator, model_validator

from assay.core.errors import SpecError
from assay.core.registry import Params, register
from assay.probes import declared_explainers as explainers
from assay.shifts.catalogue import SEVERITIES, families_of
from assay.spec.grid import label
from assay.spec.sections import code_of, named

__all__ = ["explainers"]  # importing them declares what they hold


class PerformanceParams(Params):
    """Arguments of `performance`."""

    smallest_group: int = Field(20, ge=1, description="images that a group needs to count for the worst group")


class DecodabilityParams(Params):
    """Arguments of `decodability`."""

    environments = ("environment",)

    folds: int = Field(
        5, ge=2, le=10, description="parts that patients are dealt into; each is decoded from the others"
    )
    environment: str = Field(
        "independent",
        min_length=1,
        description="where decoders are fitted and tested: 'independent' or the name of a test environment",
    )


class RepresentationParams(Params):
    """Arguments of `representation`."""

    environments = ("environment",)

    images: int = Field(
        1000, ge=20, le=4000, description="images that layers are described on, the same ones for every model"
    )
    kept: int = Field(
        500, ge=0, le=4000, description="of these, images whose activations are kept to compare models by; 0 for none"
    )
    maps: int = Field(
        0, ge=0, le=1000, description="images whose flattened maps condition-number-maps is computed on; 0 for none"
    )
    environment: str = Field(
        "(neutral)",
        min_length=1,
        description="where the images come from: '(neutral)', '(independent)' or the name of a test environment",
    )


class ReinitialisationParams(Params):
    """Arguments of `reinitialisation`."""

    environments = ("environment",)

    images: int = Field(
        500, ge=20, le=65536, description="images that are answered again, the same ones for all models"
    )
    environment: str = Field(
        "(neutral)",
        min_length=1,
        description="where the images come from: '(neutral)', '(independent)' or the name of a test environment",
    )


class RelianceParams(Params):
    """Arguments of `reliance`."""

    samples: int = Field(1024, ge=64, le=65536, description="rows of a Saltelli design; a power of two")
    tolerance: float = Field(
        0.05, gt=0, le=1, description="standard error of an index above which it has not converged"
    )
    sobol: bool = Field(True, description="Sobol' indices too, where there is a phantom; without them half the time")

    @field_validator("samples")
    @classmethod
    def _power_of_two(cls, samples: int) -> int:
        if samples & (samples - 1):
            below = 1 << (samples.bit_length() - 1)
            raise ValueError(
                f"{samples} samples: a Sobol' sequence is balanced at powers of two, {below} or {2 * below}"
            )
        return samples


class SegmentationParams(Params):
    """Arguments of `segmentation`."""

    native: bool = Field(
        False, description="also overlap and surfaces at the size of each image's own file, against the mask as it came"
    )


class PaintingParams(Params):
    """Arguments of `painting`."""

    factors: tuple[str, ...] = Field(
        (), description="factors that are moved; if none is named, contrast, size and position where there are such"
    )
    images: int = Field(256, ge=1, le=65536, description="neutral images with a lesion that are painted anew, at most")


class RobustnessParams(Params):
    """Arguments of `robustness`."""

    environments = ("environment",)

    environment: str = Field("", description="the test environment whose images are distorted; the first where empty")
    families: tuple[str, ...] = Field(
        ("common",),
        min_length=1,
        description="families of distortions or groups of them: common, retinal, endoscopy, dermoscopy, xray, "
        "microscopy",
    )
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = Field(
        SEVERITIES, min_length=1, description="severities, 1 (least) to 5 (most), each once"
    )

    @field_validator("families")
    @classmethod
    def _known(cls, families: tuple[str, ...]) -> tuple[str, ...]:
        try:
            families_of(families)
        except SpecError as error:
            raise ValueError(str(error)) from error
        return families

    @field_validator("severities")
    @classmethod
    def _once(cls, severities: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(severities)) < len(severities):
            raise ValueError("a severity stands twice: name each once")
        return severities


_EXPLAINERS = ("gradient", "input-x-gradient", "integrated-gradients", "smoothgrad", "guided-backprop", "grad-cam",
               "layer-cam", "occlusion")  # fmt: skip


class AttributionParams(Params):
    """Arguments of `attribution`."""

    environments = ("environment",)

    explainers: tuple[Mapping[str, Any], ...] = Field(
        tuple({name: {}} for name in _EXPLAINERS),
        min_length=1,
        description="methods with their arguments, such as {grad-cam: {layer: block3}}",
    )
    images: int = Field(128, ge=1, le=65536, description="images with a lesion that are explained, at most")
    sanity_images: int = Field(
        16, ge=1, le=4096, description="of these, how many are explained again with layers whose weights are dealt anew"
    )
    replacement: Literal["blur", "mean", "black"] = Field(
        "blur", description="what stands in place of deleted pixels: a blur, the image's mean colour, or black"
    )
    faithfulness: bool = Field(
        True, description="whether deletion, insertion and sensitivity-n are measured, which take many passes"
    )
    environment: str = Field(
        "(neutral)",
        min_length=1,
        description="where the images come from: '(neutral)' or the name of a test environment",
    )
    code: tuple[str, ...] = Field((), description="of the explainers' code, found when left out")

    @field_validator("explainers", mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        listed = cast("Sequence[Any]", given) if isinstance(given, list | tuple) else [given]
        made = [named("explainer", one) for one in listed]
        if twice := [label(one) for i, one in enumerate(made) if one in made[:i]]:
            raise ValueError(f"'{twice[0]}' stands twice: name each explainer once")
        return made

    @model_validator(mode="after")
    def _with_code(self) -> AttributionParams:
        code = tuple(code_of("explainer", one) for one in self.explainers)
        object.__setattr__(self, "code", code if any(code) else ())
        return self


register(
    "probe",
    "performance",
    "assay.probes.performance:Performance",
    PerformanceParams,
    summary="AUROC, accuracy, calibration and their like per environment, worst environment and worst group",
)
register(
    "probe",
    "reliance",
    "assay.probes.reliance:Reliance",
    RelianceParams,
    summary="what the output depends on: Sobol' indices on phantoms, flips and effects of changing one factor",
    version=2,
)
register(
    "probe",
    "decodability",
    "assay.probes.decodability:Decodability",
    DecodabilityParams,
    summary="which factors a linear decoder reads from each layer, beside the untrained network, chance and raw pixels",
    version=2,
)
register(
    "probe",
    "segmentation",
    "assay.probes.segmentation:Segmentation",
    SegmentationParams,
    summary="Dice under every convention for empty masks, surfaces, lesions found, calibration of pixels",
    version=3,
)
register(
    "probe",
    "lesion-free",
    "assay.probes.segmentation:LesionFree",
    summary="false positives in images without a lesion, at p = .5 and at matched sensitivity by lesion",
    version=2,
)
register(
    "probe",
    "painting",
    "assay.probes.segmentation:Painting",
    PaintingParams,
    summary="what a segmentation answers as a lesion fades, shrinks and moves, and where one is gone (phantoms)",
)
register(
    "probe",
    "representation",
    "assay.probes.representation:Representation",
    RepresentationParams,
    summary="the geometry of each layer: spectrum, dimensions, separation, and how far training moved it (CKA)",
    version=2,
)
register(
    "probe",
    "reinitialisation",
    "assay.probes.reinitialisation:Reinitialisation",
    ReinitialisationParams,
    summary="which layers' trained values matter: what is lost when a layer is put back to its start, or dealt anew",
)
register(
    "probe",
    "robustness",
    "assay.probes.robustness:Robustness",
    RobustnessParams,
    summary="what is left under each family of distortions and severity: errors, accuracy kept, calibration, stability",
)
register(
    "probe",
    "attribution",
    "assay.probes.attribution:Attribution",
    AttributionParams,
    summary="where heat-maps lie beside lesion masks, chance and a centre prior (attended, not used)",
    version=2,
)
