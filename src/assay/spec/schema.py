"""The checked form of a study: data, environments, recipes, probes and contrasts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SerializationInfo,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from assay.core.files import canonical_json, content_hash, hash_by_last
from assay.core.request import ColumnName, Task
from assay.spec.document import Keys
from assay.spec.fields import (
    ByLabel,
    Conditions,
    HeldLabels,
    Label,
    Labels,
    MeanOver,
    NamedFamily,
    PathText,
    Texts,
    as_number,
    component_of,
)
from assay.spec.issues import hint, invalid, issue
from assay.spec.published import PublishedTable
from assay.spec.recipe import Component, Frozen, RecipeSpec

# Where a study's images come from and how patients are divided: the `data` part of a spec.

MOST_IMAGES = 10_000_000
"""Images of a phantom that a study may ask for: a slip of the finger would fill the memory."""
Share = Annotated[float, Field(ge=0, le=1)]
Part = Literal["train", "validation", "test"]
Fit = Literal["pad", "squash", "crop"]
"""How an image that is not square becomes one: padded with black, stretched, or cut to its central square."""
Resize = Literal["", "nearest", "area", "bilinear"]
"""How images are brought to a study's size; "" is bilinear, with large JPEG files decoded at a part of their size."""
MaskValue = Annotated[int, Field(ge=0, le=65535)]
REFERABLE = 2
"""The grade from which an image counts as positive where grades are cut in two, unless a study says otherwise."""
BACKGROUND = "background"
"""The kind in `mask_values` that is no lesion."""
IGNORE = "ignore"
"""The kind in `mask_values` that is neither lesion nor background, as in nnU-Net: an image that has it is left out."""


class FactorSpec(Frozen):
    """A column of the user's table that is a factor; `sex: categorical` is short for `sex: {kind: categorical}`.

    Attributes:
        kind: The kind of factor.
        unit: Its unit.
        levels: Its levels, as text.
        high: Which of the levels are high.
        column: The column, where its name differs from the factor's.

    Examples:
        >>> FactorSpec(kind="categorical", levels=("a", "b"), high=("b",)).high
        ('b',)
    """

    model_config = ConfigDict(json_schema_extra={"examples": ["{kind: ordinal}"]})
    kind: Literal["categorical", "ordinal", "continuous"] = "continuous"
    unit: str = ""
    levels: Annotated[tuple[str, ...], Texts] = ()
    high: Annotated[tuple[str, ...], Texts] = ()
    column: ColumnName = ""

    @model_validator(mode="before")
    @classmethod
    def _of_a_kind(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _high_levels(self) -> FactorSpec:
        if self.levels and self.kind == "continuous":
            raise ValueError("levels are for `kind: categorical` or, in their order, `kind: ordinal`")
        unknown = [level for level in self.high if self.levels and level not in self.levels]
        if unknown:
            raise invalid(
                *(
                    issue(("high",), unknown_level, "not one of the levels", names=self.levels)
                    for unknown_level in unknown
                )
            )
        return self


class SplitSpec(Frozen):
    """How patients are divided: by folds, by shares, or by a column.

    Attributes:
        folds: k-fold by patient, stratified by target, redrawn by every seed. Each image is tested once a seed, by a
            model that never saw its patient. The next fold serves as validation. With `validation: 0` there is none:
            all other folds train, and thresholds come from the training rows.
        column: The column that holds the part of each row; with folds, the fold in which each row is tested.
        means: Values of the column -> part, where they differ: `{validation: test}`.
        test_only: Factor -> value, list of values, or {min, max}: all rows of patients with such a row are test rows.
            Not with folds, which test every row anyway.
        together: `near-copies` keeps rows whose images are near copies on one side: their patients count as one.

    Examples:
        >>> split = SplitSpec(train=0.7, validation=0.1, test=0.2)
        >>> split.folds is None
        True
    """

    folds: Annotated[int, Field(ge=3, le=20)] | None = None
    train: Share = 0.6
    validation: Share = 0.2
    test: Share = 0.2
    column: ColumnName = ""
    means: Mapping[str, Part] = {}
    test_only: Annotated[Mapping[str, Any], Conditions] = {}
    together: Literal["", "near-copies"] = ""

    @model_validator(mode="after")
    def _go_together(self) -> SplitSpec:
        if self.means and not self.column:
            raise ValueError("means says what the values of `column` mean; name the column too")
        if self.folds is None:
            return self
        if self.test_only or self.means:
            raise ValueError("test_only and means are for shares and a column of parts: with folds every row is tested")
        if self.validation not in (0, SplitSpec.model_fields["validation"].default):
            raise ValueError("with folds, validation is the next fold, or 0 for none")
        return self

    @property
    def train_on_all_others(self) -> bool:
        """Return whether every fold but the tested one trains, so that no row is left for validation."""
        return self.folds is not None and self.validation == 0


class BoxesSpec(Frozen):
    """Boxes of lesions, with which attribution maps are compared.

    Attributes:
        table: A CSV of the folder with the columns `image` (as the table names it), `kind`, `x0`, `y0`, `x1`, `y1` (px
            of the file).
        kinds: The kinds that are lesions. All of the file where empty.

    Examples:
        >>> BoxesSpec(table="boxes.csv").kinds  # all of the file
        ()
    """

    table: str
    kinds: tuple[str, ...] = ()


class DataSpec(Frozen):
    """Where images come from: exactly one of phantom, dataset, folder, classes, medmnist.

    With masks, `target: lesion` is whether an image shows any (absent, present), unless the table has such a column.

    Attributes:
        phantom: A registered generator; `train`, `validation`, `test` are numbers of images. Another `population` draws
            other test patients, and leaves training as it is.
        dataset: A public set as its makers publish it, whose columns Assay knows.
        folder: A CSV (`table`) with images, columns named by `image`, `mask`, `target`, `patient`; or `images/` and
            `masks/` with equal stems when `table` is empty; or a COCO file (`table: annotations.json`).
        further: Other CSV files of the same folder, such as another clinic's, whose rows follow those of `table`.
        classes: One folder per class.
        medmnist: A MedMNIST `.npz` (2-D).
        referable: The class, counted from 0, from which an image counts as positive. Setting it declares that the
            classes are grades. `REFERABLE` for grades by default.
        mask_format: The form of a cell of the mask's column: a file, or runs (`assay.data.files.masks`).
        mask_values: Value in a mask (of COCO: number of a category) -> name of the kind of lesion, `background` for
            none, `ignore` for neither: an image with such pixels is left out. Where empty, lesion is where a mask is
            above half of its range. Kinds are in the order of their least value.
        mask_inverted: Whether lesion is where masks are dark.
        fit: How images become squares. `pad` keeps the aspect and pads with black, `squash` scales height and width
            each to `size`, `crop` keeps the central square. A model trained elsewhere needs the setting of its
            training.
        crop_share: The share of height and width that `squash` and `crop` keep, around the middle; timm's `crop_pct`.
        resize: How images are brought to `size`: `nearest` (the pixel in the middle), `area` (the mean of all) or
            `bilinear` (antialiased). By default bilinear, and large JPEG files are decoded at a part of their size.
        preprocessing: Steps on photographs of the retina before they are kept: `circle-crop`, or that and `ben-graham`
            (`assay.data.files.pictures`).
        links: Whether images, masks and tables may be links that lead out of the folder: refused, or followed.
        unmasked: How an image without a mask counts: as an error, free of lesions, or left out.
        unmatched: Whether masks of no image are refused where images have no mask, or passed over.
        matched: Sentences on how images and labels were matched before, for the page.
        guessed: Columns that were found by their names and values, for the page.
        joined_from: The table that `assay init` joined with the files (`table`, from the folder), its checksum
            (`sha256`) and the column of the files (`by`). Where it has changed since, a run says how to join again.
        unnamed: How an image without a patient counts: as an error, or as a patient of its own.
        tests: Name -> another set, all of whose rows are test rows. `{train: ..., tests: {name: ...}}` writes them.
        map: Of a set in `tests`: its name of a class -> that of the training set.
        numbering: Of a set in `tests`: `own` where it names its patients by itself, so that a name that the training
            set has too is another patient.

    Examples:
        >>> data = DataSpec.model_validate({"phantom": "nodule", "size": 32, "core": "margin"})
        >>> data.phantom.name, data.train, data.split.folds is None
        ('nodule', 2000, True)
    """

    model_config = ConfigDict(json_schema_extra={"examples": ["{phantom: nodule, size: 64}"]})
    phantom: Annotated[Component, component_of("phantom")] | None = None
    dataset: Annotated[Component, component_of("dataset")] | None = None
    folder: Annotated[str, PathText] = ""
    classes: Annotated[str, PathText] = ""
    medmnist: Annotated[str, PathText] = ""
    size: Annotated[int, Field(ge=8, le=1024)] = 64
    target: ColumnName = "malignant"
    referable: Annotated[int, Field(ge=1, le=99)] | None = None
    # phantoms
    core: str = ""
    train: Annotated[int, Field(ge=1, le=MOST_IMAGES)] = 2000
    validation: Annotated[int, Field(ge=1, le=MOST_IMAGES)] = 500
    test: Annotated[int, Field(ge=1, le=MOST_IMAGES)] = 1000
    population: Annotated[int, Field(ge=0)] = 0
    # images from files
    table: str = "data.csv"
    further: tuple[str, ...] = ()
    image: ColumnName = "image"
    mask: ColumnName = ""
    mask_format: Literal["file", "kaggle-rle", "kaggle-rle-rows", "coco-rle"] = "file"
    mask_values: Mapping[MaskValue, Annotated[str, Field(min_length=1)]] = {}
    mask_inverted: bool = False
    unmasked: Literal["refuse", "lesion-free", "leave-out"] = "refuse"
    unmatched: Literal["refuse", "drop"] = "refuse"
    matched: Annotated[tuple[str, ...], Texts] = ()
    guessed: str = ""
    joined_from: Mapping[Literal["table", "sha256", "by"], str] = {}
    patient: ColumnName = ""
    unnamed: Literal["refuse", "own"] = "refuse"
    # which values of the target column are the positive class, when it is not 0/1
    positive: Annotated[tuple[str, ...], Texts] = ()
    channels: Literal["auto", "gray", "color"] = "auto"
    factors: Mapping[str, FactorSpec] = {}
    # column -> value(s) or {min, max}: rows of the table that the study uses at all
    where: Annotated[Mapping[str, Any], Conditions] = {}
    split: SplitSpec = SplitSpec()
    preprocessing: tuple[Literal["circle-crop", "ben-graham"], ...] = ()
    fit: Fit = "pad"
    resize: Resize = ""
    links: Literal["refuse", "follow"] = "refuse"
    crop_share: Annotated[float, Field(ge=0.1, le=1)] = 1.0
    boxes: BoxesSpec | None = None  # of a folder with a CSV
    pixel_size: ColumnName = ""  # the column that holds mm per pixel, if any
    tests: Mapping[str, DataSpec] = {}
    map: Annotated[Mapping[str, Annotated[str, Label]], ByLabel] = {}
    numbering: Literal["shared", "own"] = "shared"

    @model_validator(mode="after")
    def _go_together(self) -> DataSpec:
        if wrong := next(self._refusals(), ""):
            raise ValueError(wrong)
        return self

    def _refusals(self) -> Iterator[str]:
        """Yield which fields are incompatible."""
        if self.population and self.phantom is None:
            yield "population draws other patients from a phantom, and files have theirs; leave it out"
        if self.preprocessing and (self.mask or self.pixel_size or self.medmnist or self.masked_set):
            yield "preprocessing cuts images, and masks and mm per pixel would not follow; leave one out"
        if "ben-graham" in self.preprocessing and self.preprocessing != ("circle-crop", "ben-graham"):
            yield "ben-graham needs the circle that circle-crop finds: write [circle-crop, ben-graham]"
        if self.fit != "pad" and self.dataset and self.dataset.name == "lidc":
            yield f"fit: {self.fit} is for whole images, and lidc cuts squares from scans; leave it out"
        if self.resize and self.dataset and self.dataset.name == "lidc":
            yield "resize is for whole images, and lidc cuts squares from scans; leave it out"
        if self.fit == "squash" and self.pixel_size:
            yield (
                "fit: squash scales height and width each, so that a pixel is not as high as wide in mm; write fit: "
                "pad or crop, or leave pixel_size out"
            )
        if self.fit == "pad" and self.crop_share < 1:
            yield "crop_share is for `fit: crop` and `fit: squash`; `pad` keeps the whole image"
        if self.boxes and not (self.folder and self.table.endswith(".csv")):
            yield "boxes are of images that a folder's CSV names; leave them out"
        if self.boxes and self.preprocessing:
            yield "preprocessing cuts images, and boxes would not follow; leave one out"
        if self.mask_values and set(self.mask_values.values()) <= {BACKGROUND, IGNORE}:
            yield "mask_values names no kind of lesion; name at least one"
        if self.mask_values and self.mask_inverted:
            yield "mask_inverted is for masks of one kind; mask_values says what every value means"

    @property
    def masked_set(self) -> bool:
        """Return whether images are cut by their own layout or come with masks in folders."""
        return bool(self.folder and not self.table) or bool(self.dataset and self.dataset.name == "lidc")

    def without_words(self) -> DataSpec:
        """Return the same images without the sentences on how they were found, which no result depends on."""
        tests = {name: test.without_words() for name, test in self.tests.items()}
        return self.model_copy(update={"guessed": "", "matched": (), "joined_from": {}, "tests": tests})

    def for_training(self) -> dict[str, Any]:
        """Return the canonical form without fields that only test images, or measures of them, depend on."""
        of_tests = ("test", "tests", "population", "referable")
        plain = self.without_words().model_copy(update={"boxes": None})
        return {name: value for name, value in plain.canonical().items() if name not in of_tests}


# A named distribution of images: factors tied to the target, marks, constant factors and difficulty.

Strength = Annotated[float, Field(ge=-1, le=1)]


class HighShares(Frozen):
    """The share of rows that have a factor's high level: of the last class, and of the others."""

    positive: Share
    negative: Share


class AssociationSpec(Frozen):
    """How strongly a factor is tied to the target.

    Attributes:
        strength: Somers' D, signed.
        high: The levels that count as high.
        given: Row conditions within which the factor is tied.
        share: The share of each class that has the high level of a categorical factor; all other rows have the low one,
            and D is the difference of both. Without it a class has it in (1 + D) / 2 of its rows and the others in
            (1 - D) / 2, so that half of all rows have it at every D.
    """

    strength: Strength
    high: tuple[str, ...] = ()
    given: Annotated[Mapping[str, Any], Conditions] = {}
    share: HighShares | None = None

    @model_validator(mode="before")
    @classmethod
    def _strength_of(cls, value: Any) -> Any:
        """Read `0.9` as `{strength: 0.9}`, and make a strength of shares."""
        if isinstance(value, AssociationSpec):
            return value
        if not isinstance(value, Mapping):
            strength = as_number(value)
            if strength is None or not -1 <= strength <= 1:
                expected = "expected a number from -1 to 1 (Somers' D of the factor given the target)"
                raise invalid(issue((), value, expected, hint(value)))
            return {"strength": strength}
        fields = dict(cast("Mapping[str, Any]", value))
        if fields.get("share") is None:
            return fields
        try:
            share = HighShares.model_validate(fields["share"])
        except ValidationError:
            return {**fields, "strength": 0.0}  # the field itself is refused
        strength = share.positive - share.negative
        if fields.setdefault("strength", strength) != strength:
            both = "strength and share are given: keep one; shares make a strength of their difference"
            raise invalid(issue((), value, both))
        return {**fields, "share": share}


def _parse_share(value: Any) -> Any:
    """Read a share of rows, or one per class."""
    shares_given = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None
    shares: list[tuple[Keys, Any]] = (
        [((), value)]
        if shares_given is None
        else [((name,), class_share) for name, class_share in shares_given.items()]
    )
    expected = "expected a number from 0 to 1, or one per class such as {positive: 0.9, negative: 0.1}"
    wrong = [
        issue(keys, share, expected, hint(share))
        for keys, share in shares
        if (number := as_number(share)) is None or not 0 <= number <= 1
    ]
    if wrong:
        raise invalid(*wrong)
    return cast("Any", value)


ApplyAt = Literal["input", "original"]
"""Where an intervention is applied: to images of the study's size, or to pictures at their files' resolution."""


class InterventionSpec(Frozen):
    """A change to pixels and the rows that get it: by `association` when the environment ties its name, else by share.

    Attributes:
        component: The intervention.
        share: The share of rows that get it, or one share per class name, or {positive, negative}: of the last class
            and of the others.
        apply_at: Whether it changes the image at the study's size, or the picture of the file before `data.resize`
            brings it to that size.
    """

    model_config = ConfigDict(json_schema_extra={"examples": ["{argument: value, share: 0.5}"]})
    component: Annotated[Component, component_of("intervention")]
    share: Annotated[Share | Mapping[str, Share], BeforeValidator(_parse_share)] = 0.5
    apply_at: ApplyAt = "input"

    @property
    def change(self) -> Any:
        """The change without the rows that get it, for hashes and comparisons."""
        arguments = self.component.model_dump()
        return arguments if self.apply_at == "input" else {self.apply_at: arguments}

    @property
    def marks_rows(self) -> bool:
        """Return whether any row gets it by share."""
        return any(self.share.values()) if isinstance(self.share, Mapping) else self.share > 0


class EnvironmentSpec(Frozen):
    """A named distribution: dataset + split + association + interventions.

    Attributes:
        data: The set of `data.tests` whose rows it has; the training set where empty.
        split: The rows it is made from: `train`, also for the validation rows, in the environment of that name alone.
        association: Factor -> how strongly it is tied to the target.
        interventions: Name -> intervention.
        where: Factor -> value, list of values, or {min, max}. On a phantom values are drawn from these, on files rows
            are chosen; so `where: {texture: solid}` holds a factor constant.
        difficulty: Factor -> visibility of a phantom's factor, 1 being normal, 0 invisible.
        rows: The number of training rows that are taken of those that all this leaves. All by default.
        fraction: The share of training patients that is taken, with all their rows.
        crop: `lesion-free` shows windows of photographs without a lesion (files with masks, tests only).
    """

    model_config = ConfigDict(json_schema_extra={"examples": ["{association: {texture: 0.9}}"]})
    data: str = ""
    split: Literal["train", "test"] = "test"
    association: Mapping[str, AssociationSpec] = {}
    interventions: Mapping[str, InterventionSpec] = {}
    where: Annotated[Mapping[str, Any], Conditions] = {}
    difficulty: Mapping[str, Annotated[float, Field(ge=0, le=3)]] = {}
    rows: Annotated[int, Field(ge=1)] | None = None
    fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    crop: Literal["", "lesion-free"] = ""

    @field_validator("association", "interventions", "where", mode="before")
    @classmethod
    def _nothing(cls, value: Any) -> Any:
        return {} if value is None else value

    @model_validator(mode="after")
    def _one_amount(self) -> EnvironmentSpec:
        if self.rows is not None and self.fraction is not None:
            raise ValueError("rows and fraction both say how much is trained on: keep one")
        return self

    def for_training(self) -> dict[str, Any]:
        """Return the canonical form without entries that change no image: interventions on no rows, difficulty 1."""
        marking = self.interventions.items()
        active = {name: item for name, item in marking if item.marks_rows or name in self.association}
        harder = {name: value for name, value in self.difficulty.items() if value != 1}
        part = None if self.fraction == 1 else self.fraction
        return self.model_copy(update={"interventions": active, "difficulty": harder, "fraction": part}).canonical()


# A study: a frozen, validated description in three parts, each with a hash of its own.
#
# They are training (`data`, `environments.train`, `recipe`, `seeds`), probing (`environments`, `probes`) and
# comparison (`contrasts`). `assay.spec.parse` turns YAML or Python values into these, `assay.spec.grid` and `grid`
# expand lists into the points of the grid. Every field here is concrete: axes are gone by the time these are built.


class SourceSpec(Frozen):
    """A pretrained start that Assay trains itself, once.

    Its network is that of the recipe that starts from it, and its seed that of the trial, so seeds vary the source too.

    Attributes:
        data: The images.
        own: Whether these are the study's own training images, all of the seed's (and fold's), whatever part of them a
            trial is trained on.
        environment: The distribution of the images. Its training rows are used.
        recipe: How the source is trained.
    """

    data: DataSpec
    own: bool = False
    environment: EnvironmentSpec = EnvironmentSpec(split="train")
    recipe: RecipeSpec = Field(default_factory=RecipeSpec)


Correction = Literal["holm", "fixed-order"]
Role = Literal["primary", "secondary", "positive-control", "a-a"]
CONTROLS: tuple[Role, ...] = ("positive-control", "a-a")
"""Roles of comparisons that test the study itself and decide no question."""
ENVIRONMENT = "environment"
"""In `mean_over`: the test environments, which are no axis."""
FACTOR = "factor"
"""In `mean_over`: the factors that are measured, which are no axis either."""


class FamilySpec(Frozen):
    """The family in which p-values of a contrast are corrected; `family: features` is short for its name.

    Attributes:
        name: The name. Contrasts of one name are corrected together and share role and correction.
        correction: Holm's method, or a fixed order: each comparison is tested without correction as long as the same
            (a difference, or equivalence) was shown of all earlier ones of the family.
        order: The place of this contrast in a fixed order, from 1.
    """

    model_config = ConfigDict(json_schema_extra={"examples": ["{name: features, correction: holm}"]})
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}$")]
    correction: Correction = "holm"
    order: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _check_order(self) -> FamilySpec:
        if self.correction == "fixed-order" and self.order is None:
            raise ValueError("a fixed order needs `order`, the place of this contrast in it: 1, 2, ...")
        if self.correction == "holm" and self.order is not None:
            raise ValueError("`order` is for `correction: fixed-order`; Holm's method takes the smallest p first")
        if self.name in RESERVED_FAMILIES:
            raise ValueError(f"the family '{self.name}' is Assay's own; give it another name")
        return self


RESERVED_FAMILIES = ("stated", "exploratory", *CONTROLS)


class ContrastSpec(Frozen):
    """A pre-specified comparison along `axis`: every value against `against`, by `measure` in `environment`.

    Attributes:
        levels: The values that are compared with `against`. All others where empty.
        where: Axis -> value that is held constant.
        at: `equal-budget` compares trials that share all other axes (one contrast per value of those not fixed by
            `where`). `matched-fit` compares along the budgets at equal log-loss of a refitted head, segmentations at
            equal Dice of validation lesions. `dose-response` compares the mean change from p = 0 over the doses of the
            axis `p`. `matched-clean` compares that change along the amounts of the axis `rows`, where both are equally
            good at p = 0 in `clean`. Models that were trained elsewhere are compared `as-given`: nothing is known of
            their budgets.
        clean: The test environment without the confounder, for `matched-clean` alone.
        margin: With it, equivalence within +- margin is tested as well, and whether a is worse than b by as much.
        exploratory: Whether it was added after results existed.
        role: `primary` contrasts are the question of the study, at most four comparisons, each with a margin.
            `positive-control` is a difference that must be found, in the direction `expected`. `a-a` compares a recipe
            with itself along `recipe.streams` and must show no difference.
        family: The family in which p-values are corrected. By default all primary contrasts are one family, and all
            secondary ones another; a control is never corrected with others.
        expected: Of a positive control, whether the compared value must be higher or lower than `against`.
        mean_over: Axis -> values over which the difference is averaged within each seed and patient: confounders,
            doses, recipes (the compared axis itself), `environment` for test environments, or `factor` for measured
            factors. Without values, all of the axis.
        seed_sd: Standard deviation between seeds that is expected of the paired difference, such as a pilot's, by which
            `assay preview` computes the detectable one. It decides nothing.
    """

    model_config = ConfigDict(json_schema_extra={"examples": ["{axis: loss, against: cross-entropy, measure: auroc}"]})
    axis: str
    against: Annotated[str, Label]
    levels: Annotated[tuple[str, ...], Labels] = ()
    measure: str = "auroc"
    environment: str = ""
    factor: str = ""
    layer: str = ""
    where: Annotated[Mapping[str, Any], HeldLabels] = {}
    at: Literal["equal-budget", "matched-fit", "dose-response", "matched-clean", "as-given"] = "equal-budget"
    clean: str = ""
    margin: Annotated[float, Field(gt=0)] | None = None
    exploratory: bool = False
    role: Role = "secondary"
    family: Annotated[FamilySpec, NamedFamily] | None = None
    expected: Literal["", "higher", "lower"] = ""
    mean_over: Annotated[Mapping[str, tuple[str, ...]], MeanOver] = {}
    seed_sd: Annotated[float, Field(gt=0), Field(exclude_if=lambda sd: sd is None)] | None = None

    @property
    def control(self) -> bool:
        """Return whether the comparison tests the study itself."""
        return self.role in CONTROLS

    @property
    def family_name(self) -> str:
        """Return the name of its family; that of controls and of contrasts without one is their role's."""
        default = {"secondary": "stated"}.get(self.role, self.role)
        return self.family.name if self.family else default

    @model_validator(mode="after")
    def _of_its_role(self) -> ContrastSpec:
        if self.role == "primary" and self.margin is None:
            what = "a primary comparison needs `margin`, the greatest difference that would not matter"
            raise invalid(issue((), "", what, "such as margin: 0.05 of AUROC; or leave `role` out"))
        if self.role == "positive-control" and not self.expected:
            raise invalid(issue((), "", "a positive control needs `expected`: higher or lower"))
        if self.role != "positive-control" and self.expected:
            raise invalid(issue(("expected",), self.expected, "is for `role: positive-control`", "leave it out"))
        if self.control and self.family:
            raise invalid(issue(("family",), self.family.name, "a control has no family", "leave it out"))
        return self


class TrainingSpec(Frozen):
    """Everything that determines a trial's weights, and nothing else. Its hash names the trial.

    Attributes:
        data: Canonical `DataSpec` without the fields that only tests use or, for files, the content hash of the rows.
        members: Of an ensemble, which is not trained: ids of the trials of its folds.
    """

    data: Mapping[str, Any]
    environment: EnvironmentSpec
    recipe: RecipeSpec
    seed: int
    fold: int = 0
    members: tuple[str, ...] = ()

    @field_serializer("environment")
    def _environment(self, environment: EnvironmentSpec, info: SerializationInfo) -> dict[str, Any]:
        if info.context and info.context.get("complete"):
            return environment.model_dump(mode="json", context=info.context, exclude_defaults=info.exclude_defaults)
        return environment.for_training()

    @property
    def id(self) -> str:
        """Return the hash that names the trial: 16 hexadecimal digits."""
        return self.named({}, {}, "")

    def named(
        self, texts: dict[str, dict[str, str]], begun: dict[tuple[str, int], Callable[[str], str]], label: str
    ) -> str:
        """Return `id`, with what trainings share written and hashed once.

        Args:
            texts: Canonical JSON of data, environment and recipe by label, and what is added here.
            begun: Hash by seed, of each label and fold, and what is added here.
            label: The same of all trainings that share the three, none of which is an ensemble.
        """
        if (label, self.fold) not in begun:
            if label not in texts:
                parts = {"data": self.data, "environment": self.environment.for_training(),
                         "recipe": self.recipe.canonical()}  # fmt: skip
                texts[label] = {name: canonical_json(part) for name, part in parts.items()}
            parts_of_fold = {"fold": self.fold} if self.fold else {}
            parts_of_fold |= {"members": self.members} if self.members else {}
            written = {name: canonical_json(value) for name, value in parts_of_fold.items()}
            begun[label, self.fold] = hash_by_last(texts[label] | written, "seed")
        return begun[label, self.fold](canonical_json(self.seed))


class GivenWeights(Frozen):
    """A file of weights that were trained elsewhere.

    Attributes:
        path: The file.
        sha256: Its content.
        point: Values on the axes: those of its recipe.
        network: Its network, where the table names it.
        seed: Its seed, counted from 0 in the order of the seeds in the table.
        fold: The fold that it was not trained on.
        recipe: Its recipe, where `assay export` wrote it.
    """

    path: str
    sha256: str
    point: Mapping[str, str] = {}
    network: str = ""
    seed: int = 0
    fold: str = ""
    recipe: Annotated[RecipeSpec | None, Field(exclude_if=lambda recipe: recipe is None)] = None


class RecipePoint(Frozen):
    """One point of the grid: a recipe, a training environment, and its coordinates on the axes.

    Attributes:
        coordinates: Axis name -> label of the value, for example {"loss": "supcon", "epochs": "20"}.
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
        """Return the name of this recipe in tables: its coordinates, joined."""
        return " · ".join(self.coordinates.values()) or self.recipe.loss.label

    @property
    def columns(self) -> dict[str, str]:
        """Return the columns that name this recipe in tables."""
        return {"recipe": self.label, "coordinates": json.dumps(dict(self.coordinates))}


class StudySpec(Frozen):
    """A whole study, its axes expanded into points.

    Attributes:
        labels: Level of an axis, or environment -> its name on pages. No hash depends on it.
        looks: Numbers of seeds at which primary comparisons are looked at until they are decided, the first of them
            `seeds`; empty where all recipes have `seeds` seeds.
        models: Models that were trained elsewhere, in place of training.
        ensemble: Whether the networks of a seed's folds answer together, by their mean probability, in environments of
            other sets.
        differences: Differences between this study and the publication that it follows, as sentences for its page.
        published: Published tables beside which `assay results --as-published` puts the study's own figures.
        written: The study file with its scale and overrides, from which this is parsed. No hash depends on it.
        command: What runs it; empty of a mapping, and with overrides. No hash depends on it.
        file: The file that it was read from; empty of a mapping, and of a built-in study. No hash depends on it.
    """

    name: str
    question: str = ""
    labels: Annotated[Mapping[str, str], Field(exclude_if=lambda labels: not labels)] = {}
    data: DataSpec
    sources: Mapping[str, SourceSpec] = {}
    points: tuple[RecipePoint, ...]
    axes: Mapping[str, tuple[str, ...]] = {}  # axis name -> labels in order of the spec
    seeds: Annotated[int, Field(ge=1, le=1000)] = 5
    first_seed: Annotated[int, Field(ge=0)] = 0  # a pilot takes seeds that the study it serves does not
    probes: tuple[Component, ...] = ()
    contrasts: tuple[ContrastSpec, ...] = ()
    keep: Literal["all", "none"] = "all"
    looks: Annotated[tuple[int, ...], Field(exclude_if=lambda looks: not looks)] = ()
    models: Annotated[tuple[GivenWeights, ...], Field(exclude_if=lambda models: not models)] = ()
    ensemble: Annotated[bool, Field(exclude_if=lambda ensemble: not ensemble)] = False
    differences: Annotated[tuple[str, ...], Field(exclude_if=lambda differences: not differences)] = ()
    published: Annotated[tuple[PublishedTable, ...], Field(exclude_if=lambda published: not published)] = ()
    written: Annotated[Mapping[str, Any], Field(exclude=True)] = {}
    command: Annotated[str, Field(exclude=True)] = ""
    file: Annotated[str, Field(exclude=True)] = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """The file that it was read from, if any."""
        return (Path(self.file),) if self.file else ()

    @model_validator(mode="after")
    def _one_task(self) -> StudySpec:
        if len({point.recipe.task for point in self.points}) > 1:
            raise ValueError(
                "recipes of both tasks stand side by side, whose answers cannot be compared: keep one task"
            )
        return self

    @property
    def task(self) -> Task:
        """Return the task of all recipes."""
        return self.points[0].recipe.task if self.points else "classification"

    @property
    def most_seeds(self) -> int:
        """Return the seeds that a recipe has at most."""
        return self.looks[-1] if self.looks else self.seeds

    @property
    def training_hash(self) -> str:
        """Return the hash of all that is trained; the order of grid points does not change it."""
        points = [{"recipe": point.recipe.canonical(), "train": point.train.for_training()} for point in self.points]
        hashes = sorted(content_hash(point) for point in points)
        parts = {"data": self.data.for_training(), "points": hashes, "seeds": self.seeds, "first_seed": self.first_seed}
        sources = {name: source.canonical() for name, source in self.sources.items()}
        models = [model.model_dump(exclude={"path"}) for model in self.models]
        more = {"sources": sources} if sources else {}
        return content_hash({**parts, **more, **({"models": models} if models else {})})

    def given(self, point: RecipePoint, seed: int) -> tuple[GivenWeights, ...]:
        """Return the files of one recipe and seed that were trained elsewhere, by fold."""
        weights = point.recipe.given
        files = [
            model
            for model in self.models
            if weights is not None
            and model.point == weights.of
            and model.network in ("", weights.network)
            and model.seed == seed
        ]
        return tuple(sorted(files, key=lambda file: file.fold))

    @property
    def probe_hash(self) -> str:
        """Return the hash of the probes, and of the environments and images that models are tested on."""
        tests = [{name: environment.canonical() for name, environment in point.tests.items()} for point in self.points]
        hashes = sorted({content_hash(environments) for environments in tests})
        probes = sorted(content_hash(probe.canonical()) for probe in self.probes)
        more = {"ensemble": True} if self.ensemble else {}
        return content_hash({"data": self.data.without_words().canonical(), "tests": hashes, "probes": probes, **more})

    @property
    def contrast_hash(self) -> str:
        """Return the hash of the contrasts, in any order, which are Holm's family, and of the looks at them."""
        contrasts = sorted(content_hash(contrast.canonical()) for contrast in self.contrasts)
        return content_hash({"contrasts": contrasts, "looks": self.looks} if self.looks else contrasts)
