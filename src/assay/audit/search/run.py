"""Search of an audited model for the region that its predictions depend on, and for properties that move scores."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property, partial, reduce
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
from assay.audit.search.patches import carrying_group
from assay.audit.search.regions import Box, FinderName, Pixels, Region
from assay.audit.search.sample import SearchSample
from assay.audit.search.search import RegionFinding, find_region
from assay.audit.tables import NOT_TESTED
from assay.audit.verdicts import LEAST_PATIENTS, decide_region
from assay.core.errors import ReadingError
from assay.core.files import content_hash
from assay.core.reasons import Code, Reason
from assay.data.files.table import expand
from assay.execution.tasks import Context
from assay.look.image_cues import measure_pictures, properties_of
from assay.models.external import AT_ONCE, starts_program
from assay.probes.reader import cells_of, eval_mode, scores_of
from assay.shifts.environment import Environment
from assay.shifts.population import PopulationScene
from assay.spec.request import ProbeSpec
from assay.stats.bounds import BoundedEstimate
from assay.stats.metrics import ON_THRESHOLD, score_names
from assay.stats.rows import RegionVerdict
from assay.store.files import Row, read_checked_json
from assay.store.local import keep_paths

VERSION = 11
"""Version of the search: raised where the same images can give another result."""
_OCCUPIED = 0.15
"""Squared difference of the groups in a corner, as a share of the largest, from which on the corner is named."""


@dataclass(frozen=True, eq=False)
class Search:
    """A search for the region that a model's predictions depend on.

    Attributes:
        prepared: The model.
        request: The images, as data.
        scene: The images.
        images: Those that are searched.
        classes: Classes of the images that the model is audited on.
        in_training: Whether the searched images are training images.
        finder: Name of the finder.
        seed: Seed of the search.
        threshold: On the probability of the second of two classes.
        limits: Limits of effects; None without any.
        earlier_searches: Searches whose findings are removed from all images, so that something else is found.
        round: Number of the round, from 1: in later rounds all that was found before is removed.
        clean_scores: Outputs for the images without exchanges, shared by all searches; empty until one has read them.
        sd_within_classes: See `SearchSample`; 0 for that of the searched images. Where these are training images, it is
            that of the tested images, since memorized scores vary less. Limits are also of new images.
    """

    prepared: PreparedAudit
    request: ProbeSpec
    scene: PopulationScene
    images: Environment
    classes: tuple[str, ...]
    in_training: bool
    finder: FinderName
    seed: int
    threshold: float
    limits: RegionLimits | None = None
    earlier_searches: tuple[Search, ...] = ()
    round: int = 1
    clean_scores: list[Float[np.ndarray, "n ..."]] = field(default_factory=list[np.ndarray])
    sd_within_classes: float = 0.0

    @cached_property
    def id(self) -> str:
        """Name of the record."""
        table = self.images.table
        rows = [table.row.tolist(), table.target.tolist(), self.images.name, self.in_training, self.sd_within_classes]
        limits = None if self.limits is None else [self.limits.largest.get("place"), self.limits.class_distance]
        scales = {} if self.finder != "whole" or self.limits is None else {"scales": dict(self.limits.largest)}
        after = {"after": [*(search.id for search in self.earlier_searches), limits]} if self.earlier_searches else {}
        return content_hash(
            {
                **after,
                **scales,
                "search": [self.finder, VERSION],
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

        def outputs_of(images: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n ..."]:
            return scores_of(opened, images, len(self.classes))

        with model.open(self.prepared.device) as opened, eval_mode(opened.network):
            batch_size = AT_ONCE if starts_program(opened.network) else search.BATCH_SIZE
            if not self.clean_scores:
                self.clean_scores.append(outputs_of(pixels))
            lesion_cells = _median_lesion_cells(self.images) if model.task == "segmentation" else 0
            sample = SearchSample(
                pixels,
                table.target,
                table.patient,
                self.clean_scores[0],
                self.seed,
                self.sd_within_classes,
                lesion_cells,
            )
            removals = [search.neutralizer() for search in self.earlier_searches if search.found_carriers]
            scores = _neutralize_before_scoring(removals, outputs_of)
            if removals:
                sample = replace(sample, clean_scores=scores(pixels))
            finder = FINDERS[self.finder]
            if self.finder == "whole" and self.limits is not None:
                finder = partial(find_region, track="whole", scales=self.limits.largest)
            threshold = float(logit(self.threshold * ON_THRESHOLD))
            candidate = finder(scores, sample, labels=labels, threshold=threshold, batch_size=batch_size)
        row: Row = {"of": self.finder, "round": self.round, "trained": self.in_training, "images": len(table),
                     "patients": len(np.unique(table.patient))}  # fmt: skip
        record: dict[str, Any] = {"model": model.id, "probe": "search", "readings": {}}
        if isinstance(candidate, Reason):
            row["reason"] = str(candidate)
        else:
            name, carry, bright = _carried_content(candidate, sample)
            row |= {**self._result_cells(candidate, sample, carry), "name": name, "bright": bright}
            record |= {
                "region": list(astuple(cast("Any", candidate.region))),
                "carry": carry.tolist(),
                "worth": candidate.worth.tolist(),
                "searched": table.row.tolist(),
                "request": self._request_with_paths,
                "content": self._content,
            }
        self.prepared.workspace.folder.write_record("probes", self.id, {**record, "rows": [row]})

    @property
    def found_carriers(self) -> bool:
        """Whether it found something that some images carry and others do not."""
        row = self.region_row()
        return bool(row["verdict"] in (RegionVerdict.RELIES, RegionVerdict.UNVERIFIED) and row["discrete"])

    def neutralizer(self, enlarge_by: float = 0.0) -> Callable[[Pixels], Pixels]:
        """Return a function that neutralizes the region: all images get the content of an image that is no carrier.

        Args:
            enlarge_by: Share of the image that is added to a box on each side.
        """
        region, carry = self.region, np.array(self.record["carry"])
        if isinstance(region, Box):
            top, left, bottom, right = astuple(region)
            region = Box(
                max(0, top - enlarge_by),
                max(0, left - enlarge_by),
                min(1, bottom + enlarge_by),
                min(1, right + enlarge_by),
            )
        content = self.images.images.read(np.argsort(carry, kind="stable")[:1]).numpy()
        return lambda images: region.remove(images, np.broadcast_to(content, images.shape))

    @property
    def record(self) -> dict[str, Any]:
        """The stored record; empty where the search failed or was not done."""
        return self.prepared.workspace.folder.record("probes", self.id) if self.is_done else {}

    @property
    def region(self) -> Region:
        """The region of the stored record."""
        record = self.record
        return region_of(record["rows"][0]["kind"], record["region"])

    @property
    def _request_with_paths(self) -> dict[str, Any]:
        """The images as data, with a path that holds in any working directory and names no folder."""
        stored = self.request.model_dump(mode="json", context={"complete": True})
        data = stored["data"]
        data |= {key: str(expand(data[key], key).resolve()) for key in ("folder", "classes") if data[key]}
        return keep_paths(self.prepared.workspace.root, f"search-{self.id}", stored)

    def _result_cells(self, finding: RegionFinding, sample: SearchSample, carry: Bool[np.ndarray, " n"]) -> Row:
        """Return columns of `tables.REGIONS`."""
        swing, flips = finding.patch_effect.largest, finding.patch_effect.flips
        codes = np.unique(sample.target).tolist()
        return {
            "kind": finding.region.kind,
            "name": finding.region.name,
            "search": self.id,
            "passes": finding.passes,
            **_bounded_values("value", finding.effect),
            "first": finding.half_effects[0],
            "second": finding.half_effects[1],
            "agree": finding.halves_agree,
            "discrete": finding.has_two_groups,
            "separation": finding.halves[finding.named_half].groups.separation,
            "least": finding.weak_effect,
            "apart": finding.class_distance,
            "raises": bool((carry == finding.high).all()),
            "class": score_names(self.classes)[finding.score_column] or self.classes[-1],
            "shares": {self.classes[code]: float(carry[sample.target == code].mean()) for code in codes},
            "moved": finding.score_change,
            "shape": finding.shape,
            "tone": finding.tone,
            "effective": finding.patch_effect.effective_patients,
            **_bounded_values("g", swing.g),
            **_bounded_values("flips", flips),
            "reason": "",
        }

    @property
    def is_done(self) -> bool:
        """Whether there is a record."""
        return self.prepared.workspace.folder.complete("probes", self.id)

    def region_row(self) -> Row:
        """Return a row of `tables.REGIONS`, with its verdict."""
        folder, limits = self.prepared.workspace.folder, self.limits
        if not self.is_done:
            reason = reason_of_error(ReadingError(read_checked_json(folder.failure_path(self.id))["text"]))
            return {**not_searched(reason, self.finder, self.in_training), "round": self.round}
        row = {key: _number_or_nan(value) for key, value in folder.record("probes", self.id)["rows"][0].items()}
        if row["reason"]:
            nothing = Code.NOTHING_DRAWN in row["reason"]
            return {**row, "verdict": str(RegionVerdict.NOTHING_FOUND) if nothing else NOT_TESTED}
        kind = f"{row['kind']} {row['name']}".strip()
        limit = None if limits is None else limits.limit_of_search(self.finder, row["apart"], row["value"], kind)
        effect = BoundedEstimate(row["value"], math.nan, row["value_low"], row["value_high"])
        halves, agree, discrete = (row["first"], row["second"]), bool(row["agree"]), bool(row["discrete"])
        # Clean networks too depend on marks that are drawn alike: an effect below their limit is not "nothing found".
        clear = row["least"] if self.finder in ("drawn", "shape") else None
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
                "largest": limits.largest_of(self.finder, kind),
                "networks": limits.networks_of(self.finder),
                **limits.rates,
            }
        )
        return {**row, **limit_columns, "shares": json.dumps(row["shares"]), "verdict": str(verdict)}

    def carrier_rows(self) -> Iterator[Row]:
        """Yield rows of `tables.CARRIERS`."""
        record, table = self.record, self.images.table
        for position, carries in enumerate(record.get("carry", ())):
            yield {
                "of": self.finder,
                "round": self.round,
                "trained": self.in_training,
                "row": int(table.row[position]),
                "class": table.classes[int(table.target[position])],
                "patient": int(table.patient[position]),
                "carries": carries,
                "worth": _number_or_nan(record["worth"][position]),
            }

    def write_pictures(self) -> None:
        """Write pictures of a fixed region: means of both groups, their difference, and six images."""
        record = self.record
        if self.finder != "whole" and "region" in record:
            name = self.finder if self.round == 1 else f"{self.finder}-{self.round}"
            write_region(self.prepared.workspace.folder, self.images, self.region, np.array(record["carry"]), name)


def _neutralize_before_scoring(removals: Sequence[Callable[[Pixels], Pixels]], scores: search.Scores) -> search.Scores:
    """Return the model that scores images after earlier findings were removed from them."""
    return lambda images: scores(reduce(lambda neutralized, neutralize: neutralize(neutralized), removals, images))


def with_lesion_classes(images: Environment) -> Environment:
    """Return images of a segmentation, whose classes are whether there is a lesion.

    Where this would leave too few images in a class, they are whether the lesion is larger than the median one.
    """
    areas = (_lesion_masks(images) > 0).sum(axis=(1, 2))
    classes, larger = LESION, areas > 0
    if min(larger.sum(), (~larger).sum()) < LEAST_PATIENTS:
        classes, larger = ("smaller lesion", "larger lesion"), areas > np.median(areas)
    return replace(images, table=replace(images.table, target=larger.astype(np.int64), classes=classes))


def _median_lesion_cells(images: Environment) -> int:
    """Return the number of cells of an output map in the median lesion, of images with one."""
    counts = (cells_of(torch.as_tensor(_lesion_masks(images) > 0, dtype=torch.float32)) > 0).sum(axis=(1, 2))
    return int(np.median(counts[counts > 0])) if counts.any() else 1


def _lesion_masks(images: Environment) -> UInt8[np.ndarray, "n h w"]:
    assert images.masks is not None
    return images.masks.read(np.arange(len(images)))[:, 0].numpy()


def _number_or_nan(value: Any) -> Any:
    return math.nan if value is None else value


def not_searched(reason: Reason, of: FinderName = "place", trained: bool = False) -> Row:
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
    """Return the name of a region, which images carry its content, and whether this is brighter than the others'.

    Of corners the name has those in which the groups differ. Where the other group carries something too, in another
    corner, the carriers are of the corner with the larger difference.
    """
    name, where, high = finding.region.name, finding.region.pixel_mask(*sample.images.shape[2:]), finding.high
    if where is None:
        return name, high if finding.high_carries is not False else ~high, False
    if finding.region.kind != "corners":
        return name, *carrying_group(sample, where, high, finding.shape, finding.high_carries)
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
        carrying_group(sample, parts[corner], high, finding.shape, finding.high_carries) for corner in occupied
    )
    against = [
        corner for corner, (other, _) in zip(occupied[1:], others, strict=True) if not np.array_equal(first, other)
    ]
    if against:
        return f"{name} {occupied[0]} against {against[0]}", first, bright
    corners_text = "" if len(occupied) == len(parts) else f" {' or '.join(occupied)}"
    return name + corners_text, *carrying_group(sample, where, high, finding.shape, finding.high_carries)


def _bounded_values(name: str, bounded_value: BoundedEstimate | None) -> Row:
    if bounded_value is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), math.nan)
    return {name: bounded_value.value, f"{name}_low": bounded_value.low, f"{name}_high": bounded_value.high}


def image_properties(environment: Environment) -> dict[str, Float[np.ndarray, " n"]]:
    """Return cheap properties of images, without padding; those that do not vary are left out."""
    properties = measure_pictures(environment.images, environment.boxes, np.arange(len(environment)), properties_of)
    return {name: values for name, values in properties.items() if np.ptp(values) > 0}
