"""What a Python user needs: load a study, change it, run it, get tables and models; probe a model that they have."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from assay.core.errors import SpecError
from assay.spec.parse import locate_errors, parse_study, refuse_unknown_keys
from assay.spec.schema import StudySpec
from assay.store.folder import EARLIER, RunFolder

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from assay.models.ref import Model
    from assay.spec import schema
    from assay.study.run import Result


def load(source: str | Path | Mapping[str, Any], *, scale: str | None = None) -> Study:
    """A study by built-in name, YAML file, or plain values, at one of its scales.

    Raises SpecError that names the place of what is wrong.
    """
    study = Study(source if isinstance(source, Mapping) else str(source), scale=scale)
    _ = study.spec
    return study


@dataclass(frozen=True)
class Study:
    """A study that can be changed, looked at and run. Changing it gives a new one.

    source: as for `load`. changes: dotted places with their values, in order.
    """

    source: str | Mapping[str, Any]
    changes: tuple[tuple[str, Any], ...] = ()
    scale: str | None = None

    @property
    def spec(self) -> StudySpec:
        """The checked study with its grid. The same study from YAML has the same trial ids."""
        return parse_study(self._written(), overrides=self.changes, scale=self.scale)

    def set(self, place: str, value: Any) -> Study:
        """The study with one field changed, for example `set("recipe.epochs", [8, 16])`.

        A value is what it could be in a mapping given to `load`: a path, a NumPy number or a class of your own too.

        Raises SpecError with the nearest name where no study has such a field. Whether the value goes with the rest of
        the study is told when it is used, since the next change may mend it.
        """
        changed = Study(self.source, (*self.changes, (place, value)), self.scale)
        refuse_unknown_keys(changed._written(), changed.changes, self.scale)
        return changed

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
    ) -> Run:
        """Train and probe what is missing, compare, write the page. Trials that fail are kept in the tables.

        workers: worker processes, one per core when None; 0 runs in this process, which suits notebooks.
        device: auto (the first GPU, else the processor), cpu, cuda or cuda:N; it is no part of the study.
        skip_bad_rows: leave rows that cannot be read out, and list them on the page, in place of raising DataError.
        Warns when tasks failed. An interrupt raises KeyboardInterrupt once all records are safe; run again, it goes on.
        """
        from assay.execution.device import choose_device
        from assay.execution.local import executor_for
        from assay.execution.progress import Display, display_for, reading_shown, telling
        from assay.execution.tasks import Task
        from assay.store.folder import require_writable, run_folder
        from assay.study.run import prepare, quietly, run_study

        spec = self.spec
        root = run_folder(spec, self.scale, Path(out))
        require_writable(root)
        where = choose_device(device)
        executor, count = executor_for(workers, where)
        with reading_shown(quietly=not progress) as told, locate_errors(self._written(), self.changes, self.scale):
            prepared = prepare(spec, root, skip_bad_rows=skip_bad_rows, device=where, told=told)

        def shown(tasks: Sequence[Task]) -> Display:
            return display_for(tasks, count, as_json=False)

        result = run_study(prepared, shown if progress else quietly, executor, telling(not progress))
        if result.stopped:
            raise KeyboardInterrupt
        if result.failed:
            text = f"{result.failed} tasks failed: table('trials') and the page say why, and running again tries again"
            warnings.warn(text, stacklevel=2)
        return Run(root, result)


@dataclass(frozen=True)
class Run:
    """The records of a study that has been run. result: how the run ended, None where an earlier one was opened."""

    folder: Path
    result: Result | None = None

    def table(self, name: str = "contrasts") -> pd.DataFrame:
        """Load the rows of one table.

        Warns when the tables are of an earlier study than the last begun here.

        Args:
            name: Name of the table, such as `contrasts`, `estimates` or `trials`; `assay.store.schema.TABLES` describes
                every table and column, as does docs/reference/tables.md.

        Raises:
            StoreError: With the nearest name, when there is no such table.
        """
        import pandas as pd

        folder = RunFolder(self.folder)
        rows = folder.table(name)
        if not folder.tables_are_current():
            warnings.warn(f"{self.folder}: {EARLIER}", stacklevel=2)
        return pd.DataFrame(rows)

    def report(self) -> Path:
        """Statistics and page anew from the records; the path of the page."""
        from assay.study.run import rebuild

        return rebuild(self.folder)

    def export(self, start: str, path: str | Path, *, seed: int | None = None, fold: int = 0) -> Path:
        """Write the weights of a start that the study trained itself as safetensors that timm reads; returns the path.

        start: the name of one of the study's `sources`. seed: the first unless said. Raises StoreError for a name, seed
        or fold that the study lacks, or one that is of no use; WeightsError where its weights left the cache.
        """
        from assay.study.export import export_start

        return export_start(self.folder, start, Path(path), seed, fold)


def open_run(folder: str | Path) -> Run:
    """A run folder. Raises StoreError when it holds no study."""
    RunFolder(Path(folder)).require_study()
    return Run(Path(folder))


def load_model(trial: str | Path) -> Model:
    """A trained model with its preprocessing, from the folder of its trial (`runs/<study>/trials/<id>`).

    `model.network` maps float32 images [b, c, h, w] in [0, 1] to logits; scaling is inside it.
    Raises StoreError when the folder holds no complete trial.
    """
    from assay.study.records import stored_model

    return stored_model(Path(trial))


def probe(
    module: nn.Module,
    data: Mapping[str, Any],
    probes: Sequence[str | Mapping[str, Any]] = ("performance",),
    *,
    environments: Mapping[str, Any] | None = None,
    validation: Mapping[str, Any] | None = None,
    layers: Sequence[str] = (),
    task: schema.Task = "classification",
    threshold: float | None = None,
    seed: int = 0,
    skip_bad_rows: bool = False,
    progress: bool = True,
    preprocessing: Literal["config", "none"] | None = None,
    expect: float | None = None,
) -> pd.DataFrame:
    """What probes measure of a model that you have: one row per number, nothing is trained and nothing is kept.

    module: maps float32 images [b, c, size, size] in [0, 1] to logits [b], [b, 1] or [b, classes], or of each pixel
    [b, k, size, size] for `task="segmentation"`. It is read in eval mode where it stands, and left as it was found.
    data: as `data:` of a study. All rows of files are tested, whatever `split` says: leave out what it was trained on.
    probes: as `probes:` of a study. environments: as those of a study to test on; without any, all rows as `all`.
    validation: as `data`, images that the model was neither trained on nor is tested on. They set the threshold between
    two classes (Youden's), of grades those that leave 80, 90 and 95 % of what lies below the cut uncalled, and of a
    segmentation those at which 80, 90 and 95 % of their lesions are found; without them measures at such a specificity
    are not given, and those at a matched sensitivity are undefined.
    layers: dotted names of modules whose output is described. threshold: on the probability of the second of two
    classes, in place of `validation`; .5 when neither is given. seed: of a probe's own draws.
    preprocessing: of a timm model, whose config says how its images were made. By default `data` takes from it the
    size, channels and framing (`fit`) that it does not say itself, and images are scaled by its mean and std; a warning
    says what was taken. "config" does the same without the warning, "none" takes nothing. Other modules get images as
    they are.
    expect: the AUROC that you know of this model on such images, of two classes. A value far from it is reported.
    Warns, and keeps the sentences in the frame's `attrs["doubts"]`, where the output is constant or nearly so, where
    the AUROC is far from `expect`, and where preprocessing was taken from a config.
    Columns: `probe` and the fields of `core.types.Measurement`; standard errors are over patients, of this one model.

    Raises SpecError for a wrong request, DataError for rows that cannot be read, ReadingError for a model that cannot
    take the images or gives no logits of the right shape.
    """
    import pandas as pd

    from assay.execution.progress import reading_shown
    from assay.models.ref import Model
    from assay.study.audit import examine

    asked: dict[str, object] = {"data": data, "validation": validation}
    for name, given in asked.items():
        if isinstance(given, str):
            raise SpecError(f"{name} is {given[:60]!r}; give a mapping as `data:` of a study, such as dict(folder=...)")

    held = next(iter([*module.parameters(), *module.buffers()]), None)
    model = Model(
        module,
        (layers,) if isinstance(layers, str) else tuple(layers),
        threshold=threshold,
        seed=seed,
        device="cpu" if held is None else str(held.device),
    )
    with reading_shown(quietly=not progress) as told:
        found = examine(
            model,
            data,
            probes,
            environments or {"all": {}},
            validation=validation,
            task=task,
            skip_bad_rows=skip_bad_rows,
            told=told,
            preprocessing=preprocessing,
            expect=expect,
        )
    for sentence in found.doubts:
        warnings.warn(sentence, stacklevel=2)
    frame = pd.DataFrame(found.rows)
    frame.attrs["doubts"] = list(found.doubts)
    return frame
