"""Hold networks against the best simple cue: whether they know more of the target than the cue tells."""

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
from assay.look.cues import LEAST_ROWS, SEED, Cue
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
"""Strata of a cue, of equal size. What it still tells within them is no merit of a network."""


def compare_with_cue(
    panel: SeedPredictions, cues: Sequence[Cue], table: FactorTable, *, halves: bool = False
) -> list[Row]:
    """Return one row, without its place; none where no cue has scores, or all images are of one side.

    The cue is the best one among patients that a fold does not test; no undeclared number that divides the classes
    without an error: the target was made of it. Networks are then ranked within strata of its score. They are beyond it
    where they rank better than chance there, and better than the cue itself.

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
        (seed, fold[seed] == at, tested[seed] & (fold[seed] == at))
        for seed in range(shape[0])
        for at in np.unique(fold[seed][tested[seed]])
    ]
    areas = [_aurocs_elsewhere(cues, table, ~np.isin(table.patient, patient[here])) for _, _, here in parts]
    areas = [
        {
            (at, code): area
            for (at, code), area in areas_of_part.items()
            if abs(area - 0.5) > 0
            and not _restates(cues[at], area)
            and np.isfinite(cues[at].scores[code][panel.image_indices[here]]).any()
        }
        for (_, _, here), areas_of_part in zip(parts, areas, strict=True)
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
    for (seed, _, here), (at, _), areas_of_part in zip(parts, chosen, areas, strict=True):
        every = cues[at].scores[code] * (1 if areas_of_part[at, code] > 0.5 else -1)
        other_rows = every[~np.isin(table.patient, patient[here])]
        edges = np.unique(np.nanquantile(other_rows, np.arange(1, STRATA) / STRATA))
        score[seed, here] = every[panel.image_indices[here]]
        stratum[seed, here] += np.searchsorted(edges, score[seed, here], side="right")
    column = code if panel.scores.shape[2] > 2 else 0
    network = np.stack([log_odds(scores)[:, column] for scores in panel.scores])
    pairs = _Pairs(network, score, tested & np.isfinite(score), panel.target == code, panel.patient)
    name = cues[Counter(at for at, _ in chosen).most_common(1)[0][0]].row
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


def _aurocs_elsewhere(
    cues: Sequence[Cue], table: FactorTable, rows: Bool[np.ndarray, " n"]
) -> dict[tuple[int, int], float]:
    """Return the AUROC of every cue for every class among these images, where both sides have enough."""
    areas_found: dict[tuple[int, int], float] = {}
    for at, cue in enumerate(cues):
        for code, score in cue.scores.items():
            present = rows & np.isfinite(score)
            of = table.target[present] == code
            if min(of.sum(), (~of).sum()) >= LEAST_ROWS:
                right, opposite = placements(score[present], of.astype(np.int64))
                areas_found[at, code] = float(right[of].sum() / opposite[of].sum())
    return areas_found


def _strongest(areas_found: dict[tuple[int, int], float]) -> tuple[int, int]:
    return max(areas_found, key=lambda key: abs(areas_found[key] - 0.5))


@dataclass(frozen=True)
class _Pairs:
    """Scores of networks and of a cue for the same images, by seed."""

    network: Float[np.ndarray, "s n"]
    cue: Float[np.ndarray, "s n"]
    tested: Bool[np.ndarray, "s n"]
    of: Bool[np.ndarray, " n"]
    patient: Int[np.ndarray, " n"]

    def areas(self, stratum: Int[np.ndarray, "s n"]) -> _Areas:
        """Return the AUROC of both over pairs of a stratum."""
        samples = np.unique(self.patient)
        values, moves = np.full((2, len(self.tested)), np.nan), np.zeros((2, len(self.tested), len(samples)))
        least, images = math.inf, 0
        for seed, here in enumerate(self.tested):
            of, patient = self.of[here], self.patient[here]
            for which, score in enumerate((self.network[seed][here], self.cue[seed][here])):
                right, opposite = placements(score, of.astype(np.int64), stratum[seed][here])
                least = min(least, *(len(np.unique(patient[side & (opposite > 0)])) for side in (of, ~of)))
                images = int((opposite > 0).sum())
                if least >= LEAST_ROWS:
                    values[which, seed] = right[of].sum() / opposite[of].sum()
                    part = sum_by_patient(auroc_influence(right, opposite, of.astype(np.int64)), patient)
                    moves[which, seed, np.searchsorted(samples, part.samples)] = part.values
        return _Areas(values, moves, int(least), images)


@dataclass(frozen=True)
class _Areas:
    """AUROC of networks and cue by seed, and the contributions of patients. least: patients of the smaller side."""

    values: Float[np.ndarray, "2 s"]
    moves: Float[np.ndarray, "2 s p"]
    least: int
    images: int

    def ends(self, of: Sequence[float], bounds: tuple[float, float]) -> tuple[float, float, float]:
        """Return the mean over seeds of a combination of both, with its 95% interval.

        The interval is over patients and seeds, with fewer than 3 seeds over patients alone.
        """
        weights = np.array(of)
        values, moves = weights @ self.values, np.tensordot(weights, self.moves, 1)
        value, mean = float(values.mean()), moves.mean(axis=0)
        if math.isnan(value):
            return value, value, value
        error, df = float(np.sqrt((mean**2).sum())), float(patient_degrees_of_freedom(mean, len(mean)))
        if len(values) >= MIN_SEEDS and error > 0:
            spread = two_way(values, moves)
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
    """own: folds of the networks; those of the cue are others where each half of the patients chooses it."""
    overall, within = pairs.areas(fold), pairs.areas(stratum)
    network, network_low, network_high = pairs.areas(seed_fold).ends((1, 0), (0.0, 1.0))
    value, low, high = within.ends((1, 0), (0.0, 1.0))
    more = within.ends((1, -1), (-1.0, 1.0))
    less = overall.ends((1, -1), (-1.0, 1.0))
    adds = low > 0.5 and more[1] > 0
    few = math.isnan(value)
    return {
        "network": network,
        "network_low": network_low,
        "network_high": network_high,
        "cue": float(overall.values[1].mean()),
        "value": value,
        "low": low,
        "high": high,
        "rest": float(within.values[1].mean()),
        "verdict": ADDED if adds else BELOW if less[2] < 0 else NOT_SHOWN,
        "seeds": len(pairs.tested),
        "images": within.images,
        "patients": int(overall.moves.shape[2]),
        "reason": str(Reason.of(Code.FEW_IN_STRATA, least=LEAST_ROWS) if few else NO_REASON),
    }
