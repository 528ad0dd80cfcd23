"""The losses for segmentation alone that a spec can name, with their checked arguments. Imports no torch.

Those that serve both tasks stand in `declared`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from assay.core.registry import Params, lookup, register
from assay.spec.schema import LossParams
from assay.spec.sections import code_of, named

_REDUCE = (
    "image: a value of each image, of which the mean is taken; batch: one value of all pixels of the batch together"
)
_BACKGROUND = "count the background as a class; with a single class of lesion it is the second of two"


class DenseParams(LossParams):
    """The arguments of a loss that compares pixels with masks."""

    tasks = ("segmentation",)


class TopKParams(DenseParams):
    """Arguments of `top-k-cross-entropy`."""

    share: float = Field(default=0.1, gt=0, le=1, description="of the pixels, the hardest; 1 is cross-entropy")
    reduce: Literal["image", "batch"] = Field(default="batch", description="hardest of each image, or of the batch")


class RegionParams(DenseParams):
    """Arguments shared by the losses that compare a region predicted with the true one."""

    reduce: Literal["image", "batch"] = Field(default="image", description=_REDUCE)
    background: bool = Field(default=False, description=_BACKGROUND)


class DiceParams(RegionParams):
    """Arguments of `dice` and `log-cosh-dice`."""

    smoothing: float = Field(
        default=1.0, ge=0, le=1e8, description="pixels added above and below; what an empty target says hangs on it"
    )


class GeneralisedDiceParams(DiceParams):
    """Arguments of `generalised-dice`; with background unless said, since it balances classes."""

    background: bool = Field(default=True, description=_BACKGROUND)


class TverskyParams(DiceParams):
    """Arguments of `tversky`."""

    false_positives: float = Field(default=0.3, ge=0, le=10, description="weight of false positives, alpha")
    false_negatives: float = Field(default=0.7, ge=0, le=10, description="weight of false negatives, beta")


class FocalTverskyParams(TverskyParams):
    """Arguments of `focal-tversky`."""

    exponent: float = Field(default=0.75, gt=0, le=10, description="of the loss of a class, 1 / gamma of the paper")


class LovaszParams(RegionParams):
    """Arguments of `lovasz`."""

    classes: Literal["all", "present"] = Field(
        default="all", description="present: leave out a class that the image (or batch) has no pixel of"
    )


class BoundaryParams(DenseParams):
    """Arguments of `boundary`."""

    background: bool = Field(default=False, description=_BACKGROUND)


class HausdorffParams(BoundaryParams):
    """Arguments of `hausdorff`."""

    exponent: float = Field(default=2.0, ge=0, le=4, description="of distances in pixels, alpha of the paper")


class ScheduleParams(Params):
    """A weight that may change from epoch to epoch (`sums.weight_at` says how)."""

    weight: float = Field(default=1.0, ge=0, le=1e6, description="under `schedule: constant`")
    schedule: Literal["constant", "linear", "step", "cosine"] = Field(
        default="constant", description="how the weight goes from `start` in the first epoch to `end` in the last"
    )
    start: float = Field(default=1.0, ge=0, le=1e6, description="weight in the first epoch of a schedule")
    end: float = Field(default=0.0, ge=0, le=1e6, description="weight in the last epoch of a schedule")
    at: float = Field(default=0.9, gt=0, lt=1, description="share of the epochs after which a step is taken")

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> ScheduleParams:
        given = type(self).model_fields
        without = {"constant": ("start", "end", "at"), "step": ("weight",)}.get(self.schedule, ("weight", "at"))
        for name in without:
            value = getattr(self, name)
            if value != given[name].default:
                raise ValueError(f"{name}: {value:g} has no effect under `schedule: {self.schedule}`: leave it out")
        return self


class CrossEntropyDiceParams(ScheduleParams, DiceParams):
    """Arguments of `cross-entropy-dice`."""

    weight: float = Field(default=0.5, ge=0, le=1, description="of cross-entropy, under `schedule: constant`")
    start: float = Field(default=1.0, ge=0, le=1, description="weight of cross-entropy in the first epoch")
    end: float = Field(default=0.0, ge=0, le=1, description="weight of cross-entropy in the last epoch")

    @property
    def changes(self) -> bool:
        """Unless the weight is constant."""
        return self.schedule != "constant"


class TermParams(ScheduleParams):
    """One loss of a `weighted-sum`, with its weight."""

    loss: Mapping[str, Any] = Field(description="a loss for segmentation with its arguments, such as {dice: {}}")
    version: str = Field(default="", description="of the loss's code, found when left out")

    @field_validator("loss", mode="before")
    @classmethod
    def _named(cls, given: Any) -> dict[str, Any]:
        made = named("loss", given)
        ((name, _),) = made.items()
        params = lookup("loss", name).params
        if issubclass(params, LossParams) and "segmentation" not in params.tasks:
            raise ValueError(f"'{name}' compares images, not pixels: name a loss for segmentation")
        return made

    @model_validator(mode="after")
    def _with_version(self) -> TermParams:
        object.__setattr__(self, "version", code_of("loss", self.loss))
        return self

    @property
    def changes(self) -> bool:
        """Whether the weight does, or the loss itself."""
        ((name, arguments),) = self.loss.items()
        params = lookup("loss", name).params.model_validate(arguments)
        return self.schedule != "constant" or (isinstance(params, LossParams) and params.changes)


class WeightedSumParams(DenseParams):
    """Arguments of `weighted-sum`."""

    terms: tuple[TermParams, ...] = Field(min_length=1, description="losses with their weights; see `terms` below")

    @property
    def changes(self) -> bool:
        """Where the weight of a term does."""
        return any(term.changes for term in self.terms)


_OWN = "assay.training.losses.segmentation"
_MONAI = "assay.training.losses.overlap"

for _name, _target, _params, _summary in (
    ("top-k-cross-entropy", f"{_OWN}:top_k_cross_entropy", TopKParams, "cross-entropy of the hardest pixels alone"),
    ("dice", f"{_MONAI}:dice", DiceParams, "1 - overlap of regions, per image or per batch (Milletari et al. 2016)"),
    (
        "generalised-dice",
        f"{_OWN}:generalised_dice",
        GeneralisedDiceParams,
        "Dice over classes weighted by the inverse square of their size (Sudre et al. 2017)",
    ),
    (
        "log-cosh-dice",
        f"{_MONAI}:log_cosh_dice",
        DiceParams,
        "log cosh of Dice, flatter near its least value (Jadon 2020)",
    ),
    (
        "tversky",
        f"{_MONAI}:tversky",
        TverskyParams,
        "Dice with weights of its own for false positives and false negatives (Salehi et al. 2017)",
    ),
    (
        "focal-tversky",
        f"{_MONAI}:focal_tversky",
        FocalTverskyParams,
        "Tversky raised to a power, for small lesions (Abraham and Khan 2019)",
    ),
    (
        "lovasz",
        f"{_OWN}:lovasz",
        LovaszParams,
        "the Jaccard distance, extended to probabilities (Berman et al. 2018)",
    ),
    (
        "boundary",
        f"{_MONAI}:boundary",
        BoundaryParams,
        "probability times signed distance to the true boundary (Kervadec et al. 2019)",
    ),
    (
        "hausdorff",
        f"{_MONAI}:hausdorff",
        HausdorffParams,
        "errors weighted by distances to both boundaries (Karimi and Salcudean 2020)",
    ),
    (
        "mcc",
        f"{_MONAI}:mcc",
        RegionParams,
        "1 - Matthews' correlation of the regions (Abhishek and Hamarneh 2021)",
    ),
    (
        "cross-entropy-dice",
        f"{_OWN}:cross_entropy_dice",
        CrossEntropyDiceParams,
        "weight * cross-entropy + (1 - weight) * Dice, the weight constant or by epoch",
    ),
    (
        "weighted-sum",
        f"{_OWN}:weighted_sum",
        WeightedSumParams,
        "any losses for segmentation, each with its weight, constant or by epoch",
    ),
):
    register("loss", _name, _target, _params, summary=_summary)
