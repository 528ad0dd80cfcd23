"""Reference networks of an audit: audits of networks that never saw a mark in training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from assay.audit.battery import DECIDING
from assay.audit.kind import AUDIT
from assay.audit.search.regions import FINDERS_OF_CARRIERS
from assay.audit.tables import DOSES, NOT_TESTED
from assay.audit.verdicts import WEAK_EFFECT, Reference, reference_of
from assay.core.errors import SpecError
from assay.core.files import is_file, is_folder
from assay.store.files import Row, read_json
from assay.store.folder import RunFolder, received_folder
from assay.store.manifest import is_ours

LEAST_NETWORKS = 59
"""Networks whose largest effect is a limit for 95% of other networks with 95% confidence: 1 - 0.95^59 > 0.95."""


ABOUT_FILE = "about.json"
"""File of a folder of audits with how its networks were trained."""
SHIPPED_FOLDER = Path(__file__).with_name("references")
"""Reference and error rates of each calibrated domain, as `benchmarks/audit_rates.py` writes them."""
IMAGE_SIDE = 64
"""Side in pixels of the images that the networks of shipped references, and those trained for an audit, read."""


def shipped_reference(domain: str, drawings: Mapping[str, str]) -> Reference | None:
    """Return the reference that is shipped for a domain, of the marks that are drawn as there; None without one.

    Only phantoms have one: of other images the error rates are shipped, of references that were trained on them.

    Args:
        domain: The domain, as the user states it.
        drawings: Mark -> the intervention at the deciding dose.
    """
    shipped = _read_shipped(domain)
    if shipped is None or not shipped["marks"]:
        return None
    largest = {
        mark: float(entry["largest"])
        for mark, entry in shipped["marks"].items()
        if drawings.get(mark) == entry["drawn"]
    }
    return Reference(domain, int(shipped["networks"]), float(shipped["excess"]), largest, IMAGE_SIDE)


def shipped_rates(domain: str) -> list[Row]:
    """Return rows of `tables.RATES` of a calibrated domain; none of others."""
    shipped = _read_shipped(domain)
    return [] if shipped is None else list(_rows_of(shipped["rates"]))


def shipped_search_rates(search: int, *, in_training: bool) -> list[Row]:
    """Return rows of `tables.RATES` of searches for a shortcut, as `benchmarks/audit_kinds.py` writes them.

    Args:
        search: The version of the search; without rates of it there are no rows.
        in_training: Whether training images were searched.
    """
    shipped = _read_shipped("kinds")
    if shipped is None or shipped["search"] != search:
        return []
    return list(_rows_of(shipped["trained" if in_training else "new"]))


def _rows_of(rates: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Yield rows with NaN for null."""
    return ({key: math.nan if value is None else value for key, value in row.items()} for row in rates)


def _read_shipped(name: str) -> dict[str, Any] | None:
    path = SHIPPED_FOLDER / f"{name}.json"
    return read_json(path) if name and is_file(path) else None


def read_reference(root: Path, domain: str, drawings: Mapping[str, str], audited: str = "") -> Reference:
    """Make a reference from a folder of audits.

    It has the marks that all audits have, drawn as in the audit that needs the reference.

    Args:
        root: A folder whose folders are audits of clean networks, all of one domain.
        domain: The domain of the audit that needs the reference.
        drawings: Mark -> the intervention at the deciding dose.
        audited: Hash of the audited model, which is no reference of its own.

    Raises:
        SpecError: There are too few networks, some are of another domain, or they share no mark.
    """
    if not is_folder(root):
        raise SpecError(f"references: there is no folder {root}")
    swings: dict[str, dict[str, float]] = {}
    sides: set[int] = set()
    for folder, facts in _finished_audits(root, audited):
        if facts.get("domain", "") != domain:
            name, other = folder.root.name, facts.get("domain") or "no domain"
            raise SpecError(f"references: {name} is an audit of {other}, and this one of {domain or 'no domain'}")
        verdicts = {str(row["factor"]): row["intervention"] for row in folder.table("verdicts")}
        drawn_alike = [
            row for row in folder.table("effects") if verdicts.get(row["factor"]) == drawings.get(row["factor"], "")
        ]
        swings[facts[_MODEL_HASH]] = _largest_swings(drawn_alike)
        sides.add(int(facts["size"].split()[0]))
    if len(swings) < LEAST_NETWORKS:
        raise SpecError(
            f"references: {root} has audits of {len(swings)} other networks; the limit needs {LEAST_NETWORKS} that "
            "never saw a mark in training"
        )
    first, *others = swings.values()
    shared = [key for key in first if all(key in swings_of_network for swings_of_network in others)]
    if not shared:
        raise SpecError(f"references: no mark is in all audits of {root}, drawn as here")
    largest = {key: [by_mark[key] for by_mark in swings.values()] for key in sorted(shared)}
    return reference_of(domain, largest, sides.pop() if len(sides) == 1 else 0)


@dataclass(frozen=True, slots=True)
class RegionLimits:
    """Limits of the effect of a region, from networks of one domain without a shortcut.

    Attributes:
        networks: Number of networks.
        largest: Name of a finder (`search.regions.FinderName`), or kind of whole-image change -> the largest effect, in
            standard deviations; of a kind its limit, see `limits_of_kinds`.
        class_distance: The largest distance of the classes, in the same unit.
        shares: Kind of whole-image change -> the largest effect as a multiple of the distance of the classes that is
            left without it, in clean networks that tell something else in these images; see `limits_of_kinds`.
        networks_of_kinds: Number of networks for whole-image changes and shapes; 0 where they are the same.
        rates: Error rates of verdicts by them, as columns of `tables.REGIONS`.
    """

    networks: int
    largest: Mapping[str, float]
    class_distance: float
    rates: Mapping[str, float] = field(default_factory=dict[str, float])
    shares: Mapping[str, float] = field(default_factory=dict[str, float])
    networks_of_kinds: int = 0

    def networks_of(self, search: str) -> int:
        """Return the number of networks that set the limit of a search."""
        return self.networks if search in ("place", "drawn") else self.networks_of_kinds or self.networks

    def largest_of(self, search: str, kind: str = "") -> float | None:
        """Return the largest effect of a kind of whole-image change where it is known, else of its search."""
        return self.largest.get(kind, self.largest.get(search))

    def limit_of_search(self, search: str, class_distance: float, effect: float, kind: str = "") -> float | None:
        """Return the limit of the effect of a search in a network; None without any.

        Effects grow with the distance of the classes. The limit is therefore larger in proportion in a network that
        separates the classes better than the networks that set it. The distance that the leading region itself makes
        does not count, since a shortcut would raise its own limit. What some images carry is measured on single images
        and has one limit. A network may rightly depend on whole images, as on the gray levels of a view of a
        radiograph. Such networks set a share of that distance, and the limit of a whole-image change is at least this.

        Args:
            search: The search.
            class_distance: Distance of the classes.
            effect: Effect of the region, in the same unit: how much of this distance an exchange of the region removes.
            kind: Kind of whole-image change.
        """
        limit, remaining = self.largest_of(search, kind), class_distance - max(0.0, effect)
        if limit is None or search in FINDERS_OF_CARRIERS:
            return limit
        return max(limit * max(1.0, remaining / self.class_distance), self.shares.get(kind, 0.0) * remaining)


def shipped_limits(domain: str, *, in_training: bool = False, masks: bool = False) -> RegionLimits | None:
    """Return the limits that are shipped for a domain, as `benchmarks/audit_bank.py` writes them; None without any.

    Args:
        domain: The domain.
        in_training: Whether the limits are those of searches in training images.
        masks: Whether the networks are segmentations, see `benchmarks/audit_segmentations.py`.
    """
    key = f"{'masks-' if masks else ''}{'trained' if in_training else 'new'}"
    limits_of_domain = (_read_shipped("leads") or {}).get(domain, {}).get(key)
    if limits_of_domain is None:
        return None
    rates = {
        f"{name}{end}": math.nan if value is None else float(value)
        for name in ("false_rate", "missed_rate")
        for end, value in zip(("", "_low", "_high"), limits_of_domain[name], strict=True)
    }
    largest = {**limits_of_domain["limits"], **limits_of_domain.get("kinds", {})}
    shares = limits_of_domain.get("shares", {})
    networks, networks_of_kinds = limits_of_domain["networks"], limits_of_domain.get("networks_of_kinds", 0)
    return RegionLimits(int(networks), largest, limits_of_domain["apart"], rates, shares, int(networks_of_kinds))


def read_limits(root: Path, audited: str, *, in_training: bool = False) -> RegionLimits | None:
    """Return the limits of a folder of audits, see `read_reference`; None where fewer than 59 searched for regions.

    Args:
        root: A folder of audits of clean networks.
        audited: Hash of the audited model, which is no reference of its own.
        in_training: Whether the limits are those of searches in training images, where effects are larger.
    """
    effects_of_search = {search: dict[str, float]() for search in ("place", "whole", *FINDERS_OF_CARRIERS)}
    class_distance = 1.0  # networks near chance set no scale
    for folder, facts in _finished_audits(root, audited):
        for row in folder.table("regions"):
            if row["verdict"] != NOT_TESTED and row["trained"] == in_training and row["round"] == 1:
                effects_of_search[row["of"]][facts[_MODEL_HASH]] = 0.0 if row["reason"] else float(row["value"])
                class_distance = max(class_distance, 1.0 if row["reason"] else float(row["apart"]))
    networks = min(
        (len(values) for values in effects_of_search.values() if values), default=0
    )  # masks are not searched whole
    if networks < LEAST_NETWORKS:
        return None
    return RegionLimits(
        networks,
        {
            search: limit_from_effects(search, list(largest_of_networks.values()))
            for search, largest_of_networks in effects_of_search.items()
            if largest_of_networks
        },
        class_distance,
    )


def limit_from_effects(search: str, effects: Sequence[float]) -> float:
    """Return the limit of a search: the largest effect in clean networks.

    Of what some images carry it is at least `WEAK_EFFECT`, since clean networks often have no such finding.
    """
    return max(*effects, WEAK_EFFECT if search in FINDERS_OF_CARRIERS else 0.0)


def limits_of_kinds(effects: Mapping[str, Sequence[float]], weak_effect: float = WEAK_EFFECT) -> dict[str, float]:
    """Return the limit of each kind of whole-image change from its effects in clean networks, the same for all kinds.

    It is the largest effect, at least `weak_effect`, times one excess for all kinds: the most by which any network is
    beyond all others in a kind. As with marks (`verdicts.Reference`), a further clean network is beyond the limit of
    any kind with a probability of at most 1 / (n + 1).
    """
    largest = {kind: np.sort(np.maximum(values, weak_effect))[::-1] for kind, values in effects.items()}
    excess = max(float(values[0] / values[1]) for values in largest.values())
    return {kind: excess * float(values[0]) for kind, values in largest.items()}


_MODEL_HASH = "hash of the model"


def _finished_audits(root: Path, audited: str) -> Iterator[tuple[RunFolder, Mapping[str, str]]]:
    """Yield the finished audits of a folder of other models than the audited one, with their provenance."""
    for path in sorted(root.iterdir()):
        folder = RunFolder(path)
        if not (folder.kind is AUDIT and folder.tables_are_current()):
            continue
        received_folder.set(received_folder.get() if is_ours(path) else path)
        facts = {str(row["key"]): str(row["value"]) for row in folder.table("provenance")}
        if facts.get(_MODEL_HASH, audited) != audited:
            yield folder, facts


def trained_on(root: Path | None) -> int:
    """Return how many images of the user the networks of a folder of audits were trained on; 0 where not known."""
    path = None if root is None else root / ABOUT_FILE
    return int(read_json(path)["trained on"]) if path is not None and is_file(path) else 0


def _largest_swings(effects: list[Row]) -> dict[str, float]:
    """Return |g| by mark at the deciding dose, the largest of the classes."""
    largest: dict[str, float] = {}
    for row in effects:
        if row["dose"] == DOSES[DECIDING] and not row["place"] and np.isfinite(row["g"]):
            largest[str(row["factor"])] = max(largest.get(str(row["factor"]), 0.0), abs(float(row["g"])))
    return largest
