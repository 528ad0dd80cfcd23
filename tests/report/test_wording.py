"""English of results is made in one place: every code has its words, and nothing else reads or makes sentences."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

import assay
from assay.core.reasons import parse_reason, reason_in_words
from assay.plugin import Code, Reason
from assay.report.sentences.reasons import chip_words, reason_words

SOURCE = Path(assay.__file__).parent
PASSED_ON = (
    Code.FREE_TEXT,
    Code.NO_SEED_COLUMN,
    Code.NO_PATIENT_COLUMN,
    Code.FEW_SEEDS_TO_COMPARE,
    Code.SILENT_TRIALS,
    Code.LOUD_TRIALS,
    Code.ONE_POOL,
    Code.FIXED_TRAINING_ROWS,
)
"""Codes that reach `because` through a variable."""


def named(node: ast.AST) -> str:
    """The name that an expression ends in: `row["reason"]` and `found.reason` are `reason`."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Call(func=func, args=[_, ast.Constant(value=str(name)), *_]) if named(func) in ("text_of", "get"):
            return name
        case _:
            return ""


OF_FEATURES = (
    "audit/cases",
    "audit/leads",
    "audit/probe",
    "audit/scored",
    "audit/search/drawn",
    "audit/search/exchange",
    "audit/search/patches",
    "audit/search/sample",
    "audit/search/search",
    "audit/subgroups",
    "audit/swing",
    "audit/verdicts",
    "look/added",
    "look/checks",
    "look/cues",
    "look/image_cues",
    "report/pictures",
    "study/confounders",
    "study/contrasts",
    "study/described",
    "study/families",
    "study/gathered",
    "study/heat_maps",
    "study/interim",
    "study/measurements",
    "study/published",
    "study/registration",
    "study/replication",
    "study/segmentation",
    "study/similarity",
    "study/tables",
)
"""Modules of features that make numbers, and no English."""


def python_files(place: str) -> list[Path]:
    """Return the files of a folder, or the file of a module."""
    return sorted((SOURCE / place).rglob("*.py")) or [SOURCE / f"{place}.py"]


def test_rooms_of_results_make_no_reason_of_words() -> None:
    """A reason is a code: a text given as `reason=` or to `undefined` would be a sentence made there."""
    wrong: list[str] = []
    for room in ("training", "probes", "stats", "execution", *OF_FEATURES):
        for file in python_files(room):
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                given = [key.value for key in node.keywords if key.arg == "reason"]
                given += node.args[1:2] if named(node.func) == "undefined" else []
                given += node.args[:1] if named(node.func) in ("untested", "stated") else []
                texts = [one for one in given if isinstance(one, (ast.JoinedStr, ast.Constant))]
                wrong += [f"{file.relative_to(SOURCE)}:{one.lineno}" for one in texts]
    assert not wrong, "\n".join(wrong)


SAMPLES: dict[str, Any] = {
    "after": 3, "auroc": 0.97, "border": 0.05, "chance": 0.5, "classes": ("benign", "malignant"),
    "contradicting": 1, "correlation": 0.9, "count": 2, "counts": ("3", "1200"), "cut": 2, "end": 1.0, "end_a": 0.1,
    "end_b": 0.2, "environment": "reversed", "environments": ("same", "reversed"), "error": 0.04,
    "false_positives": 0.25, "fewest": 3, "flip": 0.0625, "folds": 5, "gap": 3.2, "high": 0.8, "high_a": 0.8,
    "high_b": 0.7, "highs": ("0.9", "0.9"), "images": 40, "kinds": ("factor", "image"), "labels": ("0", "1"),
    "least": 3, "level": 0.9, "levels": ("c", "d"), "likeness": 0.98, "limit": 0.001, "loss": 0.6931, "low": 0.6,
    "low_a": 0.6, "low_b": 0.5, "lows": ("0.7", "0.8"), "margin": 0.05, "measure": "auroc",
    "measures": ("log-loss",), "median": 0.8, "most": 5, "names": ("view", "width"), "of": 6, "patients": ("12", "2"),
    "places": ("site b",), "sensitivity": 0.0, "specificity": 1.0,
    "percentile": 10.0, "rank": 1.01, "rate": 0.0612, "recipe": "supcon", "recipes": ("a", "b", "c", "d", "e"),
    "rows": 1200, "seeds": 4, "share": 1e-7, "slope": 2e-3, "spread": 1e-6, "start_a": 0.7, "start_b": 0.6,
    "strength": 0.7, "asked": 0.8, "target": "benign", "tolerance": 0.05, "unmatched": 1, "value": 0.7,
    "values": ("0.8", "0.85"),
}  # fmt: skip
"""A value for the fields of sentences; others are their own name."""
OF_CODES: dict[Code, dict[str, Any]] = {
    Code.FEW_OF_CLASS: {"patients": 3},
    Code.MANY_LEVELS: {"levels": 1200},
    Code.CUT_OUTSIDE_CLASSES: {"classes": 2},
    Code.NEEDS_TWO_CLASSES: {"classes": 3},
    Code.NO_SEED_OF: {"collapsed": 7, "failed": 3},
    Code.FEW_PATIENTS: {"patients": 4},
    Code.FEW_EFFECTIVE_PATIENTS: {"patients": 2.7},
    Code.SOME_EFFECTIVE_PATIENTS: {"patients": 8.2},
    Code.RARE_PATIENTS_UNSEEN: {"rare": 14},
    Code.OUTLYING_SEEDS: {"limit": 4, "gap": 0.0},
    Code.WORST_GROUP_PLACE: {"level": "part-solid"},
    Code.COPY_CLUSTERS: {"groups": 38, "files": 152, "across": 2, "masks": 1, "searched": 0, "rows": ("3", "1,200")},
    Code.COPIES_OF_ONE_PATIENT: {"groups": 3, "files": 6, "searched": 0, "bounded": 0, "rows": ("3", "1,200")},
    Code.COPIES_SUSPECTED: {"groups": 3, "files": 6, "searched": 0, "bounded": 0, "rows": ("3", "1,200")},
    Code.SUSPECTED_BETWEEN_SETS: {"set": "site b", "first": ("3",), "second": ("9",)},
    Code.COPIES_BETWEEN_SETS: {"set": "site b", "first": ("3",), "second": ("9",), "first_names": ("line", "data.csv")},
    Code.NO_COPIES: {"searched": 0},
    Code.COPIES_UNCHECKED: {"alone": 0},
    Code.PARTS_SHARED: {"groups": 3},
    Code.ODD_IMAGES: {
        "kind": "suspected-label",
        "rows": ("3", "1,200"),
        "against": 2,
        "kinds": ("baseline",),
        "names": ("outer tenth",),
        "values": ("0.9",),
    },
    Code.WEAK_PREDICTIONS: {"few": 24, "least": 0.82, "corrected": 0.85},
    Code.DETECTABLE: {"low": 0.06, "high": 0.12},
}


def fields_of(code: Code) -> dict[str, Any]:
    """Fields for every slot and choice of a sentence."""
    slots = re.findall(r"\{([\w.*]+)|\[(\w+)\?", code.sentence)
    names = [part for one, other in slots for part in re.split(r"\.\.|\*", one or other)]
    more = {"value:interval": ("low", "high"), "properties": ("kinds", "values", "lows", "highs"),
            "group": ("factor", "level", "target")}  # fmt: skip
    names += [name for form, all_ in more.items() if form in code.sentence for name in all_]
    return {**{name: SAMPLES.get(name, name) for name in names}, **OF_CODES.get(code, {})}


def test_every_code_has_a_sentence(snapshot: SnapshotAssertion) -> None:
    said = {str(code): reason_words(Reason.of(code, **fields_of(code))) for code in Code}
    assert said == snapshot
    assert not [text for text in said.values() if ("{" in text and "found:" not in text) or "?" in text]


def test_chips_are_short_and_grave_findings_have_one() -> None:
    assert all(len(chip_words(Reason.of(code, **fields_of(code)))) <= 60 for code in Code if code.chip)
    assert all(code.chip for code in Code if code.light == "bad")


def test_templates_are_of_the_fields_that_their_codes_are_given() -> None:
    """Slots of a sentence, against the keywords of every call of `Reason.of` with its code."""
    given: dict[str, set[str]] = {}
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Reason.of" and node.args:
                names = {key.arg or "**" for key in node.keywords}
                for code in re.findall(r"Code\.([A-Z_]+)", ast.unparse(node.args[0])):
                    given.setdefault(code, set()).update(names)
    wrong: list[str] = []
    for code in Code:
        asked = set(re.findall(r"\{(\w+)", re.sub(r"\[[^\]]*\]", "", code.sentence))) - {"statuses"}
        names = given.get(code.name, set())
        wrong += [str(code)] if not (asked <= names or "**" in names or code in PASSED_ON) else []
    assert not wrong


def test_a_reason_is_stored_and_read_again() -> None:
    both = Reason.of(Code.UNDEFINED_SEEDS, count=1, seeds=4) + Reason.of(
        Code.LIMIT_ENVIRONMENTS, names=("same", "a, b")
    )
    assert parse_reason(str(both)) == both
    assert parse_reason(both) is both
    assert str(Reason()) == ""
    assert parse_reason("") == parse_reason(None) == Reason()
    assert not Reason()
    assert parse_reason("words of a plug-in") == reason_in_words("words of a plug-in")
    assert parse_reason('[{"code": "of-another-version"}]').codes == (Code.FREE_TEXT,)


def test_an_explanation_follows_a_colon_and_another_reason_a_semicolon(snapshot: SnapshotAssertion) -> None:
    undefined = Reason.of(Code.UNDEFINED_SEEDS, count=1, seeds=4)
    constant, none = Reason.of(Code.CONSTANT_LAYER), Reason.of(Code.NO_LESION)
    assert reason_words(undefined + constant) == f"{reason_words(undefined)}: {reason_words(constant)}"
    assert reason_words(constant + none) == f"{reason_words(constant)}; {reason_words(none)}"
    assert reason_words(undefined + constant + none) == snapshot


LITERALS = {
    "probes/attribution.py": "the chance level of some measures",
    "stats/measures/maps.py": "parts of meanings of measures",
    "look/checks.py": "the name of a property of images",
    "look/image_cues.py": "names of properties of images",
    "audit/probe.py": "facts of provenance",
    "study/registration.py": "remedies and differences in errors",
    "study/tables.py": "facts of provenance",
    "probes/reader.py": "names of images for errors",
    "training/loop.py": "ends of a training, stored as stated",
}
"""Files of rooms without English that still hold phrases: what these are."""
STORED = ("depends on the scale",)
"""Values of a column that read as phrases."""
WORD = re.compile(r"(?<![\w-])(?:[a-z]{2,}|a)(?![\w-])")
"""A word of a phrase; names with hyphens and the letters of shapes are none."""


def phrases(tree: ast.Module) -> list[tuple[int, str]]:
    """Find string literals of four or more words that are no docstring, error, assertion or declared summary."""
    skipped: set[int] = set()
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        apart: list[ast.AST] = []
        match node:
            case ast.Raise() | ast.Assert() | ast.Expr(value=ast.Constant()):
                apart = [node]
            case ast.Call() if named(node.func) in ("Field", "register_measures") or named(node.func).endswith("Error"):
                apart = [node]
            case ast.ClassDef() | ast.FunctionDef():
                apart = list(node.decorator_list)
            case ast.Expr(value=ast.Call(func=ast.Call() as declared)):
                apart = [declared]  # a decorator that is called: `component("loss", "summary")(Focal)`
            case _:
                pass
        skipped |= {id(inner) for one in apart for inner in ast.walk(one)}
        match node:
            case ast.JoinedStr(values=values):
                skipped |= {id(one) for one in values}
                text = "".join(str(one.value) if isinstance(one, ast.Constant) else "0" for one in values)
            case ast.Constant(value=str(text)):
                pass
            case _:
                continue
        if id(node) not in skipped and text not in STORED and len(WORD.findall(text)) >= 4:
            found.append((node.lineno, text))
    return found


def test_rooms_of_results_hold_no_english() -> None:
    """Sentences are made in `report`; the allowed files are listed with what they hold, and each still holds some."""
    held: dict[str, list[str]] = {}
    for room in ("training", "probes", "stats", *OF_FEATURES):
        for file in python_files(room):
            for line, text in phrases(ast.parse(file.read_text())):
                held.setdefault(str(file.relative_to(SOURCE)), []).append(f"{line} {text!r}")
    wrong = [f"{file}:{one}" for file, texts in held.items() if file not in LITERALS for one in texts]
    assert not wrong, "\n".join(wrong)
    assert not set(LITERALS) - set(held)


@pytest.mark.parametrize(("count", "words"), [(5, ", such as lines 96, 12 and 11 of"), (3, ", lines 96, 12 and 11 of")])
def test_rows_of_more_images_are_examples(count: int, words: str) -> None:
    rows = {"rows": ("96", "12", "11"), "word": "line", "where": "t.csv"}
    assert words in reason_words(Reason.of(Code.ODD_IMAGES, count=count, kind="dark", **rows))
