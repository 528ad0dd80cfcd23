"""Python API: load a study, change it, run it, read tables and models; probe an existing model."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import InitVar, dataclass, field
from functools import partial, wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

from assay.audit.kind import AUDIT, MODEL
from assay.audit.request import AuditRequest, ProbeRequest
from assay.compare.request import CompareRequest
from assay.core.errors import AssayError, SpecError, as_written
from assay.core.request import ScoreScale, field_of
from assay.look.request import LookRequest
from assay.spec.given import count_trials
from assay.spec.parse import locate_errors, parse_study, refuse_unknown_keys
from assay.spec.schema import StudySpec
from assay.stats.format import count
from assay.store.find import resolve_folder
from assay.store.folder import EARLIER_TABLES, RunFolder
from assay.study.opened import read_document

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import nn

    from assay.compare.run import CompareEstimates
    from assay.data.files.in_memory import InMemoryRows
    from assay.models.ref import Model, Origin
    from assay.report.notebook import Chart
    from assay.spec import schema
    from assay.study.finished import Result

    Data = str | Path | pd.DataFrame | InMemoryRows | Mapping[str, Any]
    Values = Sequence[Any] | np.ndarray | pd.Series[Any]
    Fit = Literal["", "pad", "squash", "crop"]
    Channels = Literal["", "gray", "color"]
    Unmatched = Literal["refuse", "drop"]
    Unmasked = Literal["refuse", "lesion-free", "leave-out"]


Given = ParamSpec("Given")
RunT = TypeVar("RunT")


def _in_python(act: Callable[Given, RunT]) -> Callable[Given, RunT]:
    """Let errors of a function name its keywords, where those of the command line name options."""
    parameters = signature(act).parameters

    def as_keyword(key: str, value: str) -> str:
        name = field_of(key)
        return as_written(key, value) if name not in parameters else f"{name}={value}" if value else name

    @wraps(act)
    def function(*args: Given.args, **kwargs: Given.kwargs) -> RunT:
        with AssayError.spelled(as_keyword):
            return act(*args, **kwargs)

    return function


@_in_python
def load(source: str | Path | Mapping[str, Any], *, scale: str | None = None) -> Study:
    """Load a study by built-in name, YAML file, or plain values, at one of its scales.

    Args:
        source: Name of a built-in study, path of a YAML file, or the same content as a mapping.
        scale: Name of one of its scales, such as `quick`.

    Returns:
        The study, checked.

    Raises:
        SpecError: The study is wrong; the message names the place.

    Examples:
        >>> import assay
        >>> study = assay.load("nodule-loss", scale="quick")
        >>> study.spec.name, study.spec.seeds
        ('nodule-loss', 12)
    """
    study = Study(source if isinstance(source, Mapping) else str(source), scale=scale)
    _ = study.spec
    return study


def _with_files(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study whose `data` is kept as files where it is in memory, with what it does not name guessed."""
    data = study.get("data")
    if isinstance(data, Mapping) and "tests" in data:
        sets = cast("Mapping[str, Any]", data)
        if not isinstance(sets["tests"], Mapping):
            return dict(study)  # which is refused with its place
        from assay.data.files.in_memory import on_disk

        # A set to test on has what it does not name from the training set.
        tests = {
            name: on_disk(test, f"tests.{name}") for name, test in cast("Mapping[str, Any]", sets["tests"]).items()
        }
        return {**study, "data": {**sets, "train": _with_files({"data": sets.get("train")})["data"], "tests": tests}}
    if (
        data is None
        or isinstance(data, str | os.PathLike)
        or (isinstance(data, Mapping) and _is_plain(cast("Mapping[str, Any]", data)))
    ):
        return dict(study)  # the usual case, without the libraries that read images
    from assay.data.files.request import data_of

    return {**study, "data": data_of(data).data}


def _is_plain(data: Mapping[str, Any]) -> bool:
    return isinstance(data.get("table", ""), str) and isinstance(data.get("factors", {}), Mapping)


@_in_python
def compare(
    data: Data,
    by: str,
    *,
    target: str = "",
    score: str = "",
    positive: str = "",
    patient: str = "",
    image: str = "",
    seed: str = "",
    fold: str = "fold",
    against: str = "",
    measure: str = "auroc",
    margin: float | None = None,
    threshold: float = 0.5,
    scores: ScoreScale = "auto",
    unmatched: Unmatched = "refuse",
    as_given: bool = False,
    out: str | Path | None = None,
) -> CompareEstimates:
    """Compare predictions that were made elsewhere, as the contrasts of a study are.

    Args:
        data: A CSV, a data frame or a list of dicts with a row per image, recipe and seed.
        by: The column that is compared, such as the loss.
        target: The class, one of two; by default the column that is named like one, as are the next five.
        score: Score of the positive class.
        positive: Name of the positive class; not needed where the classes are 0 and 1.
        patient: The patient; each image is one where there is no such column.
        image: The image, by which seeds and recipes are paired.
        seed: Seed of the training, by which recipes are paired.
        fold: Fold whose model answered; the column may be absent.
        against: The reference; the first recipe if empty.
        measure: A measure of classification, see `assay list measure`.
        margin: Largest difference that does not matter, in units of the measure.
        threshold: Probability from which an image is called positive.
        scores: probabilities, percent or logits; by default found from all scores of a recipe.
        unmatched: Whether over a tenth of the images that a recipe lacks are refused, or dropped.
        as_given: Go on where the scores seem to be those of the predicted class.
        out: The folder that gets a page and its tables.

    Returns:
        Estimates and comparisons, as tuples of rows of the tables of a study.

    Raises:
        DataError: Rows contradict each other.
        SpecError: A name is unknown.

    Examples:
        Three seeds of two losses; one calls 10 of 40 images wrongly, the other none:

        >>> import assay
        >>> rows = [{"loss": loss, "seed": seed, "image": i, "target": i % 2, "score": abs(i % 2 - (i < wrong))}
        ...         for loss, wrong in {"triplet": 10, "supcon": 0}.items() for seed in range(3) for i in range(40)]
        >>> compared = assay.compare(rows, by="loss", measure="accuracy")
        >>> [(row["recipe"], row["value"]) for row in compared.estimates]
        [('triplet', 0.75), ('supcon', 1.0)]
        >>> [(row["value"], row["p"] < 0.05) for row in compared.contrasts]  # supcon less triplet
        [(0.25, True)]
    """
    request = CompareRequest(**locals())
    from assay.compare.predictions import read_predictions
    from assay.compare.run import CompareRun, compare_predictions

    read = read_predictions(request)
    compared = compare_predictions(read, request)
    if request.out is not None:
        from assay.execution.local import InProcess
        from assay.execution.run import carry_out

        carry_out(CompareRun(request.without_data("data"), read, request.out.name), request.out, InProcess())
    return compared


@_in_python
def validate(
    data: Data | Values,
    y_score: Values | None = None,
    *,
    other: Data | Values | None = None,
    groups: pd.DataFrame | Sequence[str] = (),
    patient: str | Values = "",
    threshold: float | str = "",
    calls: str = "",
    threshold_from: str | Path | Sequence[str | Path] = (),
    recalibrate_from: str | Path | Sequence[str | Path] = (),
    prevalence: float | str | Sequence[float] = (),
    true_prevalence: float | None = None,
    margin: float | None = None,
    plan: float | None = None,
    by: str = "",
    rule: Literal["max", "mean"] = "max",
    target: str = "",
    score: str = "",
    positive: str = "",
    as_given: bool = False,
    image: str = "",
    scores: ScoreScale = "auto",
    out: str | Path | None = None,
) -> dict[str, pd.DataFrame]:
    """Validate scores of one model, or of two on the same cases, with intervals over patients.

    Args:
        data: A CSV or a data frame with a row per case; or the classes of cases, before their scores.
        y_score: Scores of the positive class, where `data` has the classes.
        other: Scores of another model: of the same cases in the same order, or a CSV or data frame.
        groups: Names of columns of groups, such as `sex` or `sex*site`; a data frame of them where `data` has the
            classes. By default all columns of few values.
        patient: Name of the column of patients, or the patient of each case.
        threshold: Score from which a case is called positive, or `sensitivity=0.9`.
        calls: The column of calls, 0 or 1, of data without scores.
        threshold_from: A CSV of other cases, on which a threshold is set; for two models, one for each.
        recalibrate_from: A CSV of other cases, on which probabilities are recalibrated; for two models, one for each.
        prevalence: Prevalences for PPV and NPV, as text such as `0.02,0.1` too.
        true_prevalence: Prevalence where the model is used; calibration and net benefit are weighted to it.
        margin: Largest difference of two models that does not matter.
        plan: Half-width, or of two models difference, for which the patients that are needed are computed.
        by: Column whose rows are joined, such as `exam`.
        rule: How their scores are joined.
        target: The column of classes; by default the one that is named like one, as are the next three.
        score: The column of scores.
        positive: The positive class.
        as_given: Go on where the scores seem to be those of the other class.
        image: The column that names cases.
        scores: probabilities, percent or logits; by default found from all scores.
        out: The folder of the page; by default `validations/NAME`.

    Returns:
        Tables by name, such as `performance` and `differences`; `report.html` is in the folder.

    Raises:
        DataError: The two are not of the same cases.
        SpecError: A name is unknown.

    Examples:
        Five of the six pairs of a positive and a negative case are in the right order:

        >>> import assay
        >>> tables = assay.validate([0, 0, 1, 1, 1], [0.1, 0.4, 0.35, 0.8, 0.9])
        >>> round(float(tables["performance"].set_index("measure").value["auroc"]), 3)
        0.833
    """
    import pandas as pd

    from assay.validate.request import ValidateRequest
    from assay.validate.run import run_validation

    column = patient if isinstance(patient, str) else "patient"
    columns = tuple(map(str, groups))  # a frame yields the names of its columns
    if y_score is not None:
        data, other = _frames_of_scores(data, y_score, other, groups, patient)
        image, target, score = "case", "target", "score"
    request = ValidateRequest(
        file=data,
        other=other,
        patient=column,
        threshold=str(threshold),
        calls=calls,
        threshold_from=_as_paths(threshold_from),
        recalibrate_from=_as_paths(recalibrate_from),
        prevalence=cast("tuple[float, ...]", prevalence),
        true_prevalence=true_prevalence,
        margin=margin,
        plan=plan,
        by=by,
        rule=rule,
        groups=columns,
        target=target,
        score=score,
        positive=positive,
        as_given=as_given,
        image=image,
        scores=scores,
        out=None if out is None else Path(out),
    )
    folder = RunFolder(run_validation(request))
    return {name: pd.DataFrame(folder.table(name)) for name in folder.tables}


def _frames_of_scores(
    classes: Data | Values,
    y_score: Values,
    other: Data | Values | None,
    groups: pd.DataFrame | Sequence[str],
    patient: str | Values,
) -> tuple[pd.DataFrame, Data | Values | None]:
    """Return a row per case with its class and score, and the same of another model whose scores are values."""
    import pandas as pd

    from assay.validate.predictions import cases_in_memory

    columns: dict[str, Any] = {"y_true": classes, "y_score": y_score}
    is_values = not (other is None or isinstance(other, str | os.PathLike | pd.DataFrame))
    columns |= {"other": other} if is_values else {}
    if not isinstance(patient, str):
        columns["patient"] = patient
    if isinstance(groups, pd.DataFrame):
        named = {str(name): groups[name] for name in groups}
        if taken := [*({*columns, "case", "target", "score", "other"} & named.keys())]:
            raise SpecError(f"groups: a column has the name '{min(taken)}', which stands for another one: rename it")
        columns |= named
    frame = cases_in_memory(**columns).rename(columns={"y_true": "target", "y_score": "score"})
    frame.insert(0, "case", range(len(frame)))
    if not is_values:
        return frame, other
    return frame.drop(columns="other"), frame.assign(score=frame["other"]).drop(columns="other")


def _as_paths(sources: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    return (Path(sources),) if isinstance(sources, str | Path) else tuple(map(Path, sources))


@dataclass(frozen=True)
class Study:
    """A study that can be changed, looked at and run. Changing it gives a new one.

    Attributes:
        source: As for `load`; `data` may be in memory: a data frame, a dataset of PyTorch or a list of dicts, alone or
            as the `table` of a mapping.
        changes: Dotted places with their values, in order.
        scale: Name of the scale, if any.
        train: The training set, as `data`, in place of `source["data"]`.
        tests: Name -> another set to test on, as `data`. Each is a test environment, as is `found`, the training set's
            own test rows, unless the source has environments.

    Examples:
        >>> import assay
        >>> study = assay.Study("nodule-loss", scale="quick")
        >>> study.set("seeds", 3).spec.seeds, study.spec.seeds
        (3, 12)
    """

    source: str | Mapping[str, Any] = field(default_factory=dict[str, Any])
    changes: tuple[tuple[str, Any], ...] = ()
    scale: str | None = None
    train: InitVar[Any] = None
    tests: InitVar[Mapping[str, Any] | None] = None

    def __post_init__(self, train: Any, tests: Mapping[str, Any] | None) -> None:
        """Replace tables and images in memory by folders, once."""
        if tests is not None or train is not None:
            if isinstance(self.source, str) or "data" in self.source:
                raise SpecError("train and tests are for a mapping without `data`; write them in that `data`")
            if not isinstance(tests, Mapping) or train is None:
                raise SpecError("give both: train, a set as in `data`, and tests, a mapping of names to other sets")
            if own := {"train", "found"} & {*tests}:
                raise SpecError(f"tests: '{own.pop()}' names rows of the training set; give the other set another name")
            environments = {"train": {}, "found": {}, **{name: {"data": name} for name in tests}}
            usual = {"name": "study", "environments": environments, "data": {"train": train, "tests": dict(tests)}}
            object.__setattr__(self, "source", {**usual, **self.source})
        if isinstance(self.source, Mapping):
            object.__setattr__(self, "source", _with_files(self.source))

    @property
    def spec(self) -> StudySpec:
        """The checked study with its grid. The same study from YAML has the same trial ids."""
        return parse_study(read_document(self._written()), overrides=self.changes, scale=self.scale)

    def set(self, place: str, value: Any) -> Study:
        """Return the study with one field changed; where the field may vary, a list makes it an axis.

        Args:
            place: Dotted place of the field.
            value: Any value that a mapping given to `load` may hold, including a path, a NumPy number or your own
                class. Its consistency with the rest of the study is checked on use, since the next change may repair
                it.

        Raises:
            SpecError: No study has such a field; the message names the nearest one.

        Examples:
            >>> import assay
            >>> assay.load("nodule-loss").set("recipe.batch_size", [32, 64]).changes
            (('recipe.batch_size', [32, 64]),)
        """
        value_on_disk = _with_files({place: value})[place]
        changed = Study(self.source, (*self.changes, (place, value_on_disk)), self.scale)
        refuse_unknown_keys(read_document(changed._written()), changed.changes, self.scale)
        return changed

    def _repr_html_(self) -> str:
        """Return the question and the design, for a notebook."""
        from assay.report.notebook import notebook_html

        try:
            spec = self.spec
        except SpecError as error:
            return notebook_html("study", "The study is wrong.", str(error).splitlines())
        folds = [f"{spec.data.split.folds} folds"] if spec.data.split.folds else []
        design = [count(len(spec.points), "recipe"), count(spec.seeds, "seed"), *folds]
        runs = count(count_trials(spec), "training run")
        facts = [
            f"{' × '.join(design)}: {runs}",
            *(f"{axis}: {', '.join(levels)}" for axis, levels in spec.axes.items()),
            f"Tested on {', '.join(dict.fromkeys(name for point in spec.points for name in point.tests))}",
            f"Probes: {', '.join(probe.label for probe in spec.probes)}",
        ]
        return notebook_html(spec.name, spec.question or spec.name, facts)

    def _written(self) -> str | Mapping[str, Any]:
        """The source, which whoever reads it may change."""
        return copy.deepcopy(dict(self.source)) if isinstance(self.source, Mapping) else self.source

    def run(
        self,
        out: str | Path = "runs",
        *,
        workers: int | None = None,
        device: str = "auto",
        skip_bad_rows: bool = False,
        progress: bool = True,
        looks: Sequence[int] = (),
    ) -> Run:
        """Train and probe the missing units, compare, and write the page. Trials that fail are kept in the tables.

        A warning names failed tasks. After an interrupt, the same call goes on.

        Args:
            out: Folder that holds the run folder.
            workers: Worker processes, one per core when None; 0 runs in this process, which suits notebooks.
            device: `auto` (the first GPU, else the processor), `cpu`, `cuda` or `cuda:N`; no part of the study.
            skip_bad_rows: Leave out rows that cannot be read, and list them on the page, instead of raising DataError.
            progress: Show progress in the terminal.
            looks: Numbers of seeds, such as (10, 20, 40), at which primary comparisons are tested until they are
                decided; they replace the study's number of seeds.

        Returns:
            The finished run.

        Raises:
            SpecError: The study is wrong.
            DataError: Rows cannot be read.
            KeyboardInterrupt: The run was interrupted; all records are safe.

        Examples:
            Training takes minutes, and on a processor longer:

                run = assay.load("nodule-loss", scale="quick").run("runs", workers=2)
                run.table("contrasts")
                run.report()  # Path("runs/nodule-loss-quick/report.html")
        """
        from assay.execution.engines import stop_file
        from assay.execution.local import choose_device, executor_for
        from assay.execution.progress import display_for, show_reading, stage_printer
        from assay.execution.run import observe_nothing
        from assay.execution.tasks import Observer, Task
        from assay.store.layout import require_writable, run_folder
        from assay.study.run import PreparedStudy, prepare, run_study

        spec = parse_study(
            read_document(self._written()),
            overrides=self.changes,
            scale=self.scale,
            looks=tuple(looks),
            skip_bad_rows=skip_bad_rows,
        )
        root = run_folder(spec.name, self.scale, Path(out))
        require_writable(root)
        where = choose_device(device)
        executor, hired = executor_for(workers, where, stop_file=stop_file(root))
        before = dict[str, int]()

        def prepared() -> PreparedStudy:
            located = locate_errors(partial(read_document, self._written()), self.changes, self.scale)
            nonlocal before
            with show_reading(quiet=not progress) as on_progress, located:
                planned = prepare(spec, root, skip_bad_rows=skip_bad_rows, device=where, on_progress=on_progress)
            before = planned.tasks_before
            return planned

        def shown(tasks: Sequence[Task]) -> AbstractContextManager[Observer]:
            return display_for(tasks, hired, as_json=False, before=before)

        watch = shown if progress else observe_nothing
        result = run_study(prepared(), watch, executor, stage_printer(not progress), prepared)
        if result.stopped:
            raise KeyboardInterrupt
        if result.failed:
            failed = count(result.failed, "task")
            text = f"{failed} failed: table('trials') and the page say why, and running again tries again"
            warnings.warn(text, stacklevel=2)
        return Run(root, result)


@dataclass(frozen=True)
class Run:
    """The records of a study that has been run, or of a model that was probed by itself.

    Attributes:
        folder: The run folder.
        result: How the run of a study ended; None where an earlier one was opened.
        trust_code: See `open_run`.

    Examples:
        >>> import assay
        >>> _ = assay.validate([0, 0, 1, 1], [0.1, 0.3, 0.2, 0.4], out="validated")
        >>> run = assay.open_run("validated")
        >>> type(run).__name__, run.folder.name
        ('Run', 'validated')
    """

    folder: Path
    result: Result | None = None
    trust_code: bool = field(default=False, kw_only=True)

    def table(self, name: str = "") -> pd.DataFrame:
        """Load the rows of one table.

        Warns when the tables are of an earlier study or request than the last begun here.

        Args:
            name: Name of the table, by default `contrasts` of a study, `estimates` of a model and `verdicts` of
                an audit. Columns that hold
                JSON objects in the file are a column per key, such as `coordinates.loss`.
                `assay.store.schema.TABLES` and `MODEL_TABLES` describe every table and column, as does
                docs/reference/tables.md.

        Raises:
            StoreError: With the nearest name, when there is no such table.

        Examples:
            >>> import assay
            >>> _ = assay.validate([0, 0, 1, 1], [0.1, 0.3, 0.2, 0.4], out="validated")
            >>> table = assay.open_run("validated").table("performance")
            >>> float(table.set_index("measure").value["auroc"])
            0.75
        """
        import pandas as pd

        folder = RunFolder(self.folder)
        name = name or next(iter(folder.tables))
        stored = folder.table(name)
        columns, rows = folder.tables[name].spread(stored)
        if not folder.tables_are_current():
            warnings.warn(f"{self.folder}: {EARLIER_TABLES}", stacklevel=2)
        return pd.DataFrame(rows, columns=columns)

    @property
    def results(self) -> pd.DataFrame:
        """The numbers of the run: a row per recipe, measure, environment, factor, level, layer and group.

        Columns are those of the table `estimates` (docs/reference/tables.md): `value` with the interval `low` to
        `high` over patients and seeds, `seeds`, `patients`, and `reason` where a value is undefined or doubtful.
        """
        return self.table("estimates")

    def figure(self, measure: str) -> Chart:
        """Draw one measure: of a study every recipe by environment, of a probed model every environment.

        Args:
            measure: Name of a measure of the table `estimates`.

        Returns:
            A chart that notebooks show; `save("auroc.svg")` writes it, or .png and .pdf with the extra `figures`.

        Raises:
            StoreError: The run has no such measure (the text gives the nearest), or no value of it.

        Examples:
            >>> import assay
            >>> rows = [{"loss": loss, "seed": seed, "image": i, "target": i % 2, "score": i / 40}
            ...         for loss in ("triplet", "supcon") for seed in range(3) for i in range(40)]
            >>> _ = assay.compare(rows, by="loss", out="compared")
            >>> assay.open_run("compared").figure("auroc").save("auroc.svg").name
            'auroc.svg'
        """
        from assay.report.notebook import chart

        return chart(self.folder, measure)

    def __repr__(self) -> str:
        """Return the first lines of the answer, and the folder."""
        from assay.report.notebook import run_text

        return run_text(self.folder)

    def _repr_html_(self) -> str:
        """Return the verdict and the two first figures, for a notebook."""
        from assay.report.notebook import run_html

        return run_html(self.folder)

    def report(self) -> Path:
        """Recompute the statistics from the records and rewrite the page; of audits, comparisons and previews the page.

        Returns:
            The path of the page.

        Examples:
            >>> import assay
            >>> _ = assay.validate([0, 0, 1, 1], [0.1, 0.3, 0.2, 0.4], out="validated")
            >>> assay.open_run("validated").report().name
            'report.html'
        """
        from assay.core.registry import code_trusted
        from assay.execution.run import rebuild

        with code_trusted(self.trust_code):
            return rebuild(self.folder)

    def export(self, trial: str, folder: str | Path, format: Literal["safetensors", "onnx"] = "safetensors") -> Path:
        """Write a trained network for others, with its preprocessing and a model card.

        The folder gets `weights.safetensors` or `model.onnx`, `model.json` (size, framing, scaling, classes, threshold,
        recipe) and `README.md`. `assay.load_model` and `assay.probe` take a folder with safetensors, and the ONNX file.
        With `all`, every network gets such a folder, and `models.csv` lists them for the `models` of another study.

        Args:
            trial: Id of the training run, as in the table `trials`, or `all` (safetensors alone).
            folder: A new folder, or one of an earlier export.
            format: `safetensors`, or `onnx`, whose outputs are compared with those of the network.

        Returns:
            The folder.

        Raises:
            StoreError: There is no such training run, its weights were not kept, or the folder holds other files.
            ExtraError: ONNX needs the extra `onnx`.
            WeightsError: ONNX cannot hold the network, or gives other outputs.

        Examples:
            A run of a study has networks:

                run = assay.open_run("runs/nodule-loss-quick")
                run.export(run.table("trials").trial[0], "network")
                assay.load_model("network")
        """
        from assay.core.registry import code_trusted
        from assay.study.export import export_model

        with code_trusted(self.trust_code):
            return export_model(self.folder, trial, Path(folder), format)

    def export_start(self, start: str, path: str | Path, *, seed: int | None = None, fold: int = 0) -> Path:
        """Write the weights of a source that the study trained itself as safetensors that timm reads.

        Args:
            start: Name of one of the study's `sources`.
            path: Path of the file.
            seed: Seed of the start, by default its first.
            fold: Fold of the start.

        Returns:
            The path.

        Raises:
            StoreError: The study lacks the name, seed or fold, or the start is of no use.
            WeightsError: Its weights left the cache.

        Examples:
            A study with `sources` trains its own starts:

                assay.open_run("runs/pretraining").export_start("simclr", "simclr.safetensors")
        """
        from assay.core.registry import code_trusted
        from assay.study.export import export_start

        with code_trusted(self.trust_code):
            return export_start(self.folder, start, Path(path), seed, fold)


def open_run(folder: str | Path, *, trust_code: bool = False) -> Run:
    """Open the run folder of a study, a model that was probed by itself, an audit, a comparison or a preview.

    Args:
        folder: The run folder.
        trust_code: Whether code from outside Assay runs that the folder names and that you have not run here before.

    Returns:
        A `Run`, a `Probed` for the folder of a probed model, or an `Audit`.

    Raises:
        StoreError: The folder holds no run.

    Examples:
        >>> import assay
        >>> _ = assay.validate([0, 0, 1, 1], [0.1, 0.3, 0.2, 0.4], out="validated")
        >>> assay.open_run("validated").folder.name
        'validated'
        >>> assay.open_run("nothing")
        Traceback (most recent call last):
        assay.core.errors.StoreError: nothing is not a run folder: it holds no run.json
    """
    run = RunFolder(resolve_folder(Path(folder)))
    run.require_run()
    if run.kind is AUDIT:
        return Audit(run.root, trust_code=trust_code)
    if run.kind is not MODEL:
        return Run(run.root, trust_code=trust_code)

    from assay.audit.model import read_plan
    from assay.core.registry import code_trusted

    with code_trusted(trust_code):
        return Probed(run.root, doubts=read_plan(run).doubts, trust_code=trust_code)


def load_model(trial: str | Path, *, trust_code: bool = False) -> Model:
    """Load a trained model with its preprocessing.

    Args:
        trial: The folder of its trial (`runs/<study>/trials/<id>`), or one that `Run.export` wrote.
        trust_code: See `open_run`.

    Returns:
        The model; `model.network` maps float32 images [b, c, h, w] in [0, 1] to logits, and scaling is inside it.

    Raises:
        StoreError: The folder holds no complete trial.

    Examples:
        A trained network is in the folder of its trial:

            model = assay.load_model("runs/nodule-loss-quick/trials/33b730ff64bb58bb")
            with torch.inference_mode():
                logits = model.network(torch.rand(4, 1, 64, 64))
    """
    from assay.core.registry import code_trusted
    from assay.study.records import stored_model

    with code_trusted(trust_code):
        return stored_model(Path(trial))


@dataclass(frozen=True, repr=False)
class Probed(Run):
    """A model that was probed by itself, and its records: `models/`, `readings/` and `probes/`, as those of a trial.

    Its tables are `estimates`, with one row per number and its interval over patients, `findings`,
    `environments`, `pictures` and `provenance`.

    Attributes:
        doubts: Sentences on assumptions that were made and on results that look wrong.

    Examples:
        >>> import numpy as np
        >>> import assay
        >>> def brightness(images):
        ...     return images.mean(axis=(1, 2, 3))
        >>> rows = [{"image": np.full((8, 8), 100 + i, np.uint8), "label": int(i >= 20)} for i in range(40)]
        >>> probed = assay.probe(brightness, rows, size=8, scores="probabilities", progress=False)
        >>> probed.doubts, int(probed.table().images[0])
        ((), 40)
    """

    doubts: tuple[str, ...] = ()


@_in_python
def probe(
    model: nn.Module | Callable[[np.ndarray], object] | str | Path,
    data: Data,
    probes: Sequence[str | Mapping[str, Any]] = ("performance",),
    *,
    target: str = "",
    positive: str = "",
    patient: str = "",
    image: str = "",
    mask: str = "",
    unmatched: Unmatched = "refuse",
    unmasked: Unmasked = "refuse",
    size: int = 0,
    fit: Fit = "",
    channels: Channels = "",
    environments: Mapping[str, Any] | None = None,
    validation: Data | None = None,
    layers: Sequence[str] = (),
    task: schema.Task = "classification",
    factory: Callable[[], nn.Module] | None = None,
    scores: Literal["logits", "probabilities"] = "logits",
    threshold: float | None = None,
    seed: int = 0,
    name: str = "",
    out: str | Path | None = None,
    device: str = "cpu",
    skip_bad_rows: bool = False,
    progress: bool = True,
    preprocessing: Literal["config", "none"] | None = None,
    expect: float | None = None,
) -> Probed:
    """Probe a model that you have. Nothing is trained, and the records are those that a trial leaves.

    A second call with the same model and the same data reads the records.

    Args:
        model: One of

            - a module that maps float32 images [b, c, size, size] in [0, 1] to scores [b], [b, 1] or [b, classes], or
              of each pixel [b, k, size, size] for `task="segmentation"`. It is read in evaluation mode on the device on
              which it is, and left as it was found;
            - a function that does the same with NumPy arrays;
            - the path of a file of weights (safetensors, or a PyTorch file without code in it), with `factory`;
            - the path of an `.onnx` file (extra `onnx`), which has neither layers nor gradients;
            - the folder of a trial or source in a run folder, `runs/<study>/trials/<id>`. Its thresholds and layers are
              known.
        data: A folder of images, a CSV, a data frame, a list of dicts or a dataset of PyTorch, or `data` of a study,
            whose `table` may be one of these. All rows of files are tested, whatever `split` says: leave out those that
            the model was trained on.
        probes: As `probes` of a study. Probes of layers and gradients need a module.
        target: Column of the class; by default found by its name.
        positive: The positive class.
        patient: Column of the patient; by default found by its name.
        image: Column of the image file; by default found by its content.
        mask: Column of the mask file; by default found by its name.
        unmatched: Whether images without a label and masks without an image are refused where there are many, or
            dropped.
        unmasked: Whether images without a mask are `lesion-free`, or `leave-out`; by default they are asked about.
        size: Side of the images that the model takes, in pixels, where it does not tell it.
        fit: How images are made square: `pad` (default), `squash` or `crop`.
        channels: `gray` or `color`; by default as most images are.
        environments: As those of a study to test on; by default all rows, as `all`.
        validation: As `data`, images that the model was neither trained on nor is tested on. They set the threshold
            between two classes (Youden's), of grades those at specificities of 80, 90 and 95%, and of a segmentation
            those at which 80, 90 and 95% of the lesions are found. Without them such measures are undefined.
        layers: Dotted names of modules to describe.
        task: Classification of images, or segmentation.
        factory: Returns the network that a file of weights belongs to.
        scores: Whether the model gives logits or probabilities.
        threshold: Threshold on the probability of the second of two classes, instead of `validation`; 0.5 when neither
            is given.
        seed: Seed of probes' own draws.
        name: Name of the model on the page.
        out: The run folder, which gets the page too. By default the records are kept in the cache, and `report()` makes
            the page there.
        device: Device of a model from a file or a run folder.
        skip_bad_rows: Leave out rows that cannot be read, instead of raising DataError.
        progress: Whether reading is shown.
        preprocessing: For timm models, whose config says how their images were made. By default `data` takes from it
            the size, channels and framing (`fit`) that it does not give itself, and images are scaled by its mean and
            standard deviation; a warning lists these. "config" does the same without the warning, "none" takes nothing.
        expect: The AUROC that you know of this model on such images, of two classes. A value far from it is reported.

    Returns:
        The records, with `table()`, `report()` and `doubts`. Warns of each doubt: a constant output, an AUROC far from
        `expect`, preprocessing that was taken from a config.

    Raises:
        SpecError: The request is wrong.
        DataError: Rows cannot be read.
        ReadingError: The model cannot take the images, or gives no scores of the right shape.
        WeightsError: A file of weights cannot be read or does not fit the network.

    Examples:
        A function that calls bright images positive, where every positive image is brighter than every negative one:

        >>> import numpy as np
        >>> import assay
        >>> def brightness(images):
        ...     return images.mean(axis=(1, 2, 3))
        >>> rows = [{"image": np.full((8, 8), 100 + i, np.uint8), "label": int(i >= 20)} for i in range(40)]
        >>> probed = assay.probe(brightness, rows, size=8, scores="probabilities", threshold=0.469, progress=False)
        >>> table = probed.table().query("environment == 'all'").set_index("measure")
        >>> table.value[["auroc", "accuracy"]].tolist()
        [1.0, 1.0]
    """
    request = ProbeRequest(**locals())
    from assay.audit.model import probe_model, read_plan
    from assay.execution.progress import show_reading

    with show_reading(quiet=not progress) as on_progress:
        folder = probe_model(request, on_progress)
    doubts = read_plan(folder).doubts
    for sentence in doubts:
        warnings.warn(sentence, stacklevel=3)
    return Probed(folder.root, doubts=doubts)


@dataclass(frozen=True, repr=False)
class Audit(Run):
    """An audit of a model, and its records.

    Its tables are `regions`, `verdicts`, `effects`, `distorted`, `groups`, `gaps`, `checks`, `shortcuts` and
    `provenance`.

    Attributes:
        labels: With `output="all"`, the audit of each label; the folder then has `report.html` and `labels.csv`, and
            no tables of its own.

    Examples:
        >>> import numpy as np
        >>> import assay
        >>> def brightness(images):
        ...     return images.mean(axis=(1, 2, 3))
        >>> rows = [{"image": np.full((8, 8), 100 + i, np.uint8), "label": int(i >= 20)} for i in range(40)]
        >>> audit = assay.audit(brightness, rows, size=8, scores="probabilities", domain="chest-xray",
        ...                     distortions=[], out="audited", progress=False)
        >>> int(audit.table("verdicts").set_index("factor").images["brighter"]), audit.folder.name
        (40, 'audited')
    """

    labels: Mapping[str, Audit] = field(default_factory=dict[str, "Audit"])


@_in_python
def audit(
    model: nn.Module | Callable[[np.ndarray], object] | str | Path,
    data: Data,
    *,
    target: str | Sequence[str] = "",
    positive: str = "",
    patient: str = "",
    image: str = "",
    mask: str = "",
    columns: Sequence[str] = (),
    labels: str | Path = "",
    unmatched: Unmatched = "refuse",
    unmasked: Unmasked = "refuse",
    size: int = 0,
    fit: Fit = "",
    channels: Channels = "",
    factory: Callable[[], nn.Module] | None = None,
    command: str = "",
    weights: str | Path = "",
    trust: bool = False,
    time_limit: float = 60.0,
    memory: float = 4.0,
    task: schema.Task = "classification",
    domain: str = "",
    references: int | str | Path | None = None,
    train: Data | None = None,
    margin: float = 0.05,
    budget: int = 15_000,
    marks: Mapping[str, Sequence[Any]] | None = None,
    distortions: Sequence[str] | None = None,
    output: int | str = "",
    outputs: Sequence[str] = (),
    head: Literal["auto", "sigmoid", "softmax"] = "auto",
    scores: ScoreScale = "auto",
    scaling: str = "",
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    threshold: float | str | None = None,
    as_given: bool = False,
    expect: float | None = None,
    intended_use: str = "",
    seed: int = 0,
    pictures: bool = True,
    name: str = "",
    out: str | Path | None = None,
    device: str = "cpu",
    skip_bad_rows: bool = False,
    progress: bool = True,
) -> Audit:
    """Audit a model: find what its answers change with, with a verdict for every mark and column.

    A second call with the same model and images reads the kept answers.

    Args:
        model: As for `probe`, or timm:NAME, smp:ARCHITECTURE/ENCODER or monai:NAME with `weights`, module:function
            with or without, hf:OWNER/NAME, hf:./FOLDER, the folder of a MONAI bundle, TorchScript or .pt2; empty with
            `command`.
        data: A folder of images, a CSV, a data frame, a list of dicts or a dataset of PyTorch, or `data` of a study,
            whose `table` may be one of these. All rows are tested; its factors are audited as `columns` are.
        target: Column of the class; by default found by its name. With `output="all"`, a list of columns.
        positive: The positive class.
        patient: Column of the patient; by default found by its name.
        image: Column of the image file; by default found by its content.
        mask: Column of the mask file: the model is a segmentation network.
        columns: Columns to audit.
        labels: A CSV of labels for a folder of images.
        unmatched: Whether images without a label and masks without an image are refused where there are many, or
            dropped.
        unmasked: Whether images without a mask are `lesion-free`, or `leave-out`; by default they are asked about.
        size: Side of the images that the model takes, in pixels, where it does not tell it.
        fit: How images are made square: `pad` (default), `squash` or `crop`.
        channels: `gray` or `color`; by default as most images are.
        factory: Returns the network that a file of weights belongs to.
        command: A program that reads a folder of PNG files and writes a CSV, `python predict.py {images} {scores}`.
        weights: File of weights of a named network.
        trust: Whether code that the model needs may run: TorchScript, .pt2, module:function, expressions of a bundle.
        time_limit: Seconds that an image of a file or a command may take. A file is read in a process of its own,
            without network.
        memory: GB that this process may take on the CPU beyond the model's own size.
        task: Classification of images, or segmentation.
        domain: Kind of image, which chooses the marks: chest-xray, dermoscopy, endoscopy, fundus, mr or ultrasound.
        train: As `data`, the images that the model was trained on: the search for a region is in them, and copies and
            patients in both are counted.
        references: Networks that never saw a mark in training, so that `relies-on` is distinguished from
            `affected-by`: a folder of audits of 59 or more of the same domain, or how many small ones to train on
            `train`, or on half of the patients where it is not given.
        margin: The smallest effect that matters: of the AUROC shift by a mark, of AUROC lost, and of the share of
            changed calls.
        budget: Images put through the model at most, about.
        marks: Marks in place of the battery: name -> three interventions, from weak to strong.
        distortions: Families of distortions in place of the battery's.
        output: The output to audit, of several: its position, or its name in the metadata of the model; `all` for
            each that is in `data["target"]`, a list of columns in the order of the outputs, or named like them.
        outputs: Class of each output, in their order; by default the names in the model.
        head: Whether several outputs are independent (sigmoid) or exclude each other (softmax); by default
            probabilities that add up to 1 exclude each other.
        scores: probabilities, percent or logits; by default found from the scores of all images.
        scaling: 0..1, imagenet, -1..1, 0..255, -1024..1024, caffe, image-minmax or image-zscore, by which images are
            scaled before the model.
        mean: Mean that its training took off pixels in 0..1, of all channels or of each, in place of `scaling`.
        std: Standard deviation that these were divided by.
        threshold: On the probability of the second of two classes, or `sensitivity=0.95`; 0.5 by default.
        as_given: Go on where the model seems to be read wrongly.
        expect: The AUROC that you know of this model on such images.
        intended_use: Intended use, for the page and the model card.
        seed: Seed of the choice of images.
        pictures: Whether the page shows images.
        name: Name of the model on the page.
        out: The run folder; by default one in the cache.
        device: Device of a model from a file.
        skip_bad_rows: Leave out rows that cannot be read.
        progress: Whether reading is shown.

    Raises:
        SpecError: The request is wrong, or the model seems to be read wrongly.
        DataError: Rows cannot be read, or all are of one class.
        ReadingError: The model cannot take the images, or gives no scores of the right shape.

    Examples:
        A function that calls bright images positive:

        >>> import numpy as np
        >>> import assay
        >>> def brightness(images):
        ...     return images.mean(axis=(1, 2, 3))
        >>> rows = [{"image": np.full((8, 8), 100 + i, np.uint8), "label": int(i >= 20)} for i in range(40)]
        >>> audit = assay.audit(brightness, rows, size=8, scores="probabilities", domain="chest-xray",
        ...                     distortions=[], out="audited", progress=False)
        >>> audit.table("verdicts").set_index("factor").verdict["brighter"]
        'affected-by'
    """
    request = AuditRequest(**locals())
    from assay.audit.labels import ALL_OUTPUTS
    from assay.audit.origins import origin_of

    return _labels_audited(request) if request.output == ALL_OUTPUTS else Audit(_audited(origin_of(request), request))


def _labels_audited(request: AuditRequest) -> Audit:
    """Audit each output of a model."""
    from assay.audit.labels import audit_labels
    from assay.audit.origins import origin_of
    from assay.data.files.in_memory import on_disk
    from assay.data.files.table import require_contained

    origin, root = origin_of(request), request.out
    data: Any = request.data
    keys: Mapping[str, Any] = cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else {}
    labels = request.target or keys.get("target", ())
    if root is None or isinstance(labels, str):
        raise SpecError("output 'all': list the column of each output in target, and name a folder with out")
    kept: dict[str, Any] = on_disk({**keys, "target": ""}) if keys else {}
    table = require_contained(
        Path(str(kept.get("folder", ""))), str(kept.get("table", "data.csv")), keys.get("links") == "follow"
    )

    def audited(origin: Origin, label: str, output: int, folder: Path) -> Path:
        return _audited(origin, request.with_changes(target=label, output=str(output), out=folder))

    rows = audit_labels(origin, list(labels), table, root, audited)
    return Audit(root, labels={row["label"]: Audit(Path(row["folder"])) for row in rows if row["folder"]})


def _audited(origin: Origin, request: AuditRequest) -> Path:
    """Audit an output of a model, and train reference networks where a number of them is asked for."""
    from assay.audit.run import run_audit, with_images
    from assay.execution.progress import show_reading

    request = with_images(request)
    if request.networks:
        from assay.audit.reference_networks import train_references

        say: Callable[[str], None] = print if request.progress else lambda text: None
        request = request.with_changes(references=train_references(request, say=say))
    with show_reading(quiet=not request.progress) as on_progress:
        folder = run_audit(origin, request, on_progress=on_progress)
    assert isinstance(folder, Path)
    return folder


@dataclass(frozen=True, repr=False)
class Look(Run):
    """A look at images. Its tables are `issues`, `shortcuts`, `findings`, `pictures` and `provenance`.

    Examples:
        >>> import numpy as np
        >>> import assay
        >>> rng = np.random.default_rng(0)
        >>> rows = [{"image": rng.integers(0, 256, (16, 16), np.uint8), "label": i % 2} for i in range(20)]
        >>> look = assay.look(rows)
        >>> len(look.table("issues")), look.folder.name
        (0, 'frame')
    """


@_in_python
def look(
    data: Data,
    target: str = "",
    *,
    positive: str = "",
    patient: str = "",
    image: str = "",
    mask: str = "",
    unmatched: Unmatched = "refuse",
    unmasked: Unmasked = "refuse",
    embeddings: str | Path | pd.DataFrame | None = None,
    ids: str | Path | None = None,
    size: int = 128,
    out: str | Path | None = None,
    progress: bool = False,
) -> Look:
    """Look at images before any network: copies, simple cues that predict the target, odd images and small groups.

    Args:
        data: A folder of images, a CSV, a data frame, a list of dicts or a dataset of PyTorch, or `data` of a study,
            whose `table` may be one of these.
        target: Column of the class; by default found by its name.
        positive: The positive class.
        patient: Column of the patient; by default found by its name.
        image: Column of the image file; by default found by its content.
        mask: Column of the mask file; by default found by its name.
        unmatched: Whether images without a label and masks without an image are refused where there are many, or
            dropped.
        unmasked: Whether images without a mask are `lesion-free`, or `leave-out`; by default they are asked about.
        embeddings: Features of each image: a CSV, Parquet, NPZ (`ids`, `features`) or NPY file, a data frame, or a
            network by name, `timm:NAME` or `hf:NAME`. Copies and odd images are searched among them, labels are judged
            from them, and the target and other columns are predicted.
        ids: A file with the names of the rows of an NPY file, one a line.
        size: Longer side in pixels at which images are examined; smaller ones are not enlarged.
        out: The folder of the page and of issues.csv; by default `looks/NAME`.
        progress: Whether reading is shown.

    Returns:
        The look, whose tables are data frames.

    Raises:
        SpecError: No column is surely the target, or one is missing.
        DataError: No image can be read.

    Examples:
        The last image is a copy of the first, with another label:

        >>> import numpy as np
        >>> import assay
        >>> rng = np.random.default_rng(0)
        >>> images = [rng.integers(0, 256, (16, 16), np.uint8) for _ in range(19)]
        >>> rows = [{"image": image, "label": i % 2} for i, image in enumerate([*images, images[0]])]
        >>> assay.look(rows).table("issues")[["kind", "row"]].values.tolist()
        [['copy', 1], ['copy', 20]]
    """
    request = LookRequest(**locals())
    from assay.execution.progress import show_reading
    from assay.look.run import look as looked

    with show_reading(quiet=not progress) as on_progress:
        return Look(looked(request, on_progress))
