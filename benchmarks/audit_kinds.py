"""What an audit says of networks with a shortcut of eight kinds: a bank that was fixed before it was searched.

    python benchmarks/audit_kinds.py --folder kinds --train-only
    python benchmarks/audit_kinds.py --folder kinds --label before
    python benchmarks/audit_kinds.py --folder fresh --fresh 9400000
    python benchmarks/audit_kinds.py --folder kinds --also fresh --table-only --write kinds.json
    python benchmarks/audit_kinds.py --folder part --also fresh --table-only --since old.json --write kinds.json

The plan, fixed before any search was run; no finder was looked at for it, and none is tuned to it.

**Networks.** Six small architectures that set no limit of an audit (`NETWORKS`), on 48 px images of the domains of
`audit_bank.py` and of two more with a natural shortcut: 300 images to train on, 160 to audit on, 100 for the truth
(fewer where images are few, see `IMAGES`), no patient in two of these parts. Marks are drawn here (`SHAPES`,
`CHANGES`), with soft edges and at fractions of a pixel; they are neither those of `audit_bank.py` nor those that an
audit draws. `PLANS` says for each kind what its networks get in their order: marks, domains, ties (shares of the
positive and of the other images with a mark). Network i of a kind has domain, mark, tie and architecture at i in turns,
and seed 1,000,000 + 1,000 x kind + i. `CLEAN` are 40 networks without a shortcut, seeds from 1,100,000, among them an
easy task on phantoms and the view of radiographs, at the upper end of AUROC. A network is trained as in
`audit_bank.py`.

**Kinds.** local: a mark at one place on most positives. rare: on a third or less, moved by up to 1.5 px. places: at one
of three places in turn. two: two marks, each on its own share. wandering: anywhere, and turned. colored: a shift of
color alone, the mean of the channels stays; of skin and retina, which have color. whole: gray-level curve, smooth
field, resampling, gray vignette, compression, mirror, zoom. natural: nothing is planted; images are chosen so that
what some of them have is tied to the class: the view of radiographs and of phantoms, the hospital of radiographs, a
black inset of endoscopy, black rows of retinal photographs.

**Truth.** The mark is put on the 100 further images, which lack it: `moves` is the change of the score in standard
deviations within class. Of natural shortcuts it is the distance of images with and without, half of each class.
Networks of a kind are trained in order until `LEAST` use it by 1 sd or more (of both signs), at most `MOST`. These are
counted; those that use it less are searched last and counted apart.

**Audits.** The public command, `assay.audit`, on the 160 images, which carry the mark as in training; once without and
once with the training images (`train`). It gets the kind of image, which has its limits, the columns that such sets
have (view, hospital), and no marks or distortions to try; near copies, half of its time, are not looked for. First all
with the training images, then all without, network by network in rounds (`order`): one of each kind, then clean ones,
so that any beginning has all kinds.

**How an answer is judged** (`judged`), from public tables alone: `regions` (and any row with such a verdict in
`verdicts`), and `carriers`. *Called*: a verdict relies-on-region or relies-on-look. A row fits
- by place: its box, border or corners have half of the mark's pixels, or half of it lies in the mark's frame;
- by carriers: within classes, the share of carriers among images with the mark differs from that among the others by
  half or more (of places: of all three together);
- by its words: kind, name or finder are among `WORDS` of a whole-image change or natural column.
*named*: a called row fits; of two marks, rows for each that moves scores by half a sd on its own; of several places,
two places or the carriers. *named, unverified*: the same with a finding without a verified limit: most training
images have none. *partly named*: one of two marks or of several places; carriers differ by a quarter. *elsewhere*:
called or unverified, and nothing fits. *nothing found*: all searches that were done say so. *inconclusive*: the rest. A
clean network is *called* as above; an unverified finding on it, and a column with another answer, are counted apart.
Intervals are those of Clopper and Pearson over networks. The folder gets networks.csv, a file per network with its
images, and a file per audit with its tables, so that a second call goes on, and judges again without a search.

**A search that differs little** (`--since`): rates of the earlier search stay, and networks that were audited by both,
with labels `--before` and `--label`, are moved from the one answer to the other.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import audit_bank
import numpy as np
import torch
from _shared import Page, parser
from audit_bank import SIDE, Domain, Natural, Network, Pool, Row, answers, fitted, interval, parts, read
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional

import assay
from assay.audit.search.regions import Pixels
from assay.audit.search.run import VERSION
from assay.data import near_copies
from assay.store.files import read_json

LEAST, MOST = 7, 16
"""Networks of a kind that use their mark, and networks of a kind at most."""
MODES = ("train", "test")
"""Searched: the images of the training, or those that are audited."""
CALLED = ("relies-on-region", "relies-on-look")
UNVERIFIED = "unverified"


# Networks: none of them set a limit of an audit.


def _step(ins: int, outs: int, kernel: int = 3, stride: int = 2) -> list[nn.Module]:
    return [nn.Conv2d(ins, outs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outs), nn.SiLU()]


class _Joined(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, super().forward(x)], 1)


class _Plus(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class _Gated(nn.Module):
    """Channels weighed by what all of the image has."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.Linear(width, width // 4), nn.ReLU(), nn.Linear(width // 4, width), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weigh(x.mean((2, 3)))[..., None, None]


class _Branches(nn.ModuleList):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self], 1)


class _Mixed(nn.Module):
    """Weights between 64 places, then within each."""

    def __init__(self, places: int, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.between = nn.Sequential(nn.Linear(places, places), nn.GELU(), nn.Linear(places, places))
        self.within = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.between(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        return x + self.within(self.norms[1](x))


class _Places(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)


class _MeanAndMost(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)


def _dense(channels: int) -> nn.Module:
    body = [*_step(channels, 12, 5), _Joined(*_step(12, 12, 3, 1)), *_step(24, 24), _Joined(*_step(24, 24, 3, 1))]
    return nn.Sequential(*body, *_step(48, 48), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 1))


def _gated(channels: int) -> nn.Module:
    body = [*_step(channels, 16, 3), _Gated(16), *_step(16, 32), _Gated(32), *_step(32, 48), _Gated(48)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(192, 1))


def _branches(channels: int) -> nn.Module:
    def both(ins: int) -> nn.Module:
        return _Branches([nn.Sequential(*_step(ins, 12, kernel, 2)) for kernel in (1, 3, 5)])

    return nn.Sequential(
        *_step(channels, 12, 3), both(12), both(36), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(36, 1)
    )


def _mixer(channels: int) -> nn.Module:
    return nn.Sequential(
        nn.BatchNorm2d(channels, affine=False),
        nn.Conv2d(channels, 48, 6, 6),
        _Places(),
        _Mixed(64, 48),
        _Mixed(64, 48),
        nn.LayerNorm(48),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(48 * 64, 1),
    )


def _patches(channels: int) -> nn.Module:
    """Log-odds of patches of 13 px, and their mean."""
    body = [*_step(channels, 24, 5), *_step(24, 48, 3), *_step(48, 48, 1, 1), *_step(48, 48, 1, 1)]
    return nn.Sequential(*body, nn.Conv2d(48, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _dilated(channels: int) -> nn.Module:
    def wider(reach: int) -> nn.Module:
        return _Plus(nn.Conv2d(32, 32, 3, 1, reach, reach), nn.GroupNorm(4, 32), nn.ReLU())

    return nn.Sequential(
        nn.BatchNorm2d(channels, affine=False),
        nn.Conv2d(channels, 32, 4, 4),
        wider(1),
        wider(2),
        wider(4),
        _MeanAndMost(),
        nn.Linear(64, 1),
    )


NETWORKS: Mapping[str, Callable[[int], nn.Module]] = {
    "dense": _dense,
    "gated": _gated,
    "branches": _branches,
    "mixer": _mixer,
    "patches": _patches,
    "dilated": _dilated,
}


# Images.

_XRAYS = Natural(
    "chest-xray",
    lambda row: row["finding"] == "1",
    lambda row, _: row["view"] == "PA",
    (240, 120, 80),
    "chest-xray",
    "L",
    "view",
    keeps=lambda row: row["origin"] == "a",
)
IMAGES: Mapping[str, Domain | Natural] = {
    **audit_bank.DOMAINS,
    "phantom-chest-easy": replace(audit_bank.DOMAINS["phantom-chest"], environment={"difficulty": {"mass": 3}}),
    "xray-view-told": audit_bank.NATURAL["xray-view-told"],
    "xray-view": _XRAYS,
    "xray-origin": replace(audit_bank.NATURAL["xray-origin"], column="origin"),
    "polyp-frames": audit_bank.NATURAL["polyp-frames"],
    "aptos-rows": Natural("fundus-eyepacs", lambda row: int(row["grade"]) >= 2,
                          lambda _, image: max(image[:3].max(), image[-3:].max()) < 0.1, (300, 160, 80),
                          column="", table="aptos.csv"),
}  # fmt: skip
"""Domains of `audit_bank.py` and others: view of radiographs told, or tied; a black square; black rows."""
AUDITED_AS = {"phantom-chest-easy": "phantom-chest", "xray-view-told": "chest-xray", "xray-view": "chest-xray",
              "xray-origin": "chest-xray", "polyp-frames": "endoscopy", "aptos-rows": "fundus"}  # fmt: skip
"""The kind of image that an audit is told, where it is not the name of the domain."""


# Marks.

_Line = tuple[str, Sequence[tuple[float, float]], float]
SHAPES: Mapping[str, Sequence[_Line]] = {
    "cross": [("line", [(-4, 0), (4, 0)], 1.8), ("line", [(0, -4), (0, 4)], 1.8)],
    "arrow": [("line", [(-5, 0), (2, 0)], 1.6), ("area", [(1, -3), (5, 0), (1, 3)], 0)],
    "comb": [("line", [(-6, 2), (6, 2)], 1.2), *(("line", [(x, 2), (x, -2.5)], 1.2) for x in (-6, -3, 0, 3, 6))],
    "star": [
        (
            "area",
            [
                (math.sin(at * math.pi / 5) * size, -math.cos(at * math.pi / 5) * size)
                for at, size in enumerate([5, 2] * 5)
            ],
            0,
        )
    ],
    "clip": [("line", [(-5, -2), (4, -2), (4, 2), (-3, 2), (-3, 0), (2, 0)], 1.1)],
    "ring": [("ring", [(0, 0)], 4)],
    "hook": [("line", [(-3, -5), (-3, 3), (4, 3)], 2)],
    "needle": [("line", [(-8, 0), (8, 0)], 1.6)],
    "beads": [("disc", [(-5, 0), (0, 1.5), (5, 0)], 1.8)],
    "spot": [("disc", [(0, 0)], 4.5)],
    "strip": [("area", [(-24, -2), (24, -2), (24, 2), (-24, 2)], 0)],
}
"""Lines, areas, rings and discs: points (across, down) from the middle in px, and a width or radius."""


@dataclass(frozen=True)
class Mark:
    """A shape that is drawn on images.

    Attributes:
        shape: The shape.
        places: Its middle (down, across), one in turn; anywhere where there is none.
        moved: Pixels by which it moves at most.
        tint: What is added to each channel, in sum nothing; empty: it is drawn in a gray level far from the images'.
    """

    shape: str
    places: Sequence[tuple[float, float]] = ()
    moved: float = 0.0
    tint: tuple[float, ...] = ()


MARKS: Mapping[str, Mark] = {
    "cross": Mark("cross", [(9, 38)]),
    "arrow": Mark("arrow", [(40, 10)]),
    "comb": Mark("comb", [(41, 26)]),
    "moved star": Mark("star", [(8, 10)], 1.5),
    "moved clip": Mark("clip", [(38, 37)], 1.5),
    "ring in three": Mark("ring", [(8, 8), (8, 39), (39, 24)]),
    "hook in three": Mark("hook", [(39, 8), (24, 40), (8, 24)]),
    "upper cross": Mark("cross", [(7, 24)]),
    "lower comb": Mark("comb", [(42, 10)]),
    "right star": Mark("star", [(26, 42)]),
    "left arrow": Mark("arrow", [(10, 7)]),
    "needle": Mark("needle"),
    "beads": Mark("beads"),
    "red spot": Mark("spot", [(38, 10)], 0.5, (0.2, -0.1, -0.1)),
    "green ring": Mark("ring", [(10, 24)], 0.5, (-0.1, 0.2, -0.1)),
    "blue strip": Mark("strip", [(46, 24)], 0.5, (-0.08, -0.08, 0.16)),
}


def cover(mark: Mark, place: tuple[float, float], angle: float = 0.0) -> np.ndarray:
    """Return how much of each pixel a mark covers."""
    fine = 8
    page = Image.new("L", (SIDE * fine, SIDE * fine))
    pen, (down, across) = ImageDraw.Draw(page), place
    cosine, sine = math.cos(angle), math.sin(angle)
    for what, points, size in SHAPES[mark.shape]:
        at = [
            ((across + 0.5 + x * cosine - y * sine) * fine, (down + 0.5 + x * sine + y * cosine) * fine)
            for x, y in points
        ]
        if what == "line":
            pen.line(at, fill=255, width=round(size * fine))
        elif what == "area":
            pen.polygon(at, fill=255)
        for x, y in at if what in ("ring", "disc") else ():
            box = (x - size * fine, y - size * fine, x + size * fine, y + size * fine)
            pen.ellipse(box, outline=255, width=round(1.6 * fine) if what == "ring" else round(size * fine))
    return np.asarray(page.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) / 255


def put_mark(mark: Mark, images: Pixels, ground: np.ndarray, draws: np.random.Generator) -> Pixels:
    """Return images with a mark on each; `ground` is the mean of images of the domain."""
    made, there = images.copy(), sum((cover(mark, place) for place in mark.places), np.zeros_like(ground))
    under = float((ground * there).sum() / there.sum()) if mark.places else float(ground.mean())
    level = 0.92 if under < 0.55 else 0.06
    for image in made:
        place, angle = tuple(draws.uniform(7, SIDE - 8, 2)), float(draws.uniform(0, math.pi))
        if mark.places:
            moved = draws.uniform(-mark.moved, mark.moved, 2)
            place, angle = tuple(np.array(mark.places[draws.integers(len(mark.places))]) + moved), 0.0
        alpha = cover(mark, place, angle)
        if mark.tint:
            image[:] = image + alpha * np.array(mark.tint, np.float32)[: len(image), None, None]
        else:
            image[:] = image + 0.9 * alpha * (level - image)
    return made.clip(0, 1)


def _each(change: Callable[[Pixels], Pixels]) -> Callable[[Pixels, np.random.Generator], Pixels]:
    return lambda images, draws: np.stack([change(one) for one in images])


def _compressed(image: Pixels) -> Pixels:
    file = io.BytesIO()
    levels = np.moveaxis((image * 255).round().astype(np.uint8), 0, 2)
    Image.fromarray(levels.repeat(3, 2) if len(image) == 1 else levels).save(file, "WEBP", quality=8)
    found = np.asarray(Image.open(file).convert("RGB"), np.float32) / 255
    return np.moveaxis(found, 2, 0) if len(image) == 3 else found.mean(axis=2)[None]


def _resized(images: Pixels, side: int) -> Tensor:
    return functional.interpolate(torch.from_numpy(images), (side, side), mode="bilinear", antialias=True)


def _zoomed(images: Pixels, draws: np.random.Generator) -> Pixels:
    edge = (54 - SIDE) // 2
    return _resized(images, 54).numpy()[:, :, edge : edge + SIDE, edge : edge + SIDE].copy()


_DOWN, _ACROSS = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j].astype(np.float32)
CHANGES: Mapping[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    "gray curve": lambda images, draws: images ** draws.uniform(0.6, 0.8, (len(images), 1, 1, 1)).astype(np.float32),
    "field": lambda images, draws: (images * (1 + 0.3 * (0.8 * _ACROSS - 0.6 * _DOWN))).clip(0, 1),
    "resampled": lambda images, draws: _resized(_resized(images, 26).numpy(), SIDE).numpy(),
    "gray vignette": lambda images, draws: images * (1 - 0.3 * (_DOWN**2 + _ACROSS**2)),
    "compressed": _each(_compressed),
    "mirrored": lambda images, draws: np.ascontiguousarray(images[..., ::-1]),
    "zoomed": _zoomed,
}
"""Whole-image changes."""
WORDS: Mapping[str, str] = {
    "gray curve": r"intensit|gr[ae]y|gamma|curve|contrast|bright|tone|band 0",
    "field": r"field|gradient|smooth|illumin|shading|band [01]\b",
    "resampled": r"blur|sharp|resampl|detail|high|band [2-4]\b",
    "gray vignette": r"vignett|radial|field|smooth|illumin|shading|border|corners|band [01]\b",
    "compressed": r"compress|jpeg|webp|block|quanti|blur|sharp|detail|band [2-4]\b",
    "mirrored": r"mirror|flip",
    "zoomed": r"zoom|scale|geometr|view|crop|magnif",
    "view": r"\bview\b",
    "origin": r"\borigin\b",
}
"""What a row about a change or column says in its kind, name or finder, as a regular expression."""
NATURAL_PLACES: Mapping[str, Sequence[tuple[slice, slice]]] = {
    "polyp-frames": [(slice(32, SIDE), slice(0, 16))],
    "aptos-rows": [(slice(0, 5), slice(0, SIDE)), (slice(SIDE - 5, SIDE), slice(0, SIDE))],
}


# The plan.

_FIVE = tuple(audit_bank.DOMAINS)
_COLOR = ("dermoscopy", "fundus")


@dataclass(frozen=True)
class Plan:
    """Networks of a kind, each list in turns.

    Attributes:
        marks: Marks, changes, or the column.
        domains: Domains of the marks.
        ties: Shares of the positive and of the other images with a mark.
    """

    marks: Sequence[tuple[str, ...]]
    domains: Sequence[str]
    ties: Sequence[tuple[float, float]]


PLANS: Mapping[str, Plan] = {
    "local": Plan([("cross",), ("arrow",), ("comb",)], _FIVE, [(0.9, 0.1), (0.7, 0.15)]),
    "rare": Plan([("moved star",), ("moved clip",)], _FIVE, [(0.33, 0.03), (0.2, 0.02), (0.25, 0.02)]),
    "places": Plan([("ring in three",), ("hook in three",)], _FIVE, [(0.9, 0.1), (0.75, 0.1), (0.6, 0.1)]),
    "two": Plan(
        [("upper cross", "lower comb"), ("right star", "left arrow")], _FIVE, [(0.8, 0.1), (0.6, 0.1), (0.7, 0.1)]
    ),
    "wandering": Plan([("needle",), ("beads",)], _FIVE, [(0.9, 0.1), (0.6, 0.1), (0.75, 0.1)]),
    "colored": Plan([("red spot",), ("green ring",), ("blue strip",)], _COLOR, [(0.9, 0.1), (0.6, 0.1), (0.75, 0.1)]),
    "whole": Plan(
        [(one,) for one in ("gray curve", "field", "resampled", "gray vignette", "compressed", "mirrored", "zoomed")],
        [
            "chest-xray",
            "phantom-nodule",
            "dermoscopy",
            "fundus",
            "phantom-nodule",
            "phantom-chest",
            "dermoscopy",
            "phantom-nodule",
            "chest-xray",
            "phantom-chest",
            "phantom-nodule",
            "chest-xray",
            "chest-xray",
            "fundus",
            "dermoscopy",
            "fundus",
        ],
        [(0.9, 0.1)],
    ),
    "natural": Plan(
        [("column",)], ["phantom-chest", "polyp-frames", "xray-view", "aptos-rows", "xray-origin"], [(0.95, 0.05)]
    ),
}
KINDS = tuple(PLANS)
TITLES = {
    "local": "a mark at one place, on most images of a class",
    "rare": "a mark on a third of a class or less, moved by up to 1.5 pixels",
    "places": "a mark at one of three places",
    "two": "two marks",
    "wandering": "a mark anywhere, at any angle",
    "colored": "a mark of another color alone",
    "whole": "a change of the whole image",
    "natural": "a shortcut that was in the images",
}
"""Kind -> its name in an audit's table of rates."""
CLEAN = {"phantom-chest": 5, "phantom-chest-easy": 5, "phantom-nodule": 6, "chest-xray": 6, "xray-view-told": 6,
         "dermoscopy": 6, "fundus": 6}  # fmt: skip
"""Domain -> clean networks."""
FRESH = 40
"""Clean networks of phantoms with seeds of `--fresh`."""


@dataclass(frozen=True)
class AuditSize:
    """A network of the bank.

    Attributes:
        kind: Its kind; `clean` without a shortcut.
        domain: Its images.
        architecture: One of `NETWORKS`.
        seed: Seed of its images, weights and marks.
        marks: What is tied to the class.
        tie: Shares of both classes with it.
    """

    kind: str
    domain: str
    architecture: str
    seed: int
    marks: tuple[str, ...] = ()
    tie: tuple[float, float] = (0.0, 0.0)

    @property
    def name(self) -> str:
        """Its name in tables and files."""
        mark = "+".join(self.marks).replace(" ", "_")
        return "-".join((self.kind, str(self.seed), self.domain, self.architecture, *([mark] if mark else [])))


def network_of(kind: str, at: int) -> AuditSize:
    """Return a network of a kind by its position."""
    if kind == "clean":
        domain = [one for turn in range(max(CLEAN.values())) for one, count in CLEAN.items() if turn < count][at]
        return AuditSize(kind, domain, list(NETWORKS)[(at + at // len(CLEAN)) % len(NETWORKS)], 1_100_000 + at)
    plan, number = PLANS[kind], KINDS.index(kind)
    marks, tie = plan.marks[at % len(plan.marks)], plan.ties[at % len(plan.ties)]
    architecture = list(NETWORKS)[(at + number) % len(NETWORKS)]
    return AuditSize(
        kind, plan.domains[at % len(plan.domains)], architecture, 1_000_000 + 1000 * number + at, marks, tie
    )


def fresh_network(seed: int, at: int) -> AuditSize:
    """Return a clean network of phantoms by its position; each domain gets each architecture."""
    domains = [name for name in CLEAN if name.startswith("phantom-")]
    architecture = list(NETWORKS)[(at + at // len(NETWORKS)) % len(NETWORKS)]
    return AuditSize("clean", domains[at % len(domains)], architecture, seed + at)


def put(name: str, images: Pixels, ground: np.ndarray, draws: np.random.Generator) -> Pixels:
    """Return images with a mark or a whole-image change on each."""
    if name in CHANGES:
        return CHANGES[name](images, draws).astype(np.float32)
    return put_mark(MARKS[name], images, ground, draws)


def tied(
    planned: AuditSize, images: Pixels, target: np.ndarray, ground: np.ndarray, draws: np.random.Generator
) -> tuple[Pixels, np.ndarray]:
    """Return images with marks on their shares of both classes, in 256 levels, and which have each."""
    made, has = images.copy(), np.zeros((len(images), len(planned.marks)), dtype=bool)
    for at, name in enumerate(planned.marks):
        has[:, at] = draws.random(len(images)) < np.where(target == 1, *planned.tie)
        made[has[:, at]] = put(name, made[has[:, at]], ground, draws)
    return (made * 255).round().astype(np.float32) / 255, has


def trained(planned: AuditSize, whole: Pool) -> tuple[Row, dict[str, Any]]:
    """Train a network and measure the truth; return its row, and its images and weights."""
    draws, column = np.random.default_rng(planned.seed), planned.marks == ("column",)
    of_bank = Network("planted", planned.architecture, planned.seed, "column" if column else "", planned.tie)
    rows = parts(whole, of_bank, draws)
    ground, targets = whole.images.mean(axis=(0, 1)), [whole.target[part] for part in rows]
    drawn = replace(planned, marks=()) if column else planned
    (train, has_train), (test, has_test) = (
        tied(drawn, whole.images[part], whole.target[part], ground, draws) for part in rows[:2]
    )
    if column:
        has_train, has_test = (whole.column[part][:, None] for part in rows[:2])
    torch.manual_seed(planned.seed)
    network = fitted(NETWORKS[planned.architecture](train.shape[1]), train, targets[0])
    scores, clean = partial(answers, network), whole.images[rows[2]]
    off = scores(clean)[:, 0]
    spread = math.sqrt(sum(off[targets[2] == code].var() for code in (0, 1)) / 2)
    moves = [(scores(put(name, clean, ground, draws))[:, 0] - off).mean() / spread for name in drawn.marks]
    if column:
        high = whole.column[rows[2]].astype(bool)
        moves = [(off[high].mean() - off[~high].mean()) / spread]
    together = clean
    for name in drawn.marks:
        together = put(name, together, ground, draws)
    all_moves = float((scores(together)[:, 0] - off).mean() / spread) if drawn.marks else sum(map(float, moves))
    row: Row = {
        "network": planned.name,
        "kind": planned.kind,
        "domain": planned.domain,
        "architecture": planned.architecture,
        "marks": "+".join(planned.marks),
        "tie": planned.tie[0],
        "auroc": audit_bank.auroc(off, targets[2]).value,
        "moves": all_moves,
        "each": " ".join(f"{one:.2f}" for one in moves),
    }
    groups = [whole.column[part].astype(bool) for part in rows[:2]]
    images = {name: (pixels * 255).round().astype(np.uint8) for name, pixels in (("test", test), ("train", train))}
    kept = {
        **images,
        "test_target": targets[1],
        "train_target": targets[0],
        "test_patient": whole.patient[rows[1]],
        "train_patient": whole.patient[rows[0]],
        "test_has": has_test,
        "train_has": has_train,
        "test_group": groups[1],
        "train_group": groups[0],
    }
    return row, {**kept, **{f"weights {key}": value.numpy() for key, value in network.state_dict().items()}}


def used(row: Row) -> bool:
    """Return whether a network uses its mark by 1 sd or more."""
    return abs(float(row["moves"])) >= audit_bank.MOVES


def used_of(row: Row) -> list[int]:
    """Return which of the marks of a network move its scores by half a sd or more; all of them where none does."""
    each = [abs(float(one)) >= audit_bank.MOVES / 2 for one in row["each"].split()]
    return [at for at, there in enumerate(each) if there or not any(each)]


def train_all(folder: Path, rounds: int = LEAST) -> list[Row]:
    """Train what is missing of the bank, or of its first rounds, and return its rows."""
    path, pools = folder / "networks.csv", cache(lambda name: audit_bank.pool(IMAGES[name]))
    path.parent.mkdir(parents=True, exist_ok=True)
    for kind in (*KINDS, "clean"):
        most = math.ceil(sum(CLEAN.values()) / LEAST) * rounds if kind == "clean" else MOST
        most = min(most, sum(CLEAN.values()))
        for at in range(most):
            known = read(path)
            if kind != "clean" and sum(row["kind"] == kind and used(row) for row in known) >= rounds:
                break
            _train_once(network_of(kind, at), folder, pools)
    return read(path)


def train_fresh(folder: Path, seed: int) -> list[Row]:
    """Train what is missing of the clean networks with other seeds, and return their rows."""
    folder.mkdir(parents=True, exist_ok=True)
    pools = cache(lambda name: audit_bank.pool(IMAGES[name]))
    for at in range(FRESH):
        _train_once(fresh_network(seed, at), folder, pools)
    return read(folder / "networks.csv")


def _train_once(planned: AuditSize, folder: Path, pools: Callable[[str], Pool]) -> None:
    """Train a network unless the folder has it, and add it there."""
    path = folder / "networks.csv"
    known = read(path)
    if planned.name in {row["network"] for row in known}:
        return
    row, kept = trained(planned, pools(planned.domain))
    np.savez_compressed(folder / f"{planned.name}.npz", **kept)
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if not known:
            writer.writeheader()
        writer.writerow(row)
    print(planned.name, f"AUROC {row['auroc']:.2f} moves {row['moves']:.2f}", file=sys.stderr, flush=True)


def order(rows: Sequence[Row]) -> list[Row]:
    """Return networks in rounds: one of each kind that uses its mark, then clean ones; then those that use it less."""
    by_kind = {kind: [row for row in rows if row["kind"] == kind and used(row)] for kind in KINDS}
    clean, rounds = [row for row in rows if row["kind"] == "clean"], max(map(len, by_kind.values()), default=0)
    each = math.ceil(len(clean) / max(1, rounds))
    found = list[Row]()
    for at in range(max(1, rounds)):
        found += [of[at] for of in by_kind.values() if at < len(of)] + clean[at * each : (at + 1) * each]
    return [*found, *(row for row in rows if row not in found)]


# Audits.


def audited(row: Row, folder: Path, mode: str, scratch: Path) -> dict[str, Any]:
    """Return public tables of an audit of a network."""
    with np.load(folder / f"{row['network']}.npz") as file:
        kept = {name: file[name] for name in file.files}
    network = NETWORKS[row["architecture"]](kept["test"].shape[1])
    network.load_state_dict({key[8:]: torch.from_numpy(value) for key, value in kept.items() if key[:8] == "weights "})
    column = IMAGES[row["domain"]].column if len(set(kept["test_group"].tolist())) > 1 else ""
    kind_of_image = AUDITED_AS.get(str(row["domain"]), str(row["domain"]))

    def images(part: str) -> list[Row]:
        pixels, first = np.moveaxis(kept[part], 1, 3), dict[bytes, int]()
        patients = [
            first.setdefault(image.tobytes(), int(patient))  # of copies, which are refused, one patient
            for image, patient in zip(pixels, kept[f"{part}_patient"], strict=True)
        ]
        each = zip(
            pixels[..., 0] if pixels.shape[3] == 1 else pixels,
            kept[f"{part}_target"],
            patients,
            kept[f"{part}_group"],
            strict=True,
        )
        return [
            {"image": image, "label": int(target), "patient": str(patient), **({column: str(group)} if column else {})}
            for image, target, patient, group in each
        ]

    shutil.rmtree(scratch, ignore_errors=True)
    with patch.object(near_copies, "near_pairs", return_value=[]):
        audit = assay.audit(
            network.eval(),
            images("test"),
            train=images("train") if mode == "train" else None,
            size=SIDE,
            scores="logits",
            scaling="0..1",
            domain=kind_of_image,
            marks={},
            distortions=[],
            columns=(column,) if column else (),
            pictures=False,
            as_given=True,
            out=scratch,
            progress=False,
        )
    found: dict[str, Any] = {
        name: json.loads(audit.table(name).to_json(orient="records"))
        for name in ("regions", "carriers", "verdicts", "leads")
    }
    document = json.loads((scratch / "verdicts.json").read_text(encoding="utf-8"))
    shutil.rmtree(scratch, ignore_errors=True)
    return {**found, "answer": document["answer"], "findings": document["findings"]}


def audit_all(rows: Sequence[Row], folder: Path, label: str, part: int = 0, of: int = 1) -> None:
    """Audit what is not audited of a bank, or of every so many networks of it."""
    less = [row for row in rows if row["kind"] != "clean" and not used(row)]
    of_parts = (order([row for row in rows if row not in less]), less)
    for row, mode in ((row, mode) for of_part in of_parts for mode in MODES for row in of_part[part::of]):
        path = folder / label / f"{row['network']}.{mode}.json"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        found = audited(row, folder, mode, folder / label / f"scratch-{part}")
        path.write_text(json.dumps(found), encoding="utf-8")
        said = (one["verdict"] for one in found["regions"])
        print(path.name, f"{time.monotonic() - began:.1f} s", *said, file=sys.stderr, flush=True)


# What an answer is worth.


def place_of(row: Row) -> np.ndarray | None:
    """Return the pixels of a region from its public kind and name; None of one without a place."""
    kind, name = str(row.get("kind") or ""), str(row.get("name") or "")
    numbers = [float(one) for one in re.findall(r"\d*\.?\d+(?:e-?\d+)?", name)]
    inside, middles = np.zeros((SIDE, SIDE), dtype=bool), (np.arange(SIDE) + 0.5) / SIDE
    if kind == "box" and len(numbers) >= 4:
        top, left, bottom, right = (round(one * SIDE) for one in numbers[:4])
        inside[top : max(top + 1, bottom), left : max(left + 1, right)] = True
        return inside
    edge = np.minimum(middles, 1 - middles)
    if kind == "border" and numbers:
        return np.minimum(edge[:, None], edge) < max(numbers[0], 1 / SIDE)
    if kind == "corners" and numbers:
        inside = (edge[:, None] < numbers[0]) & (edge < numbers[0])
        corners = re.findall(r"(upper|lower) (left|right)", name.partition(" against ")[0])
        parts_there = [
            ((middles > 0.5) == (down == "lower"))[:, None] & ((middles > 0.5) == (across == "right"))
            for down, across in corners
        ]
        return inside & np.any(parts_there, axis=0) if parts_there else inside
    return None


def places_of(domain: str, name: str) -> list[np.ndarray]:
    """Return the pixels of a mark at each of its places; none of what has no place."""
    if name in MARKS:
        return [cover(MARKS[name], place) > 0.3 for place in MARKS[name].places]
    found = list[np.ndarray]()
    for rows, columns in NATURAL_PLACES.get(domain, ()) if name == "column" else ():
        found.append(np.zeros((SIDE, SIDE), dtype=bool))
        found[-1][rows, columns] = True
    return found


def within_class(carries: np.ndarray, has: np.ndarray, target: np.ndarray) -> float:
    """Return by how much carriers are more frequent among images with a mark than among others, within classes."""
    total = weight = 0.0
    for code in np.unique(target):
        there, absent = carries[(target == code) & has], carries[(target == code) & ~has]
        if len(there) and len(absent):
            share = len(there) * len(absent) / (len(there) + len(absent))
            total, weight = total + share * (there.mean() - absent.mean()), weight + share
    return total / weight if weight else 0.0


_WHICH = ("of", "trained", "finder", "round")
"""Columns that say which search a row is of, where there are such."""


def part_of(row: Row) -> str:
    """Return the images that a row is about."""
    return "train" if row.get("trained") else "test"


def fits_of(
    row: Row, found: Mapping[str, Any], domain: str, marks: Sequence[str], truth: Mapping[str, np.ndarray]
) -> list[tuple[int, float, bool]]:
    """Return for each mark the number of its places that a row is at, its agreement by carriers, and by words.

    Args:
        row: A row with a verdict.
        found: The tables of the audit.
        domain: The domain.
        marks: The marks of the network.
        truth: Which images have each mark, and their class, of both parts.

    A row of columns, which names no search, has no carriers.
    """
    where, part = place_of(row), part_of(row)
    keys = [key for key in _WHICH if key in row and found["carriers"] and key in found["carriers"][0]]
    carriers = [one for one in found["carriers"] if keys and all(one[key] == row[key] for key in keys)]
    at = np.array([one["row"] for one in carriers], dtype=np.int64)
    carries = np.array([bool(one["carries"]) for one in carriers])
    column = IMAGES[domain].column
    text = " ".join(str(row.get(key) or "") for key in ("kind", "name", "finder", "factor"))
    fits = []
    for number, name in enumerate(marks):
        near = 0 if where is None else sum(audit_bank._near(where, pixels) for pixels in places_of(domain, name))
        has, target = truth[f"{part}_has"][:, number], truth[f"{part}_target"]
        agreement = abs(within_class(carries, has[at], target[at])) if len(at) else 0.0
        word = WORDS.get(column if name == "column" else name)
        fits.append((near, agreement, bool(word and re.search(word, text))))
    return fits


def judged(
    found: Mapping[str, Any], domain: str, marks: Sequence[str], truth: Mapping[str, np.ndarray], numbers: Sequence[int]
) -> str:
    """Return what an answer is worth, see above; of a clean network `called`, `unverified`, `nothing found` or so.

    Args:
        found: The tables of the audit.
        domain: The domain.
        marks: The marks of the network.
        truth: See `fits_of`.
        numbers: Which of the marks it uses.
    """
    rows = [*found["regions"], *(row for row in found["verdicts"] if row["verdict"] in (*CALLED, UNVERIFIED))]
    rows = [row for row in rows if row["verdict"] != "not-tested"]
    said = [row for row in rows if row["verdict"] in (*CALLED, UNVERIFIED)]
    if not said:
        return "nothing found" if all(row["verdict"] == "nothing-found" for row in rows) else "inconclusive"
    called = [row for row in said if row["verdict"] in CALLED]
    if not any(marks):
        return "called" if called else UNVERIFIED
    for of, right in ((called, "named"), (said, "named, unverified")):
        fits = [fits_of(row, found, domain, marks, truth) for row in of]
        worth = [_worth([one[number] for one in fits], len(places_of(domain, marks[number]))) for number in numbers]
        if min(worth) == 1:
            return right
    if max(worth) > 0:
        return "partly named"
    return "elsewhere"


def _worth(fits: Sequence[tuple[int, float, bool]], places: int) -> float:
    """Return 1 where rows name a mark, one half where they do in part, else 0."""
    near, agreement = sum(one[0] for one in fits), max((one[1] for one in fits), default=0.0)
    if agreement >= 0.5 or any(one[2] for one in fits) or near >= (2 if places > 2 else 1):
        return 1
    return 0.5 if near or agreement >= 0.25 else 0


# The table.

WORTH = ("named", "named, unverified", "partly named", "elsewhere", "inconclusive", "nothing found")
BOUNDED = ("named", "nothing found")
"""Counts that are shown with an interval."""
Worth = Mapping[tuple[str, str], str]
Differing = Mapping[tuple[str, str], bool]


def share(count: int, of: int) -> str:
    """Return a share with its interval."""
    if not of:
        return ""
    _, low, high = interval(count, of)
    assert low is not None
    assert high is not None
    return f"{count}/{of} [{100 * low:.0f}, {100 * high:.0f}%]"


def answered(rows: Sequence[Row], folder: Path, label: str, same_as: str = "") -> tuple[Worth, Differing]:
    """Return by network and part what its audit is worth, and whether its answers differ with a column.

    `same_as` are other audits of the same networks.
    """
    words, columns = dict[tuple[str, str], str](), dict[tuple[str, str], bool]()
    for row in rows:
        with np.load(folder / f"{row['network']}.npz") as file:
            truth = {name: file[name] for name in file.files if name.endswith(("_has", "_target"))}
        for mode in MODES:
            path = folder / label / f"{row['network']}.{mode}.json"
            if path.exists() and (folder / (same_as or label) / path.name).exists():
                found = json.loads(path.read_text(encoding="utf-8"))
                words[row["network"], mode] = judged(found, row["domain"], row["marks"].split("+"), truth, used_of(row))
                columns[row["network"], mode] = any(
                    one["verdict"] == "answers-differ-with" for one in found["verdicts"]
                )
    return words, columns


def rate(title: str, count: int, of: int) -> Row:
    """Return a rate with its interval."""
    ends = dict(zip(("value", "low", "high"), interval(count, of), strict=True))
    return {"rate": title, "count": count, "among": of, **ends}


def document(rows: Sequence[Row], words: Worth) -> dict[str, Any]:
    """Return the rates that are shipped: of each kind that are named, or nothing found; of clean networks, called."""

    def rates(mode: str) -> Iterator[Row]:
        for kind, title in {**TITLES, "": "all eight kinds of shortcut"}.items():
            strong = [row for row in rows if row["kind"] != "clean" and kind in ("", row["kind"]) and used(row)]
            said = [words[row["network"], mode] for row in strong if (row["network"], mode) in words]
            for worth in BOUNDED:
                yield rate(f"{title}: {worth}", said.count(worth), len(said))
        said = [
            words[row["network"], mode] for row in rows if row["kind"] == "clean" and (row["network"], mode) in words
        ]
        yield rate("no shortcut: one is named", said.count("called"), len(said))

    return {"search": VERSION, "trained": list(rates("train")), "new": list(rates("test"))}


def renewed(since: Mapping[str, Any], rows: Sequence[Row], before: Worth, words: Worth) -> dict[str, Any]:
    """Return the rates of an earlier search, with the answers to some of its networks replaced.

    Args:
        since: Rates of the earlier search.
        rows: Networks, of which those count that are in `before` and in `words`.
        before: What the earlier search said of them.
        words: What this one says.
    """
    both = before.keys() & words.keys()
    was, now = (document(rows, {key: said[key] for key in both}) for said in (before, words))

    def moved(part: str) -> Iterator[Row]:
        for one, less, more in zip(since[part], was[part], now[part], strict=True):
            yield rate(one["rate"], one["count"] - less["count"] + more["count"], one["among"])

    return {"search": VERSION, **{part: list(moved(part)) for part in ("trained", "new")}}


def table(rows: Sequence[Row], words: Worth, columns: Differing, page: Page) -> list[str]:
    """Print rates by kind and part, and return remarks with what was missed."""
    remarks = list[str]()

    def line(title: str, mode: str, those: Sequence[Row]) -> None:
        said = [words[row["network"], mode] for row in those if (row["network"], mode) in words]
        counts = (said.count(one) for one in WORTH)
        page.row(
            title,
            mode,
            *(share(count, len(said)) if one in BOUNDED else count for one, count in zip(WORTH, counts, strict=True)),
        )

    strong = [row for row in rows if row["kind"] != "clean" and used(row)]
    weak = [row for row in rows if row["kind"] != "clean" and not used(row)]
    for mode in MODES:
        for kind in KINDS:
            line(kind, mode, [row for row in strong if row["kind"] == kind])
        line("**all that use their mark**", mode, strong)
        line("less than 1 sd", mode, weak)
        for domain in (*CLEAN, ""):
            clean = [row["network"] for row in rows if row["kind"] == "clean" and domain in ("", row["domain"])]
            said = [words[name, mode] for name in clean if (name, mode) in words]
            counts = (f"{one}: {share(said.count(one), len(said))}" for one in ("called", UNVERIFIED, "nothing found"))
            remarks.append(f"{mode}, clean, {domain or 'all'}: {'; '.join(counts)}")
        for title, those in (
            ("natural", [row for row in strong if row["kind"] == "natural"]),
            ("clean", [row for row in rows if row["kind"] == "clean"]),
        ):
            verdicts = [
                columns[row["network"], mode]
                for row in those
                if (row["network"], mode) in columns and IMAGES[row["domain"]].column
            ]
            remarks.append(f"{mode}, {title}, answers differ with the column: {share(sum(verdicts), len(verdicts))}")
        for worth in WORTH[1:]:
            missed = [
                f"{row['network']} ({float(row['moves']):.1f})"
                for row in strong
                if words.get((row["network"], mode)) == worth
            ]
            remarks.append(f"{mode}, {worth}: {', '.join(missed) or 'none'}")
    return remarks


def main() -> None:
    """Train, audit and print what is missing; a line per network goes to standard error."""
    arguments = parser(__doc__)
    arguments.add_argument("--folder", type=Path, default=Path("kinds"), help="folder of the bank")
    arguments.add_argument("--label", default="now", help="name of these audits in the folder")
    arguments.add_argument("--rounds", type=int, default=LEAST, help="of all; the first ones are of all kinds")
    arguments.add_argument("--part", type=int, nargs=2, default=(0, 1), help="which of so many processes audits")
    arguments.add_argument("--train-only", action="store_true", help="train, and search nothing")
    arguments.add_argument("--table-only", action="store_true", help="judge what is audited")
    arguments.add_argument("--same-as", default="", help="label of audits: count what was audited there too")
    arguments.add_argument("--write", type=Path, help="file for the rates that audits show")
    arguments.add_argument("--fresh", type=int, metavar="SEED", help=f"{FRESH} clean networks with these seeds instead")
    arguments.add_argument("--also", type=Path, help="folder of clean networks that stand in for those of the bank")
    arguments.add_argument("--since", type=Path, help="rates of an earlier search, of which some networks are replaced")
    arguments.add_argument("--before", default="before", help="of `--since`: label of the audits by the earlier search")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    if given.table_only:
        rows = read(given.folder / "networks.csv")
    else:
        rows = train_all(given.folder, given.rounds) if given.fresh is None else train_fresh(given.folder, given.fresh)
    if given.train_only:
        return
    if not given.table_only:
        audit_all(rows, given.folder, given.label, *given.part)
    page = Page(("kind", "searched", *WORTH), given.out)
    words, columns = answered(rows, given.folder, given.label, given.same_as)
    page.close(*table(rows, words, columns, page))
    if given.write:
        more = read(given.also / "networks.csv") if given.also else []
        further = answered(more, given.also, given.label)[0] if given.also else {}
        of_bank = [row for row in rows if row["kind"] != "clean" or not more]
        every = document([*of_bank, *more], {**words, **further})
        if given.since:
            folders = (given.folder, rows), *([(given.also, more)] if given.also else [])
            before = {
                key: said for folder, of in folders for key, said in answered(of, folder, given.before)[0].items()
            }
            every = renewed(read_json(given.since), [*of_bank, *more], before, {**words, **further})
        given.write.write_text(json.dumps(every, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
