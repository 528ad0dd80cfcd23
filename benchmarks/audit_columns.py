"""How often an audit is right about columns: answers that differ with a factor of phantom chests.

    python benchmarks/audit_columns.py [--seeds 8] [--images 1000] [--out FILE]

Small networks are trained with no factor tied to the target, or with view or exposure tied. Each is
audited on phantoms where nothing is tied, and its swing between the groups of each column is measured on four times as
many others. A network takes 40 seconds of a core.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from _shared import Page, parser
from audit_rates import BOUND, CLEAR, rate

import assay
from assay.audit.reference_networks import audit_trained, training_study
from assay.audit.request import AuditRequest
from assay.stats.rows import Verdict
from assay.store.folder import RunFolder

DATA = {"phantom": "chest", "size": 64, "target": "mass", "core": "mass"}
HARD = {"difficulty": {"mass": 1.5}}
TIED: list[dict[str, float]] = [{}, {"view": 0.5}, {"view": 0.9}, {"exposure": 0.9}]


def columns(trial: Path, images: int, seed: int) -> dict[str, tuple[str, float]]:
    """Return column -> the verdict of an audit, and its swing."""
    with tempfile.TemporaryDirectory() as folder:
        asked = AuditRequest(
            data={**DATA, "test": images},
            domain="phantom-chest",
            environment=HARD,
            seed=seed,
            leads=False,
            marks={},
            out=Path(folder) / "audit",
        )
        found = RunFolder(audit_trained(trial, asked))
        return {row["factor"]: (row["verdict"], row["g"]) for row in found.table("verdicts") if row["kind"] == "column"}


def main() -> None:
    """Print a row per rate; a line per network goes to standard error."""
    given = parser(__doc__)
    given.add_argument("--seeds", type=int, default=8)
    given.add_argument("--images", type=int, default=1000)
    options = given.parse_args()
    environments: dict[str, Any] = {"train": {**HARD, "association": {"axis": TIED}}, "clean": HARD}
    data = {**DATA, "train": 600, "validation": 100, "test": 100}
    study = training_study("columns", data, environments, seeds=options.seeds, first_seed=7000)
    page = Page(("verdict", "swing below 0.02 in size", "swing of 0.1 or more"), options.out)
    rows: list[tuple[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        run = assay.load(study).run(Path(folder) / "runs", progress=False)
        for trial in RunFolder(run.folder).table("trials"):
            where = run.folder / "trials" / str(trial["trial"])
            audited = columns(where, options.images, int(trial["seed"]))
            pooled = columns(where, 4 * options.images, 10_000)
            rows += [(verdict, abs(pooled[name][1])) for name, (verdict, _) in audited.items() if name in pooled]
            leading = {name: f"{pooled[name][1]:+.2f}" for name, one in audited.items() if one[0] == Verdict.DIFFERS}
            print(trial["trial"], leading, file=sys.stderr, flush=True)
    for verdict in (Verdict.DIFFERS, Verdict.NO_DIFFERENCE, Verdict.INCONCLUSIVE):
        page.row(verdict, *(share(verdict, part) for part in parts(rows)))
    page.close()


def parts(rows: list[tuple[str, float]]) -> tuple[list[str], list[str]]:
    """Return verdicts where there is no swing, and where there is a clear one."""
    return [one for one, g in rows if g < BOUND], [one for one, g in rows if g >= CLEAR]


def share(verdict: str, among: list[str]) -> str:
    """Return how often a verdict was given, with the 95% interval."""
    found = rate("", among.count(verdict), len(among))
    return f"{found['count']} of {found['among']} [{100 * found['low']:.1f}, {100 * found['high']:.1f}%]"


if __name__ == "__main__":
    main()
