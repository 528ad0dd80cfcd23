"""Tables of a run folder on its images, and on cues that predict the target without a network."""

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
    number,
)

ENVIRONMENTS = Table(
    "environments",
    "environment × factor of interest: the association requested and achieved",
    (
        environment("name of the environment"),
        Column("recipe", "recipe whose training environment it is; empty for tests", cell="recipe"),
        Column("factor", "factor"),
        Column("target", "class that the factor is tied to"),
        number("asked", "strength requested", "association requested"),
        estimate("strength", "strength achieved", "achieved"),
        *INTERVAL,
        integer("kept", "images used"),
        integer("available", "images that could be used"),
        Column("counts", "JSON: triples of class, level and number of images"),
        Column("held", "value of all images, whose strength is then 0; empty where the factor varies"),
        Column("set", "set of data.tests that images are of; empty for the training set"),
        integer("images", "images of the environment", cell="count"),
        integer("patients", "patients of the environment; 0 where the data name none", cell="count"),
    ),
    ("environment", "recipe", "factor", "asked", "strength", "low", "high", "kept", "available"),
)

DOSE_COUNTS = Table(
    "dose_counts",
    "training environment of a dose-response × class",
    (
        *RECIPE,
        Column("factor", "factor of the confounder"),
        Column("target", "class"),
        integer("least", "images of the class with the confounder, least over seeds"),
        integer("most", "images of the class with the confounder, most over seeds"),
        integer("fewest_images", "images of the class, fewest over seeds", head="fewest images"),
        integer("most_images", "images of the class, most over seeds", head="most images"),
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
        number("share", "share of pixels changed"),
        number("difference", "mean absolute difference, black to white being 1"),
        number("ssim", "structural similarity"),
        IMAGES,
        REASON,
    ),
    ("confounder", "share", "difference", "ssim", "images", "reason"),
)

LARGE = "large lesion"
"""Class of a segmentation's lesions over their median area."""
CONTENT_CUES = (
    "thumbnail of 16 x 16 pixels",
    "share of thin bright marks",
    "share of black pixels",
    "share of nearly white pixels",
)
"""Names of cues that may be the finding itself: the thumbnail, and properties that count some pixels of an image."""
SHORTCUTS = Table(
    "shortcuts",
    "simple cue that may predict the target without a network, of images from files",
    (
        Column("name", "name of the factor, column, property or baseline"),
        Column(
            "kind",
            "factor, column (undeclared), filled (whether a column is), image (a property), check (of single images) "
            "or baseline (a ridge regression on other patients)",
            cell="code",
        ),
        Column(
            "of", f"class that it predicts; {LARGE}: over the median area, among images with a lesion", head="class"
        ),
        estimate("value", "AUROC for that class"),
        *INTERVAL,
        Column(
            "direction",
            "higher or lower, of a number; mixed where it is neither; of two levels, the more frequent one in the "
            "class; empty otherwise",
        ),
        Column("strong", "whether it is a caution", "BOOLEAN"),
        IMAGES,
        PATIENTS,
        REASON,
    ),
    ("name", "kind", "of", "value", "low", "high", "direction", "images", "patients", "reason"),
)

ADDED_VERDICTS = ("beyond", "not-shown", "below")
"""Whether networks are beyond the best simple cue: shown, not shown, or worse than it."""
ADDED = Table(
    "added",
    "recipe in a test environment without interventions: its networks compared with the best simple cue",
    (
        Column("recipe", "recipe; empty for one model", cell="recipe"),
        environment("test environment; empty for one model"),
        Column("name", "cue that predicts the target best among patients that are not tested"),
        Column("kind", "see the table `shortcuts`", cell="code"),
        Column("of", "class that is predicted", head="class"),
        Column("verdict", "beyond the best cue, not shown to be, or below it", values=ADDED_VERDICTS, cell="code"),
        estimate("network", "AUROC of the networks", "AUROC"),
        number("network_low", "lower end of its 95% interval"),
        number("network_high", "upper end of its 95% interval"),
        number("cue", "AUROC of the cue on the same images", "AUROC of the cue"),
        estimate("value", "AUROC of the networks among images of the same tenth of the cue", "AUROC at similar values"),
        *INTERVAL,
        number("rest", "AUROC of the cue among the same pairs of images", "of the cue there"),
        TRAINING_SEEDS,
        IMAGES,
        PATIENTS,
        REASON,
    ),
    (
        "recipe",
        "environment",
        "name",
        "of",
        "verdict",
        "network",
        "cue",
        "value",
        "low",
        "high",
        "rest",
        "seeds",
        "images",
        "patients",
        "reason",
    ),
)

ISSUE_KINDS = (
    "copy", "across-parts", "suspected-copy", "alike-embedding", "left-out", "blank", "dark", "bright", "blurry",
    "marked", "outlying", "odd-embedding", "suspected-label", "small-group",
)  # fmt: skip
"""Kinds of issues of images, the gravest first."""
ISSUES = Table(
    "issues",
    "issue of an image, or of a group of images",
    (
        Column("kind", "kind of issue", values=ISSUE_KINDS, cell="code"),
        integer("row", "line of the table, row of one in memory, or number of the file; 0 of a group"),
        integer("cluster", "number of the cluster of copies; 0 without", "cluster of copies", cell="count"),
        Column("of", "class of the image, or column and level of a group", head="class"),
        number(
            "value",
            "how far the image is from the others, in robust standard deviations, of marks in limits; of a label by "
            "how much more another class is expected",
            "how far",
        ),
    ),
    ("kind", "row", "cluster", "of", "value"),
)
