"""Record which comparisons were pre-specified. Comparisons added or changed after results exist stay exploratory.

The identity of a comparison covers more than a contrast's words. A level added to its axis makes a new comparison, as
do another association in its environment, another recipe, other training images or other seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.core.errors import StoreError
from assay.core.files import content_hash
from assay.core.reasons import NOTHING, Code, Reason, because, reason_of
from assay.spec.schema import RecipePoint, StudySpec
from assay.stats.rows import RULES
from assay.store.files import Row, read_checked_json, write_checked_json
from assay.store.migrations import migrated, unversioned
from assay.store.schema import SCHEMA_VERSION
from assay.study.families import Pair, spec_pairs
from assay.study.registration import FILE as REGISTRATION
from assay.study.registration import PLACES, adopt, planned_looks, registered

FILE = "stated.json"
_LOST = (
    "restore it from a copy: it alone says which comparisons were stated before results existed, and without it every "
    "one counts as exploratory, for ever"
)


@dataclass(frozen=True)
class Stated:
    """The plan before results existed.

    Attributes:
        pairs: The comparisons, by `Pair.id`.
        looks: Numbers of seeds at which they are tested.
        rules: Version of the statistical rules.
    """

    pairs: frozenset[str]
    looks: tuple[int, ...]
    rules: int

    def marked(self, rows: Sequence[Row], seeds: Callable[[Row], float]) -> list[Row]:
        """Mark the pre-specified among decided comparisons that a later rule or look decided, by codes.

        Args:
            rows: Rows of `schema.CONTRASTS` or `schema.LOOKS`.
            seeds: Returns the seeds at which a row was decided.
        """
        changed = because(Code.RULE_CHANGED, planned=self.rules, now=RULES) if self.rules != RULES else NOTHING

        def late(row: Row) -> Reason:
            added = int(seeds(row)) not in self.looks
            return changed + (because(Code.LOOK_ADDED, seeds=int(seeds(row))) if added else NOTHING)

        return [row if row.get("exploratory") else {**row, "reason": str(reason_of(row) + late(row))} for row in rows]


def state(root: Path, spec: StudySpec, results_exist: bool) -> None:
    """Record new comparisons, as pre-specified, or as exploratory when results exist.

    The file holds for each comparison its content `now`, and whether each content that it ever had was exploratory.
    Each content is stored by its hash, with the hashed names of `parts`. The file also holds the looks that were
    planned when results first existed, and the version of the rules then, or at the registration. It cannot be
    reconstructed from anything else.

    Raises:
        StoreError: A registration is younger than the results.
    """
    known = _known(root)
    adopt(root, results_exist=results_exist)
    noted, hashed, parts = (dict[str, Any](known.get(name, {})) for name in ("pairs", "hashed", "parts"))
    for pair in spec_pairs(spec):
        sides, shared = _content(spec, pair)
        made = content_hash([sides, *shared])
        before: Mapping[str, bool] = noted.get(pair.id, {}).get("exploratory", {})
        noted[pair.id] = {"now": made, "exploratory": {made: results_exist, **before}}
        parts |= {content_hash(part): part for part in (shared, *(part for side in sides for part in side))}
        names = [[content_hash(part) for part in side] for side in sides]
        hashed[made] = {"sides": names, "shared": content_hash(shared)}
    held = registered(root / REGISTRATION)
    plan = {"looks": planned_looks(spec), "rules": held.content["rules"] if held else RULES}
    plan = {name: known.get(name, value) if results_exist else value for name, value in plan.items()}
    new = {"schema": SCHEMA_VERSION, "pairs": noted, "hashed": hashed, "parts": parts, **plan}
    if new != known:
        write_checked_json(root / FILE, new)


def stated(root: Path, spec: StudySpec) -> Stated:
    """Read the record of a study. It uses the content at the last run: code that was edited since changes nothing."""
    known = _known(root)
    noted: Mapping[str, Any] = known.get("pairs", {})
    beforehand = {id for id, entry in noted.items() if not entry["exploratory"][entry["now"]]}
    own = {pair.id for pair in spec_pairs(spec) if not pair.stated.exploratory}
    looks = tuple(known.get("looks", planned_looks(spec)))
    return Stated(frozenset(beforehand & own), looks, known.get("rules", RULES))


def _content(spec: StudySpec, pair: Pair) -> tuple[list[list[dict[str, Any]]], list[Any]]:
    """Return the training and testing of the recipes of either side, along budgets and doses at every one.

    With the shared parts: data, first seed and sources, and the other set that is tested on.
    """
    sides = [[_made(one, point) for one in pair.single for point in getattr(one, side)] for side in ("a", "b")]
    sources = {name: source.canonical() for name, source in spec.sources.items()}
    tests = (point.tests.get(one.stated.environment) for one in pair.single for point in one.a)
    others = [
        _unplaced(spec.data.tests[name].canonical()) for name in sorted({one.data for one in tests if one}) if name
    ]
    return sides, [_unplaced(spec.data.for_training()), spec.first_seed, sources, *others]


def _unplaced(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a data section without the places of its files; edited images are told elsewhere."""
    return {key: value for key, value in data.items() if key not in PLACES}


def _made(pair: Pair, point: RecipePoint) -> dict[str, Any]:
    test = point.tests.get(pair.stated.environment)  # probes name some that no spec does
    trained = {"recipe": point.recipe.canonical(), "train": point.train.for_training()}
    made = {**trained, "coordinates": dict(point.coordinates), "test": test.canonical() if test else None}
    return {**made, "clean": point.tests[pair.stated.clean].canonical()} if pair.stated.clean else made


def _known(root: Path) -> dict[str, Any]:
    """Read the file; empty without one.

    Raises:
        StoreError: A later version of Assay wrote it.
    """
    path = root / FILE
    if not path.is_file():
        return {}
    found = read_checked_json(path, damaged=_LOST)
    if not isinstance(found.get("pairs"), dict):
        raise StoreError(f"cannot read {path}: it is damaged (it lists no comparisons); {_LOST}")
    return migrated(unversioned(found), path)
