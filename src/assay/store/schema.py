"""Layout of a run folder and columns of its tables, readable with DuckDB or any Parquet reader, without Assay.

    runs/<study>/
      study.json                       canonical spec, name, schema version
      stated.json                      which comparisons were stated before results existed; never rewritten
      plan.json                        the units that were planned when it was last run, with schema version
      described.json                   data entries that the tables need, so that a report needs the folder alone
      sources/<id>/                    one start that the study trained; its weights lie in the cache
        curve.parquet  record.json
      trials/<id>/                     one trained model
        weights.safetensors  curve.parquet  record.json (last: its presence means complete)  provenance.json
        checkpoint.pt                  only while training
      readings/<id>/                   one model on one environment
        outputs.parquet  record.json
      probes/<id>/                     one probe on one model
        measurements.parquet  record.json
        contributions.safetensors      of samples to the values that contrasts compare
        activations.safetensors        where it keeps them: pooled, a layer's [images, units], and their rows
      request.json                     what was last asked of a model that was trained elsewhere, in place of study.json
      models/<id>/                     one such model: what it takes and gives, and its thresholds
        record.json  provenance.json
      failures/<id>.json               traceback of a unit that failed, removed when it succeeds
      tables/*.parquet                 results of the statistics: the tables below; the report shows nothing else
      tables/stamp.json                hashes of the spec and units that the tables were made of
      pictures/*.png                   sample images and pairs for the page
      report.html
      .lock                            held while a run works here; empty

Times, hosts and versions are in provenance.json alone: all other files are byte for byte reproducible.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

SCHEMA_VERSION = 1

OUTPUTS = {
    "row": "BIGINT",  # the image's number within its dataset
    "patient": "BIGINT",  # a code; identifiers never enter a run folder
    "target": "BIGINT",
    "fold": "BIGINT",  # the fold that tested the row, 0 where the split is fixed
    "logit_0": "FLOAT",  # one column per class
    # of a segmentation further columns, such as hit[3]: docs/reference/maps.md
}

MEASUREMENTS = {
    "measure": "VARCHAR",
    "value": "DOUBLE",
    "environment": "VARCHAR",
    "factor": "VARCHAR",
    "level": "VARCHAR",
    "layer": "VARCHAR",
    "group": "VARCHAR",
    "unit": "VARCHAR",
    "direction": "VARCHAR",
    "n": "BIGINT",
    "patients": "BIGINT",
    "standard_error": "DOUBLE",
    "chance": "DOUBLE",
    "reason": "VARCHAR",
}

ColumnType = Literal["VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Args:
        name: Name in the file.
        meaning: Meaning of a value, in a few words.
        type: Type in the file. A column without any value is written as text, one that lacks a count as DOUBLE.
        head: Heading where the table is printed; the name where empty.
        keyed: Whether it holds a JSON object, whose keys are columns of their own outside the file (`Table.spread`).
    """

    name: str
    meaning: str
    type: ColumnType = "VARCHAR"
    head: str = ""
    keyed: bool = False


@dataclass(frozen=True)
class Table:
    """One table of a run folder: the single place that describes it.

    Args:
        name: Name of its file under `tables/`, and of `assay results --table`.
        row: Completion of "one row for every".
        columns: Columns in the order of the file.
        shown: Names of the columns that `assay results` prints for reading, in that order.
        note: A sentence that applies to the whole table.
    """

    name: str
    row: str
    columns: tuple[Column, ...]
    shown: tuple[str, ...]
    note: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns in the order of the file."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """Return the column of that name. Raises KeyError."""
        return {column.name: column for column in self.columns}[name]

    def spread(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
        """Replace columns of JSON objects by plain columns, one per key: `coordinates` by `coordinates.loss`.

        A key that a row lacks is an empty text, or NaN where its values are numbers. Lists become text.

        Args:
            rows: Rows of the table as in its file.

        Returns:
            The names of the columns in order, and the rows.
        """
        names: list[str] = []
        plain: list[dict[str, Any]] = [{} for _ in rows]
        for column in self.columns:
            if rows and column.name not in rows[0]:
                continue
            if not column.keyed:
                names.append(column.name)
                for row, made in zip(rows, plain, strict=True):
                    made[column.name] = row.get(column.name, "")
                continue
            found = [_object(row.get(column.name, "")) for row in rows]
            for key in dict.fromkeys(key for values in found for key in values):
                names.append(f"{column.name}.{key}")
                numbers = any(isinstance(values.get(key), float) for values in found)
                for values, made in zip(found, plain, strict=True):
                    made[names[-1]] = values.get(key, math.nan if numbers else "")
        return names, plain


@cache
def _object(text: str) -> Mapping[str, str | float]:
    """Return the JSON object of a cell, empty where there is none. Cached: thousands of rows hold few texts."""
    found: dict[str, Any] = json.loads(text) if text else {}
    return {key: _plain(value) for key, value in found.items()}


def _plain(value: Any) -> str | float:
    match value:
        case list():
            return ", ".join(map(str, cast("list[object]", value)))
        case int() | float():
            return float(value)
        case _:
            return str(value)


def _number(name: str, meaning: str, head: str = "") -> Column:
    return Column(name, meaning, "DOUBLE", head)


def _count(name: str, meaning: str, head: str = "") -> Column:
    return Column(name, meaning, "BIGINT", head)


def _keyed(name: str, meaning: str) -> Column:
    return Column(name, meaning, keyed=True)


# --- Columns that several tables have ---------------------------------------------------------------------------------

_RECIPE = (
    Column("recipe", "label of the recipe"),
    _keyed("coordinates", "JSON: axis -> the recipe's value on it"),
)
_PLACE = (
    Column("measure", "name of the measure, see the list of measures"),
    Column("environment", "test environment; empty where the measure is of none or of all"),
    Column("factor", "factor, family of distortions or explainer; empty where the measure is of the whole"),
    Column("level", "level or half of the factor, class, size, severity or layer compared with; empty for the whole"),
    Column("layer", "layer of the network; empty for its output"),
    Column("group", "class, direction, reference or worst place that the value is of; empty for the whole"),
)
_INTERVAL = (_number("low", "lower end of the 95% interval"), _number("high", "upper end of the 95% interval"))
_ERROR = (_number("standard_error", "standard error"), _number("df", "degrees of freedom of the interval"))
_SEEDS = _count("seeds", "training seeds behind the value")
_PATIENTS = _count("patients", "patients behind the value; 0 where the data name none")
_IMAGES = _count("images", "images behind the value")
_REASON = Column("reason", "why the value is undefined or doubtful, codes with fields as JSON; empty otherwise")
_P = _number("p", "p value, uncorrected")
_HOLM = _number("p_holm", "p value after Holm's correction within its family", head="p (Holm)")
_SIGN_FLIPS = (
    _number("sign_flip_p", "p value of a sign-flip test over seeds"),
    _number("sign_flip_min_p", "least p value that a sign-flip test of so many seeds can give"),
)
_STATUS = Column("status", "done, collapsed, diverged, failed or pending")
_YARDSTICK = _number("yardstick", "validation log-loss of a refitted linear head: comparable between losses")
_LOSSES = (
    _number("train_loss", "loss on training images", head="training loss"),
    _number("validation_loss", "loss on validation images", head="validation loss"),
)
_COMPARED = (
    Column("axis", "axis along which the recipes differ"),
    Column("a", "level of the recipe that is compared"),
    Column("b", "level of the recipe that it is compared against"),
    Column("at", "whether recipes are compared as trained, at matched fit, over doses or at matched performance"),
    Column("doses", "doses above 0 that the comparison rests on, where more were trained; empty otherwise"),
    Column("measure", "measure that is compared"),
    Column("environment", "test environment"),
    Column("clean", "at matched clean performance, environment in which it is matched; empty otherwise"),
    Column("factor", "factor that the measure is of"),
    Column("layer", "layer that the measure is of"),
    _keyed("where", "JSON: axis -> value held while the recipes are compared"),
    _keyed("pooled", "JSON: axis or environment -> values that the difference is averaged over; or empty"),
)
"""Columns that name a comparison, as `stats.rows.COMPARED`."""

# --- Tables -----------------------------------------------------------------------------------------------------------

CONTRASTS = Table(
    "contrasts",
    "pre-specified comparison of two recipes; the value is a - b",
    (
        Column("id", "identifier of the comparison"),
        *_COMPARED,
        _number("value", "difference a - b, mean over seeds"),
        *_INTERVAL,
        *_ERROR,
        _number("p", "p value, uncorrected; of a dose-response the greater of both scales, 1 where signs differ"),
        _number("plain_p", "of a dose-response, p value on the measure's own scale"),
        _number("probit_p", "of a dose-response, p value on the probit scale"),
        _HOLM,
        Column("family", "comparisons that are corrected together"),
        Column("role", "primary, secondary, positive-control or a-a"),
        Column("correction", "correction of the family: holm or fixed-order"),
        Column("expected", "of a positive control, the direction that must be found: higher or lower"),
        _SEEDS,
        _count("left_out", "seeds that either recipe kept and the comparison does not rest on"),
        _PATIENTS,
        _count("paired_patients", "patients that both recipes have; 0 where the data name none"),
        *_SIGN_FLIPS,
        _number("margin", "greatest difference that counts as equivalent"),
        _number("equivalence_p", "greater p value of two one-sided tests, after Holm; claimed under 0.05"),
        _number("equivalence_level", "level of the interval that decides on equivalence"),
        _number("equivalence_low", "lower end of the interval that decides on equivalence"),
        _number("equivalence_high", "upper end of the interval that decides on equivalence"),
        _number("noninferiority_p", "p value of a being worse than b by the margin or more; claimed under 0.025"),
        Column(
            "conclusion",
            "higher or lower (of a), depends on the scale, equivalent, scale exhausted, inconclusive or undefined",
        ),
        Column(
            "decision",
            "higher, lower, higher-small or lower-small (by less than the margin), equivalent, or inconclusive; of a "
            "control detected, undetected, no difference, differs or untested",
        ),
        _number("decision_level", "level of the interval that decided, after correction"),
        _number("decision_low", "lower end of the interval that decided"),
        _number("decision_high", "upper end of the interval that decided"),
        _number("decision_p", "p value of the test that decided, after correction"),
        _number("least_margin", "smallest margin at which the comparison would be equivalent"),
        _number("seeds_needed", "of an inconclusive comparison, seeds that would decide it whatever the truth"),
        _number(
            "patients_needed",
            "where seeds alone would not decide it, patients that would with 40 seeds; "
            "0 for a measure without patients, which the error of its probe limits",
        ),
        _number("detectable", "difference that the design finds with 80% power"),
        Column("exploratory", "whether the comparison was added or changed after results existed", "BOOLEAN"),
        Column(
            "equal",
            "at matched clean performance, JSON: level, its environment (clean), training rows of a and of b, and all "
            "trained amounts; empty otherwise",
        ),
        Column("exhausted", "end of the scale at which all values behind the comparison are, a code as JSON; or empty"),
        _REASON,
    ),
    ("value", "low", "high", "p_holm", "seeds", "conclusion", "reason"),
)

LOOKS = Table(
    "looks",
    "primary comparison × look of a study that is run until it is decided",
    (
        Column("id", "identifier of the comparison, as in `contrasts`"),
        *_COMPARED,
        Column("family", "comparisons that are corrected together"),
        _count("look", "seeds at which it was looked at"),
        _count("seeds", "seeds of the look that both recipes kept"),
        _number("alpha", "nominal level of the family at each look"),
        _number("value", "difference a - b, mean over the seeds of the look"),
        *_INTERVAL,
        _number("p", "p value, uncorrected; of a dose-response the greater of both scales, 1 where signs differ"),
        Column("decision", "decision at this look, or at the earlier one that closed it: see contrasts"),
        Column("conclusion", "conclusion at the same look: see contrasts"),
        _number("decision_level", "level of the interval that decided, after correction"),
        _number("decision_low", "lower end of the interval that decided"),
        _number("decision_high", "upper end of the interval that decided"),
        _number("decision_p", "p value of the test that decided, after correction"),
        _number("seeds_needed", "of an inconclusive comparison, seeds that would decide it whatever the truth"),
        _number("closed_at", "seeds of the look that closed it, after which it gets none; NaN while open", "closed at"),
    ),
    ("look", "value", "low", "high", "decision", "closed_at"),
    note="Empty for a run with a fixed number of seeds.",
)

FINDINGS = Table(
    "findings",
    "finding: an answer, a limit, a caution or one comparison",
    (
        Column("id", "stable identifier: kind and subject"),
        Column("kind", "contrast, family, matched, reliance, fall, caution, ...: see `assay.stats.findings.Kind`"),
        Column("part", "part of the page: answer, limit, doubt or comparison"),
        Column("light", "ok, warn, bad or none"),
        Column("recipe", "recipe, where it is of one"),
        Column("axis", "axis along which recipes differ"),
        Column("a", "of a comparison, level of the recipe that is compared"),
        Column("b", "of a comparison, level of the recipe that it is compared against"),
        Column("measure", "measure"),
        Column("environment", "test environment"),
        Column("factor", "factor that the measure is of"),
        Column("layer", "layer that the measure is of"),
        _number("value", "estimate: a difference, a fall or a value"),
        *_INTERVAL,
        _number("level", "level of the interval"),
        _number("p", "p value after Holm's correction within its family"),
        Column(
            "decision",
            "of a comparison: higher, lower, higher-small, lower-small, equivalent, inconclusive, scale-dependent, "
            "exhausted, undefined or unclaimed (a control failed); of a control see contrasts; of a "
            "probed model: above or below (chance), shown, none (no answer changes) or inconclusive, by the interval",
        ),
        _SEEDS,
        Column("reason", "JSON: codes with fields: why there is no value, or what a limit or a caution is"),
        Column("table", "evidence: table of the run folder"),
        Column("row", "evidence: id of the row of contrasts"),
        Column("role", "of a comparison, primary, secondary, positive-control or a-a"),
        Column("family", "of a comparison, the family in which it is corrected"),
        _number("seeds_needed", "of an inconclusive comparison, seeds that would decide it whatever the truth"),
        _number("least_margin", "smallest margin at which a comparison would be equivalent"),
        Column("details", "JSON: what else a sentence of it needs, by kind"),
    ),
    ("part", "light", "id", "decision"),
)

ESTIMATES = Table(
    "estimates",
    "recipe × measure × place: the mean over seeds with its interval over patients and seeds",
    (
        *_RECIPE,
        *_PLACE,
        Column("unit", "unit of the value; empty for a share or a correlation"),
        Column("direction", "higher or lower: which is better; none for a measure that does not rank"),
        _number("value", "mean over seeds"),
        *_INTERVAL,
        *_ERROR,
        _SEEDS,
        _PATIENTS,
        _IMAGES,
        _number("chance", "value of a model that knows nothing; NaN where there is none"),
        _REASON,
    ),
    ("recipe", "measure", "environment", "factor", "layer", "group", "value", "low", "high", "reason"),
)

SEEDS = Table(
    "seeds",
    "recipe × seed × measure × place, folds pooled",
    (*_RECIPE, _count("seed", "number of the seed"), *_PLACE, _number("value", "value of this seed"), _REASON),
    ("recipe", "seed", "measure", "environment", "factor", "layer", "group", "value", "reason"),
)

RELIANCE_CONTRASTS = Table(
    "reliance_contrasts",
    "recipe × measure of reliance × factor but the greatest: the greatest factor's value less the other's, paired by "
    "seed",
    (
        *_RECIPE,
        Column("measure", "measure of reliance"),
        Column("factor", "factor with the greatest value"),
        Column("against", "factor that it is compared with"),
        _number("value", "difference, mean over seeds"),
        *_INTERVAL,
        *_ERROR,
        _P,
        _number("p_holm", "p value after Holm's correction over the other factors", head="p (Holm)"),
        _SEEDS,
        _REASON,
    ),
    ("recipe", "measure", "factor", "against", "value", "low", "high", "p_holm", "seeds", "reason"),
)

HALF_DOSES = Table(
    "half_doses",
    "recipe without its dose × environment × measure: the smallest p at which half of the margin over chance that "
    "there was at p = 0 is gone",
    (
        *_RECIPE,
        Column("axis", "axis of the doses"),
        Column("measure", "measure that is lost"),
        Column("environment", "test environment"),
        _number("value", "half-effect dose; NaN where no dose reaches it"),
        *_INTERVAL,
        Column("beyond", "first of high, value, low above the greatest dose trained; empty where none is"),
        _number("greatest", "greatest dose trained"),
        _number("margin", "value at p = 0 less chance"),
        _number("chance", "value of a model that knows nothing"),
        _SEEDS,
        _PATIENTS,
        _REASON,
    ),
    ("recipe", "measure", "environment", "value", "low", "high", "beyond", "greatest", "margin", "seeds", "reason"),
)

DOSE_CHANGES = Table(
    "dose_changes",
    "recipe without its dose × environment × measure: the mean over p > 0 of the measure less that at p = 0",
    (
        *_RECIPE,
        Column("axis", "axis of the doses"),
        Column("doses", "JSON: doses above 0 that were trained; means over other doses do not compare"),
        Column("measure", "measure that changes"),
        Column("environment", "test environment"),
        _number("value", "mean change over the seeds kept at every dose"),
        *_INTERVAL,
        _SEEDS,
        _PATIENTS,
        _keyed("per_seed", "JSON: seed -> change"),
        _REASON,
    ),
    ("recipe", "measure", "environment", "value", "low", "high", "seeds", "reason"),
)

TRADES = Table(
    "trades",
    "recipe of a segmentation: overlap against false alarms, each in an environment of its own",
    (
        *_RECIPE,
        Column("across", "measure of overlap"),
        Column("across_environment", "its environment"),
        Column("up", "measure of false alarms"),
        Column("up_environment", "its environment"),
        _number("correlation", "correlation of the errors of both estimates, over patients and seeds"),
        _number("df", "degrees of freedom of the joint region"),
        Column("region", "JSON: outline of the joint 95% region as pairs (across, up); empty where there is none"),
        _SEEDS,
        _REASON,
    ),
    ("recipe", "across", "up", "correlation", "df", "seeds", "reason"),
)

PLANES = Table(
    "planes",
    "recipe of a segmentation × environment with lesion-free images × threshold × area",
    (
        *_RECIPE,
        Column("environment", "test environment"),
        _number("threshold", "logit from which a pixel is predicted"),
        _number("area", "least area of a component, as a share of the image"),
        _number("value", "share of lesion-free images with such a component, mean over seeds"),
        _SEEDS,
        _PATIENTS,
        _IMAGES,
    ),
    ("recipe", "environment", "threshold", "area", "value", "seeds", "images"),
)

FREE_RESPONSE = Table(
    "free_response",
    "recipe of a segmentation × environment with lesions × number of false positives that some seed has at some "
    "threshold",
    (
        *_RECIPE,
        Column("environment", "test environment"),
        _number("false_positives", "components per image that touch no lesion", head="false positives per image"),
        _number("sensitivity", "share of lesions found with at most so many, mean over seeds"),
        _SEEDS,
        _PATIENTS,
        _IMAGES,
    ),
    ("recipe", "environment", "false_positives", "sensitivity", "seeds", "images"),
)

CURVES = Table(
    "curves",
    "recipe of a segmentation × epoch: means over the kept seeds and their folds",
    (
        *_RECIPE,
        _count("epoch", "epoch, from 1"),
        *_LOSSES,
        _number("lr", "learning rate at the end of the epoch"),
        _number("weight", "weight of the loss's first term, where its schedule has one"),
        _SEEDS,
    ),
    ("recipe", "epoch", "train_loss", "validation_loss", "lr", "weight", "seeds"),
)

TRIALS = Table(
    "trials",
    "planned trial",
    (
        Column("trial", "identifier of the trial: hash of what determines its weights"),
        *_RECIPE,
        _count("seed", "number of the seed"),
        _count("fold", "number of the fold; 0 where the split is fixed"),
        _STATUS,
        Column("reason", "why the trial is not done; empty otherwise"),
        _YARDSTICK,
        _number("seconds", "duration of the training"),
        *_LOSSES,
    ),
    ("recipe", "seed", "fold", "status", "yardstick", "seconds", "reason"),
    "A trial whose source collapsed or diverged has the status of the source.",
)

SOURCES = Table(
    "sources",
    "start that the study trains itself",
    (
        Column("source", "identifier of the source"),
        Column("name", "name in the study file"),
        _count("seed", "number of the seed"),
        _STATUS,
        Column("reason", "why the source is not done; empty otherwise"),
        _YARDSTICK,
        _number("steps", "optimizer steps taken"),
        _number("images", "images trained on"),
        _number("validation_auroc", "AUROC on its own validation images", head="AUROC of its own"),
    ),
    ("name", "seed", "status", "yardstick", "steps", "images", "validation_auroc", "reason"),
)

STARTS = Table(
    "starts",
    "initialization and architecture",
    (
        Column("start", "name on the axis of initializations"),
        Column("kind", "name of the initialization"),
        Column("component", "initialization with its arguments"),
        Column("statistics", "source whose tensors' mean and variance random weights take; empty otherwise"),
        Column("below", "of a start trained here, the start that it adds a stage to; empty otherwise"),
        Column("file", "file of the weights"),
        Column("sha256", "SHA-256 of that file", head="SHA-256"),
        Column("scaling", "scaling of an image x in [0, 1]"),
        Column("data", "of a start trained here: phantom, files, or own for the study's own training images"),
        Column("phantom", "of a start trained on a phantom: its name with its arguments"),
        Column("target", "of a start trained here: target; empty where it learned without labels"),
        _number("size", "of a start trained here: side of its images in px"),
        _number("steps", "of a start trained here: optimizer steps"),
        _number("images", "of a start trained here: images"),
        _number("seeds", "of a start trained here: seeds trained to the end"),
        _number("value", "of a start trained here: AUROC on its own validation images"),
        *_INTERVAL,
        _REASON,
    ),
    (
        "start",
        "component",
        "statistics",
        "below",
        "data",
        "phantom",
        "target",
        "images",
        "steps",
        "seeds",
        "value",
        "file",
        "sha256",
        "scaling",
        "reason",
    ),
)

RECIPES = Table(
    "recipes",
    "recipe",
    (
        *_RECIPE,
        Column("mitigation", "mitigation of the shortcut"),
        Column("groups", "factor of its groups"),
        Column("training_labels", "whose group labels train: none, training or validation", head="labels that train"),
        Column("selection_labels", "whose group labels select: none or validation", head="labels that select"),
    ),
    ("recipe", "mitigation", "groups", "training_labels", "selection_labels"),
)

COLLAPSES = Table(
    "collapses",
    "recipe, and pair of recipes compared (against): how often training collapsed or diverged, by seed",
    (
        *_RECIPE,
        Column("against", "recipe that it is compared with; empty for the rate of one recipe"),
        _count("collapsed", "seeds of the recipe that collapsed"),
        _count("diverged", "seeds of the recipe that diverged"),
        _count("seeds", "seeds trained to an end; of a pair, those of both"),
        _number("rate", "share of seeds lost; of a pair, the difference"),
        *_INTERVAL,
        _number("p", "of a pair, McNemar's p value"),
        _number("min_p", "of a pair, the least p value that so many seeds can give"),
    ),
    ("recipe", "against", "collapsed", "diverged", "seeds", "rate", "low", "high", "p"),
    "Seeds that failed or are pending count in neither.",
)

SIMILARITIES = Table(
    "similarities",
    "pair of recipes that differ along one axis × measure × layer of the one × layer of the other; a recipe against "
    "itself is its seed baseline",
    (
        *_RECIPE,
        Column("against", "label of the other recipe"),
        _keyed("against_coordinates", "JSON: axis -> the other recipe's value on it"),
        Column("axis", "axis along which they differ"),
        Column("measure", "cka, cka-rbf, procrustes, rsa, neighbors or kappa (of predictions)"),
        Column("environment", "test environment"),
        Column("layer", "layer of the recipe"),
        Column("against_layer", "layer of the other recipe", head="layer of the other"),
        _number("value", "mean over pairs of models of different seeds"),
        _number("within", "mean over two seeds of the recipe"),
        _number("against_within", "mean over two seeds of the other recipe", head="within the other"),
        _number("below", "mean of both within less the value; NaN for layers of other names"),
        *_INTERVAL,
        *_ERROR,
        _number("p", "one-sided p value of below > 0"),
        _number("p_holm", "p value after Holm's correction within the measure", head="p (Holm)"),
        *_SIGN_FLIPS,
        Column("conclusion", "beyond seeds, inconclusive or undefined"),
        _SEEDS,
        _IMAGES,
        _REASON,
    ),
    ("recipe", "against", "measure", "layer", "against_layer", "value", "within", "against_within", "below", "low",
     "high", "p_holm", "conclusion", "reason"),
)  # fmt: skip

ENVIRONMENTS = Table(
    "environments",
    "environment × factor of interest: the association requested and achieved",
    (
        Column("environment", "name of the environment"),
        Column("recipe", "recipe whose training environment it is; empty for tests"),
        Column("factor", "factor"),
        Column("target", "class that the factor is tied to"),
        _number("asked", "strength requested"),
        _number("strength", "strength achieved"),
        *_INTERVAL,
        _count("kept", "images used"),
        _count("available", "images that could be used"),
        Column("counts", "JSON: triples of class, level and number of images"),
        Column("held", "value of all images, whose strength is then 0; empty where the factor varies"),
        _count("images", "images of the environment"),
        _count("patients", "patients of the environment; 0 where the data name none"),
    ),
    ("environment", "recipe", "factor", "asked", "strength", "low", "high", "kept", "available"),
)

DOSE_COUNTS = Table(
    "dose_counts",
    "training environment of a dose-response × class",
    (
        *_RECIPE,
        Column("factor", "factor of the confounder"),
        Column("target", "class"),
        _count("least", "images of the class with the confounder, least over seeds"),
        _count("most", "images of the class with the confounder, most over seeds"),
        _count("fewest_images", "images of the class, fewest over seeds", head="images, fewest"),
        _count("most_images", "images of the class, most over seeds", head="images, most"),
    ),
    ("recipe", "factor", "target", "least", "most", "fewest_images", "most_images"),
)

VISIBILITY = Table(
    "visibility",
    "confounder: means over a fixed sample of clean test images",
    (
        Column("confounder", "intervention with its arguments, or factor"),
        Column("factor", "name of its factor"),
        Column("kind", "intervention, or sampled: a factor tied by sampling, which changes no pixel"),
        _number("share", "share of pixels changed"),
        _number("difference", "mean absolute difference, black to white being 1"),
        _number("ssim", "structural similarity"),
        _IMAGES,
        _REASON,
    ),
    ("confounder", "share", "difference", "ssim", "images", "reason"),
)

SHORTCUTS = Table(
    "shortcuts",
    "thing that may tell the target without a network, of images from files",
    (
        Column("name", "name of the factor, column, property or baseline"),
        Column(
            "kind",
            "factor, column (undeclared), image (a property) or baseline (a ridge regression on other patients)",
        ),
        Column("of", "class that it tells"),
        _number("value", "AUROC for that class"),
        *_INTERVAL,
        Column("direction", "higher or lower, of a number; mixed where it is neither; empty otherwise"),
        Column("strong", "whether it is a caution", "BOOLEAN"),
        _IMAGES,
        _PATIENTS,
        _REASON,
    ),
    ("name", "kind", "of", "value", "low", "high", "direction", "images", "patients", "reason"),
)

PICTURES = Table(
    "pictures",
    "picture of the page",
    (
        Column("file", "file under pictures/"),
        Column("kind", "sheet, source, copies, outline, heat-map, confounder or pair"),
        Column("environment", "test environment"),
        Column("factor", "factor; of a confounder its label, of a heat-map its explainer"),
        Column("facts", "JSON: facts of the caption, such as images, classes, marks or Dice of each recipe, by kind"),
        Column("logits", "JSON: recipe -> [logit low, logit high], means over seeds in within-class deviations"),
        _number("pixel_size", "mm per pixel; 0 where unknown"),
        _count("scale", "screen pixels per pixel"),
    ),
    ("file", "kind", "environment", "factor"),
)

PROVENANCE = Table(
    "provenance",
    "fact about how the results were made",
    (Column("key", "name of the fact"), Column("value", "the fact")),
    ("key", "value"),
)

TABLES = {
    table.name: table
    for table in (
        CONTRASTS, FINDINGS, ESTIMATES, SEEDS, RELIANCE_CONTRASTS, HALF_DOSES, DOSE_CHANGES, TRADES, PLANES,
        FREE_RESPONSE, CURVES, LOOKS, TRIALS, SOURCES, STARTS, RECIPES, COLLAPSES, SIMILARITIES, ENVIRONMENTS,
        DOSE_COUNTS, VISIBILITY, SHORTCUTS, PICTURES, PROVENANCE,
    )
}  # fmt: skip
"""Every table by name, the most requested first."""

# --- Tables of one model that was trained elsewhere -------------------------------------------------------------------

MODEL_MEASUREMENTS = Table(
    "measurements",
    "number that a probe measured of the model",
    (
        Column("probe", "label of the probe"),
        Column("measure", "name of the measure, see the list of measures"),
        _number("value", "value; NaN where it is undefined"),
        *_PLACE[1:],
        Column("unit", "unit of the value"),
        Column("direction", "whether higher or lower is better; none where neither is"),
        _count("n", "images (or pairs) behind the value", head="images"),
        _PATIENTS,
        _number("standard_error", "standard error over patients"),
        _number("chance", "value of a model that knows nothing"),
        _REASON,
        _number("low", "lower end of the 95% interval over patients"),
        _number("high", "upper end of the 95% interval over patients"),
    ),
    ("probe", "measure", "environment", "factor", "level", "layer", "group", "value", "low", "high", "n"),
)

MODEL_TABLES = {table.name: table for table in (FINDINGS, MODEL_MEASUREMENTS, ENVIRONMENTS, PICTURES, PROVENANCE)}
"""Every table of a probed model by name, the most requested first."""

# --- Tables of an audit -----------------------------------------------------------------------------------------------


def _bounded(name: str, meaning: str) -> tuple[Column, ...]:
    """Columns of an estimate with its bounds."""
    return (
        _number(name, meaning),
        _number(f"{name}_low", f"lower bound of {name}, one-sided 95%"),
        _number(f"{name}_high", f"upper bound of {name}, one-sided 95%"),
    )


_SWING = (
    Column("class", "class against the rest with the largest swing; empty of two classes"),
    _number("g", "swing: half of the AUROC with the mark on positives alone less that with it on negatives alone"),
    _number("low", "lower bound of g, one-sided 95%"),
    _number("high", "upper bound of g, one-sided 95%"),
)
_LOST = _bounded("loss", "AUROC lost with the mark on all images")
_ON_NEGATIVES = _bounded("loss_negatives", "AUROC lost with the mark on negatives alone")
_FLIPS = _bounded("flips", "share of images that are called otherwise with the mark")
_NEEDED = _number("needed", "images that would settle an inconclusive verdict, were the estimates to stay")

VERDICTS = Table(
    "verdicts",
    "mark or column: the verdict, the most harmful first",
    (
        Column("factor", "name of the mark or column"),
        Column("kind", "mark or column"),
        Column(
            "verdict",
            "relies-on, affected-by, affected-without-direction, answers-differ-with, inconclusive, no-effect, "
            "no-difference or not-tested",
        ),
        Column("dose", "dose of the mark, or group of the column, that decided"),
        *_SWING,
        _number("at_least", "lower bound of |g|, corrected for classes and groups"),
        _number("at_most", "upper bound of |g|"),
        _number("limit", "reference limit of |g|; NaN without a reference"),
        *_ON_NEGATIVES,
        *_bounded("loss_positives", "AUROC lost with the mark on positives alone"),
        *_LOST,
        *_FLIPS,
        _IMAGES,
        _PATIENTS,
        Column("open", "quantities that keep an inconclusive verdict open: swing, loss, flips, other-dose"),
        _NEEDED,
        Column("intervention", "the mark with its arguments at the deciding dose"),
        Column("reason", "why it is not tested, in words"),
    ),
    ("factor", "kind", "verdict", "dose", "g", "low", "high", "loss_negatives", "loss", "flips", "images", "needed"),
)
EFFECTS = Table(
    "effects",
    "mark and dose: the effect on answers",
    (Column("factor", "name of the mark"), Column("dose", "weak, middle or strong"), *_SWING, *_ON_NEGATIVES, *_LOST,
     *_FLIPS, _IMAGES, _PATIENTS),
    ("factor", "dose", "g", "low", "high", "loss_negatives", "loss", "flips"),
)  # fmt: skip
DISTORTED = Table(
    "distorted",
    "distortion and severity: the loss of AUROC",
    (
        Column("factor", "family of distortions"),
        _count("severity", "severity, 1 to 5"),
        *_LOST,
        *_FLIPS,
        Column("decision", "loss within the margin, beyond it, or inconclusive; not-tested"),
        _IMAGES,
        _PATIENTS,
        Column("reason", "why it is not tested, in words"),
    ),
    ("factor", "severity", "loss", "loss_low", "loss_high", "flips", "decision"),
)
GROUPS = Table(
    "groups",
    "group of images and measure",
    (
        Column("column", "column that divides the images; empty of all images"),
        Column("level", "group"),
        Column("measure", "auroc, sensitivity or specificity; of several classes auroc-macro or accuracy"),
        _number("value", "value"),
        _number("low", "lower end of the interval; all intervals of the table hold together at 95%"),
        _number("high", "upper end of the interval"),
        _IMAGES,
        _PATIENTS,
        Column("reason", "why a column is not tested, in words"),
    ),
    ("column", "level", "measure", "value", "low", "high", "images"),
)
GAPS = Table(
    "gaps",
    "pair of groups and measure",
    (
        Column("column", "column that divides the images"),
        Column("a", "one group"),
        Column("b", "the other group"),
        Column("measure", "as in groups"),
        _number("value", "value of a less that of b"),
        _number("low", "lower end of the interval; all intervals of the table hold together at 95%"),
        _number("high", "upper end of the interval"),
        Column("decision", "within the margin, beyond it, or inconclusive"),
        _NEEDED,
        _IMAGES,
    ),
    ("column", "a", "b", "measure", "value", "low", "high", "decision"),
)
AUDIT_CHECKS = Table(
    "checks",
    "check of the model's reading or of the data",
    (
        Column("check", "name of the check"),
        Column("status", "ok, warn, or not-done"),
        _number("value", "the number that was found; NaN where there is none"),
        Column("text", "what was found, or why it was not done"),
    ),
    ("check", "status", "value", "text"),
)

AUDIT_TABLES = {
    table.name: table for table in (VERDICTS, EFFECTS, DISTORTED, GROUPS, GAPS, AUDIT_CHECKS, SHORTCUTS, PROVENANCE)
}
"""Every table of an audit by name, the most requested first."""
