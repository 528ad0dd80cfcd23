"""Kinds of components, and the facts about a component that other parts need before it is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from assay.core.request import Task
from assay.core.types import Factor

ComponentKind = Literal[
    "phantom",
    "dataset",
    "intervention",
    "distortion",
    "architecture",
    "initialization",
    "loss",
    "optimizer",
    "schedule",
    "augmentation",
    "mitigation",
    "finetuning",
    "probe",
    "explainer",
]
KINDS: tuple[str, ...] = get_args(ComponentKind)

Rows = Literal["none", "training", "validation"]
"""Whose group labels are used: of no rows, of the training rows, of the validation rows."""
Extent = Literal["", "local", "global"]
"""Whether a change of images is confined to places, or of the whole image; empty where it is not declared."""
Origin = Literal["", "patient", "environment"]
"""Whether a change comes from the patient, or from acquisition, staff and software; empty where it is not declared."""


@dataclass(frozen=True, slots=True)
class Traits:
    """No facts: of a kind that none are asked of.

    Attributes:
        by_class: Those that a component's class has as attributes of the same name, which are not declared again.
    """

    by_class: ClassVar[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        """Words after the summary in `assay list`."""
        return ""


@dataclass(frozen=True, slots=True)
class ChangeTraits(Traits):
    """Traits of an intervention or a distortion: its place among confounders in MICCAT.

    Attributes:
        extent: Local or global.
        origin: Patient or environment.

    References:
        Juodelyte et al., Source matters: source dataset impact on model robustness in medical imaging, 2024.

    Examples:
        >>> ChangeTraits("local", "patient").label
        'local, patient'
    """

    extent: Extent = ""
    origin: Origin = ""

    @property
    def label(self) -> str:
        """Extent and origin."""
        return ", ".join(filter(None, (self.extent, self.origin)))


@dataclass(frozen=True, slots=True, kw_only=True)
class DataTraits(Traits):
    """Traits of a phantom or a public dataset.

    Attributes:
        factors: Its factors; None where its arguments decide them or its tables name them.
        ordered: Whether the classes are grades, in their order.

    Examples:
        >>> from assay.plugin import lookup
        >>> lookup("dataset", "idrid").traits.ordered, lookup("phantom", "chest").traits.factors[0].name
        (True, 'mass')
    """

    factors: tuple[Factor, ...] | None = None
    ordered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureTraits(Traits):
    """Traits of an architecture.

    Attributes:
        tasks: The tasks of its networks.

    Examples:
        >>> from assay.plugin import lookup
        >>> lookup("architecture", "small-unet").traits.tasks
        ('segmentation',)
    """

    tasks: tuple[Task, ...] = ("classification",)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossTraits(Traits):
    """Traits of a loss.

    Attributes:
        tasks: Whether it compares a label with the logits of an image, masks with those of pixels, or either.
        per_image: Whether it is the mean over images of a term of each, which a mitigation can weight.
        trains_head: Whether the network's own logits are trained, so that predictions exist before the last step.
        unlabeled: Whether it ignores targets.
        changes: Whether it is another function in another epoch, so that its values cannot be compared over epochs.

    Examples:
        A loss for masks, of which each image has its own term, so that mitigations may weigh images:

        >>> traits = LossTraits(tasks=("segmentation",), per_image=True)
        >>> traits.trains_head, traits.unlabeled
        (True, False)
    """

    tasks: tuple[Task, ...] = ("classification",)
    per_image: bool = False
    trains_head: bool = True
    unlabeled: bool = False
    changes: bool = False

    by_class: ClassVar[tuple[str, ...]] = ("trains_head", "unlabeled")


@dataclass(frozen=True, slots=True, kw_only=True)
class MitigationTraits(Traits):
    """Traits of a mitigation.

    Attributes:
        weighs_images: Whether it needs a loss per image.
        needs_head: Whether it needs predictions during training.
        group_labels: The rows whose group labels decide weights of the network.

    Examples:
        >>> MitigationTraits(weighs_images=True, group_labels="training").label
        'group labels of training rows, losses of single images'
    """

    weighs_images: bool = False
    needs_head: bool = False
    group_labels: Rows = "none"

    by_class: ClassVar[tuple[str, ...]] = ("group_labels",)

    @property
    def label(self) -> str:
        """Group labels that it uses, and losses that it works with."""
        labels = "" if self.group_labels == "none" else f"group labels of {self.group_labels} rows"
        losses = "losses of single images" if self.weighs_images else "losses that train the head"
        return ", ".join(filter(None, (labels, losses if self.weighs_images or self.needs_head else "")))


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuningTraits(Traits):
    """Traits of a fine-tuning.

    Attributes:
        steps: Whether the network is trained at all.
        fits_head: Whether a linear head is fitted on the start's features.

    Examples:
        >>> from assay.plugin import lookup
        >>> traits = lookup("finetuning", "linear-probe").traits
        >>> traits.steps, traits.fits_head
        (False, True)
    """

    steps: bool = True
    fits_head: bool = False

    by_class: ClassVar[tuple[str, ...]] = ("steps", "fits_head")


TRAITS: Mapping[ComponentKind, type[Traits]] = {
    "phantom": DataTraits,
    "dataset": DataTraits,
    "intervention": ChangeTraits,
    "distortion": ChangeTraits,
    "architecture": ArchitectureTraits,
    "loss": LossTraits,
    "mitigation": MitigationTraits,
    "finetuning": FineTuningTraits,
}
