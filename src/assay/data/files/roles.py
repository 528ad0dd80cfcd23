"""Guess the roles of a table's columns: target, patient, score and others, by their names and values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import PurePath

from assay.core.errors import SpecError, key_text
from assay.data.files.table import NEGATIVES, TextTable, absent, fold, number, same_value, shown, spellings

TARGETS = (
    "target", "label", "class", "klasse", "diagnosis", "diagnose", "dx", "y", "outcome", "disease", "finding", "befund",
    "pathology", "malignant", "cancer", "abnormal", "positive", "grade", "severity", "lesion", "truth", "gt",
)  # fmt: skip
"""Words of the names of targets, the surest first."""
ORIGINS = frozenset({"site", "center", "hospital", "clinic", "ward", "scanner", "device", "station"})
"""Words of the names of where images come from."""
_ATTRIBUTES = ORIGINS | {
    "sex",
    "gender",
    "geschlecht",
    "male",
    "female",
    "age",
    "alter",
    "race",
    "ethnicity",
    "view",
    "side",
    "seite",
    "laterality",
    "eye",
    "klinik",
    "manufacturer",
    "modality",
    "camera",
    "localization",
    "year",
    "model",
    "kvp",
    "centre",  # codespell:ignore centre
}
"""Words of the names of what patients and images are: such a column is a target only where it is named."""
_UNITS = frozenset({
    "lesion", "wound", "nodule", "polyp", "biopsy", "exam", "examination", "series", "accession", "visit", "scan",
    "slide", "specimen",
})  # fmt: skip
_IDS = frozenset({"id", "uid", "no", "nr", "number", "nummer", "code"})
"""Words of the names of what has several images, where no column names patients: one of each in `lesion_id`."""
_PATIENT_STEMS = ("patient", "subject", "participant")
_PATIENT_IDS = frozenset({"pid", "mrn", "eid", "fallnummer"})
_PATIENT_WORDS = _PATIENT_IDS | {"pat", "person", "case", "study", "individual", "donor", "fall"}
"""Words of a column's name that speak of patients, as a part of it and as a whole word."""
_TRAITS = _ATTRIBUTES | {
    "weight",
    "gewicht",
    "height",
    "bmi",
    "size",
    "date",
    "datum",
    "time",
    "birth",
    "dob",
    "birthdate",
    "status",
    "group",
    "type",
    "position",
    "orientation",
    "history",
    "description",
    "phase",
    "arm",
    "duration",
    "days",
    "months",
    "years",
    "count",
    "score",
    "dose",
    "quality",
    "format",
    "width",
    "resolution",
}
"""Words of the names of what is known of patients and images: `patient_weight` holds no patients."""
SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing", "split", "fold", "set"})
"""Names of parts and of their columns."""
TRAINING = frozenset({"train", "training"})
_PARTS = TRAINING | {"val", "valid", "validation", "dev", "development", "tune", "test", "testing", "holdout"}
"""Values of a column that divides a set, whatever it is called."""
MASKS = frozenset({"mask", "masks", "segmentation", "seg", "annotation"})
"""Words of the names of columns of masks."""
MOST_CLASSES = 10
"""A column with more values is not guessed to be a target."""
_OFTEN = 5
"""Rows of each value from which a few values are rather classes than patients."""
SCORES = ("score", "scores", "probability", "prob", "proba", "prediction", "predicted", "pred", "logit", "logits",
          "output", "risk", "wahrscheinlichkeit", "hat", "p")  # fmt: skip
"""Words of the names of scores, the surest first."""
_GENERAL = TARGETS.index("malignant")
_GENERAL_WORDS = frozenset({"truth", "gt", "true", "model", "ai", "net", "cnn"})
"""Words of names of scores and targets that say nothing of a finding, as do the first ones of targets."""
_OF_CALLS = frozenset({"confidence", "conf", "certainty", "konfidenz"})
"""Words of the names of scores that may be of the class that is predicted."""
CALLS = frozenset({"predicted", "prediction", "pred"})
_RIGHT = frozenset({"correct", "correctly", "incorrect", "incorrectly", "wrong", "misclassified"})
_OF_RIGHT = _RIGHT | CALLS | {"is", "was", "classified", "call", "model", "ai", "answer"}
"""Words of the names of columns that say whether a call was right: not `correct_label`."""
_RESULTS = frozenset({"tp", "fp", "tn", "fn"})
_OF_MODELS = frozenset({"prob", "proba", "logit", "logits"})
"""Words of the names of scores that only models have."""
_OF_CASE_WEIGHTS = frozenset({
    "weight", "weights", "gewicht", "sample", "samples", "sampling", "case", "image", "row", "survey", "importance",
    "instance", "observation", "inverse", "probability", "ipw",
})  # fmt: skip
"""Words of the names of columns that say how often a case counts."""
_MOST_WEIGHT = 10
"""A greater number in a column that is called `weight` alone is rather in kilograms."""
_MODELS = ("model", "recipe", "algorithm", "method", "network", "net", "architecture", "backbone", "loss", "system",
           "vendor", "product", "version", "reader")  # fmt: skip
"""Words of the names of columns that say whose score a row has, where a case has several rows; the surest first."""
_SEEDS = ("seed", "run", "repeat", "repetition", "replicate")
_IMAGES = ("image", "img", "filename", "file", "path", "dateiname", "datei", "bild")
_IMAGE_WORDS = frozenset({*_IMAGES, "reader", "rad", "radiologist", "rater", "annotator", "doctor", "model", "device"})
"""Words of names of ids of something else than patients."""


def separate_words(name: str) -> str:
    """Return a column's name in lower case, with `_` where a capital letter begins a word: `no_finding`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def words_of(name: str) -> set[str]:
    """Return the words of a column's name, in lower case."""
    return set(re.split(r"[^a-z0-9]+", separate_words(name)))


def called_patient(column: str) -> bool:
    """Return whether the name of a column speaks of patients, and not of what is known of them."""
    words = words_of(column)
    parts = {re.sub("[0-9]+", "", word) for word in words}
    called = not parts.isdisjoint(_PATIENT_WORDS) or any(word in column.lower() for word in _PATIENT_STEMS)
    return called and words.isdisjoint(_TRAITS)


def holds_patients(column: str, cells: Sequence[str]) -> bool:
    """Return whether a column is named like a patient column, and its values may be patients.

    A few values with many rows each are classes, as in `case` of 0 and 1, unless the name says that they are ids or is
    that of patients alone. Numbers such as 3.4 are measured, unless the name says that they are ids.
    """
    values = {cell for cell in set(cells) if not absent(cell)}
    most = 2 if column.lower() in _PATIENT_STEMS else MOST_CLASSES
    few = len(values) <= most and _OFTEN * len(values) <= len(cells)
    return called_patient(column) and (_rank_of_patient(column) in (0, 2) or not (few or _are_measured(values)))


def _are_measured(values: Iterable[str]) -> bool:
    """Return whether there are numbers with decimals; 12.0 is a whole number."""
    return any(not parsed.is_integer() for value in values if (parsed := number(value, comma=True)) is not None)


def parts_in(read: TextTable) -> Mapping[str, Sequence[str]]:
    """Return the first column, such as `split` or `fold`, that divides a table, with its cells; empty without one."""
    for name in read.header:
        values = {*read.present(name)}
        if 1 < len(values) <= MOST_CLASSES and (words_of(name) & SPLITS or are_parts(values)):
            return {name: read.column(name, "data")}
    return {}


def are_parts(values: Iterable[str]) -> bool:
    """Return whether values are parts of a set, such as train and test, one of which is for training."""
    parts = {fold(value) for value in values}
    return bool(parts & TRAINING) and parts <= _PARTS


def divides(name: str, levels: Sequence[str]) -> bool:
    """Return whether a column tells which part each image is in, such as training and test.

    Words such as `test` and `set` alone are also in names of findings: there a level must name the training part.
    """
    training = {level.casefold() for level in levels} & TRAINING
    return name.casefold() in SPLITS or bool(training or words_of(name) & {*TRAINING, "split", "fold"})


def suggest_names(names: Sequence[str], parts: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return `; the 3rd folder in paths may be the patient ...`, of a part of file names that repeats as one would.

    It has a digit in nearly all names, and is shared by some images, and by half of them at most. Its values are not
    shown, since they may identify a patient.

    Args:
        names: Paths, relative to the folder of images.
        parts: A column that divides the images -> the part of each, such as train and test.

    Returns:
        The first such part, folders before beginnings of file names, and how many of them are in several parts of the
        set; empty where there is none.
    """
    fitting = [
        (place, people, len(counts), counts.total() / len(counts))
        for place, people in zip(_PARTS_OF_NAMES, zip(*map(_parts_of_name, names), strict=True), strict=False)
        if _may_be_patients(counts := Counter(filter(None, people)), len(names))
    ]
    for place, people, different, images_each in fitting:
        finer = any(count > different and each < images_each for _, _, count, each in fitting)
        if images_each <= _MOST_OF_A_PATIENT or not finer:
            across = "".join(_in_several_parts(column, people, cells) for column, cells in (parts or {}).items())
            summary = f"{place} may be the patient ({different:,} different ones{across})"
            return f"; {summary}: if so, put it in a column and name it"
    return ""


_OF_PEOPLE = frozenset({"rid", "ptid", "empi", "sujeto", "sujet", "soggetto", "paciente", "paziente", "proband"})
"""Words of the names of ids of patients that are not surely so."""
_OF_OTHERS = _IMAGE_WORDS | {
    "batch", "operator", "technician", "technologist", "physician", "observer", "author", "plate", "country", "region",
    "organization", "institution", "institute", "school", "lab", "department", "class", "label", "category",
    "diagnosis", "finding", "tile", "patch", "slice", "frame", "protocol", "tooth", "cluster", "machine", "level",
    "core", "job", "task", "recipe",
}  # fmt: skip
"""Words of the names of ids of what many patients share, or of parts of an image."""


def repeats_as_ids(column: str, cells: Sequence[str]) -> bool:
    """Return whether a column may hold ids of patients under another name, as `AnonID` or `RID`: they repeat."""
    words = words_of(column)
    counts = Counter(cell for cell in cells if not absent(cell))
    is_called = words & {"id", "uid", *_OF_PEOPLE} and not words & (_TRAITS | SPLITS | _OF_OTHERS)
    repeated = sum(count > 1 for count in counts.values())
    return bool(is_called) and 2 * repeated >= len(counts) >= _FEWEST_IN_NAMES and 2 * len(counts) <= len(cells)


def _in_several_parts(column: str, people: Sequence[str], cells: Sequence[str]) -> str:
    """Return `, of which 3 are in several parts of 'split'`; empty where none is."""
    pairs = {(name, cell) for name, cell in zip(people, cells, strict=True) if name and not absent(cell)}
    several = sum(number > 1 for number in Counter(name for name, _ in pairs).values())
    return f", of which {several:,} are in several parts of '{column}'" if several else ""


def _may_be_patients(counts: Counter[str], images: int) -> bool:
    """Return whether these parts of names have digits, and repeat as patients do."""
    repeated = sum(number > 1 for number in counts.values())
    numbered = sum(number for part, number in counts.items() if any(map(str.isdigit, part)) and not _DATE.match(part))
    covered = 10 * counts.total() >= 9 * images and 10 * numbered >= 9 * counts.total()
    return covered and 10 * repeated >= len(counts) >= _FEWEST_IN_NAMES and 2 * max(counts.values()) <= images


_DATE = re.compile(r"(19|20)\d\d([_-]?\d\d){1,2}$")
_MOST_OF_A_PATIENT = 30
"""Images of a patient beyond which a part of names is rather a share of the set, if a later one is finer."""
_FEWEST_IN_NAMES = 10
"""Fewer parts of names than this are classes, folds or years rather than patients."""
_COUNTED = ("1st", "2nd", "3rd", "4th")
_PARTS_OF_NAMES = (
    *(f"the {at} folder in paths" for at in _COUNTED),
    *(f"the part of file names before the {at} '_' or '-'" for at in _COUNTED),
)


def _parts_of_name(name: str) -> tuple[str, ...]:
    """Return the parts that `_PARTS_OF_NAMES` describes, empty where there is none."""
    path, most = PurePath(name), len(_COUNTED)
    ends = [match.start() for match in re.finditer("[_-]", path.stem)]
    folders = (*path.parts[:-1], *[""] * most)[:most]
    beginnings = (*(path.stem[:end] for end in ends), *[""] * most)[:most]
    return *folders, *beginnings


def _rank_of_patient(column: str) -> int:
    """Return how sure the name of a column of patients is: `patient_id`, then `patient`, `case_id` and `case`."""
    words = words_of(column)
    stem = next((word for word in _PATIENT_STEMS if word in column.lower()), "")
    rest = re.split(r"[^a-z]+", column.lower().replace(stem, " ")) if stem else ()
    ids = bool(words & _IDS or _IDS & {*rest} or any(word.endswith("nummer") for word in rest))
    of_patients = stem or "pat" in words
    return 0 if words & _PATIENT_IDS or (of_patients and ids) else 1 if of_patients else 2 if ids else 3


def called_attribute(column: str) -> bool:
    """Return whether the name of a column is that of what patients and images are, such as sex, age or site."""
    return not words_of(column).isdisjoint(_ATTRIBUTES)


def called_unit(column: str) -> bool:
    """Return whether the name of a column is that of ids of lesions, examinations or series, such as `lesion_id`."""
    words = words_of(column)
    return bool(words & _UNITS and words & _IDS)


def sure_target(read: TextTable, targets: Sequence[str]) -> str:
    """Return the column that surely is the target: named like one, or else the only one that may be, or that is 0/1.

    Of several that are named like one, those of a single word are meant (`dx` and not `dx_type`), and the others must
    say no more than the surest, as `label` beside a finer `diagnosis`. What patients and images are, such as sex or
    site, is a target only where it is named.
    """
    called = called_targets(targets)
    called = [name for name in called if len(words_of(name)) == 1] or called
    if any(_divide_otherwise(read, called[0], name) for name in called[1:]) and "target" not in read.header:
        return ""
    others = [name for name in targets if not called_attribute(name)]
    codes = [name for name in others if set(read.present(name)) <= {"0", "1", "0.0", "1.0"}]
    alone = (some[0] for some in (others, codes) if len(some) == 1)
    exact = "target" if "target" in read.header else ""
    return exact or next(chain(called, alone), "")


def called_targets(names: Sequence[str]) -> list[str]:
    """Return the names that are named like targets, and not like what patients and images are, as `lesion_site`."""
    return [name for name in names if rank_of(name) < len(TARGETS) and not called_attribute(name)]


def _divide_otherwise(read: TextTable, first: str, other: str) -> bool:
    """Return whether neither of two columns says what the other does."""
    spelled = [spellings(read.present(name)) for name in (first, other)]
    rows = zip(read.column(first, "data"), read.column(other, "data"), strict=True)
    pairs = {(spelled[0][cell], spelled[1][of]) for cell, of in rows if not absent(cell) and not absent(of)}
    return len(pairs) > max(len(set(each)) for each in zip(*pairs, strict=True)) if pairs else False


def patient_of(read: TextTable, names: Sequence[str]) -> str:
    """Return which of these columns has patients, or else ids of what has several images; empty without one.

    Ids of patients come first, then patients that repeat, then the surest names.
    """
    cells = {name: read.present(name) for name in names}
    different = {name: len({*present}) for name, present in cells.items()}
    patients = [name for name in names if different[name] > 1 and holds_patients(name, cells[name])]
    units = [name for name in names if called_unit(name) and MOST_CLASSES < different[name] < len(cells[name])]

    def doubt(name: str) -> tuple[bool, bool, int]:
        rank = _rank_of_patient(name)
        return rank > 0, different[name] == len(cells[name]), rank

    return next(chain(sorted(patients, key=doubt), units), "")


def called_image(column: str) -> bool:
    """Return whether the name of a column is that of image files: `eye_image`, and not `image_quality`."""
    words = words_of(column)
    return not words.isdisjoint(_IMAGES) and (words.isdisjoint(_TRAITS) or column.lower().endswith(_IMAGES))


def called_calls(column: str) -> bool:
    """Return whether the name of a column is that of a model's decisions, as `y_pred` or `predicted_label`."""
    return not words_of(column).isdisjoint(CALLS)


def called_case_weight(column: str, cells: Sequence[str]) -> bool:
    """Return whether a column has weights of cases, as `sample_weight`, or `weight` where no number is over 10."""
    words = words_of(column)
    if not words & {"weight", "weights", "gewicht"} or not words <= _OF_CASE_WEIGHTS:
        return words == {"ipw"}
    numbers = [value for cell in {*cells} if not absent(cell) and (value := number(cell, comma=True)) is not None]
    return len(words) > 1 or (bool(numbers) and min(numbers) >= 0 and max(numbers) <= _MOST_WEIGHT)


def holds_results(column: str, cells: Sequence[str]) -> bool:
    """Return whether a column says if a call was right, as `correct`, or TP and FN: neither a class nor a group.

    Examples:
        >>> holds_results("is_correct", ["0", "1"]), holds_results("outcome", ["TP", "FN"])
        (True, True)
        >>> holds_results("correct_label", ["0", "1"])
        False
    """
    words = words_of(column)
    values = {fold(cell) for cell in {*cells}}
    return bool(words & _RIGHT and words <= _OF_RIGHT) or (len(values) > 1 and values <= _RESULTS)


def called_model_score(column: str) -> bool:
    """Return whether the name of a column says that it holds what a model answered, as `score`, `y_pred`, `prob_mass`.

    A name that says more may be of a patient: `agatston_score`, `fev1_pred`, `cardiac_output`.
    """
    words = words_of(column)
    return bool(words & {*SCORES}) and (not called_after(column) or bool(words & _OF_MODELS))


def called_model(column: str) -> bool:
    """Return whether the name of a column is that of models, or of what they differ in."""
    return not words_of(column).isdisjoint(_MODELS)


def models_of(read: TextTable, case: str, taken: Sequence[str] = ()) -> str:
    """Return the column of models in a table with a row per case and model; empty without one.

    Over half of the cases have several rows: a few that were taken again, with another scanner, are no other model.

    Args:
        read: The table.
        case: The column of cases, some of which have several rows.
        taken: Columns that have another role.
    """
    names = _of_few_values(read, (case, *taken))
    name = _like(_MODELS, names)
    identify = [case, *filter(None, (name, _like(_SEEDS, names)))]
    rows_of_case = read.frame.groupby(case).size()
    if 2 * int((rows_of_case > 1).sum()) <= len(rows_of_case) or read.frame.duplicated(identify).any():
        return ""
    return name


def repeats_of(read: TextTable, cases: Sequence[str], taken: Sequence[str] = ()) -> str:
    """Return the column in which all rows of each case differ, such as a fold; empty without one, or with several.

    Args:
        read: The table.
        cases: The columns that identify cases, some of which have several rows.
        taken: Columns that have another role.
    """
    names = _of_few_values(read, (*cases, *taken))
    apart = [name for name in names if not read.frame.duplicated([*cases, name]).any()]
    return apart[0] if len(apart) == 1 else ""


def some_values(table: TextTable, column: str) -> str:
    """Return the first values of a column, with `...` where there are more."""
    values = [*dict.fromkeys(table.present(column))]
    return ", ".join([*values[:3], *(["..."] if len(values) > 3 else [])])


def models_of_same_rows(read: TextTable, taken: Sequence[str] = ()) -> str:
    """Return the column of models in a table without a column of cases; empty without one.

    Each model has the same values in some columns, in rows that are together of more than a few kinds. Scanners of
    several vendors, of other patients, have not.

    Args:
        read: The table.
        taken: Columns that have another role.
    """
    name = _like(_MODELS, _of_few_values(read, taken))
    if not name:
        return ""
    parts = [rows for _, rows in read.frame.groupby(name)]

    def are_same(columns: Sequence[str]) -> bool:
        counts = [Counter(map(tuple, rows[[*columns]].to_numpy().tolist())) for rows in parts]
        return all(other == counts[0] for other in counts[1:])

    same = [column for column in read.header if column not in (name, *taken) and are_same((column,))]
    are_cases = bool(same) and are_same(same) and len(parts[0].drop_duplicates(same)) > MOST_CLASSES
    return name if are_cases else ""


def _of_few_values(read: TextTable, taken: Sequence[str]) -> list[str]:
    return [name for name in read.header if name not in taken and 1 < len({*read.present(name)}) <= MOST_CLASSES]


def targets_of(read: TextTable, names: Sequence[str]) -> Sequence[str]:
    """Return columns of a few values, each on two rows and more; those called as targets are first."""
    few: list[str] = []
    for name in names:
        cells = read.present(name)
        values = set(cells)
        is_other = words_of(name) & SPLITS or holds_results(name, cells)
        if 1 < len(values) <= MOST_CLASSES and 2 * len(values) <= len(cells) and not is_other:
            few.append(name)
    return sorted(few, key=rank_of)


def rank_of(name: str) -> int:
    """Return the place of the surest word of a target in a name; past the last without one."""
    words = words_of(name)
    return next((at for at, word in enumerate(TARGETS) if word in words), len(TARGETS))


def roles_of(
    read: TextTable, columns: Sequence[str] = (), positive: str = "", **named: str
) -> tuple[dict[str, str], str]:
    """Return role -> column of a table of predictions, and what was guessed.

    A column that is named is taken as it is. Else it is the one of the role's own name, else one that is named like
    it; a role that no column has keeps its own name.

    Args:
        read: The table.
        columns: Columns that have another role.
        positive: The positive class, if a user names it.
        named: Role (score, target, patient, image, seed) -> its column, or empty.

    Raises:
        SpecError: A column that is named is missing, or none is surely the score or the target.
    """
    for role, name in named.items():
        if name:
            read.column(name, key_text(f"--{role}"))
    names = {role: name or (role if role in read.header else "") for role, name in named.items()}

    def left() -> list[str]:
        return [name for name in read.header if name not in {*names.values(), *columns}]

    ways = {
        "score": lambda: _score_of(read, left(), names.get("target", ""), positive),
        "image": lambda: _image_of(read, left()),
        "seed": lambda: _like(_SEEDS, left()),
        "patient": lambda: patient_of(read, left()),
        "target": lambda: _target_of(read, left()),
    }
    for role in [
        candidate for candidate in ways if candidate in names
    ]:  # the score before the target, which may have as few values
        names[role] = names[role] or ways[role]()
    for role in {"score", "target"} & names.keys():
        if not names[role]:
            option, likely = f"--{role}", called_targets(left()) if role == "target" else []
            why = _not_a_target(read) if role == "target" else _not_a_score(read)
            several = f"it may be {' or '.join(likely)}" if len(likely) > 1 else ""
            raise SpecError(
                f"{key_text(option)}: no column of {read.name} is surely the {role}{why}: name it with "
                f"{key_text(option, 'COLUMN')}; {several or 'its columns are ' + ', '.join(read.header[:20])}"
            )
    guessed = {role: name for role, name in names.items() if name and not named[role]}
    line = ", ".join(f'{role} "{name}"' for role, name in guessed.items())
    return {role: name or role for role, name in names.items()}, line if {*guessed} != {*guessed.values()} else ""


def _not_a_target(read: TextTable) -> str:
    """Return why a column that is named like a target is none; empty without one."""
    called = ((name, set(read.present(name))) for name in read.header if rank_of(name) < len(TARGETS))
    return next((f" ('{name}' has 1 class, {values.pop()})" for name, values in called if len(values) == 1), "")


def _not_a_score(read: TextTable) -> str:
    """Return why a column that is named like a score is none; empty without one."""
    called = (name for name in read.header if words_of(name) & {*SCORES})
    words = (
        (name, line, cell)
        for name in called
        for line, cell in zip(read.numbers, read.column(name, "data"), strict=True)
        if not absent(cell) and number(cell, read.comma) is None
    )
    return next(
        (f" ('{name}' holds {shown(cell)} in line {at}, which is not a number)" for name, at, cell in words), ""
    )


def _like(words: Sequence[str], names: Sequence[str]) -> str:
    """Return the name with the surest of these words; empty without one."""
    return next((name for word in words for name in names if word in words_of(name)), "")


def _image_of(read: TextTable, names: Sequence[str]) -> str:
    """Return the column of images; empty without one. Values of many rows each, and measurements, name no images.

    Rows of several models, or of several images of a case, share a name.
    """
    values = {name: set(read.present(name)) for name in names if called_image(name)}
    few = {name for name, cells in values.items() if len(cells) <= MOST_CLASSES and 2 * len(cells) <= len(read)}
    return _like(_IMAGES, [name for name in values if name not in few and not _are_measured(values[name])])


def _target_of(read: TextTable, names: Sequence[str]) -> str:
    plain = [name for name in names if words_of(name).isdisjoint(SCORES)]
    return sure_target(read, targets_of(read, plain)) or sure_target(read, targets_of(read, names))


def _score_of(read: TextTable, names: Sequence[str], target: str, positive: str) -> str:
    """Return the column of scores; decisions, of two values, only where there is nothing better.

    Of several that are named like scores, those are meant whose names say no more than a class, the target or that it
    is predicted: not `quality_score` beside `y_prob`.

    Raises:
        SpecError: Scores are of the class that another column names, or of several classes that are not known.
    """
    numbers = {name: values for name in names if (values := _numbers(read, name))}
    fine = [name for name in numbers if len(numbers[name]) > 2]
    target = target or _target_of(read, names)
    classes = {*map(fold, set(read.present(target)))} if target else set[str]()
    called = [name for name in fine if words_of(name) & {*SCORES}]
    fitting = [name for name in called if _says_no_more(name, {*classes, target, *NEGATIVES})]
    word = next((word for word in SCORES if any(word in words_of(name) for name in fitting)), "")
    alike = [name for name in called if word and word in words_of(name)]
    alike = alike or [*(name for name in fine if fold(name) in classes and name not in called), *called]
    if len(alike) > 1:
        chosen = _of_class(read, alike, target, positive)
        _refuse_outputs(read, alike, chosen, numbers)
        return chosen
    chosen = next(iter(alike), "") or _like(SCORES, [*numbers])
    calls = [name for name in names if called_calls(name) and name != chosen]
    halved = bool(calls) and min(numbers.get(chosen, {0})) >= 0.5 and max(numbers[chosen]) <= 1
    doubtful = [] if chosen in fine or not chosen else [name for name in fine if words_of(name) & _OF_CALLS]
    if halved or doubtful:
        sure, call = (chosen, calls[0]) if halved else (doubtful[0], chosen)
        raise SpecError(of_called_class(sure, call))
    return chosen


def _says_no_more(score: str, classes: Iterable[str]) -> bool:
    """Return whether the name of a column of scores says nothing but a class, the target or that it is predicted."""
    rest = words_of(score) - {*SCORES, ""}
    return rest <= {*TARGETS, *CALLS} or any(rest == words_of(name) for name in classes)


def called_after(name: str) -> set[str]:
    """Return the words of a column of scores, or of a target, that say what it is of: edema of `Edema_pred`."""
    return words_of(name) - {*SCORES, *TARGETS[:_GENERAL], *CALLS, *_GENERAL_WORDS, ""}


def of_called_class(score: str, call: str) -> str:
    """Return the question about scores of the class that a column of decisions names, which are never below 0.5."""
    return (
        f"{key_text('--score')}: '{score}' seems to be of the class that '{call}' names: make a column of the "
        "positive class, with 1 less the number where the other class is named, and name it with "
        f"{key_text('--score', 'COLUMN')}"
    )


def _of_class(read: TextTable, names: Sequence[str], target: str, positive: str) -> str:
    """Return which of several columns of scores is of the positive class, as `p_malignant` beside `p_benign`.

    Raises:
        SpecError: They are called after neither the classes nor the target.
    """
    classes = {*read.present(target, key_text("--target"))} if target else set[str]()
    of = {
        name: fold(" ".join(word for word in re.findall(r"[^\W_]+", name.casefold()) if word not in SCORES))
        or fold(name)
        for name in names
    }
    wanted = [name for name, value in of.items() if same_value(value, positive or target)]
    if len(wanted) == 1:  # a target of 0 and 1 is called after its positive class
        return wanted[0]
    if not all(any(same_value(cell, value) for cell in classes) for value in of.values()):
        labels = [name for name in read.header if name not in of and fold(name) in of.values()]
        several = f"{key_text('--score')}: {read.name} has {', '.join(names)}: name "
        if labels and not target:
            raise SpecError(
                f"{several}the class with {key_text('--target', labels[0])}, for example, whose scores are then read"
            )
        raise SpecError(
            f"{several}the column of scores with {key_text('--score', 'COLUMN')}; of two "
            f"models, assay validate takes {key_text('--score', ','.join([*of][:2]))}"
        )
    return next((name for name, value in of.items() if len(of) == 2 and value not in {*NEGATIVES, "0"}), names[0])


def _refuse_outputs(read: TextTable, names: Sequence[str], chosen: str, numbers: Mapping[str, set[float]]) -> None:
    """Raise SpecError for outputs of several classes before a softmax, of which one alone is no score."""
    if min(min(numbers[name]) for name in names) >= 0:
        return
    others = [name for name in names if name != chosen]
    column = f"{chosen} minus {others[0]}" if len(others) == 1 else f"the log-odds of {chosen} after a softmax over all"
    raise SpecError(
        f"{key_text('--score')}: {read.name} has {', '.join(names)}, of each class, with numbers below 0. If they go "
        f"into one softmax, add a column of {column}, and name it with {key_text('--score', 'COLUMN')}; if each has a "
        f"sigmoid of its own, {key_text('--score', chosen)}"
    )


def _numbers(read: TextTable, name: str) -> set[float]:
    """Return the numbers of a column, where all cells are numbers or blank; else nothing."""
    values = {number(cell, read.comma) for cell in read.present(name)}
    return {value for value in values if value is not None} if None not in values else set()


def class_of_score(score: str, classes: Sequence[Sequence[str]]) -> int | None:
    """Return the position of the class that a column of scores is called after, such as `prob_melanoma`.

    Args:
        score: Name of the column.
        classes: Names of each class.
    """
    named = "".join(word for word in _words_of_name(score) if word not in SCORES)
    alike = [at for at, names in enumerate(classes) if named in {"".join(_words_of_name(name)) for name in names}]
    return alike[0] if len(alike) == 1 and named else None


def _words_of_name(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", name.casefold())
