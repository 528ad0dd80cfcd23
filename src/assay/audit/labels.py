"""Audit every label of a model with several outputs: an audit each, corrected over labels."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.special import stdtr, stdtrit
from torch import Tensor, nn

from assay.audit.search.words import region_title
from assay.audit.tables import NOT_TESTED
from assay.core.errors import DataError, ReadingError, SpecError, key_text, unknown_name
from assay.core.files import content_hash, hide_paths_within, is_file
from assay.data.files.labels import HEADERS
from assay.data.files.table import read_table
from assay.models.ref import ModelFacts, Origin
from assay.report.context import PageContext
from assay.report.index_page import Index, page_link
from assay.report.page import render_html
from assay.report.sheets import SheetRow, csv_quoting, escape_formula, number_cell, p_value_cell, text_cell
from assay.stats.bounds import ALPHA
from assay.stats.compare import holm
from assay.stats.format import count
from assay.stats.rows import REPORTED, RegionVerdict, leading_region, numeric
from assay.store.files import Row, write_text
from assay.store.folder import RunFolder

_NAMES = re.compile(r"(?<=such as )('[^']*'(?:, '[^']*')*)|'[^'\d./]*'|('[^']*')")
"""Quoted texts of an error that may be names of files; names of classes are no match."""
ALL_OUTPUTS = "all"
"""`--output` of an audit of every label."""
TABLE, PAGE = "labels.csv", "report.html"
COLUMN_HEADS = ("label", "found", "AUROC", "effect (sd)", "95% lower bound", "limit", "p")
LABELS_NOTE = (
    "'Nothing found' does not rule out a shortcut. p: test that the effect exceeds its limit or, without a limit, the "
    "smallest effect that is reported; corrected over searches and, by Holm, over labels."
)
_MAX_FOLDER_NAME = 60
"""Most letters of a label in the name of its folder."""
MAX_VERDICTS_NAMED = 3
"""Most verdicts in the headline of all labels."""
AuditLabel = Callable[[Origin, str, int, Path], Path]
"""Function of a model, a label, the position of its output and a folder: audits the label, returns the run folder."""


def audit_labels(origin: Origin, labels: Sequence[str], table: Path, out: Path, audit: AuditLabel) -> list[Row]:
    """Audit labels, and write a page of all with `labels.csv`. An image of several labels is read once.

    Args:
        origin: The model.
        labels: Columns of the labels, named as outputs, or in the order of the outputs where these have no names;
            where empty, all columns that are named like an output.
        table: The file of the columns; none is missing where there is no such file.
        out: The folder, which gets a folder for each label.
        audit: Audits one label.

    Returns:
        Rows with `label`, `auroc`, `verdict` on the region that its page leads with, `found` in words, `value`,
        `value_low`, `limit`, `p` (corrected over searches, and by Holm over labels), `folder` and `reason`. A verdict
        that does not hold over all labels is inconclusive; the page of a label has the one without correction.

    Raises:
        SpecError: There is no label, one is no output or column, or a request is wrong.
    """
    names = origin.facts.outputs
    columns = read_table(table, "").header if is_file(table) else labels or names
    labels = labels or [name for name in names if name in columns]
    if not labels:
        raise SpecError(
            f"{key_text('--output', 'all')}: name the column of each output, in their order, with "
            f"{key_text('--target', 'A,B,C')}"
        )
    for what, names_known, more in (("output", names or labels, ()), ("column", columns, HEADERS)):
        if missing := [label for label in labels if label not in (*names_known, *more)]:
            raise SpecError(f"{key_text('--target')}: {unknown_name(what, missing[0], names_known)}")
    positions = [names.index(label) if names else position for position, label in enumerate(labels)]
    folders = [_folder_of_label(out, label) for label in labels]
    cached_model = _CachedModel(origin, max(positions) + 1)
    rows: list[Row] = []
    first_error = ""
    for position, label, folder in zip(positions, labels, folders, strict=True):
        try:
            root = audit(cached_model, label, position, folder)
        except (DataError, ReadingError, SpecError) as error:  # such as of a label that too few images have
            if isinstance(error.__cause__ or error, _FewOutputsError):
                raise
            message = _without_names(str(error)) if isinstance(error, DataError) else str(error)
            rows.append({"label": label, "auroc": math.nan, "p": math.nan, "region": None, "folder": "",
                         "reason": hide_paths_within(message)})  # fmt: skip
            first_error = first_error or str(error)
            continue
        rows.append(_read_label_row(label, RunFolder(root)))
        cached_model.next_label(RunFolder(root))
    if not any(row["folder"] for row in rows):
        raise SpecError(first_error)
    corrected = _correct_labels(rows)
    write_labels(corrected, out / PAGE)
    cells = [
        {name: escape_formula(cell) if isinstance(cell, str) else cell for name, cell in row.items()}
        for row in corrected
    ]
    quotes = csv_quoting(row["label"] for row in cells)
    write_text(out / TABLE, pd.DataFrame(cells).to_csv(index=False, lineterminator="\n", quoting=quotes))
    return corrected


def _folder_of_label(out: Path, label: str) -> Path:
    """Return the folder of a label, whose name may be of the model's file. Raises SpecError where it is elsewhere."""
    file_name = re.sub(r"[^\w -]", "-", label)[:_MAX_FOLDER_NAME]
    folder = out / (file_name if file_name and file_name == label else f"{file_name}.{content_hash(label)[:8]}")
    if not folder.resolve().is_relative_to(out.resolve()):
        raise SpecError(f"{folder} is a link that leads out of {out}: choose another place with {key_text('--out')}")
    return folder


def _without_names(text: str) -> str:
    return _NAMES.sub(lambda match: "'...'" if match[1] or match[2] else match[0], text)


def _read_label_row(label: str, folder: RunFolder) -> Row:
    """Return a row with the AUROC, the leading region, and the p of an effect within its limit, over searches."""
    auroc = next((row["value"] for row in folder.table("checks") if row["check"] == "ranking"), math.nan)
    regions = folder.table("regions")
    region = leading_region(regions) or next((row for row in regions if row["of"] == "place"), None)
    searches = sum(not math.isnan(numeric(row, "value")) for row in regions)
    label_row: Row = {"label": label, "auroc": auroc, "p": math.nan, "region": region, "folder": str(folder.root)}
    if region is None or math.isnan(numeric(region, "value")):
        return label_row
    limit, df = numeric(region, "limit"), numeric(region, "patients") - 1
    error = (numeric(region, "value") - numeric(region, "value_low")) / -float(stdtrit(df, ALPHA))
    distance_to_limit = numeric(region, "least" if math.isnan(limit) else "limit") - numeric(region, "value")
    p = float(stdtr(df, distance_to_limit / error)) if error > 0 else float(distance_to_limit >= 0)
    return {**label_row, "p": min(1.0, searches * p)}


def _correct_labels(rows: Sequence[Row]) -> list[Row]:
    """Return rows with p by Holm over labels, and the verdicts that hold at it."""
    tested = [at for at, row in enumerate(rows) if not math.isnan(row["p"])]
    p = dict(zip(tested, holm(np.array([rows[at]["p"] for at in tested])).tolist(), strict=True))
    corrected: list[Row] = []
    for at, row in enumerate(rows):
        region: Row = {"verdict": NOT_TESTED, **(row["region"] or {})}
        if region["verdict"] in REPORTED and not p.get(at, 1.0) < ALPHA:
            region = {**region, "verdict": str(RegionVerdict.INCONCLUSIVE)}
        numbers = {name: numeric(region, name) for name in ("value", "value_low", "limit")}
        finding_text = region_title(region) if row["region"] else ""
        corrected.append(
            {
                "label": row["label"],
                "auroc": row["auroc"],
                "verdict": region["verdict"],
                "found": finding_text,
                **numbers,
                "p": p.get(at, math.nan),
                "folder": row["folder"],
                "reason": row.get("reason", ""),
            }
        )
    return corrected


def write_labels(rows: Sequence[Row], path: Path) -> None:
    """Write a page with the rows of `audit_labels`, linked to their pages."""
    links = tuple(page_link(Path(row["folder"]), path) if row["folder"] else "" for row in rows)
    lines = tuple(
        SheetRow(
            (
                text_cell(row["label"]),
                text_cell(row["found"] or row["reason"]),
                number_cell(row["auroc"]),
                *(number_cell(row[name]) for name in ("value", "value_low", "limit")),
                p_value_cell(row["p"]),
            )
        )
        for row in rows
    )
    facts = [PageContext.of(folder).facts for folder in (Path(row["folder"]) for row in rows if row["folder"])]
    read = max(int(facts_of_label["images"].partition(" of ")[0].replace(",", "")) for facts_of_label in facts)
    meta = f"{facts[0]['model']} · {count(len(rows), 'label')} · {count(read, 'image')}"
    write_text(path, render_html("index.html", Index(COLUMN_HEADS, lines, links, LABELS_NOTE, _headline(rows), meta)))


def _headline(rows: Sequence[Row]) -> str:
    """Return how many labels have a verdict, the gravest first: `2 of 3 labels: depends on a border; 1: not tested.`"""
    texts = Counter[tuple[int, str]]()
    for row in rows:
        finding_text = f"{row['found'][:1].lower()}{row['found'][1:]}".replace(": ", ", ")
        code, verdicts_in_order = row["verdict"], [*RegionVerdict, NOT_TESTED]
        texts[verdicts_in_order.index(code), finding_text if code in REPORTED else code.replace("-", " ")] += 1
    texts_by_count = [f"{n}: {text}" for (_, text), n in sorted(texts.items(), key=lambda item: (item[0][0], -item[1]))]
    more = (
        [f"{len(texts_by_count) - MAX_VERDICTS_NAMED} more below"] if len(texts_by_count) > MAX_VERDICTS_NAMED else []
    )
    return f"{'; '.join([*texts_by_count[:MAX_VERDICTS_NAMED], *more])}.".replace(
        ":", f" of {count(len(rows), 'label')}:", 1
    )


class _FewOutputsError(SpecError):
    """A model has fewer outputs than labels."""


@dataclass(frozen=True)
class _CachedModel(Origin):
    """A model that reads an image once for all labels; again for each label where its outputs are not repeatable.

    Attributes:
        origin: The model.
        min_outputs: Number of outputs that it must have.
    """

    origin: Origin
    min_outputs: int = 0
    _outputs: dict[bytes, Tensor] = field(default_factory=dict[bytes, Tensor], compare=False, repr=False)
    _new_outputs: dict[bytes, Tensor] = field(default_factory=dict[bytes, Tensor], compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("kind", "complete", "opaque"):
            object.__setattr__(self, name, getattr(self.origin, name))

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.origin.name

    @property
    def facts(self) -> ModelFacts:
        """Facts that the model states."""
        return self.origin.facts

    def _content(self) -> str:
        return self.origin.content

    def network(self, device: str) -> nn.Module:
        """Return the network with the memory before it."""
        return _CachingNetwork(self.origin.network(device), self.min_outputs, self._outputs, self._new_outputs)

    def next_label(self, audited: RunFolder) -> None:
        """Go on to the next label, and reuse the outputs that were read if the audit found them repeatable."""
        repeats = {row["status"] for row in audited.table("checks") if row["check"] == "repeatable"}
        if repeats == {"ok"}:
            self._outputs.update(self._new_outputs)
        self._new_outputs.clear()


class _CachingNetwork(nn.Module):
    """A network that looks up the outputs for images that it read before, and stores those for new images."""

    def __init__(
        self, network: nn.Module, min_outputs: int, outputs: Mapping[bytes, Tensor], new: dict[bytes, Tensor]
    ) -> None:
        super().__init__()
        self.network, self.min_outputs, self.known, self.new = network, min_outputs, outputs, new

    def forward(self, images: Float[Tensor, "b c h w"]) -> Tensor:
        parts = map(vars, self.network.modules())
        hooked = any(module["_forward_hooks"] or module["_forward_pre_hooks"] for module in parts)
        if images.requires_grad or hooked:  # who hooks layers is to see all images
            return cast(Tensor, self.network(images))
        pixels = images.detach().cpu().numpy()
        keys = [
            hashlib.blake2b(np.ascontiguousarray(pixels_of_image).tobytes(), digest_size=16).digest()
            for pixels_of_image in pixels
        ]
        missing = [at for at, key in enumerate(keys) if key not in self.known]
        new_outputs: dict[int, Tensor] = {}
        if missing:
            outputs: Any = self.network(images[missing])
            if not isinstance(outputs, Tensor) or outputs.ndim != 2:
                return cast(Tensor, outputs)  # refused by who asked
            if outputs.shape[1] < self.min_outputs:
                raise _FewOutputsError(
                    f"{key_text('--target')} needs {self.min_outputs} outputs, and the model has "
                    f"{outputs.shape[1]}: name "
                    "the column of each output, in their order"
                )
            new_outputs = dict(zip(missing, outputs.detach(), strict=True))
            self.new.update({keys[at]: scores for at, scores in new_outputs.items()})
        return torch.stack([new_outputs[at] if at in new_outputs else self.known[key] for at, key in enumerate(keys)])
