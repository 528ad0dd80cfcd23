"""Run a look: read images, check them without a network, and write the tables of the run folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from assay.core.files import default_cache_root
from assay.core.reasons import reason_in_words
from assay.core.versions import OF_IMAGES, time_and_versions
from assay.data.cache import ArrayCache, ProgressCallback, no_progress
from assay.data.cards import facts_of
from assay.data.dataset import Dataset
from assay.data.files.folder import without_unknown
from assay.data.files.load import load_dataset, names_of
from assay.data.files.request import data_of
from assay.execution.local import InProcess
from assay.execution.run import RunSteps, Tables, carry_out
from assay.look.checks import data_checks, issue
from assay.look.cues import Cue
from assay.look.image_cues import COUNTED, counted_pixels, measure_images
from assay.look.kind import LOOK
from assay.look.request import SHARED, LookRequest
from assay.report.pictures import PictureWriter
from assay.report.sheets import csv_quoting, escape_formula
from assay.spec.data import name_of_target
from assay.spec.request import parse_request
from assay.spec.schema import DataSpec
from assay.stats.doubts import caution_rows
from assay.store.data_tables import ISSUES
from assay.store.files import Row, write_text
from assay.store.folder import RunFolder
from assay.store.layout import result_folder

if TYPE_CHECKING:
    from assay.look.embeddings import Embeddings


IMAGES_PER_END = 6
"""Number of images with most of a cue that are drawn, and of images with least of it."""


def look(request: LookRequest, on_progress: ProgressCallback = no_progress) -> Path:
    """Look at images, and write tables, pictures, `issues.csv` and a page. Return the run folder.

    Args:
        request: What to look at: a folder, a CSV, a data frame or `data` of a study.
        on_progress: Callback for images while they are read.

    Raises:
        SpecError: No column is surely the target, or one is missing.
        DataError: No image can be read.
    """
    named_data = data_of(request.data, **request.named)
    # Where masks decide, no column of the target holds others against it.
    factors = {"factors": named_data.others} if named_data.of_masks and "factors" not in named_data.data else {}
    images = {**named_data.data, **factors, "size": request.size}
    images |= {"links": "follow"} if request.follow_links else {}
    with_unknown = parse_request(images, {"all": {}}, ("performance",)).data
    spec, unknown_rows = without_unknown(with_unknown)
    out = request.out or result_folder("looks", named_data.name)
    dataset = load_dataset(
        spec, ArrayCache(default_cache_root(), on_progress), skip_bad_rows=True, keep_copies=True, alike=True
    )
    dataset = replace(dataset, card=replace(dataset.card, left_out=(*unknown_rows, *dataset.card.left_out)))
    embeddings = None
    if request.embeddings is not None:
        from assay.look.embeddings import read_embeddings  # most looks have none

        embeddings = read_embeddings(request.embeddings, request.ids, spec, dataset, request.unmatched)
    run = LookRun(request.without_data("data", "embeddings"), spec, with_unknown, dataset, embeddings)
    carry_out(run, out, InProcess())
    return out


@dataclass(frozen=True)
class LookRun(RunSteps):
    """A look as a `Run`.

    Attributes:
        request: What was asked.
        spec: The images.
        listed: The images, with those whose class has a name that usually means unknown.
        dataset: The images as they were read.
        embeddings: Their embeddings; None without.
    """

    request: LookRequest
    spec: DataSpec
    listed: DataSpec
    dataset: Dataset
    embeddings: Embeddings | None
    kind = LOOK

    @property
    def sources(self) -> Sequence[Path]:
        """See `Run`."""
        return self.request.paths_of("data")

    def conclude(self, folder: RunFolder) -> Tables:
        """Return the tables, draw the pictures, and write `issues.csv` with the names of files."""
        embeddings = self.embeddings
        notes = embeddings.notes if embeddings else ()
        checks = data_checks(
            self.spec, self.dataset, embeddings=embeddings and embeddings.features, size=self.request.size
        )
        decoded: list[Row] = []
        if embeddings is not None:
            from assay.look.embeddings import with_embeddings

            checks, decoded = with_embeddings(checks, self.spec, embeddings)
        writer = PictureWriter(folder.root / "pictures", self.dataset.scale, name_of_target(self.spec))
        names, places = names_of(self.listed), self.dataset.table.places
        rows_left_out = sorted(names.keys() - set(places.numbers)) if places else []
        issues = [*checks.issues, *(issue("left-out", at) for at in rows_left_out)]
        rows = [{"file": names.get(row["row"], ""), **row} for row in issues]
        rows = [
            {key: escape_formula(cell) if isinstance(cell, str) else cell for key, cell in row.items()} for row in rows
        ]
        lines = pd.DataFrame(rows, columns=["file", *ISSUES.names])
        text = lines.to_csv(index=False, lineterminator="\n", quoting=csv_quoting(lines["file"]))
        write_text(folder.root / "issues.csv", text)
        images = self.request.typed(*(LookRequest.options().keys() - SHARED))
        unused = len(left_out := self.dataset.card.left_out)
        facts = {
            "left out": f"{unused:,} of {unused + len(self.dataset.table):,} images, such as {left_out[0]}"
            if left_out
            else "",
            "data": str(self.request.data),
            "look again": f"assay look {self.request.typed('open', 'as_json')}",
            "next study": f"assay init {images}",
            "next audit": f"assay audit MODEL --images {images}",
            "target": name_of_target(self.spec),
            "patient": self.spec.patient,
            "embeddings": embeddings.name if embeddings else "",
            "images": f"{len(self.dataset.table):,}",
            "patients": f"{len(np.unique(self.dataset.table.patient)):,}",
            "examined at": _sides_examined(self.dataset, self.request.size),
            **facts_of(self.dataset.card, self.dataset.table.classes),
            "matched": "; ".join(filter(None, (self.dataset.card.read.get("matched"), *notes))),
            **time_and_versions((*OF_IMAGES, *(embeddings.libraries if embeddings else ()))),
        }
        return {
            "findings": caution_rows(
                (*checks.reasons, *filter(None, [checks.unjudged]), *map(reason_in_words, self.dataset.card.doubts))
            ),
            "shortcuts": checks.shortcuts,
            "decoded": decoded,
            "issues": issues,
            "pictures": [
                *checks.pictures(writer),
                *cue_pictures(self.dataset, checks.cues, writer, self.request.size),
                *writer.draw_mask_outlines(self.dataset),
            ],
            "provenance": [{"key": key, "value": value} for key, value in facts.items() if value],
        }


def cue_pictures(dataset: Dataset, cues: Sequence[Cue], writer: PictureWriter, size: int) -> Iterator[Row]:
    """Draw the images with most and with least of the strongest property that counts pixels, if it is a caution.

    Args:
        dataset: The images.
        cues: What may predict the target.
        writer: Where it is drawn.
        size: Longer side at which files are examined.
    """
    strong = [cue for cue in cues if cue.row["strong"] and cue.row["kind"] == "image" and cue.row["name"] in COUNTED]
    for cue in sorted(strong, key=lambda cue: -cue.row["value"])[:1]:
        name, scores = str(cue.row["name"]), measure_images(dataset, size)
        order = scores.rows[np.argsort(-scores.properties[name], kind="stable")]
        rows = np.concatenate([order[:IMAGES_PER_END], order[-IMAGES_PER_END:]])
        yield writer.draw_cue(dataset, rows.tolist(), counted_pixels(dataset, rows, name, size), name)


def _sides_examined(dataset: Dataset, size: int) -> str:
    """Return the longer sides at which images are examined: `64 px`, `48 to 128 px`."""
    sides = np.array([size]) if dataset.native is None else np.minimum(dataset.native.max(axis=1), size)
    return f"{' to '.join(dict.fromkeys(map(str, (sides.min(), sides.max()))))} px"
