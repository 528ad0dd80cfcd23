"""The command line. Everything heavier than typer is imported by the command that needs it."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from assay.audit.request import AuditRequest
from assay.cli.audit_steps import add_commands
from assay.cli.requests import Json, Quiet, TrustCode, taking
from assay.compare.request import CompareRequest
from assay.core.request import DataRequest, one_of
from assay.core.terminal import paths_spelled, spell_paths, visible_outputs
from assay.look.request import LookRequest
from assay.study.request import RunRequest
from assay.validate.request import ValidateRequest


class _TwoWords(TyperGroup):
    """A group with commands of two words, such as `audit compare`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        two = " ".join(args[:2])
        seconds = [name.split()[1] for name in self.commands if name.startswith(f"{args[0]} ")]
        if two not in self.commands and seconds and args[1:] and args[1].isalpha() and not Path(args[1]).exists():
            from assay.core.errors import nearest

            if near := nearest(args[1], seconds):
                ctx.fail(f"No such command '{two}'. Did you mean '{args[0]} {near}'?")
        return super().resolve_command(ctx, [two, *args[2:]] if two in self.commands else args)


app = typer.Typer(
    name="assay",
    cls=_TwoWords,
    help="Finds out what a medical-imaging model has learned, and whether that holds on other data.",
    epilog="Start with: assay run nodule-loss",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


Run = Annotated[
    str,
    typer.Argument(help="A run folder, or the name of one under --out.", metavar="RUN"),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="The folder of all run folders.")]

RUNS = Path("runs")
FAULT = 70
"""Exit code of unforeseen errors: EX_SOFTWARE of sysexits.h."""


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from assay.core.errors import DISTRIBUTION

        print(f"assay {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def _assay(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


@app.command(epilog="Example: assay run nodule-loss --scale quick --set recipe.batch_size=64")
@taking(RunRequest)
def run(request: RunRequest) -> None:
    """Train what is missing, compare, and write the report. A second run continues the first."""
    from assay.study.command import run_command

    with request.located():
        run_command(request)


@app.command(epilog="Example: assay register nodule-loss --until decided")
@taking(RunRequest, "spec sets seeds until max_seeds scale out skip_bad_rows no_own_code trust_code as_json")
def register(
    request: RunRequest,
    receipt: Annotated[
        str, typer.Option("--receipt", metavar="TEXT", help="Place where the hash was deposited, such as a URL.")
    ] = "",
) -> None:
    """Register a study before its first seed.

    Writes FOLDER/NAME.registration.json: the resolved study, primary comparisons with margins, looks, version of the
    statistical rules, time, and a SHA-256 to deposit elsewhere. Data that a run would refuse are refused. `assay run`
    then takes the file into the run folder and refuses another study.
    """
    from assay.study.command import register_command

    with request.located():
        register_command(request, receipt)


@app.command(epilog="Example: assay replicate nodule-loss --seeds 20")
@taking(
    RunRequest,
    "spec seeds workers device out skip_bad_rows trust_code dry_run quiet verbose open as_json on engines",
    spec="A finished run: its folder, or its name under --out.",
    seeds="Number of new seeds. Default: 10.",
)
def replicate(request: RunRequest) -> None:
    """Run a finished study again on fresh seeds.

    A phantom also draws new test patients. The page, in FOLDER/NAME-replication, compares both runs: their decisions,
    the second difference with its prediction from the first, the expected agreement, and the estimate from both.
    """
    from assay.core.registry import code_trusted
    from assay.study.command import replicate_command

    with code_trusted(request.trust_code):
        replicate_command(request)


@app.command(epilog="Example: assay look my-images --open")
@taking(LookRequest)
def look(request: LookRequest) -> None:
    """Look for copies, simple cues and odd images; train nothing.

    No study file is needed. Writes a page with pictures and issues.csv with the names of files.
    """
    from assay.look.command import look_command

    look_command(request)


@app.command("validate", epilog="Example: assay validate scores.csv --threshold 0.37 --prevalence 0.02,0.1")
@taking(ValidateRequest)
def validate_(request: ValidateRequest) -> None:
    """Validate scores, or compare two models on the same cases.

    A CSV has a row per case. The page has ROC, calibration and decision curves, PPV by prevalence and groups, with
    intervals over patients. Each model is trained once; `assay compare` is for several seeds.
    """
    from assay.validate.command import validate_command

    validate_command(request)


@app.command(epilog="Example: assay preview nodule-loss --scale quick --seeds 3")
@taking(
    RunRequest,
    "spec sets seeds until max_seeds scale workers device out skip_bad_rows no_own_code trust_code open as_json",
)
def preview(request: RunRequest) -> None:
    """Show images, size, time and power of a study.

    Shows images with and without each confounder, the visibility of confounders, counterfactual pairs, the
    associations requested and achieved, counts, the number of trials, the time, and the difference that each contrast
    can detect. Pictures and a page are written to the run folder, under preview/.
    """
    from assay.study.command import preview_command

    with request.located():
        preview_command(request)


@app.command(epilog="Example: assay results nodule-loss --table contrasts --csv > contrasts.csv")
def results(
    run: Run,
    table: Annotated[
        str,
        typer.Option(
            "--table",
            metavar="NAME",
            help="A table, see `assay list tables`; default: contrasts, else estimates, else the first of the run.",
        ),
    ] = "",
    out: Out = RUNS,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table with booktabs.")] = False,
    columns: Annotated[str, typer.Option("--columns", metavar="A,B", help="Print only these columns.")] = "",
    rows: Annotated[
        list[str] | None, typer.Option("--rows", metavar="A=B", help="Print only rows with this value; repeatable.")
    ] = None,
    as_published: Annotated[
        bool, typer.Option("--as-published", help="Print the study's published tables next to the values of this run.")
    ] = False,
) -> None:
    """Print a table of a run. `assay list tables` describes the tables."""
    from assay.cli.results import TableFormat, published_command, results_command

    if as_published:
        published_command(run, out, TableFormat(json, csv, markdown, latex, columns, tuple(rows or ())))
        return
    results_command(run, table, out, TableFormat(json, csv, markdown, latex, columns, tuple(rows or ())))


@app.command(epilog="Example: assay figure nodule-loss auroc auroc.pdf")
def figure(
    run: Run,
    measure: Annotated[
        str,
        typer.Argument(help="A measure, see `assay list measures`.", metavar="MEASURE"),
    ],
    file: Annotated[
        Path | None,
        typer.Argument(help="A name that ends in .svg, .png or .pdf; default: MEASURE.svg.", metavar="FILE"),
    ] = None,
    out: Out = RUNS,
) -> None:
    """Draw one measure of a run, by recipe and environment. PNG and PDF need the extra `figures`."""
    from assay.cli.results import figure_command

    figure_command(run, measure, file, out)


@app.command(epilog="Example: assay export nodule-loss 33b730ff64bb58bb network --format onnx")
def export(
    run: Run,
    trial: Annotated[
        str, typer.Argument(help="The id of a training run, see the table `trials`, or `all`.", metavar="TRIAL")
    ],
    folder: Annotated[Path, typer.Argument(help="A new folder for the network.", metavar="FOLDER")],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help="safetensors or onnx.",
        ),
    ] = "safetensors",
    out: Out = RUNS,
    trust_code: TrustCode = False,
) -> None:
    """Write a trained network, its preprocessing and a model card. ONNX needs the extra `onnx`.

    With `all`, writes every network of the run, and `models.csv` for the key `models:` of another study.
    """
    from assay.cli.results import export_command
    from assay.core.registry import code_trusted

    with code_trusted(trust_code):
        export_command(run, trial, folder, format, out)


@app.command(epilog="Example: assay compare predictions.csv --by loss --against cross-entropy --margin 0.05")
@taking(CompareRequest)
def compare(request: CompareRequest) -> None:
    """Compare predictions that were made elsewhere.

    The statistics are those of a study: paired by seed and patient, corrected by Holm, with a margin of equivalence.
    """
    from assay.compare.command import compare_command

    compare_command(request)


@app.command(
    epilog="Example: assay audit model.onnx --images data.csv --target finding --patient patient --columns view,sex"
)
@taking(
    AuditRequest,
    "model data target positive patient image mask unmatched unmasked columns score weights trust time_limit memory "
    "device command size fit channels scaling mean std scores output outputs head threshold domain marks references "
    "train labels margin budget expect intended_use as_given policy out skip_bad_rows follow_links pictures",
)
def audit(
    request: AuditRequest,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Time a first batch and print the plan.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Audit your own model on your images. Nothing is trained.

    Marks and distortions are added to the images, and groups are compared. The page has a verdict for each mark and
    column. `assay audit remedy` takes what was found out of a copy of the images. `assay audit compare` compares two
    audits of the same images. `assay audit prepare` and `assay audit score` audit a model that runs elsewhere. Each has
    its own --help.
    """
    from assay.core.tables import TABLES

    if request.model.casefold().endswith(TABLES):
        from assay.audit.predictions_command import predictions_command

        predictions_command(request, dry_run=dry_run, json=json)
        return
    from assay.audit.command import audit_command

    audit_command(request, dry_run=dry_run, is_quiet=quiet, json=json)


add_commands(app)


@app.command(epilog="Example: assay report nodule-loss")
def report(run: Run, out: Out = RUNS, trust_code: TrustCode = False, json: Json = False) -> None:
    """Recompute statistics and rewrite the page from stored records."""
    from assay.cli.results import report_command
    from assay.core.registry import code_trusted

    with code_trusted(trust_code):
        report_command(run, out, json)


@app.command("open", epilog="Example: assay open nodule-loss")
def open_(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Run folders, names under --out, or a folder of runs. Default: all under --out.",
            metavar="RUN...",
        ),
    ] = None,
    out: Out = RUNS,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", metavar="FILE.zip", help="Pack pages, tables and pictures into one file.")
    ] = None,
) -> None:
    """Open the page of a run, or an index of several.

    Over SSH, print its path and the command that copies it.
    """
    from assay.cli.results import open_command

    open_command(runs or [], out, bundle)


@app.command(epilog="Example: assay status nodule-loss")
def status(run: Run, out: Out = RUNS, json: Json = False) -> None:
    """Print the progress of a run. Reads only records, so it works on any machine, during a run or after it."""
    from assay.cli.engines import status_command

    status_command(run, out, json)


@app.command(epilog="Example: assay cancel nodule-loss")
def cancel(run: Run, out: Out = RUNS) -> None:
    """Ask a run to stop, from any machine. Running jobs write a checkpoint; waiting jobs leave the queue."""
    from assay.cli.engines import cancel_command

    cancel_command(run, out)


@app.command(epilog="Example: assay clean nodule-loss --yes")
def clean(
    run: Run,
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is listed.")] = False,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """List records that the spec no longer uses. With --yes, delete them."""
    from assay.cli.results import clean_command

    clean_command(run, yes, out, json)


@app.command(epilog="Example: assay show nodule-loss > my-study.yaml")
@taking(RunRequest, "spec sets seeds scale no_own_code as_json", spec="A built-in study's name, or a YAML file.")
def show(request: RunRequest) -> None:
    """Print a study as YAML with comments, for editing. With --json, print the grid after --scale, --set, --seeds."""
    from assay.cli.inspect import show_command
    from assay.core.registry import own_code_refused

    with own_code_refused(request.no_own_code):
        show_command(request.spec, request.sets, request.seeds, request.scale, request.as_json)


@app.command(epilog="Example: assay example my-images")
def example(
    folder: Annotated[Path, typer.Argument(help="A new folder.", metavar="DIR")],
    audited: Annotated[bool, typer.Option("--audit", help="Write a model to audit, not a study.")] = False,
) -> None:
    """Write a small example: images, a CSV file and a study."""
    from assay.cli.example import example_command

    example_command(folder, audited)


@app.command(epilog="Example: assay init my-images --target diagnosis")
def init(
    place: Annotated[Path, typer.Argument(help="A folder of images, or a CSV file.", metavar="FOLDER")],
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="The study file to write.")] = None,
    target: Annotated[str, typer.Option("--target", metavar="COLUMN", help="The column to predict.")] = "",
    patient: Annotated[str, typer.Option("--patient", metavar="COLUMN", help="The column of patients.")] = "",
    image: Annotated[str, typer.Option("--image", metavar="COLUMN", help="The column of files.")] = "",
    positive: Annotated[str, typer.Option("--positive", metavar="CLASS", help="The positive class.")] = "",
    mask: Annotated[str, typer.Option("--mask", metavar="COLUMN", help="The column of masks.")] = "",
    test: Annotated[
        list[Path] | None, typer.Option("--test", metavar="FOLDER", help="Another set, to test on; may be repeated.")
    ] = None,
    unmatched: Annotated[
        Any,
        typer.Option(
            "--unmatched",
            metavar="HOW",
            help=DataRequest.options()["unmatched"].help,
            parser=one_of(("refuse", "drop")),
        ),
    ] = "refuse",
    unmasked: Annotated[
        Any,
        typer.Option(
            "--unmasked",
            metavar="HOW",
            help="Images without a mask: lesion-free or leave-out; by default Assay asks if there are any.",
            parser=one_of(("lesion-free", "leave-out")),
        ),
    ] = None,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Read images that links lead to, outside the folder.")
    ] = False,
) -> None:
    """Write a study file from a folder or CSV.

    Every assumption is a comment in it.
    """
    from assay.cli.init import init_command
    from assay.core.errors import remove_unseen

    columns = {"target": target, "patient": patient, "image": image, "mask": mask}
    named = {**{role: remove_unseen(column) for role, column in columns.items()}, "positive": positive}
    init_command(place, out, test or (), unmatched, "follow" if follow_links else "refuse", unmasked or "", **named)


@app.command("list", epilog="Example: assay list losses")
def list_(
    kind: Annotated[
        str | None,
        typer.Argument(help="study, loss, probe, measure, ...", metavar="KIND"),
    ] = None,
    json: Json = False,
) -> None:
    """List studies, losses, probes, measures and other names.

    Without KIND, the kinds are listed with their counts. A study is listed with its size, its time on 2 cores where it
    was measured, and the images and weights that it needs.
    """
    from assay.cli.inspect import list_command

    list_command(kind, json)


@app.command(epilog="Example: assay fetch kvasir-seg")
def fetch(
    name: Annotated[
        str | None, typer.Argument(help="A public set; without it, all are listed.", metavar="NAME")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="Folder to put it in; default: ASSAY_ASSETS, or ~/.local/share/assay."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Download a public set, or print the steps to get it."""
    from assay.cli.fetch import fetch_command

    fetch_command(name, out, json)


@app.command(epilog="Example: assay doctor nodule-loss")
def doctor(
    run: Annotated[
        str | None, typer.Argument(help="Check the files of this run folder, or study under --out.", metavar="RUN")
    ] = None,
    out: Out = RUNS,
    dev: Annotated[bool, typer.Option("--dev", help="Also check what the tests of Assay need.")] = False,
    json: Json = False,
) -> None:
    """Check the installation, or with RUN the files of a run.

    Ends with 1 when something is missing that Assay needs, or a file is damaged.
    """
    from assay.cli.inspect import check_command, doctor_command

    if run is None:
        doctor_command(out, json, dev)
    else:
        check_command(run, out, json)


@app.command(epilog="Example: assay seal nodule-loss --key ~/.ssh/id_ed25519")
def seal(
    run: Run,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="An SSH key, as made by ssh-keygen.")],
    out: Out = RUNS,
) -> None:
    """Sign a finished run. Assay then refuses changed data, and `assay doctor RUN` names the key to compare."""
    from assay.cli.inspect import seal_command

    seal_command(run, out, key)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: The words after `assay`; those of the process when None. A study may name modules of the working
            directory. They are looked up last, so that none of its files is imported instead of a library.

    Returns:
        0 done, 1 some trials failed, 2 the request was wrong, 3 a policy was not met, 70 a fault of Assay or of code
        that the study names, 74 no room to write, 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with visible_outputs(), paths_spelled(words):
        code = _answer(words)
    sys.exit(code)


_UNPRINTED = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF)
"""Errors of a write to standard output that is full or was closed."""


def _is_closed_output(error: Exception) -> bool:
    """Return whether standard output, or a disk, takes no more."""
    if not isinstance(error, OSError):
        return False
    if error.errno == errno.EIO and error.filename is None:  # of a terminal that has gone, or of a file that was read
        try:
            os.write(1, b"")
        except OSError:
            return True
    return error.errno in _UNPRINTED and (error.filename is None or error.errno in (errno.ENOSPC, errno.EDQUOT))


def _answer(arguments: list[str]) -> int:
    """Do the request and print its answer. Return the exit code, also where nothing can be printed."""
    from assay.core.errors import FullError

    try:
        if sys.__stdout__ is None:
            raise OSError(errno.EBADF, "standard output is closed")
        code = _done(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has gone: what is left to print goes nowhere
        code = 130
    except OSError as error:
        remedy = "free some space, or send standard output to another place"
        print(f"nothing more can be written: {error.strerror}; {remedy}", file=sys.stderr)
        code = FullError.exit_code
    if sys.__stdout__ is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _done(arguments: list[str]) -> int:
    """Do the request and return the exit code. Any problem with the request is reported on standard error.

    Raises:
        OSError: Standard output cannot be written.
    """
    from assay.core.errors import AssayError, StoreError, without_networks

    try:
        Path.cwd()
    except FileNotFoundError:
        print("the working folder was deleted; change to another one", file=sys.stderr)
        return 2
    if driver := _driver_here():
        text = f"{driver} lies in the working folder, and NVIDIA's libraries would run it in place of the driver"
        print(f"{text}: remove it, or change to another folder", file=sys.stderr)
        return 2
    if "_ASSAY_COMPLETE" in os.environ:
        app(prog_name="assay")  # Typer answers the shell and exits
    try:
        command = _command()
        with command.make_context("assay", arguments) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except TyperException as error:
        print(_usage(error), file=sys.stderr)
        return 2
    except AssayError as error:
        print(spell_paths(str(error)), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except MemoryError as error:
        reason = str(error) or "none is left"
        print(f"there is too little memory: {reason}; ask for fewer or smaller images", file=sys.stderr)
        return AssayError.exit_code
    except (IsADirectoryError, NotADirectoryError, FileExistsError) as error:
        why = "a folder is in the place of a file, or a file in that of a folder: remove it"
        print(f"{error.filename}: {why}", file=sys.stderr)
        return StoreError.exit_code
    except SystemExit as error:
        traceback.print_exc()
        print(f"code that the study names called sys.exit({error.code!r}), which ends Assay too", file=sys.stderr)
        return FAULT
    except Exception as error:  # 1, Python's own code for it, says that some trials failed
        if _is_closed_output(error):
            raise
        if isinstance(error, ModuleNotFoundError) and (missing := without_networks(error)):
            print(missing, file=sys.stderr)
            return missing.exit_code
        from assay.store.folder import received_folder

        if root := received_folder.get():
            from assay.report.page import unreadable_folder_text

            print(unreadable_folder_text(root, error), file=sys.stderr)
            return StoreError.exit_code
        traceback.print_exc()
        return FAULT
    return 0


@cache
def _command() -> Any:
    """Return the command line, which takes longer to build than to read; in Python and in tests it is used again."""
    return typer.main.get_command(app)


_DRIVER = "libcuda.so.1"
_OF_MACHINES = (
    "glibc-hwcaps", "x86-64-v2", "x86-64-v3", "x86-64-v4", "tls", "x86_64", "aarch64", "haswell", "avx512_1"
)  # fmt: skip
"""Folders in which the loader of Linux looks for a library, too, within each one where it looks."""


def _driver_here() -> Path | None:
    """Return the library that torch would load as NVIDIA's driver from the working folder, which may hold anything.

    The path of cuSPARSELt's libraries ends in an empty part (`$ORIGIN:`), by which the loader means that folder.
    """
    inside = [
        Path(first, *others, _DRIVER)
        for first in filter(os.path.isdir, _OF_MACHINES)
        for others in product(("", *_OF_MACHINES), repeat=2)
    ]
    return next((path for path in (Path(_DRIVER), *inside) if os.path.lexists(path)), None)


def _usage(error: TyperException) -> str:
    """Return an error of typer in one line, with the command for more; the help itself if no command was given."""
    from assay.core.errors import nearest, with_alternative

    context: typer.Context | None = getattr(error, "ctx", None)
    text = error.format_message().strip()
    if "\n" in text or context is None:
        return text
    sentence = text.removeprefix("Invalid value for ").rstrip(".").replace(". Did you mean", ": did you mean")
    wrong, several, near = sentence.partition(" (Possible options: ")
    if several:
        names = near.removesuffix(")").split(", ")
        sentence = f"{wrong}: did you mean {nearest(wrong.rpartition(' ')[2], names) or names[0]}?"
    return f"{context.command_path}: " + with_alternative(
        f"{sentence[0].lower()}{sentence[1:]}", f"see {context.command_path} --help"
    )
