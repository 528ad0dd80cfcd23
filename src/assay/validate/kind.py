"""The kind of a validation of scores, and its tables."""

from __future__ import annotations

from assay.store.columns import IMAGES, PATIENTS, Column, Table, estimate, integer, number
from assay.store.kinds import Kind
from assay.store.schema import TABLES

_MODEL = Column("model", "name of the file of scores", cell="text")
_ENDS = (
    number("low", "lower end of the 95% interval over patients; NaN where there is none"),
    number("high", "upper end"),
)
_MEASURE = Column("measure", "measure", cell="measure")
_VALUE = estimate("value", "estimate; NaN where it is undefined")

PERFORMANCE = Table(
    "performance",
    "model, measure and prevalence",
    (
        _MODEL,
        _MEASURE,
        Column(
            "at",
            "prevalence of a predictive value or of calibration; empty where it is that of the cases",
            head="prevalence",
            cell="text",
        ),
        _VALUE,
        *_ENDS,
        number("worst", "value if all rejected cases were called wrongly; NaN where none is rejected", "worst case"),
        number("best", "value if all were called rightly", "best case"),
        IMAGES,
        PATIENTS,
    ),
    ("model", "measure", "at", "value", "low", "high", "worst", "best"),
)
CURVES = Table(
    "curves",
    "model, curve and point",
    (
        _MODEL,
        Column(
            "curve",
            "roc, precision-recall, calibration, decision or ppv",
            values=("roc", "precision-recall", "calibration", "decision", "ppv"),
            cell="code",
        ),
        number("across", "false-positive rate, recall, mean probability, threshold probability or prevalence"),
        _VALUE,
        *_ENDS,
        IMAGES,
        PATIENTS,
    ),
    ("model", "curve", "across", "value", "low", "high"),
)
CONFUSION = Table(
    "confusion",
    "model, actual and called class",
    (
        _MODEL,
        Column("actual", "actual class", cell="text"),
        Column("called", "class that is called", cell="text"),
        IMAGES,
        _VALUE,
        *_ENDS,
    ),
    ("model", "actual", "called", "images", "value", "low", "high"),
    "The value is the share of the actual class.",
)
SUBGROUPS = Table(
    "subgroups",
    "model, group and measure",
    (
        _MODEL,
        Column("column", "column of the groups", cell="text"),
        Column("group", "group", cell="text"),
        _MEASURE,
        _VALUE,
        *_ENDS,
        integer("positives", "positive cases", cell="count"),
        IMAGES,
        PATIENTS,
    ),
    ("model", "column", "group", "measure", "value", "low", "high", "positives", "images"),
    "Intervals of the groups of a column hold together at 95% (Bonferroni).",
)
DIFFERENCES = Table(
    "differences",
    "measure: the difference of two models on the same cases",
    (
        Column("model", "the first model", cell="text"),
        Column("against", "the second model", cell="text"),
        _MEASURE,
        estimate("value", "value of the first minus that of the second"),
        *_ENDS,
        number("p", "two-sided p-value of no difference", cell="p"),
        number("margin", "largest difference that does not matter; NaN where none is named"),
        number("noninferiority_p", "one-sided p-value of being worse by the margin", cell="p"),
        number("equivalence_p", "p-value of being apart by the margin", cell="p"),
        Column(
            "outcome",
            "superior, inferior or inconclusive: the test of no difference",
            values=("superior", "inferior", "inconclusive"),
            cell="code",
        ),
        Column(
            "equivalence",
            "equivalent, non-inferior, not shown or no margin: the tests against the margin",
            values=("equivalent", "non-inferior", "not shown", "no margin"),
            cell="code",
        ),
        PATIENTS,
    ),
    ("model", "against", "measure", "value", "low", "high", "p", "outcome", "equivalence"),
)
DISCORDANT = Table(
    "discordant",
    "case that two models call differently",
    (
        integer("line", "line of the first file"),
        Column("actual", "actual class", cell="text"),
        Column("right", "the model that calls it rightly", cell="text"),
        number("first", "score of the first model"),
        number("second", "score of the second model"),
    ),
    ("line", "actual", "right", "first", "second"),
)
REJECTED = Table(
    "rejected",
    "model and class: cases without a score",
    (
        _MODEL,
        Column("actual", "actual class", cell="text"),
        integer("images", "cases without a score"),
        number("share", "share of the cases of the class"),
    ),
    ("model", "actual", "images", "share"),
)

RECALIBRATION = Table(
    "recalibration",
    "model, method and measure: before and after recalibration on other cases",
    (
        _MODEL,
        Column("method", "none, Platt or isotonic", values=("none", "Platt", "isotonic"), cell="code"),
        _MEASURE,
        Column("at", "true prevalence where it is named; empty where it is that of the cases", cell="text"),
        _VALUE,
        *_ENDS,
        IMAGES,
        PATIENTS,
    ),
    ("model", "method", "measure", "value", "low", "high"),
)
PLAN = Table(
    "plan",
    "model, measure and prevalence: patients that a further validation needs",
    (
        _MODEL,
        Column("against", "the second model of a difference; else empty", cell="text"),
        _MEASURE,
        Column(
            "goal",
            "half-width of the 95% interval, or difference that is shown with 80% power",
            values=("half-width", "difference"),
            cell="code",
        ),
        number("size", "its size"),
        Column("at", "share of positive patients; empty where it is that of the cases", cell="text"),
        integer("positives", "patients with a positive case", cell="count"),
        PATIENTS,
    ),
    ("model", "measure", "goal", "size", "at", "positives", "patients"),
)
_VALIDATION_TABLES = (PERFORMANCE, DIFFERENCES, CONFUSION, SUBGROUPS, CURVES, RECALIBRATION, DISCORDANT, REJECTED, PLAN)
VALIDATION = Kind(
    "validation",
    "a validation of scores",
    {table.name: table for table in (*_VALIDATION_TABLES, TABLES["provenance"])},
    "run `assay validate` again",
    "assay.validate.page:PAGE",
    writer="assay.validate.checklists:write_validation",
)
