"""The request of a study: to run or to preview it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, Self

from pydantic import model_validator

from assay.core.errors import SpecError, shorten, unknown_of_few
from assay.core.request import CommandRequest, Option, device_in, one_of, whole
from assay.core.seeds import LOOKS

if TYPE_CHECKING:
    from assay.execution.engines import Engine
    from assay.spec.schema import StudySpec

ENGINES = ("ray", "slurm")


class ResolvedStudy(NamedTuple):
    """The checked study and its run folder."""

    spec: StudySpec
    root: Path


def _last_look(text: str) -> int:
    names_of_looks = [str(seeds) for seeds in LOOKS]
    if text not in names_of_looks:
        raise ValueError(f"expected {', '.join(names_of_looks[:-1])} or {names_of_looks[-1]}, not {shorten(text)}")
    return int(text)


def _engine(text: str) -> str:
    if text not in ENGINES:
        raise ValueError(unknown_of_few("engine", text, ENGINES))
    return text


class RunRequest(CommandRequest):
    """A request of `assay run`. `assay preview` takes those of its fields that do not train."""

    spec: Annotated[str, Option("A built-in study's name or a YAML file.", "SPEC", argument=True)]
    sets: Annotated[tuple[str, ...], Option("Change a field; repeatable.", "A.B=C", "--set", "-s")] = ()
    seeds: Annotated[int | None, Option("How many seeds.", "N", parse=whole(1, 1000))] = None
    until: Annotated[
        str | None,
        Option(
            "Test at 10, 20 and 40 seeds, instead of the study's number, until every comparison with `role: primary` "
            "and a `margin` is decided; their networks are trained first.",
            "decided",
            parse=one_of(("decided",)),
        ),
    ] = None
    max_seeds: Annotated[int | None, Option("The last look of --until: 10, 20 or 40.", "N", parse=_last_look)] = None
    scale: Annotated[str | None, Option("A scale of the study, such as quick or paper.", "NAME")] = None
    workers: Annotated[
        int | None,
        Option("Worker processes; default: one per core; 0: none.", "N", short="-w", parse=whole(0, 1000)),
    ] = None
    device: Annotated[
        str, Option("auto (a GPU if there is one), cpu, cuda or cuda:N.", "NAME", parse=device_in, text="auto")
    ] = "auto"
    out: Annotated[Path, Option("The folder of all run folders.", "FOLDER", short="-o")] = Path("runs")
    skip_bad_rows: Annotated[bool, Option("Leave out bad rows; the report lists them.")] = False
    no_own_code: Annotated[bool, Option("Refuse code from outside Assay that a study names.")] = False
    trust_code: Annotated[bool, Option("Use code and addresses that a folder of a run or network names.")] = False
    dry_run: Annotated[bool, Option("Print the planned work, time and disk space; train nothing.")] = False
    quiet: Annotated[bool, Option("Print failures and the answer only.", short="-q")] = False
    verbose: Annotated[bool, Option("Print a line per task.", short="-v")] = False
    open: Annotated[bool, Option("Open the page in the browser.")] = False
    as_json: Annotated[bool, Option("Print JSON for machines.", "", "--json")] = False
    on: Annotated[str | None, Option("Run elsewhere: ray or slurm.", "ENGINE", parse=_engine)] = None
    engines: Annotated[
        tuple[str, ...],
        Option("Options of --on, such as mem=8G, or a YAML file of them; repeatable.", "A=B", "--engine"),
    ] = ()
    detach: Annotated[bool, Option("Submit all work, tables and the page as Slurm jobs, and return.")] = False

    @model_validator(mode="after")
    def _exclude(self) -> Self:
        """Check options that exclude or need each other. Raises SpecError."""
        if self.quiet and self.verbose:
            raise SpecError("--quiet and --verbose exclude each other")
        if self.on is not None and self.workers is not None:
            raise SpecError("--workers are of this machine; --on has its own number")
        if self.max_seeds is not None and self.until is None:
            raise SpecError("--max-seeds is the last look of --until decided; give both, or --seeds")
        if self.until is not None and self.seeds is not None:
            raise SpecError("--seeds and --until exclude each other: give --max-seeds for fewer looks")
        if self.on is None and self.engines:
            raise SpecError("--engine holds options of --on ray or slurm")
        if self.detach and self.on != "slurm":
            raise SpecError("--detach is an option of --on slurm")
        _ = self.engine  # refuses what the engine does not know
        return self

    @property
    def engine(self) -> Engine | None:
        """The engine; None for this machine. Raises SpecError for an option that it does not have."""
        if self.on is None:
            return None

        from assay.execution.engines import Engine

        return Engine.read(self.on, self.engines)

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds at which primary comparisons are looked at, in place of `seeds`."""
        return () if self.until is None else tuple(look for look in LOOKS if look <= (self.max_seeds or LOOKS[-1]))

    @contextmanager
    def located(self) -> Generator[None]:
        """Name lines of the study in errors, and refuse or trust code from outside where that is asked."""
        from assay.core.registry import code_trusted, own_code_refused
        from assay.spec.parse import locate_errors
        from assay.study.opened import read_document

        written = partial(read_document, self.spec)
        located = locate_errors(written, self.sets, self.scale)
        with own_code_refused(self.no_own_code), code_trusted(self.trust_code), located:
            yield

    def settle(self, compare: bool = True) -> ResolvedStudy:
        """Check the study and its run folder before anything slow is imported or read.

        Args:
            compare: Whether the code of components compares their arguments, which imports it.

        Raises:
            SpecError: The study is wrong, with all of its problems.
            StoreError: The run folder is not writable.
        """
        from assay.spec.parse import parse_study
        from assay.study.opened import read_document

        spec = parse_study(
            read_document(self.spec),
            overrides=self.sets,
            seeds=self.seeds,
            looks=self.looks,
            scale=self.scale,
            compare=compare,
            skip_bad_rows=self.skip_bad_rows,
        )

        from assay.store.layout import require_writable, run_folder

        root = run_folder(spec.name, self.scale, self.out)
        require_writable(root)
        return ResolvedStudy(spec, root)
