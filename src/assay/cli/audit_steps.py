"""`assay audit compare`, `assay audit remedy`, `assay audit prepare` and `assay audit score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.audit.request import DEFAULT_BUDGET, AuditRequest, AuditsRequest
from assay.cli.requests import Json, Quiet, TrustCode, taking


def add_commands(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for name, example, command in (
        ("audit compare", "assay audit compare audits/m1 audits/m2 --out differences", compare),
        ("audit remedy", "assay audit remedy audits/m1 covered", remedy),
        ("audit prepare", "assay audit prepare prepared --images data.csv --target finding --size 224", prepare),
        ("audit score", "assay audit score prepared scores.csv", score),
    ):
        app.command(name, hidden=True, epilog=f"Example: {example}")(command)


@taking(AuditsRequest)
def compare(request: AuditsRequest) -> None:
    """Compare two audits of the same images: performance, the AUROC shift by every mark and column, and verdicts.

    Images are paired, and intervals are over patients.
    """
    from assay.audit.command import compare_command
    from assay.audit.compare import validation_arguments

    files = validation_arguments(request.a, request.b)
    if files is None:
        compare_command(request)
        return
    from assay.validate.command import validate_command
    from assay.validate.request import ValidateRequest

    validate_command(ValidateRequest(out=request.out, as_json=request.as_json, **files))


def remedy(
    audit: Annotated[Path, typer.Argument(help="Folder of an audit.", metavar="AUDIT")],
    folder: Annotated[Path, typer.Argument(help="A new folder.", metavar="DIR")],
    swap: Annotated[
        bool, typer.Option("--swap", help="The mark is on the images that the page shows as being without it.")
    ] = False,
    column: Annotated[
        str, typer.Option("--column", metavar="NAME", help="Balance a column of the audit instead.")
    ] = "",
    retrain: Annotated[bool, typer.Option("--retrain", help="Train a study's network again, and audit it.")] = False,
    trust_code: TrustCode = False,
    quiet: Quiet = False,
) -> None:
    """Write a copy of the images without what an audit found in them, for training.

    Marks are covered; a change of the whole image is made equal in all. DIR gets `images/` as the model reads them,
    `data.csv` with the columns of your table, and `balanced.csv`: unchanged images, with the mark on half of each
    class. With --column, DIR gets unchanged rows in which the column is independent of the class. Train on them only if
    the audit had --train; otherwise they are the test images.
    """
    from assay.audit.remedy.command import remedy_command
    from assay.core.registry import code_trusted

    with code_trusted(trust_code):
        remedy_command(audit, folder, column=column, swap=swap, retrains=retrain, is_quiet=quiet)


@taking(
    AuditRequest,
    "data target positive patient image mask columns labels unmatched unmasked train size fit channels "
    "domain marks margin follow_links skip_bad_rows",
)
def prepare(
    folder: Annotated[Path, typer.Argument(help="A new folder.", metavar="DIR")],
    request: AuditRequest,
    most: Annotated[int, typer.Option("--most", min=1, metavar="N", help="Images to write, about.")] = DEFAULT_BUDGET,
    quiet: Quiet = False,
) -> None:
    """Write the images of an audit, with and without marks, for a model that runs elsewhere.

    DIR gets `images/` and `images.csv` with their names, which reveal neither class nor mark. Score all of them, write
    a CSV with the column image and one column per score, and give it to `assay audit score`. With --mask, write a mask
    of each image to a folder instead.
    """
    from assay.audit.command import prepare_command

    prepare_command(folder, request.with_changes(budget=most), quiet)


@taking(
    AuditRequest,
    "scores output outputs head threshold references expect as_given policy trust out pictures",
    output="The score to audit, of several.",
    as_given="Continue even if classes seem to be swapped.",
    trust="Allow code that the folder names to run, such as that of a mark.",
    out="The run folder; default: DIR/audit.",
)
def score(
    folder: Annotated[Path, typer.Argument(help="The folder that was prepared.", metavar="DIR")],
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV with the column image and a column per score; of a segmentation, a folder of masks.",
            metavar="SCORES",
        ),
    ],
    request: AuditRequest,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Name of the model; default: that of SCORES.")
    ] = "",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Finish an audit from the scores, or masks, of its prepared images."""
    from assay.audit.command import score_command

    score_command(folder, file, request.with_changes(name=name), is_quiet=quiet, json=json)
