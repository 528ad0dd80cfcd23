"""`assay audit compare`, `assay audit prepare` and `assay audit score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli import audit_options as options


def add_commands(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for name, example, command in (
        ("audit compare", "assay audit compare audits/m1 audits/m2 --out differences", compare),
        ("audit prepare", "assay audit prepare prepared --images data.csv --target finding --size 224", prepare),
        ("audit score", "assay audit score prepared scores.csv", score),
    ):
        app.command(name, hidden=True, epilog=f"Example: {example}")(command)


Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print failures and the answer only.")]


def compare(
    a: Annotated[Path, typer.Argument(help="Folder of an audit.", metavar="A")],
    b: Annotated[Path, typer.Argument(help="Folder of another audit of the same images.", metavar="B")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Write a page and comparison.json there.")
    ] = None,
    json: Json = False,
) -> None:
    """Compare two audits of the same images: performance, the swing of every mark and column, and verdicts.

    Images are paired, and intervals are over patients.
    """
    from assay.cli.audit import compare_command

    compare_command(a, b, out, json)


def prepare(
    folder: Annotated[Path, typer.Argument(help="A new folder.", metavar="DIR")],
    images: options.Images = "",
    target: options.Target = "target",
    positive: options.Positive = "",
    patient: options.Patient = "",
    image: options.Image = "image",
    mask: options.Mask = "",
    columns: options.Columns = "",
    labels: options.Labels = "",
    train: options.Train = "",
    size: options.Size = 0,
    fit: options.Fit = "",
    channels: options.Channels = "",
    domain: options.Domain = "",
    marks: options.Marks = None,
    margin: options.Margin = 0.05,
    most: Annotated[int, typer.Option("--most", min=1, metavar="N", help="Images to write, about.")] = 15_000,
    follow_links: options.FollowLinks = False,
    skip_bad_rows: Annotated[bool, typer.Option("--skip-bad-rows", help="Leave bad rows out.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write the images of an audit, with and without marks, for a model that runs elsewhere.

    DIR gets `images/` and `images.csv` with their names, which say nothing of class or mark. Score all of them, write a
    CSV with the column image and one column per score, and give it to `assay audit score`. With --mask, write a mask of
    each image to a folder instead.
    """
    from assay.cli.audit import Given, prepare_command
    from assay.study.auditing import BUDGET, MOST_PASSES, Asked

    given = Given(
        images=images,
        target=target,
        patient=patient,
        positive=positive,
        image=image,
        mask=mask,
        columns=options.names(columns),
        keys=options.keys_of(size, fit, channels, follow_links),
        labels=labels,
        train=train,
    )
    asked = Asked(
        task="segmentation" if mask else "classification",
        domain=domain,
        marks=options.marks_in(marks),
        margin=margin,
        budget=BUDGET * most / MOST_PASSES,
    )
    prepare_command(folder, given, asked, skip_bad_rows, quiet)


def score(
    folder: Annotated[Path, typer.Argument(help="The folder that was prepared.", metavar="DIR")],
    scores: Annotated[
        Path,
        typer.Argument(
            help="CSV with the column image and a column per score; of a segmentation, a folder of masks.",
            metavar="SCORES",
        ),
    ],
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Name of the model; default: that of SCORES.")
    ] = "",
    kind: Annotated[
        str, typer.Option("--scores", metavar="KIND", help="logits or probabilities; found from the scores by default.")
    ] = "auto",
    output: Annotated[str, typer.Option("--output", metavar="N", help="The score to audit, of several.")] = "",
    head: Annotated[
        str, typer.Option("--head", metavar="KIND", help="Of several scores: sigmoid (independent) or softmax.")
    ] = "auto",
    threshold: Annotated[
        str, typer.Option("--threshold", metavar="P", help="A probability, or sensitivity=0.95; 0.5 by default.")
    ] = "",
    references: options.References = "",
    expect: options.Expect = None,
    as_given: Annotated[bool, typer.Option("--as-given", help="Go on even if classes seem to be swapped.")] = False,
    policy: options.Policy = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="The run folder; default: DIR/audit.")
    ] = None,
    no_pictures: Annotated[bool, typer.Option("--no-pictures", help="Leave images out of the page.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Finish an audit from the scores, or masks, of its prepared images."""
    from assay.cli.audit import score_command
    from assay.study.auditing import Asked

    asked = Asked(
        output=output,
        head=options.chosen("--head", head, options.HEADS),
        scores=options.chosen("--scores", kind, options.SCORES),
        threshold=threshold or None,
        references=options.folder_of(references),
        expect=expect,
        as_given=as_given,
        pictures=not no_pictures,
    )
    count = options.count_of(references)
    score_command(folder, scores, asked, name=name, count=count, out=out, policy=policy, quiet=quiet, json=json)
