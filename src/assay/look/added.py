"""Compare networks with the best simple cue: whether they carry information on the target beyond it.

The input is the outputs of networks by seed and the scores of cues on the same images.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.reasons import NO_REASON, Code, Reason
from assay.core.seeds import folds_by_patient
from assay.core.types import FactorTable
from assay.look.cues import MIN_ROWS, SEED, Cue
from assay.stats.estimate import interval, patient_degrees_of_freedom, two_way
from assay.stats.influence import auroc_influence, sum_by_patient
from assay.stats.metrics import log_odds, placements
from assay.stats.panel import SeedPredictions
from assay.stats.rows import MIN_SEEDS
from assay.store.data_tables import ADDED_VERDICTS
from assay.store.files import Row

if TYPE_CHECKING:
    pass

ADDED, NOT_SHOWN, BELOW = ADDED_VERDICTS
STRATA = 10
"""Number of strata of a cue, of equal size. Within them a cue still predicts a little, which is measured too."""


def compare_with_cue(
    panel: SeedPredictions, cues: Sequence[Cue], table: FactorTable, *, halves: bool = False
) -> list[Row]:
    """Return one row of the table `added`, without recipe and environment; none without scores of a cue or one class.

    The cue is the best one among patients that a fold does not test. An undeclared number that divides the classes
    without an error does not count, since the target was derived from it. Images are then ranked by the networks within
    strata of the cue. Networks are beyond the cue where their AUROC there exceeds chance and that of the cue itself.

    Args:
        panel: Outputs by seed, with the positions of their images.
        cues: Scores of all images.
        table: All images.
        halves: Whether each half of the patients chooses the cue of the other, where training images are not known.
    """
    assert panel.image_indices is not None
    patient = table.patient[panel.image_indices]
    shape = panel.scores.shape[:2]
    fold = np.zeros(shape, np.int64) if panel.fold is None else panel.fold
    fold = np.broadcast_to(folds_by_patient(patient, 2, SEED), shape) if halves else fold
    tested = np.ones(shape, dtype=bool) if panel.has_prediction is None else panel.has_prediction
    parts = [
        (seed, fold[seed] == cue_number, tested[seed] & (fold[seed] == cue_number))
        for seed in range(shape[0])
        for cue_number in np.unique(fold[seed][tested[seed]])
    ]
    areas = [_aurocs_among(cues, table, ~np.isin(table.patient, patient[rows])) for _, _, rows in parts]
    areas = [
        {
            (cue_number, code): area
            for (cue_number, code), area in areas_of_part.items()
            if abs(area - 0.5) > 0
            and not _restates(cues[cue_number], area)
            and np.isfinite(cues[cue_number].scores[code][panel.image_indices[rows]]).any()
        }
        for (_, _, rows), areas_of_part in zip(parts, areas, strict=True)
    ]
    if not all(areas):
        return []
    code = Counter(_strongest(areas_of_part)[1] for areas_of_part in areas).most_common(1)[0][0]
    chosen = [
        _strongest({key: area for key, area in areas_of_part.items() if key[1] == code} or areas_of_part)
        for areas_of_part in areas
    ]
    if any(key[1] != code for key in chosen) or len(np.unique(panel.target[tested.any(0)] == code)) < 2:
        return []
    score, stratum = np.full(shape, np.nan), fold * (STRATA + 1)
    for (seed, _, rows), (cue_number, _), areas_of_part in zip(parts, chosen, areas, strict=True):
        all_scores = cues[cue_number].scores[code] * (1 if areas_of_part[cue_number, code] > 0.5 else -1)
        other_rows = all_scores[~np.isin(table.patient, patient[rows])]
        edges = np.unique(np.nanquantile(other_rows, np.arange(1, STRATA) / STRATA))
        score[seed, rows] = all_scores[panel.image_indices[rows]]
        stratum[seed, rows] += np.searchsorted(edges, score[seed, rows], side="right")
    column = code if panel.scores.shape[2] > 2 else 0
    network = np.stack([log_odds(scores)[:, column] for scores in panel.scores])
    pairs = _Pairs(network, score, tested & np.isfinite(score), panel.target == code, panel.patient)
    name = cues[Counter(cue_number for cue_number, _ in chosen).most_common(1)[0][0]].row
    return [
        {
            "name": name["name"],
            "kind": name["kind"],
            "of": table.classes[code],
            **_row(pairs, fold, stratum, fold * (not halves)),
        }
    ]


def _restates(cue: Cue, area: float) -> bool:
    """Return whether a column is the target in another form: a number that divides the classes without an error."""
    if area not in (0, 1) or cue.row["kind"] != "column":
        return False
    scores = np.array(list(cue.scores.values()))
    return len(np.unique(scores[np.isfinite(scores)])) > 2


def _aurocs_among(
    cues: Sequence[Cue], table: FactorTable, rows: Bool[np.ndarray, " n"]
) -> dict[tuple[int, int], float]:
    """Return the AUROC of every cue for every class among these images, where both sides have enough."""
    areas: dict[tuple[int, int], float] = {}
    for cue_number, cue in enumerate(cues):
        for code, score in cue.scores.items():
            present = rows & np.isfinite(score)
            positive = table.target[present] == code
            if min(positive.sum(), (~positive).sum()) >= MIN_ROWS:
                right, opposite = placements(score[present], positive.astype(np.int64))
                areas[cue_number, code] = float(right[positive].sum() / opposite[positive].sum())
    return areas


def _strongest(areas: dict[tuple[int, int], float]) -> tuple[int, int]:
    return max(areas, key=lambda key: abs(areas[key] - 0.5))


@dataclass(frozen=True)
class _Pairs:
    """Scores of networks and of a cue for the same images, by seed.

    Attributes:
        network: Scores of networks.
        cue: Scores of the cue.
        tested: Whether a seed has a prediction and the cue a score.
        is_class: Whether an image is of the class.
        patient: Codes of patients.
    """

    network: Float[np.ndarray, "s n"]
    cue: Float[np.ndarray, "s n"]
    tested: Bool[np.ndarray, "s n"]
    is_class: Bool[np.ndarray, " n"]
    patient: Int[np.ndarray, " n"]

    def areas(self, stratum: Int[np.ndarray, "s n"]) -> _Areas:
        """Return the AUROC of both over pairs of images in the same stratum."""
        samples = np.unique(self.patient)
        values, contributions = np.full((2, len(self.tested)), np.nan), np.zeros((2, len(self.tested), len(samples)))
        least, images = math.inf, 0
        for seed, rows in enumerate(self.tested):
            positive, patient = self.is_class[rows], self.patient[rows]
            for which, score in enumerate((self.network[seed][rows], self.cue[seed][rows])):
                right, opposite = placements(score, positive.astype(np.int64), stratum[seed][rows])
                least = min(least, *(len(np.unique(patient[side & (opposite > 0)])) for side in (positive, ~positive)))
                images = int((opposite > 0).sum())
                if least >= MIN_ROWS:
                    values[which, seed] = right[positive].sum() / opposite[positive].sum()
                    part = sum_by_patient(auroc_influence(right, opposite, positive.astype(np.int64)), patient)
                    contributions[which, seed, np.searchsorted(samples, part.samples)] = part.values
        return _Areas(values, contributions, int(least), images)


@dataclass(frozen=True)
class _Areas:
    """AUROC of networks (row 0) and of the cue (row 1) by seed.

    Attributes:
        values: The AUROC.
        contributions: Contributions of patients to it.
        least: Patients of the smaller side, over all seeds.
        images: Images in strata that have both sides.
    """

    values: Float[np.ndarray, "2 s"]
    contributions: Float[np.ndarray, "2 s p"]
    least: int
    images: int

    def interval(self, combination: Sequence[float], bounds: tuple[float, float]) -> tuple[float, float, float]:
        """Return the mean over seeds of a linear combination of both, and the ends of its 95% interval.

        The interval is over patients and seeds, with fewer than 3 seeds over patients alone.
        """
        weights = np.array(combination)
        values, contributions = weights @ self.values, np.tensordot(weights, self.contributions, 1)
        value, mean = float(values.mean()), contributions.mean(axis=0)
        if math.isnan(value):
            return value, value, value
        error, df = float(np.sqrt((mean**2).sum())), float(patient_degrees_of_freedom(mean, len(mean)))
        if len(values) >= MIN_SEEDS and error > 0:
            spread = two_way(values, contributions)
            error, df = float(np.sqrt(spread.variance)), float(spread.df)
        if error == 0 and value in bounds:  # no variance is seen: the exact bound of the smaller side
            edge = 0.025 ** (1 / max(1, self.least))
            if value == 0:
                return value, 0.0, 1 - edge
            return (value, edge, 1.0) if value > 0 else (value, -1.0, -edge)
        low, high = interval(value, error, df, bounds)
        return value, low, high


def _row(
    pairs: _Pairs, fold: Int[np.ndarray, "s n"], stratum: Int[np.ndarray, "s n"], seed_fold: Int[np.ndarray, "s n"]
) -> Row:
    """Return the numbers of a row of the table `added`.

    Args:
        pairs: Scores of networks and cue.
        fold: Folds in which the cue was chosen.
        stratum: Strata of the cue within these folds.
        seed_fold: Folds of the networks.
    """
    overall, within = pairs.areas(fold), pairs.areas(stratum)
    network, network_low, network_high = pairs.areas(seed_fold).interval((1, 0), (0.0, 1.0))
    value, low, high = within.interval((1, 0), (0.0, 1.0))
    within_difference = within.interval((1, -1), (-1.0, 1.0))
    overall_difference = overall.interval((1, -1), (-1.0, 1.0))
    is_beyond = low > 0.5 and within_difference[1] > 0
    is_undefined = math.isnan(value)
    return {
        "network": network,
        "network_low": network_low,
        "network_high": network_high,
        "cue": float(overall.values[1].mean()),
        "value": value,
        "low": low,
        "high": high,
        "rest": float(within.values[1].mean()),
        "verdict": ADDED if is_beyond else BELOW if overall_difference[2] < 0 else NOT_SHOWN,
        "seeds": len(pairs.tested),
        "images": within.images,
        "patients": int(overall.contributions.shape[2]),
        "reason": str(Reason.of(Code.FEW_IN_STRATA, least=MIN_ROWS) if is_undefined else NO_REASON),
    }
