"""Compare predictions of models that were made elsewhere: a row per image, recipe and seed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int
from scipy.special import logit

from assay.analysis.contrasts import Pair, family_of
from assay.analysis.results import KEY_FIELDS
from assay.analysis.tables import estimate_row
from assay.core.errors import DataError, SpecError, unknown_name
from assay.core.files import is_file
from assay.core.measures import direction_of, label_of
from assay.core.reasons import Code, Reason, because
from assay.data.files.table import Table, read_table
from assay.spec.checks import MOST_PRIMARY
from assay.spec.schema import ContrastSpec, Role
from assay.stats.compare import contrast
from assay.stats.decisions import decided, pooled
from assay.stats.doubts import findings_of, outlying_seeds
from assay.stats.estimate import estimate
from assay.stats.findings import to_row
from assay.stats.measures import COMPUTED
from assay.stats.panel import Panel
from assay.store.files import Row
from assay.store.folder import RunFolder
from assay.store.schema import TABLES

LEAST = 1e-12
"""Probabilities are held this far from 0 and 1, where log-odds are infinite."""
IMAGES = "these images"
"""Name of the images that were predicted, in the place of a test environment."""
_MOST_NAMED = 5


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a file of predictions.

    Attributes:
        by: Compared recipes, such as `loss`.
        score: Probability of the positive class, or any number that rises with it.
        target: The class.
        seed: The seed of the training.
        image: The image, by which seeds and recipes are paired.
        patient: The patient; each image is one where the file has no such column.
        fold: The fold whose model answered; the file need not have it.
    """

    by: str
    score: str = "score"
    target: str = "target"
    seed: str = "seed"
    image: str = "image"
    patient: str = "patient"
    fold: str = "fold"


@dataclass(frozen=True)
class Predictions:
    """Predictions of several recipes on the same images.

    Attributes:
        panels: Recipe -> its outputs.
        notes: What was assumed of the file.
        seeds: Names of the seeds, by their numbers in the panels.
    """

    panels: Mapping[str, Panel]
    notes: tuple[Reason, ...] = ()
    seeds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compared:
    """Estimates of every recipe and its comparisons with a reference.

    Attributes:
        estimates: Rows of the table `estimates`, one per recipe.
        contrasts: Rows of the table `contrasts`, one per comparison, corrected by Holm over all.
        seeds: Rows of the table `seeds`.
        notes: What was assumed of the data.
        cautions: Seeds that are far from the others of their recipe.
    """

    measure: str
    against: str
    estimates: tuple[Row, ...]
    contrasts: tuple[Row, ...]
    seeds: tuple[Row, ...]
    notes: tuple[Reason, ...]
    cautions: tuple[Reason, ...]

    def keep(self, root: Path, name: str) -> None:
        """Write the tables of a page to a folder.

        Raises:
            SpecError: The folder holds the records of a study or a model.
        """
        if RunFolder(root).of_any:
            raise SpecError(f"out: {root} holds records of a study or a model; give the comparison a folder of its own")
        cautions = (*self.notes, *self.cautions)
        all_found = findings_of(self.contrasts, self.estimates, cautions=cautions)
        found = [one for one in all_found if one.kind != "leakage"]  # there are no images to look for copies in
        facts = {"study": name, "question": title(self), "predictions": "yes"}
        rows: dict[str, Sequence[Row]] = {
            "contrasts": self.contrasts,
            "estimates": self.estimates,
            "seeds": self.seeds,
            "findings": list(map(to_row, found)),
            "provenance": [{"key": key, "value": value} for key, value in facts.items()],
        }
        folder = RunFolder(root)
        with folder.tables_made_of({"predictions": name}):
            for name_of, made in rows.items():
                folder.write_table(name_of, TABLES[name_of].names, made)


def compare_predictions(
    read: Predictions, against: str = "", measure: str = "auroc", margin: float | None = None, by: str = "recipe"
) -> Compared:
    """Estimate a measure of every recipe and compare each with a reference, as a study's contrasts are.

    Differences are paired by seed and by patient. The seeds' part of their variance is moderated over all of them, and
    p-values are corrected by Holm (docs/statistics.md).

    Args:
        read: Outputs of every recipe.
        against: The reference; the first recipe if empty.
        measure: A measure of classification, such as `auroc`.
        margin: Largest difference that does not matter, in units of the measure; None tests no equivalence.
        by: The axis of the recipes.

    Returns:
        Rows of the tables of a study. With a margin, up to four comparisons are primary.

    Raises:
        SpecError: There is no such recipe or measure, or nothing to compare.
    """
    panels, against = read.panels, against or next(iter(read.panels))
    allowed = [name for name, one in COMPUTED.items() if not one.maps]
    if measure not in allowed:
        raise SpecError(unknown_name("measure of classification", measure, allowed))
    if against not in panels:
        raise SpecError(unknown_name("reference", against, tuple(panels)))
    if len(panels) < 2:
        raise SpecError(f"there is one recipe, '{against}', and nothing to compare it with")
    if margin is not None and not margin > 0:
        raise SpecError(f"margin {margin}: expected a number above 0")
    names = [name for name in panels if name != against]
    role: Role = "primary" if margin is not None and len(names) <= MOST_PRIMARY else "secondary"
    stated = ContrastSpec(
        axis=by, against=against, measure=measure, margin=margin, role=role, at="as-given", environment=IMAGES
    )
    places = {
        name: {**dict.fromkeys(KEY_FIELDS, ""), "recipe": name, "coordinates": json.dumps({by: name}),
               "measure": measure, "environment": IMAGES}
        for name in panels
    }  # fmt: skip
    tested = pooled([contrast(panels[name], panels[against], measure, margin) for name in names])
    family = [
        (Pair(stated, (), (), name, ()), replace(one, direction=direction_of(measure)))
        for name, one in zip(names, tested, strict=True)
    ]
    entry, rows, by_seed = COMPUTED[measure], list[Row](), list[Row]()
    for name, panel in panels.items():
        found, chance = estimate(panel, measure), entry.chance(panel.target, panel.scores.shape[2])
        rows.append(estimate_row(places[name], found, entry.entry.unit, entry.entry.direction, chance))
        by_seed += [
            {**places[name], "seed": read.seeds[number] if read.seeds else str(number), "value": value, "reason": ""}
            for number, value in zip(panel.numbers.tolist(), found.per_seed.tolist(), strict=True)
        ]
    made = decided([family_of(stated.family_name, family)], rows)
    cautions = tuple(outlying_seeds(by_seed, made))
    return Compared(measure, against, tuple(rows), tuple(made), tuple(by_seed), read.notes, cautions)


def read_predictions(path: Path, columns: Columns, *, positive: str = "", threshold: float = 0.5) -> Predictions:
    """Read a CSV with a row per image, recipe and seed.

    Args:
        path: The file.
        columns: Names of its columns.
        positive: Name of the positive class; found where the classes are 0 and 1.
        threshold: Probability from which an image is called positive.

    Raises:
        DataError: The file cannot be read, or holds a row twice, an image of two targets, or a score that is no number.
        SpecError: A column is missing, or the positive class is not known.
    """
    if not is_file(path):
        raise DataError(f"there is no file {path}")
    table = read_table(path, columns.image)
    if table.problems:
        named = "; ".join(str(one) for one in table.problems[:_MOST_NAMED])
        raise DataError(f"{path.name}: {len(table.problems)} lines cannot be read: {named}")
    asked = ((columns.by, "--by"), (columns.score, "--score"), (columns.target, "--target"))
    given = {name: table.column(name, option) for name, option in asked}
    header = set(table.header)
    notes: list[Reason] = []

    def optional(name: str, default: Sequence[str], note: Code) -> Sequence[str]:
        if name in header:
            return table.column(name, "predictions")
        notes.append(because(note, column=name))
        return default

    count = len(given[columns.by])
    images = table.column(columns.image, "--image")
    return from_arrays(
        y_true=given[columns.target],
        y_score=[_number(text, table, line) for text, line in zip(given[columns.score], table.numbers, strict=True)],
        groups=given[columns.by],
        images=images,
        seeds=optional(columns.seed, ["0"] * count, Code.NO_SEED_COLUMN),
        patients=optional(columns.patient, images, Code.NO_PATIENT_COLUMN),
        folds=table.column(columns.fold, "predictions") if columns.fold in header else None,
        positive=positive,
        threshold=threshold,
        notes=notes,
    )


def _number(text: str, table: Table, line: int) -> float:
    try:
        value = float(text.replace(",", ".") if table.comma else text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{table.name}:{line}: score '{text[:40]}' is not a finite number")
    return value


def from_arrays(
    y_true: Sequence[object],
    y_score: Sequence[float],
    groups: Sequence[object],
    images: Sequence[object],
    seeds: Sequence[object],
    patients: Sequence[object] | None = None,
    folds: Sequence[object] | None = None,
    *,
    positive: str = "",
    threshold: float = 0.5,
    notes: Sequence[Reason] = (),
) -> Predictions:
    """Return predictions from one entry per image, recipe and seed.

    Args:
        y_true: Class of the image; two classes.
        y_score: Probability of the positive class, or any number that rises with it, such as log-odds.
        groups: Recipe.
        images: Image, by which seeds and recipes are paired.
        seeds: Seed of the training.
        patients: Patient; each image is one where None.
        folds: Fold whose model answered. Pairs of an AUROC are then taken within folds.
        positive: Name of the positive class; found where the classes are 0 and 1.
        threshold: Probability from which an image is called positive.
        notes: Assumptions that were made before.

    Raises:
        DataError: Entries contradict each other.
        SpecError: The positive class is not known, or there are not two classes.
    """
    arrays = {"y_true": y_true, "y_score": y_score, "groups": groups, "images": images, "seeds": seeds}
    arrays |= {"patients": patients} if patients is not None else {}
    arrays |= {"folds": folds} if folds is not None else {}
    lengths = {name: len(one) for name, one in arrays.items()}
    if len(set(lengths.values())) > 1 or not lengths["groups"]:
        raise DataError(f"expected one entry per prediction everywhere, and there are {lengths}")
    classes, class_of = _codes(y_true)
    target = (class_of == classes.index(_positive(classes, positive))).astype(np.int64)
    image_names, image = _codes(images)
    patient = image if patients is None else _codes(patients)[1]
    group_names, group = _codes(groups)
    seed_names, seed = _codes(seeds)
    target = _same(image, target, image_names, "targets")
    patient = _same(image, patient, image_names, "patients")
    score = np.asarray(y_score, dtype=np.float64)
    if not np.isfinite(score).all():
        raise DataError(f"{int((~np.isfinite(score)).sum())} scores are not finite numbers")
    assumed = list(notes)
    if score.min() >= 0 and score.max() <= 1:
        score = logit(np.clip(score, LEAST, 1 - LEAST))
    else:
        assumed.append(because(Code.LOG_ODDS))
    shape, at = (len(group_names), len(seed_names), len(image_names)), (group, seed, image)
    counted, scores, fold = np.zeros(shape, dtype=np.int64), np.zeros(shape), np.zeros(shape, dtype=np.int64)
    np.add.at(counted, at, 1)
    if (counted > 1).any():
        g, s, i = np.argwhere(counted > 1)[0].tolist()
        raise DataError(
            f"{int((counted > 1).sum())} predictions are there twice, such as image '{image_names[i]}' of "
            f"'{group_names[g]}', seed {seed_names[s]}: give one row per image, recipe and seed"
        )
    scores[at] = score
    fold[at] = 0 if folds is None else _codes(folds)[1]
    panels: dict[str, Panel] = {}
    for g, name in enumerate(group_names):
        own = np.flatnonzero(counted[g].any(axis=1))
        tested = counted[g, own] == 1
        if not tested.all():
            assumed.append(because(Code.MISSING_PREDICTIONS, recipe=name, count=int((~tested).sum())))
        panels[name] = Panel(
            scores[g, own, :, None],
            target,
            patient,
            fold=None if folds is None else fold[g, own],
            tested=None if tested.all() else tested,
            thresholds=np.full(len(own), threshold),
            seeds=own,
        )
    return Predictions(panels, tuple(assumed), tuple(seed_names))


def _codes(values: Sequence[object]) -> tuple[list[str], Int[np.ndarray, " n"]]:
    """Return the distinct values as text, in the order in which they come first, and the place of each entry."""
    places: dict[str, int] = {}
    codes = np.array([places.setdefault(_text(value), len(places)) for value in values], dtype=np.int64)
    return list(places), codes


def _text(value: object) -> str:
    """Return 1, 1.0 and True as `1`."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():  # a NumPy float64 is one
        return str(int(value))
    return str(value).strip()


def _positive(classes: Sequence[str], positive: str) -> str:
    if len(classes) != 2:
        shown = ", ".join(sorted(classes)[:_MOST_NAMED])
        raise SpecError(
            f"the target has {len(classes)} classes ({shown}): give two, such as one class against the rest"
        )
    if positive:
        if positive not in classes:
            raise SpecError(unknown_name("positive class", positive, sorted(classes)))
        return positive
    if set(classes) == {"0", "1"}:
        return "1"
    raise SpecError(f"the target is {' or '.join(sorted(classes))}: name the positive class with `positive`")


def _same(
    image: Int[np.ndarray, " n"], value: Int[np.ndarray, " n"], names: Sequence[str], what: str
) -> Int[np.ndarray, " i"]:
    """Return the value of each image, which all of its rows must share."""
    found = np.full(len(names), -1)
    found[image] = value
    differing = np.unique(image[found[image] != value])
    if len(differing):
        shown = ", ".join(f"'{names[i]}'" for i in differing[:_MOST_NAMED])
        raise DataError(f"{len(differing)} images have several {what}, such as {shown}")
    return found


def title(found: Compared) -> str:
    """Return the heading of a comparison: `AUROC against cross-entropy`."""
    return f"{label_of(found.measure)} against {found.against}"
