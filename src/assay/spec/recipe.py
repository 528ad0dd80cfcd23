"""A recipe: registered components with arguments, and the rules about which go together."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from assay.core.registry import entries, lookup, own_object
from assay.core.request import Task
from assay.core.traits import (
    ArchitectureTraits,
    ComponentKind,
    FineTuningTraits,
    LossTraits,
    MitigationTraits,
    Rows,
    Traits,
)
from assay.spec.fields import Start, component_of, components_of, read_component
from assay.spec.grid import label

# The base of every part of a spec: frozen values without unknown keys, whose defaults leave the hash.


class Frozen(BaseModel):
    """Base of all parts of a spec: frozen, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def canonical(self) -> dict[str, Any]:
        """Return plain values without those equal to their default, so that a new field renames nothing."""
        return self.model_dump(mode="json", exclude_defaults=True)


# A registered thing and its arguments, as a spec holds it.


class Component(Frozen):
    """A registered component and its arguments: `supcon`, `{supcon: {temperature: 0.1}}`, or a dotted path.

    Examples:
        >>> Component(kind="loss", name="supcon", params={"temperature": 0.1}).name
        'supcon'
    """

    kind: ComponentKind
    name: str
    params: Mapping[str, Any] = {}

    @model_validator(mode="after")
    def _check(self) -> Component:
        checked = lookup(self.kind, self.name).params.model_validate(dict(self.params))
        object.__setattr__(self, "params", checked.model_dump(mode="json", exclude_defaults=True))
        return self

    @model_serializer
    def _serialize(self, info: SerializationInfo) -> Any:
        """Return `{name: arguments}` for hashes, or with the context `{"complete": True}` a form that validates."""
        if info.context and info.context.get("complete"):
            return {"kind": self.kind, "name": self.name, "params": dict(self.params)}
        entry = lookup(self.kind, self.name)
        files = entry.params.with_role("sha256").values()
        body = {name: value for name, value in self.params.items() if name not in files}
        if entry.version != 1:
            body[_distinct_key("version", entry.params.model_fields)] = entry.version
        if entry.source_hash:
            body[_distinct_key("source", body)] = entry.source_hash
        return {self.name: body} if body else self.name

    @property
    def label(self) -> str:
        """Return the name on an axis: `supcon`, `supcon(temperature=0.05)`; files by their names alone."""
        return label({self.name: dict(self.params)})


def _distinct_key(key: str, arguments: Container[str]) -> str:
    """Return a key for the version or source, in parentheses where an argument has its name."""
    return f"({key})" if key in arguments else key


# Traits of a recipe's parts: those that do not go together are refused early.
#
# A user's own part, given by a dotted path, is checked when training begins.

WORST_GROUP = "best-worst-group"


def uses_groups(recipe: RecipeSpec) -> bool:
    """Return whether group labels decide a weight: by the mitigation, or by the choice of an epoch."""
    return training_labels(recipe.mitigation) != "none" or recipe.selection == WORST_GROUP


def looks_at_labels(loss: Component) -> bool:
    """Return whether a loss uses targets; a user's own is taken to do so."""
    return not _of_loss(loss).unlabeled


def training_labels(mitigation: Component) -> Rows:
    """Return the rows whose group labels a mitigation trains with; training rows for a user's own."""
    return cast(MitigationTraits, _traits(mitigation)).group_labels


def _of_loss(loss: Component) -> LossTraits:
    return cast(LossTraits, _traits(loss))


_TASKS: tuple[Task, ...] = ("classification", "segmentation")
_TRAITS_OF_OWN_CODE: Mapping[str, Traits] = {
    "loss": LossTraits(tasks=_TASKS, per_image=True),
    "architecture": ArchitectureTraits(tasks=_TASKS),
    "mitigation": MitigationTraits(group_labels="training"),
    "finetuning": FineTuningTraits(),
}
"""What a user's own part is taken for."""


def _traits(component: Component) -> Traits:
    return lookup(component.kind, component.name).traits_with(component.params) or _TRAITS_OF_OWN_CODE[component.kind]


def refusals(recipe: RecipeSpec) -> Iterator[str]:
    """Yield which parts of a recipe are incompatible, with a remedy."""
    loss, mitigation = _of_loss(recipe.loss), cast(MitigationTraits, _traits(recipe.mitigation))
    named, mitigated = f"loss '{recipe.loss.name}'", f"mitigation '{recipe.mitigation.name}'"
    by_group, selected = recipe.selection == WORST_GROUP, f"selection '{recipe.selection}'"
    for component in (recipe.loss, recipe.architecture):
        tasks = cast("LossTraits | ArchitectureTraits", _traits(component)).tasks
        if recipe.task not in tasks:
            others = [
                entry.name for entry in entries(component.kind) if recipe.task in getattr(entry.traits, "tasks", ())
            ]
            yield (
                f"{component.kind} '{component.name}' is for {' and '.join(tasks)}, and the recipe's task is "
                f"{recipe.task}: use one of {', '.join(others)}, or set task"
            )
    if recipe.task == "segmentation" and (recipe.mitigation.name != "none" or by_group):
        yield "mitigations and selection by the worst group look at one label per image: task segmentation has neither"
    yield from _of_the_head(recipe)
    if recipe.finetuning.name == "last-layers" and recipe.finetuning.params.get("layers") == 0 and not loss.trains_head:
        yield (
            f"finetuning 'last-layers' with layers: 0 trains the head alone, and {named} has its head fitted "
            "afterwards, so that nothing would be trained: use linear-probe, or give the loss `head: joint`"
        )
    if mitigation.weighs_images and not loss.per_image:
        others = [entry.name for entry in entries("loss") if getattr(entry.traits, "per_image", False)]
        yield (f"{mitigated} weighs images, and {named} has no term for a single image: use one of {', '.join(others)}")
    if not loss.trains_head and (mitigation.needs_head or by_group):
        yield (
            f"{mitigated if mitigation.needs_head else selected} looks at predictions during training, and {named} has "
            "its head fitted afterwards: give the loss `head: joint`"
        )
    if recipe.patience is not None and recipe.selection == "last":
        yield (
            "`patience` counts epochs without a better validation score, and selection 'last' scores none: add "
            "selection: best-validation-loss or best-worst-group, or leave patience out"
        )
    if recipe.selection == "best-validation-loss" and _changes(recipe.loss):
        yield (
            f"{selected} compares epochs, and {named} weighs its terms otherwise in each: use "
            "selection: last, or constant weights"
        )
    if uses_groups(recipe) and not recipe.groups:
        yield (
            f"{selected if by_group else mitigated} needs `groups`, the factor that makes groups together with the "
            "target, such as groups: tag"
        )


def _of_the_head(recipe: RecipeSpec) -> Iterator[str]:
    """Yield why a linear head cannot be fitted on the features that training starts with."""
    tuning = cast(FineTuningTraits, _traits(recipe.finetuning))
    if not tuning.fits_head:
        return
    named = f"finetuning '{recipe.finetuning.name}' fits a linear head by the log-loss of images"
    if recipe.task == "segmentation":
        yield f"{named}, and the recipe's task is segmentation: use full, or last-layers with layers: 0"
    others = {
        "loss": (recipe.loss.name, ("cross-entropy",)),
        "mitigation": (recipe.mitigation.name, ("none",)),
        "selection": (recipe.selection, ("last",)),
    }
    for field, (name, allowed) in others.items():
        if not tuning.steps and name not in allowed:
            yield f"{named} and takes no step, so {field} '{name}' would have no effect: use {' or '.join(allowed)}"


def _changes(loss: Component) -> bool:
    """Return whether a loss is another function in another epoch: by itself or as a sum."""
    changes = _of_loss(loss)
    is_own_code = ":" in loss.name  # whose argument `terms` may be anything
    terms = cast("list[Mapping[str, Any]]", [] if is_own_code else loss.params.get("terms", []))
    return changes.changes or any(
        term.get("schedule", "constant") != "constant" or _changes(_component("loss", name, **arguments))
        for term in terms
        for name, arguments in term["loss"].items()
    )


# How a model is made.


def _component(kind: ComponentKind, name: str, **params: Any) -> Component:
    return Component(kind=kind, name=name, params=params)


class ForeignNetwork(Frozen):
    """How a network that was trained elsewhere is read.

    Attributes:
        network: A model of timm, or the dotted path of a function without arguments that returns the network. Empty
            where `assay export` wrote the models, whose recipe names it.
        layers: Dotted names of the modules that probes read.
        scores: Whether the network gives logits or probabilities.
        preprocessing: Whether images are scaled by the mean and standard deviation in a timm model's config.
        ensemble: Whether the models of the folds of a seed answer together, by the mean of their probabilities.
    """

    network: str = ""
    layers: tuple[str, ...] = ()
    scores: Literal["logits", "probabilities"] = "logits"
    preprocessing: Literal["config", "none"] = "config"
    ensemble: Literal["", "folds"] = ""


class GivenSpec(ForeignNetwork):
    """A network that was trained elsewhere, in place of a recipe: see `assay.spec.given`.

    Attributes:
        code: Hash of the module of the function that returns the network.
        of: Values on the axes: the other columns of the table.
        weights: SHA-256 of the files of weights; of a trial alone.
    """

    code: str = ""
    of: Mapping[str, str] = {}
    weights: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _with_code(self) -> GivenSpec:
        if ":" in self.network:
            object.__setattr__(self, "code", own_object("network", self.network)[1])
        if self.ensemble and self.layers:
            raise ValueError("layers are of one network, and an ensemble has several; leave one out")
        return self


class RecipeSpec(Frozen):
    """How a model is made: all that decides the weights but data and seed.

    Attributes:
        task: Whether a class is found for each image, or for each pixel (`small-unet` is then the default
        architecture). finetuning: How far training changes the network that it starts from.
        groups: A factor whose levels, with the classes of the target, make groups for the mitigation and the selection.
            Empty where neither uses them, so that such a recipe keeps its hash.
        streams: Random streams of training: initial weights of new layers, batch order and augmentation. Recipes that
            differ in nothing else are an A/A comparison; images and sources stay those of the seed.
        patience: Epochs in a row without a better validation score after which training stops (early stopping). The
            learning-rate schedule stays that of all `epochs`.
        precision: Arithmetic of training. `tf32` (products of 10-bit mantissas, summed in float32) and `bfloat16` are
            fast on a GPU; on a CPU `tf32` is float32.
        deterministic: Whether training on a GPU uses deterministic kernels alone, which are slower. On a CPU it does.
        given: The network of models that were trained elsewhere: nothing is trained. The other fields but `task` keep
            their defaults, or are those of the exported models.

    Examples:
        >>> recipe = RecipeSpec.model_validate({"loss": "supcon", "epochs": 5})
        >>> recipe.loss.name, recipe.epochs, recipe.architecture.name
        ('supcon', 5, 'small-cnn')
    """

    model_config = ConfigDict(json_schema_extra={"examples": ["{loss: cross-entropy, epochs: 20}"]})
    task: Task = "classification"
    architecture: Component = Field(default_factory=lambda: _component("architecture", "small-cnn"))
    initialization: Annotated[Component, Start] = Field(default_factory=lambda: _component("initialization", "random"))
    loss: Component = Field(default_factory=lambda: _component("loss", "cross-entropy"))
    optimizer: Component = Field(default_factory=lambda: _component("optimizer", "adamw"))
    schedule: Component = Field(default_factory=lambda: _component("schedule", "one-cycle"))
    augmentation: Annotated[
        tuple[Annotated[Component, component_of("augmentation")], ...], components_of("augmentation")
    ] = Field(default_factory=lambda: (_component("augmentation", "flip"), _component("augmentation", "shift")))
    mitigation: Component = Field(default_factory=lambda: _component("mitigation", "none"))
    finetuning: Component = Field(default_factory=lambda: _component("finetuning", "full"))
    groups: str = ""
    epochs: Annotated[int, Field(ge=1)] = 20
    batch_size: Annotated[int, Field(ge=2)] = 128
    selection: Literal["last", "best-validation-loss", "best-worst-group"] = "last"
    patience: Annotated[int, Field(ge=1)] | None = None
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    deterministic: bool = False
    threads: Annotated[int, Field(ge=1)] = 1
    streams: Annotated[int, Field(ge=0, le=99)] = 0
    given: Annotated[GivenSpec | None, Field(exclude_if=lambda network: network is None)] = None

    @field_validator("architecture", "loss", "optimizer", "schedule", "mitigation", "finetuning", mode="before")
    @classmethod
    def _of_its_kind(cls, value: Any, info: ValidationInfo) -> Any:
        return read_component(cast(ComponentKind, info.field_name), value, info)

    @model_validator(mode="before")
    @classmethod
    def _network_of_the_task(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        fields = dict(cast("Mapping[str, Any]", value))
        if fields.get("task") == "segmentation" and "architecture" not in fields:
            fields["architecture"] = _component("architecture", "small-unet")
        return fields

    @model_validator(mode="after")
    def _parts_go_together(self) -> RecipeSpec:
        if wrong := next(refusals(self), ""):
            raise ValueError(wrong)
        if not uses_groups(self):
            object.__setattr__(self, "groups", "")
        return self
