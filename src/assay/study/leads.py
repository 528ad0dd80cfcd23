"""Search a model for shortcuts that nobody named: content exchanged between images, properties, slices and errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.analysis.audit import MOST_LEVELS
from assay.analysis.leads import FIRST, SURE, Limits, Tested, leads_of_places, limited_by, tested_row
from assay.analysis.shortcuts import properties_of
from assay.core.reasons import NOTHING, Code, Reason, because
from assay.core.types import FactorTable
from assay.probes.reader import log_odds
from assay.shifts.environment import Environment
from assay.shifts.exchange import Cell, Place, central, donors, exchanged, middle, places
from assay.shifts.intervention import by_box
from assay.stats.swing import Exchange, exchange, often_first
from assay.store.files import Row

DONORS = 4
"""Donors of each class for an image."""
UNALIGNED = ("dermoscopy", "endoscopy")
"""Domains whose images do not have the same place at the same pixels."""
MOST_EXCHANGED = 300
"""Images of an exchange test at most."""
LEAST_IMAGES = 40
"""Images that an exchange test needs."""
_PLACES = 27
"""Places of an exchange test: nine cells, twelve quarters of three of them, five bands, and intensities."""
PASSES = 2 * _PLACES
"""Images put through the model for an image and one donor of each class."""
_BOOTSTRAPS = 500


def plan_exchange(passes: int, images: int) -> tuple[int, int]:
    """Return how many images and donors so many passes allow, images first; (0, 0) where they are too few."""
    n = min(images, passes // PASSES)
    return (n, min(DONORS, passes // (PASSES * n))) if n >= LEAST_IMAGES else (0, 0)


@dataclass(frozen=True, eq=False)
class ExchangeTest:
    """An exchange test of one model: what is exchanged, and what follows from the answers.

    Attributes:
        clean: The images.
        center: Where the finding may be.
        aligned: Whether the same pixels show the same place.
        rounds: Donors of each class for an image.
        seed: Seed of the choice of donors.
    """

    clean: Environment
    center: Bool[np.ndarray, "h w"]
    aligned: bool
    rounds: int
    seed: int

    @cached_property
    def donors(self) -> tuple[Int[np.ndarray, "r n"], Int[np.ndarray, "r n"]] | None:
        """Donors of the same class and of another; None where images lack them."""
        return donors(self.clean.table, levels_of(self.clean.table), self.rounds, self.seed)

    @cached_property
    def undone(self) -> Reason:
        """Why it is not done; nothing where it is."""
        if not self.rounds:
            return because(Code.SLOW_FOR_EXCHANGE, least=LEAST_IMAGES)
        return because(Code.NO_DONORS) if self.donors is None else NOTHING

    @property
    def first(self) -> tuple[Place, ...]:
        """The places that are exchanged first."""
        return () if self.undone else places(self.aligned)

    def finer(self, found: Mapping[Place, Exchange]) -> list[Place]:
        """Return the quarters of the hottest third of the cells, given what the first places lost."""
        cells = [place for place in self.first if isinstance(place, Cell)] if self.aligned else []
        hottest = sorted(cells, key=lambda one: -found[one].loss.value)[: len(cells) // 3]
        return [part for cell in hottest for part in cell.split()]

    def images(self, place: Place) -> tuple[Environment, dict[str, Any]]:
        """Return the images with a place exchanged, and values that name the exchange."""
        assert self.donors is not None
        rounds = np.concatenate(self.donors)
        shown = exchanged(self.clean, place, rounds)
        return shown, {"exchange": shown.name, "donors": rounds.tolist()}

    def loss(self, logits: Float[np.ndarray, "m k"]) -> Exchange:
        """Return what answers to exchanged images lost."""
        scores = log_odds(logits.astype(np.float64)).reshape(2 * self.rounds, len(self.clean), -1)
        table = self.clean.table
        return exchange(scores[: self.rounds], scores[self.rounds :], table.target, table.patient)

    def rows(self, found: Mapping[Place, Exchange], limits: Limits, margin: float) -> tuple[list[Row], list[Row]]:
        """Return rows of `audit_tables.LEADS` and of `audit_tables.EXCHANGED`, given what every place lost."""
        if self.undone:
            return [], [not_exchanged(self.undone)]
        tested = self.tested(found)
        counts = len(self.clean), len(np.unique(self.clean.table.patient))
        return list(leads_of_places(tested, limits, margin, *counts)), [tested_row(one, *counts) for one in tested]

    def tested(self, found: Mapping[Place, Exchange]) -> list[Tested]:
        """Return the places with how often each is among the first, given what every place lost."""
        cells = [place for place in self.first if isinstance(place, Cell)]
        bands = [place for place in self.first if place.kind == "band"]
        fine = [place for place in found if place not in self.first]
        often: dict[Place, float] = {}
        for group in filter(None, (cells, bands, fine)):
            shares = often_first([found[place] for place in group], FIRST, _BOOTSTRAPS, self.seed)
            often |= dict(zip(group, shares.tolist(), strict=True))
        return [
            Tested(place, one.loss, often.get(place, SURE), isinstance(place, Cell) and central(place, self.center))
            for place, one in found.items()
        ]


def not_exchanged(reason: Reason) -> Row:
    """Return a row of `audit_tables.EXCHANGED` for a test that was not done."""
    return {"kind": "", "place": "", "reason": str(reason), "images": 0, "patients": 0}


def limits_of(places: Iterable[Row], center: Bool[np.ndarray, "h w"]) -> Limits:
    """Return the largest losses of reference networks.

    Args:
        places: Kind, place and loss of reference networks, as in `audit_tables.EXCHANGED`.
        center: Where the finding may be in the images of the audit.
    """
    found: dict[tuple[str, str], float] = {}
    for row in places:
        kind, place = str(row["kind"]), str(row["place"])
        key = limited_by(kind, place, kind == "cell" and central(Cell.named(place), center))
        found[key] = max(found.get(key, 0.0), float(row["loss"]))
    return found


def measured(environment: Environment) -> dict[str, Float[np.ndarray, " n"]]:
    """Return cheap properties of images, without padding; those that do not vary are left out."""
    found: dict[str, np.ndarray] = {}
    for box, alike in by_box(environment.boxes, np.arange(len(environment)), environment.images.shape):
        for part in np.array_split(alike, max(1, len(alike) // 64)):
            pictures = environment.images.read(part)[:, :, box.rows, box.columns]
            for name, values in properties_of(pictures).items():
                found.setdefault(name, np.zeros(len(environment)))[part] = values.double().numpy()
    return {name: values for name, values in found.items() if np.ptp(values) > 0}


def center_of(environment: Environment) -> Bool[np.ndarray, "h w"]:
    """Return the union of masks, else the central half of the area."""
    _, height, width = environment.images.shape
    if environment.masks is None:
        return middle(height, width)
    union = np.zeros((height, width), dtype=bool)
    for part in np.array_split(np.arange(len(environment)), max(1, len(environment) // 256)):
        union |= environment.masks.read(part).numpy().any(axis=(0, 1))
    return union if union.any() else middle(height, width)


def levels_of(table: FactorTable) -> Int[np.ndarray, "n c"]:
    """Return levels of the columns: codes of levels, halves of numbers. Columns of many levels are left out."""
    found: list[np.ndarray] = []
    for factor in table.factors:
        values = table.columns[factor.name]
        if factor.levels and len(factor.levels) <= MOST_LEVELS:
            found.append(values.astype(np.int64))
        elif not factor.levels and np.isfinite(values.astype(np.float64)).any():
            numbers = values.astype(np.float64)
            found.append((numbers > np.nanmedian(numbers)).astype(np.int64))
    return np.stack(found, axis=1) if found else np.zeros((len(table), 0), dtype=np.int64)
