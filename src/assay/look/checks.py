"""Check images: copies, predictors of the target, odd images, suspected labels and groups too small to test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.reasons import NO_REASON, Code, Field, Reason, parse_reason
from assay.core.seeds import folds_by_patient
from assay.core.types import FactorTable
from assay.data.cards import without_patients
from assay.data.dataset import Dataset
from assay.data.files.folder import undeclared_table
from assay.data.files.roles import MOST_CLASSES, divides
from assay.data.leakage import exact_pairs
from assay.data.near_copies import NearPair, compares_full_images_only, merge_patients
from assay.look.cues import FOLDS, MIN_ROWS, SEED, Cue, compared_classes, cue_of, shortcut_cautions, shortcut_rows
from assay.look.image_cues import EDGES, ImageProperties, cues_of, measure_images
from assay.look.request import EXAMINED
from assay.report.pictures import PictureWriter
from assay.spec.schema import DataSpec
from assay.stats.bounds import bounded_share
from assay.stats.groups import MIN_IMAGES_OF_CLASS, divide_into_groups
from assay.stats.metrics import log_odds
from assay.stats.panel import SeedPredictions
from assay.stats.ridge import cross_validated_predictions
from assay.store.data_tables import ISSUE_KINDS
from assay.store.files import Row

CERTAIN_LIKENESS = 0.9
"""Likeness from which on near copies are no mere suspicion."""
FAR = 5.0
FARS = {"marked": 1.0, "outlying": 6.0}
"""Robust standard deviations from the median from which an image is odd, by kind or `FAR`: 1% of usual ones at most."""
MAX_FAR_SHARE = 0.2
"""Share of images that are far from the others at most; more are a group, and not odd."""
BLANK, MARKED, MORE = 0.003, 0.06, 2.5
"""Contrast under which an image is blank, and share of thin bright marks over which it is marked where it has so many
times as many as the 90th percentile."""
CHECKED = {"blank": "blank", "dark": "very dark", "bright": "very bright", "blurry": "very blurry",
           "marked": "marked by letters or lines", "outlying": "unlike the others"}  # fmt: skip
"""Kind of a check of single images -> what an image is that has it, the name of its cue."""
NEIGHBORS = 10
MAX_NAMED = 3
"""Rows that a reason names."""
SUSPECTED, LABEL, ALIKE = "suspected-copy", "suspected-label", "alike-embedding"
CORRECTED_AUROC, MEASURED_AUROC = 0.85, 0.82
"""Lower ends of the AUROC of predictions from other patients from which on they judge labels: were no label wrong, and
as measured. Without the second, labels of images that are hard to read count as wrong and raise the first."""

Cluster = Int[np.ndarray, " m"]
"""Positions of images that belong together, ascending."""
Odd = Mapping[str, tuple[Cluster, Float[np.ndarray, " m"]]]
"""Kind of issue -> positions of its images, the worst first, and how far each is from the others."""


@dataclass(frozen=True)
class DataChecks:
    """What images give away before any network.

    Attributes:
        dataset: The images, copies of a picture as of one patient; None of a phantom.
        cues: What may predict the target.
        clusters: The files of each picture that several files hold, the most frequent first.
        suspected: Files that may show one picture.
        odd: Images that are unlike the others.
        unjudged: Why no label was judged; nothing where predictions from other patients are good enough.
        against: The simple cue that explains suspected labels, if one does.
        issues: Rows of this table.
        reasons: What was found, the gravest first.
        alike: Images with nearly the same embedding.
    """

    dataset: Dataset | None
    reasons: Sequence[Reason]
    cues: Sequence[Cue] = ()
    clusters: Sequence[Cluster] = ()
    suspected: Sequence[Cluster] = ()
    odd: Odd = field(default_factory=dict[str, Any])
    unjudged: Reason = NO_REASON
    against: Mapping[str, Field] = field(default_factory=dict[str, Any])
    issues: Sequence[Row] = ()
    alike: Sequence[Cluster] = ()

    @property
    def shortcuts(self) -> list[Row]:
        """Rows of this table."""
        return shortcut_rows(self.cues)

    def pictures(self, gallery: PictureWriter) -> Iterator[Row]:
        """Draw copies and odd images."""
        if self.dataset is not None:
            yield from gallery.draw_copies(self.dataset, self.clusters)
            yield from (
                gallery.draw_flagged_images(self.dataset, suspect, SUSPECTED) for suspect in self.suspected[:MAX_NAMED]
            )
            yield from (gallery.draw_flagged_images(self.dataset, cluster, ALIKE) for cluster in self.alike[:MAX_NAMED])
            yield from (
                gallery.draw_flagged_images(self.dataset, rows, kind, **(self.against if kind == LABEL else {}))
                for kind, (rows, _) in self.odd.items()
            )


def data_checks(
    spec: DataSpec,
    dataset: Dataset | None,
    sets: Mapping[str, Dataset | None] | None = None,
    near: Cluster | None = None,
    embeddings: Float[np.ndarray, "n d"] | None = None,
    predictions: Iterable[tuple[str, SeedPredictions]] = (),
    size: int = EXAMINED,
) -> DataChecks:
    """Check images; of a phantom, which draws each for itself, there is nothing to check.

    Args:
        spec: The images.
        dataset: The images as they were read; None of a phantom.
        sets: Other sets to test on, in which copies of these images are looked for.
        near: Positions of the images among which near copies are searched; all where None.
        embeddings: Features of every image that judge labels; thumbnails and edges where None.
        predictions: Recipes with answers to images that they were not trained on, whose labels they judge.
        size: Longer side at which files are examined, in pixels; smaller ones are not enlarged.
    """
    if dataset is None:
        return DataChecks(None, [Reason.of(Code.DRAWN_IMAGES)])
    table, image_properties = dataset.table, measure_images(dataset, size)
    others = undeclared_table(spec, table)
    pairs = dataset.near_copies if near is None or dataset.search is None else dataset.search.among(near)
    clusters = _clusters(dataset, [pair for pair in pairs if pair.likeness >= CERTAIN_LIKENESS])
    linked = replace(dataset, table=_linked(table, clusters))
    odd_by_check = _find_odd_images(image_properties)
    unnamed = without_patients(dataset.card.known_faults)
    check_cues_found = list(check_cues(linked.table, image_properties.rows, odd_by_check))
    if unnamed:
        check_cues_found = [replace(cue, row={**cue.row, "patients": 0}) for cue in check_cues_found]
    cues = [*cues_of(linked, others, image_properties), *check_cues_found]
    copies = {tuple(_numbers_of_rows(cluster)) for cluster in clusters}
    suspected = [
        odd_images for odd_images in _clusters(dataset, pairs) if tuple(_numbers_of_rows(odd_images)) not in copies
    ]
    mislabeled, excess, unjudged = _suspected_labels(linked.table, image_properties, embeddings, predictions)
    images_of_kind = {**odd_by_check, LABEL: (mislabeled, excess)}
    odd = {kind: hits for kind, hits in images_of_kind.items() if len(hits[0])}
    against = _cue_against(table, cues, mislabeled)
    small = [name for factor_table in (table, others) for name in _small_groups(factor_table)]
    divided = (table, others or undeclared_table(spec, table, of_masks=True))
    parts_shared = [cause for columns in divided for cause in _across_parts(columns, clusters)]
    groups = [("copy", cluster) for cluster in clusters] + [(SUSPECTED, cluster) for cluster in suspected]
    issues = _issues_of(table, groups, parts_shared, odd, small)
    left_out_count, searched = len(dataset.card.left_out), len(table if near is None else near)
    between_sets = [cause for name, other in (sets or {}).items() for cause in _shared_images(name, dataset, other)]
    reasons = [
        *parts_shared,
        *between_sets,
        *(
            cause
            for cause in _copy_findings(dataset, clusters, suspected, searched, named=not unnamed)
            if not between_sets or Code.NO_COPIES not in cause
        ),
        *([Reason.of(Code.PATIENTS_UNKNOWN, text=unnamed)] if unnamed else []),
        *shortcut_cautions(shortcut_rows(cues)),
        *(
            _odd_images(table, kind, rows, against if kind == LABEL else _class_of_hits(table, rows, cues, kind))
            for kind, (rows, _) in odd.items()
        ),
        *([Reason.of(Code.ROWS_LEFT_OUT, count=left_out_count)] if left_out_count else []),
        *_of_small_groups(small),
    ]
    return DataChecks(linked, reasons, cues, clusters, suspected, odd, unjudged, against, issues)


def _issues_of(
    table: FactorTable,
    groups: Sequence[tuple[str, Cluster]],
    parts_shared: Sequence[Reason],
    odd: Odd,
    small: Sequence[str],
) -> list[Row]:
    """Return a row per image with an issue, and one per issue of all of them, as `issue` makes it.

    Args:
        table: The images.
        groups: Kind and images of every group of copies.
        parts_shared: Reasons of images in several parts of a split.
        odd: Kind of an odd image -> its images, and how far off they are.
        small: Names of groups with few images.
    """
    numbers = numbers_of(table)
    return [
        *(
            issue(kind, numbers[at], of=_class(table, at), cluster=group)
            for group, (kind, files) in enumerate(groups, start=1)
            for at in _numbers_of_rows(files)
        ),
        *(issue("across-parts", 0, of=str(cause.causes[0]["column"])) for cause in parts_shared),
        *(
            issue(kind, numbers[at], of=_class(table, at), value=float(deviation))
            for kind, (rows, deviations) in odd.items()
            for at, deviation in zip(_numbers_of_rows(rows), deviations, strict=True)
        ),
        *(issue("small-group", 0, of=name) for name in small),
    ]


def _odd_images(table: FactorTable, kind: str, rows: Cluster, about: Mapping[str, Field]) -> Reason:
    return Reason.of(
        Code.ODD_IMAGES, count=len(rows), kind=kind, rows=image_numbers(table, rows), **place_names(table), **about
    )


def _of_small_groups(names: Sequence[str]) -> list[Reason]:
    if not names:
        return []
    return [
        Reason.of(Code.SMALL_GROUPS_OF, count=len(names), least=MIN_IMAGES_OF_CLASS, names=tuple(names[:MAX_NAMED]))
    ]


def numbers_of(table: FactorTable) -> Sequence[int]:
    """Return the number of every row, as its user counts them."""
    return table.places.numbers if table.places else range(1, len(table) + 1)


def place_names(table: FactorTable) -> dict[str, str]:
    """Return the words for rows of a table, for a reason."""
    return table.places.names if table.places else {}


def image_numbers(table: FactorTable, rows: Cluster) -> tuple[str, ...]:
    """Return the numbers of the first rows, for a reason."""
    return tuple(f"{numbers_of(table)[at]:,}" for at in _numbers_of_rows(rows[:MAX_NAMED]))


def issue(kind: str, row: int, *, of: str = "", cluster: int = 0, value: float = np.nan) -> Row:
    """Return a row of `data_tables.ISSUES`."""
    assert kind in ISSUE_KINDS
    return {"kind": kind, "row": row, "cluster": cluster, "of": of, "value": value}


def _numbers_of_rows(rows: Cluster) -> list[int]:
    return rows.tolist()


def _class(table: FactorTable, at: int) -> str:
    return table.classes[int(table.target[at])]


# Copies.


def _clusters(dataset: Dataset, near: Sequence[NearPair]) -> list[Cluster]:
    """Return the files of every picture that is there more than once, exactly or as a near copy."""
    each = np.arange(len(dataset.table))
    exact = exact_pairs(np.array(dataset.pixels, dtype=np.uint64), each) if dataset.pixels else []
    linked = merge_patients(each, [*exact, *near])
    groups = [np.flatnonzero(linked == first) for first in np.unique(linked)]
    return sorted((group for group in groups if len(group) > 1), key=len, reverse=True)


def _linked(table: FactorTable, clusters: Sequence[Cluster]) -> FactorTable:
    """Return the table with copies of a picture as images of one patient: no fold predicts one by another."""
    pairs = [NearPair(int(files[0]), at, 1.0) for files in clusters for at in _numbers_of_rows(files)]
    return replace(table, patient=merge_patients(table.patient, pairs))


def _copy_findings(
    dataset: Dataset, clusters: Sequence[Cluster], suspected: Sequence[Cluster], searched: int, *, named: bool
) -> Iterator[Reason]:
    table = dataset.table
    part = {
        "searched": searched if searched < len(table) else 0,
        "images": len(table),
        "bounded": compares_full_images_only(searched),
    }
    if clusters:
        across = sum(len(np.unique(table.patient[files])) > 1 for files in clusters) if named else 0
        against = sum(len(np.unique(table.target[files])) > 1 for files in clusters)
        masks = sum(_masks_differ(dataset, files) for files in clusters)
        alone = named and not across and not against and not masks
        yield Reason.of(
            Code.COPIES_OF_ONE_PATIENT if alone else Code.COPY_CLUSTERS,
            **_copy_counts(table, clusters),
            across=across,
            contradicting=against,
            masks=masks,
            **part,
        )
    if suspected:
        yield Reason.of(Code.COPIES_SUSPECTED, **_copy_counts(table, suspected), **part)
    alone = named and len(np.unique(table.patient)) < 2  # near copies are searched across patients
    if dataset.search is None or alone:
        yield Reason.of(Code.COPIES_UNCHECKED, alone=int(alone))
    elif not clusters and not suspected:
        yield Reason.of(Code.NO_COPIES, patients=named, **part)


def _masks_differ(dataset: Dataset, files: Cluster) -> bool:
    """Return whether images that are the same pixel by pixel have different masks."""
    if not dataset.pixels or not dataset.mask_pixels:
        return False
    pairs = {(dataset.pixels[at], dataset.mask_pixels[at]) for at in _numbers_of_rows(files)}
    return len(pairs) > len({pixels for pixels, _ in pairs})


def _copy_counts(table: FactorTable, clusters: Sequence[Cluster]) -> dict[str, int | str | tuple[str, ...]]:
    rows = image_numbers(table, clusters[0])
    return {"groups": len(clusters), "files": sum(map(len, clusters)), "rows": rows, **place_names(table)}


def _shared_images(name: str, training: Dataset, other: Dataset | None) -> Iterator[Reason]:
    """Yield images of another set that are surely, or perhaps, those of the training set."""
    near = () if other is None else other.near_copies
    copies = certain_copies(near)
    for sure in (True, False):
        pairs = [pair for pair in near if (pair.second in copies) == sure]
        if other is not None and pairs:
            first, second = numbers_of(training.table)[pairs[0].first], numbers_of(other.table)[pairs[0].second]
            yield Reason.of(
                Code.COPIES_BETWEEN_SETS if sure else Code.SUSPECTED_BETWEEN_SETS,
                count=len({pair.second for pair in pairs}),
                set=name,
                first=(f"{first:,}",),
                second=(f"{second:,}",),
                first_names=tuple(place_names(training.table).values()),
                second_names=tuple(place_names(other.table).values()),
            )


def certain_copies(near: Sequence[NearPair]) -> set[int]:
    """Return positions of the second images of pairs that are surely copies."""
    return {pair.second for pair in near if pair.likeness >= CERTAIN_LIKENESS}


def _across_parts(table: FactorTable | None, clusters: Sequence[Cluster]) -> Iterator[Reason]:
    """Yield columns such as `split` whose parts share patients or pictures."""
    for factor in table.factors if table is not None else ():
        part = table.columns[factor.name] if table is not None else np.empty(0)
        few = bool(factor.levels) or len(np.unique(part)) <= MOST_CLASSES
        if table is None or not few or not divides(factor.name, factor.levels):
            continue
        pairs = np.unique(np.stack([table.patient, part], axis=1)[part >= 0], axis=0)
        shared = int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())
        groups = sum(len(np.unique(part[files][part[files] >= 0])) > 1 for files in clusters)
        if shared or groups:
            yield Reason.of(
                Code.PARTS_SHARED, count=shared, groups=groups, both=min(shared, groups), column=factor.name
            )


# Odd images.


def _find_odd_images(image_properties: ImageProperties) -> Odd:
    properties = image_properties.properties
    bright, contrast = properties["mean brightness"], properties["contrast"]
    marks = properties["share of thin bright marks"]
    deviations_by_kind = {
        "blank": np.where(contrast < BLANK, FAR, 0.0),
        "dark": np.where(bright < 0.1, -robust_deviations(bright), 0.0),
        "bright": np.where(bright > 0.9, robust_deviations(bright), 0.0),
        "blurry": -robust_deviations(np.log(properties["sharpness"] + 1e-6)),
        "marked": marks / max(MARKED, MORE * np.quantile(marks, 0.9)),
        "outlying": robust_deviations(_dissimilarity(next(iter(image_properties.features.values())))),
    }
    is_taken = np.zeros(len(image_properties.rows), dtype=bool)
    by_kind: dict[str, tuple[Cluster, Float[np.ndarray, " m"]]] = {}
    for kind, deviations in deviations_by_kind.items():
        positions = np.flatnonzero((deviations >= FARS.get(kind, FAR)) & ~is_taken)
        positions = positions[np.argsort(-deviations[positions], kind="stable")]
        is_taken[positions] = True
        by_kind[kind] = image_properties.rows[positions], deviations[positions]
    return by_kind


NEARLY_ALL = 0.9
"""Share of the images of a check from which on they are nearly all of one class."""
MIN_EXCESS = 0.1
"""By so much must this share surely exceed that of the class in all images, as an AUROC of 0.6 exceeds chance."""


def check_cues(table: FactorTable, rows: Cluster, odd: Odd) -> Iterator[Cue]:
    """Yield whether an image is blank, very dark and so on, as cues of the class.

    A check of few images has a low AUROC even if all of them are of one class. It is a caution as other cues are, or
    where nearly all of its images are of one class: by exact bounds over patients, corrected for checks and classes.

    Args:
        table: The images, copies of a picture as of one patient.
        rows: Positions of the images that were checked.
        odd: Kind of check -> its images.
    """
    for kind, (hits, _) in odd.items():
        if kind not in CHECKED or len(hits) < MIN_ROWS:
            continue
        is_hit = np.full(len(table), np.nan)
        is_hit[rows], is_hit[hits] = 0.0, 1.0
        commonest = int(np.bincount(table.target[hits]).argmax())
        of_class = bounded_share(
            table.target[hits] == commonest, table.patient[hits], 0.025 / len(odd) / len(compared_classes(table))
        )
        share_of_all = float((table.target[rows] == commonest).mean())
        is_of_class = of_class.value >= NEARLY_ALL and of_class.low > share_of_all + MIN_EXCESS
        classes_to_compare = (commonest,) if is_of_class and len(table.classes) > 2 else compared_classes(table)
        cue = cue_of("check", CHECKED[kind], table, dict.fromkeys(classes_to_compare, is_hit), None)
        if math.isnan(cue.row["value"]):
            continue  # a class of few images
        yield replace(cue, row={**cue.row, "strong": cue.row["strong"] or is_of_class})


def _class_of_hits(table: FactorTable, hits: Cluster, cues: Sequence[Cue], kind: str) -> dict[str, Field]:
    """Return the class of all or most images of a check that is a cue, and how many these are; nothing of another."""
    names = {cue.row["name"] for cue in cues if cue.row["kind"] == "check" and cue.row["strong"]}
    counts = np.bincount(table.target[hits])
    if CHECKED.get(kind) not in names or counts.max() < NEARLY_ALL * len(hits):
        return {}
    count = int(counts.max())
    return {"every" if count == len(hits) else "most": count, "class": table.classes[int(counts.argmax())]}


def _suspected_labels(
    table: FactorTable,
    image_properties: ImageProperties,
    embeddings: Float[np.ndarray, "n d"] | None = None,
    predictions: Iterable[tuple[str, SeedPredictions]] = (),
) -> tuple[Cluster, Float[np.ndarray, " m"], Reason]:
    """Return images whose label predictions from other patients contradict, and by how much, the surest first.

    Last is why no label was judged; nothing where predictions were good enough.

    Networks judge the images that they were not trained on, a ridge regression the others.
    """
    usable = (
        np.isfinite(embeddings[image_properties.rows]).all(axis=1)
        if embeddings is not None
        else image_properties.rows >= 0
    )
    rows = image_properties.rows[usable]
    part = table.take(rows)
    member, fold = part.target[:, None] == np.unique(part.target), folds_by_patient(part.patient, FOLDS, SEED)
    pixels = np.concatenate([next(iter(image_properties.features.values())), image_properties.features[EDGES]], axis=1)
    features = pixels if embeddings is None else embeddings[rows]
    excess, unjudged = _excess_of_other_class(
        table, rows, cross_validated_predictions(features, member.astype(np.float64), fold), fold
    )
    by_networks, _ = _excess_of_other_class(table, *_mean_odds(table, predictions))
    excess = np.where(np.isnan(by_networks), excess, by_networks)
    order = np.argsort(-excess, kind="stable")
    order = order[excess[order] > 0]
    is_any_judged = np.isfinite(by_networks).any() or (np.isfinite(excess).any() and Code.LABELS_UNJUDGED in unjudged)
    return order, excess[order], NO_REASON if is_any_judged else unjudged


def _cue_against(table: FactorTable, cues: Sequence[Cue], suspected: Cluster) -> Mapping[str, Field]:
    """Return the strong cue that over half of the suspected labels are against, and how many; nothing without one.

    An image is against a cue whose score is nearer to the mean of the other side. Among suspected labels this must be
    twice as frequent as in all images, since a weak cue has many images against it.
    """
    max_count, fields_found = len(suspected) // 2, dict[str, Field]()
    for cue in sorted(
        (value for value in cues if value.row["strong"] and value.scores), key=lambda value: -value.row["value"]
    ):
        code = table.classes.index(cue.row["of"])
        score, of_class = cue.scores[code] * (-1 if cue.row["direction"] == "lower" else 1), table.target == code
        wrong = (score > (np.nanmean(score[of_class]) + np.nanmean(score[~of_class])) / 2) != of_class
        present = np.isfinite(score)
        count = int((wrong & present)[suspected].sum())
        if count > max_count and count >= 2 * wrong[present].mean() * len(suspected):
            row, max_count = cue.row, count
            fields_found = {
                "against": count,
                "kinds": (row["kind"],),
                "names": (row["name"],),
                "values": (str(row["value"]),),
            }
    return fields_found


def _mean_odds(
    table: FactorTable, predictions: Iterable[tuple[str, SeedPredictions]]
) -> tuple[Cluster, Float[np.ndarray, "m c"]]:
    """Return the images that networks answer and the mean log-odds of the classes that these images have.

    A recipe counts whose networks predict the target well in each of its environments: one that relies on a factor
    contradicts the labels of images in which the factor is reversed.
    """
    by_recipe: dict[str, list[tuple[Cluster, Float[np.ndarray, "m c"]]]] = {}
    for recipe, panel in predictions:
        assert panel.image_indices is not None
        odds = np.nanmean([log_odds(scores) for scores in panel.scores], axis=0)
        odds = np.concatenate([-odds, odds], axis=1) if odds.shape[1] == 1 else odds
        by_recipe.setdefault(recipe, []).append((panel.image_indices, odds))
    total, count = np.zeros((len(table), len(table.classes))), np.zeros(len(table))
    for odds_of_recipe in by_recipe.values():
        if all(np.isfinite(_excess_of_other_class(table, *rows_and_odds)[0]).any() for rows_and_odds in odds_of_recipe):
            for rows, odds in odds_of_recipe:
                total[rows] += odds
                count[rows] += 1
    rows = np.flatnonzero(count)
    return rows, total[rows] / count[rows, None]


def _excess_of_other_class(
    table: FactorTable, rows: Cluster, score: Float[np.ndarray, "m c"], fold: Int[np.ndarray, " m"] | None = None
) -> tuple[Float[np.ndarray, " n"], Reason]:
    """Return by how much more another class is expected of every image than its own; NaN where nothing is expected.

    Scores must predict both classes well, or their contradictions say nothing: last is why none is.

    References:
        Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", JAIR 70, 2021.
    """
    excess, part = np.full(len(table), np.nan), table.take(rows)
    classes, class_at = np.unique(part.target, return_inverse=True)
    score = score[:, classes] if score.shape[1] > len(classes) else score
    member, fold = class_at[:, None] == np.arange(len(classes)), np.zeros(len(rows), np.int64) if fold is None else fold
    cue = cue_of("baseline", EDGES, part, dict(zip(classes.tolist(), score.T, strict=True)), fold)
    if np.isnan(cue.row["value"]):
        return excess, Reason.of(Code.LABELS_UNJUDGED) + parse_reason(cue.row["reason"])
    best = int(np.argmax(classes == part.classes.index(cue.row["of"])))
    if len(classes) == 2:  # what one class is told from is the other
        predicted = np.full(2, _is_well_predicted(cue.row["low"], score[:, best], member[:, best], part.patient))
    else:
        lows = (
            cue_of("baseline", EDGES, part, {int(code): score[:, at]}, fold).row["low"]
            for at, code in enumerate(classes)
        )
        predicted = np.array(
            [_is_well_predicted(low, score[:, at], member[:, at], part.patient) for at, low in enumerate(lows)]
        )
    if not predicted.any():
        ends = {"value": cue.row["value"], "low": cue.row["low"], "high": cue.row["high"]}
        few = {"few": len(np.unique(part.patient))} if cue.row["value"] >= CORRECTED_AUROC else {}
        needed = {"corrected": CORRECTED_AUROC} if cue.row["low"] >= MEASURED_AUROC else {"least": MEASURED_AUROC}
        weak = Reason.of(Code.WEAK_PREDICTIONS, **ends, **few, **needed)
        return excess, Reason.of(Code.LABELS_UNJUDGED) + weak
    probs = _probabilities(score, member)
    means = np.array([probs[class_at == code, code].mean() for code in range(len(classes))])
    called = np.where((probs >= means).any(axis=1), np.argmax(np.where(probs >= means, probs, -1), axis=1), class_at)
    each = np.arange(len(class_at))
    excess[rows] = np.where(
        predicted[class_at] & predicted[called], probs[each, called] - probs[each, class_at], np.nan
    )
    unpredicted: list[int] = np.flatnonzero(~predicted).tolist()
    names = tuple(part.classes[int(classes[at])] for at in unpredicted)
    return excess, Reason.of(Code.LABELS_PARTLY_JUDGED, classes=names) if names else NO_REASON


def _is_well_predicted(
    measured: float, score: Float[np.ndarray, " n"], of: Bool[np.ndarray, " n"], patient: Int[np.ndarray, " n"]
) -> bool:
    """Return whether a class is told from the others well enough to judge its labels; not without an interval."""
    return (
        measured >= MEASURED_AUROC
        and 0.5 + (measured - 0.5) / _label_attenuation(score, of, patient) >= CORRECTED_AUROC
    )


def _label_attenuation(
    score: Float[np.ndarray, " n"], of: Bool[np.ndarray, " n"], patient: Int[np.ndarray, " n"]
) -> float:
    """Return the factor by which wrong labels bring an AUROC closer to 0.5, from those among the surest images.

    Shares of wrong labels are lower bounds, since classes that overlap look like classes with wrong labels.

    References:
        Menon, van Rooyen, Ong and Williamson, "Learning from corrupted binary labels via class-probability estimation",
        ICML 2015.
    """
    order, few = np.argsort(score, kind="stable"), max(10, min(of.sum(), (~of).sum()) // 10)
    wrong = [bounded_share(label[rows], patient[rows]).low for label, rows in ((of, order[:few]), (~of, order[-few:]))]
    odds = of.sum() / (~of).sum()
    first, second = wrong[0] / (1 - wrong[0]) / odds, wrong[1] / (1 - wrong[1]) * odds
    return max(0.5, (1 - first) * (1 - second) / (1 - first * second)) if max(first, second) < 1 else 1.0


def _probabilities(score: Float[np.ndarray, "n c"], member: Bool[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """Return scores of classes as probabilities, each class against the others: linear discriminant analysis."""
    share = member.mean(axis=0)
    inside, outside = (score * member).mean(axis=0) / share, (score * ~member).mean(axis=0) / (1 - share)
    spread = (member * (score - inside) ** 2 + ~member * (score - outside) ** 2).mean(axis=0)
    odds = (inside - outside) / (spread + 1e-9) * (score - (inside + outside) / 2) + np.log(share / (1 - share))
    return 1 / (1 + np.exp(-np.clip(odds, -50, 50)))


def robust_deviations(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return robust standard deviations from the median; 0 where over half of the values are equal, or many are far."""
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle))
    deviations = (values - middle) / spread if spread > 0 else np.zeros(len(values))
    return deviations if (np.abs(deviations) >= FAR).mean() <= MAX_FAR_SHARE else np.zeros(len(values))


def _dissimilarity(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Return 1 less the correlation of every picture with the tenth that is most like it."""
    centered = features - features.mean(axis=1, keepdims=True)
    units = centered / (np.linalg.norm(centered, axis=1, keepdims=True) + 1e-3 * np.sqrt(features.shape[1]))
    near, parts = min(NEIGHBORS, len(units) - 1), np.array_split(units, len(units) // 500 + 1)
    return np.concatenate([np.partition(1 - part @ units.T, near, axis=1)[:, near].copy() for part in parts])


def _small_groups(table: FactorTable | None) -> Iterator[str]:
    """Yield columns with their levels that have too few images of a class, where there are few levels."""
    for factor in table.factors if table is not None else ():
        tested = factor.levels and factor.role != "core"
        groups = divide_into_groups(table, factor.name) if table is not None and tested else None
        yield from (f"{factor.name} {level}" for level in (groups.small if groups else ()))
