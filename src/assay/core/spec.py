"""What a study is: a frozen, validated description in three parts, each with a hash of its own.

What is trained (`data`, `environments.train`, `recipe`, `seeds`), what is probed (`environments`, `probes`) and what is
compared (`contrasts`). `assay.core.parsing` turns YAML or Python values into these, `assay.core.axes` and `grid` expand
lists into the points of the grid. Every field here is concrete: axes are gone by the time these are built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    ValidationError,
    field_serializer,
    model_serializer,
    model_validator,
)

from assay.core.axes import label
from assay.core.hashing import content_hash
from assay.core.registry import ComponentKind, lookup
from assay.core.traits import refusal, uses_groups

Strength = Annotated[float, Field(ge=-1, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Frozen(BaseModel):
    """Base of all parts of a spec: frozen, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def canonical(self) -> dict[str, Any]:
        """Plain values without those equal to their default, so that a new field renames nothing."""
        return self.model_dump(mode="json", exclude_defaults=True)


class Component(Frozen):
    """A registered thing and its arguments: `supcon`, or `{supcon: {temperature: 0.1}}`, or a dotted path."""

    kind: ComponentKind
    name: str
    params: Mapping[str, Any] = {}

    @model_validator(mode="after")
    def _check(self) -> Component:
        checked = lookup(self.kind, self.name).params.model_validate(dict(self.params))
        object.__setattr__(self, "params", checked.model_dump(mode="json", exclude_defaults=True))
        return self

    @model_serializer
    def _serialise(self, info: SerializationInfo) -> Any:
        """`{name: arguments}` for hashes; with the context `{"complete": True}`, what validates to this again."""
        if info.context and info.context.get("complete"):
            return {"kind": self.kind, "name": self.name, "params": dict(self.params)}
        entry = lookup(self.kind, self.name)
        body = {name: value for name, value in self.params.items() if name not in entry.params.file_hashes}
        if entry.version != 1:
            body["version"] = entry.version
        if entry.source_hash:
            body["source"] = entry.source_hash
        return {self.name: body} if body else self.name

    @property
    def label(self) -> str:
        """What a figure calls it, as on an axis: `supcon`, `supcon(temperature=0.05)`; files by their names alone."""
        return label({self.name: dict(self.params)})


class FactorSpec(Frozen):
    """What a column of the user's table means."""

    kind: Literal["categorical", "ordinal", "continuous"] = "continuous"
    unit: str = ""
    levels: tuple[str, ...] = ()
    high: tuple[str, ...] = ()
    column: str = ""  # where the column's name differs from the factor's


class SplitSpec(Frozen):
    """How patients are divided. Exactly one of: folds, shares, or a column that says it.

    folds: k-fold by patient, stratified by target, redrawn by every seed; each image is then tested once a seed, by a
    model that never saw its patient. The next fold serves as validation.
    """

    folds: Annotated[int, Field(ge=3, le=20)] | None = None
    train: Share = 0.6
    validation: Share = 0.2
    test: Share = 0.2
    column: str = ""


class DataSpec(Frozen):
    """Where images come from: exactly one of phantom, dataset, folder, classes, medmnist.

    phantom: a registered generator; `train`, `validation`, `test` are numbers of images.
    dataset: a public set as its makers publish it, whose columns Assay knows.
    folder: a CSV (`table`) beside images, columns named by `image`, `mask`, `target`, `patient`; or `images/` and
        `masks/` with equal stems when `table` is empty.
    classes: one folder per class.
    medmnist: a MedMNIST `.npz` (2-D).
    """

    phantom: Component | None = None
    dataset: Component | None = None
    folder: str = ""
    classes: str = ""
    medmnist: str = ""
    size: Annotated[int, Field(ge=8, le=1024)] = 64
    target: str = "malignant"
    # phantoms
    core: str = ""
    train: Annotated[int, Field(ge=1)] = 2000
    validation: Annotated[int, Field(ge=1)] = 500
    test: Annotated[int, Field(ge=1)] = 1000
    # images from files
    table: str = "data.csv"
    image: str = "image"
    mask: str = ""
    patient: str = ""
    positive: tuple[str, ...] = ()  # which values of the target column are the positive class, when it is not 0/1
    channels: Literal["auto", "grey", "colour"] = "auto"
    factors: Mapping[str, FactorSpec] = {}
    where: Mapping[str, Any] = {}  # column -> value(s) or {min, max}: rows of the table that the study uses at all
    split: SplitSpec = SplitSpec()
    pixel_size: str = ""  # the column that holds mm per pixel, if any

    def for_training(self) -> dict[str, Any]:
        """The canonical form without what only test images depend on."""
        return {name: value for name, value in self.canonical().items() if name != "test"}


class HighShares(Frozen):
    """The share of rows that have a factor's high level: of the last class, and of the others."""

    positive: Share
    negative: Share


class AssociationSpec(Frozen):
    """How strongly a factor is tied to the target: Somers' D, signed. `given` ties it within those rows only.

    share: which share of each class has the high level of a categorical factor, all other rows the low one; D is then
        the difference of both. Without it a class has it in (1 + D) / 2 of its rows and the others in (1 - D) / 2, so
        that half of all rows have it whatever D is.
    """

    strength: Strength
    high: tuple[str, ...] = ()
    given: Mapping[str, Any] = {}
    share: HighShares | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_shares(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        fields = dict(cast("Mapping[str, Any]", given))
        if fields.get("share") is None:
            return fields
        try:
            share = HighShares.model_validate(fields["share"])
        except ValidationError:
            return {**fields, "strength": 0.0}  # what is wrong with it is told of the field itself
        strength = share.positive - share.negative
        if fields.setdefault("strength", strength) != strength:
            raise ValueError("strength and share are given: keep one; shares make a strength of their difference")
        return {**fields, "share": share}


class InterventionSpec(Frozen):
    """A change to pixels and which rows get it: by `association` when the environment ties its name, else by share.

    share: the share of rows marked, or one share per class name, or {positive, negative}: of the last class and of the
        others.
    """

    component: Component
    share: Share | Mapping[str, Share] = 0.5

    @property
    def marks_rows(self) -> bool:
        """Whether any row gets it by share."""
        return any(self.share.values()) if isinstance(self.share, Mapping) else self.share > 0


class EnvironmentSpec(Frozen):
    """A named distribution: dataset + split + association + interventions.

    where: factor -> value, list of values, or {min, max}: on a phantom the values are drawn from within, on files the
        rows are chosen; so `where: {texture: solid}` holds a factor constant.
    difficulty: factor -> visibility of a phantom's factor, 1 being normal, 0 invisible.
    rows: how many training rows are taken of those that all this leaves; all of them where it is not said.
    split: the rows it is made from: `train`, also for the validation rows, in the environment of that name alone.
    """

    split: Literal["train", "test"] = "test"
    association: Mapping[str, AssociationSpec] = {}
    interventions: Mapping[str, InterventionSpec] = {}
    where: Mapping[str, Any] = {}
    difficulty: Mapping[str, Annotated[float, Field(ge=0, le=3)]] = {}
    rows: Annotated[int, Field(ge=1)] | None = None

    def for_training(self) -> dict[str, Any]:
        """The canonical form without what changes no image: interventions on no rows, difficulties of 1."""
        marking = self.interventions.items()
        active = {name: item for name, item in marking if item.marks_rows or name in self.association}
        harder = {name: value for name, value in self.difficulty.items() if value != 1}
        return self.model_copy(update={"interventions": active, "difficulty": harder}).canonical()


def _component(kind: ComponentKind, name: str, **params: Any) -> Component:
    return Component(kind=kind, name=name, params=params)


class RecipeSpec(Frozen):
    """How a model is made: the independent variable of a study. All that decides the weights but data and seed.

    groups: a factor, whose levels with the classes of the target make groups, for the mitigation and the selection;
        empty where neither uses them, so that a plain recipe beside others that do is the trial it always was.
    """

    architecture: Component = Field(default_factory=lambda: _component("architecture", "small-cnn"))
    initialisation: Component = Field(default_factory=lambda: _component("initialisation", "random"))
    loss: Component = Field(default_factory=lambda: _component("loss", "cross-entropy"))
    optimiser: Component = Field(default_factory=lambda: _component("optimiser", "adamw"))
    schedule: Component = Field(default_factory=lambda: _component("schedule", "one-cycle"))
    augmentation: tuple[Component, ...] = Field(
        default_factory=lambda: (_component("augmentation", "flip"), _component("augmentation", "shift"))
    )
    mitigation: Component = Field(default_factory=lambda: _component("mitigation", "none"))
    groups: str = ""
    epochs: Annotated[int, Field(ge=1)] = 20
    batch_size: Annotated[int, Field(ge=2)] = 128
    selection: Literal["last", "best-validation-loss", "best-worst-group"] = "last"
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: Annotated[int, Field(ge=1)] = 1

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
    as well. environment: the distribution of its images; its training rows are used.
    """

    data: DataSpec
    environment: EnvironmentSpec = EnvironmentSpec(split="train")
    recipe: RecipeSpec = RecipeSpec()


class ContrastSpec(Frozen):
    """A comparison stated beforehand: along `axis`, every value against `against`, by `measure` in `environment`.

    at: `equal-budget` compares trials that share all other axes (one contrast per value of those not fixed by
        `where`); `matched-fit` compares along the budgets at equal log-loss of a refitted head; `dose-response`
        compares the mean change from p = 0 over the doses of the axis `p` (METHODS).
    margin: with it, equivalence within +- margin is tested as well.
    """

    axis: str
    against: str
    measure: str = "auroc"
    environment: str = ""
    factor: str = ""
    layer: str = ""
    where: Mapping[str, Any] = {}
    at: Literal["equal-budget", "matched-fit", "dose-response"] = "equal-budget"
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
