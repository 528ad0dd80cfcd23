"""Request of an audit: the model, the images, and what is done with them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, BeforeValidator, field_validator, model_validator

from assay.core.errors import SpecError, remove_unseen, shorten
from assay.core.files import IN_MEMORY
from assay.core.request import (
    ColumnName,
    ColumnNames,
    CommandRequest,
    DataRequest,
    Numbers,
    Option,
    ScoreScale,
    Task,
    Text,
    Texts,
    device_in,
    names,
    seconds,
)

MAX_COLUMNS_NAMED = 8
"""Most untested columns that a line names."""
DEFAULT_BUDGET = 15_000
"""Default budget: images that an audit puts through the model at most."""
FULL_BUDGET = 90_000
"""Budget from which on all distortions of the domain are read at all severities, and each mark at all doses."""
SCALINGS = ("0..1", "imagenet", "-1..1", "0..255", "-1024..1024", "caffe", "image-minmax", "image-zscore")
"""Names of usual scalings of pixels; `model.SCALINGS` has their numbers."""
FIELDS_OF_PREDICTIONS = frozenset({
    "model", "target", "positive", "patient", "image", "columns", "score", "scores", "threshold", "margin", "domain",
    "intended_use", "policy", "out", "skip_bad_rows", "as_given",
})  # fmt: skip
"""Fields that an audit of predictions uses."""
FIELDS_NOT_OF_COMMANDS = frozenset({"weights", "trust", "device"})
FIELDS_NOT_OF_MASKS = frozenset({"positive", "threshold", "output", "head", "references", "networks"})
Head = Literal["auto", "sigmoid", "softmax"]


def _columns_of_target(target: Any) -> Any:
    """Return the column of the class, or those of all outputs, as headers have them."""
    if isinstance(target, list | tuple):
        return [_columns_of_target(column) for column in cast("Sequence[Any]", target)]
    return remove_unseen(target) if isinstance(target, str) else target


def parse_expected(text: str) -> float:
    """Return an AUROC or Dice, as `0.97` or `auroc=.97`. Raises ValueError for others.

    Examples:
        >>> parse_expected("0.97"), parse_expected("auroc=.97"), parse_expected("Dice=0.8")
        (0.97, 0.97, 0.8)
    """
    name, _, value = text.rpartition("=")
    try:
        if name.lower() in ("", "auroc", "dice"):
            return float(value)
    except ValueError:
        pass
    raise ValueError(f"expected such as 0.97 or auroc=0.97, not {shorten(text)}")


def numbers(text: str) -> tuple[float, ...]:
    """Return numbers between commas. Raises ValueError for others."""
    try:
        return tuple(float(part) for part in text.split(",") if text)
    except ValueError:
        raise ValueError(f"expected numbers such as 0.5 or 0.485,0.456,0.406, not {shorten(text)}") from None


def marks_in(path: str) -> Mapping[str, Any]:
    """Return the marks that a file lists. Raises SpecError for a file of another shape."""
    from assay.spec.yaml import read_yaml

    values = read_yaml(Path(path)).values
    if not values or not all(isinstance(doses, list) for doses in values.values()):
        raise SpecError(
            f"{Path(path).name}: expected marks with three strengths, such as label: [{{tag: {{size: 0.1}}}}, "
            "{tag: {size: 0.15}}, {tag: {size: 0.2}}]"
        )
    return values


def normalization_words(mean: Sequence[float], std: Sequence[float]) -> str:
    """Return a scaling of images in words."""
    return ", ".join(
        f"{name} {', '.join(f'{number:g}' for number in part)}" for name, part in (("mean", mean), ("std", std))
    )


class ModelRequest(DataRequest):
    """A model that was trained elsewhere, its images, and how both are read.

    Attributes:
        factory: Returns the network that a file of weights belongs to.
        task: Classification of images, or segmentation: pixels are called at 0.5, and an image's class is whether it
            has a lesion.
        seed: Seed of the choice of images, and of probes' own draws.
        name: Name of the model on pages.
        progress: Whether reading is shown.
    """

    model: Annotated[
        Any,
        Option(
            "A model's file, the folder of a trial, timm:NAME or module:function, or a CSV of predictions.",
            "MODEL",
            argument=True,
        ),
    ] = ""
    data: Annotated[Any, Option("A CSV with a row per image, or a folder with one.", "PATH", "--images")] = ""
    factory: Any = None
    weights: Annotated[Text, Option("Weights of a named network.", "FILE")] = ""
    trust: Annotated[
        bool, Option("Allow code of the model (TorchScript, .pt2, module:function) or of --marks to run.")
    ] = False
    time_limit: Annotated[float, Option("Time limit per image.", "TIME", parse=seconds, text="60s")] = 60.0
    memory: Annotated[
        float, Option("Limit on main memory: of a model, beyond its own size; of a command, in total.", "GB")
    ] = 4.0
    device: Annotated[str, Option("For a model in a file: cpu, cuda, cuda:N or auto.", "NAME", parse=device_in)] = "cpu"
    command: Annotated[str, Option("Any program: 'python predict.py {images} {scores}', or {masks}.", "LINE")] = ""
    size: Annotated[int, Option("Side length of the model's input images, in pixels.", "PX", shown=False)] = 0
    fit: Annotated[
        Literal["", "pad", "squash", "crop"],
        Option("How images are made square: pad (default), squash or crop.", "HOW"),
    ] = ""
    channels: Annotated[
        Literal["", "gray", "color"], Option("gray or color; default: that of most images.", "KIND")
    ] = ""
    scaling: Annotated[
        str,
        Option(
            "Scaling of pixels: 0..1, imagenet, -1..1, 0..255, -1024..1024, caffe, image-minmax or image-zscore.",
            "NAME",
        ),
    ] = ""
    mean: Annotated[
        Numbers,
        Option(
            "Mean subtracted from pixels in 0..1 in training: one number, or one per channel.",
            "M,M,M",
            parse=numbers,
            text="",
        ),
    ] = ()
    std: Annotated[
        Numbers, Option("Standard deviation used in training, in the form of --mean.", "S,S,S", parse=numbers, text="")
    ] = ()
    output: Annotated[Text, Option("The output to audit, by position or name; all: each, by its column.", "N")] = ""
    expect: Annotated[
        float | None,
        Option("The AUROC (or Dice) that you expect, such as auroc=0.97.", "AUROC", parse=parse_expected),
    ] = None
    out: Annotated[Path | None, Option("The run folder; default: audits/MODEL.", "FOLDER", "--out", "-o")] = None
    skip_bad_rows: Annotated[bool, Option("Leave out bad rows; the report lists them.")] = False
    follow_links: Annotated[bool, Option("Read images that links lead to, outside the folder.")] = False
    task: Task = "classification"
    seed: int = 0
    name: str = ""
    progress: bool = True

    @property
    def keys(self) -> dict[str, Any]:
        """Further keys of `data` of a study, as far as they are given."""
        links = "follow" if self.follow_links else ""
        keys = {"size": self.size, "fit": self.fit, "channels": self.channels, "links": links}
        return {name: value for name, value in keys.items() if value}

    @property
    def normalization(self) -> str:
        """The scaling of images in words; empty where none is given."""
        return normalization_words(self.mean, self.std) if self.mean else self.scaling

    @field_validator("scaling")
    @classmethod
    def _check_scaling(cls, name: str) -> str:
        if name and name not in SCALINGS:
            raise SpecError(f"scaling '{shorten(name)}': expected one of {', '.join(SCALINGS)}")
        return name

    @model_validator(mode="after")
    def _check_normalization(self) -> Self:
        if self.mean or self.std:
            if self.scaling:
                raise SpecError("scaling, mean: give one of them")
            if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
                raise SpecError("mean, std: give both, one number or three each, such as 0.485,0.456,0.406")
            if not all(isfinite(number) for number in (*self.mean, *self.std)) or min(self.std) <= 0:
                raise SpecError(f"std {shorten(str(self.std))}: expected numbers above 0")
        return self


class ProbeRequest(ModelRequest):
    """A request to probe a model. Fields are those of `assay.probe`.

    Attributes:
        probes: As `probes` of a study.
        environments: As those of a study to test on; by default all rows, as `all`.
        validation: As `data`, images that set the thresholds of the model.
        layers: Dotted names of modules to read.
        scores: Whether the model gives logits or probabilities.
        threshold: Threshold on the probability of the second of two classes.
        preprocessing: Whether the config of a timm model is used; by default with a warning.
        time_limit: Seconds that an image may take; 0 to read a file in this process.
    """

    probes: Annotated[tuple[Any, ...], BeforeValidator(tuple)] = ("performance",)
    environments: Mapping[str, Any] | None = None
    validation: Any = None
    layers: Texts = ()
    scores: Literal["logits", "probabilities"] = "logits"
    threshold: float | None = None
    preprocessing: Literal["config", "none"] | None = None
    time_limit: float = 0.0


class AuditRequest(ModelRequest):
    """A request of an audit. Fields with an option are those of `assay audit`.

    Attributes:
        target: The class; with `output="all"`, the column of each output.
        networks: How many reference networks are trained, in place of a folder of `references`.
        train: As `data`, the images that the model was trained on.
        environment: What images are shown, as an environment of a study; as they are where None.
        distortions: Distortions in place of the battery's.
        leads: Whether unknown shortcuts are searched for: regions, what some images carry, and leads.
        elsewhere: Whether marks are also tried at other places, and with the leading region neutralized.
        shipped: Whether the shipped reference of the domain is used where no folder is given.
    """

    target: Annotated[Any, AfterValidator(_columns_of_target), DataRequest.options()["target"]] = ""
    mask: Annotated[ColumnName, Option("Column of the mask file: the model is a segmentation network.", "COLUMN")] = ""
    columns: Annotated[ColumnNames, Option("Columns to audit, such as view,sex.", "A,B", parse=names, text="")] = ()
    score: Annotated[
        ColumnName, Option("Column of the score, for predictions; by default found by its name.", "COLUMN")
    ] = ""
    scores: Annotated[
        ScoreScale,
        Option("probabilities, percent or logits; found from all scores by default.", "KIND"),
    ] = "auto"
    outputs: Annotated[
        Texts,
        Option("Class of each output, in order; by default the names in the model.", "A,B", parse=names, text=""),
    ] = ()
    head: Annotated[Head, Option("Several outputs: sigmoid (independent) or softmax.", "KIND")] = "auto"
    threshold: Annotated[
        float | str | None, Option("A probability, or sensitivity=0.95; 0.5 by default.", "P", parse=str)
    ] = None
    domain: Annotated[str, Option("Kind of image, such as chest-xray; it determines the marks.", "NAME")] = ""
    marks: Annotated[
        Mapping[str, Any] | None,
        Option("Your own marks instead of those of --domain: YAML, three strengths of each.", "FILE", parse=marks_in),
    ] = None
    references: Annotated[
        Path | None,
        Option(
            "Reference networks without a shortcut: a number to train (59 or more), or a folder of audits.",
            "N|FOLDER",
            parse=str,
        ),
    ] = None
    networks: int = 0
    train: Annotated[
        Any, Option("The training images, in the form of --images; shortcuts are searched for in them.", "PATH")
    ] = None
    environment: Mapping[str, Any] | None = None
    labels: Annotated[
        Text, Option("Labels of a folder's images, by file name, SOPInstanceUID or AccessionNumber.", "CSV")
    ] = ""
    margin: Annotated[float, Option("The smallest effect that matters.", "M")] = 0.05
    budget: Annotated[
        int, Option("Approximate maximum number of images that the model reads; 90000: all tests in full.", "N")
    ] = DEFAULT_BUDGET
    intended_use: Annotated[str, Option("Intended use, for the page and the model card.", "TEXT")] = ""
    as_given: Annotated[bool, Option("Continue even if pixels or classes seem to be read wrongly.")] = False
    policy: Annotated[Path | None, Option("Forbidden verdicts; exit code 3 where one is found.", "FILE")] = None
    pictures: Annotated[bool, Option("Omit images from the page.", "", "--no-pictures")] = True
    distortions: Texts | None = None
    shipped: bool = True
    leads: bool = True
    elsewhere: bool = True

    @property
    def named(self) -> dict[str, Any]:
        """What is named of the images, as arguments of `data_of`."""
        return {**super().named, "columns": self.columns}

    @property
    def values(self) -> dict[str, Any]:
        """The request as the run folder stores it, with names of fields as keys; without the folder and objects."""
        model = {"model": str(self.model)} if isinstance(self.model, str | Path) else {}
        omitted = {"out", "policy", "model", "factory", "progress"}
        return model | self.model_dump(mode="json", exclude=omitted, fallback=str)

    @property
    def probe_request(self) -> ProbeRequest:
        """The request to read the images. The kind of scores and the threshold are found later, from all scores."""
        shared = {name: getattr(self, name) for name in ModelRequest.model_fields}
        return ProbeRequest(**shared, environments={"all": self.environment or {}})

    @property
    def line(self) -> str:
        """The command of this audit without its run folder, with placeholders for a model and images in memory."""
        changes: dict[str, Any] = {"data": _typed_images(self.data, "IMAGES", joined=bool(self.labels))}
        data = _entries(self.data)
        if not {"classes", "guessed"} & data.keys():
            names = ("positive", "patient", "image", "mask", *(() if self.mask else ("target",)))
            changes |= {name: str(data[name]) for name in names if data.get(name)}
        if self.train is not None:
            changes["train"] = _typed_images(self.train, "TRAIN")
        if self.networks:
            changes["references"] = str(self.networks)
        request = self.with_changes(**changes, model=self.model if isinstance(self.model, str | Path) else "")
        model = "" if request.model or self.command else "MODEL "
        return f"assay audit {model}{request.typed('out', 'policy')}"

    @property
    def is_full(self) -> bool:
        """Whether the budget suffices for the full battery."""
        return self.budget >= FULL_BUDGET

    @model_validator(mode="before")
    @classmethod
    def _derive_fields(cls, values: Any) -> Any:
        """Set the task where masks are named, and the number of networks where `references` is one."""
        derived: dict[str, Any] = {"task": "segmentation"} if values.get("mask") else {}
        if str(values.get("references", "")).isdecimal():
            derived |= {"references": None, "networks": int(str(values["references"]))}
        return {**values, **derived}

    @field_validator("margin")
    @classmethod
    def _check_margin(cls, margin: float) -> float:
        if not 0 < margin < 0.5:
            raise SpecError(f"margin {margin:g}: expected a number between 0 and 0.5")
        return margin


FEW_PATIENTS = 20
"""Effective patients of a class below which intervals can be too narrow."""
FEW_PATIENTS_TEXT = "few patients: intervals can be too narrow; effective patients of a class"
"""Text of the check of an audit of fewer."""


def untested_words(columns: Sequence[str]) -> str:
    """Return columns that an audit does not test, with what to type; empty without any."""
    names_shown = [*columns[:MAX_COLUMNS_NAMED], *(["..."] if len(columns) > MAX_COLUMNS_NAMED else [])]
    typed_names = shlex.quote(",".join(columns[:MAX_COLUMNS_NAMED]))
    return f"{', '.join(names_shown)}; to test them: --columns {typed_names}" if columns else ""


def _entries(data: Any) -> Mapping[str, Any]:
    """Return the entries of images that are given as `data` of a study; none of others."""
    return cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else {}


def _typed_images(data: Any, placeholder: str, *, joined: bool = False) -> str:
    """Return the path of images that are given as a path or as `data` of a study; a placeholder for others.

    joined: whether the table is of labels that were joined with a folder.
    """
    if isinstance(data, str | Path):
        return str(data)
    values = _entries(data)
    folder = Path(values.get("classes") or values.get("folder") or "")
    if folder == Path() or IN_MEMORY in folder.parts:
        return placeholder
    table = folder / str(values.get("table", ""))
    joined |= IN_MEMORY in table.parts  # of one-hot columns, a table of classes was made
    return str(folder if joined or "classes" in values or not values.get("table") else table)


class AuditsRequest(CommandRequest):
    """A request of `assay audit compare`."""

    a: Annotated[Path, Option("Folder of an audit.", "A", argument=True)]
    b: Annotated[Path, Option("Folder of another audit of the same images.", "B", argument=True)]
    out: Annotated[Path | None, Option("Write a page and its table there.", "FOLDER", short="-o")] = None
    as_json: Annotated[bool, Option("Print JSON for machines.", "", "--json")] = False

    @property
    def names(self) -> tuple[str, str]:
        """Names of the audits for readers."""
        return (self.a.name, self.b.name) if self.a.name != self.b.name else (str(self.a), str(self.b))
