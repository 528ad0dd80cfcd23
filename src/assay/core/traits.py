"""What a recipe's parts say of themselves through their `Params`: those that do not go together are refused early.

A dotted path to a user's own part says nothing here; what it lacks is refused when its training begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from assay.core.registry import ComponentKind, Params, entries, lookup

if TYPE_CHECKING:
    from assay.core.component import Component
    from assay.core.spec import RecipeSpec

WORST_GROUP = "best-worst-group"
Rows = Literal["none", "training", "validation"]
"""Whose group labels are used: of no rows, of the training rows, of the validation rows."""
Task = Literal["classification", "segmentation"]
"""What a network says: a class for each image, or a class for each pixel."""
Readout = Literal["linear", "coral", "corn", "regression"]
"""What makes class logits of features: a linear head, or one of those whose classes are grades."""


class ArchitectureParams(Params):
    """The arguments of an architecture. tasks: what its networks can say."""

    tasks: ClassVar[tuple[Task, ...]] = ("classification",)


class LossParams(Params):
    """The arguments of a loss.

    per_image: whether it is the mean over images of a term of each, which a mitigation can weigh.
    tasks: whether it compares a label with the logits of an image, masks with those of pixels, or either.
    readout: the head that it needs; all but a linear one take the classes for grades, in their order.
    architectures: those whose networks it can train; any where it is empty.
    """

    per_image: ClassVar[bool] = False
    architectures: ClassVar[tuple[str, ...]] = ()
    readout: ClassVar[Readout] = "linear"
    tasks: ClassVar[tuple[Task, ...]] = ("classification",)

    @property
    def trains_head(self) -> bool:
        """Whether the network's own logits are trained, so that there are predictions before the last step."""
        return True

    @property
    def unlabelled(self) -> bool:
        """Whether it looks at no target."""
        return False

    @property
    def changes(self) -> bool:
        """Whether it is another function in another epoch, so that its values in two epochs cannot be compared."""
        return False


class ImageLossParams(LossParams):
    """The arguments of a loss that is a mean over images."""

    per_image: ClassVar[bool] = True


class MitigationParams(Params):
    """The arguments of a mitigation.

    weighs_images: whether it needs a loss per image. needs_head: whether it needs predictions during training.
    refits_head: whether it puts a linear head of its own in the place of the trained one.
    """

    refits_head: ClassVar[bool] = False

    weighs_images: ClassVar[bool] = False
    needs_head: ClassVar[bool] = False

    @property
    def group_labels(self) -> Rows:
        """The rows whose group labels decide weights of the network."""
        return "none"


class FineTuningParams(Params):
    """The arguments of a fine-tuning.

    steps: whether the network is trained at all. fits_head: whether a linear head is fitted on what it starts with.
    """

    steps: ClassVar[bool] = True
    fits_head: ClassVar[bool] = False


def uses_groups(recipe: RecipeSpec) -> bool:
    """Whether the group labels of any row decide a weight: by the mitigation, or by the choice of an epoch."""
    return training_labels(recipe.mitigation) != "none" or recipe.selection == WORST_GROUP


def readout_of(loss: Component) -> Readout:
    """The head that a loss needs; a user's own is taken to need a linear one."""
    made = _arguments(loss)
    return made.readout if isinstance(made, LossParams) else "linear"


def looks_at_labels(loss: Component) -> bool:
    """Whether a loss looks at targets; a user's own is taken to do so."""
    made = _arguments(loss)
    return not (isinstance(made, LossParams) and made.unlabelled)


def training_labels(mitigation: Component) -> Rows:
    """The rows whose group labels a mitigation trains with; a user's own is taken to use those of training rows."""
    made = _arguments(mitigation)
    return made.group_labels if isinstance(made, MitigationParams) else "training"


def refusal(recipe: RecipeSpec) -> str:
    """One sentence on parts of a recipe that do not go together, and what to write instead; empty where all do."""
    if wrong := _of_another_task(recipe):
        return wrong
    if wrong := _of_the_head(recipe):
        return wrong
    if wrong := _of_another_network(recipe):
        return wrong
    loss, mitigation = _arguments(recipe.loss), _arguments(recipe.mitigation)
    if isinstance(loss, LossParams) and isinstance(mitigation, MitigationParams):
        if mitigation.weighs_images and not loss.per_image:
            return (
                f"mitigation '{recipe.mitigation.name}' weighs images, and loss '{recipe.loss.name}' has no term for a "
                f"single image: use one of {', '.join(_per_image())}, or the mitigation 'group-balanced-sampling'"
            )
        if mitigation.refits_head and loss.readout != "linear":
            return (
                f"mitigation '{recipe.mitigation.name}' fits a linear head, and loss '{recipe.loss.name}' has one of "
                "its own for grades: use cross-entropy, or another mitigation"
            )
        if mitigation.needs_head and not loss.trains_head:
            return f"mitigation '{recipe.mitigation.name}' {_without_head(recipe)}"
    if recipe.selection == "best-validation-loss" and isinstance(loss, LossParams) and loss.changes:
        return (
            f"selection 'best-validation-loss' compares epochs, and loss '{recipe.loss.name}' weighs its terms "
            "otherwise in each: use selection: last, or constant weights"
        )
    if recipe.selection == WORST_GROUP and isinstance(loss, LossParams) and not loss.trains_head:
        return f"selection '{WORST_GROUP}' {_without_head(recipe)}"
    if uses_groups(recipe) and not recipe.groups:
        who = (
            f"selection '{WORST_GROUP}'"
            if recipe.selection == WORST_GROUP
            else f"mitigation '{recipe.mitigation.name}'"
        )
        return f"{who} needs `groups`, the factor that makes groups together with the target, such as groups: tag"
    return ""


def _of_the_head(recipe: RecipeSpec) -> str:
    """Why a linear head cannot be fitted on what the network starts with, or not be all; empty where it can."""
    tuning = _arguments(recipe.finetuning)
    if not isinstance(tuning, FineTuningParams) or not tuning.fits_head:
        return ""
    named = f"finetuning '{recipe.finetuning.name}' fits a linear head by the log-loss of images"
    if recipe.task == "segmentation":
        return f"{named}, and the recipe's task is segmentation: use full, last-layers or discriminative-rates"
    if readout_of(recipe.loss) != "linear":
        return f"{named}, and loss '{recipe.loss.name}' has a head of its own for grades: use cross-entropy"
    if not tuning.steps:
        others = {
            "loss": ("cross-entropy",),
            "mitigation": ("none", "last-layer-retraining"),
            "selection": ("last",),
        }
        for field, allowed in others.items():
            given = getattr(recipe, field)
            name = given if isinstance(given, str) else given.name
            if name not in allowed:
                return (
                    f"{named} and takes no step, so {field} '{name}' would have no effect: use {' or '.join(allowed)}"
                )
    return ""


def _of_another_network(recipe: RecipeSpec) -> str:
    """Why a loss cannot train an architecture of this name; a user's own is asked when its training begins."""
    loss, name = _arguments(recipe.loss), recipe.architecture.name
    if not isinstance(loss, LossParams) or not loss.architectures or name in loss.architectures or ":" in name:
        return ""
    return (
        f"loss '{recipe.loss.name}' trains plain vision transformers of timm, and the architecture is '{name}': use "
        "architecture: {timm: {model: vit_tiny_patch16_224}}, or another loss"
    )


def _of_another_task(recipe: RecipeSpec) -> str:
    """What is not of the recipe's task, and what is; empty where all is. Nothing is known of a user's own part."""
    for component in (recipe.loss, recipe.architecture):
        made = _arguments(component)
        if isinstance(made, LossParams | ArchitectureParams) and recipe.task not in made.tasks:
            return (
                f"{component.kind} '{component.name}' is for {' and '.join(made.tasks)}, and the recipe's task is "
                f"{recipe.task}: use one of {', '.join(_of_task(component.kind, recipe.task))}, or set task"
            )
    if recipe.task == "segmentation" and (recipe.mitigation.name != "none" or recipe.selection == WORST_GROUP):
        return "mitigations and selection by the worst group look at one label per image: task segmentation has neither"
    return ""


def _of_task(kind: ComponentKind, task: Task) -> list[str]:
    return [entry.name for entry in entries(kind) if task in getattr(entry.params, "tasks", ())]


def _without_head(recipe: RecipeSpec) -> str:
    return (
        f"looks at predictions during training, and loss '{recipe.loss.name}' has its head fitted afterwards: "
        "give the loss `head: joint`"
    )


def _per_image() -> list[str]:
    return [entry.name for entry in entries("loss") if issubclass(entry.params, LossParams) and entry.params.per_image]


def _arguments(component: Component) -> Params:
    return lookup(component.kind, component.name).params.model_validate(dict(component.params))
