"""Items of CLAIM 2024 and of the FDA's 2025 draft guidance, each with the evidence of an audit and the gap.

References:
    Tejani et al., "Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update", Radiology:
        Artificial Intelligence 6(4), 2024, e240300.
    FDA, "Artificial Intelligence-Enabled Device Software Functions: Lifecycle Management and Marketing Submission
        Recommendations", draft guidance, January 7, 2025, sections V to XIII.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from assay.audit.words import HARMFUL, check_words, not_established, stated
from assay.core.measures import label_of
from assay.report.words import sentence_case, valued
from assay.stats.format import count, in_words, listed
from assay.store.files import Row


@dataclass(frozen=True)
class Audited:
    """The tables of an audit, as evidence.

    Attributes:
        tables: Name -> rows.
        facts: The provenance.
    """

    tables: Mapping[str, Sequence[Row]]
    facts: Mapping[str, str]

    def facts_of(self, *names: str) -> str:
        """Return facts that are known, as one sentence each."""
        return ". ".join(f"{sentence_case(name)}: {self.facts[name]}" for name in names if name in self.facts)

    def checks_of(self, *names: str) -> str:
        """Return outcomes of checks that were done."""
        done = [row for row in self.tables["checks"] if row["check"] in names and row["status"] != "not-done"]
        return ". ".join(check_words(row) for row in done)

    def overall(self, *measures: str) -> str:
        """Return measures over all images with their intervals."""
        rows = [row for row in self.tables["groups"] if not row["column"] and row["measure"] in measures]
        return "; ".join(f"{label_of(row['measure'])} {valued(row, 3)}" for row in rows)

    @property
    def columns(self) -> str:
        """Columns that divide the images into groups."""
        known = list(dict.fromkeys(row["column"] for row in self.tables["groups"] if row["column"] and row["measure"]))
        return f"Columns: {listed([in_words(one) for one in known])}" if known else ""

    @property
    def gaps(self) -> str:
        """Number of gaps between groups, by decision."""
        return _counted(self.tables["gaps"], "decision", "gap between groups", "gaps between groups")

    @property
    def marks(self) -> str:
        """Number of marks, by verdict."""
        rows = [row for row in self.tables["verdicts"] if row["kind"] == "mark"]
        return _counted(rows, "verdict", "mark on images", "marks on images")

    @property
    def distortions(self) -> str:
        """Number of distortions, by decision."""
        return _counted(self.tables["distorted"], "decision", "distortion and severity", "distortions and severities")

    @property
    def missing(self) -> str:
        """Columns with missing values."""
        rows = [row for row in self.tables["columns"] if row["missing"]]
        return "; ".join(
            f"{in_words(row['column'])}: {count(int(row['missing']), 'image')} without a value" for row in rows
        )

    @property
    def harmful(self) -> str:
        """Factors that answers change with, apart from the leading region."""
        names = [in_words(row["factor"]) for row in stated(self.tables) if row["verdict"] in HARMFUL]
        return f"Answers change with {listed(names)}" if names else ""

    @property
    def libraries(self) -> str:
        """Versions of the libraries that the audit ran with."""
        versions = ("python", "torch", "torchvision", "timm", "onnxruntime", "numpy")
        return ", ".join(f"{name} {self.facts[name]}" for name in versions if name in self.facts)


def _counted(rows: Sequence[Row], name: str, one: str, several: str) -> str:
    found = Counter(row[name] for row in rows)
    parts = ", ".join(f"{n} {in_words(key.replace('-', ' '))}" for key, n in found.items())
    return f"{len(rows)} {one if len(rows) == 1 else several}: {parts}" if rows else ""


@dataclass(frozen=True)
class Item:
    """An item of a checklist.

    Attributes:
        name: Its number or topic.
        topic: Its content in a few words.
        gap: What an audit cannot show of it.
        evidence: What an audit shows; empty where it has nothing.
    """

    name: str
    topic: str
    gap: str
    evidence: Callable[[Audited], str] = lambda found: ""


_PAPER = "The paper states it."
_TRAINING = "An audit does not see the training."
_MAKER = "The maker states it."
_LABELS = "An audit takes the labels as given."

CLAIM: tuple[Item, ...] = (
    Item("1", "study of AI methodology, with the kind of AI", _PAPER),
    Item("2", "summary of design, methods, results, conclusions", _PAPER),
    Item("3", "background, intended use and role", _PAPER),
    Item("4", "aims, objectives, hypotheses", _PAPER),
    Item("5", "prospective or retrospective", _PAPER),
    Item("6", "study goal", _PAPER),
    Item("7", "data sources", "How and where the images were collected.",
         lambda found: found.facts_of("data", "source", "license")),
    Item("8", "inclusion and exclusion", "Criteria are not in the data.",
         lambda found: found.facts_of("rows left out")),
    Item("9", "data preprocessing", "Steps before the files were written.",
         lambda found: found.facts_of("size", "scaling")),
    Item("10", "selection of subsets", "Selection before the audit.",
         lambda found: found.facts_of("images", "images under marks")),
    Item("11", "de-identification", "Not assessed: text in images may identify a patient."),
    Item("12", "handling of missing data", "Why values are missing.", lambda found: found.missing),
    Item("13", "image acquisition", "Protocols beyond the columns of the data.", lambda found: found.columns),
    Item("14", "definition of the reference standard", _LABELS),
    Item("15", "rationale of the reference standard", _LABELS),
    Item("16", "source of annotations", _LABELS),
    Item("17", "annotation of the test set", _LABELS, lambda found: found.checks_of("copy-clusters")),
    Item("18", "variability between and within annotators", _LABELS),
    Item("19", "assignment to partitions", _TRAINING, lambda found: found.checks_of("training-images")),
    Item("20", "level at which partitions are disjoint", "Images that were never shown to the audit.",
         lambda found: found.checks_of("training-images", "training-patients", "training-copies")),
    Item("21", "intended sample size", "A sample size that was planned before.",
         lambda found: found.facts_of("images", "patients")),
    Item("22", "description of the model", "Architecture and intermediate steps.",
         lambda found: found.facts_of("model", "kind", "hash of the model", "output")),
    Item("23", "software and libraries", "Software of the training.", lambda found: found.libraries),
    Item("24", "initialization of parameters", _TRAINING),
    Item("25", "training approach", _TRAINING),
    Item("26", "selection of the final model", _TRAINING),
    Item("27", "ensembling", _TRAINING),
    Item("28", "metrics of performance", "Metrics of clinical benefit.",
         lambda found: listed(list(dict.fromkeys(label_of(row["measure"]) for row in found.tables["groups"]
                                                 if row["measure"])))),
    Item("29", "significance and uncertainty", "Uncertainty of the labels and of the training.",
         lambda found: "Verdicts have one-sided 95% bounds over patients; intervals of groups hold together at 95%"),
    Item("30", "robustness or sensitivity analysis", "Marks and distortions that were not tested.",
         lambda found: ". ".join(filter(None, (found.marks, found.distortions)))),
    Item("31", "explainability", "Explanations of single answers.", lambda found: found.harmful),
    Item("32", "evaluation on internal data", "Whether these data are internal is not known."),
    Item("33", "testing on external data", "Whether these data are external is not known."),
    Item("34", "registration of a trial", _PAPER),
    Item("35", "patients or examinations included and excluded", "Exclusions before the audit.",
         lambda found: found.facts_of("images", "patients", "classes")),
    Item("36", "characteristics of cases in each partition",
         "Other partitions; characteristics that are no column of the data.",
         lambda found: found.columns),
    Item("37", "performance with uncertainty", "Performance in clinical use.",
         lambda found: found.overall("auroc", "auroc-macro")),
    Item("38", "diagnostic performance and precision", "Predictive values at the prevalence of use.",
         lambda found: found.overall("sensitivity", "specificity", "accuracy")),
    Item("39", "analysis of incorrect results", "A clinical reading of wrong answers.",
         lambda found: ". ".join(filter(None, (found.harmful, found.gaps)))),
    Item("40", "limitations", "Limits of the training and of the use.",
         lambda found: " ".join(not_established(found.tables))),
    Item("41", "implications for practice, intended use", _PAPER),
    Item("42", "study protocol or technical details", _PAPER),
    Item("43", "availability of software, model and data", _PAPER),
    Item("44", "funding and role of funders", _PAPER),
)  # fmt: skip
"""Items of CLAIM 2024 by number."""

FDA: tuple[Item, ...] = (
    Item("V. Device description", "inputs, outputs, intended use, users, degree of automation", _MAKER,
         lambda found: found.facts_of("size", "scores", "output")),
    Item("VI. User interface and labeling", "performance and limits that users can read", "Labeling for users.",
         lambda found: "The model card of this audit"),
    Item("VII. Risk assessment", "hazards, with those of wrong or missing information",
         "Harm to patients is not assessed.", lambda found: found.harmful),
    Item("VIII. Data management", "data collection", _MAKER, lambda found: found.facts_of("data", "source")),
    Item("VIII. Data management", "data cleaning and processing", "Steps before the files were written.",
         lambda found: found.checks_of("no-copies", "copy-clusters", "copies-of-one-patient", "copies-suspected",
                                        "copies-unchecked", "rows-left-out")),
    Item("VIII. Data management", "reference standard", _LABELS),
    Item("VIII. Data management", "data annotation", _LABELS),
    Item("VIII. Data management", "data storage", _MAKER),
    Item("VIII. Data management", "management and independence of data", "Images that were never shown to the audit.",
         lambda found: found.checks_of("training-images", "training-patients", "training-copies")),
    Item("VIII. Data management", "representativeness", "Comparison with the population of intended use.",
         lambda found: found.columns),
    Item("IX. Model description and development", "model description: architecture, features, preprocessing",
         "Architecture and features.", lambda found: found.facts_of("model", "kind", "hash of the model", "scaling")),
    Item("IX. Model description and development", "model development: training, thresholds, calibration",
         f"{_TRAINING} How the threshold was chosen.", lambda found: found.facts_of("threshold")),
    Item("X. Validation", "study protocols, statistical analysis plans", "Criteria set before; clinical use."),
    Item("X. Validation", "study results with confidence intervals", "Performance in clinical use.",
         lambda found: found.overall("auroc", "auroc-macro", "sensitivity", "specificity", "accuracy")),
    Item("X. Validation", "subgroups", "Groups with fewer than 20 images of a class, and groups that no column names.",
         lambda found: ". ".join(filter(None, (found.columns, found.gaps)))),
    Item("X. Validation", "repeatability and reproducibility", "Repeated acquisition; other machines and sites.",
         lambda found: found.checks_of("repeatable")),
    Item("X. Validation", "robustness to changes of input and conditions of use", "Conditions that were not simulated.",
         lambda found: ". ".join(filter(None, (found.marks, found.distortions)))),
    Item("X. Validation", "spurious features and confounders", "Confounders that no mark or column stands for.",
         lambda found: found.harmful),
    Item("X. Validation", "human factors and usability", _MAKER),
    Item("XI. Device performance monitoring", "plan after release",
         "An audit is of one time; it can be repeated on new images."),
    Item("XII. Cybersecurity", "threats such as data poisoning and model evasion", _MAKER),
    Item("XIII. Public submission summary", "characteristics of the device, as in a model card",
         "Intended use and clinical evidence.", lambda found: "The model card of this audit"),
)  # fmt: skip
"""Sections of the FDA's draft guidance of January 2025, in its order."""
