"""Replicate a finished study on fresh seeds, and compare the replication with the run that it repeats."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.core.errors import StoreError
from assay.report.context import RunTables
from assay.spec.document import Document
from assay.spec.load import STUDIES, put
from assay.spec.schema import StudySpec
from assay.stats.decisions import DECIDING_COLUMNS
from assay.stats.format import count
from assay.stats.replication import RUN_COLUMNS, replication_row
from assay.stats.rows import COMPARISON_KEY, PRIMARY, Row
from assay.store.files import json_text, read_checked_json, read_json, write_checked_json
from assay.store.folder import RunFolder
from assay.store.local import require_paths
from assay.study.interim import has_next_look
from assay.study.kind import STUDY
from assay.study.records import require_known_addresses, stored_study
from assay.study.request import ResolvedStudy

FILE = "replication.json"
COLUMNS_SHOWN = ("value", "low", "high", "p", "seeds", "decision", *DECIDING_COLUMNS, "reason")
"""Columns of `schema.CONTRASTS` that are shown of both runs."""
COLUMNS_KEPT = tuple(dict.fromkeys(("id", *COMPARISON_KEY, *RUN_COLUMNS, *COLUMNS_SHOWN)))
"""Columns of `schema.CONTRASTS` that are kept of the earlier run."""


@dataclass(frozen=True)
class EarlierRun:
    """The run that is replicated, as the folder of its replication keeps it.

    Attributes:
        name: Its name.
        first_seed: Its first seed.
        last_seed: Its last seed.
        population: The population of its test patients.
        drawn: Whether test patients can be drawn again.
        rows: Its primary comparisons; of a study without, all that were pre-specified.
        design: Of a result that is shipped with a built-in study, `design_of` its study.
        note: What to know of such a result.
    """

    name: str
    first_seed: int
    last_seed: int
    population: int
    drawn: bool
    rows: Sequence[Mapping[str, Any]]
    design: str = ""
    note: str = ""

    @property
    def title(self) -> str:
        """Return its name with its seeds and its note."""
        note = f" ({self.note})" if self.note else ""
        return f"{self.name}, seeds {self.first_seed} to {self.last_seed}{note}"

    def has_new_patients(self, spec: StudySpec) -> bool:
        """Return whether a study tests on other patients."""
        return self.drawn and spec.data.population != self.population


def earlier_of(name: str, spec: StudySpec, last_seed: int, contrasts: Sequence[Row]) -> EarlierRun:
    """Return a finished run in the form that its replication keeps.

    Args:
        name: The name of the run.
        spec: Its study.
        last_seed: The last seed of any recipe.
        contrasts: Its rows of `schema.CONTRASTS`.
    """
    rows = [row for row in contrasts if row["role"] == PRIMARY] or contrasts
    stored_rows = [{key: _plain(row[key]) for key in COLUMNS_KEPT} for row in rows if not row["exploratory"]]
    is_phantom = spec.data.phantom is not None
    return EarlierRun(name, spec.first_seed, last_seed, spec.data.population, is_phantom, stored_rows)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def keep_earlier(root: Path, replicated: EarlierRun) -> None:
    """Keep the run that is replicated in the folder of its replication.

    Raises:
        StoreError: The folder holds the replication of another run.
    """
    existing = earlier(root)
    if existing is None:
        write_checked_json(root / FILE, asdict(replicated))
    elif json_text(asdict(existing)) != json_text(asdict(replicated)):
        raise StoreError(f"{root} replicates another run, or another state of it: choose another --out")


def earlier(root: Path) -> EarlierRun | None:
    """Return the run that a run folder replicates; None where it replicates none."""
    return EarlierRun(**read_checked_json(root / FILE)) if (root / FILE).is_file() else None


SHIPPED = STUDIES / "earlier"
"""Earlier results of built-in studies. A study that still has that design and has other seeds replicates them."""


def design_of(spec: StudySpec) -> str:
    """Return the hash of all that is trained, but for the seeds."""
    return spec.model_copy(update={"seeds": 1, "first_seed": 0}).training_hash


def find_earlier(root: Path, spec: StudySpec) -> EarlierRun | None:
    """Return the run that a run folder replicates, or the shipped result that its built-in study does; else None."""
    file = SHIPPED / f"{spec.name}.json"
    if (existing := earlier(root)) or not file.is_file():
        return existing
    shipped = EarlierRun(**read_json(file))
    fresh = spec.first_seed > shipped.last_seed or spec.first_seed + spec.most_seeds <= shipped.first_seed
    return shipped if fresh and shipped.design == design_of(spec) else None


def replication_rows(root: Path, spec: StudySpec, contrasts: Sequence[Row]) -> list[Row]:
    """Return rows of `schema.REPLICATIONS`; none of a run that replicates none."""
    first = find_earlier(root, spec)
    if first is None:
        return []
    earlier_rows, new = {row["id"]: row for row in first.rows}, first.has_new_patients(spec)
    sizes = Counter(row["family"] for row in contrasts)
    return [
        {
            **{name: row[name] for name in ("id", *COMPARISON_KEY, "margin", *COLUMNS_SHOWN)},
            **{f"first_{name}": _read(earlier_rows[row["id"]].get(name), name) for name in COLUMNS_SHOWN},
            **replication_row(earlier_rows[row["id"]], row, family=sizes[row["family"]], new_patients=new),
            "patients": "new" if new else "same",
        }
        for row in contrasts
        if row["id"] in earlier_rows and not row["exploratory"]
    ]


def _read(value: Any, name: str) -> Any:
    return value or "" if name in ("decision", "reason") else math.nan if value is None else value


SEEDS = 10
"""Seeds of a replication by default."""


def prepare_replication(root: Path, out: Path, seeds: int = SEEDS) -> tuple[ResolvedStudy, EarlierRun]:
    """Return the study that replicates a finished run, with its folder, and the run as the folder keeps it.

    Args:
        root: The run folder.
        out: The folder of all run folders.
        seeds: Seeds of the replication, all beyond those of the run.

    Raises:
        StoreError: It holds no finished run of a study that trains.
        CodeError: It names an address to download from, and is not this user's.
    """
    folder = RunFolder(root)
    folder.require_run()
    folder.require(STUDY)
    plan = stored_study(root).plan
    require_known_addresses(root, plan)
    spec = plan.spec
    if spec.models:
        raise StoreError(f"{root} reads models that were trained elsewhere, so there is no training to replicate")
    tables = RunTables(root)
    missing_counts = len(plan.missing_trials(folder)), len(plan.missing_probes(folder))
    if any(missing_counts) or has_next_look(spec, tables["looks"]):
        raise StoreError(
            f"{root} is not finished ({count(missing_counts[0], 'training run')} and "
            f"{count(missing_counts[1], 'probe')} are missing): "
            "finish it by the same command, then replicate it"
        )
    asked = json.dumps(folder.document()["request"]["spec"])
    read = json.loads(asked, object_hook=lambda part: {key: part[key] for key in part if key != "joined_from"})
    require_paths(root, read, folder.require_run().remedy)
    last = max(trial.training.seed for trial in plan.trials)
    first = earlier_of(root.name, spec, last, tables["contrasts"])
    next_seeds, patients = {"first_seed": last + 1, "seeds": seeds}, spec.data.population + first.drawn
    section, written = "data.train" if spec.data.tests else "data", Document(dict(spec.written))
    for key, value in {**next_seeds, **({f"{section}.population": patients} if first.drawn else {})}.items():
        written = put(written, key, value, "")
    data = spec.data.model_copy(update={"population": patients})
    again = spec.model_copy(update={**next_seeds, "data": data, "looks": (), "written": written.values, "command": ""})
    return ResolvedStudy(again, out / f"{root.name}-replication"), first
