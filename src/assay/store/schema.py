"""The shape of everything on disk. A run folder can be read with DuckDB or any Parquet reader, without Assay.

    runs/<study>/
      study.json                       canonical spec, name, schema version
      stated.json                      which comparisons were stated before results existed; never made anew
      plan.json                        the units that were planned when it was last run, with schema version
      described.json                   what the tables need of the data, so that a report needs the folder alone
      sources/<id>/                    one start that the study trained; its weights lie in the cache
        curve.parquet  record.json
      trials/<id>/                     one trained model
        weights.safetensors  curve.parquet  record.json (last: its presence means complete)  provenance.json
        checkpoint.pt                  only while training
      readings/<id>/                   one model on one environment
        outputs.parquet  record.json
      probes/<id>/                     one probe on one model
        measurements.parquet  record.json
        activations.safetensors        where it keeps them: pooled, a layer's [images, units], and their rows
      failures/<id>.json               traceback of a unit that failed, removed when it succeeds
      tables/*.parquet                 what statistics made of it: the tables below; the report shows nothing else
      tables/stamp.json                hashes of the spec and units that the tables were made of
      pictures/*.png                   sample images and pairs for the page
      report.html
      .lock                            held while a run works here; empty

Times, hosts and versions stand in provenance.json alone, so that all other files are byte for byte reproducible.
"""

from __future__ import annotations

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

# --- tables/ : one row each, all VARCHAR unless said; "coordinates" are the recipe's axis labels as JSON -------------

TRIALS = (
    # every planned trial: recipe (label), coordinates, seed, fold, status (done | collapsed | diverged | failed |
    # pending) and its reason, yardstick (validation log-loss of a refitted head), seconds, train_loss, validation_loss
    "trial", "recipe", "coordinates", "seed", "fold", "status", "reason", "yardstick", "seconds", "train_loss",
    "validation_loss",
)  # fmt: skip

SOURCES = (
    # every start that the study trains itself: name, seed, status (done | collapsed | diverged | failed | pending) and
    # its reason, yardstick (as in trials), steps taken, images trained on, AUROC on its own validation rows
    "source", "name", "seed", "status", "reason", "yardstick", "steps", "images", "validation_auroc",
)  # fmt: skip

STARTS = (
    # one row per initialisation and architecture: start (as on its axis), kind (the initialisation's name), what it is
    # in words, file and its sha256, scaling (of an image x in [0, 1]); of one that the study trains: data, steps,
    # images, seeds that were trained to an end, and its AUROC on its own validation rows with an interval over seeds
    "start", "kind", "what", "file", "sha256", "scaling", "data", "steps", "images", "seeds", "value", "low", "high",
    "reason",
)  # fmt: skip

RECIPES = (
    # one row per recipe: its mitigation, the factor of its groups, and whose group labels it used (none | training |
    # validation) to train and to select
    "recipe", "coordinates", "mitigation", "groups", "training_labels", "selection_labels",
)  # fmt: skip

SEEDS = (
    # one value per recipe x seed x measure: the dots of a figure (folds pooled)
    "recipe", "coordinates", "seed", "measure", "environment", "factor", "level", "layer", "group", "value", "reason",
)  # fmt: skip

ESTIMATES = (
    # one value per recipe x measure: mean over seeds with its interval over patients and seeds
    "recipe", "coordinates", "measure", "environment", "factor", "level", "layer", "group", "unit", "direction",
    "value", "low", "high", "standard_error", "df", "seeds", "patients", "images", "chance", "reason",
)  # fmt: skip

CONTRASTS = (
    # one row per stated comparison: value = a - b
    "id", "statement", "axis", "a", "b", "at", "doses", "measure", "environment", "factor", "layer", "where", "value",
    "low", "high", "standard_error", "df", "p", "plain_p", "probit_p", "p_holm", "family", "seeds", "left_out",
    "patients", "paired_patients", "sign_flip_p", "sign_flip_min_p", "margin", "equivalence_p", "equivalence_level",
    "equivalence_low", "equivalence_high", "noninferiority_p", "conclusion", "detectable", "exploratory", "equal",
    "exhausted", "reason",
)  # fmt: skip
# doses: those beside p = 0 that a comparison over doses rests on, where somewhere more were trained; "" elsewhere
# equal: of one at matched clean performance, JSON: the level, the environment it is of (clean), the training rows of a
# and of b, and those that were trained; "" elsewhere
# equivalence_p: the greater of two one-sided tests, by Holm; equivalence is claimed under .05. equivalence_level, _low,
# _high: the interval of the level that decided (.90 uncorrected, more by Holm); NaN without a margin
# noninferiority_p: of a being worse than b by the margin or more, claimed under .025; NaN without a margin, or where
# neither way is better
# plain_p, probit_p: of a dose-response on each scale, NaN elsewhere; its p is the greater, or 1 where signs differ
# left_out: seeds that either recipe kept and the comparison does not rest on. paired_patients: those both have
# exhausted: the end of the scale at which all values behind the comparison lie, `within .10 of 1`, `at chance`; or ""
# conclusion: "higher" | "lower" | "depends on the scale" | "equivalent" | "scale exhausted" | "not shown" | "undefined"

RELIANCE_CONTRASTS = (
    # one row per recipe x measure of reliance x factor but the greatest: value is the greatest factor's (factor) less
    # that of another (against), paired by seed; p_holm: over the other factors
    "recipe", "coordinates", "measure", "factor", "against", "value", "low", "high", "standard_error", "df", "p",
    "p_holm", "seeds", "reason",
)  # fmt: skip

HALF_DOSES = (
    # one row per recipe (without its dose) x environment x measure: the smallest p at which half of the margin over
    # chance that there was at p = 0 is gone, with its interval. axis: that of the doses. beyond: the first of high,
    # value, low that lies beyond the greatest dose trained and is NaN (low implies value, value implies high), "" where
    # none does; text: the three in words, `> 1 [.91, > 1]`; margin: at p = 0, less chance
    "recipe", "coordinates", "axis", "measure", "environment", "value", "low", "high", "beyond", "text", "greatest",
    "margin", "chance", "seeds", "patients", "reason",
)  # fmt: skip

DOSE_CHANGES = (
    # one row per recipe (without its dose) x environment x measure: the outcome of a dose-response, the mean over p > 0
    # of the measure less that at p = 0, over the seeds kept at every dose. doses: JSON, those above 0 that it was
    # trained at; means over others are not alike. per_seed: JSON, seed -> value
    "recipe", "coordinates", "axis", "doses", "measure", "environment", "value", "low", "high", "seeds", "patients",
    "per_seed", "reason",
)  # fmt: skip

PLANES = (
    # of a segmentation one row per recipe x environment with lesion-free images x threshold (a logit) x area (share of
    # the image): value is the share of those images in which a component of that area stands at that threshold
    "recipe", "coordinates", "environment", "threshold", "area", "value", "seeds", "patients", "images",
)  # fmt: skip

FREE_RESPONSE = (
    # of a segmentation one row per recipe x environment with lesions x number of false positives that some seed has at
    # some threshold: components per image that touch no lesion, and the share of lesions found with so many at most
    "recipe", "coordinates", "environment", "false_positives", "sensitivity", "seeds", "patients", "images",
)  # fmt: skip

TRADES = (
    # of a segmentation one row per recipe: what it outlines (across: a measure) against its false alarms (up), each in
    # an environment of its own; correlation: of the errors of the two estimates, over patients and seeds; region: JSON,
    # the outline of their joint 95 % region as pairs (across, up), empty with a reason where there is none
    "recipe", "coordinates", "across", "across_environment", "up", "up_environment", "correlation", "df", "region",
    "seeds", "reason",
)  # fmt: skip

CURVES = (
    # of a segmentation one row per recipe x epoch, means over the kept seeds and their folds: losses (lower is better),
    # lr at the epoch's end, weight of the loss's first term where its schedule has one (else NaN)
    "recipe", "coordinates", "epoch", "train_loss", "validation_loss", "lr", "weight", "seeds",
)  # fmt: skip

SIMILARITIES = (
    # how alike models of a recipe and of the one it is compared against are, by measure (cka | procrustes | rsa |
    # neighbours | kappa: of what they call), layer of the one and of the other: value is the mean over models of
    # different seeds; within and against_within: of two seeds of each recipe alone; below: their mean less the value,
    # with its interval over seeds, a one-sided p, Holm's within the measure, and conclusion (beyond seeds | not shown |
    # undefined). Of layers of other names value alone; a recipe against itself is its own seed baseline
    "recipe", "coordinates", "against", "against_coordinates", "axis", "measure", "environment", "layer",
    "against_layer", "value", "within", "against_within", "below", "low", "high", "standard_error", "df", "p", "p_holm",
    "sign_flip_p", "sign_flip_min_p", "conclusion", "seeds", "images", "reason",
)  # fmt: skip

COLLAPSES = (
    # how often a recipe's seeds (or the sources they start from) collapsed or diverged in a fold, of those trained to
    # an end; with `against` set, by how much oftener than those of another recipe over the same seeds, with McNemar's p
    # and the least it can be. Failed and pending seeds count in neither; `collapsed` and `diverged` are of `recipe`
    "recipe", "coordinates", "against", "collapsed", "diverged", "seeds", "rate", "low", "high", "p", "min_p",
)  # fmt: skip

ENVIRONMENTS = (
    # one row per environment x factor of interest: what was asked and achieved; held: the value of all rows, which
    # leaves nothing to tie (its strength is 0), "" where the factor varies
    "environment", "recipe", "factor", "target", "asked", "strength", "low", "high", "kept", "available", "counts",
    "held", "images", "patients",
)  # fmt: skip

DOSE_COUNTS = (
    # one row per training environment of a dose-response x class: of the images of the class how many bore the
    # confounder, least and most over the seeds, and how many images there were. factor: of the confounder
    "recipe", "coordinates", "factor", "target", "least", "most", "fewest_images", "most_images",
)  # fmt: skip

VISIBILITY = (
    # one row per confounder: an intervention with its arguments, means over a fixed sample of clean test images of the
    # share of pixels changed, the mean absolute difference (black to white being 1) and the structural similarity; or
    # a factor that is tied by sampling, which changes no pixel. factor: its name. kind: intervention | sampled
    "confounder", "factor", "kind", "share", "difference", "ssim", "images", "reason",
)  # fmt: skip

SHORTCUTS = (
    # one row per thing that may tell the target without a network, of images from files: kind is factor | column
    # (undeclared) | image (a property) | baseline (a ridge regression out of fold); of: the class that it tells; value:
    # AUROC with its interval over patients; direction: higher | lower where a number is taken as it is; strong: whether
    # it is a caution
    "name", "kind", "of", "value", "low", "high", "direction", "strong", "images", "patients", "reason",
)  # fmt: skip

SENTENCES = (
    # the page's words, made by stats.verdict: part (answer | doubt | limit), text, light (ok | warn | bad | none),
    # evidence (id of the contrast or table row the number comes from)
    "part", "text", "light", "evidence",
)  # fmt: skip

PICTURES = (
    # file under pictures/, kind (sheet | copies | outline | heat-map | confounder | pair), caption, alt, environment,
    # factor (of a confounder its label, of a heat-map its explainer), logits (JSON: recipe -> [logit low, logit high],
    # means over seeds in units of within-class deviations), pixel_size (mm, 0 unknown), scale (how many screen pixels a
    # pixel)
    "file", "kind", "caption", "alt", "environment", "factor", "logits", "pixel_size", "scale",
)  # fmt: skip

PROVENANCE = ("key", "value")

TABLES = (
    "contrasts", "sentences", "estimates", "seeds", "reliance_contrasts", "half_doses", "dose_changes", "trades",
    "planes", "free_response",
    "curves", "trials", "sources", "starts", "recipes", "collapses", "similarities", "environments", "dose_counts",
    "visibility", "shortcuts", "pictures", "provenance",
)  # fmt: skip
"""Their names, what is asked for most first."""
