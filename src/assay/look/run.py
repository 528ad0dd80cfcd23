"""Look at images before any network: copies, predictors of the target, odd images and groups too small to test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float

from assay.core.errors import DataError, SpecError, key_text
from assay.core.files import default_cache_root
from assay.core.reasons import reason_in_words
from assay.core.versions import versions
from assay.data.cache import ArrayCache, Notify, silent
from assay.data.cards import facts_of
from assay.data.dataset import Dataset
from assay.data.files.joins import match, require_matched
from assay.data.files.load import load_dataset, names_of
from assay.data.files.request import data_of
from assay.data.files.table import number, read_table
from assay.execution.local import InProcess
from assay.execution.run import RunSteps, Tables, carry_out
from assay.look.checks import data_checks, issue
from assay.look.kind import LOOK
from assay.look.request import LookRequest
from assay.report.page import write_page
from assay.report.pictures import PictureSettings
from assay.spec.document import mapping_of
from assay.spec.request import parse_request
from assay.spec.schema import DataSpec
from assay.spec.yaml import read_yaml
from assay.stats.doubts import caution_rows
from assay.store.data_tables import ISSUE_KINDS, ISSUES
from assay.store.files import Row, write_text
from assay.store.folder import RunFolder

CUE = "cue"


def look(request: LookRequest, notify: Notify = silent) -> Path:
    """Look at images, and write tables, pictures, `issues.csv` and a page. Return the run folder.

    Args:
        request: What to look at: a folder, a CSV, a data frame or `data` of a study.
        notify: Callback for images while they are read.

    Raises:
        SpecError: No column is surely the target, or one is missing.
        DataError: No image can be read.
    """
    read = data_of(request.data, **request.named)
    # Where masks decide, no column of the target holds others against it.
    factors = {"factors": read.others} if read.of_masks and "factors" not in read.data else {}
    images = {**read.data, **factors, "size": request.size, "links": "follow"}
    spec = parse_request(images, {"all": {}}, ("performance",)).data
    out = request.out or Path("looks") / read.name
    dataset = load_dataset(spec, ArrayCache(default_cache_root(), notify), skip_bad_rows=True, keep_copies=True,
                           alike=True)  # fmt: skip
    run = LookRun(request.without_data("data"), spec, dataset)
    carry_out(run, out, InProcess(), write_page)
    return out


@dataclass(frozen=True)
class LookRun(RunSteps):
    """A look as a `Run`.

    Attributes:
        request: What was asked.
        spec: The images.
        dataset: The images as they were read.
    """

    request: LookRequest
    spec: DataSpec
    dataset: Dataset
    kind = LOOK

    def conclude(self, folder: RunFolder) -> Tables:
        """Return the tables, draw the pictures, and write `issues.csv` with the names of files."""
        embeddings, matched = self._embeddings()
        checks = data_checks(self.spec, self.dataset, embeddings=embeddings)
        gallery = PictureSettings(folder.root / "pictures", self.dataset.scale, self.spec.target)
        names, places = names_of(self.spec), self.dataset.table.places
        left = sorted(names.keys() - set(places.numbers)) if places else []
        issues = [*checks.issues, *(issue("left-out", at) for at in left)]
        rows = [{"file": names.get(row["row"], ""), **row} for row in issues]
        lines = pd.DataFrame(rows, columns=["file", *ISSUES.names])
        write_text(folder.root / "issues.csv", lines.to_csv(index=False, lineterminator="\n"))
        unused = len(left_out := self.dataset.card.left_out)
        facts = {
            "left out": f"{unused:,} of {unused + len(self.dataset.table):,} images, such as {left_out[0]}"
            if left_out
            else "",
            "data": str(self.request.data),
            "target": self.spec.target if not self.spec.classes else "class",
            "patient": self.spec.patient,
            "embeddings": getattr(self.request.embeddings, "name", ""),
            "images": f"{len(self.dataset.table):,}",
            "patients": f"{len(np.unique(self.dataset.table.patient)):,}",
            **facts_of(self.dataset.card, self.dataset.table.classes),
            "matched": "; ".join(filter(None, (self.dataset.card.read.get("matched"), *matched))),
            "looked at": datetime.now(UTC).isoformat(timespec="seconds"),
            **versions(),
        }
        return {
            "findings": caution_rows((*checks.reasons, *map(reason_in_words, self.dataset.card.doubts))),
            "shortcuts": checks.shortcuts,
            "issues": issues,
            "pictures": [*checks.pictures(gallery), *gallery.mask_outlines(self.dataset)],
            "provenance": [{"key": key, "value": value} for key, value in facts.items() if value],
        }

    def _embeddings(self) -> tuple[Float[np.ndarray, "n d"] | None, tuple[str, ...]]:
        """Return the numbers of every image from the file that was given, NaN without a row, and what to say of it.

        Raises:
            DataError: Too many images have no row there, or a cell is no finite number.
        """
        path, own = self.request.embeddings, self.dataset.table
        if path is None or own.places is None:
            return None, ()
        column = self.spec.image if self.spec.table else "file"
        table, names = read_table(path, column), list(map(names_of(self.spec).__getitem__, own.places.numbers))
        matches = match(names, table.column(column, key_text("--embeddings")))
        classes = [own.classes[int(code)] for code in own.target]
        notes = require_matched(matches, path.name, unmatched=self.request.unmatched, classes=classes,
                               lines=table.numbers)  # fmt: skip
        features = table.frame.drop(columns=column).iloc[list(matches.pairs.values())]
        cells = np.full((len(names), features.shape[1]), np.nan)
        cells[list(matches.pairs)] = features.map(partial(number, comma=table.comma)).to_numpy(np.float64)
        bad = [at for at in matches.pairs if np.isnan(cells[at]).any()]
        if bad or not cells.shape[1]:
            what = f"a cell of {names[bad[0]]} is no number" if bad else "no column of numbers"
            raise DataError(f"{path.name}: {what}; expected {column} and columns of numbers")
        return cells, notes


# Policies.


def broken(path: Path, issues: Sequence[Row], shortcuts: Sequence[Row]) -> list[str]:
    """Return a sentence for everything that breaks a policy: `forbid: [copy, blank]`, `require: {cue: 0.8}`.

    Raises:
        SpecError: The policy cannot be read, or a rule is unknown.
    """
    values = read_yaml(path).values
    required = mapping_of(values.get("require", {})) or {}
    forbidden = cast("list[Any]", values.get("forbid") or [])
    if set(values) - {"forbid", "require"} or set(required) - {CUE} or not set(forbidden) <= set(ISSUE_KINDS):
        raise SpecError(
            f"{path.name}: expected forbid: a list of {', '.join(ISSUE_KINDS)}, and require: {{{CUE}: 0.8}}"
        )
    counts = {kind: sum(row["kind"] == kind for row in issues) for kind in forbidden}
    excesses = [f"{count} x {kind}, which is forbidden" for kind, count in counts.items() if count]
    limit = float(required.get(CUE, 1.0))
    return [*excesses, *(f"{row['name']}: AUROC {row['value']:.3f}, over {limit:g}" for row in shortcuts
                      if row["strong"] and row["value"] > limit)]  # fmt: skip
