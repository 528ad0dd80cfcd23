"""Look at images before any network: copies, predictors of the target, odd images and groups too small to test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from assay.analysis.audit import LEAST_IN_CLASS, groups_of
from assay.analysis.described import facts_of
from assay.analysis.pictures import Gallery
from assay.analysis.shortcuts import cues_of, looked_at, sampled_images, shortcut_cautions, shortcut_rows
from assay.core.errors import SpecError
from assay.core.reasons import Code, Reason, because
from assay.core.types import FactorTable
from assay.core.versions import versions
from assay.data.cache import ArrayCache, Notify, default_cache_root, silent
from assay.data.cards import without_patients
from assay.data.dataset import Dataset
from assay.data.files.folder import undeclared_table
from assay.data.files.guess import SPLITS, guess
from assay.data.files.in_memory import on_disk
from assay.data.files.load import listing_of, load_dataset
from assay.data.leakage import exact_groups, image_hashes
from assay.data.near_copies import Pair, together
from assay.execution.local import InProcess
from assay.execution.tasks import Task
from assay.runs.run import Tables, carry_out
from assay.spec.document import mapping_of
from assay.spec.schema import DataSpec
from assay.spec.yaml import read_yaml
from assay.stats.findings import Finding, to_row, with_ids
from assay.store import kinds
from assay.store.data_tables import ISSUE_KINDS
from assay.store.files import Row, write_text
from assay.store.folder import RunFolder
from assay.study.look_request import LookRequest

FAR = 5.0
"""Robust standard deviations from the median from which on an image is odd."""
BLANK, MARKED = 0.003, 0.002
"""Contrast under which an image is blank, and share of thin bright marks over which it is marked."""
NEIGHBORS, COMPONENTS = 5, 16
SHOWN = 16
"""Images of a kind that are drawn."""
CUE = "cue"


def look(asked: LookRequest, notify: Notify = silent) -> Path:
    """Look at images, and write tables, pictures, `issues.csv` and a page. Return the run folder.

    Args:
        asked: What to look at: a folder, a CSV, a data frame or `data` of a study.
        notify: Callback for images while they are read.

    Raises:
        SpecError: No column is surely the target, or one is missing.
        DataError: No image can be read.
    """
    spec = DataSpec.model_validate({**_data(asked), "size": asked.size, "links": "follow"})
    name = Path(spec.folder or spec.classes).name
    out = asked.out or Path("looks") / (name if isinstance(asked.data, str | Path) else "frame")
    dataset = load_dataset(spec, ArrayCache(default_cache_root(), notify), skip_bad_rows=True, keep_copies=True)
    kept = asked.but(data=str(asked.data) if isinstance(asked.data, str | Path) else "in memory")
    run = LookRun(kept, spec, dataset)
    carry_out(run, out, InProcess())
    return out


def _data(asked: LookRequest) -> Mapping[str, Any]:
    given = asked.data
    if isinstance(given, Mapping):
        return cast("Mapping[str, Any]", given)
    if not isinstance(given, str | Path):
        table = on_disk({"table": given, **({"image": asked.image} if asked.image else {})})
        given = Path(table["folder"]) / table["table"]
    found = guess(given, asked.target, asked.patient, asked.image).data()
    return {**found, **({"positive": [asked.positive]} if asked.positive else {})}


@dataclass(frozen=True)
class LookRun:
    """A look as a `Run`.

    Attributes:
        request: What was asked.
        spec: The images.
        dataset: The images as they were read.
    """

    request: LookRequest
    spec: DataSpec
    dataset: Dataset
    kind = kinds.LOOK

    def next(self, folder: RunFolder) -> Sequence[Task]:
        """Return none: nothing is trained."""
        return ()

    def conclude(self, folder: RunFolder) -> Tables:
        """Return the tables, draw the pictures, and write `issues.csv` with the names of files."""
        found = images_looked_at(self.spec, self.dataset)
        gallery = Gallery(folder.root / "pictures", self.dataset.scale, self.spec.target)
        names, places = self._names, self.dataset.table.places
        left = sorted(names.keys() - set(places.numbers)) if places else []
        issues = [*found.issues, *(_issue("left-out", number) for number in left)]
        lines = pd.DataFrame([{"file": names.get(row["row"], ""), **row} for row in issues])
        write_text(folder.root / "issues.csv", lines.to_csv(index=False, lineterminator="\n"))
        facts = {
            "data": str(self.request.data),
            "target": self.spec.target if not self.spec.classes else "folder",
            "patient": self.spec.patient,
            "images": f"{len(self.dataset.table):,}",
            "patients": f"{len(np.unique(self.dataset.table.patient)):,}",
            **facts_of(self.dataset.card),
            **versions(),
        }
        return {
            "findings": found.findings,
            "shortcuts": found.shortcuts,
            "issues": issues,
            "pictures": list(found.pictures(gallery)),
            "provenance": [{"key": key, "value": value} for key, value in facts.items() if value],
        }

    @cached_property
    def _names(self) -> Mapping[int, str]:
        listing = listing_of(self.spec)
        return dict(zip(listing.numbers, listing.cells("name"), strict=True))


@dataclass(frozen=True)
class Looked:
    """What a look found.

    Attributes:
        dataset: The images.
        shortcuts: Rows of this table.
        clusters: Positions of the files of each picture that several files hold.
        odd: Kind of issue -> positions of its images, the worst first, and how far each is from the others.
        issues: Rows of this table.
        reasons: What was found, the gravest first.
    """

    dataset: Dataset
    shortcuts: Sequence[Row]
    clusters: Sequence[Int[np.ndarray, " m"]]
    odd: Mapping[str, tuple[Int[np.ndarray, " m"], Float[np.ndarray, " m"]]]
    issues: Sequence[Row]
    reasons: Sequence[Reason]

    @property
    def findings(self) -> list[Row]:
        """Rows of this table."""
        return list(map(to_row, with_ids([Finding("caution", one.codes[0].light, one) for one in self.reasons])))

    def pictures(self, gallery: Gallery) -> Iterator[Row]:
        """Draw clusters of copies and odd images."""
        yield from (gallery.found(self.dataset, files, "copy") for files in self.clusters[:4])
        yield from (gallery.found(self.dataset, rows, kind) for kind, (rows, _) in self.odd.items())


def images_looked_at(spec: DataSpec, dataset: Dataset) -> Looked:
    """Look at the images of a dataset, whose exact copies are kept."""
    table, others = dataset.table, undeclared_table(spec)
    shortcuts = shortcut_rows(cues_of(spec, dataset))
    clusters = _clusters(dataset)
    odd = {kind: found for kind, found in _odd(dataset).items() if len(found[0])}
    small = list(_small_groups(others))
    numbers = list(table.places.numbers) if table.places else list(range(1, len(table) + 1))
    parts = list(_across_parts(table, others, clusters))
    issues = [
        *(_issue("copy", numbers[at], of=_class(table, at), cluster=group)
          for group, files in enumerate(clusters, start=1) for at in _positions(files)),
        *(_issue("across-parts", 0, of=str(one.causes[0]["column"])) for one in parts),
        *(_issue(kind, numbers[at], of=_class(table, at), value=float(far))
          for kind, (rows, away) in odd.items() for at, far in zip(_positions(rows), away, strict=True)),
        *(_issue("small-group", 0, of=name) for name in small),
    ]  # fmt: skip
    unnamed = without_patients(dataset.card.known_faults)
    reasons = [
        *parts,
        *_of_clusters(table, clusters, named=not unnamed),
        *shortcut_cautions(shortcuts, proxies=True),
        *(because(Code.ODD_IMAGES, count=len(rows), kind=kind) for kind, (rows, _) in odd.items()),
        *([because(Code.ROWS_LEFT_OUT, count=len(dataset.card.left_out))] if dataset.card.left_out else []),
        *_of_small(small),
        *([because(Code.PATIENTS_UNKNOWN, text=unnamed)] if unnamed else []),
    ]
    return Looked(dataset, shortcuts, clusters, odd, issues, reasons)


def _issue(kind: str, row: int, *, of: str = "", cluster: int = 0, value: float = np.nan) -> Row:
    assert kind in ISSUE_KINDS
    return {"kind": kind, "row": row, "cluster": cluster, "of": of, "value": value}


def _positions(rows: Int[np.ndarray, " m"]) -> list[int]:
    return rows.tolist()


def _class(table: FactorTable, at: int) -> str:
    return table.classes[int(table.target[at])]


# Copies.


def _clusters(dataset: Dataset) -> list[Int[np.ndarray, " m"]]:
    """Return the positions of the files of every picture that is there more than once, the most frequent first."""
    count = len(dataset.table)
    each = np.arange(count)
    exact = exact_groups(image_hashes(dataset.images), each)
    pairs = [Pair(int(group[0]), int(at), 1.0) for group in exact for at in group[1:]]
    linked = together(each, [*pairs, *dataset.near_copies])
    groups = [np.flatnonzero(linked == first) for first in np.unique(linked)]
    return sorted((group for group in groups if len(group) > 1), key=len, reverse=True)


def _of_clusters(table: FactorTable, clusters: Sequence[np.ndarray], *, named: bool) -> Iterator[Reason]:
    if clusters:
        across = sum(len(np.unique(table.patient[files])) > 1 for files in clusters) if named else 0
        against = sum(len(np.unique(table.target[files])) > 1 for files in clusters)
        yield because(Code.COPY_CLUSTERS, groups=len(clusters), files=sum(map(len, clusters)), across=across,
                      contradicting=against)  # fmt: skip


def _across_parts(table: FactorTable, others: FactorTable | None, clusters: Sequence[np.ndarray]) -> Iterator[Reason]:
    """Yield columns such as `split` whose parts share patients or pictures."""
    aligned = others is not None and np.array_equal(others.target, table.target)
    for factor in others.factors if others is not None and aligned else ():
        if factor.name.casefold() not in SPLITS or not factor.levels:
            continue
        part = others.columns[factor.name] if others is not None else table.target
        pairs = np.unique(np.stack([table.patient, part], axis=1), axis=0)
        shared = len(pairs) - len(np.unique(pairs[:, 0]))
        groups = sum(len(np.unique(part[files])) > 1 for files in clusters)
        if shared or groups:
            yield because(Code.PARTS_SHARED, count=shared, groups=groups, column=factor.name)


# Odd images.


def _odd(dataset: Dataset) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rows = sampled_images(dataset.table.patient)
    found, pictures = looked_at(dataset, rows)
    bright, contrast = found["mean brightness"], found["contrast"]
    marks = found["share of thin bright marks"]
    rare = FAR if np.median(marks) == 0 else 0.0
    far = {
        "blank": np.where(contrast < BLANK, FAR, 0.0),
        "dark": np.where(bright < 0.1, -_away(bright), 0.0),
        "bright": np.where(bright > 0.9, _away(bright), 0.0),
        "blurry": -_away(np.log(found["sharpness"] + 1e-6)),
        "marked": np.where(marks > MARKED, np.maximum(_away(np.sqrt(marks)), rare), 0.0),
        "outlying": _away(np.log(_distances(next(iter(pictures.values()))) + 1e-6)),
    }
    taken = np.zeros(len(rows), dtype=bool)
    made: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for kind, away in far.items():
        own = np.flatnonzero((away >= FAR) & ~taken)
        own = own[np.argsort(-away[own], kind="stable")]
        taken[own] = True
        made[kind] = rows[own], away[own]
    return made


def _away(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return robust standard deviations from the median; 0 where over half of the values are equal."""
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle))
    return (values - middle) / spread if spread > 0 else np.zeros(len(values))


def _distances(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Return the distance of every image to its fifth neighbor, in the leading components of thumbnails."""
    centered = features - features.mean(axis=0)
    parts = np.linalg.svd(centered, full_matrices=False)
    near = min(NEIGHBORS, len(features) - 1)
    places = (parts.U * parts.S)[:, :COMPONENTS]
    return np.asarray(KDTree(places).query(places, near + 1)[0])[:, near]


def _small_groups(table: FactorTable | None) -> Iterator[str]:
    """Yield columns with their levels that have too few images of a class, where there are few levels."""
    for factor in table.factors if table is not None else ():
        found = groups_of(table, factor.name) if table is not None and factor.levels else None
        yield from (f"{factor.name} {level}" for level in (found.small if found else ()))


def _of_small(groups: Sequence[str]) -> Iterator[Reason]:
    if groups:
        yield because(Code.SMALL_GROUPS_OF, count=len(groups), least=LEAST_IN_CLASS, names=tuple(groups[:3]))


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
    found = [f"{count} x {kind}, which is forbidden" for kind, count in counts.items() if count]
    limit = float(required.get(CUE, 1.0))
    return [*found, *(f"{row['name']}: AUROC {row['value']:.3f}, over {limit:g}" for row in shortcuts
                      if row["strong"] and row["value"] > limit)]  # fmt: skip
