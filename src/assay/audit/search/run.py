"""Search of an audited model for the region that its predictions depend on, and for properties that move scores."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import partial, reduce
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy.special import logit

from assay.audit.answers import reason_of_error, write_region
from assay.audit.model import PreparedAudit
from assay.audit.references import RegionLimits
from assay.audit.scored import LESION
from assay.audit.search import search
from assay.audit.search.finders import FINDERS, region_of
from assay.audit.search.regions import Box, Pixels, Region, Sought
from assay.audit.search.search import RegionFinding, SearchSample, carriers, find_region
from assay.audit.tables import NOT_TESTED
from assay.audit.verdicts import LEAST_PATIENTS, decide_region
from assay.core.errors import ReadingError
from assay.core.files import content_hash
from assay.core.reasons import Code, Reason
from assay.data.files.table import expand
from assay.execution.tasks import Context
from assay.look.image_cues import of_pictures, properties_of
from assay.models.external import AT_ONCE, starts_program
from assay.probes.reader import cells_of, evaluating, scores_of
from assay.shifts.environment import Environment
from assay.shifts.population import PopulationScene
from assay.spec.request import ProbeSpec
from assay.stats.bounds import BoundedEstimate
from assay.stats.metrics import ON_THRESHOLD, score_names
from assay.stats.rows import RegionVerdict
from assay.store.files import Row, read_checked_json
from assay.store.local import keep_paths

VERSION = 11
"""Version of the search: raised where equal images can give another result."""
_OCCUPIED = 0.15
"""Squared difference of the groups in a corner, as a share of the largest, from which on it holds something."""


@dataclass(frozen=True, eq=False)
class Search:
    """A search for the region that a model's predictions depend on.

    Attributes:
        prepared: The model.
        request: The images, as data.
        scene: The images.
        images: Those that are searched.
        classes: Classes of the images that the model is audited on.
        trained: Whether these are images of the training.
        of: The finder.
        seed: Seed of the search.
        threshold: On the probability of the second of two classes.
        limits: Limits of effects; None without any.
        after: Searches whose finding is taken off all images, so that another one is found and not its kin.
        number: Which round it is of: in the second and third, all that was found is taken off.
        clean: Scores of the images without exchanges, of whichever search reads them first.
        spread: See `Sample`: that of the tested images where training images are searched, since scores that were
            learned by heart vary less, and limits are of images that networks were not trained on.
    """

    prepared: PreparedAudit
    request: ProbeSpec
    scene: PopulationScene
    images: Environment
    classes: tuple[str, ...]
    trained: bool
    of: Sought
    seed: int
    threshold: float
    limits: RegionLimits | None = None
    after: tuple[Search, ...] = ()
    number: int = 1
    clean: list[Float[np.ndarray, "n ..."]] = field(default_factory=list[np.ndarray])
    spread: float = 0.0

    @property
    def id(self) -> str:
        """Name of the record."""
        table = self.images.table
        rows = [table.row.tolist(), table.target.tolist(), self.images.name, self.trained, self.spread]
        limits = None if self.limits is None else [self.limits.largest.get("place"), self.limits.class_distance]
        scales = {} if self.of != "whole" or self.limits is None else {"scales": dict(self.limits.largest)}
        after = {"after": [*(search.id for search in self.after), limits]} if self.after else {}
        return content_hash(
            {
                **after,
                **scales,
                "search": [self.of, VERSION],
                "model": self.prepared.model.content,
                "rows": rows,
                "data": self._content,
                "seed": self.seed,
                "threshold": self.threshold,
            }
        )

    @property
    def _content(self) -> str:
        """Hash of all images that were to be searched."""
        return content_hash(self.scene.identity("all"))

    def __call__(self, context: Context) -> None:
        """Search and keep the result, as a `Job`. Raises ReadingError where the model cannot be read."""
        model, table, labels = self.prepared.model, self.images.table, score_names(self.classes)
        pixels = self.images.images.read(np.arange(len(self.images))).numpy()

        def answer(images: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n ..."]:
            return scores_of(opened, images, len(self.classes))

        with model.open(self.prepared.device) as opened, evaluating(opened.network):
            at_once = AT_ONCE if starts_program(opened.network) else search.AT_ONCE
            if not self.clean:
                self.clean.append(answer(pixels))
            cells = _cells_of_lesion(self.images) if model.task == "segmentation" else 0
            sample = SearchSample(pixels, table.target, table.patient, self.clean[0], self.seed, self.spread, cells)
            removals = [search.hold_region() for search in self.after if search.named]
            scores = _scores_after_removal(removals, answer)
            if removals:
                sample = replace(sample, clean=scores(pixels))
            finder = FINDERS[self.of]
            if self.of == "whole" and self.limits is not None:
                finder = partial(find_region, of="whole", scales=self.limits.largest)
            threshold = float(logit(self.threshold * ON_THRESHOLD))
            candidate = finder(scores, sample, labels=labels, threshold=threshold, at_once=at_once)
        row: Row = {"of": self.of, "round": self.number, "trained": self.trained, "images": len(table),
                     "patients": len(np.unique(table.patient))}  # fmt: skip
        record: dict[str, Any] = {"model": model.id, "probe": "search", "readings": {}}
        if isinstance(candidate, Reason):
            row["reason"] = str(candidate)
        else:
            name, carry, bright = _carried_content(candidate, sample)
            row |= {**self._row(candidate, sample, carry), "name": name, "bright": bright}
            record |= {
                "region": list(astuple(cast("Any", candidate.region))),
                "carry": carry.tolist(),
                "worth": candidate.worth.tolist(),
                "searched": table.row.tolist(),
                "request": self._kept_request,
                "content": self._content,
            }
        self.prepared.place.folder.write_record("probes", self.id, {**record, "rows": [row]})

    @property
    def named(self) -> bool:
        """Whether it found a thing that some images carry."""
        row = self.region_row()
        return bool(row["verdict"] in (RegionVerdict.RELIES, RegionVerdict.UNVERIFIED) and row["discrete"])

    def hold_region(self, more: float = 0.0) -> Callable[[Pixels], Pixels]:
        """Return a function that takes a mark off images: they get what an image without it has there.

        Args:
            more: Share of the image that is added to a box on each side.
        """
        region, carry = self.region, np.array(self.record["carry"])
        if isinstance(region, Box):
            top, left, bottom, right = astuple(region)
            region = Box(max(0, top - more), max(0, left - more), min(1, bottom + more), min(1, right + more))
        content = self.images.images.read(np.argsort(carry, kind="stable")[:1]).numpy()
        return lambda images: region.remove(images, np.broadcast_to(content, images.shape))

    @property
    def record(self) -> dict[str, Any]:
        """The kept record; empty where the search failed."""
        return self.prepared.place.folder.record("probes", self.id) if self.done else {}

    @property
    def region(self) -> Region:
        """The region that is kept."""
        record = self.record
        return region_of(record["rows"][0]["kind"], record["region"])

    @property
    def _kept_request(self) -> dict[str, Any]:
        """The images as data, with a path that holds in any working directory and names no folder."""
        stored = self.request.model_dump(mode="json", context={"complete": True})
        data = stored["data"]
        data |= {key: str(expand(data[key], key).resolve()) for key in ("folder", "classes") if data[key]}
        return keep_paths(self.prepared.place.root, f"search-{self.id}", stored)

    def _row(self, finding: RegionFinding, sample: SearchSample, carry: Bool[np.ndarray, " n"]) -> Row:
        """Return columns of `tables.REGIONS`."""
        swing, flips = finding.swing.largest, finding.swing.flips
        codes = np.unique(sample.target).tolist()
        return {
            "kind": finding.region.kind,
            "name": finding.region.name,
            "search": self.id,
            "passes": finding.passes,
            **_bounded_values("value", finding.effect),
            "first": finding.values[0],
            "second": finding.values[1],
            "agree": finding.agree,
            "discrete": finding.discrete,
            "separation": finding.halves[finding.first].groups.separation,
            "least": finding.least,
            "apart": finding.distance,
            "raises": bool((carry == finding.high).all()),
            "class": score_names(self.classes)[finding.column] or self.classes[-1],
            "shares": {self.classes[code]: float(carry[sample.target == code].mean()) for code in codes},
            "moved": finding.moved,
            "shape": finding.shape,
            "tone": finding.tone,
            "effective": finding.swing.effective_patients,
            **_bounded_values("g", swing.g),
            **_bounded_values("flips", flips),
            "reason": "",
        }

    @property
    def done(self) -> bool:
        """Whether something is kept."""
        return self.prepared.place.folder.complete("probes", self.id)

    def region_row(self) -> Row:
        """Return a row of `tables.REGIONS`, with its verdict."""
        folder, limits = self.prepared.place.folder, self.limits
        if not self.done:
            reason = reason_of_error(ReadingError(read_checked_json(folder.failure_path(self.id))["text"]))
            return {**not_searched(reason, self.of, self.trained), "round": self.number}
        row = {key: _number_or_nan(value) for key, value in folder.record("probes", self.id)["rows"][0].items()}
        if row["reason"]:
            nothing = Code.NOTHING_DRAWN in row["reason"]
            return {**row, "verdict": str(RegionVerdict.NOTHING_FOUND) if nothing else NOT_TESTED}
        kind = f"{row['kind']} {row['name']}".strip()
        limit = None if limits is None else limits.of(self.of, row["apart"], row["value"], kind)
        effect = BoundedEstimate(row["value"], math.nan, row["value_low"], row["value_high"])
        halves, agree, discrete = (row["first"], row["second"]), bool(row["agree"]), bool(row["discrete"])
        # Clean networks too have things drawn alike that move an image; that is a finding, and clears nothing.
        clear = row["least"] if self.of in ("drawn", "shape") else None
        verdict = decide_region(
            effect,
            halves,
            halves_agree=agree,
            two_groups=discrete,
            effective_patients=row["effective"],
            limit=limit,
            weak_effect=row["least"],
            clear_below=clear,
        )
        limit_columns = (
            {}
            if limits is None or limit is None
            else {
                "limit": limit,
                "largest": limits.largest_of(self.of, kind),
                "networks": limits.networks_of(self.of),
                **limits.rates,
            }
        )
        return {**row, **limit_columns, "shares": json.dumps(row["shares"]), "verdict": str(verdict)}

    def carriers(self) -> Iterator[Row]:
        """Yield rows of `tables.CARRIERS`."""
        record, table = self.record, self.images.table
        for at, carries in enumerate(record.get("carry", ())):
            yield {
                "of": self.of,
                "round": self.number,
                "trained": self.trained,
                "row": int(table.row[at]),
                "class": table.classes[int(table.target[at])],
                "patient": int(table.patient[at]),
                "carries": carries,
                "worth": _number_or_nan(record["worth"][at]),
            }

    def write_pictures(self) -> None:
        """Write pictures of a fixed region: means of both groups, their difference, and six images."""
        record = self.record
        if self.of != "whole" and "region" in record:
            name = self.of if self.number == 1 else f"{self.of}-{self.number}"
            write_region(self.prepared.place.folder, self.images, self.region, np.array(record["carry"]), name)


def _scores_after_removal(removals: Sequence[Callable[[Pixels], Pixels]], scores: search.Scores) -> search.Scores:
    """Return the model of images as if they lacked what was found."""
    return lambda images: scores(reduce(lambda changed, take_off: take_off(changed), removals, images))


def by_lesion(images: Environment) -> Environment:
    """Return images of a segmentation, whose classes are whether there is a lesion.

    Where this would leave too few images in a class, they are whether the lesion is larger than the median one.
    """
    areas = (_lesion_masks(images) > 0).sum(axis=(1, 2))
    classes, larger = LESION, areas > 0
    if min(larger.sum(), (~larger).sum()) < LEAST_PATIENTS:
        classes, larger = ("smaller lesion", "larger lesion"), areas > np.median(areas)
    return replace(images, table=replace(images.table, target=larger.astype(np.int64), classes=classes))


def _cells_of_lesion(images: Environment) -> int:
    """Return how many cells of a map the median lesion has."""
    counts = (cells_of(torch.as_tensor(_lesion_masks(images) > 0, dtype=torch.float32)) > 0).sum(axis=(1, 2))
    return int(np.median(counts[counts > 0])) if counts.any() else 1


def _lesion_masks(images: Environment) -> UInt8[np.ndarray, "n h w"]:
    assert images.masks is not None
    return images.masks.read(np.arange(len(images)))[:, 0].numpy()


def _number_or_nan(value: Any) -> Any:
    return math.nan if value is None else value


def not_searched(reason: Reason, of: Sought = "place", trained: bool = False) -> Row:
    """Return a row of `tables.REGIONS` for a search that was not done."""
    return {
        "of": of,
        "round": 1,
        "trained": trained,
        "verdict": NOT_TESTED,
        "reason": str(reason),
        "images": 0,
        "patients": 0,
    }


def _carried_content(finding: RegionFinding, sample: SearchSample) -> tuple[str, Bool[np.ndarray, " n"], bool]:
    """Return the name of a region, of corners with those that hold something, and `carriers` with its brightness.

    Where images of the other group carry something too, in another corner, this is of the corner with most.
    """
    name, where, high = finding.region.name, finding.region.pixel_mask(*sample.images.shape[2:]), finding.high
    if where is None:
        return name, high if finding.high_carries is not False else ~high, False
    if finding.region.kind != "corners":
        return name, *carriers(sample, where, high, finding.shape, finding.high_carries)
    gap = sample.images[high].mean(axis=0) - sample.images[~high].mean(axis=0)
    down, across = np.indices(where.shape)
    lower, right = 2 * down >= where.shape[0], 2 * across >= where.shape[1]
    parts = {
        f"{row} {side}": where & (lower == (row == "lower")) & (right == (side == "right"))
        for row in ("upper", "lower")
        for side in ("left", "right")
    }
    sizes = {corner: float((gap[:, part] ** 2).sum()) for corner, part in parts.items()}
    occupied = sorted(
        (corner for corner in sizes if sizes[corner] >= _OCCUPIED * max(sizes.values())),
        key=lambda corner: -sizes[corner],
    )
    (first, bright), *others = (
        carriers(sample, parts[corner], high, finding.shape, finding.high_carries) for corner in occupied
    )
    against = [
        corner for corner, (other, _) in zip(occupied[1:], others, strict=True) if not np.array_equal(first, other)
    ]
    if against:
        return f"{name} {occupied[0]} against {against[0]}", first, bright
    corners_text = "" if len(occupied) == len(parts) else f" {' or '.join(occupied)}"
    return name + corners_text, *carriers(sample, where, high, finding.shape, finding.high_carries)


def _bounded_values(name: str, bounded_value: BoundedEstimate | None) -> Row:
    if bounded_value is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), math.nan)
    return {name: bounded_value.value, f"{name}_low": bounded_value.low, f"{name}_high": bounded_value.high}


def image_properties(environment: Environment) -> dict[str, Float[np.ndarray, " n"]]:
    """Return cheap properties of images, without padding; those that do not vary are left out."""
    properties = of_pictures(environment.images, environment.boxes, np.arange(len(environment)), properties_of)
    return {name: values for name, values in properties.items() if np.ptp(values) > 0}
