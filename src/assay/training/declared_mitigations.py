"""The mitigations that a spec can name, with their checked arguments. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from assay.core.registry import register
from assay.spec.schema import MitigationParams, Rows
from assay.spec.sections import code_of, named


class WithTrainingGroups(MitigationParams):
    """The arguments of a mitigation that trains with the group labels of training rows."""

    @property
    def group_labels(self) -> Rows:
        """Of the training rows."""
        return "training"


class ReweightingParams(WithTrainingGroups):
    """Arguments of `reweighting`."""

    weighs_images = True


class GroupDroParams(WithTrainingGroups):
    """Arguments of `group-dro`."""

    weighs_images = True
    step: float = Field(default=0.01, gt=0, le=10, description="step size of the group weights, per nat of loss")
    adjustment: float = Field(
        default=0.0, ge=0, le=100, description="C of C / sqrt(n), added to a group's loss when weights are set"
    )
    sampling: Literal["groups", "rows"] = Field(
        default="groups", description="groups: each is drawn as often, as in the paper; rows: each row once an epoch"
    )


class JustTrainTwiceParams(MitigationParams):
    """Arguments of `just-train-twice`."""

    needs_head = True
    epochs: int = Field(default=2, ge=1, le=1000, description="epochs T of the identification model, a training before")
    upweight: int = Field(default=5, ge=1, le=1000, description="how often an error stands in the training set")


class LastLayerRetrainingParams(MitigationParams):
    """Arguments of `last-layer-retraining`."""

    refits_head = True
    rows: Literal["validation", "training"] = Field(
        default="validation", description="whose balanced subsets the head is fitted on"
    )
    subsets: int = Field(default=10, ge=1, le=1000, description="balanced subsets, over which the head is averaged")
    l2: float = Field(
        default=1.0, gt=0, le=1e6, description="l2 / 2 times the squared norm, beside the summed log-loss"
    )

    @property
    def group_labels(self) -> Rows:
        """Of the rows that the head is fitted on."""
        return self.rows


class DomainAdversarialParams(WithTrainingGroups):
    """Arguments of `domain-adversarial`."""

    strength: float = Field(default=1.0, gt=0, le=100, description="lambda, the factor of the reversed gradient")
    ramp: float = Field(
        default=10.0,
        ge=0,
        le=1000,
        description="lambda rises as 2 / (1 + exp(-ramp * share of the steps)) - 1; 0: whole from the first step",
    )
    hidden: int = Field(default=64, ge=1, le=8192, description="width of the one hidden layer that guesses the factor")
    given_target: bool = Field(
        default=False, description="tell the guesser the class, so that only what the class does not explain is removed"
    )


class ConfounderAugmentationParams(MitigationParams):
    """Arguments of `confounder-augmentation`."""

    intervention: Mapping[str, Any] = Field(description="a change to pixels with its arguments, such as {tag: {}}")
    probability: float = Field(
        default=0.5, gt=0, le=1, description="of an image to get it at a step, whatever it shows"
    )
    version: str = Field(default="", description="of the intervention's code, found when left out")

    @field_validator("intervention", mode="before")
    @classmethod
    def _named(cls, given: Any) -> dict[str, Any]:
        return named("intervention", given)

    @model_validator(mode="after")
    def _with_version(self) -> ConfounderAugmentationParams:
        object.__setattr__(self, "version", code_of("intervention", self.intervention))
        return self


register(
    "mitigation",
    "none",
    "assay.training.mitigations:Mitigation",
    MitigationParams,
    summary="plain training, on rows as they are",
)
register(
    "mitigation",
    "reweighting",
    "assay.training.mitigations:Reweighting",
    ReweightingParams,
    summary="each image weighted by the inverse size of its group",
)
register(
    "mitigation",
    "group-balanced-sampling",
    "assay.training.mitigations:GroupBalancedSampling",
    WithTrainingGroups,
    summary="each epoch draws equally many rows of every group",
)
register(
    "mitigation",
    "group-dro",
    "assay.training.mitigations:GroupDro",
    GroupDroParams,
    summary="groups weighted by exponentiated gradient towards the one with the largest loss (Sagawa et al. 2020)",
)
register(
    "mitigation",
    "just-train-twice",
    "assay.training.mitigations:JustTrainTwice",
    JustTrainTwiceParams,
    summary="trained again with the errors of a short first training drawn more often (Liu et al. 2021)",
)
register(
    "mitigation",
    "last-layer-retraining",
    "assay.training.mitigations:LastLayerRetraining",
    LastLayerRetrainingParams,
    summary="the head fitted anew on rows balanced by group (Kirichenko et al. 2023)",
)
register(
    "mitigation",
    "confounder-augmentation",
    "assay.training.mitigations:ConfounderAugmentation",
    ConfounderAugmentationParams,
    summary="an intervention put on training images at random, whatever their class",
)
register(
    "mitigation",
    "domain-adversarial",
    "assay.training.mitigations:DomainAdversarial",
    DomainAdversarialParams,
    summary="features from which the factor cannot be guessed, by a reversed gradient (Ganin et al. 2016)",
)
