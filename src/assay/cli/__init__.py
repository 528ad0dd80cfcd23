"""The command line. Only typer is imported here: everything heavy is imported by the command that needs it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="assay",
    help="Finds out what a medical-imaging model has learned, and whether that holds elsewhere.",
    epilog="Start with: assay run nodule-loss",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Spec = Annotated[str, typer.Argument(help="A built-in study's name or a YAML file.", metavar="SPEC")]
Run = Annotated[str, typer.Argument(help="A run folder, or the name of a study under --out.", metavar="RUN")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change a field; repeatable.")]
Seeds = Annotated[int | None, typer.Option("--seeds", help="How many seeds.")]
Scale = Annotated[str | None, typer.Option("--scale", help="A scale that the study defines, such as quick or paper.")]
NumberOfWorkers = Annotated[int | None, typer.Option("--workers", help="Worker processes; default: one per core.")]
Out = Annotated[Path, typer.Option("--out", help="Where run folders lie.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
SkipBadRows = Annotated[bool, typer.Option("--skip-bad-rows", help="Leave bad rows out; the report lists them.")]

RUNS = Path("runs")


@app.command(epilog="Example: assay run nodule-loss --scale quick --set recipe.loss=[cross-entropy,supcon]")
def run(
    spec: Spec,
    set_: Sets = None,
    seeds: Seeds = None,
    scale: Scale = None,
    workers: NumberOfWorkers = None,
    out: Out = RUNS,
    skip_bad_rows: SkipBadRows = False,
    json: Json = False,
) -> None:
    """Train what is missing, probe, compare, and write the report. Run again: continues, or says that all is done."""
    from assay.cli.run import run_command

    run_command(spec, set_ or [], seeds, scale, workers, out, skip_bad_rows, json)


@app.command(epilog="Example: assay preview nodule-loss --set environments.train.association.texture=0.5")
def preview(
    spec: Spec,
    set_: Sets = None,
    seeds: Seeds = None,
    scale: Scale = None,
    workers: NumberOfWorkers = None,
    out: Out = RUNS,
    skip_bad_rows: SkipBadRows = False,
    json: Json = False,
) -> None:
    """Show what a study will look at, before a second of training: images, pairs, associations, size, time, power."""
    from assay.cli.preview import preview_command

    preview_command(spec, set_ or [], seeds, scale, workers, out, skip_bad_rows, json)


@app.command(epilog="Example: assay results nodule-loss --table contrasts --csv > contrasts.csv")
def results(
    run: Run,
    table: Annotated[
        str, typer.Option("--table", help="contrasts, estimates, seeds, trials or environments.")
    ] = "contrasts",
    out: Out = RUNS,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Print a table of a finished study."""
    from assay.cli.results import results_command

    results_command(run, table, out, json, csv)


@app.command(epilog="Example: assay report nodule-loss")
def report(run: Run, out: Out = RUNS, json: Json = False) -> None:
    """Make the statistics and the page anew from the kept records. Trains and reads nothing."""
    from assay.cli.results import report_command

    report_command(run, out, json)


@app.command(epilog="Example: assay clean nodule-loss --yes")
def clean(
    run: Run,
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is listed.")] = False,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """List what the study's spec no longer names; with --yes, delete it."""
    from assay.cli.results import clean_command

    clean_command(run, yes, out, json)


@app.command(epilog="Example: assay show nodule-loss > my-study.yaml")
def show(
    name: Annotated[str, typer.Argument(help="A built-in study.", metavar="NAME")],
    set_: Sets = None,
    seeds: Seeds = None,
    scale: Scale = None,
    json: Json = False,
) -> None:
    """Print a built-in study as YAML, with comments, ready to edit; --json prints its grid after --set and --scale."""
    from assay.cli.inspect import show_command

    show_command(name, set_ or [], seeds, scale, json)


@app.command("list", epilog="Example: assay list loss")
def list_(
    kind: Annotated[str | None, typer.Argument(help="study, loss, probe, phantom, ...", metavar="[KIND]")] = None,
    json: Json = False,
) -> None:
    """List everything a spec can name, one line each, by kind."""
    from assay.cli.inspect import list_command

    list_command(kind, json)


@app.command(epilog="Example: assay doctor")
def doctor(out: Out = RUNS, json: Json = False) -> None:
    """Say what this machine has (Python, torch, GPU, disk, weights, data), and how to get what is missing."""
    from assay.cli.doctor import doctor_command

    doctor_command(out, json)


def main() -> None:
    """Entry point: 0 done, 1 some trials failed, 2 the request was wrong, 130 interrupted."""
    from assay.core.errors import AssayError

    try:
        app()
    except AssayError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
