"""Layout of a run folder and columns of its tables, readable with DuckDB or any Parquet reader, without Assay.

    runs/<study>/
      run.json                         kind of run, what was asked for (of a study its canonical spec), schema version
      stated.json                      which comparisons were stated before results existed; never rewritten
      registration.json                copy of the registration that lay next to the folder, if any
      replication.json                 the run that this one replicates, if any: its primary comparisons
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
      models/<id>/                     a model that was trained elsewhere: what it takes and gives, and its thresholds
        record.json  provenance.json
      packs/<kind>-<hash>.parquet .json   rows and records of 1,000 readings or probes, in place of their files
      failures/<id>.json               traceback of a unit that failed, removed when it succeeds
      tables/*.parquet                 results of the statistics: the tables below; the report shows nothing else
      tables/stamp.json                hashes of the spec and units that the tables were made of
      manifest.json                    path, size and SHA-256 of every file, written when a run ends
      pictures/*.png                   sample images and pairs for the page
      report.html
      preview/                         a folder with tables, pictures and a page of its own
      .lock                            held while a run works here; empty
      .begun                           until the run ends: a random number, by which the user who began it is known

Times, hosts and versions are in provenance.json alone: all other files are byte for byte reproducible.
"""

from __future__ import annotations

from assay.store.columns import (
    IMAGES,
    INTERVAL,
    PATIENTS,
    REASON,
    RECIPE,
    TRAINING_SEEDS,
    Column,
    Table,
    environment,
    estimate,
    integer,
    json_column,
    number,
)
from assay.store.data_tables import ADDED, DOSE_COUNTS, ENVIRONMENTS, ISSUES, SHORTCUTS, VISIBILITY

SCHEMA_VERSION = 1

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

# --- Columns that several tables have ---------------------------------------------------------------------------------

_PLACE = (
    Column("measure", "name of the measure, see the list of measures", cell="measure"),
    environment("test environment; empty where the measure is of none or of all"),
    Column("factor", "factor, family of distortions or explainer; empty where the measure is of the whole"),
    Column("level", "level or half of the factor, class, size, severity or layer compared with; empty for the whole"),
    Column("layer", "layer of the network; empty for its output", cell="text"),
    Column("group", "class, direction, reference or worst place that the value is of; empty for the whole"),
)
_ERROR = (number("standard_error", "standard error"), number("df", "degrees of freedom of the interval"))
_P = number("p", "p value, uncorrected", cell="p")
_HOLM = number("p_holm", "p value after Holm's correction within its family", "p (Holm)", "p")
_DECIDED_BY = (
    number("decision_level", "level of the interval that decided, after correction", "level"),
    number("decision_low", "lower end of the interval that decided", "decided low"),
    number("decision_high", "upper end of the interval that decided", "decided high"),
    number("decision_p", "p value of the test that decided, after correction", "decided p"),
)
_BY = tuple(column.name for column in _DECIDED_BY)
_SIGN_FLIPS = (
    number("sign_flip_p", "p value of a sign-flip test over seeds"),
    number("sign_flip_min_p", "least p value that a sign-flip test of so many seeds can give"),
)
_STATUS = Column("status", "done, collapsed, diverged, failed or pending", cell="text")
_YARDSTICK = number(
    "yardstick", "validation log-loss of a refitted linear head, or 1 - Dice of lesions: comparable between losses"
)
_LOSSES = (
    number("train_loss", "loss on training images", head="training loss"),
    number("validation_loss", "loss on validation images", head="validation loss"),
)
_COMPARED = (
    Column("axis", "axis along which the recipes differ"),
    Column("a", "level of the recipe that is compared"),
    Column("b", "level of the recipe that it is compared against"),
    Column("at", "whether recipes are compared as trained, at matched fit, over doses or at matched performance"),
    Column("doses", "doses above 0 that the comparison rests on, where more were trained; empty otherwise"),
    Column("measure", "measure that is compared", cell="measure"),
    environment("test environment"),
    Column(
        "clean", "at matched clean performance, environment in which it is matched; empty otherwise", cell="environment"
    ),
    Column("factor", "factor that the measure is of"),
    Column("layer", "layer that the measure is of", cell="text"),
    json_column("where", "JSON: axis -> value held while the recipes are compared"),
    json_column("pooled", "JSON: axis or environment -> values that the difference is averaged over; or empty"),
)
"""Columns that name a comparison, as `stats.rows.COMPARED`."""

# --- Tables -----------------------------------------------------------------------------------------------------------

CONTRASTS = Table(
    "contrasts",
    "pre-specified comparison of two recipes; the value is a - b",
    (
        Column("id", "identifier of the comparison"),
        *_COMPARED,
        estimate("value", "difference a - b, mean over seeds"),
        *INTERVAL,
        *_ERROR,
        number("seed_error", "standard error over seeds alone"),
        number(
            "p", "p value, uncorrected; of a dose-response the greater of both scales, 1 where signs differ", cell="p"
        ),
        number("plain_p", "of a dose-response, p value on the measure's own scale"),
        number("probit_p", "of a dose-response, p value on the probit scale"),
        _HOLM,
        Column("family", "comparisons that are corrected together"),
        Column("role", "primary, secondary, positive-control or a-a"),
        Column("correction", "correction of the family: holm or fixed-order"),
        Column("expected", "of a positive control, the direction that must be found: higher or lower"),
        TRAINING_SEEDS,
        integer("left_out", "seeds that either recipe kept and the comparison does not rest on"),
        *(
            column
            for side in ("a", "b")
            for column in (
                integer(
                    f"failed_{side}", f"of {side}, seeds whose network collapsed, diverged or fell far below the others"
                ),
                integer(f"trained_{side}", f"of {side}, seeds whose training finished"),
                number(f"failure_limit_{side}", f"of {side}, greatest share of failing seeds that this allows (95%)"),
            )
        ),
        PATIENTS,
        number("effective_patients", "effective number of patients, for two classes the smaller; no decision under 6"),
        integer("paired_patients", "patients that both recipes have; 0 where the data name none"),
        *_SIGN_FLIPS,
        number("margin", "greatest difference that counts as equivalent"),
        number("equivalence_p", "greater p value of two one-sided tests, after Holm; claimed under 0.05"),
        number("equivalence_level", "level of the interval that decides on equivalence"),
        number("equivalence_low", "lower end of the interval that decides on equivalence"),
        number("equivalence_high", "upper end of the interval that decides on equivalence"),
        number("beyond_p", "one-sided p value of a difference of at most the margin, after Holm; claimed under 0.025"),
        number("noninferiority_p", "p value of a being worse than b by the margin or more; claimed under 0.025"),
        Column(
            "decision",
            "higher-beyond or lower-beyond (by more than the margin), higher, lower, higher-small or "
            "lower-small (by less than the margin), equivalent, or inconclusive; of a control detected, undetected, "
            "none detected, differs or untested",
            cell="decision",
        ),
        *_DECIDED_BY,
        number("least_margin", "smallest margin at which the comparison would be equivalent; NaN without a margin"),
        number("seeds_needed", "of an inconclusive comparison, seeds that would decide it whatever the truth"),
        number(
            "patients_needed",
            "where seeds alone would not decide it, patients that would with 40 seeds; "
            "0 for a measure without patients, which the error of its probe limits",
        ),
        number("detectable", "difference that the design finds with 80% power"),
        Column("exploratory", "whether the comparison was added or changed after results existed", "BOOLEAN"),
        Column(
            "equal",
            "at matched clean performance, JSON: level, its environment (clean), training rows of a and of "
            "b, and all trained amounts; empty otherwise",
        ),
        REASON,
    ),
    ("value", *_BY, "seeds", "decision", "reason"),
)

LOOKS = Table(
    "looks",
    "primary comparison × look of a study that is run until it is decided",
    (
        Column("id", "identifier of the comparison, as in `contrasts`"),
        *_COMPARED,
        Column("family", "comparisons that are corrected together"),
        integer("look", "seeds at which it was looked at"),
        integer("seeds", "seeds of the look that both recipes kept", cell="count"),
        number("alpha", "nominal level of the family at each look"),
        estimate("value", "difference a - b, mean over the seeds of the look"),
        *INTERVAL,
        number(
            "p", "p value, uncorrected; of a dose-response the greater of both scales, 1 where signs differ", cell="p"
        ),
        Column(
            "decision", "decision at this look, or at the earlier one that closed it: see contrasts", cell="decision"
        ),
        *_DECIDED_BY,
        number("seeds_needed", "of an inconclusive comparison, seeds that would decide it whatever the truth"),
        REASON,
        number(
            "closed_at",
            "seeds of the look that closed it, after which it gets none; NaN while open",
            "closed at",
            "count",
        ),
    ),
    ("look", "value", *_BY, "decision", "closed_at"),
    note="Empty for a run with a fixed number of seeds.",
)

_DECIDED = {
    "value": "difference a - b",
    "low": "lower end of the 95% interval",
    "high": "upper end of the 95% interval",
    "p": "p value, uncorrected",
    "seeds": "training seeds",
    **{column.name: column.meaning for column in _DECIDED_BY},
}

REPLICATIONS = Table(
    "replications",
    "primary comparison of a replication, with the same one of the run that it repeats",
    (
        Column("id", "identifier of the comparison, as in `contrasts`"),
        *_COMPARED,
        number("margin", "greatest difference that counts as equivalent"),
        *(
            column
            for run, name in (("", "replication"), ("first_", "earlier run"))
            for column in (
                Column(
                    f"{run}decision",
                    f"of the {name}, the decision, as in `contrasts`",
                    head=f"{run[:-1]} decision".lstrip(),
                ),
                *(
                    number(f"{run}{key}", f"of the {name}, {text}", f"{run}{key}".replace("_", " "))
                    for key, text in _DECIDED.items()
                ),
                Column(f"{run}reason", f"of the {name}, doubts, codes with fields as JSON"),
            )
        ),
        number(
            "predicted_low",
            "lower end of the 95% prediction interval of the second difference from the first",
            "predicted low",
        ),
        number("predicted_high", "upper end of the prediction interval", "predicted high"),
        Column("within", "whether the second difference fell in: yes or no; empty where the first has no error"),
        number(
            "agreement",
            "probability of the first decision in the second run, from the first difference and both errors",
            "agreement expected",
        ),
        estimate("both", "mean difference over the seeds of both runs", "both runs"),
        number("both_low", "lower end of its 95% interval", "both low"),
        number("both_high", "upper end of its 95% interval", "both high"),
        Column("patients", "whether the replication tests on new patients or on the same"),
    ),
    (
        "first_value",
        "first_decision",
        "value",
        "decision",
        "predicted_low",
        "predicted_high",
        "within",
        "agreement",
        "both",
        "both_low",
        "both_high",
    ),
    note="Empty for a run that is not a replication.",
)

FINDINGS = Table(
    "findings",
    "caution about the run, or limit of it",
    (
        Column("id", "kind and code"),
        Column("kind", "limit, failure, leakage, shortcut or caution"),
        Column("light", "ok, warn or bad; none of a limit"),
        Column("reason", "JSON: codes with fields", cell="reason"),
        Column("table", "evidence: table of the run folder"),
        Column("row", "evidence: id of the row of contrasts"),
    ),
    ("light", "kind", "id"),
)

ESTIMATES = Table(
    "estimates",
    "recipe × measure × place: the mean over seeds with its interval over patients and seeds",
    (
        Column("id", "identifier: 12 digits of the hash of what names the estimate"),
        *RECIPE,
        *_PLACE,
        Column("unit", "unit of the value; empty for a share or a correlation"),
        Column("direction", "higher or lower: which is better; none for a measure that does not rank"),
        estimate("value", "mean over seeds"),
        *INTERVAL,
        *_ERROR,
        TRAINING_SEEDS,
        PATIENTS,
        IMAGES,
        number("chance", "value of an uninformative model; NaN where there is none"),
        Column(
            "where",
            "which group or environment a worst value is of, codes with fields as JSON; empty otherwise",
            head="worst in",
            cell="place",
        ),
        REASON,
    ),
    ("recipe", "measure", "environment", "factor", "level", "layer", "group", "value", "low", "high", "reason"),
)

_OF_SEED = (integer("seed", "number of the seed"), number("value", "value of this seed"))

VALUES = Table(
    "values",
    "estimate × seed, folds pooled",
    (Column("id", "identifier of the estimate"), *_OF_SEED),
    ("id", "seed", "value"),
    embedded=False,
)

SEEDS = Table(
    "seeds",
    "recipe × seed × measure × place, folds pooled",
    (*RECIPE, *_PLACE, *_OF_SEED),
    ("recipe", "seed", "measure", "environment", "factor", "level", "layer", "group", "value"),
    "No file: the rows of `values` with what names them in `estimates`.",
    parts=("estimates", "values"),
)

RELIANCE_CONTRASTS = Table(
    "reliance_contrasts",
    "recipe × measure of reliance × factor but the greatest: the largest factor's value minus the other's, paired by "
    "seed",
    (
        *RECIPE,
        Column("measure", "measure of reliance", cell="measure"),
        Column("factor", "factor with the greatest value"),
        Column("against", "factor that it is compared with", cell="text"),
        estimate("value", "difference, mean over seeds"),
        *INTERVAL,
        *_ERROR,
        _P,
        *_DECIDED_BY,
        TRAINING_SEEDS,
        REASON,
    ),
    ("recipe", "measure", "factor", "against", "value", *_BY, "seeds", "reason"),
    "Corrected by Holm's method over the other factors.",
)

DOSE_CHANGES = Table(
    "dose_changes",
    "recipe without its dose × environment × measure: the mean over p > 0 of the measure minus that at p = 0",
    (
        *RECIPE,
        Column("axis", "axis of the doses"),
        Column("doses", "JSON: doses above 0 that were trained; means over other doses do not compare", cell="list"),
        Column("measure", "measure that changes", cell="measure"),
        environment("test environment"),
        estimate("value", "mean change over the seeds kept at every dose"),
        *INTERVAL,
        TRAINING_SEEDS,
        PATIENTS,
        json_column("per_seed", "JSON: seed -> change"),
        REASON,
    ),
    ("recipe", "measure", "environment", "value", "low", "high", "seeds", "reason"),
)

CONDITION_CHANGES = Table(
    "condition_changes",
    "recipe × test condition in which one factor does not predict the target: its performance minus that in the first "
    "test condition",
    (
        *RECIPE,
        Column("factor", "factor whose association with the target is 0 in this condition"),
        environment("test condition"),
        Column("against", "first test condition, with the images as they are", cell="text"),
        Column("measure", "AUROC, macro AUROC of several classes, or Dice of a segmentation", cell="measure"),
        estimate("value", "change, mean over seeds, paired by seed and patient"),
        *INTERVAL,
        number("margin", "largest change that does not matter"),
        TRAINING_SEEDS,
        PATIENTS,
        REASON,
    ),
    ("recipe", "factor", "environment", "measure", "value", "low", "high", "margin", "seeds", "patients", "reason"),
)

TRADES = Table(
    "trades",
    "recipe of a segmentation: overlap against false alarms, each in an environment of its own",
    (
        *RECIPE,
        Column("across", "measure of overlap"),
        Column("across_environment", "its environment"),
        Column("up", "measure of false alarms"),
        Column("up_environment", "its environment"),
        number("correlation", "correlation of the errors of both estimates, over patients and seeds"),
        number("df", "degrees of freedom of the joint region"),
        Column("region", "JSON: outline of the joint 95% region as pairs (across, up); empty where there is none"),
        TRAINING_SEEDS,
        REASON,
    ),
    ("recipe", "across", "up", "correlation", "df", "seeds", "reason"),
)

POINTS = Table(
    "points",
    "point of a curve or plane of a recipe of a segmentation; means over the kept seeds",
    (
        Column(
            "curve",
            "false-positives, free-response, train_loss, validation_loss, lr, or weight (of the first term "
            "of the loss)",
        ),
        *RECIPE,
        environment("test environment; empty of a training"),
        number(
            "x",
            "of false positives the least area of a component, as a share of the image; of the free response "
            "components per image that touch no lesion; of a training the epoch, from 1",
        ),
        number("y", "of false positives the logit from which a pixel is predicted; NaN elsewhere"),
        number(
            "value",
            "share of lesion-free images with such a component; share of lesions found with at most so "
            "many; or the value in that epoch",
        ),
        TRAINING_SEEDS,
        PATIENTS,
        IMAGES,
    ),
    ("curve", "recipe", "environment", "x", "y", "value", "seeds", "images"),
)

TRIALS = Table(
    "trials",
    "planned trial",
    (
        Column("trial", "identifier of the trial: hash of what determines its weights"),
        *RECIPE,
        integer("seed", "number of the seed"),
        integer("fold", "number of the fold; 0 where the split is fixed"),
        _STATUS,
        Column("reason", "why the trial is not done; empty otherwise", cell="reason"),
        _YARDSTICK,
        number("seconds", "duration of the training"),
        *_LOSSES,
    ),
    ("trial", "recipe", "seed", "fold", "status", "yardstick", "seconds", "reason"),
    "A trial whose source collapsed or diverged has the status of the source. An ensemble is here only where it "
    "failed or is pending.",
)

SOURCES = Table(
    "sources",
    "start that the study trains itself",
    (
        Column("source", "identifier of the source"),
        Column("name", "name in the study file"),
        integer("seed", "number of the seed"),
        _STATUS,
        Column("reason", "why the source is not done; empty otherwise", cell="reason"),
        _YARDSTICK,
        number("steps", "optimizer steps taken", cell="count"),
        number("images", "images trained on", cell="count"),
        number("validation_auroc", "AUROC on its own validation images", head="AUROC of its own"),
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
        number("size", "of a start trained here: side of its images in px"),
        number("steps", "of a start trained here: optimizer steps", cell="count"),
        number("images", "of a start trained here: images", cell="count"),
        number("seeds", "of a start trained here: seeds trained to the end", cell="count"),
        estimate("value", "of a start trained here: AUROC on its own validation images"),
        *INTERVAL,
        REASON,
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
        *RECIPE,
        Column("mitigation", "mitigation of the shortcut"),
        Column("groups", "factor of its groups"),
        Column("training_labels", "whose group labels train: none, training or validation", head="training labels"),
        Column("selection_labels", "whose group labels select: none or validation", head="selection labels"),
    ),
    ("recipe", "mitigation", "groups", "training_labels", "selection_labels"),
)

COLLAPSES = Table(
    "collapses",
    "recipe, and pair of recipes compared (against): how often training collapsed or diverged, by seed",
    (
        *RECIPE,
        Column("against", "recipe that it is compared with; empty for the rate of one recipe", cell="recipe"),
        integer("collapsed", "seeds of the recipe that collapsed"),
        integer("diverged", "seeds of the recipe that diverged"),
        integer("seeds", "seeds whose training finished; of a pair, those of both", cell="count"),
        estimate("rate", "share of seeds lost; of a pair, the difference"),
        *INTERVAL,
        number("p", "of a pair, McNemar's p value", cell="p"),
        number("min_p", "of a pair, the least p value that so many seeds can give"),
    ),
    ("recipe", "against", "collapsed", "diverged", "seeds", "rate", "low", "high", "p"),
    "Seeds that failed or are pending count in neither.",
)

SIMILARITIES = Table(
    "similarities",
    "pair of recipes that differ along one axis × measure × layer of the one × layer of the other; a recipe against "
    "itself is its seed baseline",
    (
        *RECIPE,
        Column("against", "label of the other recipe", cell="recipe"),
        json_column("against_coordinates", "JSON: axis -> the other recipe's value on it"),
        Column("axis", "axis along which they differ"),
        Column("measure", "cka, cka-rbf or kappa (of predictions)", cell="measure"),
        environment("test environment"),
        Column("layer", "layer of the recipe", cell="text"),
        Column("against_layer", "layer of the other recipe", head="layer of the other", cell="text"),
        estimate("value", "mean over pairs of models of different seeds"),
        number("within", "mean over two seeds of the recipe"),
        number("against_within", "mean over two seeds of the other recipe", head="within the other"),
        estimate("below", "mean of both within minus the value; NaN for layers of other names", "beyond seeds"),
        *INTERVAL,
        *_ERROR,
        number("p", "one-sided p value of below > 0", cell="p"),
        *_DECIDED_BY,
        *_SIGN_FLIPS,
        Column("decision", "beyond seeds or inconclusive", cell="decision"),
        TRAINING_SEEDS,
        IMAGES,
        REASON,
    ),
    (
        "recipe",
        "against",
        "measure",
        "layer",
        "against_layer",
        "value",
        "within",
        "against_within",
        "below",
        *_BY,
        "decision",
        "reason",
    ),
    "Corrected by Holm's method within the measure; the interval is of `below`.",
)

PICTURES = Table(
    "pictures",
    "picture of the page",
    (
        Column("file", "file under pictures/", cell="text"),
        Column("kind", "sheet, source, copies, cue, outline, heat-map, case, confounder or pair"),
        environment("test environment"),
        Column("factor", "factor; of a confounder its label, of a heat-map its explainer"),
        Column("facts", "JSON: facts of the caption, such as images, classes, marks or Dice of each recipe, by kind"),
        Column("logits", "JSON: recipe -> [logit low, logit high], means over seeds in within-class deviations"),
        number("pixel_size", "mm per pixel; 0 where unknown"),
        integer("scale", "screen pixels per pixel"),
    ),
    ("file", "kind", "environment", "factor"),
    embedded=False,
)

SHEET_COLUMNS, SHEET_GAP = 8, 2
"""Images in a row of a picture that is a sheet of images, and pixels between them."""

PUBLISHED = Table(
    "published",
    "cell of a published table: its figure, and that of this run",
    (
        Column("table", "title of the published table"),
        Column("source", "publication"),
        Column("page", "place in the publication"),
        Column("row", "value of the axis of the rows, layer, or level of the measure"),
        Column("column", "column of the published table"),
        Column("measure", "name of the measure, see the list of measures", cell="measure"),
        environment("test environment of this run"),
        Column("layer", "layer of this run's networks; empty for a measure of none", cell="text"),
        number("published", "published figure"),
        estimate(
            "value",
            "mean over seeds of this run; NaN where it has no such recipe (no seeds), or is undefined",
            "this run",
        ),
        *INTERVAL,
        Column("seeds", "values of this run's seeds, folds pooled; nan where undefined"),
        Column("against", "column that a permutation test compares it with; empty for none", cell="text"),
        number("p", "p-value of that test over seeds, two-sided, without correction", cell="p"),
        Column("note", "difference between both sides"),
    ),
    ("table", "row", "column", "published", "value", "low", "high", "p"),
)

PUBLISHED_ORDERS = Table(
    "published_orders",
    "column of a published table: whether the order of its rows is replicated in this run",
    (
        Column("table", "title of the published table"),
        Column("column", "column of the published table"),
        Column("measure", "measure that is compared", cell="measure"),
        environment("test environment of this run"),
        integer("rows", "rows with a published figure and a value of this run"),
        number("tau", "Kendall's tau-b of both orders, -1 to 1; NaN if one side is all equal", "rank agreement (tau)"),
        integer("pairs", "pairs of rows whose published figures differ"),
        integer("same", "of these, pairs in the same order in this run", "in the published order"),
        integer("compared", "of these, pairs that a comparison of this run tests at equal budget"),
        integer("same_shown", "compared pairs that are decided (corrected), as published", "decided as published"),
        integer("other_shown", "compared pairs that are decided (corrected) the other way", "decided the other way"),
    ),
    ("table", "column", "tau", "pairs", "same", "compared", "same_shown", "other_shown"),
)

DIFFERENCES = "differences from the publication"
"""Fact of `PROVENANCE` that holds a study's `differences`."""
PROVENANCE = Table(
    "provenance",
    "fact about how the results were made",
    (Column("key", "name of the fact", cell="text"), Column("value", "the fact", cell="text")),
    ("key", "value"),
)

TABLES = {
    table.name: table
    for table in (
        CONTRASTS,
        FINDINGS,
        ESTIMATES,
        VALUES,
        SEEDS,
        RELIANCE_CONTRASTS,
        DOSE_CHANGES,
        CONDITION_CHANGES,
        TRADES,
        POINTS,
        LOOKS,
        REPLICATIONS,
        TRIALS,
        SOURCES,
        STARTS,
        RECIPES,
        COLLAPSES,
        SIMILARITIES,
        ENVIRONMENTS,
        DOSE_COUNTS,
        VISIBILITY,
        SHORTCUTS,
        ADDED,
        ISSUES,
        PICTURES,
        PUBLISHED,
        PUBLISHED_ORDERS,
        PROVENANCE,
    )
}
"""Every table by name, the most requested first."""

# --- Tables of a preview ----------------------------------------------------------------------------------------------

COUNTS = Table(
    "counts",
    "environment × factor × level × class: images, in a preview",
    (
        environment("name of the environment"),
        Column("factor", "factor"),
        Column("level", "level or bin of the factor"),
        Column("target", "class"),
        integer("value", "images"),
    ),
    ("environment", "factor", "level", "target", "value"),
)

POWER = Table(
    "power",
    "planned comparison: the difference that it can detect, in a preview",
    (
        Column("id", "identifier of the comparison"),
        *_COMPARED,
        Column("role", "primary, secondary, positive-control or a-a"),
        number("detectable", "difference that the design finds with 80% power; NaN where it is unknown"),
        REASON,
    ),
    ("detectable", "reason"),
)

# --- Tables of one model that was trained elsewhere -------------------------------------------------------------------

MODEL_TABLES = {table.name: table for table in (ESTIMATES, FINDINGS, ENVIRONMENTS, PICTURES, PROVENANCE)}
"""Every table of a probed model by name, the most requested first; its estimates have no seeds."""
