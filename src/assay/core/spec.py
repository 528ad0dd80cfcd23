"""What a study is: a frozen, validated description in three parts, each with a hash of its own.

What is trained (`data`, `environments.train`, `recipe`, `seeds`), what is probed (`environments`, `probes`) and what is
compared (`contrasts`). `assay.core.parsing` turns YAML or Python values into these, `assay.core.axes` and `grid` expand
lists into the points of the grid. Every field here is concrete: axes are gone by the time these are built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import Field, SerializationInfo, field_serializer, model_validator

from assay.core.component import Component
from assay.core.data_spec import DataSpec
from assay.core.environment_spec import EnvironmentSpec
from assay.core.frozen import Frozen
from assay.core.hashing import content_hash
from assay.core.registry import ComponentKind
from assay.core.traits import Task, refusal, uses_groups


def _component(kind: ComponentKind, name: str, **params: Any) -> Component:
    return Component(kind=kind, name=name, params=params)


class RecipeSpec(Frozen):
    """How a model is made: the independent variable of a study. All that decides the weights but data and seed.

    finetuning: how far training changes the network that it starts from.
    task: whether a class is found for each image, or for each pixel (`small-unet` is then the default architecture).
    groups: a factor, whose levels with the classes of the target make groups, for the mitigation and the selection;
        empty where neither uses them, so that a plain recipe beside others that do is the trial it always was.
    """

    task: Task = "classification"
    architecture: Component = Field(default_factory=lambda: _component("architecture", "small-cnn"))
    initialisation: Component = Field(default_factory=lambda: _component("initialisation", "random"))
    loss: Component = Field(default_factory=lambda: _component("loss", "cross-entropy"))
    optimiser: Component = Field(default_factory=lambda: _component("optimiser", "adamw"))
    schedule: Component = Field(default_factory=lambda: _component("schedule", "one-cycle"))
    augmentation: tuple[Component, ...] = Field(
        default_factory=lambda: (_component("augmentation", "flip"), _component("augmentation", "shift"))
    )
    mitigation: Component = Field(default_factory=lambda: _component("mitigation", "none"))
    finetuning: Component = Field(default_factory=lambda: _component("finetuning", "full"))
    groups: str = ""
    epochs: Annotated[int, Field(ge=1)] = 20
    batch_size: Annotated[int, Field(ge=2)] = 128
    selection: Literal["last", "best-validation-loss", "best-worst-group"] = "last"
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="before")
    @classmethod
    def _network_of_the_task(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        fields = dict(cast("Mapping[str, Any]", given))
        if fields.get("task") == "segmentation" and "architecture" not in fields:
            fields["architecture"] = _component("architecture", "small-unet")
        return fields

    @model_validator(mode="after")
    def _parts_go_together(self) -> RecipeSpec:
        wrong = refusal(self)
        if wrong:
            raise ValueError(wrong)
        if not uses_groups(self):
            object.__setattr__(self, "groups", "")
        return self


class SourceSpec(Frozen):
    """A pretrained start that Assay trains itself, once, on images of its own.

    Its network is that of the recipe that starts from it, and its seed that of the trial, so that seeds vary the source
    as well. environment: the distribution of its images; its training rows are used. own: whether these are the study's
    own training images, all of the seed's (and fold's), whatever part of them a trial is trained on.
    """

    data: DataSpec
    own: bool = False
    environment: EnvironmentSpec = EnvironmentSpec(split="train")
    recipe: RecipeSpec = Field(default_factory=RecipeSpec)


class ContrastSpec(Frozen):
    """A comparison stated beforehand: along `axis`, every value against `against`, by `measure` in `environment`.

    levels: the values that are compared with `against`; all others where empty.
    at: `equal-budget` compares trials that share all other axes (one contrast per value of those not fixed by
        `where`); `matched-fit` compares along the budgets at equal log-loss of a refitted head; `dose-response`
        compares the mean change from p = 0 over the doses of the axis `p`; `matched-clean` compares that change along
        the amounts of the axis `rows`, where both are equally good at p = 0 in `clean` (METHODS).
    clean: the test environment without the confounder, of `matched-clean` alone.
    margin: with it, equivalence within +- margin is tested as well, and whether a is worse than b by as much.
    """

    axis: str
    against: str
    levels: tuple[str, ...] = ()
    measure: str = "auroc"
    environment: str = ""
    factor: str = ""
    layer: str = ""
    where: Mapping[str, Any] = {}
    at: Literal["equal-budget", "matched-fit", "dose-response", "matched-clean"] = "equal-budget"
    clean: str = ""
    margin: Annotated[float, Field(gt=0)] | None = None
    exploratory: bool = False


class TrainingSpec(Frozen):
    """Exactly what decides a trial's weights. Its hash names the trial.

    data: canonical `DataSpec` without what only tests use, or, for files, the content hash of the rows in its place.
    """

    data: Mapping[str, Any]
    environment: EnvironmentSpec
    recipe: RecipeSpec
    seed: int
    fold: int = 0

    @field_serializer("environment")
    def _environment(self, environment: EnvironmentSpec, info: SerializationInfo) -> dict[str, Any]:
        if info.context and info.context.get("complete"):
            return environment.model_dump(mode="json", context=info.context, exclude_defaults=info.exclude_defaults)
        return environment.for_training()

    @property
    def id(self) -> str:
        """16 hexadecimal digits."""
        return content_hash(self.canonical())


class RecipePoint(Frozen):
    """One point of the grid: a recipe, a training environment, and where on the axes it lies.

    coordinates: axis name -> label of the value, for example {"loss": "supcon", "epochs": "20"}.
    """

    coordinates: Mapping[str, str]
    recipe: RecipeSpec
    train: EnvironmentSpec
    tests: Mapping[str, EnvironmentSpec]  # `like: train` is resolved against this point's training environment

    @model_validator(mode="after")
    def _tested_on_test_rows(self) -> RecipePoint:
        for name, test in self.tests.items():
            if test.split != "test":
                raise ValueError(f"environment '{name}' is made from training rows, which its models have seen")
        return self

    @property
    def label(self) -> str:
        """What tables call this recipe: its coordinates, joined."""
        return " · ".join(self.coordinates.values()) or self.recipe.loss.label


class StudySpec(Frozen):
    """A whole study, its axes expanded into points."""

    name: str
    question: str = ""
    data: DataSpec
    sources: Mapping[str, SourceSpec] = {}
    points: tuple[RecipePoint, ...]
    axes: Mapping[str, tuple[str, ...]] = {}  # axis name -> labels in order of the spec
    seeds: Annotated[int, Field(ge=1, le=1000)] = 5
    first_seed: Annotated[int, Field(ge=0)] = 0  # a tuning study takes seeds that the study it serves does not
    probes: tuple[Component, ...] = ()
    contrasts: tuple[ContrastSpec, ...] = ()
    keep: Literal["all", "none"] = "all"

    @model_validator(mode="after")
    def _one_task(self) -> StudySpec:
        if len({point.recipe.task for point in self.points}) > 1:
            raise ValueError(
                "recipes of both tasks stand side by side, whose answers cannot be compared: keep one task"
            )
        return self

    @property
    def task(self) -> Task:
        """What all its networks say."""
        return self.points[0].recipe.task if self.points else "classification"

    @property
    def trained(self) -> str:
        """The hash of what is trained; the order of grid points leaves it alone."""
        points = [{"recipe": point.recipe.canonical(), "train": point.train.for_training()} for point in self.points]
        seen = sorted(content_hash(point) for point in points)
        parts = {"data": self.data.for_training(), "points": seen, "seeds": self.seeds, "first_seed": self.first_seed}
        sources = {name: source.canonical() for name, source in self.sources.items()}
        return content_hash({**parts, "sources": sources} if sources else parts)

    @property
    def probed(self) -> str:
        """The hash of what trained models are asked: probes, and the environments and images they are tested on."""
        tests = [{name: made.canonical() for name, made in point.tests.items()} for point in self.points]
        seen = sorted({content_hash(environments) for environments in tests})
        probes = sorted(content_hash(probe.canonical()) for probe in self.probes)
        return content_hash({"data": self.data.canonical(), "tests": seen, "probes": probes})

    @property
    def compared(self) -> str:
        """The hash of the comparisons stated; Holm's family is all of them, in any order."""
        return content_hash(sorted(content_hash(contrast.canonical()) for contrast in self.contrasts))
